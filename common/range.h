/* range.h - the request headers that choose between an object, a part of it and nothing: Range, If-Range, If-Match, If-None-Match
 * (RFC 9110, 13 and 14). Whatever the headers hold, a part lies inside the object. Pure; any thread. */
#ifndef COMMON_RANGE_H
#define COMMON_RANGE_H

#include <stdbool.h>
#include <stdint.h>

enum range_verdict {
        RANGE_WHOLE,         /* none, malformed, several, or another unit: to be ignored (14.2 allows it for several) */
        RANGE_PART,          /* len > 0 bytes from `from` */
        RANGE_UNSATISFIABLE, /* 416 */
};

/* header: the field's value or NULL. Unless it is RANGE_PART, from and len are the whole object. */
enum range_verdict range_parse(const char *header, uint64_t size, uint64_t *from, uint64_t *len);

/* The header asks for something that must be cut out of a whole object: a growing one can be streamed to those who want
 * all of it (no header, or "bytes=0-"). */
bool range_needs_whole(const char *header);

/* It names both ends ("bytes=100-199"), so the answer can begin before anybody knows how long the object will be: len bytes from `from`,
 * or up to where the object ends (RFC 8673). */
bool range_has_ends(const char *header, uint64_t *from, uint64_t *len);

/* The Range to be heeded: range, or NULL when If-Range (NULL: the request has none) names another version than tag, "" while
 * that is not known. A date there is another version: we send none (13.1.5). */
const char *range_if(const char *range, const char *if_range, const char *tag);

/* header: If-None-Match's value or NULL; tag: the object's, quoted. Weak comparison, lists, "*". */
bool etag_matches(const char *header, const char *tag);

/* header: If-Match's value or NULL, which any tag meets. Strong comparison, lists, "*". false: 412. */
bool etag_is_wanted(const char *header, const char *tag);

#endif
