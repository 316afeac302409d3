/* A track as one answer without an end (tail.h): what its viewer is sent, how many there may be, and when it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/daemon/metrics.h"
#include "edged/census.h"
#include "tokens.h"
#include "tests/unit/http_fixture.h"

#define TRACK "/live/cam/s1/v720/"
#define HOLD_US (20 * US_PER_S)

/* The node above tells that the session is live up to this segment; its clock is ahead, so that no time passes here. */
static void tell(uint32_t last)
{
        uint8_t bytes[512];
        struct writer w;
        struct names_page head = {.instance = 1, .next = 1, .anew = true};
        struct names_row row = {.session = names_session("cam", "s1"), .stream = names_stream("cam"), .live = true, .last = last,
                                .track_count = 1, .tracks = {names_track("v720")}};
        writer_init(&w, bytes, sizeof(bytes));
        names_write_page(&w, &head);
        names_write_row(&w, &row);
        struct buf *page = buf_copy(bytes, w.len);
        assert_int_equal(census_take(fixture_census, 0, page, clock_wall_us() + 3600 * US_PER_S, &head), 0);
        buf_unref(&page);
}

static void open_edge(struct fixture *f, unsigned seats)
{
        fixture_census = census_open();
        census_settle(fixture_census, true);
        tell(7);
        fixture_seats = seats;
        open_fixture(f, HOLD_US);
        warm(f, TRACK "init.mp4", "[init]", 6);
        warm(f, TRACK "6.m4s", "[6]", 3);
}

static void close_edge(struct fixture *f)
{
        close_fixture(f);
        census_close(fixture_census);
        fixture_census = NULL;
        fixture_seats = 2000;
}

/* The oldest FETCH that waits, which is for this. */
static void grow(struct fixture *f, const char *key, const char *text, bool last)
{
        until(f, is_asked, NULL);
        struct fake_call *c = fake_open(f->e.upstream);
        assert_string_equal(c->what.key, key);
        fake_answer_bytes(c, text, strlen(text), FETCH_IMMUTABLE | (last ? FETCH_COMPLETE : 0), 0, "video/mp4");
}

/* v has read this, and no more. */
static void until_read(struct fixture *f, struct viewer *v, const char *text)
{
        until(f, have_body, &(struct want){v, strlen(text)});
        assert_int_equal(v->body_len, strlen(text));
        assert_memory_equal(v->body, text, strlen(text));
}

static void test_it_is_sent_piece_by_piece_across_segments_and_kept_by_nobody(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        open_edge(&f, 2000);
        viewer_open(&v, &f);
        viewer_ask(&v, "GET", TRACK "tail", "If-None-Match: *\r\nRange: bytes=0-1\r\n");
        until_read(&f, &v, "[init][6]");
        assert_int_equal(v.status, 200);
        assert_string_equal(header_of(&v, "Transfer-Encoding"), "chunked");
        assert_string_equal(header_of(&v, "Content-Type"), "video/mp4");
        assert_string_equal(header_of(&v, "Cache-Control"), "no-store");
        assert_string_equal(header_of(&v, "X-Accel-Buffering"), "no");
        assert_null(header_of(&v, "ETag"));
        grow(&f, TRACK "7.m4s", "[7a]", false);
        until_read(&f, &v, "[init][6][7a]");
        grow(&f, TRACK "7.m4s", "[7b]", true);
        until_read(&f, &v, "[init][6][7a][7b]");
        grow(&f, TRACK "8.m4s", "[8]", true);
        until_read(&f, &v, "[init][6][7a][7b][8]");
        viewer_close(&v);
        close_edge(&f);
}

static void test_to_head_it_says_what_it_would_send_and_the_connection_goes_on(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        open_edge(&f, 2000);
        viewer_open(&v, &f);
        ask(&f, &v, "HEAD", TRACK "tail", "");
        assert_int_equal(v.status, 200);
        assert_string_equal(header_of(&v, "Content-Type"), "video/mp4");
        ask(&f, &v, "GET", TRACK "init.mp4", "");
        assert_memory_equal(v.body, "[init]", 6);
        viewer_close(&v);
        close_edge(&f);
}

static void test_of_a_session_that_is_not_live_there_is_none(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        open_edge(&f, 2000);
        census_forget(fixture_census, 0);
        viewer_open(&v, &f);
        ask(&f, &v, "GET", TRACK "tail", "");
        assert_int_equal(v.status, 404);
        assert_non_null(strstr(v.body, "over"));
        ask(&f, &v, "GET", "/live/cam/s2/v720/tail", "");
        assert_int_equal(v.status, 404);
        viewer_close(&v);
        close_edge(&f);
}

static void test_they_leave_half_of_the_seats_to_viewers_who_ask(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v[9];
        open_edge(&f, 16);
        for (int i = 0; i < 8; i++) {
                viewer_open(&v[i], &f);
                viewer_ask(&v[i], "GET", TRACK "tail", "");
                until_read(&f, &v[i], "[init][6]");
        }
        viewer_open(&v[8], &f);
        ask(&f, &v[8], "GET", TRACK "tail", "");
        assert_int_equal(v[8].status, 503);
        assert_string_equal(header_of(&v[8], "Retry-After"), "1");
        ask(&f, &v[8], "GET", TRACK "6.m4s", "");
        assert_int_equal(v[8].status, 200);
        viewer_close(&v[0]); /* its place is free again, as soon as that is seen */
        do
                ask(&f, &v[8], "HEAD", TRACK "tail", "");
        while (v[8].status == 503);
        assert_int_equal(v[8].status, 200);
        for (int i = 1; i < 9; i++)
                viewer_close(&v[i]);
        close_edge(&f);
}

static void test_when_the_edge_leaves_it_ends_well_with_its_segment(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        open_edge(&f, 2000);
        viewer_open(&v, &f);
        viewer_ask(&v, "GET", TRACK "tail", "");
        grow(&f, TRACK "7.m4s", "[7a]", false);
        until_read(&f, &v, "[init][6][7a]");
        http_drain(f.http);
        grow(&f, TRACK "7.m4s", "[7b]", true);
        until(&f, has_answer, &v); /* the last chunk of the answer is there */
        assert_int_equal(v.body_len, strlen("[init][6][7a][7b]"));
        until(&f, is_closed, &v);
        viewer_close(&v);
        close_edge(&f);
}

static void test_an_edge_that_goes_at_once_leaves_no_end_behind(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        open_edge(&f, 2000);
        viewer_open(&v, &f);
        viewer_ask(&v, "GET", TRACK "tail", "");
        until_read(&f, &v, "[init][6]");
        cache_stop_waiting(f.e.cache);
        until(&f, is_closed, &v);
        assert_false(answer_is_whole(&v, false));
        viewer_close(&v);
        close_edge(&f);
}

static void test_each_segment_counts_its_viewer_and_its_bytes_when_it_was_sent(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        struct audience_row rows[AUDIENCE_STREAMS + 1];
        fixture_audience = audience_open(2);
        open_edge(&f, 2000);
        int64_t sent = metric_get(&stats_sent);
        viewer_open(&v, &f);
        viewer_ask(&v, "GET", TRACK "tail", "");
        until_read(&f, &v, "[init][6]");
        grow(&f, TRACK "7.m4s", "[7]", true);
        until_read(&f, &v, "[init][6][7]");
        assert_int_equal(metric_get(&stats_sent) - sent, strlen("[init][6][7]"));
        audience_look(fixture_audience, clock_mono_us());
        for (uint32_t n = 8; n < 60; n++) {
                char key[64];
                snprintf(key, sizeof(key), TRACK "%u.m4s", n);
                tell(n);
                grow(&f, key, "[n]", true);
        }
        until_read(&f, &v, "[init][6][7]"
                           "[n][n][n][n][n][n][n][n][n][n][n][n][n][n][n][n][n][n][n][n][n][n][n][n][n][n]"
                           "[n][n][n][n][n][n][n][n][n][n][n][n][n][n][n][n][n][n][n][n][n][n][n][n][n][n]");
        audience_look(fixture_audience, clock_mono_us());
        assert_int_equal(audience_rows(fixture_audience, rows), 1);
        assert_string_equal(rows[0].stream, "cam");
        assert_int_equal(rows[0].tenths[AUDIENCE_PICTURE], 10); /* one viewer */
        viewer_close(&v);
        close_edge(&f);
        audience_close(fixture_audience);
        fixture_audience = NULL;
}

/* As the loop does, again and again: of one whose request goes on just then nothing is said by a single look. */
static bool is_ended_by_looks(struct fixture *f, void *arg)
{
        http_end_expired(f->http, clock_real_us());
        return is_closed(f, arg);
}

static void test_it_ends_when_the_key_of_its_token_is_taken_away(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        struct jwt_keys *keys = NULL;
        char why[200], target[1200];
        open_edge(&f, 2000);
        json_t *list = json_pack("[s]", "cam");
        assert_int_equal(jwt_keys_parse(&keys, SET(OCT("a", SECRET_A)), strlen(SET(OCT("a", SECRET_A))), why, sizeof(why)), 0);
        access_set(f.access, list, keys);
        jwt_keys_unref(&keys);
        viewer_open(&v, &f);
        ask(&f, &v, "GET", TRACK "tail", "");
        assert_int_equal(v.status, 401);
        char *claims = mem_printf("{\"sub\":\"view\",\"path\":\"cam\",\"exp\":%lld}", (long long)(clock_real_us() / US_PER_S + 1000));
        char *token = hs256("{\"alg\":\"HS256\",\"kid\":\"a\"}", claims, TOKEN_SECRET_A, 32);
        snprintf(target, sizeof(target), "/t/%s" TRACK "tail", token);
        free(claims);
        free(token);
        viewer_ask(&v, "GET", target, "");
        until_read(&f, &v, "[init][6]");
        assert_int_equal(v.status, 200);
        assert_string_equal(header_of(&v, "Cache-Control"), "private, no-store");
        http_end_expired(f.http, clock_real_us());
        grow(&f, TRACK "7.m4s", "[7a]", false);
        until_read(&f, &v, "[init][6][7a]"); /* nothing has happened to it */
        assert_int_equal(jwt_keys_parse(&keys, SET(OCT("b", SECRET_B)), strlen(SET(OCT("b", SECRET_B))), why, sizeof(why)), 0);
        access_set(f.access, list, keys);
        jwt_keys_unref(&keys);
        json_decref(list);
        until(&f, is_ended_by_looks, &v);
        assert_false(answer_is_whole(&v, false));
        viewer_close(&v);
        close_edge(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_it_is_sent_piece_by_piece_across_segments_and_kept_by_nobody),
                cmocka_unit_test(test_to_head_it_says_what_it_would_send_and_the_connection_goes_on),
                cmocka_unit_test(test_of_a_session_that_is_not_live_there_is_none),
                cmocka_unit_test(test_they_leave_half_of_the_seats_to_viewers_who_ask),
                cmocka_unit_test(test_when_the_edge_leaves_it_ends_well_with_its_segment),
                cmocka_unit_test(test_an_edge_that_goes_at_once_leaves_no_end_behind),
                cmocka_unit_test(test_each_segment_counts_its_viewer_and_its_bytes_when_it_was_sent),
                cmocka_unit_test(test_it_ends_when_the_key_of_its_token_is_taken_away),
        };
        log_set_level(LOG_ERROR);
        stats_register();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
