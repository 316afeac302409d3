#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "originD/log/file.h"
#include "originD/retention.h"
#include "originD/stats.h"
#include "tests/unit/broken_disk.h"
#include "tests/unit/origin_store.h"
#include "tests/unit/said.h"
#include "tests/unit/until.h"

static void settle(void)
{
        UNTIL(&loop, !disk_jobs());
}

static struct session *record(const char *id, int64_t epoch_us)
{
        int err;
        struct session *s = claim("cam", id, epoch_us, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        for (unsigned k = 0; k < 5; k++)
                assert_int_equal(put_video(s, "v720", 0, k), 0);
        assert_int_equal(end_session(s), 0);
        settle();
        return s;
}

static bool there(const char *name)
{
        char path[200];
        snprintf(path, sizeof(path), "%s/cam/%s", data_dir, name);
        return access(path, F_OK) == 0;
}

static void mend(void)
{
        broken.rename = broken.unlink = broken.unlinkat = 0;
}

/* As if REMOVAL_AGAIN_US had passed. */
static void later(const char *id)
{
        struct session *s = store_session(&store, id);
        if (s)
                s->remove_again_us = 0;
        removals_tick(&store, clock_mono_us() + REMOVAL_AGAIN_US + 1);
        settle();
}

static void test_a_recording_that_the_disk_refuses_to_remove_stays_one_and_is_tried_again(void **state)
{
        static const int errors[] = {EIO, EROFS, EMFILE};
        (void)state;
        for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
                struct session *s = record("S1", 0);
                int64_t stored = stat_get(STAT_STORED_BYTES), failed = stat_get(STAT_REMOVALS_FAILED);
                int64_t removed_before = stat_get(STAT_REMOVED_AGE);
                store.options.retention_us = 60 * US_PER_S;
                s->ended_wall_us -= 61 * US_PER_S;
                broken.rename = errors[i];
                store.retention.minute_removed = 0;
                listen_to_log();
                for (unsigned n = 0; n < 5; n++) {
                        retention_sweep(&store, clock_wall_us());
                        settle();
                }
                mend();
                s = store_session(&store, "S1");
                bool known = s && stat_get(STAT_STORED_BYTES) == stored && store.ended == 1;
                retention_sweep(&store, clock_wall_us()); /* not at once: it was refused a moment ago */
                bool tried_at_once = !store_session(&store, "S1");
                if (s)
                        s->remove_again_us = 0;
                retention_sweep(&store, clock_wall_us());
                settle();
                end_listening();
                assert_true(known);
                assert_false(tried_at_once);
                assert_false(there("S1"));
                assert_int_equal(stat_get(STAT_REMOVALS_FAILED), failed + 1);
                assert_int_equal(stat_get(STAT_REMOVED_AGE), removed_before + 1); /* when it was */
                assert_int_equal(stat_get(STAT_REMOVING), 0);
                assert_int_equal(times_said("cannot remove a recording"), 1);
                assert_int_equal(times_said("\"recording removed\""), 1);
                assert_int_equal(times_said("recordings can be removed again"), 1);
                store.options.retention_us = 0;
        }
}

static void test_a_recording_that_stayed_can_be_played(void **state)
{
        (void)state;
        record("S1", 0);
        broken.rename = EROFS;
        store_remove(&store, store_session(&store, "S1"));
        settle();
        mend();
        struct session *s = loaded(store_session(&store, "S1"));
        struct segment_view v;
        UNTIL(&loop, chunk_log_segment(s->tracks[0]->log, 0, true, &v) == SEGMENT_HERE);
        stop_store();
        start_store();
        assert_non_null(store_session(&store, "S1"));
}

static void test_a_disk_that_refuses_costs_no_more_recordings_than_one_that_does_not(void **state)
{
        (void)state;
        for (unsigned n = 0; n < 9; n++) {
                char id[8];
                snprintf(id, sizeof(id), "S%u", n);
                record(id, n * INT64_C(1000000));
        }
        broken.rename = EROFS;
        for (unsigned n = 0; n < 12; n++) {
                bool promised = room_make(&store, 1);
                settle();
                assert_true(!promised || n == 0); /* writers are told that there is no room */
        }
        assert_int_equal(store.ended, 9);
        unsigned tried = rename_calls;
        assert_true(tried <= 12);
        mend();
        for (struct session *s = store.oldest_ended; s; s = s->newer)
                s->remove_again_us = 0;
        room_make(&store, 1);
        settle();
        assert_int_equal(store.ended, 8);
        assert_null(store_session(&store, "S0")); /* the oldest, as if nothing had happened */
}

static void test_a_removal_that_stopped_half_way_is_gone_on_with(void **state)
{
        (void)state;
        record("S1", 0);
        broken.unlinkat = EIO;
        store_remove(&store, store_session(&store, "S1"));
        settle();
        assert_null(store_session(&store, "S1"));
        assert_false(there("S1"));
        assert_true(there("S1" FILE_REMOVED_SUFFIX));
        assert_int_equal(stat_get(STAT_REMOVING), 1);
        later("S1");
        assert_true(there("S1" FILE_REMOVED_SUFFIX));
        mend();
        later("S1");
        assert_false(there("S1" FILE_REMOVED_SUFFIX));
        assert_int_equal(stat_get(STAT_REMOVING), 0);
}

static unsigned told_gone;

static void gone_is_told(void *arg, const char *stream, const char *session)
{
        (void)arg;
        assert_string_equal(stream, "cam");
        assert_string_equal(session, "S1");
        told_gone++;
}

/* Each time the archive was asked to list and remove what it has of the recording, and the other owners whether they have it. */
static void test_that_a_recording_is_gone_is_told_once_however_often_its_rest_is_tried(void **state)
{
        (void)state;
        record("S1", 0);
        told_gone = 0;
        store.events.removed = gone_is_told;
        broken.unlinkat = EIO;
        store_remove(&store, store_session(&store, "S1"));
        settle();
        for (unsigned n = 0; n < 3; n++)
                later("S1");
        mend();
        later("S1");
        assert_false(there("S1" FILE_REMOVED_SUFFIX));
        assert_int_equal(told_gone, 1);
}

static void test_nothing_is_put_in_the_place_of_what_is_being_removed(void **state)
{
        int err;
        (void)state;
        record("S1", 0);
        store_remove(&store, store_session(&store, "S1"));
        assert_true(store_unreadable(&store, "S1")); /* what came there now would be removed with it */
        assert_null(claim("cam", "S1", 0, &err));
        assert_int_equal(err, ERR_IO);
        settle();
        assert_false(store_unreadable(&store, "S1"));
        assert_non_null(claim("cam", "S1", 0, &err));
}

/* Its files are there when the mount is back: they were not removed. */
static void test_a_mount_that_is_gone_does_not_make_a_recording_forgotten(void **state)
{
        char other[100];
        (void)state;
        record("S1", 0);
        snprintf(other, sizeof(other), "%s-away", data_dir);
        assert_int_equal(rename(data_dir, other), 0);
        store_remove(&store, store_session(&store, "S1"));
        settle();
        assert_int_equal(rename(other, data_dir), 0);
        assert_non_null(store_session(&store, "S1"));
        later("S1");
        store_remove(&store, store_session(&store, "S1"));
        settle();
        assert_false(there("S1"));
}

static void test_what_somebody_removed_by_hand_is_forgotten(void **state)
{
        char cmd[200];
        (void)state;
        record("S1", 0);
        snprintf(cmd, sizeof(cmd), "rm -rf %s/cam/S1", data_dir);
        assert_int_equal(system(cmd), 0);
        store_remove(&store, store_session(&store, "S1"));
        settle();
        assert_null(store_session(&store, "S1"));
        assert_int_equal(stat_get(STAT_REMOVING), 0);
}

static void test_a_volume_of_a_live_session_that_the_disk_refuses_to_remove_is_tried_again(void **state)
{
        int err;
        char path[200];
        json_t *recording = json_loads("[{\"live\": 4}]", 0, NULL);
        (void)state;
        store.options.volume_segments = 2;
        struct session *s = claim("cam", "S1", 0, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        for (unsigned n = 0; n < 8; n++)
                assert_int_equal(put_video(s, "v720", n, 0), 0);
        settle();
        int64_t failed = stat_get(STAT_REMOVALS_FAILED);
        snprintf(path, sizeof(path), "%s/cam/S1/v720/000000.mp4", data_dir);
        store.options.recording = recording;
        broken.unlink = EIO;
        listen_to_log();
        for (int i = 0; i < 4; i++) {
                retention_sweep(&store, clock_real_us());
                settle();
        }
        bool left = access(path, F_OK) == 0, busy = session_busy(s);
        mend();
        retention_sweep(&store, clock_real_us());
        settle();
        end_listening();
        assert_true(left);
        assert_false(busy); /* or the origin could not be stopped */
        assert_int_equal(access(path, F_OK), -1);
        assert_true(stat_get(STAT_REMOVALS_FAILED) > failed);
        assert_int_equal(times_said("volume=000000 msg=\"cannot remove a volume: it is tried again\""), 1);
        store.options.recording = NULL;
        json_decref(recording);
}

static int setup(void **state)
{
        rename_calls = 0;
        return setup_store(state);
}

static int teardown(void **state)
{
        mend();
        return teardown_store(state);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_a_recording_that_the_disk_refuses_to_remove_stays_one_and_is_tried_again),
                CASE(test_a_recording_that_stayed_can_be_played),
                CASE(test_a_disk_that_refuses_costs_no_more_recordings_than_one_that_does_not),
                CASE(test_a_removal_that_stopped_half_way_is_gone_on_with),
                CASE(test_that_a_recording_is_gone_is_told_once_however_often_its_rest_is_tried),
                CASE(test_nothing_is_put_in_the_place_of_what_is_being_removed),
                CASE(test_a_mount_that_is_gone_does_not_make_a_recording_forgotten),
                CASE(test_what_somebody_removed_by_hand_is_forgotten),
                CASE(test_a_volume_of_a_live_session_that_the_disk_refuses_to_remove_is_tried_again),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
