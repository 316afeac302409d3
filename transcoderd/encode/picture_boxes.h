/* picture_boxes.h - the track of still pictures as fragmented MP4: an init segment, and a segment of one chunk for each second.
 *
 * A second's sample is a JPEG file, or has no bytes where the one before goes on to stand for it. Pure; any thread. */
#ifndef TRANSCODERD_ENCODE_PICTURE_BOXES_H
#define TRANSCODERD_ENCODE_PICTURE_BOXES_H

#include <stdint.h>

#include "common/buf.h"

struct buf *picture_boxes_init(int width, int height); /* the caller's to unref, like the next */
struct buf *picture_boxes_chunk(uint32_t segment, const struct buf *jpeg); /* NULL: nothing new in that second */

#endif
