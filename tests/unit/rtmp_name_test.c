#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "common/err.h"
#include "ingestd/rtmp_name.h"

static void assert_name(const char *app, const char *tc_url, const char *name, const char *stream, const char *key)
{
        struct rtmp_name n;
        char why[128];
        assert_int_equal(rtmp_name_parse(&n, app, tc_url, name, why, sizeof(why)), 0);
        assert_string_equal(n.stream, stream);
        assert_string_equal(n.key, key);
}

static void assert_refused(const char *app, const char *name)
{
        struct rtmp_name n;
        char why[128] = "";
        assert_int_equal(rtmp_name_parse(&n, app, "", name, why, sizeof(why)), ERR_DENIED);
        assert_true(strlen(why) > 10);
}

static void test_the_last_level_of_the_path_is_the_stream(void **state)
{
        (void)state;
        assert_name("live", "rtmp://h/live", "cam", "cam", "");
        assert_name("live", "", "/cam", "cam", "");
        assert_name("live", "", "/live/cam/", "cam", "");
        assert_name("a/b", "", "c/cam", "cam", "");
        assert_name("", "", "rtmp://h:1935/live/cam?key=k", "cam", "k");
        assert_name("live", "", " cam\n", "cam", "");
}

static void test_an_empty_name_is_taken_from_an_app_with_levels_only(void **state)
{
        (void)state;
        assert_name("live/cam", "", "", "cam", "");
        assert_name("live/cam/?key=k", "", "", "cam", "k");
        assert_refused("live", "");
        assert_refused("", "");
        assert_refused("/", "/");
}

static void test_a_key_is_found_on_name_then_app_then_tc_url(void **state)
{
        (void)state;
        assert_name("live?key=2", "rtmp://h/live?key=3", "cam?key=1", "cam", "1");
        assert_name("live?key=2", "rtmp://h/live?key=3", "cam", "cam", "2");
        assert_name("live", "rtmp://h/live?token=3", "cam?x=y", "cam", "3");
        assert_name("live", "", "cam?secret", "cam", "secret");
        assert_name("live", "", "cam?a=b&token=t&c=d", "cam", "t");
}

static void test_a_key_may_hold_the_characters_of_a_query(void **state)
{
        (void)state;
        assert_name("live", "", "cam?key=a?b=c", "cam", "a?b=c");
        assert_name("live", "", "cam?key=a&b", "cam", "a&b");
        assert_name("live", "", "cam?key=a&b&x=1", "cam", "a&b");
        assert_name("live", "", "cam?key=a%26b%3Dc%zz%4", "cam", "a&b=c%zz%4");
        assert_name("live", "", "cam?key=/live/x", "cam", "/live/x");
}

static void test_names_that_are_no_stream_id_are_refused(void **state)
{
        (void)state;
        char longest[66];
        memset(longest, 'a', sizeof(longest));
        longest[64] = '\0';
        assert_name("live", "", longest, longest, "");
        longest[64] = 'a';
        longest[65] = '\0';
        assert_refused("live", longest);
        assert_refused("live", "a b");
        assert_refused("live", "..");
        assert_refused("live", "cam&x");
        assert_refused("live", "caf\xc3\xa9");
}

static void test_a_key_too_long_to_check_is_refused(void **state)
{
        (void)state;
        char name[PUBLISH_KEY_MAX + 16] = "cam?key=";
        memset(name + 8, 'k', PUBLISH_KEY_MAX);
        assert_name("live", "", name, "cam", name + 8);
        name[8 + PUBLISH_KEY_MAX] = 'k';
        assert_refused("live", name);
        assert_refused("live", "cam?key=a%00b");
}

static void assert_query(const char *app, const char *tc_url, const char *name, const char *query, const char *app_path)
{
        struct rtmp_name n;
        char why[128];
        assert_int_equal(rtmp_name_parse(&n, app, tc_url, name, why, sizeof(why)), 0);
        assert_string_equal(n.query, query);
        assert_string_equal(n.app, app_path);
}

static void test_what_is_given_besides_is_kept_without_the_secrets(void **state)
{
        (void)state;
        char many[700] = "cam?first=1";
        assert_query("live", "", "cam", "", "live");
        assert_query("live", "", "cam?secret", "", "live");
        assert_query("/a/b/?key=k", "", "cam?user=x&key=K&room=%201&token=T&backup=1", "user=x&room=%201", "a/b");
        assert_query("live?user=y&key=k", "rtmp://h/live?user=z", "cam?key=K", "user=y", "live");
        assert_query("live", "", "cam?key=a&b&user=x", "user=x", "live");
        memset(many + 11, 'x', sizeof(many) - 12); /* what does not fit is left out, and does no harm */
        many[11] = '&', many[12] = 'l', many[13] = '=';
        assert_query("live", "", many, "first=1", "live");
}

static void assert_role(const char *app, const char *tc_url, const char *name, enum open_role role, const char *key)
{
        struct rtmp_name n;
        char why[128];
        assert_int_equal(rtmp_name_parse(&n, app, tc_url, name, why, sizeof(why)), 0);
        assert_string_equal(n.stream, "cam");
        assert_int_equal(n.role, role);
        assert_string_equal(n.key, key);
}

static void test_backup_says_which_of_two_broadcasters_this_is(void **state)
{
        (void)state;
        assert_role("live", "", "cam", OPEN_PRIMARY, "");
        assert_role("live", "", "cam?backup=1", OPEN_BACKUP, "");
        assert_role("live", "", "cam?backup=0", OPEN_NOW, "");
        assert_role("live", "", "cam?key=k&backup=1", OPEN_BACKUP, "k");
        assert_role("live", "", "cam?backup=1&token=t", OPEN_BACKUP, "t");
        assert_role("live?backup=1", "", "cam?key=k", OPEN_BACKUP, "k");
        assert_role("live", "rtmp://h/live?backup=1", "cam", OPEN_BACKUP, "");
        assert_role("live?backup=1", "", "cam?backup=0", OPEN_NOW, "");
        assert_refused("live", "cam?backup=2");
        assert_refused("live", "cam?backup=");
        assert_refused("live", "cam?backup=true");
        assert_refused("live", "cam?backup=11");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_last_level_of_the_path_is_the_stream),
                cmocka_unit_test(test_an_empty_name_is_taken_from_an_app_with_levels_only),
                cmocka_unit_test(test_a_key_is_found_on_name_then_app_then_tc_url),
                cmocka_unit_test(test_a_key_may_hold_the_characters_of_a_query),
                cmocka_unit_test(test_names_that_are_no_stream_id_are_refused),
                cmocka_unit_test(test_backup_says_which_of_two_broadcasters_this_is),
                cmocka_unit_test(test_a_key_too_long_to_check_is_refused),
                cmocka_unit_test(test_what_is_given_besides_is_kept_without_the_secrets),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
