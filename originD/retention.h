/* retention.h - what goes, and when: recordings that ended, by age and by bytes, whole, the oldest first; of live sessions
 * volumes behind the window that viewers can go back in, where the configuration says so. What goes when the disk is full is
 * room.h's.
 *
 * `recording` is configuration by stream, the first entry whose "match" fits decides (common/pattern.h):
 *     {"match": "cam-*", "rewind": "all" | SECONDS, "live": "none" | "all" | SECONDS, "after_s": N, "after_bytes": N}
 * rewind: how far back a live viewer can go. live: how much of a broadcast that goes on is kept, "none" being what rewind needs, which is
 * the least. after_s: how long after its end (0: for ever), after_bytes: of all recordings of the stream (0: no bound). What is left out
 * is time_shift_s, "all", retention_s and no bound.
 *
 * Age is told by a clock that cannot jump (age_clock.h), and of all recordings no more than a share goes in a minute for their age.
 * Loop thread. */
#ifndef ORIGIND_RETENTION_H
#define ORIGIND_RETENTION_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"

#define RETENTION_SWEEP_US (5 * US_PER_S)
#define RETENTION_SHARE 20     /* a minute one of so many, */
#define RETENTION_AT_LEAST 4   /* or so many */
#define RETENTION_LOOKS_MAX 500 /* recordings that a sweep looks at */
#define RETENTION_BUSY_US (60 * US_PER_S) /* so long the oldest recording is waited for, before a newer one goes in its place; */
#define RETENTION_BUSY_FULL_US (2 * US_PER_S) /* and so long on a full disk, where broadcasts wait for the room */

struct session;
struct store;

struct retention {
        int64_t minute_mono_us;
        size_t minute_removed;
        int64_t busy_wall_us;        /* when the recording ended that is next and is being read; 0: none was at the last look */
        int64_t busy_since_mono_us;  /* and since when it is waited for */
};

int retention_check_config(const void *value, char *why, size_t why_cap); /* of `recording` */

/* How far back viewers of the live stream can go: what manifests state. RETENTION_REWIND_ALL_S: to its beginning. A full disk may take
 * what is beyond time_shift_s all the same (room.h). */
#define RETENTION_REWIND_ALL_S (366 * 86400)
int64_t retention_rewind_s(const struct store *st, const char *stream);

/* Removes what is due now, by age_clock.h's time. Returns how many recordings. */
size_t retention_sweep(struct store *st, int64_t now_us);

/* For room.h: the oldest recording of which something is here and that may go now, NULL: none; its removal, which returns how many bytes
 * it brings; and how many may go at once. */
struct session *retention_oldest(const struct store *st);
uint64_t retention_remove_for_room(struct store *st, struct session *s);
unsigned retention_at_once(const struct store *st);
bool retention_waits(struct store *st, const struct session *next); /* for an older one than that, which is being read just now */
void retention_not_again(struct store *st, int64_t ended_wall_us); /* what ended until then is not to be copied from a peer again */

/* Whether a recording that another origin has would stay, if it were copied. */
bool retention_wants(const struct store *st, const char *stream, int64_t ended_wall_us, int64_t now_us);

#endif
