/* follow.h - the next segment of what is being watched is fetched before the first viewer asks for it.
 *
 * A segment that grew here has come to its end, and somebody has asked for it, or for one of the FOLLOW_BACK before it: then the FETCH
 * for the next one of its track is opened, and waits at the origin for the first chunk. Each viewer joins it, or has it at once, and the
 * first one waits for no round trip more than the others. When nobody asks any more, nobody is followed any more: after FOLLOW_BACK
 * segments, or as soon as one does not come while it is held (hold_us).
 *
 * What was complete when it came, a recording or a viewer far behind, is not followed. Where FETCHes come from below (an edge on top),
 * those are who asks; other edges of the site are not (FETCH_OWNED), for they follow by themselves what their viewers watch. If what they
 * follow made its owner follow, each would do so for the others, without a viewer and without an end. It has no state but a count: which
 * track is followed is what the cache has of it.
 *
 * Loop thread. */
#ifndef EDGED_FOLLOW_H
#define EDGED_FOLLOW_H

#include "edged/cache.h"
#include "edged/census.h"
#include "proto/key.h"

#define FOLLOW_BACK 6 /* segments: players are at most so far behind the live edge, or have it from the cache anyway */

struct follow;

/* tracks: so many at a time, one FETCH each; 0: none. census may be NULL: all there may be is asked for. Both outlive it. */
struct follow *follow_open(struct cache *cache, struct census *census, unsigned tracks);
void follow_close(struct follow *w);

/* o, whose key is `key`, has left FILLING. grew: it came in pieces, or was waited for. w NULL: nothing is done. */
void follow_left(struct follow *w, struct object *o, const struct key *key, bool grew, int64_t now_us);

#endif
