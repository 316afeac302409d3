/* pcm.h - sound on the sample grid: stereo float at 48 kHz whose every sample has its number since the epoch.
 *
 * What is appended follows without a gap; what is taken are AAC frames, [1024 j, 1024 j + 1024). Where a piece of sound
 * belongs and where the samples so far end may differ: a little, and the resampler is asked to stretch (struct drift);
 * a lot, and silence goes in or samples are left out (pcm_fit). One thread. */
#ifndef TRANSCODERD_ENCODE_PCM_H
#define TRANSCODERD_ENCODE_PCM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCM_CHANNELS 2
#define PCM_APART_SAMPLES 1920 /* 40 ms */

struct pcm {
        float *samples[PCM_CHANNELS];
        size_t len, cap;
        int64_t first; /* number of samples[0] */
};

void pcm_init(struct pcm *p, int64_t first);
void pcm_fini(struct pcm *p);
int64_t pcm_end(const struct pcm *p);
void pcm_append(struct pcm *p, const float *const data[PCM_CHANNELS], size_t count); /* data NULL: silence */
bool pcm_take(struct pcm *p, float *const out[PCM_CHANNELS], size_t count);          /* false: not so many yet */

struct pcm_fit {
        int64_t insert; /* samples of silence before it */
        int64_t skip;   /* of its own samples left out */
};
/* For sound that belongs at target when the samples so far end at end; up to apart samples are the resampler's. */
struct pcm_fit pcm_fit(int64_t end, int64_t target, int64_t apart);

/* The smoothed distance between where sound belongs and where it went. */
struct drift {
        double error;  /* samples */
        int64_t since; /* samples seen since the last correction was decided */
};
void drift_reset(struct drift *d);
/* error: target - end, for count samples that follow. Returns by how many of the next DRIFT_WINDOW samples there should
 * be more (or fewer), decided once a window; otherwise 0. */
#define DRIFT_WINDOW 48000
int drift_add(struct drift *d, int64_t error, int64_t count);

#endif
