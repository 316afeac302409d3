/* rpc_gate.h - the connections of one nng socket, and its end. For common/rpc_*.c.
 *
 * nng 1.5 has one thread that takes down lost connections, for the whole process, and that thread waits for ever when a
 * connection is closed from this side (nng_pipe_close, nng_close) just between two reads of a message that is arriving.
 * After that no connection of the process is ever taken down or dialed again. So connections are ended from below: the
 * gate holds a descriptor of each one's TCP socket and shuts that down, upon which nng reads an end of file, as if the
 * other side had closed, and that way is safe. The socket itself is closed when its connections are gone, by a thread
 * whose end is awaited only for a bounded time.
 *
 *   rpc_gate_open   before the socket dials or listens
 *   event()         nng's threads: a connection came (before anything can be received from it) or is gone
 *   rpc_gate_end    any thread: ends one connection
 *   rpc_gate_close  no event() after that; closes the socket; frees the gate. The socket's aios are stopped before. */
#ifndef COMMON_RPC_GATE_H
#define COMMON_RPC_GATE_H

#include <nng/nng.h>
#include <stdbool.h>
#include <stdint.h>

#define RPC_CONNECTIONS_MAX 4096

struct rpc_gate;

/* The gate's lock is held. Returns false to have the new connection closed. */
typedef bool rpc_gate_event(void *owner, nng_pipe pipe, bool up);

int rpc_gate_open(struct rpc_gate **out, nng_socket socket, rpc_gate_event *event, void *owner); /* nng's error code */
void rpc_gate_end(struct rpc_gate *g, uint32_t pipe);
void rpc_gate_close(struct rpc_gate *g);

#endif
