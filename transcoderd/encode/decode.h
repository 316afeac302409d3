/* decode.h - coded frames to pictures, or sound, that carry their media time.
 *
 *   decoder_new  →  decoder_config (whenever the record changes)  →  decoder_send / decoder_receive … →  decoder_free
 * After damage, a break or a new configuration it waits for the next key frame. One thread. */
#ifndef TRANSCODERD_ENCODE_DECODE_H
#define TRANSCODERD_ENCODE_DECODE_H

#include <libavutil/frame.h>
#include <stdbool.h>

#include "common/buf.h"
#include "proto/media.h"

struct decoder;

struct decoder *decoder_new(enum track_kind kind, int threads);
void decoder_free(struct decoder **d);

/* Whether the record is another than the one in use: then what is inside must be received first (decoder_end). */
bool decoder_config_differs(const struct decoder *d, uint8_t codec, const struct buf *record);
/* Opens the codec anew. ERR_UNSUPPORTED, ERR_CORRUPT: nothing can be decoded until another record comes. */
int decoder_config(struct decoder *d, uint8_t codec, const struct buf *record);

/* 0; ERR_NOT_YET: skipped, no key frame since the break; ERR_CORRUPT: it did not decode, or there is no usable record. */
int decoder_send(struct decoder *d, const struct frame *f);
/* No more input: decoder_receive gives what is left; then decoder_break or decoder_config. */
void decoder_end(struct decoder *d);
/* Forgets all references and waits for a key frame (audio: for anything). */
void decoder_break(struct decoder *d);

/* 0: *out is a picture or sound (owned by d, until the next call) whose pts is media time in µs. ERR_NOT_YET: none
 * left. ERR_CORRUPT: damage was found, call again. */
int decoder_receive(struct decoder *d, AVFrame **out);

/* After ERR_CORRUPT: whether that is because pictures of this size are more than is decoded (4096 × 2304, in either orientation). */
bool decoder_too_large(const struct decoder *d, int *width, int *height);

/* What the stream says of its frame rate, per 1000 s; 0: nothing. */
uint32_t decoder_fps_milli(const struct decoder *d);

#endif
