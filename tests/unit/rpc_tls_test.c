/* rpc over TLS: nodes of one authority talk as before; everybody else gets nothing, and the log says why.
 * Run with "close N" this program closes its sockets in full flight, in one of several orders; with "drop N" it loses its
 * connections in full flight. */
#include "rpc_fixture.h"

#include "cluster_files.h"
#include "common/cluster/nng_fix.h"
#include "common/cluster/rpc_handshakes.h"

static struct authority ours, theirs;
static struct cluster_certs *origin, *edge, *transcoder, *proxy;

static int open_all(void **state)
{
        open_files(state);
        make_authority(&ours, "ours");
        make_authority(&theirs, "theirs");
        origin = node_certs(&ours, "origin", "URI:freshet://originD/server-1");
        edge = node_certs(&ours, "edge", "URI:freshet://edged/*");
        transcoder = node_certs(&ours, "transcoder", "URI:freshet://transcoderd/server-1");
        proxy = node_certs(&ours, "proxy", "URI:freshet://ingestd/*");
        return 0;
}

static int close_all(void **state)
{
        cluster_certs_unref(&origin);
        cluster_certs_unref(&edge);
        cluster_certs_unref(&transcoder);
        cluster_certs_unref(&proxy);
        free_authority(&ours);
        free_authority(&theirs);
        return close_files(state);
}

static int open_tls(void **state)
{
        server_certs = origin;
        client_certs = edge;
        server_role = ROLE_ORIGIND;
        client_role = ROLE_EDGED;
        test_type = MSG_FETCH;
        return open_loop(state);
}

static void let_messages_be_long(void)
{
        server_certs = transcoder;
        client_certs = proxy;
        server_role = ROLE_TRANSCODERD;
        client_role = ROLE_INGESTD;
        test_type = MSG_MEDIA;
}

/* ---- nodes of the cluster --------------------------------------------------------------------------------------- */

static nng_msg *big_message(size_t len)
{
        nng_msg *msg;
        assert_int_equal(nng_msg_alloc(&msg, len), 0);
        uint8_t *body = nng_msg_body(msg);
        body[0] = TEST_TYPE;
        for (size_t i = 1; i < len; i++)
                body[i] = (uint8_t)(i * 2654435761u >> 24);
        return msg;
}

struct echo {
        size_t len;
        bool done;
};

static void on_echo(void *arg, int err, nng_msg *reply)
{
        struct echo *e = arg;
        assert_int_equal(err, 0);
        nng_msg *sent = big_message(e->len);
        assert_int_equal(nng_msg_len(reply), e->len);
        assert_memory_equal(nng_msg_body(reply), nng_msg_body(sent), e->len);
        nng_msg_free(sent);
        nng_msg_free(reply);
        e->done = true;
}

static void test_messages_of_every_size_arrive_unchanged_both_ways(void **state)
{
        static const size_t sizes[] = {1, 2, 100, 7999, 8000, 8001, 16384, 16385, 65536, 300000, 1 << 20, 8 << 20};
        struct echo echoes[sizeof(sizes) / sizeof(sizes[0])];
        struct server s;
        struct client c;
        (void)state;
        let_messages_be_long();
        serve(&s, 32, "token");
        dial_live(&c, s.address, "token");
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) { /* all at once */
                echoes[i] = (struct echo){.len = sizes[i]};
                rpc_call(c.rpc, big_message(sizes[i]), LONG_MS, on_echo, &echoes[i]);
        }
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
                WAIT(echoes[i].done);
        assert_string_equal(rpc_client_info(c.rpc)->id, "server-1");
        rpc_client_close(c.rpc);
        rpc_server_close(s.rpc);
}

static void test_a_lost_connection_is_dialed_anew(void **state)
{
        struct server s;
        struct client c;
        (void)state;
        serve(&s, 8, "");
        dial_live(&c, s.address, "");
        call(&c, "drop", LONG_MS);
        WAIT(c.done == 1);
        assert_int_equal(c.err, ERR_CLOSED);
        WAIT(c.changes == 3); /* live, dead, live */
        call(&c, "hold", LONG_MS);
        WAIT(s.held_count == 1);
        rpc_server_close(s.rpc);
        WAIT(c.done == 2);
        assert_int_equal(c.err, ERR_CLOSED);
        WAIT(state_of(&c) == PEER_DEAD);
        rpc_client_close(c.rpc);
}

static void on_big(void *arg, int err, nng_msg *reply)
{
        struct client *c = arg;
        c->done++;
        c->by_err[-err]++;
        if (reply)
                nng_msg_free(reply);
        if (err == 0)
                rpc_call(c->rpc, big_message(60000), LONG_MS, on_big, c);
}

static void test_twelve_ends_in_full_flight(void **state)
{
        struct server s;
        struct client c;
        (void)state;
        let_messages_be_long();
        serve(&s, 32, "token");
        dial_live(&c, s.address, "token");
        for (int round = 0; round < 12; round++) {
                size_t changes = c.changes, requests = s.requests;
                for (int k = 0; k < 8; k++)
                        rpc_call(c.rpc, big_message(60000), LONG_MS, on_big, &c);
                WAIT(s.requests > requests + 20);
                if (round % 2)
                        rpc_client_drop(c.rpc, "the test wants it");
                else
                        call(&c, "drop", LONG_MS);
                WAIT(c.changes >= changes + 2 && state_of(&c) == PEER_LIVE);
        }
        rpc_client_close(c.rpc);
        rpc_server_close(s.rpc);
        if (getenv("TEST_LOG"))
                fprintf(stderr, "cured %u\n", nng_fix_count());
}

/* What rpc_gate.h and nng_fix.h tell of would come in nearly every process here, and end it. */
static void test_a_connection_that_ends_in_full_flight_is_dialed_anew(void **state)
{
        char *argv[] = {"rpc_tls_test", "drop", "0", NULL};
        (void)state;
        for (int i = 0; i < 5; i++)
                assert_int_equal(exit_status(start_process(argv)), 0);
}

static void test_renewed_certificates_are_for_new_connections_and_old_ones_stay(void **state)
{
        struct server s;
        struct client before, after;
        char why[512], path[160];
        (void)state;
        serve(&s, 8, "");
        dial_live(&before, s.address, "");
        call(&before, "hold", LONG_MS);
        WAIT(s.held_count == 1);
        make_node(&ours, "origin", "URI:freshet://originD/server-1", -DAY_S, 4 * DAY_S);
        assert_int_equal(cluster_certs_reload(origin, why, sizeof(why)), 0);
        dial_live(&after, s.address, "");
        snprintf(path, sizeof(path), "%s/origin.crt", files_dir);
        write_file(path, NULL, NULL); /* half written, or the wrong file */
        assert_int_equal(cluster_certs_reload(origin, why, sizeof(why)), ERR_CONFIG);
        rpc_client_close(after.rpc);
        dial_live(&after, s.address, "");
        rpc_reply(s.held[0], text_message(TEST_TYPE, "the same connection", 19));
        WAIT(before.done == 1);
        assert_string_equal(before.text, "the same connection");
        rpc_client_close(before.rpc);
        rpc_client_close(after.rpc);
        rpc_server_close(s.rpc);
}

/* ---- everybody else --------------------------------------------------------------------------------------------- */

/* Whoever shows this certificate, with its key, gets no further than the handshake; NULL: shows none. It takes the server for
 * what it is: only the server can refuse. */
static void expect_no_handshake(const char *node)
{
        struct server s;
        char cert[160], key[160];
        uint8_t got[8];
        int64_t before = fault_count("tls");
        serve(&s, 8, "");
        int fd = raw_connect(s.address);
        fcntl(fd, F_SETFL, 0);
        SSL_CTX *context = SSL_CTX_new(TLS_client_method());
        snprintf(cert, sizeof(cert), "%s/%s.crt", files_dir, node ? node : "");
        snprintf(key, sizeof(key), "%s/%s.key", files_dir, node ? node : "");
        if (node) {
                assert_int_equal(SSL_CTX_use_certificate_file(context, cert, SSL_FILETYPE_PEM), 1);
                assert_int_equal(SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM), 1);
        }
        SSL *ssl = SSL_new(context);
        SSL_set_fd(ssl, fd);
        SSL_connect(ssl); /* with TLS 1.3 it hears only afterwards that its certificate is not taken */
        assert_true(SSL_read(ssl, got, sizeof(got)) <= 0);
        ERR_clear_error();
        WAIT(fault_count("tls") == before + 1);
        assert_int_equal(s.requests, 0);
        SSL_free(ssl);
        SSL_CTX_free(context);
        close(fd);
        rpc_server_close(s.rpc);
}

static void test_no_certificate_opens_nothing(void **state)
{
        (void)state;
        expect_no_handshake(NULL);
}

static void test_a_certificate_of_another_authority_opens_nothing(void **state)
{
        (void)state;
        make_node(&theirs, "foreign", "URI:freshet://edged/*", -DAY_S, DAY_S);
        expect_no_handshake("foreign");
}

static void test_an_expired_certificate_opens_nothing(void **state)
{
        (void)state;
        make_node(&ours, "expired", "URI:freshet://edged/*", -2 * DAY_S, -DAY_S);
        expect_no_handshake("expired");
}

static void test_a_certificate_that_names_no_node_opens_nothing(void **state)
{
        (void)state;
        make_node(&ours, "nameless", "DNS:edged", -DAY_S, DAY_S);
        expect_no_handshake("nameless");
}

static void test_a_plain_client_on_a_tls_port_gets_nothing(void **state)
{
        struct server s;
        struct bare b;
        int64_t before = fault_count("tls");
        (void)state;
        serve(&s, 8, "");
        client_certs = NULL;
        assert_int_not_equal(bare_try(&b, s.address), 0);
        bare_close(&b);
        WAIT(fault_count("tls") == before + 1);
        assert_int_equal(s.requests, 0);
        rpc_server_close(s.rpc);
}

static void test_a_server_of_another_authority_or_without_tls_is_not_talked_to(void **state)
{
        struct server foreign_server, plain_server;
        struct client c;
        struct cluster_certs *foreign = node_certs(&theirs, "foreign-origin", "URI:freshet://originD/*");
        (void)state;
        server_certs = foreign;
        serve(&foreign_server, 8, "");
        int64_t before = fault_count("tls");
        dial(&c, foreign_server.address, "");
        WAIT(fault_count("tls") >= before + 2); /* we refuse it, which it counts too */
        WAIT(state_of(&c) == PEER_DEAD);
        rpc_client_close(c.rpc);
        rpc_server_close(foreign_server.rpc);

        server_certs = NULL;
        serve(&plain_server, 8, "");
        before = fault_count("tls");
        dial(&c, plain_server.address, "");
        WAIT(fault_count("tls") > before);
        WAIT(state_of(&c) == PEER_DEAD);
        assert_int_equal(plain_server.requests, 0);
        rpc_client_close(c.rpc);
        rpc_server_close(plain_server.rpc);
        cluster_certs_unref(&foreign);
}

static void test_hello_must_say_what_the_certificate_says(void **state)
{
        static const struct node_identity as_origin = {.id = "x", .role = ROLE_ORIGIND, .cluster_token = ""},
                                          as_edge = {.id = "x", .role = ROLE_EDGED, .cluster_token = ""},
                                          as_edge_7 = {.id = "edge-7", .role = ROLE_EDGED, .cluster_token = ""};
        struct server s;
        struct bare b;
        struct hello said;
        (void)state;
        struct cluster_certs *edge_7 = node_certs(&ours, "edge-7", "URI:freshet://edged/edge-7");
        int64_t before = fault_count("identity");
        serve(&s, 8, "");
        bare_open(&b, s.address); /* any edge's certificate */
        expect_refused(bare_hello(&b, &as_origin, &said), ERR_DENIED, "the certificate is for edged");
        expect_nothing_is_answered(&b, &s);
        bare_close(&b);
        client_certs = edge_7; /* that edge's */
        bare_open(&b, s.address);
        expect_refused(bare_hello(&b, &as_edge, &said), ERR_DENIED, "the certificate is for edged edge-7");
        expect_nothing_is_answered(&b, &s);
        expect_type(bare_hello(&b, &as_edge_7, &said), MSG_HELLO_REPLY);
        bare_close(&b);
        assert_int_equal(fault_count("identity"), before + 2);
        cluster_certs_unref(&edge_7);
        rpc_server_close(s.rpc);
}

static void test_a_role_without_business_here_gets_nothing(void **state)
{
        static const struct node_identity another = {.id = "ingest-1", .role = ROLE_INGESTD, .cluster_token = ""};
        struct server s;
        struct bare b;
        struct hello said;
        (void)state;
        struct cluster_certs *ingest = node_certs(&ours, "ingest", "URI:freshet://ingestd/*");
        serve(&s, 8, "");
        client_certs = ingest;
        bare_open(&b, s.address);
        expect_nothing_is_answered(&b, &s); /* a good certificate alone is no HELLO */
        expect_refused(bare_hello(&b, &another, &said), ERR_DENIED, "ingestd has nothing to ask originD for");
        expect_nothing_is_answered(&b, &s);
        bare_close(&b);
        cluster_certs_unref(&ingest);
        rpc_server_close(s.rpc);
}

static void test_with_tls_the_token_is_still_asked_for(void **state)
{
        struct server s;
        struct bare b;
        struct hello said;
        struct node_identity wrong = edge_with_token;
        (void)state;
        serve(&s, 8, "token");
        wrong.cluster_token = "another";
        bare_open(&b, s.address);
        expect_refused(bare_hello(&b, &wrong, &said), ERR_DENIED, "cluster_token");
        expect_nothing_is_answered(&b, &s);
        /* The right token, but not for this TLS connection: as if it came through somebody in the middle. */
        expect_refused(bare_hello(&b, &edge_with_token, &said), ERR_DENIED, "cluster_token");
        bare_close(&b);
        rpc_server_close(s.rpc);
}

static void test_a_client_says_whether_it_is_the_server_it_takes_itself_for(void **state)
{
        struct server s;
        struct client c;
        (void)state;
        server_certs = edge; /* but it says that it is an origin */
        serve(&s, 8, "");
        dial(&c, s.address, "");
        WAIT(state_of(&c) == PEER_DEAD);
        assert_int_equal(c.changes, 1);
        rpc_client_close(c.rpc);
        rpc_server_close(s.rpc);
}

/* ---- below nng -------------------------------------------------------------------------------------------------- */

/* A TLS client without nng: 1 when the handshake is done and an SP header comes back. nng's threads are the other side. */
static int raw_tls(const char *address, struct cluster_certs *certs, int version)
{
        static const uint8_t header[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
        uint8_t got[8];
        int fd = raw_connect(address), ok = 0;
        fcntl(fd, F_SETFL, 0);
        SSL *ssl = cluster_certs_ssl(certs);
        SSL_set_security_level(ssl, 0);
        SSL_set_min_proto_version(ssl, version);
        SSL_set_max_proto_version(ssl, version);
        SSL_set_fd(ssl, fd);
        if (SSL_connect(ssl) == 1 && SSL_write(ssl, header, sizeof(header)) == sizeof(header) &&
            SSL_read(ssl, got, sizeof(got)) == sizeof(got))
                ok = 1;
        ERR_clear_error();
        SSL_free(ssl);
        close(fd);
        return ok;
}

static void test_tls_1_2_and_1_3_are_spoken_and_nothing_older(void **state)
{
        struct server s;
        (void)state;
        serve(&s, 8, "");
        assert_int_equal(raw_tls(s.address, edge, TLS1_3_VERSION), 1);
        assert_int_equal(raw_tls(s.address, edge, TLS1_2_VERSION), 1);
        assert_int_equal(raw_tls(s.address, edge, TLS1_1_VERSION), 0);
        rpc_server_close(s.rpc);
}

static void test_those_who_never_finish_the_handshake_keep_nobody_out(void **state)
{
        struct server s;
        struct client early, late;
        int fds[STRANGERS_MAX + 40];
        size_t count = sizeof(fds) / sizeof(fds[0]);
        (void)state;
        serve(&s, 8, "");
        dial_live(&early, s.address, "");
        int64_t before = fault_count("strangers");
        for (size_t i = 0; i < count; i++)
                fds[i] = raw_connect(s.address); /* and says nothing */
        WAIT(fault_count("strangers") >= before + 40);
        WAIT(ended(fds[0]));
        dial_live(&late, s.address, "");
        call(&late, "x", LONG_MS);
        call(&early, "x", LONG_MS);
        WAIT(late.done == 1 && early.done == 1);
        assert_int_equal(late.err, 0);
        assert_int_equal(early.err, 0);
        for (size_t i = 0; i < count; i++)
                close(fds[i]);
        rpc_client_close(early.rpc);
        rpc_client_close(late.rpc);
        rpc_server_close(s.rpc);
}

/* What comes first of a handshake, from an address of this machine; how many of them were answered. */
static int begin_handshakes(const char *from, const char *address, int count)
{
        int answered = 0;
        for (int i = 0; i < count; i++) {
                uint8_t hello[4096], got[16];
                BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
                SSL *ssl = cluster_certs_ssl(edge);
                SSL_set_bio(ssl, in, out);
                assert_int_equal(SSL_connect(ssl), -1); /* ClientHello is made, and nothing comes */
                int len = BIO_read(out, hello, sizeof(hello)), fd = connect_from(from, address);
                fcntl(fd, F_SETFL, 0);
                assert_int_equal(send(fd, hello, (size_t)len, MSG_NOSIGNAL), len);
                answered += recv(fd, got, sizeof(got), 0) > 0;
                ERR_clear_error();
                SSL_free(ssl);
                close(fd);
        }
        return answered;
}

static const struct rpc_handshake_limits few = {.of_address = 3, .of_all = 5, .of_address_each_us = 3600 * US_PER_S,
                                                .of_all_each_us = 3600 * US_PER_S};

static void test_who_begins_handshakes_again_and_again_has_few_of_them_answered(void **state)
{
        static const struct rpc_handshake_limits usual = RPC_HANDSHAKE_LIMITS;
        struct server s;
        struct client known, again;
        (void)state;
        rpc_gate_limit_handshakes(&few);
        serve(&s, 8, "");
        dial_live(&known, s.address, ""); /* one of all */
        int64_t before = fault_count("handshakes"), failed = fault_count("tls");
        assert_int_equal(begin_handshakes("127.0.0.5", s.address, 10), few.of_address);
        assert_int_equal(begin_handshakes("127.0.0.6", s.address, 10), few.of_all - 1 - few.of_address);
        assert_int_equal(fault_count("handshakes"), before + 16);
        assert_int_equal(fault_count("tls"), failed); /* those were refused, and did not fail */
        dial_live(&again, s.address, ""); /* where a node is already, another one comes in beside all of them */
        call(&again, "x", LONG_MS);
        WAIT(again.done == 1);
        assert_int_equal(again.err, 0);
        rpc_client_close(known.rpc);
        rpc_client_close(again.rpc);
        rpc_server_close(s.rpc);
        rpc_gate_limit_handshakes(&usual);
}

/* What is under TLS has its length looked at as well: nobody but the gate of plain TCP would. */
static void test_an_edge_cannot_send_a_long_message(void **state)
{
        struct server s;
        struct client c;
        (void)state;
        serve(&s, 8, "");
        dial_live(&c, s.address, "");
        int64_t before = fault_count("too_long");
        rpc_call(c.rpc, big_message(64 << 10), LONG_MS, on_done, &c);
        WAIT(c.done == 1);
        assert_int_equal(c.err, ERR_CLOSED);
        assert_int_equal(fault_count("too_long"), before + 1);
        assert_int_equal(s.requests, 0);
        rpc_client_close(c.rpc);
        rpc_server_close(s.rpc);
}

/* ---- closing ---------------------------------------------------------------------------------------------------- */

static int close_round;

static void test_closing_in_full_flight_ends_every_call_once(void **state)
{
        struct server s;
        struct client c[3];
        (void)state;
        let_messages_be_long();
        serve(&s, 32, "token");
        for (int i = 0; i < 3; i++) {
                dial_live(&c[i], s.address, "token");
                for (int k = 0; k < 8; k++)
                        rpc_call(c[i].rpc, big_message(60000), LONG_MS, on_big, &c[i]);
        }
        WAIT(s.requests > 100);
        close_in_flight(&s, c, close_round);
}

static void test_a_process_that_closes_its_sockets_in_full_flight_stops_cleanly(void **state)
{
        (void)state;
        close_in_many_processes();
}

#define TLS_TEST(f) cmocka_unit_test_setup_teardown(f, open_tls, close_loop)

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                TLS_TEST(test_messages_of_every_size_arrive_unchanged_both_ways),
                TLS_TEST(test_a_lost_connection_is_dialed_anew),
                TLS_TEST(test_a_connection_that_ends_in_full_flight_is_dialed_anew),
                TLS_TEST(test_renewed_certificates_are_for_new_connections_and_old_ones_stay),
                TLS_TEST(test_no_certificate_opens_nothing),
                TLS_TEST(test_a_certificate_of_another_authority_opens_nothing),
                TLS_TEST(test_an_expired_certificate_opens_nothing),
                TLS_TEST(test_a_certificate_that_names_no_node_opens_nothing),
                TLS_TEST(test_a_plain_client_on_a_tls_port_gets_nothing),
                TLS_TEST(test_a_server_of_another_authority_or_without_tls_is_not_talked_to),
                TLS_TEST(test_hello_must_say_what_the_certificate_says),
                TLS_TEST(test_a_role_without_business_here_gets_nothing),
                TLS_TEST(test_with_tls_the_token_is_still_asked_for),
                TLS_TEST(test_a_client_says_whether_it_is_the_server_it_takes_itself_for),
                TLS_TEST(test_tls_1_2_and_1_3_are_spoken_and_nothing_older),
                TLS_TEST(test_an_edge_cannot_send_a_long_message),
                TLS_TEST(test_who_begins_handshakes_again_and_again_has_few_of_them_answered),
                TLS_TEST(test_those_who_never_finish_the_handshake_keep_nobody_out),
                TLS_TEST(test_a_process_that_closes_its_sockets_in_full_flight_stops_cleanly),
        };
        const struct CMUnitTest closing[] = {TLS_TEST(test_closing_in_full_flight_ends_every_call_once)};
        const struct CMUnitTest dropping[] = {TLS_TEST(test_twelve_ends_in_full_flight)};
        log_init("test", getenv("TEST_LOG") ? LOG_DEBUG : LOG_ERROR);
        signal(SIGPIPE, SIG_IGN);
        if (argc > 2) {
                log_init("test", LOG_ERROR);
                close_round = atoi(argv[2]);
                return strcmp(argv[1], "close") == 0 ? cmocka_run_group_tests(closing, open_all, close_all)
                                                     : cmocka_run_group_tests(dropping, open_all, close_all);
        }
        return cmocka_run_group_tests(tests, open_all, close_all);
}
