/* joined.h - several stored seconds of a track as one segment, for players that know nothing shorter: which of them holds a byte of it.
 *
 * Nothing is stored twice: the segment is its seconds one after the other, and is answered second by second. It is there when all of them
 * are whole, so it never grows, and never changes. Seconds that nobody ever wrote are left out of it, and so are those behind the end of
 * a recording. When retention takes one of its seconds it is gone.
 * Loop thread. */
#ifndef ORIGIND_JOINED_H
#define ORIGIND_JOINED_H

#include "originD/session.h"
#include "proto/key.h"

struct joined_place {
        struct segment_view view; /* the second that has the byte; size: there is none, as offset is the end */
        uint64_t at;              /* where that second begins in the joined segment */
        uint64_t size;            /* of that */
};

/* SEGMENT_HERE: *out is the place. SEGMENT_NONE: *not_yet says whether it may yet come. Otherwise as chunk_log_segment() says of the
 * first second that is not there. t has a log. */
enum segment_state joined_find(const struct session *s, const struct track *t, const struct key *k, uint64_t offset, bool may_read,
                               struct joined_place *out, bool *not_yet);

#endif
