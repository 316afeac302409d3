/* store_bench FOLDER [chunks [bytes]]: what a track's log costs beside write(2) of the same bytes: appends a second, one after the
 * other as PUTs of a track come; then a start over what was written, and segments read whose volume and index nobody has in memory.
 * Prints one line each. The folder is made, and what was in it of an earlier run is removed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/err.h"
#include "originD/log/chunk_log.h"
#include "originD/log/disk.h"
#include "tests/unit/origin_fmp4.h"

#define SEGMENTS 600 /* of a volume */

static uv_loop_t loop;
static int result, done;

static void appended(struct chunk_append *a, int status)
{
        (void)a;
        result = status;
        done = 1;
}

static void must(int rc, const char *what)
{
        if (rc) {
                fprintf(stderr, "%s: %s\n", what, err_text(rc));
                exit(1);
        }
}

static struct chunk_log *open_log(const char *folder)
{
        struct init_info info;
        struct buf *init = NULL;
        struct volumes none = {0};
        struct volumes_found found;
        must(volumes_read_init(folder, &info, &init), "init");
        struct volume_track t = {.dir = folder, .info = &info, .init = init, .segments = SEGMENTS};
        must(volumes_find(&t, &none, true, &found), "find");
        return chunk_log_new(&loop, folder, &info, init, SEGMENTS, &found, false, false);
}

/* How long it took, without making the bytes. */
static int64_t append(struct chunk_log *log, unsigned i, uint32_t sample_bytes)
{
        struct chunk_append a = {.segment = i / 5, .chunk = (uint8_t)(i % 5), .start_us = i * INT64_C(200000), .done = appended,
                                 .end_us = (i + 1) * INT64_C(200000), .flags = i % 5 == 4 ? PUT_LAST : 0};
        a.bytes = fmp4_video_chunk(i / 5, i % 5, sample_bytes);
        done = 0;
        int64_t began = clock_mono_us();
        chunk_log_append(log, &a);
        while (!done)
                uv_run(&loop, UV_RUN_ONCE);
        must(result, "append");
        buf_unref(&a.bytes);
        return clock_mono_us() - began;
}

static void close_log(struct chunk_log **log)
{
        while (chunk_log_busy(*log))
                uv_run(&loop, UV_RUN_ONCE);
        chunk_log_free(log);
        uv_run(&loop, UV_RUN_DEFAULT);
}

static void told(const char *what, unsigned n, int64_t us, uint64_t bytes)
{
        printf("%-28s %8u in %8.1f ms  %9.0f/s  %8.1f MB/s\n", what, n, (double)us / 1000, n * 1e6 / (double)us, (double)bytes / (double)us);
}

static void plain_writes(const char *folder, unsigned chunks, uint32_t sample_bytes)
{
        char *path = mem_printf("%s/plain", folder);
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
        uint64_t bytes = 0;
        int64_t us = 0;
        for (unsigned i = 0; i < chunks; i++) {
                struct buf *b = fmp4_video_chunk(i / 5, i % 5, sample_bytes);
                int64_t began = clock_mono_us();
                if (write(fd, b->data, b->len) != (ssize_t)b->len)
                        must(ERR_IO, "write");
                us += clock_mono_us() - began;
                bytes += b->len;
                buf_unref(&b);
        }
        told("write(2)", chunks, us, bytes);
        close(fd);
        unlink(path);
        free(path);
}

static void drop_from_memory(const char *folder, unsigned volumes)
{
        for (unsigned n = 0; n < volumes; n++)
                for (int i = 0; i < 2; i++) {
                        char *path = volume_path(folder, n, i ? "mp4" : "idx");
                        int fd = open(path, O_RDONLY);
                        if (fd >= 0) {
                                fdatasync(fd);
                                posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
                                close(fd);
                        }
                        free(path);
                }
}

static void cold_seeks(struct chunk_log *log, const char *folder, unsigned segments)
{
        unsigned n = 0;
        uint64_t bytes = 0;
        int64_t began = clock_mono_us(), worst = 0;
        for (unsigned s = SEGMENTS / 2; s + SEGMENTS < segments; s += SEGMENTS, n++) {
                struct segment_view v;
                int64_t from = clock_mono_us();
                enum segment_state st;
                while ((st = chunk_log_segment(log, s, true, &v)) == SEGMENT_LOADING)
                        uv_run(&loop, UV_RUN_ONCE);
                if (st != SEGMENT_HERE)
                        must(ERR_NOT_FOUND, "segment");
                char *path = volume_path(folder, v.volume, "mp4");
                struct buf *b = buf_new(v.len_bytes);
                int fd = open(path, O_RDONLY);
                if (pread(fd, b->data, b->len, (off_t)v.offset) != (ssize_t)b->len)
                        must(ERR_IO, "read");
                close(fd);
                bytes += b->len;
                buf_unref(&b);
                free(path);
                worst = clock_mono_us() - from > worst ? clock_mono_us() - from : worst;
        }
        if (n)
                told("cold seeks", n, clock_mono_us() - began, bytes);
        if (n)
                printf("%-28s %8.1f ms\n", "slowest cold seek", (double)worst / 1000);
}

int main(int argc, char **argv)
{
        if (argc < 2) {
                fprintf(stderr, "usage: store_bench FOLDER [chunks [bytes]]\n");
                return 2;
        }
        char *folder = mem_printf("%s/track", argv[1]);
        unsigned chunks = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 20000;
        uint32_t sample_bytes = (argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 60000) / 5;
        struct buf *init = fmp4_video_init();
        (void)disk_remove_now(folder);
        (void)mkdir(argv[1], 0755);
        must(volumes_begin(folder, init), "begin");
        buf_unref(&init);
        uv_loop_init(&loop);
        plain_writes(folder, chunks, sample_bytes);
        struct chunk_log *log = open_log(folder);
        struct volume_sum sum;
        int64_t us = 0;
        for (unsigned i = 0; i < chunks; i++)
                us += append(log, i, sample_bytes);
        chunk_log_sum(log, &sum);
        told("appends", chunks, us, sum.bytes);
        struct volumes known = {0};
        for (size_t i = 0; i < log->closed.count; i++) {
                struct volume_row row = log->closed.rows[i];
                row.index = NULL;
                volumes_insert(&known, &row);
        }
        close_log(&log);
        drop_from_memory(folder, chunks / 5 / SEGMENTS + 1);
        int64_t began = clock_mono_us();
        struct init_info info;
        struct volumes_found found;
        must(volumes_read_init(folder, &info, &init), "init");
        struct volume_track t = {.dir = folder, .info = &info, .init = init, .segments = SEGMENTS};
        must(volumes_find(&t, &known, true, &found), "find");
        log = chunk_log_new(&loop, folder, &info, init, SEGMENTS, &found, false, false);
        told("start of the track, cold", 1, clock_mono_us() - began, 0);
        cold_seeks(log, folder, chunks / 5);
        close_log(&log);
        volumes_free(&known);
        disk_stop();
        uv_loop_close(&loop);
        int rc = disk_remove_now(folder);
        free(folder);
        return rc != 0;
}
