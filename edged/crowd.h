/* crowd.h - how many watch each stream at all edges of this site: what each of them counts (audience.h), told to the others every two
 * seconds.
 *
 * An edge asks each of its siblings by FETCH of KEY_VIEWERS, and adds up what they said last to what it counts itself. One that has said
 * nothing for CROWD_KEPT_US is left out: its viewers are with the others by then. Without siblings it is this edge's own count. Pictures
 * and sounds are added up apart (audience.h says why).
 *
 *   crowd_open → crowd_look(), now and then → crowd_close
 * Loop thread; crowd_rows(): any thread. */
#ifndef EDGED_CROWD_H
#define EDGED_CROWD_H

#include "edged/audience.h"
#include "edged/upstream.h"

#define CROWD_ASK_US (2 * US_PER_S)
#define CROWD_KEPT_US (10 * US_PER_S)
#define CROWD_EDGES_MAX UPSTREAM_NODES_MAX

struct crowd;

/* siblings: NULL: there are none. Questions that are under way end when the siblings are closed, and the crowd is there until then. */
struct crowd *crowd_open(struct audience *own, struct upstream *siblings);
void crowd_close(struct crowd *c);

void crowd_look(struct crowd *c, int64_t now_us); /* after audience_look() */
size_t crowd_rows(struct crowd *c, struct audience_row rows[AUDIENCE_STREAMS + 1]);

/* What this edge says to the others: the caller's to unref. */
struct buf *crowd_say(struct crowd *c);

/* For tests: what an edge said. ERR_PROTO: it makes no sense, and is not counted. */
int crowd_heard(struct crowd *c, uint64_t edge, const uint8_t *said, size_t len_bytes, int64_t now_us);

#endif
