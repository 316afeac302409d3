#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "originD/scrub.h"
#include "originD/stats.h"
#include "tests/unit/two_origins.h"
#include "tests/unit/until.h"

#define PER 2 /* segments of a volume */
#define VOLUMES 4

static struct scrub *scrub; /* of a */

static int setup_small_volumes(void **state)
{
        setup(state);
        stop(&a);
        stop(&b);
        options.volume_segments = PER;
        start(&a);
        start(&b);
        until(&a.settled);
        until(&b.settled);
        return 0;
}

static void begin_scrub(int64_t bytes_s)
{
        struct scrub_options so = {.bytes_s = bytes_s, .pass_us = 1};
        scrub_open(&scrub, &loop, &a.store, &so);
}

static void end_scrub(void)
{
        scrub_stop(scrub);
        UNTIL(&loop, scrub_idle(scrub));
        scrub_close(scrub);
        scrub = NULL;
}

static int teardown_scrub(void **state)
{
        if (scrub) /* a test failed */
                end_scrub();
        return teardown(state);
}

static bool has_all(struct node *n)
{
        struct session *s = at(n, "S1"), *other = at(n == &a ? &b : &a, "S1");
        return s && s->track_count && s->tracks[0]->log && s->tracks[0]->log->closed.count == VOLUMES && !session_sum(s).lacking &&
               track_end_place(s, s->tracks[0]) == track_end_place(other, other->tracks[0]) && !session_busy(s);
}

static bool a_has_all(void)
{
        return has_all(&a);
}

/* On a slow machine b catches up from a while it is written to, and has volumes brought after that. */
static bool both_have_all(void)
{
        return has_all(&a) && has_all(&b);
}

static void run_until(bool (*over)(void))
{
        for (int64_t end = clock_mono_us() + PATIENCE_US; !over();) {
                assert_true(clock_mono_us() < end);
                uv_run(&loop, UV_RUN_ONCE);
        }
}

static int64_t passes_from, damaged_from, whole_from, unreadable_from, fills_from;

static void count_from_here(void)
{
        passes_from = stat_get(STAT_SCRUBS);
        damaged_from = stat_get(STAT_SCRUBBED_DAMAGED);
        whole_from = stat_get(STAT_SCRUBBED_WHOLE);
        unreadable_from = stat_get(STAT_SCRUBBED_UNREADABLE);
        fills_from = stat_get(STAT_FILLS);
}

static bool two_passes(void)
{
        return stat_get(STAT_SCRUBS) >= passes_from + 2;
}

static bool found_damage(void)
{
        return stat_get(STAT_SCRUBBED_DAMAGED) > damaged_from;
}

static bool found_unreadable(void)
{
        return stat_get(STAT_SCRUBBED_UNREADABLE) > unreadable_from;
}

static bool all_whole_again(void)
{
        for (unsigned i = 0; i < VOLUMES; i++)
                if (!same_volume("S1", "v720", i))
                        return false;
        return stat_get(STAT_FILLS) > fills_from && a_has_all();
}

static struct chunk_log *broadcast(void)
{
        both(VOLUMES * 5 * PER + 1, VOLUMES * 5 * PER + 1);
        run_until(both_have_all);
        return at(&a, "S1")->tracks[0]->log;
}

static char *path_of(unsigned number, const char *suffix)
{
        return mem_printf("%s/cam/S1/v720/%06u.%s", a.dir, number, suffix);
}

static void damage(unsigned number, const char *suffix, unsigned before_end)
{
        char *path = path_of(number, suffix);
        int fd = open(path, O_RDWR);
        struct stat st;
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(pwrite(fd, "hurt", 4, st.st_size - before_end), 4);
        close(fd);
        free(path);
}

static unsigned state_of(unsigned number)
{
        const struct volume_row *row = volumes_get(&at(&a, "S1")->tracks[0]->log->closed, number);
        return row ? row->state : VOLUME_STATES;
}

static void test_what_is_whole_is_read_whole_and_nothing_is_changed(void **state)
{
        (void)state;
        broadcast();
        uint64_t version = at(&a, "S1")->version;
        int64_t bytes = stat_get(STAT_SCRUBBED_BYTES);
        count_from_here();
        begin_scrub(INT64_C(1) << 30);
        run_until(two_passes);
        end_scrub();
        struct volume_sum sum = at(&a, "S1")->tracks[0]->log->closed_sum;
        assert_true(stat_get(STAT_SCRUBBED_WHOLE) >= whole_from + VOLUMES);
        assert_true(stat_get(STAT_SCRUBBED_BYTES) >= bytes + (int64_t)sum.bytes);
        assert_false(found_damage());
        assert_int_equal(at(&a, "S1")->version, version);
}

static void test_four_damaged_bytes_in_an_mdat_are_found_and_come_back_from_the_peer(void **state)
{
        (void)state;
        broadcast();
        int64_t stored = stat_get(STAT_STORED_BYTES);
        damage(1, "mp4", 20);
        assert_false(same_volume("S1", "v720", 1));
        count_from_here();
        begin_scrub(INT64_C(1) << 30);
        run_until(all_whole_again);
        end_scrub();
        assert_int_equal(stat_get(STAT_SCRUBBED_DAMAGED), damaged_from + 1);
        assert_int_equal(stat_get(STAT_STORED_BYTES), stored);
        char *aside = path_of(1, "mp4.damaged-1");
        assert_int_equal(access(aside, F_OK), 0); /* and the damaged one is kept for a person to look at */
        free(aside);
}

static void test_of_a_recording_that_nobody_has_loaded_too(void **state)
{
        (void)state;
        broadcast();
        end_session(at(&a, "S1"));
        end_session(at(&b, "S1"));
        UNTIL(&loop, !session_busy(at(&a, "S1")) && session_unload(at(&a, "S1")));
        damage(2, "mp4", 20);
        count_from_here();
        begin_scrub(INT64_C(1) << 30);
        run_until(found_damage);
        end_scrub();
        for (int64_t end = clock_mono_us() + PATIENCE_US; !same_volume("S1", "v720", 2);) {
                assert_true(clock_mono_us() < end);
                uv_run(&loop, UV_RUN_ONCE);
        }
}

static void test_a_damaged_index_is_made_anew_and_the_volume_stays(void **state)
{
        (void)state;
        broadcast();
        damage(1, "idx", 100);
        count_from_here();
        begin_scrub(INT64_C(1) << 30);
        run_until(two_passes);
        end_scrub();
        assert_false(found_damage());
        struct session *s = at(&a, "S1");
        assert_int_equal(volume_check_index(s->tracks[0]->log->dir, 1, &volumes_get(&s->tracks[0]->log->closed, 1)->sum), 0);
        assert_int_equal(state_of(1), VOLUME_HERE);
}

/* What is read of it is EIO. */
static void test_a_disk_that_cannot_be_read_marks_nothing_damaged(void **state)
{
        (void)state;
        broadcast();
        char *path = path_of(1, "mp4"), *away = path_of(1, "away");
        assert_int_equal(rename(path, away), 0);
        assert_int_equal(symlink("/proc/self/mem", path), 0);
        count_from_here();
        begin_scrub(INT64_C(1) << 30);
        run_until(found_unreadable);
        end_scrub();
        assert_false(found_damage());
        assert_int_equal(state_of(1), VOLUME_HERE);
        assert_int_equal(session_sum(at(&a, "S1")).lacking, 0);
        assert_int_equal(rename(away, path), 0);
        assert_true(same_volume("S1", "v720", 1));
        free(path);
        free(away);
}

/* As when a file system is not mounted any more: neither file nor folder. */
static void test_a_folder_that_is_gone_marks_nothing_lacking(void **state)
{
        (void)state;
        broadcast();
        char *dir = mem_printf("%s/cam/S1/v720", a.dir), *away = mem_printf("%s/cam/away", a.dir);
        assert_int_equal(rename(dir, away), 0);
        count_from_here();
        begin_scrub(INT64_C(1) << 30);
        run_until(found_unreadable);
        end_scrub();
        assert_int_equal(session_sum(at(&a, "S1")).lacking, 0);
        assert_int_equal(rename(away, dir), 0);
        free(dir);
        free(away);
}

static void test_a_file_that_is_gone_is_lacking_and_comes_back(void **state)
{
        (void)state;
        broadcast();
        char *path = path_of(2, "mp4");
        assert_int_equal(unlink(path), 0);
        count_from_here();
        begin_scrub(INT64_C(1) << 30);
        run_until(all_whole_again);
        end_scrub();
        free(path);
}

static void test_while_somebody_reads_it_a_damaged_volume_is_not_replaced(void **state)
{
        (void)state;
        broadcast();
        damage(1, "mp4", 20);
        count_from_here();
        at(&a, "S1")->reads++;
        begin_scrub(INT64_C(1) << 30);
        UNTIL(&loop, state_of(1) != VOLUME_HERE); /* nobody begins to read it any more */
        for (int i = 0; i < 20; i++)
                uv_run(&loop, UV_RUN_ONCE);
        char *aside = path_of(1, "mp4.damaged-1");
        assert_int_not_equal(access(aside, F_OK), 0);
        at(&a, "S1")->reads--;
        run_until(all_whole_again);
        end_scrub();
        free(aside);
}

static void removed_volume(void *arg, int status)
{
        (void)arg;
        assert_int_equal(status, 0);
}

static bool began(void)
{
        return !scrub_idle(scrub);
}

/* Slowly, so that it is in the middle of the oldest volume. */
static void test_retention_removes_what_is_being_read(void **state)
{
        (void)state;
        struct chunk_log *log = broadcast();
        count_from_here();
        begin_scrub(1000);
        run_until(began);
        for (int i = 0; i < 20; i++)
                uv_run(&loop, UV_RUN_ONCE);
        assert_int_equal(chunk_log_forget_volume(log, 0), 0);
        chunk_log_unlink_volume(log, 0, removed_volume, NULL);
        end_scrub();
        begin_scrub(INT64_C(1) << 30);
        run_until(two_passes);
        end_scrub();
        assert_false(found_damage());
        assert_int_equal(state_of(0), VOLUME_STATES);
        assert_int_equal(session_sum(at(&a, "S1")).lacking, 0);
}

static void test_a_recording_may_be_removed_at_any_moment_of_a_scrub(void **state)
{
        (void)state;
        stop(&b);
        for (int ticks = 0; ticks < 12; ticks++) {
                char id[8];
                snprintf(id, sizeof(id), "S%d", ticks + 2);
                struct session *s = claim_at(&a, id, 0, "t1");
                add_track(s, "v720", fmp4_video_init());
                write_chunks(s, 0, VOLUMES * 5 * PER + 1, 40);
                end_session(s);
                UNTIL(&loop, !session_busy(s));
                begin_scrub(20000);
                for (int i = 0; i < ticks * 3; i++)
                        uv_run(&loop, UV_RUN_ONCE);
                UNTIL(&loop, !session_busy(at(&a, id)));
                count_from_here();
                store_remove(&a.store, at(&a, id));
                run_until(two_passes);
                end_scrub();
                assert_false(found_damage());
        }
}

static void test_no_faster_than_it_may(void **state)
{
        (void)state;
        broadcast();
        int64_t bytes = stat_get(STAT_SCRUBBED_BYTES), began_us = clock_mono_us(), rate = 8000;
        begin_scrub(rate);
        UNTIL(&loop, clock_mono_us() - began_us >= 2 * US_PER_S && stat_get(STAT_SCRUBBED_BYTES) > bytes);
        bytes = stat_get(STAT_SCRUBBED_BYTES) - bytes;
        int64_t passed = clock_mono_us() - began_us;
        end_scrub();
        struct volume_sum sum = at(&a, "S1")->tracks[0]->log->closed.rows[0].sum;
        assert_true(bytes <= rate * passed / US_PER_S + rate / 4 + (int64_t)sum.bytes); /* the last piece is as large as it is */
}

static bool a_is_idle(void)
{
        return !session_busy(at(&a, "S1"));
}

static void test_it_may_be_stopped_at_any_moment(void **state)
{
        (void)state;
        broadcast();
        for (int turns = 0; turns < 48; turns += 3) {
                if (turns % 4 == 3)
                        damage((unsigned)turns % VOLUMES, "mp4", 20);
                begin_scrub(INT64_C(1) << 30);
                for (int i = 0; i < turns; i++)
                        uv_run(&loop, UV_RUN_ONCE);
                end_scrub();
                run_until(a_is_idle); /* nothing was left hidden */
        }
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup_small_volumes, teardown_scrub)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_what_is_whole_is_read_whole_and_nothing_is_changed),
                CASE(test_four_damaged_bytes_in_an_mdat_are_found_and_come_back_from_the_peer),
                CASE(test_of_a_recording_that_nobody_has_loaded_too),
                CASE(test_a_damaged_index_is_made_anew_and_the_volume_stays),
                CASE(test_a_disk_that_cannot_be_read_marks_nothing_damaged),
                CASE(test_a_folder_that_is_gone_marks_nothing_lacking),
                CASE(test_a_file_that_is_gone_is_lacking_and_comes_back),
                CASE(test_while_somebody_reads_it_a_damaged_volume_is_not_replaced),
                CASE(test_retention_removes_what_is_being_read),
                CASE(test_a_recording_may_be_removed_at_any_moment_of_a_scrub),
                CASE(test_no_faster_than_it_may),
                CASE(test_it_may_be_stopped_at_any_moment),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
