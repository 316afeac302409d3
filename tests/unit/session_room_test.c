/* Which streams may begin, and when: room on the machine, turns, credit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "session_fixture.h"

static void test_a_node_that_stays_behind_real_time_takes_only_streams_that_go_on(void **state)
{
        (void)state;
        begin();
        ss.first->behind_since_us = clock_mono_us() - 10 * US_PER_S;
        struct open m = {.stream = "other", .epoch_us = EPOCH, .codecs = {CODEC_NONE, CODEC_AAC}};
        struct fake_call call;
        say(1, message_new(MSG_OPEN, open_encode, &m));
        claim_of(&call);
        fake_claimed(&call, &(struct claim_reply){.status = ERR_NOT_FOUND});
        assert_int_equal(opened(1).status, ERR_FULL);
        m.generation = 3;
        say(1, message_new(MSG_OPEN, open_encode, &m));
        assert_false(answered(1));
        assert_int_equal(fake_calls(MSG_CLAIM), 1);
}

/* It takes as long as it takes, and others come first where they are at the live edge (precedence.h). */
static void test_a_session_that_catches_up_with_a_backlog_keeps_nobody_out(void **state)
{
        (void)state;
        begin();
        pipeline->behind_us = 17 * US_PER_S;
        pipeline->gains = true;
        sessions_tick(&ss, clock_mono_us());
        assert_false(ss.first->behind);
        assert_int_equal(ss.first->behind_since_us, 0);
        pipeline->gains = false;
        sessions_tick(&ss, clock_mono_us());
        assert_true(ss.first->behind);
        pipeline->gains = true; /* it was too slow, and is behind until it is not */
        sessions_tick(&ss, clock_mono_us());
        assert_true(ss.first->behind);
        pipeline->behind_us = 0;
        sessions_tick(&ss, clock_mono_us());
        assert_false(ss.first->behind);
}

/* Its encoders are gone, and only its last chunks are not stored yet: that is no reason to take no streams. */
static void test_a_session_that_was_behind_when_it_ended_keeps_nobody_out(void **state)
{
        (void)state;
        uint64_t handle = begin();
        make_chunk(0);
        ss.first->behind_since_us = clock_mono_us() - 10 * US_PER_S;
        close_stream(0, handle, CLOSE_STOPPED);
        fake.up[0] = false;
        pipeline->events->drained(pipeline->arg, CHUNK_US);
        expect_state("ending");
        fake.up[0] = true;
        struct open m = {.stream = "other", .epoch_us = EPOCH, .codecs = {CODEC_NONE, CODEC_AAC}};
        say(1, message_new(MSG_OPEN, open_encode, &m));
        assert_false(answered(1));
        assert_int_equal(fake_calls(MSG_CLAIM), 1);
}

static void open_when(unsigned proxy, const char *stream, uint32_t generation, uint8_t when)
{
        struct open m = {.epoch_us = EPOCH, .generation = generation, .when = when, .codecs = {CODEC_H264, CODEC_NONE}};
        snprintf(m.stream, sizeof(m.stream), "%s", stream);
        say(proxy, message_new(MSG_OPEN, open_encode, &m));
}

static void open_of(unsigned proxy, const char *stream, uint32_t generation)
{
        open_when(proxy, stream, generation, 0);
}

/* A usual stream costs 64 million pixels a second, by the default ladder. */
static void test_a_stream_that_does_not_fit_beside_the_others_is_refused_unless_it_goes_on(void **state)
{
        (void)state;
        ss.max_sessions = 10;
        ss.capacity.cpus = 0.9; /* 112 million */
        begin();
        struct fake_call call;
        int64_t refused = stats_refused_capacity.value;
        open_of(1, "other", 0);
        struct claim m = claim_of(&call);
        assert_int_equal(m.flags, CLAIM_ONLY_LIVE); /* nothing is made for it at the origins */
        fake_claimed(&call, &(struct claim_reply){.status = ERR_NOT_FOUND});
        assert_int_equal(opened(1).status, ERR_FULL);
        assert_int_equal(stats_refused_capacity.value, refused + 1);
        open_of(1, "other", 3);
        assert_false(answered(1));
        assert_int_equal(fake_calls(MSG_CLAIM), 1);
        ss.capacity.percent = 0;
        open_of(2, "third", 0);
        assert_false(answered(2));
        assert_int_equal(fake_calls(MSG_CLAIM), 2);
}

/* A proxy remembers a stream's generation for long, so whoever publishes a name again has one. What the session was is over. */
static void test_a_name_that_was_published_before_has_no_place_for_that(void **state)
{
        (void)state;
        ss.max_sessions = 10;
        ss.capacity.cpus = 0.9;
        begin();
        pipeline->events->ready(pipeline->arg);
        struct fake_call call;
        open_of(1, "again", 3);
        claim_of(&call);
        fake_claimed(&call, &(struct claim_reply){.status = ERR_NOT_FOUND});
        assert_int_equal(opened(1).status, ERR_FULL);
        assert_int_equal(ss.count, 1);
}

static void test_what_goes_on_has_its_place_whoever_knows_of_it(void **state)
{
        (void)state;
        struct fake_call call;
        ss.max_sessions = 10;
        ss.capacity.cpus = 0.9;
        begin();
        ss.starts.at_once = 0; /* there is one pipeline here, so these wait */
        open_of(1, "stored", 3); /* by the proxy to which the broadcaster has come back */
        claim_of(&call);
        struct claim_reply reply = {.session = OTHER, .epoch_us = EPOCH, .generation = 4, .track_count = 1};
        reply.tracks[0] = (struct claim_track){.name = "v360", .end_us = 4 * US_PER_S};
        fake_claimed(&call, &reply);
        assert_true(ss.first->goes_on);
        open_when(2, "lost", 3, OPEN_GOES_ON); /* by its own proxy, after a time without any transcoder */
        grant();
        assert_true(ss.first->goes_on);
        open_of(3, "moved", 0); /* by a proxy that never heard of it */
        assert_int_equal(claim_of(&call).flags, CLAIM_ONLY_LIVE);
        strcpy(reply.session, "20250101T000000Z-00000007");
        fake_claimed(&call, &reply);
        assert_true(ss.first->goes_on);
        assert_int_equal(ss.count, 4);
}

/* More than fit in at first, for its configuration does not say how much comes. */
static void test_what_comes_is_what_a_session_costs(void **state)
{
        (void)state;
        begin();
        assert_in_range(ss.first->cost, 50000000, 80000000);
        pipeline->cost = 5;
        sessions_tick(&ss, clock_mono_us());
        assert_int_equal(ss.first->cost, 5);
        assert_int_equal(stats_promised.value, 5);
}

/* An attacker who has many encoders opened could make the machine look slow otherwise, and keep others out. */
static void test_what_opening_encoders_takes_says_nothing_of_the_capacity(void **state)
{
        (void)state;
        begin();
        sessions_tick(&ss, clock_mono_us());
        ss.pixels = 1000;
        ss.capacity.cpu_us -= 10 * US_PER_S; /* all that time was worked since */
        sessions_tick(&ss, clock_mono_us());
        assert_true(ss.capacity.pixel_ns == 0);
        pipeline->events->ready(pipeline->arg);
        ss.begun--; /* it began and was over since the tick before */
        ss.pixels = 1000;
        ss.capacity.cpu_us -= 10 * US_PER_S;
        sessions_tick(&ss, clock_mono_us());
        assert_true(ss.capacity.pixel_ns == 0);
        ss.pixels = 1000;
        ss.capacity.cpu_us -= 10 * US_PER_S;
        sessions_tick(&ss, clock_mono_us());
        assert_true(ss.capacity.pixel_ns > 0);
}

static unsigned open_many(unsigned count)
{
        unsigned claims = fake_calls(MSG_CLAIM);
        for (unsigned i = 0; i < count; i++) {
                char stream[16];
                snprintf(stream, sizeof(stream), "new%u", i);
                open_of(i % PROXIES, stream, 0);
        }
        return fake_calls(MSG_CLAIM) - claims;
}

static void test_new_streams_are_begun_a_few_at_a_time_and_the_others_wait_their_turn(void **state)
{
        (void)state;
        ss.max_sessions = 10;
        ss.capacity.percent = 0;
        struct fake_call call;
        for (unsigned i = 0; i < STARTS_NEW_MAX; i++) { /* a proxy has one request at a time here */
                struct open m = {.stream = "cam", .epoch_us = EPOCH, .codecs = {CODEC_H264, CODEC_NONE}};
                snprintf(m.stream, sizeof(m.stream), "new%u", i);
                assert_non_null(session_new(&ss, &m, NULL, INT64_MAX, 1, NULL));
        }
        assert_int_equal(open_many(1), 0);
        assert_false(answered(0));
        open_when(1, "goes-on", 3, OPEN_GOES_ON); /* it has viewers */
        assert_false(answered(1));
        assert_int_equal(fake_calls(MSG_CLAIM), STARTS_NEW_MAX + 1);
        claim_of(&call);
        fake_fail(&call, ERR_CLOSED); /* one of those is over */
        assert_int_equal(fake_calls(MSG_CLAIM), STARTS_NEW_MAX + 1);
        assert_false(answered(0));
}

/* The end of one session lets an OPEN have its turn, and that OPEN gives up a third session, whose claim is too old for it. */
static void test_a_tick_in_which_a_session_ends_another_goes_on_with_those_that_are_left(void **state)
{
        (void)state;
        struct fake_call call;
        ss.max_sessions = 20;
        ss.capacity.percent = 0;
        for (unsigned i = 0; i < STARTS_NEW_MAX; i++) {
                struct open m = {.epoch_us = EPOCH, .codecs = {CODEC_H264, CODEC_NONE}};
                snprintf(m.stream, sizeof(m.stream), "new%u", i);
                assert_non_null(session_new(&ss, &m, NULL, INT64_MAX, 1, NULL));
        }
        open_of(3, "first", 0);
        for (int64_t then_us = clock_mono_us(); clock_mono_us() == then_us;)
                ; /* else the next one could have its turn before it */
        open_of(0, "old", 5);
        open_when(1, "old", 3, OPEN_GOES_ON);
        call = fake.calls[--fake.call_count]; /* the new ones wait for their answers */
        struct claim_reply reply = {.session = OTHER, .epoch_us = EPOCH, .generation = 4};
        fake_claimed(&call, &reply);
        expect_state("live");
        open_when(2, "last", 3, OPEN_GOES_ON);
        ss.first->given_up = "it is over";
        for (int i = 0; i < OPENS_WAITING_MAX; i++)
                ss.opens.waiting[i].until_us *= strcmp(ss.opens.waiting[i].stream, "first") != 0;
        sessions_tick(&ss, clock_mono_us());
        assert_int_equal(opened(2).status, ERR_FULL);
        assert_null(session_find(&ss, "old"));
        assert_int_equal(ss.count, STARTS_NEW_MAX);
}

static void test_encoders_are_opened_one_stream_after_the_other(void **state)
{
        (void)state;
        ss.capacity.percent = 0;
        begin();
        struct session *first = ss.first;
        assert_int_equal(ss.starts.under_way, 1);
        open_of(1, "other", 0);
        grant();
        expect_state("queued");
        assert_false(answered(1));
        pipeline->events->ready(pipeline->arg);
        assert_int_equal(ss.starts.under_way, 0);
        assert_false(first->start.under_way);
        ss.first->start_by_us -= OPENS_WAIT_US + 1; /* its proxy waits no longer */
        sessions_tick(&ss, clock_mono_us());
        assert_int_equal(opened(1).status, ERR_FULL);
        assert_ptr_equal(ss.first, first);
}

static void test_a_session_that_ends_before_its_encoders_are_open_holds_nobody_up(void **state)
{
        (void)state;
        uint64_t handle = begin();
        assert_int_equal(ss.starts.under_way, 1);
        close_stream(0, handle, CLOSE_STOPPED);
        pipeline->events->drained(pipeline->arg, 0);
        assert_int_equal(ss.starts.under_way, 0);
        expect_end();
}

static void test_a_film_that_comes_faster_than_it_is_stored_waits_for_that(void **state)
{
        (void)state;
        uint64_t handle = begin();
        for (int n = 0; n < 26; n++) /* five seconds and a chunk */
                make_chunk(n);
        assert_int_equal(feed(0, handle, 0, 0).credit, 8); /* of a live one the oldest would go */
        pipeline->ahead = true;
        assert_int_equal(feed(0, handle, 0, 0).credit, 0);
        assert_int_equal(feed(0, handle, 0, 2).next_seq, 2); /* what comes nevertheless is taken */
        fake_store_all();
        assert_int_equal(feed(0, handle, 2, 0).credit, 6);
}

/* It is encoded faster than an origin far away stores it: its oldest chunks must not go for that, its proxy has the frames. */
static void test_a_backlog_that_is_encoded_faster_than_it_is_stored_waits_for_that(void **state)
{
        (void)state;
        uint64_t handle = begin();
        pipeline->backlog = true;
        assert_int_equal(feed(0, handle, 0, 0).credit, 8);
        for (int n = 0; n < 26; n++)
                make_chunk(n);
        assert_int_equal(feed(0, handle, 0, 0).credit, 0);
        fake_store_all();
        assert_int_equal(feed(0, handle, 0, 0).credit, 8);
}

/* Sound that ends before the picture, or pauses: what would be stored of it is not even sent yet. */
static void test_a_film_with_a_track_that_pauses_does_not_wait_for_that_track(void **state)
{
        (void)state;
        uint64_t handle = begin();
        struct track_info pauses = {.track = 1, .kind = TRACK_VIDEO, .name = "v360", .init = buf_copy("init2", 5)};
        struct chunk only = {.track = 1, .duration_us = CHUNK_US, .bytes = buf_copy("chunk", 5)};
        pipeline->ahead = true;
        pipeline->events->track(pipeline->arg, &pauses);
        pipeline->events->chunk(pipeline->arg, &only);
        for (int n = 0; n < 50; n++)
                make_chunk(n);
        fake_store_all();
        assert_int_equal(feed(0, handle, 0, 0).credit, 8);
        buf_unref(&pauses.init);
        buf_unref(&only.bytes);
}

/* It has all the time in the world; they are live. */
static void test_a_film_that_comes_faster_than_real_time_gives_way_to_sessions_that_are_behind(void **state)
{
        (void)state;
        uint64_t handle = begin();
        struct session *film = ss.first;
        struct open m = {.stream = "other", .epoch_us = EPOCH, .codecs = {CODEC_NONE, CODEC_AAC}};
        say(1, message_new(MSG_OPEN, open_encode, &m));
        struct session *live = ss.first;
        assert_ptr_not_equal(film, live);
        pipeline->room = 20;
        live->counted.behind_us = 400 * US_PER_MS;
        assert_int_equal(feed(0, handle, 0, 0).credit, 20); /* it is live itself */
        pipeline->ahead = true;
        assert_int_equal(feed(0, handle, 0, 0).credit, 8);
        assert_int_equal(feed(0, handle, 0, 0).credit, 0);
        film->gave_way_us -= US_PER_S;
        assert_int_equal(feed(0, handle, 0, 0).credit, 8); /* eight frames a second */
        live->counted.behind_us = 200 * US_PER_MS;
        assert_int_equal(feed(0, handle, 0, 0).credit, 20);
        film->counted.behind_us = US_PER_S;
        assert_int_equal(feed(0, handle, 0, 0).credit, 20); /* it need not give way to itself */
}

/* An encoder that works all the time on a film has headroom, if a second of it takes less than a second. */
static void test_headroom_is_by_the_time_that_was_encoded(void **state)
{
        (void)state;
        begin();
        sessions_tick(&ss, clock_mono_us());
        for (int n = 0; n < 25; n++)
                make_chunk(n);
        pipeline->busy_us += 2 * US_PER_S; /* for five seconds */
        sessions_tick(&ss, clock_mono_us());
        assert_true(ss.first->busy > 0.099 && ss.first->busy < 0.101); /* a quarter of 0.4: it is smoothed */
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_a_node_that_stays_behind_real_time_takes_only_streams_that_go_on),
                TEST(test_a_session_that_catches_up_with_a_backlog_keeps_nobody_out),
                TEST(test_a_session_that_was_behind_when_it_ended_keeps_nobody_out),
                TEST(test_a_stream_that_does_not_fit_beside_the_others_is_refused_unless_it_goes_on),
                TEST(test_a_name_that_was_published_before_has_no_place_for_that),
                TEST(test_what_goes_on_has_its_place_whoever_knows_of_it),
                TEST(test_what_comes_is_what_a_session_costs),
                TEST(test_what_opening_encoders_takes_says_nothing_of_the_capacity),
                TEST(test_new_streams_are_begun_a_few_at_a_time_and_the_others_wait_their_turn),
                TEST(test_a_tick_in_which_a_session_ends_another_goes_on_with_those_that_are_left),
                TEST(test_encoders_are_opened_one_stream_after_the_other),
                TEST(test_a_session_that_ends_before_its_encoders_are_open_holds_nobody_up),
                TEST(test_a_film_that_comes_faster_than_it_is_stored_waits_for_that),
                TEST(test_a_backlog_that_is_encoded_faster_than_it_is_stored_waits_for_that),
                TEST(test_a_film_with_a_track_that_pauses_does_not_wait_for_that_track),
                TEST(test_a_film_that_comes_faster_than_real_time_gives_way_to_sessions_that_are_behind),
                TEST(test_headroom_is_by_the_time_that_was_encoded),
        };
        log_init("session", LOG_ERROR + 1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
