/* flv.h - the bodies of RTMP's audio, video and data messages, which are those of FLV tags (Adobe's "Video File Format
 * 10.1", annex E; Veovera's Enhanced RTMP v2), as frames.
 *
 * Pure. One struct flv a publication, zeroed at its start. It lets through H.264 and AAC, each from its
 * configuration record on; everything else is FLV_IGNORED (empty, end of sequence, commands, media before its configuration), or
 * told in words that can be shown to the broadcaster.
 *
 * What H.264's NAL units say counts, not the tag's byte: an IDR picture is a keyframe, and where neither intra coded slices nor a
 * recovery point are, there is none. Parameter sets that the record lacks are taken from the access unit that has them. */
#ifndef INGESTD_FLV_H
#define INGESTD_FLV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "proto/media.h"

/* One demuxed FLV tag. dts_ms is the RTMP timestamp, 32 bits, wrapping. */
struct flv_frame {
        uint8_t track, codec, flags; /* as in struct frame; FRAME_KEY and FRAME_CONFIG only */
        uint32_t dts_ms;
        int32_t cts_ms;
        uint8_t length_size; /* H.264: of the lengths in its access unit */
        struct buf *bytes;
};

/* What onMetaData said; it may come late, twice or never. */
struct flv_metadata {
        int has_video, has_audio; /* 1, 0 or -1: not said */
        char encoder[64], title[128];
};

struct flv {
        bool configured[TRACK_KINDS];
        unsigned length_size; /* of the lengths in H.264's access units; 0: not said yet */
        /* With FLV_FRAME: the frame's parameter sets as a record, which is to be passed on before it. The caller takes it; NULL: none. */
        struct buf *record;
        char what[64]; /* after FLV_UNSUPPORTED, FLV_DAMAGED: "HEVC video", "the H.264 configuration has no parameter sets" */
};

enum flv_verdict {
        FLV_FRAME,
        FLV_IGNORED,
        FLV_UNSUPPORTED, /* what: the codec */
        FLV_DAMAGED,     /* what: a configuration of no use, and why. The one before it, or the next, serves */
};

#define FLV_ALLOWED "H.264 video and AAC audio" /* for the same message */

/* block is a tag's body, which nobody else has a reference to; NULL: an empty one. With FLV_FRAME, out->bytes is that block with the
 * caller's reference, and only the frame is seen of it any more (buf_narrow). Otherwise it stays as it was and *out is unchanged. */
enum flv_verdict flv_video(struct flv *f, struct buf *block, uint32_t dts_ms, struct flv_frame *out);
enum flv_verdict flv_audio(struct flv *f, struct buf *block, uint32_t dts_ms, struct flv_frame *out);

/* A data message: `onMetaData`, with or without `@setDataFrame` before it. 0; ERR_NOT_FOUND: some other message;
 * ERR_PROTO, ERR_LIMIT (nested too deeply): not AMF0. *out is only set with 0. */
int flv_script(const uint8_t *data, size_t len_bytes, struct flv_metadata *out);

#endif
