#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "edged/range.h"

static void part(const char *header, uint64_t len, uint64_t want_first, uint64_t want_last)
{
        uint64_t first = 0, last = 0;
        assert_int_equal(range_parse(header, len, &first, &last), RANGE_PART);
        assert_int_equal(first, want_first);
        assert_int_equal(last, want_last);
}

static void verdict(const char *header, uint64_t len, enum range_verdict want)
{
        uint64_t first, last;
        assert_int_equal(range_parse(header, len, &first, &last), want);
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
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_single_range_lies_inside_the_object),
                cmocka_unit_test(test_a_suffix_is_counted_from_the_end),
                cmocka_unit_test(test_what_lies_outside_is_unsatisfiable),
                cmocka_unit_test(test_what_cannot_be_understood_is_ignored),
                cmocka_unit_test(test_only_a_real_part_must_wait_for_the_whole),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
