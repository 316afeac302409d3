/* tls.h - TLS on one viewer's connection: OpenSSL between the socket and the bytes of HTTP. The handshake is wire/shake.c's.
 *
 *   tls_begin() → tls_shake() until it is TLS_OPEN → tls_recv(), tls_send() … → tls_end() → tls_free()
 *                               TLS_PLAIN, TLS_BROKEN: → tls_free()
 *
 * Once both sides have their keys the kernel may encrypt what is sent (kTLS; `modprobe tls`): then tls_by_kernel(), and the connection is
 * sent to as one without TLS is, by sendmsg() and sendfile(). Where the kernel cannot, tls_send() encrypts record by record: OpenSSL
 * copies a record's bytes and encrypts the copy, which goes to the kernel with the announcement that there is more, so that packets do
 * not end where records do. Reading is OpenSSL's in both cases.
 *
 * OpenSSL reads and writes by the methods of its own sockets, with three things changed: what the kernel is known not to have is not
 * asked for, what it is known not to take not offered, and the announcement. No more than TLS_SILENT_MAX bytes are taken in which there
 * is none of HTTP, in the handshake or later. No early data.
 *
 * Thread of the connection only. */
#ifndef EDGED_WIRE_TLS_H
#define EDGED_WIRE_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#define TLS_SILENT_MAX (32 << 10) /* a record and its head are half of that */
#define TLS_RECORD_MAX (16 << 10) /* bytes of HTTP */

struct conn;
struct tls;

struct tls *tls_begin(SSL *ssl, struct conn *c); /* takes ssl; c outlives it */
void tls_free(struct tls **t);                   /* NULL is fine. Says nothing to the viewer */

/* WAIT: until the kernel tells that it has more, or takes more. PLAIN: it is HTTP what comes, without TLS. BROKEN: *why says what was
 * wrong, a fixed text, and the viewer was told. */
enum tls_says { TLS_OPEN, TLS_WAIT, TLS_PLAIN, TLS_BROKEN };
enum tls_says tls_shake(struct tls *t, const char **why);

bool tls_by_kernel(const struct tls *t);
bool tls_is_resumed(const struct tls *t); /* by a ticket */

/* As recv() on a socket that does not block: with EINTR there was something for OpenSSL alone. 0: the viewer has ended it, or sent what
 * is not acceptable. */
ssize_t tls_recv(struct tls *t, void *dst, size_t cap);

/* As sendmsg(), of as much as goes into one record; *wanted is how much that is. After EAGAIN the same bytes must come again. is_last: no
 * others will follow them now. Not with tls_by_kernel(). */
ssize_t tls_send(struct tls *t, const struct iovec *parts, int count, bool is_last, size_t *wanted);

/* Says that nothing more will come (close_notify): who reads to the end of the connection knows by that that it is the end. */
void tls_end(struct tls *t);

#endif
