#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "originD/classic.h"
#include "originD/playlist.h"
#include "tests/unit/serve_fixture.h"

#define EPOCH INT64_C(1769863296000000) /* 2026-01-31T12:41:36Z */
#define TRACK "/live/cam/S1/v720/"

static struct manifest_options opts = {.time_shift_s = 60, .classic_s = 4, .public_url = ""};
static char text[64 << 10];

static void take(struct buf *b)
{
        assert_true(b->len < sizeof(text));
        memcpy(text, b->data, b->len);
        text[b->len] = '\0';
        buf_unref(&b);
}

static int count(const char *what)
{
        int n = 0;
        for (const char *p = text; (p = strstr(p, what)); p++)
                n++;
        return n;
}

static bool has(const char *line)
{
        size_t n = strlen(line);
        for (const char *p = text; (p = strstr(p, line)); p++)
                if ((p == text || p[-1] == '\n') && p[n] == '\n')
                        return true;
        return false;
}

static struct key named(const char *name)
{
        struct key k;
        key_parse(&k, name);
        assert_int_equal(k.kind, KEY_PLAYLIST);
        return k;
}

static enum playlist_state look(const struct session *s, const char *track, const char *file)
{
        char name[KEY_MAX + 1];
        snprintf(name, sizeof(name), "/live/cam/S1/%s/%s", track, file);
        struct key k = named(name);
        return playlist_look(s, session_track((struct session *)s, track), &k);
}

static void write_playlist(const struct session *s, const char *track, const char *file)
{
        char name[KEY_MAX + 1];
        snprintf(name, sizeof(name), "/live/cam/S1/%s/%s", track, file);
        struct key k = named(name);
        assert_int_equal(playlist_look(s, session_track((struct session *)s, track), &k), PLAYLIST_READY);
        take(playlist_write(s, session_track((struct session *)s, track), &opts, &k));
}

static void put_sound(struct session *s, unsigned n, unsigned k)
{
        assert_int_equal(put_bytes(s, "a128", fmp4_chunk(n * UINT64_C(48000) + k * 9600, 10, 960, 20), n, k, n * INT64_C(1000000) + k * 200000), 0);
}

static struct session *begin_on(uint8_t chunk_ms, unsigned fps_milli)
{
        int err;
        struct claim c = make_claim("cam", "S1", EPOCH);
        c.chunk_ms = chunk_ms;
        struct session *s = claim_as(&c, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        assert_int_equal(add_track(s, "a128", fmp4_audio_init(), 0), 0);
        s->tracks[0]->fps_milli = fps_milli;
        return s;
}

static struct session *begin(unsigned fps_milli)
{
        return begin_on(CHUNK_MS, fps_milli);
}

static void put_second(struct session *s, unsigned n)
{
        for (unsigned k = 0; k < 5; k++) {
                assert_int_equal(put_video(s, "v720", n, k), 0);
                put_sound(s, n, k);
        }
}

static struct session *broadcast(unsigned seconds)
{
        struct session *s = begin(25000);
        for (unsigned n = 0; n < seconds; n++)
                put_second(s, n);
        return s;
}

static void test_the_multivariant_playlist_names_each_picture_with_a_sound(void **state)
{
        (void)state;
        struct session *s = broadcast(2);
        s->tracks[0]->bandwidth = 2500000;
        s->tracks[1]->bandwidth = 140000;
        take(manifest_hls.write(s, &opts, true));
        assert_true(has("#EXT-X-INDEPENDENT-SEGMENTS"));
        assert_true(has("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a128\",NAME=\"audio\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\","
                        "URI=\"S1/a128/media.m3u8\""));
        assert_int_equal(count("#EXT-X-STREAM-INF:BANDWIDTH=2640000,AVERAGE-BANDWIDTH="), 1);
        assert_int_equal(count(",CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=25.000,AUDIO=\"a128\"\nS1/v720/media.m3u8\n"), 1);
        assert_int_equal(count("CLOSED-CAPTIONS"), 0);
        assert_int_equal(count("STEERING"), 0);
        take(manifest_hls.write(s, &opts, false));
        assert_int_equal(count("\nv720/media.m3u8\n"), 1);
        s->captions = true;
        session_set_title(s, "a \"good\"\nday");
        opts.steering = true;
        take(manifest_hls.write(s, &opts, false));
        opts.steering = false;
        assert_true(has("#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\",NAME=\"CC1\",INSTREAM-ID=\"CC1\",AUTOSELECT=YES"));
        assert_int_equal(count(",CLOSED-CAPTIONS=\"cc\","), 1);
        assert_true(has("#EXT-X-SESSION-DATA:DATA-ID=\"com.apple.hls.title\",VALUE=\"a 'good' day\""));
        assert_true(has("#EXT-X-CONTENT-STEERING:SERVER-URI=\"/steering\",PATHWAY-ID=\"here\""));
        assert_int_equal(count(",PATHWAY-ID=\"here\"\nv720"), 1);
}

static void test_sound_alone_is_a_variant(void **state)
{
        (void)state;
        int err;
        struct session *s = claim("cam", "S1", EPOCH, &err);
        assert_int_equal(add_track(s, "a128", fmp4_audio_init(), 0), 0);
        put_sound(s, 0, 0);
        take(manifest_hls.write(s, &opts, true));
        assert_int_equal(count("#EXT-X-MEDIA"), 0);
        assert_int_equal(count(",CODECS=\"mp4a.40.2\"\nS1/a128/media.m3u8\n"), 1);
}

static void test_parts_are_told_of_the_newest_segments_and_the_next_one_is_hinted_at(void **state)
{
        (void)state;
        struct session *s = broadcast(8);
        for (unsigned k = 0; k < 3; k++)
                assert_int_equal(put_video(s, "v720", 8, k), 0);
        write_playlist(s, "v720", "media.m3u8");
        assert_true(has("#EXT-X-TARGETDURATION:1"));
        assert_true(has("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=6.0,HOLD-BACK=3.0,PART-HOLD-BACK=0.697674"));
        assert_true(has("#EXT-X-PART-INF:PART-TARGET=0.232558"));
        assert_true(has("#EXT-X-MEDIA-SEQUENCE:0"));
        assert_int_equal(count("#EXTINF:1.0,\n"), 8);
        assert_int_equal(count("#EXT-X-PART:"), 2 * 5 + 3);
        assert_int_equal(count("#EXT-X-PART:DURATION=0.200000,URI=\"7.4.m4s\"\n#EXTINF:1.0,\n7.m4s\n#EXT-X-PART:DURATION=0.200000,URI=\"8.0.m4s\","
                               "INDEPENDENT=YES\n#EXT-X-PART:DURATION=0.200000,URI=\"8.1.m4s\"\n#EXT-X-PART:DURATION=0.200000,URI=\"8.2.m4s\"\n"
                               "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"8.3.m4s\"\n"), 1);
        assert_true(has("#EXT-X-PROGRAM-DATE-TIME:2026-01-31T12:41:36.000Z"));
        assert_true(has("#EXT-X-RENDITION-REPORT:URI=\"../a128/media.m3u8\",LAST-MSN=7,LAST-PART=4"));
        write_playlist(s, "a128", "media.m3u8");
        assert_int_equal(count("INDEPENDENT=YES"), 2 * 5); /* sound can be begun with everywhere */
        assert_true(has("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"8.0.m4s\""));
        assert_true(has("#EXT-X-RENDITION-REPORT:URI=\"../v720/media.m3u8\",LAST-MSN=8,LAST-PART=2"));
        assert_true(has("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=6.0,HOLD-BACK=3.0,PART-HOLD-BACK=0.697674"));
}

static void test_behind_the_last_chunk_of_the_grid_comes_the_next_segment_s_first_part(void **state)
{
        (void)state;
        struct session *s = broadcast(2);
        for (unsigned k = 0; k < 4; k++)
                assert_int_equal(put_video(s, "v720", 2, k), 0);
        assert_int_equal(put_bytes(s, "v720", fmp4_chunk(2 * 90000 + 4 * 18000, 5, 3500, 100), 2, 4, 2800000), 0); /* as if it ended early */
        write_playlist(s, "v720", "media.m3u8");
        assert_int_equal(count("\n2.m4s\n"), 0);
        assert_true(has("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"3.0.m4s\""));
        assert_int_equal(look(s, "v720", "media.3.0.m3u8"), PLAYLIST_NOT_YET);
        assert_int_equal(put_video(s, "v720", 3, 0), 0);
        assert_int_equal(look(s, "v720", "media.3.0.m3u8"), PLAYLIST_READY);
}

static void test_where_a_chunk_is_too_short_for_a_part_two_are_one(void **state)
{
        (void)state;
        struct session *s = begin(29970);
        for (unsigned n = 0; n < 3; n++)
                put_second(s, n);
        write_playlist(s, "v720", "media.m3u8");
        assert_int_equal(count("#EXT-X-PART:"), 2 * 3);
        assert_int_equal(count("URI=\"2.0x2.m4s\",INDEPENDENT=YES\n#EXT-X-PART:DURATION=0.400000,URI=\"2.1x2.m4s\"\n#EXT-X-PART:DURATION=0.200000,"
                               "URI=\"2.2x2.m4s\"\n#EXTINF:1.0,\n2.m4s\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"3.0x2.m4s\"\n"), 1);
        assert_int_equal(count(",PART-HOLD-BACK=1.28"), 1); /* of the longest parts that there are: */
        write_playlist(s, "a128", "media.m3u8");
        assert_int_equal(count(",PART-HOLD-BACK=1.28"), 1);
        assert_int_equal(count("#EXT-X-PART:"), 2 * 5);
        assert_true(has("#EXT-X-RENDITION-REPORT:URI=\"../v720/media.m3u8\",LAST-MSN=2,LAST-PART=2"));
}

static void test_where_two_chunks_are_too_short_as_well_three_are_a_part(void **state)
{
        (void)state;
        struct session *s = begin(12000);
        for (unsigned n = 0; n < 3; n++)
                put_second(s, n);
        write_playlist(s, "v720", "media.m3u8");
        assert_true(has("#EXT-X-PART-INF:PART-TARGET=0.667666"));
        assert_int_equal(count(",PART-HOLD-BACK=2.002998"), 1);
        assert_int_equal(count("#EXT-X-PART:"), 2 * 2);
        assert_int_equal(count("#EXT-X-PART:DURATION=0.600000,URI=\"2.0x3.m4s\",INDEPENDENT=YES\n#EXT-X-PART:DURATION=0.400000,URI=\"2.1x3.m4s\"\n"
                               "#EXTINF:1.0,\n2.m4s\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"3.0x3.m4s\"\n"), 1);
        for (unsigned k = 0; k < 3; k++) {
                assert_int_equal(look(s, "v720", "media.3.0.m3u8"), PLAYLIST_NOT_YET);
                assert_int_equal(put_video(s, "v720", 3, k), 0);
        }
        assert_int_equal(look(s, "v720", "media.3.0.m3u8"), PLAYLIST_READY);
        assert_int_equal(look(s, "v720", "media.3.1.m3u8"), PLAYLIST_NOT_YET);
        write_playlist(s, "v720", "media.m3u8");
        assert_true(has("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"3.1x3.m4s\""));
}

static void put_short_second(struct session *s, unsigned n)
{
        for (unsigned k = 0; k < 10; k++) {
                int64_t at_us = n * INT64_C(1000000) + k * INT64_C(100000);
                assert_int_equal(put_bytes(s, "v720", fmp4_chunk(n * UINT64_C(90000) + k * 9000, 5, 1800, 100), n, k, at_us), 0);
                assert_int_equal(put_bytes(s, "a128", fmp4_chunk(n * UINT64_C(48000) + k * 4800, 5, 960, 20), n, k, at_us), 0);
        }
}

/* Parts are as long as on the usual grid: shorter ones would be more requests than players, and less than Apple asks for. */
static void test_on_the_short_grid_parts_are_twice_as_many_chunks(void **state)
{
        (void)state;
        struct session *s = begin_on(CHUNK_MS_SHORT, 25000);
        for (unsigned n = 0; n < 3; n++)
                put_short_second(s, n);
        assert_int_equal(put_bytes(s, "v720", fmp4_chunk(3 * 90000, 5, 1800, 100), 3, 0, 3000000), 0);
        write_playlist(s, "v720", "media.m3u8");
        assert_true(has("#EXT-X-PART-INF:PART-TARGET=0.232558"));
        assert_int_equal(count("#EXT-X-PART:"), 2 * 5); /* a half of one is none */
        assert_int_equal(count("#EXT-X-PART:DURATION=0.200000,URI=\"2.4x2.m4s\"\n#EXTINF:1.0,\n2.m4s\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"3.0x2.m4s\"\n"), 1);
        assert_int_equal(look(s, "v720", "media.3.0.m3u8"), PLAYLIST_NOT_YET);
        assert_int_equal(put_bytes(s, "v720", fmp4_chunk(3 * 90000 + 9000, 5, 1800, 100), 3, 1, 3100000), 0);
        assert_int_equal(look(s, "v720", "media.3.0.m3u8"), PLAYLIST_READY);
        write_playlist(s, "a128", "media.m3u8");
        assert_int_equal(count(".4x2.m4s\",INDEPENDENT=YES"), 2);
        s->tracks[0]->fps_milli = 29970;
        write_playlist(s, "v720", "media.m3u8");
        assert_int_equal(count("#EXT-X-PART:DURATION=0.400000,URI=\"2.1x4.m4s\"\n#EXT-X-PART:DURATION=0.200000,URI=\"2.2x4.m4s\"\n"), 1);
        s->tracks[0]->fps_milli = 7500; /* chunks may be without a picture, and the others are counted */
        write_playlist(s, "v720", "media.m3u8");
        assert_int_equal(count("#EXT-X-PART:"), 0);
}

/* In microseconds; 0: there are no parts. */
static int64_t target_at(struct session *s, unsigned fps_milli, int64_t *chunks)
{
        double seconds = 0;
        s->tracks[0]->fps_milli = fps_milli;
        write_playlist(s, "v720", "media.m3u8");
        const char *at = strstr(text, "PART-TARGET=");
        if (at)
                assert_int_equal(sscanf(at, "PART-TARGET=%lf", &seconds), 1);
        *chunks = count(".0x3.m4s") ? 3 : count(".0x2.m4s") ? 2 : 1;
        return (int64_t)(seconds * 1e6 + 0.5);
}

static void test_parts_are_neither_longer_than_the_target_nor_shorter_than_most_of_it(void **state)
{
        (void)state;
        struct session *s = broadcast(3);
        static const struct {
                unsigned fps_milli, chunks;
        } with[] = {{5000, 1},  {10000, 1}, {11000, 3}, {11988, 3}, {12000, 3}, {12500, 2}, {13000, 3}, {14000, 3}, {14985, 3}, {15000, 1},
                    {16000, 2}, {17000, 2}, {17982, 2}, {18000, 2}, {19000, 2}, {20000, 1}, {23976, 2}, {24000, 2}, {25000, 1}, {29970, 2},
                    {30000, 1}, {48000, 1}, {50000, 1}, {59940, 1}, {60000, 1}, {120000, 1}};
        static const unsigned without[] = {1000, 4000, 6000, 7000, 8000, 9000};
        int64_t chunks;
        for (size_t i = 0; i < sizeof(with) / sizeof(with[0]); i++) {
                int64_t target = target_at(s, with[i].fps_milli, &chunks), frame = 1000000000 / with[i].fps_milli, part_ms = 200 * chunks;
                int64_t least = INT64_MAX, most = 0, before = 0;
                for (int64_t k = 1; k < 4000; k++) { /* the frames of each part */
                        int64_t first = (k * part_ms * with[i].fps_milli + 999999) / 1000000, n = first - before; /* the first one not before */
                        before = first;
                        least = n < least ? n : least;
                        most = n > most ? n : most;
                }
                assert_true(target >= most * frame + 1000); /* and a millisecond, which is how RTMP counts */
                assert_true(least * frame - 1000 >= target * 85 / 100 - least);
                assert_int_equal(chunks, with[i].chunks);
        }
        for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); i++)
                assert_int_equal(target_at(s, without[i], &chunks), 0);
}

/* What players were told of parts, and how far they stay behind, is so as long as the session lasts, whatever version of this program goes on with it. */
static void test_a_session_that_a_version_without_long_parts_began_has_the_parts_that_it_had(void **state)
{
        (void)state;
        static const unsigned without[] = {9000, 11000, 11988, 12000, 13000, 14000, 14985, 16000, 17000, 18000};
        struct session *s = broadcast(3);
        int64_t chunks;
        assert_int_equal(target_at(s, 25000, &chunks), 232558);
        s->long_parts = false;
        assert_int_equal(target_at(s, 25000, &chunks), 232558);
        assert_int_equal(target_at(s, 29970, &chunks), 426782);
        assert_int_equal(target_at(s, 18200, &chunks), 440000);
        for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); i++)
                assert_int_equal(target_at(s, without[i], &chunks), 0);
        write_playlist(s, "a128", "media.m3u8");
        assert_int_equal(count("PART-HOLD-BACK=0.66"), 1);
}

static void test_a_rate_whose_parts_would_differ_is_told_in_segments(void **state)
{
        (void)state;
        struct session *s = broadcast(3);
        s->tracks[0]->fps_milli = 9000;
        write_playlist(s, "v720", "media.2.0.m3u8");
        assert_int_equal(count("#EXT-X-PART"), 0);
        assert_int_equal(count("#EXT-X-PRELOAD-HINT"), 0);
        assert_int_equal(count("PART-HOLD-BACK=0.66"), 1); /* the same for all tracks */
        assert_int_equal(look(s, "v720", "media.3.0.m3u8"), PLAYLIST_NOT_YET);
}

/* A rung of 25 pictures a second that was halved on a machine that is too slow: 240 ms of pictures in a chunk, 160 in the next. A camera whose clock
 * is slower than ours has a picture less in a chunk now and then, and what comes at a rate that nobody declared any number. */
static void put_halved_second(struct session *s, unsigned n)
{
        for (unsigned k = 0; k < 5; k++) {
                unsigned late = k % 2 ? 3600 : 0;
                struct buf *b = fmp4_chunk(n * UINT64_C(90000) + k * 18000 + late, k % 2 ? 2 : 3, 7200, 100);
                assert_int_equal(put_bytes(s, "v720", b, n, k, n * INT64_C(1000000) + k * 200000 + late * 100 / 9), 0);
                put_sound(s, n, k);
        }
}

static void test_a_part_that_is_too_short_or_too_long_is_told_within_the_rule(void **state)
{
        (void)state;
        static const unsigned rates[] = {25000, 29970, 0};
        struct session *s = broadcast(1);
        for (unsigned n = 1; n < 4; n++)
                put_halved_second(s, n);
        for (size_t i = 0; i < 3; i++) {
                double target, length;
                int parts = 0;
                s->tracks[0]->fps_milli = rates[i];
                write_playlist(s, "v720", "media.m3u8");
                assert_int_equal(sscanf(strstr(text, "PART-TARGET="), "PART-TARGET=%lf", &target), 1);
                for (const char *at = text; (at = strstr(at, "#EXT-X-PART:")); at++, parts++) {
                        assert_int_equal(sscanf(at, "#EXT-X-PART:DURATION=%lf", &length), 1);
                        const char *next = strstr(at + 1, "#EXT-X-PART:"), *whole = strstr(at, "#EXTINF");
                        assert_true(length <= target && (!next || whole < next || length >= 0.85 * target));
                }
                assert_int_equal(parts, 2 * (rates[i] == 25000 ? 5 : 3));
        }
}

static void test_a_track_that_joins_later_has_parts_that_are_no_longer_or_none(void **state)
{
        (void)state;
        struct session *s = begin(25000);
        int64_t before[2] = {0, 0};
        for (unsigned n = 0; n < 3; n++)
                put_second(s, n);
        for (unsigned late = 0; late < 2; late++) {
                write_playlist(s, "v720", "media.m3u8");
                double back;
                assert_int_equal(sscanf(strstr(text, "PART-HOLD-BACK="), "PART-HOLD-BACK=%lf", &back), 1);
                before[late] = (int64_t)(back * 1e6 + 0.5);
                if (!late)
                        assert_int_equal(add_track(s, "v360", fmp4_video_init(), 3000000), 0);
        }
        assert_int_equal(before[0], before[1]);
        for (unsigned k = 0; k < 5; k++)
                assert_int_equal(put_video(s, "v360", 3, k), 0);
        struct track *t = session_track(s, "v360");
        t->fps_milli = 29970; /* two chunks would be more than a third of the hold-back */
        write_playlist(s, "v360", "media.m3u8");
        assert_int_equal(count("#EXT-X-PART:"), 0);
        t->fps_milli = 30000;
        write_playlist(s, "v360", "media.m3u8");
        assert_int_equal(count("#EXT-X-PART:"), 5);
}

static void test_each_version_is_there_with_the_part_that_it_is_named_by(void **state)
{
        (void)state;
        struct session *s = begin(29970);
        assert_int_equal(look(s, "v720", "media.m3u8"), PLAYLIST_NOT_YET); /* no segment is whole */
        put_second(s, 0);
        assert_int_equal(look(s, "v720", "media.m3u8"), PLAYLIST_READY);
        assert_int_equal(look(s, "v720", "media.0.2.m3u8"), PLAYLIST_READY);
        assert_int_equal(look(s, "v720", "media.1.0.m3u8"), PLAYLIST_NOT_YET);
        assert_int_equal(look(s, "v720", "media.2.0.m3u8"), PLAYLIST_NOT_YET);
        assert_int_equal(look(s, "v720", "media.3.0.m3u8"), PLAYLIST_FAR);
        assert_int_equal(put_video(s, "v720", 1, 0), 0);
        assert_int_equal(look(s, "v720", "media.1.0.m3u8"), PLAYLIST_NOT_YET); /* half of it */
        assert_int_equal(put_video(s, "v720", 1, 1), 0);
        assert_int_equal(look(s, "v720", "media.1.0.m3u8"), PLAYLIST_READY);
        assert_int_equal(look(s, "v720", "media.1.1.m3u8"), PLAYLIST_NOT_YET);
        assert_int_equal(put_video(s, "v720", 2, 0), 0); /* segment 1 ended with its first part */
        assert_int_equal(look(s, "v720", "media.1.1.m3u8"), PLAYLIST_NOT_YET); /* so that is part 0 of segment 2 */
        assert_int_equal(put_video(s, "v720", 2, 1), 0);
        assert_int_equal(look(s, "v720", "media.1.1.m3u8"), PLAYLIST_READY);
        end_session(s);
        assert_int_equal(look(s, "v720", "media.9.0.m3u8"), PLAYLIST_READY); /* there will be no other one */
}

static void test_a_delta_has_what_is_newer_than_six_seconds(void **state)
{
        (void)state;
        struct session *s = broadcast(9);
        write_playlist(s, "v720", "media.skip.m3u8");
        assert_true(has("#EXT-X-MEDIA-SEQUENCE:0"));
        assert_true(has("#EXT-X-SKIP:SKIPPED-SEGMENTS=3"));
        assert_int_equal(count("#EXTINF"), 6);
        assert_int_equal(count("\n3.m4s\n"), 1);
        assert_true(has("#EXT-X-PROGRAM-DATE-TIME:2026-01-31T12:41:39.000Z"));
        write_playlist(s, "v720", "media.8.2.skip.m3u8");
        assert_true(has("#EXT-X-SKIP:SKIPPED-SEGMENTS=3"));
}

static void test_nothing_that_was_told_of_a_segment_ever_changes(void **state)
{
        (void)state;
        struct session *s = broadcast(4);
        char before[2048];
        write_playlist(s, "v720", "media.m3u8");
        const char *at = strstr(text, "#EXT-X-PART:DURATION=0.200000,URI=\"3.0"), *end = strstr(text, "#EXT-X-PRELOAD-HINT");
        assert_true(at && end > at && (size_t)(end - at) < sizeof(before));
        memcpy(before, at, (size_t)(end - at));
        before[end - at] = '\0';
        put_second(s, 4);
        write_playlist(s, "v720", "media.m3u8");
        assert_int_equal(count(before), 1);
        assert_true(has("#EXT-X-MEDIA-SEQUENCE:0"));
}

static void test_the_window_is_as_long_as_a_viewer_can_go_back(void **state)
{
        (void)state;
        struct session *s = broadcast(65);
        opts.time_shift_s = 12;
        write_playlist(s, "v720", "media.m3u8");
        opts.time_shift_s = 60;
        assert_true(has("#EXT-X-MEDIA-SEQUENCE:53"));
        assert_int_equal(count("#EXTINF"), 12);
        assert_true(has("#EXT-X-PROGRAM-DATE-TIME:2026-01-31T12:42:29.000Z"));
        assert_true(has("#EXT-X-PROGRAM-DATE-TIME:2026-01-31T12:42:36.000Z")); /* each minute */
}

static void test_what_nobody_wrote_is_a_gap(void **state)
{
        (void)state;
        struct session *s = broadcast(2);
        put_second(s, 4);
        put_second(s, 5);
        write_playlist(s, "v720", "media.m3u8");
        assert_int_equal(count("#EXT-X-GAP\n"), 2);
        assert_int_equal(count("#EXT-X-GAP\n#EXTINF:1.0,\n2.m4s\n#EXT-X-GAP\n#EXTINF:1.0,\n3.m4s\n"), 1);
}

static void test_a_recording_ends_and_says_how_long_its_last_segment_is(void **state)
{
        (void)state;
        struct session *s = broadcast(3);
        for (unsigned k = 0; k < 3; k++)
                assert_int_equal(put_video(s, "v720", 3, k), 0);
        end_session(s);
        loaded(s);
        write_playlist(s, "v720", "media.m3u8");
        assert_true(has("#EXT-X-PLAYLIST-TYPE:VOD"));
        assert_true(has("#EXT-X-ENDLIST"));
        assert_int_equal(count("#EXT-X-PART"), 0);
        assert_int_equal(count("#EXTINF:0.600000,\n3.m4s\n"), 1);
        assert_int_equal(count("#EXTINF:1.0,\n"), 3);
}

static void write_classic(const struct session *s, const char *track)
{
        assert_true(classic_ready(s, session_track(s, track), &opts));
        take(classic_write(s, session_track(s, track), &opts));
}

static void test_old_players_are_told_segments_of_several_seconds_when_they_are_whole(void **state)
{
        (void)state;
        struct session *s = broadcast(3);
        assert_false(classic_ready(s, s->tracks[0], &opts));
        for (unsigned n = 3; n < 9; n++)
                put_second(s, n);
        write_classic(s, "v720");
        assert_true(has("#EXT-X-TARGETDURATION:4"));
        assert_true(has("#EXT-X-MEDIA-SEQUENCE:0"));
        assert_int_equal(count("#EXT-X-PROGRAM-DATE-TIME:2026-01-31T12:41:36.000Z\n#EXTINF:4.000000,\n0x4.m4s\n#EXTINF:4.000000,\n1x4.m4s\n"), 1);
        assert_int_equal(count("#EXTINF"), 2);
        assert_int_equal(count("PART"), 0);
        assert_int_equal(count("CONTROL"), 0);
        put_second(s, 9);
        end_session(s);
        loaded(s);
        write_classic(s, "v720");
        assert_int_equal(count("\n#EXTINF:4.000000,\n1x4.m4s\n#EXTINF:2.000000,\n2x4.m4s\n#EXT-X-ENDLIST\n"), 1);
        opts.classic_s = 10;
        write_classic(s, "a128");
        opts.classic_s = 4;
        assert_int_equal(count("\n#EXTINF:10.000000,\n0x10.m4s\n#EXT-X-ENDLIST\n"), 1);
        take(manifest_classic_hls.write(s, &opts, true));
        assert_int_equal(count("\nS1/v720/classic.m3u8\n"), 1);
        assert_int_equal(count("URI=\"S1/a128/classic.m3u8\""), 1);
}

/* One that has lost a second to retention goes whole, or it would become shorter while it is told. */
static void test_a_segment_of_several_seconds_whose_beginning_went_is_not_told(void **state)
{
        (void)state;
        store.options.volume_segments = 3;
        struct session *s = broadcast(13);
        struct chunk_log *log = s->tracks[0]->log;
        UNTIL(&loop, !chunk_log_busy(log) && chunk_log_may_forget_volume(log, 0));
        write_classic(s, "v720");
        assert_int_equal(count("\n#EXT-X-MEDIA-SEQUENCE:0\n"), 1);
        assert_int_equal(chunk_log_forget_volume(log, 0), 0); /* seconds 0 to 2 */
        write_classic(s, "v720");
        assert_int_equal(count("\n#EXT-X-MEDIA-SEQUENCE:1\n"), 1);
        assert_int_equal(count("\n#EXTINF:4.000000,\n1x4.m4s\n#EXTINF:4.000000,\n2x4.m4s\n"), 1);
        assert_int_equal(count("0x4.m4s"), 0);
}

static void test_of_several_seconds_that_nobody_wrote_the_segment_is_a_gap(void **state)
{
        (void)state;
        struct session *s = broadcast(5);
        for (unsigned n = 12; n < 17; n++)
                put_second(s, n);
        write_classic(s, "v720");
        assert_int_equal(count("#EXT-X-GAP\n"), 1); /* second 4 is there */
        assert_int_equal(count("\n1x4.m4s\n#EXT-X-GAP\n#EXTINF:4.000000,\n2x4.m4s\n"), 1);
}

static void test_seconds_are_joined_when_all_of_them_are_whole(void **state)
{
        (void)state;
        struct session *s = broadcast(7);
        struct question q, all;
        uint8_t parts[16384];
        size_t len = 0;
        ask(&q, TRACK "1x4.m4s", 0, 500000);
        put_second(s, 7);
        put_video(s, "v720", 8, 0); /* now second 7 is known to be whole */
        for (unsigned n = 4; n < 8; n++) {
                char name[64];
                snprintf(name, sizeof(name), TRACK "%u.m4s", n);
                assert_int_equal(answer_to(&all, name, 0, 0), 0);
                memcpy(parts + len, all.bytes, all.a.len);
                len += all.a.len;
        }
        wait_done(&q.done);
        for (size_t at = 0; at < len; at += q.a.len) { /* second by second, and from anywhere */
                if (at)
                        assert_int_equal(answer_to(&q, TRACK "1x4.m4s", at, 0), 0);
                assert_true(q.a.size == len && q.a.len && at + q.a.len <= len && q.a.flags & FETCH_IMMUTABLE);
                assert_memory_equal(q.bytes, parts + at, q.a.len);
                assert_int_equal(!!(q.a.flags & FETCH_COMPLETE), at + q.a.len == len);
        }
        assert_int_equal(status_of(TRACK "1x4.m4s", 0), 0);
        assert_int_equal(status_of(TRACK "2x4.m4s", 0), ERR_NOT_YET);
        end_session(s);
        assert_int_equal(answer_to(&q, TRACK "2x4.m4s", 0, 0), 0); /* the rest of the recording */
        assert_int_equal(status_of(TRACK "3x4.m4s", 0), ERR_NOT_FOUND);
        restart(); /* from the disk */
        while (answer_to(&q, TRACK "1x4.m4s", 0, 500000) == ERR_NOT_YET)
                ;
        assert_int_equal(q.a.status, 0);
        assert_true(q.a.size == len && q.a.len < len);
        assert_memory_equal(q.bytes, parts, q.a.len);
        size_t first = q.a.len;
        assert_int_equal(answer_to(&q, TRACK "1x4.m4s", first + 3, 500000), 0);
        assert_memory_equal(q.bytes, parts + first + 3, q.a.len);
}

static void test_who_asks_for_a_version_waits_until_its_part_is_there(void **state)
{
        (void)state;
        struct session *s = live(1);
        s->tracks[0]->fps_milli = 29970;
        s->first_chunk_mono_us = 1;
        put_segment(s, 0);
        struct question q;
        assert_int_equal(put_video(s, "v720", 1, 0), 0);
        while (status_of(TRACK "media.m3u8", 3000)) /* the sound may yet come */
                ;
        ask(&q, TRACK "media.1.0.m3u8", 0, 500000);
        assert_int_equal(q.done, 0);
        assert_int_equal(put_video(s, "v720", 1, 1), 0);
        wait_done(&q.done);
        assert_int_equal(q.a.status, 0);
        assert_string_equal(q.a.content_type, PLAYLIST_TYPE);
        assert_true(q.a.flags & FETCH_COMPLETE && !(q.a.flags & FETCH_IMMUTABLE));
        assert_non_null(strstr((char *)q.bytes, "URI=\"1.0x2.m4s\""));
        assert_int_equal(status_of(TRACK "media.9.0.m3u8", 500000), ERR_NOT_FOUND);
        assert_int_equal(status_of("/live/cam/S1/v999/media.m3u8", 500000), ERR_NOT_FOUND);
        end_session(s);
        assert_int_equal(answer_to(&q, TRACK "media.7.0.m3u8", 0, 500000), 0);
        assert_true(q.a.flags & FETCH_IMMUTABLE);
}

/* Looking at all of them 50 times a second would take most of the time that a busy origin has. */
static void test_a_version_that_is_waited_for_is_looked_at_when_its_session_moves_and_not_each_moment(void **state)
{
        (void)state;
        struct session *s = live(1);
        s->tracks[0]->fps_milli = 25000;
        s->first_chunk_mono_us = 1;
        put_segment(s, 0);
        struct question q;
        assert_int_equal(put_video(s, "v720", 1, 0), 0);
        while (status_of(TRACK "media.m3u8", 3000)) /* by time: the sound may yet come */
                ;
        ask(&q, TRACK "media.1.1.m3u8", 0, 500000);
        on_changed = NULL; /* nobody hears of it */
        assert_int_equal(put_video(s, "v720", 1, 1), 0);
        for (int turns = 0; turns < 20; turns++) /* a timer each, that which looks among them */
                uv_run(&loop, UV_RUN_ONCE);
        assert_int_equal(q.done, 0);
        on_changed = changed;
        changed(s);
        assert_int_equal(q.done, 1);
        assert_int_equal(q.a.status, 0);
}

/* It is made anew for each who asks: the second piece would be of another version. */
static void test_a_playlist_that_changes_is_one_answer_however_long_it_is(void **state)
{
        (void)state;
        store.options.time_shift_us = 86400 * US_PER_S;
        struct session *s = live(1);
        struct question q;
        s->tracks[0]->fps_milli = 25000;
        s->first_chunk_mono_us = 1;
        put_segment(s, 0);
        put_segment(s, 50000);
        while (answer_to(&q, TRACK "media.m3u8", 0, 3000))
                ;
        assert_in_range(q.a.len, BODY_MAX + 1, FETCH_WHOLE_MAX);
        assert_int_equal(q.a.flags & (FETCH_COMPLETE | FETCH_IMMUTABLE), FETCH_COMPLETE);
        end_session(s);
        assert_int_equal(answer_to(&q, TRACK "media.m3u8", 0, 0), 0);
        assert_int_equal(q.a.len, BODY_MAX);
        assert_int_equal(q.a.flags & (FETCH_COMPLETE | FETCH_IMMUTABLE), FETCH_IMMUTABLE);
}

/* A clock that was set makes a hole of any length, each second of which would be a line. */
static void test_of_a_recording_of_years_no_playlist_is_made(void **state)
{
        (void)state;
        struct session *s = live(1);
        struct question q;
        s->tracks[0]->fps_milli = 25000;
        s->first_chunk_mono_us = 1;
        put_segment(s, 0);
        put_segment(s, PLAYLIST_LONGEST_S);
        while (answer_to(&q, TRACK "media.m3u8", 0, 3000)) /* live: of what a viewer can go back to */
                ;
        end_session(s);
        static const char *const files[] = {TRACK "media.m3u8", TRACK "keys.m3u8", TRACK "classic.m3u8"};
        for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
                assert_int_equal(status_of(files[i], 500000), ERR_NOT_FOUND);
        assert_int_equal(answer_to(&q, "/live/cam/S1/manifest.mpd", 0, 500000), 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_the_multivariant_playlist_names_each_picture_with_a_sound),
                CASE(test_sound_alone_is_a_variant),
                CASE(test_parts_are_told_of_the_newest_segments_and_the_next_one_is_hinted_at),
                CASE(test_behind_the_last_chunk_of_the_grid_comes_the_next_segment_s_first_part),
                CASE(test_where_a_chunk_is_too_short_for_a_part_two_are_one),
                CASE(test_where_two_chunks_are_too_short_as_well_three_are_a_part),
                CASE(test_on_the_short_grid_parts_are_twice_as_many_chunks),
                CASE(test_a_part_that_is_too_short_or_too_long_is_told_within_the_rule),
                CASE(test_a_track_that_joins_later_has_parts_that_are_no_longer_or_none),
                CASE(test_parts_are_neither_longer_than_the_target_nor_shorter_than_most_of_it),
                CASE(test_a_session_that_a_version_without_long_parts_began_has_the_parts_that_it_had),
                CASE(test_a_rate_whose_parts_would_differ_is_told_in_segments),
                CASE(test_each_version_is_there_with_the_part_that_it_is_named_by),
                CASE(test_a_delta_has_what_is_newer_than_six_seconds),
                CASE(test_nothing_that_was_told_of_a_segment_ever_changes),
                CASE(test_the_window_is_as_long_as_a_viewer_can_go_back),
                CASE(test_what_nobody_wrote_is_a_gap),
                CASE(test_a_version_that_is_waited_for_is_looked_at_when_its_session_moves_and_not_each_moment),
                CASE(test_a_playlist_that_changes_is_one_answer_however_long_it_is),
                CASE(test_of_a_recording_of_years_no_playlist_is_made),
                CASE(test_a_recording_ends_and_says_how_long_its_last_segment_is),
                CASE(test_old_players_are_told_segments_of_several_seconds_when_they_are_whole),
                CASE(test_a_segment_of_several_seconds_whose_beginning_went_is_not_told),
                CASE(test_of_several_seconds_that_nobody_wrote_the_segment_is_a_gap),
                CASE(test_seconds_are_joined_when_all_of_them_are_whole),
                CASE(test_who_asks_for_a_version_waits_until_its_part_is_there),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
