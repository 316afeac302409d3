#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "common/daemon/descriptors.h"
#include "originD/log/file.h"
#include "originD/startup.h"
#include "tests/unit/recorded.h"
#include "tests/unit/until.h"

static void test_damaged_session_file_is_left_alone_and_the_rest_goes_on(void **state)
{
        (void)state;
        recorded("cam", "S1", 0);
        recorded("other", "S2", 0);
        stop_store();
        char path[200];
        snprintf(path, sizeof(path), "%s/cam/S1/session.json", data_dir);
        assert_int_equal(truncate(path, 20), 0);
        start_store();
        assert_null(store_session(&store, "S1"));
        assert_true(there("cam", "S1"));
        assert_non_null(store_session(&store, "S2"));
}

static void free_found(struct startup *found)
{
        for (struct startup_track *t = found->live_tracks, *next; t; t = next) {
                next = t->next;
                track_found_free(&t->found);
                free(t);
        }
        for (size_t i = 0; i < found->count; i++)
                session_free(&found->sessions[i]);
        free(found->sessions);
        for (struct startup_folder *f = found->unreadable, *next; f; f = next) {
                next = f->next;
                free(f);
        }
}

/* Out of descriptors at whichever step: folders, session.json, media. */
static void test_what_cannot_be_read_is_not_taken_for_what_is_not_there(void **state)
{
        const char *id = "20261121T100000Z-00000001";
        struct rlimit old, few;
        char path[200];
        (void)state;
        recorded("cam", id, 5000000);
        stop_store();
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
        for (unsigned more = 0;; more++) {
                int next = dup(0);
                close(next);
                few = (struct rlimit){.rlim_cur = (rlim_t)next + more, .rlim_max = old.rlim_max};
                assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
                struct startup found = STARTUP_INIT;
                startup_read(&found, data_dir);
                assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
                int status = found.status;
                size_t tracks = found.count ? found.sessions[0]->track_count : 0;
                free_found(&found);
                assert_true(there("cam", id));
                snprintf(path, sizeof(path), "%s/cam/%s/v720/000000.mp4", data_dir, id);
                assert_int_equal(access(path, F_OK), 0);
                if (!status) {
                        assert_true(more > 2);
                        assert_int_equal(tracks, 1);
                        break;
                }
        }
        start_store();
}

static void test_a_data_dir_that_cannot_be_read_is_told(void **state)
{
        struct startup found = STARTUP_INIT;
        char path[200];
        (void)state;
        snprintf(path, sizeof(path), "%s/file", data_dir);
        close(open(path, O_WRONLY | O_CREAT, 0600));
        startup_read(&found, path);
        assert_int_equal(found.status, ERR_IO);
        free_found(&found);
}

static void test_half_removed_recording_is_removed_at_start(void **state)
{
        (void)state;
        char from[200], to[220];
        assert_int_equal(end_session(recorded("cam", "S1", 0)), 0);
        stop_store();
        snprintf(from, sizeof(from), "%s/cam/S1", data_dir);
        snprintf(to, sizeof(to), "%s" FILE_REMOVED_SUFFIX, from);
        assert_int_equal(rename(from, to), 0);
        start_store();
        drain();
        assert_null(store_session(&store, "S1"));
        assert_false(there("cam", "S1" FILE_REMOVED_SUFFIX));
}

static int folder_in_its_place(const char *path) /* reading it fails, and not for its absence */
{
        return mkdir(path, 0755);
}

static int loop_in_its_place(const char *path) /* so does opening it: ELOOP */
{
        return symlink(path, path);
}

static void kept_and_found_later(int (*in_the_way)(const char *path))
{
        char path[200], away[210];
        int err;
        recorded("cam", "S1", 5000000);
        stop_store();
        snprintf(path, sizeof(path), "%s/cam/S1/session.json", data_dir);
        snprintf(away, sizeof(away), "%s.away", path);
        assert_int_equal(rename(path, away), 0);
        assert_int_equal(in_the_way(path), 0);
        start_store();
        assert_null(store_session(&store, "S1"));
        assert_true(store_unreadable(&store, "S1"));
        assert_null(join("cam", "S1", 5000000, 7, "t2", &err)); /* nothing is begun in its place */
        assert_int_equal(err, ERR_IO);
        store.retried_mono_us = 0;
        UNTIL(&loop, store.retrying);
        UNTIL(&loop, !store.retrying);
        assert_true(store_unreadable(&store, "S1"));
        assert_int_equal(remove(path), 0);
        assert_int_equal(rename(away, path), 0);
        store.retried_mono_us = 0;
        UNTIL(&loop, store_session(&store, "S1"));
        assert_false(store_unreadable(&store, "S1"));
        assert_int_equal(store_session(&store, "S1")->tracks[0]->log->index.end_ticks, 90000);
        assert_non_null(join("cam", "S1", 5000000, 7, "t2", &err));
}

static void test_a_session_that_cannot_be_read_now_is_kept_and_found_later(void **state)
{
        (void)state;
        kept_and_found_later(folder_in_its_place);
}

static void test_a_session_that_cannot_be_opened_now_is_kept_and_found_later(void **state)
{
        (void)state;
        kept_and_found_later(loop_in_its_place);
}

static const char *cannot_list;

/* In place of the C library's. */
DIR *opendir(const char *path)
{
        if (cannot_list && strstr(path, cannot_list)) {
                errno = EIO;
                return NULL;
        }
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? NULL : fdopendir(fd);
}

static void test_a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one(void **state)
{
        const char *id = "20261121T100000Z-00000001";
        char path[200];
        (void)state;
        recorded("cam", id, 5000000);
        stop_store();
        snprintf(path, sizeof(path), "%s/cam/%s/session.json", data_dir, id);
        assert_int_equal(unlink(path), 0); /* for certain: nobody knows any more what the folder is */
        cannot_list = id;
        start_store();
        drain();
        cannot_list = NULL;
        snprintf(path, sizeof(path), "%s/cam/%s/v720/000000.mp4", data_dir, id);
        assert_int_equal(access(path, F_OK), 0);
}

static atomic_uint media_opened;

/* In place of the C library's. */
int open(const char *path, int flags, ...)
{
        mode_t mode = 0;
        size_t len = strlen(path);
        if (flags & O_CREAT) {
                va_list more;
                va_start(more, flags);
                mode = va_arg(more, mode_t);
                va_end(more);
        }
        if (len > 4 && (strcmp(path + len - 4, ".mp4") == 0 || strcmp(path + len - 4, ".idx") == 0))
                atomic_fetch_add(&media_opened, 1);
        return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static unsigned opened_at_a_start(void)
{
        stop_store();
        atomic_store(&media_opened, 0);
        start_store();
        return atomic_load(&media_opened);
}

static void put_seconds(unsigned from, unsigned to)
{
        struct session *s = store_session(&store, "S1");
        for (unsigned i = from * 5; i < to * 5; i++)
                assert_int_equal(put_video(s, "v720", i / 5, i % 5), 0);
        drain();
}

static void test_a_start_opens_no_more_files_of_a_long_broadcast_than_of_a_short_one(void **state)
{
        int err;
        (void)state;
        store.options.volume_segments = options.volume_segments = 2;
        assert_int_equal(add_track(claim("cam", "S1", 0, &err), "v720", fmp4_video_init(), 0), 0);
        put_seconds(0, 5);
        unsigned of_three = opened_at_a_start();
        assert_in_range(of_three, 2, 8);
        assert_int_equal(store_session(&store, "S1")->tracks[0]->log->closed.count, 2);
        put_seconds(5, 41);
        assert_int_equal(opened_at_a_start(), of_three);
        assert_int_equal(store_session(&store, "S1")->tracks[0]->log->closed.count, 20);
        assert_int_equal(end_session(store_session(&store, "S1")), 0);
        assert_int_equal(opened_at_a_start(), 0); /* of one that is over: its session.json */
}

/* Each has a track, so two files that are written. */
static void test_a_start_finds_more_live_tracks_than_there_are_descriptors(void **state)
{
        enum { LIVE = 60 };
        struct rlimit old, few;
        char stream[20], id[20];
        (void)state;
        stop_store();
        options.live_max = LIVE;
        start_store();
        for (unsigned i = 0; i < LIVE; i++) {
                snprintf(stream, sizeof(stream), "cam%u", i);
                snprintf(id, sizeof(id), "S%u", i);
                recorded(stream, id, 5000000);
        }
        stop_store();
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
        few = (struct rlimit){.rlim_cur = LIVE, .rlim_max = old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        descriptors_watch();
        start_store();
        assert_int_equal(ready_status, 0);
        assert_int_equal(store.live, LIVE);
        for (unsigned i = 0; i < LIVE; i++) {
                snprintf(id, sizeof(id), "S%u", i);
                assert_int_equal(put_video(store_session(&store, id), "v720", 1, 0), 0);
        }
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        descriptors_watch();
}

static void test_recordings_of_a_start_are_in_the_order_in_which_they_ended(void **state)
{
        (void)state;
        static const int64_t epochs[] = {3000000, 1000000, 2000000};
        for (size_t i = 0; i < 3; i++) {
                char id[8];
                snprintf(id, sizeof(id), "S%zu", i);
                struct session *s = recorded("cam", id, epochs[i]);
                assert_int_equal(end_session(s), 0);
                drain();
        }
        stop_store();
        start_store();
        assert_int_equal(store.ended, 3);
        assert_int_equal(store.live, 0);
        const char *by_end[] = {"S0", "S1", "S2"}, *by_epoch[] = {"S0", "S2", "S1"};
        struct session *s = store.oldest_ended;
        for (size_t i = 0; i < 3; i++, s = s->newer)
                assert_string_equal(s->id, by_end[i]);
        s = store_stream(&store, "cam")->sessions;
        for (size_t i = 0; i < 3; i++, s = s->next_of_stream)
                assert_string_equal(s->id, by_epoch[i]);
        assert_string_equal(store_stream(&store, "cam")->oldest->id, "S1");
        store_remove(&store, store_session(&store, "S2"));
        assert_int_equal(store.ended, 2);
        assert_ptr_equal(store.oldest_ended->newer, store.newest_ended);
        drain();
}

static void test_what_a_long_start_has_found_is_known_before_it_is_over(void **state)
{
        (void)state;
        assert_int_equal(end_session(recorded("cam", "S1", 1000000)), 0);
        recorded("cam", "S2", 2000000);
        assert_int_equal(end_session(recorded("other", "S3", 3000000)), 0);
        stop_store();
        stick_start("cam", "S9");
        begin_store();
        assert_int_equal(wait_known("S1")->state, SESSION_ENDED);
        assert_int_equal(wait_known("S2")->tracks[0]->log->index.end_ticks, 90000);
        assert_int_equal(loaded(wait_known("S3"))->tracks[0]->at_end.end_us, 1000000);
        UNTIL(&loop, slow);
        assert_false(ready);
        free_start("cam", "S9");
        assert_int_equal(ready_status, 0);
        assert_ptr_equal(store_stream(&store, "cam")->sessions, store_session(&store, "S2"));
        assert_ptr_equal(store_stream(&store, "cam")->oldest, store_session(&store, "S1"));
}

/* There can be no writer before: its grace time would be over when it is let in. */
static void test_a_long_start_is_no_silence_of_a_writer(void **state)
{
        (void)state;
        recorded("cam", "S1", 5000000);
        stop_store();
        stick_start("cam", "S9");
        begin_store();
        wait_known("S1")->heard_mono_us -= 3600 * US_PER_S;
        free_start("cam", "S9");
        assert_true(clock_mono_us() - store_session(&store, "S1")->heard_mono_us < 60 * US_PER_S);
        for (int i = 0; i < 3; i++)
                uv_run(&loop, UV_RUN_ONCE);
        assert_int_equal(store_session(&store, "S1")->state, SESSION_LIVE);
}

static void test_an_origin_that_is_stopped_while_it_starts_stops(void **state)
{
        (void)state;
        recorded("cam", "S1", 5000000);
        stop_store();
        stick_start("cam", "S9");
        begin_store();
        wait_known("S1");
        store_stop(&store);
        for (int i = 0; i < 5; i++)
                uv_run(&loop, UV_RUN_ONCE);
        assert_false(idle); /* a thread still reads */
        free_start("cam", "S9");
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup_store, teardown_store)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_damaged_session_file_is_left_alone_and_the_rest_goes_on),
                CASE(test_what_cannot_be_read_is_not_taken_for_what_is_not_there),
                CASE(test_a_data_dir_that_cannot_be_read_is_told),
                CASE(test_half_removed_recording_is_removed_at_start),
                CASE(test_a_session_that_cannot_be_read_now_is_kept_and_found_later),
                CASE(test_a_session_that_cannot_be_opened_now_is_kept_and_found_later),
                CASE(test_a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one),
                CASE(test_a_start_opens_no_more_files_of_a_long_broadcast_than_of_a_short_one),
                CASE(test_a_start_finds_more_live_tracks_than_there_are_descriptors),
                CASE(test_recordings_of_a_start_are_in_the_order_in_which_they_ended),
                CASE(test_what_a_long_start_has_found_is_known_before_it_is_over),
                CASE(test_a_long_start_is_no_silence_of_a_writer),
                CASE(test_an_origin_that_is_stopped_while_it_starts_stops),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
