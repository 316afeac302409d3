/* access: who is let in, what is remembered of tokens, and that strangers cannot make it expensive. Time is passed in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <pthread.h>

#include "common/clock.h"
#include "common/err.h"
#include "edged/access.h"
#include "tokens.h"

#define NOW_S 1500
#define NOW_US (NOW_S * US_PER_S)
#define HEADER_A "{\"alg\":\"HS256\",\"kid\":\"a\"}"
#define CLAIMS(path, exp) "{\"sub\":\"view\",\"path\":\"" path "\",\"exp\":" exp "}"

struct fixture {
        struct access *access;
        struct access_memory *memory;
};

static void set_rules(struct access *a, const char *patterns, const char *key_set)
{
        struct jwt_keys *keys = NULL;
        char why[200];
        json_t *list = json_loads(patterns, 0, NULL);
        assert_non_null(list);
        assert_int_equal(access_check_patterns(&list, why, sizeof(why)), 0);
        if (key_set)
                assert_int_equal(jwt_keys_parse(&keys, key_set, strlen(key_set), why, sizeof(why)), 0);
        access_set(a, list, keys);
        jwt_keys_unref(&keys);
        json_decref(list);
}

static void open_fixture(struct fixture *f, const char *patterns, const char *key_set, unsigned tokens_max)
{
        f->access = access_open();
        set_rules(f->access, patterns, key_set);
        f->memory = access_memory_open(f->access, tokens_max);
}

static void close_fixture(struct fixture *f)
{
        access_memory_close(f->memory);
        access_close(f->access);
}

static struct access_pass pass;

static unsigned check(struct fixture *f, const char *token, const char *stream, int64_t now_us)
{
        struct access_token t = {token, token ? strlen(token) : 0, ACCESS_IN_URL};
        pass = access_nothing;
        return access_check(f->memory, &t, stream, now_us, &pass);
}

static void counts_are(struct fixture *f, unsigned known, unsigned verified, unsigned failed)
{
        struct access_counts c = access_counts(f->memory);
        assert_int_equal(c.known, known);
        assert_int_equal(c.verified, verified);
        assert_int_equal(c.failed, failed);
}

/* ---- rules ---------------------------------------------------------------------------------------------------- */

static void test_a_stream_is_private_when_a_pattern_fits(void **state)
{
        (void)state;
        struct fixture f;
        open_fixture(&f, "[\"staff-*\", \"board\"]", NULL, 64);
        assert_true(access_is_private(f.memory, "staff-1"));
        assert_true(access_is_private(f.memory, "board"));
        assert_false(access_is_private(f.memory, "boards"));
        assert_false(access_is_private(f.memory, "staff"));
        assert_true(access_has_private(f.access));
        set_rules(f.access, "[]", NULL);
        assert_false(access_is_private(f.memory, "board"));
        assert_false(access_any_private(f.memory));
        set_rules(f.access, "[\"*\"]", NULL);
        assert_true(access_is_private(f.memory, "anything"));
        assert_true(access_is_private(f.memory, "boards")); /* what was judged by earlier rules is forgotten */
        set_rules(f.access, "[\"x\"]", NULL);
        assert_false(access_is_private(f.memory, "boards"));
        for (int i = 0; i < 2; i++) { /* more streams than are remembered */
                for (int n = 0; n < 1000; n++) {
                        char *stream = mem_printf("%s%d", n % 3 ? "y" : "x", n);
                        assert_false(access_is_private(f.memory, stream));
                        free(stream);
                }
                assert_true(access_is_private(f.memory, "x"));
        }
        close_fixture(&f);
}

static void test_patterns_that_are_none_are_refused(void **state)
{
        (void)state;
        static const char *const bad[] = {"{}", "[5]", "[\"\"]", "[\"a\", null]", "[[\"a\"]]",
                                          /* a regular expression, a path, two in one, a set without its end, a space: no stream is called
                                           * so */
                                          "[\"staff-.*\"]", "[\"staff/*\"]", "[\"a*,b*\"]", "[\"cam[12\"]", "[\"staff-* \"]", "[\"a]\"]", "[\"[]\"]", "[\"[[:digit:]\"]"};
        char why[200];
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                json_t *v = json_loads(bad[i], 0, NULL);
                assert_int_equal(access_check_patterns(&v, why, sizeof(why)), ERR_CONFIG);
                json_decref(v);
        }
        json_t *good = json_pack("[ssssss]", "*", "Staff_-9?", "cam[1-3]", "[!a-z]*", "cam[[:digit:]]", "[!]x]*");
        assert_int_equal(access_check_patterns(&good, why, sizeof(why)), 0);
        json_decref(good);
        json_t *many = json_array();
        for (int i = 0; i < ACCESS_PATTERNS_MAX + 1; i++)
                json_array_append_new(many, json_string("x"));
        assert_int_equal(access_check_patterns(&many, why, sizeof(why)), ERR_CONFIG);
        assert_non_null(strstr(why, "64"));
        json_decref(many);
}

/* ---- where a token is ----------------------------------------------------------------------------------------- */

static void found(struct access_token t, const char *wanted)
{
        if (!wanted) {
                assert_null(t.text);
                return;
        }
        assert_non_null(t.text);
        assert_int_equal(t.len, strlen(wanted));
        assert_memory_equal(t.text, wanted, t.len);
        assert_int_equal(t.form, ACCESS_IN_HEADER);
}

static void test_the_token_of_a_header_is_found(void **state)
{
        (void)state;
        found(access_bearer("Bearer a.b.c"), "a.b.c");
        found(access_bearer("bearer   a.b.c  "), "a.b.c");
        found(access_bearer("Basic dXNlcg=="), NULL);
        found(access_bearer("Bearer"), NULL);
        found(access_bearer("Bearer "), "");
        found(access_bearer(NULL), NULL);
        found(access_cookie("freshet_token=a.b.c"), "a.b.c");
        found(access_cookie("x=1; freshet_token=a.b.c; y=2"), "a.b.c");
        found(access_cookie("x=1;freshet_token=\"a.b.c\""), "a.b.c");
        found(access_cookie("my_freshet_token=a.b.c"), NULL);
        found(access_cookie("freshet_tokens=a; x=freshet_token=b"), NULL);
        found(access_cookie("freshet_token"), NULL);
        found(access_cookie("freshet_token=; freshet_token=b"), "");
        found(access_cookie(""), NULL);
        found(access_cookie(";;;"), NULL);
        found(access_cookie(NULL), NULL);
}

/* ---- decisions ------------------------------------------------------------------------------------------------ */

static void test_a_token_lets_in_for_its_streams_and_its_time(void **state)
{
        (void)state;
        struct fixture f;
        char *token = hs256(HEADER_A, "{\"sub\":\"view\",\"path\":\"cam-*\",\"exp\":2000,\"nbf\":1000}", TOKEN_SECRET_A, 32);
        open_fixture(&f, "[\"*\"]", SET(OCT("a", SECRET_A)), 64);
        assert_int_equal(check(&f, token, "cam-1", NOW_US), ACCESS_OK);
        assert_int_equal(pass.until_s, 2000);
        assert_int_equal(pass.form, ACCESS_IN_URL);
        assert_string_equal(pass.path, "cam-*");
        assert_true(access_key_is_valid(f.access, pass.key));
        assert_int_equal(check(&f, token, "other", NOW_US), JWT_STREAM);
        assert_int_equal(pass.until_s, INT64_MAX); /* untouched */
        assert_int_equal(check(&f, token, NULL, NOW_US), ACCESS_OK);
        assert_int_equal(check(&f, token, "cam-1", 1999999999), ACCESS_OK);
        assert_int_equal(check(&f, token, "cam-1", 2000 * US_PER_S), JWT_EXPIRED);
        assert_int_equal(check(&f, token, "cam-1", 900 * US_PER_S), JWT_NOT_YET);
        assert_int_equal(check(&f, NULL, "cam-1", NOW_US), ACCESS_MISSING);
        assert_int_equal(check(&f, "", "cam-1", NOW_US), JWT_MALFORMED);
        counts_are(&f, 5, 1, 1);
        free(token);
        token = hs256(HEADER_A, "{\"sub\":\"publish\",\"path\":\"*\",\"exp\":2000}", TOKEN_SECRET_A, 32);
        assert_int_equal(check(&f, token, "cam-1", NOW_US), JWT_USE);
        free(token);
        close_fixture(&f);
}

static void test_every_refusal_has_a_status_and_words_that_hold_no_quotes(void **state)
{
        (void)state;
        for (unsigned fault = 1; fault < ACCESS_FAULTS; fault++) {
                unsigned status = access_status(fault);
                assert_true(status == 401 || status == 403 || status == 503);
                assert_null(strpbrk(access_text(fault), "\"\\\r\n"));
                assert_true(strlen(access_text(fault)) > 10);
        }
        assert_int_equal(access_status(JWT_STREAM), 403);
        assert_int_equal(access_status(JWT_EXPIRED), 401);
        assert_int_equal(access_status(ACCESS_MISSING), 401);
        assert_int_equal(access_status(ACCESS_BUSY), 503);
}

static void test_without_keys_nobody_is_let_in(void **state)
{
        (void)state;
        struct fixture f;
        char *token = hs256(HEADER_A, CLAIMS("*", "2000"), TOKEN_SECRET_A, 32);
        open_fixture(&f, "[\"*\"]", NULL, 64);
        assert_int_equal(check(&f, token, "cam", NOW_US), JWT_KEY);
        set_rules(f.access, "[\"*\"]", SET(OCT("a", SECRET_A)));
        assert_int_equal(check(&f, token, "cam", NOW_US), ACCESS_OK); /* the same bytes: nothing old is kept of them */
        free(token);
        close_fixture(&f);
}

static void test_a_key_that_is_gone_lets_nobody_in_who_was_known(void **state)
{
        (void)state;
        struct fixture f;
        char *a = hs256(HEADER_A, CLAIMS("*", "2000"), TOKEN_SECRET_A, 32);
        char *b = hs256("{\"alg\":\"HS256\",\"kid\":\"b\"}", CLAIMS("*", "2000"), TOKEN_SECRET_B, 32);
        open_fixture(&f, "[\"*\"]", SET(OCT("a", SECRET_A) "," OCT("b", SECRET_B)), 64);
        assert_int_equal(check(&f, a, "cam", NOW_US), ACCESS_OK);
        struct jwt_key_id key_a = pass.key;
        assert_int_equal(check(&f, b, "cam", NOW_US), ACCESS_OK);
        set_rules(f.access, "[\"*\"]", SET(OCT("b", SECRET_B) "," OCT("c", SECRET_B)));
        assert_false(access_key_is_valid(f.access, key_a));
        assert_int_equal(check(&f, a, "cam", NOW_US), JWT_KEY);
        assert_int_equal(check(&f, b, "cam", NOW_US), ACCESS_OK);
        counts_are(&f, 1, 2, 1); /* b was not verified again */
        free(a);
        free(b);
        close_fixture(&f);
}

/* ---- what is remembered --------------------------------------------------------------------------------------- */

static void test_a_token_is_verified_once_and_whole_tokens_are_compared(void **state)
{
        (void)state;
        struct fixture f;
        char *token = hs256(HEADER_A, CLAIMS("*", "2000"), TOKEN_SECRET_A, 32);
        open_fixture(&f, "[\"*\"]", SET(OCT("a", SECRET_A)), 64);
        for (int i = 0; i < 1000; i++)
                assert_int_equal(check(&f, token, "cam", NOW_US), ACCESS_OK);
        counts_are(&f, 999, 1, 0);
        char *longer = mem_printf("%sA", token);
        assert_int_not_equal(check(&f, longer, "cam", NOW_US), ACCESS_OK);
        free(longer);
        token[strlen(token) - 1] = 0;
        assert_int_not_equal(check(&f, token, "cam", NOW_US), ACCESS_OK);
        free(token);
        close_fixture(&f);
}

static void test_the_memory_is_bounded_and_the_unused_go_first(void **state)
{
        (void)state;
        struct fixture f;
        char *mine = hs256(HEADER_A, CLAIMS("mine", "2000"), TOKEN_SECRET_A, 32);
        open_fixture(&f, "[\"*\"]", SET(OCT("a", SECRET_A)), 64);
        unsigned known = 0;
        for (int i = 0; i < 2000; i++) {
                char *claims = mem_printf(CLAIMS("v%d", "2000"), i), *token = hs256(HEADER_A, claims, TOKEN_SECRET_A, 32);
                struct access_counts before = access_counts(f.memory);
                assert_int_equal(check(&f, token, NULL, NOW_US), ACCESS_OK);
                assert_int_equal(check(&f, mine, "mine", NOW_US), ACCESS_OK);
                known += access_counts(f.memory).known - before.known;
                free(token);
                free(claims);
        }
        assert_int_equal(known, 1999); /* mine was asked for after every other one: never gone */
        unsigned again = 0;
        for (int i = 0; i < 2000; i++) {
                char *claims = mem_printf(CLAIMS("v%d", "2000"), i), *token = hs256(HEADER_A, claims, TOKEN_SECRET_A, 32);
                unsigned before = access_counts(f.memory).known;
                if (i >= 1900)
                        check(&f, token, NULL, NOW_US);
                again += access_counts(f.memory).known - before;
                free(token);
                free(claims);
        }
        assert_in_range(again, 1, 64);
        free(mine);
        close_fixture(&f);
}

static char *forged(int i)
{
        char *claims = mem_printf(CLAIMS("f%d", "2000"), i), *token = hs256(HEADER_A, claims, TOKEN_SECRET_B, 32);
        free(claims);
        return token;
}

static void test_forged_tokens_push_nobody_out_and_cost_a_bounded_number_of_checks(void **state)
{
        (void)state;
        struct fixture f;
        char *good = hs256(HEADER_A, CLAIMS("*", "9000"), TOKEN_SECRET_A, 32), *late = hs256(HEADER_A, CLAIMS("l*", "9000"), TOKEN_SECRET_A, 32);
        open_fixture(&f, "[\"*\"]", SET(OCT("a", SECRET_A)), 64);
        assert_int_equal(check(&f, good, "cam", NOW_US), ACCESS_OK);
        unsigned busy = 0;
        for (int i = 0; i < 3000; i++) {
                char *token = forged(i);
                unsigned fault = check(&f, token, "cam", NOW_US);
                assert_true(fault == JWT_SIGNATURE || fault == ACCESS_BUSY);
                busy += fault == ACCESS_BUSY;
                assert_int_equal(check(&f, good, "cam", NOW_US), ACCESS_OK); /* who is in does not notice */
                free(token);
        }
        assert_int_equal(access_counts(f.memory).failed, ACCESS_FAILURES_PER_S);
        assert_int_equal(busy, 3000 - ACCESS_FAILURES_PER_S);
        assert_int_equal(check(&f, late, "late", NOW_US), ACCESS_BUSY);
        assert_int_equal(check(&f, late, "late", NOW_US + 10 * US_PER_MS), ACCESS_OK);
        assert_int_equal(access_counts(f.memory).verified, 2);
        /* the same ones again, as players do, are known to be wrong, and cost nothing */
        unsigned failed = access_counts(f.memory).failed;
        char *same = forged(9999);
        for (int i = 0; i < 5000; i++)
                assert_int_equal(check(&f, same, "cam", NOW_US + US_PER_S), JWT_SIGNATURE);
        assert_int_equal(access_counts(f.memory).failed, failed + 1);
        free(same);
        free(good);
        free(late);
        close_fixture(&f);
}

static void test_a_clock_that_is_set_back_locks_nobody_out(void **state)
{
        (void)state;
        struct fixture f;
        char *good = hs256(HEADER_A, CLAIMS("*", "9000"), TOKEN_SECRET_A, 32);
        open_fixture(&f, "[\"*\"]", SET(OCT("a", SECRET_A)), 64);
        for (int i = 0; i < ACCESS_FAILURES_PER_S; i++) {
                char *token = forged(i);
                check(&f, token, "cam", 8000 * US_PER_S);
                free(token);
        }
        assert_int_equal(check(&f, good, "cam", 1000 * US_PER_S), ACCESS_BUSY);
        assert_int_equal(check(&f, good, "cam", 1001 * US_PER_S), ACCESS_OK);
        free(good);
        close_fixture(&f);
}

/* ---- the list ------------------------------------------------------------------------------------------------- */

static void listed(struct fixture *f, const char *path, const char *wanted)
{
        static const char all[] = "{\"streams\":[{\"id\":\"open\",\"state\":\"live\"},{\"id\":\"staff-1\",\"state\":\"live\"},"
                                  "{\"id\":\"staff-2\",\"state\":\"ended\"},{\"state\":\"live\"},7]}";
        size_t len;
        char *text = access_list(f->memory, all, strlen(all), path, &len);
        if (wanted) {
                assert_string_equal(text, wanted);
                assert_int_equal(len, strlen(wanted));
        } else {
                assert_null(text);
        }
        free(text);
}

static void test_the_list_names_private_streams_to_those_alone_whose_token_fits(void **state)
{
        (void)state;
        struct fixture f;
        size_t len;
        open_fixture(&f, "[\"staff-*\"]", NULL, 64);
        listed(&f, "", "{\"streams\":[{\"id\":\"open\",\"state\":\"live\"}]}");
        listed(&f, "staff-1", "{\"streams\":[{\"id\":\"open\",\"state\":\"live\"},{\"id\":\"staff-1\",\"state\":\"live\"}]}");
        listed(&f, "*", "{\"streams\":[{\"id\":\"open\",\"state\":\"live\"},{\"id\":\"staff-1\",\"state\":\"live\"},"
                        "{\"id\":\"staff-2\",\"state\":\"ended\"}]}");
        char *text = access_list(f.memory, "not json", 8, "*", &len);
        assert_string_equal(text, "{\"streams\":[]}");
        free(text);
        static const char page[] = "{\"recordings\":[{\"id\":\"staff-1\"}],\"next\":\"/api/recordings/before/X\"}";
        text = access_list(f.memory, page, strlen(page), "", &len);
        assert_string_equal(text, "{\"recordings\":[],\"next\":\"/api/recordings/before/X\"}"); /* what is behind it may be for him */
        free(text);
        unsigned generation = access_generation(f.memory);
        set_rules(f.access, "[]", NULL);
        assert_int_not_equal(access_generation(f.memory), generation);
        listed(&f, "", NULL);
        close_fixture(&f);
}

/* ---- threads -------------------------------------------------------------------------------------------------- */

struct asker {
        struct access *access;
        const char *token;
        unsigned let_in, refused;
};

static void *ask_often(void *arg)
{
        struct asker *a = arg;
        struct access_memory *m = access_memory_open(a->access, 64);
        struct access_token t = {a->token, strlen(a->token), ACCESS_IN_HEADER};
        struct access_pass p;
        for (int i = 0; i < 20000; i++) {
                unsigned fault = access_check(m, &t, "cam", NOW_US, &p);
                assert_true(fault == ACCESS_OK || fault == JWT_KEY || fault == ACCESS_BUSY);
                *(fault == ACCESS_OK ? &a->let_in : &a->refused) += 1;
        }
        access_memory_close(m);
        return NULL;
}

static void test_rules_change_under_threads_that_ask(void **state)
{
        (void)state;
        struct fixture f;
        struct asker askers[3];
        pthread_t threads[3];
        char *token = hs256(HEADER_A, CLAIMS("*", "2000"), TOKEN_SECRET_A, 32);
        open_fixture(&f, "[\"*\"]", SET(OCT("a", SECRET_A)), 64);
        for (int i = 0; i < 3; i++) {
                askers[i] = (struct asker){.access = f.access, .token = token};
                pthread_create(&threads[i], NULL, ask_often, &askers[i]);
        }
        for (int i = 0; i < 200; i++)
                set_rules(f.access, "[\"*\"]", i % 2 ? SET(OCT("a", SECRET_A)) : SET(""));
        for (int i = 0; i < 3; i++) {
                pthread_join(threads[i], NULL);
                assert_int_equal(askers[i].let_in + askers[i].refused, 20000);
        }
        free(token);
        close_fixture(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_stream_is_private_when_a_pattern_fits),
                cmocka_unit_test(test_patterns_that_are_none_are_refused),
                cmocka_unit_test(test_the_token_of_a_header_is_found),
                cmocka_unit_test(test_a_token_lets_in_for_its_streams_and_its_time),
                cmocka_unit_test(test_every_refusal_has_a_status_and_words_that_hold_no_quotes),
                cmocka_unit_test(test_without_keys_nobody_is_let_in),
                cmocka_unit_test(test_a_key_that_is_gone_lets_nobody_in_who_was_known),
                cmocka_unit_test(test_a_token_is_verified_once_and_whole_tokens_are_compared),
                cmocka_unit_test(test_the_memory_is_bounded_and_the_unused_go_first),
                cmocka_unit_test(test_forged_tokens_push_nobody_out_and_cost_a_bounded_number_of_checks),
                cmocka_unit_test(test_a_clock_that_is_set_back_locks_nobody_out),
                cmocka_unit_test(test_the_list_names_private_streams_to_those_alone_whose_token_fits),
                cmocka_unit_test(test_rules_change_under_threads_that_ask),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
