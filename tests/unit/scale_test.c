/* scale: the whole picture in the rung's size, in its own proportions, whatever a source says of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_picture_of_another_shape_stands_between_bars),
                cmocka_unit_test(test_an_absurd_aspect_is_a_stripe),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
