/* read_ahead.h - segments of one track of another origin, one after the other, with several FETCHes under way at a time: over a long
 * way one at a time would bring a segment a round trip.
 *
 *   read_ahead_begin   at a segment; what was asked for before is nobody's any more
 *   read_ahead_more    asks for one more, while it may
 *   read_ahead_first   what came of the first segment that was not taken yet; ready() when there is something
 *   read_ahead_take    it is done with: the next one is first;  read_ahead_again: it is asked for again
 *   read_ahead_stop    forgets all; at any time, and any number of times
 * How many are under way follows from how long answers take: one more after each that came about as fast as the fastest, one
 * less after each that was much slower, so that what goes over the same way, and the peer's viewers, do not wait for it. What
 * came and is not taken, and what is under way, are bounded in bytes. Answers to what is forgotten are dropped as they come.
 * Loop thread only. */
#ifndef ORIGIND_READ_AHEAD_H
#define ORIGIND_READ_AHEAD_H

#include "originD/replica/peer_link.h"

#define READ_AHEAD_MAX 16
#define READ_AHEAD_FIRST 2 /* under way at the beginning */
#define READ_AHEAD_QUICK_US (300 * US_PER_MS) /* slower than the fastest by no more than that: one more. */
#define READ_AHEAD_SLOW_US (800 * US_PER_MS)  /* By more than that: one less */

struct ahead_segment {
        struct ahead_segment *next;
        struct read_ahead *of; /* NULL: nobody wants it any more */
        enum { AHEAD_NOT_ASKED, AHEAD_ASKED, AHEAD_CAME } state;
        uint32_t segment;
        uint64_t offset;   /* in it: where bytes begin */
        struct buf *bytes; /* of any number of answers; NULL: none, or it has not come */
        struct buf *room;  /* what they are gathered in; its len is the room it has, */
        size_t len;        /* so many bytes of it are there */
        bool complete;     /* nothing comes behind them */
        int status;        /* of the last answer: what came before it is good */
        int64_t asked_us;
};

struct read_ahead {
        struct peer_link *link;
        const char *peer, *stream, *session, *track; /* somebody else's, as long as it is read */
        unsigned max;          /* FETCHes under way, at most READ_AHEAD_MAX */
        uint64_t max_bytes;
        void (*ready)(void *arg); /* only ever from the loop */
        void *arg;

        unsigned under_way;
        uint64_t came_bytes; /* counts up: for who has an allowance */

        /* private */
        unsigned window;       /* of max; 0: nothing was asked for yet */
        struct ahead_segment *first, **last;
        uint32_t next, end;    /* to ask for: [next, end), */
        uint32_t whole_end;    /* of [next, whole_end) all */
        uint64_t next_offset;
        uint64_t held_bytes;   /* that came and are not taken */
        uint32_t usual_bytes;  /* of a segment */
        int64_t fastest_us;    /* of an answer with media; 0: none came yet */
};

/* Segments [segment, end), of the first one what is behind offset. Those before whole_end are asked for until they are complete;
 * of later ones, which grow, comes what there is. */
void read_ahead_begin(struct read_ahead *ra, uint32_t segment, uint64_t offset, uint32_t whole_end, uint32_t end);

bool read_ahead_more(struct read_ahead *ra); /* false: nothing was asked for: there is no more, or not now */
struct ahead_segment *read_ahead_first(const struct read_ahead *ra); /* NULL: it has not come yet */
void read_ahead_take(struct read_ahead *ra);

/* The first one was refused, and so may be those behind it: all that were are asked for again, one after the other. */
void read_ahead_again(struct read_ahead *ra);

/* Whether the segment is first now, from its beginning, or the next to be asked for; those before it are forgotten. */
bool read_ahead_pass_to(struct read_ahead *ra, uint32_t segment);

void read_ahead_stop(struct read_ahead *ra);

#endif
