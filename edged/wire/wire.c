#include "edged/wire/wire.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "common/networks.h"
#include "edged/wire/server.h"

#define EVENTS_A_TURN 256

/* ---- one turn of a thread ------------------------------------------------------------------------------------------------ */

static void begin_conn(struct wire_thread *t, const struct wire_listener *l, int fd, const struct sockaddr *peer)
{
        struct wire *w = t->wire;
        int64_t now_us = clock_mono_us();
        struct conn *c = conn_new(&t->conns, fd, now_us);
        struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
        c->thread = t;
        c->step = l->tls ? STEP_SHAKE : STEP_HEAD;
        c->by_balancer = w->cfg.proxy_from && networks_have(w->cfg.proxy_from, peer);
        if (!c->by_balancer)
                address_of(&c->address, peer);
        seats_find(c, t, now_us);
        if (c->gone || epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, fd, &e) != 0)
                wire_end_conn(c);
}

static void on_event(struct wire_thread *t, struct conn *c, uint32_t what)
{
        c->readable |= (what & (EPOLLIN | EPOLLRDHUP)) != 0;
        c->hung_up |= (what & EPOLLRDHUP) != 0;
        c->full &= (what & EPOLLOUT) == 0;
        if (what & (EPOLLHUP | EPOLLERR)) /* both ways are shut, by whomever */
                wire_end_conn(c);
        else
                wire_run(t, c);
}

static void on_woken(struct wire_thread *t)
{
        struct request *list = atomic_exchange(&t->woken, NULL), *in_order = NULL, *r;
        while ((r = list)) {
                list = r->next;
                r->next = in_order;
                in_order = r;
        }
        while ((r = in_order)) {
                struct conn *c = r->conn;
                in_order = r->next;
                r->held = false;
                if (c->gone) {
                        wire_end_conn(c);
                        continue;
                }
                conn_enter(c, CONN_SENDING, clock_mono_us());
                if (!r->out.answer)
                        t->wire->ops.go_on(r);
                wire_run(t, c);
        }
}

static void look_at_ready(struct wire_thread *t)
{
        struct conn *c = t->ready, *next;
        t->ready = NULL;
        t->ready_last = &t->ready;
        for (; c; c = next) {
                next = c->next_ready;
                c->ready = false;
                wire_run(t, c);
        }
}

/* Only this thread changes its list. */
static void end_lost(struct wire_thread *t)
{
        if (!atomic_exchange(&t->lost, false))
                return;
        for (struct conn *c = t->conns.first, *next; c; c = next) {
                next = c->next;
                if (c->step != STEP_ANSWER || c->closed || c->request->held || !t->wire->ops.lost(c->request))
                        continue;
                if (!c->condemned) {
                        stats_close(CLOSE_PINNED);
                        atomic_fetch_add(&t->ended, 1);
                }
                c->condemned = true;
                wire_end_conn(c);
        }
}

/* The listeners are left out while nobody can be let in. Their events are not edges: who waits for long is told of again. */
static void listen_or_not(struct wire_thread *t, int64_t now_us)
{
        bool listens = !atomic_load(&t->wire->quiet) && now_us >= t->accept_again_us;
        if (listens == t->listens)
                return;
        t->listens = listens;
        for (unsigned i = 0; i < t->listener_count; i++) {
                struct epoll_event e = {.events = EPOLLIN, .data.ptr = &t->listeners[i]};
                epoll_ctl(t->epoll_fd, listens ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, t->listeners[i].fd, &e);
        }
}

/* NULL: the event is not of one. */
static const struct wire_listener *listener_of(const struct wire_thread *t, const void *event_of)
{
        unsigned i = 0;
        while (i < t->listener_count && &t->listeners[i] != event_of)
                i++;
        return i < t->listener_count ? &t->listeners[i] : NULL;
}

static void forget_telling(struct wire_thread *t)
{
        uint64_t count;
        ssize_t got = read(t->wake_fd, &count, sizeof(count));
        (void)got;
}

static int sleep_ms(const struct wire_thread *t)
{
        return t->ready ? 0 : t->listens || atomic_load(&t->wire->quiet) ? -1 : 50;
}

static void one_turn(struct wire_thread *t)
{
        struct epoll_event events[EVENTS_A_TURN];
        listen_or_not(t, clock_mono_us());
        int count = epoll_wait(t->epoll_fd, events, EVENTS_A_TURN, sleep_ms(t));
        t->shakes = 0;
        for (int i = 0; i < count; i++) {
                const struct wire_listener *l = listener_of(t, events[i].data.ptr);
                if (l)
                        listen_accept(t, l, begin_conn);
                else if (events[i].data.ptr == &t->wake_fd)
                        forget_telling(t);
                else
                        on_event(t, events[i].data.ptr, events[i].events);
        }
        on_woken(t);
        end_lost(t);
        t->shakes = 0; /* who was put off is not to wait for who came later */
        look_at_ready(t);
        wire_free_closed(t);
}

static void *serve_viewers(void *arg)
{
        struct wire_thread *t = arg;
        while (!atomic_load(&t->wire->stopping))
                one_turn(t);
        on_woken(t);
        for (struct conn *c; (c = t->conns.first); wire_end_conn(c))
                assert(!c->request || !c->request->held); /* nobody waits any more */
        look_at_ready(t);
        wire_free_closed(t);
        return NULL;
}

/* ---- the server ------------------------------------------------------------------------------------------------------------ */

static void init_thread(struct wire *w, unsigned i)
{
        struct wire_thread *t = &w->threads[i];
        t->wire = w;
        t->index = i;
        t->epoll_fd = t->wake_fd = -1;
        t->ready_last = &t->ready;
        conn_list_init(&t->conns);
}

/* *port becomes what it is, when any will do. */
static bool open_listener(struct wire_thread *t, int *port, bool tls)
{
        const char *address = t->wire->cfg.bind;
        int fd = listen_open(address, *port, t->index > 0);
        if (fd < 0) {
                log_error("msg=\"cannot listen for viewers\" address=%s port=%d error=\"%s\"", address, *port, strerror(errno));
                return false;
        }
        *port = listen_port(fd);
        t->listeners[t->listener_count++] = (struct wire_listener){fd, tls};
        return true;
}

static bool start_thread(struct wire_thread *t)
{
        struct wire *w = t->wire;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &t->wake_fd};
        sigset_t all, before;
        if (!open_listener(t, &w->port, false) || (w->cfg.tls && !open_listener(t, &w->tls_port, true)))
                return false;
        t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        t->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (t->epoll_fd < 0 || t->wake_fd < 0 || epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, t->wake_fd, &e) != 0) {
                log_error("msg=\"cannot wait for viewers\" error=\"%s\"", strerror(errno));
                return false;
        }
        sigfillset(&all); /* they are the loop thread's */
        pthread_sigmask(SIG_SETMASK, &all, &before);
        errno = pthread_create(&t->id, NULL, serve_viewers, t);
        t->runs = errno == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (!t->runs)
                log_error("msg=\"cannot start a thread for viewers\" error=\"%s\"", strerror(errno));
        return t->runs;
}

int wire_open(struct wire **out, const struct wire_config *cfg, const struct wire_ops *ops, void *arg)
{
        assert(cfg->threads > 0 && cfg->threads <= WIRE_THREADS_MAX);
        struct wire *w = mem_alloc(sizeof(*w));
        w->cfg = *cfg;
        w->ops = *ops;
        w->arg = arg;
        w->port = cfg->port;
        w->tls_port = cfg->tls_port;
        w->threads = mem_alloc(cfg->threads * sizeof(w->threads[0]));
        for (unsigned i = 0; i < cfg->threads; i++)
                init_thread(w, i);
        for (unsigned i = 0; i < cfg->threads; i++) {
                if (start_thread(&w->threads[i]))
                        continue;
                wire_close(w);
                return ERR_IO;
        }
        *out = w;
        return 0;
}

int wire_port(const struct wire *w)
{
        return w->port;
}

void wire_sweep(struct wire *w, const struct conn_limits *limits, int64_t now_us, unsigned closed[CLOSES])
{
        for (unsigned i = 0; i < w->cfg.threads; i++) {
                conn_sweep(&w->threads[i].conns, limits, now_us, closed);
                closed[CLOSE_PINNED] += atomic_exchange(&w->threads[i].ended, 0);
        }
}

void wire_end_lost(struct wire *w)
{
        for (unsigned i = 0; i < w->cfg.threads; i++) {
                atomic_store(&w->threads[i].lost, true);
                wire_tell(&w->threads[i]);
        }
}

void wire_end_expired(struct wire *w, struct access *access, int64_t now_s, unsigned closed[CLOSES])
{
        for (unsigned i = 0; i < w->cfg.threads; i++)
                conn_end_expired(&w->threads[i].conns, access, now_s, closed);
}

void wire_drain(struct wire *w)
{
        atomic_store(&w->draining, true);
}

void wire_quiesce(struct wire *w)
{
        atomic_store(&w->quiet, true);
        for (unsigned i = 0; i < w->cfg.threads; i++) {
                for (unsigned k = 0; k < w->threads[i].listener_count; k++)
                        shutdown(w->threads[i].listeners[k].fd, SHUT_RDWR); /* who is in its queue is refused now, not left hanging */
                wire_tell(&w->threads[i]);
        }
}

size_t wire_busy(struct wire *w)
{
        size_t busy = 0;
        for (unsigned i = 0; i < w->cfg.threads; i++)
                busy += conn_list_busy(&w->threads[i].conns, clock_mono_us());
        return busy;
}

unsigned wire_seats(const struct wire *w)
{
        return atomic_load(&w->seats);
}

static void close_fd(int fd)
{
        if (fd >= 0)
                close(fd);
}

static void close_thread(struct wire_thread *t)
{
        if (t->runs) {
                wire_tell(t);
                pthread_join(t->id, NULL);
        }
        request_free_pool(t);
        conn_list_fini(&t->conns);
        for (unsigned i = 0; i < t->listener_count; i++)
                close(t->listeners[i].fd);
        close_fd(t->epoll_fd);
        close_fd(t->wake_fd);
}

void wire_close(struct wire *w)
{
        atomic_store(&w->stopping, true);
        for (unsigned i = 0; i < w->cfg.threads; i++)
                close_thread(&w->threads[i]);
        free(w->threads);
        free(w);
}
