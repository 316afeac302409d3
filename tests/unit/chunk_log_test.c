#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/crc32c.h"
#include "common/err.h"
#include "originD/log/chunk_log.h"
#include "common/mem.h"
#include "originD/log/disk.h"
#include "originD/log/index_cache.h"
#include "tests/unit/origin_fmp4.h"
#include "tests/unit/scratch.h"
#include "tests/unit/until.h"

static uv_loop_t loop;
static char folder[96], path[112];

static uint32_t volume_segments;

/* What is on the disk, as a start finds it. */
static struct chunk_log *open_log(void)
{
        struct init_info info;
        struct buf *init = NULL;
        struct volumes none = {0};
        struct volumes_found found;
        assert_int_equal(volumes_read_init(folder, &info, &init), 0);
        struct volume_track all = {.dir = folder, .info = &info, .init = init, .segments = volume_segments};
        assert_int_equal(volumes_find(&all, &none, true, &found), 0);
        return chunk_log_new(&loop, folder, &info, init, volume_segments, &found, false, false);
}

static void clear(void)
{
        DIR *d = opendir(folder);
        struct dirent *e;
        while ((e = readdir(d)))
                if (e->d_name[0] != '.')
                        unlinkat(dirfd(d), e->d_name, 0);
        closedir(d);
}

static void begin(void)
{
        struct buf *init = fmp4_video_init();
        assert_int_equal(volumes_begin(folder, init), 0);
        buf_unref(&init);
}

static int setup(void **state)
{
        (void)state;
        uv_loop_init(&loop);
        scratch_dir(folder, sizeof(folder));
        snprintf(path, sizeof(path), "%s/000000.mp4", folder);
        volume_segments = 600;
        begin();
        return 0;
}

static int teardown(void **state)
{
        (void)state;
        uv_run(&loop, UV_RUN_DEFAULT);
        disk_stop();
        assert_int_equal(uv_loop_close(&loop), 0);
        clear();
        return rmdir(folder);
}

/* Ends it first, so that nothing is on its way. */
static void free_log(struct chunk_log **log)
{
        UNTIL(&loop, !chunk_log_busy(*log));
        chunk_log_free(log);
        uv_run(&loop, UV_RUN_DEFAULT);
}

/* What is of the segment; reads an index for it if need be. */
static bool see(struct chunk_log *log, uint32_t segment, struct segment_view *v)
{
        enum segment_state st;
        UNTIL(&loop, (st = chunk_log_segment(log, segment, true, v)) != SEGMENT_LOADING);
        return st == SEGMENT_HERE;
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
        UNTIL(&loop, x.done);
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
        assert_true(see(log, 0, &v));
        assert_false(v.complete);
        assert_int_equal(append(log, 2, 3, 0, 50), 0);
        assert_true(see(log, 0, &v)); /* a later one came: nothing more in this */
        assert_true(v.complete);
        assert_false(see(log, 1, &v));
        assert_int_equal(file_bytes(), log->index.file_bytes);
        free_log(&log);
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
        free_log(&log);
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
        UNTIL(&loop, x.done);
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
        free_log(&log);
}

static void test_hash_that_is_not_known_refuses_nobody(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        int cut = 0;
        assert_int_equal(append_after(log, 0, 0, 50, 0), 0);
        assert_int_equal(append_after(log, 1, 0, 50, 0), 0);
        free_log(&log);
        uv_run(&loop, UV_RUN_DEFAULT);
        log = open_log(); /* after a restart */
        assert_int_equal(append_after(log, 1, 1, 50, 77), 0);
        chunk_log_cut(log, 1, NULL, cut_is_done, &cut);
        UNTIL(&loop, cut);
        assert_int_equal(append_after(log, 1, 0, 50, 77), 0);
        chunk_log_end(log);
        int open_again = 0;
        chunk_log_reopen(log, false, cut_is_done, &open_again);
        UNTIL(&loop, open_again);
        assert_int_equal(open_again, 1);
        assert_int_equal(append_after(log, 1, 1, 50, 77), 0);
        assert_int_equal(append_after(log, 1, 2, 50, 77), ERR_NOT_YET);
        free_log(&log);
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
        assert_true(see(log, 1, &v));
        chunk_log_cut(log, 1, NULL, cut_is_done, &cut);
        assert_false(see(log, 1, &v)); /* at once: nobody reads what is going */
        assert_true(see(log, 0, &v));
        struct append x;
        struct buf *b = fmp4_video_chunk(1, 0, 77); /* asked for meanwhile: it waits */
        start(log, &x, 1, 0, 0, b);
        assert_false(x.done);
        UNTIL(&loop, x.done);
        assert_int_equal(cut, 1);
        assert_int_equal(x.status, 0);
        assert_int_equal(log->index.end_ticks, 108000);
        assert_int_equal(log->index.samples, 30);
        assert_int_equal(file_bytes(), log->index.file_bytes);
        assert_true(see(log, 1, &v));
        assert_non_null(v.bytes); /* what is remembered of it is the new one's */
        assert_int_equal(v.len_bytes, b->len);
        assert_memory_equal(v.bytes->data, b->data, b->len);
        buf_unref(&b);
        free_log(&log);
}

/* The segment as somebody else has it: so many chunks of samples of this size, the rest of another. */
static struct buf *segment_of(unsigned n, unsigned same, uint32_t size, uint32_t other)
{
        struct buf *all = buf_new(1 << 16);
        size_t len = 0;
        for (unsigned k = 0; k < 5; k++) {
                struct buf *b = fmp4_video_chunk(n, k, k < same ? size : other);
                memcpy(all->data + len, b->data, b->len);
                len += b->len;
                buf_unref(&b);
        }
        struct buf *out = buf_copy(all->data, len);
        buf_unref(&all);
        return out;
}

static void test_what_a_cut_segment_begins_with_elsewhere_too_stays(void **state)
{
        (void)state;
        struct segment_view v;
        volume_segments = 2;
        for (unsigned same = 0; same <= 5; same++) {
                struct chunk_log *log = open_log();
                int cut = 0;
                for (unsigned n = 0; n < 5; n++)
                        for (unsigned k = 0; k < 5; k++)
                                assert_int_equal(append(log, n, k, k == 4 ? PUT_LAST : 0, 50), 0);
                chunk_log_cut(log, 2, segment_of(2, same, 50, 70), cut_is_done, &cut);
                UNTIL(&loop, cut);
                assert_int_equal(cut, 1);
                unsigned kept = same < 5 ? same : 4; /* behind the last one nothing could come any more */
                assert_int_equal(log->index.end_ticks, 2 * 90000 + kept * 18000);
                assert_int_equal(see(log, 2, &v), kept > 0);
                assert_int_equal(append(log, 2, kept, 0, 70), 0);
                assert_int_equal(append(log, 3, 0, 0, 70), 0);
                free_log(&log);
                log = open_log();
                assert_true(see(log, 1, &v));
                assert_true(see(log, 2, &v));
                cut = 0;
                chunk_log_cut(log, 0, NULL, cut_is_done, &cut);
                UNTIL(&loop, cut);
                free_log(&log);
        }
}

static void test_cut_to_the_beginning_leaves_no_volume(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        int cut = 0;
        assert_int_equal(append(log, 3, 0, 0, 50), 0);
        chunk_log_cut(log, 0, NULL, cut_is_done, &cut);
        UNTIL(&loop, cut);
        assert_int_equal(cut, 1);
        assert_int_not_equal(access(path, F_OK), 0);
        assert_int_equal(append(log, 0, 0, 0, 50), 0);
        free_log(&log);
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
        free_log(&log);
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
        UNTIL(&loop, x.done);
        assert_int_equal(x.status, 0);
        buf_unref(&b);
        free_log(&log);
}

static void test_garbage_is_refused_and_changes_nothing(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        assert_int_equal(append(log, 0, 0, 0, 50), 0);
        uint64_t before = file_bytes();
        struct buf *b = buf_new(500);
        memset(b->data, 0xa5, b->len);
        struct append x;
        start(log, &x, 0, 0, 0, b);
        assert_int_equal(x.status, ERR_PROTO);
        assert_int_equal(file_bytes(), before);
        buf_unref(&b);
        free_log(&log);
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
        assert_false(see(log, 0, &v));
        UNTIL(&loop, x.done);
        assert_true(see(log, 0, &v));
        assert_int_equal(v.len_bytes, b->len);
        assert_memory_equal(v.bytes->data, b->data, b->len);
        buf_unref(&b);
        free_log(&log);
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
        UNTIL(&loop, chunk_log_idle(log));
        assert_int_equal(x[0].status, 0); /* was under way */
        for (unsigned k = 1; k < 4; k++)
                assert_int_equal(x[k].status, ERR_FENCED);
        for (unsigned k = 1; k < 4; k++)
                start(log, &x[k], 0, k, 0, b[k]);
        UNTIL(&loop, chunk_log_idle(log));
        assert_int_equal(log->index.end_ticks, 4 * 18000);
        for (unsigned k = 0; k < 4; k++)
                buf_unref(&b[k]);
        free_log(&log);
}

static void test_segment_in_memory_grows_without_moving_what_readers_hold(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        struct segment_view v;
        assert_int_equal(append(log, 0, 0, 0, 100), 0);
        assert_true(see(log, 0, &v));
        struct buf *held = buf_ref(v.bytes);
        uint8_t first[64];
        memcpy(first, held->data, sizeof(first));
        for (unsigned k = 1; k < 5; k++)
                assert_int_equal(append(log, 0, k, k == 4 ? PUT_LAST : 0, 30000), 0);
        assert_memory_equal(held->data, first, sizeof(first));
        assert_true(see(log, 0, &v));
        assert_true(v.complete);
        uint8_t *disk = malloc(v.len_bytes);
        int fd = open(path, O_RDONLY);
        assert_int_equal(pread(fd, disk, v.len_bytes, (off_t)v.offset), v.len_bytes);
        assert_memory_equal(disk, v.bytes->data, v.len_bytes);
        close(fd);
        free(disk);
        buf_unref(&held);
        free_log(&log);
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
        free_log(&log);
}

/* A child writes until it is killed; whatever it said was stored is there afterwards, whole. */
static void writer_child(int out)
{
        alarm(UNTIL_US / US_PER_S / 2); /* who reads what it says waits for it */
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
                clear();
                begin();
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
                free_log(&log);
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
        assert_true(see(log, 0, &v));
        assert_true(v.complete);
        assert_int_equal(append(log, 0, 1, 0, 50), ERR_CLOSED);
        free_log(&log);
}

/* ---- volumes ------------------------------------------------------------------------------------------------------- */

static bool is_file(const char *name)
{
        char file[256];
        snprintf(file, sizeof(file), "%s/%s", folder, name);
        return access(file, F_OK) == 0;
}

static void write_segments(struct chunk_log *log, unsigned from, unsigned to)
{
        for (unsigned n = from; n < to; n++)
                for (unsigned k = 0; k < 5; k++)
                        assert_int_equal(append(log, n, k, k == 4 ? PUT_LAST : 0, 50), 0);
}

static void quiet(struct chunk_log *log)
{
        UNTIL(&loop, !chunk_log_busy(log));
}

/* The bytes that the file has of the segment are those that were put. */
static void assert_stored(struct chunk_log *log, unsigned n)
{
        struct segment_view v;
        assert_true(see(log, n, &v));
        struct buf *b = fmp4_video_chunk(n, 0, 50), *got = buf_new(b->len);
        assert_int_equal(v.len_bytes, 5 * b->len);
        assert_true(v.complete);
        if (!v.bytes) {
                char *file = volume_path(folder, v.volume, "mp4");
                int fd = open(file, O_RDONLY);
                assert_int_equal(pread(fd, got->data, got->len, (off_t)v.offset), got->len);
                close(fd);
                free(file);
        } else {
                memcpy(got->data, v.bytes->data, got->len);
        }
        assert_memory_equal(got->data, b->data, b->len);
        buf_unref(&b);
        buf_unref(&got);
}

static void test_each_volume_is_a_file_and_all_segments_are_found(void **state)
{
        (void)state;
        struct segment_view v;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 2, 40);
        assert_int_equal(log->open_number, 9);
        quiet(log);
        assert_int_equal(log->closed.count, 9);
        assert_int_equal(log->closed.rows[0].sum.first_segment, 2);
        assert_true(is_file("000000.mp4") && is_file("000009.mp4") && is_file("000009.idx") && !is_file("000010.mp4"));
        for (unsigned n = 2; n < 40; n++)
                assert_stored(log, n);
        assert_int_equal(chunk_log_segment(log, 1, true, &v), SEGMENT_NONE);
        assert_int_equal(chunk_log_segment(log, 40, true, &v), SEGMENT_NONE);
        struct volume_sum before, after;
        assert_true(chunk_log_sum(log, &before));
        free_log(&log);
        log = open_log(); /* with no index in memory */
        assert_true(chunk_log_sum(log, &after));
        assert_int_equal(before.bytes, after.bytes);
        assert_int_equal(before.samples, after.samples);
        assert_int_equal(chunk_log_segment(log, 3, false, &v), SEGMENT_UNREAD);
        for (unsigned n = 2; n < 40; n++)
                assert_stored(log, n);
        assert_int_equal(append(log, 40, 0, 0, 50), 0);
        free_log(&log);
}

static void test_a_volume_that_is_closed_has_the_checksum_of_its_file(void **state)
{
        (void)state;
        volume_segments = 2;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 5);
        free_log(&log);
        log = open_log(); /* what was written before a start has to be read for it */
        write_segments(log, 5, 6);
        assert_int_equal(append(log, 6, 0, 0, 50), 0);
        quiet(log);
        for (size_t i = 0; i < 3; i++) {
                struct volume_row *row = &log->closed.rows[i];
                char *file = volume_path(folder, row->number, "mp4");
                struct buf *all = buf_new((size_t)row->sum.bytes + 1);
                int fd = open(file, O_RDONLY);
                assert_int_equal(read(fd, all->data, all->len), row->sum.bytes);
                assert_int_equal(row->sum.crc, crc32c(0, all->data, (size_t)row->sum.bytes));
                close(fd);
                free(file);
                buf_unref(&all);
        }
        free_log(&log);
}

static void test_cut_goes_back_over_volumes(void **state)
{
        (void)state;
        static const unsigned to[] = {19, 16, 14, 12, 5, 4, 1, 0};
        struct segment_view v;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 20);
        for (size_t i = 0; i < sizeof(to) / sizeof(to[0]); i++) {
                int cut = 0;
                chunk_log_cut(log, to[i], NULL, cut_is_done, &cut);
                UNTIL(&loop, cut);
                assert_int_equal(cut, 1);
                assert_false(see(log, to[i], &v));
                struct volume_sum sum;
                assert_int_equal(chunk_log_sum(log, &sum), to[i] > 0);
                assert_int_equal(sum.samples, to[i] * 25);
                for (unsigned n = 0; n < to[i]; n++)
                        assert_stored(log, n);
                if (to[i])
                        assert_int_equal(log->index.end_ticks, to[i] * UINT64_C(90000));
        }
        write_segments(log, 0, 6);
        free_log(&log);
        log = open_log();
        for (unsigned n = 0; n < 6; n++)
                assert_stored(log, n);
        free_log(&log);
}

static struct volumes rows_saved;
static unsigned rows_saves;

static int save_rows(void *arg, struct chunk_log *log)
{
        (void)arg;
        rows_saves++;
        volumes_free(&rows_saved);
        chunk_log_rows(log, &rows_saved);
        return 1;
}

static void test_rows_of_what_is_cut_are_gone_before_its_files_are(void **state)
{
        (void)state;
        char name[32];
        int cut = 0;
        struct segment_view v;
        volume_segments = 2;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 11);
        quiet(log);
        log->save_rows = save_rows;
        rows_saves = 0;
        chunk_log_cut(log, 5, NULL, cut_is_done, &cut);
        assert_int_equal(rows_saves, 1);
        assert_int_equal(rows_saved.count, 2);
        assert_int_equal(rows_saved.rows[1].number, 1);
        for (unsigned n = 0; n < 6; n++) {
                snprintf(name, sizeof(name), "%06u.mp4", n);
                assert_true(is_file(name));
        }
        chunk_log_cut_on(log, ERR_NOSPACE); /* it cannot be saved: nothing has happened */
        assert_int_equal(cut, ERR_NOSPACE);
        for (unsigned n = 0; n < 11; n++)
                assert_stored(log, n);
        save_rows(NULL, log);
        assert_int_equal(rows_saved.count, 5);
        assert_int_equal(append(log, 11, 0, 0, 50), 0);
        cut = 0;
        chunk_log_cut(log, 5, NULL, cut_is_done, &cut);
        chunk_log_cut_on(log, 0);
        UNTIL(&loop, cut);
        assert_int_equal(cut, 1);
        assert_true(is_file("000002.mp4"));
        for (unsigned n = 3; n < 6; n++) {
                snprintf(name, sizeof(name), "%06u.mp4", n);
                assert_false(is_file(name));
        }
        struct volume_sum sum;
        assert_true(chunk_log_sum(log, &sum));
        assert_int_equal(sum.samples, 5 * 25);
        assert_true(see(log, 4, &v));
        assert_false(see(log, 5, &v));
        volumes_free(&rows_saved);
        free_log(&log);
}

static void test_a_volume_that_is_not_whole_is_so_too_after_a_cut_that_did_not_come_to_its_end(void **state)
{
        (void)state;
        int cut = 0;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 2);
        chunk_log_skip(log);
        chunk_log_rows(log, &rows_saved);
        assert_int_equal(rows_saved.count, 1);
        assert_int_equal(rows_saved.rows[0].state, VOLUME_DAMAGED);
        volumes_free(&rows_saved);
        write_segments(log, 4, 6);
        quiet(log);
        log->save_rows = save_rows;
        chunk_log_cut(log, 1, NULL, cut_is_done, &cut);
        assert_int_equal(rows_saved.count, 1);
        assert_int_equal(rows_saved.rows[0].state, VOLUME_DAMAGED);
        assert_int_equal(rows_saved.rows[0].sum.chunks, 0); /* a start opens it */
        chunk_log_cut_on(log, 0);
        UNTIL(&loop, cut);
        assert_true(log->open_lacking);
        cut = 0;
        chunk_log_cut(log, 0, NULL, cut_is_done, &cut);
        assert_int_equal(rows_saved.count, 0);
        chunk_log_cut_on(log, 0);
        UNTIL(&loop, cut);
        volumes_free(&rows_saved);
        free_log(&log);
}

static void test_cut_below_the_first_volume_that_is_kept_makes_that_one_expected_again(void **state)
{
        (void)state;
        int cut = 0;
        struct volume_sum sum = {.first_segment = 2, .last_segment = 3, .bytes = 1};
        volume_segments = 2;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 9);
        quiet(log);
        for (uint32_t n = 0; n < 3; n++)
                assert_int_equal(chunk_log_forget_volume(log, n), 0);
        chunk_log_expect_volume(log, 1, &sum);
        assert_null(volumes_get(&log->closed, 1));
        chunk_log_cut(log, 3, NULL, cut_is_done, &cut);
        UNTIL(&loop, cut);
        chunk_log_expect_volume(log, 1, &sum);
        assert_int_equal(volumes_get(&log->closed, 1)->state, VOLUME_LACKING);
        free_log(&log);
}

static void test_an_ended_log_goes_on_in_its_last_volume(void **state)
{
        (void)state;
        int again = 0;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 6);
        chunk_log_end(log);
        chunk_log_reopen(log, false, cut_is_done, &again); /* while the last one is being closed */
        UNTIL(&loop, again);
        assert_int_equal(again, 1);
        write_segments(log, 6, 9);
        for (unsigned n = 0; n < 9; n++)
                assert_stored(log, n);
        assert_int_equal(log->closed.count, 2);
        free_log(&log);
}

static void test_a_volume_that_is_gone_or_damaged_is_lacking_not_never_there(void **state)
{
        (void)state;
        struct segment_view v;
        char file[256];
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 14);
        quiet(log);
        struct volumes known = log->closed, none = {0};
        struct volume_row rows[3];
        memcpy(rows, known.rows, sizeof(rows));
        for (int i = 0; i < 3; i++)
                rows[i].index = NULL;
        known.rows = rows;
        free_log(&log);
        snprintf(file, sizeof(file), "%s/000001.mp4", folder);
        assert_int_equal(unlink(file), 0);
        snprintf(file, sizeof(file), "%s/000002.mp4", folder);
        int fd = open(file, O_RDWR);
        assert_int_equal(pwrite(fd, "damage", 6, (off_t)rows[2].sum.bytes / 2), 6);
        close(fd);
        snprintf(file, sizeof(file), "%s/000002.idx", folder);
        unlink(file); /* so that it is looked at */
        struct init_info info;
        struct buf *init;
        struct volumes_found found;
        assert_int_equal(volumes_read_init(folder, &info, &init), 0);
        struct volume_track all = {.dir = folder, .info = &info, .init = init, .segments = 4};
        assert_int_equal(volumes_find(&all, &known, true, &found), 0);
        log = chunk_log_new(&loop, folder, &info, init, 4, &found, false, false);
        for (unsigned n = 0; n < 4; n++)
                assert_stored(log, n);
        for (unsigned n = 4; n < 8; n++)
                assert_int_equal(chunk_log_segment(log, n, true, &v), SEGMENT_LACKING);
        assert_stored(log, 12);
        assert_int_equal(append(log, 14, 0, 0, 50), 0);
        free_log(&log);
        (void)none;
}

static void test_a_removed_volume_is_as_if_it_had_not_been(void **state)
{
        (void)state;
        struct segment_view v;
        int gone = 0;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 10);
        quiet(log);
        assert_int_equal(chunk_log_forget_volume(log, 0), 0);
        assert_int_equal(chunk_log_segment(log, 2, true, &v), SEGMENT_NONE); /* at once */
        assert_true(is_file("000000.mp4"));
        chunk_log_unlink_volume(log, 0, cut_is_done, &gone);
        UNTIL(&loop, gone);
        assert_int_equal(gone, 1);
        assert_false(is_file("000000.mp4") || is_file("000000.idx"));
        struct volume_sum sum;
        chunk_log_sum(log, &sum);
        assert_int_equal(sum.first_segment, 4);
        assert_int_equal(sum.samples, 6 * 25);
        assert_int_equal(chunk_log_forget_volume(log, 2), ERR_FULL); /* the open one */
        free_log(&log);
}

static void test_full_disk_at_a_volumes_beginning_leaves_the_one_before_open(void **state)
{
        (void)state;
        struct rlimit old, small;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 4);
        getrlimit(RLIMIT_FSIZE, &old);
        small = (struct rlimit){.rlim_cur = log->init_bytes->len + 100, .rlim_max = old.rlim_max};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &small);
        int status = append(log, 4, 0, 0, 1000);
        setrlimit(RLIMIT_FSIZE, &old);
        assert_int_equal(status, ERR_NOSPACE);
        assert_int_equal(log->open_number, 0);
        assert_false(log->failed);
        assert_false(is_file("000001.mp4") || is_file("000001.idx"));
        write_segments(log, 4, 9);
        for (unsigned n = 0; n < 9; n++)
                assert_stored(log, n);
        free_log(&log);
}

static uint32_t last_dropped[8];
static unsigned drops;

static void index_dropped(void *owner, uint32_t number)
{
        (void)owner;
        last_dropped[drops++] = number;
}

static void test_indexes_that_nobody_asks_for_make_room_within_the_bound(void **state)
{
        (void)state;
        static const unsigned many = 5;
        struct index_row row = {.len_bytes = 1};
        struct cached_index *c[5];
        for (unsigned i = 0; i < many; i++) {
                struct index ix = {.count = INDEX_CACHE_BYTES / 3 / sizeof(row), .cap = INDEX_CACHE_BYTES / 3 / sizeof(row)};
                ix.rows = mem_alloc(ix.cap * sizeof(row));
                c[i] = index_cache_add(c, i, index_dropped);
                index_cache_ready(c[i], &ix);
                if (i == 1)
                        index_cache_use(c[0]);
        }
        assert_int_equal(last_dropped[0], 1); /* the one that was unused longest went first */
        assert_int_equal(last_dropped[1], 0);
        assert_int_equal(drops, 3); /* two of them, and what each takes beside its rows, are the bound */
        index_cache_drop(&c[3]);
        index_cache_drop(&c[4]);
}

/* ---- a segment is the same for ever -------------------------------------------------------------------------------- */

static int append_stated(struct chunk_log *log, uint64_t start, unsigned samples, uint32_t duration, int64_t end_us, uint8_t flags)
{
        struct append x = {.a = {.segment = (uint32_t)(start / 90000), .chunk = (uint8_t)(start % 90000 / 18000), .flags = flags,
                                 .start_us = (int64_t)(start * 100 / 9), .end_us = end_us, .done = set_status,
                                 .bytes = fmp4_chunk(start, samples, duration, 50)}};
        chunk_log_append(log, &x.a);
        UNTIL(&loop, x.done);
        buf_unref(&x.a.bytes);
        return x.a.again ? 1 : x.status;
}

static void test_half_a_sample_is_given_only_where_the_boxes_guess(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        assert_int_equal(append_stated(log, 0, 5, 3600, 200000, 0), 0); /* stated as the boxes say */
        assert_int_equal(append_stated(log, 17000, 5, 3600, 0, 0), ERR_ORDER);
        assert_int_equal(append_stated(log, 18000, 5, 3600, 390000, 0), 0); /* the last picture's length is a guess */
        assert_int_equal(append_stated(log, 34000, 5, 3600, 0, 0), ERR_ORDER);
        assert_int_equal(append_stated(log, 35000, 5, 3600, 0, 0), 0);
        free_log(&log);
}

/* A writer that leaves says only that nothing of its own comes behind the last picture; where that would end was its guess. */
static void test_a_picture_sooner_than_a_writer_that_left_guessed_is_taken(void **state)
{
        (void)state;
        uint32_t segment;
        uint8_t chunk;
        int64_t end_us;
        struct chunk_log *log = open_log();
        assert_int_equal(append_stated(log, 0, 5, 3600, 161000, 0), 0); /* the last one is at 160 ms */
        index_next(&log->index, &segment, &chunk, &end_us);
        assert_in_range(end_us, 160500, 161000);
        assert_int_equal(append_stated(log, 14400, 1, 3600, 0, 0), 1); /* the last one again */
        assert_int_equal(append_stated(log, 14500, 1, 3600, 162000, 0), 0);
        free_log(&log);
}

/* One that comes in a segment which was complete before it was seen belongs to the next one, and who goes on is told both. */
static void test_a_picture_due_before_the_end_of_what_is_complete_has_its_place_behind_it(void **state)
{
        (void)state;
        uint32_t segment;
        uint8_t chunk;
        int64_t end_us;
        struct chunk_log *log = open_log();
        assert_int_equal(append_stated(log, 0, 2, 36000, 0, 0), 0);
        assert_int_equal(append_stated(log, 72300, 6, 3000, 1000000, PUT_LAST), 0); /* by its boxes to 1.0033 s */
        index_next(&log->index, &segment, &chunk, &end_us);
        assert_int_equal(segment, 1);
        assert_int_equal(chunk, 0);
        assert_in_range(end_us, 980000, 990000); /* behind the last picture, before where the next one was expected */
        assert_int_equal(append_stated(log, 89400, 1, 3000, 0, 0), 1);
        assert_int_equal(append_stated(log, 90000, 5, 3600, 0, 0), 0);
        free_log(&log);
}

static void test_nothing_comes_into_a_segment_that_is_complete(void **state)
{
        (void)state;
        struct segment_view before, after;
        uint32_t segment;
        uint8_t chunk;
        int64_t end_us;
        struct chunk_log *log = open_log();
        /* a variable frame rate: the last picture of the segment is thought to last for a long time */
        assert_int_equal(append_stated(log, 0, 2, 30000, 0, 0), 0);
        assert_int_equal(append_stated(log, 72000, 2, 10000, 0, PUT_LAST), 0);
        index_next(&log->index, &segment, &chunk, &end_us);
        assert_int_equal(segment, 1);
        assert_true(end_us >= 1000000); /* who goes on does not send the last picture again */
        assert_true(see(log, 0, &before) && before.complete);
        assert_int_equal(append_stated(log, 87000, 1, 3000, 0, 0), 1); /* counts as stored, whoever encoded what */
        assert_true(see(log, 0, &after));
        assert_int_equal(after.len_bytes, before.len_bytes);
        assert_int_equal(append_stated(log, 90000, 5, 3600, 0, 0), 0);
        free_log(&log);
}

/* A writer that has nothing more for a segment says so with its last chunk, wherever that ends: viewers were told that it is whole. */
static void test_nothing_comes_into_a_segment_that_was_said_to_be_over(void **state)
{
        (void)state;
        struct segment_view before, after;
        uint32_t segment;
        uint8_t chunk;
        int64_t end_us;
        struct chunk_log *log = open_log();
        assert_int_equal(append_stated(log, 0, 5, 3600, 200000, PUT_LAST), 0);
        assert_true(see(log, 0, &before) && before.complete);
        index_next(&log->index, &segment, &chunk, &end_us);
        assert_int_equal(segment, 1);
        assert_int_equal(chunk, 0);
        assert_int_equal(append_stated(log, 18000, 5, 3600, 400000, 0), 1); /* another writer's, who did not know */
        assert_true(see(log, 0, &after));
        assert_int_equal(after.len_bytes, before.len_bytes);
        assert_int_equal(append_stated(log, 90000, 5, 3600, 1200000, 0), 0);
        free_log(&log);
}

/* ---- a disk that cannot say that it has what was written ------------------------------------------------------------- */

static bool sync_fails;

/* In place of the C library's. Once it has failed the kernel counts what it could not write as written: the next one says nothing. */
int fdatasync(int fd)
{
        if (!sync_fails)
                return (int)syscall(SYS_fdatasync, fd);
        errno = EIO;
        return -1;
}

static void test_after_a_failed_sync_nothing_is_appended_until_the_files_are_read_again(void **state)
{
        (void)state;
        struct segment_view v;
        struct chunk_log *log = open_log();
        log->sync_segments = true;
        for (unsigned k = 0; k < 4; k++)
                assert_int_equal(append(log, 0, k, 0, 50), 0);
        sync_fails = true;
        int status = append(log, 0, 4, PUT_LAST, 50);
        sync_fails = false;
        assert_int_equal(status, ERR_IO);
        assert_int_equal(append(log, 0, 4, PUT_LAST, 50), ERR_IO);
        assert_int_equal(append(log, 1, 0, 0, 50), ERR_IO);
        assert_true(see(log, 0, &v)); /* readers go on */
        free_log(&log);
        log = open_log();
        assert_int_equal(log->index.end_ticks, 4 * 18000); /* what was acknowledged */
        assert_int_equal(append(log, 0, 4, PUT_LAST, 50), 0);
        free_log(&log);
}

static void test_a_volume_that_cannot_be_synced_when_it_is_closed_closes_the_log(void **state)
{
        (void)state;
        volume_segments = 2;
        struct chunk_log *log = open_log();
        for (unsigned i = 0; i < 10; i++)
                assert_int_equal(append(log, i / 5, i % 5, 0, 50), 0);
        sync_fails = true;
        assert_int_equal(append(log, 2, 0, 0, 50), 0); /* the first of the next one; the one before is closed behind its back */
        UNTIL(&loop, !chunk_log_busy(log));
        sync_fails = false;
        assert_int_equal(append(log, 2, 1, 0, 50), ERR_IO);
        free_log(&log);
        log = open_log();
        assert_int_equal(append(log, 2, 1, 0, 50), 0);
        free_log(&log);
}

/* What the disk changed in the open volume before a start, which looks at the last two segments only, once was taken into the checksum
 * with which the volume is closed. From there on the scrubber, the peer's fills and every comparison found it right. */
static void test_damage_in_an_open_volume_is_not_sealed_by_the_checksum_that_closes_it(void **state)
{
        (void)state;
        struct segment_view v;
        uint8_t byte;
        volume_segments = 6;
        struct chunk_log *log = open_log();
        for (unsigned i = 0; i < 25; i++)
                assert_int_equal(append(log, i / 5, i % 5, 0, 50), 0);
        assert_true(see(log, 0, &v));
        free_log(&log);
        int fd = open(path, O_RDWR);
        assert_int_equal(pread(fd, &byte, 1, (off_t)(v.offset + v.len_bytes) - 1), 1); /* the last of segment 0's last mdat */
        byte ^= 0xff;
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)(v.offset + v.len_bytes) - 1), 1);
        close(fd);
        log = open_log();
        for (unsigned i = 25; i < 31; i++)
                assert_int_equal(append(log, i / 5, i % 5, 0, 50), 0);
        UNTIL(&loop, !chunk_log_busy(log));
        struct volume_row *row = volumes_get(&log->closed, 0);
        assert_non_null(row);
        assert_int_equal(row->state, VOLUME_DAMAGED);
        assert_int_equal(row->sum.crc, 0);
        assert_false(log->failed);
        free_log(&log);
}

/* A start, and then a viewer, once gave it its last record: the next start, if what it had noted was not saved, took it for whole. */
static void test_a_volume_that_was_left_before_its_end_is_not_made_whole_by_looking_at_it(void **state)
{
        (void)state;
        struct segment_view v;
        volume_segments = 2;
        struct chunk_log *log = open_log();
        for (unsigned k = 0; k < 5; k++)
                assert_int_equal(append(log, 0, k, 0, 50), 0);
        chunk_log_skip(log);
        assert_int_equal(append(log, 4, 0, 0, 50), 0);
        free_log(&log);
        for (int i = 0; i < 3; i++) {
                log = open_log();
                struct volume_row *row = volumes_get(&log->closed, 0);
                assert_int_equal(row->state, VOLUME_DAMAGED);
                assert_int_equal(row->sum.crc, 0);
                assert_true(see(log, 0, &v));
                assert_int_equal(chunk_log_segment(log, 1, true, &v), SEGMENT_LACKING);
                assert_int_equal(row->state, VOLUME_DAMAGED);
                assert_int_equal(row->sum.crc, 0);
                free_log(&log);
        }
}

/* As when the disk was full just then: the checksum is not known, which once was compared as if it were one. */
static void test_a_volume_whose_last_record_could_not_be_written_gets_it_when_it_is_read(void **state)
{
        char idx[128];
        (void)state;
        struct segment_view v;
        volume_segments = 2;
        struct chunk_log *log = open_log();
        for (unsigned i = 0; i < 11; i++)
                assert_int_equal(append(log, i / 5, i % 5, 0, 50), 0);
        UNTIL(&loop, !chunk_log_busy(log));
        struct volume_row *row = volumes_get(&log->closed, 0);
        uint32_t crc = row->sum.crc;
        assert_true(crc);
        row->sum.crc = 0;
        index_cache_drop(&row->index);
        snprintf(idx, sizeof(idx), "%s/000000.idx", folder);
        assert_int_equal(truncate(idx, (off_t)volume_record_offset(10)), 0);
        for (unsigned n = 12; n < 40; n++) /* so that the segment is in memory no more */
                assert_int_equal(append(log, n, 0, 0, 50), 0);
        assert_true(see(log, 0, &v));
        row = volumes_get(&log->closed, 0);
        assert_int_equal(row->state, VOLUME_HERE);
        assert_int_equal(row->sum.crc, crc);
        free_log(&log);
}

/* ---- volumes in the archive --------------------------------------------------------------------------------------- */

/* Its file goes; what it held is kept under the name that a fetch gives it, which nobody looks at. */
static struct volume_row archive(struct chunk_log *log, uint32_t number)
{
        int gone = 0;
        quiet(log);
        struct volume_row row = *volumes_get(&log->closed, number), other = row;
        other.sum.crc++;
        assert_false(chunk_log_copied(log, &other));
        assert_false(chunk_log_archive(log, &row)); /* nobody says that the archive has it */
        assert_true(chunk_log_copied(log, &row));
        row = *volumes_get(&log->closed, number);
        char *mp4 = volume_path(folder, number, "mp4"), *kept = volume_path(folder, number, VOLUME_FETCHED);
        assert_int_equal(link(mp4, kept), 0);
        log->rereading = true; /* another log is about to stand here */
        assert_false(chunk_log_archive(log, &row));
        log->rereading = false;
        assert_true(chunk_log_archive(log, &row));
        chunk_log_drop_file(log, number, cut_is_done, &gone);
        while (!gone)
                uv_run(&loop, UV_RUN_ONCE);
        assert_int_equal(gone, 1);
        assert_int_equal(access(mp4, F_OK), -1);
        free(mp4);
        free(kept);
        return *volumes_get(&log->closed, number);
}

static void bring(struct chunk_log *log, uint32_t number)
{
        int here = 0;
        struct volume_row row = *volumes_get(&log->closed, number);
        assert_ptr_equal(chunk_log_wanted(log, 0), volumes_get(&log->closed, number));
        assert_true(chunk_log_bring_file(log, &row, cut_is_done, &here));
        assert_false(chunk_log_bring_file(log, &row, cut_is_done, &here)); /* one at a time */
        while (!here)
                uv_run(&loop, UV_RUN_ONCE);
        assert_int_equal(here, 1);
        assert_null(chunk_log_wanted(log, 0));
}

static int cut_to(struct chunk_log *log, uint32_t segment)
{
        int cut = 0;
        chunk_log_cut(log, segment, NULL, cut_is_done, &cut);
        while (!cut)
                uv_run(&loop, UV_RUN_ONCE);
        return cut;
}

static void test_a_volume_in_the_archive_counts_as_any_and_is_read_by_its_index_alone(void **state)
{
        (void)state;
        struct segment_view v;
        struct volume_sum before, after;
        struct archive_sum sum = {0};
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 26);
        assert_true(see(log, 1, &v));
        uint64_t offset = v.offset;
        assert_false(v.archived);
        assert_true(chunk_log_sum(log, &before));
        struct volume_row row = archive(log, 0);
        assert_true(chunk_log_sum(log, &after));
        assert_int_equal(after.bytes, before.bytes);
        assert_int_equal(after.samples, before.samples);
        assert_int_equal(after.first_segment, 0);
        assert_int_equal(chunk_log_lacking(log), 0);
        chunk_log_archive_sum(log, &sum);
        assert_int_equal(sum.copied, 0);
        assert_int_equal(sum.archived, row.sum.bytes);
        index_cache_drop(&volumes_get(&log->closed, 0)->index);
        assert_true(see(log, 1, &v));
        assert_true(v.archived && v.complete);
        assert_int_equal(v.volume, 0);
        assert_int_equal(v.offset, offset);
        assert_false(chunk_log_hide_volume(log, 0, NULL));
        free_log(&log);
}

static uint32_t wanted_at(const struct chunk_log *log, int64_t now)
{
        const struct volume_row *row = chunk_log_wanted(log, now);
        return row ? row->number : UINT32_MAX;
}

static void test_a_volume_that_cannot_be_brought_lets_the_others_have_their_turn(void **state)
{
        (void)state;
        struct segment_view v;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 26);
        for (uint32_t n = 0; n < 3; n++) {
                archive(log, n);
                index_cache_drop(&volumes_get(&log->closed, n)->index);
                char *idx = volume_path(folder, n, "idx");
                assert_int_equal(unlink(idx), 0);
                free(idx);
                assert_int_equal(chunk_log_segment(log, 4 * n, true, &v), SEGMENT_LOADING);
                quiet(log);
        }
        assert_int_equal(wanted_at(log, 100), 2);
        chunk_log_not_brought(log, 2, 110);
        assert_int_equal(wanted_at(log, 100), 1);
        chunk_log_not_brought(log, 1, 120);
        bring(log, 0);
        assert_int_equal(wanted_at(log, 119), UINT32_MAX);
        assert_int_equal(wanted_at(log, 120), 2);
        chunk_log_not_brought(log, 2, 130);
        assert_int_equal(wanted_at(log, 120), 1);
        free_log(&log);
}

static void test_an_index_that_is_gone_is_no_absence_of_what_is_in_the_archive(void **state)
{
        (void)state;
        struct segment_view v;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 26);
        archive(log, 1);
        index_cache_drop(&volumes_get(&log->closed, 1)->index);
        char *idx = volume_path(folder, 1, "idx");
        assert_int_equal(unlink(idx), 0);
        free(idx);
        assert_int_equal(chunk_log_segment(log, 5, true, &v), SEGMENT_LOADING);
        quiet(log);
        assert_int_equal(volumes_get(&log->closed, 1)->state, VOLUME_ARCHIVED);
        bring(log, 1);
        assert_stored(log, 5);
        assert_true(see(log, 5, &v) && !v.archived);
        free_log(&log);
}

static void test_a_cut_waits_until_what_it_goes_on_with_is_back_from_the_archive(void **state)
{
        (void)state;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 14);
        archive(log, 0);
        archive(log, 1);
        archive(log, 2);
        assert_int_equal(cut_to(log, 13), 1); /* that is in the open volume */
        assert_int_equal(cut_to(log, 12), ERR_NOT_YET); /* all of that goes: the one before is gone on with */
        bring(log, 2);
        assert_int_equal(cut_to(log, 12), 1);
        assert_int_equal(log->index.end_ticks, 12 * UINT64_C(90000));
        assert_int_equal(cut_to(log, 5), ERR_NOT_YET);
        for (unsigned n = 8; n < 12; n++)
                assert_stored(log, n); /* nothing happened */
        bring(log, 1);
        assert_int_equal(cut_to(log, 5), 1);
        write_segments(log, 5, 14);
        for (unsigned n = 4; n < 14; n++)
                assert_stored(log, n);
        assert_int_equal(volumes_get(&log->closed, 0)->state, VOLUME_ARCHIVED);
        struct volume_sum sum;
        assert_true(chunk_log_sum(log, &sum));
        assert_int_equal(sum.samples, 14 * 25);
        free_log(&log);
}

static void test_an_ended_log_whose_end_is_in_the_archive_is_opened_when_that_is_back(void **state)
{
        (void)state;
        int again = 0;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 6);
        chunk_log_end(log);
        archive(log, 1);
        chunk_log_reopen(log, false, cut_is_done, &again);
        assert_int_equal(again, ERR_NOT_YET);
        assert_true(log->ended);
        bring(log, 1);
        again = 0;
        chunk_log_reopen(log, false, cut_is_done, &again);
        while (!again)
                uv_run(&loop, UV_RUN_ONCE);
        assert_int_equal(again, 1);
        write_segments(log, 6, 9);
        for (unsigned n = 0; n < 9; n++)
                assert_stored(log, n);
        free_log(&log);
}

/* As a crash leaves it: between saving the row and unlinking the file, or with a file that is not what it was. */
static void test_an_archived_volume_whose_file_is_there_is_here_if_the_file_is_what_it_was(void **state)
{
        (void)state;
        struct volumes known = {0};
        struct volumes_found found;
        struct init_info info;
        struct buf *init;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 14);
        for (uint32_t i = 0; i < 3; i++) {
                struct volume_row row = archive(log, i);
                row.index = NULL;
                volumes_insert(&known, &row);
        }
        free_log(&log);
        char *whole[2] = {volume_path(folder, 1, VOLUME_FETCHED), volume_path(folder, 1, "mp4")};
        char *other[2] = {volume_path(folder, 2, VOLUME_FETCHED), volume_path(folder, 2, "mp4")};
        assert_int_equal(rename(whole[0], whole[1]), 0);
        assert_int_equal(rename(other[0], other[1]), 0);
        assert_int_equal(truncate(other[1], 3000), 0);
        assert_int_equal(volumes_read_init(folder, &info, &init), 0);
        struct volume_track all = {.dir = folder, .info = &info, .init = init, .segments = 4};
        assert_int_equal(volumes_find(&all, &known, true, &found), 0);
        assert_true(found.open);
        assert_int_equal(found.number, 3);
        assert_int_equal(volumes_get(&found.closed, 0)->state, VOLUME_ARCHIVED);
        assert_int_equal(volumes_get(&found.closed, 1)->state, VOLUME_HERE);
        assert_true(volumes_get(&found.closed, 1)->copied);
        assert_int_equal(volumes_get(&found.closed, 2)->state, VOLUME_ARCHIVED);
        assert_int_equal(volumes_get(&found.closed, 2)->sum.crc, volumes_get(&known, 2)->sum.crc);
        volumes_found_free(&found);
        volumes_free(&known);
        buf_unref(&init);
        for (int i = 0; i < 2; i++)
                free(whole[i]), free(other[i]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_a_volume_that_was_left_before_its_end_is_not_made_whole_by_looking_at_it, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_a_volume_whose_last_record_could_not_be_written_gets_it_when_it_is_read, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_nothing_comes_into_a_segment_that_was_said_to_be_over, setup, teardown),
                cmocka_unit_test_setup_teardown(test_after_a_failed_sync_nothing_is_appended_until_the_files_are_read_again, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_a_volume_that_cannot_be_synced_when_it_is_closed_closes_the_log, setup, teardown),
                cmocka_unit_test_setup_teardown(test_damage_in_an_open_volume_is_not_sealed_by_the_checksum_that_closes_it, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_next_chunk_or_a_later_one_is_stored, setup, teardown),
                cmocka_unit_test_setup_teardown(test_same_chunk_again_is_stored_but_not_written, setup, teardown),
                cmocka_unit_test_setup_teardown(test_chunk_is_taken_only_behind_the_one_it_goes_on_from, setup, teardown),
                cmocka_unit_test_setup_teardown(test_hash_that_is_not_known_refuses_nobody, setup, teardown),
                cmocka_unit_test_setup_teardown(test_cut_forgets_a_segment_and_all_behind_it_and_goes_on_from_there, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_what_a_cut_segment_begins_with_elsewhere_too_stays, setup, teardown),
                cmocka_unit_test_setup_teardown(test_rows_of_what_is_cut_are_gone_before_its_files_are, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_volume_that_is_not_whole_is_so_too_after_a_cut_that_did_not_come_to_its_end, setup, teardown),
                cmocka_unit_test_setup_teardown(test_cut_below_the_first_volume_that_is_kept_makes_that_one_expected_again, setup, teardown),
                cmocka_unit_test_setup_teardown(test_cut_to_the_beginning_leaves_no_volume, setup, teardown),
                cmocka_unit_test_setup_teardown(test_overlapping_chunk_is_out_of_order, setup, teardown),
                cmocka_unit_test_setup_teardown(test_chunk_whose_time_is_not_what_was_said_is_a_conflict, setup, teardown),
                cmocka_unit_test_setup_teardown(test_garbage_is_refused_and_changes_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_reader_never_sees_a_chunk_before_it_is_in_the_file, setup, teardown),
                cmocka_unit_test_setup_teardown(test_queued_chunks_are_written_in_order_and_fenced_ones_are_not, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_segment_in_memory_grows_without_moving_what_readers_hold, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_full_disk_answers_no_space_and_harms_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_ended_log_takes_no_more_and_its_last_segment_is_complete, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_kill_in_mid_write_loses_nothing_that_was_answered, setup, teardown),
                cmocka_unit_test_setup_teardown(test_each_volume_is_a_file_and_all_segments_are_found, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_volume_that_is_closed_has_the_checksum_of_its_file, setup, teardown),
                cmocka_unit_test_setup_teardown(test_cut_goes_back_over_volumes, setup, teardown),
                cmocka_unit_test_setup_teardown(test_an_ended_log_goes_on_in_its_last_volume, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_volume_that_is_gone_or_damaged_is_lacking_not_never_there, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_removed_volume_is_as_if_it_had_not_been, setup, teardown),
                cmocka_unit_test_setup_teardown(test_full_disk_at_a_volumes_beginning_leaves_the_one_before_open, setup, teardown),
                cmocka_unit_test_setup_teardown(test_indexes_that_nobody_asks_for_make_room_within_the_bound, setup, teardown),
                cmocka_unit_test_setup_teardown(test_half_a_sample_is_given_only_where_the_boxes_guess, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_picture_sooner_than_a_writer_that_left_guessed_is_taken, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_picture_due_before_the_end_of_what_is_complete_has_its_place_behind_it, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_nothing_comes_into_a_segment_that_is_complete, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_volume_in_the_archive_counts_as_any_and_is_read_by_its_index_alone, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_volume_that_cannot_be_brought_lets_the_others_have_their_turn, setup, teardown),
                cmocka_unit_test_setup_teardown(test_an_index_that_is_gone_is_no_absence_of_what_is_in_the_archive, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_cut_waits_until_what_it_goes_on_with_is_back_from_the_archive, setup, teardown),
                cmocka_unit_test_setup_teardown(test_an_ended_log_whose_end_is_in_the_archive_is_opened_when_that_is_back, setup, teardown),
                cmocka_unit_test_setup_teardown(test_an_archived_volume_whose_file_is_there_is_here_if_the_file_is_what_it_was, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
