/* notify.h - what systemd (Type=notify) is told: that the service is ready, what it is doing, that it lives.
 *
 * The protocol is one datagram of lines to the socket that NOTIFY_SOCKET names, and its description promises that it stays
 * so. libsystemd would do the same and bring five more libraries into a process that faces the internet. Without
 * NOTIFY_SOCKET everything here does nothing. Loop thread; never blocks: a message that the socket has no room for is lost. */
#ifndef COMMON_DAEMON_NOTIFY_H
#define COMMON_DAEMON_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and takes them out of the environment: children are not asked. */
void notify_open(void);
void notify_close(void);

/* Lines as sd_notify(3) has them: "READY=1\nSTATUS=ready". */
void notify_send(const char *lines);

/* How often the watchdog wants to hear "WATCHDOG=1" at least; 0: it does not. */
int64_t notify_watchdog_us(void);

#endif
