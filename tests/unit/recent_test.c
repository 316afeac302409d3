/* recent: the last seconds of a session are in memory, by whole segments, and what was forgotten is known to be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "tests/unit/usual_grid.h"
#include "transcoderd/push/recent.h"

static struct recent recent;

static int new_session(void **state)
{
        struct track_info video = {.name = "v360", .init = buf_copy("init", 4)}, sound = {.track = 1, .name = "a64"};
        (void)state;
        sound.init = buf_ref(video.init);
        recent_init(&recent, 2 * US_PER_S, 200);
        recent_track(&recent, &video);
        recent_track(&recent, &sound);
        buf_unref(&video.init);
        buf_unref(&sound.init);
        return 0;
}

static int end_session(void **state)
{
        (void)state;
        recent_fini(&recent);
        return 0;
}

/* Chunks of ten bytes. */
static void chunks(unsigned track, int from, int to)
{
        for (int n = from; n < to; n++) {
                struct chunk c = {.track = track, .segment = (uint32_t)n / 5, .chunk = (uint8_t)(n % 5),
                                  .start_us = n * CHUNK_US, .duration_us = CHUNK_US, .bytes = buf_new(10)};
                memset(c.bytes->data, n, 10);
                recent_chunk(&recent, &c);
                buf_unref(&c.bytes);
        }
}

/* The chunks of a track that are there follow each other without a hole. */
static void expect(unsigned track, int from, int to)
{
        int n = from;
        for (const struct recent_chunk *c = recent.tracks[track].first; c; c = c->next, n++) {
                assert_int_equal(c->chunk.start_us, n * CHUNK_US);
                assert_int_equal(c->chunk.bytes->data[0], n);
        }
        assert_int_equal(n, to);
}

static void test_old_segments_go_and_only_whole(void **state)
{
        (void)state;
        chunks(0, 0, 15);
        expect(0, 0, 15); /* two seconds back and no more */
        assert_false(recent.tracks[0].forgot);
        chunks(0, 15, 16);
        expect(0, 5, 16);
        assert_true(recent.tracks[0].forgot);
        assert_int_equal(recent.bytes, 110);
}

static void test_over_its_bytes_the_oldest_segment_of_any_track_goes_whatever_its_age(void **state)
{
        (void)state;
        recent.keep_bytes = 120;
        chunks(1, 0, 6);
        chunks(0, 5, 11);
        expect(1, 0, 6);
        assert_int_equal(recent.bytes, 120);
        chunks(0, 11, 12);
        expect(1, 5, 6);
        expect(0, 5, 12);
        assert_true(recent.tracks[1].forgot);
        assert_false(recent.tracks[0].forgot);
        assert_int_equal(recent.bytes, 80);
}

static void test_the_newest_segment_stays_however_long_it_is(void **state)
{
        (void)state;
        recent.keep_bytes = 10;
        chunks(0, 0, 4);
        expect(0, 0, 4);
        chunks(0, 4, 6);
        expect(0, 5, 6);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, new_session, end_session)
        const struct CMUnitTest tests[] = {
                TEST(test_old_segments_go_and_only_whole),
                TEST(test_over_its_bytes_the_oldest_segment_of_any_track_goes_whatever_its_age),
                TEST(test_the_newest_segment_stays_however_long_it_is),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
