/* deinterlace: pictures of two fields become whole ones, none is lost or moved, and progressive ones are left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "transcoderd/encode/deinterlace.h"

#define WIDTH 160
#define HEIGHT 96
#define STEP_US 40000
#define BAR_WIDTH 24
#define BLACK 16
#define WHITE 235

/* A white bar that moves 2 pixels a field, of which a picture of two fields shows two places; n: the picture's number. */
static AVFrame *picture(int n, bool interlaced, int width)
{
        AVFrame *f = av_frame_alloc();
        f->format = AV_PIX_FMT_YUV420P;
        f->width = width;
        f->height = HEIGHT;
        f->pts = (int64_t)n * STEP_US;
        f->interlaced_frame = interlaced;
        f->top_field_first = interlaced;
        assert_int_equal(av_frame_get_buffer(f, 0), 0);
        for (int y = 0; y < HEIGHT; y++) {
                int left = 4 * n + (interlaced && y % 2 ? 2 : 0);
                memset(f->data[0] + y * f->linesize[0], BLACK, (size_t)width);
                memset(f->data[0] + y * f->linesize[0] + left, WHITE, BAR_WIDTH);
        }
        for (int plane = 1; plane < 3; plane++)
                memset(f->data[plane], 128, (size_t)f->linesize[plane] * HEIGHT / 2);
        return f;
}

/* How much neighbouring lines differ, a pixel, apart from the upper and lower border. */
static int comb(const AVFrame *f)
{
        int sum = 0;
        for (int y = 8; y < HEIGHT - 8; y++)
                for (int x = 0; x < f->width; x++)
                        sum += abs(f->data[0][y * f->linesize[0] + x] - f->data[0][(y + 1) * f->linesize[0] + x]);
        return sum / (HEIGHT - 16);
}

static void put(struct deinterlacer *d, int n, bool interlaced)
{
        AVFrame *f = picture(n, interlaced, WIDTH);
        deinterlace_put(d, f);
        av_frame_free(&f);
}

/* The next picture is number n, and nothing of it is in two places. */
static void comes(struct deinterlacer *d, int n)
{
        const AVFrame *f = deinterlace_get(d);
        assert_non_null(f);
        assert_int_equal(f->pts, (int64_t)n * STEP_US);
        assert_true(comb(f) < 60);
        assert_int_equal(f->interlaced_frame, 0);
}

static void nothing_comes(struct deinterlacer *d)
{
        assert_null(deinterlace_get(d));
}

static void test_each_picture_of_two_fields_becomes_one_at_its_own_time(void **state)
{
        (void)state;
        struct deinterlacer *d = deinterlace_new(1);
        AVFrame *f = picture(1, true, WIDTH);
        assert_true(comb(f) > 500); /* what the picture was */
        av_frame_free(&f);
        put(d, 0, true);
        nothing_comes(d);
        for (int n = 1; n < 20; n++) {
                put(d, n, true);
                comes(d, n - 1);
                nothing_comes(d);
        }
        assert_true(deinterlace_holds(d));
        deinterlace_flush(d);
        comes(d, 19);
        nothing_comes(d);
        assert_false(deinterlace_holds(d));
        put(d, 20, true); /* it goes on after that */
        put(d, 21, true);
        comes(d, 20);
        deinterlace_free(&d);
}

static void test_progressive_pictures_are_neither_held_nor_changed(void **state)
{
        (void)state;
        struct deinterlacer *d = deinterlace_new(1);
        for (int n = 0; n < 5; n++) {
                AVFrame *f = picture(n, false, WIDTH);
                deinterlace_put(d, f);
                const AVFrame *out = deinterlace_get(d);
                assert_non_null(out);
                assert_int_equal(out->pts, f->pts);
                assert_ptr_equal(out->data[0], f->data[0]);
                nothing_comes(d);
                av_frame_free(&f);
        }
        deinterlace_free(&d);
}

static void test_a_mixture_stays_in_order(void **state)
{
        (void)state;
        struct deinterlacer *d = deinterlace_new(1);
        put(d, 0, false);
        comes(d, 0);
        put(d, 1, true);
        nothing_comes(d);
        put(d, 2, false); /* nothing is held any more */
        comes(d, 1);
        comes(d, 2);
        nothing_comes(d);
        put(d, 3, true);
        put(d, 4, true);
        comes(d, 3);
        put(d, 5, false);
        comes(d, 4);
        comes(d, 5);
        nothing_comes(d);
        deinterlace_free(&d);
}

static void test_another_size_is_no_neighbour(void **state)
{
        (void)state;
        struct deinterlacer *d = deinterlace_new(1);
        AVFrame *wide = picture(1, true, 2 * WIDTH);
        put(d, 0, true);
        deinterlace_put(d, wide);
        const AVFrame *out = deinterlace_get(d);
        assert_true(out && out->width == WIDTH && out->pts == 0);
        nothing_comes(d);
        deinterlace_flush(d);
        out = deinterlace_get(d);
        assert_true(out && out->width == 2 * WIDTH && out->pts == STEP_US);
        av_frame_free(&wide);
        deinterlace_free(&d);
}

static void test_a_picture_behind_a_gap_does_not_wait_with_the_one_before(void **state)
{
        (void)state;
        struct deinterlacer *d = deinterlace_new(1);
        put(d, 0, true);
        put(d, 20, true);
        comes(d, 0);
        nothing_comes(d);
        put(d, 19, true); /* nor does one that is older */
        comes(d, 20);
        deinterlace_drop(d);
        nothing_comes(d);
        deinterlace_free(&d);
}

static void test_what_comes_out_depends_on_the_neighbours_alone(void **state)
{
        (void)state;
        struct deinterlacer *one = deinterlace_new(1), *other = deinterlace_new(2);
        for (int n = 0; n < 12; n++) {
                put(one, n, n != 5);
                if (n >= 6)
                        put(other, n, true);
                const AVFrame *a = NULL, *b = NULL, *next;
                while ((next = deinterlace_get(one)) && n < 8)
                        ;
                a = next;
                if (n < 8)
                        (void)deinterlace_get(other);
                else
                        b = deinterlace_get(other);
                if (n < 8)
                        continue;
                assert_true(a && b && a->pts == b->pts);
                for (int y = 0; y < HEIGHT; y++)
                        assert_memory_equal(a->data[0] + y * a->linesize[0], b->data[0] + y * b->linesize[0], WIDTH);
        }
        deinterlace_free(&one);
        deinterlace_free(&other);
}

static void test_captions_stay_with_their_picture(void **state)
{
        (void)state;
        struct deinterlacer *d = deinterlace_new(1);
        for (int n = 0; n < 4; n++) {
                AVFrame *f = picture(n, true, WIDTH);
                av_frame_new_side_data(f, AV_FRAME_DATA_A53_CC, 3)->data[2] = (uint8_t)n;
                deinterlace_put(d, f);
                av_frame_free(&f);
                const AVFrame *out = deinterlace_get(d);
                if (n == 0)
                        continue;
                const AVFrameSideData *cc = av_frame_get_side_data(out, AV_FRAME_DATA_A53_CC);
                assert_true(cc && cc->size == 3 && cc->data[2] == n - 1);
        }
        deinterlace_free(&d);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_picture_of_two_fields_becomes_one_at_its_own_time),
                cmocka_unit_test(test_progressive_pictures_are_neither_held_nor_changed),
                cmocka_unit_test(test_a_mixture_stays_in_order),
                cmocka_unit_test(test_another_size_is_no_neighbour),
                cmocka_unit_test(test_a_picture_behind_a_gap_does_not_wait_with_the_one_before),
                cmocka_unit_test(test_what_comes_out_depends_on_the_neighbours_alone),
                cmocka_unit_test(test_captions_stay_with_their_picture),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
