#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <signal.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/err.h"
#include "common/http_client.h"
#include "common/mem.h"

/* A server in a thread that answers by path, one connection after the other:
 *   /ok /no /cached /redirect   an answer;  /long  a body of 100,000 bytes;  /headers  headers of as many
 *   /never  reads and says nothing until the client hangs up;  /cut  closes in the middle of its answer */
struct server {
        int fd;
        int port;
        pthread_t thread;
        char request[8192]; /* the last one; read after its answer */
        atomic_int served;
};

static void answer(int fd, const char *head, size_t body_len)
{
        char line[256];
        int n = snprintf(line, sizeof(line), "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", head, body_len);
        assert_true(write(fd, line, (size_t)n) == n);
}

static void serve(struct server *s, int fd)
{
        size_t len = 0;
        ssize_t n;
        char *end = NULL;
        memset(s->request, 0, sizeof(s->request));
        while (!end && (n = read(fd, s->request + len, sizeof(s->request) - 1 - len)) > 0) {
                len += (size_t)n;
                end = strstr(s->request, "\r\n\r\n");
                const char *length = strstr(s->request, "Content-Length: ");
                if (end && length && len < (size_t)(end + 4 - s->request) + (size_t)atoi(length + 16))
                        end = NULL;
        }
        const char *path = strchr(s->request, ' ');
        path = path ? path + 1 : "";
        char many[100000];
        memset(many, 'x', sizeof(many));
        atomic_fetch_add(&s->served, 1);
        if (strncmp(path, "/ok", 3) == 0) {
                answer(fd, "200 OK", 5);
                n = write(fd, "hello", 5);
        } else if (strncmp(path, "/no", 3) == 0) {
                answer(fd, "403 Forbidden\r\nCache-Control: no-store, max-age=9", 2);
                n = write(fd, "no", 2);
        } else if (strncmp(path, "/cached", 7) == 0) {
                answer(fd, "204 No Content\r\nCACHE-CONTROL: private, max-age=30", 0);
        } else if (strncmp(path, "/redirect", 9) == 0) {
                answer(fd, "302 Found\r\nLocation: /ok", 0);
        } else if (strncmp(path, "/long", 5) == 0) {
                answer(fd, "200 OK", sizeof(many));
                n = send(fd, many, sizeof(many), MSG_NOSIGNAL);
        } else if (strncmp(path, "/headers", 8) == 0) {
                n = send(fd, "HTTP/1.1 200 OK\r\nX: ", 20, MSG_NOSIGNAL);
                n = send(fd, many, 50000, MSG_NOSIGNAL);
                n = send(fd, "\r\n\r\n", 4, MSG_NOSIGNAL);
        } else if (strncmp(path, "/cut", 4) == 0) {
                answer(fd, "200 OK", 100);
                n = write(fd, "begin", 5);
        } else {
                while (read(fd, many, sizeof(many)) > 0)
                        ;
        }
        (void)n;
        close(fd);
}

static void *server_main(void *arg)
{
        struct server *s = arg;
        int fd;
        while ((fd = accept(s->fd, NULL, NULL)) >= 0)
                serve(s, fd);
        return NULL;
}

static void server_open(struct server *s)
{
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof(in);
        memset(s, 0, sizeof(*s));
        s->fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(bind(s->fd, (struct sockaddr *)&in, len), 0);
        assert_int_equal(listen(s->fd, 16), 0);
        assert_int_equal(getsockname(s->fd, (struct sockaddr *)&in, &len), 0);
        s->port = ntohs(in.sin_port);
        assert_int_equal(pthread_create(&s->thread, NULL, server_main, s), 0);
}

static void server_close(struct server *s)
{
        shutdown(s->fd, SHUT_RDWR);
        pthread_join(s->thread, NULL);
        close(s->fd);
}

struct fixture {
        struct server server;
        uv_loop_t loop;
        struct http_client *client;
        int answers, err, status;
        char body[64];
        int64_t max_age_s;
        bool close_in_done, asking;
};

static int setup(void **state)
{
        struct fixture *f = mem_alloc(sizeof(*f));
        server_open(&f->server);
        uv_loop_init(&f->loop);
        http_client_open(&f->client, &f->loop, &(struct http_client_limits){.in_flight = 3, .answer_bytes = 20000});
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;
        http_client_close(&f->client);
        assert_null(f->client);
        uv_run(&f->loop, UV_RUN_DEFAULT);
        assert_int_equal(uv_loop_close(&f->loop), 0); /* nothing is left open */
        server_close(&f->server);
        free(f);
        return 0;
}

static void on_done(void *arg, const struct http_answer *a)
{
        struct fixture *f = arg;
        assert_false(f->asking); /* never from inside http_client_ask() */
        f->answers++;
        f->err = a->err;
        f->status = a->status;
        f->max_age_s = a->max_age_s;
        assert_int_equal(strlen(a->body), a->body_len);
        assert_true((a->err != 0) == (*a->error != '\0'));
        snprintf(f->body, sizeof(f->body), "%s", a->body);
        if (f->close_in_done)
                http_client_close(&f->client);
}

static int ask(struct fixture *f, const char *method, const char *path, int64_t timeout_ms, struct http_request **out)
{
        static const char *const headers[] = {"Content-Type: application/json", "X-Name: value", NULL};
        char url[128];
        snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", f->server.port, path);
        f->asking = true;
        int err = http_client_ask(f->client,
                                  &(struct http_ask){.method = method, .url = url, .headers = headers, .body = "{\"a\":1}",
                                                     .body_len = 7, .timeout_ms = timeout_ms},
                                  on_done, f, out);
        f->asking = false;
        return err;
}

static void wait_for(struct fixture *f, int answers)
{
        while (f->answers < answers)
                uv_run(&f->loop, UV_RUN_ONCE);
}

static void fetch(struct fixture *f, const char *path)
{
        assert_int_equal(ask(f, "POST", path, 10000, NULL), 0);
        wait_for(f, f->answers + 1);
}

static void test_a_post_brings_its_headers_and_body_and_gets_status_and_body(void **state)
{
        struct fixture *f = *state;
        fetch(f, "/ok?q=1");
        assert_int_equal(f->err, 0);
        assert_int_equal(f->status, 200);
        assert_string_equal(f->body, "hello");
        assert_int_equal(f->max_age_s, -1);
        assert_non_null(strstr(f->server.request, "POST /ok?q=1 HTTP/1.1\r\n"));
        assert_non_null(strstr(f->server.request, "Content-Type: application/json\r\n"));
        assert_non_null(strstr(f->server.request, "X-Name: value\r\n"));
        assert_non_null(strstr(f->server.request, "\r\n\r\n{\"a\":1}"));
        assert_null(strstr(f->server.request, "Expect"));
}

static void test_a_get_has_no_body(void **state)
{
        struct fixture *f = *state;
        assert_int_equal(ask(f, "GET", "/ok", 10000, NULL), 0);
        wait_for(f, 1);
        assert_int_equal(f->status, 200);
        assert_non_null(strstr(f->server.request, "GET /ok HTTP/1.1\r\n"));
        assert_null(strstr(f->server.request, "{"));
}

static void test_any_status_is_an_answer_and_a_redirect_is_not_followed(void **state)
{
        struct fixture *f = *state;
        fetch(f, "/no");
        assert_int_equal(f->err, 0);
        assert_int_equal(f->status, 403);
        assert_string_equal(f->body, "no");
        fetch(f, "/redirect");
        assert_int_equal(f->status, 302);
        assert_int_equal(atomic_load(&f->server.served), 2);
}

static void test_cache_control_says_for_how_long(void **state)
{
        struct fixture *f = *state;
        fetch(f, "/cached");
        assert_int_equal(f->max_age_s, 30);
        fetch(f, "/no");
        assert_int_equal(f->max_age_s, 0); /* no-store wins */
}

static void test_an_answer_that_is_too_long_is_an_error(void **state)
{
        struct fixture *f = *state;
        fetch(f, "/long");
        assert_int_equal(f->err, ERR_LIMIT);
        assert_int_equal(f->status, 0);
        fetch(f, "/headers");
        assert_int_equal(f->err, ERR_LIMIT);
}

static void test_a_server_that_says_nothing_is_left_in_time(void **state)
{
        struct fixture *f = *state;
        assert_int_equal(ask(f, "POST", "/never", 50, NULL), 0);
        wait_for(f, 1);
        assert_int_equal(f->err, ERR_TIMEOUT);
}

static void test_a_server_that_closes_early_or_is_not_there_is_an_error(void **state)
{
        struct fixture *f = *state;
        fetch(f, "/cut");
        assert_int_equal(f->err, ERR_CLOSED);
        int fd = socket(AF_INET, SOCK_STREAM, 0); /* a port that is taken, and nobody listens on */
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof(in);
        assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
        int port = f->server.port;
        f->server.port = ntohs(in.sin_port);
        fetch(f, "/ok");
        assert_int_equal(f->err, ERR_REFUSED);
        f->server.port = port;
        close(fd);
}

static void test_more_than_the_bound_are_refused_at_once(void **state)
{
        struct fixture *f = *state;
        struct http_request *r[3];
        for (int i = 0; i < 3; i++)
                assert_int_equal(ask(f, "POST", "/never", 10000, &r[i]), 0);
        assert_int_equal(ask(f, "POST", "/ok", 10000, NULL), ERR_FULL);
        assert_int_equal(http_client_in_flight(f->client), 3);
        for (int i = 0; i < 3; i++)
                http_client_cancel(&r[i]);
        assert_null(r[0]);
        assert_int_equal(http_client_in_flight(f->client), 0);
        fetch(f, "/ok");
        assert_int_equal(f->status, 200);
        assert_int_equal(f->answers, 1); /* the canceled ones were not told */
}

static void test_a_request_may_be_canceled_in_its_middle(void **state)
{
        struct fixture *f = *state;
        struct http_request *r;
        assert_int_equal(ask(f, "POST", "/never", 10000, &r), 0);
        while (atomic_load(&f->server.served) == 0)
                uv_run(&f->loop, UV_RUN_NOWAIT);
        http_client_cancel(&r);
        fetch(f, "/ok");
        assert_int_equal(f->answers, 1);
}

static void test_the_client_may_be_closed_with_requests_under_way_and_from_an_answer(void **state)
{
        struct fixture *f = *state;
        assert_int_equal(ask(f, "POST", "/ok", 10000, NULL), 0);
        assert_int_equal(ask(f, "POST", "/ok", 10000, NULL), 0);
        f->close_in_done = true;
        wait_for(f, 1);
        uv_run(&f->loop, UV_RUN_DEFAULT);
        assert_int_equal(f->answers, 1);
}

static void test_only_http_urls_are_taken_and_shown_without_their_secrets(void **state)
{
        struct fixture *f = *state;
        static const char *const wrong[] = {"", "host", "ftp://host/", "file:///etc/passwd", "http://", "/path", "http//x"};
        char why[128], shown[128];
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
                assert_int_equal(http_url_check(wrong[i], why, sizeof(why)), ERR_CONFIG);
        assert_non_null(strstr(why, "http://"));
        assert_int_equal(http_url_check("https://user:secret@host:8443/a?token=secret", why, sizeof(why)), 0);
        assert_string_equal(http_url_shown(shown, sizeof(shown), "https://user:secret@host:8443/a?token=secret#secret"),
                            "https://host:8443/a");
        assert_int_equal(http_client_ask(f->client, &(struct http_ask){.method = "GET", .url = "file:///etc/passwd"},
                                         on_done, f, NULL), ERR_CONFIG);
        static const char *const split[] = {"X: a\r\nY: b", NULL};
        assert_int_equal(http_client_ask(f->client, &(struct http_ask){.method = "GET", .url = "http://127.0.0.1/",
                                                                       .headers = split},
                                         on_done, f, NULL), ERR_CONFIG);
        assert_int_equal(http_client_in_flight(f->client), 0);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_a_post_brings_its_headers_and_body_and_gets_status_and_body),
                TEST(test_a_get_has_no_body),
                TEST(test_any_status_is_an_answer_and_a_redirect_is_not_followed),
                TEST(test_cache_control_says_for_how_long),
                TEST(test_an_answer_that_is_too_long_is_an_error),
                TEST(test_a_server_that_says_nothing_is_left_in_time),
                TEST(test_a_server_that_closes_early_or_is_not_there_is_an_error),
                TEST(test_more_than_the_bound_are_refused_at_once),
                TEST(test_a_request_may_be_canceled_in_its_middle),
                TEST(test_the_client_may_be_closed_with_requests_under_way_and_from_an_answer),
                TEST(test_only_http_urls_are_taken_and_shown_without_their_secrets),
        };
        signal(SIGPIPE, SIG_IGN); /* as every daemon does: the other side may close while libcurl, or our server, writes */
        return cmocka_run_group_tests(tests, NULL, NULL);
}
