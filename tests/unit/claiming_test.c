/* claim: the owners are asked at once, and the one that knows most leads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/daemon/log.h"
#include "transcoderd/push/claim.h"
#include "transcoderd/stats.h"

#include "fake_origins.h"

#define PROPOSED "20260101T000000Z-00000001"
#define OLDER "20250101T000000Z-00000009"
#define EPOCH INT64_C(1767225600000000)

static struct origins origins = {.link = &fake_link};
static struct claiming *claiming;
static struct {
        unsigned done;
        int err;
        char leader[NODE_ID_MAX + 1];
        struct claim_reply m;
} t;

static void on_done(void *arg, int err, const struct origin *origin, const struct claim_reply *m)
{
        (void)arg;
        t.done++;
        t.err = err;
        if (!err) {
                memcpy(t.leader, origin->id, sizeof(t.leader));
                t.m = *m;
        }
}

static int set_up(void **state)
{
        (void)state;
        memset(&t, 0, sizeof(t));
        fake_open();
        fake_add("o1");
        fake_add("o2");
        fake_add("o3");
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        fake_close();
        return 0;
}

static void start(unsigned replicas)
{
        static const struct claim m = {.stream = "cam", .session = PROPOSED, .epoch_us = EPOCH, .node = "t1", .generation = 3};
        claiming = claim_start(&fake.loop, &origins, replicas, &m, on_done, NULL);
        assert_non_null(claiming);
}

static struct claim asked(struct fake_call *call, const char *origin)
{
        struct claim m;
        *call = fake_take_of(MSG_CLAIM, origin);
        assert_int_equal(claim_decode(&call->body, &m), 0);
        return m;
}

/* A session with one track that ends there. */
static struct claim_reply session(const char *id, int64_t epoch_us, uint32_t generation, uint32_t written, int64_t end_us)
{
        struct claim_reply m = {.epoch_us = epoch_us, .generation = generation, .written_generation = written, .track_count = 1};
        strcpy(m.session, id);
        m.tracks[0] = (struct claim_track){.name = "v360", .end_us = end_us};
        return m;
}

static struct claim_reply nothing(uint32_t generation)
{
        struct claim_reply m = {.session = PROPOSED, .epoch_us = EPOCH, .generation = generation};
        return m;
}

static void answer(const char *origin, struct claim_reply m)
{
        struct fake_call call;
        asked(&call, origin);
        fake_claimed(&call, &m);
}

static void expect_leader(const char *origin)
{
        assert_int_equal(t.done, 1);
        assert_int_equal(t.err, 0);
        assert_string_equal(t.leader, origin);
        assert_int_equal(fake.call_count, 0);
}

static void test_all_owners_are_asked_at_once_and_no_other(void **state)
{
        (void)state;
        struct fake_call call;
        start(2);
        assert_int_equal(fake_calls(MSG_CLAIM), 2);
        struct claim m = asked(&call, "o1");
        assert_int_equal(m.generation, 3);
        assert_int_equal(m.flags, 0);
        struct claim_reply one = nothing(4);
        fake_claimed(&call, &one);
        assert_int_equal(t.done, 0);
        answer("o2", nothing(4));
        assert_int_equal(t.done, 1);
        assert_int_equal(t.m.generation, 4);
        assert_string_equal(t.m.session, PROPOSED);
        assert_int_equal(fake.call_count, 0);
}

static void test_the_newest_session_leads_then_the_newest_writer_then_the_longest(void **state)
{
        (void)state;
        start(2);
        answer("o1", session(OLDER, EPOCH - 9, 5, 4, 9000000));
        answer("o2", session(PROPOSED, EPOCH - 5, 5, 1, 1000000));
        expect_leader("o2");
        t.done = 0;
        start(2);
        answer("o1", session(PROPOSED, EPOCH, 5, 3, 9000000));
        answer("o2", session(PROPOSED, EPOCH, 5, 4, 1000000));
        expect_leader("o2");
        t.done = 0;
        start(2);
        answer("o1", session(PROPOSED, EPOCH, 5, 4, 1000000));
        answer("o2", session(PROPOSED, EPOCH, 5, 4, 1200000));
        expect_leader("o2");
}

static void test_a_still_picture_counts_for_nothing_against_a_chunk_that_is_shown(void **state)
{
        (void)state;
        struct claim_reply pictured = session(PROPOSED, EPOCH, 5, 4, 5000000), longer = session(PROPOSED, EPOCH, 5, 4, 5200000);
        pictured.track_count = longer.track_count = 2;
        pictured.tracks[1] = (struct claim_track){.name = PICTURES_TRACK, .end_us = 6000000};
        longer.tracks[1] = (struct claim_track){.name = PICTURES_TRACK, .end_us = 5000000};
        start(2);
        answer("o1", pictured);
        answer("o2", longer);
        expect_leader("o2");
}

static void test_a_session_that_the_claim_itself_made_leads_nobody_that_has_one(void **state)
{
        (void)state;
        start(2);
        answer("o1", nothing(4));
        answer("o2", session(OLDER, EPOCH - 9000000, 5, 4, 9000000));
        expect_leader("o2");
        assert_int_equal(t.m.generation, 5);
}

static void test_a_leader_below_another_owners_generation_is_raised_before_anything_is_written(void **state)
{
        (void)state;
        struct fake_call call;
        struct claim_reply short_grid = session(PROPOSED, EPOCH, 4, 3, 9000000);
        short_grid.chunk_ms = CHUNK_MS_SHORT;
        start(2);
        answer("o1", short_grid);
        answer("o2", session(PROPOSED, EPOCH, 9, 2, 8000000));
        assert_int_equal(t.done, 0);
        struct claim m = asked(&call, "o1");
        assert_int_equal(m.flags, CLAIM_JOIN);
        assert_int_equal(m.chunk_ms, CHUNK_MS_SHORT);
        assert_int_equal(m.generation, 9);
        struct claim_reply raised = session(PROPOSED, EPOCH, 9, 3, 9000000);
        fake_claimed(&call, &raised);
        expect_leader("o1");
        assert_int_equal(t.m.generation, 9);
}

static void test_a_leader_that_cannot_be_raised_is_followed_by_the_other(void **state)
{
        (void)state;
        struct fake_call call;
        start(2);
        answer("o1", session(PROPOSED, EPOCH, 4, 3, 9000000));
        answer("o2", session(PROPOSED, EPOCH, 9, 2, 8000000));
        asked(&call, "o1");
        fake_fail(&call, ERR_CLOSED);
        expect_leader("o2");
}

static void test_a_leader_that_a_newer_writer_has_is_not_replaced_by_one_that_has_less(void **state)
{
        (void)state;
        struct fake_call call;
        struct claim_reply fenced = {.status = ERR_FENCED};
        start(2);
        answer("o1", session(PROPOSED, EPOCH, 4, 3, 9000000));
        answer("o2", session(PROPOSED, EPOCH, 9, 2, 8000000));
        asked(&call, "o1");
        fake_claimed(&call, &fenced);
        assert_int_equal(t.done, 1);
        assert_int_equal(t.err, ERR_FENCED);
        assert_int_equal(fake.call_count, 0);
}

static void on_deadline(uv_timer_t *timer)
{
        (void)timer;
        assert_int_equal(t.done, 1);
}

static void test_one_that_does_not_answer_is_left_behind_soon(void **state)
{
        (void)state;
        struct fake_call late;
        static uv_timer_t deadline; /* closed by tear_down() */
        uv_timer_init(&fake.loop, &deadline);
        uv_timer_start(&deadline, on_deadline, CLAIM_DEADLINE_MS, 0); /* due behind CLAIM_OTHERS_MS, however late both are */
        start(2);
        int64_t begun_us = clock_mono_us();
        while (clock_mono_us() < begun_us + 20 * US_PER_MS) /* the loop's time is as old as this when the answer comes */
                ;
        int64_t taken_us = clock_mono_us();
        answer("o1", nothing(4));
        asked(&late, "o2");
        while (!t.done && uv_run(&fake.loop, UV_RUN_ONCE))
                ;
        assert_true(clock_mono_us() - taken_us >= CLAIM_OTHERS_MS * US_PER_MS);
        uv_close((uv_handle_t *)&deadline, NULL);
        expect_leader("o1");
        struct claim_reply m = nothing(4);
        fake_claimed(&late, &m); /* nobody hears of it */
        assert_int_equal(t.done, 1);
}

static void test_one_that_refuses_or_is_dead_is_replaced_at_once_and_delays_nobody(void **state)
{
        (void)state;
        struct claim_reply no = {.status = ERR_NOSPACE};
        start(2);
        answer("o1", no);
        assert_int_equal(fake_calls_of(MSG_CLAIM, "o3"), 1);
        answer("o2", nothing(4));
        struct fake_call call;
        asked(&call, "o3");
        fake_fail(&call, ERR_CLOSED);
        expect_leader("o2");
}

static void test_when_nobody_takes_it_the_reason_is_told(void **state)
{
        (void)state;
        struct claim_reply no = {.status = ERR_FULL};
        start(2);
        for (int i = 0; i < 3; i++)
                answer(fake.calls[0].origin, no);
        assert_int_equal(t.done, 1);
        assert_int_equal(t.err, ERR_FULL);
        for (int i = 0; i < 3; i++)
                fake.up[i] = false;
        assert_null(claim_start(&fake.loop, &origins, 2, &(struct claim){.stream = "cam", .session = PROPOSED, .node = "t1"},
                                on_done, NULL));
}

static void test_a_canceled_claim_is_silent(void **state)
{
        (void)state;
        start(2);
        answer("o1", nothing(4));
        claim_cancel(&claiming);
        assert_null(claiming);
        answer("o2", nothing(4));
        assert_int_equal(t.done, 0);
}

/* The others would be raised to it, and would refuse: no owner could be claimed. */
static void test_an_owner_whose_generation_cannot_be_is_left_out(void **state)
{
        (void)state;
        int64_t before = metric_get(&stats_impossible_generations);
        start(2);
        answer("o1", session(OLDER, EPOCH - 9, UINT32_MAX, UINT32_MAX, 9000000));
        assert_int_equal(metric_get(&stats_impossible_generations) - before, 1);
        answer("o2", nothing(4));
        answer("o3", nothing(4));
        expect_leader("o2");
        assert_int_equal(t.m.generation, 4);
}

/* It may be one that is asked later. */
static void test_where_an_origin_knows_one_grid_a_session_begins_on_that(void **state)
{
        (void)state;
        static const struct claim m = {.stream = "cam", .session = PROPOSED, .epoch_us = EPOCH, .node = "t1", .chunk_ms = CHUNK_MS_SHORT};
        for (int old = 0; old < 2; old++) {
                struct fake_call call;
                struct claim_reply reply = nothing(4);
                t.done = 0;
                fake.origins[2].can = old ? 0 : CAN_SHORT_GRID;
                claiming = claim_start(&fake.loop, &origins, 2, &m, on_done, NULL);
                assert_non_null(claiming);
                for (int i = 0; i < 2; i++) {
                        assert_int_equal(asked(&call, i ? "o2" : "o1").chunk_ms, old ? 0 : CHUNK_MS_SHORT);
                        fake_claimed(&call, &reply);
                }
                assert_int_equal(t.done, 1);
        }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_an_owner_whose_generation_cannot_be_is_left_out),
                TEST(test_all_owners_are_asked_at_once_and_no_other),
                TEST(test_the_newest_session_leads_then_the_newest_writer_then_the_longest),
                TEST(test_a_still_picture_counts_for_nothing_against_a_chunk_that_is_shown),
                TEST(test_a_session_that_the_claim_itself_made_leads_nobody_that_has_one),
                TEST(test_a_leader_below_another_owners_generation_is_raised_before_anything_is_written),
                TEST(test_a_leader_that_cannot_be_raised_is_followed_by_the_other),
                TEST(test_a_leader_that_a_newer_writer_has_is_not_replaced_by_one_that_has_less),
                TEST(test_one_that_does_not_answer_is_left_behind_soon),
                TEST(test_one_that_refuses_or_is_dead_is_replaced_at_once_and_delays_nobody),
                TEST(test_when_nobody_takes_it_the_reason_is_told),
                TEST(test_where_an_origin_knows_one_grid_a_session_begins_on_that),
                TEST(test_a_canceled_claim_is_silent),
        };
        log_init("claiming", LOG_ERROR + 1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
