/* publication and relay: two broadcasters of one name, of whom one stands by. */
#include "tests/unit/fake_transcoders.h"

static void begin_role(struct caster *c, enum open_role role)
{
        assert_int_equal(begin_as(c, "cam", role), 0);
        send_configs(c);
}

static void test_a_primary_and_a_backup_of_one_name_are_both_live(void **state)
{
        (void)state;
        struct caster primary, backup, another;
        begin_role(&primary, OPEN_PRIMARY);
        begin_role(&backup, OPEN_BACKUP);
        send_media(&primary, 0, 10);
        UNTIL(t.node[0].opens == 1);
        assert_int_equal(t.node[0].open.role, OPEN_PRIMARY);
        t.node[0].standby = true;
        send_media(&backup, 0, 10);
        UNTIL(t.node[0].opens == 2);
        assert_int_equal(t.node[0].open.role, OPEN_BACKUP);
        assert_int_equal(primary.refused + backup.refused, 0);
        begin_role(&another, OPEN_BACKUP);
        assert_int_equal(primary.refused, 0);
        assert_int_equal(backup.refused, RTMP_CLOSE_TAKEN_OVER);
        end(&backup, CLOSE_LOST);
        end(&another, CLOSE_LOST);
        end(&primary, CLOSE_STOPPED);
}

static void test_one_that_stands_by_tells_that_it_is_there_and_goes_on_from_what_is_stored(void **state)
{
        (void)state;
        struct caster c;
        t.node[0].standby = true;
        begin_role(&c, OPEN_BACKUP);
        send_media(&c, 0, 30);
        UNTIL(t.node[0].batches == 3);
        assert_int_equal(t.node[0].empty, 3);
        assert_int_equal(t.node[0].fresh, 1); /* nothing came since */
        assert_int_equal(stats_get(STAT_STANDBY), 1);
        send_media(&c, 30, 110);
        t.node[0].stored_us = 3500 * MS;
        UNTIL(t.node[0].fresh == 2);
        assert_int_equal(t.node[0].taken_count, 0);
        t.node[0].standby = false;
        UNTIL(t.node[0].taken_count >= 2 * 35);
        assert_pictures(&t.node[0], 0, 75, 35);
        assert_int_equal(stats_get(STAT_STANDBY), 0);
        t.node[0].standby = true; /* the other one again: what is sent now is not taken */
        send_media(&c, 110, 111);
        UNTIL(stats_get(STAT_STANDBY) == 1);
        unsigned taken = t.node[0].taken_count;
        send_media(&c, 111, 120);
        t.node[0].stored_us = 4 * US_PER_S;
        unsigned fresh = t.node[0].fresh;
        UNTIL(t.node[0].fresh > fresh);
        assert_int_equal(t.node[0].taken_count, taken);
        t.node[0].standby = false;
        UNTIL(t.node[0].taken_count > taken);
        assert_pictures(&t.node[0], taken, 100, 20);
        end(&c, CLOSE_STOPPED);
}

static void test_one_that_stands_by_asks_who_has_the_stream_after_the_active_one_had_time_to_move(void **state)
{
        (void)state;
        struct caster c;
        t.node[0].standby = t.node[1].standby = true;
        begin_role(&c, OPEN_BACKUP);
        send_media(&c, 0, 30);
        UNTIL(t.node[0].batches == 2);
        t.node[0].lost = true;
        t.node[1].holds = true;
        int64_t lost_us = clock_mono_us();
        UNTIL(t.node[1].opens == 1);
        assert_true(clock_mono_us() - lost_us >= RELAY_FOLLOW_MS * MS); /* timer_start() is never early */
        assert_int_equal(t.node[1].open.when, OPEN_IF_HELD | OPEN_GOES_ON);
        assert_int_equal(t.node[1].open.role, OPEN_BACKUP);
        end(&c, CLOSE_STOPPED);
}

static void test_a_backup_that_was_active_is_so_at_the_next_transcoder(void **state)
{
        (void)state;
        struct caster c;
        begin_role(&c, OPEN_BACKUP);
        send_media(&c, 0, 10);
        UNTIL(t.node[0].taken_count == 20);
        t.node[0].lost = true;
        send_media(&c, 10, 11);
        UNTIL(t.node[1].opens == 1);
        assert_int_equal(t.node[1].open.role, OPEN_BACKUP_NOW);
        end(&c, CLOSE_STOPPED);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_a_primary_and_a_backup_of_one_name_are_both_live),
                TEST(test_one_that_stands_by_tells_that_it_is_there_and_goes_on_from_what_is_stored),
                TEST(test_one_that_stands_by_asks_who_has_the_stream_after_the_active_one_had_time_to_move),
                TEST(test_a_backup_that_was_active_is_so_at_the_next_transcoder),
        };
        log_init("test", LOG_ERROR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
