/* log: one event is one line, whatever a peer put into it. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"

static char captured[8192];

/* What body writes to standard error. */
static const char *capture(void (*body)(void))
{
        int fds[2], saved = dup(STDERR_FILENO);
        assert_int_equal(pipe(fds), 0);
        dup2(fds[1], STDERR_FILENO);
        body();
        dup2(saved, STDERR_FILENO);
        close(saved);
        close(fds[1]);
        ssize_t n = read(fds[0], captured, sizeof(captured) - 1);
        close(fds[0]);
        captured[n > 0 ? n : 0] = '\0';
        return captured;
}

static void log_hello(void)
{
        log_info("session=%s msg=\"hello\"", "s-1");
}

static void log_three_levels(void)
{
        log_debug("msg=\"debug\"");
        log_info("msg=\"info\"");
        log_warn("msg=\"warn\"");
}

static void log_huge(void)
{
        static char huge[6000];
        memset(huge, 'x', sizeof(huge) - 1);
        log_info("msg=\"%s\"", huge);
}

static void test_a_line_has_time_level_node_and_ends_once(void **state)
{
        (void)state;
        log_init("edge-1", LOG_INFO);
        const char *line = capture(log_hello);
        assert_memory_equal(line, "ts=20", 5);
        assert_non_null(strstr(line, "Z level=info node=edge-1 session=s-1 msg=\"hello\"\n"));
        assert_int_equal(strchr(line, '\n') - line, strlen(line) - 1);
}

static void test_levels_below_the_threshold_are_not_written(void **state)
{
        enum log_level level;
        (void)state;
        log_init("n", LOG_WARN);
        assert_null(strstr(capture(log_three_levels), "info"));
        assert_non_null(strstr(capture(log_three_levels), "msg=\"warn\""));
        log_set_level(LOG_DEBUG);
        assert_non_null(strstr(capture(log_three_levels), "msg=\"debug\""));
        assert_true(log_level_parse("error", &level));
        assert_int_equal(level, LOG_ERROR);
        assert_false(log_level_parse("loud", &level));
}

static void test_a_long_line_is_cut_but_ended(void **state)
{
        (void)state;
        log_init("n", LOG_INFO);
        const char *line = capture(log_huge);
        assert_true(strlen(line) <= 2048);
        assert_int_equal(line[strlen(line) - 1], '\n');
}

static void test_quoting_leaves_no_way_to_forge_a_line(void **state)
{
        char dst[64], small[16];
        (void)state;
        assert_string_equal(log_quote(dst, sizeof(dst), "a\"b\\c\nd\x7f"), "\"a\\\"b\\\\c\\x0ad\\x7f\"");
        log_quote(small, sizeof(small), "\n\n\n\n\n\n\n\n\n\n\n\n");
        assert_true(strlen(small) < sizeof(small));
        assert_int_equal(small[strlen(small) - 1], '"');
        assert_non_null(strstr(small, "…"));
        assert_string_equal(log_quote(small, 4, "abc"), "");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_line_has_time_level_node_and_ends_once),
                cmocka_unit_test(test_levels_below_the_threshold_are_not_written),
                cmocka_unit_test(test_a_long_line_is_cut_but_ended),
                cmocka_unit_test(test_quoting_leaves_no_way_to_forge_a_line),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
