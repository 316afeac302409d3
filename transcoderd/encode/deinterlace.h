/* deinterlace.h - pictures whose lines were captured at two moments to pictures of one: bwdif, as many out as in, each with its
 * own time. Only those that the stream flags as interlaced are touched, whatever mixture of both comes.
 *
 *   deinterlace_new  →  deinterlace_put, then deinterlace_get until NULL …  →  deinterlace_flush, then the same  →  deinterlace_free
 * Half of a picture's lines are made of the pictures around it, so an interlaced one is held until the next one has come; a
 * progressive one is not. What comes out depends on a picture and its two neighbours alone, so two transcoders that get the same
 * pictures make the same of them. A picture further away than SLOW_GAP_US, or of another size or format, is no neighbour.
 * Pictures of a format that libavfilter cannot do are passed on as they are. One thread. */
#ifndef TRANSCODERD_ENCODE_DEINTERLACE_H
#define TRANSCODERD_ENCODE_DEINTERLACE_H

#include <libavutil/frame.h>
#include <stdbool.h>

struct deinterlacer;

struct deinterlacer *deinterlace_new(int threads); /* of libavfilter's, 0: one */
void deinterlace_free(struct deinterlacer **d);

void deinterlace_put(struct deinterlacer *d, const AVFrame *pic); /* pts in µs; pic stays the caller's */
/* The next picture, d's own until the next call; NULL: none is ready. */
const AVFrame *deinterlace_get(struct deinterlacer *d);

bool deinterlace_holds(const struct deinterlacer *d);
/* No next picture is waited for: the one that is held is ready, made of what was before it. */
void deinterlace_flush(struct deinterlacer *d);
/* Forgets what is held. */
void deinterlace_drop(struct deinterlacer *d);

#endif
