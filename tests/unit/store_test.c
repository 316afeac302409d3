#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "originD/startup.h"
#include "originD/log/file.h"
#include "originD/retention.h"
#include "tests/unit/origin_store.h"
#include "tests/unit/until.h"

static struct session *recorded(const char *stream, const char *id, int64_t epoch_us)
{
        int err;
        struct session *s = claim(stream, id, epoch_us, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        for (unsigned k = 0; k < 5; k++)
                assert_int_equal(put_video(s, "v720", 0, k), 0);
        return s;
}

static bool there(const char *stream, const char *id)
{
        char path[200];
        struct stat st;
        snprintf(path, sizeof(path), "%s/%s/%s", data_dir, stream, id);
        return stat(path, &st) == 0;
}

static void drain(void)
{
        UNTIL(&loop, !disk_jobs());
}

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

static void damage(const char *name, off_t at)
{
        char path[200];
        snprintf(path, sizeof(path), "%s/cam/S1/%s", data_dir, name);
        int fd = open(path, O_WRONLY);
        assert_int_equal(pwrite(fd, "garbage!", 8, at), 8);
        close(fd);
}

static bool kept(const char *name)
{
        char path[200];
        snprintf(path, sizeof(path), "%s/cam/S1/%s", data_dir, name);
        return access(path, F_OK) == 0;
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
        s->heard_mono_us -= (int64_t)s->grace_ms * 1000 + 9 * US_PER_S;
        for (int i = 0; i < 3; i++)
                uv_run(&loop, UV_RUN_ONCE);
        assert_int_equal(s->state, SESSION_LIVE); /* the grace time and 10 s are not over */
        s->heard_mono_us -= 2 * US_PER_S;
        UNTIL(&loop, s->state != SESSION_LIVE);
        assert_false(s->ended_by_writer);
        int err;
        assert_string_equal(claim("cam", "S2", 0, &err)->id, "S2");
}

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
        retention_sweep(&store, clock_wall_us());
        assert_null(store_session(&store, "S2"));
        old->pins--;
        retention_sweep(&store, clock_wall_us());
        assert_null(store_session(&store, "S1"));
        drain();
        assert_true(store.removed_until_wall_us == young_us);
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
        drain();
        assert_true(there("cam", "S1"));
        for (int i = 0; i < 100 && there("cam", "S1"); i++)
                uv_run(&loop, UV_RUN_ONCE);
        drain();
        assert_false(there("cam", "S1"));
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
        UNTIL(&loop, !store.full);
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

static void test_a_clock_that_jumped_removes_nothing_for_an_hour(void **state)
{
        (void)state;
        int64_t wall = clock_real_us(), mono = clock_mono_us(), day = 86400 * US_PER_S;
        assert_int_equal(end_session(recorded("cam", "S1", 0)), 0);
        drain();
        store.options.retention_us = day;
        retention_clock(&store.retention, wall + 2 * day, mono + US_PER_S);
        assert_int_equal(retention_sweep(&store, wall + 2 * day), 0);
        assert_non_null(store_session(&store, "S1"));
        store.retention.doubt_until_mono_us = clock_mono_us(); /* the hour is over: it is taken for true */
        assert_int_equal(retention_sweep(&store, wall + 2 * day), 1);
}

static void test_a_start_with_a_clock_far_beyond_the_newest_recording_removes_nothing(void **state)
{
        (void)state;
        struct retention r;
        int64_t newest = 5000 * US_PER_S, mono = 100 * US_PER_S;
        retention_started(&r, newest + RETENTION_BEHIND_US, mono, newest);
        assert_int_equal(r.doubt_until_mono_us, 0);
        retention_started(&r, newest + RETENTION_BEHIND_US + 1, mono, newest);
        assert_int_equal(r.doubt_until_mono_us, mono + RETENTION_DOUBT_US);
        retention_started(&r, newest, mono, 0); /* nothing is stored */
        assert_int_equal(r.doubt_until_mono_us, 0);
        retention_clock(&r, newest + 60 * US_PER_S, mono); /* slewing and small steps are nothing */
        assert_int_equal(r.doubt_until_mono_us, 0);
        retention_clock(&r, newest - RETENTION_JUMP_US, mono);
        assert_true(r.doubt_until_mono_us > 0);
}

static void test_no_more_than_a_share_goes_for_its_age_in_a_minute(void **state)
{
        (void)state;
        int err;
        for (unsigned i = 0; i < RETENTION_AT_LEAST + 5; i++) {
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
        assert_int_equal(retention_sweep(&store, later), 5);
}

static void test_policies_go_by_stream(void **state)
{
        (void)state;
        json_t *recording = json_loads("[{\"match\": \"short-*\", \"after_s\": 10}, {\"match\": \"few\", \"after_bytes\": 1},"
                                       " {\"after_s\": 0}]", 0, NULL);
        char why[200];
        assert_int_equal(retention_check_config(&recording, why, sizeof(why)), 0);
        store.options.recording = recording;
        assert_int_equal(end_session(recorded("short-1", "S1", 0)), 0);
        assert_int_equal(end_session(recorded("few", "S2", 0)), 0);
        assert_int_equal(end_session(recorded("other", "S3", 0)), 0);
        drain();
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
 * days old when the clock is right and the origin was started again, since then nobody doubts it. */
static void test_what_ended_while_the_clock_was_behind_is_kept_as_long_as_all_else(void **state)
{
        (void)state;
        int64_t day = 86400 * US_PER_S, right = clock_real_us() + 2 * day;
        assert_int_equal(end_session(recorded("cam", "S1", right)), 0);
        assert_int_equal(end_session(recorded("cam", "S2", right - day)), 0);
        drain();
        store.options.retention_us = day;
        retention_started(&store.retention, right + 60 * US_PER_S, clock_mono_us(), right); /* another one ended just now */
        assert_int_equal(retention_sweep(&store, right + 60 * US_PER_S), 1);
        drain();
        assert_non_null(store_session(&store, "S1"));
}

static void test_a_policy_that_is_wrong_is_refused_with_what_was_given_and_what_is_allowed(void **state)
{
        static const struct {
                const char *config, *given, *allowed;
        } bad[] = {
                {"{}", "is not an array of objects", "match|live|after_s|after_bytes"},
                {"[{}, 7]", "entry 1: is not an object", "match|live|after_s|after_bytes"},
                {"[{\"keep\": 1}]", "entry 0: unknown key \"keep\"", "allowed are match|live|after_s|after_bytes"},
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

static void test_a_live_session_loses_the_volumes_before_its_window_and_nothing_else(void **state)
{
        (void)state;
        json_t *recording = json_loads("[{\"live\": 6}]", 0, NULL);
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
        assert_true(retention_make_room(&store, 1));
        assert_null(store_session(&store, "S1"));
        assert_non_null(store_session(&store, "S2"));
        assert_true(retention_make_room(&store, INT64_MAX));
        assert_null(store_session(&store, "S2"));
        drain();
        assert_false(retention_make_room(&store, 1)); /* a live one never goes */
        assert_int_equal(store_session(&store, "S3")->state, SESSION_LIVE);
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

/* ---- the rows of closed volumes ------------------------------------------------------------------------------------- */

static off_t size_of(const char *name)
{
        char path[200];
        struct stat st;
        snprintf(path, sizeof(path), "%s/cam/S1/%s", data_dir, name);
        return stat(path, &st) == 0 ? st.st_size : -1;
}

/* A broadcast of so many seconds, in volumes of one; all but the last are closed. */
static struct session *of_many_volumes(unsigned seconds)
{
        store.options.volume_segments = 1;
        struct session *s = recorded("cam", "S1", 5000000);
        for (unsigned n = 1; n < seconds; n++)
                for (unsigned k = 0; k < 5; k++)
                        assert_int_equal(put_video(s, "v720", n, k), 0);
        drain();
        return s;
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
        char *dir = session_dir(s);
        assert_int_equal(session_read(&seen, dir, true), 0);
        assert_int_equal(seen.state, SESSION_LIVE);
        tracks_free(&seen);
        assert_int_equal(rmdir(beside), 0);
        session_retry_save(s);
        drain();
        assert_int_equal(session_read(&seen, dir, true), 0);
        assert_int_equal(seen.state, SESSION_ENDED);
        tracks_free(&seen);
        free(dir);
        stop_store();
        start_store();
        assert_int_equal(whole_volumes(loaded(store_session(&store, "S1"))), 3);
        assert_int_equal(session_sum(store_session(&store, "S1")).lacking, 0);
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

/* ---- a start that takes long ---------------------------------------------------------------------------------------- */

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

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup_store, teardown_store)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_live_session_is_found_and_continued_after_a_restart),
                CASE(test_a_recording_nobody_asks_for_is_not_kept_loaded),
                CASE(test_torn_tail_of_a_live_session_is_cut_and_written_over),
                CASE(test_recording_is_there_after_a_restart_and_read_when_asked_for),
                CASE(test_a_session_file_that_cannot_be_saved_is_told_once),
                CASE(test_no_chunk_of_an_era_is_stored_before_its_beginning_is),
                CASE(test_a_recording_that_could_not_be_read_once_is_read_later),
                CASE(test_damaged_session_file_is_left_alone_and_the_rest_goes_on),
                CASE(test_what_cannot_be_read_is_not_taken_for_what_is_not_there),
                CASE(test_a_data_dir_that_cannot_be_read_is_told),
                CASE(test_a_damaged_volume_of_a_live_session_is_kept_and_what_is_whole_goes_on),
                CASE(test_a_track_that_cannot_be_read_now_is_not_begun_anew),
                CASE(test_session_nobody_writes_to_ends_by_itself),
                CASE(test_retention_by_age_removes_what_ended_long_ago_only),
                CASE(test_an_older_recording_that_goes_later_does_not_let_the_younger_ones_back),
                CASE(test_retention_by_bytes_removes_the_oldest_but_never_the_live_one),
                CASE(test_a_second_origin_on_the_same_folder_is_refused),
                CASE(test_a_session_that_cannot_be_read_now_is_kept_and_found_later),
                CASE(test_a_track_whose_log_has_failed_is_read_again_and_not_claimed_until_then),
                CASE(test_a_session_whose_log_has_failed_ends_whole),
                CASE(test_a_session_that_cannot_be_opened_now_is_kept_and_found_later),
                CASE(test_a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one),
                CASE(test_a_start_opens_no_more_files_of_a_long_broadcast_than_of_a_short_one),
                CASE(test_a_clock_that_jumped_removes_nothing_for_an_hour),
                CASE(test_a_start_with_a_clock_far_beyond_the_newest_recording_removes_nothing),
                CASE(test_no_more_than_a_share_goes_for_its_age_in_a_minute),
                CASE(test_policies_go_by_stream),
                CASE(test_what_ended_while_the_clock_was_behind_is_kept_as_long_as_all_else),
                CASE(test_a_policy_that_is_wrong_is_refused_with_what_was_given_and_what_is_allowed),
                CASE(test_a_live_session_loses_the_volumes_before_its_window_and_nothing_else),
                CASE(test_a_volume_that_is_not_kept_goes_after_session_json_says_so),
                CASE(test_a_full_disk_costs_the_oldest_recordings_before_it_costs_writers),
                CASE(test_recordings_of_a_start_are_in_the_order_in_which_they_ended),
                CASE(test_what_the_loop_writes_of_a_session_does_not_grow_with_the_broadcast),
                CASE(test_a_list_of_volumes_that_did_not_change_is_not_written_anew),
                CASE(test_of_a_damaged_list_of_volumes_what_is_not_known_is_looked_at),
                CASE(test_a_session_has_ended_on_the_disk_when_its_volumes_are_noted_there),
                CASE(test_a_volume_is_not_removed_before_the_list_goes_without_it),
                CASE(test_a_track_that_is_declared_anew_has_no_volumes_of_the_old_one),
                CASE(test_what_a_long_start_has_found_is_known_before_it_is_over),
                CASE(test_a_long_start_is_no_silence_of_a_writer),
                CASE(test_an_origin_that_is_stopped_while_it_starts_stops),
                CASE(test_of_very_many_recordings_that_go_none_is_forgotten_and_left_on_the_disk),
                CASE(test_a_removal_that_the_disk_had_no_place_for_is_tried_again),
                CASE(test_half_removed_recording_is_removed_at_start),
                CASE(test_claimed_session_without_media_leaves_nothing),
                CASE(test_no_space_refuses_new_sessions_until_it_is_back),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
