/* captions.h - closed captions (CEA-608 and CEA-708, as cc_data of ANSI/SCTE 128) on their way from a source's pictures to a rung's.
 *
 *   captions_add    each picture of the source that the rung could show, whether the rung shows it or not
 *   captions_give   the picture that the rung encodes next gets what waits, up to what one SEI message holds
 * A rung with fewer pictures than the source so carries all that was said, in order, as soon as it has a picture. Padding is
 * left out where more than one picture's captions come together; empty pairs of CEA-608 are not, for between two equal control codes
 * they say that the second one is no repetition. Bounded: the oldest give way, and are counted. Pure; one thread. */
#ifndef TRANSCODERD_ENCODE_CAPTIONS_H
#define TRANSCODERD_ENCODE_CAPTIONS_H

#include <libavutil/frame.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CAPTIONS_TRIPLET 3   /* bytes of a cc_data_pkt: what it is, and two of caption data */
#define CAPTIONS_PICTURE 31  /* cc_count has five bits */
#define CAPTIONS_WAIT 600    /* a second of CEA-708's 9600 bit/s, with CEA-608 in it */

struct captions { /* zeroed: nothing waits */
        uint8_t waiting[CAPTIONS_WAIT][CAPTIONS_TRIPLET];
        size_t count;
};

/* Returns how many triplets gave way. */
size_t captions_add(struct captions *c, const AVFrame *from);
void captions_give(struct captions *c, AVFrame *to);
bool captions_in(const AVFrame *pic); /* whether there are any, be it padding */

#endif
