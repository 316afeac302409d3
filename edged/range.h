/* range.h - one byte range of a request (RFC 9110, 14.1.2) against an object of known length. Pure; any thread. */
#ifndef EDGED_RANGE_H
#define EDGED_RANGE_H

#include <stdint.h>

enum range_verdict {
        RANGE_WHOLE,         /* none, malformed, several, or another unit: to be ignored */
        RANGE_PART,          /* [first, last] lies inside the object */
        RANGE_UNSATISFIABLE, /* 416 */
};

/* header: the field's value or NULL. */
enum range_verdict range_parse(const char *header, uint64_t len_bytes, uint64_t *first, uint64_t *last);

/* 1 when the header asks for something that must be cut out of a whole object: a growing one can be streamed to those who
 * want all of it (no header, or "bytes=0-"). */
int range_needs_whole(const char *header);

#endif
