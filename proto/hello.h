/* hello.h - who is there. Answered on every nng socket by common/rpc.c; first on every connection, then every 500 ms. */
#ifndef PROTO_HELLO_H
#define PROTO_HELLO_H

#include "common/rpc.h"
#include "proto/message.h"

#define PROOF_BYTES 32 /* HMAC-SHA256(cluster token, "freshet hello" | role | id | incarnation); zeros without a token */

struct hello { /* both directions */
        uint16_t version;
        uint8_t role; /* enum node_role */
        char id[NODE_ID_MAX + 1];
        int64_t incarnation_us;
        uint32_t load_permille;
        uint8_t draining;
        uint8_t proof[PROOF_BYTES];
};
void hello_encode(struct writer *w, const void *message);
int hello_decode(struct reader *r, struct hello *m);

struct refused {
        int8_t status; /* ERR_* */
        char text[128];
};
void refused_encode(struct writer *w, const void *message);
int refused_decode(struct reader *r, struct refused *m);

void hello_fill(struct hello *m, const struct node_identity *self);      /* proof included */
int hello_proof_ok(const struct hello *m, const char *cluster_token);    /* 1 or 0; 1 without a token */

#endif
