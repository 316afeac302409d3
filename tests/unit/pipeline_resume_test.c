/* Sessions that another transcoder goes on with, or encodes as well: nothing is lost, doubled or made otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pipeline_fixture.h"
#include "tests/unit/usual_grid.h"

static void test_a_session_that_goes_on_continues_with_the_very_next_frame(void **state)
{
        (void)state;
        struct coded video, audio;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 100, 0, 50, 0);
        coded_audio(&audio, 48000, 2, 188, 0);
        struct rig *r = rig_new();
        r->o.resume_count = 3;
        r->o.resume[0] = (struct job_resume){.track = "v96", .end_us = 2400000};
        r->o.resume[1] = (struct job_resume){.track = "v64", .end_us = 2600000};
        r->o.resume[2] = (struct job_resume){.track = "a64", .end_us = grid_us(113 * AAC_FRAME_SAMPLES, AUDIO_TIMESCALE)};
        rig_open(r, &video, &audio);
        push_all(r, &video, &audio);
        drain(r);
        assert_int_equal(check_track(r, "v96"), 40);
        assert_int_equal(check_track(r, "v64"), 35);
        check_track(r, "a64");
        assert_int_equal(track_named(r, "v96")->first, 2400000 / 100 * 9);
        assert_int_equal(track_named(r, "v64")->first, 2600000 / 100 * 9);
        assert_int_equal(track_named(r, "a64")->first, 113 * AAC_FRAME_SAMPLES);
        assert_in_range(tone_hz(track_named(r, "a64"), 2000), 439, 441);
        rig_free(r);
        coded_free(&video);
        coded_free(&audio);
}

static const struct out_chunk *last_chunk(struct rig *r, const char *name)
{
        const struct out_chunk *o, *last = NULL;
        for (int at = 0; (o = next_chunk(r, track_named(r, name), &at));)
                last = o;
        assert_non_null(last);
        return last;
}

static int64_t end_of(struct rig *r, const char *name)
{
        const struct out_chunk *o = last_chunk(r, name);
        return o->c.start_us + o->c.duration_us;
}

/* Both get the same; the second one ends in the middle of a segment and of a frame of sound. */
static void test_one_that_leaves_makes_nothing_that_the_next_one_would_make_otherwise(void **state)
{
        (void)state;
        struct coded video, audio;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 60, 0, 50, 0);
        coded_audio(&audio, 44100, 2, 100, 0);
        struct rig *whole = rig_new(), *left = rig_new();
        for (int i = 0; i < 2; i++) {
                struct rig *r = i ? left : whole;
                rig_open(r, &video, &audio);
                push_all(r, &video, &audio);
                pipeline_drain(r->p, r == left);
                while (!r->drained)
                        uv_run(&r->loop, UV_RUN_ONCE);
        }
        assert_true(end_of(left, "a64") < end_of(whole, "a64"));
        assert_int_equal(last_chunk(left, "v96")->c.start_us, last_chunk(whole, "v96")->c.start_us);
        assert_int_equal(last_chunk(left, "v96")->f.count, last_chunk(whole, "v96")->f.count);
        assert_int_equal(last_chunk(left, "v96")->c.flags & PUT_LAST, 0);
        assert_int_equal(last_chunk(left, "a64")->c.flags & PUT_LAST, 0);
        rig_free(whole);
        rig_free(left);
        coded_free(&video);
        coded_free(&audio);
}

/* What an origin answers to a CLAIM after this chunk (originD/log/index.h): where it ends by its boxes. How long its last sample
 * lasts was a guess if the writer said another end, sooner; the next one may then come that much sooner, or half a sample. What
 * is before the place on the grid may be complete. */
static struct job_resume answer_after(const struct track *t, const struct out_chunk *o)
{
        struct job_resume r = {.end_us = 0};
        int64_t ends = o->f.tfdt, slack = 1;
        for (int i = 0; i < o->f.count; i++)
                ends += o->f.duration[i];
        int64_t said = grid_ticks(o->c.start_us + o->c.duration_us + 1, t->timescale);
        if (said + 1 < ends) {
                int64_t half = (ends - o->f.tfdt) / o->f.count / 2;
                slack = ends - said > half ? ends - said : half;
        }
        struct grid_place next = grid_place(ends, t->timescale, CHUNK_MS);
        memcpy(r.track, t->info.name, sizeof(r.track));
        r.end_us = grid_us(ends - slack, t->timescale);
        r.from_us = next.segment * SEGMENT_US + next.chunk * CHUNK_US;
        if (o->c.flags & PUT_LAST && r.from_us < (o->c.segment + 1) * SEGMENT_US)
                r.from_us = (o->c.segment + 1) * SEGMENT_US;
        return r;
}

#define VFR_PICTURES 100

/* Whole milliseconds, as RTMP has them; two of the gaps meet a segment's end within a few of them. */
static void coded_vfr(struct coded *video)
{
        static const int gaps_ms[] = {33, 8, 50, 12, 90, 20, 5, 60, 40, 11};
        int64_t at_us = 0;
        coded_video(video, 176, 96, (AVRational){30, 1}, VFR_PICTURES, 0, VFR_PICTURES, 0);
        assert_int_equal(video->count, VFR_PICTURES);
        for (int i = 0; i < VFR_PICTURES; i++) {
                video->frames[i].dts_us = at_us;
                at_us += gaps_ms[i % 10] * US_PER_MS;
                if (at_us > 995 * US_PER_MS && at_us < 1010 * US_PER_MS)
                        at_us = 996 * US_PER_MS;
        }
}

/* The pictures of a rung from the first chunk on, up to and with chunk last (NULL: all). */
static int times_of(struct rig *r, const char *name, const struct out_chunk *last, int64_t *times, int n)
{
        const struct track *t = track_named(r, name);
        const struct out_chunk *o;
        for (int at = 0; (o = next_chunk(r, t, &at));) {
                int64_t ticks = o->f.tfdt;
                for (int i = 0; i < o->f.count; ticks += o->f.duration[i++])
                        times[n++] = ticks;
                if (o == last)
                        break;
        }
        return n;
}

/* A second writer goes on after this chunk of the first one, which made no more that was stored. */
static void goes_on_after(struct rig *first, const struct out_chunk *o, const struct coded *video)
{
        int64_t times[2 * VFR_PICTURES];
        const struct track *t = track_named(first, "v96");
        struct rig *second = rig_new();
        second->o.ladder.video_count = 1;
        second->o.resume_count = 1;
        second->o.resume[0] = answer_after(t, o);
        rig_open(second, video, NULL);
        push_all(second, video, NULL);
        drain(second);
        int n = times_of(first, "v96", o, times, 0);
        n = times_of(second, "v96", NULL, times, n);
        assert_int_equal(n, video->count);
        for (int i = 0; i < n; i++) {
                int64_t due = grid_ticks(video->frames[i].dts_us, VIDEO_TIMESCALE);
                assert_in_range(times[i], due, due + VIDEO_TIMESCALE / 20); /* later: at the end of what was complete */
                assert_true(i == 0 || times[i] > times[i - 1]);
        }
        for (int i = 0; i < second->chunk_count; i++)
                assert_true(second->chunks[i].c.segment >= o->c.segment + !!(o->c.flags & PUT_LAST));
        rig_free(second);
}

static void test_every_picture_once_of_a_changing_rate_after_whichever_chunk_a_writer_is_lost(void **state)
{
        (void)state;
        struct coded video;
        const struct out_chunk *o;
        struct rig *first = rig_new();
        coded_vfr(&video);
        first->o.ladder.video_count = 1;
        rig_open(first, &video, NULL);
        push_all(first, &video, NULL);
        drain(first);
        const struct track *t = track_named(first, "v96");
        int64_t all_us = last_chunk(first, "v96")->c.start_us;
        for (int at = 0; (o = next_chunk(first, t, &at)) && o->c.start_us < all_us;)
                goes_on_after(first, o, &video);
        rig_free(first);
        coded_free(&video);
}

static void test_every_picture_once_of_a_changing_rate_whenever_a_writer_leaves(void **state)
{
        (void)state;
        struct coded video;
        coded_vfr(&video);
        for (int n = 20; n < 60; n++) {
                struct rig *first = rig_new();
                first->o.ladder.video_count = 1;
                rig_open(first, &video, NULL);
                for (int i = 0; i < n; i++)
                        push(first, &video.frames[i]);
                pipeline_drain(first->p, true);
                while (!first->drained)
                        uv_run(&first->loop, UV_RUN_ONCE);
                goes_on_after(first, last_chunk(first, "v96"), &video);
                rig_free(first);
        }
        coded_free(&video);
}

/* The writer before cut the segment because the rhythm said that no picture comes in it any more. Then one does. */
static void test_a_picture_sooner_than_the_writer_before_foresaw_begins_the_next_segment(void **state)
{
        (void)state;
        struct coded video;
        struct rig *first = rig_new();
        coded_video(&video, 176, 96, (AVRational){30, 1}, 60, 0, 60, 10000);
        first->o.ladder.video_count = 1;
        rig_open(first, &video, NULL);
        for (int i = 0; i < 30; i++)
                push(first, &video.frames[i]); /* the last one is due at 976 ms, the next one at 1010 */
        while (first->chunk_count < 5)
                uv_run(&first->loop, UV_RUN_ONCE);
        assert_int_equal(first->chunks[4].c.flags & PUT_LAST, PUT_LAST);
        video.frames[30].dts_us = 994000;
        goes_on_after(first, &first->chunks[4], &video);
        rig_free(first);
        coded_free(&video);
}

static void test_what_is_sent_a_second_time_is_there_once(void **state)
{
        (void)state;
        for (int b_frames = 0; b_frames <= 2; b_frames += 2) {
                struct coded video;
                coded_video(&video, 176, 96, (AVRational){25, 1}, 100, b_frames, 100, 0);
                struct rig *r = rig_new();
                rig_open(r, &video, NULL);
                for (int i = 0; i < 60; i++)
                        push(r, &video.frames[i]);
                video.frames[0].flags |= FRAME_BREAK;
                push_all(r, &video, NULL); /* by a proxy that opened the stream again */
                drain(r);
                assert_int_equal(check_track(r, "v96"), 100);
                assert_int_equal(check_track(r, "v64"), 100);
                rig_free(r);
                coded_free(&video);
        }
}

static int key_before(const struct coded *c, int64_t us)
{
        int key = 0;
        for (int i = 0; i < c->count && c->frames[i].dts_us <= us; i++)
                key = c->frames[i].flags & FRAME_KEY ? i : key;
        return key;
}

/* The shortest and the longest step of a limited rung, in ms, when another writer goes on after one of its chunks, whichever. */
static void steps_of_two_writers(int fps, int fps_max, int64_t *least, int64_t *most)
{
        struct coded video;
        coded_video(&video, 176, 96, (AVRational){fps, 1}, 3 * fps, 0, 15, 0);
        struct rig *first = rig_new();
        first->o.ladder = (struct ladder){.video = {{"v96", 96, fps_max, 300000}}, .video_count = 1};
        rig_open(first, &video, NULL);
        push_all(first, &video, NULL);
        drain(first);
        const struct track *t = track_named(first, "v96");
        const struct out_chunk *o;
        *least = INT64_MAX, *most = 0;
        for (int at = 0; (o = next_chunk(first, t, &at)) && o->c.segment < 2;) {
                struct rig *second = rig_new();
                second->o.ladder = first->o.ladder;
                second->o.resume_count = 1;
                second->o.resume[0] = answer_after(t, o);
                rig_open(second, &video, NULL);
                for (int i = key_before(&video, second->o.resume[0].end_us); i < video.count; i++)
                        push(second, &video.frames[i]);
                drain(second);
                int64_t times[200];
                int n = times_of(second, "v96", NULL, times, times_of(first, "v96", o, times, 0));
                for (int i = 1; i < n; i++) {
                        int64_t step = (times[i] - times[i - 1]) / 90;
                        *least = step < *least ? step : *least;
                        *most = step > *most ? step : *most;
                }
                rig_free(second);
        }
        rig_free(first);
        coded_free(&video);
}

static void test_a_limited_rung_that_goes_on_keeps_its_steps(void **state)
{
        (void)state;
        static const int cases[][3] = {{60, 30, 33}, {50, 30, 40}, {24, 15, 83}};
        int64_t least, most;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                steps_of_two_writers(cases[i][0], cases[i][1], &least, &most);
                assert_in_range(least, cases[i][2] - 1, cases[i][2] + 1);
                assert_in_range(most, cases[i][2] - 1, cases[i][2] + 1);
        }
        steps_of_two_writers(25, 15, &least, &most); /* half of these segments begin with the other picture: one step may be off */
        assert_in_range(least, 40, 80);
        assert_in_range(most, 80, 120);
}

static struct rig *in_lockstep(const struct coded *video, const struct coded *audio, int64_t epoch_us, int64_t resume_us)
{
        struct rig *r = rig_new();
        r->o.epoch_us = epoch_us;
        r->o.lockstep_segments = 3;
        r->o.ladder.video[1].fps_max = 15; /* 12.5: three seconds have no whole number of pictures */
        if (resume_us) {
                r->o.resume_count = 3;
                r->o.resume[0] = (struct job_resume){.track = "v96", .end_us = resume_us};
                r->o.resume[1] = (struct job_resume){.track = "v64", .end_us = resume_us};
                r->o.resume[2] = (struct job_resume){.track = "a64", .end_us = resume_us};
        }
        rig_open(r, video, audio);
        push_all(r, video, audio);
        drain(r);
        return r;
}

static struct reader bytes_from(struct rig *r, const char *track, uint32_t segment)
{
        struct track *t = track_named(r, track);
        struct reader out;
        const struct out_chunk *o;
        for (int at = 0; (o = next_chunk(r, t, &at)) && o->c.segment < segment;)
                ;
        assert_non_null(o);
        reader_init(&out, t->file + o->at, t->file_len - o->at);
        return out;
}

static bool same_from(struct rig *a, struct rig *b, const char *track, uint32_t segment)
{
        struct reader x = bytes_from(a, track, segment), y = bytes_from(b, track, segment);
        size_t len = reader_left(&x);
        return reader_left(&y) == len && memcmp(reader_bytes(&x, len), reader_bytes(&y, len), len) == 0;
}

static void test_two_transcoders_in_lockstep_make_the_same_bytes_whenever_they_began(void **state)
{
        (void)state;
        struct coded video, audio;
        int64_t epoch_us = clock_wall_us() + NEVER_SLATE_US;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 200, 2, 50, 0);
        coded_audio(&audio, 48000, 2, 375, 0);
        struct rig *first = in_lockstep(&video, &audio, epoch_us, 0), *again = in_lockstep(&video, &audio, epoch_us, 0);
        struct rig *later = in_lockstep(&video, &audio, epoch_us, 4440000);
        for (int i = 0; i < 3; i++) {
                const char *name = i == 2 ? "a64" : i ? "v64" : "v96";
                assert_true(same_from(first, again, name, 0));
                assert_true(same_from(first, later, name, 6));
        }
        assert_false(same_from(first, later, "v96", 5)); /* not before: its rate control began in the middle */
        assert_false(same_from(first, later, "a64", 5));
        assert_int_equal(check_track(first, "v96"), 200);
        assert_int_equal(check_track(first, "v64"), 101); /* 38 in each three seconds */
        struct rig *alone = rig_new();
        rig_open(alone, &video, &audio);
        push_all(alone, &video, &audio);
        drain(alone);
        assert_int_equal(check_track(first, "a64"), check_track(alone, "a64")); /* no frame is lost on the way */
        rig_free(alone);
        assert_in_range(tone_hz(track_named(first, "a64"), AUDIO_TIMESCALE * 11 / 2), 439, 441); /* over a new encoder's begin */
        rig_free(first);
        rig_free(again);
        rig_free(later);
        coded_free(&video);
        coded_free(&audio);
}

static void test_a_session_that_goes_on_keeps_its_rungs_though_the_source_is_smaller(void **state)
{
        (void)state;
        struct coded video;
        coded_video(&video, 88, 48, (AVRational){25, 1}, 50, 0, 25, 7000000);
        struct rig *r = rig_new();
        r->o.resume_count = 1;
        r->o.resume[0] = (struct job_resume){.track = "v96", .end_us = 7000000};
        rig_open(r, &video, NULL);
        push_all(r, &video, NULL);
        drain(r);
        assert_int_equal(r->track_count, 1);
        assert_int_equal(check_track(r, "v96"), 50);
        read_size(track_named(r, "v96"));
        assert_int_equal(track_named(r, "v96")->height, 96);
        rig_free(r);
        coded_free(&video);
}

/* The writer before died when only the small rung had a chunk stored. */
static void test_tracks_that_had_no_chunk_yet_are_not_lost_for_ever(void **state)
{
        (void)state;
        struct coded video, audio;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 75, 0, 25, 0);
        coded_audio(&audio, 48000, 2, 141, 0);
        struct rig *r = rig_new();
        r->o.resume_count = 2;
        r->o.resume[0] = (struct job_resume){.track = "v64", .end_us = 200000};
        r->o.resume[1] = (struct job_resume){.track = PICTURES_TRACK, .end_us = 2000000}; /* which is no reason either */
        rig_open(r, &video, &audio);
        push_all(r, &video, &audio);
        drain(r);
        assert_int_equal(check_track(r, "v64"), 70);
        assert_int_equal(check_track(r, "v96"), 50);
        check_track(r, "a64");
        assert_int_equal(track_named(r, "v96")->info.start_us, 1000000);
        assert_int_equal(track_named(r, "a64")->info.start_us, 1000000);
        rig_free(r);
        coded_free(&video);
        coded_free(&audio);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_session_that_goes_on_continues_with_the_very_next_frame),
                cmocka_unit_test(test_one_that_leaves_makes_nothing_that_the_next_one_would_make_otherwise),
                cmocka_unit_test(test_a_limited_rung_that_goes_on_keeps_its_steps),
                cmocka_unit_test(test_every_picture_once_of_a_changing_rate_after_whichever_chunk_a_writer_is_lost),
                cmocka_unit_test(test_every_picture_once_of_a_changing_rate_whenever_a_writer_leaves),
                cmocka_unit_test(test_a_picture_sooner_than_the_writer_before_foresaw_begins_the_next_segment),
                cmocka_unit_test(test_what_is_sent_a_second_time_is_there_once),
                cmocka_unit_test(test_two_transcoders_in_lockstep_make_the_same_bytes_whenever_they_began),
                cmocka_unit_test(test_a_session_that_goes_on_keeps_its_rungs_though_the_source_is_smaller),
                cmocka_unit_test(test_tracks_that_had_no_chunk_yet_are_not_lost_for_ever),
        };
        log_init("test", LOG_ERROR);
        av_log_set_level(AV_LOG_QUIET); /* until the pipeline takes libav's log over */
        return cmocka_run_group_tests(tests, NULL, NULL);
}
