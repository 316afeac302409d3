/* ahead.h - batches of MEDIA_TOLD that came before those that were told before them: nng's threads may hand messages of one connection
 * over in another order, and nobody is asked to send them again until the next answer. They wait here until it is their turn.
 *
 *   all zero → ahead_keep … → ahead_due until there is none, each followed by ahead_drop → ahead_clear
 * Bounded: what has no room is left out, and sent again after the next answer. Pure. */
#ifndef PROTO_AHEAD_H
#define PROTO_AHEAD_H

#include <stdbool.h>

#include "proto/media.h"

#define AHEAD_BATCHES 16 /* a sixth of a second of beats: for a node that was held up, and gets them all at once */
#define AHEAD_FRAMES 16          /* of one */
#define AHEAD_BYTES (1u << 20)   /* likewise */

struct ahead {
        struct ahead_batch {
                uint64_t first_seq;
                uint16_t count; /* 0: it is free */
                struct frame frames[AHEAD_FRAMES]; /* with references */
        } *batches; /* AHEAD_BATCHES; NULL: none was ever kept */
};

bool ahead_keep(struct ahead *a, const struct media *m); /* false: it has no room */
struct ahead_batch *ahead_due(struct ahead *a, uint64_t next_seq); /* a batch that goes on at next_seq or before; NULL: none */
void ahead_drop(struct ahead_batch *b);
void ahead_clear(struct ahead *a);

#endif
