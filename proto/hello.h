/* hello.h - who is there: first on every connection, then every RPC_HELLO_MS. Said and answered by common/cluster/rpc_*.c on every
 * nng socket.
 *
 * Where the cluster has a token both sides prove that they know it, each time and for this connection alone:
 *
 *   asks     HELLO        who it is, its nonce, a proof that is worth nothing yet
 *   answers  CHALLENGE    its nonce; nothing else is told to one who has proved nothing
 *   asks     HELLO        the same with the proof over both nonces
 *   answers  HELLO_REPLY  who it is, with its own proof
 *
 * From then on HELLO and HELLO_REPLY go alone. A proof is HMAC-SHA256 with the token over: which side says it, both nonces,
 * the bond of the TLS connection, and every other field of the message. So a recorded HELLO opens nothing on another
 * connection, and one side's proof is not the other side's. On plain TCP somebody who sits in the middle can still pass both
 * sides' messages on; with TLS the bond (struct hello_bond) differs between the two halves of such a connection.
 * Both carry the time, from which common/cluster/peer_clock.h tells how far two clocks differ.
 * Without a token proofs are zeros, HELLO is answered at once, and who is there is what the certificate says, or nothing. */
#ifndef PROTO_HELLO_H
#define PROTO_HELLO_H

#include "common/cluster/rpc.h"
#include "proto/message.h"

#define NONCE_BYTES 16
#define PROOF_BYTES 32
#define BOND_BYTES 32

struct hello { /* both directions */
        uint16_t version;
        uint8_t role; /* enum node_role */
        char id[NODE_ID_MAX + 1];
        int64_t incarnation_us;
        /* What it can that not every node of this version can: enum node_can. On the wire it is the upper half of what was the load
         * alone: to a node that does not know of it that is a large load, which nobody goes by; and such a node says 0. */
        uint16_t can;
        uint16_t load_permille;
        uint8_t draining;
        char zone[ZONE_MAX + 1]; /* "" : none */
        int64_t came_us, sent_us; /* by the wall clock of who says it: when the HELLO that this answers came (0: none), when this left */
        uint8_t nonce[NONCE_BYTES]; /* of who says it */
        uint8_t proof[PROOF_BYTES];
};
void hello_encode(struct writer *w, const void *message);
int hello_decode(struct reader *r, struct hello *m);

struct challenge { /* instead of HELLO_REPLY: say it again, with a proof over this nonce */
        uint8_t nonce[NONCE_BYTES];
};
void challenge_encode(struct writer *w, const void *message);
int challenge_decode(struct reader *r, struct challenge *m);

struct refused {
        int8_t status; /* ERR_* */
        char text[128];
};
void refused_encode(struct writer *w, const void *message);
int refused_decode(struct reader *r, struct refused *m);

/* What ties a proof to its connection. */
enum hello_side { HELLO_ASKS = 'a', HELLO_ANSWERS = 'r' };
struct hello_bond {
        uint8_t asks[NONCE_BYTES], answers[NONCE_BYTES];
        uint8_t tls[BOND_BYTES]; /* keying material both ends of the TLS connection export (RFC 5705); zeros without TLS */
};
void hello_nonce(uint8_t nonce[NONCE_BYTES]);

/* Nonce, proof and sending time included. came_us: by our wall clock, of an answer; 0 otherwise. */
void hello_fill(struct hello *m, const struct node_identity *self, enum hello_side side, const struct hello_bond *bond, int64_t came_us);
/* 1 or 0; 1 without a token. Takes the same time wherever the proof differs. */
int hello_proof_ok(const struct hello *m, const char *cluster_token, enum hello_side side, const struct hello_bond *bond);

#endif
