/* transcoder_link.h - how relays find transcoders and talk to them; transcoders.c has the one over nng, tests their own. */
#ifndef INGESTD_TRANSCODER_LINK_H
#define INGESTD_TRANSCODER_LINK_H

#include <stdbool.h>

#include "common/cluster/rpc.h"

#define TRANSCODER_CANDIDATES 16 /* transcoders that are tried before waiting */

struct transcoder_candidate {
        char address[64];
        struct rpc_client *rpc;
        bool draining; /* it wants to leave: those that do not are before it */
};

struct transcoder_link {
        /* Transcoders for the stream, best first; at most max. Returns how many. */
        size_t (*walk)(void *arg, const char *stream, struct transcoder_candidate *out, size_t max);
        /* timeout_ms: of one that is near (rpc_call_far). */
        struct rpc_call *(*call)(struct rpc_client *c, nng_msg *request, unsigned timeout_ms, rpc_done *done,
                                 void *arg);
        /* MEDIA that wants no answer may be sent there; and sends it, unless false, when msg stays the caller's. NULL: to nobody. */
        bool (*can_be_told)(const struct rpc_client *c);
        bool (*tell)(struct rpc_client *c, nng_msg *msg);
        void (*cancel)(struct rpc_call *call);
        void (*drop)(struct rpc_client *c, const char *why); /* it sent what makes no sense */
        struct clock_ahead (*clock)(const struct rpc_client *c);
};

#endif
