#include "originD/log/pool.h"

#include <assert.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BACKGROUND_NICE 10
/* ioprio_set(2), for which the C library has no names. The last level of "best effort", not "idle": somebody waits for some
 * of these reads, and under a disk that is never idle they would never come. */
#define IOPRIO_WHO_PROCESS 1
#define IOPRIO_BEST_EFFORT_LAST ((2 << 13) | 7)

/* Both are of the calling thread alone, and no more than a wish: not every scheduler knows priorities. */
static void step_back(void)
{
        (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), BACKGROUND_NICE);
        (void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_BEST_EFFORT_LAST);
}

/* NULL: the pool closes and nothing is left. */
static struct pool_job *take_first(struct pool *p)
{
        pthread_mutex_lock(&p->lock);
        while (!p->first && !p->closing)
                pthread_cond_wait(&p->more, &p->lock);
        struct pool_job *job = p->first;
        if (job) {
                p->first = job->next;
                if (!p->first)
                        p->last = &p->first;
        }
        pthread_mutex_unlock(&p->lock);
        return job;
}

static void *pool_thread(void *arg)
{
        struct pool *p = arg;
        struct pool_job *job;
        if (p->background)
                step_back();
        while ((job = take_first(p)))
                job->run(job);
        return NULL;
}

void pool_open(struct pool *p, const char *name, unsigned threads, bool background)
{
        assert(threads > 0 && threads <= POOL_THREADS_MAX);
        *p = (struct pool){.background = background, .thread_count = threads};
        p->last = &p->first;
        pthread_mutex_init(&p->lock, NULL);
        pthread_cond_init(&p->more, NULL);
        for (unsigned i = 0; i < threads; i++) {
                int rv = pthread_create(&p->threads[i], NULL, pool_thread, p);
                assert(rv == 0); /* as without memory: nothing works without it */
                (void)rv;
                (void)pthread_setname_np(p->threads[i], name);
        }
}

void pool_post(struct pool *p, struct pool_job *job)
{
        job->next = NULL;
        pthread_mutex_lock(&p->lock);
        *p->last = job;
        p->last = &job->next;
        pthread_cond_signal(&p->more);
        pthread_mutex_unlock(&p->lock);
}

void pool_close(struct pool *p)
{
        pthread_mutex_lock(&p->lock);
        p->closing = true;
        pthread_cond_broadcast(&p->more);
        pthread_mutex_unlock(&p->lock);
        for (unsigned i = 0; i < p->thread_count; i++)
                pthread_join(p->threads[i], NULL);
        pthread_cond_destroy(&p->more);
        pthread_mutex_destroy(&p->lock);
}
