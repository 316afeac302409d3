/* archive_volume - one call of originD/archive/archive.h, for tests with an object store beside them.
 *
 *   ARCHIVE='{"endpoint": …}' archive_volume [--stop-after MS] VERB …
 *     put NAME MP4 IDX [CRC32C]       the checksum to be told, if not the file's
 *     read OBJECT FROM LEN TO_FILE
 *     remove NAME
 *     list BEGIN                      prints "BYTES OBJECT" lines
 * --stop-after closes the archive in the midst of it. Prints "ok" or "ERROR: words", how many bytes went over the network, and how long it took. */
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

static void listed(void *arg, int err, const char *words, const struct archive_item *items, size_t count)
{
        for (size_t i = 0; i < count; i++)
                printf("%" PRIu64 " %s\n", items[i].bytes, items[i].object);
        done(arg, err, words);
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

static int begin(int argc, char **argv)
{
        if (argc >= 4 && strcmp(argv[0], "put") == 0) {
                struct archive_volume v = {.name = argv[1], .mp4_path = argv[2], .idx_path = argv[3]};
                v.mp4_crc32c = file_crc(v.mp4_path, &v.mp4_bytes);
                if (argc > 4)
                        v.mp4_crc32c = (uint32_t)strtoul(argv[4], NULL, 16);
                return archive_put(archive, &v, done, NULL);
        }
        if (argc == 5 && strcmp(argv[0], "read") == 0) {
                into = buf_new(strtoul(argv[3], NULL, 10));
                to_file = argv[4];
                return archive_read(archive, argv[1], strtoull(argv[2], NULL, 10), into, done, NULL);
        }
        if (argc == 2 && strcmp(argv[0], "remove") == 0)
                return archive_remove(archive, argv[1], done, NULL);
        if (argc == 2 && strcmp(argv[0], "list") == 0)
                return archive_list(archive, argv[1], listed, NULL);
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
