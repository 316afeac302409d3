/* fetch.h - the one verb of every tier: bytes of an object from an offset, waiting a bounded time for those to come.
 *
 * key names it: key.h has the table of names.
 * The answer holds what exists beyond offset, at most BODY_MAX bytes; with nothing new the tier waits up to wait_ms. A manifest or a
 * playlist that is not FETCH_IMMUTABLE comes whole, at most FETCH_WHOLE_MAX bytes: it is made anew each time it is asked for, so pieces
 * would be of different versions.
 *
 * MSG_FETCH_OWNED is the same, asked by an edge of another one of its site that the object belongs to (edged/siblings.h): what is not
 * there is asked for above, never of a third edge. `hops` counts tiers, so it is as in the question that made this one necessary. */
#ifndef PROTO_FETCH_H
#define PROTO_FETCH_H

#include "common/buf.h"
#include "proto/message.h"

#define KEY_MAX 255
#define FETCH_WAIT_MAX_MS 10000
#define FETCH_HOPS_MAX 4
#define FETCH_WHOLE_MAX (8u << 20) /* a day's playlist has 3 MiB */

struct fetch {
        char key[KEY_MAX + 1];
        uint64_t offset;
        uint32_t wait_ms;
        uint8_t hops; /* tiers already passed; at FETCH_HOPS_MAX a tier does not ask further */
};
void fetch_encode(struct writer *w, const void *message);
int fetch_decode(struct reader *r, struct fetch *m);

#define FETCH_COMPLETE 0x01  /* offset + len is the end of the object, for ever */
#define FETCH_IMMUTABLE 0x02 /* once complete it never changes: cache for ever (ttl_ms is not looked at) */

struct fetch_reply {
        int8_t status;      /* 0; ERR_NOT_YET: due, but nothing beyond offset within wait_ms, nor before ttl_ms (0: nobody can
                               say), which is told at once when it is longer than wait_ms; ERR_NOT_FOUND: and will not
                               be within ttl_ms; ERR_FULL: overloaded, try another; ERR_LIMIT: it is too far up, or too large, to
                               be had by this way. To a tier that is not to ask further
                               elsewhere, and it cannot be had from here now; ERR_IO: nobody can say */
        uint8_t flags;
        uint32_t ttl_ms;    /* how long this answer may be used, found or not */
        uint64_t offset;    /* as asked */
        char content_type[64]; /* "video/mp4", "application/dash+xml", "application/json" */
        const uint8_t *bytes;
        uint32_t len; /* ≤ BODY_MAX, or FETCH_WHOLE_MAX of all there is of what is not immutable */
};
void fetch_reply_encode(struct writer *w, const void *message);
int fetch_reply_decode(struct reader *r, struct fetch_reply *m);

/* For who asked from `offset`, with what came (msg may be NULL if err is not 0). 0: *m is the answer and *bytes what it
 * carries, without a copy; NULL if nothing, otherwise the caller's to unref. Not 0: err, or ERR_PROTO for what is no answer
 * to that; then *m is zero and *bytes NULL. The message is taken in any case. */
int fetch_reply_take(int err, nng_msg *msg, uint64_t offset, struct fetch_reply *m, struct buf **bytes);

#endif
