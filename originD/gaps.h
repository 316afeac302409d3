/* gaps.h - which segments of a track nobody ever wrote, asked for one after the other: players of HLS are told so (EXT-X-GAP).
 *
 *   gaps_begin() → gaps_have() of segments that rise
 * What is only lacking here is no gap, and after GAPS_MAX of them nothing is. Pure; loop thread. */
#ifndef ORIGIND_GAPS_H
#define ORIGIND_GAPS_H

#include "originD/track.h"

#define GAPS_MAX 64

struct gaps {
        const struct track *track;
        uint32_t first, end;     /* the next one not before where the asker is; both UINT32_MAX: none */
        uint32_t track_begins;
        size_t found;
};

void gaps_begin(struct gaps *g, const struct track *t, uint32_t from); /* t has a log */
bool gaps_have(struct gaps *g, int64_t segment);

#endif
