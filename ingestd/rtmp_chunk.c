#include "ingestd/rtmp_chunk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#define TIMESTAMP_EXTENDED 0xffffffu
#define RESERVE_FIRST (64u << 10) /* a longer message gets more room only as its bytes come */

struct rtmp_chunk_stream {
        uint32_t csid;
        uint32_t timestamp_ms, delta_ms;
        uint32_t stream_id;
        uint32_t length;
        uint8_t type;
        bool extended;   /* the last header that said when used the extended timestamp */
        bool in_message; /* between the first and the last chunk of one */
        struct buf *block; /* of room bytes; NULL: none */
        uint32_t got, room;
};

/* A chunk header as it is on the wire. */
struct header {
        uint8_t fmt, type;
        bool extended;
        uint32_t csid, time, length, stream_id;
};

static uint32_t be24(const uint8_t *p)
{
        return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static uint32_t be32(const uint8_t *p)
{
        return (uint32_t)p[0] << 24 | be24(p + 1);
}

void rtmp_chunk_init(struct rtmp_chunk_reader *in, const struct rtmp_chunk_limits *limits)
{
        *in = (struct rtmp_chunk_reader){.limits = *limits, .chunk_size = RTMP_CHUNK_SIZE_DEFAULT};
}

void rtmp_chunk_fini(struct rtmp_chunk_reader *in)
{
        for (unsigned i = 0; i < in->count; i++)
                buf_unref(&in->streams[i].block);
        free(in->streams);
        *in = (struct rtmp_chunk_reader){.bad = in->bad};
}

static int fail(struct rtmp_chunk_reader *in, enum rtmp_close_reason why)
{
        in->bad = why;
        return -1;
}

static struct rtmp_chunk_stream *find(struct rtmp_chunk_reader *in, uint32_t csid)
{
        if (in->last < in->count && in->streams[in->last].csid == csid)
                return &in->streams[in->last];
        for (unsigned i = 0; i < in->count; i++) {
                if (in->streams[i].csid == csid) {
                        in->last = i;
                        return &in->streams[i];
                }
        }
        return NULL;
}

static struct rtmp_chunk_stream *add(struct rtmp_chunk_reader *in, uint32_t csid)
{
        if (in->count >= in->limits.streams) {
                fail(in, RTMP_CLOSE_CHUNK_STREAMS);
                return NULL;
        }
        if (in->count == in->room) {
                in->room = in->room ? in->room * 2 : 4;
                in->streams = mem_resize(in->streams, in->room * sizeof(*in->streams));
        }
        in->last = in->count++;
        struct rtmp_chunk_stream *cs = &in->streams[in->last];
        *cs = (struct rtmp_chunk_stream){.csid = csid};
        return cs;
}

static void drop_partial(struct rtmp_chunk_reader *in, struct rtmp_chunk_stream *cs)
{
        in->held_bytes -= cs->room;
        buf_unref(&cs->block);
        cs->got = cs->room = 0;
        cs->in_message = false;
}

/* Whether a fmt 3 chunk repeats the extended timestamp: the specification has it so, some encoders leave it out. Looks at
 * as many of the four bytes as are there; the first that differs decides. 1, 0, or -1: more bytes are needed. */
static int repeats_extended(const struct rtmp_chunk_stream *cs, const uint8_t *h, size_t n)
{
        const uint32_t candidates[] = {cs->delta_ms, cs->timestamp_ms};
        int verdict = 0;
        for (size_t i = 0; i < 2; i++) {
                const uint32_t v = candidates[i];
                const uint8_t bytes[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
                if (memcmp(bytes, h, n < 4 ? n : 4) == 0) {
                        if (n >= 4)
                                return 1;
                        verdict = -1;
                }
        }
        return verdict;
}

/* The basic header: 1 to 3 bytes. Returns its size, 0 if it is not all there. */
static size_t read_basic(struct header *out, const uint8_t *h, size_t n)
{
        if (n < 1)
                return 0;
        out->fmt = h[0] >> 6;
        out->csid = h[0] & 63;
        if (out->csid > 1)
                return 1;
        size_t size = 2 + out->csid;
        if (n < size)
                return 0;
        out->csid = 64u + h[1] + (size == 3 ? (uint32_t)h[2] << 8 : 0);
        return size;
}

/* The whole header. Returns its size, 0 if it is not all there, -1 for one that cannot be. Nothing is changed. */
static int read_header(struct rtmp_chunk_reader *in, struct header *out, const uint8_t *h, size_t n)
{
        static const uint8_t sizes[] = {11, 7, 3, 0};
        size_t at = read_basic(out, h, n);
        if (at == 0 || n < at + sizes[out->fmt])
                return 0;
        const uint8_t *f = h + at;
        at += sizes[out->fmt];
        if (out->fmt == 3) {
                const struct rtmp_chunk_stream *cs = find(in, out->csid);
                if (!cs)
                        return fail(in, RTMP_CLOSE_CHUNK);
                if (!cs->extended)
                        return (int)at;
                int repeats = repeats_extended(cs, h + at, n - at);
                return repeats < 0 ? 0 : (int)at + 4 * repeats;
        }
        out->time = be24(f);
        if (out->fmt <= 1) {
                out->length = be24(f + 3);
                out->type = f[6];
        }
        if (out->fmt == 0)
                out->stream_id = __builtin_bswap32(be32(f + 7));
        out->extended = out->time == TIMESTAMP_EXTENDED;
        if (!out->extended)
                return (int)at;
        if (n < at + 4)
                return 0;
        out->time = be32(h + at);
        return (int)at + 4;
}

/* A header with fields in the middle of a message begins that message again: what there was is dropped. */
static void take_fields(struct rtmp_chunk_reader *in, struct rtmp_chunk_stream *cs, const struct header *h)
{
        if (cs->in_message)
                drop_partial(in, cs);
        cs->extended = h->extended;
        cs->delta_ms = h->time;
        if (h->fmt == 0) {
                cs->timestamp_ms = 0; /* delta is added when the message begins */
                cs->stream_id = h->stream_id;
        }
        if (h->fmt <= 1) {
                cs->length = h->length;
                cs->type = h->type;
        }
}

static void enter_chunk(struct rtmp_chunk_reader *in, struct rtmp_chunk_stream *cs)
{
        in->cur = cs;
        in->left = cs->length - cs->got;
        if (in->left > in->chunk_size)
                in->left = in->chunk_size;
}

/* A chunk begins. 0, or -1. */
static int begin_chunk(struct rtmp_chunk_reader *in, const struct header *h)
{
        struct rtmp_chunk_stream *cs = find(in, h->csid);
        if (!cs && !(cs = add(in, h->csid)))
                return -1;
        if (h->fmt < 3)
                take_fields(in, cs, h);
        if (!cs->in_message) {
                if (cs->length > in->limits.message_bytes)
                        return fail(in, RTMP_CLOSE_MESSAGE_SIZE);
                cs->timestamp_ms += cs->delta_ms;
                cs->in_message = true;
        }
        enter_chunk(in, cs);
        return 0;
}

/* By far the most headers are one byte: the next chunk of the same message. Does what read_header() and begin_chunk()
 * would, at a fraction of the cost; with chunks of 128 bytes that is most of what this file does. */
static void continue_message(struct rtmp_chunk_reader *in, struct rtmp_chunk_stream *cs, const uint8_t **p,
                             const uint8_t *end)
{
        if (*p == end || cs->extended || cs->csid > 63 || **p != (0xc0 | cs->csid))
                return;
        ++*p;
        enter_chunk(in, cs);
}

/* Room for n more bytes: at once for a short message, doubling for a long one, never more than its length. */
static int reserve(struct rtmp_chunk_reader *in, struct rtmp_chunk_stream *cs, uint32_t n)
{
        uint32_t want = cs->got + n;
        if (want <= cs->room)
                return 0;
        if (want < cs->room * 2)
                want = cs->room * 2;
        if (want < RESERVE_FIRST)
                want = RESERVE_FIRST;
        if (want > cs->length)
                want = cs->length;
        in->held_bytes += want - cs->room;
        if (in->held_bytes > in->limits.partial_bytes) {
                in->held_bytes -= want - cs->room;
                return fail(in, RTMP_CLOSE_PARTIAL_BYTES);
        }
        cs->block = buf_grow(cs->block, want);
        cs->room = want;
        return 0;
}

static int take_payload(struct rtmp_chunk_reader *in, const uint8_t **p, const uint8_t *end)
{
        struct rtmp_chunk_stream *cs = in->cur;
        uint32_t n = (size_t)(end - *p) < in->left ? (uint32_t)(end - *p) : in->left;
        if (n == 0)
                return 0;
        if (reserve(in, cs, n))
                return -1;
        memcpy(cs->block->data + cs->got, *p, n);
        cs->got += n;
        in->left -= n;
        *p += n;
        return 0;
}

static void give_away(struct rtmp_chunk_reader *in, struct rtmp_chunk_stream *cs, struct rtmp_message *out)
{
        assert(!cs->block || cs->block->len == cs->got); /* reserve() goes no further than the message */
        *out = (struct rtmp_message){.type = cs->type, .timestamp_ms = cs->timestamp_ms, .stream_id = cs->stream_id,
                                     .data = cs->block ? cs->block->data : NULL, .len = cs->got, .block = cs->block};
        in->held_bytes -= cs->room;
        cs->block = NULL;
        cs->got = cs->room = 0;
        cs->in_message = false;
}

/* The two messages that speak to the chunk layer itself. True: it was one, and is freed. */
static bool obey(struct rtmp_chunk_reader *in, struct rtmp_message *m)
{
        if (m->type != RTMP_SET_CHUNK_SIZE && m->type != RTMP_ABORT)
                return false;
        uint32_t v = m->len >= 4 ? be32(m->data) : 0;
        if (m->type == RTMP_SET_CHUNK_SIZE) {
                in->chunk_size = v & 0x7fffffff;
                if (in->chunk_size == 0)
                        fail(in, RTMP_CLOSE_CHUNK);
        } else {
                struct rtmp_chunk_stream *cs = find(in, v);
                if (cs)
                        drop_partial(in, cs);
        }
        buf_unref(&m->block);
        return true;
}

/* Reads from memory that holds everything not yet read. MORE may leave the beginning of a header. */
static enum rtmp_chunk_result read_span(struct rtmp_chunk_reader *in, const uint8_t **p, const uint8_t *end,
                                        struct rtmp_message *out)
{
        for (;;) {
                if (!in->cur) {
                        struct header h = {0};
                        int n = read_header(in, &h, *p, (size_t)(end - *p));
                        if (n == 0)
                                return RTMP_CHUNK_MORE;
                        if (n < 0 || begin_chunk(in, &h))
                                return RTMP_CHUNK_BAD;
                        *p += n;
                }
                if (take_payload(in, p, end))
                        return RTMP_CHUNK_BAD;
                if (in->left)
                        return RTMP_CHUNK_MORE;
                struct rtmp_chunk_stream *cs = in->cur;
                in->cur = NULL;
                if (cs->got < cs->length) {
                        continue_message(in, cs, p, end);
                        continue;
                }
                give_away(in, cs, out);
                if (!obey(in, out))
                        return RTMP_CHUNK_MESSAGE;
                if (in->bad)
                        return RTMP_CHUNK_BAD;
        }
}

/* The last piece ended inside a header: joins what was kept with the beginning of this one until the kept bytes are used
 * up. Twice the longest header is room enough for that. */
static enum rtmp_chunk_result read_joined(struct rtmp_chunk_reader *in, const uint8_t **p, const uint8_t *end,
                                          struct rtmp_message *out)
{
        uint8_t joined[2 * RTMP_CHUNK_HEADER_MAX];
        size_t kept = in->carry_len, fresh = sizeof(joined) - kept;
        if (fresh > (size_t)(end - *p))
                fresh = (size_t)(end - *p);
        memcpy(joined, in->carry, kept);
        memcpy(joined + kept, *p, fresh);

        const uint8_t *q = joined;
        enum rtmp_chunk_result result = read_span(in, &q, joined + kept + fresh, out);
        size_t used = (size_t)(q - joined);
        if (used >= kept) {
                *p += used - kept;
                in->carry_len = 0;
        } else if (result == RTMP_CHUNK_MORE) {
                *p += fresh;
                in->carry_len = (unsigned)(kept + fresh - used);
                assert(in->carry_len <= sizeof(in->carry) && *p == end);
                memcpy(in->carry, q, in->carry_len);
        } else {
                in->carry_len = (unsigned)(kept - used);
                memcpy(in->carry, q, in->carry_len);
        }
        return result;
}

enum rtmp_chunk_result rtmp_chunk_read(struct rtmp_chunk_reader *in, const uint8_t **p, const uint8_t *end,
                                       struct rtmp_message *out)
{
        assert(!in->bad);
        while (in->carry_len) {
                enum rtmp_chunk_result result = read_joined(in, p, end, out);
                if (result != RTMP_CHUNK_MORE || in->carry_len)
                        return result;
        }
        enum rtmp_chunk_result result = read_span(in, p, end, out);
        if (result == RTMP_CHUNK_MORE && *p < end) {
                in->carry_len = (unsigned)(end - *p);
                assert(in->carry_len < sizeof(in->carry));
                memcpy(in->carry, *p, in->carry_len);
                *p = end;
        }
        return result;
}

void rtmp_chunk_write(struct writer *w, uint8_t csid, uint8_t type, uint32_t stream_id, const uint8_t *data,
                      size_t len_bytes, uint32_t chunk_size)
{
        assert(csid >= 2 && csid <= 63 && chunk_size > 0);
        writer_u8(w, csid);
        writer_u24(w, 0);
        writer_u24(w, (uint32_t)len_bytes);
        writer_u8(w, type);
        writer_u32_le(w, stream_id);
        for (size_t at = 0; at < len_bytes; at += chunk_size) {
                size_t n = len_bytes - at < chunk_size ? len_bytes - at : chunk_size;
                if (at)
                        writer_u8(w, (uint8_t)(0xc0 | csid));
                writer_bytes(w, data + at, n);
        }
}
