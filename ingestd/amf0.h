/* amf0.h - Action Message Format 0, the encoding of RTMP commands and metadata (Adobe's "amf0-file-format-specification").
 *
 * Reading goes over a message in place: strings point into the input and carry a length, not a NUL. Values in AMF3 (amf3.h) are read
 * where they stand, as the AMF0 of the same meaning. Errors are the reader's: ERR_PROTO for what cannot be, ERR_LIMIT for values
 * nested deeper than AMF0_DEPTH_MAX; once set, every call gives AMF0_NOTHING. Work is linear in the input. Writing goes to a
 * struct writer, which counts what does not fit. */
#ifndef INGESTD_AMF0_H
#define INGESTD_AMF0_H

#include "common/bytes.h"
#include "ingestd/amf3.h"

#define AMF0_DEPTH_MAX 16

enum amf0_type {
        AMF0_NOTHING, /* end of input, or an error */
        AMF0_NUMBER,
        AMF0_BOOLEAN,
        AMF0_STRING,
        AMF0_NULL, /* null, undefined, unsupported */
        AMF0_OBJECT, /* object, ECMA array or typed object */
        AMF0_ARRAY, /* strict array */
        AMF0_OTHER, /* date, reference; of AMF3 what AMF0 does not have */
};

struct amf0_value {
        enum amf0_type type;
        double number; /* AMF0_NUMBER, AMF0_BOOLEAN (0 or 1) */
        const char *text; /* AMF0_STRING; not ended by NUL */
        size_t len_bytes;
};

/* A property of an object: key is a string value. Of one that is itself an object or array the type is told, and in text and len_bytes where it
 * stands in the input, to be read by amf0_read() in its turn; not inside AMF3. */
typedef void amf0_property(void *arg, const struct amf0_value *key, const struct amf0_value *value);

/* The body of one message. What is left of it is r's. */
struct amf0 {
        struct reader r;
        struct amf3 amf3;
};

void amf0_init(struct amf0 *in, const void *data, size_t len_bytes);

/* Reads one value. An object's properties of the first level go to each(arg, …), which may be NULL. */
struct amf0_value amf0_read(struct amf0 *in, amf0_property *each, void *arg);

bool amf0_equals(const struct amf0_value *v, const char *text); /* a string, and this one */

/* Copies a string value, cut at a NUL in it, or at cap - 1 bytes or at the last whole character (UTF-8) before that. dst is a valid
 * string afterwards, "" for other types. False when something was cut. */
bool amf0_copy(char *dst, size_t cap, const struct amf0_value *v);

void amf0_write_number(struct writer *w, double v);
void amf0_write_string(struct writer *w, const char *v);
void amf0_write_null(struct writer *w);
void amf0_write_object(struct writer *w); /* then key, value, key, value …, end */
void amf0_write_key(struct writer *w, const char *key);
void amf0_write_end(struct writer *w);

#endif
