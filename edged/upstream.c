#include "edged/upstream.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/cluster/peers.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "edged/stats.h"
#include "proto/key.h"

struct tier {
        struct upstream base;
        struct peers *peers;
        const struct node_identity *self;
        bool by_object;
        size_t owners;
        void (*changed)(void *arg);
        void *arg;
};

struct asked {
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

static void on_reply(void *arg, int err, nng_msg *msg)
{
        struct asked *a = arg;
        struct fetch_reply m;
        struct buf *bytes;
        err = fetch_reply_take(err, msg, a->offset, &m, &bytes);
        if (err == ERR_PROTO)
                log_warn("msg=\"a node that was asked sent an answer that cannot be\" error=\"%s\"", err_text(err));
        metric_add(a->bytes, bytes ? (int64_t)bytes->len : 0);
        a->done(a->arg, err, err ? NULL : &m, bytes);
        buf_unref(&bytes);
        free(a);
}

void upstream_ask(struct peer *p, uint8_t type, const struct fetch *what, unsigned timeout_ms, struct metric *bytes, upstream_done *done,
                  void *arg)
{
        struct asked *a = mem_alloc(sizeof(*a));
        *a = (struct asked){what->offset, bytes, done, arg};
        rpc_call_far(p->rpc, message_new(type, fetch_encode, what), timeout_ms, on_reply, a);
}

/* All owners have what is not at the live edge any more; what is, the first may have a moment before the others. */
static bool is_shared(const struct tier *t, const char *object)
{
        struct key key;
        if (t->by_object)
                return false;
        key_parse(&key, object);
        return key_is_past(&key, clock_wall_us() - UPSTREAM_OLD_US);
}

static struct peer *choose(struct tier *t, const char *by, const char *object, const struct node_set *tried, uint64_t only)
{
        struct peer *route[UPSTREAM_NODES_MAX];
        size_t n = is_shared(t, object) ? peers_route_shared(t->peers, by, t->owners, object, route, UPSTREAM_NODES_MAX)
                                        : peers_route_near(t->peers, by, t->owners, route, UPSTREAM_NODES_MAX);
        for (size_t i = 0; i < n; i++) {
                if (only ? upstream_id(route[i]) == only : !node_set_has(tried, upstream_id(route[i])))
                        return route[i];
        }
        return NULL;
}

static int tier_fetch(struct upstream *u, const char *stream, const struct node_set *tried, uint64_t only,
                      const struct fetch *what, unsigned timeout_ms, uint64_t *node, upstream_done *done, void *arg)
{
        struct tier *t = (struct tier *)u;
        struct peer *p = t->peers ? choose(t, t->by_object ? what->key : stream, what->key, tried, only) : NULL;
        if (!p)
                return ERR_CLOSED;
        bool other_zone = strcmp(p->info.zone, t->self->zone) != 0;
        *node = upstream_id(p);
        upstream_ask(p, MSG_FETCH, what, timeout_ms, &stats_upstream_bytes[other_zone], done, arg);
        return 0;
}

static size_t tier_live(struct upstream *u)
{
        struct tier *t = (struct tier *)u;
        return t->peers ? peers_live(t->peers) : 0;
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

static const struct upstream_ops tier_ops = {.fetch = tier_fetch, .live = tier_live, .nodes = tier_nodes};

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
        t->by_object = role == ROLE_EDGED;
        t->owners = t->by_object ? PEERS_OWNERS_MAX : owners;
        t->changed = changed;
        t->arg = arg;
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
