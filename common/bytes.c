#include "common/bytes.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "common/err.h"

void reader_init(struct reader *r, const void *data, size_t len_bytes)
{
        r->p = data;
        r->end = len_bytes ? r->p + len_bytes : r->p;
        r->err = 0;
}

size_t reader_left(const struct reader *r)
{
        return r->err ? 0 : (size_t)(r->end - r->p);
}

void reader_fail(struct reader *r)
{
        r->err = ERR_PROTO;
}

const uint8_t *reader_bytes(struct reader *r, size_t n)
{
        if (n > reader_left(r)) {
                reader_fail(r);
                return NULL;
        }
        const uint8_t *p = r->p;
        if (n)
                r->p += n;
        return r->err ? NULL : p;
}

void reader_skip(struct reader *r, size_t n)
{
        (void)reader_bytes(r, n);
}

static uint64_t big_endian(struct reader *r, size_t n)
{
        const uint8_t *p = reader_bytes(r, n);
        uint64_t v = 0;
        for (size_t i = 0; p && i < n; i++)
                v = v << 8 | p[i];
        return v;
}

uint8_t reader_u8(struct reader *r)
{
        return (uint8_t)big_endian(r, 1);
}

uint16_t reader_u16(struct reader *r)
{
        return (uint16_t)big_endian(r, 2);
}

uint32_t reader_u24(struct reader *r)
{
        return (uint32_t)big_endian(r, 3);
}

uint32_t reader_u32(struct reader *r)
{
        return (uint32_t)big_endian(r, 4);
}

uint32_t reader_u32_le(struct reader *r)
{
        return __builtin_bswap32(reader_u32(r));
}

uint64_t reader_u64(struct reader *r)
{
        return big_endian(r, 8);
}

int32_t reader_i24(struct reader *r)
{
        return (int32_t)(reader_u24(r) << 8) >> 8;
}

int32_t reader_i32(struct reader *r)
{
        return (int32_t)reader_u32(r);
}

int64_t reader_i64(struct reader *r)
{
        return (int64_t)reader_u64(r);
}

double reader_f64(struct reader *r)
{
        uint64_t bits = reader_u64(r);
        double v;
        memcpy(&v, &bits, sizeof(v));
        return v;
}

void reader_str(struct reader *r, char *dst, size_t cap)
{
        size_t n = reader_u16(r);
        const uint8_t *p = reader_bytes(r, n);
        dst[0] = '\0';
        if (!p)
                return;
        if (n >= cap || memchr(p, '\0', n)) {
                reader_fail(r);
                return;
        }
        memcpy(dst, p, n);
        dst[n] = '\0';
}

int reader_done(const struct reader *r)
{
        return r->err || r->p != r->end ? ERR_PROTO : 0;
}

void writer_init(struct writer *w, void *data, size_t cap_bytes)
{
        *w = (struct writer){.data = data, .cap = data ? cap_bytes : 0};
}

bool writer_ok(const struct writer *w)
{
        return w->data && w->len <= w->cap;
}

void writer_bytes(struct writer *w, const void *data, size_t len_bytes)
{
        if (w->data && w->len <= w->cap && len_bytes <= w->cap - w->len && len_bytes)
                memcpy(w->data + w->len, data, len_bytes);
        w->len += len_bytes;
}

void writer_count(struct writer *w, size_t len_bytes)
{
        assert(!w->data);
        w->len += len_bytes;
}

static void write_big_endian(struct writer *w, uint64_t v, size_t n)
{
        uint64_t big = htobe64(v);
        writer_bytes(w, (const uint8_t *)&big + sizeof(big) - n, n);
}

void writer_u8(struct writer *w, uint8_t v)
{
        write_big_endian(w, v, 1);
}

void writer_u16(struct writer *w, uint16_t v)
{
        write_big_endian(w, v, 2);
}

void writer_u24(struct writer *w, uint32_t v)
{
        write_big_endian(w, v, 3);
}

void writer_u32(struct writer *w, uint32_t v)
{
        write_big_endian(w, v, 4);
}

void writer_u32_le(struct writer *w, uint32_t v)
{
        writer_u32(w, __builtin_bswap32(v));
}

void writer_u64(struct writer *w, uint64_t v)
{
        write_big_endian(w, v, 8);
}

void writer_i32(struct writer *w, int32_t v)
{
        writer_u32(w, (uint32_t)v);
}

void writer_i64(struct writer *w, int64_t v)
{
        writer_u64(w, (uint64_t)v);
}

void writer_f64(struct writer *w, double v)
{
        uint64_t bits;
        memcpy(&bits, &v, sizeof(bits));
        writer_u64(w, bits);
}

void writer_str(struct writer *w, const char *s)
{
        size_t n = strlen(s);
        assert(n <= UINT16_MAX);
        writer_u16(w, (uint16_t)n);
        writer_bytes(w, s, n);
}
