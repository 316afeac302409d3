/* tls_server.h - what a listener needs to speak TLS: certificates and keys from a directory, chosen by the name the client
 * asks for, read again when they change. Who moves the bytes is tls_stream.h.
 *
 *   tls_server_open()  →  tls_server_accept() a connection, tls_server_reload()  →  tls_server_close()
 *
 * In the directory every NAME.crt (or NAME.pem: the certificate, then those that lead to its authority) with NAME.key is a
 * pair; tls.crt and tls.key, as Kubernetes mounts them, are one of them. A client that asks for a name (SNI) gets the first
 * pair, in the order of their file names, whose certificate is for it, wildcards included, and has not expired unless all of
 * them have; one that asks for none or for another name gets the pair `tls`, or else the first. Where a name has certificates of several
 * kinds of key (RSA beside ECDSA, any file names), the client gets one whose signatures it understands, ECDSA if it understands both; one
 * that names nobody chooses among those with the very names of the pair it gets.
 *
 * The directory is watched (file_watch.h). A pair that cannot be read or does not fit together is logged, and the one of
 * that name from before stays; a pair whose certificate is gone goes; when nothing would be left, all stays as it was. What was
 * wrong is looked at again every TLS_SERVER_RETRY_MS, counted each time and logged when it is another.
 * Connections keep what they began with: nobody is disconnected.
 *
 * TLS 1.2 with forward secrecy and authenticated encryption only, and TLS 1.3. No renegotiation, no compression, no early data and no
 * sessions that this side keeps. Tickets, with which a client that comes again is spared the certificate and this side the signature, for
 * those who ask for them: a viewer's player connects again and again, a publisher once in hours. What they are sealed with is
 * tls_tickets.h's: keys in memory only, or, of TLS 1.3, such as all who have the same secret and the same certificates make. They are
 * others every TLS_TICKETS_S and with each reading of other certificates: who shows a ticket of the key before last begins from the
 * beginning.
 *
 * Loop thread only, but for tls_server_accept() and the handshakes of what it returns: any thread. One mutex, taken a few times a
 * handshake. */
#ifndef COMMON_TLS_SERVER_H
#define COMMON_TLS_SERVER_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#define TLS_SERVER_PAIRS_MAX 64 /* the others, by name, are left out and logged */
#define TLS_SERVER_RETRY_MS 2000

struct tls_server;

struct tls_server_config {
        const char *directory;
        /* Protocols in the order of preference ("h2", "http/1.1"), ends with NULL; a client that offers none of them, or no ALPN at all,
         * is served without. NULL: offers are passed over. */
        const char *const *alpn;
        bool tickets;
        /* TLS_TICKETS_SECRET_MIN characters or more: who has the same one opens these tickets too. NULL, "": none. */
        const char *ticket_secret;
        bool kernel; /* the kernel encrypts where it can, if the socket is OpenSSL's to use (SSL_OP_ENABLE_KTLS) */
};

/* ERR_CONFIG: no pair can be used, which was logged; *out is then NULL. */
int tls_server_open(struct tls_server **out, uv_loop_t *loop, const struct tls_server_config *cfg);

/* What the watch does by itself: for SIGHUP. */
void tls_server_reload(struct tls_server *s);

/* Another secret from now on; tickets that were given before are good no more. */
void tls_server_set_ticket_secret(struct tls_server *s, const char *secret);

/* A new connection, waiting for its client's hello; the caller's to SSL_free(), before tls_server_close(). */
SSL *tls_server_accept(struct tls_server *s);

unsigned tls_server_pairs(const struct tls_server *s);

/* Nulls *s; NULL is fine. Memory goes once the loop has run its close callbacks. */
void tls_server_close(struct tls_server **s);

/* 0, or ERR_CONFIG and a sentence in why: no pair can be used. For a daemon that only checks its configuration. */
int tls_server_check(const char *directory, char *why, size_t why_cap);

/* freshet_tls_certificates, freshet_tls_not_after_seconds, freshet_tls_reloads_total; at start, once. */
void tls_server_register_metrics(void);

#endif
