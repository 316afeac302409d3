/* Names of the steps are those of "Signature Version 4 signing process" in the documentation of AWS. */
#include "originD/archive/sigv4.h"

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/err.h"

/* A bounded text; full: something did not fit, and the whole is of no use. */
struct text {
        char *at;
        size_t len, cap;
        int full;
};

static void put_bytes(struct text *t, const char *s, size_t n)
{
        if (n >= t->cap - t->len) {
                t->full = 1;
                return;
        }
        memcpy(t->at + t->len, s, n);
        t->len += n;
        t->at[t->len] = '\0';
}

static void put(struct text *t, const char *s)
{
        put_bytes(t, s, strlen(s));
}

size_t sigv4_encode(char *dst, size_t cap, size_t n, const char *s, int keep_slash)
{
        static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
        static const char hex[] = "0123456789ABCDEF";
        for (; *s; s++) {
                unsigned char c = (unsigned char)*s;
                if (n + 3 >= cap)
                        return cap;
                if (strchr(plain, c) || (c == '/' && keep_slash)) {
                        dst[n++] = (char)c;
                        continue;
                }
                dst[n++] = '%';
                dst[n++] = hex[c >> 4];
                dst[n++] = hex[c & 15];
        }
        if (n < cap)
                dst[n] = '\0';
        return n;
}

static void put_encoded(struct text *t, const char *s)
{
        size_t n = sigv4_encode(t->at, t->cap, t->len, s, 0);
        if (n >= t->cap)
                t->full = 1;
        else
                t->len = n;
}

/* A header's value: without blanks around it, and one blank for several (RFC 9110 knows no difference). */
static void put_trimmed(struct text *t, const char *s)
{
        for (s += strspn(s, " \t"); *s;) {
                size_t word = strcspn(s, " \t");
                put_bytes(t, s, word);
                s += word;
                s += strspn(s, " \t");
                if (*s)
                        put(t, " ");
        }
}

static int by_name(const void *a, const void *b)
{
        const struct sigv4_pair *x = a, *y = b;
        int names = strcmp(x->name, y->name);
        return names ? names : strcmp(x->value, y->value);
}

static void put_hex(struct text *t, const unsigned char *bytes, size_t n)
{
        char two[3];
        for (size_t i = 0; i < n; i++) {
                snprintf(two, sizeof(two), "%02x", bytes[i]);
                put_bytes(t, two, 2);
        }
}

void sigv4_sha256(char dst[SIGV4_SHA256_MAX], const void *data, size_t len_bytes)
{
        unsigned char hash[SHA256_DIGEST_LENGTH];
        unsigned n = 0;
        int ok = EVP_Digest(data, len_bytes, hash, &n, EVP_sha256(), NULL);
        assert(ok && n == sizeof(hash));
        struct text t = {.at = dst, .cap = SIGV4_SHA256_MAX};
        put_hex(&t, hash, sizeof(hash));
}

void sigv4_date(char dst[SIGV4_DATE_MAX], int64_t real_us)
{
        time_t s = real_us / US_PER_S;
        struct tm tm;
        gmtime_r(&s, &tm);
        strftime(dst, SIGV4_DATE_MAX, "%Y%m%dT%H%M%SZ", &tm);
}

static void sort_pairs(struct sigv4_pair sorted[SIGV4_PAIRS_MAX], const struct sigv4_pair *pairs, size_t n)
{
        if (!n)
                return;
        memcpy(sorted, pairs, n * sizeof(sorted[0]));
        qsort(sorted, n, sizeof(sorted[0]), by_name);
}

static void signed_headers(struct text *t, const struct sigv4_pair *sorted, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                put(t, i ? ";" : "");
                put(t, sorted[i].name);
        }
}

static void canonical_request(struct text *t, const struct sigv4_request *r)
{
        struct sigv4_pair sorted[SIGV4_PAIRS_MAX];
        put(t, r->method);
        put(t, "\n");
        put(t, r->path);
        put(t, "\n");
        sort_pairs(sorted, r->query, r->query_count); /* our names need no encoding that would change their order */
        for (size_t i = 0; i < r->query_count; i++) {
                put(t, i ? "&" : "");
                put_encoded(t, sorted[i].name);
                put(t, "=");
                put_encoded(t, sorted[i].value);
        }
        put(t, "\n");
        sort_pairs(sorted, r->headers, r->header_count);
        for (size_t i = 0; i < r->header_count; i++) {
                put(t, sorted[i].name);
                put(t, ":");
                put_trimmed(t, sorted[i].value);
                put(t, "\n");
        }
        put(t, "\n");
        signed_headers(t, sorted, r->header_count);
        put(t, "\n");
        put(t, r->payload_sha256);
}

static void hmac(unsigned char out[SHA256_DIGEST_LENGTH], const void *key, size_t key_len, const char *text)
{
        unsigned n = 0;
        unsigned char *ok = HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text, strlen(text), out, &n);
        assert(ok && n == SHA256_DIGEST_LENGTH);
        (void)ok;
}

/* A key for this day, region and service only, so that a signature gives nothing away that is good for long. */
static int signing_key(unsigned char out[SHA256_DIGEST_LENGTH], const struct sigv4_keys *keys, const char *day)
{
        char secret[160];
        int len = snprintf(secret, sizeof(secret), "AWS4%s", keys->secret_key);
        if (len < 0 || (size_t)len >= sizeof(secret))
                return ERR_LIMIT;
        hmac(out, secret, (size_t)len, day);
        hmac(out, out, SHA256_DIGEST_LENGTH, keys->region);
        hmac(out, out, SHA256_DIGEST_LENGTH, keys->service);
        hmac(out, out, SHA256_DIGEST_LENGTH, "aws4_request");
        OPENSSL_cleanse(secret, sizeof(secret));
        return 0;
}

int sigv4_authorization(char dst[SIGV4_AUTHORIZATION_MAX], const struct sigv4_request *r, const struct sigv4_keys *keys,
                        const char *date)
{
        char canonical[SIGV4_CANONICAL_MAX], to_sign[512], scope[160], hash[SIGV4_SHA256_MAX], day[9];
        unsigned char key[SHA256_DIGEST_LENGTH], signature[SHA256_DIGEST_LENGTH];
        struct text c = {.at = canonical, .cap = sizeof(canonical)}, out = {.at = dst, .cap = SIGV4_AUTHORIZATION_MAX};
        if (r->query_count > SIGV4_PAIRS_MAX || r->header_count > SIGV4_PAIRS_MAX || strlen(date) != SIGV4_DATE_MAX - 1)
                return ERR_LIMIT;
        canonical_request(&c, r);
        snprintf(day, sizeof(day), "%.8s", date);
        int n = snprintf(scope, sizeof(scope), "%s/%s/%s/aws4_request", day, keys->region, keys->service);
        if (c.full || n < 0 || (size_t)n >= sizeof(scope) || signing_key(key, keys, day))
                return ERR_LIMIT;
        sigv4_sha256(hash, canonical, c.len);
        snprintf(to_sign, sizeof(to_sign), "AWS4-HMAC-SHA256\n%s\n%s\n%s", date, scope, hash);
        hmac(signature, key, sizeof(key), to_sign);
        OPENSSL_cleanse(key, sizeof(key));

        struct sigv4_pair sorted[SIGV4_PAIRS_MAX];
        sort_pairs(sorted, r->headers, r->header_count);
        put(&out, "AWS4-HMAC-SHA256 Credential=");
        put(&out, keys->access_key);
        put(&out, "/");
        put(&out, scope);
        put(&out, ", SignedHeaders=");
        signed_headers(&out, sorted, r->header_count);
        put(&out, ", Signature=");
        put_hex(&out, signature, sizeof(signature));
        return out.full ? ERR_LIMIT : 0;
}
