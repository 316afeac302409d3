#include "edged/upstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/cluster/peers.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "edged/breaker.h"
#include "edged/stats.h"
#include "proto/key.h"

struct tier {
        struct upstream base;
        struct peers *peers;
        const struct node_identity *self;
        bool by_object;
        struct {
                char id[NODE_ID_MAX + 1]; /* "": free */
                int64_t seen_us;
        } below[UPSTREAM_NODES_MAX]; /* nodes above that ask here */
        size_t owners;
        struct breakers breakers;
        void (*changed)(void *arg);
        void *arg;
};

struct asked {
        struct tier *tier; /* NULL: its breakers have nothing to do with it */
        uint64_t node;
        bool old, probe; /* breaker.h */
        uint64_t offset;
        struct metric *bytes;
        upstream_done *done;
        void *arg;
};

void node_set_add(struct node_set *s, uint64_t id)
{
        if (s->count < UPSTREAM_NODES_MAX && !node_set_has(s, id))
                s->ids[s->count++] = id;
}

bool node_set_has(const struct node_set *s, uint64_t id)
{
        for (unsigned i = 0; i < s->count; i++) {
                if (s->ids[i] == id)
                        return true;
        }
        return false;
}

uint64_t upstream_id(const struct peer *p)
{
        return XXH3_64bits(p->address, strlen(p->address)) | 1;
}

enum breaker_heard upstream_said(int err, const struct fetch_reply *m)
{
        int status = err ? err : m->status;
        return status == ERR_FULL ? BREAKER_FULL : err == ERR_TIMEOUT ? BREAKER_LATE : err ? BREAKER_NOTHING : BREAKER_GOOD;
}

/* What is at the live edge and what is old stand in lines of their own there: one may be full when the other is not. */
static uint64_t line_at(uint64_t node, bool old)
{
        return old ? ~node : node;
}

static const char *address_of(const struct tier *t, uint64_t node)
{
        struct peer *all[UPSTREAM_NODES_MAX + 1];
        size_t n = t->peers ? peers_all(t->peers, all, UPSTREAM_NODES_MAX + 1) : 0;
        for (size_t i = 0; i < n; i++) {
                if (upstream_id(all[i]) == node)
                        return all[i]->address;
        }
        return "gone";
}

static void hear_peer(const struct asked *a, int err, const struct fetch_reply *m)
{
        struct breakers *bs = &a->tier->breakers;
        const char *of = a->old ? "old" : "live";
        enum breaker_change change = breaker_heard(bs, line_at(a->node, a->old), a->probe, upstream_said(err, m), clock_mono_us());
        if (change == BREAKER_SAME)
                return;
        metric_set(&stats_upstream_resting, breakers_resting(bs));
        if (change == BREAKER_RESTS)
                log_warn("node=%s media=%s error=\"%s\" msg=\"a node above has too much to do and is let alone for a moment\"",
                         address_of(a->tier, a->node), of, err_text(err ? err : m->status));
        else
                log_info("node=%s media=%s msg=\"a node above answers again\"", address_of(a->tier, a->node), of);
}

static void on_reply(void *arg, int err, nng_msg *msg)
{
        struct asked *a = arg;
        struct fetch_reply m;
        struct buf *bytes;
        err = fetch_reply_take(err, msg, a->offset, &m, &bytes);
        if (err == ERR_PROTO)
                log_warn("msg=\"a node that was asked sent an answer that cannot be\" error=\"%s\"", err_text(err));
        if (a->bytes)
                metric_add(a->bytes, bytes ? (int64_t)bytes->len : 0);
        if (a->tier)
                hear_peer(a, err, &m);
        a->done(a->arg, err, err ? NULL : &m, bytes);
        buf_unref(&bytes);
        free(a);
}

static void ask_peer(struct peer *p, uint8_t type, const struct fetch *what, unsigned timeout_ms, const struct asked *asked)
{
        struct asked *a = mem_alloc(sizeof(*a));
        *a = *asked;
        rpc_call_far(p->rpc, message_new(type, fetch_encode, what), timeout_ms, on_reply, a);
}

void upstream_ask(struct peer *p, uint8_t type, const struct fetch *what, unsigned timeout_ms, struct metric *bytes, upstream_done *done,
                  void *arg)
{
        ask_peer(p, type, what, timeout_ms, &(struct asked){.offset = what->offset, .bytes = bytes, .done = done, .arg = arg});
}

static bool is_below(const struct tier *t, const struct peer *p, int64_t now_us)
{
        for (int i = 0; i < UPSTREAM_NODES_MAX; i++) {
                if (t->below[i].id[0] && strcmp(t->below[i].id, p->info.id) == 0)
                        return now_us - t->below[i].seen_us < UPSTREAM_BELOW_US;
        }
        return false;
}

static bool is_old(const char *object)
{
        struct key key;
        key_parse(&key, object);
        return key_is_past(&key, clock_wall_us() - UPSTREAM_OLD_US);
}

/* Who is named is asked whatever it has to do: that is for a list, one FETCH under way each. *busy: somebody was passed over for that. */
static struct peer *choose(struct tier *t, const char *by, const char *object, bool old, const struct node_set *tried, uint64_t only,
                           bool *busy)
{
        struct peer *route[UPSTREAM_NODES_MAX];
        int64_t now_us = clock_mono_us();
        /* All owners have what is not at the live edge any more; what is, the first may have a moment before the others. */
        size_t n = old && !t->by_object ? peers_route_shared(t->peers, by, t->owners, object, route, UPSTREAM_NODES_MAX)
                                        : peers_route_near(t->peers, by, t->owners, route, UPSTREAM_NODES_MAX);
        for (size_t i = 0; i < n; i++) {
                uint64_t id = upstream_id(route[i]);
                if (!only && is_below(t, route[i], now_us))
                        continue;
                if (only ? id != only : node_set_has(tried, id))
                        continue;
                if (only || breaker_may(&t->breakers, line_at(id, old), now_us))
                        return route[i];
                *busy = true;
                metric_add(&stats_upstream_passed_over, 1);
        }
        return NULL;
}

static int tier_fetch(struct upstream *u, const char *stream, const struct node_set *tried, uint64_t only,
                      const struct fetch *what, unsigned timeout_ms, uint64_t *node, upstream_done *done, void *arg)
{
        struct tier *t = (struct tier *)u;
        bool busy = false, old = is_old(what->key);
        struct peer *p = t->peers ? choose(t, t->by_object ? what->key : stream, what->key, old, tried, only, &busy) : NULL;
        if (!p)
                return busy ? ERR_FULL : ERR_CLOSED;
        struct asked a = {.offset = what->offset, .old = old, .done = done, .arg = arg};
        a.bytes = &stats_upstream_bytes[strcmp(p->info.zone, t->self->zone) != 0];
        a.node = *node = upstream_id(p);
        if (!only) {
                a.tier = t;
                a.probe = breaker_sent(&t->breakers, line_at(a.node, old), clock_mono_us());
        }
        ask_peer(p, MSG_FETCH, what, timeout_ms, &a);
        return 0;
}

static size_t tier_live(struct upstream *u)
{
        struct tier *t = (struct tier *)u;
        struct peer *all[UPSTREAM_NODES_MAX];
        size_t live = t->peers ? peers_live(t->peers) : 0;
        if (!t->by_object || live == 0)
                return live;
        size_t n = peers_all(t->peers, all, UPSTREAM_NODES_MAX);
        int64_t now_us = clock_mono_us();
        for (size_t i = 0; i < n; i++)
                live -= is_below(t, all[i], now_us);
        return live;
}

static bool has_node(struct tier *t, const char *node_id)
{
        struct peer *all[UPSTREAM_NODES_MAX];
        size_t n = t->peers ? peers_all(t->peers, all, UPSTREAM_NODES_MAX) : 0;
        for (size_t i = 0; i < n; i++) {
                if (strcmp(all[i]->info.id, node_id) == 0)
                        return true;
        }
        return false;
}

static void tier_asks_here(struct upstream *u, const char *node_id)
{
        struct tier *t = (struct tier *)u;
        int64_t now_us = clock_mono_us();
        int at = -1;
        if (!t->by_object || !has_node(t, node_id))
                return;
        for (int i = 0; i < UPSTREAM_NODES_MAX && (at < 0 || strcmp(t->below[at].id, node_id) != 0); i++) {
                if (!t->below[i].id[0] || now_us - t->below[i].seen_us >= UPSTREAM_BELOW_US || strcmp(t->below[i].id, node_id) == 0)
                        at = i;
        }
        if (at < 0)
                return;
        bool is_news = !t->below[at].id[0] || now_us - t->below[at].seen_us >= UPSTREAM_BELOW_US;
        snprintf(t->below[at].id, sizeof(t->below[at].id), "%s", node_id);
        t->below[at].seen_us = now_us;
        if (!is_news)
                return;
        log_error("peer_id=%s msg=\"a node of the tier above asks this one: neither stands above the other, so it is not asked; look at origins "
                  "of both, and at siblings\"", node_id);
        t->changed(t->arg);
}

static size_t tier_nodes(struct upstream *u, uint64_t *ids, size_t max)
{
        struct tier *t = (struct tier *)u;
        struct peer *all[UPSTREAM_NODES_MAX + 1];
        size_t room = max < UPSTREAM_NODES_MAX + 1 ? max : UPSTREAM_NODES_MAX + 1, n = t->peers ? peers_all(t->peers, all, room) : 0;
        for (size_t i = 0; i < n; i++)
                ids[i] = upstream_id(all[i]);
        return n;
}

static const struct upstream_ops tier_ops = {.fetch = tier_fetch, .live = tier_live, .asks_here = tier_asks_here, .nodes = tier_nodes};

static void on_peers_changed(void *arg, struct peer *peer)
{
        (void)peer;
        struct tier *t = arg;
        t->changed(t->arg);
}

int upstream_open(struct upstream **out, uv_loop_t *loop, const char *names, enum node_role role, size_t owners,
                  const struct node_identity *self, void (*changed)(void *arg), void *arg)
{
        struct tier *t = mem_alloc(sizeof(*t));
        t->base.ops = &tier_ops;
        t->self = self;
        t->base.of_edges = t->by_object = role == ROLE_EDGED;
        t->owners = t->by_object ? PEERS_OWNERS_MAX : owners;
        t->changed = changed;
        t->arg = arg;
        breakers_init(&t->breakers, UPSTREAM_UNDER_WAY_MAX, (uint64_t)clock_mono_us());
        int err = peers_open(&t->peers, loop, names, role, self, on_peers_changed, t);
        if (err) {
                free(t);
                return err;
        }
        *out = &t->base;
        return 0;
}

void upstream_close(struct upstream *u)
{
        struct tier *t = (struct tier *)u;
        struct peers *peers = t->peers;
        t->peers = NULL; /* what ends now finds nobody to ask next */
        peers_close(peers);
        free(t);
}
