/* compare.h - what this origin lacks of a session that another one has.
 *
 * As far as the eras of two copies are the same so are their bytes, but for one case: a leader and its shadow are one era
 * (shadow_turns.h), and until they are in lock-step each origin may have stored another one's chunk. Such copies are both whole
 * and stay as they are, unless one is to go on in the middle of a segment that differs (copy_track.h). Where eras part one
 * gives way, from the beginning of that segment on: the one whose newest chunk is of the older generation, as in CLAIM; then
 * the one that is older at that place; of one generation by two nodes, the shorter. Each of these only ever grows on either
 * side, so two origins that look at each other at different moments never both give way.
 *
 * What one of them does not have is no reason to cut: it begins where both have something. Before that an older copy keeps its
 * bytes, under their eras; of volumes that it lacks, and of what is still to come, it takes over newer eras. */
#ifndef ORIGIND_COMPARE_H
#define ORIGIND_COMPARE_H

#include "originD/replica/catalog.h"

#define COMPARE_LAG_US 1000000    /* so much behind, a session that is written to here is in step, */
#define COMPARE_SILENT_US 1000000 /* unless its writer has not been heard for so long */

struct track_lack {
        bool lacks; /* there is something to copy */
        bool cut;   /* first, from cut_segment on */
        uint32_t cut_segment;
        bool eras; /* newer ones of what is not here are to be taken over */
};

/* mine NULL: there is no such track here. s and theirs have one grid, as all copies of a session have. */
struct track_lack compare_track(const struct session *s, const struct track *mine, const struct peer_track *theirs);

/* Takes them over, as far as the place `until`: of volumes that are not here, and of what is behind the end of mine. false: there
 * was none. */
bool compare_take_eras(const struct session *s, struct track *mine, const struct peer_track *theirs, uint64_t until);

enum compare_end {
        END_SAME,
        END_NOW,   /* it ended there, and its writer with it: so it does here */
        END_REOPEN /* it ended here, but goes on there */
};
enum compare_end compare_end(const struct session *s, const struct peer_session *theirs);

/* Whether there is anything to do; a session that ended here has to be loaded for it, unless theirs is only a head. exact: also for what
 * the writer's next PUT will make good. */
bool compare_lacks(struct session *s, const struct peer_session *theirs, bool exact);

#endif
