#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "edged/hedge.h"

#define T0 (1000 * US_PER_S)

static void test_patience_is_a_guess_until_there_are_samples(void **state)
{
        (void)state;
        struct hedge h;
        hedge_init(&h);
        for (int i = 0; i < HEDGE_SAMPLES_MIN - 1; i++)
                hedge_sample(&h, HEDGE_GROWING, 100 * US_PER_MS);
        assert_int_equal(hedge_after_us(&h, HEDGE_THERE), HEDGE_THERE_US);
        assert_int_equal(hedge_after_us(&h, HEDGE_GROWING), HEDGE_GROWING_US);
        assert_int_equal(hedge_p95_us(&h, HEDGE_GROWING), 0);
        hedge_sample(&h, HEDGE_GROWING, 100 * US_PER_MS);
        assert_int_equal(hedge_after_us(&h, HEDGE_GROWING), 100 * US_PER_MS);
        assert_int_equal(hedge_after_us(&h, HEDGE_THERE), HEDGE_THERE_US); /* the other kind's figure is its own */
}

static void test_patience_is_the_95th_percentile_of_what_was_recent(void **state)
{
        (void)state;
        struct hedge h;
        hedge_init(&h);
        for (int i = 0; i < 10 * HEDGE_SAMPLES; i++) /* 0 … 99 ms, every value as often */
                hedge_sample(&h, HEDGE_THERE, (i * 37 % 100) * US_PER_MS);
        assert_in_range(hedge_after_us(&h, HEDGE_THERE), 90 * US_PER_MS, 99 * US_PER_MS);
        for (int i = 0; i < HEDGE_SAMPLES; i++)
                hedge_sample(&h, HEDGE_THERE, 40 * US_PER_MS + i);
        assert_in_range(hedge_after_us(&h, HEDGE_THERE), 40 * US_PER_MS, 41 * US_PER_MS); /* the old ones are forgotten */
}

static void test_patience_is_bounded(void **state)
{
        (void)state;
        struct hedge h;
        hedge_init(&h);
        for (int i = 0; i < HEDGE_SAMPLES; i++) {
                hedge_sample(&h, HEDGE_THERE, i % 2 ? 0 : -5);
                hedge_sample(&h, HEDGE_GROWING, 60 * US_PER_S);
        }
        assert_int_equal(hedge_after_us(&h, HEDGE_THERE), HEDGE_LEAST_US);
        assert_int_equal(hedge_after_us(&h, HEDGE_GROWING), HEDGE_MOST_US);
}

static void test_a_tenth_of_the_fetches_may_be_sent_twice(void **state)
{
        (void)state;
        struct hedge h;
        unsigned sent = 0;
        hedge_init(&h);
        for (int i = 0; i < 10000; i++) {
                hedge_earn(&h);
                if (hedge_may(&h, 7, T0)) {
                        hedge_spend(&h, 7, T0);
                        sent++;
                }
        }
        assert_in_range(sent, 1000, 1000 + HEDGE_BURST);
}

static void test_leaving_a_silent_node_needs_no_budget(void **state)
{
        (void)state;
        struct hedge h;
        hedge_init(&h);
        while (hedge_may(&h, 7, T0))
                hedge_spend(&h, 7, T0);
        hedge_late(&h, 7, T0);
        assert_false(hedge_may(&h, 7, T0 + HEDGE_SILENT_US - 1));
        assert_true(hedge_may(&h, 7, T0 + HEDGE_SILENT_US));
        assert_false(hedge_may(&h, 8, T0 + HEDGE_SILENT_US));
        unsigned before = h.budget;
        hedge_spend(&h, 7, T0 + HEDGE_SILENT_US);
        assert_int_equal(h.budget, before);
        hedge_heard(&h, 7);
        assert_false(hedge_may(&h, 7, T0 + HEDGE_SILENT_US)); /* it is slow, not silent */
}

static void test_a_late_node_is_avoided_until_it_says_something_or_long_enough(void **state)
{
        (void)state;
        struct hedge h;
        hedge_init(&h);
        hedge_late(&h, 1, T0);
        hedge_late(&h, 2, T0);
        hedge_late(&h, 2, T0 + US_PER_S); /* late again: still counts from the first time */
        hedge_heard(&h, 1);
        struct node_set set = {0};
        hedge_avoid(&h, T0 + HEDGE_LATE_US - 1, &set);
        assert_int_equal(set.count, 1);
        assert_true(node_set_has(&set, 2));
        set.count = 0;
        hedge_avoid(&h, T0 + HEDGE_LATE_US, &set);
        assert_int_equal(set.count, 0);
}

static void test_more_late_nodes_than_are_remembered_do_no_harm(void **state)
{
        (void)state;
        struct hedge h;
        struct node_set set = {0};
        hedge_init(&h);
        for (uint64_t node = 1; node <= 3 * UPSTREAM_NODES_MAX; node++)
                hedge_late(&h, node, T0);
        hedge_avoid(&h, T0, &set);
        assert_int_equal(set.count, UPSTREAM_NODES_MAX);
        hedge_late(&h, 1000, T0 + HEDGE_LATE_US); /* the places of those whose time is over are free */
        set.count = 0;
        hedge_avoid(&h, T0 + HEDGE_LATE_US, &set);
        assert_int_equal(set.count, 1);
        assert_true(node_set_has(&set, 1000));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_patience_is_a_guess_until_there_are_samples),
                cmocka_unit_test(test_patience_is_the_95th_percentile_of_what_was_recent),
                cmocka_unit_test(test_patience_is_bounded),
                cmocka_unit_test(test_a_tenth_of_the_fetches_may_be_sent_twice),
                cmocka_unit_test(test_leaving_a_silent_node_needs_no_budget),
                cmocka_unit_test(test_a_late_node_is_avoided_until_it_says_something_or_long_enough),
                cmocka_unit_test(test_more_late_nodes_than_are_remembered_do_no_harm),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
