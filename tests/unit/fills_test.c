#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "originD/replica/read_ahead.h"
#include "originD/stats.h"
#include "originD/log/volumes_file.h"
#include "tests/unit/two_origins.h"
#include "tests/unit/until.h"

#define PER 2 /* segments of a volume */

#define LONG 40

static int setup_volumes(void **state, uint32_t segments)
{
        setup(state);
        stop(&a);
        stop(&b);
        options.volume_segments = segments;
        start(&a);
        start(&b);
        until(&a.settled);
        until(&b.settled);
        return 0;
}

static int setup_small_volumes(void **state)
{
        return setup_volumes(state, PER);
}

static int setup_long_volumes(void **state)
{
        return setup_volumes(state, LONG);
}

static struct session *broadcast_at_b(unsigned chunks)
{
        struct session *s = claim_at(&b, "S1", 0, "t1");
        add_track(s, "v720", fmp4_video_init());
        write_chunks(s, 0, chunks, 40);
        return s;
}

static uint32_t lacking(struct node *n)
{
        return session_sum(at(n, "S1")).lacking;
}

static bool same_volumes(unsigned count)
{
        for (unsigned i = 0; i < count; i++)
                if (!same_volume("S1", "v720", i))
                        return false;
        return true;
}

static void run_until(bool (*over)(void))
{
        UNTIL(&loop, over());
}

static bool a_is_in_step(void)
{
        struct session *s = at(&a, "S1");
        return s && s->track_count && s->tracks[0]->log && track_end_place(s, s->tracks[0]) == track_end_place(at(&b, "S1"), at(&b, "S1")->tracks[0]);
}

static bool a_is_whole(void)
{
        return a_is_in_step() && !lacking(&a) && !session_busy(at(&a, "S1"));
}

static void test_a_new_copy_is_in_step_before_it_is_whole_and_then_whole(void **state)
{
        (void)state;
        stop(&a);
        broadcast_at_b(10 * 5 * PER + 3); /* ten volumes, and three chunks of the next */
        fills_options.bytes_s = 0;
        start(&a);
        run_until(a_is_in_step);
        assert_int_equal(lacking(&a), 10);
        struct session *s = at(&a, "S1");
        assert_int_equal(s->tracks[0]->log->index.rows[0].segment, 10 * PER);
        write_chunks(claim_at(&a, "S1", 2, "t1"), 10 * 5 * PER + 3, 10 * 5 * PER + 5, 40); /* its writer goes on here */
        stop(&a);
        fills_options.bytes_s = INT64_C(1) << 40;
        start(&a);
        run_until(a_is_whole);
        assert_true(same_volumes(10));
        stop(&a); /* and it knows that when it starts again */
        start(&a);
        assert_int_equal(lacking(&a), 0);
}

/* A channel that is always on: its volumes are told in pages, the newest first. Of most of them b knows only that they are lacking. */
static void test_a_new_copy_of_more_volumes_than_one_answer_tells_lacks_none_for_good(void **state)
{
        (void)state;
        const uint32_t count = 2 * CATALOG_VOLUMES + 100;
        stop(&a);
        stop(&b);
        options.volume_segments = 1;
        start(&b);
        struct session *s = broadcast_at_b(3 * 5);
        write_chunks(s, count * 5, count * 5 + 1, 40);
        struct volumes *told = &s->tracks[0]->log->closed;
        for (uint32_t n = 3; n < count; n++)
                volumes_insert(told, &(struct volume_row){.number = n, .state = VOLUME_LACKING,
                                                          .sum = {.first_segment = n, .last_segment = n}});
        fills_options.bytes_s = 1; /* nothing, for now */
        start(&a);
        run_until(a_is_in_step);
        assert_int_equal(lacking(&a), count);
        struct volumes *known = &at(&a, "S1")->tracks[0]->log->closed;
        for (uint32_t n = 3; n < count; n++) /* what b can give comes in the time of a test */
                volumes_remove(known, n);
        a.old_media.bytes_s = INT64_C(1) << 40;
        run_until(a_is_whole);
        assert_true(same_volumes(3));
}

/* Closing one takes as long as the disk does: meanwhile nobody can have it, and it is no hole. */
static void test_a_volume_that_is_being_closed_when_a_copy_begins_is_not_passed_over(void **state)
{
        (void)state;
        stop(&a);
        struct session *s = broadcast_at_b(10 * 5 * PER + 3);
        fills_options.bytes_s = 0;
        UNTIL(&loop, !session_busy(s));
        s->tracks[0]->log->closed.rows[9].closing = true;
        start(&a);
        run_until(a_is_in_step);
        assert_int_equal(lacking(&a), 10);
        s->tracks[0]->log->closed.rows[9].closing = false;
        stop(&a);
        fills_options.bytes_s = INT64_C(1) << 40;
        start(&a);
        run_until(a_is_whole);
        assert_true(same_volumes(10));
}

static void test_one_that_was_away_for_long_is_in_step_first_and_gets_the_gap_after_that(void **state)
{
        (void)state;
        struct session *s = broadcast_at_b(3 * 5 * PER + 3);
        run_until(a_is_in_step);
        stop(&a);
        write_chunks(s, 3 * 5 * PER + 3, 9 * 5 * PER + 2, 40);
        start(&a);
        run_until(a_is_whole);
        assert_true(same_volumes(9));
        assert_int_equal(session_sum(at(&a, "S1")).bytes, session_sum(s).bytes);
}

static void test_the_newest_volume_comes_first_and_viewers_get_the_others_from_the_peer(void **state)
{
        (void)state;
        stop(&a);
        broadcast_at_b(6 * 5 * PER + 1);
        fills_options.bytes_s = 4000; /* slow enough to see them come one by one */
        start(&a);
        run_until(a_is_in_step);
        UNTIL(&loop, lacking(&a) != 6);
        const struct volumes *v = &at(&a, "S1")->tracks[0]->log->closed;
        assert_int_equal(volumes_get(v, 5)->state, VOLUME_HERE);
        assert_int_equal(volumes_get(v, 0)->state, VOLUME_LACKING);
        struct key lacking = {.kind = KEY_SEGMENT, .stream = "cam", .session = "S1", .track = "v720"};
        assert_string_equal(fills_elsewhere(a.fills, at(&a, "S1"), &lacking, 0), "b");
}

/* Who waits for it asks at each chunk and 50 times a second, and a broadcast of a year has 50,000 volumes a track to look through. */
static void test_for_what_comes_next_no_peer_is_asked_whatever_is_lacking(void **state)
{
        (void)state;
        stop(&a);
        broadcast_at_b(6 * 5 * PER + 1);
        fills_options.bytes_s = 0;
        start(&a);
        run_until(a_is_in_step);
        assert_int_equal(lacking(&a), 6);
        struct key key = {.kind = KEY_SEGMENT, .stream = "cam", .session = "S1", .track = "v720", .segment = 6 * PER - 1};
        assert_string_equal(fills_elsewhere(a.fills, at(&a, "S1"), &key, 0), "b");
        for (key.segment = 6 * PER; key.segment < 6 * PER + 3; key.segment++)
                assert_null(fills_elsewhere(a.fills, at(&a, "S1"), &key, 0));
}

static void test_volumes_come_no_faster_than_they_may(void **state)
{
        (void)state;
        stop(&a);
        struct session *s = broadcast_at_b(40 * 5 * PER + 1);
        int64_t volume = (int64_t)volumes_get(&s->tracks[0]->log->closed, 0)->sum.bytes, rate = volume * 2;
        fills_options.bytes_s = rate;
        start(&a);
        run_until(a_is_in_step);
        uint32_t lacked = lacking(&a);
        int64_t began_us = clock_mono_us();
        UNTIL(&loop, clock_mono_us() - began_us >= 2 * US_PER_S && lacking(&a) < lacked);
        int64_t brought = (lacked - lacking(&a)) * volume, passed_us = clock_mono_us() - began_us;
        assert_true(brought <= rate * passed_us / US_PER_S + rate + volume); /* what was saved up, and what was under way */
}

static void test_a_viewer_gets_what_is_lacking_from_whichever_peer_has_it(void **state)
{
        (void)state;
        struct question q;
        stop(&a);
        broadcast_at_b(4 * 5 * PER + 1);
        fills_options.bytes_s = 0;
        a.third = true; /* and it is asked first */
        start(&a);
        run_until(a_is_in_step);
        assert_int_equal(lacking(&a), 4);
        ask(&q, &a, "/live/cam/S1/v720/2.m4s", 0);
        until(&q.done);
        assert_int_equal(q.status, 0);
        assert_true(q.len > 0);
        b.fails = "/live/";
        ask(&q, &a, "/live/cam/S1/v720/3.m4s", 0);
        until(&q.done);
        assert_int_equal(q.status, ERR_NOT_FOUND);
}

static uint32_t first_volume(struct node *n)
{
        return at(n, "S1")->tracks[0]->log->closed.rows[0].number;
}

/* Each origin's disk is its own. What one lost for room must not come back, or the two would copy and remove it for ever. */
static void test_what_one_lost_for_room_stays_at_the_other_and_comes_to_viewers_from_there(void **state)
{
        (void)state;
        struct question q;
        struct session *s = broadcast_at_b(8 * 5 * PER + 1);
        run_until(a_is_whole);
        a.store.options.time_shift_us = 4 * US_PER_S;
        a.store.options.min_free_bytes = 1 << 30;
        assert_true(room_make(&a.store, INT64_MAX));
        UNTIL(&loop, !session_busy(at(&a, "S1")));
        assert_int_equal(first_volume(&a), 6);
        ask(&q, &a, "/live/cam/S1/v720/2.m4s", 0);
        until(&q.done);
        assert_int_equal(q.status, 0);
        assert_true(q.len > 0);
        write_chunks(s, 8 * 5 * PER + 1, 12 * 5 * PER + 1, 40); /* and it goes on */
        run_until(a_is_in_step);
        stop(&a);
        write_chunks(s, 12 * 5 * PER + 1, 20 * 5 * PER + 1, 40);
        start(&a);
        run_until(a_is_whole); /* as whole as it is to be: what came while it was away is brought */
        assert_int_equal(first_volume(&a), 6);
        assert_int_equal(at(&a, "S1")->tracks[0]->log->closed.count, 14);
        session_end(s, 0, true, NULL, NULL);
        UNTIL(&loop, at(&a, "S1")->state == SESSION_ENDED && !session_busy(at(&a, "S1")));
        stop(&a);
        start(&a);
        until(&a.caught_up);
        session_load(at(&a, "S1"));
        UNTIL(&loop, at(&a, "S1")->load == LOAD_DONE);
        assert_int_equal(first_volume(&a), 6);
        assert_int_equal(lacking(&a), 0);
        assert_int_equal(first_volume(&b), 0);
}

static bool damage_is_mended(void)
{
        return at(&a, "S1") && !lacking(&a) && !session_busy(at(&a, "S1")) && same_volumes(4);
}

static void test_a_volume_that_is_damaged_or_gone_is_brought_from_the_peer(void **state)
{
        (void)state;
        broadcast_at_b(4 * 5 * PER + 1);
        run_until(a_is_whole);
        stop(&a);
        char *gone = mem_printf("%s/cam/S1/v720/000001.mp4", a.dir), *hurt = mem_printf("%s/cam/S1/v720/000002.mp4", a.dir);
        char *idx = mem_printf("%s/cam/S1/v720/000002.idx", a.dir);
        assert_int_equal(unlink(gone), 0);
        int fd = open(hurt, O_RDWR);
        struct stat st;
        fstat(fd, &st);
        assert_int_equal(pwrite(fd, "damage", 6, st.st_size / 2), 6);
        close(fd);
        unlink(idx);
        fills_options.bytes_s = 0;
        start(&a);
        assert_int_equal(lacking(&a), 1); /* that a volume is damaged is seen when it is read */
        struct segment_view view;
        struct chunk_log *log = at(&a, "S1")->tracks[0]->log;
        UNTIL(&loop, (chunk_log_segment(log, 2 * PER, true, &view), lacking(&a) == 2));
        stop(&a);
        fills_options.bytes_s = INT64_C(1) << 40;
        start(&a);
        run_until(damage_is_mended);
        free(gone);
        free(hurt);
        free(idx);
}

/* What the disk says of a volume. */
static enum volume_state saved_state(const struct node *n, uint32_t number)
{
        char *dir = mem_printf("%s/cam/S1/v720", n->dir);
        struct volumes rows;
        struct buf *file;
        assert_int_equal(volumes_file_read(dir, &rows, &file), 0);
        const struct volume_row *row = volumes_get(&rows, number);
        enum volume_state state = row ? row->state : VOLUME_STATES;
        buf_unref(&file);
        volumes_free(&rows);
        free(dir);
        return state;
}

/* As after a power failure, in which an index gets its last record but the list of volumes is as it was before that. */
static void test_a_volume_that_was_left_before_its_end_does_not_pass_for_whole(void **state)
{
        (void)state;
        struct session *s = broadcast_at_b(3 * 5 * PER + 3);
        run_until(a_is_whole);
        stop(&a);
        write_chunks(s, 3 * 5 * PER + 3, 9 * 5 * PER + 2, 40);
        fills_options.bytes_s = 0;
        b.delay_ms = 20; /* what is saved now is looked at before anything is behind it */
        start(&a);
        UNTIL(&loop, saved_state(&a, 8) == VOLUME_LACKING);
        assert_int_equal(saved_state(&a, 3), VOLUME_DAMAGED);
        char *save = mem_printf("cd %s && cp cam/S1/session.json cam/S1/v720/volumes .", a.dir);
        char *back = mem_printf("cd %s && cp session.json cam/S1/ && cp volumes cam/S1/v720/", a.dir);
        assert_int_equal(system(save), 0);
        run_until(a_is_in_step);
        assert_int_equal(lacking(&a), 6); /* the rest of the fourth, and five more */
        b.delay_ms = 0;
        for (int i = 0; i < 3; i++) {
                stop(&a);
                assert_int_equal(system(back), 0);
                start(&a);
                assert_int_equal(volumes_get(&at(&a, "S1")->tracks[0]->log->closed, 3)->state, VOLUME_DAMAGED);
        }
        free(save);
        free(back);
}

static void test_what_does_not_come_to_the_checksum_is_not_taken(void **state)
{
        (void)state;
        stop(&a);
        struct session *s = broadcast_at_b(3 * 5 * PER + 1);
        struct volume_row *row = volumes_get(&s->tracks[0]->log->closed, 1);
        UNTIL(&loop, !row->closing);
        row->sum.crc ^= 1;
        start(&a);
        run_until(a_is_in_step);
        UNTIL(&loop, lacking(&a) <= 1 && stat_get(STAT_FILLS_FAILED));
        assert_int_equal(volumes_get(&at(&a, "S1")->tracks[0]->log->closed, 1)->state, VOLUME_LACKING);
        struct buf *none = volume_file(&a, "S1", "v720", 1);
        assert_null(none);
}

/* A copy of three volumes is in step, and one of them is on its way. */
static struct track *one_on_its_way(void)
{
        stop(&a);
        broadcast_at_b(3 * 5 * PER + 1);
        fills_options.bytes_s = 4000;
        start(&a);
        run_until(a_is_in_step);
        b.fails = a.fails = "/peer/live"; /* from here on they do not compare */
        char *folder = mem_printf("%s/cam/S1/v720.incoming", a.dir);
        UNTIL(&loop, access(folder, F_OK) >= 0);
        free(folder);
        assert_int_equal(lacking(&a), 3);
        return at(&a, "S1")->tracks[0];
}

static void test_a_volume_that_retention_removed_while_it_was_on_its_way_is_not_taken(void **state)
{
        (void)state;
        struct track *t = one_on_its_way();
        assert_int_equal(chunk_log_forget_volume(t->log, 2), 0);
        UNTIL(&loop, !lacking(&a) && !session_busy(at(&a, "S1")));
        assert_null(volumes_get(&t->log->closed, 2));
        assert_null(volume_file(&a, "S1", "v720", 2));
        assert_true(same_volume("S1", "v720", 1));
}

static void run_for(int64_t us)
{
        int64_t end = clock_mono_us() + us;
        UNTIL(&loop, clock_mono_us() >= end);
}

static void test_a_volume_is_taken_only_where_both_have_the_same_eras(void **state)
{
        (void)state;
        struct track *t = one_on_its_way();
        int64_t failed = stat_get(STAT_FILLS_FAILED);
        strcpy(t->eras.list[0].node, "t2"); /* since it was asked for, a newer writer's is to stand there */
        run_for(5 * US_PER_S);
        assert_true(stat_get(STAT_FILLS_FAILED) > failed);
        assert_int_equal(lacking(&a), 3);
        strcpy(at(&b, "S1")->tracks[0]->eras.list[0].node, "t2");
        run_until(a_is_whole);
        assert_true(same_volumes(3));
}

static void test_a_late_copy_takes_over_all_eras_also_of_what_it_has_not_yet(void **state)
{
        (void)state;
        uint64_t place;
        stop(&a);
        struct session *s = broadcast_at_b(3 * 5 * PER);
        claim_at(&b, "S1", 2, "t2");
        write_chunks(s, 3 * 5 * PER, 6 * 5 * PER, 60);
        claim_at(&b, "S1", 3, "t3");
        write_chunks(s, 6 * 5 * PER, 8 * 5 * PER + 1, 80);
        fills_options.bytes_s = 0;
        start(&a);
        run_until(a_is_in_step);
        assert_int_equal(lacking(&a), 8);
        assert_int_equal(at(&a, "S1")->tracks[0]->eras.count, 3);
        assert_false(eras_part(&at(&a, "S1")->tracks[0]->eras, &s->tracks[0]->eras, 8 * 5 * PER + 1, &place));
        stop(&a);
        fills_options.bytes_s = INT64_C(1) << 40;
        start(&a);
        run_until(a_is_whole);
        assert_true(same_volumes(8));
}

/* Both have five segments and a bit; then a goes on with an older writer, b with a newer one, for so many chunks. */
static struct session *split_at(unsigned place, unsigned end_a, unsigned end_b)
{
        both(place, place);
        run_for(US_PER_S / 5);
        stop(&b);
        write_chunks(at(&a, "S1"), place, end_a, 40);
        stop(&a);
        start(&b);
        struct session *s = claim_at(&b, "S1", 2, "t2");
        write_chunks(s, place, end_b, 60);
        return s;
}

static void test_what_retention_removed_at_the_other_is_no_reason_to_cut(void **state)
{
        (void)state;
        struct session *s = split_at(27, 28, 63);
        UNTIL(&loop, !session_busy(s));
        for (uint32_t n = 0; n < 4; n++)
                assert_int_equal(chunk_log_forget_volume(s->tracks[0]->log, n), 0);
        struct buf *before = volume_file(&a, "S1", "v720", 2);
        start(&a);
        run_until(a_is_in_step);
        struct buf *now = volume_file(&a, "S1", "v720", 2);
        assert_true(now && now->len == before->len && memcmp(now->data, before->data, now->len) == 0);
        assert_int_equal(eras_at(&at(&a, "S1")->tracks[0]->eras, 27)->generation, 1);
        assert_int_equal(eras_at(&at(&a, "S1")->tracks[0]->eras, 28)->generation, 2);
        UNTIL(&loop, !session_busy(at(&a, "S1")) && same_volume("S1", "v720", 4) && same_volume("S1", "v720", 5));
        buf_unref(&before);
        buf_unref(&now);
}

static void test_where_eras_part_in_what_the_other_lacks_it_is_cut_behind_that(void **state)
{
        (void)state;
        struct session *s = split_at(23, 43, 63);
        UNTIL(&loop, !session_busy(s));
        struct volume_row *lost = volumes_get(&s->tracks[0]->log->closed, 2);
        struct buf *before = volume_file(&a, "S1", "v720", 2);
        lost->state = VOLUME_LACKING;
        start(&a);
        run_until(a_is_in_step);
        struct buf *now = volume_file(&a, "S1", "v720", 2);
        assert_true(now && now->len == before->len && memcmp(now->data, before->data, now->len) == 0);
        assert_int_equal(eras_at(&at(&a, "S1")->tracks[0]->eras, 29)->generation, 1);
        assert_int_equal(eras_at(&at(&a, "S1")->tracks[0]->eras, 30)->generation, 2);
        for (unsigned n = 3; n < 6; n++)
                UNTIL(&loop, !session_busy(at(&a, "S1")) && same_volume("S1", "v720", n));
        buf_unref(&before);
        buf_unref(&now);
}

/* a has an older writer's chunks between two that both have, and loses them. */
static void test_of_what_is_not_here_newer_eras_are_taken_over(void **state)
{
        (void)state;
        char *lost = mem_printf("%s/cam/S1/v720/000002.mp4", a.dir);
        split_at(23, 30, 30);
        write_chunks(claim_at(&b, "S1", 3, "t3"), 30, 63, 80);
        b.fails = a.fails = "/peer/";
        start(&a);
        write_chunks(claim_at(&a, "S1", 3, "t3"), 30, 63, 80);
        stop(&a);
        assert_int_equal(unlink(lost), 0);
        b.fails = a.fails = NULL;
        start(&a);
        run_until(a_is_whole);
        assert_true(same_volumes(6));
        free(lost);
}

/* It died when that was saved, and before the first chunk behind them was here. */
static void test_a_track_ends_behind_the_volumes_that_it_knows_to_lack(void **state)
{
        (void)state;
        struct claim_track t[SESSION_TRACKS_MAX];
        uint64_t place;
        stop(&a);
        broadcast_at_b(3 * 5 * PER + 3);
        b.fails = "/live/cam/S1/v720/6";
        fills_options.bytes_s = 0;
        start(&a);
        UNTIL(&loop, at(&a, "S1") && lacking(&a) >= 3 && !session_busy(at(&a, "S1")));
        stop(&b);
        stop(&a);
        start(&a);
        assert_int_equal(lacking(&a), 3);
        assert_int_equal(session_claim_tracks(at(&a, "S1"), t), 1);
        assert_int_equal(t[0].next_segment, 3 * PER);
        assert_int_equal(t[0].end_us, 3 * PER * SEGMENT_US);
        struct session *s = claim_at(&a, "S1", 2, "t2");
        write_chunks(s, 3 * 5 * PER, 3 * 5 * PER + 5, 60);
        fills_options.bytes_s = INT64_C(1) << 40;
        b.fails = NULL;
        start(&b);
        stop(&a);
        start(&a);
        run_until(a_is_whole);
        UNTIL(&loop, same_volumes(3));
        assert_false(eras_part(&at(&a, "S1")->tracks[0]->eras, &at(&b, "S1")->tracks[0]->eras, 3 * 5 * PER, &place));
}

static void test_a_fill_that_is_cut_off_at_any_answer_begins_anew(void **state)
{
        (void)state;
        stop(&a);
        broadcast_at_b(3 * 5 * PER + 1);
        for (unsigned n = 1; n < 24; n++) {
                b.fetches = 0;
                b.fail_after = n;
                start(&a);
                UNTIL(&loop, (b.fetches >= n && !under_way && !disk_jobs()) || a_is_whole()); /* none is answered after that */
                stop(&a);
        }
        b.fail_after = 0;
        start(&a);
        run_until(a_is_whole);
        assert_true(same_volumes(3));
}

/* Two volumes of LONG segments that a lacks, and all else is there. */
static void lack_two_long_volumes(void)
{
        stop(&a);
        broadcast_at_b(2 * 5 * LONG + 1);
        fills_options.bytes_s = 0;
        start(&a);
        run_until(a_is_in_step);
        stop(&a);
        assert_int_equal(b.media, 0);
        b.media_asked = b.most_media = 0;
}

static void test_over_a_long_way_many_segments_are_on_their_way_at_a_time(void **state)
{
        (void)state;
        lack_two_long_volumes();
        fills_options.bytes_s = INT64_C(1) << 40;
        b.delay_ms = 50;
        start(&a);
        run_until(a_is_whole);
        assert_true(same_volumes(2));
        assert_true(b.most_media > 4);
        assert_true(b.most_media <= READ_AHEAD_MAX);
        assert_int_equal(b.media_asked, 2 * LONG); /* and each of them once */
}

static void test_a_peer_that_has_no_time_is_asked_again_for_what_it_refused_and_for_nothing_else(void **state)
{
        (void)state;
        lack_two_long_volumes();
        fills_options.bytes_s = INT64_C(1) << 40;
        b.refuse_each = 17;
        b.delay_ms = 5;
        start(&a);
        run_until(a_is_whole);
        assert_true(same_volumes(2));
        assert_true(b.media_asked > 2 * LONG);
        assert_true(b.media_asked < 2 * LONG + 10);
}

static void test_no_more_bytes_come_than_are_allowed_however_many_are_on_their_way(void **state)
{
        (void)state;
        lack_two_long_volumes();
        b.delay_ms = 50;
        int64_t bytes = (int64_t)session_sum(at(&b, "S1")).bytes, since = clock_mono_us();
        fills_options.bytes_s = bytes; /* a second */
        start(&a);
        run_until(a_is_whole);
        assert_true(clock_mono_us() - since > 700 * US_PER_MS); /* a quarter of a second may come at once */
}

/* Shorter than what would be skipped: all of it is copied segment by segment. */
static void test_what_ended_is_copied_no_faster_than_old_volumes_are(void **state)
{
        (void)state;
        stop(&a);
        struct session *s = broadcast_at_b(20 * 5);
        end_session(s);
        int64_t bytes = (int64_t)session_sum(s).bytes;
        fills_options.bytes_s = bytes;
        int64_t since = clock_mono_us();
        start(&a);
        UNTIL(&loop, at(&a, "S1") && (int64_t)session_sum(at(&a, "S1")).bytes >= bytes);
        assert_true(clock_mono_us() - since > 600 * US_PER_MS); /* a quarter of a second may come at once, and the last ones */
}

static void test_what_is_live_does_not_wait_for_recordings_that_are_copied_slowly(void **state)
{
        (void)state;
        char id[4];
        stop(&a);
        for (unsigned i = 1; i <= CATCH_UP_COPIES_MAX; i++) {
                snprintf(id, sizeof(id), "S%u", i);
                struct session *s = claim_at(&b, id, 0, "t1");
                add_track(s, "v720", fmp4_video_init());
                write_chunks(s, 0, 50, 40);
                end_session(s);
        }
        fills_options.bytes_s = 1000; /* a minute for all of them */
        start(&a);
        UNTIL(&loop, a.store.ended >= CATCH_UP_OLD_COPIES_MAX);
        struct session *live = claim_at(&b, "S9", 0, "t1");
        add_track(live, "v720", fmp4_video_init());
        write_chunks(live, 0, 20, 40);
        int64_t since = clock_mono_us();
        UNTIL(&loop, at(&a, "S9") && session_sum(at(&a, "S9")).bytes >= session_sum(live).bytes);
        assert_true(clock_mono_us() - since < 10 * US_PER_S);
}

/* And what waits for its allowance holds up no end. */
static void test_a_copy_that_has_to_wait_is_stopped_and_goes_on_where_it_was_after_a_restart(void **state)
{
        (void)state;
        stop(&a);
        struct session *s = broadcast_at_b(20 * 5);
        end_session(s);
        fills_options.bytes_s = (int64_t)session_sum(s).bytes / 2;
        start(&a);
        UNTIL(&loop, at(&a, "S1") && session_sum(at(&a, "S1")).bytes >= session_sum(s).bytes / 3);
        stop(&a);
        unsigned before = b.media_asked;
        fills_options.bytes_s = INT64_C(1) << 40;
        start(&a);
        UNTIL(&loop, at(&a, "S1") && session_sum(at(&a, "S1")).bytes >= session_sum(s).bytes);
        assert_true(b.media_asked - before < 17);
}

#define LONG_CASE(f) cmocka_unit_test_setup_teardown(f, setup_long_volumes, teardown)
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup_small_volumes, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_a_new_copy_is_in_step_before_it_is_whole_and_then_whole),
                CASE(test_a_new_copy_of_more_volumes_than_one_answer_tells_lacks_none_for_good),
                CASE(test_a_volume_that_is_being_closed_when_a_copy_begins_is_not_passed_over),
                CASE(test_one_that_was_away_for_long_is_in_step_first_and_gets_the_gap_after_that),
                CASE(test_the_newest_volume_comes_first_and_viewers_get_the_others_from_the_peer),
                CASE(test_for_what_comes_next_no_peer_is_asked_whatever_is_lacking),
                CASE(test_volumes_come_no_faster_than_they_may),
                CASE(test_a_viewer_gets_what_is_lacking_from_whichever_peer_has_it),
                CASE(test_what_one_lost_for_room_stays_at_the_other_and_comes_to_viewers_from_there),
                CASE(test_a_volume_that_is_damaged_or_gone_is_brought_from_the_peer),
                CASE(test_a_volume_that_was_left_before_its_end_does_not_pass_for_whole),
                CASE(test_what_does_not_come_to_the_checksum_is_not_taken),
                CASE(test_a_volume_that_retention_removed_while_it_was_on_its_way_is_not_taken),
                CASE(test_a_volume_is_taken_only_where_both_have_the_same_eras),
                CASE(test_a_late_copy_takes_over_all_eras_also_of_what_it_has_not_yet),
                CASE(test_what_retention_removed_at_the_other_is_no_reason_to_cut),
                CASE(test_where_eras_part_in_what_the_other_lacks_it_is_cut_behind_that),
                CASE(test_of_what_is_not_here_newer_eras_are_taken_over),
                CASE(test_a_track_ends_behind_the_volumes_that_it_knows_to_lack),
                CASE(test_a_fill_that_is_cut_off_at_any_answer_begins_anew),
                LONG_CASE(test_over_a_long_way_many_segments_are_on_their_way_at_a_time),
                LONG_CASE(test_a_peer_that_has_no_time_is_asked_again_for_what_it_refused_and_for_nothing_else),
                LONG_CASE(test_no_more_bytes_come_than_are_allowed_however_many_are_on_their_way),
                LONG_CASE(test_what_ended_is_copied_no_faster_than_old_volumes_are),
                LONG_CASE(test_what_is_live_does_not_wait_for_recordings_that_are_copied_slowly),
                LONG_CASE(test_a_copy_that_has_to_wait_is_stopped_and_goes_on_where_it_was_after_a_restart),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
