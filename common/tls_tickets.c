#include "common/tls_tickets.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"

#define DIGEST 32 /* SHA-256 */

enum { OWN_NOW, OWN_BEFORE, OWN_KEYS };
enum { HOUR_BEFORE, HOUR_NOW, HOUR_AFTER, HOURS };

struct own_key {
        struct tls_ticket_key key;
        int64_t made_us; /* monotonic; 0: there is none */
};

struct tls_tickets {
        pthread_mutex_t lock; /* guards all below */
        struct own_key own[OWN_KEYS];
        bool shares;
        unsigned char root[DIGEST]; /* of the secret and the certificates */
        int64_t hour;               /* that hours[HOUR_NOW] is of; -1: none were made */
        struct tls_ticket_key hours[HOURS];
};

struct tls_tickets *tls_tickets_open(void)
{
        struct tls_tickets *t = mem_alloc(sizeof(*t));
        pthread_mutex_init(&t->lock, NULL);
        t->hour = -1;
        return t;
}

void tls_tickets_close(struct tls_tickets **tp)
{
        struct tls_tickets *t = *tp;
        *tp = NULL;
        if (!t)
                return;
        pthread_mutex_destroy(&t->lock);
        OPENSSL_cleanse(t, sizeof(*t));
        free(t);
}

static void digest(const void *key, size_t key_len, const void *bytes, size_t len, unsigned char out[DIGEST])
{
        unsigned out_len = DIGEST;
        if (!HMAC(EVP_sha256(), key, (int)key_len, bytes, len, out, &out_len))
                mem_out("TLS");
}

void tls_tickets_share(struct tls_tickets *t, const char *secret, const uint8_t proof[TLS_TICKETS_PROOF])
{
        static const char purpose[] = "freshet TLS tickets";
        unsigned char bytes[sizeof(purpose) + TLS_TICKETS_PROOF];
        memcpy(bytes, purpose, sizeof(purpose));
        memcpy(bytes + sizeof(purpose), proof, TLS_TICKETS_PROOF);
        pthread_mutex_lock(&t->lock);
        OPENSSL_cleanse(t->own, sizeof(t->own));
        OPENSSL_cleanse(t->hours, sizeof(t->hours));
        t->hour = -1;
        t->shares = *secret;
        digest(secret, strlen(secret), bytes, sizeof(bytes), t->root);
        pthread_mutex_unlock(&t->lock);
}

/* ---- under the lock ------------------------------------------------------------------------------------------------ */

static bool renew_own(struct tls_tickets *t, int64_t now_us)
{
        struct own_key *now = &t->own[OWN_NOW];
        if (now->made_us && now_us - now->made_us < TLS_TICKETS_S * US_PER_S)
                return true;
        t->own[OWN_BEFORE] = *now;
        now->made_us = 0;
        if (RAND_bytes(now->key.name, sizeof(now->key.name)) != 1 || RAND_bytes(now->key.cipher, sizeof(now->key.cipher)) != 1 ||
            RAND_bytes(now->key.mac, sizeof(now->key.mac)) != 1)
                return false;
        now->made_us = now_us;
        return true;
}

/* Three digests of the hour and of which part it is: none of them tells anything of the root, or of another. */
static void make_hour(const struct tls_tickets *t, int64_t hour, struct tls_ticket_key *out)
{
        unsigned char what[9], made[DIGEST];
        for (int i = 0; i < 8; i++)
                what[i] = (unsigned char)(hour >> (8 * i));
        what[8] = 'n';
        digest(t->root, DIGEST, what, sizeof(what), made);
        memcpy(out->name, made, sizeof(out->name));
        what[8] = 'c';
        digest(t->root, DIGEST, what, sizeof(what), out->cipher);
        what[8] = 'm';
        digest(t->root, DIGEST, what, sizeof(what), out->mac);
        OPENSSL_cleanse(made, sizeof(made));
}

static void look_at_hour(struct tls_tickets *t, int64_t wall_us)
{
        int64_t hour = wall_us / (TLS_TICKETS_S * US_PER_S);
        if (!t->shares || hour == t->hour)
                return;
        for (int i = 0; i < HOURS; i++)
                make_hour(t, hour + i - HOUR_NOW, &t->hours[i]);
        t->hour = hour;
}

static const struct tls_ticket_key *find_named(const struct tls_tickets *t, const unsigned char name[16], int64_t mono_us)
{
        for (int i = 0; i < OWN_KEYS; i++) {
                const struct own_key *k = &t->own[i];
                if (k->made_us && mono_us - k->made_us < 2 * TLS_TICKETS_S * US_PER_S &&
                    memcmp(k->key.name, name, sizeof(k->key.name)) == 0)
                        return &k->key;
        }
        for (int i = 0; t->shares && i < HOURS; i++) {
                if (memcmp(t->hours[i].name, name, sizeof(t->hours[i].name)) == 0)
                        return &t->hours[i];
        }
        return NULL;
}

/* ---- any thread ---------------------------------------------------------------------------------------------------- */

bool tls_tickets_seal_with(struct tls_tickets *t, bool shared, int64_t mono_us, int64_t wall_us, struct tls_ticket_key *out)
{
        pthread_mutex_lock(&t->lock);
        bool of_site = shared && t->shares, ok = of_site || renew_own(t, mono_us);
        look_at_hour(t, wall_us);
        if (ok)
                *out = of_site ? t->hours[HOUR_NOW] : t->own[OWN_NOW].key;
        pthread_mutex_unlock(&t->lock);
        return ok;
}

bool tls_tickets_opens_with(struct tls_tickets *t, const unsigned char name[16], int64_t mono_us, int64_t wall_us,
                            struct tls_ticket_key *out)
{
        pthread_mutex_lock(&t->lock);
        look_at_hour(t, wall_us);
        const struct tls_ticket_key *k = find_named(t, name, mono_us);
        if (k)
                *out = *k;
        pthread_mutex_unlock(&t->lock);
        return k != NULL;
}
