/* push with several owners: each is in step, or it is not and the others are not held up by it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "push_fixture.h"

static const struct claim_reply empty = {.session = SESSION, .epoch_us = 1000000, .generation = 1};

static int open_pair(void **state)
{
        (void)state;
        open_on(2, &new_session, PUSH_QUEUE_BYTES, PUSH_QUEUE_US, CODEC_H264, CODEC_NONE);
        return 0;
}

static int close_pair(void **state)
{
        (void)state;
        push_close(t.push);
        recent_fini(&t.recent);
        while (fake.call_count) {
                struct fake_call call = fake.calls[--fake.call_count];
                fake_fail(&call, ERR_CANCELED);
        }
        fake_close();
        assert_int_equal(metric_get(&stats_owners_in_step), 0);
        assert_int_equal(metric_get(&stats_owners_joining), 0);
        assert_int_equal(metric_get(&stats_owners_out), 0);
        return 0;
}

static void reopen(const struct claim_reply *claimed, int64_t keep_us, bool quorum_one)
{
        close_pair(NULL);
        t.quorum_one = quorum_one;
        open_on(2, claimed, 1000, PUSH_QUEUE_US, CODEC_H264, CODEC_NONE);
        t.recent.keep_us = keep_us;
}

static struct fake_call asked_to_join(const char *origin)
{
        struct claim m;
        fake_wait_of(MSG_CLAIM, origin);
        struct fake_call call = fake_take_of(MSG_CLAIM, origin);
        assert_int_equal(claim_decode(&call.body, &m), 0);
        assert_int_equal(m.flags, CLAIM_JOIN);
        assert_int_equal(m.generation, 1);
        assert_string_equal(m.session, SESSION);
        return call;
}

static struct claim_reply with_v360(int64_t end_us)
{
        struct claim_reply m = empty;
        m.written_generation = 1;
        m.track_count = 1;
        m.tracks[0] = (struct claim_track){.name = "v360", .end_us = end_us};
        return m;
}

static void join_with(const char *origin, struct claim_reply m)
{
        struct fake_call call = asked_to_join(origin);
        fake_claimed(&call, &m);
}

static struct fake_call put_of(const char *origin, struct put *m)
{
        struct fake_call call = fake_take_of(MSG_PUT, origin);
        assert_int_equal(put_decode(&call.body, m), 0);
        return call;
}

static struct fake_call put_at(const char *origin, int n)
{
        struct put m;
        struct fake_call call = put_of(origin, &m);
        assert_false(m.flags & PUT_INIT);
        assert_int_equal(m.start_us, n * CHUNK_US);
        return call;
}

static void store_at(const char *origin, int n)
{
        struct fake_call call = put_at(origin, n);
        fake_stored(&call, 0);
}

static void fail_at(const char *origin, int n, int err)
{
        struct fake_call call = put_at(origin, n);
        fake_fail(&call, err);
}

static void store_init(const char *origin)
{
        struct put m;
        struct fake_call call = put_of(origin, &m);
        assert_true(m.flags & PUT_INIT);
        fake_stored(&call, 0);
}

static void refuse_at(const char *origin, int n, struct put_reply m)
{
        struct fake_call call = put_at(origin, n);
        fake_answer(&call, MSG_PUT_REPLY, put_reply_encode, &m);
}

static int in_step(void)
{
        return (int)metric_get(&stats_owners_in_step);
}

/* One that stores what is pushed: chunks `from` to before `until`, which are made for it. */
static void has(const char *origin, int from, int until)
{
        for (int n = from; n < until; n++) {
                chunk(0, n);
                store_at(origin, n);
        }
}

static void store_all(const char *origin, int from, int until)
{
        for (int n = from; n < until; n++)
                store_at(origin, n);
}

static void chunks(int from, int until)
{
        for (int n = from; n < until; n++)
                chunk(0, n);
}

/* Both in step, one video track. */
static void begin_both(void)
{
        join_with("o2", empty);
        assert_int_equal(in_step(), 2);
        track(0, "v360", TRACK_VIDEO);
        store_init("o1");
        store_init("o2");
}

static void both_have(int from, int until)
{
        for (int n = from; n < until; n++) {
                chunk(0, n);
                store_at("o1", n);
                store_at("o2", n);
        }
}

static void end_at(const char *origin, int status)
{
        struct end m;
        struct fake_call call = fake_take_of(MSG_END, origin);
        assert_int_equal(end_decode(&call.body, &m), 0);
        assert_int_equal(m.generation, 1);
        fake_ended(&call, status);
}

/* ---- in step -------------------------------------------------------------------------------------------------------- */

static void test_every_owner_in_step_gets_every_chunk_at_its_own_pace(void **state)
{
        (void)state;
        begin_both();
        chunks(0, 3);
        store_all("o1", 0, 3);
        assert_int_equal(push_stored_us(t.push), 0); /* o2 has none */
        store_all("o2", 0, 3);
        assert_int_equal(push_stored_us(t.push), 3 * CHUNK_US);
}

static void test_with_a_quorum_of_one_the_first_that_stored_it_is_enough(void **state)
{
        (void)state;
        reopen(&new_session, 60 * US_PER_S, true);
        begin_both();
        chunk(0, 0);
        store_at("o2", 0);
        assert_int_equal(push_stored_us(t.push), CHUNK_US);
        fail_at("o1", 0, ERR_TIMEOUT);
        assert_int_equal(push_stored_us(t.push), CHUNK_US);
}

static void test_what_was_called_stored_stays_so_when_the_one_that_has_it_is_gone(void **state)
{
        (void)state;
        reopen(&new_session, 60 * US_PER_S, true);
        begin_both();
        chunks(0, 3);
        store_at("o1", 0);
        store_at("o1", 1);
        assert_int_equal(push_stored_us(t.push), 2 * CHUNK_US);
        fail_at("o1", 2, ERR_CLOSED);
        assert_int_equal(push_stored_us(t.push), 2 * CHUNK_US); /* o2 has nothing, and will get it from the queue */
        store_all("o2", 0, 3);
        assert_int_equal(push_stored_us(t.push), 3 * CHUNK_US);
}

static void test_an_owner_is_not_in_step_before_it_has_what_counts_as_stored(void **state)
{
        (void)state;
        track(0, "v360", TRACK_VIDEO);
        store_init("o1");
        has("o1", 0, 3);
        assert_int_equal(push_stored_us(t.push), 3 * CHUNK_US);
        join_with("o2", empty);
        assert_int_equal(in_step(), 1);
        store_init("o2");
        chunk(0, 3);
        store_at("o2", 0);
        store_at("o2", 1);
        assert_int_equal(in_step(), 1);
        assert_int_equal(push_stored_us(t.push), 3 * CHUNK_US);
        store_at("o1", 3);
        assert_int_equal(push_stored_us(t.push), 4 * CHUNK_US);
        store_at("o2", 2); /* what counted when it was sent; the next one is under way */
        assert_int_equal(in_step(), 2);
        store_at("o2", 3);
        assert_int_equal(push_stored_us(t.push), 4 * CHUNK_US);
        chunk(0, 4);
        store_at("o1", 4);
        assert_int_equal(push_stored_us(t.push), 4 * CHUNK_US); /* from now on it counts */
        store_at("o2", 4);
        assert_int_equal(push_stored_us(t.push), 5 * CHUNK_US);
}

/* It cannot be, but for a mistake of somebody's: what is encoded would lie elsewhere there. */
static void test_an_owner_that_has_the_session_on_another_grid_is_not_in_step(void **state)
{
        (void)state;
        struct claim_reply other = empty;
        other.chunk_ms = CHUNK_MS_SHORT;
        track(0, "v360", TRACK_VIDEO);
        store_init("o1");
        join_with("o2", other);
        chunk(0, 0);
        store_at("o1", 0);
        assert_int_equal(in_step(), 1);
        assert_int_equal(push_stored_us(t.push), CHUNK_US);
}

/* It would take the message for nonsense. */
static void test_an_owner_that_knows_one_grid_is_not_asked_to_join_on_the_other(void **state)
{
        (void)state;
        struct claim_reply claimed = new_session;
        claimed.chunk_ms = CHUNK_MS_SHORT;
        close_pair(NULL);
        t.grid_ms = CHUNK_MS_SHORT;
        t.last_is_old = true;
        open_on(2, &claimed, PUSH_QUEUE_BYTES, PUSH_QUEUE_US, CODEC_H264, CODEC_NONE);
        track(0, "v360", TRACK_VIDEO);
        store_init("o1");
        chunk(0, 0);
        store_at("o1", 0);
        assert_int_equal(push_stored_us(t.push), CHUNK_US);
        assert_int_equal(fake.call_count, 0);
        fake.origins[1].can = CAN_SHORT_GRID; /* upgraded */
        struct fake_call call = asked_to_join("o2");
        fake_fail(&call, ERR_CANCELED);
}

/* To it two chunks are under way at any time, which the other one has. */
static void test_a_far_owner_gets_in_step_too(void **state)
{
        (void)state;
        track(0, "v360", TRACK_VIDEO);
        store_init("o1");
        has("o1", 0, 3);
        join_with("o2", empty);
        store_init("o2");
        for (int n = 3; n < 5; n++) {
                chunk(0, n);
                store_at("o1", n);
        }
        for (int n = 0; n < 4; n++) {
                assert_int_equal(in_step(), n < 3 ? 1 : 2);
                chunk(0, n + 5);
                store_at("o1", n + 5);
                store_at("o2", n);
        }
        assert_int_equal(in_step(), 2);
        store_all("o2", 4, 9);
}

static void test_end_goes_to_all_in_step_and_is_over_when_all_answered(void **state)
{
        (void)state;
        begin_both();
        chunk(0, 0);
        push_end(t.push, CHUNK_US);
        store_at("o1", 0);
        end_at("o1", 0);
        assert_int_equal(t.ended, 0);
        store_at("o2", 0);
        end_at("o2", 0);
        assert_int_equal(t.ended, 1);
}

static void test_an_owner_that_dies_at_the_end_does_not_hold_it_up(void **state)
{
        (void)state;
        begin_both();
        chunk(0, 0);
        push_end(t.push, CHUNK_US);
        store_at("o1", 0);
        end_at("o1", 0);
        fake.up[1] = false;
        fail_at("o2", 0, ERR_CLOSED);
        assert_int_equal(t.ended, 1);
}

/* Both have a chunk, o1 alone the second one, and the end is due. */
static void end_with_one_out_of_step(void)
{
        begin_both();
        both_have(0, 1);
        chunk(0, 1);
        fail_at("o2", 1, ERR_TIMEOUT);
        store_at("o1", 1);
        assert_int_equal(in_step(), 1);
        push_end(t.push, 2 * CHUNK_US);
        end_at("o1", 0);
        assert_int_equal(t.ended, 0); /* o2 is alive, and another writer might go on with the session there */
}

static void test_one_that_is_out_of_step_gets_the_rest_and_hears_of_the_end(void **state)
{
        (void)state;
        end_with_one_out_of_step();
        join_with("o2", with_v360(CHUNK_US));
        store_at("o2", 1);
        end_at("o2", 0);
        assert_int_equal(t.ended, 1);
        assert_int_equal(t.ended_err, 0);
}

static void test_one_that_lacks_what_is_not_in_memory_hears_of_the_end_all_the_same(void **state)
{
        (void)state;
        end_with_one_out_of_step();
        recent_fini(&t.recent);
        recent_init(&t.recent, 60 * US_PER_S, SIZE_MAX);
        struct track_info info = {.kind = TRACK_VIDEO, .name = "v360", .init = buf_copy("init", 4)};
        recent_track(&t.recent, &info);
        buf_unref(&info.init);
        struct chunk last = {.segment = 0, .chunk = 1, .start_us = CHUNK_US, .duration_us = CHUNK_US, .bytes = buf_new(1)};
        recent_chunk(&t.recent, &last);
        buf_unref(&last.bytes);
        t.recent.tracks[0].forgot = true;
        join_with("o2", with_v360(0));
        assert_int_equal(fake_calls_of(MSG_PUT, "o2"), 0);
        end_at("o2", ERR_NOT_FOUND); /* it started anew in between */
        join_with("o2", with_v360(0));
        end_at("o2", 0);
        assert_int_equal(t.ended, 1);
        assert_int_equal(t.ended_err, 0);
}

static void test_one_at_which_it_is_over_already_needs_no_end(void **state)
{
        (void)state;
        end_with_one_out_of_step();
        join_with("o2", (struct claim_reply){.status = ERR_CLOSED});
        assert_int_equal(fake_calls(MSG_END), 0);
        assert_int_equal(t.ended, 1);
}

static void test_one_that_is_out_of_step_and_does_not_answer_holds_the_end_up_for_a_moment_only(void **state)
{
        (void)state;
        int64_t began = clock_mono_us();
        end_with_one_out_of_step();
        while (!t.ended) {
                uv_run(&fake.loop, UV_RUN_NOWAIT);
                while (fake.call_count) {
                        struct fake_call call = fake.calls[--fake.call_count];
                        usleep(10000); /* of the time that a call takes which is not answered */
                        fake_fail(&call, ERR_TIMEOUT);
                }
                assert_true(clock_mono_us() - began < 10 * US_PER_S);
        }
        assert_true(clock_mono_us() - began > 2 * US_PER_S);
}

/* ---- out of step ---------------------------------------------------------------------------------------------------- */

static void test_an_owner_that_fails_is_out_of_step_at_once_and_the_others_go_on(void **state)
{
        (void)state;
        const int ways[] = {ERR_TIMEOUT, ERR_CLOSED, ERR_FULL};
        begin_both();
        both_have(0, 1);
        for (int i = 0; i < 3; i++) {
                chunk(0, 1 + i);
                fail_at("o2", 1 + i, ways[i]);
                assert_int_equal(in_step(), 1);
                store_at("o1", 1 + i);
                assert_int_equal(push_stored_us(t.push), (2 + i) * CHUNK_US);
                assert_int_equal(fake_calls(MSG_PUT), 0);
                join_with("o2", with_v360((1 + i) * CHUNK_US));
                store_at("o2", 1 + i); /* what it missed */
                assert_int_equal(in_step(), 2);
        }
}

static void test_an_owner_without_space_is_out_of_step(void **state)
{
        (void)state;
        begin_both();
        chunk(0, 0);
        refuse_at("o1", 0, (struct put_reply){.status = ERR_NOSPACE});
        assert_int_equal(in_step(), 1);
        store_at("o2", 0);
        assert_int_equal(push_stored_us(t.push), CHUNK_US);
}

static void test_one_that_is_not_up_any_more_is_out_of_step_before_a_chunk_is_lost_on_it(void **state)
{
        (void)state;
        begin_both();
        fake.up[1] = false;
        push_poke(t.push);
        assert_int_equal(in_step(), 1);
        chunk(0, 0);
        store_at("o1", 0);
        fake.up[1] = true;
        push_poke(t.push);
        assert_int_equal(fake_calls_of(MSG_CLAIM, "o2"), 1); /* it is back: nobody waits for a timer */
        join_with("o2", with_v360(0));
        store_at("o2", 0);
        assert_int_equal(in_step(), 2);
}

static void test_the_last_one_in_step_keeps_its_queue_until_another_is_in_step(void **state)
{
        (void)state;
        begin_both();
        both_have(0, 1);
        chunk(0, 1);
        struct fake_call one = put_at("o1", 1), two = put_at("o2", 1);
        fake_fail(&two, ERR_TIMEOUT);
        fake_fail(&one, ERR_TIMEOUT);
        assert_int_equal(in_step(), 1);
        chunk(0, 2);
        assert_int_equal(push_stored_us(t.push), CHUNK_US);
        fake.up[0] = false;
        join_with("o2", with_v360(CHUNK_US));
        store_at("o2", 1);
        store_at("o2", 2);
        assert_int_equal(in_step(), 1);
        assert_int_equal(push_stored_us(t.push), 3 * CHUNK_US);
        assert_int_equal(fake_calls(MSG_PUT), 0);
}

static void test_an_owner_that_is_too_slow_is_out_of_step_and_loses_nothing_from_the_queue(void **state)
{
        (void)state;
        reopen(&new_session, 60 * US_PER_S, false);
        begin_both();
        int64_t before = metric_get(&stats_dropped);
        has("o1", 0, 12); /* 100 bytes each; 1000 may be queued */
        assert_int_equal(in_step(), 1);
        assert_int_equal(push_stored_us(t.push), 12 * CHUNK_US);
        assert_int_equal(metric_get(&stats_dropped), before);
}

static void test_what_is_not_in_memory_any_more_comes_from_the_peer_first(void **state)
{
        (void)state;
        reopen(&new_session, US_PER_S, false);
        begin_both();
        both_have(0, 1);
        chunk(0, 1);
        fail_at("o2", 1, ERR_TIMEOUT);
        store_at("o1", 1);
        has("o1", 2, 20);
        join_with("o2", with_v360(CHUNK_US));
        assert_int_equal(fake_calls(MSG_PUT), 0);
        assert_int_equal(in_step(), 1);
        join_with("o2", with_v360(18 * CHUNK_US)); /* its peer gave it the rest but two */
        store_at("o2", 18);
        store_at("o2", 19);
        assert_int_equal(in_step(), 2);
}

static void test_an_owner_that_lacks_chunks_says_so_and_is_joined_not_told_as_an_error(void **state)
{
        (void)state;
        begin_both();
        both_have(0, 3);
        int64_t before = metric_get(&stats_dropped);
        chunk(0, 3);
        store_at("o1", 3);
        refuse_at("o2", 3, (struct put_reply){.status = ERR_ORDER, .end_us = CHUNK_US});
        assert_int_equal(in_step(), 1);
        assert_int_equal(metric_get(&stats_dropped), before);
        join_with("o2", with_v360(CHUNK_US));
        store_all("o2", 1, 4);
        assert_int_equal(in_step(), 2);
}

static void test_one_that_started_anew_takes_nothing_before_it_is_joined(void **state)
{
        (void)state;
        begin_both();
        both_have(0, 2);
        fake.origins[1].incarnation_us++;
        chunk(0, 2);
        assert_int_equal(fake_calls_of(MSG_PUT, "o2"), 0);
        store_at("o1", 2);
        assert_int_equal(push_stored_us(t.push), 3 * CHUNK_US);
        join_with("o2", with_v360(CHUNK_US));
        store_at("o2", 1);
        store_at("o2", 2);
        assert_int_equal(in_step(), 2);
}

/* ---- a session that goes on ------------------------------------------------------------------------------------------- */

static struct claim_reply goes_on(void)
{
        struct claim_reply m = with_v360(5 * CHUNK_US);
        m.generation = 1;
        return m;
}

static void test_one_with_the_same_as_the_leader_is_in_step_at_once(void **state)
{
        (void)state;
        struct claim_reply m = goes_on();
        reopen(&m, 60 * US_PER_S, false);
        join_with("o2", m);
        assert_int_equal(in_step(), 2);
        assert_int_equal(push_stored_us(t.push), 5 * CHUNK_US);
}

static void test_one_that_lacks_what_the_writer_before_wrote_waits_for_its_peer(void **state)
{
        (void)state;
        struct claim_reply m = goes_on();
        reopen(&m, 60 * US_PER_S, false);
        join_with("o2", with_v360(3 * CHUNK_US));
        assert_int_equal(in_step(), 1);
        track(0, "v360", TRACK_VIDEO);
        store_init("o1");
        chunk(0, 5);
        store_at("o1", 5);
        join_with("o2", with_v360(4 * CHUNK_US));
        assert_int_equal(in_step(), 1);
        join_with("o2", with_v360(5 * CHUNK_US));
        store_at("o2", 5);
        assert_int_equal(in_step(), 2);
}

static void test_one_with_more_of_the_writer_before_waits_until_that_is_cut_back(void **state)
{
        (void)state;
        struct claim_reply m = goes_on();
        m.generation = 2;
        reopen(&m, 60 * US_PER_S, false);
        struct claim_reply longer = with_v360(6 * CHUNK_US);
        struct claim message;
        struct fake_call call = fake_take_of(MSG_CLAIM, "o2");
        assert_int_equal(claim_decode(&call.body, &message), 0);
        assert_int_equal(message.generation, 2);
        fake_claimed(&call, &longer);
        assert_int_equal(in_step(), 1);
}

/* ---- who the owners are ------------------------------------------------------------------------------------------------ */

static void test_an_origin_that_comes_up_becomes_an_owner(void **state)
{
        (void)state;
        fake.up[1] = false;
        struct fake_call call = asked_to_join("o2"); /* it was up when the push began */
        fake_fail(&call, ERR_CLOSED);
        fake_add("o3");
        push_tick(t.push);
        join_with("o3", empty);
        assert_int_equal(in_step(), 2);
        fake.up[1] = true; /* again among the first two, and an owner anyway */
        push_tick(t.push);
        join_with("o2", empty);
        assert_int_equal(in_step(), 3);
}

static void test_a_newer_writer_at_any_owner_ends_it_everywhere(void **state)
{
        (void)state;
        begin_both();
        chunk(0, 0);
        refuse_at("o2", 0, (struct put_reply){.status = ERR_FENCED});
        assert_int_equal(t.fenced, 1);
        store_at("o1", 0);
        chunk(0, 1);
        assert_int_equal(fake.call_count, 0);
}

static void test_a_newer_writer_is_heard_of_from_one_that_is_joined(void **state)
{
        (void)state;
        struct claim_reply no = {.status = ERR_FENCED};
        join_with("o2", no);
        assert_int_equal(t.fenced, 1);
        assert_int_equal(fake.call_count, 0);
}

static void test_one_at_which_the_session_is_over_does_not_end_it_for_the_others(void **state)
{
        (void)state;
        struct claim_reply no = {.status = ERR_CLOSED};
        join_with("o2", no);
        assert_int_equal(t.lost, 0);
        track(0, "v360", TRACK_VIDEO);
        store_init("o1");
        chunk(0, 0);
        store_at("o1", 0);
        assert_int_equal(push_stored_us(t.push), CHUNK_US);
}

static void test_an_init_segment_that_one_of_them_refuses_ends_nothing(void **state)
{
        (void)state;
        join_with("o2", empty);
        track(0, "v360", TRACK_VIDEO);
        struct put m;
        struct fake_call call = put_of("o2", &m);
        fake_stored(&call, ERR_CONFLICT);
        assert_int_equal(t.refused, 0);
        assert_int_equal(in_step(), 1);
        store_init("o1");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_pair, close_pair)
        const struct CMUnitTest tests[] = {
                TEST(test_every_owner_in_step_gets_every_chunk_at_its_own_pace),
                TEST(test_with_a_quorum_of_one_the_first_that_stored_it_is_enough),
                TEST(test_what_was_called_stored_stays_so_when_the_one_that_has_it_is_gone),
                TEST(test_an_owner_is_not_in_step_before_it_has_what_counts_as_stored),
                TEST(test_an_owner_that_has_the_session_on_another_grid_is_not_in_step),
                TEST(test_an_owner_that_knows_one_grid_is_not_asked_to_join_on_the_other),
                TEST(test_a_far_owner_gets_in_step_too),
                TEST(test_end_goes_to_all_in_step_and_is_over_when_all_answered),
                TEST(test_an_owner_that_dies_at_the_end_does_not_hold_it_up),
                TEST(test_one_that_is_out_of_step_gets_the_rest_and_hears_of_the_end),
                TEST(test_one_that_lacks_what_is_not_in_memory_hears_of_the_end_all_the_same),
                TEST(test_one_at_which_it_is_over_already_needs_no_end),
                TEST(test_one_that_is_out_of_step_and_does_not_answer_holds_the_end_up_for_a_moment_only),
                TEST(test_an_owner_that_fails_is_out_of_step_at_once_and_the_others_go_on),
                TEST(test_an_owner_without_space_is_out_of_step),
                TEST(test_one_that_is_not_up_any_more_is_out_of_step_before_a_chunk_is_lost_on_it),
                TEST(test_the_last_one_in_step_keeps_its_queue_until_another_is_in_step),
                TEST(test_an_owner_that_is_too_slow_is_out_of_step_and_loses_nothing_from_the_queue),
                TEST(test_what_is_not_in_memory_any_more_comes_from_the_peer_first),
                TEST(test_an_owner_that_lacks_chunks_says_so_and_is_joined_not_told_as_an_error),
                TEST(test_one_that_started_anew_takes_nothing_before_it_is_joined),
                TEST(test_one_with_the_same_as_the_leader_is_in_step_at_once),
                TEST(test_one_that_lacks_what_the_writer_before_wrote_waits_for_its_peer),
                TEST(test_one_with_more_of_the_writer_before_waits_until_that_is_cut_back),
                TEST(test_an_origin_that_comes_up_becomes_an_owner),
                TEST(test_a_newer_writer_at_any_owner_ends_it_everywhere),
                TEST(test_a_newer_writer_is_heard_of_from_one_that_is_joined),
                TEST(test_one_at_which_the_session_is_over_does_not_end_it_for_the_others),
                TEST(test_an_init_segment_that_one_of_them_refuses_ends_nothing),
        };
        log_init("push_owners", LOG_ERROR + 1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
