/* rpc_gate_impl.h - the inside of a gate, shared by rpc_gate.c, which lets connections in and ends with its socket, rpc_lines.c, which
 * knows them by descriptor and by pipe and which of them are strangers', and rpc_traffic.c, which follows what they send. Included by
 * nothing else.
 *
 *   line_new()  →  line_make_stranger()  →  line_enter_pipe()  →  line_no_stranger()  →  line_leave_pipe()  →  line_free()
 *
 * All of it under rpc_gate_lock but what says otherwise. */
#ifndef COMMON_CLUSTER_RPC_GATE_IMPL_H
#define COMMON_CLUSTER_RPC_GATE_IMPL_H

#include <pthread.h>

#include "common/cluster/rpc_callers.h"
#include "common/cluster/rpc_fault.h"
#include "common/cluster/rpc_gate.h"
#include "common/cluster/rpc_handshakes.h"
#include "common/cluster/sp_frames.h"
#include "common/cluster/under_way.h"

#define PIPE_BUCKETS 256

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

#define GATE_MAGIC 0x47415445

struct rpc_gate {
        uint32_t magic;
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
extern pthread_mutex_t rpc_gate_lock;

void lines_init(void); /* at first, once */

/* Whether a connection of this descriptor can have a line: its number is not beyond the table. */
bool line_fits(int fd);
struct line *line_of_fd(int fd);                            /* NULL: none */
struct line *line_of_pipe(struct rpc_gate *g, uint32_t pipe); /* NULL: none */

struct line *line_new(struct rpc_gate *g, int fd); /* which fits, and has none */
void line_enter_pipe(struct line *l, uint32_t pipe);
void line_leave_pipe(struct line *l); /* idempotent */
void line_free(struct line *l);
void line_shut_down(struct line *l);

void line_make_stranger(struct line *l);
void line_no_stranger(struct line *l); /* idempotent */
void line_end_stranger(struct line *l, enum rpc_fault fault);
void lines_end_stranger_for(struct rpc_gate *g, const struct caller *newcomer); /* before one more of this address */

#endif
