/* cache_impl.h - what the files of the cache share: cache.c (the table, and an object's states), evict.c (what goes when it is full) and
 * ledger.c (how many bytes there are). */
#ifndef EDGED_CACHE_IMPL_H
#define EDGED_CACHE_IMPL_H

#include <pthread.h>

#include "edged/cache.h"
#include "edged/evict.h"
#include "edged/ledger.h"

#define CACHE_BUCKETS 1024 /* per shard */

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

/* Under the shard's lock. The table's reference, to be given back without the lock; NULL if o was not in the table. */
struct object *cache_take_out(struct object *o);

#endif
