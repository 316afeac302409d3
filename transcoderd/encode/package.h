/* package.h - one track's samples to fMP4 chunks on the grid (media.md, Packaging).
 *
 *   package_open     muxes the init segment
 *   package_say      boxes that go before the chunk of the next sample
 *   package_add      a sample; it waits until its duration is known
 *   package_next     the next sample will begin at ticks: cuts the chunk that is whole thereby
 *   package_early    nothing more is expected in this chunk: cuts it at once
 *   package_finish   the track ends
 *   package_close
 * Times are ticks of the track's timescale since the epoch. One thread at a time. */
#ifndef TRANSCODERD_ENCODE_PACKAGE_H
#define TRANSCODERD_ENCODE_PACKAGE_H

#include <libavcodec/avcodec.h>
#include <stdbool.h>

#include "transcoderd/chunk.h"

struct package;

/* Takes c->bytes. c->track is for the callee to set. */
typedef void package_chunk(void *arg, struct chunk *c);

struct package_options {
        const AVCodecContext *codec; /* opened encoder: parameters, timescale, extradata; valid in package_open() only */
        int64_t epoch_us;            /* for prft: the capture time of media time 0 */
        unsigned chunk_ms;           /* the session's grid */
        package_chunk *chunk;
        void *arg;
};

int package_open(struct package **out, const struct package_options *o); /* ERR_CODEC */
struct buf *package_init_segment(struct package *p);                      /* a new reference */

/* Takes the reference; NULL is fine. False: with what the chunk has already it is more than CUES_BYTES_WAIT, and not said. */
bool package_say(struct package *p, struct buf *boxes);
/* Takes what pkt holds. ticks rise from call to call. */
void package_add(struct package *p, AVPacket *pkt, int64_t ticks, bool slate);
void package_next(struct package *p, int64_t ticks);
void package_early(struct package *p, int64_t expected_ticks);
/* Returns where the track ends; goes_on: only for this writer, so that the segment may go on too. next_ticks: so soon after
 * the last sample another writer's may follow. */
int64_t package_finish(struct package *p, int64_t last_sample_ticks, int64_t next_ticks, bool goes_on);
void package_close(struct package **p);

/* What styp, prft and the boxes of its chunks add to a second of samples, at most. */
int64_t package_overhead_bps(int64_t samples_a_second, unsigned chunk_ms);
/* Average distance of the samples of the first chunk, in ticks; for the frame rate of the track's announcement. */
int64_t package_sample_ticks(const struct package *p);
/* Chunks that were too large for a PUT and were left out; the next sample ought to be a key frame. */
unsigned package_oversized(const struct package *p);

#endif
