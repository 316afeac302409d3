/* amf3.h - Action Message Format 3 (Adobe's "amf-file-format-spec", January 2013), as far as RTMP has it: single values inside an
 * AMF0 message, each behind the marker 0x11 (AMF0, section 3.1). Encoders written in ActionScript 3 send their objects so.
 *
 * A value is told as AMF0's of the same meaning: integers and doubles are numbers, an array with named members is an object. What
 * AMF0 has no word for (byte arrays, vectors, dictionaries, dates, a value that was there before) is read over: AMF_OTHER.
 *
 * Strings and the members' names of objects are sent once a message and referred to by number after that, so a struct amf3 remembers
 * them as places in the input, which must stay. It holds a fixed number of each. A string beyond that is AMF_OTHER when it is
 * referred to; an object whose members are beyond it cannot be read, nor what lies behind it: ERR_PROTO. The same is true of an object
 * that writes itself (IExternalizable), but for Flex's two wrappers, which are one value each. Work is linear in the input. */
#ifndef INGESTD_AMF3_H
#define INGESTD_AMF3_H

#include "common/bytes.h"
#include "ingestd/amf_value.h"

#define AMF3_TEXTS 128
#define AMF3_TRAITS 32

struct amf3_text {
        const uint8_t *p;
        uint32_t len_bytes;
};

struct amf3_traits {
        const uint8_t *names; /* of the sealed members, as they are in the input */
        uint32_t count;
        bool dynamic; /* named members follow the sealed ones */
        bool wraps;   /* the object is one value, and has no members */
};

/* Of one message. Begins with both counts at 0; they go on where the arrays are full. */
struct amf3 {
        uint32_t text_count, traits_count;
        struct amf3_text texts[AMF3_TEXTS];
        struct amf3_traits traits[AMF3_TRAITS];
};

/* Reads one value; depth: containers around it. Members of the first level go to each(arg, …), which may be NULL.
 * Errors are the reader's: ERR_PROTO, or ERR_LIMIT beyond AMF_DEPTH_MAX. *out is AMF_NOTHING then. */
void amf3_read(struct amf3 *a, struct reader *r, unsigned depth, struct amf_value *out, amf_property *each, void *arg);

#endif
