/* newest.h - the newest session that a stream's manifest was seen to name, so that nobody is sent back to the one before.
 *
 * An origin that stood still or was cut off while a stream began a new session tells of the old one until it has compared
 * with its peers. Its manifest is told by the session id in its addresses (`"ID/v720/…` in an attribute, or `ID/…` at the
 * beginning of a line), whatever the format; ids begin with the time, so the greater is the newer.
 *
 * A memory of NEWEST_STREAMS places, found by hash; a stream that meets another in its place takes it over, which costs
 * nothing but the guard. Loop thread only, no allocation. */
#ifndef EDGED_NEWEST_H
#define EDGED_NEWEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/message.h"

#define NEWEST_STREAMS 1024

struct newest {
        struct {
                char stream[STREAM_ID_MAX + 1];
                char session[SESSION_ID_MAX + 1];
        } seen[NEWEST_STREAMS];
};

/* The id that bytes name first into session; false: none. */
bool newest_find(const uint8_t *bytes, size_t len, char session[SESSION_ID_MAX + 1]);

/* A newer session of this stream was seen than this one. */
bool newest_is_old(const struct newest *n, const char *stream, const char *session);
void newest_saw(struct newest *n, const char *stream, const char *session);

#endif
