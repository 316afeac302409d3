/* parts.h - the parts of a segment, which low-latency HLS asks for one by one: so many chunks each, PART_CHUNKS_MAX at most; the last one
 * has what is left.
 *
 * A part is a view on its segment, told by the boxes: origins say in playlists how many there are, edges cut them out of the one object
 * that they have of the segment. So both count them here. Chunks are counted, and not told by their times: where a chunk of the grid has
 * no picture the others move up.
 *
 * Parts of PART_MS are no shorter than 85 % of the longest only where they hold the same number of pictures each time, or many; at 29.97,
 * 23.976 or 12.5 pictures a second they have to last twice as long, at 11, 12 or 14.985 three times. How many chunks that is the
 * session's grid says, and the part's name (17.1x2.m4s). Pure; any thread. */
#ifndef PROTO_PARTS_H
#define PROTO_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/store.h"

#define PART_MS 200 /* at least */
#define PART_CHUNKS_MAX (3 * PART_MS / CHUNK_MS_SHORT)
#define PARTS_OF_SEGMENT (1000 / PART_MS) /* at most */
#define PART_NAME_MAX 24

/* The bytes of a segment, as far as they are there. */
struct parts_of {
        /* Copies up to max bytes from pos, which are there, or fewer; returns how many. 0: it cannot be read. */
        size_t (*read)(void *arg, uint64_t pos, void *dst, size_t max);
        void *arg;
        uint64_t len_bytes;
        bool complete; /* there will be no more */
        unsigned chunks; /* of a part: 1 to PART_CHUNKS_MAX */
};

enum part_state {
        PART_HERE,    /* *from, *len_bytes say where */
        PART_NOT_YET, /* it is not whole, or has not begun */
        PART_NONE     /* the segment ends before */
};
enum part_state parts_find(const struct parts_of *p, unsigned number, uint64_t *from, uint64_t *len_bytes);

/* "17.1.m4s" is part 1 of "17.m4s", of one chunk, "17.1x2.m4s" of two each, up to PART_CHUNKS_MAX. text is a path: false, and it is
 * unchanged, when its last name is none of a part; otherwise it is the segment's then. That this is one, and well-formed, key_parse()
 * says. */
bool parts_take_name(char *text, unsigned *number, unsigned *chunks);
void parts_write_name(char name[PART_NAME_MAX], uint32_t segment, unsigned number, unsigned chunks); /* without a path */

#endif
