/* fills.h - brings closed volumes that this origin lacks from others that have them: behind the live edge, the newest first.
 *
 *   fills_open → fills_link → fills_stop → when fills_idle() fills_close
 * A volume is lacking since a copy began behind it (copy_track.h), or since it was damaged, or is gone. It is FETCHed segment
 * by segment, several at a time (read_ahead.h), into a folder beside the track's, and comes in its place only when its bytes are
 * those that the other's checksum names. One volume is on its way at a time, at no more than so many bytes a second. Nothing here touches what a writer or a
 * copy does: they go on at the end, and only a row that is still LACKING is filled in. Loop thread only. */
#ifndef ORIGIND_FILLS_H
#define ORIGIND_FILLS_H

#include "originD/replica/allowance.h"
#include "originD/replica/peer_link.h"
#include "originD/store.h"
#include "proto/key.h"

#define FILLS_WANTED_MAX 1000 /* sessions; of those beyond it is known when these are done */
#define FILLS_TICK_MS 50

struct fills;

struct fills_options {
        struct allowance *allowance; /* of none a second nothing is filled in. It outlives fills */
};

void fills_open(struct fills **out, uv_loop_t *loop, struct store *st, const struct fills_options *options);
void fills_link(struct fills *f, struct peer_link *link);

/* The nth origin, from 0 on, that may have a segment which is not here; its id. NULL: nothing of the session is lacking, and the segment has not
 * gone with an old volume; or it is the newest one, or comes next; or no more are up. */
const char *fills_elsewhere(struct fills *f, const struct session *s, const struct key *key, unsigned nth);

void fills_stop(struct fills *f);  /* what is under way ends soon */
bool fills_idle(const struct fills *f);
void fills_close(struct fills *f); /* idle, and the link is closed; freed by the loop */

#endif
