#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "originD/askers.h"

#define ONE 8 /* that one asker may have waiting */

static struct askers a;

static int setup(void **state)
{
        (void)state;
        askers_init(&a, ONE);
        return 0;
}

static int teardown(void **state)
{
        (void)state;
        assert_int_equal(a.count, 0); /* each test leaves with all it had */
        assert_int_equal(a.waiting, 0);
        assert_null(a.kinds[READ_OLD].next);
        return 0;
}

static void leave_all(struct asking *q, size_t n)
{
        for (size_t i = 0; i < n; i++)
                askers_leave(&a, &q[i]);
}

static void test_one_asker_may_have_so_many_waiting_and_others_do_not_notice(void **state)
{
        (void)state;
        struct asking greedy[ONE + 1] = {0}, other = {0};
        for (size_t i = 0; i < ONE; i++)
                assert_true(askers_wait(&a, &greedy[i], 1));
        assert_false(askers_wait(&a, &greedy[ONE], 1));
        assert_null(greedy[ONE].asker);
        assert_true(askers_wait(&a, &other, 2));
        askers_leave(&a, &greedy[0]);
        assert_true(askers_wait(&a, &greedy[ONE], 1));
        leave_all(greedy, ONE + 1);
        askers_leave(&a, &other);
}

static void test_a_turn_that_is_given_back_is_the_next_ones_and_another_may_be_had(void **state)
{
        (void)state;
        struct asking q[READS_OF_ONE + 1] = {0};
        for (size_t i = 0; i <= READS_OF_ONE; i++) {
                assert_true(askers_wait(&a, &q[i], 1));
                assert_int_equal(askers_read(&a, &q[i], READ_OLD), i < READS_OF_ONE);
        }
        askers_no_wait(&a, &q[0]);
        assert_null(askers_next(&a, READ_OLD));
        askers_yield(&a, &q[0]);
        askers_yield(&a, &q[0]);
        assert_null(q[0].asker); /* it has nothing any more */
        assert_ptr_equal(askers_next(&a, READ_OLD), &q[READS_OF_ONE]);
        askers_yield(&a, &q[1]); /* it waits on */
        assert_non_null(q[1].asker);
        assert_true(askers_wait(&a, &q[0], 1));
        assert_true(askers_read(&a, &q[0], READ_OLD));
        leave_all(q, READS_OF_ONE + 1);
}

static void test_when_all_places_are_taken_a_newcomer_still_gets_its_even_share(void **state)
{
        (void)state;
        struct asking q[ASKERS_WAITS_FACTOR][ONE] = {0}, newcomer[ONE] = {0};
        for (size_t x = 0; x < ASKERS_WAITS_FACTOR; x++)
                for (size_t i = 0; i < ONE; i++)
                        assert_true(askers_wait(&a, &q[x][i], x));
        size_t got = 0;
        while (got < ONE && askers_wait(&a, &newcomer[got], 99))
                got++;
        assert_int_equal(got, ONE * ASKERS_WAITS_FACTOR / (ASKERS_WAITS_FACTOR + 1));
        askers_leave(&a, &q[0][0]);
        assert_false(askers_wait(&a, &q[0][0], 0)); /* who has more than that gives way */
        leave_all(&q[0][0], ASKERS_WAITS_FACTOR * ONE);
        leave_all(newcomer, ONE);
}

static struct asking *read_of(struct asking *q, uint64_t id)
{
        assert_true(askers_wait(&a, q, id));
        askers_read(&a, q, READ_OLD);
        return q;
}

static void test_one_asker_leaves_a_turn_to_the_others(void **state)
{
        (void)state;
        struct asking mine[5] = {0}, other = {0};
        for (size_t i = 0; i < 5; i++)
                read_of(&mine[i], 1);
        assert_int_equal(mine[READS_OF_ONE - 1].state, ASKING_READS);
        assert_int_equal(mine[READS_OF_ONE].state, ASKING_IN_LINE);
        assert_int_equal(read_of(&other, 2)->state, ASKING_READS);
        assert_null(askers_next(&a, READ_OLD));
        leave_all(mine, 5);
        askers_leave(&a, &other);
}

static void test_lines_have_their_turns_round_robin_whatever_their_length(void **state)
{
        (void)state;
        struct asking first[READS_AT_ONCE] = {0}, many[6] = {0}, few[2] = {0};
        for (size_t i = 0; i < READS_AT_ONCE; i++)
                read_of(&first[i], 100 + i);
        for (size_t i = 0; i < 6; i++)
                read_of(&many[i], 1);
        for (size_t i = 0; i < 2; i++)
                read_of(&few[i], 2);
        assert_null(askers_next(&a, READ_OLD)); /* no turn is free */
        struct asking *expected[] = {&many[0], &few[0], &many[1], &few[1], &many[2], &many[3]};
        struct asking *over[] = {&first[0], &first[1], &first[2], &first[3], &many[0], &many[1]};
        for (size_t i = 0; i < 6; i++) {
                askers_leave(&a, over[i]);
                assert_ptr_equal(askers_next(&a, READ_OLD), expected[i]);
        }
        leave_all(first, READS_AT_ONCE);
        leave_all(many, 6);
        leave_all(few, 2);
}

static void test_kinds_do_not_wait_for_each_other(void **state)
{
        (void)state;
        struct asking old[READS_AT_ONCE] = {0}, live = {0};
        for (size_t i = 0; i < READS_AT_ONCE; i++)
                read_of(&old[i], i);
        assert_true(askers_wait(&a, &live, 0));
        assert_true(askers_read(&a, &live, READ_LIVE));
        leave_all(old, READS_AT_ONCE);
        askers_leave(&a, &live);
}

static void test_who_leaves_its_line_or_its_turn_is_passed_over(void **state)
{
        (void)state;
        struct asking q[READS_OF_ONE + 3] = {0};
        for (size_t i = 0; i < READS_OF_ONE + 3; i++)
                read_of(&q[i], 1);
        askers_leave(&a, &q[READS_OF_ONE + 1]); /* in the middle */
        askers_leave(&a, &q[READS_OF_ONE + 1]); /* twice is harmless */
        askers_leave(&a, &q[0]);
        assert_ptr_equal(askers_next(&a, READ_OLD), &q[READS_OF_ONE]);
        askers_leave(&a, &q[1]);
        assert_ptr_equal(askers_next(&a, READ_OLD), &q[READS_OF_ONE + 2]);
        leave_all(q, READS_OF_ONE + 3);
}

static void test_a_turn_outlasts_a_wait(void **state)
{
        (void)state;
        struct asking q = {0};
        read_of(&q, 1);
        askers_no_wait(&a, &q);
        assert_int_equal(q.state, ASKING_READS);
        assert_int_equal(a.waiting, 0);
        assert_true(askers_wait(&a, &q, 1)); /* for what it reads to be loaded */
        askers_leave(&a, &q);
}

static void test_who_has_not_taken_what_was_read_for_it_reads_no_more(void **state)
{
        (void)state;
        struct asking slow[2] = {0}, other = {0};
        askers_keep(&a, read_of(&slow[0], 1), READ_BYTES_OF_ONE);
        assert_int_equal(read_of(&slow[1], 1)->state, ASKING_IN_LINE);
        assert_int_equal(read_of(&other, 2)->state, ASKING_READS);
        assert_null(askers_next(&a, READ_OLD));
        askers_leave(&a, &slow[0]);
        assert_ptr_equal(askers_next(&a, READ_OLD), &slow[1]);
        askers_leave(&a, &slow[1]);
        askers_leave(&a, &other);
        assert_int_equal(a.bytes, 0);
}

static void test_all_that_is_not_taken_is_bounded_too(void **state)
{
        (void)state;
        struct asking slow[READ_BYTES_MAX / READ_BYTES_OF_ONE] = {0}, other = {0};
        size_t n = sizeof(slow) / sizeof(slow[0]);
        for (size_t i = 0; i < n; i++)
                askers_keep(&a, read_of(&slow[i], i), READ_BYTES_OF_ONE);
        assert_int_equal(read_of(&other, 99)->state, ASKING_IN_LINE);
        leave_all(slow, n);
        assert_ptr_equal(askers_next(&a, READ_OLD), &other);
        askers_leave(&a, &other);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_one_asker_may_have_so_many_waiting_and_others_do_not_notice),
                CASE(test_a_turn_that_is_given_back_is_the_next_ones_and_another_may_be_had),
                CASE(test_when_all_places_are_taken_a_newcomer_still_gets_its_even_share),
                CASE(test_one_asker_leaves_a_turn_to_the_others),
                CASE(test_lines_have_their_turns_round_robin_whatever_their_length),
                CASE(test_kinds_do_not_wait_for_each_other),
                CASE(test_who_leaves_its_line_or_its_turn_is_passed_over),
                CASE(test_a_turn_outlasts_a_wait),
                CASE(test_who_has_not_taken_what_was_read_for_it_reads_no_more),
                CASE(test_all_that_is_not_taken_is_bounded_too),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
