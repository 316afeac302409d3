#include "transcoderd/chain.h"

#include <assert.h>
#include <xxhash.h>

uint64_t chain_add(struct chain *c, const struct chunk *chunk, enum track_kind kind)
{
        assert(chunk->track < SESSION_TRACKS_MAX);
        uint64_t before = c->last[chunk->track];
        uint64_t hash = XXH3_64bits(chunk->bytes->data, chunk->bytes->len);
        c->last[chunk->track] = hash ? hash : 1; /* 0 says that there is none */
        return kind == TRACK_AUDIO || chunk->chunk == 0 ? 0 : before;
}
