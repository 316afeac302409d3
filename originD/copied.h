/* copied.h - volumes that the archive has too, on a full disk: their files here go before anything that somebody would miss.
 *
 * The archiver does the same with a volume that is old enough (archive/archiver.h); for room age does not matter. The index file stays,
 * so what there is of the recording stays the same for everybody. Not those of a live session that viewers can go back to, nor its newest
 * closed one, in which it may have to go on after a start. Loop thread only. */
#ifndef ORIGIND_COPIED_H
#define ORIGIND_COPIED_H

#include <stdint.h>

struct store;

struct copied {
        uint64_t bytes;        /* of files that are on their way out */
        int64_t again_mono_us; /* the disk refused one: none is tried before that */
};

/* Begins to remove files of so many bytes. Returns how many are on their way, those of recordings that are being read for it among them.
 * */
uint64_t copied_make_room(struct store *st, uint64_t bytes);

#endif
