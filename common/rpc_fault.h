/* rpc_fault.h - what can be wrong with another node, counted in freshet_peer_errors_total{reason=...}. For common/rpc_*.c.
 * Any thread. */
#ifndef COMMON_RPC_FAULT_H
#define COMMON_RPC_FAULT_H

#define RPC_FAULT_MAP(X)                                                                                               \
        X(MALFORMED, "malformed") /* a message that does not decode */                                                 \
        X(VERSION, "version")     /* HELLO of another protocol version */                                              \
        X(TOKEN, "token")         /* HELLO without proof of the cluster's token */                                     \
        X(NO_HELLO, "no_hello")   /* gone, or asking for something, without having said HELLO */                       \
        X(LIMIT, "limit")         /* too many connections, or requests that wait */                                    \
        X(REFUSED, "refused")     /* the other side will not talk to us */

enum rpc_fault {
#define X(name, text) RPC_FAULT_##name,
        RPC_FAULT_MAP(X)
#undef X
};

void rpc_fault_register(void);
void rpc_fault_count(enum rpc_fault fault);

#endif
