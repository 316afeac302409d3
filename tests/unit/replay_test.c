/* replay: what is kept is what a new transcoder needs, and no more than fits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/clock.h"
#include "ingestd/replay.h"

#define MS US_PER_MS

static void push(struct replay *r, uint8_t track, uint8_t flags, int64_t dts_us, int32_t cts_us, size_t len)
{
        struct buf *b = buf_new(len);
        memset(b->data, 0, len);
        const struct frame f = {.track = track, .codec = track == TRACK_VIDEO ? CODEC_H264 : CODEC_AAC, .flags = flags,
                                .dts_us = dts_us, .cts_us = cts_us, .bytes = b};
        replay_push(r, &f);
        buf_unref(&b);
}

/* 25 pictures a second with a keyframe each `gop`, 50 frames of sound. */
static void push_seconds(struct replay *r, int from_s, int to_s, int gop, size_t picture_bytes)
{
        for (int ms = from_s * 1000; ms < to_s * 1000; ms += 20) {
                if (ms % 40 == 0)
                        push(r, TRACK_VIDEO, ms / 40 % gop == 0 ? FRAME_KEY : 0, ms * MS, 0, picture_bytes);
                push(r, TRACK_AUDIO, FRAME_KEY, ms * MS, 0, 100);
        }
}

static bool first_picture_is_key(const struct replay *r)
{
        for (uint64_t seq = r->head; seq < r->tail; seq++) {
                const struct frame *f = replay_at(r, seq);
                if (f->track == TRACK_VIDEO)
                        return f->flags & FRAME_KEY;
        }
        return false;
}

static void test_begins_with_the_last_keyframe_that_is_stored(void **state)
{
        (void)state;
        struct replay r;
        replay_init(&r, 100 << 20);
        struct replay_reader only = {0};
        replay_attach(&r, &only);
        push_seconds(&r, 0, 10, 50, 1000); /* a keyframe every 2 s */
        replay_trim(&r, &only, 5900 * MS, r.tail);
        assert_true(first_picture_is_key(&r));
        assert_int_equal(replay_start_us(&r), 4000 * MS);
        replay_trim(&r, &only, 6000 * MS, r.tail);
        assert_int_equal(replay_start_us(&r), 6000 * MS);
        replay_fini(&r);
}

static void test_sound_that_is_not_stored_stays_though_it_came_before_the_keyframe(void **state)
{
        (void)state;
        struct replay r;
        replay_init(&r, 100 << 20);
        struct replay_reader only = {0};
        replay_attach(&r, &only);
        push(&r, TRACK_VIDEO, FRAME_KEY, 0, 0, 10);
        push(&r, TRACK_AUDIO, FRAME_KEY, 2100 * MS, 0, 10); /* interleaved early */
        push(&r, TRACK_VIDEO, FRAME_KEY, 2000 * MS, 0, 10);
        push(&r, TRACK_VIDEO, 0, 2040 * MS, 0, 10);
        replay_trim(&r, &only, 2050 * MS, r.tail);
        assert_int_equal(r.tail - r.head, 3);
        assert_int_equal(replay_at(&r, r.head)->track, TRACK_AUDIO);
        assert_true(first_picture_is_key(&r));
        replay_trim(&r, &only, 3000 * MS, r.tail);
        assert_int_equal(r.tail - r.head, 2);
        replay_fini(&r);
        assert_int_equal(r.bytes, 0);
}

static void test_a_keyframe_counts_by_when_it_is_shown(void **state)
{
        (void)state;
        struct replay r;
        replay_init(&r, 100 << 20);
        struct replay_reader only = {0};
        replay_attach(&r, &only);
        push(&r, TRACK_VIDEO, FRAME_KEY, 0, 80 * MS, 10);
        push(&r, TRACK_VIDEO, FRAME_KEY, 1000 * MS, 80 * MS, 10); /* pictures shown before it come after it */
        replay_trim(&r, &only, 1050 * MS, r.tail);
        assert_int_equal(r.head, 0);
        replay_trim(&r, &only, 1080 * MS, r.tail);
        assert_int_equal(r.head, 1);
        replay_fini(&r);
}

static void test_sound_alone_keeps_what_its_decoder_needs(void **state)
{
        (void)state;
        struct replay r;
        replay_init(&r, 100 << 20);
        struct replay_reader only = {0};
        replay_attach(&r, &only);
        for (int ms = 0; ms < 10000; ms += 20)
                push(&r, TRACK_AUDIO, FRAME_KEY, ms * MS, 0, 100);
        replay_trim(&r, &only, 9000 * MS, r.tail);
        assert_in_range(replay_start_us(&r), 8700 * MS, 8990 * MS);
        replay_fini(&r);
}

static void test_frames_nobody_took_stay_whatever_is_said_to_be_stored(void **state)
{
        (void)state;
        struct replay r;
        replay_init(&r, 100 << 20);
        struct replay_reader only = {0};
        replay_attach(&r, &only);
        push_seconds(&r, 0, 10, 25, 1000);
        replay_trim(&r, &only, INT64_MAX / 2, 10);
        assert_int_equal(r.head, 10);
        replay_trim(&r, &only, INT64_MIN / 2, 10);
        assert_int_equal(r.head, 10);
        replay_fini(&r);
}

static void test_over_the_limit_whole_groups_of_pictures_go(void **state)
{
        (void)state;
        struct replay r;
        replay_init(&r, 1 << 20);
        for (int s = 0; s < 60; s++) {
                push_seconds(&r, s, s + 1, 25, 10000);
                assert_true(r.bytes <= 1 << 20);
                assert_true(first_picture_is_key(&r));
        }
        assert_true(r.lost > 0);
        assert_int_equal(r.lost, r.head);
        assert_in_range(replay_start_us(&r), 55000 * MS, 58000 * MS); /* about 4 s fit */
        replay_fini(&r);
}

static void test_a_single_group_of_pictures_larger_than_all_stays_within_the_limit(void **state)
{
        (void)state;
        struct replay r;
        replay_init(&r, 1 << 20);
        struct replay_reader only = {0};
        replay_attach(&r, &only);
        push_seconds(&r, 0, 60, 1000000, 10000);
        assert_true(r.bytes <= 1 << 20);
        assert_true(r.tail - r.head > 10);
        push_seconds(&r, 60, 61, 25, 10000);
        replay_trim(&r, &only, 60500 * MS, r.tail); /* and a keyframe mends it */
        assert_true(first_picture_is_key(&r));
        replay_fini(&r);
}

static void test_empty_frames_count_too(void **state)
{
        (void)state;
        struct replay r;
        replay_init(&r, 1 << 20);
        for (int i = 0; i < 100000; i++)
                push(&r, TRACK_AUDIO, FRAME_KEY, i * MS, 0, 0);
        assert_true(r.tail - r.head <= (1 << 20) / REPLAY_FRAME_BYTES);
        replay_fini(&r);
}

static void test_a_frame_larger_than_the_limit_is_all_there_is(void **state)
{
        (void)state;
        struct replay r;
        replay_init(&r, 1 << 20);
        push_seconds(&r, 0, 1, 25, 1000);
        push(&r, TRACK_VIDEO, FRAME_KEY, 1000 * MS, 0, 2 << 20);
        assert_int_equal(r.tail - r.head, 1);
        push(&r, TRACK_VIDEO, FRAME_KEY, 2000 * MS, 0, 1000);
        assert_int_equal(r.tail - r.head, 1);
        replay_fini(&r);
}

static void test_configuration_is_the_one_in_force_at_the_head(void **state)
{
        (void)state;
        struct replay r;
        replay_init(&r, 100 << 20);
        struct replay_reader only = {0};
        replay_attach(&r, &only);
        struct buf *one = buf_copy("one", 3), *two = buf_copy("two", 3);
        replay_config(&r, TRACK_VIDEO, CODEC_H264, one);
        push_seconds(&r, 0, 4, 50, 100);
        const struct frame change = {.track = TRACK_VIDEO, .codec = CODEC_H264, .flags = FRAME_CONFIG,
                                     .dts_us = 3999 * MS, .bytes = two};
        replay_push(&r, &change);
        push_seconds(&r, 4, 8, 50, 100);
        replay_trim(&r, &only, 3000 * MS, r.tail);
        assert_ptr_equal(r.config[TRACK_VIDEO].bytes, one);
        assert_int_equal(r.config[TRACK_AUDIO].codec, CODEC_NONE);
        unsigned changes = r.config_changes;
        replay_trim(&r, &only, 5000 * MS, r.tail);
        assert_ptr_equal(r.config[TRACK_VIDEO].bytes, two);
        assert_int_not_equal(r.config_changes, changes);
        buf_unref(&one);
        buf_unref(&two);
        replay_fini(&r);
}

static void test_all_times_move(void **state)
{
        (void)state;
        struct replay r;
        replay_init(&r, 100 << 20);
        push_seconds(&r, 0, 2, 25, 100);
        replay_move(&r, 5000 * MS);
        assert_int_equal(replay_start_us(&r), 5000 * MS);
        assert_int_equal(replay_at(&r, r.tail - 1)->dts_us, 6980 * MS);
        replay_fini(&r);
}

/* Two readers ------------------------------------------------------------------------------------------------------ */

static void test_what_either_reader_has_not_taken_or_not_stored_stays(void **state)
{
        (void)state;
        struct replay r;
        struct replay_reader a = {0}, b = {0};
        replay_init(&r, 100 << 20);
        push_seconds(&r, 0, 10, 25, 1000);
        replay_attach(&r, &a);
        replay_attach(&r, &b);
        replay_trim(&r, &a, 9500 * MS, r.tail);
        assert_int_equal(r.head, 0); /* the other one has said nothing yet */
        replay_trim(&r, &b, 3500 * MS, r.tail);
        assert_int_equal(replay_start_us(&r), 3000 * MS);
        replay_trim(&r, &b, 9500 * MS, 400); /* it is stored, by the first; the second has not had it */
        assert_int_equal(r.head, 400);
        replay_trim(&r, &a, 9500 * MS, r.tail);
        assert_int_equal(r.head, 400);
        assert_false(a.behind || b.behind);
        replay_trim(&r, &b, 9500 * MS, r.tail);
        assert_int_equal(replay_start_us(&r), 9000 * MS);
        replay_fini(&r);
}

static void test_numbers_stay_as_they_are_for_the_reader_that_is_behind(void **state)
{
        (void)state;
        struct replay r;
        struct replay_reader a = {0}, b = {0};
        replay_init(&r, 100 << 20);
        replay_attach(&r, &a);
        replay_attach(&r, &b);
        push(&r, TRACK_VIDEO, FRAME_KEY, 0, 0, 10);
        push(&r, TRACK_AUDIO, FRAME_KEY, 2100 * MS, 0, 11); /* stays, and would move up */
        push(&r, TRACK_VIDEO, 0, 40 * MS, 0, 12);
        push(&r, TRACK_VIDEO, FRAME_KEY, 2000 * MS, 0, 13);
        replay_trim(&r, &b, 2050 * MS, 2);
        replay_trim(&r, &a, 2050 * MS, r.tail);
        assert_int_equal(replay_at(&r, 2)->bytes->len, 12);
        replay_trim(&r, &b, 2050 * MS, r.tail);
        assert_int_equal(replay_at(&r, 2)->bytes->len, 11);
        replay_fini(&r);
}

static void test_a_reader_that_is_gone_holds_nothing_back(void **state)
{
        (void)state;
        struct replay r;
        struct replay_reader a = {0}, b = {0};
        replay_init(&r, 100 << 20);
        push_seconds(&r, 0, 10, 25, 1000);
        replay_attach(&r, &a);
        replay_attach(&r, &b);
        replay_detach(&r, &b);
        replay_detach(&r, &b);
        replay_trim(&r, &a, 9500 * MS, r.tail);
        assert_int_equal(replay_start_us(&r), 9000 * MS);
        replay_attach(&r, &b); /* begins with what is left */
        assert_int_equal(b.taken, r.head);
        replay_fini(&r);
}

static void test_over_the_limit_the_slower_reader_is_left_and_no_frame_is_lost(void **state)
{
        (void)state;
        for (int slower = 0; slower < 2; slower++) {
                struct replay r;
                struct replay_reader reader[2] = {{0}, {0}};
                replay_init(&r, 1 << 20);
                replay_attach(&r, &reader[0]);
                replay_attach(&r, &reader[1]);
                for (int s = 0; s < 60; s++) { /* about 4 s fit */
                        push_seconds(&r, s, s + 1, 25, 10000);
                        replay_trim(&r, &reader[!slower], s * 1000 * MS, r.tail);
                }
                assert_int_equal(r.lost, 0);
                assert_true(reader[slower].behind);
                assert_false(reader[!slower].behind);
                assert_int_equal(replay_start_us(&r), 59000 * MS); /* nor does it hold anything back from then on */
                replay_fini(&r);
        }
}

static void test_numbers_that_change_over_the_limit_are_the_slower_readers_loss(void **state)
{
        (void)state;
        struct replay r;
        struct replay_reader a = {0}, b = {0};
        replay_init(&r, 10000);
        replay_attach(&r, &a);
        replay_attach(&r, &b);
        push(&r, TRACK_VIDEO, FRAME_KEY, 0, 0, 4000);
        push(&r, TRACK_VIDEO, 0, 40 * MS, 0, 10);
        push(&r, TRACK_AUDIO, FRAME_KEY, 2100 * MS, 0, 11); /* moves up to 3 */
        push(&r, TRACK_VIDEO, 0, 80 * MS, 0, 12);
        push(&r, TRACK_VIDEO, FRAME_KEY, 2000 * MS, 0, 4000);
        replay_trim(&r, &b, 0, 3);
        replay_trim(&r, &a, 2050 * MS, r.tail);
        push(&r, TRACK_VIDEO, 0, 2040 * MS, 0, 2000);
        assert_int_equal(r.head, 3); /* b had taken this number, but not that frame */
        assert_true(b.behind);
        assert_int_equal(r.lost, 0);
        replay_fini(&r);
}

static void test_frames_that_neither_has_stored_are_lost_over_the_limit_as_with_one_reader(void **state)
{
        (void)state;
        struct replay r;
        struct replay_reader a = {0}, b = {0};
        replay_init(&r, 1 << 20);
        replay_attach(&r, &a);
        replay_attach(&r, &b);
        push_seconds(&r, 0, 60, 25, 10000);
        assert_true(r.lost > 0);
        assert_true(r.bytes <= 1 << 20);
        assert_int_equal(r.lost, r.head);
        replay_fini(&r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_begins_with_the_last_keyframe_that_is_stored),
                cmocka_unit_test(test_sound_that_is_not_stored_stays_though_it_came_before_the_keyframe),
                cmocka_unit_test(test_a_keyframe_counts_by_when_it_is_shown),
                cmocka_unit_test(test_sound_alone_keeps_what_its_decoder_needs),
                cmocka_unit_test(test_frames_nobody_took_stay_whatever_is_said_to_be_stored),
                cmocka_unit_test(test_over_the_limit_whole_groups_of_pictures_go),
                cmocka_unit_test(test_a_single_group_of_pictures_larger_than_all_stays_within_the_limit),
                cmocka_unit_test(test_empty_frames_count_too),
                cmocka_unit_test(test_a_frame_larger_than_the_limit_is_all_there_is),
                cmocka_unit_test(test_configuration_is_the_one_in_force_at_the_head),
                cmocka_unit_test(test_all_times_move),
                cmocka_unit_test(test_what_either_reader_has_not_taken_or_not_stored_stays),
                cmocka_unit_test(test_numbers_stay_as_they_are_for_the_reader_that_is_behind),
                cmocka_unit_test(test_a_reader_that_is_gone_holds_nothing_back),
                cmocka_unit_test(test_over_the_limit_the_slower_reader_is_left_and_no_frame_is_lost),
                cmocka_unit_test(test_numbers_that_change_over_the_limit_are_the_slower_readers_loss),
                cmocka_unit_test(test_frames_that_neither_has_stored_are_lost_over_the_limit_as_with_one_reader),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
