/* A pipeline's codecs are opened by its own threads: the loop has other streams to carry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <libavcodec/avcodec.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/pipeline_fixture.h"

static pthread_t loop_thread;
static atomic_int by_loop, by_others;
static atomic_bool watching;

/* Asked for by its symbol, so this one is taken. */
int avcodec_open2(AVCodecContext *c, const AVCodec *codec, AVDictionary **options)
{
        static int (*real)(AVCodecContext *c, const AVCodec *codec, AVDictionary **options);
        if (!real)
                *(void **)&real = dlsym(RTLD_NEXT, "avcodec_open2");
        if (atomic_load(&watching))
                atomic_fetch_add(pthread_equal(pthread_self(), loop_thread) ? &by_loop : &by_others, 1);
        return real(c, codec, options);
}

static void test_no_codec_is_opened_by_the_loop(void **state)
{
        (void)state;
        struct coded video, audio;
        struct rig *r = rig_new();
        coded_video(&video, 176, 96, (AVRational){25, 1}, 50, 2, 25, 0);
        coded_audio(&audio, 48000, 2, 100, 0);
        loop_thread = pthread_self();
        atomic_store(&watching, true);
        rig_open(r, &video, &audio);
        push_all(r, &video, &audio);
        drain(r);
        atomic_store(&watching, false);
        assert_int_equal(by_loop, 0);
        assert_true(by_others >= 2 + 3); /* two decoders, and as many encoders as the ladder has rungs */
        assert_int_equal(r->track_count, 3);
        rig_free(r);
        coded_free(&video);
        coded_free(&audio);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_no_codec_is_opened_by_the_loop),
        };
        log_init("test", LOG_ERROR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
