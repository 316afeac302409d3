/* pattern.h - configuration per stream: an array of JSON objects, of which the first whose "match" fits the stream's id
 * decides. Pure. */
#ifndef COMMON_PATTERN_H
#define COMMON_PATTERN_H

#include <jansson.h>
#include <stdbool.h>

/* pattern is a shell pattern: * ? [a-z]. */
bool pattern_fits(const char *pattern, const char *stream);

/* "match" is a shell pattern; left out: every stream. NULL: no entry fits, or there is none. The entry is entries'. */
const json_t *pattern_first(const json_t *entries, const char *stream);

#endif
