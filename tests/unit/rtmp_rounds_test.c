/* Who is read when: a stranger who has been heard is heard again, however many others come new. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ingestd/rtmp_server.c" /* its turns are looked at from inside */

#define TURNS 60
#define NEW_ONES 2 /* a turn, in which one can be read */

static int port;

static int stranger(void)
{
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
        assert_int_equal(send(fd, "\3", 1, 0), 1);
        return fd;
}

static void on_closed(void *arg)
{
        *(bool *)arg = true;
}

static void test_who_was_heard_is_heard_again_beside_any_number_that_come_new(void **state)
{
        (void)state;
        static char nobody[] = "";
        char *proxy_from = nobody;
        uv_loop_t loop;
        struct rtmp_server *s;
        struct sockaddr_in at;
        int len = sizeof(at), fds[1 + TURNS * NEW_ONES], count = 0;
        bool closed = false;
        struct rtmp_server_setup setup = {.limits = RTMP_LIMITS_DEFAULT, .proxy_from = &proxy_from, .closed = on_closed, .arg = &closed};
        uv_loop_init(&loop);
        rtmp_server_open(&s, &loop, &setup);
        assert_int_equal(rtmp_server_listen(s, "127.0.0.1", 0, NULL), 0);
        assert_int_equal(uv_tcp_getsockname(&s->listeners[0].tcp, (struct sockaddr *)&at, &len), 0);
        port = ntohs(at.sin_port);

        fds[count++] = stranger();
        while (!s->conns || rtmp_session_kept_bytes(s->conns->session) == 0)
                uv_run(&loop, UV_RUN_ONCE);
        struct conn *first = s->conns;
        assert_int_equal(send(fds[0], "x", 1, 0), 1);
        uint64_t read_in = first->read_in;
        int turns = 0;
        for (; turns < TURNS && (first->read_in == read_in || turns < 3); turns++) {
                for (int i = 0; i < NEW_ONES; i++)
                        fds[count++] = stranger();
                if (turns == 1) { /* it has been heard in this round, which has begun */
                        read_in = first->read_in = s->round;
                        assert_int_equal(send(fds[0], "x", 1, 0), 1);
                }
                s->strangers_ns = STRANGERS_TURN_NS - 1;
                uv_run(&loop, UV_RUN_ONCE);
        }
        assert_true(turns < TURNS);

        rtmp_server_close(&s);
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_true(closed);
        assert_int_equal(uv_loop_close(&loop), 0);
        while (count > 0)
                close(fds[--count]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_who_was_heard_is_heard_again_beside_any_number_that_come_new),
        };
        log_init("test", LOG_ERROR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
