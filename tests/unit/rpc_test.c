/* rpc: what a caller is promised when all goes well, and when the other side dies, freezes, lies or talks nonsense.
 * Run with "serve" this program is a server of its own, for the tests that kill or freeze one. */
#include "rpc_fixture.h"
#include "tests/unit/reserve.h"

/* The program as a server: prints a line when it serves, which it does until it is killed. */
static int serve_alone(int port)
{
        static uv_loop_t alone;
        static struct server s;
        uv_loop_init(&alone);
        log_init("server", LOG_ERROR);
        serve_at(&s, &alone, port, 16, "");
        puts("ready");
        fflush(stdout);
        return uv_run(&alone, UV_RUN_DEFAULT);
}

static pid_t spawn_server(char address[32])
{
        char port[16], ready[16], *argv[] = {"rpc_test", "serve", port, NULL};
        int fds[2];
        pid_t pid;
        posix_spawn_file_actions_t actions;
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        snprintf(port, sizeof(port), "%d", reserve_port()); /* another server is to come to the same one */
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
        assert_int_equal(posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, environ), 0);
        posix_spawn_file_actions_destroy(&actions);
        close(fds[1]);
        assert_true(read(fds[0], ready, sizeof(ready)) > 0);
        close(fds[0]);
        snprintf(address, 32, "127.0.0.1:%s", port);
        return pid;
}

/* ---- all goes well ---------------------------------------------------------------------------------------------- */

static void test_reply_reaches_the_caller(void **state)
{
        struct server s;
        struct client c;
        (void)state;
        serve(&s, 4, "");
        dial_live(&c, s.address, "");
        call(&c, "hello there", LONG_MS);
        assert_int_equal(c.done, 0); /* never from inside rpc_call() */
        WAIT(c.done == 1);
        assert_int_equal(c.err, 0);
        assert_string_equal(c.text, "hello there");
        rpc_client_close(c.rpc);
        rpc_server_close(s.rpc);
}

static void test_hello_tells_who_is_there_and_changes_are_told(void **state)
{
        struct server s;
        struct client c;
        (void)state;
        serve(&s, 4, "token");
        dial_live(&c, s.address, "token");
        const struct peer_info *info = rpc_client_info(c.rpc);
        assert_string_equal(info->id, "server-1");
        assert_int_equal(info->role, ROLE_ORIGIND);
        assert_int_equal(info->incarnation_us, 1000);
        assert_int_equal(info->load_permille, 250);
        assert_string_equal(info->zone, "hall-2");
        size_t before = c.changes;
        s.self.draining = true;
        s.self.load_permille = 900;
        WAIT(state_of(&c) == PEER_DRAINING);
        assert_int_equal(rpc_client_info(c.rpc)->load_permille, 900);
        assert_int_equal(c.changes, before + 1);
        rpc_client_close(c.rpc);
        rpc_server_close(s.rpc);
}

static void test_a_handler_may_keep_the_message(void **state)
{
        struct server s;
        struct client c;
        (void)state;
        serve(&s, 4, "");
        dial_live(&c, s.address, "");
        call(&c, "take", LONG_MS);
        WAIT(c.done == 1);
        assert_string_equal(c.text, "taken");
        rpc_client_close(c.rpc);
        rpc_server_close(s.rpc);
        assert_int_equal(s.taken->len, 5);
        assert_memory_equal(s.taken->data + 1, "take", 4);
        buf_unref(&s.taken);
}

static void test_a_request_says_which_connection_it_came_by(void **state)
{
        struct server s;
        struct client c[2];
        (void)state;
        serve(&s, 8, "");
        for (int i = 0; i < 2; i++) {
                dial_live(&c[i], s.address, "");
                call(&c[i], "hold", LONG_MS);
                call(&c[i], "hold", LONG_MS);
                WAIT(s.held_count == 2 * (size_t)(i + 1));
        }
        assert_int_equal(s.held[0]->connection, s.held[1]->connection);
        assert_int_equal(s.held[2]->connection, s.held[3]->connection);
        assert_int_not_equal(s.held[0]->connection, s.held[2]->connection);
        for (int i = 0; i < 2; i++)
                rpc_client_close(c[i].rpc);
        rpc_server_close(s.rpc);
}

static void test_many_calls_at_once_are_all_answered(void **state)
{
        struct server s;
        struct client c;
        (void)state;
        serve(&s, 600, "");
        dial_live(&c, s.address, "");
        for (int i = 0; i < 500; i++)
                call(&c, "x", LONG_MS);
        WAIT(c.done == 500);
        assert_int_equal(c.by_err[0], 500);
        rpc_client_close(c.rpc);
        rpc_server_close(s.rpc);
}

/* ---- waiting ---------------------------------------------------------------------------------------------------- */

static void test_hello_is_answered_while_every_context_waits(void **state)
{
        struct server s;
        struct client c;
        (void)state;
        serve(&s, 8, "");
        dial_live(&c, s.address, "");
        for (int i = 0; i < 8; i++)
                call(&c, "hold", LONG_MS);
        WAIT(s.held_count == 8);
        call(&c, "one too many", LONG_MS);
        WAIT(c.done == 1);
        assert_int_equal(c.err, ERR_FULL);
        assert_int_equal(s.requests, 8);
        s.self.load_permille = 777;
        WAIT(rpc_client_info(c.rpc)->load_permille == 777);
        assert_int_equal(state_of(&c), PEER_LIVE);
        while (s.held_count > 0)
                rpc_reply(s.held[--s.held_count], text_message(TEST_TYPE, "late", 4));
        WAIT(c.done == 9);
        assert_int_equal(c.by_err[0], 8);
        call(&c, "after", LONG_MS);
        WAIT(c.done == 10);
        assert_string_equal(c.text, "after");
        rpc_client_close(c.rpc);
        rpc_server_close(s.rpc);
}

/* A server opens no more than some hundreds of contexts in one turn of the loop, and the others in those that follow. */
static void test_a_server_takes_as_many_requests_at_a_time_as_it_was_opened_for(void **state)
{
        struct server s;
        struct client c;
        (void)state;
        serve(&s, 600, "");
        dial_live(&c, s.address, "");
        for (int i = 0; i < 600; i++)
                call(&c, "hold", LONG_MS);
        WAIT(s.held_count == 600);
        call(&c, "one too many", LONG_MS);
        WAIT(c.done == 1);
        assert_int_equal(c.err, ERR_FULL);
        while (s.held_count > 0)
                rpc_reply(s.held[--s.held_count], text_message(TEST_TYPE, "late", 4));
        WAIT(c.done == 601);
        assert_int_equal(c.by_err[0], 600);
        rpc_client_close(c.rpc);
        rpc_server_close(s.rpc);
        serve(&s, 600, ""); /* and one that is closed before it is open */
        rpc_server_close(s.rpc);
}

static void test_a_call_ends_by_its_own_timeout_and_a_late_reply_harms_nobody(void **state)
{
        struct server s;
        struct client c;
        (void)state;
        serve(&s, 8, "");
        dial_live(&c, s.address, "");
        size_t calls = 0;
        for (unsigned ms = 30; !s.held_count; ms *= 2) { /* on a busy machine the first may not get there in its time */
                call(&c, "hold", ms);
                WAIT(c.done > calls);
                calls++;
                assert_int_equal(c.err, ERR_TIMEOUT);
        }
        rpc_reply(s.held[0], text_message(TEST_TYPE, "too late", 8));
        call(&c, "next", LONG_MS); /* the same context again */
        WAIT(c.done > calls);
        assert_string_equal(c.text, "next");
        rpc_client_close(c.rpc);
        rpc_server_close(s.rpc);
}

static void test_a_cancelled_call_ends_once(void **state)
{
        struct server s;
        struct client c;
        (void)state;
        serve(&s, 8, "");
        dial_live(&c, s.address, "");
        struct rpc_call *one = call(&c, "hold", LONG_MS);
        WAIT(s.held_count == 1);
        rpc_cancel(one);
        assert_int_equal(c.done, 0);
        WAIT(c.done == 1);
        assert_int_equal(c.err, ERR_CANCELED);
        rpc_cancel(call(&c, "at once", LONG_MS)); /* its request may not have left yet */
        WAIT(c.done == 2);
        rpc_client_close(c.rpc);
        rpc_server_close(s.rpc);
}

/* ---- the other side goes away ----------------------------------------------------------------------------------- */

static void test_a_call_without_a_connection_ends_promptly(void **state)
{
        struct client c;
        (void)state;
        dial(&c, "127.0.0.1:1", "");
        call(&c, "x", LONG_MS);
        assert_int_equal(c.done, 0);
        WAIT(c.done == 1);
        assert_int_equal(c.err, ERR_CLOSED);
        WAIT(state_of(&c) == PEER_DEAD);
        rpc_client_close(c.rpc);
}

static void test_a_killed_server_ends_its_calls_and_the_next_one_is_found(void **state)
{
        struct client c;
        char address[32];
        (void)state;
        pid_t pid = spawn_server(address);
        dial_live(&c, address, "");
        for (int i = 0; i < 20; i++)
                call(&c, i < 10 ? "hold" : "x", LONG_MS);
        WAIT(c.done == 10);
        kill(pid, SIGKILL);
        WAIT(c.done == 20);
        assert_int_equal(c.by_err[-ERR_CLOSED], 10);
        WAIT(state_of(&c) == PEER_DEAD);
        waitpid(pid, NULL, 0);

        struct server s;
        serve_at(&s, &loop, atoi(strchr(address, ':') + 1), 4, "");
        WAIT(state_of(&c) == PEER_LIVE);
        call(&c, "again", LONG_MS);
        WAIT(c.done == 21);
        assert_int_equal(c.err, 0);
        rpc_client_close(c.rpc);
        rpc_server_close(s.rpc);
}

static void note_gone(void *arg, const char *node_id)
{
        unsigned *count = arg;
        assert_string_equal(node_id, "client-1");
        ++*count;
}

static void test_a_server_knows_who_is_connected_and_when_the_last_connection_ends(void **state)
{
        struct server s;
        struct client a, b;
        unsigned gone = 0;
        (void)state;
        serve(&s, 4, "");
        rpc_server_watch(s.rpc, note_gone, &gone);
        assert_false(rpc_server_has(s.rpc, "client-1"));
        dial_live(&a, s.address, "");
        dial_live(&b, s.address, ""); /* of the same node */
        assert_true(rpc_server_has(s.rpc, "client-1"));
        assert_false(rpc_server_has(s.rpc, "client-2"));
        rpc_client_close(a.rpc);
        call(&b, "x", LONG_MS);
        WAIT(b.done == 1);
        assert_true(rpc_server_has(s.rpc, "client-1"));
        assert_int_equal(gone, 0);
        rpc_client_close(b.rpc);
        WAIT(gone == 1);
        assert_false(rpc_server_has(s.rpc, "client-1"));
        rpc_server_close(s.rpc);
}

static void test_a_frozen_server_times_out_is_dead_and_lives_again(void **state)
{
        struct client c;
        char address[32];
        (void)state;
        pid_t pid = spawn_server(address);
        dial_live(&c, address, "");
        kill(pid, SIGSTOP);
        assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid); /* it stands still now */
        call(&c, "x", 100);
        WAIT(c.done == 1);
        assert_int_equal(c.err, ERR_TIMEOUT);
        WAIT(state_of(&c) == PEER_DEAD);
        kill(pid, SIGCONT);
        WAIT(state_of(&c) == PEER_LIVE);
        struct clock_ahead clock = rpc_client_clock(c.rpc); /* that HELLO waited at its door for two seconds says nothing of its clock */
        assert_true(clock.known && clock.error_us < 500 * US_PER_MS);
        assert_int_equal(clock_ahead_wrong_us(&clock, 0), 0);
        call(&c, "x", LONG_MS);
        WAIT(c.done == 2);
        assert_int_equal(c.err, 0);
        rpc_client_close(c.rpc);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
}

/* ---- the other side is not one of us ---------------------------------------------------------------------------- */

static void test_a_wrong_token_is_refused(void **state)
{
        struct server s;
        struct client wrong, right;
        (void)state;
        int64_t before = fault_count("token");
        serve(&s, 4, "the token");
        dial(&wrong, s.address, "another");
        dial_live(&right, s.address, "the token");
        WAIT(state_of(&wrong) == PEER_DEAD);
        assert_true(fault_count("token") > before); /* it says HELLO again as long as it lives */
        call(&wrong, "x", LONG_MS);
        WAIT(wrong.done == 1);
        assert_int_equal(wrong.err, ERR_CLOSED);
        assert_int_equal(s.requests, 0);
        call(&right, "x", LONG_MS);
        WAIT(right.done == 1);
        assert_int_equal(right.err, 0);
        rpc_client_close(wrong.rpc);
        rpc_client_close(right.rpc);
        rpc_server_close(s.rpc);
}

static void test_a_server_without_the_token_is_not_trusted(void **state)
{
        struct server s;
        struct client c;
        (void)state;
        serve(&s, 4, ""); /* it takes anybody */
        dial(&c, s.address, "the token");
        WAIT(state_of(&c) == PEER_DEAD);
        assert_int_equal(c.changes, 1);
        rpc_client_close(c.rpc);
        rpc_server_close(s.rpc);
}

static void test_another_version_is_told_both_versions(void **state)
{
        struct server s;
        struct bare b;
        nng_msg *reply;
        (void)state;
        serve(&s, 4, "");
        bare_open(&b, s.address);
        struct hello m = {.version = 4, .role = ROLE_EDGED, .id = "x"}; /* of a store without volumes */
        assert_int_equal(bare_ask(&b, message_new(MSG_HELLO, hello_encode, &m), &reply), 0);
        char ours[80];
        snprintf(ours, sizeof(ours), "version 4 is not spoken here, only version %d", PROTO_VERSION);
        expect_refused(reply, ERR_DENIED, ours);
        assert_int_equal(bare_ask(&b, text_message(TEST_TYPE, "x", 1), &reply), 0);
        expect_refused(reply, ERR_DENIED, "HELLO");
        assert_int_equal(s.requests, 0);
        bare_close(&b);
        rpc_server_close(s.rpc);
}

static void test_with_a_token_nothing_is_answered_before_hello(void **state)
{
        struct server s;
        struct bare b;
        struct hello said;
        nng_msg *reply;
        (void)state;
        serve(&s, 4, "token");
        bare_open(&b, s.address);
        assert_int_equal(bare_ask(&b, text_message(TEST_TYPE, "x", 1), &reply), 0);
        expect_refused(reply, ERR_DENIED, "HELLO");
        expect_type(bare_hello(&b, &edge_with_token, &said), MSG_HELLO_REPLY);
        assert_int_equal(bare_ask(&b, text_message(TEST_TYPE, "x", 1), &reply), 0);
        expect_type(reply, TEST_TYPE);
        bare_close(&b);
        rpc_server_close(s.rpc);
}

static void test_a_stranger_may_do_nothing_at_all(void **state)
{
        struct server s;
        struct bare b;
        struct hello said;
        struct node_identity wrong = edge_with_token;
        (void)state;
        serve(&s, 4, "token");
        bare_open(&b, s.address);
        expect_nothing_is_answered(&b, &s); /* without any HELLO */
        bare_close(&b);
        bare_open(&b, s.address);
        wrong.cluster_token = "another";
        expect_refused(bare_hello(&b, &wrong, &said), ERR_DENIED, "cluster_token");
        expect_nothing_is_answered(&b, &s);
        bare_close(&b);
        bare_open(&b, s.address);
        wrong.cluster_token = "";
        expect_refused(bare_hello(&b, &wrong, &said), ERR_DENIED, "cluster_token");
        expect_nothing_is_answered(&b, &s);
        bare_close(&b);
        rpc_server_close(s.rpc);
}

static void test_a_recorded_hello_opens_nothing(void **state)
{
        struct server s;
        struct bare b;
        struct hello said;
        nng_msg *reply;
        (void)state;
        serve(&s, 4, "token");
        bare_open(&b, s.address);
        expect_type(bare_hello(&b, &edge_with_token, &said), MSG_HELLO_REPLY);
        bare_close(&b);
        bare_open(&b, s.address);
        assert_int_equal(bare_ask(&b, message_new(MSG_HELLO, hello_encode, &said), &reply), 0);
        expect_type(reply, MSG_CHALLENGE);
        assert_int_equal(bare_ask(&b, message_new(MSG_HELLO, hello_encode, &said), &reply), 0);
        expect_refused(reply, ERR_DENIED, "cluster_token");
        expect_nothing_is_answered(&b, &s);
        bare_close(&b);
        rpc_server_close(s.rpc);
}

static void test_a_role_may_ask_only_what_is_its_own(void **state)
{
        struct server s;
        struct bare b;
        struct hello said;
        nng_msg *reply;
        struct node_identity proxy = edge_with_token;
        (void)state;
        int64_t roles = fault_count("role"), requests = fault_count("not_allowed");
        serve(&s, 4, "token"); /* an origin */
        bare_open(&b, s.address);
        expect_type(bare_hello(&b, &edge_with_token, &said), MSG_HELLO_REPLY);
        for (uint8_t type = MSG_OPEN; type <= MSG_FETCH; type++) {
                assert_int_equal(bare_ask(&b, whole_request(type), &reply), 0);
                expect_refused(reply, ERR_DENIED, "edged may not ask originD for");
        }
        assert_int_equal(fault_count("not_allowed"), requests + MSG_FETCH - MSG_OPEN + 1);
        assert_int_equal(bare_ask(&b, text_message(TEST_TYPE, "x", 1), &reply), 0);
        expect_type(reply, TEST_TYPE); /* what is an edge's is still answered */
        bare_close(&b);

        bare_open(&b, s.address);
        proxy.role = ROLE_INGESTD;
        expect_refused(bare_hello(&b, &proxy, &said), ERR_DENIED, "ingestd has nothing to ask originD for");
        expect_nothing_is_answered(&b, &s);
        assert_int_equal(fault_count("role"), roles + 1);
        bare_close(&b);
        assert_int_equal(s.requests, 1);
        rpc_server_close(s.rpc);
}

/* Answers what it is asked with what it was asked. */
static void test_a_client_does_not_take_its_own_proof_for_the_other_sides(void **state)
{
        struct client c;
        nng_socket mirror;
        nng_listener listener;
        nng_aio *aio;
        struct bare b = {0};
        int port;
        (void)state;
        assert_int_equal(nng_rep0_open(&mirror), 0);
        assert_int_equal(nng_listen(mirror, "tcp://127.0.0.1:0", &listener, 0), 0);
        assert_int_equal(nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port), 0);
        assert_int_equal(nng_aio_alloc(&aio, bare_done, &b), 0);
        char address[32];
        snprintf(address, sizeof(address), "127.0.0.1:%d", port);
        dial(&c, address, "token");
        for (int round = 0; round < 2; round++) {
                atomic_store(&b.busy, true);
                nng_recv_aio(mirror, aio);
                WAIT(!atomic_load(&b.busy));
                assert_int_equal(nng_aio_result(aio), 0);
                nng_msg *msg = nng_aio_get_msg(aio);
                struct reader r;
                struct hello m;
                assert_int_equal(message_open(&r, msg), MSG_HELLO);
                assert_int_equal(hello_decode(&r, &m), 0);
                nng_msg_free(msg);
                struct challenge same;
                memcpy(same.nonce, m.nonce, NONCE_BYTES);
                msg = round == 0 ? message_new(MSG_CHALLENGE, challenge_encode, &same)
                                 : message_new(MSG_HELLO_REPLY, hello_encode, &m);
                nng_aio_set_msg(aio, msg);
                atomic_store(&b.busy, true);
                nng_send_aio(mirror, aio);
                WAIT(!atomic_load(&b.busy));
        }
        WAIT(state_of(&c) == PEER_DEAD);
        assert_int_equal(c.changes, 1); /* it never was anything else */
        rpc_client_close(c.rpc);
        nng_aio_free(aio);
        nng_close(mirror);
}

/* Says msg on a connection of its own, which ends by that, counted. */
static void malformed(const char *address, nng_msg *msg)
{
        struct bare b;
        nng_msg *reply;
        int64_t before = fault_count("malformed");
        bare_open(&b, address);
        assert_int_equal(bare_ask(&b, msg, &reply), NNG_ECONNRESET);
        WAIT(fault_count("malformed") == before + 1);
        bare_close(&b);
}

static void test_malformed_messages_cost_only_their_own_connection(void **state)
{
        struct server s;
        struct client good;
        nng_msg *empty;
        (void)state;
        serve(&s, 4, "");
        dial_live(&good, s.address, "");
        call(&good, "hold", LONG_MS);
        WAIT(s.held_count == 1);
        assert_int_equal(nng_msg_alloc(&empty, 0), 0);
        malformed(s.address, empty);
        char hello[] = "vvgarbage"; /* of our version, but no HELLO */
        hello[0] = PROTO_VERSION >> 8;
        hello[1] = PROTO_VERSION & 0xff;
        malformed(s.address, text_message(MSG_HELLO, hello, 9));
        malformed(s.address, text_message(TEST_TYPE, "drop", 4));
        assert_int_equal(good.done, 0);
        rpc_reply(s.held[0], text_message(TEST_TYPE, "still here", 10));
        WAIT(good.done == 1);
        assert_string_equal(good.text, "still here");
        assert_int_equal(state_of(&good), PEER_LIVE);
        rpc_client_close(good.rpc);
        rpc_server_close(s.rpc);
}

static void test_garbage_and_huge_claims_on_the_port_hurt_nobody_else(void **state)
{
        static const uint8_t handshake_req[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
        static const uint8_t eight_gb[8] = {0, 0, 0, 2, 0, 0, 0, 0};
        struct server s;
        struct client good;
        char garbage[4096];
        (void)state;
        serve(&s, 4, "");
        dial_live(&good, s.address, "");
        call(&good, "hold", LONG_MS);
        int noise = raw_connect(s.address), huge = raw_connect(s.address);
        for (size_t i = 0; i < sizeof(garbage); i++)
                garbage[i] = (char)(i * 31 + 7);
        assert_int_equal(send(noise, garbage, sizeof(garbage), MSG_NOSIGNAL), sizeof(garbage));
        assert_int_equal(send(huge, handshake_req, 8, MSG_NOSIGNAL), 8);
        assert_int_equal(send(huge, eight_gb, 8, MSG_NOSIGNAL), 8);
        int64_t before = fault_count("no_hello");
        WAIT(ended(noise));
        WAIT(ended(huge));
        WAIT(fault_count("no_hello") > before);
        WAIT(s.held_count == 1);
        rpc_reply(s.held[0], text_message(TEST_TYPE, "fine", 4));
        WAIT(good.done == 1);
        assert_string_equal(good.text, "fine");
        assert_int_equal(state_of(&good), PEER_LIVE);
        close(noise);
        close(huge);
        rpc_client_close(good.rpc);
        rpc_server_close(s.rpc);
}

/* By FIN and RST before the server has said anything: it has accepted none of them yet when they end. */
static void test_a_server_outlives_connections_that_end_before_they_begin(void **state)
{
        struct client c;
        char address[32];
        (void)state;
        pid_t pid = spawn_server(address);
        kill(pid, SIGSTOP);
        for (int i = 0; i < 20; i++) {
                struct linger none = {.l_onoff = 1};
                int fd = raw_connect(address);
                assert_int_equal(shutdown(fd, SHUT_WR), 0);
                assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none)), 0);
                close(fd);
        }
        kill(pid, SIGCONT);
        dial_live(&c, address, "");
        rpc_client_close(c.rpc);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
}

/* ---- closing ---------------------------------------------------------------------------------------------------- */

static void test_closing_a_client_ends_its_calls_during_the_call(void **state)
{
        struct server s;
        struct client c;
        (void)state;
        serve(&s, 8, "");
        dial_live(&c, s.address, "");
        for (int i = 0; i < 5; i++)
                call(&c, "hold", LONG_MS);
        WAIT(s.held_count == 5);
        call(&c, "just sent", LONG_MS);
        rpc_client_close(c.rpc);
        assert_int_equal(c.done, 6);
        assert_int_equal(c.by_err[-ERR_CANCELED], 6);
        rpc_server_close(s.rpc); /* with five requests that nobody answered */
}

static void close_in_done(void *arg, int err, nng_msg *reply)
{
        struct client *c = arg;
        on_done(c, err, reply);
        if (c->rpc)
                rpc_client_close(c->rpc);
        c->rpc = NULL;
}

static void test_a_client_may_be_closed_from_its_own_callback(void **state)
{
        struct server s;
        struct client c;
        (void)state;
        serve(&s, 8, "");
        dial_live(&c, s.address, "");
        call(&c, "hold", LONG_MS);
        rpc_call(c.rpc, text_message(TEST_TYPE, "x", 1), LONG_MS, close_in_done, &c);
        WAIT(c.done == 2);
        assert_null(c.rpc);
        rpc_server_close(s.rpc);
}

static void test_a_port_in_use_is_an_error(void **state)
{
        struct server s, *second = &(struct server){0};
        (void)state;
        serve(&s, 4, "");
        assert_true(rpc_server_open(&second->rpc, &loop, "127.0.0.1", rpc_server_port(s.rpc), 4, &s.self, handle, second) < 0);
        assert_null(second->rpc);
        rpc_server_close(s.rpc);
}

static int close_round;

static void test_closing_in_full_flight_ends_every_call_once(void **state)
{
        struct server s;
        struct client c[3];
        (void)state;
        serve(&s, 32, close_round % 2 ? "token" : "");
        for (int i = 0; i < 3; i++) {
                dial_live(&c[i], s.address, close_round % 2 ? "token" : "");
                c[i].call_again = true;
                for (int k = 0; k < 8; k++)
                        call(&c[i], "x", LONG_MS);
        }
        WAIT(s.requests > 200);
        close_in_flight(&s, c, close_round);
}

static void test_a_process_that_closes_its_sockets_in_full_flight_stops_cleanly(void **state)
{
        (void)state;
        close_in_many_processes();
}

#define LOOP_TEST(f) cmocka_unit_test_setup_teardown(f, open_loop, close_loop)

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                LOOP_TEST(test_reply_reaches_the_caller),
                LOOP_TEST(test_hello_tells_who_is_there_and_changes_are_told),
                LOOP_TEST(test_a_handler_may_keep_the_message),
                LOOP_TEST(test_a_request_says_which_connection_it_came_by),
                LOOP_TEST(test_many_calls_at_once_are_all_answered),
                LOOP_TEST(test_hello_is_answered_while_every_context_waits),
                LOOP_TEST(test_a_server_takes_as_many_requests_at_a_time_as_it_was_opened_for),
                LOOP_TEST(test_a_call_ends_by_its_own_timeout_and_a_late_reply_harms_nobody),
                LOOP_TEST(test_a_cancelled_call_ends_once),
                LOOP_TEST(test_a_call_without_a_connection_ends_promptly),
                LOOP_TEST(test_a_killed_server_ends_its_calls_and_the_next_one_is_found),
                LOOP_TEST(test_a_server_knows_who_is_connected_and_when_the_last_connection_ends),
                LOOP_TEST(test_a_frozen_server_times_out_is_dead_and_lives_again),
                LOOP_TEST(test_a_wrong_token_is_refused),
                LOOP_TEST(test_a_server_without_the_token_is_not_trusted),
                LOOP_TEST(test_another_version_is_told_both_versions),
                LOOP_TEST(test_with_a_token_nothing_is_answered_before_hello),
                LOOP_TEST(test_a_stranger_may_do_nothing_at_all),
                LOOP_TEST(test_a_recorded_hello_opens_nothing),
                LOOP_TEST(test_a_role_may_ask_only_what_is_its_own),
                LOOP_TEST(test_a_client_does_not_take_its_own_proof_for_the_other_sides),
                LOOP_TEST(test_a_server_outlives_connections_that_end_before_they_begin),
                LOOP_TEST(test_malformed_messages_cost_only_their_own_connection),
                LOOP_TEST(test_garbage_and_huge_claims_on_the_port_hurt_nobody_else),
                LOOP_TEST(test_closing_a_client_ends_its_calls_during_the_call),
                LOOP_TEST(test_a_client_may_be_closed_from_its_own_callback),
                LOOP_TEST(test_a_port_in_use_is_an_error),
                LOOP_TEST(test_a_process_that_closes_its_sockets_in_full_flight_stops_cleanly),
        };
        const struct CMUnitTest closing[] = {LOOP_TEST(test_closing_in_full_flight_ends_every_call_once)};
        if (argc > 2 && strcmp(argv[1], "serve") == 0)
                return serve_alone(atoi(argv[2]));
        if (argc > 2 && strcmp(argv[1], "close") == 0) {
                log_init("test", LOG_ERROR);
                close_round = atoi(argv[2]);
                return cmocka_run_group_tests(closing, NULL, NULL);
        }
        log_init("test", getenv("TEST_LOG") ? LOG_DEBUG : LOG_ERROR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
