/* breaker: a node that has too much to do is asked less, and comes back: soon to half of what it had, slowly beyond. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "edged/breaker.h"

#define MOST 100
#define NOW (1000 * US_PER_S)

static struct breakers bs;

static int set_up(void **state)
{
        (void)state;
        breakers_init(&bs, MOST, 7);
        return 0;
}

/* As many as it may have, from what it has on; returns how many. */
static unsigned send_all(uint64_t node, int64_t now_us)
{
        unsigned count = 0;
        for (; breaker_may(&bs, node, now_us); count++)
                breaker_sent(&bs, node, now_us);
        return count;
}

static enum breaker_change hear(uint64_t node, enum breaker_heard what, unsigned count, int64_t now_us)
{
        enum breaker_change last = BREAKER_SAME;
        while (count-- > 0) {
                enum breaker_change change = breaker_heard(&bs, node, false, what, now_us);
                last = change != BREAKER_SAME ? change : last;
        }
        return last;
}

static void test_a_node_may_have_so_many_and_each_its_own(void **state)
{
        (void)state;
        assert_int_equal(send_all(1, NOW), MOST);
        assert_int_equal(send_all(2, NOW), MOST);
        hear(1, BREAKER_GOOD, 10, NOW);
        hear(1, BREAKER_NOTHING, 10, NOW);
        assert_int_equal(send_all(1, NOW), 20);
}

static void test_one_that_says_that_it_is_full_has_half_from_then_on(void **state)
{
        (void)state;
        send_all(1, NOW);
        hear(1, BREAKER_FULL, 1, NOW);
        assert_false(breaker_may(&bs, 1, NOW));
        hear(1, BREAKER_GOOD, 49, NOW); /* and six more for these */
        hear(1, BREAKER_NOTHING, 50, NOW);
        assert_int_equal(send_all(1, NOW), MOST / 2 + 49 / BREAKER_GROWS_EACH);
}

/* One moment of too much is one: what was sent before says it again and again. */
static void test_many_answers_of_one_moment_are_one(void **state)
{
        (void)state;
        send_all(1, NOW);
        hear(1, BREAKER_FULL, 5, NOW);
        hear(1, BREAKER_GOOD, 1, NOW);
        hear(1, BREAKER_FULL, 5, NOW + BREAKER_CUT_US - 1);
        hear(1, BREAKER_NOTHING, MOST - 11, NOW);
        assert_int_equal(send_all(1, NOW), MOST / 2);
        hear(1, BREAKER_LATE, 1, NOW + BREAKER_CUT_US);
        hear(1, BREAKER_NOTHING, MOST / 2 - 1, NOW);
        assert_int_equal(send_all(1, NOW), MOST / 4);
}

static void test_it_may_have_a_few_however_often_it_is_full_and_as_many_as_before_in_the_end(void **state)
{
        int64_t now_us = NOW;
        (void)state;
        for (int i = 0; i < 20; i++, now_us += BREAKER_CUT_US) {
                unsigned sent = send_all(1, now_us);
                hear(1, BREAKER_GOOD, 1, now_us);
                hear(1, BREAKER_FULL, 1, now_us);
                hear(1, BREAKER_NOTHING, sent - 2, now_us);
        }
        assert_int_equal(send_all(1, now_us), BREAKER_LEAST);
        for (unsigned i = 0; i < MOST * BREAKER_GROWS_EACH; i++) {
                hear(1, BREAKER_GOOD, 1, now_us);
                breaker_sent(&bs, 1, now_us);
        }
        hear(1, BREAKER_NOTHING, BREAKER_LEAST, now_us);
        assert_int_equal(send_all(1, now_us), MOST);
}

static void test_one_that_only_fails_is_let_alone_and_then_asked_once(void **state)
{
        (void)state;
        send_all(1, NOW);
        assert_int_equal(hear(1, BREAKER_LATE, BREAKER_FAILURES - 1, NOW), BREAKER_SAME);
        assert_int_equal(hear(1, BREAKER_FULL, 1, NOW), BREAKER_RESTS);
        assert_int_equal(breakers_resting(&bs), 1);
        hear(1, BREAKER_LATE, MOST - BREAKER_FAILURES, NOW); /* what was sent before says nothing new */
        assert_int_equal(send_all(1, NOW + BREAKER_REST_US / 2 - 1), 0);
        assert_true(breaker_may(&bs, 1, NOW + BREAKER_REST_US));
        assert_true(breaker_sent(&bs, 1, NOW + BREAKER_REST_US));
        assert_false(breaker_may(&bs, 1, NOW + 100 * US_PER_S));
        assert_true(breaker_may(&bs, 2, NOW)); /* another one has nothing to do with it */
        assert_int_equal(breaker_heard(&bs, 1, true, BREAKER_GOOD, NOW + BREAKER_REST_US), BREAKER_ASKED_AGAIN);
        assert_int_equal(breakers_resting(&bs), 0);
        assert_int_equal(send_all(1, NOW + BREAKER_REST_US), MOST / 2);
}

static void test_one_that_fails_again_is_let_alone_for_longer_up_to_a_bound(void **state)
{
        int64_t now_us = NOW, most_us = BREAKER_REST_US;
        (void)state;
        send_all(1, now_us);
        hear(1, BREAKER_LATE, MOST, now_us);
        for (int i = 0; i < 10; i++) {
                assert_false(breaker_may(&bs, 1, now_us + most_us / 2 - 1));
                now_us += most_us;
                assert_true(breaker_may(&bs, 1, now_us));
                assert_true(breaker_sent(&bs, 1, now_us));
                assert_int_equal(breaker_heard(&bs, 1, true, BREAKER_LATE, now_us), BREAKER_SAME);
                most_us = most_us * 2 < BREAKER_REST_MAX_US ? most_us * 2 : BREAKER_REST_MAX_US;
        }
        assert_int_equal(breakers_resting(&bs), 1);
        now_us += most_us;
        assert_true(breaker_sent(&bs, 1, now_us)); /* whose connection is lost: the next one shows how it is */
        assert_int_equal(breaker_heard(&bs, 1, true, BREAKER_NOTHING, now_us), BREAKER_SAME);
        assert_true(breaker_may(&bs, 1, now_us));
}

/* Nothing is under way: how many good answers it takes until it may have `count`, all of which are then. */
static unsigned good_answers_until(unsigned count, int64_t now_us)
{
        unsigned answers = 0, sent = send_all(1, now_us);
        for (; sent < count && answers < MOST * BREAKER_GROWS_EACH; answers++) {
                hear(1, BREAKER_GOOD, 1, now_us);
                sent += send_all(1, now_us) - 1;
        }
        return answers;
}

/* All that was under way was late, and so was each one that was to show how it is: it is at the least, and had been asked 100 at a time.
 * */
static void test_one_that_stood_still_has_half_of_what_it_had_soon_and_more_slowly(void **state)
{
        int64_t now_us = NOW;
        (void)state;
        send_all(1, now_us);
        for (unsigned i = 0; i < MOST; i++, now_us += BREAKER_CUT_US / 4)
                hear(1, BREAKER_LATE, 1, now_us);
        for (int i = 0; i < 3; i++) {
                now_us += BREAKER_REST_MAX_US;
                assert_true(breaker_sent(&bs, 1, now_us));
                breaker_heard(&bs, 1, true, BREAKER_LATE, now_us);
        }
        now_us += BREAKER_REST_MAX_US;
        assert_true(breaker_sent(&bs, 1, now_us));
        assert_int_equal(breaker_heard(&bs, 1, true, BREAKER_GOOD, now_us), BREAKER_ASKED_AGAIN);
        assert_in_range(good_answers_until(MOST / 2, now_us), MOST / 2 - BREAKER_LEAST - 2, MOST / 2 - BREAKER_LEAST);
        hear(1, BREAKER_NOTHING, MOST / 2, now_us);
        assert_in_range(good_answers_until(MOST / 2 + 10, now_us), 9 * BREAKER_GROWS_EACH, 11 * BREAKER_GROWS_EACH);
}

/* What was sent before it stood still may be answered while it is let alone. */
static void test_an_answer_during_the_rest_does_not_lower_what_it_has_soon(void **state)
{
        (void)state;
        send_all(1, NOW);
        hear(1, BREAKER_LATE, BREAKER_FAILURES, NOW);
        hear(1, BREAKER_LATE, MOST - BREAKER_FAILURES - 2, NOW + BREAKER_CUT_US);
        hear(1, BREAKER_GOOD, 1, NOW + BREAKER_CUT_US);
        hear(1, BREAKER_LATE, 1, NOW + 3 * BREAKER_CUT_US);
        assert_true(breaker_sent(&bs, 1, NOW + 4 * BREAKER_CUT_US));
        breaker_heard(&bs, 1, true, BREAKER_GOOD, NOW + 4 * BREAKER_CUT_US);
        assert_in_range(good_answers_until(MOST / 2, NOW + 4 * BREAKER_CUT_US), 1, MOST / 2);
}

/* Beyond what it can do it is cut as ever: what was soon before is not soon again. */
static void test_one_that_is_full_again_on_its_way_back_has_half_of_that(void **state)
{
        int64_t now_us = NOW;
        (void)state;
        send_all(1, now_us);
        for (unsigned i = 0; i < MOST; i++, now_us += BREAKER_CUT_US)
                hear(1, BREAKER_FULL, 1, now_us);
        now_us += BREAKER_REST_MAX_US;
        assert_true(breaker_sent(&bs, 1, now_us));
        breaker_heard(&bs, 1, true, BREAKER_GOOD, now_us);
        good_answers_until(20, now_us);
        hear(1, BREAKER_FULL, 1, now_us);
        hear(1, BREAKER_NOTHING, 19, now_us);
        assert_in_range(good_answers_until(20, now_us), 8 * BREAKER_GROWS_EACH, 12 * BREAKER_GROWS_EACH);
}

static void test_a_good_answer_between_them_is_no_row_of_failures(void **state)
{
        (void)state;
        send_all(1, NOW);
        for (int i = 0; i < 10; i++) {
                assert_int_equal(hear(1, BREAKER_FULL, BREAKER_FAILURES - 1, NOW), BREAKER_SAME);
                hear(1, BREAKER_GOOD, 1, NOW);
        }
        assert_int_equal(breakers_resting(&bs), 0);
}

static void test_more_nodes_than_there_are_places_forget_those_not_asked_for_longest(void **state)
{
        (void)state;
        for (uint64_t node = 1; node <= 3 * BREAKER_NODES_MAX; node++) {
                assert_false(breaker_sent(&bs, node, NOW + (int64_t)node));
                if (node > 2)
                        breaker_heard(&bs, node, false, BREAKER_GOOD, NOW);
        }
        assert_int_equal(send_all(1, NOW), MOST - 1); /* something of these is under way */
        assert_int_equal(send_all(2, NOW), MOST - 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_a_node_may_have_so_many_and_each_its_own, set_up),
                cmocka_unit_test_setup(test_one_that_says_that_it_is_full_has_half_from_then_on, set_up),
                cmocka_unit_test_setup(test_many_answers_of_one_moment_are_one, set_up),
                cmocka_unit_test_setup(test_it_may_have_a_few_however_often_it_is_full_and_as_many_as_before_in_the_end, set_up),
                cmocka_unit_test_setup(test_one_that_only_fails_is_let_alone_and_then_asked_once, set_up),
                cmocka_unit_test_setup(test_one_that_fails_again_is_let_alone_for_longer_up_to_a_bound, set_up),
                cmocka_unit_test_setup(test_one_that_stood_still_has_half_of_what_it_had_soon_and_more_slowly, set_up),
                cmocka_unit_test_setup(test_an_answer_during_the_rest_does_not_lower_what_it_has_soon, set_up),
                cmocka_unit_test_setup(test_one_that_is_full_again_on_its_way_back_has_half_of_that, set_up),
                cmocka_unit_test_setup(test_a_good_answer_between_them_is_no_row_of_failures, set_up),
                cmocka_unit_test_setup(test_more_nodes_than_there_are_places_forget_those_not_asked_for_longest, set_up),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
