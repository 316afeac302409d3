#include "transcoderd/encode/decode.h"

#include <libavcodec/avcodec.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"

/* 4096 × 2304 in either orientation; beyond, a picture costs more memory than a session is given. */
#define PIXELS_MAX (4096 * 2304)

struct decoder {
        enum track_kind kind;
        int threads;
        uint8_t codec_id;
        struct buf *record;
        AVCodecContext *codec; /* NULL: no usable record yet */
        AVPacket *pkt;
        AVFrame *frame;
        bool wants_key;
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

int decoder_config(struct decoder *d, uint8_t codec, const struct buf *record)
{
        avcodec_free_context(&d->codec);
        buf_unref(&d->record);
        d->record = buf_ref((struct buf *)record);
        d->codec_id = codec;
        d->wants_key = d->kind == TRACK_VIDEO;

        const AVCodec *impl = avcodec_find_decoder(codec_id(codec));
        if (!impl || (d->kind == TRACK_VIDEO) != (impl->type == AVMEDIA_TYPE_VIDEO))
                return ERR_UNSUPPORTED;
        if (record->len == 0 || record->len > CONFIG_RECORD_MAX)
                return ERR_CORRUPT;
        AVCodecContext *c = avcodec_alloc_context3(impl);
        int err = set_extradata(c, record);
        c->thread_count = d->threads > 0 ? d->threads : 1;
        c->thread_type = FF_THREAD_SLICE; /* frame threads hold back a picture each */
        c->max_pixels = PIXELS_MAX;
        c->pkt_timebase = (AVRational){1, 1000000};
        if (err || avcodec_open2(c, impl, NULL) < 0) {
                avcodec_free_context(&c);
                return err ? err : ERR_CORRUPT;
        }
        d->codec = c;
        return 0;
}

int decoder_send(struct decoder *d, const struct frame *f)
{
        if (!d->codec)
                return ERR_CORRUPT;
        if (d->wants_key && !(f->flags & FRAME_KEY))
                return ERR_NOT_YET;
        if (f->bytes->len == 0 || av_new_packet(d->pkt, (int)f->bytes->len) < 0)
                return ERR_CORRUPT;
        /* Copied: libavcodec reads beyond the end, and what lies there in a batch is the next frame. */
        memcpy(d->pkt->data, f->bytes->data, f->bytes->len);
        d->pkt->dts = f->dts_us;
        d->pkt->pts = f->dts_us + f->cts_us;
        if (f->flags & FRAME_KEY)
                d->pkt->flags |= AV_PKT_FLAG_KEY;
        d->wants_key = false;
        int rv = avcodec_send_packet(d->codec, d->pkt);
        av_packet_unref(d->pkt);
        if (rv >= 0)
                return 0;
        d->wants_key = d->kind == TRACK_VIDEO;
        return ERR_CORRUPT;
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
        d->wants_key = d->kind == TRACK_VIDEO;
}

int decoder_receive(struct decoder *d, AVFrame **out)
{
        *out = NULL;
        if (!d->codec)
                return ERR_NOT_YET;
        int rv = avcodec_receive_frame(d->codec, d->frame);
        if (rv == AVERROR(EAGAIN) || rv == AVERROR_EOF)
                return ERR_NOT_YET;
        if (rv < 0) {
                d->wants_key = d->kind == TRACK_VIDEO;
                return ERR_CORRUPT;
        }
        *out = d->frame;
        return 0;
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
