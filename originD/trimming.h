/* trimming.h - volumes of live sessions on their way out, the oldest of a track first.
 *
 *   forgotten  its row goes: nobody begins to read it, nobody is told of it, and it is not brought again from another origin
 *   saved      TRACK/volumes goes without it
 *   gone       so are its files. Where the disk refuses, both are tried again with each sweep; after a crash between the next
 *              start finds the files, and it is a volume again
 * Loop thread only. */
#ifndef ORIGIND_TRIMMING_H
#define ORIGIND_TRIMMING_H

#include <stdint.h>

struct session;
struct store;
struct trimming;

/* Of a live session's tracks what lies wholly before the last window_us of each. */
void trimming_sweep(struct store *st, struct session *s, int64_t window_us);

void trimming_retry(struct store *st); /* what the disk refused */
void trimming_close(struct store *st);

#endif
