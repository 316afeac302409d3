/* scale.h - a picture to a rung's size: yuv420p, BT.709 limited range, square pixels, black bars where the aspect
 * differs.
 *
 * The output's size never changes; the input may at any time. A picture that already is what the rung wants is passed
 * on without a copy. A source that does not name its matrix is taken for BT.601 where it is small (up to 1024 × 576) and for BT.709
 * where it is not, as players and cameras do. Primaries and transfer are kept as they are and called BT.709's: those of SD differ by
 * less than is seen; a source with the wide colours of BT.2020 becomes paler. What no picture of ours can show is refused by
 * scale_judge(). One thread. */
#ifndef TRANSCODERD_ENCODE_SCALE_H
#define TRANSCODERD_ENCODE_SCALE_H

#include <libavutil/frame.h>
#include <stdbool.h>

struct scaler;

struct scaler *scaler_new(int width, int height);
void scaler_free(struct scaler **s);
AVFrame *scaler_run(struct scaler *s, const AVFrame *src); /* a new frame; NULL: the input cannot be converted */

/* 0, or ERR_UNSUPPORTED and, for the broadcaster, why pictures like this one are not encoded. */
int scale_judge(const AVFrame *source, char *why, size_t why_cap);

/* Whether there is more in its colours than BT.709 has room for: PQ, HLG, BT.2020. */
bool scale_is_beyond(const AVFrame *source);

/* The width a rung of this height has for a source: its display aspect, even. A rung costs what its height says: one that is wider
 * than 32:9, two screens, stands between bars. */
int scale_width_for(const AVFrame *source, int height);

#endif
