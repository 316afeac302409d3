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
 * Where who connects has to show who it is, a connection is a stranger's until rpc_gate_known(). Strangers get little time
 * (STRANGER_MS) and few bytes (STRANGER_BYTES_MAX, looked at ten times a second; nng's own bound on a message holds for the
 * whole socket and cannot be lower for some). There are at most STRANGERS_MAX of them: one more ends the oldest, so that
 * those who do know the secret get in between, and keep all the other connections that RPC_CONNECTIONS_MAX allows.
 *
 *   rpc_gate_open   before the socket dials or listens
 *   event()         nng's threads: a connection came (before anything can be received from it) or is gone
 *   rpc_gate_known  any thread: this one has shown who it is
 *   rpc_gate_sweep  any thread, every GATE_SWEEP_MS or so: ends strangers that had their time or bytes; looks whether nng works
 *   rpc_gate_end    any thread: ends one connection
 *   rpc_gate_close  no event() after that; closes the socket; frees the gate. The socket's aios are stopped before. */
#ifndef COMMON_CLUSTER_RPC_GATE_H
#define COMMON_CLUSTER_RPC_GATE_H

#include <nng/nng.h>
#include <stdbool.h>
#include <stdint.h>

#define RPC_CONNECTIONS_MAX 4096
#define STRANGERS_MAX 256
#define STRANGER_MS 3000
#define STRANGER_BYTES_MAX (64u << 10) /* the handshake of TLS is among them */
#define GATE_SWEEP_MS 100
#define STUCK_MS 15000

struct rpc_gate;

/* The gate's lock is held. Returns false to have the new connection closed. */
typedef bool rpc_gate_event(void *owner, nng_pipe pipe, bool up);

/* Our own descriptor of the TCP socket with these addresses, to be closed by the caller; -1: there is none. Any thread. */
int rpc_gate_find_socket(const nng_sockaddr *local, const nng_sockaddr *remote);

/* strangers: new connections are. nng's error code. */
int rpc_gate_open(struct rpc_gate **out, nng_socket socket, bool strangers, rpc_gate_event *event, void *owner);
void rpc_gate_known(struct rpc_gate *g, uint32_t pipe);
void rpc_gate_sweep(struct rpc_gate *g);
void rpc_gate_end(struct rpc_gate *g, uint32_t pipe);
void rpc_gate_close(struct rpc_gate *g);

#endif
