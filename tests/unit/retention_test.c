#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "originD/log/disk.h"
#include "originD/retention.h"
#include "tests/unit/recorded.h"
#include "tests/unit/until.h"

static void test_retention_by_age_removes_what_ended_long_ago_only(void **state)
{
        (void)state;
        struct session *old = recorded("cam", "S1", 0);
        assert_int_equal(end_session(old), 0);
        struct session *young = recorded("cam", "S2", 1000000);
        assert_int_equal(end_session(young), 0);
        recorded("cam", "S3", 2000000);
        drain();
        store.options.retention_us = 60 * US_PER_S;
        old->ended_wall_us -= 61 * US_PER_S;
        assert_int_equal(retention_sweep(&store, clock_wall_us()), 1);
        drain();
        assert_null(store_session(&store, "S1"));
        assert_false(there("cam", "S1"));
        assert_true(there("cam", "S2"));
        assert_true(there("cam", "S3"));
}

/* Or what was removed before would be copied again from another origin. */
static void test_an_older_recording_that_goes_later_does_not_let_the_younger_ones_back(void **state)
{
        (void)state;
        struct session *old = recorded("cam", "S1", 0), *young;
        assert_int_equal(end_session(old), 0);
        young = recorded("cam", "S2", 1000000);
        assert_int_equal(end_session(young), 0);
        drain();
        int64_t young_us = young->ended_wall_us;
        assert_true(young_us > old->ended_wall_us);
        old->pins++; /* it is being read */
        store.options.retention_bytes = 1;
        assert_int_equal(retention_sweep(&store, clock_wall_us()), 0);
        store.retention.busy_since_mono_us -= RETENTION_BUSY_US;
        retention_sweep(&store, clock_wall_us());
        assert_null(store_session(&store, "S2"));
        old->pins--;
        retention_sweep(&store, clock_wall_us());
        assert_null(store_session(&store, "S1"));
        drain();
        assert_true(store.removed_until_wall_us == young_us);
}

static void test_no_newer_recording_goes_because_the_oldest_is_read_at_that_moment(void **state)
{
        (void)state;
        struct session *old = recorded("cam", "S1", 0);
        assert_int_equal(end_session(old), 0);
        struct session *young = recorded("cam", "S2", 1000000);
        assert_int_equal(end_session(young), 0);
        young->ended_wall_us = old->ended_wall_us + 1;
        drain();
        old->pins++;
        store.options.retention_bytes = (int64_t)session_bytes(old) + 100;
        assert_int_equal(retention_sweep(&store, clock_wall_us()), 0);
        old->pins--;
        assert_int_equal(retention_sweep(&store, clock_wall_us()), 1);
        drain();
        assert_false(there("cam", "S1"));
        assert_true(there("cam", "S2"));
}

static void test_a_reader_of_long_ago_does_not_count_for_one_who_reads_now(void **state)
{
        (void)state;
        struct session *old = recorded("cam", "S1", 0);
        assert_int_equal(end_session(old), 0);
        struct session *young = recorded("cam", "S2", 1000000);
        assert_int_equal(end_session(young), 0);
        young->ended_wall_us = old->ended_wall_us + 1;
        drain();
        old->pins++;
        store.options.retention_bytes = 1;
        assert_int_equal(retention_sweep(&store, clock_wall_us()), 0);
        old->pins--;
        store.options.retention_bytes = 1 << 30; /* there is room again */
        assert_int_equal(retention_sweep(&store, clock_wall_us()), 0);
        store.retention.busy_since_mono_us -= RETENTION_BUSY_US;
        old->pins++;
        store.options.retention_bytes = 1;
        assert_int_equal(retention_sweep(&store, clock_wall_us()), 0);
        old->pins--;
        assert_true(there("cam", "S2"));
}

static void test_retention_by_bytes_removes_the_oldest_but_never_the_live_one(void **state)
{
        (void)state;
        struct session *a = recorded("cam", "S1", 0);
        assert_int_equal(end_session(a), 0);
        struct session *b = recorded("cam", "S2", 1000000);
        assert_int_equal(end_session(b), 0);
        b->ended_wall_us = a->ended_wall_us + 1;
        recorded("cam", "S3", 2000000);
        drain();
        store.options.retention_bytes = (int64_t)session_bytes(a) * 2 + 100;
        assert_int_equal(retention_sweep(&store, clock_wall_us()), 1);
        assert_null(store_session(&store, "S1"));
        assert_non_null(store_session(&store, "S2"));
        store.options.retention_bytes = 1;
        assert_int_equal(retention_sweep(&store, clock_wall_us()), 1);
        drain();
        assert_false(there("cam", "S2"));
        assert_true(there("cam", "S3"));
        assert_int_equal(store_session(&store, "S3")->state, SESSION_LIVE);
}

static void test_of_very_many_recordings_that_go_none_is_forgotten_and_left_on_the_disk(void **state)
{
        (void)state;
        unsigned many = DISK_COLD_MAX + 200;
        for (unsigned i = 0; i < many; i++) {
                struct claim c = {.stream = "old", .epoch_us = 1 + i};
                char made[200];
                snprintf(c.session, sizeof(c.session), "OLD%u", i);
                struct session *s = session_new(&loop, data_dir, &c, 600, false);
                s->state = SESSION_ENDED;
                s->load = LOAD_NO;
                s->sum.tracks = 1;
                s->sum.bytes = 1000;
                s->ended_wall_us = 1 + i;
                store_add(&store, s);
                snprintf(made, sizeof(made), "%s/old", data_dir);
                assert_true(mkdir(made, 0755) == 0 || i);
                snprintf(made, sizeof(made), "%s/old/OLD%u", data_dir, i);
                assert_int_equal(mkdir(made, 0755), 0);
        }
        store.options.retention_bytes = 1;
        assert_true(retention_sweep(&store, clock_real_us()) > 0);
        drain();
        for (unsigned i = 0; i < many; i++) {
                char id[16];
                snprintf(id, sizeof(id), "OLD%u", i);
                assert_int_equal(there("old", id), store_session(&store, id) != NULL);
        }
}

/* By 25 hours, where a day is kept: it took seconds until all was gone, and an hour once that was doubted. */
static void test_a_step_of_the_systems_clock_removes_nothing_before_half_its_time(void **state)
{
        (void)state;
        int64_t real = clock_real_us(), boot = clock_boot_us(), hour = 3600 * US_PER_S;
        struct age_clock c;
        assert_int_equal(end_session(recorded("cam", "S1", 0)), 0);
        drain();
        store.options.retention_us = 24 * hour;
        age_clock_begin(&c, 0, 0, real, boot);
        for (int64_t passed = 0; passed < 11 * hour; passed += 60 * US_PER_S) {
                age_clock_look(&c, real + 25 * hour + passed, boot + passed);
                assert_int_equal(retention_sweep(&store, c.now_us), 0);
        }
        assert_non_null(store_session(&store, "S1"));
        age_clock_look(&c, real + 25 * hour + 13 * hour, boot + 13 * hour); /* who was told has not put it right */
        assert_int_equal(retention_sweep(&store, c.now_us), 1);
}

/* What ended while the clock was a day behind seems to be a day old when it is put right. */
static void test_what_ended_by_a_clock_that_was_behind_is_kept_when_that_is_put_right(void **state)
{
        (void)state;
        int64_t real = clock_real_us(), boot = clock_boot_us(), hour = 3600 * US_PER_S;
        struct age_clock *c = &store.age;
        struct session *s = recorded("cam", "S1", 0);
        store.options.retention_us = 24 * hour;
        age_clock_begin(c, real + 25 * hour, 0, real + 25 * hour, boot); /* right, and then set back */
        age_clock_look(c, real, boot + US_PER_S);
        assert_int_equal(end_session(s), 0);
        drain();
        age_clock_look(c, real + 26 * hour, boot + hour); /* right again */
        assert_true(c->now_us - s->ended_wall_us > 24 * hour);
        assert_int_equal(retention_sweep(&store, c->now_us), 0);
        s->ended_mono_us -= 11 * hour;
        assert_int_equal(retention_sweep(&store, c->now_us), 0);
        s->ended_mono_us -= 2 * hour;
        assert_int_equal(retention_sweep(&store, c->now_us), 1);
}

static void test_no_more_than_a_share_goes_for_its_age_in_a_minute(void **state)
{
        (void)state;
        int err;
        for (unsigned i = 0; i < RETENTION_AT_LEAST + 3; i++) {
                char id[20];
                snprintf(id, sizeof(id), "S%u", i);
                struct session *s = claim("cam", id, i * 1000000, &err);
                assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
                assert_int_equal(put_video(s, "v720", 0, 0), 0);
                assert_int_equal(end_session(s), 0);
        }
        drain();
        store.options.retention_us = US_PER_S;
        int64_t later = clock_real_us() + 60 * US_PER_S;
        assert_int_equal(retention_sweep(&store, later), RETENTION_AT_LEAST);
        assert_int_equal(retention_sweep(&store, later), 0);
        store.retention.minute_mono_us -= 60 * US_PER_S;
        assert_int_equal(retention_sweep(&store, later), 3);
}

static void test_policies_go_by_stream(void **state)
{
        (void)state;
        json_t *recording = json_loads("[{\"match\": \"short-*\", \"after_s\": 10}, {\"match\": \"few\", \"after_bytes\": 1},"
                                       " {\"after_s\": 0}]", 0, NULL);
        char why[200];
        assert_int_equal(retention_check_config(&recording, why, sizeof(why)), 0);
        assert_int_equal(end_session(recorded("short-1", "S1", 0)), 0);
        assert_int_equal(end_session(recorded("few", "S2", 0)), 0);
        assert_int_equal(end_session(recorded("other", "S3", 0)), 0);
        drain();
        store.options.recording = recording; /* the store sweeps by itself too, and would be first */
        int64_t now = clock_real_us();
        assert_true(retention_wants(&store, "short-9", now - 5 * US_PER_S, now));
        assert_false(retention_wants(&store, "short-9", now - 11 * US_PER_S, now));
        assert_int_equal(retention_sweep(&store, now + 5 * US_PER_S), 1);
        assert_null(store_session(&store, "S2"));
        assert_int_equal(retention_sweep(&store, now + 11 * US_PER_S), 1);
        assert_null(store_session(&store, "S1"));
        assert_non_null(store_session(&store, "S3"));
        store.options.recording = NULL;
        json_decref(recording);
}

/* It ended while this origin's clock was two days behind. Its epoch is the writer's, and says when it was: otherwise it counts as two
 * days old when the clock is right again. */
static void test_what_ended_while_the_clock_was_behind_is_kept_as_long_as_all_else(void **state)
{
        (void)state;
        int64_t day = 86400 * US_PER_S, right = clock_real_us() + 2 * day;
        assert_int_equal(end_session(recorded("cam", "S1", right)), 0);
        assert_int_equal(end_session(recorded("cam", "S2", right - day)), 0);
        drain();
        store.options.retention_us = day;
        assert_int_equal(retention_sweep(&store, right + 60 * US_PER_S), 1);
        drain();
        assert_non_null(store_session(&store, "S1"));
}

static void test_a_policy_that_is_wrong_is_refused_with_what_was_given_and_what_is_allowed(void **state)
{
        static const struct {
                const char *config, *given, *allowed;
        } bad[] = {
                {"{}", "is not an array of objects", "match|rewind|live|after_s|after_bytes"},
                {"[{}, 7]", "entry 1: is not an object", "match|rewind|live|after_s|after_bytes"},
                {"[{\"keep\": 1}]", "entry 0: unknown key \"keep\"", "allowed are match|rewind|live|after_s|after_bytes"},
                {"[{\"rewind\": \"some\"}]", "entry 0: \"rewind\" is \"some\"", "allowed are \"all\" and seconds from 2 to 31622400"},
                {"[{\"rewind\": 1}]", "entry 0: \"rewind\" is 1", "allowed are \"all\" and seconds from 2 to 31622400"},
                {"[{\"live\": \"some\"}]", "entry 0: \"live\" is \"some\"", "allowed are \"all\", \"none\" and seconds from 0 to 9223372036854"},
                {"[{\"live\": -1}]", "\"live\" is -1", "from 0 to"},
                {"[{\"live\": 1.5}]", "\"live\" is 1.5", "seconds from 0 to"},
                {"[{}, {\"after_s\": -1}]", "entry 1: \"after_s\" is -1", "an integer from 0 to 9223372036854"},
                {"[{\"after_s\": \"7d\"}]", "\"after_s\" is \"7d\"", "an integer from 0 to 9223372036854"},
                {"[{\"after_s\": 9223372036854775807}]", "\"after_s\" is 9223372036854775807", "an integer from 0 to 9223372036854"},
                {"[{\"after_bytes\": [1, 2]}]", "\"after_bytes\" is [1,2]", "an integer from 0 to 9223372036854775807"},
                {"[{\"after_bytes\": \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}]", "\"after_bytes\" is ", "an integer from"},
                {"[{\"match\": 5}]", "\"match\" is not a string", ""},
        };
        (void)state;
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                char why[240];
                json_t *j = json_loads(bad[i].config, 0, NULL);
                assert_non_null(j);
                assert_int_equal(retention_check_config(&j, why, sizeof(why)), ERR_CONFIG);
                assert_non_null(strstr(why, bad[i].given));
                assert_non_null(strstr(why, bad[i].allowed));
                json_decref(j);
        }
        json_t *good = json_loads("[{\"live\": \"none\"}, {\"live\": 0, \"after_s\": 0, \"after_bytes\": 0, \"match\": \"*\"}]", 0, NULL);
        char why[240];
        assert_int_equal(retention_check_config(&good, why, sizeof(why)), 0);
        json_decref(good);
}

static void loses_what_is_before_6_s_and_nothing_else(const char *policy)
{
        json_t *recording = json_loads(policy, 0, NULL);
        struct segment_view v;
        store.options.volume_segments = 2;
        struct session *s = recorded("cam", "S1", 0);
        for (unsigned n = 1; n < 12; n++)
                for (unsigned k = 0; k < 5; k++)
                        assert_int_equal(put_video(s, "v720", n, k), 0);
        drain();
        store.options.recording = recording;
        assert_int_equal(retention_sweep(&store, clock_real_us()), 0); /* all three: the next one may be as long away as two last */
        drain();
        struct chunk_log *log = s->tracks[0]->log;
        assert_int_equal(log->closed.rows[0].number, 3);
        assert_int_equal(track_first_segment(s, s->tracks[0]), 6); /* the end is at 12 s */
        assert_int_equal(chunk_log_segment(log, 5, true, &v), SEGMENT_NONE);
        assert_false(kept("v720/000002.mp4"));
        assert_true(kept("v720/000003.mp4"));
        uint64_t bytes = session_bytes(s);
        stop_store();
        start_store();
        store.options.recording = NULL;
        s = store_session(&store, "S1");
        assert_int_equal(track_first_segment(s, s->tracks[0]), 6);
        assert_int_equal(session_bytes(s), bytes);
        json_decref(recording);
}

static void test_a_live_session_loses_the_volumes_before_its_window_and_nothing_else(void **state)
{
        (void)state;
        loses_what_is_before_6_s_and_nothing_else("[{\"live\": 6}]");
}

static void test_what_viewers_can_go_back_to_is_kept_whatever_else_is_not(void **state)
{
        (void)state;
        loses_what_is_before_6_s_and_nothing_else("[{\"live\": \"none\", \"rewind\": 6}]");
}

static void test_how_far_back_viewers_can_go_is_each_streams_own(void **state)
{
        (void)state;
        json_t *recording = json_loads("[{\"match\": \"film-*\", \"rewind\": \"all\"}, {\"match\": \"short\", \"rewind\": 10}, {\"live\": \"all\"}]", 0, NULL);
        store.options.time_shift_us = 60 * US_PER_S;
        store.options.recording = recording;
        assert_int_equal(retention_rewind_s(&store, "film-1"), RETENTION_REWIND_ALL_S);
        assert_int_equal(retention_rewind_s(&store, "short"), 10);
        assert_int_equal(retention_rewind_s(&store, "cam"), 60);
        store.options.recording = NULL;
        json_decref(recording);
}

/* The other way round a crash in between would leave a row of what is gone, and it would be brought again from a peer. */
static void test_a_volume_that_is_not_kept_goes_after_session_json_says_so(void **state)
{
        (void)state;
        json_t *recording = json_loads("[{\"live\": 6}]", 0, NULL);
        char *blocked = mem_printf("%s/cam/S1/session.json.tmp", data_dir);
        store.options.volume_segments = 2;
        struct session *s = recorded("cam", "S1", 0);
        for (unsigned n = 1; n < 12; n++)
                for (unsigned k = 0; k < 5; k++)
                        assert_int_equal(put_video(s, "v720", n, k), 0);
        drain();
        assert_int_equal(mkdir(blocked, 0755), 0);
        store.options.recording = recording;
        retention_sweep(&store, clock_real_us());
        drain();
        assert_true(kept("v720/000000.mp4"));
        assert_int_equal(rmdir(blocked), 0);
        stop_store();
        start_store();
        store.options.recording = recording;
        retention_sweep(&store, clock_real_us());
        drain();
        assert_false(kept("v720/000000.mp4"));
        store.options.recording = NULL;
        json_decref(recording);
        free(blocked);
}

static void test_a_full_disk_costs_the_oldest_recordings_before_it_costs_writers(void **state)
{
        (void)state;
        struct session *old = recorded("cam", "S1", 0);
        assert_int_equal(end_session(old), 0);
        assert_int_equal(end_session(recorded("cam", "S2", 1000000)), 0);
        recorded("cam", "S3", 2000000);
        drain();
        assert_true(room_make(&store, 1));
        assert_null(store_session(&store, "S1"));
        assert_non_null(store_session(&store, "S2"));
        assert_true(room_make(&store, INT64_MAX));
        assert_null(store_session(&store, "S2"));
        drain();
        assert_false(room_make(&store, 1)); /* of what is live nothing is behind what viewers can go back to, and closed */
        assert_int_equal(store_session(&store, "S3")->state, SESSION_LIVE);
}

static void test_a_volume_is_not_removed_before_the_list_goes_without_it(void **state)
{
        char beside[200];
        (void)state;
        json_t *recording = json_loads("[{\"live\": 2}]", 0, NULL);
        struct session *s = of_many_volumes(6);
        store.options.recording = recording;
        snprintf(beside, sizeof(beside), "%s/cam/S1/v720/volumes.tmp", data_dir);
        assert_int_equal(mkdir(beside, 0700), 0);
        retention_sweep(&store, clock_real_us());
        drain();
        assert_true(kept("v720/000000.mp4") && kept("v720/000001.mp4"));
        assert_int_equal(rmdir(beside), 0);
        retention_sweep(&store, clock_real_us());
        drain();
        assert_false(kept("v720/000000.mp4")); /* it is tried again */
        assert_false(kept("v720/000001.mp4"));
        store.options.recording = NULL;
        json_decref(recording);
        assert_false(session_busy(s));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup_store, teardown_store)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_retention_by_age_removes_what_ended_long_ago_only),
                CASE(test_an_older_recording_that_goes_later_does_not_let_the_younger_ones_back),
                CASE(test_no_newer_recording_goes_because_the_oldest_is_read_at_that_moment),
                CASE(test_a_reader_of_long_ago_does_not_count_for_one_who_reads_now),
                CASE(test_retention_by_bytes_removes_the_oldest_but_never_the_live_one),
                CASE(test_of_very_many_recordings_that_go_none_is_forgotten_and_left_on_the_disk),
                CASE(test_a_step_of_the_systems_clock_removes_nothing_before_half_its_time),
                CASE(test_what_ended_by_a_clock_that_was_behind_is_kept_when_that_is_put_right),
                CASE(test_no_more_than_a_share_goes_for_its_age_in_a_minute),
                CASE(test_policies_go_by_stream),
                CASE(test_what_ended_while_the_clock_was_behind_is_kept_as_long_as_all_else),
                CASE(test_a_policy_that_is_wrong_is_refused_with_what_was_given_and_what_is_allowed),
                CASE(test_a_live_session_loses_the_volumes_before_its_window_and_nothing_else),
                CASE(test_what_viewers_can_go_back_to_is_kept_whatever_else_is_not),
                CASE(test_how_far_back_viewers_can_go_is_each_streams_own),
                CASE(test_a_volume_that_is_not_kept_goes_after_session_json_says_so),
                CASE(test_a_full_disk_costs_the_oldest_recordings_before_it_costs_writers),
                CASE(test_a_volume_is_not_removed_before_the_list_goes_without_it),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
