#include "edged/http.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/daemon/descriptors.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "common/networks.h"
#include "common/range.h"
#include "edged/listing.h"
#include "edged/respond.h"
#include "edged/tcp.h"

#define REQUEST_BODY_MAX (64 << 10) /* skipped before the connection is closed */
#define CONNECTION_MEMORY (32 << 10) /* request line and headers must fit; also the size of a piece of a growing answer */
#define UNSENT_BYTES (128 << 10)
#define HTTP_TOLD_US (10 * US_PER_S)

struct http_thread {
        struct http *http;
        struct MHD_Daemon *mhd;
        int listen_fd;
        struct client_list clients;
        struct access_memory *tokens;
        struct listing listing;
};

struct http {
        struct http_config cfg;
        struct http_parts parts;
        int port;
        unsigned started;
        atomic_bool draining;
        atomic_uint seats, turned; /* taken; connections that are being told that there is none */
        int64_t told_us; /* when it was logged last that somebody was refused something */
        int64_t told[SPARED + TURNED];
        struct http_thread threads[];
};

static struct http_thread *thread_of(const struct client *c)
{
        return (struct http_thread *)(void *)((char *)c->list - offsetof(struct http_thread, clients));
}

/* ---- one answer ----------------------------------------------------------------------------------------------- */

static enum MHD_Result say(struct client *c, unsigned status, struct MHD_Response *r)
{
        c->status = status;
        return MHD_queue_response(c->connection, status, r);
}

static enum MHD_Result say_once(struct client *c, unsigned status, struct MHD_Response *r)
{
        enum MHD_Result done = say(c, status, r);
        MHD_destroy_response(r);
        return done;
}

static enum MHD_Result say_error(struct client *c, enum respond_error e)
{
        unsigned status;
        struct MHD_Response *r = respond_error(e, c->result, &status);
        return say(c, status, r);
}

static const char *header(struct client *c, const char *name)
{
        return MHD_lookup_connection_value(c->connection, MHD_HEADER_KIND, name);
}

static const char *range_wanted(struct client *c)
{
        const char *range = c->method == METHOD_GET ? header(c, MHD_HTTP_HEADER_RANGE) : NULL;
        return range ? range_if(range, header(c, MHD_HTTP_HEADER_IF_RANGE), c->object->etag) : NULL;
}

static enum MHD_Result say_list(struct client *c, struct buf *body)
{
        struct http_thread *t = thread_of(c);
        const struct listing_answer *a = listing_find(&t->listing, t->tokens, c->object, body, c->cached, &c->pass);
        if (!a)
                return say(c, MHD_HTTP_OK, respond_whole(c->object, body, c->cached, ACCESS_PUBLIC));
        bool same = etag_matches(header(c, MHD_HTTP_HEADER_IF_NONE_MATCH), a->etag);
        return say(c, same ? MHD_HTTP_NOT_MODIFIED : MHD_HTTP_OK, same ? a->same : a->response);
}

static bool asks_for_video(const struct client *c)
{
        return c->path.kind == PATH_OBJECT && c->path.object.kind == KEY_SEGMENT && c->path.object.track[0] == 'v';
}

/* A player that reads a segment while it is made gets it at the pace at which it is made, whatever its connection could do: Shaka takes
 * that for all there is, and goes down to the lowest rung. It is told with segments that are complete too, for it believes what it was
 * told last. Not with sound, whose bursts are too small to measure anything. 0: nothing. */
static uint64_t throughput_to_tell(const struct client *c)
{
        return c->http->cfg.throughput_node && c->measured && asks_for_video(c) ? tcp_delivery_kbps(c->fd) : 0;
}

static enum MHD_Result say_whole(struct client *c, struct buf *body)
{
        uint64_t kbps = throughput_to_tell(c);
        if (kbps == 0)
                return say(c, MHD_HTTP_OK, respond_whole(c->object, body, c->cached, c->pass.form));
        struct MHD_Response *r = respond_whole_apart(c->object, body, c->cached, c->pass.form);
        respond_throughput(r, c->http->cfg.throughput_node, kbps);
        return say_once(c, MHD_HTTP_OK, r);
}

static enum MHD_Result say_complete(struct client *c, struct buf *body)
{
        struct object *o = c->object;
        enum access_form form = c->pass.form;
        if (c->is_list)
                return say_list(c, body);
        if (etag_matches(header(c, MHD_HTTP_HEADER_IF_NONE_MATCH), o->etag))
                return say_once(c, MHD_HTTP_NOT_MODIFIED, respond_same(o, c->cached, form));
        uint64_t from, len;
        switch (range_parse(range_wanted(c), body->len, &from, &len)) {
        case RANGE_WHOLE:
                break;
        case RANGE_PART:
                return say_once(c, MHD_HTTP_PARTIAL_CONTENT, respond_part(o, body, c->cached, form, from, len));
        case RANGE_UNSATISFIABLE:
                return say_once(c, MHD_HTTP_RANGE_NOT_SATISFIABLE, respond_unsatisfiable(o, body, c->cached));
        }
        return say_whole(c, body);
}

/* ---- waiting -------------------------------------------------------------------------------------------------- */

static struct client *client_of(struct waiter *w)
{
        return (struct client *)(void *)((char *)w - offsetof(struct client, waiter));
}

static void suspend(struct waiter *w)
{
        struct client *c = client_of(w);
        client_enter(c, CLIENT_HELD, clock_mono_us());
        metric_add(&stats_held, 1);
        MHD_suspend_connection(c->connection);
}

static void wake(struct waiter *w)
{
        metric_add(&stats_held, -1);
        MHD_resume_connection(client_of(w)->connection);
}

static bool hold(struct client *c, uint64_t have, int64_t deadline_us)
{
        c->waiter = (struct waiter){.have = have, .deadline_us = deadline_us, .suspend = suspend, .wake = wake};
        return object_wait(c->object, &c->waiter);
}

/* MHD's content reader for an object that is FILLING when its answer begins. Suspends itself when it has read all. */
static ssize_t read_growing(void *arg, uint64_t pos, char *dst, size_t max)
{
        struct client *c = arg;
        int64_t now_us = clock_mono_us();
        client_enter(c, CLIENT_SENDING, now_us);
        ssize_t n = object_read(c->object, pos, dst, max);
        while (n == 0 && !c->waiter.expired) {
                if (hold(c, pos, now_us + 2 * c->http->cfg.hold_us))
                        return 0;
                n = object_read(c->object, pos, dst, max);
                c->waiter.expired = n == 0; /* it does not wait any more: we stop */
        }
        if (n > 0)
                return n;
        if (n == ERR_CLOSED)
                return MHD_CONTENT_READER_END_OF_STREAM;
        stats_close(CLOSE_BROKEN);
        return MHD_CONTENT_READER_END_WITH_ERROR;
}

static enum MHD_Result say_growing(struct client *c)
{
        struct MHD_Response *r = respond_growing(c->object, c->cached, c->pass.form, read_growing, c);
        uint64_t kbps = throughput_to_tell(c);
        c->waiter.expired = false;
        if (kbps > 0)
                respond_throughput(r, c->http->cfg.throughput_node, kbps);
        return say_once(c, MHD_HTTP_OK, r);
}

static enum MHD_Result say_failed(struct client *c, int failure)
{
        return say_error(c, failure == ERR_NOT_YET  ? RESPOND_NOT_YET
                            : failure == ERR_NOSPACE ? RESPOND_BUSY
                                                     : RESPOND_NO_ORIGIN);
}

static void take_stale(struct client *c, struct object *stale)
{
        object_unref(&c->object);
        c->object = stale;
        c->cached = CACHE_STALE;
        c->result = RESULT_STALE;
}

/* Called when the request is new, and again each time the connection is resumed. */
static enum MHD_Result say_object(struct client *c)
{
        struct object_view v;
        object_look(c->object, clock_mono_us(), &v);
        if (v.stale) {
                take_stale(c, v.stale);
                object_look(c->object, 0, &v);
        }
        switch (v.state) {
        case OBJECT_COMPLETE:
                return say_complete(c, v.body);
        case OBJECT_MISSING:
                return say_error(c, RESPOND_MISSING);
        case OBJECT_FAILED:
                return say_failed(c, v.failure);
        case OBJECT_FILLING:
                break;
        }
        /* A HEAD is answered with the length, and MHD would end a chunked answer to it with a chunk that must not be there. */
        bool needs_whole = c->method == METHOD_HEAD || c->is_list || range_needs_whole(range_wanted(c));
        if (v.len > 0 && !needs_whole)
                return say_growing(c);
        if (c->waiter.expired)
                return say_error(c, RESPOND_NOT_YET);
        if (hold(c, needs_whole ? UINT64_MAX : 0, c->started_us + c->http->cfg.hold_us))
                return MHD_YES;
        c->waiter.expired = true; /* there is something now, or nobody waits any more */
        return say_object(c);
}

/* ---- who may have it ------------------------------------------------------------------------------------------ */

static struct access_token find_token(struct client *c)
{
        if (c->path.token)
                return (struct access_token){c->path.token, c->path.token_len, ACCESS_IN_URL};
        struct access_token t = access_bearer(header(c, MHD_HTTP_HEADER_AUTHORIZATION));
        return t.text ? t : access_cookie(header(c, MHD_HTTP_HEADER_COOKIE));
}

/* 0, or why not. */
static unsigned ask_for_token(struct client *c, const char *stream)
{
        struct access_token token = find_token(c);
        int64_t now_us = clock_wall_us();
        unsigned fault = access_check(thread_of(c)->tokens, &token, stream, now_us, &c->pass);
        if (fault != ACCESS_OK)
                return fault;
        if (c->pass.until_s - now_us / US_PER_S < ACCESS_SHARED_S)
                c->pass.form = ACCESS_IN_HEADER; /* a shared cache would keep it for longer than it may be seen */
        client_admit(c, &c->pass);
        return ACCESS_OK;
}

/* Everybody is told of public streams, whatever token he has. */
static unsigned may_have(struct client *c)
{
        struct access_memory *tokens = thread_of(c)->tokens;
        if (c->path.object.kind == KEY_STREAMS || c->path.object.kind == KEY_RECORDINGS) {
                c->is_list = access_any_private(tokens);
                if (c->is_list)
                        ask_for_token(c, NULL);
                return ACCESS_OK;
        }
        const char *stream = c->path.object.stream;
        return access_is_private(tokens, stream) ? ask_for_token(c, stream) : ACCESS_OK;
}

/* ---- what is asked for above --------------------------------------------------------------------------------------- */

static enum MHD_Result spare(struct client *c, enum stats_spared why)
{
        static const enum respond_error answers[SPARED] = {[SPARED_UNKNOWN] = RESPOND_MISSING,
                                                           [SPARED_FAR] = RESPOND_MISSING,
                                                           [SPARED_ONE] = RESPOND_MISSES_OF_ONE,
                                                           [SPARED_ALL] = RESPOND_MISSES};
        stats_spare(why);
        return say_error(c, answers[why]);
}

static enum MHD_Result say_found(struct client *c)
{
        c->result = respond_result(c->cached);
        return c->object ? say_object(c) : say_error(c, RESPOND_BUSY);
}

static enum MHD_Result keep_last(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
        (void)kind;
        if (value && strcasecmp(name, "X-Forwarded-For") == 0)
                *(const char **)cls = value;
        return MHD_YES;
}

/* Who came by a balancer is who it says, in the last such header if there are several; if it says nobody, nobody. */
static void who_asks(struct client *c, struct address *out)
{
        const char *forwarded = NULL;
        *out = c->address;
        if (!c->by_balancer)
                return;
        MHD_get_connection_values(c->connection, MHD_HEADER_KIND, keep_last, &forwarded);
        address_forwarded(out, forwarded);
}

static enum MHD_Result ask_charged(struct client *c)
{
        struct http *h = c->http;
        struct charge charge = {.paid = true};
        who_asks(c, &charge.by);
        enum addresses_says says = addresses_pay(h->parts.addresses, &charge.by, c->started_us);
        if (says != ADDRESSES_YES)
                return spare(c, says == ADDRESSES_ONE_FULL ? SPARED_ONE : SPARED_ALL);
        c->cached = cache_get_charged(h->parts.cache, c->path.key, c->path.key_len, &charge, c->started_us, &c->object);
        if (c->cached != CACHE_MISS) /* somebody was quicker */
                addresses_pay_back(h->parts.addresses, &charge.by);
        return say_found(c);
}

/* The first page of recordings is one for all; of the others there are as many as there are times. */
static bool is_page(const struct key *key)
{
        return key->kind == KEY_RECORDINGS && key->before_ms != INT64_MAX;
}

static enum MHD_Result ask_above(struct client *c)
{
        struct http *h = c->http;
        if (h->parts.census) {
                enum census_says says = census_ask(h->parts.census, &c->path.object, clock_wall_us());
                if (says == CENSUS_UNKNOWN || says == CENSUS_FAR)
                        return spare(c, says == CENSUS_FAR ? SPARED_FAR : SPARED_UNKNOWN);
                if (says == CENSUS_PERHAPS || is_page(&c->path.object))
                        return ask_charged(c);
        }
        c->cached = cache_get(h->parts.cache, c->path.key, c->path.key_len, 0, c->started_us, &c->object);
        return say_found(c);
}

static enum MHD_Result begin_object(struct client *c)
{
        unsigned fault = may_have(c), status;
        if (fault != ACCESS_OK) {
                stats_refuse(fault);
                struct MHD_Response *r = respond_refusal(fault, &status);
                return say(c, status, r);
        }
        c->cached = cache_find(c->http->parts.cache, c->path.key, c->path.key_len, c->started_us, &c->object);
        return c->object ? say_found(c) : ask_above(c);
}

/* ---- one request ---------------------------------------------------------------------------------------------- */

static enum MHD_Result say_file(struct client *c)
{
        const struct site_file *f = site_find(c->http->parts.site, c->path.file);
        if (!f)
                return say_error(c, RESPOND_NOT_FOUND);
        const struct site_form *form = site_form(f, header(c, MHD_HTTP_HEADER_ACCEPT_ENCODING));
        if (etag_matches(header(c, MHD_HTTP_HEADER_IF_NONE_MATCH), form->etag))
                return say(c, MHD_HTTP_NOT_MODIFIED, form->same);
        return say(c, MHD_HTTP_OK, form->whole);
}

static enum MHD_Result answer(struct client *c)
{
        if (c->turned_away)
                return say_error(c, c->turned_why);
        if (c->method == METHOD_OTHER)
                return say_error(c, RESPOND_METHOD);
        if (c->method == METHOD_OPTIONS) /* whatever the path: browsers hide the status of a request whose preflight failed */
                return say(c, MHD_HTTP_NO_CONTENT, respond_preflight());
        if (c->path.kind == PATH_BAD)
                return say_once(c, MHD_HTTP_BAD_REQUEST, respond_bad(c->path.why));
        if (c->path.kind == PATH_LONG)
                return say_error(c, RESPOND_LONG);
        switch (c->path.kind) {
        case PATH_OBJECT:
                return begin_object(c);
        case PATH_TIME:
                return say_once(c, MHD_HTTP_OK, respond_time(clock_wall_us()));
        case PATH_SITE:
                return say_file(c);
        default:
                return say_error(c, RESPOND_NOT_FOUND);
        }
}

static enum client_method method_of(const char *name)
{
        return strcmp(name, "GET") == 0       ? METHOD_GET
               : strcmp(name, "HEAD") == 0    ? METHOD_HEAD
               : strcmp(name, "OPTIONS") == 0 ? METHOD_OPTIONS
                                              : METHOD_OTHER;
}

static void begin_request(struct client *c, struct MHD_Connection *connection, const char *target, const char *method)
{
        c->connection = connection;
        c->method = method_of(method);
        c->started_us = clock_mono_us();
        c->skipped_bytes = 0;
        c->status = 0;
        c->result = RESULT_LOCAL;
        c->waiter.expired = false;
        c->requests++;
        c->is_list = false;
        c->pass = access_nothing;
        client_enter(c, CLIENT_HEADERS, c->started_us); /* there may be a body too, which has no more time than they have */
        path_parse(target, &c->path);
}

static enum MHD_Result skip_body(struct client *c, size_t *len)
{
        c->skipped_bytes += *len;
        *len = 0;
        if (c->skipped_bytes <= REQUEST_BODY_MAX)
                return MHD_YES;
        stats_close(CLOSE_BODY);
        return MHD_NO;
}

/* An answer in MHD's first call says Connection: close. That is wanted where a body is announced that nobody will read, and
 * when we are leaving. */
static bool closes_after(struct client *c)
{
        return c->turned_away || atomic_load_explicit(&c->http->draining, memory_order_relaxed) ||
               (c->method == METHOD_OTHER &&
                (header(c, MHD_HTTP_HEADER_CONTENT_LENGTH) || header(c, MHD_HTTP_HEADER_TRANSFER_ENCODING)));
}

/* All of the request is there, or it is resumed. */
static enum MHD_Result go_on(struct client *c)
{
        client_enter(c, CLIENT_SENDING, clock_mono_us());
        return c->object ? say_object(c) : answer(c);
}

/* MHD calls it when the headers are read, for each piece of a body, then until there is an answer. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *target, const char *method,
                                  const char *version, const char *body, size_t *body_len, void **request)
{
        (void)cls, (void)version, (void)body;
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        struct client *c = info->socket_context;
        if (!*request) {
                *request = c;
                begin_request(c, connection, target, method);
                return closes_after(c) ? go_on(c) : MHD_YES;
        }
        return *body_len > 0 ? skip_body(c, body_len) : go_on(c);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode why)
{
        (void)cls, (void)connection;
        struct client *c = *request;
        if (!c)
                return;
        int64_t now_us = clock_mono_us();
        if (c->status)
                stats_request(c->result, c->status, now_us - c->started_us);
        log_debug("client=%d method=%d path=%s status=%u result=%s us=%lld end=%d", c->fd, (int)c->method,
                  path_is_known(&c->path) ? c->path.key : "-", c->status, stats_result_text(c->result), (long long)(now_us - c->started_us), (int)why);
        c->measured |= c->status == MHD_HTTP_OK && c->method == METHOD_GET && asks_for_video(c);
        object_unref(&c->object);
        client_enter(c, CLIENT_IDLE, now_us);
        client_admit(c, &access_nothing);
        *request = NULL;
}

/* ---- connections -------------------------------------------------------------------------------------------------- */

static void leave_seat(struct client *c)
{
        if (!atomic_exchange(&c->seated, false))
                return;
        atomic_fetch_sub(&c->http->seats, 1);
        metric_add(&stats_clients, -1);
}

static bool take_seat(struct client *c)
{
        struct http *h = c->http;
        if (atomic_fetch_add(&h->seats, 1) >= h->cfg.connections_max) {
                atomic_fetch_sub(&h->seats, 1);
                return false;
        }
        atomic_store(&c->seated, true);
        metric_add(&stats_clients, 1);
        return true;
}

/* Somebody who rests leaves his seat: one of this thread's rather than of another's, for which that has to be stopped for a moment. */
static bool displace(struct http_thread *t, unsigned own, int64_t now_us)
{
        struct http *h = t->http;
        if (client_displace(&t->clients, own, now_us, leave_seat))
                return true;
        for (unsigned i = 0; i < h->started; i++) {
                if (&h->threads[i] != t && client_displace(&h->threads[i].clients, own, now_us, leave_seat))
                        return true;
        }
        return false;
}

/* It is told when it has asked, since an answer before the question may be lost when the socket is closed. When too many are to be told
 * it is so all the same. */
static void turn_away(struct client *c, enum stats_turned why)
{
        static const char unasked[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
                                      "Content-Length: 0\r\n\r\n";
        stats_turn_away(why);
        c->turned_why = why == TURNED_SHARE ? RESPOND_SHARE : RESPOND_FULL;
        c->turned_away = true;
        if (atomic_fetch_add(&c->http->turned, 1) < HTTP_TURNED_MAX)
                return;
        ssize_t sent = send(c->fd, unasked, sizeof(unasked) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)sent; /* there is nothing else to do for him */
        c->condemned = true;
        shutdown(c->fd, SHUT_RDWR);
}

static void find_room(struct client *c, struct http_thread *t, int64_t now_us)
{
        struct addresses *as = t->http->parts.addresses;
        atomic_uint *count = NULL;
        if (as && !addresses_enter(as, &c->address, &count)) {
                turn_away(c, TURNED_SHARE);
                return;
        }
        c->entered = as != NULL;
        c->of_address = count; /* from here on other threads may look at it: it is in the list already */
        while (!take_seat(c)) {
                if (!displace(t, count ? atomic_load(count) : 1, now_us)) {
                        turn_away(c, TURNED_FULL);
                        return;
                }
        }
}

static void begin_client(struct http_thread *t, struct MHD_Connection *connection, void **context)
{
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        const struct sockaddr *peer = info ? info->client_addr : NULL;
        int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        int64_t now_us = clock_mono_us();
        struct client *c = *context = client_new(&t->clients, t->http, fd, now_us);
        c->by_balancer = peer && t->http->cfg.proxy_from && networks_have(t->http->cfg.proxy_from, peer);
        if (!c->by_balancer)
                address_of(&c->address, peer);
        find_room(c, t, now_us);
}

static void end_client(struct client *c)
{
        struct http *h = c->http;
        if (c->requests == 0 && !c->condemned)
                stats_close(CLOSE_UNREAD);
        leave_seat(c);
        if (c->turned_away)
                atomic_fetch_sub(&h->turned, 1);
        object_unref(&c->object);
        struct address address = c->address;
        bool entered = c->entered;
        client_free(c); /* before the count that it points to may go */
        if (entered)
                addresses_leave(h->parts.addresses, &address);
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
        if (what == MHD_CONNECTION_NOTIFY_STARTED)
                begin_client(cls, connection, context);
        else
                end_client(*context);
}

/* ---- the daemons ---------------------------------------------------------------------------------------------- */

/* Paths are decoded by path.c, which wants them as they came. */
static size_t keep_escapes(void *cls, struct MHD_Connection *connection, char *s)
{
        (void)cls, (void)connection;
        return strlen(s);
}

/* Without its values: they may be a piece of a request, which may be a token. */
__attribute__((format(printf, 2, 0))) static void on_mhd_log(void *cls, const char *fmt, va_list ap)
{
        (void)cls, (void)ap;
        if (!log_enabled(LOG_DEBUG))
                return;
        char text[256], quoted[300];
        snprintf(text, sizeof(text), "%s", fmt);
        text[strcspn(text, "\n")] = 0;
        log_debug("mhd=%s", log_quote(quoted, sizeof(quoted), text));
}

static int open_listener(const char *address, int port)
{
        char service[8];
        snprintf(service, sizeof(service), "%d", port);
        struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *ai;
        if (getaddrinfo(address, service, &hints, &ai) != 0) {
                errno = EINVAL;
                return -1;
        }
        /* Of who reads slowly the kernel would take a copy of all that is to be sent, up to 4 MB a connection. So it takes what is under
         * way and a little more, and the rest stays the cache's, of which there is one for all. */
        int on = 1, unsent = UNSENT_BYTES, fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
                  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0 &&
                  setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent)) == 0 &&
                  bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, DESCRIPTORS_BACKLOG) == 0;
        freeaddrinfo(ai);
        if (ok)
                return fd;
        int why = errno;
        if (fd >= 0)
                close(fd);
        errno = why;
        return -1;
}

static int port_of(int fd)
{
        struct sockaddr_storage a;
        socklen_t len = sizeof(a);
        char service[8] = "0";
        if (getsockname(fd, (struct sockaddr *)&a, &len) == 0)
                getnameinfo((struct sockaddr *)&a, len, NULL, 0, service, sizeof(service), NI_NUMERICSERV);
        return atoi(service);
}

static int start_thread(struct http *h, struct http_thread *t)
{
        t->http = h;
        t->listen_fd = open_listener(h->cfg.bind, h->port);
        if (t->listen_fd < 0) {
                log_error("msg=\"cannot listen for viewers\" address=%s port=%d error=\"%s\"", h->cfg.bind, h->port,
                          strerror(errno));
                return ERR_IO;
        }
        h->port = port_of(t->listen_fd);
        client_list_init(&t->clients);
        unsigned share = h->cfg.connections_max / h->cfg.threads;
        t->tokens = access_memory_open(h->parts.access, share + share / 4 + 16); /* the kernel deals connections out by hash, not evenly */
        t->mhd = MHD_start_daemon(
                MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
                on_request, NULL, MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, NULL, MHD_OPTION_LISTEN_SOCKET, t->listen_fd,
                MHD_OPTION_CONNECTION_LIMIT, 2 * h->cfg.connections_max + 2 * HTTP_TURNED_MAX /* find_room() says */, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
                MHD_OPTION_NOTIFY_CONNECTION, on_connection, t, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
                MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
                MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
        if (t->mhd)
                return 0;
        log_error("msg=\"cannot start an http thread\" error=\"%s\"", strerror(errno));
        access_memory_close(t->tokens);
        client_list_fini(&t->clients);
        close(t->listen_fd);
        return ERR_IO;
}

int http_open(struct http **out, const struct http_config *cfg, const struct http_parts *parts)
{
        assert(cfg->threads > 0 && cfg->threads <= HTTP_THREADS_MAX);
        struct http *h = mem_alloc(sizeof(*h) + cfg->threads * sizeof(h->threads[0]));
        h->cfg = *cfg;
        h->parts = *parts;
        h->port = cfg->port;
        respond_open();
        for (; h->started < cfg->threads; h->started++) {
                int err = start_thread(h, &h->threads[h->started]);
                if (err) {
                        http_quiesce(h);
                        http_close(h);
                        return err;
                }
        }
        *out = h;
        return 0;
}

int http_port(const struct http *h)
{
        return h->port;
}

static void log_closed(const unsigned closed[CLOSES])
{
        for (int why = 0; why < CLOSES; why++) {
                if (closed[why])
                        log_info("msg=\"closed viewers' connections\" reason=%s count=%u",
                                 stats_close_text((enum stats_close)why), closed[why]);
        }
}

/* What strangers cause without end is told once in a while, and how often it was. */
static void log_refused(struct http *h, int64_t now_us)
{
        if (now_us - h->told_us < HTTP_TOLD_US)
                return;
        for (int i = 0; i < SPARED + TURNED; i++) {
                bool is_spared = i < SPARED;
                int64_t now = is_spared ? stats_spared((enum stats_spared)i) : stats_turned((enum stats_turned)(i - SPARED));
                if (now == h->told[i])
                        continue;
                if (is_spared && i < SPARED_ONE) /* a viewer's mistake */
                        log_debug("msg=\"viewers asked for what is not there\" reason=%s count=%lld", stats_spared_text((enum stats_spared)i),
                                  (long long)(now - h->told[i]));
                else if (is_spared)
                        log_warn("msg=\"requests for what may not be there were refused: there were too many\" of=%s count=%lld",
                                 stats_spared_text((enum stats_spared)i), (long long)(now - h->told[i]));
                else
                        log_warn("msg=\"viewers' connections were refused\" limit=%s count=%lld connections=%u connections_max=%u",
                                 stats_turned_text((enum stats_turned)(i - SPARED)), (long long)(now - h->told[i]), atomic_load(&h->seats),
                                 h->cfg.connections_max);
                h->told[i] = now;
                h->told_us = now_us;
        }
}

int64_t http_answer_us(size_t pinned, size_t budget_bytes)
{
        return pinned > budget_bytes / 2   ? US_PER_S / 2
               : pinned > budget_bytes / 3 ? 2 * US_PER_S
               : pinned > budget_bytes / 4 ? 10 * US_PER_S
                                           : 0;
}

void http_sweep(struct http *h, int64_t now_us)
{
        unsigned closed[CLOSES] = {0};
        struct client_limits limits = h->cfg.limits;
        if (h->cfg.cache_bytes)
                limits.answer_us = http_answer_us(cache_pinned(h->parts.cache), h->cfg.cache_bytes);
        for (unsigned i = 0; i < h->started; i++)
                client_sweep(&h->threads[i].clients, &limits, now_us, closed);
        log_closed(closed);
        log_refused(h, now_us);
}

void http_end_expired(struct http *h, int64_t real_us)
{
        unsigned closed[CLOSES] = {0};
        for (unsigned i = 0; i < h->started; i++)
                client_end_expired(&h->threads[i].clients, h->parts.access, real_us / US_PER_S, closed);
        log_closed(closed);
}

void http_drain(struct http *h)
{
        atomic_store(&h->draining, true);
}

void http_quiesce(struct http *h)
{
        for (unsigned i = 0; i < h->started; i++) {
                MHD_quiesce_daemon(h->threads[i].mhd);
                shutdown(h->threads[i].listen_fd, SHUT_RDWR); /* who is in its queue is refused now, not left hanging */
        }
}

size_t http_busy(struct http *h)
{
        size_t busy = 0;
        for (unsigned i = 0; i < h->started; i++)
                busy += client_list_busy(&h->threads[i].clients, clock_mono_us());
        return busy;
}

void http_close(struct http *h)
{
        for (unsigned i = 0; i < h->started; i++) {
                MHD_stop_daemon(h->threads[i].mhd);
                client_list_fini(&h->threads[i].clients);
                access_memory_close(h->threads[i].tokens);
                listing_close(&h->threads[i].listing);
                close(h->threads[i].listen_fd);
        }
        respond_close();
        free(h);
}
