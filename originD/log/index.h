/* index.h - where in a volume's file each segment lies, and where it ends. Pure.
 *
 * Only whole chunks are in it; 10 KB for ten minutes. Built by chunk_log.c as chunks are written, or by survey.c from the
 * records beside the file. */
#ifndef ORIGIND_INDEX_H
#define ORIGIND_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "originD/log/box.h"

#define SEGMENT_MAX_BYTES (64u << 20)
#define INIT_MAX_BYTES (256u << 10)

struct index_row {
        uint64_t offset; /* in the file */
        uint32_t len_bytes : 31;
        uint32_t cut_short : 1; /* a later segment came before anybody said that this one is complete */
        uint32_t segment;
};

struct index {
        struct index_row *rows; /* rising segments; there may be holes */
        size_t count, cap;
        uint32_t timescale;
        unsigned chunk_ms; /* the session's grid */
        uint64_t init_bytes, file_bytes; /* file_bytes: where the last whole chunk ends */
        uint64_t start_ticks, end_ticks; /* of all that is stored; 0 without chunks */
        uint64_t slack_ticks;            /* so much sooner than the end the next sample may be: index_add(); at least a tick */
        uint32_t chunks;
        uint64_t media_ticks, samples;   /* sums over the chunks */
        uint32_t peak_bytes;             /* of the largest segment */
        bool last_complete;              /* nothing more comes in the last row's segment */
};

void index_init(struct index *ix, uint32_t timescale, unsigned chunk_ms, uint64_t init_bytes);
void index_free(struct index *ix);

/* What a chunk is to a track. It may begin slack_ticks before the other's end, but never in a segment that is complete: of
 * that everybody was told that it never changes, so what comes for it counts as stored. */
enum index_place { INDEX_NEXT, INDEX_STORED, INDEX_OUT_OF_ORDER };
enum index_place index_place(const struct index *ix, const struct chunk_info *c, uint32_t segment);

/* Which chunk of the grid begins at these ticks, or a tick later: a place of eras.h. */
uint64_t index_grid_place(uint64_t start_ticks, uint32_t timescale, unsigned chunk_ms);

/* The same as a chunk of that segment, in which they lie, give or take a tick. */
uint8_t index_grid_chunk(uint64_t start_ticks, uint32_t timescale, unsigned chunk_ms, uint32_t segment);

/* 1: ticks lie in that chunk of that segment, give or take a tick. */
int index_on_grid(uint64_t ticks, uint32_t timescale, unsigned chunk_ms, uint32_t segment, uint8_t chunk);

/* The chunk is in the file behind all others. ERR_LIMIT: its segment would be over SEGMENT_MAX_BYTES; nothing changes. */
int index_room(const struct index *ix, uint32_t segment, uint64_t chunk_bytes);
void index_add(struct index *ix, const struct chunk_info *c, uint32_t segment, uint32_t chunk_bytes, bool last,
               int64_t guess_ticks);
/* Of guess_ticks, which says whether the length of the chunk's last sample was known to who made its boxes: it was not, and the
 * next sample may come so many ticks sooner than they say (> 0), or half a sample if that is more, for the last one was not
 * expected to be so near; INDEX_EXACT: it was; INDEX_UNKNOWN: nobody says, so half a sample, but not into a segment that is
 * complete, where the last sample itself may be that near to the end. */
#define INDEX_EXACT 0
#define INDEX_UNKNOWN (-1)

/* Forgets the segment and all behind it. The end is then an upper bound and the sums are as before, until the index is made
 * anew from the records. */
void index_forget(struct index *ix, uint32_t segment);

const struct index_row *index_find(const struct index *ix, uint32_t segment); /* NULL: not there */
bool index_ends_segment(const struct index *ix); /* the last chunk reaches the end of its segment */
bool index_complete(const struct index *ix, const struct index_row *row);

/* Of the index of a volume behind which others stand: its beginning is in it, but nobody said that it is all. A writer that went on
 * behind a hole leaves such a segment to everybody; in a volume of which something is lacking the rest may be what is lacking. */
bool index_lacks_rest(const struct index *ix, const struct index_row *row);

/* The place on the grid behind the last chunk, never in a segment that is complete. *end_us is slack_ticks early, so that no
 * sample that is not stored begins before it: one that does begin before the place belongs there all the same. */
void index_next(const struct index *ix, uint32_t *segment, uint8_t *chunk, int64_t *end_us);

#endif
