#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/clock.h"
#include "edged/addresses.h"

static struct addresses *as;
static atomic_uint *count;

static struct address address(const char *text)
{
        struct address a;
        assert_true(address_forwarded(&a, text));
        return a;
}

static int open_them(void **state)
{
        (void)state;
        as = addresses_open(&(struct addresses_config){.connections = 3, .requests_of_one_s = 100, .misses_of_one_s = 2, .misses_s = 10, .shakes_of_one_s = 3,
                                                .shakes_s = 4});
        return 0;
}

static int close_them(void **state)
{
        (void)state;
        addresses_close(as);
        return 0;
}

static void test_an_ipv6_address_is_one_of_its_network(void **state)
{
        (void)state;
        struct address a = address("2001:db8::1"), b = address("10.0.0.1, [2001:db8::ffff:2] "), c = address("2001:db8:0:1::1"), d;
        assert_memory_equal(&a, &b, sizeof(a));
        assert_memory_not_equal(&a, &c, sizeof(a));
        a = address("192.0.2.1");
        b = address("unknown, 192.0.2.1");
        c = address("192.0.2.2");
        d = address("::ffff:192.0.2.2");
        assert_memory_equal(&a, &b, sizeof(a));
        assert_memory_not_equal(&a, &c, sizeof(a));
        assert_memory_equal(&c, &d, sizeof(c));
        a = address("192.0.2.1:40123"); /* as some balancers say it */
        assert_memory_equal(&a, &b, sizeof(a));
        a = address("[2001:db8::1]:40123");
        b = address("2001:db8::1");
        assert_memory_equal(&a, &b, sizeof(a));
        static const char *const none[] = {"", ",", "192.0.2.1:", "192.0.2.1:x", ":80", "unknown", "192.0.2.1,", "1.2.3", "192.0.2.1, x", "_hidden", "192.0.2.1192.0.2.1192.0.2.1192.0.2.1192.0.2.1"};
        for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
                assert_false(address_forwarded(&a, none[i]));
        assert_false(address_forwarded(&a, NULL));
        assert_true(address_is_none(&a));
}

static void test_an_address_has_its_share_of_connections_and_others_theirs(void **state)
{
        (void)state;
        struct address a = address("192.0.2.1"), b = address("192.0.2.2"), none = {0};
        for (int i = 0; i < 3; i++)
                assert_true(addresses_enter(as, &a, &count));
        assert_int_equal(*count, 3);
        assert_false(addresses_enter(as, &a, &count));
        assert_true(addresses_enter(as, &b, &count));
        assert_int_equal(*count, 1);
        for (int i = 0; i < 100; i++)
                assert_true(addresses_enter(as, &none, &count));
        addresses_leave(as, &a);
        assert_true(addresses_enter(as, &a, &count));
        assert_false(addresses_enter(as, &a, &count));
        for (int i = 0; i < 3; i++)
                addresses_leave(as, &a);
        addresses_leave(as, &b);
        addresses_leave(as, &none);
}

static unsigned pays(const struct address *a, int64_t now_us)
{
        unsigned n = 0;
        while (n < 1000 && addresses_pay(as, a, now_us) == ADDRESSES_YES)
                n++;
        return n;
}

static void test_an_address_has_so_many_misses_and_all_together_so_many(void **state)
{
        (void)state;
        struct address a = address("192.0.2.1"), b = address("192.0.2.2"), none = {0};
        int64_t now = 50 * US_PER_S;
        assert_int_equal(pays(&a, now), 10);
        assert_int_equal(addresses_pay(as, &a, now), ADDRESSES_ONE_FULL);
        assert_int_equal(pays(&a, now + US_PER_S), 2);
        assert_int_equal(pays(&b, now + US_PER_S), 10);
        now += 100 * US_PER_S;
        assert_int_equal(pays(&none, now), 50);
        assert_int_equal(addresses_pay(as, &a, now), ADDRESSES_ALL_FULL);
        assert_int_equal(addresses_pay(as, &none, now), ADDRESSES_ALL_FULL);
        assert_int_equal(pays(&none, now + US_PER_S), 10);
}

static void test_handshakes_have_accounts_of_their_own(void **state)
{
        (void)state;
        struct address a = address("192.0.2.1"), b = address("192.0.2.2"), none = {0};
        int64_t now = 50 * US_PER_S;
        unsigned n = 0;
        assert_int_equal(pays(&none, now), 50);
        while (addresses_shake(as, &a, now) == ADDRESSES_YES)
                n++;
        assert_int_equal(n, 3 * ADDRESSES_BURST_S);
        assert_int_equal(addresses_shake(as, &a, now), ADDRESSES_ONE_FULL);
        for (; addresses_shake(as, &none, now) == ADDRESSES_YES; n++)
                ;
        assert_int_equal(n, 4 * ADDRESSES_BURST_S);
        assert_int_equal(addresses_shake(as, &b, now), ADDRESSES_ALL_FULL);
        assert_int_equal(addresses_shake(as, &b, now + US_PER_S), ADDRESSES_YES);
        assert_int_equal(pays(&none, now), 0);
}

static void test_what_was_found_costs_nothing(void **state)
{
        (void)state;
        struct address a = address("192.0.2.1");
        for (int i = 0; i < 1000; i++) {
                assert_int_equal(addresses_pay(as, &a, 50 * US_PER_S), ADDRESSES_YES);
                addresses_pay_back(as, &a);
        }
        assert_int_equal(pays(&a, 50 * US_PER_S), 10);
}

static void test_a_hundred_thousand_addresses_are_not_kept(void **state)
{
        (void)state;
        struct address first = address("10.0.0.0"), held = address("192.0.2.9");
        assert_true(addresses_enter(as, &held, &count));
        for (unsigned i = 0; i < 100000; i++) {
                char text[32];
                snprintf(text, sizeof(text), "10.%u.%u.%u", i >> 16 & 255, i >> 8 & 255, i & 255);
                struct address a = address(text);
                assert_true(addresses_enter(as, &a, &count));
                addresses_leave(as, &a);
        }
        assert_true(addresses_pay(as, &first, 1) == ADDRESSES_YES);
        addresses_leave(as, &held); /* who has connections is never forgotten */
}

static void test_an_address_has_a_seconds_worth_of_requests_and_then_as_many_as_the_rate_says(void **state)
{
        (void)state;
        struct address a = address("192.0.2.1"), b = address("192.0.2.2");
        atomic_uint *of_a, *again, *of_b;
        int64_t now_us = 7 * US_PER_S;
        assert_true(addresses_enter(as, &a, &of_a) && addresses_enter(as, &a, &again) && addresses_enter(as, &b, &of_b));
        for (int i = 0; i < 100; i++)
                assert_true(addresses_ask(as, i % 2 ? of_a : again, now_us));
        assert_false(addresses_ask(as, of_a, now_us) || addresses_ask(as, again, now_us));
        assert_true(addresses_ask(as, of_b, now_us)); /* others notice nothing */
        unsigned let_in = 0;
        for (int64_t end_us = now_us + 10 * US_PER_S; now_us < end_us; now_us += US_PER_MS)
                let_in += addresses_ask(as, of_a, now_us);
        assert_in_range(let_in, 998, 1000);
        assert_true(addresses_ask(as, NULL, now_us)); /* a balancer's */
        for (int i = 0; i < 2; i++)
                addresses_leave(as, &a);
        addresses_leave(as, &b);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_them, close_them)
        const struct CMUnitTest tests[] = {
                TEST(test_an_ipv6_address_is_one_of_its_network),
                TEST(test_an_address_has_its_share_of_connections_and_others_theirs),
                TEST(test_an_address_has_so_many_misses_and_all_together_so_many),
                TEST(test_what_was_found_costs_nothing),
                TEST(test_handshakes_have_accounts_of_their_own),
                TEST(test_an_address_has_a_seconds_worth_of_requests_and_then_as_many_as_the_rate_says),
                TEST(test_a_hundred_thousand_addresses_are_not_kept),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
