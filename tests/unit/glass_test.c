#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "common/bytes.h"
#include "edged/glass.h"

static size_t segment(uint8_t *dst, size_t cap, uint32_t flags, int64_t wall_us)
{
        struct writer w;
        writer_init(&w, dst, cap);
        writer_u32(&w, 24);
        writer_bytes(&w, "stypmsdh", 8);
        writer_u32(&w, 0);
        writer_bytes(&w, "msdhcmfs", 8);
        writer_u32(&w, 32);
        writer_bytes(&w, "prft", 4);
        writer_u32(&w, flags);
        writer_u32(&w, 1);
        writer_u32(&w, (uint32_t)(wall_us / 1000000 + 2208988800));
        writer_u32(&w, (uint32_t)(((uint64_t)(wall_us % 1000000) << 32) / 1000000));
        writer_u64(&w, 90000);
        return w.len;
}

static void test_the_capture_time_is_what_the_transcoder_wrote(void **state)
{
        uint8_t bytes[64];
        int64_t wall_us;
        size_t len = segment(bytes, sizeof(bytes), 1u << 24 | 24, 1795255200123456);
        (void)state;
        assert_true(glass_captured(bytes, len, &wall_us));
        assert_in_range(wall_us, 1795255200123455, 1795255200123456);
}

static void test_whatever_else_comes_says_nothing(void **state)
{
        uint8_t bytes[64];
        int64_t wall_us;
        size_t len = segment(bytes, sizeof(bytes), 1u << 24 | 24, 1795255200123456);
        (void)state;
        for (size_t n = 0; n < len; n++)
                assert_false(glass_captured(bytes, n, &wall_us));
        memcpy(bytes + 28, "moof", 4);
        assert_false(glass_captured(bytes, len, &wall_us));
        len = segment(bytes, sizeof(bytes), 1u << 24, 1795255200123456); /* the wall clock of something else */
        assert_false(glass_captured(bytes, len, &wall_us));
        bytes[0] = 0xff; /* a box longer than anything */
        assert_false(glass_captured(bytes, len, &wall_us));
        memset(bytes, 0, 4);
        assert_false(glass_captured(bytes, len, &wall_us));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_capture_time_is_what_the_transcoder_wrote),
                cmocka_unit_test(test_whatever_else_comes_says_nothing),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
