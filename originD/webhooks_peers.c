#include "originD/webhooks_impl.h"

#include <string.h>

#include "common/cluster/ring.h"

void webhooks_peers_changed(struct webhooks *w)
{
        struct peer_node up[PEERS_UP_MAX];
        size_t n = w->link ? w->link->ops->up(w->link, up) : 0;
        ring_free(w->ring);
        w->ring = ring_new();
        ring_add(w->ring, w->options.self, "", w); /* zones do not change who is the first */
        for (size_t i = 0; i < n; i++)
                ring_add(w->ring, up[i].id, "", &w->partners[0]);
}

bool webhooks_is_first(const struct webhooks *w, const char *stream)
{
        void *node = NULL;
        ring_walk(w->ring, stream, NULL, &node, 1);
        return node == w;
}

static void peer_told(void *arg, int err, const struct fetch_reply *reply, struct buf *bytes)
{
        struct partner *p = arg;
        struct webhooks *w = p->w;
        p->asking = false;
        if (err || reply->status || !bytes || w->stopping)
                return;
        json_t *j = json_loadb((const char *)bytes->data, bytes->len, JSON_REJECT_DUPLICATES, NULL);
        webhooks_read_settled(w, json_object_get(j, "settled"));
        json_decref(j);
        for (struct delivery *d = w->first, *next; d; d = next) {
                next = d->next;
                if (!d->request && webhooks_is_settled(w, d->event.id, d->hook))
                        webhooks_remove(w, d);
        }
}

static struct partner *partner_of(struct webhooks *w, const char *id, int64_t now_us)
{
        struct partner *p = NULL;
        for (size_t i = 0; i < PEERS_UP_MAX; i++) {
                struct partner *x = &w->partners[i];
                if (strcmp(x->id, id) == 0)
                        return x;
                if (!x->asking && (!p || x->asked_us < p->asked_us))
                        p = x;
        }
        if (p) {
                *p = (struct partner){.asked_us = now_us - WEBHOOKS_POLL_US, .w = w};
                strcpy(p->id, id);
        }
        return p;
}

void webhooks_ask_peers(struct webhooks *w, int64_t now_us)
{
        struct peer_node up[PEERS_UP_MAX];
        size_t n = w->link ? w->link->ops->up(w->link, up) : 0;
        for (size_t i = 0; i < n; i++) {
                struct partner *p = partner_of(w, up[i].id, now_us);
                struct fetch what = {.key = "/peer/events"};
                if (!p || p->asking || now_us - p->asked_us < WEBHOOKS_POLL_US)
                        continue;
                p->asked_us = now_us;
                p->asking = w->link->ops->fetch(w->link, up[i].id, &what, peer_told, p) == 0;
        }
}
