/* rtmp_wire: PROXY headers and TLS in memory, with a client of OpenSSL's own on the other side. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/daemon/log.h"
#include "common/mem.h"
#include "common/tls_server.h"
#include "ingestd/rtmp_wire.h"
#include "tests/unit/scratch.h"
#include "tests/unit/tls_files.h"

#define HEADER "PROXY TCP4 192.0.2.1 198.51.100.2 4000 1935\r\n"

struct fixture {
        char dir[96];
        uv_loop_t loop;
        struct tls_server *tls;
        struct rtmp_wire *wire;
        char plain[256], address[64];
        bool not_now; /* no handshake may begin */
        size_t plain_len;
        SSL_CTX *ctx;
        SSL *client;
        BIO *to_client, *from_client;
        const char *why;
};

static void on_send(void *arg, const void *data, size_t len)
{
        struct fixture *f = arg;
        if (!f->to_client) /* plain */
                snprintf(f->address, sizeof(f->address), "%.*s", (int)len, (const char *)data);
        else
                assert_int_equal(BIO_write(f->to_client, data, (int)len), len);
}

static void on_plain(void *arg, const void *data, size_t len)
{
        struct fixture *f = arg;
        assert_true(f->plain_len + len < sizeof(f->plain));
        memcpy(f->plain + f->plain_len, data, len);
        f->plain_len += len;
}

static void on_address(void *arg, const char *text)
{
        struct fixture *f = arg;
        assert_int_equal(f->plain_len, 0);
        snprintf(f->address, sizeof(f->address), "%s", text);
}

static bool on_shake(void *arg)
{
        struct fixture *f = arg;
        return !f->not_now;
}

static const struct rtmp_wire_ops ops = {.send = on_send, .plain = on_plain, .address = on_address, .shake = on_shake};

static enum rtmp_close_reason feed(struct fixture *f, const void *data, size_t len)
{
        return rtmp_wire_feed(f->wire, data, len, &f->why);
}

static void client_open(struct fixture *f)
{
        f->ctx = SSL_CTX_new(TLS_client_method());
        f->client = SSL_new(f->ctx);
        f->to_client = BIO_new(BIO_s_mem());
        f->from_client = BIO_new(BIO_s_mem());
        SSL_set_bio(f->client, f->to_client, f->from_client);
        SSL_set_connect_state(f->client);
}

/* What the client has said goes to the wire. */
static enum rtmp_close_reason pump(struct fixture *f)
{
        char buf[8192];
        int n = BIO_read(f->from_client, buf, sizeof(buf));
        return n > 0 ? feed(f, buf, (size_t)n) : RTMP_CLOSE_NONE;
}

static void handshake(struct fixture *f)
{
        while (SSL_do_handshake(f->client) != 1)
                assert_int_equal(pump(f), RTMP_CLOSE_NONE);
        assert_int_equal(pump(f), RTMP_CLOSE_NONE);
}

static int setup(void **state)
{
        struct fixture *f = mem_alloc(sizeof(*f));
        log_set_level(LOG_ERROR);
        scratch_dir(f->dir, sizeof(f->dir));
        tls_write_pair(f->dir, "tls", "ingest.example", 1);
        uv_loop_init(&f->loop);
        assert_int_equal(tls_server_open(&f->tls, &f->loop, &(struct tls_server_config){.directory = f->dir}), 0);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;
        char path[128];
        rtmp_wire_free(&f->wire);
        assert_null(f->wire);
        SSL_free(f->client);
        SSL_CTX_free(f->ctx);
        tls_server_close(&f->tls);
        uv_run(&f->loop, UV_RUN_DEFAULT);
        assert_int_equal(uv_loop_close(&f->loop), 0);
        snprintf(path, sizeof(path), "%s/tls.crt", f->dir);
        unlink(path);
        snprintf(path, sizeof(path), "%s/tls.key", f->dir);
        unlink(path);
        rmdir(f->dir);
        free(f);
        return 0;
}

static void test_a_handshake_that_may_not_begin_costs_no_answer(void **state)
{
        struct fixture *f = *state;
        f->wire = rtmp_wire_new(false, tls_server_accept(f->tls), &ops, f);
        client_open(f);
        f->not_now = true;
        assert_int_equal(SSL_do_handshake(f->client), -1);
        assert_int_equal(pump(f), RTMP_CLOSE_HANDSHAKES);
        assert_int_equal(BIO_pending(f->to_client), 0);
}

static void test_a_plain_wire_passes_everything(void **state)
{
        struct fixture *f = *state;
        f->wire = rtmp_wire_new(false, NULL, &ops, f);
        assert_true(rtmp_wire_through(f->wire));
        assert_int_equal(feed(f, HEADER, 10), RTMP_CLOSE_NONE); /* not looked at */
        assert_int_equal(f->plain_len, 10);
        rtmp_wire_write(f->wire, "out", 3);
        assert_string_equal(f->address, "out");
}

static void test_a_header_is_taken_off_and_tells_whose_it_is(void **state)
{
        struct fixture *f = *state;
        f->wire = rtmp_wire_new(true, NULL, &ops, f);
        assert_int_equal(rtmp_wire_late(f->wire), RTMP_CLOSE_PROXY_HEADER);
        assert_int_equal(feed(f, HEADER, 20), RTMP_CLOSE_NONE);
        assert_false(rtmp_wire_through(f->wire));
        assert_int_equal(feed(f, HEADER "rtmp" + 20, strlen(HEADER) - 16), RTMP_CLOSE_NONE);
        assert_true(rtmp_wire_through(f->wire));
        assert_string_equal(f->address, "192.0.2.1:4000");
        assert_int_equal(f->plain_len, 4);
        assert_memory_equal(f->plain, "rtmp", 4);
}

static void test_a_peer_that_has_to_send_a_header_and_does_not_is_closed(void **state)
{
        struct fixture *f = *state;
        f->wire = rtmp_wire_new(true, NULL, &ops, f);
        assert_int_equal(feed(f, "\3rtmp", 5), RTMP_CLOSE_PROXY_HEADER);
        assert_int_equal(f->plain_len, 0);
}

static void test_tls_comes_after_the_header(void **state)
{
        struct fixture *f = *state;
        char buf[8] = "";
        f->wire = rtmp_wire_new(true, tls_server_accept(f->tls), &ops, f);
        client_open(f);
        assert_int_equal(feed(f, HEADER, strlen(HEADER)), RTMP_CLOSE_NONE);
        assert_string_equal(f->address, "192.0.2.1:4000");
        assert_false(rtmp_wire_through(f->wire));
        assert_int_equal(rtmp_wire_late(f->wire), RTMP_CLOSE_TLS);
        rtmp_wire_write(f->wire, "too early", 9); /* dropped */
        handshake(f);
        assert_true(rtmp_wire_through(f->wire));
        assert_int_equal(SSL_write(f->client, "in", 2), 2);
        assert_int_equal(pump(f), RTMP_CLOSE_NONE);
        assert_memory_equal(f->plain, "in", 2);
        rtmp_wire_write(f->wire, "out", 3);
        assert_int_equal(SSL_read(f->client, buf, sizeof(buf)), 3);
        assert_string_equal(buf, "out");
        rtmp_wire_end(f->wire);
        assert_int_equal(SSL_get_error(f->client, SSL_read(f->client, buf, sizeof(buf))), SSL_ERROR_ZERO_RETURN);
}

static void test_a_peer_that_ends_tls_has_closed(void **state)
{
        struct fixture *f = *state;
        f->wire = rtmp_wire_new(false, tls_server_accept(f->tls), &ops, f);
        client_open(f);
        handshake(f);
        SSL_shutdown(f->client);
        assert_int_equal(pump(f), RTMP_CLOSE_PEER);
}

static void test_what_is_no_tls_is_closed_and_said_why(void **state)
{
        struct fixture *f = *state;
        char rtmp[1537] = {3};
        f->wire = rtmp_wire_new(false, tls_server_accept(f->tls), &ops, f);
        client_open(f);
        assert_int_equal(feed(f, rtmp, sizeof(rtmp)), RTMP_CLOSE_TLS);
        assert_true(*f->why);
        assert_int_equal(f->plain_len, 0);
}

static void test_bytes_changed_on_their_way_are_noticed(void **state)
{
        struct fixture *f = *state;
        char buf[512];
        f->wire = rtmp_wire_new(false, tls_server_accept(f->tls), &ops, f);
        client_open(f);
        handshake(f);
        SSL_write(f->client, "in", 2);
        int n = BIO_read(f->from_client, buf, sizeof(buf));
        buf[n - 1] ^= 1;
        assert_int_equal(feed(f, buf, (size_t)n), RTMP_CLOSE_TLS);
        assert_int_equal(f->plain_len, 0);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_a_handshake_that_may_not_begin_costs_no_answer),
                TEST(test_a_plain_wire_passes_everything),
                TEST(test_a_header_is_taken_off_and_tells_whose_it_is),
                TEST(test_a_peer_that_has_to_send_a_header_and_does_not_is_closed),
                TEST(test_tls_comes_after_the_header),
                TEST(test_a_peer_that_ends_tls_has_closed),
                TEST(test_what_is_no_tls_is_closed_and_said_why),
                TEST(test_bytes_changed_on_their_way_are_noticed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
