/* api.h - edged's part of the admin port's /api/ (docs/operations.md has the answers):
 *   GET /api/stats   viewers, the cache, what was fetched, how late each stream comes here */
#ifndef EDGED_API_H
#define EDGED_API_H

#include "common/daemon/daemon.h"

struct fills;

void api_open(struct daemon *d, const struct fills *fills, int64_t cache_budget_bytes); /* at start, once */

#endif
