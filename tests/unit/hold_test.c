/* Who is held back: one that sends faster than time passes, as long as a transcoder takes what it sends. Nobody else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ingestd/hold.h"

#define S INT64_C(1000000)
#define LIMIT (32u << 20)

static struct hold h;
static int64_t now_us;

static int set_up(void **state)
{
        (void)state;
        h = (struct hold){0};
        now_us = 100 * S;
        return 0;
}

static bool look(int64_t ahead_us, int64_t waiting_us, size_t bytes, uint64_t mark)
{
        bool was = h.held;
        const struct hold_sight sight = {.ahead_us = ahead_us, .waiting_us = waiting_us, .bytes = bytes, .limit_bytes = LIMIT,
                                         .mark = mark};
        bool changed = hold_update(&h, &sight, now_us);
        assert_int_equal(changed, h.held != was);
        return h.held;
}

static void test_a_film_is_held_until_little_of_it_waits(void **state)
{
        (void)state;
        assert_false(look(3 * S, 3 * S, 1000, 0));
        assert_false(look(4 * S, 4 * S, 1000, 0));
        assert_true(look(4 * S + 1, 4 * S + 1, 1000, 0));
        assert_true(look(4 * S, 2 * S + 1, 1000, 50));
        assert_false(look(4 * S, 2 * S, 1000, 60));
        assert_false(look(6 * S, 4 * S, 1000, 60));
        assert_true(look(7 * S, 5 * S, 1000, 60));
}

/* At a high bit rate the buffer is the narrower bound; what is taken, and only not stored yet, is no reason. */
static void test_half_a_buffer_is_much_if_any_of_it_waits(void **state)
{
        (void)state;
        assert_false(look(10 * S, 0, LIMIT, 0));
        assert_false(look(10 * S, S / 10, LIMIT / 2, 0));
        assert_true(look(10 * S, S / 10, LIMIT / 2 + 1, 0));
        assert_true(look(10 * S, S / 10, LIMIT / 2, 1));
        assert_true(look(10 * S, S / 10, LIMIT / 8 * 3 + 1, 1));
        assert_false(look(10 * S, S / 10, LIMIT / 8 * 3, 1));
        assert_true(look(10 * S, S / 10, LIMIT, 1));
        assert_false(look(10 * S, 0, LIMIT, 2));
}

/* It stood still for a minute and sends what gathered, or nothing takes what it sends: its frames are not ahead of their time. */
static void test_a_live_broadcaster_is_never_held(void **state)
{
        (void)state;
        for (int64_t ahead_us = -60 * S; ahead_us <= 3 * S; ahead_us += S / 2)
                assert_false(look(ahead_us, 60 * S, LIMIT, 0));
}

/* A transcoder that is no faster than real time: what waits is all its lead. One that is slower still makes it a live broadcast. */
static void test_a_film_is_held_as_long_as_it_has_any_lead(void **state)
{
        (void)state;
        assert_true(look(20 * S, 10 * S, 1000, 0));
        for (int i = 1; i < 20; i++, now_us += S)
                assert_true(look((20 - i) * S, 10 * S, 1000, (uint64_t)i));
        assert_false(look(0, 10 * S, 1000, 100));
        assert_false(look(-60 * S, 60 * S, LIMIT, 101));
        assert_true(look(1, 5 * S, 1000, 102));
        assert_false(look(1, 2 * S, 1000, 103));
        assert_true(look(S, S, LIMIT, 103));
}

static void test_one_whose_transcoder_takes_nothing_is_let_go_until_a_frame_is_taken(void **state)
{
        (void)state;
        assert_true(look(60 * S, 10 * S, 1000, 7));
        now_us += HOLD_STUCK_US - 1;
        assert_true(look(60 * S, 10 * S, 1000, 7));
        assert_true(look(60 * S, 10 * S, 1000, 8)); /* one frame in ten seconds is enough */
        now_us += HOLD_STUCK_US;
        assert_false(look(60 * S, 10 * S, 1000, 8));
        now_us += 100 * S;
        assert_false(look(60 * S, 20 * S, LIMIT, 8));
        assert_true(look(60 * S, 20 * S, LIMIT, 9));
        now_us += HOLD_STUCK_US - 1;
        assert_true(look(60 * S, 20 * S, LIMIT, 9));
}

/* A transcoder that is lost while one is held is followed by another, which begins before: that is a step, too. */
static void test_another_transcoder_is_given_its_own_time(void **state)
{
        (void)state;
        assert_true(look(60 * S, 10 * S, 1000, 700));
        now_us += HOLD_STUCK_US - S;
        assert_true(look(60 * S, 12 * S, 1000, 600));
        now_us += HOLD_STUCK_US - S;
        assert_true(look(60 * S, 12 * S, 1000, 600));
}

static void test_who_stands_in_line_behind_its_own_last_broadcast_waits_for_that(void **state)
{
        (void)state;
        struct hold_sight sight = {.ahead_us = 60 * S, .waiting_us = 10 * S, .limit_bytes = LIMIT, .queued = true};
        for (int i = 0; i < 100; i++, now_us += S) {
                hold_update(&h, &sight, now_us);
                assert_true(h.held);
        }
        sight.queued = false;
        now_us += HOLD_STUCK_US - 2 * S;
        hold_update(&h, &sight, now_us);
        assert_true(h.held);
        now_us += S;
        assert_true(hold_update(&h, &sight, now_us));
        assert_false(h.held);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, set_up)
        const struct CMUnitTest tests[] = {
                TEST(test_a_film_is_held_until_little_of_it_waits),
                TEST(test_half_a_buffer_is_much_if_any_of_it_waits),
                TEST(test_a_live_broadcaster_is_never_held),
                TEST(test_a_film_is_held_as_long_as_it_has_any_lead),
                TEST(test_one_whose_transcoder_takes_nothing_is_let_go_until_a_frame_is_taken),
                TEST(test_another_transcoder_is_given_its_own_time),
                TEST(test_who_stands_in_line_behind_its_own_last_broadcast_waits_for_that),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
