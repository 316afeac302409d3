#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "ingestd/newcomers.h"

static void test_an_address_has_a_bound_and_others_are_not_touched_by_it(void **state)
{
        static struct newcomers n;
        (void)state;
        newcomers_init(&n, 3);
        n.secret = 1; /* with which the addresses here share no counter */
        for (int i = 0; i < 3; i++)
                assert_true(newcomers_enter(&n, i ? "192.0.2.1:1000" : "192.0.2.1:2000"));
        assert_false(newcomers_enter(&n, "192.0.2.1:3000"));
        assert_true(newcomers_enter(&n, "192.0.2.2:1000"));
        assert_true(newcomers_enter(&n, "[2001:db8::1]:1000"));
        newcomers_leave(&n, "192.0.2.1:1000");
        assert_true(newcomers_enter(&n, "192.0.2.1:3000"));
        assert_false(newcomers_enter(&n, "192.0.2.1:4000"));
}

static void test_each_process_shares_counters_in_its_own_way(void **state)
{
        static struct newcomers a, b;
        (void)state;
        newcomers_init(&a, 3);
        newcomers_init(&b, 3);
        assert_true(a.secret != b.secret);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_an_address_has_a_bound_and_others_are_not_touched_by_it),
                cmocka_unit_test(test_each_process_shares_counters_in_its_own_way),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
