/* transfer.h - a volume to the object store, back from there, or out of it: one try of it. Blocks; a thread of archive.c's.
 *
 * A volume is two objects, NAME.mp4 and NAME.idx, put in this order and removed in the other: where the second is, the first is
 * whole. */
#ifndef ORIGIND_ARCHIVE_TRANSFER_H
#define ORIGIND_ARCHIVE_TRANSFER_H

#include "common/buf.h"
#include "originD/archive/s3.h"

#define TRANSFER_REMOVE_AT_ONCE 1000 /* names that are held */

enum transfer_verb { TRANSFER_PUT, TRANSFER_READ, TRANSFER_FETCH, TRANSFER_REMOVE };

struct transfer {
        enum transfer_verb verb;
        char *name; /* of the volume; REMOVE: what names begin with */
        char *mp4_path, *idx_path;
        const char *content_type; /* PUT: of the mp4; constant */
        uint64_t bytes; /* of the mp4, as is its checksum */
        uint32_t crc32c;
        uint64_t from; /* READ: in the mp4 */
        struct buf *into;
        uint32_t below; /* REMOVE: volumes from this number on stay; UINT32_MAX: none does */
        /* What came of the last try, and how many bytes went over the network in all of them. */
        char words[400];
        uint64_t moved;
};

/* 0, or what s3.h's functions say. ERR_CORRUPT: what came are not the bytes that were stored, or the file that was to go is not;
 * ERR_CONFLICT: another object has this name. Of files here: ERR_NOT_FOUND, ERR_NOSPACE, ERR_LIMIT, otherwise ERR_IO. stop ends it:
 * ERR_CANCELED. */
int transfer_try(struct transfer *t, struct s3 *s, const atomic_bool *stop);
void transfer_free(struct transfer *t); /* what it holds */

#endif
