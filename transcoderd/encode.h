/* encode.h - one video rung: a thread with an x264 and a packager behind a bounded queue of pictures.
 *
 *   encoder_open     opens x264, starts the thread
 *   encoder_put      pictures in rising time; waits while the queue is full
 *   encoder_finish   nothing more comes: everything is encoded, the last chunk cut
 *   encoder_close    ends the thread (after encoder_finish it waits for the rest; otherwise for one picture at most)
 * The video thread calls; the rung's own thread encodes, packages and posts to the outlet. Shared: the queue and the
 * atomics. */
#ifndef TRANSCODERD_ENCODE_H
#define TRANSCODERD_ENCODE_H

#include <libavutil/frame.h>

#include "transcoderd/outlet.h"

struct encoder;

struct encoder_options {
        struct video_rung rung;
        int width, height;
        int threads;
        int64_t epoch_us;
        int64_t start_us;       /* announced with the track */
        uint32_t lockstep_segments; /* as in pipeline_options */
        uint32_t declared_milli; /* frame rate the source says it has, 0: none */
        struct outlet *outlet;   /* must outlive the encoder */
};

struct encoder_picture {
        AVFrame *frame;      /* yuv420p, of the rung's size; may share its pixels with other rungs */
        int64_t pts_us;
        int64_t expected_us; /* when the next one is expected, if that is certain enough to cut the chunk now; else 0 */
        bool idr, slate;
};

int encoder_open(struct encoder **out, const struct encoder_options *o); /* ERR_CODEC */
void encoder_put(struct encoder *e, const struct encoder_picture *p);    /* takes p->frame */
int64_t encoder_done_us(struct encoder *e);                              /* newest encoded; INT64_MIN: none yet */
void encoder_finish(struct encoder *e, int64_t interval_us);             /* of the last picture */
void encoder_close(struct encoder **e, bool finished);

#endif
