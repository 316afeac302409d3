/* volume_fixture.h - a folder for one volume of a track of pictures, which is made, and its files. One test program each; include after
 * cmocka.h. */
#ifndef TESTS_VOLUME_FIXTURE_H
#define TESTS_VOLUME_FIXTURE_H

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/crc32c.h"
#include "common/err.h"
#include "originD/log/volumes.h"
#include "tests/unit/origin_fmp4.h"
#include "tests/unit/scratch.h"

#define SEGMENTS 4
#define CHUNKS (SEGMENTS * 5)

static char folder[128];
static struct init_info info;
static struct buf *init;
static struct volume_track track;
static uint64_t begins[CHUNKS + 1]; /* where chunk i lies in the mp4; the last: its end */

static inline struct volume_record record_of(const struct buf *chunk, uint64_t at, unsigned n, unsigned k)
{
        return (struct volume_record){.offset = at, .len_bytes = (uint32_t)chunk->len, .crc = crc32c(0, chunk->data, chunk->len),
                                      .segment = n, .chunk = (uint8_t)k, .samples = 5, .start_ticks = n * UINT64_C(90000) + k * 18000,
                                      .duration_ticks = 18000};
}

/* Makes volume 0 with `count` chunks, left open or closed. */
static inline void make(unsigned count, bool closed)
{
        struct volume_files f;
        struct volume_sum sum = {.chunks = count, .samples = count * 5, .media_ticks = count * UINT64_C(18000)};
        bool unsure;
        assert_int_equal(volume_create(&track, 0, false, &f), 0);
        uint64_t at = init->len;
        for (unsigned i = 0; i < count; i++) {
                struct buf *b = fmp4_video_chunk(i / 5, i % 5, 30);
                struct volume_record r = record_of(b, at, i / 5, i % 5);
                begins[i] = at;
                assert_int_equal(volume_append(&f, b, &r, i, false, &unsure), 0);
                at += b->len;
                buf_unref(&b);
        }
        begins[count] = sum.bytes = at;
        if (closed) {
                assert_int_equal(volume_checksum(&track, 0, &f, &sum), 0);
                assert_int_equal(volume_close(&f, &sum), 0);
        } else {
                volume_files_close(&f);
        }
}

static inline struct buf *read_file(const char *name)
{
        char path[300];
        struct stat st;
        snprintf(path, sizeof(path), "%s/%s", folder, name);
        int fd = open(path, O_RDONLY);
        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &st), 0);
        struct buf *b = buf_new((size_t)st.st_size);
        assert_int_equal(read(fd, b->data, b->len), b->len);
        close(fd);
        return b;
}

static inline void write_file(const char *name, const struct buf *b, size_t len)
{
        char path[300];
        snprintf(path, sizeof(path), "%s/%s", folder, name);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        assert_int_equal(write(fd, b->data, len), len);
        close(fd);
}

static inline bool there(const char *name)
{
        char path[300];
        snprintf(path, sizeof(path), "%s/%s", folder, name);
        return access(path, F_OK) == 0;
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

static inline int setup(void **state)
{
        (void)state;
        scratch_dir(folder, sizeof(folder));
        init = fmp4_video_init();
        assert_int_equal(box_init_parse(init->data, init->len, &info), 0);
        track = (struct volume_track){.dir = folder, .info = &info, .init = init, .segments = 600};
        return 0;
}

static inline int teardown(void **state)
{
        (void)state;
        clear();
        buf_unref(&init);
        return rmdir(folder);
}

static inline uint32_t chunks_in(bool append, enum volume_check check, struct volume_found *found)
{
        assert_int_equal(append ? volume_open(&track, 0, check, found) : volume_look(&track, 0, check, NULL, found), 0);
        volume_files_close(&found->files);
        uint32_t n = found->index.chunks;
        return n;
}

#endif
