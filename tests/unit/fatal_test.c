/* fatal: however a process ends, its last line is a line of the log, with the time and the node. */
#include <assert.h>
#include <regex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/daemon/fatal.h"
#include "common/daemon/log.h"
#include "common/mem.h"

/* A sanitizer has the signals and the allocator: what it says of them is its own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define NOT_SANITIZED() skip()
#else
#define NOT_SANITIZED() (void)0
#endif

static char said[8192];
static volatile size_t nothing; /* no compiler knows that */

/* What a child said that does this, and the signal that ended it. */
static int end_by(void (*body)(void), const char *json)
{
        int fds[2], status;
        const struct rlimit no_core = {0};
        assert_int_equal(pipe(fds), 0);
        pid_t pid = fork();
        if (pid == 0) {
                setrlimit(RLIMIT_CORE, &no_core);
                dup2(fds[1], STDERR_FILENO);
                log_init("edge-1", LOG_INFO);
                log_set_json(json);
                fatal_watch();
                body();
                _exit(0);
        }
        close(fds[1]);
        size_t len = 0;
        ssize_t n;
        while ((n = read(fds[0], said + len, sizeof(said) - 1 - len)) > 0)
                len += (size_t)n;
        said[len] = '\0';
        close(fds[0]);
        waitpid(pid, &status, 0);
        return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void expect_line(const char *rest)
{
        char pattern[512];
        regex_t re;
        snprintf(pattern, sizeof(pattern), "^ts=20[0-9-]{8}T[0-9:]{8}[.][0-9]{3}Z level=error node=edge-1 %s\n$", rest);
        assert_int_equal(regcomp(&re, pattern, REG_EXTENDED), 0);
        if (regexec(&re, said, 0, NULL, 0) != 0)
                fail_msg("%s", said);
        regfree(&re);
}

static void fail_assertion(void)
{
        assert(nothing == 1);
}

static void lack_memory(void)
{
        free(mem_alloc(SIZE_MAX / 2 - nothing));
}

static void lack_memory_elsewhere(void)
{
        mem_out("TLS");
}

static void call_abort(void)
{
        abort();
}

static void read_nowhere(void)
{
        raise(SIGSEGV);
}

static void test_a_failed_assertion_is_one_line(void **state)
{
        (void)state;
        assert_int_equal(end_by(fail_assertion, NULL), SIGABRT);
        expect_line("at=tests/unit/fatal_test.c:[0-9]+ function=fail_assertion msg=\"Assertion `nothing == 1' failed\"");
}

static void test_no_memory_is_one_line(void **state)
{
        (void)state;
        NOT_SANITIZED();
        assert_int_equal(end_by(lack_memory, NULL), SIGABRT);
        expect_line("bytes=[0-9]+ msg=\"out of memory\"");
        assert_int_equal(end_by(lack_memory_elsewhere, NULL), SIGABRT);
        expect_line("for=\"TLS\" msg=\"out of memory\"");
}

static void test_a_signal_is_one_line_and_ends_the_process_all_the_same(void **state)
{
        (void)state;
        NOT_SANITIZED();
        assert_int_equal(end_by(call_abort, NULL), SIGABRT);
        expect_line("msg=\"ended by abort[(][)]\"");
        assert_int_equal(end_by(read_nowhere, NULL), SIGSEGV);
        expect_line("msg=\"ended by SIGSEGV: a fault of the program\"");
}

static void test_json_is_json_to_the_last_line(void **state)
{
        (void)state;
        NOT_SANITIZED();
        assert_int_equal(end_by(call_abort, "edged"), SIGABRT);
        assert_memory_equal(said, "{\"ts\":\"20", 9);
        assert_non_null(strstr(said, "Z\",\"level\":\"error\",\"node\":\"edge-1\",\"daemon\":\"edged\",\"msg\":\"ended by abort()\"}\n"));
}

static void say_last(void)
{
        log_info("msg=\"before\"");
        log_last("now");
}

/* The last line makes its time by itself: the same day and second as the line before. */
static void test_the_time_of_the_last_line_is_that_of_all_lines(void **state)
{
        (void)state;
        for (int i = 0; i < 50; i++) {
                assert_int_equal(end_by(say_last, NULL), 0);
                const char *second = strchr(said, '\n') + 1;
                if (memcmp(said, second, strlen("ts=2026-11-30T02:05:00")) == 0)
                        return;
        }
        fail_msg("%s", said);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_failed_assertion_is_one_line),
                cmocka_unit_test(test_no_memory_is_one_line),
                cmocka_unit_test(test_a_signal_is_one_line_and_ends_the_process_all_the_same),
                cmocka_unit_test(test_json_is_json_to_the_last_line),
                cmocka_unit_test(test_the_time_of_the_last_line_is_that_of_all_lines),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
