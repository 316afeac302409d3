#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "edged/follow.h"
#include "fake_upstream.h"

#define HOLD_US (4 * US_PER_S)

struct fixture {
        struct fake_edge e;
        struct follow *follow;
};

static void on_left(void *arg, struct object *o, const struct key *key, bool grew)
{
        follow_left(((struct fixture *)arg)->follow, o, key, grew, fake_clock_us());
}

static void open_fixture(struct fixture *f, unsigned tracks)
{
        fake_left = on_left;
        fake_left_arg = f;
        fake_edge_open(&f->e, 1, 4 << 20, 64, HOLD_US, NULL);
        fake_stop_clock();
        f->follow = follow_open(f->e.cache, NULL, tracks);
}

static void close_fixture(struct fixture *f)
{
        fake_edge_close(&f->e);
        follow_close(f->follow);
}

static const char *segment(int n)
{
        static char text[64];
        snprintf(text, sizeof(text), "/live/cam/20260131T123456Z-1a2b3c4d/v720/%d.m4s", n);
        return text;
}

static enum cache_result ask(struct fixture *f, int n)
{
        struct object *o;
        enum cache_result r = cache_get(f->e.cache, segment(n), strlen(segment(n)), 0, fake_clock_us(), &o);
        object_unref(&o);
        run_loop(&f->e);
        return r;
}

/* The segment that is asked for now comes, in two pieces. */
static void grow(struct fixture *f, int n)
{
        assert_non_null(fake_open(f->e.upstream));
        assert_string_equal(fake_open(f->e.upstream)->what.key, segment(n));
        fake_answer_bytes(fake_open(f->e.upstream), "one", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        fake_answer_bytes(fake_open(f->e.upstream), "two", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        run_loop(&f->e);
}

static void test_the_next_segment_is_asked_for_before_the_first_viewer_does(void **state)
{
        (void)state;
        struct fixture f;
        open_fixture(&f, 10);
        assert_int_equal(ask(&f, 7), CACHE_MISS);
        for (int n = 7; n < 30; n++) {
                grow(&f, n);
                assert_string_equal(fake_open(f.e.upstream)->what.key, segment(n + 1));
                assert_true(fake_open(f.e.upstream)->what.wait_ms > 0);
                assert_int_equal(ask(&f, n + 1), CACHE_JOINED);
        }
        assert_int_equal(f.e.upstream->count, 2 * 23 + 1); /* none twice */
        close_fixture(&f);
}

/* Or it would be told of that anew for each segment (fill.h). */
static void test_the_next_segment_is_asked_for_as_deep_as_whoever_stands_deepest(void **state)
{
        (void)state;
        struct fixture f;
        struct object *below;
        open_fixture(&f, 10);
        ask(&f, 7);
        assert_int_equal(cache_get(f.e.cache, segment(7), strlen(segment(7)), 2, fake_clock_us(), &below), CACHE_JOINED);
        object_unref(&below);
        assert_int_equal(fake_open(f.e.upstream)->what.hops, 0);
        grow(&f, 7);
        assert_int_equal(fake_open(f.e.upstream)->what.hops, 2);
        close_fixture(&f);
}

static void test_viewers_some_segments_behind_are_enough_and_when_they_are_gone_it_ends(void **state)
{
        (void)state;
        struct fixture f;
        int n;
        open_fixture(&f, 10);
        ask(&f, 7);
        for (n = 7; n < 20; n++) {
                grow(&f, n);
                if (n >= 7 + FOLLOW_BACK)
                        assert_int_equal(ask(&f, n - FOLLOW_BACK + 1), CACHE_HIT);
        }
        int last = n - FOLLOW_BACK;
        for (; fake_open(f.e.upstream); n++)
                grow(&f, n);
        assert_int_equal(n, last + FOLLOW_BACK + 2); /* the last one is under way when the last viewer is too far behind */
        close_fixture(&f);
}

/* Which follows by itself what its viewers watch. */
static void test_what_another_edge_of_the_site_asks_for_is_not_followed(void **state)
{
        (void)state;
        struct fixture f;
        struct object *o;
        open_fixture(&f, 10);
        assert_int_equal(cache_get_owned(f.e.cache, segment(7), strlen(segment(7)), 0, fake_clock_us(), &o), CACHE_MISS);
        object_unref(&o);
        run_loop(&f.e);
        assert_int_equal(cache_get_owned(f.e.cache, segment(7), strlen(segment(7)), 0, fake_clock_us(), &o), CACHE_JOINED);
        object_unref(&o);
        grow(&f, 7);
        assert_null(fake_open(f.e.upstream));
        assert_int_equal(cache_get_owned(f.e.cache, segment(8), strlen(segment(8)), 0, fake_clock_us(), &o), CACHE_MISS);
        object_unref(&o);
        run_loop(&f.e);
        assert_int_equal(ask(&f, 8), CACHE_JOINED); /* but a viewer here is one */
        grow(&f, 8);
        assert_string_equal(fake_open(f.e.upstream)->what.key, segment(9));
        close_fixture(&f);
}

static void test_what_does_not_come_is_not_followed_on(void **state)
{
        (void)state;
        struct fixture f;
        open_fixture(&f, 10);
        ask(&f, 7);
        grow(&f, 7);
        fake_wait(HOLD_US);
        fake_answer_status(fake_open(f.e.upstream), ERR_NOT_YET, 0);
        assert_null(fake_open(f.e.upstream));
        fake_wait(CACHE_FAILED_MAX_US);
        assert_int_equal(ask(&f, 8), CACHE_MISS); /* but for who asks */
        grow(&f, 8);
        assert_string_equal(fake_open(f.e.upstream)->what.key, segment(9));
        fake_answer_status(fake_open(f.e.upstream), ERR_NOT_FOUND, 1000); /* the end of the broadcast */
        assert_null(fake_open(f.e.upstream));
        close_fixture(&f);
}

static void test_recordings_are_not_followed(void **state)
{
        (void)state;
        struct fixture f;
        open_fixture(&f, 10);
        ask(&f, 7);
        fake_answer_bytes(fake_open(f.e.upstream), "whole", 5, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        run_loop(&f.e);
        assert_null(fake_open(f.e.upstream));
        close_fixture(&f);
}

static void test_there_are_no_more_than_so_many(void **state)
{
        (void)state;
        struct fixture f;
        open_fixture(&f, 2);
        for (int i = 1; i <= 3; i++) {
                ask(&f, 100 * i);
                grow(&f, 100 * i);
                if (i == 3) /* two wait, and are followed on as before */
                        break;
                struct fake_call *waits = fake_open(f.e.upstream);
                assert_string_equal(waits->what.key, segment(100 * i + 1));
                waits->answered = true; /* later */
        }
        assert_null(fake_open(f.e.upstream));
        unsigned later = 0;
        for (unsigned i = 0; i < f.e.upstream->count; i++) {
                struct fake_call *c = &f.e.upstream->calls[i];
                if (strcmp(c->what.key, segment(101)) == 0 || strcmp(c->what.key, segment(201)) == 0) {
                        later++;
                        c->answered = false;
                }
        }
        assert_int_equal(later, 2);
        close_fixture(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_next_segment_is_asked_for_before_the_first_viewer_does),
                cmocka_unit_test(test_the_next_segment_is_asked_for_as_deep_as_whoever_stands_deepest),
                cmocka_unit_test(test_viewers_some_segments_behind_are_enough_and_when_they_are_gone_it_ends),
                cmocka_unit_test(test_what_another_edge_of_the_site_asks_for_is_not_followed),
                cmocka_unit_test(test_what_does_not_come_is_not_followed_on),
                cmocka_unit_test(test_recordings_are_not_followed),
                cmocka_unit_test(test_there_are_no_more_than_so_many),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
