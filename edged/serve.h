/* serve.h - FETCH for the edges of this site and of lower tiers, answered from the same cache the viewers are.
 *
 * Who asks is a node, so tokens play no part here: private streams are answered as all others, and the edge that viewers come to
 * asks them for their tokens (access.h).
 *
 * What the census says is not there is not asked for further; and the tier below is told what there is, by /names/… (census.h). Misses
 * are bounded where strangers come in, at the edge that asks.
 *
 * A sibling (siblings.h) asks with FETCH_OWNED for what it takes to be this node's: such an object is filled from above, also when its
 * fill was waiting for another sibling so far. The census is not asked then: the sibling has asked its own, which may know of more by
 * now.
 *
 * One rpc server; a request that must wait is a waiter of its object like a viewer's, with FETCH's wait as its deadline.
 * How many may wait follows from how many edges ask here, and for how many tracks each: max_waits of one connection, SERVE_SHARES times
 * that of all together. Who is refused asks another edge, or goes up.
 *
 * Of an object that is joined from further down than it was made for it may turn out that nobody may stand so deep (fill.h): then those
 * who do are refused (serve_turn_away), and who comes so.
 * Loop thread only. */
#ifndef EDGED_SERVE_H
#define EDGED_SERVE_H

#include <uv.h>

#include "common/cluster/rpc.h"
#include "edged/cache.h"
#include "edged/census.h"
#include "edged/crowd.h"
#include "edged/upstream.h"

#define SERVE_SHARES 4

struct serve;

/* upstream is told who asks here, and is looked at until serve_close(). */
int serve_open(struct serve **out, uv_loop_t *loop, const char *bind, int port, const struct node_identity *self,
               struct cache *cache, struct census *census, struct upstream *upstream, unsigned max_waits);
void serve_tell_viewers(struct serve *s, struct crowd *c); /* of whose edge siblings ask how many watch here */
void serve_turn_away(struct serve *s, struct object *o); /* those who wait for o and stand as deep as o->too_deep */
void serve_close(struct serve *s); /* cache_stop_waiting() was called */

#endif
