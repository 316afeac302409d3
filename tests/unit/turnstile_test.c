/* turnstile: one address begins so many streams a second and has so many at once; who comes in a crowd waits in line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "ingestd/turnstile.h"

#define HERE "192.0.2.1:1000"
#define THERE "192.0.2.2:1000"

static struct turnstile *fresh(void)
{
        static struct turnstile s;
        turnstile_init(&s);
        s.streams.secret = 1; /* with which the addresses here share no counter */
        return &s;
}

static void test_a_seconds_worth_begins_at_once_and_the_rest_in_line(void **state)
{
        struct turnstile *s = fresh();
        int64_t now = 100 * US_PER_S;
        (void)state;
        for (int i = 0; i < 10; i++)
                assert_int_equal(turnstile_when(s, HERE, 10, now), now);
        for (int i = 1; i <= 40; i++)
                assert_int_equal(turnstile_when(s, "192.0.2.1:2", 10, now), now + i * US_PER_S / 10);
        for (int i = 0; i < 3; i++) /* asking in vain makes the line no longer */
                assert_int_equal(turnstile_when(s, HERE, 10, now), TURNSTILE_NEVER);
        assert_int_equal(turnstile_when(s, THERE, 10, now), now);
        now += US_PER_S;
        assert_int_equal(turnstile_when(s, HERE, 10, now), now + 31 * US_PER_S / 10);
}

static void test_after_a_second_without_all_may_come_again(void **state)
{
        struct turnstile *s = fresh();
        int64_t now = 100 * US_PER_S;
        (void)state;
        for (int i = 0; i < 10; i++)
                turnstile_when(s, HERE, 10, now);
        now += US_PER_S / 2;
        for (int i = 0; i < 5; i++)
                assert_int_equal(turnstile_when(s, HERE, 10, now), now);
        assert_true(turnstile_when(s, HERE, 10, now) > now);
        now += 2 * US_PER_S;
        for (int i = 0; i < 10; i++)
                assert_int_equal(turnstile_when(s, HERE, 10, now), now);
}

static void test_a_rate_of_none_is_none(void **state)
{
        struct turnstile *s = fresh();
        (void)state;
        for (int i = 0; i < 1000; i++)
                assert_int_equal(turnstile_when(s, HERE, 0, 5), 5);
        assert_int_equal(turnstile_when(s, HERE, 1, 5), 5);
}

static void test_streams_of_an_address_at_once_are_bounded(void **state)
{
        struct turnstile *s = fresh();
        (void)state;
        for (int i = 0; i < 3; i++)
                assert_true(turnstile_enter(s, HERE, 3));
        assert_false(turnstile_enter(s, "192.0.2.1:2", 3));
        assert_true(turnstile_enter(s, THERE, 3));
        assert_true(turnstile_enter(s, HERE, 4)); /* the configuration was read again */
        turnstile_leave(s, HERE);
        assert_false(turnstile_enter(s, HERE, 3));
        turnstile_leave(s, HERE);
        assert_true(turnstile_enter(s, HERE, 3));
        for (int i = 0; i < 1000; i++)
                assert_true(turnstile_enter(s, HERE, 0));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_seconds_worth_begins_at_once_and_the_rest_in_line),
                cmocka_unit_test(test_after_a_second_without_all_may_come_again),
                cmocka_unit_test(test_a_rate_of_none_is_none),
                cmocka_unit_test(test_streams_of_an_address_at_once_are_bounded),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
