/* cues (ingestd): what is said goes into the next picture, once, and no more of it than there is room for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/aac_data.h"
#include "common/avc.h"
#include "ingestd/cues.h"

#define SECOND INT64_C(1000000)

static const uint8_t unit[] = {0, 0, 0, 2, 0x65, 0x88};
static struct cue seen[64];
static int seen_count;

static bool see(const uint8_t *payload, size_t len)
{
        static uint8_t kept[64][AVC_SEI_BYTES_MAX];
        memcpy(kept[seen_count], payload, len);
        assert_int_equal(cue_message_read(&seen[seen_count], kept[seen_count], len, 20 * SECOND), 0);
        seen_count++;
        return false;
}

static bool say(struct cues *c, const char *text, uint32_t at_ms, int64_t now_us)
{
        struct amf_cue said = {.at_ms = at_ms, .cue = {.duration_ms = CUE_NO_DURATION, .body_len = strlen(text)}};
        memcpy(said.body, text, strlen(text));
        said.cue.body = said.body;
        return cues_keep(c, &said, now_us);
}

/* What the next picture takes along, shown at 20 s of the broadcast. */
static void picture(struct cues *c, uint32_t dts_ms, int32_t cts_ms)
{
        struct buf *b = buf_copy(unit, sizeof(unit));
        const struct flv_frame f = {.track = TRACK_VIDEO, .dts_ms = dts_ms, .cts_ms = cts_ms, .length_size = AVC_LENGTH_SIZE, .bytes = b};
        size_t lost;
        struct buf *with = cues_into(c, &f, false, &lost);
        seen_count = 0;
        assert_int_equal(lost, 0);
        avc_has_sei(AVC_LENGTH_SIZE, with->data, with->len, AVC_SEI_UNREGISTERED, see);
        buf_unref(&with);
        buf_unref(&b);
}

static void test_what_is_said_lies_where_its_time_says_beside_the_next_picture(void **state)
{
        (void)state;
        struct cues c = {0};
        assert_true(say(&c, "one", 5000, SECOND));
        assert_true(say(&c, "two", 5030, SECOND));
        picture(&c, 5020, 80);
        assert_int_equal(seen_count, 2);
        assert_memory_equal(seen[0].body, "one", 3);
        assert_int_equal(seen[0].at_us, 20 * SECOND - 100000);
        assert_memory_equal(seen[1].body, "two", 3);
        assert_int_equal(seen[1].at_us, 20 * SECOND - 70000);
        picture(&c, 5060, 0);
        assert_int_equal(seen_count, 0);
}

static void test_timestamps_that_wrap_or_mean_nothing_do_no_harm(void **state)
{
        (void)state;
        struct cues c = {0};
        say(&c, "wraps", UINT32_MAX - 9, SECOND);
        picture(&c, 30, 0);
        assert_int_equal(seen[0].at_us, 20 * SECOND - 40000);
        say(&c, "ahead", 35000, SECOND);
        say(&c, "zero", 0, SECOND);
        picture(&c, 25000, 0);
        assert_int_equal(seen[0].at_us, 30 * SECOND);
        assert_int_equal(seen[1].at_us, 20 * SECOND);
}

static void test_who_says_too_much_is_not_heard_until_time_has_passed(void **state)
{
        (void)state;
        static char text[1001];
        struct cues c = {0};
        int kept = 0;
        memset(text, 'x', 1000);
        for (int i = 0; i < 100; i++) {
                kept += say(&c, text, 0, SECOND);
                cues_fini(&c);
        }
        assert_int_equal(kept, CUES_BYTES_ONCE / (1000 + CUES_EACH));
        assert_false(say(&c, text, 0, SECOND));
        assert_true(say(&c, text, 0, 2 * SECOND));
        cues_fini(&c);
        c = (struct cues){0};
        for (int i = 0; i < CUES_WAIT; i++)
                assert_true(say(&c, "x", 0, SECOND));
        assert_false(say(&c, "x", 0, SECOND)); /* no picture comes */
        picture(&c, 0, 0);
        assert_int_equal(seen_count, CUES_WAIT);
        assert_true(say(&c, "x", 0, SECOND));
        cues_fini(&c);
}

/* An object of 16 KiB takes a millisecond to read, though it is not kept then. */
static void test_what_is_not_kept_is_not_read_without_end_either(void **state)
{
        (void)state;
        struct cues c = {0};
        int heard = 0;
        for (int i = 0; i < 1000; i++)
                heard += cues_hear(&c, AMF_CUE_MESSAGE_MAX, SECOND);
        assert_in_range(heard, 1, CUES_HEARD_ONCE / AMF_CUE_MESSAGE_MAX);
        assert_true(cues_hear(&c, AMF_CUE_MESSAGE_MAX - CUES_EACH, 2 * SECOND));
        assert_true(cues_hear(&c, 200, 3 * SECOND));
        for (int i = 0; i < CUES_WAIT; i++)
                assert_true(say(&c, "x", 0, SECOND));
        assert_false(cues_hear(&c, 200, 9 * SECOND)); /* no picture comes */
        cues_fini(&c);
}

static void test_a_picture_without_room_goes_without(void **state)
{
        (void)state;
        static const uint8_t tiny[] = {2, 0x65, 0x88};
        static char text[400];
        struct cues c = {0};
        struct buf *b = buf_copy(tiny, sizeof(tiny));
        const struct flv_frame f = {.track = TRACK_VIDEO, .length_size = 1, .bytes = b};
        size_t lost;
        memset(text, 'x', sizeof(text) - 1);
        assert_true(say(&c, text, 0, SECOND));
        struct buf *with = cues_into(&c, &f, false, &lost);
        assert_int_equal(lost, 1);
        assert_ptr_equal(with, b);
        buf_unref(&with);
        buf_unref(&b);
}

static void see_in_sound(void *arg, const uint8_t *message, size_t len)
{
        (void)arg;
        see(message, len);
}

static void test_sound_takes_along_what_there_is_no_picture_for(void **state)
{
        (void)state;
        static const uint8_t sound[] = {0x21, 0x10, 4};
        static char text[CUE_BODY_MAX + 1];
        struct cues c = {0};
        memset(text, 'x', CUE_BODY_MAX);
        assert_true(say(&c, "one", 5000, SECOND));
        assert_true(say(&c, text, 5030, SECOND));
        struct buf *b = buf_copy(sound, sizeof(sound));
        struct flv_frame f = {.track = TRACK_AUDIO, .dts_ms = 5010, .bytes = b};
        size_t lost;
        struct buf *with = cues_into(&c, &f, true, &lost); /* the first of those that have waited takes along what lies before it, */
        seen_count = 0;
        aac_data_each(with->data, with->len, see_in_sound, NULL);
        assert_int_equal(seen_count, 1);
        assert_memory_equal(seen[0].body, "one", 3);
        buf_unref(&with);
        f.dts_ms = 5040; /* and the next one the rest */
        assert_true(say(&c, "two", 5000, SECOND));
        with = cues_into(&c, &f, true, &lost);
        seen_count = 0;
        assert_int_equal(lost, 0);
        aac_data_each(with->data, with->len, see_in_sound, NULL);
        assert_int_equal(seen_count, 2);
        assert_int_equal(seen[0].body_len, CUE_BODY_MAX);
        assert_int_equal(seen[0].at_us, 20 * SECOND - 10000);
        assert_memory_equal(seen[1].body, "two", 3);
        assert_memory_equal(with->data + with->len - sizeof(sound), sound, sizeof(sound));
        buf_unref(&with);
        buf_unref(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_said_lies_where_its_time_says_beside_the_next_picture),
                cmocka_unit_test(test_timestamps_that_wrap_or_mean_nothing_do_no_harm),
                cmocka_unit_test(test_who_says_too_much_is_not_heard_until_time_has_passed),
                cmocka_unit_test(test_what_is_not_kept_is_not_read_without_end_either),
                cmocka_unit_test(test_sound_takes_along_what_there_is_no_picture_for),
                cmocka_unit_test(test_a_picture_without_room_goes_without),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
