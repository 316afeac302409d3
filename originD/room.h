/* room.h - what goes when the disk is full, until so many bytes come free.
 *
 *   first  files of volumes that the archive has too (copied.h): nobody misses them
 *   then   the oldest media, by when it was captured: recordings that ended, whole, and of live sessions the oldest volumes (trimming.h).
 *          A recording is as old as its end: it goes whole, for one that has lost its beginning is no copy of what another origin
 *          has, and both would be read and compared again at each start
 *   never  what viewers of a live session can go back to (time_shift_s), nor its open volumes
 *
 * Something other may have filled the disk. So of live sessions no more goes in a minute than a share of what is stored, or, if that is
 * more, min_free_bytes and twice what comes in a minute, which any disk that only this process fills can be kept with.
 * Loop thread only. */
#ifndef ORIGIND_ROOM_H
#define ORIGIND_ROOM_H

#include <stdbool.h>
#include <stdint.h>

#define ROOM_SHARE 20 /* a minute one of so many bytes */

struct store;

struct room {
        int64_t minute_mono_us;
        uint64_t minute_bytes; /* of live sessions, since then */
        int64_t trimmed_mono_us; /* the last time that one lost something */
};

bool room_make(struct store *st, uint64_t bytes); /* false: there is nothing that may go */

#endif
