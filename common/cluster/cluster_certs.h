/* cluster_certs.h - the certificate a node shows to the others, its key, and the authority whose certificates it takes.
 *
 * A node's certificate names what it may be in one URI among its subjectAltNames:
 *
 *   freshet://ROLE/ID    freshet://edged/edge-7
 *
 * with ROLE one of ingestd, transcoderd, originD, edged, and ID the node's id, which its HELLO must say too, or an asterisk:
 * any node of that role. Exactly one such URI; other names in the certificate, and addresses it is for, are not looked at: an
 * address does not say who may be behind it, the role does. deploy/certs makes
 * them. TLS 1.2 with forward secrecy and authenticated encryption only, and TLS 1.3; no tickets and no sessions, so that a
 * certificate is looked at whenever nodes connect.
 *
 *   cluster_certs_open    reads all three files and judges them; *out has one reference
 *   cluster_certs_reload  the same for files that changed: connections made from then on have the new ones, those that are
 *                         there keep theirs. What cannot be used changes nothing
 *   cluster_certs_ssl     a new connection's TLS, any thread
 *   cluster_certs_unref   any thread; the last one frees
 * The file of cluster_ca may hold several certificates: that is how an authority is replaced by another. */
#ifndef COMMON_CLUSTER_CLUSTER_CERTS_H
#define COMMON_CLUSTER_CLUSTER_CERTS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/cluster/rpc.h"

#define CLUSTER_CERT_SOON_S (7 * 24 * 3600) /* a certificate that ends within this is warned of */

struct cluster_certs;

/* Whom a certificate is for. */
struct cluster_name {
        enum node_role role; /* 0: nobody */
        char id[64];         /* "" : any of that role */
};
bool cluster_name_parse(const char *uri, struct cluster_name *name);
bool cluster_name_of(X509 *certificate, struct cluster_name *name);
bool cluster_name_fits(const struct cluster_name *name, enum node_role role, const char *id);

/* Paths are copied; self is whom the certificate has to be for, now and at each reload (role 0: anybody).
 * ERR_CONFIG, and ERR_NOT_YET where only the time is wrong, the certificate's or this machine's: a sentence in why, which names
 * the configuration's key; *out is then NULL. */
struct cluster_paths {
        const char *cert, *key, *ca;
};
int cluster_certs_open(struct cluster_certs **out, const struct cluster_paths *paths, const struct cluster_name *self, char *why,
                       size_t why_cap);
int cluster_certs_reload(struct cluster_certs *c, char *why, size_t why_cap);
struct cluster_certs *cluster_certs_ref(struct cluster_certs *c);
void cluster_certs_unref(struct cluster_certs **c); /* nulls it; NULL is fine */

void cluster_certs_name(struct cluster_certs *c, struct cluster_name *name); /* whom our own is for */
int64_t cluster_certs_not_after_s(struct cluster_certs *c);                  /* when it ends, since 1970 */
SSL *cluster_certs_ssl(struct cluster_certs *c);                             /* to SSL_free(); NULL: out of memory */

/* Why a handshake failed, in words that help: of the error queue, which is emptied, and of ssl's verification. */
void cluster_certs_explain(SSL *ssl, char *text, size_t cap);

#endif
