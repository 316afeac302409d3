/* early.h - sound that comes before the broadcast may begin. A broadcast begins with a picture, if one is to be expected.
 *
 *   all zero → early_keep … → early_take until there is none, or early_fini
 * Some of the sound may belong beside the first picture, or behind it, where an encoder needs longer for pictures than for sound. Where
 * no picture comes, the broadcast began with the sound. The buffer is bounded: the oldest sound goes. It is the publication's. */
#ifndef INGESTD_EARLY_H
#define INGESTD_EARLY_H

#include "ingestd/flv.h"

#define EARLY_FRAMES 256 /* 5 s */
#define EARLY_BYTES (256u << 10)

struct early_frame {
        struct flv_frame frame; /* a reference to its bytes */
        int64_t wall_us;        /* when it came */
};

struct early {
        struct early_frame frames[EARLY_FRAMES];
        size_t first, count, bytes;
        uint32_t began_ms; /* timestamp of the first one of all, which may have gone */
};

/* Returns how many had to go for it; it may be itself. */
size_t early_keep(struct early *e, const struct flv_frame *f, int64_t wall_us);
bool early_take(struct early *e, struct early_frame *out); /* the oldest; false: none. The bytes are the caller's reference */
int64_t early_span_us(const struct early *e, uint32_t dts_ms); /* from the first one's timestamp to this; 0: nonsense, or none */
void early_fini(struct early *e);

#endif
