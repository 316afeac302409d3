/* walk: each transcoder of the ring once a round, and longer and longer between rounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "ingestd/walk.h"

static void ring(struct transcoder_candidate *found, size_t count)
{
        for (size_t i = 0; i < count; i++)
                snprintf(found[i].address, sizeof(found[i].address), "node-%zu:1", i);
}

static void test_a_round_goes_along_the_ring_and_to_each_once(void **state)
{
        (void)state;
        struct walk w = {0};
        struct transcoder_candidate found[3] = {0};
        ring(found, 3);
        for (int round = 0; round < 2; round++) {
                for (int i = 0; i < 3; i++) {
                        const struct transcoder_candidate *next = walk_next(&w, found, 3);
                        assert_ptr_equal(next, &found[i]);
                        walk_note(&w, next->address);
                }
                assert_null(walk_next(&w, found, 3));
                walk_begin(&w);
        }
}

static void test_one_that_came_meanwhile_is_found_and_one_that_moved_is_not_asked_again(void **state)
{
        (void)state;
        struct walk w = {0};
        struct transcoder_candidate found[3] = {0};
        ring(found, 3);
        walk_note(&w, "node-0:1");
        walk_note(&w, "node-1:1");
        struct transcoder_candidate later[] = {found[1], found[2], found[0]};
        assert_ptr_equal(walk_next(&w, later, 3), &later[1]);
}

static void test_a_note_of_one_that_was_tried_or_of_too_many_changes_nothing(void **state)
{
        (void)state;
        struct walk w = {0};
        char address[64];
        for (int i = 0; i < TRANSCODER_CANDIDATES + 3; i++) {
                snprintf(address, sizeof(address), "node-%d:1", i);
                walk_note(&w, address);
                walk_note(&w, address);
        }
        assert_int_equal(w.tried_count, TRANSCODER_CANDIDATES);
        assert_string_equal(w.tried[TRANSCODER_CANDIDATES - 1], "node-15:1");
}

static void test_a_shadow_does_not_go_to_its_leader(void **state)
{
        (void)state;
        struct transcoder_candidate found[3] = {0};
        ring(found, 3);
        assert_int_equal(walk_without(found, 3, "node-1:1"), 2);
        assert_string_equal(found[0].address, "node-0:1");
        assert_string_equal(found[1].address, "node-2:1");
        assert_int_equal(walk_without(found, 2, "elsewhere:1"), 2);
        assert_int_equal(walk_without(found, 0, "node-0:1"), 0);
}

/* Of each round the longest wait there is: chance is one less than any multiple of them. */
static void test_waits_double_up_to_two_seconds_and_are_never_nothing(void **state)
{
        (void)state;
        static const unsigned most_ms[] = {100, 200, 400, 800, 1600, 2000, 2000};
        const unsigned longest = 2000 * 1600 - 1;
        struct walk w = {0};
        walk_note(&w, "node-0:1");
        for (unsigned i = 0; i < sizeof(most_ms) / sizeof(most_ms[0]); i++) {
                assert_int_equal(walk_wait_ms(&w, 0), 1);
                assert_int_equal(walk_again(&w, longest), most_ms[i]);
                assert_int_equal(w.tried_count, 0);
        }
        w.rounds = UINT_MAX;
        assert_int_equal(walk_wait_ms(&w, longest), 2000);
        walk_reset(&w);
        assert_int_equal(walk_wait_ms(&w, longest), 100);
}

static void test_a_new_round_does_not_forget_how_many_were_in_vain(void **state)
{
        (void)state;
        struct walk w = {0};
        walk_again(&w, 0);
        walk_note(&w, "node-0:1");
        walk_begin(&w);
        assert_int_equal(w.rounds, 1);
        assert_int_equal(w.tried_count, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_round_goes_along_the_ring_and_to_each_once),
                cmocka_unit_test(test_one_that_came_meanwhile_is_found_and_one_that_moved_is_not_asked_again),
                cmocka_unit_test(test_a_note_of_one_that_was_tried_or_of_too_many_changes_nothing),
                cmocka_unit_test(test_a_shadow_does_not_go_to_its_leader),
                cmocka_unit_test(test_waits_double_up_to_two_seconds_and_are_never_nothing),
                cmocka_unit_test(test_a_new_round_does_not_forget_how_many_were_in_vain),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
