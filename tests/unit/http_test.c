/* Real sockets against the real HTTP threads; the tier above is the test itself, so that nothing depends on time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/daemon/log.h"
#include "common/daemon/metrics.h"
#include "edged/http.h"
#include "edged/stats.h"
#include "fake_upstream.h"
#include "scratch.h"
#include "tokens.h"

#define GIVE_UP_US (120 * US_PER_S)
#define SEGMENT "/live/cam/s1/v720/7.m4s"
#define INPUT_MAX (1 << 20)

/* ---- the edge ------------------------------------------------------------------------------------------------- */

struct fixture {
        struct fake_edge e;
        struct http *http;
        struct site *site;
        struct access *access;
        char web_root[96];
};

static void free_response(void *r)
{
        MHD_destroy_response(r);
}

static void write_file(const char *root, const char *name, const char *text)
{
        char path[128];
        snprintf(path, sizeof(path), "%s/%s", root, name);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
}

static void open_fixture(struct fixture *f, int64_t hold_us)
{
        struct http_config cfg = {.bind = "127.0.0.1",
                                  .threads = 2,
                                  .connections_max = 2000,
                                  .hold_us = hold_us,
                                  .limits = {.header_us = 10 * US_PER_S, .idle_us = 30 * US_PER_S, .min_rate_bytes_s = 2000}};
        memset(f, 0, sizeof(*f));
        scratch_dir(f->web_root, sizeof(f->web_root));
        write_file(f->web_root, "index.html", "<h1>what is live</h1>");
        write_file(f->web_root, "watch.html", "<video></video>");
        char script[2001];
        memset(script, 'a', 2000);
        script[2000] = 0;
        write_file(f->web_root, "big.js", script);
        write_file(f->web_root, "secret.key", "no");
        fake_edge_open(&f->e, 1, 32 << 20, 64, hold_us, free_response);
        f->access = access_open();
        f->site = site_open(f->web_root, "'self'");
        assert_int_equal(http_open(&f->http, &cfg, f->e.cache, f->site, f->access), 0);
}

static void close_fixture(struct fixture *f)
{
        static const char *const names[] = {"index.html", "watch.html", "big.js", "secret.key"};
        char path[128];
        http_quiesce(f->http);
        cache_stop_waiting(f->e.cache);
        http_close(f->http);
        fake_edge_close(&f->e);
        site_close(f->site);
        access_close(f->access);
        for (size_t i = 0; i < 4; i++) {
                snprintf(path, sizeof(path), "%s/%s", f->web_root, names[i]);
                unlink(path);
        }
        rmdir(f->web_root);
}

/* ---- a viewer ------------------------------------------------------------------------------------------------- */

struct viewer {
        int fd;
        bool closed, reset;
        char *in; /* INPUT_MAX */
        size_t in_len;
        /* the answer, once answer_is_whole() */
        int status;
        char *body;
        size_t body_len;
};

static void viewer_open(struct viewer *v, struct fixture *f)
{
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)http_port(f->http)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        memset(v, 0, sizeof(*v));
        v->in = mem_alloc(INPUT_MAX + 1);
        v->fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(v->fd, (struct sockaddr *)&a, sizeof(a)), 0);
        fcntl(v->fd, F_SETFL, O_NONBLOCK);
}

static void viewer_close(struct viewer *v)
{
        close(v->fd);
        free(v->in);
        free(v->body);
}

static void viewer_send(struct viewer *v, const char *text)
{
        assert_int_equal(send(v->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void viewer_ask(struct viewer *v, const char *method, const char *target, const char *headers)
{
        char text[2048];
        snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: x\r\n%s\r\n", method, target, headers);
        v->in_len = 0;
        v->in[0] = 0;
        v->closed = false;
        viewer_send(v, text);
}

static void viewer_read(struct viewer *v)
{
        while (!v->closed && v->in_len < INPUT_MAX) {
                ssize_t n = recv(v->fd, v->in + v->in_len, INPUT_MAX - v->in_len, 0);
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        return;
                v->reset = n < 0;
                v->closed = n <= 0;
                v->in_len += n > 0 ? (size_t)n : 0;
                v->in[v->in_len] = 0;
        }
}

static const char *header_of(const struct viewer *v, const char *name)
{
        static char value[512];
        const char *end = strstr(v->in, "\r\n\r\n");
        size_t len = strlen(name);
        for (const char *line = v->in; end && line < end + 2; line = strstr(line, "\r\n") + 2) {
                if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
                        snprintf(value, sizeof(value), "%.*s", (int)(strstr(line, "\r\n") - line - len - 2), line + len + 2);
                        return value;
                }
                if (line == end + 2)
                        break;
        }
        return NULL;
}

/* Reads the body behind the headers as far as it is there; true when it is whole. */
static bool parse_body(struct viewer *v, const char *p, bool head)
{
        const char *length = header_of(v, "Content-Length"), *end = v->in + v->in_len;
        free(v->body);
        v->body = mem_alloc(v->in_len + 1);
        v->body_len = 0;
        if (head || v->status == 304 || v->status == 204)
                return true;
        if (length) {
                size_t want = (size_t)atoll(length), have = (size_t)(end - p);
                v->body_len = have < want ? have : want;
                memcpy(v->body, p, v->body_len);
                return have >= want;
        }
        if (!header_of(v, "Transfer-Encoding"))
                return v->closed;
        for (;;) {
                char *after;
                const char *line_end = strstr(p, "\r\n");
                if (!line_end)
                        return false;
                size_t n = strtoul(p, &after, 16);
                if (n == 0)
                        return strncmp(line_end, "\r\n\r\n", 4) == 0;
                if ((size_t)(end - line_end) < n + 4)
                        return false;
                memcpy(v->body + v->body_len, line_end + 2, n);
                v->body_len += n;
                p = line_end + 2 + n + 2;
        }
}

static bool answer_is_whole(struct viewer *v, bool head)
{
        const char *end = strstr(v->in, "\r\n\r\n");
        if (!end)
                return false;
        v->status = atoi(v->in + 9);
        return parse_body(v, end + 4, head);
}

/* Turns loop and sockets until `done` says so. */
static void until(struct fixture *f, bool (*done)(struct fixture *, void *), void *arg)
{
        int64_t give_up_us = clock_mono_us() + GIVE_UP_US;
        while (!done(f, arg)) {
                if (clock_mono_us() > give_up_us)
                        fail_msg("waited too long");
                uv_run(&f->e.loop, UV_RUN_NOWAIT);
                poll(NULL, 0, 1);
        }
}

static bool has_answer(struct fixture *f, void *arg)
{
        (void)f;
        viewer_read(arg);
        return answer_is_whole(arg, false);
}

static bool has_head(struct fixture *f, void *arg)
{
        (void)f;
        viewer_read(arg);
        return answer_is_whole(arg, true);
}

static bool is_closed(struct fixture *f, void *arg)
{
        (void)f;
        viewer_read(arg);
        return ((struct viewer *)arg)->closed;
}

/* There is something of an answer, which stays unread. */
static bool has_begun(struct fixture *f, void *arg)
{
        char byte;
        (void)f;
        return recv(((struct viewer *)arg)->fd, &byte, 1, MSG_PEEK) == 1;
}

static bool is_asked(struct fixture *f, void *arg)
{
        (void)arg;
        return fake_open(f->e.upstream) != NULL;
}

static bool is_held(struct fixture *f, void *arg)
{
        (void)f;
        return metric_get(&stats_held) == *(int *)arg;
}

static bool is_idle(struct fixture *f, void *arg)
{
        (void)arg;
        return http_busy(f->http) == 0;
}

static bool has_clients(struct fixture *f, void *arg)
{
        (void)f;
        return metric_get(&stats_clients) == *(int *)arg;
}

static void ask(struct fixture *f, struct viewer *v, const char *method, const char *target, const char *headers)
{
        viewer_ask(v, method, target, headers);
        until(f, strcmp(method, "HEAD") == 0 ? has_head : has_answer, v);
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

/* The object is in the cache afterwards. */
static void warm(struct fixture *f, const char *target, const char *bytes, size_t len)
{
        struct viewer v;
        viewer_open(&v, f);
        viewer_ask(&v, "GET", target, "");
        until(f, is_asked, NULL);
        fake_answer_bytes(fake_open(f->e.upstream), bytes, len, FETCH_COMPLETE | FETCH_IMMUTABLE, 0, "video/mp4");
        until(f, has_answer, &v);
        assert_int_equal(v.status, 200);
        assert_int_equal(v.body_len, len);
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

static bool have_body(struct fixture *f, void *arg)
{
        struct { struct viewer *v; size_t len; } *want = arg;
        (void)f;
        viewer_read(want->v);
        answer_is_whole(want->v, false);
        return want->v->body_len >= want->len;
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

static void test_a_range_of_a_growing_segment_waits_for_its_end(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        int one = 1;
        open_fixture(&f, 20 * US_PER_S);
        viewer_open(&v, &f);
        viewer_ask(&v, "GET", SEGMENT, "Range: bytes=1-3\r\n");
        until(&f, is_asked, NULL);
        fake_answer_bytes(fake_open(f.e.upstream), "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        until(&f, is_held, &one);
        fake_answer_bytes(fake_open(f.e.upstream), "def", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        until(&f, has_answer, &v);
        assert_int_equal(v.status, 206);
        assert_string_equal(header_of(&v, "Content-Range"), "bytes 1-3/6");
        assert_memory_equal(v.body, "bcd", 3);
        viewer_close(&v);
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

static void test_methods_that_are_not_ours_are_refused_and_preflight_is_answered(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        open_fixture(&f, 20 * US_PER_S);
        viewer_open(&v, &f);
        ask(&f, &v, "OPTIONS", SEGMENT, "Origin: http://a\r\nAccess-Control-Request-Method: GET\r\n");
        assert_int_equal(v.status, 204);
        assert_non_null(strstr(header_of(&v, "Access-Control-Allow-Headers"), "Range"));
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
        assert_true(v.reset || strncmp(v.in, "HTTP/1.1 431", 12) == 0);
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
                if (i != 1) { /* one that had to wait is told so the next time */
                        assert_string_equal(header_of(&v[i], "Connection"), "close");
                        until(&f, is_closed, &v[i]);
                }
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

/* ---- private streams ------------------------------------------------------------------------------------------ */

#define PRIVATE "/live/staff-1/s1/v720/7.m4s"

static void set_private(struct fixture *f, const char *key_set)
{
        struct jwt_keys *keys = NULL;
        char why[200];
        json_t *list = json_pack("[s]", "staff-*");
        assert_int_equal(jwt_keys_parse(&keys, key_set, strlen(key_set), why, sizeof(why)), 0);
        access_set(f->access, list, keys);
        jwt_keys_unref(&keys);
        json_decref(list);
}

static char *token_until(const char *path, int64_t exp_s)
{
        char *claims = mem_printf("{\"sub\":\"view\",\"path\":\"%s\",\"exp\":%lld}", path, (long long)exp_s);
        char *token = hs256("{\"alg\":\"HS256\",\"kid\":\"a\"}", claims, TOKEN_SECRET_A, 32);
        free(claims);
        return token;
}

static int64_t now_s(void)
{
        return clock_real_us() / US_PER_S;
}

static void with_token(struct fixture *f, struct viewer *v, const char *before, const char *token, const char *after, bool in_url)
{
        char *text = mem_printf("%s%s%s", before, token, after);
        ask(f, v, "GET", in_url ? text : PRIVATE, in_url ? "" : text);
        free(text);
}

static void test_a_private_stream_needs_a_token_in_one_of_three_forms(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        open_fixture(&f, 20 * US_PER_S);
        warm(&f, PRIVATE, "abc", 3); /* it is in the cache before it is made private */
        warm(&f, SEGMENT, "abc", 3);
        set_private(&f, SET(OCT("a", SECRET_A)));
        char *good = token_until("staff-*", now_s() + 1000), *other = token_until("board", now_s() + 1000);
        char *short_one = token_until("staff-1", now_s() + 30), *old = token_until("staff-*", now_s());
        viewer_open(&v, &f);
        ask(&f, &v, "GET", PRIVATE, "");
        assert_int_equal(v.status, 401);
        assert_string_equal(header_of(&v, "Access-Control-Allow-Origin"), "*");
        assert_string_equal(header_of(&v, "Cache-Control"), "no-store");
        assert_string_equal(header_of(&v, "WWW-Authenticate"), "Bearer realm=\"freshet\"");
        assert_non_null(strstr(v.body, "this stream is private"));
        ask(&f, &v, "HEAD", PRIVATE, "");
        assert_int_equal(v.status, 401);
        ask(&f, &v, "OPTIONS", PRIVATE, "");
        assert_int_equal(v.status, 204);
        assert_non_null(strstr(header_of(&v, "Access-Control-Allow-Headers"), "Authorization"));

        with_token(&f, &v, "/t/", good, PRIVATE, true);
        assert_int_equal(v.status, 200);
        assert_memory_equal(v.body, "abc", 3);
        assert_string_equal(header_of(&v, "Cache-Control"), "max-age=60");
        assert_string_equal(header_of(&v, "X-Cache"), "hit");
        with_token(&f, &v, "/t/", short_one, PRIVATE, true); /* a shared cache would have it for longer than the token lives */
        assert_int_equal(v.status, 200);
        assert_string_equal(header_of(&v, "Cache-Control"), "private, max-age=60");
        with_token(&f, &v, "Authorization: Bearer ", good, "\r\n", false);
        assert_int_equal(v.status, 200);
        assert_string_equal(header_of(&v, "Cache-Control"), "private, max-age=60");
        with_token(&f, &v, "Cookie: theme=dark; freshet_token=", good, "\r\n", false);
        assert_int_equal(v.status, 200);
        assert_string_equal(header_of(&v, "Cache-Control"), "private, max-age=60");

        with_token(&f, &v, "/t/", other, PRIVATE, true);
        assert_int_equal(v.status, 403);
        assert_non_null(strstr(v.body, "another stream"));
        with_token(&f, &v, "/t/", old, PRIVATE, true);
        assert_int_equal(v.status, 401);
        assert_non_null(strstr(v.body, "expired"));
        assert_non_null(strstr(header_of(&v, "WWW-Authenticate"), "invalid_token"));
        with_token(&f, &v, "/t/", "nonsense", PRIVATE, true);
        assert_int_equal(v.status, 401);
        /* the one in the URL counts, also when there is a good one beside it */
        char *cookie = mem_printf("Cookie: freshet_token=%s\r\n", good);
        ask(&f, &v, "GET", "/t/nonsense" PRIVATE, cookie);
        assert_int_equal(v.status, 401);
        /* public streams ignore tokens, and are kept as long as ever */
        ask(&f, &v, "GET", "/t/nonsense" SEGMENT, "");
        assert_int_equal(v.status, 200);
        assert_string_equal(header_of(&v, "Cache-Control"), "max-age=31536000, immutable");
        viewer_close(&v);
        assert_int_equal(f.e.upstream->count, 2);
        free(cookie);
        free(good);
        free(other);
        free(short_one);
        free(old);
        close_fixture(&f);
}

static void test_all_tokens_of_a_stream_share_one_object_and_none_goes_upstream(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v[3];
        int three = 3;
        open_fixture(&f, 20 * US_PER_S);
        set_private(&f, SET(OCT("a", SECRET_A)));
        for (int i = 0; i < 3; i++) {
                char *token = token_until("staff-1", now_s() + 1000 + i), *target = mem_printf("/t/%s" PRIVATE "?x=%d", token, i);
                viewer_open(&v[i], &f);
                viewer_ask(&v[i], "GET", target, "");
                free(token);
                free(target);
        }
        until(&f, is_held, &three);
        until(&f, is_asked, NULL);
        assert_int_equal(f.e.upstream->count, 1);
        assert_string_equal(fake_open(f.e.upstream)->what.key, PRIVATE);
        fake_answer_bytes(fake_open(f.e.upstream), "abc", 3, FETCH_COMPLETE | FETCH_IMMUTABLE, 0, "video/mp4");
        for (int i = 0; i < 3; i++) {
                until(&f, has_answer, &v[i]);
                assert_int_equal(v[i].status, 200);
                viewer_close(&v[i]);
        }
        close_fixture(&f);
}

struct want {
        struct viewer *v;
        size_t len;
};

static bool begins_to_answer(struct fixture *f, void *key)
{
        struct fake_call *c = fake_open(f->e.upstream);
        while (c && c < f->e.upstream->calls + f->e.upstream->count && (c->answered || strcmp(c->what.key, key) != 0))
                c++;
        if (!c || c == f->e.upstream->calls + f->e.upstream->count)
                return false;
        fake_answer_bytes(c, "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        return true;
}

/* Three viewers in the middle of a growing object: of a token that ends, of another key's, of a public stream. */
static void open_flowing(struct fixture *f, struct viewer v[3], int64_t exp_s)
{
        char *ends = token_until("staff-1", exp_s), *targets[3];
        char *stays = es256("{\"alg\":\"ES256\",\"kid\":\"e\"}", "{\"sub\":\"view\",\"path\":\"*\",\"exp\":99999999999}");
        set_private(f, SET(OCT("a", SECRET_A) "," EC_KEY("e")));
        targets[0] = mem_printf("/t/%s" PRIVATE, ends);
        targets[1] = mem_printf("/t/%s" PRIVATE, stays);
        targets[2] = mem_strdup(SEGMENT);
        for (int i = 0; i < 3; i++) {
                viewer_open(&v[i], f);
                viewer_ask(&v[i], "GET", targets[i], "");
                if (i != 1)
                        until(f, begins_to_answer, (void *)(uintptr_t)(i == 0 ? PRIVATE : SEGMENT));
                until(f, have_body, &(struct want){&v[i], 3});
                free(targets[i]);
        }
        free(ends);
        free(stays);
}

static void finish_flowing(struct fixture *f, struct viewer v[3])
{
        until(f, is_closed, &v[0]);
        assert_false(answer_is_whole(&v[0], false)); /* cut, not ended */
        while (fake_open(f->e.upstream))
                fake_answer_bytes(fake_open(f->e.upstream), "def", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        for (int i = 1; i < 3; i++) {
                until(f, has_answer, &v[i]);
                assert_memory_equal(v[i].body, "abcdef", 6);
        }
        for (int i = 0; i < 3; i++)
                viewer_close(&v[i]);
        int nobody = 0;
        until(f, has_clients, &nobody);
}

static char exposition[256 << 10];
static size_t exposition_len;

static void expose(void *arg, const char *text, size_t len)
{
        (void)arg;
        assert_true(exposition_len + len < sizeof(exposition));
        memcpy(exposition + exposition_len, text, len);
        exposition[exposition_len += len] = 0;
}

/* How many connections we closed for that reason. There are others for which one that is held may be closed in the end. */
static int64_t closed_for(const char *reason)
{
        char *series = mem_printf("edged_closed_total{reason=\"%s\"}", reason);
        exposition_len = 0;
        metrics_render(expose, NULL);
        const char *at = strstr(exposition, series);
        assert_non_null(at);
        int64_t count = atoll(at + strlen(series));
        free(series);
        return count;
}

static void test_an_answer_under_way_ends_with_its_token(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v[3];
        int three = 3;
        int64_t exp_s = now_s() + 1000;
        open_fixture(&f, 20 * US_PER_S);
        open_flowing(&f, v, exp_s);
        until(&f, is_held, &three);
        http_end_expired(f.http, exp_s * US_PER_S - 1);
        viewer_read(&v[0]);
        assert_false(v[0].closed);
        int64_t before = closed_for("token_expired");
        http_end_expired(f.http, exp_s * US_PER_S);
        assert_int_equal(closed_for("token_expired"), before + 1);
        finish_flowing(&f, v);
        close_fixture(&f);
}

static void test_an_answer_under_way_ends_when_its_key_is_taken_away(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v[3];
        int three = 3;
        open_fixture(&f, 20 * US_PER_S);
        open_flowing(&f, v, now_s() + 1000);
        until(&f, is_held, &three);
        set_private(&f, SET(EC_KEY("renamed")));
        int64_t before = closed_for("token_revoked");
        http_end_expired(f.http, clock_real_us());
        assert_int_equal(closed_for("token_revoked"), before + 1);
        finish_flowing(&f, v);
        close_fixture(&f);
}

static void test_a_connection_outlives_the_token_of_an_earlier_request(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        int64_t exp_s = now_s() + 1000;
        open_fixture(&f, 20 * US_PER_S);
        warm(&f, PRIVATE, "abc", 3);
        set_private(&f, SET(OCT("a", SECRET_A)));
        char *token = token_until("staff-1", exp_s);
        viewer_open(&v, &f);
        with_token(&f, &v, "/t/", token, PRIVATE, true);
        until(&f, is_idle, NULL);
        http_end_expired(f.http, (exp_s + 5) * US_PER_S);
        ask(&f, &v, "GET", "/time", "");
        assert_int_equal(v.status, 200);
        free(token);
        viewer_close(&v);
        close_fixture(&f);
}

static void list_has(struct fixture *f, struct viewer *v, const char *target, bool staff, bool board, const char *cache_control)
{
        ask(f, v, "GET", target, "");
        assert_int_equal(v->status, 200);
        assert_non_null(strstr(v->body, "\"open\""));
        assert_int_equal(strstr(v->body, "\"staff-1\"") != NULL, staff);
        assert_int_equal(strstr(v->body, "\"staff-2\"") != NULL, board);
        assert_string_equal(header_of(v, "Cache-Control"), cache_control);
}

static void test_the_list_names_private_streams_to_token_holders_only(void **state)
{
        (void)state;
        static const char all[] = "{\"streams\":[{\"id\":\"open\",\"session\":\"s\",\"state\":\"live\"},{\"id\":\"staff-1\","
                                  "\"session\":\"s\",\"state\":\"live\"},{\"id\":\"staff-2\",\"session\":\"s\",\"state\":\"live\"}]}";
        struct fixture f;
        struct viewer v;
        open_fixture(&f, 20 * US_PER_S);
        viewer_open(&v, &f);
        viewer_ask(&v, "GET", "/api/streams", "");
        until(&f, is_asked, NULL);
        fake_answer_bytes(fake_open(f.e.upstream), all, strlen(all), FETCH_COMPLETE, 60000, "application/json");
        until(&f, has_answer, &v);
        list_has(&f, &v, "/api/streams", true, true, "max-age=1"); /* nothing is private */
        set_private(&f, SET(OCT("a", SECRET_A)));
        char *one = token_until("staff-1", now_s() + 1000), *both = token_until("staff-?", now_s() + 1000);
        char *first = mem_printf("/t/%s/api/streams", one), *second = mem_printf("/t/%s/api/streams", both);
        for (int i = 0; i < 2; i++) {
                list_has(&f, &v, "/api/streams", false, false, "max-age=1");
                list_has(&f, &v, "/t/nonsense/api/streams", false, false, "max-age=1");
                list_has(&f, &v, first, true, false, "max-age=1");
                list_has(&f, &v, second, true, true, "max-age=1");
        }
        char *bearer = mem_printf("Authorization: Bearer %s\r\n", one);
        ask(&f, &v, "GET", "/api/streams", bearer);
        assert_non_null(strstr(v.body, "\"staff-1\""));
        assert_string_equal(header_of(&v, "Cache-Control"), "private, max-age=1");
        set_private(&f, SET(""));
        list_has(&f, &v, second, false, false, "max-age=1");
        free(bearer);
        free(first);
        free(second);
        free(one);
        free(both);
        viewer_close(&v);
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
                assert_string_equal(header_of(&v, "Referrer-Policy"), "no-referrer");
                assert_string_equal(header_of(&v, "X-Content-Type-Options"), "nosniff");
                assert_non_null(header_of(&v, "Permissions-Policy"));
        }
        viewer_close(&v);
        close_fixture(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_two_hundred_viewers_cost_one_fetch),
                cmocka_unit_test(test_a_growing_segment_reaches_a_hundred_viewers_piece_by_piece_in_order),
                cmocka_unit_test(test_a_viewer_who_leaves_stops_nobody),
                cmocka_unit_test(test_an_origin_that_dies_in_mid_segment_is_not_noticed_and_losing_all_cuts_the_answer),
                cmocka_unit_test(test_a_due_segment_that_does_not_come_is_503_with_retry_after),
                cmocka_unit_test(test_what_the_origins_do_not_have_is_404_once_asked),
                cmocka_unit_test(test_a_manifest_is_served_stale_while_no_origin_answers),
                cmocka_unit_test(test_head_ranges_and_conditions_work_as_the_rfc_says),
                cmocka_unit_test(test_a_range_of_a_growing_segment_waits_for_its_end),
                cmocka_unit_test(test_head_of_a_growing_segment_tells_its_length_and_sends_nothing_more),
                cmocka_unit_test(test_methods_that_are_not_ours_are_refused_and_preflight_is_answered),
                cmocka_unit_test(test_bad_paths_never_reach_the_origin),
                cmocka_unit_test(test_64_kb_of_headers_are_refused),
                cmocka_unit_test(test_pages_have_types_tags_and_a_small_form),
                cmocka_unit_test(test_those_who_hold_us_up_are_closed_and_others_are_not),
                cmocka_unit_test(test_stopping_wakes_who_waits_and_cuts_nothing_that_flows),
                cmocka_unit_test(test_who_asks_an_edge_that_leaves_is_answered_and_told_to_connect_anew),
                cmocka_unit_test(test_a_private_stream_needs_a_token_in_one_of_three_forms),
                cmocka_unit_test(test_all_tokens_of_a_stream_share_one_object_and_none_goes_upstream),
                cmocka_unit_test(test_an_answer_under_way_ends_with_its_token),
                cmocka_unit_test(test_an_answer_under_way_ends_when_its_key_is_taken_away),
                cmocka_unit_test(test_a_connection_outlives_the_token_of_an_earlier_request),
                cmocka_unit_test(test_the_list_names_private_streams_to_token_holders_only),
                cmocka_unit_test(test_pages_say_what_they_may_load_and_who_may_frame_them),
        };
        log_set_level(LOG_ERROR);
        stats_register();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
