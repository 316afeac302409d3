/* rpc_handshakes.h - how many TLS handshakes a port begins to answer: so many of one address, and so many of all. For
 * common/cluster/rpc_gate.c.
 *
 * To answer a ClientHello costs a signature and an exchange of keys, up to a millisecond of a processor that has streams to carry; to
 * send one costs next to nothing. So whoever connects anew again and again is refused before that is done.
 *
 * What all may have is counted apart for addresses from which a node has shown itself within RPC_HANDSHAKES_KNOWN_US: strangers who flood
 * the port keep such a node from nothing when it connects again, and a node that is new here only as long as they go on. Addresses share
 * their counters by a hash with a secret, so that nobody can choose with whom.
 *
 * Pure but for the secret: times are passed in, monotonic. Not thread-safe: under its owner's lock. */
#ifndef COMMON_CLUSTER_RPC_HANDSHAKES_H
#define COMMON_CLUSTER_RPC_HANDSHAKES_H

#include <stdbool.h>
#include <stdint.h>

#define RPC_HANDSHAKES_SLOTS 1024
#define RPC_HANDSHAKES_KNOWN_US (3600 * INT64_C(1000000))

struct rpc_handshake_limits {
        unsigned of_address, of_all;           /* at once */
        int64_t of_address_each_us, of_all_each_us; /* one more after so long */
};

/* clang-format off */
#define RPC_HANDSHAKE_LIMITS {.of_address = 100, .of_all = 250, .of_address_each_us = 10000, .of_all_each_us = 4000}
/* clang-format on */

struct rpc_handshakes {
        struct rpc_handshake_limits limits;
        uint64_t secret;
        int64_t paid_us[2]; /* when what was let through is paid off: of strangers' addresses, and of nodes' */
        int64_t paid_of_us[RPC_HANDSHAKES_SLOTS];
        int64_t known_until_us[RPC_HANDSHAKES_SLOTS]; /* that nodes are at this address; 0: none was */
};

void rpc_handshakes_init(struct rpc_handshakes *h, const struct rpc_handshake_limits *limits);

/* Whether one more may be answered; it is counted then. address: of 16 bytes, as in rpc_callers.h. */
bool rpc_handshakes_may(struct rpc_handshakes *h, const uint8_t address[16], int64_t now_us);
/* A node is there. */
void rpc_handshakes_known(struct rpc_handshakes *h, const uint8_t address[16], int64_t now_us);

#endif
