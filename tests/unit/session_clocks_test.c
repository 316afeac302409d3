/* Sessions whose clock, proxy and origin differ in what time it is: who keeps which. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "session_fixture.h"

#define HOUR_US (3600 * US_PER_S)
#define STORED_US (66 * US_PER_S)

static void ask_open_at(unsigned proxy, int64_t wall_us)
{
        struct open m = {.stream = "cam", .role = OPEN_NOW, .epoch_us = wall_us / US_PER_MS * US_PER_MS, .ahead_us = clock_wall_us() - wall_us,
                         .codecs = {CODEC_H264, CODEC_NONE}};
        m.config[TRACK_VIDEO].data = (const uint8_t *)"avcC";
        m.config[TRACK_VIDEO].len = 4;
        say(proxy, message_new(MSG_OPEN, open_encode, &m));
}

/* A session of which STORED_US are stored, up to a second before what the proxy's clock or ours says now. */
static struct open_reply take_over(int64_t proxy_wall_us, int64_t session_wall_us)
{
        struct fake_call call;
        ask_open_at(0, proxy_wall_us);
        claim_of(&call);
        struct claim_reply reply = {.session = OTHER, .epoch_us = session_wall_us - STORED_US - US_PER_S, .generation = 7, .track_count = 3};
        reply.tracks[0] = (struct claim_track){.name = "v360", .end_us = STORED_US};
        reply.tracks[1] = (struct claim_track){.name = "a64", .end_us = STORED_US - CHUNK_US};
        reply.tracks[2] = (struct claim_track){.name = PICTURES_TRACK, .end_us = STORED_US + US_PER_S}; /* of the second that follows */
        fake_claimed(&call, &reply);
        return opened(0);
}

static void keeps_its_time_where_ours_is_ahead_by(int64_t ahead_us)
{
        int64_t theirs_us = clock_wall_us() - ahead_us, before = metric_get(&stats_clock_off);
        assert_int_equal(take_over(theirs_us, theirs_us).skew_us, 0);
        assert_in_range(job_now_us(&pipeline->o), STORED_US + US_PER_S - US_PER_MS, STORED_US + 2 * US_PER_S);
        assert_int_equal(metric_get(&stats_clock_off), before + 1);
        ask_open_at(1, clock_wall_us() - ahead_us);
        assert_int_equal(opened(1).status, 0);
        assert_int_equal(opened(1).skew_us, 0); /* the next proxy hears of the session's time too */
}

static void test_a_session_keeps_its_time_where_our_clock_is_an_hour_ahead(void **state)
{
        (void)state;
        keeps_its_time_where_ours_is_ahead_by(HOUR_US);
}

static void test_a_session_keeps_its_time_where_our_clock_is_an_hour_behind(void **state)
{
        (void)state;
        keeps_its_time_where_ours_is_ahead_by(-HOUR_US);
}

static void test_a_proxy_whose_clock_is_an_hour_off_is_told_so_by_a_session_that_goes_on(void **state)
{
        (void)state;
        int64_t ours_us = clock_wall_us(), before = metric_get(&stats_clock_off);
        int64_t skew_us = take_over(ours_us - HOUR_US, ours_us).skew_us;
        assert_in_range(skew_us, HOUR_US, HOUR_US + US_PER_S);
        assert_in_range(job_now_us(&pipeline->o), STORED_US + US_PER_S - US_PER_MS, STORED_US + 2 * US_PER_S);
        assert_int_equal(metric_get(&stats_clock_off), before);
}

static void test_a_session_that_begins_follows_our_clock(void **state)
{
        (void)state;
        struct fake_call call;
        ask_open_at(0, clock_wall_us() - HOUR_US);
        struct claim m = claim_of(&call);
        struct claim_reply reply = {.epoch_us = m.epoch_us, .generation = 1};
        memcpy(reply.session, m.session, sizeof(reply.session));
        fake_claimed(&call, &reply);
        assert_in_range(opened(0).skew_us, HOUR_US, HOUR_US + US_PER_S);
        assert_in_range(job_now_us(&pipeline->o), 0, US_PER_S);
}


static void test_a_proxy_with_another_clock_is_told_and_its_session_begins_by_ours(void **state)
{
        (void)state;
        struct open m = {.stream = "cam", .epoch_us = EPOCH, .ahead_us = 5 * US_PER_S + 300,
                         .codecs = {CODEC_H264, CODEC_NONE}};
        struct fake_call call;
        say(0, message_new(MSG_OPEN, open_encode, &m));
        struct claim c = claim_of(&call);
        assert_int_equal(c.epoch_us - EPOCH, 5 * US_PER_S);
        assert_int_equal(c.epoch_us % US_PER_MS, 0);
        struct claim_reply reply = {.epoch_us = c.epoch_us, .generation = 1};
        memcpy(reply.session, c.session, sizeof(reply.session));
        fake_claimed(&call, &reply);
        assert_int_equal(opened(0).epoch_us, c.epoch_us);
        assert_int_equal(opened(0).skew_us, c.epoch_us - EPOCH);
}

/* Which of the two is wrong cannot be told: the epoch is the proxy's, and so is what time it is in the session. */
/* All clocks were set back by 25 hours, and all nodes started again within the grace time. */
static void test_a_session_that_lies_in_the_future_goes_on_from_its_end(void **state)
{
        (void)state;
        int64_t before = metric_get(&stats_clock_off), now_us = clock_wall_us();
        struct open_reply o = take_over(now_us, now_us + 25 * HOUR_US);
        assert_in_range(o.skew_us, 25 * HOUR_US - 2 * US_PER_S, 25 * HOUR_US);
        assert_int_equal(o.keeps_time, 1);
        assert_in_range(job_now_us(&pipeline->o), STORED_US, STORED_US + US_PER_S);
        assert_int_equal(metric_get(&stats_clock_off), before + 1);
}

static void test_a_session_that_begins_with_a_clock_a_day_off_keeps_the_proxys_time(void **state)
{
        (void)state;
        int64_t before = metric_get(&stats_clock_off), day_us = 25 * HOUR_US, theirs_us = clock_wall_us() - day_us;
        struct fake_call call;
        ask_open_at(0, theirs_us);
        struct claim c = claim_of(&call);
        assert_int_equal(c.epoch_us, theirs_us / US_PER_MS * US_PER_MS);
        struct claim_reply reply = {.epoch_us = c.epoch_us, .generation = 1};
        memcpy(reply.session, c.session, sizeof(reply.session));
        fake_claimed(&call, &reply);
        struct open_reply o = opened(0);
        assert_int_equal(o.skew_us, 0);
        assert_int_equal(o.keeps_time, 1);
        assert_in_range(job_now_us(&pipeline->o), 0, US_PER_S);
        assert_int_equal(metric_get(&stats_clock_off), before + 1);
}

static void test_clocks_that_agree_as_well_as_clocks_do_change_nothing(void **state)
{
        (void)state;
        struct open m = {.stream = "cam", .epoch_us = EPOCH, .ahead_us = 40 * US_PER_MS,
                         .codecs = {CODEC_H264, CODEC_NONE}};
        struct fake_call call;
        say(0, message_new(MSG_OPEN, open_encode, &m));
        int64_t epoch_us = claim_of(&call).epoch_us;
        assert_int_equal(epoch_us, EPOCH);
        fake_fail(&call, ERR_CLOSED);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_a_session_keeps_its_time_where_our_clock_is_an_hour_ahead),
                TEST(test_a_session_keeps_its_time_where_our_clock_is_an_hour_behind),
                TEST(test_a_proxy_whose_clock_is_an_hour_off_is_told_so_by_a_session_that_goes_on),
                TEST(test_a_session_that_begins_follows_our_clock),
                TEST(test_a_proxy_with_another_clock_is_told_and_its_session_begins_by_ours),
                TEST(test_a_session_that_lies_in_the_future_goes_on_from_its_end),
                TEST(test_a_session_that_begins_with_a_clock_a_day_off_keeps_the_proxys_time),
                TEST(test_clocks_that_agree_as_well_as_clocks_do_change_nothing),
        };
        log_init("session", LOG_ERROR + 1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
