/* siblings: what an edge does that does not own an object, and what makes it go up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "common/daemon/log.h"
#include "edged/hedge.h"
#include "edged/siblings.h"
#include "fake_upstream.h"

#define HOLD_US (4 * US_PER_S)
static const char key[] = "/live/cam/s1/v720/7.m4s";

static void open_site(struct fake_edge *e, uint64_t nodes, uint64_t siblings)
{
        fake_edge_open_at_site(e, nodes, siblings, 4 << 20, 64, HOLD_US, NULL);
        fake_stop_clock();
}

static struct object *get(struct fake_edge *e, const char *k)
{
        struct object *o;
        cache_get(e->cache, k, strlen(k), 0, fake_clock_us(), &o);
        run_loop(e);
        return o;
}

static struct object_view look(struct object *o)
{
        struct object_view v;
        object_look(o, fake_clock_us(), &v);
        return v;
}

static struct fake_call *last(struct fake_upstream *fu)
{
        return &fu->calls[fu->count - 1];
}

static void test_who_does_not_own_an_object_asks_its_owner_and_nobody_else(void **state)
{
        (void)state;
        struct fake_edge e;
        char text[8] = {0};
        open_site(&e, 2, 2);
        struct object *o = get(&e, key), *other = get(&e, key);
        assert_ptr_equal(o, other);
        assert_int_equal(e.siblings->count, 1);
        assert_true(last(e.siblings)->what.wait_ms <= SIBLINGS_WAIT_MS);
        fake_answer_bytes(last(e.siblings), "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        assert_int_equal(last(e.siblings)->node, 1);
        assert_int_equal(last(e.siblings)->what.offset, 3);
        fake_answer_bytes(last(e.siblings), "def", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        assert_int_equal(look(o).state, OBJECT_COMPLETE);
        assert_int_equal(object_read(o, 0, text, sizeof(text)), 6);
        assert_string_equal(text, "abcdef");
        assert_int_equal(e.upstream->count, 0);
        object_unref(&o);
        object_unref(&other);
        fake_edge_close(&e);
}

static void test_an_owner_that_waits_itself_is_asked_again_and_not_left(void **state)
{
        (void)state;
        struct fake_edge e;
        open_site(&e, 2, 2);
        struct object *o = get(&e, key);
        for (int i = 0; i < 8; i++) {
                fake_wait(SIBLINGS_WAIT_MS * US_PER_MS);
                fills_tick(e.fills, fake_clock_us());
                fake_answer_status(last(e.siblings), ERR_NOT_YET, 0);
                assert_int_equal(last(e.siblings)->node, 1);
        }
        assert_int_equal(e.upstream->count, 0);
        fake_answer_status(last(e.siblings), ERR_NOT_FOUND, 1000); /* as the tier above has told it by now */
        assert_int_equal(look(o).state, OBJECT_MISSING);
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_what_the_owner_says_to_be_due_is_not_asked_for_before(void **state)
{
        (void)state;
        struct fake_edge e;
        open_site(&e, 2, 2);
        struct object *o = get(&e, key);
        fake_answer_status(last(e.siblings), ERR_NOT_YET, 3000);
        assert_int_equal(look(o).again_us, fake_clock_us() + 3 * US_PER_S);
        fake_wait(2900 * US_PER_MS);
        fills_tick(e.fills, fake_clock_us());
        assert_int_equal(e.siblings->count, 1);
        fake_wait(100 * US_PER_MS);
        fills_tick(e.fills, fake_clock_us());
        assert_int_equal(e.siblings->count, 2);
        fake_answer_bytes(last(e.siblings), "abc", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        assert_int_equal(look(o).state, OBJECT_COMPLETE);
        assert_int_equal(e.upstream->count, 0);
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_what_does_not_come_while_a_viewer_is_held_is_told_as_not_yet(void **state)
{
        (void)state;
        struct fake_edge e;
        open_site(&e, 1, 1);
        struct object *o = get(&e, key);
        for (int64_t t = 0; t < HOLD_US; t += SIBLINGS_WAIT_MS * US_PER_MS) {
                assert_int_equal(look(o).state, OBJECT_FILLING);
                fake_wait(SIBLINGS_WAIT_MS * US_PER_MS);
                fake_answer_status(last(e.siblings), ERR_NOT_YET, 0);
        }
        assert_int_equal(look(o).state, OBJECT_FAILED);
        assert_int_equal(look(o).failure, ERR_NOT_YET);
        assert_int_equal(e.upstream->count, 0);
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_an_owner_that_does_not_answer_is_passed_over_for_the_next_and_then_the_edge_goes_up(void **state)
{
        (void)state;
        struct fake_edge e;
        char text[8] = {0};
        open_site(&e, 1, 3);
        struct object *o = get(&e, key);
        fake_answer_bytes(last(e.siblings), "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        fake_answer_error(last(e.siblings), ERR_TIMEOUT);
        assert_int_equal(last(e.siblings)->node, 2);
        assert_int_equal(last(e.siblings)->what.offset, 3);
        assert_int_equal(e.upstream->count, 0);
        fake_answer_error(last(e.siblings), ERR_CLOSED);
        assert_int_equal(e.siblings->count, 3); /* and not the third */
        assert_int_equal(last(e.upstream)->what.offset, 3);
        fake_answer_bytes(last(e.upstream), "def", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        assert_int_equal(object_read(o, 0, text, sizeof(text)), 6);
        assert_string_equal(text, "abcdef");
        object_unref(&o);
        fake_edge_close(&e);
}

/* The next one is the same for all of the site: were each to go up, an owner with too much to do would cost the tier above a FETCH of
 * each. */
static void test_an_owner_that_has_too_much_to_do_is_passed_over_for_the_next(void **state)
{
        (void)state;
        struct fake_edge e;
        open_site(&e, 1, 3);
        struct object *o = get(&e, key);
        fake_answer_error(last(e.siblings), ERR_FULL);
        assert_int_equal(last(e.siblings)->node, 2);
        fake_answer_status(last(e.siblings), ERR_FULL, 0);
        assert_int_equal(e.siblings->count, 2);
        assert_int_equal(e.upstream->count, 1);
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_an_owner_that_was_late_is_not_asked_for_other_objects_until_it_is_heard_of(void **state)
{
        (void)state;
        struct fake_edge e;
        open_site(&e, 1, 2);
        struct object *o = get(&e, key), *next = NULL;
        struct fake_call *late = last(e.siblings);
        fake_answer_error(late, ERR_TIMEOUT);
        next = get(&e, "/live/cam/s1/v720/8.m4s");
        assert_int_equal(last(e.siblings)->node, 2);
        object_unref(&next);
        fake_wait(HEDGE_LATE_US);
        next = get(&e, "/live/cam/s1/v720/9.m4s");
        assert_int_equal(last(e.siblings)->node, 1);
        object_unref(&next);
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_what_the_owner_could_not_get_is_asked_for_above_and_nowhere_else(void **state)
{
        (void)state;
        static const int answers[] = {ERR_IO, ERR_DENIED, ERR_PROTO};
        for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
                struct fake_edge e;
                open_site(&e, 1, 2);
                struct object *o = get(&e, key);
                if (answers[i] == ERR_IO)
                        fake_answer_status(last(e.siblings), answers[i], 0);
                else
                        fake_answer_error(last(e.siblings), answers[i]);
                assert_int_equal(e.siblings->count, 1);
                assert_int_equal(e.upstream->count, 1);
                fake_answer_bytes(last(e.upstream), "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4");
                assert_int_equal(e.siblings->count, 1); /* it stays there */
                assert_int_equal(e.upstream->count, 2);
                object_unref(&o);
                fake_edge_close(&e);
        }
}

/* As one does that leaves: it holds nobody any more. It must not be asked in a circle. */
static void test_an_owner_that_says_not_yet_at_once_is_left(void **state)
{
        (void)state;
        struct fake_edge e;
        open_site(&e, 1, 2);
        struct object *o = get(&e, key);
        fake_answer_status(last(e.siblings), ERR_NOT_YET, 0);
        assert_int_equal(e.siblings->count, 1);
        assert_int_equal(e.upstream->count, 1);
        object_unref(&o);
        fake_edge_close(&e);
}

/* The two edges do not agree on whom the object belongs to, and each takes the other one for its owner. */
static void test_who_is_taken_for_the_owner_goes_up_and_waits_for_no_sibling(void **state)
{
        (void)state;
        struct fake_edge e;
        open_site(&e, 1, 2);
        struct object *o = get(&e, key);
        assert_int_equal(e.upstream->count, 0);
        struct fake_call *owner = last(e.siblings);
        o->owned = true; /* as serve.c does when it is asked */
        fills_tick(e.fills, fake_clock_us());
        assert_int_equal(e.upstream->count, 1);
        fake_answer_bytes(owner, "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4"); /* what it says is not wanted any more */
        assert_int_equal(look(o).len, 0);
        fake_answer_bytes(last(e.upstream), "xyz", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        assert_int_equal(look(o).state, OBJECT_COMPLETE);
        assert_int_equal(e.siblings->count, 1);
        object_unref(&o);
        fake_edge_close(&e);
}

/* Two that take each other for the owner would hand what has expired to and fro. */
static void test_what_is_given_to_a_sibling_although_it_expired_is_refreshed_from_above(void **state)
{
        (void)state;
        static const char manifest[] = "/live/cam/manifest.mpd";
        for (int viewer_first = 0; viewer_first < 2; viewer_first++) {
                struct fake_edge e;
                struct object *o, *first;
                open_site(&e, 2, 2);
                o = get(&e, manifest);
                fake_answer_bytes(last(e.siblings), "one", 3, FETCH_COMPLETE, 1000, "application/dash+xml");
                first = o;
                object_unref(&o);
                fake_wait(1100 * US_PER_MS);
                if (viewer_first) {
                        o = get(&e, manifest);
                        object_unref(&o);
                        assert_int_equal(e.siblings->count, 2);
                }
                assert_int_equal(cache_get_owned(e.cache, manifest, strlen(manifest), 0, fake_clock_us(), &o), CACHE_STALE);
                assert_ptr_equal(o, first);
                object_unref(&o);
                run_loop(&e);
                fills_tick(e.fills, fake_clock_us());
                assert_int_equal(e.upstream->count, 1);
                assert_int_equal(e.siblings->count, 1 + viewer_first);
                fake_edge_close(&e);
        }
}

static void test_a_list_comes_from_its_owner_and_is_gathered_when_there_is_none(void **state)
{
        (void)state;
        struct fake_edge e;
        static const char list[] = "{\"streams\":[{\"id\":\"a\"}]}";
        open_site(&e, 2, 1);
        struct object *o = get(&e, "/api/streams");
        assert_int_equal(e.siblings->count, 1);
        assert_int_equal(e.upstream->count, 0);
        fake_answer_bytes(last(e.siblings), list, strlen(list), FETCH_COMPLETE, 1000, "application/json");
        assert_int_equal(look(o).state, OBJECT_COMPLETE);
        object_unref(&o);
        o = get(&e, "/api/recordings");
        fake_answer_error(last(e.siblings), ERR_CLOSED);
        assert_int_equal(e.upstream->count, 2); /* both nodes */
        object_unref(&o);
        fake_edge_close(&e);
}

static void test_a_list_is_never_put_together_of_two(void **state)
{
        (void)state;
        struct fake_edge e;
        open_site(&e, 2, 1);
        struct object *o = get(&e, "/api/streams");
        fake_answer_bytes(last(e.siblings), "{\"streams\":[", 12, 0, 1000, "application/json"); /* its beginning, of a megabyte say */
        assert_int_equal(look(o).len, 0);
        assert_int_equal(e.siblings->count, 1);
        assert_int_equal(e.upstream->count, 2); /* gathered here */
        object_unref(&o);
        fake_edge_close(&e);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_who_does_not_own_an_object_asks_its_owner_and_nobody_else),
                cmocka_unit_test(test_an_owner_that_waits_itself_is_asked_again_and_not_left),
                cmocka_unit_test(test_what_the_owner_says_to_be_due_is_not_asked_for_before),
                cmocka_unit_test(test_what_does_not_come_while_a_viewer_is_held_is_told_as_not_yet),
                cmocka_unit_test(test_an_owner_that_does_not_answer_is_passed_over_for_the_next_and_then_the_edge_goes_up),
                cmocka_unit_test(test_an_owner_that_has_too_much_to_do_is_passed_over_for_the_next),
                cmocka_unit_test(test_an_owner_that_was_late_is_not_asked_for_other_objects_until_it_is_heard_of),
                cmocka_unit_test(test_what_the_owner_could_not_get_is_asked_for_above_and_nowhere_else),
                cmocka_unit_test(test_an_owner_that_says_not_yet_at_once_is_left),
                cmocka_unit_test(test_who_is_taken_for_the_owner_goes_up_and_waits_for_no_sibling),
                cmocka_unit_test(test_what_is_given_to_a_sibling_although_it_expired_is_refreshed_from_above),
                cmocka_unit_test(test_a_list_comes_from_its_owner_and_is_gathered_when_there_is_none),
                cmocka_unit_test(test_a_list_is_never_put_together_of_two),
        };
        log_init("siblings_test", LOG_ERROR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
