#include <inttypes.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/daemon/descriptors.h"
#include "common/daemon/log.h"
#include "common/mem.h"
#include "common/networks.h"
#include "common/tls_server.h"
#include "ingestd/admission.h"
#include "ingestd/publication.h"
#include "ingestd/rtmp_server_impl.h"

#define READ_STRANGER_BYTES (4u << 10) /* all that an encoder sends until it publishes is little more */
#define WRITE_QUEUE_MAX (64u << 10) /* replies and acks are small: who leaves this much unread is not reading */
#define LINGER_US 2000000 /* for a refusal to reach its reader */
#define LINGER_BYTES_MAX (8u << 10) /* who has left more than that unread will not read the refusal either */
#define KEEPALIVE_S 15

/* RTMP_CLOSE_NONE, or of what its address has too many already. */
static enum rtmp_close_reason enter(struct conn *c, const char *address)
{
        struct rtmp_server *s = c->server;
        enum rtmp_close_reason reason = RTMP_CLOSE_NONE;
        if (!newcomers_enter(&s->newcomers, address))
                reason = RTMP_CLOSE_NEWCOMERS;
        else
                snprintf(c->newcomer, sizeof(c->newcomer), "%s", address);
        if (!reason && c->handshake.link && !handshakes_address(&s->handshakes, &c->handshake, address))
                reason = RTMP_CLOSE_HANDSHAKES;
        if (reason)
                rtmp_server_tell_turned_away(s, address, rtmp_close_reason_text(reason));
        return reason;
}

/* TLS is open, or will not be. */
static void end_handshake(struct conn *c)
{
        if (!c->handshake.link)
                return;
        handshakes_end(&c->server->handshakes, &c->handshake);
        metric_add(&rtmp_server_metrics[HANDSHAKES], -1);
}

static void begin_handshake(struct conn *c)
{
        struct handshake *oldest = handshakes_begin(&c->server->handshakes, &c->handshake);
        if (oldest) {
                struct conn *gives_way = conn_of((char *)oldest - offsetof(struct conn, handshake));
                rtmp_server_tell_turned_away(c->server, rtmp_session_address(gives_way->session),
                                            rtmp_close_reason_text(RTMP_CLOSE_HANDSHAKES));
                rtmp_session_close(gives_way->session, RTMP_CLOSE_HANDSHAKES);
        }
        metric_add(&rtmp_server_metrics[HANDSHAKES], 1); /* last: who reads it meanwhile never sees more than there may be */
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
                rtmp_server_tell_turned_away(s, rtmp_session_address(gives_way->session), rtmp_close_reason_text(RTMP_CLOSE_MEMORY));
                rtmp_session_close(gives_way->session, RTMP_CLOSE_MEMORY); /* session_close() takes its share away */
        }
        metric_set(&rtmp_server_metrics[STRANGERS_KEPT], (int64_t)s->strangers_kept.bytes);
        metric_set(&rtmp_server_metrics[LIVE_KEPT], (int64_t)s->live_kept.bytes);
}

void rtmp_conn_look(struct conn *c)
{
        bool was = c->live;
        c->live = rtmp_session_live(c->session);
        if (c->live)
                leave(c);
        if (c->live != was)
                rtmp_reads_choose(c);
        count_kept(c);
}

void rtmp_conn_count_ignored(struct conn *c)
{
        uint64_t n = rtmp_session_ignored(c->session);
        if (n != c->ignored_seen)
                metric_add(&rtmp_server_metrics[IGNORED], (int64_t)(n - c->ignored_seen));
        c->ignored_seen = n;
}

void rtmp_conn_closed(uv_handle_t *h)
{
        struct conn *c = conn_of(h->data);
        struct rtmp_server *s = c->server;
        rtmp_session_free(&c->session);
        rtmp_wire_free(&c->wire);
        c->magic = 0;
        free(c);
        rtmp_server_handle_gone(s);
}

void rtmp_conn_close(struct conn *c)
{
        struct rtmp_server *s = c->server;
        *c->link = c->next;
        if (c->next)
                c->next->link = c->link;
        s->count--;
        leave(c);
        rtmp_reads_stop(c);
        metric_add(&rtmp_server_metrics[CONNECTIONS], -1);
        uv_close((uv_handle_t *)&c->tcp, rtmp_conn_closed);
}

/* Closing our half flushes what was written and shows the peer the end; its own end, or LINGER_US, is then waited for:
 * a socket closed with unread input sends a reset, which can overtake the refusal. */
void rtmp_conn_linger(struct conn *c)
{
        c->linger_until_us = now_us(c->server) + LINGER_US;
        rtmp_wire_end(c->wire);
        if (c->tcp.write_queue_size > LINGER_BYTES_MAX || uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, NULL))
                rtmp_conn_close(c);
}

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
        c->spoke = true;
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

/* May stand on the publication's stack, so the rest is done by rtmp_server_reap(). */
static void session_close(void *arg, enum rtmp_close_reason reason, bool linger)
{
        struct conn *c = conn_of(arg);
        struct rtmp_server *s = c->server;
        (void)reason;
        end_handshake(c);
        rtmp_turns_leave(c);
        budget_leave(&c->kept);
        c->closing = true;
        rtmp_reads_choose(c);
        c->linger = linger;
        c->closing_next = s->closing;
        s->closing = c;
        if (!uv_is_active((uv_handle_t *)&s->reap))
                uv_timer_start(&s->reap, rtmp_server_reap, 0, 0);
}

static void session_pause(void *arg, bool paused)
{
        struct conn *c = conn_of(arg);
        c->paused = paused;
        rtmp_reads_choose(c);
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
        .behind = rtmp_turns_behind,
        .unread = session_unread,
        .admit = admission_open,
        .dismiss = admission_close,
        .begin = publication_begin,
        .frame = publication_frame,
        .metadata = publication_metadata,
        .cue = publication_cue,
        .look = publication_look,
        .end = publication_end,
};

/* Most encoders leave Nagle's algorithm on: the end of a frame, and each step of the handshake, then waits for our acknowledgement of
 * what came before. The kernel acknowledges at once what is read to its end, unless it thinks that we answer soon. So it is asked to when
 * the rest of a message is still to come, which of what is inside TLS is not known, and after something was said; but not for each frame
 * that came whole. It forgets what it was asked, so it is asked again. */
static void acknowledge(struct conn *c)
{
        uv_os_fd_t fd;
        const int on = 1;
        bool whole = c->live && !c->tls && !c->spoke && rtmp_session_kept_bytes(c->session) == 0;
        if (whole || uv_fileno((const uv_handle_t *)&c->tcp, &fd))
                return;
        setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
        c->spoke = false;
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
        enum rtmp_close_reason reason = enter(c, address);
        if (reason)
                rtmp_session_close(c->session, reason);
}

static bool wire_shake(void *arg)
{
        struct conn *c = conn_of(arg);
        return !c->closing && handshakes_work(&c->server->handshakes, &c->handshake, now_us(c->server));
}

static const struct rtmp_wire_ops wire_ops = {.send = wire_send, .plain = wire_plain, .address = wire_address, .shake = wire_shake};

static void wire_close(struct conn *c, enum rtmp_close_reason reason, const char *why)
{
        const char *address = rtmp_session_address(c->session);
        if (*why && reason == RTMP_CLOSE_TLS)
                log_info_of(address, "conn=%" PRIu64 " address=%s error=\"%s\" msg=\"TLS failed\"", c->id, address, why);
        rtmp_session_close(c->session, reason);
}

static void take_bytes(struct conn *c, const char *data, size_t len)
{
        const char *why;
        metric_add(&rtmp_server_metrics[BYTES], (int64_t)len);
        rtmp_turns_begin(c);
        enum rtmp_close_reason reason = rtmp_wire_feed(c->wire, data, len, &why);
        acknowledge(c);
        if (rtmp_wire_through(c->wire))
                end_handshake(c);
        if (reason)
                wire_close(c, reason, why);
        else if (c->tcp.write_queue_size > WRITE_QUEUE_MAX)
                rtmp_session_close(c->session, RTMP_CLOSE_NOT_READING);
}

void rtmp_conn_has_read(struct conn *c, ssize_t n, const char *data)
{
        if (n > 0 && !c->closing) {
                bool stranger = !c->live;
                uint64_t began_ns = stranger ? uv_hrtime() : 0;
                take_bytes(c, data, (size_t)n);
                rtmp_conn_look(c);
                if (stranger)
                        c->server->strangers_ns += uv_hrtime() - began_ns;
        } else if (n < 0) {
                rtmp_reads_stop(c);
                if (c->linger_until_us)
                        rtmp_conn_close(c);
                else
                        rtmp_session_close(c->session, n == UV_EOF || n == UV_ECONNRESET ? RTMP_CLOSE_PEER
                                                                                         : RTMP_CLOSE_IO);
        }
}

/* libuv would read one socket 32 times in a row. Without a buffer it comes again in the next turn. */
static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
        struct conn *c = conn_of(h->data);
        (void)suggested;
        *buf = uv_buf_init(c->server->read_buf, !rtmp_turns_may_read(c) ? 0 : c->live ? READ_BYTES : READ_STRANGER_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
        if (n != UV_ENOBUFS)
                rtmp_conn_has_read(conn_of(stream->data), n, buf->base);
}

int rtmp_conn_read_packets(struct conn *c)
{
        return uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
}

/* Before anything is made for a connection: there is a place, and a descriptor that may be a stranger's. */
bool rtmp_conn_may_stay(struct conn *c, const char *address)
{
        struct rtmp_server *s = c->server;
        uv_os_fd_t fd;
        if (uv_fileno((const uv_handle_t *)&c->tcp, &fd) || !descriptors_admit(fd, "RTMP", address))
                return false;
        if (s->count < s->setup.limits.connections)
                return true;
        rtmp_close_reason_count(RTMP_CLOSE_CONNECTIONS);
        rtmp_server_tell_turned_away(s, address, rtmp_close_reason_text(RTMP_CLOSE_CONNECTIONS));
        return false;
}

void rtmp_conn_start(struct conn *c, struct tls_server *tls, const struct sockaddr *peer, const char *address)
{
        struct rtmp_server *s = c->server;
        bool header = networks_have(*s->setup.proxy_from, peer);
        c->id = ++s->last_id;
        c->accepted_us = now_us(s);
        c->tls = tls;
        c->wire = rtmp_wire_new(header, tls ? tls_server_accept(tls) : NULL, &wire_ops, c);
        c->session = rtmp_session_new(&(struct rtmp_session_setup){
                .ops = &session_ops, .arg = c, .publications = s->setup.publications, .admission = s->setup.admission,
                .limits = &s->setup.limits, .id = c->id, .secure = tls, .now_us = c->accepted_us, .address = address});
        c->next = s->conns;
        c->link = &s->conns;
        if (c->next)
                c->next->link = &c->next;
        s->conns = c;
        s->count++;
        metric_add(&rtmp_server_metrics[CONNECTIONS], 1);
        uv_tcp_nodelay(&c->tcp, 1);
        uv_tcp_keepalive(&c->tcp, 1, KEEPALIVE_S);
        if (tls)
                begin_handshake(c);
        /* A balancer's are counted by the address in their header. */
        enum rtmp_close_reason reason = header ? RTMP_CLOSE_NONE : enter(c, address);
        if (reason)
                rtmp_session_close(c->session, reason);
        else if (!rtmp_reads_choose(c))
                rtmp_session_close(c->session, RTMP_CLOSE_IO);
}
