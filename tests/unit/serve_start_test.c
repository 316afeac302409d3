/* What an origin tells while it starts: never that something is not there which it does not know yet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/serve_fixture.h"

static struct session *recording(const char *stream, const char *id, bool by_writer)
{
        int err;
        struct session *s = claim(stream, id, 1000000, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        put_segment(s, 0);
        struct waited x = {.done = 0};
        session_end(s, 0, by_writer, &x.w, waited);
        wait_done(&x.done);
        return s;
}

/* The same store, of which one folder cannot be read yet; as an origin that has peers, or none. */
static void start_anew(bool peers)
{
        serve_stop(&sv);
        serve_close(&sv);
        stop_store();
        stick_start("late", "S9");
        begin_store();
        serve_open(&sv, &loop, &store, &manifest, 8);
        if (peers)
                serve_unsettled(&sv);
}

static void test_a_recording_is_played_while_the_rest_is_still_looked_for(void **state)
{
        (void)state;
        recording("old", "S1", true);
        start_anew(true);
        wait_known("S1");
        assert_int_equal(status_of("/live/old/S1/v720/0.m4s", 0), 0);
        assert_int_equal(status_of("/live/old/S1/v720/init.mp4", 0), 0);
        assert_int_equal(status_of("/live/old/S1/manifest.mpd", 0), 0);
        free_start("late", "S9");
}

static void test_what_is_not_known_yet_is_never_told_not_to_be_there(void **state)
{
        static const char *const keys[] = {"/live/nobody/manifest.mpd", "/live/late/manifest.mpd", "/live/late/S9/manifest.mpd",
                                           "/live/late/S9/v720/0.m4s", "/live/old/S1/v720/1.m4s", "/live/old/S1/a128/init.mp4",
                                           "/live/old/manifest.mpd", "/api/streams", "/api/recordings", "/peer/live/0", "/peer/ended/0", "/peer/session/S1"};
        (void)state;
        recording("old", "S1", true);
        for (int peers = 0; peers <= 1; peers++) {
                start_anew(peers);
                wait_known("S1");
                for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
                        struct question q;
                        bool known = strncmp(keys[i], "/live/old/S1", 12) == 0; /* and is looked at first */
                        ask(&q, keys[i], 0, known ? 0 : 5000);
                        if (known)
                                wait_done(&q.done);
                        assert_int_equal(q.done, 1); /* others may have it: at once */
                        assert_int_equal(q.a.status, known && !peers ? ERR_NOT_FOUND : ERR_NOT_YET); /* all of it is here */
                }
                assert_int_equal(status_of("/live/nobody/x", 0), ERR_NOT_FOUND); /* nor can it be anywhere */
                free_start("late", "S9");
                serve_settled(&sv);
                assert_int_equal(status_of("/live/old/manifest.mpd", 0), 0);
                assert_int_equal(status_of("/live/late/S9/manifest.mpd", 0), ERR_NOT_FOUND);
                assert_int_equal(status_of("/api/streams", 0), 0);
                char cmd[200];
                snprintf(cmd, sizeof(cmd), "rm -rf %s/late", data_dir);
                assert_int_equal(system(cmd), 0);
        }
}

/* What lives here may go on elsewhere, and so may what nobody wrote to here. */
static void test_of_what_may_go_on_elsewhere_nothing_is_told_before_peers_were_heard(void **state)
{
        struct question gone, silent;
        (void)state;
        struct session *s = live(1);
        put_segment(s, 0);
        recording("silent", "S2", false);
        start_anew(true);
        wait_known("S1");
        wait_known("S2");
        ask(&gone, "/live/cam/S1/v720/0.m4s", 0, 30000);
        ask(&silent, "/live/silent/S2/manifest.mpd", 0, 30000);
        assert_int_equal(gone.done + silent.done, 0);
        free_start("late", "S9");
        assert_int_equal(gone.done + silent.done, 0);
        serve_settled(&sv);
        wait_done(&gone.done);
        wait_done(&silent.done);
        assert_int_equal(gone.a.status, 0);
        assert_int_equal(silent.a.status, 0);
}

static void test_without_peers_what_was_live_is_served_as_soon_as_it_is_known(void **state)
{
        (void)state;
        struct session *s = live(1);
        put_segment(s, 0);
        start_anew(false);
        wait_known("S1");
        assert_int_equal(status_of("/live/cam/S1/v720/0.m4s", 0), 0);
        assert_int_equal(status_of("/live/cam/manifest.mpd", 0), 0);
        assert_int_equal(status_of("/live/cam/S1/v999/0.m4s", 0), ERR_NOT_FOUND);
        assert_int_equal(status_of("/live/cam/S2/v720/0.m4s", 0), ERR_NOT_YET);
        free_start("late", "S9");
        assert_int_equal(status_of("/live/cam/S2/v720/0.m4s", 0), ERR_NOT_FOUND);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_a_recording_is_played_while_the_rest_is_still_looked_for),
                CASE(test_what_is_not_known_yet_is_never_told_not_to_be_there),
                CASE(test_of_what_may_go_on_elsewhere_nothing_is_told_before_peers_were_heard),
                CASE(test_without_peers_what_was_live_is_served_as_soon_as_it_is_known),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
