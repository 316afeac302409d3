/* relay_opening.h - a relay walks the ring (walk.h) for a transcoder that opens the stream: ASKING, SEEKING, FOLLOWING, RECLAIMING.
 * Whom it asks, and what becomes of the answer, its role decides. */
#ifndef INGESTD_RELAY_OPENING_H
#define INGESTD_RELAY_OPENING_H

#include "ingestd/relay_state.h"

size_t relay_candidates(const struct relay *r, struct transcoder_candidate found[TRANSCODER_CANDIDATES]);
void relay_open_at(struct relay *r, const struct transcoder_candidate *next); /* OPEN */
void relay_open_here(struct relay *r);                         /* the same transcoder, with the conditions of its state */
void relay_stop_asking(struct relay *r);                       /* ASKING, FOLLOWING: any transcoder will do from now on */
void relay_seek_next(struct relay *r, enum relay_state quest); /* this transcoder will not do: the next one, now */
void relay_seek_anew(struct relay *r);                         /* the one that has the stream, or else the ring's first */
void relay_open_anew(struct relay *r, const char *why);        /* the same, said in the log */
void relay_wait_and_seek(struct relay *r);                     /* nobody took it: a new round, later */
void relay_begin_at(struct relay *r, const struct open_reply *m); /* the transcoder has opened it: the replay's head is its frame 0 */

/* What these states do. */
void relay_opening_timer(struct relay *r);
void relay_opening_called(struct relay *r, int err, nng_msg *reply);
void relay_opening_poke(struct relay *r);

#endif
