/* The wall clock that media lives by: follows the system's, is never stepped by it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/clock.h"

#define START_US (INT64_C(1767225600) * US_PER_S)

/* Looks every step_us for so long; returns how far the clock is from the target then. */
static int64_t after(int64_t *offset_us, int64_t target_us, int64_t step_us, int64_t span_us)
{
        for (int64_t t = 0; t < span_us; t += step_us)
                *offset_us = clock_slew(*offset_us, target_us, step_us, false);
        return *offset_us - target_us;
}

static void test_a_step_of_the_system_clock_moves_nothing_at_once(void **state)
{
        static const int64_t steps_us[] = {2 * US_PER_S, -2 * US_PER_S, 59 * US_PER_S, -3600 * US_PER_S, 25 * 3600 * US_PER_S, -25 * 3600 * US_PER_S};
        (void)state;
        for (size_t i = 0; i < sizeof(steps_us) / sizeof(steps_us[0]); i++) {
                int64_t offset_us = START_US, moved_us = llabs(clock_slew(offset_us, START_US + steps_us[i], US_PER_S, false) - offset_us);
                assert_int_equal(moved_us, CLOCK_SLEW_PPM); /* µs in a second */
        }
}

static void test_a_step_is_followed_in_time_and_then_kept(void **state)
{
        int64_t up_us = START_US, down_us = START_US;
        (void)state;
        assert_true(after(&up_us, START_US + 5 * US_PER_S, 100 * US_PER_MS, 9000 * US_PER_S) < 0);
        assert_int_equal(after(&up_us, START_US + 5 * US_PER_S, 100 * US_PER_MS, 1100 * US_PER_S), 0);
        assert_int_equal(after(&down_us, START_US - 5 * US_PER_S, 100 * US_PER_MS, 10100 * US_PER_S), 0);
        assert_int_equal(after(&down_us, START_US - 5 * US_PER_S, 100 * US_PER_MS, 100 * US_PER_S), 0);
}

static void test_looking_seldom_follows_as_fast_as_looking_often(void **state)
{
        int64_t often_us = START_US, seldom_us = START_US, target_us = START_US + US_PER_S;
        (void)state;
        assert_int_equal(after(&often_us, target_us, 100 * US_PER_MS, 1000 * US_PER_S),
                         after(&seldom_us, target_us, 50 * US_PER_S, 1000 * US_PER_S));
}

static void test_a_machine_that_came_up_without_the_time_gets_it_at_once_but_never_goes_back(void **state)
{
        (void)state;
        assert_int_equal(clock_slew(START_US, START_US + 3600 * US_PER_S, US_PER_S, true), START_US + 3600 * US_PER_S);
        assert_int_equal(clock_slew(START_US, START_US + 59 * US_PER_S, US_PER_S, true), START_US + CLOCK_SLEW_PPM);
        assert_true(clock_slew(START_US, START_US - 3600 * US_PER_S, US_PER_S, true) >= START_US - CLOCK_SLEW_PPM);
        assert_true(clock_may_leap(CLOCK_SURE_US, CLOCK_EARLY_US - 1));
        assert_false(clock_may_leap(CLOCK_SURE_US, CLOCK_EARLY_US));
        assert_true(clock_may_leap(0, 1000 * US_PER_S)); /* in 1970 */
}

static void *read_it(void *arg)
{
        int64_t *back_us = arg, before_us = clock_wall_us();
        for (int i = 0; i < 200000; i++) {
                int64_t now_us = clock_wall_us();
                if (before_us - now_us > *back_us)
                        *back_us = before_us - now_us;
                before_us = now_us;
        }
        return NULL;
}

static void test_it_is_the_time_and_goes_on_for_every_thread(void **state)
{
        pthread_t threads[3];
        int64_t back_us[3] = {0};
        (void)state;
        assert_in_range(llabs(clock_offset_us()), 0, US_PER_S);
        for (int i = 0; i < 3; i++)
                pthread_create(&threads[i], NULL, read_it, &back_us[i]);
        for (int i = 0; i < 3; i++) {
                pthread_join(threads[i], NULL);
                assert_in_range(back_us[i], 0, 200);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_step_of_the_system_clock_moves_nothing_at_once),
                cmocka_unit_test(test_a_step_is_followed_in_time_and_then_kept),
                cmocka_unit_test(test_looking_seldom_follows_as_fast_as_looking_often),
                cmocka_unit_test(test_a_machine_that_came_up_without_the_time_gets_it_at_once_but_never_goes_back),
                cmocka_unit_test(test_it_is_the_time_and_goes_on_for_every_thread),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
