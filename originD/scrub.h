/* scrub.h - reads what lies on the disk again, slowly, and compares it with its checksums: damage that nobody reads would be
 * found when the other copy is damaged too.
 *
 *   scrub_open → scrub_stop → when scrub_idle() scrub_close
 *
 *   IDLE → LOADING    the next session: the live ones first, then those that ended, the newest first
 *     READING         a closed volume of it that is whole as far as is known, piece by piece at bytes_s, by a file that is held
 *                     open. Nothing is pinned: a viewer, retention, a fill or a cut go on as if nobody read
 *     HIDING          it is not as its row says: when the row is still the same nobody begins to read it, and those who do
 *                     come to an end
 *     MENDING         volume_look(CHECK_ALL) keeps the damaged file under another name, and what is whole in it goes on.
 *                     The row is DAMAGED, or LACKING when nothing is whole; replica/fills.h brings it from a peer
 *   One volume at a time. A file that cannot be read is not a damaged one: it stays as it is, and is tried the next time.
 *
 * A pass begins SCRUB_PASS_US after the one before began, or when that is over; the first one at any session, or an origin that
 * is started often would never come to the last one. Loop thread only; the disk is read on DISK_COLD. */
#ifndef ORIGIND_SCRUB_H
#define ORIGIND_SCRUB_H

#include "originD/store.h"

#define SCRUB_TICK_MS 50
#define SCRUB_PASS_US (6 * 3600 * US_PER_S)
#define SCRUB_PIECE_BYTES (1u << 20) /* read at once, at most */

struct scrub;

struct scrub_options {
        int64_t bytes_s; /* 0: nothing is read */
        int64_t pass_us; /* 0: SCRUB_PASS_US */
        uint64_t random; /* where the first pass begins */
};

void scrub_open(struct scrub **out, uv_loop_t *loop, struct store *st, const struct scrub_options *options);
void scrub_stop(struct scrub *sc);
bool scrub_idle(const struct scrub *sc);
void scrub_close(struct scrub *sc); /* idle; freed by the loop */

#endif
