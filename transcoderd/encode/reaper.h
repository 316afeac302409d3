/* reaper.h - the one thread that waits for the threads of pipelines which are closed, so that the loop need not: an encoder
 * ends with the picture it is at, which takes 35 to 300 ms.
 *
 *   reaper_open    starts the thread
 *   reaper_take    loop thread; what a pipeline is made of is the reaper's from now on
 *   (wait)         the reaper's thread, in the order they were taken: waits and frees
 *   (told)         loop thread, by the mailbox: `closing` is one less, then reaped(arg)
 *   reaper_close   loop thread: waits for all that is left and for the thread. The mailbox is closed after it
 * What is closing still encodes and holds memory, so it counts as the sessions do against max_sessions (proxies.c): that is
 * the bound of the queue, and why the loop never has to wait for room in it. */
#ifndef TRANSCODERD_ENCODE_REAPER_H
#define TRANSCODERD_ENCODE_REAPER_H

#include "common/mailbox.h"
#include "transcoderd/encode/queue.h"

struct reaper;

struct reaper_item { /* the owner's, in what is to be freed */
        struct mail mail; /* first: a mail is its item */
        struct reaper *reaper;
        void (*wait)(struct reaper_item *item); /* the reaper's thread: until its threads have ended */
        void (*gone)(struct reaper_item *item); /* loop thread: frees the item */
};

struct reaper {
        struct mailbox *mailbox;
        void (*reaped)(void *arg); /* loop thread; there is room for one more */
        void *arg;
        pthread_t thread;
        struct queue queue; /* of struct reaper_item; NULL: the end */
        unsigned closing; /* taken, and the loop was not told yet that it is over; the loop's */
};

/* most: as many as can be closing at a time. ERR_LIMIT: no thread. */
int reaper_open(struct reaper *r, size_t most, struct mailbox *mailbox, void (*reaped)(void *arg), void *arg);
void reaper_take(struct reaper *r, struct reaper_item *item); /* wait and gone are set */
void reaper_close(struct reaper *r);

#endif
