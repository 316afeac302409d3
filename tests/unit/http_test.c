/* Real sockets against the real HTTP threads; the tier above is the test itself, so that nothing depends on time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/cors_said.h"
#include "edged/cache_impl.h"
#include "tests/unit/http_fixture.h"

/* There is something of an answer, which stays unread. */
static bool has_begun(struct fixture *f, void *arg)
{
        char byte;
        (void)f;
        return recv(((struct viewer *)arg)->fd, &byte, 1, MSG_PEEK) == 1;
}

/* One request on a connection of its own; the viewer stays open for a look at the answer. */
static void get_status(struct fixture *f, const char *target, int status)
{
        struct viewer v;
        viewer_open(&v, f);
        ask(f, &v, "GET", target, "");
        assert_int_equal(v.status, status);
        assert_string_equal(header_of(&v, "Access-Control-Allow-Origin"), "*");
        viewer_close(&v);
}

/* ---- what is promised ----------------------------------------------------------------------------------------- */

static void test_two_hundred_viewers_cost_one_fetch(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v[200];
        int all = 200, hits = 0, misses = 0, joined = 0;
        open_fixture(&f, 20 * US_PER_S);
        for (int i = 0; i < all; i++) {
                viewer_open(&v[i], &f);
                viewer_ask(&v[i], "GET", SEGMENT, "");
        }
        until(&f, is_held, &all);
        until(&f, is_asked, NULL);
        assert_int_equal(f.e.upstream->count, 1);
        fake_answer_bytes(fake_open(f.e.upstream), "0123456789", 10, FETCH_COMPLETE | FETCH_IMMUTABLE, 0, "video/mp4");
        for (int i = 0; i < all; i++) {
                until(&f, has_answer, &v[i]);
                assert_int_equal(v[i].status, 200);
                assert_memory_equal(v[i].body, "0123456789", 10);
                const char *word = header_of(&v[i], "X-Cache");
                hits += strcmp(word, "hit") == 0;
                misses += strcmp(word, "miss") == 0;
                joined += strcmp(word, "joined") == 0;
                viewer_close(&v[i]);
        }
        assert_int_equal(f.e.upstream->count, 1);
        assert_int_equal(misses, 1);
        assert_int_equal(joined, all - 1);
        assert_int_equal(hits, 0);
        close_fixture(&f);
}

static void test_a_growing_segment_reaches_a_hundred_viewers_piece_by_piece_in_order(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v[100];
        const size_t piece = 40000, pieces = 5;
        unsigned char *bytes = mem_alloc(piece * pieces);
        for (size_t i = 0; i < piece * pieces; i++)
                bytes[i] = (unsigned char)(i * 7 + i / 251);
        open_fixture(&f, 20 * US_PER_S);
        for (int i = 0; i < 100; i++) {
                viewer_open(&v[i], &f);
                viewer_ask(&v[i], "GET", SEGMENT, "");
        }
        for (size_t p = 0; p < pieces; p++) {
                until(&f, is_asked, NULL);
                struct fake_call *c = fake_open(f.e.upstream);
                assert_int_equal(c->what.offset, p * piece);
                fake_answer_bytes(c, bytes + p * piece, piece,
                                  FETCH_IMMUTABLE | (p + 1 == pieces ? FETCH_COMPLETE : 0), 0, "video/mp4");
                for (int i = 0; i < 100; i++) { /* all have it before there is more */
                        struct { struct viewer *v; size_t len; } want = {&v[i], (p + 1) * piece};
                        until(&f, have_body, &want);
                }
        }
        for (int i = 0; i < 100; i++) {
                until(&f, has_answer, &v[i]);
                assert_int_equal(v[i].body_len, piece * pieces);
                assert_memory_equal(v[i].body, bytes, piece * pieces);
                assert_string_equal(header_of(&v[i], "Content-Type"), "video/mp4");
                assert_string_equal(header_of(&v[i], "Cache-Control"), "max-age=31536000, immutable");
                viewer_close(&v[i]);
        }
        assert_int_equal(f.e.upstream->count, pieces);
        close_fixture(&f);
        free(bytes);
}

/* A chunk of so many bytes: moof and mdat. */
static size_t add_chunk(char *at, size_t len, char fill)
{
        memset(at, fill, len);
        memcpy(at, "\0\0\0\20moof", 8);
        memcpy(at + 16, "\0\0\0\0mdat", 8);
        at[18] = (char)((len - 16) >> 8);
        at[19] = (char)(len - 16);
        return len;
}

#define PART(k) "/live/cam/s1/v720/7." k "x2.m4s"

static void test_parts_are_cut_out_of_the_one_segment_and_held_until_they_are_whole(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v[4];
        char bytes[8000];
        size_t at[4] = {0};
        int held = 4, two = 2, three = 3;
        for (size_t i = 0; i < 3; i++)
                at[i + 1] = at[i] + add_chunk(bytes + at[i], 1000 + i * 500, (char)('a' + i));
        open_fixture(&f, 20 * US_PER_S);
        static const char *const asked[] = {PART("0"), PART("0"), PART("1"), PART("2")};
        for (int i = 0; i < 4; i++) {
                viewer_open(&v[i], &f);
                viewer_ask(&v[i], "GET", asked[i], "");
        }
        until(&f, is_held, &held);
        until(&f, is_asked, NULL);
        assert_string_equal(fake_open(f.e.upstream)->what.key, SEGMENT);
        fake_answer_bytes(fake_open(f.e.upstream), bytes, at[1] + 700, FETCH_IMMUTABLE, 0, "video/mp4"); /* a chunk and a half */
        until(&f, is_asked, NULL);
        until(&f, is_held, &held); /* all of them, still */
        assert_int_equal(fake_open(f.e.upstream)->what.offset, at[1] + 700);
        fake_answer_bytes(fake_open(f.e.upstream), bytes + at[1] + 700, at[2] + 10 - at[1] - 700, FETCH_IMMUTABLE, 0, "video/mp4");
        for (int i = 0; i < 2; i++) {
                until(&f, has_answer, &v[i]);
                assert_int_equal(v[i].status, 200);
                assert_int_equal(v[i].body_len, at[2]);
                assert_memory_equal(v[i].body, bytes, at[2]);
                assert_string_equal(header_of(&v[i], "Content-Type"), "video/mp4");
                assert_string_equal(header_of(&v[i], "Cache-Control"), "max-age=31536000, immutable");
        }
        until(&f, is_held, &two);
        until(&f, is_asked, NULL);
        fake_answer_bytes(fake_open(f.e.upstream), bytes + at[2] + 10, at[3] - at[2] - 10, FETCH_COMPLETE | FETCH_IMMUTABLE, 0, "video/mp4");
        until(&f, has_answer, &v[2]); /* the segment ended with one chunk more */
        assert_int_equal(v[2].status, 200);
        assert_int_equal(v[2].body_len, at[3] - at[2]);
        assert_memory_equal(v[2].body, bytes + at[2], at[3] - at[2]);
        until(&f, has_answer, &v[3]);
        assert_int_equal(v[3].status, 404);
        ask(&f, &v[3], "GET", PART("0"), ""); /* of what is complete */
        assert_int_equal(v[3].status, 200);
        assert_int_equal(v[3].body_len, at[2]);
        assert_memory_equal(v[3].body, bytes, at[2]);
        assert_string_equal(header_of(&v[3], "X-Cache"), "hit");
        ask(&f, &v[3], "GET", SEGMENT, "");
        assert_int_equal(v[3].body_len, at[3]);
        assert_int_equal(f.e.upstream->count, three);
        for (int i = 0; i < 4; i++)
                viewer_close(&v[i]);
        close_fixture(&f);
}

static void test_who_waits_for_a_version_of_a_playlist_costs_one_fetch_together(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v[50];
        int all = 50;
        open_fixture(&f, 20 * US_PER_S);
        for (int i = 0; i < all; i++) {
                char target[160];
                viewer_open(&v[i], &f);
                snprintf(target, sizeof(target), i % 2 ? "/live/cam/s1/v720/media.m3u8?_HLS_msn=17&_HLS_part=1&id=%d"
                                                       : "/live/cam/s1/v720/media.m3u8?id=%d&_HLS_part=1&_HLS_msn=17", i);
                viewer_ask(&v[i], "GET", target, "");
        }
        until(&f, is_held, &all);
        until(&f, is_asked, NULL);
        assert_string_equal(fake_open(f.e.upstream)->what.key, "/live/cam/s1/v720/media.17.1.m3u8");
        fake_answer_bytes(fake_open(f.e.upstream), "#EXTM3U\n", 8, FETCH_COMPLETE, 1000, "application/vnd.apple.mpegurl");
        for (int i = 0; i < all; i++) {
                until(&f, has_answer, &v[i]);
                assert_int_equal(v[i].status, 200);
                assert_memory_equal(v[i].body, "#EXTM3U\n", 8);
                viewer_close(&v[i]);
        }
        assert_int_equal(f.e.upstream->count, 1);
        get_status(&f, "/live/cam/s1/v720/media.m3u8?_HLS_part=1", 400);
        assert_int_equal(f.e.upstream->count, 1);
        close_fixture(&f);
}

static bool has_bytes(struct fixture *f, void *arg)
{
        (void)f;
        viewer_read(arg);
        return ((struct viewer *)arg)->in_len > 0;
}

static void test_a_viewer_who_only_ends_his_own_side_while_he_waits_has_his_answer(void **state)
{
        (void)state;
        static const char still[] = "HTTP/1.1 100 Continue\r\n\r\n";
        struct fixture f;
        struct viewer v, old;
        int two = 2, one = 1, none = 0;
        open_fixture(&f, 3600 * US_PER_S);
        viewer_open(&v, &f);
        viewer_ask(&v, "GET", SEGMENT, "");
        viewer_open(&old, &f);
        viewer_send(&old, "GET " SEGMENT " HTTP/1.0\r\n\r\n"); /* which knows no 100 */
        until(&f, is_held, &two);
        shutdown(old.fd, SHUT_WR);
        until(&f, is_closed, &old);
        assert_int_equal(old.in_len, 0);
        shutdown(v.fd, SHUT_WR);
        until(&f, has_bytes, &v);
        assert_int_equal(v.in_len, strlen(still));
        assert_memory_equal(v.in, still, strlen(still));
        until(&f, is_held, &one); /* still */
        v.in_len = 0;
        until(&f, is_asked, NULL);
        fake_answer_bytes(fake_open(f.e.upstream), "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        struct want want = {&v, 3};
        until(&f, have_body, &want);
        until(&f, is_held, &one); /* for the next piece */
        fake_answer_bytes(fake_open(f.e.upstream), "def", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        until(&f, has_answer, &v);
        assert_int_equal(v.status, 200);
        assert_memory_equal(v.body, "abcdef", 6);
        until(&f, is_closed, &v);
        assert_false(v.reset);
        until(&f, has_clients, &none);
        viewer_close(&v);
        viewer_close(&old);
        close_fixture(&f);
}

static void test_a_viewer_who_goes_while_he_waits_gives_his_seat_back_at_once(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer goes[2], stays;
        int all = 3, one = 1;
        open_fixture(&f, 3600 * US_PER_S); /* nobody is woken by his deadline */
        for (unsigned i = 0; i < 2; i++) {
                viewer_open(&goes[i], &f);
                viewer_ask(&goes[i], "GET", SEGMENT, "");
        }
        viewer_open(&stays, &f);
        viewer_ask(&stays, "GET", SEGMENT, "");
        until(&f, is_held, &all);
        until(&f, is_asked, NULL);
        struct linger at_once = {.l_onoff = 1};
        setsockopt(goes[1].fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        for (unsigned i = 0; i < 2; i++)
                viewer_close(&goes[i]);
        until(&f, is_held, &one);
        until(&f, has_clients, &one);
        fake_answer_bytes(fake_open(f.e.upstream), "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        struct want want = {&stays, 3};
        until(&f, have_body, &want);
        until(&f, is_held, &one); /* for what comes next */
        viewer_close(&stays);
        all = one = 0;
        until(&f, has_clients, &all);
        close_fixture(&f);
}

static void test_a_viewer_who_leaves_stops_nobody(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer leaves, stays, watches;
        int two = 2;
        open_fixture(&f, 20 * US_PER_S);
        viewer_open(&leaves, &f);
        viewer_open(&stays, &f);
        viewer_open(&watches, &f);
        viewer_ask(&leaves, "GET", SEGMENT, "");
        until(&f, is_asked, NULL);
        viewer_ask(&stays, "GET", SEGMENT, "");
        until(&f, is_held, &two);
        viewer_close(&leaves);
        fake_answer_bytes(fake_open(f.e.upstream), "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        viewer_ask(&watches, "GET", SEGMENT, ""); /* joins in the middle */
        until(&f, is_asked, NULL);
        fake_answer_bytes(fake_open(f.e.upstream), "def", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        until(&f, has_answer, &stays);
        until(&f, has_answer, &watches);
        assert_memory_equal(stays.body, "abcdef", 6);
        assert_memory_equal(watches.body, "abcdef", 6);
        assert_int_equal(f.e.upstream->count, 2);
        viewer_close(&stays);
        viewer_close(&watches);
        int nobody = 0;
        until(&f, has_clients, &nobody);
        close_fixture(&f);
}

static void test_an_origin_that_dies_in_mid_segment_is_not_noticed_and_losing_all_cuts_the_answer(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        open_fixture(&f, 20 * US_PER_S);
        f.e.upstream->nodes = 2;
        viewer_open(&v, &f);
        viewer_ask(&v, "GET", SEGMENT, "");
        until(&f, is_asked, NULL);
        fake_answer_bytes(fake_open(f.e.upstream), "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        fake_answer_error(fake_open(f.e.upstream), ERR_CLOSED);
        assert_int_equal(fake_open(f.e.upstream)->node, 2);
        fake_answer_bytes(fake_open(f.e.upstream), "def", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        until(&f, has_answer, &v);
        assert_memory_equal(v.body, "abcdef", 6);

        viewer_ask(&v, "GET", "/live/cam/s1/v720/8.m4s", "");
        until(&f, is_asked, NULL);
        fake_answer_bytes(fake_open(f.e.upstream), "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        f.e.upstream->nodes = 0;
        fake_answer_error(fake_open(f.e.upstream), ERR_CLOSED);
        struct { struct viewer *v; size_t len; } begun = {&v, 3};
        until(&f, have_body, &begun);
        fake_wait(20 * US_PER_S); /* as long as an origin is waited for */
        until(&f, is_closed, &v);
        assert_false(answer_is_whole(&v, false)); /* the player sees that it is not all */
        viewer_close(&v);
        close_fixture(&f);
}

/* It has no chunks: a proxy would keep what has come so far as all there is. */
static void test_an_answer_that_is_cut_looks_like_no_end_to_http_1_0(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        open_fixture(&f, 20 * US_PER_S);
        viewer_open(&v, &f);
        viewer_send(&v, "GET " SEGMENT " HTTP/1.0\r\n\r\n");
        until(&f, is_asked, NULL);
        fake_answer_bytes(fake_open(f.e.upstream), "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        until(&f, has_head, &v);
        f.e.upstream->nodes = 0;
        fake_answer_error(fake_open(f.e.upstream), ERR_CLOSED);
        fake_wait(20 * US_PER_S);
        until(&f, is_closed, &v);
        assert_true(v.reset);
        viewer_close(&v);
        close_fixture(&f);
}

static void test_a_due_segment_that_does_not_come_is_503_with_retry_after(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        open_fixture(&f, 100 * US_PER_MS);
        viewer_open(&v, &f);
        viewer_ask(&v, "GET", SEGMENT, "");
        until(&f, is_asked, NULL);
        until(&f, has_answer, &v); /* the viewer's own deadline, whatever the origin does */
        assert_int_equal(v.status, 503);
        assert_string_equal(header_of(&v, "Retry-After"), "1");
        assert_non_null(strstr(v.body, "\"error\""));
        viewer_close(&v);
        close_fixture(&f);
}

static void test_what_the_origins_do_not_have_is_404_once_asked(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        open_fixture(&f, 20 * US_PER_S);
        viewer_open(&v, &f);
        viewer_ask(&v, "GET", SEGMENT, "");
        until(&f, is_asked, NULL);
        fake_answer_status(fake_open(f.e.upstream), ERR_NOT_FOUND, 60000);
        until(&f, has_answer, &v);
        assert_int_equal(v.status, 404);
        ask(&f, &v, "GET", SEGMENT, "");
        assert_int_equal(v.status, 404);
        assert_string_equal(header_of(&v, "X-Cache"), "hit");
        assert_int_equal(f.e.upstream->count, 1);
        viewer_close(&v);
        close_fixture(&f);
}

static void test_a_manifest_is_served_stale_while_no_origin_answers(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        open_fixture(&f, 20 * US_PER_S);
        viewer_open(&v, &f);
        viewer_ask(&v, "GET", "/live/cam/manifest.mpd", "");
        until(&f, is_asked, NULL);
        fake_answer_bytes(fake_open(f.e.upstream), "<MPD/>", 6, FETCH_COMPLETE, 1, "application/dash+xml");
        until(&f, has_answer, &v);
        assert_string_equal(header_of(&v, "Cache-Control"), "max-age=1");
        f.e.upstream->nodes = 0;
        do /* it is fresh for TTL_MIN */
                ask(&f, &v, "GET", "/live/cam/manifest.mpd", "");
        while (strcmp(header_of(&v, "X-Cache"), "hit") == 0);
        assert_int_equal(v.status, 200);
        assert_string_equal(header_of(&v, "X-Cache"), "stale");
        assert_memory_equal(v.body, "<MPD/>", 6);
        viewer_close(&v);
        close_fixture(&f);
}

static void test_head_ranges_and_conditions_work_as_the_rfc_says(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        char etag[64], headers[128];
        open_fixture(&f, 20 * US_PER_S);
        warm(&f, SEGMENT, "0123456789", 10);
        viewer_open(&v, &f);
        ask(&f, &v, "GET", SEGMENT, "");
        assert_string_equal(header_of(&v, "X-Cache"), "hit");
        assert_string_equal(header_of(&v, "Content-Length"), "10");
        assert_string_equal(header_of(&v, "Accept-Ranges"), "bytes");
        assert_string_equal(header_of(&v, "Timing-Allow-Origin"), "*");
        snprintf(etag, sizeof(etag), "%s", header_of(&v, "ETag"));
        ask(&f, &v, "HEAD", SEGMENT, "");
        assert_int_equal(v.status, 200);
        assert_string_equal(header_of(&v, "Content-Length"), "10");
        ask(&f, &v, "GET", SEGMENT, "Range: bytes=2-4\r\n");
        assert_int_equal(v.status, 206);
        assert_string_equal(header_of(&v, "Content-Range"), "bytes 2-4/10");
        assert_int_equal(v.body_len, 3);
        assert_memory_equal(v.body, "234", 3);
        ask(&f, &v, "GET", SEGMENT, "Range: bytes=-3\r\n");
        assert_memory_equal(v.body, "789", 3);
        ask(&f, &v, "GET", SEGMENT, "Range: bytes=10-\r\n");
        assert_int_equal(v.status, 416);
        assert_string_equal(header_of(&v, "Content-Range"), "bytes */10");
        ask(&f, &v, "GET", SEGMENT, "Range: bytes=1-2,5-6\r\n");
        assert_int_equal(v.status, 200);
        snprintf(headers, sizeof(headers), "If-None-Match: \"x\", W/%s\r\n", etag);
        ask(&f, &v, "GET", SEGMENT, headers);
        assert_int_equal(v.status, 304);
        assert_string_equal(header_of(&v, "ETag"), etag);
        snprintf(headers, sizeof(headers), "Range: bytes=2-4\r\nIf-Range: %s\r\n", etag);
        ask(&f, &v, "GET", SEGMENT, headers);
        assert_int_equal(v.status, 206);
        ask(&f, &v, "GET", SEGMENT, "Range: bytes=2-4\r\nIf-Range: \"other\"\r\n");
        assert_int_equal(v.status, 200);
        ask(&f, &v, "GET", SEGMENT "?token=abc&x=%zz", "");
        assert_string_equal(header_of(&v, "X-Cache"), "hit");
        assert_int_equal(f.e.upstream->count, 1);
        viewer_close(&v);
        close_fixture(&f);
}

/* Where it begins is told, and where it ends is not: that has to be known before anything is said. */
static void test_an_open_range_of_a_growing_segment_waits_for_its_end(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        int one = 1;
        open_fixture(&f, 20 * US_PER_S);
        viewer_open(&v, &f);
        viewer_ask(&v, "GET", SEGMENT, "Range: bytes=1-\r\n");
        until(&f, is_asked, NULL);
        fake_answer_bytes(fake_open(f.e.upstream), "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        until(&f, is_held, &one);
        fake_answer_bytes(fake_open(f.e.upstream), "def", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        until(&f, has_answer, &v);
        assert_int_equal(v.status, 206);
        assert_string_equal(header_of(&v, "Content-Range"), "bytes 1-5/6");
        assert_memory_equal(v.body, "bcdef", 5);
        viewer_close(&v);
        close_fixture(&f);
}

static void test_a_range_of_a_growing_segment_is_what_is_there_and_then_what_comes(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v[4];
        int three = 3;
        struct { struct viewer *v; size_t len; } two = {&v[0], 2};
        open_fixture(&f, 20 * US_PER_S);
        static const char *const ranges[] = {"Range: bytes=1-3\r\n", "Range: bytes=4-4\r\n", "Range: bytes=4-9007199254740991\r\n",
                                             "Range: bytes=8-9\r\n"};
        for (int i = 0; i < 4; i++)
                viewer_open(&v[i], &f);
        for (int i = 0; i < 3; i++)
                viewer_ask(&v[i], "GET", SEGMENT, ranges[i]);
        until(&f, is_held, &three);
        until(&f, is_asked, NULL);
        fake_answer_bytes(fake_open(f.e.upstream), "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        until(&f, have_body, &two); /* it has not ended, and the others have not begun */
        assert_int_equal(v[0].status, 206);
        assert_string_equal(header_of(&v[0], "Content-Range"), "bytes 1-3/*");
        viewer_ask(&v[3], "GET", SEGMENT, ranges[3]);
        until(&f, is_held, &(int){4});
        until(&f, is_asked, NULL);
        fake_answer_bytes(fake_open(f.e.upstream), "def", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        for (int i = 0; i < 2; i++) {
                until(&f, has_answer, &v[i]);
                assert_int_equal(v[i].status, 206);
        }
        assert_int_equal(v[0].body_len, 3);
        assert_memory_equal(v[0].body, "bcd", 3);
        assert_string_equal(header_of(&v[1], "Content-Range"), "bytes 4-4/*");
        assert_int_equal(v[1].body_len, 1);
        assert_memory_equal(v[1].body, "e", 1);
        until(&f, is_asked, NULL);
        fake_answer_bytes(fake_open(f.e.upstream), "gh", 2, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        until(&f, has_answer, &v[2]); /* up to the end, wherever that is */
        assert_string_equal(header_of(&v[2], "Content-Range"), "bytes 4-9007199254740991/*");
        assert_int_equal(v[2].body_len, 4);
        assert_memory_equal(v[2].body, "efgh", 4);
        until(&f, has_answer, &v[3]); /* behind the end, as is known now */
        assert_int_equal(v[3].status, 416);
        ask(&f, &v[2], "GET", SEGMENT, "Range: bytes=4-9007199254740991\r\n"); /* of what is complete */
        assert_string_equal(header_of(&v[2], "Content-Range"), "bytes 4-7/8");
        for (int i = 0; i < 4; i++)
                viewer_close(&v[i]);
        close_fixture(&f);
}

/* All input of a thread goes through one buffer. */
static void test_what_a_held_request_asked_for_is_not_what_others_ask_meanwhile(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v, other;
        int one = 1;
        open_fixture(&f, 20 * US_PER_S);
        viewer_open(&v, &f);
        viewer_ask(&v, "GET", SEGMENT, "Range: bytes=1-\r\n");
        until(&f, is_asked, NULL);
        fake_answer_bytes(fake_open(f.e.upstream), "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        until(&f, is_held, &one);
        for (int i = 0; i < 16; i++) { /* each thread has some of them */
                viewer_open(&other, &f);
                ask(&f, &other, "GET", "/time", "Range: bytes=2-2, 4-4, 5-5\r\nRange-Not: bytes=0-9999999999999999999999999\r\n");
                assert_int_equal(other.status, 200);
                viewer_close(&other);
        }
        fake_answer_bytes(fake_open(f.e.upstream), "def", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        until(&f, has_answer, &v);
        assert_int_equal(v.status, 206);
        assert_string_equal(header_of(&v, "Content-Range"), "bytes 1-5/6");
        viewer_close(&v);
        close_fixture(&f);
}

/* The cache still has the one that waits when its viewer is gone. */
static void test_a_viewer_who_is_gone_while_it_is_held_costs_nothing_when_it_is_woken(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer gone[20], stays;
        int all = 21, none = 0;
        struct linger at_once = {.l_onoff = 1};
        open_fixture(&f, 20 * US_PER_S);
        viewer_open(&stays, &f);
        viewer_ask(&stays, "GET", SEGMENT, "");
        for (int i = 0; i < 20; i++) {
                viewer_open(&gone[i], &f);
                viewer_ask(&gone[i], "GET", SEGMENT, "");
        }
        until(&f, is_held, &all);
        for (int i = 0; i < 20; i++) { /* half of them by a reset */
                if (i % 2)
                        setsockopt(gone[i].fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
                viewer_close(&gone[i]);
        }
        until(&f, is_asked, NULL);
        fake_answer_bytes(fake_open(f.e.upstream), "abc", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        until(&f, has_answer, &stays);
        assert_memory_equal(stays.body, "abc", 3);
        viewer_close(&stays);
        until(&f, has_clients, &none);
        close_fixture(&f);
}

static void test_head_of_a_growing_segment_tells_its_length_and_sends_nothing_more(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        int one = 1;
        open_fixture(&f, 20 * US_PER_S);
        viewer_open(&v, &f);
        viewer_ask(&v, "HEAD", SEGMENT, "");
        until(&f, is_asked, NULL);
        fake_answer_bytes(fake_open(f.e.upstream), "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        until(&f, is_held, &one);
        fake_answer_bytes(fake_open(f.e.upstream), "def", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        until(&f, has_head, &v);
        assert_string_equal(header_of(&v, "Content-Length"), "6");
        assert_int_equal(v.in_len, (size_t)(strstr(v.in, "\r\n\r\n") + 4 - v.in));
        ask(&f, &v, "GET", "/time", ""); /* what comes next on this connection is the next answer */
        assert_memory_equal(v.in, "HTTP/1.1 200 OK\r\n", 17);
        viewer_close(&v);
        close_fixture(&f);
}

/* One second of a track, made while v reads it. */
static void grow(struct fixture *f, struct viewer *v, const char *target, const char *bytes, size_t len)
{
        viewer_ask(v, "GET", target, "");
        until(f, is_asked, NULL);
        fake_answer_bytes(fake_open(f->e.upstream), bytes, len - 1, FETCH_IMMUTABLE, 0, "video/mp4");
        until(f, has_head, v);
        until(f, is_asked, NULL);
        fake_answer_bytes(fake_open(f->e.upstream), bytes, 1, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        until(f, has_answer, v);
        assert_int_equal(v->status, 200);
}

static void test_a_player_at_the_live_edge_is_told_what_its_connection_carries_once_it_has_carried_video(void **state)
{
        (void)state;
        static char second[200000];
        struct fixture f;
        struct viewer v;
        open_fixture(&f, 20 * US_PER_S);
        viewer_open(&v, &f);
        grow(&f, &v, "/live/cam/s1/a128/7.m4s", second, 1000);
        assert_null(header_of(&v, "CMSD-Dynamic"));
        grow(&f, &v, "/live/cam/s1/v720/7.m4s", second, sizeof(second)); /* a thousand bytes have measured nothing */
        assert_null(strstr(header_of(&v, "CMSD-Dynamic"), "etp="));
        assert_non_null(strstr(header_of(&v, "CMSD-Dynamic"), ";rtt="));
        grow(&f, &v, "/live/cam/s1/a128/8.m4s", second, 1000);
        assert_null(header_of(&v, "CMSD-Dynamic"));
        grow(&f, &v, "/live/cam/s1/v720/8.m4s", second, sizeof(second));
        assert_memory_equal(header_of(&v, "CMSD-Dynamic"), "\"edge-1\";etp=", 13);
        assert_true(strtoull(header_of(&v, "CMSD-Dynamic") + 13, NULL, 10) > 100); /* kbit/s: however busy this machine is */
        ask(&f, &v, "GET", "/live/cam/s1/v720/8.m4s", ""); /* whole: a player believes what it was told last */
        assert_non_null(header_of(&v, "CMSD-Dynamic"));
        assert_string_equal(header_of(&v, "X-Cache"), "hit");
        ask(&f, &v, "GET", "/live/cam/s1/a128/8.m4s", "");
        assert_null(header_of(&v, "CMSD-Dynamic"));
        ask(&f, &v, "GET", "/live/cam/s1/v720/8.m4s", "Range: bytes=0-9\r\n");
        assert_int_equal(v.status, 206);
        viewer_close(&v);
        close_fixture(&f);
}

static void test_methods_that_are_not_ours_are_refused_and_preflight_is_answered(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        open_fixture(&f, 20 * US_PER_S);
        viewer_open(&v, &f);
        ask(&f, &v, "OPTIONS", SEGMENT, "Origin: http://a\r\nAccess-Control-Request-Method: GET\r\n");
        assert_int_equal(v.status, 204);
        ask(&f, &v, "DELETE", SEGMENT, "");
        assert_int_equal(v.status, 405);
        assert_string_equal(header_of(&v, "Allow"), "GET, HEAD, OPTIONS");
        ask(&f, &v, "POST", SEGMENT, "Content-Length: 1000000\r\n"); /* none of it is sent, none waited for */
        assert_int_equal(v.status, 405);
        until(&f, is_closed, &v);
        viewer_close(&v);
        assert_int_equal(f.e.upstream->count, 0);
        close_fixture(&f);
}

/* Every path, be it there or not: a browser does not even ask, or hides the answer, where the preflight or the answer does not let the
 * page have it. */
static void test_players_of_other_sites_may_send_their_headers_and_read_every_answer(void **state)
{
        (void)state;
        static const char *const paths[] = {SEGMENT, "/live/cam/manifest.mpd", "/time", "/api/streams", "/api/recordings",
                                            "/t/abc" SEGMENT, "/", "/watch/cam", "/nothing", "/%zz", "/live//cam", "*"};
        struct fixture f;
        struct viewer v;
        open_fixture(&f, 100 * US_PER_MS);
        viewer_open(&v, &f);
        for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
                ask(&f, &v, "OPTIONS", paths[i], "Origin: http://a\r\nAccess-Control-Request-Method: GET\r\n"
                                                 "Access-Control-Request-Headers: cmcd-object,cmcd-session,range\r\n");
                assert_int_equal(v.status, 204);
                assert_preflight(v.in);
        }
        assert_int_equal(f.e.upstream->count, 0);
        for (size_t i = 2; i < sizeof(paths) / sizeof(paths[0]); i++) {
                if (strncmp(paths[i], "/api/", 5) == 0 || strncmp(paths[i], "/t/", 3) == 0) /* these ask the origin */
                        continue;
                ask(&f, &v, "HEAD", paths[i], "CMCD-Request: bl=1200,mtp=25400\r\n");
                assert_readable(v.in);
        }
        warm(&f, SEGMENT, "0123456789", 10);
        static const char *const conditions[] = {"", "Range: bytes=2-4\r\n", "Range: bytes=99-\r\n", "If-None-Match: *\r\n"};
        static const int statuses[] = {200, 206, 416, 304};
        for (size_t i = 0; i < 4; i++) {
                ask(&f, &v, "GET", SEGMENT, conditions[i]);
                assert_int_equal(v.status, statuses[i]);
                assert_readable(v.in);
        }
        viewer_close(&v);
        close_fixture(&f);
}

static void test_bad_paths_never_reach_the_origin(void **state)
{
        (void)state;
        struct fixture f;
        open_fixture(&f, 20 * US_PER_S);
        get_status(&f, "/live/../../etc/passwd", 400);
        get_status(&f, "/web/..%2f..%2fetc/passwd", 400);
        get_status(&f, "/live/cam%00/manifest.mpd", 400);
        get_status(&f, "/live/cam/%zz", 400);
        get_status(&f, "/nothing", 404);
        get_status(&f, "/live/cam", 404);
        get_status(&f, "/web/secret.key", 404);
        char target[400] = "/live/";
        memset(target + 6, 'a', 380);
        get_status(&f, target, 414);
        assert_int_equal(f.e.upstream->count, 0);
        close_fixture(&f);
}

static void test_64_kb_of_headers_are_refused(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        char *big = mem_alloc((64 << 10) + 1);
        memset(big, 'a', 64 << 10);
        open_fixture(&f, 20 * US_PER_S);
        viewer_open(&v, &f);
        fcntl(v.fd, F_SETFL, 0);
        viewer_send(&v, "GET / HTTP/1.1\r\nHost: x\r\nX: ");
        (void)!send(v.fd, big, 64 << 10, MSG_NOSIGNAL);
        fcntl(v.fd, F_SETFL, O_NONBLOCK);
        until(&f, is_closed, &v);
        assert_memory_equal(v.in, "HTTP/1.1 431", 12); /* no reset has overtaken it */
        viewer_close(&v);
        get_status(&f, "/time", 200);
        close_fixture(&f);
        free(big);
}

static void test_pages_have_types_tags_and_a_small_form(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        char headers[128];
        open_fixture(&f, 20 * US_PER_S);
        viewer_open(&v, &f);
        ask(&f, &v, "GET", "/", "");
        assert_int_equal(v.status, 200);
        assert_memory_equal(v.body, "<h1>what is live</h1>", v.body_len);
        assert_string_equal(header_of(&v, "Content-Type"), "text/html; charset=utf-8");
        ask(&f, &v, "GET", "/watch/cam?x=1", "");
        assert_memory_equal(v.body, "<video></video>", v.body_len);
        ask(&f, &v, "GET", "/web/big.js", "Accept-Encoding: br, gzip\r\n");
        assert_string_equal(header_of(&v, "Content-Encoding"), "gzip");
        assert_true(v.body_len < 2000);
        ask(&f, &v, "GET", "/web/big.js", "Accept-Encoding: gzip;q=0\r\n");
        assert_null(header_of(&v, "Content-Encoding"));
        assert_int_equal(v.body_len, 2000);
        snprintf(headers, sizeof(headers), "If-None-Match: %s\r\n", header_of(&v, "ETag"));
        ask(&f, &v, "GET", "/web/big.js", headers);
        assert_int_equal(v.status, 304);
        ask(&f, &v, "GET", "/time", "");
        assert_string_equal(header_of(&v, "Cache-Control"), "no-store");
        assert_int_equal(v.body_len, strlen("2026-01-31T12:34:56.789Z"));
        assert_int_equal(v.body[v.body_len - 1], 'Z');
        viewer_close(&v);
        close_fixture(&f);
}

static void test_those_who_hold_us_up_are_closed_and_others_are_not(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer silent, slow, idle, held;
        char *mb = mem_alloc(8 << 20);
        int small = 4096, four = 4, one = 1;
        open_fixture(&f, 20 * US_PER_S);
        int64_t now_us = clock_mono_us(); /* nobody has been here for longer, however slow this machine is */
        viewer_open(&silent, &f);
        viewer_send(&silent, "GET / HT"); /* and never a whole header */
        viewer_open(&idle, &f);
        viewer_ask(&idle, "HEAD", "/live/cam/s1/v720/1.m4s", "");
        for (int i = 0; i < 7; i++) { /* more than a socket takes */
                until(&f, is_asked, NULL);
                fake_answer_bytes(fake_open(f.e.upstream), mb, 1 << 20, FETCH_IMMUTABLE | (i == 6 ? FETCH_COMPLETE : 0), 0,
                                  "video/mp4");
        }
        until(&f, has_head, &idle);
        viewer_open(&slow, &f);
        setsockopt(slow.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
        viewer_ask(&slow, "GET", "/live/cam/s1/v720/1.m4s", "");
        until(&f, has_begun, &slow); /* and reads none of it */
        viewer_open(&held, &f);
        viewer_ask(&held, "GET", SEGMENT, "");
        until(&f, is_asked, NULL);
        until(&f, is_held, &one);
        until(&f, has_clients, &four);
        for (int i = 1; i <= 9; i++)
                http_sweep(f.http, now_us + i * US_PER_S);
        assert_int_equal(metric_get(&stats_clients), 4);
        for (int i = 10; i <= 20; i++) /* beyond the deadline for headers, and a window of reading nothing */
                http_sweep(f.http, now_us + i * US_PER_S);
        until(&f, is_closed, &silent);
        int two = 2;
        until(&f, has_clients, &two); /* silent and slow are gone, idle and held are not */
        viewer_read(&idle);
        assert_false(idle.closed);
        http_sweep(f.http, clock_mono_us() + 40 * US_PER_S);
        until(&f, is_closed, &idle);
        fake_answer_bytes(fake_open(f.e.upstream), "abc", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        until(&f, has_answer, &held);
        assert_int_equal(held.status, 200);
        viewer_close(&silent);
        viewer_close(&slow);
        viewer_close(&idle);
        viewer_close(&held);
        close_fixture(&f);
        free(mb);
}

static void test_stopping_wakes_who_waits_and_cuts_nothing_that_flows(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer held[50], idle;
        int all = 50;
        open_fixture(&f, 20 * US_PER_S);
        viewer_open(&idle, &f);
        ask(&f, &idle, "GET", "/time", "");
        for (int i = 0; i < all; i++) {
                viewer_open(&held[i], &f);
                viewer_ask(&held[i], "GET", SEGMENT, "");
        }
        until(&f, is_held, &all);
        http_quiesce(f.http);
        cache_stop_waiting(f.e.cache);
        until(&f, is_idle, NULL);
        for (int i = 0; i < all; i++) {
                until(&f, has_answer, &held[i]);
                assert_int_equal(held[i].status, 503);
                viewer_close(&held[i]);
        }
        viewer_close(&idle);
        close_fixture(&f);
}

static void test_who_asks_an_edge_that_leaves_is_answered_and_told_to_connect_anew(void **state)
{
        (void)state;
        static const char *const targets[] = {SEGMENT, "/live/cam/s1/v720/8.m4s", "/time", "/", "/live/none/manifest.mpd/x"};
        struct fixture f;
        struct viewer v[5], held, fresh;
        int one = 1;
        open_fixture(&f, 20 * US_PER_S);
        warm(&f, SEGMENT, "abc", 3);
        for (int i = 0; i < 5; i++) { /* connections that were kept */
                viewer_open(&v[i], &f);
                ask(&f, &v[i], "GET", SEGMENT, "");
                assert_null(header_of(&v[i], "Connection"));
        }
        http_drain(f.http);
        for (int i = 0; i < 5; i++) {
                viewer_ask(&v[i], "GET", targets[i], "");
                if (i == 1) {
                        until(&f, is_asked, NULL);
                        fake_answer_bytes(fake_open(f.e.upstream), "abc", 3, FETCH_COMPLETE | FETCH_IMMUTABLE, 0, "video/mp4");
                }
                until(&f, has_answer, &v[i]);
                assert_string_equal(header_of(&v[i], "Connection"), "close"); /* one that had to wait too */
                until(&f, is_closed, &v[i]);
                viewer_close(&v[i]);
        }
        viewer_open(&fresh, &f); /* load balancers have not seen it yet */
        ask(&f, &fresh, "GET", SEGMENT, "");
        assert_int_equal(fresh.status, 200);
        assert_string_equal(header_of(&fresh, "Connection"), "close");
        viewer_close(&fresh);
        viewer_open(&held, &f);
        viewer_ask(&held, "GET", "/live/cam/s1/v720/9.m4s", "");
        until(&f, is_asked, NULL);
        until(&f, is_held, &one);
        fake_answer_bytes(fake_open(f.e.upstream), "abc", 3, FETCH_COMPLETE | FETCH_IMMUTABLE, 0, "video/mp4");
        until(&f, has_answer, &held);
        assert_int_equal(held.status, 200);
        assert_int_equal(held.body_len, 3);
        viewer_close(&held);
        close_fixture(&f);
}

static void test_pages_say_what_they_may_load_and_who_may_frame_them(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        open_fixture(&f, 20 * US_PER_S);
        viewer_open(&v, &f);
        static const char *const pages[] = {"/", "/watch/cam", "/t/some.token.x/watch/cam", "/t/some.token.x", "/t/some.token.x/"};
        for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
                ask(&f, &v, "GET", pages[i], "");
                assert_int_equal(v.status, 200);
                const char *policy = header_of(&v, "Content-Security-Policy");
                assert_non_null(strstr(policy, "default-src 'none'"));
                assert_non_null(strstr(policy, "frame-ancestors 'self'"));
                assert_null(strstr(policy, "unsafe"));
                assert_non_null(strstr(policy, "connect-src 'self';"));
                assert_non_null(strstr(policy, "require-trusted-types-for 'script'"));
                assert_string_equal(header_of(&v, "Referrer-Policy"), "no-referrer");
                assert_string_equal(header_of(&v, "X-Content-Type-Options"), "nosniff");
                assert_non_null(header_of(&v, "Permissions-Policy"));
        }
        viewer_close(&v);
        close_fixture(&f);
}

/* A picture that somebody opens by itself is a document too. */
static void test_files_that_are_no_pages_may_do_nothing_as_documents(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        open_fixture(&f, 20 * US_PER_S);
        viewer_open(&v, &f);
        ask(&f, &v, "GET", "/web/big.js", "");
        assert_int_equal(v.status, 200);
        assert_non_null(strstr(header_of(&v, "Content-Security-Policy"), "default-src 'none'"));
        assert_non_null(strstr(header_of(&v, "Content-Security-Policy"), "sandbox"));
        viewer_close(&v);
        close_fixture(&f);
}

static void test_an_edge_says_how_full_it_is_and_steers_nobody_who_has_no_sites(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        open_fixture(&f, 20 * US_PER_S);
        http_set_load(f.http, 437);
        viewer_open(&v, &f);
        ask(&f, &v, "GET", "/load", "");
        assert_int_equal(v.status, 200);
        assert_string_equal(header_of(&v, "Cache-Control"), "no-store");
        assert_non_null(strstr(v.body, "{\"load_permille\": 437}"));
        ask(&f, &v, "GET", "/steering?_DASH_pathway=%22here%22", "");
        assert_int_equal(v.status, 404);
        viewer_close(&v);
        close_fixture(&f);
}

/* Who allocates: sanitizers have an allocator of their own, and are asked nothing. */
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
#define COUNTS_ALLOCATIONS 1
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
static atomic_uint allocations;
static _Thread_local bool is_test; /* what the test itself needs does not count */

static void count_allocation(void)
{
        if (!is_test)
                atomic_fetch_add(&allocations, 1);
}

void *malloc(size_t n)
{
        count_allocation();
        return __libc_malloc(n);
}

void *calloc(size_t n, size_t each)
{
        count_allocation();
        return __libc_calloc(n, each);
}

void *realloc(void *p, size_t n)
{
        count_allocation();
        return __libc_realloc(p, n);
}
#else
#define COUNTS_ALLOCATIONS 0
static atomic_uint allocations;
static bool is_test;
#endif

static void test_a_hit_takes_no_lock_of_the_cache_and_allocates_nothing(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        is_test = true;
        open_fixture(&f, 10 * US_PER_S);
        warm(&f, SEGMENT, "all of it", 9);
        viewer_open(&v, &f);
        ask(&f, &v, "GET", SEGMENT, ""); /* its answer is made */
        for (int i = 0; i < CACHE_SHARDS; i++)
                pthread_mutex_lock(&f.e.cache->shards[i].lock);
        unsigned before = atomic_load(&allocations);
        for (int i = 0; i < 100; i++) { /* who wants a lock waits until the test is given up */
                ask(&f, &v, "GET", SEGMENT, "");
                assert_int_equal(v.status, 200);
                assert_string_equal(header_of(&v, "X-Cache"), "hit");
        }
        unsigned after = atomic_load(&allocations);
        for (int i = 0; i < CACHE_SHARDS; i++)
                pthread_mutex_unlock(&f.e.cache->shards[i].lock);
        assert_int_equal(after, before);
        assert_true(!COUNTS_ALLOCATIONS || after > 0); /* it does count */
        viewer_close(&v);
        close_fixture(&f);
        is_test = false;
}

static bool is_cut_off(struct fixture *f, void *arg)
{
        (void)f;
        return metric_get(&stats_clients) == *(int *)arg;
}

/* Who does not read keeps an object when everybody else has forgotten it: with more than a share of the cache he loses it, and only he. */
static void test_who_keeps_more_of_what_was_evicted_than_a_share_is_closed(void **state)
{
        (void)state;
        enum { SLOW = 4, BIG = 7 << 20 }; /* of a cache of 32 MiB; more than what the kernel takes of an answer */
        struct fixture f;
        struct viewer slow[SLOW], good;
        char target[64], *bytes = mem_alloc(BIG);
        int little = 4096;
        open_fixture(&f, 10 * US_PER_S);
        viewer_open(&good, &f);
        for (int i = 0; i < SLOW; i++) {
                snprintf(target, sizeof(target), "/live/cam/s1/v720/%d.m4s", 100 + i);
                viewer_open(&slow[i], &f);
                setsockopt(slow[i].fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little));
                viewer_ask(&slow[i], "GET", target, "");
                until(&f, is_asked, NULL);
                fake_answer_bytes(fake_open(f.e.upstream), bytes, BIG, FETCH_COMPLETE | FETCH_IMMUTABLE, 0, "video/mp4");
        }
        for (int i = 0; i < 120; i++) {
                snprintf(target, sizeof(target), "/live/cam/s1/v720/%d.m4s", 200 + i);
                viewer_ask(&good, "GET", target, "");
                until(&f, is_asked, NULL);
                fake_answer_bytes(fake_open(f.e.upstream), bytes, INPUT_MAX / 2, FETCH_COMPLETE | FETCH_IMMUTABLE, 0, "video/mp4");
                until(&f, has_answer, &good);
                assert_int_equal(good.status, 200);
                assert_true(cache_bytes(f.e.cache) <= (32 << 20) + (32 << 20) / CACHE_PINNED_PART);
        }
        int left = 2; /* one slow reader is within the share */
        until(&f, is_cut_off, &left);
        assert_true(cache_pinned(f.e.cache) <= (32 << 20) / CACHE_PINNED_PART);
        viewer_close(&good);
        for (int i = 0; i < SLOW; i++)
                viewer_close(&slow[i]);
        free(bytes);
        close_fixture(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parts_are_cut_out_of_the_one_segment_and_held_until_they_are_whole),
                cmocka_unit_test(test_who_waits_for_a_version_of_a_playlist_costs_one_fetch_together),
                cmocka_unit_test(test_two_hundred_viewers_cost_one_fetch),
                cmocka_unit_test(test_a_growing_segment_reaches_a_hundred_viewers_piece_by_piece_in_order),
                cmocka_unit_test(test_a_viewer_who_only_ends_his_own_side_while_he_waits_has_his_answer),
                cmocka_unit_test(test_a_viewer_who_goes_while_he_waits_gives_his_seat_back_at_once),
                cmocka_unit_test(test_a_viewer_who_leaves_stops_nobody),
                cmocka_unit_test(test_an_origin_that_dies_in_mid_segment_is_not_noticed_and_losing_all_cuts_the_answer),
                cmocka_unit_test(test_an_answer_that_is_cut_looks_like_no_end_to_http_1_0),
                cmocka_unit_test(test_a_due_segment_that_does_not_come_is_503_with_retry_after),
                cmocka_unit_test(test_what_the_origins_do_not_have_is_404_once_asked),
                cmocka_unit_test(test_a_manifest_is_served_stale_while_no_origin_answers),
                cmocka_unit_test(test_head_ranges_and_conditions_work_as_the_rfc_says),
                cmocka_unit_test(test_an_open_range_of_a_growing_segment_waits_for_its_end),
                cmocka_unit_test(test_a_range_of_a_growing_segment_is_what_is_there_and_then_what_comes),
                cmocka_unit_test(test_what_a_held_request_asked_for_is_not_what_others_ask_meanwhile),
                cmocka_unit_test(test_a_viewer_who_is_gone_while_it_is_held_costs_nothing_when_it_is_woken),
                cmocka_unit_test(test_head_of_a_growing_segment_tells_its_length_and_sends_nothing_more),
                cmocka_unit_test(test_a_player_at_the_live_edge_is_told_what_its_connection_carries_once_it_has_carried_video),
                cmocka_unit_test(test_methods_that_are_not_ours_are_refused_and_preflight_is_answered),
                cmocka_unit_test(test_players_of_other_sites_may_send_their_headers_and_read_every_answer),
                cmocka_unit_test(test_bad_paths_never_reach_the_origin),
                cmocka_unit_test(test_64_kb_of_headers_are_refused),
                cmocka_unit_test(test_pages_have_types_tags_and_a_small_form),
                cmocka_unit_test(test_those_who_hold_us_up_are_closed_and_others_are_not),
                cmocka_unit_test(test_files_that_are_no_pages_may_do_nothing_as_documents),
                cmocka_unit_test(test_an_edge_says_how_full_it_is_and_steers_nobody_who_has_no_sites),
                cmocka_unit_test(test_a_hit_takes_no_lock_of_the_cache_and_allocates_nothing),
                cmocka_unit_test(test_who_keeps_more_of_what_was_evicted_than_a_share_is_closed),
                cmocka_unit_test(test_stopping_wakes_who_waits_and_cuts_nothing_that_flows),
                cmocka_unit_test(test_who_asks_an_edge_that_leaves_is_answered_and_told_to_connect_anew),
                cmocka_unit_test(test_pages_say_what_they_may_load_and_who_may_frame_them),
        };
        log_set_level(LOG_ERROR);
        stats_register();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
