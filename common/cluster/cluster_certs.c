#include "common/cluster/cluster_certs.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/mem.h"
#include "proto/check.h"

#define SCHEME "freshet://"

struct cluster_certs {
        atomic_uint refs;
        char *cert, *key, *ca; /* paths */
        struct cluster_name self;
        pthread_mutex_t lock;  /* guards what follows */
        SSL_CTX *context;
        struct cluster_name name;
        int64_t not_after_s;
};

/* ---- names ------------------------------------------------------------------------------------------------------ */

bool cluster_name_parse(const char *uri, struct cluster_name *name)
{
        *name = (struct cluster_name){0};
        if (strncmp(uri, SCHEME, strlen(SCHEME)) != 0)
                return false;
        const char *role = uri + strlen(SCHEME), *slash = strchr(role, '/');
        if (!slash)
                return false;
        for (int r = ROLE_INGESTD; r <= ROLE_EDGED; r++) {
                const char *known = node_role_name((enum node_role)r);
                if (strlen(known) == (size_t)(slash - role) && memcmp(known, role, strlen(known)) == 0)
                        name->role = (enum node_role)r;
        }
        const char *id = slash + 1;
        if (strcmp(id, "*") != 0 && !node_id_valid(id))
                name->role = 0;
        else if (*id != '*')
                snprintf(name->id, sizeof(name->id), "%s", id);
        return name->role != 0;
}

bool cluster_name_of(X509 *certificate, struct cluster_name *name)
{
        GENERAL_NAMES *all = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
        unsigned found = 0;
        *name = (struct cluster_name){0};
        for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
                const GENERAL_NAME *one = sk_GENERAL_NAME_value(all, i);
                if (one->type != GEN_URI)
                        continue;
                const char *uri = (const char *)ASN1_STRING_get0_data(one->d.uniformResourceIdentifier);
                size_t len = (size_t)ASN1_STRING_length(one->d.uniformResourceIdentifier);
                if (len < strlen(SCHEME) || strncmp(uri, SCHEME, strlen(SCHEME)) != 0)
                        continue;
                found++;
                if (strlen(uri) != len || !cluster_name_parse(uri, name))
                        name->role = 0;
        }
        GENERAL_NAMES_free(all);
        if (found != 1)
                name->role = 0;
        return name->role != 0;
}

bool cluster_name_fits(const struct cluster_name *name, enum node_role role, const char *id)
{
        return name->role == role && (!*name->id || strcmp(name->id, id) == 0);
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static const char *openssl_reason(void)
{
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        return reason ? reason : "of an unknown kind";
}

/* The sentence about one file. A file that cannot be opened is the usual mistake, and OpenSSL's words for it are odd. */
static int bad_file(const char *key, const char *path, const char *wanted, char *why, size_t why_cap)
{
        FILE *f = fopen(path, "re");
        if (!f)
                snprintf(why, why_cap, "%s: given \"%s\": %s, allowed: %s", key, path, strerror(errno), wanted);
        else
                snprintf(why, why_cap, "%s: given \"%s\", which cannot be read as such (%s), allowed: %s", key, path,
                         openssl_reason(), wanted);
        if (f)
                fclose(f);
        ERR_clear_error();
        return ERR_CONFIG;
}

static SSL_CTX *new_context(void)
{
        SSL_CTX *context = SSL_CTX_new(TLS_method());
        if (!context)
                return NULL;
        SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
        SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_num_tickets(context, 0);
        SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        SSL_CTX_set_verify_depth(context, 4);
        if (SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
            SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384") == 1)
                return context;
        SSL_CTX_free(context);
        return NULL;
}

/* What is refused now, and not at another time, or when the machine knows what time it is. */
static bool is_matter_of_time(int code)
{
        return code == X509_V_ERR_CERT_NOT_YET_VALID || code == X509_V_ERR_CERT_HAS_EXPIRED;
}

/* Whether the others, who have the same authority, will take our certificate: now, and in both directions. */
static int judge_own(SSL_CTX *context, X509 *own, char *why, size_t why_cap)
{
        STACK_OF(X509) *chain = NULL;
        X509_STORE_CTX *check = X509_STORE_CTX_new();
        int err = 0;
        SSL_CTX_get0_chain_certs(context, &chain);
        if (!check || X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(context), own, chain) != 1 ||
            X509_verify_cert(check) != 1) {
                int code = check ? X509_STORE_CTX_get_error(check) : X509_V_ERR_OUT_OF_MEM;
                snprintf(why, why_cap, "cluster_cert: the others will refuse it: %s; allowed: a certificate of cluster_ca",
                         X509_verify_cert_error_string(code));
                err = is_matter_of_time(code) ? ERR_NOT_YET : ERR_CONFIG;
        } else if (X509_check_purpose(own, X509_PURPOSE_SSL_CLIENT, 0) != 1 ||
                   X509_check_purpose(own, X509_PURPOSE_SSL_SERVER, 0) != 1) {
                snprintf(why, why_cap, "cluster_cert: its extended key usage must allow TLS servers and clients");
                err = ERR_CONFIG;
        }
        X509_STORE_CTX_free(check);
        return err;
}

static int64_t not_after_s(const X509 *certificate)
{
        struct tm tm;
        return ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static int read_files(struct cluster_certs *c, SSL_CTX *context, char *why, size_t why_cap)
{
        if (SSL_CTX_load_verify_locations(context, c->ca, NULL) != 1)
                return bad_file("cluster_ca", c->ca, "a PEM file of certificates", why, why_cap);
        if (SSL_CTX_use_certificate_chain_file(context, c->cert) != 1)
                return bad_file("cluster_cert", c->cert, "a PEM file, the node's certificate first", why, why_cap);
        if (SSL_CTX_use_PrivateKey_file(context, c->key, SSL_FILETYPE_PEM) != 1)
                return bad_file("cluster_key", c->key, "the PEM file of the key that belongs to cluster_cert", why, why_cap);
        return judge_own(context, SSL_CTX_get0_certificate(context), why, why_cap);
}

static int judge_name(struct cluster_certs *c, X509 *own, struct cluster_name *name, char *why, size_t why_cap)
{
        if (!cluster_name_of(own, name))
                snprintf(why, why_cap, "cluster_cert: given \"%s\", which names no node, allowed: one subjectAltName "
                         "URI:freshet://ROLE/ID or URI:freshet://ROLE/* (deploy/certs makes them)", c->cert);
        else if (c->self.role && !cluster_name_fits(name, c->self.role, c->self.id))
                snprintf(why, why_cap, "cluster_cert: given \"%s\", which is for %s/%s, allowed: one for %s/%s or %s/*", c->cert,
                         node_role_name(name->role), *name->id ? name->id : "*", node_role_name(c->self.role), c->self.id,
                         node_role_name(c->self.role));
        else
                return 0;
        return ERR_CONFIG;
}

int cluster_certs_reload(struct cluster_certs *c, char *why, size_t why_cap)
{
        struct cluster_name name;
        ERR_clear_error();
        SSL_CTX *context = new_context(), *old;
        if (!context) {
                snprintf(why, why_cap, "cluster_cert: OpenSSL does not start (%s)", openssl_reason());
                ERR_clear_error();
                return ERR_CONFIG;
        }
        int err = read_files(c, context, why, why_cap);
        if (err == 0)
                err = judge_name(c, SSL_CTX_get0_certificate(context), &name, why, why_cap);
        if (err != 0) {
                SSL_CTX_free(context);
                return err;
        }
        pthread_mutex_lock(&c->lock);
        old = c->context;
        c->context = context;
        c->name = name;
        c->not_after_s = not_after_s(SSL_CTX_get0_certificate(context));
        pthread_mutex_unlock(&c->lock);
        SSL_CTX_free(old);
        return 0;
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

int cluster_certs_open(struct cluster_certs **out, const struct cluster_paths *paths, const struct cluster_name *self, char *why,
                       size_t why_cap)
{
        struct cluster_certs *c = mem_alloc(sizeof(*c));
        atomic_init(&c->refs, 1);
        pthread_mutex_init(&c->lock, NULL);
        c->cert = mem_strdup(paths->cert);
        c->key = mem_strdup(paths->key);
        c->ca = mem_strdup(paths->ca);
        c->self = *self;
        int err = cluster_certs_reload(c, why, why_cap);
        if (err != 0)
                cluster_certs_unref(&c);
        *out = c;
        return err;
}

struct cluster_certs *cluster_certs_ref(struct cluster_certs *c)
{
        atomic_fetch_add(&c->refs, 1);
        return c;
}

void cluster_certs_unref(struct cluster_certs **certs)
{
        struct cluster_certs *c = *certs;
        *certs = NULL;
        if (!c || atomic_fetch_sub(&c->refs, 1) > 1)
                return;
        SSL_CTX_free(c->context);
        pthread_mutex_destroy(&c->lock);
        free(c->cert);
        free(c->key);
        free(c->ca);
        free(c);
}

void cluster_certs_name(struct cluster_certs *c, struct cluster_name *name)
{
        pthread_mutex_lock(&c->lock);
        *name = c->name;
        pthread_mutex_unlock(&c->lock);
}

int64_t cluster_certs_not_after_s(struct cluster_certs *c)
{
        pthread_mutex_lock(&c->lock);
        int64_t s = c->not_after_s;
        pthread_mutex_unlock(&c->lock);
        return s;
}

SSL *cluster_certs_ssl(struct cluster_certs *c)
{
        pthread_mutex_lock(&c->lock);
        SSL *ssl = SSL_new(c->context);
        pthread_mutex_unlock(&c->lock);
        if (ssl) /* the peer's certificate is looked at by a clock that nobody sets back to before it was made */
                X509_VERIFY_PARAM_set_time(SSL_get0_param(ssl), (time_t)(clock_wall_us() / US_PER_S));
        return ssl;
}

void cluster_certs_explain(SSL *ssl, char *text, size_t cap)
{
        unsigned long code = ERR_peek_last_error();
        long verified = SSL_get_verify_result(ssl);
        ERR_clear_error();
        switch (verified) {
        case X509_V_OK:
                break;
        case X509_V_ERR_CERT_HAS_EXPIRED:
                snprintf(text, cap, "its certificate has expired");
                return;
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
        case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        case X509_V_ERR_CERT_SIGNATURE_FAILURE:
                snprintf(text, cap, "its certificate is not one of cluster_ca");
                return;
        default:
                snprintf(text, cap, "its certificate: %s", X509_verify_cert_error_string(verified));
                return;
        }
        const char *reason = ERR_reason_error_string(code);
        switch (ERR_GET_REASON(code)) {
        case SSL_R_WRONG_VERSION_NUMBER:
        case SSL_R_HTTP_REQUEST:
        case SSL_R_PACKET_LENGTH_TOO_LONG:
        case SSL_R_RECORD_TOO_SMALL:
        case SSL_R_UNEXPECTED_MESSAGE:
                snprintf(text, cap, "it does not speak TLS (%s)", reason ? reason : "?");
                return;
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
                snprintf(text, cap, "it shows no certificate");
                return;
        }
        /* An alert is the other side's word on us. */
        if (ERR_GET_REASON(code) >= SSL_AD_REASON_OFFSET)
                snprintf(text, cap, "it refuses us (%s)", reason ? reason : "no reason given");
        else
                snprintf(text, cap, "%s", reason ? reason : "the connection was closed");
}
