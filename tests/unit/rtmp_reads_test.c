/* Who publishes is read to the beat, and everybody else when something comes. The beat is the test's: it comes when the test says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rtmp_server_fixture.h"

#define TURNS 20 /* of the loop, in which what is in a socket would have been read many times */

static struct {
        struct port port;
        struct shipments shipments;
        struct client script;
        int fd;
} t;

static void turn_loop(void)
{
        for (int i = 0; i < TURNS; i++)
                uv_run(&t.port.loop, UV_RUN_NOWAIT);
}

static void beat(void)
{
        assert_non_null(t.shipments.read);
        t.shipments.read(t.shipments.read_arg);
        turn_loop();
}

static void flush(void)
{
        for (size_t at = 0; at < t.script.out.len;) {
                ssize_t n = send(t.fd, t.script.out.p + at, t.script.out.len - at, MSG_DONTWAIT);
                at += n > 0 ? (size_t)n : 0;
                if (n < 0 && t.shipments.read)
                        t.shipments.read(t.shipments.read_arg);
                if (n < 0)
                        uv_run(&t.port.loop, UV_RUN_NOWAIT);
        }
        bytes_free(&t.script.out);
        t.script.out = (struct bytes){0};
}

static struct conn *the_one(void)
{
        assert_non_null(t.port.server->conns);
        return t.port.server->conns;
}

/* A server, and one who publishes there. */
static int set_up(void **state)
{
        (void)state;
        memset(&t, 0, sizeof(t));
        port_open(&t.port, &t.shipments);
        t.fd = port_dial(&t.port);
        say_publish(&t.script);
        flush();
        while (t.script.begins == 0)
                uv_run(&t.port.loop, UV_RUN_ONCE);
        uv_timer_stop(&t.shipments.timer);
        configuration(&t.script);
        flush();
        beat();
        assert_int_equal(the_one()->reads, READS_TO_BEAT);
        t.script.frames = 0;
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        port_close(&t.port);
        close(t.fd);
        return 0;
}

static void send_sound(uint32_t at_ms)
{
        media(&t.script, RTMP_AUDIO, at_ms, "\xaf\1", 2, "x", 1);
        flush();
}

static void test_what_came_since_the_last_beat_is_read_at_the_next(void **state)
{
        (void)state;
        for (uint32_t i = 0; i < 5; i++) {
                send_sound(i);
                turn_loop();
        }
        assert_int_equal(t.script.frames, 0);
        beat();
        assert_int_equal(t.script.frames, 5);
        beat();
        assert_int_equal(t.script.frames, 5);
}

static void test_a_picture_that_is_longer_than_a_read_comes_with_one_beat(void **state)
{
        static char picture[2 * READ_BYTES];
        (void)state;
        media(&t.script, RTMP_VIDEO, 0, "\x17\1\0\0\0", 5, picture, sizeof(picture));
        flush();
        beat();
        assert_int_equal(t.script.frames, 1);
}

static void test_what_is_longer_than_all_reads_of_a_beat_comes_with_the_next_ones(void **state)
{
        static char picture[20 * READ_BYTES];
        (void)state;
        media(&t.script, RTMP_VIDEO, 0, "\x17\1\0\0\0", 5, picture, sizeof(picture));
        flush();
        for (int i = 0; i < 20 && t.script.frames == 0; i++)
                beat();
        assert_int_equal(t.script.frames, 1);
}

static void test_one_that_is_held_is_not_read_until_it_is_let_go(void **state)
{
        (void)state;
        t.script.events->hold(t.script.events_arg, true);
        send_sound(1);
        assert_int_equal(the_one()->reads, READS_NOTHING);
        assert_null(t.shipments.read); /* there is nobody to be read */
        turn_loop();
        assert_int_equal(t.script.frames, 0);
        t.script.events->hold(t.script.events_arg, false);
        uv_timer_stop(&t.shipments.timer);
        beat();
        assert_int_equal(t.script.frames, 1);
}

static void test_who_has_ended_its_stream_is_heard_at_once_again(void **state)
{
        (void)state;
        command(&t.script, 0, "FCUnpublish", 4, "cam");
        flush();
        beat();
        assert_int_equal(t.script.ends, 1);
        assert_int_equal(the_one()->reads, READS_PACKETS);
        assert_null(t.shipments.read);
        command(&t.script, 1, "publish", 5, "cam");
        flush();
        while (t.script.begins < 2)
                uv_run(&t.port.loop, UV_RUN_ONCE);
        assert_int_equal(the_one()->reads, READS_TO_BEAT);
}

/* As when the kernel has no room for one more watch. */
static void test_who_cannot_be_read_to_the_beat_is_read_when_something_comes(void **state)
{
        (void)state;
        int fd = t.port.server->to_beat_fd;
        t.script.events->hold(t.script.events_arg, true);
        t.port.server->to_beat_fd = -1;
        t.script.events->hold(t.script.events_arg, false);
        t.port.server->to_beat_fd = fd;
        assert_int_equal(the_one()->reads, READS_PACKETS);
        assert_null(t.shipments.read);
        send_sound(1);
        while (t.script.frames == 0)
                uv_run(&t.port.loop, UV_RUN_ONCE);
}

/* It came before the beat, together with the last frames: nothing more will come to tell of it. */
static void test_an_end_that_came_with_frames_is_read_at_the_same_beat(void **state)
{
        (void)state;
        send_sound(1);
        shutdown(t.fd, SHUT_WR);
        beat();
        assert_int_equal(t.script.frames, 1);
        assert_int_equal(t.script.ends, 1); /* and not when it has been silent for too long */
        assert_int_equal(t.port.server->to_beat, 0);
        assert_null(t.shipments.read);
        while (t.port.server->conns)
                uv_run(&t.port.loop, UV_RUN_ONCE);
}

static void test_an_end_that_comes_after_what_was_read_is_read_at_the_next_beat(void **state)
{
        (void)state;
        send_sound(1);
        beat();
        assert_int_equal(t.script.frames, 1);
        shutdown(t.fd, SHUT_WR);
        beat();
        assert_int_equal(t.script.ends, 1);
        while (t.port.server->conns)
                uv_run(&t.port.loop, UV_RUN_ONCE);
}

static void test_an_end_behind_more_than_a_beat_reads_is_read_when_all_is(void **state)
{
        static char picture[2 * READ_BYTES];
        (void)state;
        for (uint32_t i = 0; i < 4; i++)
                media(&t.script, RTMP_VIDEO, i, "\x17\1\0\0\0", 5, picture, sizeof(picture));
        flush();
        shutdown(t.fd, SHUT_WR);
        for (int i = 0; i < 20 && t.script.ends == 0; i++)
                beat();
        assert_int_equal(t.script.frames, 4);
        assert_int_equal(t.script.ends, 1);
        while (t.port.server->conns)
                uv_run(&t.port.loop, UV_RUN_ONCE);
}

static void test_who_is_refused_is_read_to_its_end(void **state)
{
        (void)state;
        t.script.events->refuse(t.script.events_arg, RTMP_CLOSE_KICKED, "NetStream.Publish.Rejected", "go");
        assert_int_equal(the_one()->reads, READS_PACKETS);
        assert_null(t.shipments.read);
        send_sound(1);
        turn_loop();
        assert_int_equal(t.script.frames, 0);
        shutdown(t.fd, SHUT_WR);
        while (t.port.server->conns)
                uv_run(&t.port.loop, UV_RUN_ONCE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_what_came_since_the_last_beat_is_read_at_the_next, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_a_picture_that_is_longer_than_a_read_comes_with_one_beat, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_what_is_longer_than_all_reads_of_a_beat_comes_with_the_next_ones, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_one_that_is_held_is_not_read_until_it_is_let_go, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_who_has_ended_its_stream_is_heard_at_once_again, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_who_cannot_be_read_to_the_beat_is_read_when_something_comes, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_an_end_that_came_with_frames_is_read_at_the_same_beat, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_an_end_that_comes_after_what_was_read_is_read_at_the_next_beat, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_an_end_behind_more_than_a_beat_reads_is_read_when_all_is, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_who_is_refused_is_read_to_its_end, set_up, tear_down),
        };
        log_init("test", LOG_ERROR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
