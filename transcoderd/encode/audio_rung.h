/* audio_rung.h - one AAC encoder with its packager. The audio thread's.
 *
 * An AAC frame is only whole together with the one before it, so an encoder that starts is fed AUDIO_PREROLL frames
 * ahead of the first one that is wanted, and the packets up to there are dropped: the encoder's priming among them. The
 * packet of frame j then decodes to the samples of frame j, whichever transcoder made it.
 *
 * In lock-step an encoder that was started in this way takes over from the one before at the first frame of every
 * lockstep_segments'th segment: what it makes of a frame hangs only on the frames since then. */
#ifndef TRANSCODERD_ENCODE_AUDIO_RUNG_H
#define TRANSCODERD_ENCODE_AUDIO_RUNG_H

#include <libavutil/frame.h>

#include "transcoderd/encode/outlet.h"

#define AUDIO_PREROLL 2 /* frames */

struct audio_rung;

struct audio_rung_options {
        struct ladder_audio rung;
        int64_t epoch_us;
        unsigned chunk_ms;   /* as in struct job */
        int64_t start_us;    /* announced with the track */
        int64_t first_frame; /* number since the epoch of the first frame that is packaged */
        uint32_t lockstep_segments; /* as in struct job */
        struct outlet *outlet;
};

int audio_rung_open(struct audio_rung **out, const struct audio_rung_options *o); /* ERR_CODEC */
/* f->pts is the first sample's number. Frames before first_frame - AUDIO_PREROLL are not looked at. */
void audio_rung_encode(struct audio_rung *r, AVFrame *f, bool silence);
/* Boxes for the chunk that frame (its number since the epoch) will be in, or of the next one, where that is over; what is before
 * first_frame another writer has said. Takes the reference. Frames rise from call to call. False: too many wait, or too much; nothing is
 * said of these. */
bool audio_rung_say(struct audio_rung *r, int64_t frame, struct buf *boxes);
size_t audio_rung_unsaid(const struct audio_rung *r); /* how many of these wait still */
/* A frame of sound is whole together with the next one. When the session goes on elsewhere (outlet) the last one is left to
 * the next transcoder, which has that next one too. */
void audio_rung_finish(struct audio_rung *r);
void audio_rung_close(struct audio_rung **r);

#endif
