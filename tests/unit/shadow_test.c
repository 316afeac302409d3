/* A session that two transcoders encode at the same time: the shadow's part, and how it comes to lead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <xxhash.h>

#include "session_fixture.h"

static struct open lockstep_open(uint8_t when)
{
        struct open m = {.stream = "cam", .role = OPEN_NOW, .when = when, .lockstep = 1, .epoch_us = EPOCH,
                         .ahead_us = 5 * US_PER_S, .codecs = {CODEC_H264, CODEC_NONE}};
        m.config[TRACK_VIDEO].data = (const uint8_t *)"avcC";
        m.config[TRACK_VIDEO].len = 4;
        return m;
}

static void ask_beside(unsigned proxy, uint32_t generation)
{
        struct open m = lockstep_open(OPEN_BESIDE);
        m.generation = generation;
        strcpy(m.session, OTHER);
        strcpy(m.node, "t2");
        say(proxy, message_new(MSG_OPEN, open_encode, &m));
}

static struct claim_reply session_of(uint32_t generation, int64_t end_us)
{
        struct claim_reply m = {.session = OTHER, .epoch_us = EPOCH, .generation = generation,
                                .written_generation = generation, .track_count = 1};
        m.tracks[0] = (struct claim_track){.name = "v360", .end_us = end_us};
        return m;
}

static struct claim expect_join(uint32_t generation, const char *node, int64_t end_us)
{
        struct fake_call call;
        struct claim m = claim_of(&call);
        assert_int_equal(m.flags, CLAIM_JOIN);
        assert_int_equal(m.generation, generation);
        assert_string_equal(m.node, node);
        assert_string_equal(m.session, OTHER);
        assert_int_equal(m.epoch_us, EPOCH);
        struct claim_reply reply = session_of(generation, end_us);
        fake_claimed(&call, &reply);
        return m;
}

static uint64_t begin_beside(void)
{
        ask_beside(0, 7);
        expect_join(7, "t2", 0);
        assert_int_equal(opened(0).status, 0);
        return opened(0).handle;
}

static struct media_reply feed_as(uint64_t handle, uint64_t seq, bool shadow)
{
        struct media m = {.handle = handle, .first_seq = seq, .shadow = shadow, .fresh = 1};
        struct media_reply reply;
        struct reader r;
        say(0, message_new(MSG_MEDIA, media_encode, &m));
        assert_int_equal(message_open(&r, proxies[0].reply), MSG_MEDIA_REPLY);
        assert_int_equal(media_reply_decode(&r, &reply), 0);
        return reply;
}

/* Chunk n with its number for bytes; a keyframe begins each segment. */
static uint64_t make_numbered(int n)
{
        char text[16];
        snprintf(text, sizeof(text), "chunk %d", n);
        make_chunk_of(n, text);
        return XXH3_64bits(text, strlen(text));
}

static struct put expect_put(int n, int status)
{
        struct put m;
        struct fake_call call = fake_put(&m);
        assert_int_equal(m.segment * 5 + m.chunk, n);
        fake_stored(&call, status);
        m.bytes = NULL;
        return m;
}

static void expect_init_stored(void)
{
        struct put m;
        struct fake_call call = fake_put(&m);
        assert_true(m.flags & PUT_INIT);
        assert_true(m.previous == 0);
        fake_stored(&call, 0);
}

static void test_a_shadow_takes_up_the_leaders_session_in_the_leaders_words(void **state)
{
        (void)state;
        ask_beside(0, 7);
        expect_join(7, "t2", 4 * US_PER_S);
        struct open_reply o = opened(0);
        assert_int_equal(o.status, 0);
        assert_string_equal(o.session, OTHER);
        assert_string_equal(o.node, "t1");
        assert_int_equal(o.generation, 7);
        assert_int_equal(o.epoch_us, EPOCH);
        assert_int_equal(o.skew_us, 0); /* the leader's clock is the stream's */
        assert_int_equal(push_stored_us(ss.first->push), 4 * US_PER_S);
        assert_int_equal(pipeline->o.epoch_us, EPOCH);
        assert_int_equal(pipeline->o.resume[0].end_us, 4 * US_PER_S);
        assert_true(pipeline->o.lockstep_segments > 0);
}

static void test_only_streams_with_two_encoders_are_encoded_in_lockstep(void **state)
{
        (void)state;
        begin();
        assert_int_equal(pipeline->o.lockstep_segments, 0);
        make_numbered(0);
        expect_init_stored();
        assert_true(expect_put(0, 0).previous == 0);
        make_numbered(1);
        assert_true(expect_put(1, 0).previous == 0);
}

static void test_what_a_shadow_puts_says_so_and_what_it_goes_on_from(void **state)
{
        (void)state;
        begin_beside();
        uint64_t hash = make_numbered(0);
        expect_init_stored();
        struct put m = expect_put(0, 0);
        assert_int_equal(m.flags, PUT_SHADOW);
        assert_int_equal(m.generation, 7);
        assert_true(m.previous == 0);
        for (int n = 1; n < 6; n++) {
                uint64_t next = make_numbered(n);
                m = expect_put(n, 0);
                assert_true(m.flags & PUT_SHADOW);
                assert_true(m.previous == hash);
                hash = next;
        }
        make_numbered(LOCKSTEP_SEGMENTS * 5); /* here it begins anew, as the leader does */
        assert_true(expect_put(LOCKSTEP_SEGMENTS * 5, 0).previous == 0);
}

static void test_what_a_shadow_makes_before_it_is_in_lockstep_fits_nowhere(void **state)
{
        (void)state;
        begin_beside();
        announce_track();
        expect_init_stored();
        uint64_t hash = make_numbered(4); /* a keyframe in the middle of what the leader makes */
        assert_true(expect_put(4, 0).previous == CHAIN_APART);
        make_numbered(5); /* one at the beginning of a segment, from another encoder state */
        assert_true(expect_put(5, 0).previous == hash);
}

static void test_one_that_leads_begins_every_segment_by_itself(void **state)
{
        (void)state;
        uint64_t handle = begin_beside();
        make_numbered(0);
        expect_init_stored();
        expect_put(0, 0);
        feed_as(handle, 0, false);
        expect_join(8, "t1", CHUNK_US);
        for (int n = 1; n < 5; n++) {
                make_numbered(n);
                expect_put(n, 0);
        }
        make_numbered(5);
        assert_true(expect_put(5, 0).previous == 0);
}

static void test_a_leader_of_two_says_what_its_chunks_go_on_from_too(void **state)
{
        (void)state;
        struct open m = lockstep_open(0);
        say(0, message_new(MSG_OPEN, open_encode, &m));
        grant();
        assert_true(pipeline->o.lockstep_segments > 0);
        uint64_t hash = make_numbered(0);
        expect_init_stored();
        assert_int_equal(expect_put(0, 0).flags & PUT_SHADOW, 0);
        make_numbered(1);
        assert_true(expect_put(1, 0).previous == hash);
}

static void test_a_shadow_that_is_to_lead_raises_the_generation_under_its_own_name(void **state)
{
        (void)state;
        uint64_t handle = begin_beside();
        make_numbered(0);
        expect_init_stored();
        expect_put(0, 0);
        assert_int_equal(feed_as(handle, 0, true).generation, 7);
        assert_int_equal(fake_calls(MSG_CLAIM), 0);
        assert_int_equal(feed_as(handle, 0, false).generation, 8);
        expect_join(8, "t1", CHUNK_US);
        make_numbered(1);
        struct put m = expect_put(1, 0);
        assert_int_equal(m.generation, 8);
        assert_int_equal(m.flags & PUT_SHADOW, 0);
        assert_int_equal(feed_as(handle, 0, false).generation, 8); /* once */
        assert_int_equal(fake_calls(MSG_CLAIM), 0);
}

static void test_a_chunk_that_its_own_raise_fenced_is_sent_again(void **state)
{
        (void)state;
        uint64_t handle = begin_beside();
        make_numbered(0);
        expect_init_stored();
        feed_as(handle, 0, false); /* while chunk 0 is under way */
        assert_int_equal(expect_put(0, ERR_FENCED).generation, 7);
        expect_join(8, "t1", 0);
        assert_int_equal(expect_put(0, 0).generation, 8);
        expect_state("live");
        make_numbered(1);
        assert_int_equal(expect_put(1, 0).generation, 8);
        make_numbered(2);
        expect_put(2, ERR_FENCED); /* and by another one it is fenced as ever */
        assert_null(ss.first);
}

static void test_a_join_that_was_under_way_at_the_raise_is_made_again(void **state)
{
        (void)state;
        uint64_t handle = begin_beside();
        make_numbered(0);
        expect_init_stored();
        push_verify(ss.first->push); /* a JOIN by 7 … */
        feed_as(handle, 0, false);
        expect_put(0, 0);
        expect_join(7, "t2", CHUNK_US);
        expect_join(8, "t1", CHUNK_US); /* … is not the last word */
        make_numbered(1);
        assert_int_equal(expect_put(1, 0).generation, 8);
}

static void test_an_ordinary_open_makes_a_shadow_lead(void **state)
{
        (void)state;
        begin_beside();
        ask_open(1);
        assert_int_equal(opened(1).generation, 8);
        expect_join(8, "t1", 0);
}

static void test_who_asks_for_the_stream_is_sent_on_to_the_one_that_leads(void **state)
{
        (void)state;
        uint64_t handle = begin_beside();
        ask_open_as(1, OPEN_PRIMARY, OPEN_IF_HELD);
        assert_int_equal(opened(1).status, ERR_NOT_FOUND);
        feed_as(handle, 0, false);
        expect_join(8, "t1", 0);
        ask_open_as(1, OPEN_PRIMARY, OPEN_IF_HELD);
        assert_int_equal(opened(1).status, 0);
}

static void test_a_shadow_never_ends_the_session(void **state)
{
        (void)state;
        uint64_t handle = begin_beside();
        make_numbered(0);
        fake_store_all();
        assert_int_equal(close_stream(0, handle, CLOSE_STOPPED), 0);
        assert_null(ss.first);
        assert_int_equal(fake_calls(MSG_END), 0);
}

static void test_a_shadow_leaves_at_once_when_its_node_is_to_stop(void **state)
{
        (void)state;
        begin_beside();
        make_numbered(0);
        fake_store_all();
        sessions_drain(&ss);
        assert_null(ss.first);
        assert_int_equal(fake_calls(MSG_PUT) + fake_calls(MSG_END), 0);
}

static void test_a_shadow_without_frames_leaves_after_the_grace_time(void **state)
{
        (void)state;
        begin_beside();
        silence(SESSION_SILENT_US);
        expect_state("grace");
        ss.first->grace_until_us = clock_mono_us();
        sessions_tick(&ss, clock_mono_us());
        assert_null(ss.first);
        assert_int_equal(fake_calls(MSG_END), 0);
}

static void test_a_shadow_that_cannot_encode_leaves_the_session_alone(void **state)
{
        (void)state;
        begin_beside();
        pipeline->events->failed(pipeline->arg, ERR_IO, "no such encoder");
        assert_null(ss.first);
        assert_int_equal(fake_calls(MSG_END), 0);
}

static void test_one_that_is_told_to_leave_is_gone_at_once(void **state)
{
        (void)state;
        uint64_t handle = begin(); /* a leader too: the proxy has moved to another */
        make_chunk(0);
        assert_int_equal(close_stream(0, handle, CLOSE_LEAVE), 0);
        assert_null(ss.first);
        assert_int_equal(fake_calls(MSG_END), 0);
        struct fake_call call = fake_take(MSG_PUT);
        fake_fail(&call, ERR_CANCELED);
}

static void test_a_shadow_of_a_newer_generation_takes_the_place_of_what_is_here(void **state)
{
        (void)state;
        begin_beside();
        ask_beside(1, 9); /* the leader is another one by now */
        assert_int_equal(pipelines, 1);
        expect_join(9, "t2", 0);
        assert_int_equal(opened(1).status, 0);
        assert_int_equal(opened(1).generation, 9);
        assert_int_equal(pipelines, 2);
        ask_beside(2, 9); /* its proxy has lost the connection */
        assert_int_equal(opened(2).status, 0);
        assert_int_equal(pipelines, 2);
}

static void test_a_shadow_of_an_older_generation_is_refused(void **state)
{
        (void)state;
        uint64_t handle = begin_beside();
        feed_as(handle, 0, false);
        expect_join(8, "t1", 0);
        ask_beside(1, 7);
        assert_int_equal(opened(1).status, ERR_FENCED);
        expect_state("live");
}

static void test_a_node_that_is_behind_takes_no_shadow(void **state)
{
        (void)state;
        begin();
        ss.first->behind_since_us = clock_mono_us() - 10 * US_PER_S;
        struct open m = lockstep_open(OPEN_BESIDE);
        m.generation = 7;
        strcpy(m.stream, "another");
        strcpy(m.session, OTHER);
        strcpy(m.node, "t2");
        say(1, message_new(MSG_OPEN, open_encode, &m));
        assert_int_equal(opened(1).status, ERR_FULL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                T(test_a_shadow_takes_up_the_leaders_session_in_the_leaders_words),
                T(test_only_streams_with_two_encoders_are_encoded_in_lockstep),
                T(test_what_a_shadow_puts_says_so_and_what_it_goes_on_from),
                T(test_what_a_shadow_makes_before_it_is_in_lockstep_fits_nowhere),
                T(test_one_that_leads_begins_every_segment_by_itself),
                T(test_a_leader_of_two_says_what_its_chunks_go_on_from_too),
                T(test_a_shadow_that_is_to_lead_raises_the_generation_under_its_own_name),
                T(test_a_chunk_that_its_own_raise_fenced_is_sent_again),
                T(test_a_join_that_was_under_way_at_the_raise_is_made_again),
                T(test_an_ordinary_open_makes_a_shadow_lead),
                T(test_who_asks_for_the_stream_is_sent_on_to_the_one_that_leads),
                T(test_a_shadow_never_ends_the_session),
                T(test_a_shadow_leaves_at_once_when_its_node_is_to_stop),
                T(test_a_shadow_without_frames_leaves_after_the_grace_time),
                T(test_a_shadow_that_cannot_encode_leaves_the_session_alone),
                T(test_one_that_is_told_to_leave_is_gone_at_once),
                T(test_a_shadow_of_a_newer_generation_takes_the_place_of_what_is_here),
                T(test_a_shadow_of_an_older_generation_is_refused),
                T(test_a_node_that_is_behind_takes_no_shadow),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
