/* The rhythm of pictures: what is foreseen, which ones a limited rung keeps, how many a rung has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "transcoderd/encode/cadence.h"

#define SOME 600

/* A picture's time as RTMP has it: whole milliseconds. */
static int64_t rtmp_us(int64_t n, int64_t num, int64_t den)
{
        return (n * 1000 * den / num) * 1000;
}

struct limited { /* what a rung does with a source */
        struct cadence cadence;
        struct fps_limit limit;
        uint32_t declared_milli;
        int fps_max, halvings;
        int kept[SOME * 2], count; /* numbers of pictures */
};

static void picture(struct limited *l, int n, int64_t pts_us)
{
        cadence_add(&l->cadence, pts_us);
        uint32_t rate_milli = cadence_rate_milli(&l->cadence, l->declared_milli);
        unsigned every = fps_limit_every(&l->limit, rate_milli, l->fps_max * 1000) << l->halvings;
        if (fps_limit_keep(&l->limit, every))
                l->kept[l->count++] = n;
}

static void assert_steps(const struct limited *l, int from, int step)
{
        assert_true(l->count > from + 10);
        for (int i = from; i + 1 < l->count; i++)
                if (l->kept[i + 1] - l->kept[i] != step)
                        fail_msg("pictures %d and %d are kept, the step is %d", l->kept[i], l->kept[i + 1], step);
}

static void test_a_limited_rung_keeps_even_steps_and_as_many_pictures_as_are_allowed(void **state)
{
        (void)state;
        static const struct {
                int num, den, fps_max, step;
        } cases[] = {
                {25, 1, 15, 2},       {25, 1, 10, 3},       {30, 1, 15, 2},       {15, 1, 15, 1},       {24, 1, 15, 2},
                {72, 1, 30, 3},       {72, 1, 60, 2},       {75, 1, 30, 3},       {75, 1, 60, 2},       {60, 1, 30, 2},
                {60, 1, 15, 4},       {50, 1, 30, 2},       {50, 1, 15, 4},       {48, 1, 30, 2},       {48, 1, 25, 2},
                {60000, 1001, 30, 2}, {60000, 1001, 60, 1}, {30000, 1001, 15, 2}, {30000, 1001, 30, 1}, {24000, 1001, 24, 1},
                {24000, 1001, 15, 2}, {120, 1, 60, 2},      {120, 1, 30, 4},      {100, 1, 30, 4},      {90, 1, 30, 3},
                {24, 1, 30, 1},       {25, 1, 30, 1},       {30, 1, 30, 1},       {60, 1, 60, 1},       {120, 1, 0, 1},
                {125, 4, 30, 1},      {125, 2, 60, 1},      {25, 1, 24, 1}, /* 6 % more are let through */
                {127, 2, 60, 1}, /* measured as 63 and as 64 */
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                for (int declared = 0; declared < 2; declared++) {
                        struct limited l = {.fps_max = cases[i].fps_max};
                        if (declared)
                                l.declared_milli = (uint32_t)((int64_t)cases[i].num * 1000 / cases[i].den);
                        for (int n = 0; n < SOME; n++)
                                picture(&l, n, 7 * US_PER_MS + rtmp_us(n, cases[i].num, cases[i].den));
                        assert_steps(&l, declared ? 0 : 9, cases[i].step);
                }
}

static void test_timestamps_that_jitter_leave_the_steps_even(void **state)
{
        (void)state;
        static const int fps[] = {24, 30, 60}, fps_max[] = {30, 15, 60}, step[] = {1, 2, 1};
        for (int i = 0; i < 3; i++) {
                struct limited l = {.fps_max = fps_max[i], .declared_milli = (uint32_t)fps[i] * 1000};
                unsigned random = 5;
                for (int n = 0; n < SOME; n++) {
                        random = random * 1103515245 + 12345;
                        picture(&l, n, rtmp_us(n, fps[i], 1) + (int)(random >> 16) % 13 * US_PER_MS);
                }
                assert_steps(&l, 0, step[i]);
        }
}

static void test_a_lost_picture_does_not_change_the_steps(void **state)
{
        (void)state;
        struct limited l = {.fps_max = 15, .declared_milli = 25000};
        for (int n = 0, came = 0; n < SOME; n++)
                if (n % 50 != 33)
                        picture(&l, came++, rtmp_us(n, 25, 1));
        assert_steps(&l, 0, 2);
}

static void test_a_rate_that_changes_in_mid_broadcast_is_followed_within_a_few_pictures(void **state)
{
        (void)state;
        static const int rates[][2] = {{30, 60}, {60, 30}, {25, 50}, {120, 24}};
        for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
                struct limited l = {.fps_max = 30, .declared_milli = (uint32_t)rates[i][0] * 1000};
                int64_t until_us = rtmp_us(SOME, rates[i][0], 1);
                for (int n = 0; n < SOME; n++)
                        picture(&l, n, rtmp_us(n, rates[i][0], 1));
                int before = l.count;
                for (int n = 0; n < SOME; n++)
                        picture(&l, SOME + n, until_us + rtmp_us(n, rates[i][1], 1));
                assert_steps(&l, before + 9, rates[i][1] > 31 ? 2 : 1);
        }
}

static void test_halving_a_limited_rung_keeps_the_steps_even(void **state)
{
        (void)state;
        struct limited l = {.fps_max = 15, .declared_milli = 25000, .halvings = 1};
        for (int n = 0; n < SOME; n++)
                picture(&l, n, rtmp_us(n, 25, 1));
        assert_steps(&l, 0, 4);
}

static void test_a_limit_that_begins_anew_keeps_the_next_picture(void **state)
{
        (void)state;
        struct limited l = {.fps_max = 15, .declared_milli = 25000};
        for (int n = 0; n < 26; n++)
                picture(&l, n, rtmp_us(n, 25, 1));
        assert_int_equal(l.kept[l.count - 1], 24);
        fps_limit_restart(&l.limit);
        picture(&l, 26, rtmp_us(26, 25, 1));
        assert_int_equal(l.kept[l.count - 1], 26);
        picture(&l, 27, rtmp_us(27, 25, 1));
        assert_int_equal(l.kept[l.count - 1], 26);
}

static void test_steady_rates_are_foreseen_and_unsteady_ones_are_not(void **state)
{
        (void)state;
        static const int64_t rates[][2] = {{24, 1}, {25, 1}, {30000, 1001}, {30, 1}, {50, 1}, {60, 1}};
        for (size_t r = 0; r < sizeof(rates) / sizeof(rates[0]); r++) {
                struct cadence c = {0};
                for (int64_t n = 0; n < 20; n++) {
                        assert_int_equal(cadence_steady(&c), n >= 5);
                        cadence_add(&c, rtmp_us(n, rates[r][0], rates[r][1]));
                }
                assert_in_range(cadence_interval_us(&c), US_PER_S * rates[r][1] / rates[r][0] - 300,
                                US_PER_S * rates[r][1] / rates[r][0] + 300);
                cadence_add(&c, c.last_us + 90000);
                assert_false(cadence_steady(&c));
        }
}

static void test_announced_rate_is_the_sources_or_a_fraction_of_it(void **state)
{
        (void)state;
        assert_int_equal(cadence_fps_milli(29970, 33250), 29970);
        assert_int_equal(cadence_fps_milli(60000, 33333), 30000);
        assert_int_equal(cadence_fps_milli(25000, 80000), 12500);
        assert_int_equal(cadence_fps_milli(0, 33333), 30000);
        assert_int_equal(cadence_fps_milli(0, 33250), 30000);
        assert_int_equal(cadence_fps_milli(0, 41600), 24000);
        assert_int_equal(cadence_fps_milli(0, 20000), 50000);
        assert_int_equal(cadence_fps_milli(1000, 40000), 25000);
        assert_int_equal(cadence_fps_milli(0, 0), 30000);
}

static void pace(struct pace *p, int64_t from_us, int64_t interval_us, int64_t until_us)
{
        for (int64_t us = from_us; us < until_us; us += interval_us)
                pace_add(p, us, 0);
}

static void test_a_rungs_pictures_are_counted_by_segments(void **state)
{
        (void)state;
        static const int64_t intervals_us[] = {200000, 80000, 41667, 33333, 20000, 16667, 8333};
        static const uint32_t milli[] = {5000, 12500, 24000, 30000, 50000, 60000, 120000};
        for (size_t i = 0; i < sizeof(milli) / sizeof(milli[0]); i++) {
                struct pace p = {0};
                pace(&p, 5000, intervals_us[i], 3 * US_PER_S);
                assert_int_equal(p.segments, 2);
                assert_int_equal(pace_milli(&p), milli[i]);
        }
        struct pace p = {0};
        pace(&p, 700000, 10000, US_PER_S + 1);
        assert_int_equal(pace_milli(&p), 0); /* hardly begun */
        pace(&p, US_PER_S + 20000, 40000, 2 * US_PER_S);
        pace_add(&p, 400 * US_PER_S, 0);
        assert_int_equal(pace_milli(&p), 21667); /* 26 of them in 1.2 s, not in 399 s */
}

static void test_more_pictures_are_another_rate_at_once_and_fewer_after_a_while(void **state)
{
        (void)state;
        struct pace p = {0};
        assert_false(pace_is_another(&p, 30000));
        pace(&p, 0, 20000, US_PER_S + 1);
        assert_true(pace_is_another(&p, 30000));
        assert_false(pace_is_another(&p, 50000));
        for (int s = 1; s < 4; s++) {
                pace(&p, s * US_PER_S + 40000, 40000, (s + 1) * US_PER_S + 1);
                assert_false(pace_is_another(&p, 50000)); /* it had 50 a moment ago */
        }
        pace(&p, 4 * US_PER_S + 40000, 40000, 5 * US_PER_S + 1);
        assert_true(pace_is_another(&p, 50000));
        assert_false(pace_is_another(&p, 24000)); /* near enough */
        assert_int_equal(pace_milli(&p), 25000);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_limited_rung_keeps_even_steps_and_as_many_pictures_as_are_allowed),
                cmocka_unit_test(test_timestamps_that_jitter_leave_the_steps_even),
                cmocka_unit_test(test_a_lost_picture_does_not_change_the_steps),
                cmocka_unit_test(test_a_rate_that_changes_in_mid_broadcast_is_followed_within_a_few_pictures),
                cmocka_unit_test(test_halving_a_limited_rung_keeps_the_steps_even),
                cmocka_unit_test(test_a_limit_that_begins_anew_keeps_the_next_picture),
                cmocka_unit_test(test_steady_rates_are_foreseen_and_unsteady_ones_are_not),
                cmocka_unit_test(test_announced_rate_is_the_sources_or_a_fraction_of_it),
                cmocka_unit_test(test_a_rungs_pictures_are_counted_by_segments),
                cmocka_unit_test(test_more_pictures_are_another_rate_at_once_and_fewer_after_a_while),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
