/* jwt.h - verifies signed tokens (JSON Web Tokens: RFC 7519, compact JWS of RFC 7515) against a set of keys (JWKS, RFC 7517).
 *
 *   jwt_keys_load / _parse   one reference, the caller's; the set never changes after that, so any thread may use it
 *   jwt_keys_ref / _unref    one more, one less; the last one frees
 *   jwt_verify               is the token genuine, and what does it claim? Says nothing about time
 *   jwt_judge                may a token with these claims do this now? Cheap: claims that were verified once can be kept,
 *                            and are judged anew each time they are used
 * A daemon reads the file again when it changes and swaps its reference; jwt_keys_has() then says of claims that were verified
 * earlier whether their key is still there. Pure but for jwt_keys_load(); the time is passed in.
 *
 * The rules, all of them stricter than the RFCs where there is a choice:
 *   - The key decides the algorithm: `oct` is HS256, `EC` on P-256 is ES256, nothing else exists. The token's `alg` must be
 *     that of the key, so `none`, or a public key used as an HMAC secret, has nothing to be verified by.
 *   - A token with a `kid` is tried with the keys of that `kid` only. One without is tried with every key of its algorithm.
 *   - Keys inside a token (`jwk`, `jku`, `x5c`) are never looked at. A token with `crit` is refused.
 *   - base64url without padding, whitespace or stray bits at the end; JSON with no member twice and no NUL.
 *   - `sub` (what may be done), `path` (a shell pattern for stream ids) and `exp` are required, `nbf`, `until` and `jti` are optional.
 *     Times are seconds since 1970, at most JWT_TIME_MAX_S; a fraction is cut off.
 *   - A token ends at `exp`, to the second. `nbf` may be JWT_LEEWAY_S ahead of our clock: the machine that made the token a
 *     moment ago may be a little fast.
 *
 * Why no library: libjwt 1.10 takes the algorithm from the token and one key as bytes, knows no JWKS, and asks the clock
 * itself. libcjose verifies the signature, but choosing the key, the claims, duplicates and bounds would still be ours, and it
 * is a second layer over the same jansson and OpenSSL that are linked already. What is left to write is below 400 lines. */
#ifndef COMMON_JWT_H
#define COMMON_JWT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JWT_TOKEN_MAX 2048        /* bytes */
#define JWT_LEEWAY_S 5            /* for nbf */
#define JWT_TIME_MAX_S INT64_C(253402300799) /* the last second of the year 9999 */
#define JWT_KEYS_MAX 16           /* in a set: so many signatures are checked at most for one token */
#define JWT_KEYS_FILE_MAX (64 << 10) /* bytes */
#define JWT_SECRET_MIN 32         /* bytes of an HS256 key (RFC 7518, 3.2) */
#define JWT_SECRET_MAX 1024
#define JWT_ID_MAX 64             /* kid and jti */
#define JWT_SUB_MAX 32
#define JWT_PATH_MAX 128

/* The texts are for operators and viewers alike; none holds anything of the token. */
#define JWT_FAULTS(X)                                                                                                  \
        X(MALFORMED, "the token is damaged: it is not three parts of base64url, the first two of them JSON")           \
        X(LONG, "the token is longer than 2048 bytes")                                                                 \
        X(CRIT, "the token has a crit header, of which nothing is understood")                                         \
        X(KEY, "the token was signed with a key that is not known here, or with another algorithm than that key's")     \
        X(SIGNATURE, "the token's signature is wrong")                                                                 \
        X(SUB, "the token's sub is missing or no text of 1 to 32 bytes")                                               \
        X(PATH, "the token's path is missing or no text of 1 to 128 bytes")                                            \
        X(EXP, "the token's exp is missing or no time in seconds since 1970")                                          \
        X(NBF, "the token's nbf is no time in seconds since 1970")                                                     \
        X(UNTIL, "the token's until is no time in seconds since 1970")                                                 \
        X(JTI, "the token's jti is no text of up to 64 bytes")                                                         \
        X(USE, "the token is for another use")                                                                         \
        X(STREAM, "the token is for another stream")                                                                   \
        X(NOT_YET, "the token is not valid yet")                                                                       \
        X(EXPIRED, "the token has expired")

enum jwt_fault {
        JWT_OK,
#define X(name, text) JWT_##name,
        JWT_FAULTS(X)
#undef X
        JWT_FAULT_COUNT
};

/* Which key it was, by what it is made of and not by its name: 64 bits of SHA-256, enough to tell the few keys of an operator
 * apart. */
struct jwt_key_id {
        uint64_t bits;
};

struct jwt_claims {
        char sub[JWT_SUB_MAX + 1];   /* "publish", "view" */
        char path[JWT_PATH_MAX + 1]; /* shell pattern for stream ids */
        char kid[JWT_ID_MAX + 1];    /* of the key; "": it has none */
        char jti[JWT_ID_MAX + 1];    /* ""; where there is one it may be logged, the token itself never (log_quote() it) */
        int64_t nbf_s, exp_s;        /* nbf_s 0: there is none */
        int64_t until_s;             /* what the token began is to end then; 0: it does not say. Not judged here */
        struct jwt_key_id key;
};

struct jwt_keys;

/* ERR_CONFIG (not what it should be: why says which key and what is allowed; never a key's value), or what err_from_errno()
 * made of the failure to read. *out is then NULL. Keys of another type, curve or use are left out and counted; a set may be
 * empty, and then nobody is let in. */
int jwt_keys_load(struct jwt_keys **out, const char *path, char *why, size_t why_cap);
int jwt_keys_parse(struct jwt_keys **out, const char *json, size_t len, char *why, size_t why_cap);
struct jwt_keys *jwt_keys_ref(struct jwt_keys *keys);
void jwt_keys_unref(struct jwt_keys **keys); /* NULL and pointer to NULL are fine */

struct jwt_keys_info {
        unsigned hs256, es256;
        unsigned left_out;     /* other types */
        unsigned with_private; /* EC keys that come with their private half, which nobody who verifies needs */
};
void jwt_keys_tell(const struct jwt_keys *keys, struct jwt_keys_info *out);
bool jwt_keys_has(const struct jwt_keys *keys, const struct jwt_key_id *key);

/* Takes 1 to 5 µs with HS256 and 50 to 150 µs a key with ES256. claims are filled when it is JWT_OK, undefined otherwise.
 * signatures (may be NULL): how many were checked is added. */
enum jwt_fault jwt_verify(const struct jwt_keys *keys, const char *token, size_t len, struct jwt_claims *claims,
                          unsigned *signatures);

/* stream NULL: any stream, only use and time are judged. */
enum jwt_fault jwt_judge(const struct jwt_claims *claims, const char *use, const char *stream, int64_t now_s);

const char *jwt_fault_text(enum jwt_fault fault); /* constant; "ok" for JWT_OK */

#endif
