/* peer_link.h - the other origins: which are up, and one FETCH to one of them.
 *
 * An ops struct, so that catching up is tested without sockets: peer_link_open() gives the real one (common/cluster/peers.h,
 * nng). This node itself may be among the names and is never listed. Loop thread only. */
#ifndef ORIGIND_PEER_LINK_H
#define ORIGIND_PEER_LINK_H

#include <uv.h>

#include "common/buf.h"
#include "common/cluster/rpc.h"
#include "proto/fetch.h"

#define PEERS_UP_MAX 16

struct peer_node {
        char id[NODE_ID_MAX + 1];
        int64_t incarnation_us;
        uint16_t can; /* enum node_can */
        char zone[ZONE_MAX + 1];
};

/* err 0: reply is what the other said and bytes holds reply->bytes (NULL when there are none; ref it to keep it). Otherwise
 * ERR_TIMEOUT, ERR_CLOSED, ERR_FULL, ERR_CANCELED, ERR_PROTO and both are NULL. */
typedef void peer_fetched(void *arg, int err, const struct fetch_reply *reply, struct buf *bytes);

struct peer_link {
        const struct peer_link_ops *ops;
};

struct peer_link_ops {
        size_t (*up)(struct peer_link *l, struct peer_node out[PEERS_UP_MAX]);
        /* 0: done() will be called, later; ERR_CLOSED: it is not up. */
        int (*fetch)(struct peer_link *l, const char *id, const struct fetch *what, peer_fetched *done, void *arg);
};

/* names: FETCH addresses, host:port[,…]. changed is called whenever another set of nodes may be up. */
int peer_link_open(struct peer_link **out, uv_loop_t *loop, const char *names, const struct node_identity *self,
                   void (*changed)(void *arg), void *arg);
void peer_link_close(struct peer_link *l); /* FETCHes under way end with ERR_CANCELED during the call */

#endif
