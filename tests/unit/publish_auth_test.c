#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "ingestd/publish_auth.h"
#include "tests/unit/tokens.h"

#define NOW 1000000

static struct publish_grant grant;
static const char *text;

static json_t *keys_of(const char *json)
{
        json_t *keys = json_loads(json, 0, NULL);
        assert_non_null(keys);
        return keys;
}

static enum refusal begin(const struct publish_auth *a, const char *stream, const char *shown)
{
        enum refusal r = publish_auth_begin(a, stream, shown, NOW, &grant, &text);
        assert_true((r == REFUSAL_NONE) || *text);
        return r;
}

/* Good until the next one is made. */
static const char *token(const char *kid, const char *secret, const char *claims)
{
        static char *last;
        char header[64];
        snprintf(header, sizeof(header), "{\"alg\":\"HS256\",\"kid\":\"%s\"}", kid);
        free(last);
        return last = hs256(header, claims, secret, strlen(secret));
}

static struct jwt_keys *token_keys(const char *json)
{
        char why[256];
        struct jwt_keys *keys;
        assert_int_equal(jwt_keys_parse(&keys, json, strlen(json), why, sizeof(why)), 0);
        return keys;
}

#define ONLY_A SET(OCT("a", SECRET_A))
#define ONLY_B SET(OCT("b", SECRET_B))
#define BOTH SET(OCT("a", SECRET_A) "," OCT("b", SECRET_B))
#define CLAIMS "{\"sub\":\"publish\",\"path\":\"cam*\",\"exp\":1000010}"

static void test_without_keys_everybody_may(void **state)
{
        (void)state;
        const struct publish_auth none = {.key = ""}, key = {.key = "k"};
        assert_false(publish_auth_asks(&none));
        assert_int_equal(begin(&none, "cam", ""), REFUSAL_NONE);
        assert_int_equal(begin(&none, "cam", "anything"), REFUSAL_NONE);
        assert_int_equal(publish_auth_goes_on(&none, "cam", &grant, NOW), REFUSAL_NONE);
        /* until keys are asked for */
        assert_int_equal(publish_auth_goes_on(&key, "cam", &grant, NOW), REFUSAL_REVOKED);
}

static void test_only_the_right_key_publishes(void **state)
{
        (void)state;
        const struct publish_auth a = {.key = "secret"};
        assert_true(publish_auth_asks(&a));
        assert_int_equal(begin(&a, "cam", ""), REFUSAL_NO_KEY);
        assert_int_equal(begin(&a, "cam", "secre"), REFUSAL_WRONG_KEY);
        assert_int_equal(begin(&a, "cam", "secrets"), REFUSAL_WRONG_KEY);
        assert_null(strstr(text, "secret"));
        assert_int_equal(begin(&a, "cam", "secret"), REFUSAL_NONE);
}

static void test_a_key_is_for_the_streams_that_its_pattern_fits(void **state)
{
        (void)state;
        json_t *keys = keys_of("[{\"match\":\"sports-*\",\"key\":\"s\"},{\"match\":\"sports-1\",\"key\":\"one\"},{\"key\":\"all\"}]");
        const struct publish_auth a = {.key = "", .keys = keys};
        assert_int_equal(begin(&a, "sports-1", "s"), REFUSAL_NONE);
        assert_int_equal(begin(&a, "sports-1", "one"), REFUSAL_NONE);
        assert_int_equal(begin(&a, "sports-2", "one"), REFUSAL_WRONG_KEY);
        assert_int_equal(begin(&a, "news", "s"), REFUSAL_WRONG_KEY);
        assert_int_equal(begin(&a, "news", "all"), REFUSAL_NONE);
        json_decref(keys);
}

static void test_a_key_that_is_gone_ends_its_broadcasts_and_no_others(void **state)
{
        (void)state;
        json_t *both = keys_of("[{\"match\":\"cam\",\"key\":\"old\"},{\"match\":\"cam\",\"key\":\"new\"}]");
        json_t *one = keys_of("[{\"match\":\"cam\",\"key\":\"new\"}]");
        const struct publish_auth before = {.key = "", .keys = both}, after = {.key = "", .keys = one};
        struct publish_grant with_old, with_new;
        assert_int_equal(begin(&before, "cam", "old"), REFUSAL_NONE);
        with_old = grant;
        assert_int_equal(begin(&before, "cam", "new"), REFUSAL_NONE);
        with_new = grant;
        assert_int_equal(publish_auth_goes_on(&before, "cam", &with_old, NOW), REFUSAL_NONE);
        assert_int_equal(publish_auth_goes_on(&after, "cam", &with_old, NOW), REFUSAL_REVOKED);
        assert_int_equal(publish_auth_goes_on(&after, "cam", &with_new, NOW), REFUSAL_NONE);
        json_decref(both);
        json_decref(one);
}

static void test_a_token_is_for_publishing_its_streams_until_it_expires(void **state)
{
        (void)state;
        struct jwt_keys *keys = token_keys(BOTH);
        const struct publish_auth a = {.key = "", .tokens = keys};
        assert_int_equal(begin(&a, "cam1", token("a", TOKEN_SECRET_A, CLAIMS)), REFUSAL_NONE);
        assert_int_equal(begin(&a, "other", token("a", TOKEN_SECRET_A, CLAIMS)), REFUSAL_BAD_TOKEN);
        assert_string_equal(text, jwt_fault_text(JWT_STREAM));
        assert_int_equal(begin(&a, "cam", token("b", TOKEN_SECRET_A, CLAIMS)), REFUSAL_BAD_TOKEN);
        assert_int_equal(begin(&a, "cam", token("a", TOKEN_SECRET_A, "{\"sub\":\"view\",\"path\":\"*\",\"exp\":1000010}")),
                         REFUSAL_BAD_TOKEN);
        assert_int_equal(begin(&a, "cam", token("a", TOKEN_SECRET_A, "{\"sub\":\"publish\",\"path\":\"*\",\"exp\":999999}")),
                         REFUSAL_EXPIRED_TOKEN);
        assert_int_equal(begin(&a, "cam", "no token"), REFUSAL_BAD_TOKEN);
        assert_int_equal(begin(&a, "cam", ""), REFUSAL_NO_KEY);
        jwt_keys_unref(&keys);
}

static void test_exp_is_about_the_beginning_and_until_ends_the_broadcast(void **state)
{
        (void)state;
        struct jwt_keys *keys = token_keys(ONLY_A);
        const struct publish_auth a = {.key = "", .tokens = keys};
        assert_int_equal(begin(&a, "cam", token("a", TOKEN_SECRET_A, CLAIMS)), REFUSAL_NONE);
        assert_int_equal(publish_auth_goes_on(&a, "cam", &grant, NOW + 100000), REFUSAL_NONE);
        assert_int_equal(begin(&a, "cam", token("a", TOKEN_SECRET_A, "{\"sub\":\"publish\",\"path\":\"*\",\"exp\":1000010,\"until\":1000100}")),
                         REFUSAL_NONE);
        assert_int_equal(publish_auth_goes_on(&a, "cam", &grant, NOW + 99), REFUSAL_NONE);
        assert_int_equal(publish_auth_goes_on(&a, "cam", &grant, NOW + 100), REFUSAL_OVER);
        assert_int_equal(begin(&a, "cam", token("a", TOKEN_SECRET_A, "{\"sub\":\"publish\",\"path\":\"*\",\"exp\":1000010,\"until\":1000000}")),
                         REFUSAL_OVER);
        jwt_keys_unref(&keys);
}

static void test_a_token_key_that_is_gone_ends_its_broadcasts_and_no_others(void **state)
{
        (void)state;
        struct jwt_keys *both = token_keys(BOTH), *one = token_keys(ONLY_B);
        struct publish_auth a = {.key = "", .tokens = both};
        struct publish_grant by_a;
        assert_int_equal(begin(&a, "cam", token("a", TOKEN_SECRET_A, CLAIMS)), REFUSAL_NONE);
        by_a = grant;
        assert_int_equal(begin(&a, "cam", token("b", TOKEN_SECRET_B, CLAIMS)), REFUSAL_NONE);
        a.tokens = one;
        assert_int_equal(publish_auth_goes_on(&a, "cam", &by_a, NOW), REFUSAL_REVOKED);
        assert_int_equal(publish_auth_goes_on(&a, "cam", &grant, NOW), REFUSAL_NONE);
        a.tokens = NULL;
        a.key = "k";
        assert_int_equal(publish_auth_goes_on(&a, "cam", &grant, NOW), REFUSAL_REVOKED);
        jwt_keys_unref(&both);
        jwt_keys_unref(&one);
}

static void test_one_of_what_is_configured_is_enough(void **state)
{
        (void)state;
        json_t *keys = keys_of("[{\"match\":\"cam\",\"key\":\"k\"}]");
        struct jwt_keys *tokens = token_keys(ONLY_A);
        const struct publish_auth a = {.key = "general", .keys = keys, .tokens = tokens};
        assert_int_equal(begin(&a, "cam", "general"), REFUSAL_NONE);
        assert_int_equal(begin(&a, "cam", "k"), REFUSAL_NONE);
        assert_int_equal(begin(&a, "cam", token("a", TOKEN_SECRET_A, CLAIMS)), REFUSAL_NONE);
        assert_int_equal(begin(&a, "cam", "neither"), REFUSAL_WRONG_KEY);
        assert_int_equal(begin(&a, "cam", token("a", TOKEN_SECRET_B, CLAIMS)), REFUSAL_BAD_TOKEN);
        json_decref(keys);
        jwt_keys_unref(&tokens);
}

static void test_keys_that_make_no_sense_are_named_and_not_repeated(void **state)
{
        (void)state;
        static const char *const wrong[] = {"{}", "[1]", "[{}]", "[{\"key\":\"\"}]", "[{\"key\":5}]", "[{\"match\":1,\"key\":\"hush\"}]",
                                            "[{\"key\":\"ok\"},{\"key\":\"hush\",\"stream\":\"x\"}]"};
        char why[256];
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                json_t *keys = keys_of(wrong[i]);
                assert_int_equal(publish_keys_check(&keys, why, sizeof(why)), ERR_CONFIG);
                assert_null(strstr(why, "hush"));
                json_decref(keys);
        }
        assert_non_null(strstr(why, "entry 1"));
        json_t *right = keys_of("[{\"match\":\"a*\",\"key\":\"k\"},{\"key\":\"k\"}]");
        assert_int_equal(publish_keys_check(&right, why, sizeof(why)), 0);
        json_decref(right);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_without_keys_everybody_may),
                cmocka_unit_test(test_only_the_right_key_publishes),
                cmocka_unit_test(test_a_key_is_for_the_streams_that_its_pattern_fits),
                cmocka_unit_test(test_a_key_that_is_gone_ends_its_broadcasts_and_no_others),
                cmocka_unit_test(test_a_token_is_for_publishing_its_streams_until_it_expires),
                cmocka_unit_test(test_exp_is_about_the_beginning_and_until_ends_the_broadcast),
                cmocka_unit_test(test_a_token_key_that_is_gone_ends_its_broadcasts_and_no_others),
                cmocka_unit_test(test_one_of_what_is_configured_is_enough),
                cmocka_unit_test(test_keys_that_make_no_sense_are_named_and_not_repeated),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
