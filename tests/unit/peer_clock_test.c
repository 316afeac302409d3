/* How far a peer's clock is ahead, by HELLO's round trips. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "common/cluster/peer_clock.h"

#define NOW_US (INT64_C(1767225600) * US_PER_S)

static struct peer_clock clock_of;
static int64_t now_us;

/* A round trip: there_us on the way there, back_us on the way back, the peer's clock ahead_us ahead. Half a second passes. */
static void trip(int64_t ahead_us, int64_t there_us, int64_t back_us)
{
        int64_t came_us = now_us + there_us, answered_us = came_us + 100;
        peer_clock_take(&clock_of, &(struct peer_clock_times){.left_us = now_us, .came_us = came_us + ahead_us, .answered_us = answered_us + ahead_us,
                                                              .back_us = answered_us + back_us});
        now_us += 500 * US_PER_MS;
}

static int64_t wrong_us(int64_t used_us)
{
        struct clock_ahead a = peer_clock_ahead(&clock_of, now_us);
        return clock_ahead_wrong_us(&a, used_us);
}

static int setup(void **state)
{
        (void)state;
        clock_of = (struct peer_clock){0};
        now_us = NOW_US;
        return 0;
}

static void test_nothing_is_known_before_the_first_round_trip(void **state)
{
        (void)state;
        assert_false(peer_clock_ahead(&clock_of, now_us).known);
        assert_int_equal(wrong_us(0), 0);
}

static void test_a_difference_is_known_after_one_round_trip(void **state)
{
        (void)state;
        trip(5 * US_PER_S, 300, 300);
        assert_int_equal(wrong_us(0), 5 * US_PER_S);
        assert_int_equal(wrong_us(5 * US_PER_S), 0);
        setup(NULL);
        trip(-3600 * US_PER_S, 150 * US_PER_MS, 150 * US_PER_MS);
        assert_int_equal(wrong_us(0), -3600 * US_PER_S);
}

/* A proxy or a transcoder that was stopped for 1.2 s, its machine that is busy, an upload that fills the way there. */
static void test_an_answer_that_was_late_is_no_difference(void **state)
{
        static const int64_t late_us[] = {1200 * US_PER_MS, 469 * US_PER_MS, 251 * US_PER_MS, 231 * US_PER_MS};
        (void)state;
        for (size_t i = 0; i < sizeof(late_us) / sizeof(late_us[0]); i++) {
                setup(NULL);
                trip(0, late_us[i], 300); /* the very first one */
                assert_int_equal(wrong_us(0), 0);
                for (int n = 0; n < 10; n++)
                        trip(0, 300, 300);
                trip(0, late_us[i], 300);
                assert_int_equal(wrong_us(0), 0);
                assert_in_range(peer_clock_ahead(&clock_of, now_us).error_us, 0, 10 * US_PER_MS);
        }
}

static void test_of_half_a_minute_the_round_trip_that_took_least_decides(void **state)
{
        (void)state;
        for (int n = 0; n < PEER_CLOCK_KEPT; n++)
                trip(US_PER_S, n == 20 ? 2000 : 400 * US_PER_MS, 2000);
        assert_in_range(wrong_us(0), US_PER_S - US_PER_MS, US_PER_S + US_PER_MS);
        for (int n = 0; n < PEER_CLOCK_KEPT; n++) /* that one is forgotten */
                trip(US_PER_S, 400 * US_PER_MS, 2000);
        assert_in_range(peer_clock_ahead(&clock_of, now_us).error_us, 150 * US_PER_MS, 300 * US_PER_MS);
}

static void test_what_was_known_long_ago_is_less_certain(void **state)
{
        (void)state;
        trip(0, 300, 300);
        now_us += 100 * US_PER_S; /* both slewed apart all the time: 100 ms */
        assert_in_range(peer_clock_ahead(&clock_of, now_us).error_us, 100 * US_PER_MS, 110 * US_PER_MS);
}

static void test_a_clock_that_was_set_is_followed_at_once(void **state)
{
        (void)state;
        for (int n = 0; n < PEER_CLOCK_KEPT; n++)
                trip(0, 300, 300);
        trip(600 * US_PER_S, 100 * US_PER_MS, 300); /* that it is one of its slow answers changes nothing */
        assert_in_range(wrong_us(0), 599 * US_PER_S, 601 * US_PER_S);
}

static void test_times_that_cannot_be_are_passed_over(void **state)
{
        (void)state;
        trip(5 * US_PER_S, 300, 300);
        peer_clock_take(&clock_of, &(struct peer_clock_times){now_us, now_us + 1000, now_us, now_us + 2000}); /* longer than the round trip */
        peer_clock_take(&clock_of, &(struct peer_clock_times){now_us, now_us + 1000, now_us + 10, now_us});   /* before it came */
        peer_clock_take(&clock_of, &(struct peer_clock_times){now_us, now_us - 1000, now_us, now_us});
        assert_int_equal(wrong_us(0), 5 * US_PER_S);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_nothing_is_known_before_the_first_round_trip, setup),
                cmocka_unit_test_setup(test_a_difference_is_known_after_one_round_trip, setup),
                cmocka_unit_test_setup(test_an_answer_that_was_late_is_no_difference, setup),
                cmocka_unit_test_setup(test_of_half_a_minute_the_round_trip_that_took_least_decides, setup),
                cmocka_unit_test_setup(test_what_was_known_long_ago_is_less_certain, setup),
                cmocka_unit_test_setup(test_a_clock_that_was_set_is_followed_at_once, setup),
                cmocka_unit_test_setup(test_times_that_cannot_be_are_passed_over, setup),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
