/* cues.h - what is said beside the picture (common/cue.h) on its way from a source's pictures to a rung's chunks, or from its sound.
 *
 *   cues_add    each picture of the source that the rung could show, whether the rung shows it or not
 *   cues_hear   each frame of sound, as it was coded
 *   cues_give   the picture that the rung encodes next takes along what waits, as boxes for the chunk that it will be in
 * So each rung says all of it, and a writer that goes on says what belongs to its pictures and to no other's. Bounded: what has no
 * room is counted. Pure; one thread. */
#ifndef TRANSCODERD_ENCODE_CUES_H
#define TRANSCODERD_ENCODE_CUES_H

#include <libavutil/frame.h>

#include "common/buf.h"
#include "proto/media.h"

#define CUES_BYTES_WAIT (64u << 10) /* of boxes, in one chunk */
#define CUES_OF_FRAME 64          /* four times what ingestd puts into one */

struct cues { /* zeroed: nothing waits */
        struct buf *boxes; /* one after the other; NULL: none */
};

/* Both return how many had no room. */
size_t cues_add(struct cues *c, const AVFrame *from, uint32_t timescale);
size_t cues_hear(struct cues *c, const struct frame *from, uint32_t timescale);
struct buf *cues_give(struct cues *c); /* the caller's reference; NULL: nothing waits */

/* Some more boxes behind others. Takes both references, gives one; either may be NULL. */
struct buf *cues_join(struct buf *boxes, struct buf *more);

#endif
