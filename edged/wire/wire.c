#include "edged/wire/wire.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "common/networks.h"
#include "edged/wire/server.h"

#define EVENTS_A_TURN 256
#define POOL_MAX 256 /* free requests that a thread keeps */

/* ---- requests ------------------------------------------------------------------------------------------------------- */

static struct request *request_get(struct conn *c)
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

/* Returns when it ended. */
static int64_t request_put(struct request *r)
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

/* The thread's buffer is the next connection's: who has no answer yet keeps what it was asked. */
static void keep_head(struct request *r)
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
        r->closes |= atomic_load_explicit(&w->draining, memory_order_relaxed) || (a->grows && r->head.http_1_0);
        struct output_how how = {.without_body = r->head.method == METHOD_HEAD,
                                 .http_1_0 = r->head.http_1_0,
                                 .closes = r->closes,
                                 .was_kept = r->was_kept,
                                 .age_s = r->age_us > 0 ? (uint64_t)(r->age_us / US_PER_S) : 0,
                                 .date = date_of(r->conn->thread),
                                 .extra = extra};
        r->status = a->status;
        r->wants_piece = a->grows;
        r->conn->unended = a->grows && r->head.http_1_0;
        output_answer(&r->out, a, &how);
}

void wire_hold(struct request *r)
{
        r->held = true;
        metric_add(&stats_held, 1);
        conn_enter(r->conn, CONN_HELD, clock_mono_us());
}

static void tell_thread(struct wire_thread *t)
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
                tell_thread(t);
}

/* ---- the end of a connection ------------------------------------------------------------------------------------------ */

/* What is held is somebody else's until it is woken, or has left. */
static bool has_left(struct request *r)
{
        if (r->held && !r->conn->thread->wire->ops.leave(r))
                return false;
        if (r->held)
                metric_add(&stats_held, -1);
        r->held = false;
        return true;
}

/* Proxies of HTTP/1.0 keep what came before an orderly end as all there is. */
static void close_socket(struct conn *c)
{
        static const struct linger none = {.l_onoff = 1, .l_linger = 0};
        if (c->unended)
                setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
        close(c->fd);
}

void wire_end_conn(struct conn *c)
{
        struct wire_thread *t = c->thread;
        c->gone = true;
        if (c->closed || (c->request && !has_left(c->request)))
                return;
        c->closed = true;
        if (c->request)
                request_put(c->request);
        if (c->requests == 0 && !c->condemned)
                stats_close(CLOSE_UNREAD);
        conn_leave(c);
        seats_leave(c);
        close_socket(c);
        c->next_closed = t->closed;
        t->closed = c;
}

/* What the kernel and this turn's lists still name is freed when the turn is over. */
static void free_closed(struct wire_thread *t)
{
        struct conn *c = t->closed, *next;
        t->closed = NULL;
        for (; c; c = next) {
                next = c->next_closed;
                if (c->ready) {
                        c->next_closed = t->closed;
                        t->closed = c;
                } else {
                        conn_free(c);
                }
        }
}

/* ---- input ----------------------------------------------------------------------------------------------------------- */

static void load_input(struct wire_thread *t, struct conn *c)
{
        t->at = 0;
        t->have = c->saved_len;
        if (c->saved)
                memcpy(t->input, c->saved, c->saved_len);
        free(c->saved);
        c->saved = NULL;
        c->saved_len = 0;
}

static void save_input(struct wire_thread *t, struct conn *c)
{
        c->saved_len = t->have - t->at;
        if (c->saved_len == 0)
                return;
        c->saved = mem_resize(NULL, c->saved_len);
        memcpy(c->saved, t->input + t->at, c->saved_len);
}

/* Behind what is there already. */
static enum turn receive_bytes(struct wire_thread *t, struct conn *c)
{
        if (!c->readable && !c->tls)
                return TURN_WAIT;
        if (t->at > 0)
                memmove(t->input, t->input + t->at, t->have - t->at);
        t->have -= t->at;
        t->at = 0;
        size_t room = sizeof(t->input) - t->have;
        ssize_t n = c->tls ? tls_recv(c->tls, t->input + t->have, room) : recv(c->fd, t->input + t->have, room, 0);
        if (n < 0 && errno == EINTR)
                return TURN_ON;
        if (n < 0 && errno == EAGAIN) {
                c->readable = false;
                return TURN_WAIT;
        }
        if (n <= 0)
                return TURN_OVER;
        t->have += (size_t)n;
        if (!c->tls) /* which knows itself what it took from the kernel */
                c->readable = (size_t)n == room || c->hung_up; /* with less than asked for there is no more, until the kernel tells */
        return TURN_ON;
}

/* ---- the steps of a connection ------------------------------------------------------------------------------------------ */

static void begin_answer(struct request *r)
{
        r->conn->step = STEP_ANSWER;
        r->conn->thread->wire->ops.begin(r);
        if (r->held)
                keep_head(r);
}

void wire_refuse(struct conn *c, enum parse_fault fault)
{
        struct request *r = request_get(c);
        stats_bad(fault);
        r->fault = fault;
        r->closes = true;
        c->step = STEP_ANSWER;
        wire_answer(r, c->thread->wire->ops.refusal(fault), NULL);
}

static void begin_request(struct wire_thread *t, struct conn *c, const struct parse_head *head, size_t len)
{
        struct request *r = request_get(c);
        r->head = *head;
        r->head_at = t->input + t->at;
        r->head_len = len;
        r->closes = head->closes || c->turned_away;
        t->at += len;
        c->left_bytes = c->turned_away ? 0 : (size_t)head->body_bytes;
        if (c->left_bytes == 0) {
                begin_answer(r);
                return;
        }
        keep_head(r);
        c->step = STEP_BODY;
        conn_enter(c, CONN_HEADERS, r->started_us); /* a body has as much time as headers have */
}

static enum turn read_head(struct wire_thread *t, struct conn *c)
{
        struct parse_head head;
        if (t->at == t->have)
                return receive_bytes(t, c);
        ssize_t n = parse_head(t->input + t->at, t->have - t->at, &head);
        if (n == 0)
                return receive_bytes(t, c);
        if (n > 0)
                begin_request(t, c, &head, (size_t)n);
        else
                wire_refuse(c, (enum parse_fault)-n);
        return TURN_ON;
}

static enum turn read_body(struct wire_thread *t, struct conn *c)
{
        size_t there = t->have - t->at, n = there < c->left_bytes ? there : c->left_bytes;
        if (n > 0 && t->wire->ops.body)
                t->wire->ops.body(c->request, t->input + t->at, n);
        t->at += n;
        c->left_bytes -= n;
        if (c->left_bytes > 0)
                return receive_bytes(t, c);
        begin_answer(c->request);
        return TURN_ON;
}

enum turn wire_linger(struct conn *c)
{
        tls_free(&c->tls); /* what is read away need not be understood */
        if (shutdown(c->fd, SHUT_WR) != 0)
                return TURN_OVER;
        c->step = STEP_LINGER;
        c->left_bytes = WIRE_LINGER_BYTES;
        conn_enter(c, CONN_CLOSING, clock_mono_us());
        return TURN_ON;
}

static enum turn finish_answer(struct conn *c, bool whole)
{
        struct request *r = c->request;
        bool closes = r->closes;
        r->whole = whole;
        int64_t ended_us = request_put(r);
        conn_admit(c, &access_nothing);
        if (c->unended && !whole)
                return TURN_OVER;
        c->unended = false;
        if (closes && whole && c->tls)
                tls_end(c->tls);
        if (closes)
                return wire_linger(c);
        c->step = STEP_HEAD;
        conn_enter(c, CONN_IDLE, ended_us);
        return TURN_ON;
}

/* The next piece of what grows. */
static enum turn take_piece(struct wire_thread *t, struct conn *c)
{
        struct request *r = c->request;
        struct buf *piece = NULL;
        size_t off = 0;
        bool last = false;
        ssize_t n = t->wire->ops.more(r, &piece, &off, &last);
        if (n == 0)
                return TURN_WAIT;
        if (n > 0) {
                output_piece(&r->out, piece, off, (size_t)n, last);
                conn_enter(c, CONN_SENDING, clock_mono_us());
        } else if (n == ERR_CLOSED) {
                output_last(&r->out);
                last = true;
        } else { /* the viewer sees by the missing end that it is not all */
                stats_close(CLOSE_BROKEN);
                r->closes = true;
                return finish_answer(c, false);
        }
        r->wants_piece = false;
        r->ended = last;
        return TURN_ON;
}

static enum turn send_answer(struct wire_thread *t, struct conn *c)
{
        struct request *r = c->request;
        if (r->held || c->full)
                return TURN_WAIT;
        assert(r->out.answer);
        if (r->wants_piece)
                return take_piece(t, c);
        switch (output_send(&r->out, c->fd, c->tls)) {
        case OUTPUT_FULL:
                c->full = true;
                return TURN_WAIT;
        case OUTPUT_BROKEN:
                return TURN_OVER;
        case OUTPUT_SENT:
                break;
        }
        if (!r->out.answer->grows || r->ended)
                return finish_answer(c, true);
        r->wants_piece = true;
        return TURN_ON;
}

/* What comes after the last answer is read away: to close over it would send a reset, which may reach the viewer before the answer. */
static enum turn linger(struct wire_thread *t, struct conn *c)
{
        size_t there = t->have - t->at;
        t->at = t->have;
        if (there >= c->left_bytes)
                return TURN_OVER;
        c->left_bytes -= there;
        return receive_bytes(t, c);
}

static enum turn (*const steps[])(struct wire_thread *, struct conn *) = {
        [STEP_SHAKE] = wire_shake, [STEP_HEAD] = read_head, [STEP_BODY] = read_body, [STEP_ANSWER] = send_answer, [STEP_LINGER] = linger};

static void look_again(struct wire_thread *t, struct conn *c)
{
        if (c->ready)
                return;
        c->ready = true;
        c->next_ready = NULL;
        *t->ready_last = c;
        t->ready_last = &c->next_ready;
}

static void run(struct wire_thread *t, struct conn *c)
{
        enum turn turn = TURN_ON;
        uint64_t before = c->requests;
        if (c->closed)
                return;
        load_input(t, c);
        for (unsigned i = 0; turn == TURN_ON && c->requests - before <= WIRE_TURN_REQUESTS && i < WIRE_TURN_STEPS; i++)
                turn = steps[c->step](t, c);
        if (turn == TURN_OVER || (c->hung_up && c->request && c->request->held) || (c->condemned && c->unended)) {
                wire_end_conn(c);
                return;
        }
        save_input(t, c);
        enum conn_phase phase = (enum conn_phase)atomic_load_explicit(&c->phase, memory_order_relaxed);
        if (c->step == STEP_ANSWER && (phase == CONN_IDLE || phase == CONN_HEADERS))
                conn_enter(c, CONN_SENDING, c->request->started_us); /* who is answered at once does not stop resting for that moment */
        if (turn == TURN_ON || turn == TURN_LATER)
                look_again(t, c);
        else if (c->step == STEP_HEAD && c->saved && phase == CONN_IDLE)
                conn_enter(c, CONN_HEADERS, clock_mono_us()); /* from its first byte on a request has as long as the first one */
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
                run(t, c);
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
                run(t, c);
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
                run(t, c);
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
        free_closed(t);
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
        free_closed(t);
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

int wire_tls_port(const struct wire *w)
{
        return w->cfg.tls ? w->tls_port : 0;
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
                tell_thread(&w->threads[i]);
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
                tell_thread(&w->threads[i]);
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
                tell_thread(t);
                pthread_join(t->id, NULL);
        }
        while (t->pool) {
                struct request *r = t->pool;
                t->pool = r->next;
                free(r);
        }
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
