/* admin.h - the HTTP port of every daemon for machines that watch it: /healthz /readyz /metrics.
 *
 * One thread of libmicrohttpd; it reads metrics (atomics) and the few fields here (their own lock), never other state.
 *   admin_open   loop thread, before any request
 *   admin_tick   loop thread, at least once a second: a loop that stood still for ADMIN_STUCK_MS is not healthy
 *   admin_ready  any thread
 *   admin_close  loop thread; waits for the thread */
#ifndef COMMON_ADMIN_H
#define COMMON_ADMIN_H

#include <stdbool.h>

#define ADMIN_STUCK_MS 5000

struct admin;

/* ERR_IO (address in use …), ERR_CONFIG (bind is not a numeric address): *out is then NULL. */
int admin_open(struct admin **out, const char *bind, int port);
void admin_tick(struct admin *a);
void admin_ready(struct admin *a, bool ready, const char *why); /* why is copied */
void admin_close(struct admin *a);

#endif
