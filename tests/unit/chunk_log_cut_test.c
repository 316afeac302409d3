/* Going back: what is cut off a log, and what stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/err.h"
#include "tests/unit/chunk_log_fixture.h"

static void test_cut_forgets_a_segment_and_all_behind_it_and_goes_on_from_there(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        struct segment_view v;
        int cut = 0;
        for (unsigned n = 0; n < 3; n++)
                for (unsigned k = 0; k < 5; k++)
                        assert_int_equal(append(log, n, k, 0, 50), 0);
        assert_true(see(log, 1, &v));
        chunk_log_cut(log, 1, NULL, cut_is_done, &cut);
        assert_false(see(log, 1, &v)); /* at once: nobody reads what is going */
        assert_true(see(log, 0, &v));
        struct append x;
        struct buf *b = fmp4_video_chunk(1, 0, 77); /* asked for meanwhile: it waits */
        start(log, &x, 1, 0, 0, b);
        assert_false(x.done);
        UNTIL(&loop, x.done);
        assert_int_equal(cut, 1);
        assert_int_equal(x.status, 0);
        assert_int_equal(log->index.end_ticks, 108000);
        assert_int_equal(log->index.samples, 30);
        assert_int_equal(file_bytes(), log->index.file_bytes);
        assert_true(see(log, 1, &v));
        assert_non_null(v.bytes); /* what is remembered of it is the new one's */
        assert_int_equal(v.len_bytes, b->len);
        assert_memory_equal(v.bytes->data, b->data, b->len);
        buf_unref(&b);
        free_log(&log);
}

/* The segment as somebody else has it: so many chunks of samples of this size, the rest of another. */
static struct buf *segment_of(unsigned n, unsigned same, uint32_t size, uint32_t other)
{
        struct buf *all = buf_new(1 << 16);
        size_t len = 0;
        for (unsigned k = 0; k < 5; k++) {
                struct buf *b = fmp4_video_chunk(n, k, k < same ? size : other);
                memcpy(all->data + len, b->data, b->len);
                len += b->len;
                buf_unref(&b);
        }
        struct buf *out = buf_copy(all->data, len);
        buf_unref(&all);
        return out;
}

static void test_what_a_cut_segment_begins_with_elsewhere_too_stays(void **state)
{
        (void)state;
        struct segment_view v;
        volume_segments = 2;
        for (unsigned same = 0; same <= 5; same++) {
                struct chunk_log *log = open_log();
                int cut = 0;
                for (unsigned n = 0; n < 5; n++)
                        for (unsigned k = 0; k < 5; k++)
                                assert_int_equal(append(log, n, k, k == 4 ? PUT_LAST : 0, 50), 0);
                chunk_log_cut(log, 2, segment_of(2, same, 50, 70), cut_is_done, &cut);
                UNTIL(&loop, cut);
                assert_int_equal(cut, 1);
                unsigned kept = same < 5 ? same : 4; /* behind the last one nothing could come any more */
                assert_int_equal(log->index.end_ticks, 2 * 90000 + kept * 18000);
                assert_int_equal(see(log, 2, &v), kept > 0);
                assert_int_equal(append(log, 2, kept, 0, 70), 0);
                assert_int_equal(append(log, 3, 0, 0, 70), 0);
                free_log(&log);
                log = open_log();
                assert_true(see(log, 1, &v));
                assert_true(see(log, 2, &v));
                assert_int_equal(cut_to(log, 0), 1);
                free_log(&log);
        }
}

static void test_cut_to_the_beginning_leaves_no_volume(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        assert_int_equal(append(log, 3, 0, 0, 50), 0);
        assert_int_equal(cut_to(log, 0), 1);
        assert_int_not_equal(access(path, F_OK), 0);
        assert_int_equal(append(log, 0, 0, 0, 50), 0);
        free_log(&log);
}

static void test_cut_goes_back_over_volumes(void **state)
{
        (void)state;
        static const unsigned to[] = {19, 16, 14, 12, 5, 4, 1, 0};
        struct segment_view v;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 20);
        for (size_t i = 0; i < sizeof(to) / sizeof(to[0]); i++) {
                assert_int_equal(cut_to(log, to[i]), 1);
                assert_false(see(log, to[i], &v));
                struct volume_sum sum;
                assert_int_equal(chunk_log_sum(log, &sum), to[i] > 0);
                assert_int_equal(sum.samples, to[i] * 25);
                for (unsigned n = 0; n < to[i]; n++)
                        assert_stored(log, n);
                if (to[i])
                        assert_int_equal(log->index.end_ticks, to[i] * UINT64_C(90000));
        }
        write_segments(log, 0, 6);
        free_log(&log);
        log = open_log();
        for (unsigned n = 0; n < 6; n++)
                assert_stored(log, n);
        free_log(&log);
}

static struct volumes rows_saved;
static unsigned rows_saves;

static int save_rows(void *arg, struct chunk_log *log)
{
        (void)arg;
        rows_saves++;
        volumes_free(&rows_saved);
        chunk_log_rows(log, &rows_saved);
        return 1;
}

static void test_rows_of_what_is_cut_are_gone_before_its_files_are(void **state)
{
        (void)state;
        char name[32];
        int cut = 0;
        struct segment_view v;
        volume_segments = 2;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 11);
        quiet(log);
        log->save_rows = save_rows;
        rows_saves = 0;
        chunk_log_cut(log, 5, NULL, cut_is_done, &cut);
        assert_int_equal(rows_saves, 1);
        assert_int_equal(rows_saved.count, 2);
        assert_int_equal(rows_saved.rows[1].number, 1);
        for (unsigned n = 0; n < 6; n++) {
                snprintf(name, sizeof(name), "%06u.mp4", n);
                assert_true(is_file(name));
        }
        chunk_log_cut_on(log, ERR_NOSPACE); /* it cannot be saved: nothing has happened */
        assert_int_equal(cut, ERR_NOSPACE);
        for (unsigned n = 0; n < 11; n++)
                assert_stored(log, n);
        save_rows(NULL, log);
        assert_int_equal(rows_saved.count, 5);
        assert_int_equal(append(log, 11, 0, 0, 50), 0);
        cut = 0;
        chunk_log_cut(log, 5, NULL, cut_is_done, &cut);
        chunk_log_cut_on(log, 0);
        UNTIL(&loop, cut);
        assert_int_equal(cut, 1);
        assert_true(is_file("000002.mp4"));
        for (unsigned n = 3; n < 6; n++) {
                snprintf(name, sizeof(name), "%06u.mp4", n);
                assert_false(is_file(name));
        }
        struct volume_sum sum;
        assert_true(chunk_log_sum(log, &sum));
        assert_int_equal(sum.samples, 5 * 25);
        assert_true(see(log, 4, &v));
        assert_false(see(log, 5, &v));
        volumes_free(&rows_saved);
        free_log(&log);
}

static void test_a_volume_that_is_not_whole_is_so_too_after_a_cut_that_did_not_come_to_its_end(void **state)
{
        (void)state;
        int cut = 0;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 2);
        chunk_log_skip(log);
        chunk_log_rows(log, &rows_saved);
        assert_int_equal(rows_saved.count, 1);
        assert_int_equal(rows_saved.rows[0].state, VOLUME_DAMAGED);
        volumes_free(&rows_saved);
        write_segments(log, 4, 6);
        quiet(log);
        log->save_rows = save_rows;
        chunk_log_cut(log, 1, NULL, cut_is_done, &cut);
        assert_int_equal(rows_saved.count, 1);
        assert_int_equal(rows_saved.rows[0].state, VOLUME_DAMAGED);
        assert_int_equal(rows_saved.rows[0].sum.chunks, 0); /* a start opens it */
        chunk_log_cut_on(log, 0);
        UNTIL(&loop, cut);
        assert_true(log->open_lacking);
        cut = 0;
        chunk_log_cut(log, 0, NULL, cut_is_done, &cut);
        assert_int_equal(rows_saved.count, 0);
        chunk_log_cut_on(log, 0);
        UNTIL(&loop, cut);
        volumes_free(&rows_saved);
        free_log(&log);
}

static void test_cut_below_the_first_volume_that_is_kept_makes_that_one_expected_again(void **state)
{
        (void)state;
        struct volume_row row = {.number = 1, .sum = {.first_segment = 2, .last_segment = 3, .bytes = 1}};
        struct volumes there = {.rows = &row, .count = 1};
        volume_segments = 2;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 9);
        quiet(log);
        for (uint32_t n = 0; n < 3; n++)
                assert_int_equal(chunk_log_forget_volume(log, n), 0);
        chunk_log_expect_volumes(log, &there, 0, 9);
        assert_null(volumes_get(&log->closed, 1));
        assert_int_equal(cut_to(log, 3), 1);
        chunk_log_expect_volumes(log, &there, 0, 9);
        assert_int_equal(volumes_get(&log->closed, 1)->state, VOLUME_LACKING);
        free_log(&log);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_cut_forgets_a_segment_and_all_behind_it_and_goes_on_from_there),
                CASE(test_what_a_cut_segment_begins_with_elsewhere_too_stays),
                CASE(test_rows_of_what_is_cut_are_gone_before_its_files_are),
                CASE(test_a_volume_that_is_not_whole_is_so_too_after_a_cut_that_did_not_come_to_its_end),
                CASE(test_cut_below_the_first_volume_that_is_kept_makes_that_one_expected_again),
                CASE(test_cut_to_the_beginning_leaves_no_volume),
                CASE(test_cut_goes_back_over_volumes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
