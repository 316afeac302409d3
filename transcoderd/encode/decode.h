/* decode.h - coded frames to pictures, or sound, that carry their media time.
 *
 *   decoder_new  →  decoder_config (whenever the record changes)  →  decoder_send / decoder_receive … →  decoder_free
 *
 * It goes on as a player does: what libavcodec can conceal is shown, a frame that it refuses costs that frame, and a record with the
 * same sequence parameter sets in other bytes costs nothing. It waits for a key frame only where nothing can be decoded without one:
 * at its begin and after decoder_break(). Pictures that lean on others which were never there (parameter sets of another size came
 * in the middle of a group) are not shown either; libavcodec knows them.
 * Every frame that was sent and of which nothing is shown is told once: by decoder_send(), or in decoder_lost(). Not so one behind an
 * interlaced picture, which is taken for that one's other field. One thread. */
#ifndef TRANSCODERD_ENCODE_DECODE_H
#define TRANSCODERD_ENCODE_DECODE_H

#include <libavutil/frame.h>
#include <stdbool.h>

#include "common/buf.h"
#include "proto/media.h"

struct decoder;

struct decoder *decoder_new(enum track_kind kind, int threads);
void decoder_free(struct decoder **d);

/* Whether the record is another than the one in use, byte by byte. For sound, what is inside must be received first (decoder_end). */
bool decoder_config_differs(const struct decoder *d, uint8_t codec, const struct buf *record);
/* Sound: opens the codec anew. Video: that only if it is not open, otherwise the record goes with the next frame. ERR_UNSUPPORTED,
 * ERR_CORRUPT: a video decoder that is open goes on with what it has; nothing else is decoded until another record comes. */
int decoder_config(struct decoder *d, uint8_t codec, const struct buf *record);
/* Whether f, a key frame, is the first one with another picture's parameters: decoder_end, receive, then decoder_renew, which
 * opens the codec anew (ERR_CORRUPT: as from decoder_config). So the one before shows all that it holds, and its delay ends with it. */
bool decoder_renews(const struct decoder *d, const struct frame *f);
int decoder_renew(struct decoder *d);

/* 0; ERR_NOT_YET: skipped, no key frame since the break; ERR_CORRUPT: it did not decode, or there is no usable record. */
int decoder_send(struct decoder *d, const struct frame *f);
/* No more input: decoder_receive gives what is left; then decoder_break or decoder_renew. */
void decoder_end(struct decoder *d);
/* Forgets all references, and what was sent and not received, and waits for a key frame (audio: for anything). */
void decoder_break(struct decoder *d);

/* 0: *out is a picture or sound (owned by d, until the next call) whose pts is media time in µs. ERR_NOT_YET: none
 * left. ERR_CORRUPT: damage was found, call again. */
int decoder_receive(struct decoder *d, AVFrame **out);

/* After ERR_CORRUPT: whether that is because pictures of this size are more than is decoded (4096 × 2304, in either orientation). */
bool decoder_too_large(const struct decoder *d, int *width, int *height);

/* Frames that were taken and not shown, since the last call; after decoder_receive said ERR_NOT_YET. */
struct decoder_lost {
        unsigned corrupt; /* nothing came of them */
        unsigned skipped; /* pictures that lean on what was never there: they wait for a key frame */
};
struct decoder_lost decoder_lost(struct decoder *d);

/* What the stream says of its frame rate, per 1000 s; 0: nothing. */
uint32_t decoder_fps_milli(const struct decoder *d);

#endif
