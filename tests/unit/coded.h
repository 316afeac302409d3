/* coded.h - little coded broadcasts for tests: H.264 with an avcC record, AAC with its AudioSpecificConfig. */
#ifndef TESTS_UNIT_CODED_H
#define TESTS_UNIT_CODED_H

#include <assert.h>
#include <libavcodec/avcodec.h>
#include <libavutil/channel_layout.h>
#include <libavutil/opt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "proto/media.h"

#define CODED_MAX 1024

struct coded {
        struct buf *config;
        struct frame frames[CODED_MAX];
        int count;
};

static inline void coded_free(struct coded *c)
{
        buf_unref(&c->config);
        for (int i = 0; i < c->count; i++)
                buf_unref(&c->frames[i].bytes);
        c->count = 0;
}

/* x264 with annexb=0 writes its headers with lengths too: parameter sets into an avcC record. */
static inline struct buf *coded_avcc(const AVCodecContext *c)
{
        const uint8_t *sps = NULL, *pps = NULL;
        size_t sps_len = 0, pps_len = 0;
        for (int at = 0; at + 5 <= c->extradata_size;) {
                const uint8_t *p = c->extradata + at;
                size_t len = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
                if ((p[4] & 31) == 7)
                        sps = p + 4, sps_len = len;
                if ((p[4] & 31) == 8)
                        pps = p + 4, pps_len = len;
                at += 4 + (int)len;
        }
        assert(sps && pps);
        struct buf *b = buf_new(11 + sps_len + pps_len);
        uint8_t head[] = {1, sps[1], sps[2], sps[3], 0xff, 0xe1, (uint8_t)(sps_len >> 8), (uint8_t)sps_len};
        memcpy(b->data, head, 8);
        memcpy(b->data + 8, sps, sps_len);
        uint8_t mid[] = {1, (uint8_t)(pps_len >> 8), (uint8_t)pps_len};
        memcpy(b->data + 8 + sps_len, mid, 3);
        memcpy(b->data + 11 + sps_len, pps, pps_len);
        return b;
}

static inline void coded_receive(struct coded *out, AVCodecContext *c, uint8_t track, int64_t start_us)
{
        AVPacket *pkt = av_packet_alloc();
        AVRational us = {1, 1000000};
        while (avcodec_receive_packet(c, pkt) == 0) {
                assert(out->count < CODED_MAX);
                struct frame *f = &out->frames[out->count++];
                /* Whole milliseconds, as RTMP has them. */
                int64_t dts_us = av_rescale_q(pkt->dts, c->time_base, us) / 1000 * 1000;
                int64_t pts_us = av_rescale_q(pkt->pts, c->time_base, us) / 1000 * 1000;
                *f = (struct frame){.track = track, .codec = track == TRACK_VIDEO ? CODEC_H264 : CODEC_AAC,
                                    .flags = pkt->flags & AV_PKT_FLAG_KEY ? FRAME_KEY : 0, .dts_us = dts_us + start_us,
                                    .cts_us = (int32_t)(pts_us - dts_us),
                                    .bytes = buf_copy(pkt->data, (size_t)pkt->size)};
                av_packet_unref(pkt);
        }
        av_packet_free(&pkt);
}

typedef uint8_t coded_luma(int x, int y, int n); /* of picture n */
static inline uint8_t coded_gradient(int x, int y, int n)
{
        return (uint8_t)(16 + (x + y + 3 * n) % 200);
}

/* Key frames every gop. x264: more of its parameters, each with a colon before it. */
static inline void coded_pictures(coded_luma *luma, const char *x264, struct coded *out, int width, int height, AVRational fps, int count,
                                  int b_frames, int gop, int64_t start_us)
{
        char params[256];
        snprintf(params, sizeof(params), "annexb=0:scenecut=0:rc-lookahead=0%s", x264);
        AVCodecContext *c = avcodec_alloc_context3(avcodec_find_encoder_by_name("libx264"));
        AVFrame *f = av_frame_alloc();
        memset(out, 0, sizeof(*out));
        c->width = f->width = width;
        c->height = f->height = height;
        c->pix_fmt = AV_PIX_FMT_YUV420P;
        f->format = AV_PIX_FMT_YUV420P;
        c->time_base = av_inv_q(fps);
        c->framerate = fps;
        c->gop_size = gop;
        c->max_b_frames = b_frames;
        c->thread_count = 1;
        c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
        av_opt_set(c->priv_data, "preset", "ultrafast", 0);
        av_opt_set(c->priv_data, "x264-params", params, 0);
        int rv = avcodec_open2(c, NULL, NULL);
        assert(rv == 0);
        out->config = coded_avcc(c);
        for (int n = 0; n < count; n++) {
                rv = av_frame_get_buffer(f, 0);
                assert(rv == 0);
                for (int y = 0; y < height; y++)
                        for (int x = 0; x < width; x++)
                                f->data[0][y * f->linesize[0] + x] = luma(x, y, n);
                for (int plane = 1; plane < 3; plane++)
                        memset(f->data[plane], 128, (size_t)f->linesize[plane] * (size_t)((height + 1) / 2));
                f->pts = n;
                avcodec_send_frame(c, f);
                coded_receive(out, c, TRACK_VIDEO, start_us);
                for (int i = 0; i < AV_NUM_DATA_POINTERS; i++)
                        av_buffer_unref(&f->buf[i]);
        }
        avcodec_send_frame(c, NULL);
        coded_receive(out, c, TRACK_VIDEO, start_us);
        av_frame_free(&f);
        avcodec_free_context(&c);
}

/* A moving gradient. */
static inline void coded_video_by(const char *x264, struct coded *out, int width, int height, AVRational fps, int count, int b_frames,
                                  int gop, int64_t start_us)
{
        coded_pictures(coded_gradient, x264, out, width, height, fps, count, b_frames, gop, start_us);
}

static inline void coded_video(struct coded *out, int width, int height, AVRational fps, int count, int b_frames,
                               int gop, int64_t start_us)
{
        coded_video_by("", out, width, height, fps, count, b_frames, gop, start_us);
}

typedef double coded_wave(double t_s, int channel); /* up to 1 */
static inline double coded_440_hz(double t_s, int channel)
{
        (void)channel;
        return sin(2 * M_PI * 440 * t_s);
}

static inline void coded_sound(coded_wave *wave, struct coded *out, int rate, int channels, float peak, int count, int64_t start_us)
{
        AVCodecContext *c = avcodec_alloc_context3(avcodec_find_encoder_by_name("aac"));
        AVFrame *f = av_frame_alloc();
        memset(out, 0, sizeof(*out));
        c->sample_rate = f->sample_rate = rate;
        c->sample_fmt = AV_SAMPLE_FMT_FLTP;
        f->format = AV_SAMPLE_FMT_FLTP;
        av_channel_layout_default(&c->ch_layout, channels);
        av_channel_layout_copy(&f->ch_layout, &c->ch_layout);
        c->time_base = (AVRational){1, rate};
        c->bit_rate = channels > 2 ? 64000 * channels : 64000;
        c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;
        int rv = avcodec_open2(c, NULL, NULL);
        assert(rv == 0);
        out->config = buf_copy(c->extradata, (size_t)c->extradata_size);
        f->nb_samples = c->frame_size;
        for (int n = 0; n < count; n++) {
                rv = av_frame_get_buffer(f, 0);
                assert(rv == 0);
                for (int i = 0; i < f->nb_samples; i++)
                        for (int ch = 0; ch < channels; ch++)
                                ((float *)f->extended_data[ch])[i] =
                                        peak * (float)wave((n * 1024 + i) / (double)rate, ch);
                f->pts = (int64_t)n * f->nb_samples;
                avcodec_send_frame(c, f);
                coded_receive(out, c, TRACK_AUDIO, start_us);
                for (int i = 0; i < AV_NUM_DATA_POINTERS; i++)
                        av_buffer_unref(&f->buf[i]);
        }
        av_channel_layout_uninit(&f->ch_layout);
        av_frame_free(&f);
        avcodec_free_context(&c);
}

/* A tone of 440 Hz, the same in all channels. */
static inline void coded_tone(struct coded *out, int rate, int channels, float peak, int count, int64_t start_us)
{
        coded_sound(coded_440_hz, out, rate, channels, peak, count, start_us);
}

static inline void coded_audio(struct coded *out, int rate, int channels, int count, int64_t start_us)
{
        coded_tone(out, rate, channels, 0.3f, count, start_us);
}

#endif
