#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/err.h"
#include "originD/archive/s3.h"

#define GOOD "\"endpoint\": \"https://s3.eu-central-1.amazonaws.com/\", \"bucket\": \"my-media\", \"region\": \"eu-central-1\", " \
             "\"access_key\": \"AKIA\", \"secret_key\": \"wJalr/XUtn+FEMI\""

static char why[200];

static int read_config(struct s3_config *c, const char *text)
{
        json_t *j = json_loads(text, 0, NULL);
        assert_non_null(j);
        why[0] = '\0';
        int err = s3_config_read(c, j, why, sizeof(why)), checked = s3_config_check(&j, why, sizeof(why));
        assert_int_equal(err, checked);
        json_decref(j);
        return err;
}

static void test_a_store_is_configured(void **state)
{
        (void)state;
        struct s3_config c;
        assert_int_equal(read_config(&c, "{" GOOD ", \"prefix\": \"freshet/a\"}"), 0);
        assert_string_equal(c.endpoint, "https://s3.eu-central-1.amazonaws.com");
        assert_string_equal(c.prefix, "freshet/a/");
        assert_string_equal(c.session_token, "");
        assert_true(c.path_style);
        assert_false(s3_config_is_off(&c));
        s3_config_free(&c);
        s3_config_free(&c); /* twice is fine */
}

static void test_nothing_is_off(void **state)
{
        (void)state;
        struct s3_config c;
        assert_int_equal(read_config(&c, "{}"), 0);
        assert_true(s3_config_is_off(&c));
        s3_config_free(&c);
}

static void test_what_is_malformed_is_refused_in_words_and_without_the_secret(void **state)
{
        (void)state;
        static const struct {
                const char *text, *want;
        } cases[] = {
                {"[]", "must be an object"},
                {"{\"endpoint\": \"https://h\"}", "bucket is missing"},
                {"{" GOOD ", \"acess_key\": \"x\"}", "\"acess_key\" is not a member"},
                {"{" GOOD ", \"wJalr/XUtn+FEMI\": \"x\"}", "\"?\" is not a member"},
                {"{" GOOD ", \"path_style\": \"yes\"}", "path_style must be true or false"},
                {"{" GOOD ", \"prefix\": 7}", "prefix must be a string"},
                {"{" GOOD ", \"prefix\": \"/a\"}", "prefix may hold"},
                {"{" GOOD ", \"prefix\": \"a/../b\"}", "prefix may hold"},
                {"{" GOOD ", \"prefix\": \"a\\u0000b\"}", "prefix must be a string"},
                {"{" GOOD ", \"session_token\": \"a\\nb\"}", "session_token holds a character"},
                {"{\"endpoint\": \"ftp://h\"}", "endpoint must be a URL"},
                {"{\"endpoint\": \"https://wJalr:XUtn@h\"}", "endpoint must not hold a user or password"},
                {"{\"endpoint\": \"https://h/path\"}", "endpoint must be a host alone"},
                {"{\"endpoint\": \"https://h/?x\"}", "endpoint must be a host alone"},
                {"{\"bucket\": \"ab\"}", "bucket must have 3 to 63"},
                {"{\"bucket\": \"a/b/c\"}", "bucket may hold"},
                {"{\"region\": \"\"}", "region must be letters"},
                {"{\"access_key\": \"\"}", "access_key is empty"},
                {"{\"secret_key\": \"wJalr XUtn\"}", "secret_key holds a character"},
        };
        struct s3_config c;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                json_t *j = json_loads(cases[i].text, JSON_ALLOW_NUL, NULL);
                assert_non_null(j);
                assert_int_equal(s3_config_read(&c, j, why, sizeof(why)), ERR_CONFIG);
                assert_non_null(strstr(why, cases[i].want));
                assert_null(strstr(why, "wJalr"));
                assert_null(strstr(why, "XUtn"));
                assert_true(s3_config_is_off(&c));
                s3_config_free(&c);
                json_decref(j);
        }
}

struct seen {
        char text[1024];
        int left;
};

static bool see(void *arg, const char *name, uint64_t bytes)
{
        struct seen *s = arg;
        size_t n = strlen(s->text);
        snprintf(s->text + n, sizeof(s->text) - n, "%s %llu;", name, (unsigned long long)bytes);
        return --s->left > 0;
}

#define ENTRY(key, size) "<Contents><Key>" key "</Key><LastModified>x</LastModified><Size>" size "</Size></Contents>"
#define LIST(more, entries) "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>" \
                            "<Prefix>p/</Prefix><IsTruncated>" more "</IsTruncated>" entries "</ListBucketResult>"

static void test_a_list_names_what_is_ours(void **state)
{
        (void)state;
        struct seen s = {.left = 100};
        char next[S3_NAME_MAX + 1];
        assert_int_equal(s3_list_parse(LIST("false", ENTRY("p/a/1.mp4", "5") ENTRY("q/other", "1") ENTRY("p/", "0")
                                            ENTRY("p/x&amp;y", "1") ENTRY("p/b", "-1") ENTRY("p/c", "1x") ENTRY("p/d", "7")),
                                       "p/", see, &s, next), 0);
        assert_string_equal(s.text, "a/1.mp4 5;d 7;");
        assert_string_equal(next, "");
        s = (struct seen){.left = 1};
        assert_int_equal(s3_list_parse(LIST("true", ENTRY("p/a", "5") ENTRY("p/b", "6")), "p/", see, &s, next), 0);
        assert_string_equal(s.text, "a 5;"); /* had enough */
        s = (struct seen){.left = 100};
        assert_int_equal(s3_list_parse(LIST("true", ENTRY("p/a", "5") ENTRY("p/b", "6")), "p/", see, &s, next), 0);
        assert_string_equal(next, "p/b");
}

static void test_what_is_no_list_is_refused(void **state)
{
        (void)state;
        struct seen s = {.left = 100};
        char next[S3_NAME_MAX + 1];
        assert_int_equal(s3_list_parse("", "p/", see, &s, next), ERR_PROTO);
        assert_int_equal(s3_list_parse("<html>login</html>", "p/", see, &s, next), ERR_PROTO);
        assert_int_equal(s3_list_parse("<ListBucketResult><Contents><Key>p/a", "p/", see, &s, next), ERR_PROTO);
        assert_int_equal(s3_list_parse(LIST("true", ""), "p/", see, &s, next), ERR_PROTO);
        assert_string_equal(s.text, "");
}

static void test_an_error_is_one_clean_line(void **state)
{
        (void)state;
        char words[256];
        s3_error_parse(words, sizeof(words), "<?xml?><Error><Code>NoSuchKey</Code><Message>The \"key\"\nis\x1b not\xc3\xa4 there</Message></Error>");
        assert_string_equal(words, "NoSuchKey: The  key  is  not   there");
        s3_error_parse(words, sizeof(words), "<html>");
        assert_string_equal(words, "");
        s3_error_parse(words, 8, "<Code>NoSuchKey</Code><Message>x</Message>");
        assert_string_equal(words, "NoSuchK");
}

static void test_only_what_may_pass_is_tried_again(void **state)
{
        (void)state;
        assert_true(s3_may_try_again(ERR_TIMEOUT) && s3_may_try_again(ERR_FULL) && s3_may_try_again(ERR_CLOSED));
        assert_false(s3_may_try_again(0) || s3_may_try_again(ERR_NOT_FOUND) || s3_may_try_again(ERR_DENIED) ||
                     s3_may_try_again(ERR_CANCELED) || s3_may_try_again(ERR_CORRUPT) || s3_may_try_again(ERR_CONFLICT));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_store_is_configured),
                cmocka_unit_test(test_nothing_is_off),
                cmocka_unit_test(test_what_is_malformed_is_refused_in_words_and_without_the_secret),
                cmocka_unit_test(test_a_list_names_what_is_ours),
                cmocka_unit_test(test_what_is_no_list_is_refused),
                cmocka_unit_test(test_an_error_is_one_clean_line),
                cmocka_unit_test(test_only_what_may_pass_is_tried_again),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
