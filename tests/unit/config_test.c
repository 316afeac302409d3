/* config: the later source wins, and whatever is wrong is named together with what is allowed. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/config.h"
#include "common/err.h"
#include "common/log.h"

struct fields {
        struct config_common common;
        int64_t wait_ms;
        char *title;
        bool record;
        json_t *ladder;
};

static int check_ladder(const void *value, char *why, size_t why_cap)
{
        if (json_array_size(*(json_t *const *)value) <= 2)
                return 0;
        snprintf(why, why_cap, "allowed: at most 2 rungs");
        return ERR_CONFIG;
}

static const struct config_key keys[] = {
        CONFIG_COMMON_KEYS(9490),
        {.name = "wait_ms", .type = CONFIG_INT, .offset = offsetof(struct fields, wait_ms), .default_value = "1000", .min = 10,
         .max = 5000, .unit = "ms", .help = "how long", .reloads = true},
        {.name = "title", .type = CONFIG_STRING, .offset = offsetof(struct fields, title), .default_value = "none", .min = 1,
         .max = 20, .unit = "", .help = "a title", .reloads = true},
        {.name = "record", .type = CONFIG_BOOL, .offset = offsetof(struct fields, record), .default_value = "false",
         .unit = "", .help = "whether"},
        {.name = "ladder", .type = CONFIG_JSON, .offset = offsetof(struct fields, ladder), .default_value = "[]", .unit = "",
         .help = "rungs", .reloads = true, .check = check_ladder},
        {0},
};

static char told[16384], path[] = "/tmp/freshet-config-XXXXXX";
static struct fields fields;

/* Runs with standard output and error in `told`. Arguments end with NULL. */
static enum config_outcome load(const char *first, ...)
{
        const char *argv[16] = {"edged"};
        int argc = 1, out = dup(1), err = dup(2);
        va_list ap;
        va_start(ap, first);
        for (const char *arg = first; arg; arg = va_arg(ap, const char *))
                argv[argc++] = arg;
        va_end(ap);
        FILE *f = tmpfile();
        fflush(stdout);
        dup2(fileno(f), 1);
        dup2(fileno(f), 2);
        memset(&fields, 0, sizeof(fields));
        enum config_outcome outcome = config_load("edged", keys, &fields, argc, (char **)argv);
        fflush(stdout);
        dup2(out, 1);
        dup2(err, 2);
        close(out);
        close(err);
        rewind(f);
        told[fread(told, 1, sizeof(told) - 1, f)] = '\0';
        fclose(f);
        return outcome;
}

static void write_file(const char *text)
{
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
}

static void expect_bad(const char *key, const char *given, const char *allowed)
{
        assert_non_null(strstr(told, key));
        assert_non_null(strstr(told, given));
        assert_non_null(strstr(told, allowed));
        assert_null(fields.title); /* nothing was touched */
}

static void test_defaults(void **state)
{
        (void)state;
        assert_int_equal(load(NULL), CONFIG_RUN);
        assert_int_equal(fields.common.admin_port, 9490);
        assert_string_equal(fields.common.bind, "127.0.0.1");
        assert_int_equal(fields.wait_ms, 1000);
        assert_string_equal(fields.title, "none");
        assert_false(fields.record);
        assert_int_equal(json_array_size(fields.ladder), 0);
        config_free(keys, &fields);
        assert_null(fields.title);
}

static void test_the_later_source_wins(void **state)
{
        (void)state;
        write_file("{\"wait_ms\": 20, \"title\": \"file\", \"record\": true, \"ladder\": [{\"name\": \"v720\"}]}");
        setenv("FRESHET_TITLE", "environment", 1);
        setenv("FRESHET_WAIT_MS", "30", 1);
        assert_int_equal(load("--set", "wait_ms=40", "--config", path, "--set=wait_ms=50", NULL), CONFIG_RUN);
        assert_int_equal(fields.wait_ms, 50);
        assert_string_equal(fields.title, "environment");
        assert_true(fields.record);
        assert_int_equal(json_array_size(fields.ladder), 1);
        config_free(keys, &fields);
        unsetenv("FRESHET_TITLE");
        unsetenv("FRESHET_WAIT_MS");
}

static void test_errors_name_key_given_and_allowed(void **state)
{
        (void)state;
        assert_int_equal(load("--set", "wait_ms=9", NULL), CONFIG_EXIT_BAD);
        expect_bad("wait_ms", "\"9\"", "an integer from 10 to 5000 ms");
        assert_int_equal(load("--set", "wait_ms=50x", NULL), CONFIG_EXIT_BAD);
        expect_bad("wait_ms", "\"50x\"", "an integer from 10 to 5000 ms");
        assert_int_equal(load("--set", "wait_ms=99999999999999999999", NULL), CONFIG_EXIT_BAD);
        expect_bad("wait_ms", "99999999999999999999", "an integer");
        assert_int_equal(load("--set", "log_level=loud", NULL), CONFIG_EXIT_BAD);
        expect_bad("log_level", "\"loud\"", "one of debug|info|warn|error");
        assert_int_equal(load("--set", "log_level=debug|info", NULL), CONFIG_EXIT_BAD);
        assert_int_equal(load("--set", "record=yes", NULL), CONFIG_EXIT_BAD);
        expect_bad("record", "\"yes\"", "true or false");
        assert_int_equal(load("--set", "title=", NULL), CONFIG_EXIT_BAD);
        expect_bad("title", "\"\"", "a string of 1 to 20 bytes");
        assert_int_equal(load("--set", "ladder=[1", NULL), CONFIG_EXIT_BAD);
        expect_bad("ladder", "[1", "a JSON array or object");
        assert_int_equal(load("--set", "ladder=[1,2,3]", NULL), CONFIG_EXIT_BAD);
        expect_bad("ladder", "", "at most 2 rungs");
        assert_int_equal(load("--set", "id=a b", NULL), CONFIG_EXIT_BAD);
        expect_bad("id", "a b", "A-Z a-z 0-9 . _ -");
}

static void test_errors_of_the_file_name_key_given_and_allowed(void **state)
{
        (void)state;
        write_file("{\"wait_ms\": \"20\", \"title\": 5, \"recrod\": true}");
        assert_int_equal(load("--config", path, NULL), CONFIG_EXIT_BAD);
        expect_bad("wait_ms", "\"20\"", "an integer from 10 to 5000 ms");
        expect_bad("title", "given 5", "a string of 1 to 20 bytes"); /* all of them, not just the first */
        expect_bad("recrod", path, "nearest: record");
        write_file("{\"wait_ms\": 20,\n\"wait_ms\": }");
        assert_int_equal(load("--config", path, NULL), CONFIG_EXIT_BAD);
        expect_bad("line 2", path, "");
        write_file("[1]");
        assert_int_equal(load("--config", path, NULL), CONFIG_EXIT_BAD);
        expect_bad(path, "", "one JSON object");
        assert_int_equal(load("--config", "/nowhere/x.json", NULL), CONFIG_EXIT_BAD);
        expect_bad("--config", "/nowhere/x.json", "a JSON file");
        assert_int_equal(load("--config", "/", NULL), CONFIG_EXIT_BAD);
}

static void test_errors_of_the_environment_name_the_variable(void **state)
{
        (void)state;
        setenv("FRESHET_WAIT_MS", "soon", 1);
        assert_int_equal(load(NULL), CONFIG_EXIT_BAD);
        expect_bad("wait_ms", "\"soon\" (FRESHET_WAIT_MS)", "an integer from 10 to 5000 ms");
        unsetenv("FRESHET_WAIT_MS");
}

static void test_an_unknown_key_gets_the_nearest(void **state)
{
        (void)state;
        assert_int_equal(load("--set", "wait=5", NULL), CONFIG_EXIT_BAD);
        expect_bad("unknown key \"wait\"", "--set", "wait_ms; --help lists all");
        assert_int_equal(load("--set", "novalue", NULL), CONFIG_EXIT_BAD);
        expect_bad("--set", "novalue", "key=value");
        assert_int_equal(load("--wrong", NULL), CONFIG_EXIT_BAD);
        expect_bad("--wrong", "", "--config FILE");
        assert_int_equal(load("--set", NULL), CONFIG_EXIT_BAD);
        expect_bad("--set", "nothing", "key=value");
}

static void test_a_secret_is_never_told(void **state)
{
        char argument[400];
        (void)state;
        memset(argument, 'q', sizeof(argument));
        memcpy(argument, "cluster_token=", 14);
        argument[sizeof(argument) - 1] = '\0';
        assert_int_equal(load("--set", argument, NULL), CONFIG_EXIT_BAD);
        assert_null(strstr(told, "qqq"));
        expect_bad("cluster_token", "(secret)", "0 to 255");
}

static void test_help_lists_every_key(void **state)
{
        (void)state;
        assert_int_equal(load("--help", NULL), CONFIG_EXIT_OK);
        for (const struct config_key *key = keys; key->name; key++) {
                assert_non_null(strstr(told, key->name));
                assert_non_null(strstr(told, key->help));
        }
        assert_non_null(strstr(told, "wait_ms * = 1000 ms"));
        assert_non_null(strstr(told, "from 10 to 5000"));
        assert_int_equal(load("--version", NULL), CONFIG_EXIT_OK);
        assert_memory_equal(told, "edged ", 6);
}

static void test_n_only_checks(void **state)
{
        (void)state;
        assert_int_equal(load("-n", "--set", "wait_ms=100", NULL), CONFIG_EXIT_OK);
        assert_null(fields.title);
        assert_int_equal(load("-n", "--set", "wait_ms=1", NULL), CONFIG_EXIT_BAD);
}

static void test_reload_takes_only_what_may_change_and_nothing_of_a_bad_file(void **state)
{
        char *argv[] = {"edged", "--config", path, NULL};
        (void)state;
        log_init("test", LOG_ERROR + 1);
        write_file("{\"wait_ms\": 20, \"ladder\": [1]}");
        assert_int_equal(load("--config", path, NULL), CONFIG_RUN);
        write_file("{\"wait_ms\": 30, \"title\": \"new\", \"record\": true, \"ladder\": [1, 2]}");
        assert_int_equal(config_reload("edged", keys, &fields, 3, argv), 0);
        assert_int_equal(fields.wait_ms, 30);
        assert_string_equal(fields.title, "new");
        assert_int_equal(json_array_size(fields.ladder), 2);
        assert_false(fields.record);
        write_file("{\"wait_ms\": 40, \"title\": \"\"}");
        assert_int_equal(config_reload("edged", keys, &fields, 3, argv), ERR_CONFIG);
        assert_int_equal(fields.wait_ms, 30);
        assert_string_equal(fields.title, "new");
        config_free(keys, &fields);
}

static int open_file(void **state)
{
        (void)state;
        int fd = mkstemp(path);
        close(fd);
        return fd < 0;
}

static int remove_file(void **state)
{
        (void)state;
        return unlink(path);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults),
                cmocka_unit_test(test_the_later_source_wins),
                cmocka_unit_test(test_errors_name_key_given_and_allowed),
                cmocka_unit_test(test_errors_of_the_file_name_key_given_and_allowed),
                cmocka_unit_test(test_errors_of_the_environment_name_the_variable),
                cmocka_unit_test(test_an_unknown_key_gets_the_nearest),
                cmocka_unit_test(test_a_secret_is_never_told),
                cmocka_unit_test(test_help_lists_every_key),
                cmocka_unit_test(test_n_only_checks),
                cmocka_unit_test(test_reload_takes_only_what_may_change_and_nothing_of_a_bad_file),
        };
        return cmocka_run_group_tests(tests, open_file, remove_file);
}
