#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/crc32c.h"
#include "common/err.h"
#include "originD/log/heads.h"
#include "originD/log/volumes.h"
#include "tests/unit/full_disk.h"
#include "tests/unit/origin_fmp4.h"
#include "tests/unit/scratch.h"

#define SEGMENTS 4
#define CHUNKS (SEGMENTS * 5)

static char folder[128];
static struct init_info info;
static struct buf *init;
static struct volume_track track;
static uint64_t begins[CHUNKS + 1]; /* where chunk i lies in the mp4; the last: its end */

static struct volume_record record_of(const struct buf *chunk, uint64_t at, unsigned n, unsigned k)
{
        return (struct volume_record){.offset = at, .len_bytes = (uint32_t)chunk->len, .crc = crc32c(0, chunk->data, chunk->len),
                                      .segment = n, .chunk = (uint8_t)k, .samples = 5, .start_ticks = n * UINT64_C(90000) + k * 18000,
                                      .duration_ticks = 18000};
}

/* Makes volume 0 with `count` chunks, left open or closed. */
static void make(unsigned count, bool closed)
{
        struct volume_files f;
        struct volume_sum sum = {.chunks = count, .samples = count * 5, .media_ticks = count * UINT64_C(18000)};
        bool unsure;
        assert_int_equal(volume_create(&track, 0, false, &f), 0);
        uint64_t at = init->len;
        for (unsigned i = 0; i < count; i++) {
                struct buf *b = fmp4_video_chunk(i / 5, i % 5, 30);
                struct volume_record r = record_of(b, at, i / 5, i % 5);
                begins[i] = at;
                assert_int_equal(volume_append(&f, b, &r, i, false, &unsure), 0);
                at += b->len;
                buf_unref(&b);
        }
        begins[count] = sum.bytes = at;
        if (closed) {
                assert_int_equal(volume_checksum(&track, 0, &f, &sum), 0);
                assert_int_equal(volume_close(&f, &sum), 0);
        } else {
                volume_files_close(&f);
        }
}

static struct buf *read_file(const char *name)
{
        char path[300];
        struct stat st;
        snprintf(path, sizeof(path), "%s/%s", folder, name);
        int fd = open(path, O_RDONLY);
        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &st), 0);
        struct buf *b = buf_new((size_t)st.st_size);
        assert_int_equal(read(fd, b->data, b->len), b->len);
        close(fd);
        return b;
}

static void write_file(const char *name, const struct buf *b, size_t len)
{
        char path[300];
        snprintf(path, sizeof(path), "%s/%s", folder, name);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        assert_int_equal(write(fd, b->data, len), len);
        close(fd);
}

static bool there(const char *name)
{
        char path[300];
        snprintf(path, sizeof(path), "%s/%s", folder, name);
        return access(path, F_OK) == 0;
}

static void clear(void)
{
        DIR *d = opendir(folder);
        struct dirent *e;
        while ((e = readdir(d)))
                if (e->d_name[0] != '.')
                        unlinkat(dirfd(d), e->d_name, 0);
        closedir(d);
}

static int setup(void **state)
{
        (void)state;
        scratch_dir(folder, sizeof(folder));
        init = fmp4_video_init();
        assert_int_equal(box_init_parse(init->data, init->len, &info), 0);
        track = (struct volume_track){.dir = folder, .info = &info, .init = init, .segments = 600};
        return 0;
}

static int teardown(void **state)
{
        (void)state;
        clear();
        buf_unref(&init);
        return rmdir(folder);
}

static uint32_t chunks_in(bool append, enum volume_check check, struct volume_found *found)
{
        assert_int_equal(append ? volume_open(&track, 0, check, found) : volume_look(&track, 0, check, NULL, found), 0);
        volume_files_close(&found->files);
        uint32_t n = found->index.chunks;
        return n;
}

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
                CASE(test_chunk_torn_at_any_byte_loses_nothing_before_it),
                CASE(test_where_anything_is_damaged_all_of_the_volume_is_checked),
                CASE(test_record_torn_at_any_byte_loses_nothing),
                CASE(test_damage_in_a_closed_volume_costs_the_segment_it_is_in),
                CASE(test_damage_in_an_open_volume_costs_the_segment_it_is_in),
                CASE(test_damage_without_an_index_costs_no_other_segment),
                CASE(test_damage_in_the_index_loses_nothing),
                CASE(test_a_chunk_of_a_damaged_time_without_a_record_costs_the_segment_it_is_in),
                CASE(test_a_record_of_an_earlier_segment_than_the_one_before_it_is_not_believed),
                CASE(test_what_was_never_finished_being_made_leaves_nothing),
                CASE(test_volume_goes_on_after_it_was_closed_and_is_cut_where_it_is_said),
                CASE(test_full_disk_harms_neither_file),
                CASE(test_heads_that_cannot_be_kept_leave_no_older_ones_that_pass_for_them),
                CASE(test_a_volume_that_is_whole_is_read_on_a_full_disk),
                CASE(test_a_cut_that_fails_holds_nothing),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
