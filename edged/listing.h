/* listing.h - /api/streams where some streams are private: each viewer is told of those that his token is for.
 *
 * All viewers of one private stream have the same path in their tokens, so what was made for one serves the next: each HTTP
 * thread keeps the last LISTING_KEPT answers. The thread's own, no lock. */
#ifndef EDGED_LISTING_H
#define EDGED_LISTING_H

#include <microhttpd.h>

#include "edged/access.h"
#include "edged/cache.h"

#define LISTING_KEPT 8

struct listing_answer {
        struct MHD_Response *response; /* NULL: none */
        unsigned generation;           /* of the rules */
        enum cache_result result;
        struct access_pass pass;
        char etag[ETAG_MAX]; /* of the whole list */
};

struct listing {
        struct listing_answer kept[LISTING_KEPT];
        unsigned next; /* to be replaced */
};

/* The answer for who has pass; body is the whole list, o's. Borrowed until the next call. */
struct MHD_Response *listing_response(struct listing *l, struct access_memory *m, struct object *o, struct buf *body,
                                      enum cache_result result, const struct access_pass *pass);
void listing_close(struct listing *l);

#endif
