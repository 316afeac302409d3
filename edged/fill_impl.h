/* fill_impl.h - what the files of a fill share: fill.c (its steps, and whom it asks) and fill_answer.c (what an answer means to it). The
 * first calls the second, never the other way. */
#ifndef EDGED_FILL_IMPL_H
#define EDGED_FILL_IMPL_H

#include "edged/fill.h"
#include "edged/hedge.h"
#include "edged/newest.h"
#include "edged/race.h"
#include "edged/round.h"

/* What a fill is at, and what may come next; enter() logs each change. */
#define STEPS(X)                                                                                                       \
        X(ASK, ask)       /* whom? → OWNER, UP, GATHER, OVER */                                                        \
        X(OWNER, owner)   /* the edge of this site whose object it is → ASK, PAUSE, DUE, DONE */                       \
        X(UP, up)         /* one is asked → ASK, RACE, OVER, PAUSE, DUE, DONE */                                       \
        X(RACE, race)     /* so is another one, or there is none → ASK, OVER, PAUSE, DUE, DONE */                      \
        X(OVER, over)     /* all of this round were asked, or there is nobody → ASK, PAUSE, DONE */                    \
        X(PAUSE, pause)   /* until retry_us → ASK, DONE */                                                             \
        X(DUE, due)       /* not yet, until due_us → ASK, DONE */                                                      \
        X(GATHER, gather) /* a list: gather.c asks every node above → OVER, DONE */                                    \
        X(DONE, stay)     /* the object has left FILLING; the fill is gone */

enum step {
#define X(name, function) STEP_##name,
        STEPS(X)
#undef X
};

struct fill {
        struct fill *next, *prev;
        struct fills *fills;
        struct object *object;
        struct key key; /* the object's, taken apart */
        enum step step;
        struct race race;
        struct round round;
        struct gather *gathering;
        struct node_set passed; /* owners that did not answer */
        bool up;                /* no sibling is asked any more */
        int64_t retry_us, progress_us;
        int64_t due_us;     /* a node says that there is nothing before; 0: none does */
        int64_t no_node_us; /* since when there is nobody to ask; 0: there is */
        int64_t no_room_us; /* since when the cache has no room; 0: it has */
        bool not_yet;       /* said since there last were bytes */
        bool was_due;       /* some node said so, ever: it is not MISSING */
        bool grew;          /* it came in pieces */
        bool takes_old;     /* nobody has a newer session's manifest (newest.h) */
        unsigned rounds;    /* for nothing, one after the other */
        struct call *sounding; /* a FETCH under way that is to find out whether it goes in a circle */
        uint8_t sounded;       /* how deep that was asked */
};

struct fills {
        struct fill_config cfg;
        struct upstream *upstream;
        struct hedge hedge;
        struct hedge late_siblings; /* only who is late: siblings are not raced */
        struct newest newest;
        struct fill *first;
        size_t active;
        bool stopping;
        uint64_t random;
        uv_timer_t timer;
};

/* --- fill_answer.c: each returns the step that comes next --- */

/* An answer has come: it is heard for the node's sake, and taken if the fill still wants it; else the step means nothing. c stays the
 * caller's, and is no part of the race any more. */
enum step fill_take_answer(struct call *c, int err, const struct fetch_reply *m, struct buf *bytes, int64_t now_us);
enum step fill_take_owner_answer(struct call *c, int err, const struct fetch_reply *m, struct buf *bytes, int64_t now_us);

/* The object is FAILED; in vain to ask for it again before again_us (0: nobody can say). DONE: only go() touches the fill then. */
enum step fill_fail_until(struct fill *f, int why, int64_t again_us, int64_t now_us);
enum step fill_fail(struct fill *f, int why, int64_t now_us);
int64_t fill_deadline_us(const struct fill *f);
uint64_t fills_random(struct fills *fs);
bool fill_is_list(const struct key *key);

#endif
