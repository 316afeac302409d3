/* cues (originD): what chunks say of cues, playlists tell: once, in order, in time, after a restart too, and within bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "originD/classic.h"
#include "originD/playlist.h"
#include "originD/replica/catalog.h"
#include "originD/session_json.h"
#include "tests/unit/serve_fixture.h"

#define EPOCH INT64_C(1769863296000000) /* 2026-01-31T12:41:36Z */
#define SCALE 90000

static char text[256 << 10];

static size_t count(const char *what)
{
        size_t n = 0;
        for (const char *p = text; (p = strstr(p, what)); p++)
                n++;
        return n;
}

static void write_playlist_of(const struct session *s, const char *track, const char *file, int64_t time_shift_s)
{
        struct manifest_options opts = {.time_shift_s = time_shift_s, .classic_s = 4, .public_url = ""};
        char name[KEY_MAX + 1];
        struct key k;
        snprintf(name, sizeof(name), "/live/cam/S1/%s/%s", track, file);
        key_parse(&k, name);
        const struct track *t = session_track((struct session *)s, track);
        struct buf *b = k.classic ? classic_write(s, t, &opts) : playlist_write(s, t, &opts, &k);
        assert_true(b->len < sizeof(text));
        memcpy(text, b->data, b->len);
        text[b->len] = '\0';
        buf_unref(&b);
}

static void write_playlist(const struct session *s, const char *file, int64_t time_shift_s)
{
        write_playlist_of(s, "v720", file, time_shift_s);
}

static struct cue says(const char *body, uint32_t id, int64_t at_ms)
{
        return (struct cue){.kind = CUE_AMF, .id = id, .duration_ms = CUE_NO_DURATION, .at_us = at_ms * 1000,
                            .body = (const uint8_t *)body, .body_len = strlen(body)};
}

/* Chunk k of second n, with the box before it. */
static int put_said(struct session *s, const char *track, unsigned n, unsigned k, const struct cue *c)
{
        struct buf *box = cue_box(c, SCALE), *chunk = fmp4_video_chunk(n, k, 40), *both = buf_new(box->len + chunk->len);
        memcpy(both->data, box->data, box->len);
        memcpy(both->data + box->len, chunk->data, chunk->len);
        buf_unref(&box);
        buf_unref(&chunk);
        return put_bytes(s, track, both, n, k, n * INT64_C(1000000) + k * INT64_C(200000));
}

static struct session *begin(void)
{
        int err;
        struct session *s = claim("cam", "S1", EPOCH, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        assert_int_equal(add_track(s, "v480", fmp4_video_init(), 0), 0);
        return s;
}

static void put_seconds(struct session *s, unsigned from, unsigned until)
{
        for (unsigned n = from; n < until; n++)
                for (unsigned k = 0; k < 5; k++)
                        assert_int_equal(put_video(s, "v720", n, k), 0);
}

#define LINE "#EXT-X-DATERANGE:ID=\"00000007-1250\",CLASS=\"urn:freshet:amf:2026\",START-DATE=\"2026-01-31T12:41:37.250Z\",X-JSON=0x7B7D\n"

static void test_what_a_chunk_says_is_in_every_playlist_from_then_on_and_once(void **state)
{
        (void)state;
        struct session *s = begin();
        struct cue c = says("{}", 7, 1250);
        put_seconds(s, 0, 1);
        assert_int_equal(put_said(s, "v720", 1, 0, &c), 0);
        assert_int_equal(put_said(s, "v480", 0, 0, &c), 0); /* another rung says the same */
        for (unsigned k = 1; k < 5; k++)
                assert_int_equal(put_video(s, "v720", 1, k), 0);
        put_seconds(s, 2, 12);
        write_playlist(s, "media.m3u8", 60);
        assert_int_equal(count(LINE), 1);
        write_playlist(s, "media.11.1.skip.m3u8", 60); /* the shorter version leaves out segments, and no cue */
        assert_int_equal(count("#EXT-X-SKIP"), 1);
        assert_int_equal(count(LINE), 1);
        stop_store(); /* in mid-broadcast */
        start_store();
        s = store_session(&store, "S1");
        write_playlist(s, "media.m3u8", 60);
        assert_int_equal(count(LINE), 1);
        assert_int_equal(end_session(s), 0);
        write_playlist(s, "media.m3u8", 60);
        assert_int_equal(count(LINE), 1);
}

static void test_what_lies_before_the_window_is_not_told_unless_it_lasts_into_it(void **state)
{
        (void)state;
        struct session *s = begin();
        struct cue c = says("{}", 7, 1250), lasts = says("{}", 8, 1000);
        lasts.duration_ms = 15500;
        put_seconds(s, 0, 1);
        assert_int_equal(put_said(s, "v720", 1, 0, &c), 0);
        assert_int_equal(put_said(s, "v720", 1, 1, &lasts), 0);
        for (unsigned k = 2; k < 5; k++)
                assert_int_equal(put_video(s, "v720", 1, k), 0);
        put_seconds(s, 2, 26);
        write_playlist(s, "media.m3u8", 12);
        assert_int_equal(count("#EXT-X-MEDIA-SEQUENCE:14\n"), 1);
        assert_int_equal(count("DATERANGE"), 1);
        assert_int_equal(count("ID=\"00000008-1000\",CLASS=\"urn:freshet:amf:2026\",START-DATE=\"2026-01-31T12:41:37.000Z\",DURATION=15.500,"), 1);
        write_playlist(s, "classic.m3u8", 12); /* likewise: five segments */
        assert_int_equal(count("#EXT-X-MEDIA-SEQUENCE:1\n"), 1);
        assert_int_equal(count("DATERANGE"), 1);
}

/* RFC 8216bis, 4.4.5.1: two with the same ID have the same attributes. */
static void test_two_with_one_id_at_two_times_are_two_for_players(void **state)
{
        (void)state;
        struct session *s = begin();
        struct cue one = says("{}", 7, 1250), two = says("{}", 7, 1450), again = says("{ }", 7, 1250);
        put_seconds(s, 0, 1);
        assert_int_equal(put_said(s, "v720", 1, 0, &one), 0);
        assert_int_equal(put_said(s, "v720", 1, 1, &two), 0);
        assert_int_equal(put_said(s, "v720", 1, 2, &again), 0);
        for (unsigned k = 3; k < 5; k++)
                assert_int_equal(put_video(s, "v720", 1, k), 0);
        write_playlist(s, "media.m3u8", 60);
        assert_int_equal(count("#EXT-X-DATERANGE"), 2);
        assert_int_equal(count("ID=\"00000007-1250\""), 1);
        assert_int_equal(count("ID=\"00000007-1450\""), 1);
}

/* Another ID would be another cue for who has heard of it. */
static void test_in_a_session_that_an_older_version_began_a_cue_has_the_id_that_it_had(void **state)
{
        (void)state;
        struct session *s = begin();
        struct cue c = says("{}", 7, 250);
        s->long_parts = false;
        assert_int_equal(put_said(s, "v720", 0, 0, &c), 0);
        for (unsigned k = 1; k < 5; k++)
                assert_int_equal(put_video(s, "v720", 0, k), 0);
        put_seconds(s, 1, 5);
        write_playlist(s, "media.m3u8", 60);
        assert_int_equal(count("ID=\"00000007\""), 1);
        write_playlist(s, "classic.m3u8", 60);
        assert_int_equal(count("ID=\"00000007\""), 1);
        assert_int_equal(end_session(s), 0);
        write_playlist(s, "media.m3u8", 60);
        assert_int_equal(count("ID=\"00000007-250\""), 1);
}

/* A start reads the heads of all recordings. */
static void test_what_was_said_is_not_in_the_head_that_a_start_reads(void **state)
{
        (void)state;
        struct session *s = begin();
        static char body[CUE_BODY_MAX + 1];
        memset(body, 'x', CUE_BODY_MAX);
        for (unsigned n = 0; n < 3; n++)
                for (unsigned k = 0; k < 5; k++) {
                        struct cue c = says(body, 5 * n + k, n * 1000 + k * 200);
                        assert_int_equal(put_said(s, "v720", n, k, &c), 0);
                }
        struct buf *b = session_to_json(s);
        const uint8_t *end = memchr(b->data, '\n', b->len);
        assert_true(b->len > (size_t)15 * 2 * CUE_BODY_MAX);
        assert_in_range(end - b->data, 100, 2000);
        buf_unref(&b);
        stop_store();
        start_store();
        s = store_session(&store, "S1");
        json_t *j = cues_to_json(s->cues);
        assert_int_equal(json_array_size(j), 15);
        json_decref(j);
}

/* Where there are pictures the sound says nothing. */
static void test_sound_tells_where_there_is_no_picture(void **state)
{
        (void)state;
        int err;
        struct session *s = claim("cam", "S1", EPOCH, &err);
        struct cue c = says("{}", 7, 1250);
        assert_int_equal(add_track(s, "a96", fmp4_audio_init(), 0), 0);
        assert_int_equal(put_audio(s, "a96", 0), 0);
        struct buf *box = cue_box(&c, 48000), *chunk = fmp4_chunk(48000, 48, 1000, 20), *both = buf_new(box->len + chunk->len);
        memcpy(both->data, box->data, box->len);
        memcpy(both->data + box->len, chunk->data, chunk->len);
        assert_int_equal(put_bytes(s, "a96", both, 1, 0, INT64_C(1000000)), 0);
        buf_unref(&box);
        buf_unref(&chunk);
        write_playlist_of(s, "a96", "media.m3u8", 60);
        assert_int_equal(count(LINE), 1);
}

static void test_splices_are_told_as_what_they_do(void **state)
{
        (void)state;
        static const uint8_t section[] = {0xfc, 0x30, 0x11, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xf0, 5, 5, 0, 0, 0, 1, 0x7f, 0xff, 0, 0};
        uint8_t bytes[sizeof(section)];
        struct cue c = {.kind = CUE_SCTE35, .duration_ms = 30000, .body = bytes, .body_len = sizeof(bytes)};
        static const char *const wanted[] = {",SCTE35-OUT=0xFC30", ",SCTE35-IN=0xFC30", ",SCTE35-CMD=0xFC30"};
        struct session *s = begin();
        for (unsigned k = 0; k < 3; k++) {
                memcpy(bytes, section, sizeof(bytes));
                bytes[19] = k == 1 ? 0x7f : 0xff;
                bytes[13] = k == 2 ? 6 : 5; /* time_signal */
                c.id = k;
                assert_int_equal(put_said(s, "v720", 0, k, &c), 0);
        }
        put_video(s, "v720", 0, 3), put_video(s, "v720", 0, 4);
        write_playlist(s, "media.m3u8", 60);
        for (size_t i = 0; i < 3; i++)
                assert_int_equal(count(wanted[i]), 1);
        assert_int_equal(count("CLASS=\"urn:scte:scte35:2013:bin\""), 3);
}

static void test_the_newest_are_kept_and_no_more_of_them_than_there_is_room_for(void **state)
{
        (void)state;
        struct cues *c = NULL;
        size_t forgotten = 0, gone = 0;
        for (uint32_t i = 0; i < CUES_MAX + 10; i++) {
                struct cue said = says("{}", i, 1000 + i);
                struct buf *b = cue_box(&said, SCALE);
                assert_int_equal(cues_take(&c, b->data, b->len, &forgotten), 1);
                assert_int_equal(cues_take(&c, b->data, b->len, &forgotten), 0);
                gone += i >= CUES_MAX;
                buf_unref(&b);
        }
        assert_int_equal(gone, 10);
        struct cue old = says("{}", 1, 1); /* older than all that are kept */
        struct buf *b = cue_box(&old, SCALE);
        assert_int_equal(cues_take(&c, b->data, b->len, &forgotten), 0);
        buf_unref(&b);
        json_t *j = cues_to_json(c);
        assert_int_equal(json_array_size(j), CUES_MAX);
        assert_int_equal(json_integer_value(json_array_get(json_array_get(j, 0), 0)), 1010000);
        json_decref(j);
        static char big[CUE_BODY_MAX + 1];
        memset(big, 'x', CUE_BODY_MAX);
        for (uint32_t i = 0; i < 100; i++) {
                struct cue said = says(big, i, 5000 + i);
                b = cue_box(&said, SCALE);
                assert_int_equal(cues_take(&c, b->data, b->len, &forgotten), 1);
                buf_unref(&b);
        }
        j = cues_to_json(c);
        assert_int_equal(json_array_size(j), CUES_BYTES / CUE_BODY_MAX);
        json_decref(j);
        cues_free(&c);
}

static void test_what_another_origin_tells_is_added_and_nonsense_left_out(void **state)
{
        (void)state;
        struct cues *c = NULL;
        json_t *j = json_loads("[[1000, 7, 4294967295, 0, \"7B7D\"], [1000, 7, 4294967295, 0, \"7B7D\"], [2000, 8, 5, 1, \"FC\"], 5, [1, 2],"
                               "[-1, 7, 0, 0, \"00\"], [1, -7, 0, 0, \"00\"], [1, 7, 0, 2, \"00\"], [1, 7, 0, 0, \"0\"], [1, 7, 0, 0, \"0g\"],"
                               "[1, 7, 0, 0, \"\"], [9223372036854775807, 7, 0, 0, \"00\"], [9007199254740993, 7, 0, 0, \"00\"]]", 0, NULL);
        assert_non_null(j);
        assert_int_equal(cues_from_json(&c, j), 2);
        assert_int_equal(cues_from_json(&c, j), 0);
        assert_int_equal(cues_from_json(&c, NULL), 0);
        json_t *back = cues_to_json(c);
        assert_int_equal(json_array_size(back), 2);
        assert_true(json_equal(json_array_get(back, 1), json_array_get(j, 2)));
        json_decref(back);
        json_decref(j);
        cues_free(&c);
        assert_null(cues_to_json(NULL));
}

/* An origin that was away copies whole volumes, and sees no chunk. */
static void test_who_copies_the_session_is_told(void **state)
{
        (void)state;
        struct session *s = begin();
        struct cue c = says("{}", 7, 250);
        assert_int_equal(put_said(s, "v720", 0, 0, &c), 0);
        struct buf *b = catalog_write_one(s, UINT64_MAX);
        struct catalog l;
        assert_int_equal(catalog_read(&l, (const char *)b->data, b->len), 0);
        json_t *j = cues_to_json(l.sessions[0].cues);
        assert_int_equal(json_array_size(j), 1);
        json_decref(j);
        catalog_free(&l);
        buf_unref(&b);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup_store, teardown_store)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_what_a_chunk_says_is_in_every_playlist_from_then_on_and_once),
                CASE(test_what_lies_before_the_window_is_not_told_unless_it_lasts_into_it),
                CASE(test_two_with_one_id_at_two_times_are_two_for_players),
                CASE(test_in_a_session_that_an_older_version_began_a_cue_has_the_id_that_it_had),
                CASE(test_what_was_said_is_not_in_the_head_that_a_start_reads),
                CASE(test_sound_tells_where_there_is_no_picture),
                CASE(test_splices_are_told_as_what_they_do),
                CASE(test_the_newest_are_kept_and_no_more_of_them_than_there_is_room_for),
                CASE(test_what_another_origin_tells_is_added_and_nonsense_left_out),
                CASE(test_who_copies_the_session_is_told),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
