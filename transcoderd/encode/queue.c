#include "transcoderd/encode/queue.h"

#include <stdlib.h>
#include <time.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/mem.h"

void queue_init(struct queue *q, size_t cap)
{
        *q = (struct queue){.cap = cap, .items = mem_alloc(cap * sizeof(void *))};
        pthread_mutex_init(&q->lock, NULL);
        pthread_condattr_t attr;
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&q->changed, &attr);
        pthread_condattr_destroy(&attr);
}

void queue_fini(struct queue *q, void (*drop)(void *item))
{
        for (; q->count > 0; q->count--, q->head = (q->head + 1) % q->cap)
                drop(q->items[q->head]);
        free(q->items);
        pthread_cond_destroy(&q->changed);
        pthread_mutex_destroy(&q->lock);
}

int queue_put(struct queue *q, void *item)
{
        pthread_mutex_lock(&q->lock);
        while (q->count == q->cap && !q->aborted)
                pthread_cond_wait(&q->changed, &q->lock);
        int err = q->aborted ? ERR_CANCELED : 0;
        if (!err) {
                q->items[(q->head + q->count++) % q->cap] = item;
                pthread_cond_broadcast(&q->changed);
        }
        pthread_mutex_unlock(&q->lock);
        return err;
}

static struct timespec deadline(int64_t wait_us)
{
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        int64_t ns = ts.tv_nsec + wait_us % US_PER_S * 1000;
        ts.tv_sec += wait_us / US_PER_S + ns / 1000000000;
        ts.tv_nsec = ns % 1000000000;
        return ts;
}

int queue_take(struct queue *q, void **item, int64_t wait_us)
{
        struct timespec until = deadline(wait_us < 0 ? 0 : wait_us);
        int err = 0;

        *item = NULL;
        pthread_mutex_lock(&q->lock);
        while (q->count == 0 && !q->aborted && err == 0) {
                int rv = wait_us < 0 ? pthread_cond_wait(&q->changed, &q->lock)
                                     : pthread_cond_timedwait(&q->changed, &q->lock, &until);
                if (rv != 0)
                        err = ERR_TIMEOUT;
        }
        if (q->aborted) {
                err = ERR_CANCELED;
        } else if (q->count > 0) {
                err = 0;
                *item = q->items[q->head];
                q->head = (q->head + 1) % q->cap;
                q->count--;
                pthread_cond_broadcast(&q->changed);
        }
        pthread_mutex_unlock(&q->lock);
        return err;
}

size_t queue_count(struct queue *q)
{
        pthread_mutex_lock(&q->lock);
        size_t n = q->count;
        pthread_mutex_unlock(&q->lock);
        return n;
}

void queue_abort(struct queue *q)
{
        pthread_mutex_lock(&q->lock);
        q->aborted = true;
        pthread_cond_broadcast(&q->changed);
        pthread_mutex_unlock(&q->lock);
}
