/* publication and relay: from FLV tags to a transcoder, which is played by this test over struct relay_link. */
#include "tests/unit/fake_transcoders.h"

/* Opening --------------------------------------------------------------------------------------------------------- */

static void test_opens_at_the_first_keyframe_once_both_tracks_are_known(void **state)
{
        (void)state;
        struct caster c;
        begin(&c, "cam");
        send_configs(&c);
        pump();
        assert_int_equal(t.node[0].opens, 0);
        send_frame(&c, TRACK_VIDEO, 0, "x"); /* not a keyframe: nothing could be made of it */
        send_media(&c, 0, 1);
        pump();
        assert_int_equal(t.node[0].opens, 1);
        assert_string_equal(t.node[0].open.stream, "cam");
        assert_string_equal(t.node[0].open.publisher, "192.0.2.1:4000");
        assert_string_equal(t.node[0].open.encoder, "tester");
        assert_int_equal(t.node[0].open.epoch_us, WALL);
        assert_string_equal(t.node[0].config[TRACK_VIDEO], "avcC1");
        assert_string_equal(t.node[0].config[TRACK_AUDIO], "asc1");
        send_media(&c, 1, 100);
        end(&c, CLOSE_STOPPED);
        UNTIL(t.node[0].closes == 1);
        assert_int_equal(t.node[0].closed, CLOSE_STOPPED);
        assert_pictures(&t.node[0], 0, 0, 100);
        assert_int_equal(t.node[0].taken_count, 200);
        assert_int_equal(t.node[0].taken[0].dts_us, 0);
}

static void test_waits_for_sound_only_so_long(void **state)
{
        (void)state;
        struct caster c;
        begin(&c, "cam");
        send_frame(&c, TRACK_VIDEO, FRAME_CONFIG, "avcC1");
        send_video(&c, 0, 50);
        pump();
        assert_int_equal(t.node[0].opens, 0);
        send_video(&c, 50, 52);
        pump();
        assert_int_equal(t.node[0].opens, 1);
        assert_int_equal(t.node[0].open.codecs[TRACK_AUDIO], CODEC_NONE);
        end(&c, CLOSE_STOPPED);
        UNTIL(t.node[0].closes == 1);
        assert_int_equal(t.node[0].taken_count, 52);
}

static void test_metadata_saves_the_wait_for_a_track_that_will_not_come(void **state)
{
        (void)state;
        struct caster c;
        const struct flv_metadata silent = {.has_video = 1, .has_audio = 0, .title = "A silent film", .encoder = "OBS"};
        begin(&c, "cam");
        publication_metadata(c.p, &silent);
        send_frame(&c, TRACK_VIDEO, FRAME_CONFIG, "avcC1");
        send_video(&c, 0, 1);
        pump();
        assert_int_equal(t.node[0].opens, 1);
        assert_string_equal(t.node[0].open.title, "A silent film");
        assert_string_equal(t.node[0].open.encoder, "OBS");
        end(&c, CLOSE_STOPPED);
}

static void test_metadata_that_names_one_track_shortens_the_wait_for_the_other(void **state)
{
        (void)state;
        struct caster c;
        const struct flv_metadata m = {.has_video = 1, .has_audio = -1};
        begin(&c, "cam");
        publication_metadata(c.p, &m);
        send_frame(&c, TRACK_VIDEO, FRAME_CONFIG, "avcC1");
        send_video(&c, 0, 12);
        pump();
        assert_int_equal(t.node[0].opens, 0);
        send_video(&c, 12, 14);
        pump();
        assert_int_equal(t.node[0].opens, 1);
        end(&c, CLOSE_STOPPED);
}

static void test_sound_alone_opens_after_the_wait_for_pictures(void **state)
{
        (void)state;
        struct caster c;
        begin(&c, "radio");
        send_frame(&c, TRACK_AUDIO, FRAME_CONFIG, "asc1");
        send_audio(&c, 0, 50);
        pump();
        assert_int_equal(t.node[0].opens, 0);
        send_audio(&c, 50, 60);
        pump();
        assert_int_equal(t.node[0].opens, 1);
        assert_int_equal(t.node[0].open.codecs[TRACK_VIDEO], CODEC_NONE);
        assert_int_equal(t.node[0].taken[0].dts_us, 0);
        end(&c, CLOSE_STOPPED);
}

static void test_sound_alone_opens_at_once_when_metadata_says_so(void **state)
{
        (void)state;
        struct caster c;
        const struct flv_metadata m = {.has_video = 0, .has_audio = 1};
        begin(&c, "radio");
        publication_metadata(c.p, &m);
        send_frame(&c, TRACK_AUDIO, FRAME_CONFIG, "asc1");
        send_audio(&c, 0, 1);
        pump();
        assert_int_equal(t.node[0].opens, 1);
        end(&c, CLOSE_STOPPED);
}

static void test_a_broadcast_that_never_became_media_leaves_no_trace(void **state)
{
        (void)state;
        struct caster c;
        begin(&c, "cam");
        send_configs(&c);
        end(&c, CLOSE_LOST);
        UNTIL(t.ingest.count == 0);
        assert_int_equal(t.node[0].opens, 0);
}

static void test_a_broadcast_shorter_than_the_wait_is_relayed_whole(void **state)
{
        (void)state;
        struct caster c;
        begin(&c, "cam");
        send_frame(&c, TRACK_VIDEO, FRAME_CONFIG, "avcC1");
        send_video(&c, 0, 10);
        end(&c, CLOSE_STOPPED);
        UNTIL(t.ingest.count == 0);
        assert_int_equal(t.node[0].taken_count, 10);
        assert_int_equal(t.node[0].closes, 1);
}

/* Configurations -------------------------------------------------------------------------------------------------- */

static unsigned configs_taken(const struct node *n)
{
        unsigned count = 0;
        for (unsigned i = 0; i < n->taken_count; i++)
                count += n->taken[i].flags & FRAME_CONFIG ? 1 : 0;
        return count;
}

static void test_repeated_configurations_are_dropped_and_changed_ones_passed_on(void **state)
{
        (void)state;
        struct caster c;
        begin(&c, "cam");
        send_configs(&c);
        send_media(&c, 0, 30);
        pump();
        send_configs(&c);
        send_media(&c, 30, 50);
        pump();
        assert_int_equal(configs_taken(&t.node[0]), 0);
        send_frame(&c, TRACK_VIDEO, FRAME_CONFIG, "avcC2");
        send_media(&c, 50, 51);
        pump();
        assert_int_equal(configs_taken(&t.node[0]), 1);
        assert_int_equal(t.node[0].taken[100].flags, FRAME_CONFIG);
        end(&c, CLOSE_STOPPED);
}

static void test_a_late_track_is_announced_by_its_configuration(void **state)
{
        (void)state;
        struct caster c;
        begin(&c, "cam");
        send_frame(&c, TRACK_VIDEO, FRAME_CONFIG, "avcC1");
        send_video(&c, 0, 60);
        pump();
        assert_int_equal(t.node[0].opens, 1);
        send_frame(&c, TRACK_AUDIO, FRAME_CONFIG, "asc1");
        send_media(&c, 60, 61);
        pump();
        assert_int_equal(configs_taken(&t.node[0]), 1);
        assert_int_equal(t.node[0].taken[t.node[0].taken_count - 1].dts_us, 2400 * MS);
        end(&c, CLOSE_STOPPED);
}

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
        ingest_lose(&t.ingest, client(0)); /* its heartbeat has stopped */
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
        UNTIL(t.node[0].opens == 3);
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
        ingest_poke(&t.ingest);
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
        publication_tell(t.ingest.first, &v);
        assert_string_equal(v.stream, "cam");
        assert_string_equal(v.state, "live");
        assert_true(v.frames >= 70 && v.bytes > 0 && v.started);
        assert_int_equal(v.relays.stored_us, 900 * MS);
        assert_int_equal(v.behind_us, v.media_us - 900 * MS);
        assert_int_equal(ingest_kick(&t.ingest, "other", "why"), 0);
        assert_int_equal(ingest_kick(&t.ingest, "cam", "too loud"), 1);
        assert_int_equal(c.refused, RTMP_CLOSE_KICKED);
        assert_string_equal(c.text, "too loud");
        assert_int_equal(ingest_kick(&t.ingest, "cam", "once is enough"), 0);
        publication_tell(t.ingest.first, &v);
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
        assert_int_equal(t.node[1].open.when, OPEN_IF_HELD | OPEN_IF_FREE);
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
        assert_int_equal(t.node[0].open.when, OPEN_IF_HELD);
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

/* Flow ------------------------------------------------------------------------------------------------------------ */

static void test_one_batch_is_in_flight_and_the_next_one_gathers(void **state)
{
        (void)state;
        struct caster c;
        start(&c, 30);
        unsigned batches = t.node[0].batches;
        t.node[0].silent = true;
        send_media(&c, 30, 31);
        pump();
        send_media(&c, 31, 60);
        pump();
        t.node[0].silent = false;
        pump();
        assert_int_equal(t.node[0].most_in_flight, 1);
        assert_int_equal(t.node[0].batches, batches + 2);
        assert_pictures(&t.node[0], 0, 0, 60);
        end(&c, CLOSE_STOPPED);
}

static void test_streams_that_are_due_together_share_a_message(void **state)
{
        (void)state;
        enum { STREAMS = 100 };
        static struct caster c[STREAMS];
        t.limits.max_publishers = STREAMS;
        t.node[0].takes_many = true;
        for (int i = 0; i < STREAMS; i++) {
                char name[16];
                snprintf(name, sizeof(name), "cam-%d", i);
                begin(&c[i], name);
                send_configs(&c[i]);
                send_media(&c[i], 0, 1);
        }
        pump();
        assert_int_equal(t.node[0].opens, STREAMS);
        unsigned messages = t.node[0].messages, taken = t.node[0].taken_count;
        for (int i = 0; i < STREAMS; i++)
                send_media(&c[i], 1, 2);
        pump();
        assert_int_equal(t.node[0].taken_count, taken + 2 * STREAMS);
        assert_int_equal(t.node[0].messages, messages + 2); /* at most MEDIA_MANY_MAX in one */
        for (int i = 0; i < STREAMS; i++)
                end(&c[i], CLOSE_STOPPED);
        UNTIL(t.node[0].closes == STREAMS);
}

static void test_a_lost_message_is_every_streams_loss_and_no_others(void **state)
{
        (void)state;
        struct caster a, b, other;
        t.node[0].takes_many = t.node[1].takes_many = true;
        t.node[0].listed = false;
        begin(&other, "other");
        send_configs(&other);
        send_media(&other, 0, 1);
        pump();
        t.node[0].listed = true;
        begin(&a, "a");
        begin(&b, "b");
        send_configs(&a);
        send_configs(&b);
        send_media(&a, 0, 1);
        send_media(&b, 0, 1);
        pump();
        assert_int_equal(t.node[0].opens, 2);
        t.node[0].lost = true;
        send_media(&a, 1, 2);
        send_media(&b, 1, 2);
        send_media(&other, 1, 2);
        pump();
        assert_int_equal(t.node[1].opens, 3);
        assert_int_equal(t.node[1].taken_count, 3 * 4);
        end(&a, CLOSE_STOPPED);
        end(&b, CLOSE_STOPPED);
        end(&other, CLOSE_STOPPED);
}

static void test_a_transcoder_that_does_not_take_many_gets_them_one_by_one(void **state)
{
        (void)state;
        struct caster a, b;
        begin(&a, "a");
        begin(&b, "b");
        send_configs(&a);
        send_configs(&b);
        for (int n = 0; n < 10; n++) {
                send_media(&a, n, n + 1);
                send_media(&b, n, n + 1);
                pump();
        }
        assert_int_equal(t.node[0].shared, 0);
        assert_int_equal(t.node[0].taken_count, 40);
        end(&a, CLOSE_STOPPED);
        end(&b, CLOSE_STOPPED);
}

static void test_malformed_lists_of_batches_are_refused(void **state)
{
        (void)state;
        struct reader r, parts[MEDIA_MANY_MAX];
        uint16_t count;
        static const uint8_t too_many[2] = {0, MEDIA_MANY_MAX + 1}, cut[7] = {0, 1, 0, 0, 0, 2, 9},
                             huge[6] = {0, 1, 0xff, 0xff, 0xff, 0xff}, more[3] = {0, 0, 1}, none[2] = {0, 0};
        const struct {
                const uint8_t *bytes;
                size_t len;
                int err;
        } cases[] = {{too_many, 2, ERR_PROTO},
                     {cut, 7, ERR_PROTO},
                     {huge, 6, ERR_PROTO},
                     {more, 3, ERR_PROTO},
                     {none, 2, 0}};
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                reader_init(&r, cases[i].bytes, cases[i].len);
                assert_int_equal(media_many_decode(&r, parts, &count), cases[i].err);
        }
}

static void test_without_credit_only_empty_batches_are_sent(void **state)
{
        (void)state;
        struct caster c;
        start(&c, 30);
        t.node[0].credit = 0;
        send_media(&c, 30, 31);
        pump();
        unsigned taken = t.node[0].taken_count, empty = t.node[0].empty;
        send_media(&c, 31, 40);
        UNTIL(t.node[0].empty >= empty + 3);
        assert_int_equal(t.node[0].taken_count, taken);
        t.node[0].credit = 5;
        UNTIL(t.node[0].taken_count == 80);
        end(&c, CLOSE_STOPPED);
}

static void test_an_idle_stream_shows_that_it_is_there(void **state)
{
        (void)state;
        struct caster c;
        start(&c, 30);
        unsigned empty = t.node[0].empty;
        UNTIL(t.node[0].empty == empty + 2);
        end(&c, CLOSE_STOPPED);
}

/* Sessions -------------------------------------------------------------------------------------------------------- */

static void test_times_move_to_the_epoch_of_a_session_that_goes_on(void **state)
{
        (void)state;
        struct caster c;
        t.node[0].epoch_us = WALL - 100 * US_PER_S;
        begin(&c, "cam");
        send_configs(&c);
        send_media(&c, 0, 10); /* all before the answer */
        pump();
        send_media(&c, 10, 20);
        pump();
        const struct node *n = &t.node[0];
        assert_int_equal(n->taken_count, 40);
        for (unsigned i = 0; i < 40; i += 2)
                assert_int_equal(n->taken[i].dts_us, 100 * US_PER_S + i / 2 * 40 * MS);
        end(&c, CLOSE_LOST);
        UNTIL(t.node[0].closes == 1);
        assert_int_equal(t.node[0].closed, CLOSE_LOST);
}

/* Some of it before the answer to OPEN, some after. */
static void begin_and_send(struct caster *c)
{
        begin(c, "cam");
        send_configs(c);
        send_media(c, 0, 10);
        pump();
        send_media(c, 10, 20);
        pump();
        assert_int_equal(t.node[0].taken_count, 40);
}

static void test_a_stream_follows_the_transcoders_clock_where_that_is_another(void **state)
{
        (void)state;
        struct caster c;
        t.node[0].skew_us = 5 * US_PER_S;
        begin_and_send(&c);
        const struct node *n = &t.node[0];
        for (unsigned i = 0; i < n->taken_count; i += 2)
                assert_int_equal(n->taken[i].dts_us, i / 2 * 40 * MS);
        end(&c, CLOSE_STOPPED);
}

static void test_a_session_that_goes_on_is_joined_by_the_transcoders_clock(void **state)
{
        (void)state;
        struct caster c;
        t.node[0].skew_us = 5 * US_PER_S;
        t.node[0].epoch_us = WALL - 100 * US_PER_S;
        begin_and_send(&c);
        const struct node *n = &t.node[0];
        for (unsigned i = 0; i < n->taken_count; i += 2)
                assert_int_equal(n->taken[i].dts_us, 105 * US_PER_S + i / 2 * 40 * MS);
        end(&c, CLOSE_STOPPED);
}

static void test_a_new_session_in_mid_stream_begins_at_zero(void **state)
{
        (void)state;
        struct caster c;
        start(&c, 60);
        t.node[0].stored_us = 2100 * MS;
        send_media(&c, 60, 61);
        pump();
        t.node[0].lost = true;
        snprintf(t.node[1].session, sizeof(t.node[1].session), "session-2");
        t.node[1].epoch_us = 0;
        send_media(&c, 61, 62);
        UNTIL(t.node[1].opens == 1);
        send_media(&c, 62, 70);
        pump();
        unsigned first = 0;
        while (t.node[1].taken[first].track != TRACK_VIDEO)
                first++;
        assert_int_equal(t.node[1].taken[first].flags & FRAME_KEY, FRAME_KEY);
        assert_int_equal(t.node[1].taken[first].dts_us, 0);
        assert_int_equal(t.node[1].taken[t.node[1].taken_count - 1].dts_us, (69 - 50) * 40 * MS);
        end(&c, CLOSE_STOPPED);
}

static void test_a_newcomer_takes_the_stream_over_once_the_old_one_is_closed(void **state)
{
        (void)state;
        struct caster old, new;
        start(&old, 30);
        t.node[0].silent = true;
        begin(&new, "cam");
        assert_int_equal(old.refused, RTMP_CLOSE_TAKEN_OVER);
        assert_int_equal(t.ingest.live, 1);
        send_configs(&new);
        send_media(&new, 0, 10);
        send_media(&old, 30, 31); /* was read from its socket already */
        pump();
        assert_int_equal(t.node[0].opens, 1);
        t.node[0].silent = false;
        end(&old, CLOSE_LOST);
        UNTIL(t.node[0].opens == 2);
        assert_int_equal(t.node[0].closes, 1);
        assert_int_equal(t.node[0].closed, CLOSE_LOST);
        pump();
        assert_int_equal(t.node[0].taken_count, 60 + 20);
        end(&new, CLOSE_STOPPED);
}

static void test_streams_of_other_names_are_left_alone(void **state)
{
        (void)state;
        struct caster a, b;
        begin(&a, "one");
        begin(&b, "two");
        assert_int_equal(a.refused, 0);
        end(&a, CLOSE_LOST);
        end(&b, CLOSE_LOST);
}

/* Refusal --------------------------------------------------------------------------------------------------------- */

static void test_publishers_are_limited_but_may_take_over(void **state)
{
        (void)state;
        struct caster c[3], more;
        for (int i = 0; i < 3; i++)
                begin(&c[i], i == 0 ? "a" : i == 1 ? "b" : "c");
        assert_int_equal(begin_as(&more, "d", OPEN_PRIMARY), ERR_FULL);
        assert_int_equal(begin_as(&more, "a", OPEN_PRIMARY), 0);
        end(&more, CLOSE_LOST);
        for (int i = 0; i < 3; i++)
                end(&c[i], CLOSE_LOST);
}

static void test_the_buffer_stays_within_its_limit_while_nothing_takes_the_stream(void **state)
{
        (void)state;
        struct caster c;
        t.limits.replay_bytes = 1 << 20;
        t.node[0].listed = t.node[1].listed = false;
        begin(&c, "cam");
        send_configs(&c);
        int64_t lost = stats_get(STAT_LOST_FRAMES);
        send_media(&c, 0, 6000);
        assert_true(stats_get(STAT_LOST_FRAMES) > lost);
        assert_in_range(stats_get(STAT_REPLAY_BYTES), 1 << 19, 1 << 20);
        t.node[0].listed = true;
        UNTIL(t.node[0].opens == 1);
        end(&c, CLOSE_LOST);
        UNTIL(t.node[0].closes == 1);
        assert_int_equal(t.node[0].taken[0].flags & FRAME_KEY, FRAME_KEY);
        assert_int_equal(t.node[0].taken[0].track, TRACK_VIDEO);
}

/* Two broadcasters of a stream ------------------------------------------------------------------------------------- */

static void begin_role(struct caster *c, enum open_role role)
{
        assert_int_equal(begin_as(c, "cam", role), 0);
        send_configs(c);
}

static void test_a_primary_and_a_backup_of_one_name_are_both_live(void **state)
{
        (void)state;
        struct caster primary, backup, another;
        begin_role(&primary, OPEN_PRIMARY);
        begin_role(&backup, OPEN_BACKUP);
        send_media(&primary, 0, 10);
        UNTIL(t.node[0].opens == 1);
        assert_int_equal(t.node[0].open.role, OPEN_PRIMARY);
        t.node[0].standby = true;
        send_media(&backup, 0, 10);
        UNTIL(t.node[0].opens == 2);
        assert_int_equal(t.node[0].open.role, OPEN_BACKUP);
        assert_int_equal(primary.refused + backup.refused, 0);
        begin_role(&another, OPEN_BACKUP);
        assert_int_equal(primary.refused, 0);
        assert_int_equal(backup.refused, RTMP_CLOSE_TAKEN_OVER);
        end(&backup, CLOSE_LOST);
        end(&another, CLOSE_LOST);
        end(&primary, CLOSE_STOPPED);
}

static void test_one_that_stands_by_tells_that_it_is_there_and_goes_on_from_what_is_stored(void **state)
{
        (void)state;
        struct caster c;
        t.node[0].standby = true;
        begin_role(&c, OPEN_BACKUP);
        send_media(&c, 0, 30);
        UNTIL(t.node[0].batches == 3);
        assert_int_equal(t.node[0].empty, 3);
        assert_int_equal(t.node[0].fresh, 1); /* nothing came since */
        assert_int_equal(stats_get(STAT_STANDBY), 1);
        send_media(&c, 30, 110);
        t.node[0].stored_us = 3500 * MS;
        UNTIL(t.node[0].fresh == 2);
        assert_int_equal(t.node[0].taken_count, 0);
        t.node[0].standby = false;
        UNTIL(t.node[0].taken_count >= 2 * 35);
        assert_pictures(&t.node[0], 0, 75, 35);
        assert_int_equal(stats_get(STAT_STANDBY), 0);
        t.node[0].standby = true; /* the other one again: what is sent now is not taken */
        send_media(&c, 110, 111);
        UNTIL(stats_get(STAT_STANDBY) == 1);
        unsigned taken = t.node[0].taken_count;
        send_media(&c, 111, 120);
        t.node[0].stored_us = 4 * US_PER_S;
        unsigned fresh = t.node[0].fresh;
        UNTIL(t.node[0].fresh > fresh);
        assert_int_equal(t.node[0].taken_count, taken);
        t.node[0].standby = false;
        UNTIL(t.node[0].taken_count > taken);
        assert_pictures(&t.node[0], taken, 100, 20);
        end(&c, CLOSE_STOPPED);
}

static void test_one_that_stands_by_asks_who_has_the_stream_after_the_active_one_had_time_to_move(void **state)
{
        (void)state;
        struct caster c;
        t.node[0].standby = t.node[1].standby = true;
        begin_role(&c, OPEN_BACKUP);
        send_media(&c, 0, 30);
        UNTIL(t.node[0].batches == 2);
        t.node[0].lost = true;
        t.node[1].holds = true;
        int64_t lost_us = clock_mono_us();
        UNTIL(t.node[1].opens == 1);
        assert_true(clock_mono_us() - lost_us >= RELAY_FOLLOW_MS * MS); /* timer_start() is never early */
        assert_int_equal(t.node[1].open.when, OPEN_IF_HELD);
        assert_int_equal(t.node[1].open.role, OPEN_BACKUP);
        end(&c, CLOSE_STOPPED);
}

static void test_a_backup_that_was_active_is_so_at_the_next_transcoder(void **state)
{
        (void)state;
        struct caster c;
        begin_role(&c, OPEN_BACKUP);
        send_media(&c, 0, 10);
        UNTIL(t.node[0].taken_count == 20);
        t.node[0].lost = true;
        send_media(&c, 10, 11);
        UNTIL(t.node[1].opens == 1);
        assert_int_equal(t.node[1].open.role, OPEN_BACKUP_NOW);
        end(&c, CLOSE_STOPPED);
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
        UNTIL(t.ingest.count == 0);
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
        log_init("test", LOG_ERROR);
        const struct CMUnitTest tests[] = {
                TEST(test_opens_at_the_first_keyframe_once_both_tracks_are_known),
                TEST(test_waits_for_sound_only_so_long),
                TEST(test_metadata_saves_the_wait_for_a_track_that_will_not_come),
                TEST(test_metadata_that_names_one_track_shortens_the_wait_for_the_other),
                TEST(test_sound_alone_opens_after_the_wait_for_pictures),
                TEST(test_sound_alone_opens_at_once_when_metadata_says_so),
                TEST(test_a_broadcast_that_never_became_media_leaves_no_trace),
                TEST(test_a_broadcast_shorter_than_the_wait_is_relayed_whole),
                TEST(test_repeated_configurations_are_dropped_and_changed_ones_passed_on),
                TEST(test_a_late_track_is_announced_by_its_configuration),
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
                TEST(test_a_primary_and_a_backup_of_one_name_are_both_live),
                TEST(test_one_that_stands_by_tells_that_it_is_there_and_goes_on_from_what_is_stored),
                TEST(test_one_that_stands_by_asks_who_has_the_stream_after_the_active_one_had_time_to_move),
                TEST(test_a_backup_that_was_active_is_so_at_the_next_transcoder),
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
                TEST(test_one_batch_is_in_flight_and_the_next_one_gathers),
                TEST(test_streams_that_are_due_together_share_a_message),
                TEST(test_a_lost_message_is_every_streams_loss_and_no_others),
                TEST(test_a_transcoder_that_does_not_take_many_gets_them_one_by_one),
                TEST(test_malformed_lists_of_batches_are_refused),
                TEST(test_without_credit_only_empty_batches_are_sent),
                TEST(test_an_idle_stream_shows_that_it_is_there),
                TEST(test_times_move_to_the_epoch_of_a_session_that_goes_on),
                TEST(test_a_new_session_in_mid_stream_begins_at_zero),
                TEST(test_a_stream_follows_the_transcoders_clock_where_that_is_another),
                TEST(test_a_session_that_goes_on_is_joined_by_the_transcoders_clock),
                TEST(test_a_newcomer_takes_the_stream_over_once_the_old_one_is_closed),
                TEST(test_streams_of_other_names_are_left_alone),
                TEST(test_publishers_are_limited_but_may_take_over),
                TEST(test_the_buffer_stays_within_its_limit_while_nothing_takes_the_stream),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
