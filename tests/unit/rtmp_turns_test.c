/* A connection that sends thousands of tiny messages has its share of each turn of the loop, and no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/err.h"
#include "tests/unit/rtmp_session_fixture.h"

#define TINY 1000

static void tiny(struct client *c, int messages)
{
        for (int i = 0; i < messages; i++)
                media(c, RTMP_AUDIO, (uint32_t)i, "\xaf\1", 2, "x", 1);
}

static void test_tiny_messages_are_looked_at_over_many_turns_and_in_order(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        configuration(&c);
        push(&c);
        int before = c.frames;
        tiny(&c, TINY);
        c.stays_behind = true;
        push(&c);
        assert_int_equal(c.frames - before, RTMP_TURN_MESSAGES);
        assert_true(c.paused && c.behind);
        assert_true(rtmp_session_kept_bytes(c.s) > 0);
        for (int turn = 2; c.behind; turn++) {
                go_on(&c);
                int due = turn * RTMP_TURN_MESSAGES;
                assert_int_equal(c.frames - before, due < TINY ? due : TINY);
                assert_int_equal(c.last.dts_ms, c.frames - before - 1);
        }
        assert_int_equal(c.frames - before, TINY);
        assert_false(c.paused);
        assert_int_equal(rtmp_session_kept_bytes(c.s), 0);
        client_fini(&c);
}

static void test_what_comes_while_it_is_behind_waits_behind_the_rest(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        configuration(&c);
        push(&c);
        int before = c.frames;
        c.stays_behind = true;
        tiny(&c, 2 * RTMP_TURN_MESSAGES);
        push(&c);
        media(&c, RTMP_AUDIO, 7777, "\xaf\1", 2, "x", 1); /* as the next record of TLS in the same bytes of the socket */
        push(&c);
        assert_int_equal(c.frames - before, RTMP_TURN_MESSAGES);
        go_on(&c);
        assert_int_equal(c.frames - before, 2 * RTMP_TURN_MESSAGES);
        assert_true(c.behind);
        go_on(&c);
        assert_int_equal(c.last.dts_ms, 7777);
        assert_false(c.behind);
        client_fini(&c);
}

static void test_a_stranger_has_a_smaller_share(void **state)
{
        (void)state;
        struct client c;
        struct heard h;
        int answers = 0;
        client_init(&c);
        handshake(&c);
        connect_command(&c, "live", -1);
        push(&c);
        assert_true(hear(&c, &h));
        for (int i = 0; i < 100; i++)
                command(&c, 0, "_checkbw", i + 2, NULL);
        c.stays_behind = true;
        push(&c);
        while (hear(&c, &h))
                answers++;
        assert_int_equal(answers, RTMP_TURN_COMMANDS);
        while (c.behind)
                go_on(&c);
        while (hear(&c, &h))
                answers++;
        assert_int_equal(answers, 100);
        assert_int_equal(c.turns, 100 / RTMP_TURN_COMMANDS);
        client_fini(&c);
}

static void test_an_encoder_publishes_within_a_turn_or_two(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        configuration(&c);
        push(&c);
        assert_int_equal(c.begins, 1);
        assert_int_equal(c.turns, 0);
        client_fini(&c);
}

static void test_who_closes_while_it_is_behind_is_not_looked_at_any_more(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        configuration(&c);
        push(&c);
        int before = c.frames;
        c.stays_behind = true;
        tiny(&c, TINY);
        push(&c);
        rtmp_session_close(c.s, RTMP_CLOSE_MEMORY);
        assert_int_equal(rtmp_session_kept_bytes(c.s), 0);
        assert_false(c.paused); /* its socket is read to the end */
        go_on(&c);
        assert_int_equal(c.frames - before, RTMP_TURN_MESSAGES);
        client_fini(&c);
}

static void test_a_refusal_among_many_messages_is_the_last_thing(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        configuration(&c);
        push(&c);
        c.stays_behind = true;
        tiny(&c, 100);
        media(&c, RTMP_VIDEO, 0, "\x12", 1, "sorenson", 8);
        tiny(&c, 100);
        push(&c);
        int before = c.frames;
        go_on(&c);
        assert_int_equal(c.frames, before + 100 - RTMP_TURN_MESSAGES);
        assert_int_equal(c.closed, RTMP_CLOSE_CODEC);
        assert_int_equal(rtmp_session_kept_bytes(c.s), 0);
        client_fini(&c);
}

static void test_a_hold_and_being_behind_pause_the_socket_together(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        c.stays_behind = c.hold_on_frame = true;
        configuration(&c);
        tiny(&c, 2 * RTMP_TURN_MESSAGES);
        push(&c);
        assert_true(c.paused && c.behind);
        while (c.behind)
                go_on(&c);
        assert_true(c.paused); /* still held */
        c.events->hold(c.events_arg, false);
        assert_false(c.paused);
        client_fini(&c);
}

static void test_the_webhook_is_waited_for_by_one_that_is_behind(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        c.verdict = ADMISSION_PENDING;
        handshake(&c);
        connect_command(&c, "live", -1);
        for (int i = 0; i < 20; i++)
                command(&c, 0, "_checkbw", i + 2, NULL);
        command(&c, 1, "publish", 3, "cam");
        configuration(&c);
        push(&c);
        assert_true(c.paused);
        assert_false(c.behind);
        assert_int_equal(c.frames, 0);
        c.admission_events->allowed(c.admission_arg);
        assert_int_equal(c.begins, 1);
        assert_int_equal(c.frames, 2);
        assert_false(c.paused);
        client_fini(&c);
}

/* ---- aggregates */

static void aggregate(struct client *c, int parts)
{
        struct bytes b = {0};
        for (int i = 0; i < parts; i++) {
                put_be(&b, RTMP_AUDIO, 1), put_be(&b, 3, 3), put_be(&b, (unsigned)i, 3), put_be(&b, 0, 4);
                put(&b, "\xaf\1x", 3), put_be(&b, 14, 4);
        }
        message(&c->out, 7, 0, RTMP_AGGREGATE, 1, b.p, b.len, c->chunk_size);
        bytes_free(&b);
}

static void test_the_parts_of_an_aggregate_count_as_messages(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        configuration(&c);
        push(&c);
        int before = c.frames;
        c.stays_behind = true;
        aggregate(&c, RTMP_TURN_MESSAGES);
        aggregate(&c, 1);
        push(&c);
        assert_int_equal(c.frames - before, RTMP_TURN_MESSAGES);
        assert_true(c.behind);
        go_on(&c);
        assert_int_equal(c.frames - before, RTMP_TURN_MESSAGES + 1);
        client_fini(&c);
}

static void test_an_aggregate_of_parts_without_end_is_refused(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        configuration(&c);
        aggregate(&c, RTMP_AGGREGATE_PARTS);
        push(&c);
        assert_int_equal(c.closes, 0);
        aggregate(&c, RTMP_AGGREGATE_PARTS + 1);
        push(&c);
        assert_closed(&c, RTMP_CLOSE_AGGREGATE);
        client_fini(&c);
}

/* ---- what is left unfinished */

static void test_who_has_ended_its_stream_may_leave_as_little_unfinished_as_a_stranger(void **state)
{
        (void)state;
        struct client c;
        static uint8_t much[70000];
        client_init(&c);
        publish(&c, "cam");
        message(&c.out, 6, 0, RTMP_DATA_AMF0, 1, much, sizeof(much), c.chunk_size);
        command(&c, 1, "deleteStream", 0, NULL);
        push(&c);
        assert_int_equal(c.ends, 1);
        assert_int_equal(c.closes, 0);
        message(&c.out, 6, 0, RTMP_DATA_AMF0, 1, much, sizeof(much), c.chunk_size);
        push(&c);
        assert_closed(&c, RTMP_CLOSE_MESSAGE_SIZE);
        client_fini(&c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_tiny_messages_are_looked_at_over_many_turns_and_in_order),
                cmocka_unit_test(test_what_comes_while_it_is_behind_waits_behind_the_rest),
                cmocka_unit_test(test_a_stranger_has_a_smaller_share),
                cmocka_unit_test(test_an_encoder_publishes_within_a_turn_or_two),
                cmocka_unit_test(test_who_closes_while_it_is_behind_is_not_looked_at_any_more),
                cmocka_unit_test(test_a_refusal_among_many_messages_is_the_last_thing),
                cmocka_unit_test(test_a_hold_and_being_behind_pause_the_socket_together),
                cmocka_unit_test(test_the_webhook_is_waited_for_by_one_that_is_behind),
                cmocka_unit_test(test_the_parts_of_an_aggregate_count_as_messages),
                cmocka_unit_test(test_an_aggregate_of_parts_without_end_is_refused),
                cmocka_unit_test(test_who_has_ended_its_stream_may_leave_as_little_unfinished_as_a_stranger),
        };
        return cmocka_run_group_tests(tests, quiet, NULL);
}
