/* picture: what an origin serves of a session's still pictures, live and afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "originD/keyframe.h"
#include "originD/picture.h"
#include "originD/stats.h"
#include "tests/unit/serve_fixture.h"

#define SIZE 40

/* The segment of a second: every fifth one has a file, whose bytes tell which. */
static void put_picture(struct session *s, unsigned n, bool file)
{
        assert_int_equal(put_bytes(s, PICTURES_TRACK, fmp4_chunk(n * UINT64_C(90000), 1, 90000, file ? SIZE : 0), n, 0, n * US_PER_S), 0);
}

static void add_pictures(struct session *s, int64_t start_us)
{
        assert_int_equal(add_track(s, PICTURES_TRACK, fmp4_picture_init(), start_us), 0);
        session_track(s, PICTURES_TRACK)->fps_milli = 200;
}

static struct session *broadcast(unsigned seconds)
{
        struct session *s = live(seconds);
        add_pictures(s, 0);
        for (unsigned n = 0; n < seconds; n++) {
                put_segment(s, n);
                put_picture(s, n, n % 5 == 0);
        }
        return s;
}

static void is_file_of(const struct question *q, unsigned n)
{
        assert_int_equal(q->a.status, 0);
        assert_string_equal(q->a.content_type, "image/jpeg");
        assert_int_equal(q->a.len, SIZE);
        assert_true(q->a.flags & FETCH_COMPLETE);
        assert_int_equal(q->bytes[0], (uint8_t)(n * UINT64_C(90000) / 7));
}

static void test_a_picture_is_cut_out_of_its_segment_and_stands_for_the_seconds_behind_it(void **state)
{
        (void)state;
        struct question q;
        broadcast(9);
        answer_to(&q, "/live/cam/S1/thumbs/1x5.jpg", 0, 0);
        is_file_of(&q, 5);
        assert_true(q.a.flags & FETCH_IMMUTABLE);
        answer_to(&q, "/live/cam/S1/thumbs/8x1.jpg", 0, 0);
        is_file_of(&q, 5);
        answer_to(&q, "/live/cam/S1/thumbs/2x2.jpg", 0, 0);
        is_file_of(&q, 0);
        answer_to(&q, "/live/cam/S1/thumbs/1x5.jpg", 30, 0);
        assert_int_equal(q.a.len, SIZE - 30);
        assert_int_equal(status_of("/live/cam/S1/v720/1x5.jpg", 0), ERR_NOT_FOUND);
        assert_int_equal(status_of("/live/cam/S1/thumbs/100000x5.jpg", 0), ERR_NOT_FOUND);
}

static void test_who_asks_for_the_picture_that_comes_next_is_held(void **state)
{
        (void)state;
        struct question q;
        struct session *s = broadcast(5);
        ask(&q, "/live/cam/S1/thumbs/1x5.jpg", 0, 5000);
        assert_int_equal(q.done, 0);
        put_picture(s, 5, true);
        wait_done(&q.done);
        is_file_of(&q, 5);
}

static void test_the_poster_is_the_newest_picture_live_and_one_of_the_middle_afterwards(void **state)
{
        (void)state;
        struct question q;
        struct session *s = broadcast(9);
        answer_to(&q, "/live/cam/poster.jpg", 0, 0);
        is_file_of(&q, 5);
        assert_false(q.a.flags & FETCH_IMMUTABLE);
        assert_true(q.a.ttl_ms <= 1000);
        put_segment(s, 9);
        put_segment(s, 10);
        put_picture(s, 9, false);
        put_picture(s, 10, true);
        answer_to(&q, "/live/cam/S1/poster.jpg", 0, 0);
        is_file_of(&q, 10);
        assert_false(q.a.flags & FETCH_IMMUTABLE);
        assert_int_equal(end_session(s), 0);
        answer_to(&q, "/live/cam/S1/poster.jpg", 0, 0);
        is_file_of(&q, 5);
        assert_true(q.a.flags & FETCH_IMMUTABLE);
        answer_to(&q, "/live/cam/poster.jpg", 0, 0);
        is_file_of(&q, 5);
        assert_false(q.a.flags & FETCH_IMMUTABLE);
        restart();
        answer_to(&q, "/live/cam/S1/poster.jpg", 0, 0); /* from the disk */
        is_file_of(&q, 5);
        answer_to(&q, "/live/cam/S1/thumbs/9x1.jpg", 0, 0);
        is_file_of(&q, 5);
}

static void test_a_session_without_pictures_has_no_poster(void **state)
{
        (void)state;
        put_segment(live(0), 0);
        assert_int_equal(status_of("/live/cam/poster.jpg", 0), ERR_NOT_FOUND);
        assert_int_equal(status_of("/live/cam/S1/poster.jpg", 0), ERR_NOT_FOUND);
}

static void test_a_track_in_which_no_picture_ever_was_is_not_searched_for_ever(void **state)
{
        (void)state;
        struct session *s = live(200);
        add_pictures(s, 0);
        put_segment(s, 0);
        for (unsigned n = 0; n < 70; n++)
                put_picture(s, n, n == 0);
        int64_t none = stat_get(STAT_PICTURES_NONE), given = stat_get(STAT_PICTURES);
        assert_int_equal(status_of("/live/cam/S1/thumbs/69x1.jpg", 0), ERR_NOT_FOUND);
        assert_int_equal(status_of("/live/cam/S1/thumbs/60x1.jpg", 0), 0);
        assert_int_equal(stat_get(STAT_PICTURES_NONE), none + 1);
        assert_int_equal(stat_get(STAT_PICTURES), given + 1);
}

/* ---- how players are told ---------------------------------------------------------------------------------------------- */

static char text[16 << 10];

static const char *read_text(const char *key)
{
        struct question q;
        answer_to(&q, key, 0, 60000);
        assert_int_equal(q.a.status, 0);
        assert_true(q.a.len <= sizeof(q.bytes));
        memcpy(text, q.bytes, q.a.len);
        text[q.a.len] = '\0';
        return text;
}

static void test_no_player_of_sound_and_video_takes_the_pictures_for_either(void **state)
{
        (void)state;
        struct session *s = broadcast(3);
        assert_int_equal(track_playable(s, session_track(s, PICTURES_TRACK)), false);
        const struct track *tracks[SESSION_TRACKS_MAX];
        assert_int_equal(manifest_tracks(s, tracks), 1);
        read_text("/live/cam/manifest.mpd");
        assert_null(strstr(text, "RepresentationID$/$Number$.jpg"));
        assert_non_null(strstr(text, "<Period id=\"p0\""));
        read_text("/live/cam/S1/v720/media.m3u8");
        assert_null(strstr(text, "RENDITION-REPORT:URI=\"../thumbs"));
}

static void test_dash_names_them_as_tiles_of_one(void **state)
{
        (void)state;
        broadcast(3);
        read_text("/live/cam/manifest.mpd");
        assert_non_null(strstr(text, "contentType=\"image\" mimeType=\"image/jpeg\""));
        assert_non_null(strstr(text, "duration=\"5\" startNumber=\"0\" availabilityTimeOffset=\"4.8\" media=\"S1/thumbs/$Number$x5.jpg\""));
        assert_non_null(strstr(text, "schemeIdUri=\"http://dashif.org/guidelines/thumbnail_tile\" value=\"1x1\""));
        read_text("/live/cam/S1/manifest.mpd");
        assert_non_null(strstr(text, " media=\"thumbs/$Number$x5.jpg\""));
}

static size_t count(const char *what)
{
        size_t n = 0;
        for (const char *p = text; (p = strstr(p, what)); p++)
                n++;
        return n;
}

/* Shaka leaves its low-latency mode for the whole manifest otherwise. */
static void test_pictures_do_not_make_a_manifest_one_without_low_latency(void **state)
{
        (void)state;
        broadcast(3);
        read_text("/live/cam/manifest.mpd");
        assert_int_equal(count("<SegmentTemplate"), 2);
        assert_int_equal(count("availabilityTimeOffset"), count("<SegmentTemplate"));
        read_text("/live/cam/classic.mpd");
        assert_int_equal(count("availabilityTimeOffset"), 0);
}

static void test_a_period_that_begins_between_two_pictures_names_them_by_the_second(void **state)
{
        (void)state;
        struct session *s = live(8);
        assert_int_equal(add_track(s, "a128", fmp4_audio_init(), 3 * US_PER_S), 0);
        add_pictures(s, 0);
        for (unsigned n = 0; n < 5; n++) {
                put_segment(s, n);
                put_picture(s, n, n % 5 == 0);
                if (n >= 3)
                        assert_int_equal(put_audio(s, "a128", n), 0);
        }
        read_text("/live/cam/manifest.mpd");
        assert_non_null(strstr(text, "duration=\"5\" startNumber=\"0\" availabilityTimeOffset=\"4.8\" media=\"S1/thumbs/$Number$x5.jpg\""));
        assert_non_null(strstr(text, "duration=\"1\" startNumber=\"3\" presentationTimeOffset=\"3\" availabilityTimeOffset=\"0.8\" media=\"S1/thumbs/$Number$x1.jpg\""));
}

static void test_hls_has_a_playlist_of_pictures(void **state)
{
        (void)state;
        struct session *s = broadcast(12);
        read_text("/live/cam/S1/master.m3u8");
        assert_non_null(strstr(text, ",RESOLUTION=320x180,CODECS=\"jpeg\",URI=\"thumbs/media.m3u8\"\n"));
        assert_non_null(strstr(text, "\n#EXT-X-IMAGE-STREAM-INF:BANDWIDTH="));
        read_text("/live/cam/S1/classic.m3u8"); /* the same one for old players */
        assert_non_null(strstr(text, ",URI=\"thumbs/media.m3u8\"\n"));
        session_track(s, PICTURES_TRACK)->fps_milli = 0; /* not declared */
        read_text("/live/cam/S1/v720/media.m3u8"); /* pictures have no parts, and no say in how long others' are */
        assert_non_null(strstr(text, "PART-HOLD-BACK="));
        read_text("/live/cam/S1/thumbs/media.m3u8");
        assert_non_null(strstr(text, "#EXT-X-TARGETDURATION:5\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-IMAGES-ONLY\n"));
        assert_non_null(strstr(text, "#EXTINF:5.0,\n#EXT-X-TILES:RESOLUTION=320x180,LAYOUT=1x1,DURATION=5.0\n2x5.jpg\n"));
        assert_null(strstr(text, "3x5.jpg"));
        assert_null(strstr(text, "ENDLIST"));
        assert_int_equal(end_session(s), 0);
        read_text("/live/cam/S1/thumbs/media.m3u8");
        assert_non_null(strstr(text, "#EXT-X-PLAYLIST-TYPE:VOD\n"));
        assert_non_null(strstr(text, "#EXTINF:2.0,\n#EXT-X-TILES:RESOLUTION=320x180,LAYOUT=1x1,DURATION=2.0\n2x5.jpg\n#EXT-X-ENDLIST\n"));
}

/* ---- the key pictures of a rung ------------------------------------------------------------------------------------------ */

static void test_a_segments_key_picture_is_an_object_of_its_own_that_lasts_a_second(void **state)
{
        (void)state;
        struct question q;
        struct session *s = broadcast(3);
        for (int n = 0; n < 2; n++) {
                answer_to(&q, "/live/cam/S1/v720/1.key.m4s", 0, 0);
                assert_int_equal(q.a.status, 0);
                assert_string_equal(q.a.content_type, "video/mp4");
                assert_int_equal(q.a.flags, FETCH_COMPLETE | FETCH_IMMUTABLE);
                struct chunk_info c;
                s = loaded(s);
                assert_int_equal(box_chunk_parse(q.bytes, q.a.len, &session_track(s, "v720")->init, &c), 0);
                assert_int_equal(c.samples, 1);
                assert_int_equal(c.start_ticks, 90000);
                assert_int_equal(c.duration_ticks, 90000);
                struct buf *whole = fmp4_video_chunk(1, 0, SIZE);
                assert_memory_equal(q.bytes + q.a.len - SIZE, whole->data + whole->len - 5 * SIZE, SIZE);
                buf_unref(&whole);
                assert_int_equal(end_session(s), 0);
                restart(); /* and then from the disk */
                s = store_session(&store, "S1");
        }
        assert_int_equal(status_of("/live/cam/S1/thumbs/1.key.m4s", 0), ERR_NOT_FOUND);
        assert_int_equal(status_of("/live/cam/S1/v720/3.key.m4s", 0), ERR_NOT_FOUND);
}

static void test_a_chunk_that_says_what_cannot_be_has_no_key_picture(void **state)
{
        (void)state;
        struct init_info init;
        struct buf *head = fmp4_video_init(), *chunk = fmp4_video_chunk(1, 0, SIZE);
        assert_int_equal(box_init_parse(head->data, head->len, &init), 0);
        for (size_t len = 0; len < chunk->len; len++) {
                struct buf *cut = buf_copy(chunk->data, len); /* a heap block of just that size: a read beyond it is seen */
                assert_null(keyframe_cut(cut->data, cut->len, &init, 1));
                buf_unref(&cut);
        }
        for (size_t at = 0; at < chunk->len - 5 * SIZE; at++) { /* whatever one bit of the boxes says */
                for (int bit = 0; bit < 8; bit++) {
                        struct buf *bad = buf_copy(chunk->data, chunk->len);
                        bad->data[at] ^= (uint8_t)(1 << bit);
                        struct buf *cut = keyframe_cut(bad->data, bad->len, &init, 1);
                        assert_true(!cut || cut->len < chunk->len + 64);
                        buf_unref(&cut);
                        buf_unref(&bad);
                }
        }
        buf_unref(&head);
        buf_unref(&chunk);
}

static void test_hls_has_a_playlist_of_key_pictures_for_each_rung(void **state)
{
        (void)state;
        struct session *s = broadcast(3);
        read_text("/live/cam/S1/master.m3u8");
        assert_non_null(strstr(text, ",CODECS=\"avc1.64001f\",RESOLUTION=1280x720,URI=\"v720/keys.m3u8\"\n"));
        assert_non_null(strstr(text, "\n#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH="));
        read_text("/live/cam/S1/v720/keys.m3u8");
        assert_non_null(strstr(text, "#EXT-X-TARGETDURATION:1\n#EXT-X-I-FRAMES-ONLY\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-MAP:URI=\"init.mp4\"\n"));
        assert_non_null(strstr(text, "#EXTINF:1.0,\n2.key.m4s\n"));
        assert_null(strstr(text, "ENDLIST"));
        assert_int_equal(end_session(s), 0);
        read_text("/live/cam/S1/v720/keys.m3u8");
        assert_non_null(strstr(text, "#EXT-X-PLAYLIST-TYPE:VOD\n"));
        assert_non_null(strstr(text, "2.key.m4s\n#EXT-X-ENDLIST\n"));
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
        const struct CMUnitTest tests[] = {
                WITH(test_a_picture_is_cut_out_of_its_segment_and_stands_for_the_seconds_behind_it),
                WITH(test_who_asks_for_the_picture_that_comes_next_is_held),
                WITH(test_the_poster_is_the_newest_picture_live_and_one_of_the_middle_afterwards),
                WITH(test_a_session_without_pictures_has_no_poster),
                WITH(test_a_track_in_which_no_picture_ever_was_is_not_searched_for_ever),
                WITH(test_no_player_of_sound_and_video_takes_the_pictures_for_either),
                WITH(test_dash_names_them_as_tiles_of_one),
                WITH(test_pictures_do_not_make_a_manifest_one_without_low_latency),
                WITH(test_a_period_that_begins_between_two_pictures_names_them_by_the_second),
                WITH(test_hls_has_a_playlist_of_pictures),
                WITH(test_a_segments_key_picture_is_an_object_of_its_own_that_lasts_a_second),
                cmocka_unit_test(test_a_chunk_that_says_what_cannot_be_has_no_key_picture),
                WITH(test_hls_has_a_playlist_of_key_pictures_for_each_rung),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
