/* A session that ended is opened for appending again, with all its tracks or with none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/recorded.h"

static struct session *recorded_with_sound(void)
{
        store.options.volume_segments = 1;
        struct session *s = recorded("cam", "S1", 5000000);
        assert_int_equal(add_track(s, "a128", fmp4_audio_init(), 0), 0);
        assert_int_equal(put_audio(s, "a128", 0), 0);
        assert_int_equal(end_session(s), 0);
        UNTIL(&loop, !session_busy(s) && s->saved_version == s->version);
        return s;
}

static void told(void *arg, int status)
{
        *(int *)arg = status ? status : 1;
}

static int opens(struct session *s)
{
        int done = 0;
        session_open_ended(s, told, &done);
        UNTIL(&loop, done);
        UNTIL(&loop, !session_busy(s));
        return done;
}

/* The only volume's file goes; what it held is where a fetch would put it. */
static void archive(struct session *s, const char *track)
{
        struct chunk_log *log = session_track(s, track)->log;
        struct volume_row row = log->closed.rows[0];
        char cmd[400];
        int gone = 0;
        snprintf(cmd, sizeof(cmd), "ln %s/000000.mp4 %s/000000.%s", log->dir, log->dir, VOLUME_FETCHED);
        assert_int_equal(system(cmd), 0);
        assert_true(chunk_log_copied(log, &row));
        row = log->closed.rows[0];
        assert_true(chunk_log_archive(log, &row));
        chunk_log_drop_file(log, 0, told, &gone);
        UNTIL(&loop, gone);
        assert_int_equal(gone, 1);
}

static void bring(struct session *s, const char *track)
{
        struct chunk_log *log = session_track(s, track)->log;
        int here = 0;
        assert_ptr_equal(chunk_log_wanted(log, 0), &log->closed.rows[0]);
        assert_true(chunk_log_bring_file(log, &log->closed.rows[0], told, &here));
        UNTIL(&loop, here);
        assert_int_equal(here, 1);
}

static void test_no_track_is_opened_before_the_files_of_all_are_back_from_the_archive(void **state)
{
        (void)state;
        struct session *s = recorded_with_sound();
        const struct chunk_log *sound = session_track(s, "a128")->log, *pictures = session_track(s, "v720")->log;
        archive(s, "a128");
        archive(s, "v720");
        assert_int_equal(opens(s), ERR_NOT_YET);
        bring(s, "a128");
        assert_int_equal(opens(s), ERR_NOT_YET);
        assert_true(sound->ended && sound->closed.rows[0].wanted); /* so its file stays */
        bring(s, "v720");
        assert_int_equal(opens(s), 1);
        assert_false(sound->ended || pictures->ended);
        session_close_ended(s);
        UNTIL(&loop, !session_busy(s));
}

static void test_a_recording_with_still_pictures_is_as_long_afterwards_as_before(void **state)
{
        (void)state;
        struct session *s = recorded("cam", "S1", 5000000);
        assert_int_equal(add_track(s, PICTURES_TRACK, fmp4_picture_init(), 0), 0);
        for (unsigned n = 0; n < 9; n++)
                assert_int_equal(put_bytes(s, PICTURES_TRACK, fmp4_chunk(n * UINT64_C(90000), 1, 90000, 40), n, 0, n * US_PER_S), 0);
        assert_int_equal(end_session(s), 0);
        UNTIL(&loop, !session_busy(s) && s->saved_version == s->version);
        int64_t end_us = s->end_us;
        assert_true(end_us < 9 * US_PER_S);
        assert_int_equal(opens(s), 1);
        session_close_ended(s);
        UNTIL(&loop, !session_busy(s));
        assert_int_equal(s->end_us, end_us);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup_store, teardown_store)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_no_track_is_opened_before_the_files_of_all_are_back_from_the_archive),
                CASE(test_a_recording_with_still_pictures_is_as_long_afterwards_as_before),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
