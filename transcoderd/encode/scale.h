/* scale.h - a picture to a rung's size: yuv420p, BT.709 limited range, square pixels, black bars where the aspect
 * differs.
 *
 * The output's size never changes; the input may at any time. A picture that already is what the rung wants is passed
 * on without a copy. A source that does not name its matrix is taken for BT.709. One thread. */
#ifndef TRANSCODERD_ENCODE_SCALE_H
#define TRANSCODERD_ENCODE_SCALE_H

#include <libavutil/frame.h>

struct scaler;

struct scaler *scaler_new(int width, int height);
void scaler_free(struct scaler **s);
AVFrame *scaler_run(struct scaler *s, const AVFrame *src); /* a new frame; NULL: the input cannot be converted */

/* The width a rung of this height has for a source: its display aspect, even. */
int scale_width_for(const AVFrame *source, int height);

#endif
