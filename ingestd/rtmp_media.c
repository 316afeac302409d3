#include "ingestd/rtmp_media.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "ingestd/amf_cue.h"
#include "ingestd/rtmp_say.h"

static enum session_state refuse_codec(struct rtmp_session *s)
{
        char text[192];
        snprintf(text, sizeof(text), "%s is not supported; send " FLV_ALLOWED, s->flv.what);
        return rtmp_say_refusal(s, RTMP_CLOSE_CODEC, "NetStream.Publish.Rejected", text);
}

/* A good configuration may have come before or come yet; rtmp_session_tick() ends what never has one. */
static void ignore_config(struct rtmp_session *s)
{
        s->ignored++;
        if (s->bad_configs++ == 0)
                log_warn("conn=%" PRIu64 " stream=%s address=%s msg=\"%s: it is ignored until a good one comes\"", s->setup.id,
                         s->stream, s->address, s->flv.what);
}

/* Parameter sets that came with the picture instead of before it. */
static void pass_record(struct rtmp_session *s, uint32_t timestamp_ms)
{
        const struct flv_frame record = {.track = TRACK_VIDEO, .codec = CODEC_H264, .flags = FRAME_CONFIG, .dts_ms = timestamp_ms,
                                         .bytes = s->flv.record};
        s->setup.ops->frame(s->publication, &record);
        buf_unref(&s->flv.record);
}

enum session_state rtmp_media_tag(struct rtmp_session *s, struct rtmp_message *m)
{
        struct flv_frame frame;
        if (!s->publication) {
                s->ignored++;
                return s->state;
        }
        enum flv_verdict verdict = m->type == RTMP_VIDEO
                                           ? flv_video(&s->flv, m->block, m->timestamp_ms, &frame)
                                           : flv_audio(&s->flv, m->block, m->timestamp_ms, &frame);
        if (verdict == FLV_UNSUPPORTED)
                return refuse_codec(s);
        if (verdict == FLV_IGNORED)
                s->ignored++;
        if (verdict == FLV_DAMAGED)
                ignore_config(s);
        if (verdict != FLV_FRAME)
                return s->state;
        m->block = NULL; /* it is the frame's */
        s->since_us = s->now_us;
        if (s->flv.record)
                pass_record(s, m->timestamp_ms);
        s->setup.ops->frame(s->publication, &frame);
        buf_unref(&frame.bytes);
        return s->state;
}

/* Metadata that is wrong but harmless is not worth a broadcast; nesting without end is an attack. */
enum session_state rtmp_media_data(struct rtmp_session *s, const uint8_t *data, size_t len, uint32_t timestamp_ms)
{
        struct flv_metadata metadata;
        int err = flv_script(data, len, &metadata);
        if (err == ERR_LIMIT)
                return rtmp_state_fail_amf(s, err);
        if (err == 0 && s->publication)
                s->setup.ops->metadata(s->publication, &metadata);
        else if (err == ERR_NOT_FOUND && s->publication && amf_cue_is(data, len))
                s->setup.ops->cue(s->publication, data, len, timestamp_ms);
        else
                s->ignored++;
        return s->state;
}

static enum session_state on_aggregate_part(struct rtmp_session *s, struct rtmp_message *part)
{
        if (part->type != RTMP_AUDIO && part->type != RTMP_VIDEO)
                return part->type == RTMP_DATA_AMF0 ? rtmp_media_data(s, part->data, part->len, part->timestamp_ms) : s->state;
        if (part->len == 0)
                return s->state;
        part->block = buf_copy(part->data, part->len);
        enum session_state next = rtmp_media_tag(s, part);
        buf_unref(&part->block);
        return next;
}

/* Section 7.1.6: FLV tags with their back pointers; times are relative to the first one's. Each is a message of this turn; the
 * aggregate is taken as a whole, so the number of its parts is bounded. */
enum session_state rtmp_media_aggregate(struct rtmp_session *s, const struct rtmp_message *m)
{
        struct reader r;
        bool first = true;
        uint32_t base = 0;
        unsigned parts = 0;
        reader_init(&r, m->data, m->len);
        while (reader_left(&r) >= 11 && !s->closing) {
                if (++parts > RTMP_AGGREGATE_PARTS)
                        return rtmp_state_fail(s, RTMP_CLOSE_AGGREGATE);
                s->turn -= s->turn > 0;
                struct rtmp_message part = {.type = reader_u8(&r)};
                part.len = reader_u24(&r);
                uint32_t time = reader_u24(&r);
                time |= (uint32_t)reader_u8(&r) << 24;
                reader_skip(&r, 3);
                if (first)
                        base = time;
                first = false;
                part.timestamp_ms = m->timestamp_ms + (time - base);
                part.data = reader_bytes(&r, part.len);
                reader_skip(&r, 4);
                enum session_state next = r.err ? s->state : on_aggregate_part(s, &part);
                if (next != s->state)
                        return next;
        }
        return s->state;
}
