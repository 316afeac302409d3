#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/crc32c.h"
#include "common/err.h"
#include "originD/archive/piece.h"
#include "tests/unit/scratch.h"

#define CHUNKS 7
#define INIT_BYTES 100

static char path[128];
static uint8_t media[8192];
static uint64_t begins[CHUNKS + 1];

/* An index file of seven chunks of several lengths, and its last record. */
static int setup(void **state)
{
        (void)state;
        scratch_file(path, sizeof(path));
        int fd = open(path, O_WRONLY);
        uint8_t header[VOLUME_HEADER_BYTES], bytes[VOLUME_RECORD_BYTES];
        volume_header_encode(header, &(struct volume_header){.volume = 3, .timescale = 90000, .init_bytes = INIT_BYTES});
        assert_int_equal(write(fd, header, sizeof(header)), sizeof(header));
        for (size_t i = 0; i < sizeof(media); i++)
                media[i] = (uint8_t)(i * 7 + i / 251);
        uint64_t at = INIT_BYTES;
        for (unsigned i = 0; i < CHUNKS; i++) {
                struct volume_record r = {.offset = at, .len_bytes = 200 + 150 * i, .segment = 6 + i / 5, .chunk = (uint8_t)(i % 5)};
                r.crc = crc32c(0, media + at, r.len_bytes);
                begins[i] = at;
                at += r.len_bytes;
                volume_record_encode(bytes, &r);
                assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
        }
        begins[CHUNKS] = at;
        struct volume_sum sum = {.bytes = at, .chunks = CHUNKS};
        struct volume_record last = volume_record_of_sum(&sum);
        volume_record_encode(bytes, &last);
        assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
        close(fd);
        return 0;
}

static int teardown(void **state)
{
        (void)state;
        return unlink(path);
}

static void test_any_bytes_are_in_the_fewest_whole_chunks_that_hold_them(void **state)
{
        (void)state;
        struct piece p;
        for (uint64_t from = INIT_BYTES; from < begins[CHUNKS]; from += 13)
                for (size_t len = 1; from + len <= begins[CHUNKS]; len += 97) {
                        unsigned first = 0, behind = 0;
                        while (begins[first + 1] <= from)
                                first++;
                        while (begins[behind] < from + len)
                                behind++;
                        assert_int_equal(piece_find(&p, path, from, len), 0);
                        assert_int_equal(p.from, begins[first]);
                        assert_int_equal(p.from + p.len, begins[behind]);
                        assert_int_equal(p.count, behind - first);
                        assert_true(piece_is(&p, media + p.from));
                        piece_free(&p);
                }
}

static void test_one_wrong_byte_is_seen_wherever_it_is(void **state)
{
        (void)state;
        struct piece p;
        assert_int_equal(piece_find(&p, path, begins[2], (size_t)(begins[5] - begins[2])), 0);
        for (uint64_t at = p.from; at < p.from + p.len; at += 11) {
                media[at] ^= 0x10;
                assert_false(piece_is(&p, media + p.from));
                media[at] ^= 0x10;
        }
        assert_true(piece_is(&p, media + p.from));
        piece_free(&p);
}

static void test_what_no_chunk_holds_and_what_the_index_does_not_know_is_refused(void **state)
{
        (void)state;
        struct piece p;
        assert_int_equal(piece_find(&p, path, 0, 10), ERR_CORRUPT); /* the init segment */
        assert_int_equal(piece_find(&p, path, begins[CHUNKS] - 1, 2), ERR_CORRUPT);
        assert_int_equal(piece_find(&p, path, begins[CHUNKS], 1), ERR_CORRUPT);
        assert_int_equal(piece_find(&p, "/nowhere/000003.idx", begins[0], 1), ERR_NOT_FOUND);
        int fd = open(path, O_RDWR);
        assert_int_equal(pwrite(fd, "x", 1, VOLUME_HEADER_BYTES + 3 * VOLUME_RECORD_BYTES + 5), 1);
        assert_int_equal(piece_find(&p, path, begins[3], 1), ERR_CORRUPT);
        assert_int_equal(ftruncate(fd, VOLUME_HEADER_BYTES), 0);
        assert_int_equal(piece_find(&p, path, begins[0], 1), ERR_CORRUPT);
        close(fd);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_any_bytes_are_in_the_fewest_whole_chunks_that_hold_them, setup, teardown),
                cmocka_unit_test_setup_teardown(test_one_wrong_byte_is_seen_wherever_it_is, setup, teardown),
                cmocka_unit_test_setup_teardown(test_what_no_chunk_holds_and_what_the_index_does_not_know_is_refused, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
