/* What is served of a broadcast that is over, and of it as one file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/serve_fixture.h"

static void test_recording_of_before_the_restart_is_read_on_demand(void **state)
{
        (void)state;
        struct session *s = live(0);
        put_segment(s, 0);
        assert_int_equal(end_session(s), 0);
        restart();
        struct question q;
        ask(&q, "/live/cam/S1/v720/0.m4s", 0, 5000);
        assert_false(q.done);
        wait_done(&q.done);
        assert_int_equal(q.a.status, 0);
        assert_true(q.a.flags & FETCH_COMPLETE);
        assert_int_equal(status_of("/live/cam/S1/v720/1.m4s", 5000), ERR_NOT_FOUND);
        assert_int_equal(status_of("/live/cam/manifest.mpd", 0), 0);
}

static void test_a_hole_in_a_recording_is_looked_for_before_its_manifest_is_told(void **state)
{
        (void)state;
        struct session *s = live(0);
        struct question q;
        for (unsigned n = 0; n < 4; n++)
                if (n != 2)
                        put_segment(s, n);
        assert_int_equal(end_session(s), 0);
        restart();
        assert_int_equal(answer_to(&q, "/live/cam/S1/manifest.mpd", 0, 5000), 0);
        assert_non_null(strstr((char *)q.bytes, "<Period id=\"p0\" start=\"PT0S\" duration=\"PT2S\">"));
        assert_non_null(strstr((char *)q.bytes, "<Period id=\"p3\" start=\"PT2S\" duration=\"PT1S\">"));
}

static void test_manifest_of_a_recording_is_immutable_under_its_own_name_only(void **state)
{
        (void)state;
        struct session *s = live(0);
        struct question q;
        assert_int_equal(put_video(s, "v720", 0, 0), 0);
        assert_int_equal(end_session(s), 0);
        ask(&q, "/live/cam/manifest.mpd", 0, 0);
        assert_int_equal(q.a.flags, FETCH_COMPLETE);
        ask(&q, "/live/cam/S1/manifest.mpd", 0, 0);
        assert_int_equal(q.a.flags, FETCH_COMPLETE | FETCH_IMMUTABLE);
}

/* In volumes of two seconds. */
static struct session *recorded(unsigned seconds)
{
        store.options.volume_segments = 2;
        struct session *s = live(0);
        assert_int_equal(add_track(s, "v360", fmp4_init_with(1, 640, 360, -2), 0), 0);
        assert_int_equal(add_track(s, "a128", fmp4_audio_init(), 0), 0);
        for (unsigned n = 0; n < seconds; n++) {
                put_segment(s, n);
                assert_int_equal(put_audio(s, "a128", n), 0);
        }
        assert_int_equal(put_video(s, "v360", 0, 0), 0);
        assert_int_equal(end_session(s), 0);
        return s;
}

#define RECORDING "/live/cam/S1/recording.mp4"
static uint64_t size_of_recording(void)
{
        struct question q;
        assert_int_equal(answer_to(&q, RECORDING, 0, 5000), 0);
        return q.a.size;
}

static const char *type_of_file(const char *key, uint64_t offset)
{
        struct question q;
        assert_int_equal(answer_to(&q, key, offset, 5000), 0);
        return q.a.content_type;
}

static void test_a_file_without_a_picture_says_so(void **state)
{
        (void)state;
        recorded(2);
        for (int i = 0; i < 2; i++) { /* its header, and its media */
                assert_string_equal(type_of_file(RECORDING, i * (size_of_recording() - 1)), "video/mp4");
                assert_string_equal(type_of_file("/live/cam/S1/a128/recording.mp4", i * 2000), "audio/mp4");
        }
}

/* In pieces of at most `most` bytes. */
static struct buf *read_recording(uint64_t size, uint32_t most)
{
        struct buf *whole = buf_new(size);
        struct question q;
        for (uint64_t at = 0; at < size; at += q.a.len) {
                q = (struct question){.r = {.offset = at, .wait_ms = 5000, .max_bytes = most, .done = answered}};
                strcpy(q.r.key, RECORDING);
                serve(&sv, &q.r);
                wait_done(&q.done);
                assert_int_equal(q.a.status, 0);
                assert_int_equal(q.a.size, size);
                assert_true(q.a.len > 0 && q.a.len <= size - at && q.a.len <= sizeof(q.bytes));
                assert_int_equal(!!(q.a.flags & FETCH_COMPLETE), at + q.a.len == size);
                memcpy(whole->data + at, q.bytes, q.a.len);
        }
        return whole;
}

static void test_a_recording_is_one_file_however_it_is_read(void **state)
{
        (void)state;
        recorded(3);
        uint64_t size = size_of_recording();
        struct buf *whole = read_recording(size, BODY_MAX), *pieces = read_recording(size, 97);
        struct reader r;
        struct box b;
        const uint32_t types[] = {BOX_TYPE('f', 't', 'y', 'p'), BOX_TYPE('m', 'o', 'o', 'v'), BOX_TYPE('m', 'd', 'a', 't')};
        unsigned moofs = 0;
        assert_memory_equal(whole->data, pieces->data, size);
        reader_init(&r, whole->data, size);
        for (size_t i = 0; i < 3; i++) {
                assert_int_equal(box_next(&r, &b), 1);
                assert_int_equal(b.type, types[i]);
        }
        assert_int_equal(box_next(&r, &b), 0);
        reader_init(&r, b.body, b.body_len); /* the stored segments, boxes and all */
        while (box_next(&r, &b) > 0)
                moofs += b.type == BOX_TYPE('m', 'o', 'o', 'f');
        assert_int_equal(r.err, 0);
        assert_int_equal(moofs, 3 * 5 + 3); /* of the taller picture, and sound */
        buf_unref(&whole);
        buf_unref(&pieces);
        struct question q;
        assert_int_equal(answer_to(&q, RECORDING, size, 5000), ERR_NOT_FOUND);
}

/* Its name is for ever: what retention took a second of is not told to be shorter than it was. */
static void test_joined_seconds_of_which_one_was_removed_are_not_there(void **state)
{
        (void)state;
        struct session *s = recorded(6);
        struct question q;
        assert_int_equal(answer_to(&q, "/live/cam/S1/v720/0x3.m4s", 0, 5000), 0);
        uint64_t size = q.a.size;
        assert_int_equal(chunk_log_forget_volume(session_track(s, "v720")->log, 0), 0);
        assert_int_equal(status_of("/live/cam/S1/v720/0x3.m4s", 5000), ERR_NOT_FOUND);
        assert_int_equal(answer_to(&q, "/live/cam/S1/v720/1x3.m4s", 0, 5000), 0);
        assert_int_equal(q.a.size, size);
}

static void test_a_recording_without_some_of_its_volumes_is_shorter(void **state)
{
        (void)state;
        struct session *s = recorded(3);
        uint64_t size = size_of_recording();
        struct track *t = session_track(s, "v720");
        struct volume_row *row = volumes_get(&t->log->closed, 0);
        assert_int_equal(t->log->closed.count, 2);
        row->state = VOLUME_LACKING;
        s->version++;
        uint64_t without = size_of_recording();
        assert_true(without < size - (row->sum.bytes - t->init_bytes->len)); /* and its samples are not told of */
        struct buf *sound = read_recording(without, BODY_MAX);
        buf_unref(&sound);
        row->state = VOLUME_HERE;
        s->version++;
}

/* Or thousands of connections that want a byte each would have as many segments in memory. */
static void test_for_a_byte_of_a_recording_no_segment_is_in_memory(void **state)
{
        (void)state;
        recorded(3);
        uint64_t size = size_of_recording();
        struct question q = {.r = {.offset = size - 1, .wait_ms = 5000, .max_bytes = 1, .done = answered, .slow_taker = true}};
        strcpy(q.r.key, RECORDING);
        serve(&sv, &q.r);
        wait_done(&q.done);
        assert_int_equal(q.a.status, 0);
        assert_int_equal(q.a.len, 1);
        assert_true(q.r.place.view.len_bytes > 1000);
        assert_int_equal(sv.askers.bytes, 1);
        serve_taken(&sv, &q.r);
        assert_int_equal(sv.askers.bytes, 0);
}

static void test_a_track_that_is_not_in_the_recording_is_refused_with_those_that_are(void **state)
{
        struct question q;
        (void)state;
        recorded(3);
        assert_int_equal(answer_to(&q, "/live/cam/S1/v1080/recording.mp4", 0, 5000), ERR_UNSUPPORTED);
        assert_memory_equal(q.bytes, "there is no track v1080 in this recording, which has v720, v360, a128", q.a.len);
        assert_int_equal(answer_to(&q, "/live/cam/S1/v360/recording.mp4", 0, 5000), 0);
}

static void test_what_cannot_be_read_of_a_recording_is_not_said_to_be_not_there(void **state)
{
        char path[200], aside[210];
        struct question q;
        (void)state;
        recorded(3);
        uint64_t size = size_of_recording();
        snprintf(path, sizeof(path), "%s/cam/S1/a128/000001.mp4", data_dir);
        snprintf(aside, sizeof(aside), "%s.aside", path);
        ask(&q, RECORDING, size - 1, 5000);
        wait_done(&q.done);
        assert_int_equal(q.a.status, 0);
        assert_int_equal(rename(path, aside), 0);
        ask(&q, RECORDING, size - 1, 5000);
        wait_done(&q.done);
        assert_int_equal(q.a.status, ERR_IO); /* it is to be here */
        assert_int_equal(mkdir(path, 0755), 0);
        ask(&q, RECORDING, size - 1, 5000);
        wait_done(&q.done);
        assert_int_equal(q.a.status, ERR_IO);
        assert_int_equal(rmdir(path), 0);
        assert_int_equal(rename(aside, path), 0);
        ask(&q, RECORDING, size - 1, 5000);
        wait_done(&q.done);
        assert_int_equal(q.a.status, 0);
}

static void test_what_goes_on_is_no_recording_yet(void **state)
{
        (void)state;
        struct session *s = live(0);
        assert_int_equal(put_video(s, "v720", 0, 0), 0);
        assert_int_equal(status_of(RECORDING, 0), ERR_NOT_FOUND);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_recording_of_before_the_restart_is_read_on_demand),
                CASE(test_a_hole_in_a_recording_is_looked_for_before_its_manifest_is_told),
                CASE(test_manifest_of_a_recording_is_immutable_under_its_own_name_only),
                CASE(test_a_file_without_a_picture_says_so),
                CASE(test_a_recording_is_one_file_however_it_is_read),
                CASE(test_joined_seconds_of_which_one_was_removed_are_not_there),
                CASE(test_a_recording_without_some_of_its_volumes_is_shorter),
                CASE(test_for_a_byte_of_a_recording_no_segment_is_in_memory),
                CASE(test_a_track_that_is_not_in_the_recording_is_refused_with_those_that_are),
                CASE(test_what_cannot_be_read_of_a_recording_is_not_said_to_be_not_there),
                CASE(test_what_goes_on_is_no_recording_yet),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
