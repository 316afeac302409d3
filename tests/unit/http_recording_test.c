/* A recording as one file through an edge: put together of pieces, each of which is asked for once. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>

#include "edged/cache_fill.h"
#include "http_fixture.h"

#define FILM "/live/cam/20260131T123456Z-1a2b3c4d/recording.mp4"
#define TAG "\"00000000deadbeef\""
#define ANSWER_BYTES 200000
#define SIZE (2 * RECORDING_PIECE_BYTES + 500000)

static uint64_t identity; /* of the file that there is above */
static uint64_t size;     /* and how long it is */
static const char *error; /* why there is none; NULL: there is */
static unsigned facts_asked, pieces_asked[16];
static uint32_t newest[16]; /* piece that was asked for, of the recording whose name ends with that digit */

static uint8_t byte_at(uint64_t place)
{
        return (uint8_t)(place * 31 + place / 997);
}

static void answer_facts(struct fake_call *c)
{
        char text[2048];
        int len = error ? snprintf(text, sizeof(text), "{\"error\":\"%s\"}\n", error)
                        : snprintf(text, sizeof(text), "{\"size\":%llu,\"identity\":\"%016llx\",\"type\":\"video/mp4\",\"seconds\":100}\n",
                                   (unsigned long long)size, (unsigned long long)identity);
        facts_asked++;
        fake_answer_bytes(c, text, (size_t)len, FETCH_COMPLETE, 60000, "application/json");
}

static void answer_piece(struct fake_call *c, const struct key *k)
{
        static uint8_t bytes[ANSWER_BYTES];
        if (k->identity != identity) {
                fake_answer_status(c, ERR_NOT_FOUND, 1000);
                return;
        }
        pieces_asked[k->piece] += c->what.offset == 0;
        uint32_t *last = &newest[k->session[strlen(k->session) - 1] - 'a'];
        *last = k->piece > *last ? k->piece : *last;
        uint64_t from = (uint64_t)k->piece * RECORDING_PIECE_BYTES + c->what.offset, end = (uint64_t)(k->piece + 1) * RECORDING_PIECE_BYTES;
        end = end < size ? end : size;
        size_t len = end - from < sizeof(bytes) ? (size_t)(end - from) : sizeof(bytes);
        for (size_t i = 0; i < len; i++)
                bytes[i] = byte_at(from + i);
        fake_answer_bytes(c, bytes, len, FETCH_IMMUTABLE | (from + len == end ? FETCH_COMPLETE : 0), 0, "video/mp4");
}

static void answer_all(struct fixture *f)
{
        static uint8_t other[INPUT_MAX / 2];
        struct fake_call *c;
        while ((c = fake_open(f->e.upstream))) {
                struct key k;
                key_parse(&k, c->what.key);
                assert_true(k.kind == KEY_FACTS || k.kind == KEY_PIECE || k.kind == KEY_SEGMENT);
                if (k.kind == KEY_FACTS)
                        answer_facts(c);
                else if (k.kind == KEY_PIECE)
                        answer_piece(c, &k);
                else
                        fake_answer_bytes(c, other, sizeof(other), FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        }
}

static bool served(struct fixture *f, void *arg)
{
        answer_all(f);
        return has_answer(f, arg);
}

static bool served_head(struct fixture *f, void *arg)
{
        answer_all(f);
        return has_head(f, arg);
}

static bool served_until_closed(struct fixture *f, void *arg)
{
        answer_all(f);
        return is_closed(f, arg);
}

static void begin(struct fixture *f)
{
        identity = 0xdeadbeef;
        size = SIZE;
        error = NULL;
        facts_asked = 0;
        memset(pieces_asked, 0, sizeof(pieces_asked));
        memset(newest, 0, sizeof(newest));
        open_fixture(f, 20 * US_PER_S);
}

static void is_range(const struct viewer *v, uint64_t from, uint64_t len)
{
        assert_int_equal(v->status, 206);
        assert_int_equal(v->body_len, len);
        for (size_t i = 0; i < len; i++)
                if ((uint8_t)v->body[i] != byte_at(from + i))
                        fail_msg("another byte at %zu", i);
}

static void test_a_range_over_two_pieces_is_fetched_once_however_many_want_it(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v[5];
        const uint64_t from = RECORDING_PIECE_BYTES - 1000, len = 300000;
        begin(&f);
        for (int i = 0; i < 5; i++) {
                viewer_open(&v[i], &f);
                viewer_ask(&v[i], "GET", FILM, "Range: bytes=1047576-1347575\r\n");
        }
        for (int i = 0; i < 5; i++) {
                until(&f, served, &v[i]);
                is_range(&v[i], from, len);
                assert_string_equal(header_of(&v[i], "Content-Range"), "bytes 1047576-1347575/2597152");
                assert_string_equal(header_of(&v[i], "ETag"), TAG);
                assert_string_equal(header_of(&v[i], "Content-Type"), "video/mp4");
                assert_null(header_of(&v[i], "Transfer-Encoding"));
                viewer_ask(&v[i], "GET", FILM, "Range: bytes=-7\r\n"); /* the connection goes on */
                until(&f, served, &v[i]);
                is_range(&v[i], SIZE - 7, 7);
                viewer_close(&v[i]);
        }
        assert_int_equal(facts_asked, 1);
        for (int n = 0; n < 3; n++)
                assert_int_equal(pieces_asked[n], 1);
        close_fixture(&f);
}

static void test_what_is_said_of_it_before_its_bytes(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        begin(&f);
        viewer_open(&v, &f);
        viewer_ask(&v, "HEAD", FILM, "");
        until(&f, served_head, &v);
        assert_int_equal(v.status, 200);
        assert_string_equal(header_of(&v, "Content-Length"), "2597152");
        assert_string_equal(header_of(&v, "Content-Disposition"), "inline; filename=\"cam-20260131T123456Z-1a2b3c4d.mp4\"");
        ask(&f, &v, "GET", FILM, "If-None-Match: " TAG "\r\n");
        assert_int_equal(v.status, 304);
        ask(&f, &v, "GET", FILM, "If-Match: \"other\"\r\n");
        assert_int_equal(v.status, 412);
        ask(&f, &v, "GET", FILM, "Range: bytes=2597152-\r\n");
        assert_int_equal(v.status, 416);
        assert_string_equal(header_of(&v, "Content-Range"), "bytes */2597152");
        ask(&f, &v, "GET", FILM "?from=9&to=3", "");
        assert_int_equal(v.status, 400);
        ask(&f, &v, "GET", FILM "?track=v720", "");
        assert_int_equal(v.status, 400);
        assert_int_equal(pieces_asked[0] + pieces_asked[1] + pieces_asked[2], 0);
        viewer_close(&v);
        close_fixture(&f);
}

static void test_a_file_that_becomes_another_one_is_cut_off_and_not_mixed(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        begin(&f);
        viewer_open(&v, &f);
        viewer_ask(&v, "HEAD", FILM, "");
        until(&f, served_head, &v);
        identity++;
        viewer_ask(&v, "GET", FILM, "Range: bytes=1048576-1248575\r\n");
        until(&f, served_until_closed, &v);
        assert_false(answer_is_whole(&v, false));
        assert_int_equal(v.body_len, 0);
        viewer_close(&v);
        close_fixture(&f);
}

static void test_what_is_not_there_is_404_and_what_no_origin_says_is_503(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        begin(&f);
        viewer_open(&v, &f);
        viewer_ask(&v, "GET", FILM, "");
        until(&f, is_asked, NULL);
        fake_answer_status(fake_open(f.e.upstream), ERR_NOT_FOUND, 100);
        until(&f, has_answer, &v);
        assert_int_equal(v.status, 404);
        viewer_ask(&v, "GET", FILM "?from=3", "");
        until(&f, is_asked, NULL);
        assert_string_equal(fake_open(f.e.upstream)->what.key, "/live/cam/20260131T123456Z-1a2b3c4d/recording.3-.json");
        fake_answer_bytes(fake_open(f.e.upstream), "{\"size\":-1}", 11, FETCH_COMPLETE, 1000, "application/json");
        until(&f, has_answer, &v);
        assert_int_equal(v.status, 503);
        viewer_close(&v);
        close_fixture(&f);
}

static void ask_and_serve(struct fixture *f, struct viewer *v, const char *target, const char *fields)
{
        viewer_ask(v, "GET", target, fields);
        until(f, served, v);
}

static bool few_are_pinned(struct fixture *f, void *arg)
{
        (void)arg;
        answer_all(f);
        return cache_pinned(f->e.cache) <= (32 << 20) / CACHE_PINNED_PART;
}

static void ask_for_beginnings(struct fixture *f, struct viewer *v, int count)
{
        char target[80];
        for (int i = 0; i < count; i++) {
                snprintf(target, sizeof(target), "/live/cam/20260131T123456Z-1a2b3c4%c/recording.mp4", 'a' + i);
                ask_and_serve(f, v, target, "Range: bytes=0-9\r\n");
                assert_int_equal(v->status, 206);
        }
}

/* What is sent to them is still in the cache, for others want it, and what comes next is not any more. */
static void test_of_what_comes_next_those_who_do_not_read_on_keep_no_more_than_a_share(void **state)
{
        (void)state;
        enum { SLOW = 14 };
        struct fixture f;
        struct viewer slow[SLOW], good;
        char target[80];
        int little = 4096;
        begin(&f);
        size = 15 * RECORDING_PIECE_BYTES;
        viewer_open(&good, &f);
        ask_for_beginnings(&f, &good, SLOW);
        for (int i = 0; i < SLOW; i++) {
                viewer_open(&slow[i], &f);
                setsockopt(slow[i].fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little));
                snprintf(target, sizeof(target), "/live/cam/20260131T123456Z-1a2b3c4%c/recording.mp4", 'a' + i);
                viewer_ask(&slow[i], "GET", target, "");
        }
        for (int i = 0; i < 100; i++) {
                ask_for_beginnings(&f, &good, SLOW);
                snprintf(target, sizeof(target), "/live/cam/s1/v720/%d.m4s", 200 + i);
                ask_and_serve(&f, &good, target, "");
        }
        for (int i = 0; i < SLOW; i++)
                assert_int_equal(newest[i], 1);
        until(&f, few_are_pinned, NULL);
        assert_int_equal(metric_get(&stats_clients), SLOW + 1); /* none of them was closed for it */
        viewer_close(&good);
        for (int i = 0; i < SLOW; i++)
                viewer_close(&slow[i]);
        close_fixture(&f);
}

static bool served_a_mebibyte(struct fixture *f, void *arg)
{
        struct viewer *v = arg;
        answer_all(f);
        viewer_read(v);
        return v->in_len == INPUT_MAX;
}

/* By the rate of what is sent other sites are told how full this edge is. */
static void test_what_is_sent_of_a_download_counts_while_it_goes_on(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        begin(&f);
        size = 15 * RECORDING_PIECE_BYTES;
        int64_t before = metric_get(&stats_sent);
        viewer_open(&v, &f);
        viewer_ask(&v, "GET", FILM, "Range: bytes=0-9\r\n");
        until(&f, served, &v);
        assert_int_equal(metric_get(&stats_sent) - before, 10);
        viewer_ask(&v, "GET", FILM, "");
        until(&f, served_a_mebibyte, &v);
        assert_true(metric_get(&stats_sent) - before > RECORDING_PIECE_BYTES / 2);
        viewer_close(&v);
        close_fixture(&f);
}

static uint32_t watched(enum audience_of of)
{
        static struct audience_row rows[AUDIENCE_STREAMS + 1];
        uint32_t most = 0;
        for (int tens = 0; tens < 2; tens++) { /* one may just have begun */
                audience_look(fixture_audience, clock_mono_us() + tens * AUDIENCE_TEN * US_PER_S);
                uint32_t tenths = audience_rows(fixture_audience, rows) ? rows[0].tenths[of] : 0;
                most = tenths > most ? tenths : most;
        }
        return most;
}

/* Asks for a part of it, in a ten seconds of its own. */
static uint32_t watched_of(const char *target, uint64_t bytes, enum audience_of of)
{
        struct fixture f;
        struct viewer v;
        char range[64];
        fixture_audience = audience_open(2);
        begin(&f);
        snprintf(range, sizeof(range), "Range: bytes=1000-%llu\r\n", 999 + (unsigned long long)bytes);
        viewer_open(&v, &f);
        viewer_ask(&v, "GET", target, range);
        until(&f, served, &v);
        assert_int_equal(v.status, 206);
        uint32_t tenths = watched(of);
        viewer_close(&v);
        close_fixture(&f);
        audience_close(fixture_audience);
        fixture_audience = NULL;
        return tenths;
}

/* It lasts 100 s. A viewer has fetched ten of them in ten seconds. */
static void test_who_plays_a_track_on_demand_is_a_viewer_and_who_downloads_is_not(void **state)
{
        static const char ondemand[] = "/live/cam/20260131T123456Z-1a2b3c4d/v720/ondemand.0-100.mp4";
        (void)state;
        assert_int_equal(watched_of(ondemand, SIZE / 25, AUDIENCE_PICTURE), 4);
        assert_int_equal(watched_of(ondemand, SIZE / 25, AUDIENCE_SOUND), 0);
        assert_int_equal(watched_of("/live/cam/20260131T123456Z-1a2b3c4d/a128/ondemand.0-100.mp4", SIZE / 25, AUDIENCE_SOUND), 4);
        assert_int_equal(watched_of(ondemand, SIZE / 1000, AUDIENCE_PICTURE), 0); /* its index */
        assert_int_equal(watched_of(FILM, SIZE / 25, AUDIENCE_PICTURE), 0);
}

/* Or a hundred viewers would be made of one who loads it in a second. */
static void test_who_loads_a_track_on_demand_at_once_is_no_crowd(void **state)
{
        static const char ondemand[] = "/live/cam/20260131T123456Z-1a2b3c4d/v720/ondemand.0-100.mp4";
        (void)state;
        int64_t begun_us = clock_mono_us();
        uint32_t tenths = watched_of(ondemand, INPUT_MAX / 2, AUDIENCE_PICTURE);
        assert_true(tenths > 0 && tenths <= 10 + (clock_mono_us() - begun_us) / US_PER_S);
}

static bool served_or_closed(struct fixture *f, void *arg)
{
        struct viewer *v = arg;
        return served(f, v) || v->closed;
}

/* His thread looks at what he waited for when it gets to it: then it may be there. */
static void test_what_comes_when_a_wait_was_just_over_is_answered_like_any_other(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        char key[80], target[80];
        begin(&f);
        viewer_open(&v, &f);
        for (int i = 0; i < 15; i++) {
                struct object *facts = NULL;
                snprintf(target, sizeof(target), "/live/cam/20260131T123456Z-1a2b3c4%c/recording.mp4", 'a' + i);
                snprintf(key, sizeof(key), "/live/cam/20260131T123456Z-1a2b3c4%c/recording.json", 'a' + i);
                viewer_ask(&v, "GET", target, "Range: bytes=0-9\r\n");
                until(&f, is_asked, NULL);
                cache_find(f.e.cache, key, strlen(key), clock_mono_us(), &facts);
                assert_non_null(facts);
                cache_expire_waiters(facts, INT64_MAX);
                answer_facts(fake_open(f.e.upstream));
                object_unref(&facts);
                until(&f, served_or_closed, &v);
                assert_false(v.closed);
                assert_true(v.status == 206 || v.status == 503); /* 503: his thread was quicker */
        }
        viewer_close(&v);
        close_fixture(&f);
}

/* An origin's words are passed on; what would be no text in an answer is none of its words. */
static void test_why_there_is_no_such_file_is_said_in_the_origin_s_words(void **state)
{
        (void)state;
        char longer[1200];
        const char *const none[] = {"", "a \\\"quote\\\"", "a\\nline", "\\u00e9", longer};
        struct fixture f;
        struct viewer v;
        begin(&f);
        memset(longer, 'x', sizeof(longer) - 1);
        longer[sizeof(longer) - 1] = '\0';
        viewer_open(&v, &f);
        error = "to=50000 is given, but this broadcast goes on";
        viewer_ask(&v, "GET", FILM "?from=1&to=50000", "");
        until(&f, served, &v);
        assert_int_equal(v.status, 400);
        assert_non_null(strstr(v.body, error));
        for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
                char target[120];
                error = none[i];
                snprintf(target, sizeof(target), FILM "?from=%zu", i + 1);
                viewer_ask(&v, "GET", target, "");
                until(&f, served, &v);
                assert_int_equal(v.status, 503);
        }
        viewer_close(&v);
        close_fixture(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_why_there_is_no_such_file_is_said_in_the_origin_s_words),
                cmocka_unit_test(test_a_range_over_two_pieces_is_fetched_once_however_many_want_it),
                cmocka_unit_test(test_what_is_said_of_it_before_its_bytes),
                cmocka_unit_test(test_a_file_that_becomes_another_one_is_cut_off_and_not_mixed),
                cmocka_unit_test(test_what_is_not_there_is_404_and_what_no_origin_says_is_503),
                cmocka_unit_test(test_what_is_sent_of_a_download_counts_while_it_goes_on),
                cmocka_unit_test(test_who_plays_a_track_on_demand_is_a_viewer_and_who_downloads_is_not),
                cmocka_unit_test(test_who_loads_a_track_on_demand_at_once_is_no_crowd),
                cmocka_unit_test(test_what_comes_when_a_wait_was_just_over_is_answered_like_any_other),
                cmocka_unit_test(test_of_what_comes_next_those_who_do_not_read_on_keep_no_more_than_a_share),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
