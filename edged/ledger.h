/* ledger.h - how many bytes the cache has, and who keeps those that it would give up.
 *
 *   held     ledger_hold(): bytes come in, and count from now on, whoever has a reference of them
 *   left     ledger_leave(): nobody can find them any more (their object was evicted or failed, or pieces were joined to one body). Only
 *            who reads them already keeps them: they are pinned
 *   cut      ledger_cut(): more is pinned than may be. Those who read what left first lose it: ledger_is_cut() tells, and their
 *            connections are to be closed
 *   (gone)   with the last reference, by any thread
 *
 * So what a slow reader keeps is counted to its last byte, and no more of it than a share can be kept for longer than the closing of a
 * connection takes. What is cut counts until it is gone.
 *
 * Sums are atomics. The mutex guards the list of what has left, is taken for that and for nothing that is still to be found. */
#ifndef EDGED_LEDGER_H
#define EDGED_LEDGER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

#define LEDGER_EACH 256 /* bytes of ours that a piece costs at most, beside itself */

struct held;

struct ledger {
        atomic_size_t bytes;  /* all */
        atomic_size_t pinned; /* of them, those that have left */
        atomic_size_t cut;    /* of those, those that are cut */
        pthread_mutex_t lock;
        struct held *first, *last; /* have left and are not cut, in the order in which they left */
};

void ledger_open(struct ledger *l);
void ledger_close(struct ledger *l); /* everything that was held is gone */

/* What is no held bytes: structs, answers. Any thread. */
void ledger_add(struct ledger *l, size_t bytes);
void ledger_sub(struct ledger *l, size_t bytes);

/* The same bytes with a reference for the caller, counted. Takes a reference of its own of `bytes`, and costs a few of its own. */
struct buf *ledger_hold(struct ledger *l, struct buf *bytes);
/* All parts in one (no part: no bytes), counted. What is worth it lies in pages (pages.h): the kernel can be given those, and a cache
 * that lives for long and gives back in any order would leave a heap full of holes, as would messages that came by nng's thirteen
 * threads, each from a heap of its own (measured, 64 MiB of objects of 30 to 630 KB: 102 MB resident, with pages of their own 83). */
struct buf *ledger_join(struct ledger *l, struct buf *const *parts, unsigned count);
/* What b counts, as it was: the bytes that pages_find() may know. Others are their own. Borrowed. */
const struct buf *ledger_inner(const struct buf *b);
/* b came from ledger_hold() or ledger_join(). Once; the caller has a reference. */
void ledger_leave(struct buf *b);
/* Cuts until no more than `most` are pinned and not cut. Returns whether there are new ones. */
bool ledger_cut(struct ledger *l, size_t most);
bool ledger_is_cut(const struct buf *b); /* any bytes, NULL too. Any thread that has a reference */

#endif
