/* fill.h - fetching an object: one chain of FETCH requests, however many viewers wait for it.
 *
 * A fill takes one step after the other (the table is in fill_impl.h, the steps in fill.c, what an answer means in fill_answer.c). It
 * asks a node from where the object ends, and what comes is appended. Where the site has several edges that is first the one whose object
 * it is (siblings.h). When this node is the owner, or a sibling takes it for that, or the owner does not answer, the fill goes up, and
 * stays there: from then on it asks the tier above, as follows. When the answer is overdue the next node is asked for the same, once
 * (race.h). A node that fails, or has nothing, or not yet, is passed over for the next in the stream's order, until the round is over
 * (round.h). Then it pauses, by exponential backoff with full jitter, so that objects that failed together are not asked for together,
 * and begins the next round. In the end the object is COMPLETE, MISSING or FAILED.
 *
 * When a node says when the object can be there, nobody is asked before: the fill waits until then, or the object is FAILED at once if
 * nobody who waits now would be held for so long, and is asked for again when hold_us reaches so far.
 *
 * Where edges stand above edges, `hops` of FETCH ends what is asked further and further. A circle is ended by no such count, for the
 * FETCH that comes round joins the fill that sent it, and each keeps the next one waiting. It is known by an object that is joined from
 * further down than it was made for. When nothing has come for FILL_SOUND_US, the node that was asked is told how deep it stands by a
 * second FETCH, of no bytes (`offset` beyond any end), and so are the next ones, until one of them would be deeper than FETCH_HOPS_MAX:
 * it refuses (ERR_LIMIT), and whoever hears that refuses those for whom it asked so deep (`too_deep`), soundings as well as FETCHes. They
 * ask elsewhere, or fail, and in a circle that comes round: viewers are told at once. Whoever stands less deep waits on, so that a tier
 * too many harms nobody but itself.
 *
 * A fill belongs to no viewer: it goes on when all of them have left. It ends by itself:
 *   - nothing yet, and nobody asked for the object within hold_us: FAILED (a due segment is never MISSING for that);
 *   - no node to ask for FILL_NO_NODE_US: FAILED; no room in the cache for FILL_NO_ROOM_US: FAILED;
 *   - begun, and no byte for hold_us: FAILED, readers' connections are cut.
 * Loop thread only. */
#ifndef EDGED_FILL_H
#define EDGED_FILL_H

#include <uv.h>

#include "edged/cache.h"
#include "edged/upstream.h"
#include "proto/key.h"

#define FILL_WAIT_MS 500              /* of one FETCH, at most: the next bytes of what has begun come each 200 ms or sooner, from any node */
#define FILL_BEGIN_MS 2000            /* of what has not begun: one FETCH, until its first bytes are made */
#define FILL_DUE_MAX_MS 60000         /* more than that ahead no node is believed */
#define FILL_ANSWER_MS 600            /* beyond its wait, a node that has not answered is frozen */
#define FILL_PAUSE_FIRST_US (25 * US_PER_MS)
#define FILL_PAUSE_MAX_US (1000 * US_PER_MS)
#define FILL_NO_NODE_US (1000 * US_PER_MS)
#define FILL_SOUND_US (250 * US_PER_MS)
#define FILL_SPREAD_US (50 * US_PER_MS) /* when a node is there again, who waited for one asks within this */
#define FILL_NO_ROOM_US (300 * US_PER_MS) /* for so long it is waited that the cache has room: who keeps what was evicted is being closed */
#define FILL_TICK_MS 10               /* overdue answers, retries and deadlines are looked at this often */

struct fill_config {
        int64_t hold_us;
        struct upstream *siblings; /* NULL: none. It lives until fills_close() */
        unsigned sibling_late_ms;  /* beyond its wait, an owner that has not answered is passed over */
        uint64_t object_max_bytes;
        /* An object turned out to be there, or (!there) nobody could say: not called for one that is MISSING. NULL: nobody asks. */
        void (*settled)(void *arg, struct object *o, const struct key *key, bool there);
        /* Nobody waits any more who stands as deep as o->too_deep. NULL: nobody does. */
        void (*too_deep)(void *arg, struct object *o);
        /* An object has left FILLING; grew: it came in pieces, or was waited for. NULL: nobody asks. */
        void (*left)(void *arg, struct object *o, const struct key *key, bool grew);
        void *arg;
        int64_t (*clock_us)(void); /* NULL: clock_mono_us(); tests have their own */
};

struct fills;

void fills_open(struct fills **out, uv_loop_t *loop, const struct fill_config *cfg, struct upstream *upstream);
size_t fills_active(const struct fills *fs);
/* A node came or went: who had nobody to ask need not wait longer. */
void fills_nodes_changed(struct fills *fs);
/* No fill pauses or asks any more: those paused fail now, those asking when their upstream is closed. */
void fills_stop(struct fills *fs);
void fills_close(struct fills *fs); /* after fills_stop() and upstream_close(): none is active. Freed by the loop. */

/* A cache_ops.fill, arg is the struct fills. */
void fill_begin(void *arg, struct object *o);

/* What the timer does; for tests, with the time of their choice. */
void fills_tick(struct fills *fs, int64_t now_us);

/* How long to wait after `rounds` rounds in which nobody had anything: from 1 µs to FILL_PAUSE_FIRST_US, doubled each round
 * up to FILL_PAUSE_MAX_US; where in that, random says. Pure. */
int64_t fill_pause_us(unsigned rounds, uint64_t random);

#endif
