/* archive_volume - one call of originD/archive/archive.h, for tests with an object store beside them.
 *
 *   ARCHIVE='{"endpoint": …}' archive_volume [--stop-after MS] VERB …
 *     put NAME MP4 IDX [CRC32C]       the checksum to be told, if not the file's
 *     read NAME FROM LEN TO_FILE MP4  what is to come of it is what the file has there
 *     remove BEGIN [BELOW]            all objects whose names begin so, of volumes of smaller numbers only
 * --stop-after closes the archive in the midst of it. Prints "ok" or "ERROR: words", how many bytes went over the network, and how long
 * it took. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "common/clock.h"
#include "common/crc32c.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/archive/archive.h"
#include "originD/log/records.h"

static struct archive *archive;
static struct archive_stats stats;
static uv_timer_t stop_timer;
static struct buf *into;
static const char *to_file;
static int64_t began_us;
static int result;

static void die(const char *what, const char *why)
{
        fprintf(stderr, "archive_volume: %s: %s\n", what, why);
        exit(2);
}

static void closed(void *arg)
{
        (void)arg;
        printf("closed\n");
}

static void end(void)
{
        uv_close((uv_handle_t *)&stop_timer, NULL);
        if (!archive)
                return;
        stats = archive_stats(archive);
        archive_close(&archive, closed, NULL);
}

static void done(void *arg, int err, const char *words)
{
        (void)arg;
        result = err;
        if (err)
                printf("%s: %s\n", err_text(err), words);
        else
                printf("ok\n");
        printf("took_ms %" PRId64 "\n", (clock_mono_us() - began_us) / US_PER_MS);
        if (!err && into) {
                int fd = open(to_file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
                if (fd < 0 || write(fd, into->data, into->len) != (ssize_t)into->len)
                        die(to_file, "cannot be written");
                close(fd);
        }
        if (!uv_is_closing((uv_handle_t *)&stop_timer))
                end();
}

static void on_stop(uv_timer_t *t)
{
        (void)t;
        end();
}

static uint32_t file_crc(const char *path, uint64_t *bytes)
{
        uint8_t block[65536];
        uint32_t crc = 0;
        int fd = open(path, O_RDONLY);
        *bytes = 0;
        if (fd < 0)
                return 0;
        for (ssize_t n; (n = read(fd, block, sizeof(block))) > 0; *bytes += (uint64_t)n)
                crc = crc32c(crc, block, (size_t)n);
        close(fd);
        return crc;
}

/* An index file that knows one chunk: the bytes of this file that are to be read. */
static void write_index(const char *path, const char *mp4, uint64_t from)
{
        uint8_t records[VOLUME_HEADER_BYTES + 2 * VOLUME_RECORD_BYTES];
        struct volume_record chunk = {.offset = from, .len_bytes = (uint32_t)into->len};
        struct volume_sum sum = {.bytes = from + into->len, .chunks = 1};
        int fd = open(mp4, O_RDONLY);
        if (fd < 0 || pread(fd, into->data, into->len, (off_t)from) != (ssize_t)into->len)
                die(mp4, "does not have these bytes");
        close(fd);
        chunk.crc = crc32c(0, into->data, into->len);
        memset(into->data, 0, into->len);
        volume_header_encode(records, &(struct volume_header){.timescale = 90000});
        volume_record_encode(records + VOLUME_HEADER_BYTES, &chunk);
        chunk = volume_record_of_sum(&sum);
        volume_record_encode(records + VOLUME_HEADER_BYTES + VOLUME_RECORD_BYTES, &chunk);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (fd < 0 || write(fd, records, sizeof(records)) != sizeof(records))
                die(path, "cannot be written");
        close(fd);
}

static int begin(int argc, char **argv)
{
        if (argc >= 4 && strcmp(argv[0], "put") == 0) {
                struct archive_volume v = {.name = argv[1], .mp4_path = argv[2], .idx_path = argv[3], .content_type = "video/mp4"};
                v.mp4_crc32c = file_crc(v.mp4_path, &v.mp4_bytes);
                if (argc > 4)
                        v.mp4_crc32c = (uint32_t)strtoul(argv[4], NULL, 16);
                return archive_put(archive, &v, done, NULL);
        }
        if (argc == 6 && strcmp(argv[0], "read") == 0) {
                struct archive_volume v = {.name = argv[1], .idx_path = mem_printf("%s.idx", argv[4])};
                uint64_t from = strtoull(argv[2], NULL, 10);
                into = buf_new(strtoul(argv[3], NULL, 10));
                to_file = argv[4];
                write_index(v.idx_path, argv[5], from);
                return archive_read(archive, &v, from, into, done, NULL);
        }
        if ((argc == 2 || argc == 3) && strcmp(argv[0], "remove") == 0)
                return archive_remove(archive, argv[1], argc == 3 ? (uint32_t)atoi(argv[2]) : ARCHIVE_ALL, done, NULL);
        die("arguments", "see the beginning of tests/tools/archive_volume.c");
        return 0;
}

int main(int argc, char **argv)
{
        struct s3_config config;
        uv_loop_t loop;
        char why[200];
        json_t *j = json_loads(getenv("ARCHIVE") ? getenv("ARCHIVE") : "", 0, NULL);
        log_init("archive_volume", LOG_INFO);
        if (s3_config_read(&config, j, why, sizeof(why)))
                die("ARCHIVE", why);
        json_decref(j);
        uv_loop_init(&loop);
        uv_timer_init(&loop, &stop_timer);
        archive = archive_open(&loop, &config);
        argc--, argv++;
        if (argc > 2 && strcmp(argv[0], "--stop-after") == 0) {
                uv_timer_start(&stop_timer, on_stop, strtoull(argv[1], NULL, 10), 0);
                argc -= 2, argv += 2;
        }
        began_us = clock_mono_us();
        int err = begin(argc, argv);
        if (err)
                die(argv[0], err_text(err));
        uv_run(&loop, UV_RUN_DEFAULT);
        printf("moved %" PRIu64 "\n", stats.put_bytes + stats.read_bytes);
        buf_unref(&into);
        s3_config_free(&config);
        return uv_loop_close(&loop) ? 3 : result ? 1 : 0;
}
