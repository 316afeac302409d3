#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/cluster/rpc_gate_impl.h"
#include "common/mem.h"

#define SEATS_MAX (1u << 20) /* descriptors of the process that can be looked up */

pthread_mutex_t rpc_gate_lock = PTHREAD_MUTEX_INITIALIZER;

/* The lines by descriptor. Changed under the lock; whether there is one any thread asks without, also before there is a table. */
struct seats {
        size_t count;
        struct line *_Atomic of[];
};
static struct seats *_Atomic seats;

/* ---- lines by descriptor and by pipe ---------------------------------------------------------------------------- */

/* As many as the process may ever have; pages of the table that nobody looks at are never there. */
void lines_init(void)
{
        struct rlimit r;
        if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_max > SEATS_MAX)
                r.rlim_max = SEATS_MAX;
        struct seats *made = mem_alloc(sizeof(*made) + r.rlim_max * sizeof(made->of[0]));
        made->count = r.rlim_max;
        atomic_store_explicit(&seats, made, memory_order_release);
}

/* NULL: it is beyond the table, or there is none yet. */
static struct line *_Atomic *seat_of(int fd)
{
        struct seats *s = atomic_load_explicit(&seats, memory_order_acquire);
        return s && fd >= 0 && (size_t)fd < s->count ? &s->of[fd] : NULL;
}

struct line *line_of_fd(int fd)
{
        struct line *_Atomic *seat = seat_of(fd);
        return seat ? atomic_load_explicit(seat, memory_order_relaxed) : NULL;
}

bool rpc_gate_watches(int fd)
{
        return line_of_fd(fd) != NULL;
}

bool line_fits(int fd)
{
        return seat_of(fd) != NULL;
}

static struct line **pipe_place(struct rpc_gate *g, uint32_t pipe)
{
        struct line **at = &g->pipes[pipe % PIPE_BUCKETS];
        while (*at && (*at)->pipe != pipe)
                at = &(*at)->same_bucket;
        return at;
}

struct line *line_of_pipe(struct rpc_gate *g, uint32_t pipe)
{
        return *pipe_place(g, pipe);
}

struct line *line_new(struct rpc_gate *g, int fd)
{
        struct line *l = mem_alloc(sizeof(*l));
        *l = (struct line){.gate = g, .fd = fd, .since_us = clock_mono_us(), .message_max = STRANGER_MESSAGE_MAX};
        l->next = g->lines;
        l->prev = &g->lines;
        if (l->next)
                l->next->prev = &l->next;
        g->lines = l;
        g->line_count++;
        atomic_store_explicit(seat_of(fd), l, memory_order_relaxed);
        return l;
}

void line_enter_pipe(struct line *l, uint32_t pipe)
{
        struct line **bucket = &l->gate->pipes[pipe % PIPE_BUCKETS];
        l->pipe = pipe;
        l->same_bucket = *bucket;
        *bucket = l;
}

void line_leave_pipe(struct line *l)
{
        if (l->pipe != 0)
                *pipe_place(l->gate, l->pipe) = l->same_bucket;
        l->pipe = 0;
}

void line_free(struct line *l)
{
        struct rpc_gate *g = l->gate;
        atomic_store_explicit(seat_of(l->fd), NULL, memory_order_relaxed);
        line_no_stranger(l);
        under_way_end(&l->gate->under_way, &l->message);
        line_leave_pipe(l);
        if (l->caller)
                callers_remove(&g->callers, l->caller);
        *l->prev = l->next;
        if (l->next)
                l->next->prev = l->prev;
        g->line_count--;
        free(l);
        pthread_cond_broadcast(&g->changed);
}

/* ---- strangers -------------------------------------------------------------------------------------------------- */

void line_make_stranger(struct line *l)
{
        struct rpc_gate *g = l->gate;
        l->stranger = true;
        l->older = g->newest;
        *(l->older ? &l->older->newer : &g->oldest) = l;
        g->newest = l;
        g->stranger_count++;
        l->caller->strangers++;
}

void line_no_stranger(struct line *l)
{
        struct rpc_gate *g = l->gate;
        if (!l->stranger)
                return;
        *(l->older ? &l->older->newer : &g->oldest) = l->newer;
        *(l->newer ? &l->newer->older : &g->newest) = l->older;
        l->older = l->newer = NULL;
        l->stranger = false;
        g->stranger_count--;
        l->caller->strangers--;
}

void line_shut_down(struct line *l)
{
        l->ended = true;
        shutdown(l->fd, SHUT_RDWR);
}

void line_end_stranger(struct line *l, enum rpc_fault fault)
{
        rpc_fault_count(fault);
        line_no_stranger(l);
        line_shut_down(l);
}

/* They are few enough to be walked through. */
void lines_end_stranger_for(struct rpc_gate *g, const struct caller *newcomer)
{
        const struct caller *whose = NULL;
        if (newcomer->strangers >= STRANGERS_ADDRESS_MAX)
                whose = newcomer;
        else if (g->stranger_count < STRANGERS_MAX)
                return;
        for (struct line *l = g->oldest; l && newcomer != whose; l = l->newer)
                whose = !whose || l->caller->strangers > whose->strangers ? l->caller : whose;
        for (struct line *l = g->oldest; l; l = l->newer) {
                if (l->caller == whose) {
                        line_end_stranger(l, RPC_FAULT_STRANGERS);
                        return;
                }
        }
}
