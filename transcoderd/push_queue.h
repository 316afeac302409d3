/* push_queue.h - push.c's inside: what waits to be sent to an origin, a queue a track.
 *
 * An item is queued (lane->first …), then flying while its PUT is under way, then forgotten or queued again in front. Items
 * of both kinds count in owner->queued_bytes, which lane_append() keeps under the bounds of push_options. For push.c and
 * push_queue.c only; loop thread. */
#ifndef TRANSCODERD_PUSH_QUEUE_H
#define TRANSCODERD_PUSH_QUEUE_H

#include "transcoderd/claim.h"
#include "transcoderd/push.h"

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
        struct buf *bytes;
};

struct lane { /* of one track to one owner */
        struct owner *owner;
        unsigned track;
        struct item *first, **last; /* to be sent */
        struct item *flying;        /* sent, not answered; counted in queued_bytes too */
        bool under_way, stale;      /* stale: its answer says nothing about the queue as it is now */
        bool dead;                  /* the origin will not have the track */
        int64_t stored_us;
};

struct owner {
        struct push *push;
        struct origin origin; /* rpc is not used: origins_call() looks it up */
        struct claim_reply claimed;
        uint32_t generation;
        struct lane lanes[SESSION_TRACKS_MAX];
        size_t queued_bytes;
        struct claiming *claiming;
        uv_timer_t timer; /* active: nothing is sent until it fires */
        unsigned failures;
        bool end_under_way, ended;
        struct told told_lost, told_refused, told_failing;
        bool failing_told, no_space; /* what the log says; why it fails */
        uint64_t lost;               /* chunks, since it last worked */
};

struct push {
        struct push_options o;
        struct claim claim;
        int64_t begun_us;
        struct owner owners[PUSH_OWNERS_MAX];
        unsigned owner_count, calls, handles;
        bool ending, stopped, closed;
        struct told told_oversize;
        int64_t end_us;
};

struct item *item_of_init(const struct track_info *info);
struct item *item_of_chunk(const struct chunk *c);

void lane_append(struct lane *l, struct item *it); /* counts its bytes; then loses the oldest while over a bound */
void lane_fly(struct lane *l);                     /* the first one is under way from now on */
void lane_keep(struct lane *l);                    /* what was flying is the first again */
void lane_forget_flying(struct lane *l);
void lane_forget_queued(struct lane *l);
/* The origin has the track up to there (NULL: has nothing of it): what it lacks is queued, as far as it is in memory. */
void lane_rewind(struct lane *l, const struct recent_track *t, const struct claim_track *there);

#endif
