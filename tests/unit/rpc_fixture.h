/* rpc_fixture.h - a loop, a server, a client, a bare REQ socket and what counts their faults, for tests of common/rpc_*. */
#ifndef RPC_FIXTURE_H
#define RPC_FIXTURE_H

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdatomic.h>

#include "common/buf.h"
#include "common/cluster/rpc.h"
#include "common/cluster/rpc_gate.h"
#include "common/cluster/rpc_tls.h"
#include "common/daemon/log.h"
#include "common/daemon/metrics.h"
#include "common/err.h"
#include "proto/fetch.h"
#include "proto/hello.h"
#include "proto/media.h"
#include "proto/message.h"
#include "proto/store.h"
#include "tests/unit/patience.h"

/* No test needs all of it. */
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-variable"

#define LONG_MS 60000 /* no test waits for this to pass */
#define TEST_TYPE test_type /* the body is echoed; "hold" is kept; "drop" is dropped; "take" keeps the message */

extern char **environ;

/* ---- a loop that never hangs ------------------------------------------------------------------------------------ */

static uv_loop_t loop;
static uv_timer_t watchdog, nudge;
static uv_async_t poke; /* from other threads */

static void bite(uv_timer_t *t)
{
        (void)t;
        fprintf(stderr, "a test waited for too long\n");
        abort();
}

static void wake(uv_timer_t *t)
{
        (void)t;
}

static void poked(uv_async_t *a)
{
        (void)a;
}

static int open_loop(void **state)
{
        (void)state;
        uv_loop_init(&loop);
        uv_async_init(&loop, &poke, poked);
        uv_timer_init(&loop, &watchdog);
        uv_timer_start(&watchdog, bite, PATIENCE_MS, 0);
        uv_timer_init(&loop, &nudge); /* conditions that no event of this loop tells are looked at again */
        uv_timer_start(&nudge, wake, 5, 5);
        return 0;
}

static int close_loop(void **state)
{
        (void)state;
        uv_close((uv_handle_t *)&watchdog, NULL);
        uv_close((uv_handle_t *)&nudge, NULL);
        uv_close((uv_handle_t *)&poke, NULL);
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(uv_loop_close(&loop), 0); /* nothing was left open */
        return 0;
}

#define WAIT(condition)                                                                                                \
        while (!(condition))                                                                                           \
                uv_run(&loop, UV_RUN_ONCE)

/* Who asks whom, and for what, from now on. What is long, a proxy asks of a transcoder. */
static enum node_role server_role = ROLE_ORIGIND, client_role = ROLE_EDGED;
static uint8_t test_type = MSG_FETCH;

/* Certificates of what is served, dialed and opened bare from now on; NULL: plain TCP. */
static struct cluster_certs *server_certs, *client_certs;

/* ---- a server --------------------------------------------------------------------------------------------------- */

struct server {
        struct node_identity self;
        struct rpc_server *rpc;
        struct rpc_request *held[1024];
        size_t held_count, requests;
        struct buf *taken;
        char address[32];
        size_t told;
        bool told_in_order;
        bool asker_can; /* CAN_BE_TOLD, by what was asked last */
};

static bool body_is(const struct rpc_request *req, const char *word)
{
        return reader_left(&req->body) == strlen(word) && memcmp(req->body.p, word, strlen(word)) == 0;
}

static nng_msg *text_message(uint8_t type, const void *text, size_t len)
{
        nng_msg *msg;
        assert_int_equal(nng_msg_alloc(&msg, 1 + len), 0);
        *(uint8_t *)nng_msg_body(msg) = type;
        memcpy((uint8_t *)nng_msg_body(msg) + 1, text, len);
        return msg;
}

static void free_msg(void *owner)
{
        nng_msg_free(owner);
}

static void handle(void *arg, struct rpc_request *req)
{
        struct server *s = arg;
        s->requests++;
        s->asker_can = rpc_asker_can(req, CAN_BE_TOLD);
        if (body_is(req, "hold")) {
                s->held[s->held_count++] = req;
        } else if (body_is(req, "drop")) {
                rpc_drop(req, "it asked to be dropped");
        } else if (req->type == MSG_MEDIA_TOLD) { /* each says how many came before it */
                s->told_in_order = s->told_in_order && reader_left(&req->body) == 1 && *req->body.p == (uint8_t)s->told;
                s->told++;
                rpc_pass(req);
        } else if (body_is(req, "take")) {
                s->taken = buf_wrap(nng_msg_body(req->msg), nng_msg_len(req->msg), free_msg, req->msg);
                req->msg = NULL;
                rpc_reply(req, text_message(TEST_TYPE, "taken", 5));
        } else {
                rpc_reply(req, text_message(TEST_TYPE, req->body.p, reader_left(&req->body)));
        }
}

static void serve_at(struct server *s, uv_loop_t *l, int port, unsigned contexts, const char *token)
{
        memset(s, 0, sizeof(*s));
        s->told_in_order = true;
        s->self = (struct node_identity){.id = "server-1", .incarnation_us = 1000, .role = server_role,
                                         .load_permille = 250, .zone = "hall-2", .cluster_token = token, .certs = server_certs};
        assert_int_equal(rpc_server_open(&s->rpc, l, "127.0.0.1", port, contexts, &s->self, handle, s), 0);
        snprintf(s->address, sizeof(s->address), "127.0.0.1:%d", rpc_server_port(s->rpc));
}

static void serve(struct server *s, unsigned contexts, const char *token)
{
        serve_at(s, &loop, 0, contexts, token);
}

/* ---- a client --------------------------------------------------------------------------------------------------- */

struct client {
        struct node_identity self;
        struct rpc_client *rpc;
        size_t changes;
        /* of its calls */
        size_t done, by_err[32];
        int err;
        char text[64];
        bool call_again; /* from inside done(), until it works no more */
};

static void on_changed(void *arg, const struct peer_info *info)
{
        struct client *c = arg;
        (void)info;
        c->changes++;
}

static void dial(struct client *c, const char *address, const char *token)
{
        memset(c, 0, sizeof(*c));
        c->self = (struct node_identity){.id = "client-1", .incarnation_us = 2000, .role = client_role, .cluster_token = token,
                                         .certs = client_certs};
        assert_int_equal(rpc_client_open(&c->rpc, &loop, address, &c->self, on_changed, c), 0);
}

static enum peer_state state_of(struct client *c)
{
        return rpc_client_info(c->rpc)->state;
}

static void dial_live(struct client *c, const char *address, const char *token)
{
        dial(c, address, token);
        WAIT(state_of(c) == PEER_LIVE);
}

static struct rpc_call *call(struct client *c, const char *text, unsigned timeout_ms);

static void on_done(void *arg, int err, nng_msg *reply)
{
        struct client *c = arg;
        assert_int_equal(err == 0, reply != NULL);
        c->done++;
        c->by_err[-err]++;
        c->err = err;
        if (reply) {
                assert_true(nng_msg_len(reply) >= 1);
                snprintf(c->text, sizeof(c->text), "%.*s", (int)nng_msg_len(reply) - 1, (char *)nng_msg_body(reply) + 1);
                nng_msg_free(reply);
        }
        if (c->call_again && err == 0)
                call(c, "again", LONG_MS);
}

static struct rpc_call *call(struct client *c, const char *text, unsigned timeout_ms)
{
        return rpc_call(c->rpc, text_message(TEST_TYPE, text, strlen(text)), timeout_ms, on_done, c);
}

/* A bare REQ socket, to say what rpc_client would not. */
struct bare {
        nng_socket socket;
        nng_aio *aio;
        atomic_bool busy;
};

static void bare_done(void *arg)
{
        atomic_store(&((struct bare *)arg)->busy, false);
        uv_async_send(&poke);
}

/* nng's error code: with TLS a connection may be refused. */
static int bare_try(struct bare *b, const char *address)
{
        char url[64];
        nng_dialer dialer;
        nng_tls_config *tls;
        snprintf(url, sizeof(url), "%s://%s", client_certs ? "tls+tcp" : "tcp", address);
        assert_int_equal(nng_req0_open(&b->socket), 0);
        assert_int_equal(nng_socket_set_ms(b->socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE), 0);
        assert_int_equal(nng_dialer_create(&dialer, b->socket, url), 0);
        if (client_certs) {
                assert_int_equal(rpc_tls_config(&tls, NNG_TLS_MODE_CLIENT, client_certs, address), 0);
                assert_int_equal(nng_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, tls), 0);
                nng_tls_config_free(tls);
        }
        assert_int_equal(nng_aio_alloc(&b->aio, bare_done, b), 0);
        nng_aio_set_timeout(b->aio, PATIENCE_MS);
        return nng_dialer_start(dialer, 0);
}

static void bare_open(struct bare *b, const char *address)
{
        assert_int_equal(bare_try(b, address), 0);
}

static int bare_ask(struct bare *b, nng_msg *request, nng_msg **reply)
{
        nng_aio_set_msg(b->aio, request);
        atomic_store(&b->busy, true);
        nng_send_aio(b->socket, b->aio);
        WAIT(!atomic_load(&b->busy));
        assert_int_equal(nng_aio_result(b->aio), 0);
        atomic_store(&b->busy, true);
        nng_recv_aio(b->socket, b->aio);
        WAIT(!atomic_load(&b->busy));
        int rv = nng_aio_result(b->aio);
        *reply = rv == 0 ? nng_aio_get_msg(b->aio) : NULL;
        return rv;
}

static void bare_close(struct bare *b)
{
        nng_aio_free(b->aio);
        nng_close(b->socket);
}

static void expect_refused(nng_msg *reply, int status, const char *text)
{
        struct reader r;
        struct refused m;
        assert_int_equal(message_open(&r, reply), MSG_REFUSED);
        assert_int_equal(refused_decode(&r, &m), 0);
        assert_int_equal(m.status, status);
        assert_non_null(strstr(m.text, text));
        nng_msg_free(reply);
}

/* Says HELLO, takes the challenge and says it again with the proof. The last answer; *said is the proved HELLO. */
static nng_msg *bare_hello(struct bare *b, const struct node_identity *self, struct hello *said)
{
        struct hello_bond bond = {{0}, {0}, {0}};
        struct challenge challenge;
        struct reader r;
        nng_msg *reply;
        hello_nonce(bond.asks);
        hello_fill(said, self, HELLO_ASKS, &bond, 0);
        assert_int_equal(bare_ask(b, message_new(MSG_HELLO, hello_encode, said), &reply), 0);
        if (message_open(&r, reply) != MSG_CHALLENGE)
                return reply;
        assert_int_equal(challenge_decode(&r, &challenge), 0);
        nng_msg_free(reply);
        memcpy(bond.answers, challenge.nonce, NONCE_BYTES);
        hello_fill(said, self, HELLO_ASKS, &bond, 0);
        assert_int_equal(bare_ask(b, message_new(MSG_HELLO, hello_encode, said), &reply), 0);
        return reply;
}

static const struct node_identity edge_with_token = {.id = "b", .role = ROLE_EDGED, .cluster_token = "token"};

static void expect_type(nng_msg *reply, uint8_t type)
{
        struct reader r;
        assert_int_equal(message_open(&r, reply), type);
        nng_msg_free(reply);
}

/* A whole request of each kind, as a node of the cluster would send it. */
static nng_msg *whole_request(uint8_t type)
{
        struct open open = {.stream = "cam"};
        struct media media = {.handle = 1};
        struct close_stream close_stream = {.handle = 1};
        struct claim claim = {.stream = "cam", .session = "s", .node = "n"};
        struct put put = {.session = "s", .track = "v720"};
        struct end end = {.session = "s"};
        struct fetch fetch = {.key = "/peer/live/0"};
        switch (type) {
        case MSG_OPEN:
                return message_new(type, open_encode, &open);
        case MSG_MEDIA:
                return message_new(type, media_encode, &media);
        case MSG_CLOSE:
                return message_new(type, close_stream_encode, &close_stream);
        case MSG_CLAIM:
                return message_new(type, claim_encode, &claim);
        case MSG_PUT:
                return message_new(type, put_encode, &put);
        case MSG_END:
                return message_new(type, end_encode, &end);
        case MSG_FETCH:
                return message_new(type, fetch_encode, &fetch);
        default:
                return text_message(type, "", 0);
        }
}

/* Every type of message there is, and some there are not: none is answered but with a refusal, none reaches the handler. */
static void expect_nothing_is_answered(struct bare *b, struct server *s)
{
        static const uint8_t types[] = {
                MSG_HELLO_REPLY, MSG_CHALLENGE, 4, MSG_OPEN, MSG_OPEN_REPLY, MSG_MEDIA, MSG_MEDIA_REPLY, MSG_CLOSE,
                MSG_CLOSE_REPLY, MSG_MEDIA_MANY, MSG_MEDIA_MANY_REPLY, MSG_MEDIA_TOLD, MSG_CLAIM, MSG_CLAIM_REPLY, MSG_PUT, MSG_PUT_REPLY,
                MSG_END, MSG_END_REPLY, MSG_FETCH, MSG_FETCH_REPLY, MSG_REFUSED, 77, 255};
        nng_msg *reply;
        size_t before = s->requests;
        for (size_t i = 0; i < sizeof(types); i++) {
                assert_int_equal(bare_ask(b, whole_request(types[i]), &reply), 0);
                expect_refused(reply, ERR_DENIED, "");
        }
        assert_int_equal(s->requests, before);
}

struct fault_search {
        char text[65536];
        size_t len;
};

static void collect(void *arg, const char *text, size_t len)
{
        struct fault_search *f = arg;
        assert_true(f->len + len < sizeof(f->text));
        memcpy(f->text + f->len, text, len);
        f->len += len;
}

static int64_t fault_count(const char *reason)
{
        static struct fault_search f;
        char row[96];
        memset(&f, 0, sizeof(f));
        metrics_render(collect, &f);
        snprintf(row, sizeof(row), "freshet_peer_errors_total{reason=\"%s\"} ", reason);
        char *at = strstr(f.text, row);
        return at ? atoll(at + strlen(row)) : 0;
}

static int connect_from(const char *own, const char *address)
{
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(strchr(address, ':') + 1))};
        struct sockaddr_in from = {.sin_family = AF_INET};
        inet_pton(AF_INET, "127.0.0.1", &sa.sin_addr);
        inet_pton(AF_INET, own, &from.sin_addr);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        return fd;
}

static int raw_connect(const char *address)
{
        return connect_from("127.0.0.1", address);
}

/* Reads what there is; true when the other side closed. */
static bool ended(int fd)
{
        char sink[64];
        ssize_t n;
        while ((n = recv(fd, sink, sizeof(sink), 0)) > 0)
                ;
        return n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

/* This program once more, with these arguments. */
static pid_t start_process(char *argv[])
{
        posix_spawn_file_actions_t actions;
        pid_t pid;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
        assert_int_equal(posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, environ), 0);
        posix_spawn_file_actions_destroy(&actions);
        return pid;
}

static int exit_status(pid_t pid)
{
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The calls of three clients are under way: the round decides which side closes first, and whether that is waited for. */
static void close_in_flight(struct server *s, struct client c[3], int round)
{
        if (round % 3 == 0)
                rpc_client_close(c[0].rpc);
        rpc_server_close(s->rpc);
        if (round % 3 == 1)
                WAIT(state_of(&c[1]) == PEER_DEAD);
        for (int i = round % 3 == 0 ? 1 : 0; i < 3; i++)
                rpc_client_close(c[i].rpc);
        for (int i = 0; i < 3; i++)
                assert_int_equal(c[i].done, c[i].by_err[0] + c[i].by_err[-ERR_CANCELED] + c[i].by_err[-ERR_CLOSED]);
}

#define CLOSE_ROUNDS 30
#define CLOSE_AT_ONCE 6 /* what a process does at its end is to wait, most of all under ThreadSanitizer */

/* Each in a process of its own, as daemons close their sockets: once, when they stop. A close that nng does not come back
 * from (rpc_gate.h) is left behind there, but nothing that is opened afterwards in that process works for long. */
static void close_in_many_processes(void)
{
        pid_t pids[CLOSE_ROUNDS];
        for (int begun = 0, over = 0; over < CLOSE_ROUNDS; over++) {
                for (; begun < CLOSE_ROUNDS && begun < over + CLOSE_AT_ONCE; begun++) {
                        char number[12];
                        snprintf(number, sizeof(number), "%d", begun);
                        char *argv[] = {"rpc", "close", number, NULL};
                        pids[begun] = start_process(argv);
                }
                assert_int_equal(exit_status(pids[over]), 0);
        }
}

#endif
