/* Two broadcasters of one stream: one is active, the other stands by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "session_fixture.h"

static uint64_t open_as(unsigned proxy, enum open_role role, bool standby)
{
        ask_open_as(proxy, role, 0);
        assert_int_equal(opened(proxy).status, 0);
        assert_int_equal(opened(proxy).standby, standby);
        return opened(proxy).handle;
}

static void expect_standby(unsigned proxy, uint64_t handle, bool standby)
{
        struct media_reply m = feed_or_stay(proxy, handle, 0, 0, true);
        assert_int_equal(m.status, 0);
        assert_int_equal(m.standby, standby);
}

static void test_a_backup_stands_by_and_its_frames_are_not_taken(void **state)
{
        (void)state;
        uint64_t primary = begin(), backup = open_as(1, OPEN_BACKUP, true);
        assert_int_equal(feed(0, primary, 0, 2).standby, 0);
        struct media_reply m = feed(1, backup, 0, 3);
        assert_int_equal(m.standby, 1);
        assert_int_equal(m.next_seq, 0);
        assert_int_equal(pipeline->frames, 2);
        assert_int_equal(close_stream(1, backup, CLOSE_STOPPED), 0);
        assert_int_equal(feed(0, primary, 2, 1).status, 0);
        expect_state("live");
}

static void test_the_backup_goes_on_at_once_when_the_primary_is_lost_or_stops(void **state)
{
        (void)state;
        const enum close_reason reasons[] = {CLOSE_LOST, CLOSE_STOPPED};
        uint64_t active = begin();
        int64_t switches = metric_get(&stats_switches);
        for (int i = 0; i < 2; i++) {
                uint64_t other = open_as(1, i == 0 ? OPEN_BACKUP : OPEN_PRIMARY, true);
                expect_standby(1, other, true);
                close_stream(0, active, reasons[i]);
                expect_state("live");
                pipeline->room = 8;
                pipeline->frames = pipeline->configs = 0;
                expect_standby(1, other, false);
                assert_int_equal(feed(1, other, 0, 2).next_seq, 2);
                assert_int_equal(pipeline->first_flags, FRAME_CONFIG);
                assert_int_equal(pipeline->breaks, i + 1);
                assert_int_equal(pipelines, 1);
                active = other;
        }
        assert_int_equal(metric_get(&stats_switches), switches + 2);
        close_stream(1, active, CLOSE_STOPPED);
        expect_state("draining");
}

static void test_the_roles_swap_when_the_active_one_is_silent_and_again_when_the_other_is(void **state)
{
        (void)state;
        uint64_t primary = begin(), backup = open_as(1, OPEN_BACKUP, true);
        ss.first->active.heard_us -= BROADCASTER_SILENT_US + 1; /* its proxy says nothing */
        expect_standby(1, backup, false);
        expect_standby(0, primary, true);
        expect_standby(1, backup, false);
        ss.first->active.fresh_us -= BROADCASTER_SILENT_US + 1; /* its proxy has nothing to say */
        assert_int_equal(feed(1, backup, 0, 0).standby, 1);
        expect_standby(0, primary, false);
        expect_standby(1, backup, true);
}

static void tell(unsigned proxy, uint64_t handle, uint64_t seq)
{
        struct buf *bytes = buf_copy("frame", 5);
        struct frame frame = {.codec = CODEC_H264, .bytes = bytes};
        const struct media part = {.handle = handle, .first_seq = seq, .count = 1, .frames = &frame};
        const struct media_many m = {.count = 1, .parts = &part};
        say(proxy, message_new(MSG_MEDIA_TOLD, media_many_encode, &m));
        buf_unref(&bytes);
}

/* Its numbers go on where they were, with what is in its replay by then. */
static void test_what_one_told_too_soon_is_not_taken_after_it_stood_by(void **state)
{
        (void)state;
        uint64_t primary = begin(), backup = open_as(1, OPEN_BACKUP, true);
        assert_int_equal(feed(0, primary, 0, 1).next_seq, 1);
        tell(0, primary, 2);
        ss.first->active.heard_us -= BROADCASTER_SILENT_US + 1;
        expect_standby(1, backup, false);
        assert_int_equal(feed_or_stay(0, primary, 1, 0, true).standby, 1);
        ss.first->active.fresh_us -= BROADCASTER_SILENT_US + 1;
        assert_int_equal(feed(1, backup, 0, 0).standby, 1);
        assert_int_equal(feed_or_stay(0, primary, 1, 0, true).standby, 0);
        pipeline->room = 8;
        assert_int_equal(feed(0, primary, 1, 1).next_seq, 2);
}

static void test_one_that_gets_no_frames_itself_is_not_switched_to(void **state)
{
        (void)state;
        begin();
        uint64_t backup = open_as(1, OPEN_BACKUP, true);
        ss.first->standby.fresh_us -= BROADCASTER_FRESH_US + 1;
        ss.first->active.heard_us -= BROADCASTER_SILENT_US + 1;
        assert_int_equal(feed(1, backup, 0, 0).standby, 1);
        silence(SESSION_SILENT_US);
        expect_state("grace");
        assert_int_equal(feed(1, backup, 0, 0).standby, 1);
        expect_state("grace");
        expect_standby(1, backup, false); /* a frame */
        expect_state("live");
}

static void test_a_primary_that_comes_back_waits_unless_it_is_to_be_active_now(void **state)
{
        (void)state;
        uint64_t first = begin(), backup = open_as(1, OPEN_BACKUP, true);
        close_stream(0, first, CLOSE_LOST);
        uint64_t again = open_as(0, OPEN_PRIMARY, true), now = open_as(2, OPEN_NOW, false);
        assert_int_equal(feed(0, again, 0, 0).status, ERR_CONFLICT);
        expect_standby(1, backup, true);
        expect_standby(2, now, false);
        expect_standby(3, open_as(3, OPEN_BACKUP_NOW, false), false);
        assert_int_equal(feed(1, backup, 0, 0).status, ERR_CONFLICT);
        expect_standby(2, now, true);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_a_backup_stands_by_and_its_frames_are_not_taken),
                TEST(test_the_backup_goes_on_at_once_when_the_primary_is_lost_or_stops),
                TEST(test_the_roles_swap_when_the_active_one_is_silent_and_again_when_the_other_is),
                TEST(test_what_one_told_too_soon_is_not_taken_after_it_stood_by),
                TEST(test_one_that_gets_no_frames_itself_is_not_switched_to),
                TEST(test_a_primary_that_comes_back_waits_unless_it_is_to_be_active_now),
        };
        log_init("session", LOG_ERROR + 1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
