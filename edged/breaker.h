/* breaker.h - how much each node above may be asked at a time: less, when it says or shows that it has too much to do.
 *
 *   breaker_may()    whether one more FETCH may be sent to it now
 *   breaker_sent()   it was
 *   breaker_heard()  once for each that was sent: what became of it
 *
 * A node may have `most` FETCHes of this edge under way. When it answers that it is full, or not at all in its time, that becomes half of
 * what it has, once in BREAKER_CUT_US; for each BREAKER_GROWS_EACH good answers it is one more again. So many edges that ask one origin
 * come together to what it can do, and come back slowly. But to half of what it had when a row of bad answers began it comes back by one
 * for each good answer: a node that stood still for some seconds is cut again and again, and what it may have then tells nothing of what
 * it can do.
 *
 * After BREAKER_FAILURES such answers in a row it is asked nothing for a while, then one FETCH: if that is answered well it is as before,
 * and otherwise the while is twice as long, BREAKER_REST_MAX_US at most, with jitter, so that edges which failed together do not come
 * together again.
 *
 * Live and old media are two nodes here (upstream.c): an origin whose line for what has to be read from its disk is full is not too busy
 * for what is live.
 *
 * What a node says of an object (not yet, not found) is a good answer. A connection that was lost says nothing of how busy it is: HELLO
 * finds out whether it lives. Pure: times and chance are passed in. Loop thread. */
#ifndef EDGED_BREAKER_H
#define EDGED_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

#define BREAKER_NODES_MAX 130 /* two lines of each node above (upstream.h), and of one more */
#define BREAKER_LEAST 4
#define BREAKER_CUT_US (100 * US_PER_MS)
#define BREAKER_GROWS_EACH 8
#define BREAKER_FAILURES 8
#define BREAKER_REST_US (100 * US_PER_MS)
#define BREAKER_REST_MAX_US (2000 * US_PER_MS)

enum breaker_heard {
        BREAKER_GOOD,    /* an answer */
        BREAKER_FULL,    /* it has too much to do */
        BREAKER_LATE,    /* no answer in its time */
        BREAKER_NOTHING, /* the connection was lost, or nobody wants it any more */
};

struct breaker {
        uint64_t node; /* 0: free */
        unsigned under_way, limit, good, failures;
        unsigned soon; /* up to so many the limit grows by one for each good answer */
        bool cut;      /* in this row of bad answers; a good one ends the row */
        int64_t cut_us, used_us;
        int64_t rest_us;       /* how long it was let alone last; 0: it is not */
        int64_t rest_until_us; /* then one FETCH shows how it is */
        bool probing;          /* that one is under way */
};

struct breakers {
        unsigned most;
        uint64_t random;
        struct breaker nodes[BREAKER_NODES_MAX];
};

void breakers_init(struct breakers *bs, unsigned most, uint64_t seed);
bool breaker_may(const struct breakers *bs, uint64_t node, int64_t now_us);
bool breaker_sent(struct breakers *bs, uint64_t node, int64_t now_us); /* whether it is the one that shows how the node is */

/* What is told of it: whether it is asked nothing from now on, or as before again. */
enum breaker_change { BREAKER_SAME, BREAKER_RESTS, BREAKER_ASKED_AGAIN };
/* probe: as breaker_sent() said. */
enum breaker_change breaker_heard(struct breakers *bs, uint64_t node, bool probe, enum breaker_heard what, int64_t now_us);
unsigned breakers_resting(const struct breakers *bs); /* nodes that are asked nothing, or one FETCH */

#endif
