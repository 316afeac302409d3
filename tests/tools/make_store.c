/* make_store - writes the files of an origin's store as originD does, thousands a second, and measures how fast media can be appended.
 *
 *   make_store heads DIR COUNT               so many recordings of an hour, of a stream for each hundred: session.json alone,
 *                                            which is all that a start reads of what ended
 *   make_store live DIR STREAMS HOURS [S]    live streams, HOURS old: closed volumes are sparse (a start looks at their names), the last
 *                                            one of each track is real and half full, or has S seconds
 *   make_store recording DIR SECONDS BYTES   one recording of stream "old", real to the last byte, chunks of video of BYTES
 *   make_store append DIR MB BYTES           prints "plain MB/s", "volume MB/s", "log MB/s", "logs MB/s": chunks of BYTES by
 *                                            write(2) to one file; by volume_append(); through one chunk_log; and through as
 *                                            many as a stream has tracks
 *
 * Seven tracks a session, volumes of 600 segments, chunks of 200 ms. Epochs are the past's, so that nothing is due for removal within a
 * day. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "common/clock.h"
#include "common/crc32c.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/disk.h"
#include "originD/log/volumes_file.h"
#include "originD/session.h"
#include "originD/store.h"
#include "tests/unit/origin_fmp4.h"
#include "tests/unit/usual_grid.h"

#define TRACKS 7
#define SEGMENTS VOLUME_SEGMENTS /* of a volume */
#define OF_A_STREAM 100          /* recordings */
#define NODE "make-store"
#define SPARSE_BYTES (2u << 20)  /* of a volume that is only a name and a size */

static const char *const names[TRACKS] = {"v1080", "v720", "v480", "v360", "v240", "a128", "a64"};

static void check(int rc, const char *what)
{
        if (rc >= 0)
                return;
        fprintf(stderr, "make_store: %s: %s\n", what, strerror(errno));
        exit(1);
}

static void make_folder(const char *path)
{
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
                check(-1, path);
}

static void write_file(const char *path, const struct buf *b)
{
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
        check(fd, path);
        if (write(fd, b->data, b->len) != (ssize_t)b->len)
                check(-1, path);
        close(fd);
}

static bool is_video(size_t track)
{
        return names[track][0] == 'v';
}

static struct buf *init_of(size_t track)
{
        return is_video(track) ? fmp4_video_init() : fmp4_audio_init();
}

/* Chunk k of segment n: 5 frames, or 10 of sound; about so many bytes. All of a track are alike but for their time. */
static struct buf *make_chunk(size_t track, uint32_t n, unsigned k, uint32_t bytes)
{
        static struct {
                struct buf *chunk;
                size_t time_at;
        } patterns[TRACKS];
        struct buf *b = patterns[track].chunk;
        struct writer w;
        if (!b) {
                b = patterns[track].chunk = is_video(track) ? fmp4_video_chunk(0, 0, bytes / 5) : fmp4_chunk(0, 10, 960, 8);
                const uint8_t *tfdt = memmem(b->data, b->len, "tfdt", 4);
                patterns[track].time_at = (size_t)(tfdt - b->data) + 8;
        }
        b = buf_copy(b->data, b->len);
        writer_init(&w, b->data + patterns[track].time_at, 8);
        writer_u64(&w, (n * UINT64_C(5) + k) * (is_video(track) ? 18000 : 9600));
        return b;
}

/* ---- sessions ------------------------------------------------------------------------------------------------------ */

static struct session *new_session(const char *dir, const char *stream, int64_t epoch_us)
{
        struct claim c = {.epoch_us = epoch_us};
        snprintf(c.stream, sizeof(c.stream), "%s", stream);
        session_id_make(c.session, epoch_us);
        struct session *s = session_new(NULL, dir, &c, SEGMENTS, false);
        s->generation = 1;
        s->grace_ms = 600000;
        snprintf(s->node, sizeof(s->node), NODE);
        for (size_t i = 0; i < TRACKS; i++) {
                struct track *t = track_append(s);
                snprintf(t->name, sizeof(t->name), "%s", names[i]);
                t->bandwidth = 1000000;
                eras_begin(&t->eras, 0, 1, NODE);
        }
        return s;
}

/* A closed volume that is whole, in what the track comes to. */
static void know_volume(struct track *t, const struct volume_sum *sum)
{
        struct track_facts *f = &t->at_end;
        *f = (struct track_facts){.any = true, .last_segment = sum->last_segment, .end_us = (sum->last_segment + 1) * SEGMENT_US,
                                  .file_bytes = f->file_bytes + sum->bytes, .average_bps = 1000000, .peak_bps = 1000000,
                                  .fps_milli = 25000};
}

static struct volume_sum sparse_sum(const struct track *t, uint32_t number)
{
        bool video = t->name[0] == 'v';
        return (struct volume_sum){.bytes = SPARSE_BYTES, .media_ticks = SEGMENTS * UINT64_C(48000) * (video ? 90 : 48) / 48,
                                   .crc = number + 1, .chunks = SEGMENTS * CHUNKS_PER_SEGMENT,
                                   .samples = SEGMENTS * (video ? 25 : 50), .first_segment = number * SEGMENTS,
                                   .last_segment = (number + 1) * SEGMENTS - 1, .peak_bytes = 1u << 16};
}

static void end_session(struct session *s, int64_t end_us)
{
        s->state = SESSION_ENDED;
        s->ended_by_writer = true;
        s->end_us = end_us;
        s->ended_wall_us = s->epoch_us + end_us;
}

static void write_session(struct session *s)
{
        char *dir = session_dir(s), *path = mem_printf("%s/session.json", dir);
        struct buf *text = session_to_json(s);
        make_folder(dir);
        write_file(path, text);
        buf_unref(&text);
        free(path);
        free(dir);
}

static void make_stream_folder(const char *dir, const char *stream)
{
        char *path = mem_printf("%s/%s", dir, stream);
        make_folder(path);
        free(path);
}

static void make_heads(const char *dir, uint32_t count)
{
        int64_t now = clock_real_us(), length_us = 3600 * US_PER_S;
        for (uint32_t n = 0; n < count; n++) {
                char stream[32];
                snprintf(stream, sizeof(stream), "cam-%u", n / OF_A_STREAM);
                if (n % OF_A_STREAM == 0)
                        make_stream_folder(dir, stream);
                struct session *s = new_session(dir, stream, now - length_us - (n % 3600) * US_PER_S);
                for (size_t i = 0; i < TRACKS; i++)
                        for (uint32_t v = 0; v < 3600 / SEGMENTS; v++) {
                                struct volume_sum sum = sparse_sum(s->tracks[i], v);
                                know_volume(s->tracks[i], &sum);
                        }
                end_session(s, length_us);
                write_session(s);
                session_free(&s);
        }
}

/* ---- volumes ------------------------------------------------------------------------------------------------------- */

/* Chunks as they come from one track after the other, made once. */
struct chunks {
        struct buf *list[SEGMENTS * CHUNKS_PER_SEGMENT];
};

/* Segments [first, first + count) of a volume; those of the next one when it is closed. */
static struct volume_sum write_volume(const struct volume_track *t, size_t track, uint32_t number, uint32_t count, uint32_t bytes,
                                      struct chunks *kept, bool close_it)
{
        struct volume_files files;
        struct volume_sum sum = {.bytes = t->init->len, .first_segment = number * t->segments};
        uint8_t *records = mem_alloc(count * CHUNKS_PER_SEGMENT * VOLUME_RECORD_BYTES);
        check(volume_create(t, number, false, &files), t->dir);
        sum.crc = crc32c(0, t->init->data, t->init->len);
        size_t cap = 8u << 20, have = 0;
        uint8_t *block = mem_alloc(cap);
        uint64_t at = t->init->len;
        for (uint32_t i = 0; i < count * CHUNKS_PER_SEGMENT; i++) {
                uint32_t segment = sum.first_segment + i / CHUNKS_PER_SEGMENT;
                struct chunk_info info;
                struct buf **slot = kept ? &kept->list[i] : NULL;
                struct buf *b = slot && *slot ? buf_ref(*slot) : make_chunk(track, segment, i % CHUNKS_PER_SEGMENT, bytes);
                if (slot && !*slot)
                        *slot = buf_ref(b);
                if (box_chunk_parse(b->data, b->len, t->info, &info))
                        check(-1, "a chunk");
                struct volume_record r = {.offset = sum.bytes, .len_bytes = (uint32_t)b->len, .crc = crc32c(0, b->data, b->len),
                                          .segment = segment, .chunk = (uint8_t)(i % CHUNKS_PER_SEGMENT),
                                          .samples = (uint16_t)info.samples, .start_ticks = info.start_ticks,
                                          .flags = i % CHUNKS_PER_SEGMENT == CHUNKS_PER_SEGMENT - 1 ? RECORD_LAST : 0,
                                          .duration_ticks = (uint32_t)info.duration_ticks};
                volume_record_encode(records + i * VOLUME_RECORD_BYTES, &r);
                if (have + b->len > cap) {
                        check(pwrite(files.mp4, block, have, (off_t)at) == (ssize_t)have ? 0 : -1, t->dir);
                        at += have;
                        have = 0;
                }
                memcpy(block + have, b->data, b->len);
                have += b->len;
                sum.crc = crc32c(sum.crc, b->data, b->len);
                sum.bytes += b->len;
                sum.media_ticks += info.duration_ticks;
                sum.samples += info.samples;
                sum.chunks++;
                sum.last_segment = segment;
                sum.peak_bytes = (uint32_t)b->len * CHUNKS_PER_SEGMENT;
                buf_unref(&b);
        }
        check(pwrite(files.mp4, block, have, (off_t)at) == (ssize_t)have ? 0 : -1, t->dir);
        check(pwrite(files.idx, records, sum.chunks * VOLUME_RECORD_BYTES, VOLUME_HEADER_BYTES) > 0 ? 0 : -1, t->dir);
        free(block);
        free(records);
        if (close_it)
                check(volume_close(&files, &sum), t->dir);
        else
                volume_files_close(&files);
        return sum;
}

static void write_sparse(const char *dir, uint32_t number)
{
        static const struct {
                const char *suffix;
                off_t bytes;
        } files[] = {{"mp4", SPARSE_BYTES},
                     {"idx", VOLUME_HEADER_BYTES + (SEGMENTS * CHUNKS_PER_SEGMENT + 1) * VOLUME_RECORD_BYTES}};
        for (size_t i = 0; i < 2; i++) {
                char *path = volume_path(dir, number, files[i].suffix);
                int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
                check(fd, path);
                check(ftruncate(fd, files[i].bytes), path);
                close(fd);
                free(path);
        }
}

static char *make_track_folder(const struct session *s, size_t track, const struct buf *init)
{
        char *dir = track_dir(s, names[track]), *path = mem_printf("%s/init.mp4", dir);
        make_folder(dir);
        write_file(path, init);
        free(path);
        return dir;
}

/* Takes the rows. */
static void write_rows(const char *track, struct volumes *rows)
{
        char *path = mem_printf("%s/" VOLUMES_FILE_NAME, track);
        struct buf *b = volumes_file_encode(rows);
        write_file(path, b);
        buf_unref(&b);
        volumes_free(rows);
        free(path);
}

static void make_live(const char *dir, uint32_t streams, uint32_t hours, uint32_t open_s)
{
        static struct chunks kept[TRACKS];
        uint32_t closed = hours * 3600 / SEGMENTS;
        int64_t length_us = (closed * SEGMENTS + open_s) * SEGMENT_US;
        for (uint32_t n = 0; n < streams; n++) {
                char stream[32];
                snprintf(stream, sizeof(stream), "live-%u", n);
                make_stream_folder(dir, stream);
                struct session *s = new_session(dir, stream, clock_real_us() - length_us);
                s->generation = 1;
                char *session = session_dir(s);
                make_folder(session);
                for (size_t i = 0; i < TRACKS; i++) {
                        struct buf *init = init_of(i);
                        struct init_info info;
                        char *track = make_track_folder(s, i, init);
                        box_init_parse(init->data, init->len, &info);
                        struct volume_track t = {track, &info, init, SEGMENTS, CHUNK_MS};
                        struct volumes rows = {0};
                        for (uint32_t v = 0; v < closed; v++) {
                                struct volume_row row = {.number = v, .sum = sparse_sum(s->tracks[i], v)};
                                write_sparse(track, v);
                                volumes_insert(&rows, &row);
                        }
                        write_rows(track, &rows);
                        write_volume(&t, i, closed, open_s, 100, &kept[i], false);
                        free(track);
                        buf_unref(&init);
                }
                write_session(s);
                free(session);
                session_free(&s);
        }
        for (size_t i = 0; i < TRACKS; i++)
                for (size_t k = 0; k < SEGMENTS * CHUNKS_PER_SEGMENT; k++)
                        buf_unref(&kept[i].list[k]);
}

static void make_recording(const char *dir, uint32_t seconds, uint32_t bytes)
{
        make_stream_folder(dir, "old");
        struct session *s = new_session(dir, "old", clock_real_us() - (seconds + 60) * US_PER_S);
        char *session = session_dir(s);
        make_folder(session);
        for (size_t i = 0; i < TRACKS; i++) {
                struct buf *init = init_of(i);
                struct init_info info;
                char *track = make_track_folder(s, i, init);
                box_init_parse(init->data, init->len, &info);
                struct volume_track t = {track, &info, init, SEGMENTS, CHUNK_MS};
                struct volumes rows = {0};
                for (uint32_t v = 0; v * SEGMENTS < seconds; v++) {
                        uint32_t left = seconds - v * SEGMENTS;
                        struct volume_row row = {.number = v};
                        row.sum = write_volume(&t, i, v, left < SEGMENTS ? left : SEGMENTS, bytes, NULL, true);
                        volumes_insert(&rows, &row);
                        know_volume(s->tracks[i], &row.sum);
                }
                write_rows(track, &rows);
                free(track);
                buf_unref(&init);
        }
        end_session(s, seconds * SEGMENT_US);
        write_session(s);
        printf("%s\n", s->id);
        free(session);
        session_free(&s);
}

/* ---- appending ----------------------------------------------------------------------------------------------------- */

#define AHEAD 8 /* chunks of a track under way: a writer has several */

static uint32_t chunk_count; /* to be appended, of all tracks together */
static struct buf **media;   /* what they are, in order, of one track */

struct feeding {
        struct chunk_log *log;
        struct chunk_append a[AHEAD];
        uint32_t next, count, done;
};

static unsigned feeding_left;

static void feed(struct feeding *f, struct chunk_append *a)
{
        uint32_t i = f->next++;
        unsigned k = i % CHUNKS_PER_SEGMENT;
        *a = (struct chunk_append){.segment = i / CHUNKS_PER_SEGMENT, .chunk = (uint8_t)k, .start_us = i * CHUNK_US,
                                   .end_us = (i + 1) * CHUNK_US, .flags = k == CHUNKS_PER_SEGMENT - 1 ? PUT_LAST : 0,
                                   .generation = 1, .bytes = media[i], .done = a->done};
        chunk_log_append(f->log, a);
}

static struct feeding feedings[TRACKS];

static void fed(struct chunk_append *a, int status)
{
        struct feeding *f = feedings;
        while (f->log != a->log)
                f++;
        if (status) {
                fprintf(stderr, "make_store: append: %s\n", err_text(status));
                exit(1);
        }
        if (++f->done == f->count)
                feeding_left--;
        else if (f->next < f->count)
                feed(f, a);
}

static double through_logs(const char *dir, unsigned tracks, const struct init_info *info, struct buf *init)
{
        uv_loop_t loop;
        uv_loop_init(&loop);
        int64_t began_us = clock_mono_us();
        feeding_left = tracks;
        for (unsigned i = 0; i < tracks; i++) {
                char *track = mem_printf("%s/log-%u-%u", dir, tracks, i);
                make_folder(track);
                feedings[i] = (struct feeding){.count = chunk_count / tracks};
                feedings[i].log = chunk_log_new(&loop, track, info, buf_ref(init), SEGMENTS, CHUNK_MS, NULL, false, false);
                for (unsigned k = 0; k < AHEAD; k++) {
                        feedings[i].a[k].done = fed;
                        feed(&feedings[i], &feedings[i].a[k]);
                }
                free(track);
        }
        while (feeding_left)
                uv_run(&loop, UV_RUN_ONCE);
        double seconds = (double)(clock_mono_us() - began_us) / 1e6;
        for (unsigned i = 0; i < tracks; i++) {
                chunk_log_end(feedings[i].log);
                while (chunk_log_busy(feedings[i].log))
                        uv_run(&loop, UV_RUN_ONCE);
                chunk_log_free(&feedings[i].log);
        }
        disk_stop();
        uv_run(&loop, UV_RUN_DEFAULT);
        uv_loop_close(&loop);
        return seconds;
}

static double by_write(const char *dir)
{
        char *path = mem_printf("%s/plain", dir);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
        check(fd, path);
        int64_t began_us = clock_mono_us();
        for (uint32_t i = 0; i < chunk_count; i++)
                check(write(fd, media[i]->data, media[i]->len) == (ssize_t)media[i]->len ? 0 : -1, path);
        double seconds = (double)(clock_mono_us() - began_us) / 1e6;
        close(fd);
        unlink(path);
        free(path);
        return seconds;
}

static double by_volume(const char *dir, const struct init_info *info, struct buf *init)
{
        struct volume_track t = {dir, info, init, VOLUME_SEGMENTS_MAX, CHUNK_MS};
        struct volume_files files;
        bool unsure;
        uint64_t at = init->len;
        check(volume_create(&t, 0, false, &files), dir);
        int64_t began_us = clock_mono_us();
        for (uint32_t i = 0; i < chunk_count; i++) {
                struct volume_record r = {.offset = at, .len_bytes = (uint32_t)media[i]->len,
                                          .crc = crc32c(0, media[i]->data, media[i]->len)};
                check(volume_append(&files, media[i], &r, i, false, &unsure), dir);
                at += media[i]->len;
        }
        double seconds = (double)(clock_mono_us() - began_us) / 1e6;
        volume_files_close(&files);
        volume_remove(&t, 0);
        return seconds;
}

static void measure_appends(const char *dir, uint32_t mb, uint32_t bytes)
{
        struct buf *init = fmp4_video_init();
        struct init_info info;
        box_init_parse(init->data, init->len, &info);
        chunk_count = (uint32_t)((uint64_t)mb * 1000000 / bytes) / (TRACKS * AHEAD) * (TRACKS * AHEAD);
        media = mem_alloc(chunk_count * sizeof(*media));
        double all_mb = 0;
        for (uint32_t i = 0; i < chunk_count; i++) {
                media[i] = make_chunk(0, i / CHUNKS_PER_SEGMENT, i % CHUNKS_PER_SEGMENT, bytes);
                all_mb += (double)media[i]->len / 1e6;
        }
        printf("plain %.1f\n", all_mb / by_write(dir));
        printf("volume %.1f\n", all_mb / by_volume(dir, &info, init));
        printf("log %.1f\n", all_mb / through_logs(dir, 1, &info, init));
        printf("logs %.1f\n", all_mb / through_logs(dir, TRACKS, &info, init));
        for (uint32_t i = 0; i < chunk_count; i++)
                buf_unref(&media[i]);
        free(media);
        buf_unref(&init);
}

int main(int argc, char **argv)
{
        const char *what = argc > 1 ? argv[1] : "", *dir = argc > 2 ? argv[2] : "";
        uint32_t n = argc > 3 ? (uint32_t)atoi(argv[3]) : 0, m = argc > 4 ? (uint32_t)atoi(argv[4]) : 0;
        if (argc >= 3)
                make_folder(dir);
        if (strcmp(what, "heads") == 0 && n)
                make_heads(dir, n);
        else if (strcmp(what, "live") == 0 && n)
                make_live(dir, n, m, argc > 5 ? (uint32_t)atoi(argv[5]) : SEGMENTS / 2);
        else if (strcmp(what, "recording") == 0 && n && m)
                make_recording(dir, n, m);
        else if (strcmp(what, "append") == 0 && n && m)
                measure_appends(dir, n, m);
        else {
                fprintf(stderr, "usage: make_store heads DIR COUNT | live DIR STREAMS HOURS [S] | recording DIR SECONDS BYTES |\n"
                                "       append DIR MB BYTES\n");
                return 2;
        }
        return 0;
}
