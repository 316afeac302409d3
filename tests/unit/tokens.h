/* tokens.h - makes tokens and key sets for tests: HS256 with two secrets, ES256 with the key of RFC 7515, A.3. Texts are malloc'd
 * and the caller's. */
#ifndef TESTS_TOKENS_H
#define TESTS_TOKENS_H

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#define EC_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define EC_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define EC_D "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"

#define TOKEN_SECRET_A "the first secret of thirty-two.." /* 32 bytes each */
#define TOKEN_SECRET_B "the other secret of thirty-two.."
#define OCT(kid, k) "{\"kty\":\"oct\",\"kid\":\"" kid "\",\"k\":\"" k "\"}"
#define EC_KEY(kid) "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"" kid "\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"}"
#define SET(...) "{\"keys\":[" __VA_ARGS__ "]}"

#define SECRET_A "dGhlIGZpcnN0IHNlY3JldCBvZiB0aGlydHktdHdvLi4"
#define SECRET_B "dGhlIG90aGVyIHNlY3JldCBvZiB0aGlydHktdHdvLi4"

static inline char *encode(const void *bytes, size_t len)
{
        char *text = mem_alloc(4 * len / 3 + 8);
        EVP_EncodeBlock((uint8_t *)text, bytes, (int)len);
        for (char *p = text; *p; p++)
                *p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
        text[strcspn(text, "=")] = 0;
        return text;
}

static inline char *join(char *a, char *b) /* takes both */
{
        char *whole = mem_printf("%s.%s", a, b);
        free(a);
        free(b);
        return whole;
}

static inline char *input_of(const char *header, const char *claims)
{
        return join(encode(header, strlen(header)), encode(claims, strlen(claims)));
}

static inline char *hs256(const char *header, const char *claims, const void *secret, size_t secret_len)
{
        uint8_t mac[32];
        unsigned len;
        char *input = input_of(header, claims);
        HMAC(EVP_sha256(), secret, (int)secret_len, (uint8_t *)input, strlen(input), mac, &len);
        return join(input, encode(mac, 32));
}

static inline EVP_PKEY *private_key(void)
{
        static const uint8_t d[] = {0x8e, 0x9b, 0x10, 0x9e, 0x71, 0x90, 0x98, 0xbf, 0x98, 0x04, 0x87, 0xdf, 0x1f, 0x5d, 0x77, 0xe9,
                                    0xcb, 0x29, 0x60, 0x6e, 0xbe, 0xd2, 0x26, 0x3b, 0x5f, 0x57, 0xc2, 0x13, 0xdf, 0x84, 0xf4, 0xb2};
        uint8_t little[32];
        EVP_PKEY *key = NULL;
        for (int i = 0; i < 32; i++)
                little[i] = d[31 - i];
        OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("group", (char *)(uintptr_t)"P-256", 0),
                               OSSL_PARAM_construct_BN("priv", little, 32), OSSL_PARAM_construct_end()};
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
        int made = EVP_PKEY_fromdata_init(ctx) == 1 && EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) == 1;
        assert(made);
        (void)made;
        EVP_PKEY_CTX_free(ctx);
        return key;
}

static inline char *es256(const char *header, const char *claims)
{
        uint8_t der[80], raw[64];
        size_t len = sizeof(der);
        const uint8_t *p = der;
        char *input = input_of(header, claims);
        EVP_PKEY *key = private_key();
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        int made = EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
                   EVP_DigestSign(ctx, der, &len, (uint8_t *)input, strlen(input)) == 1;
        assert(made);
        (void)made;
        ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)len);
        BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32);
        BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32);
        ECDSA_SIG_free(sig);
        EVP_MD_CTX_free(ctx);
        EVP_PKEY_free(key);
        return join(input, encode(raw, 64));
}

#endif
