/* by_start.h - sessions of the store in the order in which they started, the newest first: every one, which lists of recordings are read
 * from, page by page, and the live ones, which another origin reads likewise.
 *
 * A session's place is its epoch, in the milliseconds that lists tell, and of those that started together its id. Both are the same at
 * all its owners and never change: so a page that ends at a place goes on there whatever came or went since, at any origin. (When a
 * recording ended each origin says by its own clock.)
 *
 * An array, since a place has to be found whether the session is still there or not. What moves in it is what is newer or older than
 * who comes or goes, whichever it is: with 100,000 recordings some 30 µs, and nothing where a start adds the next older one.
 * Loop thread only. */
#ifndef ORIGIND_BY_START_H
#define ORIGIND_BY_START_H

#include <stddef.h>
#include <stdint.h>

struct session;

struct by_start {
        struct session **at;
        size_t count, cap;
};

void by_start_add(struct by_start *l, struct session *s);
void by_start_remove(struct by_start *l, const struct session *s); /* which is in it */

/* The index of the first one that started before the place: epoch_ms and id, which nobody need have. count: there is none. "" is before
 * every id. */
size_t by_start_before(const struct by_start *l, int64_t epoch_ms, const char *id);

void by_start_fini(struct by_start *l);

#endif
