/* pool.h - a few threads that take jobs from one queue, in order: what may block is done here.
 *
 *   pool_open()   starts the threads
 *   pool_post()   any thread; job->run(job) on one of the pool's threads, which says itself when it is over (mailbox.h)
 *   pool_close()  blocks: what was posted is run, the threads are joined; pool_open() may follow
 * How many may be posted is the caller's to bound. */
#ifndef ORIGIND_LOG_POOL_H
#define ORIGIND_LOG_POOL_H

#include <pthread.h>
#include <stdbool.h>

#define POOL_THREADS_MAX 8

struct pool_job {
        struct pool_job *next;
        void (*run)(struct pool_job *job); /* the job is its again */
};

struct pool {
        pthread_mutex_t lock; /* guards first, last, closing */
        pthread_cond_t more;
        struct pool_job *first, **last;
        bool closing, background;
        unsigned thread_count;
        pthread_t threads[POOL_THREADS_MAX];
};

/* name: at most 15 bytes, for those who look at threads. background: what these threads do waits for what others do, for
 * the disk and for the processor, where the kernel can arrange it. */
void pool_open(struct pool *p, const char *name, unsigned threads, bool background);
void pool_post(struct pool *p, struct pool_job *job);
void pool_close(struct pool *p);

#endif
