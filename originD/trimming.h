/* trimming.h - volumes of live sessions on their way out, the oldest of a track first.
 *
 *   forgotten  its row goes: nobody begins to read it, nobody is told of it, and it is not brought again from another origin
 *   saved      TRACK/volumes goes without it
 *   gone       so are its files. Where the disk refuses, both are tried again with each sweep; after a crash between the next
 *              start finds the files, and it is a volume again
 *
 * They go behind a window, by policy (retention.h), track by track; or for room on a full disk (room.h), and then of all tracks of the
 * session, so that a recording begins in all of them at once. The open volume never goes, nor what time_shift_us needs.
 * Loop thread only. */
#ifndef ORIGIND_TRIMMING_H
#define ORIGIND_TRIMMING_H

#include <stdbool.h>
#include <stdint.h>

struct session;
struct store;
struct trimming;

struct trimmed {
        uint64_t bytes; /* of files that are on their way out; not of those that the disk refused to remove */
};

/* Of a live session's tracks what lies wholly before the last window_us of each. */
void trimming_sweep(struct store *st, struct session *s, int64_t window_us);

/* The oldest volume of a live session that could make room, and when its media ended. false: none may go now. */
struct trimmable {
        struct session *s;
        uint32_t number;
        int64_t ended_wall_us;
};
bool trimming_oldest(const struct store *st, struct session *s, struct trimmable *out);
uint64_t trimming_take(struct store *st, const struct trimmable *v); /* at once after that; returns how many bytes it brings */

void trimming_retry(struct store *st); /* what the disk refused */
void trimming_close(struct store *st);

#endif
