#include "common/http_client.h"

#include <assert.h>
#include <curl/curl.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/magic.h"
#include "common/mem.h"

#define IDLE_CONNECTIONS 8 /* kept open for the next request */
#define PROTOCOLS "http,https"

#define REQUEST_MAGIC 0x48524551

struct http_request {
        uint32_t magic;
        struct http_client *client;
        struct http_request *next, **link; /* in client->requests */
        CURL *easy;
        struct curl_slist *headers;
        void (*done)(void *arg, const struct http_answer *answer);
        void *arg;
        char *body; /* of the answer, with room for a NUL */
        size_t body_len, body_cap, header_len;
        int64_t max_age_s;
        bool too_long;
};

#define CLIENT_MAGIC 0x48434c49

struct http_client {
        uint32_t magic;
        uv_loop_t *loop;
        CURLM *multi;
        uv_timer_t timer;
        struct http_request *requests;
        unsigned in_flight;
        unsigned handles; /* the timer and the polls, open or closing: the client is freed with the last */
        size_t answer_bytes;
        unsigned in_flight_max;
        char *ca_file;
        bool closing;
};

#define WATCH_MAGIC 0x48574154

/* One socket of libcurl's. */
struct watch {
        uint32_t magic;
        uv_poll_t poll;
        struct http_client *client;
        curl_socket_t socket;
};

static void handle_gone(struct http_client *c)
{
        assert(c->handles > 0);
        if (--c->handles > 0)
                return;
        free(c->ca_file);
        c->magic = 0;
        free(c);
}

/* Requests -------------------------------------------------------------------------------------------------------- */

static void request_free(struct http_request *r)
{
        struct http_client *c = r->client;
        *r->link = r->next;
        if (r->next)
                r->next->link = r->link;
        c->in_flight--;
        curl_multi_remove_handle(c->multi, r->easy);
        curl_easy_cleanup(r->easy);
        curl_slist_free_all(r->headers);
        free(r->body);
        r->magic = 0;
        free(r);
}

static int err_from_curl(CURLcode code, const struct http_request *r)
{
        if (r->too_long)
                return ERR_LIMIT;
        switch (code) {
        case CURLE_OK:
                return 0;
        case CURLE_OPERATION_TIMEDOUT:
                return ERR_TIMEOUT;
        case CURLE_COULDNT_CONNECT:
                return ERR_REFUSED;
        case CURLE_COULDNT_RESOLVE_HOST:
                return ERR_NOT_FOUND;
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_ISSUER_ERROR:
                return ERR_DENIED;
        case CURLE_GOT_NOTHING:
        case CURLE_RECV_ERROR:
        case CURLE_SEND_ERROR:
        case CURLE_PARTIAL_FILE:
                return ERR_CLOSED;
        default:
                return ERR_IO;
        }
}

/* libcurl still holds the request while it tells of its end, so the answer is taken out before that is freed. */
static void finish(struct http_request *r, CURLcode code)
{
        long status = 0;
        struct http_answer answer = {.err = err_from_curl(code, r), .error = "", .max_age_s = r->max_age_s};
        char *body = r->body ? r->body : mem_strdup("");
        void (*done)(void *arg, const struct http_answer *answer) = r->done;
        void *arg = r->arg;
        if (answer.err) {
                answer.error = r->too_long ? "the answer is too long" : curl_easy_strerror(code);
        } else {
                curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
                answer.status = (int)status;
        }
        answer.body_len = r->body_len;
        answer.body = body;
        body[answer.body_len] = '\0';
        r->body = NULL;
        request_free(r);
        done(arg, &answer);
        free(body);
}

/* done() may ask again, cancel others, or close the client. */
static void finish_all(struct http_client *c)
{
        CURLMsg *msg;
        int left;
        while (!c->closing && (msg = curl_multi_info_read(c->multi, &left))) {
                struct http_request *r;
                if (msg->msg != CURLMSG_DONE)
                        continue;
                curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &r);
                finish(magic_check(r, REQUEST_MAGIC), msg->data.result);
        }
}

/* The loop's side of libcurl -------------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *t)
{
        struct http_client *c = magic_check(t->data, CLIENT_MAGIC);
        int running;
        curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        finish_all(c);
}

static int curl_wants_timer(CURLM *multi, long timeout_ms, void *arg)
{
        struct http_client *c = magic_check(arg, CLIENT_MAGIC);
        (void)multi;
        if (c->closing)
                return 0;
        if (timeout_ms < 0)
                uv_timer_stop(&c->timer);
        else
                uv_timer_start(&c->timer, on_timer, (uint64_t)timeout_ms, 0);
        return 0;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
        struct watch *w = magic_check(poll->data, WATCH_MAGIC);
        struct http_client *c = w->client;
        int running, flags = status < 0 ? CURL_CSELECT_ERR : 0;
        flags |= (events & UV_READABLE ? CURL_CSELECT_IN : 0) | (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0);
        curl_multi_socket_action(c->multi, w->socket, flags, &running);
        finish_all(c);
}

static void on_watch_closed(uv_handle_t *h)
{
        struct watch *w = magic_check(h->data, WATCH_MAGIC);
        struct http_client *c = w->client;
        w->magic = 0;
        free(w);
        handle_gone(c);
}

static int curl_wants_socket(CURL *easy, curl_socket_t socket, int what, void *arg, void *assigned)
{
        struct http_client *c = magic_check(arg, CLIENT_MAGIC);
        struct watch *w = assigned ? magic_check(assigned, WATCH_MAGIC) : NULL;
        (void)easy;
        if (what == CURL_POLL_REMOVE) {
                if (!w)
                        return 0;
                curl_multi_assign(c->multi, socket, NULL);
                uv_poll_stop(&w->poll); /* libcurl closes the socket after this call */
                uv_close((uv_handle_t *)&w->poll, on_watch_closed);
                return 0;
        }
        if (!w) {
                w = mem_alloc(sizeof(*w));
                w->magic = WATCH_MAGIC;
                w->client = c;
                w->socket = socket;
                if (uv_poll_init_socket(c->loop, &w->poll, socket)) {
                        free(w);
                        return -1; /* the request fails */
                }
                w->poll.data = w;
                c->handles++;
                curl_multi_assign(c->multi, socket, w);
        }
        int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
        return uv_poll_start(&w->poll, events, on_poll) ? -1 : 0;
}

/* What comes ------------------------------------------------------------------------------------------------------ */

static size_t on_body(char *data, size_t one, size_t len, void *arg)
{
        struct http_request *r = magic_check(arg, REQUEST_MAGIC);
        (void)one;
        if (len > r->client->answer_bytes - r->body_len) {
                r->too_long = true;
                return 0;
        }
        if (r->body_len + len + 1 > r->body_cap) {
                r->body_cap = 2 * (r->body_len + len) + 1;
                r->body = mem_resize(r->body, r->body_cap);
        }
        memcpy(r->body + r->body_len, data, len);
        r->body_len += len;
        return len;
}

static int64_t max_age(const char *value)
{
        static const char word[] = "max-age=";
        int64_t age = -1;
        if (strcasestr(value, "no-store") || strcasestr(value, "no-cache"))
                return 0;
        const char *p = strcasestr(value, word);
        if (p) {
                char *end;
                const char *digits = p + strlen(word);
                long long n = strtoll(digits, &end, 10);
                if (end != digits && n >= 0)
                        age = n;
        }
        return age;
}

static size_t on_header(char *data, size_t one, size_t len, void *arg)
{
        static const char name[] = "cache-control:";
        struct http_request *r = magic_check(arg, REQUEST_MAGIC);
        char value[256];
        (void)one;
        r->header_len += len;
        if (r->header_len > r->client->answer_bytes) {
                r->too_long = true;
                return 0;
        }
        if (len > strlen(name) && strncasecmp(data, name, strlen(name)) == 0) {
                snprintf(value, sizeof(value), "%.*s", (int)(len - strlen(name)), data + strlen(name));
                r->max_age_s = max_age(value);
        }
        return len;
}

/* Asking ---------------------------------------------------------------------------------------------------------- */

/* False: a header that would end before its end. */
static bool take_headers(struct http_request *r, const char *const *headers)
{
        r->headers = curl_slist_append(NULL, "Expect:"); /* no waiting for "100 Continue" */
        for (size_t i = 0; headers && headers[i]; i++) {
                if (strpbrk(headers[i], "\r\n"))
                        return false;
                r->headers = curl_slist_append(r->headers, headers[i]);
        }
        return true;
}

/* The server's certificate is looked at by a clock that nobody sets to before it was made. */
static CURLcode set_time(CURL *e, void *ssl_ctx, void *arg)
{
        (void)e;
        (void)arg;
        X509_VERIFY_PARAM_set_time(SSL_CTX_get0_param(ssl_ctx), (time_t)(clock_wall_us() / US_PER_S));
        return CURLE_OK;
}

static void set_options(struct http_request *r, const struct http_ask *ask)
{
        CURL *e = r->easy;
        curl_easy_setopt(e, CURLOPT_PRIVATE, r);
        curl_easy_setopt(e, CURLOPT_URL, ask->url);
        curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, PROTOCOLS);
        curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
        curl_easy_setopt(e, CURLOPT_PROXY, "");
        curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
        /* A name server that does not answer keeps its thread; without this, giving up would wait for that thread. */
        curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
        curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)ask->timeout_ms);
        curl_easy_setopt(e, CURLOPT_USERAGENT, "freshet");
        curl_easy_setopt(e, CURLOPT_HTTPHEADER, r->headers);
        curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(e, CURLOPT_WRITEDATA, r);
        curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
        curl_easy_setopt(e, CURLOPT_HEADERDATA, r);
        curl_easy_setopt(e, CURLOPT_SSL_CTX_FUNCTION, set_time);
        if (r->client->ca_file)
                curl_easy_setopt(e, CURLOPT_CAINFO, r->client->ca_file);
        if (strcmp(ask->method, "GET") == 0)
                return;
        curl_easy_setopt(e, CURLOPT_POST, 1L);
        curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, ask->method);
        curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, (long)ask->body_len);
        curl_easy_setopt(e, CURLOPT_COPYPOSTFIELDS, ask->body ? ask->body : "");
}

int http_client_ask(struct http_client *c, const struct http_ask *ask,
                    void (*done)(void *arg, const struct http_answer *answer), void *arg, struct http_request **out)
{
        char why[8];
        if (out)
                *out = NULL;
        if (http_url_check(ask->url, why, sizeof(why)))
                return ERR_CONFIG;
        if (c->in_flight >= c->in_flight_max)
                return ERR_FULL;
        struct http_request *r = mem_alloc(sizeof(*r));
        r->magic = REQUEST_MAGIC;
        r->client = c;
        r->done = done;
        r->arg = arg;
        r->max_age_s = -1;
        r->easy = curl_easy_init();
        if (!r->easy)
                mem_out("a request");
        r->next = c->requests;
        r->link = &c->requests;
        if (r->next)
                r->next->link = &r->next;
        c->requests = r;
        c->in_flight++;
        if (!take_headers(r, ask->headers)) {
                request_free(r);
                return ERR_CONFIG;
        }
        set_options(r, ask);
        CURLMcode rv = curl_multi_add_handle(c->multi, r->easy); /* sets the timer: the work begins on the next turn */
        assert(rv == CURLM_OK);
        (void)rv;
        if (out)
                *out = r;
        return 0;
}

void http_client_cancel(struct http_request **rp)
{
        if (*rp)
                request_free(*rp);
        *rp = NULL;
}

unsigned http_client_in_flight(const struct http_client *c)
{
        return c->in_flight;
}

/* The client ------------------------------------------------------------------------------------------------------ */

void http_client_open(struct http_client **out, uv_loop_t *loop, const struct http_client_limits *limits)
{
        struct http_client *c = mem_alloc(sizeof(*c));
        c->magic = CLIENT_MAGIC;
        curl_global_init(CURL_GLOBAL_DEFAULT); /* counts its callers */
        c->loop = loop;
        c->multi = curl_multi_init();
        if (!c->multi)
                mem_out("a request");
        c->in_flight_max = limits->in_flight;
        c->answer_bytes = limits->answer_bytes;
        c->ca_file = limits->ca_file ? mem_strdup(limits->ca_file) : NULL;
        c->handles = 1;
        uv_timer_init(loop, &c->timer);
        c->timer.data = c;
        curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, curl_wants_socket);
        curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
        curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, curl_wants_timer);
        curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
        curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS);
        *out = c;
}

static void on_timer_closed(uv_handle_t *h)
{
        handle_gone(magic_check(h->data, CLIENT_MAGIC));
}

void http_client_close(struct http_client **cp)
{
        struct http_client *c = *cp;
        if (!c)
                return;
        *cp = NULL;
        c->closing = true;
        while (c->requests)
                request_free(c->requests);
        curl_multi_cleanup(c->multi);
        curl_global_cleanup();
        uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}

/* URLs ------------------------------------------------------------------------------------------------------------ */

int http_url_check(const char *url, char *why, size_t why_cap)
{
        char *scheme = NULL, *host = NULL;
        CURLU *u = curl_url();
        bool ok = u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
                  curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                  (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) &&
                  curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK;
        if (!ok)
                snprintf(why, why_cap, "allowed: http://HOST[:PORT]/PATH or https://…");
        curl_free(scheme);
        curl_free(host);
        curl_url_cleanup(u);
        return ok ? 0 : ERR_CONFIG;
}

char *http_url_shown(char *dst, size_t cap, const char *url)
{
        static const CURLUPart secret[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_OPTIONS, CURLUPART_QUERY,
                                           CURLUPART_FRAGMENT};
        char *shown = NULL;
        CURLU *u = curl_url();
        bool ok = u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK;
        for (size_t i = 0; ok && i < sizeof(secret) / sizeof(secret[0]); i++)
                curl_url_set(u, secret[i], NULL, 0);
        ok = ok && curl_url_get(u, CURLUPART_URL, &shown, 0) == CURLUE_OK;
        snprintf(dst, cap, "%s", ok ? shown : "?");
        curl_free(shown);
        curl_url_cleanup(u);
        return dst;
}
