/* push: several chunks of a track under way at a time, to an origin that is far. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "push_fixture.h"

/* Chunk n, behind one that is not answered yet or not. */
static struct fake_call expect_behind(int n, bool behind)
{
        struct put m;
        struct fake_call call = expect(&m, "v360", n);
        if (behind) {
                assert_true(m.after_us > (n - 1) * CHUNK_US);
                assert_true(m.after_us < n * CHUNK_US);
        } else {
                assert_int_equal(m.after_us, 0);
        }
        return call;
}

static void test_a_far_origin_gets_each_chunk_as_it_is_made(void **state)
{
        (void)state;
        begin();
        for (int n = 0; n < PUSH_WINDOW; n++) {
                chunk(0, n);
                assert_int_equal(fake_calls(MSG_PUT), n + 1);
        }
        chunk(0, PUSH_WINDOW);
        assert_int_equal(fake_calls(MSG_PUT), PUSH_WINDOW);
        for (int n = 0; n <= PUSH_WINDOW; n++) {
                struct fake_call call = expect_behind(n, n > 0);
                fake_stored(&call, 0);
                assert_int_equal(push_stored_us(t.push), (n + 1) * CHUNK_US);
        }
        assert_int_equal(fake_calls(MSG_PUT), 0);
        assert_int_equal(push_queued(t.push), 0);
}

static void test_the_window_has_a_bound_in_bytes(void **state)
{
        (void)state;
        begin();
        for (int n = 0; n < 6; n++)
                chunk_of(0, n, BODY_MAX);
        assert_int_equal(fake_calls(MSG_PUT), PUSH_WINDOW_BYTES / BODY_MAX);
        assert_int_equal(fake_store_all(), 6);
}

static void test_an_init_segment_and_what_comes_behind_a_gap_go_alone(void **state)
{
        (void)state;
        track(0, "v360", TRACK_VIDEO);
        chunk(0, 0);
        assert_int_equal(fake_calls(MSG_PUT), 1);
        expect_init("v360");
        chunk(0, 5);
        assert_int_equal(fake_calls(MSG_PUT), 1);
        expect_stored("v360", 0);
        struct fake_call call = expect_behind(5, false);
        fake_stored(&call, 0);
}

static void test_answers_come_in_any_order(void **state)
{
        (void)state;
        begin();
        for (int n = 0; n < 3; n++)
                chunk(0, n);
        struct fake_call first = expect_behind(0, false), second = expect_behind(1, true), third = expect_behind(2, true);
        fake_stored(&second, 0); /* so the one before it is stored too */
        assert_int_equal(push_stored_us(t.push), 2 * CHUNK_US);
        fake_stored(&third, 0);
        assert_int_equal(push_queued(t.push), 0);
        fake_fail(&first, ERR_TIMEOUT);
        assert_int_equal(push_stored_us(t.push), 3 * CHUNK_US);
        chunk(0, 3);
        expect_stored("v360", 3);
}

/* The second is lost, or its turn has not come: none after it is stored, and all are sent again, in order, once no answer is owed. */
static void test_of_several_under_way_what_was_not_taken_is_sent_again_in_order(void **state)
{
        (void)state;
        begin();
        for (int n = 0; n < 4; n++)
                chunk(0, n);
        struct fake_call calls[4];
        for (int n = 0; n < 4; n++)
                calls[n] = expect_behind(n, n > 0);
        fake_stored(&calls[3], ERR_NOT_YET);
        chunk(0, 4);
        fake_stored(&calls[0], 0);
        fake_stored(&calls[2], ERR_NOT_YET);
        assert_int_equal(fake_calls(MSG_PUT), 0);
        fake_stored(&calls[1], ERR_NOT_YET);
        assert_int_equal(push_stored_us(t.push), CHUNK_US);
        for (int n = 1; n < 5; n++) {
                struct fake_call call = expect_behind(n, n > 1);
                fake_stored(&call, 0);
        }
        assert_int_equal(push_stored_us(t.push), 5 * CHUNK_US);
        assert_int_equal(push_queued(t.push), 0);
}

/* The origin refuses the second for good: it is left out, and the others go on from the first. */
static void test_of_several_under_way_one_that_is_refused_is_left_out(void **state)
{
        (void)state;
        begin();
        for (int n = 0; n < 4; n++)
                chunk(0, n);
        int64_t before = metric_get(&stats_dropped);
        struct fake_call calls[4];
        for (int n = 0; n < 4; n++)
                calls[n] = expect_behind(n, n > 0);
        fake_stored(&calls[0], 0);
        fake_stored(&calls[1], ERR_CONFLICT);
        fake_stored(&calls[2], ERR_NOT_YET);
        fake_stored(&calls[3], ERR_NOT_YET);
        assert_int_equal(metric_get(&stats_dropped), before + 1);
        struct fake_call call = expect_behind(2, false);
        fake_stored(&call, 0);
        expect_stored("v360", 3);
        assert_int_equal(push_queued(t.push), 0);
}

static void test_several_under_way_that_are_lost_together_fail_once(void **state)
{
        (void)state;
        begin();
        for (int n = 0; n < 4; n++)
                chunk(0, n);
        int64_t before = metric_get(&stats_not_taken);
        while (fake_calls(MSG_PUT)) {
                struct fake_call call = fake_take(MSG_PUT);
                fake_fail(&call, ERR_CLOSED);
        }
        assert_int_equal(metric_get(&stats_not_taken), before + 1);
        fake_wait(MSG_PUT);
        assert_int_equal(fake_store_all(), 4);
        assert_int_equal(push_stored_us(t.push), 4 * CHUNK_US);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_push, close_push)
        const struct CMUnitTest tests[] = {
                TEST(test_a_far_origin_gets_each_chunk_as_it_is_made),
                TEST(test_the_window_has_a_bound_in_bytes),
                TEST(test_an_init_segment_and_what_comes_behind_a_gap_go_alone),
                TEST(test_answers_come_in_any_order),
                TEST(test_of_several_under_way_what_was_not_taken_is_sent_again_in_order),
                TEST(test_of_several_under_way_one_that_is_refused_is_left_out),
                TEST(test_several_under_way_that_are_lost_together_fail_once),
        };
        log_init("push", LOG_ERROR + 1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
