/* stand_in: a recording whose picture ended long before its sound, or came after it, and the other way round: what is served of it, and what
 * players are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "originD/manifest.h"
#include "originD/picture.h"
#include "originD/playlist.h"
#include "originD/stand_in.h"
#include "tests/unit/serve_fixture.h"

#define EPOCH INT64_C(1769863296000000) /* 2026-01-31T12:41:36Z */

static char text[16 << 10];

static int count(const char *what)
{
        int n = 0;
        for (const char *p = text; (p = strstr(p, what)); p++)
                n++;
        return n;
}

static void read_text(const char *key)
{
        struct question q;
        assert_int_equal(answer_to(&q, key, 0, 0), 0);
        assert_true(q.a.len < sizeof(text));
        memcpy(text, q.bytes, q.a.len);
        text[q.a.len] = '\0';
}

static void put_pictures(struct session *s, const char *track, unsigned from, unsigned to)
{
        for (unsigned n = from; n < to; n++)
                for (unsigned k = 0; k < 5; k++)
                        assert_int_equal(put_video(s, track, n, k), 0);
}

static void put_sound(struct session *s, unsigned from, unsigned to)
{
        for (unsigned n = from; n < to; n++)
                assert_int_equal(put_audio(s, "a128", n), 0);
}

static struct session *begin(void)
{
        int err;
        struct session *s = claim("cam", "S1", EPOCH, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        assert_int_equal(add_track(s, "a128", fmp4_audio_init(), 0), 0);
        return s;
}

static struct session *recording(unsigned pictures_s, unsigned sound_s)
{
        struct session *s = begin();
        put_pictures(s, "v720", 0, pictures_s);
        put_sound(s, 0, sound_s);
        assert_int_equal(end_session(s), 0);
        return s;
}

/* What is answered is a chunk of the track and nothing else. */
static struct chunk_info chunk_at(struct session *s, const char *track, unsigned segment)
{
        struct question q;
        struct chunk_info info;
        char key[64];
        snprintf(key, sizeof(key), "/live/cam/S1/%s/%u.m4s", track, segment);
        assert_int_equal(answer_to(&q, key, 0, 0), 0);
        assert_int_equal(q.a.flags & (FETCH_COMPLETE | FETCH_IMMUTABLE), FETCH_COMPLETE); /* the segment itself may yet come */
        assert_int_equal(q.a.ttl_ms, 10000);
        assert_int_equal(box_chunk_parse(q.bytes, q.a.len, &session_track(loaded(s), track)->init, &info), 0);
        return info;
}

static void test_the_last_picture_stands_until_the_sound_is_over(void **state)
{
        (void)state;
        struct session *s = recording(3, 20);
        struct question q;
        for (int again = 0; again < 2; again++) { /* from memory; from the disk */
                for (unsigned n = 3; n < 20; n++) {
                        struct chunk_info c = chunk_at(s, "v720", n);
                        assert_true(c.samples == 1 && c.start_ticks == n * UINT64_C(90000) && c.duration_ticks == 90000);
                }
                answer_to(&q, "/live/cam/S1/v720/12.m4s", 0, 0);
                assert_string_equal(q.a.content_type, "video/mp4");
                assert_int_equal(q.bytes[q.a.len - 40], (uint8_t)(2 * 90000 / 7)); /* the first of second 2 */
                assert_int_equal(status_of("/live/cam/S1/v720/20.m4s", 0), ERR_NOT_FOUND);
                assert_int_equal(status_of("/live/cam/S1/a128/20.m4s", 0), ERR_NOT_FOUND);
                restart();
                s = store_session(&store, "S1");
        }
}

static void test_what_comes_behind_half_a_second_begins_there(void **state)
{
        (void)state;
        struct session *s = begin();
        put_pictures(s, "v720", 0, 2);
        assert_int_equal(put_video(s, "v720", 2, 0), 0);
        assert_int_equal(put_video(s, "v720", 2, 1), 0);
        put_sound(s, 0, 19);
        assert_int_equal(put_bytes(s, "a128", fmp4_chunk(19 * 48000, 24, 1000, 20), 19, 0, 19 * US_PER_S), 0);
        assert_int_equal(end_session(s), 0);
        struct chunk_info first = chunk_at(s, "v720", 3), last = chunk_at(s, "v720", 19);
        assert_true(first.start_ticks == 2 * 90000 + 36000 && first.start_ticks + first.duration_ticks == 4 * 90000);
        assert_true(last.start_ticks == 19 * 90000 && last.duration_ticks == 45000);
}

static void test_it_is_silent_until_the_picture_is_over(void **state)
{
        (void)state;
        struct session *s = recording(20, 3);
        uint64_t at = 3 * 48000; /* where the sound ended; each frame behind the one before */
        for (unsigned n = 3; n < 20; n++) {
                struct chunk_info c = chunk_at(s, "a128", n);
                assert_true(c.start_ticks == at && c.duration_ticks == c.samples * UINT64_C(1024));
                at += c.duration_ticks;
                assert_true(at >= (n + 1) * UINT64_C(48000) && at < (n + 1) * UINT64_C(48000) + 1024);
        }
        assert_int_equal(status_of("/live/cam/S1/a128/20.m4s", 0), ERR_NOT_FOUND);
}

static void test_a_picture_that_came_late_is_seen_from_the_beginning(void **state)
{
        (void)state;
        int err;
        struct session *s = claim("cam", "S1", EPOCH, &err);
        assert_int_equal(add_track(s, "a128", fmp4_audio_init(), 0), 0);
        put_sound(s, 0, 5);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 5 * US_PER_S), 0);
        put_pictures(s, "v720", 5, 8);
        put_sound(s, 5, 8);
        read_text("/live/cam/manifest.mpd");
        assert_int_equal(count("id=\"v720\""), 1); /* live, from where it came */
        assert_int_equal(count("<Period "), 2);
        assert_int_not_equal(status_of("/live/cam/S1/v720/2.m4s", 0), 0);
        assert_int_equal(end_session(s), 0);
        struct chunk_info c = chunk_at(s, "v720", 4);
        assert_true(c.samples == 1 && c.start_ticks == 4 * 90000 && c.duration_ticks == 90000);
        assert_int_equal(chunk_at(s, "v720", 0).start_ticks, 0);
        read_text("/live/cam/S1/manifest.mpd");
        assert_int_equal(count("<Period id=\"p0\" start=\"PT0S\" duration=\"PT5S\">"), 1); /* they are those that were told of */
        assert_int_equal(count("<Period id=\"p5\" start=\"PT5S\" duration=\"PT3S\">"), 1);
        assert_int_equal(count("id=\"v720\""), 2);
        assert_int_equal(count("id=\"a128\""), 2);
        read_text("/live/cam/S1/v720/media.m3u8");
        assert_int_equal(count("#EXT-X-MEDIA-SEQUENCE:0\n"), 1);
        assert_int_equal(count("#EXTINF:1.0,\n"), 8);
        assert_int_equal(count("#EXT-X-GAP"), 0);
}

static void test_a_manifest_has_both_kinds_to_the_end(void **state)
{
        (void)state;
        recording(3, 20);
        read_text("/live/cam/S1/manifest.mpd");
        assert_int_equal(count("mediaPresentationDuration=\"PT20S\""), 1);
        assert_int_equal(count("<Period "), 1);
        assert_int_equal(count("<Representation id=\"v720\""), 1);
        assert_int_equal(count("<Representation id=\"a128\""), 1);
        read_text("/live/cam/S1/classic.mpd");
        assert_int_equal(count("<Period id=\"p0\" start=\"PT0S\" duration=\"PT3S\">"), 1);
        assert_int_equal(count("<Period id=\"p3\" start=\"PT3S\" duration=\"PT17S\">"), 1);
        assert_int_equal(count("media=\"$RepresentationID$/$Number$x4.m4s\""), 2);
        assert_int_equal(count("startNumber=\"3\""), 2);
        assert_int_equal(count("media=\"$RepresentationID$/$Number$.m4s\""), 2);
}

/* A file has what is stored, so the Period in which there is no picture has sound only. */
static void test_of_files_the_picture_ends_with_a_period(void **state)
{
        (void)state;
        recording(3, 20);
        read_text("/live/cam/S1/ondemand.mpd");
        assert_int_equal(count("<Period "), 2);
        assert_int_equal(count("<BaseURL>v720/ondemand.0-3.mp4</BaseURL>"), 1);
        assert_int_equal(count("<BaseURL>a128/ondemand.0-3.mp4</BaseURL>"), 1);
        assert_int_equal(count("<BaseURL>a128/ondemand.3-20.mp4</BaseURL>"), 1);
        assert_int_equal(count("<AdaptationSet"), 3);
        assert_int_equal(count("mediaPresentationDuration=\"PT20S\""), 1);
}

static void test_playlists_have_both_kinds_to_the_end(void **state)
{
        (void)state;
        recording(3, 20);
        read_text("/live/cam/S1/master.m3u8");
        assert_int_equal(count("AUDIO=\"a128\"\nv720/media.m3u8\n"), 1);
        read_text("/live/cam/S1/v720/media.m3u8");
        assert_int_equal(count("#EXTINF:1.0,\n"), 20);
        assert_int_equal(count("#EXT-X-GAP"), 0);
        assert_int_equal(count("\n19.m4s\n#EXT-X-ENDLIST"), 1);
        read_text("/live/cam/S1/v720/classic.m3u8");
        assert_int_equal(count("#EXTINF:3.000000,\n0x4.m4s\n#EXTINF:1.0,\n3.m4s\n#EXTINF:1.0,\n4.m4s\n"), 1);
        assert_int_equal(count("#EXTINF:1.0,\n"), 17);
        read_text("/live/cam/S1/a128/classic.m3u8");
        assert_int_equal(count("#EXTINF:"), 5);
}

/* Each second that something stands in for is a line too. */
static void test_no_playlist_is_made_of_what_would_stand_in_for_years(void **state)
{
        (void)state;
        struct session *s = begin();
        put_pictures(s, "v720", 0, 3);
        put_sound(s, 0, 3);
        put_sound(s, PLAYLIST_LONGEST_S + 1, PLAYLIST_LONGEST_S + 2);
        assert_int_equal(end_session(s), 0);
        static const char *const files[] = {"v720/media.m3u8", "v720/classic.m3u8", "a128/media.m3u8"};
        for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
                struct question q;
                char key[64];
                snprintf(key, sizeof(key), "/live/cam/S1/%s", files[i]);
                assert_int_equal(answer_to(&q, key, 0, 0), ERR_NOT_FOUND);
        }
        read_text("/live/cam/S1/manifest.mpd");
        assert_true(count("contentType=\"video\"") > 0);
}

static void test_a_rung_that_died_is_left_out_and_what_ended_with_the_others_is_not_made_longer(void **state)
{
        (void)state;
        struct session *s = begin();
        assert_int_equal(add_track(s, "v360", fmp4_init_with(1, 640, 360, -2), 0), 0);
        put_pictures(s, "v720", 0, 14);
        put_pictures(s, "v360", 0, 3);
        put_sound(s, 0, 20);
        assert_int_equal(end_session(s), 0);
        read_text("/live/cam/S1/manifest.mpd");
        assert_int_equal(count("v360"), 0);
        assert_int_equal(count("mediaPresentationDuration=\"PT14S\""), 1);
        assert_int_equal(status_of("/live/cam/S1/v360/3.m4s", 0), ERR_NOT_FOUND);
        assert_int_equal(status_of("/live/cam/S1/v720/14.m4s", 0), ERR_NOT_FOUND);
        session_track(s, "a128")->log->ended = false; /* nor does it cut the others short while more of them comes from another origin */
        read_text("/live/cam/S1/manifest.mpd");
        session_track(s, "a128")->log->ended = true;
        assert_int_equal(count("v360"), 0);
        assert_int_equal(count("mediaPresentationDuration=\"PT14S\""), 1);
}

/* What others store, or has yet to come, is nothing that may stand for something. */
static void test_nothing_stands_in_while_it_is_live_or_being_copied_or_for_a_copy(void **state)
{
        (void)state;
        struct session *s = begin();
        put_pictures(s, "v720", 0, 3);
        put_sound(s, 0, 20);
        assert_int_not_equal(status_of("/live/cam/S1/v720/3.m4s", 0), 0);
        assert_int_equal(end_session(s), 0);
        struct question q = {.r = {.max_bytes = BODY_MAX, .from_node = true, .hops = FETCH_HOPS_MAX, .done = answered}};
        snprintf(q.r.key, sizeof(q.r.key), "/live/cam/S1/v720/3.m4s");
        serve(&sv, &q.r);
        wait_done(&q.done);
        assert_int_equal(q.a.status, ERR_NOT_FOUND);
        struct chunk_log *sound = session_track(s, "a128")->log;
        sound->ended = false; /* as if more of it came from another origin */
        assert_int_equal(status_of("/live/cam/S1/v720/3.m4s", 0), ERR_NOT_FOUND);
        answer_to(&q, "/live/cam/S1/manifest.mpd", 0, 0);
        assert_true(q.a.status == 0 && !(q.a.flags & FETCH_IMMUTABLE));
        answer_to(&q, "/live/cam/S1/v720/media.m3u8", 0, 0);
        assert_true(q.a.status == 0 && !(q.a.flags & FETCH_IMMUTABLE));
        sound->ended = true;
        answer_to(&q, "/live/cam/S1/manifest.mpd", 0, 0);
        assert_true(q.a.status == 0 && q.a.flags & FETCH_IMMUTABLE);
}

static void test_still_pictures_that_ended_with_the_picture_are_found_behind_it(void **state)
{
        (void)state;
        struct question q, last;
        struct session *s = begin();
        assert_int_equal(add_track(s, PICTURES_TRACK, fmp4_picture_init(), 0), 0);
        session_track(s, PICTURES_TRACK)->fps_milli = 200;
        put_pictures(s, "v720", 0, 7);
        for (unsigned n = 0; n < 7; n++)
                assert_int_equal(put_bytes(s, PICTURES_TRACK, fmp4_chunk(n * UINT64_C(90000), 1, 90000, n % 5 ? 0 : 40), n, 0, n * US_PER_S), 0);
        put_sound(s, 0, 20);
        assert_int_equal(end_session(s), 0);
        assert_int_equal(answer_to(&last, "/live/cam/S1/thumbs/1x5.jpg", 0, 0), 0);
        assert_int_equal(answer_to(&q, "/live/cam/S1/thumbs/3x5.jpg", 0, 0), 0);
        assert_true(q.a.len == last.a.len && q.bytes[0] == last.bytes[0]);
        assert_true(last.a.flags & FETCH_IMMUTABLE && !(q.a.flags & FETCH_IMMUTABLE)); /* the one that it stands for may yet come */
        assert_int_equal(status_of("/live/cam/S1/thumbs/4x5.jpg", 0), ERR_NOT_FOUND);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_the_last_picture_stands_until_the_sound_is_over),
                CASE(test_what_comes_behind_half_a_second_begins_there),
                CASE(test_it_is_silent_until_the_picture_is_over),
                CASE(test_a_picture_that_came_late_is_seen_from_the_beginning),
                CASE(test_a_manifest_has_both_kinds_to_the_end),
                CASE(test_of_files_the_picture_ends_with_a_period),
                CASE(test_playlists_have_both_kinds_to_the_end),
                CASE(test_no_playlist_is_made_of_what_would_stand_in_for_years),
                CASE(test_a_rung_that_died_is_left_out_and_what_ended_with_the_others_is_not_made_longer),
                CASE(test_nothing_stands_in_while_it_is_live_or_being_copied_or_for_a_copy),
                CASE(test_still_pictures_that_ended_with_the_picture_are_found_behind_it),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
