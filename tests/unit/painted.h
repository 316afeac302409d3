/* painted.h - H.264 of pictures that a test paints itself, with the properties it says, and the pictures that a player sees in a
 * rung. Include after pipeline_fixture.h. */
#ifndef TESTS_UNIT_PAINTED_H
#define TESTS_UNIT_PAINTED_H

#include "tests/unit/pipeline_fixture.h"

struct painted {
        int width, height, fps, count, b_frames, gop; /* gop 0: one */
        bool interlaced; /* top field first */
        AVRational aspect; /* of a sample; 0: says nothing */
        enum AVPixelFormat format;
        enum AVColorSpace matrix;
        enum AVColorTransferCharacteristic transfer;
        enum AVColorRange range;
        int64_t start_us;
        void (*paint)(AVFrame *f, int n); /* f is grey */
};

static inline struct painted painted_25(int width, int height, int count, void (*paint)(AVFrame *f, int n))
{
        return (struct painted){.width = width, .height = height, .fps = 25, .count = count, .format = AV_PIX_FMT_YUV420P,
                                .matrix = AVCOL_SPC_UNSPECIFIED, .transfer = AVCOL_TRC_UNSPECIFIED, .paint = paint};
}

/* Of 8 bits a sample. */
static inline AVFrame *painted_frame(const struct painted *p, int n)
{
        AVFrame *f = av_frame_alloc();
        f->format = p->format;
        f->width = p->width;
        f->height = p->height;
        f->interlaced_frame = f->top_field_first = p->interlaced;
        f->pts = n;
        int rv = av_frame_get_buffer(f, 0);
        assert_int_equal(rv, 0);
        for (int plane = 0; plane < 3; plane++)
                memset(f->data[plane], 128, (size_t)f->linesize[plane] * (size_t)(plane ? (p->height + 1) / 2 : p->height));
        if (p->paint)
                p->paint(f, n);
        return f;
}

static inline void painted_video(struct coded *out, const struct painted *p)
{
        AVCodecContext *c = avcodec_alloc_context3(avcodec_find_encoder_by_name("libx264"));
        memset(out, 0, sizeof(*out));
        c->width = p->width;
        c->height = p->height;
        c->pix_fmt = p->format;
        c->framerate = (AVRational){p->fps, 1};
        c->time_base = (AVRational){1, p->fps};
        c->gop_size = p->gop ? p->gop : 250;
        c->max_b_frames = p->b_frames;
        c->thread_count = 1;
        c->sample_aspect_ratio = p->aspect;
        c->colorspace = p->matrix;
        c->color_trc = p->transfer;
        c->color_range = p->range;
        c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | (p->interlaced ? AV_CODEC_FLAG_INTERLACED_DCT : 0);
        av_opt_set(c->priv_data, "preset", "ultrafast", 0);
        av_opt_set(c->priv_data, "crf", "12", 0);
        av_opt_set(c->priv_data, "x264-params", "annexb=0:scenecut=0:rc-lookahead=0", 0);
        int rv = avcodec_open2(c, NULL, NULL);
        assert_int_equal(rv, 0);
        out->config = coded_avcc(c);
        for (int n = 0; n < p->count; n++) {
                AVFrame *f = painted_frame(p, n);
                avcodec_send_frame(c, f);
                coded_receive(out, c, TRACK_VIDEO, p->start_us);
                av_frame_free(&f);
        }
        avcodec_send_frame(c, NULL);
        coded_receive(out, c, TRACK_VIDEO, p->start_us);
        avcodec_free_context(&c);
}

/* All pictures of a video track, in the order in which they are shown. Returns how many. */
static inline int watch(const struct track *t, void (*see)(const AVFrame *f, int n, void *arg), void *arg)
{
        struct reader in;
        AVFormatContext *f = avformat_alloc_context();
        AVFrame *frame = av_frame_alloc();
        AVPacket *pkt = av_packet_alloc();
        int n = 0;

        reader_init(&in, t->file, t->file_len);
        f->pb = avio_alloc_context(av_malloc(4096), 4096, 0, &in, read_file, NULL, NULL);
        assert_int_equal(avformat_open_input(&f, "track", av_find_input_format("mp4"), NULL), 0);
        AVCodecContext *c = avcodec_alloc_context3(avcodec_find_decoder(AV_CODEC_ID_H264));
        avcodec_parameters_to_context(c, f->streams[0]->codecpar);
        assert_int_equal(avcodec_open2(c, NULL, NULL), 0);
        while (av_read_frame(f, pkt) >= 0) {
                avcodec_send_packet(c, pkt);
                av_packet_unref(pkt);
                while (avcodec_receive_frame(c, frame) == 0)
                        see(frame, n++, arg);
        }
        avcodec_send_packet(c, NULL);
        while (avcodec_receive_frame(c, frame) == 0)
                see(frame, n++, arg);
        avcodec_free_context(&c);
        av_frame_free(&frame);
        av_packet_free(&pkt);
        av_freep(&f->pb->buffer);
        avio_context_free(&f->pb);
        avformat_close_input(&f);
        return n;
}

#endif
