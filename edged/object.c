#include "edged/object.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"
#include "edged/cache_impl.h"
#include "edged/readers.h"

void object_charge(struct object *o, size_t bytes)
{
        atomic_fetch_add_explicit(&o->charged_bytes, bytes, memory_order_relaxed);
        ledger_add(&o->cache->ledger, bytes);
}

void object_discharge(struct object *o, size_t bytes)
{
        atomic_fetch_sub_explicit(&o->charged_bytes, bytes, memory_order_relaxed);
        ledger_sub(&o->cache->ledger, bytes);
}

struct object *object_new(struct cache *c, struct shard *s, uint64_t hash, const char *key, size_t len)
{
        struct object *o = mem_alloc(sizeof(*o) + len + 1);
        o->cache = c;
        o->shard = s;
        o->hash = hash;
        memcpy(o->key, key, len);
        atomic_init(&o->refs, 1);
        object_charge(o, sizeof(*o) + len + 1);
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
        object_charge(o, bytes);
        return true;
}

bool object_is_cut(struct object *o)
{
        enum object_state state = atomic_load(&o->state);
        if (state == OBJECT_FAILED) /* its pieces left in their order, so the first one is cut first */
                return o->chunk_count > 0 && ledger_is_cut(o->chunks[0]);
        return state == OBJECT_COMPLETE && ledger_is_cut(o->body);
}

void object_free_pieces(struct buf **chunks, unsigned count)
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
void objects_free_dead(struct cache *c)
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
        object_free_pieces(o->chunks, o->chunk_count);
        buf_unref(&o->body);
        ledger_sub(&o->cache->ledger, atomic_load(&o->charged_bytes));
        object_unref(&o->stale);
        bury(o);
}

bool object_is_usable(const struct object *o, int64_t now_us)
{
        return o && o->state == OBJECT_COMPLETE && now_us < o->expires_us + CACHE_STALE_MAX_US;
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
        if ((late || o->state == OBJECT_FAILED) && object_is_usable(o->stale, now_us))
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
