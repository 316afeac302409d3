/* thumbs: a session's still pictures are a track like the others for who stores them, and never in the way of those. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/painted.h"
#include "transcoderd/encode/jpeg.h"
#include "transcoderd/encode/thumbs.h"

#define EVERY_S 2
#define SECONDS 5

/* Where a segment's file begins: behind the head of its mdat, which is the last box. */
static const uint8_t *file_of(const struct track *t, const struct out_chunk *o, size_t *len)
{
        const uint8_t *chunk = t->file + o->at;
        size_t at = 0;
        while (memcmp(chunk + at + 4, "mdat", 4) != 0)
                at += fragment_u32(chunk + at);
        assert_int_equal(at + fragment_u32(chunk + at), o->len);
        *len = o->len - at - 8;
        return chunk + at + 8;
}

static AVFrame *decoded(const uint8_t *file, size_t len)
{
        AVCodecContext *c = avcodec_alloc_context3(avcodec_find_decoder(AV_CODEC_ID_MJPEG));
        AVPacket *pkt = av_packet_alloc();
        AVFrame *f = av_frame_alloc();
        assert_int_equal(avcodec_open2(c, NULL, NULL), 0);
        assert_int_equal(av_new_packet(pkt, (int)len), 0);
        memcpy(pkt->data, file, len);
        assert_int_equal(avcodec_send_packet(c, pkt), 0);
        assert_int_equal(avcodec_receive_frame(c, f), 0);
        av_packet_free(&pkt);
        avcodec_free_context(&c);
        return f;
}

/* Each second is of another grey. */
static void paint_second(AVFrame *f, int n)
{
        memset(f->data[0], 40 + 30 * (n / 25), (size_t)f->linesize[0] * (size_t)f->height);
}

/* What such a grey of limited range is in a file of full range. */
static int full_range(int luma)
{
        return (luma - 16) * 255 / 219;
}

static int grey_of(const AVFrame *f)
{
        return f->data[0][f->linesize[0] * (f->height / 2) + f->width / 2];
}

/* Every promise about the track at once; returns how many seconds it has, and how many of them have a file. */
static int check_pictures(struct rig *r, int first, int *files)
{
        struct track *t = track_named(r, PICTURES_TRACK);
        const struct out_chunk *o;
        int n = first;
        *files = 0;
        for (int at = 0; (o = next_chunk(r, t, &at)); n++) {
                size_t len;
                const uint8_t *file = file_of(t, o, &len);
                assert_int_equal(o->c.segment, n);
                assert_int_equal(o->c.chunk, 0);
                assert_int_equal(o->c.flags, PUT_LAST);
                assert_int_equal(o->c.start_us, n * US_PER_S);
                assert_int_equal(o->c.duration_us, US_PER_S);
                assert_string_equal(o->f.boxes, "moof mdat ");
                assert_int_equal(o->f.tfdt, n * INT64_C(90000));
                assert_int_equal(o->f.count, 1);
                assert_int_equal(o->f.duration[0], 90000);
                assert_int_equal(len != 0, n % EVERY_S == 0);
                if (!len)
                        continue;
                AVFrame *f = decoded(file, len);
                assert_in_range(grey_of(f), full_range(40 + 30 * n) - 3, full_range(40 + 30 * n) + 3);
                av_frame_free(&f);
                ++*files;
        }
        return n - first;
}

static struct rig *encode(struct coded *video, int64_t every_s)
{
        struct painted p = painted_25(176, 96, SECONDS * 25, paint_second);
        painted_video(video, &p);
        struct rig *r = rig_new();
        r->o.thumbs_s = every_s;
        return r;
}

static void play(struct rig *r, const struct coded *video)
{
        rig_open(r, video, NULL);
        push_all(r, video, NULL);
        drain(r);
}

static void test_a_session_has_a_picture_every_few_seconds_and_a_segment_each_second(void **state)
{
        (void)state;
        struct coded video;
        int files;
        struct rig *r = encode(&video, EVERY_S);
        play(r, &video);
        assert_int_equal(check_pictures(r, 0, &files), SECONDS);
        assert_int_equal(files, 3);
        struct track *t = track_named(r, PICTURES_TRACK);
        assert_int_equal(t->info.kind, TRACK_PICTURES);
        assert_int_equal(t->info.fps_milli, 1000 / EVERY_S);
        assert_int_equal(t->info.start_us, 0);
        assert_int_equal(check_track(r, "v96"), SECONDS * 25);
        assert_int_equal(check_track(r, "v64"), SECONDS * 25);
        assert_int_equal(r->end_us, SECONDS * US_PER_S); /* not by a picture, which is there before what its second shows */
        rig_free(r);
        coded_free(&video);
}

static void test_without_thumbs_s_there_is_no_such_track(void **state)
{
        (void)state;
        struct coded video;
        struct rig *r = encode(&video, 0);
        play(r, &video);
        assert_int_equal(r->track_count, 2);
        rig_free(r);
        coded_free(&video);
}

static void test_a_session_that_goes_on_goes_on_with_the_next_second(void **state)
{
        (void)state;
        struct coded video;
        int files;
        struct rig *r = encode(&video, EVERY_S);
        r->o.resume_count = 3;
        r->o.resume[0] = (struct job_resume){.track = "v96", .end_us = 1400000, .from_us = 1400000};
        r->o.resume[1] = (struct job_resume){.track = "v64", .end_us = 1400000, .from_us = 1400000};
        r->o.resume[2] = (struct job_resume){.track = PICTURES_TRACK, .end_us = 2000000, .from_us = 2000000};
        play(r, &video);
        assert_int_equal(check_pictures(r, 2, &files), SECONDS - 2);
        assert_int_equal(files, 2);
        rig_free(r);
        coded_free(&video);
}

/* ---- one at a time --------------------------------------------------------------------------------------------------- */

struct show { /* pictures without rungs */
        struct rig *rig;
        struct outlet *out;
        struct thumbs *thumbs;
};

static struct show begin(int64_t every_s)
{
        struct show s = {.rig = rig_new()};
        s.out = outlet_new(&s.rig->mb, &events, s.rig, "test");
        s.thumbs = thumbs_open(&(struct thumbs_options){.width = 320, .height = 240, .every_s = every_s, .outlet = s.out});
        assert_non_null(s.thumbs);
        return s;
}

static void show(struct show *s, int64_t pts_us, uint8_t luma, bool hurry)
{
        struct painted p = painted_25(320, 240, 1, NULL);
        AVFrame *f = painted_frame(&p, 0);
        memset(f->data[0], luma, (size_t)f->linesize[0] * (size_t)f->height);
        thumbs_show(s->thumbs, f, pts_us, hurry);
        av_frame_free(&f);
}

static void end(struct show *s)
{
        thumbs_close(&s->thumbs, true);
        uv_run(&s->rig->loop, UV_RUN_NOWAIT);
}

static void leave(struct show *s)
{
        outlet_unref(&s->out);
        rig_free(s->rig);
}

static void test_in_a_hurry_the_picture_before_is_told_again(void **state)
{
        (void)state;
        struct show s = begin(1);
        show(&s, 40000, 80, true); /* there is none before */
        show(&s, 1040000, 120, true);
        show(&s, 2040000, 160, false);
        end(&s);
        static const int greys[] = {80, 80, 160};
        struct track *t = track_named(s.rig, PICTURES_TRACK);
        const struct out_chunk *o;
        int n = 0;
        for (int at = 0; (o = next_chunk(s.rig, t, &at)); n++) {
                size_t len;
                const uint8_t *file = file_of(t, o, &len);
                AVFrame *f = decoded(file, len);
                assert_int_equal(f->height, THUMBS_HEIGHT);
                assert_int_equal(f->width, 240);
                assert_in_range(grey_of(f), full_range(greys[n]) - 3, full_range(greys[n]) + 3);
                av_frame_free(&f);
        }
        assert_int_equal(n, 3);
        leave(&s);
}

static void test_seconds_in_which_nothing_was_shown_are_there_and_a_long_hole_is_left_open(void **state)
{
        (void)state;
        struct show s = begin(5);
        show(&s, 0, 80, false);
        show(&s, 500000, 90, false);
        show(&s, 3200000, 100, false);
        show(&s, 3000 * US_PER_S, 110, false);
        end(&s);
        static const unsigned seconds[] = {0, 1, 2, 3, 3000};
        struct track *t = track_named(s.rig, PICTURES_TRACK);
        const struct out_chunk *o;
        int n = 0;
        for (int at = 0; (o = next_chunk(s.rig, t, &at)); n++)
                assert_int_equal(o->c.segment, seconds[n]);
        assert_int_equal(n, 5);
        leave(&s);
}

/* By what is told of it an origin names pictures (picture_every_s()). */
static void pictures_are_where_the_rate_says(int64_t every_s)
{
        struct show s = begin(every_s);
        int64_t told_s = 1000 / (1000 / every_s);
        told_s = told_s > 60 ? 60 : told_s;
        const int64_t shown_s[] = {0, every_s, told_s, 2 * told_s};
        for (size_t i = 0; i < sizeof(shown_s) / sizeof(shown_s[0]); i++)
                show(&s, shown_s[i] * US_PER_S, 80, false);
        end(&s);
        struct track *t = track_named(s.rig, PICTURES_TRACK);
        const struct out_chunk *o;
        unsigned files = 0;
        assert_int_equal(t->info.fps_milli, 1000 / every_s);
        for (int at = 0; (o = next_chunk(s.rig, t, &at));) {
                size_t len;
                file_of(t, o, &len);
                assert_int_equal(len != 0, o->c.segment % told_s == 0);
                files += len != 0;
        }
        assert_int_equal(files, 3);
        assert_in_range(told_s, every_s, every_s + 2);
        leave(&s);
}

static void test_pictures_are_in_the_seconds_that_their_rate_tells_of(void **state)
{
        (void)state;
        static const int64_t seconds[] = {1, 7, 31, 36, 48, 59, 60};
        for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++)
                pictures_are_where_the_rate_says(seconds[i]);
}

static uint64_t ended(const struct show *s, enum picture_end end)
{
        return atomic_load(&s->out->tally.pictures[end]);
}

static void test_what_became_of_each_is_counted(void **state)
{
        (void)state;
        struct show s = begin(2);
        show(&s, 0, 80, false);
        show(&s, 1 * US_PER_S, 85, false);
        show(&s, 2 * US_PER_S, 90, true);
        show(&s, 3 * US_PER_S, 95, false);
        show(&s, 7 * US_PER_S, 95, false); /* 4 and 6 were never shown */
        AVFrame *wrong = av_frame_alloc(); /* of no format that a rung has */
        wrong->format = AV_PIX_FMT_RGB24;
        wrong->width = wrong->height = 16;
        assert_int_equal(av_frame_get_buffer(wrong, 0), 0);
        thumbs_show(s.thumbs, wrong, 8 * US_PER_S, false);
        thumbs_show(s.thumbs, wrong, 10 * US_PER_S, false);
        av_frame_free(&wrong);
        end(&s);
        assert_int_equal(ended(&s, PICTURE_MADE), 1);
        assert_int_equal(ended(&s, PICTURE_REPEATED), 3);
        assert_int_equal(ended(&s, PICTURE_FAILED), 2);
        assert_int_equal(ended(&s, PICTURE_COARSER), 0);
        leave(&s);
}

static void paint_noise(AVFrame *f, int n)
{
        unsigned random = (unsigned)n + 1;
        for (int plane = 0; plane < 3; plane++)
                for (int i = 0; i < f->linesize[plane] * (plane ? f->height / 2 : f->height); i++)
                        f->data[plane][i] = (uint8_t)((random = random * 1103515245 + 12345) >> 16);
}

static void test_the_same_picture_is_the_same_file_and_none_is_too_large(void **state)
{
        (void)state;
        struct painted p = painted_25(426, 240, 1, paint_noise);
        AVFrame *f = painted_frame(&p, 0);
        bool coarser;
        struct jpeg *one = jpeg_new(320, 180), *other = jpeg_new(320, 180);
        struct buf *a = jpeg_of(one, f, &coarser), *b = jpeg_of(other, f, &coarser), *c = jpeg_of(one, f, &coarser);
        assert_true(coarser);
        assert_non_null(a);
        assert_true(a->len <= JPEG_MAX_BYTES);
        assert_int_equal(a->len, b->len);
        assert_memory_equal(a->data, b->data, a->len);
        assert_int_equal(a->len, c->len);
        assert_memory_equal(a->data, c->data, a->len);
        assert_null(memmem(a->data, a->len, "Lavc", 4));
        buf_unref(&a);
        buf_unref(&b);
        buf_unref(&c);
        jpeg_free(&one);
        jpeg_free(&other);
        av_frame_free(&f);
}

/* BT.709's red, which BT.601's numbers would make another. */
static void paint_red(AVFrame *f, int n)
{
        static const uint8_t red[] = {63, 102, 240};
        (void)n;
        for (int plane = 0; plane < 3; plane++)
                memset(f->data[plane], red[plane], (size_t)f->linesize[plane] * (size_t)(plane ? f->height / 2 : f->height));
}

static void test_colours_are_those_of_the_rung(void **state)
{
        (void)state;
        struct painted p = painted_25(426, 240, 1, paint_red);
        AVFrame *f = painted_frame(&p, 0);
        struct jpeg *j = jpeg_new(320, 180);
        bool coarser;
        struct buf *file = jpeg_of(j, f, &coarser);
        assert_false(coarser);
        AVFrame *seen = decoded(file->data, file->len);
        static const int red_601_full[] = {76, 85, 255};
        for (int plane = 0; plane < 3; plane++)
                assert_in_range(seen->data[plane][seen->linesize[plane] * 40 + 40], red_601_full[plane] - 4, red_601_full[plane] + 4);
        av_frame_free(&seen);
        buf_unref(&file);
        jpeg_free(&j);
        av_frame_free(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_session_has_a_picture_every_few_seconds_and_a_segment_each_second),
                cmocka_unit_test(test_without_thumbs_s_there_is_no_such_track),
                cmocka_unit_test(test_a_session_that_goes_on_goes_on_with_the_next_second),
                cmocka_unit_test(test_in_a_hurry_the_picture_before_is_told_again),
                cmocka_unit_test(test_seconds_in_which_nothing_was_shown_are_there_and_a_long_hole_is_left_open),
                cmocka_unit_test(test_what_became_of_each_is_counted),
                cmocka_unit_test(test_pictures_are_in_the_seconds_that_their_rate_tells_of),
                cmocka_unit_test(test_the_same_picture_is_the_same_file_and_none_is_too_large),
                cmocka_unit_test(test_colours_are_those_of_the_rung),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
