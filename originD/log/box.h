/* box.h - ISO-BMFF boxes: what the store needs to know of an init segment and of a chunk, and nothing else.
 *
 * Pure and bounded: the bytes may come from any peer or from a damaged disk. Times are in the track's own ticks, which is
 * what the grid of proto/store.h is exact in (a second and a fifth of one are whole ticks at 90000 and at 48000). */
#ifndef ORIGIND_BOX_H
#define ORIGIND_BOX_H

#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "proto/media.h"

#define BOX_TYPE(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))
#define BOX_HEADER_MAX 16
#define CHUNK_HEAD_MAX (1u << 20) /* everything of a chunk before the mdat's body */

struct box {
        uint32_t type;
        const uint8_t *start, *body;
        size_t body_len;
};

/* The next whole box: 1. Nothing left: 0. ERR_PROTO: cut off, or a size that cannot be (0, "to the end", is not used
 * here: nothing may follow such a box, and an append-only file always goes on). */
int box_next(struct reader *r, struct box *out);

/* The header alone, of a box whose body may lie beyond the reader. ERR_PROTO as above. */
int box_header(struct reader *r, uint32_t *type, uint64_t *size_bytes, size_t *header_bytes);

/* What an init segment says. */
struct init_info {
        enum track_kind kind;
        char codec[32]; /* RFC 6381: avc1.64001f, mp4a.40.2; jpeg */
        uint32_t track_id;
        uint32_t timescale; /* ticks per second */
        uint16_t width, height;
        uint32_t sample_rate;
        uint16_t channels;
        uint32_t default_duration, default_size; /* of trex */
};

/* What HTTP says of the objects that it begins (RFC 4337); constant. */
#define INIT_TYPE_PICTURE "video/mp4"
#define INIT_TYPE_SOUND "audio/mp4"
const char *init_type(const struct init_info *init);

/* ERR_PROTO: not `ftyp … moov` with one track. ERR_UNSUPPORTED: a codec not known here, or an edit list that shifts time. */
int box_init_parse(const uint8_t *data, size_t len_bytes, struct init_info *out);

/* What a chunk's boxes say: styp? prft? emsg* moof mdat. */
struct chunk_info {
        uint64_t start_ticks; /* tfdt */
        uint64_t duration_ticks;
        uint32_t samples;
};

/* head is the chunk up to and including the header of its mdat, which ends at chunk_bytes. ERR_PROTO: not such a chunk, of
 * another track, or with samples that lie outside the mdat. */
int box_chunk_parse_head(const uint8_t *head, size_t head_bytes, uint64_t chunk_bytes, const struct init_info *init,
                         struct chunk_info *out);

/* How far the chunk at the beginning of data reaches, and its head: up to the end of its mdat, which may lie beyond. ERR_PROTO: data
 * ends before the mdat's body, or its boxes are none. */
int box_chunk_length(const uint8_t *data, size_t len_bytes, size_t *head_bytes, uint64_t *chunk_bytes);

/* A whole chunk in memory, nothing before or behind it. */
int box_chunk_parse(const uint8_t *data, size_t len_bytes, const struct init_info *init, struct chunk_info *out);

int64_t box_ticks_to_us(uint64_t ticks, uint32_t timescale); /* to the nearest */

#endif
