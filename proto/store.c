#include "proto/store.h"

#include <assert.h>

#include "proto/check.h"

/* At the end of a message, where nothing stands when it is the usual one. */
static void encode_grid(struct writer *w, uint8_t chunk_ms)
{
        if (chunk_ms && chunk_ms != CHUNK_MS)
                writer_u8(w, chunk_ms);
}

static uint8_t decode_grid(struct reader *r)
{
        if (!reader_left(r))
                return 0;
        uint8_t chunk_ms = reader_u8(r);
        if (chunk_ms != CHUNK_MS_SHORT)
                reader_fail(r);
        return chunk_ms;
}

void claim_encode(struct writer *w, const void *message)
{
        const struct claim *m = message;
        writer_str(w, m->stream);
        writer_str(w, m->session);
        writer_i64(w, m->epoch_us);
        writer_str(w, m->node);
        writer_str(w, m->title);
        writer_u32(w, m->grace_ms);
        writer_u8(w, m->flags);
        writer_u32(w, m->generation);
        encode_grid(w, m->chunk_ms);
}

int claim_decode(struct reader *r, struct claim *m)
{
        check_name(r, m->stream, sizeof(m->stream), stream_id_valid, 0);
        check_name(r, m->session, sizeof(m->session), session_id_valid, 0);
        m->epoch_us = check_time_from_zero(r);
        check_name(r, m->node, sizeof(m->node), node_id_valid, 0);
        reader_str(r, m->title, sizeof(m->title));
        m->grace_ms = reader_u32(r);
        m->flags = check_flags(r, CLAIM_JOIN | CLAIM_ONLY_LIVE);
        m->generation = reader_u32(r);
        m->chunk_ms = decode_grid(r);
        return reader_done(r);
}

void claim_reply_encode(struct writer *w, const void *message)
{
        const struct claim_reply *m = message;
        assert(m->track_count <= SESSION_TRACKS_MAX);
        writer_u8(w, (uint8_t)m->status);
        writer_str(w, m->session);
        writer_i64(w, m->epoch_us);
        writer_u32(w, m->generation);
        writer_u32(w, m->written_generation);
        writer_u8(w, m->track_count);
        for (int i = 0; i < m->track_count; i++) {
                writer_str(w, m->tracks[i].name);
                writer_u32(w, m->tracks[i].next_segment);
                writer_u8(w, m->tracks[i].next_chunk);
                writer_i64(w, m->tracks[i].end_us);
        }
        encode_grid(w, m->chunk_ms);
}

static uint8_t decode_chunk(struct reader *r)
{
        uint8_t chunk = reader_u8(r);
        if (chunk >= CHUNKS_MOST)
                reader_fail(r);
        return chunk;
}

static void decode_claim_track(struct reader *r, struct claim_track *t)
{
        check_name(r, t->name, sizeof(t->name), track_name_valid, 0);
        t->next_segment = reader_u32(r);
        t->next_chunk = decode_chunk(r);
        t->end_us = check_time(r);
}

int claim_reply_decode(struct reader *r, struct claim_reply *m)
{
        *m = (struct claim_reply){.status = check_status(r)};
        check_name(r, m->session, sizeof(m->session), session_id_valid, m->status != 0);
        m->epoch_us = check_time_from_zero(r);
        m->generation = reader_u32(r);
        m->written_generation = reader_u32(r);
        m->track_count = reader_u8(r);
        if (m->track_count > SESSION_TRACKS_MAX)
                reader_fail(r);
        for (int i = 0; !r->err && i < m->track_count; i++)
                decode_claim_track(r, &m->tracks[i]);
        m->chunk_ms = decode_grid(r);
        for (int i = 0; !r->err && i < m->track_count; i++)
                if (m->tracks[i].next_chunk >= chunks_of_segment(m->chunk_ms))
                        reader_fail(r);
        return reader_done(r);
}

void put_encode(struct writer *w, const void *message)
{
        const struct put *m = message;
        assert(m->len <= BODY_MAX);
        writer_str(w, m->session);
        writer_u32(w, m->generation);
        writer_str(w, m->track);
        writer_u8(w, m->flags);
        writer_u32(w, m->segment);
        writer_u8(w, m->chunk);
        writer_i64(w, m->start_us);
        writer_i64(w, m->duration_us);
        writer_u32(w, m->bandwidth);
        writer_u32(w, m->fps_milli);
        writer_u64(w, m->previous);
        writer_i64(w, m->after_us);
        check_body_write(w, m->bytes, m->len);
}

int put_decode(struct reader *r, struct put *m)
{
        check_name(r, m->session, sizeof(m->session), session_id_valid, 0);
        m->generation = reader_u32(r);
        check_name(r, m->track, sizeof(m->track), track_name_valid, 0);
        m->flags = check_flags(r, PUT_INIT | PUT_LAST | PUT_SLATE | PUT_SHADOW);
        m->segment = reader_u32(r);
        m->chunk = decode_chunk(r);
        m->start_us = check_time(r);
        m->duration_us = check_time_from_zero(r);
        m->bandwidth = reader_u32(r);
        m->fps_milli = reader_u32(r);
        m->previous = reader_u64(r);
        m->after_us = check_time_from_zero(r);
        if (m->flags & PUT_INIT && (m->previous || m->after_us))
                reader_fail(r);
        m->bytes = check_body(r, BODY_MAX, &m->len);
        return reader_done(r);
}

void put_reply_encode(struct writer *w, const void *message)
{
        const struct put_reply *m = message;
        writer_u8(w, (uint8_t)m->status);
        writer_u32(w, m->next_segment);
        writer_u8(w, m->next_chunk);
        writer_i64(w, m->end_us);
}

int put_reply_decode(struct reader *r, struct put_reply *m)
{
        m->status = check_status(r);
        m->next_segment = reader_u32(r);
        m->next_chunk = decode_chunk(r);
        m->end_us = check_time(r);
        return reader_done(r);
}

void end_encode(struct writer *w, const void *message)
{
        const struct end *m = message;
        writer_str(w, m->session);
        writer_u32(w, m->generation);
        writer_i64(w, m->end_us);
}

int end_decode(struct reader *r, struct end *m)
{
        check_name(r, m->session, sizeof(m->session), session_id_valid, 0);
        m->generation = reader_u32(r);
        m->end_us = check_time(r);
        return reader_done(r);
}
