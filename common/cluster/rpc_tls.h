/* rpc_tls.h - TLS for nng, by OpenSSL. For common/cluster/rpc_*.c.
 *
 * Debian's nng is built with mbed TLS 2, which has no TLS 1.3; nng lets a program bring an engine of its own
 * (nng/supplemental/tls/engine.h), and this is one. All files, suites and certificates are cluster_certs.h's: the engine takes
 * none from nng's own configuration calls, so that certificates can be replaced without touching nng's objects, which it does
 * not allow while it dials.
 *
 * nng has no option that leads from a pipe to its engine's connection. But it asks the engine for NNG_OPT_TLS_VERIFIED with
 * that very connection, on the caller's thread: rpc_tls_peer() asks, and the engine leaves what it knows.
 *
 * Connections whose handshake is not done are strangers' (rpc_gate.h). What is under TLS is told to the gate, which sees only
 * ciphertext otherwise.
 *
 *   rpc_tls_config()  →  nng_dialer/listener_set_ptr(…, NNG_OPT_TLS_CONFIG, …), nng_tls_config_free()
 *   event() of the gate, connection up  →  rpc_tls_peer() */
#ifndef COMMON_CLUSTER_RPC_TLS_H
#define COMMON_CLUSTER_RPC_TLS_H

#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/cluster/cluster_certs.h"

#define RPC_TLS_BOND_BYTES 32

/* What the other end of a connection has shown. */
struct rpc_tls_peer {
        struct cluster_name name;
        uint8_t bond[RPC_TLS_BOND_BYTES]; /* exported keying material, the same at both ends and nowhere else */
};

/* Holds a reference to certs for as long as nng needs it. label names the other side (a dialed address) or our own (a
 * listening one) in the log. nng's error code. */
int rpc_tls_config(nng_tls_config **out, nng_tls_mode mode, struct cluster_certs *certs, const char *label);

/* False when the pipe is not one of such a configuration, or has not been negotiated. nng's threads or ours. */
bool rpc_tls_peer(nng_pipe pipe, struct rpc_tls_peer *peer);

#endif
