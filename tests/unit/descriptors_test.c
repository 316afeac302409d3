/* descriptors: the last ones are kept for what must work. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/daemon/descriptors.h"
#include "common/daemon/log.h"
#include "common/daemon/metrics.h"

static struct rlimit old;

/* The hard limit of this process stays, so that another test can have more again. */
static void set_limit(rlim_t most)
{
        struct rlimit lim = {.rlim_cur = most, .rlim_max = old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &lim), 0);
        descriptors_watch();
}

static int set_up(void **state)
{
        (void)state;
        return getrlimit(RLIMIT_NOFILE, &old);
}

static int tear_down(void **state)
{
        (void)state;
        return setrlimit(RLIMIT_NOFILE, &old);
}

static void add(void *arg, const char *text, size_t len)
{
        strncat(arg, text, len);
}

static const char *metrics_text(void)
{
        static char text[8192];
        text[0] = '\0';
        metrics_render(add, text);
        return text;
}

static void test_the_soft_limit_becomes_the_hard_one(void **state)
{
        struct rlimit now;
        (void)state;
        set_limit(100);
        descriptors_raise();
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
        assert_true(now.rlim_cur == old.rlim_max);
}

static void test_strangers_get_none_of_the_last_quarter(void **state)
{
        int fds[80], count = 0, admitted = 0, refused = 0;
        (void)state;
        set_limit(80);
        while (count < 80 && (fds[count] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0) {
                bool may = descriptors_admit(fds[count], "RTMP", "10.0.0.1:4711");
                assert_int_equal(may, fds[count] < 60);
                admitted += may;
                refused += !may;
                count++;
        }
        descriptors_watch();
        assert_non_null(strstr(metrics_text(), "freshet_descriptors_exhausted 1\n"));
        assert_non_null(strstr(metrics_text(), "freshet_descriptors 80\n"));
        assert_non_null(strstr(metrics_text(), "freshet_descriptors_limit 80\n"));
        assert_non_null(strstr(metrics_text(), "freshet_descriptors_refused_total 20\n"));
        assert_int_equal(refused, 20);
        assert_in_range(admitted, 1, 60);
        while (count)
                close(fds[--count]);
        descriptors_watch();
        assert_non_null(strstr(metrics_text(), "freshet_descriptors_exhausted 0\n"));
}

static void test_the_reserve_is_no_more_than_what_it_is_for(void **state)
{
        (void)state;
        if (old.rlim_max < 100000)
                skip();
        set_limit(100000);
        assert_true(descriptors_admit(100000 - DESCRIPTORS_RESERVE_MOST - 1, "RTMP", "a"));
        assert_false(descriptors_admit(100000 - DESCRIPTORS_RESERVE_MOST, "RTMP", "a"));
}

static void test_connections_are_as_many_as_can_be_beside_all_else(void **state)
{
        (void)state;
        set_limit(200);
        assert_int_equal(descriptors_connections("max_connections", 50, 128, 1), 50);
        assert_int_equal(descriptors_connections("max_connections", 4096, 128, 1), 72);
        assert_int_equal(descriptors_connections("max_connections", 4096, 10, 1), 150); /* the reserve is more */
        assert_int_equal(descriptors_connections("max_connections", 4096, 10, 1.25), 120);
        assert_int_equal(descriptors_connections("max_connections", 4096, 199, 1), 16);
        assert_int_equal(descriptors_connections("max_connections", 5, 199, 1), 5);
}

int main(void)
{
        log_init("test", LOG_ERROR + 1);
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_the_soft_limit_becomes_the_hard_one, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_strangers_get_none_of_the_last_quarter, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_the_reserve_is_no_more_than_what_it_is_for, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_connections_are_as_many_as_can_be_beside_all_else, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
