/* ring.h - consistent hashing: which node serves a key, and which is next when that one is gone.
 *
 * A pure function of the set of node ids: every proxy, transcoder and edge that knows the same ids walks the same way.
 * Each id stands at RING_POINTS places of a 64-bit circle (xxh3 of "id#i"); a key belongs to the first place clockwise
 * of its own hash. Adding a node to n moves about 1/(n+1) of the keys, all of them to the new node.
 * Not thread-safe. */
#ifndef COMMON_RING_H
#define COMMON_RING_H

#include <stddef.h>

#define RING_POINTS 160

struct ring;

struct ring *ring_new(void);
void ring_free(struct ring *r); /* NULL is fine */
void ring_add(struct ring *r, const char *id, void *node); /* id is copied; one that is there already gets the new node */
void ring_remove(struct ring *r, const char *id);
size_t ring_count(const struct ring *r);

/* The distinct nodes in walking order from key, at most max of them, into out. Returns how many. */
size_t ring_walk(const struct ring *r, const char *key, void **out, size_t max);

#endif
