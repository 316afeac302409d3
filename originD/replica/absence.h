/* absence.h - whether a segment is nowhere: one origin says that it never was, and all others that are up are asked before that is
 * believed. One that has it, that cannot read it, that knows it to be lacking, that cannot tell yet (it starts, or is not so far itself),
 * or that does not answer in time, says no. One that has never heard of the session knows of no such segment, which is no reason to
 * doubt.
 *
 *   absence_ask → done() once, later, or absence_forget() before that
 * Loop thread only; outlives neither the link nor its questions: answers to what is forgotten are dropped as they come. */
#ifndef ORIGIND_ABSENCE_H
#define ORIGIND_ABSENCE_H

#include "originD/replica/peer_link.h"

struct absence;

/* but: the one that said so. NULL: there is nobody else to ask, done() does not come. */
struct absence *absence_ask(struct peer_link *link, const char *but, const struct fetch *segment,
                            void (*done)(void *arg, bool nowhere), void *arg);
void absence_forget(struct absence **a); /* NULL: nothing; after done() there is nothing to forget any more */

#endif
