#include "ingestd/publish_auth.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

#include "common/daemon/config_list.h"
#include "common/pattern.h"

#define KEY_MAX 255
#define ENTRIES_MAX 4096

bool publish_auth_asks(const struct publish_auth *a)
{
        return *a->key || json_array_size(a->keys) > 0 || a->tokens;
}

/* Keys ------------------------------------------------------------------------------------------------------------ */

static void hash_of(uint8_t out[32], const char *key)
{
        SHA256((const unsigned char *)key, strlen(key), out);
}

static bool is_hash_of(const uint8_t hash[32], const char *key)
{
        uint8_t other[32];
        hash_of(other, key);
        return CRYPTO_memcmp(hash, other, sizeof(other)) == 0;
}

static bool key_is_for(const struct publish_auth *a, const char *stream, const uint8_t hash[32])
{
        bool found = *a->key && is_hash_of(hash, a->key);
        for (size_t i = 0; i < json_array_size(a->keys); i++) {
                const json_t *entry = json_array_get(a->keys, i);
                const char *match = json_string_value(json_object_get(entry, "match"));
                if (!match || pattern_fits(match, stream))
                        found |= is_hash_of(hash, json_string_value(json_object_get(entry, "key")));
        }
        return found;
}

/* Tokens ---------------------------------------------------------------------------------------------------------- */

static bool looks_like_a_token(const char *shown)
{
        const char *dot = strchr(shown, '.');
        return dot && strchr(dot + 1, '.');
}

bool publish_grant_over(const struct publish_grant *grant, int64_t now_s)
{
        return grant->by == GRANT_TOKEN && grant->claims.until_s && now_s >= grant->claims.until_s;
}

static enum refusal judge_token(const struct publish_auth *a, const char *stream, const char *shown, int64_t now_s,
                                struct publish_grant *out, const char **text)
{
        enum jwt_fault fault = jwt_verify(a->tokens, shown, strlen(shown), &out->claims, NULL);
        if (fault == JWT_OK)
                fault = jwt_judge(&out->claims, "publish", stream, now_s);
        if (fault == JWT_OK && publish_grant_over(out, now_s)) {
                *text = refusal_text(REFUSAL_OVER);
                return REFUSAL_OVER;
        }
        *text = jwt_fault_text(fault);
        return fault == JWT_OK ? REFUSAL_NONE : fault == JWT_EXPIRED ? REFUSAL_EXPIRED_TOKEN : REFUSAL_BAD_TOKEN;
}

/* Both ------------------------------------------------------------------------------------------------------------ */

enum refusal publish_auth_begin(const struct publish_auth *a, const char *stream, const char *shown, int64_t now_s,
                                struct publish_grant *out, const char **text)
{
        enum refusal refusal = REFUSAL_WRONG_KEY;
        *out = (struct publish_grant){.by = GRANT_NOTHING_ASKED};
        *text = "";
        if (!publish_auth_asks(a))
                return REFUSAL_NONE;
        hash_of(out->key_hash, shown);
        if (!*shown) {
                refusal = REFUSAL_NO_KEY;
        } else if (key_is_for(a, stream, out->key_hash)) {
                out->by = GRANT_KEY;
                return REFUSAL_NONE;
        } else if (a->tokens && (looks_like_a_token(shown) || (!*a->key && json_array_size(a->keys) == 0))) {
                out->by = GRANT_TOKEN;
                return judge_token(a, stream, shown, now_s, out, text);
        }
        *text = refusal_text(refusal);
        return refusal;
}

enum refusal publish_auth_goes_on(const struct publish_auth *a, const char *stream, const struct publish_grant *grant,
                                  int64_t now_s)
{
        if (!publish_auth_asks(a))
                return REFUSAL_NONE;
        switch (grant->by) {
        case GRANT_KEY:
                return key_is_for(a, stream, grant->key_hash) ? REFUSAL_NONE : REFUSAL_REVOKED;
        case GRANT_TOKEN:
                if (!a->tokens || !jwt_keys_has(a->tokens, &grant->claims.key))
                        return REFUSAL_REVOKED;
                return publish_grant_over(grant, now_s) ? REFUSAL_OVER : REFUSAL_NONE;
        case GRANT_NOTHING_ASKED:
                break;
        }
        return REFUSAL_REVOKED; /* keys are asked for by now */
}

/* Configuration --------------------------------------------------------------------------------------------------- */

static int check_entry(const json_t *entry, size_t i, char *why, size_t why_cap)
{
        const json_t *key = json_object_get(entry, "key");
        size_t len = json_string_length(key);
        if (!json_is_string(key) || len == 0 || len > KEY_MAX || strlen(json_string_value(key)) != len)
                return config_refuse(why, why_cap, "entry %zu: \"key\" is missing or no string of 1 to %d bytes", i, KEY_MAX);
        return config_check_match(entry, i, why, why_cap);
}

int publish_keys_check(const void *json_field, char *why, size_t why_cap)
{
        return config_check_list(json_field, "match|key", ENTRIES_MAX, check_entry, why, why_cap);
}
