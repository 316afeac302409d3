/* check.h - what may stand in a message: the names there are, and the bounds that several messages share.
 *
 * The names' functions judge any string, of a message or not. The others are called by a decode function between its reads; a value that
 * cannot be sets the reader's sticky error. Pure. */
#ifndef PROTO_CHECK_H
#define PROTO_CHECK_H

#include "common/bytes.h"

int stream_id_valid(const char *s);  /* 1 or 0: [A-Za-z0-9_-]{1,64} */
int session_id_valid(const char *s); /* 1 or 0: [A-Za-z0-9-]{1,40} */
int track_name_valid(const char *s); /* 1 or 0: [a-z][a-z0-9]{1,15} */
int node_id_valid(const char *s);    /* 1 or 0: [A-Za-z0-9._-]{1,63} */
int zone_valid(const char *s);       /* 1 or 0: [A-Za-z0-9._-]{1,31} */

/* No time on the wire is further than this from zero (285 years), so that sums of a few of them never overflow. */
#define TIME_MAX_US (INT64_C(1) << 53)

int64_t check_time(struct reader *r);           /* in [-TIME_MAX_US, TIME_MAX_US] */
int64_t check_time_from_zero(struct reader *r); /* in [0, TIME_MAX_US] */
int8_t check_status(struct reader *r);          /* 0 or negative */
uint8_t check_flags(struct reader *r, uint8_t known);

/* A string that ok() accepts; an empty one too when may_be_empty. */
void check_name(struct reader *r, char *dst, size_t cap, int (*ok)(const char *s), int may_be_empty);

/* 32-bit length (≤ max) and that many bytes, in place. */
const uint8_t *check_body(struct reader *r, uint32_t max, uint32_t *len);
void check_body_write(struct writer *w, const uint8_t *bytes, uint32_t len);

#endif
