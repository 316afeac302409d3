/* Reads of old media: they wait for each other, and nothing live for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "originD/stats.h"
#include "tests/unit/serve_fixture.h"
#include "tests/unit/stuck.h"
#include "tests/unit/until.h"

/* An ended recording of so many segments, whose indexes are in memory already: what is asked of it is read from the disk. */
static struct session *ended(unsigned segments)
{
        int err;
        struct session *s = claim("old", "S2", 0, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        for (unsigned n = 0; n < segments; n++)
                assert_int_equal(put_video(s, "v720", n, 0), 0);
        assert_int_equal(end_session(s), 0);
        return s;
}

static void ask_as(struct question *q, uint64_t asker, unsigned segment, uint32_t wait_ms)
{
        *q = (struct question){.r = {.wait_ms = wait_ms, .max_bytes = BODY_MAX, .done = answered, .asker = asker}};
        snprintf(q->r.key, sizeof(q->r.key), "/live/old/S2/v720/%u.m4s", segment);
        serve(&sv, &q->r);
        q->r.deadline_us += PATIENCE_US; /* READ_WAIT_US may be over on a slow machine before the test lets the disk go on */
}

/* Holds both threads that read old media, and the rest of what is asked for behind them. */
static void hang_cold_reads(struct stuck *s)
{
        stuck_open(s);
        for (int i = 0; i < 2; i++)
                assert_int_equal(disk_run(&loop, DISK_COLD, be_stuck, one_over, s), 0);
        wait_in(s, 2);
}

static void go_on(struct stuck *s)
{
        let_go(s);
        UNTIL(&loop, !disk_jobs());
}

static void test_live_chunks_are_stored_and_served_while_old_reads_hang(void **state)
{
        (void)state;
        struct stuck hang;
        struct question old[8], q;
        ended(8);
        struct session *s = live(0);
        hang_cold_reads(&hang);
        for (unsigned i = 0; i < 8; i++)
                ask_as(&old[i], 1, i, 0);
        ask(&q, "/live/cam/S1/v720/0.m4s", 0, 5000);
        assert_int_equal(put_video(s, "v720", 0, 0), 0);
        assert_int_equal(q.done, 1);
        assert_int_equal(q.a.status, 0);
        for (unsigned i = 0; i < 8; i++)
                assert_int_equal(old[i].done, 0);
        go_on(&hang);
        for (unsigned i = 0; i < 8; i++) {
                wait_done(&old[i].done);
                assert_int_equal(old[i].a.status, 0);
        }
        assert_int_equal(sv.askers.count, 0);
}

static void test_who_asks_for_too_much_is_refused_and_nobody_else_is(void **state)
{
        (void)state;
        struct stuck hang;
        struct question greedy[READS_OF_ONE + 8 + 1], other;
        ended(2);
        hang_cold_reads(&hang);
        for (size_t i = 0; i < READS_OF_ONE + 8; i++) {
                ask_as(&greedy[i], 1, 0, 0);
                assert_int_equal(greedy[i].done, 0);
        }
        ask_as(&greedy[READS_OF_ONE + 8], 1, 0, 0);
        assert_int_equal(greedy[READS_OF_ONE + 8].done, 1);
        assert_int_equal(greedy[READS_OF_ONE + 8].a.status, ERR_FULL);
        ask_as(&other, 2, 1, 0);
        assert_int_equal(other.done, 0);
        go_on(&hang);
        wait_done(&other.done);
        assert_int_equal(other.a.status, 0);
        for (size_t i = 0; i < READS_OF_ONE + 8; i++)
                wait_done(&greedy[i].done);
}

static void test_a_read_whose_turn_never_comes_is_told_to_come_back_later(void **state)
{
        (void)state;
        struct stuck hang;
        struct question q[READS_OF_ONE + 1];
        ended(1);
        hang_cold_reads(&hang);
        int64_t asked_us = clock_mono_us();
        for (size_t i = 0; i < READS_OF_ONE + 1; i++)
                ask_as(&q[i], 1, 0, 0);
        assert_true(q[READS_OF_ONE].r.deadline_us >= asked_us + READ_WAIT_US + PATIENCE_US);
        q[READS_OF_ONE].r.deadline_us = 0; /* the time is over */
        wait_done(&q[READS_OF_ONE].done);
        assert_int_equal(q[READS_OF_ONE].a.status, ERR_FULL);
        go_on(&hang);
        for (size_t i = 0; i < READS_OF_ONE; i++) {
                wait_done(&q[i].done);
                assert_int_equal(q[i].a.status, 0);
        }
}

static void nothing(void *arg)
{
        (void)arg;
}

/* Which says nothing of the file: who asks may come again. */
static void test_a_read_that_the_disk_has_no_place_for_is_told_to_come_back_later(void **state)
{
        (void)state;
        struct stuck hang;
        struct question q;
        ended(1);
        hang_cold_reads(&hang);
        for (unsigned n = 0; disk_run(&loop, DISK_COLD, nothing, nothing, NULL) == 0; n++)
                assert_true(n < DISK_COLD_MAX);
        ask_as(&q, 1, 0, 0);
        wait_done(&q.done);
        go_on(&hang);
        assert_int_equal(q.a.status, ERR_FULL);
}

/* Each is another recording's first question since a start: their loads are old reads too. */
/* What lies where in a recording is read by those who read recordings, not by those who store. */
static void test_a_recording_is_loaded_behind_other_old_reads_and_before_no_live_chunk(void **state)
{
        (void)state;
        struct stuck hang;
        struct question old;
        ended(1);
        restart();
        hang_cold_reads(&hang);
        ask_as(&old, 1, 0, 0);
        struct session *s = live(0);
        for (unsigned i = 0; i < 40; i++) /* there is time enough to load it in, were there a thread */
                assert_int_equal(put_video(s, "v720", i / 5, i % 5), 0);
        enum load_state load = store_session(&store, "S2")->load;
        go_on(&hang);
        wait_done(&old.done);
        assert_int_equal(load, LOAD_UNDER_WAY);
        assert_int_equal(old.a.status, 0);
}

static void test_what_lies_where_in_an_old_volume_is_read_by_those_who_read_old_media(void **state)
{
        (void)state;
        struct stuck hang;
        struct question old, q;
        leave();
        options.volume_segments = 2;
        start_store();
        ended(6);
        stop_store();
        come_back();
        const struct chunk_log *log = loaded(store_session(&store, "S2"))->tracks[0]->log;
        hang_cold_reads(&hang);
        ask_as(&old, 1, 0, 0);
        struct session *s = live(0);
        for (unsigned i = 0; i < 150; i++) /* there is time enough to read it in, and the live ones' are, were there a thread */
                assert_int_equal(put_video(s, "v720", i / 5, i % 5), 0);
        ask(&q, "/live/cam/S1/v720/0.m4s", 0, 5000);
        wait_done(&q.done);
        unsigned behind = log->behind;
        go_on(&hang);
        wait_done(&old.done);
        assert_int_equal(old.a.status, 0);
        assert_int_equal(behind, 1);
}

static void test_loads_of_old_recordings_take_turns(void **state)
{
        (void)state;
        struct stuck hang;
        struct question q[READS_OF_ONE + 2];
        char name[8];
        int err;
        for (int i = 0; i < READS_OF_ONE + 2; i++) {
                snprintf(name, sizeof(name), "L%d", i);
                struct session *s = claim(name, name, 0, &err);
                assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
                assert_int_equal(put_video(s, "v720", 0, 0), 0);
                assert_int_equal(end_session(s), 0);
        }
        restart();
        hang_cold_reads(&hang);
        unsigned loading = 0;
        for (int i = 0; i < READS_OF_ONE + 2; i++) {
                q[i] = (struct question){.r = {.wait_ms = 9000, .max_bytes = BODY_MAX, .done = answered, .asker = 1}};
                snprintf(q[i].r.key, sizeof(q[i].r.key), "/live/L%d/L%d/v720/0.m4s", i, i);
                serve(&sv, &q[i].r);
                snprintf(name, sizeof(name), "L%d", i);
                loading += store_session(&store, name)->load == LOAD_UNDER_WAY;
        }
        assert_int_equal(loading, READS_OF_ONE);
        go_on(&hang);
        for (int i = 0; i < READS_OF_ONE + 2; i++) {
                wait_done(&q[i].done);
                assert_int_equal(q[i].a.status, 0);
        }
}

/* Another origin that is asked and does not answer until the test does. */
static struct {
        peer_fetched *done;
        void *arg;
} peer;

static int fetch_of_peer(struct peer_link *l, const char *id, const struct fetch *what, peer_fetched *done, void *arg)
{
        (void)l;
        (void)id;
        (void)what;
        peer.done = done;
        peer.arg = arg;
        return 0;
}

static const char *the_peer(void *arg, const struct key *key, const struct session *than, unsigned nth)
{
        (void)arg;
        return (key->kind == KEY_SEGMENT || key->kind == KEY_PICTURE) && !than && !nth ? "o2" : NULL;
}

static void test_while_a_peer_is_asked_on_a_viewers_behalf_others_have_its_turn(void **state)
{
        static const struct peer_link_ops ops = {.fetch = fetch_of_peer};
        struct peer_link link = {&ops};
        struct question q;
        char cmd[200];
        (void)state;
        ended(1);
        leave();
        snprintf(cmd, sizeof(cmd), "rm %s/old/S2/v720/000000.*", data_dir);
        assert_int_equal(system(cmd), 0);
        come_back();
        sv.elsewhere = (struct serve_elsewhere){.who = the_peer, .link = &link};
        peer.done = NULL;
        ask_as(&q, 1, 0, 9000); /* the session is read for it, and then the volume is found to be lacking */
        UNTIL(&loop, peer.done);
        assert_int_equal(q.done, 0);
        assert_int_equal(sv.askers.kinds[READ_OLD].reading, 0);
        peer.done(peer.arg, ERR_TIMEOUT, NULL, NULL);
        assert_int_equal(q.done, 1);
        assert_int_equal(q.a.status, ERR_NOT_FOUND);
        assert_int_equal(sv.askers.count, 0);
        sv.elsewhere = (struct serve_elsewhere){0};
}

static void test_what_another_origin_has_is_told_to_be_what_that_one_says(void **state)
{
        static const struct peer_link_ops ops = {.fetch = fetch_of_peer};
        static const char *const types[] = {"video/mp4", "audio/mp4", "image/jpeg", "application/octet-stream"};
        struct peer_link link = {&ops};
        struct question q;
        (void)state;
        ended(1);
        sv.elsewhere = (struct serve_elsewhere){.who = the_peer, .link = &link};
        for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
                struct fetch_reply m = {.flags = FETCH_COMPLETE | FETCH_IMMUTABLE, .len = 3};
                struct buf *bytes = buf_copy("jpg", 3);
                snprintf(m.content_type, sizeof(m.content_type), "%s", types[i]);
                peer.done = NULL;
                ask(&q, "/live/old/S2/thumbs/1x5.jpg", 0, 0);
                UNTIL(&loop, peer.done);
                peer.done(peer.arg, 0, &m, bytes);
                buf_unref(&bytes);
                assert_int_equal(q.done, 1);
                assert_string_equal(q.a.content_type, types[i]);
        }
        sv.elsewhere = (struct serve_elsewhere){0};
}

static void test_what_a_slow_taker_was_read_counts_until_it_is_taken(void **state)
{
        (void)state;
        struct question q = {.r = {.max_bytes = BODY_MAX, .done = answered, .asker = 1, .slow_taker = true}};
        ended(1);
        strcpy(q.r.key, "/live/old/S2/v720/0.m4s");
        serve(&sv, &q.r);
        wait_done(&q.done);
        assert_int_equal(q.a.status, 0);
        assert_true(q.a.kept);
        assert_int_equal(sv.askers.bytes, q.a.len);
        serve_taken(&sv, &q.r);
        assert_int_equal(sv.askers.bytes, 0);
        serve_taken(&sv, &q.r); /* harmless */
}

/* However long the broadcast is, and whether it goes on: one index is read, and the segment. */
static void test_a_seek_into_the_oldest_part_costs_what_one_into_the_newest_does(void **state)
{
        static const unsigned places[] = {0, 1, 100, 180};
        (void)state;
        store.options.volume_segments = 2;
        for (int over = 0; over < 2; over++) {
                if (!over) {
                        struct session *s = live(0);
                        for (unsigned n = 0; n < 200; n++)
                                put_segment(s, n);
                } else {
                        assert_int_equal(end_session(store_session(&store, "S1")), 0);
                }
                for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
                        struct question q;
                        char key[64];
                        unsigned indexes = 0;
                        restart();
                        int64_t reads = stat_get(STAT_DISK_READS);
                        snprintf(key, sizeof(key), "/live/cam/S1/v720/%u.m4s", places[i]);
                        assert_int_equal(answer_to(&q, key, 0, 5000), 0);
                        const struct volumes *v = &session_track(store_session(&store, "S1"), "v720")->log->closed;
                        for (size_t k = 0; k < v->count; k++)
                                indexes += v->rows[k].index != NULL;
                        assert_true(v->count > 90);
                        assert_int_equal(indexes, 1);
                        assert_int_equal(stat_get(STAT_DISK_READS) - reads, 1);
                }
        }
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_while_a_peer_is_asked_on_a_viewers_behalf_others_have_its_turn),
                CASE(test_live_chunks_are_stored_and_served_while_old_reads_hang),
                CASE(test_who_asks_for_too_much_is_refused_and_nobody_else_is),
                CASE(test_a_read_whose_turn_never_comes_is_told_to_come_back_later),
                CASE(test_a_read_that_the_disk_has_no_place_for_is_told_to_come_back_later),
                CASE(test_a_recording_is_loaded_behind_other_old_reads_and_before_no_live_chunk),
                CASE(test_what_lies_where_in_an_old_volume_is_read_by_those_who_read_old_media),
                CASE(test_a_seek_into_the_oldest_part_costs_what_one_into_the_newest_does),
                CASE(test_loads_of_old_recordings_take_turns),
                CASE(test_what_another_origin_has_is_told_to_be_what_that_one_says),
                CASE(test_what_a_slow_taker_was_read_counts_until_it_is_taken),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
