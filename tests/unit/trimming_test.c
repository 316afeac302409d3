/* Volumes that go while their session is live, on a disk that refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "originD/retention.h"
#include "originD/stats.h"
#include "tests/unit/broken_disk.h"
#include "tests/unit/origin_store.h"
#include "tests/unit/said.h"
#include "tests/unit/until.h"

static json_t *recording;

static void settle(void)
{
        UNTIL(&loop, !disk_jobs());
}

static void mend(void)
{
        broken.rename = broken.unlink = 0;
}

static int setup(void **state)
{
        int rc = setup_store(state);
        recording = json_loads("[{\"live\": 4}]", 0, NULL);
        store.options.volume_segments = 2;
        return rc;
}

static int teardown(void **state)
{
        mend();
        int rc = teardown_store(state);
        json_decref(recording);
        return rc;
}

/* Seven seconds and a chunk in volumes of two: the first of them lies wholly behind what is kept. That is said when all of it is there,
 * for the store sweeps by itself too, every five seconds, which a slow machine needs for this. */
static struct session *broadcast(const char *id)
{
        int err;
        struct session *s = claim("cam", id, 0, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        for (unsigned n = 0; n < 8; n++)
                assert_int_equal(put_video(s, "v720", n, 0), 0);
        settle();
        store.options.recording = recording;
        return s;
}

static void sweep(void)
{
        retention_sweep(&store, clock_real_us());
        settle();
}

static bool volume_there(const char *id, unsigned number)
{
        char path[200];
        snprintf(path, sizeof(path), "%s/cam/%s/v720/%06u.mp4", data_dir, id, number);
        return access(path, F_OK) == 0;
}

static void test_the_shortest_volumes_go_as_fast_as_they_come(void **state)
{
        (void)state;
        struct session *s = broadcast("S1");
        unsigned sweep_s = RETENTION_SWEEP_US / US_PER_S;
        store.options.volume_segments = VOLUME_SEGMENTS_MIN;
        for (unsigned n = 8; n < 8 + 12 * sweep_s; n++) {
                assert_int_equal(put_video(s, "v720", n, 0), 0);
                if (n % sweep_s)
                        continue;
                sweep();
                assert_true(track_first_segment(s, s->tracks[0]) + 4 + 2 * VOLUME_SEGMENTS_MIN >= n); /* of four seconds */
        }
}

/* A writer whose clock was set a day forwards: all that viewers can go back in lies behind the window then. */
static void test_media_that_is_suddenly_a_day_further_on_costs_no_more_than_a_share_of_it_a_minute(void **state)
{
        (void)state;
        int err;
        store.options.volume_segments = 60;
        struct session *s = claim("cam", "S1", 0, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        for (unsigned n = 0; n < 12; n++)
                assert_int_equal(put_video(s, "v720", 60 * n, 0), 0);
        assert_int_equal(put_video(s, "v720", 25 * 3600, 0), 0);
        settle();
        store.options.recording = recording;
        size_t before = s->tracks[0]->log->closed.count;
        for (int i = 0; i < 4; i++)
                sweep();
        assert_int_equal(s->tracks[0]->log->closed.count, before - 4); /* twice as many as come in a minute */
        s->tracks[0]->trimmed_mono_us -= 60 * US_PER_S;
        sweep();
        assert_int_equal(s->tracks[0]->log->closed.count, before - 8);
}

static void test_a_volume_whose_list_cannot_be_saved_stays_until_it_can(void **state)
{
        (void)state;
        struct session *s = broadcast("S1");
        broken.rename = EIO;
        listen_to_log();
        for (int i = 0; i < 4; i++)
                sweep();
        bool stayed = volume_there("S1", 0), busy = session_busy(s);
        mend();
        sweep();
        end_listening();
        assert_true(stayed); /* or after a crash the list would name what is not there */
        assert_false(busy);
        assert_false(volume_there("S1", 0));
        assert_true(volume_there("S1", 1));
        assert_int_equal(times_said("volume=000000 msg=\"cannot remove a volume: it is tried again\""), 1);
}

static void test_a_volume_that_is_to_be_tried_again_does_not_matter_to_a_session_that_ended_and_was_unloaded(void **state)
{
        (void)state;
        struct session *s = broadcast("S1");
        broken.rename = EIO;
        listen_to_log();
        sweep();
        end_listening();
        mend();
        assert_int_equal(end_session(s), 0); /* the list is saved with it */
        settle();
        assert_true(session_unload(s));
        sweep();
        assert_false(session_busy(s));
        assert_int_equal(s->load, LOAD_NO);
        assert_null(store.untrimmed);
        struct segment_view v;
        s = loaded(s); /* what it has can be watched all the same */
        UNTIL(&loop, chunk_log_segment(session_track(s, "v720")->log, 7, true, &v) == SEGMENT_HERE);
}

static void test_a_volume_that_is_to_be_tried_again_is_forgotten_with_its_recording(void **state)
{
        (void)state;
        int64_t stored = stat_get(STAT_STORED_BYTES);
        struct session *s = broadcast("S1");
        broken.rename = EIO;
        listen_to_log();
        sweep();
        end_listening();
        mend();
        assert_int_equal(end_session(s), 0);
        settle();
        store_remove(&store, s);
        settle();
        assert_null(store_session(&store, "S1"));
        sweep();
        assert_null(store.untrimmed);
        assert_int_equal(stat_get(STAT_STORED_BYTES), stored);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_the_shortest_volumes_go_as_fast_as_they_come),
                CASE(test_media_that_is_suddenly_a_day_further_on_costs_no_more_than_a_share_of_it_a_minute),
                CASE(test_a_volume_whose_list_cannot_be_saved_stays_until_it_can),
                CASE(test_a_volume_that_is_to_be_tried_again_does_not_matter_to_a_session_that_ended_and_was_unloaded),
                CASE(test_a_volume_that_is_to_be_tried_again_is_forgotten_with_its_recording),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
