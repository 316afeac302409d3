/* Two writers of one generation, a leader and its shadow, PUT the same places of one track. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shadow_turns_fixture.h"

#define AT_ONCE_US 1000

struct one {
        struct turn t;
        int status, done;
        bool again;
};

static void told(struct turn *t, int status)
{
        struct one *x = (struct one *)t;
        x->status = status;
        x->again = t->append.again;
        x->done++;
        buf_unref(&t->append.bytes);
}

/* The size of samples tells whose encoding it is. */
static void put(struct one *x, uint8_t who, unsigned place, uint32_t size, uint64_t previous)
{
        *x = (struct one){.t = {.session = s, .track = "v720", .done = told}};
        x->t.append = (struct chunk_append){.segment = place / 5, .chunk = (uint8_t)(place % 5), .flags = who,
                                            .start_us = place * INT64_C(200000), .generation = s->generation,
                                            .previous = previous, .bytes = fmp4_video_chunk(place / 5, place % 5, size)};
        shadow_turns_put(&turns, &x->t);
}

/* A second of it. */
static void put_sound(struct one *x, uint8_t who, unsigned n, uint64_t previous)
{
        *x = (struct one){.t = {.session = s, .track = "a96", .done = told}};
        x->t.append = (struct chunk_append){.segment = n, .flags = who, .start_us = n * INT64_C(1000000),
                                            .generation = s->generation, .previous = previous,
                                            .bytes = fmp4_chunk(n * UINT64_C(48000), 48, 1000, 20)};
        shadow_turns_put(&turns, &x->t);
}

static void put_stored(uint8_t who, unsigned place, uint32_t size, bool again)
{
        struct one x;
        put(&x, who, place, size, 0);
        wait_done(&x.done);
        assert_int_equal(x.status, 0);
        assert_int_equal(x.again, again);
}

static unsigned chunks(void)
{
        return (unsigned)(s->tracks[0]->log->index.samples / 5);
}

/* As far as it gets without time passing. */
static void settle(void)
{
        for (int i = 0; i < 20 || disk_jobs(); i++)
                uv_run(&loop, UV_RUN_NOWAIT);
}

/* As put(), and only behind the chunk that begins there. */
static void put_of_behind(struct one *x, uint8_t who, unsigned place, unsigned before)
{
        *x = (struct one){.t = {.session = s, .track = "v720", .done = told}};
        x->t.append = (struct chunk_append){.segment = place / 5, .chunk = (uint8_t)(place % 5), .flags = who, .generation = s->generation,
                                            .start_us = place * INT64_C(200000), .after_us = before * INT64_C(200000) + 50000,
                                            .bytes = fmp4_video_chunk(place / 5, place % 5, 40)};
        shadow_turns_put(&turns, &x->t);
}

static void put_behind(struct one *x, unsigned place, unsigned before)
{
        put_of_behind(x, LEADER, place, before);
}

static void test_a_chunk_that_overtakes_the_one_before_it_waits(void **state)
{
        (void)state;
        struct one x, y, z;
        put_behind(&z, 2, 1);
        put_behind(&y, 1, 0);
        settle();
        assert_int_equal(y.done + z.done, 0);
        put(&x, LEADER, 0, 40, 0);
        wait_done(&z.done);
        assert_int_equal(x.status + y.status + z.status, 0);
        assert_int_equal(chunks(), 3);
        put_behind(&z, 2, 1); /* sent again */
        wait_done(&z.done);
        assert_true(z.again && !z.status);
        assert_int_equal(s->turns + s->pins, 0);
}

static void test_a_chunk_whose_one_before_does_not_come_is_not_stored(void **state)
{
        (void)state;
        struct one x;
        put_stored(LEADER, 0, 40, false);
        turns.order_us = AT_ONCE_US;
        put_behind(&x, 2, 1);
        wait_done(&x.done);
        assert_int_equal(x.status, ERR_NOT_YET);
        assert_int_equal(chunks(), 1);
        put_stored(LEADER, 1, 40, false);
        put_behind(&x, 2, 1);
        wait_done(&x.done);
        assert_int_equal(x.status, 0);
}

static void wait_for_order(struct one *x)
{
        while (!x->t.order_due_us)
                uv_run(&loop, UV_RUN_ONCE);
}

static void test_a_shadows_chunk_that_waited_for_order_waits_for_the_leaders_after_it(void **state)
{
        (void)state;
        struct one x;
        put_stored(LEADER, 0, 40, false);
        turns.leader_us = AT_ONCE_US;
        put_of_behind(&x, SHADOW, 2, 1);
        wait_for_order(&x);
        turns.leader_us = NEVER_US;
        put_stored(LEADER, 1, 40, false);
        settle();
        assert_int_equal(x.done, 0);
        put_stored(LEADER, 2, 40, false);
        wait_done(&x.done);
        assert_true(x.again && !x.status);
        turns.leader_us = AT_ONCE_US;
        put_of_behind(&x, SHADOW, 4, 3);
        wait_for_order(&x);
        put_stored(LEADER, 3, 40, false);
        wait_done(&x.done); /* and no longer than for the leader's */
        assert_true(!x.again && !x.status);
        assert_int_equal(s->turns + s->pins, 0);
}

static void test_a_shadows_chunk_that_has_overtaken_says_nothing_of_the_leader(void **state)
{
        (void)state;
        struct one x;
        put_stored(LEADER, 0, 40, false);
        int64_t late = stat_get(STAT_LEADER_LATE);
        turns.leader_us = turns.order_us = AT_ONCE_US;
        put_of_behind(&x, SHADOW, 2, 1);
        wait_done(&x.done);
        assert_int_equal(x.status, ERR_NOT_YET);
        assert_int_equal(stat_get(STAT_LEADER_LATE), late);
        turns.leader_us = NEVER_US;
        put(&x, SHADOW, 1, 60, 0);
        settle();
        assert_int_equal(x.done, 0);
        put_stored(LEADER, 1, 40, false);
        wait_done(&x.done);
        assert_true(x.again);
}

static void test_a_shadows_chunk_waits_for_the_leaders_and_is_stored_once(void **state)
{
        (void)state;
        struct one x;
        put_stored(LEADER, 0, 40, false);
        put_stored(SHADOW, 0, 60, true);
        int64_t late = stat_get(STAT_LEADER_LATE), shadows = stat_get(STAT_CHUNKS_SHADOW);
        put(&x, SHADOW, 1, 60, 0);
        settle();
        assert_int_equal(x.done, 0);
        assert_int_equal(chunks(), 1);
        put_stored(LEADER, 1, 40, false);
        wait_done(&x.done);
        assert_int_equal(x.status, 0);
        assert_true(x.again);
        assert_int_equal(chunks(), 2);
        assert_true(s->tracks[0]->log->last_hash == hash_of(1, 40)); /* the leader's */
        assert_int_equal(stat_get(STAT_LEADER_LATE), late);
        assert_int_equal(stat_get(STAT_CHUNKS_SHADOW), shadows);
        assert_int_equal(s->pins, 0);
}

static void test_a_shadow_that_comes_while_the_leaders_is_written_does_not_wait(void **state)
{
        (void)state;
        struct one x, y;
        put_stored(LEADER, 0, 40, false);
        put(&x, LEADER, 1, 40, 0);
        put(&y, SHADOW, 1, 60, 0);
        assert_int_equal(s->turns, 0);
        wait_done(&x.done);
        wait_done(&y.done);
        assert_false(x.again);
        assert_true(y.again);
}

static void test_a_leader_that_is_not_connected_any_more_is_not_waited_for(void **state)
{
        (void)state;
        struct one x;
        put_stored(LEADER, 0, 40, false);
        put(&x, SHADOW, 1, 60, 0);
        settle();
        assert_int_equal(x.done, 0);
        gone = "another";
        shadow_turns_node_gone(&turns);
        settle();
        assert_int_equal(x.done, 0);
        gone = "t1";
        shadow_turns_node_gone(&turns);
        wait_done(&x.done);
        assert_int_equal(x.status, 0);
        assert_false(x.again);
        put_stored(SHADOW, 2, 60, false);
        gone = "";
        put(&x, SHADOW, 3, 60, 0); /* it is back, and was not late */
        settle();
        assert_int_equal(x.done, 0);
        put_stored(LEADER, 3, 40, false);
        wait_done(&x.done);
}

static void test_sound_that_is_not_the_leaders_byte_by_byte_waits_longer(void **state)
{
        (void)state;
        struct one x, y;
        assert_int_equal(add_track(s, "a96", fmp4_audio_init(), 0), 0);
        const struct chunk_log *log = session_track(s, "a96")->log;
        put_sound(&x, LEADER, 0, 0);
        wait_done(&x.done);
        put_stored(LEADER, 0, 40, false);
        turns.leader_us = AT_ONCE_US;
        put_sound(&x, SHADOW, 1, log->last_hash + 1);
        put_stored(SHADOW, 1, 60, false); /* in vain: the picture's time is over */
        assert_int_equal(x.done, 0);
        put_sound(&y, LEADER, 1, log->last_hash);
        wait_done(&x.done);
        assert_true(x.again);
        put_sound(&x, SHADOW, 2, log->last_hash); /* they make the same now */
        wait_done(&x.done);
        assert_false(x.again);
        assert_int_equal(x.status, 0);
        put_sound(&x, SHADOW, 3, log->last_hash + 1); /* and what does not fit is sound all the same */
        wait_done(&x.done);
        assert_int_equal(x.status, 0);
}

static void test_a_leader_that_has_put_nothing_here_yet_is_waited_for_once(void **state)
{
        (void)state;
        int err;
        struct one x;
        put(&x, SHADOW, 0, 60, 0); /* an origin that is back: who joins it first is not to fill it with its own */
        assert_int_equal(s->turns, 1);
        put_stored(LEADER, 0, 40, false);
        wait_done(&x.done);
        assert_true(x.again);
        join("cam", "S1", 0, 2, "t1", &err);
        put(&x, SHADOW, 1, 60, 0);
        assert_int_equal(s->turns, 1);
        put_stored(LEADER, 1, 40, false);
        wait_done(&x.done);
        join("cam", "S1", 0, 3, "t1", &err);
        turns.leader_us = AT_ONCE_US;
        put_stored(SHADOW, 2, 60, false);
        turns.leader_us = NEVER_US;
        put_stored(SHADOW, 3, 60, false);
}

static void test_after_the_leader_stopped_the_shadow_waits_once_and_then_no_more(void **state)
{
        (void)state;
        put_stored(LEADER, 0, 40, false);
        int64_t late = stat_get(STAT_LEADER_LATE), shadows = stat_get(STAT_CHUNKS_SHADOW);
        turns.leader_us = AT_ONCE_US;
        put_stored(SHADOW, 1, 60, false);
        assert_int_equal(stat_get(STAT_LEADER_LATE), late + 1);
        turns.leader_us = NEVER_US;
        for (unsigned place = 2; place < 9; place++)
                put_stored(SHADOW, place, 60, false);
        assert_int_equal(stat_get(STAT_LEADER_LATE), late + 1);
        assert_int_equal(stat_get(STAT_CHUNKS_SHADOW), shadows + 8);
        assert_int_equal(chunks(), 9);
}

static void test_a_leader_that_is_in_time_again_leads_again(void **state)
{
        (void)state;
        struct one x;
        put_stored(LEADER, 0, 40, false);
        turns.leader_us = AT_ONCE_US;
        put_stored(SHADOW, 1, 60, false);
        turns.leader_us = NEVER_US;
        put_stored(LEADER, 1, 40, true); /* still late */
        put_stored(SHADOW, 2, 60, false);
        put_stored(LEADER, 2, 40, true);
        put_stored(LEADER, 3, 40, false); /* in time */
        put_stored(SHADOW, 3, 60, true);
        put(&x, SHADOW, 4, 60, 0);
        settle();
        assert_int_equal(x.done, 0);
        put_stored(LEADER, 4, 40, false);
        wait_done(&x.done);
        assert_true(x.again);
}

static void test_a_chunk_that_does_not_fit_is_answered_stored_when_the_other_writer_fills_the_place(void **state)
{
        (void)state;
        struct one x;
        put_stored(LEADER, 0, 40, false);
        turns.leader_us = AT_ONCE_US;
        put(&x, SHADOW, 1, 60, hash_of(0, 60));
        UNTIL(&loop, x.t.fit_due_us);
        settle();
        assert_int_equal(x.done, 0);
        assert_int_equal(chunks(), 1);
        int64_t misfits = stat_get(STAT_PUTS_MISFIT);
        put_stored(LEADER, 1, 40, false);
        wait_done(&x.done);
        assert_int_equal(x.status, 0);
        assert_true(x.again);
        assert_int_equal(stat_get(STAT_PUTS_MISFIT), misfits);
        put_stored(SHADOW, 5, 60, false); /* the first of a segment needs nothing */
}

static void test_a_chunk_that_does_not_fit_is_fenced_when_nobody_fills_the_place(void **state)
{
        (void)state;
        struct one x;
        put_stored(LEADER, 0, 40, false);
        int64_t misfits = stat_get(STAT_PUTS_MISFIT);
        turns.leader_us = turns.fit_us = AT_ONCE_US;
        put(&x, SHADOW, 1, 60, hash_of(0, 60));
        wait_done(&x.done);
        assert_int_equal(x.status, ERR_FENCED);
        assert_int_equal(stat_get(STAT_PUTS_MISFIT), misfits + 1);
        assert_int_equal(s->misfit_generation, s->generation);
        assert_int_equal(chunks(), 1);
        put(&x, LEADER, 1, 40, hash_of(0, 60)); /* either writer's */
        wait_done(&x.done);
        assert_int_equal(x.status, ERR_FENCED);
        assert_int_equal(stat_get(STAT_PUTS_MISFIT), misfits + 2);
        put_stored(SHADOW, 1, 60, false);
}

static void test_a_shadow_does_not_wait_for_a_leader_whose_chunk_does_not_fit(void **state)
{
        (void)state;
        struct one x, y, z;
        put_stored(LEADER, 0, 40, false);
        put_stored(SHADOW, 0, 60, true);
        put(&x, SHADOW, 1, 60, 0);
        assert_int_equal(s->turns, 1);
        put(&y, LEADER, 1, 40, hash_of(0, 50));
        wait_done(&x.done);
        assert_int_equal(x.status, 0);
        assert_false(x.again);
        wait_done(&y.done);
        assert_true(y.again);
        put(&y, LEADER, 2, 40, hash_of(1, 40));
        assert_int_equal(s->turns, 1);
        put(&z, SHADOW, 2, 60, hash_of(1, 60)); /* and for the next one not either */
        assert_int_equal(s->turns, 1);
        wait_done(&z.done);
        assert_false(z.again);
        wait_done(&y.done);
        assert_true(y.again);
}

/* One that waits for the leader, one that does not fit. */
static void put_two_that_wait(struct one *x, struct one *y)
{
        put_stored(LEADER, 0, 40, false);
        put(x, SHADOW, 1, 60, 0);
        put(y, LEADER, 1, 40, hash_of(0, 50));
        s->tracks[0]->leader_late = false;
        assert_int_equal(x->done + y->done, 0);
        assert_int_equal(s->turns, 2);
        assert_int_equal(s->pins, 2);
}

static void test_a_newer_generation_fences_those_who_wait(void **state)
{
        (void)state;
        int err;
        struct one x, y;
        put_two_that_wait(&x, &y);
        join("cam", "S1", 0, 2, "t2", &err);
        wait_done(&x.done);
        wait_done(&y.done);
        assert_int_equal(x.status, ERR_FENCED);
        assert_int_equal(y.status, ERR_FENCED);
        assert_int_equal(s->turns + s->pins, 0);
        assert_int_equal(chunks(), 1);
}

static void test_a_session_that_ends_answers_those_who_wait(void **state)
{
        (void)state;
        struct one x, y;
        put_two_that_wait(&x, &y);
        assert_int_equal(end_session(s), 0);
        wait_done(&x.done);
        wait_done(&y.done);
        assert_int_equal(x.status, ERR_NOT_FOUND);
        assert_int_equal(y.status, ERR_NOT_FOUND);
        assert_int_equal(s->turns + s->pins, 0);
}

static void test_who_waits_is_answered_when_the_origin_stops(void **state)
{
        (void)state;
        struct one x, y, z;
        put_two_that_wait(&x, &y);
        shadow_turns_stop(&turns);
        assert_int_equal(x.status, ERR_CANCELED);
        assert_int_equal(y.status, ERR_CANCELED);
        put(&z, LEADER, 1, 40, hash_of(0, 50)); /* was held for a peer meanwhile */
        assert_int_equal(z.status, ERR_CANCELED);
        assert_int_equal(s->turns + s->pins, 0);
}

static void test_those_who_wait_are_bounded(void **state)
{
        (void)state;
        static struct one x[SHADOW_TURNS_MAX + 1];
        put_stored(LEADER, 0, 40, false);
        for (unsigned i = 0; i <= SHADOW_TURNS_MAX; i++)
                put(&x[i], SHADOW, 1, 60, 0);
        assert_int_equal(x[SHADOW_TURNS_MAX].done, 1);
        assert_int_equal(x[SHADOW_TURNS_MAX].status, ERR_FULL);
        assert_int_equal(x[0].done, 0);
        put_stored(LEADER, 1, 40, false);
        for (unsigned i = 0; i < SHADOW_TURNS_MAX; i++)
                wait_done(&x[i].done);
        assert_int_equal(x[SHADOW_TURNS_MAX - 1].status, 0);
}

static void test_after_a_restart_every_chunk_of_the_leader_fits(void **state)
{
        (void)state;
        int err;
        struct one x;
        put_stored(LEADER, 0, 40, false);
        stop_turns();
        stop_store();
        start_store();
        start_turns();
        s = join("cam", "S1", 0, 1, "t1", &err);
        turns.leader_us = AT_ONCE_US;
        put(&x, SHADOW, 1, 60, hash_of(0, 60)); /* but for a shadow's, which may not be in lock-step yet */
        struct one y;
        put(&y, LEADER, 1, 40, hash_of(0, 60));
        wait_done(&y.done);
        assert_int_equal(y.status, 0);
        assert_false(y.again);
        wait_done(&x.done);
        assert_true(x.again);
        assert_int_equal(chunks(), 2);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_a_chunk_that_overtakes_the_one_before_it_waits),
                CASE(test_a_chunk_whose_one_before_does_not_come_is_not_stored),
                CASE(test_a_shadows_chunk_that_waited_for_order_waits_for_the_leaders_after_it),
                CASE(test_a_shadows_chunk_that_has_overtaken_says_nothing_of_the_leader),
                CASE(test_a_shadows_chunk_waits_for_the_leaders_and_is_stored_once),
                CASE(test_a_shadow_that_comes_while_the_leaders_is_written_does_not_wait),
                CASE(test_a_leader_that_is_not_connected_any_more_is_not_waited_for),
                CASE(test_sound_that_is_not_the_leaders_byte_by_byte_waits_longer),
                CASE(test_a_leader_that_has_put_nothing_here_yet_is_waited_for_once),
                CASE(test_after_the_leader_stopped_the_shadow_waits_once_and_then_no_more),
                CASE(test_a_leader_that_is_in_time_again_leads_again),
                CASE(test_a_chunk_that_does_not_fit_is_answered_stored_when_the_other_writer_fills_the_place),
                CASE(test_a_chunk_that_does_not_fit_is_fenced_when_nobody_fills_the_place),
                CASE(test_a_shadow_does_not_wait_for_a_leader_whose_chunk_does_not_fit),
                CASE(test_a_newer_generation_fences_those_who_wait),
                CASE(test_a_session_that_ends_answers_those_who_wait),
                CASE(test_who_waits_is_answered_when_the_origin_stops),
                CASE(test_those_who_wait_are_bounded),
                CASE(test_after_a_restart_every_chunk_of_the_leader_fits),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
