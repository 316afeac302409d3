#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/cluster/long_way.h"
#include "common/cluster/nng_fix.h"
#include "common/cluster/nng_tcp.h"
#include "common/cluster/rpc_gate_impl.h"
#include "common/daemon/descriptors.h"
#include "common/daemon/log.h"
#include "common/magic.h"
#include "common/mem.h"

#define GONE_WAIT_MS 300  /* for connections that were shut down to be taken down */
#define CLOSE_WAIT_MS 2000
#define STUCK_LOOK_MS 1000
#define STRANGERS_RESERVE_MAX 64 /* who may have one of the last descriptors */

static struct rpc_gate *gates; /* that listen */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local struct rpc_gate *to_listen;
static struct rpc_handshake_limits handshake_limits = RPC_HANDSHAKE_LIMITS;

#if defined(__SANITIZE_ADDRESS__)
#define HAVE_LSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_LSAN 1
#endif
#endif
#ifdef HAVE_LSAN
/* nng 1.5 loses a listener or dialer that is closed while a connection of it is being negotiated. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
        return "leak:libnng.so";
}
#endif

/* Whether nng should have taken the connection down long ago: both its directions have ended. */
static bool is_stuck(struct line *l, int64_t now)
{
        struct pollfd p = {.fd = l->fd}; /* POLLHUP and POLLERR are told unasked */
        if (poll(&p, 1, 0) != 1)
                l->ended_us = 0;
        else if (l->ended_us == 0)
                l->ended_us = now;
        return l->ended_us != 0 && now - l->ended_us >= STUCK_MS * US_PER_MS;
}

static bool look_at_all(struct rpc_gate *g, int64_t now, bool stood_still)
{
        bool stuck = false;
        for (struct line *l = g->lines; l; l = l->next) {
                if (!l->stranger && !l->fitted)
                        l->fitted = long_way_fit(l->fd, LONG_WAY_US);
                if (stood_still)
                        l->ended_us = 0;
                else
                        stuck |= is_stuck(l, now);
        }
        g->looked_us = now;
        return stuck;
}

void rpc_gate_sweep(struct rpc_gate *g)
{
        int64_t now = clock_mono_us();
        bool stuck = false;
        pthread_mutex_lock(&rpc_gate_lock);
        bool stood_still = now - g->swept_us > STUCK_MS * US_PER_MS / 3; /* we, and nng's threads with us */
        g->swept_us = now;
        while (g->oldest && now - g->oldest->since_us >= STRANGER_MS * US_PER_MS)
                line_end_stranger(g->oldest, RPC_FAULT_LATE);
        if (stood_still || now - g->looked_us >= STUCK_LOOK_MS * US_PER_MS)
                stuck = look_at_all(g, now, stood_still);
        pthread_mutex_unlock(&rpc_gate_lock);
        if (!stuck)
                return;
        log_fatal("msg=\"nng does not take down a connection that ended %d ms ago, and will not take down or dial any other: "
                  "ending, to be started again\"", STUCK_MS);
        _exit(EX_SOFTWARE);
}

/* The kernel ends a connection that has sent something which is not acknowledged in that time; 0: when it thinks best. */
static void give_up_after(int fd, unsigned ms)
{
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
}

void rpc_gate_dials(int fd)
{
        give_up_after(fd, DIAL_MS);
}

void rpc_gate_known(struct rpc_gate *g, uint32_t pipe, size_t message_max_bytes)
{
        pthread_mutex_lock(&rpc_gate_lock);
        struct line *l = line_of_pipe(g, pipe);
        if (l) {
                line_no_stranger(l);
                l->message_max = message_max_bytes;
                if (l->caller) {
                        rpc_handshakes_known(&g->handshakes, l->caller->address, clock_mono_us());
                        give_up_after(l->fd, UNREAD_MS); /* the one answer that is being sent is in no sum: nng waits for the kernel */
                }
        }
        pthread_mutex_unlock(&rpc_gate_lock);
}

/* ---- who comes -------------------------------------------------------------------------------------------------- */

static void text_of(char dst[64], const struct sockaddr_storage *peer)
{
        char ip[INET6_ADDRSTRLEN] = "?";
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)peer;
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)peer;
        snprintf(dst, 64, "?");
        if (peer->ss_family == AF_INET && inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof(ip)))
                snprintf(dst, 64, "%s:%u", ip, ntohs(v4->sin_port));
        else if (peer->ss_family == AF_INET6 && inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof(ip)))
                snprintf(dst, 64, "[%s]:%u", ip, ntohs(v6->sin6_port));
}

void rpc_gate_listens(int fd)
{
        if (!to_listen)
                return;
        pthread_mutex_lock(&rpc_gate_lock);
        to_listen->listening = fd;
        to_listen->next = gates;
        gates = to_listen;
        pthread_mutex_unlock(&rpc_gate_lock);
}

/* NULL: it may stay. */
static const char *admit(struct rpc_gate *g, int fd, const struct sockaddr_storage *peer)
{
        if (g->line_count >= RPC_CONNECTIONS_MAX || !line_fits(fd))
                return "too many connections";
        struct caller *caller = callers_add(&g->callers, peer);
        if (caller->connections > RPC_ADDRESS_CONNECTIONS_MAX) {
                callers_remove(&g->callers, caller);
                return "too many connections of this address";
        }
        lines_end_stranger_for(g, caller);
        struct line *l = line_new(g, fd);
        l->caller = caller;
        line_make_stranger(l);
        return NULL;
}

static struct rpc_gate *gate_of(int listening)
{
        struct rpc_gate *g = gates;
        while (g && g->listening != listening)
                g = g->next;
        return g;
}

/* Nodes are among those for whom the last descriptors are kept, but nobody can tell them yet. */
bool rpc_gate_comes(int listening, int fd)
{
        struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
        socklen_t len = sizeof(peer);
        char text[64];
        pthread_mutex_lock(&rpc_gate_lock);
        struct rpc_gate *g = gate_of(listening);
        bool crowded = g && g->stranger_count >= STRANGERS_RESERVE_MAX, leaving = g && g->leaving;
        pthread_mutex_unlock(&rpc_gate_lock);
        if (!g)
                return true;
        if (leaving) /* nng accepts until its socket is closed, which may take as long as CLOSE_WAIT_MS */
                return false;
        (void)getpeername(fd, (struct sockaddr *)&peer, &len); /* gone again already: it counts as one of no address */
        text_of(text, &peer);
        if (crowded && !descriptors_admit(fd, "nng", text))
                return false;
        pthread_mutex_lock(&rpc_gate_lock);
        g = gate_of(listening);
        const char *why = g ? admit(g, fd, &peer) : NULL;
        pthread_mutex_unlock(&rpc_gate_lock);
        if (!why)
                return true;
        rpc_fault_count(RPC_FAULT_LIMIT);
        log_warn_of(text, "peer=%s msg=\"connection not accepted\" why=\"%s\"", text, why);
        return false;
}

/* ---- connections ------------------------------------------------------------------------------------------------ */

/* The line of a connection that is negotiated; a dialed one has none before. */
static bool enter_pipe(struct rpc_gate *g, uint32_t pipe, int fd)
{
        bool entered = false;
        pthread_mutex_lock(&rpc_gate_lock);
        struct line *l = line_of_fd(fd);
        if (!l && !(g->kind & GATE_LISTENS) && line_fits(fd)) {
                l = line_new(g, fd);
                l->frames.greeted = true;
                give_up_after(fd, 0); /* from now on it is HELLO that says whether somebody is there */
        }
        if (l && l->gate == g && l->pipe == 0) {
                line_enter_pipe(l, pipe);
                entered = true;
        }
        pthread_mutex_unlock(&rpc_gate_lock);
        return entered;
}

/* Here nothing is being read from it yet, and so it can be closed by nng without harm. */
static void pipe_up(struct rpc_gate *g, nng_pipe pipe)
{
        int fd = nng_tcp_pipe_fd(pipe);
        bool wanted = fd >= 0 && enter_pipe(g, (uint32_t)nng_pipe_id(pipe), fd);
        pthread_mutex_lock(&g->event_lock);
        wanted = wanted && g->owner && g->event(g->owner, pipe, true);
        pthread_mutex_unlock(&g->event_lock);
        if (!wanted)
                nng_pipe_close(pipe);
}

static void pipe_down(struct rpc_gate *g, nng_pipe pipe)
{
        pthread_mutex_lock(&rpc_gate_lock);
        struct line *l = line_of_pipe(g, (uint32_t)nng_pipe_id(pipe));
        if (l) {
                line_no_stranger(l);
                under_way_end(&l->gate->under_way, &l->message);
                line_leave_pipe(l);
        }
        pthread_mutex_unlock(&rpc_gate_lock);
        pthread_mutex_lock(&g->event_lock);
        if (g->owner)
                g->event(g->owner, pipe, false);
        pthread_mutex_unlock(&g->event_lock);
}

/* ADD_PRE comes before the pipe is started, so nothing of it is heard before it is known; REM_POST always follows, and comes
 * before nng closes the descriptor. */
static void on_pipe(nng_pipe pipe, nng_pipe_ev ev, void *arg)
{
        if (ev == NNG_PIPE_EV_ADD_PRE)
                pipe_up(magic_check(arg, GATE_MAGIC), pipe);
        else
                pipe_down(magic_check(arg, GATE_MAGIC), pipe);
}

void rpc_gate_closing(int fd)
{
        pthread_mutex_lock(&rpc_gate_lock);
        struct line *l = line_of_fd(fd);
        if (l)
                line_free(l);
        pthread_mutex_unlock(&rpc_gate_lock);
}

void rpc_gate_end(struct rpc_gate *g, uint32_t pipe)
{
        pthread_mutex_lock(&rpc_gate_lock);
        struct line *l = line_of_pipe(g, pipe);
        if (l)
                line_shut_down(l);
        pthread_mutex_unlock(&rpc_gate_lock);
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static void free_gate(struct rpc_gate *g)
{
        pthread_mutex_lock(&rpc_gate_lock);
        while (g->lines)
                line_free(g->lines);
        pthread_mutex_unlock(&rpc_gate_lock);
        pthread_cond_destroy(&g->changed);
        pthread_mutex_destroy(&g->event_lock);
        g->magic = 0;
        free(g);
}

void rpc_gate_limit_handshakes(const struct rpc_handshake_limits *limits)
{
        handshake_limits = *limits;
}

int rpc_gate_open(struct rpc_gate **out, nng_socket socket, unsigned kind, rpc_gate_event *event, void *owner)
{
        struct rpc_gate *g = mem_alloc(sizeof(*g));
        g->magic = GATE_MAGIC;
        pthread_condattr_t attr;
        pthread_once(&once, lines_init);
        g->socket = socket;
        g->kind = kind;
        g->listening = -1;
        g->event = event;
        g->owner = owner;
        under_way_init(&g->under_way, RPC_UNDER_WAY_MAX);
        rpc_handshakes_init(&g->handshakes, &handshake_limits);
        pthread_mutex_init(&g->event_lock, NULL);
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&g->changed, &attr);
        pthread_condattr_destroy(&attr);
        (void)nng_fix_count();
        int rv = nng_pipe_notify(socket, NNG_PIPE_EV_ADD_PRE, on_pipe, g);
        if (rv == 0)
                rv = nng_pipe_notify(socket, NNG_PIPE_EV_REM_POST, on_pipe, g);
        if (rv != 0) {
                nng_close(socket);
                free_gate(g);
                g = NULL;
        }
        *out = g;
        return rv;
}

/* nng binds, listens and begins to accept on this thread. */
int rpc_gate_listen(struct rpc_gate *g, nng_listener listener)
{
        to_listen = g;
        int rv = nng_listener_start(listener, 0);
        to_listen = NULL;
        return rv;
}

static void forget_listening(struct rpc_gate *g)
{
        struct rpc_gate **at = &gates;
        while (*at && *at != g)
                at = &(*at)->next;
        if (*at)
                *at = g->next;
        g->listening = -1;
}

/* The listening descriptor has gone with the socket. Another gate may have got the same number meanwhile: that gate is in front. */
static void *close_socket(void *arg)
{
        struct rpc_gate *g = magic_check(arg, GATE_MAGIC);
        nng_close(g->socket);
        pthread_mutex_lock(&rpc_gate_lock);
        forget_listening(g);
        bool last = g->abandoned;
        g->socket_closed = true;
        pthread_cond_broadcast(&g->changed);
        pthread_mutex_unlock(&rpc_gate_lock);
        if (last)
                free_gate(g);
        return NULL;
}

static struct timespec from_now(long ms)
{
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        ts.tv_sec += ms / 1000;
        ts.tv_nsec += ms % 1000 * 1000000;
        if (ts.tv_nsec >= 1000000000) {
                ts.tv_nsec -= 1000000000;
                ts.tv_sec++;
        }
        return ts;
}

void rpc_gate_close(struct rpc_gate *g)
{
        pthread_t thread;
        struct timespec until = from_now(GONE_WAIT_MS);
        pthread_mutex_lock(&g->event_lock);
        g->owner = NULL;
        pthread_mutex_unlock(&g->event_lock);
        pthread_mutex_lock(&rpc_gate_lock);
        g->leaving = true;
        for (struct line *l = g->lines; l; l = l->next)
                line_shut_down(l);
        while (g->lines && pthread_cond_timedwait(&g->changed, &rpc_gate_lock, &until) == 0)
                ;
        pthread_mutex_unlock(&rpc_gate_lock);

        bool started = pthread_create(&thread, NULL, close_socket, g) == 0;
        until = from_now(CLOSE_WAIT_MS);
        pthread_mutex_lock(&rpc_gate_lock);
        while (started && !g->socket_closed && pthread_cond_timedwait(&g->changed, &rpc_gate_lock, &until) == 0)
                ;
        bool closed = g->socket_closed;
        g->abandoned = !closed;
        pthread_mutex_unlock(&rpc_gate_lock);
        if (closed) {
                pthread_join(thread, NULL);
                free_gate(g);
                return;
        }
        log_warn("msg=\"nng did not close a socket within %d ms; it is left behind\"", CLOSE_WAIT_MS);
        if (started)
                pthread_detach(thread);
}
