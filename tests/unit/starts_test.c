/* What a transcoder takes on: what streams cost by their configuration, what the machine can, whose encoders are opened now. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/err.h"
#include "transcoderd/capacity.h"
#include "transcoderd/encode/cost.h"
#include "transcoderd/encode/sps.h"
#include "transcoderd/starts.h"

#define MS US_PER_MS

/* ---- starts ----------------------------------------------------------------------------------------------------------- */

static void test_one_start_at_a_time_and_new_ones_rest_as_long_as_they_took(void **state)
{
        (void)state;
        struct starts s = {.at_once = 1};
        struct start a = {0}, b = {0};
        assert_true(starts_may(&s, false, false, 0));
        starts_begin(&s, &a, false, 0);
        assert_false(starts_may(&s, false, false, 10 * MS));
        starts_end(&s, &a, 50 * MS);
        assert_false(starts_may(&s, false, false, 99 * MS));
        assert_true(starts_may(&s, false, false, 100 * MS));
        starts_end(&s, &a, 60 * MS); /* once */
        assert_int_equal(s.under_way, 0);
        starts_begin(&s, &b, false, 100 * MS);
        starts_end(&s, &b, 10000 * MS);
        assert_true(starts_may(&s, false, false, 10000 * MS + STARTS_REST_MAX_US));
}

static void test_new_ones_wait_while_somebody_is_late_at_the_live_edge(void **state)
{
        (void)state;
        struct starts s = {.at_once = 1};
        assert_false(starts_may(&s, false, true, 0));
        assert_true(starts_may(&s, true, true, 0));
}

static void test_a_stream_that_goes_on_waits_for_no_new_one(void **state)
{
        (void)state;
        struct starts s = {.at_once = 1};
        struct start stranger = {0}, first = {0};
        starts_begin(&s, &stranger, false, 0);
        assert_true(starts_may(&s, true, false, 0));
        starts_begin(&s, &first, true, 0);
        assert_false(starts_may(&s, true, false, 0)); /* but for others like it */
        starts_end(&s, &first, 40 * MS);
        starts_end(&s, &stranger, 40 * MS);
        assert_false(starts_may(&s, false, false, 41 * MS));
        assert_true(starts_may(&s, true, false, 41 * MS)); /* and rests for nobody */
}

static void test_what_cannot_be_decoded_does_not_hold_the_others_up_for_long(void **state)
{
        (void)state;
        struct starts s = {.at_once = 1};
        struct start a = {0};
        assert_false(starts_takes_long(&a, 1000 * US_PER_S));
        starts_begin(&s, &a, false, 0);
        assert_false(starts_takes_long(&a, STARTS_LONG_US - 1));
        assert_true(starts_takes_long(&a, STARTS_LONG_US));
}

/* ---- capacity --------------------------------------------------------------------------------------------------------- */

static void test_capacity_is_what_was_measured(void **state)
{
        (void)state;
        struct capacity c = {.cpus = 2, .percent = 100};
        assert_int_equal(capacity_pixels_s(&c), 250000000); /* the guess */
        int64_t cpu_us = US_PER_S;
        for (int i = 0; i < 200; i++, cpu_us += 500000)
                capacity_note(&c, 125000000, cpu_us); /* 4 ns each */
        assert_in_range(capacity_pixels_s(&c), 495000000, 505000000);
        int64_t before = capacity_pixels_s(&c);
        cpu_us -= 500000; /* of the last look */
        for (int i = 0; i < 200; i++)
                capacity_note(&c, 1000, cpu_us += 20000); /* next to no work tells nothing */
        capacity_note(&c, 0, cpu_us + US_PER_S);
        assert_in_range(capacity_pixels_s(&c), before, before);
}

static void test_what_would_be_too_much_beside_the_others_is_not_taken(void **state)
{
        (void)state;
        struct capacity c = {.cpus = 1, .percent = 80}; /* 125 million */
        assert_true(capacity_fits(&c, 0, 1000000000)); /* alone it may be as large as it likes */
        assert_true(capacity_fits(&c, 60000000, 40000000));
        assert_false(capacity_fits(&c, 60000000, 40000001));
        c.percent = 0;
        assert_true(capacity_fits(&c, 600000000, 600000000));
}

/* ---- what a stream costs ------------------------------------------------------------------------------------------------ */

/* avcC with the SPS that x264 makes of 1280 × 720, 30 a second. */
static const uint8_t hd[] = {1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 26,
                             0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03,
                             0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60};

static void test_a_configuration_says_size_and_rate(void **state)
{
        (void)state;
        struct sps s;
        assert_int_equal(sps_of_record(&s, hd, sizeof(hd)), 0);
        assert_int_equal(s.width, 1280);
        assert_int_equal(s.height, 720);
        assert_int_equal(s.fps_milli, 30000);
        static const uint8_t none[] = {1, 0x64, 0, 0x1f, 0xff, 0xe0, 0};
        assert_int_equal(sps_of_record(&s, none, sizeof(none)), ERR_NOT_FOUND);
}

/* Whatever strangers put there: it is read within its bounds, and says nothing that cannot be. */
static void test_a_configuration_of_any_bytes_is_survived(void **state)
{
        (void)state;
        uint32_t random = 1;
        for (int i = 0; i < 20000; i++) {
                uint8_t record[sizeof(hd)];
                struct sps s;
                memcpy(record, hd, sizeof(hd));
                for (int n = 0; n < 1 + i % 6; n++) {
                        random = random * 1664525 + 1013904223;
                        record[(random >> 8) % sizeof(hd)] = (uint8_t)(random >> 16);
                }
                if (sps_of_record(&s, record, 1 + (random >> 12) % sizeof(hd)) == 0) {
                        assert_in_range(s.width, 1, SPS_SIDE_MAX);
                        assert_in_range(s.height, 1, SPS_SIDE_MAX);
                }
        }
        uint8_t ones[64], zeros[64] = {0}, *all[] = {ones, zeros};
        memset(ones, 0xff, sizeof(ones));
        for (int i = 0; i < 2; i++) {
                struct sps s;
                all[i][0] = 1, all[i][5] = 0xe1, all[i][6] = 0, all[i][7] = 56;
                sps_of_record(&s, all[i], sizeof(ones));
        }
}

static void test_a_stream_costs_what_its_ladder_has_up_to_its_size(void **state)
{
        (void)state;
        struct ladder l = {.video = {{"v1080", 1080, 30, 4500000}, {"v720", 720, 30, 2500000}, {"v240", 240, 15, 250000}}, .video_count = 3,
                           .audio_count = 2};
        const uint8_t both[TRACK_KINDS] = {[TRACK_VIDEO] = CODEC_H264, [TRACK_AUDIO] = CODEC_AAC};
        const uint8_t sound[TRACK_KINDS] = {[TRACK_AUDIO] = CODEC_AAC};
        int64_t is = cost_of_stream(&l, both, hd, sizeof(hd));
        int64_t ought = (cost_of_decoded(1280, 720) + cost_of_encoded(1280, 720)) * 30 + cost_of_encoded(426, 240) * 15 + 2 * COST_SOUND;
        assert_int_equal(is, ought);
        assert_int_equal(cost_of_stream(&l, both, NULL, 0), ought); /* nothing is known: a usual one, of that size */
        assert_int_equal(cost_of_stream(&l, sound, NULL, 0), 2 * COST_SOUND);
        struct cost_source small = {320, 180, 60000};
        assert_true(cost_of_ladder(&l, &small, false) < ought / 5);
        assert_true(cost_of_ladder(&l, &small, false) > 0); /* the lowest rung is always there */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_start_at_a_time_and_new_ones_rest_as_long_as_they_took),
                cmocka_unit_test(test_new_ones_wait_while_somebody_is_late_at_the_live_edge),
                cmocka_unit_test(test_a_stream_that_goes_on_waits_for_no_new_one),
                cmocka_unit_test(test_what_cannot_be_decoded_does_not_hold_the_others_up_for_long),
                cmocka_unit_test(test_capacity_is_what_was_measured),
                cmocka_unit_test(test_what_would_be_too_much_beside_the_others_is_not_taken),
                cmocka_unit_test(test_a_configuration_says_size_and_rate),
                cmocka_unit_test(test_a_configuration_of_any_bytes_is_survived),
                cmocka_unit_test(test_a_stream_costs_what_its_ladder_has_up_to_its_size),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
