/* flv.h - the bodies of RTMP's audio, video and data messages, which are those of FLV tags (Adobe's "Video File Format
 * 10.1", annex E; Veovera's Enhanced RTMP v2), as frames.
 *
 * Pure. One struct flv a publication, zeroed at its start. It lets through H.264 and AAC, each from its configuration
 * record on; everything else is FLV_IGNORED (empty, end of sequence, commands, media before its configuration) or
 * refused with a name that can be shown to the broadcaster. */
#ifndef INGESTD_FLV_H
#define INGESTD_FLV_H

#include <stdbool.h>

#include "ingestd/publication.h"

struct flv {
        bool configured[TRACK_KINDS];
        char what[64]; /* after FLV_UNSUPPORTED or FLV_DAMAGED: "HEVC video", "H.264 configuration" */
};

enum flv_verdict {
        FLV_FRAME,
        FLV_IGNORED,
        FLV_UNSUPPORTED, /* what: the codec */
        FLV_DAMAGED,     /* what: the part that makes no sense */
};

#define FLV_ALLOWED "H.264 video and AAC audio" /* for the same message */

/* data is memory from malloc. With FLV_FRAME, out->bytes lies in it and owns it: the caller gives it back with
 * buf_unref(). Otherwise data stays the caller's and *out is unchanged. */
enum flv_verdict flv_video(struct flv *f, uint8_t *data, size_t len_bytes, uint32_t dts_ms, struct flv_frame *out);
enum flv_verdict flv_audio(struct flv *f, uint8_t *data, size_t len_bytes, uint32_t dts_ms, struct flv_frame *out);

/* A data message: `onMetaData`, with or without `@setDataFrame` before it. 0; ERR_NOT_FOUND: some other message;
 * ERR_PROTO, ERR_LIMIT (nested too deeply): not AMF0. *out is only set with 0. */
int flv_script(const uint8_t *data, size_t len_bytes, struct flv_metadata *out);

#endif
