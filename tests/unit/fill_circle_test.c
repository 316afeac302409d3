/* fill: edges above edges, and a FETCH that comes round to where it began. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "common/daemon/log.h"
#include "fake_upstream.h"

#define HOLD_US (4 * US_PER_S)
static const char key[] = "/live/cam/s1/v720/7.m4s";

static void open_edge(struct fake_edge *e, uint64_t nodes, bool of_edges)
{
        fake_edge_open(e, nodes, 4 << 20, 64, HOLD_US, NULL);
        e->upstream->base.of_edges = of_edges;
        fake_stop_clock();
}

/* As serve.c does for who stands so many tiers below. */
static struct object *get(struct fake_edge *e, uint8_t hops)
{
        struct object *o;
        cache_get(e->cache, key, strlen(key), hops, fake_clock_us(), &o);
        run_loop(e);
        return o;
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

static void wait_us(struct fake_edge *e, int64_t us)
{
        fake_wait(us);
        fills_tick(e->fills, fake_clock_us());
}

static void test_what_is_joined_from_further_down_is_sounded_when_nothing_comes(void **state)
{
        (void)state;
        struct fake_edge e;
        open_edge(&e, 1, true);
        struct object *viewer = get(&e, 0), *below = get(&e, 2);
        assert_ptr_equal(viewer, below);
        wait_us(&e, FILL_SOUND_US - 1);
        assert_int_equal(e.upstream->count, 1);
        wait_us(&e, 1);
        assert_int_equal(e.upstream->count, 2);
        assert_int_equal(last(&e)->what.hops, 2);
        assert_int_equal(last(&e)->what.offset, INT64_MAX); /* no byte comes twice */
        assert_int_equal(last(&e)->node, e.upstream->calls[0].node);
        fake_answer_status(last(&e), ERR_NOT_FOUND, 1000); /* as it is for who asks beyond the end */
        wait_us(&e, FILL_SOUND_US);
        assert_int_equal(e.upstream->count, 2); /* once */
        assert_int_equal(look(viewer).state, OBJECT_FILLING);
        struct object *deeper = get(&e, 3);
        wait_us(&e, 0);
        assert_int_equal(e.upstream->count, 3);
        assert_int_equal(last(&e)->what.hops, 3);
        fake_answer_bytes(&e.upstream->calls[0], "abc", 3, FETCH_COMPLETE | FETCH_IMMUTABLE, 0, "video/mp4");
        assert_int_equal(look(viewer).state, OBJECT_COMPLETE);
        fake_answer_status(last(&e), ERR_LIMIT, 0); /* nobody wants to know any more */
        assert_int_equal(look(viewer).state, OBJECT_COMPLETE);
        object_unref(&viewer);
        object_unref(&below);
        object_unref(&deeper);
        fake_edge_close(&e);
}

static void test_who_asks_as_deep_as_it_was_made_for_or_below_origins_is_no_circle(void **state)
{
        (void)state;
        for (int of_edges = 0; of_edges < 2; of_edges++) {
                struct fake_edge e;
                open_edge(&e, 1, of_edges);
                struct object *first = get(&e, of_edges ? 2 : 0), *second = get(&e, 2), *viewer = get(&e, 0);
                wait_us(&e, FILL_SOUND_US);
                assert_int_equal(e.upstream->count, 1);
                assert_int_equal(last(&e)->what.hops, of_edges ? 2 : 0);
                object_unref(&first);
                object_unref(&second);
                object_unref(&viewer);
                fake_edge_close(&e);
        }
}

static unsigned turned_away;
static void turn_away(void *arg, struct object *o)
{
        (void)arg, (void)o;
        turned_away++;
}

static void test_a_sounding_that_is_refused_turns_those_away_who_stand_so_deep_and_nobody_else(void **state)
{
        (void)state;
        struct fake_edge e;
        fake_too_deep = turn_away;
        open_edge(&e, 1, true);
        turned_away = 0;
        struct object *viewer = get(&e, 0), *below = get(&e, 3);
        wait_us(&e, FILL_SOUND_US);
        assert_int_equal(viewer->too_deep, 0);
        fake_answer_status(last(&e), ERR_LIMIT, 0);
        assert_int_equal(viewer->too_deep, 3);
        assert_int_equal(turned_away, 1);
        assert_int_equal(look(viewer).state, OBJECT_FILLING);
        wait_us(&e, FILL_SOUND_US);
        assert_int_equal(e.upstream->count, 2);
        fake_answer_bytes(&e.upstream->calls[0], "abc", 3, FETCH_COMPLETE | FETCH_IMMUTABLE, 0, "video/mp4");
        assert_int_equal(look(viewer).state, OBJECT_COMPLETE);
        fake_too_deep = NULL;
        object_unref(&viewer);
        object_unref(&below);
        fake_edge_close(&e);
}

static void test_a_node_that_would_ask_in_a_circle_is_passed_over_and_when_all_would_viewers_are_told(void **state)
{
        (void)state;
        struct fake_edge e;
        for (int all = 0; all < 2; all++) {
                open_edge(&e, 2, true);
                struct object *o = get(&e, 0);
                fake_answer_status(last(&e), ERR_LIMIT, 0);
                assert_int_equal(e.upstream->count, 2);
                assert_int_equal(last(&e)->node, 2);
                if (all)
                        fake_answer_status(last(&e), ERR_LIMIT, 0);
                else
                        fake_answer_bytes(last(&e), "abc", 3, FETCH_COMPLETE | FETCH_IMMUTABLE, 0, "video/mp4");
                assert_int_equal(look(o).state, all ? OBJECT_FAILED : OBJECT_COMPLETE);
                object_unref(&o);
                fake_edge_close(&e);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_joined_from_further_down_is_sounded_when_nothing_comes),
                cmocka_unit_test(test_who_asks_as_deep_as_it_was_made_for_or_below_origins_is_no_circle),
                cmocka_unit_test(test_a_sounding_that_is_refused_turns_those_away_who_stand_so_deep_and_nobody_else),
                cmocka_unit_test(test_a_node_that_would_ask_in_a_circle_is_passed_over_and_when_all_would_viewers_are_told),
        };
        log_init("fill_circle_test", LOG_ERROR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
