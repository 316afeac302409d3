/* What strangers send as tokens, what issuers sign, what operators put into a key file. By the first byte:
 *   't'  the rest is a token
 *   's'  the rest is a header, a newline and claims, signed with a key of the set, so that the claims are read
 *   'k'  the rest is a key set */
#include <assert.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "common/jwt.h"

static const char secret[] = "the first secret of thirty-two..";
static const char set[] =
        "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"dGhlIGZpcnN0IHNlY3JldCBvZiB0aGlydHktdHdvLi4\"},"
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"e\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
        "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";

static size_t encode(char *dst, const void *bytes, size_t len)
{
        EVP_EncodeBlock((uint8_t *)dst, bytes, (int)len);
        for (char *p = dst; *p; p++)
                *p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
        dst[strcspn(dst, "=")] = 0;
        return strlen(dst);
}

static size_t sign(char *dst, const uint8_t *data, size_t size)
{
        const uint8_t *line = memchr(data, '\n', size);
        size_t header_len = line ? (size_t)(line - data) : size, skipped = header_len + (line != NULL), n;
        uint8_t mac[32];
        unsigned mac_len;
        n = encode(dst, data, header_len);
        dst[n++] = '.';
        n += encode(dst + n, data + skipped, size - skipped);
        HMAC(EVP_sha256(), secret, 32, (uint8_t *)dst, n, mac, &mac_len);
        dst[n++] = '.';
        return n + encode(dst + n, mac, sizeof(mac));
}

static void try_token(const struct jwt_keys *keys, const char *token, size_t len)
{
        struct jwt_claims c;
        unsigned signatures = 0;
        if (jwt_verify(keys, token, len, &c, &signatures) != JWT_OK)
                return;
        assert(signatures > 0 && jwt_keys_has(keys, &c.key));
        assert(strlen(c.sub) > 0 && strlen(c.sub) <= JWT_SUB_MAX && strlen(c.path) > 0 && strlen(c.path) <= JWT_PATH_MAX);
        assert(strlen(c.kid) <= JWT_ID_MAX && strlen(c.jti) <= JWT_ID_MAX);
        assert(c.exp_s > 0 && c.exp_s <= JWT_TIME_MAX_S && c.nbf_s >= 0 && c.nbf_s <= JWT_TIME_MAX_S);
        assert(jwt_judge(&c, "view", "cam", c.exp_s) != JWT_OK);
        (void)jwt_judge(&c, c.sub, "a-stream", c.nbf_s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct jwt_keys *keys;
        char why[128], *text;
        if (!keys && jwt_keys_parse(&keys, set, strlen(set), why, sizeof(why)) != 0)
                abort();
        if (size == 0)
                return 0;
        data++, size--;
        text = malloc(2 * size + 128);
        if (data[-1] == 'k') {
                struct jwt_keys *given;
                memcpy(text, data, size);
                if (jwt_keys_parse(&given, text, size, why, sizeof(why)) == 0)
                        jwt_keys_unref(&given);
                else
                        assert(!given && strlen(why) > 0);
        } else if (data[-1] == 's') {
                try_token(keys, text, sign(text, data, size));
        } else {
                memcpy(text, data, size);
                try_token(keys, text, size);
        }
        free(text);
        return 0;
}
