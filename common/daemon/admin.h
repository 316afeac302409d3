/* admin.h - the HTTP port of every daemon for those who run it: /healthz and /readyz for machines that watch it, /metrics for
 * Prometheus, /api/ for tools.
 *
 *   admin_open     loop thread, before any request
 *   admin_routes   loop thread: more of /api/; the table is the caller's and lives as long as the port
 *   admin_tick     loop thread, at least once a second: a loop that stood still for ADMIN_STUCK_MS is neither healthy nor ready
 *   admin_sweep    done by admin_tick(); apart, so that tests need not wait
 *   admin_ready, admin_token, admin_is_ready   any thread
 *   admin_quiesce  loop thread: handlers are called no more, /api/ answers 503. Everything else is answered as before
 *   admin_detach   loop thread, once the loop has nothing else to do; then let the loop run its close callbacks
 *   admin_close    after that; waits for the threads, and for answers that are being written, at most ADMIN_CLOSE_MS
 *
 * Each connection has a thread of libmicrohttpd's (a tool asks seldom, so threads are cheaper than states here, and one that
 * waits holds up nobody). It reads metrics (atomics) and the fields under admin's lock, never other state: a route's handler
 * runs on the loop, which is handed the request by mailbox while the connection's thread waits. At most ADMIN_CALLS_MAX are
 * handed over at a time; a loop that does not answer within ADMIN_CALL_MS is answered for with 503, and what was not begun by
 * then is not done any more.
 *
 * There is always room for one more connection (admin_port.h), so that nobody can keep those out who ask how the daemon is.
 *
 * With a token, all but /healthz and /readyz asks for `Authorization: Bearer <token>`. Without one the port is open to every
 * process that reaches it, but not to web pages that a browser beside it shows: what changes something wants Content-Type:
 * application/json, which a foreign page may not send unasked, and a port on loopback wants a Host that is an address or
 * localhost, which a name that was made to point here is not. */
#ifndef COMMON_DAEMON_ADMIN_H
#define COMMON_DAEMON_ADMIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/daemon/admin_call.h"

#define ADMIN_STUCK_MS 5000
#define ADMIN_BODY_MAX_BYTES (64u << 10)
#define ADMIN_DEPTH_MAX 8
#define ADMIN_CLOSE_MS 500
#define ADMIN_SLOW_S 20 /* from a connection's begin, or its last answer, to the end of the next: longer, and it is closed */

struct admin;

struct admin_route {
        const char *method, *path; /* GET answers HEAD too */
        const char *members;       /* of the body, with a space between; NULL: none */
        admin_handler *handle;
};

/* ERR_IO (address in use …), ERR_CONFIG (bind is not a numeric address): *out is then NULL. token is copied. */
int admin_open(struct admin **out, uv_loop_t *loop, const char *bind, int port, const char *token);
void admin_routes(struct admin *a, const struct admin_route *routes, size_t count, void *arg); /* at most 8 tables */
void admin_tick(struct admin *a);
void admin_sweep(struct admin *a, int64_t now_us); /* monotonic */
void admin_ready(struct admin *a, bool ready, const char *why); /* why is copied */
bool admin_is_ready(struct admin *a, char *why, size_t why_cap); /* why is "" when it is */
void admin_token(struct admin *a, const char *token);
void admin_quiesce(struct admin *a);
void admin_detach(struct admin *a);
void admin_close(struct admin *a);

#endif
