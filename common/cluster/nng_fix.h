/* nng_fix.h - two bugs of nng 1.5 cured from outside. For common/cluster/rpc_gate.c.
 *
 * nng's transports send and receive a message in pieces: after each, they call nng_stream_send() or nng_stream_recv() for the
 * rest. When the pipe was closed just before that call, it does nothing and tells nobody: the message is never done, and the one
 * thread that takes down pipes, of the whole process, waits for it for ever. That moment is short for large pieces on an idle
 * machine, and is met all the time by many small ones on a busy machine, or by TLS, whose messages always have pieces.
 *
 * nng is a shared library, and calls these two functions of its own like anybody else's: through the symbol. So this program
 * has functions of the same names, which nng then calls; they call nng's, and if that did nothing they end the operation with
 * NNG_ECLOSED, as nng's later versions do. Where the symbols are bound otherwise (a libnng linked statically) nothing changes,
 * and rpc_gate.h's watch is what is left.
 *
 * The other one: nng calls EPIPE NNG_ECLOSED, and takes NNG_ECLOSED of a connection that is being negotiated for the end of its
 * own listener or dialer: that never accepts or dials again. Whoever can reach the port did that with one connection, by FIN and
 * RST right after connecting. What nng sends goes by this program's sendmsg(), which says ECONNRESET instead, after which nng
 * goes on at once. Any thread. */
#ifndef COMMON_CLUSTER_NNG_FIX_H
#define COMMON_CLUSTER_NNG_FIX_H

/* Links this file in. How many operations were ended here so far. */
unsigned nng_fix_count(void);

#endif
