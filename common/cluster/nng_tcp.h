/* nng_tcp.h - what nng does with its TCP sockets, seen from outside. For common/cluster/rpc_gate.c and rpc_tls.c.
 *
 * nng 1.5 accepts whoever comes, allocates whatever length a message says it has, and tells of no connection before it is
 * negotiated; nor does it tell which socket a connection has. But it asks libc for all of it through the symbol, and so this
 * program has functions of the same names (as for nng_fix.h): connect, listen, accept, readv, close and getpeername. They do what libc's
 * do, but a listener's queue is never shorter than DESCRIPTORS_BACKLOG (nng asks for 128), and for sockets that a gate has taken up they
 * ask the gate (rpc_gate_listens() and so on, rpc_gate.h) on the way. For all other descriptors of the process they cost one look
 * into a table. Any thread. */
#ifndef COMMON_CLUSTER_NNG_TCP_H
#define COMMON_CLUSTER_NNG_TCP_H

#include <nng/nng.h>

/* The descriptor that is this connection's own, and nng's to close: valid until rpc_gate_closing() is told of it. -1: nng
 * does not ask through our symbols. */
int nng_tcp_pipe_fd(nng_pipe pipe);
int nng_tcp_stream_fd(nng_stream *stream);

#endif
