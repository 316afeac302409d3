/* publication and relay: from FLV tags to a transcoder, which is played by this test over struct transcoder_link. */
#include "tests/unit/fake_transcoders.h"
#include "tests/unit/said.h"

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

/* Pictures that take 1.2 s longer than their sound, each from timestamp 0. */
static void test_who_sends_nonsense_without_end_is_not_read_until_time_has_passed(void **state)
{
        (void)state;
        static const char good[] = "\2\0\12onTextData\2\0\2hi", bad[] = "\2\0\12onTextData\377";
        struct caster c;
        int64_t heard = stats_get(STAT_CUES), dropped = stats_get(STAT_CUES_DROPPED);
        begin(&c, "cam");
        publication_cue(c.p, (const uint8_t *)good, sizeof(good) - 1, 0);
        assert_int_equal(stats_get(STAT_CUES), heard + 1);
        for (int i = 0; i < 3000; i++)
                publication_cue(c.p, (const uint8_t *)bad, sizeof(bad) - 1, 0);
        publication_cue(c.p, (const uint8_t *)good, sizeof(good) - 1, 0);
        assert_int_equal(stats_get(STAT_CUES_DROPPED), dropped + 3001);
        t.now_us += US_PER_S;
        publication_cue(c.p, (const uint8_t *)good, sizeof(good) - 1, 0);
        assert_int_equal(stats_get(STAT_CUES), heard + 2);
        end(&c, CLOSE_STOPPED);
}

static void test_sound_that_comes_before_the_first_picture_is_kept_for_it(void **state)
{
        (void)state;
        struct caster c;
        begin(&c, "cam");
        send_configs(&c);
        for (int n = 0; n < 60; n++) {
                t.now_us = 40 * n * MS;
                c.at_ms = 40 * (n - 30);
                if (n >= 30)
                        send_frame(&c, TRACK_VIDEO, n % 25 == 5 ? FRAME_KEY : 0, "v");
                c.at_ms = 40 * n;
                send_frame(&c, TRACK_AUDIO, FRAME_KEY, "s");
        }
        end(&c, CLOSE_STOPPED);
        UNTIL(t.node[0].closes == 1);
        int64_t pictures = 0, sounds = 0;
        for (unsigned i = 0; i < t.node[0].taken_count; i++) {
                int64_t *next = t.node[0].taken[i].track == TRACK_VIDEO ? &pictures : &sounds;
                assert_int_equal(t.node[0].taken[i].dts_us, 40 * (*next)++ * MS);
        }
        assert_int_equal(pictures, 30);
        assert_int_equal(sounds, 60);
}

/* Who joins a broadcast in mid-group hears nothing that belongs to what is not seen. */
static void test_sound_from_before_the_first_picture_is_dropped(void **state)
{
        (void)state;
        struct caster c;
        begin(&c, "cam");
        send_configs(&c);
        int64_t dropped = stats_get(STAT_DROPPED_FRAMES);
        send_media(&c, 10, 50); /* the first keyframe is number 25 */
        end(&c, CLOSE_STOPPED);
        UNTIL(t.node[0].closes == 1);
        assert_int_equal(t.node[0].taken_count, 50);
        assert_int_equal(t.node[0].taken[0].dts_us, 0);
        assert_int_equal(t.node[0].taken[1].dts_us, 0);
        assert_int_equal(stats_get(STAT_DROPPED_FRAMES) - dropped, 30);
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
        UNTIL(t.node[0].taken_count == 60); /* what was heard while pictures were waited for too */
        for (int n = 0; n < 60; n++)
                assert_int_equal(t.node[0].taken[n].dts_us, 40 * n * MS);
        assert_int_equal(t.node[0].open.epoch_us, WALL);
        end(&c, CLOSE_STOPPED);
}

static void test_sound_alone_that_comes_all_at_once_is_relayed_whole(void **state)
{
        (void)state;
        struct caster c;
        begin(&c, "radio");
        send_frame(&c, TRACK_AUDIO, FRAME_CONFIG, "asc1");
        for (int n = 0; n < 100; n++) {
                c.at_ms = 40 * n + 7200000;
                send_frame(&c, TRACK_AUDIO, FRAME_KEY, "s");
        }
        end(&c, CLOSE_STOPPED);
        UNTIL(t.node[0].closes == 1);
        assert_int_equal(t.node[0].taken_count, 100);
        for (int n = 0; n < 100; n++)
                assert_int_equal(t.node[0].taken[n].dts_us, 40 * n * MS);
}

/* The wait for pictures may be set to be longer than what is kept for them. */
static void test_sound_alone_that_comes_all_at_once_does_not_pass_unheard(void **state)
{
        (void)state;
        struct caster c;
        t.limits.track_wait_ms = 10000;
        begin(&c, "radio");
        send_frame(&c, TRACK_AUDIO, FRAME_CONFIG, "asc1");
        for (int n = 0; n < 2000; n++) {
                c.at_ms = 20 * n;
                send_frame(&c, TRACK_AUDIO, FRAME_KEY, "s");
        }
        end(&c, CLOSE_STOPPED);
        UNTIL(t.node[0].closes == 1);
        assert_in_range(t.node[0].taken_count, 1500, 2000); /* those after the wait, and what was kept */
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
        UNTIL(t.publications.count == 0);
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
        UNTIL(t.publications.count == 0);
        assert_int_equal(t.node[0].taken_count, 10);
        assert_int_equal(t.node[0].closes, 1);
}

static void test_pictures_without_a_keyframe_are_told_and_counted_while_sound_goes_on(void **state)
{
        (void)state;
        struct caster c;
        int64_t before = stats_get(STAT_DROPPED_FRAMES);
        begin(&c, "cam");
        send_configs(&c);
        log_set_level(LOG_WARN);
        listen_to_log();
        for (int n = 0; n < 300; n++) {
                c.at_ms = 40 * n;
                t.now_us = 40 * n * MS;
                send_frame(&c, TRACK_VIDEO, 0, "v");
                send_frame(&c, TRACK_AUDIO, FRAME_KEY, "s");
        }
        end_listening();
        log_set_level(LOG_ERROR);
        assert_int_equal(times_said("there was no keyframe yet"), 2); /* after 5 s, and again */
        end(&c, CLOSE_STOPPED);
        UNTIL(t.publications.count == 0);
        assert_int_equal(t.node[0].taken_count + (unsigned)(stats_get(STAT_DROPPED_FRAMES) - before), 600);
        assert_in_range(t.node[0].taken_count, 200, 300);
}

static int breaks_taken(const struct node *n)
{
        int count = 0;
        for (unsigned i = 0; i < n->taken_count; i++)
                count += n->taken[i].flags & FRAME_BREAK ? 1 : 0;
        return count;
}

static void test_only_a_connections_first_frames_begin_anew(void **state)
{
        (void)state;
        struct caster c;
        int64_t before = stats_get(STAT_BREAKS);
        begin(&c, "cam");
        send_configs(&c);
        send_media(&c, 0, 30);
        send_media(&c, 60, 70); /* a hole of 1.2 s */
        pump();
        assert_int_equal(stats_get(STAT_BREAKS), before);
        c.at_ms = 3600000; /* its clock jumps, what it encodes goes on */
        send_frame(&c, TRACK_VIDEO, 0, "v");
        send_frame(&c, TRACK_AUDIO, FRAME_KEY, "s");
        pump();
        assert_int_equal(stats_get(STAT_BREAKS), before + 2);
        assert_int_equal(t.node[0].taken_count, 82);
        assert_int_equal(breaks_taken(&t.node[0]), 2); /* of each track the first */
        end(&c, CLOSE_STOPPED);
        UNTIL(t.publications.count == 0);
        begin(&c, "cam");
        send_configs(&c);
        send_media(&c, 100, 102);
        end(&c, CLOSE_STOPPED);
        UNTIL(t.publications.count == 0);
        assert_int_equal(t.node[0].taken_count, 86);
        assert_int_equal(breaks_taken(&t.node[0]), 4);
}

/* Configurations -------------------------------------------------------------------------------------------------- */

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

static void test_configurations_that_change_all_the_time_are_all_passed_on_and_told_now_and_then(void **state)
{
        (void)state;
        struct caster c;
        begin(&c, "cam");
        send_configs(&c);
        log_set_level(LOG_INFO);
        listen_to_log();
        for (int n = 0; n < 300; n += 25) {
                send_media(&c, n, n + 25);
                send_frame(&c, TRACK_VIDEO, FRAME_CONFIG, n % 2 ? "avcC1" : "avcC2");
                pump();
        }
        end_listening();
        log_set_level(LOG_ERROR);
        assert_int_equal(configs_taken(&t.node[0]), 12);
        assert_int_equal(times_said("codec configuration changed"), 3);
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

/* Of a difference that was none: an answer that was 1.18 s late was taken for one, and the broadcast stayed late. */
static void test_a_clock_that_was_taken_to_be_ahead_is_put_right_and_no_media_jumps(void **state)
{
        (void)state;
        struct caster c;
        t.node[0].skew_us = 1180 * MS;
        begin_and_send(&c);
        const struct node *n = &t.node[0];
        assert_int_equal(n->taken[38].dts_us, 19 * 40 * MS);
        t.node[0].clock = (struct clock_ahead){.known = true, .error_us = MS};
        int64_t before_us = 19 * 40 * MS, now_us = 0;
        for (int i = 20; i < 15000; i++) {
                c.at_ms = 40 * i;
                t.now_us = 40 * i * MS;
                send_frame(&c, TRACK_VIDEO, i % 25 == 0 ? FRAME_KEY : 0, "v");
                pump();
                const struct frame *f = &n->taken[n->taken_count - 1];
                now_us = f->dts_us;
                assert_in_range(now_us - before_us, 39 * MS, 41 * MS);
                assert_false(f->flags & FRAME_BREAK);
                before_us = now_us;
                t.node[0].stored_us = now_us - 2 * US_PER_S;
                t.node[0].taken_count = 40;
        }
        /* By the proxy's clock, which is the transcoder's: as late as the noise of two clocks at most. */
        assert_in_range(now_us + 1180 * MS - 14999 * 40 * MS, 0, 150 * MS);
        end(&c, CLOSE_STOPPED);
}

static void test_a_transcoder_is_told_how_far_its_clock_is_ahead_and_not_what_may_be_a_slow_answer(void **state)
{
        (void)state;
        struct caster c;
        t.node[0].clock = (struct clock_ahead){.known = true, .ahead_us = 600 * MS, .error_us = 600 * MS};
        begin_and_send(&c);
        assert_int_equal(t.node[0].open.ahead_us, 0);
        end(&c, CLOSE_STOPPED);
        t.node[0].taken_count = 0;
        t.now_us = 0;
        t.node[0].clock = (struct clock_ahead){.known = true, .ahead_us = 600 * MS, .error_us = 20 * MS};
        begin_and_send(&c);
        assert_int_equal(t.node[0].open.ahead_us, 600 * MS);
        end(&c, CLOSE_STOPPED);
}

static void test_the_clock_of_a_transcoder_whose_session_keeps_its_time_is_not_followed(void **state)
{
        (void)state;
        struct caster c;
        t.node[0].keeps_time = true;
        t.node[0].clock = (struct clock_ahead){.known = true, .ahead_us = 5 * US_PER_S};
        begin_and_send(&c);
        for (int i = 20; i < 500; i++) {
                c.at_ms = 40 * i;
                t.now_us = 40 * i * MS;
                send_frame(&c, TRACK_VIDEO, i % 25 == 0 ? FRAME_KEY : 0, "v");
                pump();
        }
        assert_int_equal(t.node[0].taken[t.node[0].taken_count - 1].dts_us, 499 * 40 * MS);
        end(&c, CLOSE_STOPPED);
}

/* By a clock that is an hour behind the proxy's what stays late is seen at once too, not only when that hour is over. */
static void test_what_stays_late_by_the_transcoders_clock_is_moved_up(void **state)
{
        (void)state;
        struct caster c;
        t.node[0].skew_us = -3600 * US_PER_S;
        begin_and_send(&c);
        for (int n = 20; n < 300; n++) { /* it stood still for five seconds, and its timestamps with it */
                c.at_ms = 40 * n;
                t.now_us = 40 * n * MS + 5 * US_PER_S;
                send_frame(&c, TRACK_VIDEO, n % 25 == 0 ? FRAME_KEY : 0, "v");
                send_frame(&c, TRACK_AUDIO, FRAME_KEY, "s");
                pump();
        }
        const struct node *n = &t.node[0];
        assert_int_equal(n->taken_count, 600);
        assert_in_range(n->taken[598].dts_us, 299 * 40 * MS + 4900 * MS, 299 * 40 * MS + 5100 * MS);
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
        assert_int_equal(t.publications.live, 1);
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

/* Whatever each of them may keep: the one that keeps most loses its oldest pictures, and the other none. */
static void test_the_buffers_of_all_streams_stay_within_their_limit_together(void **state)
{
        (void)state;
        struct caster large, small;
        budget_init(&t.publications.replays, 1 << 20);
        t.node[0].listed = t.node[1].listed = false;
        begin(&small, "small");
        send_configs(&small);
        send_media(&small, 0, 500);
        begin(&large, "large");
        send_configs(&large);
        int64_t lost = stats_get(STAT_LOST_FRAMES), of_small = stats_get(STAT_REPLAY_BYTES);
        send_media(&large, 0, 6000);
        assert_true(stats_get(STAT_LOST_FRAMES) > lost);
        assert_in_range(stats_get(STAT_REPLAY_BYTES), 1 << 19, 1 << 20);
        end(&large, CLOSE_LOST);
        UNTIL(t.publications.count == 1);
        assert_int_equal(stats_get(STAT_REPLAY_BYTES), of_small);
        assert_int_equal(t.publications.replays.bytes, of_small);
        t.node[0].listed = true;
        UNTIL(t.node[0].opens == 1);
        end(&small, CLOSE_LOST);
        UNTIL(t.node[0].closes == 1);
        assert_int_equal(t.node[0].taken_count, 1000);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_opens_at_the_first_keyframe_once_both_tracks_are_known),
                TEST(test_waits_for_sound_only_so_long),
                TEST(test_metadata_saves_the_wait_for_a_track_that_will_not_come),
                TEST(test_metadata_that_names_one_track_shortens_the_wait_for_the_other),
                TEST(test_who_sends_nonsense_without_end_is_not_read_until_time_has_passed),
                TEST(test_sound_that_comes_before_the_first_picture_is_kept_for_it),
                TEST(test_sound_from_before_the_first_picture_is_dropped),
                TEST(test_sound_alone_opens_after_the_wait_for_pictures),
                TEST(test_sound_alone_that_comes_all_at_once_is_relayed_whole),
                TEST(test_sound_alone_that_comes_all_at_once_does_not_pass_unheard),
                TEST(test_sound_alone_opens_at_once_when_metadata_says_so),
                TEST(test_a_broadcast_that_never_became_media_leaves_no_trace),
                TEST(test_a_broadcast_shorter_than_the_wait_is_relayed_whole),
                TEST(test_pictures_without_a_keyframe_are_told_and_counted_while_sound_goes_on),
                TEST(test_only_a_connections_first_frames_begin_anew),
                TEST(test_repeated_configurations_are_dropped_and_changed_ones_passed_on),
                TEST(test_configurations_that_change_all_the_time_are_all_passed_on_and_told_now_and_then),
                TEST(test_a_late_track_is_announced_by_its_configuration),
                TEST(test_times_move_to_the_epoch_of_a_session_that_goes_on),
                TEST(test_a_new_session_in_mid_stream_begins_at_zero),
                TEST(test_a_stream_follows_the_transcoders_clock_where_that_is_another),
                TEST(test_a_clock_that_was_taken_to_be_ahead_is_put_right_and_no_media_jumps),
                TEST(test_a_transcoder_is_told_how_far_its_clock_is_ahead_and_not_what_may_be_a_slow_answer),
                TEST(test_the_clock_of_a_transcoder_whose_session_keeps_its_time_is_not_followed),
                TEST(test_what_stays_late_by_the_transcoders_clock_is_moved_up),
                TEST(test_a_session_that_goes_on_is_joined_by_the_transcoders_clock),
                TEST(test_a_newcomer_takes_the_stream_over_once_the_old_one_is_closed),
                TEST(test_streams_of_other_names_are_left_alone),
                TEST(test_publishers_are_limited_but_may_take_over),
                TEST(test_the_buffer_stays_within_its_limit_while_nothing_takes_the_stream),
                TEST(test_the_buffers_of_all_streams_stay_within_their_limit_together),
        };
        log_init("test", LOG_ERROR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
