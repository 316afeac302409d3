/* rtmp_server.h - the RTMP and RTMPS ports: accepts broadcasters, moves bytes between their sockets and struct rtmp_session,
 * by way of struct rtmp_wire (PROXY header, TLS).
 *
 *   OPEN      rtmp_server_open()            no port yet
 *             rtmp_server_listen()          one more
 *   DRAINING  rtmp_server_stop_accepting()  new connections are refused by the kernel; those there are go on
 *   CLOSED    rtmp_server_close()           everything closes; the memory goes when the loop has run its close callbacks
 *
 * Who publishes is read to the beat of setup.shipments, if there is one: what is read sooner would wait all the same. Loop thread only.
 * One read buffer for all connections: an idle publisher costs its kernel socket and about 2 kB.
 *
 * A turn of the loop reads each socket once (to the beat up to four times, while there is more), and gives all connections that do not
 * publish 10 ms together. Those that had none of it are read before those that had. So whatever they send, who publishes is read after
 * some milliseconds, and who comes new is heard. */
#ifndef INGESTD_RTMP_SERVER_H
#define INGESTD_RTMP_SERVER_H

#include <uv.h>

#include "ingestd/rtmp_session.h"

struct rtmp_server;
struct shipments;
struct tls_server;

#define RTMP_LISTENERS_MAX 2

struct rtmp_server_setup {
        struct publications *publications;
        struct admission *admission;
        struct shipments *shipments; /* that its publications are sent to; NULL: each socket is read whenever something comes */
        struct rtmp_limits limits;
        char *const *proxy_from; /* common/networks.h; read at each connection, so that a reload takes effect */
        void (*closed)(void *arg); /* after rtmp_server_close(): the last connection is gone */
        void *arg;
};

void rtmp_server_open(struct rtmp_server **out, uv_loop_t *loop, const struct rtmp_server_setup *setup);
/* tls NULL: plain RTMP. ERR_CONFIG: bind is no address; ERR_IO, ERR_DENIED: the port cannot be had. */
int rtmp_server_listen(struct rtmp_server *s, const char *bind, int port, struct tls_server *tls);

void rtmp_server_stop_accepting(struct rtmp_server *s); /* idempotent */

/* Asks every broadcaster whose encoder understands it (Enhanced RTMP, capsEx bit 0) to connect again elsewhere. It is
 * served until it leaves. */
unsigned rtmp_server_ask_reconnect(struct rtmp_server *s);

/* publication_end() of each comes on a later turn of the loop. */
void rtmp_server_close_all(struct rtmp_server *s, enum rtmp_close_reason reason);

/* Stops accepting, closes all that is left for RTMP_CLOSE_SHUTDOWN, lets go of the loop. Nulls *s; NULL is fine. */
void rtmp_server_close(struct rtmp_server **s);

/* ingestd_connections, ingestd_kept_bytes, ingestd_bytes_total, ingestd_ignored_messages_total, ingestd_closed_total; at start, once. */
void rtmp_server_register_metrics(void);

#endif
