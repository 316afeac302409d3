/* gather.h - the list of streams: asked of every node of the tier above at once, and put together.
 *
 * Each origin knows the streams it owns. The same stream from several is one: the session that started last, and if
 * that is the same, live before slate before ended (an origin that missed a session has the one before it). What a node
 * sends that is no such list is left out. Loop thread only. */
#ifndef EDGED_GATHER_H
#define EDGED_GATHER_H

#include "edged/upstream.h"

#define GATHER_BYTES_MAX (4u << 20) /* of one node's list */

/* err: ERR_CLOSED when no node answered. json is the caller's of done for the call only. Never called from gather_begin()
 * unless there is no node to ask. */
typedef void gather_done(void *arg, int err, struct buf *json);
void gather_begin(struct upstream *u, uint8_t hops, gather_done *done, void *arg);

/* Joins count lists; pure. Returns the list as a new buf. */
struct buf *gather_merge(struct buf *const *lists, size_t count);

#endif
