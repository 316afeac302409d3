#include "common/cluster/rpc_tls.h"

#include <arpa/inet.h>
#include <nng/supplemental/tls/engine.h>
#include <nng/transport/tls/tls.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/cluster/nng_tcp.h"
#include "common/cluster/rpc_fault.h"
#include "common/cluster/rpc_gate.h"
#include "common/daemon/log.h"
#include "common/mem.h"

/* Plaintext of one record: with what TLS adds, two of them fit into nng's send buffer of 16 KiB, so that one is made while
 * the other is being sent. */
#define RECORD_BYTES 8000

struct nng_tls_engine_config {
        struct cluster_certs *certs; /* NULL: made by nng itself, never used for a connection */
        nng_tls_mode mode;
        char label[64];
        pthread_mutex_t lock; /* guards what follows */
        bool failed; /* a dialer's last handshake did, and was logged */
};

/* nng calls all that is of one connection under that connection's lock. */
struct nng_tls_engine_conn {
        SSL *ssl; /* NULL: init failed, or was never called */
        struct nng_tls_engine_config *config;
        void *stream; /* nng's context */
        int fd; /* of the TCP socket, nng's to close; -1: not known */
        bool begun, excess;       /* the other side has begun a handshake; it is one too many */
        bool done, failed, heard; /* heard: something came after the handshake */
        uint8_t *into;            /* what is read is put there, so much of it so far */
        size_t filled;
        const uint8_t *from;      /* the same for what is sent */
        size_t sent;
        char address[64];
        struct rpc_tls_peer peer;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static BIO_METHOD *method;
static bool streams_tell_addresses; /* the context nng gives is its stream, as in all of 1.x; asked only of what we know */

static _Thread_local struct {
        struct cluster_certs *certs;
        const char *label;
} opening; /* what the configuration is made of that nng is allocating */
static _Thread_local struct rpc_tls_peer *asked; /* who wants to know a pipe's peer */

/* ---- what is told ----------------------------------------------------------------------------------------------- */

/* A dialer tries for ever and says so once until it works; a listener has many strangers, who are told apart by the log. */
static bool may_log(struct nng_tls_engine_config *c)
{
        pthread_mutex_lock(&c->lock);
        bool may = c->mode == NNG_TLS_MODE_SERVER || !c->failed;
        c->failed = c->mode == NNG_TLS_MODE_CLIENT;
        pthread_mutex_unlock(&c->lock);
        return may;
}

static int fail(struct nng_tls_engine_conn *conn, enum rpc_fault fault, const char *why)
{
        struct nng_tls_engine_config *c = conn->config;
        bool server = c->mode == NNG_TLS_MODE_SERVER;
        char quoted[192];
        if (!conn->failed) {
                conn->failed = true;
                rpc_fault_count(fault);
                if (may_log(c))
                        log_warn_of(conn->address, "peer=%s %s%s%smsg=\"no TLS with this node\" why=%s", conn->address,
                                    server ? "listener=" : "", server ? c->label : "", server ? " " : "",
                                    log_quote(quoted, sizeof(quoted), why));
        }
        return NNG_EPEERAUTH; /* the one error after which nng accepts the next connection without a pause */
}

/* ---- addresses -------------------------------------------------------------------------------------------------- */

static void address_text(const nng_sockaddr *sa, char *dst, size_t cap)
{
        char ip[INET6_ADDRSTRLEN] = "?";
        if (sa->s_family == NNG_AF_INET) {
                inet_ntop(AF_INET, &sa->s_in.sa_addr, ip, sizeof(ip));
                snprintf(dst, cap, "%s:%u", ip, ntohs(sa->s_in.sa_port));
        } else if (sa->s_family == NNG_AF_INET6) {
                inet_ntop(AF_INET6, sa->s_in6.sa_addr, ip, sizeof(ip));
                snprintf(dst, cap, "[%s]:%u", ip, ntohs(sa->s_in6.sa_port));
        }
}

static void look_at_addresses(struct nng_tls_engine_conn *conn, void *stream)
{
        nng_sockaddr remote;
        snprintf(conn->address, sizeof(conn->address), "%s", conn->config->mode == NNG_TLS_MODE_CLIENT ? conn->config->label : "?");
        if (!streams_tell_addresses)
                return;
        if (nng_stream_get_addr(stream, NNG_OPT_REMADDR, &remote) == 0)
                address_text(&remote, conn->address, sizeof(conn->address));
        conn->fd = nng_tcp_stream_fd(stream);
}

/* ---- bytes to and from nng ----------------------------------------------------------------------------------------- */

static int bio_write(BIO *bio, const char *data, int len)
{
        struct nng_tls_engine_conn *conn = BIO_get_data(bio);
        size_t n = (size_t)len;
        BIO_clear_retry_flags(bio);
        int rv = nng_tls_engine_send(conn->stream, (const uint8_t *)data, &n);
        if (rv == 0)
                return (int)n;
        if (rv == NNG_EAGAIN)
                BIO_set_retry_write(bio);
        return -1;
}

/* Once: whether these first bytes may be looked at. */
static bool may_begin(struct nng_tls_engine_conn *conn)
{
        if (!conn->begun && conn->config->mode == NNG_TLS_MODE_SERVER)
                conn->excess = !rpc_gate_shakes(conn->fd);
        conn->begun = true;
        return !conn->excess;
}

static int bio_read(BIO *bio, char *data, int len)
{
        struct nng_tls_engine_conn *conn = BIO_get_data(bio);
        size_t n = (size_t)len;
        BIO_clear_retry_flags(bio);
        int rv = nng_tls_engine_recv(conn->stream, (uint8_t *)data, &n);
        if (rv == 0)
                return may_begin(conn) ? (int)n : -1;
        if (rv == NNG_EAGAIN)
                BIO_set_retry_read(bio);
        return -1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
        (void)bio;
        (void)number;
        (void)pointer;
        return command == BIO_CTRL_FLUSH;
}

/* ---- connections ------------------------------------------------------------------------------------------------ */

static int conn_init(nng_tls_engine_conn *conn, void *stream, nng_tls_engine_config *config)
{
        BIO *bio;
        if (!config->certs)
                return NNG_ESTATE;
        SSL *ssl = cluster_certs_ssl(config->certs);
        if (!ssl || !(bio = BIO_new(method))) {
                SSL_free(ssl);
                return NNG_ENOMEM;
        }
        BIO_set_data(bio, conn);
        BIO_set_init(bio, 1);
        SSL_set_bio(ssl, bio, bio);
        SSL_set_quiet_shutdown(ssl, 1); /* messages have their length: an end in the middle is noticed without TLS's help */
        if (config->mode == NNG_TLS_MODE_SERVER)
                SSL_set_accept_state(ssl);
        else
                SSL_set_connect_state(ssl);
        conn->config = config;
        conn->stream = stream;
        conn->fd = -1;
        conn->ssl = ssl;
        look_at_addresses(conn, stream);
        return 0;
}

static void conn_fini(nng_tls_engine_conn *conn)
{
        if (!conn->ssl)
                return;
        SSL_free(conn->ssl);
        conn->ssl = NULL;
}

static void conn_close(nng_tls_engine_conn *conn)
{
        (void)conn; /* the TCP connection is closed right after this, see quiet shutdown */
}

static int greeted(struct nng_tls_engine_conn *conn)
{
        static const char label[] = "EXPORTER-freshet-hello";
        X509 *certificate = SSL_get1_peer_certificate(conn->ssl);
        bool named = certificate && cluster_name_of(certificate, &conn->peer.name);
        X509_free(certificate);
        if (!named)
                return fail(conn, RPC_FAULT_TLS, "its certificate names no node: no subjectAltName URI:freshet://ROLE/ID");
        if (SSL_export_keying_material(conn->ssl, conn->peer.bond, sizeof(conn->peer.bond), label, sizeof(label) - 1, NULL, 0, 0) != 1)
                return fail(conn, RPC_FAULT_TLS, "keying material cannot be exported");
        conn->done = true;
        return 0;
}

static int conn_handshake(nng_tls_engine_conn *conn)
{
        char why[128];
        if (conn->done)
                return 0;
        if (conn->failed)
                return NNG_EPEERAUTH;
        ERR_clear_error();
        int rv = SSL_do_handshake(conn->ssl);
        if (rv == 1)
                return greeted(conn);
        int code = SSL_get_error(conn->ssl, rv);
        if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE)
                return NNG_EAGAIN;
        if (conn->excess)
                return fail(conn, RPC_FAULT_HANDSHAKES, "too many handshakes");
        cluster_certs_explain(conn->ssl, why, sizeof(why));
        return fail(conn, RPC_FAULT_TLS, why);
}

/* What a read or write that did not work means to nng. With TLS 1.3 a client hears only now that its certificate is not
 * taken. */
static int judge(struct nng_tls_engine_conn *conn, int rv)
{
        char why[128];
        int code = SSL_get_error(conn->ssl, rv);
        if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE)
                return NNG_EAGAIN;
        if (code == SSL_ERROR_ZERO_RETURN)
                return NNG_ECONNSHUT;
        cluster_certs_explain(conn->ssl, why, sizeof(why));
        if (code == SSL_ERROR_SSL && !conn->heard)
                return fail(conn, RPC_FAULT_TLS, why);
        return NNG_ECONNRESET;
}

static void note_heard(struct nng_tls_engine_conn *conn)
{
        conn->heard = true;
        if (conn->config->mode != NNG_TLS_MODE_CLIENT)
                return;
        pthread_mutex_lock(&conn->config->lock);
        conn->config->failed = false;
        pthread_mutex_unlock(&conn->config->lock);
}

/* What nng does not do well when a connection ends, and how it is led around it.
 *
 * The wedge of rpc_gate.h needs a read or write that nng begins anew, for the rest of a message, just when the end of the
 * other direction makes it close the pipe. nng begins anew after each piece that it gets from here. So pieces are as large as
 * nng asks for, not as TLS's records are (nng comes again with the same place until all of it is done), and nothing is
 * written any more to a connection that has ended: one small message after the other would still go into nng's buffer. Whoever
 * writes then waits for the reader to hear of the end. What is left are the moments between a message's length and the rest.
 *
 * An end that comes while nng neither reads nor writes, between two pieces, is forgotten by nng: the next read would wait for
 * ever. So whoever reads from here and would have to wait hears of the end that the socket itself tells. */
static bool socket_is(const struct nng_tls_engine_conn *conn, short events)
{
        struct pollfd p = {.fd = conn->fd, .events = events};
        return conn->fd >= 0 && poll(&p, 1, 0) == 1;
}

static int conn_recv(nng_tls_engine_conn *conn, uint8_t *data, size_t *len)
{
        int rv = conn_handshake(conn);
        if (rv != 0)
                return rv;
        if (conn->filled > 0 && conn->into != data)
                return NNG_EPROTO; /* what came before is lost: the one who wanted it gave up */
        conn->into = data;
        if (conn->filled == 0)
                rpc_gate_wants(conn->fd);
        while (conn->filled < *len) {
                size_t left = *len - conn->filled;
                ERR_clear_error();
                rv = SSL_read(conn->ssl, data + conn->filled, left > INT32_MAX ? INT32_MAX : (int)left);
                if (rv <= 0) {
                        rv = judge(conn, rv);
                        return rv == NNG_EAGAIN && socket_is(conn, 0) ? NNG_ECONNSHUT : rv; /* POLLHUP and POLLERR */
                }
                conn->filled += (size_t)rv;
        }
        conn->filled = 0;
        if (!conn->heard)
                note_heard(conn);
        return rpc_gate_hears(conn->fd, data, *len) ? 0 : NNG_ECONNRESET;
}

static int conn_send(nng_tls_engine_conn *conn, const uint8_t *data, size_t *len)
{
        int rv = conn_handshake(conn);
        if (rv != 0)
                return rv;
        if (conn->sent > 0 && conn->from != data)
                return NNG_EPROTO; /* half a message went out, and who sent it gave up */
        if (socket_is(conn, POLLRDHUP))
                return NNG_EAGAIN;
        conn->from = data;
        while (conn->sent < *len) {
                size_t left = *len - conn->sent;
                ERR_clear_error();
                rv = SSL_write(conn->ssl, data + conn->sent, left > RECORD_BYTES ? RECORD_BYTES : (int)left);
                if (rv <= 0)
                        return judge(conn, rv);
                conn->sent += (size_t)rv;
        }
        conn->sent = 0;
        return 0;
}

static bool conn_verified(nng_tls_engine_conn *conn)
{
        if (asked && conn->done)
                *asked = conn->peer;
        return conn->done;
}

/* ---- configurations --------------------------------------------------------------------------------------------- */

static int config_init(nng_tls_engine_config *c, nng_tls_mode mode)
{
        c->certs = opening.certs ? cluster_certs_ref(opening.certs) : NULL;
        snprintf(c->label, sizeof(c->label), "%s", opening.certs ? opening.label : "");
        c->mode = mode;
        pthread_mutex_init(&c->lock, NULL);
        return 0;
}

static void config_fini(nng_tls_engine_config *c)
{
        cluster_certs_unref(&c->certs);
        pthread_mutex_destroy(&c->lock);
}

/* nng's own settings say nothing here: who is trusted is cluster_certs'. */
static int config_server(nng_tls_engine_config *c, const char *name)
{
        (void)c;
        (void)name;
        return 0;
}

static int config_auth(nng_tls_engine_config *c, nng_tls_auth_mode mode)
{
        (void)c;
        (void)mode;
        return 0;
}

static int config_ca_chain(nng_tls_engine_config *c, const char *certificates, const char *revoked)
{
        (void)c;
        (void)certificates;
        (void)revoked;
        return NNG_ENOTSUP;
}

static int config_own_cert(nng_tls_engine_config *c, const char *certificate, const char *key, const char *password)
{
        (void)c;
        (void)certificate;
        (void)key;
        (void)password;
        return NNG_ENOTSUP;
}

static int config_version(nng_tls_engine_config *c, nng_tls_version least, nng_tls_version most)
{
        (void)c;
        (void)least;
        (void)most;
        return NNG_ENOTSUP;
}

/* ---- entry ------------------------------------------------------------------------------------------------------ */

static void start_engine(void)
{
        static nng_tls_engine_conn_ops conn_ops = {
                .size = sizeof(struct nng_tls_engine_conn),
                .init = conn_init,
                .fini = conn_fini,
                .close = conn_close,
                .handshake = conn_handshake,
                .recv = conn_recv,
                .send = conn_send,
                .verified = conn_verified,
        };
        static nng_tls_engine_config_ops config_ops = {
                .size = sizeof(struct nng_tls_engine_config),
                .init = config_init,
                .fini = config_fini,
                .server = config_server,
                .auth = config_auth,
                .ca_chain = config_ca_chain,
                .own_cert = config_own_cert,
                .version = config_version,
        };
        static const nng_tls_engine engine = {
                .version = NNG_TLS_ENGINE_VERSION,
                .config_ops = &config_ops,
                .conn_ops = &conn_ops,
                .name = "openssl",
                .description = "OpenSSL, with the cluster's certificates",
        };
        method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "nng");
        if (!method)
                mem_out("TLS");
        BIO_meth_set_write(method, bio_write);
        BIO_meth_set_read(method, bio_read);
        BIO_meth_set_ctrl(method, bio_ctrl);
        streams_tell_addresses = strncmp(nng_version(), "1.5.", 4) == 0;
        nng_tls_register(); /* nng sets its own engine when it starts: it must have */
        nng_tls_engine_register(&engine);
}

int rpc_tls_config(nng_tls_config **out, nng_tls_mode mode, struct cluster_certs *certs, const char *label)
{
        pthread_once(&once, start_engine);
        opening.certs = certs;
        opening.label = label;
        int rv = nng_tls_config_alloc(out, mode);
        opening.certs = NULL;
        return rv;
}

bool rpc_tls_peer(nng_pipe pipe, struct rpc_tls_peer *peer)
{
        bool verified = false;
        *peer = (struct rpc_tls_peer){0};
        asked = peer;
        int rv = nng_pipe_get_bool(pipe, NNG_OPT_TLS_VERIFIED, &verified);
        asked = NULL;
        return rv == 0 && verified && peer->name.role != 0;
}
