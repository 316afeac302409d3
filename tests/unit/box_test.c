#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/err.h"
#include "originD/log/box.h"
#include "tests/unit/origin_fmp4.h"

static void test_init_tells_codec_size_and_clock(void **state)
{
        (void)state;
        struct init_info i;
        struct buf *v = fmp4_video_init(), *a = fmp4_audio_init();
        assert_int_equal(box_init_parse(v->data, v->len, &i), 0);
        assert_int_equal(i.kind, TRACK_VIDEO);
        assert_string_equal(i.codec, "avc1.64001f");
        assert_int_equal(i.width, 1280);
        assert_int_equal(i.height, 720);
        assert_int_equal(i.timescale, 90000);
        assert_int_equal(box_init_parse(a->data, a->len, &i), 0);
        assert_int_equal(i.kind, TRACK_AUDIO);
        assert_string_equal(i.codec, "mp4a.40.2");
        assert_int_equal(i.sample_rate, 48000);
        assert_int_equal(i.channels, 2);
        buf_unref(&v);
        buf_unref(&a);
}

static void test_init_cut_anywhere_is_refused(void **state)
{
        (void)state;
        struct buf *v = fmp4_video_init();
        for (size_t n = 0; n < v->len; n++) {
                struct init_info i;
                struct buf *cut = buf_copy(v->data, n); /* a heap block of just that size: a read beyond it is seen */
                assert_true(box_init_parse(cut->data, cut->len, &i) < 0);
                buf_unref(&cut);
        }
        buf_unref(&v);
}

static void test_edit_list_that_shifts_time_is_refused(void **state)
{
        (void)state;
        struct init_info i;
        struct buf *none = fmp4_init_with(1, 64, 64, 0), *shift = fmp4_init_with(1, 64, 64, 1024);
        assert_int_equal(box_init_parse(none->data, none->len, &i), 0);
        assert_int_equal(box_init_parse(shift->data, shift->len, &i), ERR_UNSUPPORTED);
        buf_unref(&none);
        buf_unref(&shift);
}

static struct init_info video_info(void)
{
        struct init_info i;
        struct buf *v = fmp4_video_init();
        assert_int_equal(box_init_parse(v->data, v->len, &i), 0);
        buf_unref(&v);
        return i;
}

static void test_chunk_tells_start_duration_and_samples(void **state)
{
        (void)state;
        struct init_info i = video_info();
        struct chunk_info c;
        struct buf *b = fmp4_video_chunk(7, 3, 100);
        assert_int_equal(box_chunk_parse(b->data, b->len, &i, &c), 0);
        assert_int_equal(c.start_ticks, 7 * 90000 + 3 * 18000);
        assert_int_equal(c.duration_ticks, 18000);
        assert_int_equal(c.samples, 5);
        buf_unref(&b);
}

static void test_chunk_cut_or_followed_by_anything_is_refused(void **state)
{
        (void)state;
        struct init_info i = video_info();
        struct chunk_info c;
        struct buf *b = fmp4_video_chunk(0, 0, 20);
        for (size_t n = 0; n < b->len; n++) {
                struct buf *cut = buf_copy(b->data, n);
                assert_int_equal(box_chunk_parse(cut->data, cut->len, &i, &c), ERR_PROTO);
                buf_unref(&cut);
        }
        struct buf *more = buf_new(b->len + 8);
        memcpy(more->data, b->data, b->len);
        memcpy(more->data + b->len, "\0\0\0\x08" "free", 8);
        assert_int_equal(box_chunk_parse(more->data, more->len, &i, &c), ERR_PROTO);
        buf_unref(&more);
        buf_unref(&b);
}

static void test_how_far_a_chunk_reaches_is_told_by_its_head_alone(void **state)
{
        (void)state;
        struct buf *b = fmp4_video_chunk(0, 0, 20);
        size_t head = 0, again;
        uint64_t bytes = 0;
        assert_int_equal(box_chunk_length(b->data, b->len, &head, &bytes), 0);
        assert_int_equal(bytes, b->len);
        assert_true(head > 0 && head < b->len);
        assert_int_equal(box_chunk_length(b->data, head, &again, &bytes), 0);
        assert_int_equal(again, head);
        assert_int_equal(bytes, b->len);
        for (size_t cut = 0; cut < head; cut++)
                assert_int_equal(box_chunk_length(b->data, cut, &again, &bytes), ERR_PROTO);
        buf_unref(&b);
}

static void test_chunk_of_another_track_is_refused(void **state)
{
        (void)state;
        struct init_info i = video_info();
        struct chunk_info c;
        struct buf *b = fmp4_video_chunk(0, 0, 20);
        i.track_id = 2;
        assert_int_equal(box_chunk_parse(b->data, b->len, &i, &c), ERR_PROTO);
        buf_unref(&b);
}

static void test_samples_outside_the_mdat_are_refused(void **state)
{
        (void)state;
        struct init_info i = video_info();
        struct chunk_info c;
        struct buf *b = fmp4_video_chunk(0, 0, 20);
        /* the last sample's size is the last field of the trun, right before the mdat: 5 * 20 body bytes, 8 of header */
        b->data[b->len - 100 - 8 - 1]++;
        assert_int_equal(box_chunk_parse(b->data, b->len, &i, &c), ERR_PROTO);
        buf_unref(&b);
}

/* A volume's record has 16 bits for the samples and 32 for the ticks. */
static void test_more_samples_or_ticks_than_a_record_can_hold_are_refused(void **state)
{
        (void)state;
        static const struct {
                unsigned samples;
                uint32_t duration;
                int rc;
        } chunks[] = {{65535, 1, 0}, {65536, 1, ERR_PROTO}, {1, UINT32_MAX, 0}, {2, UINT32_MAX / 2 + 1, ERR_PROTO}};
        struct init_info i = video_info();
        struct chunk_info c;
        for (size_t n = 0; n < sizeof(chunks) / sizeof(chunks[0]); n++) {
                struct buf *b = fmp4_chunk(0, chunks[n].samples, chunks[n].duration, 1);
                assert_int_equal(box_chunk_parse(b->data, b->len, &i, &c), chunks[n].rc);
                buf_unref(&b);
        }
}

static void test_ticks_become_microseconds_to_the_nearest(void **state)
{
        (void)state;
        assert_int_equal(box_ticks_to_us(90000, 90000), 1000000);
        assert_int_equal(box_ticks_to_us(3003, 90000), 33367);
        assert_int_equal(box_ticks_to_us(UINT64_C(90000) * 86400 * 365, 90000), INT64_C(1000000) * 86400 * 365);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_init_tells_codec_size_and_clock),
                cmocka_unit_test(test_init_cut_anywhere_is_refused),
                cmocka_unit_test(test_edit_list_that_shifts_time_is_refused),
                cmocka_unit_test(test_chunk_tells_start_duration_and_samples),
                cmocka_unit_test(test_chunk_cut_or_followed_by_anything_is_refused),
                cmocka_unit_test(test_how_far_a_chunk_reaches_is_told_by_its_head_alone),
                cmocka_unit_test(test_chunk_of_another_track_is_refused),
                cmocka_unit_test(test_samples_outside_the_mdat_are_refused),
                cmocka_unit_test(test_more_samples_or_ticks_than_a_record_can_hold_are_refused),
                cmocka_unit_test(test_ticks_become_microseconds_to_the_nearest),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
