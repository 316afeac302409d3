/* server.h - what the files of wire/ share: the server, and one of its threads. Nobody else includes it. */
#ifndef EDGED_WIRE_SERVER_H
#define EDGED_WIRE_SERVER_H

#include <netinet/in.h>
#include <stdatomic.h>

#include "edged/wire/tls.h"
#include "edged/wire/wire.h"

/* What a step says of its connection. LATER: not in this turn. */
enum turn { TURN_ON, TURN_WAIT, TURN_LATER, TURN_OVER };

struct wire_listener {
        int fd;
        bool tls;
};
#define WIRE_LISTENERS 2

struct wire_thread {
        struct wire *wire;
        unsigned index;
        pthread_t id;
        bool runs;
        int epoll_fd, wake_fd;
        struct wire_listener listeners[WIRE_LISTENERS];
        unsigned listener_count;
        struct conn_list conns;
        bool listens;             /* the listeners are in the epoll set */
        int64_t accept_again_us;  /* there were no descriptors: not before then; 0: always */
        struct request *pool;     /* free ones */
        unsigned pooled;
        _Atomic(struct request *) woken; /* the last one first */
        atomic_bool lost;        /* wire_end_lost() was called */
        atomic_uint ended;       /* connections that were closed for it, not told yet */
        struct conn *ready, **ready_last, *closed;
        unsigned shakes;         /* handshakes that went on in this turn */
        int64_t date_s;
        char date[DATE_FIELD_MAX];
        size_t at, have;          /* of input: what is not looked at yet of the connection that is being looked at */
        char input[PARSE_HEAD_MAX];
};

struct wire {
        struct wire_config cfg;
        struct wire_ops ops;
        void *arg;
        int port, tls_port;
        atomic_bool draining, quiet, stopping;
        atomic_uint seats, turned; /* taken; connections that are being told that there is none */
        atomic_uint leaving;       /* connections that lost theirs to one of another thread, and are still open */
        struct wire_thread *threads;
};

/* listen.c */
/* A descriptor, or -1 with errno: EADDRINUSE, somebody else listens there. beside: one of ours does already. */
int listen_open(const char *address, int port, bool beside);
int listen_port(int fd);
/* Accepts what waits, a bounded number of them, and hands each to begin(). */
void listen_accept(struct wire_thread *t, const struct wire_listener *l,
                   void (*begin)(struct wire_thread *t, const struct wire_listener *l, int fd, const struct sockaddr *peer));

/* request.c */
struct request *request_get(struct conn *c);   /* c's from now on */
int64_t request_put(struct request *r);        /* it is over: back into the pool. When it ended */
bool request_leave(struct request *r);         /* false: it is held, and somebody else's until it is woken */
/* Who has no answer yet keeps what it was asked: the thread's buffer is the next connection's. */
void request_keep_head(struct request *r);
void request_free_pool(struct wire_thread *t);
void wire_tell(struct wire_thread *t);         /* wakes it. Any thread */

/* steps.c */
void wire_run(struct wire_thread *t, struct conn *c); /* goes on with c as far as it comes in this turn */
/* Closes c, of this thread; one that is held when it is woken, if it cannot leave. It is freed when the turn is over: the kernel's events
 * and the thread's lists may still name it. */
void wire_end_conn(struct conn *c);
void wire_free_closed(struct wire_thread *t); /* the turn is over */
void wire_refuse(struct conn *c, enum parse_fault fault); /* what came is answered with this, and is the last that is looked at */
enum turn wire_linger(struct conn *c);                    /* all is said; TLS, if there is any, is over */

/* shake.c: the step of a connection that begins with TLS. */
enum turn wire_shake(struct wire_thread *t, struct conn *c);

/* seats.c: whether c may stay. If not it is turned away: told when it asks, or, when too many are, at once, and shut. */
void seats_find(struct conn *c, struct wire_thread *t, int64_t now_us);
void seats_leave(struct conn *c); /* its seat, and its place among those of its address that conn_free() does not touch */

#endif
