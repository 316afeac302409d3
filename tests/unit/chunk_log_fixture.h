/* chunk_log_fixture.h - a log in a folder of its own, on a loop of its own, and who writes and reads it. Include after cmocka.h.
 *
 * A test sets volume_segments before open_log(), writes and sees, and ends with free_log(). */
#ifndef TESTS_CHUNK_LOG_FIXTURE_H
#define TESTS_CHUNK_LOG_FIXTURE_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "originD/log/chunk_log.h"
#include "originD/log/disk.h"
#include "tests/unit/origin_fmp4.h"
#include "tests/unit/scratch.h"
#include "tests/unit/until.h"

static uv_loop_t loop;
static char folder[96], path[112];

static uint32_t volume_segments;

/* What is on the disk, as a start finds it that knows these rows; the caller's to free, as is *init. */
static inline struct volumes_found find_volumes(const struct volumes *known, struct init_info *info, struct buf **init)
{
        struct volumes_found found;
        assert_int_equal(volumes_read_init(folder, info, init), 0);
        struct volume_track all = {.dir = folder, .info = info, .init = *init, .segments = volume_segments};
        assert_int_equal(volumes_find(&all, known, true, &found), 0);
        return found;
}

static inline struct chunk_log *open_log_with(const struct volumes *known)
{
        struct init_info info;
        struct buf *init = NULL;
        struct volumes_found found = find_volumes(known, &info, &init);
        return chunk_log_new(&loop, folder, &info, init, volume_segments, CHUNK_MS, &found, false, false);
}

static inline struct chunk_log *open_log(void)
{
        return open_log_with(&(struct volumes){0});
}

static inline void clear(void)
{
        DIR *d = opendir(folder);
        struct dirent *e;
        while ((e = readdir(d)))
                if (e->d_name[0] != '.')
                        unlinkat(dirfd(d), e->d_name, 0);
        closedir(d);
}

static inline void begin(void)
{
        struct buf *init = fmp4_video_init();
        assert_int_equal(volumes_begin(folder, init), 0);
        buf_unref(&init);
}

static inline int setup(void **state)
{
        (void)state;
        uv_loop_init(&loop);
        scratch_dir(folder, sizeof(folder));
        snprintf(path, sizeof(path), "%s/000000.mp4", folder);
        volume_segments = 600;
        begin();
        return 0;
}

static inline int teardown(void **state)
{
        (void)state;
        uv_run(&loop, UV_RUN_DEFAULT);
        disk_stop();
        assert_int_equal(uv_loop_close(&loop), 0);
        clear();
        return rmdir(folder);
}

/* Ends it first, so that nothing is on its way. */
static inline void free_log(struct chunk_log **log)
{
        UNTIL(&loop, !chunk_log_busy(*log));
        chunk_log_free(log);
        uv_run(&loop, UV_RUN_DEFAULT);
}

/* What is of the segment; reads an index for it if need be. */
static inline bool see(struct chunk_log *log, uint32_t segment, struct segment_view *v)
{
        enum segment_state st;
        UNTIL(&loop, (st = chunk_log_segment(log, segment, true, v)) != SEGMENT_LOADING);
        return st == SEGMENT_HERE;
}

struct append {
        struct chunk_append a;
        int status, done;
};

static inline void set_status(struct chunk_append *a, int status)
{
        struct append *x = (struct append *)a;
        x->status = status;
        x->done++;
}

static inline void start(struct chunk_log *log, struct append *x, unsigned n, unsigned k, uint8_t flags, struct buf *bytes)
{
        *x = (struct append){.a = {.segment = n, .chunk = (uint8_t)k, .flags = flags, .done = set_status, .bytes = bytes,
                                   .start_us = n * INT64_C(1000000) + k * INT64_C(200000)}};
        chunk_log_append(log, &x->a);
}

/* Appends 25 fps video and waits for the answer. */
static inline int append(struct chunk_log *log, unsigned n, unsigned k, uint8_t flags, uint32_t size)
{
        struct append x;
        struct buf *b = fmp4_video_chunk(n, k, size);
        start(log, &x, n, k, flags, b);
        UNTIL(&loop, x.done);
        buf_unref(&b);
        assert_int_equal(x.done, 1);
        return x.status;
}

static inline uint64_t file_bytes(void)
{
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        return (uint64_t)st.st_size;
}

static inline void cut_is_done(void *arg, int status)
{
        *(int *)arg = status ? status : 1;
}

/* Waits for it: 1, or why not. */
static inline int cut_to(struct chunk_log *log, uint32_t segment)
{
        int cut = 0;
        chunk_log_cut(log, segment, NULL, cut_is_done, &cut);
        UNTIL(&loop, cut);
        return cut;
}

static inline bool is_file(const char *name)
{
        char file[256];
        snprintf(file, sizeof(file), "%s/%s", folder, name);
        return access(file, F_OK) == 0;
}

static inline void write_segments(struct chunk_log *log, unsigned from, unsigned to)
{
        for (unsigned n = from; n < to; n++)
                for (unsigned k = 0; k < 5; k++)
                        assert_int_equal(append(log, n, k, k == 4 ? PUT_LAST : 0, 50), 0);
}

static inline void quiet(struct chunk_log *log)
{
        UNTIL(&loop, !chunk_log_busy(log));
}

/* The bytes that the file has of the segment are those that were put. */
static inline void assert_stored(struct chunk_log *log, unsigned n)
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

#endif
