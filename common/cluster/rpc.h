/* rpc.h - request and reply over nng, for one libuv loop.
 *
 * Server: one REP socket with a fixed number of contexts, which bounds the requests that wait for an answer (a FETCH may
 * wait for seconds). Client: one REQ socket to one address, contexts made as needed up to a bound; resending is off, so
 * that retries are the caller's decision. All callbacks run on the loop thread; nng's own threads only fill the mailbox.
 *
 * Opening order on an nng connection: the first request is HELLO (proto/hello.h). The client sends it itself each time a
 * connection comes up and then every RPC_HELLO_MS. Where the cluster has a token or certificates the server refuses anything
 * else before a HELLO that is accepted, and with certificates connections are TLS, each side shows one, and HELLO's role and
 * id are held against it. Each request is held against proto/may.h before the handler sees it. A message that does not
 * decode is answered by closing its connection: rpc_drop().
 *
 * server:  rpc_server_open → handler(req) … rpc_reply(req), rpc_pass(req) or rpc_drop(req), each once, any time later → rpc_server_close
 * client:  rpc_client_open → rpc_call … done() exactly once per call → rpc_client_close */
#ifndef COMMON_CLUSTER_RPC_H
#define COMMON_CLUSTER_RPC_H

#include <nng/nng.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/bytes.h"
#include "common/cluster/peer_clock.h"

#define RPC_MESSAGE_MAX_BYTES (16u << 20) /* NNG_OPT_RECVMAXSZ on every socket */
#define RPC_HELD_BYTES_MAX (512u << 20)   /* of the requests that came whole and are not answered yet, of one server */
#define RPC_ANSWER_BYTES_MAX (512u << 20) /* of the answers that wait for those of the same connection before them */
#define RPC_HELLO_MS 500
#define RPC_DEAD_MS 2000

/* Who we are; filled by daemon.c before any socket opens. load and draining may change at any time (loop thread). */
enum node_role { ROLE_INGESTD = 1, ROLE_TRANSCODERD, ROLE_ORIGIND, ROLE_EDGED };
/* What some builds of one version of the protocol know and others do not. */
enum node_can {
        CAN_BE_TOLD = 1,    /* transcoderd: MEDIA that wants no answer */
        CAN_SHORT_GRID = 2, /* transcoderd and originD: sessions with chunks of CHUNK_MS_SHORT (proto/store.h) */
        CAN_LONG_PARTS = 4, /* originD: parts of 600 ms in playlists (originD/playlist.h) */
};
struct node_identity {
        char id[64];
        int64_t incarnation_us; /* wall clock at start */
        enum node_role role;
        uint16_t can; /* enum node_can; set before any socket opens */
        uint32_t load_permille;
        bool draining; /* others are to be asked first: it leaves, or cannot be of use now */
        const char *cluster_token; /* "" : none */
        char zone[32];              /* "" : none */
        struct cluster_certs *certs; /* common/cluster/cluster_certs.h; NULL: plain TCP */
};
const char *node_role_name(enum node_role role); /* "ingestd" … ; "unknown" */

struct rpc_server;
struct rpc_request {
        struct reader body;   /* the message after its type byte; valid until reply or drop */
        uint8_t type;         /* enum message_type of proto/message.h */
        nng_msg *msg;         /* the whole message; a handler may take it (set to NULL) to keep its bytes with buf_wrap */
        uint32_t connection;  /* which one it came by: a number no other has as long as it lasts */
        void *impl;
};
typedef void rpc_handler(void *arg, struct rpc_request *req);

/* What is kept of all requests and answers together: for tests, of servers that are opened from now on. */
struct rpc_server_limits {
        size_t held_bytes, answer_bytes;
};
void rpc_server_limit(const struct rpc_server_limits *limits);

/* Listens on tcp://bind:port. HELLO is answered here and never reaches handler. At most `contexts` requests are with the handler, and
 * RPC_HELD_BYTES_MAX of bytes with us; what comes on top is refused with ERR_FULL, so that HELLO is always answered. Answers that are not
 * read wait REPLY_TIMEOUT_MS at most; when they are RPC_ANSWER_BYTES_MAX together, the connection ends whose answer waits for longest.
 * ERR_IO and so on from nng (address in use …), logged by the caller. */
int rpc_server_open(struct rpc_server **out, uv_loop_t *loop, const char *bind, int port, unsigned contexts,
                    const struct node_identity *self, rpc_handler *handler, void *arg);
int rpc_server_port(const struct rpc_server *s);         /* the one it listens on, for port 0 */
void rpc_reply(struct rpc_request *req, nng_msg *reply); /* takes reply */
void rpc_drop(struct rpc_request *req, const char *why); /* logs why, counts, closes the peer's connection */
void rpc_pass(struct rpc_request *req); /* it was told, and no answer is waited for: rpc_tell() */
/* Whether the node has a connection here on which it said a good HELLO; and to be told when its last one has ended (not
 * by rpc_server_close). */
bool rpc_server_has(const struct rpc_server *s, const char *node_id);
/* Who asks, as its HELLO says; "" before that. Valid as long as the request. */
const char *rpc_asker(const struct rpc_request *req);
bool rpc_asker_can(const struct rpc_request *req, enum node_can what); /* likewise: as its HELLO says */
typedef void rpc_gone(void *arg, const char *node_id);
void rpc_server_watch(struct rpc_server *s, rpc_gone *gone, void *arg);
/* Unanswered requests are dropped without a callback; no handler is called any more. Blocks until nng is done with them,
 * at most about 2 s (rpc_gate.h). Memory goes once the loop has run its close callbacks. */
void rpc_server_close(struct rpc_server *s);

struct rpc_client;
struct rpc_call;

/* What the client learned of the other side; told whenever something changed. */
enum peer_state { PEER_CONNECTING, PEER_LIVE, PEER_DRAINING, PEER_DEAD };
const char *peer_state_name(enum peer_state state);
struct peer_info {
        enum peer_state state;
        enum node_role role;
        char id[64];
        int64_t incarnation_us;
        uint16_t can;
        uint32_t load_permille;
        char zone[32];
};
typedef void rpc_state_changed(void *arg, const struct peer_info *info);

/* Dials address ("127.0.0.1:9301", numeric) for ever, 50 to 1000 ms between attempts. changed may be NULL. */
int rpc_client_open(struct rpc_client **out, uv_loop_t *loop, const char *address, const struct node_identity *self,
                    rpc_state_changed *changed, void *arg);
const struct peer_info *rpc_client_info(const struct rpc_client *c);
int64_t rpc_client_rtt_us(const struct rpc_client *c); /* of the last HELLO that was answered; 0: none was yet */
bool rpc_client_is_far(const struct rpc_client *c);    /* farther than broadcasts are on time over: distance.h */
struct clock_ahead rpc_client_clock(const struct rpc_client *c); /* by its HELLOs: how far the peer's wall clock is ahead of ours */
/* The peer's answer did not decode: logs why, counts, closes the connection, which is then dialed anew. */
void rpc_client_drop(struct rpc_client *c, const char *why);

/* err 0: reply is the whole answer, its first byte the type; the callee owns it and frees it. Otherwise reply is NULL:
 * ERR_TIMEOUT, ERR_CLOSED (connection lost, not there, or HELLO not accepted), ERR_CANCELED, ERR_FULL (too many calls
 * here or requests there), ERR_PROTO (empty). MSG_REFUSED never gets here. Never called from inside rpc_call(). */
typedef void rpc_done(void *arg, int err, nng_msg *reply);
struct rpc_call *rpc_call(struct rpc_client *c, nng_msg *request, unsigned timeout_ms, rpc_done *done, void *arg);
/* As rpc_call(), with a time for a peer that is near: it is longer by RPC_FAR_ROUNDS of the peer's round trips, RPC_FAR_MOST_MS
 * at most. A packet that is lost costs up to three: until that is noticed, it is sent again, and that is lost too. */
#define RPC_FAR_ROUNDS 4
#define RPC_FAR_MOST_MS 2000
struct rpc_call *rpc_call_far(struct rpc_client *c, nng_msg *request, unsigned near_ms, rpc_done *done, void *arg);
/* Sends what wants no answer. Whether it arrives nobody tells: the next call that is answered shows how far the peer has come. What is
 * told leaves in order, and before what is called later; a peer's threads may still hand it over in another one. False: it is not sent,
 * for there is no connection, or RPC_TELLS_MAX are on their way; the message is the caller's then. */
#define RPC_TELLS_MAX 16
bool rpc_tell(struct rpc_client *c, nng_msg *msg);
void rpc_cancel(struct rpc_call *call); /* only before done(); done() still comes, with ERR_CANCELED or its result */
/* Calls under way end with ERR_CANCELED during the call; may be called from any callback of the client itself. */
void rpc_client_close(struct rpc_client *c);

#endif
