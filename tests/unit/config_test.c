/* config: the later source wins, and whatever is wrong is named together with what is allowed. */
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

#include "common/daemon/config.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "tests/unit/scratch.h"

struct fields {
        struct config_common common;
        int64_t wait_ms;
        char *title;
        bool record;
        json_t *ladder, *hooks;
};

static int check_ladder(const void *value, char *why, size_t why_cap)
{
        if (json_array_size(*(json_t *const *)value) <= 2)
                return 0;
        snprintf(why, why_cap, "allowed: at most 2 rungs");
        return ERR_CONFIG;
}

static int check_together(const void *value, char *why, size_t why_cap)
{
        const struct fields *f = value;
        if (strcmp(f->title, "too early") == 0) {
                snprintf(why, why_cap, "not at this time");
                return ERR_NOT_YET;
        }
        if (!f->record || strcmp(f->title, "none") != 0)
                return 0;
        snprintf(why, why_cap, "record needs a title");
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
        {.name = "hooks", .type = CONFIG_JSON, .offset = offsetof(struct fields, hooks), .default_value = "[]", .unit = "",
         .help = "secret too", .secret = true},
        {.name = NULL, .check = check_together},
};

static char told[16384], path[96];
static struct fields fields;

/* What a line of the log has as \" is a quote. */
static void unquote(char *text)
{
        char *to = text;
        for (; *text; text++) {
                if (*text != '\\' || text[1] != '"')
                        *to++ = *text;
        }
        *to = '\0';
}

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
        unquote(told);
        return outcome;
}

/* What body writes to standard error. */
static const char *logged(void (*body)(void))
{
        int saved = dup(2);
        FILE *f = tmpfile();
        dup2(fileno(f), 2);
        body();
        dup2(saved, 2);
        close(saved);
        rewind(f);
        told[fread(told, 1, sizeof(told) - 1, f)] = '\0';
        fclose(f);
        return told;
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

static void test_errors_at_a_start_are_lines_of_the_log_of_this_node(void **state)
{
        (void)state;
        assert_int_equal(load("--set", "wait_ms=9", "--set", "id=edge-7", NULL), CONFIG_EXIT_BAD);
        assert_memory_equal(told, "ts=20", 5);
        assert_non_null(strstr(told, "Z level=error node=edge-7 role=edged msg=\"wait_ms: given \"9\""));
        assert_int_equal(load("--set", "wait_ms=9", "--set", "log_format=json", "--set", "id=edge-7", NULL), CONFIG_EXIT_BAD);
        assert_memory_equal(told, "{\"ts\":\"20", 9);
        assert_non_null(strstr(told, "\"node\":\"edge-7\""));
        assert_int_equal(load("-n", "--set", "wait_ms=9", NULL), CONFIG_EXIT_BAD);
        assert_memory_equal(told, "edged: wait_ms: ", 16); /* for who asked */
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

static void test_a_variable_that_is_nearly_a_key_of_a_daemon_is_refused_and_what_was_meant_is_told(void **state)
{
        static const char *const mistyped[][2] = {
                {"FRESHET_PRIVATTE", "FRESHET_PRIVATE"},
                {"FRESHET_ADMIN_TOKEN_FIEL", "FRESHET_ADMIN_TOKEN_FILE"},
                {"FRESHET_LOGLEVEL", "FRESHET_LOG_LEVEL"},
        };
        static const char *const others[] = {"FRESHET_PRIVATE", "FRESHET_PUBLISH_KEY_FILE", "FRESHET_BIN", "FRESHET_SOMETHING",
                                             "PRIVATTE"};
        (void)state;
        for (size_t i = 0; i < sizeof(mistyped) / sizeof(mistyped[0]); i++) {
                setenv(mistyped[i][0], "live", 1);
                assert_int_equal(load(NULL), CONFIG_EXIT_BAD);
                expect_bad(mistyped[i][0], "probably meant", mistyped[i][1]);
                unsetenv(mistyped[i][0]);
        }
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
                setenv(others[i], "live", 1);
                assert_int_equal(load(NULL), CONFIG_RUN);
                config_free(keys, &fields);
                unsetenv(others[i]);
        }
}

static void test_a_variable_that_kubernetes_makes_of_a_service_is_no_mistyped_key(void **state)
{
        (void)state;
        setenv("FRESHET_WEB_PORT", "tcp://10.0.0.7:80", 1);
        assert_int_equal(load(NULL), CONFIG_RUN);
        config_free(keys, &fields);
        setenv("FRESHET_WEB_PORT", "/srv/web", 1);
        assert_int_equal(load(NULL), CONFIG_EXIT_BAD);
        expect_bad("FRESHET_WEB_PORT", "probably meant", "FRESHET_WEB_ROOT");
        unsetenv("FRESHET_WEB_PORT");
}

static void test_what_may_be_right_at_another_time_is_told_apart_from_a_bad_configuration(void **state)
{
        (void)state;
        assert_int_equal(load("--set", "title=too early", NULL), CONFIG_EXIT_LATER);
        assert_non_null(strstr(told, "not at this time"));
        assert_null(fields.title);
        assert_int_equal(load("--set", "title=too early", "-n", NULL), CONFIG_EXIT_LATER);
}

static void test_what_does_not_go_together_is_refused_by_n_too(void **state)
{
        (void)state;
        assert_int_equal(load("--set", "record=true", NULL), CONFIG_EXIT_BAD);
        assert_non_null(strstr(told, "record needs a title"));
        assert_null(fields.title);
        assert_int_equal(load("-n", "--set", "record=true", NULL), CONFIG_EXIT_BAD);
        assert_int_equal(load("-n", "--set", "record=true", "--set", "title=x", NULL), CONFIG_EXIT_OK);
        assert_null(fields.title);
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

/* ---- secrets in files ------------------------------------------------------------------------------------------- */

static char secret_path[96];

static void write_secret(const char *bytes, size_t len, mode_t mode)
{
        int fd = open(secret_path, O_WRONLY | O_TRUNC);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, bytes, len), len);
        fchmod(fd, mode);
        close(fd);
}

static void expect_token(const char *token)
{
        assert_string_equal(fields.common.cluster_token, token);
        config_free(keys, &fields);
}

static void test_a_secret_is_taken_from_a_file_by_every_source(void **state)
{
        char text[128];
        (void)state;
        write_secret("one\n", 4, 0600);
        snprintf(text, sizeof(text), "cluster_token_file=%s", secret_path);
        assert_int_equal(load("--set", text, NULL), CONFIG_RUN);
        expect_token("one");
        snprintf(text, sizeof(text), "{\"cluster_token_file\": \"%s\"}", secret_path);
        write_file(text);
        assert_int_equal(load("--config", path, NULL), CONFIG_RUN);
        expect_token("one");
        setenv("FRESHET_CLUSTER_TOKEN_FILE", secret_path, 1);
        assert_int_equal(load(NULL), CONFIG_RUN);
        expect_token("one");
        write_secret(" two \n", 6, 0600); /* one line end is cut, nothing else */
        assert_int_equal(load(NULL), CONFIG_RUN);
        expect_token(" two ");
        unsetenv("FRESHET_CLUSTER_TOKEN_FILE");
        write_secret("[1]", 3, 0600);
        snprintf(text, sizeof(text), "hooks_file=%s", secret_path);
        assert_int_equal(load("--set", text, NULL), CONFIG_RUN);
        assert_int_equal(json_array_size(fields.hooks), 1);
        config_free(keys, &fields);
}

static void expect_refused(const char *file, const char *why)
{
        char text[128];
        snprintf(text, sizeof(text), "cluster_token_file=%s", file);
        assert_int_equal(load("--set", text, NULL), CONFIG_EXIT_BAD);
        expect_bad("cluster_token", file, why);
}

static void test_what_is_wrong_with_a_secrets_file_is_told_and_never_taken_for_no_secret(void **state)
{
        char huge[300], fifo[sizeof(secret_path) + 8];
        (void)state;
        expect_refused("/nowhere/token", "cannot be read: No such file");
        expect_refused("/", "no regular file");
        expect_refused("", "the path of a file");
        snprintf(fifo, sizeof(fifo), "%s.fifo", secret_path);
        assert_int_equal(mkfifo(fifo, 0600), 0);
        expect_refused(fifo, "no regular file");
        unlink(fifo);
        write_secret("", 0, 0600);
        expect_refused(secret_path, "it is empty");
        write_secret("\n", 1, 0600);
        expect_refused(secret_path, "it is empty");
        write_secret("a\0b", 3, 0600);
        expect_refused(secret_path, "zero byte");
        write_secret("geheim\n\n", 8, 0600); /* a token that nobody could show */
        expect_refused(secret_path, "more than one line");
        memset(huge, 'q', sizeof(huge));
        write_secret(huge, sizeof(huge), 0600);
        expect_refused(secret_path, "more than 255 bytes");
        assert_null(strstr(told, "qqq"));
        write_secret(huge, 255, 0600);
        char text[128];
        snprintf(text, sizeof(text), "cluster_token_file=%s", secret_path);
        assert_int_equal(load("--set", text, NULL), CONFIG_RUN);
        config_free(keys, &fields);
}

static void test_a_secret_given_twice_or_a_file_for_no_secret_is_refused(void **state)
{
        char text[128];
        (void)state;
        write_secret("one", 3, 0600);
        snprintf(text, sizeof(text), "cluster_token_file=%s", secret_path);
        setenv("FRESHET_CLUSTER_TOKEN", "other", 1);
        assert_int_equal(load("--set", text, NULL), CONFIG_EXIT_BAD);
        expect_bad("cluster_token", "FRESHET_CLUSTER_TOKEN", "one of the two");
        assert_null(strstr(told, "other"));
        unsetenv("FRESHET_CLUSTER_TOKEN");
        assert_int_equal(load("--set", "title_file=/etc/hostname", NULL), CONFIG_EXIT_BAD);
        expect_bad("unknown key \"title_file\"", "--set", "title");
}

static void test_a_secret_that_everybody_can_read_is_warned_of_once(void **state)
{
        char text[128];
        (void)state;
        log_init("test", LOG_INFO);
        write_secret("[1]", 3, 0644);
        snprintf(text, sizeof(text), "hooks_file=%s", secret_path);
        assert_int_equal(load("--set", text, NULL), CONFIG_RUN);
        config_free(keys, &fields);
        const char *line = logged(config_warn_exposed);
        assert_non_null(strstr(line, "level=warn"));
        assert_non_null(strstr(line, secret_path));
        write_secret("[1]", 3, 0640);
        assert_int_equal(load("--set", text, NULL), CONFIG_RUN);
        config_free(keys, &fields);
        assert_string_equal(logged(config_warn_exposed), "");
}

/* ---- reload ----------------------------------------------------------------------------------------------------- */

static char *reload_argv[] = {"edged", "--config", path, NULL};
static int reload_result;

static void reload(void)
{
        reload_result = config_reload("edged", keys, &fields, 3, reload_argv);
}

static void test_reload_says_what_changed_what_needs_a_restart_and_what_is_wrong(void **state)
{
        (void)state;
        log_init("test", LOG_INFO);
        write_file("{\"wait_ms\": 20}");
        assert_int_equal(load("--config", path, NULL), CONFIG_RUN);
        assert_non_null(strstr(logged(reload), "nothing changed"));
        write_file("{\"wait_ms\": 30, \"title\": \"a b\", \"record\": true, \"cluster_token\": \"geheim\", \"admin_token\": \"geheim\"}");
        const char *line = logged(reload);
        assert_non_null(strstr(line, "changed=\"admin_token wait_ms=30 title=a b\" msg=\"configuration read again\""));
        assert_non_null(strstr(line, "level=warn"));
        assert_non_null(strstr(line, "keys=\"cluster_token record\""));
        assert_non_null(strstr(line, "need a restart"));
        assert_null(strstr(line, "geheim"));
        write_file("{\"wait_ms\": 40, \"wait_ms\": 50}");
        line = logged(reload);
        assert_int_equal(reload_result, ERR_CONFIG);
        assert_non_null(strstr(line, "duplicate object key"));
        assert_non_null(strstr(line, "wait_ms"));
        assert_non_null(strstr(line, "everything stays as it was"));
        assert_int_equal(fields.wait_ms, 30);
        config_free(keys, &fields);
}

static int open_file(void **state)
{
        (void)state;
        scratch_file(path, sizeof(path));
        scratch_file(secret_path, sizeof(secret_path));
        return 0;
}

static int remove_file(void **state)
{
        (void)state;
        unlink(secret_path);
        return unlink(path);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults),
                cmocka_unit_test(test_the_later_source_wins),
                cmocka_unit_test(test_errors_name_key_given_and_allowed),
                cmocka_unit_test(test_errors_at_a_start_are_lines_of_the_log_of_this_node),
                cmocka_unit_test(test_errors_of_the_file_name_key_given_and_allowed),
                cmocka_unit_test(test_errors_of_the_environment_name_the_variable),
                cmocka_unit_test(test_an_unknown_key_gets_the_nearest),
                cmocka_unit_test(test_a_secret_is_never_told),
                cmocka_unit_test(test_help_lists_every_key),
                cmocka_unit_test(test_n_only_checks),
                cmocka_unit_test(test_a_variable_that_is_nearly_a_key_of_a_daemon_is_refused_and_what_was_meant_is_told),
                cmocka_unit_test(test_a_variable_that_kubernetes_makes_of_a_service_is_no_mistyped_key),
                cmocka_unit_test(test_what_may_be_right_at_another_time_is_told_apart_from_a_bad_configuration),
                cmocka_unit_test(test_what_does_not_go_together_is_refused_by_n_too),
                cmocka_unit_test(test_reload_takes_only_what_may_change_and_nothing_of_a_bad_file),
                cmocka_unit_test(test_a_secret_is_taken_from_a_file_by_every_source),
                cmocka_unit_test(test_what_is_wrong_with_a_secrets_file_is_told_and_never_taken_for_no_secret),
                cmocka_unit_test(test_a_secret_given_twice_or_a_file_for_no_secret_is_refused),
                cmocka_unit_test(test_a_secret_that_everybody_can_read_is_warned_of_once),
                cmocka_unit_test(test_reload_says_what_changed_what_needs_a_restart_and_what_is_wrong),
        };
        return cmocka_run_group_tests(tests, open_file, remove_file);
}
