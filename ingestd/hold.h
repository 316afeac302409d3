/* hold.h - is a broadcaster to be held back, by not reading its socket?
 *
 * A file that is sent without -re comes as fast as the network carries it: it is *ahead* of its session's clock. What no transcoder
 * has taken of it yet *waits*, and would push the oldest frames out of the replay buffer. So while much waits its socket is not
 * read, and TCP holds its publisher back to what the transcoder takes.
 *   free  →  held            it is ahead, and much waits
 *   held  →  free            little waits, or its time has come. From now on any lead is enough to be held again: a transcoder that
 *                            is no faster than real time leaves no more than what waits
 *   held  →  free, for good  nothing was taken for HOLD_STUCK_US: whether that transcoder is to be left, the buffer finds out by
 *                            running over (relay.c). Until a frame is taken it is not held again
 * A live broadcaster is never ahead, also when it stood still and sends what gathered meanwhile: to hold it back would make it
 * late, so its oldest frames go instead. Pure: the time is an argument. */
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

/* True when h->held changed. */
bool hold_update(struct hold *h, const struct hold_sight *now, int64_t mono_us);

#endif
