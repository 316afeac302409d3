#include "originD/log/records.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/crc32c.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/file.h"

#define MAGIC "FRSHVOL1"

/* ---- names ------------------------------------------------------------------------------------------------------- */

bool volume_parse_name(const char *name, uint32_t *number)
{
        char again[VOLUME_NAME_MAX];
        unsigned long long n = strtoull(name, NULL, 10);
        snprintf(again, sizeof(again), "%06" PRIu32 ".mp4", (uint32_t)n);
        *number = (uint32_t)n;
        return n <= UINT32_MAX && strcmp(again, name) == 0; /* a volume has one name only */
}

char *volume_path(const char *dir, uint32_t number, const char *suffix)
{
        return mem_printf("%s/%06" PRIu32 ".%s", dir, number, suffix);
}

/* ---- the index file's two structs -------------------------------------------------------------------------------- */

struct __attribute__((packed)) header_on_disk {
        char magic[8];
        uint32_t volume, timescale, init_bytes, init_crc;
        uint8_t unused[36];
        uint32_t crc; /* of what is before it */
};
_Static_assert(sizeof(struct header_on_disk) == VOLUME_HEADER_BYTES, "the header's size is part of the format");

struct __attribute__((packed)) record_on_disk {
        uint64_t offset;
        uint32_t len, crc, segment;
        uint8_t chunk, flags;
        uint16_t samples;
        uint64_t start_ticks;
        uint32_t duration;
        uint32_t record_crc; /* of what is before it */
};
_Static_assert(sizeof(struct record_on_disk) == VOLUME_RECORD_BYTES, "the record's size is part of the format");

void volume_header_encode(uint8_t out[VOLUME_HEADER_BYTES], const struct volume_header *h)
{
        struct header_on_disk d = {.magic = MAGIC, .volume = htole32(h->volume), .timescale = htole32(h->timescale),
                                   .init_bytes = htole32(h->init_bytes), .init_crc = htole32(h->init_crc)};
        d.crc = htole32(crc32c(0, &d, offsetof(struct header_on_disk, crc)));
        memcpy(out, &d, sizeof(d));
}

int volume_header_decode(struct volume_header *out, const uint8_t in[VOLUME_HEADER_BYTES])
{
        struct header_on_disk d;
        memcpy(&d, in, sizeof(d));
        if (memcmp(d.magic, MAGIC, sizeof(d.magic)) != 0 ||
            le32toh(d.crc) != crc32c(0, &d, offsetof(struct header_on_disk, crc)))
                return ERR_CORRUPT;
        *out = (struct volume_header){.volume = le32toh(d.volume), .timescale = le32toh(d.timescale),
                                      .init_bytes = le32toh(d.init_bytes), .init_crc = le32toh(d.init_crc)};
        return 0;
}

void volume_record_encode(uint8_t out[VOLUME_RECORD_BYTES], const struct volume_record *r)
{
        struct record_on_disk d = {.offset = htole64(r->offset), .len = htole32(r->len_bytes), .crc = htole32(r->crc),
                                   .segment = htole32(r->segment), .chunk = r->chunk, .flags = r->flags,
                                   .samples = htole16(r->samples), .start_ticks = htole64(r->start_ticks),
                                   .duration = htole32(r->duration_ticks)};
        d.record_crc = htole32(crc32c(0, &d, offsetof(struct record_on_disk, record_crc)));
        memcpy(out, &d, sizeof(d));
}

int volume_record_decode(struct volume_record *out, const uint8_t in[VOLUME_RECORD_BYTES])
{
        struct record_on_disk d;
        memcpy(&d, in, sizeof(d));
        if (le32toh(d.record_crc) != crc32c(0, &d, offsetof(struct record_on_disk, record_crc)))
                return ERR_CORRUPT;
        *out = (struct volume_record){.offset = le64toh(d.offset), .len_bytes = le32toh(d.len), .crc = le32toh(d.crc),
                                      .segment = le32toh(d.segment), .chunk = d.chunk, .flags = d.flags,
                                      .samples = le16toh(d.samples), .start_ticks = le64toh(d.start_ticks),
                                      .duration_ticks = le32toh(d.duration)};
        return 0;
}

/* ---- the index file ---------------------------------------------------------------------------------------------- */

int volume_write_header(int idx, const struct volume_track *t, uint32_t number)
{
        uint8_t bytes[VOLUME_HEADER_BYTES];
        struct volume_header h = {.volume = number, .timescale = t->info->timescale, .init_bytes = (uint32_t)t->init->len,
                                  .init_crc = crc32c(0, t->init->data, t->init->len)};
        volume_header_encode(bytes, &h);
        return file_write(idx, bytes, sizeof(bytes), 0);
}

int volume_write_record(int idx, const struct volume_record *r, uint32_t nth)
{
        uint8_t bytes[VOLUME_RECORD_BYTES];
        volume_record_encode(bytes, r);
        return file_write(idx, bytes, sizeof(bytes), volume_record_offset(nth));
}

struct volume_sum volume_sum_of(const struct index *ix)
{
        struct volume_sum s = {.bytes = ix->file_bytes, .media_ticks = ix->media_ticks, .chunks = ix->chunks,
                               .samples = (uint32_t)ix->samples, .peak_bytes = ix->peak_bytes};
        if (ix->count) {
                s.first_segment = ix->rows[0].segment;
                s.last_segment = ix->rows[ix->count - 1].segment;
        }
        return s;
}

/* The last record has no chunk: its fields hold the sums. */
struct volume_record volume_record_of_sum(const struct volume_sum *s)
{
        return (struct volume_record){.flags = RECORD_CLOSED, .offset = s->bytes, .len_bytes = s->chunks, .crc = s->crc,
                                      .segment = s->last_segment, .start_ticks = s->media_ticks, .duration_ticks = s->samples};
}

static bool index_is_of(const uint8_t *all, uint32_t number, const struct volume_sum *sum)
{
        struct volume_header h;
        struct volume_record r;
        if (volume_header_decode(&h, all) || h.volume != number)
                return false;
        uint64_t at = h.init_bytes;
        for (uint32_t i = 0; i < sum->chunks; i++) {
                if (volume_record_decode(&r, all + volume_record_offset(i)) || r.flags & RECORD_CLOSED || r.offset != at)
                        return false;
                at += r.len_bytes;
        }
        return !volume_record_decode(&r, all + volume_record_offset(sum->chunks)) && r.flags & RECORD_CLOSED && r.offset == at &&
               at == sum->bytes && r.crc == sum->crc;
}

int volume_check_index(const char *dir, uint32_t number, const struct volume_sum *sum)
{
        char *path = volume_path(dir, number, "idx");
        struct buf *all;
        int rc = file_load(path, VOLUME_INDEX_MAX, &all);
        if (!rc && (all->len != volume_record_offset(sum->chunks + 1) || !index_is_of(all->data, number, sum)))
                rc = ERR_CORRUPT;
        buf_unref(&all);
        free(path);
        return rc;
}

/* ---- what lies in the mp4, by its records ------------------------------------------------------------------------ */

/* ERR_CORRUPT: there are bytes, and they are no record. */
static int read_record(int idx, uint32_t nth, struct volume_record *out)
{
        uint8_t bytes[VOLUME_RECORD_BYTES];
        int rc = file_read_all(idx, bytes, sizeof(bytes), volume_record_offset(nth));
        return rc ? rc : volume_record_decode(out, bytes);
}

/* Which record is of the chunk that the byte lies in. The last record of a closed volume stands behind all of them in the mp4 too. */
static int find_record(int idx, uint64_t offset, uint32_t *nth)
{
        uint64_t bytes;
        struct volume_record r = {0};
        int rc = file_size(idx, &bytes);
        uint32_t low = 0, high = bytes > VOLUME_HEADER_BYTES ? (uint32_t)((bytes - VOLUME_HEADER_BYTES) / VOLUME_RECORD_BYTES) : 0;
        while (low < high && !rc) {
                uint32_t mid = low + (high - low) / 2;
                rc = read_record(idx, mid, &r);
                if (r.offset <= offset)
                        low = mid + 1;
                else
                        high = mid;
        }
        *nth = low ? low - 1 : 0;
        return rc ? rc : low ? 0 : ERR_IO;
}

static int read_chunk(int mp4, const struct volume_record *r, uint64_t offset, struct buf *into)
{
        uint64_t from = r->offset > offset ? r->offset : offset, to = r->offset + r->len_bytes;
        struct buf *chunk = buf_new(r->len_bytes);
        int rc = file_read_all(mp4, chunk->data, chunk->len, r->offset);
        to = to < offset + into->len ? to : offset + into->len;
        if (!rc && crc32c(0, chunk->data, chunk->len) != r->crc)
                rc = ERR_CORRUPT;
        if (!rc)
                memcpy(into->data + (from - offset), chunk->data + (from - r->offset), (size_t)(to - from));
        buf_unref(&chunk);
        return rc;
}

int volume_read_checked(const char *dir, uint32_t number, uint64_t offset, struct buf *into)
{
        char *mp4_path = volume_path(dir, number, "mp4"), *idx_path = volume_path(dir, number, "idx");
        int mp4 = file_open(mp4_path, O_RDONLY), idx = mp4 < 0 ? mp4 : file_open(idx_path, O_RDONLY), rc = idx < 0 ? idx : 0;
        uint32_t nth = 0;
        rc = rc ? rc : find_record(idx, offset, &nth);
        for (uint64_t at = 0, end = offset + into->len; !rc && at < end; nth++) {
                struct volume_record r = {0};
                rc = read_record(idx, nth, &r);
                if (!rc && (r.flags & RECORD_CLOSED || r.len_bytes > SEGMENT_MAX_BYTES || (at ? r.offset != at : r.offset + r.len_bytes <= offset)))
                        rc = ERR_IO;
                rc = rc ? rc : read_chunk(mp4, &r, offset, into);
                at = r.offset + r.len_bytes;
        }
        if (mp4 >= 0)
                close(mp4);
        if (mp4 >= 0 && idx >= 0)
                close(idx);
        free(mp4_path);
        free(idx_path);
        return rc;
}
