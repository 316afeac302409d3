/* A track's files are read again since its disk failed, and what goes on beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <dlfcn.h>

#include "tests/unit/stuck.h"
#include "tests/unit/two_origins.h"
#include "tests/unit/until.h"

static struct stuck reading; /* who has read the rows of a's track, and is about to look what files there are */
static const char *held;     /* the end of that folder's name; NULL: nobody is held */

/* In place of the C library's. */
DIR *opendir(const char *path)
{
        size_t len = strlen(path), end = held ? strlen(held) : 0;
        if (held && len > end && strcmp(path + len - end, held) == 0 && strncmp(path, a.dir, strlen(a.dir)) == 0)
                be_stuck(&reading);
        return ((DIR *(*)(const char *))dlsym(RTLD_NEXT, "opendir"))(path);
}

static struct chunk_log *log_of(struct node *n)
{
        return session_track(at(n, "S1"), "v720")->log;
}

struct looked {
        struct catch_up_wait w;
        bool over;
};

static void was_looked_at(struct catch_up_wait *w, int status)
{
        if (status != ERR_NOT_YET || !catch_up_wait(a.catch_up, at(&a, "S1"), w, was_looked_at))
                ((struct looked *)w)->over = true;
}

/* b has twelve volumes. a has the first and a half, was away since, and its disk fails before it has heard of the others. */
static void be_behind_with_a_failed_log(void)
{
        stop(&a);
        stop(&b);
        options.volume_segments = 2;
        start(&b);
        start(&a);
        both(15, 15);
        stop(&a);
        write_chunks(at(&b, "S1"), 15, 120, 40);
        b.up = false;
        start(&a);
        log_of(&a)->failed = true;
}

/* Rows that the old log is told now would be in neither the new one nor, after the next save, in the file. */
static void test_a_copy_tells_nothing_to_a_log_that_gives_way_to_another(void **state)
{
        (void)state;
        be_behind_with_a_failed_log();
        stuck_open(&reading);
        held = "/cam/S1/v720";
        UNTIL(&loop, log_of(&a)->rereading);
        wait_in(&reading, 1);
        uint64_t changes = log_of(&a)->closed.changes;
        struct looked x = {.over = false};
        b.up = true;
        catch_up_peers_changed(a.catch_up);
        assert_true(catch_up_wait(a.catch_up, at(&a, "S1"), &x.w, was_looked_at));
        UNTIL(&loop, x.over);
        assert_true(log_of(&a)->rereading);
        bool told = log_of(&a)->closed.changes != changes;
        held = NULL;
        let_go(&reading);
        UNTIL(&loop, !log_of(&a)->failed);
        UNTIL(&loop, log_of(&a)->index.end_ticks == log_of(&b)->index.end_ticks);
        assert_false(told);
        UNTIL(&loop, log_of(&a)->closed.count == log_of(&b)->closed.count);
        for (size_t i = 0; i < log_of(&b)->closed.count; i++)
                assert_int_equal(log_of(&a)->closed.rows[i].number, log_of(&b)->closed.rows[i].number);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_a_copy_tells_nothing_to_a_log_that_gives_way_to_another),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
