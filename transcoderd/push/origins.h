/* origins.h - how the origins are found and reached: the seam between what is told to them and the network.
 *
 * An origin is remembered by its node id and looked up again for every call: what find() gave is good until control
 * returns to the loop, because a peer may be forgotten at any time. Loop thread only. */
#ifndef TRANSCODERD_PUSH_ORIGINS_H
#define TRANSCODERD_PUSH_ORIGINS_H

#include <stdbool.h>

#include "common/cluster/peers.h"
#include "common/cluster/rpc.h"
#include "proto/message.h"

struct origin {
        char id[NODE_ID_MAX + 1];
        int64_t incarnation_us;
        uint16_t can; /* enum node_can */
        struct rpc_client *rpc;
};

struct origin_link {
        /* Origins that are up, in the ring's order for the stream; at most max. Returns how many. */
        size_t (*route)(void *arg, const char *stream, struct origin *out, size_t max);
        bool (*find)(void *arg, const char *id, struct origin *out); /* false: it is not up */
        struct rpc_call *(*call)(struct rpc_client *c, nng_msg *request, unsigned timeout_ms, rpc_done *done, void *arg);
        void (*drop)(struct rpc_client *c, const char *why); /* it sent what makes no sense */
};

struct origins {
        const struct origin_link *link;
        void *arg;
};

extern const struct origin_link origins_over_peers; /* arg: a struct peers * */

/* False: it is not up, and done() will not come. Otherwise the message is sent. timeout_ms is for one that is near:
 * rpc_call_far(). */
bool origins_call(const struct origins *o, const char *id, nng_msg *request, unsigned timeout_ms, rpc_done *done, void *arg);
void origins_drop(const struct origins *o, const char *id, const char *why);

#endif
