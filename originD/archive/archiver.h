/* archiver.h - closed volumes go to the archive when they are old enough, and their files here when they are older still.
 *
 *   archiver_open → archiver_stop → when archiver_idle() archiver_close
 *
 *   IDLE → LOADING   the next session that has something to go: the live ones first, then those that ended, the newest first
 *     PUTTING        one volume of it: archive_put(). Nothing is pinned: retention, a cut or a fill go on as if nobody sent it
 *     DROPPING       the archive was asked and has it. Its row becomes ARCHIVED, TRACK/volumes is saved, then the file goes: so
 *                    a crash leaves a file too many and never one too few
 *   beside that      one volume whose file is needed here again (chunk_log_want()) is fetched, checked and put in its place
 *
 * What goes: closed volumes that are whole, captured longer ago than `after`; of a live track not the newest closed one, in which it may
 * have to go on after a start. Their index files stay, so manifests, comparing and seeking know all of it.
 * While the archive cannot be used everything stays, and it is tried again later, less and less often. Loop thread only. */
#ifndef ORIGIND_ARCHIVER_H
#define ORIGIND_ARCHIVER_H

#include "originD/archive/archive.h"
#include "originD/archive/discards.h"
#include "originD/store.h"

#define ARCHIVER_TICK_MS 100
#define ARCHIVER_PASS_US (5 * US_PER_S)
#define ARCHIVER_LOOKS_MAX 500 /* sessions, a tick */
#define ARCHIVER_AGAIN_US (600 * US_PER_S) /* a recording of which something cannot go is looked at again so long after */

struct archiver;

struct archiver_options {
        int64_t after_us, keep_us; /* since the capture: it is copied; its file goes, when it was copied */
        bool copies;               /* false: nothing goes there, but wanted files are brought */
        struct discards *discards; /* what was removed here while it was sent is given to these; outlives it */
};

void archiver_open(struct archiver **out, uv_loop_t *loop, struct store *st, struct archive *archive,
                   const struct archiver_options *options);
void archiver_stop(struct archiver *ar); /* before the archive is closed */
bool archiver_idle(const struct archiver *ar);
void archiver_close(struct archiver *ar); /* idle; freed by the loop */

#endif
