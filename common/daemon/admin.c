#include "common/daemon/admin.h"

#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "common/address.h"
#include "common/clock.h"
#include "common/daemon/admin_answer.h"
#include "common/daemon/admin_loop.h"
#include "common/daemon/admin_port.h"
#include "common/daemon/metrics.h"
#include "common/err.h"
#include "common/magic.h"
#include "common/mem.h"

#define TABLES_MAX 8
#define ALLOW_MAX 64

struct table {
        const struct admin_route *rows;
        size_t count;
        void *arg;
};

#define ADMIN_MAGIC 0x41444d49

struct admin {
        uint32_t magic;
        struct admin_port *port;
        struct admin_loop *loop;
        bool loopback;
        _Atomic int64_t ticked_us;
        pthread_mutex_t lock; /* guards all below */
        bool ready;
        char why[128];
        unsigned char token[SHA256_DIGEST_LENGTH]; /* so that comparing tells nothing of its length */
        bool has_token;
        struct table tables[TABLES_MAX];
        size_t table_count;
        unsigned requests; /* from their first line to the last byte of their answer */
        pthread_cond_t fewer_requests;
};

/* What a connection has sent of its request. */
struct asking {
        char *body;
        size_t len;
        bool too_long;
};

/* ---- answers ---------------------------------------------------------------------------------------------------- */

struct text {
        char *data;
        size_t len, cap;
};

static void append(void *arg, const char *data, size_t len)
{
        struct text *t = arg;
        if (t->len + len > t->cap) {
                t->cap = 2 * (t->len + len);
                t->data = mem_resize(t->data, t->cap);
        }
        memcpy(t->data + t->len, data, len);
        t->len += len;
}

/* ---- health ----------------------------------------------------------------------------------------------------- */

#define STUCK_TEXT "the loop stands still"

static bool is_stuck(struct admin *a)
{
        return clock_mono_us() - atomic_load(&a->ticked_us) > ADMIN_STUCK_MS * US_PER_MS;
}

static enum MHD_Result answer_healthz(struct admin *a, struct MHD_Connection *conn)
{
        bool stuck = is_stuck(a);
        return admin_answer_text(conn, stuck ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK, stuck ? STUCK_TEXT : "ok");
}

static enum MHD_Result answer_readyz(struct admin *a, struct MHD_Connection *conn)
{
        char why[sizeof(a->why)];
        bool ready = admin_is_ready(a, why, sizeof(why));
        return admin_answer_text(conn, ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, ready ? "ready" : why);
}

static enum MHD_Result answer_metrics(struct admin *a, struct MHD_Connection *conn)
{
        (void)a;
        struct text t = {.data = mem_alloc(8192), .cap = 8192};
        metrics_render(append, &t);
        return admin_answer_bytes(conn, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", t.data, t.len, NULL, NULL);
}

/* What a connection's own thread answers, whatever the loop does. */
static const struct direct {
        const char *path;
        enum MHD_Result (*answer)(struct admin *a, struct MHD_Connection *conn);
        bool open; /* without a token too */
} directs[] = {
        {"/healthz", answer_healthz, true},
        {"/readyz", answer_readyz, true},
        {"/metrics", answer_metrics, false},
};
#define DIRECTS (sizeof(directs) / sizeof(directs[0]))

static const struct direct *find_direct(const char *url)
{
        for (size_t i = 0; i < DIRECTS; i++) {
                if (strcmp(url, directs[i].path) == 0)
                        return &directs[i];
        }
        return NULL;
}

/* ---- who may ask ------------------------------------------------------------------------------------------------ */

static const char *header_of(struct MHD_Connection *conn, const char *name)
{
        return MHD_lookup_connection_value(conn, MHD_HEADER_KIND, name);
}

static bool token_ok(struct admin *a, struct MHD_Connection *conn)
{
        unsigned char asked[SHA256_DIGEST_LENGTH], given[SHA256_DIGEST_LENGTH];
        const char *header = header_of(conn, MHD_HTTP_HEADER_AUTHORIZATION);
        pthread_mutex_lock(&a->lock);
        bool has_token = a->has_token;
        memcpy(asked, a->token, sizeof(asked));
        pthread_mutex_unlock(&a->lock);
        if (!has_token)
                return true;
        if (!header || strncasecmp(header, "Bearer ", 7) != 0)
                return false;
        header += 7 + strspn(header + 7, " ");
        SHA256((const unsigned char *)header, strlen(header), given);
        return CRYPTO_memcmp(asked, given, sizeof(asked)) == 0;
}

/* Whether the name that was asked for is this machine's own: no page can make its visitors' browsers send it. */
static bool host_ok(struct admin *a, struct MHD_Connection *conn)
{
        struct sockaddr_storage ss;
        char name[64];
        const char *host = header_of(conn, MHD_HTTP_HEADER_HOST);
        pthread_mutex_lock(&a->lock);
        bool open = a->loopback && !a->has_token;
        pthread_mutex_unlock(&a->lock);
        if (!open || !host)
                return true;
        bool bracket = *host == '[';
        size_t len = strcspn(host + bracket, bracket ? "]" : ":");
        if (len >= sizeof(name))
                return false;
        snprintf(name, sizeof(name), "%.*s", (int)len, host + bracket);
        return strcasecmp(name, "localhost") == 0 || address_parse(&ss, name, 0) == 0;
}

static bool type_ok(struct MHD_Connection *conn)
{
        static const char json[] = "application/json";
        const char *type = header_of(conn, MHD_HTTP_HEADER_CONTENT_TYPE);
        return type && strncasecmp(type, json, strlen(json)) == 0 && strchr("; ", type[strlen(json)]);
}

/* ---- routes ----------------------------------------------------------------------------------------------------- */

static bool is_get(const char *method)
{
        return strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
}

/* The route, and its table's arg. NULL: allow says what the path takes ("": there is no such path). */
static const struct admin_route *find_route(struct admin *a, const char *method, const char *url, void **arg,
                                            char allow[ALLOW_MAX])
{
        const struct admin_route *found = NULL;
        allow[0] = '\0';
        pthread_mutex_lock(&a->lock);
        for (size_t t = 0; t < a->table_count && !found; t++) {
                for (size_t i = 0; i < a->tables[t].count && !found; i++) {
                        const struct admin_route *r = &a->tables[t].rows[i];
                        bool get = is_get(r->method);
                        if (strcmp(r->path, url) != 0)
                                continue;
                        size_t used = strlen(allow);
                        snprintf(allow + used, ALLOW_MAX - used, "%s%s%s", used ? ", " : "", r->method, get ? ", HEAD" : "");
                        if (get ? is_get(method) : strcmp(r->method, method) == 0) {
                                found = r;
                                *arg = a->tables[t].arg;
                        }
                }
        }
        pthread_mutex_unlock(&a->lock);
        return found;
}

static enum MHD_Result answer_not_found(struct admin *a, struct MHD_Connection *conn)
{
        struct text t = {.data = mem_alloc(1024), .cap = 1024};
        append(&t, "there are", 9);
        for (size_t i = 0; i < DIRECTS; i++) {
                append(&t, " ", 1);
                append(&t, directs[i].path, strlen(directs[i].path));
        }
        pthread_mutex_lock(&a->lock);
        for (size_t i = 0; i < a->table_count; i++) {
                for (size_t k = 0; k < a->tables[i].count; k++) {
                        const char *path = a->tables[i].rows[k].path;
                        if (k && strcmp(path, a->tables[i].rows[k - 1].path) == 0)
                                continue;
                        append(&t, " ", 1);
                        append(&t, path, strlen(path));
                }
        }
        pthread_mutex_unlock(&a->lock);
        append(&t, "", 1);
        enum MHD_Result result = admin_answer_error(conn, MHD_HTTP_NOT_FOUND, t.data);
        free(t.data);
        return result;
}

static enum MHD_Result answer_not_allowed(struct MHD_Connection *conn, const char *allow)
{
        return admin_answer_json(conn, MHD_HTTP_METHOD_NOT_ALLOWED, json_pack("{s:s+}", "error", "allowed: ", allow),
                                 MHD_HTTP_HEADER_ALLOW, allow);
}

/* ---- bodies ----------------------------------------------------------------------------------------------------- */

static bool too_deep(const char *p, size_t len)
{
        int depth = 0;
        bool in_string = false;
        for (size_t i = 0; i < len; i++) {
                if (in_string && p[i] == '\\')
                        i++;
                else if (p[i] == '"')
                        in_string = !in_string;
                else if (!in_string && (p[i] == '{' || p[i] == '[') && ++depth > ADMIN_DEPTH_MAX)
                        return true;
                else if (!in_string && (p[i] == '}' || p[i] == ']'))
                        depth--;
        }
        return false;
}

static bool word_in(const char *words, const char *word)
{
        size_t len = strlen(word);
        for (const char *p = words; len && p && (p = strstr(p, word)); p += len) {
                if ((p == words || p[-1] == ' ') && (p[len] == '\0' || p[len] == ' '))
                        return true;
        }
        return false;
}

/* The body as an object that the route takes. NULL: why says what is wrong with it. */
static json_t *read_body(const struct asking *q, const struct admin_route *route, char *why, size_t why_cap)
{
        json_error_t error;
        if (q->len == 0)
                return json_object();
        if (too_deep(q->body, q->len)) {
                snprintf(why, why_cap, "the body is nested deeper than %d", ADMIN_DEPTH_MAX);
                return NULL;
        }
        json_t *body = json_loadb(q->body, q->len, JSON_REJECT_DUPLICATES, &error);
        if (!json_is_object(body)) {
                if (body)
                        snprintf(why, why_cap, "allowed: a JSON object");
                else
                        snprintf(why, why_cap, "line %d: %s", error.line, error.text);
                json_decref(body);
                return NULL;
        }
        for (void *i = json_object_iter(body); i; i = json_object_iter_next(body, i)) {
                if (word_in(route->members, json_object_iter_key(i)))
                        continue;
                snprintf(why, why_cap, "unknown member \"%.64s\", allowed: %s", json_object_iter_key(i),
                         route->members ? route->members : "none");
                json_decref(body);
                return NULL;
        }
        return body;
}

/* ---- what the loop answers -------------------------------------------------------------------------------------- */

static const char *why_not_asked(int err)
{
        return err == ERR_FULL ? "too many requests at a time" : err == ERR_TIMEOUT ? "the loop does not answer" : "stopping";
}

static enum MHD_Result answer_route(struct admin *a, struct MHD_Connection *conn, const struct asking *q,
                                    const struct admin_route *route, void *arg)
{
        char why[256];
        struct admin_call call;
        json_t *body = read_body(q, route, why, sizeof(why));
        if (!body)
                return admin_answer_error(conn, MHD_HTTP_BAD_REQUEST, why);
        int err = admin_loop_ask(a->loop, route->handle, arg, body, &call);
        if (err)
                return admin_answer_error(conn, MHD_HTTP_SERVICE_UNAVAILABLE, why_not_asked(err));
        if (call.status < 400)
                return admin_answer_json(conn, call.status, call.answer ? call.answer : json_object(), NULL, NULL);
        json_decref(call.answer);
        return admin_answer_error(conn, call.status, call.error);
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

static enum MHD_Result answer_request(struct admin *a, struct MHD_Connection *conn, const char *url, const char *method,
                                      const struct asking *q)
{
        char allow[ALLOW_MAX];
        void *arg;
        const struct direct *direct = find_direct(url);
        if (direct && !is_get(method))
                return answer_not_allowed(conn, "GET, HEAD");
        if (direct && direct->open)
                return direct->answer(a, conn);
        if (!token_ok(a, conn))
                return admin_answer_json(conn, MHD_HTTP_UNAUTHORIZED,
                                         json_pack("{s:s}", "error", "wanted: Authorization: Bearer and the admin_token"),
                                         MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
        if (!host_ok(a, conn))
                return admin_answer_error(conn, MHD_HTTP_FORBIDDEN, "Host: allowed: an address, or localhost");
        if (direct)
                return direct->answer(a, conn);
        const struct admin_route *route = find_route(a, method, url, &arg, allow);
        if (!route)
                return *allow ? answer_not_allowed(conn, allow) : answer_not_found(a, conn);
        if (!is_get(method) && !type_ok(conn))
                return admin_answer_error(conn, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "Content-Type: allowed: application/json");
        if (q->too_long)
                return admin_answer_error(conn, MHD_HTTP_CONTENT_TOO_LARGE, "the body is larger than 65536 bytes");
        return answer_route(a, conn, q, route, arg);
}

static void take_body(struct asking *q, const char *bytes, size_t len)
{
        q->too_long = q->too_long || q->len + len > ADMIN_BODY_MAX_BYTES;
        if (q->too_long)
                return;
        q->body = mem_resize(q->body, q->len + len);
        memcpy(q->body + q->len, bytes, len);
        q->len += len;
}

static enum MHD_Result handle(void *arg, struct MHD_Connection *conn, const char *url, const char *method,
                              const char *version, const char *upload, size_t *upload_len, void **state)
{
        struct admin *a = magic_check(arg, ADMIN_MAGIC);
        (void)version;
        /* An answer to the first call, which brings only the headers, would cost the connection. */
        if (!*state) {
                *state = mem_alloc(sizeof(struct asking));
                pthread_mutex_lock(&a->lock);
                a->requests++;
                pthread_mutex_unlock(&a->lock);
                return MHD_YES;
        }
        if (*upload_len) {
                take_body(*state, upload, *upload_len);
                *upload_len = 0;
                return MHD_YES;
        }
        admin_port_asked(a->port, conn);
        return answer_request(a, conn, url, method, *state);
}

static void on_completed(void *arg, struct MHD_Connection *conn, void **state, enum MHD_RequestTerminationCode how)
{
        struct admin *a = magic_check(arg, ADMIN_MAGIC);
        struct asking *q = *state;
        (void)how;
        if (!q)
                return;
        free(q->body);
        free(q);
        *state = NULL;
        admin_port_answered(a->port, conn);
        pthread_mutex_lock(&a->lock);
        a->requests--;
        pthread_cond_signal(&a->fewer_requests);
        pthread_mutex_unlock(&a->lock);
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

int admin_open(struct admin **out, uv_loop_t *loop, const char *bind, int port, const char *token)
{
        struct sockaddr_storage address;
        pthread_condattr_t attr;
        *out = NULL;
        if (address_parse(&address, bind, port) != 0)
                return ERR_CONFIG;
        struct admin *a = mem_alloc(sizeof(*a));
        a->magic = ADMIN_MAGIC;
        pthread_mutex_init(&a->lock, NULL);
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&a->fewer_requests, &attr);
        pthread_condattr_destroy(&attr);
        a->loopback = address_is_loopback(&address);
        snprintf(a->why, sizeof(a->why), "starting");
        admin_token(a, token);
        atomic_store(&a->ticked_us, clock_mono_us());
        a->loop = admin_loop_new();
        int err = admin_port_open(&a->port, &address, handle, on_completed, a);
        if (err) {
                admin_close(a);
                return err;
        }
        admin_loop_attach(a->loop, loop);
        *out = a;
        return 0;
}

void admin_routes(struct admin *a, const struct admin_route *routes, size_t count, void *arg)
{
        pthread_mutex_lock(&a->lock);
        assert(a->table_count < TABLES_MAX);
        a->tables[a->table_count++] = (struct table){routes, count, arg};
        pthread_mutex_unlock(&a->lock);
}

void admin_token(struct admin *a, const char *token)
{
        pthread_mutex_lock(&a->lock);
        a->has_token = *token;
        SHA256((const unsigned char *)token, strlen(token), a->token);
        pthread_mutex_unlock(&a->lock);
}

void admin_tick(struct admin *a)
{
        int64_t now_us = clock_mono_us();
        atomic_store(&a->ticked_us, now_us);
        admin_sweep(a, now_us);
}

void admin_sweep(struct admin *a, int64_t now_us)
{
        admin_port_sweep(a->port, now_us);
}

void admin_ready(struct admin *a, bool ready, const char *why)
{
        pthread_mutex_lock(&a->lock);
        a->ready = ready;
        snprintf(a->why, sizeof(a->why), "%s", why ? why : "");
        pthread_mutex_unlock(&a->lock);
}

bool admin_is_ready(struct admin *a, char *why, size_t why_cap)
{
        bool stuck = is_stuck(a);
        pthread_mutex_lock(&a->lock);
        bool ready = a->ready && !stuck;
        snprintf(why, why_cap, "%s", stuck ? STUCK_TEXT : ready ? "" : a->why);
        pthread_mutex_unlock(&a->lock);
        return ready;
}

void admin_quiesce(struct admin *a)
{
        admin_loop_quiesce(a->loop);
}

void admin_detach(struct admin *a)
{
        admin_loop_detach(a->loop);
}

/* Answers are written for ADMIN_CLOSE_MS at most; then connections end with whatever they had. */
static void wait_for_answers(struct admin *a)
{
        int64_t us = clock_mono_us() + ADMIN_CLOSE_MS * US_PER_MS;
        const struct timespec until = {.tv_sec = us / US_PER_S, .tv_nsec = us % US_PER_S * 1000};
        int rv = 0;
        pthread_mutex_lock(&a->lock);
        while (a->requests && rv != ETIMEDOUT)
                rv = pthread_cond_timedwait(&a->fewer_requests, &a->lock, &until);
        pthread_mutex_unlock(&a->lock);
}

void admin_close(struct admin *a)
{
        wait_for_answers(a);
        if (a->port)
                admin_port_close(a->port);
        admin_loop_free(a->loop);
        pthread_cond_destroy(&a->fewer_requests);
        pthread_mutex_destroy(&a->lock);
        a->magic = 0;
        free(a);
}
