/* ondemand: the index of a track as one file. What is served of it is in serve_recording_test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/bytes.h"
#include "common/err.h"
#include "originD/ondemand.h"
#include "tests/unit/origin_fmp4.h"

static const struct init_info info = {.track_id = 7, .timescale = 90000};

static int add(struct ondemand *o, uint32_t segment, uint32_t bytes)
{
        struct index_row row = {.segment = segment};
        row.len_bytes = bytes & 0x7fffffff;
        return ondemand_add(o, &row);
}

/* A week of seconds has more entries of four than an index can name (16 bits). */
static void test_an_index_names_all_seconds_however_many_there_are(void **state)
{
        static const uint32_t seconds[] = {1, 4, 5, 86400, 262140, 262141, 604800, 31536000};
        (void)state;
        for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
                struct ondemand o;
                struct buf *init = fmp4_video_init(), *header;
                struct reader r;
                ondemand_begin(&o, 100, 100 + seconds[i], (UINT64_C(100) + seconds[i]) * 90000);
                assert_true(o.count <= UINT16_MAX && (uint64_t)o.count * o.step >= seconds[i]);
                for (uint32_t n = 0; n < seconds[i]; n++)
                        assert_int_equal(add(&o, 100 + n, 10), 0);
                assert_int_equal(ondemand_header(&header, &o, init, &info), 0);
                assert_int_equal(header->len, init->len + ondemand_index_bytes(100, 100 + seconds[i]));
                reader_init(&r, header->data + init->len, header->len - init->len);
                assert_int_equal(reader_u32(&r), header->len - init->len);
                reader_skip(&r, 4 + 4);
                assert_true(reader_u32(&r) == 7 && reader_u32(&r) == 90000 && reader_u64(&r) == 100 * 90000 && reader_u64(&r) == 0);
                assert_int_equal(reader_u32(&r), o.count);
                uint64_t bytes = 0, lasts = 0;
                while (reader_left(&r)) {
                        bytes += reader_u32(&r);
                        lasts += reader_u32(&r);
                        reader_skip(&r, 4);
                }
                assert_true(r.err == 0 && bytes == UINT64_C(10) * seconds[i] && lasts == UINT64_C(90000) * seconds[i]);
                buf_unref(&header);
                buf_unref(&init);
                ondemand_free(&o);
        }
}

static void test_what_lies_outside_or_is_too_long_is_no_entry(void **state)
{
        struct ondemand o;
        struct buf *init = fmp4_video_init(), *header;
        (void)state;
        ondemand_begin(&o, 10, 20, 20 * 90000);
        assert_int_equal(ondemand_header(&header, &o, init, &info), ERR_NOT_FOUND);
        assert_int_equal(add(&o, 9, 1), ERR_PROTO);
        assert_int_equal(add(&o, 20, 1), ERR_PROTO);
        assert_int_equal(add(&o, 10, 0x7fffffff), 0);
        assert_int_equal(add(&o, 11, 1), ERR_LIMIT);
        assert_int_equal(add(&o, 14, 1), 0);
        assert_int_equal(ondemand_header(&header, &o, init, &info), 0);
        assert_null(memmem(header->data, 20, "free", 4));
        assert_non_null(memmem(header->data + init->len, header->len - init->len, "free", 4)); /* for seconds 18 and 19 */
        buf_unref(&header);
        buf_unref(&init);
        ondemand_free(&o);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_an_index_names_all_seconds_however_many_there_are),
                cmocka_unit_test(test_what_lies_outside_or_is_too_long_is_no_entry),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
