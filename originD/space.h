/* space.h - whether what comes can be written: how much is free on the disk, looked at every second, and what follows from it.
 *
 *   enough    writes are taken
 *   no space  there is less than min_free_bytes, and no recording that may go for it, or a write failed for lack of space
 *   failing   there was no space, and when that was to be over a write on trial failed for something else
 * In the latter two PUTs are refused, and a write is tried each time it is looked. A look that failed (EIO, EMFILE, a mount that is
 * gone) changes nothing: it is not known that the disk is full, so nothing is removed for it. Loop thread. */
#ifndef ORIGIND_SPACE_H
#define ORIGIND_SPACE_H

#include <stdbool.h>
#include <stdint.h>

struct store;

struct space {
        bool measuring;
        int64_t measured_mono_us;
        int unmeasured; /* 0, or why the last look failed */
        int64_t filled_bytes, filled_mono_us; /* up to where store.fill_bytes_s was counted */
};

void space_tick(struct store *st, int64_t now_mono_us);
void space_set(struct store *st, int why_not); /* 0: writes are taken; ERR_NOSPACE and others: they are not */

#endif
