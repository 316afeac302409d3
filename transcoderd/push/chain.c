#include "transcoderd/push/chain.h"

#include <assert.h>
#include <xxhash.h>

uint64_t chain_add(struct chain *c, const struct chunk *chunk, bool shadow)
{
        assert(chunk->track < SESSION_TRACKS_MAX);
        uint64_t before = c->last[chunk->track];
        uint64_t hash = XXH3_64bits(chunk->bytes->data, chunk->bytes->len);
        c->last[chunk->track] = hash ? hash : CHAIN_APART; /* 0 says that there is none */
        /* A keyframe is decoded without what was before. But of a shadow the encoder may still remember other pictures than the
         * leader's does; only where both begin anew is its chunk as good as the leader's. */
        if (chunk->chunk == 0 && (!shadow || chunk->segment % LOCKSTEP_SEGMENTS == 0))
                return 0;
        return !before && shadow ? CHAIN_APART : before;
}
