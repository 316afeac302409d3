/* claim.h - the writers' side: CLAIM, PUT and END from the transcoders (proto/store.h).
 *
 * One writer at a time: a session's generation goes up with every claim, is on disk before the claim is answered, and
 * whatever an older writer still sends is ERR_FENCED. What another origin may have in between is asked for first: a JOIN
 * is answered, and a chunk that comes too soon is judged, after the session was compared. A handler of an rpc server; loop
 * thread. */
#ifndef ORIGIND_CLAIM_H
#define ORIGIND_CLAIM_H

#include "common/rpc.h"
#include "originD/repair.h"
#include "originD/store.h"

#define GRACE_MAX_MS 600000

struct claims {
        struct store *store;
        struct repair *repair; /* NULL: there are no other origins */
        bool stopping;     /* nothing new is taken; what is under way is answered */
};

void claim_handle(void *claims, struct rpc_request *req); /* rpc_handler */

#endif
