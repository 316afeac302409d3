#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "originD/column.h"

#define MANY 5000

static uint64_t numbers[MANY];

static void holds(uint64_t (*make)(size_t i), size_t bytes_at_most)
{
        struct column c = {.count = 0};
        for (size_t i = 0; i < MANY; i++) {
                uint64_t now;
                numbers[i] = make(i);
                column_add(&c, numbers[i]);
                column_read(&c, i, 1, &now);
                assert_true(now == numbers[i]);
        }
        column_fit(&c);
        for (size_t from = 0; from < MANY; from += 37)
                for (size_t count = 1; count < 300 && from + count <= MANY; count += 71) {
                        uint64_t out[300];
                        column_read(&c, from, count, out);
                        assert_memory_equal(out, numbers + from, count * sizeof(out[0]));
                }
        assert_true(column_bytes(&c) <= bytes_at_most);
        column_free(&c);
        assert_int_equal(c.count, 0);
}

static uint64_t same(size_t i)
{
        (void)i;
        return UINT64_MAX;
}

static uint64_t small(size_t i)
{
        return 300 + i * 7919 % 200;
}

static uint64_t rising(size_t i)
{
        return UINT64_C(1) << 40 | i * 100000;
}

static uint64_t wild(size_t i)
{
        return (uint64_t)i * UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t each_width(size_t i)
{
        return i % COLUMN_BLOCK == 77 ? UINT64_MAX >> (i / COLUMN_BLOCK % 64) : 0;
}

static void test_what_was_added_is_read_from_any_place(void **state)
{
        (void)state;
        holds(wild, SIZE_MAX);
        holds(each_width, SIZE_MAX);
}

static void test_numbers_that_are_alike_take_little(void **state)
{
        (void)state;
        holds(same, 2048);
        holds(small, MANY * 2);
        holds(rising, MANY * 5);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_was_added_is_read_from_any_place),
                cmocka_unit_test(test_numbers_that_are_alike_take_little),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
