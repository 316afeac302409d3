/* recent.h - the last seconds of a session's chunks, in memory: for FETCH (serve.c), and for an origin that lost the end of
 * what it had (push.c).
 *
 * A track loses its oldest segment, whole, once that ended keep_us before the newest chunk, and the session its oldest one
 * when there are more than keep_bytes; so a segment that is here is here from its first byte. The newest segment of a track
 * always stays. All but one: a session that goes on may begin in the middle of a segment, whose beginning
 * another transcoder made; that one is never given out. Loop thread only. */
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
        bool begun, forgot; /* forgot: some of what this writer made is not here any more */
        uint32_t from_segment; /* begun: earlier ones are not here */
        uint32_t next_segment; /* the newest one so far, or the one after it if that is complete */
        int64_t end_us;
};

struct recent {
        int64_t keep_us;
        size_t keep_bytes;
        bool goes_on; /* the session had another writer before */
        bool ended;   /* nothing comes any more */
        size_t bytes;
        struct recent_track tracks[SESSION_TRACKS_MAX];
};

void recent_init(struct recent *r, int64_t keep_us, size_t keep_bytes, bool goes_on);
void recent_fini(struct recent *r);
void recent_track(struct recent *r, const struct track_info *info);
void recent_chunk(struct recent *r, const struct chunk *c);
void recent_end(struct recent *r); /* the last segment of every track is complete */

const struct recent_track *recent_find(const struct recent *r, const char *name); /* NULL: no such track */

enum recent_place {
        RECENT_GONE,  /* too old, or not from its beginning */
        RECENT_HERE,  /* *len bytes of it so far; all of it if *complete */
        RECENT_AHEAD, /* nothing of it yet */
};
enum recent_place recent_segment(const struct recent *r, const struct recent_track *t, uint32_t segment, size_t *len,
                                 bool *complete);
/* At most max bytes of a segment that is here, from an offset before its end. The reference is the caller's. */
struct buf *recent_read(const struct recent_track *t, uint32_t segment, size_t offset, size_t max);

#endif
