#include "common/cluster/rpc_gate.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/cluster/long_way.h"
#include "common/cluster/nng_fix.h"
#include "common/cluster/nng_tcp.h"
#include "common/cluster/rpc_callers.h"
#include "common/cluster/rpc_fault.h"
#include "common/cluster/rpc_handshakes.h"
#include "common/cluster/sp_frames.h"
#include "common/cluster/under_way.h"
#include "common/daemon/descriptors.h"
#include "common/daemon/log.h"
#include "common/mem.h"

#define GONE_WAIT_MS 300  /* for connections that were shut down to be taken down */
#define CLOSE_WAIT_MS 2000
#define STUCK_LOOK_MS 1000
#define SEATS_MAX (1u << 20) /* descriptors of the process that can be looked up */
#define PIPE_BUCKETS 256
#define STRANGERS_RESERVE_MAX 64 /* who may have one of the last descriptors */

/* A TCP connection of nng's, from accept (dialed: from when it is negotiated) until nng closes its descriptor. */
struct line {
        struct rpc_gate *gate;
        struct line *next, **prev;       /* in the gate's */
        struct line *newer, *older;      /* in its strangers */
        struct line *same_bucket;        /* in its pipes, while pipe is not 0 */
        struct caller *caller;           /* NULL: dialed */
        uint32_t pipe;                   /* 0: being negotiated, or ended */
        int fd;
        bool stranger;
        bool fitted;                     /* to a long way, long_way.h */
        bool ended;                      /* we shut it down */
        int64_t since_us, ended_us;      /* ended_us: seen to have ended; 0: it has not */
        uint64_t wire_bytes;
        unsigned messages;               /* that a stranger began */
        struct sp_frames frames;
        size_t message_max;
        struct message_under_way message; /* or it waits for a context */
};

struct rpc_gate {
        nng_socket socket;
        unsigned kind;
        int listening; /* descriptor; -1: none */
        struct rpc_gate *next; /* in gates, from when it listens until nng has closed the socket */
        bool leaving; /* nobody is let in any more */
        pthread_cond_t changed;
        pthread_mutex_t event_lock; /* held during event(); guards owner. Taken before the other one, if both */
        rpc_gate_event *event;
        void *owner; /* NULL: closed */
        struct line *lines, *pipes[PIPE_BUCKETS];
        struct line *newest, *oldest; /* strangers */
        struct callers callers;
        struct rpc_handshakes handshakes; /* with TLS */
        unsigned line_count, stranger_count;
        struct under_way under_way;
        int64_t swept_us, looked_us;
        bool socket_closed;
        bool abandoned; /* nobody waits for the closing thread any more: it frees the gate */
};

/* Guards all gates and lines; nothing is called while it is held that could wait. One for all, since a descriptor is looked up
 * before its gate is known. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The lines by descriptor. Changed under the lock; whether there is one any thread asks without, also before there is a table. */
struct seats {
        size_t count;
        struct line *_Atomic of[];
};
static struct seats *_Atomic seats;

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

/* ---- lines by descriptor and by pipe ---------------------------------------------------------------------------- */

/* As many as the process may ever have; pages of the table that nobody looks at are never there. */
static void make_seats(void)
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

static struct line *seated(int fd)
{
        struct line *_Atomic *seat = seat_of(fd);
        return seat ? atomic_load_explicit(seat, memory_order_relaxed) : NULL;
}

bool rpc_gate_watches(int fd)
{
        return seated(fd) != NULL;
}

static struct line **pipe_place(struct rpc_gate *g, uint32_t pipe)
{
        struct line **at = &g->pipes[pipe % PIPE_BUCKETS];
        while (*at && (*at)->pipe != pipe)
                at = &(*at)->same_bucket;
        return at;
}

static struct line *new_line(struct rpc_gate *g, int fd)
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

static void leave_pipe(struct line *l)
{
        if (l->pipe != 0)
                *pipe_place(l->gate, l->pipe) = l->same_bucket;
        l->pipe = 0;
}

/* ---- strangers -------------------------------------------------------------------------------------------------- */

static void make_stranger(struct line *l)
{
        struct rpc_gate *g = l->gate;
        l->stranger = true;
        l->older = g->newest;
        *(l->older ? &l->older->newer : &g->oldest) = l;
        g->newest = l;
        g->stranger_count++;
        l->caller->strangers++;
}

static void no_stranger(struct line *l)
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

static void shut_down(struct line *l)
{
        l->ended = true;
        shutdown(l->fd, SHUT_RDWR);
}

static void end_stranger(struct line *l, enum rpc_fault fault)
{
        rpc_fault_count(fault);
        no_stranger(l);
        shut_down(l);
}

/* Before one more of this address. They are few enough to be walked through. */
static void end_strangers_for(struct rpc_gate *g, const struct caller *newcomer)
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
                        end_stranger(l, RPC_FAULT_STRANGERS);
                        return;
                }
        }
}

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
        pthread_mutex_lock(&lock);
        bool stood_still = now - g->swept_us > STUCK_MS * US_PER_MS / 3; /* we, and nng's threads with us */
        g->swept_us = now;
        while (g->oldest && now - g->oldest->since_us >= STRANGER_MS * US_PER_MS)
                end_stranger(g->oldest, RPC_FAULT_LATE);
        if (stood_still || now - g->looked_us >= STUCK_LOOK_MS * US_PER_MS)
                stuck = look_at_all(g, now, stood_still);
        pthread_mutex_unlock(&lock);
        if (!stuck)
                return;
        log_fatal("msg=\"nng does not take down a connection that ended %d ms ago, and will not take down or dial any other: "
                  "ending, to be started again\"", STUCK_MS);
        _exit(EX_SOFTWARE);
}

void rpc_gate_known(struct rpc_gate *g, uint32_t pipe, size_t message_max_bytes)
{
        pthread_mutex_lock(&lock);
        struct line *l = *pipe_place(g, pipe);
        if (l) {
                no_stranger(l);
                l->message_max = message_max_bytes;
                if (l->caller)
                        rpc_handshakes_known(&g->handshakes, l->caller->address, clock_mono_us());
        }
        pthread_mutex_unlock(&lock);
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
        pthread_mutex_lock(&lock);
        to_listen->listening = fd;
        to_listen->next = gates;
        gates = to_listen;
        pthread_mutex_unlock(&lock);
}

/* NULL: it may stay. */
static const char *admit(struct rpc_gate *g, int fd, const struct sockaddr_storage *peer)
{
        if (g->line_count >= RPC_CONNECTIONS_MAX || !seat_of(fd))
                return "too many connections";
        struct caller *caller = callers_add(&g->callers, peer);
        if (caller->connections > RPC_ADDRESS_CONNECTIONS_MAX) {
                callers_remove(&g->callers, caller);
                return "too many connections of this address";
        }
        end_strangers_for(g, caller);
        struct line *l = new_line(g, fd);
        l->caller = caller;
        make_stranger(l);
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
        pthread_mutex_lock(&lock);
        struct rpc_gate *g = gate_of(listening);
        bool crowded = g && g->stranger_count >= STRANGERS_RESERVE_MAX, leaving = g && g->leaving;
        pthread_mutex_unlock(&lock);
        if (!g)
                return true;
        if (leaving) /* nng accepts until its socket is closed, which may take as long as CLOSE_WAIT_MS */
                return false;
        (void)getpeername(fd, (struct sockaddr *)&peer, &len); /* gone again already: it counts as one of no address */
        text_of(text, &peer);
        if (crowded && !descriptors_admit(fd, "nng", text))
                return false;
        pthread_mutex_lock(&lock);
        g = gate_of(listening);
        const char *why = g ? admit(g, fd, &peer) : NULL;
        pthread_mutex_unlock(&lock);
        if (!why)
                return true;
        rpc_fault_count(RPC_FAULT_LIMIT);
        log_warn_of(text, "peer=%s msg=\"connection not accepted\" why=\"%s\"", text, why);
        return false;
}

bool rpc_gate_shakes(int fd)
{
        pthread_mutex_lock(&lock);
        struct line *l = seated(fd);
        bool may = !l || !l->caller || rpc_handshakes_may(&l->gate->handshakes, l->caller->address, clock_mono_us());
        pthread_mutex_unlock(&lock);
        return may;
}

/* ---- what they send --------------------------------------------------------------------------------------------- */

static void forget_message(struct line *l)
{
        under_way_end(&l->gate->under_way, &l->message);
}

static bool make_room(struct rpc_gate *g)
{
        struct message_under_way *slowest;
        while ((slowest = under_way_excess(&g->under_way))) {
                struct line *l = (struct line *)((char *)slowest - offsetof(struct line, message));
                rpc_fault_count(RPC_FAULT_UNDER_WAY);
                under_way_ended(&g->under_way, slowest);
                shut_down(l);
        }
        return !under_way_full(&g->under_way);
}

/* nng allocates it as soon as it knows the length. */
static bool begin_message(struct line *l, uint64_t len)
{
        if (len > l->message_max || (l->stranger && ++l->messages > STRANGER_MESSAGES_MAX)) {
                rpc_fault_count(l->stranger ? RPC_FAULT_BYTES : RPC_FAULT_TOO_LONG);
                no_stranger(l);
                return false;
        }
        forget_message(l);
        under_way_begin(&l->gate->under_way, &l->message, (size_t)len);
        if (make_room(l->gate))
                return true;
        rpc_fault_count(RPC_FAULT_UNDER_WAY);
        forget_message(l); /* there will be no memory for it */
        return false;
}

static bool hear(struct line *l, const uint8_t *data, size_t n)
{
        enum sp_event event;
        uint64_t len = 0;
        while (n > 0) {
                size_t took = sp_frames_feed(&l->frames, data, n, &event, &len);
                data += took;
                n -= took;
                if (event == SP_GARBAGE || (event == SP_MESSAGE && !begin_message(l, len)))
                        return false;
                if (l->frames.left == 0)
                        under_way_arrived(&l->gate->under_way, &l->message);
        }
        return !l->ended;
}

/* nng reads the next length when a context has taken the message before. */
static void want(struct line *l)
{
        if (sp_frames_between(&l->frames))
                forget_message(l);
}

void rpc_gate_reads(int fd)
{
        pthread_mutex_lock(&lock);
        struct line *l = seated(fd);
        if (l && !(l->gate->kind & GATE_TLS))
                want(l);
        pthread_mutex_unlock(&lock);
}

static bool has_read(struct line *l, const struct iovec *iov, int count, size_t n)
{
        if (n == 0)
                return l->pipe != 0; /* before, nng's listener would pause for a tenth of a second */
        l->wire_bytes += n;
        if (l->stranger && l->wire_bytes > STRANGER_BYTES_MAX) {
                rpc_fault_count(RPC_FAULT_BYTES);
                no_stranger(l);
                return false;
        }
        bool good = !l->ended;
        for (int i = 0; i < count && n > 0 && good && !(l->gate->kind & GATE_TLS); i++) {
                size_t part = iov[i].iov_len < n ? iov[i].iov_len : n;
                good = hear(l, iov[i].iov_base, part);
                n -= part;
        }
        return good;
}

bool rpc_gate_has_read(int fd, const struct iovec *iov, int count, size_t n)
{
        pthread_mutex_lock(&lock);
        struct line *l = seated(fd);
        bool good = !l || has_read(l, iov, count, n);
        pthread_mutex_unlock(&lock);
        return good;
}

void rpc_gate_wants(int fd)
{
        if (!rpc_gate_watches(fd))
                return;
        pthread_mutex_lock(&lock);
        struct line *l = seated(fd);
        if (l)
                want(l);
        pthread_mutex_unlock(&lock);
}

bool rpc_gate_hears(int fd, const uint8_t *data, size_t n)
{
        if (!rpc_gate_watches(fd))
                return true;
        pthread_mutex_lock(&lock);
        struct line *l = seated(fd);
        bool good = !l || hear(l, data, n);
        pthread_mutex_unlock(&lock);
        return good;
}

/* ---- connections ------------------------------------------------------------------------------------------------ */

/* The line of a connection that is negotiated; a dialed one has none before. */
static bool enter_pipe(struct rpc_gate *g, uint32_t pipe, int fd)
{
        bool entered = false;
        pthread_mutex_lock(&lock);
        struct line *l = seated(fd);
        if (!l && !(g->kind & GATE_LISTENS) && seat_of(fd)) {
                l = new_line(g, fd);
                l->frames.greeted = true;
        }
        if (l && l->gate == g && l->pipe == 0) {
                l->pipe = pipe;
                l->same_bucket = g->pipes[pipe % PIPE_BUCKETS];
                g->pipes[pipe % PIPE_BUCKETS] = l;
                entered = true;
        }
        pthread_mutex_unlock(&lock);
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
        pthread_mutex_lock(&lock);
        struct line *l = *pipe_place(g, (uint32_t)nng_pipe_id(pipe));
        if (l) {
                no_stranger(l);
                forget_message(l);
                leave_pipe(l);
        }
        pthread_mutex_unlock(&lock);
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
                pipe_up(arg, pipe);
        else
                pipe_down(arg, pipe);
}

static void free_line(struct line *l)
{
        struct rpc_gate *g = l->gate;
        atomic_store_explicit(seat_of(l->fd), NULL, memory_order_relaxed);
        no_stranger(l);
        forget_message(l);
        leave_pipe(l);
        if (l->caller)
                callers_remove(&g->callers, l->caller);
        *l->prev = l->next;
        if (l->next)
                l->next->prev = l->prev;
        g->line_count--;
        free(l);
        pthread_cond_broadcast(&g->changed);
}

void rpc_gate_closing(int fd)
{
        pthread_mutex_lock(&lock);
        struct line *l = seated(fd);
        if (l)
                free_line(l);
        pthread_mutex_unlock(&lock);
}

void rpc_gate_end(struct rpc_gate *g, uint32_t pipe)
{
        pthread_mutex_lock(&lock);
        struct line *l = *pipe_place(g, pipe);
        if (l)
                shut_down(l);
        pthread_mutex_unlock(&lock);
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static void free_gate(struct rpc_gate *g)
{
        pthread_mutex_lock(&lock);
        while (g->lines)
                free_line(g->lines);
        pthread_mutex_unlock(&lock);
        pthread_cond_destroy(&g->changed);
        pthread_mutex_destroy(&g->event_lock);
        free(g);
}

void rpc_gate_limit_handshakes(const struct rpc_handshake_limits *limits)
{
        handshake_limits = *limits;
}

int rpc_gate_open(struct rpc_gate **out, nng_socket socket, unsigned kind, rpc_gate_event *event, void *owner)
{
        struct rpc_gate *g = mem_alloc(sizeof(*g));
        pthread_condattr_t attr;
        pthread_once(&once, make_seats);
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
        struct rpc_gate *g = arg;
        nng_close(g->socket);
        pthread_mutex_lock(&lock);
        forget_listening(g);
        bool last = g->abandoned;
        g->socket_closed = true;
        pthread_cond_broadcast(&g->changed);
        pthread_mutex_unlock(&lock);
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
        pthread_mutex_lock(&lock);
        g->leaving = true;
        for (struct line *l = g->lines; l; l = l->next)
                shut_down(l);
        while (g->lines && pthread_cond_timedwait(&g->changed, &lock, &until) == 0)
                ;
        pthread_mutex_unlock(&lock);

        bool started = pthread_create(&thread, NULL, close_socket, g) == 0;
        until = from_now(CLOSE_WAIT_MS);
        pthread_mutex_lock(&lock);
        while (started && !g->socket_closed && pthread_cond_timedwait(&g->changed, &lock, &until) == 0)
                ;
        bool closed = g->socket_closed;
        g->abandoned = !closed;
        pthread_mutex_unlock(&lock);
        if (closed) {
                pthread_join(thread, NULL);
                free_gate(g);
                return;
        }
        log_warn("msg=\"nng did not close a socket within %d ms; it is left behind\"", CLOSE_WAIT_MS);
        if (started)
                pthread_detach(thread);
}
