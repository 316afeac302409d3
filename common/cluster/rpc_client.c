#include "common/cluster/rpc.h"

#include <assert.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/cluster/distance.h"
#include "common/cluster/rpc_fault.h"
#include "common/cluster/rpc_gate.h"
#include "common/cluster/rpc_tls.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mailbox.h"
#include "common/magic.h"
#include "common/mem.h"
#include "proto/hello.h"

#define CALLS_MAX 4096 /* as many objects as an edge fills at a time may come from one node */
#define RECONNECT_MIN_MS 50
#define RECONNECT_MAX_MS 1000
#define NEVER_MS (24 * 3600 * 1000)
#define DROP_MS 5000 /* silent for so long: close and dial anew, in case the path and not the node was cut */

/* One context with its aio, reused call after call. A call that cannot be sent has none (aio NULL) and is freed. */
struct rpc_call {
        struct mail mail;
        struct rpc_client *client;
        struct rpc_call *next, **prev; /* in calls; next alone in idle */
        nng_ctx ctx;
        nng_aio *aio;
        int64_t deadline_us;
        int64_t left_us, left_wall_us; /* when it began */
        rpc_done *done;
        void *arg;
        bool sending; /* nng has it: request on its way; otherwise the answer is awaited */
        int err;      /* of a call without a context */
        int64_t back_us; /* when the answer came, by the wall clock */
        /* guarded by client->lock */
        int stop_rv;  /* not 0: no receive is started any more, and this is why */
        bool posted;
};

#define TELLER_MAGIC 0x54454c4c

/* One context, for messages that want no answer, one after the other. */
struct teller {
        uint32_t magic;
        nng_ctx ctx;
        nng_aio *aio; /* NULL: it was not needed yet */
        atomic_bool busy; /* nng has a message of it */
};

/* A connection came or went: from nng's threads to the loop. */
struct notice {
        struct mail mail;
        struct rpc_client *client;
        uint32_t pipe;
        bool up;
        struct rpc_tls_peer peer; /* with TLS */
};

#define CLIENT_MAGIC 0x52504343

struct rpc_client {
        uint32_t magic;
        struct mailbox mailbox;
        uv_timer_t tick;
        nng_socket socket;
        struct rpc_gate *gate; /* NULL: there is no socket */
        nng_dialer dialer;
        char address[64];
        const struct node_identity *self;
        rpc_state_changed *changed;
        void *arg;
        struct peer_info info;
        pthread_mutex_t lock;
        struct rpc_call *calls, *idle;
        unsigned call_count;
        struct teller tellers[RPC_TELLS_MAX];
        struct rpc_call *hello; /* under way */
        uint32_t pipe;          /* 0: no connection */
        struct cluster_name shown; /* by its certificate, on this connection; with TLS */
        struct hello_bond bond; /* of this connection */
        bool challenged;        /* on this connection */
        bool greeted;           /* HELLO was answered on this connection */
        bool refused;           /* logged already; until the peer is live again */
        int64_t opened_us, answered_us, ticked_us;
        int64_t rtt_us; /* how long the last HELLO that was answered took */
        struct distance distance;
        int64_t left_us, left_wall_us, back_us; /* of the call that is being delivered; back_us: by the wall clock */
        struct peer_clock clock; /* of the peer, in this incarnation */
        bool closing;
        int open_handles;
};

/* ---- state ------------------------------------------------------------------------------------------------------ */

const char *peer_state_name(enum peer_state state)
{
        static const char *const names[] = {"connecting", "live", "draining", "dead"};
        return names[state];
}

/* The callback may close the client: callers return right after this. */
static void set_info(struct rpc_client *c, const struct peer_info *info)
{
        struct peer_info old = c->info;
        bool same = old.state == info->state && old.role == info->role && strcmp(old.id, info->id) == 0 &&
                    old.incarnation_us == info->incarnation_us && old.can == info->can && old.load_permille == info->load_permille &&
                    strcmp(old.zone, info->zone) == 0;
        if (same || c->closing)
                return;
        c->info = *info;
        if (old.state != info->state)
                log_info("peer=%s role=%s peer_id=%s state=%s", c->address, node_role_name(info->role),
                         *info->id ? info->id : "-", peer_state_name(info->state));
        if (c->changed)
                c->changed(c->arg, &c->info);
}

static void set_dead(struct rpc_client *c)
{
        struct peer_info info = c->info;
        info.state = PEER_DEAD;
        set_info(c, &info);
}

static void note_refused(struct rpc_client *c, const char *text)
{
        char quoted[192];
        if (!c->refused) {
                rpc_fault_count(RPC_FAULT_REFUSED);
                log_warn("peer=%s msg=\"refused\" why=%s", c->address, log_quote(quoted, sizeof(quoted), text));
        }
        c->refused = true;
        c->greeted = false;
        c->answered_us = clock_mono_us();
        set_dead(c);
}

void rpc_client_drop(struct rpc_client *c, const char *why)
{
        char quoted[128];
        rpc_fault_count(RPC_FAULT_MALFORMED);
        log_warn("peer=%s peer_id=%s msg=%s", c->address, *c->info.id ? c->info.id : "-",
                 log_quote(quoted, sizeof(quoted), why));
        if (c->pipe)
                rpc_gate_end(c->gate, c->pipe);
}

const struct peer_info *rpc_client_info(const struct rpc_client *c)
{
        return &c->info;
}

int64_t rpc_client_rtt_us(const struct rpc_client *c)
{
        return c->rtt_us;
}

bool rpc_client_is_far(const struct rpc_client *c)
{
        return c->distance.far;
}

struct clock_ahead rpc_client_clock(const struct rpc_client *c)
{
        return peer_clock_ahead(&c->clock, clock_wall_us());
}

/* ---- calls ------------------------------------------------------------------------------------------------------ */

static void list_add(struct rpc_client *c, struct rpc_call *call)
{
        call->next = c->calls;
        call->prev = &c->calls;
        if (call->next)
                call->next->prev = &call->next;
        c->calls = call;
        c->call_count++;
}

static void list_remove(struct rpc_client *c, struct rpc_call *call)
{
        *call->prev = call->next;
        if (call->next)
                call->next->prev = call->prev;
        c->call_count--;
}

/* nng's threads: the request is sent, so the receive starts here; or it all ended. The lock decides between a receive
 * that starts and a stop that comes in between: either this sees stop_rv, or the abort finds the receive. */
static void on_aio(void *arg)
{
        struct rpc_call *call = arg;
        struct rpc_client *c = call->client;
        int rv = nng_aio_result(call->aio);
        if (call->sending && rv != 0) {
                nng_msg_free(nng_aio_get_msg(call->aio));
                nng_aio_set_msg(call->aio, NULL);
        }
        pthread_mutex_lock(&c->lock);
        if (call->sending && rv == 0 && call->stop_rv == 0) {
                int64_t left_ms = (call->deadline_us - clock_mono_us()) / US_PER_MS;
                call->sending = false;
                nng_aio_set_timeout(call->aio, left_ms > 1 ? (nng_duration)left_ms : 1);
                nng_ctx_recv(call->ctx, call->aio);
                pthread_mutex_unlock(&c->lock);
                return;
        }
        call->posted = true;
        call->back_us = clock_wall_us();
        call->err = err_from_nng(rv == 0 && call->sending ? call->stop_rv : rv);
        pthread_mutex_unlock(&c->lock);
        mailbox_post(&c->mailbox, &call->mail);
}

static void stop_call(struct rpc_call *call, int rv)
{
        if (!call->aio)
                return;
        pthread_mutex_lock(&call->client->lock);
        bool stopped = call->stop_rv != 0;
        call->stop_rv = stopped ? call->stop_rv : rv;
        pthread_mutex_unlock(&call->client->lock);
        if (!stopped)
                nng_aio_abort(call->aio, rv);
}

static nng_msg *take_reply(struct rpc_call *call)
{
        if (!call->aio || call->sending || call->err != 0)
                return NULL;
        nng_msg *reply = nng_aio_get_msg(call->aio);
        nng_aio_set_msg(call->aio, NULL);
        return reply;
}

static void recycle(struct rpc_client *c, struct rpc_call *call)
{
        list_remove(c, call);
        if (!call->aio) {
                free(call);
                return;
        }
        call->next = c->idle;
        c->idle = call;
}

/* What MSG_REFUSED means to the caller. A server that is full is as live as before. */
static int judge_refusal(struct rpc_client *c, struct reader *r)
{
        struct refused m;
        if (refused_decode(r, &m) != 0) {
                rpc_client_drop(c, "malformed REFUSED");
                return ERR_PROTO;
        }
        if (m.status == ERR_FULL)
                return ERR_FULL;
        note_refused(c, m.text);
        return ERR_CLOSED;
}

static void deliver_call(struct mail *mail)
{
        struct rpc_call *call = (struct rpc_call *)mail;
        struct rpc_client *c = call->client;
        nng_msg *reply = take_reply(call);
        rpc_done *done = call->done;
        void *arg = call->arg;
        int err = call->err;
        c->left_us = call->left_us;
        c->left_wall_us = call->left_wall_us;
        c->back_us = call->back_us;
        recycle(c, call);

        if (c->closing && err == 0)
                err = ERR_CANCELED;
        if (reply && err == 0) {
                struct reader r;
                uint8_t type = message_open(&r, reply);
                if (type == 0) {
                        err = ERR_PROTO;
                        rpc_client_drop(c, "empty answer");
                } else if (type == MSG_REFUSED) {
                        err = judge_refusal(c, &r);
                }
        }
        if (reply && err != 0) {
                nng_msg_free(reply);
                reply = NULL;
        }
        done(arg, err, reply);
}

static struct rpc_call *new_call(struct rpc_client *c)
{
        struct rpc_call *call = mem_alloc(sizeof(*call));
        call->client = c;
        call->mail.deliver = deliver_call;
        return call;
}

/* A call with a context, or NULL. */
static struct rpc_call *ready_call(struct rpc_client *c)
{
        struct rpc_call *call = c->idle;
        if (call) {
                c->idle = call->next;
                return call;
        }
        call = new_call(c);
        if (nng_aio_alloc(&call->aio, on_aio, call) != 0) {
                free(call);
                return NULL;
        }
        if (nng_ctx_open(&call->ctx, c->socket) != 0) {
                nng_aio_free(call->aio);
                free(call);
                return NULL;
        }
        return call;
}

static struct rpc_call *fail_call(struct rpc_client *c, int err, rpc_done *done, void *arg)
{
        struct rpc_call *call = new_call(c);
        call->err = err;
        call->done = done;
        call->arg = arg;
        call->posted = true;
        list_add(c, call);
        mailbox_post(&c->mailbox, &call->mail);
        return call;
}

static struct rpc_call *start_call(struct rpc_client *c, nng_msg *request, unsigned timeout_ms, rpc_done *done, void *arg)
{
        struct rpc_call *call = ready_call(c);
        if (!call) {
                nng_msg_free(request);
                return fail_call(c, ERR_FULL, done, arg);
        }
        if (timeout_ms == 0 || timeout_ms > INT32_MAX)
                timeout_ms = timeout_ms ? INT32_MAX : 1;
        call->done = done;
        call->arg = arg;
        call->err = 0;
        call->stop_rv = 0;
        call->posted = false;
        call->sending = true;
        call->left_us = clock_mono_us();
        call->left_wall_us = clock_wall_us();
        call->deadline_us = call->left_us + timeout_ms * US_PER_MS;
        list_add(c, call);
        nng_aio_set_msg(call->aio, request);
        nng_aio_set_timeout(call->aio, (nng_duration)timeout_ms);
        nng_ctx_send(call->ctx, call->aio);
        return call;
}

struct rpc_call *rpc_call(struct rpc_client *c, nng_msg *request, unsigned timeout_ms, rpc_done *done, void *arg)
{
        int err = c->closing || !c->pipe || !c->greeted ? ERR_CLOSED : c->call_count >= CALLS_MAX ? ERR_FULL : 0;
        if (err == 0)
                return start_call(c, request, timeout_ms, done, arg);
        nng_msg_free(request);
        return fail_call(c, err, done, arg);
}

struct rpc_call *rpc_call_far(struct rpc_client *c, nng_msg *request, unsigned near_ms, rpc_done *done, void *arg)
{
        int64_t more_ms = RPC_FAR_ROUNDS * distance_us(&c->distance) / US_PER_MS;
        return rpc_call(c, request, near_ms + (unsigned)(more_ms < RPC_FAR_MOST_MS ? more_ms : RPC_FAR_MOST_MS), done, arg);
}

void rpc_cancel(struct rpc_call *call)
{
        stop_call(call, NNG_ECANCELED);
}

/* ---- messages that want no answer ------------------------------------------------------------------------------- */

static void on_told(void *arg) /* nng's threads */
{
        struct teller *t = magic_check(arg, TELLER_MAGIC);
        if (nng_aio_result(t->aio) != 0) {
                nng_msg_free(nng_aio_get_msg(t->aio));
                nng_aio_set_msg(t->aio, NULL);
        }
        atomic_store(&t->busy, false);
}

static bool teller_open(struct teller *t, nng_socket socket)
{
        if (t->aio)
                return true;
        t->magic = TELLER_MAGIC;
        if (nng_aio_alloc(&t->aio, on_told, t) != 0)
                return false;
        if (nng_ctx_open(&t->ctx, socket) == 0)
                return true;
        nng_aio_free(t->aio);
        t->aio = NULL;
        return false;
}

bool rpc_tell(struct rpc_client *c, nng_msg *msg)
{
        struct teller *t = c->tellers, *end = t + RPC_TELLS_MAX;
        if (c->closing || !c->pipe || !c->greeted)
                return false;
        while (t < end && atomic_load(&t->busy))
                t++;
        if (t == end || !teller_open(t, c->socket))
                return false;
        atomic_store(&t->busy, true);
        nng_aio_set_msg(t->aio, msg);
        nng_aio_set_timeout(t->aio, RPC_DEAD_MS);
        nng_ctx_send(t->ctx, t->aio);
        return true;
}

/* What is not sent yet would go to whoever answers the next connection. */
static void end_tells(struct rpc_client *c, int rv)
{
        for (unsigned i = 0; i < RPC_TELLS_MAX; i++) {
                if (c->tellers[i].aio && atomic_load(&c->tellers[i].busy))
                        nng_aio_abort(c->tellers[i].aio, rv);
        }
}

static void free_tellers(struct rpc_client *c)
{
        for (unsigned i = 0; i < RPC_TELLS_MAX; i++) {
                if (c->tellers[i].aio)
                        nng_aio_free(c->tellers[i].aio);
                c->tellers[i].aio = NULL;
        }
}

/* ---- HELLO ------------------------------------------------------------------------------------------------------ */

static void send_hello(struct rpc_client *c);

static void hello_accepted(struct rpc_client *c, const struct hello *m)
{
        struct peer_info info = {
                .state = m->draining ? PEER_DRAINING : PEER_LIVE,
                .role = (enum node_role)m->role,
                .incarnation_us = m->incarnation_us,
                .can = m->can,
                .load_permille = m->load_permille,
        };
        memcpy(info.id, m->id, sizeof(info.id));
        memcpy(info.zone, m->zone, sizeof(info.zone));
        if (c->info.incarnation_us != m->incarnation_us)
                c->clock = (struct peer_clock){0};
        peer_clock_take(&c->clock, &(struct peer_clock_times){.left_us = c->left_wall_us, .back_us = c->back_us, .came_us = m->came_us,
                                                              .answered_us = m->sent_us});
        c->answered_us = clock_mono_us();
        if (!c->greeted)
                rpc_gate_known(c->gate, c->pipe, RPC_MESSAGE_MAX_BYTES);
        c->greeted = true;
        c->refused = false;
        set_info(c, &info);
}

/* Once a connection. Without a token of our own there is nothing to prove with: the refusal that follows says so. */
static void answer_challenge(struct rpc_client *c, struct reader *r)
{
        struct challenge m;
        if (challenge_decode(r, &m) != 0 || c->challenged) {
                rpc_client_drop(c, "malformed or second CHALLENGE");
                return;
        }
        memcpy(c->bond.answers, m.nonce, sizeof(m.nonce));
        c->challenged = true;
        send_hello(c);
}

static void hello_answered(struct rpc_client *c, nng_msg *reply)
{
        struct reader r;
        struct hello m;
        char text[96];
        uint8_t type = message_open(&r, reply);
        if (type == MSG_CHALLENGE) {
                answer_challenge(c, &r);
        } else if (type != MSG_HELLO_REPLY || hello_decode(&r, &m) != 0) {
                rpc_client_drop(c, "malformed answer to HELLO");
        } else if (m.version != PROTO_VERSION) {
                snprintf(text, sizeof(text), "it speaks protocol version %u, we speak %d", m.version, PROTO_VERSION);
                note_refused(c, text);
        } else if (!hello_proof_ok(&m, c->self->cluster_token, HELLO_ANSWERS, &c->bond)) {
                note_refused(c, "its HELLO does not prove knowledge of the cluster_token");
        } else if (c->self->certs && !cluster_name_fits(&c->shown, (enum node_role)m.role, m.id)) {
                snprintf(text, sizeof(text), "it says it is %s %.20s, its certificate is for %s %.20s",
                         node_role_name((enum node_role)m.role), m.id, node_role_name(c->shown.role),
                         *c->shown.id ? c->shown.id : "*");
                note_refused(c, text);
        } else {
                hello_accepted(c, &m);
        }
}

/* A failure needs no judgement here: a lost connection is told by its notice, silence is noticed by the tick. What came by
 * a connection that was replaced since says nothing of this one. */
static void hello_done(void *arg, int err, nng_msg *reply)
{
        struct rpc_client *c = magic_check(arg, CLIENT_MAGIC);
        c->hello = NULL;
        if (err == 0)
                c->rtt_us = clock_mono_us() - c->left_us;
        if (err == 0)
                distance_take(&c->distance, c->address, c->info.id, c->rtt_us);
        if (err == 0 && c->pipe && (uint32_t)nng_pipe_id(nng_msg_get_pipe(reply)) == c->pipe)
                hello_answered(c, reply);
        if (reply)
                nng_msg_free(reply);
}

static void send_hello(struct rpc_client *c)
{
        struct hello m;
        hello_fill(&m, c->self, HELLO_ASKS, &c->bond, 0);
        c->hello = start_call(c, message_new(MSG_HELLO, hello_encode, &m), RPC_DEAD_MS, hello_done, c);
}

static void on_tick(uv_timer_t *timer)
{
        struct rpc_client *c = magic_check(timer->data, CLIENT_MAGIC);
        int64_t now = clock_mono_us();
        if (now - c->ticked_us > 2 * RPC_HELLO_MS * US_PER_MS)
                c->answered_us = now; /* it is we who stood still: nobody else is to be judged by that */
        c->ticked_us = now;
        rpc_gate_sweep(c->gate);

        int64_t silent_ms = (now - c->answered_us) / US_PER_MS;
        if (c->pipe && silent_ms >= DROP_MS) {
                log_info("peer=%s msg=\"silent, dialing anew\"", c->address);
                rpc_gate_end(c->gate, c->pipe);
        } else if (c->pipe && !c->hello) {
                send_hello(c);
        }
        bool silent = silent_ms >= RPC_DEAD_MS - RPC_HELLO_MS / 2; /* at the nearest tick */
        bool absent = !c->pipe && now - c->opened_us >= RPC_HELLO_MS * US_PER_MS;
        if ((c->pipe && silent) || absent)
                set_dead(c);
}

/* ---- connections ------------------------------------------------------------------------------------------------ */

static void connection_up(struct rpc_client *c, const struct notice *n)
{
        c->pipe = n->pipe;
        c->greeted = false;
        c->challenged = false;
        memset(&c->bond, 0, sizeof(c->bond));
        hello_nonce(c->bond.asks);
        c->shown = n->peer.name;
        memcpy(c->bond.tls, n->peer.bond, sizeof(c->bond.tls));
        c->answered_us = clock_mono_us();
        /* One that was meant for the connection before ends with it; the first on this one must not wait for that. */
        send_hello(c);
}

static void connection_down(struct rpc_client *c, uint32_t pipe)
{
        if (pipe != c->pipe)
                return;
        c->pipe = 0;
        c->greeted = false;
        distance_forget(&c->distance);
        /* nng ended those that were sent; those still queued would wait for the next connection. */
        for (struct rpc_call *call = c->calls; call; call = call->next)
                stop_call(call, NNG_ECONNRESET);
        end_tells(c, NNG_ECONNRESET);
        set_dead(c);
}

static void deliver_notice(struct mail *mail)
{
        struct notice *n = (struct notice *)mail;
        struct rpc_client *c = n->client;
        if (!c->closing && n->up)
                connection_up(c, n);
        else if (!c->closing)
                connection_down(c, n->pipe);
        free(n);
}

static bool on_connection(void *owner, nng_pipe pipe, bool up) /* nng's threads */
{
        struct rpc_client *c = magic_check(owner, CLIENT_MAGIC);
        struct notice *n = mem_alloc(sizeof(*n));
        *n = (struct notice){.mail.deliver = deliver_notice, .client = c, .pipe = (uint32_t)nng_pipe_id(pipe), .up = up};
        bool good = !up || !c->self->certs || rpc_tls_peer(pipe, &n->peer);
        mailbox_post(&c->mailbox, &n->mail);
        return good;
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static int open_tls(struct rpc_client *c)
{
        nng_tls_config *tls;
        int rv = rpc_tls_config(&tls, NNG_TLS_MODE_CLIENT, c->self->certs, c->address);
        if (rv != 0)
                return rv;
        rv = nng_dialer_set_ptr(c->dialer, NNG_OPT_TLS_CONFIG, tls);
        nng_tls_config_free(tls);
        return rv;
}

static int open_socket(struct rpc_client *c)
{
        char url[80];
        int rv = nng_req0_open(&c->socket);
        if (rv == 0)
                rv = rpc_gate_open(&c->gate, c->socket, c->self->certs ? GATE_TLS : 0, on_connection, c);
        if (rv != 0)
                return rv;
        snprintf(url, sizeof(url), "%s://%s", c->self->certs ? "tls+tcp" : "tcp", c->address);
        if ((rv = nng_socket_set_ms(c->socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE)) != 0 ||
            (rv = nng_socket_set_size(c->socket, NNG_OPT_RECVMAXSZ, RPC_MESSAGE_MAX_BYTES)) != 0 ||
            (rv = nng_dialer_create(&c->dialer, c->socket, url)) != 0 ||
            (c->self->certs && (rv = open_tls(c)) != 0) ||
            (rv = nng_dialer_set_ms(c->dialer, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS)) != 0 ||
            (rv = nng_dialer_set_ms(c->dialer, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS)) != 0)
                return rv;
        return nng_dialer_start(c->dialer, NNG_FLAG_NONBLOCK);
}

int rpc_client_open(struct rpc_client **out, uv_loop_t *loop, const char *address, const struct node_identity *self,
                    rpc_state_changed *changed, void *arg)
{
        struct rpc_client *c = mem_alloc(sizeof(*c));
        c->magic = CLIENT_MAGIC;
        *out = NULL;
        snprintf(c->address, sizeof(c->address), "%s", address);
        c->self = self;
        c->changed = changed;
        c->arg = arg;
        c->opened_us = c->answered_us = c->ticked_us = clock_mono_us();
        c->open_handles = 2;
        pthread_mutex_init(&c->lock, NULL);
        rpc_fault_register();
        distance_register();
        mailbox_open(&c->mailbox, loop); /* before anything can be posted */
        uv_timer_init(loop, &c->tick);
        c->tick.data = c;
        int rv = open_socket(c);
        if (rv != 0) {
                rpc_client_close(c);
                return err_from_nng(rv);
        }
        uv_timer_start(&c->tick, on_tick, RPC_HELLO_MS, RPC_HELLO_MS);
        *out = c;
        return 0;
}

static void handle_closed(struct rpc_client *c)
{
        if (--c->open_handles > 0)
                return;
        pthread_mutex_destroy(&c->lock);
        c->magic = 0;
        free(c);
}

static void mailbox_closed(struct mailbox *mb)
{
        handle_closed((void *)((char *)mb - offsetof(struct rpc_client, mailbox)));
}

static void tick_closed(uv_handle_t *handle)
{
        handle_closed(magic_check(handle->data, CLIENT_MAGIC));
}

/* After this no callback of nng runs, and every call under way lies in the mailbox. */
static void silence(struct rpc_client *c)
{
        for (struct rpc_call *call = c->calls; call; call = call->next)
                stop_call(call, NNG_ECANCELED);
        for (struct rpc_call *call = c->calls; call; call = call->next) {
                if (call->aio)
                        nng_aio_stop(call->aio);
        }
        for (unsigned i = 0; i < RPC_TELLS_MAX; i++) {
                if (c->tellers[i].aio)
                        nng_aio_stop(c->tellers[i].aio);
        }
        if (c->gate) {
                /* no dialing anew for the connections that end now */
                nng_dialer_set_ms(c->dialer, NNG_OPT_RECONNMAXT, NEVER_MS);
                nng_dialer_set_ms(c->dialer, NNG_OPT_RECONNMINT, NEVER_MS);
                rpc_gate_close(c->gate);
        }
        for (struct rpc_call *call = c->calls; call; call = call->next) {
                if (!call->posted) { /* stopped between its send and its receive: no callback came */
                        call->posted = true;
                        call->err = ERR_CANCELED;
                        mailbox_post(&c->mailbox, &call->mail);
                }
        }
}

void rpc_client_close(struct rpc_client *c)
{
        assert(!c->closing);
        c->closing = true;
        c->info.state = PEER_DEAD;
        distance_forget(&c->distance);
        silence(c);
        mailbox_close_then(&c->mailbox, mailbox_closed);
        assert(!c->calls);
        free_tellers(c);
        while (c->idle) {
                struct rpc_call *call = c->idle;
                c->idle = call->next;
                nng_aio_free(call->aio);
                free(call);
        }
        uv_close((uv_handle_t *)&c->tick, tick_closed);
}
