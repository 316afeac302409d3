/* Answers that are not all there when they are asked for: segments that grow, parts, playlists that are waited for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/http_fixture.h"

static void test_a_growing_segment_reaches_a_hundred_viewers_piece_by_piece_in_order(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v[100];
        const size_t piece = 40000, pieces = 5;
        unsigned char *bytes = mem_alloc(piece * pieces);
        for (size_t i = 0; i < piece * pieces; i++)
                bytes[i] = (unsigned char)(i * 7 + i / 251);
        open_fixture(&f, PATIENCE_US);
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
        open_fixture(&f, PATIENCE_US);
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
        answer_asked(&f, bytes + at[2] + 10, at[3] - at[2] - 10, FETCH_COMPLETE | FETCH_IMMUTABLE);
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
        open_fixture(&f, PATIENCE_US);
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

static void test_an_origin_that_dies_in_mid_segment_is_not_noticed_and_losing_all_cuts_the_answer(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        open_fixture(&f, PATIENCE_US);
        f.e.upstream->nodes = 2;
        viewer_open(&v, &f);
        viewer_ask(&v, "GET", SEGMENT, "");
        answer_asked(&f, "abc", 3, FETCH_IMMUTABLE);
        fake_answer_error(fake_open(f.e.upstream), ERR_CLOSED);
        assert_int_equal(fake_open(f.e.upstream)->node, 2);
        fake_answer_bytes(fake_open(f.e.upstream), "def", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        until(&f, has_answer, &v);
        assert_memory_equal(v.body, "abcdef", 6);

        viewer_ask(&v, "GET", "/live/cam/s1/v720/8.m4s", "");
        answer_asked(&f, "abc", 3, FETCH_IMMUTABLE);
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
        open_fixture(&f, PATIENCE_US);
        viewer_open(&v, &f);
        viewer_send(&v, "GET " SEGMENT " HTTP/1.0\r\n\r\n");
        answer_asked(&f, "abc", 3, FETCH_IMMUTABLE);
        until(&f, has_head, &v);
        f.e.upstream->nodes = 0;
        fake_answer_error(fake_open(f.e.upstream), ERR_CLOSED);
        fake_wait(20 * US_PER_S);
        until(&f, is_closed, &v);
        assert_true(v.reset);
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
        open_fixture(&f, PATIENCE_US);
        viewer_open(&v, &f);
        viewer_ask(&v, "GET", SEGMENT, "Range: bytes=1-\r\n");
        answer_asked(&f, "abc", 3, FETCH_IMMUTABLE);
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
        open_fixture(&f, PATIENCE_US);
        static const char *const ranges[] = {"Range: bytes=1-3\r\n", "Range: bytes=4-4\r\n", "Range: bytes=4-9007199254740991\r\n",
                                             "Range: bytes=8-9\r\n"};
        for (int i = 0; i < 4; i++)
                viewer_open(&v[i], &f);
        for (int i = 0; i < 3; i++)
                viewer_ask(&v[i], "GET", SEGMENT, ranges[i]);
        until(&f, is_held, &three);
        answer_asked(&f, "abc", 3, FETCH_IMMUTABLE);
        until(&f, have_body, &two); /* it has not ended, and the others have not begun */
        assert_int_equal(v[0].status, 206);
        assert_string_equal(header_of(&v[0], "Content-Range"), "bytes 1-3/*");
        viewer_ask(&v[3], "GET", SEGMENT, ranges[3]);
        until(&f, is_held, &(int){4});
        answer_asked(&f, "def", 3, FETCH_IMMUTABLE);
        for (int i = 0; i < 2; i++) {
                until(&f, has_answer, &v[i]);
                assert_int_equal(v[i].status, 206);
        }
        assert_int_equal(v[0].body_len, 3);
        assert_memory_equal(v[0].body, "bcd", 3);
        assert_string_equal(header_of(&v[1], "Content-Range"), "bytes 4-4/*");
        assert_int_equal(v[1].body_len, 1);
        assert_memory_equal(v[1].body, "e", 1);
        two = (typeof(two)){&v[2], 2};
        until(&f, have_body, &two); /* else it could be asked for when the length is known */
        answer_asked(&f, "gh", 2, FETCH_IMMUTABLE | FETCH_COMPLETE);
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

static void test_head_of_a_growing_segment_tells_its_length_and_sends_nothing_more(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        int one = 1;
        open_fixture(&f, PATIENCE_US);
        viewer_open(&v, &f);
        viewer_ask(&v, "HEAD", SEGMENT, "");
        answer_asked(&f, "abc", 3, FETCH_IMMUTABLE);
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
        open_fixture(&f, PATIENCE_US);
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

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_growing_segment_reaches_a_hundred_viewers_piece_by_piece_in_order),
                cmocka_unit_test(test_parts_are_cut_out_of_the_one_segment_and_held_until_they_are_whole),
                cmocka_unit_test(test_who_waits_for_a_version_of_a_playlist_costs_one_fetch_together),
                cmocka_unit_test(test_an_origin_that_dies_in_mid_segment_is_not_noticed_and_losing_all_cuts_the_answer),
                cmocka_unit_test(test_an_answer_that_is_cut_looks_like_no_end_to_http_1_0),
                cmocka_unit_test(test_an_open_range_of_a_growing_segment_waits_for_its_end),
                cmocka_unit_test(test_a_range_of_a_growing_segment_is_what_is_there_and_then_what_comes),
                cmocka_unit_test(test_head_of_a_growing_segment_tells_its_length_and_sends_nothing_more),
                cmocka_unit_test(test_a_player_at_the_live_edge_is_told_what_its_connection_carries_once_it_has_carried_video),
        };
        log_set_level(LOG_ERROR);
        stats_register();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
