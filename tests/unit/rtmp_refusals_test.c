/* Who is turned away by an RTMP session, when, and in which words; and what bad input comes to. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include "common/err.h"
#include "tests/unit/rtmp_session_fixture.h"

static void assert_refused(struct client *c, enum rtmp_close_reason reason, const char *code)
{
        struct heard h;
        bool found = false;
        while (hear(c, &h))
                found = strcmp(h.name, "onStatus") == 0 && strcmp(h.code, code) == 0;
        assert_true(found); /* and it was the last thing said */
        assert_int_equal(c->closes, 1);
        assert_int_equal(c->closed, reason);
        assert_true(c->linger);
}

/* ---- refusals */

static void test_a_bad_name_is_refused_before_publish_start(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "live/..");
        assert_int_equal(c.begins, 0);
        assert_refused(&c, RTMP_CLOSE_BAD_NAME, "NetStream.Publish.BadName");
        client_fini(&c);
}

static void test_a_name_that_had_to_be_cut_is_refused(void **state)
{
        (void)state;
        char name[2700];
        struct client c;
        memset(name, '/', sizeof(name));
        memcpy(name, "cam", 3);
        name[sizeof(name) - 1] = '\0';
        client_init(&c);
        publish(&c, name);
        assert_refused(&c, RTMP_CLOSE_BAD_NAME, "NetStream.Publish.BadName");
        client_fini(&c);
}

static void test_a_publication_that_does_not_begin_is_refused_with_its_words(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        c.begin_err = ERR_FULL;
        publish(&c, "cam");
        assert_non_null(memmem(c.in.p, c.in.len, "no room", 7));
        assert_refused(&c, RTMP_CLOSE_PUBLISHERS, "NetStream.Publish.Rejected");
        client_fini(&c);
        assert_int_equal(c.ends, 0);
        assert_int_equal(c.dismissals, 1);
}

/* ---- who may publish */

static void test_who_may_not_publish_is_told_before_anything_begins(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        c.verdict = ADMISSION_REFUSED;
        publish(&c, "cam?key=k&a=1");
        assert_non_null(memmem(c.in.p, c.in.len, "the key is wrong", 16));
        assert_null(memmem(c.in.p, c.in.len, "Publish.Start", 13));
        assert_refused(&c, RTMP_CLOSE_DENIED, "NetStream.Publish.Denied");
        assert_int_equal(c.begins, 0);
        assert_string_equal(c.request.key, "k");
        assert_string_equal(c.request.query, "a=1");
        assert_string_equal(c.request.app, "live");
        client_fini(&c);
}

static void test_what_comes_while_it_is_being_decided_is_kept_and_looked_at_after(void **state)
{
        (void)state;
        struct client c;
        struct heard h;
        client_init(&c);
        c.verdict = ADMISSION_PENDING;
        handshake(&c);
        connect_command(&c, "live", -1);
        command(&c, 1, "publish", 3, "cam");
        configuration(&c); /* in the same bytes */
        push(&c);
        assert_true(c.paused);
        while (hear(&c, &h))
                assert_string_not_equal(h.name, "onStatus");
        media(&c, RTMP_VIDEO, 77, "\x17\1\0\0\0", 5, "\0\0\0\1e", 5);
        for (size_t i = 0; i < c.out.len; i++) /* its socket had that already */
                rtmp_session_feed(c.s, c.out.p + i, 1, c.now_us);
        bytes_free(&c.out);
        assert_int_equal(c.begins, 0);
        assert_int_equal(c.frames, 0);
        assert_false(rtmp_session_live(c.s));
        c.admission_events->allowed(c.admission_arg);
        assert_false(c.paused);
        assert_heard(&c, "onStatus", 0, "NetStream.Publish.Start");
        assert_int_equal(c.begins, 1);
        assert_int_equal(c.frames, 3);
        assert_int_equal(c.last.dts_ms, 77);
        media(&c, RTMP_VIDEO, 90, "\x27\1\0\0\0", 5, "\0\0\0\1e", 5);
        push(&c);
        assert_int_equal(c.frames, 4);
        client_fini(&c);
        assert_int_equal(c.dismissals, 1);
}

static void test_a_late_no_is_told_as_one_at_once(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        c.verdict = ADMISSION_PENDING;
        publish(&c, "cam");
        configuration(&c);
        push(&c);
        c.admission_events->refused(c.admission_arg, "not on Sundays");
        assert_false(c.paused);
        assert_non_null(memmem(c.in.p, c.in.len, "not on Sundays", 14));
        assert_refused(&c, RTMP_CLOSE_DENIED, "NetStream.Publish.Denied");
        c.admission_events->allowed(c.admission_arg);
        assert_int_equal(c.begins, 0);
        client_fini(&c);
        assert_int_equal(c.dismissals, 1);
}

static void test_who_leaves_while_it_is_being_decided_never_begins(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        c.verdict = ADMISSION_PENDING;
        publish(&c, "cam");
        rtmp_session_tick(c.s, c.now_us + 10 * SECOND);
        assert_closed(&c, RTMP_CLOSE_PUBLISH_TIMEOUT);
        client_fini(&c);
        assert_int_equal(c.dismissals, 1);
        assert_int_equal(c.begins, 0);
}

static void test_too_much_before_the_decision_is_a_reason_to_close(void **state)
{
        (void)state;
        struct client c;
        static const uint8_t much[1000];
        client_init(&c);
        c.verdict = ADMISSION_PENDING;
        publish(&c, "cam");
        for (size_t n = 0; n + sizeof(much) <= RTMP_EARLY_MAX; n += sizeof(much))
                rtmp_session_feed(c.s, much, sizeof(much), c.now_us);
        assert_int_equal(c.closes, 0);
        rtmp_session_feed(c.s, much, sizeof(much), c.now_us);
        assert_closed(&c, RTMP_CLOSE_EARLY);
        client_fini(&c);
}

static void test_who_may_not_go_on_is_told_and_its_session_waits(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        configuration(&c);
        push(&c);
        c.admission_events->refused(c.admission_arg, "the key is no longer valid");
        assert_non_null(memmem(c.in.p, c.in.len, "the key is no longer valid", 26));
        assert_refused(&c, RTMP_CLOSE_REVOKED, "NetStream.Publish.Denied");
        client_fini(&c);
        assert_int_equal(c.end_why, CLOSE_LOST);
}

static void test_each_stream_of_a_connection_is_asked_for(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "one");
        command(&c, 1, "deleteStream", 4, NULL);
        push(&c);
        assert_int_equal(c.dismissals, 1);
        command(&c, 1, "publish", 5, "two");
        push(&c);
        assert_int_equal(c.admits, 2);
        assert_string_equal(c.request.stream, "two");
        assert_true(rtmp_session_live(c.s));
        client_fini(&c);
        assert_int_equal(c.dismissals, 2);
}

static void test_an_unsupported_codec_is_refused_and_named(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        media(&c, RTMP_VIDEO, 0, "\x90hvc1", 5, "config", 6);
        media(&c, RTMP_VIDEO, 0, "\x90hvc1", 5, "config", 6);
        push(&c);
        assert_non_null(memmem(c.in.p, c.in.len, "HEVC video is not supported; send H.264 video and AAC audio", 59));
        assert_refused(&c, RTMP_CLOSE_CODEC, "NetStream.Publish.Rejected");
        client_fini(&c);
        assert_int_equal(c.end_why, CLOSE_REFUSED);
}

static void test_a_broadcast_that_never_has_a_good_configuration_is_refused_in_words(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        media(&c, RTMP_VIDEO, 0, "\x17\0\0\0\0", 5, "garbage", 7);
        for (int n = 0; n < 3; n++) {
                media(&c, RTMP_VIDEO, 0, "\x17\1\0\0\0", 5, "\0\0\0\3e\210\200", 7);
                c.now_us += 6 * SECOND;
                push(&c);
                rtmp_session_tick(c.s, c.now_us);
        }
        assert_int_equal(c.closes, 0);
        c.now_us += 2 * SECOND;
        rtmp_session_tick(c.s, c.now_us);
        assert_non_null(memmem(c.in.p, c.in.len, "the H.264 configuration makes no sense", 38));
        assert_refused(&c, RTMP_CLOSE_BAD_MEDIA, "NetStream.Publish.Rejected");
        client_fini(&c);
        assert_int_equal(c.end_why, CLOSE_REFUSED);
}

static void test_configurations_of_no_use_are_ignored_until_a_good_one_comes(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        media(&c, RTMP_VIDEO, 0, "\x17\0\0\0\0", 5, "\1\144\0\37\377\340\0", 7);
        media(&c, RTMP_VIDEO, 0, "\x17\0\0\0\0", 5, "garbage", 7);
        media(&c, RTMP_AUDIO, 0, "\xaf\0", 2, "\0\0", 2);
        media(&c, RTMP_VIDEO, 0, "\x17\1\0\0\0", 5, "\0\0\0\3e\210\200", 7);
        push(&c);
        assert_int_equal(c.frames, 0);
        configuration(&c);
        media(&c, RTMP_VIDEO, 40, "\x27\1\0\0\0", 5, "\0\0\0\3e\210\200", 7);
        media(&c, RTMP_VIDEO, 80, "\x17\0\0\0\0", 5, "\1\144\0\37\377\340\0", 7); /* once more in mid-stream */
        push(&c);
        assert_int_equal(c.frames, 3);
        assert_int_equal(c.last.flags, FRAME_KEY);
        assert_int_equal(rtmp_session_ignored(c.s), 5);
        assert_int_equal(c.closes, 0);
        client_fini(&c);
}

static void test_parameter_sets_that_come_with_the_picture_are_passed_on_before_it(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        media(&c, RTMP_VIDEO, 0, "\x17\1\0\0\0", 5, "\0\0\0\4\147\144\0\37\0\0\0\4\150\356\74\200\0\0\0\3e\210\200", 23);
        push(&c);
        assert_int_equal(c.frames, 2);
        assert_int_equal(c.last.flags, FRAME_KEY);
        client_fini(&c);
}

static void test_players_are_turned_away(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        handshake(&c);
        connect_command(&c, "live", -1);
        command(&c, 1, "play", 4, "cam");
        push(&c);
        assert_refused(&c, RTMP_CLOSE_PLAY, "NetStream.Play.Failed");
        client_fini(&c);
}

static void test_publishing_twice_at_once_is_refused(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        command(&c, 1, "publish", 9, "other");
        push(&c);
        assert_refused(&c, RTMP_CLOSE_COMMAND, "NetStream.Publish.BadName");
        assert_int_equal(c.begins, 1);
        client_fini(&c);
        assert_int_equal(c.ends, 1);
}

static void test_a_publication_may_refuse_from_inside_a_frame(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        c.refuse_on_frame = true;
        configuration(&c);
        configuration(&c);
        push(&c);
        assert_int_equal(c.frames, 1);
        assert_int_equal(c.ends, 0); /* not from inside the publication's own call */
        assert_refused(&c, RTMP_CLOSE_UPSTREAM, "NetStream.Publish.Rejected");
        client_fini(&c);
        assert_int_equal(c.ends, 1);
}

static void test_a_taken_over_connection_is_told_and_fed_no_more(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        configuration(&c);
        push(&c);
        int frames = c.frames;
        c.events->refuse(c.events_arg, RTMP_CLOSE_TAKEN_OVER, "NetStream.Publish.BadName", "taken over");
        c.events->refuse(c.events_arg, RTMP_CLOSE_UPSTREAM, "NetStream.Publish.Rejected", "again");
        assert_refused(&c, RTMP_CLOSE_TAKEN_OVER, "NetStream.Publish.BadName");
        configuration(&c);
        push(&c);
        rtmp_session_tick(c.s, c.now_us + 100 * SECOND);
        assert_int_equal(c.frames, frames);
        assert_int_equal(c.closes, 1);
        client_fini(&c);
        assert_int_equal(c.end_why, CLOSE_LOST);
}

/* ---- many streams of one connection */

static void begin_and_end(struct client *c)
{
        command(c, 1, "publish", 3, "cam");
        command(c, 1, "deleteStream", 0, NULL);
        push(c);
}

static void test_a_connection_that_begins_one_stream_after_the_other_is_refused_in_words(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        handshake(&c);
        connect_command(&c, "live", -1);
        for (int i = 0; i < 200; i++)
                begin_and_end(&c);
        assert_int_equal(c.begins, RTMP_STREAMS_AT_ONCE);
        assert_int_equal(c.admits, RTMP_STREAMS_AT_ONCE);
        assert_non_null(memmem(c.in.p, c.in.len, "too many streams were begun", 27));
        assert_refused(&c, RTMP_CLOSE_STREAMS, "NetStream.Publish.Rejected");
        client_fini(&c);
}

static void test_a_connection_that_begins_anew_now_and_then_goes_on(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        handshake(&c);
        connect_command(&c, "live", -1);
        for (int i = 0; i < 200; i++) {
                begin_and_end(&c);
                c.now_us += RTMP_STREAM_EVERY_US;
        }
        assert_int_equal(c.begins, 200);
        assert_int_equal(c.closes, 0);
        client_fini(&c);
}

/* ---- bad input */

static void test_what_is_not_rtmp_is_closed_at_its_first_byte(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        put(&c.out, "GET / HTTP/1.1\r\n", 16);
        push(&c);
        assert_closed(&c, RTMP_CLOSE_HANDSHAKE);
        assert_int_equal(c.handshake_bytes, 0);
        client_fini(&c);
}

static void test_commands_before_connect_are_out_of_order(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        handshake(&c);
        command(&c, 1, "publish", 1, "cam");
        push(&c);
        assert_closed(&c, RTMP_CLOSE_COMMAND);
        client_fini(&c);
}

static void check_bad_command(const struct bytes *body, enum rtmp_close_reason reason)
{
        struct client c;
        client_init(&c);
        handshake(&c);
        message(&c.out, 3, 0, RTMP_COMMAND_AMF0, 0, body->p, body->len, 128);
        push(&c);
        assert_closed(&c, reason);
        client_fini(&c);
}

static void test_malformed_and_nested_commands_have_their_own_reasons(void **state)
{
        (void)state;
        struct bytes b = {0};
        check_bad_command(&b, RTMP_CLOSE_AMF); /* empty */
        amf_number(&b, 5);
        check_bad_command(&b, RTMP_CLOSE_AMF);
        bytes_free(&b);
        amf_string(&b, "connect"), amf_number(&b, 1);
        for (int i = 0; i < 5000; i++)
                put_be(&b, 3, 1), amf_key(&b, "k");
        check_bad_command(&b, RTMP_CLOSE_AMF_DEPTH);
        bytes_free(&b);
}

static void test_broken_metadata_is_ignored_and_a_nesting_bomb_is_not(void **state)
{
        (void)state;
        struct client c;
        struct bytes b = {0};
        client_init(&c);
        publish(&c, "cam");
        message(&c.out, 4, 0, RTMP_DATA_AMF0, 1, "\2\0\x0aonMet", 8, 128);
        push(&c);
        assert_int_equal(c.closes, 0);
        assert_int_equal(rtmp_session_ignored(c.s), 1);
        amf_string(&b, "onMetaData");
        for (int i = 0; i < 17; i++)
                put_be(&b, 10, 1), put_be(&b, 1, 4);
        message(&c.out, 4, 0, RTMP_DATA_AMF0, 1, b.p, b.len, 128);
        push(&c);
        assert_closed(&c, RTMP_CLOSE_AMF_DEPTH);
        bytes_free(&b);
        client_fini(&c);
}

static void test_long_messages_are_for_publishers_only(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        handshake(&c);
        chunk_header(&c.out, 6, 0, 100000, RTMP_VIDEO, 1);
        push(&c);
        assert_closed(&c, RTMP_CLOSE_MESSAGE_SIZE);
        client_fini(&c);
        client_init(&c);
        publish(&c, "cam");
        chunk_header(&c.out, 6, 0, 8u << 20, RTMP_VIDEO, 1);
        push(&c);
        assert_int_equal(c.closes, 0);
        chunk_header(&c.out, 7, 0, (8u << 20) + 1, RTMP_VIDEO, 1);
        struct bytes rest = {0}; /* the first chunk of the first message comes before */
        put_fill(&rest, 0, 128);
        put(&rest, c.out.p, c.out.len);
        bytes_free(&c.out);
        c.out = rest;
        push(&c);
        assert_closed(&c, RTMP_CLOSE_MESSAGE_SIZE);
        client_fini(&c);
}

/* Begins `count` messages of 60000 bytes, each in a chunk stream of its own, and leaves the end of each out. */
static void leave_unfinished(struct client *c, unsigned count)
{
        static const uint8_t chunk_size[4] = {0, 0, 50000 >> 8, 50000 & 0xff};
        message(&c->out, 2, 0, RTMP_SET_CHUNK_SIZE, 0, chunk_size, sizeof(chunk_size), 128);
        for (unsigned i = 0; i < count; i++) {
                chunk_header(&c->out, 6 + i, 0, 60000, RTMP_VIDEO, 1);
                put_fill(&c->out, 0, 50000);
        }
        push(c);
}

static void test_what_a_stranger_leaves_unfinished_takes_little_memory(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        handshake(&c);
        leave_unfinished(&c, 1);
        assert_int_equal(c.closes, 0);
        leave_unfinished(&c, 2);
        assert_closed(&c, RTMP_CLOSE_PARTIAL_BYTES);
        client_fini(&c);
        client_init(&c);
        publish(&c, "cam");
        leave_unfinished(&c, 20);
        assert_int_equal(c.closes, 0);
        client_fini(&c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_bad_name_is_refused_before_publish_start),
                cmocka_unit_test(test_a_name_that_had_to_be_cut_is_refused),
                cmocka_unit_test(test_a_publication_that_does_not_begin_is_refused_with_its_words),
                cmocka_unit_test(test_who_may_not_publish_is_told_before_anything_begins),
                cmocka_unit_test(test_what_comes_while_it_is_being_decided_is_kept_and_looked_at_after),
                cmocka_unit_test(test_a_late_no_is_told_as_one_at_once),
                cmocka_unit_test(test_who_leaves_while_it_is_being_decided_never_begins),
                cmocka_unit_test(test_too_much_before_the_decision_is_a_reason_to_close),
                cmocka_unit_test(test_who_may_not_go_on_is_told_and_its_session_waits),
                cmocka_unit_test(test_each_stream_of_a_connection_is_asked_for),
                cmocka_unit_test(test_an_unsupported_codec_is_refused_and_named),
                cmocka_unit_test(test_a_broadcast_that_never_has_a_good_configuration_is_refused_in_words),
                cmocka_unit_test(test_configurations_of_no_use_are_ignored_until_a_good_one_comes),
                cmocka_unit_test(test_parameter_sets_that_come_with_the_picture_are_passed_on_before_it),
                cmocka_unit_test(test_players_are_turned_away),
                cmocka_unit_test(test_publishing_twice_at_once_is_refused),
                cmocka_unit_test(test_a_publication_may_refuse_from_inside_a_frame),
                cmocka_unit_test(test_a_taken_over_connection_is_told_and_fed_no_more),
                cmocka_unit_test(test_what_is_not_rtmp_is_closed_at_its_first_byte),
                cmocka_unit_test(test_commands_before_connect_are_out_of_order),
                cmocka_unit_test(test_malformed_and_nested_commands_have_their_own_reasons),
                cmocka_unit_test(test_broken_metadata_is_ignored_and_a_nesting_bomb_is_not),
                cmocka_unit_test(test_a_connection_that_begins_one_stream_after_the_other_is_refused_in_words),
                cmocka_unit_test(test_a_connection_that_begins_anew_now_and_then_goes_on),
                cmocka_unit_test(test_long_messages_are_for_publishers_only),
                cmocka_unit_test(test_what_a_stranger_leaves_unfinished_takes_little_memory),
        };
        return cmocka_run_group_tests(tests, quiet, NULL);
}
