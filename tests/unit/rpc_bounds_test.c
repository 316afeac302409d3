/* rpc: what is bounded at a server, before somebody has shown who it is and after it, and who gives way when there is too much. */
#include "rpc_fixture.h"

#include "common/clock.h"

/* ---- strangers --------------------------------------------------------------------------------------------------- */

static void test_strangers_get_little_time(void **state)
{
        static const uint8_t handshake_req[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
        struct server s;
        struct client good;
        (void)state;
        serve(&s, 4, "token");
        dial_live(&good, s.address, "token");
        int64_t before = fault_count("hello_late");
        int silent = raw_connect(s.address);
        assert_int_equal(send(silent, handshake_req, 8, MSG_NOSIGNAL), 8);
        WAIT(ended(silent));
        assert_int_equal(fault_count("hello_late"), before + 1);
        assert_int_equal(state_of(&good), PEER_LIVE); /* which is older */
        call(&good, "x", LONG_MS);
        WAIT(good.done == 1);
        assert_int_equal(good.err, 0);
        close(silent);
        rpc_client_close(good.rpc);
        rpc_server_close(s.rpc);
}

static const uint8_t begins[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};

static int say_length(const char *address, uint64_t len)
{
        uint8_t length[8];
        int fd = raw_connect(address);
        for (int i = 0; i < 8; i++)
                length[i] = (uint8_t)(len >> (56 - 8 * i));
        assert_int_equal(send(fd, begins, 8, MSG_NOSIGNAL), 8);
        assert_int_equal(send(fd, length, 8, MSG_NOSIGNAL), 8);
        return fd;
}

static void test_strangers_get_few_bytes(void **state)
{
        static uint8_t messages[20][8 + STRANGER_MESSAGE_MAX]; /* each as long as it may be, together too long */
        struct server s;
        size_t sent = 0;
        (void)state;
        serve(&s, 4, "token");
        int64_t before = fault_count("hello_bytes");
        for (int i = 0; i < 20; i++) {
                messages[i][6] = STRANGER_MESSAGE_MAX >> 8;
                messages[i][8] = 0x80;
                messages[i][12] = MSG_FETCH;
        }
        int fd = raw_connect(s.address);
        assert_int_equal(send(fd, begins, 8, MSG_NOSIGNAL), 8);
        while (!ended(fd)) {
                ssize_t n = send(fd, messages[0] + sent, sizeof(messages) - sent, MSG_NOSIGNAL);
                sent += n > 0 ? (size_t)n : 0;
                uv_run(&loop, UV_RUN_NOWAIT);
        }
        assert_int_equal(fault_count("hello_bytes"), before + 1);
        close(fd);
        rpc_server_close(s.rpc);
}

/* Each answer that waits for its connection has a context, and of those there are few: HELLO of all others would wait with them. */
static void test_answers_that_a_stranger_does_not_read_hold_up_nobody(void **state)
{
        enum { REQUESTS = 4000 };
        static uint8_t requests[REQUESTS][13];
        const int small = 1, segment = 536; /* so that little of what is sent to it is on its way */
        struct server s;
        struct client late;
        (void)state;
        serve(&s, 4, "token");
        int64_t before = fault_count("hello_late");
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)rpc_server_port(s.rpc)),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
        assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment)), 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
        for (size_t i = 0; i < REQUESTS; i++) {
                const uint8_t request[13] = {[7] = 5, 0x80, 0, (uint8_t)(i >> 8), (uint8_t)i, MSG_FETCH};
                memcpy(requests[i], request, sizeof(request));
        }
        fcntl(fd, F_SETFL, O_NONBLOCK);
        assert_int_equal(send(fd, begins, 8, MSG_NOSIGNAL), 8);
        struct pollfd closed = {.fd = fd, .events = POLLRDHUP};
        int64_t until_us = clock_mono_us() + US_PER_S;
        for (size_t sent = 0; clock_mono_us() < until_us && poll(&closed, 1, 0) == 0;) {
                ssize_t n = send(fd, (uint8_t *)requests + sent, sizeof(requests) - sent, MSG_NOSIGNAL);
                sent += n > 0 ? (size_t)n : 0;
                uv_run(&loop, UV_RUN_ONCE);
        }
        dial_live(&late, s.address, "token");
        assert_int_equal(fault_count("hello_late"), before); /* it is not only because the stranger's time was over */
        close(fd);
        rpc_client_close(late.rpc);
        rpc_server_close(s.rpc);
}

/* Its length is looked at before there is memory for it. */
static void test_a_strangers_message_is_small(void **state)
{
        struct server s;
        (void)state;
        for (int open = 0; open < 2; open++) { /* where nobody has to show anything, HELLO comes first all the same */
                serve(&s, 4, open ? "" : "token");
                int64_t before = fault_count("hello_bytes");
                int fd = say_length(s.address, STRANGER_MESSAGE_MAX), more = say_length(s.address, STRANGER_MESSAGE_MAX + 1);
                WAIT(ended(more));
                assert_int_equal(fault_count("hello_bytes"), before + 1);
                assert_false(ended(fd));
                close(fd);
                close(more);
                rpc_server_close(s.rpc);
        }
}

/* ---- nodes ------------------------------------------------------------------------------------------------------- */

static void test_a_node_sends_no_more_than_its_role_may(void **state)
{
        static const struct {
                enum node_role who, whom;
                uint8_t type;
                size_t most;
        } rows[] = {{ROLE_EDGED, ROLE_ORIGIND, MSG_FETCH, 16 << 10}, {ROLE_TRANSCODERD, ROLE_ORIGIND, MSG_PUT, (1 << 20) + (16 << 10)},
                    {ROLE_INGESTD, ROLE_TRANSCODERD, MSG_MEDIA, 16 << 20}};
        (void)state;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                struct server s;
                struct client c;
                client_role = rows[i].who;
                server_role = rows[i].whom;
                serve(&s, 4, "token");
                dial_live(&c, s.address, "token");
                int64_t before = fault_count("too_long");
                for (int more = 0; more < 2; more++) {
                        nng_msg *msg;
                        assert_int_equal(nng_msg_alloc(&msg, rows[i].most - 4 + (size_t)more), 0); /* 4: nng's own */
                        *(uint8_t *)nng_msg_body(msg) = rows[i].type;
                        rpc_call(c.rpc, msg, LONG_MS, on_done, &c);
                        WAIT(c.done == (size_t)more + 1);
                        assert_int_equal(c.err, more ? ERR_CLOSED : 0);
                }
                assert_int_equal(s.requests, 1);
                assert_int_equal(fault_count("too_long"), before + 1);
                rpc_client_close(c.rpc);
                rpc_server_close(s.rpc);
        }
        client_role = ROLE_EDGED;
        server_role = ROLE_ORIGIND;
}

/* A server that has not shown who it is does not get more room than any stranger. */
static void test_an_answer_to_hello_is_small(void **state)
{
        struct client c;
        nng_socket liar;
        nng_listener listener;
        nng_msg *msg;
        char address[32];
        int port;
        (void)state;
        assert_int_equal(nng_rep0_open(&liar), 0);
        assert_int_equal(nng_listener_create(&listener, liar, "tcp://127.0.0.1:0"), 0);
        assert_int_equal(nng_listener_start(listener, 0), 0);
        nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port);
        snprintf(address, sizeof(address), "127.0.0.1:%d", port);
        int64_t before = fault_count("too_long");
        dial(&c, address, "token");
        WAIT(nng_recvmsg(liar, &msg, NNG_FLAG_NONBLOCK) == 0);
        nng_msg_free(msg);
        assert_int_equal(nng_msg_alloc(&msg, 1 << 20), 0);
        assert_int_equal(nng_sendmsg(liar, msg, 0), 0);
        WAIT(fault_count("too_long") == before + 1);
        rpc_client_close(c.rpc);
        nng_close(liar);
}

static void test_what_is_under_way_is_bounded_over_all_peers(void **state)
{
        enum { NODES = 20, MORE = RPC_UNDER_WAY_MAX / RPC_MESSAGE_MAX_BYTES };
        struct server s;
        (void)state;
        client_role = ROLE_INGESTD;
        server_role = ROLE_TRANSCODERD;
        serve(&s, 2, ""); /* nobody has to show anything here: a few bytes make a node */
        int64_t before = fault_count("under_way");
        int fds[NODES];
        for (int i = 0; i < NODES; i++) {
                static const uint8_t small[] = {0, 0, 0, 0, 0, 0, 0, 5, 0x80, 0, 0, 1, MSG_MEDIA};
                char answer[64];
                fds[i] = raw_connect(s.address);
                assert_int_equal(send(fds[i], begins, 8, MSG_NOSIGNAL), 8);
                assert_int_equal(send(fds[i], small, sizeof(small), MSG_NOSIGNAL), sizeof(small));
                for (int got = 0; got < 8 + 13;) { /* its own beginning, and a refusal or an answer */
                        ssize_t n = recv(fds[i], answer, sizeof(answer), 0);
                        got += n > 0 ? (int)n : 0;
                        uv_run(&loop, UV_RUN_NOWAIT);
                }
                uint8_t length[8] = {0, 0, 0, 0, 1, 0, 0, 0}; /* 16 MiB */
                assert_int_equal(send(fds[i], length, 8, MSG_NOSIGNAL), 8);
        }
        WAIT(fault_count("under_way") == before + NODES - MORE);
        for (int i = 0; i < NODES - MORE; i++) /* those who began first and did not go on */
                WAIT(ended(fds[i]));
        assert_false(ended(fds[NODES - 1]));
        for (int i = 0; i < NODES; i++)
                close(fds[i]);
        rpc_server_close(s.rpc);
        client_role = ROLE_EDGED;
        server_role = ROLE_ORIGIND;
}

/* Whoever comes from elsewhere finds all places that one address does not have. */
static void test_one_address_has_a_share_of_the_places(void **state)
{
        struct server s;
        int other, fds[STRANGERS_ADDRESS_MAX + 30];
        size_t count = sizeof(fds) / sizeof(fds[0]), left = 0;
        (void)state;
        serve(&s, 4, "token");
        other = connect_from("127.0.0.2", s.address);
        assert_int_equal(send(other, begins, 8, MSG_NOSIGNAL), 8);
        int64_t before = fault_count("strangers");
        for (size_t i = 0; i < count; i++)
                fds[i] = raw_connect(s.address);
        WAIT(fault_count("strangers") == before + 30);
        WAIT(ended(fds[29]));
        assert_false(ended(other)); /* though it is the oldest of all */
        for (size_t i = 0; i < count; i++) {
                left += !ended(fds[i]);
                close(fds[i]);
        }
        assert_int_equal(left, STRANGERS_ADDRESS_MAX);
        close(other);
        rpc_server_close(s.rpc);
}

static void test_strangers_do_not_take_the_place_of_nodes(void **state)
{
        static const uint8_t handshake_req[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
        struct server s;
        struct client early, late;
        int fds[STRANGERS_MAX + 40];
        size_t count = sizeof(fds) / sizeof(fds[0]);
        (void)state;
        serve(&s, 4, "token");
        dial_live(&early, s.address, "token");
        int64_t before = fault_count("strangers");
        memset(fds, -1, sizeof(fds));
        while (fault_count("strangers") < before + 40) { /* those whose little time is over come again */
                for (size_t i = 0; i < count; i++) {
                        if (fds[i] >= 0 && !ended(fds[i]))
                                continue;
                        if (fds[i] >= 0)
                                close(fds[i]);
                        fds[i] = raw_connect(s.address);
                        (void)!send(fds[i], handshake_req, 8, MSG_NOSIGNAL); /* one too many may be closed by now */
                }
                uv_run(&loop, UV_RUN_ONCE);
        }
        dial_live(&late, s.address, "token");
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

/* ---- what is with us --------------------------------------------------------------------------------------------- */

static const struct rpc_server_limits usual = {.held_bytes = RPC_HELD_BYTES_MAX, .answer_bytes = RPC_ANSWER_BYTES_MAX};

static bool is_refused(nng_msg *reply)
{
        bool refused = *(uint8_t *)nng_msg_body(reply) == MSG_REFUSED;
        if (refused)
                expect_refused(reply, ERR_FULL, "too much");
        else
                nng_msg_free(reply);
        return refused;
}

/* While the loop is busy with something else, too: here it stands still. */
static void test_what_has_come_is_bounded_before_the_loop_has_seen_it(void **state)
{
        enum { NODES = 3, LONG = 1 << 20 };
        static const struct rpc_server_limits limits = {.held_bytes = LONG * 5 / 2, .answer_bytes = RPC_ANSWER_BYTES_MAX};
        struct server s;
        struct bare nodes[NODES];
        nng_msg *msg, *reply;
        bool answered[NODES] = {false};
        (void)state;
        rpc_server_limit(&limits);
        serve(&s, 8, ""); /* nobody has to show anything here: a few bytes make a node */
        for (int i = 0; i < NODES; i++) {
                bare_open(&nodes[i], s.address);
                assert_int_equal(bare_ask(&nodes[i], text_message(TEST_TYPE, "x", 1), &reply), 0);
                nng_msg_free(reply);
        }
        size_t before = s.requests;
        int64_t limit = fault_count("limit");
        for (int i = 0; i < NODES; i++) {
                assert_int_equal(nng_msg_alloc(&msg, LONG), 0);
                *(uint8_t *)nng_msg_body(msg) = TEST_TYPE;
                assert_int_equal(nng_sendmsg(nodes[i].socket, msg, 0), 0);
        }
        int64_t until_us = clock_mono_us() + LONG_MS * US_PER_MS;
        for (int refused = 0; refused == 0;) {
                assert_true(clock_mono_us() < until_us);
                for (int i = 0; i < NODES; i++) {
                        if (nng_recvmsg(nodes[i].socket, &reply, NNG_FLAG_NONBLOCK) != 0)
                                continue;
                        assert_true(is_refused(reply));
                        answered[i] = true;
                        refused++;
                }
        }
        assert_int_equal(s.requests, before);
        assert_int_equal(fault_count("limit"), limit + 1);
        for (int i = 0; i < NODES; i++) { /* the others have their answer, and then there is room again */
                while (!answered[i] && nng_recvmsg(nodes[i].socket, &reply, NNG_FLAG_NONBLOCK) != 0)
                        uv_run(&loop, UV_RUN_ONCE);
                if (!answered[i])
                        assert_false(is_refused(reply));
                assert_int_equal(bare_ask(&nodes[i], text_message(TEST_TYPE, "x", 1), &reply), 0);
                assert_false(is_refused(reply));
        }
        assert_int_equal(s.requests, before + NODES - 1 + NODES);
        for (int i = 0; i < NODES; i++)
                bare_close(&nodes[i]);
        rpc_server_close(s.rpc);
        rpc_server_limit(&usual);
}

/* Reads nothing to find out. */
static bool ended_by_other(int fd)
{
        struct pollfd p = {.fd = fd, .events = POLLRDHUP};
        return poll(&p, 1, 0) == 1 && p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

/* Requests of `len` bytes each, which are echoed; nothing is read. Whoever waited in send() would keep the server's loop from answering,
 * which is this thread's too, and the server reads no more while all of its contexts have a request. */
static void ask_and_read_nothing(int fd, size_t len, unsigned count)
{
        uint8_t *request = calloc(1, 12 + len);
        assert_non_null(request);
        for (unsigned i = 0; i < count; i++) {
                uint64_t length = 4 + len;
                for (int k = 0; k < 8; k++)
                        request[k] = (uint8_t)(length >> (56 - 8 * k));
                request[8] = 0x80;
                request[11] = (uint8_t)i;
                request[12] = MSG_FETCH;
                for (size_t sent = 0; sent < 12 + len && !ended_by_other(fd);) {
                        ssize_t n = send(fd, request + sent, 12 + len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
                        sent += n > 0 ? (size_t)n : 0;
                        uv_run(&loop, UV_RUN_NOWAIT);
                }
        }
        free(request);
}

static void test_who_does_not_read_answers_gives_way_when_they_are_too_much(void **state)
{
        enum { LONG = 12 << 10 };
        static const struct rpc_server_limits limits = {.held_bytes = RPC_HELD_BYTES_MAX, .answer_bytes = 20 * LONG};
        const int small = 1;
        struct server s;
        struct client good;
        (void)state;
        rpc_server_limit(&limits);
        serve(&s, 64, "");
        dial_live(&good, s.address, "");
        int64_t before = fault_count("unread");
        int fd = raw_connect(s.address);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
        assert_int_equal(send(fd, begins, 8, MSG_NOSIGNAL), 8);
        ask_and_read_nothing(fd, 1, 1); /* nobody has to show anything here: a few bytes make a node */
        WAIT(s.requests == 1);
        while (fault_count("unread") == before) /* what the kernel takes is more than that */
                ask_and_read_nothing(fd, LONG, 64);
        WAIT(ended_by_other(fd));
        assert_int_equal(fault_count("unread"), before + 1);
        call(&good, "x", LONG_MS);
        WAIT(good.done == 1);
        assert_string_equal(good.text, "x");
        assert_int_equal(state_of(&good), PEER_LIVE);
        close(fd);
        rpc_client_close(good.rpc);
        rpc_server_close(s.rpc);
        rpc_server_limit(&usual);
}

/* It would keep the answer that is being sent to it for ever, one for each connection that it opens. */
static void test_who_reads_nothing_for_long_has_its_connection_ended(void **state)
{
        enum { LONG = 12 << 10 };
        const int small = 1;
        struct server s;
        struct client good;
        (void)state;
        serve(&s, 64, "");
        dial_live(&good, s.address, "");
        int64_t before = fault_count("unread");
        int fd = raw_connect(s.address);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
        assert_int_equal(send(fd, begins, 8, MSG_NOSIGNAL), 8);
        ask_and_read_nothing(fd, 1, 1);
        WAIT(s.requests == 1);
        while (!ended_by_other(fd)) /* what the kernel takes is much */
                ask_and_read_nothing(fd, LONG, 64);
        assert_int_equal(fault_count("unread"), before);
        call(&good, "x", LONG_MS);
        WAIT(good.done == 1);
        assert_string_equal(good.text, "x");
        close(fd);
        rpc_client_close(good.rpc);
        rpc_server_close(s.rpc);
}

#define LOOP_TEST(f) cmocka_unit_test_setup_teardown(f, open_loop, close_loop)

int main(void)
{
        const struct CMUnitTest tests[] = {
                LOOP_TEST(test_strangers_get_little_time),
                LOOP_TEST(test_strangers_get_few_bytes),
                LOOP_TEST(test_answers_that_a_stranger_does_not_read_hold_up_nobody),
                LOOP_TEST(test_a_strangers_message_is_small),
                LOOP_TEST(test_a_node_sends_no_more_than_its_role_may),
                LOOP_TEST(test_an_answer_to_hello_is_small),
                LOOP_TEST(test_what_is_under_way_is_bounded_over_all_peers),
                LOOP_TEST(test_one_address_has_a_share_of_the_places),
                LOOP_TEST(test_strangers_do_not_take_the_place_of_nodes),
                LOOP_TEST(test_what_has_come_is_bounded_before_the_loop_has_seen_it),
                LOOP_TEST(test_who_reads_nothing_for_long_has_its_connection_ended),
                LOOP_TEST(test_who_does_not_read_answers_gives_way_when_they_are_too_much),
        };
        log_init("test", getenv("TEST_LOG") ? LOG_DEBUG : LOG_ERROR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
