/* audio.h - the audio thread of a session: decodes, brings the sound to 48 kHz stereo on the sample grid (pcm.h),
 * encodes it once for each audio rung (audio_rung.h) and fills what was never received with silence.
 *
 *   audio_open   starts the thread
 *   audio_push   coded frames, with room
 *   audio_end    nothing more comes: everything is encoded and packaged, then outlet_leave()
 *   audio_close  stops and frees, after audio_end or not
 * Loop thread calls; all else is the audio thread's own. */
#ifndef TRANSCODERD_ENCODE_AUDIO_H
#define TRANSCODERD_ENCODE_AUDIO_H

#include "transcoderd/encode/outlet.h"

struct audio;

/* As video_open(). */
struct audio *audio_open(const struct job *job, struct outlet *outlet, uint8_t codec, struct buf *config,
                         bool late);
void audio_push(struct audio *a, const struct frame *f);
size_t audio_room(struct audio *a);
int64_t audio_newest_us(const struct audio *a); /* decoding time; INT64_MIN: nothing came */
int64_t audio_late_us(const struct audio *a, int64_t now_us); /* of what waits before its thread (intake.h); any thread */
void audio_end(struct audio *a);
void audio_abort(struct audio *a); /* its thread is to end; does not wait */
void audio_close(struct audio **a); /* waits for the thread */

#endif
