/* generations.h - the highest generation that this proxy was given for each stream.
 *
 * OPEN carries that generation, so that a new writer is above the one before, even at an origin that missed everything. It outlives the
 * publication: a broadcaster that comes back finds it. The table keeps the GENERATIONS_MAX streams that were heard of last; a stream that
 * was forgotten, or never known, has generation 0. Loop thread only. */
#ifndef INGESTD_GENERATIONS_H
#define INGESTD_GENERATIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/message.h"

#define GENERATIONS_MAX 2048

struct generations {
        struct {
                char stream[STREAM_ID_MAX + 1];
                uint32_t generation;
                uint64_t used;
        } known[GENERATIONS_MAX];
        unsigned count;
        uint64_t uses;
};

/* Notes what `node`, a transcoder, was given. false: there cannot be such a one (proto/generation.h): it is counted and told, and whoever
 * asks goes by it no more than this does. */
bool generations_note(struct generations *g, const char *stream, const char *node, uint32_t generation);
uint32_t generations_get(const struct generations *g, const char *stream);

#endif
