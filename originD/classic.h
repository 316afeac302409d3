/* classic.h - what a track has, for players of HLS that are old: segments of several seconds, which are stored seconds joined (joined.h), and
 * nothing of low latency.
 *
 * Segment g has the seconds [g·n, g·n + n) of media time, n being manifest_options.classic_s, and #EXT-X-MEDIA-SEQUENCE counts them from the session's
 * beginning. One is told when all of it is there, and so it never changes: only the last one of a recording, and the first one of a track that
 * joined later, are shorter. Its name says how many seconds it has, so that what is kept somewhere under it stays right when classic_s is
 * another one day. Behind a kind of a recording that was over before the other there are single seconds (stand_in.h). Pure; loop thread. */
#ifndef ORIGIND_CLASSIC_H
#define ORIGIND_CLASSIC_H

#include "originD/manifest.h"

#define CLASSIC_FILE "classic.m3u8"
#define CLASSIC_VERSION 6 /* EXT-X-MAP in any playlist */

bool classic_ready(const struct session *s, const struct track *t, const struct manifest_options *o); /* t has a log; a segment of it is there */

/* When it is. The caller's to unref. */
struct buf *classic_write(const struct session *s, const struct track *t, const struct manifest_options *o);

#endif
