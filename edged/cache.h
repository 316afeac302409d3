/* cache.h - the edge's memory: one object a name, complete or still growing, and who waits for more of it.
 *
 *   FILLING   made by the first request of a key; its bytes grow by cache_append(); others join and wait
 *   COMPLETE  one contiguous body; immutable, or fresh until it expires. Somewhat earlier the first one who asks has it, and has it
 *             refreshed: by a FILLING object that is not in the table, but its `refresh`, and that takes its place when it is COMPLETE. Whoever
 *             asks meanwhile is given what there is, as long again as it was fresh (CACHE_GRACE_US at most); then he joins the refresh. When
 *             that fails, what there is serves for CACHE_STALE_MAX_US, and is refreshed again once in CACHE_STALE_RETRY_US
 *   MISSING   the upstream said that there is no such thing; kept for the time it named
 *   FAILED    no longer in the table; whoever still holds it learns why (or is given `stale`). In its place the table has a note, FAILED
 *             too, for a moment: who asks meanwhile is told the same, and the first one after it begins anew. That moment is a quarter of a
 *             second at first and doubles up to one, and it is spread, so that what failed together is not asked for together
 *
 * An object leaves FILLING once and never comes back. It is counted: the table, a fill, each reader hold a reference.
 *
 * Threads. Any thread calls cache_get(), cache_find(), object_wait(), object_look(), object_read() and object_unref(). Everything that
 * changes an object's state (append, complete, missing, fail, due, expire) happens on the loop thread.
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

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/mailbox.h"
#include "edged/addresses.h"
#include "edged/waiters.h"
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
#define ETAG_MAX 24

enum cache_result { CACHE_HIT, CACHE_MISS, CACHE_JOINED, CACHE_STALE, CACHE_FULL };

enum object_state { OBJECT_FILLING, OBJECT_COMPLETE, OBJECT_MISSING, OBJECT_FAILED };

/* Who has paid for asking whether there is such an object (addresses.h). */
struct charge {
        bool paid;
        struct address by;
};

struct shard;
struct cache;

struct object {
        /* set when it is made, constant */
        struct cache *cache;
        struct shard *shard;
        uint64_t hash;
        uint8_t hops;
        bool ahead; /* made before anybody asked */
        int64_t made_us; /* monotonic */
        bool owned; /* loop thread: a sibling takes this edge for its owner, so it comes from above (siblings.h) */
        struct charge charge; /* later the loop thread's: it is paid back at most once */

        atomic_uint refs;
        _Atomic int64_t wanted_us; /* when somebody last asked for it while it was FILLING */
        _Atomic(void *) attached; /* what readers made of the body */
        _Atomic(struct object *) chain; /* of the hash bucket: changed under the lock, followed without */
        _Atomic uint8_t hits;           /* evict.h */
        atomic_bool asked;              /* somebody has asked for it, ever */

        /* Guarded by the shard's lock; written by the loop thread only. When `state` is no longer FILLING it, and what follows up to `stale`, does not
         * change any more, but for the two atomics: then all of it may be read without the lock. */
        _Atomic enum object_state state;
        int failure; /* FAILED: ERR_* */
        uint64_t len;
        struct buf **chunks; /* FILLING */
        unsigned chunk_count, chunk_cap;
        struct buf *body; /* COMPLETE */
        struct waiters waiters;
        int64_t expires_us;
        _Atomic int64_t look_us;        /* COMPLETE: until then there is nothing to do but to give it away */
        _Atomic int64_t stale_until_us; /* COMPLETE: until then it is given away at once */
        int64_t due_us;    /* FILLING: nothing comes before then; 0: nobody can say */
        unsigned failures; /* in vain, one after the other, until this one was made */
        struct object *stale;           /* FILLING, FAILED: what it is to replace */
        struct object *refresh;         /* COMPLETE: what is to replace it */
        struct object *newer, *older;   /* of one of the shard's queues */
        bool proven;                    /* it is in the main queue, or is to go there */
        bool in_table;
        bool renews; /* it may be refreshed before it expires: nobody has to pay for it */
        size_t queued_bytes; /* what it counts for in its queue */
        atomic_size_t charged_bytes; /* besides body and pieces, which the ledger counts */

        /* written by the loop thread before the first byte can be seen, constant after that */
        char content_type[64];
        bool immutable;
        char etag[ETAG_MAX]; /* before COMPLETE can be seen */

        struct mail mail;         /* to the loop, when it is made */
        struct object *next_dead; /* no reference is left, but somebody may still look at it in passing (readers.h) */
        char key[];
};

struct cache_config {
        size_t budget_bytes;
        unsigned fills_max; /* FILLING objects at a time */
};
struct cache_ops {
        /* Loop thread: fetch this object. The callee owns one reference. */
        void (*fill)(void *arg, struct object *o);
        /* Any thread, no lock held: the last reference to an object goes that something was attached to. May be NULL if nothing ever is. */
        void (*detach)(void *attached);
        /* Loop thread, no lock held: some bytes were cut off. Whoever reads them (object_is_cut, ledger_is_cut) is to let go. May be NULL. */
        void (*cut)(void *arg);
};

/* Loop thread. mb carries the word of new objects to it and must live until cache_close(). */
struct cache *cache_open(const struct cache_config *cfg, const struct cache_ops *ops, void *arg, struct mailbox *mb);

/* From now on nobody waits: object_wait() is false and new keys are CACHE_FULL. Wakes all who do. Loop thread. */
void cache_stop_waiting(struct cache *c);

/* After all users: every other thread has ended, every fill is over, the mailbox is closed. */
void cache_close(struct cache *c);

void cache_make_etag(char etag[ETAG_MAX], const void *bytes, size_t len); /* pure */

/* The object of key (len bytes, at most KEY_MAX, without query), with a reference for the caller; NULL with CACHE_FULL.
 *   HIT     COMPLETE and fresh, or MISSING, or FAILED a moment ago
 *   MISS    FILLING, made by this call; its fill has been asked for
 *   JOINED  FILLING, made by an earlier one
 *   STALE   COMPLETE and expired a short while ago, or the upstream cannot be asked now or takes too long
 * Any thread; allocates only for a MISS, and for the one HIT or STALE that begins a refresh. */
enum cache_result cache_get(struct cache *c, const char *key, size_t len, uint8_t hops, int64_t now_us,
                            struct object **out);
/* The same for another edge of this site, which takes this one for the owner: what fills the object comes from above, also what is to replace
 * it. That edge is nobody who asks (cache_was_asked), but passes on what its own viewers do. Loop thread. */
enum cache_result cache_get_owned(struct cache *c, const char *key, size_t len, uint8_t hops, int64_t now_us, struct object **out);
/* As cache_get(); a MISS takes over the charge. Otherwise it is the caller's to pay back. */
enum cache_result cache_get_charged(struct cache *c, const char *key, size_t len, const struct charge *charge, int64_t now_us,
                                    struct object **out);
/* The same, but makes nothing new: MISS, and *out is NULL. What is there is refreshed. */
enum cache_result cache_find(struct cache *c, const char *key, size_t len, int64_t now_us, struct object **out);

/* What a reader made of the body of a COMPLETE object, to be found by the next one; it goes with the object (cache_ops.detach). NULL:
 * nothing yet. false: somebody was quicker, and `what` is still the caller's. bytes count, and those that come to it later. Any thread. */
void *object_attached(struct object *o);
bool object_attach(struct object *o, void *what, size_t bytes);
void object_charge(struct object *o, size_t bytes);

/* Makes it before anybody has asked. false: it is there, or under way, or too much is. Loop thread. */
bool cache_ahead(struct cache *c, const char *key, size_t len, uint8_t hops, int64_t now_us);
/* It is there, and somebody has asked for it. Any thread. */
bool cache_was_asked(struct cache *c, const char *key, size_t len);

struct object *object_ref(struct object *o);
void object_unref(struct object **o);

/* It was evicted or has failed, and readers of such keep more than they may: who reads it is to let go of it. Any thread. */
bool object_is_cut(struct object *o);

/* What there is to see now. body is valid as long as the caller's reference to o is; stale comes with one of its own. */
struct object_view {
        enum object_state state;
        int failure;
        uint64_t len;
        int64_t again_us; /* monotonic, 0: nobody can say. FILLING with nothing yet: nothing comes before then. FAILED: to ask sooner is in vain */
        int64_t due_us;   /* likewise, of nothing yet and of FAILED: when there will be something, as a node has said */
        struct buf *body;
        struct object *stale; /* COMPLETE; only when FILLING takes too long or FAILED, and not too old */
};
void object_look(struct object *o, int64_t now_us, struct object_view *v);

/* Waits unless there already is what w wants (or the cache stops): then false, and w is untouched. */
bool object_wait(struct object *o, struct waiter *w);
/* Waits no more, and wake() is not called. false: it is, or is being called. The thread that waits. */
bool object_leave(struct object *o, struct waiter *w);

/* Copies bytes from pos. > 0: how many; 0: none yet; ERR_CLOSED: the end; ERR_IO: it will not be finished. */
ssize_t object_read(struct object *o, uint64_t pos, void *dst, size_t max);

/* The same without a copy: a reference to the piece that has pos, at *off in it. *last: nothing comes after it. */
ssize_t object_piece(struct object *o, uint64_t pos, struct buf **piece, size_t *off, bool *last);

/* --- loop thread --- */

/* The first append names type and whether it will be immutable. ERR_NOSPACE: no room even after evicting, or too many
 * pieces. The object is then unchanged. Takes its own reference of bytes. */
int cache_append(struct object *o, struct buf *bytes, const char *content_type, bool immutable);
/* The same, if there are bytes, and then it is COMPLETE: nobody ever sees the one without the other. */
int cache_complete(struct object *o, struct buf *last, const char *content_type, bool immutable, uint32_t ttl_ms, int64_t now_us);
void cache_missing(struct object *o, uint32_t ttl_ms, int64_t now_us);
/* again_us: there is no use in asking before then; 0: nobody can say, and the moment that is told above has to do. */
void cache_fail(struct object *o, int why, int64_t again_us, int64_t now_us);
void cache_due(struct object *o, int64_t due_us); /* it is FILLING; when it fails the note that stands for it says so too */
/* Wakes the waiters of o whose deadline passed, and all of them once there is a stale object to give them. */
void cache_expire_waiters(struct object *o, int64_t now_us);

size_t cache_bytes(struct cache *c);
size_t cache_pinned(struct cache *c); /* of them, what nobody finds any more and is still being read: no room can be made of these */
size_t cache_objects(struct cache *c);

#endif
