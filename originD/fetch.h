/* fetch.h - FETCH by nng: from the edges, the lower tiers, other origins. A handler of an rpc server; loop thread. */
#ifndef ORIGIND_FETCH_H
#define ORIGIND_FETCH_H

#include "common/cluster/rpc.h"
#include "originD/serve.h"

void fetch_handle(void *serve, struct rpc_request *req); /* rpc_handler */

#endif
