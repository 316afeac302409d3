/* tls_server_fixture.h - a server with three pairs in a directory of its own, and a client of OpenSSL's on the other side of two arrays
 * of bytes. Include after cmocka.h. */
#ifndef TESTS_TLS_SERVER_FIXTURE_H
#define TESTS_TLS_SERVER_FIXTURE_H

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "common/daemon/log.h"
#include "common/mem.h"
#include "common/tls_server.h"
#include "common/tls_stream.h"
#include "tests/unit/scratch.h"
#include "tests/unit/tls_files.h"

struct fixture {
        char dir[96];
        uv_loop_t loop;
        struct tls_server *server;
        uv_timer_t alive; /* the watch alone keeps no loop running */
};

/* One connection, both ends. */
struct wire {
        SSL_CTX *ctx;
        SSL *client;
        BIO *to_client, *from_client;
        struct tls_stream *stream;
        char heard[200000]; /* plain bytes at the server */
        size_t heard_len;
        size_t sent; /* by the server */
        int err;
        bool echo;
};

static inline void on_send(void *arg, const void *data, size_t len)
{
        struct wire *w = arg;
        w->sent += len;
        assert_int_equal(BIO_write(w->to_client, data, (int)len), len);
}

static inline void on_plain(void *arg, const void *data, size_t len)
{
        struct wire *w = arg;
        assert_true(len > 0 && w->heard_len + len <= sizeof(w->heard));
        memcpy(w->heard + w->heard_len, data, len);
        w->heard_len += len;
        if (w->echo)
                tls_stream_write(w->stream, data, len);
}

static const struct tls_stream_ops ops = {.send = on_send, .plain = on_plain};

static inline void wire_open(struct wire *w, struct tls_server *s, const char *host)
{
        memset(w, 0, sizeof(*w));
        w->ctx = SSL_CTX_new(TLS_client_method());
        w->client = SSL_new(w->ctx);
        w->to_client = BIO_new(BIO_s_mem());
        w->from_client = BIO_new(BIO_s_mem());
        SSL_set_bio(w->client, w->to_client, w->from_client);
        SSL_set_connect_state(w->client);
        if (host)
                SSL_set_tlsext_host_name(w->client, host);
        w->stream = tls_stream_new(tls_server_accept(s), &ops, w);
}

/* What the client has said goes to the server, in pieces of this many bytes. */
static inline void pump(struct wire *w, int piece)
{
        char buf[4096];
        int n;
        while (w->err == 0 && (n = BIO_read(w->from_client, buf, piece)) > 0)
                w->err = tls_stream_feed(w->stream, buf, (size_t)n);
}

static inline bool handshake(struct wire *w, int piece)
{
        for (int i = 0; i < 10; i++) {
                int rv = SSL_do_handshake(w->client), error = SSL_get_error(w->client, rv);
                pump(w, piece);
                if (rv == 1)
                        return tls_stream_open(w->stream);
                if (error != SSL_ERROR_WANT_READ)
                        return false;
        }
        return false;
}

static inline long serial_of(struct wire *w)
{
        X509 *x = SSL_get1_peer_certificate(w->client);
        assert_non_null(x);
        long serial = ASN1_INTEGER_get(X509_get_serialNumber(x));
        X509_free(x);
        return serial;
}

static inline void wire_close(struct wire *w)
{
        tls_stream_free(&w->stream);
        assert_null(w->stream);
        SSL_free(w->client);
        SSL_CTX_free(w->ctx);
}

static inline long serial_for(struct fixture *f, const char *host)
{
        struct wire *w = mem_alloc(sizeof(*w));
        wire_open(w, f->server, host);
        assert_true(handshake(w, 4096));
        long serial = serial_of(w);
        wire_close(w);
        free(w);
        return serial;
}

static inline int setup(void **state)
{
        struct fixture *f = mem_alloc(sizeof(*f));
        log_set_level(LOG_ERROR + 1);
        scratch_dir(f->dir, sizeof(f->dir));
        tls_write_pair(f->dir, "tls", "usual.example", 1);
        tls_write_pair(f->dir, "a", "a.example", 2);
        tls_write_pair(f->dir, "wild", "*.b.example", 3);
        uv_loop_init(&f->loop);
        assert_int_equal(tls_server_open(&f->server, &f->loop, &(struct tls_server_config){.directory = f->dir}), 0);
        *state = f;
        return 0;
}

static inline void clear(const char *dir)
{
        DIR *d = opendir(dir);
        for (struct dirent *e; (e = readdir(d));) {
                char path[512];
                snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
                unlink(path);
        }
        closedir(d);
}

static inline int teardown(void **state)
{
        struct fixture *f = *state;
        tls_server_close(&f->server);
        assert_null(f->server);
        uv_run(&f->loop, UV_RUN_DEFAULT);
        assert_int_equal(uv_loop_close(&f->loop), 0);
        clear(f->dir);
        rmdir(f->dir);
        free(f);
        return 0;
}

static inline void write_file(const char *dir, const char *name, const char *text)
{
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", dir, name);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(text, file);
        fclose(file);
}

#endif
