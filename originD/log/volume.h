/* volume.h - one volume of a track, on the disk: so many segments of it as a fragmented MP4 that plays by itself, and the
 * records of its chunks beside it.
 *
 *   TRACK/000042.mp4   the init segment, then the chunks of segments [42·V, 43·V)
 *   TRACK/000042.idx   a header, then a record a chunk, written right behind the chunk; of a closed volume a last record
 *                      with the sums and the CRC32C of the whole mp4
 *
 *   OPEN     volume_create(), or volume_open() after a start;  volume_append()
 *   CLOSED   volume_close();  volume_open() reads it
 *   gone     volume_remove()
 *
 * volume_open() believes records, looks at the boxes where there are none, and checks what it is told to by CRC. It never
 * throws anything away: an unfinished tail is moved to NAME.torn-N before the file is cut to the last whole chunk; a volume
 * with damage inside is kept as NAME.damaged-N, and what is whole in it is copied into a new one. A segment that lost a
 * chunk is left out whole, for it would otherwise be another one than was served: its number is lacking, and a peer has it.
 *
 * Everything but the records' two ways blocks, and is for the pool. Errors are those of errno (err_from_errno); on every
 * one of them the files are as they were. Numbers in the files are little-endian. */
#ifndef ORIGIND_VOLUME_H
#define ORIGIND_VOLUME_H

#include <stdbool.h>

#include "common/buf.h"
#include "originD/log/index.h"

#define VOLUME_HEADER_BYTES 64
#define VOLUME_RECORD_BYTES 40
#define VOLUME_SEGMENTS_MAX 3600
#define VOLUME_NAME_MAX 16 /* 4294967295.mp4 */

/* What the volumes of a track have in common; it outlives every call. */
struct volume_track {
        const char *dir;
        const struct init_info *info;
        const struct buf *init;
        uint32_t segments; /* of a volume */
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

bool volume_parse_name(const char *name, uint32_t *number); /* of an mp4 */
char *volume_path(const char *dir, uint32_t number, const char *suffix); /* "mp4", "idx"; the caller's to free */
static inline uint32_t volume_of(const struct volume_track *t, uint32_t segment)
{
        return segment / t->segments;
}

struct volume_files {
        int mp4, idx; /* -1: none */
};

/* sync: their names are durable. ERR_CONFLICT: there is something of that name. On an error nothing is left. */
int volume_create(const struct volume_track *t, uint32_t number, bool sync, struct volume_files *out);

/* Writes the chunk at r->offset, the end of the mp4, and its record, the nth. On an error both files are cut back; *unsure:
 * that failed too, or what is on the disk is not what was written (a sync failed), so nobody may append any more. */
int volume_append(const struct volume_files *f, const struct buf *chunk, const struct volume_record *r, uint32_t nth, bool sync,
                  bool *unsure);

/* Adds the last record, makes all of it durable, closes the files. crc_known: sum->crc is; otherwise the mp4 is read for it. */
int volume_close(struct volume_files *f, struct volume_sum *sum, bool crc_known);
int volume_leave(struct volume_files *f); /* the same without the last record: of one that is not whole */
void volume_files_close(struct volume_files *f);

enum volume_check {
        CHECK_RECORDS, /* they are believed */
        CHECK_TAIL,    /* the chunks of the last two segments are compared with their CRCs */
        CHECK_ALL
};

struct volume_found {
        struct index index;
        struct volume_files files; /* open for appending, if that was asked for */
        bool closed;           /* it has its last record, or has been given one */
        bool was_closed;       /* it had one */
        struct volume_sum sum; /* crc only of a closed one */
        bool lacking;          /* segments of it were damaged: who is not in the index may be elsewhere */
        uint32_t lost_segments;
        uint64_t torn_bytes, damaged_bytes;
};

/* Opens a volume for appending (its last record is taken off then), or reads the index of a closed one; mends what has to
 * be mended, as above. ERR_NOT_FOUND: there is no such file. ERR_CORRUPT: no whole chunk is in it; it is set aside. */
int volume_open(const struct volume_track *t, uint32_t number, bool append, enum volume_check check, struct volume_found *out);

/* Whether the index file of a closed volume is whole and of these sums; changes nothing. ERR_CORRUPT: it is not; ERR_NOT_FOUND. */
int volume_check_index(const char *dir, uint32_t number, const struct volume_sum *sum);

/* Forgets everything from the segment on, of a volume that is open for appending, and says what is left. *unsure as above. */
int volume_cut(const struct volume_track *t, uint32_t number, struct volume_files *f, uint32_t segment, struct index *out,
               bool *unsure);

int volume_remove(const struct volume_track *t, uint32_t number);

#endif
