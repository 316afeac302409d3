#include "edged/upstream.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/cluster/peers.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "edged/stats.h"

struct tier {
        struct upstream base;
        struct peers *peers;
        const struct node_identity *self;
        size_t owners;
        void (*changed)(void *arg);
        void *arg;
};

struct asked {
        uint64_t offset;
        bool other_zone;
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

static uint64_t id_of(const struct peer *p)
{
        return XXH3_64bits(p->address, strlen(p->address)) | 1; /* never 0 */
}

static void on_reply(void *arg, int err, nng_msg *msg)
{
        struct asked *a = arg;
        struct fetch_reply m;
        struct buf *bytes;
        err = fetch_reply_take(err, msg, a->offset, &m, &bytes);
        if (err == ERR_PROTO)
                log_warn("msg=\"the tier above sent an answer that cannot be\" error=\"%s\"", err_text(err));
        metric_add(&stats_upstream_bytes[a->other_zone], bytes ? (int64_t)bytes->len : 0);
        a->done(a->arg, err, err ? NULL : &m, bytes);
        buf_unref(&bytes);
        free(a);
}

static struct peer *choose(struct tier *t, const char *stream, const struct node_set *tried, uint64_t only)
{
        struct peer *route[UPSTREAM_NODES_MAX];
        size_t n = peers_route_near(t->peers, stream, t->owners, route, UPSTREAM_NODES_MAX);
        for (size_t i = 0; i < n; i++) {
                if (only ? id_of(route[i]) == only : !node_set_has(tried, id_of(route[i])))
                        return route[i];
        }
        return NULL;
}

static int tier_fetch(struct upstream *u, const char *stream, const struct node_set *tried, uint64_t only,
                      const struct fetch *what, unsigned timeout_ms, uint64_t *node, upstream_done *done, void *arg)
{
        struct tier *t = (struct tier *)u;
        struct peer *p = t->peers ? choose(t, stream, tried, only) : NULL;
        if (!p)
                return ERR_CLOSED;
        struct asked *a = mem_alloc(sizeof(*a));
        *a = (struct asked){what->offset, strcmp(p->info.zone, t->self->zone) != 0, done, arg};
        *node = id_of(p);
        rpc_call_far(p->rpc, message_new(MSG_FETCH, fetch_encode, what), timeout_ms, on_reply, a);
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
                ids[i] = id_of(all[i]);
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
        t->owners = owners;
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
