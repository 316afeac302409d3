#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "common/err.h"
#include "originD/log/index.h"
#include "originD/recording.h"
#include "tests/unit/origin_fmp4.h"

#define TYPE(name) BOX_TYPE(name[0], name[1], name[2], name[3])

static int find(const uint8_t *data, size_t len, const char *type, unsigned n, struct box *out)
{
        struct reader r;
        reader_init(&r, data, len);
        while (box_next(&r, out) > 0)
                if (out->type == TYPE(type) && n-- == 0)
                        return 1;
        return 0;
}

static uint32_t u32_at(const struct box *b, size_t at)
{
        struct reader r;
        reader_init(&r, b->body, b->body_len);
        reader_skip(&r, at);
        return reader_u32(&r);
}

static void test_the_header_has_both_tracks_under_their_own_ids(void **state)
{
        (void)state;
        const struct buf *inits[] = {fmp4_video_init(), fmp4_audio_init()};
        struct buf *h;
        struct box ftyp, moov, b, tkhd, mvex;
        assert_int_equal(recording_header(&h, inits, 2, INT64_C(90061500000)), 0);
        assert_int_equal(find(h->data, h->len, "ftyp", 0, &ftyp), 1);
        assert_int_equal(find(h->data, h->len, "moov", 0, &moov), 1);
        assert_ptr_equal(moov.body + moov.body_len, h->data + h->len);
        for (unsigned i = 0; i < 2; i++) {
                assert_int_equal(find(moov.body, moov.body_len, "trak", i, &b), 1);
                assert_int_equal(find(b.body, b.body_len, "tkhd", 0, &tkhd), 1);
                assert_int_equal(u32_at(&tkhd, 12), i + 1);
        }
        assert_int_equal(find(moov.body, moov.body_len, "trak", 2, &b), 0);
        assert_int_equal(find(moov.body, moov.body_len, "mvex", 0, &mvex), 1);
        for (unsigned i = 0; i < 2; i++) {
                assert_int_equal(find(mvex.body, mvex.body_len, "trex", i, &b), 1);
                assert_int_equal(u32_at(&b, 4), i + 1);
        }
        assert_int_equal(find(mvex.body, mvex.body_len, "mehd", 0, &b), 1);
        assert_int_equal(u32_at(&b, 8), 90061500); /* ms */
        assert_int_equal(find(moov.body, moov.body_len, "mvhd", 0, &b), 1);
        assert_int_equal(u32_at(&b, b.body_len - 4), 3); /* the next track's id */
        buf_unref(&h);
        assert_int_equal(recording_header(&h, inits + 1, 1, 0), 0); /* sound alone, live */
        assert_int_equal(find(h->data, h->len, "moov", 0, &moov), 1);
        assert_int_equal(find(moov.body, moov.body_len, "mvex", 0, &mvex), 1);
        assert_int_equal(find(mvex.body, mvex.body_len, "mehd", 0, &b), 0);
        buf_unref(&h);
        for (size_t i = 0; i < 2; i++)
                buf_unref((struct buf **)&inits[i]);
}

static void test_what_is_no_init_segment_makes_no_header(void **state)
{
        (void)state;
        struct buf *video = fmp4_video_init(), *cut = buf_copy(video->data, video->len - 1), *h;
        const struct buf *inits[] = {video, cut};
        assert_int_equal(recording_header(&h, inits, 2, 0), ERR_PROTO);
        assert_null(h);
        buf_unref(&video);
        buf_unref(&cut);
}

/* Picture: segments 0 … 14. Sound: segments 3, 5, 7 … 15. */
#define VIDEO_ROWS 15
#define AUDIO_ROWS 7
static struct index_row video[VIDEO_ROWS], audio[AUDIO_ROWS];
static struct recording_part part;

static void make_part(void)
{
        for (uint32_t i = 0; i < VIDEO_ROWS; i++)
                video[i] = (struct index_row){.segment = i, .len_bytes = 100 + i};
        for (uint32_t i = 0; i < AUDIO_ROWS; i++)
                audio[i] = (struct index_row){.segment = 3 + 2 * i, .len_bytes = 50 + i};
        part = (struct recording_part){.rows = {video, audio}, .count = {VIDEO_ROWS, AUDIO_ROWS}};
}

static void test_segments_stand_by_their_numbers_without_gaps(void **state)
{
        (void)state;
        make_part();
        struct recording_cursor c = {0};
        struct recording_piece p;
        uint64_t offset = 0, last = 0;
        unsigned n = 0, sound = 0;
        for (; recording_next(&c, &part, &p); n++) {
                const struct index_row *k = &part.rows[p.track][p.row];
                uint64_t order = (uint64_t)k->segment * 2 + p.track;
                assert_true(n == 0 || order > last);
                assert_int_equal(p.offset, offset);
                assert_int_equal(p.len_bytes, k->len_bytes);
                offset += p.len_bytes;
                last = order;
                sound += p.track == 1;
        }
        assert_int_equal(n, VIDEO_ROWS + AUDIO_ROWS);
        assert_int_equal(sound, AUDIO_ROWS);
        assert_int_equal(offset, recording_part_bytes(&part));
        assert_false(recording_next(&c, &part, &p));
}

static void test_every_byte_is_found_in_its_piece(void **state)
{
        (void)state;
        make_part();
        struct recording_cursor c = {.offset = 0};
        struct recording_piece p;
        for (uint64_t at = 0; at < recording_part_bytes(&part); at++) {
                recording_seek(&c, &part, at);
                assert_true(recording_next(&c, &part, &p));
                assert_true(at >= p.offset && at < p.offset + p.len_bytes);
        }
        struct recording_part none = {.count = {0, 0}};
        recording_seek(&c, &none, 0);
        assert_false(recording_next(&c, &none, &p));
        assert_int_equal(recording_part_bytes(&none), 0);
}

static struct init_info info_of(struct buf *init)
{
        struct init_info info;
        assert_int_equal(box_init_parse(init->data, init->len, &info), 0);
        buf_unref(&init);
        return info;
}

/* Chunks 2 and 4 of segment 7. */
static void test_a_segment_keeps_its_length_and_its_samples(void **state)
{
        (void)state;
        struct init_info info = info_of(fmp4_video_init());
        struct buf *chunk = fmp4_video_chunk(7, 2, 300), *before = buf_copy(chunk->data, chunk->len), *last = fmp4_video_chunk(7, 4, 100);
        struct buf *segment = buf_new(chunk->len + last->len);
        memcpy(segment->data, chunk->data, chunk->len);
        memcpy(segment->data + chunk->len, last->data, last->len);
        struct chunk_info was, is;
        struct box b, moof, traf, mdat, mdat_before;
        assert_int_equal(box_chunk_parse(before->data, before->len, &info, &was), 0);
        assert_int_equal(recording_rewrite(segment->data, segment->len, &info, 1, 7, 3), 0);
        memcpy(chunk->data, segment->data, chunk->len);
        memcpy(last->data, segment->data + chunk->len, last->len);
        assert_int_equal(find(chunk->data, chunk->len, "styp", 0, &b), 0);
        assert_int_equal(find(chunk->data, chunk->len, "free", 0, &b), 1);
        assert_int_equal(find(chunk->data, chunk->len, "moof", 0, &moof), 1);
        assert_int_equal(find(moof.body, moof.body_len, "mfhd", 0, &b), 1);
        assert_int_equal(u32_at(&b, 4), (7 * 2 + 1) * 5 + 1);
        assert_int_equal(find(last->data, last->len, "moof", 0, &traf), 1);
        assert_int_equal(find(traf.body, traf.body_len, "mfhd", 0, &b), 1);
        assert_int_equal(u32_at(&b, 4), (7 * 2 + 1) * 5 + 2);
        assert_int_equal(find(moof.body, moof.body_len, "traf", 0, &traf), 1);
        assert_int_equal(find(traf.body, traf.body_len, "tfhd", 0, &b), 1);
        assert_int_equal(u32_at(&b, 4), 2);
        assert_int_equal(find(chunk->data, chunk->len, "mdat", 0, &mdat), 1);
        assert_int_equal(find(before->data, before->len, "mdat", 0, &mdat_before), 1);
        assert_int_equal(mdat.body_len, mdat_before.body_len);
        assert_memory_equal(mdat.body, mdat_before.body, mdat.body_len);
        struct init_info second = info;
        second.track_id = 2;
        memcpy(chunk->data + 4, "styp", 4); /* as it came, for the parser */
        assert_int_equal(box_chunk_parse(chunk->data, chunk->len, &second, &is), 0);
        assert_int_equal(is.start_ticks, was.start_ticks - 3 * 90000);
        assert_int_equal(is.duration_ticks, was.duration_ticks);
        assert_int_equal(is.samples, was.samples);
        buf_unref(&segment);
        buf_unref(&last);
        buf_unref(&chunk);
        buf_unref(&before);
}

/* The log takes a chunk whose first sample is a tick before its place on the grid, as rounding has it. */
static void test_a_recording_may_begin_with_a_chunk_that_is_a_tick_early(void **state)
{
        (void)state;
        struct init_info info = info_of(fmp4_video_init());
        struct chunk_info is;
        struct buf *chunk = fmp4_chunk(3 * 90000 - 1, 5, 3600, 300), *early = fmp4_chunk(3 * 90000 - 2, 5, 3600, 300);
        assert_true(index_on_grid(3 * 90000 - 1, info.timescale, 3, 0));
        assert_false(index_on_grid(3 * 90000 - 2, info.timescale, 3, 0));
        assert_int_equal(recording_rewrite(chunk->data, chunk->len, &info, 0, 3, 3), 0);
        memcpy(chunk->data + 4, "styp", 4); /* as it came, for the parser */
        assert_int_equal(box_chunk_parse(chunk->data, chunk->len, &info, &is), 0);
        assert_int_equal(is.start_ticks, 0);
        assert_int_equal(recording_rewrite(early->data, early->len, &info, 0, 3, 3), ERR_PROTO);
        buf_unref(&chunk);
        buf_unref(&early);
}

static void test_what_is_no_chunk_of_the_track_is_refused(void **state)
{
        (void)state;
        struct init_info info = info_of(fmp4_video_init()), other = info;
        struct buf *chunk = fmp4_video_chunk(2, 0, 300);
        struct buf *with_more = buf_new(chunk->len + 8), *many = buf_new(6 * chunk->len);
        memcpy(with_more->data, chunk->data, chunk->len);
        memcpy(with_more->data + chunk->len, "\0\0\0\x08" "free", 8);
        for (size_t i = 0; i < 6; i++)
                memcpy(many->data + i * chunk->len, chunk->data, chunk->len);
        assert_int_equal(recording_rewrite(with_more->data, with_more->len, &info, 0, 2, 0), ERR_PROTO);
        assert_int_equal(recording_rewrite(many->data, many->len, &info, 0, 2, 0), ERR_PROTO); /* six chunks */
        buf_unref(&with_more);
        buf_unref(&many);
        other.track_id = 9;
        assert_int_equal(recording_rewrite(chunk->data, chunk->len, &other, 0, 2, 0), ERR_PROTO);
        assert_int_equal(recording_rewrite(chunk->data, chunk->len - 1, &info, 0, 2, 0), ERR_PROTO);
        assert_int_equal(recording_rewrite(chunk->data, 0, &info, 0, 2, 0), ERR_PROTO);
        assert_int_equal(recording_rewrite(chunk->data, chunk->len, &info, 0, 2, 3), ERR_PROTO); /* before the beginning */
        buf_unref(&chunk);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_header_has_both_tracks_under_their_own_ids),
                cmocka_unit_test(test_what_is_no_init_segment_makes_no_header),
                cmocka_unit_test(test_segments_stand_by_their_numbers_without_gaps),
                cmocka_unit_test(test_every_byte_is_found_in_its_piece),
                cmocka_unit_test(test_a_segment_keeps_its_length_and_its_samples),
                cmocka_unit_test(test_a_recording_may_begin_with_a_chunk_that_is_a_tick_early),
                cmocka_unit_test(test_what_is_no_chunk_of_the_track_is_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
