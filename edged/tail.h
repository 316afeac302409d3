/* tail.h - a track's media as one answer without an end: its init segment, then chunk after chunk as they come, across segments.
 *
 *   tail_open()  at the newest key frame that there is   → tail_take() until it is not > 0 and not 0 → tail_close()
 *
 * A tail is a way through the cache and keeps nothing of its own: it reads the same objects as everybody else, one segment after the
 * other, so a thousand tails of a track cost one fetch of each segment. The object that it is at is the caller's to hold (*at), for the
 * caller is who waits for more of it.
 *
 * Which segment is the newest is told by the clock (census.h) and may be wrong by one either way. So the one before it is asked for as
 * well, and of what has bytes the newest is taken. Where neither has any within TAIL_LATE_US the stream is late, and the tail steps back,
 * by 2, 4, 8 … segments up to TAIL_BACK, until there is something.
 *
 * A reader that is more than TAIL_BEHIND segments behind at the end of a segment goes on with the newest one that is in the cache; what
 * lies between is left out, counted, and told by nothing but the times in the media. Never within a segment: a reader of boxes must not
 * notice. A hole in the track is passed over likewise. A tail ends well (ERR_CLOSED) with the session, and, when the edge is to leave, at
 * the end of a segment: whoever read it begins anew elsewhere, and has each picture again, or nothing.
 *
 * One thread at a time: that of the connection. Of many tails each is for itself. */
#ifndef EDGED_TAIL_H
#define EDGED_TAIL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/clock.h"
#include "edged/cache.h"
#include "edged/census.h"
#include "proto/key.h"

#define TAIL_BEHIND 3 /* segments beyond the one that is next: what a network that stands still for two seconds costs is made good by reading on */
#define TAIL_PROBES 64 /* segments of the cache that are looked at for a newer one */
#define TAIL_LATE_US (300 * US_PER_MS)
#define TAIL_BACK 32 /* the last step back, 62 segments in all */
#define TAIL_HOLES 64 /* segments in a row that there are not: the track is over */

struct tail;

/* What a tail has read to its end by a call. */
struct tail_read {
        bool whole;
        uint32_t segment;
        int64_t made_us; /* when it was first wanted here, monotonic */
};

struct tail_asks {
        bool leaves; /* the edge is to leave */
        bool late;   /* the wait that was told is over, in vain */
        int64_t now_us;
};
struct tail_wait {
        uint64_t have; /* for more bytes than these of *at */
        int64_t us;    /* for so long; 0: as long as anybody would */
};

void tail_register(void); /* metrics, once */

/* track: any key of it. init: a reference is taken. *at: its first object, with a reference for the caller. ERR_NOT_FOUND: the session is
 * not live; ERR_NOSPACE: too much is being fetched. *out and *at are then unchanged. */
int tail_open(struct tail **out, struct cache *cache, struct census *census, const struct key *track, struct buf *init, int64_t now_us,
              struct object **at);
void tail_close(struct tail **t); /* pointer to NULL is fine */

/* The next piece: > 0 bytes of *piece (a reference) from *off. 0: nothing yet, *wait says for what and how long. ERR_CLOSED: it has
 * ended. Another: it goes no further. *at may be another object afterwards, and its reference another one. */
ssize_t tail_take(struct tail *t, struct object **at, const struct tail_asks *asks, struct buf **piece, size_t *off, struct tail_wait *wait,
                  struct tail_read *read);

#endif
