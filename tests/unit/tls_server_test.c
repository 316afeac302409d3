/* tls_server and tls_stream: a client of OpenSSL's own on the other side of two arrays of bytes. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "common/daemon/log.h"
#include "common/daemon/metrics.h"
#include "common/err.h"
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

static void on_send(void *arg, const void *data, size_t len)
{
        struct wire *w = arg;
        w->sent += len;
        assert_int_equal(BIO_write(w->to_client, data, (int)len), len);
}

static void on_plain(void *arg, const void *data, size_t len)
{
        struct wire *w = arg;
        assert_true(len > 0 && w->heard_len + len <= sizeof(w->heard));
        memcpy(w->heard + w->heard_len, data, len);
        w->heard_len += len;
        if (w->echo)
                tls_stream_write(w->stream, data, len);
}

static const struct tls_stream_ops ops = {.send = on_send, .plain = on_plain};

static void wire_open(struct wire *w, struct tls_server *s, const char *host)
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
static void pump(struct wire *w, int piece)
{
        char buf[4096];
        int n;
        while (w->err == 0 && (n = BIO_read(w->from_client, buf, piece)) > 0)
                w->err = tls_stream_feed(w->stream, buf, (size_t)n);
}

static bool handshake(struct wire *w, int piece)
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

static long serial_of(struct wire *w)
{
        X509 *x = SSL_get1_peer_certificate(w->client);
        assert_non_null(x);
        long serial = ASN1_INTEGER_get(X509_get_serialNumber(x));
        X509_free(x);
        return serial;
}

static void wire_close(struct wire *w)
{
        tls_stream_free(&w->stream);
        assert_null(w->stream);
        SSL_free(w->client);
        SSL_CTX_free(w->ctx);
}

static long serial_for(struct fixture *f, const char *host)
{
        struct wire *w = mem_alloc(sizeof(*w));
        wire_open(w, f->server, host);
        assert_true(handshake(w, 4096));
        long serial = serial_of(w);
        wire_close(w);
        free(w);
        return serial;
}

static int setup(void **state)
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

static void clear(const char *dir)
{
        DIR *d = opendir(dir);
        for (struct dirent *e; (e = readdir(d));) {
                char path[512];
                snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
                unlink(path);
        }
        closedir(d);
}

static int teardown(void **state)
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

static void write_file(const char *dir, const char *name, const char *text)
{
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", dir, name);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(text, file);
        fclose(file);
}

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

static void test_a_new_pair_is_for_new_connections_and_old_ones_go_on(void **state)
{
        struct fixture *f = *state;
        struct wire *w = mem_alloc(sizeof(*w));
        wire_open(w, f->server, "a.example");
        assert_true(handshake(w, 4096));
        tls_write_pair(f->dir, "a", "a.example", 20);
        tls_server_reload(f->server);
        assert_int_equal(serial_for(f, "a.example"), 20);
        assert_int_equal(SSL_write(w->client, "still", 5), 5);
        pump(w, 4096);
        assert_int_equal(w->heard_len, 5);
        wire_close(w);
        wire_open(w, f->server, "a.example"); /* in the middle of its handshake */
        assert_int_equal(SSL_do_handshake(w->client), -1);
        tls_write_pair(f->dir, "a", "a.example", 21);
        tls_server_reload(f->server);
        assert_true(handshake(w, 4096));
        assert_int_equal(serial_of(w), 21);
        wire_close(w);
        free(w);
}

static void on_alive(uv_timer_t *t)
{
        (void)t;
}

static void test_the_directory_is_watched(void **state)
{
        struct fixture *f = *state;
        uv_timer_init(&f->loop, &f->alive);
        uv_timer_start(&f->alive, on_alive, 20, 20);
        tls_write_pair(f->dir, "a", "a.example", 30);
        while (serial_for(f, "a.example") != 30)
                uv_run(&f->loop, UV_RUN_ONCE);
        uv_close((uv_handle_t *)&f->alive, NULL);
}

/* Turns the loop until a client that asks for a.example gets this certificate; false: it did not within so long. */
static bool a_becomes(struct fixture *f, long serial, uint64_t ms)
{
        uv_timer_init(&f->loop, &f->alive);
        uv_timer_start(&f->alive, on_alive, 20, 20);
        uint64_t until_ms = uv_now(&f->loop) + ms;
        while (serial_for(f, "a.example") != serial && uv_now(&f->loop) < until_ms)
                uv_run(&f->loop, UV_RUN_ONCE);
        uv_close((uv_handle_t *)&f->alive, NULL);
        uv_run(&f->loop, UV_RUN_NOWAIT);
        return serial_for(f, "a.example") == serial;
}

/* Sits at the far end of the last key's file, which is a pipe: while that is read it renews a pair that was read before. */
static void *renew_meanwhile(void *arg)
{
        struct fixture *f = arg;
        char pipe_path[128], from[128];
        snprintf(pipe_path, sizeof(pipe_path), "%s/z.key", f->dir);
        snprintf(from, sizeof(from), "%s/z.kept", f->dir);
        FILE *to = fopen(pipe_path, "w"), *key = fopen(from, "r");
        char text[4096];
        size_t len = key ? fread(text, 1, sizeof(text), key) : 0;
        tls_write_pair(f->dir, "a", "a.example", 31);
        rename(from, pipe_path);
        fwrite(text, 1, len, to);
        fclose(to);
        fclose(key);
        return NULL;
}

static void test_a_change_while_the_directory_is_read_is_not_missed(void **state)
{
        struct fixture *f = *state;
        char key[128], kept[128];
        pthread_t thread;
        tls_server_close(&f->server);
        tls_write_pair(f->dir, "z", "z.example", 9);
        snprintf(key, sizeof(key), "%s/z.key", f->dir);
        snprintf(kept, sizeof(kept), "%s/z.kept", f->dir);
        assert_int_equal(rename(key, kept), 0);
        assert_int_equal(mkfifo(key, 0600), 0);
        assert_int_equal(pthread_create(&thread, NULL, renew_meanwhile, f), 0);
        assert_int_equal(tls_server_open(&f->server, &f->loop, &(struct tls_server_config){.directory = f->dir}), 0);
        pthread_join(thread, NULL);
        assert_int_equal(tls_server_pairs(f->server), 4);
        assert_true(a_becomes(f, 31, 5000));
}

static void add_text(void *arg, const char *text, size_t len)
{
        char *all = arg;
        strncat(all, text, len);
}

static int reloads(const char *result)
{
        static char all[32768];
        char name[64];
        *all = '\0';
        metrics_render(add_text, all);
        snprintf(name, sizeof(name), "freshet_tls_reloads_total{result=\"%s\"} ", result);
        const char *at = strstr(all, name);
        assert_non_null(at);
        return atoi(at + strlen(name));
}

static void turn(struct fixture *f, uint64_t ms)
{
        a_becomes(f, -1, ms);
}

/* The log as it is written meanwhile. */
static FILE *begin_log(int *saved)
{
        FILE *said = tmpfile();
        *saved = dup(STDERR_FILENO);
        log_set_level(LOG_ERROR);
        dup2(fileno(said), STDERR_FILENO);
        return said;
}

static int end_log(FILE *said, int saved, const char *what)
{
        char line[1024];
        int count = 0;
        dup2(saved, STDERR_FILENO);
        close(saved);
        log_set_level(LOG_ERROR + 1);
        rewind(said);
        while (fgets(line, sizeof(line), said))
                count += strstr(line, what) != NULL;
        fclose(said);
        return count;
}

/* Nothing about the files changes after the reading that failed: the watch has nothing to tell. */
static void test_a_reading_that_failed_for_want_of_descriptors_is_tried_again(void **state)
{
        struct fixture *f = *state;
        struct rlimit old, none;
        int failed = reloads("failed"), ok = reloads("ok");
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
        none = (struct rlimit){.rlim_cur = 0, .rlim_max = old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        tls_server_reload(f->server);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        assert_int_equal(reloads("failed"), failed + 1);
        assert_int_equal(serial_for(f, "a.example"), 2);
        turn(f, 2 * TLS_SERVER_RETRY_MS);
        assert_int_equal(reloads("ok"), ok + 1);
        assert_int_equal(reloads("failed"), failed + 1);
}

static void test_what_stays_wrong_is_told_once_and_counted_each_time(void **state)
{
        struct fixture *f = *state;
        int saved, failed = reloads("failed");
        write_file(f->dir, "wild.crt", "no certificate");
        FILE *said = begin_log(&saved);
        tls_server_reload(f->server);
        turn(f, 3 * TLS_SERVER_RETRY_MS); /* the watch tells of it too, and of that there is a line */
        write_file(f->dir, "a.crt", "none either");
        turn(f, 2 * TLS_SERVER_RETRY_MS);
        assert_int_equal(end_log(said, saved, "/a.crt"), 1);
        assert_in_range(reloads("failed"), failed + 4, failed + 8);
        assert_int_equal(serial_for(f, "a.example"), 2);
        said = begin_log(&saved);
        tls_write_pair(f->dir, "wild", "*.b.example", 5);
        turn(f, 2 * TLS_SERVER_RETRY_MS);
        assert_int_equal(serial_for(f, "x.b.example"), 5);
        assert_int_equal(end_log(said, saved, "/wild.crt"), 0);
}

static void test_more_pairs_than_there_may_be_are_left_out_and_named(void **state)
{
        struct fixture *f = *state;
        char name[32];
        int saved;
        for (int i = 0; i < TLS_SERVER_PAIRS_MAX; i++) {
                snprintf(name, sizeof(name), "pair-%02d", i);
                tls_write_pair(f->dir, name, name, 100 + i);
        }
        FILE *said = begin_log(&saved);
        tls_server_reload(f->server);
        assert_int_equal(end_log(said, saved, "64 pairs are in use already"), 3);
        assert_int_equal(tls_server_pairs(f->server), TLS_SERVER_PAIRS_MAX);
        assert_int_equal(serial_for(f, "a.example"), 2);
}

static void test_a_broken_pair_leaves_the_old_one_in_use(void **state)
{
        struct fixture *f = *state;
        EVP_PKEY *other = EVP_EC_gen("P-256");
        tls_write_key(f->dir, "a", other);
        EVP_PKEY_free(other);
        tls_write_pair(f->dir, "tls", "usual.example", 40);
        tls_server_reload(f->server);
        assert_int_equal(serial_for(f, "a.example"), 2);
        assert_int_equal(serial_for(f, NULL), 40);
        write_file(f->dir, "wild.crt", "-----BEGIN CERTIFICATE-----\nnonsense\n");
        tls_server_reload(f->server);
        assert_int_equal(serial_for(f, "x.b.example"), 3);
}

/* The clock may be a little off: what is not valid yet soon is. */
static void test_what_has_expired_takes_no_place_of_what_has_not(void **state)
{
        struct fixture *f = *state;
        tls_write_pair_of(f->dir, "a", "a.example", 41, -7200, -3600, EVP_EC_gen("P-256"));
        tls_server_reload(f->server);
        assert_int_equal(serial_for(f, "a.example"), 2);
        tls_write_pair_of(f->dir, "a", "a.example", 42, 60, 3600, EVP_EC_gen("P-256"));
        tls_server_reload(f->server);
        assert_int_equal(serial_for(f, "a.example"), 42);
}

static void test_a_pair_that_is_gone_goes_but_never_the_last(void **state)
{
        struct fixture *f = *state;
        char path[128];
        snprintf(path, sizeof(path), "%s/a.crt", f->dir);
        unlink(path);
        tls_server_reload(f->server);
        assert_int_equal(serial_for(f, "a.example"), 1);
        clear(f->dir);
        tls_server_reload(f->server);
        assert_int_equal(tls_server_pairs(f->server), 2);
        assert_int_equal(serial_for(f, NULL), 1);
}

static void test_a_directory_without_a_usable_pair_is_refused_in_words(void **state)
{
        struct fixture *f = *state;
        struct tls_server *none;
        char why[512], empty[96];
        assert_int_equal(tls_server_check(f->dir, why, sizeof(why)), 0);
        scratch_dir(empty, sizeof(empty));
        assert_int_equal(tls_server_open(&none, &f->loop, &(struct tls_server_config){.directory = empty}), ERR_CONFIG);
        assert_null(none);
        assert_int_equal(tls_server_check(empty, why, sizeof(why)), ERR_CONFIG);
        assert_non_null(strstr(why, "NAME.crt"));
        write_file(empty, "x.crt", "no certificate");
        write_file(empty, "x.key", "no key");
        assert_int_equal(tls_server_check(empty, why, sizeof(why)), ERR_CONFIG);
        assert_non_null(strstr(why, "x.crt"));
        clear(empty);
        tls_write_pair(empty, "x", "x.example", 1); /* an authority's certificate beside it is no fault */
        write_file(empty, "ca.crt", "anything");
        assert_int_equal(tls_server_check(empty, why, sizeof(why)), 0);
        clear(empty);
        rmdir(empty);
        assert_int_equal(tls_server_check("/nonexistent", why, sizeof(why)), ERR_CONFIG);
        assert_non_null(strstr(why, "No such file"));
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
                TEST(test_a_new_pair_is_for_new_connections_and_old_ones_go_on),
                TEST(test_the_directory_is_watched),
                TEST(test_a_change_while_the_directory_is_read_is_not_missed),
                TEST(test_a_reading_that_failed_for_want_of_descriptors_is_tried_again),
                TEST(test_what_stays_wrong_is_told_once_and_counted_each_time),
                TEST(test_more_pairs_than_there_may_be_are_left_out_and_named),
                TEST(test_a_broken_pair_leaves_the_old_one_in_use),
                TEST(test_what_has_expired_takes_no_place_of_what_has_not),
                TEST(test_a_pair_that_is_gone_goes_but_never_the_last),
                TEST(test_a_directory_without_a_usable_pair_is_refused_in_words),
                TEST(test_alpn_is_tolerated_or_chosen_from),
                TEST(test_there_are_no_sessions_to_resume),
                TEST(test_who_has_a_ticket_is_spared_the_signature_until_the_certificates_are_read_again),
                TEST(test_a_ticket_of_tls_1_3_is_good_at_all_who_share_a_secret_and_the_certificates),
                TEST(test_several_threads_have_handshakes_while_certificates_are_read_again),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
