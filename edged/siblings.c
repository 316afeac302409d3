#include "edged/siblings.h"

#include <stdlib.h>
#include <string.h>

#include "common/cluster/peers.h"
#include "common/daemon/metrics.h"
#include "common/err.h"
#include "common/mem.h"

/* What became of one FETCH to an object's owner. */
#define SAID(X) X(OK, "ok") X(NOT_YET, "not_yet") X(NOT_FOUND, "not_found") X(FULL, "full") X(LATE, "late") X(LOST, "lost")

enum said {
#define X(word, text) SAID_##word,
        SAID(X)
#undef X
        SAID_COUNT
};

static struct metric said[SAID_COUNT] = {
#define X(word, text)                                                                                                  \
        {.name = "edged_sibling_fetches_total",                                                                        \
         .type = METRIC_COUNTER,                                                                                       \
         .help = "FETCH requests to the edge of this site that an object belongs to",                                  \
         .labels = "result=\"" text "\""},
        SAID(X)
#undef X
};

static struct metric sibling_bytes = {
        .name = "edged_sibling_bytes_total", .type = METRIC_COUNTER, .help = "Bytes that came from other edges of this site"};

struct site_ring {
        struct upstream base;
        struct peers *peers; /* NULL: it is being closed */
        const struct node_identity *self;
};

void siblings_register(void)
{
        metrics_register(said, SAID_COUNT);
        metrics_register(&sibling_bytes, 1);
}

void siblings_heard(int status)
{
        enum said what = status == 0               ? SAID_OK
                         : status == ERR_NOT_YET   ? SAID_NOT_YET
                         : status == ERR_NOT_FOUND ? SAID_NOT_FOUND
                         : status == ERR_FULL      ? SAID_FULL
                         : status == ERR_TIMEOUT   ? SAID_LATE
                                                   : SAID_LOST;
        metric_add(&said[what], 1);
}

/* The first of the walk that was not tried; NULL if it is this node. */
static struct peer *find_owner(struct site_ring *s, const char *key, const struct node_set *tried)
{
        struct peer *route[UPSTREAM_NODES_MAX];
        size_t n = peers_route(s->peers, key, route, UPSTREAM_NODES_MAX);
        for (size_t i = 0; i < n; i++) {
                if (strcmp(route[i]->info.id, s->self->id) == 0)
                        return NULL;
                if (!node_set_has(tried, upstream_id(route[i])))
                        return route[i];
        }
        return NULL;
}

static int ask_owner(struct upstream *u, const char *stream, const struct node_set *tried, uint64_t only, const struct fetch *what,
                     unsigned timeout_ms, uint64_t *node, upstream_done *done, void *arg)
{
        struct site_ring *s = (struct site_ring *)u;
        (void)stream, (void)only;
        struct peer *p = s->peers ? find_owner(s, what->key, tried) : NULL;
        if (!p)
                return ERR_CLOSED;
        *node = upstream_id(p);
        upstream_ask(p, MSG_FETCH_OWNED, what, timeout_ms, &sibling_bytes, done, arg);
        return 0;
}

static const struct upstream_ops siblings_ops = {.fetch = ask_owner};

int siblings_open(struct upstream **out, uv_loop_t *loop, const char *names, const struct node_identity *self)
{
        struct site_ring *s = mem_alloc(sizeof(*s));
        s->base.ops = &siblings_ops;
        s->self = self;
        int err = peers_open(&s->peers, loop, names, ROLE_EDGED, self, NULL, NULL);
        if (err) {
                free(s);
                return err;
        }
        *out = &s->base;
        return 0;
}

void siblings_close(struct upstream **siblings)
{
        struct site_ring *s = (struct site_ring *)*siblings;
        *siblings = NULL;
        if (!s)
                return;
        struct peers *peers = s->peers;
        s->peers = NULL; /* what ends now finds nobody to ask next */
        peers_close(peers);
        free(s);
}
