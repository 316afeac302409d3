/* rtmp_server_impl.h - the inside of the RTMP ports: rtmp_server.c listens, accepts and ends, rtmp_conn.c has one connection between its
 * socket and its session, rtmp_reads.c reads sockets, rtmp_turns.c says who is read and goes on when. Included by nothing else. */
#ifndef INGESTD_RTMP_SERVER_IMPL_H
#define INGESTD_RTMP_SERVER_IMPL_H

#include "common/daemon/metrics.h"
#include "common/daemon/told.h"
#include "common/magic.h"
#include "ingestd/budget.h"
#include "ingestd/handshakes.h"
#include "ingestd/newcomers.h"
#include "ingestd/rtmp_server.h"
#include "ingestd/rtmp_session.h"
#include "ingestd/rtmp_wire.h"

#define READ_BYTES (64u << 10)
#define STRANGERS_TURN_NS 10000000ull  /* of the loop's thread, in one turn, for all that do not publish */
#define ACCEPT_TURN_NS 5000000ull      /* and for those that connect */
#define CONN_MAGIC 0x52544d50
#define LISTENER_MAGIC 0x4c495354
#define SERVER_MAGIC 0x53525652

enum reads { READS_NOTHING, READS_PACKETS, READS_TO_BEAT };

struct conn {
        uint32_t magic;
        uv_tcp_t tcp;
        struct rtmp_server *server;
        struct rtmp_wire *wire;
        struct rtmp_session *session;
        uint64_t id; /* conn=… in log lines */
        int64_t accepted_us;
        bool closing; /* its session is: what comes is not looked at */
        bool live;    /* it publishes; as of the last look */
        enum reads reads;
        bool paused;      /* nothing is to be read of it now */
        bool tls;
        bool spoke;       /* it was sent something since the kernel was told to acknowledge at once */
        uint64_t read_in; /* the turn in which it was read last, or the round, if it does not publish */
        uint64_t turn;    /* for which its messages are counted */
        struct budget_share kept; /* what the process keeps for it */
        struct queue *behind; /* which it stands in; NULL: none */
        struct conn *behind_next, **behind_link;
        char newcomer[64]; /* address that it counts for until it publishes; "": it does not */
        struct handshake handshake; /* until TLS is open */
        struct conn *next, **link; /* in server->conns */
        struct conn *closing_next; /* in server->closing */
        uv_shutdown_t shutdown;
        int64_t linger_until_us; /* 0: not lingering */
        bool linger;
        uint64_t ignored_seen;
};

/* First come, first served. */
struct queue {
        struct conn *first, **last;
        unsigned count;
};

struct listener {
        uint32_t magic;
        uv_tcp_t tcp;
        struct rtmp_server *server;
        struct tls_server *tls; /* NULL: plain */
        bool waits;             /* one that connected is accepted in the next turn */
};

struct rtmp_server {
        uint32_t magic;
        uv_loop_t *loop;
        struct rtmp_server_setup setup;
        struct listener listeners[RTMP_LISTENERS_MAX];
        unsigned listening; /* of them */
        uv_timer_t sweep;
        uv_timer_t reap; /* fires on the next turn of the loop when a session wants to close */
        uv_check_t after_poll; /* a turn is over */
        uv_idle_t next_turn;   /* runs while somebody is behind: the loop does not wait then */
        uint64_t turn, round;  /* a round goes over as many turns as it takes for all strangers who are there to be read once */
        bool round_goes_on;
        uint64_t strangers_ns, accept_ns; /* of the thread's time, in this turn */
        struct queue behind_live, behind_strangers; /* those with messages left for the next turn */
        struct budget strangers_kept, live_kept;
        bool accepting, closing_down;
        struct conn *conns, *closing;
        struct newcomers newcomers;
        struct handshakes handshakes;
        unsigned count;   /* of conns */
        unsigned handles; /* open or closing: the server is freed with the last */
        uint64_t last_id;
        int to_beat_fd;            /* epoll of those that are read to the beat; -1: there is none */
        unsigned to_beat;          /* how many */
        struct told told_no_room;
        struct epoll_event *ready; /* room for all of them */
        unsigned ready_room;
        char read_buf[READ_BYTES]; /* one for all: a read is used up before the next begins */
};

enum { CONNECTIONS, HANDSHAKES, ACCEPTED, BYTES, IGNORED, BEHIND, STRANGERS_KEPT, LIVE_KEPT, ROWS };
extern struct metric rtmp_server_metrics[ROWS];

static inline int64_t now_us(const struct rtmp_server *s)
{
        return (int64_t)uv_now(s->loop) * 1000;
}

static inline struct conn *conn_of(void *p)
{
        return magic_check(p, CONN_MAGIC);
}

/* rtmp_server.c */
void rtmp_server_tell_turned_away(struct rtmp_server *s, const char *address, const char *why);
void rtmp_server_handle_gone(struct rtmp_server *s); /* one of its handles is closed */
void rtmp_server_reap(uv_timer_t *t);                /* sessions that want to close have it done */
void rtmp_server_accept(struct listener *l);         /* one that waits */

/* rtmp_conn.c */
struct tls_server;
bool rtmp_conn_may_stay(struct conn *c, const char *address); /* a place for it, and a descriptor; otherwise it is to be closed */
void rtmp_conn_start(struct conn *c, struct tls_server *tls, const struct sockaddr *peer, const char *address);
void rtmp_conn_look(struct conn *c); /* after something that its session did */
void rtmp_conn_count_ignored(struct conn *c);
void rtmp_conn_linger(struct conn *c); /* it is closed later, or at once */
void rtmp_conn_close(struct conn *c);  /* its session has ended. It leaves the list at once, so that the count is what is really open */
void rtmp_conn_closed(uv_handle_t *h); /* frees it */

void rtmp_conn_has_read(struct conn *c, ssize_t n, const char *data); /* n < 0: libuv's error code, and no more will come */
int rtmp_conn_read_packets(struct conn *c);                           /* libuv's */

/* rtmp_reads.c */
void rtmp_reads_open(struct rtmp_server *s);
void rtmp_reads_close(struct rtmp_server *s);
bool rtmp_reads_choose(struct conn *c); /* after a change of paused, live or closing. False: it cannot be read */
void rtmp_reads_stop(struct conn *c);   /* for good; idempotent */

/* rtmp_turns.c */
void rtmp_turns_queue(struct queue *q);
void rtmp_turns_begin(struct conn *c);    /* before it is fed or goes on */
bool rtmp_turns_may_read(struct conn *c); /* now; it is read in this turn, or round, then */
void rtmp_turns_behind(void *conn);       /* it goes on in the next turn: an rtmp_session_ops.behind */
void rtmp_turns_leave(struct conn *c);    /* it does not; idempotent */
void rtmp_turns_next(uv_idle_t *idle);
void rtmp_turns_over(uv_check_t *check);

#endif
