/* The volumes of a log: where one ends, what is known of it, and a disk that cannot say that it has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/syscall.h>

#include "common/crc32c.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/index_cache.h"
#include "tests/unit/chunk_log_fixture.h"
#include "tests/unit/full_disk.h"

/* ---- volumes ------------------------------------------------------------------------------------------------------- */

static void test_each_volume_is_a_file_and_all_segments_are_found(void **state)
{
        (void)state;
        struct segment_view v;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 2, 40);
        assert_int_equal(log->open_number, 9);
        quiet(log);
        assert_int_equal(log->closed.count, 9);
        assert_int_equal(log->closed.rows[0].sum.first_segment, 2);
        assert_true(is_file("000000.mp4") && is_file("000009.mp4") && is_file("000009.idx") && !is_file("000010.mp4"));
        for (unsigned n = 2; n < 40; n++)
                assert_stored(log, n);
        assert_int_equal(chunk_log_segment(log, 1, true, &v), SEGMENT_NONE);
        assert_int_equal(chunk_log_segment(log, 40, true, &v), SEGMENT_NONE);
        struct volume_sum before, after;
        assert_true(chunk_log_sum(log, &before));
        free_log(&log);
        log = open_log(); /* with no index in memory */
        assert_true(chunk_log_sum(log, &after));
        assert_int_equal(before.bytes, after.bytes);
        assert_int_equal(before.samples, after.samples);
        assert_int_equal(chunk_log_segment(log, 3, false, &v), SEGMENT_UNREAD);
        for (unsigned n = 2; n < 40; n++)
                assert_stored(log, n);
        assert_int_equal(append(log, 40, 0, 0, 50), 0);
        free_log(&log);
}

static void test_a_volume_that_is_closed_has_the_checksum_of_its_file(void **state)
{
        (void)state;
        volume_segments = 2;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 5);
        free_log(&log);
        log = open_log(); /* what was written before a start has to be read for it */
        write_segments(log, 5, 6);
        assert_int_equal(append(log, 6, 0, 0, 50), 0);
        quiet(log);
        for (size_t i = 0; i < 3; i++) {
                struct volume_row *row = &log->closed.rows[i];
                char *file = volume_path(folder, row->number, "mp4");
                struct buf *all = buf_new((size_t)row->sum.bytes + 1);
                int fd = open(file, O_RDONLY);
                assert_int_equal(read(fd, all->data, all->len), row->sum.bytes);
                assert_int_equal(row->sum.crc, crc32c(0, all->data, (size_t)row->sum.bytes));
                close(fd);
                free(file);
                buf_unref(&all);
        }
        free_log(&log);
}

static void test_an_ended_log_goes_on_in_its_last_volume(void **state)
{
        (void)state;
        int again = 0;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 6);
        chunk_log_end(log);
        chunk_log_reopen(log, false, cut_is_done, &again); /* while the last one is being closed */
        UNTIL(&loop, again);
        assert_int_equal(again, 1);
        write_segments(log, 6, 9);
        for (unsigned n = 0; n < 9; n++)
                assert_stored(log, n);
        assert_int_equal(log->closed.count, 2);
        free_log(&log);
}

static void test_a_volume_that_is_gone_or_damaged_is_lacking_not_never_there(void **state)
{
        (void)state;
        struct segment_view v;
        char file[256];
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 14);
        quiet(log);
        struct volumes known = log->closed;
        struct volume_row rows[3];
        memcpy(rows, known.rows, sizeof(rows));
        for (int i = 0; i < 3; i++)
                rows[i].index = NULL;
        known.rows = rows;
        free_log(&log);
        snprintf(file, sizeof(file), "%s/000001.mp4", folder);
        assert_int_equal(unlink(file), 0);
        snprintf(file, sizeof(file), "%s/000002.mp4", folder);
        int fd = open(file, O_RDWR);
        assert_int_equal(pwrite(fd, "damage", 6, (off_t)rows[2].sum.bytes / 2), 6);
        close(fd);
        snprintf(file, sizeof(file), "%s/000002.idx", folder);
        unlink(file); /* so that it is looked at */
        log = open_log_with(&known);
        for (unsigned n = 0; n < 4; n++)
                assert_stored(log, n);
        for (unsigned n = 4; n < 8; n++)
                assert_int_equal(chunk_log_segment(log, n, true, &v), SEGMENT_LACKING);
        assert_stored(log, 12);
        assert_int_equal(append(log, 14, 0, 0, 50), 0);
        free_log(&log);
}

static void test_a_removed_volume_is_as_if_it_had_not_been(void **state)
{
        (void)state;
        struct segment_view v;
        int gone = 0;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 10);
        quiet(log);
        assert_int_equal(chunk_log_forget_volume(log, 0), 0);
        assert_int_equal(chunk_log_segment(log, 2, true, &v), SEGMENT_NONE); /* at once */
        assert_true(is_file("000000.mp4"));
        chunk_log_unlink_volume(log, 0, cut_is_done, &gone);
        UNTIL(&loop, gone);
        assert_int_equal(gone, 1);
        assert_false(is_file("000000.mp4") || is_file("000000.idx"));
        struct volume_sum sum;
        chunk_log_sum(log, &sum);
        assert_int_equal(sum.first_segment, 4);
        assert_int_equal(sum.samples, 6 * 25);
        assert_int_equal(chunk_log_forget_volume(log, 2), ERR_FULL); /* the open one */
        free_log(&log);
}

static void test_full_disk_at_a_volumes_beginning_leaves_the_one_before_open(void **state)
{
        (void)state;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 4);
        fill_disk(log->init_bytes->len + 100);
        int status = append(log, 4, 0, 0, 1000);
        empty_disk();
        assert_int_equal(status, ERR_NOSPACE);
        assert_int_equal(log->open_number, 0);
        assert_false(log->failed);
        assert_false(is_file("000001.mp4") || is_file("000001.idx"));
        write_segments(log, 4, 9);
        for (unsigned n = 0; n < 9; n++)
                assert_stored(log, n);
        free_log(&log);
}

static uint32_t last_dropped[8];
static unsigned drops;

static void index_dropped(void *owner, uint32_t number)
{
        (void)owner;
        last_dropped[drops++] = number;
}

static void test_indexes_that_nobody_asks_for_make_room_within_the_bound(void **state)
{
        (void)state;
        static const unsigned many = 5;
        struct index_row row = {.len_bytes = 1};
        struct cached_index *c[5];
        for (unsigned i = 0; i < many; i++) {
                struct index ix = {.count = INDEX_CACHE_BYTES / 3 / sizeof(row), .cap = INDEX_CACHE_BYTES / 3 / sizeof(row)};
                ix.rows = mem_alloc(ix.cap * sizeof(row));
                c[i] = index_cache_add(c, i, index_dropped);
                index_cache_ready(c[i], &ix);
                if (i == 1)
                        index_cache_use(c[0]);
        }
        assert_int_equal(last_dropped[0], 1); /* the one that was unused longest went first */
        assert_int_equal(last_dropped[1], 0);
        assert_int_equal(drops, 3); /* two of them, and what each takes beside its rows, are the bound */
        index_cache_drop(&c[3]);
        index_cache_drop(&c[4]);
}

/* ---- a disk that cannot say that it has what was written ------------------------------------------------------------- */

static bool sync_fails;

/* In place of the C library's. Once it has failed the kernel counts what it could not write as written: the next one says nothing. */
int fdatasync(int fd)
{
        if (!sync_fails)
                return (int)syscall(SYS_fdatasync, fd);
        errno = EIO;
        return -1;
}

static void test_after_a_failed_sync_nothing_is_appended_until_the_files_are_read_again(void **state)
{
        (void)state;
        struct segment_view v;
        struct chunk_log *log = open_log();
        log->sync_segments = true;
        for (unsigned k = 0; k < 4; k++)
                assert_int_equal(append(log, 0, k, 0, 50), 0);
        sync_fails = true;
        int status = append(log, 0, 4, PUT_LAST, 50);
        sync_fails = false;
        assert_int_equal(status, ERR_IO);
        assert_int_equal(append(log, 0, 4, PUT_LAST, 50), ERR_IO);
        assert_int_equal(append(log, 1, 0, 0, 50), ERR_IO);
        assert_true(see(log, 0, &v)); /* readers go on */
        free_log(&log);
        log = open_log();
        assert_int_equal(log->index.end_ticks, 4 * 18000); /* what was acknowledged */
        assert_int_equal(append(log, 0, 4, PUT_LAST, 50), 0);
        free_log(&log);
}

static void test_a_volume_that_cannot_be_synced_when_it_is_closed_closes_the_log(void **state)
{
        (void)state;
        volume_segments = 2;
        struct chunk_log *log = open_log();
        for (unsigned i = 0; i < 10; i++)
                assert_int_equal(append(log, i / 5, i % 5, 0, 50), 0);
        sync_fails = true;
        assert_int_equal(append(log, 2, 0, 0, 50), 0); /* the first of the next one; the one before is closed behind its back */
        UNTIL(&loop, !chunk_log_busy(log));
        sync_fails = false;
        assert_int_equal(append(log, 2, 1, 0, 50), ERR_IO);
        free_log(&log);
        log = open_log();
        assert_int_equal(append(log, 2, 1, 0, 50), 0);
        free_log(&log);
}

/* What the disk changed in the open volume before a start, which looks at the last two segments only, once was taken into the checksum
 * with which the volume is closed. From there on the scrubber, the peer's fills and every comparison found it right. */
static void test_damage_in_an_open_volume_is_not_sealed_by_the_checksum_that_closes_it(void **state)
{
        (void)state;
        struct segment_view v;
        uint8_t byte;
        volume_segments = 6;
        struct chunk_log *log = open_log();
        for (unsigned i = 0; i < 25; i++)
                assert_int_equal(append(log, i / 5, i % 5, 0, 50), 0);
        assert_true(see(log, 0, &v));
        free_log(&log);
        int fd = open(path, O_RDWR);
        assert_int_equal(pread(fd, &byte, 1, (off_t)(v.offset + v.len_bytes) - 1), 1); /* the last of segment 0's last mdat */
        byte ^= 0xff;
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)(v.offset + v.len_bytes) - 1), 1);
        close(fd);
        log = open_log();
        for (unsigned i = 25; i < 31; i++)
                assert_int_equal(append(log, i / 5, i % 5, 0, 50), 0);
        UNTIL(&loop, !chunk_log_busy(log));
        struct volume_row *row = volumes_get(&log->closed, 0);
        assert_non_null(row);
        assert_int_equal(row->state, VOLUME_DAMAGED);
        assert_int_equal(row->sum.crc, 0);
        assert_false(log->failed);
        free_log(&log);
}

/* A start, and then a viewer, once gave it its last record: the next start, if what it had noted was not saved, took it for whole. */
static void test_a_volume_that_was_left_before_its_end_is_not_made_whole_by_looking_at_it(void **state)
{
        (void)state;
        struct segment_view v;
        volume_segments = 2;
        struct chunk_log *log = open_log();
        for (unsigned k = 0; k < 5; k++)
                assert_int_equal(append(log, 0, k, 0, 50), 0);
        chunk_log_skip(log);
        assert_int_equal(append(log, 4, 0, 0, 50), 0);
        free_log(&log);
        for (int i = 0; i < 3; i++) {
                log = open_log();
                struct volume_row *row = volumes_get(&log->closed, 0);
                assert_int_equal(row->state, VOLUME_DAMAGED);
                assert_int_equal(row->sum.crc, 0);
                assert_true(see(log, 0, &v));
                assert_int_equal(chunk_log_segment(log, 1, true, &v), SEGMENT_LACKING);
                assert_int_equal(row->state, VOLUME_DAMAGED);
                assert_int_equal(row->sum.crc, 0);
                free_log(&log);
        }
}

/* What is passed over at the beginning of a volume is known by its row alone until the volume begins, and from then on by what is in
 * memory. */
static void test_a_segment_that_was_passed_over_is_lacking_after_a_start_in_its_volume_too(void **state)
{
        (void)state;
        struct segment_view v;
        struct volumes saved;
        volume_segments = 4;
        struct chunk_log *log = open_log();
        write_segments(log, 0, 4);
        assert_false(chunk_log_miss(log, 4));
        chunk_log_rows(log, &saved);
        assert_int_equal(append(log, 5, 0, 0, 50), 0);
        free_log(&log);
        log = open_log_with(&saved); /* the rows were not saved since */
        volumes_free(&saved);
        assert_int_equal(log->open_number, 1);
        assert_null(volumes_get(&log->closed, 1));
        assert_true(see(log, 5, &v));
        assert_int_equal(chunk_log_segment(log, 4, true, &v), SEGMENT_LACKING);
        assert_int_equal(append(log, 8, 0, 0, 50), 0);
        quiet(log);
        assert_int_equal(volumes_get(&log->closed, 1)->state, VOLUME_DAMAGED);
        free_log(&log);
}

/* As when the disk was full just then: the checksum is not known, which once was compared as if it were one. */
static void test_a_volume_whose_last_record_could_not_be_written_gets_it_when_it_is_read(void **state)
{
        char idx[128];
        (void)state;
        struct segment_view v;
        volume_segments = 2;
        struct chunk_log *log = open_log();
        for (unsigned i = 0; i < 11; i++)
                assert_int_equal(append(log, i / 5, i % 5, 0, 50), 0);
        UNTIL(&loop, !chunk_log_busy(log));
        struct volume_row *row = volumes_get(&log->closed, 0);
        uint32_t crc = row->sum.crc;
        assert_true(crc);
        row->sum.crc = 0;
        index_cache_drop(&row->index);
        snprintf(idx, sizeof(idx), "%s/000000.idx", folder);
        assert_int_equal(truncate(idx, (off_t)volume_record_offset(10)), 0);
        for (unsigned n = 12; n < 40; n++) /* so that the segment is in memory no more */
                assert_int_equal(append(log, n, 0, 0, 50), 0);
        assert_true(see(log, 0, &v));
        row = volumes_get(&log->closed, 0);
        assert_int_equal(row->state, VOLUME_HERE);
        assert_int_equal(row->sum.crc, crc);
        free_log(&log);
}

static void count_change(void *arg, struct chunk_log *l)
{
        (void)l;
        ++*(int *)arg;
}

/* A row in two of a year's, or all of them behind the end: it makes no difference to those that are here. */
static void test_volumes_that_are_expected_take_the_place_of_none_that_is_here(void **state)
{
        (void)state;
        const uint32_t count = 2000;
        int changes = 0;
        volume_segments = 2;
        struct chunk_log *log = open_log();
        void *arg = log->arg;
        write_segments(log, 0, 5);
        quiet(log);
        index_cache_drop(&volumes_get(&log->closed, 0)->index);
        volumes_remove(&log->closed, 0);
        struct volumes there = {0};
        for (uint32_t n = 0; n < count; n++)
                volumes_insert(&there, &(struct volume_row){.number = n, .sum = {.first_segment = n * 2, .last_segment = n * 2 + 1, .bytes = n}});
        struct volume_sum here = volumes_get(&log->closed, 1)->sum;
        log->volumes_changed = count_change;
        log->arg = &changes;
        chunk_log_expect_volumes(log, &there, 0, count - 1);
        chunk_log_expect_volumes(log, &there, 0, count);
        assert_int_equal(changes, 2);
        assert_int_equal(log->closed.count, count - 1); /* the third is open */
        for (size_t i = 0; i < log->closed.count; i++) {
                const struct volume_row *row = &log->closed.rows[i];
                assert_int_equal(row->number, i + (i >= log->open_number));
                assert_int_equal(row->state, row->number == 1 ? VOLUME_HERE : VOLUME_LACKING);
                assert_int_equal(row->sum.bytes, row->number == 1 ? here.bytes : row->number);
        }
        log->volumes_changed = NULL;
        log->arg = arg;
        volumes_free(&there);
        free_log(&log);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_a_volume_that_was_left_before_its_end_is_not_made_whole_by_looking_at_it),
                CASE(test_a_segment_that_was_passed_over_is_lacking_after_a_start_in_its_volume_too),
                CASE(test_a_volume_whose_last_record_could_not_be_written_gets_it_when_it_is_read),
                CASE(test_after_a_failed_sync_nothing_is_appended_until_the_files_are_read_again),
                CASE(test_a_volume_that_cannot_be_synced_when_it_is_closed_closes_the_log),
                CASE(test_volumes_that_are_expected_take_the_place_of_none_that_is_here),
                CASE(test_damage_in_an_open_volume_is_not_sealed_by_the_checksum_that_closes_it),
                CASE(test_each_volume_is_a_file_and_all_segments_are_found),
                CASE(test_a_volume_that_is_closed_has_the_checksum_of_its_file),
                CASE(test_an_ended_log_goes_on_in_its_last_volume),
                CASE(test_a_volume_that_is_gone_or_damaged_is_lacking_not_never_there),
                CASE(test_a_removed_volume_is_as_if_it_had_not_been),
                CASE(test_full_disk_at_a_volumes_beginning_leaves_the_one_before_open),
                CASE(test_indexes_that_nobody_asks_for_make_room_within_the_bound),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
