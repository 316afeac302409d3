/* rtmp_wire.h - what lies between a broadcaster's socket and its RTMP: a PROXY header, TLS, both or nothing.
 *
 *   header → handshake → through                       the table of stages is in rtmp_wire.c
 *
 *   rtmp_wire_new()   in the first stage that there is
 *   rtmp_wire_feed()  bytes of the socket in; ops->plain() with RTMP's, ops->send() with what TLS has to say
 *   rtmp_wire_write() RTMP's bytes out, once the wire is through
 *   rtmp_wire_end()   nothing more will be written: TLS says so to the peer
 *   rtmp_wire_free()  not from inside ops
 *
 * No socket and no clock: the server gives a wire that is not through after `hello_us` up. Loop thread only. */
#ifndef INGESTD_RTMP_WIRE_H
#define INGESTD_RTMP_WIRE_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

#include "ingestd/rtmp_close_reason.h"

struct rtmp_wire;

struct rtmp_wire_ops {
        void (*send)(void *arg, const void *data, size_t len_bytes); /* to the socket; data is only lent */
        void (*plain)(void *arg, const void *data, size_t len_bytes);
        void (*address)(void *arg, const char *text); /* whose connection it is, as the balancer said; before any plain() */
        bool (*shake)(void *arg); /* before TLS looks at what came; false: not now, the wire then fails with RTMP_CLOSE_HANDSHAKES */
};

/* header: the peer has to send one. ssl: in accept state, becomes the wire's; NULL: no TLS. */
struct rtmp_wire *rtmp_wire_new(bool header, SSL *ssl, const struct rtmp_wire_ops *ops, void *arg);

/* RTMP_CLOSE_NONE: go on. Otherwise close for this reason; *why is a fixed text or "". */
enum rtmp_close_reason rtmp_wire_feed(struct rtmp_wire *w, const void *data, size_t len_bytes, const char **why);
void rtmp_wire_write(struct rtmp_wire *w, const void *data, size_t len_bytes); /* dropped before the wire is through */
void rtmp_wire_end(struct rtmp_wire *w);
void rtmp_wire_free(struct rtmp_wire **w); /* nulls it; a pointer to NULL is fine */

bool rtmp_wire_through(const struct rtmp_wire *w);
enum rtmp_close_reason rtmp_wire_late(const struct rtmp_wire *w); /* the reason when the stage it is in takes too long */

void rtmp_wire_register_metrics(void);

#endif
