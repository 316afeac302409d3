/* The queue before a kind's thread: what waits in it, how long, and what does not wait at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/err.h"
#include "transcoderd/encode/intake.h"

#define MS US_PER_MS
#define LONG_AGO INT64_MIN
#define LATER INT64_MAX /* all that was pushed is due */

static struct intake in;

static int set_up(void **state)
{
        (void)state;
        intake_init(&in);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        intake_fini(&in);
        return 0;
}

static void push_as(int64_t dts_us, uint8_t flags)
{
        struct buf *b = buf_copy("x", 1);
        struct frame f = {.dts_us = dts_us, .flags = flags, .bytes = b};
        intake_push(&in, &f);
        buf_unref(&b);
}

static void push(int64_t dts_us)
{
        push_as(dts_us, 0);
}

static void take(int64_t expected_us)
{
        struct frame f;
        assert_int_equal(intake_take(&in, &f, 0), 0);
        assert_int_equal(f.dts_us, expected_us);
        buf_unref(&f.bytes);
}

static void come_back_for_more(void)
{
        struct frame f;
        assert_int_equal(intake_take(&in, &f, 0), ERR_TIMEOUT);
}

static void test_a_frame_waits_until_the_thread_comes_back_for_the_next_one(void **state)
{
        (void)state;
        assert_int_equal(intake_late_us(&in, LONG_AGO, LATER), 0);
        for (int i = 0; i < 50; i++)
                push(i * 40 * MS);
        assert_int_equal(intake_late_us(&in, LONG_AGO, LATER), 49 * 40 * MS);
        take(0); /* it is being decoded, and waits as much as those behind it */
        assert_int_equal(intake_late_us(&in, LONG_AGO, LATER), 49 * 40 * MS);
        for (int i = 1; i < 50; i++)
                take(i * 40 * MS);
        assert_int_equal(intake_late_us(&in, LONG_AGO, LATER), 0); /* nothing newer is there */
        push(50 * 40 * MS);
        assert_int_equal(intake_late_us(&in, LONG_AGO, LATER), 40 * MS);
        take(50 * 40 * MS);
        come_back_for_more();
        assert_int_equal(intake_late_us(&in, LONG_AGO, LATER), 0);
}

/* The publisher stood still for a minute: that nothing came is nothing that waits, not even when something comes again. */
static void test_time_in_which_nothing_came_is_no_lateness(void **state)
{
        (void)state;
        push(0);
        take(0);
        come_back_for_more();
        push(60 * US_PER_S);
        assert_int_equal(intake_late_us(&in, LONG_AGO, LATER), 0);
        push(60 * US_PER_S + 40 * MS);
        assert_int_equal(intake_late_us(&in, LONG_AGO, LATER), 40 * MS);
        take(60 * US_PER_S);
        take(60 * US_PER_S + 40 * MS);
        come_back_for_more();
        assert_int_equal(intake_late_us(&in, LONG_AGO, LATER), 0);
}

static void test_what_is_ahead_of_its_time_is_not_late(void **state)
{
        (void)state;
        for (int i = 0; i < 100; i++)
                push(i * 40 * MS);
        assert_int_equal(intake_late_us(&in, LONG_AGO, -60 * US_PER_S), 0);
        assert_int_equal(intake_late_us(&in, LONG_AGO, 0), 0);
        assert_int_equal(intake_late_us(&in, LONG_AGO, 500 * MS), 500 * MS);
}

/* A publisher at 0.9 of its speed: slate stands already where its frames belong. */
static void test_what_has_no_place_any_more_is_not_late(void **state)
{
        (void)state;
        for (int i = 0; i < 100; i++)
                push(i * 40 * MS);
        assert_int_equal(intake_late_us(&in, 3 * US_PER_S, LATER), 99 * 40 * MS - 3 * US_PER_S);
        assert_int_equal(intake_late_us(&in, 10 * US_PER_S, LATER), 0);
}

static void test_a_clock_that_goes_back_makes_nothing_late(void **state)
{
        (void)state;
        push(10 * US_PER_S);
        take(10 * US_PER_S);
        come_back_for_more();
        push(2 * US_PER_S); /* another broadcaster's, which was there before */
        assert_int_equal(intake_late_us(&in, 10 * US_PER_S, LATER), 0);
}

static void test_a_configuration_waits_as_long_as_what_came_before_it(void **state)
{
        (void)state;
        push_as(77 * US_PER_S, FRAME_CONFIG); /* the proxy's now, or 0 */
        assert_int_equal(intake_late_us(&in, LONG_AGO, LATER), 0);
        push(2 * US_PER_S);
        assert_int_equal(intake_late_us(&in, LONG_AGO, LATER), 0);
        push_as(0, FRAME_CONFIG);
        push(2 * US_PER_S + 40 * MS);
        assert_int_equal(intake_late_us(&in, 2 * US_PER_S - 40 * MS, LATER), 80 * MS);
        take(77 * US_PER_S);
        take(2 * US_PER_S);
        take(0);
        assert_int_equal(intake_late_us(&in, LONG_AGO, LATER), 40 * MS);
}

static void test_lateness_is_right_however_many_frames_there_were(void **state)
{
        (void)state;
        for (int i = 0; i < 3 * INTAKE_TIMES; i++) {
                push(i * 20 * MS);
                if (i >= 200)
                        take((i - 200) * 20 * MS);
                assert_int_equal(intake_late_us(&in, LONG_AGO, LATER), (i < 200 ? i : 200) * 20 * MS);
        }
}

static void test_the_end_waits_for_nothing(void **state)
{
        (void)state;
        struct frame f;
        push(0);
        push(US_PER_S);
        intake_end(&in);
        take(0);
        take(US_PER_S);
        assert_int_equal(intake_take(&in, &f, 0), 0);
        assert_null(f.bytes);
        assert_int_equal(intake_late_us(&in, LONG_AGO, LATER), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_a_frame_waits_until_the_thread_comes_back_for_the_next_one),
                TEST(test_time_in_which_nothing_came_is_no_lateness),
                TEST(test_what_is_ahead_of_its_time_is_not_late),
                TEST(test_what_has_no_place_any_more_is_not_late),
                TEST(test_a_clock_that_goes_back_makes_nothing_late),
                TEST(test_a_configuration_waits_as_long_as_what_came_before_it),
                TEST(test_lateness_is_right_however_many_frames_there_were),
                TEST(test_the_end_waits_for_nothing),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
