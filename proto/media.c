#include "proto/media.h"

#include <assert.h>

#include "common/err.h"
#include "proto/check.h"

void open_encode(struct writer *w, const void *message)
{
        const struct open *m = message;
        writer_str(w, m->stream);
        writer_u8(w, m->role);
        writer_u8(w, m->when);
        writer_u8(w, m->lockstep);
        writer_str(w, m->session);
        writer_str(w, m->node);
        writer_u32(w, m->generation);
        writer_i64(w, m->epoch_us);
        writer_i64(w, m->ahead_us);
        writer_str(w, m->publisher);
        writer_str(w, m->encoder);
        writer_str(w, m->title);
        for (int k = 0; k < TRACK_KINDS; k++) {
                writer_u8(w, m->codecs[k]);
                writer_u16(w, m->config[k].len);
                writer_bytes(w, m->config[k].data, m->config[k].len);
        }
}

int open_decode(struct reader *r, struct open *m)
{
        *m = (struct open){0};
        check_name(r, m->stream, sizeof(m->stream), stream_id_valid, 0);
        m->role = reader_u8(r);
        if (m->role >= OPEN_ROLES)
                reader_fail(r);
        m->when = check_flags(r, OPEN_IF_HELD | OPEN_IF_FREE | OPEN_BESIDE | OPEN_GOES_ON);
        bool beside = m->when & OPEN_BESIDE;
        m->lockstep = check_flags(r, 1);
        check_name(r, m->session, sizeof(m->session), session_id_valid, !beside);
        check_name(r, m->node, sizeof(m->node), node_id_valid, !beside);
        if (!beside && (*m->session || *m->node))
                reader_fail(r);
        m->generation = reader_u32(r);
        m->epoch_us = check_time_from_zero(r);
        m->ahead_us = check_time(r);
        reader_str(r, m->publisher, sizeof(m->publisher));
        reader_str(r, m->encoder, sizeof(m->encoder));
        reader_str(r, m->title, sizeof(m->title));
        for (int k = 0; k < TRACK_KINDS; k++) {
                m->codecs[k] = reader_u8(r); /* one we do not know is ERR_UNSUPPORTED, which the transcoder answers */
                m->config[k].len = reader_u16(r);
                if (m->config[k].len > CONFIG_RECORD_MAX)
                        reader_fail(r);
                m->config[k].data = reader_bytes(r, m->config[k].len);
        }
        return reader_done(r);
}

void open_reply_encode(struct writer *w, const void *message)
{
        const struct open_reply *m = message;
        writer_u8(w, (uint8_t)m->status);
        writer_str(w, m->text);
        writer_u64(w, m->handle);
        writer_str(w, m->session);
        writer_i64(w, m->epoch_us);
        writer_u32(w, m->generation);
        writer_i64(w, 0); /* reserved: from where on a session goes on, which MEDIA_REPLY tells */
        writer_i64(w, m->skew_us);
        writer_u8(w, m->keeps_time);
        writer_u8(w, m->standby);
        writer_str(w, m->node);
}

int open_reply_decode(struct reader *r, struct open_reply *m)
{
        *m = (struct open_reply){.status = check_status(r)};
        reader_str(r, m->text, sizeof(m->text));
        m->handle = reader_u64(r);
        check_name(r, m->session, sizeof(m->session), session_id_valid, m->status != 0);
        m->epoch_us = check_time_from_zero(r);
        m->generation = reader_u32(r);
        reader_skip(r, sizeof(int64_t)); /* reserved: older nodes say something here */
        m->skew_us = check_time(r);
        m->keeps_time = check_flags(r, 1);
        m->standby = check_flags(r, 1);
        check_name(r, m->node, sizeof(m->node), node_id_valid, m->status != 0);
        return reader_done(r);
}

enum { MEDIA_FRESH = 1, MEDIA_SHADOW = 2 };
#define MEDIA_HEADER_BYTES (8 + 8 + 1 + 2)
#define FRAME_HEADER_BYTES (1 + 1 + 1 + 8 + 4 + 4)

/* What media_encode() writes. Frames are most of what a proxy sends, so a writer that only counts is told it at once. */
static size_t media_bytes(const struct media *m)
{
        size_t sum = MEDIA_HEADER_BYTES + m->count * (size_t)FRAME_HEADER_BYTES;
        for (int i = 0; i < m->count; i++)
                sum += m->frames[i].bytes->len;
        return sum;
}

void media_encode(struct writer *w, const void *message)
{
        const struct media *m = message;
        assert(m->count <= BATCH_FRAMES_MAX);
        if (!w->data) {
                writer_count(w, media_bytes(m));
                return;
        }
        writer_u64(w, m->handle);
        writer_u64(w, m->first_seq);
        writer_u8(w, (uint8_t)((m->fresh ? MEDIA_FRESH : 0) | (m->shadow ? MEDIA_SHADOW : 0)));
        writer_u16(w, m->count);
        for (int i = 0; i < m->count; i++) {
                const struct frame *f = &m->frames[i];
                assert(f->bytes->len <= FRAME_MAX);
                writer_u8(w, f->track);
                writer_u8(w, f->codec);
                writer_u8(w, f->flags);
                writer_i64(w, f->dts_us);
                writer_i32(w, f->cts_us);
                check_body_write(w, f->bytes->data, (uint32_t)f->bytes->len);
        }
}

/* All of a frame but its buf; where its bytes are goes to *at and *len. */
static void decode_frame(struct reader *r, struct frame *f, const uint8_t **at, uint32_t *len)
{
        *f = (struct frame){.track = reader_u8(r)};
        if (f->track >= TRACK_KINDS)
                reader_fail(r);
        f->codec = reader_u8(r);
        f->flags = check_flags(r, FRAME_KEY | FRAME_CONFIG | FRAME_BREAK);
        f->dts_us = check_time(r);
        f->cts_us = reader_i32(r);
        *at = check_body(r, f->flags & FRAME_CONFIG ? CONFIG_RECORD_MAX : FRAME_MAX, len);
}

int media_decode(struct reader *r, struct media *m, struct frame frames[BATCH_FRAMES_MAX], struct buf *whole)
{
        const uint8_t *at[BATCH_FRAMES_MAX];
        uint32_t len[BATCH_FRAMES_MAX];
        uint64_t sum = 0;

        *m = (struct media){.handle = reader_u64(r), .first_seq = reader_u64(r), .frames = frames};
        uint8_t flags = check_flags(r, MEDIA_FRESH | MEDIA_SHADOW);
        m->fresh = flags & MEDIA_FRESH ? 1 : 0;
        m->shadow = flags & MEDIA_SHADOW ? 1 : 0;
        uint16_t count = reader_u16(r);
        if (count > BATCH_FRAMES_MAX || m->first_seq > INT64_MAX)
                reader_fail(r);
        for (uint16_t i = 0; !r->err && i < count; i++) {
                decode_frame(r, &frames[i], &at[i], &len[i]);
                sum += len[i];
        }
        if (sum > BATCH_MAX)
                reader_fail(r);
        if (reader_done(r) != 0)
                return ERR_PROTO;

        for (uint16_t i = 0; i < count; i++)
                frames[i].bytes = buf_slice(whole, (size_t)(at[i] - whole->data), len[i]);
        m->count = count;
        return 0;
}

enum { REPLY_DRAINING = 1, REPLY_TAKES_MANY = 2, REPLY_STANDBY = 4 };

void media_reply_encode(struct writer *w, const void *message)
{
        const struct media_reply *m = message;
        writer_u8(w, (uint8_t)m->status);
        writer_u64(w, m->next_seq);
        writer_i64(w, m->stored_us);
        writer_u32(w, m->credit);
        writer_u32(w, m->generation);
        writer_u8(w, (uint8_t)((m->draining ? REPLY_DRAINING : 0) | (m->takes_many ? REPLY_TAKES_MANY : 0) |
                               (m->standby ? REPLY_STANDBY : 0)));
}

static void read_reply(struct reader *r, struct media_reply *m)
{
        m->status = check_status(r);
        m->next_seq = reader_u64(r);
        m->stored_us = check_time(r);
        m->credit = reader_u32(r);
        m->generation = reader_u32(r);
        uint8_t flags = check_flags(r, REPLY_DRAINING | REPLY_TAKES_MANY | REPLY_STANDBY);
        m->draining = flags & REPLY_DRAINING ? 1 : 0;
        m->takes_many = flags & REPLY_TAKES_MANY ? 1 : 0;
        m->standby = flags & REPLY_STANDBY ? 1 : 0;
}

int media_reply_decode(struct reader *r, struct media_reply *m)
{
        read_reply(r, m);
        return reader_done(r);
}

void media_many_encode(struct writer *w, const void *message)
{
        const struct media_many *m = message;
        assert(m->count <= MEDIA_MANY_MAX);
        writer_u16(w, m->count);
        for (int i = 0; i < m->count; i++) {
                writer_u32(w, (uint32_t)media_bytes(&m->parts[i]));
                media_encode(w, &m->parts[i]);
        }
}

int media_many_decode(struct reader *r, struct reader parts[MEDIA_MANY_MAX], uint16_t *count)
{
        *count = reader_u16(r);
        if (*count > MEDIA_MANY_MAX)
                reader_fail(r);
        for (int i = 0; !r->err && i < *count; i++) {
                size_t len = reader_u32(r);
                const uint8_t *bytes = reader_bytes(r, len);
                reader_init(&parts[i], bytes, r->err ? 0 : len);
        }
        return reader_done(r);
}

void media_many_reply_encode(struct writer *w, const void *message)
{
        const struct media_many_reply *m = message;
        assert(m->count <= MEDIA_MANY_MAX);
        writer_u16(w, m->count);
        for (int i = 0; i < m->count; i++)
                media_reply_encode(w, &m->parts[i]);
}

int media_many_reply_decode(struct reader *r, struct media_many_reply *m)
{
        m->count = reader_u16(r);
        if (m->count > MEDIA_MANY_MAX)
                reader_fail(r);
        for (int i = 0; !r->err && i < m->count; i++)
                read_reply(r, &m->parts[i]);
        return reader_done(r);
}

void close_stream_encode(struct writer *w, const void *message)
{
        const struct close_stream *m = message;
        writer_u64(w, m->handle);
        writer_u8(w, m->reason);
}

int close_stream_decode(struct reader *r, struct close_stream *m)
{
        m->handle = reader_u64(r);
        m->reason = reader_u8(r);
        if (m->reason < CLOSE_STOPPED || m->reason > CLOSE_LEAVE)
                reader_fail(r);
        return reader_done(r);
}

void status_reply_encode(struct writer *w, const void *message)
{
        const struct status_reply *m = message;
        writer_u8(w, (uint8_t)m->status);
}

int status_reply_decode(struct reader *r, struct status_reply *m)
{
        m->status = check_status(r);
        return reader_done(r);
}
