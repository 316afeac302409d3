/* cues.h - what a broadcaster says at a moment, on its way into the next picture, or the next sound where there are no pictures
 * (common/cue.h).
 *
 *   all zero → cues_keep … → cues_into, with each picture or sound, or cues_fini
 * Messages beyond CUES_BYTES_S are not heard, nor are those that no picture or sound takes along in time. The publication's; loop
 * thread. */
#ifndef INGESTD_CUES_H
#define INGESTD_CUES_H

#include "ingestd/amf_cue.h"
#include "ingestd/flv.h"

#define CUES_WAIT 16
#define CUES_BYTES_S 2048  /* of all that is said; each counts for CUES_EACH more */
#define CUES_BYTES_ONCE 16384
#define CUES_EACH 100
#define CUES_HEARD_S 16384 /* of messages, whether anything comes of them or not; a byte takes up to 60 ns to read */
#define CUES_HEARD_ONCE 131072

struct cues {
        struct amf_cue *waiting[CUES_WAIT];
        size_t count;
        int64_t paid_us;  /* monotonic: up to then what may be said was said, */
        int64_t heard_us; /* and read what may be read */
};

/* Whether a message may be read at all: false when it could not be kept anyway, or too much was read already. */
bool cues_hear(struct cues *c, size_t message_bytes, int64_t now_us);

/* A copy of it. False: it is too much. */
bool cues_keep(struct cues *c, const struct amf_cue *said, int64_t now_us);

/* The bytes of the frame (H.264 or AAC) with all that waits, which waits no longer; a new reference. *lost: how many had no room in it.
 * due_only: other frames are there already, and what lies behind this one goes with those. */
struct buf *cues_into(struct cues *c, const struct flv_frame *frame, bool due_only, size_t *lost);

void cues_fini(struct cues *c);

#endif
