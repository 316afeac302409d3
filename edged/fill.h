/* fill.h - fetching an object: one chain of FETCH requests, however many viewers wait for it.
 *
 *   ASKING  a FETCH is under way; what it brings is appended and the next one asks from where it ends
 *   PAUSED  nobody could be asked, or everybody was: again at retry_us
 *   (over)  the object is COMPLETE, MISSING or FAILED
 *
 * A fill belongs to no viewer: it goes on when all of them have left. It ends by itself:
 *   - nothing yet, and nobody asked for the object within hold_us: FAILED (a due segment is never MISSING for that);
 *   - no node to ask for FILL_NO_NODE_US: FAILED;
 *   - begun, and no byte for hold_us: FAILED, readers' connections are cut.
 * A node that fails or says NOT_FOUND is passed over in this round for the next in the stream's order; MISSING is only what
 * every node asked said. Loop thread only. */
#ifndef EDGED_FILL_H
#define EDGED_FILL_H

#include <uv.h>

#include "edged/cache.h"
#include "edged/upstream.h"

#define FILL_NODES_MAX 4              /* asked in one round */
#define FILL_WAIT_MS 500              /* of one FETCH, at most */
#define FILL_ANSWER_MS 600            /* beyond its wait, a node that has not answered is frozen */
#define FILL_PAUSE_US (100 * US_PER_MS)
#define FILL_NO_NODE_US (1000 * US_PER_MS)
#define FILL_TICK_MS 25               /* retries and deadlines are looked at this often */

struct fill_config {
        int64_t hold_us;
        uint64_t object_max_bytes;
};

struct fills;

void fills_open(struct fills **out, uv_loop_t *loop, const struct fill_config *cfg, struct upstream *upstream);
size_t fills_active(const struct fills *fs);
/* No fill pauses or asks any more: those paused fail now, those asking when their upstream is closed. */
void fills_stop(struct fills *fs);
void fills_close(struct fills *fs); /* after fills_stop() and upstream_close(): none is active. Freed by the loop. */

/* A cache_ops.fill, arg is the struct fills. */
void fill_begin(void *arg, struct object *o);

/* What the timer does; for tests, with the time of their choice. */
void fills_tick(struct fills *fs, int64_t now_us);

#endif
