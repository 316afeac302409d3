/* Sound that is kept for the first picture: in order, and never more than is agreed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ingestd/early.h"

static size_t keep(struct early *e, uint32_t ts_ms, size_t len)
{
        struct flv_frame f = {.track = TRACK_AUDIO, .dts_ms = ts_ms, .bytes = buf_new(len)};
        size_t gone = early_keep(e, &f, ts_ms * 1000);
        buf_unref(&f.bytes);
        return gone;
}

/* Those that are kept have these timestamps, each its own time of arrival, and there are no others. */
static void check_taken(struct early *e, uint32_t from_ms, uint32_t until_ms)
{
        struct early_frame f;
        for (uint32_t ms = from_ms; ms < until_ms; ms++) {
                assert_true(early_take(e, &f));
                assert_int_equal(f.frame.dts_ms, ms);
                assert_int_equal(f.wall_us, ms * 1000);
                buf_unref(&f.frame.bytes);
        }
        assert_false(early_take(e, &f));
        assert_int_equal(e->bytes, 0);
}

static void test_the_oldest_goes_when_there_are_too_many(void **state)
{
        (void)state;
        struct early e = {0};
        for (uint32_t ms = 0; ms < EARLY_FRAMES; ms++)
                assert_int_equal(keep(&e, ms, 10), 0);
        for (uint32_t ms = EARLY_FRAMES; ms < EARLY_FRAMES + 50; ms++)
                assert_int_equal(keep(&e, ms, 10), 1);
        check_taken(&e, 50, EARLY_FRAMES + 50);
}

static void test_large_frames_keep_to_the_bytes(void **state)
{
        (void)state;
        struct early e = {0};
        size_t gone = 0;
        for (uint32_t ms = 0; ms < 10; ms++)
                gone += keep(&e, ms, EARLY_BYTES / 4);
        assert_int_equal(gone, 6);
        assert_int_equal(keep(&e, 10, EARLY_BYTES), 4);
        assert_int_equal(keep(&e, 11, EARLY_BYTES + 1), 1); /* itself */
        check_taken(&e, 10, 11);
}

static void test_how_much_sound_waits_is_told_by_its_timestamps(void **state)
{
        (void)state;
        struct early e = {0};
        assert_int_equal(early_span_us(&e, 5000), 0);
        keep(&e, UINT32_MAX - 999, 10);
        assert_int_equal(early_span_us(&e, UINT32_MAX - 499), 500000);
        assert_int_equal(early_span_us(&e, 1000), 2000000); /* it wraps */
        assert_int_equal(early_span_us(&e, UINT32_MAX - 1099), 0);
        assert_int_equal(early_span_us(&e, 3600000), 0);
        early_fini(&e);
}

static void test_what_is_not_taken_is_freed(void **state)
{
        (void)state;
        struct early e = {0};
        keep(&e, 0, 10);
        keep(&e, 1, 10);
        early_fini(&e);
        check_taken(&e, 0, 0);
        early_fini(&e);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_oldest_goes_when_there_are_too_many),
                cmocka_unit_test(test_large_frames_keep_to_the_bytes),
                cmocka_unit_test(test_how_much_sound_waits_is_told_by_its_timestamps),
                cmocka_unit_test(test_what_is_not_taken_is_freed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
