/* cues (transcoderd): what pictures say goes into chunks, and no more of it than a chunk has room for, whoever put it into the picture.
 * */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/aac_data.h"
#include "common/cue.h"
#include "transcoderd/encode/cues.h"
#include "transcoderd/encode/grid.h"

static AVFrame *picture(void)
{
        AVFrame *f = av_frame_alloc();
        f->pts = 20 * INT64_C(1000000);
        return f;
}

static void say(AVFrame *f, const char *body, size_t len)
{
        uint8_t sei[CUE_MESSAGE_MAX];
        const struct cue c = {.duration_ms = CUE_NO_DURATION, .body = (const uint8_t *)body, .body_len = len};
        size_t n = cue_message_write(sei, sizeof(sei), &c, 0);
        memcpy(av_frame_new_side_data(f, AV_FRAME_DATA_SEI_UNREGISTERED, n)->data, sei, n);
}

static size_t boxes_of(struct cues *c)
{
        struct buf *b = cues_give(c);
        size_t n = 0;
        for (size_t at = 0; b && at < b->len; n++)
                at += (size_t)b->data[at + 2] << 8 | b->data[at + 3];
        buf_unref(&b);
        return n;
}

static void test_what_a_picture_says_is_said_once(void **state)
{
        (void)state;
        struct cues c = {0};
        AVFrame *f = picture();
        say(f, "one", 3), say(f, "two", 3), say(f, "one", 3);
        memset(av_frame_new_side_data(f, AV_FRAME_DATA_SEI_UNREGISTERED, 40)->data, 7, 40); /* somebody else's */
        assert_int_equal(cues_add(&c, f, VIDEO_TIMESCALE), 0);
        assert_int_equal(boxes_of(&c), 2);
        assert_int_equal(boxes_of(&c), 0);
        av_frame_free(&f);
}

/* No ingestd does that, but an encoder may write such messages itself. */
static void test_of_a_picture_that_says_thousands_the_first_are_looked_at(void **state)
{
        (void)state;
        struct cues c = {0};
        AVFrame *f = picture();
        for (unsigned i = 0; i < 5000; i++) {
                char body[8];
                say(f, body, (size_t)snprintf(body, sizeof(body), "%u", i));
        }
        assert_int_equal(cues_add(&c, f, VIDEO_TIMESCALE), 5000 - CUES_OF_FRAME);
        assert_int_equal(boxes_of(&c), CUES_OF_FRAME);
        av_frame_free(&f);
}

static void test_what_waits_is_bounded(void **state)
{
        (void)state;
        static char body[CUE_BODY_MAX];
        struct cues c = {0};
        size_t lost = 0;
        for (unsigned i = 0; i < 100; i++) {
                AVFrame *f = picture();
                body[0] = (char)i;
                say(f, body, sizeof(body));
                lost += cues_add(&c, f, VIDEO_TIMESCALE);
                av_frame_free(&f);
        }
        assert_in_range(c.boxes->len, CUES_BYTES_WAIT - 2 * CUE_BODY_MAX, CUES_BYTES_WAIT);
        assert_int_equal(boxes_of(&c) + lost, 100);
}

static void test_what_sound_says_lies_where_the_sound_does(void **state)
{
        (void)state;
        static const uint8_t sound[] = {0x21, 0x10, 4};
        uint8_t message[CUE_MESSAGE_MAX];
        struct cues c = {0};
        const struct cue said = {.duration_ms = CUE_NO_DURATION, .body = (const uint8_t *)"one", .body_len = 3};
        size_t n = cue_message_write(message, sizeof(message), &said, 40);
        struct frame f = {.track = TRACK_AUDIO, .codec = CODEC_AAC, .dts_us = 2 * INT64_C(1000000),
                          .bytes = aac_data_add(sound, sizeof(sound), message, n)};
        assert_int_equal(cues_hear(&c, &f, AUDIO_TIMESCALE), 0);
        struct buf *b = cues_give(&c);
        struct cue out;
        assert_int_equal(cue_box_read(&out, b->data + 8, b->len - 8), 0);
        assert_int_equal(out.at_us, 2040000);
        assert_memory_equal(out.body, "one", 3);
        buf_unref(&b);
        buf_unref(&f.bytes);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_a_picture_says_is_said_once),
                cmocka_unit_test(test_of_a_picture_that_says_thousands_the_first_are_looked_at),
                cmocka_unit_test(test_what_waits_is_bounded),
                cmocka_unit_test(test_what_sound_says_lies_where_the_sound_does),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
