#include "transcoderd/encode/scale.h"

#include <libavutil/buffer.h>
#include <libavutil/imgutils.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#define ALIGN 64
#define SIDE_MIN 16
#define WIDTH_MAX 8192
#define SLACK_PX 2 /* rounding of widths to even numbers is no reason for bars */

struct shape { /* everything about an input that the conversion depends on */
        int width, height, format, matrix, range;
        AVRational aspect;
};

struct scaler {
        int width, height;
        struct shape in;
        bool any, pass;
        int x, y, w, h; /* where the picture goes; the rest is bars */
        struct SwsContext *sws;
        AVBufferPool *pool;
};

static AVRational sample_aspect(const AVFrame *f)
{
        AVRational a = f->sample_aspect_ratio;
        return a.num > 0 && a.den > 0 ? a : (AVRational){1, 1};
}

/* No more than most, which is even: what an absurd aspect comes to may be beyond an int. */
static int even(int64_t v, int most)
{
        return v < most ? (int)(v + 1) & ~1 : most;
}

int scale_width_for(const AVFrame *source, int height)
{
        AVRational a = sample_aspect(source);
        /* The nearest even number, of two the smaller: 853.3 becomes 854 and 427 becomes 426, as everyone has them. */
        int64_t n = (int64_t)source->width * a.num * height, d = (int64_t)source->height * a.den * 2;
        int64_t w = (2 * n + d - 1) / (2 * d) * 2;
        return (int)(w < SIDE_MIN ? SIDE_MIN : w > WIDTH_MAX ? WIDTH_MAX : w);
}

struct scaler *scaler_new(int width, int height)
{
        struct scaler *s = mem_alloc(sizeof(*s));
        s->width = width;
        s->height = height;
        /* Some of swscale's loops write a vector beyond the last line. */
        int len = av_image_get_buffer_size(AV_PIX_FMT_YUV420P, width, height, ALIGN);
        s->pool = av_buffer_pool_init((size_t)len + ALIGN, NULL);
        return s;
}

void scaler_free(struct scaler **sp)
{
        struct scaler *s = *sp;
        *sp = NULL;
        if (!s)
                return;
        sws_freeContext(s->sws);
        av_buffer_pool_uninit(&s->pool);
        free(s);
}

static bool is_full_range(const AVFrame *f)
{
        switch (f->format) {
        case AV_PIX_FMT_YUVJ420P:
        case AV_PIX_FMT_YUVJ422P:
        case AV_PIX_FMT_YUVJ444P:
                return true;
        default:
                return f->color_range == AVCOL_RANGE_JPEG;
        }
}

static struct shape shape_of(const AVFrame *f)
{
        int matrix = f->colorspace;
        if (matrix == AVCOL_SPC_UNSPECIFIED || matrix == AVCOL_SPC_RESERVED)
                matrix = AVCOL_SPC_BT709;
        return (struct shape){.width = f->width, .height = f->height, .format = f->format, .matrix = matrix,
                              .range = is_full_range(f), .aspect = sample_aspect(f)};
}

static bool same_shape(const struct shape *a, const struct shape *b)
{
        return a->width == b->width && a->height == b->height && a->format == b->format && a->matrix == b->matrix &&
               a->range == b->range && av_cmp_q(a->aspect, b->aspect) == 0;
}

/* The largest rectangle of the input's display aspect inside the output, on even pixels. */
static void fit(struct scaler *s)
{
        int64_t dw = (int64_t)s->in.width * s->in.aspect.num, dh = (int64_t)s->in.height * s->in.aspect.den;
        s->w = s->width;
        s->h = even(av_rescale(s->width, dh, dw), s->height + 2); /* higher than there is room for is all the same */
        if (s->h > s->height) {
                s->h = s->height;
                s->w = even(av_rescale(s->height, dw, dh), s->width);
        }
        if (s->w + SLACK_PX >= s->width)
                s->w = s->width;
        if (s->h + SLACK_PX >= s->height)
                s->h = s->height;
        s->w = s->w < SIDE_MIN ? SIDE_MIN : s->w;
        s->h = s->h < SIDE_MIN ? SIDE_MIN : s->h;
        s->x = (s->width - s->w) / 4 * 2;
        s->y = (s->height - s->h) / 4 * 2;
}

static void rebuild(struct scaler *s, const struct shape *in)
{
        s->in = *in;
        s->any = true;
        sws_freeContext(s->sws);
        s->sws = NULL;
        fit(s);
        bool same_size = in->width == s->width && in->height == s->height && s->w == s->width && s->h == s->height;
        s->pass = same_size && in->format == AV_PIX_FMT_YUV420P && in->matrix == AVCOL_SPC_BT709 && !in->range;
        if (s->pass || !sws_isSupportedInput((enum AVPixelFormat)in->format))
                return;
        s->sws = sws_getContext(in->width, in->height, (enum AVPixelFormat)in->format, s->w, s->h, AV_PIX_FMT_YUV420P,
                                SWS_BICUBIC, NULL, NULL, NULL);
        if (s->sws)
                sws_setColorspaceDetails(s->sws, sws_getCoefficients(in->matrix), in->range,
                                         sws_getCoefficients(AVCOL_SPC_BT709), 0, 0, 1 << 16, 1 << 16);
}

static AVFrame *frame_from_pool(struct scaler *s)
{
        AVFrame *f = av_frame_alloc();
        f->buf[0] = av_buffer_pool_get(s->pool);
        f->format = AV_PIX_FMT_YUV420P;
        f->width = s->width;
        f->height = s->height;
        av_image_fill_arrays(f->data, f->linesize, f->buf[0]->data, AV_PIX_FMT_YUV420P, s->width, s->height, ALIGN);
        return f;
}

static void paint(uint8_t *plane, int stride, int x, int y, int w, int h, int value)
{
        for (int i = 0; i < h; i++)
                memset(plane + (ptrdiff_t)(y + i) * stride + x, value, (size_t)w);
}

static void paint_bars(const struct scaler *s, AVFrame *f)
{
        for (int plane = 0; plane < 3; plane++) {
                int shift = plane > 0, value = plane ? 128 : 16, stride = f->linesize[plane];
                int w = s->width >> shift, h = s->height >> shift, px = s->x >> shift, py = s->y >> shift;
                int pw = s->w >> shift, ph = s->h >> shift;
                paint(f->data[plane], stride, 0, 0, w, py, value);
                paint(f->data[plane], stride, 0, py + ph, w, h - py - ph, value);
                paint(f->data[plane], stride, 0, py, px, ph, value);
                paint(f->data[plane], stride, px + pw, py, w - px - pw, ph, value);
        }
}

static void label(AVFrame *f)
{
        f->colorspace = AVCOL_SPC_BT709;
        f->color_primaries = AVCOL_PRI_BT709;
        f->color_trc = AVCOL_TRC_BT709;
        f->color_range = AVCOL_RANGE_MPEG;
        f->sample_aspect_ratio = (AVRational){1, 1};
        f->interlaced_frame = 0;
        f->pict_type = AV_PICTURE_TYPE_NONE;
}

static AVFrame *pass_on(const AVFrame *src)
{
        AVFrame *f = av_frame_clone(src);
        /* Captions and the like would be repeated with every held picture and differ between rungs. */
        while (f->nb_side_data > 0)
                av_frame_remove_side_data(f, f->side_data[0]->type);
        label(f);
        return f;
}

AVFrame *scaler_run(struct scaler *s, const AVFrame *src)
{
        struct shape in = shape_of(src);
        if (!s->any || !same_shape(&in, &s->in))
                rebuild(s, &in);
        if (s->pass)
                return pass_on(src);
        if (!s->sws)
                return NULL;
        AVFrame *f = frame_from_pool(s);
        uint8_t *dst[4] = {f->data[0] + (ptrdiff_t)s->y * f->linesize[0] + s->x,
                           f->data[1] + (ptrdiff_t)(s->y / 2) * f->linesize[1] + s->x / 2,
                           f->data[2] + (ptrdiff_t)(s->y / 2) * f->linesize[2] + s->x / 2, NULL};
        sws_scale(s->sws, (const uint8_t *const *)src->data, src->linesize, 0, src->height, dst, f->linesize);
        if (s->w != s->width || s->h != s->height)
                paint_bars(s, f);
        label(f);
        return f;
}
