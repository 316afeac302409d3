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
#include "tests/unit/stuck.h"
#include "tests/unit/until.h"

static void record(const char *id, int64_t epoch_us)
{
        int err;
        struct session *s = claim("cam", id, epoch_us, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        for (unsigned k = 0; k < 5; k++)
                assert_int_equal(put_video(s, "v720", 0, k), 0);
        assert_int_equal(end_session(s), 0);
        UNTIL(&loop, !disk_jobs());
}

/* So many looks at the disk from now on. */
static void look(unsigned times)
{
        for (unsigned n = 0; n < times; n++) {
                UNTIL(&loop, !store.space.measuring);
                int64_t last_us = store.space.measured_mono_us, now_us = clock_mono_us();
                space_tick(&store, (last_us > now_us ? last_us : now_us) + 10 * US_PER_S); /* and by itself none comes before that */
                UNTIL(&loop, !store.space.measuring);
        }
}

/* A mount that is gone is a path that names something else, or nothing. */
static void move_data_dir(bool away)
{
        char other[100];
        snprintf(other, sizeof(other), "%s-away", data_dir);
        assert_int_equal(away ? rename(data_dir, other) : rename(other, data_dir), 0);
}

static void test_a_disk_that_cannot_be_measured_costs_no_recording_and_is_told_once(void **state)
{
        static const int errors[] = {EIO, EMFILE, ENOMEM};
        (void)state;
        record("S1", 0);
        record("S2", 1000000);
        store.options.min_free_bytes = 1; /* there is more */
        for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
                int64_t failed = stat_get(STAT_MEASURES_FAILED), removed_bytes = stat_get(STAT_REMOVED_BYTES);
                listen_to_log();
                broken.statvfs = errors[i];
                look(4);
                broken.statvfs = 0;
                bool full = store.why_full;
                look(2);
                end_listening();
                assert_false(full); /* nobody knows that */
                assert_non_null(store_session(&store, "S1"));
                assert_non_null(store_session(&store, "S2"));
                assert_int_equal(stat_get(STAT_MEASURES_FAILED), failed + 4);
                assert_int_equal(stat_get(STAT_REMOVED_BYTES), removed_bytes);
                assert_int_equal(times_said("cannot look how much space there is"), 1);
                assert_int_equal(times_said("can be seen again"), 1);
                assert_int_equal(times_said("no space"), 0);
        }
}

static void test_a_mount_that_is_gone_costs_no_recording(void **state)
{
        (void)state;
        record("S1", 0);
        store.options.min_free_bytes = INT64_MAX; /* what is under the mount is nearly always smaller */
        move_data_dir(true);
        look(3);
        move_data_dir(false);
        assert_non_null(store_session(&store, "S1"));
        assert_false(store.why_full);
        move_data_dir(true);
        assert_int_equal(mkdir(data_dir, 0755), 0); /* where it was mounted */
        look(3);
        assert_int_equal(rmdir(data_dir), 0);
        move_data_dir(false);
        assert_non_null(store_session(&store, "S1"));
        look(1);
        assert_null(store_session(&store, "S1")); /* the store's own disk has too little */
        UNTIL(&loop, !disk_jobs());
}

static void test_what_is_known_of_the_disk_stays_when_it_cannot_be_measured(void **state)
{
        (void)state;
        int64_t free_bytes = 0;
        look(1);
        free_bytes = stat_get(STAT_FREE_BYTES);
        assert_true(free_bytes > 0);
        broken.statvfs = EIO;
        look(2);
        broken.statvfs = 0;
        assert_true(stat_get(STAT_FREE_BYTES) == free_bytes);
        assert_true(store.room.free_bytes == (uint64_t)free_bytes);
        store_no_space(&store);
        broken.statvfs = EIO;
        look(2);
        broken.statvfs = 0;
        assert_true(store.why_full); /* that there is space is not known either */
        look(1);
        assert_false(store.why_full);
}

static void test_a_disk_that_fails_is_not_called_full_and_costs_no_recording(void **state)
{
        (void)state;
        record("S1", 0);
        record("S2", 1000000);
        listen_to_log();
        store_no_space(&store);
        broken.fsync = EIO; /* of the write on trial */
        look(3);
        bool full = store.why_full;
        broken.fsync = 0;
        look(1);
        end_listening();
        assert_true(full);
        assert_false(store.why_full);
        assert_non_null(store_session(&store, "S1"));
        assert_non_null(store_session(&store, "S2"));
        assert_int_equal(times_said("no space: writes are refused"), 1);
        assert_int_equal(times_said("writing to the disk fails: writes are refused"), 1);
        assert_int_equal(times_said("error=\"Input/output error\""), 1);
        assert_int_equal(times_said("the disk takes writes again"), 1);
}

/* A write on trial succeeds with one file left, a volume cannot begin. */
static void test_a_disk_without_files_is_full_until_what_goes_made_room_for_some(void **state)
{
        (void)state;
        record("S1", 0);
        record("S2", 1000000);
        listen_to_log();
        broken.files = 2;
        look(1);
        assert_null(store_session(&store, "S1"));
        assert_non_null(store_session(&store, "S2")); /* that may have been enough */
        assert_false(store.why_full);
        UNTIL(&loop, !disk_jobs());
        look(1);
        assert_null(store_session(&store, "S2"));
        UNTIL(&loop, !disk_jobs());
        look(3);
        assert_int_equal(store.why_full, ERR_NOSPACE);
        broken.files = SPACE_FILES_MIN + 1;
        look(2);
        end_listening();
        assert_false(store.why_full);
        assert_int_equal(times_said("no space: writes are refused"), 1);
        assert_int_equal(times_said("free_files=1"), 1);
        assert_int_equal(times_said("space is back"), 1);
}

static void test_a_disk_that_does_not_answer_is_told_and_takes_writes_again_when_it_does(void **state)
{
        (void)state;
        struct stuck s;
        stuck_open(&s);
        listen_to_log();
        for (unsigned i = 0; i < 8; i++)
                assert_int_equal(disk_run(&loop, DISK_WRITE, be_stuck, one_over, &s), 0);
        int64_t now_us = clock_mono_us();
        store.space.ticked_mono_us = now_us;
        for (unsigned i = 0; i < 3; i++) /* this process stood still for an hour, and so did its disk */
                space_tick(&store, now_us += 3600 * US_PER_S);
        assert_int_equal(store.why_full, 0);
        for (int64_t us = 0; us < SPACE_HANG_US; us += US_PER_S / 4)
                space_tick(&store, now_us += US_PER_S / 4);
        assert_int_equal(store.why_full, ERR_TIMEOUT);
        assert_int_equal(space_refusal(&store), ERR_IO);
        store.space.ticked_mono_us = clock_mono_us(); /* from here on it ticks by itself */
        UNTIL(&loop, !store.space.measuring); /* the look that had begun before tried no write, and knows of nothing */
        assert_int_equal(store.why_full, ERR_TIMEOUT);
        let_go(&s);
        UNTIL(&loop, !disk_jobs());
        look(1);
        end_listening();
        assert_int_equal(store.why_full, 0);
        assert_int_equal(times_said("error=\"timed out\""), 1);
        assert_int_equal(times_said("the disk takes writes again"), 1);
}

/* A volume that is read again to be closed takes minutes on a slow disk, and after a broadcast nothing else is written. */
static void test_one_job_that_takes_long_is_no_disk_that_does_not_answer(void **state)
{
        (void)state;
        struct stuck s;
        stuck_open(&s);
        uv_timer_stop(&store.tick); /* by hand */
        assert_int_equal(disk_run(&loop, DISK_WRITE, be_stuck, one_over, &s), 0);
        int64_t now_us = clock_mono_us();
        store.space.ticked_mono_us = now_us;
        listen_to_log();
        for (int64_t us = 0; us < 4 * SPACE_HANG_US; us += US_PER_S / 4) {
                space_tick(&store, now_us += US_PER_S / 4);
                UNTIL(&loop, !store.space.measuring);
        }
        int why_full = store.why_full;
        let_go(&s);
        UNTIL(&loop, !disk_jobs());
        end_listening();
        assert_int_equal(why_full, 0);
        assert_int_equal(times_said("writes are refused"), 0);
}

static void test_a_disk_that_failed_and_is_short_of_space_takes_writes_as_soon_as_it_takes_one(void **state)
{
        (void)state;
        record("S1", 0);
        space_set(&store, ERR_TIMEOUT, 0);
        store.options.min_free_bytes = INT64_MAX;
        look(1);
        assert_null(store_session(&store, "S1")); /* room is on its way */
        assert_int_equal(store.why_full, 0);
        UNTIL(&loop, !disk_jobs());
}

/* A quota, a limit of the process: nobody knows whether removing helps. */
static void test_where_space_does_not_explain_a_full_disk_few_recordings_are_tried(void **state)
{
        (void)state;
        for (int i = 0; i < 6; i++) {
                char id[8];
                snprintf(id, sizeof(id), "S%d", i);
                record(id, i * INT64_C(1000000));
        }
        listen_to_log();
        store_no_space(&store);
        broken.fsync = ENOSPC;
        for (int i = 0; i < 12; i++) {
                look(1);
                UNTIL(&loop, !disk_jobs());
        }
        broken.fsync = 0;
        size_t left = store.ended;
        look(1);
        end_listening();
        assert_int_equal(left, 6 - SPACE_TRIES);
        assert_int_equal(times_said("nothing more is removed for it"), 1);
        assert_false(store.why_full);
        store_no_space(&store); /* and another time it is tried again */
        broken.fsync = ENOSPC;
        look(1);
        UNTIL(&loop, !disk_jobs());
        broken.fsync = 0;
        assert_int_equal(store.ended, left - 1);
}

/* The write on trial is small, a chunk is not. */
static void test_where_only_the_write_on_trial_succeeds_writes_are_not_let_in_each_second(void **state)
{
        unsigned let_in = 0;
        (void)state;
        for (int i = 0; i < 6; i++) {
                char id[8];
                snprintf(id, sizeof(id), "S%d", i);
                record(id, i * INT64_C(1000000));
        }
        listen_to_log();
        for (int i = 0; i < 120; i++) { /* 20 minutes */
                if (!store.why_full) {
                        let_in++;
                        store_no_space(&store);
                }
                look(1);
                UNTIL(&loop, !disk_jobs());
        }
        end_listening();
        assert_in_range(let_in, 10, 30);
        assert_int_equal(store.ended, 6 - SPACE_TRIES);
        assert_int_equal(times_said("nothing more is removed for it"), 1);
}

static void test_where_only_the_write_on_trial_succeeds_what_goes_may_help(void **state)
{
        int err;
        (void)state;
        for (int i = 0; i < 3; i++) {
                char id[8];
                snprintf(id, sizeof(id), "S%d", i);
                record(id, i * INT64_C(1000000));
        }
        struct session *s = claim("cam", "S9", 9000000, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        for (unsigned round = 0; round < 3; round++) {
                store_no_space(&store);
                look(1);
                assert_false(store.why_full);
                store_no_space(&store); /* so what the trial says is worth nothing */
                look(1);
                assert_true(store.why_full);
                UNTIL(&loop, !disk_jobs());
                look(1);
                assert_false(store.why_full);
                assert_int_equal(store.ended, 2 - round); /* one went for it */
                assert_int_equal(put_video(s, "v720", 0, round), 0);
                look(2);
                assert_int_equal(store.space.refuted, 0);
        }
        for (unsigned n = 0; n < 10; n++) { /* and where nobody stores anything, nothing is known */
                store_no_space(&store);
                look(8);
                UNTIL(&loop, !disk_jobs());
        }
        assert_true(store.space.refuted > 5);
}

static void test_a_write_that_failed_is_tried_and_tells_whether_the_disk_takes_any(void **state)
{
        int err;
        (void)state;
        record("S1", 0);
        listen_to_log();
        for (int i = 0; i < 50; i++)
                space_doubt(&store, "S1", "v720", ERR_IO);
        look(1);
        bool full_for_nothing = store.why_full; /* this file alone is bad */
        for (int i = 0; i < 50; i++)
                space_doubt(&store, "S1", "v720", ERR_IO);
        broken.fsync = EROFS;
        look(3);
        bool full = store.why_full;
        struct session *s = claim("cam", "S2", 5000000, &err);
        broken.fsync = 0;
        look(1);
        end_listening();
        assert_false(full_for_nothing);
        assert_true(full);
        assert_null(s);
        assert_int_equal(err, ERR_IO);
        assert_false(store.why_full);
        assert_non_null(store_session(&store, "S1"));
        assert_int_equal(times_said("a chunk cannot be written"), 1);
        assert_int_equal(times_said("writing to the disk fails"), 1);
}

static void test_a_file_system_that_is_read_only_is_seen_before_somebody_writes(void **state)
{
        char words[SPACE_WORDS_MAX];
        (void)state;
        listen_to_log();
        broken.read_only = true;
        uv_timer_stop(&store.tick);
        space_tick(&store, store.space.measured_mono_us + 2 * US_PER_S);
        UNTIL(&loop, !store.space.measuring);
        int why = store.why_full;
        space_words(&store, words);
        broken.read_only = false;
        space_tick(&store, store.space.measured_mono_us + 2 * US_PER_S);
        UNTIL(&loop, !store.space.measuring);
        end_listening();
        assert_int_equal(why, ERR_READ_ONLY);
        assert_string_equal(words, "writing to the disk fails: Read-only file system");
        assert_int_equal(store.why_full, 0);
        assert_int_equal(times_said("writes are refused"), 1);
        assert_int_equal(times_said("the disk takes writes again"), 1);
}

/* Each alone; the others work. */
static void test_whatever_call_a_disk_refuses_is_found_by_a_write_on_trial_where_nobody_writes(void **state)
{
        atomic_int *const calls[] = {&broken.mkdir, &broken.fsync, &broken.rename};
        static const int errors[] = {EIO, EROFS, ENOSPC, EMFILE};
        char words[SPACE_WORDS_MAX];
        (void)state;
        uv_timer_stop(&store.tick);
        for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
                for (size_t k = 0; k < sizeof(errors) / sizeof(errors[0]); k++) {
                        *calls[i] = errors[k];
                        look(2);
                        int why = store.why_full;
                        space_words(&store, words);
                        *calls[i] = 0;
                        look(1);
                        assert_int_equal(why, err_from_errno(errors[k]));
                        if (errors[k] != ENOSPC)
                                assert_non_null(strstr(words, strerror(errors[k])));
                        assert_int_equal(store.why_full, 0);
                }
        }
        broken.unlink = EIO; /* that something cannot be removed is no reason to store nothing */
        look(2);
        broken.unlink = 0;
        assert_int_equal(store.why_full, 0);
}

static void test_claims_that_cannot_be_saved_raise_the_generation_once_and_are_told_once(void **state)
{
        int err;
        (void)state;
        struct session *s = claim("cam", "S1", 0, &err);
        assert_int_equal(err, 0);
        uint32_t before = s->generation;
        listen_to_log();
        broken.rename = EIO;
        for (int i = 0; i < 20; i++) {
                claim("cam", "S2", 0, &err);
                assert_int_equal(err, ERR_IO);
        }
        for (int i = 0; i < 20; i++) { /* a stream that is new to it likewise */
                claim("new", "S3", 0, &err);
                assert_int_equal(err, ERR_IO);
        }
        look(1);
        int why = store.why_full;
        claim("other", "S4", 0, &err);
        broken.rename = 0;
        assert_int_equal(err, ERR_IO);
        assert_int_equal(why, ERR_IO);
        assert_in_range(s->generation, before, before + 1);
        assert_null(store_session(&store, "S4"));
        look(1);
        UNTIL(&loop, !s->save_status);
        assert_ptr_equal(claim("cam", "S5", 0, &err), s);
        end_listening();
        assert_int_equal(err, 0);
        assert_in_range(s->generation, before + 1, before + 2);
        assert_int_equal(times_said("cannot save what is known of a session"), 2); /* one line a session, */
        assert_int_equal(times_said("writes are refused"), 1); /* and one for all of it */
}

static void test_room_that_is_on_its_way_is_waited_for(void **state)
{
        (void)state;
        record("S1", 0);
        record("S2", 1000000);
        assert_true(room_make(&store, 1));
        assert_true(room_make(&store, 1)); /* the disk has not got round to it yet */
        assert_null(store_session(&store, "S1"));
        assert_non_null(store_session(&store, "S2"));
        UNTIL(&loop, !disk_jobs());
        assert_true(room_make(&store, 1));
        assert_null(store_session(&store, "S2"));
        UNTIL(&loop, !disk_jobs());
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup_store, teardown_store)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_a_disk_that_cannot_be_measured_costs_no_recording_and_is_told_once),
                CASE(test_a_mount_that_is_gone_costs_no_recording),
                CASE(test_what_is_known_of_the_disk_stays_when_it_cannot_be_measured),
                CASE(test_a_disk_that_fails_is_not_called_full_and_costs_no_recording),
                CASE(test_a_disk_without_files_is_full_until_what_goes_made_room_for_some),
                CASE(test_a_disk_that_does_not_answer_is_told_and_takes_writes_again_when_it_does),
                CASE(test_one_job_that_takes_long_is_no_disk_that_does_not_answer),
                CASE(test_a_disk_that_failed_and_is_short_of_space_takes_writes_as_soon_as_it_takes_one),
                CASE(test_where_space_does_not_explain_a_full_disk_few_recordings_are_tried),
                CASE(test_where_only_the_write_on_trial_succeeds_writes_are_not_let_in_each_second),
                CASE(test_where_only_the_write_on_trial_succeeds_what_goes_may_help),
                CASE(test_a_write_that_failed_is_tried_and_tells_whether_the_disk_takes_any),
                CASE(test_a_file_system_that_is_read_only_is_seen_before_somebody_writes),
                CASE(test_whatever_call_a_disk_refuses_is_found_by_a_write_on_trial_where_nobody_writes),
                CASE(test_claims_that_cannot_be_saved_raise_the_generation_once_and_are_told_once),
                CASE(test_room_that_is_on_its_way_is_waited_for),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
