#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/parts.h"

static uint8_t bytes[4096];
static size_t len;

static size_t read_few(void *arg, uint64_t pos, void *dst, size_t max)
{
        size_t n = max < 3 ? max : 3; /* pieces of an object end anywhere */
        (void)arg;
        memcpy(dst, bytes + pos, n);
        return n;
}

static void box(const char *type, size_t body)
{
        size_t size = body + 8;
        bytes[len] = bytes[len + 1] = 0;
        bytes[len + 2] = (uint8_t)(size >> 8);
        bytes[len + 3] = (uint8_t)size;
        memcpy(bytes + len + 4, type, 4);
        memset(bytes + len + 8, 'm', body); /* what stands in a box is no box */
        len += size;
}

static size_t chunk(size_t body)
{
        box("moof", 60);
        box("mdat", body);
        return len;
}

static unsigned chunks = 2;

static enum part_state find(size_t have, bool complete, unsigned number, uint64_t *from, uint64_t *n)
{
        struct parts_of p = {.read = read_few, .len_bytes = have, .complete = complete, .chunks = chunks};
        return parts_find(&p, number, from, n);
}

static void test_a_part_is_two_chunks_and_the_last_one_is_what_is_left(void **state)
{
        (void)state;
        uint64_t from, n;
        len = 0;
        box("styp", 16);
        box("prft", 24);
        chunk(100);
        size_t one = chunk(50);
        chunk(300);
        size_t two = chunk(20), all = chunk(7);
        assert_int_equal(find(all, true, 0, &from, &n), PART_HERE);
        assert_true(from == 0 && n == one); /* what the segment begins with is the first one's */
        assert_int_equal(find(all, true, 1, &from, &n), PART_HERE);
        assert_true(from == one && n == two - one);
        assert_int_equal(find(all, true, 2, &from, &n), PART_HERE);
        assert_true(from == two && n == all - two);
        assert_int_equal(find(all, true, 3, &from, &n), PART_NONE);
        assert_int_equal(find(two, true, 2, &from, &n), PART_NONE);
}

static void test_a_part_is_there_when_its_last_byte_is(void **state)
{
        (void)state;
        uint64_t from, n;
        len = 0;
        chunk(100);
        size_t one = chunk(50), half = chunk(9);
        for (size_t have = 0; have < one; have++)
                assert_int_equal(find(have, false, 0, &from, &n), PART_NOT_YET);
        for (size_t have = one; have <= half; have++) {
                assert_int_equal(find(have, false, 0, &from, &n), PART_HERE);
                assert_true(from == 0 && n == one);
                assert_int_equal(find(have, false, 1, &from, &n), PART_NOT_YET);
        }
        assert_int_equal(find(half, true, 1, &from, &n), PART_HERE); /* the segment ended with it */
        assert_true(from == one && n == half - one);
}

static void test_a_part_may_be_one_chunk(void **state)
{
        (void)state;
        uint64_t from, n;
        len = 0;
        box("styp", 16);
        size_t one = chunk(100), two = chunk(50);
        chunks = 1;
        assert_int_equal(find(two, false, 0, &from, &n), PART_HERE);
        assert_true(from == 0 && n == one);
        assert_int_equal(find(two, false, 1, &from, &n), PART_HERE);
        assert_true(from == one && n == two - one);
        assert_int_equal(find(two, false, 2, &from, &n), PART_NOT_YET);
        assert_int_equal(find(two, true, 2, &from, &n), PART_NONE);
        chunks = 2;
}

static void test_of_parts_of_three_chunks_the_last_one_has_two(void **state)
{
        (void)state;
        uint64_t from, n;
        len = 0;
        chunk(100);
        chunk(50);
        size_t one = chunk(9);
        chunk(20);
        size_t all = chunk(7);
        chunks = 3;
        assert_int_equal(find(all, false, 0, &from, &n), PART_HERE);
        assert_true(from == 0 && n == one);
        assert_int_equal(find(all, false, 1, &from, &n), PART_NOT_YET);
        assert_int_equal(find(all, true, 1, &from, &n), PART_HERE);
        assert_true(from == one && n == all - one);
        assert_int_equal(find(all, true, 2, &from, &n), PART_NONE);
        chunks = 2;
}

static void test_a_part_s_name_says_which_one_of_how_many_chunks_it_is(void **state)
{
        (void)state;
        char name[PART_NAME_MAX], path[64];
        unsigned number, of;
        for (unsigned n = 0; n < PARTS_OF_SEGMENT; n++)
                for (unsigned k = 1; k <= PART_CHUNKS_MAX; k++) {
                        parts_write_name(name, 4294967295u, n, k);
                        snprintf(path, sizeof(path), "/a.b/%s", name);
                        assert_true(parts_take_name(path, &number, &of));
                        assert_true(number == n && of == k);
                        assert_string_equal(path, "/a.b/4294967295.m4s");
                }
        static const char *const none[] = {"17.1.m4s", "/17.m4s", "/17.5.m4s", "/17.1x1.m4s", "/17.1x7.m4s", "/17.1x.m4s", "/17.1x22.m4s", "/17.1x2m4s",
                                           "/17.12.m4s", "/17..m4s", "/17.1.mp4", "/17.1", "/"};
        for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
                strcpy(path, none[i]);
                assert_false(parts_take_name(path, &number, &of));
                assert_string_equal(path, none[i]);
        }
}

static void test_what_is_no_box_ends_the_walk(void **state)
{
        (void)state;
        uint64_t from, n;
        len = 0;
        chunk(10);
        memset(bytes + len, 0, 64); /* a size of 0 */
        assert_int_equal(find(len + 64, false, 0, &from, &n), PART_NOT_YET);
        memset(bytes + len, 0xff, 64); /* far beyond the end */
        assert_int_equal(find(len + 64, false, 0, &from, &n), PART_NOT_YET);
        assert_int_equal(find(len + 64, true, 0, &from, &n), PART_HERE);
        assert_true(from == 0 && n == len + 64);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_part_is_two_chunks_and_the_last_one_is_what_is_left),
                cmocka_unit_test(test_a_part_is_there_when_its_last_byte_is),
                cmocka_unit_test(test_a_part_may_be_one_chunk),
                cmocka_unit_test(test_of_parts_of_three_chunks_the_last_one_has_two),
                cmocka_unit_test(test_a_part_s_name_says_which_one_of_how_many_chunks_it_is),
                cmocka_unit_test(test_what_is_no_box_ends_the_walk),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
