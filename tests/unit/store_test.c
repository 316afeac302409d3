#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "originD/log/file.h"
#include "tests/unit/recorded.h"
#include "tests/unit/until.h"

static void test_live_session_is_found_and_continued_after_a_restart(void **state)
{
        (void)state;
        recorded("cam", "S1", 5000000);
        stop_store();
        start_store();
        struct session *s = stream_live(store_stream(&store, "cam"));
        assert_non_null(s);
        assert_int_equal(s->tracks[0]->log->index.end_ticks, 90000);
        assert_int_equal(put_video(s, "v720", 1, 0), 0);
        assert_int_equal(s->tracks[0]->bandwidth, 1000000);
}

static void test_a_recording_nobody_asks_for_is_not_kept_loaded(void **state)
{
        (void)state;
        struct session *s = recorded("cam", "S1", 5000000);
        assert_int_equal(end_session(s), 0);
        drain();
        for (int i = 0; i < 3; i++)
                uv_run(&loop, UV_RUN_ONCE);
        assert_int_equal(s->load, LOAD_DONE); /* it ended just now */
        s->asked_mono_us -= STORE_LOADED_US;
        UNTIL(&loop, s->load != LOAD_DONE);
        assert_true(session_playable(s));
        assert_int_equal(loaded(s)->tracks[0]->at_end.end_us, 1000000);
}

static void append_to_file(const char *name, const void *bytes, size_t len)
{
        char path[200];
        snprintf(path, sizeof(path), "%s/cam/S1/%s", data_dir, name);
        int fd = open(path, O_WRONLY | O_APPEND);
        assert_int_equal(write(fd, bytes, len), len);
        close(fd);
}

static void test_torn_tail_of_a_live_session_is_cut_and_written_over(void **state)
{
        (void)state;
        recorded("cam", "S1", 0);
        stop_store();
        struct buf *torn = fmp4_video_chunk(1, 0, 40);
        append_to_file("v720/000000.mp4", torn->data, torn->len - 1);
        buf_unref(&torn);
        start_store();
        struct session *s = store_session(&store, "S1");
        assert_int_equal(s->tracks[0]->log->index.end_ticks, 90000);
        assert_int_equal(put_video(s, "v720", 1, 0), 0);
        stop_store();
        start_store();
        assert_int_equal(store_session(&store, "S1")->tracks[0]->log->index.end_ticks, 108000);
}

static void test_recording_is_there_after_a_restart_and_read_when_asked_for(void **state)
{
        (void)state;
        struct session *s = recorded("cam", "S1", 5000000);
        assert_int_equal(end_session(s), 0);
        stop_store();
        start_store();
        s = store_session(&store, "S1");
        assert_int_equal(s->state, SESSION_ENDED);
        assert_int_equal(s->end_us, 1000000);
        assert_true(session_playable(s));
        assert_int_equal(s->track_count, 0);
        session_load(s);
        UNTIL(&loop, s->load != LOAD_UNDER_WAY);
        assert_int_equal(s->load, LOAD_DONE);
        assert_true(track_playable(s, s->tracks[0]));
        struct segment_view v;
        UNTIL(&loop, chunk_log_segment(s->tracks[0]->log, 0, true, &v) != SEGMENT_LOADING);
        assert_int_equal(chunk_log_segment(s->tracks[0]->log, 0, false, &v), SEGMENT_HERE);
        struct session_sum whole = session_sum(s);
        assert_true(session_unload(s));
        assert_null(s->tracks);
        assert_true(whole.bytes == s->sum.bytes && whole.digest == s->sum.digest && whole.tracks == s->sum.tracks &&
                    whole.written_place == s->sum.written_place && whole.written_generation == s->sum.written_generation &&
                    whole.playable == s->sum.playable && whole.lacking == s->sum.lacking);
        session_load(s);
        UNTIL(&loop, s->load != LOAD_UNDER_WAY);
        assert_int_equal(session_bytes(s), whole.bytes);
}

static unsigned count_of(const char *text, const char *what)
{
        unsigned n = 0;
        for (const char *at = text; (at = strstr(at, what)); at++)
                n++;
        return n;
}

static void test_a_session_file_that_cannot_be_saved_is_told_once(void **state)
{
        char beside[200], said[8192];
        int err;
        (void)state;
        struct session *s = recorded("cam", "S1", 5000000);
        snprintf(beside, sizeof(beside), "%s/cam/S1/session.json.tmp", data_dir);
        FILE *log = tmpfile();
        int old = dup(STDERR_FILENO);
        assert_int_equal(mkdir(beside, 0700), 0);
        dup2(fileno(log), STDERR_FILENO);
        claim("cam", "S2", 5000000, &err);
        for (int i = 0; i < 3; i++) {
                session_retry_save(s);
                drain();
        }
        int removed = rmdir(beside);
        session_retry_save(s);
        drain();
        dup2(old, STDERR_FILENO);
        close(old);
        rewind(log);
        said[fread(said, 1, sizeof(said) - 1, log)] = '\0';
        fclose(log);
        assert_int_equal(removed, 0);
        assert_int_equal(err, ERR_IO);
        assert_int_equal(count_of(said, "cannot save what is known of a session"), 1);
        assert_int_equal(count_of(said, "what is known of the session is saved again"), 1);
}

/* The second chunk of an era once went in without waiting: after a crash nobody would have known whose it is. */
static void test_no_chunk_of_an_era_is_stored_before_its_beginning_is(void **state)
{
        char beside[200];
        int err;
        (void)state;
        struct session *s = recorded("cam", "S1", 5000000);
        assert_non_null(claim("cam", "S2", 5000000, &err));
        drain();
        snprintf(beside, sizeof(beside), "%s/cam/S1/session.json.tmp", data_dir);
        assert_int_equal(mkdir(beside, 0700), 0);
        assert_int_equal(put_video(s, "v720", 1, 0), ERR_IO);
        assert_int_equal(put_video(s, "v720", 1, 0), ERR_IO);
        assert_int_equal(s->tracks[0]->log->index.end_ticks, 90000);
        assert_int_equal(rmdir(beside), 0);
        assert_int_equal(put_video(s, "v720", 1, 0), 0);
}

static void wait_loaded(const struct session *s)
{
        UNTIL(&loop, s->load != LOAD_UNDER_WAY);
}

static void test_a_recording_that_could_not_be_read_once_is_read_later(void **state)
{
        char path[200], away[210];
        (void)state;
        struct session *s = recorded("cam", "S1", 5000000);
        assert_int_equal(end_session(s), 0);
        stop_store();
        start_store();
        s = store_session(&store, "S1");
        snprintf(path, sizeof(path), "%s/cam/S1/v720", data_dir);
        snprintf(away, sizeof(away), "%s.away", path);
        assert_int_equal(rename(path, away), 0);
        session_load(s);
        wait_loaded(s);
        assert_int_equal(s->load, LOAD_FAILED);
        assert_int_equal(rename(away, path), 0);
        session_load(s);
        assert_int_equal(s->load, LOAD_FAILED); /* not at once */
        s->load_again_us = 0;
        session_load(s);
        wait_loaded(s);
        assert_int_equal(s->load, LOAD_DONE);
}

static void test_a_damaged_volume_of_a_live_session_is_kept_and_what_is_whole_goes_on(void **state)
{
        (void)state;
        struct session *s = recorded("cam", "S1", 5000000);
        for (unsigned k = 0; k < 10; k++)
                assert_int_equal(put_video(s, "v720", 1 + k / 5, k % 5), 0);
        off_t at = (off_t)s->tracks[0]->log->index.rows[1].offset + 100;
        stop_store();
        damage("v720/000000.mp4", 4);
        damage("v720/000000.mp4", at);
        start_store();
        s = stream_live(store_stream(&store, "cam"));
        struct chunk_log *log = s->tracks[0]->log;
        struct segment_view v;
        assert_true(kept("v720/000000.mp4.damaged-1"));
        assert_int_equal(chunk_log_segment(log, 0, false, &v), SEGMENT_HERE);
        assert_int_equal(chunk_log_segment(log, 1, false, &v), SEGMENT_LACKING);
        assert_int_equal(chunk_log_segment(log, 2, false, &v), SEGMENT_HERE);
        assert_int_equal(put_video(s, "v720", 3, 0), 0);
}

/* A start without enough descriptors once took tracks for absent, and their writer began them anew. */
static void test_a_track_that_cannot_be_read_now_is_not_begun_anew(void **state)
{
        char folder[200], away[200];
        (void)state;
        recorded("cam", "S1", 5000000);
        stop_store();
        snprintf(folder, sizeof(folder), "%s/cam/S1/v720/000000.mp4", data_dir);
        snprintf(away, sizeof(away), "%s/cam/S1/away", data_dir);
        assert_int_equal(rename(folder, away), 0);
        assert_int_equal(mkdir(folder, 0755), 0); /* EISDIR */
        start_store();
        struct session *s = stream_live(store_stream(&store, "cam"));
        int err;
        assert_int_equal(s->track_count, 1);
        assert_null(claim("cam", "S2", 0, &err)); /* where it ends nobody can say */
        assert_int_equal(err, ERR_IO);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), ERR_IO);
        assert_int_equal(rmdir(folder), 0);
        assert_int_equal(rename(away, folder), 0);
        store.retried_mono_us = 0;
        UNTIL(&loop, !s->tracks[0]->unreadable); /* it is tried again */
        assert_int_equal(s->tracks[0]->log->index.end_ticks, 90000);
        assert_non_null(claim("cam", "S2", 0, &err));
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
}

static void test_session_nobody_writes_to_ends_by_itself(void **state)
{
        (void)state;
        struct session *s = recorded("cam", "S1", 0);
        s->heard_mono_us -= (int64_t)s->grace_ms * 1000;
        for (int i = 0; i < 3; i++)
                uv_run(&loop, UV_RUN_ONCE);
        assert_int_equal(s->state, SESSION_LIVE); /* the grace time is over, the 10 s are not */
        s->heard_mono_us -= 10 * US_PER_S;
        UNTIL(&loop, s->state != SESSION_LIVE);
        assert_false(s->ended_by_writer);
        int err;
        assert_string_equal(claim("cam", "S2", 0, &err)->id, "S2");
}

static void nothing(void *arg)
{
        (void)arg;
}

/* Forgotten, it would stay on the disk and be a recording again after the next start. */
static void test_a_removal_that_the_disk_had_no_place_for_is_tried_again(void **state)
{
        (void)state;
        assert_int_equal(end_session(recorded("cam", "S1", 0)), 0);
        drain();
        for (unsigned n = 0; disk_run(&loop, DISK_COLD, NULL, nothing, NULL) == 0; n++)
                assert_true(n < DISK_COLD_MAX); /* what is over counts until the loop hears of it */
        store_remove(&store, store_session(&store, "S1"));
        assert_non_null(store.removals.first); /* until the next tick */
        assert_true(there("cam", "S1"));
        UNTIL(&loop, !there("cam", "S1"));
        drain();
}

static void test_claimed_session_without_media_leaves_nothing(void **state)
{
        (void)state;
        int err;
        struct session *s = claim("cam", "S1", 0, &err);
        assert_int_equal(end_session(s), 0);
        UNTIL(&loop, !store_session(&store, "S1"));
        drain();
        assert_false(there("cam", "S1"));
        assert_null(store_stream(&store, "cam"));
}

static void test_no_space_refuses_new_sessions_until_it_is_back(void **state)
{
        (void)state;
        int err;
        store.options.min_free_bytes = INT64_MAX;
        store_no_space(&store);
        assert_null(claim("cam", "S1", 0, &err));
        assert_int_equal(err, ERR_NOSPACE);
        store.options.min_free_bytes = 0;
        UNTIL(&loop, !store.why_full);
        assert_non_null(claim("cam", "S1", 0, &err));
}

static void test_a_second_origin_on_the_same_folder_is_refused(void **state)
{
        (void)state;
        struct store second;
        struct store_events ev = {.ready = store_is_ready};
        assert_int_equal(store_open(&second, &loop, &options, &ev), ERR_CONFLICT);
        recorded("cam", "S1", 0); /* and the first one goes on */
        stop_store();
        start_store();
        assert_non_null(store_session(&store, "S1"));
}

/* ---- the rows of closed volumes ------------------------------------------------------------------------------------- */

static off_t size_of(const char *name)
{
        char path[200];
        struct stat st;
        snprintf(path, sizeof(path), "%s/cam/S1/%s", data_dir, name);
        return stat(path, &st) == 0 ? st.st_size : -1;
}

static unsigned whole_volumes(const struct session *s)
{
        const struct volumes *v = &s->tracks[0]->log->closed;
        unsigned n = 0;
        for (size_t i = 0; i < v->count; i++)
                n += v->rows[i].state == VOLUME_HERE && v->rows[i].sum.crc && v->rows[i].sum.chunks == 5;
        return n;
}

/* All of it once was in session.json: after a month it stopped the loop for a quarter of a second at each volume's end. */
static void test_what_the_loop_writes_of_a_session_does_not_grow_with_the_broadcast(void **state)
{
        (void)state;
        struct session *s = of_many_volumes(2);
        off_t json = size_of("session.json"), rows = size_of("v720/volumes");
        for (unsigned n = 2; n < 40; n++)
                for (unsigned k = 0; k < 5; k++)
                        assert_int_equal(put_video(s, "v720", n, k), 0);
        drain();
        assert_in_range(size_of("session.json"), json, json + 16); /* digits of sums */
        assert_int_equal(size_of("v720/volumes"), rows + 38 * 52);
        stop_store();
        start_store();
        s = store_session(&store, "S1");
        assert_int_equal(whole_volumes(s), 39);
        assert_int_equal(put_video(s, "v720", 40, 0), 0);
}

static void test_a_list_of_volumes_that_did_not_change_is_not_written_anew(void **state)
{
        char path[200];
        struct stat before, after;
        int err;
        (void)state;
        of_many_volumes(4);
        stop_store();
        snprintf(path, sizeof(path), "%s/cam/S1/v720/volumes", data_dir);
        assert_int_equal(stat(path, &before), 0);
        start_store();
        assert_non_null(claim("cam", "S2", 5000000, &err));
        drain();
        assert_int_equal(stat(path, &after), 0);
        assert_int_equal(after.st_ino, before.st_ino);
}

static void test_of_a_damaged_list_of_volumes_what_is_not_known_is_looked_at(void **state)
{
        (void)state;
        of_many_volumes(6);
        stop_store();
        damage("v720/volumes", 4);
        damage("v720/volumes", 16 + 2 * 52 + 20);
        start_store();
        struct session *s = store_session(&store, "S1");
        assert_true(kept("v720/volumes.damaged-1"));
        assert_int_equal(whole_volumes(s), 5);
        assert_int_equal(session_sum(s).lacking, 0);
        int err;
        assert_non_null(claim("cam", "S2", 5000000, &err));
        assert_true(kept("v720/volumes"));
}

/* Without them the recording would end in a volume that nobody noted, and that passes for one which was left before its end. */
static void test_a_session_has_ended_on_the_disk_when_its_volumes_are_noted_there(void **state)
{
        char beside[200];
        (void)state;
        struct session *s = of_many_volumes(3);
        snprintf(beside, sizeof(beside), "%s/cam/S1/v720/volumes.tmp", data_dir);
        assert_int_equal(mkdir(beside, 0700), 0);
        assert_int_equal(end_session(s), ERR_IO);
        drain();
        struct session seen = {0};
        const char *wrong;
        char *dir = session_dir(s);
        assert_int_equal(session_read(&seen, dir, true, &wrong), 0);
        assert_int_equal(seen.state, SESSION_LIVE);
        tracks_free(&seen);
        assert_int_equal(rmdir(beside), 0);
        session_retry_save(s);
        drain();
        assert_int_equal(session_read(&seen, dir, true, &wrong), 0);
        assert_int_equal(seen.state, SESSION_ENDED);
        tracks_free(&seen);
        free(dir);
        stop_store();
        start_store();
        assert_int_equal(whole_volumes(loaded(store_session(&store, "S1"))), 3);
        assert_int_equal(session_sum(store_session(&store, "S1")).lacking, 0);
}

static void test_a_track_that_is_declared_anew_has_no_volumes_of_the_old_one(void **state)
{
        (void)state;
        struct session *s = of_many_volumes(5);
        struct added a = {0};
        track_drop(s, s->tracks[0], added, &a);
        wait_done(&a.done);
        assert_int_equal(a.status, 0);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        assert_int_equal(size_of("v720/volumes"), 16);
        stop_store();
        start_store();
        assert_int_equal(session_sum(store_session(&store, "S1")).lacking, 0);
        assert_int_equal(store_session(&store, "S1")->tracks[0]->log->closed.count, 0);
}

/* One failed sync once closed the log for as long as the process lived: the session was claimed, and none of its chunks stored. */
static void test_a_track_whose_log_has_failed_is_read_again_and_not_claimed_until_then(void **state)
{
        (void)state;
        int err;
        store.options.volume_segments = 2;
        struct session *s = recorded("cam", "S1", 0);
        for (unsigned i = 1; i < 23; i++)
                assert_int_equal(put_video(s, "v720", 1 + i / 5, i % 5), 0);
        drain();
        struct track *t = s->tracks[0];
        struct track_facts before = track_facts(s, t), after;
        size_t closed = t->log->closed.count;
        int64_t stored = stat_get(STAT_STORED_BYTES);
        assert_true(closed > 0);
        t->log->failed = true;
        assert_int_equal(put_video(s, "v720", 5, 3), ERR_IO);
        assert_null(claim("cam", "S2", 0, &err));
        assert_int_equal(err, ERR_IO);
        while (t->log->failed) {
                assert_true(track_playable(s, t)); /* viewers go on */
                uv_run(&loop, UV_RUN_ONCE);
        }
        after = track_facts(s, t);
        assert_true(after.file_bytes == before.file_bytes && after.end_us == before.end_us && after.last_segment == before.last_segment);
        assert_int_equal(t->log->closed.count, closed);
        assert_int_equal(stat_get(STAT_STORED_BYTES), stored);
        s = claim("cam", "S2", 0, &err);
        assert_non_null(s);
        assert_string_equal(s->id, "S1");
        assert_int_equal(put_video(s, "v720", 5, 3), 0);
}

/* It ends when its files have been read, so that its last volume is closed. */
static void test_a_session_whose_log_has_failed_ends_whole(void **state)
{
        (void)state;
        struct session *s = recorded("cam", "S1", 0);
        s->tracks[0]->log->failed = true;
        while (!s->tracks[0]->log->rereading)
                uv_run(&loop, UV_RUN_ONCE);
        assert_int_equal(end_session(s), 0);
        drain();
        assert_int_equal(s->tracks[0]->log->closed.count, 1);
        assert_int_equal(s->tracks[0]->log->closed.rows[0].state, VOLUME_HERE);
        assert_true(s->tracks[0]->log->closed.rows[0].sum.crc);
}

/* Some of them in each tick: the oldest of many is in none of the first. */
static void test_tracks_of_every_live_session_are_read_again(void **state)
{
        (void)state;
        struct session *s = recorded("cam", "S1", 5000000);
        add_silent(3);
        drain();
        UNTIL(&loop, s->version == s->saved_version);
        for (int round = 0; round < 2; round++) {
                session_track(s, "v720")->log->failed = true;
                UNTIL(&loop, !session_track(s, "v720")->log->failed);
        }
        assert_int_equal(put_video(s, "v720", 1, 0), 0);
}

/* On a busy machine the next round is due before all had their turn in this one. */
static void test_tracks_of_every_live_session_are_read_again_when_ticks_are_late(void **state)
{
        (void)state;
        struct session *s = recorded("cam", "S1", 5000000);
        add_silent(3);
        drain();
        UNTIL(&loop, s->version == s->saved_version);
        session_track(s, "v720")->log->failed = true;
        UNTIL(&loop, (store.retried_mono_us -= 2 * STORE_RETRY_US, !session_track(s, "v720")->log->failed));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup_store, teardown_store)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_tracks_of_every_live_session_are_read_again),
                CASE(test_tracks_of_every_live_session_are_read_again_when_ticks_are_late),
                CASE(test_live_session_is_found_and_continued_after_a_restart),
                CASE(test_a_recording_nobody_asks_for_is_not_kept_loaded),
                CASE(test_torn_tail_of_a_live_session_is_cut_and_written_over),
                CASE(test_recording_is_there_after_a_restart_and_read_when_asked_for),
                CASE(test_a_session_file_that_cannot_be_saved_is_told_once),
                CASE(test_no_chunk_of_an_era_is_stored_before_its_beginning_is),
                CASE(test_a_recording_that_could_not_be_read_once_is_read_later),
                CASE(test_a_damaged_volume_of_a_live_session_is_kept_and_what_is_whole_goes_on),
                CASE(test_a_track_that_cannot_be_read_now_is_not_begun_anew),
                CASE(test_session_nobody_writes_to_ends_by_itself),
                CASE(test_a_removal_that_the_disk_had_no_place_for_is_tried_again),
                CASE(test_claimed_session_without_media_leaves_nothing),
                CASE(test_no_space_refuses_new_sessions_until_it_is_back),
                CASE(test_a_second_origin_on_the_same_folder_is_refused),
                CASE(test_what_the_loop_writes_of_a_session_does_not_grow_with_the_broadcast),
                CASE(test_a_list_of_volumes_that_did_not_change_is_not_written_anew),
                CASE(test_of_a_damaged_list_of_volumes_what_is_not_known_is_looked_at),
                CASE(test_a_session_has_ended_on_the_disk_when_its_volumes_are_noted_there),
                CASE(test_a_track_that_is_declared_anew_has_no_volumes_of_the_old_one),
                CASE(test_a_track_whose_log_has_failed_is_read_again_and_not_claimed_until_then),
                CASE(test_a_session_whose_log_has_failed_ends_whole),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
