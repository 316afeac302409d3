/* space.h - whether what comes can be written: how much is free on the disk, looked at every second, and what follows from it.
 *
 *   enough    writes are taken
 *   no space  there is less than min_free_bytes, or room for fewer files than SPACE_FILES_MIN, and nothing that may go for it (room.h),
 *             or a write failed for lack of space
 *   failing   a write failed for something else (EIO, no descriptor), and so did one on trial; or the file system has become read-only
 *   hanging   writes are under way, and for SPACE_HANG_US none of them has come back, nor, in the latter half of that, one on trial: as failing,
 *             until one does
 * In the latter three PUTs are refused, and claims too where the disk fails or hangs: what they promise could not be kept, and each would
 * fence a writer for nothing. A write is tried each time it is looked then, and every SPACE_IDLE_US where nothing is written: a disk
 * that fails shows before somebody comes to broadcast. A look that failed (EIO, EMFILE, a mount that is
 * gone) changes nothing: it is not known that the disk is full, so nothing is removed for it. And where there is free space, and a
 * write fails for lack of it all the same (a quota, a limit of the process), SPACE_TRIES recordings or volumes are removed to see whether
 * that helps, and no more. Such a quota may let the write on trial through, which is small. So writes that are taken again are on trial
 * themselves: if one fails for lack of space before others were stored for SPACE_TRUST_US, what the small one says is not believed. Then
 * writes are taken again when something was removed, and otherwise later each time, SPACE_WAIT_US at most: full and not full in turn each
 * second would be worse for writers, which have another origin, than full. Loop thread. */
#ifndef ORIGIND_SPACE_H
#define ORIGIND_SPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

#define SPACE_TRIES 3
/* A volume begins with two files, of each track at the same time, and each save makes one. With one left the file of the write on trial
 * can be made and the next volume cannot: the disk would be full and not full in turn. */
#define SPACE_FILES_MIN 64
#define SPACE_TOLD_US (60 * US_PER_S)
#define SPACE_IDLE_US (10 * US_PER_S)
#define SPACE_TRUST_US (10 * US_PER_S)
#define SPACE_WAIT_US (60 * US_PER_S)
#define SPACE_WORDS_MAX 120
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
        int why_errno;                      /* of store.why_full: what the disk said; 0: nothing more */
        int64_t written_mono_us;            /* when a write had come back, or one was on trial, last, */
        uint64_t written;                   /* and how many had by then */
        /* After no space, by ticked_mono_us: */
        bool unproven;       /* writes are taken again, and nobody knows yet whether all of them can be stored */
        bool room_tried, room_came; /* since writes failed last: something was to be removed; was */
        unsigned refuted;    /* times in a row that one failed while they were unproven */
        int64_t full_mono_us, back_mono_us; /* when writes were refused, taken again */
        int64_t back_bytes;  /* that had been stored by then */
        int64_t filled_bytes, filled_mono_us; /* up to where store.fill_bytes_s was counted */
};

void space_tick(struct store *st, int64_t now_mono_us);
/* A chunk could not be written, and not for lack of space. Told once a minute, not with each chunk: writers try again and again. */
void space_doubt(struct store *st, const char *session, const char *track, int status);
/* A write failed for lack of space. */
void space_lack(struct store *st);
/* What is known of a session could not be saved, which is told there. */
void space_save_failed(struct store *st, int status);
/* 0: writes are taken; ERR_NOSPACE and others: they are not. why_errno: what the disk said; 0: nothing more than that */
void space_set(struct store *st, int why_not, int why_errno);
int space_refusal(const struct store *st); /* what a writer is told: 0, ERR_NOSPACE, ERR_IO */
bool space_failing(const struct store *st); /* nothing can be written, and not for lack of space */
/* For /readyz: "" when writes are taken. */
void space_words(const struct store *st, char words[SPACE_WORDS_MAX]);

#endif
