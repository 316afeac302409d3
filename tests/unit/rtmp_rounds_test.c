/* Who is read when: a stranger who has been heard is heard again, however many others come new; who has more to say than a turn takes
 * goes on among its like, and has one turn's share of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/rtmp_session_fixture.h"

/* Its turns are looked at from inside; who publishes is the fixture's. */
#define admission_open fake_admit
#define admission_close fake_dismiss
#define publication_begin fake_begin
#define publication_frame fake_frame
#define publication_metadata fake_metadata
#define publication_cue fake_cue
#define publication_look fake_look
#define publication_end fake_end
#include "ingestd/rtmp_conn.c"

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

static char nobody[] = "";
static char *proxy_from = nobody;

static void open_server(uv_loop_t *loop, struct rtmp_server **s, bool *closed)
{
        struct sockaddr_in at;
        int len = sizeof(at);
        struct rtmp_server_setup setup = {.limits = RTMP_LIMITS_DEFAULT, .proxy_from = &proxy_from, .closed = on_closed, .arg = closed};
        *closed = false;
        uv_loop_init(loop);
        rtmp_server_open(s, loop, &setup);
        assert_int_equal(rtmp_server_listen(*s, "127.0.0.1", 0, NULL), 0);
        assert_int_equal(uv_tcp_getsockname(&(*s)->listeners[0].tcp, (struct sockaddr *)&at, &len), 0);
        port = ntohs(at.sin_port);
}

static void close_server(uv_loop_t *loop, struct rtmp_server **s, const bool *closed)
{
        rtmp_server_close(s);
        uv_run(loop, UV_RUN_DEFAULT);
        assert_true(*closed);
        assert_int_equal(uv_loop_close(loop), 0);
}

static void test_who_was_heard_is_heard_again_beside_any_number_that_come_new(void **state)
{
        (void)state;
        uv_loop_t loop;
        struct rtmp_server *s;
        int fds[1 + TURNS * NEW_ONES], count = 0;
        bool closed;
        open_server(&loop, &s, &closed);

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

        close_server(&loop, &s, &closed);
        while (count > 0)
                close(fds[--count]);
}

#define TINY_MESSAGES 2000

/* All that an encoder says until it publishes, and then many messages, in one piece. */
static int broadcaster(struct client *script)
{
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        *script = (struct client){.chunk_size = 128};
        now_testing = script;
        put_be(&script->out, 3, 1);
        put_fill(&script->out, 0, 2 * RTMP_HANDSHAKE_PART);
        connect_command(script, "live", -1);
        command(script, 0, "createStream", 2, NULL);
        command(script, 1, "publish", 3, "cam");
        configuration(script);
        for (int i = 0; i < TINY_MESSAGES; i++)
                media(script, RTMP_AUDIO, (uint32_t)i, "\xaf\1", 2, "x", 1);
        assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
        assert_int_equal(send(fd, script->out.p, script->out.len, 0), script->out.len);
        bytes_free(&script->out);
        return fd;
}

static void test_who_has_just_begun_to_publish_goes_on_among_those_who_do(void **state)
{
        (void)state;
        uv_loop_t loop;
        struct rtmp_server *s;
        struct client script;
        bool closed;
        open_server(&loop, &s, &closed);
        int fd = broadcaster(&script);
        while (!s->conns || !s->conns->behind)
                uv_run(&loop, UV_RUN_ONCE);
        assert_int_equal(script.begins, 1);
        assert_ptr_equal(s->conns->behind, &s->behind_live);
        close_server(&loop, &s, &closed);
        close(fd);
}

/* It goes on before sockets are read, and then there is room again to read it. */
static void test_who_goes_on_and_is_read_in_one_turn_has_one_share_of_it(void **state)
{
        (void)state;
        uv_loop_t loop;
        struct rtmp_server *s;
        struct client script;
        bool closed;
        int most = 0;
        open_server(&loop, &s, &closed);
        int fd = broadcaster(&script);
        while (script.frames < TINY_MESSAGES + 2) {
                int before = script.frames;
                uv_run(&loop, UV_RUN_ONCE);
                most = script.frames - before > most ? script.frames - before : most;
        }
        assert_int_equal(most, RTMP_TURN_MESSAGES);
        close_server(&loop, &s, &closed);
        close(fd);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_who_was_heard_is_heard_again_beside_any_number_that_come_new),
                cmocka_unit_test(test_who_has_just_begun_to_publish_goes_on_among_those_who_do),
                cmocka_unit_test(test_who_goes_on_and_is_read_in_one_turn_has_one_share_of_it),
        };
        log_init("test", LOG_ERROR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
