/* daemon.h - what the four main() functions share: configuration, identity, log, signals, admin port, systemd, the loop.
 *
 *   main():  daemon_init()  →  daemon_listener()s  →  open sockets  →  daemon_ready(true)  →  daemon_run()  →  daemon_fini()
 *
 * SIGTERM, SIGINT and POST /api/drain call stop() once on the loop; the daemon finishes what it must and calls daemon_exit().
 * A second signal (a third, if there is hurry()), or drain_ms and STOP_DEADLINE_MS, end the process with status 1, even one whose
 * loop stands still. SIGHUP
 * reloads the configuration and calls reloaded(). SIGPIPE is ignored.
 *
 * systemd (notify.h) hears READY when daemon_run() begins, or at daemon_opened() if opens_later is set; what readiness says as
 * STATUS; STOPPING and RELOADING; and from the loop's tick that it lives. */
#ifndef COMMON_DAEMON_DAEMON_H
#define COMMON_DAEMON_DAEMON_H

#include <stdbool.h>
#include <uv.h>

#include "common/cluster/rpc.h"
#include "common/daemon/admin.h"
#include "common/daemon/config.h"

#define DAEMON_STOP_DEADLINE_MS 15000

struct daemon {
        uint32_t magic;
        uv_loop_t *loop;
        struct node_identity self;
        int64_t drain_ms; /* how long stop() may wait for others, on top of the deadline; set before daemon_run() */
        void (*hurry)(void *arg); /* what a second signal calls, before a third ends the process; may be NULL; likewise */
        bool opens_later; /* sockets open after daemon_run() began: daemon_opened() tells; set before it */
        /* … private below */
        const char *program;
        const struct config_key *keys;
        struct config_common *config;
        int argc;
        char **argv;
        void (*stop)(void *arg);
        void (*reloaded)(void *arg); /* may be NULL */
        void *arg;
        int exit_status;
        void *impl;
};

/* fields is the daemon's zeroed config struct, struct config_common first. Exits the process itself for --help, -n, bad
 * arguments and an admin port open to strangers (status 0 or 2), --healthcheck (0 or 1), and with 1 when the admin port is
 * taken. Raises the limit of file descriptors as far as is allowed. */
void daemon_init(struct daemon *d, const char *program, enum node_role role, const struct config_key *keys, void *fields,
                 int argc, char **argv, void (*stop)(void *arg), void (*reloaded)(void *arg), void *arg);

/* /readyz answers 200 when ready is set, otherwise 503 with why ("waiting for an origin"). Loop thread. */
void daemon_ready(struct daemon *d, bool ready, const char *why);

/* The rule for every listener but the viewers', before it opens: "what" ("RTMP") is to listen on bind. guarded: strangers are
 * kept out, by what the configuration keys named in `keys` hold. If not, then on loopback, or with insecure=true, it opens all
 * the same, and one warning before daemon_run() names all such; elsewhere the process ends with status 2 and says what to
 * set. */
void daemon_listener(struct daemon *d, const char *what, const char *bind, bool guarded, const char *keys);

/* More of the admin port's /api/; the table is static. */
void daemon_routes(struct daemon *d, const struct admin_route *routes, size_t count, void *arg);

void daemon_opened(struct daemon *d); /* with opens_later: the sockets are open */

int daemon_run(struct daemon *d); /* until daemon_exit(); returns the exit status */
void daemon_exit(struct daemon *d, int status); /* stops signals, admin, timers; the loop ends when nothing is left */
void daemon_fini(struct daemon *d, void *fields);

#endif
