#include "transcoderd/encode/scale.h"

#include <libavutil/buffer.h>
#include <libavutil/imgutils.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"

#define ALIGN 64
#define SIDE_MIN 16
#define WIDTH_MAX 8192
#define WIDEST 32 / 9  /* of a rung */
#define LONGER_MAX 16  /* a picture so many times as wide as high, or as high as wide, is no camera's */
#define SD_WIDTH_MAX 1024
#define SD_HEIGHT_MAX 576
#define SLACK_PX 2 /* rounding of widths to even numbers is no reason for bars */

struct shape { /* everything about an input that the conversion depends on */
        int width, height, format, matrix, range;
        AVRational aspect;
};

/* From one matrix to another: luma gets shares of both chroma planes, which become a mixture of themselves. Unit: 2^-TURN_BITS. */
struct turn {
        bool any;
        int yu, yv, uu, uv, vu, vv;
};

#define TURN_BITS 14

struct scaler {
        int width, height;
        struct shape in;
        bool any, pass;
        int x, y, w, h; /* where the picture goes; the rest is bars */
        struct SwsContext *sws;
        struct turn turn;
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

static bool is_rgb(int format)
{
        const AVPixFmtDescriptor *d = av_pix_fmt_desc_get((enum AVPixelFormat)format);
        return d && d->flags & AV_PIX_FMT_FLAG_RGB;
}

/* The shares of red and blue in luma: H.264, table E-5. NULL: a matrix that is made in another way. */
static const double *shares_of(int matrix)
{
        static const double bt709[] = {0.2126, 0.0722}, fcc[] = {0.30, 0.11}, bt601[] = {0.299, 0.114}, smpte240[] = {0.212, 0.087},
                            bt2020[] = {0.2627, 0.0593};
        switch (matrix) {
        case AVCOL_SPC_BT709:
                return bt709;
        case AVCOL_SPC_FCC:
                return fcc;
        case AVCOL_SPC_BT470BG:
        case AVCOL_SPC_SMPTE170M:
                return bt601;
        case AVCOL_SPC_SMPTE240M:
                return smpte240;
        case AVCOL_SPC_BT2020_NCL:
                return bt2020;
        default:
                return NULL;
        }
}

static int matrix_of(const AVFrame *f)
{
        if (is_rgb(f->format))
                return AVCOL_SPC_BT709; /* it is made here */
        if (f->colorspace != AVCOL_SPC_UNSPECIFIED && f->colorspace != AVCOL_SPC_RESERVED)
                return f->colorspace;
        return f->width <= SD_WIDTH_MAX && f->height <= SD_HEIGHT_MAX ? AVCOL_SPC_SMPTE170M : AVCOL_SPC_BT709;
}

int scale_judge(const AVFrame *f, char *why, size_t why_cap)
{
        AVRational a = sample_aspect(f);
        int64_t wide = (int64_t)f->width * a.num, high = (int64_t)f->height * a.den;
        if (f->width < SIDE_MIN || f->height < SIDE_MIN)
                snprintf(why, why_cap, "pictures of %dx%d, at least %dx%d is needed", f->width, f->height, SIDE_MIN, SIDE_MIN);
        else if (wide > high * LONGER_MAX || high > wide * LONGER_MAX)
                snprintf(why, why_cap, "pictures of %dx%d with pixels of %d:%d, at most %d times as long as the other side is allowed",
                         f->width, f->height, a.num, a.den, LONGER_MAX);
        else if (!sws_isSupportedInput((enum AVPixelFormat)f->format))
                snprintf(why, why_cap, "pixel format %s, which cannot be converted", av_get_pix_fmt_name((enum AVPixelFormat)f->format));
        else if (!shares_of(matrix_of(f)))
                snprintf(why, why_cap, "colours by the matrix %s, which cannot be converted", av_color_space_name(f->colorspace));
        else
                return 0;
        return ERR_UNSUPPORTED;
}

bool scale_is_beyond(const AVFrame *f)
{
        return f->color_trc == AVCOL_TRC_SMPTE2084 || f->color_trc == AVCOL_TRC_ARIB_STD_B67 || f->color_primaries == AVCOL_PRI_BT2020;
}

int scale_width_for(const AVFrame *source, int height)
{
        AVRational a = sample_aspect(source);
        int widest = height * WIDEST < WIDTH_MAX ? (height * WIDEST + 1) & ~1 : WIDTH_MAX;
        /* The nearest even number, of two the smaller: 853.3 becomes 854 and 427 becomes 426, as everyone has them. */
        int64_t n = (int64_t)source->width * a.num * height, d = (int64_t)source->height * a.den * 2;
        int64_t w = (2 * n + d - 1) / (2 * d) * 2;
        return (int)(w < SIDE_MIN ? SIDE_MIN : w > widest ? widest : w);
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

/* The formats that have the full range in their names are the others with it. */
static int plain_format(int format)
{
        switch (format) {
        case AV_PIX_FMT_YUVJ420P:
                return AV_PIX_FMT_YUV420P;
        case AV_PIX_FMT_YUVJ422P:
                return AV_PIX_FMT_YUV422P;
        case AV_PIX_FMT_YUVJ444P:
                return AV_PIX_FMT_YUV444P;
        default:
                return format;
        }
}

static struct shape shape_of(const AVFrame *f)
{
        int format = plain_format(f->format);
        return (struct shape){.width = f->width, .height = f->height, .format = format, .matrix = matrix_of(f),
                              .range = f->color_range == AVCOL_RANGE_JPEG || format != f->format, .aspect = sample_aspect(f)};
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

static int turn_part(double v)
{
        return (int)lround(v * (1 << TURN_BITS));
}

/* By way of red, green and blue, each of which is luma and shares of the chroma. */
static struct turn turn_to_bt709(int matrix)
{
        const double *from = shares_of(matrix), *to = shares_of(AVCOL_SPC_BT709);
        if (!from || from == to)
                return (struct turn){.any = false};
        double kr = from[0], kb = from[1], kg = 1 - kr - kb;
        double red_v = 2 - 2 * kr, blue_u = 2 - 2 * kb, green_u = -kb * blue_u / kg, green_v = -kr * red_v / kg;
        double yu = (1 - to[0] - to[1]) * green_u + to[1] * blue_u, yv = to[0] * red_v + (1 - to[0] - to[1]) * green_v;
        double u = 2 - 2 * to[1], v = 2 - 2 * to[0];
        return (struct turn){.any = true, .yu = turn_part(yu * 219 / 224), .yv = turn_part(yv * 219 / 224),
                             .uu = turn_part((blue_u - yu) / u), .uv = turn_part(-yv / u),
                             .vu = turn_part(-yu / v), .vv = turn_part((red_v - yv) / v)};
}

/* swscale takes care of size, format and range. A change of matrix it does by way of 8 bits of red, green and blue, which costs
 * accuracy and time: that is our own (turn). The ranges have to be known before it decides how to do all that. */
static struct SwsContext *open_sws(const struct scaler *s, const struct shape *in)
{
        struct SwsContext *sws = sws_alloc_context();
        int range = in->range && !is_rgb(in->format);
        av_opt_set_int(sws, "srcw", in->width, 0);
        av_opt_set_int(sws, "srch", in->height, 0);
        av_opt_set_int(sws, "src_format", in->format, 0);
        av_opt_set_int(sws, "src_range", range, 0);
        av_opt_set_int(sws, "dstw", s->w, 0);
        av_opt_set_int(sws, "dsth", s->h, 0);
        av_opt_set_int(sws, "dst_format", AV_PIX_FMT_YUV420P, 0);
        av_opt_set_int(sws, "dst_range", 0, 0);
        av_opt_set_int(sws, "sws_flags", SWS_BICUBIC, 0);
        if (sws_init_context(sws, NULL, NULL) < 0) {
                sws_freeContext(sws);
                return NULL;
        }
        const int *bt709 = sws_getCoefficients(SWS_CS_ITU709);
        sws_setColorspaceDetails(sws, bt709, range, bt709, 0, 0, 1 << 16, 1 << 16);
        return sws;
}

static void rebuild(struct scaler *s, const struct shape *in)
{
        s->in = *in;
        s->any = true;
        sws_freeContext(s->sws);
        s->sws = NULL;
        fit(s);
        s->turn = turn_to_bt709(in->matrix);
        bool same_size = in->width == s->width && in->height == s->height && s->w == s->width && s->h == s->height;
        s->pass = same_size && in->format == AV_PIX_FMT_YUV420P && !s->turn.any && !in->range;
        if (!s->pass && sws_isSupportedInput((enum AVPixelFormat)in->format))
                s->sws = open_sws(s, in);
}

static uint8_t clip(int v)
{
        return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static int turned(int a, int from_a, int b, int from_b)
{
        return (a * from_a + b * from_b + (1 << (TURN_BITS - 1))) >> TURN_BITS;
}

/* The two lines of luma that a line of chroma belongs to, and then that. */
static void turn_lines(const struct turn *t, uint8_t *y0, uint8_t *y1, uint8_t *u, uint8_t *v, int width)
{
        for (int x = 0; x < width / 2; x++) {
                int cu = u[x] - 128, cv = v[x] - 128, add = turned(t->yu, cu, t->yv, cv);
                y0[2 * x] = clip(y0[2 * x] + add);
                y0[2 * x + 1] = clip(y0[2 * x + 1] + add);
                y1[2 * x] = clip(y1[2 * x] + add);
                y1[2 * x + 1] = clip(y1[2 * x + 1] + add);
                u[x] = clip(128 + turned(t->uu, cu, t->uv, cv));
                v[x] = clip(128 + turned(t->vu, cu, t->vv, cv));
        }
}

/* Width and height are even, whatever the source's are. */
static void turn_picture(const struct scaler *s, uint8_t *const dst[4], const int *stride)
{
        for (int y = 0; y < s->h; y += 2)
                turn_lines(&s->turn, dst[0] + (ptrdiff_t)y * stride[0], dst[0] + (ptrdiff_t)(y + 1) * stride[0],
                           dst[1] + (ptrdiff_t)(y / 2) * stride[1], dst[2] + (ptrdiff_t)(y / 2) * stride[2], s->w);
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
        /* It would be repeated with every held picture. Captions go a way of their own (captions.h). */
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
        if (s->turn.any)
                turn_picture(s, dst, f->linesize);
        if (s->w != s->width || s->h != s->height)
                paint_bars(s, f);
        label(f);
        return f;
}
