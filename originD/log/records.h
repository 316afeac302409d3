/* records.h - the two files of a volume by name, and what the index file holds: one place that knows the format.
 *
 *   TRACK/000042.mp4   the init segment, then the chunks of segments [42·V, 43·V)
 *   TRACK/000042.idx   a header of 64 bytes; at volume_record_offset(n) the record of the nth chunk, 40 bytes; of a closed volume
 *                      one more, RECORD_CLOSED, whose fields hold the sums and the CRC32C of the whole mp4
 *
 * The header and each record end with a CRC32C of their own, so each is believed or not by itself. Numbers in the file are
 * little-endian. _encode and _decode are pure; the others block, and are for the pool. */
#ifndef ORIGIND_RECORDS_H
#define ORIGIND_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "originD/log/index.h"

#define VOLUME_HEADER_BYTES 64
#define VOLUME_RECORD_BYTES 40
#define VOLUME_SEGMENTS_MAX 3600
#define VOLUME_INDEX_MAX (64u << 20)
#define VOLUME_NAME_MAX 16 /* 4294967295.mp4 */

/* What the volumes of a track have in common; it outlives every call. */
struct volume_track {
        const char *dir;
        const struct init_info *info;
        const struct buf *init;
        uint32_t segments; /* of a volume */
        unsigned chunk_ms; /* the session's grid */
};

struct volume_header {
        uint32_t volume, timescale, init_bytes, init_crc;
};

#define RECORD_LAST 0x01   /* nothing more comes in its segment */
#define RECORD_GUESS 0x02  /* how long its last sample lasts was a guess */
#define RECORD_CLOSED 0x80 /* no chunk: struct volume_sum */

struct volume_record {
        uint64_t offset; /* of the chunk in the mp4 */
        uint32_t len_bytes, crc;
        uint32_t segment;
        uint8_t chunk, flags;
        uint16_t samples;
        uint64_t start_ticks;
        uint32_t duration_ticks;
};

/* What a closed volume comes to. */
struct volume_sum {
        uint64_t bytes, media_ticks;
        uint32_t crc; /* of the mp4 */
        uint32_t chunks, samples;
        uint32_t first_segment, last_segment, peak_bytes;
};

void volume_header_encode(uint8_t out[VOLUME_HEADER_BYTES], const struct volume_header *h);
int volume_header_decode(struct volume_header *out, const uint8_t in[VOLUME_HEADER_BYTES]); /* ERR_CORRUPT */
void volume_record_encode(uint8_t out[VOLUME_RECORD_BYTES], const struct volume_record *r);
int volume_record_decode(struct volume_record *out, const uint8_t in[VOLUME_RECORD_BYTES]); /* ERR_CORRUPT */

struct volume_record volume_record_of_sum(const struct volume_sum *s);
struct volume_sum volume_sum_of(const struct index *ix); /* crc is 0 */

int volume_write_header(int idx, const struct volume_track *t, uint32_t number);
int volume_write_record(int idx, const struct volume_record *r, uint32_t nth);
static inline uint64_t volume_record_offset(uint32_t nth)
{
        return VOLUME_HEADER_BYTES + (uint64_t)nth * VOLUME_RECORD_BYTES;
}

/* Whether the index file of a closed volume is whole and of these sums; changes nothing. ERR_CORRUPT: it is not; ERR_NOT_FOUND. */
int volume_check_index(const char *dir, uint32_t number, const struct volume_sum *sum);

/* Reads bytes of the mp4, whose chunks are held against their records. ERR_CORRUPT: one differs. ERR_IO also when there is no record of
 * it: it is being cut off. */
int volume_read_checked(const char *dir, uint32_t number, uint64_t offset, struct buf *into);

bool volume_parse_name(const char *name, uint32_t *number); /* of an mp4 */
char *volume_path(const char *dir, uint32_t number, const char *suffix); /* "mp4", "idx"; the caller's to free */
static inline uint32_t volume_of(const struct volume_track *t, uint32_t segment)
{
        return segment / t->segments;
}

#endif
