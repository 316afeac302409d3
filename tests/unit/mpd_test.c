#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "originD/manifest.h"
#include "tests/unit/origin_store.h"

static struct manifest_options opts = {.latency_bound_ms = 300, .target_latency_ms = 500, .time_shift_s = 60, .classic_s = 4, .update_s = 2, .public_url = ""};
static char text[16384];

static const char *write_mpd(const struct session *s, bool entry)
{
        struct buf *b = manifest_mpd.write(s, &opts, entry);
        assert_true(b->len < sizeof(text));
        memcpy(text, b->data, b->len);
        text[b->len] = '\0';
        buf_unref(&b);
        return text;
}

static int count(const char *what)
{
        int n = 0;
        for (const char *p = text; (p = strstr(p, what)); p++)
                n++;
        return n;
}

#define EPOCH INT64_C(1769863296000000) /* 2026-01-31T12:41:36Z */

static struct session *broadcast(unsigned seconds)
{
        int err;
        struct session *s = claim("cam", "S1", EPOCH, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        assert_int_equal(add_track(s, "a128", fmp4_audio_init(), 0), 0);
        for (unsigned n = 0; n < seconds; n++) {
                for (unsigned k = 0; k < 5; k++)
                        assert_int_equal(put_video(s, "v720", n, k), 0);
                assert_int_equal(put_audio(s, "a128", n), 0);
        }
        return s;
}

static void test_live_manifest_has_what_low_latency_players_need(void **state)
{
        (void)state;
        struct session *s = broadcast(2);
        s->tracks[0]->fps_milli = 25000;
        write_mpd(s, true);
        assert_int_equal(count("type=\"dynamic\""), 1);
        assert_int_equal(count("availabilityStartTime=\"2026-01-31T12:41:36.300Z\""), 1);
        assert_int_equal(count("availabilityTimeComplete=\"false\""), 2); /* every Representation, sound too */
        assert_int_equal(count("availabilityTimeOffset=\"0.8\""), 2);
        s->chunk_ms = CHUNK_MS_SHORT; /* only for this look: what is stored is on the other */
        write_mpd(s, true);
        assert_int_equal(count("availabilityTimeOffset=\"0.9\""), 2);
        assert_int_equal(count("<Resync type=\"0\" dT=\"12601\"/>"), 1);
        s->chunk_ms = CHUNK_MS;
        write_mpd(s, true);
        assert_int_equal(count("startNumber=\"0\""), 2);
        assert_int_equal(count("duration=\"90000\""), 1);
        assert_int_equal(count("duration=\"48000\""), 1);
        assert_int_equal(count("minimumUpdatePeriod=\"PT2S\""), 1);
        assert_int_equal(count("timeShiftBufferDepth=\"PT2S\""), 1);
        assert_int_equal(count("<Latency target=\"800\" min=\"550\" max=\"60300\" referenceId=\"1\"/>"), 1);
        assert_int_equal(count("suggestedPresentationDelay=\"PT0.5S\""), 1);
        assert_int_equal(count("<ProducerReferenceTime id=\"1\" inband=\"true\" type=\"captured\""), 1);
        assert_int_equal(count("<ProducerReferenceTime id=\"2\" inband=\"true\" type=\"captured\""), 1);
        assert_int_equal(count("profiles=\"urn:mpeg:dash:profile:isoff-live:2011,http://www.dashif.org/guidelines/low-latency-live-v5\""), 1);
        assert_int_equal(count("<PlaybackRate min=\"0.96\" max=\"1.04\"/>"), 1);
        assert_int_equal(count("urn:mpeg:dash:utc:http-xsdate:2014\" value=\"/time\""), 3);
        assert_int_equal(count("wallClockTime=\"2026-01-31T12:41:36.000Z\" presentationTime=\"0\""), 2);
        assert_int_equal(count("codecs=\"avc1.64001f\""), 1);
        assert_int_equal(count("codecs=\"mp4a.40.2\""), 1);
        assert_int_equal(count("frameRate=\"25\""), 1);
        assert_int_equal(count("<AdaptationSet"), 2);
        assert_int_equal(count("media=\"S1/$RepresentationID$/$Number$.m4s\""), 2);
        write_mpd(s, false);
        assert_int_equal(count("media=\"$RepresentationID$/$Number$.m4s\""), 2);
}

static void test_a_manifest_tells_players_to_ask_where_to_load_from_only_if_that_is_wanted(void **state)
{
        (void)state;
        struct session *s = broadcast(2);
        write_mpd(s, true);
        assert_int_equal(count("BaseURL"), 0);
        assert_int_equal(count("ContentSteering"), 0);
        opts.steering = true;
        write_mpd(s, true);
        assert_int_equal(count("<BaseURL serviceLocation=\"here\">./</BaseURL>"), 1);
        assert_int_equal(count("<ContentSteering defaultServiceLocation=\"here\">/steering</ContentSteering>"), 1);
        assert_true(strstr(text, "<BaseURL") < strstr(text, "<ContentSteering")); /* in this order, and before the service's description */
        assert_true(strstr(text, "<ContentSteering") < strstr(text, "<ServiceDescription"));
        opts.public_url = "https://live.example.org";
        write_mpd(s, false);
        assert_int_equal(count(">https://live.example.org/steering</ContentSteering>"), 1);
        opts.public_url = "";
        opts.steering = false;
}

static const char *write_classic(const struct session *s)
{
        struct buf *b = manifest_classic_mpd.write(s, &opts, false);
        assert_true(b->len < sizeof(text));
        memcpy(text, b->data, b->len);
        text[b->len] = '\0';
        buf_unref(&b);
        return text;
}

static void test_old_players_are_told_segments_of_several_seconds_and_nothing_of_low_latency(void **state)
{
        (void)state;
        struct session *s = broadcast(9);
        write_classic(s);
        assert_int_equal(count("media=\"$RepresentationID$/$Number$x4.m4s\""), 2);
        assert_int_equal(count("duration=\"360000\" startNumber=\"0\""), 1);
        assert_int_equal(count("duration=\"192000\" startNumber=\"0\""), 1);
        assert_int_equal(count("maxSegmentDuration=\"PT4S\" minBufferTime=\"PT4S\""), 1);
        assert_int_equal(count("suggestedPresentationDelay=\"PT12S\""), 1);
        assert_int_equal(count("profiles=\"urn:mpeg:dash:profile:isoff-live:2011\""), 1);
        assert_int_equal(count("availabilityTime"), 0);
        assert_int_equal(count("Latency"), 0);
        assert_int_equal(count("Resync"), 0);
        assert_int_equal(count("ProducerReferenceTime"), 0);
        end_session(s);
        write_classic(s);
        assert_int_equal(count("type=\"static\""), 1);
        assert_int_equal(count("mediaPresentationDuration=\"PT9S\""), 1);
}

/* A track that joins in second 5 begins a Period where a segment of four begins that is whole. */
static void test_a_period_of_joined_seconds_begins_where_such_a_segment_does(void **state)
{
        (void)state;
        struct session *s = broadcast(6);
        assert_int_equal(add_track(s, "v360", fmp4_video_init(), 5000000), 0);
        for (unsigned n = 5; n < 12; n++)
                for (unsigned k = 0; k < 5; k++)
                        assert_int_equal(put_video(s, "v360", n, k), 0);
        write_classic(s);
        assert_int_equal(count("<Period "), 2);
        assert_int_equal(count("<Period id=\"p8\" start=\"PT8S\""), 1);
        assert_int_equal(count("startNumber=\"2\" presentationTimeOffset=\"720000\""), 2);
}

/* Until it is as old as the window: then viewers can go back further every other second. */
static void test_live_manifest_does_not_change_as_media_comes(void **state)
{
        (void)state;
        struct session *s = broadcast(70);
        struct buf *before = manifest_mpd.write(s, &opts, true);
        for (unsigned n = 70; n < 74; n++) {
                assert_int_equal(put_video(s, "v720", n, 0), 0);
                assert_int_equal(put_audio(s, "a128", n), 0);
        }
        struct buf *after = manifest_mpd.write(s, &opts, true);
        assert_int_equal(before->len, after->len);
        assert_memory_equal(before->data, after->data, before->len);
        buf_unref(&before);
        buf_unref(&after);
}

/* Of the first attribute with this name. */
static const char *attribute(const char *name)
{
        static char value[64];
        char begin[64];
        snprintf(begin, sizeof(begin), "%s=\"", name);
        const char *at = strstr(text, begin);
        assert_non_null(at);
        assert_int_equal(sscanf(at + strlen(begin), "%63[^\"]", value), 1);
        return value;
}

/* What dash.js makes of Latency, and what others make of suggestedPresentationDelay, is the same place. */
static void test_latency_counts_from_capture_as_the_delay_counts_from_availability(void **state)
{
        (void)state;
        static const int64_t bounds_ms[] = {0, 300, 1000, 60000};
        struct session *s = broadcast(1);
        for (size_t i = 0; i < sizeof(bounds_ms) / sizeof(bounds_ms[0]); i++) {
                opts.latency_bound_ms = bounds_ms[i];
                write_mpd(s, true);
                int64_t target_ms = atoll(attribute("<Latency target"));
                double delay_s = atof(attribute("suggestedPresentationDelay") + 2);
                assert_int_equal(target_ms - bounds_ms[i], delay_s * 1000);
                assert_true(delay_s > 0);
                assert_true(atoll(attribute(" min")) > bounds_ms[i] && atoll(attribute(" max")) > target_ms);
        }
        opts.latency_bound_ms = 300;
}

static int64_t depth(const struct session *s)
{
        write_mpd(s, true);
        return atoll(attribute("timeShiftBufferDepth") + 2);
}

/* FFmpeg's reader subtracts it from the broadcast's age without a sign: longer than that, it repeats and leaves out seconds. */
static void test_nobody_is_told_to_go_back_further_than_the_broadcast_is_old(void **state)
{
        (void)state;
        static const struct {
                int64_t bound_ms, time_shift_s;
                unsigned age_s;
                int64_t depth_s;
        } cases[] = {
                {300, 60, 1, 2}, {300, 60, 3, 2}, {300, 60, 5, 3}, {300, 60, 13, 10}, {300, 60, 40, 38}, {300, 60, 61, 58}, {300, 60, 62, 60}, {300, 60, 80, 60},
                {300, 45, 46, 44}, {300, 45, 47, 45}, {300, 45, 48, 45},
                {5000, 60, 12, 6}, {300, 3, 2, 2}, {300, 3, 30, 3}, {300, 86400, 59, 56}, {300, 86400, 89, 80}, {300, 86400, 92, 90},
        };
        struct session *s = broadcast(1);
        unsigned stored_s = 1;
        for (unsigned age_s = 1; age_s <= 92; age_s++) {
                for (; stored_s < age_s; stored_s++)
                        assert_int_equal(put_audio(s, "a128", stored_s), 0);
                for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                        if (cases[i].age_s != age_s)
                                continue;
                        opts.latency_bound_ms = cases[i].bound_ms;
                        opts.time_shift_s = cases[i].time_shift_s;
                        assert_int_equal(depth(s), cases[i].depth_s);
                }
                opts.latency_bound_ms = 300;
                opts.time_shift_s = 60;
                assert_true(age_s < 3 || depth(s) < age_s);
        }
}

/* dash.js throws back to the live edge who is further behind than this says. */
static void test_who_is_in_the_window_is_not_too_late_for_it(void **state)
{
        (void)state;
        static const int64_t windows_s[] = {2, 60, 86400};
        struct session *s = broadcast(1);
        for (size_t i = 0; i < sizeof(windows_s) / sizeof(windows_s[0]); i++) {
                opts.time_shift_s = windows_s[i];
                write_mpd(s, true);
                assert_int_equal(atoll(attribute(" max")), 300 + windows_s[i] * 1000);
        }
        opts.time_shift_s = 2;
        opts.target_latency_ms = 6000; /* never less than the target */
        write_mpd(s, true);
        assert_int_equal(atoll(attribute(" max")), 6300);
        opts.time_shift_s = 60;
        opts.target_latency_ms = 500;
}

static void test_the_clock_is_named_where_viewers_find_it(void **state)
{
        (void)state;
        struct session *s = broadcast(1);
        write_mpd(s, true);
        assert_int_equal(count("value=\"/time\"/>\n</MPD>"), 1);
        opts.public_url = "https://live.example.org";
        write_mpd(s, true);
        assert_int_equal(count("http-xsdate:2014\" value=\"https://live.example.org/time\"/>"), 3); /* that of each capture too */
        const char *whole = strstr(text, "org/time\"/>\n  <UTCTiming"); /* the first one that a player tries */
        assert_non_null(whole);
        assert_non_null(strstr(whole, "value=\"/time\"/>\n</MPD>")); /* for those who cannot reach it */
        opts.public_url = "";
}

static void test_resync_says_where_decoders_can_begin(void **state)
{
        (void)state;
        struct session *s = broadcast(1);
        s->tracks[0]->fps_milli = 30000;
        write_mpd(s, true);
        assert_int_equal(count("<Resync type=\"1\" dT=\"93001\" marker=\"true\"/>\n        <Resync type=\"0\" dT=\"21001\"/>"), 1);
        assert_int_equal(count("<Resync type=\"1\" dT=\"49024\" marker=\"true\"/>\n        <Resync type=\"1\" dT=\"10624\"/>"), 1);
}

static void published(const struct session *s, char dst[64])
{
        write_mpd(s, true);
        strcpy(dst, attribute("publishTime"));
}

static void test_publish_time_changes_when_the_manifest_does_and_only_then(void **state)
{
        (void)state;
        char first[64], joined[64], late[64], deeper[64], titled[64], again[64];
        struct session *s = broadcast(2);
        published(s, first);
        assert_int_equal(strncmp(first, "2026-01-31T12:41:36.002", 23), 0); /* not in the future: both began with the epoch */
        assert_int_equal(put_video(s, "v720", 2, 0), 0);
        published(s, again);
        assert_string_equal(again, first);
        assert_int_equal(add_track(s, "v480", fmp4_init_with(1, 854, 480, -2), 0), 0);
        assert_int_equal(put_video(s, "v480", 2, 0), 0); /* from the beginning, but playable only now */
        published(s, joined);
        assert_true(strcmp(joined, first) > 0);
        assert_int_equal(add_track(s, "v360", fmp4_init_with(1, 640, 360, -2), 2500000), 0);
        assert_int_equal(put_video(s, "v360", 3, 0), 0);
        published(s, late);
        assert_true(strcmp(late, joined) > 0);
        for (unsigned n = 3; n < 6; n++)
                assert_int_equal(put_audio(s, "a128", n), 0);
        published(s, deeper);
        assert_true(strcmp(deeper, late) > 0);
        assert_int_equal(strncmp(deeper, "2026-01-31T12:41:41.304", 23), 0); /* not in the future: four seconds back, five after AST */
        session_set_title(s, "another");
        published(s, titled);
        assert_string_not_equal(titled, deeper);
        stop_store();
        start_store();
        s = store_session(&store, "S1");
        session_set_title(s, "another");
        published(s, again);
        assert_string_equal(again, titled); /* after a restart, and so at another origin */
}

static void test_a_set_goes_on_from_the_earlier_period_only_if_that_has_it(void **state)
{
        (void)state;
        int err;
        struct session *s = claim("cam", "S1", EPOCH, &err);
        assert_int_equal(add_track(s, "a128", fmp4_audio_init(), 0), 0);
        for (unsigned n = 0; n < 5; n++)
                assert_int_equal(put_audio(s, "a128", n), 0);
        write_mpd(s, true);
        assert_int_equal(count("<ProducerReferenceTime id=\"2\""), 1);
        assert_int_equal(count("referenceId=\"2\""), 1); /* there is no picture that it could be of */
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 3 * US_PER_S), 0);
        assert_int_equal(put_video(s, "v720", 3, 0), 0);
        write_mpd(s, true);
        assert_int_equal(count("<Period "), 2);
        assert_int_equal(count("period-continuity:2015\" value=\"p0\""), 1);
        const char *video = strstr(text, "contentType=\"video\""), *sound = strstr(strstr(text, "<Period id=\"p3\""), "\"audio\"");
        const char *property = strstr(text, "period-continuity");
        assert_true(video && property > video && property > sound); /* the sound's */
}

static void test_undeclared_facts_do_not_change_with_each_segment(void **state)
{
        (void)state;
        struct session *s = broadcast(2);
        s->tracks[0]->bandwidth = s->tracks[0]->fps_milli = 0;
        write_mpd(s, true);
        assert_int_equal(count("bandwidth=\"2764800\""), 1);
        assert_int_equal(count("frameRate"), 0);
}

static void test_late_track_begins_a_period_with_the_same_numbers(void **state)
{
        (void)state;
        struct session *s = broadcast(4);
        assert_int_equal(add_track(s, "v360", fmp4_init_with(1, 640, 360, -2), 2500000), 0);
        assert_int_equal(put_video(s, "v360", 3, 0), 0);
        write_mpd(s, true);
        assert_int_equal(count("<Period "), 2);
        assert_int_equal(count("<Period id=\"p3\" start=\"PT3S\">"), 1); /* its first whole second */
        assert_int_equal(count("id=\"v360\""), 1);
        assert_int_equal(count("id=\"v720\""), 2);
        assert_int_equal(count("startNumber=\"3\" presentationTimeOffset=\"270000\""), 2);
        assert_int_equal(count("startNumber=\"3\" presentationTimeOffset=\"144000\""), 1);
        assert_int_equal(count("period-continuity"), 2);
        assert_int_equal(count("<ProducerReferenceTime"), 4);
        for (int id = 1; id <= 4; id++) { /* each once */
                char begin[48];
                snprintf(begin, sizeof(begin), "<ProducerReferenceTime id=\"%d\"", id);
                assert_int_equal(count(begin), 1);
        }
}

static void test_recording_is_static_and_names_only_segments_that_are_there(void **state)
{
        (void)state;
        struct session *s = broadcast(3);
        assert_int_equal(put_audio(s, "a128", 3), 0); /* sound goes on for longer than the picture */
        assert_int_equal(end_session(s), 0);
        write_mpd(s, false);
        assert_int_equal(count("type=\"static\""), 1);
        assert_int_equal(count("mediaPresentationDuration=\"PT3S\""), 1);
        assert_int_equal(count("<Period id=\"p0\" start=\"PT0S\" duration=\"PT3S\">"), 1);
        assert_int_equal(count("availability"), 0);
        assert_int_equal(count("minimumUpdatePeriod"), 0);
        assert_int_equal(count("UTCTiming"), 0);
        assert_int_equal(count("profiles=\"urn:mpeg:dash:profile:isoff-live:2011\""), 1); /* nothing is of low latency any more */
        assert_int_equal(count("low-latency"), 0);
        assert_int_equal(count("ProducerReferenceTime"), 0);
        assert_int_equal(count("Resync"), 0);
}

static void test_recording_says_the_same_after_a_restart(void **state)
{
        (void)state;
        struct session *s = broadcast(3);
        assert_int_equal(end_session(s), 0);
        struct buf *before = manifest_mpd.write(s, &opts, true);
        stop_store();
        start_store();
        struct buf *after = manifest_mpd.write(loaded(store_session(&store, "S1")), &opts, true);
        assert_int_equal(before->len, after->len);
        assert_memory_equal(before->data, after->data, before->len);
        buf_unref(&before);
        buf_unref(&after);
}

static void removed(void *arg, int status)
{
        *(int *)arg = status ? -1 : 1;
}

static void test_a_recording_whose_old_volumes_went_begins_where_all_tracks_go_on(void **state)
{
        (void)state;
        store.options.volume_segments = 2;
        struct session *s = broadcast(5);
        assert_int_equal(end_session(s), 0);
        for (size_t i = 0; i < s->track_count; i++)
                for (uint32_t number = 0; number < (i ? 1 : 2); number++) { /* of the picture one more is gone already */
                        int done = 0;
                        assert_int_equal(chunk_log_forget_volume(s->tracks[i]->log, number), 0);
                        chunk_log_unlink_volume(s->tracks[i]->log, number, removed, &done);
                        wait_done(&done);
                        assert_int_equal(done, 1);
                }
        write_mpd(s, false);
        assert_int_equal(count("<Period id=\"p4\" start=\"PT0S\" duration=\"PT1S\">"), 1);
        assert_int_equal(count("<Period "), 1);
        assert_int_equal(count("startNumber=\"4\" presentationTimeOffset=\"360000\""), 1);
        assert_int_equal(count("startNumber=\"4\" presentationTimeOffset=\"192000\""), 1);
        assert_int_equal(count("mediaPresentationDuration=\"PT1S\""), 1);
}

/* The segment of seconds 4 to 7 is not there any more; where it is the last one there is nothing else to be named. */
static void test_a_recording_of_joined_seconds_whose_old_volumes_went_begins_with_a_whole_segment(void **state)
{
        (void)state;
        store.options.volume_segments = 2;
        struct session *s = broadcast(10);
        assert_int_equal(end_session(s), 0);
        for (size_t i = 0; i < s->track_count; i++)
                for (uint32_t number = 0; number < 3; number++)
                        assert_int_equal(chunk_log_forget_volume(s->tracks[i]->log, number), 0);
        write_classic(s);
        assert_int_equal(count("<Period id=\"p8\" start=\"PT0S\" duration=\"PT2S\">"), 1);
        assert_int_equal(count("startNumber=\"2\""), 2);
        for (size_t i = 0; i < s->track_count; i++)
                assert_int_equal(chunk_log_forget_volume(s->tracks[i]->log, 3), 0);
        opts.classic_s = 3;
        write_classic(s);
        opts.classic_s = 4;
        assert_int_equal(count("<Period id=\"p9\" start=\"PT0S\" duration=\"PT1S\">"), 1);
        opts.classic_s = 6;
        write_classic(s);
        opts.classic_s = 4;
        assert_int_equal(count("<Period id=\"p6\" start=\"PT0S\" duration=\"PT4S\">"), 1);
}

static void test_a_recording_names_no_segment_that_nobody_wrote(void **state)
{
        (void)state;
        int err;
        store.options.volume_segments = 4;
        struct session *s = claim("cam", "S1", EPOCH, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        assert_int_equal(add_track(s, "a128", fmp4_audio_init(), 0), 0);
        for (unsigned n = 0; n < 14; n++) {
                bool lost = n == 1 || (n >= 6 && n < 9); /* in a volume, and from one into the next */
                for (unsigned k = 0; k < 5 && !lost; k++)
                        assert_int_equal(put_video(s, "v720", n, k), 0);
                if (n != 9) /* sound lost another one, which the picture has */
                        assert_int_equal(put_audio(s, "a128", n), 0);
        }
        assert_int_equal(end_session(s), 0);
        write_mpd(s, false);
        assert_int_equal(count("<Period id=\"p0\" start=\"PT0S\" duration=\"PT1S\">"), 1);
        assert_int_equal(count("<Period id=\"p2\" start=\"PT1S\" duration=\"PT4S\">"), 1);
        assert_int_equal(count("<Period id=\"p10\" start=\"PT5S\" duration=\"PT4S\">"), 1);
        assert_int_equal(count("<Period "), 3);
        assert_int_equal(count("startNumber=\"10\" presentationTimeOffset=\"900000\""), 1);
        assert_int_equal(count("mediaPresentationDuration=\"PT9S\""), 1);
        assert_int_equal(count("period-continuity"), 0); /* it does not go on there */
        assert_null(track_unseen_hole(s, s->tracks[0]));
        stop_store();
        start_store();
        s = loaded(store_session(&store, "S1")); /* nothing is in memory any more: where they are has to be read */
        assert_non_null(track_unseen_hole(s, session_track(s, "v720")));
}

static void test_a_rung_that_died_early_does_not_shorten_the_recording(void **state)
{
        (void)state;
        struct session *s = broadcast(15);
        assert_int_equal(add_track(s, "v360", fmp4_init_with(1, 640, 360, -2), 0), 0);
        for (unsigned n = 0; n < 2; n++)
                for (unsigned k = 0; k < 5; k++)
                        assert_int_equal(put_video(s, "v360", n, k), 0);
        assert_int_equal(end_session(s), 0);
        write_mpd(s, true);
        assert_int_equal(count("mediaPresentationDuration=\"PT15S\""), 1);
        assert_int_equal(count("v360"), 0);
}

static void test_title_is_escaped(void **state)
{
        (void)state;
        struct session *s = broadcast(1);
        session_set_title(s, "a<b> & \"c\"\x01");
        write_mpd(s, true);
        assert_int_equal(count("<Title>a&lt;b&gt; &amp; &quot;c&quot;</Title>"), 1);
}

/* "Hi" in the first field, in the first picture. */
static int put_captions(struct session *s, unsigned n, unsigned k)
{
        static const uint8_t sei[] = {0, 0, 0, 18, 6, 4, 14, 0xb5, 0, 0x31, 'G', 'A', '9', '4', 3, 0xc1, 0xff, 0xfc, 0xc8, 0xe9, 0xff, 0x80};
        struct buf *b = fmp4_video_chunk(n, k, 40);
        uint8_t *mdat = memmem(b->data, b->len, "mdat", 4);
        memcpy(mdat + 4, sei, sizeof(sei));
        return put_bytes(s, "v720", b, n, k, n * INT64_C(1000000) + k * INT64_C(200000));
}

static void test_captions_are_named_from_when_something_is_said_and_ever_after(void **state)
{
        (void)state;
        char before[64], after[64];
        struct session *s = broadcast(1);
        published(s, before);
        assert_int_equal(count("Accessibility"), 0);
        assert_int_equal(put_captions(s, 1, 0), 0);
        published(s, after);
        assert_true(strcmp(after, before) > 0);
        assert_int_equal(count("<Accessibility schemeIdUri=\"urn:scte:dash:cc:cea-608:2015\" value=\"CC1=und\"/>"), 1); /* of video only */
        assert_int_equal(put_video(s, "v720", 1, 1), 0);
        published(s, before);
        assert_string_equal(before, after);
        stop_store(); /* in mid-broadcast */
        start_store();
        write_mpd(s = store_session(&store, "S1"), true);
        assert_int_equal(count("Accessibility"), 1);
        assert_int_equal(end_session(s), 0);
        write_mpd(s, true);
        assert_int_equal(count("Accessibility"), 1);
}

static void test_players_are_told_from_the_beginning_where_cues_would_be(void **state)
{
        (void)state;
        struct session *s = broadcast(1);
        write_mpd(s, true);
        assert_int_equal(count("<InbandEventStream schemeIdUri=\"urn:freshet:amf:2026\" value=\"1\"/>"), 1); /* of video only */
        assert_int_equal(count("<InbandEventStream schemeIdUri=\"urn:scte:scte35:2013:bin\" value=\"1\"/>"), 1);
        assert_true(strstr(text, "<InbandEventStream") < strstr(text, "contentType=\"audio\""));
}

static void test_sound_alone_has_its_cues(void **state)
{
        (void)state;
        int err;
        struct session *s = claim("radio", "S2", EPOCH, &err);
        assert_int_equal(add_track(s, "a96", fmp4_audio_init(), 0), 0);
        for (unsigned n = 0; n < 3; n++)
                for (unsigned k = 0; k < 5; k++)
                        put_video(s, "a96", n, k);
        write_mpd(s, true);
        assert_int_equal(count("<InbandEventStream"), 2);
}

static void test_frame_rates_are_fractions(void **state)
{
        (void)state;
        static const struct {
                uint32_t fps_milli;
                const char *want;
        } cases[] = {{29970, "\"30000/1001\""}, {23976, "\"24000/1001\""}, {59940, "\"60000/1001\""}, {25000, "\"25\""},
                     {15000, "\"15\""}, {60000, "\"60\""}, {12500, "\"12500/1000\""}};
        struct session *s = broadcast(1);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                s->tracks[0]->fps_milli = cases[i].fps_milli;
                write_mpd(s, true);
                assert_int_equal(count(cases[i].want), 1);
        }
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup_store, teardown_store)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_a_manifest_tells_players_to_ask_where_to_load_from_only_if_that_is_wanted),
                CASE(test_live_manifest_has_what_low_latency_players_need),
                CASE(test_old_players_are_told_segments_of_several_seconds_and_nothing_of_low_latency),
                CASE(test_a_period_of_joined_seconds_begins_where_such_a_segment_does),
                CASE(test_live_manifest_does_not_change_as_media_comes),
                CASE(test_latency_counts_from_capture_as_the_delay_counts_from_availability),
                CASE(test_nobody_is_told_to_go_back_further_than_the_broadcast_is_old),
                CASE(test_who_is_in_the_window_is_not_too_late_for_it),
                CASE(test_the_clock_is_named_where_viewers_find_it),
                CASE(test_resync_says_where_decoders_can_begin),
                CASE(test_publish_time_changes_when_the_manifest_does_and_only_then),
                CASE(test_a_set_goes_on_from_the_earlier_period_only_if_that_has_it),
                CASE(test_undeclared_facts_do_not_change_with_each_segment),
                CASE(test_late_track_begins_a_period_with_the_same_numbers),
                CASE(test_recording_is_static_and_names_only_segments_that_are_there),
                CASE(test_recording_says_the_same_after_a_restart),
                CASE(test_a_recording_whose_old_volumes_went_begins_where_all_tracks_go_on),
                CASE(test_a_recording_of_joined_seconds_whose_old_volumes_went_begins_with_a_whole_segment),
                CASE(test_a_recording_names_no_segment_that_nobody_wrote),
                CASE(test_a_rung_that_died_early_does_not_shorten_the_recording),
                CASE(test_title_is_escaped),
                CASE(test_captions_are_named_from_when_something_is_said_and_ever_after),
                CASE(test_players_are_told_from_the_beginning_where_cues_would_be),
                CASE(test_sound_alone_has_its_cues),
                CASE(test_frame_rates_are_fractions),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
