/* pattern.h - configuration per stream: an array of JSON objects, of which the first whose "match" fits the stream's id
 * decides. Pure. */
#ifndef COMMON_PATTERN_H
#define COMMON_PATTERN_H

#include <jansson.h>
#include <stdbool.h>

/* pattern is a shell pattern: * ? [a-z]. */
bool pattern_fits(const char *pattern, const char *stream);

/* Whether any stream can have a name that fits: a pattern is made of what names are made of, and of * ? [a-z] [!a-z]. One that is
 * something else (a regular expression, a path) would be a rule that never applies, and nobody would hear of it. */
bool pattern_possible(const char *pattern);

/* "match" is a shell pattern; left out: every stream. NULL: no entry fits, or there is none. The entry is entries'. */
const json_t *pattern_first(const json_t *entries, const char *stream);

#endif
