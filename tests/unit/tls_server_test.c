/* tls_server and tls_stream: a client of OpenSSL's own on the other side of two arrays of bytes. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdbool.h>

#include "common/err.h"
#include "tls_server_fixture.h"

static void check_both_ways(struct fixture *f, int version, const char *name, int piece)
{
        struct wire *w = mem_alloc(sizeof(*w));
        static char out[100000], back[100000];
        for (size_t i = 0; i < sizeof(out); i++)
                out[i] = (char)(i * 7 >> 3);
        wire_open(w, f->server, NULL);
        SSL_set_min_proto_version(w->client, version);
        SSL_set_max_proto_version(w->client, version);
        assert_true(handshake(w, piece));
        assert_string_equal(tls_stream_version(w->stream), name);
        w->echo = true;
        assert_int_equal(SSL_write(w->client, out, sizeof(out)), sizeof(out));
        pump(w, piece);
        assert_int_equal(w->err, 0);
        assert_int_equal(w->heard_len, sizeof(out));
        assert_memory_equal(w->heard, out, sizeof(out));
        size_t got = 0;
        for (int n; got < sizeof(back) && (n = SSL_read(w->client, back + got, (int)(sizeof(back) - got))) > 0;)
                got += (size_t)n;
        assert_int_equal(got, sizeof(out));
        assert_memory_equal(back, out, sizeof(out));
        wire_close(w);
        free(w);
}

static void test_bytes_go_both_ways_however_they_are_cut(void **state)
{
        check_both_ways(*state, TLS1_3_VERSION, "TLSv1.3", 4096);
        check_both_ways(*state, TLS1_3_VERSION, "TLSv1.3", 1);
        check_both_ways(*state, TLS1_2_VERSION, "TLSv1.2", 1000);
        check_both_ways(*state, TLS1_2_VERSION, "TLSv1.2", 1);
}

static void test_old_versions_and_old_suites_are_refused_and_it_is_said_why(void **state)
{
        struct fixture *f = *state;
        struct wire *w = mem_alloc(sizeof(*w));
        wire_open(w, f->server, NULL);
        SSL_set_security_level(w->client, 0);
        SSL_set_min_proto_version(w->client, TLS1_VERSION);
        SSL_set_max_proto_version(w->client, TLS1_1_VERSION);
        assert_false(handshake(w, 4096));
        assert_int_equal(w->err, ERR_PROTO);
        assert_true(*tls_stream_why(w->stream));
        wire_close(w);
        wire_open(w, f->server, NULL);
        SSL_set_max_proto_version(w->client, TLS1_2_VERSION);
        assert_int_equal(SSL_set_cipher_list(w->client, "ECDHE-ECDSA-AES128-SHA256"), 1); /* CBC */
        assert_false(handshake(w, 4096));
        assert_int_equal(w->err, ERR_PROTO);
        wire_close(w);
        free(w);
}

static void test_what_is_not_tls_is_refused(void **state)
{
        struct fixture *f = *state;
        struct wire *w = mem_alloc(sizeof(*w));
        wire_open(w, f->server, NULL);
        static const char rtmp[2000] = {3};
        assert_int_equal(tls_stream_feed(w->stream, rtmp, sizeof(rtmp)), ERR_PROTO);
        wire_close(w);
        free(w);
}

/* Handshake records that each hold a byte of a client hello that never ends. */
static void test_a_handshake_without_end_is_cut_off(void **state)
{
        struct fixture *f = *state;
        struct wire *w = mem_alloc(sizeof(*w));
        static const uint8_t begin[] = {22, 3, 1, 0, 4, 1, 0, 0xff, 0xff}, more[] = {22, 3, 1, 0, 1, 0};
        wire_open(w, f->server, NULL);
        int err = tls_stream_feed(w->stream, begin, sizeof(begin));
        size_t fed = sizeof(begin);
        while (err == 0 && fed < 10 * TLS_STREAM_HELLO_MAX) {
                err = tls_stream_feed(w->stream, more, sizeof(more));
                fed += sizeof(more);
        }
        assert_true(err == ERR_LIMIT || err == ERR_PROTO);
        assert_true(fed <= TLS_STREAM_HELLO_MAX + sizeof(more));
        assert_int_equal(w->heard_len, 0);
        wire_close(w);
        free(w);
}

static void test_the_end_is_told_both_ways(void **state)
{
        struct fixture *f = *state;
        struct wire *w = mem_alloc(sizeof(*w));
        char c;
        wire_open(w, f->server, NULL);
        assert_true(handshake(w, 4096));
        tls_stream_end(w->stream);
        tls_stream_end(w->stream);
        assert_int_equal(SSL_get_error(w->client, SSL_read(w->client, &c, 1)), SSL_ERROR_ZERO_RETURN);
        wire_close(w);
        wire_open(w, f->server, NULL);
        assert_true(handshake(w, 4096));
        SSL_shutdown(w->client);
        pump(w, 4096);
        assert_int_equal(w->err, ERR_CLOSED);
        wire_close(w);
        free(w);
}

static void test_the_certificate_is_that_of_the_name_asked_for(void **state)
{
        struct fixture *f = *state;
        assert_int_equal(tls_server_pairs(f->server), 3);
        assert_int_equal(serial_for(f, "a.example"), 2);
        assert_int_equal(serial_for(f, "x.b.example"), 3);
        assert_int_equal(serial_for(f, "x.y.b.example"), 1);
        assert_int_equal(serial_for(f, "other.example"), 1);
        assert_int_equal(serial_for(f, NULL), 1);
}

/* Of a client that understands only signatures of this kind. */
static long serial_signed(struct fixture *f, const char *host, int version, const char *signatures)
{
        struct wire *w = mem_alloc(sizeof(*w));
        wire_open(w, f->server, host);
        SSL_set_min_proto_version(w->client, version);
        SSL_set_max_proto_version(w->client, version);
        assert_int_equal(SSL_set1_sigalgs_list(w->client, signatures), 1);
        long serial = handshake(w, 4096) ? serial_of(w) : 0;
        wire_close(w);
        free(w);
        return serial;
}

#define RSA "rsa_pss_rsae_sha256:RSA+SHA256"
#define ECDSA "ECDSA+SHA256"

static void test_of_two_certificates_for_a_name_the_client_gets_one_it_can_verify(void **state)
{
        struct fixture *f = *state;
        static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
        tls_write_rsa_pair(f->dir, "a-rsa", "a.example", 50);
        tls_write_rsa_pair(f->dir, "0-rsa", "*.b.example", 51); /* before `wild`, by its name */
        tls_write_rsa_pair(f->dir, "usual-rsa", "usual.example", 52);
        tls_server_reload(f->server);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(serial_signed(f, "a.example", versions[i], RSA), 50);
                assert_int_equal(serial_signed(f, "a.example", versions[i], ECDSA), 2);
                assert_int_equal(serial_signed(f, "a.example", versions[i], RSA ":" ECDSA), 2);
                assert_int_equal(serial_signed(f, "x.b.example", versions[i], RSA), 51);
                assert_int_equal(serial_signed(f, "x.b.example", versions[i], ECDSA), 3);
                assert_int_equal(serial_signed(f, NULL, versions[i], RSA), 52); /* tls's own names, and no other RSA */
                assert_int_equal(serial_signed(f, NULL, versions[i], ECDSA), 1);
                assert_int_equal(serial_signed(f, "other.example", versions[i], RSA), 52);
        }
        assert_int_equal(tls_server_pairs(f->server), 6);
}

static void test_a_certificate_for_another_name_or_that_has_expired_is_not_chosen_for_its_key(void **state)
{
        struct fixture *f = *state;
        tls_write_rsa_pair(f->dir, "c", "c.example", 60);
        tls_write_pair_of(f->dir, "a-rsa", "a.example", 61, -7200, -3600, EVP_RSA_gen(2048));
        tls_server_reload(f->server);
        assert_int_equal(serial_signed(f, "a.example", TLS1_3_VERSION, RSA), 0);
        assert_int_equal(serial_signed(f, NULL, TLS1_3_VERSION, RSA), 0);
        assert_int_equal(serial_signed(f, "c.example", TLS1_3_VERSION, RSA), 60);
}

static void check_alpn(struct tls_server *s, const char *offered, unsigned len, const char *chosen)
{
        const unsigned char *got;
        unsigned got_len;
        struct wire *w = mem_alloc(sizeof(*w));
        wire_open(w, s, NULL);
        SSL_set_alpn_protos(w->client, (const unsigned char *)offered, len);
        assert_true(handshake(w, 4096));
        SSL_get0_alpn_selected(w->client, &got, &got_len);
        assert_int_equal(got_len, strlen(chosen));
        assert_memory_equal(got, chosen, got_len);
        wire_close(w);
        free(w);
}

static void test_alpn_is_tolerated_or_chosen_from(void **state)
{
        struct fixture *f = *state;
        struct tls_server *http;
        check_alpn(f->server, "\2h2\7unknown", 11, "");
        struct tls_server_config cfg = {.directory = f->dir, .alpn = (const char *const[]){"h2", "http/1.1", NULL}};
        assert_int_equal(tls_server_open(&http, &f->loop, &cfg), 0);
        check_alpn(http, "\x08http/1.1\2h2", 12, "h2");
        check_alpn(http, "\x08http/1.1", 9, "http/1.1");
        check_alpn(http, "\7unknown", 8, "");
        tls_server_close(&http);
}

static void test_there_are_no_sessions_to_resume(void **state)
{
        struct fixture *f = *state;
        struct wire *w = mem_alloc(sizeof(*w));
        wire_open(w, f->server, NULL);
        SSL_set_max_proto_version(w->client, TLS1_2_VERSION);
        assert_true(handshake(w, 4096));
        SSL_SESSION *session = SSL_get1_session(w->client);
        wire_close(w);
        wire_open(w, f->server, NULL);
        SSL_set_max_proto_version(w->client, TLS1_2_VERSION);
        SSL_set_session(w->client, session);
        assert_true(handshake(w, 4096));
        assert_false(SSL_session_reused(w->client));
        SSL_SESSION_free(session);
        wire_close(w);
        free(w);
}

/* Two ends, without tls_stream: any thread. session: to be resumed, NULL: none; becomes the one for the next time. Whether it was. */
static bool meet(struct tls_server *s, SSL_CTX *ctx, int version, SSL_SESSION **session)
{
        BIO *near, *far;
        char byte;
        SSL *server = tls_server_accept(s), *client = SSL_new(ctx);
        assert_int_equal(BIO_new_bio_pair(&near, 1 << 16, &far, 1 << 16), 1);
        SSL_set_bio(server, near, near);
        SSL_set_bio(client, far, far);
        SSL_set_connect_state(client);
        SSL_set_tlsext_host_name(client, "x.b.example");
        SSL_set_max_proto_version(client, version);
        if (*session)
                SSL_set_session(client, *session);
        for (int i = 0; i < 10 && !(SSL_is_init_finished(client) && SSL_is_init_finished(server)); i++) {
                SSL_do_handshake(client);
                SSL_do_handshake(server);
        }
        assert_true(SSL_is_init_finished(client) && SSL_is_init_finished(server));
        SSL_read(client, &byte, 1); /* tickets come behind the handshake */
        bool resumed = SSL_session_reused(server);
        assert_int_equal(SSL_session_reused(client), resumed);
        SSL_SESSION_free(*session);
        *session = SSL_get1_session(client);
        SSL_shutdown(client); /* of a connection that broke OpenSSL resumes no session */
        SSL_free(client);
        SSL_free(server);
        return resumed;
}

static void open_with_tickets(struct tls_server **s, struct fixture *f)
{
        assert_int_equal(tls_server_open(s, &f->loop, &(struct tls_server_config){.directory = f->dir, .tickets = true, .kernel = true}), 0);
}

static void test_who_has_a_ticket_is_spared_the_signature_until_the_certificates_are_read_again(void **state)
{
        struct fixture *f = *state;
        struct tls_server *s, *other;
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
        open_with_tickets(&s, f);
        open_with_tickets(&other, f);
        for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
                SSL_SESSION *session = NULL;
                assert_false(meet(s, ctx, version, &session));
                for (int i = 0; i < 3; i++)
                        assert_true(meet(s, ctx, version, &session));
                tls_server_reload(s);
                assert_false(meet(s, ctx, version, &session));
                assert_true(meet(s, ctx, version, &session));
                assert_false(meet(other, ctx, version, &session)); /* its tickets are its own */
                assert_false(meet(f->server, ctx, version, &session)); /* and this one gives none */
                assert_false(meet(f->server, ctx, version, &session));
                SSL_SESSION_free(session);
        }
        SSL_CTX_free(ctx);
        tls_server_close(&s);
        tls_server_close(&other);
}

static void test_a_ticket_of_tls_1_3_is_good_at_all_who_share_a_secret_and_the_certificates(void **state)
{
        struct fixture *f = *state;
        struct tls_server *s[2];
        struct tls_server_config cfg = {.directory = f->dir, .tickets = true, .kernel = true, .ticket_secret = "0123456789abcdef0123456789abcdef"};
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
        SSL_SESSION *session = NULL, *old = NULL;
        for (int i = 0; i < 2; i++)
                assert_int_equal(tls_server_open(&s[i], &f->loop, &cfg), 0);
        assert_false(meet(s[0], ctx, TLS1_3_VERSION, &session));
        for (int i = 0; i < 4; i++)
                assert_true(meet(s[i % 2], ctx, TLS1_3_VERSION, &session));
        tls_server_reload(s[0]); /* which has the very same certificates */
        assert_true(meet(s[0], ctx, TLS1_3_VERSION, &session));
        assert_false(meet(s[0], ctx, TLS1_2_VERSION, &old));
        assert_false(meet(s[1], ctx, TLS1_2_VERSION, &old)); /* with its key all that was sent could be read */
        assert_true(meet(s[1], ctx, TLS1_2_VERSION, &old));
        tls_server_set_ticket_secret(s[1], "fedcba9876543210fedcba9876543210");
        assert_false(meet(s[1], ctx, TLS1_3_VERSION, &session));
        assert_false(meet(s[0], ctx, TLS1_3_VERSION, &session));
        SSL_SESSION_free(session);
        SSL_SESSION_free(old);
        SSL_CTX_free(ctx);
        for (int i = 0; i < 2; i++)
                tls_server_close(&s[i]);
}

static void *connect_often(void *arg)
{
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
        SSL_SESSION *session = NULL;
        for (int i = 0; i < 40; i++)
                meet(arg, ctx, TLS1_3_VERSION, &session);
        SSL_SESSION_free(session);
        SSL_CTX_free(ctx);
        return NULL;
}

static void test_several_threads_have_handshakes_while_certificates_are_read_again(void **state)
{
        struct fixture *f = *state;
        struct tls_server *s;
        pthread_t threads[3];
        open_with_tickets(&s, f);
        for (int i = 0; i < 3; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, connect_often, s), 0);
        for (int i = 0; i < 40; i++)
                tls_server_reload(s);
        for (int i = 0; i < 3; i++)
                pthread_join(threads[i], NULL);
        tls_server_close(&s);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
int main(void)
{
        tls_server_register_metrics();
        const struct CMUnitTest tests[] = {
                TEST(test_bytes_go_both_ways_however_they_are_cut),
                TEST(test_old_versions_and_old_suites_are_refused_and_it_is_said_why),
                TEST(test_what_is_not_tls_is_refused),
                TEST(test_a_handshake_without_end_is_cut_off),
                TEST(test_the_end_is_told_both_ways),
                TEST(test_the_certificate_is_that_of_the_name_asked_for),
                TEST(test_of_two_certificates_for_a_name_the_client_gets_one_it_can_verify),
                TEST(test_a_certificate_for_another_name_or_that_has_expired_is_not_chosen_for_its_key),
                TEST(test_alpn_is_tolerated_or_chosen_from),
                TEST(test_there_are_no_sessions_to_resume),
                TEST(test_who_has_a_ticket_is_spared_the_signature_until_the_certificates_are_read_again),
                TEST(test_a_ticket_of_tls_1_3_is_good_at_all_who_share_a_secret_and_the_certificates),
                TEST(test_several_threads_have_handshakes_while_certificates_are_read_again),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
