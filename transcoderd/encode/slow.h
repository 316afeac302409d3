/* slow.h - a source with fewer pictures than there are chunks: when is its last picture to be shown once more?
 *
 * A manifest promises a chunk of each place of the grid. A picture that stands for a second would be known to end when the next one
 * comes, and its chunk, and those that have none, would be out that much later. So the last picture begins each chunk in which there is
 * no other: at once when the next picture shows that there was none, and by the clock when that does not come in time. One that is
 * only late is not lost: it stands behind the one that took its place.
 * A source is slow after SLOW_RUN long gaps in a row, or if it says so itself until its first gap tells otherwise; no more for
 * twice the last gap without a picture, when it is slate.h's. Pure: times come in as arguments. */
#ifndef TRANSCODERD_ENCODE_SLOW_H
#define TRANSCODERD_ENCODE_SLOW_H

#include <stdbool.h>
#include <stdint.h>

/* A gap that a chunk of 200 ms without a picture fits into; shorter ones are foretold, or over before a picture would be shown again. On
 * a grid of
 * 100 ms too: chunks without a picture fit into less there, but the clock would be no sooner, 100 ms and SLOW_LATE_US. */
#define SLOW_GAP_US (250 * INT64_C(1000))
#define SLOW_GAP_MAX_US (5 * INT64_C(1000000)) /* longer is an interruption */
#define SLOW_RUN 2
/* So late may a picture come: more than a proxy and the network differ. Its chunk is then out later than origins say (latency_bound_ms),
 * and edges hold those who ask for it. */
#define SLOW_LATE_US (150 * INT64_C(1000))
#define SLOW_IDLE_US (100 * INT64_C(1000)) /* nothing came for so long: a replay, whose pictures are all late, is over */
#define SLOW_NEVER INT64_MAX

struct slow {
        unsigned chunk_ms; /* the session's grid */
        bool any;
        int64_t last_us; /* of the last real picture */
        int64_t gap_us;  /* before it */
        unsigned run;    /* gaps that were long, up to that one */
};

void slow_init(struct slow *s, unsigned chunk_ms, uint32_t declared_milli); /* frames per 1000 s that the source says it has; 0: nothing */
void slow_add(struct slow *s, int64_t pts_us);           /* a real picture */
bool slow_is(const struct slow *s);

/* Where the last picture stands once more, if nothing comes before; shown_us: where it stood last. SLOW_NEVER: nowhere. */
int64_t slow_again_us(const struct slow *s, int64_t shown_us);
/* How long to wait for a real picture until then, from now on; SLOW_NEVER. media_us: now, by the wall clock. idle_us: since the
 * last real picture came. */
int64_t slow_wait_us(const struct slow *s, int64_t shown_us, int64_t media_us, int64_t idle_us);

#endif
