#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "originD/serve.h"
#include "tests/unit/origin_store.h"
#include "tests/unit/stuck.h"
#include "tests/unit/until.h"

static struct serve sv;

struct question {
        struct serve_request r;
        int done;
        struct serve_answer a;
        uint8_t bytes[4096];
};

static void answered(struct serve_request *r, const struct serve_answer *a)
{
        struct question *q = (struct question *)r;
        q->done++;
        q->a = *a;
        if (a->len && a->len <= sizeof(q->bytes))
                memcpy(q->bytes, a->bytes->data + a->from, a->len);
}

static void ask(struct question *q, const char *key, uint64_t offset, uint32_t wait_ms)
{
        *q = (struct question){.r = {.offset = offset, .wait_ms = wait_ms, .max_bytes = BODY_MAX, .done = answered}};
        snprintf(q->r.key, sizeof(q->r.key), "%s", key);
        serve(&sv, &q->r);
}

static int answer_to(struct question *q, const char *key, uint64_t offset, uint32_t wait_ms)
{
        ask(q, key, offset, wait_ms);
        wait_done(&q->done);
        assert_int_equal(q->done, 1);
        return q->a.status;
}

static int answer_at_once(struct question *q, const char *key, uint64_t offset, uint32_t wait_ms)
{
        ask(q, key, offset, wait_ms);
        assert_int_equal(q->done, 1);
        return q->a.status;
}

static int status_of(const char *key, uint32_t wait_ms)
{
        struct question q;
        return answer_to(&q, key, 0, wait_ms);
}

static void changed(struct session *s)
{
        serve_changed(&sv, s);
}

static struct manifest_options manifest = {.latency_bound_ms = 300, .target_latency_ms = 800, .time_shift_s = 60, .update_s = 2};

static void leave(void)
{
        on_changed = NULL;
        serve_close(&sv);
        stop_store();
}

static void come_back(void)
{
        start_store();
        serve_open(&sv, &loop, &store, &manifest, 8);
        on_changed = changed;
}

static void restart(void)
{
        leave();
        come_back();
}

static int setup(void **state)
{
        setup_store(state);
        serve_open(&sv, &loop, &store, &manifest, 8);
        on_changed = changed;
        return 0;
}

static int teardown(void **state)
{
        serve_stop(&sv);
        on_changed = NULL;
        serve_close(&sv);
        return teardown_store(state);
}

/* A live session with video, whose media time is now at `second`. */
static struct session *live(int64_t second)
{
        int err;
        struct session *s = claim("cam", "S1", clock_wall_us() - second * US_PER_S - US_PER_S / 2, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        return s;
}

static void put_segment(struct session *s, unsigned n)
{
        for (unsigned k = 0; k < 5; k++)
                assert_int_equal(put_video(s, "v720", n, k), 0);
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
                struct buf *text = streams_json(&store, &sv.known);
                buf_unref(&text);
        }
        assert_in_range(disk_jobs() - before, 1, 10);
}

static void test_what_origins_tell_each_other_is_not_for_http(void **state)
{
        (void)state;
        live(1);
        const char *keys[] = {"/peer/ended/0", "/peer/live", "/peer/session/S1"};
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
        unsigned moofs = 0;
        assert_memory_equal(whole->data, pieces->data, size);
        reader_init(&r, whole->data, size);
        while (box_next(&r, &b) > 0)
                moofs += b.type == BOX_TYPE('m', 'o', 'o', 'f');
        assert_int_equal(r.err, 0);
        assert_int_equal(moofs, 3 * 5 + 3); /* of the taller picture, and sound */
        buf_unref(&whole);
        buf_unref(&pieces);
        struct question q;
        assert_int_equal(answer_to(&q, RECORDING, size, 5000), ERR_NOT_FOUND);
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
        uint64_t without = size_of_recording();
        assert_int_equal(without, size - (row->sum.bytes - t->init_bytes->len));
        struct buf *sound = read_recording(without, BODY_MAX);
        buf_unref(&sound);
        row->state = VOLUME_HERE;
}

/* Or thousands of connections that want a byte each would have as many segments in memory. */
static void test_a_byte_of_a_recording_counts_as_the_segment_that_is_read_for_it(void **state)
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
        assert_int_equal(sv.askers.bytes, q.r.place.view.len_bytes);
        assert_true(sv.askers.bytes > 1000);
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

/* ---- while an origin starts ----------------------------------------------------------------------------------------- */

static struct session *recording(const char *stream, const char *id, bool by_writer)
{
        int err;
        struct session *s = claim(stream, id, 1000000, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        put_segment(s, 0);
        struct waited x = {.done = 0};
        session_end(s, 0, by_writer, &x.w, waited);
        wait_done(&x.done);
        return s;
}

/* The same store, of which one folder cannot be read yet; as an origin that has peers, or none. */
static void start_anew(bool peers)
{
        serve_stop(&sv);
        serve_close(&sv);
        stop_store();
        stick_start("late", "S9");
        begin_store();
        serve_open(&sv, &loop, &store, &manifest, 8);
        if (peers)
                serve_unsettled(&sv);
}

static void test_a_recording_is_played_while_the_rest_is_still_looked_for(void **state)
{
        (void)state;
        recording("old", "S1", true);
        start_anew(true);
        wait_known("S1");
        assert_int_equal(status_of("/live/old/S1/v720/0.m4s", 0), 0);
        assert_int_equal(status_of("/live/old/S1/v720/init.mp4", 0), 0);
        assert_int_equal(status_of("/live/old/S1/manifest.mpd", 0), 0);
        free_start("late", "S9");
}

static void test_what_is_not_known_yet_is_never_told_not_to_be_there(void **state)
{
        static const char *const keys[] = {"/live/nobody/manifest.mpd", "/live/late/manifest.mpd", "/live/late/S9/manifest.mpd",
                                           "/live/late/S9/v720/0.m4s", "/live/old/S1/v720/1.m4s", "/live/old/S1/a128/init.mp4",
                                           "/live/old/manifest.mpd", "/api/streams", "/api/recordings", "/peer/live", "/peer/ended/0", "/peer/session/S1"};
        (void)state;
        recording("old", "S1", true);
        for (int peers = 0; peers <= 1; peers++) {
                start_anew(peers);
                wait_known("S1");
                for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
                        struct question q;
                        bool known = strncmp(keys[i], "/live/old/S1", 12) == 0; /* and is looked at first */
                        ask(&q, keys[i], 0, known ? 0 : 5000);
                        if (known)
                                wait_done(&q.done);
                        assert_int_equal(q.done, 1); /* others may have it: at once */
                        assert_int_equal(q.a.status, known && !peers ? ERR_NOT_FOUND : ERR_NOT_YET); /* all of it is here */
                }
                assert_int_equal(status_of("/live/nobody/x", 0), ERR_NOT_FOUND); /* nor can it be anywhere */
                free_start("late", "S9");
                serve_settled(&sv);
                assert_int_equal(status_of("/live/old/manifest.mpd", 0), 0);
                assert_int_equal(status_of("/live/late/S9/manifest.mpd", 0), ERR_NOT_FOUND);
                assert_int_equal(status_of("/api/streams", 0), 0);
                char cmd[200];
                snprintf(cmd, sizeof(cmd), "rm -rf %s/late", data_dir);
                assert_int_equal(system(cmd), 0);
        }
}

/* What lives here may go on elsewhere, and so may what nobody wrote to here. */
static void test_of_what_may_go_on_elsewhere_nothing_is_told_before_peers_were_heard(void **state)
{
        struct question gone, silent;
        (void)state;
        struct session *s = live(1);
        put_segment(s, 0);
        recording("silent", "S2", false);
        start_anew(true);
        wait_known("S1");
        wait_known("S2");
        ask(&gone, "/live/cam/S1/v720/0.m4s", 0, 30000);
        ask(&silent, "/live/silent/S2/manifest.mpd", 0, 30000);
        assert_int_equal(gone.done + silent.done, 0);
        free_start("late", "S9");
        assert_int_equal(gone.done + silent.done, 0);
        serve_settled(&sv);
        wait_done(&gone.done);
        wait_done(&silent.done);
        assert_int_equal(gone.a.status, 0);
        assert_int_equal(silent.a.status, 0);
}

static void test_without_peers_what_was_live_is_served_as_soon_as_it_is_known(void **state)
{
        (void)state;
        struct session *s = live(1);
        put_segment(s, 0);
        start_anew(false);
        wait_known("S1");
        assert_int_equal(status_of("/live/cam/S1/v720/0.m4s", 0), 0);
        assert_int_equal(status_of("/live/cam/manifest.mpd", 0), 0);
        assert_int_equal(status_of("/live/cam/S1/v999/0.m4s", 0), ERR_NOT_FOUND);
        assert_int_equal(status_of("/live/cam/S2/v720/0.m4s", 0), ERR_NOT_YET);
        free_start("late", "S9");
        assert_int_equal(status_of("/live/cam/S2/v720/0.m4s", 0), ERR_NOT_FOUND);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
/* An ended recording of so many segments, whose indexes are in memory already: what is asked of it is read from the disk. */
static struct session *ended(unsigned segments)
{
        int err;
        struct session *s = claim("old", "S2", 0, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        for (unsigned n = 0; n < segments; n++)
                assert_int_equal(put_video(s, "v720", n, 0), 0);
        assert_int_equal(end_session(s), 0);
        return s;
}

static void ask_as(struct question *q, uint64_t asker, unsigned segment, uint32_t wait_ms)
{
        *q = (struct question){.r = {.wait_ms = wait_ms, .max_bytes = BODY_MAX, .done = answered, .asker = asker}};
        snprintf(q->r.key, sizeof(q->r.key), "/live/old/S2/v720/%u.m4s", segment);
        serve(&sv, &q->r);
}

/* Holds both threads that read old media, and the rest of what is asked for behind them. */
static void hang_cold_reads(struct stuck *s)
{
        stuck_open(s);
        for (int i = 0; i < 2; i++)
                assert_int_equal(disk_run(&loop, DISK_COLD, be_stuck, one_over, s), 0);
        wait_in(s, 2);
}

static void go_on(struct stuck *s)
{
        let_go(s);
        UNTIL(&loop, !disk_jobs());
}

static void test_live_chunks_are_stored_and_served_while_old_reads_hang(void **state)
{
        (void)state;
        struct stuck hang;
        struct question old[8], q;
        ended(8);
        struct session *s = live(0);
        hang_cold_reads(&hang);
        for (unsigned i = 0; i < 8; i++)
                ask_as(&old[i], 1, i, 0);
        ask(&q, "/live/cam/S1/v720/0.m4s", 0, 5000);
        assert_int_equal(put_video(s, "v720", 0, 0), 0);
        assert_int_equal(q.done, 1);
        assert_int_equal(q.a.status, 0);
        for (unsigned i = 0; i < 8; i++)
                assert_int_equal(old[i].done, 0);
        go_on(&hang);
        for (unsigned i = 0; i < 8; i++) {
                wait_done(&old[i].done);
                assert_int_equal(old[i].a.status, 0);
        }
        assert_int_equal(sv.askers.count, 0);
}

static void test_who_asks_for_too_much_is_refused_and_nobody_else_is(void **state)
{
        (void)state;
        struct stuck hang;
        struct question greedy[READS_OF_ONE + 8 + 1], other;
        ended(2);
        hang_cold_reads(&hang);
        for (size_t i = 0; i < READS_OF_ONE + 8; i++) {
                ask_as(&greedy[i], 1, 0, 0);
                assert_int_equal(greedy[i].done, 0);
        }
        ask_as(&greedy[READS_OF_ONE + 8], 1, 0, 0);
        assert_int_equal(greedy[READS_OF_ONE + 8].done, 1);
        assert_int_equal(greedy[READS_OF_ONE + 8].a.status, ERR_FULL);
        ask_as(&other, 2, 1, 0);
        assert_int_equal(other.done, 0);
        go_on(&hang);
        wait_done(&other.done);
        assert_int_equal(other.a.status, 0);
        for (size_t i = 0; i < READS_OF_ONE + 8; i++)
                wait_done(&greedy[i].done);
}

static void test_a_read_whose_turn_never_comes_is_told_to_come_back_later(void **state)
{
        (void)state;
        struct stuck hang;
        struct question q[READS_OF_ONE + 1];
        ended(1);
        hang_cold_reads(&hang);
        for (size_t i = 0; i < READS_OF_ONE + 1; i++)
                ask_as(&q[i], 1, 0, 0);
        assert_true(q[READS_OF_ONE].r.deadline_us > clock_mono_us() + READ_WAIT_US - US_PER_S);
        q[READS_OF_ONE].r.deadline_us = 0; /* the time is over */
        wait_done(&q[READS_OF_ONE].done);
        assert_int_equal(q[READS_OF_ONE].a.status, ERR_FULL);
        go_on(&hang);
        for (size_t i = 0; i < READS_OF_ONE; i++) {
                wait_done(&q[i].done);
                assert_int_equal(q[i].a.status, 0);
        }
}

static void nothing(void *arg)
{
        (void)arg;
}

/* Which says nothing of the file: who asks may come again. */
static void test_a_read_that_the_disk_has_no_place_for_is_told_to_come_back_later(void **state)
{
        (void)state;
        struct stuck hang;
        struct question q;
        ended(1);
        hang_cold_reads(&hang);
        for (unsigned n = 0; disk_run(&loop, DISK_COLD, nothing, nothing, NULL) == 0; n++)
                assert_true(n < DISK_COLD_MAX);
        ask_as(&q, 1, 0, 0);
        wait_done(&q.done);
        go_on(&hang);
        assert_int_equal(q.a.status, ERR_FULL);
}

/* Each is another recording's first question since a start: their loads are old reads too. */
/* What lies where in a recording is read by those who read recordings, not by those who store. */
static void test_a_recording_is_loaded_behind_other_old_reads_and_before_no_live_chunk(void **state)
{
        (void)state;
        struct stuck hang;
        struct question old;
        ended(1);
        restart();
        hang_cold_reads(&hang);
        ask_as(&old, 1, 0, 0);
        struct session *s = live(0);
        for (unsigned i = 0; i < 40; i++) /* there is time enough to load it in, were there a thread */
                assert_int_equal(put_video(s, "v720", i / 5, i % 5), 0);
        enum load_state load = store_session(&store, "S2")->load;
        go_on(&hang);
        wait_done(&old.done);
        assert_int_equal(load, LOAD_UNDER_WAY);
        assert_int_equal(old.a.status, 0);
}

static void test_what_lies_where_in_an_old_volume_is_read_by_those_who_read_old_media(void **state)
{
        (void)state;
        struct stuck hang;
        struct question old, q;
        leave();
        options.volume_segments = 2;
        start_store();
        ended(6);
        stop_store();
        come_back();
        const struct chunk_log *log = loaded(store_session(&store, "S2"))->tracks[0]->log;
        hang_cold_reads(&hang);
        ask_as(&old, 1, 0, 0);
        struct session *s = live(0);
        for (unsigned i = 0; i < 150; i++) /* there is time enough to read it in, and the live ones' are, were there a thread */
                assert_int_equal(put_video(s, "v720", i / 5, i % 5), 0);
        ask(&q, "/live/cam/S1/v720/0.m4s", 0, 5000);
        wait_done(&q.done);
        unsigned behind = log->behind;
        go_on(&hang);
        wait_done(&old.done);
        assert_int_equal(old.a.status, 0);
        assert_int_equal(behind, 1);
}

static void test_loads_of_old_recordings_take_turns(void **state)
{
        (void)state;
        struct stuck hang;
        struct question q[READS_OF_ONE + 2];
        char name[8];
        int err;
        for (int i = 0; i < READS_OF_ONE + 2; i++) {
                snprintf(name, sizeof(name), "L%d", i);
                struct session *s = claim(name, name, 0, &err);
                assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
                assert_int_equal(put_video(s, "v720", 0, 0), 0);
                assert_int_equal(end_session(s), 0);
        }
        restart();
        hang_cold_reads(&hang);
        unsigned loading = 0;
        for (int i = 0; i < READS_OF_ONE + 2; i++) {
                q[i] = (struct question){.r = {.wait_ms = 9000, .max_bytes = BODY_MAX, .done = answered, .asker = 1}};
                snprintf(q[i].r.key, sizeof(q[i].r.key), "/live/L%d/L%d/v720/0.m4s", i, i);
                serve(&sv, &q[i].r);
                snprintf(name, sizeof(name), "L%d", i);
                loading += store_session(&store, name)->load == LOAD_UNDER_WAY;
        }
        assert_int_equal(loading, READS_OF_ONE);
        go_on(&hang);
        for (int i = 0; i < READS_OF_ONE + 2; i++) {
                wait_done(&q[i].done);
                assert_int_equal(q[i].a.status, 0);
        }
}

/* Another origin that is asked and does not answer until the test does. */
static struct {
        peer_fetched *done;
        void *arg;
} peer;

static int fetch_of_peer(struct peer_link *l, const char *id, const struct fetch *what, peer_fetched *done, void *arg)
{
        (void)l;
        (void)id;
        (void)what;
        peer.done = done;
        peer.arg = arg;
        return 0;
}

static const char *the_peer(void *arg, const struct key *key, const struct session *than, unsigned nth)
{
        (void)arg;
        return key->kind == KEY_SEGMENT && !than && !nth ? "o2" : NULL;
}

static void test_while_a_peer_is_asked_on_a_viewers_behalf_others_have_its_turn(void **state)
{
        static const struct peer_link_ops ops = {.fetch = fetch_of_peer};
        struct peer_link link = {&ops};
        struct question q;
        char cmd[200];
        (void)state;
        ended(1);
        leave();
        snprintf(cmd, sizeof(cmd), "rm %s/old/S2/v720/000000.*", data_dir);
        assert_int_equal(system(cmd), 0);
        come_back();
        sv.elsewhere = (struct serve_elsewhere){.who = the_peer, .link = &link};
        peer.done = NULL;
        ask_as(&q, 1, 0, 9000); /* the session is read for it, and then the volume is found to be lacking */
        UNTIL(&loop, peer.done);
        assert_int_equal(q.done, 0);
        assert_int_equal(sv.askers.kinds[READ_OLD].reading, 0);
        peer.done(peer.arg, ERR_TIMEOUT, NULL, NULL);
        assert_int_equal(q.done, 1);
        assert_int_equal(q.a.status, ERR_NOT_FOUND);
        assert_int_equal(sv.askers.count, 0);
        sv.elsewhere = (struct serve_elsewhere){0};
}

static void test_what_a_slow_taker_was_read_counts_until_it_is_taken(void **state)
{
        (void)state;
        struct question q = {.r = {.max_bytes = BODY_MAX, .done = answered, .asker = 1, .slow_taker = true}};
        ended(1);
        strcpy(q.r.key, "/live/old/S2/v720/0.m4s");
        serve(&sv, &q.r);
        wait_done(&q.done);
        assert_int_equal(q.a.status, 0);
        assert_true(q.a.kept);
        assert_int_equal(sv.askers.bytes, q.a.len);
        serve_taken(&sv, &q.r);
        assert_int_equal(sv.askers.bytes, 0);
        serve_taken(&sv, &q.r); /* harmless */
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

int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_stored_segment_is_answered_whole_and_immutable),
                CASE(test_streams_of_many_recordings_leave_the_disk_to_others),
                CASE(test_what_origins_tell_each_other_is_not_for_http),
                CASE(test_growing_segment_is_answered_bit_by_bit),
                CASE(test_segment_completed_by_a_later_one_ends_the_wait),
                CASE(test_wait_is_bounded),
                CASE(test_segment_due_soon_is_held_and_one_far_ahead_is_not),
                CASE(test_hole_and_segments_before_the_track_are_never_waited_for),
                CASE(test_unknown_names_are_not_found_at_once),
                CASE(test_ended_session_ends_every_wait),
                CASE(test_more_waits_than_allowed_are_told_full),
                CASE(test_old_segment_comes_from_the_file_in_pieces),
                CASE(test_another_origin_is_not_given_what_the_disk_has_changed),
                CASE(test_who_copies_is_told_what_cannot_be_had_from_what_never_was),
                CASE(test_recording_of_before_the_restart_is_read_on_demand),
                CASE(test_manifest_is_held_until_sound_and_picture_are_there),
                CASE(test_a_hole_in_a_recording_is_looked_for_before_its_manifest_is_told),
                CASE(test_manifest_of_a_recording_is_immutable_under_its_own_name_only),
                CASE(test_streams_lists_live_and_recorded),
                CASE(test_while_a_peer_is_asked_on_a_viewers_behalf_others_have_its_turn),
                CASE(test_live_chunks_are_stored_and_served_while_old_reads_hang),
                CASE(test_who_asks_for_too_much_is_refused_and_nobody_else_is),
                CASE(test_a_read_whose_turn_never_comes_is_told_to_come_back_later),
                CASE(test_a_read_that_the_disk_has_no_place_for_is_told_to_come_back_later),
                CASE(test_a_recording_is_loaded_behind_other_old_reads_and_before_no_live_chunk),
                CASE(test_what_lies_where_in_an_old_volume_is_read_by_those_who_read_old_media),
                CASE(test_loads_of_old_recordings_take_turns),
                CASE(test_what_a_slow_taker_was_read_counts_until_it_is_taken),
                CASE(test_as_many_waits_as_one_may_have_connections_refuse_nobody),
                CASE(test_a_recording_is_one_file_however_it_is_read),
                CASE(test_a_recording_without_some_of_its_volumes_is_shorter),
                CASE(test_a_byte_of_a_recording_counts_as_the_segment_that_is_read_for_it),
                CASE(test_a_track_that_is_not_in_the_recording_is_refused_with_those_that_are),
                CASE(test_what_cannot_be_read_of_a_recording_is_not_said_to_be_not_there),
                CASE(test_what_goes_on_is_no_recording_yet),
                CASE(test_a_recording_is_played_while_the_rest_is_still_looked_for),
                CASE(test_what_is_not_known_yet_is_never_told_not_to_be_there),
                CASE(test_of_what_may_go_on_elsewhere_nothing_is_told_before_peers_were_heard),
                CASE(test_without_peers_what_was_live_is_served_as_soon_as_it_is_known),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
