#include "common/buf.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

struct buf *buf_new(size_t len_bytes)
{
        struct buf *b = mem_resize(NULL, sizeof(*b) + len_bytes);
        *b = (struct buf){.data = (uint8_t *)(b + 1), .len = len_bytes};
        atomic_init(&b->refs, 1);
        return b;
}

struct buf *buf_grow(struct buf *b, size_t len_bytes)
{
        if (!b)
                return buf_new(len_bytes);
        assert(!b->release && b->data == (uint8_t *)(b + 1) && len_bytes >= b->len);
        b = mem_resize(b, sizeof(*b) + len_bytes);
        b->data = (uint8_t *)(b + 1);
        b->len = len_bytes;
        return b;
}

void buf_narrow(struct buf *b, size_t off, size_t len_bytes)
{
        assert(off <= b->len && len_bytes <= b->len - off);
        b->data += off;
        b->len = len_bytes;
}

struct buf *buf_copy(const void *data, size_t len_bytes)
{
        struct buf *b = buf_new(len_bytes);
        if (len_bytes)
                memcpy(b->data, data, len_bytes);
        return b;
}

struct buf *buf_wrap(uint8_t *data, size_t len_bytes, void (*release)(void *owner), void *owner)
{
        struct buf *b = mem_alloc(sizeof(*b));
        *b = (struct buf){.data = data, .len = len_bytes, .release = release, .owner = owner};
        atomic_init(&b->refs, 1);
        return b;
}

static void release_parent(void *owner)
{
        struct buf *parent = owner;
        buf_unref(&parent);
}

struct buf *buf_slice(struct buf *parent, size_t off, size_t len_bytes)
{
        assert(off <= parent->len && len_bytes <= parent->len - off);
        return buf_wrap(parent->data + off, len_bytes, release_parent, buf_ref(parent));
}

struct buf *buf_ref(struct buf *b)
{
        unsigned before = atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
        assert(before > 0);
        (void)before;
        return b;
}

void buf_unref(struct buf **bp)
{
        if (!bp || !*bp)
                return;
        struct buf *b = *bp;
        *bp = NULL;
        unsigned before = atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel);
        assert(before > 0);
        if (before > 1)
                return;
        if (b->release)
                b->release(b->owner);
        free(b);
}
