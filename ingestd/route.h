/* route.h - the transcoders: which of them a stream goes to, told to its relay. Loop thread only. */
#ifndef INGESTD_ROUTE_H
#define INGESTD_ROUTE_H

#include <uv.h>

#include "common/cluster/rpc.h"
#include "ingestd/relay.h"

struct route;

struct route_events {
        void (*live)(void *arg, size_t transcoders);               /* how many there are, after a change */
        void (*gone)(void *arg, const struct rpc_client *client);  /* must not be used any more */
};

/* names is host:port[,…]. Errors are those of peers_open(); *out is then NULL. */
int route_open(struct route **out, uv_loop_t *loop, const char *names, const struct node_identity *self,
               const struct route_events *events, void *arg);
void route_close(struct route *r); /* no relay is left */
size_t route_live(const struct route *r);

extern const struct relay_link route_link; /* its argument is the struct route */

#endif
