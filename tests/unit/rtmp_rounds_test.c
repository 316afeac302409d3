/* Who is read when: a stranger who has been heard is heard again, however many others come new; who has more to say than a turn takes
 * goes on among its like, and has one turn's share of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rtmp_server_fixture.h"

#define TURNS 60
#define NEW_ONES 2 /* a turn, in which one can be read */

static int stranger(const struct port *p)
{
        int fd = port_dial(p);
        assert_int_equal(send(fd, "\3", 1, 0), 1);
        return fd;
}

static void test_who_was_heard_is_heard_again_beside_any_number_that_come_new(void **state)
{
        (void)state;
        struct port p;
        int fds[1 + TURNS * NEW_ONES], count = 0;
        port_open(&p, NULL);

        fds[count++] = stranger(&p);
        while (!p.server->conns || rtmp_session_kept_bytes(p.server->conns->session) == 0)
                uv_run(&p.loop, UV_RUN_ONCE);
        struct conn *first = p.server->conns;
        assert_int_equal(send(fds[0], "x", 1, 0), 1);
        uint64_t read_in = first->read_in;
        int turns = 0;
        for (; turns < TURNS && (first->read_in == read_in || turns < 3); turns++) {
                for (int i = 0; i < NEW_ONES; i++)
                        fds[count++] = stranger(&p);
                if (turns == 1) { /* it has been heard in this round, which has begun */
                        read_in = first->read_in = p.server->round;
                        assert_int_equal(send(fds[0], "x", 1, 0), 1);
                }
                p.server->strangers_ns = STRANGERS_TURN_NS - 1;
                uv_run(&p.loop, UV_RUN_ONCE);
        }
        assert_true(turns < TURNS);

        port_close(&p);
        while (count > 0)
                close(fds[--count]);
}

#define TINY_MESSAGES 2000

/* All that an encoder says until it publishes, and then many messages, in one piece. */
static int broadcaster(const struct port *p, struct client *script)
{
        int fd = port_dial(p);
        say_publish(script);
        configuration(script);
        for (int i = 0; i < TINY_MESSAGES; i++)
                media(script, RTMP_AUDIO, (uint32_t)i, "\xaf\1", 2, "x", 1);
        assert_int_equal(send(fd, script->out.p, script->out.len, 0), script->out.len);
        bytes_free(&script->out);
        return fd;
}

static void test_who_has_just_begun_to_publish_goes_on_among_those_who_do(void **state)
{
        (void)state;
        struct port p;
        struct client script;
        port_open(&p, NULL);
        int fd = broadcaster(&p, &script);
        while (!p.server->conns || !p.server->conns->behind)
                uv_run(&p.loop, UV_RUN_ONCE);
        assert_int_equal(script.begins, 1);
        assert_ptr_equal(p.server->conns->behind, &p.server->behind_live);
        port_close(&p);
        close(fd);
}

/* It goes on before sockets are read, and then there is room again to read it. */
static void test_who_goes_on_and_is_read_in_one_turn_has_one_share_of_it(void **state)
{
        (void)state;
        struct port p;
        struct client script;
        int most = 0;
        port_open(&p, NULL);
        int fd = broadcaster(&p, &script);
        while (script.frames < TINY_MESSAGES + 2) {
                int before = script.frames;
                uv_run(&p.loop, UV_RUN_ONCE);
                most = script.frames - before > most ? script.frames - before : most;
        }
        assert_int_equal(most, RTMP_TURN_MESSAGES);
        port_close(&p);
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
