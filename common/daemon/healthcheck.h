/* healthcheck.h - `--healthcheck`: the daemon's program asks the admin port of a daemon that runs, so that a container needs
 * no other program for it. Blocks for at most HEALTHCHECK_MS. */
#ifndef COMMON_DAEMON_HEALTHCHECK_H
#define COMMON_DAEMON_HEALTHCHECK_H

#include <stdbool.h>
#include <stddef.h>

#define HEALTHCHECK_MS 2000

/* GET path at bind:port (an address that stands for all of them: at loopback). True: it answered 200. why is what it said, or
 * why it said nothing. */
bool healthcheck(const char *bind, int port, const char *path, char *why, size_t why_cap);

#endif
