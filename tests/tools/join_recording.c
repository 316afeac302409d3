/* join_recording - fragmented MP4 files, as tracks are stored, as the one progressive file that originD/recording.h makes of them.
 *
 *   join_recording OUT VOLUME_SECONDS ORIGIN_SECOND FILE [FILE]
 *
 * FILE: one track, its fragments the chunks (as in put_file.c). What begins before ORIGIN_SECOND is left out, and that is time 0.
 * OUT is written from its end to its beginning, in pieces that have nothing to do with segments: as ranges of it may be asked for. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "originD/recording.h"

#define RANGE_BYTES 70001

struct track {
        struct buf *init;
        struct init_info info;
        const uint8_t *file;
        struct index_row *rows;
        size_t count;
        int64_t end_us;
        struct sample_tables tables;
};

static struct track tracks[RECORDING_TRACKS_MAX];
static size_t track_count;
static uint32_t volume_s, origin_s;

static void die(const char *what)
{
        fprintf(stderr, "join_recording: %s\n", what);
        exit(1);
}

static struct buf *read_file(const char *path)
{
        struct stat st;
        int fd = open(path, O_RDONLY);
        if (fd < 0 || fstat(fd, &st))
                die(path);
        struct buf *b = buf_new((size_t)st.st_size);
        if (read(fd, b->data, b->len) != (ssize_t)b->len)
                die(path);
        close(fd);
        return b;
}

static void keep(struct track *t, const uint8_t *at, size_t len)
{
        struct chunk_info info;
        if (box_chunk_parse(at, len, &t->info, &info))
                die("a fragment is no chunk");
        uint64_t ts = t->info.timescale, segment = info.start_ticks / ts;
        t->end_us = box_ticks_to_us(info.start_ticks + info.duration_ticks, t->info.timescale);
        if (segment < origin_s)
                return;
        if (!t->count || t->rows[t->count - 1].segment != segment) {
                t->rows = mem_resize(t->rows, (t->count + 1) * sizeof(t->rows[0]));
                t->rows[t->count++] = (struct index_row){.segment = (uint32_t)segment, .offset = (uint64_t)(at - t->file)};
        }
        t->rows[t->count - 1].len_bytes += (uint32_t)len;
}

static void open_track(const char *path)
{
        struct track *t = &tracks[track_count++];
        struct buf *file = read_file(path);
        struct reader r;
        struct box b;
        const uint8_t *from = NULL;
        t->file = file->data;
        reader_init(&r, file->data, file->len);
        while (box_next(&r, &b) > 0) {
                if (b.type == BOX_TYPE('m', 'o', 'o', 'v')) {
                        t->init = buf_copy(file->data, (size_t)(r.p - file->data));
                        if (box_init_parse(t->init->data, t->init->len, &t->info))
                                die("not an init segment");
                        from = r.p;
                } else if (b.type == BOX_TYPE('m', 'd', 'a', 't') && from) {
                        keep(t, from, (size_t)(r.p - from));
                        from = r.p;
                }
        }
        if (!t->count)
                die("no chunks");
}

/* One volume of each track. */
static struct recording_part part_of(uint32_t volume)
{
        struct recording_part p = {.count = {0}};
        for (size_t t = 0; t < track_count; t++) {
                size_t i = 0;
                while (i < tracks[t].count && tracks[t].rows[i].segment / volume_s < volume)
                        i++;
                p.rows[t] = tracks[t].rows + i;
                while (i < tracks[t].count && tracks[t].rows[i].segment / volume_s == volume)
                        i++;
                p.count[t] = (size_t)(tracks[t].rows + i - p.rows[t]);
        }
        return p;
}

/* Up to len bytes of the part from this place of it; how many. */
static size_t read_part(const struct recording_part *p, uint64_t from, uint8_t *dst, size_t len)
{
        struct recording_cursor c = {.offset = 0};
        struct recording_piece piece;
        recording_seek(&c, p, from);
        if (!recording_next(&c, p, &piece))
                return 0;
        const struct index_row *row = &p->rows[piece.track][piece.row];
        size_t skip = (size_t)(from - piece.offset), n = piece.len_bytes - skip < len ? piece.len_bytes - skip : len;
        memcpy(dst, tracks[piece.track].file + row->offset + skip, n);
        return n;
}

/* What the chunks of the part say of their samples. */
static void tell_part(const struct recording_part *p, uint64_t begin)
{
        struct recording_cursor c = {.offset = 0};
        struct recording_piece piece;
        while (recording_next(&c, p, &piece)) {
                struct track *t = &tracks[piece.track];
                const uint8_t *segment = t->file + p->rows[piece.track][piece.row].offset;
                size_t head_bytes;
                uint64_t chunk_bytes;
                for (uint64_t at = 0; at < piece.len_bytes; at += chunk_bytes)
                        if (box_chunk_length(segment + at, piece.len_bytes - at, &head_bytes, &chunk_bytes) ||
                            sample_tables_add(&t->tables, &t->info, segment + at, head_bytes, chunk_bytes, begin + piece.offset + at))
                                die("a segment has no chunks");
        }
}

int main(int argc, char **argv)
{
        struct recording_track told[RECORDING_TRACKS_MAX];
        struct buf *header;
        int64_t end_us = 0;
        if (argc < 5 || argc > 4 + RECORDING_TRACKS_MAX)
                die("arguments: OUT VOLUME_SECONDS ORIGIN_SECOND FILE [FILE]");
        volume_s = (uint32_t)atoi(argv[2]);
        origin_s = (uint32_t)atoi(argv[3]);
        for (int i = 4; i < argc; i++) {
                open_track(argv[i]);
                end_us = tracks[i - 4].end_us > end_us ? tracks[i - 4].end_us : end_us;
        }
        uint32_t volumes = (uint32_t)(end_us / SEGMENT_US) / volume_s + 1;
        uint64_t *begins = mem_alloc((volumes + 1) * sizeof(*begins));
        for (uint32_t v = 0; v < volumes; v++) {
                struct recording_part p = part_of(v);
                tell_part(&p, begins[v]);
                begins[v + 1] = begins[v] + recording_part_bytes(&p);
        }
        for (size_t t = 0; t < track_count; t++) {
                if (sample_tables_end(&tracks[t].tables))
                        die("no samples");
                told[t] = (struct recording_track){tracks[t].init, &tracks[t].tables};
        }
        if (recording_header(&header, told, track_count, origin_s, begins[volumes]))
                die("no header");
        for (uint32_t v = 0; v <= volumes; v++)
                begins[v] += header->len;
        int fd = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0644);
        uint8_t *range = mem_alloc(RANGE_BYTES);
        for (uint64_t to = begins[volumes]; to > 0;) {
                uint64_t from = to > RANGE_BYTES ? to - RANGE_BYTES : 0;
                for (uint64_t at = from; at < to;) {
                        size_t n;
                        uint32_t v = 0;
                        while (v < volumes && begins[v + 1] <= at)
                                v++;
                        if (at < header->len) {
                                n = header->len - at < to - at ? (size_t)(header->len - at) : (size_t)(to - at);
                                memcpy(range + (at - from), header->data + at, n);
                        } else {
                                struct recording_part p = part_of(v);
                                n = read_part(&p, at - begins[v], range + (at - from), (size_t)(to - at));
                        }
                        if (!n)
                                die("the file ends sooner than it ought to");
                        at += n;
                }
                if (pwrite(fd, range, (size_t)(to - from), (off_t)from) != (ssize_t)(to - from))
                        die(argv[1]);
                to = from;
        }
        return close(fd) ? 1 : 0;
}
