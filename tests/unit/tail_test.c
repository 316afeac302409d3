#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "common/daemon/log.h"
#include "edged/tail.h"
#include "fake_upstream.h"
#include "tests/unit/patience.h"

#define HOLD_US (4 * US_PER_S)
#define SESSION "20260131T123456Z-1a2b3c4d"

static struct fake_edge e;
static struct census *census;
static struct buf *init;

/* The node above tells that the session is live up to this segment. By a clock that is ahead: here no time passes. */
static void tell(uint32_t first, uint32_t last, bool live)
{
        uint8_t bytes[512];
        struct writer w;
        struct names_page head = {.instance = 1, .next = 1, .anew = true};
        struct names_row row = {.session = names_session("cam", SESSION), .stream = names_stream("cam"), .live = live, .first = first, .last = last,
                                .track_count = 1, .tracks = {names_track("v720")}};
        writer_init(&w, bytes, sizeof(bytes));
        names_write_page(&w, &head);
        names_write_row(&w, &row);
        struct buf *page = buf_copy(bytes, w.len);
        assert_int_equal(census_take(census, 0, page, clock_wall_us() + 3600 * US_PER_S, &head), 0);
        buf_unref(&page);
}

static const char *name(uint32_t n)
{
        static char text[KEY_MAX + 1];
        snprintf(text, sizeof(text), "/live/cam/" SESSION "/v720/%u.m4s", n);
        return text;
}

/* The FETCH of that segment which waits for an answer; NULL: there is none. */
static struct fake_call *asked(uint32_t n)
{
        run_loop(&e);
        for (unsigned i = 0; i < e.upstream->count; i++) {
                if (!e.upstream->calls[i].answered && strcmp(e.upstream->calls[i].what.key, name(n)) == 0)
                        return &e.upstream->calls[i];
        }
        return NULL;
}

static void grow(uint32_t n, const char *text, bool last)
{
        struct fake_call *c = asked(n);
        assert_non_null(c);
        fake_answer_bytes(c, text, strlen(text), FETCH_IMMUTABLE | (last ? FETCH_COMPLETE : 0), 0, "video/mp4");
        run_loop(&e);
}

static void ask(uint32_t n)
{
        struct object *o;
        cache_get(e.cache, name(n), strlen(name(n)), 0, fake_clock_us(), &o);
        object_unref(&o);
        run_loop(&e);
}

/* It is in the cache, all of it. */
static void store(uint32_t n, const char *text)
{
        ask(n);
        grow(n, text, true);
}

struct viewer {
        struct tail *tail;
        struct object *at;
        char got[256]; /* what it has read since it was looked at last */
        struct tail_wait wait;
        bool late; /* what it waited for last has not come */
        unsigned whole;  /* segments it has read to their end */
        uint32_t segment; /* the last of them */
        ssize_t end;     /* 0: it has none yet */
};

static int open_viewer(struct viewer *v)
{
        struct key track;
        *v = (struct viewer){0};
        key_parse(&track, name(0));
        int err = tail_open(&v->tail, e.cache, census, &track, init, fake_clock_us(), &v->at);
        run_loop(&e);
        return err;
}

/* Of a live session whose newest segment is here. */
static void open_at_the_tenth(struct viewer *v)
{
        tell(0, 10, true);
        store(10, "[10]");
        assert_int_equal(open_viewer(v), 0);
}

static void close_viewer(struct viewer *v)
{
        tail_close(&v->tail);
        object_unref(&v->at);
}

static const char *read_on(struct viewer *v, bool leaves)
{
        struct tail_read read;
        struct buf *piece = NULL;
        size_t off, len = 0;
        ssize_t n;
        while ((n = tail_take(v->tail, &v->at, &(struct tail_asks){leaves, v->late, fake_clock_us()}, &piece, &off, &v->wait, &read)) > 0) {
                assert_true(len + (size_t)n < sizeof(v->got));
                memcpy(v->got + len, piece->data + off, (size_t)n);
                len += (size_t)n;
                buf_unref(&piece);
                v->whole += read.whole;
                v->segment = read.whole ? read.segment : v->segment;
        }
        v->whole += read.whole;
        v->segment = read.whole ? read.segment : v->segment;
        v->end = n;
        v->got[len] = '\0';
        run_loop(&e);
        return v->got;
}

static int open_one(void **state)
{
        (void)state;
        fake_edge_open(&e, 1, 4 << 20, 64, HOLD_US, NULL);
        fake_stop_clock();
        census = census_open();
        census_settle(census, true);
        init = buf_copy("[init]", 6);
        return 0;
}

static int close_one(void **state)
{
        (void)state;
        fake_edge_close(&e);
        census_close(census);
        buf_unref(&init);
        return 0;
}

static void test_it_begins_with_the_init_segment_and_the_newest_segment_that_is_here(void **state)
{
        (void)state;
        struct viewer v;
        tell(0, 100, true);
        store(99, "[99]");
        store(100, "[100]");
        ask(101); /* as others do who are followed; the clock here is a moment behind */
        grow(101, "[101a]", false);
        assert_int_equal(open_viewer(&v), 0);
        assert_string_equal(read_on(&v, false), "[init][101a]");
        assert_int_equal(v.end, 0);
        assert_int_equal(v.wait.have, 6);
        grow(101, "[101b]", false);
        assert_string_equal(read_on(&v, false), "[101b]");
        close_viewer(&v);
}

static void test_of_what_is_not_here_the_segment_being_made_and_the_one_before_are_asked_for(void **state)
{
        (void)state;
        struct viewer v;
        tell(0, 100, true);
        assert_int_equal(open_viewer(&v), 0);
        assert_string_equal(read_on(&v, false), "[init]");
        assert_non_null(asked(100));
        grow(99, "[99]", true); /* the newest has no bytes yet: the one before will do */
        assert_string_equal(read_on(&v, false), "[99]");
        grow(100, "[100a]", false);
        assert_string_equal(read_on(&v, false), "[100a]");
        close_viewer(&v);
}

static void test_of_two_that_have_bytes_the_newer_one_is_taken(void **state)
{
        (void)state;
        struct viewer v;
        tell(0, 200, true);
        assert_int_equal(open_viewer(&v), 0);
        grow(200, "[200a]", false);
        grow(199, "[199]", true);
        assert_string_equal(read_on(&v, false), "[init][200a]");
        close_viewer(&v);
}

static void test_a_session_that_has_just_begun_has_nothing_before_its_first_segment(void **state)
{
        (void)state;
        struct viewer v;
        tell(7, 7, true);
        assert_int_equal(open_viewer(&v), 0);
        assert_null(asked(6));
        grow(7, "[7]", true);
        assert_string_equal(read_on(&v, false), "[init][7]");
        close_viewer(&v);
}

/* The node above says that it has not the older one. */
static void test_the_newer_one_will_do_when_there_is_no_older_one(void **state)
{
        (void)state;
        struct viewer v;
        tell(0, 100, true);
        assert_int_equal(open_viewer(&v), 0);
        fake_answer_status(asked(99), ERR_NOT_FOUND, 1000);
        run_loop(&e);
        assert_string_equal(read_on(&v, false), "[init]");
        assert_int_equal(v.end, 0);
        grow(100, "[100a]", false);
        assert_string_equal(read_on(&v, false), "[100a]");
        close_viewer(&v);
}

static void test_of_a_stream_that_is_late_the_newest_that_is_there_is_found_by_steps(void **state)
{
        (void)state;
        struct viewer v;
        tell(80, 100, true);
        assert_int_equal(open_viewer(&v), 0);
        assert_string_equal(read_on(&v, false), "[init]");
        assert_int_equal(v.wait.us, TAIL_LATE_US);
        v.late = true;
        assert_string_equal(read_on(&v, false), "");
        assert_non_null(asked(97));
        assert_string_equal(read_on(&v, false), "");
        assert_non_null(asked(93));
        v.late = false;
        grow(93, "[93]", true);
        assert_string_equal(read_on(&v, false), "[93]");
        assert_int_equal(v.wait.us, 0); /* from here on one waits */
        for (uint32_t n = 94; n < 97; n++) {
                char text[16];
                snprintf(text, sizeof(text), "[%u]", n);
                grow(n, text, true);
                assert_string_equal(read_on(&v, false), text);
        }
        v.late = true;
        assert_string_equal(read_on(&v, false), "");
        assert_int_equal(v.end, ERR_NOT_YET);
        close_viewer(&v);
}

static void test_no_step_back_goes_before_the_first_segment_and_a_newer_one_that_comes_meanwhile_is_taken(void **state)
{
        (void)state;
        struct viewer v;
        tell(98, 100, true);
        assert_int_equal(open_viewer(&v), 0);
        v.late = true;
        assert_string_equal(read_on(&v, false), "[init]");
        assert_non_null(asked(98));
        assert_null(asked(97));
        v.late = false;
        grow(99, "[99]", true);
        grow(98, "[98]", true);
        assert_string_equal(read_on(&v, false), "[99]");
        close_viewer(&v);
}

static void test_it_goes_on_from_segment_to_segment_and_many_cost_one_fetch_of_each(void **state)
{
        (void)state;
        struct viewer v[20];
        tell(0, 10, true);
        for (size_t i = 0; i < 20; i++)
                assert_int_equal(open_viewer(&v[i]), 0);
        grow(9, "[9]", true);
        for (uint32_t n = 10; n < 15; n++) {
                char a[16], b[16];
                snprintf(a, sizeof(a), "[%ua]", n);
                snprintf(b, sizeof(b), "[%ub]", n);
                tell(0, n, true);
                for (size_t i = 0; i < 20; i++)
                        read_on(&v[i], false);
                grow(n, a, false);
                for (size_t i = 0; i < 20; i++)
                        assert_string_equal(read_on(&v[i], false), a);
                grow(n, b, true);
                for (size_t i = 0; i < 20; i++) {
                        assert_string_equal(read_on(&v[i], false), b);
                        assert_int_equal(v[i].end, 0);
                        assert_int_equal(v[i].segment, n);
                        assert_int_equal(v[i].whole, n - 8);
                }
        }
        assert_int_equal(e.upstream->count, 1 + 5 * 2 + 1); /* FETCHes: of 9, of each that grew two, and of 15, which is to come */
        for (size_t i = 0; i < 20; i++)
                close_viewer(&v[i]);
}

static void test_who_is_too_far_behind_goes_on_with_the_newest_segment_and_not_in_the_middle_of_one(void **state)
{
        (void)state;
        struct viewer v;
        tell(0, 10, true);
        store(9, "[9]");
        ask(10);
        grow(10, "[10a]", false);
        assert_int_equal(open_viewer(&v), 0);
        assert_string_equal(read_on(&v, false), "[init][10a]");
        for (uint32_t n = 11; n < 11 + TAIL_BEHIND; n++)
                store(n, "[later]");
        ask(11 + TAIL_BEHIND);
        grow(11 + TAIL_BEHIND, "[newest]", false);
        tell(0, 11 + TAIL_BEHIND, true);
        assert_string_equal(read_on(&v, false), "");
        grow(10, "[10b]", true);
        assert_string_equal(read_on(&v, false), "[10b][newest]");
        close_viewer(&v);
}

static void test_who_is_a_little_behind_is_given_everything(void **state)
{
        (void)state;
        struct viewer v;
        open_at_the_tenth(&v);
        for (uint32_t n = 11; n < 11 + TAIL_BEHIND; n++) {
                char text[16];
                snprintf(text, sizeof(text), "[%u]", n);
                store(n, text);
        }
        tell(0, 10 + TAIL_BEHIND, true);
        assert_string_equal(read_on(&v, false), "[init][10][11][12][13]");
        close_viewer(&v);
}

/* By the clock the stream is late: what there is next is the newest there is, and nothing is left out for that. */
static void test_of_a_stream_that_is_late_nothing_is_left_out(void **state)
{
        (void)state;
        struct viewer v;
        open_at_the_tenth(&v);
        tell(0, 30, true);
        assert_string_equal(read_on(&v, false), "[init][10]");
        grow(11, "[11]", true);
        assert_string_equal(read_on(&v, false), "[11]");
        close_viewer(&v);
}

static void test_a_hole_in_the_track_is_passed_over(void **state)
{
        (void)state;
        struct viewer v;
        open_at_the_tenth(&v);
        tell(0, 12, true);
        assert_string_equal(read_on(&v, false), "[init][10]");
        fake_answer_status(asked(11), ERR_NOT_FOUND, 1000);
        assert_string_equal(read_on(&v, false), "");
        assert_int_equal(v.end, 0);
        grow(12, "[12]", true);
        assert_string_equal(read_on(&v, false), "[12]");
        close_viewer(&v);
}

static void test_it_ends_with_the_session(void **state)
{
        (void)state;
        struct viewer v;
        open_at_the_tenth(&v);
        assert_string_equal(read_on(&v, false), "[init][10]");
        tell(0, 10, false);
        fake_answer_status(asked(11), ERR_NOT_FOUND, 1000);
        assert_string_equal(read_on(&v, false), "");
        assert_int_equal(v.end, ERR_CLOSED);
        close_viewer(&v);
        assert_int_equal(open_viewer(&v), ERR_NOT_FOUND); /* there is no live edge any more */
        assert_null(v.tail);
        assert_null(v.at);
}

static void test_what_breaks_off_is_no_end(void **state)
{
        (void)state;
        struct viewer v;
        tell(0, 10, true);
        ask(10);
        grow(10, "[10a]", false);
        assert_int_equal(open_viewer(&v), 0);
        assert_string_equal(read_on(&v, false), "[init][10a]");
        e.upstream->nodes = 0;
        fake_answer_error(asked(10), ERR_CLOSED);
        run_loop(&e);
        fake_wait(HOLD_US + US_PER_S);
        for (int64_t until_us = clock_mono_us() + PATIENCE_US; v.end == 0 && clock_mono_us() < until_us;)
                assert_string_equal(read_on(&v, false), "");
        assert_true(v.end < 0 && v.end != ERR_CLOSED);
        close_viewer(&v);
}

static void test_of_an_edge_that_leaves_it_ends_at_the_end_of_a_segment(void **state)
{
        (void)state;
        struct viewer v;
        tell(0, 10, true);
        ask(10);
        grow(10, "[10a]", false);
        assert_int_equal(open_viewer(&v), 0);
        assert_string_equal(read_on(&v, true), "[init][10a]");
        assert_int_equal(v.end, 0);
        grow(10, "[10b]", true);
        assert_string_equal(read_on(&v, true), "[10b]");
        assert_int_equal(v.end, ERR_CLOSED);
        assert_int_equal(v.whole, 1);
        close_viewer(&v);
}

static void test_there_is_none_while_too_much_is_being_fetched(void **state)
{
        (void)state;
        struct viewer v;
        tell(0, 100, true);
        for (uint32_t n = 0; n < 63; n++)
                ask(n);
        assert_int_equal(open_viewer(&v), ERR_NOSPACE);
        assert_null(v.tail);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_it_begins_with_the_init_segment_and_the_newest_segment_that_is_here, open_one, close_one),
                cmocka_unit_test_setup_teardown(test_of_what_is_not_here_the_segment_being_made_and_the_one_before_are_asked_for, open_one, close_one),
                cmocka_unit_test_setup_teardown(test_of_two_that_have_bytes_the_newer_one_is_taken, open_one, close_one),
                cmocka_unit_test_setup_teardown(test_a_session_that_has_just_begun_has_nothing_before_its_first_segment, open_one, close_one),
                cmocka_unit_test_setup_teardown(test_the_newer_one_will_do_when_there_is_no_older_one, open_one, close_one),
                cmocka_unit_test_setup_teardown(test_of_a_stream_that_is_late_the_newest_that_is_there_is_found_by_steps, open_one, close_one),
                cmocka_unit_test_setup_teardown(test_no_step_back_goes_before_the_first_segment_and_a_newer_one_that_comes_meanwhile_is_taken, open_one, close_one),
                cmocka_unit_test_setup_teardown(test_it_goes_on_from_segment_to_segment_and_many_cost_one_fetch_of_each, open_one, close_one),
                cmocka_unit_test_setup_teardown(test_who_is_too_far_behind_goes_on_with_the_newest_segment_and_not_in_the_middle_of_one, open_one, close_one),
                cmocka_unit_test_setup_teardown(test_who_is_a_little_behind_is_given_everything, open_one, close_one),
                cmocka_unit_test_setup_teardown(test_of_a_stream_that_is_late_nothing_is_left_out, open_one, close_one),
                cmocka_unit_test_setup_teardown(test_a_hole_in_the_track_is_passed_over, open_one, close_one),
                cmocka_unit_test_setup_teardown(test_it_ends_with_the_session, open_one, close_one),
                cmocka_unit_test_setup_teardown(test_what_breaks_off_is_no_end, open_one, close_one),
                cmocka_unit_test_setup_teardown(test_of_an_edge_that_leaves_it_ends_at_the_end_of_a_segment, open_one, close_one),
                cmocka_unit_test_setup_teardown(test_there_is_none_while_too_much_is_being_fetched, open_one, close_one),
        };
        log_set_level(LOG_ERROR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
