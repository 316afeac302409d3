/* chain.h - what each chunk of a session goes on from, told by hash (struct put, previous).
 *
 * Two transcoders in lock-step make the same chunks. An origin takes a chunk of either behind the one that it was made
 * for, and tells by this whether it is that one. Loop thread only. */
#ifndef TRANSCODERD_PUSH_CHAIN_H
#define TRANSCODERD_PUSH_CHAIN_H

#include "transcoderd/chunk.h"

/* How often encoders begin anew in lock-step: so long may it take a transcoder that came later to be of use. 4 s cost
 * 5 % of CPU and 0.05 dB. */
#define LOCKSTEP_SEGMENTS 4
#define CHAIN_APART 1 /* the hash of no chunk */

struct chain {
        uint64_t last[SESSION_TRACKS_MAX]; /* xxh3 of the track's newest chunk; 0: there was none */
};

/* The next chunk of its track was made. Returns the hash of the one that it goes on from: 0 where a keyframe begins, which
 * is the first chunk of all and that of every segment. (Sound needs none before it; there it tells an origin whether
 * the two writers make the same.) A shadow has to be in lock-step first: only from the next segment at which encoders begin
 * anew are its chunks the leader's, byte by byte, and all owners store the same whichever they take. */
uint64_t chain_add(struct chain *c, const struct chunk *chunk, bool shadow);

#endif
