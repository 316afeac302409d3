/* relay_pair.h - a publication's way to its transcoders: one, which leads, and with redundancy a second one beside it.
 *
 *   relay_pair_new()
 *   relay_pair_open()     the leader seeks a transcoder (relay.h) and opens the stream there
 *   relay_pair_kick()     frames are in the replay buffer; each relay sends them on by its own cursor
 *   relay_pair_finish()   what is left has been sent, and the transcoders are told. done() comes later, never from
 *                         inside it: with the end of the calls that are under way when no frame was taken for
 *                         RELAY_FINISH_MS, or of one that is waited for when RELAY_FINISH_MOST_MS are over
 *   relay_pair_free()     after done()
 *
 * Session, epoch, clock and generation are the broadcast's (broadcast.h): a swap of the two (relay_roles.h) changes none of them.
 * Loop thread only. */
#ifndef INGESTD_RELAY_PAIR_H
#define INGESTD_RELAY_PAIR_H

#include "ingestd/relay_roles.h"

/* The strings of *stream are borrowed for the life of the pair, and filled in before relay_pair_open(). */
struct relay_pair *relay_pair_new(struct relays *rs, const struct relay_stream *stream, struct timeline *timeline,
                                  struct replay *replay, const struct relay_pair_events *events, void *arg);
void relay_pair_open(struct relay_pair *p);
bool relay_pair_opened(const struct relay_pair *p);
/* So far ahead of our wall clock is the one by which the stream's time is told: the transcoder's, as far as HELLO's round trips tell
 * it. What they tell otherwise later is followed by RELAY_CLOCK_PPM, which is no jump for a timeline, and no further than
 * RELAY_CLOCK_MOST_US. */
#define RELAY_CLOCK_PPM TIMELINE_SLEW_PPM
#define RELAY_CLOCK_MOST_US (10 * INT64_C(1000000)) /* clocks that somebody keeps differ by less (transcoderd/encode/media_clock.h) */
int64_t relay_pair_skew_us(struct relay_pair *p, int64_t now_us); /* now: monotonic */
void relay_pair_kick(struct relay_pair *p);             /* there is a new frame in the buffer */
/* The first frame in the buffer that is still to be taken: by the leader, and by a shadow that is there; the buffer's tail: none
 * is. Of one that stands by it is the buffer's head, since it may have to send all. *mark changes when frames are taken, and when
 * another transcoder begins; not when they only go for lack of room. */
uint64_t relay_pair_place(const struct relay_pair *p, uint64_t *mark);
void relay_pair_hold(struct relay_pair *p, bool held);  /* the broadcaster is not read from: that no frames come is not its silence */
void relay_pair_poke(struct relay_pair *p);             /* other transcoders may be there now */
void relay_pair_lose(struct relay_pair *p, const struct rpc_client *gone); /* its connection is no longer ours to use */
/* Where it stands, for people. transcoder and shadow are node ids, "" without one. */
struct relay_pair_view {
        const char *state; /* waiting (for frames), seeking, opening, live, standby or ending */
        char session[SESSION_ID_MAX + 1], transcoder[NODE_ID_MAX + 1], shadow[NODE_ID_MAX + 1];
        int64_t stored_us; /* the transcoder says that everything before is; -1: it has not said so yet */
};
void relay_pair_tell(const struct relay_pair *p, struct relay_pair_view *v);
void relay_pair_finish(struct relay_pair *p, enum close_reason why);       /* idempotent; the first reason counts */
/* The next broadcast of its name is there, and is opened when this one is done. Idempotent. */
void relay_pair_wait_for(struct relay_pair *p);
void relay_pair_free(struct relay_pair *p);

#endif
