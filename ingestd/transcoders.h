/* transcoders.h - the transcoders: which of them a stream goes to, told to its relay. Loop thread only. */
#ifndef INGESTD_TRANSCODERS_H
#define INGESTD_TRANSCODERS_H

#include <uv.h>

#include "common/cluster/rpc.h"
#include "ingestd/transcoder_link.h"

struct transcoders;

struct transcoders_events {
        void (*live)(void *arg, size_t transcoders);               /* how many there are, after a change */
        void (*gone)(void *arg, const struct rpc_client *client);  /* the client must not be used any more */
};

/* names is host:port[,…]. Errors are those of peers_open(); *out is then NULL. */
int transcoders_open(struct transcoders **out, uv_loop_t *loop, const char *names, const struct node_identity *self,
                     const struct transcoders_events *events, void *arg);
void transcoders_close(struct transcoders *r); /* no relay is left */
size_t transcoders_live(const struct transcoders *r);

extern const struct transcoder_link transcoders_link; /* its argument is the struct transcoders */

#endif
