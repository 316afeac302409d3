/* audio_rung.h - one AAC encoder with its packager. The audio thread's.
 *
 * An AAC frame is only whole together with the one before it, so an encoder that starts is fed AUDIO_PREROLL frames
 * ahead of the first one that is wanted, and the packets up to there are dropped: the encoder's priming among them. The
 * packet of frame j then decodes to the samples of frame j, whichever transcoder made it.
 *
 * In lock-step an encoder that was started in this way takes over from the one before at the first frame of every
 * lockstep_segments'th segment: what it makes of a frame hangs only on the frames since then. */
#ifndef TRANSCODERD_AUDIO_RUNG_H
#define TRANSCODERD_AUDIO_RUNG_H

#include <libavutil/frame.h>

#include "transcoderd/outlet.h"

#define AUDIO_PREROLL 2 /* frames */

struct audio_track;

struct audio_track_options {
        struct audio_rung rung;
        int64_t epoch_us;
        int64_t start_us;    /* announced with the track */
        int64_t first_frame; /* number since the epoch of the first frame that is packaged */
        uint32_t lockstep_segments; /* as in pipeline_options */
        struct outlet *outlet;
};

int audio_track_open(struct audio_track **out, const struct audio_track_options *o); /* ERR_CODEC */
/* f->pts is the first sample's number. Frames before first_frame - AUDIO_PREROLL are not looked at. */
void audio_track_encode(struct audio_track *t, AVFrame *f, bool silence);
/* A frame of sound is whole together with the next one. When the session goes on elsewhere (outlet) the last one is left to
 * the next transcoder, which has that next one too. */
void audio_track_finish(struct audio_track *t);
void audio_track_close(struct audio_track **t);

#endif
