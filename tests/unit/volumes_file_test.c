#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "common/mem.h"
#include "originD/log/volumes_file.h"
#include "tests/unit/scratch.h"

#define ROWS 5

static char folder[128];
static struct volumes row;

static void fill(uint32_t count)
{
        for (uint32_t i = 0; i < count; i++) {
                struct volume_row r = {.number = i * 3 + 1, .state = (uint8_t)(i % VOLUME_STATES)};
                r.sum = (struct volume_sum){.bytes = UINT64_C(0x1234567890) + i, .media_ticks = UINT64_C(0x9876543210) + i,
                                            .crc = 0xdeadbeef + i, .chunks = 3000 + i, .samples = 15000 + i,
                                            .first_segment = i * 600, .last_segment = i * 600 + 599, .peak_bytes = 70000 + i};
                volumes_insert(&row, &r);
        }
}

static bool same_row(const struct volume_row *a, const struct volume_row *b)
{
        return a->number == b->number && a->state == b->state && memcmp(&a->sum, &b->sum, sizeof(a->sum)) == 0;
}

/* Every row of it is one that was written. */
static bool all_written(const struct volumes *v)
{
        for (size_t i = 0; i < v->count; i++) {
                const struct volume_row *r = volumes_get(&row, v->rows[i].number);
                if (!r || !same_row(r, &v->rows[i]))
                        return false;
        }
        return true;
}

static int setup(void **state)
{
        (void)state;
        scratch_dir(folder, sizeof(folder));
        row = (struct volumes){0};
        fill(ROWS);
        return 0;
}

static int teardown(void **state)
{
        char *cmd = mem_printf("rm -rf %s", folder);
        (void)state;
        volumes_free(&row);
        int rc = system(cmd);
        free(cmd);
        return rc;
}

static bool exists(const char *name)
{
        char *path = mem_printf("%s/%s", folder, name);
        bool there = access(path, F_OK) == 0;
        free(path);
        return there;
}

static void write_raw(const uint8_t *data, size_t len)
{
        char *path = mem_printf("%s/volumes", folder);
        FILE *f = fopen(path, "w");
        assert_int_equal(fwrite(data, 1, len, f), len);
        fclose(f);
        free(path);
}

static void test_what_was_saved_is_read_again(void **state)
{
        struct volumes read;
        struct buf *saved;
        (void)state;
        assert_int_equal(volumes_file_save(folder, &row), 0);
        assert_int_equal(volumes_file_read(folder, &read, &saved), 0);
        assert_non_null(saved);
        assert_int_equal(saved->len, 16 + ROWS * 52);
        assert_int_equal(read.count, ROWS);
        assert_true(all_written(&read));
        assert_false(exists("volumes.tmp"));
        buf_unref(&saved);
        volumes_free(&read);
}

static void test_of_a_damaged_list_only_what_was_written_is_believed(void **state)
{
        (void)state;
        struct buf *b = volumes_file_encode(&row);
        for (size_t i = 0; i < b->len; i++) {
                struct volumes read;
                b->data[i] ^= 0x10;
                assert_false(volumes_file_decode(&read, b->data, b->len));
                assert_true(all_written(&read));
                assert_true(read.count >= ROWS - 1 || i < 8);
                volumes_free(&read);
                b->data[i] ^= 0x10;
        }
        for (size_t len = 0; len < b->len; len++) {
                struct volumes read;
                assert_false(volumes_file_decode(&read, b->data, len));
                assert_true(all_written(&read));
                volumes_free(&read);
        }
        buf_unref(&b);
}

static void test_a_damaged_list_is_kept_aside_and_never_read_again(void **state)
{
        struct volumes read;
        struct buf *saved, *b = volumes_file_encode(&row);
        (void)state;
        b->data[16 + 52 + 3] ^= 1;
        write_raw(b->data, b->len);
        assert_int_equal(volumes_file_read(folder, &read, &saved), 0);
        assert_null(saved);
        assert_int_equal(read.count, ROWS - 1);
        assert_true(exists("volumes.damaged-1"));
        assert_false(exists("volumes"));
        volumes_free(&read);
        assert_int_equal(volumes_file_read(folder, &read, &saved), 0);
        assert_int_equal(read.count, 0);
        buf_unref(&b);
}

static void test_a_list_that_cannot_be_read_now_is_not_taken_for_none(void **state)
{
        struct volumes read;
        struct buf *saved;
        char *path = mem_printf("%s/volumes", folder);
        (void)state;
        assert_int_equal(mkdir(path, 0700), 0);
        assert_int_equal(volumes_file_read(folder, &read, &saved), ERR_IO);
        assert_null(saved);
        assert_int_equal(read.count, 0);
        assert_int_equal(rmdir(path), 0);
        free(path);
}

/* A track that was dropped while its rows were on their way does not come back as a folder with nothing else in it. */
static void test_where_the_track_is_gone_no_folder_is_made(void **state)
{
        (void)state;
        assert_int_equal(rmdir(folder), 0);
        assert_int_equal(volumes_file_save(folder, &row), ERR_NOT_FOUND);
        assert_int_equal(access(folder, F_OK), -1);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_what_was_saved_is_read_again),
                CASE(test_of_a_damaged_list_only_what_was_written_is_believed),
                CASE(test_a_damaged_list_is_kept_aside_and_never_read_again),
                CASE(test_a_list_that_cannot_be_read_now_is_not_taken_for_none),
                CASE(test_where_the_track_is_gone_no_folder_is_made),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
