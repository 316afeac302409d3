/* listing.h - /api/streams and /api/recordings where some streams are private: each viewer is told of those that his token is for.
 *
 * A page of recordings that has nothing for a viewer still says which is the next one. The ETag is that of what is left: it tells a
 * viewer nothing of what he may not see, and stays as it is when only that changes.
 *
 * All viewers of one private stream have the same path in their tokens, so what was made for one serves the next: each HTTP
 * thread keeps the last LISTING_KEPT answers of each list, so that who goes through the pages pushes nothing out of what all poll.
 * The thread's own, no lock. */
#ifndef EDGED_LISTING_H
#define EDGED_LISTING_H

#include "edged/access.h"
#include "edged/cache.h"
#include "edged/etag.h"
#include "edged/wire/answer.h"

#define LISTING_KEPT 8

struct listing_answer {
        struct answer *response, *same; /* 200; and 304, for who has it. NULL: none */
        unsigned generation;           /* of the rules */
        enum cache_result result;
        struct access_pass pass;
        char key[KEY_MAX + 1]; /* of what it was made of, */
        uint64_t digest;       /* and its version */
        char etag[ETAG_MAX];
};

struct listing {
        struct listing_answers {
                struct listing_answer kept[LISTING_KEPT];
                unsigned next; /* to be replaced */
        } streams, pages;
};

/* The answer for who has pass; body is the whole list, o's. Borrowed until the next call. NULL: nothing is private any more. */
const struct listing_answer *listing_find(struct listing *l, struct access_memory *m, struct object *o, struct buf *body,
                                          enum cache_result result, const struct access_pass *pass);
void listing_close(struct listing *l);

#endif
