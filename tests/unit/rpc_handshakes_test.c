/* rpc_handshakes: handshakes are bounded for one address and in sum, and nodes that were here have a sum of their own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/cluster/rpc_handshakes.h"

#define S INT64_C(1000000)

static struct rpc_handshakes h;
static const struct rpc_handshake_limits limits = {.of_address = 2, .of_all = 4, .of_address_each_us = S, .of_all_each_us = S / 4};

static int set_up(void **state)
{
        (void)state;
        rpc_handshakes_init(&h, &limits);
        h.secret = 1; /* with which those of this file share no counter */
        return 0;
}

static bool may(uint8_t who, int64_t now_us)
{
        const uint8_t address[16] = {[10] = 0xff, 0xff, 192, 0, 2, who};
        return rpc_handshakes_may(&h, address, now_us);
}

static void known(uint8_t who, int64_t now_us)
{
        const uint8_t address[16] = {[10] = 0xff, 0xff, 192, 0, 2, who};
        rpc_handshakes_known(&h, address, now_us);
}

static void test_an_address_has_a_few_at_once_and_one_more_after_a_while(void **state)
{
        (void)state;
        assert_true(may(1, 100 * S) && may(1, 100 * S));
        assert_false(may(1, 100 * S));
        assert_true(may(2, 100 * S));
        assert_false(may(1, 101 * S - 1));
        assert_true(may(1, 101 * S));
        assert_false(may(1, 101 * S));
        assert_true(may(1, 200 * S) && may(1, 200 * S)); /* no more is saved up */
        assert_false(may(1, 200 * S));
}

static void test_all_together_have_a_bound_and_who_is_refused_takes_nothing_of_it(void **state)
{
        (void)state;
        assert_true(may(1, 100 * S) && may(1, 100 * S));
        for (int i = 0; i < 100; i++)
                assert_false(may(1, 100 * S));
        assert_true(may(2, 100 * S) && may(3, 100 * S));
        assert_false(may(4, 100 * S)); /* four of all */
        assert_true(may(4, 100 * S + S / 4));
        assert_false(may(5, 100 * S + S / 4));
}

static void test_a_node_that_was_here_comes_again_beside_any_number_of_strangers(void **state)
{
        (void)state;
        known(9, 100 * S);
        for (uint8_t i = 0; i < 4; i++)
                assert_true(may(i, 101 * S));
        assert_false(may(5, 101 * S));
        assert_true(may(9, 101 * S) && may(9, 101 * S));
        assert_false(may(9, 101 * S)); /* its own share holds for it too */
}

static void test_nodes_have_a_bound_too(void **state)
{
        (void)state;
        for (uint8_t i = 0; i < 5; i++)
                known(i, 100 * S);
        for (uint8_t i = 0; i < 4; i++)
                assert_true(may(i, 101 * S));
        assert_false(may(4, 101 * S));
        assert_true(may(9, 101 * S)); /* strangers' is another */
}

static void test_a_node_that_was_not_here_for_long_is_a_stranger_again(void **state)
{
        int64_t later_us = 100 * S + RPC_HANDSHAKES_KNOWN_US;
        (void)state;
        known(9, 100 * S);
        for (uint8_t i = 0; i < 4; i++)
                assert_true(may(i, later_us - 1));
        assert_true(may(9, later_us - 1));
        assert_false(may(9, later_us));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_an_address_has_a_few_at_once_and_one_more_after_a_while, set_up),
                cmocka_unit_test_setup(test_all_together_have_a_bound_and_who_is_refused_takes_nothing_of_it, set_up),
                cmocka_unit_test_setup(test_a_node_that_was_here_comes_again_beside_any_number_of_strangers, set_up),
                cmocka_unit_test_setup(test_nodes_have_a_bound_too, set_up),
                cmocka_unit_test_setup(test_a_node_that_was_not_here_for_long_is_a_stranger_again, set_up),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
