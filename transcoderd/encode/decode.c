#include "transcoderd/encode/decode.h"

#include <libavcodec/avcodec.h>
#include <stdlib.h>
#include <string.h>

#include "common/avc.h"
#include "common/err.h"
#include "common/mem.h"

/* 4096 × 2304 in either orientation; beyond, a picture costs more memory than a session is given. */
#define PIXELS_MAX (4096 * 2304)
#define SENT_MAX 32 /* more than a decoder holds: 16 pictures, of two fields each */

/* A frame with a coded picture that libavcodec has taken. */
struct sent {
        int64_t pts_us;
        bool waits; /* its picture has not come */
        bool half;  /* the picture of the frame before came, and is interlaced: this one may have been its other field */
};

struct decoder {
        enum track_kind kind;
        int threads;
        uint8_t codec_id;
        struct buf *record;
        AVCodecContext *codec; /* NULL: no usable record yet */
        AVPacket *pkt;
        AVFrame *frame;
        bool wants_key;
        bool record_due; /* goes with the next frame */
        bool renew_due;  /* with the next key frame the codec is opened anew */
        struct sent sent[SENT_MAX];
        unsigned sent_count; /* so far; the newest is sent[(sent_count - 1) % SENT_MAX] */
        int width, height;   /* of the pictures; 0: none yet */
        struct decoder_lost lost;
};

struct decoder *decoder_new(enum track_kind kind, int threads)
{
        struct decoder *d = mem_alloc(sizeof(*d));
        d->kind = kind;
        d->threads = threads;
        d->pkt = av_packet_alloc();
        d->frame = av_frame_alloc();
        return d;
}

void decoder_free(struct decoder **dp)
{
        struct decoder *d = *dp;
        *dp = NULL;
        if (!d)
                return;
        avcodec_free_context(&d->codec);
        av_packet_free(&d->pkt);
        av_frame_free(&d->frame);
        buf_unref(&d->record);
        free(d);
}

bool decoder_config_differs(const struct decoder *d, uint8_t codec, const struct buf *record)
{
        return !d->record || d->codec_id != codec || d->record->len != record->len ||
               memcmp(d->record->data, record->data, record->len) != 0;
}

static enum AVCodecID codec_id(uint8_t codec)
{
        switch (codec) {
        case CODEC_H264:
                return AV_CODEC_ID_H264;
        case CODEC_AAC:
                return AV_CODEC_ID_AAC;
        default:
                return AV_CODEC_ID_NONE;
        }
}

static int set_extradata(AVCodecContext *c, const struct buf *record)
{
        c->extradata = av_mallocz(record->len + AV_INPUT_BUFFER_PADDING_SIZE);
        if (!c->extradata)
                return ERR_LIMIT;
        memcpy(c->extradata, record->data, record->len);
        c->extradata_size = (int)record->len;
        return 0;
}

static void forget_sent(struct decoder *d)
{
        memset(d->sent, 0, sizeof(d->sent));
}

/* Opens the codec for d->record. */
static int open_codec(struct decoder *d)
{
        const struct buf *record = d->record;
        avcodec_free_context(&d->codec);
        forget_sent(d);
        d->record_due = d->renew_due = false;
        d->width = d->height = 0;
        d->wants_key = d->kind == TRACK_VIDEO;

        const AVCodec *impl = avcodec_find_decoder(codec_id(d->codec_id));
        if (!impl || (d->kind == TRACK_VIDEO) != (impl->type == AVMEDIA_TYPE_VIDEO))
                return ERR_UNSUPPORTED;
        if (record->len == 0 || record->len > CONFIG_RECORD_MAX)
                return ERR_CORRUPT;
        AVCodecContext *c = avcodec_alloc_context3(impl);
        int err = set_extradata(c, record);
        c->thread_count = d->threads > 0 ? d->threads : 1;
        c->thread_type = FF_THREAD_SLICE; /* frame threads hold back a picture each */
        c->flags |= AV_CODEC_FLAG_OUTPUT_CORRUPT; /* not to show them, but to count them */
        c->max_pixels = PIXELS_MAX;
        c->pkt_timebase = (AVRational){1, 1000000};
        if (err || avcodec_open2(c, impl, NULL) < 0) {
                avcodec_free_context(&c);
                return err ? err : ERR_CORRUPT;
        }
        d->codec = c;
        return 0;
}

static void take_record(struct decoder *d, uint8_t codec, const struct buf *record)
{
        buf_unref(&d->record);
        d->record = buf_ref((struct buf *)record);
        d->codec_id = codec;
}

int decoder_config(struct decoder *d, uint8_t codec, const struct buf *record)
{
        if (!d->codec || d->kind != TRACK_VIDEO) {
                take_record(d, codec, record);
                return open_codec(d);
        }
        struct avc_record read;
        if (codec != d->codec_id)
                return ERR_UNSUPPORTED;
        if (!decoder_config_differs(d, codec, record))
                return 0;
        if (record->len > CONFIG_RECORD_MAX || avc_record_read(&read, record->data, record->len) == ERR_PROTO)
                return ERR_CORRUPT;
        d->renew_due |= avc_record_brings_sps(d->record->data, d->record->len, record->data, record->len);
        d->record_due = true;
        take_record(d, codec, record);
        return 0;
}

bool decoder_renews(const struct decoder *d, const struct frame *f)
{
        return d->codec && d->renew_due && f->flags & FRAME_KEY;
}

int decoder_renew(struct decoder *d)
{
        return open_codec(d);
}

/* --- what became of each frame --- */

static struct sent *sent_at(struct decoder *d, unsigned n)
{
        return &d->sent[n % SENT_MAX];
}

/* A frame's place is needed again, or there is no more to come. */
static void give_up(struct decoder *d, unsigned n)
{
        struct sent *s = sent_at(d, n);
        d->lost.corrupt += s->waits && !s->half;
        s->waits = false;
}

static void note_sent(struct decoder *d, int64_t pts_us)
{
        give_up(d, d->sent_count);
        *sent_at(d, d->sent_count++) = (struct sent){.pts_us = pts_us, .waits = true};
}

static void note_received(struct decoder *d, const AVFrame *pic)
{
        for (unsigned n = d->sent_count - SENT_MAX; n != d->sent_count; n++) {
                struct sent *s = sent_at(d, n);
                if (!s->waits || s->pts_us != pic->pts)
                        continue;
                s->waits = false;
                if (n + 1 != d->sent_count)
                        sent_at(d, n + 1)->half = pic->interlaced_frame;
                return;
        }
}

static void note_end(struct decoder *d)
{
        for (unsigned n = d->sent_count - SENT_MAX; n != d->sent_count; n++)
                give_up(d, n);
        forget_sent(d);
}

struct decoder_lost decoder_lost(struct decoder *d)
{
        struct decoder_lost lost = d->lost;
        d->lost = (struct decoder_lost){0};
        return lost;
}

/* --- frames in, pictures out --- */

/* Parameter sets, a delimiter or filler may come alone; libavcodec takes what it needs of them and says that there is no frame. */
static bool has_picture(const struct decoder *d, const struct frame *f)
{
        if (d->kind != TRACK_VIDEO)
                return true;
        struct avc_record record = {.length_size = AVC_LENGTH_SIZE};
        avc_record_read(&record, d->record->data, d->record->len);
        struct avc_look look = avc_look(record.length_size, f->bytes->data, f->bytes->len);
        return look.picture || look.broken;
}

/* As ffmpeg's demuxers tell its decoders of a new record: nothing is flushed by it. */
static void attach_record(struct decoder *d)
{
        uint8_t *copy = av_packet_new_side_data(d->pkt, AV_PKT_DATA_NEW_EXTRADATA, d->record->len);
        if (!copy)
                return;
        memcpy(copy, d->record->data, d->record->len);
        d->record_due = false;
}

int decoder_send(struct decoder *d, const struct frame *f)
{
        if (!d->codec)
                return ERR_CORRUPT;
        bool picture = has_picture(d, f);
        if (d->wants_key && picture && !(f->flags & FRAME_KEY))
                return ERR_NOT_YET;
        if (f->bytes->len == 0 || av_new_packet(d->pkt, (int)f->bytes->len) < 0)
                return ERR_CORRUPT;
        /* Copied: libavcodec reads beyond the end, and what lies there in a batch is the next frame. */
        memcpy(d->pkt->data, f->bytes->data, f->bytes->len);
        d->pkt->dts = f->dts_us;
        d->pkt->pts = f->dts_us + f->cts_us;
        if (f->flags & FRAME_KEY)
                d->pkt->flags |= AV_PKT_FLAG_KEY;
        if (d->record_due)
                attach_record(d);
        d->wants_key &= !picture;
        int rv = avcodec_send_packet(d->codec, d->pkt);
        av_packet_unref(d->pkt);
        if (rv < 0)
                return picture ? ERR_CORRUPT : 0;
        if (picture && d->kind == TRACK_VIDEO)
                note_sent(d, f->dts_us + f->cts_us);
        return 0;
}

void decoder_end(struct decoder *d)
{
        if (d->codec)
                avcodec_send_packet(d->codec, NULL);
}

void decoder_break(struct decoder *d)
{
        if (d->codec)
                avcodec_flush_buffers(d->codec);
        forget_sent(d);
        d->wants_key = d->kind == TRACK_VIDEO;
}

/* libavcodec says so of most of them. But pictures of another size than those before may only begin with a key frame (ITU-T H.264,
 * section 7.4.1.2.1), and it forgets that when it still held some of the old ones. */
static bool leans_on_nothing(struct decoder *d)
{
        const AVFrame *pic = d->frame;
        if (d->kind != TRACK_VIDEO)
                return false;
        if (pic->flags & AV_FRAME_FLAG_CORRUPT)
                return true;
        if (!pic->key_frame && d->width && (pic->width != d->width || pic->height != d->height))
                return true;
        d->width = pic->width;
        d->height = pic->height;
        return false;
}

int decoder_receive(struct decoder *d, AVFrame **out)
{
        int rv = AVERROR(EAGAIN);
        *out = NULL;
        while (d->codec && (rv = avcodec_receive_frame(d->codec, d->frame)) >= 0) {
                note_received(d, d->frame);
                if (leans_on_nothing(d)) {
                        d->lost.skipped++;
                        continue;
                }
                *out = d->frame;
                return 0;
        }
        if (rv == AVERROR_EOF)
                note_end(d);
        return rv == AVERROR(EAGAIN) || rv == AVERROR_EOF ? ERR_NOT_YET : ERR_CORRUPT;
}

bool decoder_too_large(const struct decoder *d, int *width, int *height)
{
        *width = d->codec ? d->codec->coded_width : 0;
        *height = d->codec ? d->codec->coded_height : 0;
        return (int64_t)*width * *height > PIXELS_MAX;
}

uint32_t decoder_fps_milli(const struct decoder *d)
{
        if (!d->codec || d->codec->framerate.num <= 0 || d->codec->framerate.den <= 0)
                return 0;
        int64_t milli = av_rescale(d->codec->framerate.num, 1000, d->codec->framerate.den);
        return milli > 0 && milli <= 240000 ? (uint32_t)milli : 0;
}
