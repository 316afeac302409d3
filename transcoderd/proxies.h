/* proxies.h - what the proxies say, OPEN, MEDIA and CLOSE, and what follows from it.
 *
 * An OPEN is answered at once when its session is there, and when it begins one, as soon as that has its claim and its pipeline
 * (session.c); otherwise it is refused, or waits (opens.h). MEDIA is answered as soon as the pipeline has its frames: next_seq
 * says which it took, stored_us which ones may be forgotten. Nothing below knows of this. Loop thread only. */
#ifndef TRANSCODERD_PROXIES_H
#define TRANSCODERD_PROXIES_H

#include <stdint.h>

#include "common/cluster/rpc.h"

void proxies_handle(void *sessions, struct rpc_request *req);                       /* an rpc_handler */
void proxies_again(void *sessions, struct rpc_request *open, int64_t until_us); /* opens.again */

#endif
