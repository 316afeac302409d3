#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <pthread.h>
#include <stdatomic.h>
#include <cmocka.h>

#include "edged/readers.h"

static atomic_int step;

static void *look_while_told(void *arg)
{
        (void)arg;
        bool there = readers_enter();
        atomic_store(&step, there ? 1 : -1);
        while (atomic_load(&step) == 1) {
        }
        readers_leave();
        return NULL;
}

static void test_what_somebody_may_look_at_stays_until_he_has_left(void **state)
{
        (void)state;
        pthread_t thread;
        atomic_store(&step, 0);
        assert_int_equal(pthread_create(&thread, NULL, look_while_told, NULL), 0);
        while (atomic_load(&step) == 0) {
        }
        assert_int_equal(atomic_load(&step), 1);
        uint64_t mark = readers_mark();
        assert_false(readers_passed(mark));
        assert_true(readers_enter()); /* who comes later does not hold it up */
        assert_false(readers_passed(mark));
        atomic_store(&step, 2);
        pthread_join(thread, NULL);
        assert_true(readers_passed(mark));
        assert_false(readers_passed(readers_mark()));
        readers_leave();
        assert_true(readers_passed(readers_mark()));
}

static void *look_once(void *arg)
{
        *(bool *)arg = readers_enter();
        if (*(bool *)arg)
                readers_leave();
        return NULL;
}

static void test_threads_that_end_give_their_places_back(void **state)
{
        (void)state;
        for (int i = 0; i < 2 * READERS_MAX; i++) {
                bool there = false;
                pthread_t thread;
                assert_int_equal(pthread_create(&thread, NULL, look_once, &there), 0);
                pthread_join(thread, NULL);
                assert_true(there);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_somebody_may_look_at_stays_until_he_has_left),
                cmocka_unit_test(test_threads_that_end_give_their_places_back),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
