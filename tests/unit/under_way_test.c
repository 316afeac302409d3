/* under_way: what is on its way to a port is bounded, by memory that is really there; who is slow goes first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/cluster/under_way.h"

#define MIB (1u << 20)

static struct under_way u;
static struct message_under_way m[8];

static int set_up(void **state)
{
        (void)state;
        for (int i = 0; i < 8; i++)
                m[i] = (struct message_under_way){0};
        under_way_init(&u, 64 * MIB);
        return 0;
}

static int nothing_is_left(void **state)
{
        (void)state;
        for (int i = 0; i < 8; i++)
                under_way_end(&u, &m[i]);
        return u.bytes != 0 || u.ended_bytes != 0 || u.first || u.last != &u.first;
}

static void test_the_one_that_has_come_for_longest_goes(void **state)
{
        (void)state;
        for (int i = 0; i < 4; i++)
                under_way_begin(&u, &m[i], 16 * MIB);
        assert_null(under_way_excess(&u));
        under_way_end(&u, &m[0]); /* taken */
        under_way_begin(&u, &m[0], 16 * MIB);
        under_way_begin(&u, &m[4], 1);
        assert_ptr_equal(under_way_excess(&u), &m[1]);
        under_way_ended(&u, &m[1]);
        assert_null(under_way_excess(&u));
        assert_false(under_way_full(&u));
}

static void test_a_message_that_is_whole_is_not_its_senders_to_hasten(void **state)
{
        (void)state;
        under_way_begin(&u, &m[0], 40 * MIB);
        under_way_arrived(&u, &m[0]);
        under_way_begin(&u, &m[1], 10 * MIB);
        under_way_begin(&u, &m[2], 20 * MIB);
        assert_ptr_equal(under_way_excess(&u), &m[1]);
        under_way_ended(&u, &m[1]);
        under_way_begin(&u, &m[3], 30 * MIB); /* it alone with what is whole would be too much */
        assert_ptr_equal(under_way_excess(&u), &m[2]);
        under_way_ended(&u, &m[2]);
        assert_ptr_equal(under_way_excess(&u), &m[3]);
}

static void test_all_is_whole_and_the_next_one_is_too_much(void **state)
{
        (void)state;
        under_way_begin(&u, &m[0], 64 * MIB);
        under_way_arrived(&u, &m[0]);
        under_way_begin(&u, &m[1], 1);
        under_way_arrived(&u, &m[1]);
        assert_null(under_way_excess(&u));
        assert_true(under_way_full(&u));
}

/* A connection that was shut down gives its memory back when nng has seen that: until then it is there. */
static void test_what_goes_counts_until_it_is_gone(void **state)
{
        (void)state;
        for (int i = 0; i < 6; i++) {
                under_way_begin(&u, &m[i], 32 * MIB);
                if (under_way_excess(&u))
                        under_way_ended(&u, under_way_excess(&u));
                assert_int_equal(under_way_full(&u), i >= 4); /* 64 and 64 MiB */
        }
        assert_int_equal(u.bytes, 192 * MIB);
        under_way_end(&u, &m[0]);
        under_way_end(&u, &m[0]);
        under_way_end(&u, &m[1]);
        assert_false(under_way_full(&u));
        assert_int_equal(u.bytes, 128 * MIB);
}

static void test_a_message_of_nothing_is_none(void **state)
{
        (void)state;
        under_way_begin(&u, &m[0], 0);
        under_way_arrived(&u, &m[0]);
        under_way_ended(&u, &m[0]);
        under_way_begin(&u, &m[0], 1);
        assert_int_equal(u.bytes, 1);
        assert_int_equal(u.ended_bytes, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_the_one_that_has_come_for_longest_goes, set_up, nothing_is_left),
                cmocka_unit_test_setup_teardown(test_a_message_that_is_whole_is_not_its_senders_to_hasten, set_up, nothing_is_left),
                cmocka_unit_test_setup_teardown(test_all_is_whole_and_the_next_one_is_too_much, set_up, nothing_is_left),
                cmocka_unit_test_setup_teardown(test_what_goes_counts_until_it_is_gone, set_up, nothing_is_left),
                cmocka_unit_test_setup_teardown(test_a_message_of_nothing_is_none, set_up, nothing_is_left),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
