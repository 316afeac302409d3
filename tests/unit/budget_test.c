/* budget: what all connections keep together is bounded, and the largest has to go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ingestd/budget.h"

static void test_within_the_limit_nobody_has_to_go(void **state)
{
        struct budget b;
        struct budget_share s[2] = {{0}};
        (void)state;
        budget_init(&b, 1000);
        assert_null(budget_excess(&b));
        budget_set(&b, &s[0], 600);
        budget_set(&b, &s[1], 400);
        assert_int_equal(b.bytes, 1000);
        assert_null(budget_excess(&b));
        budget_set(&b, &s[1], 401);
        assert_non_null(budget_excess(&b));
        budget_set(&b, &s[1], 0);
        assert_null(budget_excess(&b));
        assert_int_equal(b.bytes, 600);
}

static void test_the_largest_goes_first_and_of_equals_the_one_that_was_there_first(void **state)
{
        struct budget b;
        struct budget_share s[4] = {{0}};
        (void)state;
        budget_init(&b, 1000);
        budget_set(&b, &s[0], 300);
        budget_set(&b, &s[1], 60000);
        budget_set(&b, &s[2], 65000);
        budget_set(&b, &s[3], 65535);
        budget_set(&b, &s[1], 50000); /* keeps its place */
        assert_ptr_equal(budget_excess(&b), &s[1]);
        budget_set(&b, &s[1], 200);
        assert_ptr_equal(budget_excess(&b), &s[2]);
        budget_leave(&s[2]);
        budget_leave(&s[2]);
        assert_ptr_equal(budget_excess(&b), &s[3]);
        budget_leave(&s[3]);
        assert_null(budget_excess(&b));
        assert_int_equal(b.bytes, 500);
}

static void test_who_is_let_in_is_counted_with_broadcasters_and_no_longer_with_strangers(void **state)
{
        struct budget strangers, live;
        struct budget_share s[2] = {{0}};
        (void)state;
        budget_init(&strangers, 1000);
        budget_init(&live, 10000);
        budget_set(&strangers, &s[0], 900);
        budget_set(&strangers, &s[1], 800);
        assert_ptr_equal(budget_excess(&strangers), &s[0]);
        budget_set(&live, &s[0], 5000);
        assert_int_equal(strangers.bytes, 800);
        assert_int_equal(live.bytes, 5000);
        assert_null(budget_excess(&strangers));
        budget_set(&strangers, &s[1], 1001);
        assert_ptr_equal(budget_excess(&strangers), &s[1]);
        assert_null(budget_excess(&live));
        budget_leave(&s[0]);
        assert_int_equal(live.bytes, 0);
}

static void test_sizes_beyond_four_gigabytes_are_one(void **state)
{
        struct budget b;
        struct budget_share s[2] = {{0}};
        (void)state;
        budget_init(&b, 1000);
        budget_set(&b, &s[0], SIZE_MAX / 4);
        budget_set(&b, &s[1], (size_t)1 << 33);
        assert_ptr_equal(budget_excess(&b), &s[0]);
        budget_leave(&s[0]);
        budget_leave(&s[1]);
        assert_int_equal(b.bytes, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_within_the_limit_nobody_has_to_go),
                cmocka_unit_test(test_the_largest_goes_first_and_of_equals_the_one_that_was_there_first),
                cmocka_unit_test(test_who_is_let_in_is_counted_with_broadcasters_and_no_longer_with_strangers),
                cmocka_unit_test(test_sizes_beyond_four_gigabytes_are_one),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
