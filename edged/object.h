/* object.h - what the edge has of the bytes behind one name, complete or still growing, and who waits for more of them.
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
 * An object leaves FILLING once and never comes back. It is counted: the table, a fill, each reader hold a reference. Objects are made by
 * the cache (cache.h, which has the rules for threads and locks) and grow by the steps of a fill there; here is what their readers do.
 *
 * Looking at what is not FILLING, or reading it, takes no lock and allocates nothing. What readers attach is set by compare-and-swap. */
#ifndef EDGED_OBJECT_H
#define EDGED_OBJECT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/mailbox.h"
#include "edged/addresses.h"
#include "edged/waiters.h"

#define OBJECT_TYPE_MAX 64

struct cache;
struct shard;

enum object_state { OBJECT_FILLING, OBJECT_COMPLETE, OBJECT_MISSING, OBJECT_FAILED };

/* Who has paid for asking whether there is such an object (addresses.h). */
struct charge {
        bool paid;
        struct address by;
};

struct object {
        /* set when it is made, constant */
        struct cache *cache;
        struct shard *shard;
        uint64_t hash;
        uint8_t hops;
        bool ahead; /* made before anybody asked */
        int64_t made_us; /* monotonic */
        uint8_t deepest; /* loop thread: tiers that whoever joined it from below has passed; more than `hops` may be a circle (fill.h) */
        uint8_t too_deep; /* loop thread: who stands as deep as that is refused while it is FILLING; 0: nobody is */
        bool owned; /* loop thread: a sibling takes this edge for its owner, so it comes from above (siblings.h) */
        struct charge charge; /* later the loop thread's: it is paid back at most once */

        atomic_uint refs;
        _Atomic int64_t wanted_us; /* when somebody last asked for it while it was FILLING */
        _Atomic(void *) attached; /* what readers made of the body */
        _Atomic(struct object *) chain; /* of the hash bucket: changed under the lock, followed without */
        _Atomic uint8_t hits;           /* evict.h */
        atomic_bool asked;              /* somebody has asked for it, ever */

        /* Guarded by the shard's lock; written by the loop thread only. When `state` is no longer FILLING it, and what follows up to
         * `stale`, does not change any more, but for the two atomics: then all of it may be read without the lock. */
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
        char type[OBJECT_TYPE_MAX]; /* as the tier above calls it */
        bool immutable;
        _Atomic uint64_t digest; /* of its bytes; before COMPLETE can be seen, 0 until then */

        struct mail mail;         /* to the loop, when it is made */
        struct object *next_dead; /* no reference is left, but somebody may still look at it in passing (readers.h) */
        char key[];
};

struct object *object_ref(struct object *o);
void object_unref(struct object **o); /* NULL in it is fine, and is what it leaves */

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

/* What a reader made of the body of a COMPLETE object, to be found by the next one; it goes with the object (cache_ops.detach). NULL:
 * nothing yet. false: somebody was quicker, and `what` is still the caller's. bytes count, and those that come to it later. Any thread.
 * */
void *object_attached(struct object *o);
bool object_attach(struct object *o, void *what, size_t bytes);
void object_charge(struct object *o, size_t bytes);

#endif
