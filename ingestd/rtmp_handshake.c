#include "ingestd/rtmp_handshake.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <sys/random.h>

#define DIGEST_BYTES 32
#define VERSION_AT 4 /* in C1 and S1, after the 4-byte time */

/* The digest lies somewhere after one of two bases; four bytes at the base say where, modulo 728. */
static const unsigned bases[] = {772, 8};

/* The keys are two sentences, each followed by the same 32 bytes where the peer's second part is signed. */
#define KEY_TAIL                                                                                                       \
        "\xf0\xee\xc2\x4a\x80\x68\xbe\xe8\x2e\x00\xd0\xd1\x02\x9e\x7e\x57\x6e\xec\x5d\x2d\x29\x80\x6f\xab\x93\xb8\xe6" \
        "\x36\xcf\xeb\x31\xae"
static const char client_key[] = "Genuine Adobe Flash Player 001";
static const char server_key[] = "Genuine Adobe Flash Media Server 001" KEY_TAIL;
#define SERVER_KEY_SHORT 36
#define SERVER_KEY_FULL 68

_Static_assert(sizeof(server_key) - 1 == SERVER_KEY_FULL, "server key");

static void hmac(uint8_t out[DIGEST_BYTES], const void *key, size_t key_len, const uint8_t *data, size_t len)
{
        unsigned n = 0;
        const void *ok = HMAC(EVP_sha256(), key, (int)key_len, data, len, out, &n);
        assert(ok && n == DIGEST_BYTES);
}

static unsigned digest_offset(const uint8_t part[RTMP_HANDSHAKE_PART], unsigned base)
{
        return (part[base] + part[base + 1] + part[base + 2] + part[base + 3]) % 728u + base + 4;
}

/* The digest of a part covers everything but the digest itself. */
static void part_digest(uint8_t out[DIGEST_BYTES], const uint8_t part[RTMP_HANDSHAKE_PART], unsigned at,
                        const void *key, size_t key_len)
{
        uint8_t rest[RTMP_HANDSHAKE_PART - DIGEST_BYTES];
        memcpy(rest, part, at);
        memcpy(rest + at, part + at + DIGEST_BYTES, sizeof(rest) - at);
        hmac(out, key, key_len, rest, sizeof(rest));
}

enum rtmp_handshake_kind rtmp_handshake_kind(const uint8_t c1[RTMP_HANDSHAKE_PART], unsigned *digest_at)
{
        static const uint8_t no_version[4];
        if (memcmp(c1 + VERSION_AT, no_version, sizeof(no_version)) == 0)
                return RTMP_HANDSHAKE_SIMPLE;
        for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
                uint8_t digest[DIGEST_BYTES];
                unsigned at = digest_offset(c1, bases[i]);
                part_digest(digest, c1, at, client_key, sizeof(client_key) - 1);
                if (memcmp(digest, c1 + at, sizeof(digest)) == 0) {
                        *digest_at = at;
                        return RTMP_HANDSHAKE_DIGEST;
                }
        }
        return RTMP_HANDSHAKE_SIMPLE;
}

bool rtmp_handshake_version_ok(uint8_t c0)
{
        return c0 == RTMP_VERSION;
}

static void fill_random(uint8_t *p, size_t n)
{
        while (n) {
                ssize_t got = getrandom(p, n, 0);
                assert(got > 0 || errno == EINTR);
                if (got > 0) {
                        p += got;
                        n -= (size_t)got;
                }
        }
}

/* S1 carries its digest where C1 had it by the same scheme; S2 is signed with a key made from C1's digest. */
static void answer_digest(uint8_t *s1, uint8_t *s2, const uint8_t *c1, unsigned at)
{
        static const uint8_t version[4] = {4, 5, 0, 1};
        unsigned base = at >= bases[0] + 4 ? bases[0] : bases[1];
        memcpy(s1 + VERSION_AT, version, sizeof(version));
        unsigned s1_at = digest_offset(s1, base);
        part_digest(s1 + s1_at, s1, s1_at, server_key, SERVER_KEY_SHORT);

        uint8_t key[DIGEST_BYTES];
        hmac(key, server_key, SERVER_KEY_FULL, c1 + at, DIGEST_BYTES);
        fill_random(s2, RTMP_HANDSHAKE_PART - DIGEST_BYTES);
        hmac(s2 + RTMP_HANDSHAKE_PART - DIGEST_BYTES, key, sizeof(key), s2, RTMP_HANDSHAKE_PART - DIGEST_BYTES);
}

void rtmp_handshake_answer(uint8_t out[RTMP_HANDSHAKE_ANSWER], const uint8_t c1[RTMP_HANDSHAKE_PART])
{
        uint8_t *s1 = out + 1, *s2 = s1 + RTMP_HANDSHAKE_PART;
        unsigned at;
        out[0] = RTMP_VERSION;
        memset(s1, 0, 8); /* time 0, no version: what a simple peer must see */
        fill_random(s1 + 8, RTMP_HANDSHAKE_PART - 8);
        if (rtmp_handshake_kind(c1, &at) == RTMP_HANDSHAKE_DIGEST)
                answer_digest(s1, s2, c1, at);
        else
                memcpy(s2, c1, RTMP_HANDSHAKE_PART);
}
