/* Two owners of a stream: the second is asked when the first is overdue, and nothing is taken twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "common/daemon/log.h"
#include "common/daemon/metrics.h"
#include "edged/hedge.h"
#include "edged/race.h"
#include "edged/stats.h"
#include "fake_upstream.h"

#define HOLD_US (4 * US_PER_S)
static const char key[] = "/live/cam/s1/v720/7.m4s", manifest[] = "/live/cam/manifest.mpd";

static struct object *get(struct fake_edge *e, const char *k)
{
        struct object *o;
        cache_get(e->cache, k, strlen(k), 0, fake_clock_us(), &o);
        run_loop(e);
        return o;
}

static void open_edge(struct fake_edge *e, uint64_t nodes)
{
        fake_edge_open(e, nodes, 4 << 20, 4096, HOLD_US, NULL);
        fake_stop_clock();
}

static struct fake_call *call(struct fake_edge *e, unsigned i)
{
        assert_in_range(i, 0, e->upstream->count - 1);
        return &e->upstream->calls[i];
}

static struct fake_call *last(struct fake_edge *e)
{
        return call(e, e->upstream->count - 1);
}

static enum object_state state_of(struct object *o)
{
        struct object_view v;
        object_look(o, fake_clock_us(), &v);
        object_unref(&v.stale);
        return v.state;
}

static void tick_after(struct fake_edge *e, int64_t us)
{
        fake_wait(us);
        fills_tick(e->fills, fake_clock_us());
}

static const char *text_of(struct object *o)
{
        static char text[64];
        memset(text, 0, sizeof(text));
        object_read(o, 0, text, sizeof(text) - 1);
        return text;
}

static char exposition[256 << 10];
static size_t exposition_len;

static void append(void *arg, const char *text, size_t len)
{
        (void)arg;
        assert_true(exposition_len + len < sizeof(exposition));
        memcpy(exposition + exposition_len, text, len);
        exposition[exposition_len += len] = 0;
}

/* The value of a series, named with its labels. */
static int64_t metric(const char *series)
{
        exposition_len = 0;
        metrics_render(append, NULL);
        char *at = strstr(exposition, series);
        assert_non_null(at);
        return atoll(at + strlen(series));
}

#define OK "edged_upstream_fetches_total{result=\"ok\"}"
#define SPARE "edged_upstream_fetches_total{result=\"spare\"}"
#define WON "edged_hedges_total{result=\"won\"}"
#define LOST "edged_hedges_total{result=\"lost\"}"
#define DENIED "edged_hedges_total{result=\"denied\"}"

static void test_the_next_owner_is_asked_when_the_first_is_overdue_and_not_before(void **state)
{
        (void)state;
        struct fake_edge e;
        open_edge(&e, 2);
        struct object *o = get(&e, manifest);
        tick_after(&e, HEDGE_THERE_US - 20 * US_PER_MS);
        assert_int_equal(e.upstream->count, 1);
        tick_after(&e, 20 * US_PER_MS);
        assert_int_equal(e.upstream->count, 2);
        assert_int_equal(last(&e)->node, 2);
        tick_after(&e, US_PER_S);
        assert_int_equal(e.upstream->count, 2); /* one, and no more */
        fake_answer_bytes(last(&e), "abc", 3, FETCH_COMPLETE, 1000, "application/dash+xml");
        assert_int_equal(state_of(o), OBJECT_COMPLETE);
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_bytes_that_are_still_to_be_made_are_waited_for_longer(void **state)
{
        (void)state;
        struct fake_edge e;
        open_edge(&e, 2);
        struct object *o = get(&e, key);
        tick_after(&e, HEDGE_GROWING_US - 20 * US_PER_MS);
        assert_int_equal(e.upstream->count, 1);
        fake_answer_bytes(last(&e), "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        tick_after(&e, HEDGE_GROWING_US - 20 * US_PER_MS);
        assert_int_equal(e.upstream->count, 2);
        tick_after(&e, 20 * US_PER_MS);
        assert_int_equal(e.upstream->count, 3);
        assert_int_equal(last(&e)->what.offset, 3);
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_the_first_good_answer_is_taken_and_counted_once(void **state)
{
        (void)state;
        struct fake_edge e;
        int64_t ok = metric(OK), spare = metric(SPARE), won = metric(WON), lost = metric(LOST);
        open_edge(&e, 2);
        struct object *o = get(&e, key);
        tick_after(&e, HEDGE_GROWING_US);
        fake_answer_bytes(call(&e, 1), "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        assert_int_equal(e.upstream->count, 3);
        fake_answer_bytes(call(&e, 0), "abcdef", 6, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4"); /* too late: dropped */
        assert_int_equal(state_of(o), OBJECT_FILLING);
        assert_string_equal(text_of(o), "abc");
        fake_answer_bytes(last(&e), "def", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        assert_string_equal(text_of(o), "abcdef");
        assert_int_equal(metric(OK) - ok, 2);
        assert_int_equal(metric(SPARE) - spare, 1);
        assert_int_equal(metric(WON) - won, 1);
        assert_int_equal(metric(LOST) - lost, 0);
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_a_first_answer_that_comes_after_all_wins_and_the_second_is_lost(void **state)
{
        (void)state;
        struct fake_edge e;
        int64_t won = metric(WON), lost = metric(LOST);
        open_edge(&e, 2);
        struct object *o = get(&e, key);
        tick_after(&e, HEDGE_GROWING_US);
        fake_answer_bytes(call(&e, 0), "abc", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        assert_int_equal(state_of(o), OBJECT_COMPLETE);
        object_unref(&o);
        assert_int_equal(fills_active(e.fills), 0);
        fake_answer_bytes(call(&e, 1), "abc", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4"); /* its fill is gone */
        assert_int_equal(metric(LOST) - lost, 1);
        assert_int_equal(metric(WON) - won, 0);
        fake_edge_close(&e);
}

static void test_a_second_owner_that_has_nothing_does_not_end_the_race(void **state)
{
        (void)state;
        struct fake_edge e;
        open_edge(&e, 2);
        struct object *o = get(&e, key);
        tick_after(&e, HEDGE_GROWING_US);
        fake_answer_status(call(&e, 1), ERR_NOT_FOUND, 1000);
        assert_int_equal(e.upstream->count, 2); /* the first is still asked */
        fake_answer_bytes(call(&e, 0), "abc", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        assert_int_equal(state_of(o), OBJECT_COMPLETE);
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_when_both_fail_the_object_goes_on(void **state)
{
        (void)state;
        struct fake_edge e;
        open_edge(&e, 2);
        struct object *o = get(&e, key);
        tick_after(&e, HEDGE_GROWING_US);
        fake_answer_error(call(&e, 1), ERR_CLOSED);
        fake_answer_error(call(&e, 0), ERR_CLOSED);
        assert_int_equal(state_of(o), OBJECT_FILLING);
        tick_after(&e, FILL_PAUSE_FIRST_US);
        assert_int_equal(e.upstream->count, 3);
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_a_frozen_owner_costs_one_second_fetch_and_is_then_asked_last(void **state)
{
        (void)state;
        struct fake_edge e;
        open_edge(&e, 2);
        struct object *o = get(&e, key);
        tick_after(&e, HEDGE_GROWING_US);
        fake_answer_bytes(call(&e, 1), "a", 1, FETCH_IMMUTABLE, 0, "video/mp4");
        for (int i = 0; i < 20; i++) { /* the rest of the object, from the one that answers */
                assert_int_equal(last(&e)->node, 2);
                fake_answer_bytes(last(&e), "a", 1, FETCH_IMMUTABLE, 0, "video/mp4");
        }
        struct object *other = get(&e, manifest);
        assert_int_equal(last(&e)->node, 2);
        fake_answer_error(last(&e), ERR_CLOSED);
        assert_int_equal(last(&e)->node, 1); /* last, but asked when there is nobody else */
        fake_answer_bytes(call(&e, 0), "a", 1, FETCH_IMMUTABLE, 0, "video/mp4"); /* it woke up */
        object_unref(&other);
        other = get(&e, "/live/cam/s1/v720/init.mp4");
        assert_int_equal(last(&e)->node, 1);
        object_unref(&other);
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_without_budget_no_second_fetch_is_sent(void **state)
{
        (void)state;
        struct fake_edge e;
        struct object *objects[2 * HEDGE_BURST];
        char k[64];
        int64_t denied = metric(DENIED);
        open_edge(&e, 2);
        for (int i = 0; i < 2 * HEDGE_BURST; i++) {
                snprintf(k, sizeof(k), "/live/cam/s1/v720/%d.m4s", i);
                objects[i] = get(&e, k);
        }
        tick_after(&e, HEDGE_GROWING_US);
        tick_after(&e, 0);
        unsigned seconds = e.upstream->count - 2 * HEDGE_BURST;
        assert_int_equal(seconds, HEDGE_BURST); /* it was full: 128 FETCHes cannot add to it */
        assert_int_equal(metric(DENIED) - denied, HEDGE_BURST); /* each told once, not each time it is looked at */
        for (int i = 0; i < 2 * HEDGE_BURST; i++)
                object_unref(&objects[i]);
        fake_edge_close(&e);
}

static void test_with_one_owner_there_is_no_race(void **state)
{
        (void)state;
        struct fake_edge e;
        int64_t denied = metric(DENIED), lost = metric(LOST);
        open_edge(&e, 1);
        struct object *o = get(&e, key);
        tick_after(&e, HEDGE_GROWING_US);
        assert_int_equal(e.upstream->count, 1);
        fake_answer_bytes(last(&e), "abc", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        assert_int_equal(metric(DENIED), denied);
        assert_int_equal(metric(LOST), lost);
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_an_owner_that_is_behind_is_not_waited_for_when_the_other_has_it(void **state)
{
        (void)state;
        struct fake_edge e;
        open_edge(&e, 2);
        struct object *o = get(&e, key);
        fake_answer_status(last(&e), ERR_NOT_YET, 0); /* at once, without waiting */
        assert_int_equal(e.upstream->count, 2);
        assert_int_equal(last(&e)->node, 2);
        fake_answer_bytes(last(&e), "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        assert_int_equal(last(&e)->node, 2); /* and stays with it */
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_owners_that_wait_are_asked_in_turns_without_a_pause(void **state)
{
        (void)state;
        struct fake_edge e;
        open_edge(&e, 2);
        struct object *o = get(&e, key);
        for (unsigned i = 0; i < 6; i++) {
                struct fake_call *c = last(&e);
                assert_int_equal(e.upstream->count, i + 1);
                assert_int_equal(c->node, i % 2 + 1);
                fake_wait(c->what.wait_ms * US_PER_MS);
                atomic_store(&o->wanted_us, fake_clock_us()); /* somebody goes on to ask */
                fake_answer_status(c, ERR_NOT_YET, 0);
        }
        assert_int_equal(e.upstream->count, 7);
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_what_was_not_there_yet_is_raced_for_only_after_half_a_second(void **state)
{
        (void)state;
        struct fake_edge e;
        open_edge(&e, 2);
        struct object *o = get(&e, key);
        int64_t patience_us = RACE_PATIENCE_MS * US_PER_MS;
        for (int i = 0; i < 2; i++) { /* neither owner has it */
                fake_wait(last(&e)->what.wait_ms * US_PER_MS);
                atomic_store(&o->wanted_us, fake_clock_us()); /* somebody goes on to ask */
                fake_answer_status(last(&e), ERR_NOT_YET, 0);
        }
        assert_int_equal(e.upstream->count, 3);
        tick_after(&e, patience_us + HEDGE_THERE_US - 20 * US_PER_MS); /* nothing is known to exist: no race for it */
        assert_int_equal(e.upstream->count, 3);
        tick_after(&e, 20 * US_PER_MS);
        assert_int_equal(e.upstream->count, 4);
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_a_frozen_owner_is_left_when_the_other_has_waited_in_vain(void **state)
{
        (void)state;
        struct fake_edge e;
        open_edge(&e, 2);
        struct object *o = get(&e, key);
        tick_after(&e, HEDGE_GROWING_US);
        fake_wait(call(&e, 1)->what.wait_ms * US_PER_MS);
        fake_answer_status(call(&e, 1), ERR_NOT_YET, 0);
        assert_int_equal(e.upstream->count, 3); /* though the first has said nothing */
        assert_int_equal(last(&e)->node, 2);
        object_unref(&o);
        fake_edge_close(&e);
}

#define MPD(session) "<MPD><SegmentTemplate media=\"" session "/v720/1.m4s\"/></MPD>"
#define OLD MPD("20260131T123456Z-ffffffff")
#define NEW MPD("20260131T123457Z-00000000")

static void answer_manifest(struct fake_edge *e, const char *text)
{
        fake_answer_bytes(last(e), text, strlen(text), FETCH_COMPLETE, 0, "application/dash+xml");
}

/* Of an origin that stood still while a new session began. */
static void test_nobody_is_sent_back_to_an_older_session_while_an_owner_has_the_newer(void **state)
{
        (void)state;
        struct fake_edge e;
        open_edge(&e, 2);
        struct object *o = get(&e, manifest);
        answer_manifest(&e, NEW);
        object_unref(&o);
        fake_wait(US_PER_S);
        o = get(&e, manifest);
        assert_int_equal(last(&e)->node, 1);
        answer_manifest(&e, OLD);
        assert_int_equal(last(&e)->node, 2);
        answer_manifest(&e, NEW);
        assert_int_equal(state_of(o), OBJECT_COMPLETE);
        assert_memory_equal(text_of(o), NEW, 50);
        object_unref(&o);
        fake_wait(US_PER_S);
        o = get(&e, manifest); /* and when it is all there is, it is better than nothing */
        answer_manifest(&e, OLD);
        fake_answer_status(last(&e), ERR_NOT_FOUND, 1000);
        assert_int_equal(state_of(o), OBJECT_FILLING);
        answer_manifest(&e, OLD);
        assert_memory_equal(text_of(o), OLD, 50);
        object_unref(&o);
        fake_wait(US_PER_S);
        o = get(&e, manifest);
        answer_manifest(&e, OLD); /* now it is the newest again */
        assert_int_equal(state_of(o), OBJECT_COMPLETE);
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_pauses_grow_are_bounded_and_spread(void **state)
{
        (void)state;
        int64_t most_us = FILL_PAUSE_FIRST_US;
        for (unsigned round = 0; round < 100; round++) {
                int64_t least = INT64_MAX, most = 0;
                for (uint64_t i = 0; i < 1000; i++) {
                        int64_t us = fill_pause_us(round, i * 0x9e3779b97f4a7c15u);
                        least = us < least ? us : least;
                        most = us > most ? us : most;
                }
                assert_in_range(least, 1, most_us / 20);
                assert_in_range(most, most_us * 19 / 20, most_us);
                most_us = 2 * most_us < FILL_PAUSE_MAX_US ? 2 * most_us : FILL_PAUSE_MAX_US;
        }
}

static void test_a_thousand_objects_that_failed_together_do_not_ask_together(void **state)
{
        (void)state;
        struct fake_edge e;
        struct object *objects[1000];
        char k[64];
        open_edge(&e, 1);
        for (int i = 0; i < 1000; i++) {
                snprintf(k, sizeof(k), "/live/cam/s1/v720/%d.m4s", i);
                objects[i] = get(&e, k);
        }
        int64_t now_us = fake_clock_us();
        for (int i = 0; i < 1000; i++)
                fake_answer_error(call(&e, (unsigned)i), ERR_CLOSED);
        unsigned before = e.upstream->count, most = 0;
        for (int64_t t = 0; t <= 2 * FILL_PAUSE_FIRST_US; t += FILL_TICK_MS * US_PER_MS / 2) {
                unsigned count = e.upstream->count;
                fills_tick(e.fills, now_us + t);
                most = e.upstream->count - count > most ? e.upstream->count - count : most;
        }
        assert_int_equal(e.upstream->count - before, 1000);
        assert_true(most < 600);
        for (int i = 0; i < 1000; i++)
                object_unref(&objects[i]);
        fake_edge_close(&e);
}

static void test_a_node_that_appears_is_asked_soon(void **state)
{
        (void)state;
        struct fake_edge e;
        open_edge(&e, 0);
        struct object *o = get(&e, key);
        for (int i = 1; i < 8; i++)
                tick_after(&e, 100 * US_PER_MS); /* the pauses are long by now */
        e.upstream->nodes = 1;
        fills_nodes_changed(e.fills);
        tick_after(&e, FILL_SPREAD_US);
        assert_int_equal(e.upstream->count, 1);
        object_unref(&o);
        fake_edge_close(&e);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_next_owner_is_asked_when_the_first_is_overdue_and_not_before),
                cmocka_unit_test(test_bytes_that_are_still_to_be_made_are_waited_for_longer),
                cmocka_unit_test(test_the_first_good_answer_is_taken_and_counted_once),
                cmocka_unit_test(test_a_first_answer_that_comes_after_all_wins_and_the_second_is_lost),
                cmocka_unit_test(test_a_second_owner_that_has_nothing_does_not_end_the_race),
                cmocka_unit_test(test_when_both_fail_the_object_goes_on),
                cmocka_unit_test(test_a_frozen_owner_costs_one_second_fetch_and_is_then_asked_last),
                cmocka_unit_test(test_without_budget_no_second_fetch_is_sent),
                cmocka_unit_test(test_with_one_owner_there_is_no_race),
                cmocka_unit_test(test_an_owner_that_is_behind_is_not_waited_for_when_the_other_has_it),
                cmocka_unit_test(test_owners_that_wait_are_asked_in_turns_without_a_pause),
                cmocka_unit_test(test_what_was_not_there_yet_is_raced_for_only_after_half_a_second),
                cmocka_unit_test(test_a_frozen_owner_is_left_when_the_other_has_waited_in_vain),
                cmocka_unit_test(test_nobody_is_sent_back_to_an_older_session_while_an_owner_has_the_newer),
                cmocka_unit_test(test_pauses_grow_are_bounded_and_spread),
                cmocka_unit_test(test_a_thousand_objects_that_failed_together_do_not_ask_together),
                cmocka_unit_test(test_a_node_that_appears_is_asked_soon),
        };
        log_set_level(LOG_ERROR);
        stats_register();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
