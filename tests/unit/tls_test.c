/* TLS around one viewer's connection, a client of OpenSSL's own at the other end of a socket that takes little at a time. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/mem.h"
#include "edged/pages.h"
#include "edged/wire/conn.h"
#include "edged/wire/send.h"
#include "edged/wire/tls.h"
#include "tests/unit/scratch.h"
#include "tests/unit/tls_files.h"

#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"

static SSL_CTX *server, *client;

struct way {
        struct conn *conn; /* only what tls.c looks at */
        struct tls *tls;
        int viewer;
        SSL *ssl; /* the viewer's */
        char *got;
        size_t len, cap;
        unsigned full;
};

static void way_open(struct way *w)
{
        int ends[2], least = 1;
        memset(w, 0, sizeof(*w));
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
        setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)); /* the kernel makes it as small as it can be */
        w->conn = mem_alloc(sizeof(*w->conn));
        w->conn->fd = ends[0];
        w->viewer = ends[1];
        SSL *ssl = SSL_new(server);
        SSL_set_accept_state(ssl);
        w->tls = tls_begin(ssl, w->conn);
        w->ssl = SSL_new(client);
        SSL_set_fd(w->ssl, w->viewer);
        SSL_set_connect_state(w->ssl);
}

static void way_close(struct way *w)
{
        SSL_free(w->ssl);
        tls_free(&w->tls);
        assert_null(w->tls);
        close(w->conn->fd);
        close(w->viewer);
        free(w->conn);
        free(w->got);
}

/* As the kernel would: there may be more. */
static void told(struct way *w)
{
        w->conn->readable = true;
}

static void shake(struct way *w)
{
        enum tls_says says = TLS_WAIT;
        const char *why;
        for (int i = 0; i < 1000 && (says != TLS_OPEN || !SSL_is_init_finished(w->ssl)); i++) {
                SSL_do_handshake(w->ssl);
                told(w);
                if (says == TLS_WAIT)
                        says = tls_shake(w->tls, &why);
        }
        assert_int_equal(says, TLS_OPEN);
}

static bool take(struct way *w, size_t most)
{
        if (w->len + most > w->cap)
                w->got = mem_resize(w->got, w->cap = 2 * (w->len + most));
        int n = SSL_read(w->ssl, w->got + w->len, (int)most);
        w->len += n > 0 ? (size_t)n : 0;
        return n > 0;
}

/* Sends all there is to send; the viewer reads whenever the kernel is full. */
static void send_all(struct output *o, struct way *w)
{
        enum output_says says;
        while ((says = output_send(o, w->conn->fd, w->tls)) == OUTPUT_FULL) {
                w->full++;
                take(w, 700); /* which it may be told nothing by: it is less than a record */
        }
        assert_int_equal(says, OUTPUT_SENT);
        while (take(w, 1 << 16))
                ;
}

static void expect(struct way *w, const char *text, const struct buf *bytes, const char *end)
{
        size_t len = strlen(text);
        assert_int_equal(w->len, len + bytes->len + strlen(end));
        assert_memory_equal(w->got, text, len);
        assert_memory_equal(w->got + len, bytes->data, bytes->len);
        assert_memory_equal(w->got + len + bytes->len, end, strlen(end));
        w->len = 0;
}

static struct buf *filled(size_t len)
{
        struct buf *b = buf_new(len);
        for (size_t i = 0; i < len; i++)
                b->data[i] = (uint8_t)(i * 7 + i / 251);
        return b;
}

/* ---- what is promised ------------------------------------------------------------------------------------------------- */

static void send_whole(struct buf *body)
{
        struct way w;
        struct output o = {0};
        char text[400];
        struct answer *a = answer_new(200, body, 0, body->len);
        way_open(&w);
        shake(&w);
        for (int again = 0; again < 2; again++) {
                output_answer(&o, a, &(struct output_how){.date = DATE, .extra = "X: 1\r\n"});
                send_all(&o, &w);
                snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n" DATE "X: 1\r\n\r\n", body->len);
                expect(&w, text, body, "");
                output_fini(&o);
        }
        assert_true(body->len < 100000 || w.full > 10);
        answer_unref(&a);
        way_close(&w);
}

static void test_a_slow_reader_gets_every_byte_whatever_it_lies_in(void **state)
{
        static const size_t lengths[] = {1, 3000, TLS_RECORD_MAX - 80, TLS_RECORD_MAX, 2 * TLS_RECORD_MAX, 300001};
        (void)state;
        for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
                struct buf *body = filled(lengths[i]);
                send_whole(body);
                buf_unref(&body);
        }
        struct buf *bytes = filled(300001), *body = pages_join(&bytes, 1);
        buf_unref(&bytes);
        assert_true(pages_find(body, NULL, NULL));
        send_whole(body);
        buf_unref(&body);
        assert_int_equal(pages_bodies(), 0);
}

static void test_what_grows_goes_piece_by_piece(void **state)
{
        (void)state;
        struct way w;
        struct output o = {0};
        struct answer *a = answer_growing(200);
        struct buf *piece = filled(50000);
        way_open(&w);
        shake(&w);
        output_answer(&o, a, &(struct output_how){.date = DATE});
        for (int i = 0; i < 3; i++) {
                output_piece(&o, buf_ref(piece), 0, piece->len, i == 2);
                send_all(&o, &w);
                expect(&w, i ? "c350\r\n" : "HTTP/1.1 200 OK\r\n" DATE "Transfer-Encoding: chunked\r\n\r\nc350\r\n", piece,
                       i == 2 ? "\r\n0\r\n\r\n" : "\r\n");
        }
        output_fini(&o);
        answer_unref(&a);
        buf_unref(&piece);
        way_close(&w);
}

static unsigned records;

static void on_message(int writes, int version, int type, const void *bytes, size_t len, SSL *ssl, void *arg)
{
        const uint8_t *head = bytes;
        (void)version, (void)ssl, (void)arg;
        if (!writes && type == SSL3_RT_HEADER && len == SSL3_RT_HEADER_LENGTH && head[0] == SSL3_RT_APPLICATION_DATA)
                records++;
}

static void test_an_answer_is_as_few_records_as_can_be(void **state)
{
        static const struct {
                size_t body;
                unsigned records;
        } rows[] = {{3000, 1}, {TLS_RECORD_MAX, 2}, {312000, 20}};
        (void)state;
        for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                struct way w;
                struct output o = {0};
                struct buf *body = filled(rows[i].body);
                struct answer *a = answer_new(200, body, 0, body->len);
                way_open(&w);
                shake(&w);
                while (take(&w, 1)) /* tickets are records too */
                        ;
                SSL_set_msg_callback(w.ssl, on_message);
                records = 0;
                output_answer(&o, a, &(struct output_how){.date = DATE});
                send_all(&o, &w);
                assert_int_equal(records, rows[i].records);
                output_fini(&o);
                answer_unref(&a);
                buf_unref(&body);
                way_close(&w);
        }
}

static void test_a_viewer_who_has_gone_ends_it_and_nothing_is_kept(void **state)
{
        (void)state;
        struct way w;
        struct output o = {0};
        struct buf *bytes = filled(300000), *body = pages_join(&bytes, 1);
        struct answer *a = answer_new(200, body, 0, body->len);
        buf_unref(&bytes);
        way_open(&w);
        shake(&w);
        output_answer(&o, a, &(struct output_how){.date = DATE});
        assert_int_equal(output_send(&o, w.conn->fd, w.tls), OUTPUT_FULL);
        shutdown(w.viewer, SHUT_RDWR);
        assert_int_equal(output_send(&o, w.conn->fd, w.tls), OUTPUT_BROKEN);
        output_fini(&o);
        answer_unref(&a);
        buf_unref(&body);
        assert_int_equal(pages_bodies(), 0);
        way_close(&w);
}

static void test_what_is_read_is_what_was_sent_and_the_kernel_is_not_asked_for_more_than_it_told_of(void **state)
{
        (void)state;
        struct way w;
        char sent[40000], got[40000];
        size_t len = 0;
        way_open(&w);
        shake(&w);
        for (size_t i = 0; i < sizeof(sent); i++)
                sent[i] = (char)(i * 13 + i / 200);
        assert_int_equal(SSL_write(w.ssl, sent, sizeof(sent)), sizeof(sent));
        w.conn->readable = false;
        assert_int_equal(tls_recv(w.tls, got, sizeof(got)), -1);
        assert_int_equal(errno, EAGAIN);
        told(&w);
        ssize_t n;
        while ((n = tls_recv(w.tls, got + len, 1000)) > 0) {
                len += (size_t)n;
                assert_true(len <= sizeof(got));
        }
        assert_int_equal(n, -1);
        assert_int_equal(errno, EAGAIN);
        assert_false(w.conn->readable);
        assert_int_equal(len, sizeof(sent));
        assert_memory_equal(got, sent, sizeof(sent));
        SSL_shutdown(w.ssl);
        told(&w);
        assert_int_equal(tls_recv(w.tls, got, sizeof(got)), 0);
        way_close(&w);
}

static void test_who_changes_keys_without_end_is_ended(void **state)
{
        (void)state;
        struct way w;
        char byte;
        ssize_t n = -1;
        unsigned changes = 0;
        way_open(&w);
        shake(&w);
        for (; n < 0 && changes < TLS_SILENT_MAX; changes++) { /* each is more than a byte */
                assert_int_equal(SSL_key_update(w.ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
                assert_int_equal(SSL_do_handshake(w.ssl), 1);
                do {
                        told(&w);
                        n = tls_recv(w.tls, &byte, 1);
                } while (n < 0 && errno == EINTR);
        }
        assert_int_equal(n, 0);
        assert_true(changes > 100);
        way_close(&w);
}

static void test_a_few_changes_of_keys_are_nothing(void **state)
{
        (void)state;
        struct way w;
        char got[16];
        way_open(&w);
        shake(&w);
        for (int i = 0; i < 3000; i++) {
                ssize_t n;
                assert_int_equal(SSL_key_update(w.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
                assert_int_equal(SSL_write(w.ssl, "hello", 5), 5);
                do {
                        told(&w);
                        n = tls_recv(w.tls, got, sizeof(got));
                } while (n < 0 && (errno == EINTR || errno == EAGAIN));
                assert_int_equal(n, 5);
                assert_int_equal(tls_recv(w.tls, got, sizeof(got)), -1);
                SSL_read(w.ssl, got, sizeof(got)); /* what was answered */
        }
        way_close(&w);
}

/* What tls_shake() says of these bytes in the end. */
static enum tls_says shaken_by(const void *bytes, size_t len, const char **why)
{
        struct way w;
        enum tls_says says = TLS_WAIT;
        way_open(&w);
        for (size_t at = 0; at < len && says == TLS_WAIT;) {
                size_t part = len - at < 1000 ? len - at : 1000;
                ssize_t n = send(w.viewer, (const char *)bytes + at, part, MSG_NOSIGNAL);
                at += n > 0 ? (size_t)n : 0;
                told(&w);
                says = tls_shake(w.tls, why);
        }
        way_close(&w);
        return says;
}

static void test_what_is_no_handshake_is_told_from_what_is_http(void **state)
{
        (void)state;
        const char *why = "";
        uint8_t long_hello[TLS_SILENT_MAX + 5000] = {0};
        for (size_t at = 0; at + 5 < sizeof(long_hello); at += 5 + 1024) /* one message of 128 KiB, in records of 1 KiB */
                memcpy(long_hello + at, "\x16\x03\x01\x04\x00", 5);
        memcpy(long_hello + 5, "\x01\x01\xff\x00", 4);
        assert_int_equal(shaken_by("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27, &why), TLS_PLAIN);
        assert_int_equal(shaken_by("\x16\x03\x01", 3, &why), TLS_WAIT);
        assert_int_equal(shaken_by("\x80\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a", 11, &why), TLS_BROKEN);
        assert_true(*why);
        assert_int_equal(shaken_by(long_hello, sizeof(long_hello), &why), TLS_BROKEN);
        assert_string_equal(why, "the handshake is too long");
}

static void test_the_end_is_told_to_who_reads_to_the_end(void **state)
{
        (void)state;
        struct way w;
        char byte;
        way_open(&w);
        shake(&w);
        tls_end(w.tls);
        while (take(&w, 1))
                ;
        assert_int_equal(SSL_get_error(w.ssl, SSL_read(w.ssl, &byte, 1)), SSL_ERROR_ZERO_RETURN);
        way_close(&w);
}

static int begin(void **state)
{
        char dir[96], path[128];
        (void)state;
        scratch_dir(dir, sizeof(dir));
        tls_write_pair(dir, "tls", "localhost", 7);
        server = SSL_CTX_new(TLS_server_method());
        client = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_mode(server, SSL_MODE_RELEASE_BUFFERS);
        snprintf(path, sizeof(path), "%s/tls.crt", dir);
        assert_int_equal(SSL_CTX_use_certificate_chain_file(server, path), 1);
        unlink(path);
        snprintf(path, sizeof(path), "%s/tls.key", dir);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(server, path, SSL_FILETYPE_PEM), 1);
        unlink(path);
        rmdir(dir);
        return 0;
}

static int end(void **state)
{
        (void)state;
        SSL_CTX_free(server);
        SSL_CTX_free(client);
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_slow_reader_gets_every_byte_whatever_it_lies_in),
                cmocka_unit_test(test_what_grows_goes_piece_by_piece),
                cmocka_unit_test(test_an_answer_is_as_few_records_as_can_be),
                cmocka_unit_test(test_a_viewer_who_has_gone_ends_it_and_nothing_is_kept),
                cmocka_unit_test(test_what_is_read_is_what_was_sent_and_the_kernel_is_not_asked_for_more_than_it_told_of),
                cmocka_unit_test(test_who_changes_keys_without_end_is_ended),
                cmocka_unit_test(test_a_few_changes_of_keys_are_nothing),
                cmocka_unit_test(test_what_is_no_handshake_is_told_from_what_is_http),
                cmocka_unit_test(test_the_end_is_told_to_who_reads_to_the_end),
        };
        return cmocka_run_group_tests(tests, begin, end);
}
