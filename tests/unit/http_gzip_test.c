/* What is text is gzipped for who takes it so: once a version, with a tag of its own. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <zlib.h>

#include "http_fixture.h"

#define PLAYLIST "/live/cam/s1/v720/media.m3u8"
#define HLS "application/vnd.apple.mpegurl"
#define GZIP "Accept-Encoding: gzip\r\n"

static char text[20000];

static size_t make_text(int first)
{
        size_t len = 0;
        for (int i = first; len < sizeof(text) - 100; i++)
                len += (size_t)snprintf(text + len, sizeof(text) - len, "#EXTINF:1.00000,\n%d.m4s\n", i);
        return len;
}

/* What is in the cache afterwards: fresh for `ttl_ms`. */
static void bring(struct fixture *f, const char *target, size_t len, const char *type, uint32_t flags, uint32_t ttl_ms)
{
        struct viewer v;
        viewer_open(&v, f);
        viewer_ask(&v, "GET", target, "");
        until(f, is_asked, NULL);
        fake_answer_bytes(fake_open(f->e.upstream), text, len, FETCH_COMPLETE | flags, ttl_ms, type);
        until(f, has_answer, &v);
        assert_int_equal(v.status, 200);
        viewer_close(&v);
}

static void assert_is_text(const struct viewer *v, size_t len)
{
        static char out[sizeof(text)];
        z_stream z = {.next_in = (Bytef *)(uintptr_t)v->body, .avail_in = (uInt)v->body_len, .next_out = (Bytef *)out, .avail_out = sizeof(out)};
        assert_string_equal(header_of(v, "Content-Encoding"), "gzip");
        assert_int_equal(inflateInit2(&z, MAX_WBITS + 16), Z_OK);
        assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
        assert_int_equal(z.total_out, len);
        assert_memory_equal(out, text, len);
        inflateEnd(&z);
}

static void test_a_playlist_is_gzipped_for_who_takes_it_so_and_both_say_that_they_vary(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        size_t len = make_text(0);
        char plain[64], tag[64], wants[128];
        open_fixture(&f, PATIENCE_US);
        bring(&f, PLAYLIST, len, HLS, 0, 60000);
        viewer_open(&v, &f);
        ask(&f, &v, "GET", PLAYLIST, "");
        assert_null(header_of(&v, "Content-Encoding"));
        assert_string_equal(header_of(&v, "Vary"), "Accept-Encoding");
        assert_int_equal(v.body_len, len);
        snprintf(plain, sizeof(plain), "%s", header_of(&v, "ETag"));
        ask(&f, &v, "GET", PLAYLIST, GZIP);
        assert_int_equal(v.status, 200);
        assert_is_text(&v, len);
        assert_true(v.body_len < len / 4);
        assert_string_equal(header_of(&v, "Vary"), "Accept-Encoding");
        assert_string_equal(header_of(&v, "Content-Type"), HLS);
        snprintf(tag, sizeof(tag), "%s", header_of(&v, "ETag"));
        assert_string_not_equal(tag, plain);

        snprintf(wants, sizeof(wants), GZIP "If-None-Match: %s\r\n", tag);
        ask(&f, &v, "GET", PLAYLIST, wants);
        assert_int_equal(v.status, 304);
        assert_string_equal(header_of(&v, "ETag"), tag);
        assert_string_equal(header_of(&v, "Vary"), "Accept-Encoding");
        snprintf(wants, sizeof(wants), GZIP "If-None-Match: %s\r\n", plain); /* of the other form: it is not what he has */
        ask(&f, &v, "GET", PLAYLIST, wants);
        assert_int_equal(v.status, 200);
        snprintf(wants, sizeof(wants), GZIP "If-Match: %s\r\n", plain);
        ask(&f, &v, "GET", PLAYLIST, wants);
        assert_int_equal(v.status, 412);
        ask(&f, &v, "HEAD", PLAYLIST, GZIP);
        assert_string_equal(header_of(&v, "Content-Encoding"), "gzip");
        assert_true(atoi(header_of(&v, "Content-Length")) < (int)len / 4);
        viewer_close(&v);
        close_fixture(&f);
}

static void test_a_range_is_one_of_the_plain_bytes(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        size_t len = make_text(0);
        open_fixture(&f, PATIENCE_US);
        bring(&f, PLAYLIST, len, HLS, 0, 60000);
        viewer_open(&v, &f);
        ask(&f, &v, "GET", PLAYLIST, GZIP);
        assert_is_text(&v, len);
        ask(&f, &v, "GET", PLAYLIST, GZIP "Range: bytes=100-199\r\n");
        assert_int_equal(v.status, 206);
        assert_null(header_of(&v, "Content-Encoding"));
        assert_memory_equal(v.body, text + 100, 100);
        viewer_close(&v);
        close_fixture(&f);
}

static void test_media_and_what_is_short_go_as_they_are(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        size_t len = make_text(0);
        open_fixture(&f, PATIENCE_US);
        bring(&f, SEGMENT, len, "video/mp4", FETCH_IMMUTABLE, 0);
        bring(&f, PLAYLIST, 200, HLS, 0, 60000);
        viewer_open(&v, &f);
        ask(&f, &v, "GET", SEGMENT, GZIP);
        assert_null(header_of(&v, "Content-Encoding"));
        assert_null(header_of(&v, "Vary"));
        assert_int_equal(v.body_len, len);
        ask(&f, &v, "GET", PLAYLIST, GZIP);
        assert_null(header_of(&v, "Content-Encoding"));
        assert_int_equal(v.body_len, 200);
        viewer_close(&v);
        close_fixture(&f);
}

static void test_what_is_gzipped_counts_as_bytes_of_the_cache_and_goes_with_its_version(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v[20];
        size_t len = make_text(0);
        open_fixture(&f, PATIENCE_US);
        bring(&f, PLAYLIST, len, HLS, 0, 60000);
        bring(&f, "/live/cam/s1/v480/media.m3u8", len, HLS, 0, 60000);
        size_t before = cache_bytes(f.e.cache);
        for (int i = 0; i < 20; i++) {
                viewer_open(&v[i], &f);
                ask(&f, &v[i], "GET", PLAYLIST, GZIP);
                assert_is_text(&v[i], len);
        }
        size_t once = cache_bytes(f.e.cache) - before;
        assert_true(once > v[0].body_len && once < v[0].body_len + 4096); /* once, whoever asks */
        for (int i = 0; i < 20; i++)
                viewer_close(&v[i]);
        close_fixture(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_playlist_is_gzipped_for_who_takes_it_so_and_both_say_that_they_vary),
                cmocka_unit_test(test_a_range_is_one_of_the_plain_bytes),
                cmocka_unit_test(test_media_and_what_is_short_go_as_they_are),
                cmocka_unit_test(test_what_is_gzipped_counts_as_bytes_of_the_cache_and_goes_with_its_version),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
