/* token_keys: the set in use is the last one that could be read, and what could not be read is tried again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/daemon/log.h"
#include "common/err.h"
#include "common/file_watch.h"
#include "common/token_keys.h"
#include "tests/unit/tokens.h"

#define CHANGE_MS 10000 /* far more than a change takes to be told */
#define ONE SET(OCT("a", SECRET_A))
#define TWO SET(OCT("a", SECRET_A) "," OCT("b", SECRET_B))

static uv_loop_t loop;
static char path[] = "/tmp/token_keys_test.XXXXXX";
static struct token_keys *keys;
static int changes;

static void put(const char *json)
{
        char *part = mem_printf("%s.new", path);
        FILE *f = fopen(part, "w");
        assert_non_null(f);
        fputs(json, f);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(rename(part, path), 0);
        free(part);
}

static unsigned count(void)
{
        struct jwt_keys_info info = {0};
        if (token_keys_now(keys))
                jwt_keys_tell(token_keys_now(keys), &info);
        return info.hs256;
}

static void on_changed(void *arg)
{
        changes++;
        uv_stop(arg);
}

static void on_timeout(uv_timer_t *timer)
{
        uv_stop(timer->loop);
}

/* Runs the loop until keys have changed, or for ms. */
static void run_for(uint64_t ms)
{
        uv_timer_t end;
        uv_timer_init(&loop, &end);
        uv_timer_start(&end, on_timeout, ms, 0);
        uv_run(&loop, UV_RUN_DEFAULT);
        uv_close((uv_handle_t *)&end, NULL);
        uv_run(&loop, UV_RUN_NOWAIT);
}

static void open_keys(void)
{
        changes = 0;
        assert_int_equal(token_keys_open(&keys, &loop, "view_jwks", path, on_changed, &loop), 0);
}

static int set_up(void **state)
{
        (void)state;
        log_set_level(LOG_ERROR + 1);
        strcpy(strrchr(path, '.'), ".XXXXXX");
        int fd = mkstemp(path);
        return fd < 0 || close(fd) != 0 || uv_loop_init(&loop) != 0;
}

static int tear_down(void **state)
{
        (void)state;
        token_keys_close(&keys);
        uv_run(&loop, UV_RUN_DEFAULT);
        unlink(path);
        return uv_loop_close(&loop);
}

static void test_a_file_that_is_replaced_is_taken_by_itself(void **state)
{
        (void)state;
        put(ONE);
        open_keys();
        assert_int_equal(count(), 1);
        put(TWO);
        run_for(CHANGE_MS);
        assert_int_equal(changes, 1);
        assert_int_equal(count(), 2);
}

static void test_no_file_is_no_keys_and_a_reload_may_bring_one(void **state)
{
        (void)state;
        put(ONE);
        changes = 0;
        assert_int_equal(token_keys_open(&keys, &loop, "view_jwks", "", on_changed, &loop), 0);
        assert_null(token_keys_now(keys));
        token_keys_reload(keys, path);
        assert_int_equal(count(), 1);
        assert_int_equal(changes, 0); /* who reloads knows */
        put(TWO);
        run_for(CHANGE_MS);
        assert_int_equal(count(), 2);
        token_keys_reload(keys, "");
        assert_null(token_keys_now(keys));
}

static void test_a_file_that_cannot_be_used_at_the_start_is_an_error(void **state)
{
        (void)state;
        put("nonsense");
        assert_int_equal(token_keys_open(&keys, &loop, "view_jwks", path, on_changed, &loop), ERR_CONFIG);
        assert_null(keys);
        assert_int_equal(token_keys_open(&keys, &loop, "view_jwks", "/nonexistent", on_changed, &loop), ERR_NOT_FOUND);
        assert_null(keys);
}

static void test_damage_leaves_the_keys_from_before(void **state)
{
        (void)state;
        put(ONE);
        open_keys();
        put("{\"keys\": [");
        run_for(4 * FILE_WATCH_MS);
        assert_int_equal(count(), 1);
        assert_int_equal(unlink(path), 0);
        run_for(4 * FILE_WATCH_MS);
        assert_int_equal(count(), 1);
        assert_int_equal(changes, 0);
        put(TWO);
        run_for(CHANGE_MS);
        assert_int_equal(count(), 2);
}

/* Nothing about the file changes after the read that failed: the watch alone would leave the old keys in use for ever. */
static void test_a_read_that_failed_for_want_of_descriptors_is_tried_again(void **state)
{
        struct rlimit old, none;
        (void)state;
        put(ONE);
        open_keys();
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
        none = (struct rlimit){.rlim_cur = 0, .rlim_max = old.rlim_max};
        put(TWO);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        token_keys_reload(keys, path);
        run_for(4 * FILE_WATCH_MS); /* the watch has told as well: stat() needs no descriptor */
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        assert_int_equal(count(), 1);
        assert_int_equal(changes, 0);
        run_for(CHANGE_MS);
        assert_int_equal(changes, 1);
        assert_int_equal(count(), 2);
}

static void test_another_path_is_watched_even_when_it_cannot_be_read_yet(void **state)
{
        char *later = mem_printf("%s.later", path);
        (void)state;
        put(ONE);
        open_keys();
        token_keys_reload(keys, later);
        assert_int_equal(count(), 1);
        put(TWO);
        assert_int_equal(rename(path, later), 0);
        run_for(CHANGE_MS);
        assert_int_equal(count(), 2);
        unlink(later);
        free(later);
}

static void close_it(void *arg)
{
        (void)arg;
        token_keys_close(&keys);
        uv_stop(&loop);
}

static void test_they_may_be_closed_from_within_changed(void **state)
{
        (void)state;
        put(ONE);
        assert_int_equal(token_keys_open(&keys, &loop, "view_jwks", path, close_it, NULL), 0);
        put(TWO);
        run_for(CHANGE_MS);
        assert_null(keys);
}

static void test_a_check_names_the_setting_and_what_is_wrong(void **state)
{
        char why[400] = "";
        (void)state;
        put(ONE);
        assert_int_equal(token_keys_check("view_jwks", path, why, sizeof(why)), 0);
        assert_int_equal(token_keys_check("view_jwks", "", why, sizeof(why)), 0);
        assert_int_equal(token_keys_check("view_jwks", "/nonexistent", why, sizeof(why)), ERR_CONFIG);
        assert_string_equal(why, "view_jwks: given \"/nonexistent\", cannot be opened: No such file or directory");
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_a_file_that_is_replaced_is_taken_by_itself),
                TEST(test_no_file_is_no_keys_and_a_reload_may_bring_one),
                TEST(test_a_file_that_cannot_be_used_at_the_start_is_an_error),
                TEST(test_damage_leaves_the_keys_from_before),
                TEST(test_a_read_that_failed_for_want_of_descriptors_is_tried_again),
                TEST(test_another_path_is_watched_even_when_it_cannot_be_read_yet),
                TEST(test_they_may_be_closed_from_within_changed),
                TEST(test_a_check_names_the_setting_and_what_is_wrong),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
