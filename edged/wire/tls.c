#include "edged/wire/tls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/mem.h"
#include "edged/wire/conn.h"

#define TAKES_MOST (4 << 10) /* of the kernel at once: what OpenSSL has it looks through, and others of this thread wait meanwhile */

struct tls {
        SSL *ssl;
        struct conn *conn;
        size_t silent; /* bytes from the kernel since there was one of HTTP among them */
        bool open, by_kernel;
        bool starved;   /* OpenSSL wanted bytes that the kernel has not */
        bool full;      /* the kernel took less than it was given */
        bool more_follows;
};

/* ---- the socket, as OpenSSL has it ------------------------------------------------------------------------------- */

static BIO_METHOD *methods; /* made once and kept: OpenSSL has 127 kinds of BIO to give */
static int (*socket_read)(BIO *, char *, int);
static int (*socket_write)(BIO *, const char *, int);

static int none_now(BIO *bio, void (*retry)(BIO *))
{
        retry(bio);
        errno = EAGAIN;
        return -1;
}

static void retry_read(BIO *bio)
{
        BIO_set_retry_read(bio);
}

static void retry_write(BIO *bio)
{
        BIO_set_retry_write(bio);
}

static int bio_read(BIO *bio, char *dst, int cap)
{
        struct tls *t = BIO_get_app_data(bio);
        struct conn *c = t->conn;
        ssize_t n = -1;
        if (BIO_get_ktls_recv(bio)) { /* the kernel decrypts, and gives each record with its kind: that is OpenSSL's to ask for */
                n = socket_read(bio, dst, cap);
                t->starved = n < 0 && BIO_should_read(bio);
                t->silent += n > 0 ? (size_t)n : 0;
                return (int)n;
        }
        BIO_clear_retry_flags(bio);
        cap = cap < TAKES_MOST ? cap : TAKES_MOST;
        while (c->readable && (n = recv(c->fd, dst, (size_t)cap, 0)) < 0 && errno == EINTR)
                ;
        t->starved = !c->readable || (n < 0 && errno == EAGAIN);
        c->readable = n == cap || (c->hung_up && !t->starved); /* as without TLS: wire.c */
        if (t->starved)
                return none_now(bio, retry_read);
        t->silent += n > 0 ? (size_t)n : 0;
        return (int)n;
}

static int bio_write(BIO *bio, const char *data, int len)
{
        struct tls *t = BIO_get_app_data(bio);
        ssize_t n = -1;
        if (BIO_get_ktls_send(bio))
                return socket_write(bio, data, len);
        BIO_clear_retry_flags(bio);
        if (t->full)
                return none_now(bio, retry_write);
        do
                n = send(t->conn->fd, data, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT | (t->more_follows ? MSG_MORE : 0));
        while (n < 0 && errno == EINTR);
        t->full = n < 0 ? errno == EAGAIN || errno == ENOBUFS : n < len;
        return n < 0 && t->full ? none_now(bio, retry_write) : (int)n;
}

/* The methods by which OpenSSL hands keys to the kernel are a socket's, and stay that. */
static void make_methods(void)
{
        BIO_METHOD *socket = (BIO_METHOD *)(uintptr_t)BIO_s_socket(); /* the getters want it without const, and change nothing */
        methods = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK | BIO_TYPE_DESCRIPTOR, "viewer");
        if (!methods)
                mem_out("TLS");
        socket_read = BIO_meth_get_read(socket);
        socket_write = BIO_meth_get_write(socket);
        BIO_meth_set_create(methods, BIO_meth_get_create(socket));
        BIO_meth_set_destroy(methods, BIO_meth_get_destroy(socket));
        BIO_meth_set_ctrl(methods, BIO_meth_get_ctrl(socket));
        BIO_meth_set_read(methods, bio_read);
        BIO_meth_set_write(methods, bio_write);
}

struct tls *tls_begin(SSL *ssl, struct conn *c)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        static const char layer[] = "tls";
        pthread_once(&once, make_methods);
        struct tls *t = mem_alloc(sizeof(*t));
        BIO *bio = BIO_new(methods);
        if (!bio)
                mem_out("TLS");
        t->ssl = ssl;
        t->conn = c;
        BIO_set_fd(bio, c->fd, BIO_NOCLOSE);
        BIO_set_app_data(bio, t);
        SSL_set_bio(ssl, bio, bio);
        SSL_set_read_ahead(ssl, 1); /* else each record is two calls, its head and the rest */
        /* After records without bytes of HTTP it comes back, for others have their turn. What is sent again after EAGAIN may lie
         * elsewhere. */
        SSL_clear_mode(ssl, SSL_MODE_AUTO_RETRY);
        SSL_set_mode(ssl, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        /* Without it OpenSSL does not ask the kernel, with it on a kernel that cannot it goes on by itself. */
        int cannot = setsockopt(c->fd, IPPROTO_TCP, TCP_ULP, layer, sizeof(layer));
        (void)cannot;
        return t;
}

void tls_free(struct tls **tp)
{
        struct tls *t = *tp;
        if (!t)
                return;
        *tp = NULL;
        SSL_free(t->ssl);
        free(t);
}

/* ---- the handshake ------------------------------------------------------------------------------------------------ */

static enum tls_says broken(const char *text, const char **why)
{
        *why = text ? text : "the viewer went away";
        ERR_clear_error();
        return TLS_BROKEN;
}

static bool is_plain_http(unsigned long error)
{
        return ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == SSL_R_HTTP_REQUEST;
}

enum tls_says tls_shake(struct tls *t, const char **why)
{
        ERR_clear_error();
        t->full = false;
        int n = SSL_do_handshake(t->ssl), error = SSL_get_error(t->ssl, n);
        if (n == 1) {
                t->open = true;
                t->silent = 0;
                t->by_kernel = BIO_get_ktls_send(SSL_get_wbio(t->ssl)) != 0;
                return TLS_OPEN;
        }
        if (t->silent > TLS_SILENT_MAX)
                return broken("the handshake is too long", why);
        if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
                return TLS_WAIT;
        if (is_plain_http(ERR_peek_error())) {
                ERR_clear_error();
                return TLS_PLAIN;
        }
        return broken(ERR_reason_error_string(ERR_peek_error()), why);
}

bool tls_by_kernel(const struct tls *t)
{
        return t->by_kernel;
}

bool tls_is_resumed(const struct tls *t)
{
        return SSL_session_reused(t->ssl) == 1;
}

/* ---- bytes -------------------------------------------------------------------------------------------------------- */

/* After what held no HTTP. To change the keys by which the kernel encrypts is not OpenSSL's any more. */
static bool may_go_on(const struct tls *t)
{
        return t->silent <= TLS_SILENT_MAX && !(t->by_kernel && SSL_get_key_update_type(t->ssl) != SSL_KEY_UPDATE_NONE);
}

ssize_t tls_recv(struct tls *t, void *dst, size_t cap)
{
        size_t n = 0;
        ERR_clear_error();
        t->full = false; /* it may have to answer */
        if (SSL_read_ex(t->ssl, dst, cap, &n)) {
                t->silent = 0;
                return (ssize_t)n;
        }
        int error = SSL_get_error(t->ssl, 0);
        ERR_clear_error();
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
                return 0;
        if (!may_go_on(t))
                return 0;
        errno = error == SSL_ERROR_WANT_WRITE || t->starved ? EAGAIN : EINTR;
        return -1;
}

/* As much as goes into a record, in one piece: where it lies, if that is enough or all, and else in room. */
static const void *in_one_piece(const struct iovec *parts, int count, char room[TLS_RECORD_MAX], size_t *len)
{
        *len = parts[0].iov_len < TLS_RECORD_MAX ? parts[0].iov_len : TLS_RECORD_MAX;
        if (count == 1 || *len == TLS_RECORD_MAX)
                return parts[0].iov_base;
        *len = 0;
        for (int i = 0; i < count && *len < TLS_RECORD_MAX; i++) {
                size_t left = TLS_RECORD_MAX - *len, n = parts[i].iov_len < left ? parts[i].iov_len : left;
                memcpy(room + *len, parts[i].iov_base, n);
                *len += n;
        }
        return room;
}

static size_t length_of(const struct iovec *parts, int count)
{
        size_t all = 0;
        for (int i = 0; i < count; i++)
                all += parts[i].iov_len;
        return all;
}

ssize_t tls_send(struct tls *t, const struct iovec *parts, int count, bool is_last, size_t *wanted)
{
        char room[TLS_RECORD_MAX];
        const void *bytes = in_one_piece(parts, count, room, wanted);
        size_t n = 0;
        ERR_clear_error();
        t->full = false;
        t->more_follows = !is_last || *wanted < length_of(parts, count);
        bool ok = SSL_write_ex(t->ssl, bytes, *wanted, &n) == 1;
        t->more_follows = false;
        if (ok)
                return (ssize_t)n;
        errno = SSL_get_error(t->ssl, 0) == SSL_ERROR_WANT_WRITE ? EAGAIN : EPIPE;
        ERR_clear_error();
        return -1;
}

void tls_end(struct tls *t)
{
        if (t->open)
                SSL_shutdown(t->ssl);
        ERR_clear_error();
}
