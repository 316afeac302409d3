/* amf_cue.h - the data messages of RTMP that say something at a moment: onTextData, onCuePoint, onAdCue, onUserDataEvent.
 *
 * What is said is kept as JSON, so that a page can read it; an SCTE 35 section, in base64 as encoders send it (`type` "scte35", in `cue`
 * or `data`), as the bytes that it is. Pure; any bytes of strangers. */
#ifndef INGESTD_AMF_CUE_H
#define INGESTD_AMF_CUE_H

#include <stdbool.h>

#include "common/cue.h"

#define AMF_CUE_MESSAGE_MAX 16384 /* longer messages are not looked at */

struct amf_cue {
        struct cue cue; /* kind, duration and body; the body is in here */
        uint32_t at_ms; /* on the clock of the message's timestamp */
        uint8_t body[CUE_BODY_MAX];
};

/* Whether it is one of those, by its name; all else may be nonsense. */
bool amf_cue_is(const uint8_t *data, size_t len_bytes);

/* 0; ERR_NOT_FOUND: another message, or it says nothing; ERR_LIMIT: more than CUE_BODY_MAX; ERR_PROTO: it makes no sense. *out is valid
 * with 0 only, and is not to be copied. */
int amf_cue_read(struct amf_cue *out, const uint8_t *data, size_t len_bytes, uint32_t timestamp_ms);

#endif
