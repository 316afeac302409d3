/* What a full disk costs, and in which order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "originD/stats.h"
#include "tests/unit/broken_disk.h"
#include "tests/unit/recorded.h"
#include "tests/unit/said.h"
#include "tests/unit/until.h"

#define WINDOW_S 4
#define LACKING_BYTES 1 /* one thing more goes */

static int64_t now_us; /* when the test began: what lies how far back does not change while a slow machine writes it */

static int setup(void **state)
{
        int rc = setup_store(state);
        now_us = clock_real_us();
        store.options.volume_segments = 2;
        store.options.time_shift_us = WINDOW_S * US_PER_S;
        store.options.min_free_bytes = 1 << 30; /* so no minute has a bound that matters */
        store.space.measured_mono_us = INT64_MAX; /* nobody else looks at the disk */
        return rc;
}

static int teardown(void **state)
{
        broken.fsync = broken.rename = broken.unlink = 0;
        return teardown_store(state);
}

/* A broadcast that began so long ago, of so many seconds in volumes of two; the last one is open. */
static struct session *broadcast(const char *stream, const char *id, unsigned ago_s, unsigned seconds, bool both)
{
        int err;
        struct session *s = claim(stream, id, now_us - ago_s * US_PER_S, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        if (both)
                assert_int_equal(add_track(s, "v360", fmp4_video_init(), 0), 0);
        for (unsigned n = 0; n < seconds; n++)
                for (unsigned k = 0; k < 5; k++) {
                        assert_int_equal(put_video(s, "v720", n, k), 0);
                        if (both)
                                assert_int_equal(put_video(s, "v360", n, k), 0);
                }
        drain();
        return s;
}

/* It ended so long ago. */
static void record(const char *id, unsigned ago_s)
{
        int64_t at_us = now_us - ago_s * US_PER_S;
        struct session *s = recorded("old", id, at_us - US_PER_S);
        assert_int_equal(end_session(s), 0);
        s->ended_wall_us = at_us;
        session_tell(s);
        drain();
}

static unsigned first_volume(const struct session *s, const char *track)
{
        const struct chunk_log *log = session_track(s, track)->log;
        return log->closed.count ? log->closed.rows[0].number : log->open_number;
}

static bool make_room(uint64_t bytes)
{
        bool some = room_make(&store, bytes);
        drain();
        return some;
}

static void test_when_no_recording_is_left_live_sessions_lose_what_nobody_can_go_back_to_and_no_more(void **state)
{
        (void)state;
        struct session *s = broadcast("cam", "S1", 3600, 13, false);
        record("R1", 3600);
        record("R2", 3590);
        assert_true(make_room(LACKING_BYTES));
        assert_null(store_session(&store, "R1"));
        assert_non_null(store_session(&store, "R2"));
        assert_true(make_room(INT64_MAX));
        assert_null(store_session(&store, "R2"));
        assert_int_equal(first_volume(s, "v720"), 4); /* of 13 s the last four: from segment 9 on, which is in this one */
        assert_int_equal(track_first_segment(s, s->tracks[0]), 8);
        assert_false(kept("v720/000003.mp4") || kept("v720/000003.idx"));
        assert_true(kept("v720/000004.mp4") && kept("v720/000005.mp4") && kept("v720/000006.mp4"));
        assert_false(make_room(LACKING_BYTES));
        assert_int_equal(put_video(s, "v720", 13, 0), 0);
        stop_store();
        start_store();
        assert_int_equal(track_first_segment(store_session(&store, "S1"), store_session(&store, "S1")->tracks[0]), 8);
}

static void test_the_oldest_media_goes_first_whether_its_session_ended_or_not(void **state)
{
        (void)state;
        struct session *a = broadcast("cam", "S1", 200, 9, false), *b = broadcast("door", "S2", 203, 9, false);
        record("R1", 150);
        record("R2", 300);
        assert_true(make_room(LACKING_BYTES));
        assert_null(store_session(&store, "R2"));
        /* Two of each can go: the first one's ended 198 and 196 s ago, the second one's 201 and 199. */
        static const unsigned firsts[][2] = {{0, 1}, {0, 2}, {1, 2}, {2, 2}};
        for (size_t i = 0; i < sizeof(firsts) / sizeof(firsts[0]); i++) {
                assert_true(make_room(LACKING_BYTES));
                assert_int_equal(first_volume(a, "v720"), firsts[i][0]);
                assert_int_equal(first_volume(b, "v720"), firsts[i][1]);
                assert_non_null(store_session(&store, "R1")); /* younger than all of them */
        }
        assert_true(make_room(LACKING_BYTES));
        assert_null(store_session(&store, "R1"));
        assert_false(make_room(LACKING_BYTES));
}

static void test_in_one_look_the_oldest_goes_first_too(void **state)
{
        (void)state;
        struct session *a = broadcast("cam", "S1", 202, 9, false), *b = broadcast("door", "S2", 203, 9, false); /* in turn */
        uint64_t volume_bytes = a->tracks[0]->log->closed.rows[0].sum.bytes;
        assert_true(make_room(volume_bytes + LACKING_BYTES));
        assert_int_equal(first_volume(a, "v720"), 1);
        assert_int_equal(first_volume(b, "v720"), 1);
}

static void test_no_newer_recording_goes_because_the_oldest_is_read_at_that_moment(void **state)
{
        (void)state;
        record("S1", 300);
        record("S2", 200);
        struct session *oldest = store_session(&store, "S1");
        oldest->pins++;
        assert_true(room_make(&store, LACKING_BYTES)); /* there will be room: nobody is refused for it */
        drain();
        assert_non_null(store_session(&store, "S2"));
        store.retention.busy_since_mono_us -= RETENTION_BUSY_FULL_US; /* who reads it all the time holds up nothing for ever */
        assert_true(room_make(&store, LACKING_BYTES));
        drain();
        assert_null(store_session(&store, "S2"));
        oldest->pins--;
        assert_true(room_make(&store, LACKING_BYTES));
        drain();
        assert_null(store_session(&store, "S1"));
}

static void test_all_tracks_of_a_session_begin_anew_at_once(void **state)
{
        (void)state;
        struct session *s = broadcast("cam", "S1", 200, 9, true);
        s->tracks[1]->log->closed.rows[0].closing = true; /* one of them is at work on it */
        assert_false(make_room(LACKING_BYTES));
        assert_int_equal(first_volume(s, "v720"), 0);
        s->tracks[1]->log->closed.rows[0].closing = false;
        assert_true(make_room(LACKING_BYTES));
        assert_int_equal(first_volume(s, "v720"), 1);
        assert_int_equal(first_volume(s, "v360"), 1);
}

/* Its end is the session's: a track that stopped long ago has nothing that anybody could go back to. */
static void test_a_track_that_stopped_keeps_no_more_than_the_others(void **state)
{
        (void)state;
        struct session *s = broadcast("cam", "S1", 200, 5, true);
        for (unsigned n = 5; n < 13; n++)
                for (unsigned k = 0; k < 5; k++)
                        assert_int_equal(put_video(s, "v720", n, k), 0);
        drain();
        assert_true(make_room(INT64_MAX));
        assert_int_equal(first_volume(s, "v720"), 4);
        assert_int_equal(session_track(s, "v360")->log->closed.count, 0); /* the open one stays */
        assert_int_equal(session_track(s, "v360")->log->open_number, 2);
}

/* Another origin's disk is another one: what it has it keeps, and nothing of it comes here. */
static void test_what_went_for_room_is_not_brought_again(void **state)
{
        (void)state;
        struct session *s = broadcast("cam", "S1", 200, 9, false);
        struct chunk_log *log = s->tracks[0]->log;
        struct volume_row was = log->closed.rows[0];
        struct volumes there = {.rows = &was, .count = 1};
        assert_true(retention_wants(&store, "other", now_us - 199 * US_PER_S, now_us));
        assert_true(make_room(LACKING_BYTES));
        chunk_log_expect_volumes(log, &there, 0, 1);
        assert_int_equal(log->closed.rows[0].number, 1);
        assert_int_equal(session_sum(s).lacking, 0);
        assert_false(retention_wants(&store, "other", now_us - 199 * US_PER_S, now_us)); /* it would be the next to go */
        assert_true(retention_wants(&store, "other", now_us - 190 * US_PER_S, now_us));
}

/* A copy that is being filled in, the newest first: what has not come yet is not waited for. */
static void test_what_is_lacking_before_what_went_is_forgotten_with_it(void **state)
{
        (void)state;
        struct session *s = broadcast("cam", "S1", 200, 13, false);
        struct chunk_log *log = s->tracks[0]->log;
        for (uint32_t n = 0; n < 2; n++) {
                assert_true(chunk_log_hide_volume(log, n, NULL));
                chunk_log_take_volume(log, n, VOLUME_LACKING, NULL);
        }
        assert_int_equal(session_sum(s).lacking, 2);
        assert_true(make_room(LACKING_BYTES));
        assert_int_equal(session_sum(s).lacking, 0);
        assert_int_equal(first_volume(s, "v720"), 3);
}

static void test_what_fills_the_disk_from_outside_costs_a_share_a_minute(void **state)
{
        (void)state;
        struct session *s = broadcast("cam", "S1", 200, 49, false); /* 24 closed volumes: a twentieth is one and a bit */
        store.options.min_free_bytes = 1;
        stat_set(STAT_STORED_BYTES, (int64_t)session_bytes(s));
        assert_true(make_room(INT64_MAX));
        assert_int_equal(first_volume(s, "v720"), 2);
        assert_true(make_room(INT64_MAX)); /* room is to be had, and comes with the next minute */
        assert_int_equal(first_volume(s, "v720"), 2);
        store.making_room.minute_mono_us -= 60 * US_PER_S;
        assert_true(make_room(INT64_MAX));
        assert_int_equal(first_volume(s, "v720"), 4);
        store.making_room.minute_mono_us -= 60 * US_PER_S;
        store.fill_bytes_s = (double)session_bytes(s); /* as fast as it comes it may go */
        assert_true(make_room(INT64_MAX));
        assert_int_equal(first_volume(s, "v720"), 22);
}

static void test_that_live_sessions_lose_volumes_is_told_once_and_each_is_counted(void **state)
{
        (void)state;
        broadcast("cam", "S1", 200, 13, true);
        int64_t full = stat_get(STAT_REMOVED_VOLUMES_FULL), window = stat_get(STAT_REMOVED_VOLUMES_WINDOW);
        int64_t stored = stat_get(STAT_STORED_BYTES);
        uint64_t one = store_session(&store, "S1")->tracks[0]->log->closed.rows[0].sum.bytes;
        listen_to_log();
        make_room(LACKING_BYTES);
        make_room(LACKING_BYTES);
        end_listening();
        assert_int_equal(times_said("session=S1 stream=cam volume=000000 msg=\"the disk is full: live sessions lose their oldest volumes\" age_s="), 1);
        assert_int_equal(times_said("lose their oldest volumes"), 1);
        assert_int_equal(stat_get(STAT_REMOVED_VOLUMES_FULL), full + 4);
        assert_int_equal(stat_get(STAT_REMOVED_VOLUMES_WINDOW), window);
        assert_true(stored - stat_get(STAT_STORED_BYTES) >= (int64_t)one * 4 - 64 && store.trimmed.bytes == 0);
        store.making_room.trimmed_mono_us -= 3601 * US_PER_S;
        listen_to_log();
        make_room(LACKING_BYTES);
        end_listening();
        assert_int_equal(times_said("lose their oldest volumes"), 1);
}

/* Nothing can be saved before something is removed. */
static void test_a_disk_without_a_byte_left_is_freed_all_the_same(void **state)
{
        (void)state;
        struct session *s = broadcast("cam", "S1", 200, 9, false);
        broken.fsync = ENOSPC;
        listen_to_log();
        assert_true(make_room(LACKING_BYTES));
        bool left = kept("v720/000000.mp4");
        broken.fsync = 0;
        session_retry_save(s);
        drain();
        end_listening();
        assert_false(left);
        stop_store();
        start_store();
        s = store_session(&store, "S1");
        assert_int_equal(first_volume(s, "v720"), 1);
        assert_int_equal(session_sum(s).lacking, 0);
}

static void test_a_disk_that_refuses_costs_no_more_volumes_than_one_that_does_not(void **state)
{
        (void)state;
        struct session *s = broadcast("cam", "S1", 200, 13, false);
        broken.unlink = EROFS;
        listen_to_log();
        assert_true(make_room(LACKING_BYTES));
        for (unsigned n = 0; n < 4; n++)
                assert_false(make_room(LACKING_BYTES)); /* writers are told that there is none */
        broken.unlink = 0;
        assert_int_equal(first_volume(s, "v720"), 1);
        retention_sweep(&store, clock_real_us());
        drain();
        end_listening();
        assert_false(kept("v720/000000.mp4"));
        assert_true(make_room(LACKING_BYTES));
        assert_int_equal(first_volume(s, "v720"), 2);
}

/* ---- an archive ------------------------------------------------------------------------------------------------------ */

static void mark_copied(struct session *s, size_t from, size_t to)
{
        struct chunk_log *log = s->tracks[0]->log;
        for (size_t i = from; i < to; i++)
                assert_true(chunk_log_copied(log, &(struct volume_row){.number = log->closed.rows[i].number, .state = log->closed.rows[i].state,
                                                                       .sum = log->closed.rows[i].sum}));
        drain();
}

static void test_what_the_archive_has_goes_first_and_only_from_here(void **state)
{
        (void)state;
        struct session *s = broadcast("cam", "S1", 3600, 13, false);
        record("R1", 3700);
        mark_copied(s, 1, 5);
        uint64_t bytes = session_bytes(s);
        store.options.has_archive = true;
        assert_true(make_room(LACKING_BYTES));
        assert_non_null(store_session(&store, "R1")); /* older, but it would be lost */
        assert_int_equal(session_bytes(s), bytes);
        assert_int_equal(s->tracks[0]->log->closed.rows[1].state, VOLUME_ARCHIVED);
        assert_false(kept("v720/000001.mp4"));
        assert_true(kept("v720/000001.idx"));
        assert_true(make_room(INT64_MAX));
        assert_null(store_session(&store, "R1"));
        struct volume_row *rows = s->tracks[0]->log->closed.rows;
        assert_int_equal(rows[0].number, 1); /* the archive had no copy of the first: it went */
        assert_true(rows[0].state == VOLUME_ARCHIVED && rows[1].state == VOLUME_ARCHIVED && rows[2].state == VOLUME_ARCHIVED);
        assert_int_equal(rows[3].state, VOLUME_HERE); /* viewers can go back to it */
        assert_false(make_room(LACKING_BYTES));
        assert_int_equal(store.copied.bytes, 0);
        stop_store();
        start_store();
        rows = store_session(&store, "S1")->tracks[0]->log->closed.rows;
        assert_true(rows[0].number == 1 && rows[0].state == VOLUME_ARCHIVED && rows[3].state == VOLUME_HERE);
}

static void test_a_recording_that_the_archive_has_is_read_for_its_files_to_go(void **state)
{
        (void)state;
        struct session *s = broadcast("cam", "S1", 3600, 5, false);
        assert_int_equal(end_session(s), 0);
        drain();
        mark_copied(s, 0, 3);
        assert_true(session_unload(s));
        record("R1", 3700);
        store.options.has_archive = true;
        assert_true(make_room(LACKING_BYTES));
        assert_int_equal(s->load, LOAD_DONE);
        assert_true(make_room(INT64_MAX));
        assert_non_null(store_session(&store, "S1"));
        assert_int_equal(s->tracks[0]->log->closed.rows[0].state, VOLUME_ARCHIVED);
        assert_int_equal(session_sum(s).archive.copied, 0);
}

/* The newest closed one, in which a track may have to go on after a start, keeps its file; and it is not lost for that. */
static void test_what_the_archive_has_is_never_lost_for_room(void **state)
{
        (void)state;
        store.options.volume_segments = 6;
        store.options.time_shift_us = 2 * US_PER_S;
        struct session *s = broadcast("cam", "S1", 3600, 11, false);
        mark_copied(s, 0, 1);
        store.options.has_archive = true;
        assert_false(make_room(LACKING_BYTES));
        assert_int_equal(s->tracks[0]->log->closed.rows[0].state, VOLUME_HERE);
        store.options.has_archive = false;
        assert_true(make_room(LACKING_BYTES));
        assert_int_equal(s->tracks[0]->log->closed.count, 0);
}

/* Where a track has a gap its volume ends earlier than another's of the same number. */
static void test_a_volume_that_viewers_can_go_back_to_in_one_track_stays_in_all(void **state)
{
        (void)state;
        struct session *s = broadcast("cam", "S1", 3600, 13, true);
        store.options.has_archive = true;
        session_track(s, "v360")->log->closed.rows[4].sum.last_segment = 8; /* the window begins with the next one */
        session_track(s, "v720")->log->closed.rows[4].copied = true;
        make_room(INT64_MAX);
        assert_int_equal(first_volume(s, "v720"), 4);
        assert_int_equal(first_volume(s, "v360"), 4);
}

/* On a disk without a byte left the file goes before the row can say so. */
static void test_a_crash_before_the_row_is_saved_leaves_a_volume_that_is_read_from_the_archive(void **state)
{
        char path[200];
        (void)state;
        struct session *s = broadcast("cam", "S1", 3600, 13, false);
        mark_copied(s, 1, 2);
        session_save(s, NULL, false, NULL);
        drain();
        stop_store();
        snprintf(path, sizeof(path), "%s/cam/S1/v720/000001.mp4", data_dir);
        assert_int_equal(unlink(path), 0);
        listen_to_log();
        start_store();
        end_listening();
        s = store_session(&store, "S1");
        const struct volume_row *row = &s->tracks[0]->log->closed.rows[1];
        assert_int_equal(row->state, VOLUME_ARCHIVED);
        assert_false(row->copied);
        assert_int_equal(session_sum(s).lacking, 0);
        assert_true(session_sum(s).archive.archived == row->sum.bytes);
        assert_int_equal(times_said("volume=000001 msg=\"a volume is not here any more: it is read from the archive\""), 1);
}

/* It could not be used since then, say: only what it has not taken is here. */
static void test_months_in_the_archive_do_not_hide_what_is_here(void **state)
{
        (void)state;
        for (unsigned i = 0; i < RETENTION_LOOKS_MAX + 1; i++) {
                struct claim c = {.stream = "archived", .epoch_us = 1 + i};
                snprintf(c.session, sizeof(c.session), "A%u", i);
                struct session *s = session_new(&loop, data_dir, &c, 600, false);
                s->state = SESSION_ENDED;
                s->load = LOAD_NO;
                s->sum = (struct session_sum){.tracks = 1, .bytes = 1000, .archive.archived = 1000};
                s->ended_wall_us = 1 + i;
                store_add(&store, s);
        }
        record("R1", 20);
        record("R2", 10);
        store.options.has_archive = true;
        assert_true(make_room(LACKING_BYTES));
        assert_null(store_session(&store, "R1"));
        assert_non_null(store_session(&store, "R2"));
        assert_true(make_room(LACKING_BYTES));
        assert_null(store_session(&store, "R2"));
        assert_non_null(store_session(&store, "A0"));
        assert_false(make_room(LACKING_BYTES));
}

/* An origin whose archive was taken from its configuration has only what is here. */
static void test_without_an_archive_what_was_copied_once_counts_as_here(void **state)
{
        (void)state;
        struct session *s = broadcast("cam", "S1", 3600, 9, false);
        mark_copied(s, 0, 4);
        assert_true(make_room(LACKING_BYTES));
        assert_int_equal(first_volume(s, "v720"), 1);
        assert_int_equal(s->tracks[0]->log->closed.rows[0].state, VOLUME_HERE);
}

static void test_a_file_that_the_disk_refuses_to_remove_keeps_nobody_from_making_room(void **state)
{
        (void)state;
        struct session *s = broadcast("cam", "S1", 3600, 9, false);
        record("R1", 3700);
        mark_copied(s, 0, 2);
        store.options.has_archive = true;
        broken.unlink = EIO;
        listen_to_log();
        assert_true(make_room(LACKING_BYTES));
        broken.unlink = 0;
        assert_int_equal(store.copied.bytes, 0);
        assert_true(make_room(LACKING_BYTES));
        end_listening();
        assert_null(store_session(&store, "R1"));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_when_no_recording_is_left_live_sessions_lose_what_nobody_can_go_back_to_and_no_more),
                CASE(test_the_oldest_media_goes_first_whether_its_session_ended_or_not),
                CASE(test_in_one_look_the_oldest_goes_first_too),
                CASE(test_no_newer_recording_goes_because_the_oldest_is_read_at_that_moment),
                CASE(test_all_tracks_of_a_session_begin_anew_at_once),
                CASE(test_a_track_that_stopped_keeps_no_more_than_the_others),
                CASE(test_what_went_for_room_is_not_brought_again),
                CASE(test_what_is_lacking_before_what_went_is_forgotten_with_it),
                CASE(test_what_fills_the_disk_from_outside_costs_a_share_a_minute),
                CASE(test_that_live_sessions_lose_volumes_is_told_once_and_each_is_counted),
                CASE(test_a_disk_without_a_byte_left_is_freed_all_the_same),
                CASE(test_a_disk_that_refuses_costs_no_more_volumes_than_one_that_does_not),
                CASE(test_what_the_archive_has_goes_first_and_only_from_here),
                CASE(test_a_recording_that_the_archive_has_is_read_for_its_files_to_go),
                CASE(test_what_the_archive_has_is_never_lost_for_room),
                CASE(test_a_volume_that_viewers_can_go_back_to_in_one_track_stays_in_all),
                CASE(test_a_crash_before_the_row_is_saved_leaves_a_volume_that_is_read_from_the_archive),
                CASE(test_months_in_the_archive_do_not_hide_what_is_here),
                CASE(test_without_an_archive_what_was_copied_once_counts_as_here),
                CASE(test_a_file_that_the_disk_refuses_to_remove_keeps_nobody_from_making_room),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
