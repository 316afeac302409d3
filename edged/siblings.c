#include "edged/siblings.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/cluster/peers.h"
#include "common/daemon/log.h"
#include "common/daemon/metrics.h"
#include "common/err.h"
#include "common/mem.h"
#include "edged/breaker.h"

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

enum { BYTES, PASSED_OVER, RESTING, ROWS };
static struct metric rows[ROWS] = {
        [BYTES] = {.name = "edged_sibling_bytes_total", .type = METRIC_COUNTER, .help = "Bytes that came from other edges of this site"},
        [PASSED_OVER] = {.name = "edged_sibling_passed_over_total",
                         .type = METRIC_COUNTER,
                         .help = "Times that an edge of this site was not asked, since it had as much to do as it keeps up with"},
        [RESTING] = {.name = "edged_siblings_resting",
                     .type = METRIC_GAUGE,
                     .help = "Edges of this site that are asked next to nothing, since they had too much to do"},
};

struct site_ring {
        struct upstream base;
        struct peers *peers; /* NULL: it is being closed */
        const struct node_identity *self;
        struct breakers breakers;
};

struct owner_call {
        struct site_ring *site;
        uint64_t node;
        bool probe; /* breaker.h */
        char address[sizeof(((struct peer *)0)->address)];
        upstream_done *done;
        void *arg;
};

void siblings_register(void)
{
        metrics_register(said, SAID_COUNT);
        metrics_register(rows, ROWS);
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

/* The first of the walk that was not tried, and keeps up with what it is asked; NULL if it is this node. */
static struct peer *find_owner(struct site_ring *s, const char *key, const struct node_set *tried)
{
        struct peer *route[UPSTREAM_NODES_MAX];
        size_t n = peers_route(s->peers, key, route, UPSTREAM_NODES_MAX);
        for (size_t i = 0; i < n; i++) {
                if (strcmp(route[i]->info.id, s->self->id) == 0)
                        return NULL;
                if (node_set_has(tried, upstream_id(route[i])))
                        continue;
                if (breaker_may(&s->breakers, upstream_id(route[i]), clock_mono_us()))
                        return route[i];
                metric_add(&rows[PASSED_OVER], 1);
        }
        return NULL;
}

static void hear_sibling(const struct owner_call *c, int err, const struct fetch_reply *m)
{
        struct breakers *bs = &c->site->breakers;
        enum breaker_change change = breaker_heard(bs, c->node, c->probe, upstream_said(err, m), clock_mono_us());
        if (change == BREAKER_SAME)
                return;
        metric_set(&rows[RESTING], breakers_resting(bs));
        if (change == BREAKER_RESTS)
                log_warn("node=%s error=\"%s\" msg=\"an edge of this site has too much to do and is let alone for a moment\"", c->address,
                         err_text(err ? err : m->status));
        else
                log_info("node=%s msg=\"an edge of this site answers again\"", c->address);
}

static void on_owner_reply(void *arg, int err, const struct fetch_reply *m, struct buf *bytes)
{
        struct owner_call *c = arg;
        hear_sibling(c, err, m);
        c->done(c->arg, err, m, bytes);
        free(c);
}

static int ask_owner(struct upstream *u, const char *stream, const struct node_set *tried, uint64_t only, const struct fetch *what,
                     unsigned timeout_ms, uint64_t *node, upstream_done *done, void *arg)
{
        struct site_ring *s = (struct site_ring *)u;
        (void)stream, (void)only;
        struct peer *p = s->peers ? find_owner(s, what->key, tried) : NULL;
        if (!p)
                return ERR_CLOSED;
        struct owner_call *c = mem_alloc(sizeof(*c));
        *c = (struct owner_call){.site = s, .node = upstream_id(p), .done = done, .arg = arg};
        strcpy(c->address, p->address);
        *node = c->node;
        c->probe = breaker_sent(&s->breakers, c->node, clock_mono_us());
        upstream_ask(p, MSG_FETCH_OWNED, what, timeout_ms, &rows[BYTES], on_owner_reply, c);
        return 0;
}

void siblings_each(struct upstream *siblings, void (*call)(void *arg, struct peer *p), void *arg)
{
        struct site_ring *s = (struct site_ring *)siblings;
        struct peer *all[UPSTREAM_NODES_MAX];
        size_t n = s->peers ? peers_route(s->peers, "", all, UPSTREAM_NODES_MAX) : 0;
        for (size_t i = 0; i < n; i++)
                if (strcmp(all[i]->info.id, s->self->id) != 0)
                        call(arg, all[i]);
}

static const struct upstream_ops siblings_ops = {.fetch = ask_owner};

int siblings_open(struct upstream **out, uv_loop_t *loop, const char *names, const struct node_identity *self)
{
        struct site_ring *s = mem_alloc(sizeof(*s));
        s->base.ops = &siblings_ops;
        s->self = self;
        breakers_init(&s->breakers, UPSTREAM_UNDER_WAY_MAX, (uint64_t)clock_mono_us());
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
