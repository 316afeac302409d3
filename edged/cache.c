#include "edged/cache_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/mem.h"
#include "edged/pages.h"

#define TTL_MIN_MS 100 /* an answer for "now" still serves everybody who asked for it */
#define FAILED_LONGEST_US (60 * US_PER_S) /* a peer says when it is worth asking again, and is not believed more than that */

/* ---- the table; all under the shard's lock ------------------------------------------------------------------------ */

static struct object **bucket_of(struct shard *s, uint64_t hash)
{
        return &s->buckets[(hash / CACHE_SHARDS) % CACHE_BUCKETS];
}

static struct object *table_find(struct shard *s, uint64_t hash, const char *key, size_t len)
{
        for (struct object *o = *bucket_of(s, hash); o; o = o->chain) {
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
                evict_push(&o->shard->names, o);
}

static void leave_queue(struct object *o)
{
        if (o->state == OBJECT_COMPLETE)
                evict_leave(o);
        else if (o->state != OBJECT_FILLING)
                evict_unlink(&o->shard->names, o);
}

/* The table takes over a reference of o's. */
static void table_insert(struct object *o)
{
        struct object **b = bucket_of(o->shard, o->hash);
        o->chain = *b;
        *b = o;
        o->in_table = true;
        if (o->evicted) /* it was taken out while it was refreshed, in vain */
                atomic_fetch_sub(&o->cache->pinned, o->charged_bytes);
        o->evicted = false;
        enter_queue(o);
        atomic_fetch_add(&o->cache->objects, 1);
}

struct object *cache_take_out(struct object *o)
{
        if (!o->in_table)
                return NULL;
        struct object **at = bucket_of(o->shard, o->hash);
        while (*at != o)
                at = &(*at)->chain;
        *at = o->chain;
        leave_queue(o);
        o->in_table = false;
        o->evicted = o->state == OBJECT_COMPLETE; /* and counts until its last reader has left: mostly at once */
        if (o->evicted)
                atomic_fetch_add(&o->cache->pinned, o->charged_bytes);
        atomic_fetch_sub(&o->cache->objects, 1);
        return o;
}

/* ---- objects -------------------------------------------------------------------------------------------------- */

static void charge(struct object *o, size_t bytes)
{
        o->charged_bytes += bytes;
        atomic_fetch_add(&o->cache->bytes, bytes);
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

static void free_chunks(struct buf **chunks, unsigned count)
{
        for (unsigned i = 0; i < count; i++)
                buf_unref(&chunks[i]);
        free(chunks);
}

void object_unref(struct object **op)
{
        struct object *o = *op;
        *op = NULL;
        if (!o || atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) > 1)
                return;
        assert(!o->waiters.earliest && !o->in_table);
        for (int i = 0; i < CACHE_RESPONSES; i++) {
                void *response = atomic_load(&o->responses[i]);
                if (response)
                        o->cache->ops.free_response(response);
        }
        free_chunks(o->chunks, o->chunk_count);
        buf_unref(&o->body);
        atomic_fetch_sub(&o->cache->bytes, o->charged_bytes);
        if (o->evicted)
                atomic_fetch_sub(&o->cache->pinned, o->charged_bytes);
        object_unref(&o->stale);
        free(o);
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
                        for (struct object *o = s->buckets[b]; o; o = o->chain) {
                                *tail = waiters_take_all(&o->waiters);
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
                        while (s->buckets[b]) {
                                struct object *o = cache_take_out(s->buckets[b]);
                                object_unref(&o);
                        }
                }
                pthread_mutex_destroy(&s->lock);
        }
        free(c);
}

static bool usable_stale(const struct object *o, int64_t now_us)
{
        return o && o->state == OBJECT_COMPLETE && now_us < o->expires_us + CACHE_STALE_MAX_US;
}

static void post_fill(struct mail *mail)
{
        struct object *o = (struct object *)(void *)((char *)mail - offsetof(struct object, mail));
        o->cache->ops.fill(o->cache->arg, o);
}

/* Under the lock. The references: the table's, the fill's, the caller's. The one of `expired` moves from the table to it. */
static struct object *begin_filling(struct cache *c, struct shard *s, uint64_t hash, const char *key, size_t len,
                                    struct object *expired, int64_t now_us)
{
        struct object *o = object_new(c, s, hash, key, len);
        atomic_store(&o->refs, 3);
        o->made_us = now_us;
        atomic_store(&o->wanted_us, now_us);
        if (expired)
                o->stale = cache_take_out(expired);
        table_insert(o);
        o->mail.deliver = post_fill;
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

/* Under the lock, o is what the table has or NULL. */
static enum cache_result judge(struct object *o, int64_t now_us, struct object **out)
{
        if (!o)
                return CACHE_MISS;
        if (o->state == OBJECT_FILLING) {
                if (now_us - o->made_us > CACHE_STALE_WAIT_US && usable_stale(o->stale, now_us)) {
                        *out = object_ref(o->stale);
                        return CACHE_STALE;
                }
                atomic_store_explicit(&o->wanted_us, now_us, memory_order_relaxed);
                *out = object_ref(o);
                return CACHE_JOINED;
        }
        if (now_us < o->expires_us) {
                if (o->hits < EVICT_HITS_MAX)
                        o->hits++;
                *out = object_ref(o);
                return CACHE_HIT;
        }
        if (now_us < o->retry_us && usable_stale(o, now_us)) {
                *out = object_ref(o);
                return CACHE_STALE;
        }
        return CACHE_MISS;
}

enum cache_result cache_find(struct cache *c, const char *key, size_t len, int64_t now_us, struct object **out)
{
        assert(len <= KEY_MAX);
        uint64_t hash = XXH3_64bits(key, len);
        struct shard *s = &c->shards[hash % CACHE_SHARDS];
        *out = NULL;
        pthread_mutex_lock(&s->lock);
        enum cache_result result = judge(table_find(s, hash, key, len), now_us, out);
        pthread_mutex_unlock(&s->lock);
        return result;
}

static enum cache_result get(struct cache *c, const char *key, size_t len, uint8_t hops, const struct charge *charge, int64_t now_us,
                             struct object **out)
{
        assert(len <= KEY_MAX);
        uint64_t hash = XXH3_64bits(key, len);
        struct shard *s = &c->shards[hash % CACHE_SHARDS];
        struct object *made = NULL, *dropped = NULL;
        *out = NULL;
        pthread_mutex_lock(&s->lock);
        struct object *o = table_find(s, hash, key, len);
        enum cache_result result = judge(o, now_us, out);
        if (result == CACHE_MISS && !may_fill(c)) {
                result = CACHE_FULL;
        } else if (result == CACHE_MISS) {
                bool keep = usable_stale(o, now_us);
                unsigned failures = o && o->state == OBJECT_FAILED && now_us - o->expires_us < FAILED_LONGEST_US ? o->failures : 0;
                if (o && !keep)
                        dropped = cache_take_out(o);
                *out = made = begin_filling(c, s, hash, key, len, keep ? o : NULL, now_us);
                made->hops = hops;
                made->failures = failures;
                made->proven = o && (o->proven || o->hits); /* what is refreshed is no newcomer */
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
        return get(c, key, len, hops, NULL, now_us, out);
}

enum cache_result cache_get_charged(struct cache *c, const char *key, size_t len, const struct charge *charge, int64_t now_us,
                                    struct object **out)
{
        return get(c, key, len, 0, charge, now_us, out);
}

void object_look(struct object *o, int64_t now_us, struct object_view *v)
{
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
        pthread_mutex_lock(&o->shard->lock);
        if (pos < o->len) {
                *piece = buf_ref(piece_at(o, pos, off));
                answer = (ssize_t)((*piece)->len - *off);
                *last = o->state == OBJECT_COMPLETE && pos + (uint64_t)answer == o->len;
        } else if (o->state != OBJECT_FILLING) {
                answer = o->state == OBJECT_COMPLETE ? ERR_CLOSED : ERR_IO;
        }
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
        o->chunks[o->chunk_count++] = buf_ref(bytes);
        o->len += bytes->len;
        charge(o, bytes->len);
}

int cache_append(struct object *o, struct buf *bytes, const char *content_type, bool immutable)
{
        assert(o->state == OBJECT_FILLING);
        if (bytes->len == 0)
                return 0;
        if (o->chunk_count == CACHE_CHUNKS_MAX || !evict_make_room(o->cache, bytes->len))
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
        if (o->chunk_count == 0)
                return last ? pages_join(&last, 1) : buf_new(0);
        struct buf *parts[CACHE_CHUNKS_MAX + 1];
        memcpy(parts, o->chunks, o->chunk_count * sizeof(*parts));
        parts[o->chunk_count] = last;
        return pages_join(parts, o->chunk_count + (last ? 1 : 0));
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

/* The end of FILLING: the state changes, and the object stays in the table (listed by its new state) or `instead`, whose reference the table
 * takes over, comes there in its place. Comes with the shard locked and unlocks it. */
static void leave_filling(struct object *o, enum object_state state, struct object *instead)
{
        struct object *old = NULL, *unwanted = NULL;
        struct object *ours = cache_take_out(o); /* FILLING is in no queue, so it is taken out and put back by its new state */
        o->state = state;
        if (ours && state != OBJECT_FAILED) {
                table_insert(o);
                ours = NULL;
        } else if (ours && instead) {
                table_insert(instead);
        } else {
                unwanted = instead;
        }
        if (o->shard->names.count > CACHE_MISSING_PER_SHARD)
                old = cache_take_out(o->shard->names.oldest);
        struct waiter *woken = waiters_take_all(&o->waiters);
        pthread_mutex_unlock(&o->shard->lock);
        atomic_fetch_sub(&o->cache->filling, 1);
        object_unref(&old);
        object_unref(&unwanted);
        waiters_wake(woken, false);
        object_unref(&ours);
}

int cache_complete(struct object *o, struct buf *last, const char *content_type, bool immutable, uint32_t ttl_ms, int64_t now_us)
{
        assert(o->state == OBJECT_FILLING);
        size_t more = last ? last->len : 0;
        if (more && !evict_make_room(o->cache, more))
                return ERR_NOSPACE;
        struct buf *body = join_chunks(o, more ? last : NULL); /* only this thread changes the pieces, so they may be read without the lock */
        pthread_mutex_lock(&o->shard->lock);
        set_type(o, content_type, immutable);
        cache_make_etag(o->etag, body->data, body->len);
        struct buf **chunks = o->chunks;
        unsigned count = o->chunk_count;
        struct object *stale = o->stale;
        o->stale = NULL;
        charge(o, more - o->chunk_cap * sizeof(*o->chunks));
        o->chunks = NULL;
        o->chunk_count = o->chunk_cap = 0;
        o->body = body;
        o->len = body->len;
        int64_t ttl_us = (ttl_ms > TTL_MIN_MS ? ttl_ms : TTL_MIN_MS) * US_PER_MS;
        o->expires_us = immutable ? INT64_MAX / 2 : now_us + ttl_us;
        leave_filling(o, OBJECT_COMPLETE, NULL);
        free_chunks(chunks, count);
        object_unref(&stale);
        return 0;
}

void cache_missing(struct object *o, uint32_t ttl_ms, int64_t now_us)
{
        assert(o->state == OBJECT_FILLING && o->len == 0);
        pthread_mutex_lock(&o->shard->lock);
        struct object *stale = o->stale;
        o->stale = NULL;
        o->expires_us = now_us + (ttl_ms > TTL_MIN_MS ? ttl_ms : TTL_MIN_MS) * US_PER_MS;
        leave_filling(o, OBJECT_MISSING, NULL);
        object_unref(&stale);
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
        struct object *instead = usable_stale(o->stale, now_us) ? object_ref(o->stale) : note_failure(o, why, until_us);
        if (instead == o->stale)
                instead->retry_us = now_us + CACHE_STALE_RETRY_US;
        leave_filling(o, OBJECT_FAILED, instead);
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
        return atomic_load(&c->bytes);
}

size_t cache_pinned(struct cache *c)
{
        return atomic_load(&c->pinned);
}

size_t cache_objects(struct cache *c)
{
        return atomic_load(&c->objects);
}
