/* rpc_gate.h - the connections of one nng socket, and its end. For common/cluster/rpc_*.c.
 *
 * nng 1.5 has one thread that takes down lost connections, for the whole process, and that thread waits for ever when a
 * connection is closed from this side (nng_pipe_close, nng_close) just between two reads of a message that is arriving.
 * After that no connection of the process is ever taken down or dialed again. So connections are ended from below: the
 * gate holds a descriptor of each one's TCP socket and shuts that down, upon which nng reads an end of file, as if the
 * other side had closed, and that way is safe. The socket itself is closed when its connections are gone, by a thread
 * whose end is awaited only for a bounded time. With tls+tcp it is the same: the addresses nng tells are those of the TCP
 * connection below, nng's TLS reads an end of file there, and ends what waits for it.
 *
 * An end that comes from the other side can meet that moment all the same; nng_fix.h cures that. Should it still happen, then
 * rpc_gate_sweep() notices it, by connections that have ended and are there after STUCK_MS, and ends the process: it could do
 * nothing any more, and is started again by whoever supervises it.
 *
 * A gate sees a connection from the moment nng accepts it, by nng_tcp.h, and refuses it there when the address, or all together,
 * have too many. Until rpc_gate_known() it is a stranger's. Strangers get little time (STRANGER_MS, for the handshake of TLS, nng's
 * and HELLO), few bytes (STRANGER_BYTES_MAX) and few and small messages: the length of each is looked at before nng allocates it,
 * and answers to so few of them find room in the socket, so none that is not read waits with a context. There are at most
 * STRANGERS_MAX of them, STRANGERS_ADDRESS_MAX of one address: one more ends the oldest of that address, or of the one that has
 * most, so that those who do know the secret get in between, and keep all the other connections that RPC_CONNECTIONS_MAX allows.
 * With TLS, how many handshakes begin to be answered is bounded too, for an address and for all (rpc_handshakes.h).
 * Once known, a connection may send messages as long as rpc_gate_known() says, and all together as many bytes as RPC_UNDER_WAY_MAX
 * before they are with us: who is beyond makes the message that is under way for longest go (under_way.h).
 *
 * Nothing here grows with the number of connections, but for the look at whether nng works, once a second.
 *
 *   rpc_gate_open   before the socket dials or listens
 *   rpc_gate_listen once, where it listens: instead of nng_listener_start()
 *   event()         nng's threads: a connection came (before anything can be received from it) or is gone
 *   rpc_gate_known  any thread: this one has shown who it is
 *   rpc_gate_sweep  any thread, every GATE_SWEEP_MS or so: ends strangers that had their time; looks whether nng works
 *   rpc_gate_end    any thread: ends one connection
 *   rpc_gate_close  no event() after that, and nobody is let in; closes the socket; frees the gate. Its aios are stopped before. */
#ifndef COMMON_CLUSTER_RPC_GATE_H
#define COMMON_CLUSTER_RPC_GATE_H

#include <nng/nng.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define RPC_CONNECTIONS_MAX 4096
#define RPC_ADDRESS_CONNECTIONS_MAX 1024
#define RPC_UNDER_WAY_MAX (256u << 20)
#define STRANGERS_MAX 256
#define STRANGERS_ADDRESS_MAX 64
#define STRANGER_MS 5000
#define STRANGER_BYTES_MAX (64u << 10) /* the handshake of TLS is among them */
#define STRANGER_MESSAGE_MAX (4u << 10)
#define STRANGER_MESSAGES_MAX 64 /* a HELLO each RPC_HELLO_MS, and some */
#define UNREAD_MS 10000 /* a node that takes nothing of an answer for so long has its connection ended, by the kernel */
#define DIAL_MS 3000 /* until a connection that is dialed is there: then another one is tried, for the kernel's next try may be far off */
#define GATE_SWEEP_MS 100
#define STUCK_MS 15000

struct rpc_gate;
struct rpc_handshake_limits;
enum rpc_gate_kind { GATE_LISTENS = 1, GATE_TLS = 2 }; /* to be ored */

/* No lock is held that calls of this header take. Returns false to have the new connection closed. */
typedef bool rpc_gate_event(void *owner, nng_pipe pipe, bool up);

int rpc_gate_open(struct rpc_gate **out, nng_socket socket, unsigned kind, rpc_gate_event *event, void *owner); /* nng's error code */
int rpc_gate_listen(struct rpc_gate *g, nng_listener listener);                                                 /* likewise */
void rpc_gate_limit_handshakes(const struct rpc_handshake_limits *limits); /* of gates that are opened from now on; for tests */
void rpc_gate_known(struct rpc_gate *g, uint32_t pipe, size_t message_max_bytes);
void rpc_gate_sweep(struct rpc_gate *g);
void rpc_gate_end(struct rpc_gate *g, uint32_t pipe);
void rpc_gate_close(struct rpc_gate *g);

/* For nng_tcp.c: what nng is about to do, or has done, with a socket. */
bool rpc_gate_watches(int fd); /* it is a connection that a gate knows */
void rpc_gate_dials(int fd);
void rpc_gate_listens(int fd);
bool rpc_gate_comes(int listening, int fd); /* accepted; false: to be closed */
void rpc_gate_reads(int fd);
bool rpc_gate_has_read(int fd, const struct iovec *iov, int count, size_t n); /* 0 bytes: the other side's end. False: to be ended */
void rpc_gate_closing(int fd);

/* For rpc_tls.c. The first bytes of a handshake have come; false: it is one too many, and must not be answered. */
bool rpc_gate_shakes(int fd);
/* nng wants to read from under TLS; and what it has read there, or false: it is to be ended. */
void rpc_gate_wants(int fd);
bool rpc_gate_hears(int fd, const uint8_t *data, size_t n);

#endif
