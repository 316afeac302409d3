#include "ingestd/rtmp_server_impl.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/daemon/descriptors.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "ingestd/peer_address.h"

#define SWEEP_MS 1000

#define KEPT(of)                                                                                                       \
        {.name = "ingestd_kept_bytes", .type = METRIC_GAUGE, .labels = "of=\"" of "\"",                               \
         .help = "unfinished messages, bytes not looked at and answers not read, of connections that do not publish (strangers) "   \
                 "and of those that do"}
struct metric rtmp_server_metrics[ROWS] = {
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
        metrics_register(rtmp_server_metrics, sizeof(rtmp_server_metrics) / sizeof(rtmp_server_metrics[0]));
        rtmp_wire_register_metrics();
        rtmp_close_reason_register();
}

void rtmp_server_handle_gone(struct rtmp_server *s)
{
        assert(s->handles > 0);
        if (--s->handles > 0)
                return;
        s->setup.closed(s->setup.arg);
        rtmp_reads_close(s);
        s->magic = 0;
        free(s);
}

static void on_handle_closed(uv_handle_t *h)
{
        rtmp_server_handle_gone(h->data);
}

static void on_listener_closed(uv_handle_t *h)
{
        rtmp_server_handle_gone(((struct listener *)h->data)->server);
}

void rtmp_server_tell_turned_away(struct rtmp_server *s, const char *address, const char *why)
{
        log_warn_of(address, "address=%s msg=\"RTMP connection turned away: %s\" connections=%u", address, why, s->count);
}

void rtmp_server_reap(uv_timer_t *t)
{
        struct rtmp_server *s = magic_check(t->data, SERVER_MAGIC);
        while (s->closing) {
                struct conn *c = s->closing;
                s->closing = c->closing_next;
                rtmp_conn_count_ignored(c);
                rtmp_session_end(c->session);
                if (c->linger && !s->closing_down)
                        rtmp_conn_linger(c);
                else
                        rtmp_conn_close(c);
        }
        if (s->closing_down && !uv_is_closing((uv_handle_t *)t))
                uv_close((uv_handle_t *)t, on_handle_closed);
}

void rtmp_server_accept(struct listener *l)
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
        metric_add(&rtmp_server_metrics[ACCEPTED], 1);
        bool accepted = uv_accept((uv_stream_t *)&l->tcp, (uv_stream_t *)&c->tcp) == 0;
        uv_tcp_getpeername(&c->tcp, peer, &len);
        peer_address_text(address, sizeof(address), peer);
        if (accepted && rtmp_conn_may_stay(c, address))
                rtmp_conn_start(c, l->tls, peer, address);
        else
                uv_close((uv_handle_t *)&c->tcp, rtmp_conn_closed);
        s->accept_ns += uv_hrtime() - began_ns;
}

/* libuv accepts as long as somebody waits, and stops when one is left to it, until that one is accepted. */
static void on_connection(uv_stream_t *stream, int status)
{
        struct listener *l = magic_check(stream->data, LISTENER_MAGIC);
        struct rtmp_server *s = l->server;
        if (status) {
                log_warn("error=\"%s\" msg=\"RTMP connections cannot be accepted\" connections=%u", uv_strerror(status), s->count);
                return;
        }
        l->waits = s->accept_ns >= ACCEPT_TURN_NS;
        if (l->waits)
                uv_idle_start(&s->next_turn, rtmp_turns_next);
        else
                rtmp_server_accept(l);
}

/* Deadlines of all connections. Lists change only on the next turn, except for those that have lingered enough. */
static void on_sweep(uv_timer_t *t)
{
        struct rtmp_server *s = magic_check(t->data, SERVER_MAGIC);
        int64_t now = now_us(s);
        for (struct conn *c = s->conns, *next; c; c = next) {
                next = c->next;
                if (c->linger_until_us) {
                        if (now >= c->linger_until_us)
                                rtmp_conn_close(c);
                        continue;
                }
                if (!rtmp_wire_through(c->wire) && now - c->accepted_us >= s->setup.limits.hello_us)
                        rtmp_session_close(c->session, rtmp_wire_late(c->wire));
                rtmp_session_tick(c->session, now);
                rtmp_conn_look(c);
                rtmp_conn_count_ignored(c);
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
        l->magic = LISTENER_MAGIC;
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
        s->magic = SERVER_MAGIC;
        s->loop = loop;
        s->setup = *setup;
        s->handles = 4;
        s->accepting = true;
        newcomers_init(&s->newcomers, setup->limits.newcomers);
        handshakes_init(&s->handshakes, &setup->limits.handshakes);
        rtmp_reads_open(s);
        rtmp_turns_queue(&s->behind_live);
        rtmp_turns_queue(&s->behind_strangers);
        budget_init(&s->strangers_kept, setup->limits.strangers_bytes);
        budget_init(&s->live_kept, setup->limits.live_bytes);
        s->sweep.data = s->reap.data = s->after_poll.data = s->next_turn.data = s;
        uv_timer_init(loop, &s->sweep);
        uv_timer_init(loop, &s->reap);
        uv_idle_init(loop, &s->next_turn);
        uv_check_init(loop, &s->after_poll);
        uv_check_start(&s->after_poll, rtmp_turns_over);
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

void rtmp_server_close_all(struct rtmp_server *s, enum rtmp_close_reason reason)
{
        for (struct conn *c = s->conns, *next; c; c = next) {
                next = c->next;
                if (c->linger_until_us)
                        rtmp_conn_close(c);
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
        uv_timer_start(&s->reap, rtmp_server_reap, 0, 0); /* ends what is still open, then itself */
}
