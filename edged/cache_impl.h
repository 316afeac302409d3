/* cache_impl.h - what the files of the cache share: cache.c (the table), object.c (one object, as its readers see it), cache_fill.c (the
 * steps that make it), evict.c (what goes when it is full) and ledger.c (how many bytes there are). */
#ifndef EDGED_CACHE_IMPL_H
#define EDGED_CACHE_IMPL_H

#include <pthread.h>

#include "edged/cache.h"
#include "edged/evict.h"
#include "edged/ledger.h"

#define CACHE_BUCKETS 1024 /* per shard */
#define CACHE_FAILED_LONGEST_US (60 * US_PER_S) /* a peer says when it is worth asking again, and is not believed more than that */

struct shard {
        pthread_mutex_t lock; /* of all that follows, and of the objects in it */
        _Atomic(struct object *) buckets[CACHE_BUCKETS]; /* changed under it, read without: readers.h */
        struct evict_queues media; /* COMPLETE */
        struct evict_queue names;  /* MISSING and FAILED: short notes, which push out nothing but each other */
};

struct cache {
        struct cache_config cfg;
        struct cache_ops ops;
        void *arg;
        struct mailbox *mb;
        atomic_bool stopping;
        struct ledger ledger;
        atomic_size_t objects;
        atomic_size_t small_bytes, main_bytes; /* of those that are in the small queues; in the main ones */
        atomic_size_t names_bytes;             /* of the notes of what is MISSING or FAILED */
        atomic_uint filling;
        _Atomic(struct object *) dead; /* the last one first; loop thread: */
        struct object *dying; /* those that go when everybody has passed who looked at the time of */
        uint64_t dying_mark;
        unsigned hand;   /* loop thread: the shard that is to give something up next */
        uint64_t random; /* loop thread */
        struct shard shards[CACHE_SHARDS];
};

/* --- cache.c: the table, under the shard's lock --- */
void cache_put_in(struct object *o); /* the table takes over a reference */
/* The table's reference, to be given back without the lock; NULL if o was not in the table. */
struct object *cache_take_out(struct object *o);

/* --- object.c --- */
/* FILLING, with one reference. */
struct object *object_new(struct cache *c, struct shard *s, uint64_t hash, const char *key, size_t len);
void object_discharge(struct object *o, size_t bytes); /* the opposite of object_charge() */
void object_free_pieces(struct buf **pieces, unsigned count);
/* It may be given away though it has expired. NULL: false. */
bool object_is_usable(const struct object *o, int64_t now_us);
/* Frees objects without a reference, when nobody can be looking at them in passing any more. Loop thread. */
void objects_free_dead(struct cache *c);

#endif
