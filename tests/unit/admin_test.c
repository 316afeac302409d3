/* admin: the port answers whatever the loop does, and nothing of /api/ runs anywhere but on the loop. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/daemon/admin.h"
#include "common/daemon/admin_loop.h"
#include "common/daemon/admin_port.h"
#include "common/err.h"
#include "tests/unit/patience.h"
#include "tests/unit/reserve.h"

/* ---- the port, and a loop on a thread of its own ---------------------------------------------------------------- */

static uv_loop_t loop;
static uv_async_t end;
static struct admin *admin;
static pthread_t loop_thread;
static int port;
static atomic_bool gate;        /* shut: hold() blocks the loop */
static atomic_int held, counted;

static void count_handler(void *arg, struct admin_call *call)
{
        assert_true(pthread_equal(pthread_self(), loop_thread));
        call->answer = json_pack("{s:i, s:s}", "count", atomic_fetch_add(&counted, 1) + 1, "arg", (const char *)arg);
}

static void echo_handler(void *arg, struct admin_call *call)
{
        (void)arg;
        const char *word = admin_text(call, "word", 1, 5);
        if (word)
                call->answer = json_pack("{s:s}", "word", word);
}

static void refuse_handler(void *arg, struct admin_call *call)
{
        (void)arg;
        admin_refuse(call, 409, "not \"now\"");
}

static void hold_handler(void *arg, struct admin_call *call)
{
        (void)arg;
        (void)call;
        atomic_fetch_add(&held, 1);
        while (atomic_load(&gate))
                usleep(1000); /* the test's gate, which it opens */
}

/* As daemon_exit() from inside a handler. */
static void last_handler(void *arg, struct admin_call *call)
{
        hold_handler(arg, call);
        admin_quiesce(admin);
}

static const struct admin_route routes[] = {
        {"POST", "/api/last", NULL, last_handler},
        {"GET", "/api/count", NULL, count_handler},
        {"GET", "/api/word", NULL, count_handler},
        {"PUT", "/api/word", "word more", echo_handler},
        {"POST", "/api/refuse", NULL, refuse_handler},
        {"POST", "/api/hold", NULL, hold_handler},
};

static void on_end(uv_async_t *handle)
{
        admin_quiesce(admin);
        uv_close((uv_handle_t *)handle, NULL);
}

static void *run_loop(void *arg)
{
        (void)arg;
        uv_run(&loop, UV_RUN_DEFAULT);
        admin_detach(admin);
        uv_run(&loop, UV_RUN_DEFAULT);
        return NULL;
}

static void open_with(const char *token)
{
        port = reserve_port();
        atomic_store(&gate, false);
        atomic_store(&held, 0);
        atomic_store(&counted, 0);
        atomic_store(&admin_loop_call_ms, ADMIN_CALL_MS);
        uv_loop_init(&loop);
        uv_async_init(&loop, &end, on_end);
        assert_int_equal(admin_open(&admin, &loop, "127.0.0.1", port, token), 0);
        admin_routes(admin, routes, sizeof(routes) / sizeof(routes[0]), "here");
        admin_ready(admin, true, "");
        pthread_create(&loop_thread, NULL, run_loop, NULL);
}

static int set_up(void **state)
{
        (void)state;
        open_with("");
        return 0;
}

static int set_up_with_token(void **state)
{
        (void)state;
        open_with("open sesame");
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        atomic_store(&gate, false);
        uv_async_send(&end);
        pthread_join(loop_thread, NULL);
        assert_int_equal(uv_loop_close(&loop), 0);
        admin_close(admin);
        return 0;
}

/* ---- a system that accepts nobody for a moment ------------------------------------------------------------------- */

static atomic_int no_accept; /* errno; 0: it accepts */
static atomic_int not_accepted;

int accept4(int fd, __SOCKADDR_ARG address, socklen_t *len, int flags)
{
        int why = atomic_load(&no_accept);
        if (!why)
                return (int)syscall(SYS_accept4, fd, address, len, flags);
        atomic_fetch_add(&not_accepted, 1);
        errno = why;
        return -1;
}

/* ---- asking ----------------------------------------------------------------------------------------------------- */

static int connect_from(uint32_t address)
{
        struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
        return fd;
}

static int connect_to(void)
{
        return connect_from(INADDR_LOOPBACK);
}

static void say(int fd, const char *method, const char *path, const char *headers, const char *body, size_t len)
{
        char head[1024];
        int n = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n",
                         method, path, headers, len);
        assert_int_equal(send(fd, head, (size_t)n, MSG_NOSIGNAL), n);
        for (size_t sent = 0; sent < len;) {
                ssize_t now = send(fd, body + sent, len - sent, MSG_NOSIGNAL);
                if (now <= 0)
                        break; /* it has answered before it had all */
                sent += (size_t)now;
        }
}

static const char *hear(int fd)
{
        static char answer[16384];
        size_t len = 0;
        ssize_t n;
        while (len < sizeof(answer) - 1 && (n = recv(fd, answer + len, sizeof(answer) - 1 - len, 0)) > 0)
                len += (size_t)n;
        answer[len] = '\0';
        close(fd);
        return answer;
}

#define JSON_TYPE "Content-Type: application/json\r\n"

static const char *ask(const char *method, const char *path, const char *headers, const char *body)
{
        int fd = connect_to();
        say(fd, method, path, headers, body, strlen(body));
        return hear(fd);
}

static void expect(const char *answer, const char *status, const char *words)
{
        char line[64];
        snprintf(line, sizeof(line), "HTTP/1.1 %s", status);
        if (strncmp(answer, line, strlen(line)) != 0 || !strstr(answer, words))
                fail_msg("wanted %s and %s, got %s", status, words, answer);
}

/* Every error is JSON that says what is allowed. */
static void expect_error(const char *answer, const char *status, const char *words)
{
        expect(answer, status, words);
        const char *body = strstr(answer, "\r\n\r\n");
        json_t *j = json_loads(body ? body : "", 0, NULL);
        assert_true(json_is_string(json_object_get(j, "error")));
        json_decref(j);
        assert_non_null(strstr(answer, "application/json"));
}

/* Of a loop that turns: the tests do it for ours, however long they take. */
static void expect_alive(const char *path, const char *status, const char *words)
{
        const char *answer;
        int64_t until_us = clock_mono_us() + PATIENCE_US;
        do {
                admin_tick(admin);
                answer = ask("GET", path, "", "");
        } while (strstr(answer, "stands still") && clock_mono_us() < until_us);
        expect(answer, status, words);
}

/* ---- tests ------------------------------------------------------------------------------------------------------ */

static void test_handlers_run_on_the_loop_and_their_answer_is_json(void **state)
{
        (void)state;
        expect(ask("GET", "/api/count", "", ""), "200", "{\"count\":1,\"arg\":\"here\"}");
        expect(ask("GET", "/api/count", "", ""), "200", "{\"count\":2,\"arg\":\"here\"}");
        expect(ask("HEAD", "/api/count", "", ""), "200", "application/json");
        expect(ask("PUT", "/api/word", JSON_TYPE, "{\"word\": \"hi\"}"), "200", "{\"word\":\"hi\"}");
        expect_error(ask("POST", "/api/refuse", JSON_TYPE, ""), "409", "not \\\"now\\\"");
}

static void test_wrong_paths_and_methods_are_told_what_there_is(void **state)
{
        (void)state;
        expect_error(ask("GET", "/nothing", "", ""), "404", "/healthz");
        expect_error(ask("GET", "/api/", "", ""), "404", "/api/count");
        expect_error(ask("DELETE", "/api/word", "", ""), "405", "Allow: GET, HEAD, PUT");
        expect_error(ask("GET", "/api/hold", "", ""), "405", "Allow: POST");
        expect_error(ask("POST", "/healthz", JSON_TYPE, "{}"), "405", "Allow: GET, HEAD");
        assert_int_equal(atomic_load(&held), 0);
}

static void test_bodies_are_judged_before_a_handler_sees_them(void **state)
{
        static char huge[ADMIN_BODY_MAX_BYTES + 1];
        (void)state;
        expect_error(ask("PUT", "/api/word", JSON_TYPE, "{\"word\": \"hi\", \"wrod\": 1}"), "400", "unknown member \\\"wrod\\\", allowed: word more");
        expect_error(ask("PUT", "/api/word", JSON_TYPE, "{\"wor\": \"hi\"}"), "400", "unknown member");
        expect_error(ask("PUT", "/api/word", JSON_TYPE, "{\"word\": \"hi\", \"word\": \"ho\"}"), "400", "duplicate");
        expect_error(ask("PUT", "/api/word", JSON_TYPE, "{\"word\": 5}"), "400", "a string of 1 to 5 bytes");
        expect_error(ask("PUT", "/api/word", JSON_TYPE, "{\"word\": \"much too long\"}"), "400", "a string of 1 to 5 bytes");
        expect_error(ask("PUT", "/api/word", JSON_TYPE, ""), "400", "given nothing");
        expect_error(ask("PUT", "/api/word", JSON_TYPE, "[1]"), "400", "a JSON object");
        expect_error(ask("PUT", "/api/word", JSON_TYPE, "{\"word\":\n"), "400", "line 2");
        expect_error(ask("PUT", "/api/word", JSON_TYPE, "{\"word\": [[[[[[[[[[]]]]]]]]]]}"), "400", "nested deeper");
        expect(ask("PUT", "/api/word", JSON_TYPE, "{\"word\": \"[[[[[\"}"), "200", "[[[[["); /* in a string it is text */
        expect_error(ask("PUT", "/api/word", JSON_TYPE, "{\"word\": \"a\\u0000b\"}"), "400", "");
        expect_error(ask("POST", "/api/hold", JSON_TYPE, "{\"a\": 1}"), "400", "allowed: none");
        memset(huge, ' ', sizeof(huge));
        int fd = connect_to();
        say(fd, "PUT", "/api/word", JSON_TYPE, huge, sizeof(huge));
        expect_error(hear(fd), "413", "65536");
        assert_int_equal(atomic_load(&held), 0);
}

static void test_a_page_in_a_browser_cannot_use_a_port_that_asks_for_no_token(void **state)
{
        char request[256];
        (void)state;
        expect_error(ask("POST", "/api/hold", "", ""), "415", "application/json");
        expect_error(ask("POST", "/api/hold", "Content-Type: text/plain\r\n", "{}"), "415", "application/json");
        expect_error(ask("POST", "/api/hold", "Content-Type: application/jsonp\r\n", "{}"), "415", "application/json");
        static const char *const paths[] = {"/api/count", "/metrics"};
        for (size_t i = 0; i < 2; i++) {
                int fd = connect_to();
                int n = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: evil.example:9190\r\nConnection: close\r\n\r\n", paths[i]);
                assert_int_equal(send(fd, request, (size_t)n, MSG_NOSIGNAL), n);
                expect_error(hear(fd), "403", "localhost");
        }
        static const char *const good[] = {"localhost", "LOCALHOST:1", "127.0.0.1:9190", "[::1]:9190", "10.1.2.3"};
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
                int fd = connect_to();
                int n = snprintf(request, sizeof(request), "GET /api/count HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", good[i]);
                assert_int_equal(send(fd, request, (size_t)n, MSG_NOSIGNAL), n);
                expect(hear(fd), "200", "count");
        }
        assert_int_equal(atomic_load(&held), 0);
}

static void test_with_a_token_everything_but_health_asks_for_it(void **state)
{
        (void)state;
        expect_alive("/healthz", "200", "ok");
        expect_alive("/readyz", "200", "ready");
        expect_error(ask("GET", "/metrics", "", ""), "401", "WWW-Authenticate: Bearer");
        expect_error(ask("GET", "/api/count", "", ""), "401", "admin_token");
        expect_error(ask("GET", "/there/is/nothing", "", ""), "401", "admin_token");
        expect_error(ask("GET", "/api/count", "Authorization: Bearer open\r\n", ""), "401", "");
        expect_error(ask("GET", "/api/count", "Authorization: Bearer open sesame2\r\n", ""), "401", "");
        expect_error(ask("GET", "/api/count", "Authorization: Bearer \r\n", ""), "401", "");
        expect_error(ask("GET", "/api/count", "Authorization: Basic open sesame\r\n", ""), "401", "");
        assert_int_equal(atomic_load(&counted), 0);
        expect(ask("GET", "/api/count", "Authorization: Bearer open sesame\r\n", ""), "200", "count");
        expect(ask("GET", "/metrics", "authorization: bearer open sesame\r\n", ""), "200", "");
        admin_token(admin, "another");
        expect_error(ask("GET", "/api/count", "Authorization: Bearer open sesame\r\n", ""), "401", "");
        expect(ask("GET", "/api/count", "Authorization: Bearer another\r\n", ""), "200", "count");
}

static void wait_for(atomic_int *value, int wanted)
{
        while (atomic_load(value) < wanted)
                usleep(1000); /* between two looks */
}

static void test_a_loop_that_does_not_answer_is_answered_for(void **state)
{
        (void)state;
        atomic_store(&gate, true);
        int first = connect_to();
        say(first, "POST", "/api/hold", JSON_TYPE, "", 0);
        wait_for(&held, 1);
        int64_t asked_us = clock_mono_us();
        int second = connect_to();
        say(second, "GET", "/api/count", "", "", 0);
        expect_alive("/healthz", "200", "ok"); /* meanwhile */
        expect_error(hear(second), "503", "does not answer");
        assert_true(clock_mono_us() - asked_us >= (ADMIN_CALL_MS - 10) * US_PER_MS);
        expect_error(hear(first), "503", "does not answer");
        atomic_store(&gate, false);
        expect(ask("GET", "/api/count", "", ""), "200", "{\"count\":1,"); /* what was given up was not done later */
}

static void test_no_more_than_a_few_requests_wait_for_the_loop(void **state)
{
        struct pollfd asked[ADMIN_CALLS_MAX + 8];
        int refused = 0;
        (void)state;
        atomic_store(&admin_loop_call_ms, PATIENCE_MS); /* however late the last of them comes, the first still wait */
        atomic_store(&gate, true);
        for (int i = 0; i < ADMIN_CALLS_MAX + 8; i++) {
                asked[i] = (struct pollfd){.fd = connect_to(), .events = POLLIN};
                say(asked[i].fd, "POST", "/api/hold", JSON_TYPE, "", 0);
        }
        while (refused < 8) {
                assert_true(poll(asked, ADMIN_CALLS_MAX + 8, PATIENCE_MS) > 0);
                for (int i = 0; i < ADMIN_CALLS_MAX + 8; i++) {
                        if (asked[i].fd < 0 || !asked[i].revents)
                                continue;
                        expect_error(hear(asked[i].fd), "503", "too many");
                        asked[i].fd = -1;
                        refused++;
                }
        }
        atomic_store(&gate, false);
        for (int i = 0; i < ADMIN_CALLS_MAX + 8; i++) {
                if (asked[i].fd >= 0)
                        expect(hear(asked[i].fd), "200", "{}");
        }
        assert_int_equal(refused, 8);
        assert_int_equal(atomic_load(&held), ADMIN_CALLS_MAX);
}

static void test_a_loop_that_stands_still_is_neither_healthy_nor_ready(void **state)
{
        (void)state;
        admin_ready(admin, false, "waiting for an origin");
        expect_alive("/readyz", "503", "waiting for an origin");
        admin_ready(admin, true, NULL);
        expect_alive("/readyz", "200", "ready");
        int64_t until_us = clock_mono_us() + (ADMIN_STUCK_MS + 100) * US_PER_MS; /* nobody calls admin_tick() */
        while (clock_mono_us() < until_us)
                usleep(20000);
        expect(ask("GET", "/healthz", "", ""), "503", "stands still");
        expect(ask("GET", "/readyz", "", ""), "503", "stands still");
        expect_alive("/healthz", "200", "ok");
}

static void test_after_quiesce_no_handler_runs_and_health_is_still_told(void **state)
{
        (void)state;
        admin_quiesce(admin);
        expect_error(ask("GET", "/api/count", "", ""), "503", "stopping");
        expect_alive("/healthz", "200", "ok");
        assert_int_equal(atomic_load(&counted), 0);
}

static void test_what_waits_behind_the_last_request_is_not_run(void **state)
{
        (void)state;
        atomic_store(&gate, true);
        int last = connect_to(), behind = connect_to();
        say(last, "POST", "/api/last", JSON_TYPE, "", 0);
        wait_for(&held, 1);
        say(behind, "GET", "/api/count", "", "", 0);
        usleep(100000); /* most often it waits for the loop by then; if not, it is refused for another reason */
        atomic_store(&gate, false);
        expect(hear(last), "200", "{}");
        expect_error(hear(behind), "503", "stopping");
        assert_int_equal(atomic_load(&counted), 0);
}

static void *ask_many(void *arg)
{
        (void)arg;
        for (int i = 0; i < 40; i++) {
                int fd = connect_to();
                char request[] = "GET /api/count HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", answer[2048];
                if (send(fd, request, strlen(request), MSG_NOSIGNAL) > 0) {
                        while (recv(fd, answer, sizeof(answer), 0) > 0)
                                ;
                }
                close(fd);
        }
        return NULL;
}

static void test_closing_amid_requests_loses_none_that_was_begun(void **state)
{
        pthread_t threads[4];
        (void)state;
        for (int i = 0; i < 4; i++)
                pthread_create(&threads[i], NULL, ask_many, NULL);
        while (atomic_load(&counted) < 30)
                usleep(1000);
        admin_quiesce(admin);
        for (int i = 0; i < 4; i++)
                pthread_join(threads[i], NULL);
}

static void begin_request(int fd)
{
        static const char half[] = "GET /healthz HTTP/1.1\r\nX-Slow: ";
        assert_int_equal(send(fd, half, sizeof(half) - 1, MSG_NOSIGNAL), sizeof(half) - 1);
}

/* libmicrohttpd's own deadline, which is longer, is not what ends it. */
static void expect_closed_soon(int fd)
{
        struct timeval soon = {.tv_sec = 8};
        char byte;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon));
        errno = 0;
        if (recv(fd, &byte, 1, 0) > 0 || errno == EAGAIN)
                fail_msg("it is still open");
        close(fd);
}

static void test_a_request_that_does_not_come_to_its_end_is_given_up(void **state)
{
        (void)state;
        int slow = connect_to(), other = connect_to();
        char byte;
        begin_request(slow);
        begin_request(other);
        expect_alive("/healthz", "200", "ok"); /* they are accepted in turn, so those two are too */
        admin_sweep(admin, clock_mono_us() + (ADMIN_SLOW_S - 1) * US_PER_S);
        assert_int_equal(recv(slow, &byte, 1, MSG_DONTWAIT), -1);
        admin_sweep(admin, clock_mono_us() + (ADMIN_SLOW_S + 1) * US_PER_S);
        expect_closed_soon(slow);
        expect_closed_soon(other);
}

static void test_whoever_holds_connections_keeps_nobody_out(void **state)
{
        int all[ADMIN_CONNECTIONS];
        (void)state;
        for (int i = 0; i < ADMIN_CONNECTIONS; i++)
                begin_request(all[i] = connect_to());
        expect_alive("/healthz", "200", "ok"); /* from the same address */
        expect_closed_soon(all[0]);
        for (int i = 1; i < ADMIN_CONNECTIONS; i++)
                close(all[i]);
}

static bool is_closed(int fd)
{
        char byte;
        return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

static void test_of_all_addresses_the_one_with_most_connections_loses_one(void **state)
{
        int first = connect_from(INADDR_LOOPBACK + 9), others[ADMIN_CONNECTIONS - 1];
        (void)state;
        begin_request(first);
        for (int i = 0; i < ADMIN_CONNECTIONS - 1; i++)
                begin_request(others[i] = connect_to());
        for (int i = 0; i < 5; i++)
                expect_alive("/healthz", "200", "ok");
        expect_closed_soon(others[0]);
        assert_false(is_closed(first)); /* though it is the oldest of all */
        close(first);
        for (int i = 1; i < ADMIN_CONNECTIONS - 1; i++)
                close(others[i]);
}

static void test_a_flood_of_connections_leaves_no_thread_and_no_descriptor_behind(void **state)
{
        int fds[300];
        (void)state;
        for (int i = 0; i < 300; i++)
                fds[i] = connect_to();
        expect_alive("/healthz", "200", "ok");
        for (int i = 0; i < 300; i++)
                close(fds[i]);
        expect_alive("/readyz", "200", "ready");
}

/* There may be no more than are in use from 0 on, the client's own socket among them. */
static void test_without_a_descriptor_it_answers_from_its_reserve(void **state)
{
        struct rlimit old, none;
        char reply[512] = "";
        (void)state;
        expect_alive("/healthz", "200", "ok");
        int later = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
        none = old;
        none.rlim_cur = (rlim_t)dup(later);
        close((int)none.rlim_cur);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        assert_int_equal(connect(later, (struct sockaddr *)&sa, sizeof(sa)), 0);
        static const char request[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
        assert_int_equal(send(later, request, sizeof(request) - 1, MSG_NOSIGNAL), sizeof(request) - 1);
        admin_tick(admin);
        struct timeval patience = {.tv_sec = 8};
        setsockopt(later, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        ssize_t n = recv(later, reply, sizeof(reply) - 1, 0);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        assert_true(n > 0);
        assert_non_null(strstr(reply, " 200 OK"));
        close(later);
}

/* Of the system, or without memory: the reserve is no help, and it is not for ever. */
static void test_once_the_system_has_descriptors_again_it_accepts_again(void **state)
{
        static const int causes[] = {ENFILE, ENOMEM, ENOBUFS};
        const struct timeval patience = {.tv_sec = 8};
        (void)state;
        for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
                int seen = atomic_load(&not_accepted);
                atomic_store(&no_accept, causes[i]);
                int fd = connect_to();
                setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
                say(fd, "GET", "/healthz", "", "", 0);
                wait_for(&not_accepted, seen + 1);
                admin_tick(admin);
                atomic_store(&no_accept, 0);
                expect(hear(fd), "200", "ok");
        }
}

static void test_a_port_that_is_taken_or_no_address_is_an_error(void **state)
{
        struct admin *other;
        uv_loop_t unused;
        (void)state;
        uv_loop_init(&unused);
        assert_int_not_equal(admin_open(&other, &unused, "127.0.0.1", port, ""), 0);
        assert_null(other);
        assert_int_equal(admin_open(&other, &unused, "localhost", port, ""), ERR_CONFIG);
        assert_null(other);
        assert_int_equal(uv_loop_close(&unused), 0);
}

int main(void)
{
#define WITH(test, setup) cmocka_unit_test_setup_teardown(test, setup, tear_down)
        const struct CMUnitTest tests[] = {
                WITH(test_handlers_run_on_the_loop_and_their_answer_is_json, set_up),
                WITH(test_wrong_paths_and_methods_are_told_what_there_is, set_up),
                WITH(test_bodies_are_judged_before_a_handler_sees_them, set_up),
                WITH(test_a_page_in_a_browser_cannot_use_a_port_that_asks_for_no_token, set_up),
                WITH(test_with_a_token_everything_but_health_asks_for_it, set_up_with_token),
                WITH(test_a_loop_that_does_not_answer_is_answered_for, set_up),
                WITH(test_no_more_than_a_few_requests_wait_for_the_loop, set_up),
                WITH(test_a_loop_that_stands_still_is_neither_healthy_nor_ready, set_up),
                WITH(test_after_quiesce_no_handler_runs_and_health_is_still_told, set_up),
                WITH(test_what_waits_behind_the_last_request_is_not_run, set_up),
                WITH(test_closing_amid_requests_loses_none_that_was_begun, set_up),
                WITH(test_a_request_that_does_not_come_to_its_end_is_given_up, set_up),
                WITH(test_whoever_holds_connections_keeps_nobody_out, set_up),
                WITH(test_of_all_addresses_the_one_with_most_connections_loses_one, set_up),
                WITH(test_a_flood_of_connections_leaves_no_thread_and_no_descriptor_behind, set_up),
                WITH(test_without_a_descriptor_it_answers_from_its_reserve, set_up),
                WITH(test_once_the_system_has_descriptors_again_it_accepts_again, set_up),
                WITH(test_a_port_that_is_taken_or_no_address_is_an_error, set_up),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
