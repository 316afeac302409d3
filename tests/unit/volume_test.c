#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "originD/log/heads.h"
#include "tests/unit/full_disk.h"
#include "volume_fixture.h"

static void test_header_and_record_are_read_as_written_and_not_when_a_byte_differs(void **state)
{
        (void)state;
        uint8_t bytes[VOLUME_HEADER_BYTES];
        struct volume_header h = {.volume = 42, .timescale = 90000, .init_bytes = 700, .init_crc = 0xdeadbeef}, h2;
        struct volume_record r = {.offset = UINT64_C(1) << 40, .len_bytes = 7, .crc = 8, .segment = 9, .chunk = 3,
                                  .flags = RECORD_LAST, .samples = 12, .start_ticks = UINT64_C(1) << 50, .duration_ticks = 14}, r2;
        volume_header_encode(bytes, &h);
        assert_int_equal(volume_header_decode(&h2, bytes), 0);
        assert_memory_equal(&h, &h2, sizeof(h));
        for (size_t i = 0; i < VOLUME_HEADER_BYTES; i++) {
                bytes[i] ^= 1;
                assert_int_equal(volume_header_decode(&h2, bytes), ERR_CORRUPT);
                bytes[i] ^= 1;
        }
        volume_record_encode(bytes, &r);
        assert_int_equal(volume_record_decode(&r2, bytes), 0);
        assert_int_equal(r2.offset, r.offset);
        assert_int_equal(r2.start_ticks, r.start_ticks);
        assert_int_equal(r2.samples, 12);
        assert_int_equal(r2.chunk, 3);
        assert_int_equal(r2.flags, RECORD_LAST);
        assert_int_equal(r2.duration_ticks, 14);
        assert_int_equal(bytes[8], 7); /* little-endian */
        for (size_t i = 0; i < VOLUME_RECORD_BYTES; i++) {
                bytes[i] ^= 0x80;
                assert_int_equal(volume_record_decode(&r2, bytes), ERR_CORRUPT);
                bytes[i] ^= 0x80;
        }
}

static void test_crc_is_castagnolis(void **state)
{
        (void)state;
        assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283); /* RFC 3720's polynomial, the usual check value */
        assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

static void test_names_are_the_numbers_and_nothing_else(void **state)
{
        (void)state;
        uint32_t n;
        assert_true(volume_parse_name("000042.mp4", &n) && n == 42);
        assert_true(volume_parse_name("1234567.mp4", &n) && n == 1234567);
        assert_false(volume_parse_name("42.mp4", &n));
        assert_false(volume_parse_name("000042.mp4.torn-1", &n));
        assert_false(volume_parse_name("000042.idx", &n));
        assert_false(volume_parse_name("init.mp4", &n));
        assert_false(volume_parse_name("99999999999.mp4", &n));
}

static void test_volume_is_a_whole_mp4_and_its_records_find_every_segment(void **state)
{
        (void)state;
        struct volume_found f;
        make(CHUNKS, true);
        assert_int_equal(chunks_in(false, CHECK_ALL, &f), CHUNKS);
        assert_true(f.closed);
        assert_int_equal(f.index.count, SEGMENTS);
        assert_int_equal(f.sum.first_segment, 0);
        assert_int_equal(f.sum.last_segment, SEGMENTS - 1);
        assert_int_equal(f.index.rows[2].offset, begins[10]);
        struct buf *all = read_file("000000.mp4");
        assert_int_equal(f.sum.crc, crc32c(0, all->data, all->len));
        assert_int_equal(f.sum.bytes, all->len);
        assert_memory_equal(all->data, init->data, init->len);
        buf_unref(&all);
        index_free(&f.index);
}

static void test_nothing_is_created_where_something_is(void **state)
{
        (void)state;
        struct volume_files files;
        make(2, false);
        struct buf *before = read_file("000000.mp4");
        assert_int_equal(volume_create(&track, 0, false, &files), ERR_CONFLICT);
        struct buf *after = read_file("000000.mp4");
        assert_int_equal(before->len, after->len);
        assert_memory_equal(before->data, after->data, before->len);
        buf_unref(&before);
        buf_unref(&after);
}

static unsigned folder_syncs;

/* In place of the C library's. */
int fsync(int fd)
{
        struct stat st;
        if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
                folder_syncs++;
        return (int)syscall(SYS_fsync, fd);
}

/* Chunks that were synced are of no use in a file whose name a power failure takes away. */
static void test_names_of_a_new_volume_are_durable_where_that_is_asked_for(void **state)
{
        (void)state;
        struct volume_files files;
        folder_syncs = 0;
        assert_int_equal(volume_create(&track, 0, false, &files), 0);
        volume_files_close(&files);
        assert_int_equal(folder_syncs, 0);
        assert_int_equal(volume_create(&track, 1, true, &files), 0);
        volume_files_close(&files);
        assert_int_equal(folder_syncs, 1);
}

static void test_a_file_whose_number_no_segment_can_have_is_left_alone(void **state)
{
        (void)state;
        struct volumes none = {0};
        struct volumes_found found;
        char path[300];
        make(2, false);
        snprintf(path, sizeof(path), "%s/4294967295.mp4", folder);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "a holiday", 9), 9);
        close(fd);
        assert_int_equal(volumes_find(&track, &none, true, &found), 0);
        assert_true(found.open);
        assert_int_equal(found.number, 0);
        assert_int_equal(found.closed.count, 0);
        volumes_found_free(&found);
        assert_int_equal(access(path, F_OK), 0);
}

static void assert_closed(const struct volume_sum *whole, bool closed)
{
        struct volume_found f;
        assert_int_equal(volume_look(&track, 0, CHECK_RECORDS, whole, &f), 0);
        assert_int_equal(f.index.chunks, CHUNKS);
        assert_int_equal(f.closed, closed);
        assert_int_equal(f.sum.crc != 0, closed);
        index_free(&f.index);
        struct buf *idx = read_file("000000.idx");
        assert_int_equal(idx->len, volume_record_offset(CHUNKS + closed));
        buf_unref(&idx);
}

static void test_who_looks_at_a_volume_gives_it_a_last_record_only_if_it_is_known_to_be_whole(void **state)
{
        (void)state;
        make(CHUNKS, false);
        struct buf *mp4 = read_file("000000.mp4");
        struct volume_sum whole = {.bytes = mp4->len, .chunks = CHUNKS};
        assert_closed(NULL, false);
        assert_closed(&(struct volume_sum){.bytes = mp4->len, .chunks = CHUNKS + 1}, false);
        assert_closed(&(struct volume_sum){.bytes = mp4->len + 1, .chunks = CHUNKS}, false);
        assert_closed(&(struct volume_sum){.bytes = mp4->len, .chunks = CHUNKS, .crc = 1}, false);
        mp4->data[mp4->len - 1] ^= 1;
        write_file("000000.mp4", mp4, mp4->len);
        assert_closed(&whole, false); /* nor what is another one by its records */
        mp4->data[mp4->len - 1] ^= 1;
        write_file("000000.mp4", mp4, mp4->len);
        assert_closed(&whole, true);
        assert_closed(NULL, true);
        buf_unref(&mp4);
}

static void test_what_was_never_finished_being_made_leaves_nothing(void **state)
{
        (void)state;
        make(0, false);
        struct buf *mp4 = read_file("000000.mp4");
        for (size_t len = 0; len <= mp4->len; len += 50) {
                struct volume_found f;
                write_file("000000.mp4", mp4, len);
                assert_int_equal(volume_open(&track, 0, CHECK_TAIL, &f), ERR_CORRUPT);
                assert_false(f.lacking);
                assert_false(there("000000.mp4"));
        }
        struct volume_found f;
        assert_int_equal(volume_open(&track, 0, CHECK_TAIL, &f), ERR_NOT_FOUND);
        buf_unref(&mp4);
}

static void test_volume_goes_on_after_it_was_closed_and_is_cut_where_it_is_said(void **state)
{
        (void)state;
        struct volume_found f;
        struct index left;
        bool unsure;
        make(CHUNKS, true);
        assert_int_equal(volume_open(&track, 0, CHECK_TAIL, &f), 0);
        struct buf *b = fmp4_video_chunk(SEGMENTS, 0, 30);
        struct volume_record r = record_of(b, f.index.file_bytes, SEGMENTS, 0);
        assert_int_equal(volume_append(&f.files, b, &r, f.index.chunks, true, &unsure), 0);
        assert_int_equal(volume_cut(&track, 0, &f.files, 2, NULL, &left), 0);
        assert_int_equal(left.chunks, 10);
        assert_int_equal(left.file_bytes, begins[10]);
        r = record_of(b, left.file_bytes, SEGMENTS, 0);
        assert_int_equal(volume_append(&f.files, b, &r, left.chunks, false, &unsure), 0);
        buf_unref(&b);
        volume_files_close(&f.files);
        index_free(&f.index);
        index_free(&left);
        assert_int_equal(chunks_in(true, CHECK_ALL, &f), 11);
        index_free(&f.index);
}

static void test_full_disk_harms_neither_file(void **state)
{
        (void)state;
        struct volume_found f;
        bool unsure;
        make(7, false);
        assert_int_equal(volume_open(&track, 0, CHECK_ALL, &f), 0);
        struct buf *b = fmp4_video_chunk(1, 2, 30);
        struct volume_record r = record_of(b, f.index.file_bytes, 1, 2);
        for (size_t more = 0; more < b->len; more += 37) {
                fill_disk(begins[7] + more);
                int rc = volume_append(&f.files, b, &r, 7, false, &unsure);
                empty_disk();
                assert_int_equal(rc, ERR_NOSPACE);
                assert_false(unsure);
                struct buf *mp4 = read_file("000000.mp4"), *idx = read_file("000000.idx");
                assert_int_equal(mp4->len, begins[7]);
                assert_int_equal(idx->len, VOLUME_HEADER_BYTES + 7 * VOLUME_RECORD_BYTES);
                buf_unref(&mp4);
                buf_unref(&idx);
        }
        assert_int_equal(volume_append(&f.files, b, &r, 7, false, &unsure), 0);
        buf_unref(&b);
        volume_files_close(&f.files);
        index_free(&f.index);
}

static int rename_in_folder(const char *from, const char *to)
{
        char old[300], new[300];
        snprintf(old, sizeof(old), "%s/%s", folder, from);
        snprintf(new, sizeof(new), "%s/%s", folder, to);
        return rename(old, new);
}

static int count_heads(void *arg, uint64_t offset, const uint8_t *head, size_t head_bytes, uint64_t chunk_bytes)
{
        (void)offset;
        (void)head_bytes;
        (void)chunk_bytes;
        *(unsigned *)arg += head != NULL;
        return 0;
}

/* Of what was written anew since they would be other ones, and a file that is made of them another one than it says. */
static void test_heads_that_cannot_be_kept_leave_no_older_ones_that_pass_for_them(void **state)
{
        (void)state;
        struct volume_found f;
        unsigned heads = 0;
        make(7, false);
        assert_int_equal(volume_open(&track, 0, CHECK_ALL, &f), 0);
        volume_files_close(&f.files);
        assert_int_equal(heads_keep(&track, 0), 0);
        assert_int_equal(heads_keep(&track, 1), ERR_NOT_FOUND);
        assert_int_equal(rename_in_folder("000000.mp4", "away"), 0);
        assert_int_equal(heads_keep(&track, 0), ERR_NOT_FOUND); /* it went already: those that are there are its */
        assert_int_equal(heads_read(&track, 0, f.index.rows, f.index.count, count_heads, &heads), 0);
        assert_int_equal(heads, 7);
        assert_int_equal(rename_in_folder("away", "000000.mp4"), 0);
        fill_disk(100);
        assert_int_equal(heads_keep(&track, 0), ERR_NOSPACE);
        empty_disk();
        assert_int_equal(rename_in_folder("000000.mp4", "away"), 0);
        assert_int_equal(heads_read(&track, 0, f.index.rows, f.index.count, count_heads, &heads), ERR_NOT_FOUND);
        index_free(&f.index);
}

/* All of it can be read; that it is closed is written down when there is room. */
static void test_a_volume_that_is_whole_is_read_on_a_full_disk(void **state)
{
        (void)state;
        struct volume_found f;
        make(CHUNKS, false);
        struct buf *mp4 = read_file("000000.mp4"), *idx = read_file("000000.idx");
        struct volume_sum whole = {.bytes = mp4->len, .crc = crc32c(0, mp4->data, mp4->len)};
        for (size_t more = 0; more < VOLUME_RECORD_BYTES; more += 11) { /* a part of the last record fits */
                fill_disk(idx->len + more);
                int rc = volume_look(&track, 0, CHECK_RECORDS, &whole, &f);
                empty_disk();
                assert_int_equal(rc, 0);
                assert_true(f.closed);
                assert_int_equal(f.sum.crc, whole.crc);
                assert_int_equal(f.index.chunks, CHUNKS);
                index_free(&f.index);
        }
        assert_closed(&whole, true);
        buf_unref(&mp4);
        buf_unref(&idx);
}

static bool sync_fails;

/* In place of the C library's. */
int fdatasync(int fd)
{
        if (!sync_fails)
                return (int)syscall(SYS_fdatasync, fd);
        errno = EIO;
        return -1;
}

static void test_a_cut_that_fails_holds_nothing(void **state)
{
        (void)state;
        struct volume_found f;
        struct index left = {0};
        make(CHUNKS, false);
        assert_int_equal(volume_open(&track, 0, CHECK_TAIL, &f), 0);
        sync_fails = true;
        assert_int_equal(volume_cut(&track, 0, &f.files, 2, NULL, &left), ERR_IO);
        sync_fails = false;
        assert_null(left.rows);
        volume_files_close(&f.files);
        index_free(&f.index);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_header_and_record_are_read_as_written_and_not_when_a_byte_differs),
                CASE(test_crc_is_castagnolis),
                CASE(test_who_looks_at_a_volume_gives_it_a_last_record_only_if_it_is_known_to_be_whole),
                CASE(test_names_are_the_numbers_and_nothing_else),
                CASE(test_volume_is_a_whole_mp4_and_its_records_find_every_segment),
                CASE(test_nothing_is_created_where_something_is),
                CASE(test_names_of_a_new_volume_are_durable_where_that_is_asked_for),
                CASE(test_a_file_whose_number_no_segment_can_have_is_left_alone),
                CASE(test_what_was_never_finished_being_made_leaves_nothing),
                CASE(test_volume_goes_on_after_it_was_closed_and_is_cut_where_it_is_said),
                CASE(test_full_disk_harms_neither_file),
                CASE(test_heads_that_cannot_be_kept_leave_no_older_ones_that_pass_for_them),
                CASE(test_a_volume_that_is_whole_is_read_on_a_full_disk),
                CASE(test_a_cut_that_fails_holds_nothing),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
