#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "edged/newest.h"

#define OLD "20260131T123456Z-ffffffff"
#define NEW "20260131T123457Z-00000000"

static const char *found(const char *text)
{
        static char session[SESSION_ID_MAX + 1];
        return newest_find((const uint8_t *)text, strlen(text), session) ? session : "";
}

static void test_a_session_is_found_where_addresses_stand_in_any_format(void **state)
{
        (void)state;
        assert_string_equal(found("<SegmentTemplate initialization=\"" OLD "/$RepresentationID$/init.mp4\""), OLD);
        assert_string_equal(found("#EXTM3U\n" NEW "/v720/playlist.m3u8\n"), NEW);
        assert_string_equal(found(NEW "/v720"), NEW);
}

static void test_what_only_looks_like_one_is_none(void **state)
{
        (void)state;
        assert_string_equal(found(""), "");
        assert_string_equal(found("\"" OLD), "");                        /* cut off */
        assert_string_equal(found("<Title>" OLD "/ is back</Title>"), ""); /* a broadcaster's words */
        assert_string_equal(found("\"" OLD "\""), "");
        assert_string_equal(found("\"20260131T123456Z-FFFFFFFF/\""), "");
        assert_string_equal(found("\"2026013xT123456Z-ffffffff/\""), "");
}

static void test_the_older_of_a_stream_is_told_from_the_newer(void **state)
{
        (void)state;
        struct newest *n = mem_alloc(sizeof(*n));
        assert_false(newest_is_old(n, "cam", OLD)); /* nothing was seen */
        newest_saw(n, "cam", NEW);
        assert_true(newest_is_old(n, "cam", OLD));
        assert_false(newest_is_old(n, "cam", NEW));
        assert_false(newest_is_old(n, "cam2", OLD));
        newest_saw(n, "cam", OLD); /* it is all there is now */
        assert_false(newest_is_old(n, "cam", OLD));
        free(n);
}

static void test_more_streams_than_places_only_lose_the_guard(void **state)
{
        (void)state;
        struct newest *n = mem_alloc(sizeof(*n));
        char stream[16];
        for (int i = 0; i < 20 * NEWEST_STREAMS; i++) {
                snprintf(stream, sizeof(stream), "s%d", i);
                assert_false(newest_is_old(n, stream, OLD));
                newest_saw(n, stream, NEW);
                assert_true(newest_is_old(n, stream, OLD));
        }
        free(n);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_session_is_found_where_addresses_stand_in_any_format),
                cmocka_unit_test(test_what_only_looks_like_one_is_none),
                cmocka_unit_test(test_the_older_of_a_stream_is_told_from_the_newer),
                cmocka_unit_test(test_more_streams_than_places_only_lose_the_guard),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
