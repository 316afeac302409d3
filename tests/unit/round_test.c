#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "common/err.h"
#include "edged/round.h"

static enum round_verdict after(const int *said, unsigned count, bool was_due)
{
        struct round r;
        round_begin(&r);
        for (unsigned i = 0; i < count; i++)
                round_heard(&r, i + 1, said[i], 1000 - i);
        return round_end(&r, was_due);
}

static void test_missing_is_what_all_say_of_what_was_never_due(void **state)
{
        (void)state;
        static const int no[] = {ERR_NOT_FOUND, ERR_NOT_FOUND}, lost[] = {ERR_NOT_FOUND, ERR_TIMEOUT}, due[] = {ERR_NOT_YET, ERR_NOT_FOUND};
        assert_int_equal(after(no, 0, false), ROUND_NOBODY);
        assert_int_equal(after(no, 1, false), ROUND_MISSING);
        assert_int_equal(after(no, 2, false), ROUND_MISSING);
        assert_int_equal(after(no, 2, true), ROUND_PAUSE);
        assert_int_equal(after(lost, 2, false), ROUND_PAUSE);
        assert_int_equal(after(due, 2, true), ROUND_PAUSE);
}

static void test_a_node_that_was_too_busy_to_be_asked_may_have_it(void **state)
{
        (void)state;
        struct round r;
        round_begin(&r);
        r.busy = true;
        assert_int_equal(round_end(&r, false), ROUND_PAUSE);
        round_heard(&r, 1, ERR_NOT_FOUND, 1000);
        assert_int_equal(round_end(&r, false), ROUND_PAUSE);
        round_begin(&r);
        assert_int_equal(round_end(&r, false), ROUND_NOBODY);
}

static void test_too_deep_is_what_all_say(void **state)
{
        (void)state;
        struct round r;
        round_begin(&r);
        round_heard(&r, 1, ERR_LIMIT, 0);
        assert_int_equal(round_end(&r, false), ROUND_TOO_DEEP);
        assert_int_equal(round_end(&r, true), ROUND_TOO_DEEP);
        r.busy = true;
        assert_int_equal(round_end(&r, false), ROUND_PAUSE);
        r.busy = false;
        round_heard(&r, 2, ERR_NOT_FOUND, 1000);
        assert_int_equal(round_end(&r, false), ROUND_PAUSE);
}

static void test_the_shortest_time_that_it_is_missing_for_counts(void **state)
{
        (void)state;
        struct round r;
        round_begin(&r);
        round_heard(&r, 1, ERR_NOT_FOUND, 700);
        round_heard(&r, 2, ERR_NOT_FOUND, 200);
        round_heard(&r, 3, ERR_FULL, 5);
        assert_int_equal(r.missing_ttl_ms, 200);
        round_begin(&r);
        round_heard(&r, 1, ERR_NOT_FOUND, 700);
        assert_int_equal(r.missing_ttl_ms, 700);
}

static void test_when_a_node_waited_the_next_round_follows_at_once(void **state)
{
        (void)state;
        struct round r;
        round_begin(&r);
        round_heard(&r, 1, ERR_NOT_YET, 0);
        assert_int_equal(round_end(&r, true), ROUND_PAUSE);
        r.waited = true;
        assert_int_equal(round_end(&r, true), ROUND_AGAIN);
}

static void test_only_so_many_are_asked_and_each_once(void **state)
{
        (void)state;
        struct round r;
        round_begin(&r);
        for (unsigned i = 0; i < ROUND_NODES_MAX - 1; i++)
                round_heard(&r, i + 1, ERR_FULL, 0);
        round_heard(&r, 1, ERR_FULL, 0);
        assert_false(round_is_full(&r));
        round_heard(&r, ROUND_NODES_MAX, ERR_FULL, 0);
        assert_true(round_is_full(&r));
        assert_true(node_set_has(&r.tried, 1));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_missing_is_what_all_say_of_what_was_never_due),
                cmocka_unit_test(test_a_node_that_was_too_busy_to_be_asked_may_have_it),
                cmocka_unit_test(test_too_deep_is_what_all_say),
                cmocka_unit_test(test_the_shortest_time_that_it_is_missing_for_counts),
                cmocka_unit_test(test_when_a_node_waited_the_next_round_follows_at_once),
                cmocka_unit_test(test_only_so_many_are_asked_and_each_once),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
