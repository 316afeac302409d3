/* video_rung.h - one video rung: a thread with an x264 and a packager behind a bounded queue of pictures.
 *
 * x264 gives out each picture before it has the next one, so it cannot know how long a picture lasts: it counts pictures, and takes
 * them to come at the rate that it was opened for. The rung opens it for the rate that its pictures have, and again, at a keyframe,
 * when they have another one; the init segment says no rate, so it stays what it is.
 *
 *   video_rung_open     makes the headers, starts the thread
 *   video_rung_put      pictures in rising time; waits while the queue is full
 *   video_rung_finish   nothing more comes: everything is encoded, the last chunk cut
 *   video_rung_close    ends the thread (after video_rung_finish it waits for the rest; otherwise for one picture at most)
 * The video thread calls; the rung's own thread encodes, packages and posts to the outlet. Shared: the queue and the
 * atomics. */
#ifndef TRANSCODERD_ENCODE_VIDEO_RUNG_H
#define TRANSCODERD_ENCODE_VIDEO_RUNG_H

#include <libavutil/frame.h>

#include "transcoderd/encode/outlet.h"

#define PICTURES_APART_US INT64_C(1000) /* the least between two pictures of a rung, which the caller keeps */

struct video_rung;

struct video_rung_options {
        struct ladder_video rung;
        int width, height;
        int threads;
        int64_t epoch_us;
        unsigned chunk_ms;   /* as in struct job */
        int64_t start_us;       /* announced with the track */
        uint32_t lockstep_segments; /* as in struct job */
        uint32_t declared_milli; /* frame rate the source says it has, 0: none */
        uint32_t expected_milli; /* of the rung's pictures, until they are counted */
        struct outlet *outlet;   /* must outlive the encoder */
};

struct video_rung_picture {
        AVFrame *frame;      /* yuv420p, of the rung's size; may share its pixels with other rungs */
        int64_t pts_us;
        int64_t expected_us; /* when the next one is expected, if that is certain enough to cut the chunk now; else 0 */
        bool idr, slate;
        struct buf *said;    /* boxes for its chunk (cues.h); NULL: none */
};

int video_rung_open(struct video_rung **out, const struct video_rung_options *o); /* ERR_CODEC */
void video_rung_put(struct video_rung *r, const struct video_rung_picture *p);    /* takes p->frame and p->said */
int64_t video_rung_done_us(struct video_rung *r);                                 /* newest encoded; INT64_MIN: none yet */
void video_rung_finish(struct video_rung *r, int64_t interval_us);                /* of the last picture */
void video_rung_close(struct video_rung **r, bool finished);

#endif
