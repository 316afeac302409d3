/* rtmp_bytes.h - what an RTMP client sends, put together byte by byte for tests: a growing array and the pieces of the
 * protocol. Written from the specification, not from the code under test. */
#ifndef TESTS_UNIT_RTMP_BYTES_H
#define TESTS_UNIT_RTMP_BYTES_H

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
        uint8_t *p;
        size_t len, cap;
};

static inline void put(struct bytes *b, const void *data, size_t n)
{
        if (b->len + n >= b->cap) {
                b->cap = 2 * (b->len + n) + 64;
                b->p = realloc(b->p, b->cap);
                assert(b->p);
        }
        if (n)
                memcpy(b->p + b->len, data, n);
        b->len += n;
}

static inline void put_be(struct bytes *b, uint64_t v, int n)
{
        while (n-- > 0) {
                uint8_t c = (uint8_t)(v >> (8 * n));
                put(b, &c, 1);
        }
}

static inline void put_fill(struct bytes *b, uint8_t v, size_t n)
{
        while (n-- > 0)
                put(b, &v, 1);
}

static inline void bytes_free(struct bytes *b)
{
        free(b->p);
        *b = (struct bytes){0};
}

/* AMF0 */
static inline void amf_number(struct bytes *b, double v)
{
        uint64_t bits;
        memcpy(&bits, &v, 8);
        put_be(b, 0, 1);
        put_be(b, bits, 8);
}

static inline void amf_key(struct bytes *b, const char *s)
{
        put_be(b, strlen(s), 2);
        put(b, s, strlen(s));
}

static inline void amf_string(struct bytes *b, const char *s)
{
        put_be(b, 2, 1);
        amf_key(b, s);
}

static inline void amf_null(struct bytes *b)
{
        put_be(b, 5, 1);
}

static inline void amf_end(struct bytes *b)
{
        put_be(b, 9, 3);
}

/* AMF3. Numbers are of one to four bytes; a text says its length, or the number of the one that it repeats. */
static inline void amf3_u29(struct bytes *b, uint32_t v)
{
        if (v >= 1u << 21) {
                put_be(b, 0x80 | v >> 22, 1), put_be(b, 0x80 | (v >> 15 & 0x7f), 1), put_be(b, 0x80 | (v >> 8 & 0x7f), 1);
                put_be(b, v & 0xff, 1);
                return;
        }
        if (v >= 1u << 14)
                put_be(b, 0x80 | v >> 14, 1);
        if (v >= 1u << 7)
                put_be(b, 0x80 | (v >> 7 & 0x7f), 1);
        put_be(b, v & 0x7f, 1);
}

static inline void amf3_text(struct bytes *b, const char *s)
{
        amf3_u29(b, (uint32_t)strlen(s) << 1 | 1);
        put(b, s, strlen(s));
}

static inline void amf3_text_again(struct bytes *b, uint32_t index)
{
        amf3_u29(b, index << 1);
}

static inline void amf3_string(struct bytes *b, const char *s)
{
        put_be(b, 6, 1);
        amf3_text(b, s);
}

/* Behind it: the class's name, the names of `sealed` members, their values; then, if it is dynamic, names and values up to "". */
static inline void amf3_object(struct bytes *b, uint32_t sealed, int dynamic)
{
        put_be(b, 0x0a, 1);
        amf3_u29(b, sealed << 4 | (dynamic ? 8u : 0) | 3);
}

/* Chunks. A basic header, fmt 0, and a whole message of one csid in chunks of `size`. */
static inline void chunk_basic(struct bytes *b, unsigned fmt, unsigned csid)
{
        if (csid < 64) {
                put_be(b, fmt << 6 | csid, 1);
        } else if (csid < 320) {
                put_be(b, fmt << 6, 1);
                put_be(b, csid - 64, 1);
        } else {
                put_be(b, fmt << 6 | 1, 1);
                put_be(b, (csid - 64) & 255, 1);
                put_be(b, (csid - 64) >> 8, 1);
        }
}

static inline void chunk_header(struct bytes *b, unsigned csid, uint32_t ts, size_t len, uint8_t type, uint32_t sid)
{
        chunk_basic(b, 0, csid);
        put_be(b, ts >= 0xffffff ? 0xffffff : ts, 3);
        put_be(b, len, 3);
        put_be(b, type, 1);
        put_be(b, __builtin_bswap32(sid), 4);
        if (ts >= 0xffffff)
                put_be(b, ts, 4);
}

static inline void message(struct bytes *b, unsigned csid, uint32_t ts, uint8_t type, uint32_t sid, const void *data,
                           size_t len, size_t size)
{
        chunk_header(b, csid, ts, len, type, sid);
        for (size_t at = 0; at < len; at += size) {
                if (at) {
                        chunk_basic(b, 3, csid);
                        if (ts >= 0xffffff)
                                put_be(b, ts, 4);
                }
                put(b, (const uint8_t *)data + at, len - at < size ? len - at : size);
        }
}

/* H.264 and AAC that a parser of configuration records accepts. */
static const uint8_t avcc_body[] = {1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 4, 0x67, 0x64, 0, 0x1f, 1, 0, 4, 0x68, 0xee, 0x3c, 0x80};
static const uint8_t asc_body[] = {0x12, 0x10};

#endif
