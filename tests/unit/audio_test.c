/* Sound on the sample grid: no sample is lost or doubled unless it has no place, and clocks that drift apart are
 * followed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "transcoderd/encode/pcm.h"

static void test_what_goes_in_comes_out_in_frames(void **state)
{
        (void)state;
        struct pcm p = {0};
        float left[700], right[700], out_l[1024], out_r[1024];
        float *const out[PCM_CHANNELS] = {out_l, out_r};
        int next_in = 0, next_out = 0;

        pcm_init(&p, -2048);
        for (int piece = 0; piece < 50; piece++) {
                for (int i = 0; i < 700; i++, next_in++) {
                        left[i] = (float)next_in;
                        right[i] = (float)-next_in;
                }
                const float *const data[PCM_CHANNELS] = {left, right};
                pcm_append(&p, data, 700);
                assert_int_equal(pcm_end(&p), -2048 + next_in);
                while (pcm_take(&p, out, 1024))
                        for (int i = 0; i < 1024; i++, next_out++) {
                                assert_true(out_l[i] == (float)next_out);
                                assert_true(out_r[i] == (float)-next_out);
                        }
        }
        assert_int_equal(next_out, 50 * 700 / 1024 * 1024);
        assert_int_equal(p.first, -2048 + next_out);
        pcm_fini(&p);
}

static void test_silence_is_silent(void **state)
{
        (void)state;
        struct pcm p = {0};
        float one[8] = {1, 1, 1, 1, 1, 1, 1, 1}, l[16], r[16];
        const float *const data[PCM_CHANNELS] = {one, one};
        float *const out[PCM_CHANNELS] = {l, r};
        pcm_append(&p, data, 8);
        pcm_append(&p, NULL, 8);
        assert_true(pcm_take(&p, out, 16));
        assert_true(l[7] == 1 && l[8] == 0 && r[15] == 0);
        assert_false(pcm_take(&p, out, 1));
        pcm_fini(&p);
}

static void test_small_distances_are_left_to_the_resampler(void **state)
{
        (void)state;
        struct pcm_fit f = pcm_fit(48000, 48000 + PCM_APART_SAMPLES, PCM_APART_SAMPLES);
        assert_int_equal(f.insert, 0);
        assert_int_equal(f.skip, 0);
        f = pcm_fit(48000, 48000 - PCM_APART_SAMPLES, PCM_APART_SAMPLES);
        assert_int_equal(f.skip, 0);
}

static void test_a_hole_becomes_silence_and_what_is_late_is_left_out(void **state)
{
        (void)state;
        struct pcm_fit f = pcm_fit(48000, 96000, PCM_APART_SAMPLES);
        assert_int_equal(f.insert, 48000);
        assert_int_equal(f.skip, 0);
        f = pcm_fit(96000, 48000, PCM_APART_SAMPLES);
        assert_int_equal(f.insert, 0);
        assert_int_equal(f.skip, 48000);
        assert_int_equal(pcm_fit(0, 1, 0).insert, 1);
}

/* A publisher whose sound clock is wrong by ppm, with RTMP's millisecond rounding; returns the greatest distance in
 * samples. */
static double worst_distance(double ppm, int minutes)
{
        struct drift d;
        double made = 0, worst = 0, stretch = 0;
        drift_reset(&d);
        for (int64_t n = 0; n < (int64_t)minutes * 60 * 48000 / 1024; n++) {
                double at = (double)n * 1024 * (1 + ppm / 1e6);
                int64_t rounded = (int64_t)(at / 48) * 48;
                double error = (double)rounded - made;
                worst = error > worst ? error : -error > worst ? -error : worst;
                int more = drift_add(&d, (int64_t)error, 1024);
                if (d.since == 0)
                        stretch = (double)more / DRIFT_WINDOW;
                made += 1024 * (1 + stretch);
        }
        return worst;
}

static void test_sound_of_clocks_that_drift_stays_within_a_few_milliseconds_of_its_place(void **state)
{
        (void)state;
        static const struct {
                double ppm, most_ms;
        } cases[] = {{0, 1.5}, {50, 4}, {-50, 4}, {300, 4}, {-300, 4}, {1000, 8}, {-1000, 8}, {2000, 18}, {-2000, 18}};
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                if (worst_distance(cases[i].ppm, 60) > cases[i].most_ms * 48)
                        fail_msg("%.0f ppm: %.0f samples apart", cases[i].ppm, worst_distance(cases[i].ppm, 60));
}

static void test_the_fastest_slew_of_media_time_is_followed_without_a_cut(void **state)
{
        (void)state;
        assert_true(worst_distance(5000, 10) < PCM_APART_SAMPLES * 4 / 5);
        assert_true(worst_distance(-5000, 10) < PCM_APART_SAMPLES * 4 / 5);
}

/* The largest correction of a window, ppm, for a drift of ppm with timestamps that are as much as jitter_ms wrong; *settled: of the
 * second half. */
static double largest_correction(double ppm, double jitter_ms, double *settled)
{
        struct drift d;
        double made = 0, stretch = 0, largest = 0;
        uint32_t x = 1;
        drift_reset(&d);
        *settled = 0;
        for (int64_t n = 0; n < INT64_C(600) * 48000 / 1024; n++) {
                double at = (double)n * 1024 * (1 + ppm / 1e6);
                x = x * 1664525 + 1013904223;
                double wrong_ms = jitter_ms * (2.0 * (x >> 8) / (1 << 24) - 1);
                int more = drift_add(&d, (int64_t)(floor(at / 48 + wrong_ms) * 48 - made), 1024);
                if (d.since == 0)
                        stretch = (double)more / DRIFT_WINDOW;
                largest = fmax(largest, fabs(stretch) * 1e6);
                if (n > INT64_C(300) * 48000 / 1024)
                        *settled = fmax(*settled, fabs(stretch * 1e6 - ppm));
                made += 1024 * (1 + stretch);
        }
        return largest;
}

static void test_the_pitch_follows_a_drift_smoothly(void **state)
{
        (void)state;
        double settled;
        for (int ppm = -500; ppm <= 500; ppm += 100) {
                double largest = largest_correction(ppm, 0, &settled);
                if (largest > 750 || settled > 100)
                        fail_msg("%d ppm: %.0f ppm, %.0f at the end", ppm, largest, settled);
        }
        assert_true(largest_correction(1000, 0, &settled) < 1350 && settled < 100);
        assert_true(largest_correction(0, 15, &settled) < 1000); /* timestamps of a program that looks at the clock when it has time */
}

static void test_rounding_to_milliseconds_is_not_drift(void **state)
{
        (void)state;
        struct drift d;
        drift_reset(&d);
        for (int64_t n = 0; n < 10000; n++)
                assert_int_equal(drift_add(&d, n % 2 ? 40 : -47, 1024), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_goes_in_comes_out_in_frames),
                cmocka_unit_test(test_silence_is_silent),
                cmocka_unit_test(test_small_distances_are_left_to_the_resampler),
                cmocka_unit_test(test_a_hole_becomes_silence_and_what_is_late_is_left_out),
                cmocka_unit_test(test_sound_of_clocks_that_drift_stays_within_a_few_milliseconds_of_its_place),
                cmocka_unit_test(test_the_fastest_slew_of_media_time_is_followed_without_a_cut),
                cmocka_unit_test(test_the_pitch_follows_a_drift_smoothly),
                cmocka_unit_test(test_rounding_to_milliseconds_is_not_drift),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
