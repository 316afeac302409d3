/* claim.h - the writers' side: CLAIM, PUT (put.h) and END from the transcoders (proto/store.h).
 *
 *   claims_open → claim_handle(), a handler of an rpc server; claims_session_changed() → claims_stop → claims_close
 * One writer at a time: a session's generation goes up with every claim, is on disk before the claim is answered, and
 * whatever an older writer still sends is ERR_FENCED. A shadow, which joins the generation as the node that claimed it, is
 * that same writer to all of this; only shadow_turns.h knows that they are two. What another origin may have in between is asked
 * for first: a JOIN is answered, and a chunk that comes too soon is judged, after the session was compared. A CLAIM of an
 * origin that just started waits until it is settled: what lives here may have ended elsewhere meanwhile. Loop thread. */
#ifndef ORIGIND_CLAIM_H
#define ORIGIND_CLAIM_H

#include "common/cluster/rpc.h"
#include "originD/replica/catch_up.h"
#include "originD/store.h"
#include "originD/shadow_turns.h"

#define CLAIMS_HELD_MAX 256
#define CLAIM_HELD_US (2500 * US_PER_MS) /* longer its writer does not wait */

struct claims {
        struct store *store;
        struct catch_up *catch_up; /* NULL: there are no other origins; set once they are known */
        struct shadow_turns turns;
        bool stopping;         /* nothing new is taken; what is under way is answered */
        bool unsettled;        /* what is here may be yesterday's: CLAIMs are held */
        struct held_claim *held, **held_last;
        size_t held_count;
};

void claims_open(struct claims *cl, uv_loop_t *loop, struct store *store);
void claims_watch(struct claims *cl, struct rpc_server *s); /* the one that claim_handle() is of: writers connect to it */
void claims_session_changed(struct claims *cl, struct session *s); /* of every change in the store */
void claims_unsettled(struct claims *cl); /* before the first request, until … */
void claims_settled(struct claims *cl);
void claims_stop(struct claims *cl);
void claims_close(struct claims *cl); /* after the store is idle */

void claim_handle(void *claims, struct rpc_request *req); /* rpc_handler */

#endif
