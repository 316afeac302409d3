/* amf_value.h - one value of an RTMP message, told in the same words whether it was written in AMF0 (amf0.h) or in AMF3 (amf3.h).
 *
 * It points into the message it was read from: strings carry a length, not a NUL. Pure. */
#ifndef INGESTD_AMF_VALUE_H
#define INGESTD_AMF_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#define AMF_DEPTH_MAX 16 /* of values inside values */

enum amf_type {
        AMF_NOTHING, /* end of input, or an error */
        AMF_NUMBER,
        AMF_BOOLEAN,
        AMF_STRING,
        AMF_NULL, /* null, undefined, unsupported */
        AMF_OBJECT, /* object, ECMA array or typed object */
        AMF_ARRAY, /* strict array */
        AMF_OTHER, /* date, reference; of AMF3 what AMF0 does not have */
};

struct amf_value {
        enum amf_type type;
        double number; /* AMF_NUMBER, AMF_BOOLEAN (0 or 1) */
        const char *text; /* AMF_STRING; not ended by NUL */
        size_t len_bytes;
};

/* A property of an object: key is a string value. Of one that is itself an object or array the type is told, and in text and len_bytes
 * where it stands in the input, to be read by amf0_read() in its turn; not inside AMF3. */
typedef void amf_property(void *arg, const struct amf_value *key, const struct amf_value *value);

bool amf_value_is(const struct amf_value *v, const char *text); /* a string, and this one */

/* Copies a string value, cut at a NUL in it, or at cap - 1 bytes or at the last whole character (UTF-8) before that. dst is a valid
 * string afterwards, "" for other types. False when something was cut. */
bool amf_value_copy(char *dst, size_t cap, const struct amf_value *v);

#endif
