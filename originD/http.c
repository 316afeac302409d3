#include "originD/http.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/cors.h"
#include "common/daemon/descriptors.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mailbox.h"
#include "common/mem.h"
#include "common/range.h"
#include "originD/stats.h"
#include "proto/parts.h"
#include "proto/reload.h"

#define WAIT_MS 4000             /* for a segment that is due, or the next bytes of one */
#define LAYOUT_TIME_US (120 * US_PER_S) /* until a recording is laid out (layouts.h), which goes on while it is waited for */
#define CONNECTIONS_MAX 2000
#define CONNECTIONS_OF_ONE 1500 /* address: the rest is for others. One connection has one request at a time, and all of them may wait
                                 * (max_waits, of a node's connection too, is more unless it is configured otherwise) */
#define IDLE_TIMEOUT_S 20
#define REQUEST_TIME_US (10 * US_PER_S)  /* for the headers to arrive */
#define ANSWER_TIME_US (10 * US_PER_S)   /* to take any answer, and the time for its bytes at … */
#define SLOWEST_BYTES_PER_S (32 << 10)
#define SWEEP_MS 1000
#define STOP_TIME_US (1 * US_PER_S) /* for answers under way when we stop */

struct connection {
        struct connection *next, **prev; /* under http.lock */
        int fd;
        _Atomic int64_t deadline_us;
};

struct http {
        struct MHD_Daemon *daemon;
        struct mailbox mailbox;
        uv_timer_t timer;
        struct serve *serve;
        pthread_mutex_t lock; /* guards connections */
        struct connection *connections;
        atomic_uint asked;   /* suspended connections */
        atomic_uint pulls;   /* requests that are not over */
        int64_t stop_at_us;  /* when the rest is cut off */
        atomic_bool stopping;
        void (*stopped)(void *arg);
        void *arg;
};

/* One request. libmicrohttpd's thread owns it, except while a question is on the loop (its connection is suspended then). */
struct pull {
        struct mail mail;
        struct serve_request request;
        struct http *http;
        struct MHD_Connection *connection;
        struct connection *conn;
        bool answered;
        struct serve_answer answer; /* bytes is a reference of ours */
        size_t taken;               /* of the answer's len: already written out */
        bool head;                  /* only the headers are wanted */
        bool is_recording;
        /* Of what comes in pieces: what is sent, and of what. */
        uint64_t from, len, size, identity;
        unsigned status;
        bool placed;                /* the answer is the piece at `from`, and the rest is known */
};

static void extend(struct connection *c, int64_t us)
{
        atomic_store(&c->deadline_us, clock_mono_us() + us);
}

static void extend_for_bytes(struct connection *c, uint64_t bytes)
{
        extend(c, ANSWER_TIME_US + (int64_t)bytes * US_PER_S / SLOWEST_BYTES_PER_S);
}

/* Loop thread: the answer is there. */
static void answered(struct serve_request *r, const struct serve_answer *a)
{
        struct pull *p = (struct pull *)((char *)r - offsetof(struct pull, request));
        p->answer = *a;
        p->answer.bytes = a->bytes ? buf_ref(a->bytes) : NULL;
        p->taken = 0;
        p->answered = true;
        atomic_fetch_sub(&p->http->asked, 1);
        MHD_resume_connection(p->connection); /* from here on p is not ours */
}

static void deliver(struct mail *mail)
{
        struct pull *p = (struct pull *)mail;
        serve_taken(p->http->serve, &p->request); /* the piece before */
        serve(p->http->serve, &p->request);
}

/* Suspends the connection until the answer is there. false: stopping. */
static bool ask(struct pull *p, uint64_t offset)
{
        atomic_fetch_add(&p->http->asked, 1);
        if (atomic_load(&p->http->stopping)) {
                atomic_fetch_sub(&p->http->asked, 1);
                return false;
        }
        buf_unref(&p->answer.bytes);
        p->answered = false;
        p->request.offset = offset;
        p->request.wait_ms = WAIT_MS;
        p->request.max_bytes = UINT32_MAX;
        p->request.done = answered;
        p->request.slow_taker = true;
        p->mail.deliver = deliver;
        extend(p->conn, (p->is_recording ? LAYOUT_TIME_US : WAIT_MS * US_PER_MS) + ANSWER_TIME_US);
        MHD_suspend_connection(p->connection);
        mailbox_post(&p->http->mailbox, &p->mail);
        return true;
}

static void add_header(struct MHD_Response *r, const char *name, const char *value)
{
        MHD_add_response_header(r, name, value);
}

static void add_fields(struct MHD_Response *r, const struct cors_field *f)
{
        for (; f->name; f++)
                add_header(r, f->name, f->value);
}

static enum MHD_Result queue(struct pull *p, unsigned status, struct MHD_Response *r)
{
        enum MHD_Result rc = MHD_queue_response(p->connection, status, r);
        MHD_destroy_response(r);
        return rc;
}

/* text: without what JSON has to escape. */
static enum MHD_Result queue_error(struct pull *p, unsigned status, const char *text, uint32_t ttl_ms)
{
        char cache[48], *body = mem_printf("{\"error\": \"%s\"}\n", text);
        size_t len = strlen(body);
        struct MHD_Response *r = MHD_create_response_from_buffer(len, body, MHD_RESPMEM_MUST_FREE);
        snprintf(cache, sizeof(cache), ttl_ms >= 1000 ? "max-age=%" PRIu32 : "no-store", ttl_ms / 1000);
        add_fields(r, cors_all);
        add_header(r, "Content-Type", "application/json");
        add_header(r, "Cache-Control", cache);
        if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
                add_header(r, "Retry-After", "1");
        extend_for_bytes(p->conn, len);
        return queue(p, status, r);
}

static enum MHD_Result queue_words(struct pull *p, unsigned status, const struct buf *words)
{
        char *text = mem_printf("%.*s", (int)words->len, (const char *)words->data);
        enum MHD_Result rc = queue_error(p, status, text, 0);
        free(text);
        return rc;
}

static enum MHD_Result queue_failure(struct pull *p)
{
        switch (p->answer.status) {
        case ERR_NOT_FOUND:
                return queue_error(p, MHD_HTTP_NOT_FOUND, "not found", p->answer.ttl_ms);
        case ERR_FULL:
                return queue_error(p, MHD_HTTP_SERVICE_UNAVAILABLE, "too much is asked for at once", 0);
        case ERR_IO: /* another time, or another origin */
                return queue_error(p, MHD_HTTP_SERVICE_UNAVAILABLE, "cannot be read now", 0);
        case ERR_UNSUPPORTED:
                return queue_words(p, MHD_HTTP_BAD_REQUEST, p->answer.bytes);
        default:
                return queue_error(p, MHD_HTTP_SERVICE_UNAVAILABLE, "not there yet", 0);
        }
}

/* A recording as one file is far larger than an answer, but as long as it says; so are joined seconds. */
static bool in_pieces(const struct pull *p)
{
        return p->is_recording || p->request.parsed.joined;
}

static void release_bytes(void *cls)
{
        struct buf *b = cls;
        buf_unref(&b);
}

/* What is immutable is known by its name, what comes in pieces, or is a part, by what it is made of too, the rest by its bytes. */
static void etag(const struct pull *p, char dst[24])
{
        const struct serve_answer *a = &p->answer;
        uint64_t h = in_pieces(p) || a->flags & FETCH_IMMUTABLE ? XXH3_64bits_withSeed(p->request.key, strlen(p->request.key), a->identity)
                                                                : XXH3_64bits(a->bytes->data + a->from, a->len);
        snprintf(dst, 24, "\"%016" PRIx64 "\"", h);
}

static void add_object_headers(struct MHD_Response *r, const struct serve_answer *a, const char *tag)
{
        char cache[48];
        snprintf(cache, sizeof(cache), "max-age=%" PRIu32, a->ttl_ms / 1000);
        add_fields(r, cors_all);
        add_header(r, "Content-Type", a->content_type);
        add_header(r, "Cache-Control", a->flags & FETCH_IMMUTABLE ? "max-age=31536000, immutable" : cache);
        add_header(r, "ETag", tag);
}

static const char *request_header(const struct pull *p, const char *name)
{
        return MHD_lookup_connection_value(p->connection, MHD_HEADER_KIND, name);
}

static struct MHD_Response *bytes_response(const struct serve_answer *a, uint64_t from, uint64_t len)
{
        if (!len)
                return MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
        return MHD_create_response_from_buffer_with_free_callback_cls((size_t)len, a->bytes->data + a->from + from,
                                                                      release_bytes, buf_ref(a->bytes));
}

/* Reader of a growing segment, or of one that comes in pieces: what the answer holds, then asks for more. */
static ssize_t read_growing(void *cls, uint64_t pos, char *dst, size_t max)
{
        struct pull *p = cls;
        struct serve_answer *a = &p->answer;
        if (!p->answered)
                return 0;
        if (a->status || (in_pieces(p) && a->identity != p->identity)) /* it is another file by now: a volume went or came */
                return MHD_CONTENT_READER_END_WITH_ERROR;
        size_t left = a->len - p->taken;
        if (left) {
                size_t n = left < max ? left : max;
                memcpy(dst, a->bytes->data + a->from + p->taken, n);
                if (!p->taken)
                        extend_for_bytes(p->conn, left);
                p->taken += n;
                return (ssize_t)n;
        }
        if (a->flags & FETCH_COMPLETE)
                return MHD_CONTENT_READER_END_OF_STREAM;
        return ask(p, p->from + pos) ? 0 : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void add_range_headers(struct MHD_Response *r, unsigned status, uint64_t from, uint64_t len, uint64_t size)
{
        char text[80];
        add_header(r, "Accept-Ranges", "bytes");
        if (status == MHD_HTTP_PARTIAL_CONTENT)
                snprintf(text, sizeof(text), "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, from, from + len - 1, size);
        else
                snprintf(text, sizeof(text), "bytes */%" PRIu64, size);
        if (status != MHD_HTTP_OK)
                add_header(r, "Content-Range", text);
}

/* What comes in pieces. That its first one can be read is known before anything is said: a status cannot be taken back, and all that
 * can be done later is to cut the answer off. */
static enum MHD_Result queue_pieces(struct pull *p)
{
        struct serve_answer *a = &p->answer;
        char tag[24];
        if (a->status)
                return queue_failure(p);
        if (a->identity != p->identity)
                return queue_error(p, MHD_HTTP_SERVICE_UNAVAILABLE, "it has changed meanwhile", 0);
        etag(p, tag);
        struct MHD_Response *r = MHD_create_response_from_callback(p->len, 32 << 10, read_growing, p, NULL);
        add_object_headers(r, a, tag);
        add_range_headers(r, p->status, p->from, p->len, p->size);
        extend_for_bytes(p->conn, 0);
        return queue(p, p->status, r);
}

static enum MHD_Result place_pieces(struct pull *p, unsigned status, uint64_t from, uint64_t len)
{
        const struct serve_answer *a = &p->answer;
        p->from = from;
        p->len = len;
        p->size = a->size;
        p->identity = a->identity;
        p->status = status;
        p->taken = from < a->len ? (size_t)from : a->len; /* the answer is the file's beginning */
        if (from < a->len || p->head)
                return queue_pieces(p);
        p->placed = true;
        return ask(p, from) ? MHD_YES : queue_error(p, MHD_HTTP_SERVICE_UNAVAILABLE, "stopping", 0);
}

/* What is complete, or in pieces: a part of it, if that is what is wanted. */
static enum MHD_Result queue_complete(struct pull *p, const char *tag)
{
        struct serve_answer *a = &p->answer;
        uint64_t from, len, size = in_pieces(p) ? a->size : a->len;
        const char *range = range_if(request_header(p, "Range"), request_header(p, "If-Range"), tag);
        unsigned status = MHD_HTTP_OK;
        switch (range_parse(range, size, &from, &len)) {
        case RANGE_WHOLE:
                break;
        case RANGE_PART:
                status = MHD_HTTP_PARTIAL_CONTENT;
                break;
        case RANGE_UNSATISFIABLE:
                status = MHD_HTTP_RANGE_NOT_SATISFIABLE;
                len = 0;
                break;
        }
        if (in_pieces(p) && len)
                return place_pieces(p, status, from, len);
        struct MHD_Response *r = bytes_response(a, from, len);
        add_object_headers(r, a, tag);
        add_range_headers(r, status, from, len, size);
        extend_for_bytes(p->conn, len);
        return queue(p, status, r);
}

static enum MHD_Result queue_answer(struct pull *p)
{
        struct serve_answer *a = &p->answer;
        char tag[24];
        if (p->placed)
                return queue_pieces(p);
        if (a->status)
                return queue_failure(p);
        etag(p, tag);
        struct MHD_Response *r;
        if (etag_matches(request_header(p, "If-None-Match"), tag)) {
                r = MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
                add_object_headers(r, a, tag);
                extend_for_bytes(p->conn, 0);
                return queue(p, MHD_HTTP_NOT_MODIFIED, r);
        }
        if (a->flags & FETCH_COMPLETE || in_pieces(p))
                return queue_complete(p, tag);
        r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 32 << 10, read_growing, p, NULL);
        add_object_headers(r, a, tag);
        if (p->head) /* MHD would end a chunked answer to it with a chunk that must not be there */
                MHD_set_response_options(r, MHD_RF_HTTP_VERSION_1_0_ONLY, MHD_RO_END);
        return queue(p, MHD_HTTP_OK, r);
}

static enum MHD_Result queue_time(struct pull *p)
{
        char iso[CLOCK_ISO_MAX];
        clock_iso(iso, sizeof(iso), clock_wall_us());
        struct MHD_Response *r = MHD_create_response_from_buffer(strlen(iso), iso, MHD_RESPMEM_MUST_COPY);
        add_fields(r, cors_all);
        add_header(r, "Content-Type", "text/plain");
        add_header(r, "Cache-Control", "no-store");
        extend_for_bytes(p->conn, 0);
        return queue(p, MHD_HTTP_OK, r);
}

static enum MHD_Result queue_options(struct pull *p, unsigned status)
{
        struct MHD_Response *r = MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
        add_fields(r, cors_all);
        add_header(r, "Allow", CORS_METHODS);
        add_fields(r, cors_preflight);
        extend_for_bytes(p->conn, 0);
        return queue(p, status, r);
}

/* Of a v6 address its /64, which is one customer's. Never a connection's number of nng's: those are of 32 bits. */
static uint64_t asker_of(const struct sockaddr *address)
{
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
        uint64_t hash = address->sa_family == AF_INET6 ? XXH3_64bits(&v6->sin6_addr, 8) : XXH3_64bits(&v4->sin_addr, 4);
        return hash | UINT64_C(1) << 63;
}

static struct pull *pull_new(struct http *h, struct MHD_Connection *c)
{
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        struct pull *p = mem_alloc(sizeof(*p));
        p->http = h;
        p->connection = c;
        p->conn = info->socket_context;
        p->request.asker = asker_of(MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr);
        stat_add(STAT_HTTP_REQUESTS, 1);
        atomic_fetch_add(&h->pulls, 1);
        return p;
}

static const char *query(const struct pull *p, const char *name)
{
        return MHD_lookup_connection_value(p->connection, MHD_GET_ARGUMENT_KIND, name);
}

/* An object has one name, and a query is no part of it (proto/key.h). This one would be passed over, and another file sent than was
 * meant. */
static enum MHD_Result queue_query_error(struct pull *p)
{
        const char *track = query(p, "track");
        bool known = strlen(track) <= TRACK_NAME_MAX && track_name_valid(track); /* the rest is not for repeating */
        char *text = mem_printf("track=%s is given, but a track is a part of the path: SESSION/%s/recording.mp4", known ? track : "",
                                known ? track : "TRACK");
        enum MHD_Result rc = queue_error(p, MHD_HTTP_BAD_REQUEST, text, 0);
        free(text);
        return rc;
}

static enum MHD_Result ask_first(struct pull *p)
{
        return ask(p, 0) ? MHD_YES : queue_error(p, MHD_HTTP_SERVICE_UNAVAILABLE, "stopping", 0);
}

/* A clip has a name of its own, which "?from=90&to=150" of the whole recording stands for. */
static enum MHD_Result begin_recording(struct pull *p, struct key *k)
{
        char why[KEY_WHY_MAX];
        if (query(p, "track"))
                return queue_query_error(p);
        if (!key_cut_recording(k, query(p, "from"), query(p, "to"), why))
                return queue_error(p, MHD_HTTP_BAD_REQUEST, why, 0);
        key_write_recording(p->request.key, k);
        return ask_first(p);
}

/* Which version of a playlist, or which part of a segment: key becomes its name. NULL, or why not. */
static const char *take_name(struct pull *p)
{
        static const char *const names[] = {"_HLS_msn", "_HLS_part", "_HLS_skip"};
        char text[128] = "";
        size_t len = 0;
        unsigned part, chunks;
        struct key k;
        if (parts_take_name(p->request.key, &part, &chunks)) {
                p->request.part = (uint8_t)part;
                p->request.part_chunks = (uint8_t)chunks;
                return NULL;
        }
        key_parse(&k, p->request.key);
        if (k.kind != KEY_PLAYLIST || k.classic || k.waits || k.skips)
                return NULL;
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                const char *value = query(p, names[i]);
                if (value) /* what is longer than a number is none */
                        len += (size_t)snprintf(text + len, sizeof(text) - len, "%c%s=%.12s", len ? '&' : '?', names[i], value);
        }
        const char *why = reload_take(&k, text);
        if (!why)
                key_write_playlist(p->request.key, &k);
        return why;
}

static enum MHD_Result begin(struct pull *p, const char *url, const char *method)
{
        if (strcmp(method, "OPTIONS") == 0)
                return queue_options(p, MHD_HTTP_NO_CONTENT);
        if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
                return queue_options(p, MHD_HTTP_METHOD_NOT_ALLOWED);
        if (strcmp(url, "/time") == 0)
                return queue_time(p);
        if (strlen(url) > KEY_MAX)
                return queue_error(p, MHD_HTTP_NOT_FOUND, "not found", 0);
        strcpy(p->request.key, url);
        p->head = strcmp(method, "HEAD") == 0;
        const char *why = take_name(p);
        why = why ? why : key_bad_page(url);
        if (why)
                return queue_error(p, MHD_HTTP_BAD_REQUEST, why, 0);
        struct key k;
        key_parse(&k, url);
        p->is_recording = k.kind == KEY_RECORDING;
        return p->is_recording ? begin_recording(p, &k) : ask_first(p);
}

/* Called three times: when the headers are in (answering then would close the connection), when the body, of which there
 * should be none, is over, and when the question is answered. */
static enum MHD_Result handle(void *cls, struct MHD_Connection *c, const char *url, const char *method,
                              const char *version, const char *upload, size_t *upload_len, void **ctx)
{
        struct pull *p = *ctx;
        (void)version;
        (void)upload;
        if (!p) {
                *ctx = pull_new(cls, c);
                return MHD_YES;
        }
        if (*upload_len) {
                *upload_len = 0;
                return MHD_YES;
        }
        return p->answered ? queue_answer(p) : begin(p, url, method);
}

/* Loop thread: all of it is written out, or the client is gone. */
static void forget(struct mail *mail)
{
        struct pull *p = (struct pull *)mail;
        serve_taken(p->http->serve, &p->request);
        free(p);
}

static void completed(void *cls, struct MHD_Connection *c, void **ctx, enum MHD_RequestTerminationCode code)
{
        struct pull *p = *ctx;
        (void)cls;
        (void)c;
        (void)code;
        if (!p)
                return;
        atomic_fetch_sub(&p->http->pulls, 1);
        extend(p->conn, REQUEST_TIME_US + IDLE_TIMEOUT_S * US_PER_S);
        buf_unref(&p->answer.bytes);
        *ctx = NULL;
        p->mail.deliver = forget;
        if (p->answered && p->answer.kept)
                mailbox_post(&p->http->mailbox, &p->mail);
        else
                free(p);
}

/* The last descriptors are the store's: without one it could begin no volume and save no session. */
static bool admit(struct MHD_Connection *c, int fd)
{
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        char address[INET6_ADDRSTRLEN] = "-";
        if (info)
                getnameinfo(info->client_addr, sizeof(struct sockaddr_in6), address, sizeof(address), NULL, 0, NI_NUMERICHOST);
        return descriptors_admit(fd, "HTTP", address);
}

static void connection_changed(void *cls, struct MHD_Connection *c, void **ctx, enum MHD_ConnectionNotificationCode code)
{
        struct http *h = cls;
        struct connection *conn = *ctx;
        pthread_mutex_lock(&h->lock);
        if (code == MHD_CONNECTION_NOTIFY_STARTED) {
                conn = *ctx = mem_alloc(sizeof(*conn));
                conn->fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
                extend(conn, REQUEST_TIME_US);
                if (!admit(c, conn->fd))
                        shutdown(conn->fd, SHUT_RDWR); /* as one whose time is over: libmicrohttpd closes it */
                conn->next = h->connections;
                conn->prev = &h->connections;
                if (conn->next)
                        conn->next->prev = &conn->next;
                h->connections = conn;
        } else if (conn) {
                *conn->prev = conn->next;
                if (conn->next)
                        conn->next->prev = conn->prev;
                free(conn);
                *ctx = NULL;
        }
        pthread_mutex_unlock(&h->lock);
}

static void finish_stop(struct http *h)
{
        uv_timer_stop(&h->timer);
        MHD_stop_daemon(h->daemon);
        h->daemon = NULL;
        mailbox_close(&h->mailbox);
        uv_close((uv_handle_t *)&h->timer, NULL);
        h->stopped(h->arg);
}

static void sweep(uv_timer_t *timer)
{
        struct http *h = timer->data;
        int64_t now = clock_mono_us();
        if (atomic_load(&h->stopping)) {
                if (!atomic_load(&h->asked) && (!atomic_load(&h->pulls) || now > h->stop_at_us))
                        finish_stop(h);
                return;
        }
        pthread_mutex_lock(&h->lock);
        for (struct connection *c = h->connections; c; c = c->next)
                if (atomic_load(&c->deadline_us) < now) {
                        shutdown(c->fd, SHUT_RDWR); /* its own thread sees the end and closes it */
                        extend(c, REQUEST_TIME_US);
                        stat_add(STAT_HTTP_SLOW, 1);
                }
        pthread_mutex_unlock(&h->lock);
}

static void log_mhd(void *arg, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
static void log_mhd(void *arg, const char *fmt, va_list ap)
{
        char text[256], quoted[300];
        (void)arg;
        vsnprintf(text, sizeof(text), fmt, ap);
        log_debug("msg=%s", log_quote(quoted, sizeof(quoted), text));
}

int http_open(struct http **out, uv_loop_t *loop, const char *bind, int port, struct serve *serve_with)
{
        struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *ai;
        char service[8];
        snprintf(service, sizeof(service), "%d", port);
        *out = NULL;
        if (getaddrinfo(bind, service, &hints, &ai) != 0)
                return ERR_IO;
        struct http *h = mem_alloc(sizeof(*h));
        h->serve = serve_with;
        pthread_mutex_init(&h->lock, NULL);
        mailbox_open(&h->mailbox, loop);
        uv_timer_init(loop, &h->timer);
        h->timer.data = h;
        errno = 0;
        h->daemon = MHD_start_daemon(
                MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO | MHD_USE_ERROR_LOG |
                        (ai->ai_family == AF_INET6 ? MHD_USE_IPv6 : 0),
                (uint16_t)port, NULL, NULL, handle, h, MHD_OPTION_EXTERNAL_LOGGER, log_mhd, NULL, MHD_OPTION_SOCK_ADDR,
                ai->ai_addr, MHD_OPTION_NOTIFY_COMPLETED, completed, h, MHD_OPTION_NOTIFY_CONNECTION, connection_changed, h,
                MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S, MHD_OPTION_CONNECTION_LIMIT,
                (unsigned)CONNECTIONS_MAX, MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)CONNECTIONS_OF_ONE, MHD_OPTION_END);
        int why = errno;
        freeaddrinfo(ai);
        *out = h;
        if (!h->daemon)
                return why ? err_from_errno(why) : ERR_IO; /* the process ends: main.c */
        uv_timer_start(&h->timer, sweep, SWEEP_MS, SWEEP_MS);
        return 0;
}

void http_stop(struct http *h, void (*done)(void *arg), void *arg)
{
        h->stopped = done;
        h->arg = arg;
        int fd = MHD_quiesce_daemon(h->daemon);
        if (fd >= 0)
                close(fd);
        h->stop_at_us = clock_mono_us() + STOP_TIME_US;
        atomic_store(&h->stopping, true);
        uv_timer_start(&h->timer, sweep, 0, 5);
}

void http_free(struct http **hp)
{
        struct http *h = *hp;
        *hp = NULL;
        if (!h)
                return;
        assert(!h->daemon);
        pthread_mutex_destroy(&h->lock);
        free(h);
}
