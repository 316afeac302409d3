#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "common/err.h"
#include "proto/names.h"

static uint8_t bytes[4096];

static size_t write_two(void)
{
        struct writer w;
        writer_init(&w, bytes, sizeof(bytes));
        names_write_page(&w, &(struct names_page){.instance = 7, .next = 9, .anew = true, .partial = true});
        names_write_row(&w, &(struct names_row){.session = names_session("cam", "s1"), .stream = names_stream("cam"), .live = true, .first = 3,
                                                .last = 40, .track_count = 2, .tracks = {names_track("v720"), names_track("a128")}});
        names_write_row(&w, &(struct names_row){.session = names_session("cam", "s0"), .gone = true});
        return w.len;
}

static void test_a_page_is_read_as_it_was_written(void **state)
{
        (void)state;
        struct reader r;
        struct names_page p;
        struct names_row row;
        reader_init(&r, bytes, write_two());
        assert_int_equal(names_read_page(&r, &p), 0);
        assert_true(p.instance == 7 && p.next == 9 && p.anew && p.partial && !p.more);
        assert_int_equal(names_read_row(&r, &row), 0);
        assert_true(row.live && !row.gone && row.first == 3 && row.last == 40 && row.track_count == 2);
        assert_true(row.session == names_session("cam", "s1") && row.tracks[1] == names_track("a128"));
        assert_int_equal(names_read_row(&r, &row), 0);
        assert_true(row.gone && row.session == names_session("cam", "s0"));
        assert_int_equal(reader_left(&r), 0);
}

static void test_a_page_cut_anywhere_or_with_a_flag_that_cannot_be_is_no_page(void **state)
{
        (void)state;
        size_t len = write_two(), rows = 0;
        for (size_t cut = 0; cut < len; cut++) {
                struct reader r;
                struct names_page p;
                struct names_row row;
                reader_init(&r, bytes, cut);
                int err = names_read_page(&r, &p);
                for (; !err && reader_left(&r); rows++)
                        err = names_read_row(&r, &row);
                bool whole = cut == NAMES_HEAD_BYTES || cut == len - 9;
                assert_int_equal(err, whole ? 0 : ERR_PROTO);
        }
        struct reader r;
        struct names_page p;
        bytes[16] = 0x80;
        reader_init(&r, bytes, len);
        assert_int_equal(names_read_page(&r, &p), ERR_PROTO);
}

static void test_what_went_is_remembered_for_a_while(void **state)
{
        (void)state;
        static struct names_gone g;
        uint64_t at;
        assert_true(names_gone_behind(&g, 0, &at) && at == 0);
        for (uint64_t change = 1; change <= 2 * NAMES_GONE; change++)
                names_went(&g, 10 * change, change);
        assert_true(names_gone_behind(&g, 20 * NAMES_GONE, &at) && at == g.count);
        assert_true(names_gone_behind(&g, 20 * NAMES_GONE - 11, &at) && at == g.count - 2);
        assert_true(g.at[at % NAMES_GONE].change == 20 * NAMES_GONE - 10);
        assert_false(names_gone_behind(&g, 5, &at));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_page_is_read_as_it_was_written),
                cmocka_unit_test(test_a_page_cut_anywhere_or_with_a_flag_that_cannot_be_is_no_page),
                cmocka_unit_test(test_what_went_is_remembered_for_a_while),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
