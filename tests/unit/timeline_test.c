/* timeline: media time for days of broadcasting with the clocks, wraps and jumps that encoders have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/clock.h"
#include "ingestd/timeline.h"

#define WALL (INT64_C(1767225600) * US_PER_S + 123456) /* arrival of the first frame; not a whole ms */
#define MS US_PER_MS
#define S US_PER_S
#define HOUR (3600 * S)

/* An encoder: a true clock, its timestamps in ms, one picture or frame of sound at a time. */
struct source {
        struct timeline t;
        int64_t last_us[TRACK_KINDS];
        bool seen[TRACK_KINDS];
        unsigned breaks;
};

static bool take(struct source *s, uint8_t track, int64_t dts_ms, int32_t cts_ms, int64_t wall_us,
                 struct timeline_time *out)
{
        const struct timeline_frame f = {.track = track, .dts_ms = (uint32_t)dts_ms, .cts_ms = cts_ms};
        if (!s->seen[0] && !s->seen[1])
                timeline_start(&s->t, &f, wall_us);
        if (!timeline_map(&s->t, &f, wall_us, out))
                return false;
        if (s->seen[track]) {
                assert_true(out->dts_us > s->last_us[track]);
                s->breaks += out->broken;
        }
        s->seen[track] = true;
        s->last_us[track] = out->dts_us;
        return true;
}

static int64_t video(struct source *s, int64_t dts_ms, int64_t wall_us)
{
        struct timeline_time at;
        assert_true(take(s, TRACK_VIDEO, dts_ms, 0, wall_us, &at));
        return at.dts_us;
}

static int64_t audio(struct source *s, int64_t dts_ms, int64_t wall_us)
{
        struct timeline_time at;
        assert_true(take(s, TRACK_AUDIO, dts_ms, 0, wall_us, &at));
        return at.dts_us;
}

/* ---- the beginning ----------------------------------------------------------------------------------------------- */

static void test_first_picture_is_at_zero_of_an_epoch_in_whole_ms(void **state)
{
        (void)state;
        struct source s = {0};
        struct timeline_time at;
        assert_true(take(&s, TRACK_VIDEO, 5000, 80, WALL, &at));
        assert_int_equal(s.t.epoch_us, WALL - 456);
        assert_int_equal(at.dts_us + at.cts_us, 0);
        assert_int_equal(at.cts_us, 80 * MS);
        assert_int_equal(video(&s, 5033, WALL + 33 * MS), -80 * MS + 33 * MS);
}

static void test_sound_from_before_the_first_picture_is_dropped(void **state)
{
        (void)state;
        struct source s = {0};
        struct timeline_time at;
        assert_true(take(&s, TRACK_VIDEO, 1000, 40, WALL, &at)); /* shown at 1040 */
        assert_false(take(&s, TRACK_AUDIO, 990, 0, WALL, &at));
        assert_false(take(&s, TRACK_AUDIO, 1039, 0, WALL, &at));
        assert_true(take(&s, TRACK_AUDIO, 1040, 0, WALL, &at));
        assert_int_equal(at.dts_us, 0);
}

static void test_sound_alone_begins_at_zero(void **state)
{
        (void)state;
        struct source s = {0};
        assert_int_equal(audio(&s, 77777, WALL), 0);
        assert_int_equal(audio(&s, 77798, WALL + 21 * MS), 21 * MS);
}

static void test_another_epoch_moves_what_comes_after_likewise(void **state)
{
        (void)state;
        struct source s = {0};
        video(&s, 0, WALL);
        timeline_move(&s.t, s.t.epoch_us - 60 * S, 60 * S);
        s.last_us[TRACK_VIDEO] += 60 * S;
        assert_int_equal(video(&s, 33, WALL + 33 * MS), 60 * S + 33 * MS);
        struct timeline_time at;
        assert_false(take(&s, TRACK_AUDIO, -20, 0, WALL + 33 * MS, &at)); /* still from before the first picture */
}

/* ---- steady ------------------------------------------------------------------------------------------------------ */

static void test_timestamps_in_ms_give_no_other_jitter_than_their_rounding(void **state)
{
        (void)state;
        struct source s = {0};
        for (int64_t n = 0; n < 60 * 30; n++) {
                int64_t true_us = n * 1001 * S / 30000;
                int64_t network_us = n * 7919 % 15 * MS; /* arrival jitters by 14 ms */
                int64_t at = video(&s, true_us / MS, WALL + true_us + network_us);
                assert_true(at <= true_us && at > true_us - MS);
        }
}

static void test_both_tracks_share_one_mapping(void **state)
{
        (void)state;
        struct source s = {0};
        int64_t v = 0, a = 0;
        for (int64_t ms = 0; ms < 20000; ms++) {
                int64_t wall = WALL + ms * MS;
                if (ms % 40 == 0)
                        v = video(&s, ms, wall);
                if (ms >= 200 && ms % 20 == 0) { /* sound comes 200 ms behind */
                        a = audio(&s, ms - 200, wall);
                        assert_int_equal(v - v % (40 * MS), v);
                        assert_int_equal(a, (ms - 200) * MS);
                }
        }
        assert_int_equal(s.breaks, 0);
}

static void test_pictures_out_of_order_keep_their_composition_offset(void **state)
{
        static const int cts[] = {80, 200, 80, 0, 40}; /* I P B b b at 25 fps */
        (void)state;
        struct source s = {0};
        struct timeline_time at;
        for (int n = 0; n < 3000; n++) { /* long enough to see that the offset is not taken for an error of the clock */
                int c = cts[n == 0 ? 0 : 1 + (n - 1) % 4];
                assert_true(take(&s, TRACK_VIDEO, 40 * n, c, WALL + 40 * n * MS, &at));
                assert_int_equal(at.dts_us, (40 * n - 80) * MS);
                assert_int_equal(at.cts_us, c * MS);
        }
}

static void test_nonsense_composition_offsets_are_cut(void **state)
{
        (void)state;
        struct source s = {0};
        struct timeline_time at;
        assert_true(take(&s, TRACK_VIDEO, 0, 8388607, WALL, &at));
        assert_int_equal(at.cts_us, TIMELINE_CTS_MAX_MS * MS);
        assert_true(take(&s, TRACK_VIDEO, 33, -8388608, WALL, &at));
        assert_int_equal(at.cts_us, -TIMELINE_CTS_MAX_MS * MS);
}

/* ---- pitch: sound is longer or shorter by what media time gains or loses on the timestamps ------------------------- */

/* The largest difference in any second, ppm. All but the first frame come late_us later; ppm: how wrong the encoder's clock is. */
static int64_t largest_pitch_error(double ppm, int64_t late_us, int64_t later_us, int minutes)
{
        struct source s = {0};
        int64_t largest = 0, before_us = 0, before_ts = 0;
        for (int64_t n = 0; n * S / 25 < minutes * 60 * S; n++) {
                int64_t true_us = n * S / 25, ts = (int64_t)((double)true_us * (1 + ppm / 1e6)) / MS;
                int64_t network_us = (n > 0) * late_us + n * 7919 % 15 * MS + (true_us > 120 * S) * later_us;
                int64_t at = video(&s, ts, WALL + true_us + network_us);
                if (n % 25 == 0 && n > 0) {
                        int64_t error = (at - before_us) - (ts - before_ts) * MS;
                        largest = error > largest ? error : -error > largest ? -error : largest;
                }
                if (n % 25 == 0)
                        before_us = at, before_ts = ts;
        }
        assert_int_equal(s.breaks, 0);
        return largest;
}

static void test_a_first_frame_that_comes_sooner_or_later_than_the_others_bends_no_pitch(void **state)
{
        (void)state;
        for (int64_t late_us = -95 * MS; late_us <= 95 * MS; late_us += 10 * MS)
                assert_int_equal(largest_pitch_error(0, late_us, 0, 10), 0);
}

static void test_the_pitch_of_a_clock_that_is_off_is_bent_by_no_more_than_that(void **state)
{
        (void)state;
        for (int ppm = 200; ppm <= 1000; ppm += 100) {
                assert_in_range(largest_pitch_error(ppm, 65 * MS, 0, 60), ppm - 20, ppm + 20);
                assert_in_range(largest_pitch_error(-ppm, 65 * MS, 0, 60), ppm - 20, ppm + 20);
        }
        assert_in_range(largest_pitch_error(50, 65 * MS, 0, 60), 50, 180); /* 40 ms too far, where slewing begins */
}

static void test_a_network_that_becomes_slower_bends_the_pitch_by_a_thousandth_at_most(void **state)
{
        (void)state;
        assert_in_range(largest_pitch_error(0, 0, 200 * MS, 20), 500, 1000);
        assert_in_range(largest_pitch_error(0, 0, -200 * MS, 20), 500, 1000);
        assert_in_range(largest_pitch_error(0, 300 * MS, 0, 20), 500, 1000);
}

static void test_a_clock_that_is_off_by_half_a_percent_is_followed_all_the_same(void **state)
{
        (void)state;
        for (int sign = -1; sign <= 1; sign += 2) {
                struct source s = {0};
                for (int64_t n = 0; n * S / 25 < HOUR; n++) {
                        int64_t wall = n * S / 25, ts = (wall + sign * wall / 200) / MS;
                        assert_in_range(video(&s, ts, WALL + wall) + S, wall + S - 550 * MS, wall + S + 550 * MS);
                }
                assert_int_equal(s.breaks, 0);
        }
}

/* So small that what is slewed in each is less than a µs. */
static void test_sound_in_short_frames_is_slewed_like_any_other(void **state)
{
        (void)state;
        struct source s = {0};
        int64_t at = 0, wall = 0;
        for (int64_t n = 0; n < 20 * 60 * 500; n++) {
                wall = n * 2 * MS;
                at = audio(&s, wall / MS, WALL + wall + wall / 10000 + (n > 0) * 90 * MS);
        }
        assert_in_range(at - wall, 70 * MS, 120 * MS); /* 100 ppm of 20 minutes are 120 ms */
}

/* ---- sound and picture that begin apart ---------------------------------------------------------------------------- */

/* Sound alone began the session 2 s ago by its timestamps; the first picture comes after 1.5 s more, with timestamp pictures_ms. */
static void sound_before_its_pictures(struct source *s, int64_t pictures_ms)
{
        for (int64_t ms = 2000; ms < 3500; ms += 20)
                assert_int_equal(audio(s, ms, WALL + (ms - 2000) * MS), (ms - 2000) * MS);
        for (int64_t ms = 3500; ms < 20000; ms += 20) {
                int64_t wall = WALL + (ms - 2000) * MS;
                if (ms % 40 == 20) /* the picture is in its place from the first one on */
                        assert_in_range(video(s, pictures_ms + ms - 3520, wall), (ms - 2000) * MS, (ms - 2000 + 1) * MS);
                audio(s, ms, wall);
        }
}

static void test_pictures_that_come_seconds_behind_their_sound_do_not_stand_still(void **state)
{
        (void)state;
        struct source s = {0};
        sound_before_its_pictures(&s, 0);
        assert_int_equal(s.breaks, 1); /* the sound, once: it is moved to where its pictures are */
        assert_int_equal(s.last_us[TRACK_AUDIO] - s.last_us[TRACK_VIDEO], 3520 * MS); /* as by their timestamps */
}

static void test_pictures_that_come_later_than_the_sound_but_in_time_move_nothing(void **state)
{
        (void)state;
        struct source s = {0};
        sound_before_its_pictures(&s, 3520);
        assert_int_equal(s.breaks, 0);
        assert_int_equal(s.last_us[TRACK_AUDIO], s.last_us[TRACK_VIDEO]);
}

static void test_sound_that_comes_seconds_behind_its_pictures_keeps_its_place_beside_them(void **state)
{
        (void)state;
        struct source s = {0};
        for (int64_t ms = 0; ms < 20000; ms += 20) {
                assert_int_equal(video(&s, ms, WALL + ms * MS), ms * MS);
                if (ms >= 3000)
                        assert_int_equal(audio(&s, ms - 3000, WALL + ms * MS), (ms - 3000) * MS);
        }
        assert_int_equal(s.breaks, 0);
}

/* ---- days -------------------------------------------------------------------------------------------------------- */

/* Pictures at 30 fps and sound beside them, for hours, by a clock that is off by ppm and starts at first_ms. */
static void run_days(struct source *s, double ppm, int64_t first_ms, uint32_t mask, int hours)
{
        int64_t next_audio = 0, worst_apart = 0, worst_error = 0, before = 0, pace = 0;
        for (int64_t n = 0; n * S / 30 < hours * HOUR; n++) {
                int64_t wall = n * S / 30;
                double clock = (double)wall * (1 + ppm / 1e6);
                uint32_t ts = (uint32_t)(first_ms + (int64_t)clock / MS) & mask;
                int64_t at = video(s, ts, WALL + wall);
                int64_t error = at - wall;
                worst_error = error > worst_error ? error : -error > worst_error ? -error : worst_error;
                if (n > 0 && n % 30 == 0) { /* nothing moves faster than the slewing may */
                        pace = at - before - S;
                        assert_true(pace < 6500 + 1000 && pace > -6500 - 1000);
                }
                if (n % 30 == 0)
                        before = at;
                if (n >= next_audio) { /* every so often is enough: sound stays where the picture is */
                        int64_t apart = audio(s, ts, WALL + wall) - at;
                        worst_apart = apart > worst_apart ? apart : -apart > worst_apart ? -apart : worst_apart;
                        next_audio = n + 7;
                }
        }
        assert_int_equal(s->breaks, 0);
        assert_true(worst_error < 250 * MS);
        assert_true(worst_apart < 1 * MS);
}

static void test_two_days_of_a_clock_300_ppm_fast_stay_with_the_wall_clock(void **state)
{
        (void)state;
        struct source s = {0};
        run_days(&s, 300, 0, UINT32_MAX, 48);
}

static void test_two_days_of_a_clock_300_ppm_slow_stay_with_the_wall_clock(void **state)
{
        (void)state;
        struct source s = {0};
        run_days(&s, -300, 0, UINT32_MAX, 48);
}

/* 25 fps as x264 codes it, in order of decoding: I P B b B P …, with the timestamps' offsets in ms. */
static void run_days_of_b_frames(struct source *s, double ppm, int hours)
{
        static const int cts_ms[] = {80, 200, 80, 0, 40}; /* shown two, then five, two, no, one frame after they are decoded */
        int64_t worst = 0;
        for (int64_t n = 0; n * S / 25 < hours * HOUR; n++) {
                int64_t wall = n * S / 25;
                struct timeline_time at;
                int64_t ts = (int64_t)((double)wall * (1 + ppm / 1e6)) / MS;
                int cts = cts_ms[n % 5];
                assert_true(take(s, TRACK_VIDEO, ts, cts, WALL + wall, &at));
                assert_int_equal(at.cts_us, cts * MS);
                int64_t error = at.dts_us + 80 * MS - wall;
                worst = error > worst ? error : -error > worst ? -error : worst;
        }
        assert_int_equal(s->breaks, 0);
        assert_true(worst < 250 * MS);
}

static void test_two_days_of_b_frames_stay_with_the_wall_clock(void **state)
{
        struct source fast = {0}, slow = {0};
        (void)state;
        run_days_of_b_frames(&fast, 300, 48);
        run_days_of_b_frames(&slow, -300, 48);
}

/* The system's clock is stepped after an hour; the daemon's follows it as clock.c does, every 100 ms. */
static void step_the_system_clock(double ppm, int64_t step_us)
{
        struct source s = {0};
        int64_t offset = 0, worst = 0;
        for (int64_t n = 0; n * S / 30 < 8 * HOUR; n++) {
                int64_t mono = n * S / 30, before = s.last_us[TRACK_VIDEO];
                if (n % 3 == 0)
                        offset = clock_slew(offset, mono < HOUR ? 0 : step_us, S / 10, false);
                int64_t ts = (int64_t)((double)mono * (1 + ppm / 1e6)) / MS;
                int64_t at = video(&s, ts, WALL + mono + offset), error = at - mono - offset;
                if (n > 0)
                        assert_in_range(at - before, 32 * MS, 36 * MS); /* no frame feels it */
                assert_in_range(audio(&s, ts, WALL + mono + offset) - at, 0, MS);
                worst = error > worst ? error : -error > worst ? -error : worst;
        }
        assert_int_equal(s.breaks, 0);
        assert_true(worst < 250 * MS);
        assert_int_equal(offset, step_us); /* it was a step indeed, and is made good */
}

static void test_a_step_of_the_servers_clock_is_no_jump_of_the_media(void **state)
{
        (void)state;
        step_the_system_clock(300, 5 * S);
        step_the_system_clock(300, -5 * S);
        step_the_system_clock(-300, 5 * S);
        step_the_system_clock(-300, -5 * S);
}

static void test_wrap_at_32_bits_goes_unnoticed(void **state)
{
        (void)state;
        struct source s = {0};
        run_days(&s, 0, INT64_C(0xffffffff) - 600000, UINT32_MAX, 1);
}

static void test_wrap_at_31_bits_goes_unnoticed(void **state)
{
        (void)state;
        struct source s = {0};
        run_days(&s, 0, INT64_C(0x7fffffff) - 600000, INT32_MAX, 1);
}

static void test_no_wrap_at_31_bits_of_an_encoder_that_has_32(void **state)
{
        (void)state;
        struct source s = {0};
        run_days(&s, 0, INT64_C(0x7fffffff) - 600000, UINT32_MAX, 1);
}

/* ---- breaks ------------------------------------------------------------------------------------------------------ */

static void run_both(struct source *s, int64_t from_ms, int64_t to_ms, int64_t ts_from_ms, int64_t late_us)
{
        for (int64_t ms = from_ms; ms < to_ms; ms += 20) {
                int64_t wall = WALL + ms * MS + late_us;
                if (ms % 40 == 0)
                        video(s, ts_from_ms + ms - from_ms, wall);
                audio(s, ts_from_ms + ms - from_ms, wall + 7 * MS);
        }
}

static void jump_to(int64_t ts_ms)
{
        struct source s = {0};
        run_both(&s, 0, 10000, 7200000, 0);
        for (int64_t ms = 10000; ms < 30000; ms += 20) { /* from the very first frame on it is in its place */
                int64_t wall = WALL + ms * MS;
                if (ms % 40 == 0)
                        assert_in_range(video(&s, ts_ms + ms - 10000, wall), ms * MS - 250 * MS, ms * MS + 250 * MS);
                assert_in_range(audio(&s, ts_ms + ms - 10000, wall), ms * MS - 250 * MS, ms * MS + 250 * MS);
        }
        assert_int_equal(s.breaks, 2); /* each track, once */
        assert_int_equal(s.last_us[TRACK_AUDIO] - s.last_us[TRACK_VIDEO], 20 * MS);
}

static void test_a_jump_forwards_is_anchored_to_the_wall_clock(void **state)
{
        (void)state;
        jump_to(7200000 + 10000 + 5000);
        jump_to(7200000 + 10000 + 3600000);
}

static void test_a_jump_back_is_anchored_to_the_wall_clock(void **state)
{
        (void)state;
        jump_to(0);
        jump_to(7200000 + 10000 - 5000);
        jump_to(7200000 + 10000 - 3600000);
}

static void test_sound_that_follows_a_jump_late_goes_on_by_the_old_clock_until_then(void **state)
{
        (void)state;
        struct source s = {0};
        run_both(&s, 0, 10000, 500000, 0);
        for (int64_t ms = 10000; ms < 10400; ms += 40) {
                video(&s, ms - 10000, WALL + ms * MS);
                int64_t a = audio(&s, 500000 + ms, WALL + ms * MS); /* was queued in the encoder */
                assert_int_equal(a, ms * MS);
        }
        run_both(&s, 10400, 12000, 400, 0);
        assert_int_equal(s.last_us[TRACK_AUDIO] - s.last_us[TRACK_VIDEO], 20 * MS);
        assert_int_equal(s.breaks, 2);
}

static void test_interleaving_is_no_jump_back(void **state)
{
        (void)state;
        struct source s = {0};
        for (int64_t ms = 0; ms < 60000; ms += 1000) { /* a second of pictures, then its sound */
                for (int64_t v = 0; v < 1000; v += 40)
                        video(&s, ms + v, WALL + ms * MS);
                for (int64_t a = 0; a < 1000; a += 20)
                        audio(&s, ms + a, WALL + ms * MS);
        }
        assert_int_equal(s.breaks, 0);
}

static void test_a_hole_in_one_track_keeps_the_mapping(void **state)
{
        (void)state;
        struct source s = {0};
        for (int64_t ms = 0; ms < 30000; ms += 20) {
                if (ms % 40 == 0 && (ms < 5000 || ms > 9000)) /* the encoder drops pictures for 4 s */
                        assert_int_equal(video(&s, ms, WALL + ms * MS), ms * MS);
                assert_int_equal(audio(&s, ms, WALL + ms * MS), ms * MS);
        }
        assert_int_equal(s.breaks, 0);
}

static void test_a_backlog_sent_in_a_burst_keeps_continuous_time(void **state)
{
        (void)state;
        struct source s = {0};
        run_both(&s, 0, 10000, 0, 0);
        for (int64_t ms = 10000; ms < 40000; ms += 20) { /* the link stalls for 30 s; then comes all at once, in 2 s */
                int64_t wall = WALL + 40 * S + (ms - 10000) * MS / 15;
                if (ms % 40 == 0)
                        assert_in_range(video(&s, ms, wall), ms * MS - 50 * MS, ms * MS + 50 * MS);
                audio(&s, ms, wall);
        }
        run_both(&s, 42000, 60000, 40000 + 2000, 0);
        assert_true(s.breaks <= 2); /* 2 s of the jump at the very end of this test's own making */
}

static void test_a_backlog_that_is_caught_up_slowly_keeps_continuous_time(void **state)
{
        (void)state;
        struct source s = {0};
        run_both(&s, 0, 10000, 0, 0);
        for (int64_t ms = 10000; ms < 50000; ms += 20) { /* 10 s behind, and 4 s of media in 3 s from then on */
                int64_t wall = WALL + 20 * S + (ms - 10000) * MS * 3 / 4;
                if (ms % 40 == 0)
                        assert_in_range(video(&s, ms, wall), ms * MS - 250 * MS, ms * MS + 250 * MS);
                audio(&s, ms, wall);
        }
        assert_int_equal(s.breaks, 0);
}

static void test_small_steps_back_never_make_time_fall(void **state)
{
        (void)state;
        struct source s = {0};
        for (int64_t n = 0; n < 1000; n++)
                video(&s, n * 33 - (n % 5) * 40, WALL + n * 33 * MS);
        assert_int_equal(s.breaks, 0);
}

static void test_media_that_stays_late_is_moved_up_once(void **state)
{
        (void)state;
        struct source s = {0};
        run_both(&s, 0, 10000, 0, 0);
        run_both(&s, 15000, 45000, 10000, 0); /* paused for 5 s, and its clock with it */
        assert_int_equal(s.breaks, 2);
        assert_in_range(s.last_us[TRACK_VIDEO], 44900 * MS, 45100 * MS);
        assert_int_equal(s.last_us[TRACK_AUDIO] - s.last_us[TRACK_VIDEO], 20 * MS);
}

static void pause_for(int64_t pause_ms, int64_t first_ms)
{
        struct source s = {0};
        run_both(&s, 0, 10000, first_ms, 0);
        run_both(&s, 10000 + pause_ms, 20000 + pause_ms, first_ms + 10000 + pause_ms, 0);
        assert_int_equal(s.breaks, 0);
        assert_int_equal(s.last_us[TRACK_VIDEO], (19960 + pause_ms) * MS);
        assert_int_equal(s.last_us[TRACK_AUDIO], (19980 + pause_ms) * MS);
}

static void test_a_pause_that_the_timestamps_tell_is_no_break(void **state)
{
        (void)state;
        static const int64_t pauses_ms[] = {1040, 1200, 4000, 15000, 60000, 3600000};
        for (size_t i = 0; i < sizeof(pauses_ms) / sizeof(pauses_ms[0]); i++) {
                pause_for(pauses_ms[i], 0);
                pause_for(pauses_ms[i], INT64_C(0xffffffff) - 10500); /* the clock wraps meanwhile */
                pause_for(pauses_ms[i], INT64_C(0x7fffffff) - 10500);
        }
}

/* Its first picture, a large one, is longer on its way. */
static void test_what_comes_first_after_a_pause_moves_nothing(void **state)
{
        (void)state;
        struct source s = {0};
        const int64_t pause_ms = 600000;
        run_both(&s, 0, 10000, 0, 0);
        for (int64_t ms = 10000 + pause_ms; ms < 30000 + pause_ms; ms += 40) {
                int64_t way_us = ms == 10000 + pause_ms ? 300 * MS : 0;
                assert_in_range(video(&s, ms, WALL + ms * MS + way_us) - ms * MS + 20 * MS, 0, 40 * MS);
        }
        assert_int_equal(s.breaks, 0);
}

/* gap_ms on average, each jitter_ms sooner or later, and as much again on the way. */
static void far_apart(int64_t gap_ms, int64_t jitter_ms, bool with_sound)
{
        struct source s = {0};
        int64_t heard_ms = 0;
        for (int64_t n = 0; n < 200; n++) {
                int64_t ms = n * gap_ms + (n ? n * 7919 % (2 * jitter_ms + 1) - jitter_ms : 0);
                for (; with_sound && heard_ms < ms; heard_ms += 20)
                        assert_in_range(audio(&s, heard_ms, WALL + heard_ms * MS) - heard_ms * MS + 20 * MS, 0, 40 * MS);
                int64_t way_us = n ? n * 104729 % (2 * jitter_ms + 1) * MS : 0;
                /* The mapping follows the clock, slowly; it does not follow what a picture had for a way. */
                assert_in_range(video(&s, ms, WALL + ms * MS + way_us) - ms * MS + jitter_ms * MS, 0, 3 * jitter_ms * MS);
        }
        assert_int_equal(s.breaks, 0);
}

static void test_pictures_far_apart_keep_the_clock(void **state)
{
        (void)state;
        far_apart(1000, 10, false);
        far_apart(1000, 200, false);
        far_apart(3000, 100, false);
        far_apart(19000, 400, false);
        far_apart(1000, 10, true);
        far_apart(3000, 10, true);
}

static void test_a_pause_within_a_backlog_is_no_break(void **state)
{
        (void)state;
        struct source s = {0};
        run_both(&s, 0, 10000, 0, 0);
        for (int64_t ms = 10000; ms < 40000; ms += 20) { /* held up for 30 s; what comes then, 15 times as fast, has holes */
                int64_t wall = WALL + 40 * S + (ms - 10000) * MS / 15;
                if (ms % 10000 >= 5000)
                        continue;
                if (ms % 40 == 0)
                        assert_in_range(video(&s, ms, wall), ms * MS - 50 * MS, ms * MS + 50 * MS);
                audio(&s, ms, wall);
        }
        assert_int_equal(s.breaks, 0);
}

/* A file sent as fast as it can be: the future is where all of it lies, and what one track alone did not do was no jump. */
static void test_a_hole_in_one_track_of_a_whole_file_at_once_keeps_the_tracks_together(void **state)
{
        (void)state;
        struct source s = {0};
        for (int64_t ms = 0; ms < 60000; ms += 20) {
                if (ms % 40 == 0 && ms % 10000 < 5000)
                        video(&s, ms, WALL + ms * MS / 50);
                audio(&s, ms, WALL + ms * MS / 50);
                if (ms % 40 == 0 && ms % 10000 < 5000)
                        assert_int_equal(s.last_us[TRACK_AUDIO], s.last_us[TRACK_VIDEO]);
        }
        assert_int_equal(s.breaks, 0);
}

/* From ms on the clock says nothing for 30 s, or never did, and then goes on from where it stood. */
static void stand_from(int64_t from_ms)
{
        struct source s = {0};
        const int64_t to_ms = from_ms + 30000, stood_ms = from_ms ? from_ms - 20 : 0;
        run_both(&s, 0, from_ms, 0, 0);
        for (int64_t ms = from_ms; ms < to_ms; ms += 20) {
                int64_t v = ms % 40 ? s.last_us[TRACK_VIDEO] : video(&s, stood_ms, WALL + ms * MS), a = audio(&s, stood_ms, WALL + ms * MS);
                if (ms < from_ms + 1000) /* it might be a moment's fault */
                        continue;
                assert_in_range(v, ms * MS - 50 * MS, ms * MS + 10 * MS);
                assert_in_range(a, ms * MS - 10 * MS, ms * MS + 10 * MS);
        }
        s.breaks = 0;
        for (int64_t ms = to_ms; ms < to_ms + 20000; ms += 20) {
                int64_t ts_ms = stood_ms + 20 + ms - to_ms;
                if (ms % 40 == 0)
                        assert_in_range(video(&s, ts_ms, WALL + ms * MS), ms * MS - 50 * MS, ms * MS + 50 * MS);
                assert_in_range(audio(&s, ts_ms, WALL + ms * MS), ms * MS - 50 * MS, ms * MS + 50 * MS);
        }
        assert_in_range(s.breaks, 0, 2);
}

static void test_what_comes_while_the_clock_stands_is_placed_by_its_arrival(void **state)
{
        (void)state;
        stand_from(0);
        stand_from(10000);
}

/* Each second it stands, and makes up for that: no second may leave anything of its own behind. */
static void test_timestamps_in_whole_seconds_do_not_run_ahead(void **state)
{
        (void)state;
        for (int with_sound = 0; with_sound < 2; with_sound++) {
                struct source s = {0};
                for (int64_t ms = 0; ms < 120000; ms += 20) {
                        if (ms % 40 == 0)
                                assert_in_range(video(&s, ms / 1000 * 1000, WALL + ms * MS) + US_PER_S, ms * MS, ms * MS + US_PER_S + 300 * MS);
                        if (with_sound)
                                audio(&s, ms / 1000 * 1000, WALL + ms * MS);
                }
        }
}

static void test_random_timestamps_rise_all_the_same(void **state)
{
        (void)state;
        struct source s = {0};
        uint64_t x = 88172645463325252u;
        for (int n = 0; n < 200000; n++) {
                x ^= x << 13, x ^= x >> 7, x ^= x << 17;
                struct timeline_time at;
                take(&s, x >> 40 & 1, (uint32_t)x, (int32_t)(x >> 32) % 8388608, WALL + n * MS, &at);
        }
        assert_in_range(s.last_us[TRACK_VIDEO], 0, HOUR);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_first_picture_is_at_zero_of_an_epoch_in_whole_ms),
                cmocka_unit_test(test_sound_from_before_the_first_picture_is_dropped),
                cmocka_unit_test(test_sound_alone_begins_at_zero),
                cmocka_unit_test(test_another_epoch_moves_what_comes_after_likewise),
                cmocka_unit_test(test_timestamps_in_ms_give_no_other_jitter_than_their_rounding),
                cmocka_unit_test(test_both_tracks_share_one_mapping),
                cmocka_unit_test(test_pictures_out_of_order_keep_their_composition_offset),
                cmocka_unit_test(test_nonsense_composition_offsets_are_cut),
                cmocka_unit_test(test_a_first_frame_that_comes_sooner_or_later_than_the_others_bends_no_pitch),
                cmocka_unit_test(test_the_pitch_of_a_clock_that_is_off_is_bent_by_no_more_than_that),
                cmocka_unit_test(test_a_network_that_becomes_slower_bends_the_pitch_by_a_thousandth_at_most),
                cmocka_unit_test(test_a_clock_that_is_off_by_half_a_percent_is_followed_all_the_same),
                cmocka_unit_test(test_sound_in_short_frames_is_slewed_like_any_other),
                cmocka_unit_test(test_pictures_that_come_seconds_behind_their_sound_do_not_stand_still),
                cmocka_unit_test(test_pictures_that_come_later_than_the_sound_but_in_time_move_nothing),
                cmocka_unit_test(test_sound_that_comes_seconds_behind_its_pictures_keeps_its_place_beside_them),
                cmocka_unit_test(test_two_days_of_a_clock_300_ppm_fast_stay_with_the_wall_clock),
                cmocka_unit_test(test_two_days_of_a_clock_300_ppm_slow_stay_with_the_wall_clock),
                cmocka_unit_test(test_two_days_of_b_frames_stay_with_the_wall_clock),
                cmocka_unit_test(test_a_step_of_the_servers_clock_is_no_jump_of_the_media),
                cmocka_unit_test(test_wrap_at_32_bits_goes_unnoticed),
                cmocka_unit_test(test_wrap_at_31_bits_goes_unnoticed),
                cmocka_unit_test(test_no_wrap_at_31_bits_of_an_encoder_that_has_32),
                cmocka_unit_test(test_a_jump_forwards_is_anchored_to_the_wall_clock),
                cmocka_unit_test(test_a_jump_back_is_anchored_to_the_wall_clock),
                cmocka_unit_test(test_sound_that_follows_a_jump_late_goes_on_by_the_old_clock_until_then),
                cmocka_unit_test(test_interleaving_is_no_jump_back),
                cmocka_unit_test(test_a_hole_in_one_track_keeps_the_mapping),
                cmocka_unit_test(test_a_backlog_sent_in_a_burst_keeps_continuous_time),
                cmocka_unit_test(test_a_backlog_that_is_caught_up_slowly_keeps_continuous_time),
                cmocka_unit_test(test_small_steps_back_never_make_time_fall),
                cmocka_unit_test(test_media_that_stays_late_is_moved_up_once),
                cmocka_unit_test(test_a_pause_that_the_timestamps_tell_is_no_break),
                cmocka_unit_test(test_what_comes_first_after_a_pause_moves_nothing),
                cmocka_unit_test(test_pictures_far_apart_keep_the_clock),
                cmocka_unit_test(test_a_pause_within_a_backlog_is_no_break),
                cmocka_unit_test(test_a_hole_in_one_track_of_a_whole_file_at_once_keeps_the_tracks_together),
                cmocka_unit_test(test_what_comes_while_the_clock_stands_is_placed_by_its_arrival),
                cmocka_unit_test(test_timestamps_in_whole_seconds_do_not_run_ahead),
                cmocka_unit_test(test_random_timestamps_rise_all_the_same),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
