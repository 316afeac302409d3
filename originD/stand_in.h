/* stand_in.h - what a recording has of a kind of media where that kind was over, or had not begun: its last picture, or its first; silence.
 *
 * A camera's picture may end long before its sound, or come after it, and the other way round. A player in a browser stops where one
 * kind has no more and the other goes on, for its buffers end there; and a kind that one Period of DASH lacks Shaka leaves out of all of
 * them. So a recording has all its kinds from its first second to its last. The seconds that a track does not have before its first one and
 * behind its last one have the names that they would have (n.m4s), and are made when they are asked for and no origin has more: the key
 * picture that the track begins or ends with, or frames of AAC with nothing in them. They are stored nowhere, kept by edges for seconds, and
 * copied to no other origin; and no file for downloads has them, for there each track may be as long as it is.
 *
 * There are none while a broadcast goes on, as what it lacks may yet come, or while something of a recording is being copied. A rendition
 * that ended long before others of its kind has none either: players are not told of it. Pure; loop thread. */
#ifndef ORIGIND_STAND_IN_H
#define ORIGIND_STAND_IN_H

#include "originD/session.h"

struct stand_in {
        uint32_t begin, end;  /* the recording's seconds, [begin, end); begin: no sooner than first, where none stand in before that */
        uint32_t first, stop; /* those that the track has */
        int64_t first_us, stop_us, end_us; /* where its media begin and end, and the recording does */
};

/* false: none stand in for seconds of the track, whose log is there. */
bool stand_in_find(const struct session *s, const struct track *t, struct stand_in *out);
bool stand_in_has(const struct stand_in *in, uint32_t segment); /* one stands in for it */

/* A recording's track that players are not told of. While something of it is being copied nothing stands in, and a track that would cut the
 * others short is one of these, of whatever kind. */
bool stand_in_leaves_out(const struct session *s, const struct track *t);

/* The stored segment that a picture is made of. */
uint32_t stand_in_source(const struct stand_in *in, uint32_t segment);

/* data: the beginning of that segment, all of its first chunk at least. NULL: it is none. The caller's to unref. */
struct buf *stand_in_picture(const struct stand_in *in, const struct init_info *init, uint32_t segment, const uint8_t *data, size_t len);
struct buf *stand_in_silence(const struct stand_in *in, const struct init_info *init, uint32_t segment); /* the caller's to unref */

#endif
