/* log: one event is one line, whatever a peer put into it. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/daemon/log.h"
#include "common/daemon/log_json.h"

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

static void test_what_is_no_utf8_is_escaped_and_no_character_is_cut_in_two(void **state)
{
        char dst[64], small[16];
        (void)state;
        assert_string_equal(log_quote(dst, sizeof(dst), "\xff\xc3(\xc3\xa9\xed\xa0\x80"), "\"\\xff\\xc3(\xc3\xa9\\xed\\xa0\\x80\"");
        log_quote(small, sizeof(small), "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac");
        assert_string_equal(small, "\"\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac…\"");
}

static void test_quoting_stays_within_any_buffer(void **state)
{
        static const char *const texts[] = {"\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n", "abcdefghijklmnopqrstuvwxyz0123456789", "a\nb\nc\nd\ne\nf\ng\nh\n",
                                            "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac", "\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\""};
        char dst[64];
        (void)state;
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                for (size_t cap = 1; cap < 40; cap++) {
                        memset(dst, 'z', sizeof(dst));
                        log_quote(dst, cap, texts[i]);
                        assert_true(strlen(dst) < cap);
                        assert_int_equal(dst[cap], 'z');
                }
        }
}

static void log_unquoted(void)
{
        log_info("stream=%s msg=\"x\"", "a\nts=forged\x1b[2J");
}

static void test_a_newline_that_nobody_quoted_makes_no_second_line(void **state)
{
        (void)state;
        log_init("n", LOG_INFO);
        const char *line = capture(log_unquoted);
        assert_int_equal(strchr(line, '\n') - line, strlen(line) - 1);
        assert_null(strchr(line, '\x1b'));
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

static json_t *parsed(void (*body)(void))
{
        json_error_t error;
        log_init("edge-1", LOG_DEBUG);
        log_set_json("edged");
        const char *line = capture(body);
        log_set_json(NULL);
        assert_int_equal(strchr(line, '\n') - line, strlen(line) - 1);
        json_t *j = json_loads(line, JSON_REJECT_DUPLICATES, &error);
        if (!j)
                fail_msg("%s: %s", error.text, line);
        assert_true(json_is_object(j));
        return j;
}

static const char *text_of(const json_t *j, const char *name)
{
        const char *text = json_string_value(json_object_get(j, name));
        return text ? text : "(no string)";
}

static void log_types(void)
{
        log_warn("session=%s stream=%s bytes=%lld hash=%llu share=%.2f offset=%d size=%dx%d word=%s answer=42 msg=\"%s\" node=%s", "s-1", "123",
                 123456789012345678ll, 18446744073709551615ull, 0.25, -5, 1280, 720, "7", "it's = \xc3\xa9", "other");
}

static void test_json_members_have_the_type_that_the_caller_gave_them(void **state)
{
        (void)state;
        json_t *j = parsed(log_types);
        assert_memory_equal(text_of(j, "ts"), "20", 2);
        assert_string_equal(text_of(j, "level"), "warn");
        assert_string_equal(text_of(j, "node"), "edge-1");
        assert_string_equal(text_of(j, "node_2"), "other");
        assert_string_equal(text_of(j, "daemon"), "edged");
        assert_string_equal(text_of(j, "stream"), "123"); /* a name that is all digits is a name */
        assert_string_equal(text_of(j, "word"), "7");
        assert_string_equal(text_of(j, "size"), "1280x720");
        assert_int_equal(json_integer_value(json_object_get(j, "bytes")), 123456789012345678ll);
        assert_string_equal(text_of(j, "hash"), "18446744073709551615"); /* no integer of many who read it */
        assert_true(json_real_value(json_object_get(j, "share")) == 0.25);
        assert_int_equal(json_integer_value(json_object_get(j, "offset")), -5);
        assert_int_equal(json_integer_value(json_object_get(j, "answer")), 42);
        assert_string_equal(text_of(j, "msg"), "it's = \xc3\xa9");
        json_decref(j);
}

static void log_odd(void)
{
        log_info("loose words msg=stopping %s also \"quoted\" half=\"open", "=x");
}

static void test_json_of_what_is_no_pair_is_text(void **state)
{
        (void)state;
        json_t *j = parsed(log_odd);
        assert_string_equal(text_of(j, "text"), "loose words =x also \"quoted\"");
        assert_string_equal(text_of(j, "msg"), "stopping");
        assert_string_equal(text_of(j, "half"), "open");
        json_decref(j);
}

static const char *hostile;

static void log_hostile(void)
{
        char quoted[1200];
        struct log_site fresh = {.place = "here"}; /* of which nothing is left out */
        log_write(&fresh, NULL, LOG_INFO, "stream=cam title=%s msg=\"end\"", log_quote(quoted, sizeof(quoted), hostile));
}

static void log_hostile_raw(void)
{
        struct log_site fresh = {.place = "here"};
        log_write(&fresh, NULL, LOG_INFO, "stream=%s msg=\"%s\" end=1", hostile, hostile);
}

static void test_json_of_hostile_bytes_is_json_and_gives_them_back(void **state)
{
        static const char *const texts[] = {"\",\"level\":\"error\",\"x\":\"", "a\"b\\c\nd\x7f", "\\", "\\\"", "tail\\x4", "\\x41"};
        (void)state;
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                hostile = texts[i];
                json_t *j = parsed(log_hostile);
                assert_string_equal(text_of(j, "title"), texts[i]);
                assert_string_equal(text_of(j, "msg"), "end");
                assert_string_equal(text_of(j, "level"), "info");
                json_decref(j);
        }
        hostile = "\xff\xc0\xaf";
        json_t *j = parsed(log_hostile);
        assert_string_equal(text_of(j, "title"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
        json_decref(j);
}

/* Any bytes at all, quoted or let through: a line is one object, and there is always an end to it. */
static void test_json_of_random_bytes_is_json(void **state)
{
        char text[900];
        uint64_t x = 88172645463325252u;
        (void)state;
        for (int round = 0; round < 3000; round++) {
                size_t len = (size_t)(x % (round % 8 ? 40 : sizeof(text) - 1));
                for (size_t i = 0; i < len; i++) {
                        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
                        text[i] = (x >> 20) % 3 ? "\"\\= \xc3\xa9\xff{}x4,:\n%"[x % 15] : (char)(x % 255 + 1);
                }
                text[len] = '\0';
                hostile = text;
                json_decref(parsed(log_hostile));
                json_decref(parsed(log_hostile_raw));
        }
}

static void log_huge_escapes(void)
{
        static char huge[1900];
        memset(huge, '\\', sizeof(huge) - 1);
        log_info("a=%s msg=\"cut\" more=%s", huge, huge);
}

static void test_json_that_is_too_long_is_cut_and_says_so(void **state)
{
        (void)state;
        json_t *j = parsed(log_huge_escapes);
        assert_true(json_is_true(json_object_get(j, "cut")) || json_object_get(j, "a"));
        json_decref(j);
        for (size_t cap = LOG_JSON_CAP_MIN; cap < 700; cap++) {
                char dst[700];
                const struct log_head head = {"2026-01-31T12:34:56.789Z", "info", "n", "d"};
                memset(dst, 'z', sizeof(dst));
                size_t len = log_json(dst, cap, &head, "k=%s n=%d msg=\"%s\"",
                                      "k=\"\\\"\\\"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\" n=1234567890 m1=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "
                                      "m2=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "
                                      "m3=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "
                                      "m4=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "
                                      "m5=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "
                                      "msg=\"\xc3\xa9\\x01\\x02\\x03\\x04\\x05\\x06\\x07\\x08\"");
                assert_in_range(len, 1, cap);
                assert_int_equal(dst[len - 1], '\n');
                assert_int_equal(dst[cap], 'z');
                json_t *one = json_loadb(dst, len, JSON_REJECT_DUPLICATES, NULL);
                assert_non_null(one);
                json_decref(one);
        }
}

/* ---- the journal ------------------------------------------------------------------------------------------------ */

static void log_to_what_is_called_the_journal(void)
{
        char name[64];
        struct stat st;
        assert_int_equal(fstat(STDERR_FILENO, &st), 0);
        snprintf(name, sizeof(name), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
        setenv("JOURNAL_STREAM", name, 1);
        log_init("n", LOG_DEBUG);
        log_error("msg=\"bad\"");
        log_debug("msg=\"detail\"");
}

static void log_to_something_else(void)
{
        setenv("JOURNAL_STREAM", "1:2", 1);
        log_init("n", LOG_DEBUG);
        log_error("msg=\"bad\"");
}

static void test_the_journal_gets_priorities_and_has_time_stamps_of_its_own(void **state)
{
        (void)state;
        assert_string_equal(capture(log_to_what_is_called_the_journal),
                            "<3>level=error node=n msg=\"bad\"\n<7>level=debug node=n msg=\"detail\"\n");
        assert_memory_equal(capture(log_to_something_else), "ts=20", 5);
        unsetenv("JOURNAL_STREAM");
}

static void log_flood(void)
{
        for (int i = 0; i < 1000; i++)
                log_warn_of("10.0.0.1:4711", "peer=%s path=%s msg=\"is not there\"", "10.0.0.1:4711", "x");
        log_tick(INT64_MAX);
}

static void log_flood_and_end(void)
{
        for (int i = 0; i < LOG_PEER_LINES + 3; i++)
                log_info_of("a", "number=%d", i);
        log_fatal("port=%d msg=\"cannot listen\"", 1935);
}

static unsigned count_lines(const char *text)
{
        unsigned n = 0;
        for (; *text; text++)
                n += *text == '\n';
        return n;
}

static void test_a_flood_is_a_few_lines_and_their_number(void **state)
{
        (void)state;
        log_init("edge-1", LOG_INFO);
        const char *text = capture(log_flood);
        assert_int_equal(count_lines(text), LOG_PEER_LINES + 1);
        assert_non_null(strstr(text, "level=warn node=edge-1 more=990 of=\"is not there\" at=tests/unit/log_test.c:"));
        assert_non_null(strstr(text, " peer=\"10.0.0.1\" of_peer=990 msg=\"and 990 more of these lines\"\n"));
}

static void test_the_last_line_comes_after_what_was_left_out(void **state)
{
        (void)state;
        log_init("edge-1", LOG_INFO);
        const char *text = capture(log_flood_and_end);
        assert_int_equal(count_lines(text), LOG_PEER_LINES + 2);
        assert_non_null(strstr(text, "level=info node=edge-1 more=3 of=\"number=%d\" "));
        assert_non_null(strstr(text, "level=error node=edge-1 port=1935 msg=\"cannot listen\"\n"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_flood_is_a_few_lines_and_their_number),
                cmocka_unit_test(test_the_last_line_comes_after_what_was_left_out),
                cmocka_unit_test(test_a_line_has_time_level_node_and_ends_once),
                cmocka_unit_test(test_levels_below_the_threshold_are_not_written),
                cmocka_unit_test(test_a_long_line_is_cut_but_ended),
                cmocka_unit_test(test_quoting_leaves_no_way_to_forge_a_line),
                cmocka_unit_test(test_what_is_no_utf8_is_escaped_and_no_character_is_cut_in_two),
                cmocka_unit_test(test_quoting_stays_within_any_buffer),
                cmocka_unit_test(test_a_newline_that_nobody_quoted_makes_no_second_line),
                cmocka_unit_test(test_json_members_have_the_type_that_the_caller_gave_them),
                cmocka_unit_test(test_json_of_what_is_no_pair_is_text),
                cmocka_unit_test(test_json_of_hostile_bytes_is_json_and_gives_them_back),
                cmocka_unit_test(test_json_of_random_bytes_is_json),
                cmocka_unit_test(test_json_that_is_too_long_is_cut_and_says_so),
                cmocka_unit_test(test_the_journal_gets_priorities_and_has_time_stamps_of_its_own),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
