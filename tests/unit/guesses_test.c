#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "ingestd/guesses.h"

#define START INT64_C(1000000)

static void wrong(struct guesses *g, const char *address, int n, int64_t now_us)
{
        while (n-- > 0)
                guesses_wrong(g, address, now_us);
}

static void test_ten_wrong_keys_close_an_address_and_time_opens_it(void **state)
{
        struct guesses *g = calloc(1, sizeof(*g));
        (void)state;
        wrong(g, "192.0.2.1:1000", GUESSES_AT_ONCE - 1, START);
        assert_true(guesses_may_try(g, "192.0.2.1:2000", START));
        wrong(g, "192.0.2.1:3000", 1, START);
        assert_false(guesses_may_try(g, "192.0.2.1:4000", START));
        assert_false(guesses_may_try(g, "192.0.2.1:4000", START + GUESS_EVERY_US - 1));
        assert_true(guesses_may_try(g, "192.0.2.1:4000", START + GUESS_EVERY_US));
        wrong(g, "192.0.2.1:3000", 1, START + GUESS_EVERY_US); /* one try, and it was wrong too */
        assert_false(guesses_may_try(g, "192.0.2.1:4000", START + GUESS_EVERY_US));
        assert_true(guesses_may_try(g, "192.0.2.1:4000", START + 2 * GUESS_EVERY_US));
        assert_true(guesses_may_try(g, "192.0.2.2:4000", START));
        free(g);
}

static void test_an_old_guess_counts_no_more(void **state)
{
        struct guesses *g = calloc(1, sizeof(*g));
        (void)state;
        for (int i = 0; i < 100; i++)
                wrong(g, "192.0.2.1:1", 1, START + i * GUESS_EVERY_US);
        assert_true(guesses_may_try(g, "192.0.2.1:1", START + 99 * GUESS_EVERY_US));
        free(g);
}

static void test_one_person_has_a_whole_64(void **state)
{
        struct guesses *g = calloc(1, sizeof(*g));
        (void)state;
        wrong(g, "[2001:db8:0:1::5]:1", 5, START);
        wrong(g, "[2001:db8:0:1:ffff::6]:1", 5, START);
        assert_false(guesses_may_try(g, "[2001:db8:0:1:a:b:c:d]:9", START));
        assert_true(guesses_may_try(g, "[2001:db8:0:2::5]:1", START));
        free(g);
}

static void test_a_full_table_forgets_who_guessed_least(void **state)
{
        struct guesses *g = calloc(1, sizeof(*g));
        char address[32];
        (void)state;
        wrong(g, "192.0.2.1:1", GUESSES_AT_ONCE, START);
        for (int i = 0; i < 2 * GUESSES_ADDRESSES_MAX; i++) {
                snprintf(address, sizeof(address), "10.0.%d.%d:1", i >> 8, i & 255);
                wrong(g, address, 1, START);
        }
        assert_false(guesses_may_try(g, "192.0.2.1:1", START));
        free(g);
}

static void test_what_is_no_address_is_one_address(void **state)
{
        struct guesses *g = calloc(1, sizeof(*g));
        (void)state;
        wrong(g, "?", GUESSES_AT_ONCE, START);
        assert_false(guesses_may_try(g, "no address at all, and a long one: 0000000000000000000000000000000000000000000", START));
        assert_true(guesses_may_try(g, "192.0.2.1:1", START));
        free(g);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_ten_wrong_keys_close_an_address_and_time_opens_it),
                cmocka_unit_test(test_an_old_guess_counts_no_more),
                cmocka_unit_test(test_one_person_has_a_whole_64),
                cmocka_unit_test(test_a_full_table_forgets_who_guessed_least),
                cmocka_unit_test(test_what_is_no_address_is_one_address),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
