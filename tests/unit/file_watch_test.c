/* file_watch: a change is told once it has settled, once, and whatever way the files were replaced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file_watch.h"
#include "common/mem.h"
#include "tests/unit/scratch.h"

#define LOOKS_MS 10000 /* far more than a change takes to be told */

static uv_loop_t loop;
static char dir[96];
static int told;
static struct file_watch *watch;

static char *at(const char *name)
{
        static char path[2][128];
        static int turn;
        turn = !turn;
        snprintf(path[turn], sizeof(path[turn]), "%s/%s", dir, name);
        return path[turn];
}

static void put(const char *name, const char *text)
{
        FILE *f = fopen(at(name), "w");
        assert_non_null(f);
        fputs(text, f);
        assert_int_equal(fclose(f), 0);
}

static void on_changed(void *arg)
{
        (void)arg;
        told++;
        uv_stop(&loop);
}

static void on_timeout(uv_timer_t *timer)
{
        uv_stop(timer->loop);
}

/* Runs the loop until the watch has spoken, or for ms. */
static void run_for(uint64_t ms)
{
        uv_timer_t end;
        uv_timer_init(&loop, &end);
        uv_timer_start(&end, on_timeout, ms, 0);
        uv_run(&loop, UV_RUN_DEFAULT);
        uv_close((uv_handle_t *)&end, NULL);
        uv_run(&loop, UV_RUN_NOWAIT);
}

static void watch_paths(const char *const *paths, size_t count)
{
        told = 0;
        watch = file_watch_open(&loop, paths, count, on_changed, NULL);
}

static int set_up(void **state)
{
        (void)state;
        scratch_dir(dir, sizeof(dir));
        return uv_loop_init(&loop) != 0;
}

static int tear_down(void **state)
{
        (void)state;
        file_watch_close(watch);
        watch = NULL;
        uv_run(&loop, UV_RUN_DEFAULT);
        char *command = mem_printf("rm -rf %s", dir);
        int rv = system(command);
        free(command);
        return uv_loop_close(&loop) != 0 || rv != 0;
}

static void test_a_file_that_is_written_again_is_told_once(void **state)
{
        (void)state;
        put("cert", "one");
        watch_paths((const char *[]){at("cert"), ""}, 2);
        put("cert", "another");
        run_for(LOOKS_MS);
        assert_int_equal(told, 1);
        run_for(4 * FILE_WATCH_MS);
        assert_int_equal(told, 1);
}

static void test_nothing_is_told_of_what_was_there_at_the_beginning(void **state)
{
        (void)state;
        put("cert", "one");
        watch_paths((const char *[]){at("cert")}, 1);
        run_for(4 * FILE_WATCH_MS);
        assert_int_equal(told, 0);
}

static void test_a_file_in_a_watched_directory_is_told(void **state)
{
        (void)state;
        put("a.crt", "one");
        watch_paths((const char *[]){dir}, 1);
        put("a.crt", "another"); /* the directory itself does not change by this */
        run_for(LOOKS_MS);
        assert_int_equal(told, 1);
}

/* How Kubernetes mounts secrets: tls.crt -> ..data/tls.crt, ..data -> ..2026_1; an update replaces the link ..data. */
static void test_a_directory_swapped_behind_a_link_is_told(void **state)
{
        (void)state;
        assert_int_equal(mkdir(at("v1"), 0700), 0);
        assert_int_equal(mkdir(at("v2"), 0700), 0);
        put("v1/tls.crt", "same size");
        put("v2/tls.crt", "same-size");
        assert_int_equal(symlink("v1", at("data")), 0);
        assert_int_equal(symlink("data/tls.crt", at("tls.crt")), 0);
        watch_paths((const char *[]){at("tls.crt")}, 1);
        assert_int_equal(symlink("v2", at("data.new")), 0);
        assert_int_equal(rename(at("data.new"), at("data")), 0);
        run_for(LOOKS_MS);
        assert_int_equal(told, 1);
}

static void test_a_file_that_comes_and_one_that_goes_are_told(void **state)
{
        (void)state;
        watch_paths((const char *[]){at("late")}, 1);
        put("late", "here");
        run_for(LOOKS_MS);
        assert_int_equal(told, 1);
        assert_int_equal(unlink(at("late")), 0);
        run_for(LOOKS_MS);
        assert_int_equal(told, 2);
}

static uv_timer_t writing;
static int writes;

static void write_more(uv_timer_t *timer)
{
        char text[16];
        snprintf(text, sizeof(text), "%d", writes);
        put("key", text);
        if (++writes == 40)
                uv_timer_stop(timer);
}

static void test_files_that_are_still_being_written_are_told_when_they_have_settled(void **state)
{
        (void)state;
        writes = 0;
        put("key", "");
        watch_paths((const char *[]){at("key")}, 1);
        uv_timer_init(&loop, &writing);
        uv_timer_start(&writing, write_more, 0, FILE_WATCH_MS / 5);
        run_for(3 * LOOKS_MS);
        assert_int_equal(told, 1);
        assert_int_equal(writes, 40);
        uv_close((uv_handle_t *)&writing, NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_a_file_that_is_written_again_is_told_once, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_nothing_is_told_of_what_was_there_at_the_beginning, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_a_file_in_a_watched_directory_is_told, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_a_directory_swapped_behind_a_link_is_told, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_a_file_that_comes_and_one_that_goes_are_told, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_files_that_are_still_being_written_are_told_when_they_have_settled,
                                                set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
