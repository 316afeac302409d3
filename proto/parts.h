/* parts.h - the parts of a segment, which low-latency HLS asks for one by one: PART_CHUNKS chunks each, but for the last one.
 *
 * A part is a view on its segment, told by the boxes: origins say in playlists how many there are, edges cut them out of the one object
 * that they have of the segment. So both count them here. Chunks are counted, and not told by their times: where a chunk of the grid has
 * no picture the others move up.
 *
 * Two chunks are 400 ms. Parts of one chunk would be no shorter than 85 % of the longest only where a chunk holds the same number of
 * pictures each time, and at 29.97, 23.976 or 12.5 pictures a second it does not. Pure; any thread. */
#ifndef PROTO_PARTS_H
#define PROTO_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/store.h"

#define PART_CHUNKS 2
#define PARTS_OF_SEGMENT ((CHUNKS_PER_SEGMENT + PART_CHUNKS - 1) / PART_CHUNKS) /* of a segment */

/* The bytes of a segment, as far as they are there. */
struct parts_of {
        /* Copies up to max bytes from pos, which are there, or fewer; returns how many. 0: it cannot be read. */
        size_t (*read)(void *arg, uint64_t pos, void *dst, size_t max);
        void *arg;
        uint64_t len_bytes;
        bool complete; /* there will be no more */
};

enum part_state {
        PART_HERE,    /* *from, *len_bytes say where */
        PART_NOT_YET, /* it is not whole, or has not begun */
        PART_NONE     /* the segment ends before */
};
enum part_state parts_find(const struct parts_of *p, unsigned number, uint64_t *from, uint64_t *len_bytes);

#endif
