#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "common/range.h"

static void part(const char *header, uint64_t size, uint64_t want_first, uint64_t want_last)
{
        uint64_t from, len;
        assert_int_equal(range_parse(header, size, &from, &len), RANGE_PART);
        assert_int_equal(from, want_first);
        assert_int_equal(from + len - 1, want_last);
}

static void verdict(const char *header, uint64_t size, enum range_verdict want)
{
        uint64_t from = 7, len = 7;
        assert_int_equal(range_parse(header, size, &from, &len), want);
        assert_int_equal(from, 0);
        assert_int_equal(len, size);
}

static void test_a_single_range_lies_inside_the_object(void **state)
{
        (void)state;
        part("bytes=0-0", 10, 0, 0);
        part("bytes=2-5", 10, 2, 5);
        part("bytes=2-", 10, 2, 9);
        part("bytes=2-99", 10, 2, 9);
        part("BYTES=9-9", 10, 9, 9);
        part("bytes= 1-2 ", 10, 1, 2);
        part("bytes=0-18446744073709551615", 10, 0, 9);
}

static void test_a_suffix_is_counted_from_the_end(void **state)
{
        (void)state;
        part("bytes=-1", 10, 9, 9);
        part("bytes=-10", 10, 0, 9);
        part("bytes=-99999999999999999999999", 10, 0, 9);
}

static void test_what_lies_outside_is_unsatisfiable(void **state)
{
        (void)state;
        verdict("bytes=10-", 10, RANGE_UNSATISFIABLE);
        verdict("bytes=10-20", 10, RANGE_UNSATISFIABLE);
        verdict("bytes=-0", 10, RANGE_UNSATISFIABLE);
        verdict("bytes=0-", 0, RANGE_UNSATISFIABLE);
        verdict("bytes=99999999999999999999999-", 10, RANGE_UNSATISFIABLE);
}

static void test_what_cannot_be_understood_is_ignored(void **state)
{
        (void)state;
        static const char *const odd[] = {"",          "bytes",      "bytes=",      "bytes=-",   "bytes=a-b", "bytes=5-2",
                                          "bytes=1-2,4-5", "items=0-1", "bytes=1--2", "bytes=1-2x", "bytes 0-1", "bytes=+1-2"};
        verdict(NULL, 10, RANGE_WHOLE);
        for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
                verdict(odd[i], 10, RANGE_WHOLE);
}

static void test_only_a_real_part_must_wait_for_the_whole(void **state)
{
        (void)state;
        assert_false(range_needs_whole(NULL));
        assert_false(range_needs_whole("bytes=0-"));
        assert_false(range_needs_whole("bytes=0-1,4-5"));
        assert_true(range_needs_whole("bytes=0-1"));
        assert_true(range_needs_whole("bytes=1-"));
        assert_true(range_needs_whole("bytes=-1"));
        uint64_t from, len;
        assert_true(range_has_ends("bytes=100-199", &from, &len));
        assert_true(from == 100 && len == 100);
        assert_true(range_has_ends("bytes=5-99999999999999999999999", &from, &len));
        assert_true(from == 5 && len > UINT64_MAX / 20);
        static const char *const open[] = {NULL, "bytes=5-", "bytes=-5", "bytes=7-5", "bytes=0-1,4-5", "lines=1-2"};
        for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++)
                assert_false(range_has_ends(open[i], &from, &len));
}

static void test_a_range_of_another_version_is_void(void **state)
{
        (void)state;
        static const char range[] = "bytes=0-1";
        assert_ptr_equal(range_if(range, NULL, "\"a\""), range);
        assert_ptr_equal(range_if(range, "\"a\"", "\"a\""), range);
        assert_null(range_if(range, "\"b\"", "\"a\""));
        assert_null(range_if(range, "W/\"a\"", "\"a\"")); /* strong comparison */
        assert_null(range_if(range, "Sat, 31 Jan 2026 12:34:56 GMT", "\"a\""));
        assert_null(range_if(range, "", ""));
        assert_null(range_if(NULL, NULL, "\"a\""));
}

static void test_a_tag_matches_in_a_list_and_weakly(void **state)
{
        (void)state;
        assert_true(etag_matches("\"b\"", "\"b\""));
        assert_true(etag_matches("\"a\", W/\"b\"", "\"b\""));
        assert_true(etag_is_wanted(NULL, "\"b\"") && etag_is_wanted("*", "\"b\"") && etag_is_wanted("\"a,\" , \"b\"", "\"b\""));
        assert_false(etag_is_wanted("W/\"b\"", "\"b\"")); /* strong comparison */
        assert_false(etag_is_wanted("\"a\"", "\"b\"") || etag_is_wanted("", "\"b\"") || etag_is_wanted("\"\"", ""));
        assert_true(etag_matches(" \"a\",\t\"b\" ", "\"b\""));
        assert_true(etag_matches("*", "\"b\""));
        assert_true(etag_matches(" * ", "\"b\""));
}

static void test_other_tags_and_what_is_no_list_of_tags_match_nothing(void **state)
{
        (void)state;
        static const char *const others[] = {"", " ", ",", "\"bb\"", "\"\"", "b", "\"b", "\"x,*\"", "\"x, \"b\"\"", "* x", "w/\"b\"",
                                             "W/", "\"a\", *"};
        assert_false(etag_matches(NULL, "\"b\""));
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
                assert_false(etag_matches(others[i], "\"b\""));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_single_range_lies_inside_the_object),
                cmocka_unit_test(test_a_suffix_is_counted_from_the_end),
                cmocka_unit_test(test_what_lies_outside_is_unsatisfiable),
                cmocka_unit_test(test_what_cannot_be_understood_is_ignored),
                cmocka_unit_test(test_only_a_real_part_must_wait_for_the_whole),
                cmocka_unit_test(test_a_range_of_another_version_is_void),
                cmocka_unit_test(test_a_tag_matches_in_a_list_and_weakly),
                cmocka_unit_test(test_other_tags_and_what_is_no_list_of_tags_match_nothing),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
