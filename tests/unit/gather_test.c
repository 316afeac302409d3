#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "fake_upstream.h"
#include "edged/gather.h"
#include "proto/key.h"

static uv_loop_t loop;
static struct gather *g;

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
        gather_begin(&g, &loop, &u->base, "/api/streams", 0, on_done, &r);
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

static void test_a_page_of_recordings_is_asked_of_every_node_by_its_name_and_put_together_beside_the_loop(void **state)
{
        (void)state;
        static const char page[] = KEY_RECORDINGS_PATH "/before/2026-01-31T12:34:56.789Z/S5";
        static const char a[] = "{\"recordings\":[{\"id\":\"a\",\"session\":\"S4\",\"started\":\"2026-01-31T12:34:56.000Z\"}]}";
        struct fake_upstream *u = mem_alloc(sizeof(*u));
        struct result r = {0};
        u->base.ops = &fake_ops;
        u->nodes = 2;
        gather_begin(&g, &loop, &u->base, page, 3, on_done, &r);
        assert_int_equal(u->count, 2);
        for (int i = 0; i < 2; i++) {
                assert_string_equal(u->calls[i].what.key, page);
                assert_int_equal(u->calls[i].what.hops, 3);
                fake_answer_bytes(&u->calls[i], a, sizeof(a) - 1, FETCH_COMPLETE, 0, "application/json");
        }
        assert_int_equal(r.calls, 0); /* however short: whoever asks for thousands of pages holds up nobody's video */
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(r.calls, 1);
        assert_string_equal(r.text, a);
        free(u);
}

/* So long a list of streams that putting it together takes more than a moment. */
static char *long_list(size_t *len)
{
        char *text = mem_alloc(GATHER_AT_ONCE_BYTES + 200);
        size_t n = (size_t)sprintf(text, "{\"streams\":[{\"id\":\"a\",\"title\":\"");
        memset(text + n, 'x', GATHER_AT_ONCE_BYTES);
        n += GATHER_AT_ONCE_BYTES;
        *len = n + (size_t)sprintf(text + n, "\"}]}");
        return text;
}

static int long_done;
static void on_long(void *arg, int err, struct buf *json)
{
        (void)arg;
        long_done += err == 0 && json->len > GATHER_AT_ONCE_BYTES;
}

static void test_a_long_list_is_put_together_beside_the_loop(void **state)
{
        (void)state;
        size_t len;
        char *text = long_list(&len);
        struct fake_upstream *u = mem_alloc(sizeof(*u));
        u->base.ops = &fake_ops;
        u->nodes = 1;
        for (int abandoned = 0; abandoned < 2; abandoned++) {
                long_done = 0;
                gather_begin(&g, &loop, &u->base, "/api/streams", 0, on_long, NULL);
                fake_answer_bytes(&u->calls[u->count - 1], text, len, FETCH_COMPLETE, 0, "application/json");
                assert_int_equal(long_done, 0); /* not in the callback that brought the last of it */
                if (abandoned)
                        gather_abandon(&g);
                uv_run(&loop, UV_RUN_DEFAULT);
                assert_int_equal(long_done, !abandoned);
        }
        free(u);
        free(text);
}

static void test_who_abandons_it_hears_nothing_more(void **state)
{
        (void)state;
        struct fake_upstream *u = mem_alloc(sizeof(*u));
        struct result r = {0};
        u->base.ops = &fake_ops;
        u->nodes = 1;
        gather_begin(&g, &loop, &u->base, "/api/streams", 0, on_done, &r);
        gather_abandon(&g);
        assert_null(g);
        fake_answer_bytes(&u->calls[0], "{\"streams\":[]}", 14, FETCH_COMPLETE, 0, "application/json");
        assert_int_equal(r.calls, 0);
        free(u);
}

static void test_without_an_answer_it_fails(void **state)
{
        (void)state;
        struct fake_upstream *u = mem_alloc(sizeof(*u));
        struct result r = {0};
        u->base.ops = &fake_ops;
        assert_int_equal(gather_begin(&g, &loop, &u->base, "/api/streams", 0, on_done, &r), ERR_CLOSED);
        u->nodes = 1;
        node_set_add(&u->busy, 1);
        assert_int_equal(gather_begin(&g, &loop, &u->base, "/api/streams", 0, on_done, &r), ERR_FULL);
        assert_null(g);
        assert_int_equal(r.calls, 0); /* but by what was returned */
        u->busy = (struct node_set){0};
        assert_int_equal(gather_begin(&g, &loop, &u->base, "/api/streams", 0, on_done, &r), 0);
        fake_answer_error(&u->calls[0], ERR_CLOSED);
        assert_int_equal(r.calls, 1);
        assert_int_equal(r.err, ERR_CLOSED);
        free(u);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_node_is_asked_and_a_lost_one_does_not_matter),
                cmocka_unit_test(test_a_page_of_recordings_is_asked_of_every_node_by_its_name_and_put_together_beside_the_loop),
                cmocka_unit_test(test_a_long_list_is_put_together_beside_the_loop),
                cmocka_unit_test(test_who_abandons_it_hears_nothing_more),
                cmocka_unit_test(test_without_an_answer_it_fails),
        };
        uv_loop_init(&loop);
        int failed = cmocka_run_group_tests(tests, NULL, NULL);
        return failed ? failed : -uv_loop_close(&loop);
}
