/* race.h - the FETCHes under way for the same bytes: one, or when its answer is overdue a second one to another node (hedge.h).
 *
 *   race_start() → race_second() when race_wants_second() → race_left() for each answer → race_won() or race_lost()
 *
 * The first that brings something wins; what the other says then is thrown away, though it is still heard for the node's sake: a call
 * outlives its fill then, with `fill` NULL. Calls are freed by whoever gets their answer. Loop thread. */
#ifndef EDGED_RACE_H
#define EDGED_RACE_H

#include "edged/hedge.h"

#define RACE_PATIENCE_MS 500 /* after a "not yet": the next node may well wait as long as it is allowed to */

struct fill;
struct fills;

/* One FETCH. */
struct call {
        struct fills *fills;
        struct fill *fill; /* NULL: its bytes are not wanted any more */
        uint64_t node;
        int64_t asked_us;
        uint32_t wait_ms;
        enum hedge_kind kind;
        bool second, sample;
        bool owner; /* to a sibling (siblings.h): not raced */
};

enum race_stand {
        RACE_ONE,    /* a second FETCH may be sent */
        RACE_DENIED, /* the same, but it was not for want of budget, which is counted */
        RACE_TWO,    /* it was sent, and is to be counted */
        RACE_OVER,   /* there is nobody to send it to, or it was counted */
};

struct race {
        struct call *first, *second; /* under way */
        enum race_stand stand;
};

void race_reset(struct race *r); /* none is under way */
bool race_runs(const struct race *r);
void race_start(struct race *r, struct call *c); /* the first, or the second */

/* not_yet: the last thing that was said of the object. live: nodes. Counts it when the budget denies one. */
bool race_wants_second(struct race *r, const struct hedge *h, bool not_yet, size_t live, int64_t now_us);
/* Whether it was sent. */
void race_second(struct race *r, struct hedge *h, bool sent, int64_t now_us);

void race_left(struct race *r, const struct call *c); /* c's answer is here */
/* It brings something: the other is dropped, and is late if it was asked first. */
void race_won(struct race *r, struct hedge *h, const struct call *winner, int64_t now_us);
void race_lost(struct race *r); /* neither had anything */
/* The second one has waited its whole time: the first, asked before it, does not answer at all. Returns its node. */
uint64_t race_drop_first(struct race *r, struct hedge *h, int64_t now_us);
void race_drop(struct race *r);

#endif
