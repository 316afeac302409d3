/* put.h - PUT from the transcoders (proto/store.h): judged, held while what comes before it is copied from another origin
 * (catch_up.h) and while it is another writer's turn (shadow_turns.h), appended, answered. Loop thread only. */
#ifndef ORIGIND_PUT_H
#define ORIGIND_PUT_H

#include "originD/claim.h"

void put_handle(struct claims *cl, struct rpc_request *req);
void put_refuse(struct rpc_request *req, int status);

#endif
