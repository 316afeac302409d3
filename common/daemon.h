/* daemon.h - what the four main() functions share: configuration, identity, log, signals, admin port, the loop.
 *
 *   main():  daemon_init()  →  open sockets  →  daemon_ready(true)  →  daemon_run()  →  daemon_fini()
 *
 * SIGTERM and SIGINT call stop() once on the loop; the daemon finishes what it must and calls daemon_exit(). A second
 * signal (a third, if there is hurry()), or drain_ms and STOP_DEADLINE_MS, end the process with status 1. SIGHUP reloads
 * the configuration and calls reloaded(). SIGPIPE is ignored. */
#ifndef COMMON_DAEMON_H
#define COMMON_DAEMON_H

#include <stdbool.h>
#include <uv.h>

#include "common/config.h"
#include "common/rpc.h"

#define DAEMON_STOP_DEADLINE_MS 15000

struct daemon {
        uv_loop_t *loop;
        struct node_identity self;
        int64_t drain_ms; /* how long stop() may wait for others, on top of the deadline; set before daemon_run() */
        void (*hurry)(void *arg); /* what a second signal calls, before a third ends the process; may be NULL; likewise */
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

/* fields is the daemon's zeroed config struct, struct config_common first. Exits the process itself for --help, -n and bad
 * arguments (status 0 or 2), and with 1 when the admin port is taken. */
void daemon_init(struct daemon *d, const char *program, enum node_role role, const struct config_key *keys, void *fields,
                 int argc, char **argv, void (*stop)(void *arg), void (*reloaded)(void *arg), void *arg);

/* /readyz answers 200 when ready is set, otherwise 503 with why ("waiting for an origin"); any thread. */
void daemon_ready(struct daemon *d, bool ready, const char *why);

int daemon_run(struct daemon *d); /* until daemon_exit(); returns the exit status */
void daemon_exit(struct daemon *d, int status); /* stops signals, admin, timers; the loop ends when nothing is left */
void daemon_fini(struct daemon *d, void *fields);

#endif
