/* Volumes of a log whose files are in the archive alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/err.h"
#include "originD/log/index_cache.h"
#include "tests/unit/chunk_log_fixture.h"

/* Its file goes; what it held is kept under the name that a fetch gives it, which nobody looks at. */
static struct volume_row archive(struct chunk_log *log, uint32_t number)
{
        int gone = 0;
        quiet(log);
        struct volume_row row = *volumes_get(&log->closed, number);
        assert_true(chunk_log_copied(log, &row));
        row = *volumes_get(&log->closed, number);
        char *mp4 = volume_path(folder, number, "mp4"), *kept = volume_path(folder, number, VOLUME_FETCHED);
        assert_int_equal(link(mp4, kept), 0);
        assert_true(chunk_log_archive(log, &row));
        chunk_log_drop_file(log, number, cut_is_done, &gone);
        UNTIL(&loop, gone);
        assert_int_equal(gone, 1);
        assert_int_equal(access(mp4, F_OK), -1);
        free(mp4);
        free(kept);
        return *volumes_get(&log->closed, number);
}

static void bring(struct chunk_log *log, uint32_t number)
{
        int here = 0;
        struct volume_row row = *volumes_get(&log->closed, number);
        assert_ptr_equal(chunk_log_wanted(log, 0), volumes_get(&log->closed, number));
        assert_true(chunk_log_bring_file(log, &row, cut_is_done, &here));
        assert_false(chunk_log_bring_file(log, &row, cut_is_done, &here)); /* one at a time */
        UNTIL(&loop, here);
        assert_int_equal(here, 1);
        assert_null(chunk_log_wanted(log, 0));
}

static void test_only_what_the_archive_is_said_to_have_goes_and_only_while_it_is_that(void **state)
{
        (void)state;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 9);
        quiet(log);
        struct volume_row row = *volumes_get(&log->closed, 0), other = row;
        other.sum.crc++;
        assert_false(chunk_log_copied(log, &other));
        assert_false(chunk_log_archive(log, &row)); /* nobody says that the archive has it */
        assert_true(chunk_log_copied(log, &row));
        other.copied = true;
        assert_false(chunk_log_archive(log, &other));
        free_log(&log);
}

/* What is told it would be told a log that is freed in a moment. */
static void test_nothing_goes_or_comes_of_a_log_whose_files_are_read_again(void **state)
{
        (void)state;
        int here = 0;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 13);
        struct volume_row archived = archive(log, 0), first = *volumes_get(&log->closed, 1), second = *volumes_get(&log->closed, 2);
        assert_true(chunk_log_copied(log, &first));
        log->rereading = true;
        assert_false(chunk_log_archive(log, &first));
        assert_false(chunk_log_copied(log, &second));
        assert_false(chunk_log_bring_file(log, &archived, cut_is_done, &here));
        log->rereading = false;
        assert_true(chunk_log_copied(log, &second)); /* and nothing of that is remembered */
        assert_true(chunk_log_bring_file(log, &archived, cut_is_done, &here));
        UNTIL(&loop, here);
        assert_int_equal(here, 1);
        free_log(&log);
}

static void test_a_volume_in_the_archive_counts_as_any_and_is_read_by_its_index_alone(void **state)
{
        (void)state;
        struct segment_view v;
        struct volume_sum before, after;
        struct archive_sum sum = {0};
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 26);
        assert_true(see(log, 1, &v));
        uint64_t offset = v.offset;
        assert_false(v.archived);
        assert_true(chunk_log_sum(log, &before));
        struct volume_row row = archive(log, 0);
        assert_true(chunk_log_sum(log, &after));
        assert_int_equal(after.bytes, before.bytes);
        assert_int_equal(after.samples, before.samples);
        assert_int_equal(after.first_segment, 0);
        assert_int_equal(chunk_log_lacking(log), 0);
        chunk_log_archive_sum(log, &sum);
        assert_int_equal(sum.copied, 0);
        assert_int_equal(sum.archived, row.sum.bytes);
        index_cache_drop(&volumes_get(&log->closed, 0)->index);
        assert_true(see(log, 1, &v));
        assert_true(v.archived && v.complete);
        assert_int_equal(v.volume, 0);
        assert_int_equal(v.offset, offset);
        assert_false(chunk_log_hide_volume(log, 0, NULL));
        free_log(&log);
}

static uint32_t wanted_at(const struct chunk_log *log, int64_t now)
{
        const struct volume_row *row = chunk_log_wanted(log, now);
        return row ? row->number : UINT32_MAX;
}

static void test_a_volume_that_cannot_be_brought_lets_the_others_have_their_turn(void **state)
{
        (void)state;
        struct segment_view v;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 26);
        for (uint32_t n = 0; n < 3; n++) {
                archive(log, n);
                index_cache_drop(&volumes_get(&log->closed, n)->index);
                char *idx = volume_path(folder, n, "idx");
                assert_int_equal(unlink(idx), 0);
                free(idx);
                assert_int_equal(chunk_log_segment(log, 4 * n, true, &v), SEGMENT_LOADING);
                quiet(log);
        }
        assert_int_equal(wanted_at(log, 100), 2);
        chunk_log_not_brought(log, 2, 110);
        assert_int_equal(wanted_at(log, 100), 1);
        chunk_log_not_brought(log, 1, 120);
        bring(log, 0);
        assert_int_equal(wanted_at(log, 119), UINT32_MAX);
        assert_int_equal(wanted_at(log, 120), 2);
        chunk_log_not_brought(log, 2, 130);
        assert_int_equal(wanted_at(log, 120), 1);
        free_log(&log);
}

/* Nobody who was given up keeps a file here, and nobody who lets one go takes it from who goes on with it. */
static void test_a_file_is_wanted_for_a_while_and_by_each_for_himself(void **state)
{
        (void)state;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 13);
        archive(log, 1);
        archive(log, 2);
        assert_true(chunk_log_want_file(log, 1, 100));
        assert_int_equal(wanted_at(log, 99), 1);
        assert_int_equal(wanted_at(log, 100), UINT32_MAX);
        assert_true(chunk_log_want_file(log, 1, 200));
        assert_true(chunk_log_want_file(log, 1, 150)); /* another's */
        assert_int_equal(wanted_at(log, 199), 1);
        chunk_log_let_go(log, 1);
        assert_int_equal(wanted_at(log, 150), UINT32_MAX);
        assert_true(chunk_log_want_file(log, 2, 100));
        assert_false(chunk_log_may_cut(log, 10));
        chunk_log_let_go(log, 2);
        assert_int_equal(wanted_at(log, 1000), 2);
        bring(log, 2);
        assert_false(chunk_log_want_file(log, 2, 100)); /* it is here */
        assert_false(chunk_log_want_file(log, 7, 100));
        free_log(&log);
}

static void test_an_index_that_is_gone_is_no_absence_of_what_is_in_the_archive(void **state)
{
        (void)state;
        struct segment_view v;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 26);
        archive(log, 1);
        index_cache_drop(&volumes_get(&log->closed, 1)->index);
        char *idx = volume_path(folder, 1, "idx");
        assert_int_equal(unlink(idx), 0);
        free(idx);
        assert_int_equal(chunk_log_segment(log, 5, true, &v), SEGMENT_LOADING);
        quiet(log);
        assert_int_equal(volumes_get(&log->closed, 1)->state, VOLUME_ARCHIVED);
        bring(log, 1);
        assert_stored(log, 5);
        assert_true(see(log, 5, &v) && !v.archived);
        free_log(&log);
}

static void test_a_cut_waits_until_what_it_goes_on_with_is_back_from_the_archive(void **state)
{
        (void)state;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 14);
        archive(log, 0);
        archive(log, 1);
        archive(log, 2);
        assert_int_equal(cut_to(log, 13), 1); /* that is in the open volume */
        assert_int_equal(cut_to(log, 12), ERR_NOT_YET); /* all of that goes: the one before is gone on with */
        bring(log, 2);
        assert_int_equal(cut_to(log, 12), 1);
        assert_int_equal(log->index.end_ticks, 12 * UINT64_C(90000));
        assert_int_equal(cut_to(log, 5), ERR_NOT_YET);
        for (unsigned n = 8; n < 12; n++)
                assert_stored(log, n); /* nothing happened */
        bring(log, 1);
        assert_int_equal(cut_to(log, 5), 1);
        write_segments(log, 5, 14);
        for (unsigned n = 4; n < 14; n++)
                assert_stored(log, n);
        assert_int_equal(volumes_get(&log->closed, 0)->state, VOLUME_ARCHIVED);
        struct volume_sum sum;
        assert_true(chunk_log_sum(log, &sum));
        assert_int_equal(sum.samples, 14 * 25);
        free_log(&log);
}

static void test_an_ended_log_whose_end_is_in_the_archive_is_opened_when_that_is_back(void **state)
{
        (void)state;
        int again = 0;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 6);
        chunk_log_end(log);
        archive(log, 1);
        chunk_log_reopen(log, false, cut_is_done, &again);
        assert_int_equal(again, ERR_NOT_YET);
        assert_true(log->ended);
        bring(log, 1);
        again = 0;
        chunk_log_reopen(log, false, cut_is_done, &again);
        UNTIL(&loop, again);
        assert_int_equal(again, 1);
        write_segments(log, 6, 9);
        for (unsigned n = 0; n < 9; n++)
                assert_stored(log, n);
        free_log(&log);
}

/* As a crash leaves it: between saving the row and unlinking the file, or with a file that is not what it was. */
static void test_an_archived_volume_whose_file_is_there_is_here_if_the_file_is_what_it_was(void **state)
{
        (void)state;
        struct volumes known = {0};
        struct init_info info;
        struct buf *init;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 14);
        for (uint32_t i = 0; i < 3; i++) {
                struct volume_row row = archive(log, i);
                row.index = NULL;
                volumes_insert(&known, &row);
        }
        free_log(&log);
        char *whole[2] = {volume_path(folder, 1, VOLUME_FETCHED), volume_path(folder, 1, "mp4")};
        char *other[2] = {volume_path(folder, 2, VOLUME_FETCHED), volume_path(folder, 2, "mp4")};
        assert_int_equal(rename(whole[0], whole[1]), 0);
        assert_int_equal(rename(other[0], other[1]), 0);
        assert_int_equal(truncate(other[1], 3000), 0);
        struct volumes_found found = find_volumes(&known, &info, &init);
        assert_true(found.open);
        assert_int_equal(found.number, 3);
        assert_int_equal(volumes_get(&found.closed, 0)->state, VOLUME_ARCHIVED);
        assert_int_equal(volumes_get(&found.closed, 1)->state, VOLUME_HERE);
        assert_true(volumes_get(&found.closed, 1)->copied);
        assert_int_equal(volumes_get(&found.closed, 2)->state, VOLUME_ARCHIVED);
        assert_int_equal(volumes_get(&found.closed, 2)->sum.crc, volumes_get(&known, 2)->sum.crc);
        volumes_found_free(&found);
        volumes_free(&known);
        buf_unref(&init);
        for (int i = 0; i < 2; i++)
                free(whole[i]), free(other[i]);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_only_what_the_archive_is_said_to_have_goes_and_only_while_it_is_that),
                CASE(test_nothing_goes_or_comes_of_a_log_whose_files_are_read_again),
                CASE(test_a_volume_in_the_archive_counts_as_any_and_is_read_by_its_index_alone),
                CASE(test_a_volume_that_cannot_be_brought_lets_the_others_have_their_turn),
                CASE(test_a_file_is_wanted_for_a_while_and_by_each_for_himself),
                CASE(test_an_index_that_is_gone_is_no_absence_of_what_is_in_the_archive),
                CASE(test_a_cut_waits_until_what_it_goes_on_with_is_back_from_the_archive),
                CASE(test_an_ended_log_whose_end_is_in_the_archive_is_opened_when_that_is_back),
                CASE(test_an_archived_volume_whose_file_is_there_is_here_if_the_file_is_what_it_was),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
