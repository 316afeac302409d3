/* publish_auth.h - keys and tokens: may who shows this publish this stream, and may it go on?
 *
 *   publish_auth_begin()    before the stream begins; what it was let in by is written down in a struct publish_grant
 *   publish_auth_goes_on()  later, with the keys as they are then: a key that is gone, a `kid` that is gone, a time that is over
 *
 * One of what is configured is enough: `publish_key`, which is for every stream; any entry of `publish_keys` whose pattern fits
 * the stream (so that an old and a new key are both good while one is changed for the other); a token (common/jwt.h) with sub
 * "publish" and a path that fits the stream. A token's exp and nbf are about the beginning: a broadcast that has begun goes on
 * after exp, and reconnects need a token that has not expired. Its claim `until`, if there is one, ends the broadcast.
 * Where nothing is configured everybody may.
 *
 * Keys are compared by their hashes, all of them each time, so that the time taken says nothing. Pure; time is passed in. */
#ifndef INGESTD_PUBLISH_AUTH_H
#define INGESTD_PUBLISH_AUTH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/jwt.h"
#include "ingestd/refusal.h"

/* What is configured; borrowed. */
struct publish_auth {
        const char *key;               /* publish_key; "": none */
        const json_t *keys;            /* publish_keys, checked; may be NULL */
        const struct jwt_keys *tokens; /* publish_jwks; NULL: not configured */
};

struct publish_grant {
        enum { GRANT_NOTHING_ASKED, GRANT_KEY, GRANT_TOKEN } by;
        uint8_t key_hash[32];     /* GRANT_KEY */
        struct jwt_claims claims; /* GRANT_TOKEN */
};

bool publish_auth_asks(const struct publish_auth *a); /* something is configured */

/* On REFUSAL_NONE *out is filled. Otherwise *text is a sentence for the encoder. now_s: wall clock. */
enum refusal publish_auth_begin(const struct publish_auth *a, const char *stream, const char *shown, int64_t now_s,
                                struct publish_grant *out, const char **text);
enum refusal publish_auth_goes_on(const struct publish_auth *a, const char *stream, const struct publish_grant *grant,
                                  int64_t now_s);
bool publish_grant_over(const struct publish_grant *grant, int64_t now_s); /* by itself, with the keys as they were; cheap */

/* A config_key.check for `publish_keys`: [{"match": PATTERN, "key": TEXT}]; never repeats a key. */
int publish_keys_check(const void *json_field, char *why, size_t why_cap);

#endif
