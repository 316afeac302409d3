#include "proto/hello.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "proto/check.h"

void hello_encode(struct writer *w, const void *message)
{
        const struct hello *m = message;
        writer_u16(w, m->version);
        writer_u8(w, m->role);
        writer_str(w, m->id);
        writer_i64(w, m->incarnation_us);
        writer_u32(w, m->load_permille);
        writer_u8(w, m->draining);
        writer_bytes(w, m->proof, sizeof(m->proof));
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
        m->load_permille = reader_u32(r);
        m->draining = check_flags(r, 1);
        const uint8_t *proof = reader_bytes(r, PROOF_BYTES);
        if (proof)
                memcpy(m->proof, proof, PROOF_BYTES);
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

static void make_proof(uint8_t proof[PROOF_BYTES], const struct hello *m, const char *token)
{
        uint8_t text[128];
        struct writer w;
        unsigned len = 0;

        memset(proof, 0, PROOF_BYTES);
        if (!*token)
                return;
        writer_init(&w, text, sizeof(text));
        writer_bytes(&w, "freshet hello", strlen("freshet hello"));
        writer_u8(&w, m->role);
        writer_str(&w, m->id);
        writer_i64(&w, m->incarnation_us);
        assert(writer_ok(&w));
        const uint8_t *made = HMAC(EVP_sha256(), token, (int)strlen(token), text, w.len, proof, &len);
        assert(made && len == PROOF_BYTES);
        (void)made;
}

void hello_fill(struct hello *m, const struct node_identity *self)
{
        *m = (struct hello){
                .version = PROTO_VERSION,
                .role = (uint8_t)self->role,
                .incarnation_us = self->incarnation_us,
                .load_permille = self->load_permille,
                .draining = self->draining,
        };
        snprintf(m->id, sizeof(m->id), "%s", self->id);
        make_proof(m->proof, m, self->cluster_token ? self->cluster_token : "");
}

int hello_proof_ok(const struct hello *m, const char *cluster_token)
{
        uint8_t proof[PROOF_BYTES];
        if (!cluster_token || !*cluster_token)
                return 1;
        make_proof(proof, m, cluster_token);
        return CRYPTO_memcmp(proof, m->proof, PROOF_BYTES) == 0;
}
