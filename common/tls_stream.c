#include "common/tls_stream.h"

#include <assert.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"

#define RECORD_MAX (16u << 10) /* plain bytes of one record, and of one SSL_read() */
#define SEND_MAX (16u << 10)

struct tls_stream {
        SSL *ssl;
        const struct tls_stream_ops *ops;
        void *arg;
        const uint8_t *in, *in_end; /* what is left of the bytes being fed */
        size_t hello_len;
        bool open, ended;
        const char *why;
};

/* The socket, as OpenSSL sees it: reads what is being fed, sends at once. */

static int bio_read(BIO *bio, char *dst, int cap)
{
        struct tls_stream *t = BIO_get_data(bio);
        size_t n = (size_t)(t->in_end - t->in);
        BIO_clear_retry_flags(bio);
        if (n == 0) {
                BIO_set_retry_read(bio);
                return -1;
        }
        if (n > (size_t)cap)
                n = (size_t)cap;
        memcpy(dst, t->in, n);
        t->in += n;
        return (int)n;
}

static int bio_write(BIO *bio, const char *data, int len)
{
        struct tls_stream *t = BIO_get_data(bio);
        BIO_clear_retry_flags(bio);
        if (len > 0)
                t->ops->send(t->arg, data, (size_t)len);
        return len;
}

static long bio_ctrl(BIO *bio, int command, long number, void *p)
{
        (void)bio, (void)number, (void)p;
        return command == BIO_CTRL_FLUSH;
}

/* Made once and kept: OpenSSL has 127 kinds of BIO to give. */
static BIO *new_bio(struct tls_stream *t)
{
        static BIO_METHOD *method;
        if (!method) {
                method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tls_stream");
                if (!method)
                        mem_out("TLS");
                BIO_meth_set_read(method, bio_read);
                BIO_meth_set_write(method, bio_write);
                BIO_meth_set_ctrl(method, bio_ctrl);
        }
        BIO *bio = BIO_new(method);
        if (!bio)
                mem_out("TLS");
        BIO_set_data(bio, t);
        BIO_set_init(bio, 1);
        return bio;
}

struct tls_stream *tls_stream_new(SSL *ssl, const struct tls_stream_ops *ops, void *arg)
{
        struct tls_stream *t = mem_alloc(sizeof(*t));
        t->ssl = ssl;
        t->ops = ops;
        t->arg = arg;
        t->why = "";
        BIO *bio = new_bio(t);
        SSL_set_bio(ssl, bio, bio);
        return t;
}

static int fail(struct tls_stream *t, int err, const char *why)
{
        t->why = why;
        t->ended = true;
        ERR_clear_error();
        return err;
}

/* Of a call that did not succeed: 0 when it only waits for more. */
static int result(struct tls_stream *t, int rv)
{
        const char *text;
        switch (SSL_get_error(t->ssl, rv)) {
        case SSL_ERROR_WANT_READ:
                return 0;
        case SSL_ERROR_ZERO_RETURN:
                return fail(t, ERR_CLOSED, "the peer ended it");
        default:
                text = ERR_reason_error_string(ERR_peek_error());
                return fail(t, ERR_PROTO, text ? text : "cannot go on");
        }
}

int tls_stream_feed(struct tls_stream *t, const void *data, size_t len)
{
        char plain[RECORD_MAX];
        int n;
        assert(!t->ended);
        t->in = data;
        t->in_end = t->in + len;
        ERR_clear_error();
        if (!t->open) {
                t->hello_len += len;
                n = SSL_do_handshake(t->ssl);
                t->open = n == 1;
                if (!t->open) {
                        int err = result(t, n);
                        if (err == 0 && t->hello_len > TLS_STREAM_HELLO_MAX)
                                err = fail(t, ERR_LIMIT, "the handshake is too long");
                        return err;
                }
        }
        while ((n = SSL_read(t->ssl, plain, sizeof(plain))) > 0)
                t->ops->plain(t->arg, plain, (size_t)n);
        return result(t, n);
}

void tls_stream_write(struct tls_stream *t, const void *data, size_t len)
{
        assert(t->open);
        for (size_t done = 0; done < len && !t->ended;) {
                size_t part = len - done < SEND_MAX ? len - done : SEND_MAX;
                int n = SSL_write(t->ssl, (const char *)data + done, (int)part);
                if (n <= 0) { /* the connection is broken, which reading tells too */
                        ERR_clear_error();
                        return;
                }
                done += (size_t)n;
        }
}

void tls_stream_end(struct tls_stream *t)
{
        if (!t->open || t->ended)
                return;
        t->ended = true;
        SSL_shutdown(t->ssl);
        ERR_clear_error();
}

void tls_stream_free(struct tls_stream **tp)
{
        struct tls_stream *t = *tp;
        if (!t)
                return;
        *tp = NULL;
        SSL_free(t->ssl);
        free(t);
}

bool tls_stream_open(const struct tls_stream *t)
{
        return t->open;
}

const char *tls_stream_version(const struct tls_stream *t)
{
        return SSL_get_version(t->ssl);
}

const char *tls_stream_why(const struct tls_stream *t)
{
        return t->why;
}
