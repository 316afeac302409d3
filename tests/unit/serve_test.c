#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "tests/unit/serve_fixture.h"

static int answer_at_once(struct question *q, const char *key, uint64_t offset, uint32_t wait_ms)
{
        ask(q, key, offset, wait_ms);
        assert_int_equal(q->done, 1);
        return q->a.status;
}

static void test_stored_segment_is_answered_whole_and_immutable(void **state)
{
        (void)state;
        struct session *s = live(1);
        struct question q;
        put_segment(s, 0);
        assert_int_equal(answer_at_once(&q, "/live/cam/S1/v720/0.m4s", 0, 0), 0);
        assert_int_equal(q.a.flags, FETCH_COMPLETE | FETCH_IMMUTABLE);
        struct buf *first = fmp4_video_chunk(0, 0, 40);
        assert_int_equal(q.a.len, first->len * 5);
        assert_memory_equal(q.bytes, first->data, first->len);
        buf_unref(&first);
}

static const char *type_of(const char *key)
{
        struct question q;
        assert_int_equal(answer_to(&q, key, 0, 0), 0);
        return q.a.content_type;
}

static void test_sound_is_told_from_pictures_by_its_type(void **state)
{
        (void)state;
        struct session *s = live(4);
        assert_int_equal(add_track(s, "a128", fmp4_audio_init(), 0), 0);
        for (unsigned n = 0; n < 4; n++) {
                put_segment(s, n);
                assert_int_equal(put_audio(s, "a128", n), 0);
        }
        assert_string_equal(type_of("/live/cam/S1/v720/init.mp4"), "video/mp4");
        assert_string_equal(type_of("/live/cam/S1/a128/init.mp4"), "audio/mp4");
        for (int restarted = 0; restarted < 2; restarted++) { /* then they are read from the disk */
                assert_string_equal(type_of("/live/cam/S1/v720/1.m4s"), "video/mp4");
                assert_string_equal(type_of("/live/cam/S1/a128/1.m4s"), "audio/mp4");
                if (!restarted)
                        restart();
        }
}

static void test_growing_segment_is_answered_bit_by_bit(void **state)
{
        (void)state;
        struct session *s = live(0);
        struct question q;
        ask(&q, "/live/cam/S1/v720/0.m4s", 0, 5000);
        assert_false(q.done);
        assert_int_equal(put_video(s, "v720", 0, 0), 0);
        assert_int_equal(q.done, 1);
        assert_int_equal(q.a.status, 0);
        assert_int_equal(q.a.flags, FETCH_IMMUTABLE);
        size_t have = q.a.len;
        ask(&q, "/live/cam/S1/v720/0.m4s", have, 5000);
        assert_false(q.done);
        assert_int_equal(put_video(s, "v720", 0, 1), 0);
        assert_int_equal(q.done, 1);
        struct buf *second = fmp4_video_chunk(0, 1, 40);
        assert_int_equal(q.a.len, second->len);
        assert_memory_equal(q.bytes, second->data, second->len);
        buf_unref(&second);
}

static void test_segment_completed_by_a_later_one_ends_the_wait(void **state)
{
        (void)state;
        struct session *s = live(1);
        struct question q;
        assert_int_equal(put_video(s, "v720", 0, 0), 0);
        ask(&q, "/live/cam/S1/v720/0.m4s", store_session(&store, "S1")->tracks[0]->log->index.rows[0].len_bytes, 5000);
        assert_false(q.done);
        assert_int_equal(put_video(s, "v720", 1, 0), 0);
        assert_int_equal(q.done, 1);
        assert_int_equal(q.a.status, 0);
        assert_int_equal(q.a.len, 0);
        assert_true(q.a.flags & FETCH_COMPLETE);
}

static void test_wait_is_bounded(void **state)
{
        (void)state;
        live(0);
        assert_int_equal(status_of("/live/cam/S1/v720/0.m4s", 1), ERR_NOT_YET);
        assert_int_equal(status_of("/live/cam/S1/v720/0.m4s", 0), ERR_NOT_YET);
}

static void test_segment_due_soon_is_held_and_one_far_ahead_is_not(void **state)
{
        (void)state;
        live(3);
        struct question q;
        assert_int_equal(status_of("/live/cam/S1/v720/8.m4s", 1), ERR_NOT_YET);
        assert_int_equal(answer_at_once(&q, "/live/cam/S1/v720/20.m4s", 0, 5000), ERR_NOT_FOUND);
        assert_in_range(q.a.ttl_ms, 1, 1000);
}

/* A node asks again when it can be there; a viewer of the port that other CDNs pull from is held all the same. */
static void test_a_node_is_told_when_a_segment_ahead_can_be_there(void **state)
{
        (void)state;
        live(3);
        struct question q = {.r = {.wait_ms = 1, .max_bytes = BODY_MAX, .from_node = true, .done = answered}};
        strcpy(q.r.key, "/live/cam/S1/v720/8.m4s");
        serve(&sv, &q.r);
        assert_int_equal(q.done, 1);
        assert_int_equal(q.a.status, ERR_NOT_YET);
        assert_in_range(q.a.ttl_ms, 1, 5000);
        ask(&q, "/live/cam/S1/v720/8.m4s", 0, 50);
        assert_int_equal(q.done, 0);
        wait_done(&q.done);
        assert_int_equal(q.a.ttl_ms, 0);
}

static void test_hole_and_segments_before_the_track_are_never_waited_for(void **state)
{
        (void)state;
        struct session *s = live(5);
        assert_int_equal(add_track(s, "a128", fmp4_audio_init(), 3000000), 0);
        assert_int_equal(put_video(s, "v720", 0, 0), 0);
        assert_int_equal(put_video(s, "v720", 2, 0), 0);
        struct question q;
        assert_int_equal(answer_at_once(&q, "/live/cam/S1/v720/1.m4s", 0, 5000), ERR_NOT_FOUND);
        assert_int_equal(answer_at_once(&q, "/live/cam/S1/a128/2.m4s", 0, 5000), ERR_NOT_FOUND);
}

static void test_unknown_names_are_not_found_at_once(void **state)
{
        (void)state;
        static const char *const keys[] = {"/", "/live", "/live/", "/live/nobody/manifest.mpd", "/live/cam/S1/../0.m4s",
                                           "/live/cam/S9/v720/0.m4s", "/live/cam/S1/v999/0.m4s", "/live/other/S1/v720/0.m4s",
                                           "/live/cam/S1/v720/00.m4s", "/live/cam/S1/v720/4294967296.m4s",
                                           "/live/cam/S1/v720/1.m4sx", "/live/cam/S1/v720/-1.m4s", "/live//S1/v720/1.m4s",
                                           "/live/cam/S1/v720/0.m4s/", "/live/cam/master.m3u9", "/api/streamsx"};
        live(0);
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
                struct question q;
                assert_int_equal(answer_at_once(&q, keys[i], 0, 5000), ERR_NOT_FOUND);
        }
}

static void test_ended_session_ends_every_wait(void **state)
{
        (void)state;
        struct session *s = live(0);
        struct question q;
        assert_int_equal(put_video(s, "v720", 0, 0), 0);
        ask(&q, "/live/cam/S1/v720/1.m4s", 0, 5000);
        assert_false(q.done);
        assert_int_equal(end_session(s), 0);
        assert_int_equal(q.done, 1);
        assert_int_equal(q.a.status, ERR_NOT_FOUND);
}

static void test_more_waits_than_allowed_are_told_full(void **state)
{
        (void)state;
        struct question q[9];
        live(0);
        for (int i = 0; i < 9; i++)
                ask(&q[i], "/live/cam/S1/v720/0.m4s", 0, 60000);
        for (int i = 0; i < 8; i++)
                assert_false(q[i].done);
        assert_int_equal(q[8].a.status, ERR_FULL);
        serve_stop(&sv);
        for (int i = 0; i < 8; i++)
                assert_int_equal(q[i].a.status, ERR_NOT_YET);
}

static void test_old_segment_comes_from_the_file_in_pieces(void **state)
{
        (void)state;
        struct session *s = live(40);
        struct question q;
        for (unsigned n = 0; n < RECENT_SEGMENTS + 3; n++)
                put_segment(s, n);
        struct buf *chunk = fmp4_video_chunk(1, 0, 40);
        ask(&q, "/live/cam/S1/v720/1.m4s", 0, 0);
        wait_done(&q.done);
        assert_int_equal(q.a.len, chunk->len * 5);
        assert_memory_equal(q.bytes, chunk->data, chunk->len);
        assert_true(q.a.flags & FETCH_COMPLETE);
        q = (struct question){.r = {.offset = chunk->len, .max_bytes = 100, .done = answered}};
        strcpy(q.r.key, "/live/cam/S1/v720/0.m4s");
        serve(&sv, &q.r);
        wait_done(&q.done);
        assert_int_equal(q.a.len, 100);
        assert_false(q.a.flags & FETCH_COMPLETE);
        buf_unref(&chunk);
}

static int answer_to_a_copier(struct question *q, const char *key, uint64_t offset, uint32_t max_bytes)
{
        *q = (struct question){.r = {.offset = offset, .max_bytes = max_bytes, .from_node = true, .hops = FETCH_HOPS_MAX, .done = answered}};
        strcpy(q->r.key, key);
        serve(&sv, &q->r);
        wait_done(&q->done);
        return q->a.status;
}

/* It is stored there with a checksum of its own, and the damage once was right from there on. */
static void test_another_origin_is_not_given_what_the_disk_has_changed(void **state)
{
        (void)state;
        struct session *s = live(40);
        struct question q;
        char path[200];
        for (unsigned n = 0; n < RECENT_SEGMENTS + 3; n++)
                put_segment(s, n);
        struct chunk_log *log = s->tracks[0]->log;
        struct segment_view v;
        assert_int_equal(chunk_log_segment(log, 1, true, &v), SEGMENT_HERE);
        assert_null(v.bytes);
        uint8_t whole[4096], bad = 0xff;
        ask(&q, "/live/cam/S1/v720/1.m4s", 0, 0);
        wait_done(&q.done);
        memcpy(whole, q.bytes, q.a.len);
        for (uint32_t max = 1; max <= v.len_bytes; max += 83) /* pieces that begin and end amid chunks */
                for (uint64_t at = 0; at < v.len_bytes; at += q.a.len) {
                        assert_int_equal(answer_to_a_copier(&q, "/live/cam/S1/v720/1.m4s", at, max == 1 ? v.len_bytes : max), 0);
                        assert_memory_equal(q.bytes, whole + at, q.a.len);
                }
        snprintf(path, sizeof(path), "%s/cam/S1/v720/000000.mp4", data_dir);
        int fd = open(path, O_RDWR);
        assert_int_equal(pwrite(fd, &bad, 1, (off_t)(v.offset + v.len_bytes) - 1), 1);
        close(fd);
        assert_int_equal(answer_to_a_copier(&q, "/live/cam/S1/v720/1.m4s", 0, BODY_MAX), ERR_CORRUPT);
        assert_int_equal(answer_to_a_copier(&q, "/live/cam/S1/v720/0.m4s", 0, BODY_MAX), 0);
        assert_int_equal(answer_to_a_copier(&q, "/live/cam/S1/v720/2.m4s", 0, BODY_MAX), 0);
}

/* Or there would be a hole in its copy for good. */
static void test_who_copies_is_told_what_cannot_be_had_from_what_never_was(void **state)
{
        (void)state;
        struct session *s = live(40);
        struct question q;
        char path[200];
        for (unsigned n = 0; n < RECENT_SEGMENTS + 4; n++)
                if (n != 2)
                        put_segment(s, n);
        assert_int_equal(answer_to_a_copier(&q, "/live/cam/S1/v720/2.m4s", 0, BODY_MAX), ERR_NOT_FOUND);
        snprintf(path, sizeof(path), "%s/cam/S1/v720/000000.mp4", data_dir);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(answer_to_a_copier(&q, "/live/cam/S1/v720/1.m4s", 0, BODY_MAX), ERR_CORRUPT);
        chunk_log_skip(s->tracks[0]->log);
        assert_int_equal(answer_to_a_copier(&q, "/live/cam/S1/v720/2.m4s", 0, BODY_MAX), ERR_CORRUPT);
        assert_int_equal(status_of("/live/cam/S1/v720/2.m4s", 0), ERR_NOT_FOUND); /* a viewer may have it from elsewhere in a moment */
}

static void test_manifest_is_held_until_sound_and_picture_are_there(void **state)
{
        (void)state;
        struct session *s = live(0);
        struct question q;
        ask(&q, "/live/cam/manifest.mpd", 0, 5000);
        assert_false(q.done);
        assert_int_equal(put_video(s, "v720", 0, 0), 0);
        assert_false(q.done);
        assert_int_equal(add_track(s, "a128", fmp4_audio_init(), 0), 0);
        assert_false(q.done);
        assert_int_equal(put_audio(s, "a128", 0), 0);
        assert_int_equal(q.done, 1);
        assert_int_equal(q.a.status, 0);
        assert_int_equal(q.a.flags, FETCH_COMPLETE);
        assert_int_equal(q.a.ttl_ms, 1000);
}

static void test_streams_lists_live_and_recorded(void **state)
{
        (void)state;
        int err;
        struct session *s = live(0);
        assert_int_equal(put_video(s, "v720", 0, 0), 0);
        s = claim("old", "S2", 0, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        assert_int_equal(put_video(s, "v720", 0, 0), 0);
        assert_int_equal(end_session(s), 0);
        struct question q;
        ask(&q, "/api/streams", 0, 0);
        assert_int_equal(q.a.status, 0);
        q.bytes[q.a.len] = 0;
        const char *text = (const char *)q.bytes;
        assert_non_null(strstr(text, "\"id\":\"cam\",\"session\":\"S1\",\"state\":\"live\""));
        assert_non_null(strstr(text, "\"id\":\"old\",\"session\":\"S2\",\"state\":\"ended\""));
        assert_non_null(strstr(text, "\"codec\":\"avc1.64001f\""));
        ask(&q, "/api/recordings", 0, 0);
        assert_int_equal(q.a.status, 0);
        assert_int_equal(q.a.flags, FETCH_COMPLETE);
        q.bytes[q.a.len] = 0;
        assert_null(strstr(text, "\"session\":\"S1\""));
        assert_non_null(strstr(text, "{\"recordings\":[{\"id\":\"old\",\"session\":\"S2\",\"state\":\"ended\""));
        ask(&q, "/api/recordings/before/1970-01-01T00:00:00.000Z/S2", 0, 0);
        q.bytes[q.a.len] = 0;
        assert_string_equal(text, "{\"recordings\":[]}");
}

/* Of many: whoever asks waits for it, and not those who ask for something else. */
static void test_a_list_of_many_streams_keeps_nobody_else_waiting(void **state)
{
        (void)state;
        struct question first, second, other;
        struct session *s = live(1);
        put_segment(s, 0);
        add_silent(3);
        ask(&first, "/api/streams", 0, 0);
        ask(&second, "/api/streams", 0, 0);
        uv_run(&loop, UV_RUN_NOWAIT);
        ask(&other, "/live/cam/S1/v720/0.m4s", 0, 0);
        assert_int_equal(other.done, 1);
        assert_int_equal(other.a.status, 0);
        assert_int_equal(first.done + second.done, 0);
        UNTIL(&loop, first.done && second.done);
        assert_int_equal(first.a.status, 0);
        assert_int_equal(second.a.status, 0);
        assert_ptr_equal(first.a.bytes, second.a.bytes); /* one list for both */
        assert_non_null(memmem(first.bytes, first.a.len, "\"session\":\"S1\"", 14));
        ask(&other, "/api/streams", 0, 0); /* it is kept for a moment */
        assert_int_equal(other.done, 1);
}

/* Anybody may ask for the list, and as often as he likes. */
static void test_streams_of_many_recordings_leave_the_disk_to_others(void **state)
{
        (void)state;
        for (unsigned i = 0; i < DISK_COLD_MAX; i++) {
                struct claim c = {.epoch_us = 1};
                snprintf(c.stream, sizeof(c.stream), "old%u", i);
                snprintf(c.session, sizeof(c.session), "OLD%u", i);
                struct session *s = session_new(&loop, data_dir, &c, 600, false);
                s->state = SESSION_ENDED;
                s->load = LOAD_NO;
                s->sum = (struct session_sum){.tracks = 1, .playable = true};
                store_add(&store, s);
        }
        unsigned before = disk_jobs();
        for (unsigned i = 0; i < 5; i++) {
                struct buf *text = list_of(&store, &sv.known);
                buf_unref(&text);
        }
        assert_in_range(disk_jobs() - before, 1, 10);
}

static void test_what_origins_tell_each_other_is_not_for_http(void **state)
{
        (void)state;
        live(1);
        const char *keys[] = {"/peer/ended/0", "/peer/live/0", "/peer/session/S1"};
        for (int i = 0; i < 3; i++) {
                struct question q;
                assert_int_equal(status_of(keys[i], 0), ERR_NOT_FOUND);
                q = (struct question){.r = {.max_bytes = BODY_MAX, .done = answered, .from_node = true}};
                strcpy(q.r.key, keys[i]);
                serve(&sv, &q.r);
                assert_int_equal(q.done, 1);
                assert_int_equal(q.a.status, 0);
                assert_non_null(i ? memmem(q.bytes, q.a.len, "\"id\":\"S1\"", 9) : memmem(q.bytes, q.a.len, "\"more\":false", 12));
        }
}

static void test_as_many_waits_as_one_may_have_connections_refuse_nobody(void **state)
{
        (void)state;
        static struct question many[1500], other;
        sv.askers.waits_of_one = 1536; /* the default of max_waits */
        struct session *s = live(0);
        for (size_t i = 0; i < 1500; i++) {
                ask(&many[i], "/live/cam/S1/v720/0.m4s", 0, 5000);
                assert_int_equal(many[i].done, 0);
        }
        ask(&other, "/live/cam/S1/v720/0.m4s", 0, 5000);
        assert_int_equal(other.done, 0);
        assert_int_equal(put_video(s, "v720", 0, 0), 0);
        assert_int_equal(other.a.status, 0);
        for (size_t i = 0; i < 1500; i++) {
                assert_int_equal(many[i].done, 1);
                assert_int_equal(many[i].a.status, 0);
        }
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_stored_segment_is_answered_whole_and_immutable),
                CASE(test_streams_of_many_recordings_leave_the_disk_to_others),
                CASE(test_a_list_of_many_streams_keeps_nobody_else_waiting),
                CASE(test_what_origins_tell_each_other_is_not_for_http),
                CASE(test_sound_is_told_from_pictures_by_its_type),
                CASE(test_growing_segment_is_answered_bit_by_bit),
                CASE(test_segment_completed_by_a_later_one_ends_the_wait),
                CASE(test_wait_is_bounded),
                CASE(test_segment_due_soon_is_held_and_one_far_ahead_is_not),
                CASE(test_a_node_is_told_when_a_segment_ahead_can_be_there),
                CASE(test_hole_and_segments_before_the_track_are_never_waited_for),
                CASE(test_unknown_names_are_not_found_at_once),
                CASE(test_ended_session_ends_every_wait),
                CASE(test_more_waits_than_allowed_are_told_full),
                CASE(test_old_segment_comes_from_the_file_in_pieces),
                CASE(test_another_origin_is_not_given_what_the_disk_has_changed),
                CASE(test_who_copies_is_told_what_cannot_be_had_from_what_never_was),
                CASE(test_manifest_is_held_until_sound_and_picture_are_there),
                CASE(test_streams_lists_live_and_recorded),
                CASE(test_as_many_waits_as_one_may_have_connections_refuse_nobody),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
