/* jpeg.h - pictures of a rung as JPEG files: for posters, and for players' timelines.
 *
 * The same picture gives the same bytes at every transcoder. What is yuv420p by BT.709 in limited range, as rungs are, becomes what JPEG
 * is read as: BT.601 in full range. One thread. */
#ifndef TRANSCODERD_ENCODE_JPEG_H
#define TRANSCODERD_ENCODE_JPEG_H

#include <libavutil/frame.h>
#include <stdbool.h>

#include "common/buf.h"

#define JPEG_MAX_BYTES (32u << 10) /* what would be more is made coarser */

struct jpeg;

/* Files of width × height, of pictures of any size. */
struct jpeg *jpeg_new(int width, int height);
void jpeg_free(struct jpeg **j);
/* The caller's to unref; NULL: it cannot be made. *coarser: it was too large otherwise. */
struct buf *jpeg_of(struct jpeg *j, const AVFrame *picture, bool *coarser);

#endif
