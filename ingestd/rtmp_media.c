#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"
#include "ingestd/rtmp_session_impl.h"

static const struct state *refuse_media(struct rtmp_session *s, enum flv_verdict verdict)
{
        char text[192];
        if (verdict == FLV_UNSUPPORTED)
                snprintf(text, sizeof(text), "%s is not supported; send " FLV_ALLOWED, s->flv.what);
        else
                snprintf(text, sizeof(text), "%s makes no sense", s->flv.what);
        return rtmp_session_refuse(s, verdict == FLV_UNSUPPORTED ? RTMP_CLOSE_CODEC : RTMP_CLOSE_BAD_MEDIA,
                      "NetStream.Publish.Rejected", text);
}

const struct state *rtmp_media_tag(struct rtmp_session *s, struct rtmp_message *m)
{
        struct flv_frame frame;
        if (!s->publication) {
                s->ignored++;
                return s->state;
        }
        enum flv_verdict verdict = m->type == RTMP_VIDEO
                                           ? flv_video(&s->flv, m->data, m->len, m->timestamp_ms, &frame)
                                           : flv_audio(&s->flv, m->data, m->len, m->timestamp_ms, &frame);
        if (verdict == FLV_IGNORED) {
                s->ignored++;
                return s->state;
        }
        if (verdict != FLV_FRAME)
                return refuse_media(s, verdict);
        m->data = NULL;
        s->since_us = s->now_us;
        s->setup.ops->frame(s->publication, &frame);
        buf_unref(&frame.bytes);
        return s->state;
}

/* Metadata that is wrong but harmless is not worth a broadcast; nesting without end is an attack. */
const struct state *rtmp_media_data(struct rtmp_session *s, const uint8_t *data, size_t len)
{
        struct flv_metadata metadata;
        int err = flv_script(data, len, &metadata);
        if (err == ERR_LIMIT)
                return rtmp_session_fail_amf(s, err);
        if (err == 0 && s->publication)
                s->setup.ops->metadata(s->publication, &metadata);
        else
                s->ignored++;
        return s->state;
}

static const struct state *on_aggregate_part(struct rtmp_session *s, struct rtmp_message *part)
{
        if (part->type != RTMP_AUDIO && part->type != RTMP_VIDEO)
                return part->type == RTMP_DATA_AMF0 ? rtmp_media_data(s, part->data, part->len) : s->state;
        if (part->len == 0)
                return s->state;
        uint8_t *copy = mem_resize(NULL, part->len);
        memcpy(copy, part->data, part->len);
        part->data = copy;
        const struct state *next = rtmp_media_tag(s, part);
        free(part->data);
        return next;
}

/* Section 7.1.6: FLV tags with their back pointers; times are relative to the first one's. */
const struct state *rtmp_media_aggregate(struct rtmp_session *s, const struct rtmp_message *m)
{
        struct reader r;
        bool first = true;
        uint32_t base = 0;
        reader_init(&r, m->data, m->len);
        while (reader_left(&r) >= 11 && !s->closing) {
                struct rtmp_message part = {.type = reader_u8(&r)};
                part.len = reader_u24(&r);
                uint32_t time = reader_u24(&r);
                time |= (uint32_t)reader_u8(&r) << 24;
                reader_skip(&r, 3);
                if (first)
                        base = time;
                first = false;
                part.timestamp_ms = m->timestamp_ms + (time - base);
                part.data = (uint8_t *)(uintptr_t)reader_bytes(&r, part.len);
                reader_skip(&r, 4);
                const struct state *next = r.err ? s->state : on_aggregate_part(s, &part);
                if (next != s->state)
                        return next;
        }
        return s->state;
}
