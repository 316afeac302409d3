/* recording.h - a recording as one file, made while it is read: the segments of a picture and a sound track in one fragmented
 * MP4. Pure; any thread.
 *
 *   file   header (ftyp and a moov with both tracks), then a part for each volume, in order
 *   part   the segments of that volume of each track, by their numbers, the first track's before the second's
 *
 * Volumes of all tracks are cut at the same segments, so a part needs the indexes of its own volumes only (index.h).
 *
 * No segment changes its length: track id, number and time are written over in place, and what means something only at a
 * segment's beginning (styp, prft) becomes free space. So where everything lies follows from the indexes: the file has a length
 * before it is read, any range of it can be answered, and an interrupted download goes on. Whoever reads does
 *
 *   recording_header()                                  once: its length is where the first part begins
 *   recording_seek(), then recording_next() → read that segment from its volume → recording_rewrite() → send
 *
 * and holds one segment at a time. What is lacking is a hole: its segments are simply not there. */
#ifndef ORIGIND_RECORDING_H
#define ORIGIND_RECORDING_H

#include "common/buf.h"
#include "originD/log/index.h"
#include "proto/store.h"

#define RECORDING_TRACKS_MAX 2

/* The init segments, as stored, to the beginning of the file. They become tracks 1, 2; duration_us is told to players (0: it
 * is not known, the session is live). ERR_PROTO: one of them is no init segment. *out is the caller's to unref. */
int recording_header(struct buf **out, const struct buf *const inits[], size_t count, int64_t duration_us);

/* The rows of the volumes' indexes; of a track without this volume NULL, 0. */
struct recording_part {
        const struct index_row *rows[RECORDING_TRACKS_MAX];
        size_t count[RECORDING_TRACKS_MAX];
};

/* Where a segment stands. */
struct recording_piece {
        size_t track, row; /* rows[track][row] */
        uint64_t offset;     /* in the part */
        uint32_t len_bytes;
};

struct recording_cursor { /* zeroed: at the part's beginning */
        size_t at[RECORDING_TRACKS_MAX];
        uint64_t offset;
};

uint64_t recording_part_bytes(const struct recording_part *p);
/* The piece at the cursor; moves it behind. false: the part's end. */
bool recording_next(struct recording_cursor *c, const struct recording_part *p, struct recording_piece *out);
/* To the piece that holds this byte of the part, which lies in it: from where the cursor stands, if that is not behind it. */
void recording_seek(struct recording_cursor *c, const struct recording_part *p, uint64_t offset);

/* Makes a stored segment (all of it) one of the file. init: of its track; track: as in the piece; origin_segment: with which
 * the recording begins, as its time is 0. ERR_PROTO: these are no chunks of this track, or lie before; they may be half
 * rewritten then. */
int recording_rewrite(uint8_t *bytes, size_t len_bytes, const struct init_info *init, size_t track, uint32_t segment,
                      uint32_t origin_segment);

#endif
