/* session: how it comes to its end, and what becomes of what is not stored yet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "session_fixture.h"
#include "transcoderd/push/push_owner.h"

/* ---- a broadcaster that is gone ------------------------------------------------------------------------------------------ */

static void test_a_silent_proxy_begins_the_grace_time(void **state)
{
        (void)state;
        uint64_t handle = begin();
        silence(SESSION_SILENT_US - US_PER_S);
        expect_state("live");
        silence(SESSION_SILENT_US);
        expect_state("grace");
        assert_non_null(pipeline); /* which makes slate */
        assert_int_equal(pipeline->drains, 0);
        assert_int_equal(feed(0, handle, 0, 1).status, ERR_NOT_FOUND); /* it is to open the stream again */
        ask_open(0);
        assert_int_equal(opened(0).status, 0);
        expect_state("live");
        assert_int_equal(feed(0, opened(0).handle, 0, 1).status, 0);
}

static void test_after_the_grace_time_the_session_ends(void **state)
{
        (void)state;
        uint64_t handle = begin();
        assert_int_equal(close_stream(0, handle, CLOSE_LOST), 0);
        expect_state("grace");
        sessions_tick(&ss, clock_mono_us());
        expect_state("grace");
        ss.first->grace_until_us = clock_mono_us();
        sessions_tick(&ss, clock_mono_us());
        expect_state("draining");
        assert_int_equal(pipeline->drains, 1);
        assert_false(pipeline->goes_on);
}

/* ---- the end ---------------------------------------------------------------------------------------------------------------- */

static void test_a_broadcast_that_stops_is_stored_to_its_last_chunk_before_end(void **state)
{
        (void)state;
        uint64_t handle = begin();
        feed(0, handle, 0, 2);
        make_chunk(0);
        assert_int_equal(close_stream(0, handle, CLOSE_STOPPED), 0);
        assert_int_equal(pipeline->drains, 1);
        assert_int_equal(feed(0, handle, 2, 1).status, ERR_CLOSED);
        make_chunk(1);
        pipeline->events->drained(pipeline->arg, 2 * CHUNK_US);
        assert_null(pipeline);
        assert_int_equal(fake_calls(MSG_END), 0);
        assert_int_equal(fake_store_all(), 3);
        assert_int_equal(expect_end(), 2 * CHUNK_US);
        assert_null(ss.first);
}

static void test_an_open_while_the_last_session_ends_begins_the_next_one(void **state)
{
        (void)state;
        uint64_t handle = begin();
        char before[SESSION_ID_MAX + 1];
        strcpy(before, opened(0).session);
        make_chunk(0);
        close_stream(0, handle, CLOSE_STOPPED);
        ask_open(1);
        assert_false(answered(1));
        pipeline->events->drained(pipeline->arg, CHUNK_US);
        fake_store_all();
        assert_false(answered(1));
        expect_end();
        grant();
        assert_int_equal(opened(1).status, 0);
        assert_string_not_equal(opened(1).session, before);
        assert_int_equal(pipelines, 2);
}

static void test_an_open_does_not_wait_for_ever(void **state)
{
        (void)state;
        uint64_t handle = begin();
        close_stream(0, handle, CLOSE_STOPPED);
        ask_open(1);
        sessions_tick(&ss, clock_mono_us());
        assert_false(answered(1));
        sessions_tick(&ss, clock_mono_us() + 5 * US_PER_S);
        assert_int_equal(opened(1).status, ERR_NOT_YET);
}

static void test_a_fenced_session_is_left_to_its_new_writer(void **state)
{
        (void)state;
        uint64_t handle = begin();
        int64_t before = metric_get(&stats_fenced);
        make_chunk(0);
        struct put m;
        struct fake_call call = fake_put(&m);
        fake_stored(&call, ERR_FENCED);
        assert_null(ss.first);
        assert_null(pipeline);
        assert_int_equal(fake.call_count, 0); /* no END */
        assert_int_equal(feed(0, handle, 0, 1).status, ERR_FENCED);
        assert_int_equal(metric_get(&stats_fenced), before + 1);
}

static void test_a_process_that_stood_still_asks_before_it_sends(void **state)
{
        (void)state;
        begin();
        sessions_tick(&ss, clock_mono_us());
        assert_int_equal(fake.call_count, 0);
        ss.ticked_us -= SESSION_SILENT_US;
        sessions_tick(&ss, clock_mono_us());
        make_chunk(0);
        assert_int_equal(fake_calls(MSG_PUT), 0);
        struct fake_call call;
        assert_int_equal(claim_of(&call).flags, CLAIM_JOIN);
        struct claim_reply no = {.status = ERR_FENCED};
        fake_claimed(&call, &no);
        assert_null(ss.first);
        assert_null(pipeline);
        assert_int_equal(fake.call_count, 0);
        begin(); /* it is of use again at once */
        expect_state("live");
}

static void test_a_failed_pipeline_ends_the_session_with_what_there_is(void **state)
{
        (void)state;
        uint64_t handle = begin();
        make_chunk(0);
        pipeline->events->failed(pipeline->arg, ERR_CODEC, "an encoder \"refused\"");
        assert_null(pipeline);
        fake_store_all();
        assert_int_equal(expect_end(), CHUNK_US);
        assert_null(ss.first);
        assert_int_equal(feed(0, handle, 0, 1).status, ERR_CLOSED);
}

static void test_a_session_is_left_to_another_node_where_there_is_no_thread_for_a_rung(void **state)
{
        (void)state;
        uint64_t handle = begin();
        make_chunk(0);
        pipeline->events->failed(pipeline->arg, ERR_LIMIT, "no encoder for rung v720");
        assert_null(ss.first);
        assert_null(pipeline);
        assert_int_equal(fake_calls(MSG_END), 0);
        assert_int_equal(feed(0, handle, 0, 1).status, ERR_FULL); /* its proxy looks for another at once */
        int64_t refused = metric_get(&stats_refused_full);
        ask_open(0);
        assert_int_equal(opened(0).status, ERR_FULL);
        assert_string_equal(opened(0).text, "no encoder for rung v720");
        assert_int_equal(metric_get(&stats_refused_full), refused + 1);
        struct fake_call call = fake_take(MSG_PUT);
        fake_fail(&call, ERR_CANCELED);
}

static void test_a_stream_that_cannot_be_encoded_is_refused_for_a_while(void **state)
{
        (void)state;
        begin();
        pipeline->events->failed(pipeline->arg, ERR_CODEC, "9000x9000 is too large");
        expect_state("ending"); /* nobody has to wait for that to be told */
        ask_open(1);
        assert_int_equal(opened(1).status, ERR_UNSUPPORTED);
        assert_string_equal(opened(1).text, "9000x9000 is too large");
        expect_end();
        ask_open(1);
        assert_int_equal(opened(1).status, ERR_UNSUPPORTED);
        struct open other = {.stream = "other", .epoch_us = EPOCH, .codecs = {CODEC_NONE, CODEC_AAC}};
        say(2, message_new(MSG_OPEN, open_encode, &other)); /* only that stream */
        grant();
        assert_int_equal(opened(2).status, 0);
        close_stream(2, opened(2).handle, CLOSE_STOPPED);
        pipeline->events->drained(pipeline->arg, 0);
        expect_end();
        assert_in_range(ss.opens.bans[0].until_us - clock_mono_us(), 0, OPENS_BAN_US);
        ss.opens.bans[0].until_us = clock_mono_us();
        begin();
}

static void test_what_was_made_is_totalled(void **state)
{
        (void)state;
        uint64_t handle = begin();
        feed(0, handle, 0, 3);
        for (int n = 0; n < 4; n++)
                make_chunk(n);
        assert_int_equal(ss.first->frames, 3);
        assert_int_equal(ss.first->bytes, 15);
        assert_int_equal(ss.first->chunks, 4);
        assert_int_equal(ss.first->chunk_bytes, 20);
}

static void test_a_session_lost_at_the_origin_is_taken_up_again_but_never_from_another_writer(void **state)
{
        (void)state;
        begin();
        make_chunk(0);
        struct put m;
        struct fake_call call = fake_put(&m);
        fake_stored(&call, ERR_NOT_FOUND);
        struct claim join = claim_of(&call);
        assert_int_equal(join.flags, CLAIM_JOIN);
        assert_int_equal(join.generation, 1);
        struct claim_reply taken = {.epoch_us = join.epoch_us, .generation = 1};
        memcpy(taken.session, join.session, sizeof(taken.session));
        fake_claimed(&call, &taken);
        assert_int_equal(fake_store_all(), 2);
        expect_state("live");

        fake.origins[0].incarnation_us++;
        make_chunk(1);
        assert_int_equal(claim_of(&call).flags, CLAIM_JOIN);
        struct claim_reply no = {.status = ERR_FENCED};
        fake_claimed(&call, &no);
        assert_int_equal(fake.call_count, 0);
        assert_null(ss.first);
}

static void test_a_claim_is_above_what_the_proxy_has_seen(void **state)
{
        (void)state;
        struct open m = {.stream = "cam", .generation = 41, .epoch_us = EPOCH, .codecs = {CODEC_H264, CODEC_NONE}};
        struct fake_call call;
        say(0, message_new(MSG_OPEN, open_encode, &m));
        assert_int_equal(claim_of(&call).generation, 41);
        fake_fail(&call, ERR_CLOSED);
}

static void open_knowing(unsigned proxy, uint32_t generation)
{
        struct open m = {.stream = "cam", .generation = generation, .epoch_us = EPOCH, .codecs = {CODEC_H264, CODEC_NONE}};
        say(proxy, message_new(MSG_OPEN, open_encode, &m));
}

/* The session that is here would be given up for it, and no origin would give the next one. */
static void test_a_generation_that_there_cannot_be_does_not_count(void **state)
{
        (void)state;
        int64_t before = metric_get(&stats_impossible_generations);
        feed(0, begin(), 0, 1);
        open_knowing(1, UINT32_MAX);
        assert_int_equal(opened(1).status, 0);
        assert_int_equal(metric_get(&stats_impossible_generations) - before, 1);
}

static void test_a_session_that_nobody_fed_is_claimed_anew_for_a_proxy_that_saw_a_writer_since(void **state)
{
        (void)state;
        struct fake_call call;
        ask_open(0); /* that proxy goes elsewhere */
        grant();
        open_knowing(1, 1);
        assert_false(answered(1));
        assert_int_equal(claim_of(&call).generation, 1);
        fake_fail(&call, ERR_CLOSED);
        assert_int_equal(pipelines, 1);
}

static void test_a_fed_session_is_claimed_anew_only_when_a_newer_writer_was_seen(void **state)
{
        (void)state;
        struct fake_call call;
        feed(0, begin(), 0, 1); /* of generation 1 */
        open_knowing(1, 1);
        assert_int_equal(opened(1).status, 0);
        open_knowing(1, 2);
        assert_false(answered(1));
        assert_int_equal(claim_of(&call).generation, 2);
        fake_fail(&call, ERR_CLOSED);
}

static void test_an_end_that_nobody_takes_is_given_up_after_a_while(void **state)
{
        (void)state;
        uint64_t handle = begin();
        make_chunk(0);
        close_stream(0, handle, CLOSE_STOPPED);
        fake.up[0] = false;
        pipeline->events->drained(pipeline->arg, CHUNK_US);
        sessions_tick(&ss, clock_mono_us());
        expect_state("ending");
        ss.first->end_until_us = clock_mono_us();
        sessions_tick(&ss, clock_mono_us());
        assert_null(ss.first);
}

/* On a machine that has too much to do what was taken takes longer to encode than it took to come. */
static void test_encoders_that_are_slow_to_come_to_an_end_are_waited_for(void **state)
{
        (void)state;
        uint64_t handle = begin();
        close_stream(0, handle, CLOSE_STOPPED);
        ss.first->drain_until_us = clock_mono_us();
        make_chunk(0);
        sessions_tick(&ss, clock_mono_us());
        expect_state("draining");
        ss.first->drain_until_us = clock_mono_us();
        sessions_tick(&ss, clock_mono_us());
        assert_null(pipeline);
        expect_state("ending"); /* until the chunk is stored */
}

static void test_encoders_that_never_come_to_an_end_do_not_hold_the_session(void **state)
{
        (void)state;
        uint64_t handle = begin();
        close_stream(0, handle, CLOSE_STOPPED);
        ss.first->drain_until_us = clock_mono_us();
        sessions_tick(&ss, clock_mono_us());
        assert_null(pipeline);
        expect_end();
        assert_null(ss.first);
}

/* ---- a node that is to stop ------------------------------------------------------------------------------------------- */

static void test_a_node_that_stops_takes_no_more_and_goes_on_with_what_is_fed(void **state)
{
        (void)state;
        uint64_t handle = begin();
        make_chunk(0);
        struct open other = {.stream = "other", .epoch_us = EPOCH, .codecs = {CODEC_NONE, CODEC_AAC}};
        say(1, message_new(MSG_OPEN, open_encode, &other)); /* still claiming */
        sessions_drain(&ss);
        assert_int_equal(opened(1).status, ERR_FULL);
        say(2, message_new(MSG_OPEN, open_encode, &other));
        assert_int_equal(opened(2).status, ERR_FULL);
        struct media_reply m = feed(0, handle, 0, 1);
        assert_int_equal(m.status, 0);
        assert_int_equal(m.draining, 1);
        expect_state("live");
        assert_int_equal(pipeline->drains, 0);
}

static void test_a_fence_while_stopping_is_the_session_handed_over(void **state)
{
        (void)state;
        int64_t fenced = metric_get(&stats_fenced), before = metric_get(&stats_handed_over);
        begin();
        make_chunk(0);
        sessions_drain(&ss);
        struct put m;
        struct fake_call call = fake_put(&m);
        fake_stored(&call, ERR_FENCED);
        assert_null(ss.first);
        assert_null(pipeline);
        assert_int_equal(fake.call_count, 0);
        assert_int_equal(metric_get(&stats_fenced), fenced);
        assert_int_equal(metric_get(&stats_handed_over), before + 1);
}

static void test_what_nobody_took_over_is_stored_and_left_without_an_end(void **state)
{
        (void)state;
        uint64_t handle = begin();
        make_chunk(0);
        sessions_drain(&ss);
        ss.leave_at_us = clock_mono_us();
        sessions_tick(&ss, clock_mono_us());
        assert_int_equal(pipeline->drains, 1);
        assert_true(pipeline->goes_on);
        make_chunk(1);
        assert_int_equal(feed(0, handle, 0, 1).status, ERR_NOT_FOUND); /* it is to open the stream again */
        pipeline->events->drained(pipeline->arg, 2 * CHUNK_US);
        assert_null(pipeline);
        sessions_tick(&ss, clock_mono_us());
        expect_state("leaving");
        assert_int_equal(fake_store_all(), 3);
        sessions_tick(&ss, clock_mono_us());
        assert_int_equal(fake_calls(MSG_END), 0);
        assert_null(ss.first);
}

static void test_a_silent_proxys_session_is_left_too_while_stopping(void **state)
{
        (void)state;
        begin();
        sessions_drain(&ss);
        silence(SESSION_SILENT_US + 1);
        pipeline->events->drained(pipeline->arg, 0);
        assert_int_equal(fake_calls(MSG_END), 0);
        assert_null(ss.first);
}

static void test_what_has_no_broadcaster_ends_when_the_node_stops(void **state)
{
        (void)state;
        uint64_t handle = begin();
        make_chunk(0);
        sessions_drain(&ss);
        close_stream(0, handle, CLOSE_LOST);
        pipeline->events->drained(pipeline->arg, CHUNK_US);
        fake_store_all();
        expect_end();
        assert_null(ss.first);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_a_silent_proxy_begins_the_grace_time),
                TEST(test_after_the_grace_time_the_session_ends),
                TEST(test_a_broadcast_that_stops_is_stored_to_its_last_chunk_before_end),
                TEST(test_an_open_while_the_last_session_ends_begins_the_next_one),
                TEST(test_an_open_does_not_wait_for_ever),
                TEST(test_a_fenced_session_is_left_to_its_new_writer),
                TEST(test_a_process_that_stood_still_asks_before_it_sends),
                TEST(test_a_failed_pipeline_ends_the_session_with_what_there_is),
                TEST(test_a_session_is_left_to_another_node_where_there_is_no_thread_for_a_rung),
                TEST(test_a_stream_that_cannot_be_encoded_is_refused_for_a_while),
                TEST(test_what_was_made_is_totalled),
                TEST(test_a_session_lost_at_the_origin_is_taken_up_again_but_never_from_another_writer),
                TEST(test_a_claim_is_above_what_the_proxy_has_seen),
                TEST(test_a_generation_that_there_cannot_be_does_not_count),
                TEST(test_a_session_that_nobody_fed_is_claimed_anew_for_a_proxy_that_saw_a_writer_since),
                TEST(test_a_fed_session_is_claimed_anew_only_when_a_newer_writer_was_seen),
                TEST(test_an_end_that_nobody_takes_is_given_up_after_a_while),
                TEST(test_encoders_that_are_slow_to_come_to_an_end_are_waited_for),
                TEST(test_encoders_that_never_come_to_an_end_do_not_hold_the_session),
                TEST(test_a_node_that_stops_takes_no_more_and_goes_on_with_what_is_fed),
                TEST(test_a_fence_while_stopping_is_the_session_handed_over),
                TEST(test_what_nobody_took_over_is_stored_and_left_without_an_end),
                TEST(test_a_silent_proxys_session_is_left_too_while_stopping),
                TEST(test_what_has_no_broadcaster_ends_when_the_node_stops),
        };
        log_init("session", LOG_ERROR + 1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
