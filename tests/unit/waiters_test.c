#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "edged/waiters.h"

#define MANY 20000

struct somebody {
        struct waiter waiter;
        unsigned number;
        bool waits, woken;
};

static struct somebody all[MANY];
static unsigned order[MANY], woken;

static void note(struct waiter *w)
{
        struct somebody *s = (struct somebody *)(void *)w;
        assert_true(s->waits && !s->woken);
        s->waits = false;
        s->woken = true;
        order[woken++] = s->number;
}

static void add(struct waiters *ws, unsigned i, uint64_t have, int64_t deadline_us)
{
        all[i] = (struct somebody){.waiter = {.have = have, .deadline_us = deadline_us, .wake = note}, .number = i, .waits = true};
        waiters_add(ws, &all[i].waiter);
}

static void test_the_oldest_is_woken_first(void **state)
{
        (void)state;
        struct waiters ws = {0};
        woken = 0;
        for (unsigned i = 0; i < 1000; i++)
                add(&ws, i, i % 3 ? 0 : 5, (int64_t)(i * 7919 % 1000));
        waiters_wake(waiters_take_behind(&ws, 5), false);
        assert_int_equal(woken, 666);
        for (unsigned i = 1; i < woken; i++)
                assert_true(order[i - 1] < order[i]);
        woken = 0;
        waiters_wake(waiters_take_all(&ws), false);
        assert_int_equal(woken, 334);
        for (unsigned i = 1; i < woken; i++)
                assert_true(order[i - 1] < order[i]);
}

/* Against a plain list: at each time those, and only those, whose deadline has passed, by whatever way the others have left. */
static void test_each_is_woken_at_its_deadline_whoever_leaves_before(void **state)
{
        (void)state;
        struct waiters ws = {0};
        unsigned seed = 1, next = 0, left = 0;
        uint64_t len = 0;
        woken = 0;
        for (int64_t now_us = 0; next < MANY || ws.earliest; now_us += 10) {
                for (unsigned n = (unsigned)rand_r(&seed) % 20; n && next < MANY; n--, next++)
                        add(&ws, next, rand_r(&seed) % 3 ? len : UINT64_MAX, now_us + rand_r(&seed) % 4000);
                if (rand_r(&seed) % 100 == 0)
                        waiters_wake(waiters_take_behind(&ws, ++len), false);
                if (rand_r(&seed) % 1000 == 0)
                        waiters_wake(waiters_take_all(&ws), false);
                for (unsigned n = (unsigned)rand_r(&seed) % 12; n && next; n--) { /* some go by themselves, and one who was woken cannot */
                        struct somebody *s = &all[next - 1 - (unsigned)rand_r(&seed) % (next < 4000 ? next : 4000)];
                        bool waited = s->waits;
                        assert_int_equal(waiters_leave(&ws, &s->waiter), waited);
                        s->waits = false;
                        left += waited;
                }
                waiters_wake(waiters_take_late(&ws, now_us), true);
                for (unsigned i = next > 5000 ? next - 5000 : 0; i < next; i++) {
                        assert_true(!all[i].waits || all[i].waiter.deadline_us > now_us);
                        assert_true(!all[i].waits || all[i].waiter.have == UINT64_MAX || all[i].waiter.have >= len);
                        assert_true(!all[i].woken || !all[i].waiter.expired || all[i].waiter.deadline_us <= now_us);
                }
        }
        assert_true(left > 1000);
        assert_int_equal(woken + left, MANY);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_oldest_is_woken_first),
                cmocka_unit_test(test_each_is_woken_at_its_deadline_whoever_leaves_before),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
