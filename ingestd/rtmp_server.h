/* rtmp_server.h - the RTMP port: accepts broadcasters, moves bytes between their sockets and struct rtmp_session.
 *
 *   OPEN      rtmp_server_open()            listening
 *   DRAINING  rtmp_server_stop_accepting()  new connections are refused by the kernel; those there are go on
 *   CLOSED    rtmp_server_close()           everything closes; the memory goes when the loop has run its close callbacks
 *
 * Loop thread only. One read buffer for all connections: an idle publisher costs its kernel socket and about 2 kB. */
#ifndef INGESTD_RTMP_SERVER_H
#define INGESTD_RTMP_SERVER_H

#include <uv.h>

#include "ingestd/rtmp_close.h"

struct rtmp_server;
struct ingest;

struct rtmp_limits {
        unsigned connections;   /* at once, publishing or not */
        unsigned chunk_streams; /* a connection */
        uint32_t message_bytes;
        uint32_t partial_bytes; /* of unfinished messages, a connection */
        int64_t publish_us;     /* from accept, or from the end of a stream, to publish */
        int64_t media_us;       /* a publisher silent for this long is lost */
};

/* clang-format off */
#define RTMP_LIMITS_DEFAULT                                                                                            \
        {.connections = 4096, .chunk_streams = 64, .message_bytes = 8u << 20, .partial_bytes = 16u << 20,              \
         .publish_us = 10000000, .media_us = 20000000}
/* clang-format on */

/* Port 0 takes a free one. limits is copied. ERR_CONFIG: bind is no address; ERR_IO, ERR_DENIED: it cannot be had;
 * *out is then NULL. */
int rtmp_server_open(struct rtmp_server **out, uv_loop_t *loop, const char *bind, int port, struct ingest *in,
                     const struct rtmp_limits *limits);
int rtmp_server_port(const struct rtmp_server *s);
unsigned rtmp_server_connections(const struct rtmp_server *s);
unsigned rtmp_server_publishers(const struct rtmp_server *s);

void rtmp_server_stop_accepting(struct rtmp_server *s); /* idempotent */

/* Asks every broadcaster whose encoder understands it (Enhanced RTMP, capsEx bit 0) to connect again elsewhere. It is
 * served until it leaves. */
unsigned rtmp_server_ask_reconnect(struct rtmp_server *s);

/* publication_end() of each comes on a later turn of the loop. */
void rtmp_server_close_all(struct rtmp_server *s, enum rtmp_close reason);

/* Stops accepting, closes all that is left for RTMP_CLOSE_SHUTDOWN, lets go of the loop. Nulls *s; NULL is fine. */
void rtmp_server_close(struct rtmp_server **s);

/* ingestd_connections, ingestd_bytes_total, ingestd_ignored_messages_total, ingestd_closed_total; at start, once. */
void rtmp_server_register_metrics(void);

#endif
