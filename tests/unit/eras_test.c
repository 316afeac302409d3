#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "originD/eras.h"

static void test_a_place_belongs_to_the_last_era_that_began_before(void **state)
{
        (void)state;
        struct eras e = {0};
        assert_null(eras_at(&e, 7));
        eras_begin(&e, 5, 1, "t1");
        eras_begin(&e, 20, 2, "t2");
        assert_null(eras_at(&e, 4));
        assert_int_equal(eras_at(&e, 5)->generation, 1);
        assert_int_equal(eras_at(&e, 19)->generation, 1);
        assert_int_equal(eras_at(&e, 20)->generation, 2);
        eras_free(&e);
}

static void test_an_era_that_got_no_chunk_makes_way(void **state)
{
        (void)state;
        struct eras e = {0};
        eras_begin(&e, 0, 1, "t1");
        eras_begin(&e, 10, 2, "t2");
        eras_begin(&e, 10, 3, "t3");
        assert_int_equal(e.count, 2);
        assert_int_equal(eras_at(&e, 10)->generation, 3);
        eras_begin(&e, 5, 1, "t1"); /* the same goes on: no boundary */
        assert_int_equal(e.count, 1);
        eras_free(&e);
}

static void test_a_part_of_another_history_can_be_taken_over(void **state)
{
        (void)state;
        struct eras a = {0}, b = {0};
        eras_begin(&a, 0, 1, "t1");
        eras_begin(&a, 40, 3, "t3");
        eras_begin(&b, 0, 1, "t1");
        eras_begin(&b, 10, 2, "t2");
        eras_begin(&b, 25, 4, "t4");
        eras_take(&a, &b, 20, 30);
        static const unsigned is[][2] = {{0, 1}, {19, 1}, {20, 2}, {24, 2}, {25, 4}, {29, 4}, {30, 1}, {39, 1}, {40, 3}};
        for (size_t i = 0; i < sizeof(is) / sizeof(is[0]); i++)
                assert_int_equal(eras_at(&a, is[i][0])->generation, is[i][1]);
        assert_int_equal(a.count, 5);
        eras_take(&a, &b, 0, 100);
        assert_int_equal(eras_at(&a, 99)->generation, 4);
        assert_int_equal(eras_at(&a, 100)->generation, 3);
        assert_int_equal(a.count, 4);
        eras_free(&a);
        eras_free(&b);
}

static void test_copies_part_where_the_first_different_writer_wrote(void **state)
{
        (void)state;
        struct eras a = {0}, b = {0};
        uint64_t place = 0;
        eras_begin(&a, 0, 1, "t1");
        eras_begin(&b, 0, 1, "t1");
        eras_begin(&b, 50, 2, "t2");
        assert_false(eras_part(&a, &b, 50, &place)); /* a ends before */
        assert_true(eras_part(&a, &b, 51, &place));
        assert_int_equal(place, 50);
        assert_true(eras_older(eras_at(&a, 50), eras_at(&b, 50)) < 0);
        eras_begin(&a, 50, 2, "t3");
        assert_true(eras_part(&a, &b, 51, &place));
        assert_int_equal(eras_older(eras_at(&a, 50), eras_at(&b, 50)), 0);
        eras_free(&a);
        eras_free(&b);
}

static void test_a_copy_without_the_beginning_parts_at_the_beginning(void **state)
{
        (void)state;
        struct eras a = {0}, b = {0};
        uint64_t place = 0;
        eras_begin(&a, 40, 1, "t1");
        eras_begin(&b, 0, 1, "t1");
        assert_true(eras_part(&a, &b, 60, &place));
        assert_int_equal(place, 0);
        assert_true(eras_older(eras_at(&a, 0), eras_at(&b, 0)) < 0);
        eras_free(&a);
        eras_free(&b);
}

static void test_adopting_takes_the_others_eras_from_a_place_on(void **state)
{
        (void)state;
        struct eras a = {0}, b = {0};
        uint64_t place;
        eras_begin(&a, 0, 1, "t1");
        eras_begin(&a, 30, 4, "t4");
        eras_begin(&b, 0, 1, "t1");
        eras_begin(&b, 10, 2, "t2");
        eras_begin(&b, 25, 3, "t3");
        eras_adopt(&a, &b, 20);
        assert_int_equal(eras_at(&a, 19)->generation, 1);
        assert_int_equal(eras_at(&a, 20)->generation, 2);
        assert_int_equal(eras_at(&a, 100)->generation, 3);
        eras_adopt(&a, &b, 0);
        assert_false(eras_part(&a, &b, 1000, &place));
        eras_free(&a);
        eras_free(&b);
}

static void test_a_long_history_merges_its_oldest_and_does_not_compare_them(void **state)
{
        (void)state;
        struct eras a = {0}, b = {0};
        uint64_t place;
        for (uint32_t g = 1; g <= ERAS_MAX + 10; g++) {
                char node[8];
                snprintf(node, sizeof(node), "t%u", g);
                eras_begin(&a, g * 10, g, node);
                if (g > 5)
                        eras_begin(&b, g * 10, g, node);
        }
        assert_int_equal(a.count, ERAS_MAX);
        assert_int_equal(a.list[0].place, 10);
        assert_false(eras_part(&a, &b, 10000, &place));
        eras_free(&a);
        eras_free(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_place_belongs_to_the_last_era_that_began_before),
                cmocka_unit_test(test_an_era_that_got_no_chunk_makes_way),
                cmocka_unit_test(test_a_part_of_another_history_can_be_taken_over),
                cmocka_unit_test(test_copies_part_where_the_first_different_writer_wrote),
                cmocka_unit_test(test_a_copy_without_the_beginning_parts_at_the_beginning),
                cmocka_unit_test(test_adopting_takes_the_others_eras_from_a_place_on),
                cmocka_unit_test(test_a_long_history_merges_its_oldest_and_does_not_compare_them),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
