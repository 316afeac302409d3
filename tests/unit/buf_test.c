/* buf: the last reference frees, a slice keeps its parent, and counting holds between threads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"

static int released;

static void count_release(void *owner)
{
        assert_ptr_equal(owner, &released);
        released++;
}

static void test_the_last_reference_releases_and_each_pointer_is_nulled(void **state)
{
        uint8_t bytes[4] = {1, 2, 3, 4};
        (void)state;
        released = 0;
        struct buf *a = buf_wrap(bytes, sizeof(bytes), count_release, &released), *b = buf_ref(a);
        buf_unref(&a);
        assert_null(a);
        assert_int_equal(released, 0);
        assert_int_equal(b->data[3], 4);
        buf_unref(&b);
        assert_int_equal(released, 1);
        buf_unref(&b); /* pointer to NULL */
        buf_unref(NULL);
        assert_int_equal(released, 1);
}

static void test_a_slice_keeps_its_parent(void **state)
{
        uint8_t bytes[10] = "012345678";
        (void)state;
        released = 0;
        struct buf *whole = buf_wrap(bytes, sizeof(bytes), count_release, &released);
        struct buf *part = buf_slice(whole, 2, 3), *empty = buf_slice(whole, 10, 0);
        buf_unref(&whole);
        buf_unref(&empty);
        assert_int_equal(released, 0);
        assert_int_equal(part->len, 3);
        assert_memory_equal(part->data, "234", 3);
        buf_unref(&part);
        assert_int_equal(released, 1);
}

static void test_one_that_grows_keeps_what_it_has_and_is_narrowed_to_a_part(void **state)
{
        (void)state;
        struct buf *b = buf_grow(NULL, 4);
        memcpy(b->data, "abcd", 4);
        b = buf_grow(b, 100000);
        assert_int_equal(b->len, 100000);
        assert_memory_equal(b->data, "abcd", 4);
        memcpy(b->data + 4, "efgh", 4);
        buf_narrow(b, 2, 5);
        assert_int_equal(b->len, 5);
        assert_memory_equal(b->data, "cdefg", 5);
        struct buf *another = buf_ref(b);
        buf_unref(&b);
        assert_memory_equal(another->data, "cdefg", 5);
        buf_unref(&another);
}

static void test_copies_are_of_their_own(void **state)
{
        char text[] = "abc";
        (void)state;
        struct buf *b = buf_copy(text, 3), *none = buf_copy(NULL, 0);
        text[0] = 'x';
        assert_memory_equal(b->data, "abc", 3);
        assert_int_equal(none->len, 0);
        buf_unref(&b);
        buf_unref(&none);
}

static void *ref_and_unref(void *arg)
{
        for (int i = 0; i < 20000; i++) {
                struct buf *b = buf_ref(arg);
                buf_unref(&b);
        }
        struct buf *own = arg;
        buf_unref(&own);
        return NULL;
}

static void test_threads_share_one_count(void **state)
{
        uint8_t byte = 7;
        pthread_t threads[4];
        (void)state;
        released = 0;
        struct buf *b = buf_wrap(&byte, 1, count_release, &released);
        for (int i = 0; i < 4; i++)
                pthread_create(&threads[i], NULL, ref_and_unref, buf_ref(b));
        buf_unref(&b);
        for (int i = 0; i < 4; i++)
                pthread_join(threads[i], NULL);
        assert_int_equal(released, 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_last_reference_releases_and_each_pointer_is_nulled),
                cmocka_unit_test(test_a_slice_keeps_its_parent),
                cmocka_unit_test(test_one_that_grows_keeps_what_it_has_and_is_narrowed_to_a_part),
                cmocka_unit_test(test_copies_are_of_their_own),
                cmocka_unit_test(test_threads_share_one_count),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
