/* acknowledged: which frames a transcoder has taken, by its answers, in whatever order they come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "ingestd/acknowledged.h"

#define HEAD 1000 /* the replay's, when the handle was opened */

static struct acknowledgement k;

static struct acknowledged opened(void)
{
        struct acknowledged a;
        memset(&a, 0x55, sizeof(a));
        acknowledged_begin(&a, HEAD);
        return a;
}

static enum acknowledged_verdict answer(struct acknowledged *a, uint64_t next_seq, uint64_t end)
{
        return acknowledged_read(a, next_seq, HEAD + end, HEAD, &k);
}

static void test_what_is_taken_is_acknowledged(void **state)
{
        (void)state;
        struct acknowledged a = opened();
        assert_int_equal(acknowledged_seq(&a), 0);
        acknowledged_send(&a, 10, 1);
        assert_int_equal(acknowledged_seq(&a), 10);
        assert_int_equal(acknowledged_room(&a), BATCH_FRAMES_MAX - 10);
        assert_int_equal(answer(&a, 10, 10), ACK_TAKEN);
        assert_true(k.more && !k.stuck && k.again == 0);
        assert_int_equal(a.taken, HEAD + 10);
        assert_false(acknowledged_stranded(&a, 0));
        assert_int_equal(acknowledged_room(&a), BATCH_FRAMES_MAX);
}

static void test_what_is_not_taken_is_sent_again_once_all_is_answered(void **state)
{
        (void)state;
        struct acknowledged a = opened();
        acknowledged_send(&a, 10, 1);
        acknowledged_send(&a, 5, 2);
        assert_int_equal(answer(&a, 4, 10), ACK_TAKEN);
        assert_true(k.more && !k.stuck && k.again == 6);
        assert_false(acknowledged_stranded(&a, 1)); /* the other batch may still be taken */
        assert_int_equal(acknowledged_next_us(&a, 1), INT64_MAX);
        assert_int_equal(answer(&a, 4, 15), ACK_TAKEN);
        assert_true(!k.more && k.stuck && k.again == 11);
        assert_true(acknowledged_stranded(&a, 0));
        acknowledged_ground(&a);
        assert_int_equal(acknowledged_seq(&a), 4);
        acknowledged_send(&a, 11, 3);
        assert_int_equal(answer(&a, 15, 15), ACK_TAKEN);
        assert_false(acknowledged_stranded(&a, 0));
}

static void test_what_is_taken_back_and_taken_again_is_no_progress(void **state)
{
        (void)state;
        struct acknowledged a = opened();
        acknowledged_send(&a, 10, 1);
        assert_int_equal(answer(&a, 10, 10), ACK_TAKEN);
        assert_true(k.more);
        for (int i = 0; i < 3; i++) {
                acknowledged_send(&a, 1, 2);
                assert_int_equal(answer(&a, 4, 11), ACK_TAKEN);
                assert_false(k.more);
                acknowledged_ground(&a);
                acknowledged_send(&a, 7, 3);
                assert_int_equal(answer(&a, 10, 11), ACK_TAKEN);
                assert_false(k.more);
                acknowledged_ground(&a);
        }
        acknowledged_send(&a, 1, 4);
        assert_int_equal(answer(&a, 11, 11), ACK_TAKEN);
        assert_true(k.more);
}

static void test_an_answer_that_was_overtaken_takes_nothing_back(void **state)
{
        (void)state;
        struct acknowledged a = opened();
        acknowledged_send(&a, 10, 1);
        acknowledged_send(&a, 10, 2);
        assert_int_equal(answer(&a, 20, 20), ACK_TAKEN);
        assert_int_equal(answer(&a, 10, 10), ACK_OVERTAKEN);
        assert_int_equal(a.taken, HEAD + 20);
}

static void test_frames_that_are_gone_cannot_be_wanted_and_such_as_were_not_sent_not_taken(void **state)
{
        (void)state;
        struct acknowledged a = opened();
        acknowledged_send(&a, 10, 1);
        assert_int_equal(answer(&a, 10, 10), ACK_TAKEN);
        acknowledged_send(&a, 10, 1);
        assert_int_equal(acknowledged_read(&a, 10, HEAD + 20, HEAD + 11, &k), ACK_GONE);
        assert_int_equal(a.taken, HEAD + 10);
        assert_true(acknowledged_possible(&a, 20));
        assert_false(acknowledged_possible(&a, 21));
        acknowledged_ground(&a);
        assert_true(acknowledged_possible(&a, 20)); /* what was sent before may have come through after all */
}

/* Taken later than we gave it up: what is sent next begins there. */
static void test_more_is_taken_than_was_sent_since_it_was_grounded(void **state)
{
        (void)state;
        struct acknowledged a = opened();
        acknowledged_send(&a, 10, 1);
        acknowledged_ground(&a);
        acknowledged_send(&a, 2, 2);
        assert_int_equal(answer(&a, 10, 2), ACK_TAKEN);
        assert_true(acknowledged_stranded(&a, 0));
        acknowledged_ground(&a);
        assert_int_equal(acknowledged_seq(&a), 10);
}

static void test_one_that_stands_by_keeps_its_numbers_wherever_the_replay_begins(void **state)
{
        (void)state;
        struct acknowledged a = opened();
        acknowledged_send(&a, 10, 1);
        assert_int_equal(answer(&a, 10, 10), ACK_TAKEN);
        acknowledged_stay(&a, HEAD + 500, 10);
        assert_int_equal(acknowledged_seq(&a), 10);
        acknowledged_send(&a, 3, 1);
        assert_int_equal(acknowledged_read(&a, 13, HEAD + 503, HEAD + 500, &k), ACK_TAKEN);
        assert_int_equal(a.taken, HEAD + 503);
}

static void test_only_one_that_is_far_is_sent_several_batches_and_one_after_the_other(void **state)
{
        (void)state;
        struct acknowledged a = opened();
        acknowledged_send(&a, 1, 7000);
        assert_int_equal(acknowledged_next_us(&a, 1), INT64_MAX); /* not known yet */
        acknowledged_took(&a, RELAY_FAR_US - 1);
        assert_int_equal(acknowledged_next_us(&a, 1), INT64_MAX);
        acknowledged_begin(&a, HEAD);
        acknowledged_send(&a, 1, 7000);
        acknowledged_took(&a, 80000);
        assert_int_equal(acknowledged_next_us(&a, 1), 7000 + 80000 / RELAY_WINDOW);
        assert_int_equal(acknowledged_next_us(&a, RELAY_WINDOW), INT64_MAX);
        a.credit = 1; /* which is under way */
        assert_int_equal(acknowledged_next_us(&a, 1), INT64_MAX);
}

static void test_one_that_is_busy_for_a_moment_is_not_far(void **state)
{
        (void)state;
        struct acknowledged a = opened();
        acknowledged_took(&a, 1000);
        acknowledged_took(&a, 200000);
        assert_true(a.answer_us < RELAY_FAR_US);
        acknowledged_took(&a, 500);
        assert_int_equal(a.answer_us, 500);
}

static void test_a_transcoder_that_is_near_and_has_room_may_be_told(void **state)
{
        (void)state;
        struct acknowledged a = opened();
        acknowledged_send(&a, 1, 1000);
        assert_false(acknowledged_may_tell(&a, 10, 1000)); /* how far it is, is not known yet */
        acknowledged_took(&a, 500);
        assert_int_equal(answer(&a, 1, 1), ACK_TAKEN);
        assert_true(acknowledged_may_tell(&a, 10, 1000));
        assert_false(acknowledged_may_tell(&a, BATCH_FRAMES_MAX / 2, 1000)); /* a backlog is asked about */
        acknowledged_tell(&a, 10);
        assert_true(a.told);
        assert_int_equal(acknowledged_seq(&a), 11);
        assert_int_equal(acknowledged_room(&a), BATCH_FRAMES_MAX - 10);
        assert_false(acknowledged_may_tell(&a, 10, 1000 + RELAY_TOLD_US));
        acknowledged_send(&a, 2, 2000);
        assert_false(a.told);
        assert_int_equal(answer(&a, 13, 13), ACK_TAKEN); /* for all before it */
        assert_int_equal(a.taken, HEAD + 13);
        acknowledged_tell(&a, BATCH_FRAMES_MAX / 2);
        assert_false(acknowledged_may_tell(&a, 10, 2000)); /* they may not all be taken */
        a.sent = a.taken;
        assert_true(acknowledged_may_tell(&a, 10, 2000));
        a.answer_us = RELAY_FAR_US;
        assert_false(acknowledged_may_tell(&a, 10, 2000));
}

static void test_what_was_told_and_not_taken_is_sent_again(void **state)
{
        (void)state;
        struct acknowledged a = opened();
        acknowledged_send(&a, 1, 1);
        acknowledged_took(&a, 500);
        assert_int_equal(answer(&a, 1, 1), ACK_TAKEN);
        acknowledged_tell(&a, 4);
        acknowledged_tell(&a, 4);
        acknowledged_send(&a, 2, 2);
        assert_int_equal(answer(&a, 5, 11), ACK_TAKEN); /* the second one was not there when the last one came */
        assert_int_equal(k.again, 6);
        assert_true(acknowledged_stranded(&a, 0));
        assert_false(acknowledged_may_tell(&a, 10, 2));
        acknowledged_ground(&a);
        assert_int_equal(acknowledged_seq(&a), 5);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_transcoder_that_is_near_and_has_room_may_be_told),
                cmocka_unit_test(test_what_was_told_and_not_taken_is_sent_again),
                cmocka_unit_test(test_what_is_taken_is_acknowledged),
                cmocka_unit_test(test_what_is_not_taken_is_sent_again_once_all_is_answered),
                cmocka_unit_test(test_what_is_taken_back_and_taken_again_is_no_progress),
                cmocka_unit_test(test_an_answer_that_was_overtaken_takes_nothing_back),
                cmocka_unit_test(test_frames_that_are_gone_cannot_be_wanted_and_such_as_were_not_sent_not_taken),
                cmocka_unit_test(test_more_is_taken_than_was_sent_since_it_was_grounded),
                cmocka_unit_test(test_one_that_stands_by_keeps_its_numbers_wherever_the_replay_begins),
                cmocka_unit_test(test_only_one_that_is_far_is_sent_several_batches_and_one_after_the_other),
                cmocka_unit_test(test_one_that_is_busy_for_a_moment_is_not_far),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
