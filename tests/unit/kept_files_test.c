#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <sys/resource.h>

#include "common/daemon/descriptors.h"
#include "common/err.h"
#include "originD/stats.h"
#include "tests/unit/chunk_log_fixture.h"

#define LOGS 12
#define PLACES KEPT_FILES_PLACES_MIN

int64_t __wrap_clock_mono_us(void);

static int64_t now_us = 1000000;

int64_t __wrap_clock_mono_us(void)
{
        return now_us;
}

static struct chunk_log *logs[LOGS];
static char folders[LOGS][128];

/* So few that there are PLACES: the reserve takes a quarter. */
static void few_descriptors(void)
{
        struct rlimit lim;
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &lim), 0);
        lim.rlim_cur = 4 * PLACES;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &lim), 0);
        descriptors_watch();
}

static struct chunk_log *log_in(const char *dir)
{
        struct buf *init = fmp4_video_init();
        struct init_info info;
        assert_int_equal(volumes_begin(dir, init), 0);
        assert_int_equal(box_init_parse(init->data, init->len, &info), 0);
        return chunk_log_new(&loop, dir, &info, init, volume_segments, CHUNK_MS, NULL, false, false);
}

static int several(void **state)
{
        setup(state);
        few_descriptors();
        for (size_t i = 0; i < LOGS; i++) {
                snprintf(folders[i], sizeof(folders[i]), "%s/.%zu", folder, i);
                logs[i] = log_in(folders[i]);
        }
        return 0;
}

static int no_more(void **state)
{
        char command[160];
        for (size_t i = 0; i < LOGS; i++)
                if (logs[i])
                        free_log(&logs[i]);
        snprintf(command, sizeof(command), "rm -r %s/.[0-9]*", folder);
        assert_int_equal(system(command), 0);
        assert_int_equal(stat_get(STAT_FILES_KEPT), 0);
        return teardown(state);
}

/* Files below `folder` that this process has open. */
static unsigned open_here(void)
{
        DIR *d = opendir("/proc/self/fd");
        char target[256];
        unsigned n = 0;
        for (struct dirent *e; (e = readdir(d));) {
                ssize_t len = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);
                target[len > 0 ? len : 0] = '\0';
                n += strncmp(target, folder, strlen(folder)) == 0;
        }
        closedir(d);
        return n;
}

static void all_append(unsigned n, unsigned k)
{
        for (size_t i = 0; i < LOGS; i++)
                assert_int_equal(append(logs[i], n, k, k == 4 ? PUT_LAST : 0, 50), 0);
        UNTIL(&loop, !disk_jobs());
}

static void test_more_tracks_are_written_than_files_can_stay_open(void **state)
{
        (void)state;
        for (unsigned n = 0; n < 3; n++)
                for (unsigned k = 0; k < 5; k++) {
                        all_append(n, k);
                        assert_int_equal(open_here(), 2 * PLACES);
                }
        for (size_t i = 0; i < LOGS; i++) { /* all of it is in the files */
                struct stat st;
                char file[160];
                snprintf(file, sizeof(file), "%s/000000.mp4", folders[i]);
                assert_int_equal(stat(file, &st), 0);
                assert_int_equal(st.st_size, logs[i]->index.file_bytes);
                assert_int_equal(logs[i]->index.chunks, 15);
        }
}

/* Who was first keeps the files as long as it is written: only the others open theirs for each chunk. */
static void test_who_is_written_keeps_its_files_open(void **state)
{
        (void)state;
        all_append(0, 0);
        int64_t before = stat_get(STAT_FILES_REOPENED);
        all_append(0, 1);
        assert_int_equal(stat_get(STAT_FILES_REOPENED) - before, LOGS - PLACES);
}

static void test_who_is_not_written_makes_place(void **state)
{
        (void)state;
        all_append(0, 0);
        now_us += KEPT_FILES_IDLE_US;
        for (unsigned k = 1; k < 3; k++)
                for (size_t i = PLACES; i < LOGS; i++)
                        assert_int_equal(append(logs[i], 0, k, 0, 50), 0);
        UNTIL(&loop, !disk_jobs());
        assert_int_equal(open_here(), 2 * PLACES);
        int64_t before = stat_get(STAT_FILES_REOPENED);
        for (size_t i = PLACES; i < LOGS; i++)
                assert_int_equal(append(logs[i], 0, 3, 0, 50), 0);
        assert_int_equal(stat_get(STAT_FILES_REOPENED), before);
}

static void test_volumes_are_closed_and_begun_without_a_place(void **state)
{
        (void)state;
        for (size_t i = 0; i < LOGS; i++)
                logs[i]->volume_track.segments = 2;
        for (unsigned n = 0; n < 5; n++)
                for (unsigned k = 0; k < 5; k++)
                        all_append(n, k);
        assert_int_equal(open_here(), 2 * PLACES);
        for (size_t i = 0; i < LOGS; i++) {
                quiet(logs[i]);
                assert_int_equal(logs[i]->closed.count, 2);
                for (size_t v = 0; v < 2; v++) {
                        assert_int_equal(logs[i]->closed.rows[v].state, VOLUME_HERE);
                        assert_int_not_equal(logs[i]->closed.rows[v].sum.crc, 0);
                }
        }
        chunk_log_end(logs[LOGS - 1]); /* one whose files are not open */
        quiet(logs[LOGS - 1]);
        assert_false(logs[LOGS - 1]->failed);
        assert_int_not_equal(logs[LOGS - 1]->closed.rows[2].sum.crc, 0);
}

static void test_place_is_given_back_at_the_end(void **state)
{
        (void)state;
        all_append(0, 0);
        for (size_t i = 0; i < PLACES; i++) {
                chunk_log_end(logs[i]);
                quiet(logs[i]);
        }
        assert_int_equal(stat_get(STAT_FILES_KEPT), 0);
        assert_int_equal(open_here(), 0);
        assert_int_equal(append(logs[LOGS - 1], 0, 1, 0, 50), 0);
        assert_int_equal(stat_get(STAT_FILES_KEPT), 2);
}

/* Who has nothing open keeps no place from others, until it is tried again. */
static void test_volume_that_cannot_be_begun_has_no_place(void **state)
{
        char file[160];
        (void)state;
        snprintf(file, sizeof(file), "%s/000000.mp4", folders[0]);
        assert_int_equal(mkdir(file, 0700), 0);
        assert_int_equal(append(logs[0], 0, 0, 0, 50), ERR_IO);
        assert_int_equal(stat_get(STAT_FILES_KEPT), 0);
        assert_int_equal(rmdir(file), 0);
        assert_int_equal(append(logs[0], 0, 0, 0, 50), 0);
        assert_int_equal(stat_get(STAT_FILES_KEPT), 2);
        logs[0]->volume_track.segments = 1;
        snprintf(file, sizeof(file), "%s/000001.mp4", folders[0]);
        assert_int_equal(mkdir(file, 0700), 0);
        assert_int_equal(append(logs[0], 1, 0, 0, 50), ERR_IO); /* those of the one before stay */
        assert_int_equal(open_here(), 2);
        assert_int_equal(stat_get(STAT_FILES_KEPT), 2);
        assert_int_equal(rmdir(file), 0);
}

/* Something else than was written: nothing is put behind it, and the log is one whose files are read anew. */
static void test_files_that_are_others_by_now_are_not_gone_on_with(void **state)
{
        char file[160];
        (void)state;
        all_append(0, 0);
        snprintf(file, sizeof(file), "%s/000000.mp4", folders[LOGS - 1]);
        assert_int_equal(truncate(file, 100), 0);
        assert_int_equal(append(logs[LOGS - 1], 0, 1, 0, 50), ERR_IO);
        assert_true(logs[LOGS - 1]->failed);
        snprintf(file, sizeof(file), "%s/000000.idx", folders[LOGS - 2]);
        assert_int_equal(unlink(file), 0);
        assert_int_equal(append(logs[LOGS - 2], 0, 1, 0, 50), ERR_IO);
        assert_true(logs[LOGS - 2]->failed);
}

/* No descriptor at all for a moment: that says nothing of the files. */
static void test_no_descriptor_is_no_damage(void **state)
{
        int taken[4 * PLACES], n = 0;
        (void)state;
        all_append(0, 0);
        while ((taken[n] = dup(0)) >= 0)
                n++;
        assert_int_equal(append(logs[LOGS - 1], 0, 1, 0, 50), ERR_IO);
        assert_false(logs[LOGS - 1]->failed);
        while (n)
                close(taken[--n]);
        assert_int_equal(append(logs[LOGS - 1], 0, 1, 0, 50), 0);
}

int main(void)
{
        struct rlimit before;
        getrlimit(RLIMIT_NOFILE, &before);
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_more_tracks_are_written_than_files_can_stay_open, several, no_more),
                cmocka_unit_test_setup_teardown(test_who_is_written_keeps_its_files_open, several, no_more),
                cmocka_unit_test_setup_teardown(test_who_is_not_written_makes_place, several, no_more),
                cmocka_unit_test_setup_teardown(test_volumes_are_closed_and_begun_without_a_place, several, no_more),
                cmocka_unit_test_setup_teardown(test_place_is_given_back_at_the_end, several, no_more),
                cmocka_unit_test_setup_teardown(test_volume_that_cannot_be_begun_has_no_place, several, no_more),
                cmocka_unit_test_setup_teardown(test_files_that_are_others_by_now_are_not_gone_on_with, several, no_more),
                cmocka_unit_test_setup_teardown(test_no_descriptor_is_no_damage, several, no_more),
        };
        int failed = cmocka_run_group_tests(tests, NULL, NULL);
        setrlimit(RLIMIT_NOFILE, &before);
        return failed;
}
