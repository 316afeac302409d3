/* When encoding is behind, with real codecs: only when a frame that can be encoded has waited. What a broadcaster sends wrong, too
 * late, too soon or not at all is no reason to leave out pictures, nor to refuse other streams. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pipeline_fixture.h"

#define SHED_LOOKS_US (1600 * US_PER_MS) /* within it shed.h looks often enough to find encoding behind, if it is */

/* All that is pushed is due, and no slate comes: its clock is ahead of all media. */
static struct rig *rig_of_due_media(const struct coded *video, const struct coded *audio)
{
        struct rig *r = rig_new();
        r->o.epoch_us = clock_wall_us() - 60 * US_PER_S;
        r->o.slate_after_us = NEVER_SLATE_US;
        r->o.shed_after_us = US_PER_S;
        rig_open(r, video, audio);
        return r;
}

static int64_t behind_us(const struct rig *r)
{
        struct pipeline_stats s;
        pipeline_stats(r->p, &s);
        return s.behind_us;
}

static void run_until_all_is_taken(struct rig *r)
{
        while (pipeline_room(r->p) < PIPELINE_FAR_FRAMES)
                uv_run(&r->loop, UV_RUN_NOWAIT);
}

static void refuse(struct frame *f)
{
        buf_unref(&f->bytes);
        f->bytes = buf_copy("\0\0\1\0zzz", 7); /* a NAL unit of 256 bytes, of which there are three */
}

/* Nothing of pictures [from, to) can be decoded, and then good ones come: none of those may be left out. */
static void nothing_is_behind(struct coded *video, int from, int to)
{
        struct rig *r = rig_of_due_media(video, NULL);
        for (int i = 0; i < to; i++)
                push(r, &video->frames[i]);
        run_until_all_is_taken(r);
        assert_int_equal(behind_us(r), 0);
        for (int64_t until_us = clock_mono_us() + SHED_LOOKS_US; clock_mono_us() < until_us;) {
                uv_run(&r->loop, UV_RUN_NOWAIT);
                assert_int_equal(behind_us(r), 0);
        }
        for (int i = to; i < video->count; i++)
                push(r, &video->frames[i]);
        drain(r);
        struct pipeline_stats s;
        pipeline_stats(r->p, &s);
        assert_int_equal(s.shed, 0);
        assert_true(s.decoded >= (uint64_t)(from + video->count - to));
        rig_free(r);
}

static void test_pictures_that_the_decoder_refuses_make_nothing_late(void **state)
{
        (void)state;
        struct coded video;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 250, 0, 25, 0);
        for (int i = 25; i < 200; i++)
                refuse(&video.frames[i]);
        nothing_is_behind(&video, 25, 200);
        coded_free(&video);
}

/* A publisher that stood still for ten seconds, or is moved up since it is too slow, goes on in mid-GOP: all the pictures up to
 * the next keyframe may be of no use. */
static void test_a_publisher_that_goes_on_without_a_keyframe_makes_nothing_late(void **state)
{
        (void)state;
        struct coded video;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 250, 0, 225, 0);
        for (int i = 50; i < 250; i++)
                video.frames[i].dts_us += 10 * US_PER_S;
        video.frames[50].flags |= FRAME_BREAK;
        nothing_is_behind(&video, 50, 225);
        coded_free(&video);
}

static void test_sound_that_the_decoder_refuses_makes_nothing_late(void **state)
{
        (void)state;
        struct coded audio;
        coded_audio(&audio, 48000, 2, 400, 0);
        for (int i = 40; i < audio.count; i++)
                memset(audio.frames[i].bytes->data, 0xff, audio.frames[i].bytes->len);
        struct rig *r = rig_of_due_media(NULL, &audio);
        push_all(r, NULL, &audio);
        run_until_all_is_taken(r);
        assert_int_equal(behind_us(r), 0);
        drain(r);
        rig_free(r);
        coded_free(&audio);
}

/* Seventeen seconds within a moment: encoding is ahead of the clock all the time, however much there is still to do. */
static void test_a_film_that_comes_all_at_once_makes_nothing_late(void **state)
{
        (void)state;
        struct coded video;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 425, 0, 25, 0);
        struct rig *r = rig_new();
        r->o.epoch_us = clock_wall_us();
        r->o.shed_after_us = US_PER_S;
        rig_open(r, &video, NULL);
        for (int i = 0; i < video.count; i++) {
                push(r, &video.frames[i]);
                int64_t late_us = behind_us(r);
                assert_true(late_us <= clock_wall_us() - r->o.epoch_us);
        }
        while (pipeline_room(r->p) < PIPELINE_FAR_FRAMES) {
                uv_run(&r->loop, UV_RUN_NOWAIT);
                int64_t late_us = behind_us(r);
                assert_true(late_us <= clock_wall_us() - r->o.epoch_us);
        }
        drain(r);
        assert_int_equal(check_track(r, "v96"), video.count);
        rig_free(r);
        coded_free(&video);
}

/* The same, when it is due: now it waits for the encoder. */
static void test_what_is_due_and_waits_for_its_encoder_is_late(void **state)
{
        (void)state;
        struct coded video;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 425, 0, 25, 0);
        struct rig *r = rig_of_due_media(&video, NULL);
        int64_t most_us = 0;
        for (int i = 0; i < video.count; i++) {
                push(r, &video.frames[i]);
                int64_t late_us = behind_us(r);
                most_us = late_us > most_us ? late_us : most_us;
        }
        assert_in_range(most_us, US_PER_S, 17 * US_PER_S);
        drain(r);
        assert_int_equal(behind_us(r), 0);
        assert_int_equal(check_track(r, "v96"), video.count);
        rig_free(r);
        coded_free(&video);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_pictures_that_the_decoder_refuses_make_nothing_late),
                cmocka_unit_test(test_a_publisher_that_goes_on_without_a_keyframe_makes_nothing_late),
                cmocka_unit_test(test_sound_that_the_decoder_refuses_makes_nothing_late),
                cmocka_unit_test(test_a_film_that_comes_all_at_once_makes_nothing_late),
                cmocka_unit_test(test_what_is_due_and_waits_for_its_encoder_is_late),
        };
        log_init("test", LOG_ERROR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
