/* A volume whose last bytes were never written, or that is damaged anywhere, loses no more than what is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "volume_fixture.h"

/* The process died with the last chunk written up to any byte: those before are there, the rest is kept beside them. */
static void test_chunk_torn_at_any_byte_loses_nothing_before_it(void **state)
{
        (void)state;
        make(7, false);
        struct buf *mp4 = read_file("000000.mp4"), *idx = read_file("000000.idx");
        for (size_t len = begins[6]; len <= begins[7]; len++) {
                struct volume_found f;
                write_file("000000.mp4", mp4, len);
                write_file("000000.idx", idx, idx->len - VOLUME_RECORD_BYTES); /* written behind the chunk */
                uint32_t want = len == begins[7] ? 7 : 6;
                assert_int_equal(chunks_in(true, CHECK_TAIL, &f), want);
                assert_int_equal(f.torn_bytes, want == 7 ? 0 : len - begins[6]);
                assert_false(f.lacking);
                index_free(&f.index);
                struct buf *now = read_file("000000.mp4"), *records = read_file("000000.idx");
                assert_int_equal(now->len, begins[want]);
                assert_int_equal(records->len, VOLUME_HEADER_BYTES + want * VOLUME_RECORD_BYTES);
                assert_memory_equal(now->data, mp4->data, now->len);
                buf_unref(&now);
                buf_unref(&records);
                if (f.torn_bytes) {
                        struct buf *torn = read_file("000000.mp4.torn-1");
                        assert_int_equal(torn->len, f.torn_bytes);
                        assert_memory_equal(torn->data, mp4->data + begins[6], torn->len);
                        buf_unref(&torn);
                }
                clear();
        }
        buf_unref(&mp4);
        buf_unref(&idx);
}

static void change_byte(uint64_t at)
{
        struct buf *mp4 = read_file("000000.mp4");
        mp4->data[at] ^= 0xff;
        write_file("000000.mp4", mp4, mp4->len);
        buf_unref(&mp4);
}

/* The disk changed a byte of segment 0, which nobody would have looked at, and one further on. */
static void check_that_both_are_found(unsigned second, bool append, enum volume_check check)
{
        struct volume_found f;
        make(CHUNKS, false);
        change_byte(begins[2] - 1);
        change_byte(begins[second] - 1);
        if (check == CHECK_RECORDS) { /* that a record is lost is seen without any checksum: no chunk is where it says */
                struct buf *mp4 = read_file("000000.mp4");
                memset(mp4->data + begins[second - 1], 0, 8);
                write_file("000000.mp4", mp4, mp4->len);
                buf_unref(&mp4);
                struct buf *idx = read_file("000000.idx");
                idx->data[volume_record_offset(second - 1)] ^= 0xff;
                write_file("000000.idx", idx, idx->len);
                buf_unref(&idx);
        }
        assert_int_equal(chunks_in(append, check, &f), CHUNKS - 10);
        assert_true(f.lacking);
        assert_null(index_find(&f.index, 0));
        assert_non_null(index_find(&f.index, 1));
        index_free(&f.index);
        clear();
}

static void test_where_anything_is_damaged_all_of_the_volume_is_checked(void **state)
{
        (void)state;
        check_that_both_are_found(CHUNKS - 4, true, CHECK_TAIL);
        check_that_both_are_found(CHUNKS - 4, false, CHECK_TAIL);
        check_that_both_are_found(12, true, CHECK_RECORDS);
        check_that_both_are_found(12, false, CHECK_RECORDS);
}

static void test_record_torn_at_any_byte_loses_nothing(void **state)
{
        (void)state;
        make(7, false);
        struct buf *mp4 = read_file("000000.mp4"), *idx = read_file("000000.idx");
        for (size_t len = 0; len <= idx->len; len++) {
                struct volume_found f;
                write_file("000000.mp4", mp4, mp4->len);
                write_file("000000.idx", idx, len);
                assert_int_equal(chunks_in(true, CHECK_TAIL, &f), 7);
                assert_int_equal(f.index.file_bytes, mp4->len);
                index_free(&f.index);
                struct buf *records = read_file("000000.idx"), *now = read_file("000000.mp4");
                assert_int_equal(records->len, idx->len);
                assert_int_equal(now->len, mp4->len);
                buf_unref(&records);
                buf_unref(&now);
        }
        clear();
        buf_unref(&mp4);
        buf_unref(&idx);
}

/* Four bytes differ, anywhere: what was not touched is there, what was is told to be lacking, and the old file is kept. */
static void damage_anywhere(bool closed, bool with_index)
{
        make(CHUNKS, closed);
        struct buf *mp4 = read_file("000000.mp4"), *idx = read_file("000000.idx");
        for (size_t at = 0; at + 4 <= mp4->len; at += at < init->len ? 16 : 3) {
                struct volume_found f;
                uint8_t was[4];
                memcpy(was, mp4->data + at, 4);
                for (int i = 0; i < 4; i++)
                        mp4->data[at + i] ^= 0x5a;
                write_file("000000.mp4", mp4, mp4->len);
                if (with_index)
                        write_file("000000.idx", idx, idx->len);
                chunks_in(false, CHECK_ALL, &f);
                for (unsigned n = 0; n < SEGMENTS; n++) {
                        uint64_t from = begins[n * 5], to = begins[n * 5 + 5];
                        bool hit = at + 4 > from && at < to;
                        if (!with_index && n > 0) /* what says when a chunk is may be what was hit: its neighbour is taken for it then */
                                hit |= at + 4 > begins[n * 5 - 1] && at < begins[n * 5];
                        if (!with_index && n + 1 < SEGMENTS)
                                hit |= at + 4 > begins[n * 5 + 5] && at < begins[n * 5 + 6];
                        const struct index_row *row = index_find(&f.index, n);
                        /* without records damage in an mdat cannot be seen; and the last segment may end anywhere */
                        if (!with_index && hit)
                                continue;
                        bool tail = !closed && n == SEGMENTS - 1 && hit;
                        assert_true(hit ? !row || tail : row != NULL);
                        if (!row)
                                continue;
                        struct buf *now = read_file("000000.mp4");
                        if (!tail)
                                assert_memory_equal(now->data + row->offset, mp4->data + from, row->len_bytes);
                        buf_unref(&now);
                }
                if (with_index && at + 4 <= begins[15] && at >= init->len) {
                        assert_true(f.lacking);
                        assert_true(f.lost_segments == 1 || f.lost_segments == 2);
                        struct buf *kept = read_file("000000.mp4.damaged-1");
                        assert_int_equal(kept->len, mp4->len);
                        assert_memory_equal(kept->data, mp4->data, kept->len);
                        buf_unref(&kept);
                }
                if (at + 4 <= init->len)
                        assert_int_equal(f.index.chunks, CHUNKS);
                index_free(&f.index);
                memcpy(mp4->data + at, was, 4);
                chunks_in(false, CHECK_ALL, &f); /* and what was mended is whole */
                assert_false(f.lacking);
                assert_int_equal(f.torn_bytes, 0);
                index_free(&f.index);
                clear();
        }
        buf_unref(&mp4);
        buf_unref(&idx);
}

static void test_damage_in_a_closed_volume_costs_the_segment_it_is_in(void **state)
{
        (void)state;
        damage_anywhere(true, true);
}

static void test_damage_in_an_open_volume_costs_the_segment_it_is_in(void **state)
{
        (void)state;
        damage_anywhere(false, true);
}

static void test_damage_without_an_index_costs_no_other_segment(void **state)
{
        (void)state;
        damage_anywhere(false, false);
}

static void test_damage_in_the_index_loses_nothing(void **state)
{
        (void)state;
        make(CHUNKS, true);
        struct buf *mp4 = read_file("000000.mp4"), *idx = read_file("000000.idx");
        struct volume_sum whole = {.bytes = mp4->len, .crc = crc32c(0, mp4->data, mp4->len)};
        for (size_t at = 0; at + 4 <= idx->len; at++) {
                struct volume_found f;
                for (int i = 0; i < 4; i++)
                        idx->data[at + i] ^= 0x5a;
                write_file("000000.idx", idx, idx->len);
                for (int i = 0; i < 4; i++)
                        idx->data[at + i] ^= 0x5a;
                assert_int_equal(volume_look(&track, 0, CHECK_RECORDS, &whole, &f), 0);
                assert_int_equal(f.index.chunks, CHUNKS);
                assert_true(f.closed);
                assert_false(f.lacking);
                assert_int_equal(f.sum.crc, crc32c(0, mp4->data, mp4->len));
                index_free(&f.index);
                struct buf *now = read_file("000000.idx");
                assert_int_equal(now->len, idx->len);
                buf_unref(&now);
        }
        assert_false(there("000000.mp4.damaged-1"));
        assert_false(there("000000.mp4.torn-1"));
        buf_unref(&mp4);
        buf_unref(&idx);
}

/* A record that cannot be read, and its chunk's boxes tell the time of chunk `as`. */
static void damage_time(unsigned nth, unsigned as, const struct buf *mp4, const struct buf *idx)
{
        struct buf *m = buf_copy(mp4->data, mp4->len), *x = buf_copy(idx->data, idx->len);
        uint8_t *tfdt = memmem(m->data + begins[nth], begins[nth + 1] - begins[nth], "tfdt", 4);
        struct writer w;
        writer_init(&w, tfdt + 8, 8);
        writer_u64(&w, as / 5 * UINT64_C(90000) + as % 5 * 18000);
        x->data[volume_record_offset(nth)] ^= 0x5a;
        write_file("000000.mp4", m, m->len);
        write_file("000000.idx", x, x->len);
        buf_unref(&m);
        buf_unref(&x);
}

static void test_a_chunk_of_a_damaged_time_without_a_record_costs_the_segment_it_is_in(void **state)
{
        (void)state;
        make(CHUNKS, true);
        struct buf *mp4 = read_file("000000.mp4"), *idx = read_file("000000.idx");
        for (unsigned i = 0; i < CHUNKS * CHUNKS; i++) {
                unsigned nth = i / CHUNKS, as = i % CHUNKS;
                struct volume_found f;
                if (nth == as)
                        continue;
                damage_time(nth, as, mp4, idx);
                assert_int_equal(chunks_in(false, as % 2 ? CHECK_ALL : CHECK_RECORDS, &f), CHUNKS - 5);
                for (unsigned n = 0; n < SEGMENTS; n++)
                        assert_int_equal(index_find(&f.index, n) == NULL, n == nth / 5);
                assert_int_equal(f.lost_segments, 1);
                index_free(&f.index);
                clear();
        }
        buf_unref(&mp4);
        buf_unref(&idx);
}

static void test_a_record_of_an_earlier_segment_than_the_one_before_it_is_not_believed(void **state)
{
        (void)state;
        make(CHUNKS, true);
        struct volume_found f;
        struct buf *b = fmp4_video_chunk(2, 0, 30);
        struct volume_record r = record_of(b, begins[10], 2, 0);
        char path[300];
        snprintf(path, sizeof(path), "%s/000000.idx", folder);
        int fd = open(path, O_WRONLY);
        r.segment = 0;
        assert_int_equal(volume_write_record(fd, &r, 10), 0);
        close(fd);
        assert_int_equal(chunks_in(false, CHECK_ALL, &f), CHUNKS);
        assert_int_equal(f.torn_bytes, 0);
        assert_false(f.lacking);
        index_free(&f.index);
        buf_unref(&b);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_chunk_torn_at_any_byte_loses_nothing_before_it),
                CASE(test_where_anything_is_damaged_all_of_the_volume_is_checked),
                CASE(test_record_torn_at_any_byte_loses_nothing),
                CASE(test_damage_in_a_closed_volume_costs_the_segment_it_is_in),
                CASE(test_damage_in_an_open_volume_costs_the_segment_it_is_in),
                CASE(test_damage_without_an_index_costs_no_other_segment),
                CASE(test_damage_in_the_index_loses_nothing),
                CASE(test_a_chunk_of_a_damaged_time_without_a_record_costs_the_segment_it_is_in),
                CASE(test_a_record_of_an_earlier_segment_than_the_one_before_it_is_not_believed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
