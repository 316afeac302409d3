#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "edged/path.h"

static enum path_kind kind(const char *target)
{
        struct path p;
        path_parse(target, &p);
        return p.kind;
}

#define S "20260131T123456Z-1a2b3c4d"

static void object(const char *target, const char *key)
{
        struct path p;
        path_parse(target, &p);
        assert_int_equal(p.kind, PATH_OBJECT);
        assert_string_equal(p.key, key);
        assert_int_equal(p.key_len, strlen(key));
}

static void recording(const char *target, const char *key)
{
        struct path p;
        path_parse(target, &p);
        assert_int_equal(p.kind, key ? PATH_RECORDING : PATH_BAD);
        if (key)
                assert_string_equal(p.key, key);
        else
                assert_non_null(strstr(target, "track=") ? strstr(p.why, "a part of the path") : strstr(p.why, " given"));
}

static void test_a_clip_is_named_by_its_seconds_however_they_are_asked_for(void **state)
{
        (void)state;
        recording("/live/cam/" S "/recording.mp4", "/live/cam/" S "/recording.mp4");
        recording("/live/cam/" S "/recording.mp4?", "/live/cam/" S "/recording.mp4");
        recording("/live/cam/" S "/recording.mp4?from=0", "/live/cam/" S "/recording.mp4");
        recording("/live/cam/" S "/recording.mp4?to=150&x=1&from=090", "/live/cam/" S "/recording.90-150.mp4");
        recording("/live/cam/" S "/recording.90-150.mp4", "/live/cam/" S "/recording.90-150.mp4");
        recording("/t/abc/live/cam/" S "/v720/recording.mp4?from=7#x", "/live/cam/" S "/v720/recording.7-.mp4");
        recording("/live/cam/" S "/recording.mp4?from=1.5", NULL);
        recording("/live/cam/" S "/recording.mp4?from=5&to=5", NULL);
        recording("/live/cam/" S "/recording.mp4?from=99999999999999999999", NULL);
        recording("/live/cam/" S "/recording.mp4?track=v720", NULL);
}

static void file(const char *target, const char *name)
{
        struct path p;
        path_parse(target, &p);
        assert_int_equal(p.kind, PATH_SITE);
        assert_string_equal(p.file, name);
}

static void test_every_url_of_the_table_is_known(void **state)
{
        (void)state;
        object("/live/cam_1/manifest.mpd", "/live/cam_1/manifest.mpd");
        object("/live/cam/20260131T123456Z-1a2b3c4d/manifest.mpd", "/live/cam/20260131T123456Z-1a2b3c4d/manifest.mpd");
        object("/live/cam/20260131T123456Z-1a2b3c4d/v720/init.mp4", "/live/cam/20260131T123456Z-1a2b3c4d/v720/init.mp4");
        object("/live/cam/20260131T123456Z-1a2b3c4d/a128/1234.m4s", "/live/cam/20260131T123456Z-1a2b3c4d/a128/1234.m4s");
        object("/api/streams", "/api/streams");
        object("/api/recordings", "/api/recordings");
        object("/api/recordings/before/2026-01-31T12%3A34:56.789Z/S1?x", "/api/recordings/before/2026-01-31T12:34:56.789Z/S1");
        assert_int_equal(kind("/time"), PATH_TIME);
        assert_int_equal(kind("/steering?_DASH_pathway=%22here%22"), PATH_STEERING);
        assert_int_equal(kind("/t/some.token.x/steering"), PATH_STEERING);
        assert_int_equal(kind("/load"), PATH_LOAD);
        assert_int_equal(kind("/api/viewers"), PATH_VIEWERS);
        assert_int_equal(kind("/t/some.token.x/api/viewers"), PATH_VIEWERS);
        assert_int_equal(kind("*"), PATH_OPTIONS);
        file("/", "index.html");
        file("/watch/cam", "watch.html");
        file("/embed/cam", "watch.html");
        file("/web/dash.js", "dash.js");
}

static void test_a_tail_begins_with_its_tracks_init_segment(void **state)
{
        (void)state;
        struct path p;
        path_parse("/t/a.b.c/live/cam/S1/v720/tail?x=1", &p);
        assert_int_equal(p.kind, PATH_TAIL);
        assert_true(path_is_known(&p));
        assert_string_equal(p.key, "/live/cam/S1/v720/init.mp4");
        assert_int_equal(p.key_len, strlen(p.key));
        assert_int_equal(p.object.kind, KEY_INIT);
        assert_string_equal(p.object.track, "v720");
        assert_int_equal(kind("/live/cam/S1/v720/init.mp4"), PATH_OBJECT);
        assert_int_equal(kind("/live/cam/S1/tail"), PATH_UNKNOWN);
        assert_int_equal(kind("/live/cam/tail"), PATH_UNKNOWN);
        assert_int_equal(kind("/tail"), PATH_UNKNOWN);
        assert_int_equal(kind("/web/tail"), PATH_UNKNOWN);
        assert_int_equal(kind("/live/cam/S1/v720/tail/"), PATH_UNKNOWN);
        assert_int_equal(kind("/live/cam/S1/v720/a/tail"), PATH_UNKNOWN);
        assert_int_equal(kind("/live/cam/S1/v720/xtail"), PATH_UNKNOWN);
}

static void test_the_query_is_never_in_the_key(void **state)
{
        (void)state;
        object("/live/cam/manifest.mpd?token=1&x=%zz", "/live/cam/manifest.mpd");
        object("/live/cam/manifest.mpd?a?b#c", "/live/cam/manifest.mpd");
        assert_int_equal(kind("/time?x"), PATH_TIME);
        file("/?x=1", "index.html");
}

static void test_two_spellings_are_one_key(void **state)
{
        (void)state;
        object("/live/%63am/manifest%2Empd", "/live/cam/manifest.mpd");
        object("/live%2fcam/manifest.mpd", "/live/cam/manifest.mpd");
        object("http://edge.example:8080/live/cam/manifest.mpd?x", "/live/cam/manifest.mpd");
}

static void test_paths_that_try_to_climb_are_refused(void **state)
{
        (void)state;
        static const char *const bad[] = {
                "/../etc/passwd", "/live/../../x", "/web/..", "/web/../watch.html", "/live/cam/..%2f..%2fx", "/%2e%2e/x",
                "/.git/config", "/web/.hidden", "//etc/passwd", "/live//manifest.mpd", "/live/cam%00/manifest.mpd",
                "/live/cam/%", "/live/cam/%4", "/live/cam/%zz", "/web/a\\b.js", "/live/c\xc3\xa4m/manifest.mpd",
                "/live/cam\r\nX: y", "live/cam", "", "/web/%0d%0aX", "/api/recordings/before/yesterday"};
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                struct path p;
                path_parse(bad[i], &p);
                assert_int_equal(p.kind, PATH_BAD);
                assert_non_null(p.why);
        }
}

static void test_what_is_nothing_of_ours_is_unknown(void **state)
{
        (void)state;
        static const char *const other[] = {"/live", "/live/", "/live/cam", "/live/cam/", "/live/cam/x", "/live/a b/m.mpd",
                                            "/live/cam/s/t/u/1.m4s", "/live/cam/s/v720/1.m4s/", "/live/cam/master.m3u9", "/peer/ended/0", "/api/other", "/watch/",
                                            "/watch/a/b", "/embed/", "/embed/a/b", "/web/", "/web/a/b.js", "/wp-login.php", "/live/cam/s/V_1/1.m4s"};
        for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
                assert_int_equal(kind(other[i]), PATH_UNKNOWN);
}

static void test_a_path_longer_than_a_key_is_too_long(void **state)
{
        (void)state;
        char target[KEY_MAX + 3];
        memset(target, 'a', sizeof(target));
        target[0] = '/';
        target[KEY_MAX] = 0;
        assert_int_equal(kind(target), PATH_UNKNOWN);
        target[KEY_MAX] = 'a';
        target[KEY_MAX + 1] = 0;
        assert_int_equal(kind(target), PATH_LONG);
}

static void with_token(const char *target, const char *token, enum path_kind wanted, const char *key)
{
        struct path p;
        path_parse(target, &p);
        assert_int_equal(p.kind, wanted);
        assert_string_equal(p.key, key);
        if (!token) {
                assert_null(p.token);
                return;
        }
        assert_int_equal(p.token_len, strlen(token));
        assert_memory_equal(p.token, token, p.token_len);
}

static void test_a_token_stands_before_any_path_and_is_no_part_of_the_key(void **state)
{
        (void)state;
        with_token("/t/a.b-_.c/live/cam/manifest.mpd?x", "a.b-_.c", PATH_OBJECT, "/live/cam/manifest.mpd");
        with_token("http://edge:8080/t/a.b.c/api/streams", "a.b.c", PATH_OBJECT, "/api/streams");
        with_token("/t/a.b.c/watch/cam", "a.b.c", PATH_SITE, "/watch/cam");
        with_token("/t/a.b.c/time", "a.b.c", PATH_TIME, "/time");
        with_token("/t/a.b.c/", "a.b.c", PATH_SITE, "/");
        with_token("/t/a.b.c", "a.b.c", PATH_SITE, "/");
        with_token("/t/a.b.c?/live/cam/manifest.mpd", "a.b.c", PATH_SITE, "/");
        with_token("/t//live/cam/manifest.mpd", "", PATH_OBJECT, "/live/cam/manifest.mpd");
        with_token("/t/", "", PATH_SITE, "/");
        with_token("/t/a%2Flive%2Fx/live/cam/manifest.mpd", "a%2Flive%2Fx", PATH_OBJECT, "/live/cam/manifest.mpd");
        with_token("/t/a/t/b/live/cam/manifest.mpd", "a", PATH_UNKNOWN, "/t/b/live/cam/manifest.mpd");
        with_token("/t/a//live/cam/manifest.mpd", "a", PATH_BAD, "//live/cam/manifest.mpd");
        with_token("/t/a/../live/cam/manifest.mpd", "a", PATH_BAD, "/../live/cam/manifest.mpd");
        with_token("/t", NULL, PATH_UNKNOWN, "/t");
        with_token("/tt/a/live/cam/manifest.mpd", NULL, PATH_UNKNOWN, "/tt/a/live/cam/manifest.mpd");
        with_token("/%74/a/live/cam/manifest.mpd", NULL, PATH_UNKNOWN, "/t/a/live/cam/manifest.mpd");
        with_token("/live/t/a.b.c/manifest.mpd", NULL, PATH_UNKNOWN, "/live/t/a.b.c/manifest.mpd");
}

static void test_a_key_that_may_hold_a_misplaced_token_is_not_known(void **state)
{
        (void)state;
        static const char *const misplaced[] = {"/live/t/eyJh.b.c/manifest.mpd", "/watch/t/eyJh.b.c", "/T/eyJh.b.c/live/cam/m.mpd",
                                                "//t/eyJh.b.c/x", "/%74/eyJh.b.c/live/cam/manifest.mpd"};
        struct path p;
        for (size_t i = 0; i < sizeof(misplaced) / sizeof(misplaced[0]); i++) {
                path_parse(misplaced[i], &p);
                assert_false(path_is_known(&p));
        }
        path_parse("/live/cam/manifest.mpd", &p);
        assert_true(path_is_known(&p));
}

static void test_a_token_as_long_as_can_be_leaves_the_whole_key_its_room(void **state)
{
        (void)state;
        char target[4200] = "/t/";
        memset(target + 3, 'a', 3000);
        strcat(target, "/live/cam/manifest.mpd");
        struct path p;
        path_parse(target, &p);
        assert_int_equal(p.kind, PATH_OBJECT);
        assert_int_equal(p.token_len, 3000);
}

static void test_what_the_object_is_of_is_found_with_it(void **state)
{
        (void)state;
        struct path p;
        path_parse("/t/a.b.c/live/%63am/s/v720/1.m4s?x", &p);
        assert_int_equal(p.object.kind, KEY_SEGMENT);
        assert_string_equal(p.object.stream, "cam");
        path_parse("/api/streams", &p);
        assert_int_equal(p.object.kind, KEY_STREAMS);
        assert_string_equal(p.object.stream, "");
}

static void asks(const char *query, const char *file)
{
        struct path p;
        char target[512], key[KEY_MAX + 1];
        snprintf(target, sizeof(target), "/live/cam/s1/v720/media.m3u8%s", query);
        path_parse(target, &p);
        if (!file) {
                assert_int_equal(p.kind, PATH_BAD);
                return;
        }
        snprintf(key, sizeof(key), "/live/cam/s1/v720/%s", file);
        assert_int_equal(p.kind, PATH_OBJECT);
        assert_string_equal(p.key, key);
        assert_int_equal(p.key_len, strlen(key));
        assert_int_equal(p.object.kind, KEY_PLAYLIST);
}

static void test_of_a_playlist_each_version_has_one_name_however_it_is_asked_for(void **state)
{
        (void)state;
        asks("", "media.m3u8");
        asks("?CMCD=bl%3D2000", "media.m3u8");
        asks("?_HLS_msn=17&_HLS_part=1", "media.17.1.m3u8");
        asks("?_HLS_part=1&x=y&_HLS_msn=17#f", "media.17.1.m3u8");
        asks("?_HLS_msn=17", "media.17.0.m3u8");
        asks("?_HLS_msn=017&_HLS_part=00", "media.17.0.m3u8");
        asks("?_HLS_msn=17&_HLS_part=5", "media.18.0.m3u8"); /* no segment has so many */
        asks("?_HLS_msn=17&_HLS_part=4294967295", "media.18.0.m3u8");
        asks("?_HLS_msn=4294967295&_HLS_part=4", "media.4294967295.4.m3u8");
        asks("?_HLS_skip=YES", "media.skip.m3u8");
        asks("?_HLS_msn=17&_HLS_part=1&_HLS_skip=v2", "media.17.1.skip.m3u8");
        asks("?_HLS_skip=no", "media.m3u8");
        asks("?x_HLS_msn=x&_HLS_msnx=x", "media.m3u8");
        struct path p;
        path_parse("/t/abc/live/cam/s1/v720/media.m3u8?_HLS_msn=17&_HLS_part=1", &p); /* of a private stream */
        assert_string_equal(p.key, "/live/cam/s1/v720/media.17.1.m3u8");
        assert_memory_equal(p.token, "abc", p.token_len);
        static const char *const bad[] = {"?_HLS_msn", "?_HLS_msn=", "?_HLS_msn=x", "?_HLS_msn=-1", "?_HLS_msn=4294967296", "?_HLS_msn=1.5",
                                          "?_HLS_part=1", "?_HLS_msn=1&_HLS_part=", "?_HLS_msn=4294967295&_HLS_part=5", "?_HLS_msn=12345678901234567890"};
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                asks(bad[i], NULL);
}

static void test_a_part_is_a_view_on_its_segment(void **state)
{
        (void)state;
        struct path p;
        path_parse("/live/cam/s1/v720/17.2.m4s?x", &p);
        assert_int_equal(p.kind, PATH_OBJECT);
        assert_string_equal(p.key, "/live/cam/s1/v720/17.m4s");
        assert_int_equal(p.key_len, strlen(p.key));
        assert_int_equal(p.object.kind, KEY_SEGMENT);
        assert_int_equal(p.object.segment, 17);
        assert_true(p.is_part && p.part == 2 && p.part_chunks == 1);
        path_parse("/live/cam/s1/v720/17.1x2.m4s", &p);
        assert_string_equal(p.key, "/live/cam/s1/v720/17.m4s");
        assert_int_equal(p.key_len, strlen(p.key));
        assert_true(p.is_part && p.part == 1 && p.part_chunks == 2);
        path_parse("/live/cam/s1/v720/17.m4s", &p);
        assert_false(p.is_part);
        static const char *const none[] = {"/live/cam/s1/v720/17.5.m4s", "/live/cam/s1/v720/17.00.m4s", "/live/cam/s1/v720/17..m4s",
                                           "/live/cam/s1/v720/17.0.0.m4s", "/live/cam/s1/v720/017.0.m4s", "/live/cam/s1/v720/x.0.m4s", "/17.0.m4s"};
        for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
                path_parse(none[i], &p);
                assert_int_equal(p.kind, PATH_UNKNOWN);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_clip_is_named_by_its_seconds_however_they_are_asked_for),
                cmocka_unit_test(test_of_a_playlist_each_version_has_one_name_however_it_is_asked_for),
                cmocka_unit_test(test_a_part_is_a_view_on_its_segment),
                cmocka_unit_test(test_every_url_of_the_table_is_known),
                cmocka_unit_test(test_a_tail_begins_with_its_tracks_init_segment),
                cmocka_unit_test(test_the_query_is_never_in_the_key),
                cmocka_unit_test(test_two_spellings_are_one_key),
                cmocka_unit_test(test_paths_that_try_to_climb_are_refused),
                cmocka_unit_test(test_what_is_nothing_of_ours_is_unknown),
                cmocka_unit_test(test_a_path_longer_than_a_key_is_too_long),
                cmocka_unit_test(test_a_token_stands_before_any_path_and_is_no_part_of_the_key),
                cmocka_unit_test(test_a_key_that_may_hold_a_misplaced_token_is_not_known),
                cmocka_unit_test(test_a_token_as_long_as_can_be_leaves_the_whole_key_its_room),
                cmocka_unit_test(test_what_the_object_is_of_is_found_with_it),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
