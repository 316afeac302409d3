/* cluster.h - what a node shows to the other nodes and asks of them, from its configuration: cluster_cert, cluster_key,
 * cluster_ca, cluster_token, insecure.
 *
 *   certificates    TLS, each side shows one of cluster_ca with its role; cluster_token is asked for on top if it is set
 *   token alone     both prove it in HELLO, but what they say can be read and changed on the way
 *   neither         everybody who reaches the port is a node: for one machine's loopback
 *
 * cluster_check and cluster_check_listener are checks of all fields together (config.h), so that -n finds what would keep the
 * daemon from starting.
 * The files are watched, and read again by cluster_reload (SIGHUP); what cannot be used is logged and changes nothing,
 * and is tried again every two seconds.
 *   cluster_open  →  cluster_reload  →  cluster_close    Loop thread. */
#ifndef COMMON_CLUSTER_CLUSTER_H
#define COMMON_CLUSTER_CLUSTER_H

#include <stddef.h>
#include <uv.h>

#include "common/cluster/rpc.h"
#include "common/daemon/config.h"

struct cluster;

/* fields begins with struct config_common. */
int cluster_check(const void *fields, char *why, size_t why_cap);          /* all three files or none, and usable */
int cluster_check_listener(const void *fields, char *why, size_t why_cap); /* and `bind` off loopback needs credentials */

/* Completes self (certs, zone, token); one warning when nodes are not asked who they are or what they say is not encrypted.
 * Ends the process with status 2 when the certificate cannot be used or is not for self. */
struct cluster *cluster_open(uv_loop_t *loop, const struct config_common *config, struct node_identity *self);
void cluster_reload(struct cluster *c);
void cluster_close(struct cluster *c); /* after the sockets; freed by the loop */

#endif
