/* thumbs.h - a session's still pictures: a track of its own, whose sample of a second is a JPEG file every so many seconds, and without
 * bytes in those between.
 *
 * So the store has a segment of it for each second, as of every track, and needs to know nothing else of it. It never delays a
 * frame: a thread of low priority makes the files of pictures that the rungs have scaled already, and where it does not keep up, or the
 * machine is too slow for the rungs, the file before is told again.
 *
 *   thumbs_open    starts the thread; NULL: there are no pictures of this session, which it does not need
 *   thumbs_show    what a rung shows, in rising time
 *   thumbs_close   ends the thread, which first tells what it was given if it is finished
 * The video thread calls; the thread posts to the outlet. Shared: the queue. */
#ifndef TRANSCODERD_ENCODE_THUMBS_H
#define TRANSCODERD_ENCODE_THUMBS_H

#include <libavutil/frame.h>
#include <stdbool.h>

#include "transcoderd/encode/outlet.h"

#define THUMBS_HEIGHT 180 /* lines; a rung that has fewer is shown as it is */

struct thumbs;

struct thumbs_options {
        int width, height;   /* of the rung's pictures */
        int64_t every_s;     /* > 0: a picture each second that is a multiple of it; over 32, of that or one that is up to 2 more */
        int64_t start_us;    /* announced with the track: a whole second */
        int64_t first_us;    /* nothing before is made: where another transcoder's end, else start_us */
        struct outlet *outlet; /* must outlive it */
};

struct thumbs *thumbs_open(const struct thumbs_options *o);
/* picture: yuv420p, refs its pixels. hurry: there is no time for pictures now. */
void thumbs_show(struct thumbs *t, const AVFrame *picture, int64_t pts_us, bool hurry);
void thumbs_close(struct thumbs **t, bool finished); /* NULL is fine */

#endif
