#include "common/cue.h"

#include <string.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/crc32c.h"
#include "common/err.h"

#define BOX_HEAD (8 + 4 + 4 + 8 + 4 + 4)
#define TIMESCALE_MAX 10000000u
#define TICKS_MAX (UINT64_C(1) << 56)

/* Made up once; it says that what follows is ours. */
static const uint8_t uuid[16] = {0x5b, 0x1e, 0x0c, 0x6a, 0x3d, 0x97, 0x4f, 0x21, 0xa4, 0x0e, 0x7c, 0x52, 0x9d, 0xe8, 0x16, 0xb3};

static const char *const schemes[CUE_KINDS] = {[CUE_AMF] = "urn:freshet:amf:2026", [CUE_SCTE35] = "urn:scte:scte35:2013:bin"};

const char *cue_scheme(enum cue_kind kind)
{
        return schemes[kind];
}

size_t cue_message_write(uint8_t *dst, size_t cap, const struct cue *c, int32_t offset_ms)
{
        struct writer w;
        writer_init(&w, dst, cap);
        writer_bytes(&w, uuid, sizeof(uuid));
        writer_u8(&w, c->kind);
        writer_i32(&w, offset_ms);
        writer_u32(&w, c->duration_ms);
        writer_u16(&w, (uint16_t)c->body_len);
        writer_bytes(&w, c->body, c->body_len);
        return writer_ok(&w) ? w.len : 0;
}

static uint32_t id_of(const struct cue *c)
{
        uint8_t head[9];
        struct writer w;
        writer_init(&w, head, sizeof(head));
        writer_u8(&w, c->kind);
        writer_i64(&w, c->at_us);
        return crc32c(crc32c(0, head, sizeof(head)), c->body, c->body_len);
}

int cue_message_read(struct cue *out, const uint8_t *payload, size_t len_bytes, int64_t frame_us)
{
        struct reader r;
        reader_init(&r, payload, len_bytes);
        const uint8_t *whose = reader_bytes(&r, sizeof(uuid));
        if (!whose || memcmp(whose, uuid, sizeof(uuid)) != 0)
                return ERR_NOT_FOUND;
        struct cue c = {.kind = reader_u8(&r)};
        int64_t at_us = frame_us + reader_i32(&r) * US_PER_MS;
        c.duration_ms = reader_u32(&r);
        c.body_len = reader_u16(&r);
        c.body = reader_bytes(&r, c.body_len);
        if (r.err || c.kind >= CUE_KINDS || !c.body_len || c.body_len > CUE_BODY_MAX)
                return ERR_PROTO;
        c.at_us = at_us > 0 ? at_us / US_PER_MS * US_PER_MS : 0;
        c.id = id_of(&c);
        *out = c;
        return 0;
}

struct buf *cue_box(const struct cue *c, uint32_t timescale)
{
        const char *scheme = cue_scheme(c->kind);
        size_t len = BOX_HEAD + strlen(scheme) + 1 + sizeof(CUE_VALUE) + c->body_len;
        struct buf *b = buf_new(len);
        struct writer w;
        bool known = c->duration_ms != CUE_NO_DURATION && (uint64_t)c->duration_ms * timescale / 1000 < UINT32_MAX;
        writer_init(&w, b->data, len);
        writer_u32(&w, (uint32_t)len);
        writer_bytes(&w, "emsg", 4);
        writer_u32(&w, 1u << 24); /* version, and no flags */
        writer_u32(&w, timescale);
        writer_u64(&w, (uint64_t)((unsigned __int128)c->at_us * timescale / US_PER_S));
        writer_u32(&w, known ? (uint32_t)((uint64_t)c->duration_ms * timescale / 1000) : UINT32_MAX);
        writer_u32(&w, c->id);
        writer_bytes(&w, scheme, strlen(scheme) + 1);
        writer_bytes(&w, CUE_VALUE, sizeof(CUE_VALUE));
        writer_bytes(&w, c->body, c->body_len);
        return b;
}

/* NULL: it does not end. */
static const char *read_text(struct reader *r)
{
        const uint8_t *text = r->p, *end = reader_left(r) ? memchr(text, 0, reader_left(r)) : NULL;
        if (!end) {
                reader_fail(r);
                return NULL;
        }
        reader_skip(r, (size_t)(end - text) + 1);
        return (const char *)text;
}

/* CUE_KINDS: none of ours. */
static enum cue_kind kind_of(const char *scheme)
{
        enum cue_kind kind = 0;
        while (kind < CUE_KINDS && strcmp(schemes[kind], scheme) != 0)
                kind++;
        return kind;
}

int cue_box_read(struct cue *out, const uint8_t *body, size_t len_bytes)
{
        struct reader r;
        reader_init(&r, body, len_bytes);
        uint32_t version = reader_u32(&r) >> 24;
        if (!r.err && version != 1)
                return ERR_NOT_FOUND;
        uint32_t timescale = reader_u32(&r);
        uint64_t ticks = reader_u64(&r);
        uint32_t duration = reader_u32(&r);
        struct cue c = {.id = reader_u32(&r), .duration_ms = CUE_NO_DURATION};
        const char *scheme = read_text(&r);
        read_text(&r);
        if (r.err || !timescale || timescale > TIMESCALE_MAX || ticks > TICKS_MAX)
                return ERR_PROTO;
        c.kind = (uint8_t)kind_of(scheme);
        if (c.kind == CUE_KINDS)
                return ERR_NOT_FOUND;
        c.body_len = reader_left(&r);
        c.body = r.p;
        if (!c.body_len || c.body_len > CUE_BODY_MAX)
                return ERR_PROTO;
        /* To the nearest, for a tick need not be a whole part of a millisecond. */
        c.at_us = (int64_t)(((unsigned __int128)ticks * 1000 + timescale / 2) / timescale) * US_PER_MS;
        uint64_t duration_ms = ((uint64_t)duration * 1000 + timescale / 2) / timescale;
        if (duration != UINT32_MAX && duration_ms < CUE_NO_DURATION)
                c.duration_ms = (uint32_t)duration_ms;
        *out = c;
        return 0;
}
