#include "common/admin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/mem.h"
#include "common/metrics.h"

#define CONNECTIONS_MAX 64
#define IDLE_S 10

struct admin {
        struct MHD_Daemon *http;
        _Atomic int64_t ticked_us;
        pthread_mutex_t lock; /* guards ready, why */
        bool ready;
        char why[128];
};

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

/* Takes data, which is malloc'd. */
static enum MHD_Result answer(struct MHD_Connection *conn, unsigned status, const char *type, char *data, size_t len)
{
        struct MHD_Response *response = MHD_create_response_from_buffer(len, data, MHD_RESPMEM_MUST_FREE);
        if (!response) {
                free(data);
                return MHD_NO;
        }
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
        MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
        enum MHD_Result result = MHD_queue_response(conn, status, response);
        MHD_destroy_response(response);
        return result;
}

static enum MHD_Result answer_text(struct MHD_Connection *conn, unsigned status, const char *text)
{
        char *line = mem_printf("%s\n", text);
        return answer(conn, status, "text/plain; charset=utf-8", line, strlen(line));
}

static enum MHD_Result answer_healthz(struct admin *a, struct MHD_Connection *conn)
{
        int64_t still_us = clock_mono_us() - atomic_load(&a->ticked_us);
        if (still_us <= ADMIN_STUCK_MS * US_PER_MS)
                return answer_text(conn, MHD_HTTP_OK, "ok");
        return answer_text(conn, MHD_HTTP_SERVICE_UNAVAILABLE, "the loop stands still");
}

static enum MHD_Result answer_readyz(struct admin *a, struct MHD_Connection *conn)
{
        char why[sizeof(a->why)];
        pthread_mutex_lock(&a->lock);
        bool ready = a->ready;
        memcpy(why, a->why, sizeof(why));
        pthread_mutex_unlock(&a->lock);
        if (ready)
                return answer_text(conn, MHD_HTTP_OK, "ready");
        return answer_text(conn, MHD_HTTP_SERVICE_UNAVAILABLE, why);
}

static enum MHD_Result answer_metrics(struct MHD_Connection *conn)
{
        struct text t = {.data = mem_alloc(8192), .cap = 8192};
        metrics_render(append, &t);
        return answer(conn, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", t.data, t.len);
}

static enum MHD_Result handle(void *arg, struct MHD_Connection *conn, const char *url, const char *method,
                              const char *version, const char *upload, size_t *upload_len, void **state)
{
        static int seen;
        struct admin *a = arg;
        (void)version;
        (void)upload;
        /* An answer to the first call, which brings only the headers, would cost the connection. */
        if (!*state) {
                *state = &seen;
                return MHD_YES;
        }
        if (*upload_len) {
                *upload_len = 0;
                return MHD_YES;
        }
        if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
                return answer_text(conn, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD");
        if (strcmp(url, "/healthz") == 0)
                return answer_healthz(a, conn);
        if (strcmp(url, "/readyz") == 0)
                return answer_readyz(a, conn);
        if (strcmp(url, "/metrics") == 0)
                return answer_metrics(conn);
        return answer_text(conn, MHD_HTTP_NOT_FOUND, "there are /healthz /readyz /metrics");
}

static bool parse_address(struct sockaddr_storage *ss, const char *bind, int port)
{
        struct sockaddr_in *v4 = (struct sockaddr_in *)ss;
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ss;
        memset(ss, 0, sizeof(*ss));
        if (inet_pton(AF_INET, bind, &v4->sin_addr) == 1) {
                v4->sin_family = AF_INET;
                v4->sin_port = htons((uint16_t)port);
                return true;
        }
        if (inet_pton(AF_INET6, bind, &v6->sin6_addr) != 1)
                return false;
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        return true;
}

int admin_open(struct admin **out, const char *bind, int port)
{
        struct sockaddr_storage address;
        *out = NULL;
        if (!parse_address(&address, bind, port))
                return ERR_CONFIG;
        struct admin *a = mem_alloc(sizeof(*a));
        pthread_mutex_init(&a->lock, NULL);
        snprintf(a->why, sizeof(a->why), "starting");
        admin_tick(a);
        unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | (address.ss_family == AF_INET6 ? MHD_USE_IPv6 : 0);
        errno = 0;
        a->http = MHD_start_daemon(flags, (uint16_t)port, NULL, NULL, handle, a, MHD_OPTION_SOCK_ADDR, &address,
                                   MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                                   MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_END);
        if (!a->http) {
                int err = errno ? err_from_errno(errno) : ERR_IO;
                admin_close(a);
                return err;
        }
        *out = a;
        return 0;
}

void admin_tick(struct admin *a)
{
        atomic_store(&a->ticked_us, clock_mono_us());
}

void admin_ready(struct admin *a, bool ready, const char *why)
{
        pthread_mutex_lock(&a->lock);
        a->ready = ready;
        snprintf(a->why, sizeof(a->why), "%s", why ? why : "");
        pthread_mutex_unlock(&a->lock);
}

void admin_close(struct admin *a)
{
        if (a->http)
                MHD_stop_daemon(a->http);
        pthread_mutex_destroy(&a->lock);
        free(a);
}
