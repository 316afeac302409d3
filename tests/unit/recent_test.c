/* recent, serve: the last seconds of a session from memory: whole segments or nothing, and questions that wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/err.h"
#include "transcoderd/serve.h"

#define SESSION "20260101T000000Z-00000001"
#define KEY(file) "/live/cam/" SESSION "/v360/" file

static struct {
        struct recent recent;
        bool gone;
        uv_loop_t loop;
        struct serve serve;
        struct rpc_request req;
        unsigned replies, drops;
        struct fetch_reply m; /* the last one */
        nng_msg *msg;         /* which it lies in */
} t;

/* In place of common/cluster/rpc_server.c. */
void rpc_reply(struct rpc_request *req, nng_msg *reply)
{
        struct reader r;
        nng_msg_free(req->msg);
        req->msg = NULL;
        nng_msg_free(t.msg);
        t.msg = reply;
        t.replies++;
        assert_int_equal(message_open(&r, reply), MSG_FETCH_REPLY);
        assert_int_equal(fetch_reply_decode(&r, &t.m), 0);
}

void rpc_drop(struct rpc_request *req, const char *why)
{
        (void)why;
        nng_msg_free(req->msg);
        req->msg = NULL;
        t.drops++;
}

static const struct recent *find(void *arg, const char *stream, const char *session)
{
        (void)arg;
        return !t.gone && strcmp(stream, "cam") == 0 && strcmp(session, SESSION) == 0 ? &t.recent : NULL;
}

static void set_up(bool goes_on)
{
        struct track_info info = {.name = "v360", .init = buf_copy("init", 4)};
        memset(&t, 0, sizeof(t));
        recent_init(&t.recent, 2 * US_PER_S, 200, goes_on);
        recent_track(&t.recent, &info);
        buf_unref(&info.init);
        uv_loop_init(&t.loop);
        t.serve.find = find;
        serve_open(&t.serve, &t.loop);
}

static int tear_down(void **state)
{
        (void)state;
        serve_close(&t.serve);
        uv_run(&t.loop, UV_RUN_DEFAULT);
        assert_int_equal(uv_loop_close(&t.loop), 0);
        recent_fini(&t.recent);
        nng_msg_free(t.msg);
        return 0;
}

static int new_session(void **state)
{
        (void)state;
        set_up(false);
        return 0;
}

static int session_that_goes_on(void **state)
{
        (void)state;
        set_up(true);
        return 0;
}

/* Chunk n: ten bytes of its number. */
static void chunk(int n)
{
        struct chunk c = {.segment = (uint32_t)n / 5, .chunk = (uint8_t)(n % 5), .flags = n % 5 == 4 ? PUT_LAST : 0,
                          .start_us = n * CHUNK_US, .duration_us = CHUNK_US, .bytes = buf_new(10)};
        memset(c.bytes->data, n, 10);
        recent_chunk(&t.recent, &c);
        buf_unref(&c.bytes);
        serve_changed(&t.serve, SESSION);
}

static void chunks(int from, int to)
{
        for (int n = from; n < to; n++)
                chunk(n);
}

static void ask(const char *key, uint64_t offset, uint32_t wait_ms)
{
        struct fetch m = {.offset = offset, .wait_ms = wait_ms};
        strcpy(m.key, key);
        assert_null(t.req.msg); /* the one before was answered */
        t.req = (struct rpc_request){.msg = message_new(MSG_FETCH, fetch_encode, &m)};
        t.req.type = message_open(&t.req.body, t.req.msg);
        serve_handle(&t.serve, &t.req);
}

static void expect(int status, size_t len, bool complete)
{
        assert_null(t.req.msg);
        assert_int_equal(t.m.status, status);
        assert_int_equal(t.m.len, len);
        assert_int_equal(!!(t.m.flags & FETCH_COMPLETE), complete);
}

static void test_a_growing_segment_is_given_out_as_far_as_it_is_there(void **state)
{
        (void)state;
        chunks(0, 3);
        ask(KEY("0.m4s"), 0, 0);
        expect(0, 30, false);
        for (int i = 0; i < 30; i++)
                assert_int_equal(t.m.bytes[i], i / 10);
        ask(KEY("0.m4s"), 25, 0);
        expect(0, 5, false);
        chunks(3, 5);
        ask(KEY("0.m4s"), 25, 0);
        expect(0, 25, true);
        assert_int_equal(t.m.bytes[0], 2);
        assert_int_equal(t.m.bytes[24], 4);
        ask(KEY("0.m4s"), 50, 0);
        expect(0, 0, true);
        ask(KEY("0.m4s"), 51, 0);
        expect(ERR_NOT_FOUND, 0, false);
        assert_string_equal(t.m.content_type, "");
}

static void test_a_question_waits_for_the_next_chunk(void **state)
{
        (void)state;
        chunks(0, 5);
        ask(KEY("1.m4s"), 0, 5000);
        assert_int_equal(t.replies, 0);
        chunk(5);
        expect(0, 10, false);
        ask(KEY("1.m4s"), 10, 5000);
        assert_int_equal(t.replies, 1);
        chunk(6);
        expect(0, 10, false);
        assert_int_equal(t.m.offset, 10);
        assert_int_equal(t.m.bytes[0], 6);
}

static void test_a_wait_that_is_over_is_answered_not_yet(void **state)
{
        (void)state;
        chunks(0, 5);
        ask(KEY("1.m4s"), 0, 0);
        expect(ERR_NOT_YET, 0, false);
        ask(KEY("1.m4s"), 0, 30);
        assert_int_equal(t.replies, 1);
        while (t.replies == 1 && uv_run(&t.loop, UV_RUN_ONCE))
                ;
        expect(ERR_NOT_YET, 0, false);
}

static void test_what_is_held_is_answered_when_the_node_stops(void **state)
{
        (void)state;
        ask(KEY("0.m4s"), 0, 5000);
        serve_stop(&t.serve);
        expect(ERR_NOT_YET, 0, false);
        ask(KEY("0.m4s"), 0, 5000);
        expect(ERR_NOT_YET, 0, false);
}

static void test_a_segment_over_the_limit_of_a_message_comes_in_pieces(void **state)
{
        (void)state;
        struct chunk c = {.flags = PUT_LAST, .duration_us = US_PER_S, .bytes = buf_new(BODY_MAX + 10)};
        memset(c.bytes->data, 1, c.bytes->len);
        recent_chunk(&t.recent, &c);
        buf_unref(&c.bytes);
        ask(KEY("0.m4s"), 0, 0);
        expect(0, BODY_MAX, false);
        ask(KEY("0.m4s"), BODY_MAX, 0);
        expect(0, 10, true);
}

static void test_the_init_segment_is_there_before_any_chunk(void **state)
{
        (void)state;
        ask(KEY("init.mp4"), 0, 0);
        expect(0, 4, true);
        assert_memory_equal(t.m.bytes, "init", 4);
        assert_true(t.m.flags & FETCH_IMMUTABLE);
}

static void test_old_segments_go_and_only_whole(void **state)
{
        (void)state;
        chunks(0, 15);
        ask(KEY("0.m4s"), 0, 0);
        expect(0, 50, true); /* two seconds back and no more */
        chunk(15);
        ask(KEY("0.m4s"), 0, 0);
        expect(ERR_NOT_FOUND, 0, false);
        ask(KEY("1.m4s"), 0, 0);
        expect(0, 50, true);
        assert_int_equal(t.recent.bytes, 110);
}

static void test_over_its_bytes_the_oldest_segment_goes_whatever_its_age(void **state)
{
        (void)state;
        t.recent.keep_bytes = 70;
        chunks(0, 7);
        ask(KEY("0.m4s"), 0, 0);
        expect(0, 50, true);
        chunk(7);
        ask(KEY("0.m4s"), 0, 0);
        expect(ERR_NOT_FOUND, 0, false);
        t.recent.keep_bytes = 10;
        chunk(8);
        ask(KEY("1.m4s"), 0, 0);
        expect(0, 40, false); /* the newest is kept, however long */
}

static void test_a_segment_begun_by_another_writer_is_not_given_out(void **state)
{
        (void)state;
        chunks(7, 10);
        ask(KEY("1.m4s"), 0, 5000);
        expect(ERR_NOT_FOUND, 0, false);
        ask(KEY("0.m4s"), 0, 5000);
        expect(ERR_NOT_FOUND, 0, false);
        chunks(10, 12);
        ask(KEY("2.m4s"), 0, 0);
        expect(0, 20, false);
}

static void test_the_end_completes_the_last_segment(void **state)
{
        (void)state;
        chunks(0, 7);
        ask(KEY("1.m4s"), 20, 5000);
        assert_int_equal(t.replies, 0);
        recent_end(&t.recent);
        serve_changed(&t.serve, SESSION);
        expect(0, 0, true);
        ask(KEY("2.m4s"), 0, 5000);
        expect(ERR_NOT_FOUND, 0, false);
}

static void test_what_is_not_due_for_long_is_not_waited_for(void **state)
{
        (void)state;
        chunks(0, 5);
        ask(KEY("40.m4s"), 0, 5000);
        expect(ERR_NOT_FOUND, 0, false);
}

static void test_who_waits_for_a_session_that_goes_away_is_told(void **state)
{
        (void)state;
        ask(KEY("0.m4s"), 0, 5000);
        assert_int_equal(t.replies, 0);
        t.gone = true;
        serve_changed(&t.serve, SESSION);
        expect(ERR_NOT_FOUND, 0, false);
}

static void test_keys_that_name_nothing_are_not_found(void **state)
{
        (void)state;
        static const char *const keys[] = {
                "/", "/live/", "/live/cam/manifest.mpd", "/live/other/" SESSION "/v360/0.m4s",
                "/live/cam/20260101T000000Z-00000002/v360/0.m4s", "/live/cam/" SESSION "/v720/0.m4s", KEY(""),
                KEY("00.m4s"), KEY("0.m4"), KEY("0.m4sx"), KEY("4294967296.m4s"), KEY("99999999999999999999.m4s"),
                KEY("-1.m4s"), KEY("a/0.m4s"), "/live/cam/" SESSION "/../0.m4s", "/api/streams",
        };
        chunks(0, 5);
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
                ask(keys[i], 0, 5000);
                expect(ERR_NOT_FOUND, 0, false);
        }
        assert_int_equal(t.drops, 0);
}

static void test_anything_but_a_good_fetch_costs_the_connection(void **state)
{
        (void)state;
        struct fetch m = {.key = KEY("0.m4s")};
        t.req = (struct rpc_request){.msg = message_new(MSG_FETCH, fetch_encode, &m)};
        nng_msg_chop(t.req.msg, 1);
        t.req.type = message_open(&t.req.body, t.req.msg);
        serve_handle(&t.serve, &t.req);
        assert_int_equal(t.drops, 1);
        t.req = (struct rpc_request){.msg = message_new(MSG_PUT, fetch_encode, &m)};
        t.req.type = message_open(&t.req.body, t.req.msg);
        serve_handle(&t.serve, &t.req);
        assert_int_equal(t.drops, 2);
        assert_int_equal(t.replies, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, new_session, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_a_growing_segment_is_given_out_as_far_as_it_is_there),
                TEST(test_a_question_waits_for_the_next_chunk),
                TEST(test_a_wait_that_is_over_is_answered_not_yet),
                TEST(test_what_is_held_is_answered_when_the_node_stops),
                TEST(test_a_segment_over_the_limit_of_a_message_comes_in_pieces),
                TEST(test_the_init_segment_is_there_before_any_chunk),
                TEST(test_old_segments_go_and_only_whole),
                TEST(test_over_its_bytes_the_oldest_segment_goes_whatever_its_age),
                cmocka_unit_test_setup_teardown(test_a_segment_begun_by_another_writer_is_not_given_out,
                                                session_that_goes_on, tear_down),
                TEST(test_the_end_completes_the_last_segment),
                TEST(test_what_is_not_due_for_long_is_not_waited_for),
                TEST(test_who_waits_for_a_session_that_goes_away_is_told),
                TEST(test_keys_that_name_nothing_are_not_found),
                TEST(test_anything_but_a_good_fetch_costs_the_connection),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
