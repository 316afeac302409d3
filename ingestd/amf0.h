/* amf0.h - Action Message Format 0, the encoding of RTMP commands and metadata (Adobe's "amf0-file-format-specification").
 *
 * Reading goes over a message in place (amf_value.h). Values in AMF3 (amf3.h) are read where they stand, as the AMF0 of the same
 * meaning. Errors are the reader's: ERR_PROTO for what cannot be, ERR_LIMIT for values nested deeper than AMF_DEPTH_MAX; once set, every
 * call gives AMF_NOTHING. Work is linear in the input. Writing goes to a struct writer, which counts what does not fit. */
#ifndef INGESTD_AMF0_H
#define INGESTD_AMF0_H

#include "common/bytes.h"
#include "ingestd/amf3.h"

/* The body of one message. What is left of it is r's. */
struct amf0 {
        struct reader r;
        struct amf3 amf3;
};

void amf0_init(struct amf0 *in, const void *data, size_t len_bytes);

/* Reads one value. An object's properties of the first level go to each(arg, …), which may be NULL. */
struct amf_value amf0_read(struct amf0 *in, amf_property *each, void *arg);

void amf0_write_number(struct writer *w, double v);
void amf0_write_string(struct writer *w, const char *v);
void amf0_write_null(struct writer *w);
void amf0_write_object(struct writer *w); /* then key, value, key, value …, end */
void amf0_write_key(struct writer *w, const char *key);
void amf0_write_end(struct writer *w);

#endif
