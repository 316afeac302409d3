/* video.h - the video thread of a session: decodes, keeps the timeline without holes, scales once for each rung and
 * hands the pictures to the rungs' encoders.
 *
 *   video_open   starts the thread; the rungs follow with the first picture
 *   video_push   coded frames, with room
 *   video_end    nothing more comes: everything is encoded and packaged, then outlet_leave()
 *   video_close  stops and frees, after video_end or not
 * Loop thread calls; all else is the video thread's own. */
#ifndef TRANSCODERD_ENCODE_VIDEO_H
#define TRANSCODERD_ENCODE_VIDEO_H

#include "transcoderd/encode/outlet.h"

struct video;

/* o->session and o->config are used during the call only. late: the session has other tracks already, so these begin at
 * the next whole second. NULL: no thread could be started. */
struct video *video_open(const struct job *job, struct outlet *outlet, uint8_t codec, struct buf *config,
                         bool late);
void video_push(struct video *v, const struct frame *f);
size_t video_room(struct video *v);
int64_t video_newest_us(const struct video *v); /* decoding time; INT64_MIN: nothing came */
int64_t video_late_us(const struct video *v, int64_t now_us); /* of what waits before its thread (intake.h); any thread */
void video_end(struct video *v);
void video_abort(struct video *v); /* its thread is to end; does not wait */
void video_close(struct video **v); /* waits for the thread */

#endif
