/* inquiry.h - asks every node above, again and again, which names it has, and tells the census.
 *
 * A question waits at the node until there is something new, at most INQUIRY_WAIT_MS: so what begins is known here a round trip later,
 * and a node is asked about once a second while nothing changes, INQUIRY_LEAST_MS apart when much does. A node whose last good answer is
 * older than INQUIRY_LATE_US, or from before it came up, or whose list has not been read to its end, leaves the census unsure as long as
 * it is up. One that is down keeps its list for INQUIRY_KEPT_US: what it had may come back. Loop thread only. */
#ifndef EDGED_INQUIRY_H
#define EDGED_INQUIRY_H

#include <uv.h>

#include "edged/census.h"
#include "edged/upstream.h"

#define INQUIRY_WAIT_MS 1000
#define INQUIRY_ANSWER_MS 1000 /* beyond its wait */
#define INQUIRY_LEAST_MS 100
#define INQUIRY_TICK_MS 50
#define INQUIRY_LATE_US (3 * US_PER_S)
#define INQUIRY_KEPT_US (3600 * US_PER_S)

struct inquiry;

void inquiry_open(struct inquiry **out, uv_loop_t *loop, struct upstream *upstream, struct census *census);
void inquiry_nodes_changed(struct inquiry *q);
void inquiry_stop(struct inquiry *q);  /* asks no more */
void inquiry_close(struct inquiry *q); /* after upstream_close(): nothing is under way. Freed by the loop */

#endif
