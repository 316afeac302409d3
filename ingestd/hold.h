/* hold.h - whether a broadcaster is to be held back, by not reading its socket.
 *
 * A file that is sent without -re comes as fast as the network carries it. Its frames are *ahead* of the session's clock, and those that
 * no transcoder has taken yet *wait*: they would push the oldest ones out of the replay buffer. So while much waits the socket is not
 * read, and TCP holds the publisher back to what the transcoder takes.
 *   free  →  held            the broadcaster is ahead, and much waits
 *   held  →  free            little waits, or the time of the frames has come. From now on any lead is enough to hold it again: a
 *                            transcoder that is no faster than real time leaves no more than what waits
 *   held  →  free, for good  nothing was taken for HOLD_STUCK_US. The buffer runs over, and so the relay learns whether this transcoder
 *                            is to be left (relay.c). Until a frame is taken the broadcaster is not held again
 * A live broadcaster is never ahead, not even when it stood still and now sends what gathered: holding it back would make it late, so
 * its oldest frames go instead. Pure: the time is an argument. */
#ifndef INGESTD_HOLD_H
#define INGESTD_HOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOLD_AHEAD_US INT64_C(3000000)   /* more than clocks, a burst of old frames at the start and slewing come to */
#define HOLD_WAITING_US INT64_C(4000000) /* so much waits at most, in media time */
#define HOLD_STUCK_US INT64_C(10000000)

struct hold {
        bool held;
        bool film;          /* it was held before */
        bool stuck;         /* it was held in vain, and nothing was taken since */
        uint64_t mark;      /* of struct hold_sight, at the look before */
        int64_t moved_us;   /* when that changed, or the hold began; monotonic */
};

struct hold_sight {
        int64_t ahead_us;   /* the newest frame's media time less the session's clock */
        int64_t waiting_us; /* from the first frame that no transcoder has taken to the newest one; 0: there is none, or that alone */
        size_t bytes, limit_bytes; /* of the whole replay buffer */
        uint64_t mark;      /* another one: frames were taken meanwhile */
        bool queued;        /* it cannot be taken yet: the stream's publication before is not at its end */
};

/* Before the clocks are looked at, which is much for each frame: it is not held, and too little waits for that, whatever ahead_us is. */
bool hold_rests(struct hold *h, const struct hold_sight *now);

/* True when h->held changed. */
bool hold_update(struct hold *h, const struct hold_sight *now, int64_t mono_us);

#endif
