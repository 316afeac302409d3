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

static struct init_info info_of(const struct buf *init)
{
        struct init_info info;
        assert_int_equal(box_init_parse(init->data, init->len, &info), 0);
        return info;
}

/* A chunk of its own at that place. */
static int tell(struct sample_tables *t, const struct buf *init, struct buf *chunk, uint64_t at)
{
        struct init_info info = info_of(init);
        size_t head;
        uint64_t bytes;
        assert_int_equal(box_chunk_length(chunk->data, chunk->len, &head, &bytes), 0);
        assert_int_equal(bytes, chunk->len);
        int rc = sample_tables_add(t, &info, chunk->data, head, bytes, at);
        buf_unref(&chunk);
        return rc;
}

static struct box inside(struct box parent, const char *path)
{
        struct box b = parent;
        for (; *path; path += path[4] ? 5 : 4) {
                char type[5] = "";
                memcpy(type, path, 4);
                parent = b;
                assert_int_equal(find(parent.body, parent.body_len, type, 0, &b), 1);
        }
        return b;
}

/* Two chunks of picture (25 a second, of 300 bytes) and one of sound that begins half a second later. */
static struct buf *make_header(uint32_t origin_segment, uint64_t first_segment)
{
        struct sample_tables tables[2] = {{.samples = 0}, {.samples = 0}};
        struct buf *inits[] = {fmp4_video_init(), fmp4_audio_init()}, *h;
        struct recording_track tracks[] = {{inits[0], &tables[0]}, {inits[1], &tables[1]}};
        assert_int_equal(tell(&tables[0], inits[0], fmp4_chunk(first_segment * 90000, 5, 3600, 300), 0), 0);
        assert_int_equal(tell(&tables[0], inits[0], fmp4_chunk(first_segment * 90000 + 18000, 5, 3600, 300), 10000), 0);
        assert_int_equal(tell(&tables[1], inits[1], fmp4_chunk(first_segment * 48000 + 24000, 3, 1024, 100), UINT64_C(5000000000)), 0);
        for (int i = 0; i < 2; i++)
                assert_int_equal(sample_tables_end(&tables[i]), 0);
        assert_int_equal(recording_header(&h, tracks, 2, origin_segment, UINT64_C(6000000000)), 0);
        for (int i = 0; i < 2; i++) {
                sample_tables_free(&tables[i]);
                buf_unref(&inits[i]);
        }
        return h;
}

static uint64_t u64_at(const struct box *b, size_t at)
{
        return (uint64_t)u32_at(b, at) << 32 | u32_at(b, at + 4);
}

static void test_the_header_has_both_tracks_under_their_own_ids(void **state)
{
        (void)state;
        struct buf *h = make_header(7, 7);
        struct box moov, b, tkhd;
        assert_int_equal(find(h->data, h->len, "ftyp", 0, &b), 1);
        assert_int_equal(find(h->data, h->len, "moov", 0, &moov), 1);
        assert_ptr_equal(moov.body + moov.body_len + 16, h->data + h->len);
        for (unsigned i = 0; i < 2; i++) {
                assert_int_equal(find(moov.body, moov.body_len, "trak", i, &b), 1);
                tkhd = inside(b, "tkhd");
                assert_int_equal(u32_at(&tkhd, 20), i + 1);
        }
        assert_int_equal(find(moov.body, moov.body_len, "trak", 2, &b), 0);
        assert_int_equal(find(moov.body, moov.body_len, "mvex", 0, &b), 0); /* it is no fragmented file */
        b = inside(moov, "mvhd");
        assert_int_equal(u32_at(&b, b.body_len - 4), 3); /* the next track's id */
        assert_int_equal(u64_at(&b, 24), 90000 / 2 + 3 * 1920); /* half a second, and three blocks of sound */
        const struct buf mdat = {.data = h->data + h->len - 16, .len = 16};
        assert_memory_equal(mdat.data, "\0\0\0\1mdat", 8);
        struct box size = {.body = mdat.data, .body_len = 16};
        assert_true(u64_at(&size, 8) == UINT64_C(6000000016));
        buf_unref(&h);
}

static void test_each_sample_is_said_to_be_where_it_lies(void **state)
{
        (void)state;
        struct buf *h = make_header(7, 7), *chunk = fmp4_chunk(7 * 90000, 5, 3600, 300);
        struct box moov, trak, b, moof;
        assert_int_equal(find(h->data, h->len, "moov", 0, &moov), 1);
        assert_int_equal(find(moov.body, moov.body_len, "trak", 0, &trak), 1);
        assert_int_equal(find(chunk->data, chunk->len, "mdat", 0, &moof), 1);
        uint64_t in_chunk = (uint64_t)(moof.body - chunk->data);
        b = inside(trak, "mdia/minf/stbl/co64");
        assert_int_equal(u32_at(&b, 4), 2);
        assert_int_equal(u64_at(&b, 8), h->len + in_chunk);
        assert_int_equal(u64_at(&b, 16), h->len + 10000 + in_chunk);
        b = inside(trak, "mdia/minf/stbl/stsc");
        assert_int_equal(u32_at(&b, 4), 1); /* all have five */
        assert_int_equal(u32_at(&b, 8), 1);
        assert_int_equal(u32_at(&b, 12), 5);
        b = inside(trak, "mdia/minf/stbl/stsz");
        assert_int_equal(u32_at(&b, 4), 0);
        assert_int_equal(u32_at(&b, 8), 10);
        for (size_t i = 0; i < 10; i++)
                assert_int_equal(u32_at(&b, 12 + 4 * i), 300);
        b = inside(trak, "mdia/minf/stbl/stts");
        assert_int_equal(u32_at(&b, 4), 1);
        assert_int_equal(u32_at(&b, 8), 10);
        assert_int_equal(u32_at(&b, 12), 3600);
        assert_int_equal(find(moov.body, moov.body_len, "trak", 1, &trak), 1);
        b = inside(trak, "mdia/minf/stbl/co64");
        assert_true(u64_at(&b, 8) > UINT64_C(5000000000)); /* beyond 4 GB */
        b = inside(trak, "edts/elst"); /* nothing for half a second */
        assert_int_equal(u32_at(&b, 4), 2);
        assert_int_equal(u64_at(&b, 8), 45000);
        assert_int_equal(u32_at(&b, 16), UINT32_MAX);
        buf_unref(&chunk);
        buf_unref(&h);
}

/* The length of the last sample before it was a guess, or it stands while nothing comes. */
static void test_a_sample_lasts_until_the_next_one_begins(void **state)
{
        (void)state;
        struct buf *init = fmp4_video_init();
        struct sample_tables t = {.samples = 0};
        assert_int_equal(tell(&t, init, fmp4_chunk(0, 5, 3600, 10), 0), 0);
        assert_int_equal(tell(&t, init, fmp4_chunk(17000, 5, 3600, 10), 500), 0);         /* a little sooner than was thought */
        assert_int_equal(tell(&t, init, fmp4_chunk(10 * 90000, 5, 3600, 10), 1000), 0);   /* behind a hole */
        assert_int_equal(sample_tables_end(&t), 0);
        const uint32_t want[] = {4, 3600, 1, 17000 - 4 * 3600, 4, 3600, 1, 10 * 90000 - 17000 - 4 * 3600, 5, 3600};
        size_t runs = t.durations.counts.count;
        assert_int_equal(2 * runs, sizeof(want) / sizeof(want[0]));
        for (size_t i = 0; i < runs; i++) {
                uint64_t count, lasts;
                column_read(&t.durations.counts, i, 1, &count);
                column_read(&t.durations.values, i, 1, &lasts);
                assert_true(count == want[2 * i] && lasts == want[2 * i + 1]);
        }
        assert_int_equal(t.end_ticks, 10 * 90000 + 18000);
        sample_tables_free(&t);
        buf_unref(&init);
}

/* A header is written where it is read. Sound has 9 or 10 samples in a chunk, pictures any sizes. */
static void test_any_range_of_a_header_is_what_stands_there(void **state)
{
        (void)state;
        struct sample_tables tables[2] = {{.samples = 0}, {.samples = 0}};
        struct buf *inits[] = {fmp4_video_init(), fmp4_audio_init()}, *whole;
        struct recording_track tracks[] = {{inits[0], &tables[0]}, {inits[1], &tables[1]}};
        struct recording_header h;
        uint8_t range[5000];
        for (uint64_t n = 0, at = 0; n < 700; n++, at += 40000) {
                assert_int_equal(tell(&tables[0], inits[0], fmp4_chunk(n * 18000, 5, 3600, (uint32_t)(n * 7919 % 3000 + 1)), at), 0);
                uint64_t sample = n * 9600 / 1024, next = (n + 1) * 9600 / 1024;
                assert_int_equal(tell(&tables[1], inits[1], fmp4_chunk(sample * 1024, (uint32_t)(next - sample), 1024, 300), at + 20000), 0);
        }
        for (int i = 0; i < 2; i++)
                assert_int_equal(sample_tables_end(&tables[i]), 0);
        assert_int_equal(recording_header(&whole, tracks, 2, 0, 1000), 0);
        assert_int_equal(recording_header_make(&h, tracks, 2, 0, 1000), 0);
        assert_int_equal(h.len, whole->len);
        assert_true(sample_tables_bytes(&tables[0]) + sample_tables_bytes(&tables[1]) < whole->len / 2);
        for (uint64_t from = 0; from < h.len; from += 61)
                for (size_t len = 1; len <= sizeof(range) && from + len <= h.len; len = len * 3 + 1) {
                        recording_header_read(&h, from, range, len);
                        assert_memory_equal(range, whole->data + from, len);
                }
        recording_header_free(&h);
        buf_unref(&whole);
        for (int i = 0; i < 2; i++) {
                sample_tables_free(&tables[i]);
                buf_unref(&inits[i]);
        }
}

static void test_what_is_no_init_segment_makes_no_header(void **state)
{
        (void)state;
        struct sample_tables t = {.samples = 0};
        struct buf *video = fmp4_video_init(), *cut = buf_copy(video->data, video->len - 1), *h;
        assert_int_equal(sample_tables_end(&t), ERR_PROTO); /* there is none yet */
        assert_int_equal(tell(&t, video, fmp4_chunk(0, 5, 3600, 10), 0), 0);
        assert_int_equal(sample_tables_end(&t), 0);
        const struct recording_track tracks[] = {{video, &t}, {cut, &t}};
        assert_int_equal(recording_header(&h, tracks, 2, 0, 0), ERR_PROTO);
        assert_null(h);
        sample_tables_free(&t);
        buf_unref(&video);
        buf_unref(&cut);
}

static void test_what_is_no_chunk_is_in_no_table(void **state)
{
        (void)state;
        struct sample_tables t = {.samples = 0};
        struct buf *init = fmp4_video_init(), *chunk = fmp4_chunk(0, 5, 3600, 300);
        struct init_info info = info_of(init);
        size_t head;
        uint64_t bytes;
        assert_int_equal(box_chunk_length(chunk->data, chunk->len, &head, &bytes), 0);
        assert_int_equal(sample_tables_add(&t, &info, chunk->data, head - 1, bytes, 0), ERR_PROTO);
        assert_int_equal(sample_tables_add(&t, &info, chunk->data, head, bytes - 1, 0), ERR_PROTO);
        info.track_id = 2;
        assert_int_equal(sample_tables_add(&t, &info, chunk->data, head, bytes, 0), ERR_PROTO);
        assert_int_equal(t.samples, 0);
        buf_unref(&chunk);
        buf_unref(&init);
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

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_header_has_both_tracks_under_their_own_ids),
                cmocka_unit_test(test_each_sample_is_said_to_be_where_it_lies),
                cmocka_unit_test(test_a_sample_lasts_until_the_next_one_begins),
                cmocka_unit_test(test_any_range_of_a_header_is_what_stands_there),
                cmocka_unit_test(test_what_is_no_init_segment_makes_no_header),
                cmocka_unit_test(test_what_is_no_chunk_is_in_no_table),
                cmocka_unit_test(test_segments_stand_by_their_numbers_without_gaps),
                cmocka_unit_test(test_every_byte_is_found_in_its_piece),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
