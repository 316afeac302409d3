#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "originD/log/disk.h"
#include "originD/log/file.h"
#include "tests/unit/full_disk.h"
#include "tests/unit/scratch.h"
#include "tests/unit/stuck.h"
#include "tests/unit/until.h"

static uv_loop_t loop;
static char folder[64], keeper[64], path[120];

/* In place of the C library's: says which folders were made durable, and fails where it is told to. Pool threads, one at a time. */
static char synced[8][160];
static unsigned synced_count;
static int fail_sync_of_parent;

int fsync(int fd)
{
        char link[40], name[160] = "";
        struct stat st;
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        if (fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode) || readlink(link, name, sizeof(name) - 1) < 0 || synced_count == 8)
                return fdatasync(fd);
        strcpy(synced[synced_count++], name);
        if (fail_sync_of_parent && strcmp(name, folder) == 0) {
                errno = EIO;
                return -1;
        }
        return 0;
}

static bool was_synced(const char *name)
{
        for (unsigned i = 0; i < synced_count; i++)
                if (strcmp(synced[i], name) == 0)
                        return true;
        return false;
}

static int setup(void **state)
{
        (void)state;
        uv_loop_init(&loop);
        scratch_dir(folder, sizeof(folder));
        scratch_file(keeper, sizeof(keeper)); /* a removal takes an empty parent with it: here that is everybody's */
        snprintf(path, sizeof(path), "%s/file", folder);
        return 0;
}

static int teardown(void **state)
{
        char cmd[96];
        (void)state;
        disk_stop();
        assert_int_equal(uv_loop_close(&loop), 0);
        unlink(keeper);
        snprintf(cmd, sizeof(cmd), "rm -rf %s", folder);
        return system(cmd);
}

struct result {
        int status, done;
};

static void told(void *arg, int status)
{
        struct result *r = arg;
        r->status = status;
        r->done++;
}

static int wait_for(struct result *r)
{
        UNTIL(&loop, r->done);
        assert_int_equal(r->done, 1);
        return r->status;
}

static int save(const char *name, const char *text)
{
        struct result r = {0};
        struct buf *b = buf_copy(text, strlen(text));
        disk_save(&loop, name, b, 2, told, &r);
        buf_unref(&b);
        return wait_for(&r);
}

static int read_back(const char *name, size_t len, char *dst)
{
        struct result r = {0};
        struct buf *b = buf_new(len);
        disk_read(&loop, DISK_LIVE, name, 0, b, told, &r);
        int status = wait_for(&r);
        memcpy(dst, b->data, len);
        dst[len] = '\0';
        buf_unref(&b);
        return status;
}

static void test_writes_and_live_reads_go_on_while_every_cold_thread_is_stuck(void **state)
{
        (void)state;
        struct stuck s;
        char text[8];
        stuck_open(&s);
        for (int i = 0; i < 50; i++)
                assert_int_equal(disk_run(&loop, DISK_COLD, be_stuck, one_over, &s), 0);
        wait_in(&s, 2);
        assert_int_equal(save(path, "new"), 0);
        assert_int_equal(read_back(path, 3, text), 0);
        assert_string_equal(text, "new");
        assert_int_equal(s.over, 0);
        let_go(&s);
        UNTIL(&loop, !disk_jobs());
        assert_int_equal(s.over, 50);
}

static void test_live_reads_go_on_while_every_write_is_stuck(void **state)
{
        (void)state;
        struct stuck s;
        char text[8];
        assert_int_equal(save(path, "old"), 0);
        stuck_open(&s);
        for (int i = 0; i < 4; i++)
                assert_int_equal(disk_run(&loop, DISK_WRITE, be_stuck, one_over, &s), 0);
        wait_in(&s, 4);
        assert_int_equal(read_back(path, 3, text), 0);
        let_go(&s);
        disk_stop();
}

static void test_too_many_cold_jobs_are_refused_and_file_jobs_are_told_so_later(void **state)
{
        (void)state;
        struct stuck s;
        struct result r = {0};
        stuck_open(&s);
        for (unsigned i = 0; i < DISK_COLD_MAX; i++)
                assert_int_equal(disk_run(&loop, DISK_COLD, be_stuck, one_over, &s), 0);
        assert_int_equal(disk_run(&loop, DISK_COLD, be_stuck, one_over, &s), ERR_FULL);
        struct buf *b = buf_new(3);
        disk_read(&loop, DISK_COLD, path, 0, b, told, &r);
        assert_int_equal(r.done, 0);
        assert_int_equal(wait_for(&r), ERR_FULL);
        buf_unref(&b);
        let_go(&s);
        disk_stop();
        assert_int_equal(s.over, DISK_COLD_MAX);
}

static void run_again(void *arg)
{
        struct stuck *s = arg;
        if (++s->over < 5)
                assert_int_equal(disk_run(&loop, DISK_WRITE, be_stuck, run_again, s), 0);
}

static void test_stop_finishes_what_is_queued_and_what_that_begins(void **state)
{
        (void)state;
        struct stuck s;
        stuck_open(&s);
        s.let_go = true;
        assert_int_equal(disk_run(&loop, DISK_WRITE, be_stuck, run_again, &s), 0);
        disk_stop();
        assert_int_equal(s.over, 5);
        assert_int_equal(disk_jobs(), 0);
        assert_int_equal(disk_run(&loop, DISK_LIVE, be_stuck, one_over, &s), 0); /* and it can begin again */
        disk_stop();
        assert_int_equal(s.over, 6);
}

static int cold_nice;
static void look_at_priority(void *arg)
{
        (void)arg;
        cold_nice = getpriority(PRIO_PROCESS, (id_t)gettid());
}

static void test_cold_threads_step_back_and_the_loop_does_not(void **state)
{
        (void)state;
        struct stuck s = {.over = 0};
        int before = getpriority(PRIO_PROCESS, 0);
        assert_int_equal(disk_run(&loop, DISK_COLD, look_at_priority, one_over, &s), 0);
        disk_stop();
        assert_true(cold_nice > before || before >= 10); /* who is that far back already steps no further */
        assert_int_equal(getpriority(PRIO_PROCESS, 0), before);
}

static void test_what_is_set_aside_replaces_nothing(void **state)
{
        (void)state;
        char aside[140], text[8];
        assert_int_equal(file_set_aside(path, "found"), ERR_NOT_FOUND);
        for (unsigned n = 1; n <= 2; n++) {
                assert_int_equal(save(path, n == 1 ? "one" : "two"), 0);
                assert_int_equal(file_set_aside(path, "found"), 0);
                assert_int_equal(access(path, F_OK), -1);
                snprintf(aside, sizeof(aside), "%s.found-%u", path, n);
                assert_int_equal(read_back(aside, 3, text), 0);
                assert_string_equal(text, n == 1 ? "one" : "two");
        }
        snprintf(aside, sizeof(aside), "%s.found-1", path);
        assert_int_equal(read_back(aside, 3, text), 0);
        assert_string_equal(text, "one");
}

static void test_without_descriptors_nothing_is_taken_for_absent_or_removed(void **state)
{
        (void)state;
        char text[8];
        struct rlimit old, none;
        assert_int_equal(save(path, "old"), 0); /* the pools are open from here on */
        getrlimit(RLIMIT_NOFILE, &old);
        none = (struct rlimit){0, old.rlim_max};
        setrlimit(RLIMIT_NOFILE, &none);
        int reading = read_back(path, 3, text), saving = save(path, "new"), removing = file_remove_folder(folder);
        setrlimit(RLIMIT_NOFILE, &old);
        assert_int_equal(reading, ERR_LIMIT);
        assert_int_equal(saving, ERR_LIMIT);
        assert_int_equal(removing, ERR_LIMIT);
        char gone[100];
        snprintf(gone, sizeof(gone), "%s" FILE_REMOVED_SUFFIX, folder);
        assert_int_equal(rename(gone, folder), 0); /* marked, but whole */
        assert_int_equal(read_back(path, 3, text), 0);
        assert_string_equal(text, "old");
}

static void test_only_an_absence_is_told_as_one(void **state)
{
        (void)state;
        char text[8], below[140];
        assert_int_equal(read_back(path, 3, text), ERR_NOT_FOUND);
        assert_int_equal(save(path, "x"), 0);
        snprintf(below, sizeof(below), "%s/below", path);
        assert_int_equal(read_back(below, 3, text), ERR_NOT_FOUND); /* a file is no folder: ENOTDIR */
        assert_int_equal(read_back(path, 3, text), ERR_IO); /* shorter than it should be */
        assert_int_equal(err_from_errno(EIO), ERR_IO);
        assert_int_equal(err_from_errno(EROFS), ERR_READ_ONLY);
        assert_int_equal(err_from_errno(EMFILE), ERR_LIMIT);
        assert_int_equal(err_from_errno(ENFILE), ERR_LIMIT);
        assert_int_equal(err_from_errno(EDQUOT), ERR_NOSPACE);
}

static void test_a_folder_goes_with_the_folders_in_it(void **state)
{
        (void)state;
        char inner[140], file[200];
        snprintf(inner, sizeof(inner), "%s/v720", folder);
        assert_int_equal(mkdir(inner, 0755), 0);
        snprintf(file, sizeof(file), "%s/000001.mp4", inner);
        assert_int_equal(save(file, "x"), 0);
        assert_int_equal(save(path, "y"), 0);
        assert_int_equal(file_remove_folder(folder), 0);
        assert_int_equal(access(folder, F_OK), -1);
}

static void test_a_folder_that_was_never_used_goes_and_one_with_anything_else_stays(void **state)
{
        (void)state;
        char json[100], beside[110];
        snprintf(json, sizeof(json), "%s/session.json", folder);
        snprintf(beside, sizeof(beside), "%s.tmp", json);
        assert_int_equal(save(json, "{}"), 0);
        assert_int_equal(save(path, "media"), 0);
        assert_int_equal(file_remove_unused_folder(json), ERR_CONFLICT);
        assert_int_equal(access(json, F_OK), 0);
        assert_int_equal(access(path, F_OK), 0);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(save(beside, "{"), 0); /* a save that was interrupted */
        assert_int_equal(file_remove_unused_folder(json), 0);
        assert_int_equal(access(folder, F_OK), -1);
}

/* As where a mount has gone: in its place nothing may be begun, or what comes back is hidden. */
static void test_a_save_makes_no_more_folders_than_it_may(void **state)
{
        (void)state;
        char away[80], inner[100], file[120];
        snprintf(away, sizeof(away), "%s/away", folder);
        snprintf(inner, sizeof(inner), "%s/inner", away);
        snprintf(file, sizeof(file), "%s/file", away);
        assert_int_equal(file_save(file, "x", 1, 0), ERR_NOT_FOUND);
        snprintf(file, sizeof(file), "%s/file", inner);
        assert_int_equal(file_save(file, "x", 1, 1), ERR_NOT_FOUND);
        assert_int_equal(access(away, F_OK), -1);
        assert_int_equal(file_save(file, "x", 1, 2), 0);
        assert_int_equal(file_save(file, "y", 1, 0), 0);
}

static void test_a_save_that_failed_leaves_what_was_there(void **state)
{
        (void)state;
        struct result r = {0};
        struct buf *b = buf_new(8000);
        char text[8], beside[130];
        memset(b->data, 1, b->len);
        assert_int_equal(save(path, "old"), 0);
        fill_disk(4096);
        disk_save(&loop, path, b, 2, told, &r);
        int status = wait_for(&r);
        empty_disk();
        assert_int_equal(status, ERR_NOSPACE);
        assert_int_equal(read_back(path, 3, text), 0);
        assert_string_equal(text, "old");
        assert_int_equal(read_back(path, 4, text), ERR_IO); /* it is shorter */
        snprintf(beside, sizeof(beside), "%s.tmp", path);
        assert_int_equal(access(beside, F_OK), -1);
        buf_unref(&b);
}

static void test_what_is_saved_is_in_folders_that_outlast_a_power_failure(void **state)
{
        (void)state;
        char stream[80], session[90], name[120];
        struct stat st;
        snprintf(stream, sizeof(stream), "%s/cam", folder);
        snprintf(session, sizeof(session), "%s/S1", stream);
        snprintf(name, sizeof(name), "%s/session.json", session);
        synced_count = 0;
        fail_sync_of_parent = 1;
        assert_int_equal(save(name, "1"), ERR_IO);
        assert_int_equal(stat(stream, &st), -1); /* or the next try would take it for durable */
        fail_sync_of_parent = 0;
        synced_count = 0;
        assert_int_equal(save(name, "1"), 0);
        assert_true(was_synced(folder));
        assert_true(was_synced(stream));
        assert_true(was_synced(session));
        synced_count = 0;
        assert_int_equal(save(name, "2"), 0);
        assert_int_equal(synced_count, 1); /* the others were there */
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_writes_and_live_reads_go_on_while_every_cold_thread_is_stuck),
                CASE(test_live_reads_go_on_while_every_write_is_stuck),
                CASE(test_too_many_cold_jobs_are_refused_and_file_jobs_are_told_so_later),
                CASE(test_stop_finishes_what_is_queued_and_what_that_begins),
                CASE(test_cold_threads_step_back_and_the_loop_does_not),
                CASE(test_what_is_set_aside_replaces_nothing),
                CASE(test_without_descriptors_nothing_is_taken_for_absent_or_removed),
                CASE(test_only_an_absence_is_told_as_one),
                CASE(test_a_folder_goes_with_the_folders_in_it),
                CASE(test_a_folder_that_was_never_used_goes_and_one_with_anything_else_stays),
                CASE(test_what_is_saved_is_in_folders_that_outlast_a_power_failure),
                CASE(test_a_save_makes_no_more_folders_than_it_may),
                CASE(test_a_save_that_failed_leaves_what_was_there),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
