/* http_fixture.h - an edge's HTTP threads, with a test as the tier above them, and viewers that ask by real sockets. Include
 * after cmocka.h. */
#ifndef TESTS_HTTP_FIXTURE_H
#define TESTS_HTTP_FIXTURE_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/daemon/log.h"
#include "edged/http.h"
#include "edged/respond.h"
#include "edged/stats.h"
#include "edged/wire/answer.h"
#include "fake_upstream.h"
#include "patience.h"
#include "scratch.h"

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

/* Of the next open_fixture(). */
static unsigned fixture_seats = 2000;
static struct addresses *fixture_addresses; /* NULL: no address is counted */
static struct audience *fixture_audience;   /* NULL: no viewer is; of two threads */
static struct crowd *fixture_crowd;         /* NULL: nobody is told of viewers */
static struct census *fixture_census;       /* NULL: all there may be is asked for */

static struct http *fixture_http; /* the one that is open */

static inline void end_cut(void *arg)
{
        (void)arg;
        if (fixture_http)
                http_end_cut(fixture_http);
}

static inline void write_file(const char *root, const char *name, const char *text)
{
        char path[128];
        snprintf(path, sizeof(path), "%s/%s", root, name);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
}

static inline void open_fixture(struct fixture *f, int64_t hold_us)
{
        struct http_config cfg = {.bind = "127.0.0.1",
                                  .threads = 2,
                                  .connections_max = fixture_seats,
                                  .hold_us = hold_us,
                                  .tells_viewers = fixture_crowd,
                                  .throughput_node = "edge-1",
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
        fake_cut = end_cut;
        fake_edge_open(&f->e, 1, 32 << 20, 64, hold_us, respond_detach);
        f->access = access_open();
        f->site = site_open(f->web_root, "'self'", "");
        struct http_parts parts = {.cache = f->e.cache, .site = f->site, .access = f->access, .census = fixture_census, .addresses = fixture_addresses, .audience = fixture_audience,
                                   .crowd = fixture_crowd};
        assert_int_equal(http_open(&f->http, &cfg, &parts), 0);
        fixture_http = f->http;
}

static inline void close_fixture(struct fixture *f)
{
        static const char *const names[] = {"index.html", "watch.html", "big.js", "secret.key"};
        char path[128];
        http_quiesce(f->http);
        fixture_http = NULL;
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

/* From 127.0.0.host. */
static inline void viewer_open_from(struct viewer *v, struct fixture *f, uint32_t host)
{
        struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000 + host)};
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)http_port(f->http)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        memset(v, 0, sizeof(*v));
        v->in = mem_alloc(INPUT_MAX + 1);
        v->fd = socket(AF_INET, SOCK_STREAM, 0);
        int later = 1; /* the port is chosen by connect(), which may take one that is still in TIME_WAIT elsewhere */
        setsockopt(v->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &later, sizeof(later));
        if (host != 1)
                assert_int_equal(bind(v->fd, (struct sockaddr *)&from, sizeof(from)), 0);
        assert_int_equal(connect(v->fd, (struct sockaddr *)&a, sizeof(a)), 0);
        fcntl(v->fd, F_SETFL, O_NONBLOCK);
}

static inline void viewer_open(struct viewer *v, struct fixture *f)
{
        viewer_open_from(v, f, 1);
}

static inline void viewer_close(struct viewer *v)
{
        close(v->fd);
        free(v->in);
        free(v->body);
}

static inline void viewer_send(struct viewer *v, const char *text)
{
        assert_int_equal(send(v->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static inline void viewer_ask(struct viewer *v, const char *method, const char *target, const char *headers)
{
        char text[2048];
        snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: x\r\n%s\r\n", method, target, headers);
        v->in_len = v->body_len = 0; /* nothing of the answer before is to be taken for this one's */
        v->in[0] = 0;
        v->closed = false;
        viewer_send(v, text);
}

static inline void viewer_read(struct viewer *v)
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
static inline bool parse_body(struct viewer *v, const char *p, bool head)
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

static inline bool answer_is_whole(struct viewer *v, bool head)
{
        const char *end = strstr(v->in, "\r\n\r\n");
        if (!end)
                return false;
        v->status = atoi(v->in + 9);
        return parse_body(v, end + 4, head);
}

/* Turns loop and sockets until `done` says so. */
static inline void until(struct fixture *f, bool (*done)(struct fixture *, void *), void *arg)
{
        int64_t give_up_us = clock_mono_us() + PATIENCE_US;
        while (!done(f, arg)) {
                if (clock_mono_us() > give_up_us)
                        fail_msg("waited too long");
                uv_run(&f->e.loop, UV_RUN_NOWAIT);
                poll(NULL, 0, 1);
        }
}

static inline bool has_answer(struct fixture *f, void *arg)
{
        (void)f;
        viewer_read(arg);
        return answer_is_whole(arg, false);
}

static inline bool has_head(struct fixture *f, void *arg)
{
        (void)f;
        viewer_read(arg);
        return answer_is_whole(arg, true);
}

static inline bool is_closed(struct fixture *f, void *arg)
{
        (void)f;
        viewer_read(arg);
        return ((struct viewer *)arg)->closed;
}

static inline bool is_asked(struct fixture *f, void *arg)
{
        (void)arg;
        return fake_open(f->e.upstream) != NULL;
}

static inline bool is_held(struct fixture *f, void *arg)
{
        (void)f;
        return metric_get(&stats_held) == *(int *)arg;
}

static inline bool is_idle(struct fixture *f, void *arg)
{
        (void)arg;
        return http_busy(f->http) == 0;
}

static inline bool has_clients(struct fixture *f, void *arg)
{
        (void)f;
        return metric_get(&stats_clients) == *(int *)arg;
}

static inline void ask(struct fixture *f, struct viewer *v, const char *method, const char *target, const char *headers)
{
        viewer_ask(v, method, target, headers);
        until(f, strcmp(method, "HEAD") == 0 ? has_head : has_answer, v);
}

/* Some bytes of what was asked for, or all of them, as flags say. */
static inline void answer_asked(struct fixture *f, const void *bytes, size_t len, uint8_t flags)
{
        until(f, is_asked, NULL);
        fake_answer_bytes(fake_open(f->e.upstream), bytes, len, flags, 0, "video/mp4");
}

/* One request on a connection of its own; the viewer stays open for a look at the answer. */
static inline void get_status(struct fixture *f, const char *target, int status)
{
        struct viewer v;
        viewer_open(&v, f);
        ask(f, &v, "GET", target, "");
        assert_int_equal(v.status, status);
        assert_string_equal(header_of(&v, "Access-Control-Allow-Origin"), "*");
        viewer_close(&v);
}

/* The object is in the cache afterwards. */
static inline void warm(struct fixture *f, const char *target, const char *bytes, size_t len)
{
        struct viewer v;
        viewer_open(&v, f);
        viewer_ask(&v, "GET", target, "");
        answer_asked(f, bytes, len, FETCH_COMPLETE | FETCH_IMMUTABLE);
        until(f, has_answer, &v);
        assert_int_equal(v.status, 200);
        assert_int_equal(v.body_len, len);
        viewer_close(&v);
}

static inline bool have_body(struct fixture *f, void *arg)
{
        struct { struct viewer *v; size_t len; } *want = arg;
        (void)f;
        viewer_read(want->v);
        answer_is_whole(want->v, false);
        return want->v->body_len >= want->len;
}

struct want {
        struct viewer *v;
        size_t len;
};

#endif
