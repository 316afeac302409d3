/* removals.h - recordings on their way out: in no list of the store any more, and not yet off the disk.
 *
 *   removal_begin()   from store_remove(). The recording is not told of to anybody, but known: nothing is put in its place
 *                     (removals_have()), and its bytes count as room that is on its way
 *   gone              so are its files
 *   back              the disk refused (EIO, EROFS) before anything was touched: the recording is in the store again, as it was.
 *                     Retention passes it over for REMOVAL_AGAIN_US
 *   half              the disk refused in the middle: what is left is nobody's, and is tried again every REMOVAL_AGAIN_US, and by
 *                     the next start
 *
 * While the disk refuses, `failing` is set: retention tries one at a time, so that a disk that is read-only for a while costs no
 * more recordings than one that is not. Loop thread. */
#ifndef ORIGIND_REMOVALS_H
#define ORIGIND_REMOVALS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "originD/stats.h"

#define REMOVAL_AGAIN_US (10 * US_PER_S)
#define REMOVAL_BUCKETS 256

struct store;
struct session;
struct removal;

struct removals {
        struct removal *first; /* those that are not under way: they wait for a place in the disk's line, or to be tried again */
        struct removal *by_id[REMOVAL_BUCKETS]; /* recordings that are under way, or wait for a place */
        uint64_t bytes; /* of those */
        int64_t waiting; /* all of them */
        bool failing; /* the disk refused the last one */
};

/* For the log and for counting, when it is off the disk. */
struct removal_reason {
        const char *why; /* NULL: nobody is to be told */
        enum stat_id count;
};

/* Of a session that is in no list: the callee's from here on. unused: nothing but its session.json is known to be in its folder. */
void removal_begin(struct store *st, struct session *s, bool unused, const struct removal_reason *reason);
void removal_begin_folder(struct store *st, char *dir); /* what a removal that was interrupted left; takes dir */
bool removals_have(const struct store *st, const char *id);
void removals_tick(struct store *st, int64_t now_mono_us); /* those that are due are tried again */
void removals_close(struct store *st); /* none is under way; the next start finds them */

#endif
