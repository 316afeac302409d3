/* upstream.h - the tier above: which node to ask for a key, and one FETCH to it.
 *
 * An ops struct, so that fill.c is tested without sockets: upstream_open() gives the real one (peers, ring, nng).
 * Loop thread only. */
#ifndef EDGED_UPSTREAM_H
#define EDGED_UPSTREAM_H

#include <stdbool.h>
#include <uv.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/cluster/rpc.h"
#include "common/daemon/metrics.h"
#include "edged/breaker.h"
#include "proto/fetch.h"

#define UPSTREAM_NODES_MAX 64
#define UPSTREAM_BELOW_US (10 * US_PER_S)
#define UPSTREAM_OLD_US (60 * US_PER_S) /* a segment that is older is asked of all owners in equal parts */
#define UPSTREAM_UNDER_WAY_MAX 4096 /* FETCHes at one node, while it keeps up (breaker.h) */

/* Nodes already asked in this round, by a hash of their address. */
struct node_set {
        unsigned count;
        uint64_t ids[UPSTREAM_NODES_MAX];
};
void node_set_add(struct node_set *s, uint64_t id);
bool node_set_has(const struct node_set *s, uint64_t id);

/* err 0: reply is what the node said and bytes holds reply->bytes (NULL when there are none; ref it to keep it). Otherwise
 * ERR_TIMEOUT, ERR_CLOSED, ERR_FULL, ERR_CANCELED, ERR_PROTO and both are NULL. */
typedef void upstream_done(void *arg, int err, const struct fetch_reply *reply, struct buf *bytes);

struct upstream {
        const struct upstream_ops *ops;
        bool of_edges; /* they may ask further, and whom is not known here */
};

struct upstream_ops {
        /* timeout_ms: of one that is near (rpc_call_far). Asks the first usable node in `stream`'s order that is not in `tried` (only !=
         * 0: just that node); of edges, that have every stream, in the order of what->key; of origins the first owner has what is new,
         * and each of them its share of what is old. Its id goes to *node. 0: done() will be called, later; ERR_CLOSED: there is none to
         * ask; ERR_FULL: there is, but it has too much to do already (breaker.h). */
        int (*fetch)(struct upstream *u, const char *stream, const struct node_set *tried, uint64_t only,
                     const struct fetch *what, unsigned timeout_ms, uint64_t *node, upstream_done *done, void *arg);
        size_t (*live)(struct upstream *u);
        /* A node that asks here stands below this one, so it is not asked as one that stands above: each would wait for the other. Told
         * again and again; forgotten UPSTREAM_BELOW_US after the last time. NULL: the tier above never asks here. */
        void (*asks_here)(struct upstream *u, const char *node_id);
        /* The ids of those that are live or draining, at most max; returns how many. */
        size_t (*nodes)(struct upstream *u, uint64_t *ids, size_t max);
};

/* names: host:port[,…]; role: what they must be; owners: how many of them have each stream, and are asked first where they are
 * in this node's zone: of edges that is any of them. Those are asked by object, each object of the same one by all that ask here, which
 * is the one that owns it among its siblings too (siblings.h; the ring's walk through the zones comes to the same one). changed is called
 * whenever the number of live nodes may be another. */
int upstream_open(struct upstream **out, uv_loop_t *loop, const char *names, enum node_role role, size_t owners,
                  const struct node_identity *self, void (*changed)(void *arg), void *arg);
void upstream_close(struct upstream *u); /* fetches under way end with ERR_CANCELED during the call */

/* For who chooses among peers by himself. type: MSG_FETCH or MSG_FETCH_OWNED; bytes: where those that come are counted; NULL: nowhere.
 * done() is called, later. */
struct peer;
uint64_t upstream_id(const struct peer *p); /* never 0 */
enum breaker_heard upstream_said(int err, const struct fetch_reply *m); /* what an answer tells of how much its node has to do */
void upstream_ask(struct peer *p, uint8_t type, const struct fetch *what, unsigned timeout_ms, struct metric *bytes, upstream_done *done,
                  void *arg);

#endif
