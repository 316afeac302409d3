/* Encoders of many makers: what each says otherwise than the specification has it, and is let in with. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include "tests/unit/rtmp_session_fixture.h"

static void send_body(struct client *c, uint8_t type, uint32_t sid, struct bytes *b)
{
        message(&c->out, 3, 0, type, sid, b->p, b->len, c->chunk_size);
        bytes_free(b);
}

/* The beginning of a command in AMF3's message type: a byte, name and transaction in AMF0. */
static void flex_command(struct bytes *b, const char *name, double transaction)
{
        put_be(b, 0, 1), amf_string(b, name), amf_number(b, transaction);
}

static void connected(struct client *c)
{
        client_init(c);
        handshake(c);
        connect_command(c, "live", -1);
        push(c);
        assert_heard(c, "_result", 1, "NetConnection.Connect.Success");
}

static void assert_publishing(struct client *c, const char *stream)
{
        struct heard h;
        do
                assert_true(hear(c, &h));
        while (strcmp(h.name, "onStatus") != 0);
        assert_string_equal(h.code, "NetStream.Publish.Start");
        assert_string_equal(c->request.stream, stream);
        assert_int_equal(c->closes, 0);
}

/* ---- AMF3 */

/* {app: "live/studio", tcUrl: …, videoFunction: 1, nested: {…}}: a class with sealed members, and one more. */
static void put_amf3_connect_object(struct bytes *b)
{
        put_be(b, 0x11, 1), amf3_object(b, 3, 1), amf3_text(b, "Connect");
        amf3_text(b, "app"), amf3_text(b, "flashVer"), amf3_text(b, "videoFunction");
        amf3_string(b, "live/studio"), amf3_string(b, "WIN 11,2"), put(b, "\4\1", 2);
        amf3_text(b, "tcUrl"), amf3_string(b, "rtmp://h/live?key=K");
        amf3_text(b, "nested"), amf3_object(b, 0, 1), amf3_text(b, ""), amf3_text_again(b, 1), put_be(b, 1, 1), amf3_text(b, "");
        amf3_text(b, "");
}

static void test_an_encoder_that_speaks_amf3_connects_publishes_and_tells_its_title(void **state)
{
        (void)state;
        struct client c;
        struct bytes b = {0};
        client_init(&c);
        handshake(&c);
        flex_command(&b, "connect", 1), put_amf3_connect_object(&b);
        send_body(&c, RTMP_COMMAND_AMF3, 0, &b);
        flex_command(&b, "createStream", 2), put(&b, "\x11\1", 2); /* null */
        send_body(&c, RTMP_COMMAND_AMF3, 0, &b);
        flex_command(&b, "publish", 0), put(&b, "\x11\1\x11", 3), amf3_string(&b, "cam"), put_be(&b, 0x11, 1), amf3_string(&b, "live");
        send_body(&c, RTMP_COMMAND_AMF3, 1, &b);
        put_be(&b, 0, 1), amf_string(&b, "@setDataFrame"), put_be(&b, 0x11, 1), amf3_string(&b, "onMetaData");
        put_be(&b, 0x11, 1), amf3_object(&b, 0, 1), amf3_text(&b, ""), amf3_text(&b, "title"), amf3_string(&b, "A film");
        amf3_text(&b, "hasAudio"), put_be(&b, 2, 1), amf3_text(&b, "cuePoints"), put(&b, "\x09\3\1\1", 4), amf3_text(&b, "");
        send_body(&c, RTMP_DATA_AMF3, 1, &b);
        push(&c);
        assert_publishing(&c, "cam");
        assert_string_equal(c.request.app, "live/studio");
        assert_string_equal(c.request.key, "K");
        assert_string_equal(c.request.encoder, "WIN 11,2");
        assert_int_equal(c.metadatas, 1);
        assert_string_equal(c.metadata.title, "A film");
        assert_int_equal(c.metadata.has_audio, 0);
        assert_int_equal(rtmp_session_ignored(c.s), 0);
        client_fini(&c);
}

static void test_amf3_inside_an_amf0_object_is_read_where_it_stands(void **state)
{
        (void)state;
        struct client c;
        struct bytes b = {0};
        client_init(&c);
        handshake(&c);
        amf_string(&b, "connect"), amf_number(&b, 1), put_be(&b, 3, 1);
        amf_key(&b, "app"), put_be(&b, 0x11, 1), amf3_string(&b, "live");
        amf_key(&b, "swfUrl"), put_be(&b, 0x11, 1), put(&b, "\x0c\x07" "abc", 5);
        amf_key(&b, "flashVer"), amf_string(&b, "after it"), amf_end(&b);
        send_body(&c, RTMP_COMMAND_AMF0, 0, &b);
        command(&c, 1, "publish", 3, "cam");
        push(&c);
        assert_publishing(&c, "cam");
        assert_string_equal(c.request.app, "live");
        assert_string_equal(c.request.encoder, "after it");
        client_fini(&c);
}

static void test_the_byte_before_a_command_in_amf3_may_be_any_or_be_left_out(void **state)
{
        (void)state;
        static const char *const before[] = {"", "\x11", "\x03", "\x01"};
        for (size_t i = 0; i < 4; i++) {
                struct client c;
                struct bytes b = {0};
                connected(&c);
                put(&b, before[i], strlen(before[i])), amf_string(&b, "publish"), amf_number(&b, 2), amf_null(&b), amf_string(&b, "cam");
                send_body(&c, RTMP_COMMAND_AMF3, 1, &b);
                push(&c);
                assert_publishing(&c, "cam");
                client_fini(&c);
        }
}

/* ---- what cannot be read */

static void test_what_is_unreadable_in_a_command_that_needs_nothing_of_it_ends_nothing(void **state)
{
        (void)state;
        static const char *const names[] = {"releaseStream", "FCPublish", "createStream", "_checkbw", "whatever"};
        struct client c;
        connected(&c);
        for (size_t i = 0; i < 5; i++) {
                struct bytes b = {0};
                amf_string(&b, names[i]), amf_number(&b, 0), put(&b, "\x0e\1\2\3", 4); /* a record set, which nobody can read */
                send_body(&c, RTMP_COMMAND_AMF0, 0, &b);
        }
        command(&c, 1, "publish", 6, "cam");
        push(&c);
        assert_publishing(&c, "cam");
        assert_int_equal(rtmp_session_ignored(c.s), 5);
        client_fini(&c);
}

static void test_what_connect_says_before_it_becomes_unreadable_counts(void **state)
{
        (void)state;
        struct client c;
        struct bytes b = {0};
        client_init(&c);
        handshake(&c);
        amf_string(&b, "connect"), amf_number(&b, 1), put_be(&b, 3, 1);
        amf_key(&b, "app"), amf_string(&b, "live"), amf_key(&b, "proxy"), put(&b, "\x11\x0a\x07", 3), amf3_text(&b, "org.Unknown");
        send_body(&c, RTMP_COMMAND_AMF0, 0, &b);
        command(&c, 1, "publish", 3, "cam");
        push(&c);
        assert_publishing(&c, "cam");
        assert_string_equal(c.request.app, "live");
        client_fini(&c);
}

static void test_an_unreadable_stream_name_is_refused_in_words(void **state)
{
        (void)state;
        struct client c;
        struct bytes b = {0};
        client_init(&c);
        handshake(&c);
        connect_command(&c, "live/cam", -1); /* would be the name of a stream without one */
        amf_string(&b, "publish"), amf_number(&b, 2), amf_null(&b), put(&b, "\2\0\x0a" "ca", 5);
        send_body(&c, RTMP_COMMAND_AMF0, 1, &b);
        push(&c);
        assert_heard(&c, "_result", 1, "NetConnection.Connect.Success");
        assert_heard(&c, "onStatus", 0, "NetStream.Publish.BadName");
        assert_int_equal(c.closed, RTMP_CLOSE_BAD_NAME);
        assert_true(c.linger);
        client_fini(&c);
}

/* ---- sequences of commands */

static void test_a_question_for_the_length_is_answered_and_an_answer_is_not(void **state)
{
        (void)state;
        struct client c;
        struct heard h;
        connected(&c);
        command(&c, 0, "getStreamLength", 3, "cam");
        command(&c, 0, "_result", 4, NULL);
        command(&c, 0, "_error", 5, NULL);
        push(&c);
        assert_true(hear(&c, &h));
        assert_string_equal(h.name, "_result");
        assert_true(h.transaction == 3 && h.number == 0);
        assert_false(hear(&c, &h));
        client_fini(&c);
}

static void test_publish_without_a_name_ends_the_stream(void **state)
{
        (void)state;
        struct client c;
        struct bytes b = {0};
        client_init(&c);
        publish(&c, "cam");
        amf_string(&b, "publish"), amf_number(&b, 0), amf_null(&b), put(&b, "\1\0", 2); /* false */
        send_body(&c, RTMP_COMMAND_AMF0, 1, &b);
        push(&c);
        assert_int_equal(c.ends, 1);
        assert_int_equal(c.end_why, CLOSE_STOPPED);
        assert_int_equal(c.closes, 0);
        command(&c, 1, "publish", 4, "cam2");
        push(&c);
        assert_int_equal(c.begins, 2);
        client_fini(&c);
}

static void test_publish_may_come_on_any_message_stream_and_without_create_stream(void **state)
{
        (void)state;
        for (uint32_t sid = 0; sid < 8; sid += 7) {
                struct client c;
                struct heard h;
                connected(&c);
                command(&c, sid, "publish", 0, "cam");
                push(&c);
                assert_true(hear(&c, &h));
                assert_string_equal(h.code, "NetStream.Publish.Start");
                assert_int_equal(h.stream_id, sid);
                client_fini(&c);
        }
}

/* A control message of `n` numbers of 32 bits. */
static void control(struct client *c, uint8_t type, const uint32_t *numbers, size_t n)
{
        struct bytes b = {0};
        for (size_t i = 0; i < n; i++)
                put_be(&b, numbers[i], 4);
        message(&c->out, 2, 0, type, 0, b.p, b.len, c->chunk_size);
        bytes_free(&b);
}

static void test_control_messages_that_mean_nothing_to_a_server_end_nothing(void **state)
{
        (void)state;
        struct client c;
        connected(&c);
        control(&c, RTMP_WINDOW_ACK_SIZE, (uint32_t[]){0}, 1);
        control(&c, RTMP_WINDOW_ACK_SIZE, NULL, 0);
        control(&c, RTMP_SET_PEER_BANDWIDTH, (uint32_t[]){0}, 1);
        control(&c, RTMP_ACK, (uint32_t[]){0xffffffff}, 1);
        control(&c, RTMP_USER_CONTROL, (uint32_t[]){0x00030000, 0x00010000, 0x0bb80000}, 3); /* buffer length */
        control(&c, RTMP_USER_CONTROL, (uint32_t[]){0x00070000, 0x00000000}, 2);             /* an answer to no ping */
        control(&c, RTMP_USER_CONTROL, (uint32_t[]){0x00060000}, 1);                         /* a ping cut short */
        control(&c, RTMP_USER_CONTROL, NULL, 0);
        control(&c, 16, (uint32_t[]){1, 2}, 2); /* a shared object */
        command(&c, 1, "publish", 3, "cam");
        push(&c);
        assert_publishing(&c, "cam");
        client_fini(&c);
}

static void test_the_chunk_size_may_change_while_media_flows_even_inside_a_frame(void **state)
{
        (void)state;
        static uint8_t frame[1000];
        struct client c;
        struct bytes b = {0};
        client_init(&c);
        publish(&c, "cam");
        configuration(&c);
        put(&b, "\x17\1\0\0\0", 5), put(&b, frame, sizeof(frame));
        chunk_header(&c.out, 6, 40, b.len, RTMP_VIDEO, 1);
        put(&c.out, b.p, 128);
        control(&c, RTMP_SET_CHUNK_SIZE, (uint32_t[]){60000}, 1);
        chunk_basic(&c.out, 3, 6), put(&c.out, b.p + 128, b.len - 128);
        bytes_free(&b);
        push(&c);
        assert_int_equal(c.closes, 0);
        assert_int_equal(c.frames, 3);
        assert_int_equal(c.last_len, sizeof(frame));
        client_fini(&c);
}

static void test_times_after_four_hours_come_with_or_without_their_repetition(void **state)
{
        (void)state;
        static uint8_t frame[300];
        for (int repeated = 0; repeated < 2; repeated++) {
                struct client c;
                struct bytes b = {0};
                client_init(&c);
                publish(&c, "cam");
                configuration(&c);
                put(&b, "\x17\1\0\0\0", 5), put(&b, frame, sizeof(frame));
                for (uint32_t ts = 0x1000000; ts < 0x1000000 + 200; ts += 40) {
                        chunk_header(&c.out, 6, ts, b.len, RTMP_VIDEO, 1);
                        for (size_t at = 0; at < b.len; at += 128) {
                                if (at)
                                        chunk_basic(&c.out, 3, 6);
                                if (at && repeated)
                                        put_be(&c.out, ts, 4);
                                put(&c.out, b.p + at, b.len - at < 128 ? b.len - at : 128);
                        }
                        push(&c);
                        assert_int_equal(c.last.dts_ms, ts);
                        assert_int_equal(c.last_len, sizeof(frame));
                }
                bytes_free(&b);
                assert_int_equal(c.frames, 2 + 5);
                client_fini(&c);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_an_encoder_that_speaks_amf3_connects_publishes_and_tells_its_title),
                cmocka_unit_test(test_amf3_inside_an_amf0_object_is_read_where_it_stands),
                cmocka_unit_test(test_the_byte_before_a_command_in_amf3_may_be_any_or_be_left_out),
                cmocka_unit_test(test_what_is_unreadable_in_a_command_that_needs_nothing_of_it_ends_nothing),
                cmocka_unit_test(test_what_connect_says_before_it_becomes_unreadable_counts),
                cmocka_unit_test(test_an_unreadable_stream_name_is_refused_in_words),
                cmocka_unit_test(test_a_question_for_the_length_is_answered_and_an_answer_is_not),
                cmocka_unit_test(test_publish_without_a_name_ends_the_stream),
                cmocka_unit_test(test_publish_may_come_on_any_message_stream_and_without_create_stream),
                cmocka_unit_test(test_control_messages_that_mean_nothing_to_a_server_end_nothing),
                cmocka_unit_test(test_the_chunk_size_may_change_while_media_flows_even_inside_a_frame),
                cmocka_unit_test(test_times_after_four_hours_come_with_or_without_their_repetition),
        };
        return cmocka_run_group_tests(tests, quiet, NULL);
}
