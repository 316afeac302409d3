/* captions.h - whether a chunk of video says something in closed captions, so that the manifest names them: players look for CEA-608 in
 * the pictures only where it does (SCTE 214-1; "CC1" is the first channel). Pure: reads bytes that box.c has checked, and believes
 * none of them. */
#ifndef ORIGIND_CAPTIONS_H
#define ORIGIND_CAPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A pair of bytes other than zero in the first field of CEA-608 (CEA-708, 4.3; H.264, D.1.6; ANSI/SCTE 128-1, 8.2): many encoders send
 * empty ones all the time. Of H.264 with lengths of four bytes, as transcoderd makes it. */
bool captions_in_chunk(const uint8_t *chunk, size_t len);

#endif
