#include "ingestd/rtmp_server.h"

#include <assert.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/daemon/descriptors.h"
#include "common/daemon/log.h"
#include "common/daemon/metrics.h"
#include "common/err.h"
#include "common/mem.h"
#include "common/networks.h"
#include "common/tls_server.h"
#include "ingestd/admission.h"
#include "ingestd/budget.h"
#include "ingestd/handshakes.h"
#include "ingestd/newcomers.h"
#include "ingestd/peer_address.h"
#include "ingestd/proxy_header.h"
#include "ingestd/publication.h"
#include "ingestd/rtmp_session.h"
#include "ingestd/rtmp_wire.h"

#define READ_BYTES (64u << 10)
#define READ_STRANGER_BYTES (4u << 10) /* all that an encoder sends until it publishes is little more */
#define STRANGERS_TURN_NS 10000000ull  /* of the loop's thread, in one turn, for all that do not publish */
#define ACCEPT_TURN_NS 5000000ull      /* and for those that connect */
#define WRITE_QUEUE_MAX (64u << 10) /* replies and acks are small: who leaves this much unread is not reading */
#define SWEEP_MS 1000
#define LINGER_US 2000000 /* for a refusal to reach its reader */
#define LINGER_BYTES_MAX (8u << 10) /* who has left more than that unread will not read the refusal either */
#define KEEPALIVE_S 15
#define CONN_MAGIC 0x52544d50

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
        uv_tcp_t tcp;
        struct rtmp_server *server;
        struct tls_server *tls; /* NULL: plain */
        bool waits;             /* one that connected is accepted in the next turn */
};

struct rtmp_server {
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
        char read_buf[READ_BYTES]; /* one for all: a read is used up before the next begins */
};

enum { CONNECTIONS, HANDSHAKES, ACCEPTED, BYTES, IGNORED, BEHIND, STRANGERS_KEPT, LIVE_KEPT };
#define KEPT(of)                                                                                                       \
        {.name = "ingestd_kept_bytes", .type = METRIC_GAUGE, .labels = "of=\"" of "\"",                               \
         .help = "unfinished messages, bytes not looked at and answers not read, of connections that do not publish (strangers) and of those that do"}
static struct metric metrics[] = {
        [CONNECTIONS] = {.name = "ingestd_connections", .type = METRIC_GAUGE, .help = "RTMP connections open"},
        [HANDSHAKES] = {.name = "ingestd_tls_handshakes_open", .type = METRIC_GAUGE,
                        .help = "connections whose TLS handshake is not done yet"},
        [ACCEPTED] = {.name = "ingestd_accepted_total", .type = METRIC_COUNTER, .help = "RTMP connections accepted"},
        [BYTES] = {.name = "ingestd_bytes_total", .type = METRIC_COUNTER, .help = "bytes received from broadcasters"},
        [IGNORED] = {.name = "ingestd_ignored_messages_total", .type = METRIC_COUNTER,
                     .help = "RTMP messages that carried nothing of use (empty, before their configuration, unknown)"},
        [BEHIND] = {.name = "ingestd_behind_total", .type = METRIC_COUNTER,
                    .help = "times that a connection had sent more messages than one turn of the loop has looked at"},
        [STRANGERS_KEPT] = KEPT("strangers"),
        [LIVE_KEPT] = KEPT("broadcasters"),
};

void rtmp_server_register_metrics(void)
{
        metrics_register(metrics, sizeof(metrics) / sizeof(metrics[0]));
        rtmp_wire_register_metrics();
        rtmp_close_register();
}

static int64_t now_us(const struct rtmp_server *s)
{
        return (int64_t)uv_now(s->loop) * 1000;
}

static void handle_gone(struct rtmp_server *s)
{
        assert(s->handles > 0);
        if (--s->handles > 0)
                return;
        s->setup.closed(s->setup.arg);
        free(s);
}

static void on_handle_closed(uv_handle_t *h)
{
        handle_gone(h->data);
}

static void on_listener_closed(uv_handle_t *h)
{
        handle_gone(((struct listener *)h->data)->server);
}

/* Connections ---------------------------------------------------------------------------------------------------- */

static struct conn *conn_of(void *p)
{
        struct conn *c = p;
        assert(c->magic == CONN_MAGIC);
        return c;
}

static void warn_turned_away(struct rtmp_server *s, const char *address, const char *why)
{
        log_warn_of(address, "address=%s msg=\"RTMP connection turned away: %s\" connections=%u", address, why, s->count);
}

/* RTMP_CLOSE_NONE, or of what its address has too many already. */
static enum rtmp_close enter(struct conn *c, const char *address)
{
        struct rtmp_server *s = c->server;
        enum rtmp_close reason = RTMP_CLOSE_NONE;
        if (!newcomers_enter(&s->newcomers, address))
                reason = RTMP_CLOSE_NEWCOMERS;
        else
                snprintf(c->newcomer, sizeof(c->newcomer), "%s", address);
        if (!reason && c->handshake.link && !handshakes_address(&s->handshakes, &c->handshake, address))
                reason = RTMP_CLOSE_HANDSHAKES;
        if (reason)
                warn_turned_away(s, address, rtmp_close_text(reason));
        return reason;
}

/* TLS is open, or will not be. */
static void end_handshake(struct conn *c)
{
        if (!c->handshake.link)
                return;
        handshakes_end(&c->server->handshakes, &c->handshake);
        metric_add(&metrics[HANDSHAKES], -1);
}

static void begin_handshake(struct conn *c)
{
        struct handshake *oldest = handshakes_begin(&c->server->handshakes, &c->handshake);
        if (oldest) {
                struct conn *gives_way = conn_of((char *)oldest - offsetof(struct conn, handshake));
                warn_turned_away(c->server, rtmp_session_address(gives_way->session), rtmp_close_text(RTMP_CLOSE_HANDSHAKES));
                rtmp_session_close(gives_way->session, RTMP_CLOSE_HANDSHAKES);
        }
        metric_add(&metrics[HANDSHAKES], 1); /* last: who reads it meanwhile never sees more than there may be */
}

/* It publishes, or is gone. */
static void leave(struct conn *c)
{
        if (*c->newcomer)
                newcomers_leave(&c->server->newcomers, c->newcomer);
        *c->newcomer = '\0';
}

/* What all connections of a kind keep is bounded: one of the largest goes, which may be this one. */
static void count_kept(struct conn *c)
{
        struct rtmp_server *s = c->server;
        struct budget *b = c->live ? &s->live_kept : &s->strangers_kept;
        struct budget_share *largest;
        if (c->closing)
                return;
        budget_set(b, &c->kept, rtmp_session_kept_bytes(c->session) + c->tcp.write_queue_size);
        while ((largest = budget_excess(b))) {
                struct conn *gives_way = conn_of((char *)largest - offsetof(struct conn, kept));
                warn_turned_away(s, rtmp_session_address(gives_way->session), rtmp_close_text(RTMP_CLOSE_MEMORY));
                rtmp_session_close(gives_way->session, RTMP_CLOSE_MEMORY); /* session_close() takes its share away */
        }
        metric_set(&metrics[STRANGERS_KEPT], (int64_t)s->strangers_kept.bytes);
        metric_set(&metrics[LIVE_KEPT], (int64_t)s->live_kept.bytes);
}

/* After something that its session did. */
static void conn_look(struct conn *c)
{
        c->live = rtmp_session_live(c->session);
        if (c->live)
                leave(c);
        count_kept(c);
}

static void count_ignored(struct conn *c)
{
        uint64_t n = rtmp_session_ignored(c->session);
        if (n != c->ignored_seen)
                metric_add(&metrics[IGNORED], (int64_t)(n - c->ignored_seen));
        c->ignored_seen = n;
}

static void on_conn_closed(uv_handle_t *h)
{
        struct conn *c = conn_of(h->data);
        struct rtmp_server *s = c->server;
        rtmp_session_free(&c->session);
        rtmp_wire_free(&c->wire);
        c->magic = 0;
        free(c);
        handle_gone(s);
}

/* The session has ended. Leaves the list at once, so that the count is what is really open. */
static void conn_close(struct conn *c)
{
        struct rtmp_server *s = c->server;
        *c->link = c->next;
        if (c->next)
                c->next->link = c->link;
        s->count--;
        leave(c);
        metric_add(&metrics[CONNECTIONS], -1);
        uv_close((uv_handle_t *)&c->tcp, on_conn_closed);
}

/* Closing our half flushes what was written and shows the peer the end; its own end, or LINGER_US, is then waited for:
 * a socket closed with unread input sends a reset, which can overtake the refusal. */
static void conn_linger(struct conn *c)
{
        c->linger_until_us = now_us(c->server) + LINGER_US;
        rtmp_wire_end(c->wire);
        if (c->tcp.write_queue_size > LINGER_BYTES_MAX || uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, NULL))
                conn_close(c);
}

static void on_reap(uv_timer_t *t)
{
        struct rtmp_server *s = t->data;
        while (s->closing) {
                struct conn *c = s->closing;
                s->closing = c->closing_next;
                count_ignored(c);
                rtmp_session_end(c->session);
                if (c->linger && !s->closing_down)
                        conn_linger(c);
                else
                        conn_close(c);
        }
        if (s->closing_down && !uv_is_closing((uv_handle_t *)t))
                uv_close((uv_handle_t *)t, on_handle_closed);
}

/* Writes ---------------------------------------------------------------------------------------------------------- */

struct write {
        uv_write_t req;
        char bytes[];
};

static void on_written(uv_write_t *req, int status)
{
        struct conn *c = conn_of(req->handle->data);
        (void)status; /* the read side learns of a broken connection */
        free(req->data);
        count_kept(c);
}

static void wire_send(void *arg, const void *data, size_t len)
{
        struct conn *c = conn_of(arg);
        uv_stream_t *stream = (uv_stream_t *)&c->tcp;
        uv_buf_t buf = uv_buf_init((char *)(uintptr_t)data, (unsigned)len);
        int n = uv_try_write(stream, &buf, 1);
        size_t done = n > 0 ? (size_t)n : 0;
        if (done == len || (n < 0 && n != UV_EAGAIN))
                return;
        struct write *w = mem_resize(NULL, sizeof(*w) + len - done);
        memcpy(w->bytes, (const char *)data + done, len - done);
        buf = uv_buf_init(w->bytes, (unsigned)(len - done));
        w->req.data = w;
        if (uv_write(&w->req, stream, &buf, 1, on_written))
                free(w);
}

static void session_write(void *arg, const void *data, size_t len)
{
        rtmp_wire_write(conn_of(arg)->wire, data, len);
}

static void on_next_turn(uv_idle_t *idle);

static void queue_init(struct queue *q)
{
        *q = (struct queue){.last = &q->first};
}

static void session_behind(void *arg)
{
        struct conn *c = conn_of(arg);
        struct rtmp_server *s = c->server;
        struct queue *q = rtmp_session_live(c->session) ? &s->behind_live : &s->behind_strangers; /* it may have begun just now */
        metric_add(&metrics[BEHIND], 1);
        c->behind = q;
        c->behind_next = NULL;
        c->behind_link = q->last;
        *q->last = c;
        q->last = &c->behind_next;
        q->count++;
        uv_idle_start(&s->next_turn, on_next_turn);
}

static void leave_behind(struct conn *c)
{
        struct queue *q = c->behind;
        if (!q)
                return;
        *c->behind_link = c->behind_next;
        if (c->behind_next)
                c->behind_next->behind_link = c->behind_link;
        else
                q->last = c->behind_link;
        q->count--;
        c->behind = NULL;
}

/* May stand on the publication's stack, so the rest is done by on_reap(). */
static void session_close(void *arg, enum rtmp_close reason, bool linger)
{
        struct conn *c = conn_of(arg);
        struct rtmp_server *s = c->server;
        (void)reason;
        end_handshake(c);
        leave_behind(c);
        budget_leave(&c->kept);
        c->closing = true;
        c->linger = linger;
        c->closing_next = s->closing;
        s->closing = c;
        if (!uv_is_active((uv_handle_t *)&s->reap))
                uv_timer_start(&s->reap, on_reap, 0, 0);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf);
static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void session_pause(void *arg, bool paused)
{
        struct conn *c = conn_of(arg);
        uv_stream_t *stream = (uv_stream_t *)&c->tcp;
        if (paused)
                uv_read_stop(stream);
        else if (!uv_is_closing((uv_handle_t *)stream))
                uv_read_start(stream, on_alloc, on_read);
}

static bool session_unread(void *arg)
{
        struct conn *c = conn_of(arg);
        return c->tcp.write_queue_size > 0;
}

static const struct rtmp_session_ops session_ops = {
        .write = session_write,
        .close = session_close,
        .pause = session_pause,
        .behind = session_behind,
        .unread = session_unread,
        .admit = admission_open,
        .dismiss = admission_close,
        .begin = publication_begin,
        .frame = publication_frame,
        .metadata = publication_metadata,
        .look = publication_look,
        .end = publication_end,
};

/* Reads ----------------------------------------------------------------------------------------------------------- */

/* Whether it may be read now. Who publishes is read once a turn. The loop's thread is everybody's, so all who do not publish have a part
 * of each turn; who had nothing of it comes before those that had. */
static bool may_read(struct conn *c)
{
        struct rtmp_server *s = c->server;
        uint64_t in = c->live ? s->turn : s->round;
        if (c->read_in == in)
                return false;
        if (!c->live && s->strangers_ns >= STRANGERS_TURN_NS) {
                s->round_goes_on = true;
                return false;
        }
        c->read_in = in;
        return true;
}

/* libuv would read one socket 32 times in a row. Without a buffer it comes again in the next turn. */
static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
        struct conn *c = conn_of(h->data);
        (void)suggested;
        *buf = uv_buf_init(c->server->read_buf, !may_read(c) ? 0 : c->live ? READ_BYTES : READ_STRANGER_BYTES);
}

/* Most encoders leave Nagle's algorithm on: the end of a frame, and each step of the handshake, then waits for our
 * acknowledgement of what came before. The kernel forgets this setting, so it is made after each read. */
static void acknowledge_now(const uv_tcp_t *tcp)
{
        uv_os_fd_t fd;
        const int on = 1;
        if (uv_fileno((const uv_handle_t *)tcp, &fd) == 0)
                setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
}

static void wire_plain(void *arg, const void *data, size_t len)
{
        struct conn *c = conn_of(arg);
        rtmp_session_feed(c->session, data, len, now_us(c->server));
}

static void wire_address(void *arg, const char *address)
{
        struct conn *c = conn_of(arg);
        rtmp_session_set_address(c->session, address);
        enum rtmp_close reason = enter(c, address);
        if (reason)
                rtmp_session_close(c->session, reason);
}

static bool wire_shake(void *arg)
{
        struct conn *c = conn_of(arg);
        return !c->closing && handshakes_work(&c->server->handshakes, &c->handshake, now_us(c->server));
}

static const struct rtmp_wire_ops wire_ops = {.send = wire_send, .plain = wire_plain, .address = wire_address, .shake = wire_shake};

static void wire_close(struct conn *c, enum rtmp_close reason, const char *why)
{
        const char *address = rtmp_session_address(c->session);
        if (*why && reason == RTMP_CLOSE_TLS)
                log_info_of(address, "conn=%" PRIu64 " address=%s error=\"%s\" msg=\"TLS failed\"", c->id, address, why);
        rtmp_session_close(c->session, reason);
}

/* It may go on and be read in the same turn: its messages are counted over both. */
static void begin_turn(struct conn *c)
{
        if (c->turn != c->server->turn)
                rtmp_session_turn(c->session);
        c->turn = c->server->turn;
}

static void take_bytes(struct conn *c, const char *data, size_t len)
{
        const char *why;
        metric_add(&metrics[BYTES], (int64_t)len);
        acknowledge_now(&c->tcp);
        begin_turn(c);
        enum rtmp_close reason = rtmp_wire_feed(c->wire, data, len, &why);
        if (rtmp_wire_through(c->wire))
                end_handshake(c);
        if (reason)
                wire_close(c, reason, why);
        else if (c->tcp.write_queue_size > WRITE_QUEUE_MAX)
                rtmp_session_close(c->session, RTMP_CLOSE_NOT_READING);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
        struct conn *c = conn_of(stream->data);
        if (n > 0 && !c->closing) {
                bool stranger = !c->live;
                uint64_t began_ns = stranger ? uv_hrtime() : 0;
                take_bytes(c, buf->base, (size_t)n);
                conn_look(c);
                if (stranger)
                        c->server->strangers_ns += uv_hrtime() - began_ns;
        } else if (n < 0 && n != UV_ENOBUFS) {
                uv_read_stop(stream);
                if (c->linger_until_us)
                        conn_close(c);
                else
                        rtmp_session_close(c->session, n == UV_EOF || n == UV_ECONNRESET ? RTMP_CLOSE_PEER
                                                                                         : RTMP_CLOSE_IO);
        }
}

/* Before anything is made for a connection: there is a place, and a descriptor that may be a stranger's. */
static bool may_stay(struct conn *c, const char *address)
{
        struct rtmp_server *s = c->server;
        uv_os_fd_t fd;
        if (uv_fileno((const uv_handle_t *)&c->tcp, &fd) || !descriptors_admit(fd, "RTMP", address))
                return false;
        if (s->count < s->setup.limits.connections)
                return true;
        rtmp_close_count(RTMP_CLOSE_CONNECTIONS);
        warn_turned_away(s, address, rtmp_close_text(RTMP_CLOSE_CONNECTIONS));
        return false;
}

static void conn_start(struct conn *c, struct tls_server *tls, const struct sockaddr *peer, const char *address)
{
        struct rtmp_server *s = c->server;
        bool header = networks_have(*s->setup.proxy_from, peer);
        c->id = ++s->last_id;
        c->accepted_us = now_us(s);
        c->wire = rtmp_wire_new(header, tls ? tls_server_accept(tls) : NULL, &wire_ops, c);
        c->session = rtmp_session_new(&(struct rtmp_session_setup){
                .ops = &session_ops, .arg = c, .ingest = s->setup.ingest, .admission = s->setup.admission,
                .limits = &s->setup.limits, .id = c->id, .secure = tls, .now_us = c->accepted_us, .address = address});
        c->next = s->conns;
        c->link = &s->conns;
        if (c->next)
                c->next->link = &c->next;
        s->conns = c;
        s->count++;
        metric_add(&metrics[CONNECTIONS], 1);
        uv_tcp_nodelay(&c->tcp, 1);
        uv_tcp_keepalive(&c->tcp, 1, KEEPALIVE_S);
        if (tls)
                begin_handshake(c);
        enum rtmp_close reason = header ? RTMP_CLOSE_NONE : enter(c, address); /* a balancer's are counted by the address in their header */
        if (reason)
                rtmp_session_close(c->session, reason);
        else if (uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read))
                rtmp_session_close(c->session, RTMP_CLOSE_IO);
}

static void accept_one(struct listener *l)
{
        struct rtmp_server *s = l->server;
        struct conn *c = mem_alloc(sizeof(*c));
        struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
        struct sockaddr *peer = (struct sockaddr *)&from;
        int len = sizeof(from);
        char address[64];
        uint64_t began_ns = uv_hrtime();
        c->magic = CONN_MAGIC;
        c->server = s;
        c->read_in = s->round; /* from the next one on, or a round to which more come than are read in it would never be over */
        int rv = uv_tcp_init(s->loop, &c->tcp);
        assert(rv == 0);
        c->tcp.data = c;
        s->handles++;
        metric_add(&metrics[ACCEPTED], 1);
        bool accepted = uv_accept((uv_stream_t *)&l->tcp, (uv_stream_t *)&c->tcp) == 0;
        uv_tcp_getpeername(&c->tcp, peer, &len);
        peer_address_text(address, sizeof(address), peer);
        if (accepted && may_stay(c, address))
                conn_start(c, l->tls, peer, address);
        else
                uv_close((uv_handle_t *)&c->tcp, on_conn_closed);
        s->accept_ns += uv_hrtime() - began_ns;
}

/* libuv accepts as long as somebody waits, and stops when one is left to it, until that one is accepted. */
static void on_connection(uv_stream_t *stream, int status)
{
        struct listener *l = stream->data;
        struct rtmp_server *s = l->server;
        if (status) {
                log_warn("error=\"%s\" msg=\"RTMP connections cannot be accepted\" connections=%u", uv_strerror(status), s->count);
                return;
        }
        l->waits = s->accept_ns >= ACCEPT_TURN_NS;
        if (l->waits)
                uv_idle_start(&s->next_turn, on_next_turn);
        else
                accept_one(l);
}

/* Turns ----------------------------------------------------------------------------------------------------------- */

static void go_on(struct conn *c)
{
        leave_behind(c);
        begin_turn(c);
        rtmp_session_go_on(c->session, now_us(c->server));
        conn_look(c);
}

/* Each once; who still is behind stands at the end of the queue again. Strangers have half of their time for it. */
static void go_on_all(struct rtmp_server *s)
{
        for (unsigned n = s->behind_live.count; n > 0 && s->behind_live.first; n--)
                go_on(s->behind_live.first);
        uint64_t began_ns = uv_hrtime();
        for (unsigned n = s->behind_strangers.count; n > 0 && s->behind_strangers.first; n--) {
                if (uv_hrtime() - began_ns >= STRANGERS_TURN_NS / 2)
                        break;
                go_on(s->behind_strangers.first);
        }
        if (s->behind_strangers.count > 0)
                uv_idle_start(&s->next_turn, on_next_turn);
}

static void on_next_turn(uv_idle_t *idle)
{
        struct rtmp_server *s = idle->data;
        uv_idle_stop(idle);
        for (unsigned i = 0; i < s->listening && s->accepting; i++) {
                if (s->listeners[i].waits)
                        accept_one(&s->listeners[i]);
                s->listeners[i].waits = false;
        }
        go_on_all(s);
}

static void on_turn_over(uv_check_t *check)
{
        struct rtmp_server *s = check->data;
        s->turn++;
        s->round += !s->round_goes_on;
        s->round_goes_on = false;
        s->strangers_ns = s->accept_ns = 0;
}

/* Deadlines of all connections. Lists change only on the next turn, except for those that have lingered enough. */
static void on_sweep(uv_timer_t *t)
{
        struct rtmp_server *s = t->data;
        int64_t now = now_us(s);
        for (struct conn *c = s->conns, *next; c; c = next) {
                next = c->next;
                if (c->linger_until_us) {
                        if (now >= c->linger_until_us)
                                conn_close(c);
                        continue;
                }
                if (!rtmp_wire_through(c->wire) && now - c->accepted_us >= s->setup.limits.hello_us)
                        rtmp_session_close(c->session, rtmp_wire_late(c->wire));
                rtmp_session_tick(c->session, now);
                conn_look(c);
                count_ignored(c);
        }
}

/* The server ------------------------------------------------------------------------------------------------------ */

static int bind_listener(struct listener *l, const char *bind, int port)
{
        struct sockaddr_storage ss;
        if (uv_ip4_addr(bind, port, (struct sockaddr_in *)&ss) && uv_ip6_addr(bind, port, (struct sockaddr_in6 *)&ss))
                return ERR_CONFIG;
        int rv = uv_tcp_bind(&l->tcp, (const struct sockaddr *)&ss, 0);
        if (rv == 0)
                rv = uv_listen((uv_stream_t *)&l->tcp, DESCRIPTORS_BACKLOG, on_connection);
        return err_from_uv(rv);
}

int rtmp_server_listen(struct rtmp_server *s, const char *bind, int port, struct tls_server *tls)
{
        assert(s->accepting && s->listening < RTMP_LISTENERS_MAX);
        struct listener *l = &s->listeners[s->listening++];
        l->server = s;
        l->tls = tls;
        int rv = uv_tcp_init(s->loop, &l->tcp);
        assert(rv == 0);
        l->tcp.data = l;
        s->handles++;
        return bind_listener(l, bind, port);
}

void rtmp_server_open(struct rtmp_server **out, uv_loop_t *loop, const struct rtmp_server_setup *setup)
{
        struct rtmp_server *s = mem_alloc(sizeof(*s));
        s->loop = loop;
        s->setup = *setup;
        s->handles = 4;
        s->accepting = true;
        newcomers_init(&s->newcomers, setup->limits.newcomers);
        handshakes_init(&s->handshakes, &setup->limits.handshakes);
        queue_init(&s->behind_live);
        queue_init(&s->behind_strangers);
        budget_init(&s->strangers_kept, setup->limits.strangers_bytes);
        budget_init(&s->live_kept, setup->limits.live_bytes);
        s->sweep.data = s->reap.data = s->after_poll.data = s->next_turn.data = s;
        uv_timer_init(loop, &s->sweep);
        uv_timer_init(loop, &s->reap);
        uv_idle_init(loop, &s->next_turn);
        uv_check_init(loop, &s->after_poll);
        uv_check_start(&s->after_poll, on_turn_over);
        uv_timer_start(&s->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
        *out = s;
}

void rtmp_server_stop_accepting(struct rtmp_server *s)
{
        if (!s->accepting)
                return;
        s->accepting = false;
        for (unsigned i = 0; i < s->listening; i++)
                uv_close((uv_handle_t *)&s->listeners[i].tcp, on_listener_closed);
}

unsigned rtmp_server_ask_reconnect(struct rtmp_server *s)
{
        unsigned asked = 0;
        for (struct conn *c = s->conns; c; c = c->next)
                asked += rtmp_session_ask_reconnect(c->session);
        return asked;
}

void rtmp_server_close_all(struct rtmp_server *s, enum rtmp_close reason)
{
        for (struct conn *c = s->conns, *next; c; c = next) {
                next = c->next;
                if (c->linger_until_us)
                        conn_close(c);
                else
                        rtmp_session_close(c->session, reason);
        }
}

void rtmp_server_close(struct rtmp_server **sp)
{
        struct rtmp_server *s = *sp;
        if (!s)
                return;
        *sp = NULL;
        rtmp_server_stop_accepting(s);
        rtmp_server_close_all(s, RTMP_CLOSE_SHUTDOWN);
        s->closing_down = true;
        uv_close((uv_handle_t *)&s->sweep, on_handle_closed);
        uv_close((uv_handle_t *)&s->next_turn, on_handle_closed);
        uv_close((uv_handle_t *)&s->after_poll, on_handle_closed);
        uv_timer_start(&s->reap, on_reap, 0, 0); /* ends what is still open, then itself */
}
