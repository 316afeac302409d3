/* claim.h - asks origins for the right to write a session: CLAIM, to one after the other until one takes it.
 *
 *   claim_start → done() exactly once, later → (freed)
 *   claim_cancel  before done(): it does not come any more
 * A CLAIM that was sent is not taken back: the origin ends a session that nobody writes. Loop thread only. */
#ifndef TRANSCODERD_CLAIM_H
#define TRANSCODERD_CLAIM_H

#include "proto/store.h"
#include "transcoderd/origins.h"

#define CLAIM_DEADLINE_MS 2500 /* over all that are asked; less than a proxy waits for its OPEN */

struct claiming;

/* err 0: origin took it, m is its answer. Otherwise why the last one did not; origin and m are NULL. */
typedef void claim_done(void *arg, int err, const struct origin *origin, const struct claim_reply *m);

/* only: the id of the one origin to ask; NULL: those of the stream's route. NULL is returned when none is up: done() will
 * not come then. */
struct claiming *claim_start(const struct origins *origins, const struct claim *message, const char *only,
                             claim_done *done, void *arg);
void claim_cancel(struct claiming **c); /* NULL and pointer to NULL are fine */

#endif
