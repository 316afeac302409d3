/* rpc_callers.h - how many connections each address has, and how many of them are strangers'. For common/cluster/rpc_gate.c.
 *
 * An address is an IPv4 one, or the /64 of an IPv6 one, which one machine or one person has. A row lives as long as a connection of
 * its address does, so there are no more rows than connections. Not thread-safe: under its owner's lock. */
#ifndef COMMON_CLUSTER_RPC_CALLERS_H
#define COMMON_CLUSTER_RPC_CALLERS_H

#include <stdint.h>
#include <sys/socket.h>

#define CALLER_BUCKETS 256

struct caller {
        struct caller *next;
        uint8_t address[16];
        unsigned connections, strangers;
};
struct callers { /* all zero at first */
        struct caller *rows[CALLER_BUCKETS];
};

/* The row of this address, with one connection more. */
struct caller *callers_add(struct callers *c, const struct sockaddr_storage *peer);
/* One connection less; frees the row with its last. */
void callers_remove(struct callers *c, struct caller *row);

#endif
