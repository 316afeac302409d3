/* captions: what is said comes through in order, whatever pictures a rung leaves out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "transcoderd/encode/captions.h"

#define FIELD_1 0xfc
#define PADDING 0xfa

/* A picture with n triplets of that kind; their last byte counts on. */
static AVFrame *picture(int n, uint8_t kind, int *number)
{
        AVFrame *f = av_frame_alloc();
        AVFrameSideData *cc = n ? av_frame_new_side_data(f, AV_FRAME_DATA_A53_CC, (size_t)n * CAPTIONS_TRIPLET) : NULL;
        for (int i = 0; i < n; i++, (*number)++) {
                cc->data[3 * i] = kind;
                cc->data[3 * i + 1] = (uint8_t)(*number >> 8);
                cc->data[3 * i + 2] = (uint8_t)*number;
        }
        return f;
}

static size_t add(struct captions *c, int n, uint8_t kind, int *number)
{
        AVFrame *f = picture(n, kind, number);
        size_t lost = captions_add(c, f);
        av_frame_free(&f);
        return lost;
}

/* How many triplets the next picture carries; they are of the kind, and count on from *number. */
static int give(struct captions *c, uint8_t kind, int *number)
{
        AVFrame *f = av_frame_alloc();
        captions_give(c, f);
        const AVFrameSideData *cc = av_frame_get_side_data(f, AV_FRAME_DATA_A53_CC);
        int n = cc ? (int)cc->size / CAPTIONS_TRIPLET : 0;
        assert_int_equal(captions_in(f), n > 0);
        for (int i = 0; i < n; i++, (*number)++) {
                assert_int_equal(cc->data[3 * i], kind);
                assert_int_equal(cc->data[3 * i + 1] << 8 | cc->data[3 * i + 2], *number);
        }
        av_frame_free(&f);
        return n;
}

static void test_a_pictures_captions_stay_with_it_once(void **state)
{
        (void)state;
        struct captions c = {0};
        int in = 0, out = 0;
        assert_int_equal(give(&c, FIELD_1, &out), 0);
        add(&c, 20, FIELD_1, &in);
        assert_int_equal(give(&c, FIELD_1, &out), 20);
        assert_int_equal(give(&c, FIELD_1, &out), 0);
        in = out = 0;
        add(&c, 20, PADDING, &in); /* of one picture alone it is kept: it says that there are captions */
        assert_int_equal(give(&c, PADDING, &out), 20);
}

static void test_the_captions_of_pictures_left_out_come_with_the_next_one(void **state)
{
        (void)state;
        struct captions c = {0};
        int in = 0, out = 0, padding = 0;
        add(&c, 2, FIELD_1, &in);
        add(&c, 18, PADDING, &padding);
        add(&c, 2, FIELD_1, &in);
        add(&c, 0, FIELD_1, &in);
        assert_int_equal(give(&c, FIELD_1, &out), 4);
        assert_int_equal(out, in);
}

static void test_more_than_a_message_holds_comes_with_the_pictures_after_it(void **state)
{
        (void)state;
        struct captions c = {0};
        int in = 0, out = 0;
        add(&c, 20, FIELD_1, &in);
        add(&c, 20, FIELD_1, &in);
        assert_int_equal(give(&c, FIELD_1, &out), 31);
        assert_int_equal(give(&c, FIELD_1, &out), 9);
        assert_int_equal(out, in);
}

static void test_what_waits_is_bounded_and_what_gives_way_is_counted(void **state)
{
        (void)state;
        struct captions c = {0};
        size_t lost = 0;
        int in = 0, out;
        for (int i = 0; i < 50; i++)
                lost += add(&c, 20, FIELD_1, &in);
        assert_int_equal(lost, 1000 - CAPTIONS_WAIT);
        out = (int)lost;
        while (give(&c, FIELD_1, &out) > 0)
                ;
        assert_int_equal(out, in);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_pictures_captions_stay_with_it_once),
                cmocka_unit_test(test_the_captions_of_pictures_left_out_come_with_the_next_one),
                cmocka_unit_test(test_more_than_a_message_holds_comes_with_the_pictures_after_it),
                cmocka_unit_test(test_what_waits_is_bounded_and_what_gives_way_is_counted),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
