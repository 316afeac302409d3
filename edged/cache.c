#include "edged/cache_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/mem.h"
#include "edged/readers.h"

#define TTL_MIN_MS 100 /* an answer for "now" still serves everybody who asked for it */
#define FAILED_LONGEST_US (60 * US_PER_S) /* a peer says when it is worth asking again, and is not believed more than that */

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
static void table_insert(struct object *o)
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

/* ---- objects -------------------------------------------------------------------------------------------------- */

static void charge(struct object *o, size_t bytes)
{
        atomic_fetch_add_explicit(&o->charged_bytes, bytes, memory_order_relaxed);
        ledger_add(&o->cache->ledger, bytes);
}

static void discharge(struct object *o, size_t bytes)
{
        atomic_fetch_sub_explicit(&o->charged_bytes, bytes, memory_order_relaxed);
        ledger_sub(&o->cache->ledger, bytes);
}

static struct object *object_new(struct cache *c, struct shard *s, uint64_t hash, const char *key, size_t len)
{
        struct object *o = mem_alloc(sizeof(*o) + len + 1);
        o->cache = c;
        o->shard = s;
        o->hash = hash;
        memcpy(o->key, key, len);
        atomic_init(&o->refs, 1);
        charge(o, sizeof(*o) + len + 1);
        return o;
}

struct object *object_ref(struct object *o)
{
        unsigned before = atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
        assert(before > 0);
        (void)before;
        return o;
}

void *object_attached(struct object *o)
{
        return atomic_load_explicit(&o->attached, memory_order_acquire);
}

bool object_attach(struct object *o, void *what, size_t bytes)
{
        void *nothing = NULL;
        if (!atomic_compare_exchange_strong(&o->attached, &nothing, what))
                return false;
        charge(o, bytes);
        return true;
}

void object_charge(struct object *o, size_t bytes)
{
        charge(o, bytes);
}

bool object_is_cut(struct object *o)
{
        enum object_state state = atomic_load(&o->state);
        if (state == OBJECT_FAILED) /* its pieces left in their order, so the first one is cut first */
                return o->chunk_count > 0 && ledger_is_cut(o->chunks[0]);
        return state == OBJECT_COMPLETE && ledger_is_cut(o->body);
}

static void free_chunks(struct buf **chunks, unsigned count)
{
        for (unsigned i = 0; i < count; i++)
                buf_unref(&chunks[i]);
        free(chunks);
}

/* Its bytes are gone; what is left goes when nobody stands on it any more. */
static void bury(struct object *o)
{
        struct object *last = atomic_load(&o->cache->dead);
        do
                o->next_dead = last;
        while (!atomic_compare_exchange_weak(&o->cache->dead, &last, o));
}

/* Loop thread. */
static void free_dead(struct cache *c)
{
        if (c->dying && !readers_passed(c->dying_mark))
                return;
        for (struct object *o; (o = c->dying);) {
                c->dying = o->next_dead;
                free(o);
        }
        c->dying = atomic_exchange(&c->dead, NULL);
        c->dying_mark = readers_mark();
}

void object_unref(struct object **op)
{
        struct object *o = *op;
        *op = NULL;
        if (!o || atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) > 1)
                return;
        assert(!o->waiters.earliest && !o->in_table);
        void *attached = atomic_load(&o->attached);
        if (attached)
                o->cache->ops.detach(attached);
        free_chunks(o->chunks, o->chunk_count);
        buf_unref(&o->body);
        ledger_sub(&o->cache->ledger, atomic_load(&o->charged_bytes));
        object_unref(&o->stale);
        bury(o);
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
        free_dead(c);
        free_dead(c);
        assert(!c->dying);
        ledger_close(&c->ledger);
        free(c);
}

static bool usable_stale(const struct object *o, int64_t now_us)
{
        return o && o->state == OBJECT_COMPLETE && now_us < o->expires_us + CACHE_STALE_MAX_US;
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
                table_insert(o);
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
        if (now_us - o->made_us > CACHE_STALE_WAIT_US && usable_stale(o->stale, now_us))
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
        unsigned failures = o && o->state == OBJECT_FAILED && now_us - o->expires_us < FAILED_LONGEST_US ? o->failures : 0;
        bool proven = o && (o->proven || o->hits);
        if (o && !usable_stale(o, now_us)) {
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
                result = usable_stale(o, now_us) ? give_object(o, CACHE_STALE, out) : CACHE_FULL;
        } else {
                *out = made = begin_anew(c, s, hash, key, len, o, &dropped, now_us);
                made->hops = hops;
                made->renews = !charge;
                if (charge)
                        made->charge = *charge;
        }
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

void object_look(struct object *o, int64_t now_us, struct object_view *v)
{
        if (atomic_load(&o->state) == OBJECT_COMPLETE) {
                *v = (struct object_view){.state = OBJECT_COMPLETE, .len = o->len, .body = o->body};
                return;
        }
        pthread_mutex_lock(&o->shard->lock);
        *v = (struct object_view){.state = o->state, .failure = o->failure, .len = o->len, .body = o->body};
        v->due_us = o->len == 0 ? o->due_us : 0;
        v->again_us = o->state == OBJECT_FAILED ? o->expires_us : o->state == OBJECT_FILLING && o->len == 0 ? o->due_us : 0;
        bool late = o->state == OBJECT_FILLING && now_us - o->made_us > CACHE_STALE_WAIT_US;
        if ((late || o->state == OBJECT_FAILED) && usable_stale(o->stale, now_us))
                v->stale = object_ref(o->stale);
        pthread_mutex_unlock(&o->shard->lock);
}

bool object_wait(struct object *o, struct waiter *w)
{
        pthread_mutex_lock(&o->shard->lock);
        bool wait = o->state == OBJECT_FILLING && w->have >= o->len && !atomic_load(&o->cache->stopping);
        if (wait) {
                waiters_add(&o->waiters, w);
                if (w->suspend)
                        w->suspend(w);
        }
        pthread_mutex_unlock(&o->shard->lock);
        return wait;
}

bool object_leave(struct object *o, struct waiter *w)
{
        pthread_mutex_lock(&o->shard->lock);
        bool left = waiters_leave(&o->waiters, w);
        pthread_mutex_unlock(&o->shard->lock);
        return left;
}

/* Under the lock: the piece that holds pos, and where in it. */
static struct buf *piece_at(struct object *o, uint64_t pos, size_t *off)
{
        if (o->body) {
                *off = pos;
                return o->body;
        }
        uint64_t begin = o->len;
        unsigned i = o->chunk_count;
        do { /* readers are near the end */
                begin -= o->chunks[--i]->len;
        } while (begin > pos);
        *off = pos - begin;
        return o->chunks[i];
}

ssize_t object_piece(struct object *o, uint64_t pos, struct buf **piece, size_t *off, bool *last)
{
        ssize_t answer = 0;
        bool locked = atomic_load(&o->state) == OBJECT_FILLING; /* and if it is so no more in a moment, that does no harm */
        if (locked)
                pthread_mutex_lock(&o->shard->lock);
        if (pos < o->len) {
                *piece = buf_ref(piece_at(o, pos, off));
                answer = (ssize_t)((*piece)->len - *off);
                *last = o->state == OBJECT_COMPLETE && pos + (uint64_t)answer == o->len;
        } else if (o->state != OBJECT_FILLING) {
                answer = o->state == OBJECT_COMPLETE ? ERR_CLOSED : ERR_IO;
        }
        if (locked)
                pthread_mutex_unlock(&o->shard->lock);
        return answer;
}

ssize_t object_read(struct object *o, uint64_t pos, void *dst, size_t max)
{
        struct buf *piece = NULL;
        size_t off = 0;
        bool last;
        ssize_t n = object_piece(o, pos, &piece, &off, &last);
        if (n <= 0)
                return n;
        n = (size_t)n < max ? n : (ssize_t)max;
        memcpy(dst, piece->data + off, (size_t)n);
        buf_unref(&piece);
        return n;
}

/* ---- loop thread: the steps of a fill ------------------------------------------------------------------------- */

static void set_type(struct object *o, const char *content_type, bool immutable)
{
        if (o->len > 0)
                return;
        memcpy(o->content_type, content_type, strnlen(content_type, sizeof(o->content_type) - 1));
        o->immutable = immutable;
}

static void add_piece(struct object *o, struct buf *bytes)
{
        if (o->chunk_count == o->chunk_cap) {
                unsigned more = o->chunk_cap ? o->chunk_cap : 8;
                o->chunk_cap += more;
                o->chunks = mem_resize(o->chunks, o->chunk_cap * sizeof(*o->chunks));
                charge(o, more * sizeof(*o->chunks));
        }
        o->chunks[o->chunk_count++] = ledger_hold(&o->cache->ledger, bytes);
        o->len += bytes->len;
}

int cache_append(struct object *o, struct buf *bytes, const char *content_type, bool immutable)
{
        assert(o->state == OBJECT_FILLING);
        if (bytes->len == 0)
                return 0;
        if (o->chunk_count == CACHE_CHUNKS_MAX || !evict_make_room(o->cache, bytes->len + LEDGER_EACH))
                return ERR_NOSPACE;
        pthread_mutex_lock(&o->shard->lock);
        set_type(o, content_type, immutable);
        add_piece(o, bytes);
        struct waiter *woken = waiters_take_behind(&o->waiters, o->len);
        pthread_mutex_unlock(&o->shard->lock);
        waiters_wake(woken, false);
        return 0;
}

/* The pieces and the last of them in one, as the kernel can be given it; while it is put together both are there. */
static struct buf *join_chunks(const struct object *o, struct buf *last)
{
        struct buf *parts[CACHE_CHUNKS_MAX + 1];
        for (unsigned i = 0; i < o->chunk_count; i++)
                parts[i] = o->chunks[i];
        parts[o->chunk_count] = last;
        return ledger_join(&o->cache->ledger, parts, o->chunk_count + (last ? 1 : 0));
}

void cache_make_etag(char etag[ETAG_MAX], const void *bytes, size_t len)
{
        static const char hex[] = "0123456789abcdef";
        uint64_t h = XXH3_64bits(bytes, len);
        etag[0] = '"';
        for (int i = 0; i < 16; i++)
                etag[1 + i] = hex[h >> (60 - 4 * i) & 15];
        etag[17] = '"';
        etag[18] = 0;
}

/* Under the lock: o's place, which is the table's or that of what it refreshes, is given to o in its new state, or to `instead`; if that is what
 * it refreshes, it stays there. *dropped: references to give back without the lock. */
static void change_place(struct object *o, enum object_state state, struct object *instead, struct object *dropped[2])
{
        struct object *of = o->stale;
        if (of && of->refresh == o) {
                of->refresh = NULL;
                dropped[0] = o;
                if (instead != of)
                        dropped[1] = cache_take_out(of);
        } else {
                dropped[0] = cache_take_out(o);
                assert(dropped[0]); /* FILLING is in no queue, and is evicted by nobody */
        }
        o->state = state;
        if (state != OBJECT_FAILED) {
                table_insert(o);
                dropped[0] = NULL;
        } else if (instead != of) {
                table_insert(instead);
        }
}

/* The end of FILLING. The table takes over the reference of `instead`. Comes with the shard locked and unlocks it. */
static void leave_filling(struct object *o, enum object_state state, struct object *instead)
{
        struct object *old = NULL, *dropped[2] = {NULL, NULL}, *stale = NULL;
        change_place(o, state, instead, dropped);
        if (state != OBJECT_FAILED) { /* who holds one that failed is given what there was before */
                stale = o->stale;
                o->stale = NULL;
        }
        if (o->shard->names.count > CACHE_MISSING_PER_SHARD)
                old = cache_take_out(o->shard->names.oldest);
        struct waiter *woken = waiters_take_all(&o->waiters);
        pthread_mutex_unlock(&o->shard->lock);
        atomic_fetch_sub(&o->cache->filling, 1);
        object_unref(&old);
        object_unref(&stale);
        waiters_wake(woken, false);
        object_unref(&dropped[1]);
        object_unref(&dropped[0]);
        free_dead(o->cache);
}

int cache_complete(struct object *o, struct buf *last, const char *content_type, bool immutable, uint32_t ttl_ms, int64_t now_us)
{
        assert(o->state == OBJECT_FILLING);
        size_t more = last ? last->len : 0;
        /* If there is room for what is new and not for all of it once more, it is beyond the budget until the pieces have gone. */
        if (!evict_make_room(o->cache, o->len + more + LEDGER_EACH) && more && !evict_make_room(o->cache, more + LEDGER_EACH))
                return ERR_NOSPACE;
        struct buf *body = join_chunks(o, more ? last : NULL); /* only this thread changes the pieces, so they may be read without the lock */
        char etag[ETAG_MAX];
        cache_make_etag(etag, body->data, body->len); /* of some megabytes too long for a lock that viewers of other objects want */
        pthread_mutex_lock(&o->shard->lock);
        set_type(o, content_type, immutable);
        memcpy(o->etag, etag, sizeof(etag));
        struct buf **chunks = o->chunks;
        unsigned count = o->chunk_count;
        discharge(o, o->chunk_cap * sizeof(*o->chunks));
        o->chunks = NULL;
        o->chunk_count = o->chunk_cap = 0;
        o->body = body;
        o->len = body->len;
        int64_t ttl_us = (ttl_ms > TTL_MIN_MS ? ttl_ms : TTL_MIN_MS) * US_PER_MS;
        o->expires_us = immutable ? INT64_MAX / 2 : now_us + ttl_us;
        o->look_us = immutable || !o->renews ? o->expires_us : o->expires_us - ttl_us / CACHE_EARLY_PART;
        o->stale_until_us = o->expires_us + (o->renews ? (ttl_us < CACHE_GRACE_US ? ttl_us : CACHE_GRACE_US) : 0);
        leave_filling(o, OBJECT_COMPLETE, NULL);
        for (unsigned i = 0; i < count; i++)
                ledger_leave(chunks[i]); /* who is sending it keeps it */
        free_chunks(chunks, count);
        return 0;
}

void cache_missing(struct object *o, uint32_t ttl_ms, int64_t now_us)
{
        assert(o->state == OBJECT_FILLING && o->len == 0);
        pthread_mutex_lock(&o->shard->lock);
        o->expires_us = now_us + (ttl_ms > TTL_MIN_MS ? ttl_ms : TTL_MIN_MS) * US_PER_MS;
        leave_filling(o, OBJECT_MISSING, NULL);
}

/* How long what failed is not asked for again. */
static int64_t failed_for_us(struct cache *c, unsigned failures)
{
        int64_t most_us = CACHE_FAILED_FIRST_US;
        for (unsigned i = 0; i < failures && most_us < CACHE_FAILED_MAX_US; i++)
                most_us *= 2;
        most_us = most_us < CACHE_FAILED_MAX_US ? most_us : CACHE_FAILED_MAX_US;
        c->random ^= c->random << 13; /* xorshift64 */
        c->random ^= c->random >> 7;
        c->random ^= c->random << 17;
        return most_us / 2 + (int64_t)(c->random % (uint64_t)(most_us / 2));
}

/* A note in the table instead of o, which may have bytes that nobody is to keep. The table's reference. */
static struct object *note_failure(const struct object *o, int why, int64_t until_us)
{
        struct object *note = object_new(o->cache, o->shard, o->hash, o->key, strlen(o->key));
        note->state = OBJECT_FAILED;
        note->failure = why;
        note->due_us = o->due_us;
        note->failures = o->failures + 1;
        note->expires_us = until_us;
        return note;
}

void cache_fail(struct object *o, int why, int64_t again_us, int64_t now_us)
{
        assert(o->state == OBJECT_FILLING);
        int64_t until_us = now_us + failed_for_us(o->cache, o->failures), most_us = now_us + FAILED_LONGEST_US;
        if (again_us > until_us)
                until_us = again_us < most_us ? again_us : most_us;
        pthread_mutex_lock(&o->shard->lock);
        o->failure = why;
        o->expires_us = until_us;
        struct object *instead = o->stale;
        if (usable_stale(o->stale, now_us)) {
                o->stale->look_us = now_us + CACHE_STALE_RETRY_US;
                o->stale->stale_until_us = o->stale->expires_us + CACHE_STALE_MAX_US;
        } else {
                instead = note_failure(o, why, until_us);
        }
        leave_filling(o, OBJECT_FAILED, instead);
        for (unsigned i = 0; i < o->chunk_count; i++)
                ledger_leave(o->chunks[i]); /* they go with o: who reads it keeps them all */
}

void cache_due(struct object *o, int64_t due_us)
{
        pthread_mutex_lock(&o->shard->lock);
        o->due_us = due_us;
        pthread_mutex_unlock(&o->shard->lock);
}

void cache_expire_waiters(struct object *o, int64_t now_us)
{
        pthread_mutex_lock(&o->shard->lock);
        bool give_stale = o->len == 0 && now_us - o->made_us > CACHE_STALE_WAIT_US && usable_stale(o->stale, now_us);
        struct waiter *woken = give_stale ? waiters_take_all(&o->waiters) : waiters_take_late(&o->waiters, now_us);
        pthread_mutex_unlock(&o->shard->lock);
        waiters_wake(woken, !give_stale);
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
