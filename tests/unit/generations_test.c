/* generations: the highest of each stream is remembered, of the streams heard of last. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "ingestd/generations.h"
#include "ingestd/stats.h"

static struct generations g;

static int set_up(void **state)
{
        (void)state;
        g.count = 0;
        g.uses = 0;
        return 0;
}

static void test_the_highest_counts(void **state)
{
        (void)state;
        assert_int_equal(generations_get(&g, "cam"), 0);
        generations_note(&g, "cam", "t1", 5);
        generations_note(&g, "cam", "t1", 3);
        generations_note(&g, "cam2", "t1", 1u << 30);
        int64_t before = stats_get(STAT_IMPOSSIBLE_GENERATIONS);
        assert_false(generations_note(&g, "cam2", "t1", UINT32_MAX)); /* nobody can have been given that */
        assert_int_equal(stats_get(STAT_IMPOSSIBLE_GENERATIONS) - before, 1);
        assert_int_equal(generations_get(&g, "cam"), 5);
        assert_int_equal(generations_get(&g, "cam2"), 1u << 30);
        assert_true(generations_note(&g, "cam", "t1", 6));
        assert_int_equal(generations_get(&g, "cam"), 6);
        assert_int_equal(g.count, 2);
}

static void test_the_stream_not_heard_of_for_longest_is_forgotten(void **state)
{
        (void)state;
        char name[32];
        for (int i = 0; i < GENERATIONS_MAX; i++) {
                snprintf(name, sizeof(name), "cam%d", i);
                generations_note(&g, name, "t1", 7);
        }
        generations_note(&g, "cam0", "t1", 1);
        generations_note(&g, "new", "t1", 2);
        assert_int_equal(g.count, GENERATIONS_MAX);
        assert_int_equal(generations_get(&g, "cam0"), 7);
        assert_int_equal(generations_get(&g, "cam1"), 0);
        assert_int_equal(generations_get(&g, "new"), 2);
        generations_note(&g, "cam1", "t1", 3); /* what is known of another is not its */
        assert_int_equal(generations_get(&g, "cam1"), 3);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_the_highest_counts, set_up),
                cmocka_unit_test_setup(test_the_stream_not_heard_of_for_longest_is_forgotten, set_up),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
