#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "fake_upstream.h"
#include "edged/gather.h"

static char *merged(const char *const *lists, size_t count)
{
        struct buf *in[8];
        for (size_t i = 0; i < count; i++)
                in[i] = buf_copy(lists[i], strlen(lists[i]));
        struct buf *out = gather_merge(in, count);
        char *text = mem_printf("%.*s", (int)out->len, (const char *)out->data);
        buf_unref(&out);
        for (size_t i = 0; i < count; i++)
                buf_unref(&in[i]);
        return text;
}

#define A(state, started) "{\"id\":\"a\",\"state\":\"" state "\",\"started\":\"" started "\"}"
#define LIST(streams) "{\"streams\":[" streams "]}"

static void same_both_ways(const char *x, const char *y, const char *expected)
{
        const char *xy[] = {x, y}, *yx[] = {y, x};
        char *text = merged(xy, 2);
        assert_string_equal(text, expected);
        free(text);
        text = merged(yx, 2);
        assert_string_equal(text, expected);
        free(text);
}

static void test_a_stream_of_two_origins_is_listed_once_and_live_wins(void **state)
{
        (void)state;
        same_both_ways(LIST(A("live", "2")), LIST(A("ended", "2")), LIST(A("live", "2")));
        same_both_ways(LIST(A("live", "2")), LIST(A("slate", "2")), LIST(A("live", "2")));
        same_both_ways(LIST(A("slate", "2")), LIST(A("ended", "2")), LIST(A("slate", "2")));
        const char *lists[] = {LIST(A("live", "2") ",{\"id\":\"b\"}"), LIST(A("live", "2"))};
        char *text = merged(lists, 2);
        assert_string_equal(text, LIST(A("live", "2") ",{\"id\":\"b\"}"));
        free(text);
}

static void test_the_newest_session_wins_whatever_an_origin_that_missed_it_says(void **state)
{
        (void)state;
        same_both_ways(LIST(A("live", "2")), LIST(A("ended", "3")), LIST(A("ended", "3")));
        same_both_ways(LIST(A("live", "2")), LIST(A("live", "3")), LIST(A("live", "3")));
        same_both_ways(LIST(A("ended", "2")), LIST(A("ended", "3")), LIST(A("ended", "3")));
}

static void test_what_is_no_list_is_left_out(void **state)
{
        (void)state;
        const char *lists[] = {"", "[]", "{\"streams\":7}", "{\"streams\":[1,{},{\"id\":5},{\"id\":\"\"}]}", "\xff{",
                               "{\"streams\":[{\"id\":\"a\"}]}"};
        char *text = merged(lists, 6);
        assert_string_equal(text, "{\"streams\":[{\"id\":\"a\"}]}");
        free(text);
}

struct result {
        int calls, err;
        char text[256];
};

static void on_done(void *arg, int err, struct buf *json)
{
        struct result *r = arg;
        r->calls++;
        r->err = err;
        if (json)
                memcpy(r->text, json->data, json->len);
}

static void test_every_node_is_asked_and_a_lost_one_does_not_matter(void **state)
{
        (void)state;
        static const char a[] = "{\"streams\":[{\"id\":\"a\"}]}";
        struct fake_upstream *u = mem_alloc(sizeof(*u));
        struct result r = {0};
        u->base.ops = &fake_ops;
        u->nodes = 3;
        gather_begin(&u->base, 0, on_done, &r);
        assert_int_equal(u->count, 3);
        fake_answer_error(&u->calls[1], ERR_TIMEOUT);
        fake_answer_status(&u->calls[2], ERR_NOT_FOUND, 0);
        assert_int_equal(r.calls, 0);
        fake_answer_bytes(&u->calls[0], a, 10, 0, 0, "application/json"); /* a list in two pieces, both from node 1 */
        assert_int_equal(u->count, 4);
        assert_int_equal(u->calls[3].node, 1);
        assert_int_equal(u->calls[3].what.offset, 10);
        fake_answer_bytes(&u->calls[3], a + 10, sizeof(a) - 11, FETCH_COMPLETE, 0, "application/json");
        assert_int_equal(r.calls, 1);
        assert_int_equal(r.err, 0);
        assert_string_equal(r.text, a);
        free(u);
}

static void test_without_an_answer_it_fails(void **state)
{
        (void)state;
        struct fake_upstream *u = mem_alloc(sizeof(*u));
        struct result r = {0};
        u->base.ops = &fake_ops;
        gather_begin(&u->base, 0, on_done, &r);
        assert_int_equal(r.calls, 1);
        assert_int_equal(r.err, ERR_CLOSED);
        u->nodes = 1;
        gather_begin(&u->base, 0, on_done, &r);
        fake_answer_error(&u->calls[0], ERR_CLOSED);
        assert_int_equal(r.calls, 2);
        assert_int_equal(r.err, ERR_CLOSED);
        free(u);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_stream_of_two_origins_is_listed_once_and_live_wins),
                cmocka_unit_test(test_the_newest_session_wins_whatever_an_origin_that_missed_it_says),
                cmocka_unit_test(test_what_is_no_list_is_left_out),
                cmocka_unit_test(test_every_node_is_asked_and_a_lost_one_does_not_matter),
                cmocka_unit_test(test_without_an_answer_it_fails),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
