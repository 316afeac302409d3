/* piece.h - which chunks of a volume hold some bytes of it, by the records beside the volume, and whether what came from
 * elsewhere are these chunks. Only whole chunks have a checksum, so more is read than was asked for. Blocks for some small
 * reads of the index file; any thread. */
#ifndef ORIGIND_PIECE_H
#define ORIGIND_PIECE_H

#include "originD/log/volume.h"

struct piece {
        uint64_t from, len; /* of the mp4: whole chunks */
        struct volume_record *chunks;
        size_t count;
};

/* The chunks that hold [from, from + len). ERR_NOT_FOUND: there is no such index file; ERR_CORRUPT: it is damaged there, or has
 * no chunks for all of this; ERR_IO …. Nothing is held then. */
int piece_find(struct piece *out, const char *idx_path, uint64_t from, size_t len);

bool piece_is(const struct piece *p, const uint8_t *bytes); /* p->len bytes are these chunks */
void piece_free(struct piece *p);

#endif
