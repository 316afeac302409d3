/* What the configuration key `redundancy` promises: the first pattern that fits decides, errors say what is allowed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/err.h"
#include "ingestd/redundancy_config.h"

static unsigned for_stream(const char *text, const char *stream)
{
        json_t *json = json_loads(text, 0, NULL);
        char why[128];
        assert_non_null(json);
        assert_int_equal(redundancy_config_check(&json, why, sizeof(why)), 0);
        unsigned n = redundancy_config_for_stream(json, stream);
        json_decref(json);
        return n;
}

static void test_one_is_the_rule(void **state)
{
        (void)state;
        json_t *none = NULL;
        assert_int_equal(redundancy_config_check(&none, NULL, 0), 0);
        assert_int_equal(redundancy_config_for_stream(NULL, "cam"), 1);
        assert_int_equal(for_stream("[]", "cam"), 1);
        assert_int_equal(for_stream("[{\"match\": \"sports-*\", \"transcoders\": 2}]", "cam"), 1);
}

static void test_the_first_pattern_that_fits_decides(void **state)
{
        (void)state;
        const char *config = "[{\"match\": \"sports-test-*\", \"transcoders\": 1},"
                             " {\"match\": \"sports-*\", \"transcoders\": 2}]";
        assert_int_equal(for_stream(config, "sports-1"), 2);
        assert_int_equal(for_stream(config, "sports-test-1"), 1);
        assert_int_equal(for_stream(config, "news"), 1);
        assert_int_equal(for_stream("[{\"transcoders\": 2}]", "news"), 2);
}

static void assert_refused(const char *text, const char *word)
{
        json_t *json = json_loads(text, 0, NULL);
        char why[128] = "";
        assert_non_null(json);
        assert_int_equal(redundancy_config_check(&json, why, sizeof(why)), ERR_CONFIG);
        if (!strstr(why, word))
                fail_msg("\"%s\" does not say \"%s\"", why, word);
        json_decref(json);
}

static void test_what_is_wrong_is_said(void **state)
{
        (void)state;
        assert_refused("{\"sports-*\": 2}", "not an array");
        assert_refused("[{\"transcoders\": 2}, 2]", "entry 1: is not an object");
        assert_refused("[{\"match\": \"a\"}]", "missing, allowed is 1 to 2");
        assert_refused("[{\"match\": \"a\", \"transcoders\": 3}]", "is 3, allowed is 1 to 2");
        assert_refused("[{\"match\": \"a\", \"transcoders\": \"2\"}]", "not an integer");
        assert_refused("[{\"match\": 1, \"transcoders\": 2}]", "\"match\" is not a string");
        assert_refused("[{\"match\": \"sports-.*\", \"transcoders\": 2}]", "which no stream's name can fit");
        assert_refused("[{\"pattern\": \"a\", \"transcoders\": 2}]", "unknown key \"pattern\"");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_is_the_rule),
                cmocka_unit_test(test_the_first_pattern_that_fits_decides),
                cmocka_unit_test(test_what_is_wrong_is_said),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
