#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>

#include "common/err.h"
#include "tests/unit/chunk_log_fixture.h"
#include "tests/unit/full_disk.h"

static void test_next_chunk_or_a_later_one_is_stored(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        struct segment_view v;
        assert_int_equal(append(log, 0, 0, 0, 50), 0);
        assert_int_equal(append(log, 0, 1, 0, 50), 0);
        assert_true(see(log, 0, &v));
        assert_false(v.complete);
        assert_int_equal(append(log, 2, 3, 0, 50), 0);
        assert_true(see(log, 0, &v)); /* a later one came: nothing more in this */
        assert_true(v.complete);
        assert_false(see(log, 1, &v));
        assert_int_equal(file_bytes(), log->index.file_bytes);
        free_log(&log);
}

static void test_same_chunk_again_is_stored_but_not_written(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        assert_int_equal(append(log, 0, 0, 0, 50), 0);
        assert_int_equal(append(log, 0, 1, 0, 50), 0);
        uint64_t before = file_bytes();
        assert_int_equal(append(log, 0, 0, 0, 50), 0);
        assert_int_equal(append(log, 0, 1, 0, 70), 0); /* encoded anew by another writer: what was stored first stays */
        assert_int_equal(file_bytes(), before);
        free_log(&log);
}

static int append_after(struct chunk_log *log, unsigned n, unsigned k, uint32_t size, uint64_t previous)
{
        struct append x = {.a = {.segment = n, .chunk = (uint8_t)k, .done = set_status, .previous = previous,
                                 .start_us = n * INT64_C(1000000) + k * INT64_C(200000),
                                 .bytes = fmp4_video_chunk(n, k, size)}};
        chunk_log_append(log, &x.a);
        UNTIL(&loop, x.done);
        buf_unref(&x.a.bytes);
        assert_int_equal(x.done, 1);
        return x.status;
}

static uint64_t hash_of(unsigned n, unsigned k, uint32_t size)
{
        struct buf *b = fmp4_video_chunk(n, k, size);
        uint64_t hash = chunk_log_hash(b);
        buf_unref(&b);
        return hash;
}

static void test_chunk_is_taken_only_behind_the_one_it_goes_on_from(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        assert_int_equal(append_after(log, 0, 0, 50, 77), 0); /* nothing is known to stand before it */
        uint64_t before = file_bytes();
        assert_int_equal(append_after(log, 0, 1, 50, hash_of(0, 0, 60)), ERR_NOT_YET); /* of another writer's first */
        assert_int_equal(file_bytes(), before);
        assert_int_equal(log->index.end_ticks, 18000);
        assert_int_equal(append_after(log, 0, 1, 50, hash_of(0, 0, 50)), 0);
        assert_int_equal(append_after(log, 0, 1, 60, hash_of(0, 0, 60)), 0); /* stored already, whoever did it */
        assert_int_equal(append_after(log, 0, 2, 60, hash_of(0, 1, 60)), ERR_NOT_YET);
        assert_int_equal(append_after(log, 0, 2, 60, 0), 0); /* needs nothing */
        assert_int_equal(append_after(log, 0, 3, 60, hash_of(0, 2, 60)), 0);
        free_log(&log);
}

static void test_hash_that_is_not_known_refuses_nobody(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        assert_int_equal(append_after(log, 0, 0, 50, 0), 0);
        assert_int_equal(append_after(log, 1, 0, 50, 0), 0);
        free_log(&log);
        uv_run(&loop, UV_RUN_DEFAULT);
        log = open_log(); /* after a restart */
        assert_int_equal(append_after(log, 1, 1, 50, 77), 0);
        assert_int_equal(cut_to(log, 1), 1);
        assert_int_equal(append_after(log, 1, 0, 50, 77), 0);
        chunk_log_end(log);
        int open_again = 0;
        chunk_log_reopen(log, false, cut_is_done, &open_again);
        UNTIL(&loop, open_again);
        assert_int_equal(open_again, 1);
        assert_int_equal(append_after(log, 1, 1, 50, 77), 0);
        assert_int_equal(append_after(log, 1, 2, 50, 77), ERR_NOT_YET);
        free_log(&log);
}

static void test_overlapping_chunk_is_out_of_order(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        assert_int_equal(append(log, 0, 0, 0, 50), 0);
        struct buf *b = fmp4_chunk(9000, 5, 3600, 50); /* begins inside what is stored, ends behind it */
        struct append x = {.a = {.start_us = 100000, .done = set_status, .bytes = b}};
        chunk_log_append(log, &x.a);
        assert_int_equal(x.done, 1);
        assert_int_equal(x.status, ERR_ORDER);
        buf_unref(&b);
        free_log(&log);
}

static void test_chunk_whose_time_is_not_what_was_said_is_a_conflict(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        struct buf *b = fmp4_video_chunk(4, 0, 50);
        struct append x;
        start(log, &x, 3, 0, 0, b);
        assert_int_equal(x.status, ERR_CONFLICT);
        buf_unref(&b);
        b = fmp4_chunk(4 * 90000 + 1, 5, 3600, 50); /* one tick is rounding */
        start(log, &x, 4, 0, 0, b);
        UNTIL(&loop, x.done);
        assert_int_equal(x.status, 0);
        buf_unref(&b);
        free_log(&log);
}

static void test_garbage_is_refused_and_changes_nothing(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        assert_int_equal(append(log, 0, 0, 0, 50), 0);
        uint64_t before = file_bytes();
        struct buf *b = buf_new(500);
        memset(b->data, 0xa5, b->len);
        struct append x;
        start(log, &x, 0, 0, 0, b);
        assert_int_equal(x.status, ERR_PROTO);
        assert_int_equal(file_bytes(), before);
        buf_unref(&b);
        free_log(&log);
}

static void test_reader_never_sees_a_chunk_before_it_is_in_the_file(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        struct buf *b = fmp4_video_chunk(0, 0, 50);
        struct append x;
        struct segment_view v;
        start(log, &x, 0, 0, 0, b);
        assert_false(x.done);
        assert_false(see(log, 0, &v));
        UNTIL(&loop, x.done);
        assert_true(see(log, 0, &v));
        assert_int_equal(v.len_bytes, b->len);
        assert_memory_equal(v.bytes->data, b->data, b->len);
        buf_unref(&b);
        free_log(&log);
}

static void test_queued_chunks_are_written_in_order_and_fenced_ones_are_not(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        struct append x[4];
        struct buf *b[4];
        for (unsigned k = 0; k < 4; k++) {
                b[k] = fmp4_video_chunk(0, k, 30);
                start(log, &x[k], 0, k, 0, b[k]);
        }
        chunk_log_fence(log);
        UNTIL(&loop, chunk_log_idle(log));
        assert_int_equal(x[0].status, 0); /* was under way */
        for (unsigned k = 1; k < 4; k++)
                assert_int_equal(x[k].status, ERR_FENCED);
        for (unsigned k = 1; k < 4; k++)
                start(log, &x[k], 0, k, 0, b[k]);
        UNTIL(&loop, chunk_log_idle(log));
        assert_int_equal(log->index.end_ticks, 4 * 18000);
        for (unsigned k = 0; k < 4; k++)
                buf_unref(&b[k]);
        free_log(&log);
}

static void test_segment_in_memory_grows_without_moving_what_readers_hold(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        struct segment_view v;
        assert_int_equal(append(log, 0, 0, 0, 100), 0);
        assert_true(see(log, 0, &v));
        struct buf *held = buf_ref(v.bytes);
        uint8_t first[64];
        memcpy(first, held->data, sizeof(first));
        for (unsigned k = 1; k < 5; k++)
                assert_int_equal(append(log, 0, k, k == 4 ? PUT_LAST : 0, 30000), 0);
        assert_memory_equal(held->data, first, sizeof(first));
        assert_true(see(log, 0, &v));
        assert_true(v.complete);
        uint8_t *disk = malloc(v.len_bytes);
        int fd = open(path, O_RDONLY);
        assert_int_equal(pread(fd, disk, v.len_bytes, (off_t)v.offset), v.len_bytes);
        assert_memory_equal(disk, v.bytes->data, v.len_bytes);
        close(fd);
        free(disk);
        buf_unref(&held);
        free_log(&log);
}

static void test_full_disk_answers_no_space_and_harms_nothing(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        assert_int_equal(append(log, 0, 0, 0, 1000), 0);
        uint64_t before = file_bytes();
        fill_disk(before + 3000);
        int status = append(log, 0, 1, 0, 1000); /* 5 kB: some of it is written before the disk says no */
        empty_disk();
        assert_int_equal(status, ERR_NOSPACE);
        assert_int_equal(file_bytes(), before);
        assert_int_equal(append(log, 0, 1, 0, 1000), 0); /* space is back: the same chunk goes in */
        assert_int_equal(log->index.end_ticks, 36000);
        free_log(&log);
}

/* A child writes until it is killed; whatever it said was stored is there afterwards, whole. */
static void writer_child(int out)
{
        alarm(UNTIL_US / US_PER_S / 2); /* who reads what it says waits for it */
        uv_loop_init(&loop);
        struct chunk_log *log = open_log();
        for (unsigned n = 0; n < 100000; n++) {
                uint32_t stored = n + 1;
                if (append(log, n / 5, n % 5, 0, 20000) != 0 || write(out, &stored, sizeof(stored)) != sizeof(stored))
                        _exit(1);
        }
        _exit(0);
}

static void test_kill_in_mid_write_loses_nothing_that_was_answered(void **state)
{
        (void)state;
        for (unsigned round = 0; round < 5; round++) {
                int pipe_fd[2];
                uint32_t stored = 0, n;
                disk_stop(); /* the child has no threads but its own */
                clear();
                begin();
                assert_int_equal(pipe(pipe_fd), 0);
                pid_t child = fork();
                if (!child)
                        writer_child(pipe_fd[1]);
                close(pipe_fd[1]);
                while (stored < 20 + round * 7 && read(pipe_fd[0], &n, sizeof(n)) == sizeof(n))
                        stored = n;
                kill(child, SIGKILL);
                waitpid(child, NULL, 0);
                while (read(pipe_fd[0], &n, sizeof(n)) == sizeof(n))
                        stored = n;
                close(pipe_fd[0]);
                struct chunk_log *log = open_log();
                assert_true(log->index.end_ticks >= stored * UINT64_C(18000));
                assert_true(log->index.end_ticks <= (stored + 1) * UINT64_C(18000));
                unsigned next = (unsigned)(log->index.end_ticks / 18000);
                assert_int_equal(append(log, next / 5, next % 5, 0, 100), 0);
                free_log(&log);
                uv_run(&loop, UV_RUN_DEFAULT);
        }
}

static void test_ended_log_takes_no_more_and_its_last_segment_is_complete(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        struct segment_view v;
        assert_int_equal(append(log, 0, 0, 0, 50), 0);
        chunk_log_end(log);
        assert_true(see(log, 0, &v));
        assert_true(v.complete);
        assert_int_equal(append(log, 0, 1, 0, 50), ERR_CLOSED);
        free_log(&log);
}

/* ---- a segment is the same for ever -------------------------------------------------------------------------------- */

static int append_stated(struct chunk_log *log, uint64_t start, unsigned samples, uint32_t duration, int64_t end_us, uint8_t flags)
{
        struct append x = {.a = {.segment = (uint32_t)(start / 90000), .chunk = (uint8_t)(start % 90000 / 18000), .flags = flags,
                                 .start_us = (int64_t)(start * 100 / 9), .end_us = end_us, .done = set_status,
                                 .bytes = fmp4_chunk(start, samples, duration, 50)}};
        chunk_log_append(log, &x.a);
        UNTIL(&loop, x.done);
        buf_unref(&x.a.bytes);
        return x.a.again ? 1 : x.status;
}

static void test_half_a_sample_is_given_only_where_the_boxes_guess(void **state)
{
        (void)state;
        struct chunk_log *log = open_log();
        assert_int_equal(append_stated(log, 0, 5, 3600, 200000, 0), 0); /* stated as the boxes say */
        assert_int_equal(append_stated(log, 17000, 5, 3600, 0, 0), ERR_ORDER);
        assert_int_equal(append_stated(log, 18000, 5, 3600, 390000, 0), 0); /* the last picture's length is a guess */
        assert_int_equal(append_stated(log, 34000, 5, 3600, 0, 0), ERR_ORDER);
        assert_int_equal(append_stated(log, 35000, 5, 3600, 0, 0), 0);
        free_log(&log);
}

/* A writer that leaves says only that nothing of its own comes behind the last picture; where that would end was its guess. */
static void test_a_picture_sooner_than_a_writer_that_left_guessed_is_taken(void **state)
{
        (void)state;
        uint32_t segment;
        uint8_t chunk;
        int64_t end_us;
        struct chunk_log *log = open_log();
        assert_int_equal(append_stated(log, 0, 5, 3600, 161000, 0), 0); /* the last one is at 160 ms */
        index_next(&log->index, &segment, &chunk, &end_us);
        assert_in_range(end_us, 160500, 161000);
        assert_int_equal(append_stated(log, 14400, 1, 3600, 0, 0), 1); /* the last one again */
        assert_int_equal(append_stated(log, 14500, 1, 3600, 162000, 0), 0);
        free_log(&log);
}

/* One that comes in a segment which was complete before it was seen belongs to the next one, and who goes on is told both. */
static void test_a_picture_due_before_the_end_of_what_is_complete_has_its_place_behind_it(void **state)
{
        (void)state;
        uint32_t segment;
        uint8_t chunk;
        int64_t end_us;
        struct chunk_log *log = open_log();
        assert_int_equal(append_stated(log, 0, 2, 36000, 0, 0), 0);
        assert_int_equal(append_stated(log, 72300, 6, 3000, 1000000, PUT_LAST), 0); /* by its boxes to 1.0033 s */
        index_next(&log->index, &segment, &chunk, &end_us);
        assert_int_equal(segment, 1);
        assert_int_equal(chunk, 0);
        assert_in_range(end_us, 980000, 990000); /* behind the last picture, before where the next one was expected */
        assert_int_equal(append_stated(log, 89400, 1, 3000, 0, 0), 1);
        assert_int_equal(append_stated(log, 90000, 5, 3600, 0, 0), 0);
        free_log(&log);
}

static void test_nothing_comes_into_a_segment_that_is_complete(void **state)
{
        (void)state;
        struct segment_view before, after;
        uint32_t segment;
        uint8_t chunk;
        int64_t end_us;
        struct chunk_log *log = open_log();
        /* a variable frame rate: the last picture of the segment is thought to last for a long time */
        assert_int_equal(append_stated(log, 0, 2, 30000, 0, 0), 0);
        assert_int_equal(append_stated(log, 72000, 2, 10000, 0, PUT_LAST), 0);
        index_next(&log->index, &segment, &chunk, &end_us);
        assert_int_equal(segment, 1);
        assert_true(end_us >= 1000000); /* who goes on does not send the last picture again */
        assert_true(see(log, 0, &before) && before.complete);
        assert_int_equal(append_stated(log, 87000, 1, 3000, 0, 0), 1); /* counts as stored, whoever encoded what */
        assert_true(see(log, 0, &after));
        assert_int_equal(after.len_bytes, before.len_bytes);
        assert_int_equal(append_stated(log, 90000, 5, 3600, 0, 0), 0);
        free_log(&log);
}

/* A writer that has nothing more for a segment says so with its last chunk, wherever that ends: viewers were told that it is whole. */
static void test_nothing_comes_into_a_segment_that_was_said_to_be_over(void **state)
{
        (void)state;
        struct segment_view before, after;
        uint32_t segment;
        uint8_t chunk;
        int64_t end_us;
        struct chunk_log *log = open_log();
        assert_int_equal(append_stated(log, 0, 5, 3600, 200000, PUT_LAST), 0);
        assert_true(see(log, 0, &before) && before.complete);
        index_next(&log->index, &segment, &chunk, &end_us);
        assert_int_equal(segment, 1);
        assert_int_equal(chunk, 0);
        assert_int_equal(append_stated(log, 18000, 5, 3600, 400000, 0), 1); /* another writer's, who did not know */
        assert_true(see(log, 0, &after));
        assert_int_equal(after.len_bytes, before.len_bytes);
        assert_int_equal(append_stated(log, 90000, 5, 3600, 1200000, 0), 0);
        free_log(&log);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_nothing_comes_into_a_segment_that_was_said_to_be_over),
                CASE(test_next_chunk_or_a_later_one_is_stored),
                CASE(test_same_chunk_again_is_stored_but_not_written),
                CASE(test_chunk_is_taken_only_behind_the_one_it_goes_on_from),
                CASE(test_hash_that_is_not_known_refuses_nobody),
                CASE(test_overlapping_chunk_is_out_of_order),
                CASE(test_chunk_whose_time_is_not_what_was_said_is_a_conflict),
                CASE(test_garbage_is_refused_and_changes_nothing),
                CASE(test_reader_never_sees_a_chunk_before_it_is_in_the_file),
                CASE(test_queued_chunks_are_written_in_order_and_fenced_ones_are_not),
                CASE(test_segment_in_memory_grows_without_moving_what_readers_hold),
                CASE(test_full_disk_answers_no_space_and_harms_nothing),
                CASE(test_ended_log_takes_no_more_and_its_last_segment_is_complete),
                CASE(test_kill_in_mid_write_loses_nothing_that_was_answered),
                CASE(test_half_a_sample_is_given_only_where_the_boxes_guess),
                CASE(test_a_picture_sooner_than_a_writer_that_left_guessed_is_taken),
                CASE(test_a_picture_due_before_the_end_of_what_is_complete_has_its_place_behind_it),
                CASE(test_nothing_comes_into_a_segment_that_is_complete),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
