/* glass.h - when what a segment begins with was captured: the producer reference time that transcoders write before each
 * segment's first chunk (`prft`, ISO/IEC 14496-12, 8.16.5; flags 24: the capture's wall clock). Pure. */
#ifndef EDGED_GLASS_H
#define EDGED_GLASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* bytes are the beginning of a media segment. false: it does not say. */
bool glass_captured(const uint8_t *bytes, size_t len, int64_t *wall_us);

#endif
