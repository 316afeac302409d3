#include "ingestd/flv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/avc.h"
#include "common/bytes.h"
#include "common/err.h"
#include "ingestd/amf0.h"

enum { FRAME_TYPE_KEY = 1, FRAME_TYPE_COMMAND = 5 };
enum { VIDEO_CODEC_AVC = 7, SOUND_FORMAT_EX = 9, SOUND_FORMAT_AAC = 10 };
enum { LEGACY_CONFIG = 0, LEGACY_FRAME = 1 }; /* AVCPacketType, AACPacketType */
enum { EX_SEQUENCE_START = 0, EX_CODED_FRAMES = 1, EX_CODED_FRAMES_X = 3, EX_METADATA = 4, EX_MULTITRACK_AUDIO = 5,
       EX_MULTITRACK_VIDEO = 6, EX_MODEX = 7 };

#define VIDEO_IS_EX 0x80

static const char *const legacy_video[16] = {
        [1] = "JPEG", [2] = "Sorenson H.263", [3] = "Screen Video", [4] = "VP6", [5] = "VP6 with alpha",
        [6] = "Screen Video 2", [8] = "H.263", [9] = "MPEG-4 part 2", [12] = "HEVC", [13] = "AV1", [14] = "VP8",
        [15] = "VP9",
};
static const char *const legacy_audio[16] = {
        [0] = "PCM", [1] = "ADPCM", [2] = "MP3", [3] = "PCM", [4] = "Nellymoser", [5] = "Nellymoser",
        [6] = "Nellymoser", [7] = "G.711 A-law", [8] = "G.711 mu-law", [11] = "Speex", [13] = "Opus", [14] = "MP3",
        [15] = "device-specific",
};

struct fourcc {
        char id[5];
        const char *name;
        enum codec codec;
};
static const struct fourcc video_fourccs[] = {
        {"avc1", "H.264", CODEC_H264}, {"hvc1", "HEVC", CODEC_NONE}, {"av01", "AV1", CODEC_NONE},
        {"vp09", "VP9", CODEC_NONE},   {"vp08", "VP8", CODEC_NONE},  {"vvc1", "VVC", CODEC_NONE},
        {"", NULL, CODEC_NONE},
};
static const struct fourcc audio_fourccs[] = {
        {"mp4a", "AAC", CODEC_AAC},    {"Opus", "Opus", CODEC_NONE}, {".mp3", "MP3", CODEC_NONE},
        {"ac-3", "AC-3", CODEC_NONE},  {"ec-3", "E-AC-3", CODEC_NONE}, {"fLaC", "FLAC", CODEC_NONE},
        {"", NULL, CODEC_NONE},
};

/* What the header of a tag said, legacy or enhanced. */
struct tag {
        enum { TAG_CONFIG, TAG_FRAME, TAG_IGNORED, TAG_UNSUPPORTED } kind;
        int32_t cts_ms;
        bool key;
};

static struct tag unsupported(struct flv *f, const char *name, const char *kind)
{
        snprintf(f->what, sizeof(f->what), "%s %s", name ? name : "unknown", kind);
        return (struct tag){.kind = TAG_UNSUPPORTED};
}

static const struct fourcc *find_fourcc(const struct fourcc *table, const uint8_t id[4])
{
        while (table->name && memcmp(table->id, id, 4) != 0)
                table++;
        return table->name ? table : NULL;
}

/* True when the four bytes name the codec we take; otherwise *tag is TAG_UNSUPPORTED, or TAG_IGNORED when cut short. */
static bool fourcc_taken(struct flv *f, struct reader *r, const struct fourcc *table, const char *kind, struct tag *tag)
{
        const uint8_t *id = reader_bytes(r, 4);
        *tag = (struct tag){.kind = TAG_IGNORED};
        if (!id)
                return false;
        const struct fourcc *row = find_fourcc(table, id);
        if (row && row->codec != CODEC_NONE)
                return true;
        char shown[5];
        for (size_t i = 0; i < 4; i++)
                shown[i] = id[i] > 0x20 && id[i] < 0x7f && id[i] != '"' ? (char)id[i] : '?';
        shown[4] = '\0';
        *tag = unsupported(f, row ? row->name : shown, kind);
        return false;
}

/* ModEx entries (nanosecond offsets and the like) stand before the packet type they modify; they are skipped. */
static uint8_t skip_modex(struct reader *r, uint8_t packet_type)
{
        while (packet_type == EX_MODEX && !r->err) {
                size_t n = reader_u8(r) + 1u;
                if (n == 256)
                        n = reader_u16(r) + 1u;
                reader_skip(r, n);
                packet_type = reader_u8(r) & 0x0f;
        }
        return packet_type;
}

static struct tag read_ex_video(struct flv *f, struct reader *r, uint8_t first)
{
        struct tag tag;
        uint8_t frame_type = first >> 4 & 7;
        uint8_t packet_type = skip_modex(r, first & 0x0f);
        if (packet_type == EX_METADATA || frame_type == FRAME_TYPE_COMMAND)
                return (struct tag){.kind = TAG_IGNORED};
        if (packet_type == EX_MULTITRACK_VIDEO)
                return unsupported(f, "multitrack", "video");
        if (!fourcc_taken(f, r, video_fourccs, "video", &tag))
                return tag;
        tag.key = frame_type == FRAME_TYPE_KEY;
        if (packet_type == EX_SEQUENCE_START) {
                tag.kind = TAG_CONFIG;
        } else if (packet_type == EX_CODED_FRAMES || packet_type == EX_CODED_FRAMES_X) {
                tag.kind = TAG_FRAME;
                tag.cts_ms = packet_type == EX_CODED_FRAMES ? reader_i24(r) : 0;
        }
        return tag;
}

static struct tag read_video(struct flv *f, struct reader *r)
{
        uint8_t first = reader_u8(r);
        if (first & VIDEO_IS_EX)
                return read_ex_video(f, r, first);
        struct tag tag = {.kind = TAG_IGNORED, .key = first >> 4 == FRAME_TYPE_KEY};
        if (first >> 4 == FRAME_TYPE_COMMAND)
                return tag;
        if ((first & 0x0f) != VIDEO_CODEC_AVC)
                return unsupported(f, legacy_video[first & 0x0f], "video");
        uint8_t packet_type = reader_u8(r);
        tag.cts_ms = reader_i24(r);
        if (packet_type == LEGACY_CONFIG)
                tag.kind = TAG_CONFIG;
        else if (packet_type == LEGACY_FRAME)
                tag.kind = TAG_FRAME;
        return tag;
}

/* The audio object types (ISO/IEC 14496-3, table 1.17) that some encoder may send and that are not taken; NULL: any other. */
static const char *other_aac(const uint8_t *asc, size_t len)
{
        if (len < 2)
                return NULL;
        unsigned object_type = asc[0] >> 3;
        if (object_type == 31)
                object_type = 32 + ((asc[0] & 7u) << 3 | asc[1] >> 5);
        switch (object_type) {
        case 3:
                return "AAC-SSR";
        case 17:
        case 19:
                return "error resilient AAC";
        case 23:
                return "AAC-LD";
        case 39:
                return "AAC-ELD";
        case 42:
                return "xHE-AAC";
        default:
                return NULL;
        }
}

static struct tag read_audio(struct flv *f, struct reader *r)
{
        uint8_t first = reader_u8(r), format = first >> 4;
        struct tag tag = {.kind = TAG_IGNORED, .key = true};
        uint8_t packet_type;
        if (format == SOUND_FORMAT_EX) {
                packet_type = skip_modex(r, first & 0x0f);
                if (packet_type == EX_MULTITRACK_AUDIO)
                        return unsupported(f, "multitrack", "audio");
                if (!fourcc_taken(f, r, audio_fourccs, "audio", &tag))
                        return tag;
                tag.key = true;
        } else if (format == SOUND_FORMAT_AAC) {
                packet_type = reader_u8(r);
        } else {
                return unsupported(f, legacy_audio[format], "audio");
        }
        if (packet_type == LEGACY_CONFIG && other_aac(r->p, reader_left(r)))
                return unsupported(f, other_aac(r->p, reader_left(r)), "audio");
        if (packet_type == LEGACY_CONFIG) /* the same two numbers in both headers */
                tag.kind = TAG_CONFIG;
        else if (packet_type == LEGACY_FRAME)
                tag.kind = TAG_FRAME;
        return tag;
}

/* AudioSpecificConfig, ISO/IEC 14496-3 section 1.6.2.1. Main, LC, LTP, and SBR or PS on top of them. */
static bool asc_sane(const uint8_t *data, size_t len)
{
        if (len < 2)
                return false;
        unsigned object_type = data[0] >> 3;
        unsigned rate_index = (data[0] & 7u) << 1 | data[1] >> 7;
        bool known = object_type == 1 || object_type == 2 || object_type == 4 || object_type == 5 || object_type == 29;
        return known && (rate_index <= 12 || (rate_index == 15 && len >= 5));
}

static bool damaged(struct flv *f, const char *what)
{
        snprintf(f->what, sizeof(f->what), "the %s", what);
        return false;
}

/* False: of no use, and f->what says why. */
static bool take_config(struct flv *f, enum track_kind track, const uint8_t *data, size_t len)
{
        struct avc_record record;
        if (track == TRACK_AUDIO && (len > CONFIG_RECORD_MAX || !asc_sane(data, len)))
                return damaged(f, "AAC configuration makes no sense");
        if (track == TRACK_VIDEO) {
                int err = len > CONFIG_RECORD_MAX ? ERR_LIMIT : avc_record_read(&record, data, len);
                if (err == 0 || (err == ERR_NOT_FOUND && !f->configured[track]))
                        f->length_size = record.length_size;
                if (err)
                        return damaged(f, err == ERR_NOT_FOUND ? "H.264 configuration has no parameter sets"
                                                               : "H.264 configuration makes no sense");
        }
        f->configured[track] = true;
        return true;
}

/* Encoders that have no record to give put the parameter sets before the first picture. */
static bool find_config(struct flv *f, const uint8_t *unit, size_t len)
{
        uint8_t record[CONFIG_RECORD_MAX];
        size_t n = avc_record_make(record, sizeof(record), f->length_size, unit, len);
        if (n == 0)
                return false;
        f->record = buf_copy(record, n);
        f->configured[TRACK_VIDEO] = true;
        return true;
}

/* False: it cannot be decoded yet. */
static bool look_at_picture(struct flv *f, struct tag *tag, const uint8_t *unit, size_t len)
{
        if (!f->length_size)
                f->length_size = AVC_LENGTH_SIZE;
        struct avc_look look = avc_look(f->length_size, unit, len);
        /* Damage leaves the tag's word, which may be right. */
        tag->key = look.idr || (tag->key && (look.intra || look.recovery || look.broken));
        return f->configured[TRACK_VIDEO] || (look.sps && look.pps && find_config(f, unit, len));
}

static enum flv_verdict finish(struct flv *f, enum track_kind track, struct tag *tag, struct reader *r, struct buf *block,
                               uint32_t dts_ms, struct flv_frame *out)
{
        if (tag->kind == TAG_UNSUPPORTED)
                return FLV_UNSUPPORTED;
        size_t len = reader_left(r);
        if (len == 0 || tag->kind == TAG_IGNORED)
                return FLV_IGNORED;
        if (tag->kind == TAG_CONFIG && !take_config(f, track, r->p, len))
                return FLV_DAMAGED;
        if (tag->kind == TAG_FRAME && track == TRACK_VIDEO && !look_at_picture(f, tag, r->p, len))
                return FLV_IGNORED;
        if (!f->configured[track])
                return FLV_IGNORED;
        buf_narrow(block, (size_t)(r->p - block->data), len);
        *out = (struct flv_frame){
                .track = (uint8_t)track,
                .codec = track == TRACK_VIDEO ? CODEC_H264 : CODEC_AAC,
                .flags = tag->kind == TAG_CONFIG ? FRAME_CONFIG : tag->key ? FRAME_KEY : 0,
                .dts_ms = dts_ms,
                .cts_ms = tag->kind == TAG_CONFIG ? 0 : tag->cts_ms,
                .length_size = (uint8_t)(track == TRACK_VIDEO ? f->length_size : 0),
                .bytes = block,
        };
        return FLV_FRAME;
}

enum flv_verdict flv_video(struct flv *f, struct buf *block, uint32_t dts_ms, struct flv_frame *out)
{
        struct reader r;
        if (!block)
                return FLV_IGNORED;
        reader_init(&r, block->data, block->len);
        struct tag tag = read_video(f, &r);
        return finish(f, TRACK_VIDEO, &tag, &r, block, dts_ms, out);
}

enum flv_verdict flv_audio(struct flv *f, struct buf *block, uint32_t dts_ms, struct flv_frame *out)
{
        struct reader r;
        if (!block)
                return FLV_IGNORED;
        reader_init(&r, block->data, block->len);
        struct tag tag = read_audio(f, &r);
        return finish(f, TRACK_AUDIO, &tag, &r, block, dts_ms, out);
}

static void take_property(void *arg, const struct amf_value *key, const struct amf_value *value)
{
        struct flv_metadata *m = arg;
        if (amf_value_is(key, "videocodecid")) {
                m->has_video = 1; /* whichever: what it is the tags say */
        } else if (amf_value_is(key, "audiocodecid")) {
                m->has_audio = 1;
        } else if (amf_value_is(key, "hasVideo") && value->type == AMF_BOOLEAN) {
                m->has_video = value->number != 0;
        } else if (amf_value_is(key, "hasAudio") && value->type == AMF_BOOLEAN) {
                m->has_audio = value->number != 0;
        } else if (amf_value_is(key, "encoder")) {
                amf_value_copy(m->encoder, sizeof(m->encoder), value);
        } else if (amf_value_is(key, "title")) {
                amf_value_copy(m->title, sizeof(m->title), value);
        }
}

int flv_script(const uint8_t *data, size_t len_bytes, struct flv_metadata *out)
{
        struct amf0 in;
        amf0_init(&in, data, len_bytes);
        struct amf_value name = amf0_read(&in, NULL, NULL);
        if (amf_value_is(&name, "@setDataFrame"))
                name = amf0_read(&in, NULL, NULL);
        bool wanted = amf_value_is(&name, "onMetaData");
        struct flv_metadata m = {.has_video = -1, .has_audio = -1};
        struct amf_value body = amf0_read(&in, wanted ? take_property : NULL, &m);
        if (in.r.err)
                return in.r.err;
        if (!wanted || body.type != AMF_OBJECT)
                return ERR_NOT_FOUND;
        *out = m;
        return 0;
}
