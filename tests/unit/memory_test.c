/* memory: what was freed goes back to the system, and what is in use or little stays. */
#include <setjmp.h>
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
        assert_int_equal(memory_give_back(), 0); /* it is in use */
        empty();
        assert_true(memory_spare(&used) > (size_t)(PIECES - 200) * PIECE_BYTES);
        assert_true(memory_give_back() > (size_t)(PIECES - 200) * PIECE_BYTES);
        assert_true(memory_spare(&used) < MEMORY_SPARE_LEAST);
        assert_int_equal(memory_give_back(), 0);
        forget();
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
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_a_flood_left_behind_is_given_back),
                cmocka_unit_test(test_little_is_kept_for_the_next_one),
                cmocka_unit_test(test_the_loop_looks_once_in_a_while_and_ends_when_it_has),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
