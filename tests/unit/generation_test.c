/* generation: what is named in vain, and how far ahead anybody can get. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "proto/generation.h"

static void test_the_limit_is_the_seconds_since_1970_and_some_that_clocks_differ_by(void **state)
{
        (void)state;
        assert_int_equal(generation_limit(INT64_C(1800000000) * US_PER_S), 1800000000 + GENERATION_CLOCKS_S);
        assert_int_equal(generation_limit(INT64_C(1800000001) * US_PER_S), 1800000001 + GENERATION_CLOCKS_S);
}

static void test_a_clock_that_is_wrong_leaves_more_than_any_stream_uses_and_never_the_last(void **state)
{
        (void)state;
        assert_int_equal(generation_limit(0), GENERATION_LEAST_LIMIT);
        assert_int_equal(generation_limit(INT64_MIN), GENERATION_LEAST_LIMIT);
        assert_int_equal(generation_limit(INT64_MAX - GENERATION_CLOCKS_S * US_PER_S), UINT32_MAX - 1);
}

static void test_the_last_generation_is_none(void **state)
{
        (void)state;
        uint32_t limit = generation_limit(clock_wall_us());
        assert_true(generation_possible(0));
        assert_true(generation_possible(limit));
        assert_false(generation_possible(limit + 60));
        assert_false(generation_possible(UINT32_MAX));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_limit_is_the_seconds_since_1970_and_some_that_clocks_differ_by),
                cmocka_unit_test(test_a_clock_that_is_wrong_leaves_more_than_any_stream_uses_and_never_the_last),
                cmocka_unit_test(test_the_last_generation_is_none),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
