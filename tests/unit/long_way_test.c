/* A connection over a long way has the congestion control that bears loss, and one over a short way what it had. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
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

static void test_a_long_way_bears_loss_where_the_kernel_can(void **state)
{
        (void)state;
        assert_true(long_way_fit(ends[0], 1));
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
                TEST(test_a_long_way_bears_loss_where_the_kernel_can),
                TEST(test_what_is_no_connection_is_no_long_way),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
