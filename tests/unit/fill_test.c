#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "common/daemon/log.h"
#include "fake_upstream.h"

#define HOLD_US (4 * US_PER_S)
static const char key[] = "/live/cam/s1/v720/7.m4s";

static struct object *get(struct fake_edge *e, const char *k)
{
        struct object *o;
        cache_get(e->cache, k, strlen(k), 0, fake_clock_us(), &o);
        run_loop(e);
        return o;
}

static void open_edge(struct fake_edge *e, uint64_t nodes)
{
        fake_edge_open(e, nodes, 4 << 20, 64, HOLD_US, NULL);
        fake_stop_clock();
}

static struct object_view look(struct object *o)
{
        struct object_view v;
        object_look(o, fake_clock_us(), &v);
        return v;
}

static struct fake_call *last(struct fake_edge *e)
{
        return &e->upstream->calls[e->upstream->count - 1];
}

static void test_second_caller_waits_for_the_first(void **state)
{
        (void)state;
        struct fake_edge e;
        struct object *viewers[200];
        open_edge(&e, 2);
        for (int i = 0; i < 200; i++)
                viewers[i] = get(&e, key);
        assert_int_equal(e.upstream->count, 1);
        fake_answer_bytes(last(&e), "abc", 3, FETCH_COMPLETE | FETCH_IMMUTABLE, 0, "video/mp4");
        assert_int_equal(e.upstream->count, 1);
        for (int i = 0; i < 200; i++) {
                assert_int_equal(look(viewers[i]).state, OBJECT_COMPLETE);
                object_unref(&viewers[i]);
        }
        fake_edge_close(&e);
}

static unsigned asked_for(struct fake_edge *e, const char *k)
{
        unsigned n = 0;
        for (unsigned i = 0; i < e->upstream->count; i++)
                n += strcmp(e->upstream->calls[i].what.key, k) == 0;
        return n;
}

static void bring(struct fake_edge *e, size_t len)
{
        static const char bytes[5 << 20];
        fake_answer_bytes(last(e), bytes, len, FETCH_COMPLETE | FETCH_IMMUTABLE, 0, "video/mp4");
}

/* The cache is full of what a slow reader keeps: he is being closed, so what is to come is asked for again, and not given up at once. */
static void test_room_that_is_about_to_be_there_is_waited_for(void **state)
{
        (void)state;
        struct fake_edge e;
        struct object *reader, *o;
        open_edge(&e, 2);
        reader = get(&e, "/live/cam/s1/v720/1.m4s");
        bring(&e, 3 << 20);
        o = get(&e, key);
        bring(&e, 2500000);
        assert_int_equal(look(o).state, OBJECT_FILLING);
        assert_true(object_is_cut(reader));
        object_unref(&reader);
        fake_wait(FILL_PAUSE_FIRST_US);
        fills_tick(e.fills, fake_clock_us());
        assert_int_equal(asked_for(&e, key), 2);
        bring(&e, 2500000);
        assert_int_equal(look(o).state, OBJECT_COMPLETE);
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_room_that_never_comes_is_not_waited_for_long(void **state)
{
        (void)state;
        struct fake_edge e;
        open_edge(&e, 2);
        struct object *o = get(&e, key);
        bring(&e, 5 << 20); /* of a cache of four */
        assert_int_equal(look(o).state, OBJECT_FILLING);
        fake_wait(FILL_NO_ROOM_US);
        fills_tick(e.fills, fake_clock_us());
        bring(&e, 5 << 20);
        assert_int_equal(look(o).state, OBJECT_FAILED);
        assert_int_equal(look(o).failure, ERR_NOSPACE);
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_what_there_is_no_room_for_is_not_brought_again_and_again(void **state)
{
        (void)state;
        struct fake_edge e;
        open_edge(&e, 2);
        struct object *o = get(&e, key);
        for (int ms = 0; look(o).state == OBJECT_FILLING; ms += 5) {
                assert_true(ms <= 2 * FILL_NO_ROOM_US / US_PER_MS);
                if (fake_open(e.upstream))
                        bring(&e, 5 << 20);
                fake_wait(5 * US_PER_MS);
                fills_tick(e.fills, fake_clock_us());
        }
        assert_int_equal(look(o).failure, ERR_NOSPACE);
        assert_in_range(asked_for(&e, key), 2, 12); /* five or so, by chance */
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_a_growing_object_is_asked_for_from_where_it_ends(void **state)
{
        (void)state;
        struct fake_edge e;
        char text[16] = {0};
        open_edge(&e, 1);
        struct object *o = get(&e, key);
        fake_answer_bytes(last(&e), "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        assert_int_equal(last(&e)->what.offset, 3);
        assert_true(last(&e)->what.wait_ms > 0);
        fake_answer_bytes(last(&e), "de", 2, FETCH_IMMUTABLE, 0, "video/mp4");
        assert_int_equal(last(&e)->what.offset, 5);
        assert_int_equal(look(o).state, OBJECT_FILLING);
        fake_answer_bytes(last(&e), NULL, 0, FETCH_COMPLETE | FETCH_IMMUTABLE, 0, "video/mp4");
        assert_int_equal(look(o).state, OBJECT_COMPLETE);
        assert_int_equal(object_read(o, 0, text, 16), 5);
        assert_string_equal(text, "abcde");
        assert_string_equal(o->type, "video/mp4");
        assert_int_equal(fills_active(e.fills), 0);
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_not_found_is_believed_only_when_all_asked_say_so(void **state)
{
        (void)state;
        struct fake_edge e;
        open_edge(&e, 2);
        struct object *o = get(&e, key);
        fake_answer_status(last(&e), ERR_NOT_FOUND, 2000);
        assert_int_equal(look(o).state, OBJECT_FILLING);
        assert_int_equal(last(&e)->node, 2);
        fake_answer_status(last(&e), ERR_NOT_FOUND, 500);
        assert_int_equal(look(o).state, OBJECT_MISSING);
        assert_true(o->expires_us <= fake_clock_us() + 500 * US_PER_MS); /* the shorter of the two */
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_a_failed_node_makes_not_found_doubtful(void **state)
{
        (void)state;
        struct fake_edge e;
        open_edge(&e, 2);
        struct object *o = get(&e, key);
        fake_answer_error(last(&e), ERR_TIMEOUT);
        fake_answer_status(last(&e), ERR_NOT_FOUND, 1000);
        assert_int_equal(look(o).state, OBJECT_FILLING); /* the one that failed may have it */
        fills_tick(e.fills, fake_clock_us() + FILL_PAUSE_FIRST_US);
        assert_int_equal(e.upstream->count, 3);
        assert_int_equal(last(&e)->node, 2); /* the one that did not answer is asked last now */
        fake_answer_status(last(&e), ERR_NOT_FOUND, 1000);
        assert_int_equal(last(&e)->node, 1);
        fake_answer_bytes(last(&e), "abc", 3, FETCH_COMPLETE, 1000, "video/mp4");
        assert_int_equal(look(o).state, OBJECT_COMPLETE);
        object_unref(&o);
        fake_edge_close(&e);
}

/* A start reads what is stored for a while, and this name may be of it: 404 would be wrong, and remembered. */
static void test_a_name_that_an_origin_which_starts_cannot_tell_of_is_answered_later_and_not_remembered(void **state)
{
        (void)state;
        struct fake_edge e;
        open_edge(&e, 2);
        struct object *o = get(&e, key);
        fake_answer_status(last(&e), ERR_NOT_FOUND, 1000);
        fake_answer_status(last(&e), ERR_NOT_YET, 0);
        assert_int_equal(look(o).state, OBJECT_FILLING);
        atomic_store(&o->wanted_us, fake_clock_us() - HOLD_US); /* as if nobody had asked for hold_us */
        fills_tick(e.fills, fake_clock_us() + FILL_PAUSE_FIRST_US);
        fake_answer_status(last(&e), ERR_NOT_FOUND, 1000);
        struct object_view v = look(o);
        assert_int_equal(v.state, OBJECT_FAILED);
        assert_int_equal(v.failure, ERR_NOT_YET); /* 503 and Retry-After */
        object_unref(&o);
        fake_wait(CACHE_FAILED_FIRST_US);
        o = get(&e, key); /* it has started: now both know */
        assert_int_equal(look(o).state, OBJECT_FILLING);
        fake_answer_status(last(&e), ERR_NOT_FOUND, 1000);
        fake_answer_status(last(&e), ERR_NOT_FOUND, 1000);
        assert_int_equal(look(o).state, OBJECT_MISSING);
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_an_origin_that_dies_in_mid_fill_is_replaced_at_the_same_offset(void **state)
{
        (void)state;
        struct fake_edge e;
        char text[8] = {0};
        open_edge(&e, 2);
        struct object *o = get(&e, key);
        fake_answer_bytes(last(&e), "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        fake_answer_error(last(&e), ERR_CLOSED);
        assert_int_equal(last(&e)->node, 2);
        assert_int_equal(last(&e)->what.offset, 3);
        fake_answer_bytes(last(&e), "def", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        assert_int_equal(object_read(o, 0, text, 8), 6);
        assert_string_equal(text, "abcdef");
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_a_segment_that_is_due_is_held_and_never_missing(void **state)
{
        (void)state;
        struct fake_edge e;
        open_edge(&e, 1);
        struct object *o = get(&e, key);
        fake_answer_status(last(&e), ERR_NOT_YET, 0); /* at once: it must not be asked in a tight circle */
        assert_int_equal(e.upstream->count, 1);
        fills_tick(e.fills, fake_clock_us() + FILL_PAUSE_FIRST_US);
        assert_int_equal(e.upstream->count, 2);
        fake_answer_status(last(&e), ERR_NOT_FOUND, 1000);
        assert_int_equal(look(o).state, OBJECT_FILLING); /* it was due a moment ago */
        atomic_store(&o->wanted_us, fake_clock_us() - HOLD_US); /* as if nobody had asked for hold_us */
        fills_tick(e.fills, fake_clock_us() + 2 * FILL_PAUSE_FIRST_US);
        fake_answer_status(last(&e), ERR_NOT_YET, 0);
        struct object_view v = look(o);
        assert_int_equal(v.state, OBJECT_FAILED);
        assert_int_equal(v.failure, ERR_NOT_YET);
        object_unref(&o);
        fake_wait(CACHE_FAILED_FIRST_US);
        o = get(&e, key); /* and the next request begins anew */
        assert_int_equal(look(o).state, OBJECT_FILLING);
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_what_one_owner_makes_within_two_seconds_costs_one_question(void **state)
{
        (void)state;
        struct fake_edge e;
        open_edge(&e, 1);
        struct object *o = get(&e, key);
        assert_int_equal(last(&e)->what.wait_ms, FILL_BEGIN_MS);
        for (int i = 0; i < 18; i++) {
                fake_wait(100 * US_PER_MS);
                fills_tick(e.fills, fake_clock_us());
        }
        fake_answer_bytes(last(&e), "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        assert_int_equal(e.upstream->count, 2); /* the pieces, and one more */
        assert_int_equal(last(&e)->what.wait_ms, FILL_WAIT_MS);
        object_unref(&o);
        fake_edge_close(&e);
}

/* It may be the one that has it. */
static void test_a_node_that_has_too_much_to_do_is_waited_for(void **state)
{
        (void)state;
        struct fake_edge e;
        open_edge(&e, 2);
        node_set_add(&e.upstream->busy, 2);
        struct object *o = get(&e, key);
        fake_answer_status(last(&e), ERR_NOT_FOUND, 1000);
        assert_int_equal(look(o).state, OBJECT_FILLING);
        node_set_add(&e.upstream->busy, 1);
        unsigned count = e.upstream->count;
        for (int i = 0; i < 20; i++) { /* longer than a tier without nodes is waited for */
                fake_wait(100 * US_PER_MS);
                fills_tick(e.fills, fake_clock_us());
        }
        assert_int_equal(e.upstream->count, count);
        assert_int_equal(look(o).state, OBJECT_FILLING);
        e.upstream->busy = (struct node_set){0};
        fake_wait(FILL_PAUSE_MAX_US);
        fills_tick(e.fills, fake_clock_us());
        assert_int_equal(e.upstream->count, count + 1);
        fake_answer_bytes(last(&e), "abc", 3, FETCH_COMPLETE | FETCH_IMMUTABLE, 0, "video/mp4");
        assert_int_equal(look(o).state, OBJECT_COMPLETE);
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_nobody_is_asked_for_a_segment_before_it_can_be_there(void **state)
{
        (void)state;
        struct fake_edge e;
        struct object_view v;
        open_edge(&e, 2);
        struct object *o = get(&e, key);
        fake_answer_status(last(&e), ERR_NOT_YET, 3000);
        v = look(o);
        assert_int_equal(v.again_us, fake_clock_us() + 3 * US_PER_S);
        for (int i = 0; i < 29; i++) {
                fake_wait(100 * US_PER_MS);
                fills_tick(e.fills, fake_clock_us());
                struct object *other = get(&e, key);
                assert_ptr_equal(other, o);
                object_unref(&other);
        }
        assert_int_equal(e.upstream->count, 1);
        fake_wait(100 * US_PER_MS);
        fills_tick(e.fills, fake_clock_us());
        assert_int_equal(e.upstream->count, 2);
        fake_answer_bytes(last(&e), "abc", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        assert_int_equal(look(o).state, OBJECT_COMPLETE);
        object_unref(&o);
        fake_edge_close(&e);
}

/* The edge holds a viewer for hold_us; the origin speaks of segments that are further ahead. */
static void test_a_segment_that_nobody_would_be_held_for_is_refused_at_once(void **state)
{
        (void)state;
        struct fake_edge e;
        open_edge(&e, 2);
        struct object *o = get(&e, key);
        fake_answer_status(last(&e), ERR_NOT_YET, 6000);
        struct object_view v = look(o);
        assert_int_equal(v.state, OBJECT_FAILED);
        assert_int_equal(v.failure, ERR_NOT_YET);
        assert_int_equal(v.again_us, fake_clock_us() + 6 * US_PER_S - HOLD_US);
        object_unref(&o);
        fake_wait(6 * US_PER_S - HOLD_US - 1);
        o = get(&e, key);
        assert_int_equal(look(o).state, OBJECT_FAILED);
        assert_int_equal(e.upstream->count, 1);
        object_unref(&o);
        fake_wait(1);
        o = get(&e, key);
        assert_int_equal(look(o).state, OBJECT_FILLING);
        assert_int_equal(e.upstream->count, 2);
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_without_any_origin_it_fails_after_a_second(void **state)
{
        (void)state;
        struct fake_edge e;
        open_edge(&e, 0);
        struct object *o = get(&e, key);
        assert_int_equal(look(o).state, OBJECT_FILLING);
        fills_tick(e.fills, fake_clock_us() + FILL_NO_NODE_US);
        assert_int_equal(look(o).state, OBJECT_FAILED);
        assert_int_equal(look(o).failure, ERR_CLOSED);
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_a_fill_nobody_waits_for_finishes_anyway(void **state)
{
        (void)state;
        struct fake_edge e;
        struct object *o = NULL;
        open_edge(&e, 1);
        o = get(&e, key);
        object_unref(&o);
        fake_answer_bytes(last(&e), "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        fake_answer_bytes(last(&e), "def", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        assert_int_equal(cache_get(e.cache, key, strlen(key), 0, fake_clock_us(), &o), CACHE_HIT);
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_an_object_over_the_limit_is_cut_off(void **state)
{
        (void)state;
        struct fake_edge e;
        char *mb = mem_alloc(1 << 20);
        fake_edge_open(&e, 1, 64 << 20, 64, HOLD_US, NULL);
        fake_stop_clock();
        struct object *o = get(&e, key);
        for (int i = 0; i < 8; i++)
                fake_answer_bytes(last(&e), mb, 1 << 20, FETCH_IMMUTABLE, 0, "video/mp4");
        assert_int_equal(look(o).state, OBJECT_FILLING);
        fake_answer_bytes(last(&e), mb, 1, FETCH_IMMUTABLE, 0, "video/mp4");
        assert_int_equal(look(o).failure, ERR_LIMIT);
        object_unref(&o);
        fake_edge_close(&e);
        free(mb);
}

/* It would be put together of two versions. */
static void test_what_changes_is_taken_whole_or_not_at_all(void **state)
{
        (void)state;
        static const char *const names[] = {"/live/cam/manifest.mpd", "/live/cam/s1/manifest.mpd", "/live/cam/s1/v720/media.m3u8",
                                            "/live/cam/s1/v720/media.17.1.m3u8"};
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) * 2; i++) {
                struct fake_edge e;
                bool whole = i % 2;
                open_edge(&e, 2);
                struct object *o = get(&e, names[i / 2]);
                fake_answer_bytes(last(&e), "#EXTM3U", 7, 0, 1000, "text/plain");
                assert_int_equal(look(o).len, 0);
                assert_int_equal(last(&e)->node, 2); /* it may be of a later version, which gives all */
                if (whole)
                        fake_answer_bytes(last(&e), "#EXTM3U", 7, FETCH_COMPLETE, 1000, "text/plain");
                else
                        fake_answer_bytes(last(&e), "#EXTM3U", 7, 0, 1000, "text/plain");
                assert_int_equal(look(o).state, whole ? OBJECT_COMPLETE : OBJECT_FAILED);
                object_unref(&o);
                fake_edge_close(&e);
        }
}

static void test_a_type_that_would_forge_a_header_is_not_passed_on(void **state)
{
        (void)state;
        struct fake_edge e;
        open_edge(&e, 1);
        struct object *o = get(&e, "/live/cam/manifest.mpd");
        fake_answer_bytes(last(&e), "abc", 3, FETCH_COMPLETE, 1000, "text/html\r\nX-Evil: 1");
        assert_string_equal(o->type, "application/dash+xml");
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_the_list_of_streams_comes_from_every_origin(void **state)
{
        (void)state;
        struct fake_edge e;
        char text[128] = {0};
        open_edge(&e, 2);
        struct object *o = get(&e, "/api/streams");
        assert_int_equal(e.upstream->count, 2);
        fake_answer_bytes(&e.upstream->calls[0], "{\"streams\":[{\"id\":\"a\"}]}", 24, FETCH_COMPLETE, 1000, "application/json");
        fake_answer_bytes(&e.upstream->calls[1], "{\"streams\":[{\"id\":\"b\"}]}", 24, FETCH_COMPLETE, 1000, "application/json");
        assert_int_equal(look(o).state, OBJECT_COMPLETE);
        object_read(o, 0, text, sizeof(text));
        assert_string_equal(text, "{\"streams\":[{\"id\":\"a\"},{\"id\":\"b\"}]}");
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_a_page_of_recordings_comes_from_every_origin(void **state)
{
        (void)state;
#define ONE(session) "{\"id\":\"a\",\"session\":\"" session "\",\"started\":\"2026-01-31T12:34:56.000Z\"}"
        static const char *const lists[] = {"{\"recordings\":[" ONE("S1") "]}", "{\"recordings\":[" ONE("S2") "]}"};
        struct fake_edge e;
        char text[256] = {0};
        open_edge(&e, 2);
        struct object *o = get(&e, "/api/recordings/before/2026-01-31T12:34:57.000Z");
        assert_int_equal(e.upstream->count, 2);
        for (int i = 0; i < 2; i++)
                fake_answer_bytes(&e.upstream->calls[i], lists[i], strlen(lists[i]), FETCH_COMPLETE, 1000, "application/json");
        while (look(o).state == OBJECT_FILLING)
                uv_run(&e.loop, UV_RUN_ONCE); /* it is put together on a thread */
        assert_int_equal(look(o).state, OBJECT_COMPLETE);
        object_read(o, 0, text, sizeof(text));
        assert_string_equal(text, "{\"recordings\":[" ONE("S2") "," ONE("S1") "]}");
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_a_list_waits_for_nodes_that_all_have_too_much_to_do(void **state)
{
        (void)state;
        struct fake_edge e;
        open_edge(&e, 2);
        node_set_add(&e.upstream->busy, 1);
        node_set_add(&e.upstream->busy, 2);
        struct object *o = get(&e, "/api/streams");
        assert_int_equal(e.upstream->count, 0);
        assert_int_equal(look(o).state, OBJECT_FILLING);
        e.upstream->busy = (struct node_set){0};
        fake_wait(FILL_PAUSE_MAX_US);
        fills_tick(e.fills, fake_clock_us());
        assert_int_equal(e.upstream->count, 2);
        for (int i = 0; i < 2; i++)
                fake_answer_bytes(&e.upstream->calls[i], "{\"streams\":[]}", 14, FETCH_COMPLETE, 1000, "application/json");
        assert_int_equal(look(o).state, OBJECT_COMPLETE);
        assert_int_equal(fills_active(e.fills), 0);
        object_unref(&o);
        fake_edge_close(&e);
}

/* Who asked for it is told, and nobody waits for what is still to come. */
static void test_a_list_that_is_under_way_at_the_end_fails(void **state)
{
        (void)state;
        struct fake_edge e;
        open_edge(&e, 1);
        struct object *o = get(&e, "/api/streams");
        fills_stop(e.fills);
        assert_int_equal(look(o).state, OBJECT_FAILED);
        assert_int_equal(fills_active(e.fills), 0);
        fake_answer_bytes(last(&e), "{\"streams\":[]}", 14, FETCH_COMPLETE, 1000, "application/json");
        object_unref(&o);
        fake_edge_close(&e);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_second_caller_waits_for_the_first),
                cmocka_unit_test(test_room_that_is_about_to_be_there_is_waited_for),
                cmocka_unit_test(test_room_that_never_comes_is_not_waited_for_long),
                cmocka_unit_test(test_what_there_is_no_room_for_is_not_brought_again_and_again),
                cmocka_unit_test(test_a_growing_object_is_asked_for_from_where_it_ends),
                cmocka_unit_test(test_not_found_is_believed_only_when_all_asked_say_so),
                cmocka_unit_test(test_a_failed_node_makes_not_found_doubtful),
                cmocka_unit_test(test_a_name_that_an_origin_which_starts_cannot_tell_of_is_answered_later_and_not_remembered),
                cmocka_unit_test(test_an_origin_that_dies_in_mid_fill_is_replaced_at_the_same_offset),
                cmocka_unit_test(test_a_segment_that_is_due_is_held_and_never_missing),
                cmocka_unit_test(test_what_one_owner_makes_within_two_seconds_costs_one_question),
                cmocka_unit_test(test_a_node_that_has_too_much_to_do_is_waited_for),
                cmocka_unit_test(test_nobody_is_asked_for_a_segment_before_it_can_be_there),
                cmocka_unit_test(test_a_segment_that_nobody_would_be_held_for_is_refused_at_once),
                cmocka_unit_test(test_without_any_origin_it_fails_after_a_second),
                cmocka_unit_test(test_a_fill_nobody_waits_for_finishes_anyway),
                cmocka_unit_test(test_an_object_over_the_limit_is_cut_off),
                cmocka_unit_test(test_what_changes_is_taken_whole_or_not_at_all),
                cmocka_unit_test(test_a_type_that_would_forge_a_header_is_not_passed_on),
                cmocka_unit_test(test_the_list_of_streams_comes_from_every_origin),
                cmocka_unit_test(test_a_page_of_recordings_comes_from_every_origin),
                cmocka_unit_test(test_a_list_waits_for_nodes_that_all_have_too_much_to_do),
                cmocka_unit_test(test_a_list_that_is_under_way_at_the_end_fails),
        };
        log_set_level(LOG_ERROR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
