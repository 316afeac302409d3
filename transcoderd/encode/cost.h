/* cost.h - what a stream costs to encode, in pixels: the measure of what a machine does and of what it may take on (capacity.h).
 *
 * One pixel is one of a picture of a rung that x264 encodes. What is done besides is counted in as many of these as take about as
 * long: a pixel that is decoded is COST_DECODED of one, each picture of a rung costs COST_PICTURE on top of its size, and sound
 * COST_SOUND a second and rung. Pure; any thread. */
#ifndef TRANSCODERD_ENCODE_COST_H
#define TRANSCODERD_ENCODE_COST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/media.h"
#include "transcoderd/encode/ladder.h"

#define COST_DECODED 0.3
#define COST_PICTURE 30000
#define COST_SOUND 2000000

struct cost_source { /* of the pictures; all 0: there are none */
        int width, height;
        uint32_t fps_milli;
};

/* Pixels a second of a ladder, which is cut to the source's height. sound: there is a sound track. */
int64_t cost_of_ladder(const struct ladder *ladder, const struct cost_source *source, bool sound);

/* The same, of a stream that nothing is known of but its configuration: its records, or what a usual stream is where they do not say. */
int64_t cost_of_stream(const struct ladder *ladder, const uint8_t codecs[TRACK_KINDS], const uint8_t *video_record, size_t len_bytes);

int64_t cost_of_decoded(int width, int height); /* a picture */
int64_t cost_of_encoded(int width, int height);

#endif
