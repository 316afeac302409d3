/* etag.h - how HTTP calls a version of some bytes: by a digest of them, so every edge has the same name for the same bytes. Pure; any
 * thread. */
#ifndef EDGED_ETAG_H
#define EDGED_ETAG_H

#include <stdint.h>

#define ETAG_MAX 24

/* The strong entity-tag of that digest (RFC 9110, 8.8.3); "", which no request matches, of 0: the bytes are not all there. */
void etag_write(char tag[ETAG_MAX], uint64_t digest);

#endif
