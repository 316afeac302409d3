/* siblings.h - the edges of one site share its objects: whom of them an object belongs to, and one FETCH to that one.
 *
 * Every edge that knows the same siblings knows the same ring, and an object belongs to the first of its key's walk. Who misses an object
 * asks its owner, and only the owner asks the tier above: one chain of FETCHes an object and site. Its bytes are then kept by the
 * owner and by whoever was asked for them; evict.h sees to it that what was asked for once goes first.
 *
 * What is asked of an owner is FETCH_OWNED (proto/README.md): it is answered out of the cache or by a fill from the tier above, never by
 * another sibling. So edges that do not agree on whom an object belongs to ask the tier above twice, and never wait for each other: being
 * asked makes an edge the owner.
 *
 * An owner answers within SIBLINGS_WAIT_MS whether it has something or not, and is asked again at once. So one that does not answer
 * stands still, and is not just waiting for the tier above: it is passed over for the next of the ring, and after SIBLINGS_TRIED_MAX of
 * them the edge that misses the object goes up by itself, as it does at once when the owner could not get it. No two siblings are asked
 * at a time.
 *
 * An owner that has too much to do, as it says itself or shows by not answering, is passed over too: all edges of the site take the same
 * next one, so that the tier above is asked for the object by two of them at most, and not by each. How much such an owner is asked at a
 * time is bounded by breaker.h, as it is of a node above: less and less, and in the end next to nothing until it has answered well.
 *
 * The node itself is on the ring when it is among `names` and answers its own HELLO, as the others see it. Loop thread only. */
#ifndef EDGED_SIBLINGS_H
#define EDGED_SIBLINGS_H

#include "edged/upstream.h"

#define SIBLINGS_WAIT_MS 250 /* of one FETCH_OWNED, at most */
#define SIBLINGS_TRIED_MAX 2

void siblings_register(void); /* its metrics; once */

/* names: host:port[,…] of all edges of the site, this one too. The upstream's fetch() asks the owner of what->key, its `stream` means
 * nothing; ERR_CLOSED: the owner is this node, or there is no other. */
int siblings_open(struct upstream **out, uv_loop_t *loop, const char *names, const struct node_identity *self);
void siblings_close(struct upstream **siblings); /* NULL in it is fine. FETCHes under way end with ERR_CANCELED during the call */

/* Each of them that is there, but this node. */
struct peer;
void siblings_each(struct upstream *siblings, void (*call)(void *arg, struct peer *p), void *arg);

/* Counts what an owner said: 0 or ERR_*. */
void siblings_heard(int status);

#endif
