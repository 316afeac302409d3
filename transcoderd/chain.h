/* chain.h - what each chunk of a session goes on from, told by hash (struct put, previous).
 *
 * Two transcoders in lock-step make the same chunks. An origin takes a chunk of either behind the one that it was made
 * for, and tells by this whether it is that one. Loop thread only. */
#ifndef TRANSCODERD_CHAIN_H
#define TRANSCODERD_CHAIN_H

#include "transcoderd/pipeline.h"

struct chain {
        uint64_t last[SESSION_TRACKS_MAX]; /* xxh3 of the track's newest chunk; 0: there was none */
};

/* The next chunk of its track was made. Returns the hash of the one that it cannot be decoded without: 0 of a track whose
 * chunks stand for themselves (sound), of the first chunk of all, which begins with a keyframe, and of every segment. */
uint64_t chain_add(struct chain *c, const struct chunk *chunk, enum track_kind kind);

#endif
