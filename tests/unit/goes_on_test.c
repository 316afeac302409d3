/* What cameras, encoders and links do that they should not: the pipeline goes on as ffmpeg does, and counts what it drops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ingestd/timeline.c" /* pure: what gives frames their time, in front of what takes them */
#include "tests/unit/pipeline_fixture.h"
#include "tests/unit/until.h"

#define FPS_25 ((AVRational){25, 1})

static struct rig *rig_for(const struct coded *video)
{
        struct rig *r = rig_new();
        r->o.ladder.video_count = 1;
        rig_open(r, video, NULL);
        return r;
}

static struct pipeline_stats stats_after(struct rig *r)
{
        struct pipeline_stats s;
        drain(r);
        assert_int_equal(r->failed, 0);
        pipeline_stats(r->p, &s);
        return s;
}

static void push_record(struct rig *r, struct buf *record)
{
        const struct frame f = {.track = TRACK_VIDEO, .codec = CODEC_H264, .flags = FRAME_CONFIG, .bytes = record};
        push(r, &f);
}

/* ---- pauses: a broadcaster's timestamps and arrivals ---------------------------------------------------------------- */

struct shot {
        int64_t ms, way_ms; /* its timestamp; how long it was on its way */
};

/* Sends the pictures of one group with these times, as the proxy gives them theirs. Nothing may be lost. */
static void every_picture_comes(int count, int b_frames, struct shot (*shot)(int n))
{
        struct coded video;
        struct timeline t;
        coded_video(&video, 176, 96, FPS_25, count, b_frames, 1000, 0);
        struct rig *r = rig_for(&video);
        assert_int_equal(video.count, count);
        for (int n = 0; n < count; n++) {
                struct frame *f = &video.frames[n];
                struct shot at = shot(n);
                /* Offsets as the pictures now lie: each is shown with the timestamp of the picture it was made of. */
                int64_t shown = (f->dts_us + f->cts_us) / 40000;
                const struct timeline_frame in = {.track = TRACK_VIDEO, .dts_ms = (uint32_t)at.ms,
                                                  .cts_ms = (int32_t)(shot((int)shown).ms - at.ms)};
                struct timeline_time out;
                if (n == 0)
                        timeline_start(&t, &in, (at.ms + at.way_ms) * US_PER_MS);
                assert_true(timeline_map(&t, &in, (at.ms + at.way_ms) * US_PER_MS, &out));
                f->dts_us = out.dts_us;
                f->cts_us = out.cts_us;
                f->flags |= n == 0 ? FRAME_BREAK : 0;
                push(r, f);
        }
        struct pipeline_stats s = stats_after(r);
        assert_int_equal(s.decoded, count);
        assert_int_equal(s.late_dropped + s.corrupt + s.skipped, 0);
        assert_true(check_track(r, "v96") >= count);
        rig_free(r);
        coded_free(&video);
}

static struct shot one_hiccup(int n)
{
        return (struct shot){1000 + 40 * n + (n < 89 ? 0 : 1200), 0};
}

static void test_a_hole_of_1_2_s_in_a_group_of_250_pictures_costs_none(void **state)
{
        (void)state;
        every_picture_comes(250, 0, one_hiccup);
        every_picture_comes(250, 2, one_hiccup);
}

static struct shot still_phases(int n)
{
        return (struct shot){40 * n + n / 20 * (1100 + n / 20 * 300), n * 7919 % 30};
}

static void test_a_screen_that_stands_still_now_and_then_costs_no_picture(void **state)
{
        (void)state;
        every_picture_comes(243, 0, still_phases);
}

static struct shot each_second(int n)
{
        return (struct shot){1000 * n + (n ? n * 7919 % 401 - 200 : 0), n * 104729 % 200};
}

static struct shot each_three_seconds(int n)
{
        return (struct shot){3000 * n + (n ? n * 7919 % 201 - 100 : 0), 0};
}

static void test_pictures_a_second_or_three_apart_all_come(void **state)
{
        (void)state;
        every_picture_comes(14, 0, each_second);
        every_picture_comes(8, 0, each_three_seconds);
}

static struct shot long_hole_and_wrap(int n)
{
        return (struct shot){(INT64_C(1) << 32) - 2000 + 40 * n + (n < 40 ? 0 : 15000), 0};
}

static void test_a_long_hole_in_which_the_timestamps_wrap_costs_no_picture(void **state)
{
        (void)state;
        every_picture_comes(100, 0, long_hole_and_wrap);
}

static struct shot clock_that_jumps(int n)
{
        return n < 40 ? (struct shot){5000 + 40 * n, 0} : (struct shot){40 * n, 5000}; /* to 5 s before, in mid-group */
}

static struct shot clock_that_leaps(int n)
{
        return n < 40 ? (struct shot){40 * n, 0} : (struct shot){3600000 + 40 * n, -3600000};
}

static void test_a_clock_that_jumps_in_mid_group_costs_no_picture(void **state)
{
        (void)state;
        every_picture_comes(100, 0, clock_that_jumps);
        every_picture_comes(100, 0, clock_that_leaps);
}

static struct shot clock_that_stumbles(int n)
{
        return (struct shot){40 * n - n / 30 * 60, n / 30 * 60}; /* 20 ms back, each time */
}

static struct shot clock_set_back(int n)
{
        return (struct shot){40 * n - (n < 50 ? 0 : 340), n < 50 ? 0 : 340}; /* 300 ms back */
}

static void test_timestamps_that_go_back_a_little_cost_no_picture(void **state)
{
        (void)state;
        every_picture_comes(118, 0, clock_that_stumbles);
        every_picture_comes(118, 0, clock_set_back);
}

/* Sound alone has a hole; the picture beside it does not. */
static void test_a_hole_in_the_sound_is_silence_of_that_length(void **state)
{
        (void)state;
        struct coded audio;
        coded_audio(&audio, 48000, 2, 188, 40000);
        struct rig *r = rig_new();
        rig_open(r, NULL, &audio);
        int heard = audio.count;
        for (int i = 0; i < audio.count; i++)
                if (audio.frames[i].dts_us < 1000000 || audio.frames[i].dts_us >= 2500000)
                        push(r, &audio.frames[i]);
                else
                        heard--;
        struct pipeline_stats s = stats_after(r);
        assert_true(heard < 130);
        assert_int_equal(s.late_dropped + s.corrupt + s.skipped, 0);
        assert_in_range(r->end_us, 3960000, 4060000);
        check_track(r, "a64");
        rig_free(r);
        coded_free(&audio);
}

/* ---- damage -------------------------------------------------------------------------------------------------------- */

/* How many pictures ffmpeg's decoder makes of it, with the settings that ffmpeg has. */
static unsigned ffmpeg_decodes(const struct coded *video)
{
        AVCodecContext *c = avcodec_alloc_context3(avcodec_find_decoder(AV_CODEC_ID_H264));
        AVPacket *pkt = av_packet_alloc();
        AVFrame *f = av_frame_alloc();
        unsigned pictures = 0;
        c->extradata = av_mallocz(video->config->len + AV_INPUT_BUFFER_PADDING_SIZE);
        c->extradata_size = (int)video->config->len;
        memcpy(c->extradata, video->config->data, video->config->len);
        c->thread_count = 1;
        assert_int_equal(avcodec_open2(c, NULL, NULL), 0);
        for (int i = 0; i <= video->count; i++) {
                const struct buf *b = i < video->count ? video->frames[i].bytes : NULL;
                if (b) {
                        assert_int_equal(av_new_packet(pkt, (int)b->len), 0);
                        memcpy(pkt->data, b->data, b->len);
                }
                avcodec_send_packet(c, b ? pkt : NULL);
                av_packet_unref(pkt);
                while (avcodec_receive_frame(c, f) == 0)
                        pictures++;
        }
        av_frame_free(&f);
        av_packet_free(&pkt);
        avcodec_free_context(&c);
        return pictures;
}

/* Its bytes become the caller's to change. */
static uint8_t *own(struct frame *f, size_t len)
{
        struct buf *b = buf_new(len);
        memset(b->data, 0, len);
        memcpy(b->data, f->bytes->data, len < f->bytes->len ? len : f->bytes->len);
        buf_unref(&f->bytes);
        f->bytes = b;
        return b->data;
}

static void noise(uint8_t *p, size_t n)
{
        while (n-- > 0)
                *p++ = (uint8_t)rand();
}

static void cut_short(struct frame *f)
{
        own(f, f->bytes->len / 2);
}

static void lengths_of_nonsense(struct frame *f)
{
        noise(own(f, f->bytes->len), 4);
}

static void all_noise(struct frame *f)
{
        noise(own(f, f->bytes->len), f->bytes->len);
}

static void noise_behind_the_header(struct frame *f)
{
        noise(own(f, f->bytes->len) + 12, f->bytes->len - 12);
}

static void all_zero(struct frame *f)
{
        memset(own(f, f->bytes->len), 0, f->bytes->len);
}

static void one_byte(struct frame *f)
{
        own(f, 1);
}

/* All of 240 pictures but those that ffmpeg loses too; what is lost is counted. */
static void one_damaged(void (*damage)(struct frame *f), int which, int b_frames, unsigned least)
{
        struct coded video;
        srand(5);
        coded_video(&video, 176, 96, FPS_25, 240, b_frames, 240, 0);
        damage(&video.frames[which]);
        unsigned want = ffmpeg_decodes(&video);
        assert_in_range(want, least, 240);
        struct rig *r = rig_for(&video);
        push_all(r, &video, NULL);
        struct pipeline_stats s = stats_after(r);
        assert_int_equal(s.decoded, want);
        assert_true(s.corrupt >= 1);
        assert_int_equal(s.late_dropped + s.skipped, 0);
        check_track(r, "v96");
        rig_free(r);
        coded_free(&video);
}

static void test_a_damaged_frame_costs_no_more_than_with_ffmpeg(void **state)
{
        (void)state;
        static void (*const kinds[])(struct frame *) = {cut_short, lengths_of_nonsense, all_noise, noise_behind_the_header, all_zero,
                                                        one_byte};
        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
                one_damaged(kinds[i], 195, 0, 239);
                one_damaged(kinds[i], 100, 2, 238);
        }
}

static void test_a_frame_that_never_came_costs_itself(void **state)
{
        (void)state;
        struct coded video;
        coded_video(&video, 176, 96, FPS_25, 100, 0, 100, 0);
        struct rig *r = rig_for(&video);
        for (int i = 0; i < 100; i++)
                if (i != 40 && i != 41)
                        push(r, &video.frames[i]);
        struct pipeline_stats s = stats_after(r);
        assert_int_equal(s.decoded, 98);
        assert_int_equal(s.skipped + s.late_dropped, 0);
        rig_free(r);
        coded_free(&video);
}

/* What was pushed is decoded, skipped or counted as damage, whatever was done to it. */
static void test_no_frame_is_lost_uncounted(void **state)
{
        (void)state;
        struct coded video;
        srand(11);
        for (int seed = 0; seed < 24; seed++) {
                coded_video_by(seed % 3 ? "" : ":slices=3", &video, 176, 96, FPS_25, 60, seed % 4, 20 + seed, 0);
                struct rig *r = rig_for(&video);
                unsigned pushed = 0;
                for (int i = 0; i < video.count; i++) {
                        struct frame *f = &video.frames[i];
                        int what = rand() % 12;
                        if (what == 0)
                                noise(own(f, f->bytes->len), f->bytes->len);
                        if (what == 1)
                                noise(own(f, f->bytes->len) + f->bytes->len / 2, f->bytes->len / 2);
                        if (what == 2)
                                own(f, 1 + (size_t)rand() % f->bytes->len);
                        if (what != 3 || i == 0)
                                push(r, f), pushed++;
                        if (what == 4)
                                push(r, f), pushed++;
                }
                struct pipeline_stats s = stats_after(r);
                assert_true(pushed <= s.decoded + s.skipped + s.corrupt);
                rig_free(r);
                coded_free(&video);
        }
}

/* ---- parameter sets ------------------------------------------------------------------------------------------------ */

/* Sends the record anew before picture 90 of one group, and then the rest. Nothing may be lost. */
static void record_sent_again(struct coded *video, struct buf *record)
{
        struct rig *r = rig_for(video);
        for (int i = 0; i < video->count; i++) {
                if (i == 90 || i == 91)
                        push_record(r, record);
                push(r, &video->frames[i]);
        }
        struct pipeline_stats s = stats_after(r);
        assert_int_equal(s.decoded, video->count);
        assert_int_equal(s.corrupt + s.late_dropped + s.skipped, 0);
        assert_int_equal(check_track(r, "v96"), video->count);
        rig_free(r);
}

/* The only two sets of a record that coded.h made. */
struct sets {
        const uint8_t *sps, *pps;
        size_t sps_len, pps_len;
};

static struct sets sets_of(const struct buf *avcc)
{
        struct sets s = {.sps = avcc->data + 8, .sps_len = (size_t)avcc->data[6] << 8 | avcc->data[7]};
        s.pps = s.sps + s.sps_len + 3;
        s.pps_len = (size_t)s.pps[-2] << 8 | s.pps[-1];
        return s;
}

static struct buf *record_with(const struct coded *video, uint8_t length_byte, int sps_times, size_t zeros, size_t behind)
{
        struct sets s = sets_of(video->config);
        uint8_t bytes[512] = {0};
        struct writer w;
        writer_init(&w, bytes, sizeof(bytes));
        writer_bytes(&w, video->config->data, 4);
        writer_u8(&w, length_byte);
        writer_u8(&w, (uint8_t)sps_times);
        for (int i = 0; i < sps_times; i++) {
                writer_u16(&w, (uint16_t)(s.sps_len + zeros));
                writer_bytes(&w, s.sps, s.sps_len);
                w.len += zeros;
        }
        writer_u8(&w, 1);
        writer_u16(&w, (uint16_t)s.pps_len);
        writer_bytes(&w, s.pps, s.pps_len);
        w.len += behind;
        return buf_copy(bytes, w.len);
}

static void test_the_same_parameter_sets_in_other_bytes_cost_no_picture(void **state)
{
        (void)state;
        for (int b_frames = 0; b_frames <= 2; b_frames += 2) {
                struct coded video;
                coded_video(&video, 176, 96, FPS_25, 300, b_frames, 300, 0);
                struct buf *records[] = {
                        record_with(&video, 0x03, 1, 0, 0), /* reserved bits */
                        record_with(&video, 0xff, 1, 0, 4), /* what High profiles have behind it */
                        record_with(&video, 0xff, 2, 0, 0), /* twice */
                        record_with(&video, 0xff, 1, 2, 0), /* zeros behind it */
                };
                for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
                        record_sent_again(&video, records[i]);
                        buf_unref(&records[i]);
                }
                coded_free(&video);
        }
}

/* A frame with lengths of two bytes instead of four. */
static void shorten_lengths(struct frame *f)
{
        uint8_t *in = own(f, f->bytes->len), *out = in, *end = in + f->bytes->len;
        while (in + 4 < end) {
                size_t len = (size_t)in[2] << 8 | in[3];
                assert_true(in[0] == 0 && in[1] == 0);
                memmove(out, in + 2, 2 + len);
                in += 4 + len;
                out += 2 + len;
        }
        own(f, (size_t)(out - f->bytes->data));
}

static void test_lengths_of_another_size_in_mid_group_cost_no_picture(void **state)
{
        (void)state;
        struct coded video;
        coded_video(&video, 176, 96, FPS_25, 120, 0, 300, 0);
        for (int i = 90; i < video.count; i++)
                shorten_lengths(&video.frames[i]);
        struct buf *record = record_with(&video, 0xfd, 1, 0, 0);
        record_sent_again(&video, record);
        buf_unref(&record);
        coded_free(&video);
}

static void test_a_record_that_makes_no_sense_leaves_the_one_before_in_force(void **state)
{
        (void)state;
        struct coded video;
        coded_video(&video, 176, 96, FPS_25, 100, 0, 100, 0);
        static const struct {
                const char *bytes;
                size_t len;
                unsigned corrupt;
        } records[] = {{"", 0, 1}, {"\1\144\0\37\377\341\377\377zzz", 11, 1}, {"\0\0\0\1\147", 5, 1}, {"\1\144\0\37\377\340\0", 7, 0}};
        for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
                struct buf *bad = buf_copy(records[i].bytes, records[i].len);
                struct rig *r = rig_for(&video);
                for (int n = 0; n < video.count; n++) {
                        if (n == 50)
                                push_record(r, bad);
                        push(r, &video.frames[n]);
                }
                struct pipeline_stats s = stats_after(r);
                assert_int_equal(s.decoded, 100);
                assert_int_equal(s.corrupt, records[i].corrupt);
                assert_int_equal(s.skipped, 0);
                rig_free(r);
                buf_unref(&bad);
        }
        coded_free(&video);
}

/* Another size in mid-group: nothing of it can be shown before its key frame, and each that is not is counted. */
static void test_another_size_in_mid_group_waits_for_its_keyframe(void **state)
{
        (void)state;
        struct coded wide, tall;
        coded_video(&wide, 176, 96, FPS_25, 50, 2, 50, 0);
        coded_video(&tall, 128, 160, FPS_25, 60, 0, 30, 2000000);
        struct rig *r = rig_for(&wide);
        push_all(r, &wide, NULL);
        push_record(r, tall.config);
        for (int i = 10; i < tall.count; i++)
                push(r, &tall.frames[i]);
        struct pipeline_stats s = stats_after(r);
        assert_int_equal(s.decoded, 50 + 30);
        assert_int_equal(s.skipped, 20);
        assert_int_equal(s.late_dropped + s.corrupt, 0);
        rig_free(r);
        coded_free(&wide);
        coded_free(&tall);
}

static unsigned decoded(struct rig *r)
{
        struct pipeline_stats s;
        pipeline_stats(r->p, &s);
        return (unsigned)s.decoded;
}

/* An encoder that comes back without B-frames: nothing is held any more, so the newest picture comes without one behind it. */
static void test_what_the_sequence_before_held_back_does_not_delay_the_next_one(void **state)
{
        (void)state;
        struct coded wide, tall;
        coded_video(&wide, 176, 96, FPS_25, 50, 2, 50, 0);
        coded_video(&tall, 128, 160, FPS_25, 10, 0, 50, 2000000);
        struct rig *r = rig_for(&wide);
        push_all(r, &wide, NULL);
        push_record(r, tall.config);
        push_all(r, &tall, NULL);
        UNTIL(&r->loop, decoded(r) == 60);
        struct pipeline_stats s = stats_after(r);
        assert_int_equal(s.corrupt + s.late_dropped + s.skipped, 0);
        rig_free(r);
        coded_free(&wide);
        coded_free(&tall);
}

/* ---- frames that are none, or more than one -------------------------------------------------------------------------- */

/* Leaves out NAL unit `which` of the frame, and puts filler at its end. */
static void leave_out(struct frame *f, int which)
{
        struct buf *b = buf_new(f->bytes->len + 8);
        size_t len = 0;
        for (size_t at = 0; at + 4 < f->bytes->len; which--) {
                const uint8_t *p = f->bytes->data + at;
                size_t unit = 4 + ((size_t)p[2] << 8 | p[3]);
                if (which != 0)
                        memcpy(b->data + len, p, unit);
                len += which != 0 ? unit : 0;
                at += unit;
        }
        memcpy(b->data + len, "\0\0\0\4\14\377\377\200", 8);
        buf_unref(&f->bytes);
        f->bytes = buf_copy(b->data, len + 8);
        buf_unref(&b);
}

static void test_a_slice_that_is_missing_is_concealed_and_counted(void **state)
{
        (void)state;
        struct coded video;
        coded_video_by(":slices=4:aud=1", &video, 176, 96, FPS_25, 60, 0, 60, 0);
        for (int i = 0; i < video.count; i++)
                leave_out(&video.frames[i], i == 20 ? 2 : -1);
        struct rig *r = rig_for(&video);
        push_all(r, &video, NULL);
        struct pipeline_stats s = stats_after(r);
        assert_int_equal(s.decoded, 60);
        assert_int_equal(s.corrupt, 1);
        assert_int_equal(s.late_dropped + s.skipped, 0);
        rig_free(r);
        coded_free(&video);
}

/* Interlaced pictures, and groups that lean on the one before, are ordinary. */
static void test_fields_and_open_groups_are_no_damage(void **state)
{
        static const char *const kinds[] = {":interlaced=1", ":open-gop=1", ":intra-refresh=1", ":bframes=3:b-pyramid=2"};
        (void)state;
        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
                struct coded video;
                coded_video_by(kinds[i], &video, 176, 96, FPS_25, 60, 2, 20, 0);
                struct rig *r = rig_for(&video);
                push_all(r, &video, NULL);
                struct pipeline_stats s = stats_after(r);
                assert_int_equal(s.decoded, video.count);
                assert_int_equal(s.corrupt + s.late_dropped + s.skipped, 0);
                rig_free(r);
                coded_free(&video);
        }
}

/* A record of two sequences: the pictures go from one to the other, and no other record comes. */
static void test_another_set_of_the_same_record_takes_over_at_its_keyframe(void **state)
{
        (void)state;
        struct coded wide, tall;
        coded_video(&wide, 176, 96, FPS_25, 50, 2, 50, 0);
        coded_video_by(":sps-id=1", &tall, 128, 160, FPS_25, 50, 0, 50, 2000000);
        struct sets a = sets_of(wide.config), b = sets_of(tall.config);
        uint8_t both[512];
        struct writer w;
        writer_init(&w, both, sizeof(both));
        writer_bytes(&w, wide.config->data, 5);
        writer_u8(&w, 2);
        writer_u16(&w, (uint16_t)a.sps_len), writer_bytes(&w, a.sps, a.sps_len);
        writer_u16(&w, (uint16_t)b.sps_len), writer_bytes(&w, b.sps, b.sps_len);
        writer_u8(&w, 2);
        writer_u16(&w, (uint16_t)a.pps_len), writer_bytes(&w, a.pps, a.pps_len);
        writer_u16(&w, (uint16_t)b.pps_len), writer_bytes(&w, b.pps, b.pps_len);
        buf_unref(&wide.config);
        wide.config = buf_copy(both, w.len);
        struct rig *r = rig_for(&wide);
        push_all(r, &wide, NULL);
        push_all(r, &tall, NULL);
        struct pipeline_stats s = stats_after(r);
        assert_int_equal(s.decoded, 100);
        assert_int_equal(s.corrupt + s.late_dropped + s.skipped, 0);
        rig_free(r);
        coded_free(&wide);
        coded_free(&tall);
}

static struct frame frame_beside(const struct frame *a, const void *bytes, size_t len)
{
        struct frame f = *a;
        f.flags = 0;
        f.dts_us += 10000;
        f.bytes = buf_copy(bytes, len);
        return f;
}

static void test_delimiters_messages_filler_and_parameter_sets_alone_are_no_damage(void **state)
{
        (void)state;
        struct coded video;
        coded_video(&video, 176, 96, FPS_25, 50, 0, 25, 0);
        struct sets s = sets_of(video.config);
        uint8_t sets[512];
        struct writer w;
        writer_init(&w, sets, sizeof(sets));
        writer_u32(&w, (uint32_t)s.sps_len), writer_bytes(&w, s.sps, s.sps_len);
        writer_u32(&w, (uint32_t)s.pps_len), writer_bytes(&w, s.pps, s.pps_len);
        struct rig *r = rig_for(&video);
        for (int i = 0; i < video.count; i++) {
                struct frame alone[] = {
                        frame_beside(&video.frames[i], "\0\0\0\2\11\360", 6),
                        frame_beside(&video.frames[i], "\0\0\0\4\6\1\0\200", 8),
                        frame_beside(&video.frames[i], "\0\0\0\6\14\377\377\377\377\200", 10),
                        frame_beside(&video.frames[i], sets, w.len),
                };
                push(r, &alone[i % 4]);
                push(r, &video.frames[i]);
                for (int k = 0; k < 4; k++)
                        buf_unref(&alone[k].bytes);
        }
        struct pipeline_stats st = stats_after(r);
        assert_int_equal(st.decoded, 50);
        assert_int_equal(st.corrupt + st.skipped + st.late_dropped, 0);
        assert_int_equal(check_track(r, "v96"), 50);
        rig_free(r);
        coded_free(&video);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_hole_of_1_2_s_in_a_group_of_250_pictures_costs_none),
                cmocka_unit_test(test_a_screen_that_stands_still_now_and_then_costs_no_picture),
                cmocka_unit_test(test_pictures_a_second_or_three_apart_all_come),
                cmocka_unit_test(test_a_long_hole_in_which_the_timestamps_wrap_costs_no_picture),
                cmocka_unit_test(test_a_clock_that_jumps_in_mid_group_costs_no_picture),
                cmocka_unit_test(test_timestamps_that_go_back_a_little_cost_no_picture),
                cmocka_unit_test(test_a_hole_in_the_sound_is_silence_of_that_length),
                cmocka_unit_test(test_a_damaged_frame_costs_no_more_than_with_ffmpeg),
                cmocka_unit_test(test_a_frame_that_never_came_costs_itself),
                cmocka_unit_test(test_no_frame_is_lost_uncounted),
                cmocka_unit_test(test_the_same_parameter_sets_in_other_bytes_cost_no_picture),
                cmocka_unit_test(test_lengths_of_another_size_in_mid_group_cost_no_picture),
                cmocka_unit_test(test_a_record_that_makes_no_sense_leaves_the_one_before_in_force),
                cmocka_unit_test(test_another_size_in_mid_group_waits_for_its_keyframe),
                cmocka_unit_test(test_what_the_sequence_before_held_back_does_not_delay_the_next_one),
                cmocka_unit_test(test_another_set_of_the_same_record_takes_over_at_its_keyframe),
                cmocka_unit_test(test_a_slice_that_is_missing_is_concealed_and_counted),
                cmocka_unit_test(test_fields_and_open_groups_are_no_damage),
                cmocka_unit_test(test_delimiters_messages_filler_and_parameter_sets_alone_are_no_damage),
        };
        log_init("test", LOG_ERROR);
        av_log_set_level(AV_LOG_QUIET); /* until the pipeline takes libav's log over */
        return cmocka_run_group_tests(tests, NULL, NULL);
}
