/* wire.h - HTTP/1.1 for viewers: N threads, each with an epoll set and a socket of its own that listens on one port (SO_REUSEPORT).
 *
 *   wire_open → wire_sweep() about once a second, wire_end_expired() more often … → wire_drain → wire_quiesce → wire_close
 *
 *   listen.c accepts ──► seats.c may it stay ──► steps.c reads, parse.c ──► request.c, ops: what is the answer ──► send.c
 *
 * Connection and request are two structs. A connection (conn.h) is there from accept to close and small; a request is taken from its
 * thread's pool when a head has come, and goes back when its answer was sent. One of a connection is under way at a time: what a viewer
 * sends ahead stays in the kernel, but for what came with the head before.
 *
 * A plain epoll loop a thread, and not libuv: with edge triggering a connection is told to the kernel once in its life, a request that
 * is in the cache costs one recv and one sendmsg, all of the input goes through one buffer of the thread, and no handle has to be there
 * while a viewer is silent. libuv would add a watcher update and an allocated buffer to each.
 *
 * What has no answer yet is held: the request waits for wire_wake(), which any thread may call, and its thread is told by an eventfd,
 * once for all that are woken before it looks. They go on in the order in which they were woken.
 *
 * Who closes while he is held looks like one who only closes his own side (shutdown(SHUT_WR)), and a seat is not kept for whom nobody may
 * be there any more. So he is told "100 Continue", which every client of HTTP/1.1 has to know (RFC 9110, 15.2): of one who has gone the
 * kernel says so by a reset, a round trip later, and the other one has his answer; so he has if the answer began after that, which tells
 * as well. Who closes in the middle of it has gone, and so has one with HTTP/1.0 or TLS, who cannot be told.
 *
 * A second port speaks TLS (shake.c, tls.h): what is between the socket and HTTP there is all that differs.
 *
 * Any input ends in an answer, in words with a status, or in a counted close. Bounds: PARSE_… of a head, connections_max seats and
 * WIRE_TURNED_MAX that are being told that there is none, WIRE_LEAVING_MAX that have lost theirs, one request a connection; a turn of the
 * loop gives a connection WIRE_TURN_REQUESTS.
 *
 * All calls on the loop thread unless it says otherwise. */
#ifndef EDGED_WIRE_WIRE_H
#define EDGED_WIRE_WIRE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "edged/access.h"
#include "edged/addresses.h"
#include "edged/stats.h"
#include "edged/wire/answer.h"
#include "edged/wire/conn.h"
#include "edged/wire/parse.h"
#include "edged/wire/send.h"

#define WIRE_THREADS_MAX 256
#define WIRE_TURNED_MAX 256 /* connections beyond connections_max that are being told so */
#define WIRE_LEAVING_MAX 64 /* that were closed for others by another thread than their own, and that theirs has not looked at */
#define WIRE_TURN_REQUESTS 16
#define WIRE_TURN_STEPS 64
#define WIRE_LINGER_BYTES (256 << 10) /* are read away after the last answer of a connection */

/* The first member of what ops make of it. All zero but for these fields when begin() is called. Its thread's. */
struct request {
        struct conn *conn;
        struct parse_head head; /* valid until there is an answer */
        int64_t started_us, ended_us; /* monotonic; ended: set before end(). The clock is read no more often for what is answered at once */
        unsigned status;        /* of the answer; 0: there was none */
        bool closes;            /* the connection ends with it; ops may set it before wire_answer() */
        bool was_kept;          /* the answer's bytes came from the cache, where they have been for age_us: so is this */
        int64_t age_us;
        bool whole;             /* for end(): all of the answer was handed to the kernel */
        /* wire/'s */
        enum parse_fault fault; /* PARSE_OK, or why it was none: ops made nothing of it */
        bool held;
        bool wants_piece, ended; /* of an answer that grows: its next piece is due; its last one was taken */
        char *kept; /* the head, when it had to be held: malloc'd */
        size_t head_len;
        const char *head_at;
        struct output out;
        struct request *next; /* of the pool, or of those that were woken */
};

struct wire_ops {
        size_t request_bytes; /* of which struct request is the first member */
        /* The thread of the connection calls all of these. begin: a head is there. go_on: after wire_hold() and wire_wake().
         * Either answers, or holds. body, before begin: what has come of its body; may be NULL. */
        void (*body)(struct request *r, const char *bytes, size_t len);
        void (*begin)(struct request *r);
        void (*go_on)(struct request *r);
        /* The next piece of an answer that grows: > 0 bytes of *piece (a reference) from *off, *last: there will be no more. 0: it was
         * held. ERR_CLOSED: that was all. Another: it will not come to its end. */
        ssize_t (*more)(struct request *r, struct buf **piece, size_t *off, bool *last);
        bool (*leave)(struct request *r); /* it is held, and its viewer has gone. true: nobody will wake it; false: somebody does just now */
        bool (*lost)(struct request *r); /* what it is being sent was taken away: asked after wire_end_lost() */
        void (*end)(struct request *r);   /* it is over, answered or not */
        struct answer *(*refusal)(enum parse_fault f);            /* what such input is answered; borrowed */
};

struct wire_config {
        const char *bind; /* numeric address */
        int port;         /* 0: any free one */
        struct tls_server *tls; /* what speaks TLS at tls_port (0: any free one); outlives wire. NULL: nobody does */
        int tls_port;
        unsigned threads, connections_max;
        const char *proxy_from; /* balancers (common/networks.h): their connections are as many as they like; outlives wire. NULL: none */
        struct addresses *addresses; /* outlive wire. NULL: no address is counted */
};

struct tls_server;
struct wire;

/* ERR_IO when the port cannot be had, as when another process listens there (logged). */
int wire_open(struct wire **out, const struct wire_config *cfg, const struct wire_ops *ops, void *arg);
int wire_port(const struct wire *w);
void wire_sweep(struct wire *w, const struct conn_limits *limits, int64_t now_us, unsigned closed[CLOSES]);
void wire_end_expired(struct wire *w, struct access *access, int64_t now_s, unsigned closed[CLOSES]);
void wire_end_lost(struct wire *w); /* each thread closes the connections whose requests ops.lost() names, at once: CLOSE_PINNED */
void wire_drain(struct wire *w);   /* everybody is served, and told to connect anew */
void wire_quiesce(struct wire *w); /* no new connections */
size_t wire_busy(struct wire *w);
unsigned wire_seats(const struct wire *w); /* taken. Any thread */
void wire_close(struct wire *w); /* nothing is held any more; blocks until the threads have ended */

/* --- the thread of the connection, in begin(), go_on() and more() --- */

void *wire_arg(const struct request *r);         /* as given to wire_open() */
unsigned wire_thread_index(const struct request *r); /* less than threads */
bool wire_leaves(const struct request *r);           /* the server drains: what need not go on is to end */
/* Takes a reference. extra: fields of this sending (send.h). */
void wire_answer(struct request *r, struct answer *a, const char *extra);
void wire_hold(struct request *r); /* nothing more until somebody wakes it, or it leaves; it may be woken at once, by any thread */

void wire_wake(struct request *r); /* any thread, once for each wire_hold() that was not left */

#endif
