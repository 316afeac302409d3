/* The time by which recordings grow old. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "originD/age_clock.h"
#include "originD/log/disk.h"
#include "originD/log/file.h"
#include "originD/stats.h"
#include "tests/unit/until.h"

#define REAL_US (INT64_C(1767225600) * US_PER_S)
#define HOUR_US (3600 * US_PER_S)
#define BOOT_US (500 * US_PER_S)

static struct age_clock c;
static int64_t real_us, boot_us;

static int setup(void **state)
{
        (void)state;
        real_us = REAL_US;
        boot_us = BOOT_US;
        age_clock_begin(&c, 0, 0, real_us, boot_us);
        return 0;
}

/* So much time passes, and the system's clock is set by step_us besides. */
static int64_t pass(int64_t us, int64_t step_us)
{
        real_us += us + step_us;
        boot_us += us;
        age_clock_look(&c, real_us, boot_us);
        return c.now_us - REAL_US;
}

static void test_it_is_the_systems_clock_while_nobody_sets_that(void **state)
{
        (void)state;
        assert_int_equal(pass(HOUR_US, 0), HOUR_US);
        assert_int_equal(pass(HOUR_US, 2 * US_PER_S), 2 * HOUR_US + 2 * US_PER_S);
        assert_int_equal(pass(HOUR_US, -2 * US_PER_S), 3 * HOUR_US);
        assert_int_equal(stat_get(STAT_AGE_CLOCK_BEHIND_US), 0);
}

static void test_a_step_forwards_is_made_up_at_a_second_a_second(void **state)
{
        (void)state;
        assert_int_equal(pass(US_PER_S, 25 * HOUR_US), 2 * US_PER_S);
        assert_int_equal(stat_get(STAT_AGE_CLOCK_BEHIND_US), 25 * HOUR_US - US_PER_S);
        assert_int_equal(pass(10 * HOUR_US, 0), 20 * HOUR_US + 2 * US_PER_S);
        assert_int_equal(pass(15 * HOUR_US, 0), 50 * HOUR_US + US_PER_S); /* it is the system's again */
        assert_int_equal(stat_get(STAT_AGE_CLOCK_BEHIND_US), 0);
}

static void test_a_step_back_is_followed_at_once_and_so_is_the_one_that_puts_it_right(void **state)
{
        (void)state;
        assert_int_equal(pass(US_PER_S, -25 * HOUR_US), US_PER_S - 25 * HOUR_US);
        assert_int_equal(pass(HOUR_US, 25 * HOUR_US), 0); /* where it was: what passed meanwhile is made up */
        assert_int_equal(pass(HOUR_US, 0), 2 * HOUR_US);
        assert_int_equal(pass(HOUR_US, 25 * HOUR_US), 4 * HOUR_US); /* no further than that */
}

/* As without a battery: it took 56 years until the two agreed. */
static void test_a_machine_that_comes_up_in_1970_goes_on_when_it_is_told_the_time(void **state)
{
        (void)state;
        real_us = 60 * US_PER_S;
        age_clock_begin(&c, REAL_US, 0, real_us, boot_us);
        assert_int_equal(c.now_us, real_us);
        assert_int_equal(pass(US_PER_S, REAL_US), 0);
        assert_int_equal(pass(60 * US_PER_S, 0), 120 * US_PER_S);
        assert_int_equal(pass(US_PER_S, 0), 122 * US_PER_S); /* it is the system's again */
}

static void test_after_a_day_it_is_the_time_before_that_was_wrong(void **state)
{
        (void)state;
        pass(US_PER_S, -100 * HOUR_US);
        for (int n = 0; n < 25; n++)
                pass(HOUR_US, 0);
        assert_int_equal(pass(US_PER_S, 100 * HOUR_US), US_PER_S - 100 * HOUR_US + 25 * HOUR_US + 2 * US_PER_S);
}

static void test_a_start_goes_on_from_what_is_known(void **state)
{
        (void)state;
        age_clock_begin(&c, REAL_US, REAL_US - HOUR_US, REAL_US + 25 * HOUR_US, BOOT_US);
        assert_int_equal(c.now_us, REAL_US);
        age_clock_begin(&c, 0, REAL_US - HOUR_US, REAL_US + 25 * HOUR_US, BOOT_US);
        assert_int_equal(c.now_us, REAL_US - HOUR_US);
        age_clock_begin(&c, REAL_US, 0, REAL_US - 25 * HOUR_US, BOOT_US);
        assert_int_equal(c.now_us, REAL_US - 25 * HOUR_US);
        assert_int_equal(c.reached_us, REAL_US);
        age_clock_begin(&c, 0, 0, REAL_US, BOOT_US);
        assert_int_equal(c.now_us, REAL_US);
}

static void test_it_is_kept_in_a_file_each_minute(void **state)
{
        (void)state;
        char dir[] = "/tmp/age-clock.XXXXXX";
        uv_loop_t loop;
        uv_loop_init(&loop);
        assert_non_null(mkdtemp(dir));
        char *path = mem_printf("%s/.age_clock", dir);
        assert_int_equal(age_clock_load(dir), 0);
        age_clock_save(&c, &loop, dir);
        UNTIL(&loop, !disk_jobs());
        assert_int_equal(age_clock_load(dir), REAL_US);
        pass(59 * US_PER_S, 0);
        age_clock_save(&c, &loop, dir);
        UNTIL(&loop, !disk_jobs());
        assert_int_equal(age_clock_load(dir), REAL_US);
        pass(US_PER_S, 0);
        age_clock_save(&c, &loop, dir);
        UNTIL(&loop, !disk_jobs());
        assert_int_equal(age_clock_load(dir), REAL_US + 60 * US_PER_S);
        assert_int_equal(file_put(path, "nonsense", 8), 0);
        assert_int_equal(age_clock_load(dir), 0);
        /* Of a number alone nobody could tell that it has lost digits, and with it recordings would stay for decades. */
        assert_int_equal(file_put(path, "17672256 2026-01-01T00:00:00.000Z\n", 34), 0);
        assert_int_equal(age_clock_load(dir), 0);
        assert_int_equal(file_put(path, "1767225600", 10), 0);
        assert_int_equal(age_clock_load(dir), 0);
        unlink(path);
        rmdir(dir);
        free(path);
        disk_stop();
        uv_loop_close(&loop);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_it_is_the_systems_clock_while_nobody_sets_that, setup),
                cmocka_unit_test_setup(test_a_step_forwards_is_made_up_at_a_second_a_second, setup),
                cmocka_unit_test_setup(test_a_step_back_is_followed_at_once_and_so_is_the_one_that_puts_it_right, setup),
                cmocka_unit_test_setup(test_a_machine_that_comes_up_in_1970_goes_on_when_it_is_told_the_time, setup),
                cmocka_unit_test_setup(test_after_a_day_it_is_the_time_before_that_was_wrong, setup),
                cmocka_unit_test_setup(test_a_start_goes_on_from_what_is_known, setup),
                cmocka_unit_test_setup(test_it_is_kept_in_a_file_each_minute, setup),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
