/* queue.h - a bounded queue of pointers between two threads.
 *
 *   queue_init   →  queue_put / queue_take  →  queue_abort (any thread; both ends get ERR_CANCELED)  →  queue_fini
 * Shared: `lock` guards everything in it. */
#ifndef TRANSCODERD_ENCODE_QUEUE_H
#define TRANSCODERD_ENCODE_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        void **items;
        size_t cap, head, count;
        bool aborted;
};

void queue_init(struct queue *q, size_t cap);
/* What is left goes to drop(item). No thread may be in the queue any more. */
void queue_fini(struct queue *q, void (*drop)(void *item));

int queue_put(struct queue *q, void *item); /* waits for room; ERR_CANCELED: item stays the caller's */
/* Waits at most wait_us (< 0: for ever): 0, ERR_TIMEOUT or ERR_CANCELED. */
int queue_take(struct queue *q, void **item, int64_t wait_us);
size_t queue_count(struct queue *q);
void queue_abort(struct queue *q);

#endif
