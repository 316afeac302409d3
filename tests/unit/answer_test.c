/* What is said to viewers: a status, fields, and bytes that are a reference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "edged/wire/answer.h"

static void expect_head(const struct answer *a, const char *head)
{
        assert_int_equal(a->head_len, strlen(head));
        assert_memory_equal(a->head, head, a->head_len);
}

static void test_fields_stand_in_the_order_in_which_they_were_added(void **state)
{
        (void)state;
        struct answer *a = answer_lasting(404, "no", 2);
        answer_add(a, "Content-Type", "text/plain");
        answer_add(a, "X-Empty", "");
        expect_head(a, "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nContent-Type: text/plain\r\nX-Empty: \r\n");
        answer_unref(&a);
}

static void test_a_head_has_room_for_whatever_is_added(void **state)
{
        (void)state;
        char value[1001], *at;
        memset(value, 'v', 1000);
        value[1000] = '\0';
        struct answer *a = answer_growing(200);
        expect_head(a, "HTTP/1.1 200 OK\r\n");
        for (unsigned i = 0; i < 50; i++)
                answer_add(a, "X", value);
        assert_int_equal(a->head_len, strlen("HTTP/1.1 200 OK\r\n") + 50 * 1005);
        at = a->head + a->head_len - 1005;
        assert_memory_equal(at, "X: v", 4);
        assert_memory_equal(at + 1003, "\r\n", 2);
        answer_unref(&a);
}

static void test_what_never_has_a_body_has_no_length(void **state)
{
        (void)state;
        for (unsigned status = 204; status <= 304; status += 100) {
                struct answer *a = answer_new(status, NULL, 0, 0);
                assert_null(memmem(a->head, a->head_len, "Content-Length", 14));
                answer_unref(&a);
        }
        struct answer *empty = answer_new(200, NULL, 0, 0);
        expect_head(empty, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
        answer_unref(&empty);
}

static void test_a_body_is_kept_as_long_as_anybody_has_the_answer(void **state)
{
        (void)state;
        struct buf *body = buf_copy("0123456789", 10);
        struct answer *a = answer_new(206, body, 2, 3), *b = answer_ref(a);
        assert_int_equal(atomic_load(&body->refs), 2);
        assert_ptr_equal(a->bytes, body->data + 2);
        expect_head(a, "HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\n");
        answer_unref(&a);
        assert_null(a);
        assert_int_equal(atomic_load(&body->refs), 2);
        answer_unref(&b);
        assert_int_equal(atomic_load(&body->refs), 1);
        answer_unref(&b); /* nothing */
        buf_unref(&body);
}

static void test_text_is_the_answers_to_free(void **state)
{
        (void)state;
        struct answer *a = answer_text(200, mem_strdup("hello"), 5);
        assert_int_equal(a->len_bytes, 5);
        assert_memory_equal(a->bytes, "hello", 5);
        answer_unref(&a);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_fields_stand_in_the_order_in_which_they_were_added),
                cmocka_unit_test(test_a_head_has_room_for_whatever_is_added),
                cmocka_unit_test(test_what_never_has_a_body_has_no_length),
                cmocka_unit_test(test_a_body_is_kept_as_long_as_anybody_has_the_answer),
                cmocka_unit_test(test_text_is_the_answers_to_free),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
