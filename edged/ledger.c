#include "edged/ledger.h"

#include <assert.h>
#include <stdlib.h>

#include "common/mem.h"
#include "edged/pages.h"

struct held {
        struct ledger *ledger;
        struct buf *bytes;
        size_t counted;
        struct held *before, *next; /* of those that have left */
        bool left;                  /* set while its owner has a reference, read with the last one */
        atomic_bool cut;            /* set under the lock */
};

void ledger_open(struct ledger *l)
{
        pthread_mutex_init(&l->lock, NULL);
}

void ledger_close(struct ledger *l)
{
        assert(!l->first);
        pthread_mutex_destroy(&l->lock);
}

void ledger_add(struct ledger *l, size_t bytes)
{
        atomic_fetch_add_explicit(&l->bytes, bytes, memory_order_relaxed);
}

void ledger_sub(struct ledger *l, size_t bytes)
{
        atomic_fetch_sub_explicit(&l->bytes, bytes, memory_order_relaxed);
}

/* ---- the list, under the lock ------------------------------------------------------------------------------------- */

static void enlist(struct ledger *l, struct held *h)
{
        h->next = NULL;
        h->before = l->last;
        *(l->last ? &l->last->next : &l->first) = h;
        l->last = h;
}

static void strike(struct ledger *l, struct held *h)
{
        *(h->next ? &h->next->before : &l->last) = h->before;
        *(h->before ? &h->before->next : &l->first) = h->next;
}

/* ---- what is held ------------------------------------------------------------------------------------------------- */

/* With the last reference. */
static void release_held(void *owner)
{
        struct held *h = owner;
        struct ledger *l = h->ledger;
        if (h->left) {
                pthread_mutex_lock(&l->lock);
                bool cut = atomic_load_explicit(&h->cut, memory_order_relaxed);
                if (cut)
                        atomic_fetch_sub(&l->cut, h->counted);
                else
                        strike(l, h);
                atomic_fetch_sub(&l->pinned, h->counted);
                pthread_mutex_unlock(&l->lock);
        }
        ledger_sub(l, h->counted);
        buf_unref(&h->bytes);
        free(h);
}

static size_t resident(const struct buf *b)
{
        return pages_find(b, NULL, NULL) ? pages_bytes(b->len) : b->len;
}

/* Takes the reference. */
static struct buf *hold(struct ledger *l, struct buf *bytes)
{
        struct held *h = mem_alloc(sizeof(*h));
        h->ledger = l;
        h->bytes = bytes;
        h->counted = resident(bytes) + sizeof(*h) + 2 * sizeof(struct buf);
        ledger_add(l, h->counted);
        return buf_wrap(bytes->data, bytes->len, release_held, h);
}

struct buf *ledger_hold(struct ledger *l, struct buf *bytes)
{
        return hold(l, buf_ref(bytes));
}

static struct buf *inner(struct buf *b)
{
        return b->release == release_held ? ((struct held *)b->owner)->bytes : b;
}

struct buf *ledger_join(struct ledger *l, struct buf *const *parts, unsigned count)
{
        if (count == 0)
                return hold(l, buf_new(0));
        struct buf *only = inner(parts[0]); /* of a piece that counts: what counts once more would never be given back, nor leave */
        return hold(l, pages_join(count == 1 ? &only : parts, count));
}

const struct buf *ledger_inner(const struct buf *b)
{
        return b && b->release == release_held ? ((const struct held *)b->owner)->bytes : b;
}

void ledger_leave(struct buf *b)
{
        assert(b->release == release_held);
        struct held *h = b->owner;
        struct ledger *l = h->ledger;
        assert(!h->left);
        h->left = true;
        pthread_mutex_lock(&l->lock);
        atomic_fetch_add(&l->pinned, h->counted);
        enlist(l, h);
        pthread_mutex_unlock(&l->lock);
}

bool ledger_cut(struct ledger *l, size_t most)
{
        bool any = false;
        if (atomic_load(&l->pinned) <= most)
                return false;
        pthread_mutex_lock(&l->lock);
        while (l->first && atomic_load(&l->pinned) - atomic_load(&l->cut) > most) {
                struct held *h = l->first;
                strike(l, h);
                atomic_store_explicit(&h->cut, true, memory_order_relaxed);
                atomic_fetch_add(&l->cut, h->counted);
                any = true;
        }
        pthread_mutex_unlock(&l->lock);
        return any;
}

bool ledger_is_cut(const struct buf *b)
{
        return b && b->release == release_held && atomic_load_explicit(&((const struct held *)b->owner)->cut, memory_order_relaxed);
}
