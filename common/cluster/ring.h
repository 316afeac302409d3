/* ring.h - consistent hashing: which node serves a key, and which is next when that one is gone.
 *
 * A pure function of the set of node ids and their zones: every proxy, transcoder and edge that knows the same ones walks the
 * same way. Each id stands at RING_POINTS places of a 64-bit circle (xxh3 of "id#i"); a key belongs to the first place
 * clockwise of its own hash. Adding a node to n moves about 1/(n+1) of the keys, all of them to the new node.
 *
 * A zone is what fails together: a rack, a building, a provider's availability zone; "" is one too. The first node of a walk
 * is the circle's. The next is the first on the circle whose zone the walk has not met, until all zones have been met; then all
 * count as not met again. So the first R nodes of a walk are in as many zones as there are, and where no node has a zone
 * the walk is the circle's order.
 * Not thread-safe. */
#ifndef COMMON_CLUSTER_RING_H
#define COMMON_CLUSTER_RING_H

#include <stdbool.h>
#include <stddef.h>

#define RING_POINTS 160

struct ring;

struct ring *ring_new(void);
void ring_free(struct ring *r); /* NULL is fine */
/* id and zone are copied; an id that is there already gets the new zone and node. */
void ring_add(struct ring *r, const char *id, const char *zone, void *node);
void ring_remove(struct ring *r, const char *id);
size_t ring_count(const struct ring *r);

/* The nodes in walking order from key, each once, at most max of them, into out. Returns how many. A node that is not wanted
 * is left out as if it were not on the ring; wanted NULL: all are. */
size_t ring_walk(const struct ring *r, const char *key, bool (*wanted)(const void *node), void **out, size_t max);

#endif
