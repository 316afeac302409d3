/* bytes: reads stay inside their input, errors stick, and what was written is read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/bytes.h"
#include "common/err.h"

static void write_all(struct writer *w)
{
        writer_u8(w, 0x81);
        writer_u16(w, 0x8182);
        writer_u24(w, 0x818283);
        writer_u32(w, 0x81828384);
        writer_u32_le(w, 0x81828384);
        writer_u64(w, UINT64_C(0x8182838485868788));
        writer_i32(w, -5);
        writer_i64(w, INT64_MIN);
        writer_f64(w, -0.5);
        writer_str(w, "name");
        writer_bytes(w, "xyz", 3);
}

static void test_what_is_written_is_read_back(void **state)
{
        uint8_t bytes[128];
        char name[8];
        struct writer w;
        struct reader r;
        (void)state;
        writer_init(&w, bytes, sizeof(bytes));
        write_all(&w);
        assert_true(writer_ok(&w));
        assert_int_equal(bytes[1], 0x81); /* big-endian */
        reader_init(&r, bytes, w.len);
        assert_int_equal(reader_u8(&r), 0x81);
        assert_int_equal(reader_u16(&r), 0x8182);
        assert_int_equal(reader_u24(&r), 0x818283);
        assert_true(reader_u32(&r) == 0x81828384);
        assert_true(reader_u32_le(&r) == 0x81828384);
        assert_true(reader_u64(&r) == UINT64_C(0x8182838485868788));
        assert_int_equal(reader_i32(&r), -5);
        assert_true(reader_i64(&r) == INT64_MIN);
        assert_true(reader_f64(&r) == -0.5);
        reader_str(&r, name, sizeof(name));
        assert_string_equal(name, "name");
        assert_int_equal(reader_done(&r), ERR_PROTO); /* three bytes are left */
        assert_memory_equal(reader_bytes(&r, 3), "xyz", 3);
        assert_int_equal(reader_done(&r), 0);
}

static void test_measuring_and_writing_agree(void **state)
{
        uint8_t bytes[128];
        struct writer count, small, exact;
        (void)state;
        writer_init(&count, NULL, 0);
        write_all(&count);
        assert_false(writer_ok(&count));
        memset(bytes, 0xee, sizeof(bytes));
        writer_init(&small, bytes, count.len - 1);
        write_all(&small);
        assert_false(writer_ok(&small));
        assert_int_equal(small.len, count.len);
        assert_int_equal(bytes[count.len - 1], 0xee); /* nothing beyond the array */
        writer_init(&exact, bytes, count.len);
        write_all(&exact);
        assert_true(writer_ok(&exact));
}

static void test_a_short_read_gives_zeros_for_ever(void **state)
{
        uint8_t bytes[3] = {1, 2, 3};
        struct reader r;
        (void)state;
        reader_init(&r, bytes, sizeof(bytes));
        assert_int_equal(reader_u32(&r), 0);
        assert_int_equal(reader_u8(&r), 0); /* although there are bytes */
        assert_int_equal(reader_left(&r), 0);
        assert_null(reader_bytes(&r, 0));
        assert_int_equal(reader_done(&r), ERR_PROTO);
        reader_init(&r, NULL, 0);
        assert_int_equal(reader_done(&r), 0);
        reader_skip(&r, SIZE_MAX);
        assert_int_equal(reader_done(&r), ERR_PROTO);
}

static void test_signed_24_bits(void **state)
{
        uint8_t bytes[6] = {0xff, 0xff, 0xfe, 0x7f, 0xff, 0xff};
        struct reader r;
        (void)state;
        reader_init(&r, bytes, sizeof(bytes));
        assert_int_equal(reader_i24(&r), -2);
        assert_int_equal(reader_i24(&r), 0x7fffff);
}

static void test_strings_are_bounded_and_always_ended(void **state)
{
        uint8_t longer[] = {0, 4, 'a', 'b', 'c', 'd'}, nul[] = {0, 2, 'a', 0}, lies[] = {0xff, 0xff, 'a'};
        char dst[4];
        struct reader r;
        (void)state;
        memset(dst, 'x', sizeof(dst));
        reader_init(&r, longer, sizeof(longer));
        reader_str(&r, dst, sizeof(dst));
        assert_string_equal(dst, "");
        assert_int_equal(reader_done(&r), ERR_PROTO);
        reader_init(&r, nul, sizeof(nul));
        reader_str(&r, dst, sizeof(dst));
        assert_string_equal(dst, "");
        assert_int_equal(reader_done(&r), ERR_PROTO);
        reader_init(&r, lies, sizeof(lies));
        reader_str(&r, dst, sizeof(dst));
        assert_string_equal(dst, "");
        longer[1] = 3;
        reader_init(&r, longer, 5);
        reader_str(&r, dst, sizeof(dst));
        assert_string_equal(dst, "abc");
        assert_int_equal(reader_done(&r), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_written_is_read_back),
                cmocka_unit_test(test_measuring_and_writing_agree),
                cmocka_unit_test(test_a_short_read_gives_zeros_for_ever),
                cmocka_unit_test(test_signed_24_bits),
                cmocka_unit_test(test_strings_are_bounded_and_always_ended),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
