/* What is served of a broadcast that is over, and of it as one file. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "originD/stats.h"
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
static uint64_t size_of(const char *key)
{
        struct question q;
        assert_int_equal(answer_to(&q, key, 0, 5000), 0);
        return q.a.size;
}

static uint64_t size_of_recording(void)
{
        return size_of(RECORDING);
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
static struct buf *read_named(const char *key, uint64_t size, uint32_t most)
{
        struct buf *whole = buf_new(size);
        struct question q;
        for (uint64_t at = 0; at < size; at += q.a.len) {
                uint32_t max_bytes = most < sizeof(q.bytes) ? most : sizeof(q.bytes);
                q = (struct question){.r = {.offset = at, .wait_ms = 5000, .max_bytes = max_bytes, .done = answered}};
                strcpy(q.r.key, key);
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

static struct buf *read_recording(uint64_t size, uint32_t most)
{
        return read_named(RECORDING, size, most);
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

/* Each answer is a FETCH of an edge: of a small recording a piece of 1 MiB had two for each second. */
static void test_segments_of_both_tracks_are_given_in_one_answer(void **state)
{
        (void)state;
        recorded(7);
        uint64_t size = size_of_recording(), at = 0;
        struct question q;
        unsigned answers = 0;
        for (; at < size; at += q.a.len, answers++)
                assert_int_equal(answer_to(&q, RECORDING, at, 5000), 0);
        assert_int_equal(at, size);
        assert_int_equal(answers, 3); /* the header; two volumes, with a file a track; the other two */
}

/* What comes before it is not lost with it. */
static void test_what_can_be_read_is_given_up_to_what_cannot(void **state)
{
        char path[200], aside[210];
        struct question q;
        (void)state;
        recorded(3);
        uint64_t size = size_of_recording();
        assert_int_equal(answer_to(&q, RECORDING, 0, 5000), 0);
        uint64_t at = q.a.len;
        snprintf(path, sizeof(path), "%s/cam/S1/a128/000000.mp4", data_dir);
        snprintf(aside, sizeof(aside), "%s.aside", path);
        assert_int_equal(rename(path, aside), 0);
        assert_int_equal(answer_to(&q, RECORDING, at, 5000), 0);
        assert_true(q.a.len > 0 && at + q.a.len < size);
        assert_int_equal(answer_to(&q, RECORDING, at + q.a.len, 5000), ERR_IO);
        assert_int_equal(rename(aside, path), 0);
        assert_int_equal(answer_to(&q, RECORDING, at, 5000), 0);
        assert_int_equal(at + q.a.len, size);
}

static bool all_done(const struct question *q, unsigned count)
{
        for (unsigned i = 0; i < count; i++)
                if (!q[i].done)
                        return false;
        return true;
}

/* Each that was refused was asked for again a moment later, and again. */
static void test_more_clips_than_are_laid_out_at_once_wait_for_each_other(void **state)
{
        (void)state;
        enum { CLIPS = LAYOUTS_MAKING_MAX + 4 };
        struct question q[CLIPS];
        char key[64];
        recorded(CLIPS + 1);
        int64_t refused = stat_get(STAT_REFUSED_ROOM);
        for (unsigned i = 0; i < CLIPS; i++) {
                snprintf(key, sizeof(key), "/live/cam/S1/recording.%u-%u.json", i, i + 1);
                ask(&q[i], key, 0, 60000);
        }
        UNTIL(&loop, all_done(q, CLIPS));
        for (unsigned i = 0; i < CLIPS; i++)
                assert_int_equal(q[i].a.status, 0);
        assert_int_equal(stat_get(STAT_REFUSED_ROOM), refused);
}

static void test_who_waited_in_vain_for_room_is_told_to_come_back_and_counted(void **state)
{
        (void)state;
        struct question q;
        recorded(3);
        int64_t refused = stat_get(STAT_REFUSED_ROOM);
        sv.layouts.most_bytes = 100000; /* as if others had the rest */
        assert_int_equal(answer_to(&q, RECORDING, 0, 50), ERR_FULL);
        assert_int_equal(stat_get(STAT_REFUSED_ROOM), refused + 1);
        assert_int_equal(sv.askers.count, 0);
        sv.layouts.most_bytes = LAYOUTS_BYTES_MAX;
        assert_int_equal(answer_to(&q, RECORDING, 0, 5000), 0);
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

#define ONDEMAND "/live/cam/S1/ondemand.mpd"
#define FILE_OF_TRACK "/live/cam/S1/v720/ondemand.0-%u.mp4"

/* The file of a track, and what the manifest and its own index say of it: where each entry lies. */
struct file_of_track {
        char key[80];
        struct buf *bytes;
        size_t init_bytes, index_bytes;
        size_t entries, at[8], len[8];
        uint32_t lasts[8];
};

static struct session *recorded_pair(unsigned seconds)
{
        store.options.volume_segments = 2;
        struct session *s = live(0);
        assert_int_equal(add_track(s, "a128", fmp4_audio_init(), 0), 0);
        for (unsigned n = 0; n < seconds; n++) {
                put_segment(s, n);
                assert_int_equal(put_audio(s, "a128", n), 0);
        }
        assert_int_equal(end_session(s), 0);
        return s;
}

static void read_file(struct file_of_track *f, unsigned seconds)
{
        struct question q;
        struct reader r;
        struct box b;
        unsigned a, z, init;
        *f = (struct file_of_track){.entries = 0};
        snprintf(f->key, sizeof(f->key), FILE_OF_TRACK, seconds);
        assert_int_equal(answer_to(&q, ONDEMAND, 0, 5000), 0);
        char *mpd = (char *)q.bytes;
        mpd[q.a.len] = '\0';
        assert_non_null(strstr(mpd, "profiles=\"urn:mpeg:dash:profile:isoff-on-demand:2011\""));
        const char *at = strstr(mpd, strstr(f->key, "v720"));
        assert_non_null(at);
        assert_int_equal(sscanf(strstr(at, "indexRange=\""), "indexRange=\"%u-%u\"", &a, &z), 2);
        assert_int_equal(sscanf(strstr(at, "range=\"0-"), "range=\"0-%u\"", &init), 1);
        assert_int_equal(a, init + 1);
        f->init_bytes = a;
        f->index_bytes = z + 1 - a;
        f->bytes = read_named(f->key, size_of(f->key), BODY_MAX);
        reader_init(&r, f->bytes->data + a, f->index_bytes);
        assert_int_equal(box_next(&r, &b), 1);
        assert_int_equal(b.type, BOX_TYPE('s', 'i', 'd', 'x'));
        struct reader in;
        reader_init(&in, b.body, b.body_len);
        assert_int_equal(reader_u32(&in), 1u << 24);
        reader_skip(&in, 4 + 4 + 8);
        size_t place = a + (size_t)(b.body + b.body_len - (f->bytes->data + a)) + (size_t)reader_u64(&in);
        f->entries = reader_u32(&in);
        for (size_t i = 0; i < f->entries; i++) {
                f->at[i] = place;
                f->len[i] = reader_u32(&in);
                f->lasts[i] = reader_u32(&in);
                assert_int_equal(reader_u32(&in), 0x90000000);
                place += f->len[i];
        }
        assert_true(in.err == 0 && reader_left(&in) == 0 && place == f->bytes->len);
        while (box_next(&r, &b) > 0)
                assert_int_equal(b.type, BOX_TYPE('f', 'r', 'e', 'e'));
        assert_int_equal(r.err, 0);
}

/* Stored segments [from, to) of the track. */
static struct buf *stored(unsigned from, unsigned to)
{
        static uint8_t all[64 << 10];
        size_t len = 0;
        for (unsigned n = from; n < to; n++) {
                struct question q;
                char key[64];
                snprintf(key, sizeof(key), "/live/cam/S1/v720/%u.m4s", n);
                assert_int_equal(answer_to(&q, key, 0, 5000), 0);
                memcpy(all + len, q.bytes, q.a.len);
                len += q.a.len;
        }
        return buf_copy(all, len);
}

static void test_a_track_on_demand_is_what_is_stored_behind_an_index(void **state)
{
        (void)state;
        struct session *s = recorded_pair(7);
        struct file_of_track f;
        read_file(&f, 7);
        const struct buf *init = session_track(s, "v720")->init_bytes;
        assert_int_equal(f.init_bytes, init->len);
        assert_memory_equal(f.bytes->data, init->data, init->len);
        assert_int_equal(f.entries, 2);
        assert_int_equal(f.at[0], f.init_bytes + f.index_bytes);
        assert_true(f.lasts[0] == 4 * 90000 && f.lasts[1] == 3 * 90000);
        for (unsigned i = 0; i < 2; i++) {
                struct buf *is = stored(4 * i, i ? 7 : 4);
                assert_int_equal(f.len[i], is->len);
                assert_memory_equal(f.bytes->data + f.at[i], is->data, is->len);
                buf_unref(&is);
        }
        struct buf *small = read_named(f.key, f.bytes->len, 97);
        assert_memory_equal(small->data, f.bytes->data, f.bytes->len);
        buf_unref(&small);
        buf_unref(&f.bytes);
        assert_int_equal(status_of("/live/cam/S1/v720/ondemand.mp4", 5000), 0);
        assert_int_equal(status_of("/live/cam/S1/v720/ondemand.90-150.mp4", 5000), ERR_NOT_FOUND);
        assert_string_equal(type_of_file("/live/cam/S1/a128/ondemand.mp4", 0), "audio/mp4");
}

/* The manifest says where the index lies before anybody knows what is lacking. */
static void test_what_is_lacking_of_a_track_on_demand_moves_no_index(void **state)
{
        (void)state;
        struct session *s = recorded_pair(12);
        struct file_of_track f, without;
        read_file(&f, 12);
        for (unsigned n = 2; n < 4; n++) /* seconds 4 to 7 */
                volumes_get(&session_track(s, "v720")->log->closed, n)->state = VOLUME_LACKING;
        s->version++;
        read_file(&without, 12);
        assert_true(without.init_bytes == f.init_bytes && without.index_bytes == f.index_bytes && without.entries == 2);
        assert_true(without.lasts[0] == 8 * 90000 && without.lasts[1] == 4 * 90000);
        assert_true(without.at[0] == f.at[0] && without.len[0] == f.len[0] && without.len[1] == f.len[2]);
        assert_memory_equal(without.bytes->data + without.at[1], f.bytes->data + f.at[2], f.len[2]);
        for (unsigned n = 2; n < 4; n++)
                volumes_get(&session_track(s, "v720")->log->closed, n)->state = VOLUME_HERE;
        s->version++;
        buf_unref(&f.bytes);
        buf_unref(&without.bytes);
}

/* Nor does what went at the beginning: while it was live one origin had to make room, and the other's manifest is kept for ever. */
static void test_what_is_gone_from_the_beginning_of_a_track_on_demand_moves_no_index(void **state)
{
        (void)state;
        struct session *s = recorded_pair(16);
        struct chunk_log *log = session_track(s, "v720")->log;
        struct file_of_track f;
        struct reader r;
        struct box b;
        read_file(&f, 16);
        for (unsigned n = 0; n < 4; n++) /* seconds 0 to 7 */
                assert_int_equal(chunk_log_forget_volume(log, n), 0);
        s->version++;
        assert_int_equal(track_first_segment(s, session_track(s, "v720")), 8);
        struct buf *without = read_named(f.key, size_of(f.key), BODY_MAX);
        reader_init(&r, without->data + f.init_bytes, f.index_bytes);
        assert_int_equal(box_next(&r, &b), 1);
        assert_int_equal(b.type, BOX_TYPE('s', 'i', 'd', 'x'));
        while (box_next(&r, &b) > 0)
                assert_int_equal(b.type, BOX_TYPE('f', 'r', 'e', 'e'));
        assert_true(r.err == 0 && reader_left(&r) == 0);
        size_t at = f.init_bytes + f.index_bytes;
        assert_int_equal(without->len - at, f.bytes->len - f.at[2]);
        assert_memory_equal(without->data + at, f.bytes->data + f.at[2], f.bytes->len - f.at[2]);
        buf_unref(&f.bytes);
        buf_unref(&without);
}

/* A player that is told "not yet" of an index asks for nothing more, ever. */
static void test_a_track_on_demand_is_there_before_a_slow_disk_has_closed_its_volumes(void **state)
{
        (void)state;
        struct session *s = recorded_pair(7);
        struct volumes *closed = &session_track(s, "v720")->log->closed;
        struct volume_row *last = &closed->rows[closed->count - 1];
        struct file_of_track f, after;
        uint32_t crc = last->sum.crc;
        last->closing = true;
        last->sum.crc = 0;
        read_file(&f, 7);
        assert_int_equal(status_of("/live/cam/S1/v720/recording.mp4", 100), ERR_NOT_YET);
        last->closing = false;
        last->sum.crc = crc;
        session_save(s, NULL, false, NULL); /* as when it is closed: what is known of the session is looked at anew */
        read_file(&after, 7);
        assert_int_equal(after.bytes->len, f.bytes->len);
        assert_memory_equal(after.bytes->data, f.bytes->data, f.bytes->len);
        buf_unref(&f.bytes);
        buf_unref(&after.bytes);
}

static void test_while_it_goes_on_there_is_nothing_on_demand(void **state)
{
        (void)state;
        live(0);
        assert_int_equal(status_of(ONDEMAND, 0), ERR_NOT_FOUND);
        assert_int_equal(status_of("/live/cam/ondemand.mpd", 0), ERR_NOT_FOUND);
        assert_int_equal(status_of("/live/cam/S1/v720/ondemand.mp4", 0), ERR_NOT_FOUND);
}

static void put_pair(struct session *s, unsigned from, unsigned to)
{
        for (unsigned n = from; n < to; n++) {
                put_segment(s, n);
                assert_int_equal(put_audio(s, "a128", n), 0);
        }
}

static struct session *live_pair(unsigned seconds)
{
        store.options.volume_segments = 2;
        struct session *s = live(0);
        assert_int_equal(add_track(s, "a128", fmp4_audio_init(), 0), 0);
        put_pair(s, 0, seconds);
        return s;
}

/* Also of the volume that is being written; and who downloads it goes on with the same file when that one is closed, and when the broadcast ends. */
static void test_a_clip_of_what_is_live_is_the_same_file_afterwards(void **state)
{
        static const char *const keys[] = {"/live/cam/S1/recording.1-4.mp4", "/live/cam/S1/recording.1-5.mp4", "/live/cam/S1/a128/recording.3-5.mp4"};
        struct buf *before[3];
        uint64_t identity[3];
        struct question q;
        (void)state;
        struct session *s = live_pair(5); /* second 4 is in an open volume */
        for (int i = 0; i < 3; i++) {
                before[i] = read_named(keys[i], size_of(keys[i]), BODY_MAX);
                assert_int_equal(answer_to(&q, keys[i], 100, 5000), 0);
                identity[i] = q.a.identity;
        }
        for (int step = 0; step < 3; step++) {
                if (step < 2)
                        put_pair(s, 5 + 2 * (unsigned)step, 7 + 2 * (unsigned)step);
                else
                        assert_int_equal(end_session(s), 0);
                for (int i = 0; i < 3; i++) {
                        struct buf *now = read_named(keys[i], before[i]->len, BODY_MAX);
                        assert_memory_equal(now->data, before[i]->data, before[i]->len);
                        buf_unref(&now);
                        assert_int_equal(answer_to(&q, keys[i], 100, 5000), 0);
                        assert_true(q.a.identity == identity[i]);
                }
        }
        for (int i = 0; i < 3; i++)
                buf_unref(&before[i]);
}

/* What viewers can go back to is kept, and no more: a clip whose beginning went is another file, and one of which nothing is left is none. */
static void test_a_clip_of_what_is_live_goes_with_its_volumes(void **state)
{
        static const char key[] = "/live/cam/S1/recording.1-4.mp4";
        struct question q;
        char piece[100];
        (void)state;
        struct session *s = live_pair(9);
        assert_int_equal(answer_to(&q, key, 100, 5000), 0);
        uint64_t identity = q.a.identity, size = size_of(key);
        snprintf(piece, sizeof(piece), "/live/cam/S1/recording.1-4.%016" PRIx64 ".0.mp4", identity);
        assert_int_equal(status_of(piece, 5000), 0);
        for (uint32_t n = 0; n < 2; n++) {
                for (size_t t = 0; t < 2; t++)
                        assert_int_equal(chunk_log_forget_volume(s->tracks[t]->log, n), 0);
                assert_int_equal(status_of(piece, 5000), ERR_NOT_FOUND);
                assert_int_equal(answer_to(&q, key, 100, 5000), n ? ERR_NOT_FOUND : 0);
                assert_true(n || (q.a.identity != identity && q.a.size < size));
        }
}

static void has_words(const char *key, int status, const char *words)
{
        struct question q;
        assert_int_equal(answer_to(&q, key, 0, 5000), status);
        assert_int_equal(q.a.len, strlen(words));
        assert_memory_equal(q.bytes, words, q.a.len);
}

static void test_a_clip_that_ends_behind_what_is_stored_is_refused_with_what_there_is(void **state)
{
        (void)state;
        struct session *s = live_pair(5);
        put_segment(s, 5); /* without sound */
        has_words("/live/cam/S1/recording.1-6.mp4", ERR_UNSUPPORTED,
                  "to=6 is given, but this broadcast goes on: to may be up to 5, which is what is stored by now");
        has_words("/live/cam/S1/recording.1-.mp4", ERR_UNSUPPORTED,
                  "from=1 is given without to, but this broadcast goes on: to is to be given as well, up to 5, which is what is stored by now");
        has_words("/live/cam/S1/recording.1-6.json", 0,
                  "{\"error\":\"to=6 is given, but this broadcast goes on: to may be up to 5, which is what is stored by now\"}\n");
        assert_int_equal(put_audio(s, "a128", 5), 0);
        assert_int_equal(status_of("/live/cam/S1/recording.1-6.mp4", 5000), 0);
        assert_int_equal(status_of("/live/cam/S1/v720/ondemand.1-3.mp4", 5000), ERR_NOT_FOUND);
}

/* What another origin had in its place is another file. */
static void test_a_clip_of_which_something_was_cut_back_is_another_file(void **state)
{
        (void)state;
        struct session *s = live_pair(5);
        struct question q;
        assert_int_equal(answer_to(&q, "/live/cam/S1/recording.4-5.mp4", 100, 5000), 0);
        uint64_t identity = q.a.identity;
        struct chunk_log *log = session_track(s, "v720")->log;
        struct index_row *row = &log->index.rows[0]; /* of second 4 */
        assert_int_equal(row->segment, 4);
        row->len_bytes -= 1;
        assert_int_equal(answer_to(&q, "/live/cam/S1/recording.4-5.mp4", 0, 5000), ERR_IO); /* it is none that the file says */
        row->len_bytes += 1;
        UNTIL(&loop, answer_to(&q, "/live/cam/S1/recording.4-5.mp4", 100, 5000) == 0);
        assert_true(q.a.identity == identity);
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
                CASE(test_segments_of_both_tracks_are_given_in_one_answer),
                CASE(test_what_can_be_read_is_given_up_to_what_cannot),
                CASE(test_more_clips_than_are_laid_out_at_once_wait_for_each_other),
                CASE(test_who_waited_in_vain_for_room_is_told_to_come_back_and_counted),
                CASE(test_joined_seconds_of_which_one_was_removed_are_not_there),
                CASE(test_a_recording_without_some_of_its_volumes_is_shorter),
                CASE(test_for_a_byte_of_a_recording_no_segment_is_in_memory),
                CASE(test_a_track_that_is_not_in_the_recording_is_refused_with_those_that_are),
                CASE(test_what_cannot_be_read_of_a_recording_is_not_said_to_be_not_there),
                CASE(test_a_track_on_demand_is_what_is_stored_behind_an_index),
                CASE(test_what_is_lacking_of_a_track_on_demand_moves_no_index),
                CASE(test_what_is_gone_from_the_beginning_of_a_track_on_demand_moves_no_index),
                CASE(test_a_track_on_demand_is_there_before_a_slow_disk_has_closed_its_volumes),
                CASE(test_while_it_goes_on_there_is_nothing_on_demand),
                CASE(test_a_clip_of_what_is_live_is_the_same_file_afterwards),
                CASE(test_a_clip_of_what_is_live_goes_with_its_volumes),
                CASE(test_a_clip_that_ends_behind_what_is_stored_is_refused_with_what_there_is),
                CASE(test_a_clip_of_which_something_was_cut_back_is_another_file),
                CASE(test_what_goes_on_is_no_recording_yet),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
