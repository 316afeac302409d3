/* A connection over a long way has the congestion control that bears loss, and one over a short way what it had. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cluster/long_way.h"

static int ends[2];

static const char *has(int fd)
{
        static char name[16];
        socklen_t len = sizeof(name) - 1;
        memset(name, 0, sizeof(name));
        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len), 0);
        return name;
}

/* Two ends that have said something, so that the kernel has measured how far they are apart. */
static int setup(void **state)
{
        (void)state;
        char byte = 0;
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof(a);
        int listener = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
        assert_int_equal(listen(listener, 1), 0);
        assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &len), 0);
        ends[0] = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(setsockopt(ends[0], IPPROTO_TCP, TCP_CONGESTION, "reno", 4), 0);
        assert_int_equal(connect(ends[0], (struct sockaddr *)&a, sizeof(a)), 0);
        ends[1] = accept(listener, NULL, NULL);
        close(listener);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(write(ends[i], &byte, 1), 1);
                assert_int_equal(read(ends[1 - i], &byte, 1), 1);
        }
        return 0;
}

static int teardown(void **state)
{
        (void)state;
        close(ends[0]);
        close(ends[1]);
        return 0;
}

static bool there_is_bbr(void)
{
        int fd = socket(AF_INET, SOCK_STREAM, 0), rc = setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "bbr", 3);
        close(fd);
        return rc == 0;
}

static void test_a_short_way_stays_as_it_is_and_is_looked_at_again(void **state)
{
        (void)state;
        assert_false(long_way_fit(ends[0], LONG_WAY_US));
        assert_string_equal(has(ends[0]), "reno");
}

static struct tcp_info info_of(int fd)
{
        struct tcp_info info = {0};
        socklen_t len = sizeof(info);
        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
        return info;
}

/* What it sent is acknowledged late, as by a peer that is busy or behind a queue: its usual round trip is long then, its least is not. */
static void make_slow(int fd, int peer)
{
        int no = 0;
        char byte = 0;
        for (int i = 0; i < 100 && info_of(fd).tcpi_rtt < 10000; i++) {
                assert_int_equal(setsockopt(peer, IPPROTO_TCP, TCP_QUICKACK, &no, sizeof(no)), 0);
                assert_int_equal(write(fd, &byte, 1), 1);
                assert_int_equal(read(peer, &byte, 1), 1);
                while (info_of(fd).tcpi_unacked)
                        poll(NULL, 0, 1);
        }
        assert_true(info_of(fd).tcpi_rtt >= 10000);
}

static void test_a_near_peer_that_is_slow_is_no_long_way(void **state)
{
        (void)state;
        make_slow(ends[0], ends[1]);
        long least_us = info_of(ends[0]).tcpi_min_rtt;
        assert_true(least_us < 10000);
        assert_false(long_way_fit(ends[0], least_us + 1));
        assert_string_equal(has(ends[0]), "reno");
}

static void test_a_long_way_bears_loss_where_the_kernel_can(void **state)
{
        (void)state;
        assert_true(long_way_fit(ends[0], 0));
        assert_string_equal(has(ends[0]), there_is_bbr() ? "bbr" : "reno");
}

static void test_what_is_no_connection_is_no_long_way(void **state)
{
        (void)state;
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_false(long_way_fit(fd, 1));
        assert_false(long_way_fit(STDIN_FILENO, 1));
        close(fd);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_a_short_way_stays_as_it_is_and_is_looked_at_again),
                TEST(test_a_near_peer_that_is_slow_is_no_long_way),
                TEST(test_a_long_way_bears_loss_where_the_kernel_can),
                TEST(test_what_is_no_connection_is_no_long_way),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
