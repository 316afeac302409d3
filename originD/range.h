/* range.h - two request headers: Range and If-None-Match (RFC 9110, 13 and 14). Pure. */
#ifndef ORIGIND_RANGE_H
#define ORIGIND_RANGE_H

#include <stdbool.h>
#include <stdint.h>

enum range { RANGE_ALL, RANGE_PART, RANGE_BAD };

/* header may be NULL. RANGE_ALL also for what is not understood or names several ranges (RFC 9110, 14.2: may be ignored).
 * RANGE_PART sets from and len; RANGE_BAD: answer 416. */
enum range range_parse(const char *header, uint64_t size, uint64_t *from, uint64_t *len);

/* list is If-None-Match's value; tag is quoted. Weak comparison. */
bool etag_matches(const char *list, const char *tag);

#endif
