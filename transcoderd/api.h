/* api.h - transcoderd's part of the admin port's /api/ (docs/operations.md has the answers):
 *   GET /api/sessions   what is encoded here, for whom, how near to its limits, and who stores it */
#ifndef TRANSCODERD_API_H
#define TRANSCODERD_API_H

#include "common/daemon/daemon.h"

struct sessions;

void api_open(struct daemon *d, struct sessions *ss); /* at start, once; ss lives until daemon_exit() */

#endif
