#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include "tests/unit/rtmp_session_fixture.h"

/* ---- the flow that encoders follow */

static void test_the_usual_flow_is_answered_with_the_right_transactions(void **state)
{
        (void)state;
        struct client c;
        struct heard h;
        client_init(&c);
        handshake(&c);
        connect_command(&c, "live", -1);
        command(&c, 0, "releaseStream", 2, "cam");
        command(&c, 0, "FCPublish", 3, "cam");
        command(&c, 0, "createStream", 4, NULL);
        command(&c, 0, "_checkbw", 5, NULL);
        command(&c, 1, "publish", 6, "cam?key=k");
        push(&c);

        struct rtmp_message m;
        static const uint8_t expected[] = {RTMP_WINDOW_ACK_SIZE, RTMP_SET_PEER_BANDWIDTH};
        for (size_t i = 0; i < 2; i++) {
                assert_true(next_message(&c, &m));
                assert_int_equal(m.type, expected[i]);
                buf_unref(&m.block);
        }
        assert_heard(&c, "_result", 1, "NetConnection.Connect.Success");
        assert_heard(&c, "_result", 2, "");
        assert_heard(&c, "_result", 3, "");
        assert_heard(&c, "onFCPublish", 0, "NetStream.Publish.Start");
        assert_true(hear(&c, &h));
        assert_string_equal(h.name, "_result");
        assert_true(h.transaction == 4 && h.number == 1);
        assert_heard(&c, "_result", 5, "");
        assert_true(hear(&c, &h));
        assert_string_equal(h.code, "NetStream.Publish.Start");
        assert_int_equal(h.stream_id, 1);
        assert_false(hear(&c, &h));
        assert_string_equal(c.request.stream, "cam");
        assert_string_equal(c.request.key, "k");
        assert_string_equal(c.request.address, "127.0.0.1:5");
        assert_string_equal(c.request.encoder, "FMLE/3.0 \"x\"");
        assert_true(rtmp_session_live(c.s));
        client_fini(&c);
        assert_int_equal(c.end_why, CLOSE_LOST);
}

static void test_transaction_0_is_not_answered(void **state)
{
        (void)state;
        struct client c;
        struct heard h;
        client_init(&c);
        handshake(&c);
        connect_command(&c, "live", -1);
        command(&c, 0, "releaseStream", 0, "cam");
        command(&c, 0, "whatever", 0, "cam");
        command(&c, 0, "whatever", 9, "cam");
        push(&c);
        assert_heard(&c, "_result", 1, "NetConnection.Connect.Success");
        assert_heard(&c, "_error", 9, "NetConnection.Call.Failed");
        assert_false(hear(&c, &h));
        client_fini(&c);
}

static void test_frames_and_metadata_reach_the_publication_byte_by_byte_too(void **state)
{
        (void)state;
        struct client c;
        struct bytes meta = {0}, all;
        client_init(&c);
        publish(&c, "cam");
        amf_string(&meta, "@setDataFrame"), amf_string(&meta, "onMetaData"), put_be(&meta, 3, 1);
        amf_key(&meta, "title"), amf_string(&meta, "T"), amf_end(&meta);
        message(&c.out, 4, 0, RTMP_DATA_AMF0, 1, meta.p, meta.len, 128);
        configuration(&c);
        media(&c, RTMP_VIDEO, 77, "\x17\1\0\0\0", 5, "\0\0\0\1e", 5);
        all = c.out;
        c.out = (struct bytes){0};
        for (size_t i = 0; i < all.len; i++)
                rtmp_session_feed(c.s, all.p + i, 1, c.now_us);
        assert_int_equal(c.metadatas, 1);
        assert_string_equal(c.metadata.title, "T");
        assert_int_equal(c.frames, 3);
        assert_int_equal(c.last.flags, FRAME_KEY);
        assert_int_equal(c.last.dts_ms, 77);
        assert_int_equal(c.last_len, 5);
        assert_int_equal(c.closes, 0);
        bytes_free(&all);
        bytes_free(&meta);
        client_fini(&c);
}

static void test_what_is_said_at_a_moment_reaches_the_publication_with_its_time(void **state)
{
        (void)state;
        struct client c;
        struct bytes b = {0};
        client_init(&c);
        publish(&c, "cam");
        amf_string(&b, "onTextData"), put_be(&b, 3, 1), amf_key(&b, "text"), amf_string(&b, "hi"), amf_end(&b);
        message(&c.out, 4, 321, RTMP_DATA_AMF0, 1, b.p, b.len, 128);
        push(&c);
        assert_int_equal(c.cues, 1);
        assert_int_equal(c.cue_ms, 321);
        assert_string_equal(c.cue, "{\"name\":\"onTextData\",\"data\":{\"text\":\"hi\"}}");
        assert_int_equal(rtmp_session_ignored(c.s), 0);
        bytes_free(&b);
        amf_string(&b, "onSomething"), put_be(&b, 3, 1), amf_end(&b);
        message(&c.out, 4, 322, RTMP_DATA_AMF0, 1, b.p, b.len, 128);
        push(&c);
        assert_int_equal(c.cues, 1);
        assert_int_equal(rtmp_session_ignored(c.s), 1);
        bytes_free(&b);
        client_fini(&c);
}

static void test_amf3_wrapped_commands_and_data_are_understood(void **state)
{
        (void)state;
        struct client c;
        struct bytes b = {0};
        client_init(&c);
        handshake(&c);
        connect_command(&c, "live", -1);
        put_be(&b, 0, 1), amf_string(&b, "publish"), amf_number(&b, 2), amf_null(&b), amf_string(&b, "cam");
        message(&c.out, 3, 0, RTMP_COMMAND_AMF3, 1, b.p, b.len, 128);
        bytes_free(&b);
        put_be(&b, 0, 1), amf_string(&b, "onMetaData"), put_be(&b, 3, 1), amf_end(&b);
        message(&c.out, 3, 0, RTMP_DATA_AMF3, 1, b.p, b.len, 128);
        bytes_free(&b);
        push(&c);
        assert_int_equal(c.begins, 1);
        assert_int_equal(c.metadatas, 1);
        client_fini(&c);
}

static void test_aggregates_are_taken_apart_with_their_own_times(void **state)
{
        (void)state;
        struct client c;
        struct bytes b = {0};
        client_init(&c);
        publish(&c, "cam");
        configuration(&c);
        for (int i = 0; i < 2; i++) {
                put_be(&b, RTMP_VIDEO, 1), put_be(&b, 7, 3), put_be(&b, 500 + 40 * (unsigned)i, 3), put_be(&b, 0, 4);
                put(&b, "\x27\1\0\0\0NN", 7), put_be(&b, 18, 4);
        }
        put_be(&b, RTMP_VIDEO, 1), put_be(&b, 0xffffff, 3), put_be(&b, 0, 7); /* cut short */
        message(&c.out, 6, 9000, RTMP_AGGREGATE, 1, b.p, b.len, 128);
        push(&c);
        assert_int_equal(c.frames, 4);
        assert_int_equal(c.last.dts_ms, 9040);
        assert_int_equal(c.last_len, 2);
        assert_int_equal(c.closes, 0);
        bytes_free(&b);
        client_fini(&c);
}

static void test_acknowledgements_come_unprompted_every_window(void **state)
{
        (void)state;
        struct client c;
        struct rtmp_message m;
        struct heard h;
        client_init(&c);
        publish(&c, "cam");
        while (hear(&c, &h))
                ;
        message(&c.out, 2, 0, RTMP_WINDOW_ACK_SIZE, 0, "\0\1\0\0", 4, 128);
        message(&c.out, 2, 0, RTMP_SET_CHUNK_SIZE, 0, "\0\1\0\0", 4, 128);
        push(&c);
        c.chunk_size = 65536;
        uint8_t *body = calloc(1, 20000);
        int acks = 0;
        uint32_t last = 0;
        for (int i = 0; i < 40; i++) {
                media(&c, RTMP_VIDEO, 0, "\x17\2\0\0\0", 5, body, 20000);
                push(&c);
                while (next_message(&c, &m)) {
                        assert_int_equal(m.type, RTMP_ACK);
                        uint32_t v = (uint32_t)m.data[0] << 24 | (uint32_t)m.data[1] << 16 | (uint32_t)m.data[2] << 8 | m.data[3];
                        assert_true(v - last >= 65536);
                        last = v;
                        acks++;
                        buf_unref(&m.block);
                }
        }
        assert_int_equal(acks, 40 / 4); /* four messages fill a window of 64 kB */
        free(body);
        client_fini(&c);
}

static void test_an_encoder_that_reads_nothing_is_sent_no_acknowledgements_until_it_does(void **state)
{
        (void)state;
        struct client c;
        struct rtmp_message m;
        struct heard h;
        client_init(&c);
        publish(&c, "cam");
        message(&c.out, 2, 0, RTMP_WINDOW_ACK_SIZE, 0, "\0\0\x4\0", 4, 128);
        push(&c);
        while (hear(&c, &h))
                ;
        c.reads_nothing = true;
        for (int i = 0; i < 10; i++) {
                media(&c, RTMP_VIDEO, 0, "\x17\2\0\0\0", 5, NULL, 0);
                command(&c, 0, "whatever", 0, "a hundred bytes, with which ten messages are more than the window of a kilobyte that was set");
                push(&c);
        }
        assert_false(next_message(&c, &m));
        c.reads_nothing = false;
        media(&c, RTMP_VIDEO, 0, "\x17\2\0\0\0", 5, NULL, 0);
        push(&c);
        assert_true(next_message(&c, &m));
        assert_int_equal(m.type, RTMP_ACK);
        buf_unref(&m.block);
        assert_false(next_message(&c, &m));
        client_fini(&c);
}

static void test_a_ping_is_answered_with_its_own_time(void **state)
{
        (void)state;
        struct client c;
        struct rtmp_message m;
        struct heard h;
        client_init(&c);
        publish(&c, "cam");
        while (hear(&c, &h))
                ;
        message(&c.out, 2, 0, RTMP_USER_CONTROL, 0, "\0\6wxyz", 6, 128);
        message(&c.out, 2, 0, RTMP_USER_CONTROL, 0, "\0\6w", 3, 128);
        push(&c);
        assert_true(next_message(&c, &m));
        assert_int_equal(m.type, RTMP_USER_CONTROL);
        assert_memory_equal(m.data, "\0\7wxyz", 6);
        buf_unref(&m.block);
        assert_false(next_message(&c, &m));
        client_fini(&c);
}

static void test_a_reconnect_is_only_asked_of_those_who_understand(void **state)
{
        (void)state;
        for (int caps = 0; caps <= 1; caps++) {
                struct client c;
                struct heard h;
                client_init(&c);
                handshake(&c);
                connect_command(&c, "live", caps);
                push(&c);
                assert_heard(&c, "_result", 1, "NetConnection.Connect.Success");
                assert_int_equal(rtmp_session_ask_reconnect(c.s), caps);
                assert_int_equal(hear(&c, &h), caps);
                if (caps)
                        assert_string_equal(h.code, "NetConnection.Connect.ReconnectRequest");
                assert_int_equal(c.closes, 0);
                client_fini(&c);
        }
}

static void test_who_leaves_because_it_was_asked_to_has_not_ended_its_broadcast(void **state)
{
        (void)state;
        for (unsigned caps = 0; caps <= 1; caps++) {
                struct client c;
                client_init(&c);
                handshake(&c);
                connect_command(&c, "live", (int)caps);
                command(&c, 0, "createStream", 2, NULL);
                command(&c, 1, "publish", 3, "cam");
                push(&c);
                rtmp_session_ask_reconnect(c.s);
                command(&c, 1, "FCUnpublish", 0, "cam");
                push(&c);
                assert_int_equal(c.ends, 1);
                assert_int_equal(c.end_why, caps ? CLOSE_LOST : CLOSE_STOPPED);
                client_fini(&c);
        }
}

/* ---- ends */

static void check_stop(const char *how)
{
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        command(&c, 1, how, 0, "cam");
        push(&c);
        assert_int_equal(c.ends, 1);
        assert_int_equal(c.end_why, CLOSE_STOPPED);
        assert_int_equal(c.closes, 0);
        media(&c, RTMP_VIDEO, 0, "\x12", 1, "late", 4); /* would be refused while live */
        push(&c);
        assert_int_equal(c.closes, 0);
        rtmp_session_close(c.s, RTMP_CLOSE_PEER);
        assert_closed(&c, RTMP_CLOSE_STOPPED);
        client_fini(&c);
        assert_int_equal(c.ends, 1);
}

static void test_unpublish_delete_and_close_stream_end_the_stream(void **state)
{
        (void)state;
        check_stop("FCUnpublish");
        check_stop("deleteStream");
        check_stop("closeStream");
}

static void test_a_stream_may_follow_another_on_the_same_connection(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "one");
        command(&c, 1, "FCUnpublish", 0, "one");
        command(&c, 1, "deleteStream", 0, NULL);
        command(&c, 0, "createStream", 7, NULL);
        command(&c, 2, "publish", 8, "two");
        push(&c);
        assert_int_equal(c.begins, 2);
        assert_string_equal(c.request.stream, "two");
        rtmp_session_close(c.s, RTMP_CLOSE_PEER);
        assert_closed(&c, RTMP_CLOSE_PEER);
        client_fini(&c);
        assert_int_equal(c.end_why, CLOSE_LOST);
}

static void test_handshake_and_publish_have_ten_seconds(void **state)
{
        (void)state;
        for (int step = 0; step < 3; step++) {
                struct client c;
                client_init(&c);
                if (step >= 1)
                        handshake(&c);
                if (step >= 2) {
                        connect_command(&c, "live", -1);
                        push(&c);
                }
                rtmp_session_tick(c.s, c.now_us + 9 * SECOND);
                assert_int_equal(c.closes, 0);
                rtmp_session_tick(c.s, c.now_us + 10 * SECOND);
                assert_closed(&c, RTMP_CLOSE_PUBLISH_TIMEOUT);
                client_fini(&c);
        }
}

static void test_a_publisher_without_media_is_lost_after_twenty_seconds(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        c.now_us += 15 * SECOND;
        configuration(&c);
        push(&c);
        c.now_us += 15 * SECOND;
        message(&c.out, 2, 0, RTMP_USER_CONTROL, 0, "\0\6wxyz", 6, 128); /* no media */
        media(&c, RTMP_VIDEO, 0, "\x17\1\0\0\0", 5, "", 0);             /* nor this */
        push(&c);
        rtmp_session_tick(c.s, c.now_us);
        assert_int_equal(c.closes, 0);
        rtmp_session_tick(c.s, c.now_us + 5 * SECOND);
        assert_closed(&c, RTMP_CLOSE_MEDIA_TIMEOUT);
        client_fini(&c);
        assert_int_equal(c.end_why, CLOSE_LOST);
}

/* A publisher that is held back cannot send: that is no silence of its own. */
static void test_one_that_is_held_back_is_not_lost_however_long_and_then_has_twenty_seconds_again(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        c.hold_on_frame = true;
        configuration(&c);
        push(&c);
        assert_true(c.paused);
        assert_int_equal(c.frames, 2); /* what was read is looked at */
        for (int i = 0; i < 100; i++) {
                c.now_us += SECOND;
                rtmp_session_tick(c.s, c.now_us);
        }
        assert_int_equal(c.closes, 0);
        assert_int_equal(c.looks, 100); /* nothing else tells the publication that time passes */
        c.let_go_on_look = true;
        rtmp_session_tick(c.s, c.now_us);
        assert_false(c.paused);
        rtmp_session_tick(c.s, c.now_us + 19 * SECOND);
        assert_int_equal(c.closes, 0);
        assert_int_equal(c.looks, 101);
        rtmp_session_tick(c.s, c.now_us + 20 * SECOND);
        assert_closed(&c, RTMP_CLOSE_MEDIA_TIMEOUT);
        client_fini(&c);
}

/* The end of what it sends has to be read, or a reset overtakes what it is told. */
static void test_one_that_is_held_back_is_read_from_again_when_it_is_closed_or_ends(void **state)
{
        (void)state;
        for (int how = 0; how < 3; how++) {
                struct client c;
                client_init(&c);
                publish(&c, "cam");
                c.hold_on_frame = true;
                configuration(&c);
                if (how == 2)
                        command(&c, 1, "deleteStream", 0, NULL);
                push(&c);
                assert_int_equal(c.paused, how != 2);
                if (how == 0)
                        c.events->refuse(c.events_arg, RTMP_CLOSE_TAKEN_OVER, "NetStream.Publish.BadName", "no");
                if (how == 1)
                        rtmp_session_close(c.s, RTMP_CLOSE_SHUTDOWN);
                assert_false(c.paused);
                assert_int_equal(c.closes, how != 2);
                if (how != 2) /* what its publication says now is too late */
                        c.events->hold(c.events_arg, true);
                assert_false(c.paused);
                client_fini(&c);
        }
}

static unsigned acks_heard(struct client *c)
{
        struct rtmp_message m;
        unsigned acks = 0;
        while (next_message(c, &m)) {
                acks += m.type == RTMP_ACK;
                buf_unref(&m.block);
        }
        return acks;
}

/* It may have closed its socket with much of its film still in its kernel, which answers whatever comes then by a reset. */
static void test_one_that_was_held_back_is_acknowledged_only_when_it_waits_for_that(void **state)
{
        (void)state;
        struct client c;
        uint8_t *body = calloc(1, 60000);
        client_init(&c);
        publish(&c, "cam");
        message(&c.out, 2, 0, RTMP_WINDOW_ACK_SIZE, 0, "\0\1\0\0", 4, 128);
        message(&c.out, 2, 0, RTMP_SET_CHUNK_SIZE, 0, "\0\1\0\0", 4, 128);
        push(&c);
        c.chunk_size = 65536;
        c.hold_on_frame = true;
        configuration(&c);
        push(&c);
        c.events->hold(c.events_arg, false);
        c.hold_on_frame = false;
        acks_heard(&c);
        for (int i = 0; i < 50; i++) {
                media(&c, RTMP_VIDEO, (uint32_t)i * 40, "\x17\1\0\0\0", 5, body, 60000);
                push(&c);
                c.now_us += SECOND / 10;
                rtmp_session_tick(c.s, c.now_us);
        }
        assert_int_equal(acks_heard(&c), 0);
        rtmp_session_tick(c.s, c.now_us + SECOND);
        assert_int_equal(acks_heard(&c), 1);
        rtmp_session_tick(c.s, c.now_us + 2 * SECOND);
        assert_int_equal(acks_heard(&c), 0);
        free(body);
        client_fini(&c);
}

/* It is let go between two ticks, a second after the session last heard what time it is: no second has been quiet by that. */
static void test_one_that_was_just_let_go_is_not_taken_for_quiet(void **state)
{
        (void)state;
        struct client c;
        uint8_t *body = calloc(1, 60000);
        client_init(&c);
        publish(&c, "cam");
        message(&c.out, 2, 0, RTMP_WINDOW_ACK_SIZE, 0, "\0\1\0\0", 4, 128);
        message(&c.out, 2, 0, RTMP_SET_CHUNK_SIZE, 0, "\0\1\0\0", 4, 128);
        push(&c);
        c.chunk_size = 65536;
        c.hold_on_frame = true;
        configuration(&c);
        push(&c);
        for (int i = 0; i < 2; i++)
                media(&c, RTMP_VIDEO, 0, "\x17\1\0\0\0", 5, body, 60000);
        push(&c);
        acks_heard(&c);
        rtmp_session_tick(c.s, c.now_us);
        c.events->hold(c.events_arg, false);
        rtmp_session_tick(c.s, c.now_us + SECOND);
        assert_int_equal(acks_heard(&c), 0);
        rtmp_session_tick(c.s, c.now_us + 2 * SECOND);
        assert_int_equal(acks_heard(&c), 1);
        free(body);
        client_fini(&c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_usual_flow_is_answered_with_the_right_transactions),
                cmocka_unit_test(test_transaction_0_is_not_answered),
                cmocka_unit_test(test_frames_and_metadata_reach_the_publication_byte_by_byte_too),
                cmocka_unit_test(test_what_is_said_at_a_moment_reaches_the_publication_with_its_time),
                cmocka_unit_test(test_amf3_wrapped_commands_and_data_are_understood),
                cmocka_unit_test(test_aggregates_are_taken_apart_with_their_own_times),
                cmocka_unit_test(test_acknowledgements_come_unprompted_every_window),
                cmocka_unit_test(test_an_encoder_that_reads_nothing_is_sent_no_acknowledgements_until_it_does),
                cmocka_unit_test(test_a_ping_is_answered_with_its_own_time),
                cmocka_unit_test(test_a_reconnect_is_only_asked_of_those_who_understand),
                cmocka_unit_test(test_who_leaves_because_it_was_asked_to_has_not_ended_its_broadcast),
                cmocka_unit_test(test_unpublish_delete_and_close_stream_end_the_stream),
                cmocka_unit_test(test_a_stream_may_follow_another_on_the_same_connection),
                cmocka_unit_test(test_handshake_and_publish_have_ten_seconds),
                cmocka_unit_test(test_a_publisher_without_media_is_lost_after_twenty_seconds),
                cmocka_unit_test(test_one_that_is_held_back_is_not_lost_however_long_and_then_has_twenty_seconds_again),
                cmocka_unit_test(test_one_that_is_held_back_is_read_from_again_when_it_is_closed_or_ends),
                cmocka_unit_test(test_one_that_was_held_back_is_acknowledged_only_when_it_waits_for_that),
                cmocka_unit_test(test_one_that_was_just_let_go_is_not_taken_for_quiet),
        };
        return cmocka_run_group_tests(tests, quiet, NULL);
}
