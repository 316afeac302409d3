/* The sockets of one port: an edge's threads share it, and nobody else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "edged/wire/server.h"

#define VIEWERS 128

static int connect_to(int port)
{
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        return fd;
}

static unsigned accept_all(int fd)
{
        unsigned count = 0;
        for (int c; (c = accept(fd, NULL, NULL)) >= 0; count++)
                close(c);
        return count;
}

/* By hash, so that one of the two gets nothing once in 2^127 times. */
static void test_each_socket_of_a_port_has_a_part_of_who_connects(void **state)
{
        (void)state;
        int viewers[VIEWERS], first = listen_open("127.0.0.1", 0, false), second = listen_open("127.0.0.1", listen_port(first), true);
        assert_true(first >= 0 && second >= 0);
        for (int i = 0; i < VIEWERS; i++)
                viewers[i] = connect_to(listen_port(first));
        unsigned of_first = accept_all(first), of_second = accept_all(second);
        assert_true(of_first > 0 && of_second > 0);
        assert_int_equal(of_first + of_second, VIEWERS);
        for (int i = 0; i < VIEWERS; i++)
                close(viewers[i]);
        close(first);
        close(second);
}

static void assert_in_use(const char *address, int port)
{
        errno = 0;
        assert_int_equal(listen_open(address, port, false), -1);
        assert_int_equal(errno, EADDRINUSE);
}

static void test_a_port_that_somebody_listens_at_is_in_use(void **state)
{
        (void)state;
        int first = listen_open("127.0.0.1", 0, false), port = listen_port(first), second;
        assert_in_use("127.0.0.1", port);
        assert_in_use("0.0.0.0", port);
        second = listen_open("127.0.0.1", port, true);
        close(first);
        assert_in_use("127.0.0.1", port); /* whichever of the sockets is left */
        close(second);
}

/* One that drains has viewers and listens no more: the next one takes the port over. */
static void test_a_port_is_free_once_nobody_listens_though_viewers_are_there_yet(void **state)
{
        (void)state;
        int first = listen_open("127.0.0.1", 0, false), port = listen_port(first), second = listen_open("127.0.0.1", port, true);
        int viewers[8];
        for (int i = 0; i < 8; i++)
                viewers[i] = connect_to(port);
        int served = accept(first, NULL, NULL);
        served = served >= 0 ? served : accept(second, NULL, NULL);
        assert_true(served >= 0);
        shutdown(first, SHUT_RDWR);
        shutdown(second, SHUT_RDWR);
        int next = listen_open("127.0.0.1", port, false);
        assert_true(next >= 0);
        int viewer = connect_to(port);
        assert_int_equal(accept_all(next), 1);
        for (int i = 0; i < 8; i++)
                close(viewers[i]);
        close(viewer);
        close(next);
        close(served);
        close(first);
        close(second);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_socket_of_a_port_has_a_part_of_who_connects),
                cmocka_unit_test(test_a_port_that_somebody_listens_at_is_in_use),
                cmocka_unit_test(test_a_port_is_free_once_nobody_listens_though_viewers_are_there_yet),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
