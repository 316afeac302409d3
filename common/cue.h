/* cue.h - what is said beside the picture at a moment of a broadcast: a line of text, a cue point, a splice for advertisements (SCTE 35).
 *
 *   the broadcaster's message → ingestd puts it into the next picture, as an SEI message of H.264 → transcoderd takes it out of the
 *   decoded picture and puts it before the chunk of each rung that has the picture, as an `emsg` box → originD reads it there
 * So a cue goes where its picture goes: it is replayed, encoded, fenced, stored and copied with it, and every transcoder makes the
 * same box of it. Of a broadcast without pictures the same is true of its sound (common/aac_data.h). Pure; any thread. Reading is bounded
 * and believes nothing. */
#ifndef COMMON_CUE_H
#define COMMON_CUE_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

enum cue_kind {
        CUE_AMF = 0,    /* the body is JSON: {"name": "onTextData", "data": …} */
        CUE_SCTE35 = 1, /* the body is a splice_info_section */
        CUE_KINDS
};

#define CUE_BODY_MAX 2048
#define CUE_NO_DURATION UINT32_MAX /* not known, or none */
#define CUE_MESSAGE_MAX (16 + 1 + 4 + 4 + 2 + CUE_BODY_MAX)
#define CUE_VALUE "1" /* beside the scheme in manifests and boxes; the same in both, or players do not look */

struct cue {
        uint8_t kind;         /* enum cue_kind */
        uint32_t id;          /* of what is said and when: the same in all rungs, of all transcoders */
        uint32_t duration_ms; /* CUE_NO_DURATION */
        int64_t at_us;        /* media time, in whole ms */
        const uint8_t *body;  /* in whoever's memory it was read from */
        size_t body_len;      /* ≤ CUE_BODY_MAX */
};

/* The scheme that boxes and manifests name; constant. */
const char *cue_scheme(enum cue_kind kind);

/* What goes with a picture, as the payload of an SEI message of the type AVC_SEI_UNREGISTERED, or with a frame of sound. The cue lies
 * offset_ms after the picture is shown, or the sound heard; at_us and id are not looked at. Returns its length; 0: cap is too little. */
size_t cue_message_write(uint8_t *dst, size_t cap, const struct cue *c, int32_t offset_ms);

/* 0; ERR_NOT_FOUND: it is somebody else's message; ERR_PROTO. The picture is shown, or the sound heard, at frame_us. *out is only set
 * with 0. */
int cue_message_read(struct cue *out, const uint8_t *payload, size_t len_bytes, int64_t frame_us);

/* An `emsg` box of version 1 (ISO/IEC 23009-1, 5.10.3.3), in ticks of the track it stands in. */
struct buf *cue_box(const struct cue *c, uint32_t timescale);

/* body: the box without its length and type. 0; ERR_NOT_FOUND: of another scheme or version; ERR_PROTO. *out is only set with 0. */
int cue_box_read(struct cue *out, const uint8_t *body, size_t len_bytes);

#endif
