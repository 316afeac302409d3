/* One request after the other: what it is answered. The tier above is the test itself, so that nothing depends on time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/cors_said.h"
#include "edged/cache_impl.h"
#include "tests/unit/http_fixture.h"

static void test_two_hundred_viewers_cost_one_fetch(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v[200];
        int all = 200, hits = 0, misses = 0, joined = 0;
        open_fixture(&f, PATIENCE_US);
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
        open_fixture(&f, PATIENCE_US);
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
        open_fixture(&f, PATIENCE_US);
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
        open_fixture(&f, PATIENCE_US);
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

static void test_methods_that_are_not_ours_are_refused_and_preflight_is_answered(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        open_fixture(&f, PATIENCE_US);
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
        open_fixture(&f, PATIENCE_US);
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
        open_fixture(&f, PATIENCE_US);
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
        open_fixture(&f, PATIENCE_US);
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

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_two_hundred_viewers_cost_one_fetch),
                cmocka_unit_test(test_a_due_segment_that_does_not_come_is_503_with_retry_after),
                cmocka_unit_test(test_what_the_origins_do_not_have_is_404_once_asked),
                cmocka_unit_test(test_a_manifest_is_served_stale_while_no_origin_answers),
                cmocka_unit_test(test_head_ranges_and_conditions_work_as_the_rfc_says),
                cmocka_unit_test(test_methods_that_are_not_ours_are_refused_and_preflight_is_answered),
                cmocka_unit_test(test_players_of_other_sites_may_send_their_headers_and_read_every_answer),
                cmocka_unit_test(test_bad_paths_never_reach_the_origin),
                cmocka_unit_test(test_64_kb_of_headers_are_refused),
                cmocka_unit_test(test_a_hit_takes_no_lock_of_the_cache_and_allocates_nothing),
        };
        log_set_level(LOG_ERROR);
        stats_register();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
