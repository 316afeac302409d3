/* Two writers of one generation, a leader and its shadow, PUT the same places of one track. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>

#include "common/mem.h"
#include "originD/stats.h"
#include "originD/shadow_turns.h"
#include "tests/unit/origin_store.h"
#include "tests/unit/random_walk.h"
#include "tests/unit/until.h"

#define NEVER_US (3600 * US_PER_S)
#define AT_ONCE_US 1000

static struct shadow_turns turns;
static struct session *s;

static void changed(struct session *x)
{
        shadow_turns_session_changed(&turns, x);
}

static const char *gone; /* the node that is not connected */

static bool is_connected(void *arg, const char *node)
{
        (void)arg;
        return strcmp(node, gone) != 0;
}

static void start_turns(void)
{
        shadow_turns_open(&turns, &loop);
        turns.leader_us = turns.sound_us = turns.fit_us = turns.order_us = NEVER_US;
        gone = "";
        turns.connected = is_connected;
        on_changed = changed;
}

static void stop_turns(void)
{
        shadow_turns_stop(&turns);
        on_changed = NULL;
        shadow_turns_close(&turns);
}

static void begin(void)
{
        int err;
        s = join("cam", "S1", 0, 1, "t1", &err);
        assert_int_equal(err, 0);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
}

static int setup(void **state)
{
        setup_store(state);
        start_turns();
        begin();
        return 0;
}

static int teardown(void **state)
{
        stop_turns();
        return teardown_store(state);
}

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

#define LEADER 0
#define SHADOW PUT_SHADOW

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

static uint64_t hash_of(unsigned place, uint32_t size)
{
        struct buf *b = fmp4_video_chunk(place / 5, place % 5, size);
        uint64_t hash = chunk_log_hash(b);
        buf_unref(&b);
        return hash;
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

/* ---- whatever happens --------------------------------------------------------------------------------------------- */

#define PLACES 150
#define WRITERS_MAX 200 /* one after the other; each has its own size of samples */
/* Encodes every place from `first` on; from `equal_from`, the beginning of a segment, on as every other writer does. */
struct source {
        uint32_t size, generation;
        unsigned place, first, equal_from;
        int64_t not_before_us;
        bool alive, busy;
        uint8_t who;
        struct source *next; /* all that ever were */
};

struct putting {
        struct turn t;
        struct source *w;
};

static struct source *all, *leader, *shadow;
static unsigned writers, produced, fenced;
static bool lost; /* the proxy does not see the leader any more */
static uint64_t needs[PLACES + 8][WRITERS_MAX + 8]; /* previous + 1 of each chunk that was ever made; 0: none */

static uint32_t size_at(const struct source *w, unsigned place)
{
        return place >= w->equal_from ? 1 : w->size;
}

static uint64_t previous_of(const struct source *w, unsigned place)
{
        return place % 5 == 0 || place == w->first ? 0 : hash_of(place - 1, size_at(w, place - 1));
}

static void answer(struct source *w, uint32_t generation, int status)
{
        w->busy = false;
        w->not_before_us = clock_mono_us() + (pick(5) ? pick(300) : pick(5000));
        if (!status) {
                w->place++;
        } else if (generation == w->generation) { /* raised since: the same again */
                assert_int_equal(status, ERR_FENCED);
                w->alive = false;
                fenced++;
        }
}

static void put_answered(struct turn *t, int status)
{
        struct putting *p = (struct putting *)t;
        answer(p->w, t->append.generation, status);
        buf_unref(&t->append.bytes);
        free(p);
}

static void send_next(struct source *w)
{
        struct putting *p = mem_alloc(sizeof(*p));
        unsigned place = w->place;
        int rc = shadow_turns_judge(s, "v720", w->generation);
        w->busy = true;
        if (rc) {
                free(p);
                answer(w, w->generation, rc);
                return;
        }
        *p = (struct putting){.w = w, .t = {.session = s, .track = "v720", .done = put_answered}};
        p->t.append = (struct chunk_append){.segment = place / 5, .chunk = (uint8_t)(place % 5), .flags = w->who,
                                            .start_us = place * INT64_C(200000), .generation = w->generation,
                                            .previous = previous_of(w, place),
                                            .bytes = fmp4_video_chunk(place / 5, place % 5, size_at(w, place))};
        needs[place][size_at(w, place)] = p->t.append.previous + 1;
        w->alive = pick(40) > 0; /* what it PUT last may be stored all the same */
        lost |= w == leader && pick(40) == 0;
        shadow_turns_put(&turns, &p->t);
}

static uint32_t raise_generation(void)
{
        int err;
        char node[16];
        uint32_t generation = s->generation + 1;
        snprintf(node, sizeof(node), "t%u", generation);
        assert_ptr_equal(join("cam", "S1", 0, generation, node, &err), s);
        return generation;
}

static struct source *new_source(uint8_t who)
{
        struct source *w = mem_alloc(sizeof(*w));
        unsigned end = (unsigned)track_end_place(s, s->tracks[0]);
        if (who == LEADER)
                raise_generation();
        *w = (struct source){.size = 2 + ++writers, .generation = s->generation, .who = who, .alive = true, .next = all};
        assert_true(writers < WRITERS_MAX);
        end = (unsigned)track_end_place(s, s->tracks[0]);
        w->place = w->first = end;
        w->equal_from = (end / 5 + 1 + pick(4)) * 5;
        return all = w;
}

/* What the proxy does: the shadow takes over from a leader that is gone, or that it has lost but that goes on by itself. */
static void replace(void)
{
        if (leader && leader->alive && !lost) {
                if ((!shadow || !shadow->alive) && pick(10) == 0)
                        shadow = new_source(SHADOW);
                return;
        }
        lost = false;
        leader = shadow && shadow->alive ? shadow : NULL;
        shadow = NULL;
        if (leader) {
                leader->generation = raise_generation();
                leader->who = LEADER;
        } else {
                leader = new_source(LEADER);
        }
}

static void step(void)
{
        produced += produced < PLACES && pick(3) == 0;
        for (struct source *w = all, *next; w; w = next) {
                next = w->next;
                if (w->alive && !w->busy && w->place < produced && clock_mono_us() >= w->not_before_us)
                        send_next(w);
        }
        replace();
        for (unsigned i = 1 + pick(4); i; i--)
                uv_run(&loop, UV_RUN_NOWAIT);
}

static bool any_busy_source(void)
{
        for (struct source *w = all; w; w = w->next)
                if (w->busy)
                        return true;
        return false;
}

static struct buf *stored_file(void)
{
        char path[120];
        snprintf(path, sizeof(path), "%s/cam/S1/v720/000000.mp4", data_dir);
        int fd = open(path, O_RDONLY);
        struct buf *b = buf_new((size_t)s->tracks[0]->log->index.file_bytes);
        assert_int_equal(read(fd, b->data, b->len), b->len);
        assert_int_equal(lseek(fd, 0, SEEK_END), b->len);
        close(fd);
        return b;
}

/* Every place once, in order, and each chunk behind the one it was made for. */
static void check_chain(void)
{
        struct buf *file = stored_file();
        size_t at = s->tracks[0]->init_bytes->len;
        uint64_t before = 0;
        for (unsigned place = 0; place < PLACES; place++) {
                uint32_t size = 0;
                struct buf *b = NULL;
                for (uint32_t i = 1; i < WRITERS_MAX + 8 && !size; i++) {
                        if (!needs[place][i])
                                continue;
                        b = fmp4_video_chunk(place / 5, place % 5, i);
                        if (b->len <= file->len - at && memcmp(file->data + at, b->data, b->len) == 0)
                                size = i;
                        else
                                buf_unref(&b);
                }
                assert_true(size > 0); /* one that was made for this place */
                if (needs[place][size] != 1)
                        assert_true(needs[place][size] - 1 == before);
                before = chunk_log_hash(b);
                at += b->len;
                buf_unref(&b);
        }
        assert_int_equal(at, file->len);
        buf_unref(&file);
}

static void walk(uint64_t seed)
{
        random_begin(seed);
        all = leader = shadow = NULL;
        writers = produced = fenced = 0;
        lost = false;
        memset(needs, 0, sizeof(needs));
        turns.leader_us = 500;
        turns.fit_us = 2000;
        for (int64_t end_us = clock_mono_us() + UNTIL_US; track_end_place(s, s->tracks[0]) < PLACES;) {
                assert_true(clock_mono_us() < end_us);
                step();
        }
        UNTIL(&loop, !any_busy_source());
        assert_int_equal(s->turns + s->pins, 0);
        check_chain();
        fprintf(stderr, "seed=%llu generations=%u writers=%u fenced=%u shadows=%lld late=%lld misfits=%lld\n",
                (unsigned long long)seed, s->generation, writers, fenced, (long long)stat_get(STAT_CHUNKS_SHADOW),
                (long long)stat_get(STAT_LEADER_LATE), (long long)stat_get(STAT_PUTS_MISFIT));
        while (all) {
                struct source *w = all;
                all = w->next;
                free(w);
        }
}

static void test_whatever_two_writers_do_the_track_is_one_unbroken_chain(void **state)
{
        uint64_t seed = random_option("SEED", 1);
        int64_t late = stat_get(STAT_LEADER_LATE), misfits = stat_get(STAT_PUTS_MISFIT);
        int64_t of_shadow = stat_get(STAT_CHUNKS_SHADOW);
        for (uint64_t n = random_option("SEEDS", RANDOM_SEEDS); n; n--, seed++) {
                walk(seed);
                teardown(state);
                setup(state);
        }
        assert_true(stat_get(STAT_LEADER_LATE) > late); /* it tried all of it */
        assert_true(stat_get(STAT_PUTS_MISFIT) > misfits);
        assert_true(stat_get(STAT_CHUNKS_SHADOW) > of_shadow);
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
                CASE(test_whatever_two_writers_do_the_track_is_one_unbroken_chain),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
