/* hedge.h - when to ask a second node for what the first has not answered, and whom not to ask first.
 *
 * Two kinds of FETCH are timed apart, because what is usual differs:
 *   THERE    what exists when it is asked for (manifests, init segments): the time of a round trip
 *   GROWING  the next bytes of an object that has begun: they are answered when they come to be, which is up to a chunk's
 *            200 ms later, with nothing wrong
 * A segment from its beginning may be either. It is given the patience of GROWING and is no sample of any kind, or the
 * figure would be that of recordings as often as that of live streams. Nor is "not yet" a sample: it says how long we
 * allowed the node to wait.
 *
 * A node is late when another answered instead of it, or its answer never came: it is asked last until it has answered
 * anything, at most for HEDGE_LATE_US (by then HELLO has found out whether it lives). So one that stands still costs the
 * objects under way one second FETCH each, and those begun later nothing.
 *
 * Budget: each FETCH earns a tenth of a second FETCH, HEDGE_BURST can be saved up; so a tier that is slow because it has too
 * much to do gets a tenth more, not twice as much. Against a node that is late and has answered nothing at all for
 * HEDGE_SILENT_US it needs no budget: that is no longer a race but leaving a node that does not answer.
 *
 * Loop thread, no allocation, all times are given: pure. */
#ifndef EDGED_HEDGE_H
#define EDGED_HEDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "edged/upstream.h"

#define HEDGE_LEAST_US (30 * US_PER_MS)
#define HEDGE_MOST_US (500 * US_PER_MS)
#define HEDGE_THERE_US (100 * US_PER_MS)   /* before there are samples */
#define HEDGE_GROWING_US (300 * US_PER_MS)
#define HEDGE_SAMPLES 128
#define HEDGE_SAMPLES_MIN 20
#define HEDGE_SAMPLES_STEP 8 /* the percentile is worked out again after so many new ones */
#define HEDGE_BURST 64
#define HEDGE_FETCHES_EACH 10
#define HEDGE_LATE_US (3 * US_PER_S)
#define HEDGE_SILENT_US (100 * US_PER_MS)

enum hedge_kind { HEDGE_THERE, HEDGE_GROWING, HEDGE_KINDS };

struct hedge {
        struct {
                int64_t us[HEDGE_SAMPLES];
                unsigned taken; /* ever */
                int64_t p95_us; /* 0: too few samples */
        } recent[HEDGE_KINDS];
        unsigned budget; /* in FETCHes: HEDGE_FETCHES_EACH of them buy a second one */
        struct {
                uint64_t node; /* 0: free */
                int64_t since_us;
        } late[UPSTREAM_NODES_MAX];
};

void hedge_init(struct hedge *h);

void hedge_sample(struct hedge *h, enum hedge_kind kind, int64_t us);
int64_t hedge_p95_us(const struct hedge *h, enum hedge_kind kind); /* 0: too few samples */
int64_t hedge_after_us(const struct hedge *h, enum hedge_kind kind); /* a FETCH of this kind is overdue after this */

void hedge_earn(struct hedge *h); /* a first FETCH is sent */
/* May a second one be sent, because silent_node does not answer? And: it was. */
bool hedge_may(const struct hedge *h, uint64_t silent_node, int64_t now_us);
void hedge_spend(struct hedge *h, uint64_t silent_node, int64_t now_us);

void hedge_late(struct hedge *h, uint64_t node, int64_t now_us);
void hedge_heard(struct hedge *h, uint64_t node);
/* Adds those that are late to set. */
void hedge_avoid(const struct hedge *h, int64_t now_us, struct node_set *set);

#endif
