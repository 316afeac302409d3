#include "originD/replica/peer_link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cluster/peers.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"

#define ANSWER_MS 2000 /* beyond the wait that was asked for */

struct link {
        struct peer_link base;
        struct peers *peers;
        const struct node_identity *self;
        void (*changed)(void *arg);
        void *arg;
};

struct asked {
        uint64_t offset;
        peer_fetched *done;
        void *arg;
};

static void on_reply(void *arg, int err, nng_msg *msg)
{
        struct asked *a = arg;
        struct fetch_reply m;
        struct buf *bytes;
        err = fetch_reply_take(err, msg, a->offset, &m, &bytes);
        if (err == ERR_PROTO)
                log_warn("msg=\"another origin sent an answer that cannot be\"");
        a->done(a->arg, err, err ? NULL : &m, bytes);
        buf_unref(&bytes);
        free(a);
}

/* One entry a node, however many addresses lead to it; the order does not matter. */
static size_t others(struct link *l, struct peer *out[PEERS_UP_MAX])
{
        struct peer *all[PEERS_UP_MAX + 1];
        size_t n = l->peers ? peers_route(l->peers, "", all, PEERS_UP_MAX + 1) : 0, kept = 0;
        for (size_t i = 0; i < n && kept < PEERS_UP_MAX; i++)
                if (strcmp(all[i]->info.id, l->self->id) != 0)
                        out[kept++] = all[i];
        return kept;
}

static size_t link_up(struct peer_link *base, struct peer_node out[PEERS_UP_MAX])
{
        struct peer *found[PEERS_UP_MAX];
        size_t n = others((struct link *)base, found);
        for (size_t i = 0; i < n; i++) {
                snprintf(out[i].id, sizeof(out[i].id), "%s", found[i]->info.id);
                out[i].incarnation_us = found[i]->info.incarnation_us;
                out[i].can = found[i]->info.can;
                snprintf(out[i].zone, sizeof(out[i].zone), "%s", found[i]->info.zone);
        }
        return n;
}

static int link_fetch(struct peer_link *base, const char *id, const struct fetch *what, peer_fetched *done, void *arg)
{
        struct peer *found[PEERS_UP_MAX];
        size_t n = others((struct link *)base, found);
        for (size_t i = 0; i < n; i++) {
                if (strcmp(found[i]->info.id, id) != 0)
                        continue;
                struct asked *a = mem_alloc(sizeof(*a));
                *a = (struct asked){what->offset, done, arg};
                rpc_call(found[i]->rpc, message_new(MSG_FETCH, fetch_encode, what), what->wait_ms + ANSWER_MS, on_reply, a);
                return 0;
        }
        return ERR_CLOSED;
}

static const struct peer_link_ops link_ops = {.up = link_up, .fetch = link_fetch};

static void on_peers_changed(void *arg, struct peer *peer)
{
        struct link *l = arg;
        (void)peer;
        l->changed(l->arg);
}

int peer_link_open(struct peer_link **out, uv_loop_t *loop, const char *names, const struct node_identity *self,
                   void (*changed)(void *arg), void *arg)
{
        struct link *l = mem_alloc(sizeof(*l));
        *l = (struct link){.base.ops = &link_ops, .self = self, .changed = changed, .arg = arg};
        int rc = peers_open(&l->peers, loop, names, ROLE_ORIGIND, self, on_peers_changed, l);
        if (rc) {
                free(l);
                return rc;
        }
        *out = &l->base;
        return 0;
}

void peer_link_close(struct peer_link *base)
{
        struct link *l = (struct link *)base;
        struct peers *peers = l->peers;
        l->peers = NULL; /* what ends now finds nobody to ask next */
        peers_close(peers);
        free(l);
}
