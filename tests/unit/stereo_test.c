/* Whatever a broadcaster's sound is made of, two sides of it are heard: as loud as is right, and never louder than full scale. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <libavutil/channel_layout.h>
#include <libavutil/log.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "transcoderd/encode/stereo.h"

#define PEAK 0.8f /* -1.9 dBFS */

/* count samples of a tone of 440 Hz from sample number first on; muted: a bit for each channel that is silent. */
static AVFrame *tone(const AVChannelLayout *layout, int rate, int count, int64_t first, uint64_t muted)
{
        AVFrame *f = av_frame_alloc();
        f->format = AV_SAMPLE_FMT_FLTP;
        f->sample_rate = rate;
        f->nb_samples = count;
        av_channel_layout_copy(&f->ch_layout, layout);
        assert_int_equal(av_frame_get_buffer(f, 0), 0);
        for (int c = 0; c < layout->nb_channels; c++)
                for (int i = 0; i < count; i++)
                        ((float *)(void *)f->extended_data[c])[i] =
                                muted >> c & 1 ? 0 : PEAK * (float)sin(2 * M_PI * 440 * (double)(first + i) / rate);
        return f;
}

struct levels {
        float left, right;
};

/* Peaks of the two sides for a second of the tone. */
static struct levels levels_of(const AVChannelLayout *layout, uint64_t muted)
{
        struct stereo s = {0};
        struct levels l = {0};
        for (int64_t at = 0; at < 48000; at += 1000) {
                AVFrame *f = tone(layout, 48000, 1000, at, muted);
                assert_int_equal(stereo_fit(&s, f), 0);
                int n = stereo_convert(&s, f);
                assert_int_equal(n, 1000);
                for (int i = 0; i < n; i++) {
                        l.left = fmaxf(l.left, fabsf(s.samples[0][i]));
                        l.right = fmaxf(l.right, fabsf(s.samples[1][i]));
                }
                av_frame_free(&f);
        }
        stereo_fini(&s);
        return l;
}

static void check_levels(const AVChannelLayout *layout, uint64_t muted, double left, double right)
{
        struct levels l = levels_of(layout, muted);
        if (fabs(l.left - left * PEAK) > 1e-3 || fabs(l.right - right * PEAK) > 1e-3)
                fail_msg("%d channels, muted %#x: %.4f %.4f of %.4f %.4f", layout->nb_channels, (unsigned)muted, (double)l.left / PEAK,
                         (double)l.right / PEAK, left, right);
}

static void test_one_channel_is_as_loud_on_both_sides_as_it_came(void **state)
{
        (void)state;
        const AVChannelLayout mono = AV_CHANNEL_LAYOUT_MONO, left = AV_CHANNEL_LAYOUT_MASK(1, AV_CH_FRONT_LEFT);
        const AVChannelLayout unknown = {.order = AV_CHANNEL_ORDER_UNSPEC, .nb_channels = 1};
        check_levels(&mono, 0, 1, 1);
        check_levels(&left, 0, 1, 1);
        check_levels(&unknown, 0, 1, 1);
}

static void test_two_channels_stay_what_they_are(void **state)
{
        (void)state;
        const AVChannelLayout stereo = AV_CHANNEL_LAYOUT_STEREO;
        const AVChannelLayout unknown = {.order = AV_CHANNEL_ORDER_UNSPEC, .nb_channels = 2};
        check_levels(&stereo, 0, 1, 1);
        check_levels(&stereo, 2, 1, 0);
        check_levels(&unknown, 1, 0, 1);
}

/* All channels at -1.9 dBFS, and the same: the worst that there is. */
static void test_a_mix_of_many_channels_is_no_louder_than_each(void **state)
{
        (void)state;
        const AVChannelLayout layouts[] = {AV_CHANNEL_LAYOUT_SURROUND,  AV_CHANNEL_LAYOUT_4POINT0,  AV_CHANNEL_LAYOUT_QUAD,
                                           AV_CHANNEL_LAYOUT_5POINT0,   AV_CHANNEL_LAYOUT_5POINT1,  AV_CHANNEL_LAYOUT_5POINT1_BACK,
                                           AV_CHANNEL_LAYOUT_6POINT1,   AV_CHANNEL_LAYOUT_7POINT1,  AV_CHANNEL_LAYOUT_7POINT1_WIDE,
                                           AV_CHANNEL_LAYOUT_OCTAGONAL, AV_CHANNEL_LAYOUT_22POINT2};
        for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
                check_levels(&layouts[i], 0, 1, 1);
}

static void test_each_channel_has_the_weight_that_the_recommendation_gives_it(void **state)
{
        (void)state;
        const AVChannelLayout five = AV_CHANNEL_LAYOUT_5POINT1_BACK, three = AV_CHANNEL_LAYOUT_SURROUND; /* L R C LFE Ls Rs; L R C */
        double sum = 1 + 2 * M_SQRT1_2, of_three = 1 + M_SQRT1_2;
        check_levels(&five, ~UINT64_C(1), 1 / sum, 0);
        check_levels(&five, ~UINT64_C(2), 0, 1 / sum);
        check_levels(&five, ~UINT64_C(4), M_SQRT1_2 / sum, M_SQRT1_2 / sum);
        check_levels(&five, ~UINT64_C(8), 0, 0);
        check_levels(&five, ~UINT64_C(16), M_SQRT1_2 / sum, 0);
        check_levels(&five, ~UINT64_C(32), 0, M_SQRT1_2 / sum);
        check_levels(&three, ~UINT64_C(1), 1 / of_three, 0);
        check_levels(&three, ~UINT64_C(4), M_SQRT1_2 / of_three, M_SQRT1_2 / of_three);
}

static void test_channels_without_a_known_place_are_heard_on_both_sides(void **state)
{
        (void)state;
        const AVChannelLayout nine = {.order = AV_CHANNEL_ORDER_UNSPEC, .nb_channels = 9};
        const AVChannelLayout lame = AV_CHANNEL_LAYOUT_MASK(3, AV_CH_FRONT_LEFT | AV_CH_FRONT_RIGHT | AV_CH_SIDE_LEFT);
        const AVChannelLayout sides = AV_CHANNEL_LAYOUT_MASK(2, AV_CH_SIDE_LEFT | AV_CH_SIDE_RIGHT);
        check_levels(&nine, 0, 1, 1);
        check_levels(&nine, ~UINT64_C(256), 1.0 / 9, 1.0 / 9);
        check_levels(&lame, ~UINT64_C(4), 1.0 / 3, 1.0 / 3);
        check_levels(&sides, 0, 1, 1);
}

static void test_more_channels_than_there_can_be_are_refused(void **state)
{
        (void)state;
        struct stereo s = {0};
        const AVChannelLayout crowd = {.order = AV_CHANNEL_ORDER_UNSPEC, .nb_channels = 65};
        AVFrame *f = av_frame_alloc();
        f->format = AV_SAMPLE_FMT_FLTP;
        f->sample_rate = 48000;
        f->nb_samples = 1024;
        f->ch_layout = crowd;
        assert_int_equal(stereo_fit(&s, f), ERR_UNSUPPORTED);
        f->ch_layout = (AVChannelLayout)AV_CHANNEL_LAYOUT_STEREO;
        assert_int_equal(stereo_fit(&s, f), 0);
        av_frame_free(&f);
        stereo_fini(&s);
}

/* A tone has no corners: the largest bend of what was put out, against that of the tone itself. */
static double largest_bend(const float *x, int count)
{
        double w = 2 * M_PI * 440 / 48000, largest = 0;
        for (int i = 2; i < count; i++)
                largest = fmax(largest, fabs((double)x[i] - 2 * (double)x[i - 1] + (double)x[i - 2]));
        return largest / ((double)PEAK * w * w);
}

/* Sound that falls behind by 0.1 %: first it is copied, then made longer. */
static void test_no_click_where_sound_begins_to_be_made_longer(void **state)
{
        (void)state;
        struct stereo s = {0};
        const AVChannelLayout stereo = AV_CHANNEL_LAYOUT_STEREO;
        float *out = calloc(48000 * 12, sizeof(float));
        int64_t made = 0;
        for (int64_t in = 0; in < 48000 * 10; in += 1024) {
                AVFrame *f = tone(&stereo, 48000, 1024, in, 0);
                assert_int_equal(stereo_fit(&s, f), 0);
                int64_t target = in + in / 1000 - stereo_held(&s);
                assert_int_equal(stereo_follow(&s, f, target - made), 0);
                int n = stereo_convert(&s, f);
                assert_true(n >= 0);
                memcpy(out + made, s.samples[0], (size_t)n * sizeof(float));
                made += n;
                av_frame_free(&f);
        }
        assert_in_range(made - 480000, 200, 480);
        if (largest_bend(out, (int)made) > 1.6) /* a step of -56 dBFS */
                fail_msg("a bend of %.2f", largest_bend(out, (int)made));
        free(out);
        stereo_fini(&s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_channel_is_as_loud_on_both_sides_as_it_came),
                cmocka_unit_test(test_two_channels_stay_what_they_are),
                cmocka_unit_test(test_a_mix_of_many_channels_is_no_louder_than_each),
                cmocka_unit_test(test_each_channel_has_the_weight_that_the_recommendation_gives_it),
                cmocka_unit_test(test_channels_without_a_known_place_are_heard_on_both_sides),
                cmocka_unit_test(test_more_channels_than_there_can_be_are_refused),
                cmocka_unit_test(test_no_click_where_sound_begins_to_be_made_longer),
        };
        av_log_set_level(AV_LOG_QUIET);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
