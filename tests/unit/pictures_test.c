/* What a broadcaster's pictures are like, through the whole pipeline with real codecs: of two fields, with colours of any kind, with
 * captions, of shapes that nobody can show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/avc.h"
#include "common/cue.h"
#include "common/err.h"
#include "tests/unit/pipeline_fixture.h"
#include "tests/unit/painted.h"
#include "tests/unit/usual_grid.h"

#define WIDTH 176
#define HEIGHT 96
#define BLACK 16
#define WHITE 235
#define BAR_WIDTH 24

static struct rig *run_through(const struct coded *video)
{
        struct rig *r = rig_new();
        rig_open(r, video, NULL);
        push_all(r, video, NULL);
        drain(r);
        assert_int_equal(r->failed, 0);
        return r;
}

/* ---- two fields ---- */

static int bar_left(int n)
{
        return 4 * (n % 30);
}

/* A white bar that moves 2 pixels a field. */
static void paint_bar(AVFrame *f, int n)
{
        for (int y = 0; y < f->height; y++) {
                uint8_t *line = f->data[0] + y * f->linesize[0];
                memset(line, BLACK, (size_t)f->width);
                memset(line + bar_left(n) + (f->interlaced_frame && y % 2 ? 2 : 0), WHITE, BAR_WIDTH);
        }
}

struct bars {
        int worst;   /* how much neighbouring lines differ, a pixel of a line */
        int wrong;   /* pictures whose bar is elsewhere, by number */
        int flagged;
};

static void see_bar(const AVFrame *f, int n, void *arg)
{
        struct bars *b = arg;
        int sum = 0, lit = 0, centre = 0;
        for (int y = 16; y < f->height - 16; y++)
                for (int x = 0; x < f->width; x++)
                        sum += abs(f->data[0][y * f->linesize[0] + x] - f->data[0][(y + 1) * f->linesize[0] + x]);
        for (int x = 0; x < f->width; x++)
                if (f->data[0][f->height / 2 * f->linesize[0] + x] > 128)
                        lit++, centre += x;
        b->worst = sum / (f->height - 32) > b->worst ? sum / (f->height - 32) : b->worst;
        b->wrong += lit == 0 || abs(centre / lit - bar_left(n) - BAR_WIDTH / 2) > 3;
        b->flagged += f->interlaced_frame;
}

static struct painted two_fields(int count, int b_frames)
{
        struct painted p = painted_25(WIDTH, HEIGHT, count, paint_bar);
        p.interlaced = true;
        p.b_frames = b_frames;
        return p;
}

static void test_each_picture_of_two_fields_comes_out_once_and_whole(void **state)
{
        (void)state;
        for (int b_frames = 0; b_frames <= 2; b_frames += 2) {
                struct painted p = two_fields(55, b_frames);
                struct coded video;
                struct bars bars = {0};
                painted_video(&video, &p);
                struct rig *r = run_through(&video);
                assert_int_equal(check_track(r, "v96"), 55);
                assert_int_equal(check_track(r, "v64"), 55);
                assert_int_equal(r->end_us, 54 * 40000 + 40000 + video.frames[0].dts_us + video.frames[0].cts_us);
                assert_int_equal(watch(track_named(r, "v96"), see_bar, &bars), 55);
                assert_int_equal(bars.wrong, 0);
                assert_int_equal(bars.flagged, 0);
                assert_in_range(bars.worst, 0, 150); /* 800 as it came */
                struct pipeline_stats s;
                pipeline_stats(r->p, &s);
                assert_int_equal(s.decoded, 55);
                assert_int_equal(s.late_dropped + s.corrupt + s.skipped, 0);
                rig_free(r);
                coded_free(&video);
        }
}

static void push_anew(struct rig *r, struct coded *c)
{
        struct frame f = {.track = TRACK_VIDEO, .codec = CODEC_H264, .flags = FRAME_CONFIG, .dts_us = c->frames[0].dts_us,
                          .bytes = c->config};
        push(r, &f);
        push_all(r, c, NULL);
}

/* An encoder that is set otherwise in mid-broadcast: the flag, the size, both. */
static void test_interlace_that_begins_and_ends_in_mid_broadcast_costs_no_picture(void **state)
{
        (void)state;
        struct coded part[4];
        for (int i = 0; i < 4; i++) {
                struct painted p = two_fields(25, 0);
                p.interlaced = i % 2 == 1;
                p.start_us = i * US_PER_S;
                p.height = i == 3 ? 144 : HEIGHT;
                painted_video(&part[i], &p);
        }
        struct rig *r = rig_new();
        rig_open(r, &part[0], NULL);
        for (int i = 0; i < 4; i++)
                push_anew(r, &part[i]);
        drain(r);
        assert_int_equal(check_track(r, "v96"), 100);
        assert_int_equal(check_track(r, "v64"), 100);
        struct pipeline_stats s;
        pipeline_stats(r->p, &s);
        assert_int_equal(s.late_dropped + s.corrupt + s.skipped, 0);
        rig_free(r);
        for (int i = 0; i < 4; i++)
                coded_free(&part[i]);
}

/* Another broadcaster that goes on has the last picture too: the one that waits for its neighbour stands before the break. */
static void test_a_break_comes_after_the_picture_that_waits(void **state)
{
        (void)state;
        struct coded before, after;
        struct painted p = two_fields(25, 0);
        painted_video(&before, &p);
        p.start_us = 24 * 40000 + 10000;
        painted_video(&after, &p);
        after.frames[0].flags |= FRAME_BREAK;
        struct rig *r = rig_new();
        rig_open(r, &before, NULL);
        push_all(r, &before, NULL);
        push_all(r, &after, NULL);
        drain(r);
        assert_int_equal(check_track(r, "v96"), 25 + 24);
        struct pipeline_stats s;
        pipeline_stats(r->p, &s);
        assert_int_equal(s.late_dropped, 1);
        rig_free(r);
        coded_free(&before);
        coded_free(&after);
}

/* A proxy that opened the stream again sends what was not stored once more. */
static void test_a_picture_that_waits_and_comes_again_is_shown_once(void **state)
{
        (void)state;
        struct coded video;
        struct painted p = two_fields(25, 0);
        painted_video(&video, &p);
        struct rig *r = rig_new();
        rig_open(r, &video, NULL);
        for (int i = 0; i < 13; i++)
                push(r, &video.frames[i]);
        video.frames[0].flags |= FRAME_BREAK;
        push_all(r, &video, NULL);
        drain(r);
        assert_int_equal(check_track(r, "v96"), 25);
        rig_free(r);
        coded_free(&video);
}

/* One that took the session over in the middle has seen less of it: what a picture becomes is decided by its neighbours. */
static void test_two_transcoders_in_lockstep_make_the_same_of_two_fields(void **state)
{
        (void)state;
        struct coded video;
        struct painted p = two_fields(125, 0);
        p.gop = 25;
        painted_video(&video, &p);
        struct rig *r[2];
        int64_t epoch_us = clock_wall_us() + NEVER_SLATE_US;
        for (int later = 0; later < 2; later++) {
                r[later] = rig_new();
                r[later]->o.epoch_us = epoch_us;
                r[later]->o.lockstep_segments = 2;
                r[later]->o.resume_count = later;
                r[later]->o.resume[0] = (struct job_resume){.track = "v96", .end_us = 2400000};
                rig_open(r[later], &video, NULL);
                for (int i = later ? 50 : 0; i < video.count; i++)
                        push(r[later], &video.frames[i]);
                drain(r[later]);
        }
        const uint8_t *from[2];
        size_t len[2];
        for (int i = 0; i < 2; i++) { /* all from segment 4 on */
                const struct out_chunk *o;
                struct track *t = track_named(r[i], "v96");
                for (int at = 0; (o = next_chunk(r[i], t, &at)) && o->c.segment < 4;)
                        ;
                assert_non_null(o);
                from[i] = t->file + o->at;
                len[i] = t->file_len - o->at;
        }
        assert_int_equal(len[0], len[1]);
        assert_memory_equal(from[0], from[1], len[0]);
        rig_free(r[0]);
        rig_free(r[1]);
        coded_free(&video);
}

static bool has_slate(const struct rig *r)
{
        for (int i = 0; i < r->chunk_count; i++)
                if (r->chunks[i].c.flags & PUT_SLATE)
                        return true;
        return false;
}

/* The picture that waits for the next one is shown when that does not come, and slate after it. */
static void test_slate_does_not_overtake_a_picture_of_two_fields(void **state)
{
        (void)state;
        struct painted p = two_fields(12, 0);
        struct coded video;
        painted_video(&video, &p);
        struct rig *r = rig_new();
        r->o.slate_after_us = 100000;
        r->o.epoch_us = clock_wall_us() - US_PER_S;
        rig_open(r, &video, NULL);
        push_all(r, &video, NULL);
        while (!has_slate(r))
                uv_run(&r->loop, UV_RUN_ONCE);
        drain(r);
        struct pipeline_stats s;
        pipeline_stats(r->p, &s);
        assert_int_equal(s.decoded, 12);
        assert_int_equal(s.late_dropped, 0);
        assert_int_equal(check_track(r, "v96"), 12 + s.slate_us / 40000);
        rig_free(r);
        coded_free(&video);
}

/* One camera that sends a picture a second, and just one picture. */
static void test_a_lone_picture_of_two_fields_is_shown(void **state)
{
        (void)state;
        struct painted p = two_fields(1, 0);
        struct coded video;
        struct bars bars = {0};
        painted_video(&video, &p);
        struct rig *r = rig_new();
        r->o.slate_after_us = 100000;
        r->o.epoch_us = clock_wall_us() - US_PER_S;
        rig_open(r, &video, NULL);
        push_all(r, &video, NULL);
        while (!has_slate(r))
                uv_run(&r->loop, UV_RUN_ONCE);
        drain(r);
        assert_true(watch(track_named(r, "v96"), see_bar, &bars) >= 2);
        assert_in_range(bars.worst, 0, 150);
        rig_free(r);
        coded_free(&video);
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
        p = two_fields(6, 0);
        p.paint = paint_green_601;
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
                struct painted p = painted_25(WIDTH, HEIGHT, 25, paint_bar);
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

/* ---- captions ---- */

#define SAID_MAX 4096

static struct said {
        uint8_t triplets[SAID_MAX][3];
        int count;
} said, heard;

static void say(struct said *s, const AVFrame *f)
{
        const AVFrameSideData *cc = av_frame_get_side_data(f, AV_FRAME_DATA_A53_CC);
        for (size_t at = 0; cc && at + 3 <= cc->size; at += 3)
                if (cc->data[at] & 4 && s->count < SAID_MAX)
                        memcpy(s->triplets[s->count++], cc->data + at, 3);
}

/* As a 30 fps encoder has it: a pair of CEA-608 a field, 18 triplets of CEA-708 of which all but two are padding. */
static void paint_captions(AVFrame *f, int n)
{
        AVFrameSideData *cc = av_frame_new_side_data(f, AV_FRAME_DATA_A53_CC, 60);
        for (int i = 0; i < 20; i++) {
                uint8_t t[] = {i == 0 ? 0xfc : i == 1 ? 0xfd : i == 2 ? 0xff : i == 3 ? 0xfe : 0xfa, (uint8_t)(n + 1), (uint8_t)(i + 1)};
                memcpy(cc->data + 3 * i, t, 3);
        }
        say(&said, f);
}

static void hear(const AVFrame *f, int n, void *arg)
{
        (void)n, (void)arg;
        say(&heard, f);
}

static void all_is_heard(struct rig *r, const char *track)
{
        heard.count = 0;
        watch(track_named(r, track), hear, NULL);
        assert_int_equal(heard.count, said.count);
        assert_memory_equal(heard.triplets, said.triplets, (size_t)said.count * 3);
}

static void test_captions_come_through_in_every_rung_once_and_in_order(void **state)
{
        (void)state;
        for (int interlaced = 0; interlaced < 2; interlaced++) {
                struct coded video;
                struct painted p = painted_25(WIDTH, HEIGHT, 61, paint_captions);
                p.fps = 30;
                p.b_frames = 2;
                p.interlaced = interlaced;
                said.count = 0;
                painted_video(&video, &p);
                assert_int_equal(said.count, 244);
                struct rig *r = rig_new();
                r->o.ladder.video[1].fps_max = 15;
                rig_open(r, &video, NULL);
                push_all(r, &video, NULL);
                drain(r);
                assert_int_equal(check_track(r, "v96"), 61);
                assert_int_equal(check_track(r, "v64"), 31);
                all_is_heard(r, "v96");
                all_is_heard(r, "v64");
                struct pipeline_stats s;
                pipeline_stats(r->p, &s);
                assert_int_equal(s.captions_lost, 0);
                rig_free(r);
                coded_free(&video);
        }
}

static void test_captions_that_no_picture_is_left_for_are_counted(void **state)
{
        (void)state;
        struct coded video;
        struct painted p = painted_25(WIDTH, HEIGHT, 60, paint_captions);
        p.fps = 30;
        painted_video(&video, &p);
        struct rig *r = rig_new();
        r->o.ladder.video[1].fps_max = 15;
        rig_open(r, &video, NULL);
        push_all(r, &video, NULL);
        drain(r);
        struct pipeline_stats s;
        pipeline_stats(r->p, &s);
        assert_int_equal(s.captions_lost, 20);
        rig_free(r);
        coded_free(&video);
}

/* A picture that stands for others says what it says once. */
static void test_slate_does_not_repeat_captions(void **state)
{
        (void)state;
        struct coded video;
        struct painted p = painted_25(WIDTH, HEIGHT, 5, paint_captions);
        said.count = 0;
        painted_video(&video, &p);
        struct rig *r = rig_new();
        r->o.slate_after_us = 100000;
        r->o.epoch_us = clock_wall_us() - US_PER_S;
        rig_open(r, &video, NULL);
        push_all(r, &video, NULL);
        while (!has_slate(r))
                uv_run(&r->loop, UV_RUN_ONCE);
        drain(r);
        all_is_heard(r, "v96");
        all_is_heard(r, "v64");
        rig_free(r);
        coded_free(&video);
}

/* ---- cues ---- */

#define CUES 16

struct told {
        struct cue cue[64];
        int64_t chunk_us[64]; /* begin of the chunk that it stands before */
        int count;
};

/* A cue in every eighth access unit, 10 ms before its picture; at[n] is when. */
static int add_cues(struct coded *video, int64_t at[CUES])
{
        int n = 0;
        for (int i = 3; i < video->count && n < CUES; i += 8, n++) {
                struct frame *f = &video->frames[i];
                char body[16];
                uint8_t sei[CUE_MESSAGE_MAX];
                snprintf(body, sizeof(body), "%d", n);
                struct cue c = {.duration_ms = CUE_NO_DURATION, .body = (const uint8_t *)body, .body_len = strlen(body)};
                size_t len = cue_message_write(sei, sizeof(sei), &c, -10);
                struct buf *with = avc_add_sei(AVC_LENGTH_SIZE, f->bytes->data, f->bytes->len, AVC_SEI_UNREGISTERED, sei, len);
                buf_unref(&f->bytes);
                f->bytes = with;
                at[n] = f->dts_us + f->cts_us - 10000;
        }
        return n;
}

static void read_cues(struct rig *r, const char *name, struct told *out)
{
        struct track *t = track_named(r, name);
        const struct out_chunk *o;
        out->count = 0;
        for (int at = 0; (o = next_chunk(r, t, &at));) {
                struct reader in;
                reader_init(&in, t->file + o->at, o->len);
                while (reader_left(&in) >= 8) {
                        uint32_t len = reader_u32(&in);
                        bool emsg = reader_u32(&in) == 0x656d7367;
                        const uint8_t *body = reader_bytes(&in, len - 8);
                        if (!emsg)
                                continue;
                        assert_true(out->count < 64);
                        assert_int_equal(cue_box_read(&out->cue[out->count], body, len - 8), 0);
                        out->chunk_us[out->count++] = o->c.start_us / CHUNK_US * CHUNK_US;
                }
        }
}

static void coded_with_cues(struct coded *video, bool interlaced)
{
        struct painted p = painted_25(WIDTH, HEIGHT, 75, NULL);
        p.b_frames = 2;
        p.interlaced = interlaced;
        painted_video(video, &p);
}

static int by_time(const void *a, const void *b)
{
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
        return x < y ? -1 : x > y;
}

static void test_cues_are_in_every_rung_once_in_the_chunk_of_their_picture(void **state)
{
        (void)state;
        for (int interlaced = 0; interlaced < 2; interlaced++) {
                struct coded video;
                struct told told;
                int64_t at[CUES];
                coded_with_cues(&video, interlaced);
                int n = add_cues(&video, at);
                qsort(at, (size_t)n, sizeof(at[0]), by_time);
                struct rig *r = rig_new();
                r->o.ladder.video[1].fps_max = 13; /* leaves every other picture out */
                rig_open(r, &video, NULL);
                push_all(r, &video, NULL);
                drain(r);
                for (int rung = 0; rung < 2; rung++) {
                        read_cues(r, rung ? "v64" : "v96", &told);
                        assert_int_equal(told.count, n);
                        for (int i = 0; i < n; i++) {
                                assert_int_equal(told.cue[i].at_us, at[i]);
                                int64_t picture_us = at[i] + 10000, late_us = told.chunk_us[i] - picture_us / CHUNK_US * CHUNK_US;
                                assert_true(late_us == 0 || (rung && late_us == CHUNK_US));
                        }
                }
                struct pipeline_stats s;
                pipeline_stats(r->p, &s);
                assert_int_equal(s.cues_lost, 0);
                rig_free(r);
                coded_free(&video);
        }
}

/* So whoever dies in between takes no cue along, and none comes twice. */
static void test_a_transcoder_that_goes_on_says_what_belongs_to_its_pictures(void **state)
{
        (void)state;
        enum { RESUME_US = 1400000 };
        struct coded video;
        struct told all, rest;
        int64_t at[CUES];
        coded_with_cues(&video, false);
        int n = add_cues(&video, at), before = 0;
        struct rig *r = run_through(&video);
        read_cues(r, "v96", &all);
        assert_int_equal(all.count, n);
        rig_free(r);
        r = rig_new();
        r->o.resume_count = 2;
        r->o.resume[0] = (struct job_resume){.track = "v96", .end_us = RESUME_US};
        r->o.resume[1] = (struct job_resume){.track = "v64", .end_us = RESUME_US};
        rig_open(r, &video, NULL);
        push_all(r, &video, NULL);
        drain(r);
        read_cues(r, "v96", &rest);
        while (all.chunk_us[before] < RESUME_US)
                before++;
        assert_true(before > 0);
        assert_int_equal(rest.count, n - before);
        for (int i = 0; i < rest.count; i++) {
                assert_int_equal(rest.cue[i].id, all.cue[before + i].id);
                assert_int_equal(rest.chunk_us[i], all.chunk_us[before + i]);
        }
        rig_free(r);
        coded_free(&video);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_picture_of_two_fields_comes_out_once_and_whole),
                cmocka_unit_test(test_interlace_that_begins_and_ends_in_mid_broadcast_costs_no_picture),
                cmocka_unit_test(test_a_break_comes_after_the_picture_that_waits),
                cmocka_unit_test(test_a_picture_that_waits_and_comes_again_is_shown_once),
                cmocka_unit_test(test_two_transcoders_in_lockstep_make_the_same_of_two_fields),
                cmocka_unit_test(test_slate_does_not_overtake_a_picture_of_two_fields),
                cmocka_unit_test(test_a_lone_picture_of_two_fields_is_shown),
                cmocka_unit_test(test_green_stays_the_green_it_was),
                cmocka_unit_test(test_absurd_pictures_are_refused_in_words),
                cmocka_unit_test(test_an_absurd_shape_in_mid_broadcast_is_counted_and_survived),
                cmocka_unit_test(test_captions_come_through_in_every_rung_once_and_in_order),
                cmocka_unit_test(test_captions_that_no_picture_is_left_for_are_counted),
                cmocka_unit_test(test_slate_does_not_repeat_captions),
                cmocka_unit_test(test_cues_are_in_every_rung_once_in_the_chunk_of_their_picture),
                cmocka_unit_test(test_a_transcoder_that_goes_on_says_what_belongs_to_its_pictures),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
