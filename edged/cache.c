#include "edged/cache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/mem.h"
#include "edged/cache_impl.h"
#include "edged/readers.h"

/* ---- the table: under the shard's lock, but table_find(), which may be called by a reader (readers.h) ------------------- */

static _Atomic(struct object *) *bucket_of(struct shard *s, uint64_t hash)
{
        return &s->buckets[(hash / CACHE_SHARDS) % CACHE_BUCKETS];
}

static struct object *table_find(struct shard *s, uint64_t hash, const char *key, size_t len)
{
        for (struct object *o = atomic_load(bucket_of(s, hash)); o; o = atomic_load(&o->chain)) {
                if (o->hash == hash && strncmp(o->key, key, len) == 0 && o->key[len] == 0)
                        return o;
        }
        return NULL;
}

static void enter_queue(struct object *o)
{
        if (o->state == OBJECT_COMPLETE)
                evict_enter(o);
        else if (o->state != OBJECT_FILLING)
                evict_enter_name(o);
}

static void leave_queue(struct object *o)
{
        if (o->state == OBJECT_COMPLETE)
                evict_leave(o);
        else if (o->state != OBJECT_FILLING)
                evict_leave_name(o);
}

/* The table takes over a reference of o's. */
void cache_put_in(struct object *o)
{
        _Atomic(struct object *) *b = bucket_of(o->shard, o->hash);
        atomic_store(&o->chain, atomic_load(b));
        atomic_store(b, o);
        o->in_table = true;
        enter_queue(o);
        atomic_fetch_add(&o->cache->objects, 1);
}

struct object *cache_take_out(struct object *o)
{
        if (!o->in_table)
                return NULL;
        _Atomic(struct object *) *at = bucket_of(o->shard, o->hash);
        for (struct object *there; (there = atomic_load(at)) != o;)
                at = &there->chain;
        atomic_store(at, atomic_load(&o->chain)); /* o still leads on those who stand on it */
        leave_queue(o);
        o->in_table = false;
        if (o->state == OBJECT_COMPLETE)
                ledger_leave(o->body); /* it counts until its last reader has left: mostly at once */
        atomic_fetch_sub(&o->cache->objects, 1);
        return o;
}

/* ---- the cache ------------------------------------------------------------------------------------------------ */

struct cache *cache_open(const struct cache_config *cfg, const struct cache_ops *ops, void *arg, struct mailbox *mb)
{
        struct cache *c = mem_alloc(sizeof(*c));
        c->cfg = *cfg;
        c->ops = *ops;
        c->arg = arg;
        c->mb = mb;
        c->random = (uint64_t)clock_wall_us() | 1;
        ledger_open(&c->ledger);
        for (int i = 0; i < CACHE_SHARDS; i++)
                pthread_mutex_init(&c->shards[i].lock, NULL);
        return c;
}

void cache_stop_waiting(struct cache *c)
{
        atomic_store(&c->stopping, true);
        for (int i = 0; i < CACHE_SHARDS; i++) {
                struct shard *s = &c->shards[i];
                struct waiter *woken = NULL, **tail = &woken;
                pthread_mutex_lock(&s->lock);
                for (int b = 0; b < CACHE_BUCKETS; b++) {
                        for (struct object *o = atomic_load(&s->buckets[b]); o; o = atomic_load(&o->chain)) {
                                *tail = waiters_take_all(o->refresh ? &o->refresh->waiters : &o->waiters);
                                while (*tail)
                                        tail = &(*tail)->next;
                        }
                }
                pthread_mutex_unlock(&s->lock);
                waiters_wake(woken, true);
        }
}

void cache_close(struct cache *c)
{
        for (int i = 0; i < CACHE_SHARDS; i++) {
                struct shard *s = &c->shards[i];
                for (int b = 0; b < CACHE_BUCKETS; b++) {
                        for (struct object *o; (o = atomic_load(&s->buckets[b]));) {
                                o = cache_take_out(o);
                                object_unref(&o);
                        }
                }
                pthread_mutex_destroy(&s->lock);
        }
        objects_free_dead(c);
        objects_free_dead(c);
        assert(!c->dying);
        ledger_close(&c->ledger);
        free(c);
}

static void post_fill(struct mail *mail)
{
        struct object *o = (struct object *)(void *)((char *)mail - offsetof(struct object, mail));
        evict_make_room(o->cache, 0); /* for o itself, which may have been made by a thread that cannot */
        o->cache->ops.fill(o->cache->arg, o);
}

/* Under the lock. The references: of its place (the table, or `of`), of its fill, and if it is asked for by one who waits, his. */
static struct object *begin_filling(struct cache *c, struct shard *s, uint64_t hash, const char *key, size_t len, struct object *of,
                                    bool waits, int64_t now_us)
{
        struct object *o = object_new(c, s, hash, key, len);
        atomic_store(&o->refs, waits ? 3 : 2);
        o->made_us = now_us;
        atomic_store(&o->wanted_us, now_us);
        o->mail.deliver = post_fill;
        o->renews = true;
        if (!of) {
                cache_put_in(o);
                return o;
        }
        o->proven = of->proven || of->hits; /* what is refreshed is no newcomer */
        o->hops = of->hops;
        o->stale = object_ref(of);
        of->refresh = o;
        of->look_us = of->stale_until_us > now_us ? of->stale_until_us : now_us;
        return o;
}

static bool may_fill(struct cache *c)
{
        if (atomic_load(&c->stopping))
                return false;
        if (atomic_fetch_add(&c->filling, 1) < c->cfg.fills_max)
                return true;
        atomic_fetch_sub(&c->filling, 1);
        return false;
}

static void note_asked(struct object *o)
{
        if (o && !atomic_load_explicit(&o->asked, memory_order_relaxed))
                atomic_store_explicit(&o->asked, true, memory_order_relaxed);
}

static enum cache_result give_object(struct object *o, enum cache_result result, struct object **out)
{
        *out = object_ref(o);
        return result;
}

static enum cache_result join_object(struct object *o, int64_t now_us, struct object **out)
{
        if (now_us - o->made_us > CACHE_STALE_WAIT_US && object_is_usable(o->stale, now_us))
                return give_object(o->stale, CACHE_STALE, out);
        atomic_store_explicit(&o->wanted_us, now_us, memory_order_relaxed);
        return give_object(o, CACHE_JOINED, out);
}

static void note_hit(struct object *o)
{
        uint8_t hits = atomic_load_explicit(&o->hits, memory_order_relaxed);
        if (hits < EVICT_HITS_MAX) /* of two threads one may be lost, which does no harm */
                atomic_store_explicit(&o->hits, hits + 1, memory_order_relaxed);
}

/* Under the lock, o is what the table has or NULL. */
static enum cache_result judge_object(struct object *o, int64_t now_us, struct object **out)
{
        if (!o)
                return CACHE_MISS;
        if (o->state == OBJECT_FILLING)
                return join_object(o, now_us, out);
        if (now_us < o->expires_us || (o->state == OBJECT_COMPLETE && now_us < o->stale_until_us)) {
                note_hit(o);
                return give_object(o, now_us < o->expires_us ? CACHE_HIT : CACHE_STALE, out);
        }
        return o->refresh ? join_object(o->refresh, now_us, out) : CACHE_MISS;
}

static bool wants_refresh(const struct object *o, int64_t now_us)
{
        return o && o->state == OBJECT_COMPLETE && o->renews && !o->refresh && now_us >= o->look_us && now_us < o->stale_until_us;
}

/* Under the lock: somebody has been given what there is, and who has looks after the next one. NULL: it is too early, or under way, or
 * too much else is. */
static struct object *begin_refresh(struct cache *c, struct object *o, int64_t now_us)
{
        if (!wants_refresh(o, now_us) || !may_fill(c))
                return NULL;
        return begin_filling(c, o->shard, o->hash, o->key, strlen(o->key), o, false, now_us);
}

/* A reference, unless the last one has gone. */
static bool try_ref(struct object *o)
{
        unsigned refs = atomic_load_explicit(&o->refs, memory_order_relaxed);
        while (refs > 0) {
                if (atomic_compare_exchange_weak_explicit(&o->refs, &refs, refs + 1, memory_order_acquire, memory_order_relaxed))
                        return true;
        }
        return false;
}

/* Nothing is to be done but to give it away. */
static bool is_plain(struct object *o, int64_t now_us, enum cache_result *result)
{
        enum object_state state = atomic_load(&o->state);
        if (state == OBJECT_FILLING)
                return false;
        bool fresh = now_us < o->expires_us;
        *result = fresh ? CACHE_HIT : CACHE_STALE;
        return state != OBJECT_COMPLETE ? fresh
                                        : now_us < atomic_load_explicit(&o->look_us, memory_order_relaxed) &&
                                                  (fresh || now_us < atomic_load_explicit(&o->stale_until_us, memory_order_relaxed));
}

/* Without the lock. CACHE_MISS: it has to be taken to say more. */
static enum cache_result find_plain(struct shard *s, uint64_t hash, const char *key, size_t len, int64_t now_us, struct object **out)
{
        enum cache_result result = CACHE_MISS;
        if (!readers_enter())
                return CACHE_MISS;
        struct object *o = table_find(s, hash, key, len);
        if (o && is_plain(o, now_us, &result) && try_ref(o))
                *out = o;
        readers_leave();
        if (!*out)
                return CACHE_MISS;
        note_hit(o);
        return result;
}

static enum cache_result find(struct cache *c, const char *key, size_t len, int64_t now_us, struct object **out)
{
        assert(len <= KEY_MAX);
        uint64_t hash = XXH3_64bits(key, len);
        struct shard *s = &c->shards[hash % CACHE_SHARDS];
        *out = NULL;
        enum cache_result result = find_plain(s, hash, key, len, now_us, out);
        if (*out)
                return result;
        pthread_mutex_lock(&s->lock);
        struct object *o = table_find(s, hash, key, len);
        result = judge_object(o, now_us, out);
        struct object *made = begin_refresh(c, o, now_us);
        pthread_mutex_unlock(&s->lock);
        if (made)
                mailbox_post(c->mb, &made->mail);
        return result;
}

enum cache_result cache_find(struct cache *c, const char *key, size_t len, int64_t now_us, struct object **out)
{
        enum cache_result result = find(c, key, len, now_us, out);
        note_asked(*out);
        return result;
}

/* Under the lock: o is of no use any more, or there is none. *dropped: a reference to give back without the lock. */
static struct object *begin_anew(struct cache *c, struct shard *s, uint64_t hash, const char *key, size_t len, struct object *o,
                                 struct object **dropped, int64_t now_us)
{
        unsigned failures = o && o->state == OBJECT_FAILED && now_us - o->expires_us < CACHE_FAILED_LONGEST_US ? o->failures : 0;
        bool proven = o && (o->proven || o->hits);
        if (o && !object_is_usable(o, now_us)) {
                *dropped = cache_take_out(o);
                o = NULL;
        }
        struct object *made = begin_filling(c, s, hash, key, len, o, true, now_us);
        made->failures = failures;
        made->proven |= proven;
        return made;
}

static enum cache_result get_object(struct cache *c, const char *key, size_t len, uint8_t hops, const struct charge *charge,
                                    int64_t now_us, struct object **out)
{
        assert(len <= KEY_MAX);
        uint64_t hash = XXH3_64bits(key, len);
        struct shard *s = &c->shards[hash % CACHE_SHARDS];
        struct object *made = NULL, *dropped = NULL;
        *out = NULL;
        enum cache_result result = find_plain(s, hash, key, len, now_us, out);
        if (*out)
                return result;
        pthread_mutex_lock(&s->lock);
        struct object *o = table_find(s, hash, key, len);
        result = judge_object(o, now_us, out);
        if (result != CACHE_MISS) {
                made = begin_refresh(c, o, now_us);
        } else if (!may_fill(c)) {
                result = object_is_usable(o, now_us) ? give_object(o, CACHE_STALE, out) : CACHE_FULL;
        } else {
                *out = made = begin_anew(c, s, hash, key, len, o, &dropped, now_us);
                made->hops = hops;
                made->renews = !charge;
                if (charge)
                        made->charge = *charge;
        }
        if (result == CACHE_JOINED && hops > (*out)->deepest && !((*out)->too_deep && hops >= (*out)->too_deep))
                (*out)->deepest = hops;
        pthread_mutex_unlock(&s->lock);
        object_unref(&dropped);
        if (made)
                mailbox_post(c->mb, &made->mail);
        return result;
}

enum cache_result cache_get(struct cache *c, const char *key, size_t len, uint8_t hops, int64_t now_us, struct object **out)
{
        enum cache_result result = get_object(c, key, len, hops, NULL, now_us, out);
        note_asked(*out);
        return result;
}

/* Before its fill begins, if that was made now: it is in the mailbox. */
static void own_object(struct object *o)
{
        pthread_mutex_lock(&o->shard->lock);
        o->owned = true;
        if (o->refresh)
                o->refresh->owned = true;
        pthread_mutex_unlock(&o->shard->lock);
}

enum cache_result cache_get_owned(struct cache *c, const char *key, size_t len, uint8_t hops, int64_t now_us, struct object **out)
{
        enum cache_result result = get_object(c, key, len, hops, NULL, now_us, out);
        if (*out)
                own_object(*out);
        return result;
}

enum cache_result cache_get_charged(struct cache *c, const char *key, size_t len, const struct charge *charge, int64_t now_us,
                                    struct object **out)
{
        enum cache_result result = get_object(c, key, len, 0, charge, now_us, out);
        note_asked(*out);
        return result;
}

bool cache_ahead(struct cache *c, const char *key, size_t len, uint8_t hops, int64_t now_us)
{
        uint64_t hash = XXH3_64bits(key, len);
        struct shard *s = &c->shards[hash % CACHE_SHARDS];
        struct object *made = NULL;
        pthread_mutex_lock(&s->lock);
        if (!table_find(s, hash, key, len) && may_fill(c)) {
                made = begin_filling(c, s, hash, key, len, NULL, false, now_us);
                made->hops = hops;
                made->ahead = true;
        }
        pthread_mutex_unlock(&s->lock);
        if (made)
                mailbox_post(c->mb, &made->mail);
        return made;
}

bool cache_was_asked(struct cache *c, const char *key, size_t len)
{
        uint64_t hash = XXH3_64bits(key, len);
        struct shard *s = &c->shards[hash % CACHE_SHARDS];
        pthread_mutex_lock(&s->lock);
        struct object *o = table_find(s, hash, key, len);
        bool asked = o && atomic_load_explicit(&o->asked, memory_order_relaxed);
        pthread_mutex_unlock(&s->lock);
        return asked;
}

size_t cache_bytes(struct cache *c)
{
        return atomic_load(&c->ledger.bytes);
}

size_t cache_pinned(struct cache *c)
{
        return atomic_load(&c->ledger.pinned);
}

size_t cache_objects(struct cache *c)
{
        return atomic_load(&c->objects);
}
