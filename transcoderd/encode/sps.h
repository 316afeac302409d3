/* sps.h - what an H.264 sequence parameter set says of the pictures that come: their size, and how many a second.
 *
 * Read before anything is decoded, to judge what a stream will cost (cost.h); what pictures really are says the decoder. Pure; any
 * bytes of strangers. */
#ifndef TRANSCODERD_ENCODE_SPS_H
#define TRANSCODERD_ENCODE_SPS_H

#include <stddef.h>
#include <stdint.h>

#define SPS_SIDE_MAX 16384 /* larger cannot be */

struct sps {
        int width, height;  /* cropping is not taken off */
        uint32_t fps_milli; /* per 1000 s; 0: it does not say */
};

/* The first one of a decoder configuration record (avcC). ERR_NOT_FOUND: it has none; ERR_PROTO: it makes no sense. */
int sps_of_record(struct sps *out, const uint8_t *record, size_t len_bytes);

#endif
