/* evict.h - which object goes when the cache is full: S3-FIFO (Yang et al., SOSP 2023), a pair of queues a shard.
 *
 *   small  what is new, a tenth of the budget: who is asked for again while it is in it goes on to `main`, all else leaves
 *   main   what was asked for more than once: who was hit since it was last looked at goes round again, up to EVICT_HITS_MAX times
 *   ghost  the hashes of what last left `small`: who comes back while it is remembered goes to `main` at once
 *
 * So a viewer, or a thousand, who go through old recordings and ask for each segment once push out each other's segments, and not those
 * of the live edge. A hit costs one store under the lock that it has anyway; the queues are changed by whoever has the shard's lock. */
#ifndef EDGED_EVICT_H
#define EDGED_EVICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cache;
struct object;

#define EVICT_SMALL_PART 10 /* of the budget */
#define EVICT_MAIN_PART 2   /* of the budget: so much of `main` stays, whatever comes */
#define EVICT_NAMES_PART 16 /* of the budget: notes of what is not there go first when they are more, which they can be in a small cache only */
#define EVICT_HITS_MAX 3
#define EVICT_GHOSTS 256 /* a shard */

struct evict_queue {
        struct object *newest, *oldest;
        size_t count;
};
void evict_push(struct evict_queue *q, struct object *o);
void evict_unlink(struct evict_queue *q, struct object *o);

struct evict_queues {
        struct evict_queue small, main;
        uint32_t ghosts[EVICT_GHOSTS]; /* a ring; 0: none */
        unsigned next_ghost;
};

/* Under the shard's lock: o is COMPLETE and comes into the table, or leaves it. */
void evict_enter(struct object *o);
void evict_leave(struct object *o);

/* Likewise, o is MISSING or FAILED. */
void evict_enter_name(struct object *o);
void evict_leave_name(struct object *o);

/* Loop thread, no lock held. Evicts until `more` bytes fit. false: nothing is left to evict, and they do not. */
bool evict_make_room(struct cache *c, size_t more);

#endif
