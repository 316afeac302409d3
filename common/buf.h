/* buf.h - reference-counted bytes that are written once and then only read.
 *
 * A frame, a chunk, a stored object: who makes it fills it in before handing it on; after that any thread may read it.
 * The count is atomic, the bytes need no lock.
 *   buf_new/_copy/_wrap/_slice  one reference, the caller's
 *   buf_ref                     one more
 *   buf_unref                   gives one back and nulls the pointer; the last one frees */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
        uint8_t *data;
        size_t len;
        atomic_uint refs;
        void (*release)(void *owner); /* frees what data lies in; NULL: data follows this struct */
        void *owner;
};

struct buf *buf_new(size_t len_bytes); /* contents undefined, for the caller to fill */
struct buf *buf_copy(const void *data, size_t len_bytes);

/* Bytes that live in something else (an nng message, an AVPacket): release(owner) is called with the last reference. */
struct buf *buf_wrap(uint8_t *data, size_t len_bytes, void (*release)(void *owner), void *owner);

/* A part of parent, which stays alive as long as the slice does. [off, off + len) must lie inside it. */
struct buf *buf_slice(struct buf *parent, size_t off, size_t len_bytes);

/* For whoever makes it, before anybody else has a reference. */
struct buf *buf_grow(struct buf *b, size_t len_bytes); /* one of buf_new(), or NULL; what it has stays, and it may lie elsewhere now */
void buf_narrow(struct buf *b, size_t off, size_t len_bytes); /* of it only this part is seen from now on; it must lie inside */

struct buf *buf_ref(struct buf *b);
void buf_unref(struct buf **b); /* NULL and pointer to NULL are fine */

#endif
