/* space.h - whether what comes can be written: how much is free on the disk, looked at every second, and what follows from it.
 *
 *   enough    writes are taken
 *   no space  there is less than min_free_bytes, or room for fewer files than SPACE_FILES_MIN, and nothing that may go for it (room.h),
 *             or a write failed for lack of space
 *   failing   a write failed for something else (EIO, EROFS, no descriptor), and so did one on trial
 *   hanging   writes are under way, and for SPACE_HANG_US none of them has come back, nor, in the latter half of that, one on trial: as failing,
 *             until one does
 * In the latter three PUTs are refused, and a write is tried each time it is looked. A look that failed (EIO, EMFILE, a mount that is
 * gone) changes nothing: it is not known that the disk is full, so nothing is removed for it. And where there is free space, and a
 * write fails for lack of it all the same (a quota, a limit of the process), SPACE_TRIES recordings or volumes are removed to see whether
 * that helps, and no more. Loop thread. */
#ifndef ORIGIND_SPACE_H
#define ORIGIND_SPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

#define SPACE_TRIES 3
/* A volume begins with two files, of each track at the same time, and each save makes one. With one left the file of the write on trial can
 * be made and the next volume cannot: the disk would be full and not full in turn. */
#define SPACE_FILES_MIN 64
#define SPACE_TOLD_US (60 * US_PER_S)
#define SPACE_HANG_US (10 * US_PER_S)
#define SPACE_HANG_STEP_US (US_PER_S / 2) /* counted at most between two ticks: this process may have stood still, not the disk */

struct store;

struct space {
        bool measuring;
        int64_t measured_mono_us;
        int unmeasured; /* 0, or why the last look failed */
        bool doubted;   /* a write failed, so the next look tries one */
        unsigned tries; /* recordings, or volumes of live sessions, removed in a row that did not make writing possible */
        int64_t told_mono_us; /* of a write that failed */
        int64_t ticked_mono_us, hanging_us; /* how long no write has come back, */
        uint64_t writes_over;               /* since there were so many that had */
        int64_t filled_bytes, filled_mono_us; /* up to where store.fill_bytes_s was counted */
};

void space_tick(struct store *st, int64_t now_mono_us);
/* A chunk could not be written, and not for lack of space. Told once a minute, not with each chunk: writers try again and again. */
void space_doubt(struct store *st, const char *session, const char *track, int status);
void space_set(struct store *st, int why_not); /* 0: writes are taken; ERR_NOSPACE and others: they are not */
int space_refusal(const struct store *st); /* what a writer is told: 0, ERR_NOSPACE, ERR_IO */

#endif
