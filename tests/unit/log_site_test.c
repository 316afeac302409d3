/* log_site: a place of the source writes so many lines, and says how many more there were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/daemon/log_site.h"

#define FMT "peer=%s msg=\"refused\""

static struct log_more more;

/* How many of `lines` may be written, from `at_us` on, a microsecond apart. */
static unsigned write_lines(struct log_site *site, const char *peer, enum log_level level, unsigned lines, int64_t at_us)
{
        unsigned written = 0;
        struct log_more told;
        more.count = 0;
        for (unsigned i = 0; i < lines; i++) {
                written += log_site_take(site, peer, level, FMT, at_us + i, &told);
                if (told.count)
                        more = told;
        }
        return written;
}

static void test_a_site_writes_its_lines_and_then_counts(void **state)
{
        static struct log_site site = {.place = "a.c:1"};
        (void)state;
        assert_int_equal(write_lines(&site, NULL, LOG_WARN, 20000, 5), LOG_SITE_LINES);
        assert_int_equal(more.count, 0);
        assert_int_equal(write_lines(&site, NULL, LOG_WARN, 1, LOG_WINDOW_US + 5), 1);
        assert_int_equal(more.count, 20000 - LOG_SITE_LINES);
        assert_string_equal(more.place, "a.c:1");
        assert_string_equal(more.fmt, FMT);
        assert_int_equal(more.level, LOG_WARN);
        assert_int_equal(more.of_peer, 0);
        assert_false(log_site_due(INT64_MAX, &more));
}

static void test_debugging_has_more_lines(void **state)
{
        static struct log_site site = {.place = "a.c:2"};
        (void)state;
        assert_int_equal(write_lines(&site, NULL, LOG_DEBUG, 20000, 5), LOG_SITE_DEBUG_LINES);
        assert_true(log_site_due(INT64_MAX, &more));
}

static void test_what_was_left_out_is_told_even_when_nothing_follows(void **state)
{
        static struct log_site site = {.place = "a.c:3"};
        (void)state;
        write_lines(&site, NULL, LOG_INFO, LOG_SITE_LINES + 7, 5);
        assert_false(log_site_due(LOG_WINDOW_US + 4, &more));
        assert_true(log_site_due(LOG_WINDOW_US + 5, &more));
        assert_int_equal(more.count, 7);
        assert_false(log_site_due(LOG_WINDOW_US + 5, &more));
        assert_int_equal(write_lines(&site, NULL, LOG_INFO, 1, LOG_WINDOW_US + 6), 1);
        assert_int_equal(more.count, 0); /* not twice */
}

static void test_a_site_that_left_out_nothing_tells_nothing(void **state)
{
        static struct log_site site = {.place = "a.c:4"};
        (void)state;
        assert_int_equal(write_lines(&site, NULL, LOG_INFO, LOG_SITE_LINES, 5), LOG_SITE_LINES);
        assert_false(log_site_due(INT64_MAX, &more));
}

static void test_one_peer_takes_no_lines_from_another(void **state)
{
        static struct log_peer peers[LOG_PEERS];
        static struct log_site site = {.place = "a.c:5", .peers = peers};
        (void)state;
        assert_int_equal(write_lines(&site, "10.0.0.1", LOG_WARN, 1000, 5), LOG_PEER_LINES);
        assert_int_equal(write_lines(&site, "10.0.0.2", LOG_WARN, 12, 5), LOG_PEER_LINES);
        assert_true(log_site_due(INT64_MAX, &more));
        assert_int_equal(more.count, 1012 - 2 * LOG_PEER_LINES);
        assert_int_equal(more.of_peer, 1000 - LOG_PEER_LINES);
        assert_string_equal(more.peer, "10.0.0.1");
}

static void test_a_peer_is_the_same_one_at_another_port(void **state)
{
        static struct log_peer peers[LOG_PEERS];
        static struct log_site site = {.place = "a.c:6", .peers = peers};
        unsigned written = 0;
        char name[64];
        (void)state;
        for (int i = 0; i < 100; i++) {
                snprintf(name, sizeof(name), "10.0.0.1:%d", 40000 + i);
                written += write_lines(&site, name, LOG_WARN, 1, 5);
                snprintf(name, sizeof(name), "[2001:db8::1]:%d", 40000 + i);
                written += write_lines(&site, name, LOG_WARN, 1, 5);
        }
        assert_int_equal(written, 2 * LOG_PEER_LINES);
        assert_string_equal(peers[0].name, "10.0.0.1");
        assert_string_equal(peers[1].name, "[2001:db8::1]");
        write_lines(&site, "2001:db8::2", LOG_WARN, 1, 5); /* that is no port */
        assert_string_equal(peers[2].name, "2001:db8::2");
        log_site_due(INT64_MAX, &more);
}

static void test_any_number_of_peers_has_a_bound_together(void **state)
{
        static struct log_peer peers[LOG_PEERS];
        static struct log_site site = {.place = "a.c:7", .peers = peers};
        unsigned written = 0;
        char name[64];
        (void)state;
        for (int i = 0; i < 100000; i++) {
                snprintf(name, sizeof(name), "10.%d.%d.%d:4711", i >> 16, i >> 8 & 255, i & 255);
                written += write_lines(&site, name, LOG_WARN, 1, 5);
        }
        assert_true(written <= LOG_PEERS * LOG_PEER_LINES);
        assert_true(log_site_due(INT64_MAX, &more));
        assert_int_equal(more.count, 100000 - written);
        assert_string_equal(more.peer, "others");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_site_writes_its_lines_and_then_counts),
                cmocka_unit_test(test_debugging_has_more_lines),
                cmocka_unit_test(test_what_was_left_out_is_told_even_when_nothing_follows),
                cmocka_unit_test(test_a_site_that_left_out_nothing_tells_nothing),
                cmocka_unit_test(test_one_peer_takes_no_lines_from_another),
                cmocka_unit_test(test_a_peer_is_the_same_one_at_another_port),
                cmocka_unit_test(test_any_number_of_peers_has_a_bound_together),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
