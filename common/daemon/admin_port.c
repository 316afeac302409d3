#include "common/daemon/admin_port.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/address.h"
#include "common/clock.h"
#include "common/daemon/admin.h"
#include "common/daemon/descriptors.h"
#include "common/err.h"
#include "common/magic.h"
#include "common/mem.h"

#define ENDING_MAX 64 /* beyond ADMIN_CONNECTIONS: those that are shut and not yet gone */
#define IDLE_S 10
#define STACK_BYTES (512u << 10)
#define RETRY_MS 100 /* so often a descriptor is looked for while there is none */
#define ENDING_WAIT_MS 5
#define TAKEN_WAIT_MS 50
#define LIBRARY_MAX 1024 /* never reached: libmicrohttpd 0.9.75 keeps a lock for good when a connection is added beyond it */

/* A connection. MHD's own deadline begins anew with every byte, so it ends nobody who takes his time. */
struct line {
        struct line *next, **link; /* in port->lines, the newest first */
        int fd;
        struct sockaddr_storage from;
        int64_t since_us; /* when it began, or its last answer ended; monotonic */
        bool asked;       /* a request is there, and not its whole answer */
        bool shut;
};

#define PORT_MAGIC 0x41504f52

struct admin_port {
        uint32_t magic;
        struct MHD_Daemon *http;
        int listener, wake; /* wake: an eventfd, which ends acceptor */
        pthread_t acceptor;
        bool accepting;              /* acceptor runs */
        int spares[ADMIN_SPARES];    /* acceptor's */
        int spare_count;
        pthread_mutex_t lock; /* guards all below */
        bool handed;          /* the last one that was accepted was given to MHD, and its thread has not taken it yet */
        pthread_cond_t taken;
        struct line *lines;
        unsigned line_count; /* of them that are not shut */
};

/* ---- connections ------------------------------------------------------------------------------------------------ */

static bool same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
        if (a->ss_family != b->ss_family)
                return false;
        if (a->ss_family == AF_INET6) /* one host has all of a /64 */
                return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr, &((const struct sockaddr_in6 *)b)->sin6_addr, 8) == 0;
        return ((const struct sockaddr_in *)a)->sin_addr.s_addr == ((const struct sockaddr_in *)b)->sin_addr.s_addr;
}

static unsigned lines_of(const struct admin_port *p, const struct sockaddr_storage *host)
{
        unsigned count = 0;
        for (const struct line *l = p->lines; l; l = l->next)
                count += !l->shut && same_host(&l->from, host);
        return count;
}

/* Under the lock: MHD closes the socket after on_connection() has had it. */
static void shut_line(struct admin_port *p, struct line *l)
{
        l->shut = true;
        p->line_count--;
        shutdown(l->fd, SHUT_RDWR);
}

/* Whether `a` is to go rather than `b`, which is of a host with `b_count`: who owes a request before who is being answered, of hosts
 * the one that has most, of its connections the oldest. */
static bool goes_first(const struct line *a, unsigned a_count, const struct line *b, unsigned b_count)
{
        if (!b || a->asked != b->asked)
                return !b || !a->asked;
        return a_count != b_count ? a_count > b_count : a->since_us <= b->since_us;
}

static void make_room(struct admin_port *p)
{
        struct line *first = NULL;
        unsigned first_count = 0;
        for (struct line *l = p->lines; l; l = l->next) {
                unsigned count = l->shut ? 0 : lines_of(p, &l->from);
                if (!l->shut && goes_first(l, count, first, first_count)) {
                        first = l;
                        first_count = count;
                }
        }
        if (first)
                shut_line(p, first);
}

static struct line *new_line(struct admin_port *p, int fd)
{
        struct line *l = mem_alloc(sizeof(*l));
        socklen_t len = sizeof(l->from);
        l->fd = fd;
        l->since_us = clock_mono_us();
        getpeername(fd, (struct sockaddr *)&l->from, &len);
        pthread_mutex_lock(&p->lock);
        p->handed = false;
        pthread_cond_signal(&p->taken);
        if (p->line_count >= ADMIN_CONNECTIONS)
                make_room(p);
        l->next = p->lines;
        l->link = &p->lines;
        if (l->next)
                l->next->link = &l->next;
        p->lines = l;
        p->line_count++;
        pthread_mutex_unlock(&p->lock);
        return l;
}

static void free_line(struct admin_port *p, struct line *l)
{
        pthread_mutex_lock(&p->lock);
        *l->link = l->next;
        if (l->next)
                l->next->link = l->link;
        p->line_count -= !l->shut;
        pthread_mutex_unlock(&p->lock);
        free(l);
}

static void on_connection(void *arg, struct MHD_Connection *conn, void **context, enum MHD_ConnectionNotificationCode what)
{
        struct admin_port *p = magic_check(arg, PORT_MAGIC);
        if (what == MHD_CONNECTION_NOTIFY_STARTED) {
                *context = new_line(p, MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd);
        } else if (*context) {
                free_line(p, *context);
                *context = NULL;
        }
}

static struct line *line_of(struct MHD_Connection *conn)
{
        return MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

void admin_port_asked(struct admin_port *p, struct MHD_Connection *conn)
{
        pthread_mutex_lock(&p->lock);
        line_of(conn)->asked = true;
        pthread_mutex_unlock(&p->lock);
}

void admin_port_answered(struct admin_port *p, struct MHD_Connection *conn)
{
        struct line *l = line_of(conn);
        pthread_mutex_lock(&p->lock);
        l->asked = false;
        l->since_us = clock_mono_us();
        pthread_mutex_unlock(&p->lock);
}

void admin_port_sweep(struct admin_port *p, int64_t now_us)
{
        pthread_mutex_lock(&p->lock);
        for (struct line *l = p->lines; l; l = l->next) {
                if (!l->shut && now_us - l->since_us > ADMIN_SLOW_S * US_PER_S)
                        shut_line(p, l);
        }
        pthread_mutex_unlock(&p->lock);
}

/* ---- accepting -------------------------------------------------------------------------------------------------- */

static void take_spares(struct admin_port *p)
{
        while (p->spare_count < ADMIN_SPARES) {
                int fd = fcntl(p->wake, F_DUPFD_CLOEXEC, 0);
                if (fd < 0)
                        return;
                p->spares[p->spare_count++] = fd;
        }
}

/* -1: there is none, or no descriptor for it; *starved says which. */
static int accept_one(struct admin_port *p, struct sockaddr_storage *from, socklen_t *len, bool *starved)
{
        for (;;) {
                *len = sizeof(*from);
                int fd = accept4(p->listener, (struct sockaddr *)from, len, SOCK_NONBLOCK | SOCK_CLOEXEC);
                *starved = fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS);
                if (fd >= 0 || errno != EMFILE || p->spare_count == 0)
                        return fd;
                close(p->spares[--p->spare_count]);
        }
}

/* Those that are ending have a thread each as well. */
static bool has_room(struct admin_port *p)
{
        const union MHD_DaemonInfo *info = MHD_get_daemon_info(p->http, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
        return info && info->num_connections < ADMIN_CONNECTIONS + ENDING_MAX;
}

/* MHD closes fd if it fails. One at a time, so that it is known how many MHD has. */
static void hand_over(struct admin_port *p, int fd, const struct sockaddr_storage *from, socklen_t len)
{
        int64_t us = clock_mono_us() + TAKEN_WAIT_MS * US_PER_MS;
        const struct timespec until = {.tv_sec = us / US_PER_S, .tv_nsec = us % US_PER_S * 1000};
        int rv = 0;
        pthread_mutex_lock(&p->lock);
        p->handed = true;
        pthread_mutex_unlock(&p->lock);
        if (MHD_add_connection(p->http, fd, (const struct sockaddr *)from, len) != MHD_YES)
                return;
        pthread_mutex_lock(&p->lock);
        while (p->handed && rv != ETIMEDOUT)
                rv = pthread_cond_timedwait(&p->taken, &p->lock, &until);
        pthread_mutex_unlock(&p->lock);
}

/* Waits for a connection, a sign to end, or until it is time to look again. */
static bool wait_for_one(struct admin_port *p, bool listen_too, int wait_ms, bool *over)
{
        struct pollfd fds[] = {{.fd = p->wake, .events = POLLIN}, {.fd = listen_too ? p->listener : -1, .events = POLLIN}};
        int n = poll(fds, 2, wait_ms);
        *over = n > 0 && fds[0].revents;
        return n > 0 && fds[1].revents;
}

static void *accept_all(void *arg)
{
        struct admin_port *p = magic_check(arg, PORT_MAGIC);
        struct sockaddr_storage from;
        socklen_t len;
        bool starved = false, over = false;
        while (!over) {
                take_spares(p);
                bool full = !has_room(p);
                int wait_ms = full ? ENDING_WAIT_MS : starved || p->spare_count < ADMIN_SPARES ? RETRY_MS : -1;
                bool may = !starved && !full; /* otherwise poll() would return at once, again and again */
                starved = false;
                if (!wait_for_one(p, may, wait_ms, &over) || over)
                        continue;
                int fd = accept_one(p, &from, &len, &starved);
                if (fd >= 0)
                        hand_over(p, fd, &from, len);
        }
        return NULL;
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static int listen_at(struct admin_port *p, const struct sockaddr_storage *address)
{
        const int on = 1;
        p->listener = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (p->listener < 0)
                return err_from_errno(errno);
        setsockopt(p->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (address->ss_family == AF_INET6)
                setsockopt(p->listener, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
        if (bind(p->listener, (const struct sockaddr *)address, address_len(address)) != 0 ||
            listen(p->listener, DESCRIPTORS_BACKLOG) != 0)
                return err_from_errno(errno);
        p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        return p->wake < 0 ? err_from_errno(errno) : 0;
}

static int start_http(struct admin_port *p, MHD_AccessHandlerCallback handle, MHD_RequestCompletedCallback completed, void *arg)
{
        errno = 0;
        p->http = MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL |
                                           MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC,
                                   0, NULL, NULL, handle, arg, MHD_OPTION_NOTIFY_COMPLETED, completed, arg,
                                   MHD_OPTION_NOTIFY_CONNECTION, on_connection, p, MHD_OPTION_CONNECTION_LIMIT,
                                   (unsigned)LIBRARY_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S,
                                   MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_BYTES, MHD_OPTION_END);
        if (!p->http)
                return errno ? err_from_errno(errno) : ERR_IO;
        take_spares(p);
        p->accepting = pthread_create(&p->acceptor, NULL, accept_all, p) == 0;
        return p->accepting ? 0 : ERR_LIMIT;
}

int admin_port_open(struct admin_port **out, const struct sockaddr_storage *address, MHD_AccessHandlerCallback handle,
                    MHD_RequestCompletedCallback completed, void *arg)
{
        struct admin_port *p = mem_alloc(sizeof(*p));
        p->magic = PORT_MAGIC;
        pthread_condattr_t attr;
        p->listener = p->wake = -1;
        pthread_mutex_init(&p->lock, NULL);
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&p->taken, &attr);
        pthread_condattr_destroy(&attr);
        *out = p; /* before there is a thread that calls handle */
        int err = listen_at(p, address);
        if (!err)
                err = start_http(p, handle, completed, arg);
        if (err) {
                admin_port_close(p);
                *out = NULL;
        }
        return err;
}

void admin_port_close(struct admin_port *p)
{
        const uint64_t one = 1;
        if (p->accepting) {
                ssize_t n = write(p->wake, &one, sizeof(one));
                (void)n;
                pthread_join(p->acceptor, NULL);
        }
        while (p->spare_count)
                close(p->spares[--p->spare_count]);
        if (p->listener >= 0)
                close(p->listener);
        if (p->http)
                MHD_stop_daemon(p->http);
        if (p->wake >= 0)
                close(p->wake);
        pthread_cond_destroy(&p->taken);
        pthread_mutex_destroy(&p->lock);
        p->magic = 0;
        free(p);
}
