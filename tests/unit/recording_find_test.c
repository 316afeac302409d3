#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include "originD/recording_find.h"
#include "tests/unit/origin_store.h"
#include "tests/unit/until.h"

/* In volumes of two seconds; the sound of a64 is worse than that of a128. */
static struct session *recorded(unsigned seconds)
{
        int err;
        store.options.volume_segments = 2;
        struct session *s = claim("cam", "S1", 0, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        assert_int_equal(add_track(s, "v360", fmp4_init_with(1, 640, 360, -2), 0), 0);
        assert_int_equal(add_track(s, "a128", fmp4_audio_init(), 0), 0);
        assert_int_equal(add_track(s, "a64", fmp4_init_with(0, 0, 0, 0), 0), 0);
        assert_int_equal(add_track(s, "v180", fmp4_init_with(1, 320, 180, -2), 0), 0); /* nothing ever comes of it */
        for (unsigned n = 0; n < seconds; n++) {
                for (unsigned k = 0; k < 5; k++) {
                        assert_int_equal(put_video(s, "v720", n, k), 0);
                        assert_int_equal(put_video(s, "v360", n, k), 0);
                }
                assert_int_equal(put_audio(s, "a128", n), 0);
                assert_int_equal(put_bytes(s, "a64", fmp4_chunk(n * UINT64_C(48000), 48, 1000, 10), n, 0, n * INT64_C(1000000)), 0);
        }
        assert_int_equal(end_session(s), 0);
        UNTIL(&loop, !session_busy(s) && s->saved_version == s->version);
        return s;
}

static enum segment_state find(const struct session *s, const char *track, uint64_t offset, struct recording_plan *plan,
                               struct recording_place *place)
{
        enum segment_state state;
        UNTIL(&loop, (state = recording_find(s, track, offset, true, plan, place)) != SEGMENT_LOADING);
        buf_unref(&place->header);
        return state;
}

static struct recording_place begin(const struct session *s, const char *track)
{
        struct recording_plan plan = {0};
        struct recording_place place;
        assert_int_equal(find(s, track, 0, &plan, &place), SEGMENT_HERE);
        return place;
}

static uint64_t media_bytes(const struct session *s, const char *name)
{
        const struct track *t = session_track(s, name);
        uint64_t sum = 0;
        for (size_t i = 0; i < t->log->closed.count; i++)
                sum += t->log->closed.rows[i].sum.bytes - t->init_bytes->len;
        return sum;
}

/* The tracks that the file is made of, by their order in it, as its media says. */
static void has_tracks(const struct session *s, const char *asked, const char *first, const char *second)
{
        struct recording_plan plan = {0};
        struct recording_place place;
        const char *names[] = {first, second};
        uint64_t media = media_bytes(s, first) + (second ? media_bytes(s, second) : 0);
        assert_int_equal(find(s, asked, 0, &plan, &place), SEGMENT_HERE);
        assert_int_equal(place.size - plan.header_bytes, media);
        for (uint64_t at = plan.header_bytes; at < plan.size; at += place.view.len_bytes) {
                assert_int_equal(find(s, asked, at, &plan, &place), SEGMENT_HERE);
                assert_int_equal(place.skip, 0);
                assert_ptr_equal(place.log, session_track(s, names[place.track])->log);
        }
}

static void test_a_track_can_be_chosen(void **state)
{
        char list[200];
        (void)state;
        struct session *s = recorded(3);
        has_tracks(s, "", "v720", "a128");
        has_tracks(s, "v720", "v720", "a128");
        has_tracks(s, "v360", "v360", "a128");
        has_tracks(s, "a128", "a128", NULL);
        has_tracks(s, "a64", "a64", NULL);
        assert_false(recording_has(s, "v180"));
        assert_false(recording_has(s, "v1080"));
        recording_list_tracks(s, list, sizeof(list));
        assert_string_equal(list, "v720, v360, a128, a64");
        assert_true(begin(s, "v360").identity != begin(s, "").identity);
        assert_true(begin(s, "v720").identity == begin(s, "").identity);
}

static void test_files_of_one_size_are_told_apart(void **state)
{
        (void)state;
        struct session *s = recorded(3);
        struct recording_place place = begin(s, "");
        struct volume_row *row = volumes_get(&session_track(s, "v720")->log->closed, 0);
        row->sum.crc ^= 1;
        struct recording_place other = begin(s, "");
        row->sum.crc ^= 1;
        assert_int_equal(place.size, other.size);
        assert_true(place.identity != other.identity);
        assert_true(place.identity == begin(s, "").identity);
}

/* It is neither here nor lacking: a file without it would be shorter than the recording is. */
static void test_while_a_volume_is_looked_at_there_is_no_shorter_file(void **state)
{
        (void)state;
        struct session *s = recorded(3);
        struct chunk_log *log = session_track(s, "v720")->log;
        struct recording_plan plan = {0}, fresh = {0};
        struct recording_place place, begun;
        assert_int_equal(find(s, "", 0, &plan, &begun), SEGMENT_HERE);
        struct volume_sum sum = volumes_get(&log->closed, 1)->sum;
        assert_int_equal(find(s, "", plan.header_bytes, &plan, &place), SEGMENT_HERE);
        assert_true(chunk_log_hide_volume(log, 1, NULL));
        assert_int_equal(recording_find(s, "", 0, true, &fresh, &place), SEGMENT_LOADING);
        assert_null(place.header);
        /* Who has begun gets what is not touched by it, and is told of the rest. */
        assert_int_equal(find(s, "", plan.header_bytes, &plan, &place), SEGMENT_HERE);
        assert_int_equal(place.size, begun.size);
        assert_true(place.identity == begun.identity);
        assert_int_equal(find(s, "", begun.size - 1, &plan, &place), SEGMENT_LACKING);
        chunk_log_take_volume(log, 1, VOLUME_HERE, &sum);
        assert_true(begin(s, "").identity == begun.identity);
        UNTIL(&loop, !session_busy(s));
}

static void reopened(void *arg, int status)
{
        *(int *)arg = status ? -1 : 1;
}

static void test_while_the_end_is_copied_from_another_origin_there_is_no_shorter_file(void **state)
{
        (void)state;
        struct session *s = recorded(3);
        struct recording_plan plan = {0};
        struct recording_place place;
        int open = 0;
        uint64_t size = begin(s, "").size;
        session_open_ended(s, reopened, &open);
        UNTIL(&loop, open);
        assert_int_equal(open, 1);
        assert_int_equal(find(s, "", 0, &plan, &place), SEGMENT_LACKING);
        session_close_ended(s);
        UNTIL(&loop, !session_busy(s));
        assert_int_equal(begin(s, "").size, size);
}

static double cpu_s(void)
{
        struct timespec t;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#define MANY 20000
/* Every question of 2000 connections may be for another place. */
static void test_any_place_of_a_recording_of_very_many_volumes_is_found_in_one_walk(void **state)
{
        (void)state;
        struct session *s = recorded(3);
        struct chunk_log *logs[] = {session_track(s, "v720")->log, session_track(s, "a128")->log};
        for (size_t t = 0; t < 2; t++) {
                struct volumes *v = &logs[t]->closed;
                struct volume_row like = v->rows[0];
                like.index = NULL;
                v->rows = mem_resize(v->rows, (MANY + 2) * sizeof(*v->rows));
                for (uint32_t n = 2; n < MANY; n++) {
                        like.number = n;
                        like.sum.first_segment = 2 * n;
                        like.sum.last_segment = 2 * n + 1;
                        v->rows[v->count++] = like;
                }
        }
        uint64_t size = begin(s, "").size, step = size / MANY;
        struct recording_place place;
        double began = cpu_s();
        for (unsigned n = 0; n < 300; n++) {
                struct recording_plan plan = {0};
                assert_int_equal(recording_find(s, "", size - 1 - n * step, false, &plan, &place), SEGMENT_UNREAD);
        }
        assert_true(cpu_s() - began < 10); /* about a second; in as many steps as the square of MANY it took minutes */
        struct recording_plan plan = {0};
        began = cpu_s();
        for (uint64_t at = 4 * step; at < size; at += step) { /* who reads on does not walk again */
                size_t row = plan.row[0];
                assert_int_equal(recording_find(s, "", at, false, &plan, &place), SEGMENT_UNREAD);
                assert_true(plan.row[0] >= row && plan.row[0] <= row + 4);
        }
        assert_true(plan.row[0] >= MANY - 4);
        assert_true(cpu_s() - began < 5);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup_store, teardown_store)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_a_track_can_be_chosen),
                CASE(test_files_of_one_size_are_told_apart),
                CASE(test_while_a_volume_is_looked_at_there_is_no_shorter_file),
                CASE(test_while_the_end_is_copied_from_another_origin_there_is_no_shorter_file),
                CASE(test_any_place_of_a_recording_of_very_many_volumes_is_found_in_one_walk),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
