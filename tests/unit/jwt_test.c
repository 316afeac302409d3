/* jwt: only who has the key can make a token, whatever the token says of itself; time and use are judged apart. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "common/err.h"
#include "common/jwt.h"
#include "scratch.h"
#include "tokens.h"

/* RFC 7515, appendices A.1 and A.3 */
#define RFC_SECRET "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
#define RFC_CLAIMS "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
#define RFC_HS256 "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." RFC_CLAIMS ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define RFC_ES256                                                                                                      \
        "eyJhbGciOiJFUzI1NiJ9." RFC_CLAIMS                                                                             \
        ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"

#define BOTH SET(OCT("a", SECRET_A) "," OCT("b", SECRET_B) "," EC_KEY("e"))

/* ---- asking --------------------------------------------------------------------------------------------------- */

static struct jwt_keys *parse(const char *json)
{
        struct jwt_keys *keys;
        char why[200] = "";
        if (jwt_keys_parse(&keys, json, strlen(json), why, sizeof(why)) != 0)
                fail_msg("%s", why);
        return keys;
}

static struct jwt_claims claims;

static enum jwt_fault verify(const char *set, const char *token)
{
        struct jwt_keys *keys = parse(set);
        memset(&claims, 0x55, sizeof(claims));
        enum jwt_fault fault = jwt_verify(keys, token, strlen(token), &claims, NULL);
        jwt_keys_unref(&keys);
        return fault;
}

static enum jwt_fault verify_taken(const char *set, char *token)
{
        enum jwt_fault fault = verify(set, token);
        free(token);
        return fault;
}

#define GOOD "{\"sub\":\"view\",\"path\":\"cam-*\",\"exp\":2000,\"nbf\":1000,\"jti\":\"t1\"}"

/* ---- tests ---------------------------------------------------------------------------------------------------- */

static void test_the_vectors_of_rfc_7515_verify(void **state)
{
        (void)state;
        /* Their claims have no sub: that is found only after the signature was right. */
        assert_int_equal(verify(SET(OCT("k", RFC_SECRET)), RFC_HS256), JWT_SUB);
        assert_int_equal(verify(SET(EC_KEY("k")), RFC_ES256), JWT_SUB);
        char changed[] = RFC_HS256;
        changed[strlen(changed) - 10]++;
        assert_int_equal(verify(SET(OCT("k", RFC_SECRET)), changed), JWT_SIGNATURE);
        char other[] = RFC_ES256;
        other[strlen(other) - 10]++;
        assert_int_equal(verify(SET(EC_KEY("k")), other), JWT_SIGNATURE);
        assert_int_equal(verify(SET(OCT("k", SECRET_A)), RFC_HS256), JWT_SIGNATURE);
}

static void test_claims_come_out_as_they_were_signed(void **state)
{
        (void)state;
        assert_int_equal(verify_taken(BOTH, hs256("{\"alg\":\"HS256\",\"kid\":\"b\"}", GOOD, TOKEN_SECRET_B, 32)), JWT_OK);
        assert_string_equal(claims.sub, "view");
        assert_string_equal(claims.path, "cam-*");
        assert_string_equal(claims.kid, "b");
        assert_string_equal(claims.jti, "t1");
        assert_int_equal(claims.exp_s, 2000);
        assert_int_equal(claims.nbf_s, 1000);
        assert_int_equal(claims.until_s, 0);
        assert_int_equal(verify_taken(BOTH, es256("{\"alg\":\"ES256\",\"kid\":\"e\"}", "{\"sub\":\"publish\",\"path\":\"x\",\"exp\":5,\"until\":7}")),
                         JWT_OK);
        assert_int_equal(claims.until_s, 7);
        assert_string_equal(claims.sub, "publish");
        assert_string_equal(claims.kid, "e");
        assert_string_equal(claims.jti, "");
        assert_int_equal(claims.nbf_s, 0);
}

static void test_without_a_kid_every_key_of_the_algorithm_is_tried(void **state)
{
        (void)state;
        assert_int_equal(verify_taken(BOTH, hs256("{\"alg\":\"HS256\"}", GOOD, TOKEN_SECRET_A, 32)), JWT_OK);
        assert_string_equal(claims.kid, "a");
        assert_int_equal(verify_taken(BOTH, hs256("{\"alg\":\"HS256\"}", GOOD, TOKEN_SECRET_B, 32)), JWT_OK);
        assert_string_equal(claims.kid, "b");
        struct jwt_keys *keys = parse(BOTH);
        char *token = hs256("{\"alg\":\"HS256\"}", GOOD, "somebody else's secret, 32 bytes", 32);
        unsigned signatures = 0;
        assert_int_equal(jwt_verify(keys, token, strlen(token), &claims, &signatures), JWT_SIGNATURE);
        assert_int_equal(signatures, 2);
        free(token);
        jwt_keys_unref(&keys);
}

static void test_a_kid_names_the_only_key_that_counts(void **state)
{
        (void)state;
        assert_int_equal(verify_taken(BOTH, hs256("{\"alg\":\"HS256\",\"kid\":\"a\"}", GOOD, TOKEN_SECRET_B, 32)), JWT_SIGNATURE);
        assert_int_equal(verify_taken(BOTH, hs256("{\"alg\":\"HS256\",\"kid\":\"c\"}", GOOD, TOKEN_SECRET_A, 32)), JWT_KEY);
        assert_int_equal(verify_taken(BOTH, hs256("{\"alg\":\"HS256\",\"kid\":\"\"}", GOOD, TOKEN_SECRET_A, 32)), JWT_KEY);
        assert_int_equal(verify_taken(BOTH, hs256("{\"alg\":\"HS256\",\"kid\":7}", GOOD, TOKEN_SECRET_A, 32)), JWT_KEY);
}

static void test_the_key_decides_the_algorithm_and_never_the_token(void **state)
{
        (void)state;
        uint8_t point[65];
        static const char *const none[] = {"{\"alg\":\"none\"}", "{\"alg\":\"None\"}", "{\"alg\":\"\"}", "{\"alg\":null}",
                                           "{\"alg\":[\"HS256\"]}", "{\"typ\":\"JWT\"}", "{\"alg\":\"HS512\"}",
                                           "{\"alg\":\"RS256\"}", "{\"alg\":\"hs256\"}", "{\"alg\":\"HS256 \"}"};
        for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
                assert_int_equal(verify_taken(BOTH, hs256(none[i], GOOD, TOKEN_SECRET_A, 32)), JWT_KEY);
                assert_int_equal(verify_taken(BOTH, join(input_of(none[i], GOOD), mem_strdup(""))), JWT_KEY);
        }
        assert_int_equal(verify_taken(BOTH, join(input_of("{\"alg\":\"HS256\"}", GOOD), mem_strdup(""))), JWT_SIGNATURE);
        /* The public key, which everybody has, as an HMAC secret: in the forms in which libraries keep it */
        point[0] = 4;
        assert_int_equal(EVP_DecodeBlock(point + 1, (const uint8_t *)"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU=", 44), 33);
        assert_int_equal(verify_taken(SET(EC_KEY("e")), hs256("{\"alg\":\"HS256\",\"kid\":\"e\"}", GOOD, point + 1, 32)), JWT_KEY);
        assert_int_equal(verify_taken(SET(EC_KEY("e")), hs256("{\"alg\":\"ES256\",\"kid\":\"e\"}", GOOD, EC_X, 43)), JWT_SIGNATURE);
        /* An ES256 signature does not pass for an HS256 key's, nor is a key in the token ever used */
        assert_int_equal(verify_taken(SET(OCT("e", SECRET_A)), es256("{\"alg\":\"ES256\",\"kid\":\"e\"}", GOOD)), JWT_KEY);
        assert_int_equal(verify_taken(SET(OCT("a", SECRET_A)), es256("{\"alg\":\"ES256\",\"jwk\":" EC_KEY("e") "}", GOOD)), JWT_KEY);
        assert_int_equal(verify_taken(BOTH, hs256("{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", GOOD, TOKEN_SECRET_A, 32)),
                         JWT_CRIT);
}

static void test_a_signature_that_is_cut_or_longer_is_wrong(void **state)
{
        (void)state;
        char *token = es256("{\"alg\":\"ES256\",\"kid\":\"e\"}", GOOD), *longer = mem_printf("%sAAAA", token);
        assert_int_equal(verify(BOTH, token), JWT_OK);
        assert_int_equal(verify(BOTH, longer), JWT_MALFORMED); /* 67 bytes */
        for (size_t cut = 1; cut < 86; cut++) {
                token[strlen(token) - 1] = 0;
                enum jwt_fault fault = verify(BOTH, token);
                assert_true(fault == JWT_SIGNATURE || fault == JWT_MALFORMED);
        }
        free(token);
        free(longer);
        char *zeros = join(input_of("{\"alg\":\"ES256\",\"kid\":\"e\"}", GOOD), encode((uint8_t[64]){0}, 64));
        assert_int_equal(verify_taken(BOTH, zeros), JWT_SIGNATURE); /* r = s = 0 */
        uint8_t ones[64];
        memset(ones, 0xff, sizeof(ones));
        assert_int_equal(verify_taken(BOTH, join(input_of("{\"alg\":\"ES256\",\"kid\":\"e\"}", GOOD), encode(ones, 64))), JWT_SIGNATURE);
        char *mac = hs256("{\"alg\":\"HS256\",\"kid\":\"a\"}", GOOD, TOKEN_SECRET_A, 32);
        mac[strlen(mac) - 11] = 0; /* 24 bytes, all of them right */
        assert_int_equal(verify_taken(BOTH, mac), JWT_SIGNATURE);
}

static void test_any_change_of_a_token_is_seen(void **state)
{
        (void)state;
        char *token = hs256("{\"alg\":\"HS256\",\"kid\":\"a\"}", GOOD, TOKEN_SECRET_A, 32);
        for (size_t i = 0; i < strlen(token); i++) {
                char was = token[i];
                static const char others[] = "Aa0_-.=+/ \n%";
                for (const char *c = others; *c; c++) {
                        token[i] = *c;
                        if (*c != was)
                                assert_int_not_equal(verify(BOTH, token), JWT_OK);
                }
                token[i] = was;
        }
        assert_int_equal(verify_taken(BOTH, token), JWT_OK);
}

static void test_what_is_no_token_is_malformed(void **state)
{
        (void)state;
        static const char *const not[] = {"", ".", "..", "...", "a.b.c", "eyJhbGciOiJIUzI1NiJ9", "eyJhbGciOiJIUzI1NiJ9.e30",
                                          "e30=.e30.AAAA", "W10.e30.AAAA", "IngI.e30.AAAA", "\xff.\xfe.\xfd"};
        for (size_t i = 0; i < sizeof(not) / sizeof(not[0]); i++)
                assert_int_equal(verify(BOTH, not[i]), JWT_MALFORMED);
        char *token = hs256("{\"alg\":\"HS256\"}", GOOD, TOKEN_SECRET_A, 32);
        char *four = mem_printf("%s.AAAA", token), *padded = mem_printf("%s=", token), *spaced = mem_printf(" %s", token);
        assert_int_equal(verify_taken(BOTH, four), JWT_MALFORMED);
        assert_int_equal(verify_taken(BOTH, padded), JWT_MALFORMED);
        assert_int_equal(verify_taken(BOTH, spaced), JWT_MALFORMED);
        token[strlen(token) - 1]++; /* 43 characters hold 258 bits, the last two must be 0 */
        assert_int_equal(verify_taken(BOTH, token), JWT_MALFORMED);
        assert_int_equal(verify_taken(BOTH, hs256("{\"alg\":\"none\",\"alg\":\"HS256\"}", GOOD, TOKEN_SECRET_A, 32)), JWT_MALFORMED);
        assert_int_equal(verify_taken(BOTH, hs256("{\"alg\":\"HS256\"}", "{\"exp\":1,\"sub\":\"view\",\"path\":\"*\",\"exp\":9000}", TOKEN_SECRET_A, 32)),
                         JWT_MALFORMED);
        /* a token in a token */
        char *inner = hs256("{\"alg\":\"HS256\"}", GOOD, TOKEN_SECRET_A, 32), *quoted = mem_printf("\"%s\"", inner);
        assert_int_equal(verify_taken(BOTH, hs256("{\"alg\":\"HS256\",\"cty\":\"JWT\"}", inner, TOKEN_SECRET_A, 32)), JWT_MALFORMED);
        assert_int_equal(verify_taken(BOTH, hs256("{\"alg\":\"HS256\",\"cty\":\"JWT\"}", quoted, TOKEN_SECRET_A, 32)), JWT_MALFORMED);
        free(inner);
        free(quoted);
}

static void test_a_token_is_not_longer_than_2048_bytes(void **state)
{
        (void)state;
        char filler[2200];
        memset(filler, 'x', sizeof(filler));
        unsigned fitted = 0, refused_long = 0;
        for (int len = 1370; len < 1500; len++) {
                char *body = mem_printf("{\"sub\":\"view\",\"path\":\"*\",\"exp\":9,\"x\":\"%.*s\"}", len, filler);
                char *token = hs256("{\"alg\":\"HS256\"}", body, TOKEN_SECRET_A, 32);
                assert_int_equal(verify(BOTH, token), strlen(token) <= 2048 ? JWT_OK : JWT_LONG);
                fitted += strlen(token) <= 2048;
                refused_long += strlen(token) > 2048;
                free(token);
                free(body);
        }
        assert_true(fitted > 0 && refused_long > 0);
        char *deep = mem_alloc(2000);
        memset(deep, '[', 1400);
        assert_int_equal(verify_taken(BOTH, hs256("{\"alg\":\"HS256\"}", deep, TOKEN_SECRET_A, 32)), JWT_MALFORMED);
        free(deep);
}

static void test_times_are_seconds_that_there_are(void **state)
{
        (void)state;
        static const struct {
                const char *exp;
                enum jwt_fault fault;
        } rows[] = {{"1", JWT_OK}, {"1700000000.9", JWT_OK}, {"253402300799", JWT_OK}, {"253402300800", JWT_EXP},
                    {"9223372036854775807", JWT_EXP}, {"9223372036854775808", JWT_MALFORMED}, {"-1", JWT_EXP}, {"0", JWT_EXP},
                    {"-9223372036854775808", JWT_EXP}, {"1e300", JWT_EXP}, {"-1e300", JWT_EXP}, {"1e999", JWT_MALFORMED},
                    {"NaN", JWT_MALFORMED}, {"0.5", JWT_EXP}, {"\"2000\"", JWT_EXP}, {"null", JWT_EXP}, {"true", JWT_EXP},
                    {"[2000]", JWT_EXP}, {"{}", JWT_EXP}};
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                char *body = mem_printf("{\"sub\":\"view\",\"path\":\"*\",\"exp\":%s}", rows[i].exp);
                assert_int_equal(verify_taken(BOTH, hs256("{\"alg\":\"HS256\"}", body, TOKEN_SECRET_A, 32)), rows[i].fault);
                free(body);
        }
        assert_int_equal(verify_taken(BOTH, hs256("{\"alg\":\"HS256\"}", "{\"sub\":\"view\",\"path\":\"*\",\"exp\":1700000000.9}",
                                                  TOKEN_SECRET_A, 32)), JWT_OK);
        assert_int_equal(claims.exp_s, 1700000000);
        assert_int_equal(verify_taken(BOTH, hs256("{\"alg\":\"HS256\"}", "{\"sub\":\"view\",\"path\":\"*\",\"exp\":9,\"nbf\":\"1\"}",
                                                  TOKEN_SECRET_A, 32)), JWT_NBF);
        assert_int_equal(verify_taken(BOTH, hs256("{\"alg\":\"HS256\"}", "{\"sub\":\"view\",\"path\":\"*\",\"exp\":9,\"until\":-1}",
                                                  TOKEN_SECRET_A, 32)), JWT_UNTIL);
}

static void test_a_claim_that_is_missing_or_of_another_kind_is_named(void **state)
{
        (void)state;
        static const struct {
                const char *claims;
                enum jwt_fault fault;
        } rows[] = {{"{}", JWT_SUB}, {"{\"sub\":5}", JWT_SUB}, {"{\"sub\":\"\"}", JWT_SUB}, {"{\"sub\":\"view\"}", JWT_PATH},
                    {"{\"sub\":\"view\",\"path\":[\"*\"],\"exp\":9}", JWT_PATH}, {"{\"sub\":\"view\",\"path\":\"\",\"exp\":9}", JWT_PATH},
                    {"{\"sub\":\"view\",\"path\":\"*\"}", JWT_EXP}, {"{\"sub\":\"view\",\"path\":\"*\",\"exp\":9,\"jti\":1}", JWT_JTI},
                    {"{\"sub\":\"a sub of more than thirty-two bytes.\",\"path\":\"*\",\"exp\":9}", JWT_SUB},
                    {"{\"sub\":\"view\\u0000\",\"path\":\"*\",\"exp\":9}", JWT_MALFORMED}};
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                assert_int_equal(verify_taken(BOTH, hs256("{\"alg\":\"HS256\"}", rows[i].claims, TOKEN_SECRET_A, 32)), rows[i].fault);
                assert_true(strlen(jwt_fault_text(rows[i].fault)) > 10);
        }
}

static void test_use_stream_and_time_are_judged_each_time(void **state)
{
        (void)state;
        const struct jwt_claims c = {.sub = "view", .path = "cam-*", .nbf_s = 1000, .exp_s = 2000};
        assert_int_equal(jwt_judge(&c, "view", "cam-1", 1500), JWT_OK);
        assert_int_equal(jwt_judge(&c, "publish", "cam-1", 1500), JWT_USE);
        assert_int_equal(jwt_judge(&c, "view", "other", 1500), JWT_STREAM);
        assert_int_equal(jwt_judge(&c, "view", "cam", 1500), JWT_STREAM);
        assert_int_equal(jwt_judge(&c, "view", NULL, 1500), JWT_OK);
        assert_int_equal(jwt_judge(&c, "view", "cam-1", 1999), JWT_OK);
        assert_int_equal(jwt_judge(&c, "view", "cam-1", 2000), JWT_EXPIRED);
        assert_int_equal(jwt_judge(&c, "view", "cam-1", 1000 - JWT_LEEWAY_S), JWT_OK);
        assert_int_equal(jwt_judge(&c, "view", "cam-1", 1000 - JWT_LEEWAY_S - 1), JWT_NOT_YET);
        assert_int_equal(jwt_judge(&c, "view", "cam-1", INT64_MAX - JWT_LEEWAY_S), JWT_EXPIRED);
}

static void test_a_key_is_known_by_what_it_is_and_not_by_its_name(void **state)
{
        (void)state;
        char *token = es256("{\"alg\":\"ES256\"}", GOOD);
        assert_int_equal(verify_taken(BOTH, token), JWT_OK);
        struct jwt_keys *renamed = parse(SET(EC_KEY("other name"))), *without = parse(SET(OCT("e", SECRET_A)));
        assert_true(jwt_keys_has(renamed, &claims.key));
        assert_false(jwt_keys_has(without, &claims.key));
        jwt_keys_unref(&renamed);
        jwt_keys_unref(&without);
}

static void refused(const char *json, const char *word)
{
        struct jwt_keys *keys = (struct jwt_keys *)&claims;
        char why[200] = "";
        assert_int_equal(jwt_keys_parse(&keys, json, strlen(json), why, sizeof(why)), ERR_CONFIG);
        assert_null(keys);
        if (!strstr(why, word))
                fail_msg("\"%s\" does not say \"%s\"", why, word);
        assert_null(strstr(why, "dGhl")); /* no key's value */
}

static void test_a_set_that_is_wrong_is_refused_and_the_key_named(void **state)
{
        (void)state;
        refused("", "line 1");
        refused("{\"keys\":[{\"kty\":\"oct\",\"k\":\"" SECRET_A "\",}]}", "line 1");
        refused("{\"keys\":[],\"keys\":[]}", "twice");
        refused("[]", "\"keys\"");
        refused("{}", "\"keys\"");
        refused("{\"keys\":{}}", "\"keys\"");
        refused(SET("5"), "keys[0]");
        refused(SET("{}"), "kty");
        refused(SET(EC_KEY("a") ",{\"kty\":\"oct\"}"), "keys[1]");
        refused(SET(OCT("a", "c2hvcnQ")), "32");
        refused(SET(OCT("a", SECRET_A "=")), "base64url");
        refused(SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"" EC_X "\"}"), "P-256");
        refused(SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\"}"), "x and y");
        refused(SET("{\"kty\":\"oct\",\"kid\":1,\"k\":\"" SECRET_A "\"}"), "kid");
        char many[4000] = "{\"keys\":[" OCT("0", SECRET_A);
        for (int i = 1; i < 17; i++)
                strcat(many, "," OCT("0", SECRET_A));
        refused(strcat(many, "]}"), "16");
}

static void test_keys_of_other_types_are_left_out_and_counted(void **state)
{
        (void)state;
        struct jwt_keys_info info;
        struct jwt_keys *keys = parse(SET(
                "{\"kty\":\"RSA\",\"n\":\"x\",\"e\":\"AQAB\"},{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"\",\"y\":\"\"},{\"kty\":\"OKP\"},"
                "{\"kty\":\"oct\",\"use\":\"enc\",\"k\":\"" SECRET_A "\"},{\"kty\":\"oct\",\"alg\":\"HS512\",\"k\":\"" SECRET_A "\"},"
                "{\"kty\":\"oct\",\"key_ops\":[\"encrypt\"],\"k\":\"" SECRET_A "\"},"
                "{\"kty\":\"oct\",\"use\":\"sig\",\"alg\":\"HS256\",\"key_ops\":[\"sign\",\"verify\"],\"k\":\"" SECRET_A "\"},"
                "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\",\"d\":\"" EC_D "\"}"));
        jwt_keys_tell(keys, &info);
        assert_int_equal(info.hs256, 1);
        assert_int_equal(info.es256, 1);
        assert_int_equal(info.left_out, 6);
        assert_int_equal(info.with_private, 1);
        jwt_keys_unref(&keys);
        assert_int_equal(verify_taken(SET(""), hs256("{\"alg\":\"HS256\"}", GOOD, TOKEN_SECRET_A, 32)), JWT_KEY);
}

static void test_a_file_is_read_and_what_hinders_is_told(void **state)
{
        (void)state;
        char path[96], why[200];
        struct jwt_keys *keys, *second;
        scratch_file(path, sizeof(path));
        int fd = open(path, O_RDWR);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, BOTH, strlen(BOTH)), strlen(BOTH));
        assert_int_equal(jwt_keys_load(&keys, path, why, sizeof(why)), 0);
        second = jwt_keys_ref(keys);
        jwt_keys_unref(&keys);
        assert_null(keys);
        char *token = hs256("{\"alg\":\"HS256\"}", GOOD, TOKEN_SECRET_A, 32);
        assert_int_equal(jwt_verify(second, token, strlen(token), &claims, NULL), JWT_OK);
        free(token);
        jwt_keys_unref(&second);
        assert_int_equal(ftruncate(fd, JWT_KEYS_FILE_MAX + 1), 0);
        assert_int_equal(jwt_keys_load(&keys, path, why, sizeof(why)), ERR_CONFIG);
        assert_non_null(strstr(why, "65536"));
        close(fd);
        unlink(path);
        assert_int_equal(jwt_keys_load(&keys, path, why, sizeof(why)), ERR_NOT_FOUND);
        assert_null(keys);
        jwt_keys_unref(NULL);
        jwt_keys_unref(&keys);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_vectors_of_rfc_7515_verify),
                cmocka_unit_test(test_claims_come_out_as_they_were_signed),
                cmocka_unit_test(test_without_a_kid_every_key_of_the_algorithm_is_tried),
                cmocka_unit_test(test_a_kid_names_the_only_key_that_counts),
                cmocka_unit_test(test_the_key_decides_the_algorithm_and_never_the_token),
                cmocka_unit_test(test_a_signature_that_is_cut_or_longer_is_wrong),
                cmocka_unit_test(test_any_change_of_a_token_is_seen),
                cmocka_unit_test(test_what_is_no_token_is_malformed),
                cmocka_unit_test(test_a_token_is_not_longer_than_2048_bytes),
                cmocka_unit_test(test_times_are_seconds_that_there_are),
                cmocka_unit_test(test_a_claim_that_is_missing_or_of_another_kind_is_named),
                cmocka_unit_test(test_use_stream_and_time_are_judged_each_time),
                cmocka_unit_test(test_a_key_is_known_by_what_it_is_and_not_by_its_name),
                cmocka_unit_test(test_a_set_that_is_wrong_is_refused_and_the_key_named),
                cmocka_unit_test(test_keys_of_other_types_are_left_out_and_counted),
                cmocka_unit_test(test_a_file_is_read_and_what_hinders_is_told),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
