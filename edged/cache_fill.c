#include "edged/cache_fill.h"

#include <assert.h>
#include <string.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/mem.h"
#include "edged/cache_impl.h"

#define TTL_MIN_MS 100 /* an answer for "now" still serves everybody who asked for it */

static void set_type(struct object *o, const char *type, bool immutable)
{
        if (o->len > 0)
                return;
        memcpy(o->type, type, strnlen(type, sizeof(o->type) - 1));
        o->immutable = immutable;
}

static void add_piece(struct object *o, struct buf *bytes)
{
        if (o->chunk_count == o->chunk_cap) {
                unsigned more = o->chunk_cap ? o->chunk_cap : 8;
                o->chunk_cap += more;
                o->chunks = mem_resize(o->chunks, o->chunk_cap * sizeof(*o->chunks));
                object_charge(o, more * sizeof(*o->chunks));
        }
        o->chunks[o->chunk_count++] = ledger_hold(&o->cache->ledger, bytes);
        o->len += bytes->len;
}

int cache_append(struct object *o, struct buf *bytes, const char *type, bool immutable)
{
        assert(o->state == OBJECT_FILLING);
        if (bytes->len == 0)
                return 0;
        if (o->chunk_count == CACHE_CHUNKS_MAX || !evict_make_room(o->cache, bytes->len + LEDGER_EACH))
                return ERR_NOSPACE;
        pthread_mutex_lock(&o->shard->lock);
        set_type(o, type, immutable);
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

uint64_t cache_digest(const void *bytes, size_t len)
{
        uint64_t digest = XXH3_64bits(bytes, len);
        return digest ? digest : 1; /* 0: there is none */
}

/* Under the lock: o's place, which is the table's or that of what it refreshes, is given to o in its new state, or to `instead`; if that
 * is what it refreshes, it stays there. *dropped: references to give back without the lock. */
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
                cache_put_in(o);
                dropped[0] = NULL;
        } else if (instead != of) {
                cache_put_in(instead);
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
        objects_free_dead(o->cache);
}

int cache_complete(struct object *o, struct buf *last, const char *type, bool immutable, uint32_t ttl_ms, int64_t now_us)
{
        assert(o->state == OBJECT_FILLING);
        size_t more = last ? last->len : 0;
        /* If there is room for what is new and not for all of it once more, it is beyond the budget until the pieces have gone. */
        if (!evict_make_room(o->cache, o->len + more + LEDGER_EACH) && more && !evict_make_room(o->cache, more + LEDGER_EACH))
                return ERR_NOSPACE;
        struct buf *body = join_chunks(o, more ? last : NULL); /* only this thread changes the pieces, so they may be read without the lock */
        uint64_t digest = cache_digest(body->data, body->len); /* of some megabytes too long for a lock that viewers of other objects want */
        pthread_mutex_lock(&o->shard->lock);
        set_type(o, type, immutable);
        o->digest = digest;
        struct buf **chunks = o->chunks;
        unsigned count = o->chunk_count;
        object_discharge(o, o->chunk_cap * sizeof(*o->chunks));
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
        object_free_pieces(chunks, count);
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
        int64_t until_us = now_us + failed_for_us(o->cache, o->failures), most_us = now_us + CACHE_FAILED_LONGEST_US;
        if (again_us > until_us)
                until_us = again_us < most_us ? again_us : most_us;
        pthread_mutex_lock(&o->shard->lock);
        o->failure = why;
        o->expires_us = until_us;
        struct object *instead = o->stale;
        if (object_is_usable(o->stale, now_us)) {
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
        bool give_stale = o->len == 0 && now_us - o->made_us > CACHE_STALE_WAIT_US && object_is_usable(o->stale, now_us);
        struct waiter *woken = give_stale ? waiters_take_all(&o->waiters) : waiters_take_late(&o->waiters, now_us);
        pthread_mutex_unlock(&o->shard->lock);
        waiters_wake(woken, !give_stale);
}
