/* pages: what is large can be sent without a copy, and what a socket holds of it stays as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "edged/pages.h"

static struct buf *filled(size_t len, uint8_t first)
{
        struct buf *b = buf_new(len);
        for (size_t i = 0; i < len; i++)
                b->data[i] = (uint8_t)(first + i * 7 + i / 251);
        return b;
}

static void test_parts_become_one_that_lies_in_a_file_too(void **state)
{
        (void)state;
        struct buf *parts[200], *all, *same;
        size_t len = 0, at = 0;
        int fd = -1;
        off_t where = -1;
        for (unsigned i = 0; i < 200; i++) {
                parts[i] = filled(100 + i, (uint8_t)i);
                len += parts[i]->len;
        }
        all = pages_join(parts, 200);
        assert_int_equal(all->len, len);
        assert_true(pages_find(all, &fd, &where));
        uint8_t *there = malloc(len);
        assert_int_equal(pread(fd, there, len, where), len);
        assert_memory_equal(there, all->data, len);
        for (unsigned i = 0; i < 200; i++) {
                assert_memory_equal(all->data + at, parts[i]->data, parts[i]->len);
                at += parts[i]->len;
                buf_unref(&parts[i]);
        }
        same = pages_join(&all, 1);
        assert_ptr_equal(same, all);
        buf_unref(&same);
        buf_unref(&all);
        assert_int_equal(pages_bodies(), 0);
        free(there);
}

static void test_what_is_small_is_in_no_file(void **state)
{
        (void)state;
        struct buf *small = filled(PAGES_LEAST - 1, 1), *one = pages_join(&small, 1);
        assert_ptr_equal(one, small);
        struct buf *two[] = {filled(3, 1), filled(4, 9)}, *both = pages_join(two, 2);
        assert_int_equal(both->len, 7);
        assert_memory_equal(both->data, two[0]->data, 3);
        assert_memory_equal(both->data + 3, two[1]->data, 4);
        assert_false(pages_find(both, NULL, NULL) || pages_find(one, NULL, NULL) || pages_find(NULL, NULL, NULL));
        buf_unref(&both);
        buf_unref(&two[0]);
        buf_unref(&two[1]);
        buf_unref(&one);
        buf_unref(&small);
        assert_int_equal(pages_bodies(), 0);
}

static long blocks_of(int fd)
{
        struct stat s;
        assert_int_equal(fstat(fd, &s), 0);
        return (long)s.st_blocks;
}

static void test_the_last_reference_gives_the_memory_back(void **state)
{
        (void)state;
        struct buf *bytes = filled(1 << 20, 3), *b = pages_join(&bytes, 1), *more = buf_ref(b);
        int fd = -1;
        assert_true(pages_find(b, &fd, NULL));
        long with = blocks_of(fd);
        buf_unref(&b);
        assert_int_equal(blocks_of(fd), with);
        buf_unref(&more);
        assert_int_equal(blocks_of(fd), with - (1 << 20) / 512);
        buf_unref(&bytes);
}

static void test_what_a_socket_holds_stays_as_it_was_when_the_memory_is_used_again(void **state)
{
        (void)state;
        const size_t len = 64 << 10;
        uint8_t *got = malloc(len);
        int ends[2], fd, big = 1 << 20;
        off_t at;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
        struct buf *bytes = filled(len, 1), *sent = pages_join(&bytes, 1);
        assert_true(pages_find(sent, &fd, &at));
        assert_int_equal(sendfile(ends[0], fd, &at, len), len);
        buf_unref(&sent);
        for (uint8_t i = 0; i < 50; i++) { /* whatever comes next is not to be seen in what was sent */
                struct buf *other = filled(len, (uint8_t)(100 + i)), *next = pages_join(&other, 1);
                assert_true(pages_find(next, NULL, NULL));
                buf_unref(&other);
                buf_unref(&next);
        }
        assert_int_equal(recv(ends[1], got, len, MSG_WAITALL), len);
        assert_memory_equal(got, bytes->data, len);
        buf_unref(&bytes);
        close(ends[0]);
        close(ends[1]);
        free(got);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parts_become_one_that_lies_in_a_file_too),
                cmocka_unit_test(test_what_is_small_is_in_no_file),
                cmocka_unit_test(test_the_last_reference_gives_the_memory_back),
                cmocka_unit_test(test_what_a_socket_holds_stays_as_it_was_when_the_memory_is_used_again),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
