#include "transcoderd/encode/jpeg.h"

#include <libavcodec/avcodec.h>
#include <libavutil/imgutils.h>
#include <libswscale/swscale.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/mem.h"

#define ONE (1 << 16) /* of contrast and saturation, as they are */

/* Of mjpeg's 1 to 31, the finest first. At 320x180 the first one comes to some 7 kB. */
static const int qualities[] = {5, 10, 20, 31};

struct jpeg {
        int width, height;
        int from_width, from_height;  /* that `smaller` was made for */
        struct SwsContext *smaller;   /* to RGB, for swscale leaves the matrix of what stays YUV as it is */
        struct SwsContext *to_full;   /* and to what JPEG is read as */
        AVFrame *rgb, *full;
};

static AVFrame *frame_of(const struct jpeg *j, enum AVPixelFormat format)
{
        AVFrame *f = av_frame_alloc();
        if (f) {
                f->format = format;
                f->width = j->width;
                f->height = j->height;
        }
        if (!f || av_frame_get_buffer(f, 0) < 0)
                mem_out("a picture");
        return f;
}

struct jpeg *jpeg_new(int width, int height)
{
        struct jpeg *j = mem_alloc(sizeof(*j));
        j->width = width;
        j->height = height;
        j->rgb = frame_of(j, AV_PIX_FMT_RGB24);
        j->full = frame_of(j, AV_PIX_FMT_YUVJ420P);
        j->full->color_range = AVCOL_RANGE_JPEG;
        return j;
}

void jpeg_free(struct jpeg **jp)
{
        struct jpeg *j = *jp;
        *jp = NULL;
        if (!j)
                return;
        sws_freeContext(j->smaller);
        sws_freeContext(j->to_full);
        av_frame_free(&j->rgb);
        av_frame_free(&j->full);
        free(j);
}

static struct SwsContext *converter(int width, int height, enum AVPixelFormat from, int from_matrix, const AVFrame *to,
                                    enum AVPixelFormat format, int to_full)
{
        struct SwsContext *c = sws_getContext(width, height, from, to->width, to->height, format,
                                              SWS_AREA | SWS_ACCURATE_RND | SWS_BITEXACT, NULL, NULL, NULL);
        if (c)
                sws_setColorspaceDetails(c, sws_getCoefficients(from_matrix), 0, sws_getCoefficients(SWS_CS_ITU601), to_full, 0, ONE,
                                         ONE);
        return c;
}

static bool convert(struct SwsContext *c, const AVFrame *from, AVFrame *to)
{
        const uint8_t *const *planes = (const uint8_t *const *)from->data;
        return c && sws_scale(c, planes, from->linesize, 0, from->height, to->data, to->linesize) == to->height;
}

static bool prepare(struct jpeg *j, const AVFrame *picture)
{
        if (!j->smaller || j->from_width != picture->width || j->from_height != picture->height) {
                sws_freeContext(j->smaller);
                j->smaller = converter(picture->width, picture->height, AV_PIX_FMT_YUV420P, SWS_CS_ITU709, j->rgb, AV_PIX_FMT_RGB24, 0);
                j->from_width = picture->width;
                j->from_height = picture->height;
        }
        if (!j->to_full) /* the range of what is YUVJ is told apart */
                j->to_full = converter(j->width, j->height, AV_PIX_FMT_RGB24, SWS_CS_ITU601, j->full, AV_PIX_FMT_YUV420P, 1);
        return av_frame_make_writable(j->full) >= 0 && convert(j->smaller, picture, j->rgb) && convert(j->to_full, j->rgb, j->full);
}

/* Opened for each picture: that takes a tenth of a millisecond each some seconds, and what was before changes nothing. */
static AVCodecContext *open_encoder(const struct jpeg *j, int quality)
{
        const AVCodec *codec = avcodec_find_encoder(AV_CODEC_ID_MJPEG);
        AVCodecContext *c = codec ? avcodec_alloc_context3(codec) : NULL;
        if (!c)
                return NULL;
        c->width = j->width;
        c->height = j->height;
        c->pix_fmt = AV_PIX_FMT_YUVJ420P;
        c->color_range = AVCOL_RANGE_JPEG;
        c->time_base = (AVRational){1, 1};
        c->thread_count = 1;
        c->flags |= AV_CODEC_FLAG_QSCALE | AV_CODEC_FLAG_BITEXACT; /* no name of the library in the file */
        c->global_quality = FF_QP2LAMBDA * quality;
        if (avcodec_open2(c, codec, NULL) < 0)
                avcodec_free_context(&c);
        return c;
}

static struct buf *encode(struct jpeg *j, int quality)
{
        AVCodecContext *c = open_encoder(j, quality);
        AVPacket *pkt = av_packet_alloc();
        struct buf *file = NULL;
        j->full->quality = FF_QP2LAMBDA * quality;
        j->full->pts = 0;
        if (c && pkt && avcodec_send_frame(c, j->full) >= 0 && avcodec_send_frame(c, NULL) >= 0 && avcodec_receive_packet(c, pkt) >= 0)
                file = buf_copy(pkt->data, (size_t)pkt->size);
        av_packet_free(&pkt);
        avcodec_free_context(&c);
        return file;
}

struct buf *jpeg_of(struct jpeg *j, const AVFrame *picture, bool *coarser)
{
        *coarser = false;
        if (picture->format != AV_PIX_FMT_YUV420P || !prepare(j, picture))
                return NULL;
        for (size_t i = 0; i < sizeof(qualities) / sizeof(qualities[0]); i++) {
                struct buf *file = encode(j, qualities[i]);
                if (!file || file->len <= JPEG_MAX_BYTES)
                        return file;
                buf_unref(&file);
                *coarser = true;
        }
        return NULL;
}
