/* recent.h - the last seconds of a session's chunks, in memory, for an origin that lost the end of what it had (push_join.c).
 *
 * A track loses its oldest segment, whole, once that ended keep_us before the newest chunk, and the session its oldest one
 * when there are more than keep_bytes. The newest segment of a track always stays. Loop thread only. */
#ifndef TRANSCODERD_PUSH_RECENT_H
#define TRANSCODERD_PUSH_RECENT_H

#include <stdbool.h>

#include "transcoderd/chunk.h"

struct recent_chunk {
        struct recent_chunk *next;
        struct chunk chunk; /* bytes: a reference */
};

struct recent_track {
        struct track_info info; /* init: a reference; NULL: there is no such track (yet) */
        struct recent_chunk *first, **last;
        bool forgot; /* some of what this writer made is not here any more */
};

struct recent {
        int64_t keep_us;
        size_t keep_bytes;
        size_t bytes;
        struct recent_track tracks[SESSION_TRACKS_MAX];
};

void recent_init(struct recent *r, int64_t keep_us, size_t keep_bytes);
void recent_fini(struct recent *r);
void recent_track(struct recent *r, const struct track_info *info);
void recent_chunk(struct recent *r, const struct chunk *c);

#endif
