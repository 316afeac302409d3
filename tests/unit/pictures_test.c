/* What a broadcaster's pictures are like, through the whole pipeline with real codecs: with colours of any kind, of shapes that nobody can show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/err.h"
#include "tests/unit/pipeline_fixture.h"
#include "tests/unit/painted.h"

#define WIDTH 176
#define HEIGHT 96

static struct rig *run_through(const struct coded *video)
{
        struct rig *r = rig_new();
        rig_open(r, video, NULL);
        push_all(r, video, NULL);
        drain(r);
        assert_int_equal(r->failed, 0);
        return r;
}

static void push_anew(struct rig *r, struct coded *c)
{
        struct frame f = {.track = TRACK_VIDEO, .codec = CODEC_H264, .flags = FRAME_CONFIG, .dts_us = c->frames[0].dts_us,
                          .bytes = c->config};
        push(r, &f);
        push_all(r, c, NULL);
}

/* ---- colours ---- */

static int seen[3];

/* The middle, as a player shows it that believes the tags. */
static void see_colour(const AVFrame *f, int n, void *arg)
{
        (void)n, (void)arg;
        assert_int_equal(f->colorspace, AVCOL_SPC_BT709);
        assert_int_equal(f->color_primaries, AVCOL_PRI_BT709);
        assert_int_equal(f->color_trc, AVCOL_TRC_BT709);
        assert_int_equal(f->color_range, AVCOL_RANGE_MPEG);
        assert_int_equal(f->sample_aspect_ratio.num, f->sample_aspect_ratio.den);
        int y = f->data[0][f->height / 2 * f->linesize[0] + f->width / 2], u = f->data[1][f->height / 4 * f->linesize[1] + f->width / 4],
            v = f->data[2][f->height / 4 * f->linesize[2] + f->width / 4];
        double l = (y - 16) / 219.0 * 255, cb = (u - 128) / 224.0 * 255, cr = (v - 128) / 224.0 * 255;
        seen[0] = (int)(l + 1.5748 * cr + 0.5);
        seen[1] = (int)(l - 0.1873 * cb - 0.4681 * cr + 0.5);
        seen[2] = (int)(l + 1.8556 * cb + 0.5);
}

static void paint_planes(AVFrame *f, int y, int u, int v)
{
        int value[] = {y, u, v};
        for (int plane = 0; plane < 3; plane++)
                memset(f->data[plane], value[plane], (size_t)f->linesize[plane] * (size_t)(plane ? (f->height + 1) / 2 : f->height));
}

/* Red 0, green 191, blue 0, as BT.601 and as BT.709 have it, and the former in full range. */
static void paint_green_601(AVFrame *f, int n) { (void)n; paint_planes(f, 112, 72, 58); }
static void paint_green_709(AVFrame *f, int n) { (void)n; paint_planes(f, 133, 63, 52); }
static void paint_green_601_full(AVFrame *f, int n) { (void)n; paint_planes(f, 112, 65, 48); }

static void is_green(const struct painted *p)
{
        struct coded video;
        painted_video(&video, p);
        struct rig *r = run_through(&video);
        for (int rung = 0; rung < 2; rung++) {
                assert_int_equal(watch(track_named(r, rung ? "v64" : "v96"), see_colour, NULL), p->count);
                if (abs(seen[0]) > 3 || abs(seen[1] - 191) > 3 || abs(seen[2]) > 3)
                        fail_msg("0,191,0 became %d,%d,%d", seen[0], seen[1], seen[2]);
        }
        rig_free(r);
        coded_free(&video);
}

static void test_green_stays_the_green_it_was(void **state)
{
        (void)state;
        struct painted p = painted_25(320, 240, 3, paint_green_601);
        is_green(&p); /* SD that says nothing */
        p = painted_25(1280, 720, 3, paint_green_709);
        is_green(&p); /* HD that says nothing */
        p = painted_25(320, 240, 3, paint_green_709);
        p.matrix = AVCOL_SPC_BT709;
        is_green(&p); /* SD that says BT.709 */
        p = painted_25(1280, 720, 3, paint_green_601);
        p.matrix = AVCOL_SPC_SMPTE170M;
        is_green(&p); /* HD that says BT.601 */
        p = painted_25(320, 240, 3, paint_green_601_full);
        p.range = AVCOL_RANGE_JPEG;
        is_green(&p); /* a screen's or a phone's full range */
        p = painted_25(320, 240, 3, paint_green_601_full);
        p.format = AV_PIX_FMT_YUVJ420P;
        is_green(&p);
}

/* ---- shapes ---- */

static void is_refused(const struct coded *video, const char *words)
{
        struct rig *r = rig_new();
        rig_open(r, video, NULL);
        push_all(r, video, NULL);
        drain(r);
        assert_int_equal(r->failed, ERR_UNSUPPORTED);
        if (!strstr(r->failed_text, words))
                fail_msg("\"%s\" does not say \"%s\"", r->failed_text, words);
        assert_int_equal(r->chunk_count, 0);
        rig_free(r);
}

static void test_absurd_pictures_are_refused_in_words(void **state)
{
        (void)state;
        struct coded video;
        struct painted p = painted_25(640, 480, 3, NULL);
        p.aspect = (AVRational){64, 1};
        painted_video(&video, &p);
        is_refused(&video, "pictures of 640x480 with pixels of 64:1");
        coded_free(&video);
        p.aspect = (AVRational){1, 200}; /* libavcodec takes what makes no picture at all for 1:1 */
        painted_video(&video, &p);
        is_refused(&video, "with pixels of 1:200");
        coded_free(&video);
        p = painted_25(4112, 2400, 1, NULL);
        painted_video(&video, &p);
        is_refused(&video, "pictures of 4112x2400");
        coded_free(&video);
}

/* In mid-broadcast what can be shown is, and what cannot is counted. */
static void test_an_absurd_shape_in_mid_broadcast_is_counted_and_survived(void **state)
{
        (void)state;
        struct coded part[3];
        for (int i = 0; i < 3; i++) {
                struct painted p = painted_25(WIDTH, HEIGHT, 25, NULL);
                p.start_us = i * US_PER_S;
                p.aspect = i == 1 ? (AVRational){64, 1} : (AVRational){1, 1};
                painted_video(&part[i], &p);
        }
        struct rig *r = rig_new();
        rig_open(r, &part[0], NULL);
        for (int i = 0; i < 3; i++)
                push_anew(r, &part[i]);
        drain(r);
        assert_int_equal(r->failed, 0);
        assert_int_equal(check_track(r, "v96"), 75); /* the second one is filled */
        struct pipeline_stats s;
        pipeline_stats(r->p, &s);
        assert_int_equal(s.corrupt, 25);
        rig_free(r);
        for (int i = 0; i < 3; i++)
                coded_free(&part[i]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_green_stays_the_green_it_was),
                cmocka_unit_test(test_absurd_pictures_are_refused_in_words),
                cmocka_unit_test(test_an_absurd_shape_in_mid_broadcast_is_counted_and_survived),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
