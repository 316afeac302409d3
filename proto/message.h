/* message.h - the frame every message between daemons has: one type byte, then the fields of that type.
 *
 * Each conversation has its header (hello.h, media.h, store.h, fetch.h) with a struct and an encode/decode pair a message.
 * encode(writer, struct) is run twice by message_new(): once to count, once to write into the nng message, so bytes are
 * copied once. decode(reader, struct) returns 0 or ERR_PROTO (short, left over, or a value that cannot be); pointers in
 * a decoded struct lie in the message and live as long as it does. Bounds stand beside the fields. */
#ifndef PROTO_MESSAGE_H
#define PROTO_MESSAGE_H

#include <nng/nng.h>
#include <stdint.h>

#include "common/bytes.h"
#include "proto/check.h"

/* One more whenever a node of the version before would misunderstand this one, or be misunderstood: a message, a field, what a
 * field means, a key of /peer/ and the JSON behind it. HELLO then refuses, in words. What nobody reads any more goes with the next one:
 * HELLO's load_permille, and the reserved eight bytes of the answer to OPEN.
 *   5  origins tell each other what ended in pages of changes, and volumes of what they have; PUT's duration_us says whether the
 *      chunk's own length is a guess; END is answered by owners that are out of step
 *   6  origins tell each other a segment that cannot be had from one that never was, and a session's volumes in pages
 *   7  HELLO says the time, and OPEN how far two clocks are apart by it; CLAIM may be of a live session only */
#define PROTO_VERSION 7

#define STREAM_ID_MAX 64  /* [A-Za-z0-9_-]{1,64} */
#define SESSION_ID_MAX 40 /* 20260131T123456Z-1a2b3c4d : made by session_id_make() */
#define TRACK_NAME_MAX 16 /* v720, a128: [a-z][a-z0-9]{1,15} */
#define NODE_ID_MAX 63    /* [A-Za-z0-9._-]{1,63} */
#define ZONE_MAX 31       /* [A-Za-z0-9._-]{1,31} */
#define BODY_MAX (1u << 20) /* media bytes in one PUT or FETCH answer */

enum message_type {
        MSG_HELLO = 1, MSG_HELLO_REPLY, MSG_CHALLENGE,
        MSG_OPEN = 10, MSG_OPEN_REPLY, MSG_MEDIA, MSG_MEDIA_REPLY, MSG_CLOSE, MSG_CLOSE_REPLY,
        MSG_MEDIA_MANY, MSG_MEDIA_MANY_REPLY, MSG_MEDIA_TOLD,
        MSG_CLAIM = 20, MSG_CLAIM_REPLY, MSG_PUT, MSG_PUT_REPLY, MSG_END, MSG_END_REPLY,
        MSG_FETCH = 30, MSG_FETCH_REPLY, MSG_FETCH_OWNED,
        MSG_REFUSED = 99, /* answer to anything: status, text (no HELLO yet, wrong version, wrong token) */
};

typedef void message_encode(struct writer *w, const void *message);

/* A whole nng message: type byte and what encode writes. */
nng_msg *message_new(uint8_t type, message_encode *encode, const void *message);

/* Reads the type byte; 0 (no message type) when the message is empty. */
uint8_t message_open(struct reader *r, nng_msg *msg);

/* A new session's id: its epoch in UTC and 32 random bits, so that ids sort by time. */
void session_id_make(char dst[SESSION_ID_MAX + 1], int64_t epoch_us);

#endif
