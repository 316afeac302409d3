/* client.h - one viewer's connection, from accept to close, and the sweep that ends those that hold us up.
 *
 *   HEADERS  connected, nothing asked yet        SENDING  a request is being answered
 *   IDLE     between two requests                HELD     suspended: waits for bytes of the tier above
 *
 * It is MHD's socket context, so that a request allocates nothing. Everything belongs to the MHD thread of its daemon
 * (while HELD: to nobody) except what the sweeps read: phase to key_bits are atomics, the list and the life of its members
 * are guarded by client_list.lock, and the fields of the sweep are the loop thread's.
 *
 * A private stream's answer ends with the token it was asked with, also in the middle: then the connection is shut. */
#ifndef EDGED_CLIENT_H
#define EDGED_CLIENT_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "edged/access.h"
#include "edged/cache.h"
#include "edged/path.h"
#include "edged/respond.h"
#include "edged/stats.h"

enum client_phase { CLIENT_HEADERS, CLIENT_IDLE, CLIENT_SENDING, CLIENT_HELD };
enum client_method { METHOD_GET, METHOD_HEAD, METHOD_OPTIONS, METHOD_OTHER };

struct http;

#define CLIENT_REST_US (1 * US_PER_S)     /* who rests for less is not displaced: a viewer of a live stream asks again by then; */
#define CLIENT_LOOKS 64 /* that rest, for one of a big address */
#define CLIENT_SILENT_US (250 * US_PER_MS) /* but who has never asked for anything is, first of all, after this */
#define CLIENT_TURNED_US (2 * US_PER_S) /* who is only to be told that there is no room has so long to ask */

/* Those that ask for nothing now, HEADERS and IDLE, in the order in which they began to. */
struct client_rests {
        struct client *longest, *shortest;
};

struct client_list {
        pthread_mutex_t lock;
        struct client *first;
        struct client_rests silent, idle; /* who has never asked for anything; who has */
};

struct client {
        struct client *next, *prev;                   /* under list->lock */
        struct client *rested_before, *rested_later; /* likewise */
        struct client_rests *rests;                  /* likewise: of its list; NULL: it rests not */
        atomic_bool resting;                          /* changed under it */
        struct client_list *list;
        struct http *http;
        struct MHD_Connection *connection;
        int fd;
        struct address address; /* none: a balancer's */
        bool by_balancer, entered; /* entered: counted among its address's, */
        _Atomic(atomic_uint *) of_address; /* which are so many; NULL: it has no address, or is not counted */
        atomic_bool turned_away;   /* there is no room for it: it is told so when it asks */
        enum respond_error turned_why;
        atomic_bool seated;        /* it counts as one of connections_max */

        _Atomic int phase;          /* enum client_phase */
        _Atomic int64_t since_us;   /* when it entered the phase, monotonic */
        _Atomic int64_t until_s;    /* how long the answer under way may be sent, since 1970; INT64_MAX: for ever */
        _Atomic uint64_t key_bits;  /* of the token that it was asked with */

        /* the request under way */
        enum client_method method;
        struct path path;
        struct object *object;
        enum cache_result cached;
        struct access_pass pass;
        bool is_list; /* what is asked for has a part for everybody and parts for who has a token */
        struct waiter waiter;
        int64_t started_us;
        size_t skipped_bytes; /* of a request body */
        unsigned status;
        enum stats_result result;
        uint64_t requests; /* ever on this connection */
        bool measured;     /* it has carried video, so the kernel knows what it can carry */

        /* the sweep's */
        int64_t seen_since_us, base_us;
        uint64_t base_acked;
        atomic_bool condemned; /* also read when it closes */
};

void client_list_init(struct client_list *l);
void client_list_fini(struct client_list *l);
struct client *client_new(struct client_list *l, struct http *http, int fd, int64_t now_us);
void client_free(struct client *c);
void client_enter(struct client *c, enum client_phase phase, int64_t now_us);
void client_admit(struct client *c, const struct access_pass *pass); /* the request under way was let in by this */

/* Requests being answered, and those who connected within the last second and have not been able to ask. Any thread. */
size_t client_list_busy(struct client_list *l, int64_t now_us);

struct client_limits {
        int64_t header_us, idle_us;
        uint64_t min_rate_bytes_s;
        int64_t answer_us; /* who reads the rest of an answer that is complete for longer is closed; 0: for as long as it likes */
};
#define CLIENT_RATE_WINDOW_US (10 * US_PER_S) /* a phone may be in a tunnel for so long */

/* Shuts the socket of who rests for longest, for who is one of `own` of his address: first of an address that has more than twice as many, for
 * who is few is to find room among the connections of who is many; then of who has never asked for anything; then of others. And tells gone(), under the lock. false: there is nobody.
 * Any thread. */
bool client_displace(struct client_list *l, unsigned own, int64_t now_us, void (*gone)(struct client *c));

/* Shuts the sockets of those that broke a limit; MHD then closes them. Adds to closed, by reason. Loop thread, about once a
 * second. */
void client_sweep(struct client_list *l, const struct client_limits *limits, int64_t now_us, unsigned closed[CLOSES]);

/* The same for those whose answer must not go on: the token has expired, or its key is gone. Loop thread. */
void client_end_expired(struct client_list *l, struct access *access, int64_t now_s, unsigned closed[CLOSES]);

#endif
