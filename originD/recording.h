/* recording.h - a recording as one file, made while it is read: the segments of a picture and a sound track in one progressive MP4, of
 * the kind that every player, editor and CDN takes. Pure; any thread.
 *
 *   file   header: ftyp, a moov that says where each sample lies (sample_tables.h), and the beginning of the mdat,
 *          whose body is a part for each volume, in order
 *   part   the segments of that volume of each track, by their numbers, the first track's before the second's
 *
 * Volumes of all tracks are cut at the same segments, so a part needs the indexes of its own volumes only (index.h).
 *
 * Segments stand in the mdat as they are stored, the boxes of their chunks with them: nobody looks at what no sample is said to be, and
 * it is one byte in a hundred. So nothing is rewritten, and where everything lies follows from the indexes and the length of the header:
 * any range of the file can be answered, and an interrupted download goes on. Whoever reads does
 *
 *   recording_header()                                  once: its length is where the first part begins
 *   recording_seek(), then recording_next() → send so much of that segment, from its volume
 *
 * What is lacking is a hole: its segments are simply not there, and the sample before it lasts until the next one. */
#ifndef ORIGIND_RECORDING_H
#define ORIGIND_RECORDING_H

#include "common/buf.h"
#include "originD/log/index.h"
#include "originD/sample_tables.h"
#include "proto/store.h"

#define RECORDING_TRACKS_MAX 2
#define RECORDING_TABLES_MAX (RECORDING_TRACKS_MAX * SAMPLE_TABLES_MAX)

struct recording_track {
        const struct buf *init;             /* as it is stored */
        const struct sample_tables *tables; /* ended; `at` counted from the first part on */
};

/* The file's beginning, of which the entries of tables are written when they are read: of a day 40 MB, which take a third of that as they
 * are kept. Zeroed: there is none. */
struct recording_header {
        struct buf *boxes; /* all but the entries */
        struct recording_entries {
                struct sample_table table;
                size_t at;             /* in the boxes, behind which they stand */
                uint64_t begin, bytes; /* in the file */
        } entries[RECORDING_TABLES_MAX];
        size_t entries_count;
        uint64_t len;
};

/* The tracks become tracks 1, 2, and their tables stay where they are as long as the header does. origin_segment: where it begins, as its
 * time is 0; media_bytes: of all parts. ERR_PROTO: one of them is no init segment; ERR_LIMIT: too long. Nothing is held then. */
int recording_header_make(struct recording_header *h, const struct recording_track tracks[], size_t count, uint32_t origin_segment,
                          uint64_t media_bytes);
void recording_header_of(struct recording_header *h, struct buf *bytes); /* as they are; takes the reference */
void recording_header_read(const struct recording_header *h, uint64_t from, uint8_t *dst, size_t len); /* which lies in it */
void recording_header_free(struct recording_header *h);

/* All of it at once; the caller's to unref. */
int recording_header(struct buf **out, const struct recording_track tracks[], size_t count, uint32_t origin_segment, uint64_t media_bytes);

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

#endif
