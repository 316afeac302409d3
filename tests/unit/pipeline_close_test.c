/* Pipelines that are closed: their threads are ended by the reaper, not by the loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/patience.h"
#include "tests/unit/pipeline_fixture.h"

static void test_no_event_after_close(void **state)
{
        (void)state;
        struct coded video, audio;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 60, 2, 25, 0);
        coded_audio(&audio, 48000, 2, 100, 0);
        for (int n = 0; n < 60; n += 7) {
                struct rig *r = rig_new();
                rig_open(r, &video, &audio);
                struct coded part = {.count = n};
                memcpy(part.frames, video.frames, (size_t)n * sizeof(struct frame));
                push_all(r, &part, &audio);
                if (n % 2)
                        pipeline_drain(r->p, false);
                pipeline_close(r->p, NULL);
                r->p = NULL;
                int chunks = r->chunk_count, tracks = r->track_count;
                rig_free(r); /* runs the loop to its end; an event would touch the freed rig or count below */
                assert_true(chunks >= 0 && tracks >= 0);
        }
        coded_free(&video);
        coded_free(&audio);
}

#define CLOSED_AT_ONCE 8

/* Holds the pipelines' own threads: the bytes of a frame that they let go are this, and that waits for the test. */
static struct {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        int held;
        bool open, guard_fired;
} hold = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void wait_in_hold(void *owner)
{
        (void)owner;
        pthread_mutex_lock(&hold.lock);
        hold.held++;
        while (!hold.open)
                pthread_cond_wait(&hold.changed, &hold.lock);
        pthread_mutex_unlock(&hold.lock);
}

static void open_hold(bool by_guard)
{
        pthread_mutex_lock(&hold.lock);
        hold.guard_fired = by_guard && !hold.open;
        hold.open = true;
        pthread_cond_broadcast(&hold.changed);
        pthread_mutex_unlock(&hold.lock);
}

/* A loop that waits for a thread that is held would never end: that is a failure, not a test that hangs. */
static void *guard(void *arg)
{
        int64_t until_us = clock_mono_us() + PATIENCE_US;
        (void)arg;
        for (bool open = false; !open && clock_mono_us() < until_us;) {
                struct timespec ts = {.tv_nsec = 10000000};
                nanosleep(&ts, NULL);
                pthread_mutex_lock(&hold.lock);
                open = hold.open;
                pthread_mutex_unlock(&hold.lock);
        }
        open_hold(true);
        return NULL;
}

static int held_now(void)
{
        pthread_mutex_lock(&hold.lock);
        int n = hold.held;
        pthread_mutex_unlock(&hold.lock);
        return n;
}

static void count_up(void *arg)
{
        ++*(int *)arg;
}

static void on_tick(uv_timer_t *timer)
{
        ++*(int *)timer->data;
}

/* The pipelines of one loop, as in the daemon. */
static struct pipeline *open_on(struct rig *loop, struct rig *heard_by, const struct coded *audio)
{
        struct pipeline *p;
        loop->o.codecs[TRACK_AUDIO] = CODEC_AAC;
        loop->o.config[TRACK_AUDIO] = audio->config;
        assert_int_equal(pipeline_open(&p, &loop->mb, &loop->o, &events, heard_by), 0);
        return p;
}

static void test_the_loop_goes_on_while_eight_pipelines_close(void **state)
{
        (void)state;
        static uint8_t noise[16];
        struct coded audio;
        struct rig *r = rig_new(), *old[CLOSED_AT_ONCE];
        struct pipeline *p[CLOSED_AT_ONCE];
        struct reaper reaper;
        uv_timer_t timer;
        pthread_t guard_thread;
        int ticks = 0, reaped = 0;

        coded_audio(&audio, 48000, 2, 50, 0);
        assert_int_equal(reaper_open(&reaper, CLOSED_AT_ONCE, &r->mb, count_up, &reaped), 0);
        assert_int_equal(pthread_create(&guard_thread, NULL, guard, NULL), 0);
        for (int i = 0; i < CLOSED_AT_ONCE; i++) {
                struct frame f = {.track = TRACK_AUDIO, .codec = CODEC_AAC,
                                  .bytes = buf_wrap(noise, sizeof(noise), wait_in_hold, NULL)};
                old[i] = rig_new();
                p[i] = open_on(r, old[i], &audio);
                for (int k = 0; k < audio.count; k++)
                        pipeline_push(p[i], &audio.frames[k]);
                pipeline_push(p[i], &f);
                buf_unref(&f.bytes);
        }
        while (held_now() < CLOSED_AT_ONCE)
                uv_run(&r->loop, UV_RUN_NOWAIT);
        uv_timer_init(&r->loop, &timer);
        timer.data = &ticks;
        uv_timer_start(&timer, on_tick, 1, 1);
        int heard = 0;
        for (int i = 0; i < CLOSED_AT_ONCE; i++) {
                pipeline_close(p[i], &reaper);
                heard += old[i]->chunk_count;
        }

        /* None of them can end, and the loop turns. So does the session that one of them had, in a new pipeline. */
        r->p = open_on(r, r, &audio);
        push_all(r, NULL, &audio);
        drain(r);
        while (ticks < 50)
                uv_run(&r->loop, UV_RUN_ONCE);
        assert_false(hold.guard_fired);
        assert_int_equal(reaper.closing, CLOSED_AT_ONCE);
        assert_int_equal(reaped, 0);
        assert_int_equal(r->failed, 0);
        check_track(r, "a64");

        open_hold(false);
        while (reaped < CLOSED_AT_ONCE)
                uv_run(&r->loop, UV_RUN_ONCE);
        assert_int_equal(reaper.closing, 0);
        for (int i = 0; i < CLOSED_AT_ONCE; i++) { /* what they still made is nobody's */
                heard -= old[i]->chunk_count;
                rig_free(old[i]);
        }
        assert_int_equal(heard, 0);
        pthread_join(guard_thread, NULL);
        reaper_close(&reaper);
        uv_close((uv_handle_t *)&timer, NULL);
        rig_free(r);
        coded_free(&audio);
}

/* At the end of the process: what is closing is waited for, and nothing of it is left. */
static void test_the_reaper_ends_with_all_that_it_has_taken(void **state)
{
        (void)state;
        struct coded video;
        struct rig *r = rig_new();
        struct reaper reaper;
        int reaped = 0;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 30, 2, 25, 0);
        assert_int_equal(reaper_open(&reaper, CLOSED_AT_ONCE, &r->mb, count_up, &reaped), 0);
        for (int i = 0; i < 3; i++) {
                rig_open(r, &video, NULL);
                push_all(r, &video, NULL);
                pipeline_close(r->p, &reaper);
        }
        r->p = NULL;
        reaper_close(&reaper);
        rig_free(r); /* the mailbox tells of what was reaped before it closes */
        assert_int_equal(reaped, 3);
        assert_int_equal(reaper.closing, 0);
        coded_free(&video);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_no_event_after_close),
                cmocka_unit_test(test_the_loop_goes_on_while_eight_pipelines_close),
                cmocka_unit_test(test_the_reaper_ends_with_all_that_it_has_taken),
        };
        log_init("test", LOG_ERROR);
        av_log_set_level(AV_LOG_QUIET); /* until the pipeline takes libav's log over */
        return cmocka_run_group_tests(tests, NULL, NULL);
}
