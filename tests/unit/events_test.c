#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/err.h"
#include "originD/events.h"

static const struct event_facts live = {.stream = "cam", .session = "20261121T100000Z-1a2b3c4d", .title = "A \"title\"",
                                        .epoch_us = 1795255200000000, .stored = true, .generation = 1, .node = "t1",
                                        .slate_us = 0};

static void test_nothing_is_told_before_a_chunk_is_stored(void **state)
{
        struct told told = {0};
        struct event out[EVENT_COUNT];
        struct event_facts f = live;
        (void)state;
        f.stored = false;
        assert_int_equal(events_find(&told, &f, out), 0);
        assert_false(told.started);
}

static void test_a_start_is_told_once(void **state)
{
        struct told told = {0};
        struct event out[EVENT_COUNT];
        (void)state;
        assert_int_equal(events_find(&told, &live, out), 1);
        assert_int_equal(out[0].kind, EVENT_STARTED);
        assert_string_equal(out[0].id, "20261121T100000Z-1a2b3c4d.started");
        assert_int_equal(out[0].wall_us, live.epoch_us);
        assert_int_equal(events_find(&told, &live, out), 0);
}

static void test_a_newer_generation_that_wrote_is_a_fail_over(void **state)
{
        struct told told = {0};
        struct event out[EVENT_COUNT];
        struct event_facts f = live;
        (void)state;
        events_find(&told, &f, out);
        f.generation = 3;
        f.node = "t2";
        f.generation_us = 4200000;
        assert_int_equal(events_find(&told, &f, out), 1);
        assert_int_equal(out[0].kind, EVENT_FAILED_OVER);
        assert_string_equal(out[0].id, "20261121T100000Z-1a2b3c4d.failed_over.3");
        assert_string_equal(out[0].before, "t1");
        assert_string_equal(out[0].node, "t2");
        assert_int_equal(out[0].media_us, 4200000);
        assert_int_equal(events_find(&told, &f, out), 0);
}

static void test_slate_begins_and_is_over_as_often_as_it_does(void **state)
{
        struct told told = {0};
        struct event out[EVENT_COUNT];
        struct event_facts f = live;
        (void)state;
        events_find(&told, &f, out);
        for (int64_t at_us = 1000000; at_us < 9000000; at_us += 2000000) {
                f.slate = true;
                f.slate_us = at_us;
                assert_int_equal(events_find(&told, &f, out), 1);
                assert_int_equal(out[0].kind, EVENT_SLATE_BEGUN);
                assert_int_equal(out[0].media_us, at_us);
                assert_int_equal(events_find(&told, &f, out), 0);
                f.slate = false;
                f.slate_us = at_us + 1000000;
                assert_int_equal(events_find(&told, &f, out), 1);
                assert_int_equal(out[0].kind, EVENT_SLATE_OVER);
        }
        assert_string_equal(out[0].id, "20261121T100000Z-1a2b3c4d.slate_over.8000");
}

/* After a start the flags of older chunks are not known: the files do not say them. */
static void test_slate_is_not_over_only_because_the_process_is_new(void **state)
{
        struct told told = {.started = true, .slate = true, .generation = 1};
        struct event out[EVENT_COUNT];
        struct event_facts f = live;
        (void)state;
        f.slate_us = -1;
        assert_int_equal(events_find(&told, &f, out), 0);
        f.slate_us = 5000000;
        assert_int_equal(events_find(&told, &f, out), 1);
        assert_int_equal(out[0].kind, EVENT_SLATE_OVER);
}

static void test_what_was_missed_by_a_dead_process_is_told_in_order(void **state)
{
        struct told told = {.started = true, .generation = 1, .node = "t1"};
        struct event out[EVENT_COUNT];
        struct event_facts f = live;
        (void)state;
        f.generation = 2;
        f.ended = f.by_writer = true;
        f.end_us = 9000000;
        assert_int_equal(events_find(&told, &f, out), 2);
        assert_int_equal(out[0].kind, EVENT_FAILED_OVER);
        assert_int_equal(out[1].kind, EVENT_ENDED);
        assert_true(out[1].by_writer);
        assert_int_equal(events_find(&told, &f, out), 0);
}

static void test_of_an_old_recording_nothing_is_told(void **state)
{
        struct told told = {0};
        struct event out[EVENT_COUNT];
        struct event_facts f = live;
        (void)state;
        f.ended = true;
        assert_int_equal(events_find(&told, &f, out), 0);
        assert_true(told.ended);
}

static void test_a_body_has_every_member_whatever_the_event(void **state)
{
        static const char *const members[] = {"id", "event", "stream", "session", "title", "time", "media_ms", "generation",
                                              "transcoder", "before", "why", "origin"};
        struct told told = {0};
        struct event out[EVENT_COUNT];
        struct event_facts f = live;
        (void)state;
        events_find(&told, &f, out);
        struct buf *body = event_body(&out[0], "origin-1");
        json_t *j = json_loadb((const char *)body->data, body->len, 0, NULL);
        assert_non_null(j);
        for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
                assert_non_null(json_object_get(j, members[i]));
        assert_int_equal(json_object_size(j), sizeof(members) / sizeof(members[0]));
        assert_string_equal(json_string_value(json_object_get(j, "time")), "2026-11-21T10:00:00.000Z");
        json_decref(j);
        buf_unref(&body);
}

static void test_events_and_what_was_told_come_back_from_json_as_they_were(void **state)
{
        struct told told = {0}, told_back;
        struct event out[EVENT_COUNT], back;
        (void)state;
        events_find(&told, &live, out);
        json_t *j = event_to_json(&out[0]);
        assert_int_equal(event_from_json(&back, j), 0);
        assert_memory_equal(&back, &out[0], sizeof(back));
        json_object_set_new(j, "generation", json_string("many"));
        assert_int_equal(event_from_json(&back, j), ERR_CORRUPT);
        json_decref(j);
        j = told_to_json(&told);
        assert_int_equal(told_from_json(&told_back, j), 0);
        assert_memory_equal(&told_back, &told, sizeof(told));
        json_decref(j);
}

/* Made beforehand with: printf '1795255200.{"id":"x"}' | openssl dgst -sha256 -hmac geheim */
static void test_the_signature_is_the_documented_one(void **state)
{
        char signature[SIGNATURE_MAX];
        (void)state;
        event_sign(signature, "geheim", 1795255200, "{\"id\":\"x\"}", 10);
        assert_string_equal(signature, "t=1795255200,v1=1fd208b2efba04d83302851c2ee7efabfa2e05c0b0d850f886e665a9804718ec");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nothing_is_told_before_a_chunk_is_stored),
                cmocka_unit_test(test_a_start_is_told_once),
                cmocka_unit_test(test_a_newer_generation_that_wrote_is_a_fail_over),
                cmocka_unit_test(test_slate_begins_and_is_over_as_often_as_it_does),
                cmocka_unit_test(test_slate_is_not_over_only_because_the_process_is_new),
                cmocka_unit_test(test_what_was_missed_by_a_dead_process_is_told_in_order),
                cmocka_unit_test(test_of_an_old_recording_nothing_is_told),
                cmocka_unit_test(test_a_body_has_every_member_whatever_the_event),
                cmocka_unit_test(test_events_and_what_was_told_come_back_from_json_as_they_were),
                cmocka_unit_test(test_the_signature_is_the_documented_one),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
