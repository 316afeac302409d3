/* may.h - which role may ask which message of which: the one table. What is not in it is not allowed.
 *
 * common/cluster/rpc_server.c asks here before a request reaches a handler, with the role that the asking node showed (HELLO, and its
 * certificate where there are some). HELLO itself anybody may say. Pure; any thread. */
#ifndef PROTO_MAY_H
#define PROTO_MAY_H

#include <stdbool.h>

#include "common/bytes.h"
#include "common/cluster/rpc.h"

/* body: what follows the type byte; FETCH is judged by its key too. A body that does not decode is the handler's business:
 * it is judged like one of the ordinary kind. */
bool may_ask(enum node_role who, enum node_role whom, uint8_t type, const struct reader *body);

/* Whether there is anything that who may ask of whom. */
bool may_connect(enum node_role who, enum node_role whom);

/* The longest message that who may send to whom, with all that nng puts around it: HELLO's, where it may send nothing else. */
size_t may_message_max(enum node_role who, enum node_role whom);

/* "OPEN"; "an unknown message" for what is no request. */
const char *may_message_name(uint8_t type);

#endif
