/* scale: the whole picture in the rung's size, in its own proportions, whatever a source says of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libavutil/common.h>
#include <libavutil/pixdesc.h>

#include "common/err.h"
#include "transcoderd/encode/scale.h"

#define WIDTH 1280
#define HEIGHT 720
#define BAR 16
#define PICTURE 200

static AVFrame *picture(int width, int height, int num, int den)
{
        AVFrame *f = av_frame_alloc();
        f->format = AV_PIX_FMT_YUV420P;
        f->width = width;
        f->height = height;
        f->sample_aspect_ratio = (AVRational){num, den};
        assert_int_equal(av_frame_get_buffer(f, 0), 0);
        for (int plane = 0; plane < 3; plane++) {
                for (int i = 0; i < f->linesize[plane] * (plane ? (height + 1) / 2 : height); i++)
                        f->data[plane][i] = plane ? 128 : PICTURE;
        }
        return f;
}

/* How much of the middle line, and of the middle column, is picture. */
static void shown(int width, int height, int num, int den, int *across, int *down)
{
        struct scaler *s = scaler_new(WIDTH, HEIGHT);
        AVFrame *in = picture(width, height, num, den), *out = scaler_run(s, in);
        assert_non_null(out);
        assert_int_equal(out->width, WIDTH);
        assert_int_equal(out->height, HEIGHT);
        *across = *down = 0;
        for (int x = 0; x < WIDTH; x++)
                *across += out->data[0][HEIGHT / 2 * out->linesize[0] + x] > (BAR + PICTURE) / 2;
        for (int y = 0; y < HEIGHT; y++)
                *down += out->data[0][y * out->linesize[0] + WIDTH / 2] > (BAR + PICTURE) / 2;
        av_frame_free(&in);
        av_frame_free(&out);
        scaler_free(&s);
}

static void test_a_picture_of_another_shape_stands_between_bars(void **state)
{
        int across, down;
        (void)state;
        shown(1920, 1080, 1, 1, &across, &down);
        assert_true(across == WIDTH && down == HEIGHT);
        shown(640, 480, 1, 1, &across, &down);
        assert_true(across == 960 && down == HEIGHT);
        shown(720, 576, 64, 45, &across, &down); /* 16:9 in pixels that are not square */
        assert_true(across == WIDTH && down == HEIGHT);
        shown(1920, 800, 1, 1, &across, &down);
        assert_in_range(down, 532, 534);
        assert_int_equal(across, WIDTH);
}

/* An aspect ratio has 16 bits on each side, and a camera may send any. */
static void test_an_absurd_aspect_is_a_stripe(void **state)
{
        static const int heights[] = {2304, 1366, 600};
        int across, down;
        (void)state;
        for (int i = 0; i < 3; i++) {
                shown(16, heights[i], 1, 65535, &across, &down);
                assert_true(across == 16 && down == HEIGHT);
                shown(heights[i], 16, 65535, 1, &across, &down);
                assert_true(across == WIDTH && down == 16);
        }
}

/* ---- colours: measured as a player shows them, red, green and blue of 0 … 255 ---- */

struct matrix {
        double kr, kb;
};

static const struct matrix bt601 = {0.299, 0.114}, bt709 = {0.2126, 0.0722}, bt2020 = {0.2627, 0.0593};

static double level(double v, int bits, double least, double span)
{
        return (least + v * span) * (1 << (bits - 8));
}

static void fill_plane(AVFrame *f, int plane, int w, int h, double value, int bits)
{
        int v = (int)(value + 0.5);
        for (int y = 0; y < h; y++)
                for (int x = 0; x < w; x++)
                        if (bits == 8)
                                f->data[plane][y * f->linesize[plane] + x] = (uint8_t)v;
                        else
                                ((uint16_t *)(void *)(f->data[plane] + y * f->linesize[plane]))[x] = (uint16_t)v;
}

/* A picture of one colour, as an encoder with this matrix makes it. */
static AVFrame *coloured(int width, int height, enum AVPixelFormat format, const struct matrix *m, bool full, const int rgb[3])
{
        const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(format);
        AVFrame *f = av_frame_alloc();
        f->format = format;
        f->width = width;
        f->height = height;
        assert_int_equal(av_frame_get_buffer(f, 0), 0);
        double r = rgb[0] / 255.0, g = rgb[1] / 255.0, b = rgb[2] / 255.0;
        double y = m->kr * r + (1 - m->kr - m->kb) * g + m->kb * b, u = (b - y) / (2 - 2 * m->kb), v = (r - y) / (2 - 2 * m->kr);
        int bits = d->comp[0].depth, cw = AV_CEIL_RSHIFT(width, d->log2_chroma_w), ch = AV_CEIL_RSHIFT(height, d->log2_chroma_h);
        fill_plane(f, 0, width, height, full ? level(y, bits, 0, 255) : level(y, bits, 16, 219), bits);
        fill_plane(f, 1, cw, ch, full ? level(u, bits, 128, 255) : level(u, bits, 128, 224), bits);
        fill_plane(f, 2, cw, ch, full ? level(v, bits, 128, 255) : level(v, bits, 128, 224), bits);
        f->color_range = full ? AVCOL_RANGE_JPEG : AVCOL_RANGE_UNSPECIFIED;
        return f;
}

static AVFrame *in_rgb(int width, int height, const int rgb[3])
{
        AVFrame *f = av_frame_alloc();
        f->format = AV_PIX_FMT_GBRP;
        f->width = width;
        f->height = height;
        f->colorspace = AVCOL_SPC_RGB;
        f->color_range = AVCOL_RANGE_JPEG;
        assert_int_equal(av_frame_get_buffer(f, 0), 0);
        for (int plane = 0; plane < 3; plane++)
                fill_plane(f, plane, width, height, rgb[(plane + 1) % 3], 8);
        return f;
}

static int channel(double v)
{
        return v < 0 ? 0 : v > 1 ? 255 : (int)(v * 255 + 0.5);
}

/* The middle of what comes out, as a player shows it that believes the picture's tags. */
static void seen(AVFrame *in, int width, int height, int rgb[3])
{
        struct scaler *s = scaler_new(width, height);
        AVFrame *f = scaler_run(s, in);
        assert_non_null(f);
        assert_int_equal(f->format, AV_PIX_FMT_YUV420P);
        assert_int_equal(f->colorspace, AVCOL_SPC_BT709);
        assert_int_equal(f->color_primaries, AVCOL_PRI_BT709);
        assert_int_equal(f->color_trc, AVCOL_TRC_BT709);
        assert_int_equal(f->color_range, AVCOL_RANGE_MPEG);
        double y = (f->data[0][height / 2 * f->linesize[0] + width / 2] - 16) / 219.0;
        double u = (f->data[1][height / 4 * f->linesize[1] + width / 4] - 128) / 224.0;
        double v = (f->data[2][height / 4 * f->linesize[2] + width / 4] - 128) / 224.0;
        double r = y + (2 - 2 * bt709.kr) * v, b = y + (2 - 2 * bt709.kb) * u;
        rgb[0] = channel(r);
        rgb[1] = channel((y - bt709.kr * r - bt709.kb * b) / (1 - bt709.kr - bt709.kb));
        rgb[2] = channel(b);
        av_frame_free(&f);
        scaler_free(&s);
}

static void same_colour(AVFrame *in, int width, int height, const int rgb[3])
{
        int out[3];
        seen(in, width, height, out);
        for (int i = 0; i < 3; i++)
                if (abs(out[i] - rgb[i]) > 2)
                        fail_msg("%d,%d,%d became %d,%d,%d", rgb[0], rgb[1], rgb[2], out[0], out[1], out[2]);
        av_frame_free(&in);
}

static const int colours[][3] = {{0, 191, 0},    {191, 0, 0},    {0, 0, 191},     {191, 191, 0}, {0, 191, 191},
                                 {191, 0, 191},  {16, 16, 16},   {128, 128, 128}, {255, 255, 255}, {0, 0, 0},
                                 {200, 150, 120}};
#define COLOURS (sizeof(colours) / sizeof(colours[0]))

static void test_small_pictures_that_do_not_say_it_are_bt601(void **state)
{
        (void)state;
        for (size_t i = 0; i < COLOURS; i++) {
                same_colour(coloured(720, 576, AV_PIX_FMT_YUV420P, &bt601, false, colours[i]), 640, 360, colours[i]);
                same_colour(coloured(640, 480, AV_PIX_FMT_YUV420P, &bt601, false, colours[i]), 640, 480, colours[i]);
                same_colour(coloured(1024, 576, AV_PIX_FMT_YUV420P, &bt601, false, colours[i]), 426, 240, colours[i]);
        }
}

static void test_large_pictures_that_do_not_say_it_are_bt709(void **state)
{
        (void)state;
        for (size_t i = 0; i < COLOURS; i++) {
                same_colour(coloured(1280, 720, AV_PIX_FMT_YUV420P, &bt709, false, colours[i]), 1280, 720, colours[i]);
                same_colour(coloured(1026, 576, AV_PIX_FMT_YUV420P, &bt709, false, colours[i]), 640, 360, colours[i]);
                same_colour(coloured(324, 720, AV_PIX_FMT_YUV420P, &bt709, false, colours[i]), 324, 720, colours[i]);
        }
}

static void test_the_matrix_that_a_picture_names_is_believed(void **state)
{
        static const struct {
                enum AVColorSpace space;
                const struct matrix *matrix;
        } named[] = {{AVCOL_SPC_BT709, &bt709},
                     {AVCOL_SPC_SMPTE170M, &bt601},
                     {AVCOL_SPC_BT470BG, &bt601},
                     {AVCOL_SPC_BT2020_NCL, &bt2020}};
        (void)state;
        for (size_t i = 0; i < 4; i++)
                for (size_t k = 0; k < COLOURS; k++)
                        for (int large = 0; large < 2; large++) {
                                AVFrame *f = coloured(large ? 1280 : 640, large ? 720 : 360, AV_PIX_FMT_YUV420P,
                                                      named[i].matrix, false, colours[k]);
                                f->colorspace = named[i].space;
                                same_colour(f, 640, 360, colours[k]);
                        }
}

static void test_full_range_and_every_format_keep_their_levels(void **state)
{
        static const enum AVPixelFormat formats[] = {AV_PIX_FMT_YUV420P,    AV_PIX_FMT_YUV422P,   AV_PIX_FMT_YUV444P,
                                                     AV_PIX_FMT_YUV420P10LE, AV_PIX_FMT_YUV422P10LE};
        (void)state;
        for (size_t i = 0; i < 5; i++)
                for (size_t k = 0; k < COLOURS; k++)
                        for (int full = 0; full < 2; full++) {
                                same_colour(coloured(1280, 720, formats[i], &bt709, full, colours[k]), 1280, 720, colours[k]);
                                same_colour(coloured(853, 481, formats[i], &bt601, full, colours[k]), 640, 360, colours[k]);
                        }
        for (size_t k = 0; k < COLOURS; k++) {
                same_colour(coloured(640, 360, AV_PIX_FMT_YUVJ420P, &bt601, true, colours[k]), 640, 360, colours[k]);
                same_colour(coloured(1280, 720, AV_PIX_FMT_YUVJ444P, &bt709, true, colours[k]), 640, 360, colours[k]);
                same_colour(in_rgb(640, 360, colours[k]), 640, 360, colours[k]);
        }
}

/* ---- what is refused, and what a rung may cost ---- */

static const char *judged(int width, int height, int num, int den)
{
        static char why[128];
        AVFrame f = {.width = width, .height = height, .format = AV_PIX_FMT_YUV420P, .colorspace = AVCOL_SPC_UNSPECIFIED,
                     .sample_aspect_ratio = {num, den}};
        why[0] = '\0';
        return scale_judge(&f, why, sizeof(why)) ? why : NULL;
}

static void test_pictures_that_no_camera_makes_are_refused_with_words(void **state)
{
        (void)state;
        assert_string_equal(judged(640, 480, 64, 1), "pictures of 640x480 with pixels of 64:1, at most 16 times as long as the other "
                                                     "side is allowed");
        assert_non_null(judged(640, 480, 1, 65535));
        assert_non_null(judged(16, 600, 65535, 1));
        assert_non_null(judged(8, 480, 1, 1));
        assert_null(judged(640, 480, 0, 0));   /* says nothing */
        assert_null(judged(1440, 1080, 4, 3)); /* HDV */
        assert_null(judged(720, 576, 64, 45));
        assert_null(judged(1080, 1920, 1, 1));
        assert_null(judged(5120, 1440, 1, 1)); /* two screens */
        assert_null(judged(1920, 128, 1, 1));  /* a banner */
}

static void test_colours_that_cannot_be_converted_are_refused_with_words(void **state)
{
        char why[128];
        AVFrame f = {.width = 640, .height = 360, .format = AV_PIX_FMT_YUV420P, .colorspace = AVCOL_SPC_YCGCO};
        (void)state;
        assert_int_equal(scale_judge(&f, why, sizeof(why)), ERR_UNSUPPORTED);
        assert_string_equal(why, "colours by the matrix ycgco, which cannot be converted");
}

static void test_a_rung_is_no_wider_than_two_screens(void **state)
{
        static const struct {
                int width, height, num, den, rung, wide;
        } of[] = {{1920, 1080, 1, 1, 720, 1280}, {853, 481, 1, 1, 240, 426},    {1080, 1920, 1, 1, 720, 404}, {720, 576, 64, 45, 480, 854},
                  {5120, 1440, 1, 1, 720, 2560}, {1920, 128, 1, 1, 720, 2560}, {640, 480, 64, 1, 480, 1706},  {640, 480, 1, 64, 480, 16},
                  {4096, 256, 16, 1, 4320, 8192}};
        (void)state;
        for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
                AVFrame f = {.width = of[i].width, .height = of[i].height, .sample_aspect_ratio = {of[i].num, of[i].den}};
                assert_int_equal(scale_width_for(&f, of[i].rung), of[i].wide);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_picture_of_another_shape_stands_between_bars),
                cmocka_unit_test(test_an_absurd_aspect_is_a_stripe),
                cmocka_unit_test(test_small_pictures_that_do_not_say_it_are_bt601),
                cmocka_unit_test(test_large_pictures_that_do_not_say_it_are_bt709),
                cmocka_unit_test(test_the_matrix_that_a_picture_names_is_believed),
                cmocka_unit_test(test_full_range_and_every_format_keep_their_levels),
                cmocka_unit_test(test_pictures_that_no_camera_makes_are_refused_with_words),
                cmocka_unit_test(test_colours_that_cannot_be_converted_are_refused_with_words),
                cmocka_unit_test(test_a_rung_is_no_wider_than_two_screens),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
