/* handshakes: what is open and what is begun are bounded, for one address and in sum. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/clock.h"
#include "ingestd/handshakes.h"

static struct handshakes h;
static struct handshake at[8];
static const struct handshake_limits limits = {.most = 3, .most_of_address = 2, .per_s = 4, .per_s_of_address = 2};

static int set_up(void **state)
{
        (void)state;
        for (int i = 0; i < 8; i++)
                at[i] = (struct handshake){0};
        handshakes_init(&h, &limits);
        return 0;
}

static void test_the_oldest_gives_way_when_there_are_as_many_as_there_may_be(void **state)
{
        (void)state;
        for (int i = 0; i < 3; i++)
                assert_null(handshakes_begin(&h, &at[i]));
        assert_ptr_equal(handshakes_begin(&h, &at[3]), &at[0]);
        handshakes_end(&h, &at[0]);
        handshakes_end(&h, &at[0]);
        handshakes_end(&h, &at[2]); /* from the middle */
        assert_null(handshakes_begin(&h, &at[4]));
        assert_ptr_equal(handshakes_begin(&h, &at[5]), &at[1]);
        handshakes_end(&h, &at[5]); /* the last */
        assert_ptr_equal(handshakes_begin(&h, &at[6]), &at[1]);
        assert_int_equal(h.count, 4);
        for (int i = 0; i < 8; i++)
                handshakes_end(&h, &at[i]);
        assert_int_equal(h.count, 0);
        assert_null(handshakes_begin(&h, &at[0]));
}

static void test_one_address_may_have_a_few_and_others_theirs(void **state)
{
        (void)state;
        for (int i = 0; i < 4; i++)
                handshakes_begin(&h, &at[i]);
        assert_true(handshakes_address(&h, &at[0], "192.0.2.1:1"));
        assert_true(handshakes_address(&h, &at[1], "192.0.2.1:2"));
        assert_false(handshakes_address(&h, &at[2], "192.0.2.1:3"));
        assert_true(handshakes_address(&h, &at[3], "192.0.2.2:1"));
        handshakes_end(&h, &at[2]); /* was not counted for its address */
        handshakes_begin(&h, &at[2]);
        assert_false(handshakes_address(&h, &at[2], "192.0.2.1:3"));
        handshakes_end(&h, &at[0]);
        assert_true(handshakes_address(&h, &at[2], "192.0.2.1:3"));
}

static bool work(int i, const char *address, int64_t now_us)
{
        handshakes_end(&h, &at[i]);
        handshakes_begin(&h, &at[i]);
        assert_true(handshakes_address(&h, &at[i], address));
        return handshakes_work(&h, &at[i], now_us);
}

static void test_so_many_a_second_of_one_address_and_so_many_of_all(void **state)
{
        int64_t now_us = 100 * US_PER_S;
        (void)state;
        assert_true(work(0, "192.0.2.1:1", now_us));
        assert_true(handshakes_work(&h, &at[0], now_us)); /* the same one */
        assert_true(work(0, "192.0.2.1:2", now_us));
        assert_false(work(0, "192.0.2.1:3", now_us));
        assert_true(work(1, "192.0.2.2:1", now_us));
        assert_true(work(2, "192.0.2.3:1", now_us));
        assert_false(work(3, "192.0.2.4:1", now_us)); /* four of all */
        assert_true(work(3, "192.0.2.5:1", now_us + US_PER_S / 4));
        assert_false(work(0, "192.0.2.1:4", now_us + US_PER_S / 2 - 1));
        assert_true(work(0, "192.0.2.1:4", now_us + US_PER_S / 2));
}

static void test_those_of_whom_no_address_is_known_are_bounded_too(void **state)
{
        (void)state;
        handshakes_begin(&h, &at[0]);
        handshakes_begin(&h, &at[1]);
        handshakes_begin(&h, &at[2]);
        assert_true(handshakes_work(&h, &at[0], US_PER_S));
        assert_true(handshakes_work(&h, &at[1], US_PER_S));
        assert_false(handshakes_work(&h, &at[2], US_PER_S));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_the_oldest_gives_way_when_there_are_as_many_as_there_may_be, set_up),
                cmocka_unit_test_setup(test_one_address_may_have_a_few_and_others_theirs, set_up),
                cmocka_unit_test_setup(test_so_many_a_second_of_one_address_and_so_many_of_all, set_up),
                cmocka_unit_test_setup(test_those_of_whom_no_address_is_known_are_bounded_too, set_up),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
