/* claim.h - asks the owners of a stream for the right to write a session: CLAIM, to all of them at once.
 *
 *   claim_start → done() exactly once, later → (freed)
 *   claim_cancel  before done(): it does not come any more
 * The first `replicas` origins of the stream's route are asked, and for each that refuses or is dead the next one. 250 ms
 * after the first that took it, or when all have answered, the one that knows most leads: the session goes on where it
 * says. Its generation is the highest that any of them gave; a leader that gave a lower one is raised to it (CLAIM_JOIN)
 * before done(). One that is fenced there has met a newer writer: the claim has failed. The others are joined by push.h.
 * A CLAIM that was sent is not taken back: the origin ends a session that nobody writes. Loop thread only. */
#ifndef TRANSCODERD_PUSH_CLAIM_H
#define TRANSCODERD_PUSH_CLAIM_H

#include <uv.h>

#include "proto/store.h"
#include "transcoderd/push/origins.h"

#define CLAIM_DEADLINE_MS 2500 /* over all that are asked; less than a proxy waits for its OPEN */
#define CLAIM_OTHERS_MS 250    /* how long the others are waited for when one took it */

struct claiming;

/* err 0: origin leads, m is its answer. Otherwise why the last one did not take it; origin and m are NULL. */
typedef void claim_done(void *arg, int err, const struct origin *origin, const struct claim_reply *m);

/* NULL: no origin is up; done() will not come then. */
struct claiming *claim_start(uv_loop_t *loop, const struct origins *origins, unsigned replicas,
                             const struct claim *message, claim_done *done, void *arg);
void claim_cancel(struct claiming **c); /* NULL and pointer to NULL are fine */

#endif
