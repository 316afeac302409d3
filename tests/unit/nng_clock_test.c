/* nng's timers go by a clock that nobody sets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <nng/nng.h>
#include <nng/supplemental/util/platform.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/cluster/nng_clock.h"

static void test_nngs_time_is_the_monotonic_one_and_ours_is_what_it_was(void **state)
{
        (void)state;
        if (!nng_clock_is_steady())
                skip(); /* nng is part of the program, or a sanitizer is */
        assert_in_range(llabs((int64_t)nng_clock() - clock_mono_us() / US_PER_MS), 0, 1000);
        assert_true(clock_real_us() > CLOCK_SURE_US);
}

static void test_what_waits_in_nng_has_waited_for_as_long_as_was_said(void **state)
{
        int64_t before_us = clock_mono_us();
        (void)state;
        nng_msleep(50);
        assert_in_range(clock_mono_us() - before_us, 49 * US_PER_MS, 30 * US_PER_S);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nngs_time_is_the_monotonic_one_and_ours_is_what_it_was),
                cmocka_unit_test(test_what_waits_in_nng_has_waited_for_as_long_as_was_said),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
