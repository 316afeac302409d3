/* cache.h - the edge's memory: one object a name (object.h: what it is, and what its readers do; cache_fill.h: how it is made).
 *
 * Threads. Any thread calls cache_get(), cache_find(), object_wait(), object_look(), object_read() and object_unref(). Everything that
 * changes an object's state (cache_fill.h) happens on the loop thread.
 * Locks. Each of the CACHE_SHARDS shards has one mutex: it guards the shard's table and queues, and state, bytes and waiters
 * of the objects in it. No callback runs under it except waiter.suspend. It may be taken while a reader holds a lock of its own,
 * never the other way round. What readers attach is set by compare-and-swap, counts are atomics.
 * A HIT takes no lock, nor does looking at what is not FILLING, and neither allocates: the table is read in passing (readers.h).
 *
 * The byte budget is for all that the cache has: bodies, pieces, structs, what readers attach, and what slow readers keep of objects that
 * were evicted or have failed (ledger.h). When it is reached, evict.h says what goes. Readers may keep a share of it, CACHE_PINNED_PART;
 * who keeps what left first loses it when there is more (object_is_cut), and only that is beyond the budget, until their connections are
 * closed. Notes of what is MISSING or FAILED have a short list of their own a shard, and a small part of the budget (evict.h), so that a
 * flood of made-up names cannot push media out. */
#ifndef EDGED_CACHE_H
#define EDGED_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/mailbox.h"
#include "edged/object.h"
#include "proto/fetch.h"

#define CACHE_SHARDS 64
#define CACHE_MISSING_PER_SHARD 256
#define CACHE_EARLY_PART 5                      /* of its time, before its end, from when on an object is refreshed */
#define CACHE_GRACE_US (1000 * US_PER_MS)       /* for so long, and for no longer than it was fresh, nobody waits for a refresh */
#define CACHE_STALE_MAX_US (30 * US_PER_S)      /* beyond its expiry an object is served no longer than this */
#define CACHE_STALE_WAIT_US (500 * US_PER_MS)   /* a refresh that takes longer is not waited for */
#define CACHE_STALE_RETRY_US (1000 * US_PER_MS) /* after a refresh that failed the next one waits this long */
#define CACHE_FAILED_FIRST_US (250 * US_PER_MS) /* for half to the whole of it nobody asks again; doubled with each failure up to */
#define CACHE_FAILED_MAX_US (1000 * US_PER_MS)
#define CACHE_CHUNKS_MAX 4096
#define CACHE_PINNED_PART 4 /* of the budget: so much may be kept by readers of what was evicted, and as much again while it is cut off */

enum cache_result { CACHE_HIT, CACHE_MISS, CACHE_JOINED, CACHE_STALE, CACHE_FULL };

struct cache_config {
        size_t budget_bytes;
        unsigned fills_max; /* FILLING objects at a time */
};
struct cache_ops {
        /* Loop thread: fetch this object. The callee owns one reference. */
        void (*fill)(void *arg, struct object *o);
        /* Any thread, no lock held: the last reference to an object goes that something was attached to. May be NULL if nothing ever is.
         * */
        void (*detach)(void *attached);
        /* Loop thread, no lock held: some bytes were cut off. Whoever reads them (object_is_cut, ledger_is_cut) is to let go. May be
         * NULL. */
        void (*cut)(void *arg);
};

/* Loop thread. mb carries the word of new objects to it and must live until cache_close(). */
struct cache *cache_open(const struct cache_config *cfg, const struct cache_ops *ops, void *arg, struct mailbox *mb);

/* From now on nobody waits: object_wait() is false and new keys are CACHE_FULL. Wakes all who do. Loop thread. */
void cache_stop_waiting(struct cache *c);

/* After all users: every other thread has ended, every fill is over, the mailbox is closed. */
void cache_close(struct cache *c);

uint64_t cache_digest(const void *bytes, size_t len); /* pure; never 0 */

/* The object of key (len bytes, at most KEY_MAX, without query), with a reference for the caller; NULL with CACHE_FULL.
 *   HIT     COMPLETE and fresh, or MISSING, or FAILED a moment ago
 *   MISS    FILLING, made by this call; its fill has been asked for
 *   JOINED  FILLING, made by an earlier one
 *   STALE   COMPLETE and expired a short while ago, or the upstream cannot be asked now or takes too long
 * hops: tiers that were passed below, 0 for a viewer; with others only the loop thread calls it.
 * Any thread; allocates only for a MISS, and for the one HIT or STALE that begins a refresh. */
enum cache_result cache_get(struct cache *c, const char *key, size_t len, uint8_t hops, int64_t now_us,
                            struct object **out);
/* The same for another edge of this site, which takes this one for the owner: what fills the object comes from above, also what is to
 * replace it. That edge is nobody who asks (cache_was_asked), but passes on what its own viewers do. Loop thread. */
enum cache_result cache_get_owned(struct cache *c, const char *key, size_t len, uint8_t hops, int64_t now_us, struct object **out);
/* As cache_get(); a MISS takes over the charge. Otherwise it is the caller's to pay back. */
enum cache_result cache_get_charged(struct cache *c, const char *key, size_t len, const struct charge *charge, int64_t now_us,
                                    struct object **out);
/* The same, but makes nothing new: MISS, and *out is NULL. What is there is refreshed. */
enum cache_result cache_find(struct cache *c, const char *key, size_t len, int64_t now_us, struct object **out);

/* Makes it before anybody has asked. false: it is there, or under way, or too much is. Loop thread. */
bool cache_ahead(struct cache *c, const char *key, size_t len, uint8_t hops, int64_t now_us);
/* It is there, and somebody has asked for it. Any thread. */
bool cache_was_asked(struct cache *c, const char *key, size_t len);

size_t cache_bytes(struct cache *c);
size_t cache_pinned(struct cache *c); /* of them, what nobody finds any more and is still being read: no room can be made of these */
size_t cache_objects(struct cache *c);

#endif
