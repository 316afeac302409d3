/* request.c - a request from the pool of its thread and back, its answer, and what holds and wakes it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "edged/wire/server.h"

#define POOL_MAX 256 /* free requests that a thread keeps */

struct request *request_get(struct conn *c)
{
        struct wire_thread *t = c->thread;
        struct request *r = t->pool;
        size_t bytes = t->wire->ops.request_bytes;
        if (r) {
                t->pool = r->next;
                t->pooled--;
                memset(r, 0, bytes);
        } else {
                r = mem_alloc(bytes);
        }
        r->conn = c;
        r->started_us = clock_mono_us();
        c->request = r;
        c->requests++;
        return r;
}

int64_t request_put(struct request *r)
{
        struct wire_thread *t = r->conn->thread;
        int64_t now_us = r->ended_us = clock_mono_us();
        t->wire->ops.end(r);
        output_fini(&r->out);
        free(r->kept);
        r->conn->request = NULL;
        if (t->pooled == POOL_MAX) {
                free(r);
                return now_us;
        }
        r->next = t->pool;
        t->pool = r;
        t->pooled++;
        return now_us;
}

void request_keep_head(struct request *r)
{
        if (r->kept)
                return;
        r->kept = mem_alloc(r->head_len);
        memcpy(r->kept, r->head_at, r->head_len);
        parse_move(&r->head, r->head_at, r->kept);
}

void *wire_arg(const struct request *r)
{
        return r->conn->thread->wire->arg;
}

unsigned wire_thread_index(const struct request *r)
{
        return r->conn->thread->index;
}

bool wire_leaves(const struct request *r)
{
        return atomic_load_explicit(&r->conn->thread->wire->draining, memory_order_relaxed);
}

static const char *date_of(struct wire_thread *t)
{
        int64_t now_s = time(NULL);
        if (now_s != t->date_s)
                date_field(t->date, now_s);
        t->date_s = now_s;
        return t->date;
}

void wire_answer(struct request *r, struct answer *a, const char *extra)
{
        struct wire *w = r->conn->thread->wire;
        r->closes |= atomic_load_explicit(&w->draining, memory_order_relaxed) || (a->grows && !a->sized && r->head.http_1_0);
        struct output_how how = {.without_body = r->head.method == METHOD_HEAD,
                                 .http_1_0 = r->head.http_1_0,
                                 .closes = r->closes,
                                 .was_kept = r->was_kept,
                                 .age_s = r->age_us > 0 ? (uint64_t)(r->age_us / US_PER_S) : 0,
                                 .date = date_of(r->conn->thread),
                                 .extra = extra};
        r->status = a->status;
        r->wants_piece = a->grows && !how.without_body;
        r->ended = how.without_body;
        r->conn->unended = a->grows && !a->sized && r->head.http_1_0;
        r->conn->probed |= r->conn->hung_up && !r->conn->tls && !r->head.http_1_0; /* by the first bytes of this */
        output_answer(&r->out, a, &how);
}

void wire_hold(struct request *r)
{
        r->held = true;
        metric_add(&stats_held, 1);
        conn_enter(r->conn, CONN_HELD, clock_mono_us());
}

void wire_tell(struct wire_thread *t)
{
        uint64_t one = 1;
        ssize_t done = write(t->wake_fd, &one, sizeof(one));
        (void)done; /* it is full when it has been told already */
}

void wire_wake(struct request *r)
{
        struct wire_thread *t = r->conn->thread;
        metric_add(&stats_held, -1);
        struct request *before = atomic_load_explicit(&t->woken, memory_order_relaxed);
        do
                r->next = before;
        while (!atomic_compare_exchange_weak(&t->woken, &before, r));
        if (!before) /* r is its thread's already */
                wire_tell(t);
}

bool request_leave(struct request *r)
{
        if (r->held && !r->conn->thread->wire->ops.leave(r))
                return false;
        if (r->held)
                metric_add(&stats_held, -1);
        r->held = false;
        return true;
}

void request_free_pool(struct wire_thread *t)
{
        while (t->pool) {
                struct request *r = t->pool;
                t->pool = r->next;
                free(r);
        }
}
