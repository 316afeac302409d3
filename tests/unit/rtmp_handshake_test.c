#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "ingestd/rtmp_handshake.h"

#define PART RTMP_HANDSHAKE_PART

static const uint8_t tail[] = {0xf0, 0xee, 0xc2, 0x4a, 0x80, 0x68, 0xbe, 0xe8, 0x2e, 0x00, 0xd0, 0xd1, 0x02, 0x9e, 0x7e, 0x57,
                               0x6e, 0xec, 0x5d, 0x2d, 0x29, 0x80, 0x6f, 0xab, 0x93, 0xb8, 0xe6, 0x36, 0xcf, 0xeb, 0x31, 0xae};
static const char server_words[] = "Genuine Adobe Flash Media Server 001";
static const char client_words[] = "Genuine Adobe Flash Player 001";

static void fill(uint8_t *p, size_t n, unsigned seed)
{
        for (size_t i = 0; i < n; i++)
                p[i] = (uint8_t)(seed = seed * 1103515245u + 12345u, seed >> 16);
}

static unsigned offset(const uint8_t *part, unsigned base)
{
        return (part[base] + part[base + 1] + part[base + 2] + part[base + 3]) % 728 + base + 4;
}

static void digest(uint8_t out[32], const uint8_t *part, unsigned at, const char *words)
{
        uint8_t rest[PART - 32];
        unsigned n = 32;
        memcpy(rest, part, at);
        memcpy(rest + at, part + at + 32, PART - 32 - at);
        HMAC(EVP_sha256(), words, (int)strlen(words), rest, sizeof(rest), out, &n);
}

static void digest_c1(uint8_t c1[PART], unsigned base, unsigned seed)
{
        fill(c1, PART, seed);
        memcpy(c1 + 4, "\x09\x00\x7c\x02", 4);
        unsigned at = offset(c1, base);
        digest(c1 + at, c1, at, client_words);
}

static void test_simple_peer_sees_zero_version_and_its_own_bytes(void **state)
{
        (void)state;
        uint8_t c1[PART], out[RTMP_HANDSHAKE_ANSWER];
        fill(c1, PART, 7);
        memset(c1 + 4, 0, 4);
        rtmp_handshake_answer(out, c1);
        assert_int_equal(out[0], 3);
        assert_memory_equal(out + 5, "\0\0\0\0", 4);
        assert_memory_equal(out + 1 + PART, c1, PART);
}

static void check_digest_answer(unsigned base, unsigned seed)
{
        uint8_t c1[PART], out[RTMP_HANDSHAKE_ANSWER], want[32], key[32], full[36 + 32];
        unsigned at = 0, n = 32;
        digest_c1(c1, base, seed);
        assert_int_equal(rtmp_handshake_kind(c1, &at), RTMP_HANDSHAKE_DIGEST);
        assert_int_equal(at, offset(c1, base));
        rtmp_handshake_answer(out, c1);

        const uint8_t *s1 = out + 1, *s2 = s1 + PART;
        assert_true(s1[4] >= 3); /* a digest client only then looks for the digest */
        unsigned s1_at = offset(s1, base);
        digest(want, s1, s1_at, server_words);
        assert_memory_equal(want, s1 + s1_at, 32);

        memcpy(full, server_words, 36);
        memcpy(full + 36, tail, 32);
        HMAC(EVP_sha256(), full, sizeof(full), c1 + at, 32, key, &n);
        HMAC(EVP_sha256(), key, 32, s2, PART - 32, want, &n);
        assert_memory_equal(want, s2 + PART - 32, 32);
}

static void test_digest_of_both_schemes_is_answered_in_kind(void **state)
{
        (void)state;
        for (unsigned seed = 1; seed <= 20; seed++) {
                check_digest_answer(772, seed);
                check_digest_answer(8, seed);
        }
}

static void test_version_without_a_valid_digest_falls_back_to_echo(void **state)
{
        (void)state;
        uint8_t c1[PART], out[RTMP_HANDSHAKE_ANSWER];
        digest_c1(c1, 772, 3);
        c1[PART - 1] ^= 1;
        rtmp_handshake_answer(out, c1);
        assert_memory_equal(out + 5, "\0\0\0\0", 4);
        assert_memory_equal(out + 1 + PART, c1, PART);
}

static void test_two_answers_differ_in_their_random_bytes(void **state)
{
        (void)state;
        uint8_t c1[PART] = {0}, a[RTMP_HANDSHAKE_ANSWER], b[RTMP_HANDSHAKE_ANSWER];
        rtmp_handshake_answer(a, c1);
        rtmp_handshake_answer(b, c1);
        assert_memory_not_equal(a + 9, b + 9, PART - 8);
}

static void test_only_version_3_is_spoken(void **state)
{
        (void)state;
        assert_true(rtmp_handshake_version_ok(3));
        assert_false(rtmp_handshake_version_ok(6)); /* encrypted */
        assert_false(rtmp_handshake_version_ok('G')); /* HTTP */
        assert_false(rtmp_handshake_version_ok(0x16)); /* TLS */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_simple_peer_sees_zero_version_and_its_own_bytes),
                cmocka_unit_test(test_digest_of_both_schemes_is_answered_in_kind),
                cmocka_unit_test(test_version_without_a_valid_digest_falls_back_to_echo),
                cmocka_unit_test(test_two_answers_differ_in_their_random_bytes),
                cmocka_unit_test(test_only_version_3_is_spoken),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
