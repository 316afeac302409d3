/* merge.h - what several nodes answered to one question for a list, put together. Pure; any thread.
 *
 * Each origin knows the streams it owns, and several own each. The same lists make the same bytes, in whatever order they come: so all
 * edges have the same ETag.
 *
 * /api/streams: a stream is told once, with the session that started last, and if that is the same, live before slate before ended (an
 * origin that missed a session has the one before it).
 *
 * /api/recordings: a recording has one place at all origins, so pages are merged by it. What one origin's page does not reach any more,
 * while it has a next one, is left for the next page of all: otherwise what that one has there would be missed. A page of a node that
 * would lead backwards is left out, and nobody is sent round in a circle. */
#ifndef EDGED_MERGE_H
#define EDGED_MERGE_H

#include "common/buf.h"
#include "proto/key.h"

#define MERGE_PAGE 100 /* recordings a page */

/* What is no such list is left out. The list is the caller's to unref. */
struct buf *merge_streams(struct buf *const *lists, size_t count);
struct buf *merge_recordings(const struct key *page, struct buf *const *lists, size_t count); /* KEY_RECORDINGS */

#endif
