/* reaper.h - the one thread that waits for the threads of pipelines which are closed, so that the loop need not: an encoder
 * ends with the picture it is at, which takes 35 to 300 ms.
 *
 *   reaper_open    starts the thread
 *   reaper_take    loop thread; what a pipeline is made of is the reaper's from now on
 *   (wait)         the reaper's thread, in the order they were taken: waits and frees
 *   (told)         loop thread, by the mailbox: `closing` is one less, then reaped(arg)
 *   reaper_close   loop thread: waits for all that is left and for the thread. The mailbox is closed after it
 * What is closing still encodes and holds memory, so it counts as the sessions do against max_sessions (proxies.c): that is
 * the bound of the list. Shared: `lock` guards first, last and stop; `closing` is the loop's. */
#ifndef TRANSCODERD_ENCODE_REAPER_H
#define TRANSCODERD_ENCODE_REAPER_H

#include <pthread.h>
#include <stdbool.h>

#include "common/mailbox.h"

struct reaper;

struct reaper_item { /* the owner's, in what is to be freed */
        struct mail mail; /* first: a mail is its item */
        struct reaper_item *next;
        struct reaper *reaper;
        void (*wait)(struct reaper_item *item); /* the reaper's thread: until its threads have ended */
        void (*gone)(struct reaper_item *item); /* loop thread: frees the item */
};

struct reaper {
        struct mailbox *mailbox;
        void (*reaped)(void *arg); /* loop thread; there is room for one more */
        void *arg;
        pthread_t thread;
        pthread_mutex_t lock;
        pthread_cond_t changed;
        struct reaper_item *first, **last;
        bool stop;
        unsigned closing; /* taken, and the loop was not told yet that it is over */
};

int reaper_open(struct reaper *r, struct mailbox *mailbox, void (*reaped)(void *arg), void *arg); /* ERR_LIMIT: no thread */
void reaper_take(struct reaper *r, struct reaper_item *item); /* wait and gone are set */
void reaper_close(struct reaper *r);

#endif
