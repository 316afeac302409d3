/* writers.h - who writes the sessions: CLAIM, PUT and END from the transcoders (proto/store.h).
 *
 *   writers_open → writers_handle(), a handler of an rpc server; writers_session_changed() → writers_stop → writers_close
 * One writer at a time: a session's generation goes up with every claim, is on disk before the claim is answered, and
 * whatever an older writer still sends is ERR_FENCED. A shadow, which joins the generation as the node that claimed it, is
 * that same writer to all of this; only shadow_turns.h knows that they are two. What another origin may have in between is asked
 * for first: a JOIN is answered, and a chunk that comes too soon is judged, after the session was compared. A CLAIM of an
 * origin that just started waits until it is settled: what lives here may have ended elsewhere meanwhile. A PUT is judged, held while
 * what comes before it is copied from another origin (catch_up.h) and while it is another writer's turn (shadow_turns.h), appended,
 * answered (writers_put.c). Loop thread. */
#ifndef ORIGIND_WRITERS_H
#define ORIGIND_WRITERS_H

#include "common/cluster/rpc.h"
#include "originD/replica/catch_up.h"
#include "originD/store.h"
#include "originD/shadow_turns.h"

#define CLAIMS_HELD_MAX 256
#define CLAIM_HELD_US (2500 * US_PER_MS) /* longer its writer does not wait */

struct writers {
        struct store *store;
        struct catch_up *catch_up; /* NULL: there are no other origins; set once they are known */
        struct shadow_turns turns;
        bool stopping;         /* nothing new is taken; what is under way is answered */
        bool unsettled;        /* what is here may be yesterday's: CLAIMs are held */
        struct held_claim *held, **held_last;
        size_t held_count;
};

void writers_open(struct writers *ws, uv_loop_t *loop, struct store *store);
void writers_watch(struct writers *ws, struct rpc_server *s); /* the one that writers_handle() is of: writers connect to it */
void writers_session_changed(struct writers *ws, struct session *s); /* of every change in the store */
void writers_unsettled(struct writers *ws); /* before the first request, until … */
void writers_settled(struct writers *ws);
void writers_stop(struct writers *ws);
void writers_close(struct writers *ws); /* after the store is idle */

void writers_handle(void *writers, struct rpc_request *req); /* rpc_handler */

/* writers_put.c, for writers.c */
void writers_put(struct writers *ws, struct rpc_request *req);
void writers_refuse_put(struct rpc_request *req, int status);

#endif
