/* Streams that only those with a token may watch: what is asked, shared, listed and cut off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/daemon/metrics.h"
#include "tokens.h"
#include "edged/etag.h"
#include "tests/unit/http_fixture.h"

#define PRIVATE "/live/staff-1/s1/v720/7.m4s"

static void set_private(struct fixture *f, const char *key_set)
{
        struct jwt_keys *keys = NULL;
        char why[200];
        json_t *list = json_pack("[s]", "staff-*");
        assert_int_equal(jwt_keys_parse(&keys, key_set, strlen(key_set), why, sizeof(why)), 0);
        access_set(f->access, list, keys);
        jwt_keys_unref(&keys);
        json_decref(list);
}

static char *token_until(const char *path, int64_t exp_s)
{
        char *claims = mem_printf("{\"sub\":\"view\",\"path\":\"%s\",\"exp\":%lld}", path, (long long)exp_s);
        char *token = hs256("{\"alg\":\"HS256\",\"kid\":\"a\"}", claims, TOKEN_SECRET_A, 32);
        free(claims);
        return token;
}

static int64_t now_s(void)
{
        return clock_real_us() / US_PER_S;
}

static void with_token(struct fixture *f, struct viewer *v, const char *before, const char *token, const char *after, bool in_url)
{
        char *text = mem_printf("%s%s%s", before, token, after);
        ask(f, v, "GET", in_url ? text : PRIVATE, in_url ? "" : text);
        free(text);
}

static void test_a_private_stream_needs_a_token_in_one_of_three_forms(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        open_fixture(&f, PATIENCE_US);
        warm(&f, PRIVATE, "abc", 3); /* it is in the cache before it is made private */
        warm(&f, SEGMENT, "abc", 3);
        set_private(&f, SET(OCT("a", SECRET_A)));
        char *good = token_until("staff-*", now_s() + 1000), *other = token_until("board", now_s() + 1000);
        char *short_one = token_until("staff-1", now_s() + 30), *old = token_until("staff-*", now_s());
        viewer_open(&v, &f);
        ask(&f, &v, "GET", PRIVATE, "");
        assert_int_equal(v.status, 401);
        assert_string_equal(header_of(&v, "Access-Control-Allow-Origin"), "*");
        assert_string_equal(header_of(&v, "Cache-Control"), "no-store");
        assert_string_equal(header_of(&v, "WWW-Authenticate"), "Bearer realm=\"freshet\"");
        assert_non_null(strstr(v.body, "this stream is private"));
        ask(&f, &v, "HEAD", PRIVATE, "");
        assert_int_equal(v.status, 401);
        ask(&f, &v, "OPTIONS", PRIVATE, "");
        assert_int_equal(v.status, 204);
        assert_non_null(strstr(header_of(&v, "Access-Control-Allow-Headers"), "Authorization"));

        with_token(&f, &v, "/t/", good, PRIVATE, true);
        assert_int_equal(v.status, 200);
        assert_memory_equal(v.body, "abc", 3);
        assert_string_equal(header_of(&v, "Cache-Control"), "max-age=60");
        assert_string_equal(header_of(&v, "X-Cache"), "hit");
        with_token(&f, &v, "/t/", short_one, PRIVATE, true); /* a shared cache would have it for longer than the token lives */
        assert_int_equal(v.status, 200);
        assert_string_equal(header_of(&v, "Cache-Control"), "private, max-age=60");
        with_token(&f, &v, "Authorization: Bearer ", good, "\r\n", false);
        assert_int_equal(v.status, 200);
        assert_string_equal(header_of(&v, "Cache-Control"), "private, max-age=60");
        with_token(&f, &v, "Cookie: theme=dark; freshet_token=", good, "\r\n", false);
        assert_int_equal(v.status, 200);
        assert_string_equal(header_of(&v, "Cache-Control"), "private, max-age=60");

        with_token(&f, &v, "/t/", other, PRIVATE, true);
        assert_int_equal(v.status, 403);
        assert_non_null(strstr(v.body, "another stream"));
        with_token(&f, &v, "/t/", old, PRIVATE, true);
        assert_int_equal(v.status, 401);
        assert_non_null(strstr(v.body, "expired"));
        assert_non_null(strstr(header_of(&v, "WWW-Authenticate"), "invalid_token"));
        with_token(&f, &v, "/t/", "nonsense", PRIVATE, true);
        assert_int_equal(v.status, 401);
        /* the one in the URL counts, also when there is a good one beside it */
        char *cookie = mem_printf("Cookie: freshet_token=%s\r\n", good);
        ask(&f, &v, "GET", "/t/nonsense" PRIVATE, cookie);
        assert_int_equal(v.status, 401);
        /* public streams ignore tokens, and are kept as long as ever */
        ask(&f, &v, "GET", "/t/nonsense" SEGMENT, "");
        assert_int_equal(v.status, 200);
        assert_string_equal(header_of(&v, "Cache-Control"), "max-age=31536000, immutable");
        viewer_close(&v);
        assert_int_equal(f.e.upstream->count, 2);
        free(cookie);
        free(good);
        free(other);
        free(short_one);
        free(old);
        close_fixture(&f);
}

static void test_all_tokens_of_a_stream_share_one_object_and_none_goes_upstream(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v[3];
        int three = 3;
        open_fixture(&f, PATIENCE_US);
        set_private(&f, SET(OCT("a", SECRET_A)));
        for (int i = 0; i < 3; i++) {
                char *token = token_until("staff-1", now_s() + 1000 + i), *target = mem_printf("/t/%s" PRIVATE "?x=%d", token, i);
                viewer_open(&v[i], &f);
                viewer_ask(&v[i], "GET", target, "");
                free(token);
                free(target);
        }
        until(&f, is_held, &three);
        until(&f, is_asked, NULL);
        assert_int_equal(f.e.upstream->count, 1);
        assert_string_equal(fake_open(f.e.upstream)->what.key, PRIVATE);
        fake_answer_bytes(fake_open(f.e.upstream), "abc", 3, FETCH_COMPLETE | FETCH_IMMUTABLE, 0, "video/mp4");
        for (int i = 0; i < 3; i++) {
                until(&f, has_answer, &v[i]);
                assert_int_equal(v[i].status, 200);
                viewer_close(&v[i]);
        }
        close_fixture(&f);
}

static bool begins_to_answer(struct fixture *f, void *key)
{
        struct fake_call *c = fake_open(f->e.upstream);
        while (c && c < f->e.upstream->calls + f->e.upstream->count && (c->answered || strcmp(c->what.key, key) != 0))
                c++;
        if (!c || c == f->e.upstream->calls + f->e.upstream->count)
                return false;
        fake_answer_bytes(c, "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        return true;
}

/* Three viewers in the middle of a growing object: of a token that ends, of another key's, of a public stream. */
static void open_flowing(struct fixture *f, struct viewer v[3], int64_t exp_s)
{
        char *ends = token_until("staff-1", exp_s), *targets[3];
        char *stays = es256("{\"alg\":\"ES256\",\"kid\":\"e\"}", "{\"sub\":\"view\",\"path\":\"*\",\"exp\":99999999999}");
        set_private(f, SET(OCT("a", SECRET_A) "," EC_KEY("e")));
        targets[0] = mem_printf("/t/%s" PRIVATE, ends);
        targets[1] = mem_printf("/t/%s" PRIVATE, stays);
        targets[2] = mem_strdup(SEGMENT);
        for (int i = 0; i < 3; i++) {
                viewer_open(&v[i], f);
                viewer_ask(&v[i], "GET", targets[i], "");
                if (i != 1)
                        until(f, begins_to_answer, (void *)(uintptr_t)(i == 0 ? PRIVATE : SEGMENT));
                until(f, have_body, &(struct want){&v[i], 3});
                free(targets[i]);
        }
        free(ends);
        free(stays);
}

static void finish_flowing(struct fixture *f, struct viewer v[3])
{
        until(f, is_closed, &v[0]);
        assert_false(answer_is_whole(&v[0], false)); /* cut, not ended */
        while (fake_open(f->e.upstream))
                fake_answer_bytes(fake_open(f->e.upstream), "def", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        for (int i = 1; i < 3; i++) {
                until(f, has_answer, &v[i]);
                assert_memory_equal(v[i].body, "abcdef", 6);
        }
        for (int i = 0; i < 3; i++)
                viewer_close(&v[i]);
        int nobody = 0;
        until(f, has_clients, &nobody);
}

static char exposition[256 << 10];
static size_t exposition_len;

static void expose(void *arg, const char *text, size_t len)
{
        (void)arg;
        assert_true(exposition_len + len < sizeof(exposition));
        memcpy(exposition + exposition_len, text, len);
        exposition[exposition_len += len] = 0;
}

/* How many connections we closed for that reason. There are others for which one that is held may be closed in the end. */
static int64_t closed_for(const char *reason)
{
        char *series = mem_printf("edged_closed_total{reason=\"%s\"}", reason);
        exposition_len = 0;
        metrics_render(expose, NULL);
        const char *at = strstr(exposition, series);
        assert_non_null(at);
        int64_t count = atoll(at + strlen(series));
        free(series);
        return count;
}

static void test_an_answer_under_way_ends_with_its_token(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v[3];
        int three = 3;
        int64_t exp_s = now_s() + 1000;
        open_fixture(&f, PATIENCE_US);
        open_flowing(&f, v, exp_s);
        until(&f, is_held, &three);
        http_end_expired(f.http, exp_s * US_PER_S - 1);
        viewer_read(&v[0]);
        assert_false(v[0].closed);
        int64_t before = closed_for("token_expired");
        http_end_expired(f.http, exp_s * US_PER_S);
        assert_int_equal(closed_for("token_expired"), before + 1);
        finish_flowing(&f, v);
        close_fixture(&f);
}

/* In HTTP/1.0 the end of the connection is the end of what grows. */
static void test_an_answer_to_http_1_0_that_ends_with_its_token_looks_like_no_end(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        int one = 1;
        int64_t exp_s = now_s() + 1000;
        open_fixture(&f, PATIENCE_US);
        set_private(&f, SET(OCT("a", SECRET_A)));
        char *token = token_until("staff-1", exp_s), *request = mem_printf("GET /t/%s" PRIVATE " HTTP/1.0\r\n\r\n", token);
        viewer_open(&v, &f);
        viewer_send(&v, request);
        until(&f, begins_to_answer, (void *)(uintptr_t)PRIVATE);
        until(&f, has_head, &v);
        until(&f, is_held, &one);
        http_end_expired(f.http, exp_s * US_PER_S);
        until(&f, is_closed, &v);
        assert_true(v.reset);
        viewer_close(&v);
        close_fixture(&f);
        free(request);
        free(token);
}

static void test_an_answer_under_way_ends_when_its_key_is_taken_away(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v[3];
        int three = 3;
        open_fixture(&f, PATIENCE_US);
        open_flowing(&f, v, now_s() + 1000);
        until(&f, is_held, &three);
        set_private(&f, SET(EC_KEY("renamed")));
        int64_t before = closed_for("token_revoked");
        http_end_expired(f.http, clock_real_us());
        assert_int_equal(closed_for("token_revoked"), before + 1);
        finish_flowing(&f, v);
        close_fixture(&f);
}

static void test_a_connection_outlives_the_token_of_an_earlier_request(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        int64_t exp_s = now_s() + 1000;
        open_fixture(&f, PATIENCE_US);
        warm(&f, PRIVATE, "abc", 3);
        set_private(&f, SET(OCT("a", SECRET_A)));
        char *token = token_until("staff-1", exp_s);
        viewer_open(&v, &f);
        with_token(&f, &v, "/t/", token, PRIVATE, true);
        until(&f, is_idle, NULL);
        http_end_expired(f.http, (exp_s + 5) * US_PER_S);
        ask(&f, &v, "GET", "/time", "");
        assert_int_equal(v.status, 200);
        free(token);
        viewer_close(&v);
        close_fixture(&f);
}

static void list_has(struct fixture *f, struct viewer *v, const char *target, bool staff, bool board, const char *cache_control)
{
        ask(f, v, "GET", target, "");
        assert_int_equal(v->status, 200);
        assert_non_null(strstr(v->body, "\"open\""));
        assert_int_equal(strstr(v->body, "\"staff-1\"") != NULL, staff);
        assert_int_equal(strstr(v->body, "\"staff-2\"") != NULL, board);
        assert_string_equal(header_of(v, "Cache-Control"), cache_control);
}

static void test_the_list_names_private_streams_to_token_holders_only(void **state)
{
        (void)state;
        static const char all[] = "{\"streams\":[{\"id\":\"open\",\"session\":\"s\",\"state\":\"live\"},{\"id\":\"staff-1\","
                                  "\"session\":\"s\",\"state\":\"live\"},{\"id\":\"staff-2\",\"session\":\"s\",\"state\":\"live\"}]}";
        struct fixture f;
        struct viewer v;
        open_fixture(&f, PATIENCE_US);
        viewer_open(&v, &f);
        viewer_ask(&v, "GET", "/api/streams", "");
        until(&f, is_asked, NULL);
        fake_answer_bytes(fake_open(f.e.upstream), all, strlen(all), FETCH_COMPLETE, 60000, "application/json");
        until(&f, has_answer, &v);
        list_has(&f, &v, "/api/streams", true, true, "max-age=1"); /* nothing is private */
        set_private(&f, SET(OCT("a", SECRET_A)));
        char *one = token_until("staff-1", now_s() + 1000), *both = token_until("staff-?", now_s() + 1000);
        char *first = mem_printf("/t/%s/api/streams", one), *second = mem_printf("/t/%s/api/streams", both);
        for (int i = 0; i < 2; i++) {
                list_has(&f, &v, "/api/streams", false, false, "max-age=1");
                list_has(&f, &v, "/t/nonsense/api/streams", false, false, "max-age=1");
                list_has(&f, &v, first, true, false, "max-age=1");
                list_has(&f, &v, second, true, true, "max-age=1");
        }
        char *bearer = mem_printf("Authorization: Bearer %s\r\n", one);
        ask(&f, &v, "GET", "/api/streams", bearer);
        assert_non_null(strstr(v.body, "\"staff-1\""));
        assert_string_equal(header_of(&v, "Cache-Control"), "private, max-age=1");
        set_private(&f, SET(""));
        list_has(&f, &v, second, false, false, "max-age=1");
        free(bearer);
        free(first);
        free(second);
        free(one);
        free(both);
        viewer_close(&v);
        close_fixture(&f);
}

static void ask_list(struct fixture *f, struct viewer *v, const char *target, const char *tag, unsigned status, const char *body)
{
        char *headers = mem_printf("%s%s%s", tag ? "If-None-Match: " : "", tag ? tag : "", tag ? "\r\n" : "");
        ask(f, v, "GET", target, headers);
        assert_int_equal(v->status, status);
        assert_string_equal(v->body, status == 304 ? "" : body);
        free(headers);
}

/* A viewer who goes through the pages must come to what is his, however many before have nothing for him; and a poll costs nothing while
 * nothing changes. */
static void test_a_page_that_is_cut_leads_on_and_has_a_tag_of_what_is_left(void **state)
{
        (void)state;
#define PLACE KEY_RECORDINGS_PATH "/before/2026-01-31T12:34:56.789Z/S1"
        static const char page[] = "{\"recordings\":[{\"id\":\"staff-1\",\"session\":\"S1\",\"started\":\"2026-01-31T12:34:56.789Z\"}],"
                                   "\"next\":\"" PLACE "\"}";
        static const char cut[] = "{\"recordings\":[],\"next\":\"" PLACE "\"}";
        struct fixture f;
        struct viewer v;
        char whole_tag[ETAG_MAX], cut_tag[ETAG_MAX];
        open_fixture(&f, PATIENCE_US);
        viewer_open(&v, &f);
        viewer_ask(&v, "GET", KEY_RECORDINGS_PATH, "");
        until(&f, is_asked, NULL);
        fake_answer_bytes(fake_open(f.e.upstream), page, strlen(page), FETCH_COMPLETE, 60000, "application/json");
        until(&f, has_answer, &v);
        ask(&f, &v, "GET", KEY_RECORDINGS_PATH, ""); /* an answer that began before its end was there has none */
        snprintf(whole_tag, sizeof(whole_tag), "%s", header_of(&v, "ETag"));
        ask_list(&f, &v, KEY_RECORDINGS_PATH, whole_tag, 304, "");
        set_private(&f, SET(OCT("a", SECRET_A)));
        char *token = token_until("staff-1", now_s() + 1000), *his = mem_printf("/t/%s" KEY_RECORDINGS_PATH, token);
        for (int i = 0; i < 2; i++) {
                ask_list(&f, &v, KEY_RECORDINGS_PATH, whole_tag, 200, cut);
                snprintf(cut_tag, sizeof(cut_tag), "%s", header_of(&v, "ETag"));
                assert_string_not_equal(cut_tag, whole_tag);
                ask_list(&f, &v, KEY_RECORDINGS_PATH, cut_tag, 304, "");
                assert_string_equal(header_of(&v, "ETag"), cut_tag);
                assert_string_equal(header_of(&v, "Cache-Control"), "max-age=1");
                ask_list(&f, &v, his, cut_tag, 200, page);
                ask_list(&f, &v, his, whole_tag, 304, ""); /* he may see all of it */
        }
        free(his);
        free(token);
        viewer_close(&v);
        close_fixture(&f);
}

static void test_a_wrong_page_of_recordings_is_told_what_is_allowed(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        open_fixture(&f, PATIENCE_US);
        viewer_open(&v, &f);
        ask(&f, &v, "GET", KEY_RECORDINGS_PATH "/before/17", "");
        assert_int_equal(v.status, 400);
        assert_non_null(strstr(v.body, "{\"error\": \"a page of recordings is /api/recordings, /api/recordings/before/TIME/SESSION"));
        assert_int_equal(f.e.upstream->count, 0); /* and no origin is asked */
        viewer_close(&v);
        close_fixture(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_private_stream_needs_a_token_in_one_of_three_forms),
                cmocka_unit_test(test_all_tokens_of_a_stream_share_one_object_and_none_goes_upstream),
                cmocka_unit_test(test_an_answer_under_way_ends_with_its_token),
                cmocka_unit_test(test_an_answer_to_http_1_0_that_ends_with_its_token_looks_like_no_end),
                cmocka_unit_test(test_an_answer_under_way_ends_when_its_key_is_taken_away),
                cmocka_unit_test(test_a_connection_outlives_the_token_of_an_earlier_request),
                cmocka_unit_test(test_the_list_names_private_streams_to_token_holders_only),
                cmocka_unit_test(test_a_page_that_is_cut_leads_on_and_has_a_tag_of_what_is_left),
                cmocka_unit_test(test_a_wrong_page_of_recordings_is_told_what_is_allowed),
        };
        log_set_level(LOG_ERROR);
        stats_register();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
