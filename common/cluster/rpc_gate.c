#include "common/cluster/rpc_gate.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/cluster/nng_fix.h"
#include "common/cluster/rpc_fault.h"
#include "common/daemon/log.h"
#include "common/mem.h"

#define GONE_WAIT_MS 300  /* for connections that were shut down to be taken down */
#define CLOSE_WAIT_MS 2000
#define STUCK_LOOK_MS 1000

struct line {
        struct line *next;
        uint32_t pipe;
        int fd; /* our own descriptor of its TCP socket; -1: not found */
        bool stranger;
        int64_t since_us, ended_us; /* ended_us: seen to have ended; 0: it has not */
};

struct rpc_gate {
        nng_socket socket;
        pthread_mutex_t lock; /* guards all below */
        pthread_cond_t changed;
        rpc_gate_event *event;
        void *owner; /* NULL: closed */
        struct line *lines;
        unsigned line_count, stranger_count;
        bool strangers; /* new connections are */
        int64_t swept_us, looked_us;
        bool socket_closed;
        bool abandoned; /* nobody waits for the closing thread any more: it frees the gate */
};

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

/* ---- the TCP socket of a pipe ----------------------------------------------------------------------------------- */

static bool same_address(const struct sockaddr_storage *ss, const nng_sockaddr *sa)
{
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)ss;
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)ss;
        if (ss->ss_family == AF_INET && sa->s_family == NNG_AF_INET)
                return v4->sin_port == sa->s_in.sa_port && v4->sin_addr.s_addr == sa->s_in.sa_addr;
        if (ss->ss_family == AF_INET6 && sa->s_family == NNG_AF_INET6)
                return v6->sin6_port == sa->s_in6.sa_port && memcmp(&v6->sin6_addr, sa->s_in6.sa_addr, 16) == 0;
        return false;
}

static bool is_socket_of(int fd, const nng_sockaddr *local, const nng_sockaddr *remote)
{
        struct sockaddr_storage ss;
        socklen_t len = sizeof(ss);
        if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0 || !same_address(&ss, local))
                return false;
        len = sizeof(ss);
        return getpeername(fd, (struct sockaddr *)&ss, &len) == 0 && same_address(&ss, remote);
}

/* A duplicate, so that the number cannot come to mean another socket. */
int rpc_gate_find_socket(const nng_sockaddr *local, const nng_sockaddr *remote)
{
        struct dirent *entry;
        int found = -1;
        DIR *dir = opendir("/proc/self/fd");
        while (dir && found < 0 && (entry = readdir(dir))) {
                int fd = atoi(entry->d_name);
                if (entry->d_name[0] != '.' && is_socket_of(fd, local, remote))
                        found = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        }
        if (dir)
                closedir(dir);
        return found;
}

static int find_socket(nng_pipe pipe)
{
        nng_sockaddr local, remote;
        if (nng_pipe_get_addr(pipe, NNG_OPT_LOCADDR, &local) != 0 || nng_pipe_get_addr(pipe, NNG_OPT_REMADDR, &remote) != 0)
                return -1;
        return rpc_gate_find_socket(&local, &remote);
}

static void shut_down(const struct line *l)
{
        if (l->fd >= 0)
                shutdown(l->fd, SHUT_RDWR);
        else
                nng_pipe_close((nng_pipe){.id = l->pipe});
}

/* ---- strangers -------------------------------------------------------------------------------------------------- */

static void no_stranger(struct rpc_gate *g, struct line *l)
{
        g->stranger_count -= l->stranger;
        l->stranger = false;
}

static void end_stranger(struct rpc_gate *g, struct line *l, enum rpc_fault fault)
{
        rpc_fault_count(fault);
        no_stranger(g, l);
        shut_down(l);
}

/* New lines come first, so the last stranger is the oldest. */
static void end_oldest_stranger(struct rpc_gate *g)
{
        struct line *oldest = NULL;
        for (struct line *l = g->lines; l; l = l->next)
                oldest = l->stranger ? l : oldest;
        if (oldest)
                end_stranger(g, oldest, RPC_FAULT_STRANGERS);
}

static uint64_t received_bytes(int fd)
{
        struct tcp_info info = {0};
        socklen_t len = sizeof(info);
        return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 ? info.tcpi_bytes_received : 0;
}

/* Whether nng should have taken the connection down long ago: both its directions have ended. */
static bool is_stuck(struct line *l, int64_t now)
{
        struct pollfd p = {.fd = l->fd}; /* POLLHUP and POLLERR are told unasked */
        if (l->fd < 0 || poll(&p, 1, 0) != 1)
                l->ended_us = 0;
        else if (l->ended_us == 0)
                l->ended_us = now;
        return l->ended_us != 0 && now - l->ended_us >= STUCK_MS * US_PER_MS;
}

static void look_at_stranger(struct rpc_gate *g, struct line *l, int64_t now)
{
        if (now - l->since_us >= STRANGER_MS * US_PER_MS)
                end_stranger(g, l, RPC_FAULT_LATE);
        else if (l->fd >= 0 && received_bytes(l->fd) > STRANGER_BYTES_MAX)
                end_stranger(g, l, RPC_FAULT_BYTES);
}

void rpc_gate_sweep(struct rpc_gate *g)
{
        int64_t now = clock_mono_us();
        bool stuck = false;
        pthread_mutex_lock(&g->lock);
        bool stood_still = now - g->swept_us > STUCK_MS * US_PER_MS / 3; /* we, and nng's threads with us */
        bool look = now - g->looked_us >= STUCK_LOOK_MS * US_PER_MS;
        g->swept_us = now;
        for (struct line *l = g->lines; l; l = l->next) {
                if (l->stranger)
                        look_at_stranger(g, l, now);
                if (stood_still)
                        l->ended_us = 0;
                else if (look)
                        stuck |= is_stuck(l, now);
        }
        if (look)
                g->looked_us = now;
        pthread_mutex_unlock(&g->lock);
        if (!stuck)
                return;
        log_error("msg=\"nng does not take down a connection that ended %d ms ago, and will not take down or dial any other: "
                  "ending, to be started again\"", STUCK_MS);
        _exit(EX_SOFTWARE);
}

void rpc_gate_known(struct rpc_gate *g, uint32_t pipe)
{
        pthread_mutex_lock(&g->lock);
        for (struct line *l = g->stranger_count > 0 ? g->lines : NULL; l; l = l->next) {
                if (l->pipe == pipe)
                        no_stranger(g, l);
        }
        pthread_mutex_unlock(&g->lock);
}

/* ---- connections ------------------------------------------------------------------------------------------------ */

static void line_up(struct rpc_gate *g, nng_pipe pipe, int fd)
{
        struct line *l = mem_alloc(sizeof(*l));
        if (g->strangers && g->stranger_count >= STRANGERS_MAX)
                end_oldest_stranger(g);
        *l = (struct line){.next = g->lines, .pipe = (uint32_t)nng_pipe_id(pipe), .fd = fd, .stranger = g->strangers,
                           .since_us = clock_mono_us()};
        g->lines = l;
        g->line_count++;
        g->stranger_count += l->stranger;
        bool wanted = g->owner && g->event(g->owner, pipe, true);
        if (g->line_count > RPC_CONNECTIONS_MAX) {
                rpc_fault_count(RPC_FAULT_LIMIT);
                wanted = false;
        }
        if (!wanted)
                nng_pipe_close(pipe); /* nothing is being read from it yet */
}

static void line_down(struct rpc_gate *g, nng_pipe pipe)
{
        struct line **at = &g->lines, *l;
        while (*at && (*at)->pipe != (uint32_t)nng_pipe_id(pipe))
                at = &(*at)->next;
        l = *at;
        if (!l)
                return;
        *at = l->next;
        if (l->fd >= 0)
                close(l->fd);
        no_stranger(g, l);
        free(l);
        g->line_count--;
        pthread_cond_broadcast(&g->changed);
        if (g->owner)
                g->event(g->owner, pipe, false);
}

/* ADD_PRE comes before the pipe is started, so nothing of it is heard before it is known; REM_POST always follows. */
static void on_pipe(nng_pipe pipe, nng_pipe_ev ev, void *arg)
{
        struct rpc_gate *g = arg;
        int fd = ev == NNG_PIPE_EV_ADD_PRE ? find_socket(pipe) : -1;
        pthread_mutex_lock(&g->lock);
        if (ev == NNG_PIPE_EV_ADD_PRE)
                line_up(g, pipe, fd);
        else
                line_down(g, pipe);
        pthread_mutex_unlock(&g->lock);
}

void rpc_gate_end(struct rpc_gate *g, uint32_t pipe)
{
        pthread_mutex_lock(&g->lock);
        for (struct line *l = g->lines; l; l = l->next) {
                if (l->pipe == pipe)
                        shut_down(l);
        }
        pthread_mutex_unlock(&g->lock);
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static void free_gate(struct rpc_gate *g)
{
        while (g->lines) {
                struct line *l = g->lines;
                g->lines = l->next;
                if (l->fd >= 0)
                        close(l->fd);
                free(l);
        }
        pthread_cond_destroy(&g->changed);
        pthread_mutex_destroy(&g->lock);
        free(g);
}

int rpc_gate_open(struct rpc_gate **out, nng_socket socket, bool strangers, rpc_gate_event *event, void *owner)
{
        struct rpc_gate *g = mem_alloc(sizeof(*g));
        pthread_condattr_t attr;
        g->socket = socket;
        g->strangers = strangers;
        g->event = event;
        g->owner = owner;
        pthread_mutex_init(&g->lock, NULL);
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

static void *close_socket(void *arg)
{
        struct rpc_gate *g = arg;
        nng_close(g->socket);
        pthread_mutex_lock(&g->lock);
        bool last = g->abandoned;
        g->socket_closed = true;
        pthread_cond_broadcast(&g->changed);
        pthread_mutex_unlock(&g->lock);
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
        pthread_mutex_lock(&g->lock);
        g->owner = NULL;
        for (struct line *l = g->lines; l; l = l->next)
                shut_down(l);
        while (g->lines && pthread_cond_timedwait(&g->changed, &g->lock, &until) == 0)
                ;
        pthread_mutex_unlock(&g->lock);

        bool started = pthread_create(&thread, NULL, close_socket, g) == 0;
        until = from_now(CLOSE_WAIT_MS);
        pthread_mutex_lock(&g->lock);
        while (started && !g->socket_closed && pthread_cond_timedwait(&g->changed, &g->lock, &until) == 0)
                ;
        bool closed = g->socket_closed;
        g->abandoned = !closed;
        pthread_mutex_unlock(&g->lock);
        if (closed) {
                pthread_join(thread, NULL);
                free_gate(g);
                return;
        }
        log_warn("msg=\"nng did not close a socket within %d ms; it is left behind\"", CLOSE_WAIT_MS);
        if (started)
                pthread_detach(thread);
}
