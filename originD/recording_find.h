/* recording_find.h - which stored bytes a place of a recording's one file is made of (recording.h). Loop thread.
 *
 * The file has the tallest picture and the best sound, and all volumes of them that are here: what is lacking is a hole, and
 * the file is shorter. So it changes when volumes go or come; its size tells (which is in its ETag). Only of what ended. */
#ifndef ORIGIND_RECORDING_FIND_H
#define ORIGIND_RECORDING_FIND_H

#include "originD/recording.h"
#include "originD/session.h"

struct recording_place {
        uint64_t size;      /* of the file */
        struct buf *header; /* the place is in it: the caller's to unref. NULL: it is in a segment: */
        struct chunk_log *log;
        struct segment_view view; /* where it is stored */
        size_t track;             /* of the file */
        uint32_t segment, origin_segment;
        size_t skip; /* the place is so far into it */
};

/* SEGMENT_HERE: *out is the place. SEGMENT_NONE: there is none, and out->size is right, 0 if there is no recording. Otherwise as
 * chunk_log_segment(): an index has to be read first. */
enum segment_state recording_find(const struct session *s, uint64_t offset, bool may_read, struct recording_place *out);

#endif
