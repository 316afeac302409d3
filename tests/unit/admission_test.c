/* admission: keys, tokens and the webhook together, with a webhook of the test's own in a thread. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/daemon/metrics.h"
#include "common/mem.h"
#include "ingestd/admission.h"
#include "ingestd/guesses.h"
#include "ingestd/refusal.h"
#include "tests/unit/scratch.h"
#include "tests/unit/tokens.h"

/* Answers every question with `answer` ("" : reads it and never answers), one after the other. */
static struct {
        int fd, port;
        pthread_t thread;
        pthread_mutex_t lock; /* guards answer, question */
        char answer[512], question[2048];
        atomic_int asked;
} hook;

static void serve(int fd)
{
        char in[4096] = "", out[512];
        size_t len = 0;
        ssize_t n;
        const char *end = NULL, *length;
        while ((n = read(fd, in + len, sizeof(in) - 1 - len)) > 0) {
                len += (size_t)n;
                end = strstr(in, "\r\n\r\n");
                length = strstr(in, "Content-Length: ");
                if (end && length && len >= (size_t)(end + 4 - in) + (size_t)atoi(length + 16))
                        break;
        }
        pthread_mutex_lock(&hook.lock);
        snprintf(hook.question, sizeof(hook.question), "%s", end ? end + 4 : "");
        memcpy(out, hook.answer, sizeof(out));
        pthread_mutex_unlock(&hook.lock);
        atomic_fetch_add(&hook.asked, 1);
        if (*out)
                n = send(fd, out, strlen(out), MSG_NOSIGNAL);
        else
                while (read(fd, in, sizeof(in)) > 0)
                        ;
        close(fd);
}

static void *hook_main(void *arg)
{
        int fd;
        (void)arg;
        while ((fd = accept(hook.fd, NULL, NULL)) >= 0)
                serve(fd);
        return NULL;
}

static void hook_says(const char *status, const char *headers, const char *body)
{
        pthread_mutex_lock(&hook.lock);
        if (status)
                snprintf(hook.answer, sizeof(hook.answer), "HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n%s",
                         status, strlen(body), headers, body);
        else
                *hook.answer = '\0';
        pthread_mutex_unlock(&hook.lock);
}

struct fixture {
        uv_loop_t loop;
        uv_timer_t alive;
        struct admission_config config;
        struct admission *admission;
        struct admission_case *c;
        char url[64], jwks[96];
        enum admission_verdict verdict; /* at once, and then by events */
        int events;
        char text[256];
};

static void on_alive(uv_timer_t *t)
{
        (void)t;
}

static void on_allowed(void *arg)
{
        struct fixture *f = arg;
        f->events++;
        f->verdict = ADMISSION_ALLOWED;
}

static void on_refused(void *arg, const char *text)
{
        struct fixture *f = arg;
        f->events++;
        f->verdict = ADMISSION_REFUSED;
        snprintf(f->text, sizeof(f->text), "%s", text);
        admission_close(&f->c); /* as a connection may, from inside */
}

static const struct admission_events events = {.allowed = on_allowed, .refused = on_refused};

static int setup(void **state)
{
        struct fixture *f = mem_alloc(sizeof(*f));
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof(in);
        log_set_level(LOG_ERROR + 1);
        hook.fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(bind(hook.fd, (struct sockaddr *)&in, len), 0);
        assert_int_equal(listen(hook.fd, 16), 0);
        assert_int_equal(getsockname(hook.fd, (struct sockaddr *)&in, &len), 0);
        pthread_mutex_init(&hook.lock, NULL);
        atomic_store(&hook.asked, 0);
        assert_int_equal(pthread_create(&hook.thread, NULL, hook_main, NULL), 0);
        snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%d/may", ntohs(in.sin_port));
        uv_loop_init(&f->loop);
        uv_timer_init(&f->loop, &f->alive);
        uv_timer_start(&f->alive, on_alive, 10, 10);
        f->config = (struct admission_config){.key = (char *)(uintptr_t)"", .jwks = f->jwks,
                                              .webhook = {.url = (char *)(uintptr_t)"", .timeout_ms = 10000}};
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;
        admission_close(&f->c);
        admission_free(&f->admission);
        uv_close((uv_handle_t *)&f->alive, NULL);
        uv_run(&f->loop, UV_RUN_DEFAULT);
        assert_int_equal(uv_loop_close(&f->loop), 0);
        shutdown(hook.fd, SHUT_RDWR);
        pthread_join(hook.thread, NULL);
        close(hook.fd);
        if (*f->jwks)
                unlink(f->jwks);
        free(f);
        return 0;
}

static void with_webhook(struct fixture *f)
{
        f->config.webhook.url = f->url;
        assert_int_equal(admission_new(&f->admission, &f->loop, &f->config), 0);
}

static enum admission_verdict ask(struct fixture *f, const char *stream, const char *key, const char *address)
{
        struct publish_request r = {.encoder = "tester", .app = "live", .query = "user=x"};
        snprintf(r.stream, sizeof(r.stream), "%s", stream);
        snprintf(r.key, sizeof(r.key), "%s", key);
        snprintf(r.address, sizeof(r.address), "%s", address);
        admission_close(&f->c);
        f->verdict = admission_open(&f->c, f->admission, &r, &events, f, f->text, sizeof(f->text));
        assert_true((f->verdict == ADMISSION_REFUSED) == !f->c);
        return f->verdict;
}

static void wait_events(struct fixture *f, int n)
{
        while (f->events < n)
                uv_run(&f->loop, UV_RUN_ONCE);
}

static enum admission_verdict ask_and_wait(struct fixture *f, const char *stream, const char *key)
{
        int before = f->events;
        if (ask(f, stream, key, "192.0.2.1:1000") == ADMISSION_PENDING)
                wait_events(f, before + 1);
        return f->verdict;
}

static bool question_has(const char *text)
{
        pthread_mutex_lock(&hook.lock);
        bool has = strstr(hook.question, text);
        pthread_mutex_unlock(&hook.lock);
        return has;
}

static void test_the_webhook_decides_and_is_told_what_it_needs(void **state)
{
        struct fixture *f = *state;
        with_webhook(f);
        hook_says("204 No Content", "", "");
        assert_int_equal(ask(f, "cam", "k1", "192.0.2.1:1000"), ADMISSION_PENDING);
        assert_int_equal(f->events, 0);
        wait_events(f, 1);
        assert_int_equal(f->verdict, ADMISSION_ALLOWED);
        assert_true(question_has("\"stream\":\"cam\""));
        assert_true(question_has("\"address\":\"192.0.2.1:1000\""));
        assert_true(question_has("\"query\":\"user=x\""));
        assert_true(question_has("\"key\":\"k1\"")); /* nobody else can judge it */
        hook_says("403 Forbidden", "", "{\"reason\":\"not on\\nSundays\"}");
        assert_int_equal(ask_and_wait(f, "cam", "k1"), ADMISSION_REFUSED);
        assert_string_equal(f->text, "not on Sundays");
        hook_says("404 Not Found", "", "<html>");
        assert_int_equal(ask_and_wait(f, "cam", "k1"), ADMISSION_REFUSED);
        assert_string_equal(f->text, refusal_text(REFUSAL_WEBHOOK));
}

static void expose(void *arg, const char *text, size_t len)
{
        strncat(arg, text, len);
}

/* So many were, for that reason, as operators see it. */
static long refused(const char *reason)
{
        static char shown[1 << 16];
        char row[128];
        *shown = '\0';
        metrics_render(expose, shown);
        snprintf(row, sizeof(row), "ingestd_refused_total{reason=\"%s\"} ", reason);
        const char *at = strstr(shown, row);
        assert_non_null(at);
        return strtol(at + strlen(row), NULL, 10);
}

static void test_no_answer_lets_nobody_in(void **state)
{
        struct fixture *f = *state;
        long failed = refused("webhook_failed");
        with_webhook(f);
        hook_says("500 Internal Server Error", "", "{\"reason\":\"secret\"}");
        assert_int_equal(ask_and_wait(f, "cam", ""), ADMISSION_REFUSED);
        assert_string_equal(f->text, refusal_text(REFUSAL_WEBHOOK_FAILED));
        hook_says("302 Found", "Location: /elsewhere\r\n", "");
        assert_int_equal(ask_and_wait(f, "cam", ""), ADMISSION_REFUSED);
        f->config.webhook.timeout_ms = 100;
        hook_says(NULL, "", "");
        assert_int_equal(ask_and_wait(f, "cam", ""), ADMISSION_REFUSED);
        f->config.webhook.url = (char *)(uintptr_t)"http://127.0.0.1:1/"; /* nobody listens there */
        assert_int_equal(ask_and_wait(f, "cam", ""), ADMISSION_REFUSED);
        assert_int_equal(refused("webhook_failed"), failed + 4);
}

static void test_a_webhook_that_says_not_now_has_judged_nobody(void **state)
{
        struct fixture *f = *state;
        static const char *const not_now[] = {"429 Too Many Requests", "408 Request Timeout", "425 Too Early"};
        with_webhook(f);
        for (int i = 0; i < 2 * GUESSES_AT_ONCE; i++) {
                hook_says(not_now[i % 3], "", "{\"reason\":\"not now\"}");
                assert_int_equal(ask_and_wait(f, "cam", ""), ADMISSION_REFUSED);
                assert_string_equal(f->text, refusal_text(REFUSAL_WEBHOOK_FAILED));
        }
        hook_says("200 OK", "", "");
        assert_int_equal(ask_and_wait(f, "cam", ""), ADMISSION_ALLOWED); /* its address is not one that guesses */
}

/* What is written to standard error between the two, as text; the caller's to free. */
static int saved_stderr;
static FILE *said;

static void hear(void)
{
        said = tmpfile();
        assert_non_null(said);
        fflush(stderr);
        saved_stderr = dup(STDERR_FILENO);
        assert_true(dup2(fileno(said), STDERR_FILENO) >= 0);
        log_set_level(LOG_INFO);
}

static char *heard(void)
{
        char *text = mem_alloc(65536);
        log_set_level(LOG_ERROR + 1);
        dup2(saved_stderr, STDERR_FILENO);
        close(saved_stderr);
        rewind(said);
        text[fread(text, 1, 65535, said)] = '\0';
        fclose(said);
        return text;
}

static int times(const char *text, const char *what)
{
        int n = 0;
        for (const char *p = text; (p = strstr(p, what)); p++)
                n++;
        return n;
}

static void test_the_log_has_the_changes_of_a_webhook_and_not_each_attempt(void **state)
{
        struct fixture *f = *state;
        with_webhook(f);
        hear();
        hook_says("500 Internal Server Error", "", "");
        for (int i = 0; i < 20; i++)
                assert_int_equal(ask_and_wait(f, "cam", ""), ADMISSION_REFUSED);
        hook_says("200 OK", "", "");
        assert_int_equal(ask_and_wait(f, "cam", ""), ADMISSION_ALLOWED);
        char *text = heard();
        assert_int_equal(times(text, "publish_webhook"), 2);
        assert_int_equal(times(text, "status=500"), 1);
        assert_int_equal(times(text, "unanswered=20 "), 1);
        free(text);
        hear();
        for (int i = 0; i < 50; i++) {
                hook_says(i % 2 ? "200 OK" : "429 Too Many Requests", "", "");
                ask_and_wait(f, "cam", "");
        }
        text = heard();
        assert_true(times(text, "publish_webhook") <= 2 * LOG_PEER_LINES); /* of fifty changes */
        free(text);
}

static void test_a_yes_is_remembered_for_as_long_as_it_says(void **state)
{
        struct fixture *f = *state;
        with_webhook(f);
        hook_says("200 OK", "Cache-Control: max-age=60\r\n", "");
        assert_int_equal(ask_and_wait(f, "cam", "k1"), ADMISSION_ALLOWED);
        assert_int_equal(ask(f, "cam", "k1", "192.0.2.1:2000"), ADMISSION_ALLOWED); /* another port, at once */
        assert_int_equal(ask(f, "cam", "k2", "192.0.2.1:2000"), ADMISSION_PENDING);
        assert_int_equal(ask(f, "cam2", "k1", "192.0.2.1:2000"), ADMISSION_PENDING);
        assert_int_equal(ask(f, "cam", "k1", "192.0.2.2:2000"), ADMISSION_PENDING);
        admission_reloaded(f->admission);
        assert_int_equal(ask(f, "cam", "k1", "192.0.2.1:2000"), ADMISSION_PENDING);
        wait_events(f, f->events + 1);
        hook_says("200 OK", "", "");
        assert_int_equal(ask_and_wait(f, "other", ""), ADMISSION_ALLOWED);
        assert_int_equal(ask(f, "other", "", "192.0.2.1:2000"), ADMISSION_PENDING); /* it does not say */
        admission_close(&f->c);
        f->config.webhook.cache_s = 60;
        assert_int_equal(ask_and_wait(f, "other", ""), ADMISSION_ALLOWED);
        assert_int_equal(ask(f, "other", "", "192.0.2.1:2000"), ADMISSION_ALLOWED);
}

static void test_a_no_is_never_remembered(void **state)
{
        struct fixture *f = *state;
        with_webhook(f);
        hook_says("403 Forbidden", "Cache-Control: max-age=60\r\n", "");
        assert_int_equal(ask_and_wait(f, "cam", ""), ADMISSION_REFUSED);
        hook_says("200 OK", "", "");
        assert_int_equal(ask_and_wait(f, "cam", ""), ADMISSION_ALLOWED);
}

static void test_keys_come_before_the_webhook_which_does_not_see_them(void **state)
{
        struct fixture *f = *state;
        f->config.key = (char *)(uintptr_t)"k1";
        with_webhook(f);
        hook_says("200 OK", "", "");
        assert_int_equal(ask(f, "cam", "wrong", "192.0.2.1:1000"), ADMISSION_REFUSED);
        assert_int_equal(atomic_load(&hook.asked), 0);
        assert_int_equal(ask_and_wait(f, "cam", "k1"), ADMISSION_ALLOWED);
        assert_false(question_has("k1"));
        hook_says("403 Forbidden", "", "");
        assert_int_equal(ask_and_wait(f, "cam", "k1"), ADMISSION_REFUSED);
}

static void test_one_who_leaves_early_is_told_nothing_more(void **state)
{
        struct fixture *f = *state;
        with_webhook(f);
        hook_says(NULL, "", "");
        assert_int_equal(ask(f, "cam", "", "192.0.2.1:1000"), ADMISSION_PENDING);
        while (atomic_load(&hook.asked) == 0)
                uv_run(&f->loop, UV_RUN_ONCE);
        admission_close(&f->c);
        hook_says("200 OK", "", "");
        assert_int_equal(ask_and_wait(f, "cam", ""), ADMISSION_ALLOWED);
        assert_int_equal(f->events, 1);
}

static void test_more_questions_than_there_may_be_are_refused_at_once(void **state)
{
        struct fixture *f = *state;
        struct admission_case *cases[WEBHOOK_IN_FLIGHT];
        with_webhook(f);
        hook_says(NULL, "", "");
        for (int i = 0; i < WEBHOOK_IN_FLIGHT; i++) {
                assert_int_equal(ask(f, "cam", "", "192.0.2.1:1000"), ADMISSION_PENDING);
                cases[i] = f->c;
                f->c = NULL;
        }
        assert_int_equal(ask(f, "cam", "", "192.0.2.1:1000"), ADMISSION_REFUSED);
        assert_string_equal(f->text, refusal_text(REFUSAL_WEBHOOK_FAILED));
        for (int i = 0; i < WEBHOOK_IN_FLIGHT; i++)
                admission_close(&cases[i]);
}

static void test_the_webhook_is_asked_again_and_only_its_no_ends_a_broadcast(void **state)
{
        struct fixture *f = *state;
        f->config.recheck_s = 1;
        with_webhook(f);
        hook_says("200 OK", "", "");
        assert_int_equal(ask_and_wait(f, "cam", ""), ADMISSION_ALLOWED);
        hook_says("500 Internal Server Error", "", "");
        int asked = atomic_load(&hook.asked);
        while (atomic_load(&hook.asked) < asked + 2)
                uv_run(&f->loop, UV_RUN_ONCE);
        assert_int_equal(f->verdict, ADMISSION_ALLOWED);
        hook_says("410 Gone", "", "{\"reason\":\"time is over\"}");
        wait_events(f, 2);
        assert_int_equal(f->verdict, ADMISSION_REFUSED);
        assert_string_equal(f->text, "time is over");
}

static void test_wrong_keys_close_an_address_for_a_while(void **state)
{
        struct fixture *f = *state;
        long guessing = refused("guessing");
        f->config.key = (char *)(uintptr_t)"k1";
        assert_int_equal(admission_new(&f->admission, &f->loop, &f->config), 0);
        for (int i = 0; i < GUESSES_AT_ONCE; i++) {
                assert_int_equal(ask(f, "cam", "wrong", "192.0.2.1:1000"), ADMISSION_REFUSED);
                assert_string_equal(f->text, refusal_text(REFUSAL_WRONG_KEY));
        }
        assert_int_equal(ask(f, "cam", "k1", "192.0.2.1:1000"), ADMISSION_REFUSED);
        assert_string_equal(f->text, refusal_text(REFUSAL_GUESSING));
        assert_int_equal(refused("guessing"), guessing + 1);
        assert_int_equal(ask(f, "cam", "k1", "192.0.2.2:1000"), ADMISSION_ALLOWED);
}

static void write_keys(struct fixture *f, const char *json)
{
        char part[112];
        if (!*f->jwks)
                scratch_file(f->jwks, sizeof(f->jwks));
        snprintf(part, sizeof(part), "%s.new", f->jwks);
        FILE *file = fopen(part, "w");
        assert_non_null(file);
        fputs(json, file);
        fclose(file);
        assert_int_equal(rename(part, f->jwks), 0);
}

static char *token(const char *more)
{
        char claims[256];
        snprintf(claims, sizeof(claims), "{\"sub\":\"publish\",\"path\":\"cam\",\"exp\":%lld%s}", (long long)time(NULL) + 60, more);
        return hs256("{\"alg\":\"HS256\",\"kid\":\"a\"}", claims, TOKEN_SECRET_A, 32);
}

static void test_a_token_key_that_goes_from_its_file_ends_the_broadcast(void **state)
{
        struct fixture *f = *state;
        char *t = token("");
        write_keys(f, SET(OCT("a", SECRET_A)));
        assert_int_equal(admission_new(&f->admission, &f->loop, &f->config), 0);
        assert_int_equal(ask(f, "cam", t, "192.0.2.1:1000"), ADMISSION_ALLOWED);
        write_keys(f, SET(OCT("a", SECRET_A) "," OCT("b", SECRET_B)));
        admission_reloaded(f->admission);
        write_keys(f, "nonsense"); /* leaves those in use that there were */
        admission_reloaded(f->admission);
        assert_int_equal(f->events, 0);
        write_keys(f, SET(OCT("b", SECRET_B)));
        wait_events(f, 1); /* nobody said so: the file is watched */
        assert_int_equal(f->verdict, ADMISSION_REFUSED);
        assert_string_equal(f->text, refusal_text(REFUSAL_REVOKED));
        free(t);
}

static void test_the_time_that_a_token_gives_ends_the_broadcast(void **state)
{
        struct fixture *f = *state;
        write_keys(f, SET(OCT("a", SECRET_A)));
        assert_int_equal(admission_new(&f->admission, &f->loop, &f->config), 0);
        enum admission_verdict verdict = ADMISSION_REFUSED;
        for (int s = 2; s <= 64 && verdict != ADMISSION_ALLOWED; s *= 2) { /* on a machine that is busy it may be over before it is looked at */
                char until[64];
                snprintf(until, sizeof(until), ",\"until\":%lld", (long long)time(NULL) + s);
                char *t = token(until);
                verdict = ask(f, "cam", t, "192.0.2.1:1000");
                free(t);
        }
        assert_int_equal(verdict, ADMISSION_ALLOWED);
        wait_events(f, 1);
        assert_string_equal(f->text, refusal_text(REFUSAL_OVER));
}

static void test_a_key_that_goes_from_the_configuration_ends_the_broadcast(void **state)
{
        struct fixture *f = *state;
        f->config.key = (char *)(uintptr_t)"old";
        assert_int_equal(admission_new(&f->admission, &f->loop, &f->config), 0);
        assert_int_equal(ask(f, "cam", "old", "192.0.2.1:1000"), ADMISSION_ALLOWED);
        admission_reloaded(f->admission);
        assert_int_equal(f->events, 0);
        f->config.key = (char *)(uintptr_t)"new";
        admission_reloaded(f->admission);
        assert_int_equal(f->events, 1);
        assert_string_equal(f->text, refusal_text(REFUSAL_REVOKED));
}

static void test_a_port_that_was_guarded_is_not_opened_by_taking_its_keys_away(void **state)
{
        struct fixture *f = *state;
        f->config.key = (char *)(uintptr_t)"k";
        f->config.closed = true;
        assert_int_equal(admission_new(&f->admission, &f->loop, &f->config), 0);
        assert_int_equal(ask(f, "cam", "k", "192.0.2.1:1000"), ADMISSION_ALLOWED);
        f->config.key = (char *)(uintptr_t)"";
        admission_reloaded(f->admission);
        assert_int_equal(ask(f, "cam", "k", "192.0.2.1:1000"), ADMISSION_REFUSED);
        f->config.closed = false;
        assert_int_equal(ask(f, "cam", "k", "192.0.2.1:1000"), ADMISSION_ALLOWED);
}

static void test_token_keys_that_cannot_be_read_at_the_start_are_an_error(void **state)
{
        struct fixture *f = *state;
        write_keys(f, "nonsense");
        assert_true(admission_new(&f->admission, &f->loop, &f->config) != 0);
        assert_null(f->admission);
}

/* ---- how many, and how often */

static struct admission_case *another(struct fixture *f, const char *address, enum admission_verdict *verdict)
{
        struct admission_case *c;
        struct publish_request r = {.stream = "cam"};
        snprintf(r.address, sizeof(r.address), "%s", address);
        *verdict = admission_open(&c, f->admission, &r, &events, f, f->text, sizeof(f->text));
        return c;
}

static void test_who_begins_too_many_streams_a_second_waits_in_line_and_then_is_refused(void **state)
{
        struct fixture *f = *state;
        struct admission_case *c[30];
        enum admission_verdict verdict;
        f->config.starts_per_s = 5;
        assert_int_equal(admission_new(&f->admission, &f->loop, &f->config), 0);
        for (int i = 0; i < 30; i++) {
                c[i] = another(f, "192.0.2.1:1000", &verdict);
                assert_int_equal(verdict, i < 5 ? ADMISSION_ALLOWED : i < 25 ? ADMISSION_PENDING : ADMISSION_REFUSED);
                assert_true(!!c[i] == (i < 25));
        }
        assert_string_equal(f->text, refusal_text(REFUSAL_RATE));
        admission_close(&c[6]); /* it did not wait */
        struct admission_case *other = another(f, "192.0.2.2:1000", &verdict); /* others need not */
        assert_int_equal(verdict, ADMISSION_ALLOWED);
        int64_t began_us = clock_mono_us();
        wait_events(f, 3);
        assert_int_equal(f->verdict, ADMISSION_ALLOWED);
        assert_true(clock_mono_us() - began_us >= 3 * US_PER_S / 5); /* 200 ms each; one of them was left out */
        admission_close(&other);
        for (int i = 0; i < 25; i++)
                admission_close(&c[i]);
}

static void test_who_waits_in_line_is_let_go_when_the_keys_are_taken_away(void **state)
{
        struct fixture *f = *state;
        f->config.starts_per_s = 1;
        f->config.key = (char *)(uintptr_t)"k";
        assert_int_equal(admission_new(&f->admission, &f->loop, &f->config), 0);
        assert_int_equal(ask(f, "cam", "k", "192.0.2.1:1000"), ADMISSION_ALLOWED);
        assert_int_equal(ask(f, "cam", "k", "192.0.2.1:1000"), ADMISSION_PENDING);
        f->config.key = (char *)(uintptr_t)"another";
        admission_reloaded(f->admission);
        assert_int_equal(f->events, 1);
        assert_int_equal(f->verdict, ADMISSION_REFUSED);
}

static void test_the_webhook_is_asked_when_ones_turn_has_come(void **state)
{
        struct fixture *f = *state;
        f->config.starts_per_s = 5;
        with_webhook(f);
        hook_says("204 No Content", "", "");
        for (int i = 0; i < 5; i++)
                assert_int_equal(ask_and_wait(f, "cam", "k1"), ADMISSION_ALLOWED);
        int asked = atomic_load(&hook.asked);
        hook_says("403 Forbidden", "", "{\"reason\":\"not on Sundays\"}");
        assert_int_equal(ask_and_wait(f, "cam", "k1"), ADMISSION_REFUSED);
        assert_string_equal(f->text, "not on Sundays");
        assert_int_equal(atomic_load(&hook.asked), asked + 1);
}

static void test_streams_of_one_address_at_once_are_bounded(void **state)
{
        struct fixture *f = *state;
        struct admission_case *c[3];
        enum admission_verdict verdict;
        f->config.streams_of_address = 2;
        assert_int_equal(admission_new(&f->admission, &f->loop, &f->config), 0);
        for (int i = 0; i < 3; i++) {
                c[i] = another(f, "192.0.2.1:1000", &verdict);
                assert_int_equal(verdict, i < 2 ? ADMISSION_ALLOWED : ADMISSION_REFUSED);
        }
        assert_string_equal(f->text, refusal_text(REFUSAL_STREAMS));
        admission_close(&c[0]);
        c[0] = another(f, "192.0.2.1:1000", &verdict);
        assert_int_equal(verdict, ADMISSION_ALLOWED);
        admission_close(&c[0]);
        admission_close(&c[1]);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_the_webhook_decides_and_is_told_what_it_needs),
                TEST(test_no_answer_lets_nobody_in),
                TEST(test_a_webhook_that_says_not_now_has_judged_nobody),
                TEST(test_the_log_has_the_changes_of_a_webhook_and_not_each_attempt),
                TEST(test_a_yes_is_remembered_for_as_long_as_it_says),
                TEST(test_a_no_is_never_remembered),
                TEST(test_keys_come_before_the_webhook_which_does_not_see_them),
                TEST(test_one_who_leaves_early_is_told_nothing_more),
                TEST(test_more_questions_than_there_may_be_are_refused_at_once),
                TEST(test_the_webhook_is_asked_again_and_only_its_no_ends_a_broadcast),
                TEST(test_wrong_keys_close_an_address_for_a_while),
                TEST(test_a_token_key_that_goes_from_its_file_ends_the_broadcast),
                TEST(test_the_time_that_a_token_gives_ends_the_broadcast),
                TEST(test_a_key_that_goes_from_the_configuration_ends_the_broadcast),
                TEST(test_a_port_that_was_guarded_is_not_opened_by_taking_its_keys_away),
                TEST(test_token_keys_that_cannot_be_read_at_the_start_are_an_error),
                TEST(test_who_begins_too_many_streams_a_second_waits_in_line_and_then_is_refused),
                TEST(test_who_waits_in_line_is_let_go_when_the_keys_are_taken_away),
                TEST(test_the_webhook_is_asked_when_ones_turn_has_come),
                TEST(test_streams_of_one_address_at_once_are_bounded),
        };
        admission_register_metrics();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
