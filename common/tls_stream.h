/* tls_stream.h - one TLS connection between a socket's bytes and the plain ones: no socket of its own, no time.
 *
 *   tls_stream_new()    handshake
 *   tls_stream_feed()   bytes of the socket in; ops->plain() is called with what they say, ops->send() with what is to be
 *                       sent (handshake, alerts)
 *   tls_stream_write()  plain bytes, once the handshake is done; ops->send() is called with them as records
 *   tls_stream_end()    says that nothing more will come (close_notify)
 *   tls_stream_free()   not from inside ops
 *
 * OpenSSL copies a record out of the caller's buffer into its own, decrypts it there, and plain() gets it by way of a buffer on
 * the stack: two copies more than without TLS, and no memory that grows with what comes. What is sent is never held back
 * here; the socket's owner bounds its queue. Loop thread only. */
#ifndef COMMON_TLS_STREAM_H
#define COMMON_TLS_STREAM_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_STREAM_HELLO_MAX (32u << 10) /* bytes from a client before its handshake is done */

struct tls_stream;

struct tls_stream_ops {
        void (*send)(void *arg, const void *data, size_t len_bytes);  /* data is only lent */
        void (*plain)(void *arg, const void *data, size_t len_bytes); /* likewise; may call tls_stream_write() */
};

struct tls_stream *tls_stream_new(SSL *ssl, const struct tls_stream_ops *ops, void *arg); /* takes ssl */

/* 0; ERR_CLOSED: the peer has said that it ends; ERR_PROTO: what it sent is no TLS or not acceptable, and tls_stream_why()
 * says what; ERR_LIMIT: too much before the end of the handshake. After an error the stream is only good for freeing. */
int tls_stream_feed(struct tls_stream *t, const void *data, size_t len_bytes);
void tls_stream_write(struct tls_stream *t, const void *data, size_t len_bytes);
void tls_stream_end(struct tls_stream *t); /* idempotent; nothing if the handshake is not done */
void tls_stream_free(struct tls_stream **t);

bool tls_stream_open(const struct tls_stream *t);        /* the handshake is done */
const char *tls_stream_version(const struct tls_stream *t); /* "TLSv1.3" */
const char *tls_stream_why(const struct tls_stream *t);  /* of an error; a fixed text */

#endif
