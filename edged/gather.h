/* gather.h - a list (/api/streams, /api/recordings): asked of every node of the tier above at once, and put together (merge.h).
 *
 * A node that does not answer, or with too much, is left out: the other owners of its streams have them too. Loop thread only. */
#ifndef EDGED_GATHER_H
#define EDGED_GATHER_H

#include "edged/upstream.h"

#define GATHER_BYTES_MAX (4u << 20) /* of one node's list */

#define GATHER_AT_ONCE_BYTES (64u << 10) /* streams: what is more in sum, and every page of recordings, is put together on a thread of libuv's */

struct gather;

/* *out is valid until done() is called, or it is abandoned. err: ERR_CLOSED when no node answered. json is the caller's of done for the
 * call only. Never called from gather_begin(): when that asked nobody it says why, and *out is as it was. ERR_CLOSED: there is no node;
 * ERR_FULL: there are, and all have too much to do (breaker.h). */
typedef void gather_done(void *arg, int err, struct buf *json);
int gather_begin(struct gather **out, uv_loop_t *loop, struct upstream *u, const char *key, uint8_t hops, gather_done *done, void *arg);

/* done() is not called any more. What is under way ends by itself, before the loop does. */
void gather_abandon(struct gather **g);

#endif
