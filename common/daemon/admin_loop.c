#include "common/daemon/admin_loop.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/mailbox.h"
#include "common/mem.h"

_Atomic int64_t admin_loop_call_ms = ADMIN_CALL_MS;

struct admin_loop {
        struct mailbox mailbox;
        pthread_mutex_t lock; /* guards all below, and what calls have in common */
        bool attached;        /* the mailbox takes calls */
        bool quiet;           /* no handler may run any more */
        unsigned calls;       /* handed over and not yet back */
};

/* A request between a connection's thread and the loop. Both hold it; who lets go of it last frees it. */
struct handed {
        struct mail mail;
        struct admin_loop *to;
        admin_handler *handle;
        void *arg;
        struct admin_call call;
        json_t *body;
        pthread_cond_t answered;
        bool done, left; /* under the lock: the loop has answered; the thread waits no more */
};

static void free_handed(struct handed *h)
{
        json_decref(h->body);
        json_decref(h->call.answer);
        pthread_cond_destroy(&h->answered);
        free(h);
}

static void deliver(struct mail *mail)
{
        struct handed *h = (struct handed *)mail;
        struct admin_loop *l = h->to;
        pthread_mutex_lock(&l->lock);
        bool wanted = !h->left, may_run = wanted && !l->quiet;
        pthread_mutex_unlock(&l->lock);
        if (may_run)
                h->handle(h->arg, &h->call);
        else
                admin_refuse(&h->call, 503, "stopping");
        pthread_mutex_lock(&l->lock);
        l->calls--;
        h->done = true;
        bool mine = h->left;
        pthread_cond_signal(&h->answered);
        pthread_mutex_unlock(&l->lock);
        if (mine)
                free_handed(h);
}

static struct handed *new_handed(struct admin_loop *l, admin_handler *handle, void *arg, json_t *body)
{
        pthread_condattr_t attr;
        struct handed *h = mem_alloc(sizeof(*h));
        *h = (struct handed){.mail.deliver = deliver, .to = l, .handle = handle, .arg = arg, .body = body,
                             .call = {.body = body, .status = 200}};
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&h->answered, &attr);
        pthread_condattr_destroy(&attr);
        return h;
}

static struct timespec in_ms(int64_t ms)
{
        int64_t us = clock_mono_us() + ms * US_PER_MS;
        return (struct timespec){.tv_sec = us / US_PER_S, .tv_nsec = us % US_PER_S * 1000};
}

/* 0: it is answered. Otherwise h->left says whether the loop still has it. */
static int hand_over(struct admin_loop *l, struct handed *h)
{
        struct timespec until = in_ms(atomic_load(&admin_loop_call_ms));
        pthread_mutex_lock(&l->lock);
        int err = !l->attached || l->quiet ? ERR_CLOSED : l->calls >= ADMIN_CALLS_MAX ? ERR_FULL : 0;
        if (err) {
                pthread_mutex_unlock(&l->lock);
                return err;
        }
        l->calls++;
        mailbox_post(&l->mailbox, &h->mail); /* under the lock: admin_loop_detach() closes the mailbox only after it had it */
        int rv = 0;
        while (!h->done && rv != ETIMEDOUT)
                rv = pthread_cond_timedwait(&h->answered, &l->lock, &until);
        bool done = h->done;
        h->left = !done;
        pthread_mutex_unlock(&l->lock);
        return done ? 0 : ERR_TIMEOUT;
}

int admin_loop_ask(struct admin_loop *l, admin_handler *handle, void *arg, json_t *body, struct admin_call *answer)
{
        struct handed *h = new_handed(l, handle, arg, body);
        int err = hand_over(l, h);
        if (err == ERR_TIMEOUT)
                return err; /* the loop frees it */
        if (!err) {
                *answer = h->call;
                answer->body = NULL; /* which goes with h */
                h->call.answer = NULL;
        }
        free_handed(h);
        return err;
}

struct admin_loop *admin_loop_new(void)
{
        struct admin_loop *l = mem_alloc(sizeof(*l));
        pthread_mutex_init(&l->lock, NULL);
        return l;
}

void admin_loop_attach(struct admin_loop *l, uv_loop_t *loop)
{
        mailbox_open(&l->mailbox, loop);
        uv_unref((uv_handle_t *)&l->mailbox.wake); /* nobody's wish to ask keeps the loop alive */
        pthread_mutex_lock(&l->lock);
        l->attached = true;
        pthread_mutex_unlock(&l->lock);
}

void admin_loop_quiesce(struct admin_loop *l)
{
        pthread_mutex_lock(&l->lock);
        l->quiet = true;
        pthread_mutex_unlock(&l->lock);
}

void admin_loop_detach(struct admin_loop *l)
{
        pthread_mutex_lock(&l->lock);
        l->quiet = true;
        l->attached = false;
        pthread_mutex_unlock(&l->lock);
        mailbox_close(&l->mailbox);
}

void admin_loop_free(struct admin_loop *l)
{
        assert(!l->attached);
        pthread_mutex_destroy(&l->lock);
        free(l);
}
