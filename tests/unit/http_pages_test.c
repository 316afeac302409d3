/* The pages that an edge serves, and what it says of itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/http_fixture.h"

static void test_pages_have_types_tags_and_a_small_form(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        char headers[128];
        open_fixture(&f, PATIENCE_US);
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

static void test_pages_say_what_they_may_load_and_who_may_frame_them(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        open_fixture(&f, PATIENCE_US);
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
        open_fixture(&f, PATIENCE_US);
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
        open_fixture(&f, PATIENCE_US);
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

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_pages_have_types_tags_and_a_small_form),
                cmocka_unit_test(test_pages_say_what_they_may_load_and_who_may_frame_them),
                cmocka_unit_test(test_files_that_are_no_pages_may_do_nothing_as_documents),
                cmocka_unit_test(test_an_edge_says_how_full_it_is_and_steers_nobody_who_has_no_sites),
        };
        log_set_level(LOG_ERROR);
        stats_register();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
