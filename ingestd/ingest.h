/* ingest.h - what the publications of a daemon share: the limits, the way to the transcoders, and who publishes what.
 *
 * A publication is in the list from publication_begin() until its relays have said CLOSE, which is a little after
 * publication_end(). Of those with one name at most one is live as primary and one as backup; the next one in its place
 * opens when the one before is gone, so that a transcoder sees CLOSE before OPEN. Loop thread only. */
#ifndef INGESTD_INGEST_H
#define INGESTD_INGEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "ingestd/budget.h"
#include "ingestd/publication.h"
#include "ingestd/relay_pair.h"

/* Read at each use, so that a reload takes effect. */
struct ingest_limits {
        int64_t max_publishers;
        int64_t replay_bytes;   /* a publication */
        int64_t replay_total_bytes; /* all of them */
        int64_t track_wait_ms;  /* for the second track, once there is one */
        json_t *redundancy;     /* ingestd/redundancy.h; NULL: none */
};

struct ingest {
        const struct ingest_limits *limits;
        struct relays relays;
        struct publication *first; /* all of them, newest first */
        unsigned count;            /* of them */
        unsigned live;
        struct budget replays; /* what their replay buffers keep; of replay_total_bytes */
        void (*emptied)(void *arg); /* count became 0; may be NULL */
        void *arg;
        int64_t (*wall_us)(void); /* clock_wall_us(), or a test's */
        int64_t (*mono_us)(void);
};

void ingest_poke(struct ingest *in);                               /* transcoders changed */
void ingest_lose(struct ingest *in, const struct rpc_client *gone); /* this one must not be used any more */

/* Lets all that publish this stream go. Returns how many did. */
unsigned ingest_kick(struct ingest *in, const char *stream, const char *why);

/* For publication.c. */
void ingest_add(struct ingest *in, struct publication *p);
void ingest_remove(struct ingest *in, struct publication *p);

/* For ingest.c: what publication.c keeps in the list. */
struct publication_link {
        struct publication *next, **link;
};
struct publication_link *publication_link(struct publication *p);
struct relay_pair *publication_relays(struct publication *p);
void publication_poke(struct publication *p); /* another one of its name may be gone */

#endif
