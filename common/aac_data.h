/* aac_data.h - bytes of others inside a frame of AAC: data stream elements (ISO/IEC 14496-3, 4.5.2.1.2), which decoders pass by.
 *
 * A message goes before the frame's own elements, in pieces of AAC_DATA_PIECE and a shorter one, which ends it. Each piece is a whole
 * number of bytes, so nothing behind it moves within its byte. Pure; any thread; any bytes of strangers. */
#ifndef COMMON_AAC_DATA_H
#define COMMON_AAC_DATA_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define AAC_DATA_PIECE 510
#define AAC_DATA_MESSAGE_MAX 4096 /* a longer one is not told */

/* A frame with the message before all that it has; a new one. */
struct buf *aac_data_add(const uint8_t *frame, size_t len_bytes, const uint8_t *message, size_t message_bytes);

/* Tells each whole message before the frame's first element of another kind, in their order. What is told is valid during the call. */
typedef void aac_data_told(void *arg, const uint8_t *message, size_t message_bytes);
void aac_data_each(const uint8_t *frame, size_t len_bytes, aac_data_told *told, void *arg);

#endif
