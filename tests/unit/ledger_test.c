#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <pthread.h>
#include <cmocka.h>

#include "edged/ledger.h"

#define MORE 256 /* that holding may cost a piece */

static struct buf *hold(struct ledger *l, size_t len)
{
        struct buf *b = buf_new(len), *held = ledger_hold(l, b);
        buf_unref(&b);
        return held;
}

static void test_what_is_held_counts_until_its_last_reader_is_gone(void **state)
{
        (void)state;
        struct ledger l = {0};
        ledger_open(&l);
        struct buf *b = hold(&l, 1000), *reader = buf_ref(b);
        ledger_add(&l, 50);
        assert_in_range(l.bytes, 1050, 1050 + MORE);
        ledger_leave(b);
        assert_in_range(l.pinned, 1000, 1000 + MORE);
        buf_unref(&b);
        assert_in_range(l.bytes, 1050, 1050 + MORE);
        buf_unref(&reader);
        assert_int_equal(l.pinned, 0);
        assert_int_equal(l.bytes, 50);
        ledger_sub(&l, 50);
        ledger_close(&l);
}

static void test_what_left_first_is_cut_first_and_no_more_than_has_to_be(void **state)
{
        (void)state;
        struct ledger l = {0};
        struct buf *b[4], *whole = buf_new(1);
        ledger_open(&l);
        for (int i = 0; i < 4; i++)
                b[i] = hold(&l, 1000);
        for (int i = 3; i >= 0; i--)
                ledger_leave(b[i]);
        assert_false(ledger_cut(&l, 4 * (1000 + MORE)));
        assert_true(ledger_cut(&l, 2 * (1000 + MORE)));
        assert_true(ledger_is_cut(b[3]) && ledger_is_cut(b[2]) && !ledger_is_cut(b[1]) && !ledger_is_cut(b[0]));
        assert_false(ledger_cut(&l, 2 * (1000 + MORE))); /* what is cut is not kept any more, and is not cut again */
        assert_false(ledger_is_cut(NULL) || ledger_is_cut(whole));
        buf_unref(&b[1]); /* from the middle of what is left */
        for (int i = 0; i < 4; i++)
                buf_unref(&b[i]);
        assert_true(l.bytes == 0 && l.pinned == 0 && l.cut == 0);
        buf_unref(&whole);
        ledger_close(&l);
}

static void *let_go(void *arg)
{
        struct buf **all = arg;
        for (int i = 0; i < 1000; i++)
                buf_unref(&all[i]);
        return NULL;
}

static void test_readers_on_other_threads_let_go_while_there_is_cutting(void **state)
{
        (void)state;
        static struct buf *read[2][1000], *own[1000];
        struct ledger l = {0};
        pthread_t threads[2];
        ledger_open(&l);
        for (int i = 0; i < 1000; i++) {
                own[i] = hold(&l, 100);
                read[0][i] = buf_ref(own[i]);
                read[1][i] = buf_ref(own[i]);
        }
        for (int i = 0; i < 2; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, let_go, read[i]), 0);
        for (int i = 0; i < 1000; i++) {
                ledger_leave(own[i]);
                ledger_cut(&l, 10 * (100 + MORE));
                buf_unref(&own[i]);
        }
        for (int i = 0; i < 2; i++)
                pthread_join(threads[i], NULL);
        assert_true(l.bytes == 0 && l.pinned == 0 && l.cut == 0);
        ledger_close(&l);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_held_counts_until_its_last_reader_is_gone),
                cmocka_unit_test(test_what_left_first_is_cut_first_and_no_more_than_has_to_be),
                cmocka_unit_test(test_readers_on_other_threads_let_go_while_there_is_cutting),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
