#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/err.h"
#include "originD/log/chunk_log.h"
#include "originD/log/disk.h"
#include "tests/unit/origin_fmp4.h"
#include "tests/unit/scratch.h"

static uv_loop_t loop;
static char folder[96], path[112];

static struct chunk_log *open_log(void)
{
        struct init_info info;
        struct index ix;
        struct buf *init;
        int fd = open(path, O_RDWR);
        assert_true(fd >= 0);
        assert_int_equal(index_walk(fd, &ix, &info, &init), 0);
        assert_int_equal(ftruncate(fd, (off_t)ix.file_bytes), 0);
        return chunk_log_new(&loop, path, fd, &info, init, &ix, false);
}

static void write_file(const struct buf *b)
{
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        assert_int_equal(write(fd, b->data, b->len), b->len);
        close(fd);
}

static int setup(void **state)
{
        (void)state;
        uv_loop_init(&loop);
        scratch_dir(folder, sizeof(folder));
        snprintf(path, sizeof(path), "%s/v720.mp4", folder);
        struct buf *init = fmp4_video_init();
        write_file(init);
        buf_unref(&init);
        return 0;
}

static int teardown(void **state)
{
        (void)state;
        uv_run(&loop, UV_RUN_DEFAULT);
        disk_stop();
        assert_int_equal(uv_loop_close(&loop), 0);
        unlink(path);
        return rmdir(folder);
}

static void set_status(struct chunk_append *a, int status);
struct append {
        struct chunk_append a;
        int status, done;
};

static void set_status(struct chunk_append *a, int status)
{
        struct append *x = (struct append *)a;
        x->status = status;
        x->done++;
}

static void start(struct chunk_log *log, struct append *x, unsigned n, unsigned k, uint8_t flags, struct buf *bytes)
{
        *x = (struct append){.a = {.segment = n, .chunk = (uint8_t)k, .flags = flags, .done = set_status, .bytes = bytes,
                                   .start_us = n * INT64_C(1000000) + k * INT64_C(200000)}};
        chunk_log_append(log, &x->a);
}

/* Appends 25 fps video and waits for the answer. */
static int append(struct chunk_log *log, unsigned n, unsigned k, uint8_t flags, uint32_t size)
{
        struct append x;
        struct buf *b = fmp4_video_chunk(n, k, size);
        start(log, &x, n, k, flags, b);
        while (!x.done)
                uv_run(&loop, UV_RUN_ONCE);
        buf_unref(&b);
        assert_int_equal(x.done, 1);
        return x.status;
}

static uint64_t file_bytes(void)
{
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        return (uint64_t)st.st_size;
}

static void test_next_chunk_or_a_later_one_is_stored(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        struct segment_view v;
        assert_int_equal(append(log, 0, 0, 0, 50), 0);
        assert_int_equal(append(log, 0, 1, 0, 50), 0);
        assert_true(chunk_log_segment(log, 0, &v));
        assert_false(v.complete);
        assert_int_equal(append(log, 2, 3, 0, 50), 0);
        assert_true(chunk_log_segment(log, 0, &v)); /* a later one came: nothing more in this */
        assert_true(v.complete);
        assert_false(chunk_log_segment(log, 1, &v));
        assert_int_equal(file_bytes(), log->index.file_bytes);
        chunk_log_free(&log);
}

static void test_same_chunk_again_is_stored_but_not_written(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        assert_int_equal(append(log, 0, 0, 0, 50), 0);
        assert_int_equal(append(log, 0, 1, 0, 50), 0);
        uint64_t before = file_bytes();
        assert_int_equal(append(log, 0, 0, 0, 50), 0);
        assert_int_equal(append(log, 0, 1, 0, 70), 0); /* encoded anew by another writer: what was stored first stays */
        assert_int_equal(file_bytes(), before);
        chunk_log_free(&log);
}

static void cut_is_done(void *arg, int status)
{
        *(int *)arg = status ? status : 1;
}

static int append_after(struct chunk_log *log, unsigned n, unsigned k, uint32_t size, uint64_t previous)
{
        struct append x = {.a = {.segment = n, .chunk = (uint8_t)k, .done = set_status, .previous = previous,
                                 .start_us = n * INT64_C(1000000) + k * INT64_C(200000),
                                 .bytes = fmp4_video_chunk(n, k, size)}};
        chunk_log_append(log, &x.a);
        while (!x.done)
                uv_run(&loop, UV_RUN_ONCE);
        buf_unref(&x.a.bytes);
        assert_int_equal(x.done, 1);
        return x.status;
}

static uint64_t hash_of(unsigned n, unsigned k, uint32_t size)
{
        struct buf *b = fmp4_video_chunk(n, k, size);
        uint64_t hash = chunk_log_hash(b);
        buf_unref(&b);
        return hash;
}

static void test_chunk_is_taken_only_behind_the_one_it_goes_on_from(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        assert_int_equal(append_after(log, 0, 0, 50, 77), 0); /* nothing is known to stand before it */
        uint64_t before = file_bytes();
        assert_int_equal(append_after(log, 0, 1, 50, hash_of(0, 0, 60)), ERR_NOT_YET); /* of another writer's first */
        assert_int_equal(file_bytes(), before);
        assert_int_equal(log->index.end_ticks, 18000);
        assert_int_equal(append_after(log, 0, 1, 50, hash_of(0, 0, 50)), 0);
        assert_int_equal(append_after(log, 0, 1, 60, hash_of(0, 0, 60)), 0); /* stored already, whoever did it */
        assert_int_equal(append_after(log, 0, 2, 60, hash_of(0, 1, 60)), ERR_NOT_YET);
        assert_int_equal(append_after(log, 0, 2, 60, 0), 0); /* needs nothing */
        assert_int_equal(append_after(log, 0, 3, 60, hash_of(0, 2, 60)), 0);
        chunk_log_free(&log);
}

static void test_hash_that_is_not_known_refuses_nobody(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        int cut = 0;
        assert_int_equal(append_after(log, 0, 0, 50, 0), 0);
        assert_int_equal(append_after(log, 1, 0, 50, 0), 0);
        chunk_log_free(&log);
        uv_run(&loop, UV_RUN_DEFAULT);
        log = open_log(); /* after a restart */
        assert_int_equal(append_after(log, 1, 1, 50, 77), 0);
        chunk_log_cut(log, 1, cut_is_done, &cut);
        while (!cut)
                uv_run(&loop, UV_RUN_ONCE);
        assert_int_equal(append_after(log, 1, 0, 50, 77), 0);
        chunk_log_end(log);
        chunk_log_reopen(log, open(path, O_RDWR), false);
        assert_int_equal(append_after(log, 1, 1, 50, 77), 0);
        assert_int_equal(append_after(log, 1, 2, 50, 77), ERR_NOT_YET);
        chunk_log_free(&log);
}

static void test_cut_forgets_a_segment_and_all_behind_it_and_goes_on_from_there(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        struct segment_view v;
        int cut = 0;
        for (unsigned n = 0; n < 3; n++)
                for (unsigned k = 0; k < 5; k++)
                        assert_int_equal(append(log, n, k, 0, 50), 0);
        assert_true(chunk_log_segment(log, 1, &v));
        chunk_log_cut(log, 1, cut_is_done, &cut);
        assert_false(chunk_log_segment(log, 1, &v)); /* at once: nobody reads what is going */
        assert_true(chunk_log_segment(log, 0, &v));
        struct append x;
        struct buf *b = fmp4_video_chunk(1, 0, 77); /* asked for meanwhile: it waits */
        start(log, &x, 1, 0, 0, b);
        assert_false(x.done);
        while (!x.done)
                uv_run(&loop, UV_RUN_ONCE);
        assert_int_equal(cut, 1);
        assert_int_equal(x.status, 0);
        assert_int_equal(log->index.end_ticks, 108000);
        assert_int_equal(log->index.samples, 30);
        assert_int_equal(file_bytes(), log->index.file_bytes);
        assert_true(chunk_log_segment(log, 1, &v));
        assert_non_null(v.bytes); /* what is remembered of it is the new one's */
        assert_int_equal(v.len_bytes, b->len);
        assert_memory_equal(v.bytes->data, b->data, b->len);
        buf_unref(&b);
        chunk_log_free(&log);
}

static void test_cut_to_the_beginning_leaves_the_init_segment(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        int cut = 0;
        assert_int_equal(append(log, 3, 0, 0, 50), 0);
        chunk_log_cut(log, 0, cut_is_done, &cut);
        while (!cut)
                uv_run(&loop, UV_RUN_ONCE);
        assert_int_equal(cut, 1);
        assert_int_equal(file_bytes(), log->init_bytes->len);
        assert_int_equal(append(log, 0, 0, 0, 50), 0);
        chunk_log_free(&log);
}

static void test_overlapping_chunk_is_out_of_order(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        assert_int_equal(append(log, 0, 0, 0, 50), 0);
        struct buf *b = fmp4_chunk(9000, 5, 3600, 50); /* begins inside what is stored, ends behind it */
        struct append x = {.a = {.start_us = 100000, .done = set_status, .bytes = b}};
        chunk_log_append(log, &x.a);
        assert_int_equal(x.done, 1);
        assert_int_equal(x.status, ERR_ORDER);
        buf_unref(&b);
        chunk_log_free(&log);
}

static void test_chunk_whose_time_is_not_what_was_said_is_a_conflict(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        struct buf *b = fmp4_video_chunk(4, 0, 50);
        struct append x;
        start(log, &x, 3, 0, 0, b);
        assert_int_equal(x.status, ERR_CONFLICT);
        buf_unref(&b);
        b = fmp4_chunk(4 * 90000 + 1, 5, 3600, 50); /* one tick is rounding */
        start(log, &x, 4, 0, 0, b);
        while (!x.done)
                uv_run(&loop, UV_RUN_ONCE);
        assert_int_equal(x.status, 0);
        buf_unref(&b);
        chunk_log_free(&log);
}

static void test_garbage_is_refused_and_changes_nothing(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        uint64_t before = file_bytes();
        struct buf *b = buf_new(500);
        memset(b->data, 0xa5, b->len);
        struct append x;
        start(log, &x, 0, 0, 0, b);
        assert_int_equal(x.status, ERR_PROTO);
        assert_int_equal(file_bytes(), before);
        buf_unref(&b);
        chunk_log_free(&log);
}

static void test_reader_never_sees_a_chunk_before_it_is_in_the_file(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        struct buf *b = fmp4_video_chunk(0, 0, 50);
        struct append x;
        struct segment_view v;
        start(log, &x, 0, 0, 0, b);
        assert_false(x.done);
        assert_false(chunk_log_segment(log, 0, &v));
        while (!x.done)
                uv_run(&loop, UV_RUN_ONCE);
        assert_true(chunk_log_segment(log, 0, &v));
        assert_int_equal(v.len_bytes, b->len);
        assert_memory_equal(v.bytes->data, b->data, b->len);
        buf_unref(&b);
        chunk_log_free(&log);
}

static void test_queued_chunks_are_written_in_order_and_fenced_ones_are_not(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        struct append x[4];
        struct buf *b[4];
        for (unsigned k = 0; k < 4; k++) {
                b[k] = fmp4_video_chunk(0, k, 30);
                start(log, &x[k], 0, k, 0, b[k]);
        }
        chunk_log_fence(log);
        while (!chunk_log_idle(log))
                uv_run(&loop, UV_RUN_ONCE);
        assert_int_equal(x[0].status, 0); /* was under way */
        for (unsigned k = 1; k < 4; k++)
                assert_int_equal(x[k].status, ERR_FENCED);
        for (unsigned k = 1; k < 4; k++)
                start(log, &x[k], 0, k, 0, b[k]);
        while (!chunk_log_idle(log))
                uv_run(&loop, UV_RUN_ONCE);
        assert_int_equal(log->index.end_ticks, 4 * 18000);
        for (unsigned k = 0; k < 4; k++)
                buf_unref(&b[k]);
        chunk_log_free(&log);
}

static void test_segment_in_memory_grows_without_moving_what_readers_hold(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        struct segment_view v;
        assert_int_equal(append(log, 0, 0, 0, 100), 0);
        assert_true(chunk_log_segment(log, 0, &v));
        struct buf *held = buf_ref(v.bytes);
        uint8_t first[64];
        memcpy(first, held->data, sizeof(first));
        for (unsigned k = 1; k < 5; k++)
                assert_int_equal(append(log, 0, k, k == 4 ? PUT_LAST : 0, 30000), 0);
        assert_memory_equal(held->data, first, sizeof(first));
        assert_true(chunk_log_segment(log, 0, &v));
        assert_true(v.complete);
        uint8_t *disk = malloc(v.len_bytes);
        int fd = open(path, O_RDONLY);
        assert_int_equal(pread(fd, disk, v.len_bytes, (off_t)v.offset), v.len_bytes);
        assert_memory_equal(disk, v.bytes->data, v.len_bytes);
        close(fd);
        free(disk);
        buf_unref(&held);
        chunk_log_free(&log);
}

static void test_full_disk_answers_no_space_and_harms_nothing(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        assert_int_equal(append(log, 0, 0, 0, 1000), 0);
        uint64_t before = file_bytes();
        struct rlimit old, small = {.rlim_cur = before + 3000, .rlim_max = RLIM_INFINITY};
        getrlimit(RLIMIT_FSIZE, &old);
        small.rlim_max = old.rlim_max;
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &small);
        int status = append(log, 0, 1, 0, 1000); /* 5 kB: some of it is written before the disk says no */
        setrlimit(RLIMIT_FSIZE, &old);
        assert_int_equal(status, ERR_NOSPACE);
        assert_int_equal(file_bytes(), before);
        assert_int_equal(append(log, 0, 1, 0, 1000), 0); /* space is back: the same chunk goes in */
        assert_int_equal(log->index.end_ticks, 36000);
        chunk_log_free(&log);
}

static void test_torn_tail_is_cut_at_every_byte(void **state)
{
        (void)state;
        struct buf *init = fmp4_video_init(), *one = fmp4_video_chunk(0, 0, 10), *two = fmp4_video_chunk(0, 1, 10);
        struct buf *all = buf_new(init->len + one->len + two->len);
        memcpy(all->data, init->data, init->len);
        memcpy(all->data + init->len, one->data, one->len);
        memcpy(all->data + init->len + one->len, two->data, two->len);
        size_t whole = all->len;
        for (size_t n = init->len; n <= whole; n++) {
                all->len = n;
                write_file(all);
                struct chunk_log *log = open_log();
                size_t want = n == whole ? whole : n >= init->len + one->len ? init->len + one->len : init->len;
                assert_int_equal(log->index.file_bytes, want);
                assert_int_equal(file_bytes(), want);
                chunk_log_free(&log);
                uv_run(&loop, UV_RUN_DEFAULT);
        }
        buf_unref(&init);
        buf_unref(&one);
        buf_unref(&two);
        buf_unref(&all);
}

/* A child writes until it is killed; whatever it said was stored is there afterwards, whole. */
static void writer_child(int out)
{
        uv_loop_init(&loop);
        struct chunk_log *log = open_log();
        for (unsigned n = 0; n < 100000; n++) {
                uint32_t stored = n + 1;
                if (append(log, n / 5, n % 5, 0, 20000) != 0 || write(out, &stored, sizeof(stored)) != sizeof(stored))
                        _exit(1);
        }
        _exit(0);
}

static void test_kill_in_mid_write_loses_nothing_that_was_answered(void **state)
{
        (void)state;
        for (unsigned round = 0; round < 5; round++) {
                int pipe_fd[2];
                uint32_t stored = 0, n;
                disk_stop(); /* the child has no threads but its own */
                struct buf *init = fmp4_video_init();
                write_file(init);
                buf_unref(&init);
                assert_int_equal(pipe(pipe_fd), 0);
                pid_t child = fork();
                if (!child)
                        writer_child(pipe_fd[1]);
                close(pipe_fd[1]);
                while (stored < 20 + round * 7 && read(pipe_fd[0], &n, sizeof(n)) == sizeof(n))
                        stored = n;
                kill(child, SIGKILL);
                waitpid(child, NULL, 0);
                while (read(pipe_fd[0], &n, sizeof(n)) == sizeof(n))
                        stored = n;
                close(pipe_fd[0]);
                struct chunk_log *log = open_log();
                assert_true(log->index.end_ticks >= stored * UINT64_C(18000));
                assert_true(log->index.end_ticks <= (stored + 1) * UINT64_C(18000));
                unsigned next = (unsigned)(log->index.end_ticks / 18000);
                assert_int_equal(append(log, next / 5, next % 5, 0, 100), 0);
                chunk_log_free(&log);
                uv_run(&loop, UV_RUN_DEFAULT);
        }
}

static void test_ended_log_takes_no_more_and_its_last_segment_is_complete(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        struct segment_view v;
        assert_int_equal(append(log, 0, 0, 0, 50), 0);
        chunk_log_end(log);
        assert_true(chunk_log_segment(log, 0, &v));
        assert_true(v.complete);
        assert_int_equal(append(log, 0, 1, 0, 50), ERR_CLOSED);
        chunk_log_free(&log);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_next_chunk_or_a_later_one_is_stored, setup, teardown),
                cmocka_unit_test_setup_teardown(test_same_chunk_again_is_stored_but_not_written, setup, teardown),
                cmocka_unit_test_setup_teardown(test_chunk_is_taken_only_behind_the_one_it_goes_on_from, setup, teardown),
                cmocka_unit_test_setup_teardown(test_hash_that_is_not_known_refuses_nobody, setup, teardown),
                cmocka_unit_test_setup_teardown(test_cut_forgets_a_segment_and_all_behind_it_and_goes_on_from_there, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_cut_to_the_beginning_leaves_the_init_segment, setup, teardown),
                cmocka_unit_test_setup_teardown(test_overlapping_chunk_is_out_of_order, setup, teardown),
                cmocka_unit_test_setup_teardown(test_chunk_whose_time_is_not_what_was_said_is_a_conflict, setup, teardown),
                cmocka_unit_test_setup_teardown(test_garbage_is_refused_and_changes_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_reader_never_sees_a_chunk_before_it_is_in_the_file, setup, teardown),
                cmocka_unit_test_setup_teardown(test_queued_chunks_are_written_in_order_and_fenced_ones_are_not, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_segment_in_memory_grows_without_moving_what_readers_hold, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_full_disk_answers_no_space_and_harms_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_torn_tail_is_cut_at_every_byte, setup, teardown),
                cmocka_unit_test_setup_teardown(test_ended_log_takes_no_more_and_its_last_segment_is_complete, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_kill_in_mid_write_loses_nothing_that_was_answered, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
