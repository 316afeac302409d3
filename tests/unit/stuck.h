/* stuck.h - jobs that stay on their pool's threads until they are let go, as on a disk that hangs. */
#ifndef TESTS_STUCK_H
#define TESTS_STUCK_H

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#include "tests/unit/patience.h"

struct stuck {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        unsigned in, over;
        bool let_go;
};

static inline void stuck_open(struct stuck *s)
{
        *s = (struct stuck){0};
        pthread_mutex_init(&s->lock, NULL);
        pthread_cond_init(&s->changed, NULL);
}

static inline void be_stuck(void *arg)
{
        struct stuck *s = arg;
        pthread_mutex_lock(&s->lock);
        s->in++;
        pthread_cond_broadcast(&s->changed);
        while (!s->let_go)
                pthread_cond_wait(&s->changed, &s->lock);
        pthread_mutex_unlock(&s->lock);
}

static inline void one_over(void *arg)
{
        struct stuck *s = arg;
        s->over++;
}

static inline void wait_in(struct stuck *s, unsigned n)
{
        struct timespec end;
        int late = 0;
        clock_gettime(CLOCK_REALTIME, &end);
        end.tv_sec += PATIENCE_S;
        pthread_mutex_lock(&s->lock);
        while (s->in < n && !late)
                late = pthread_cond_timedwait(&s->changed, &s->lock, &end);
        pthread_mutex_unlock(&s->lock);
        assert_int_equal(late, 0); /* the pool has not begun with them */
}

static inline void let_go(struct stuck *s)
{
        pthread_mutex_lock(&s->lock);
        s->let_go = true;
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->lock);
}

#endif
