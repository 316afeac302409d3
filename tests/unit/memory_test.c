/* memory: what was freed goes back to the system, and what is in use or little stays. */
#include <setjmp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/daemon/memory.h"

#define PIECES 3000
#define PIECE_BYTES (64u << 10)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OTHER_ALLOCATOR 1
#else
#define OTHER_ALLOCATOR 0
#endif

static char *pieces[PIECES], *between[PIECES];

/* Small ones that stay keep the heap from shrinking by itself. */
static void fill(void)
{
        for (int i = 0; i < PIECES; i++) {
                pieces[i] = malloc(PIECE_BYTES);
                between[i] = malloc(100);
                assert_non_null(pieces[i]);
                assert_non_null(between[i]);
                memset(pieces[i], 1, PIECE_BYTES);
        }
}

static void empty(void)
{
        for (int i = 0; i < PIECES; i++)
                free(pieces[i]);
}

static void forget(void)
{
        for (int i = 0; i < PIECES; i++)
                free(between[i]);
}

static void test_what_a_flood_left_behind_is_given_back(void **state)
{
        size_t used;
        (void)state;
        if (OTHER_ALLOCATOR)
                skip();
        fill();
        assert_int_equal(memory_give_back(0), 0); /* it is in use */
        empty();
        assert_true(memory_spare(&used) > (size_t)(PIECES - 200) * PIECE_BYTES);
        assert_true(memory_give_back(0) > (size_t)(PIECES - 200) * PIECE_BYTES);
        assert_true(memory_spare(&used) < MEMORY_SPARE_LEAST);
        assert_int_equal(memory_give_back(0), 0);
        forget();
}

/* As glibc is after it has once freed something large. Nothing stays in the threads' heaps but the first piece. */
#define THREADS 6
#define LARGE_BYTES ((size_t)MEMORY_MAPPED_LEAST - 4096)
#define LARGE 12

static pthread_barrier_t emptied;

/* The compiler leaves out what nobody can have seen. */
static char *touched(size_t len)
{
        char *volatile p = malloc(len);
        if (p)
                memset(p, 1, len);
        return p;
}

static void *use_much_and_wait(void *arg)
{
        char *large[LARGE], *stays = touched(100);
        (void)arg;
        for (int i = 0; i < LARGE; i++)
                large[i] = touched(LARGE_BYTES);
        for (int i = 0; i < LARGE; i++)
                free(large[i]);
        pthread_barrier_wait(&emptied);
        pthread_barrier_wait(&emptied);
        free(stays);
        return NULL;
}

static void test_what_other_threads_freed_at_the_end_of_their_heaps_goes_too(void **state)
{
        pthread_t threads[THREADS];
        size_t used, before;
        (void)state;
        if (OTHER_ALLOCATOR)
                skip();
        free(touched(8 * LARGE_BYTES));
        before = memory_spare(&used);
        pthread_barrier_init(&emptied, NULL, THREADS + 1);
        for (int i = 0; i < THREADS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, use_much_and_wait, NULL), 0);
        pthread_barrier_wait(&emptied);
        assert_in_range(memory_spare(&used), 0, before + THREADS * (size_t)MEMORY_HEAP_END_MOST);
        pthread_barrier_wait(&emptied);
        for (int i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
        pthread_barrier_destroy(&emptied);
}

#define MIB ((size_t)1 << 20)

static void test_what_was_freed_during_a_try_is_not_taken_for_what_never_goes(void **state)
{
        struct memory_tries t = {0};
        (void)state;
        assert_true(memory_worth_a_try(&t, 200 * MIB, MIB, 0));
        memory_tried(&t, 150 * MIB, MIB, 0); /* 100 of which were freed meanwhile */
        assert_false(memory_worth_a_try(&t, 150 * MIB, MIB, MEMORY_LOOK_US - 1));
        assert_true(memory_worth_a_try(&t, 150 * MIB, MIB, MEMORY_LOOK_US));
        memory_tried(&t, 50 * MIB, MIB, MEMORY_LOOK_US);
        assert_false(memory_worth_a_try(&t, 50 * MIB, MIB, 2 * MEMORY_LOOK_US));
}

static void test_tries_in_vain_become_few(void **state)
{
        struct memory_tries t = {0};
        int64_t now_us = 0;
        int tries = 0;
        (void)state;
        for (; now_us < 3600 * US_PER_S; now_us += MEMORY_LOOK_US) {
                if (!memory_worth_a_try(&t, 50 * MIB, MIB, now_us))
                        continue;
                memory_tried(&t, 50 * MIB, MIB, now_us);
                tries++;
        }
        assert_in_range(tries, 60, 64);
        assert_true(memory_worth_a_try(&t, 83 * MIB, MIB, now_us - 1)); /* and what comes on top is looked at as ever */
        memory_tried(&t, 83 * MIB, MIB, now_us);
        assert_true(memory_worth_a_try(&t, 83 * MIB, MIB, now_us + MEMORY_LOOK_US));
}

static void test_little_is_kept_for_the_next_one(void **state)
{
        (void)state;
        assert_false(memory_is_much(MEMORY_SPARE_LEAST, 0));
        assert_true(memory_is_much(MEMORY_SPARE_LEAST + 1, 0));
        assert_false(memory_is_much(MEMORY_SPARE_LEAST * 2, MEMORY_SPARE_LEAST * 8));
        assert_true(memory_is_much(MEMORY_SPARE_LEAST * 2 + 1, MEMORY_SPARE_LEAST * 8));
}

static void test_the_loop_looks_once_in_a_while_and_ends_when_it_has(void **state)
{
        uv_loop_t loop;
        size_t used;
        (void)state;
        uv_loop_init(&loop);
        if (!OTHER_ALLOCATOR) {
                fill();
                empty();
        }
        memory_look(&loop, MEMORY_LOOK_US);
        memory_look(&loop, 2 * MEMORY_LOOK_US); /* under way */
        assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
        assert_true(memory_spare(&used) < MEMORY_SPARE_LEAST);
        memory_look(&loop, 2 * MEMORY_LOOK_US - 1);
        assert_false(uv_loop_alive(&loop));
        memory_look(&loop, 2 * MEMORY_LOOK_US);
        assert_true(uv_loop_alive(&loop));
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(uv_loop_close(&loop), 0);
        if (!OTHER_ALLOCATOR)
                forget();
}

int main(void)
{
        memory_start();
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_other_threads_freed_at_the_end_of_their_heaps_goes_too), /* the first, while the main heap has nothing to take large pieces from */
                cmocka_unit_test(test_what_a_flood_left_behind_is_given_back),
                cmocka_unit_test(test_what_was_freed_during_a_try_is_not_taken_for_what_never_goes),
                cmocka_unit_test(test_tries_in_vain_become_few),
                cmocka_unit_test(test_little_is_kept_for_the_next_one),
                cmocka_unit_test(test_the_loop_looks_once_in_a_while_and_ends_when_it_has),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
