#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/clock.h"
#include "edged/cmsd.h"

static void test_what_is_not_known_is_not_said(void **state)
{
        (void)state;
        char dst[OUTPUT_EXTRA_MAX];
        struct cmsd c = {.node = "edge-1"};
        assert_string_equal(cmsd_fields(dst, &c), "");
        c.rtt_us = 12100;
        assert_string_equal(cmsd_fields(dst, &c), "CMSD-Dynamic: \"edge-1\";rtt=13\r\n");
        c.etp_kbps = 2900;
        assert_string_equal(cmsd_fields(dst, &c), "CMSD-Dynamic: \"edge-1\";etp=2900;rtt=13\r\n");
        c.held_us = 310 * US_PER_MS;
        assert_string_equal(cmsd_fields(dst, &c), "CMSD-Static: ht=310\r\nCMSD-Dynamic: \"edge-1\";etp=2900;rtt=13;rd=310\r\n");
        c.most_kbps = 1800; /* of an edge that has enough it is no advice */
        assert_null(strstr(cmsd_fields(dst, &c), "mb="));
        c.pressed = true;
        assert_non_null(strstr(cmsd_fields(dst, &c), ";mb=1800;du\r\n"));
}

static void test_the_longest_there_can_be_is_said_whole(void **state)
{
        (void)state;
        char dst[OUTPUT_EXTRA_MAX], name[64];
        memset(name, 'e', 63);
        name[63] = '\0';
        struct cmsd c = {.node = name, .etp_kbps = 1000000, .rtt_us = 9999999, .held_us = 60 * US_PER_S, .pressed = true, .most_kbps = 9000000};
        assert_non_null(strstr(cmsd_fields(dst, &c), ";mb=9000000;du\r\n"));
        c.etp_kbps = c.most_kbps = UINT64_MAX; /* never happens: rather nothing than half of it */
        assert_string_equal(cmsd_fields(dst, &c), "");
}

static void test_an_edge_is_pressed_from_nine_tenths_until_eight(void **state)
{
        (void)state;
        struct cmsd c = {0};
        struct cmsd_load l = {.now_us = US_PER_S, .clients = 899, .clients_max = 1000};
        assert_int_equal(cmsd_look(&l), 899);
        cmsd_add_press(&c);
        assert_false(c.pressed);
        l.clients = 900;
        cmsd_look(&l);
        cmsd_add_press(&c);
        assert_true(c.pressed && c.most_kbps == 0);
        l.clients = 800;
        cmsd_look(&l);
        cmsd_add_press(&c);
        assert_true(c.pressed);
        l.clients = 799;
        cmsd_look(&l);
        cmsd_add_press(&c);
        assert_false(c.pressed);
}

static void test_what_is_sent_counts_against_the_uplink_and_each_is_told_his_share(void **state)
{
        (void)state;
        struct cmsd c = {0};
        struct cmsd_load l = {.now_us = 100 * US_PER_S, .clients = 100, .clients_max = 1000, .uplink_bits_s = 1000000000};
        unsigned load = 0;
        for (int i = 0; i < 20; i++) {
                load = cmsd_look(&l);
                l.now_us += US_PER_S;
                l.sent_bytes += 950000000 / 8;
        }
        assert_in_range(load, 945, 950);
        cmsd_add_press(&c);
        assert_true(c.pressed);
        assert_int_equal(c.most_kbps, 9000); /* nine tenths of it, for a hundred */
        for (int i = 0; i < 20; i++) {
                load = cmsd_look(&l);
                l.now_us += US_PER_S;
                l.sent_bytes += 500000000 / 8;
        }
        cmsd_add_press(&c);
        assert_false(c.pressed);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_not_known_is_not_said),
                cmocka_unit_test(test_the_longest_there_can_be_is_said_whole),
                cmocka_unit_test(test_an_edge_is_pressed_from_nine_tenths_until_eight),
                cmocka_unit_test(test_what_is_sent_counts_against_the_uplink_and_each_is_told_his_share),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
