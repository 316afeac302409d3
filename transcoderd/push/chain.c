#include "transcoderd/push/chain.h"

#include <assert.h>
#include <xxhash.h>

static bool begins_anew(const struct chunk *chunk, bool shadow)
{
        return chunk->chunk == 0 && (!shadow || chunk->segment % LOCKSTEP_SEGMENTS == 0);
}

uint64_t chain_add(struct chain *c, const struct chunk *chunk, bool shadow)
{
        assert(chunk->track < SESSION_TRACKS_MAX);
        uint64_t before = c->last[chunk->track];
        uint64_t hash = XXH3_64bits(chunk->bytes->data, chunk->bytes->len);
        c->last[chunk->track] = hash ? hash : CHAIN_APART; /* 0 says that there is none */
        if (begins_anew(chunk, shadow))
                return 0;
        return !before && shadow ? CHAIN_APART : before;
}
