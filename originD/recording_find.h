/* recording_find.h - which stored bytes a place of a recording's one file is (recording.h, layouts.h). Loop thread.
 *
 * A file is read piece by piece, and the plan goes with it: the next question goes on where the one before was. */
#ifndef ORIGIND_RECORDING_FIND_H
#define ORIGIND_RECORDING_FIND_H

#include "originD/layouts.h"

/* Zeroed: nothing is known yet. */
struct recording_plan {
        uint64_t identity; /* of the layout that the rest is about */
        size_t volume;     /* of its volumes, in which the last piece was */
        struct recording_cursor cursor; /* in it, behind the piece */
};

struct recording_place {
        struct chunk_log *log;    /* NULL: the place is in the header */
        struct segment_view view; /* where it is stored */
        size_t track;             /* of the file */
        uint32_t segment;
        size_t skip; /* the place is so far into it */
};

/* offset lies in the file. SEGMENT_HERE: *out is the place. Otherwise as recording_open_volume(): an index has to be read first;
 * SEGMENT_LACKING: the place has gone since the layout was made. */
enum segment_state recording_find(const struct layout *l, const struct session *s, uint64_t offset, bool may_read,
                                  struct recording_plan *plan, struct recording_place *out);

#endif
