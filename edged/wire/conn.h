/* conn.h - one viewer's connection, from accept to close, and the sweep that ends those that hold us up.
 *
 *   HEADERS  connected, nothing asked yet, or a request of which a part has come    SENDING  a request is being answered
 *   IDLE     between two requests                                                   HELD     waits for bytes of the tier above
 *   CLOSING  the last answer was sent; what still comes is read away, so that no reset overtakes it
 *
 * A connection that rests costs this struct and the kernel's part, and what OpenSSL keeps of one with TLS: what it asks for is a struct
 * of its own (wire.h), there as long as it is being answered. Everything belongs to the connection's thread except what the sweeps read:
 * phase to key_bits are atomics, the list and the life of its members are guarded by conn_list.lock, and the fields of the sweep are the
 * loop thread's.
 *
 * A private stream's answer ends with the token it was asked with, also in the middle: then the connection is shut. */
#ifndef EDGED_WIRE_CONN_H
#define EDGED_WIRE_CONN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "edged/access.h"
#include "edged/addresses.h"
#include "edged/stats.h"

enum conn_phase { CONN_HEADERS, CONN_IDLE, CONN_SENDING, CONN_HELD, CONN_CLOSING };

/* What its thread does next with it (steps.c). */
enum conn_step { STEP_SHAKE, STEP_HEAD, STEP_BODY, STEP_ANSWER, STEP_LINGER };

struct request;
struct tls;
struct wire_thread;

#define CONN_REST_US (1 * US_PER_S)     /* who rests for less is not displaced: a viewer of a live stream asks again by then; */
#define CONN_LOOKS 64 /* that rest, for one of a big address */
#define CONN_SILENT_US (250 * US_PER_MS) /* but who has never asked for anything is, first of all, after this */
#define CONN_TURNED_US (2 * US_PER_S) /* who is only to be told that there is no room has so long to ask; who is to close, to do it */

/* Those that ask for nothing now, HEADERS and IDLE, in the order in which they began to. */
struct conn_rests {
        struct conn *longest, *shortest;
};

struct conn_list {
        pthread_mutex_t lock;
        struct conn *first;
        struct conn_rests silent, idle; /* who has never asked for anything; who has */
};

struct conn {
        struct conn *next, *prev;                   /* under list->lock */
        struct conn *rested_before, *rested_later; /* likewise */
        struct conn_rests *rests;                  /* likewise: of its list; NULL: it rests not */
        atomic_bool resting;                        /* changed under it */
        struct conn_list *list;
        int fd;
        struct address address; /* none: a balancer's */
        bool by_balancer, entered; /* entered: counted among its address's, */
        _Atomic(atomic_uint *) of_address; /* which are so many; NULL: it has no address, or is not counted */
        atomic_bool turned_away;   /* there is no room for it: it is told so when it asks */
        enum stats_turned turned_why;
        atomic_bool seated;        /* it counts as one of connections_max */
        atomic_bool unended;       /* the answer under way ends with the connection (HTTP/1.0): to end it early is to reset it */
        bool leaving;              /* under list->lock: it counts as one that lost its seat and is still open */

        _Atomic int phase;          /* enum conn_phase */
        _Atomic int64_t since_us;   /* when it entered the phase, monotonic */
        _Atomic int64_t until_s;    /* how long the answer under way may be sent, since 1970; INT64_MAX: for ever */
        _Atomic uint64_t key_bits;  /* of the token that it was asked with */

        /* its thread's */
        struct wire_thread *thread;
        enum conn_step step;
        struct tls *tls;         /* tls.h; NULL: there is none, or not yet */
        struct request *request; /* BODY, ANSWER: the one under way */
        char *saved;             /* what has come and is not looked at yet, malloc'd; NULL: nothing */
        size_t saved_len;
        size_t left_bytes;       /* BODY: to be read; LINGER: that may still be read away */
        bool readable;           /* the kernel has more for us, or has not said that it has not. Of what TLS has kept it says nothing */
        bool hung_up;            /* the other side sends no more, */
        bool probed;             /* and was told something since, so that a reset comes if it is gone altogether */
        bool full;               /* the kernel takes no more now */
        bool gone;               /* nothing can be sent any more */
        bool ready, closed;      /* it is among those that are looked at again in the next turn; it is to be freed */
        struct conn *next_ready, *next_closed;
        uint64_t requests; /* ever, those that were none included */
        bool measured;     /* it has carried video, so the kernel knows what it can carry */

        /* the sweep's */
        int64_t seen_since_us, base_us;
        uint64_t base_acked;
        atomic_bool condemned; /* also read when it closes */
};

void conn_list_init(struct conn_list *l);
void conn_list_fini(struct conn_list *l);
struct conn *conn_new(struct conn_list *l, int fd, int64_t now_us);
void conn_leave(struct conn *c); /* its list: no sweep looks at it any more, and fd may be closed */
void conn_free(struct conn *c);  /* after conn_leave() */
void conn_enter(struct conn *c, enum conn_phase phase, int64_t now_us);
void conn_admit(struct conn *c, const struct access_pass *pass); /* the request under way was let in by this */

/* Requests being answered, and those who connected within the last second and have not been able to ask. Any thread. */
size_t conn_list_busy(struct conn_list *l, int64_t now_us);

struct conn_limits {
        int64_t header_us, idle_us;
        uint64_t min_rate_bytes_s;
};
#define CONN_RATE_WINDOW_US (10 * US_PER_S) /* a phone may be in a tunnel for so long */

/* Shuts the socket of who rests for longest, for who is one of `own` of his address: first of the address that has most, if that is more
 * than twice as many, for who is few is to find room among the connections of who is many; then of who has never asked for anything; then
 * of others. And tells gone(), under the lock. Returns whom, NULL: there is nobody. Any thread; only the connection's own may look at
 * what is returned. */
struct conn *conn_displace(struct conn_list *l, unsigned own, int64_t now_us, void (*gone)(struct conn *c));

/* Shuts the sockets of those that broke a limit; their threads then close them. Adds to closed, by reason. Loop thread, about once a
 * second. */
void conn_sweep(struct conn_list *l, const struct conn_limits *limits, int64_t now_us, unsigned closed[CLOSES]);

/* The same for those whose answer must not go on: the token has expired, or its key is gone. Loop thread. */
void conn_end_expired(struct conn_list *l, struct access *access, int64_t now_s, unsigned closed[CLOSES]);

#endif
