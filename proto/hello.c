#include "proto/hello.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "proto/check.h"

static void write_fields(struct writer *w, const struct hello *m)
{
        writer_u16(w, m->version);
        writer_u8(w, m->role);
        writer_str(w, m->id);
        writer_i64(w, m->incarnation_us);
        writer_u16(w, m->can);
        writer_u16(w, m->load_permille);
        writer_u8(w, m->draining);
        writer_str(w, m->zone);
        writer_i64(w, m->came_us);
        writer_i64(w, m->sent_us);
        writer_bytes(w, m->nonce, sizeof(m->nonce));
}

void hello_encode(struct writer *w, const void *message)
{
        const struct hello *m = message;
        write_fields(w, m);
        writer_bytes(w, m->proof, sizeof(m->proof));
}

static void read_fixed(struct reader *r, uint8_t *dst, size_t len)
{
        const uint8_t *bytes = reader_bytes(r, len);
        if (bytes)
                memcpy(dst, bytes, len);
}

int hello_decode(struct reader *r, struct hello *m)
{
        *m = (struct hello){.version = reader_u16(r)};
        if (!r->err && m->version != PROTO_VERSION) {
                /* What follows is that version's business; the answer names both versions. */
                reader_skip(r, reader_left(r));
                return 0;
        }
        m->role = reader_u8(r);
        if (m->role < ROLE_INGESTD || m->role > ROLE_EDGED)
                reader_fail(r);
        check_name(r, m->id, sizeof(m->id), node_id_valid, 0);
        m->incarnation_us = check_time(r);
        m->can = reader_u16(r);
        m->load_permille = reader_u16(r);
        m->draining = check_flags(r, 1);
        check_name(r, m->zone, sizeof(m->zone), zone_valid, 1);
        m->came_us = check_time_from_zero(r);
        m->sent_us = check_time_from_zero(r);
        read_fixed(r, m->nonce, NONCE_BYTES);
        read_fixed(r, m->proof, PROOF_BYTES);
        return reader_done(r);
}

void challenge_encode(struct writer *w, const void *message)
{
        const struct challenge *m = message;
        writer_bytes(w, m->nonce, sizeof(m->nonce));
}

int challenge_decode(struct reader *r, struct challenge *m)
{
        *m = (struct challenge){{0}};
        read_fixed(r, m->nonce, NONCE_BYTES);
        return reader_done(r);
}

void refused_encode(struct writer *w, const void *message)
{
        const struct refused *m = message;
        writer_u8(w, (uint8_t)m->status);
        writer_str(w, m->text);
}

int refused_decode(struct reader *r, struct refused *m)
{
        m->status = check_status(r);
        reader_str(r, m->text, sizeof(m->text));
        return reader_done(r);
}

void hello_nonce(uint8_t nonce[NONCE_BYTES])
{
        ssize_t got = getrandom(nonce, NONCE_BYTES, 0);
        assert(got == NONCE_BYTES);
        (void)got;
}

static void make_proof(uint8_t proof[PROOF_BYTES], const struct hello *m, const char *token, enum hello_side side,
                       const struct hello_bond *bond)
{
        uint8_t text[320];
        struct writer w;
        unsigned len = 0;

        memset(proof, 0, PROOF_BYTES);
        if (!token || !*token)
                return;
        writer_init(&w, text, sizeof(text));
        writer_str(&w, "freshet hello");
        writer_u8(&w, (uint8_t)side);
        writer_bytes(&w, bond->asks, NONCE_BYTES);
        writer_bytes(&w, bond->answers, NONCE_BYTES);
        writer_bytes(&w, bond->tls, BOND_BYTES);
        write_fields(&w, m);
        assert(writer_ok(&w));
        const uint8_t *made = HMAC(EVP_sha256(), token, (int)strlen(token), text, w.len, proof, &len);
        assert(made && len == PROOF_BYTES);
        (void)made;
}

void hello_fill(struct hello *m, const struct node_identity *self, enum hello_side side, const struct hello_bond *bond, int64_t came_us)
{
        *m = (struct hello){
                .version = PROTO_VERSION,
                .role = (uint8_t)self->role,
                .incarnation_us = self->incarnation_us,
                .can = self->can,
                .load_permille = (uint16_t)(self->load_permille < UINT16_MAX ? self->load_permille : UINT16_MAX),
                .draining = self->draining,
                .came_us = came_us,
                .sent_us = clock_wall_us(),
        };
        snprintf(m->id, sizeof(m->id), "%s", self->id);
        snprintf(m->zone, sizeof(m->zone), "%s", self->zone);
        memcpy(m->nonce, side == HELLO_ASKS ? bond->asks : bond->answers, NONCE_BYTES);
        make_proof(m->proof, m, self->cluster_token, side, bond);
}

int hello_proof_ok(const struct hello *m, const char *cluster_token, enum hello_side side, const struct hello_bond *bond)
{
        uint8_t proof[PROOF_BYTES];
        if (!cluster_token || !*cluster_token)
                return 1;
        make_proof(proof, m, cluster_token, side, bond);
        return CRYPTO_memcmp(proof, m->proof, PROOF_BYTES) == 0;
}
