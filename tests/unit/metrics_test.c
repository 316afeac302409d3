/* metrics: the text is what Prometheus reads, from any thread. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/daemon/metrics.h"
#include "common/daemon/rate.h"

static struct metric rows[] = {
        {.name = "t_total", .type = METRIC_COUNTER, .help = "Things.", .labels = "kind=\"a\""},
        {.name = "t_total", .type = METRIC_COUNTER, .help = "Things.", .labels = "kind=\"b\""},
        {.name = "t_behind_seconds", .type = METRIC_GAUGE, .help = "Behind.", .scale = 1e-6},
};
static struct histogram seconds = {.name = "t_seconds", .help = "Took.", .labels = "op=\"x\"", .bounds = {0.01, 0.1, 1}};
static struct histogram full = {.name = "t_full_seconds", .help = "All buckets.",
                                .bounds = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

static void list(void *arg, metric_put put, void *to)
{
        for (int i = 0; i < *(int *)arg; i++)
                put(to, i ? "stream=\"b\"" : "stream=\"a\"", 10 * (i + 1));
}
static int found_count;
static const struct metric_rows found = {.name = "t_found", .type = METRIC_GAUGE, .help = "Found.", .scale = 0.1, .list = list, .arg = &found_count};

static char text[16384];
static size_t text_len;

static void append(void *arg, const char *piece, size_t len)
{
        (void)arg;
        assert_true(text_len + len < sizeof(text));
        memcpy(text + text_len, piece, len);
        text_len += len;
        text[text_len] = '\0';
}

static const char *render(void)
{
        text_len = 0;
        metrics_render(append, NULL);
        return text;
}

static int set_up(void **state)
{
        (void)state;
        metrics_register(rows, 3);
        metrics_register(rows, 3); /* a second time changes nothing */
        metrics_register_histogram(&seconds);
        metrics_register_histogram(&full);
        metrics_register_rows(&found);
        metrics_register_rows(&found);
        return 0;
}

static int count(const char *haystack, const char *needle)
{
        int n = 0;
        while ((haystack = strstr(haystack, needle))) {
                haystack += strlen(needle);
                n++;
        }
        return n;
}

static void test_rows_of_one_name_share_one_head(void **state)
{
        (void)state;
        metric_add(&rows[0], 2);
        metric_add(&rows[1], 3);
        const char *t = render();
        assert_non_null(strstr(t, "# HELP t_total Things.\n# TYPE t_total counter\nt_total{kind=\"a\"} 2\nt_total{kind=\"b\"} 3\n"));
        assert_int_equal(count(t, "# TYPE t_total "), 1);
        assert_int_equal(count(t, "t_total{kind=\"a\"}"), 1);
}

static void test_rows_that_are_found_when_somebody_looks(void **state)
{
        (void)state;
        assert_non_null(strstr(render(), "# TYPE t_found gauge\n"));
        assert_int_equal(count(text, "t_found{"), 0);
        found_count = 2;
        assert_non_null(strstr(render(), "# HELP t_found Found.\n# TYPE t_found gauge\nt_found{stream=\"a\"} 1\nt_found{stream=\"b\"} 2\n"));
        assert_int_equal(count(text, "# TYPE t_found "), 1);
}

static void test_scale_is_applied(void **state)
{
        (void)state;
        metric_set(&rows[2], 1500000);
        assert_non_null(strstr(render(), "# TYPE t_behind_seconds gauge\nt_behind_seconds 1.5\n"));
        assert_int_equal(metric_get(&rows[2]), 1500000);
}

static void test_histogram_buckets_add_up(void **state)
{
        (void)state;
        histogram_observe(&seconds, 10000); /* on a bound: below or equal */
        histogram_observe(&seconds, 50000);
        histogram_observe(&seconds, 5000000);
        assert_non_null(strstr(render(), "t_seconds_bucket{op=\"x\",le=\"0.01\"} 1\n"
                                         "t_seconds_bucket{op=\"x\",le=\"0.1\"} 2\n"
                                         "t_seconds_bucket{op=\"x\",le=\"1\"} 2\n"
                                         "t_seconds_bucket{op=\"x\",le=\"+Inf\"} 3\n"
                                         "t_seconds_sum{op=\"x\"} 5.06\n"
                                         "t_seconds_count{op=\"x\"} 3\n"));
        histogram_observe(&full, INT64_C(16000000));
        histogram_observe(&full, INT64_C(17000000));
        assert_non_null(strstr(render(), "t_full_seconds_bucket{le=\"16\"} 1\nt_full_seconds_bucket{le=\"+Inf\"} 2\n"));
}

static void *count_up(void *arg)
{
        for (int i = 0; i < 10000; i++)
                metric_add(arg, 1);
        return NULL;
}

static void test_no_count_is_lost_between_threads(void **state)
{
        pthread_t threads[4];
        (void)state;
        metric_set(&rows[0], 0);
        for (int i = 0; i < 4; i++)
                pthread_create(&threads[i], NULL, count_up, &rows[0]);
        render();
        for (int i = 0; i < 4; i++)
                pthread_join(threads[i], NULL);
        assert_int_equal(metric_get(&rows[0]), 40000);
}

static void test_a_rate_is_of_the_last_whole_second_and_ends_with_what_is_counted(void **state)
{
        struct rate r = {0};
        (void)state;
        assert_true(rate_now(&r, 5000000) == 0);
        for (int64_t now = 1000000; now <= 3000000; now += 40000) /* 25 a second */
                rate_add(&r, 1, now);
        assert_true(rate_now(&r, 3000000) > 24.9 && rate_now(&r, 3000000) < 25.1);
        assert_true(rate_now(&r, 3500000) > 24.9);
        assert_true(rate_now(&r, 5000000) == 0);
        rate_add(&r, 1, 9000000); /* the pause counts in the window it ends */
        assert_true(rate_now(&r, 9000000) < 5);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rows_of_one_name_share_one_head),
                cmocka_unit_test(test_rows_that_are_found_when_somebody_looks),
                cmocka_unit_test(test_scale_is_applied),
                cmocka_unit_test(test_histogram_buckets_add_up),
                cmocka_unit_test(test_no_count_is_lost_between_threads),
                cmocka_unit_test(test_a_rate_is_of_the_last_whole_second_and_ends_with_what_is_counted),
        };
        return cmocka_run_group_tests(tests, set_up, NULL);
}
