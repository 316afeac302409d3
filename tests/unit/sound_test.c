/* A session's sound, second by second, without waiting for any of them: what comes is heard where it belongs, at its pitch,
 * what does not come is silence, and what comes late is waited for as long as it is worth it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <libavutil/channel_layout.h>
#include <libavutil/log.h>
#include <math.h>

#include "common/aac_data.h"
#include "common/cue.h"
#include "common/err.h"
#include "ingestd/timeline.c" /* pure, and what decides by how much sound is bent */
#include "tests/unit/pipeline_fixture.h"
#include "transcoderd/encode/sound.h"

#define S US_PER_S
#define MS US_PER_MS
#define TONE 440.0
#define HEARD 0.2 /* of the tone's 0.3 */

/* The broadcaster's microphone, and the audio thread without the thread. */
struct studio {
        struct rig *r; /* takes what comes out */
        struct outlet *out;
        struct sound sound;
        int64_t now_us;  /* the session's clock */
        AVChannelLayout layout;
        int rate;        /* as declared */
        double true_rate; /* samples in a second of the session's clock */
        int64_t samples;  /* made since the format is what it is */
        double phase;
        float *left, *right; /* what a player hears: after studio_end() */
        int count;
};

static struct studio *studio_new(bool late, int64_t now_us)
{
        struct studio *st = mem_alloc(sizeof(*st));
        st->r = rig_new();
        st->r->o.ladder.audio[0].bitrate_bps = 128000;
        st->out = outlet_new(&st->r->mb, &events, st->r, "test");
        st->now_us = now_us;
        outlet_begins_late(st->out, 0); /* a picture began */
        sound_init(&st->sound, &st->r->o, st->out, late, now_us);
        st->layout = (AVChannelLayout)AV_CHANNEL_LAYOUT_STEREO;
        st->rate = 48000;
        st->true_rate = 48000;
        return st;
}

/* The thread waits for sound until until_us, and makes silence when that is due. */
static void pass(struct studio *st, int64_t until_us)
{
        while (st->now_us < until_us) {
                int64_t wait_us = sound_wait_us(&st->sound, st->now_us, st->now_us);
                if (st->now_us + wait_us > until_us)
                        break;
                st->now_us += wait_us;
                sound_fill(&st->sound, st->now_us, st->now_us);
        }
        st->now_us = until_us > st->now_us ? until_us : st->now_us;
        uv_run(&st->r->loop, UV_RUN_NOWAIT);
}

/* A frame of the tone, of media time at_us, comes now; sample not NULL: a frame of nothing else. */
static void sing_as(struct studio *st, int64_t at_us, const float *sample)
{
        AVFrame *f = av_frame_alloc();
        f->format = AV_SAMPLE_FMT_FLTP;
        f->sample_rate = st->rate;
        f->nb_samples = 1024;
        f->pts = at_us;
        av_channel_layout_copy(&f->ch_layout, &st->layout);
        assert_int_equal(av_frame_get_buffer(f, 0), 0);
        for (int i = 0; i < f->nb_samples; i++) {
                st->phase = fmod(st->phase + TONE / st->true_rate, 1);
                for (int c = 0; c < st->layout.nb_channels; c++)
                        ((float *)(void *)f->extended_data[c])[i] = sample ? *sample : 0.3f * (float)sin(2 * M_PI * st->phase);
        }
        st->samples += f->nb_samples;
        assert_int_equal(sound_add(&st->sound, f, st->now_us), sample ? ERR_CORRUPT : 0);
        av_frame_free(&f);
}

static void sing(struct studio *st, int64_t at_us)
{
        sing_as(st, at_us, NULL);
}

/* Sound for media time [from_us, until_us), in RTMP's milliseconds, each frame late_us after its time. */
static void broadcast(struct studio *st, int64_t from_us, int64_t until_us, int64_t late_us)
{
        st->samples = 0;
        for (int64_t at_us = from_us; at_us < until_us; at_us = from_us + (int64_t)((double)st->samples * 1e6 / st->true_rate)) {
                pass(st, at_us + late_us);
                sing(st, at_us / MS * MS);
        }
}

static struct track *studio_end(struct studio *st)
{
        sound_finish(&st->sound);
        uv_run(&st->r->loop, UV_RUN_NOWAIT);
        check_track(st->r, "a64");
        struct track *t = track_named(st->r, "a64");
        st->count = decode_sound(t, &st->left, &st->right);
        assert_int_equal(st->count, t->next - t->first);
        return t;
}

static void studio_free(struct studio *st)
{
        sound_fini(&st->sound);
        outlet_shut(st->out);
        outlet_unref(&st->out);
        free(st->left);
        free(st->right);
        rig_free(st->r);
        free(st);
}

/* Both sides' loudness in 50 ms from media time at_us on: peak of a tone of the same power. */
static double level_at(const struct studio *st, int64_t at_us)
{
        int64_t from = grid_ticks(at_us, AUDIO_TIMESCALE) - track_named(st->r, "a64")->first;
        double power = 0;
        if (from < 0 || from + 2400 > st->count)
                return -1;
        for (int64_t i = from; i < from + 2400; i++)
                power += (double)st->left[i] * (double)st->left[i] + (double)st->right[i] * (double)st->right[i];
        return sqrt(power / 2400);
}

static void check_heard(const struct studio *st, int64_t from_us, int64_t until_us, bool heard)
{
        for (int64_t at_us = from_us; at_us + 50 * MS <= until_us; at_us += 50 * MS) {
                double level = level_at(st, at_us);
                if (level < 0 || (level > HEARD) != heard || (!heard && level > 0.01))
                        fail_msg("level %.3f at %lld ms", level, (long long)(at_us / MS));
        }
}

/* The tone in the second from media time at_us on, by its first and last rise through zero. */
static double pitch_at(const struct studio *st, int64_t at_us)
{
        int64_t from = grid_ticks(at_us, AUDIO_TIMESCALE) - track_named(st->r, "a64")->first;
        double first = 0, last = 0;
        int rises = 0;
        assert_true(from >= 0 && from + AUDIO_TIMESCALE < st->count);
        for (int64_t i = from; i < from + AUDIO_TIMESCALE; i++) {
                if (!(st->left[i] < 0 && st->left[i + 1] >= 0))
                        continue;
                last = (double)i + (double)st->left[i] / ((double)st->left[i] - (double)st->left[i + 1]);
                if (rises++ == 0)
                        first = last;
        }
        assert_true(rises > 2);
        return (rises - 1) * (double)AUDIO_TIMESCALE / (last - first);
}

/* The largest difference from the tone in any second (quarters of one apart) of [from_us, until_us), ppm. */
static double pitch_error(const struct studio *st, int64_t from_us, int64_t until_us)
{
        double worst = 0;
        for (int64_t at_us = from_us; at_us + S < until_us; at_us += S / 4)
                worst = fmax(worst, fabs(pitch_at(st, at_us) / TONE - 1) * 1e6);
        return worst;
}

static void check_pitch(const struct studio *st, int64_t from_us, int64_t until_us, double least_ppm, double most_ppm)
{
        double ppm = pitch_error(st, from_us, until_us);
        if (ppm < least_ppm || ppm > most_ppm)
                fail_msg("%.0f ppm, not %.0f to %.0f", ppm, least_ppm, most_ppm);
}

static uint64_t late_of(const struct studio *st)
{
        return atomic_load(&st->out->tally.late_dropped);
}

static int64_t silence_of(const struct studio *st)
{
        return atomic_load(&st->out->tally.slate_us[TRACK_AUDIO]);
}

/* ---- late ---------------------------------------------------------------------------------------------------------- */

/* Its encoder, or its way here, is 3 s slower than the picture's; the timestamps say what belongs together. */
static void test_a_track_of_sound_3_s_behind_its_picture_is_heard(void **state)
{
        (void)state;
        struct studio *st = studio_new(true, 3 * S);
        broadcast(st, 0, 8 * S, 3 * S);
        struct track *t = studio_end(st);
        assert_int_equal(t->info.start_us, S);
        check_heard(st, S + 50 * MS, 8 * S - 50 * MS, true);
        check_pitch(st, S + 50 * MS, 8 * S, 0, 30);
        assert_int_equal(late_of(st), 0);
        assert_int_equal(silence_of(st), 0);
        studio_free(st);
}

static void test_late_sound_that_was_held_up_comes_up_to_its_place_again(void **state)
{
        (void)state;
        struct studio *st = studio_new(true, 3 * S);
        broadcast(st, 0, 4 * S, 3 * S);
        pass(st, 7900 * MS); /* nothing for 0.9 s: silence up to 1 s before now; then what was held up comes at once */
        broadcast(st, 4 * S, 9 * S, 3 * S);
        studio_end(st);
        check_heard(st, S + 50 * MS, 4 * S - 50 * MS, true);
        check_heard(st, 4100 * MS, 6600 * MS, false);
        check_heard(st, 7 * S, 9 * S - 50 * MS, true);
        assert_in_range(silence_of(st), 2400 * MS, 2950 * MS);
        assert_in_range(late_of(st), 2400 * 48 / 1024, 2950 * 48 / 1024);
        studio_free(st);
}

/* After a pause 0.4 s of sound a second: it never comes up, and the track does not stand still for it. */
static void test_sound_that_never_comes_up_is_not_waited_for_for_ever(void **state)
{
        (void)state;
        struct studio *st = studio_new(false, 0);
        int64_t still_us = 0;
        broadcast(st, 0, 2 * S, 50 * MS);
        for (int64_t at_us = 2 * S; at_us < 17 * S; at_us += 21333) {
                pass(st, 6 * S + (at_us - 2 * S) * 10 / 4);
                sing(st, at_us);
                int64_t behind_us = st->now_us - grid_us(pcm_end(&st->sound.pcm), AUDIO_TIMESCALE);
                still_us = behind_us > still_us ? behind_us : still_us;
        }
        assert_in_range(still_us, 4 * S, 6 * S); /* it was 3 s late */
        assert_in_range(grid_us(pcm_end(&st->sound.pcm), AUDIO_TIMESCALE), st->now_us - 1600 * MS, st->now_us);
        assert_in_range(late_of(st), 15 * 46, 15 * 47);
        studio_end(st);
        check_heard(st, 2100 * MS, 40 * S, false);
        studio_free(st);
}

static void test_sound_a_quarter_of_a_minute_late_is_left_out_and_counted(void **state)
{
        (void)state;
        struct studio *st = studio_new(false, 0);
        broadcast(st, 0, S, 0);
        pass(st, 16 * S);
        broadcast(st, S, 5 * S, 15 * S);
        assert_in_range(late_of(st), 187, 189);
        assert_in_range(grid_us(pcm_end(&st->sound.pcm), AUDIO_TIMESCALE), 18400 * MS, 19100 * MS);
        studio_end(st);
        check_heard(st, 2 * S, 18 * S, false);
        studio_free(st);
}

static void test_a_replay_of_what_is_stored_is_neither_late_nor_silence(void **state)
{
        (void)state;
        struct studio *st = studio_new(false, 12 * S);
        st->r->o.resume_count = 1;
        st->r->o.resume[0] = (struct job_resume){.track = "a64", .end_us = 10 * S, .from_us = 10 * S};
        for (int64_t at_us = 8 * S; at_us < 12 * S; at_us += 21333) { /* as fast as it goes */
                pass(st, 12 * S + (at_us - 8 * S) / 20);
                sing(st, at_us);
        }
        broadcast(st, st->now_us - 100 * MS, 15 * S, 100 * MS);
        struct track *t = studio_end(st);
        assert_int_equal(t->first, grid_aac_frame_from(10 * S) * AAC_FRAME_SAMPLES);
        check_heard(st, 10 * S + 50 * MS, 12 * S - 50 * MS, true);
        check_heard(st, 12200 * MS, 14900 * MS, true);
        assert_int_equal(late_of(st), 0);
        assert_int_equal(silence_of(st), 0);
        studio_free(st);
}

/* ---- holes --------------------------------------------------------------------------------------------------------- */

static void test_sound_that_ends_early_is_silence_until_the_end(void **state)
{
        (void)state;
        struct studio *st = studio_new(false, 0);
        broadcast(st, 0, 2 * S, 50 * MS);
        pass(st, 9 * S);
        assert_in_range(grid_us(pcm_end(&st->sound.pcm), AUDIO_TIMESCALE), 7400 * MS, 8 * S);
        studio_end(st);
        check_heard(st, 50 * MS, 1950 * MS, true);
        check_heard(st, 2050 * MS, 7300 * MS, false);
        assert_int_equal(late_of(st), 0);
        studio_free(st);
}

static void test_a_hole_in_the_timestamps_is_silent_and_moves_nothing(void **state)
{
        (void)state;
        static const int64_t holes_us[] = {60 * MS, 300 * MS, 3 * S};
        for (size_t i = 0; i < sizeof(holes_us) / sizeof(holes_us[0]); i++) {
                int64_t again_us = S + holes_us[i];
                struct studio *st = studio_new(false, 0);
                broadcast(st, 0, S, 50 * MS);
                broadcast(st, again_us, again_us + S, 50 * MS);
                studio_end(st);
                check_heard(st, 50 * MS, 950 * MS, true);
                if (holes_us[i] > S)
                        check_heard(st, 1050 * MS, again_us - 50 * MS, false);
                check_heard(st, again_us + 50 * MS, again_us + 950 * MS, true);
                assert_int_equal(late_of(st), 0);
                studio_free(st);
        }
}

/* ---- formats ------------------------------------------------------------------------------------------------------- */

static void test_a_change_of_format_in_mid_broadcast_is_not_heard(void **state)
{
        (void)state;
        static const struct {
                int rate, channels;
        } formats[] = {{48000, 2}, {44100, 1}, {48000, 6}, {22050, 2}, {96000, 8}, {8000, 1}, {48000, 3}, {32000, 2}, {48000, 2}};
        struct studio *st = studio_new(false, 0);
        int64_t at_us = 0;
        for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
                st->rate = formats[i].rate;
                st->true_rate = formats[i].rate;
                av_channel_layout_default(&st->layout, formats[i].channels);
                broadcast(st, at_us, at_us + S, 50 * MS);
                at_us += (int64_t)((double)st->samples * 1e6 / st->true_rate);
        }
        studio_end(st);
        check_heard(st, 50 * MS, at_us - 100 * MS, true);
        check_pitch(st, 100 * MS, at_us - 100 * MS, 0, 2500); /* a sample or so is missing at each change: 1 of 48,000 is 20 ppm */
        assert_int_equal(late_of(st), 0);
        assert_int_equal(silence_of(st), 0);
        studio_free(st);
}

/* Coded sound through the whole pipeline, and the peak of what a player decodes; *hz is its tone. */
static double peak_of(const struct coded *c, int *hz)
{
        struct rig *r = rig_new();
        float *left, *right;
        double peak = 0;
        r->o.ladder.audio[0].bitrate_bps = 192000;
        rig_open(r, NULL, c);
        push_all(r, NULL, c);
        drain(r);
        check_track(r, "a64");
        const struct track *t = track_named(r, "a64");
        int count = decode_sound(t, &left, &right);
        for (int i = 19200; i < count; i++) /* encoders need a moment */
                peak = fmax(peak, fmax(fabs((double)left[i]), fabs((double)right[i])));
        *hz = tone_hz(t, 48000);
        free(left);
        free(right);
        rig_free(r);
        return peak;
}

static void test_six_channels_near_full_scale_do_not_clip(void **state)
{
        (void)state;
        struct coded c;
        int hz;
        coded_tone(&c, 48000, 6, 0.8f, 120, 0); /* -1.9 dBFS, the same in all of them */
        double peak = peak_of(&c, &hz);
        if (peak < 0.78 || peak > 0.83)
                fail_msg("%.2f dBFS", 20 * log10(peak));
        assert_int_equal(hz, 440);
        coded_free(&c);
}

static void test_one_channel_keeps_its_level(void **state)
{
        (void)state;
        struct coded c;
        int hz;
        coded_tone(&c, 44100, 1, 0.5f, 120, 0);
        double peak = peak_of(&c, &hz);
        if (peak < 0.47 || peak > 0.53)
                fail_msg("%.2f dBFS", 20 * log10(peak));
        coded_free(&c);
}

/* HE-AAC as it is announced: the record names the core's rate, 22,050, and the double, at which it is heard. */
static void test_the_double_rate_of_he_aac_is_heard_at_its_pitch(void **state)
{
        (void)state;
        struct coded c;
        int hz;
        coded_tone(&c, 22050, 2, 0.5f, 70, 0);
        buf_unref(&c.config);
        c.config = buf_copy("\x2b\x92\x08\x00", 4); /* ISO/IEC 14496-3, 1.6.2.1: SBR, 22,050, 2 channels, 44,100, LC */
        double peak = peak_of(&c, &hz);
        if (peak < 0.45 || peak > 0.55)
                fail_msg("%.2f dBFS", 20 * log10(peak));
        assert_int_equal(hz, 440);
        coded_free(&c);
}

/* ---- pitch --------------------------------------------------------------------------------------------------------- */

/* An encoder that says 44,100 and has 44,056: its timestamps are right, so it is they that the tone is true to. */
static void test_sound_whose_samples_are_not_as_many_as_it_says_keeps_its_place_and_its_true_pitch(void **state)
{
        (void)state;
        struct studio *st = studio_new(false, 0);
        st->rate = 44100;
        st->true_rate = 44056;
        broadcast(st, 0, 35 * S, 50 * MS);
        int64_t end_us = grid_us(pcm_end(&st->sound.pcm), AUDIO_TIMESCALE);
        assert_in_range(end_us, 35 * S - 10 * MS, 35 * S + 35 * MS);
        studio_end(st);
        check_heard(st, 50 * MS, 35 * S - 50 * MS, true);
        check_pitch(st, 50 * MS, 35 * S, 900, 1050); /* 44,100 / 44,056, until that is known */
        check_pitch(st, 25 * S, 35 * S, 0, 300);
        studio_free(st);
}

/* Through the proxy's timeline: beside pictures, all but the first frame late_us later, from later_at_us on later_us more. */
static struct studio *whole_way(int64_t late_us, int64_t later_us, int64_t later_at_us, int64_t until_us)
{
        struct studio *st = studio_new(false, 0);
        const int64_t wall_us = INT64_C(1767225600) * S;
        struct timeline timeline;
        struct timeline_time at;
        int64_t pictures = 0;
        for (int64_t n = 0;; n++) {
                int64_t true_us = n * 1024 * S / 48000, ts_ms = true_us / MS;
                int64_t way_us = (n > 0) * late_us + (true_us > later_at_us) * later_us;
                if (true_us > until_us)
                        return st;
                const struct timeline_frame sound = {.track = TRACK_AUDIO, .dts_ms = (uint32_t)ts_ms};
                const struct timeline_frame picture = {.track = TRACK_VIDEO, .dts_ms = (uint32_t)ts_ms};
                if (n == 0)
                        timeline_start(&timeline, &picture, wall_us);
                for (; pictures * S / 30 <= true_us; pictures++)
                        assert_true(timeline_map(&timeline, &picture, wall_us + true_us + way_us, &at));
                assert_true(timeline_map(&timeline, &sound, wall_us + true_us + way_us, &at));
                pass(st, true_us + way_us);
                sing(st, at.dts_us);
        }
}

static void test_a_first_frame_65_ms_off_is_not_heard(void **state)
{
        (void)state;
        for (int64_t late_us = -65 * MS; late_us <= 65 * MS; late_us += 130 * MS) {
                struct studio *st = whole_way(late_us, 0, 0, 12 * S);
                studio_end(st);
                check_heard(st, 50 * MS, 12 * S - 50 * MS, true);
                check_pitch(st, 50 * MS, 12 * S - 50 * MS, 0, 30);
                studio_free(st);
        }
}

static void test_a_network_that_becomes_200_ms_slower_bends_the_pitch_by_a_thousandth_at_most(void **state)
{
        (void)state;
        struct studio *st = whole_way(0, 200 * MS, 4 * S, 24 * S);
        studio_end(st);
        check_heard(st, 50 * MS, 24 * S - 50 * MS, true);
        check_pitch(st, 50 * MS, 24 * S - 50 * MS, 500, 1000);
        studio_free(st);
}

/* What a decoder makes of damaged sound may be no numbers at all. */
static void test_samples_that_are_no_numbers_are_silent_and_hurt_nothing_else(void **state)
{
        (void)state;
        const float wrong[] = {NAN, INFINITY, -INFINITY, 1e30f};
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                struct studio *st = studio_new(false, 0);
                broadcast(st, 0, 3 * S, 0);
                for (int n = 0; n < 3; n++)
                        sing_as(st, 3 * S + n * 1024 * S / 48000, &wrong[i]);
                broadcast(st, 3 * S + 100 * MS, 6 * S, 0);
                studio_end(st);
                check_heard(st, 50 * MS, 3 * S - 50 * MS, true);
                check_heard(st, 3 * S + 150 * MS, 6 * S - 50 * MS, true);
                studio_free(st);
        }
}

/* ---- what is said with it --------------------------------------------------------------------------------------------- */

#define SAYS_US (350 * MS)
#define SAYINGS 20

/* Seven seconds, and something said beside the sound now and then; resume_us: from there on, after another writer. seen: how often each
 * was told, wherever the chunk was whose sound it belongs to. */
static void say_beside(int64_t resume_us, int seen[SAYINGS], uint64_t *lost)
{
        static const uint8_t coded[] = {0x21, 0x10, 4};
        struct studio *st = studio_new(false, 0);
        if (resume_us) {
                st->r->o.resume[0] = (struct job_resume){.track = "a64", .end_us = resume_us};
                st->r->o.resume_count = 1;
        }
        for (int n = 0, i = 0; n < 7 * 48000 / 1024; n++) {
                int64_t at_us = (int64_t)n * 1024 * S / 48000 / MS * MS;
                pass(st, at_us);
                sing(st, at_us);
                if (at_us < i * SAYS_US || i == SAYINGS)
                        continue;
                uint8_t message[CUE_MESSAGE_MAX], number = (uint8_t)i++;
                const struct cue c = {.duration_ms = CUE_NO_DURATION, .body = &number, .body_len = 1};
                size_t len = cue_message_write(message, sizeof(message), &c, 0);
                struct frame f = {.track = TRACK_AUDIO, .codec = CODEC_AAC, .dts_us = at_us, .bytes = aac_data_add(coded, sizeof(coded), message, len)};
                sound_say(&st->sound, &f);
                buf_unref(&f.bytes);
        }
        studio_end(st);
        for (int i = 0; i < st->r->chunk_count; i++) {
                const struct out_chunk *o = &st->r->chunks[i];
                const uint8_t *bytes = st->r->tracks[o->c.track].file + o->at, *box = bytes;
                while ((box = memmem(box, o->len - (size_t)(box - bytes), "emsg", 4))) {
                        struct cue c;
                        assert_int_equal(cue_box_read(&c, box + 4, 4 + 4 + 8 + 4 + 4 + sizeof("urn:freshet:amf:2026") + sizeof(CUE_VALUE) + 1), 0);
                        assert_in_range(c.at_us - o->c.start_us + 25 * MS, 0, o->c.duration_us + 25 * MS); /* its frame may begin a little sooner */
                        seen[c.body[0]]++;
                        box += 4;
                }
        }
        *lost = atomic_load(&st->out->tally.cues_lost);
        studio_free(st);
}

static void test_what_is_said_lies_in_the_chunk_of_its_sound_and_who_goes_on_says_the_rest(void **state)
{
        (void)state;
        int all[SAYINGS] = {0};
        uint64_t lost;
        say_beside(0, all, &lost);
        assert_int_equal(lost, 0);
        for (int i = 0; i < SAYINGS; i++)
                assert_int_equal(all[i], 1);
        for (int64_t resume_us = S; resume_us < 4 * S; resume_us += 650 * MS) {
                int rest[SAYINGS] = {0};
                int64_t frame = grid_aac_frame_from(resume_us);
                say_beside(resume_us, rest, &lost);
                assert_int_equal(lost, 0);
                for (int i = 0; i < SAYINGS; i++) {
                        int64_t n = (i * SAYS_US * 48000 / S + 1023) / 1024, at_us = n * 1024 * S / 48000 / MS * MS;
                        assert_int_equal(rest[i], at_us * 48000 / S / 1024 >= frame);
                }
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_track_of_sound_3_s_behind_its_picture_is_heard),
                cmocka_unit_test(test_late_sound_that_was_held_up_comes_up_to_its_place_again),
                cmocka_unit_test(test_sound_that_never_comes_up_is_not_waited_for_for_ever),
                cmocka_unit_test(test_sound_a_quarter_of_a_minute_late_is_left_out_and_counted),
                cmocka_unit_test(test_a_replay_of_what_is_stored_is_neither_late_nor_silence),
                cmocka_unit_test(test_sound_that_ends_early_is_silence_until_the_end),
                cmocka_unit_test(test_a_hole_in_the_timestamps_is_silent_and_moves_nothing),
                cmocka_unit_test(test_a_change_of_format_in_mid_broadcast_is_not_heard),
                cmocka_unit_test(test_six_channels_near_full_scale_do_not_clip),
                cmocka_unit_test(test_one_channel_keeps_its_level),
                cmocka_unit_test(test_the_double_rate_of_he_aac_is_heard_at_its_pitch),
                cmocka_unit_test(test_sound_whose_samples_are_not_as_many_as_it_says_keeps_its_place_and_its_true_pitch),
                cmocka_unit_test(test_a_first_frame_65_ms_off_is_not_heard),
                cmocka_unit_test(test_a_network_that_becomes_200_ms_slower_bends_the_pitch_by_a_thousandth_at_most),
                cmocka_unit_test(test_samples_that_are_no_numbers_are_silent_and_hurt_nothing_else),
                cmocka_unit_test(test_what_is_said_lies_in_the_chunk_of_its_sound_and_who_goes_on_says_the_rest),
        };
        av_log_set_level(AV_LOG_QUIET);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
