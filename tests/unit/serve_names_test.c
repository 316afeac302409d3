/* Which names there are, as an origin tells edges (proto/names.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/serve_fixture.h"

#include "originD/names.h"
#include "proto/names.h"

static struct names_page page;
static struct names_row rows[8];
static size_t row_count;

static void take(struct question *q)
{
        struct reader r;
        assert_int_equal(q->a.status, 0);
        assert_int_equal(q->a.flags, FETCH_COMPLETE);
        reader_init(&r, q->bytes, q->a.len);
        assert_int_equal(names_read_page(&r, &page), 0);
        for (row_count = 0; reader_left(&r); row_count++)
                assert_int_equal(names_read_row(&r, &rows[row_count]), 0);
}

static void begin(struct question *q, uint64_t instance, uint64_t since, uint32_t wait_ms)
{
        *q = (struct question){.r = {.wait_ms = wait_ms, .max_bytes = BODY_MAX, .done = answered, .from_node = true}};
        snprintf(q->r.key, sizeof(q->r.key), "/names/%llu/%llu", (unsigned long long)instance, (unsigned long long)since);
        serve(&sv, &q->r);
}

static void get(uint64_t instance, uint64_t since)
{
        struct question q;
        begin(&q, instance, since, 0);
        assert_int_equal(q.done, 1);
        take(&q);
}

static void test_a_live_session_is_told_with_its_tracks_and_where_they_are(void **state)
{
        (void)state;
        live(3);
        get(0, 0);
        assert_true(page.anew && !page.more && !page.partial && page.instance);
        assert_int_equal(row_count, 1);
        assert_true(rows[0].live && rows[0].session == names_session("cam", "S1") && rows[0].stream == names_stream("cam"));
        assert_int_equal(rows[0].track_count, 1);
        assert_true(rows[0].tracks[0] == names_track("v720"));
        assert_int_equal(rows[0].first, 0);
        assert_true(rows[0].last >= 2);
        get(page.instance, page.next);
        assert_true(row_count == 0 && !page.anew);
        get(page.instance + 1, page.next);
        assert_true(row_count == 1 && page.anew);
}

static void test_who_waits_is_told_of_what_begins_and_ends_and_goes(void **state)
{
        (void)state;
        struct question q;
        struct session *s = live(1);
        get(0, 0);
        begin(&q, page.instance, page.next, 5000);
        assert_int_equal(q.done, 0);
        assert_int_equal(end_session(s), 0);
        wait_done(&q.done);
        take(&q);
        assert_true(row_count == 1 && !rows[0].live && !rows[0].gone && rows[0].session == names_session("cam", "S1"));
        begin(&q, page.instance, page.next, 5000);
        assert_int_equal(q.done, 0);
        store_remove(&store, s);
        wait_done(&q.done);
        take(&q);
        assert_true(row_count == 1 && rows[0].gone && rows[0].session == names_session("cam", "S1"));
        begin(&q, page.instance, page.next, 50);
        wait_done(&q.done);
        assert_int_equal(q.a.status, ERR_NOT_YET);
}

static void test_nobody_is_told_by_http_and_before_all_is_known_it_is_said_that_it_is_not(void **state)
{
        (void)state;
        struct question q;
        live(1);
        assert_int_equal(answer_to(&q, "/names/0/0", 0, 0), ERR_NOT_FOUND);
        serve_unsettled(&sv);
        get(0, 0);
        assert_true(page.partial && row_count == 1);
}

/* All of them are told, but not in one turn of the loop. */
static void test_a_page_of_live_sessions_has_so_many_that_their_tracks_are_a_page(void **state)
{
        enum { TRACKS = 4, LIVE = NAMES_PAGE / TRACKS + 5 };
        (void)state;
        add_silent(LIVE / STREAMS_STEP + 1);
        size_t all = store.live, told = 0;
        for (struct session *s = store.first_live; s; s = s->older)
                for (unsigned i = 0; i < TRACKS; i++)
                        snprintf(track_append(s)->name, TRACK_NAME_MAX + 1, "v%u", i);
        uint64_t instance = 0, since = 0;
        do {
                struct buf *b = names_page(&store, instance, since, true);
                struct reader r;
                struct names_row row;
                size_t here = 0;
                reader_init(&r, b->data, b->len);
                assert_int_equal(names_read_page(&r, &page), 0);
                for (; reader_left(&r); here++)
                        assert_int_equal(names_read_row(&r, &row), 0);
                assert_in_range(here, 1, NAMES_PAGE / TRACKS);
                told += here;
                instance = page.instance;
                since = page.next;
                buf_unref(&b);
        } while (page.more);
        assert_int_equal(told, all);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_a_live_session_is_told_with_its_tracks_and_where_they_are, setup, teardown),
                cmocka_unit_test_setup_teardown(test_who_waits_is_told_of_what_begins_and_ends_and_goes, setup, teardown),
                cmocka_unit_test_setup_teardown(test_nobody_is_told_by_http_and_before_all_is_known_it_is_said_that_it_is_not, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_page_of_live_sessions_has_so_many_that_their_tracks_are_a_page, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
