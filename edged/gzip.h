/* gzip.h - texts for who takes them gzipped: web pages, manifests, playlists, lists. Pure; any thread. */
#ifndef EDGED_GZIP_H
#define EDGED_GZIP_H

#include <stdbool.h>
#include <stddef.h>

/* Whether Accept-Encoding (its value, NULL: there is none) allows gzip: it is named, or "*" is, and not with q=0 (RFC 9110, 12.5.3). */
bool gzip_is_accepted(const char *accept_encoding);

enum gzip_effort { GZIP_QUICK, GZIP_BEST };

/* The bytes gzipped, *out_len of them, malloc'd; NULL: they would not be fewer, and *out_len is unchanged. */
void *gzip_make(const void *bytes, size_t len, enum gzip_effort effort, size_t *out_len);

#endif
