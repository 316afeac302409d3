/* recording_find.h - which stored bytes a place of a recording's one file is made of (recording.h). Loop thread.
 *
 * The file has the tallest picture and the best sound, or a track that is named, and all volumes of them that are here: what is
 * lacking is a hole, and the file is shorter. So it is another file when volumes go or come, which its identity tells (the
 * ETag is made of it). What cannot be read, or is being looked at, is no hole: there is no file until that is over. Only of what ended.
 *
 * A file is read piece by piece, and the plan goes with it: the first question walks all volumes once, the next go on where the
 * one before was, so that a file is read in as many steps as it has volumes and segments, and is laid out as it was when it was begun. */
#ifndef ORIGIND_RECORDING_FIND_H
#define ORIGIND_RECORDING_FIND_H

#include "originD/recording.h"
#include "originD/session.h"

/* Zeroed: nothing is known yet. */
struct recording_plan {
        bool known;
        uint64_t version, change; /* of the session, when it was made: with another one it is made anew */
        uint64_t size, identity, header_bytes;
        /* Where the last piece was. */
        uint64_t begin;           /* of its volume; 0: there was none yet */
        size_t row[RECORDING_TRACKS_MAX]; /* the first ones that are not before it */
        struct recording_cursor cursor; /* in it, behind the piece */
};

struct recording_place {
        uint64_t size;      /* of the file */
        uint64_t identity;  /* another one: another file, if only of the same size */
        bool sound_alone;   /* there is no picture in the file */
        struct buf *header; /* the place is in it: the caller's to unref. NULL: it is in a segment: */
        struct chunk_log *log;
        struct segment_view view; /* where it is stored */
        size_t track;             /* of the file */
        uint32_t segment, origin_segment;
        size_t skip; /* the place is so far into it */
};

/* track: "" for the best. SEGMENT_HERE: *out is the place. SEGMENT_NONE: there is none, and out->size is right, 0 if there is no
 * recording. Otherwise as chunk_log_segment(): an index has to be read first, or (SEGMENT_LOADING, too) a volume is just being
 * closed, looked at or replaced; SEGMENT_LACKING: the place has gone since it was planned, or more is being copied from another
 * origin. */
enum segment_state recording_find(const struct session *s, const char *track, uint64_t offset, bool may_read,
                                  struct recording_plan *plan, struct recording_place *out);

bool recording_has(const struct session *s, const char *track); /* of one that is loaded */
void recording_list_tracks(const struct session *s, char *dst, size_t cap); /* "v720, a128" */

#endif
