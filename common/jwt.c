#include "common/jwt.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/sha.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"
#include "common/pattern.h"

#define EC_COORDINATE 32 /* bytes, of P-256 */
#define ES256_SIGNATURE (2 * EC_COORDINATE)
#define ES256_DER_MAX 80
#define DECODED_MAX JWT_TOKEN_MAX

enum key_type { KEY_HS256, KEY_ES256 };
static const char *const algorithms[] = {[KEY_HS256] = "HS256", [KEY_ES256] = "ES256"};

struct jwt_key {
        enum key_type type;
        char kid[JWT_ID_MAX + 1];
        struct jwt_key_id id;
        uint8_t secret[JWT_SECRET_MAX]; /* KEY_HS256 */
        size_t secret_len;
        EVP_PKEY *public; /* KEY_ES256; OpenSSL only reads it when it verifies, so threads share it */
};

struct jwt_keys {
        atomic_uint refs;
        unsigned count, left_out, with_private;
        struct jwt_key keys[JWT_KEYS_MAX];
};

const char *jwt_fault_text(enum jwt_fault fault)
{
        static const char *const texts[] = {
                "ok",
#define X(name, text) text,
                JWT_FAULTS(X)
#undef X
        };
        return texts[fault];
}

/* ---- base64url ------------------------------------------------------------------------------------------------ */

static int base64_value(char c)
{
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26;
        if (c >= '0' && c <= '9')
                return c - '0' + 52;
        return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* One text decodes to one array of bytes and the other way round. -1: it is no base64url, or is longer than cap. */
static ssize_t base64_decode(uint8_t *dst, size_t cap, const char *text, size_t len)
{
        size_t n = 0;
        uint32_t bits = 0;
        unsigned held = 0;
        if (len % 4 == 1)
                return -1;
        for (size_t i = 0; i < len; i++) {
                int v = base64_value(text[i]);
                if (v < 0)
                        return -1;
                bits = bits << 6 | (uint32_t)v;
                held += 6;
                if (held < 8)
                        continue;
                held -= 8;
                if (n == cap)
                        return -1;
                dst[n++] = (uint8_t)(bits >> held);
        }
        return (bits & ((1u << held) - 1)) == 0 ? (ssize_t)n : -1;
}

/* ---- the set of keys ------------------------------------------------------------------------------------------ */

/* A text member: 0 when it is absent, 1 when it is there and fits dst, -1 otherwise. */
static int take_text(const json_t *from, const char *name, char *dst, size_t cap)
{
        const json_t *v = json_object_get(from, name);
        *dst = 0;
        if (!v)
                return 0;
        if (!json_is_string(v) || json_string_length(v) == 0 || json_string_length(v) >= cap)
                return -1;
        memcpy(dst, json_string_value(v), json_string_length(v) + 1);
        return 1;
}

static ssize_t take_bytes(const json_t *from, const char *name, uint8_t *dst, size_t cap)
{
        const json_t *v = json_object_get(from, name);
        return json_is_string(v) ? base64_decode(dst, cap, json_string_value(v), json_string_length(v)) : -1;
}

static void name_key(struct jwt_key *key, const void *bytes, size_t len)
{
        uint8_t digest[SHA256_DIGEST_LENGTH];
        SHA256(bytes, len, digest);
        memcpy(&key->id.bits, digest, sizeof(key->id.bits));
}

static const char *read_secret(struct jwt_key *key, const json_t *from)
{
        ssize_t n = take_bytes(from, "k", key->secret, sizeof(key->secret));
        if (n < JWT_SECRET_MIN)
                return "k must be 32 to 1024 bytes in base64url";
        key->secret_len = (size_t)n;
        name_key(key, key->secret, key->secret_len);
        return NULL;
}

/* NULL when the point does not lie on the curve. */
static EVP_PKEY *make_public(const uint8_t *point, size_t len)
{
        EVP_PKEY *made = NULL;
        OSSL_PARAM params[] = {
                OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)(uintptr_t)"P-256", 0),
                OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)point, len),
                OSSL_PARAM_construct_end(),
        };
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
        if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 || EVP_PKEY_fromdata(ctx, &made, EVP_PKEY_PUBLIC_KEY, params) != 1)
                made = NULL;
        EVP_PKEY_CTX_free(ctx);
        ERR_clear_error();
        return made;
}

static const char *read_point(struct jwt_key *key, const json_t *from)
{
        uint8_t point[1 + 2 * EC_COORDINATE] = {0x04}; /* uncompressed */
        if (take_bytes(from, "x", point + 1, EC_COORDINATE) != EC_COORDINATE ||
            take_bytes(from, "y", point + 1 + EC_COORDINATE, EC_COORDINATE) != EC_COORDINATE)
                return "x and y must be 32 bytes each in base64url";
        key->public = make_public(point, sizeof(point));
        if (!key->public)
                return "x and y are no point of P-256";
        name_key(key, point, sizeof(point));
        return NULL;
}

static bool text_is(const json_t *from, const char *name, const char *wanted)
{
        const char *text = json_string_value(json_object_get(from, name));
        return text && strcmp(text, wanted) == 0;
}

static bool may_verify(const json_t *from)
{
        const json_t *ops = json_object_get(from, "key_ops"), *op;
        size_t i;
        if (json_object_get(from, "use") && !text_is(from, "use", "sig"))
                return false;
        if (!ops)
                return true;
        json_array_foreach(ops, i, op) {
                const char *text = json_string_value(op);
                if (text && strcmp(text, "verify") == 0)
                        return true;
        }
        return false;
}

/* NULL, or what is wrong. *ours: of a type that is used here. */
static const char *read_key(struct jwt_key *key, const json_t *from, bool *ours)
{
        char kty[16];
        *ours = false;
        if (!json_is_object(from))
                return "must be an object";
        if (take_text(from, "kty", kty, sizeof(kty)) != 1)
                return "kty must be a text, such as \"oct\" or \"EC\"";
        if (take_text(from, "kid", key->kid, sizeof(key->kid)) < 0)
                return "kid must be a text of 1 to 64 bytes";
        if (strcmp(kty, "oct") == 0)
                key->type = KEY_HS256;
        else if (strcmp(kty, "EC") == 0 && text_is(from, "crv", "P-256"))
                key->type = KEY_ES256;
        else
                return NULL;
        if ((json_object_get(from, "alg") && !text_is(from, "alg", algorithms[key->type])) || !may_verify(from))
                return NULL;
        *ours = true;
        return key->type == KEY_HS256 ? read_secret(key, from) : read_point(key, from);
}

static const char *read_set(struct jwt_keys *set, const json_t *from, size_t *at)
{
        const json_t *list = json_object_get(from, "keys"), *one;
        size_t i;
        if (!json_is_array(list))
                return "must be an object with an array \"keys\"";
        json_array_foreach(list, i, one) {
                struct jwt_key key = {0};
                bool ours;
                *at = i;
                const char *fault = set->count < JWT_KEYS_MAX ? read_key(&key, one, &ours) : "more than 16 keys";
                if (fault)
                        return fault;
                if (!ours) {
                        set->left_out++;
                        continue;
                }
                set->with_private += key.type == KEY_ES256 && json_object_get(one, "d");
                set->keys[set->count++] = key;
                OPENSSL_cleanse(&key, sizeof(key));
        }
        return NULL;
}

int jwt_keys_parse(struct jwt_keys **out, const char *json, size_t len, char *why, size_t why_cap)
{
        json_error_t error;
        json_t *root = json_loadb(json, len, JSON_REJECT_DUPLICATES, &error);
        *out = NULL;
        if (!root) { /* not jansson's text: it quotes what it found, which may be a key */
                snprintf(why, why_cap, "no JSON, or a member is there twice: line %d, column %d", error.line, error.column);
                return ERR_CONFIG;
        }
        struct jwt_keys *set = mem_alloc(sizeof(*set));
        size_t at = SIZE_MAX;
        atomic_init(&set->refs, 1);
        const char *fault = read_set(set, root, &at);
        json_decref(root);
        if (!fault) {
                *out = set;
                return 0;
        }
        if (at == SIZE_MAX)
                snprintf(why, why_cap, "a key set %s", fault);
        else
                snprintf(why, why_cap, "keys[%zu]: %s", at, fault);
        jwt_keys_unref(&set);
        return ERR_CONFIG;
}

int jwt_keys_load(struct jwt_keys **out, const char *path, char *why, size_t why_cap)
{
        *out = NULL;
        FILE *in = fopen(path, "rb");
        if (!in) {
                int err = err_from_errno(errno);
                snprintf(why, why_cap, "cannot be opened: %s", strerror(errno));
                return err;
        }
        char *text = mem_alloc(JWT_KEYS_FILE_MAX + 1);
        size_t len = fread(text, 1, JWT_KEYS_FILE_MAX + 1, in);
        int err = 0;
        if (ferror(in)) {
                err = err_from_errno(errno);
                snprintf(why, why_cap, "cannot be read: %s", strerror(errno));
        } else if (len > JWT_KEYS_FILE_MAX) {
                err = ERR_CONFIG;
                snprintf(why, why_cap, "longer than %d bytes", JWT_KEYS_FILE_MAX);
        } else {
                err = jwt_keys_parse(out, text, len, why, why_cap);
        }
        fclose(in);
        OPENSSL_cleanse(text, JWT_KEYS_FILE_MAX + 1);
        free(text);
        return err;
}

struct jwt_keys *jwt_keys_ref(struct jwt_keys *keys)
{
        atomic_fetch_add_explicit(&keys->refs, 1, memory_order_relaxed);
        return keys;
}

void jwt_keys_unref(struct jwt_keys **keys)
{
        struct jwt_keys *set = keys ? *keys : NULL;
        if (!set)
                return;
        *keys = NULL;
        if (atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) != 1)
                return;
        for (unsigned i = 0; i < set->count; i++)
                EVP_PKEY_free(set->keys[i].public);
        OPENSSL_cleanse(set, sizeof(*set));
        free(set);
}

void jwt_keys_tell(const struct jwt_keys *keys, struct jwt_keys_info *out)
{
        *out = (struct jwt_keys_info){.left_out = keys->left_out, .with_private = keys->with_private};
        for (unsigned i = 0; i < keys->count; i++)
                *(keys->keys[i].type == KEY_HS256 ? &out->hs256 : &out->es256) += 1;
}

bool jwt_keys_has(const struct jwt_keys *keys, const struct jwt_key_id *key)
{
        for (unsigned i = 0; i < keys->count; i++) {
                if (keys->keys[i].id.bits == key->bits)
                        return true;
        }
        return false;
}

/* ---- signatures ----------------------------------------------------------------------------------------------- */

static bool hs256_is_right(const struct jwt_key *key, const char *input, size_t input_len, const uint8_t *signature,
                           size_t signature_len)
{
        uint8_t expected[SHA256_DIGEST_LENGTH];
        unsigned len = 0;
        return signature_len == sizeof(expected) &&
               HMAC(EVP_sha256(), key->secret, (int)key->secret_len, (const uint8_t *)input, input_len, expected, &len) &&
               len == sizeof(expected) && CRYPTO_memcmp(expected, signature, sizeof(expected)) == 0;
}

/* JWS has r and s one after the other, OpenSSL wants them as a DER sequence. 0: no memory. */
static size_t der_of(const uint8_t raw[ES256_SIGNATURE], uint8_t der[ES256_DER_MAX])
{
        ECDSA_SIG *pair = ECDSA_SIG_new();
        BIGNUM *r = BN_bin2bn(raw, EC_COORDINATE, NULL), *s = BN_bin2bn(raw + EC_COORDINATE, EC_COORDINATE, NULL);
        int len = 0;
        if (pair && r && s && ECDSA_SIG_set0(pair, r, s) == 1) {
                r = s = NULL; /* pair's now */
                len = i2d_ECDSA_SIG(pair, NULL);
                len = len > 0 && len <= ES256_DER_MAX ? i2d_ECDSA_SIG(pair, &der) : 0;
        }
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(pair);
        return len > 0 ? (size_t)len : 0;
}

static bool es256_is_right(const struct jwt_key *key, const char *input, size_t input_len, const uint8_t *signature,
                           size_t signature_len)
{
        uint8_t der[ES256_DER_MAX];
        size_t der_len = signature_len == ES256_SIGNATURE ? der_of(signature, der) : 0;
        EVP_MD_CTX *ctx = der_len > 0 ? EVP_MD_CTX_new() : NULL;
        bool right = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key->public) == 1 &&
                     EVP_DigestVerify(ctx, der, der_len, (const uint8_t *)input, input_len) == 1;
        EVP_MD_CTX_free(ctx);
        ERR_clear_error(); /* a wrong signature is no error of the thread's */
        return right;
}

/* ---- tokens --------------------------------------------------------------------------------------------------- */

struct parts { /* of header.claims.signature */
        const char *header, *claims, *signature;
        size_t header_len, claims_len, signature_len;
        size_t signed_len; /* from header on */
};

static bool cut(const char *token, size_t len, struct parts *p)
{
        const char *end = token + len, *first = memchr(token, '.', len);
        const char *second = first ? memchr(first + 1, '.', (size_t)(end - first - 1)) : NULL;
        if (!second)
                return false; /* a third dot is no base64url */
        *p = (struct parts){.header = token, .header_len = (size_t)(first - token), .claims = first + 1,
                            .claims_len = (size_t)(second - first - 1), .signature = second + 1,
                            .signature_len = (size_t)(end - second - 1), .signed_len = (size_t)(second - token)};
        return true;
}

/* A JSON object in base64url; NULL: it is none. */
static json_t *read_object(const char *text, size_t len)
{
        uint8_t bytes[DECODED_MAX];
        json_error_t error;
        ssize_t n = base64_decode(bytes, sizeof(bytes), text, len);
        json_t *v = n > 0 ? json_loadb((const char *)bytes, (size_t)n, JSON_REJECT_DUPLICATES, &error) : NULL;
        if (json_is_object(v))
                return v;
        json_decref(v);
        return NULL;
}

/* Cut to whole seconds; false: it is no number, or no time that there is. */
static bool take_time(const json_t *v, int64_t *out)
{
        if (json_is_integer(v))
                *out = json_integer_value(v);
        else if (json_is_real(v) && isfinite(json_real_value(v)) && fabs(json_real_value(v)) <= (double)JWT_TIME_MAX_S)
                *out = (int64_t)floor(json_real_value(v));
        else
                return false;
        return *out > 0 && *out <= JWT_TIME_MAX_S;
}

static enum jwt_fault read_claims(const json_t *from, struct jwt_claims *c)
{
        if (take_text(from, "sub", c->sub, sizeof(c->sub)) != 1)
                return JWT_SUB;
        if (take_text(from, "path", c->path, sizeof(c->path)) != 1)
                return JWT_PATH;
        if (!take_time(json_object_get(from, "exp"), &c->exp_s))
                return JWT_EXP;
        c->nbf_s = 0;
        const json_t *nbf = json_object_get(from, "nbf");
        if (nbf && !take_time(nbf, &c->nbf_s))
                return JWT_NBF;
        c->until_s = 0;
        const json_t *until = json_object_get(from, "until");
        if (until && !take_time(until, &c->until_s))
                return JWT_UNTIL;
        return take_text(from, "jti", c->jti, sizeof(c->jti)) < 0 ? JWT_JTI : JWT_OK;
}

static bool fits(const struct jwt_key *key, const char *alg, const char *kid)
{
        return strcmp(alg, algorithms[key->type]) == 0 && (!*kid || strcmp(kid, key->kid) == 0);
}

/* The key that made the signature into *by. */
static enum jwt_fault find_signer(const struct jwt_keys *keys, const json_t *header, const struct parts *p,
                                  const struct jwt_key **by, unsigned *signatures)
{
        char alg[16], kid[JWT_ID_MAX + 1];
        uint8_t signature[ES256_SIGNATURE];
        if (json_object_get(header, "crit"))
                return JWT_CRIT;
        if (take_text(header, "alg", alg, sizeof(alg)) != 1 || take_text(header, "kid", kid, sizeof(kid)) < 0)
                return JWT_KEY;
        ssize_t len = base64_decode(signature, sizeof(signature), p->signature, p->signature_len);
        if (len < 0)
                return JWT_MALFORMED;
        enum jwt_fault fault = JWT_KEY;
        for (unsigned i = 0; i < keys->count; i++) {
                const struct jwt_key *key = &keys->keys[i];
                if (!fits(key, alg, kid))
                        continue;
                *signatures += 1;
                if ((key->type == KEY_HS256 ? hs256_is_right : es256_is_right)(key, p->header, p->signed_len, signature,
                                                                               (size_t)len)) {
                        *by = key;
                        return JWT_OK;
                }
                fault = JWT_SIGNATURE;
        }
        return fault;
}

enum jwt_fault jwt_verify(const struct jwt_keys *keys, const char *token, size_t len, struct jwt_claims *claims,
                          unsigned *signatures)
{
        struct parts p;
        const struct jwt_key *key = NULL;
        unsigned checked = 0;
        if (len > JWT_TOKEN_MAX)
                return JWT_LONG;
        json_t *header = cut(token, len, &p) ? read_object(p.header, p.header_len) : NULL, *body = NULL;
        enum jwt_fault fault = header ? find_signer(keys, header, &p, &key, &checked) : JWT_MALFORMED;
        if (fault == JWT_OK) { /* nothing is read of the claims before it is known who made them */
                body = read_object(p.claims, p.claims_len);
                fault = body ? read_claims(body, claims) : JWT_MALFORMED;
        }
        if (fault == JWT_OK) {
                memcpy(claims->kid, key->kid, sizeof(claims->kid));
                claims->key = key->id;
        }
        if (signatures)
                *signatures += checked;
        json_decref(body);
        json_decref(header);
        return fault;
}

enum jwt_fault jwt_judge(const struct jwt_claims *claims, const char *use, const char *stream, int64_t now_s)
{
        if (strcmp(claims->sub, use) != 0)
                return JWT_USE;
        if (stream && !pattern_fits(claims->path, stream))
                return JWT_STREAM;
        if (now_s >= claims->exp_s)
                return JWT_EXPIRED;
        return now_s + JWT_LEEWAY_S < claims->nbf_s ? JWT_NOT_YET : JWT_OK;
}
