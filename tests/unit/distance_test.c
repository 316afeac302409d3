/* distance: a peer is far by the least of its round trips, and that is said once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/cluster/distance.h"
#include "common/daemon/log.h"
#include "common/daemon/metrics.h"
#include "said.h"

static struct distance d;

static void trips(int count, int64_t ms)
{
        for (int i = 0; i < count; i++)
                distance_take(&d, "192.0.2.1:9301", "origin-2", ms * US_PER_MS);
}

static int setup(void **state)
{
        (void)state;
        d = (struct distance){0};
        distance_register();
        return 0;
}

static void test_a_far_peer_is_said_once_and_that_it_is_near_again(void **state)
{
        (void)state;
        listen_to_log();
        trips(DISTANCE_KEPT - 1, 400);
        assert_false(d.far);
        trips(20, 400);
        assert_true(d.far);
        trips(20, 320); /* between the two bounds it stays what it is */
        assert_true(d.far);
        trips(DISTANCE_KEPT, 290);
        assert_false(d.far);
        trips(20, 320);
        assert_false(d.far);
        end_listening();
        assert_int_equal(times_said("far away: what goes there"), 1);
        assert_int_equal(times_said("peer_id=origin-2 rtt_ms=400 made_for_ms=300"), 1);
        assert_int_equal(times_said("not far away any more"), 1);
}

static void test_a_peer_that_was_busy_for_a_moment_is_not_far(void **state)
{
        (void)state;
        for (int i = 0; i < 10; i++) {
                trips(DISTANCE_KEPT - 1, 2000);
                trips(1, 2);
                assert_false(d.far);
        }
}

static void test_what_is_not_connected_is_not_far(void **state)
{
        (void)state;
        trips(DISTANCE_KEPT, 500);
        assert_true(d.far);
        distance_forget(&d);
        assert_false(d.far);
        trips(DISTANCE_KEPT - 1, 500);
        assert_false(d.far);
        distance_forget(&d);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
        const struct CMUnitTest tests[] = {
                TEST(test_a_far_peer_is_said_once_and_that_it_is_near_again),
                TEST(test_a_peer_that_was_busy_for_a_moment_is_not_far),
                TEST(test_what_is_not_connected_is_not_far),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
