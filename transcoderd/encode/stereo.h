/* stereo.h - decoded sound of any rate, format and layout to what pcm.h takes: 48 kHz, stereo, float.
 *
 *   all zero → stereo_fit, stereo_follow, stereo_convert for each frame … → stereo_fini
 *
 * Levels. One channel goes to both sides as loud as it came. Of more than two the weights are those of ITU-R BS.775, scaled so
 * that their sum is 1 on either side: what was below full scale in every channel stays below it (5.1 loses 7.7 dB thereby,
 * 3.0 4.6 dB). The LFE channel is left out, as that text says. Channels whose places are unknown go to both sides, in equal
 * parts. One thread. */
#ifndef TRANSCODERD_ENCODE_STEREO_H
#define TRANSCODERD_ENCODE_STEREO_H

#include <libavutil/frame.h>

#include "transcoderd/encode/pcm.h"

struct SwrContext;

struct stereo {
        struct SwrContext *swr; /* NULL: none yet */
        AVChannelLayout layout; /* these three: what swr was made for */
        int rate, format;
        float *samples[PCM_CHANNELS]; /* what was converted last */
        size_t cap;
        struct drift drift;
};

/* Sound like f can be converted now. ERR_UNSUPPORTED: f cannot, and neither can anything else until the next call. */
int stereo_fit(struct stereo *s, const AVFrame *f);
/* How many samples of what went in have not come out yet: the next one out lies so far before the next one in. */
int64_t stereo_held(const struct stereo *s);
/* The next sound in belongs error samples (of 48 kHz) behind the place where it will come to lie: a clock that drifts is followed
 * by making sound longer or shorter (struct drift). ERR_UNSUPPORTED: it cannot be, the distance stays. */
int stereo_follow(struct stereo *s, const AVFrame *f, int64_t error);
/* How many samples of f are in s->samples now, valid until the next call, 0 too; ERR_CORRUPT. */
int stereo_convert(struct stereo *s, const AVFrame *f);
void stereo_fini(struct stereo *s);

#endif
