/* api.h - ingestd's part of the admin port's /api/ (docs/operations.md has the answers):
 *   GET /api/publishers   who publishes, how much, and how far it is stored
 *   POST /api/kick        {"stream", "why"}: lets a stream's broadcasters go; its session ends */
#ifndef INGESTD_API_H
#define INGESTD_API_H

#include "common/daemon/daemon.h"

struct publications;

void api_open(struct daemon *d, struct publications *in); /* at start, once; in lives until daemon_exit() */

#endif
