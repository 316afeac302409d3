/* push_queue.h - push.h's inside: what waits to be sent to an origin, a queue a track.
 *
 * An item is queued (lane->first …), then flying while its PUT is under way, then forgotten or queued again in front. Items
 * of both kinds count in owner->queued_bytes, which lane_append() keeps under the bounds of push_options. For push*.c only;
 * loop thread. */
#ifndef TRANSCODERD_PUSH_PUSH_QUEUE_H
#define TRANSCODERD_PUSH_PUSH_QUEUE_H

#include "transcoderd/push/push.h"

struct owner;

/* A warning that would be repeated is told once a second, with the number of those that were not. */
struct told {
        int64_t at_us;
        uint64_t untold;
};
bool told_may(struct told *t, uint64_t *count); /* count: this one, and the untold before it */

struct item {
        struct item *next;
        uint8_t flags, chunk;
        uint32_t segment;
        int64_t start_us, duration_us;
        int64_t made_us; /* monotonic */
        uint64_t previous; /* struct put */
        struct buf *bytes;
};

struct lane { /* of one track to one owner */
        struct owner *owner;
        unsigned track;
        struct item *first, **last; /* to be sent */
        struct item *flying;        /* sent, not answered; counted in queued_bytes too */
        bool under_way, stale;      /* stale: its answer says nothing about the queue as it is now */
        bool dead;                  /* the origin will not have the track */
        uint32_t sent_generation;   /* that what is under way was sent with */
        int64_t stored_us;
};

struct item *item_of_init(const struct track_info *info);
struct item *item_of_chunk(const struct chunk *c);
void item_free(struct item *it);

bool lane_would_lose(struct lane *l, const struct item *it);
void lane_append(struct lane *l, struct item *it); /* counts its bytes; then loses the oldest while over a bound */
void lane_clear(struct lane *l);                   /* nothing is queued, and the answer to what is under way is stale */
void lane_fly(struct lane *l);                     /* the first one is under way from now on */
void lane_keep(struct lane *l);                    /* what was flying is the first again */
void lane_forget_flying(struct lane *l);
void lane_forget_queued(struct lane *l);
/* The origin has the track up to there (NULL: has nothing of it): what it lacks is queued, as far as it is in memory. */
void lane_rewind(struct lane *l, const struct recent_track *t, const struct claim_track *there);

#endif
