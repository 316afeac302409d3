/* ahead: batches that came too soon wait for those before them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/ahead.h"

static struct buf *bytes;

static bool keep(struct ahead *a, uint64_t first_seq, uint16_t count)
{
        static struct frame frames[AHEAD_FRAMES + 1];
        for (uint16_t i = 0; i < count; i++)
                frames[i] = (struct frame){.dts_us = (int64_t)first_seq + i, .bytes = bytes};
        return ahead_keep(a, &(struct media){.first_seq = first_seq, .count = count, .frames = frames});
}

static void test_each_waits_until_those_before_it_are_there(void **state)
{
        struct ahead a = {0};
        (void)state;
        bytes = buf_copy("x", 1);
        assert_null(ahead_due(&a, 100));
        assert_true(keep(&a, 14, 2));
        assert_true(keep(&a, 12, 2));
        assert_null(ahead_due(&a, 11));
        struct ahead_batch *b = ahead_due(&a, 12);
        assert_int_equal(b->first_seq, 12);
        assert_int_equal(b->frames[1].dts_us, 13);
        ahead_drop(b);
        assert_null(ahead_due(&a, 13));
        b = ahead_due(&a, 14);
        assert_int_equal(b->first_seq, 14);
        ahead_clear(&a);
        assert_int_equal(atomic_load(&bytes->refs), 1);
        buf_unref(&bytes);
}

static void test_what_waits_is_bounded(void **state)
{
        struct ahead a = {0};
        (void)state;
        bytes = buf_copy("x", 1);
        assert_false(keep(&a, 1, AHEAD_FRAMES + 1));
        assert_false(keep(&a, 1, 0));
        for (uint64_t i = 0; i < AHEAD_BATCHES; i++)
                assert_true(keep(&a, 10 + i, AHEAD_FRAMES));
        assert_false(keep(&a, 20, 1));
        ahead_drop(ahead_due(&a, 10));
        assert_true(keep(&a, 20, 1));
        ahead_clear(&a);
        assert_int_equal(atomic_load(&bytes->refs), 1);
        buf_unref(&bytes);
        bytes = buf_new(AHEAD_BYTES + 1);
        assert_false(keep(&a, 1, 1));
        ahead_clear(&a);
        buf_unref(&bytes);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_waits_until_those_before_it_are_there),
                cmocka_unit_test(test_what_waits_is_bounded),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
