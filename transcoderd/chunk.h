/* chunk.h - what the encoders make and the origins store: a chunk of a track, and what a track is announced with.
 *
 * encode/ fills them in, push/ sends them; neither needs anything of the other but this. Values; the bytes are counted. */
#ifndef TRANSCODERD_CHUNK_H
#define TRANSCODERD_CHUNK_H

#include "common/buf.h"
#include "proto/store.h"

struct chunk {
        unsigned track; /* index of the track as announced */
        uint8_t flags;  /* PUT_LAST, PUT_SLATE */
        uint32_t segment;
        uint8_t chunk;
        /* To where the next chunk may begin: the next sample's time if that is known, else the end on the grid; of a writer
         * that leaves, right behind the last sample. */
        int64_t start_us, duration_us;
        int64_t made_wall_us; /* when it was packaged, for the latency metrics */
        uint64_t previous;    /* the chunk it goes on from (struct put); push/chain.h sets it, not the encoders */
        struct buf *bytes;    /* styp and prft (first of a segment), emsg (of what is said in it), moof, mdat */
};

struct track_info {
        unsigned track;
        char name[TRACK_NAME_MAX + 1];
        uint8_t kind; /* enum track_kind */
        struct buf *init; /* ftyp moov */
        uint32_t bandwidth; /* no segment has more, bit/s */
        uint32_t fps_milli;
        int64_t start_us; /* media time from which the track exists; 0 for the tracks a session begins with */
};

#endif
