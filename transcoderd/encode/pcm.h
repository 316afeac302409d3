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

/* How the clock that sound is sampled by drifts away from the one that its place is told by, and what is done about it: the pitch
 * goes with it, so it is followed smoothly. It differs from the clocks' own difference by 0.05 % at most while that is below
 * 0.05 %, and by 0.1 % while the sound is less than 20 ms from its place. */
struct drift {
        double error;  /* samples, smoothed: how far sound belongs behind where it went */
        double rate;   /* the clocks' difference as it is known: samples in a window */
        int64_t since; /* samples seen since the last correction was decided */
        bool active;
};
void drift_reset(struct drift *d); /* other clocks */
void drift_moved(struct drift *d); /* the same clocks, but sound was moved to its place */
/* error: target - end, for count samples that follow. Returns by how many of the next DRIFT_WINDOW samples there should
 * be more (or fewer), decided once a window; otherwise 0. */
#define DRIFT_WINDOW 48000
int drift_add(struct drift *d, int64_t error, int64_t count);

#endif
