#include "originD/log/volumes_file.h"

#include <endian.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/crc32c.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/file.h"

#define MAGIC "FRSHROWS"
#define FILE_MAX (256u << 20) /* ninety years of volumes of ten minutes */

struct header_on_disk {
        char magic[8];
        uint32_t count;
        uint32_t crc; /* of what is before it */
};

struct row_on_disk {
        uint64_t bytes, media_ticks;
        uint32_t number, file_crc, chunks, samples, first_segment, last_segment, peak_bytes;
        uint8_t state, copied, zero[2];
        uint32_t crc; /* of what is before it */
} __attribute__((packed));

_Static_assert(sizeof(struct header_on_disk) == 16, "as volumes_file.h says");
_Static_assert(sizeof(struct row_on_disk) == 52, "as volumes_file.h says");

struct buf *volumes_file_encode(const struct volumes *v)
{
        struct buf *b = buf_new(sizeof(struct header_on_disk) + v->count * sizeof(struct row_on_disk));
        struct header_on_disk h = {.magic = MAGIC, .count = htole32((uint32_t)v->count)};
        h.crc = htole32(crc32c(0, &h, offsetof(struct header_on_disk, crc)));
        memcpy(b->data, &h, sizeof(h));
        uint8_t *at = b->data + sizeof(h);
        for (size_t i = 0; i < v->count; i++, at += sizeof(struct row_on_disk)) {
                const struct volume_row *r = &v->rows[i];
                const struct volume_sum *s = &r->sum;
                struct row_on_disk d = {.bytes = htole64(s->bytes), .media_ticks = htole64(s->media_ticks),
                                        .number = htole32(r->number), .file_crc = htole32(s->crc), .chunks = htole32(s->chunks),
                                        .samples = htole32(s->samples), .first_segment = htole32(s->first_segment),
                                        .last_segment = htole32(s->last_segment), .peak_bytes = htole32(s->peak_bytes),
                                        .state = r->state, .copied = r->copied && r->state == VOLUME_HERE};
                d.crc = htole32(crc32c(0, &d, offsetof(struct row_on_disk, crc)));
                memcpy(at, &d, sizeof(d));
        }
        return b;
}

static bool decode_row(struct volume_row *out, const uint8_t *data)
{
        struct row_on_disk d;
        memcpy(&d, data, sizeof(d));
        *out = (struct volume_row){.number = le32toh(d.number), .state = d.state, .copied = d.copied};
        out->sum = (struct volume_sum){.bytes = le64toh(d.bytes), .media_ticks = le64toh(d.media_ticks), .crc = le32toh(d.file_crc),
                                       .chunks = le32toh(d.chunks), .samples = le32toh(d.samples),
                                       .first_segment = le32toh(d.first_segment), .last_segment = le32toh(d.last_segment),
                                       .peak_bytes = le32toh(d.peak_bytes)};
        return le32toh(d.crc) == crc32c(0, &d, offsetof(struct row_on_disk, crc)) && d.state < VOLUME_STATES && d.copied <= (d.state == VOLUME_HERE) &&
               out->sum.bytes <= INT64_MAX && out->sum.media_ticks <= INT64_MAX;
}

bool volumes_file_decode(struct volumes *out, const uint8_t *data, size_t len_bytes)
{
        struct header_on_disk h;
        *out = (struct volumes){0};
        if (len_bytes < sizeof(h))
                return false;
        memcpy(&h, data, sizeof(h));
        if (memcmp(h.magic, MAGIC, sizeof(h.magic)) != 0)
                return false;
        size_t there = (len_bytes - sizeof(h)) / sizeof(struct row_on_disk);
        bool whole = le32toh(h.crc) == crc32c(0, &h, offsetof(struct header_on_disk, crc)) && there == le32toh(h.count) &&
                     len_bytes == sizeof(h) + there * sizeof(struct row_on_disk);
        for (size_t i = 0; i < there; i++) {
                struct volume_row row;
                bool good = decode_row(&row, data + sizeof(h) + i * sizeof(struct row_on_disk));
                whole &= good;
                if (good)
                        volumes_insert(out, &row);
        }
        return whole;
}

int volumes_file_read(const char *dir, struct volumes *out, struct buf **saved)
{
        char *path = mem_printf("%s/" VOLUMES_FILE_NAME, dir);
        *saved = NULL;
        *out = (struct volumes){0};
        int rc = file_load(path, FILE_MAX, saved);
        bool whole = !rc && volumes_file_decode(out, (*saved)->data, (*saved)->len);
        if (rc == ERR_CORRUPT || (!rc && !whole)) {
                log_error("path=%s rows=%zu msg=\"the list of a track's volumes is damaged: others are opened\"", path, out->count);
                rc = file_set_aside(path, "damaged");
                if (rc) /* tried again: what only this file knows is not to be lost */
                        volumes_free(out);
                buf_unref(saved);
        }
        free(path);
        return rc == ERR_NOT_FOUND ? 0 : rc;
}

int volumes_file_save(const char *dir, const struct volumes *v)
{
        char *path = mem_printf("%s/" VOLUMES_FILE_NAME, dir);
        struct buf *b = volumes_file_encode(v);
        int rc = file_replace(path, b->data, b->len);
        if (!rc)
                rc = file_sync_folder(dir);
        buf_unref(&b);
        free(path);
        return rc;
}
