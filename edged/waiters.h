/* waiters.h - who waits for more of one object: in the order in which they came, and by when each gives up.
 *
 *   waiters_add() → one of the waiters_take_…() hands it back → waiters_wake() calls its wake()
 *                 → or it leaves before, and nobody calls
 *
 * A waiter lies in the waiting party's own struct and costs no memory of its own. Adding is done in a constant time, taking costs what is
 * taken and its logarithm: who waits for the end is not walked over when bytes come, and nobody is when a deadline passes but those whose
 * deadline it is (a pairing heap).
 *
 * No lock of its own: the object's. waiters_wake() is for when that has been let go. */
#ifndef EDGED_WAITERS_H
#define EDGED_WAITERS_H

#include <stdbool.h>
#include <stdint.h>

/* Somebody who wants bytes beyond `have`, or (have == UINT64_MAX) the end. It belongs to the object from a true object_wait() until
 * wake() is called, once, or a true object_leave(). */
struct waiter {
        uint64_t have;
        int64_t deadline_us;              /* monotonic */
        bool expired;                     /* set before wake() when the deadline passed */
        void (*suspend)(struct waiter *); /* under the object's lock, on the waiting thread; may be NULL */
        void (*wake)(struct waiter *);    /* loop thread, no lock held */
        /* private */
        uint64_t round;                             /* of waiters, plus one, when it came; another: it waits no more */
        struct waiter *before, *next;               /* in the order of arrival; next alone when it was taken */
        struct waiter *child, *sibling, *heap_left; /* of the heap; heap_left: the one before it, or its parent's if it is the first child */
};

struct waiters_line {
        struct waiter *first, *last;
};

/* All zero: nobody. */
struct waiters {
        struct waiters_line for_bytes, for_end;
        struct waiter *earliest; /* the heap's root */
        uint64_t round;          /* how often all were taken */
};

void waiters_add(struct waiters *ws, struct waiter *w);
bool waiters_leave(struct waiters *ws, struct waiter *w); /* false: it was taken already, and is to be woken */

/* Each hands back a list by `next`, NULL if there are none; those are not waiting any more. */
struct waiter *waiters_take_behind(struct waiters *ws, uint64_t len); /* who has less than len; the oldest first */
struct waiter *waiters_take_all(struct waiters *ws);                  /* those who wait for bytes before those who wait for the end */
struct waiter *waiters_take_late(struct waiters *ws, int64_t now_us); /* by deadline */

/* A waiter may be gone, or waiting again, when its wake() returns. */
void waiters_wake(struct waiter *list, bool expired);

#endif
