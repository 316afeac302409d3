/* The pure parts of the timeline: the grid, when slate is due, what is shed, who comes first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "proto/store.h"
#include "transcoderd/encode/grid.h"
#include "transcoderd/encode/media_clock.h"
#include "transcoderd/encode/precedence.h"
#include "transcoderd/encode/shed.h"
#include "transcoderd/encode/slate.h"
#include "transcoderd/encode/slow.h"

static void test_rounding_to_ticks_never_leaves_the_segment(void **state)
{
        (void)state;
        for (int64_t us = 999990; us <= 1000010; us++) {
                struct grid_place p = grid_place(grid_ticks(us, VIDEO_TIMESCALE), VIDEO_TIMESCALE, CHUNK_MS);
                assert_int_equal(p.segment, us / 1000000);
                assert_int_equal(p.chunk, us < 1000000 ? 4 : 0);
        }
        int64_t late_us = MEDIA_TIME_MAX_US - 1;
        assert_int_equal(grid_place(grid_ticks(late_us, VIDEO_TIMESCALE), VIDEO_TIMESCALE, CHUNK_MS).segment, late_us / 1000000);
}

static void test_chunks_are_a_fifth_of_a_second(void **state)
{
        (void)state;
        struct grid_place p = grid_place(17 * 90000 + 18000 * 3 + 17999, VIDEO_TIMESCALE, CHUNK_MS);
        assert_int_equal(p.segment, 17);
        assert_int_equal(p.chunk, 3);
        assert_int_equal(p.end_ticks, 17 * 90000 + 18000 * 4);
        p = grid_place(9600, AUDIO_TIMESCALE, CHUNK_MS);
        assert_int_equal(p.chunk, 1);
}

static void test_on_the_short_grid_they_are_a_tenth(void **state)
{
        (void)state;
        struct grid_place p = grid_place(17 * 90000 + 9000 * 7 + 8999, VIDEO_TIMESCALE, CHUNK_MS_SHORT);
        assert_int_equal(p.segment, 17);
        assert_int_equal(p.chunk, 7);
        assert_int_equal(p.end_ticks, 17 * 90000 + 9000 * 8);
        p = grid_place(AUDIO_TIMESCALE - 1, AUDIO_TIMESCALE, CHUNK_MS_SHORT);
        assert_int_equal(p.chunk, 9);
        assert_int_equal(p.end_ticks, AUDIO_TIMESCALE);
        assert_int_equal(grid_chunk_end_us(299999, CHUNK_MS_SHORT), 300000);
        assert_int_equal(grid_chunk_end_us(300000, CHUNK_MS_SHORT), 400000);
}

static void test_a_writer_that_continues_takes_the_very_next_aac_frame(void **state)
{
        (void)state;
        /* Ends are told in µs, rounded down; frames are 21333.3 µs long. */
        for (int64_t j = 0; j < 100000; j += 7) {
                int64_t end_us = grid_us((j + 1) * AAC_FRAME_SAMPLES, AUDIO_TIMESCALE);
                assert_int_equal(grid_aac_frame_from(end_us), j + 1);
        }
        assert_int_equal(grid_aac_frame_from(0), 0);
        assert_int_equal(grid_aac_frame_from(1), 1);
}

static void test_a_slow_source_is_one_with_long_gaps_only(void **state)
{
        (void)state;
        struct slow s;
        slow_init(&s, CHUNK_MS, 0);
        slow_add(&s, 0);
        slow_add(&s, US_PER_S);
        assert_false(slow_is(&s)); /* a pause in a usual one */
        slow_add(&s, 2 * US_PER_S);
        assert_true(slow_is(&s));
        slow_add(&s, 2 * US_PER_S + 33333);
        assert_false(slow_is(&s));
        slow_init(&s, CHUNK_MS, 1000);
        slow_add(&s, 0);
        assert_true(slow_is(&s)); /* it says so */
        slow_add(&s, 40000);
        assert_false(slow_is(&s));
        slow_init(&s, CHUNK_MS, 30000);
        slow_add(&s, 0);
        assert_false(slow_is(&s));
}

static void test_a_slow_source_is_shown_again_at_the_begin_of_each_chunk_for_a_while(void **state)
{
        (void)state;
        struct slow s;
        slow_init(&s, CHUNK_MS, 1000);
        slow_add(&s, 1050000);
        assert_int_equal(slow_again_us(&s, 1050000), 1200000);
        assert_int_equal(slow_again_us(&s, 1200000), 1400000);
        assert_int_equal(slow_again_us(&s, 2800000), 3000000);
        assert_int_equal(slow_again_us(&s, 3000000), SLOW_NEVER); /* two gaps: the rest is slate */
        assert_int_equal(slow_wait_us(&s, 1050000, 1100000, US_PER_S), 100000 + SLOW_LATE_US);
        assert_int_equal(slow_wait_us(&s, 1050000, 9 * US_PER_S, 0), SLOW_IDLE_US); /* a replay */
        assert_true(slow_wait_us(&s, 1050000, 9 * US_PER_S, US_PER_S) < 0);
        assert_int_equal(slow_wait_us(&s, 3000000, 9 * US_PER_S, US_PER_S), SLOW_NEVER);
        slow_init(&s, CHUNK_MS_SHORT, 1000);
        slow_add(&s, 1050000);
        assert_int_equal(slow_again_us(&s, 1050000), 1100000);
        assert_int_equal(slow_again_us(&s, 1100000), 1200000);
}

static void test_slate_waits_for_the_sessions_clock(void **state)
{
        (void)state;
        struct slate s;
        slate_init(&s, US_PER_S, 0);
        slate_fed(&s, 50);
        int64_t end = 5 * US_PER_S;
        assert_int_equal(slate_due(&s, end, end + US_PER_S, 20 * US_PER_S), SLATE_NOT_DUE);
        assert_int_equal(slate_due(&s, end, end + US_PER_S + 40, 20 * US_PER_S), end + 40);
        assert_int_equal(slate_wait_us(&s, end, end + 900000, 20 * US_PER_S), 100000);
}

static void test_the_clock_that_is_far_from_a_sessions_end_is_the_wrong_one(void **state)
{
        (void)state;
        int64_t end = 66 * US_PER_S, now = 68 * US_PER_S, hour = 3600 * US_PER_S;
        assert_true(media_clock_ours_is_off(now + hour, now, end));
        assert_true(media_clock_ours_is_off(now - hour, now, end));
        assert_false(media_clock_ours_is_off(now, now + hour, end));
        assert_false(media_clock_ours_is_off(now, now - hour, end));
        assert_false(media_clock_ours_is_off(now + MEDIA_CLOCK_OFF_US, now, end));
        assert_true(media_clock_ours_is_off(now + MEDIA_CLOCK_OFF_US + 1, now, end));
        assert_false(media_clock_ours_is_off(now + hour, now + hour, end)); /* it was away for an hour */
        int64_t later = end + 30 * US_PER_S; /* nobody was there for half a minute, and a proxy comes that is behind */
        for (int64_t behind = 11; behind <= 20; behind++)
                assert_false(media_clock_ours_is_off(later, later - behind * US_PER_S, end));
}

static void test_slate_waits_after_standing_still_for_what_is_sent_again(void **state)
{
        (void)state;
        struct slate s;
        int64_t at = 100 * US_PER_S; /* both clocks */
        slate_init(&s, US_PER_S, at);
        slate_fed(&s, at);
        slate_wait_us(&s, at, at, at);
        int64_t woken = at + 10 * US_PER_S;
        assert_int_equal(slate_due(&s, at, woken, woken), SLATE_NOT_DUE);
        for (int64_t t = woken; t < woken + SLATE_HOLD_MAX_US; t += 500 * US_PER_MS)
                assert_int_equal(slate_due(&s, at, t, t), SLATE_NOT_DUE);
        woken += SLATE_HOLD_MAX_US;
        assert_int_equal(slate_due(&s, at, woken, woken), woken - US_PER_S);
        woken += 1100 * US_PER_MS; /* not for so long: what came meanwhile is in the socket */
        assert_int_equal(slate_due(&s, at, woken, woken), SLATE_NOT_DUE);
        assert_int_equal(slate_due(&s, at, woken + 500 * US_PER_MS, woken + 500 * US_PER_MS), SLATE_NOT_DUE);
}

static void test_slate_does_not_overtake_a_replay(void **state)
{
        (void)state;
        struct slate s;
        slate_init(&s, US_PER_S, 0);
        slate_fed(&s, 100 * US_PER_S);
        /* Media is 3 s behind the session's clock, but came a moment ago. */
        assert_int_equal(slate_due(&s, US_PER_S, 4 * US_PER_S, 100 * US_PER_S + 200000), SLATE_NOT_DUE);
        assert_int_equal(slate_wait_us(&s, US_PER_S, 4 * US_PER_S, 100 * US_PER_S + 200000), 300000);
        assert_int_equal(slate_due(&s, US_PER_S, 4 * US_PER_S, 100 * US_PER_S + 500000), 3 * US_PER_S);
        /* Once begun it goes on without pause. */
        assert_int_equal(slate_due(&s, 3 * US_PER_S, 4 * US_PER_S + 33333, 100 * US_PER_S + 533333),
                         3 * US_PER_S + 33333);
}

/* A look each tenth of a second; what waits and what is behind the clock are the same, as for a stream at the live edge. */
static void feed(struct shed *s, int64_t lag_us, int64_t *now_us, int seconds)
{
        for (int i = 0; i < seconds * 10; i++, *now_us += 100000)
                shed_update(s, lag_us, lag_us, *now_us);
}

static void test_shedding_begins_at_the_top_and_is_undone(void **state)
{
        (void)state;
        struct shed s;
        int64_t now_us = US_PER_S;
        shed_init(&s, 3, US_PER_S);
        feed(&s, 900000, &now_us, 10);
        assert_int_equal(shed_halvings(&s, 0), 0);
        feed(&s, 1500000, &now_us, 1);
        assert_int_equal(shed_halvings(&s, 0), 1);
        assert_int_equal(shed_halvings(&s, 1), 0);
        feed(&s, 1500000, &now_us, 60);
        assert_int_equal(shed_halvings(&s, 0), 2);
        assert_int_equal(shed_halvings(&s, 2), 2);
        feed(&s, 100000, &now_us, 700);
        assert_int_equal(shed_halvings(&s, 0), 0);
}

/* Encodes at `pace` of real time what was sent while nobody encoded, of which `room_us` fit in at a time. True: it came to the end of
 * it before most_s, with nothing shed. */
static bool catches_up_whole(int64_t backlog_us, int64_t room_us, double pace, int most_s)
{
        struct shed s;
        shed_init(&s, 3, US_PER_S);
        int64_t now_us = US_PER_S, step_us = 33333;
        for (int64_t i = 0; backlog_us > 0 && i < most_s * (US_PER_S / step_us); i++, now_us += step_us) {
                int64_t keyframe_us = i % 30 == 0 ? 100 * US_PER_MS : 0; /* takes longer than others do */
                shed_update(&s, backlog_us < room_us ? backlog_us : room_us, backlog_us + keyframe_us, now_us);
                backlog_us -= (int64_t)((double)step_us * (pace - 1));
        }
        return backlog_us <= 0 && s.level == 0;
}

static void test_a_backlog_that_is_caught_up_with_is_encoded_whole(void **state)
{
        (void)state;
        assert_true(catches_up_whole(8 * US_PER_S, 17 * US_PER_S, 1.5, 30));
        /* More than fits in: what waits does not get less until the end of it is near. */
        assert_true(catches_up_whole(30 * US_PER_S, 17 * US_PER_S, 3, 60));
        assert_true(catches_up_whole(30 * US_PER_S, 2 * US_PER_S, 1.2, 300));
        assert_true(catches_up_whole(300 * US_PER_S, 17 * US_PER_S, 1.2, 3000));
}

/* Others take the machine for a moment: the whole of it is still made in time. */
static void test_a_backlog_stands_a_moment_without_gain(void **state)
{
        (void)state;
        struct shed s;
        int64_t now_us = US_PER_S, backlog_us = 30 * US_PER_S;
        shed_init(&s, 3, US_PER_S);
        for (int i = 0; i < 400; i++, now_us += 100000) {
                shed_update(&s, backlog_us, backlog_us, now_us);
                backlog_us -= i < 100 || i > 170 ? 50000 : 0;
        }
        assert_int_equal(s.level, 0);
}

static void test_what_would_never_be_caught_up_with_is_shed(void **state)
{
        (void)state;
        assert_false(catches_up_whole(30 * US_PER_S, 17 * US_PER_S, 1.02, 10000));
        assert_false(catches_up_whole(30 * US_PER_S, 17 * US_PER_S, 0.9, 60));
}

static void test_a_machine_that_falls_behind_is_known_at_once(void **state)
{
        (void)state;
        struct shed s;
        int64_t now_us = US_PER_S, lag_us = 0;
        shed_init(&s, 3, US_PER_S);
        feed(&s, 0, &now_us, 10);
        while (lag_us <= US_PER_S) { /* four fifths of real time from now on */
                assert_int_equal(s.level, 0);
                feed(&s, lag_us += 200000, &now_us, 1);
        }
        feed(&s, lag_us, &now_us, 1);
        assert_int_equal(s.level, 1);
        assert_false(shed_gains(&s) && s.looks >= SHED_LOOKS);
}

static void test_the_live_edge_comes_first_and_the_others_never_stand_still(void **state)
{
        (void)state;
        atomic_bool stop = false;
        assert_true(precedence_needed(200 * US_PER_MS, 400 * US_PER_MS));
        assert_false(precedence_needed(100 * US_PER_MS, 300 * US_PER_MS));
        assert_false(precedence_needed(17 * US_PER_S, 30 * US_PER_S)); /* a backlog asks nobody to wait for it */
        assert_true(precedence_given(30 * US_PER_S));
        assert_true(precedence_given(-10 * US_PER_S)); /* a film ahead of its time */
        assert_false(precedence_given(US_PER_S));

        int64_t begun_us = clock_mono_us();
        precedence_ask(begun_us);
        precedence_give(&stop);
        assert_true(clock_mono_us() - begun_us >= PRECEDENCE_HOLD_US);
        begun_us = clock_mono_us();
        precedence_ask(begun_us + 3600 * US_PER_S); /* again and again */
        precedence_give(&stop);
        assert_true(clock_mono_us() - begun_us >= PRECEDENCE_STEP_US);
        stop = true;
        precedence_give(&stop); /* comes back */
        precedence_ask(0);
}

static void test_restoring_too_early_makes_patient(void **state)
{
        (void)state;
        struct shed s;
        int64_t now_us = US_PER_S;
        shed_init(&s, 1, US_PER_S);
        feed(&s, 0, &now_us, 3);
        feed(&s, 1500000, &now_us, 1);
        assert_int_equal(s.level, 1);
        feed(&s, 0, &now_us, 6);
        assert_int_equal(s.level, 0);
        feed(&s, 1500000, &now_us, 1);
        assert_int_equal(s.level, 1);
        feed(&s, 0, &now_us, 6);
        assert_int_equal(s.level, 1);
        feed(&s, 0, &now_us, 6);
        assert_int_equal(s.level, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rounding_to_ticks_never_leaves_the_segment),
                cmocka_unit_test(test_chunks_are_a_fifth_of_a_second),
                cmocka_unit_test(test_on_the_short_grid_they_are_a_tenth),
                cmocka_unit_test(test_a_writer_that_continues_takes_the_very_next_aac_frame),
                cmocka_unit_test(test_a_slow_source_is_one_with_long_gaps_only),
                cmocka_unit_test(test_a_slow_source_is_shown_again_at_the_begin_of_each_chunk_for_a_while),
                cmocka_unit_test(test_slate_waits_for_the_sessions_clock),
                cmocka_unit_test(test_the_clock_that_is_far_from_a_sessions_end_is_the_wrong_one),
                cmocka_unit_test(test_slate_waits_after_standing_still_for_what_is_sent_again),
                cmocka_unit_test(test_slate_does_not_overtake_a_replay),
                cmocka_unit_test(test_shedding_begins_at_the_top_and_is_undone),
                cmocka_unit_test(test_a_backlog_that_is_caught_up_with_is_encoded_whole),
                cmocka_unit_test(test_a_backlog_stands_a_moment_without_gain),
                cmocka_unit_test(test_what_would_never_be_caught_up_with_is_shed),
                cmocka_unit_test(test_a_machine_that_falls_behind_is_known_at_once),
                cmocka_unit_test(test_the_live_edge_comes_first_and_the_others_never_stand_still),
                cmocka_unit_test(test_restoring_too_early_makes_patient),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
