/* bytes.h - a bounded reader and a bounded writer for what travels between machines. Big-endian unless named _le.
 *
 * Both have a sticky error: the first read beyond the end (or value over its bound) sets err, and from then on every
 * read gives zeros and moves nothing. A parser reads all its fields and asks once, at the end. A writer over too small
 * an array only counts, so that one encode function both measures (data == NULL) and writes. */
#ifndef COMMON_BYTES_H
#define COMMON_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader {
        const uint8_t *p, *end;
        int err; /* 0 or ERR_PROTO */
};

void reader_init(struct reader *r, const void *data, size_t len_bytes);
size_t reader_left(const struct reader *r); /* 0 after an error */
uint8_t reader_u8(struct reader *r);
uint16_t reader_u16(struct reader *r);
uint32_t reader_u24(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint32_t reader_u32_le(struct reader *r);
uint64_t reader_u64(struct reader *r);
int32_t reader_i24(struct reader *r);
int32_t reader_i32(struct reader *r);
int64_t reader_i64(struct reader *r);
double reader_f64(struct reader *r);

/* n bytes in place, valid as long as the input is; NULL after an error. */
const uint8_t *reader_bytes(struct reader *r, size_t n);
void reader_skip(struct reader *r, size_t n);

/* A string of at most cap - 1 bytes with a 16-bit length before it, copied and ended with a NUL. One that is longer, or
 * holds a NUL itself, is an error. dst is always a valid string afterwards. */
void reader_str(struct reader *r, char *dst, size_t cap);

void reader_fail(struct reader *r); /* the caller found a value that cannot be */

/* 0 if everything was read and nothing failed; ERR_PROTO if bytes are left over or any read was short. */
int reader_done(const struct reader *r);

struct writer {
        uint8_t *data; /* NULL: only count */
        size_t cap, len; /* len > cap: it did not fit */
};

void writer_init(struct writer *w, void *data, size_t cap_bytes);
bool writer_ok(const struct writer *w);
void writer_u8(struct writer *w, uint8_t v);
void writer_u16(struct writer *w, uint16_t v);
void writer_u24(struct writer *w, uint32_t v);
void writer_u32(struct writer *w, uint32_t v);
void writer_u32_le(struct writer *w, uint32_t v);
void writer_u64(struct writer *w, uint64_t v);
void writer_i32(struct writer *w, int32_t v);
void writer_i64(struct writer *w, int64_t v);
void writer_f64(struct writer *w, double v);
void writer_bytes(struct writer *w, const void *data, size_t len_bytes);
void writer_count(struct writer *w, size_t len_bytes); /* of one that only counts: so much would be written */
void writer_str(struct writer *w, const char *s); /* at most 65535 bytes; the counterpart of reader_str */

#endif
