/* session, proxies, broadcaster: what proxies are answered, with a pipeline and origins played here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "session_fixture.h"
#include "transcoderd/push/push_owner.h"

/* ---- OPEN ------------------------------------------------------------------------------------------------------------- */

static void test_open_is_answered_with_what_the_origin_granted(void **state)
{
        (void)state;
        struct fake_call call;
        ask_open(0);
        assert_false(answered(0));
        struct claim m = claim_of(&call);
        assert_string_equal(m.stream, "cam");
        assert_string_equal(m.node, "t1");
        assert_string_equal(m.title, "A title");
        assert_int_equal(m.epoch_us, EPOCH);
        assert_int_equal(m.grace_ms, 30000);
        struct claim_reply reply = {.session = OTHER, .epoch_us = EPOCH - 5 * US_PER_S, .generation = 7, .track_count = 2};
        reply.tracks[0] = (struct claim_track){.name = "v360", .end_us = 4 * US_PER_S};
        reply.tracks[1] = (struct claim_track){.name = "a64", .end_us = 4 * US_PER_S + 5};
        fake_claimed(&call, &reply);
        struct open_reply o = opened(0);
        assert_int_equal(o.status, 0);
        assert_string_equal(o.session, OTHER);
        assert_int_equal(o.epoch_us, EPOCH - 5 * US_PER_S);
        assert_int_equal(o.generation, 7);
        assert_int_equal(feed(0, o.handle, 0, 0).stored_us, 4 * US_PER_S);
        assert_int_equal(pipeline->o.resume_count, 2);
        assert_string_equal(pipeline->o.resume[1].track, "a64");
        assert_int_equal(pipeline->o.resume[1].end_us, 4 * US_PER_S + 5);
        assert_int_equal(pipeline->o.epoch_us, EPOCH - 5 * US_PER_S);
}

/* Its number has 32 bits, and so had the microseconds that were made of it: they came round again after 71 minutes. */
static void test_a_broadcast_of_three_hours_goes_on_where_it_was(void **state)
{
        (void)state;
        struct fake_call call;
        ask_open(0);
        claim_of(&call);
        struct claim_reply reply = {.session = OTHER, .epoch_us = EPOCH, .generation = 7, .track_count = 1};
        reply.tracks[0] = (struct claim_track){.name = "v360", .next_segment = 10800, .next_chunk = 2,
                                               .end_us = 10800 * US_PER_S + 399000};
        fake_claimed(&call, &reply);
        assert_int_equal(opened(0).status, 0);
        assert_true(pipeline->o.resume[0].from_us == 10800 * US_PER_S + 400000);
}

static void test_an_origin_that_refuses_is_followed_by_the_next(void **state)
{
        (void)state;
        struct fake_call call;
        fake_add("o2");
        ask_open(0);
        claim_of(&call);
        assert_string_equal(call.origin, "o1");
        struct claim_reply no = {.status = ERR_NOSPACE};
        fake_claimed(&call, &no);
        assert_false(answered(0));
        claim_of(&call);
        assert_string_equal(call.origin, "o2");
        fake_fail(&call, ERR_CLOSED);
        assert_int_equal(opened(0).status, ERR_CLOSED);
        assert_null(ss.first);
        assert_null(pipeline);
}

static void test_without_an_origin_there_is_no_session(void **state)
{
        (void)state;
        fake.up[0] = false;
        ask_open(0);
        assert_int_equal(opened(0).status, ERR_CLOSED);
        assert_null(ss.first);
}

static void test_a_malformed_claim_answer_costs_the_origin_its_connection(void **state)
{
        (void)state;
        struct fake_call call;
        ask_open(0);
        claim_of(&call);
        fake_ended(&call, 0);
        assert_int_equal(fake.drops, 1);
        assert_true(opened(0).status < 0);
}

static void test_unsupported_codecs_are_refused_before_anything_is_claimed(void **state)
{
        (void)state;
        struct open m = {.stream = "cam", .epoch_us = EPOCH, .codecs = {7, CODEC_AAC}};
        say(0, message_new(MSG_OPEN, open_encode, &m));
        assert_int_equal(opened(0).status, ERR_UNSUPPORTED);
        m.codecs[TRACK_VIDEO] = m.codecs[TRACK_AUDIO] = CODEC_NONE;
        say(0, message_new(MSG_OPEN, open_encode, &m));
        assert_int_equal(opened(0).status, ERR_UNSUPPORTED);
        assert_int_equal(fake.call_count, 0);
}

static void test_a_full_node_says_so(void **state)
{
        (void)state;
        ss.max_sessions = 1;
        begin();
        struct open m = {.stream = "other", .epoch_us = EPOCH, .codecs = {CODEC_NONE, CODEC_AAC}};
        say(1, message_new(MSG_OPEN, open_encode, &m));
        assert_int_equal(opened(1).status, ERR_FULL);
}

/* Encoders that end are as heavy as those that run: for so long as they take, an OPEN over max_sessions waits. */
static void test_encoders_that_are_closing_have_their_place_until_they_are_gone(void **state)
{
        (void)state;
        ss.max_sessions = 2;
        reaper.closing = 2;
        ask_open(0);
        sessions_tick(&ss, clock_mono_us() + OPENS_WAIT_US - US_PER_S);
        assert_int_equal(metric_get(&stats_closing), 2);
        assert_false(answered(0));
        sessions_have_room(&ss); /* of another one: still full, and the wait is not longer for it */
        sessions_tick(&ss, clock_mono_us() + 3 * US_PER_S);
        assert_int_equal(opened(0).status, ERR_NOT_YET);

        ask_open(0);
        assert_false(answered(0));
        reaper.closing = 1;
        sessions_have_room(&ss);
        grant();
        assert_int_equal(opened(0).status, 0);
}

/* Its proxy has asked another node by then, and two would have the session. */
static void test_what_waited_for_a_place_does_not_wait_as_long_again_for_its_start(void **state)
{
        (void)state;
        ss.max_sessions = 2;
        reaper.closing = 2;
        ask_open(0);
        for (int i = 0; i < OPENS_WAITING_MAX; i++)
                ss.opens.waiting[i].until_us -= OPENS_WAIT_US;
        reaper.closing = 0;
        sessions_have_room(&ss);
        grant();
        assert_int_equal(opened(0).status, ERR_FULL);
        assert_null(ss.first);
        assert_int_equal(pipelines, 0);
}

static void test_a_claim_whose_pipeline_cannot_start_is_ended(void **state)
{
        (void)state;
        pipeline_refusal = ERR_UNSUPPORTED;
        ask_open(0);
        grant();
        assert_int_equal(opened(0).status, ERR_UNSUPPORTED);
        expect_end();
        assert_null(ss.first);
}

/* It is this node that lacks threads, not the stream that cannot be encoded: nobody is told that the broadcast is over. */
static void test_a_claim_is_left_to_another_node_where_there_is_no_thread_for_its_pipeline(void **state)
{
        (void)state;
        pipeline_refusal = ERR_LIMIT;
        ask_open(0);
        grant();
        assert_int_equal(opened(0).status, ERR_FULL);
        assert_null(ss.first);
        assert_int_equal(fake_calls(MSG_END), 0);
        assert_int_equal(ss.starts.under_way, 0); /* or nobody's encoders would be opened any more */
}

static void test_an_open_during_the_claim_takes_over_when_that_is_through(void **state)
{
        (void)state;
        ask_open(0);
        ask_open(1);
        assert_false(answered(1));
        grant();
        assert_int_equal(opened(0).status, 0);
        assert_int_equal(opened(1).status, 0);
        assert_string_equal(opened(0).session, opened(1).session);
        uint64_t first = opened(0).handle, second = opened(1).handle;
        assert_int_equal(feed(0, first, 0, 1).status, ERR_CONFLICT);
        assert_int_equal(feed(1, second, 0, 1).status, 0);
        assert_int_equal(pipelines, 1);
}

static void test_the_ladder_is_the_configuration_as_it_is_now(void **state)
{
        (void)state;
        json_decref(ladder);
        ladder = json_loads("[{\"video\": [{\"height\": 360, \"kbps\": 600}], \"audio\": []}]", 0, NULL);
        begin();
        assert_int_equal(pipeline->o.ladder.video_count, 1);
        assert_int_equal(pipeline->o.ladder.video[0].height, 360);
}

/* ---- MEDIA ------------------------------------------------------------------------------------------------------------ */

static void test_frames_are_taken_in_order_as_far_as_there_is_room(void **state)
{
        (void)state;
        uint64_t handle = begin();
        struct media_reply m = feed(0, handle, 0, 5);
        assert_int_equal(m.status, 0);
        assert_int_equal(m.next_seq, 5);
        assert_int_equal(m.credit, 3);
        m = feed(0, handle, 5, 5);
        assert_int_equal(m.status, 0);
        assert_int_equal(m.next_seq, 8);
        assert_int_equal(m.credit, 0);
        assert_int_equal(pipeline->frames, 8);
        pipeline->room = 8;
        m = feed(0, handle, 10, 1);
        assert_int_equal(m.status, ERR_ORDER);
        assert_int_equal(m.next_seq, 8);
        m = feed(0, handle, 4, 3);
        assert_int_equal(m.status, ERR_ORDER);
        assert_int_equal(m.next_seq, 8);
        assert_int_equal(pipeline->frames, 8);
        assert_int_equal(feed(0, handle, 5, 3).status, 0); /* sent again: it has them */
        assert_int_equal(pipeline->frames, 8);
        m = feed(0, handle, 5, 5);
        assert_int_equal(m.status, 0);
        assert_int_equal(m.next_seq, 10);
        assert_int_equal(pipeline->frames, 10);
        assert_int_equal(feed(0, handle, 10, 1).next_seq, 11);
}

static void test_media_is_told_how_far_all_is_stored(void **state)
{
        (void)state;
        uint64_t handle = begin();
        make_chunk(0);
        make_chunk(1);
        assert_int_equal(feed(0, handle, 0, 0).stored_us, 0);
        fake_store_all();
        assert_int_equal(feed(0, handle, 0, 0).stored_us, 2 * CHUNK_US);
}

static void test_a_handle_that_never_was_is_not_found(void **state)
{
        (void)state;
        uint64_t handle = begin();
        assert_int_equal(feed(1, handle + 1, 0, 1).status, ERR_NOT_FOUND);
        assert_int_equal(feed(1, 0, 0, 1).status, ERR_NOT_FOUND);
        assert_int_equal(close_stream(1, 0, CLOSE_STOPPED), ERR_NOT_FOUND);
        expect_state("live");
}

static void test_malformed_messages_cost_the_connection_and_nothing_else(void **state)
{
        (void)state;
        uint64_t handle = begin();
        static const uint8_t types[] = {MSG_OPEN, MSG_MEDIA, MSG_CLOSE, MSG_PUT};
        for (size_t i = 0; i < sizeof(types); i++) {
                struct status_reply m = {.status = -1};
                say(1, message_new(types[i], status_reply_encode, &m));
                assert_true(proxies[1].dropped);
        }
        assert_int_equal(feed(0, handle, 0, 1).status, 0);
}

/* One frame each, for two handles, in one message. */
static nng_msg *many_of(uint8_t type, uint64_t a, uint64_t a_seq, uint64_t b, uint64_t b_seq)
{
        struct buf *bytes = buf_copy("frame", 5);
        struct frame frame = {.codec = CODEC_H264, .bytes = bytes};
        struct media parts[] = {{.handle = a, .first_seq = a_seq, .count = 1, .frames = &frame},
                                {.handle = b, .first_seq = b_seq, .count = 1, .frames = &frame}};
        struct media_many m = {.count = 2, .parts = parts};
        nng_msg *msg = message_new(type, media_many_encode, &m);
        buf_unref(&bytes);
        return msg;
}

static nng_msg *many(uint64_t a, uint64_t a_seq, uint64_t b, uint64_t b_seq)
{
        return many_of(MSG_MEDIA_MANY, a, a_seq, b, b_seq);
}

static void test_what_is_only_told_is_taken_and_the_next_answer_says_so(void **state)
{
        (void)state;
        uint64_t handle = begin();
        unsigned before = passed;
        say(0, many_of(MSG_MEDIA_TOLD, handle + 1, 0, handle, 0));
        assert_null(proxies[0].reply);
        assert_int_equal(passed, before + 1);
        assert_int_equal(pipeline->frames, 1);
        say(0, many_of(MSG_MEDIA_TOLD, handle, 1, handle, 3)); /* the second part overtook what is before it, and waits */
        assert_int_equal(pipeline->frames, 2);
        struct media_reply m = feed(0, handle, 4, 1);
        assert_int_equal(m.status, ERR_ORDER);
        assert_int_equal(m.next_seq, 2);
        assert_int_equal(feed(0, handle, 2, 1).next_seq, 4);
        assert_int_equal(pipeline->frames, 4);

        nng_msg *cut = many_of(MSG_MEDIA_TOLD, handle, 4, handle, 5);
        nng_msg_chop(cut, 1);
        say(0, cut);
        assert_true(proxies[0].dropped);
        assert_int_equal(passed, before + 2);
}

static void test_batches_that_share_a_message_are_answered_as_if_alone(void **state)
{
        (void)state;
        uint64_t handle = begin();
        assert_int_equal(feed(0, handle, 0, 2).takes_many, 1);
        struct media_many_reply m;
        struct reader r;
        say(0, many(handle + 1, 0, handle, 2));
        assert_int_equal(message_open(&r, proxies[0].reply), MSG_MEDIA_MANY_REPLY);
        assert_int_equal(media_many_reply_decode(&r, &m), 0);
        assert_int_equal(m.count, 2);
        assert_int_equal(m.parts[0].status, ERR_NOT_FOUND);
        assert_int_equal(m.parts[1].status, 0);
        assert_int_equal(m.parts[1].next_seq, 3);
        assert_int_equal(m.parts[1].credit, 5);
        assert_int_equal(pipeline->frames, 3);

        nng_msg *cut = many(handle, 3, handle, 4);
        nng_msg_chop(cut, 1);
        say(0, cut);
        assert_true(proxies[0].dropped);
}

static void test_a_session_that_goes_on_keeps_its_grid_whatever_is_configured_here(void **state)
{
        (void)state;
        struct fake_call call;
        ask_open(0);
        struct claim m = claim_of(&call);
        assert_int_equal(chunk_us(m.chunk_ms), CHUNK_US);
        struct claim_reply reply = {.session = OTHER, .epoch_us = m.epoch_us, .generation = 2, .chunk_ms = CHUNK_MS_SHORT, .track_count = 1,
                                    .tracks = {{.name = "v360", .next_segment = 3, .next_chunk = 7, .end_us = 3690000}}};
        fake_claimed(&call, &reply);
        assert_int_equal(opened(0).status, 0);
        assert_int_equal(pipeline->o.chunk_ms, CHUNK_MS_SHORT);
        assert_int_equal(pipeline->o.resume[0].from_us, 3700000);
        assert_int_equal(ss.first->push->claim.chunk_ms, CHUNK_MS_SHORT); /* as other owners are told */
}

static void test_a_session_that_begins_has_the_grid_that_is_configured_for_it(void **state)
{
        (void)state;
        struct fake_call call;
        json_t *before = ladder;
        ss.chunk_ms = CHUNK_MS_SHORT;
        ask_open(0);
        struct claim m = claim_of(&call);
        assert_int_equal(m.chunk_ms, CHUNK_MS_SHORT);
        struct claim_reply reply = {.session = OTHER, .epoch_us = m.epoch_us, .generation = 1}; /* it is the origins that say what it is */
        fake_claimed(&call, &reply);
        assert_int_equal(chunk_us(pipeline->o.chunk_ms), CHUNK_US);
        close_stream(0, opened(0).handle, CLOSE_STOPPED);
        pipeline->events->drained(pipeline->arg, 0);
        expect_end();
        ladder = json_loads("[{\"match\": \"cam\", \"chunk_ms\": 200}]", 0, NULL);
        ask_open(0);
        assert_int_equal(chunk_us(claim_of(&call).chunk_ms), CHUNK_US);
        reply.chunk_ms = CHUNK_MS;
        fake_claimed(&call, &reply);
        json_decref(ladder);
        ladder = before;
}

/* ---- a second proxy ----------------------------------------------------------------------------------------------------- */

static void test_another_proxy_takes_the_running_session_over(void **state)
{
        (void)state;
        uint64_t first = begin();
        feed(0, first, 0, 2);
        make_chunk(0);
        fake_store_all();
        pipeline->frames = pipeline->configs = 0;
        ask_open(1);
        struct open_reply o = opened(1);
        assert_int_equal(o.status, 0);
        assert_string_equal(o.session, ss.first->id);
        assert_int_equal(fake_calls(MSG_CLAIM), 0);
        assert_int_equal(feed(0, first, 2, 1).status, ERR_CONFLICT);
        assert_int_equal(close_stream(0, first, CLOSE_STOPPED), ERR_NOT_FOUND);
        expect_state("live");
        struct media_reply taken = feed(1, o.handle, 0, 2);
        assert_int_equal(taken.status, 0);
        assert_int_equal(taken.stored_us, CHUNK_US);
        assert_int_equal(pipeline->frames, 2);
        assert_int_equal(pipeline->configs, 1);
        assert_true(pipeline->first_flags & FRAME_CONFIG); /* before the frames that need it */
        assert_int_equal(pipelines, 1);
}

static void test_a_configuration_without_room_waits_and_so_do_its_frames(void **state)
{
        (void)state;
        begin();
        ask_open(1);
        uint64_t handle = opened(1).handle;
        pipeline->room = 0;
        assert_int_equal(feed(1, handle, 0, 2).next_seq, 0);
        pipeline->room = 2;
        assert_int_equal(feed(1, handle, 0, 2).next_seq, 1);
        assert_true(pipeline->first_flags & FRAME_CONFIG);
}

static void test_open_if_held_begins_nothing(void **state)
{
        (void)state;
        ask_open_as(0, OPEN_PRIMARY, OPEN_IF_HELD);
        assert_int_equal(opened(0).status, ERR_NOT_FOUND);
        assert_int_equal(fake.call_count, 0);
        ask_open(0);
        ask_open_as(1, OPEN_PRIMARY, OPEN_IF_HELD);
        assert_int_equal(opened(1).status, ERR_NOT_YET);
        grant();
        ask_open_as(1, OPEN_BACKUP, OPEN_IF_HELD);
        assert_int_equal(opened(1).status, 0);
}

static void test_open_if_free_takes_nobodys_place(void **state)
{
        (void)state;
        uint64_t primary = begin();
        ask_open_as(1, OPEN_PRIMARY, OPEN_IF_FREE);
        assert_int_equal(opened(1).status, ERR_CONFLICT);
        ask_open_as(1, OPEN_BACKUP, OPEN_IF_FREE);
        assert_int_equal(opened(1).status, 0);
        assert_int_equal(feed(0, primary, 0, 1).status, 0);
        ss.first->active.heard_us -= BROADCASTER_SILENT_US + 1;
        ask_open_as(2, OPEN_PRIMARY, OPEN_IF_FREE);
        assert_int_equal(opened(2).status, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_open_is_answered_with_what_the_origin_granted),
                TEST(test_a_broadcast_of_three_hours_goes_on_where_it_was),
                TEST(test_an_origin_that_refuses_is_followed_by_the_next),
                TEST(test_without_an_origin_there_is_no_session),
                TEST(test_a_malformed_claim_answer_costs_the_origin_its_connection),
                TEST(test_unsupported_codecs_are_refused_before_anything_is_claimed),
                TEST(test_a_full_node_says_so),
                TEST(test_encoders_that_are_closing_have_their_place_until_they_are_gone),
                TEST(test_what_waited_for_a_place_does_not_wait_as_long_again_for_its_start),
                TEST(test_a_claim_whose_pipeline_cannot_start_is_ended),
                TEST(test_a_claim_is_left_to_another_node_where_there_is_no_thread_for_its_pipeline),
                TEST(test_an_open_during_the_claim_takes_over_when_that_is_through),
                TEST(test_the_ladder_is_the_configuration_as_it_is_now),
                TEST(test_frames_are_taken_in_order_as_far_as_there_is_room),
                TEST(test_media_is_told_how_far_all_is_stored),
                TEST(test_a_session_that_goes_on_keeps_its_grid_whatever_is_configured_here),
                TEST(test_a_session_that_begins_has_the_grid_that_is_configured_for_it),
                TEST(test_a_handle_that_never_was_is_not_found),
                TEST(test_malformed_messages_cost_the_connection_and_nothing_else),
                TEST(test_batches_that_share_a_message_are_answered_as_if_alone),
                TEST(test_what_is_only_told_is_taken_and_the_next_answer_says_so),
                TEST(test_another_proxy_takes_the_running_session_over),
                TEST(test_a_configuration_without_room_waits_and_so_do_its_frames),
                TEST(test_open_if_held_begins_nothing),
                TEST(test_open_if_free_takes_nobodys_place),
        };
        log_init("session", LOG_ERROR + 1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
