#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/clock.h"
#include "proto/key.h"

#define SESSION "20260131T123456Z-1a2b3c4d"

static struct key parsed(const char *text)
{
        struct key k;
        memset(&k, 0xff, sizeof(k));
        key_parse(&k, text);
        return k;
}

static void is(const char *text, enum key_kind kind, const char *stream, const char *session, const char *track)
{
        struct key k = parsed(text);
        assert_int_equal(k.kind, kind);
        assert_string_equal(k.stream, stream);
        assert_string_equal(k.session, session);
        assert_string_equal(k.track, track);
        assert_int_equal(k.file != NULL, kind == KEY_ENTRY || kind == KEY_MANIFEST);
}

static void test_every_row_of_the_table_is_known(void **state)
{
        (void)state;
        is("/api/streams", KEY_STREAMS, "", "", "");
        is("/api/recordings", KEY_RECORDINGS, "", "", "");
        is("/api/recordings/before/2026-01-31T12:34:56.789Z/" SESSION, KEY_RECORDINGS, "", SESSION, "");
        is("/api/recordings/before/2026-01-31T12:34:56.789Z", KEY_RECORDINGS, "", "", "");
        is("/live/cam_1/manifest.mpd", KEY_ENTRY, "cam_1", "", "");
        is("/live/cam/" SESSION "/manifest.mpd", KEY_MANIFEST, "cam", SESSION, "");
        is("/live/cam/master.m3u8", KEY_ENTRY, "cam", "", "");
        is("/live/cam/" SESSION "/master.m3u8", KEY_MANIFEST, "cam", SESSION, "");
        is("/live/cam/" SESSION "/v720/media.m3u8", KEY_PLAYLIST, "cam", SESSION, "v720");
        is("/live/cam/poster.jpg", KEY_ENTRY, "cam", "", "");
        is("/live/cam/" SESSION "/poster.jpg", KEY_MANIFEST, "cam", SESSION, "");
        is("/viewers", KEY_VIEWERS, "", "", "");
        is("/viewers/1", KEY_NONE, "", "", "");
        is("/live/cam/" SESSION "/thumbs/17x5.jpg", KEY_PICTURE, "cam", SESSION, "thumbs");
        is("/live/cam/" SESSION "/v720/17.key.m4s", KEY_PICTURE, "cam", SESSION, "v720");
        is("/live/cam/" SESSION "/v720/keys.m3u8", KEY_PLAYLIST, "cam", SESSION, "v720");
        is("/live/cam/" SESSION "/v720/init.mp4", KEY_INIT, "cam", SESSION, "v720");
        is("/live/cam/" SESSION "/a128/17.m4s", KEY_SEGMENT, "cam", SESSION, "a128");
        is("/live/cam/" SESSION "/a128/17x4.m4s", KEY_SEGMENT, "cam", SESSION, "a128");
        assert_true(parsed("/live/cam/" SESSION "/a128/17x4.m4s").segment == 68 && parsed("/live/cam/" SESSION "/a128/17x4.m4s").joined == 4);
        assert_true(parsed("/live/cam/" SESSION "/a128/0x10.m4s").joined == 10 && parsed("/live/cam/" SESSION "/a128/17.m4s").joined == 0);
        static const char *const not_joined[] = {"17x1", "17x0", "17x11", "17x04", "017x4", "17x", "x4", "17x4x4", "17x-4", "429496729x10", "4294967295x2"};
        for (size_t i = 0; i < sizeof(not_joined) / sizeof(not_joined[0]); i++) {
                char text[KEY_MAX + 1];
                snprintf(text, sizeof(text), "/live/cam/" SESSION "/a128/%s.m4s", not_joined[i]);
                assert_int_equal(parsed(text).kind, KEY_NONE);
        }
        is("/live/cam/classic.mpd", KEY_ENTRY, "cam", "", "");
        is("/live/cam/" SESSION "/classic.m3u8", KEY_MANIFEST, "cam", SESSION, "");
        is("/live/cam/" SESSION "/v720/classic.m3u8", KEY_PLAYLIST, "cam", SESSION, "v720");
        assert_true(parsed("/live/cam/" SESSION "/v720/classic.m3u8").classic);
        is("/live/cam/" SESSION "/recording.mp4", KEY_RECORDING, "cam", SESSION, "");
        is("/live/cam/" SESSION "/v720/recording.mp4", KEY_RECORDING, "cam", SESSION, "v720");
        is("/peer/ended/18446744073709551615", KEY_PEER_ENDED, "", "", "");
        is("/peer/live/17", KEY_PEER_LIVE, "", "", "");
        is("/peer/live/17/1769863996789/" SESSION, KEY_PEER_LIVE, "", SESSION, "");
        assert_true(parsed("/peer/live/17/1769863996789/" SESSION).before_ms == 1769863996789);
        assert_true(parsed("/peer/live/17").before_ms == INT64_MAX);
        static const char *const none[] = {"/peer/live", "/peer/live/", "/peer/live/x", "/peer/live/1/2", "/peer/live/1/2/",
                                           "/peer/live/1/-2/" SESSION, "/peer/live/1/9223372036854775808/" SESSION,
                                           "/peer/live/1/2/" SESSION "/3"};
        for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
                assert_int_equal(parsed(none[i]).kind, KEY_NONE);
        is("/peer/events", KEY_PEER_EVENTS, "", "", "");
        is("/names/0/0", KEY_NAMES, "", "", "");
        assert_true(parsed("/names/18446744073709551615/7").instance == UINT64_MAX && parsed("/names/1/7").since == 7);
        is("/peer/session/" SESSION, KEY_PEER_SESSION, "", SESSION, "");
        is("/peer/session/" SESSION "/17", KEY_PEER_SESSION, "", SESSION, "");
        assert_string_equal(parsed("/live/cam/manifest.mpd").file, "manifest.mpd");
}

static void test_viewers_are_not_answered_what_origins_tell_each_other(void **state)
{
        (void)state;
        assert_false(key_is_public(KEY_NONE));
        for (int kind = KEY_STREAMS; kind <= KEY_NAMES; kind++)
                assert_int_equal(key_is_public((enum key_kind)kind), kind <= KEY_PIECE);
}

static void test_a_playlist_has_one_name_for_each_version(void **state)
{
        (void)state;
        static const struct {
                const char *file;
                uint32_t segment;
                unsigned part;
                bool waits, skips;
        } good[] = {{"media.m3u8", 0, 0, false, false},
                    {"media.skip.m3u8", 0, 0, false, true},
                    {"media.17.0.m3u8", 17, 0, true, false},
                    {"media.4294967295.2.skip.m3u8", UINT32_MAX, 2, true, true}};
        static const char *const bad[] = {"media", "media.", "media..m3u8", "media.17.m3u8", "media.17.5.m3u8", "media.017.0.m3u8", "media.17.00.m3u8",
                                          "media.17.0.skip.skip.m3u8", "media.skip.17.0.m3u8", "media.4294967296.0.m3u8", "media.-1.0.m3u8",
                                          "media.17.0.m3u8x", "media.m3u8.", "xmedia.m3u8", "media.17.0.skipm3u8", "master.m3u8"};
        char text[KEY_MAX + 1], again[KEY_MAX + 1];
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
                snprintf(text, sizeof(text), "/live/cam/" SESSION "/v720/%s", good[i].file);
                struct key k = parsed(text);
                assert_int_equal(k.kind, KEY_PLAYLIST);
                assert_int_equal(k.segment, good[i].segment);
                assert_int_equal(k.part, good[i].part);
                assert_int_equal(k.waits, good[i].waits);
                assert_int_equal(k.skips, good[i].skips);
                key_write_playlist(again, &k);
                assert_string_equal(again, text);
        }
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                snprintf(text, sizeof(text), "/live/cam/" SESSION "/v720/%s", bad[i]);
                assert_int_equal(parsed(text).kind, KEY_NONE);
        }
}

static void test_a_picture_is_named_by_its_number_and_how_often_there_is_one(void **state)
{
        (void)state;
        assert_int_equal(parsed("/live/cam/S/thumbs/17x5.jpg").segment, 85);
        assert_int_equal(parsed("/live/cam/S/thumbs/0x60.jpg").segment, 0);
        assert_int_equal(parsed("/live/cam/S/thumbs/71582788x60.jpg").segment, UINT32_C(71582788) * 60);
        static const char *const not[] = {"thumbs/17.jpg", "thumbs/17x0.jpg", "thumbs/17x61.jpg", "thumbs/017x5.jpg", "thumbs/17x05.jpg", "thumbs/-1x5.jpg",
                                          "thumbs/71582789x1.jpg", "thumbs/17x5.jpeg", "thumbs/17x5.jpgx", "thumbs/x5.jpg", "v720/17x5.jpg",
                                          "thumbs/17.key.m4s", "v720/017.key.m4s", "v720/.key.m4s", "v720/17.key", "v720/17.key.mp4"};
        char text[128];
        for (size_t i = 0; i < sizeof(not) / sizeof(not[0]); i++) {
                snprintf(text, sizeof(text), "/live/cam/S/%s", not[i]);
                assert_int_equal(parsed(text).kind, KEY_NONE);
        }
}

static void test_a_segment_has_one_name(void **state)
{
        (void)state;
        assert_int_equal(parsed("/live/cam/S/v720/0.m4s").segment, 0);
        assert_int_equal(parsed("/live/cam/S/v720/4294967295.m4s").segment, UINT32_MAX);
        static const char *const not[] = {"00.m4s", "01.m4s", "+1.m4s", "-1.m4s", "1", "1.", ".m4s", "1.m4sx", "1.M4S", "1 .m4s",
                                          "4294967296.m4s", "99999999999999999999999999.m4s", "18446744073709551617.m4s"};
        char text[128] = "/live/cam/S/v720/";
        for (size_t i = 0; i < sizeof(not) / sizeof(not[0]); i++) {
                strcpy(text + 17, not[i]);
                is(text, KEY_NONE, "", "", "");
        }
}

static void test_a_clip_has_one_name(void **state)
{
        static const struct {
                const char *name;
                uint32_t from, to;
        } clips[] = {{"recording.mp4", 0, UINT32_MAX}, {"recording.90-150.mp4", 90, 150}, {"recording.0-1.mp4", 0, 1},
                     {"recording.7-.mp4", 7, UINT32_MAX}};
        static const char *const none[] = {"recording.0-.mp4", "recording.-5.mp4", "recording.5-5.mp4", "recording.6-5.mp4", "recording.05-6.mp4",
                                           "recording.5-06.mp4", "recording.5.mp4", "recording.5-6", "recording.5-6.mp4x", "recording.5-4294967295.mp4",
                                           "recording.4294967295-.mp4", "recording..mp4", "recording.-.mp4"};
        char text[KEY_MAX + 1], again[KEY_MAX + 1];
        struct key k;
        (void)state;
        for (size_t i = 0; i < sizeof(clips) / sizeof(clips[0]); i++)
                for (int track = 0; track < 2; track++) {
                        snprintf(text, sizeof(text), "/live/cam/" SESSION "/%s%s", track ? "v720/" : "", clips[i].name);
                        key_parse(&k, text);
                        assert_int_equal(k.kind, KEY_RECORDING);
                        assert_true(k.from == clips[i].from && k.to == clips[i].to);
                        key_write_recording(again, &k);
                        assert_string_equal(again, text);
                }
        for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
                snprintf(text, sizeof(text), "/live/cam/" SESSION "/%s", none[i]);
                key_parse(&k, text);
                assert_int_equal(k.kind, KEY_NONE);
        }
}

static void test_what_an_edge_puts_a_recording_together_of_has_names(void **state)
{
        static const char *const names[] = {"recording.json", "recording.90-150.json", "recording.0123456789abcdef.17.mp4",
                                            "recording.7-.ffffffffffffffff.4294967295.mp4"};
        static const char *const none[] = {"recording.0123456789abcde.17.mp4", "recording.0123456789ABCDEF.17.mp4", "recording.0123456789abcdef.017.mp4",
                                           "recording.0123456789abcdef.mp4", "recording.0123456789abcdef..mp4", "recording.0123456789abcdef.1.json",
                                           "recording.0123456789abcdef", "recording.0123456789abcdef."};
        char text[KEY_MAX + 1], again[KEY_MAX + 1];
        struct key k;
        (void)state;
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                for (int track = 0; track < 2; track++) {
                        snprintf(text, sizeof(text), "/live/cam/" SESSION "/%s%s", track ? "a128/" : "", names[i]);
                        key_parse(&k, text);
                        assert_int_equal(k.kind, i < 2 ? KEY_FACTS : KEY_PIECE);
                        assert_true(key_is_public(k.kind));
                        key_write_recording(again, &k);
                        assert_string_equal(again, text);
                }
        for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
                snprintf(text, sizeof(text), "/live/cam/" SESSION "/%s", none[i]);
                key_parse(&k, text);
                assert_int_equal(k.kind, KEY_NONE);
        }
        key_parse(&k, "/live/cam/" SESSION "/recording.mp4");
        assert_false(key_is_public(k.kind)); /* an edge never asks for all of it at once */
}

static void test_a_track_on_demand_has_names_as_a_recording_has(void **state)
{
        struct key k;
        char text[KEY_MAX + 1], again[KEY_MAX + 1];
        static const char *const names[] = {"ondemand.mp4", "ondemand.90-150.mp4", "ondemand.json", "ondemand.90-.json",
                                            "ondemand.0123456789abcdef.17.mp4"};
        static const enum key_kind kinds[] = {KEY_RECORDING, KEY_RECORDING, KEY_FACTS, KEY_FACTS, KEY_PIECE};
        (void)state;
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                snprintf(text, sizeof(text), "/live/cam/" SESSION "/v720/%s", names[i]);
                key_parse(&k, text);
                assert_true(k.kind == kinds[i] && k.ondemand);
                key_write_recording(again, &k);
                assert_string_equal(again, text);
                snprintf(text, sizeof(text), "/live/cam/" SESSION "/%s", names[i]); /* it is always a track's */
                assert_int_equal(parsed(text).kind, KEY_NONE);
        }
        assert_false(parsed("/live/cam/" SESSION "/v720/recording.mp4").ondemand);
        assert_string_equal(parsed("/live/cam/" SESSION "/ondemand.mpd").file, "ondemand.mpd");
}

static void test_people_may_say_which_seconds_they_want(void **state)
{
        struct key k;
        (void)state;
        key_parse(&k, "/live/cam/" SESSION "/recording.mp4");
        char why[KEY_WHY_MAX];
        assert_true(key_cut_recording(&k, NULL, "", why));
        assert_true(k.from == 0 && k.to == UINT32_MAX);
        assert_false(key_cut_recording(&k, "1.5", NULL, why));
        assert_string_equal(why, "from=1.5 is given, but from is whole seconds of the broadcast, as from=90");
        assert_false(key_cut_recording(&k, NULL, "x\"y", why));
        assert_string_equal(why, "to=(what cannot be repeated) is given, but to is whole seconds of the broadcast, as to=150");
        assert_false(key_cut_recording(&k, NULL, "12345678901234567890", why));
        assert_null(strstr(why, "123"));
        assert_false(key_cut_recording(&k, "9", "9", why));
        assert_string_equal(why, "from=9 and to=9 are given, but from is to be before to");
        assert_false(key_cut_recording(&k, "-1", "9", why));
        assert_true(k.from == 0 && k.to == UINT32_MAX);
        assert_true(key_cut_recording(&k, "007", "60", why));
        assert_true(k.from == 7 && k.to == 60);
}

static void test_a_page_of_recordings_has_one_name(void **state)
{
        (void)state;
        assert_true(parsed("/api/recordings").before_ms == INT64_MAX);
        assert_true(parsed("/api/recordings/before/2026-01-31T12:34:56.789Z").before_ms == 1769862896789);
        assert_true(parsed("/api/recordings/before/1970-01-01T00:00:00.000Z/S").before_ms == 0);
        static const char *const not[] = {"2026-01-31T12:34:56Z", "2026-01-31t12:34:56.789Z", "2026-01-31T12:34:56.789", "2026-01-31T12:34:56.7890Z",
                                          "2026-02-31T12:34:56.789Z", "2026-13-01T12:34:56.789Z", "2026-01-31T24:00:00.000Z",
                                          "2026-01-31T12:34:60.000Z", "2026-1-31T12:34:56.789Z", "+026-01-31T12:34:56.789Z",
                                          "2026-01-31T12:34: 6.789Z", "2026-01-31T12:34:56.789Zx", "1969-12-31T23:59:59.999Z", "1769862896789",
                                          "2026-01-31T12:34:56.789Z/", "2026-01-31T12:34:56.789Z/S_1", "2026-01-31T12:34:56.789Z/S/", "",
                                          "20260131T123456Z-1a2b3c4d", "99999999999999999999999999999999999999999999-01-31T12:34:56.789Z"};
        char text[160] = "/api/recordings/before/";
        size_t at = strlen(text);
        for (size_t i = 0; i < sizeof(not) / sizeof(not[0]); i++) {
                strcpy(text + at, not[i]);
                is(text, KEY_NONE, "", "", "");
                assert_non_null(strstr(key_bad_page(text), "/before/TIME/SESSION"));
        }
        static const char *const bad[] = {"/api/recordings/", "/api/recordings/x", "/api/recordings/after/2026-01-31T12:34:56.789Z", "/api/recordings//"};
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_non_null(key_bad_page(bad[i]));
        static const char *const others[] = {"/api/recordings", "/api/recordings/before/2026-01-31T12:34:56.789Z/S", "/api/recordingsx", "/api", "", "/live"};
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
                assert_null(key_bad_page(others[i]));
}

static void test_what_has_no_row_is_nothing(void **state)
{
        (void)state;
        static const char *const not[] = {
                "", "/", "//", "live", "live/cam/manifest.mpd", "/live", "/live/", "/live/cam", "/live/cam/", "/live//manifest.mpd",
                "/live/cam/manifest.mpd/", "/live/cam/Manifest.mpd", "/live/cam/master.m3u9", "/live/c.m/manifest.mpd",
                "/live/cam/S_1/manifest.mpd", "/live/cam/S//manifest.mpd", "/live/cam/S/v720/manifest.mpd", "/live/cam/S/720/1.m4s",
                "/live/cam/S/V720/1.m4s", "/live/cam/S/v/1.m4s", "/live/cam/S/v720/x/1.m4s", "/live/../S/v720/1.m4s",
                "/live/cam/S/v720/init.mp4?x", "/live/cam/recording.mp4", "/live/cam/S/720/recording.mp4", "/live/cam/S/recording.mp4?track=v720", "/live/cam/S/v720/init.mp", "/Live/cam/manifest.mpd", "/api", "/api/streams/",
                "/api/streams/x", "/api/stream", "/peer", "/peer/", "/peer/session", "/peer/session/", "/peer/session/S/x", "/peer/session/S/07", "/peer/session/S/4294967297", "/peer/session/S/1/2",
                "/peer/ended", "/peer/ended/", "/peer/ended/07", "/peer/ended/18446744073709551616", "/peer/ended/x", "/peer/session/S_1"};
        for (size_t i = 0; i < sizeof(not) / sizeof(not[0]); i++)
                is(not[i], KEY_NONE, "", "", "");
}

static void test_names_are_as_long_as_they_may_be_and_no_longer(void **state)
{
        (void)state;
        static const struct {
                const char *before, *after;
                size_t max;
        } names[] = {{"/live/", "/manifest.mpd", STREAM_ID_MAX}, {"/live/cam/", "/manifest.mpd", SESSION_ID_MAX},
                     {"/live/cam/S/", "/1.m4s", TRACK_NAME_MAX}, {"/peer/session/", "", SESSION_ID_MAX},
                     {"/api/recordings/before/2026-01-31T12:34:56.789Z/", "", SESSION_ID_MAX}};
        char text[512], name[128];
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                for (size_t len = names[i].max; len <= names[i].max + 1; len++) {
                        memset(name, 'a', len);
                        name[len] = 0;
                        snprintf(text, sizeof(text), "%s%s%s", names[i].before, name, names[i].after);
                        assert_int_equal(parsed(text).kind != KEY_NONE, len == names[i].max);
                }
}

static void test_a_segments_time_is_told_by_its_sessions_name(void **state)
{
        (void)state;
        static const int64_t at_us = INT64_C(1769862896) * US_PER_S; /* 2026-01-31T12:34:56Z */
        struct key k = parsed("/live/cam/20260131T123456Z-1a2b3c4d/v720/17.m4s");
        assert_false(key_is_past(&k, at_us));
        assert_false(key_is_past(&k, at_us + 18 * US_PER_S));
        assert_true(key_is_past(&k, at_us + 19 * US_PER_S));
        k = parsed("/live/cam/20260131T123456Z-1a2b3c4d/v720/4294967295.m4s");
        assert_false(key_is_past(&k, at_us + 19 * US_PER_S));
        static const char *const no[] = {"/live/cam/20260131T123456Z-1a2b3c4d/v720/init.mp4", "/live/cam/20260131T123456Z-1a2b3c4d/manifest.mpd",
                                         "/live/cam/s1/v720/17.m4s", "/live/cam/20260231T123456Z-1a2b3c4d/v720/17.m4s",
                                         "/live/cam/20260131T123456-1a2b3c4d/v720/17.m4s", "/live/cam/19690131T123456Z-1a2b3c4d/v720/17.m4s",
                                         "/live/cam/99999999T999999Z-1a2b3c4d/v720/17.m4s", "/live/cam/2026-1-1T123456Z-1a2b3c4d/v720/17.m4s",
                                         "/api/streams"};
        for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
                k = parsed(no[i]);
                assert_false(key_is_past(&k, INT64_MAX));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_row_of_the_table_is_known),
                cmocka_unit_test(test_viewers_are_not_answered_what_origins_tell_each_other),
                cmocka_unit_test(test_a_playlist_has_one_name_for_each_version),
                cmocka_unit_test(test_a_picture_is_named_by_its_number_and_how_often_there_is_one),
                cmocka_unit_test(test_a_segment_has_one_name),
                cmocka_unit_test(test_a_clip_has_one_name),
                cmocka_unit_test(test_what_an_edge_puts_a_recording_together_of_has_names),
                cmocka_unit_test(test_a_track_on_demand_has_names_as_a_recording_has),
                cmocka_unit_test(test_people_may_say_which_seconds_they_want),
                cmocka_unit_test(test_a_page_of_recordings_has_one_name),
                cmocka_unit_test(test_what_has_no_row_is_nothing),
                cmocka_unit_test(test_names_are_as_long_as_they_may_be_and_no_longer),
                cmocka_unit_test(test_a_segments_time_is_told_by_its_sessions_name),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
