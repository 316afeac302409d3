#include "common/cluster/rpc.h"

#include <arpa/inet.h>
#include <assert.h>
#include <nng/protocol/reqrep0/rep.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/cluster/nng_clock.h"
#include "common/cluster/rpc_fault.h"
#include "common/cluster/rpc_gate.h"
#include "common/cluster/rpc_tls.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mailbox.h"
#include "common/magic.h"
#include "common/mem.h"
#include "proto/hello.h"
#include "proto/may.h"

#define CONNECTION_BUCKETS 256
#define REPLY_TIMEOUT_MS 5000 /* for a peer that does not read its answers */

/* Contexts beyond those the handler may hold. They receive when all others wait for an answer: HELLO must be answered
 * then as well, or the other side would take us for dead. Anything else is refused with ERR_FULL. */
#define SPARE_CONTEXTS 4
#define OPENED_AT_ONCE 256 /* contexts: thousands of them take ten milliseconds of the loop */

/* A slot is one context and the request in it. Who has it: nng while RECEIVING and REPLYING, the loop otherwise. */
enum slot_state { SLOT_RECEIVING, SLOT_LOOP, SLOT_REPLYING };
struct slot {
        struct mail mail;
        struct rpc_server *server;
        nng_ctx ctx;
        nng_aio *aio;
        enum slot_state state;
        int rv;
        uint32_t pipe;
        int64_t came_us; /* the request, by the wall clock */
        bool held;                    /* by the handler */
        size_t held_bytes;            /* of the request, from when it has come */
        _Atomic size_t answer_bytes;  /* of the answer, until nng has passed it on */
        int64_t answered_us;          /* the loop's */
        struct rpc_request request;
};

struct connection {
        struct connection *next;
        uint32_t pipe;
        char address[64];
        char id[NODE_ID_MAX + 1]; /* "" until HELLO */
        struct cluster_name shown; /* by its certificate; with TLS */
        struct hello_bond bond;
        bool challenged;
        bool hello;               /* a good one */
        enum node_role role;      /* as in that */
        uint16_t can;             /* likewise */
        bool known;               /* to the gate: HELLO was good, or nobody has to show anything here */
        bool refused;             /* told, counted and logged already */
        bool unread;              /* it does not read its answers, and was ended for that */
        bool denied;              /* a request of another role's was logged already */
};

/* A connection came or went: from nng's threads to the loop. */
struct notice {
        struct mail mail;
        struct rpc_server *server;
        uint32_t pipe;
        bool up;
        char address[64];
        struct rpc_tls_peer peer; /* with TLS */
};

#define SERVER_MAGIC 0x52504353

struct rpc_server {
        uint32_t magic;
        struct mailbox mailbox;
        nng_socket socket;
        struct rpc_gate *gate; /* NULL: there is no socket */
        nng_listener listener;
        const struct node_identity *self;
        rpc_handler *handler;
        void *arg;
        rpc_gone *gone; /* may be NULL */
        void *gone_arg;
        unsigned contexts, slot_count, held;
        struct rpc_server_limits limits;
        _Atomic size_t held_bytes, answer_bytes; /* of all slots */
        unsigned opened; /* of the slots; the others follow, some each turn of the loop */
        bool closing;
        uv_timer_t sweep;
        uv_idle_t opening;
        int open_handles;
        struct connection *connections[CONNECTION_BUCKETS];
        struct slot slots[];
};

static struct rpc_server_limits limits_now = {.held_bytes = RPC_HELD_BYTES_MAX, .answer_bytes = RPC_ANSWER_BYTES_MAX};

void rpc_server_limit(const struct rpc_server_limits *limits)
{
        limits_now = *limits;
}

/* ---- connections ------------------------------------------------------------------------------------------------ */

static struct connection **find_connection(struct rpc_server *s, uint32_t pipe)
{
        struct connection **at = &s->connections[pipe % CONNECTION_BUCKETS];
        while (*at && (*at)->pipe != pipe)
                at = &(*at)->next;
        return at;
}

/* Whether the cluster has anything to be shown: then nothing but HELLO is answered before that. */
static bool credentials(const struct node_identity *self)
{
        return self->certs || (self->cluster_token && *self->cluster_token);
}

static void on_sweep(uv_timer_t *timer)
{
        struct rpc_server *s = magic_check(timer->data, SERVER_MAGIC);
        rpc_gate_sweep(s->gate);
}

static void connection_up(struct rpc_server *s, const struct notice *n)
{
        struct connection **at = find_connection(s, n->pipe);
        if (*at)
                return;
        *at = mem_alloc(sizeof(**at));
        (*at)->pipe = n->pipe;
        memcpy((*at)->address, n->address, sizeof((*at)->address));
        (*at)->shown = n->peer.name;
        memcpy((*at)->bond.tls, n->peer.bond, sizeof((*at)->bond.tls));
}

static void connection_down(struct rpc_server *s, uint32_t pipe)
{
        struct connection **at = find_connection(s, pipe), *c = *at;
        if (!c)
                return;
        if (!c->hello && !c->refused && !s->closing) {
                rpc_fault_count(RPC_FAULT_NO_HELLO);
                log_info_of(c->address, "peer=%s msg=\"connection ended without a HELLO\"", c->address);
        }
        *at = c->next;
        if (c->hello && s->gone && !s->closing && !rpc_server_has(s, c->id))
                s->gone(s->gone_arg, c->id);
        free(c);
}

bool rpc_server_has(const struct rpc_server *s, const char *node_id)
{
        for (size_t i = 0; i < CONNECTION_BUCKETS; i++) {
                for (const struct connection *c = s->connections[i]; c; c = c->next) {
                        if (c->hello && strcmp(c->id, node_id) == 0)
                                return true;
                }
        }
        return false;
}

const char *rpc_asker(const struct rpc_request *req)
{
        const struct slot *slot = req->impl;
        const struct connection *c = *find_connection(slot->server, req->connection);
        return c && c->hello ? c->id : "";
}

bool rpc_asker_can(const struct rpc_request *req, enum node_can what)
{
        const struct slot *slot = req->impl;
        const struct connection *c = *find_connection(slot->server, req->connection);
        return c && c->hello && c->can & what;
}

void rpc_server_watch(struct rpc_server *s, rpc_gone *gone, void *arg)
{
        s->gone = gone;
        s->gone_arg = arg;
}

static void deliver_notice(struct mail *mail)
{
        struct notice *n = (struct notice *)mail;
        if (n->up)
                connection_up(n->server, n);
        else
                connection_down(n->server, n->pipe);
        free(n);
}

static void peer_address(nng_pipe pipe, char *dst, size_t cap)
{
        nng_sockaddr sa;
        char text[INET6_ADDRSTRLEN] = "?";
        snprintf(dst, cap, "?");
        if (nng_pipe_get_addr(pipe, NNG_OPT_REMADDR, &sa) != 0)
                return;
        if (sa.s_family == NNG_AF_INET) {
                inet_ntop(AF_INET, &sa.s_in.sa_addr, text, sizeof(text));
                snprintf(dst, cap, "%s:%u", text, ntohs(sa.s_in.sa_port));
        } else if (sa.s_family == NNG_AF_INET6) {
                inet_ntop(AF_INET6, sa.s_in6.sa_addr, text, sizeof(text));
                snprintf(dst, cap, "[%s]:%u", text, ntohs(sa.s_in6.sa_port));
        }
}

static bool on_connection(void *owner, nng_pipe pipe, bool up) /* nng's threads */
{
        struct rpc_server *s = magic_check(owner, SERVER_MAGIC);
        struct notice *n = mem_alloc(sizeof(*n));
        *n = (struct notice){.mail.deliver = deliver_notice, .server = s, .pipe = (uint32_t)nng_pipe_id(pipe), .up = up};
        if (up)
                peer_address(pipe, n->address, sizeof(n->address));
        bool good = !up || !s->self->certs || rpc_tls_peer(pipe, &n->peer);
        mailbox_post(&s->mailbox, &n->mail);
        return good;
}

/* ---- slots ------------------------------------------------------------------------------------------------------ */

/* Loop thread, or nng's from the end of a reply: whoever has the slot. */
static void receive(struct slot *slot)
{
        slot->state = SLOT_RECEIVING;
        nng_aio_set_timeout(slot->aio, NNG_DURATION_INFINITE);
        nng_ctx_recv(slot->ctx, slot->aio);
}

static void count_held(struct slot *slot, size_t bytes)
{
        atomic_fetch_sub(&slot->server->held_bytes, slot->held_bytes);
        slot->held_bytes = bytes;
        atomic_fetch_add(&slot->server->held_bytes, bytes);
}

static void forget_answer(struct slot *slot)
{
        atomic_fetch_sub(&slot->server->answer_bytes, atomic_exchange(&slot->answer_bytes, 0));
}

static void send_answer(struct slot *slot, nng_msg *reply)
{
        slot->state = SLOT_REPLYING;
        nng_aio_set_msg(slot->aio, reply);
        nng_aio_set_timeout(slot->aio, REPLY_TIMEOUT_MS);
        nng_ctx_send(slot->ctx, slot->aio);
}

static nng_msg *refusal(int status, const char *text)
{
        struct refused m = {.status = (int8_t)status};
        snprintf(m.text, sizeof(m.text), "%s", text);
        return message_new(MSG_REFUSED, refused_encode, &m);
}

/* Whether there is room for what has come. It is looked at here: while the loop is busy with something else, thousands of requests may
 * come. Small ones always have room, HELLO among them. */
static bool has_room(struct slot *slot, nng_msg *msg)
{
        count_held(slot, nng_msg_len(msg));
        return slot->held_bytes <= STRANGER_MESSAGE_MAX || atomic_load(&slot->server->held_bytes) <= slot->server->limits.held_bytes;
}

static void on_aio(void *arg) /* nng's threads */
{
        struct slot *slot = arg;
        slot->rv = nng_aio_result(slot->aio);
        if (slot->state == SLOT_REPLYING) {
                forget_answer(slot);
                if (slot->rv != 0)
                        nng_msg_free(nng_aio_get_msg(slot->aio));
                receive(slot);
                return;
        }
        nng_msg *msg = slot->rv == 0 ? nng_aio_get_msg(slot->aio) : NULL;
        if (msg && !has_room(slot, msg)) {
                rpc_fault_count(RPC_FAULT_LIMIT);
                count_held(slot, 0);
                nng_msg_free(msg);
                send_answer(slot, refusal(ERR_FULL, "too much waits for an answer"));
                return;
        }
        slot->came_us = clock_wall_us();
        slot->state = SLOT_LOOP;
        mailbox_post(&slot->server->mailbox, &slot->mail);
}

static void release(struct slot *slot)
{
        if (slot->request.msg)
                nng_msg_free(slot->request.msg);
        slot->request.msg = NULL;
        count_held(slot, 0);
        slot->server->held -= slot->held;
        slot->held = false;
}

/* ---- answers ---------------------------------------------------------------------------------------------------- */

static struct slot *longest_unread(struct rpc_server *s)
{
        struct slot *longest = NULL;
        for (unsigned i = 0; i < s->opened; i++) {
                struct slot *slot = &s->slots[i];
                if (atomic_load(&slot->answer_bytes) > 0 && (!longest || slot->answered_us < longest->answered_us))
                        longest = slot;
        }
        return longest;
}

/* Requests of it that came before its end are answered all the same. */
static void tell_unread(struct connection *c)
{
        if (!c || c->unread)
                return;
        c->unread = true;
        rpc_fault_count(RPC_FAULT_UNREAD);
        log_warn_of(c->address, "peer=%s peer_id=%s msg=\"connection ended: it does not read its answers\"", c->address,
                    *c->id ? c->id : "-");
}

/* nng drops what waits for a connection when that has ended. */
static void end_unread(struct rpc_server *s)
{
        struct slot *longest;
        while (atomic_load(&s->answer_bytes) > s->limits.answer_bytes && (longest = longest_unread(s))) {
                tell_unread(*find_connection(s, longest->pipe));
                rpc_gate_end(s->gate, longest->pipe);
                for (unsigned i = 0; i < s->opened; i++) {
                        if (s->slots[i].pipe == longest->pipe)
                                forget_answer(&s->slots[i]);
                }
        }
}

void rpc_reply(struct rpc_request *req, nng_msg *reply)
{
        struct slot *slot = req->impl;
        struct rpc_server *s = slot->server;
        size_t len = nng_msg_len(reply);
        assert(slot->state == SLOT_LOOP);
        release(slot);
        slot->answered_us = clock_mono_us();
        atomic_fetch_add(&s->answer_bytes, len);
        atomic_store(&slot->answer_bytes, len);
        send_answer(slot, reply);
        end_unread(s);
}

void rpc_pass(struct rpc_request *req)
{
        struct slot *slot = req->impl;
        assert(slot->state == SLOT_LOOP);
        release(slot);
        receive(slot);
}

void rpc_drop(struct rpc_request *req, const char *why)
{
        struct slot *slot = req->impl;
        assert(slot->state == SLOT_LOOP);
        struct connection *c = *find_connection(slot->server, slot->pipe);
        char quoted[128];
        rpc_fault_count(RPC_FAULT_MALFORMED);
        log_warn_of(c ? c->address : "gone", "peer=%s peer_id=%s type=%u msg=%s", c ? c->address : "gone", c && *c->id ? c->id : "-",
                    req->type, log_quote(quoted, sizeof(quoted), why));
        if (c)
                c->refused = true; /* counted */
        rpc_gate_end(slot->server->gate, slot->pipe);
        release(slot);
        receive(slot);
}

static void refuse(struct slot *slot, int status, const char *text)
{
        rpc_reply(&slot->request, refusal(status, text));
}

/* For the life of the connection: it is told on every request, logged and counted once. */
static void refuse_connection(struct slot *slot, struct connection *c, enum rpc_fault fault, const char *text)
{
        if (!c->refused) {
                char quoted[160];
                rpc_fault_count(fault);
                log_warn_of(c->address, "peer=%s peer_id=%s msg=%s", c->address, *c->id ? c->id : "-",
                            log_quote(quoted, sizeof(quoted), text));
        }
        c->refused = true;
        c->hello = false;
        refuse(slot, ERR_DENIED, text);
}

/* One request that is not this role's. The node is one of ours and goes on with what is. */
static void deny(struct slot *slot, struct connection *c)
{
        char text[128];
        enum node_role self = slot->server->self->role;
        snprintf(text, sizeof(text), "%s may not ask %s for %s", node_role_name(c->role), node_role_name(self),
                 may_message_name(slot->request.type));
        rpc_fault_count(RPC_FAULT_NOT_ALLOWED);
        if (!c->denied)
                log_warn("peer=%s peer_id=%s msg=\"%s\"", c->address, c->id, text);
        c->denied = true;
        refuse(slot, ERR_DENIED, text);
}

static void challenge(struct slot *slot, struct connection *c)
{
        struct challenge m;
        hello_nonce(c->bond.answers);
        c->challenged = true;
        memcpy(m.nonce, c->bond.answers, sizeof(m.nonce));
        rpc_reply(&slot->request, message_new(MSG_CHALLENGE, challenge_encode, &m));
}

static void accept_hello(struct slot *slot, struct connection *c, const struct hello *m)
{
        struct rpc_server *s = slot->server;
        struct hello answer;
        if (!c->hello)
                rpc_gate_known(s->gate, c->pipe, may_message_max((enum node_role)m->role, s->self->role));
        c->known = true;
        c->hello = true;
        c->refused = false;
        c->role = (enum node_role)m->role;
        c->can = m->can;
        hello_fill(&answer, s->self, HELLO_ANSWERS, &c->bond, slot->came_us);
        rpc_reply(&slot->request, message_new(MSG_HELLO_REPLY, hello_encode, &answer));
}

static void answer_hello(struct slot *slot, struct connection *c)
{
        const struct node_identity *self = slot->server->self;
        struct hello m;
        char text[128];
        if (hello_decode(&slot->request.body, &m) != 0) {
                rpc_drop(&slot->request, "malformed HELLO");
                return;
        }
        if (m.version != PROTO_VERSION) {
                snprintf(text, sizeof(text), "protocol version %u is not spoken here, only version %d", m.version,
                         PROTO_VERSION);
                refuse_connection(slot, c, RPC_FAULT_VERSION, text);
                return;
        }
        if (self->cluster_token && *self->cluster_token && !c->challenged) {
                challenge(slot, c);
                return;
        }
        memcpy(c->id, m.id, sizeof(c->id));
        memcpy(c->bond.asks, m.nonce, sizeof(c->bond.asks));
        if (!hello_proof_ok(&m, self->cluster_token, HELLO_ASKS, &c->bond)) {
                refuse_connection(slot, c, RPC_FAULT_TOKEN, "HELLO does not prove knowledge of the cluster_token");
        } else if (self->certs && !cluster_name_fits(&c->shown, (enum node_role)m.role, m.id)) {
                snprintf(text, sizeof(text), "HELLO says %s %.40s, the certificate is for %s %.40s",
                         node_role_name((enum node_role)m.role),
                         m.id, node_role_name(c->shown.role), *c->shown.id ? c->shown.id : "*");
                refuse_connection(slot, c, RPC_FAULT_IDENTITY, text);
        } else if (!may_connect((enum node_role)m.role, self->role)) {
                snprintf(text, sizeof(text), "%s has nothing to ask %s for", node_role_name((enum node_role)m.role),
                         node_role_name(self->role));
                refuse_connection(slot, c, RPC_FAULT_ROLE, text);
        } else {
                accept_hello(slot, c, &m);
        }
}

static void dispatch(struct slot *slot, struct connection *c)
{
        struct rpc_server *s = slot->server;
        struct rpc_request *req = &slot->request;

        if (!c->known && !credentials(s->self) && req->type != MSG_HELLO) {
                rpc_gate_known(s->gate, c->pipe, RPC_MESSAGE_MAX_BYTES);
                c->known = true;
        }
        if (req->type == 0) {
                rpc_drop(req, "empty message");
        } else if (req->type == MSG_HELLO) {
                answer_hello(slot, c);
        } else if (c->refused || (credentials(s->self) && !c->hello)) {
                refuse_connection(slot, c, RPC_FAULT_NO_HELLO, "no HELLO that was accepted came before this request");
        } else if (c->hello && !may_ask(c->role, s->self->role, req->type, &req->body)) {
                deny(slot, c);
        } else if (s->held >= s->contexts) {
                rpc_fault_count(RPC_FAULT_LIMIT);
                refuse(slot, ERR_FULL, "too many requests wait for an answer");
        } else {
                slot->held = true;
                s->held++;
                s->handler(s->arg, req);
        }
}

static void deliver_slot(struct mail *mail)
{
        struct slot *slot = (struct slot *)mail;
        struct rpc_server *s = slot->server;
        nng_msg *msg = slot->rv == 0 ? nng_aio_get_msg(slot->aio) : NULL;
        if (s->closing) {
                if (msg)
                        nng_msg_free(msg);
                return;
        }
        if (!msg) {
                if (slot->rv != NNG_ECLOSED && slot->rv != NNG_ECANCELED)
                        receive(slot);
                return;
        }
        slot->pipe = (uint32_t)nng_pipe_id(nng_msg_get_pipe(msg));
        slot->request = (struct rpc_request){.msg = msg, .connection = slot->pipe, .impl = slot};
        slot->request.type = message_open(&slot->request.body, msg);
        struct connection *c = *find_connection(s, slot->pipe);
        if (!c) { /* lost since: nobody is there to be answered */
                release(slot);
                receive(slot);
                return;
        }
        dispatch(slot, c);
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static int open_tls(struct rpc_server *s, const char *address)
{
        nng_tls_config *tls;
        int rv = rpc_tls_config(&tls, NNG_TLS_MODE_SERVER, s->self->certs, address);
        if (rv != 0)
                return rv;
        rv = nng_listener_set_ptr(s->listener, NNG_OPT_TLS_CONFIG, tls);
        nng_tls_config_free(tls);
        return rv;
}

static int open_socket(struct rpc_server *s, const char *bind, int port)
{
        char address[300], url[320];
        int rv = nng_rep0_open(&s->socket);
        if (rv == 0)
                rv = rpc_gate_open(&s->gate, s->socket, GATE_LISTENS | (s->self->certs ? GATE_TLS : 0), on_connection, s);
        if (rv != 0)
                return rv;
        snprintf(address, sizeof(address), strchr(bind, ':') ? "[%s]:%d" : "%s:%d", bind, port);
        snprintf(url, sizeof(url), "%s://%s", s->self->certs ? "tls+tcp" : "tcp", address);
        if ((rv = nng_socket_set_size(s->socket, NNG_OPT_RECVMAXSZ, RPC_MESSAGE_MAX_BYTES)) != 0 ||
            (rv = nng_listener_create(&s->listener, s->socket, url)) != 0 ||
            (s->self->certs && (rv = open_tls(s, address)) != 0))
                return rv;
        return nng_listener_set_bool(s->listener, NNG_OPT_TCP_KEEPALIVE, true);
}

static int open_slots(struct rpc_server *s)
{
        int rv = 0;
        for (unsigned n = 0; n < OPENED_AT_ONCE && s->opened < s->slot_count && rv == 0; n++) {
                struct slot *slot = &s->slots[s->opened++];
                slot->mail.deliver = deliver_slot;
                slot->server = s;
                rv = nng_aio_alloc(&slot->aio, on_aio, slot);
                if (rv == 0)
                        rv = nng_ctx_open(&slot->ctx, s->socket);
                if (rv == 0)
                        receive(slot);
        }
        return rv;
}

/* Meanwhile a request for which there is none yet waits in its connection, as those beyond all of them do. */
static void on_opening(uv_idle_t *idle)
{
        struct rpc_server *s = magic_check(idle->data, SERVER_MAGIC);
        int rv = open_slots(s);
        if (rv != 0) { /* out of memory, which is told of elsewhere: this many are enough to say that there are no more */
                log_warn("msg=\"fewer requests can be answered at a time\" contexts=%u error=\"%s\"", s->opened - 1, nng_strerror(rv));
                s->slot_count = s->opened;
                s->contexts = s->opened - 1 - SPARE_CONTEXTS;
        }
        if (s->opened == s->slot_count)
                uv_idle_stop(idle);
}

int rpc_server_open(struct rpc_server **out, uv_loop_t *loop, const char *bind, int port, unsigned contexts,
                    const struct node_identity *self, rpc_handler *handler, void *arg)
{
        unsigned slot_count = contexts + SPARE_CONTEXTS;
        struct rpc_server *s = mem_alloc(sizeof(*s) + slot_count * sizeof(s->slots[0]));
        s->magic = SERVER_MAGIC;
        *out = NULL;
        s->self = self;
        s->handler = handler;
        s->arg = arg;
        s->contexts = contexts;
        s->slot_count = slot_count;
        s->limits = limits_now;
        rpc_fault_register();
        (void)nng_clock_is_steady(); /* it is to be in the program */
        mailbox_open(&s->mailbox, loop); /* before anything can be posted */
        uv_timer_init(loop, &s->sweep);
        s->sweep.data = s;
        uv_idle_init(loop, &s->opening);
        s->opening.data = s;
        s->open_handles = 3;

        int rv = open_socket(s, bind, port);
        if (rv == 0)
                rv = open_slots(s);
        if (rv == 0)
                rv = rpc_gate_listen(s->gate, s->listener);
        if (rv != 0) {
                rpc_server_close(s);
                return err_from_nng(rv);
        }
        uv_timer_start(&s->sweep, on_sweep, GATE_SWEEP_MS, GATE_SWEEP_MS);
        if (s->opened < s->slot_count)
                uv_idle_start(&s->opening, on_opening);
        *out = s;
        return 0;
}

int rpc_server_port(const struct rpc_server *s)
{
        int port = 0;
        nng_listener_get_int(s->listener, NNG_OPT_TCP_BOUND_PORT, &port);
        return port;
}

static void handle_closed(struct rpc_server *s)
{
        if (--s->open_handles > 0)
                return;
        s->magic = 0;
        free(s);
}

static void mailbox_closed(struct mailbox *mb)
{
        handle_closed((void *)((char *)mb - offsetof(struct rpc_server, mailbox)));
}

static void handle_is_closed(uv_handle_t *handle)
{
        handle_closed(magic_check(handle->data, SERVER_MAGIC));
}

static void free_connections(struct rpc_server *s)
{
        for (size_t i = 0; i < CONNECTION_BUCKETS; i++) {
                while (s->connections[i])
                        connection_down(s, s->connections[i]->pipe);
        }
}

/* Aios are stopped first: no callback runs after that, and nothing is received or sent any more. What is left in the
 * mailbox then is freed by its delivery. */
void rpc_server_close(struct rpc_server *s)
{
        s->closing = true;
        for (unsigned i = 0; i < s->slot_count && s->slots[i].aio; i++)
                nng_aio_stop(s->slots[i].aio);
        if (s->gate)
                rpc_gate_close(s->gate);
        uv_close((uv_handle_t *)&s->sweep, handle_is_closed);
        uv_close((uv_handle_t *)&s->opening, handle_is_closed);
        mailbox_close_then(&s->mailbox, mailbox_closed);
        for (unsigned i = 0; i < s->slot_count && s->slots[i].aio; i++) {
                release(&s->slots[i]);
                nng_aio_free(s->slots[i].aio);
        }
        free_connections(s);
}
