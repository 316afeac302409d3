/* The whole pipeline with real codecs: frames, records and times that no broadcaster should send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/err.h"
#include "tests/unit/pipeline_fixture.h"

static void test_garbage_is_counted_and_survived(void **state)
{
        (void)state;
        struct coded video, audio;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 100, 0, 25, 0);
        coded_audio(&audio, 48000, 2, 188, 0);
        /* A second's worth of pictures and sound is noise of random length. */
        srand(7);
        for (int i = 30; i < 50; i++) {
                struct frame *f = &video.frames[i];
                buf_unref(&f->bytes);
                f->bytes = buf_new((size_t)(rand() % 2000 + 1));
                for (size_t n = 0; n < f->bytes->len; n++)
                        f->bytes->data[n] = (uint8_t)rand();
        }
        for (int i = 60; i < 80; i++)
                memset(audio.frames[i].bytes->data, 0xff, audio.frames[i].bytes->len);
        struct rig *r = rig_new();
        rig_open(r, &video, &audio);
        push_all(r, &video, &audio);
        struct buf *bad = buf_copy("\1\144\0\37\377\341\377\377zzz", 11);
        struct frame config = {.track = TRACK_VIDEO, .codec = CODEC_H264, .flags = FRAME_CONFIG, .bytes = bad};
        push(r, &config);
        drain(r);
        assert_int_equal(r->failed, 0);
        struct pipeline_stats s;
        pipeline_stats(r->p, &s);
        assert_true(s.corrupt > 0);
        /* The hole is filled: no segment is missing, and the end is where it would have been. */
        assert_true(check_track(r, "v96") >= 80);
        check_track(r, "a64");
        assert_in_range(r->end_us, 3950000, 4100000);
        buf_unref(&bad);
        rig_free(r);
        coded_free(&video);
        coded_free(&audio);
}

/* Some cameras send no usable record. */
static void test_frames_that_are_of_no_use_are_counted(void **state)
{
        (void)state;
        struct coded video;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 25, 0, 25, 0);
        struct buf *good = video.config;
        video.config = buf_copy("", 0);
        struct rig *r = rig_new();
        rig_open(r, &video, NULL);
        push_all(r, &video, NULL);
        drain(r);
        struct pipeline_stats s;
        pipeline_stats(r->p, &s);
        assert_int_equal(s.decoded, 0);
        assert_int_equal(s.corrupt, 1 + 25); /* the record, and each that would need one */
        buf_unref(&good);
        rig_free(r);
        coded_free(&video);
}

static void test_codecs_that_are_not_known_are_refused(void **state)
{
        (void)state;
        struct rig *r = rig_new();
        assert_int_equal(pipeline_open(&r->p, &r->mb, &r->o, &events, r), ERR_UNSUPPORTED);
        r->o.codecs[TRACK_VIDEO] = 77;
        assert_int_equal(pipeline_open(&r->p, &r->mb, &r->o, &events, r), ERR_UNSUPPORTED);
        r->o.codecs[TRACK_VIDEO] = CODEC_AAC;
        assert_int_equal(pipeline_open(&r->p, &r->mb, &r->o, &events, r), ERR_UNSUPPORTED);
        assert_null(r->p);
        rig_free(r);
}

static void test_video_without_a_size_fails_the_session(void **state)
{
        (void)state;
        struct coded video;
        coded_video(&video, 8, 8, (AVRational){25, 1}, 5, 0, 25, 0);
        struct rig *r = rig_new();
        rig_open(r, &video, NULL);
        push_all(r, &video, NULL);
        while (!r->failed)
                uv_run(&r->loop, UV_RUN_ONCE);
        assert_int_equal(r->failed, ERR_UNSUPPORTED);
        assert_non_null(strstr(r->failed_text, "8x8"));
        rig_free(r);
        coded_free(&video);
}

static void test_times_that_cannot_be_are_dropped(void **state)
{
        (void)state;
        struct coded video, audio;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 25, 0, 5, 0);
        coded_audio(&audio, 48000, 2, 47, 0);
        video.frames[5].dts_us = INT64_MAX;
        video.frames[10].dts_us = INT64_MIN;
        video.frames[15].cts_us = INT32_MIN;
        audio.frames[7].dts_us = INT64_MAX - 5;
        audio.frames[9].dts_us = -1;
        struct rig *r = rig_new();
        rig_open(r, &video, &audio);
        for (int i = 0; i < 25; i++)
                push(r, &video.frames[i]);
        for (int i = 0; i < audio.count; i++)
                push(r, &audio.frames[i]);
        drain(r);
        assert_int_equal(r->failed, 0);
        check_track(r, "a64");
        struct pipeline_stats s;
        pipeline_stats(r->p, &s);
        assert_true(s.late_dropped + s.corrupt >= 4);
        rig_free(r);
        coded_free(&video);
        coded_free(&audio);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_garbage_is_counted_and_survived),
                cmocka_unit_test(test_frames_that_are_of_no_use_are_counted),
                cmocka_unit_test(test_codecs_that_are_not_known_are_refused),
                cmocka_unit_test(test_video_without_a_size_fails_the_session),
                cmocka_unit_test(test_times_that_cannot_be_are_dropped),
        };
        log_init("test", LOG_ERROR);
        av_log_set_level(AV_LOG_QUIET); /* until the pipeline takes libav's log over */
        return cmocka_run_group_tests(tests, NULL, NULL);
}
