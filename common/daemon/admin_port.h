/* admin_port.h - the socket of the admin port: who connects, and who is closed for the next one. What is asked and answered is admin.c's.
 *
 *   admin_port_open    any thread; from then on connections are taken by a thread of their own, so that the port answers whatever the
 *                      loop does, and each is served by one more
 *   admin_port_asked, admin_port_answered   a connection's thread: its request is there, and its answer was sent or given up
 *   admin_port_sweep   any thread, each second: closes who has owed a request for longer than ADMIN_SLOW_S
 *   admin_port_close   waits for the threads
 *
 * There is always room for one more connection: beyond ADMIN_CONNECTIONS the address that has most of them loses the one that has owed
 * a request for longest, so that nobody can keep those out who ask how the daemon is. libmicrohttpd accepts none of them itself: it
 * would refuse the newest instead, and turn in circles when there is no descriptor for one. A few descriptors are held in reserve for
 * that case: one is given up for a connection, and taken back as soon as there is another. */
#ifndef COMMON_DAEMON_ADMIN_PORT_H
#define COMMON_DAEMON_ADMIN_PORT_H

#include <microhttpd.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADMIN_CONNECTIONS 64
#define ADMIN_SPARES 4

struct admin_port;

/* ERR_IN_USE and whatever else bind() says: *out is then NULL. handle and completed get arg. */
int admin_port_open(struct admin_port **out, const struct sockaddr_storage *address, MHD_AccessHandlerCallback handle,
                    MHD_RequestCompletedCallback completed, void *arg);
void admin_port_asked(struct admin_port *p, struct MHD_Connection *conn);
void admin_port_answered(struct admin_port *p, struct MHD_Connection *conn);
void admin_port_sweep(struct admin_port *p, int64_t now_us); /* monotonic */
void admin_port_close(struct admin_port *p);

#endif
