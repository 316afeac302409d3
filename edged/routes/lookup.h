/* lookup.h - from a name to its object: what is in the cache, or what may be asked for above (census.h), and who pays for that
 * (addresses.h). The thread of the connection. */
#ifndef EDGED_ROUTES_LOOKUP_H
#define EDGED_ROUTES_LOOKUP_H

#include "edged/routes/ask.h"

/* Finds what a's path names, with a reference for the caller, or NULL with CACHE_FULL: true. Otherwise there is no such thing, or it
 * may not be asked for: that has been answered, and this is false. Of a version of a playlist that is long past the newest one is found,
 * whose name becomes a's. */
bool lookup(struct ask *a, struct object **out, enum cache_result *cached);

#endif
