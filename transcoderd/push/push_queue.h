/* push_queue.h - push.h's inside: what waits to be sent to an origin, a queue a track.
 *
 * The queue holds what is not known to be stored: first the items that fly, each with a PUT under way, then those that are not
 * sent yet. lane_back() makes all of them unsent again; an answer to a PUT from before that says nothing any more, and is known
 * by its round. Items of both kinds count in owner->queued_bytes, which lane_append() keeps under the bounds of push_options. For
 * push*.c only; loop thread. */
#ifndef TRANSCODERD_PUSH_PUSH_QUEUE_H
#define TRANSCODERD_PUSH_PUSH_QUEUE_H

#include "common/daemon/told.h"
#include "transcoderd/push/push.h"

struct owner;

#define PUSH_TOLD_US INT64_C(1000000) /* told.h: of one origin, and of one session */

struct item {
        struct item *next;
        uint8_t flags, chunk;
        uint32_t segment;
        int64_t start_us, duration_us;
        int64_t made_us; /* monotonic */
        uint64_t previous; /* struct put */
        uint32_t number;   /* of those of the lane that were sent; while it flies */
        struct buf *bytes;
};

struct lane { /* of one track to one owner */
        struct owner *owner;
        unsigned track;
        struct item *first, **last;
        struct item **unsent;       /* the link to the first that does not fly */
        unsigned flying;            /* items before that */
        unsigned calls, stale;      /* PUTs under way: all, and those of rounds before */
        uint32_t round, numbers;
        bool going_back;            /* one of those that fly was not taken, for want of the one before it */
        bool dead;                  /* the origin will not have the track */
        int64_t stored_us;
};

struct item *item_of_init(const struct track_info *info);
struct item *item_of_chunk(const struct chunk *c);
void item_free(struct item *it);

bool lane_would_lose(struct lane *l, const struct item *it);
void lane_append(struct lane *l, struct item *it); /* counts its bytes; then loses the oldest while over a bound */
void lane_clear(struct lane *l);                   /* nothing is queued, and the answers to what is under way are stale */
struct item *lane_next(struct lane *l);            /* what may be sent now; NULL: nothing */
int64_t lane_after_us(const struct lane *l);       /* of lane_next(): struct put */
void lane_fly(struct lane *l);                     /* lane_next() is under way from now on */
void lane_back(struct lane *l);                    /* nothing flies any more: it is to be sent again, once all were answered */
struct item *lane_flies(const struct lane *l, uint32_t number); /* NULL: not any more */
void lane_forget(struct lane *l, struct item *it); /* of those that fly */
/* A shadow sends no still pictures, which nothing chains: all origins are to have the leader's. When it leads, it joins each of
 * them, and then they get what they lack. */
bool lane_is_leaders(const struct push *p, unsigned track);
/* The origin has the track up to there (NULL: has nothing of it): what it lacks is queued, as far as it is in memory. */
void lane_rewind(struct lane *l, const struct recent_track *t, const struct claim_track *there);

#endif
