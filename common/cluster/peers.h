/* peers.h - the nodes of another tier: found by name, watched by HELLO, chosen by the ring.
 *
 * names is a comma-separated list of host:port. Each name is resolved every PEERS_RESOLVE_MS and every address it has is a
 * peer. An address that DNS no longer gives is forgotten once it is dead. Node ids come from HELLO; the ring holds the ids
 * of all that ever answered and have not been forgotten, so that a dead node keeps its place and only the walk skips it.
 * Zones come from HELLO too: the walk goes through as many as there are (ring.h). Two live nodes with one id are an operator's
 * mistake, which is logged.
 * Loop thread only. */
#ifndef COMMON_CLUSTER_PEERS_H
#define COMMON_CLUSTER_PEERS_H

#include <jansson.h>
#include <stddef.h>
#include <uv.h>

#include "common/cluster/rpc.h"

#define PEERS_RESOLVE_MS 2000
#define PEERS_MAX 512 /* addresses; the rest is left out, told */
#define PEERS_OWNERS_MAX 16

struct peers;

struct peer {
        char address[64]; /* numeric host:port */
        struct rpc_client *rpc;
        struct peer_info info;
};

/* Called after any peer's state changed or a peer was forgotten; peer is NULL in the latter case and no pointer to it
 * may be kept. */
typedef void peers_changed(void *arg, struct peer *peer);

/* expected: a peer of another role is an operator's mistake: logged, never chosen. */
int peers_open(struct peers **out, uv_loop_t *loop, const char *names, enum node_role expected,
               const struct node_identity *self, peers_changed *changed, void *arg);
void peers_close(struct peers *p);

size_t peers_live(const struct peers *p); /* LIVE and DRAINING */

/* Usable peers for key in the ring's order: live ones; draining ones after them. At most max into out; returns how many. */
size_t peers_route(struct peers *p, const char *key, struct peer **out, size_t max);
/* Likewise, but the owners in this node's own zone come first: the first owner_count (at most PEERS_OWNERS_MAX) nodes of the
 * ring's walk, dead ones counted. */
size_t peers_route_near(struct peers *p, const char *key, size_t owner_count, struct peer **out, size_t max);
/* Likewise, for one of a stream's many objects that any owner has: of the owners that come first because they are near, or because there
 * are no zones, each is the first for an even share of the objects, and the same one whoever asks. */
size_t peers_route_shared(struct peers *p, const char *key, size_t owner_count, const char *object, struct peer **out, size_t max);
size_t peers_all(struct peers *p, struct peer **out, size_t max); /* every live or draining one */

/* Every peer of every tier that this process talks to, dead ones too: [{"address", "id", "role", "state", "zone", "rtt_us", "far",
 * "clock_ahead_us", "clock_error_us"}]; id is "" and the numbers are null before its first answer. The caller owns it. */
json_t *peers_json(void);

/* Wire names check for config: host:port[,host:port…]. A config_key.check. */
int peers_check_names(const void *value, char *why, size_t why_cap);

#endif
