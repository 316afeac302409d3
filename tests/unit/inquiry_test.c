#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "common/daemon/log.h"
#include "edged/inquiry.h"
#include "tests/unit/fake_upstream.h"

static size_t fake_nodes(struct upstream *u, uint64_t *ids, size_t max)
{
        size_t n = 0;
        for (; n < ((struct fake_upstream *)u)->nodes && n < max; n++)
                ids[n] = n + 1;
        return n;
}

static const struct upstream_ops ops = {.fetch = fake_fetch, .live = fake_live, .nodes = fake_nodes};

static uv_loop_t loop;
static struct fake_upstream *above;
static struct census *census;
static struct inquiry *inquiry;

static int open_all(void **state)
{
        (void)state;
        uv_loop_init(&loop);
        above = mem_alloc(sizeof(*above));
        above->base.ops = &ops;
        above->nodes = 2;
        census = census_open();
        inquiry_open(&inquiry, &loop, &above->base, census);
        return 0;
}

static int close_all(void **state)
{
        (void)state;
        struct fake_call *c;
        inquiry_stop(inquiry);
        while ((c = fake_open(above)))
                fake_answer_error(c, ERR_CANCELED);
        inquiry_close(inquiry);
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(uv_loop_close(&loop), 0);
        census_close(census);
        free(above);
        return 0;
}

/* The question that is under way at that node, once there is one. */
static struct fake_call *asked(uint64_t node)
{
        for (;;) {
                for (unsigned i = 0; i < above->count; i++) {
                        if (!above->calls[i].answered && above->calls[i].node == node)
                                return &above->calls[i];
                }
                uv_run(&loop, UV_RUN_ONCE);
        }
}

static void tell(uint64_t node, const char *session, uint64_t next, bool more, bool partial)
{
        uint8_t bytes[256];
        struct writer w;
        writer_init(&w, bytes, sizeof(bytes));
        names_write_page(&w, &(struct names_page){.instance = 7, .next = next, .anew = next == 1, .more = more, .partial = partial});
        names_write_row(&w, &(struct names_row){.session = names_session("cam", session), .stream = names_stream("cam"), .last = 9});
        fake_answer_bytes(asked(node), bytes, w.len, FETCH_COMPLETE, 0, "");
}

static void settle(void)
{
        inquiry_nodes_changed(inquiry);
}

static void test_it_is_sure_when_every_node_that_is_up_has_told_all(void **state)
{
        (void)state;
        assert_string_equal(asked(1)->what.key, "/names/0/0");
        tell(1, "S1", 1, false, false);
        settle();
        assert_false(census_is_sure(census));
        tell(2, "S2", 1, true, false);
        settle();
        assert_false(census_is_sure(census));
        assert_string_equal(asked(2)->what.key, "/names/7/1"); /* the next page at once */
        tell(2, "S3", 2, false, true);
        settle();
        assert_false(census_is_sure(census));
        assert_int_equal(asked(2)->what.wait_ms, 0); /* what is partial may be whole in a moment */
        tell(2, "S3", 3, false, false);
        settle();
        assert_true(census_is_sure(census));
        assert_int_equal(census_sessions(census), 3);
        assert_string_equal(asked(2)->what.key, "/names/7/3");
        assert_int_equal(asked(2)->what.wait_ms, INQUIRY_WAIT_MS);
        fake_answer_status(asked(2), ERR_NOT_YET, 0);
        settle();
        assert_true(census_is_sure(census));
        above->nodes = 1; /* one that is down is not waited for, and what it had is remembered */
        settle();
        assert_true(census_is_sure(census));
        assert_int_equal(census_sessions(census), 3);
        above->nodes = 3; /* and one that comes up is */
        settle();
        assert_false(census_is_sure(census));
}

static void test_a_node_that_comes_up_again_may_have_more_until_it_has_answered(void **state)
{
        (void)state;
        tell(1, "S1", 1, false, false);
        tell(2, "S2", 1, false, false);
        settle();
        assert_true(census_is_sure(census));
        fake_answer_error(asked(2), ERR_CLOSED);
        above->nodes = 1;
        settle();
        assert_true(census_is_sure(census));
        above->nodes = 2;
        settle();
        assert_false(census_is_sure(census));
        assert_int_equal(asked(2)->what.wait_ms, 0);
        fake_answer_status(asked(2), ERR_NOT_YET, 0); /* it still reads what it has */
        settle();
        assert_false(census_is_sure(census));
        tell(2, "S3", 2, false, false);
        settle();
        assert_true(census_is_sure(census));
        assert_int_equal(asked(2)->what.wait_ms, INQUIRY_WAIT_MS);
}

static void test_what_is_no_list_is_asked_for_anew(void **state)
{
        (void)state;
        above->nodes = 1;
        tell(1, "S1", 1, false, false);
        settle();
        assert_true(census_is_sure(census));
        fake_answer_bytes(asked(1), "{}", 2, FETCH_COMPLETE, 0, "application/json");
        settle();
        assert_false(census_is_sure(census));
        assert_string_equal(asked(1)->what.key, "/names/0/0");
        fake_answer_status(asked(1), ERR_NOT_FOUND, 1000); /* nor has a node told all that knows of no such question */
        settle();
        assert_false(census_is_sure(census));
        tell(1, "S1", 1, false, false);
        settle();
        assert_true(census_is_sure(census));
}

static void test_more_nodes_than_there_is_room_for_leave_it_unsure(void **state)
{
        (void)state;
        above->nodes = CENSUS_SOURCES + 1;
        for (uint64_t node = 1; node <= CENSUS_SOURCES; node++)
                tell(node, "S1", 1, false, false);
        settle();
        assert_false(census_is_sure(census));
        above->nodes = CENSUS_SOURCES;
        settle();
        assert_true(census_is_sure(census));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_it_is_sure_when_every_node_that_is_up_has_told_all, open_all, close_all),
                cmocka_unit_test_setup_teardown(test_a_node_that_comes_up_again_may_have_more_until_it_has_answered, open_all, close_all),
                cmocka_unit_test_setup_teardown(test_what_is_no_list_is_asked_for_anew, open_all, close_all),
                cmocka_unit_test_setup_teardown(test_more_nodes_than_there_is_room_for_leave_it_unsure, open_all, close_all),
        };
        log_set_level(LOG_ERROR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
