/* What the pipeline puts where nothing came, on both grids and at any rate: a picture and silence at every place, and nothing twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pipeline_fixture.h"

static const unsigned grids[] = {CHUNK_MS, CHUNK_MS_SHORT};
/* 0: gaps of 5 to 90 ms, one after the other. */
static const AVRational rates[] = {{25, 1}, {30000, 1001}, {60000, 1001}, {0, 1}};
#define RATES (sizeof(rates) / sizeof(rates[0]))

/* ---- a source with a hole --------------------------------------------------------------------------------------------- */

/* Each picture is a keyframe, so that those behind a hole need nothing of before. */
static void coded_at(struct coded *video, AVRational rate, int64_t until_us)
{
        static const int gaps_ms[] = {33, 8, 50, 12, 90, 20, 5, 60, 40, 11};
        AVRational fps = rate.num ? rate : (AVRational){30, 1};
        coded_video(video, 176, 96, fps, (int)(until_us * fps.num / fps.den / US_PER_S) + 1, 0, 1, 0);
        int64_t at_us = 0;
        for (int i = 0; !rate.num && i < video->count; i++) {
                video->frames[i].dts_us = at_us;
                at_us += gaps_ms[i % 10] * US_PER_MS;
        }
}

/* How many are left out. */
static int leave_out(struct coded *c, int64_t from_us, int64_t until_us)
{
        int kept = 0, all = c->count;
        for (int i = 0; i < all; i++) {
                struct frame *f = &c->frames[i];
                if (f->dts_us >= from_us && f->dts_us < until_us)
                        buf_unref(&f->bytes);
                else
                        c->frames[kept++] = *f;
        }
        c->count = kept;
        return all - kept;
}

/* ---- what is promised of a track ---------------------------------------------------------------------------------------- */

static int64_t number_of(const struct rig *r, const struct out_chunk *o)
{
        return (int64_t)o->c.segment * chunks_of_segment(r->o.chunk_ms) + o->c.chunk;
}

/* There is a chunk at each place from the first one on, and slate is told of those only that have some of [from_us, until_us). */
static void check_places(struct rig *r, const char *name, int64_t from_us, int64_t until_us)
{
        const struct out_chunk *o;
        int64_t next = 0;
        bool any = false;
        for (int at = 0; (o = next_chunk(r, track_named(r, name), &at)); next++) {
                assert_int_equal(number_of(r, o), next);
                if (!(o->c.flags & PUT_SLATE))
                        continue;
                any = true;
                assert_true(o->c.start_us < until_us && o->c.start_us + o->c.duration_us > from_us - chunk_us(r->o.chunk_ms));
        }
        assert_int_equal(any, until_us > from_us);
}

/* Each in its place, later than the one before it, and the first one of each segment is a keyframe. */
static int check_pictures(struct rig *r, const char *name)
{
        const struct out_chunk *o, *before = NULL;
        int64_t last = -1;
        int pictures = 0;
        for (int at = 0; (o = next_chunk(r, track_named(r, name), &at)); before = o) {
                int64_t ticks = o->f.tfdt;
                assert_true(!before || o->c.segment - before->c.segment <= 1);
                for (int i = 0; i < o->f.count; ticks += o->f.duration[i++], pictures++) {
                        struct grid_place p = grid_place(ticks, VIDEO_TIMESCALE, r->o.chunk_ms);
                        assert_true(p.segment == o->c.segment && p.chunk == o->c.chunk);
                        assert_int_equal(o->f.key[i], i == 0 && (!before || before->c.segment != o->c.segment));
                        assert_true(ticks > last);
                        last = ticks;
                }
        }
        return pictures;
}

/* ---- holes of a source ---------------------------------------------------------------------------------------------------- */

static void a_hole_on(unsigned chunk_ms, AVRational rate, int64_t from_us, int64_t until_us)
{
        const int64_t end_us = 3 * US_PER_S;
        struct coded video, audio;
        coded_at(&video, rate, end_us);
        coded_audio(&audio, 48000, 2, (int)(end_us * 48 / 1024 / 1000), 0);
        int pictures = video.count, missing = leave_out(&video, from_us, until_us);
        leave_out(&audio, from_us, until_us);
        leave_out(&audio, INT64_MIN, 0); /* what the encoder begins with is before the broadcast */
        struct rig *r = rig_new();
        r->o.chunk_ms = chunk_ms;
        rig_open(r, &video, &audio);
        push_all(r, &video, &audio);
        drain(r);
        assert_int_equal(r->failed, 0);
        for (int i = 0; i < 2; i++) {
                const char *name = i ? "v64" : "v96";
                int filled = check_pictures(r, name) - (pictures - missing);
                /* As many as were there before it, but for one; of a changing rate by the newest gaps. */
                if (rate.num)
                        assert_in_range(filled, missing - 1, missing + 1);
                check_places(r, name, from_us, until_us);
        }
        int frames = check_track(r, "a64");
        struct track *a = track_named(r, "a64");
        assert_int_equal(a->next - a->first, frames * AAC_FRAME_SAMPLES);
        check_places(r, "a64", from_us, until_us);
        struct pipeline_stats s;
        pipeline_stats(r->p, &s);
        assert_int_equal(s.late_dropped + s.corrupt, 0);
        rig_free(r);
        coded_free(&video);
        coded_free(&audio);
}

/* It begins anywhere in a chunk, and ends anywhere in another one, in the next segment too. */
static void test_a_hole_of_pictures_and_sound_has_something_at_every_place(void **state)
{
        (void)state;
        for (size_t g = 0; g < 2; g++)
                for (size_t i = 0; i < RATES; i++)
                        for (int k = 0; k < 6; k++)
                                a_hole_on(grids[g], rates[i], (1000 + 37 * k) * US_PER_MS, (1480 + 131 * k) * US_PER_MS);
}

/* Up to 400 ms the picture before stays for longer: a place of the usual grid, and three of the short one, may have no chunk. */
static void test_what_is_no_hole_yet_doubles_nothing_and_moves_nothing(void **state)
{
        (void)state;
        for (size_t g = 0; g < 2; g++)
                for (size_t i = 0; i < RATES; i++)
                        for (int k = 0; k < 8; k++) {
                                struct coded video;
                                coded_at(&video, rates[i], 2 * US_PER_S);
                                int64_t from_us = (700 + 43 * k) * US_PER_MS;
                                leave_out(&video, from_us, from_us + 200 * US_PER_MS);
                                struct rig *r = rig_new();
                                r->o.chunk_ms = grids[g];
                                rig_open(r, &video, NULL);
                                push_all(r, &video, NULL);
                                drain(r);
                                assert_int_equal(check_pictures(r, "v96"), video.count);
                                assert_int_equal(check_pictures(r, "v64"), video.count);
                                struct pipeline_stats s;
                                pipeline_stats(r->p, &s);
                                assert_int_equal(s.slate_us + s.late_dropped + s.corrupt, 0);
                                rig_free(r);
                                coded_free(&video);
                        }
}

/* ---- nobody sends ------------------------------------------------------------------------------------------------------ */

static bool has_slate_until(const struct rig *r, const char *name, int64_t us)
{
        for (int i = 0; i < r->chunk_count; i++) {
                const struct track *t = &r->tracks[r->chunks[i].c.track];
                const struct chunk *c = &r->chunks[i].c;
                if (!strcmp(t->info.name, name) && c->flags & PUT_SLATE && c->start_us + c->duration_us >= us)
                        return true;
        }
        return false;
}

/* The broadcaster falls silent after 1 s; the wall clock is 3 s in by then, so 1.8 s of slate are due at once. When it
 * returns, at its own time, what lies between is slate and nothing is missing. */
static void slate_on(unsigned chunk_ms, AVRational rate, int64_t back_us)
{
        struct coded video, audio, again, sound;
        int second = (rate.num + rate.den - 1) / rate.den;
        coded_video(&video, 176, 96, rate, second, 0, second, 0);
        coded_audio(&audio, 48000, 2, 47, 0);
        coded_video(&again, 176, 96, rate, second, 0, second, back_us);
        coded_audio(&sound, 48000, 2, 47, back_us);
        struct rig *r = rig_new();
        r->o.chunk_ms = chunk_ms;
        r->o.slate_after_us = 200000;
        r->o.epoch_us = clock_wall_us() - 3 * US_PER_S;
        rig_open(r, &video, &audio);
        push_all(r, &video, &audio);
        while (!has_slate_until(r, "v96", 2500000) || !has_slate_until(r, "v64", 2500000) ||
               !has_slate_until(r, "a64", 2500000))
                uv_run(&r->loop, UV_RUN_ONCE);
        again.frames[0].flags |= FRAME_BREAK;
        sound.frames[0].flags |= FRAME_BREAK;
        push_all(r, &again, &sound);
        /* Old frames come too late for their places. */
        push(r, &video.frames[0]);
        push(r, &audio.frames[3]);
        drain(r);
        assert_true(check_pictures(r, "v96") >= (back_us / US_PER_S + 1) * rate.num / rate.den - 2);
        check_pictures(r, "v64");
        check_track(r, "a64");
        check_places(r, "v96", US_PER_S, back_us);
        check_places(r, "v64", US_PER_S, back_us);
        check_places(r, "a64", US_PER_S, back_us);
        assert_in_range(r->end_us, back_us + 950 * US_PER_MS, back_us + 1100 * US_PER_MS);
        struct pipeline_stats s;
        pipeline_stats(r->p, &s);
        assert_in_range(s.slate_us, back_us - 2 * US_PER_S, back_us);
        assert_true(s.late_dropped >= 2);
        rig_free(r);
        coded_free(&video);
        coded_free(&audio);
        coded_free(&again);
        coded_free(&sound);
}

static void test_slate_fills_the_time_without_a_broadcaster(void **state)
{
        (void)state;
        slate_on(CHUNK_MS, rates[0], 60 * US_PER_S);
        for (size_t i = 0; rates[i].num; i++)
                slate_on(CHUNK_MS_SHORT, rates[i], 12 * US_PER_S);
}

static bool has_chunk(struct rig *r, uint32_t segment, uint8_t chunk)
{
        for (int i = 0; i < r->chunk_count; i++)
                if (r->chunks[i].c.segment == segment && r->chunks[i].c.chunk == chunk)
                        return true;
        return false;
}

/* All chunks of [from, until) are there, none of them slate, and each begins on the grid. */
static void check_chunks(struct rig *r, int from, int until)
{
        int at = 0, n = from, chunks = (int)chunks_of_segment(r->o.chunk_ms);
        for (const struct out_chunk *o; n < until && (o = next_chunk(r, track_named(r, "v96"), &at));) {
                int64_t number = o->c.segment * chunks + o->c.chunk;
                if (number < from)
                        continue;
                assert_int_equal(number, n++);
                assert_int_equal(o->c.start_us, number * chunk_us(r->o.chunk_ms));
                assert_int_equal(o->c.flags & PUT_SLATE, 0);
        }
        assert_int_equal(n, until);
}

static void one_picture_a_second_on(unsigned chunk_ms)
{
        struct coded video;
        int chunks = 5 * (int)chunks_of_segment(chunk_ms);
        coded_video(&video, 176, 96, (AVRational){1, 1}, 6, 0, 6, 0);
        struct rig *r = rig_new();
        r->o.chunk_ms = chunk_ms;
        r->o.ladder.video_count = 1;
        r->o.ladder.video[0].fps_max = 15;
        rig_open(r, &video, NULL);
        push_all(r, &video, NULL);
        drain(r);
        check_chunks(r, 0, chunks);
        struct pipeline_stats s;
        pipeline_stats(r->p, &s);
        assert_int_equal(s.encoded, chunks + 1);
        assert_int_equal(s.slate_us, 0);
        rig_free(r);
        coded_free(&video);
}

static void test_one_picture_a_second_makes_every_chunk(void **state)
{
        (void)state;
        one_picture_a_second_on(CHUNK_MS);
        one_picture_a_second_on(CHUNK_MS_SHORT);
}

/* Slate would come a minute later: it is the clock that says that the chunks are due. */
static void a_slow_source_on(unsigned chunk_ms)
{
        struct coded video;
        int chunks = 2 * (int)chunks_of_segment(chunk_ms) + 1;
        coded_video(&video, 176, 96, (AVRational){2, 1}, 5, 0, 5, 0);
        struct rig *r = rig_new();
        r->o.chunk_ms = chunk_ms;
        r->o.ladder.video_count = 1;
        r->o.slate_after_us = 60 * US_PER_S;
        r->o.epoch_us = clock_wall_us() - US_PER_S;
        rig_open(r, &video, NULL);
        for (int i = 0; i < 3; i++)
                push(r, &video.frames[i]);
        while (!has_chunk(r, 1, (uint8_t)(500 / chunk_ms)))
                uv_run(&r->loop, UV_RUN_ONCE);
        struct pipeline_stats s;
        pipeline_stats(r->p, &s);
        assert_int_equal(s.decoded, 3);
        push(r, &video.frames[3]); /* of 1.5 s: late, for the one before stands at 1.6 s by now */
        push(r, &video.frames[4]);
        drain(r);
        pipeline_stats(r->p, &s);
        assert_int_equal(s.decoded, 5);
        assert_int_equal(s.late_dropped, 0);
        assert_int_equal(s.slate_us, 0);
        check_chunks(r, 0, chunks);
        /* Of 0.5 and 1.5 s there may be one more each in a chunk. */
        assert_in_range(check_track(r, "v96"), chunks + 1, chunks + 3);
        rig_free(r);
        coded_free(&video);
}

static void test_a_slow_sources_chunks_do_not_wait_for_its_next_picture(void **state)
{
        (void)state;
        a_slow_source_on(CHUNK_MS);
        a_slow_source_on(CHUNK_MS_SHORT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_hole_of_pictures_and_sound_has_something_at_every_place),
                cmocka_unit_test(test_what_is_no_hole_yet_doubles_nothing_and_moves_nothing),
                cmocka_unit_test(test_slate_fills_the_time_without_a_broadcaster),
                cmocka_unit_test(test_one_picture_a_second_makes_every_chunk),
                cmocka_unit_test(test_a_slow_sources_chunks_do_not_wait_for_its_next_picture),
        };
        log_init("test", LOG_ERROR);
        av_log_set_level(AV_LOG_QUIET); /* until the pipeline takes libav's log over */
        return cmocka_run_group_tests(tests, NULL, NULL);
}
