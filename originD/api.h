/* api.h - originD's part of the admin port's /api/ (docs/operations.md has the answers):
 *   GET /api/sessions   what is live, and how far each track is stored; the disk, and when it will be full */
#ifndef ORIGIND_API_H
#define ORIGIND_API_H

#include "common/daemon/daemon.h"

struct store;

void api_open(struct daemon *d, struct store *st); /* at start, once; st lives until daemon_exit() */

#endif
