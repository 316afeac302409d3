/* publication and relay: which transcoder has a stream, and how it comes to the next one. */
#include "tests/unit/fake_transcoders.h"
#include "tests/unit/said.h"

/* Failure --------------------------------------------------------------------------------------------------------- */

static void test_the_next_transcoder_gets_everything_since_the_stored_keyframe(void **state)
{
        (void)state;
        struct caster c;
        int64_t failovers = stats_get(STAT_FAILOVERS), replayed = stats_get(STAT_REPLAYED_FRAMES);
        start(&c, 60);
        t.node[0].stored_us = 2100 * MS; /* keyframes at 0, 1000 and 2000 */
        send_media(&c, 60, 70);
        pump();
        t.node[0].lost = true;
        send_media(&c, 70, 80);
        UNTIL(t.node[1].opens == 1);
        send_media(&c, 80, 90);
        pump();
        assert_pictures(&t.node[1], 0, 50, 40);
        assert_string_equal(t.node[1].config[TRACK_VIDEO], "avcC1");
        assert_int_equal(stats_get(STAT_FAILOVERS), failovers + 1);
        assert_in_range(stats_get(STAT_REPLAYED_FRAMES), replayed + 40, replayed + 70);
        assert_int_equal(t.node[1].open.epoch_us, WALL + 2000 * MS); /* for a session that would begin here */
        end(&c, CLOSE_STOPPED);
        UNTIL(t.node[1].closes == 1);
}

static void test_a_replay_begins_with_the_configuration_of_its_keyframe(void **state)
{
        (void)state;
        struct caster c;
        start(&c, 30);
        send_frame(&c, TRACK_VIDEO, FRAME_CONFIG, "avcC2");
        send_media(&c, 30, 40); /* nothing is stored: a replay begins at 0, with the first one */
        pump();
        t.node[0].lost = true;
        UNTIL(t.node[1].opens == 1);
        pump();
        assert_string_equal(t.node[1].config[TRACK_VIDEO], "avcC1");
        assert_int_equal(configs_taken(&t.node[1]), 1);
        assert_pictures(&t.node[1], 0, 0, 40);
        end(&c, CLOSE_STOPPED);
}

static void test_a_transcoder_that_does_not_answer_is_left(void **state)
{
        (void)state;
        struct caster c;
        start(&c, 30);
        t.node[0].silent = true;
        send_media(&c, 30, 31);
        pump();
        send_media(&c, 31, 40);
        pump();
        assert_int_equal(t.node[1].opens, 0);
        publications_lose(&t.publications, client(0)); /* its heartbeat has stopped */
        UNTIL(t.node[1].opens == 1);
        pump();
        assert_pictures(&t.node[1], 0, 0, 40);
        end(&c, CLOSE_STOPPED);
}

static void test_a_transcoder_that_started_anew_is_opened_again(void **state)
{
        (void)state;
        struct caster c;
        start(&c, 30);
        t.node[1].listed = false;
        t.node[0].media_status = ERR_NOT_FOUND;
        send_media(&c, 30, 40);
        UNTIL(t.node[0].opens == 2);
        pump();
        assert_pictures(&t.node[0], 60, 0, 40);
        end(&c, CLOSE_STOPPED);
}

static void test_a_full_transcoder_is_passed_by(void **state)
{
        (void)state;
        struct caster c;
        t.node[0].open_status = ERR_FULL;
        begin(&c, "cam");
        send_configs(&c);
        send_media(&c, 0, 10);
        pump();
        assert_int_equal(t.node[1].opens, 1);
        assert_pictures(&t.node[1], 0, 0, 10);
        end(&c, CLOSE_STOPPED);
}

static void test_is_tried_again_for_as_long_as_the_broadcaster_stays(void **state)
{
        (void)state;
        struct caster c;
        t.node[0].open_status = t.node[1].open_status = ERR_CLOSED; /* no origin */
        begin(&c, "cam");
        send_configs(&c);
        send_media(&c, 0, 10);
        log_set_level(LOG_WARN);
        listen_to_log();
        UNTIL(t.node[0].opens == 3);
        t.node[0].open_status = t.node[1].open_status = ERR_FULL;
        UNTIL(t.node[0].opens >= 5);
        end_listening();
        log_set_level(LOG_ERROR);
        assert_int_equal(times_said("not opened"), 2); /* once for each reason: a hundred may wait */
        t.node[0].open_status = 0;
        UNTIL(t.node[0].taken_count == 20);
        assert_int_equal(c.refused, 0);
        end(&c, CLOSE_STOPPED);
}

static void test_opens_as_soon_as_a_transcoder_appears(void **state)
{
        (void)state;
        struct caster c;
        t.node[0].listed = t.node[1].listed = false;
        begin(&c, "cam");
        send_configs(&c);
        send_media(&c, 0, 10);
        pump();
        t.node[1].listed = true;
        publications_poke(&t.publications);
        UNTIL(t.node[1].taken_count == 20);
        end(&c, CLOSE_STOPPED);
}

static void test_a_denied_stream_is_told_to_the_broadcaster(void **state)
{
        (void)state;
        struct caster c;
        t.node[0].open_status = ERR_DENIED;
        begin(&c, "cam");
        send_configs(&c);
        send_media(&c, 0, 10);
        pump();
        assert_int_equal(c.refused, RTMP_CLOSE_UPSTREAM);
        assert_string_equal(c.code, "NetStream.Publish.Denied");
        assert_string_equal(c.text, "because");
        send_media(&c, 10, 20); /* what was on its way already */
        assert_int_equal(t.node[1].opens, 0);
        end(&c, CLOSE_REFUSED);
}

static void test_who_is_kicked_is_told_why_and_its_session_ends(void **state)
{
        (void)state;
        struct caster c;
        struct publication_view v;
        start(&c, 60);
        t.node[0].stored_us = 900 * MS;
        send_media(&c, 60, 70);
        pump();
        publication_tell(t.publications.first, &v);
        assert_string_equal(v.stream, "cam");
        assert_string_equal(v.state, "live");
        assert_true(v.frames >= 70 && v.bytes > 0 && v.started);
        assert_int_equal(v.relays.stored_us, 900 * MS);
        assert_int_equal(v.behind_us, v.media_us - 900 * MS);
        assert_int_equal(publications_kick(&t.publications, "other", "why"), 0);
        assert_int_equal(publications_kick(&t.publications, "cam", "too loud"), 1);
        assert_int_equal(c.refused, RTMP_CLOSE_KICKED);
        assert_string_equal(c.text, "too loud");
        assert_int_equal(publications_kick(&t.publications, "cam", "once is enough"), 0);
        publication_tell(t.publications.first, &v);
        assert_string_equal(v.state, "leaving");
        send_media(&c, 70, 80); /* what was on its way already */
        end(&c, CLOSE_REFUSED);
        UNTIL(t.node[0].closes == 1);
        assert_int_equal(t.node[0].closed, CLOSE_REFUSED);
}

static void test_a_fenced_stream_follows_its_session_to_the_transcoder_that_has_it(void **state)
{
        (void)state;
        struct caster c;
        start(&c, 30);
        t.node[0].media_status = ERR_FENCED;
        t.node[1].holds = true;
        send_media(&c, 30, 31);
        pump();
        assert_int_equal(t.node[0].opens, 1);
        assert_int_equal(t.node[1].opens, 1);
        assert_int_equal(t.node[1].open.when, OPEN_IF_HELD | OPEN_IF_FREE | OPEN_GOES_ON);
        assert_int_equal(t.node[1].open.role, OPEN_PRIMARY);
        assert_int_equal(c.refused, 0);
        end(&c, CLOSE_STOPPED);
}

static void test_a_fenced_stream_whose_place_is_taken_is_refused(void **state)
{
        (void)state;
        struct caster c;
        start(&c, 30);
        t.node[0].media_status = ERR_FENCED;
        t.node[1].holds = true;
        t.node[1].open_status = ERR_CONFLICT;
        send_media(&c, 30, 31);
        pump();
        assert_int_equal(c.refused, RTMP_CLOSE_TAKEN_OVER);
        assert_int_equal(t.node[0].opens, 1);
        assert_int_equal(t.node[1].opens, 1);
        end(&c, CLOSE_LOST);
}

static void test_one_that_was_fenced_by_its_own_lost_open_takes_that_place(void **state)
{
        (void)state;
        struct caster c;
        t.node[0].lost = true;
        begin(&c, "cam");
        send_configs(&c);
        send_media(&c, 0, 30);
        UNTIL(t.node[1].taken_count == 60);
        t.node[0].lost = false; /* it took the OPEN nevertheless, and fenced the other one */
        t.node[0].holds = true;
        t.node[1].media_status = ERR_FENCED;
        send_media(&c, 30, 31);
        UNTIL(t.node[0].opens == 1);
        assert_int_equal(t.node[0].open.when, OPEN_IF_HELD | OPEN_GOES_ON);
        assert_int_equal(c.refused, 0);
        end(&c, CLOSE_STOPPED);
}

static void test_one_whose_place_is_taken_does_not_fight_back(void **state)
{
        (void)state;
        struct caster c;
        start(&c, 30);
        t.node[0].media_status = ERR_CONFLICT;
        send_media(&c, 30, 31);
        pump();
        assert_int_equal(c.refused, RTMP_CLOSE_TAKEN_OVER);
        assert_string_equal(c.code, "NetStream.Publish.BadName");
        assert_int_equal(t.node[0].opens + t.node[1].opens, 1);
        end(&c, CLOSE_LOST);
}

static void test_fenced_again_and_again_means_published_elsewhere(void **state)
{
        (void)state;
        struct caster c;
        start(&c, 30);
        for (int i = 0; i < 4; i++) {
                assert_int_equal(c.refused, 0);
                t.node[0].media_status = ERR_FENCED;
                t.node[1].media_status = ERR_FENCED;
                send_media(&c, 30 + i, 31 + i);
                pump();
        }
        assert_int_equal(c.refused, RTMP_CLOSE_TAKEN_OVER);
        end(&c, CLOSE_LOST);
}

static void test_a_stream_that_is_forgotten_again_and_again_is_refused(void **state)
{
        (void)state;
        struct caster c;
        start(&c, 30);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(c.refused, 0);
                t.node[0].media_status = ERR_NOT_FOUND;
                send_media(&c, 30 + i, 31 + i);
                pump();
        }
        assert_int_equal(c.refused, RTMP_CLOSE_UPSTREAM);
        assert_int_equal(t.node[0].opens, 3);
        end(&c, CLOSE_LOST);
}

static void test_a_session_that_is_still_being_stored_is_waited_for(void **state)
{
        (void)state;
        struct caster c;
        t.node[0].open_status = ERR_NOT_YET;
        begin(&c, "cam");
        send_configs(&c);
        send_media(&c, 0, 10);
        UNTIL(t.node[0].opens == 3);
        t.node[0].open_status = 0;
        UNTIL(t.node[0].taken_count == 20);
        assert_int_equal(t.node[1].opens, 0); /* it would go on with the old session */
        end(&c, CLOSE_STOPPED);
}

static void test_an_answer_that_makes_no_sense_drops_the_transcoder(void **state)
{
        (void)state;
        struct caster c;
        start(&c, 30);
        t.node[0].malformed = true;
        send_media(&c, 30, 31);
        UNTIL(t.node[1].opens == 1);
        assert_int_equal(t.dropped_peers, 1);
        t.node[1].lie = 1000; /* took what it was never sent */
        t.node[1].listed = false;
        t.node[0].malformed = false;
        pump();
        UNTIL(t.node[0].opens == 2);
        assert_int_equal(t.dropped_peers, 2);
        end(&c, CLOSE_STOPPED);
}

static void test_a_draining_transcoder_is_left_for_another_one(void **state)
{
        (void)state;
        struct caster c;
        int64_t failovers = stats_get(STAT_FAILOVERS);
        start(&c, 30);
        t.node[0].draining = true;
        t.node[0].listed = false; /* as the ring's order has it: live ones first */
        send_media(&c, 30, 31);
        pump();
        assert_int_equal(t.node[1].opens, 1);
        assert_pictures(&t.node[1], 0, 0, 31);
        assert_int_equal(stats_get(STAT_FAILOVERS), failovers);
        end(&c, CLOSE_STOPPED);
}

static void test_among_transcoders_that_all_drain_a_stream_stays_where_it_is(void **state)
{
        (void)state;
        struct caster c;
        start(&c, 30);
        for (int i = 0; i < NODES; i++)
                t.node[i].draining = true;
        t.node[0].listed = false;
        send_media(&c, 30, 31);
        pump();
        assert_int_equal(t.node[1].opens, 0);
        assert_pictures(&t.node[0], 0, 0, 31);
        t.node[1].draining = false; /* it has started anew */
        send_media(&c, 31, 32);
        pump();
        assert_int_equal(t.node[1].opens, 1);
        end(&c, CLOSE_STOPPED);
}

static void test_the_end_of_a_stream_finds_another_transcoder_too(void **state)
{
        (void)state;
        struct caster c;
        start(&c, 30);
        t.node[0].lost = true;
        end(&c, CLOSE_STOPPED);
        UNTIL(t.node[1].closes == 1);
        assert_pictures(&t.node[1], 0, 0, 30);
}

/* Which transcoder ------------------------------------------------------------------------------------------------- */

static void test_the_transcoder_that_has_the_stream_is_found_behind_one_that_has_room_by_now(void **state)
{
        (void)state;
        struct caster c;
        t.node[1].holds = true;
        begin(&c, "cam");
        send_configs(&c);
        send_media(&c, 0, 10);
        UNTIL(t.node[1].taken_count == 20);
        assert_int_equal(t.node[0].asked, 1);
        assert_int_equal(t.node[0].opens, 0);
        end(&c, CLOSE_STOPPED);
}

static void test_a_full_transcoder_is_followed_by_the_next(void **state)
{
        (void)state;
        struct caster c;
        t.node[0].open_status = ERR_FULL;
        begin(&c, "cam");
        send_configs(&c);
        send_media(&c, 0, 10);
        UNTIL(t.node[1].taken_count == 20);
        end(&c, CLOSE_STOPPED);
}

static void test_the_generation_is_handed_on_to_the_next_transcoder_and_the_next_connection(void **state)
{
        (void)state;
        struct caster c;
        t.node[0].generation = 41;
        start(&c, 30);
        assert_int_equal(t.node[0].open.generation, 0);
        t.node[0].lost = true;
        t.node[1].generation = 42;
        send_media(&c, 30, 31);
        UNTIL(t.node[1].opens == 1);
        assert_int_equal(t.node[1].open.generation, 41);
        assert_int_equal(t.node[1].open.role, OPEN_NOW);
        end(&c, CLOSE_LOST);
        UNTIL(t.publications.count == 0);
        t.node[0].lost = false;
        begin(&c, "cam");
        send_configs(&c);
        send_media(&c, 40, 60);
        UNTIL(t.node[0].opens == 2);
        assert_int_equal(t.node[0].open.generation, 42);
        assert_int_equal(t.node[0].open.role, OPEN_PRIMARY);
        end(&c, CLOSE_STOPPED);
}

static void test_a_cluster_that_is_full_is_asked_less_and_less_often(void **state)
{
        (void)state;
        struct caster c;
        t.node[0].open_status = t.node[1].open_status = ERR_FULL;
        begin(&c, "cam");
        send_configs(&c);
        send_media(&c, 0, 10);
        int64_t began_us = clock_mono_us();
        UNTIL(t.node[0].opens == 5);
        /* Full jitter: any one wait may be short, but four of them are not all at their least. */
        assert_true(clock_mono_us() - began_us > 4 * MS);
        t.node[1].open_status = 0;
        UNTIL(t.node[1].taken_count == 20);
        end(&c, CLOSE_STOPPED);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_the_next_transcoder_gets_everything_since_the_stored_keyframe),
                TEST(test_a_replay_begins_with_the_configuration_of_its_keyframe),
                TEST(test_a_transcoder_that_does_not_answer_is_left),
                TEST(test_a_transcoder_that_started_anew_is_opened_again),
                TEST(test_a_full_transcoder_is_passed_by),
                TEST(test_is_tried_again_for_as_long_as_the_broadcaster_stays),
                TEST(test_opens_as_soon_as_a_transcoder_appears),
                TEST(test_a_denied_stream_is_told_to_the_broadcaster),
                TEST(test_who_is_kicked_is_told_why_and_its_session_ends),
                TEST(test_a_fenced_stream_follows_its_session_to_the_transcoder_that_has_it),
                TEST(test_a_fenced_stream_whose_place_is_taken_is_refused),
                TEST(test_one_that_was_fenced_by_its_own_lost_open_takes_that_place),
                TEST(test_one_whose_place_is_taken_does_not_fight_back),
                TEST(test_fenced_again_and_again_means_published_elsewhere),
                TEST(test_the_transcoder_that_has_the_stream_is_found_behind_one_that_has_room_by_now),
                TEST(test_a_full_transcoder_is_followed_by_the_next),
                TEST(test_the_generation_is_handed_on_to_the_next_transcoder_and_the_next_connection),
                TEST(test_a_cluster_that_is_full_is_asked_less_and_less_often),
                TEST(test_a_stream_that_is_forgotten_again_and_again_is_refused),
                TEST(test_a_session_that_is_still_being_stored_is_waited_for),
                TEST(test_an_answer_that_makes_no_sense_drops_the_transcoder),
                TEST(test_a_draining_transcoder_is_left_for_another_one),
                TEST(test_among_transcoders_that_all_drain_a_stream_stays_where_it_is),
                TEST(test_the_end_of_a_stream_finds_another_transcoder_too),
        };
        log_init("test", LOG_ERROR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
