/* sound.h - a session's sound between its decoder and its rungs: brought to 48 kHz stereo (stereo.h), placed on the sample grid
 * (pcm.h), with silence for what was never received, and each frame of it given to all rungs (audio_rung.h).
 *
 *   sound_init    what was decoded begins and ends with audio.c
 *   sound_add     decoded sound, in the order in which it is heard. The first one opens the rungs
 *   sound_say     what a coded frame says (cues.h), after the sound that was decoded of it
 *   sound_fill    nothing came in time: silence, if it is due (slate.h)
 *   sound_loosen  something was lost before what comes next: its time is given back at once, not stretched for seconds
 *   sound_finish  nothing comes any more
 *   sound_fini    once or twice
 * Late sound. What comes when silence stands in its place is left out, and counted. But a track that is late as a whole (its
 * encoder, or its way here, is seconds slower than that of the picture) belongs beside that picture all the same: silence waits
 * while it comes up, for as long as that ought to take and a second more, SOUND_LATE_MAX_US at most. So it is heard, as late as
 * it is. What does not come up in that time may try again after SOUND_LATE_AGAIN_US.
 *
 * Time is passed in: now_us is the session's (media time), mono_us monotonic. The audio thread's; any thread may set stop. */
#ifndef TRANSCODERD_ENCODE_SOUND_H
#define TRANSCODERD_ENCODE_SOUND_H

#include <stdatomic.h>

#include "transcoderd/encode/audio_rung.h"
#include "transcoderd/encode/outlet.h"
#include "transcoderd/encode/slate.h"
#include "transcoderd/encode/stereo.h"

#define SOUND_LATE_MAX_US (10 * INT64_C(1000000))
#define SOUND_LATE_AGAIN_US (30 * INT64_C(1000000))

struct sound {
        const struct job *job;
        struct outlet *out;
        bool late; /* its kind was not there when the session began */
        atomic_bool stop; /* leave off what is under way */

        struct stereo stereo;
        struct pcm pcm;
        struct slate slate;
        int64_t apart; /* how far the next sound may lie from its place before it is moved there */
        struct audio_rung *rungs[LADDER_AUDIO_MAX];
        size_t rung_count;
        bool begun, failed, placed;
        int64_t wanted; /* number of the first sample that any rung takes */
        struct {
                int64_t until_mono_us; /* silence waits; 0: no sound is late */
                int64_t again_mono_us; /* not before */
        } coming_up;
};

void sound_init(struct sound *s, const struct job *job, struct outlet *out, bool late, int64_t mono_us);
/* f->pts is media time, µs. 0; ERR_UNSUPPORTED: no sound can be made of its format; ERR_CORRUPT: it does not convert, or
 * samples of it that are no numbers, or far beyond any sound, were made silent. */
int sound_add(struct sound *s, const AVFrame *f, int64_t mono_us);
void sound_say(struct sound *s, const struct frame *f);
/* The caller has seen that nothing waits. */
void sound_fill(struct sound *s, int64_t now_us, int64_t mono_us);
int64_t sound_wait_us(struct sound *s, int64_t now_us, int64_t mono_us); /* before silence could be due; slate.h */
void sound_loosen(struct sound *s);
void sound_finish(struct sound *s);
void sound_fini(struct sound *s);

#endif
