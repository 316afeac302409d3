/* keyframe.h - the key picture that a segment of video begins with, as an object of its own: what a player of HLS shows while somebody winds
 * (EXT-X-I-FRAMES-ONLY).
 *
 * It is a chunk that lasts a second and has one sample, whose bytes are those of the segment's first; a player needs the track's init
 * segment with it and nothing else. Nobody stores it: it is cut out of the segment when it is asked for, and never changes.
 * Pure; loop thread. */
#ifndef ORIGIND_KEYFRAME_H
#define ORIGIND_KEYFRAME_H

#include "originD/manifest.h"

#define KEYFRAME_READ_BYTES BODY_MAX /* of a segment's beginning: all of its first chunk */

/* data: the beginning of a segment, all of its first chunk at least. NULL: it is none. The caller's to unref. */
struct buf *keyframe_cut(const uint8_t *data, size_t len, const struct init_info *init, uint32_t segment);

/* The same picture at another time, for so long. */
struct buf *keyframe_hold(const uint8_t *data, size_t len, const struct init_info *init, uint32_t segment, uint64_t ticks, uint32_t lasts_ticks);

/* The track's playlist of them. t has a log and a whole segment. The caller's to unref. */
struct buf *keyframe_playlist(const struct session *s, const struct track *t, const struct manifest_options *o);

#endif
