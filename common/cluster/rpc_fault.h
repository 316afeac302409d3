/* rpc_fault.h - what can be wrong with another node, counted in freshet_peer_errors_total{reason=...}. For common/cluster/rpc_*.c.
 * Any thread. */
#ifndef COMMON_CLUSTER_RPC_FAULT_H
#define COMMON_CLUSTER_RPC_FAULT_H

#define RPC_FAULT_MAP(X)                                                                                               \
        X(MALFORMED, "malformed") /* a message that does not decode */                                                 \
        X(VERSION, "version")     /* HELLO of another protocol version */                                              \
        X(TOKEN, "token")         /* HELLO without proof of the cluster's token for this connection */                                  \
        X(NO_HELLO, "no_hello")   /* gone, or asking for something, without having said HELLO */                       \
        X(LATE, "hello_late")     /* no HELLO that was accepted within STRANGER_MS */                                  \
        X(BYTES, "hello_bytes")   /* too many bytes or messages, or too long a message, before one */                  \
        X(TOO_LONG, "too_long")   /* a message longer than any its role may send, or an answer than there is */        \
        X(UNDER_WAY, "under_way") /* so many bytes of messages on their way that the slowest was given up */           \
        X(UNREAD, "unread")       /* so many bytes of answers waited that the one who did not read was given up */     \
        X(STRANGERS, "strangers") /* too many connections that have not shown who they are: the oldest went */         \
        X(TLS, "tls")             /* a handshake that failed: no certificate, another CA, expired, no TLS at all */    \
        X(HANDSHAKES, "handshakes") /* more handshakes than its address may have answered, or all together */           \
        X(IDENTITY, "identity")   /* HELLO says another role or id than the certificate */                             \
        X(ROLE, "role")           /* a role that has nothing to ask here */                                            \
        X(NOT_ALLOWED, "not_allowed") /* a request that this role may not make: proto/may.h */                         \
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
