/* What the configuration key `ladder` promises: errors that say what was given and what is allowed, the first pattern
 * that fits, nothing above the source. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/err.h"
#include "transcoderd/encode/ladder.h"

static char why[256];

static int check(const char *text)
{
        json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
        assert_non_null(json);
        why[0] = 0;
        int err = ladder_check(&json, why, sizeof(why));
        json_decref(json);
        return err;
}

static struct ladder for_stream(const char *text, const char *stream)
{
        struct ladder l;
        json_t *json = text ? json_loads(text, 0, NULL) : NULL;
        ladder_for_stream(&l, json, stream);
        json_decref(json);
        return l;
}

static void test_default_ladder_is_five_pictures_and_two_sounds(void **state)
{
        (void)state;
        struct ladder l = for_stream(NULL, "cam");
        assert_int_equal(l.video_count, 5);
        assert_int_equal(l.audio_count, 2);
        assert_string_equal(l.video[0].name, "v1080");
        assert_int_equal(l.video[0].bitrate_bps, 4500000);
        assert_int_equal(l.video[4].fps_max, 15);
        assert_string_equal(l.audio[1].name, "a64");
        assert_int_equal(check("[]"), 0);
}

static void test_first_pattern_that_fits_decides(void **state)
{
        (void)state;
        static const char config[] = "[{\"match\": \"cam-*\", \"video\": [{\"height\": 720, \"kbps\": 2000}]},"
                                     " {\"match\": \"cam-1\", \"video\": [{\"height\": 360, \"kbps\": 500}]},"
                                     " {\"match\": \"radio\", \"audio\": [{\"kbps\": 96, \"name\": \"talk\"}]}]";
        assert_int_equal(check(config), 0);
        struct ladder l = for_stream(config, "cam-1");
        assert_int_equal(l.video_count, 1);
        assert_int_equal(l.video[0].height, 720);
        assert_string_equal(l.video[0].name, "v720");
        assert_int_equal(l.video[0].fps_max, 0);
        l = for_stream(config, "radio");
        assert_int_equal(l.video_count, 0);
        assert_string_equal(l.audio[0].name, "talk");
        assert_int_equal(for_stream(config, "other").video_count, 5);
}

static void test_a_pattern_may_have_pictures_of_its_own_with_rungs_or_without(void **state)
{
        (void)state;
        static const char config[] = "[{\"match\": \"door-*\", \"thumbs_s\": 60}, {\"match\": \"none\", \"thumbs_s\": 0, \"video\": [{\"height\": 96, \"kbps\": 100}]},"
                                     " {\"audio\": [{\"kbps\": 96}]}]";
        assert_int_equal(check(config), 0);
        assert_int_equal(for_stream(config, "door-1").thumbs_s, 60);
        assert_int_equal(for_stream(config, "door-1").video_count, 5);
        assert_true(for_stream(config, "none").says_thumbs);
        assert_int_equal(for_stream(config, "none").thumbs_s, 0);
        assert_int_equal(for_stream(config, "none").video_count, 1);
        assert_false(for_stream(config, "other").says_thumbs);
}

static void test_a_pattern_may_have_another_grid_with_rungs_of_its_own_or_without(void **state)
{
        (void)state;
        static const char config[] = "[{\"match\": \"cam-*\", \"chunk_ms\": 100},"
                                     " {\"match\": \"radio\", \"chunk_ms\": 200, \"audio\": [{\"kbps\": 96}]},"
                                     " {\"match\": \"talk\", \"audio\": [{\"kbps\": 96}]}]";
        assert_int_equal(check(config), 0);
        assert_int_equal(for_stream(config, "cam-1").chunk_ms, 100);
        assert_int_equal(for_stream(config, "cam-1").video_count, 5);
        assert_int_equal(for_stream(config, "radio").chunk_ms, 200);
        assert_int_equal(for_stream(config, "radio").video_count, 0);
        assert_int_equal(for_stream(config, "talk").chunk_ms, 0);
        assert_int_equal(for_stream(config, "other").chunk_ms, 0);
}

static void refused(const char *text, const char *given, const char *allowed)
{
        assert_int_equal(check(text), ERR_CONFIG);
        if (!strstr(why, given) || !strstr(why, allowed))
                fail_msg("\"%s\" names neither %s nor %s", why, given, allowed);
}

static void test_errors_name_what_was_given_and_what_is_allowed(void **state)
{
        (void)state;
        refused("{}", "not an array", "match");
        refused("[7]", "entry 0", "object");
        refused("[{}]", "no rung", "one is the least");
        refused("[{\"thumbs_s\": 61}]", "thumbs_s", "0 to 60");
        refused("[{\"thumbs_s\": \"5\"}]", "thumbs_s", "0 to 60");
        refused("[{\"thumbs_s\": 5, \"video\": []}]", "no rung", "one is the least");
        refused("[{\"vidoe\": []}]", "vidoe", "video");
        refused("[{\"chunk_ms\": 150}]", "entry 0", "100 or 200");
        refused("[{\"chunk_ms\": \"100\"}]", "chunk_ms", "100 or 200");
        refused("[{\"chunk_ms\": -200}]", "chunk_ms", "100 or 200");
        refused("[{\"chunk_ms\": 100, \"video\": []}]", "no rung", "one is the least");
        refused("[{\"match\": 1, \"audio\": [{\"kbps\": 64}]}]", "match", "string");
        refused("[{\"match\": \"radio.*\", \"audio\": [{\"kbps\": 64}]}]", "match", "no stream's name");
        refused("[{\"video\": {}}]", "video", "array");
        refused("[{\"video\": [{\"height\": 9000, \"kbps\": 500}]}]", "9000", "64 to 4320");
        refused("[{\"video\": [{\"height\": 361, \"kbps\": 500}]}]", "361", "even");
        refused("[{\"video\": [{\"height\": 360, \"kbps\": 90000}]}]", "90000", "50 to 20000");
        refused("[{\"video\": [{\"height\": 360}]}]", "kbps", "missing");
        refused("[{\"video\": [{\"height\": \"360\", \"kbps\": 500}]}]", "height", "integer");
        refused("[{\"video\": [{\"height\": 360, \"kbps\": 500, \"fps_max\": 500}]}]", "500", "0 to 120");
        refused("[{\"video\": [{\"height\": 360, \"kbps\": 500}, {\"height\": 720, \"kbps\": 500}]}]", "720 after 360",
                "highest");
        refused("[{\"video\": [{\"height\": 360, \"kbps\": 500, \"name\": \"../x\"}]}]", "../x", "[a-z]");
        refused("[{\"audio\": [{\"kbps\": 64}, {\"kbps\": 64}]}]", "a64", "unique");
        refused("[{\"audio\": [{\"kbps\": 64}]}, {\"audio\": [{\"kbps\": 1}]}]", "entry 1, audio 0", "16 to 512");
        refused("[{\"audio\": [{\"kbps\":16},{\"kbps\":17},{\"kbps\":18},{\"kbps\":19},{\"kbps\":20}]}]", "5 rungs",
                "4");
}

static void test_no_rung_is_above_the_source(void **state)
{
        (void)state;
        struct ladder l = for_stream(NULL, "cam");
        ladder_limit(&l, 480);
        assert_int_equal(l.video_count, 3);
        assert_string_equal(l.video[0].name, "v480");
        assert_string_equal(l.video[2].name, "v240");
        assert_int_equal(l.audio_count, 2);
}

static void test_a_source_below_all_rungs_keeps_the_lowest_at_its_own_size(void **state)
{
        (void)state;
        struct ladder l = for_stream(NULL, "cam");
        ladder_limit(&l, 202);
        assert_int_equal(l.video_count, 1);
        assert_int_equal(l.video[0].height, 202);
        assert_int_equal(l.video[0].bitrate_bps, 250000);
        assert_string_equal(l.video[0].name, "v240");
}

static void test_a_ladder_without_pictures_stays_without(void **state)
{
        (void)state;
        struct ladder l = for_stream("[{\"audio\": [{\"kbps\": 64}]}]", "cam");
        ladder_limit(&l, 720);
        assert_int_equal(l.video_count, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_default_ladder_is_five_pictures_and_two_sounds),
                cmocka_unit_test(test_first_pattern_that_fits_decides),
                cmocka_unit_test(test_a_pattern_may_have_pictures_of_its_own_with_rungs_or_without),
                cmocka_unit_test(test_a_pattern_may_have_another_grid_with_rungs_of_its_own_or_without),
                cmocka_unit_test(test_errors_name_what_was_given_and_what_is_allowed),
                cmocka_unit_test(test_no_rung_is_above_the_source),
                cmocka_unit_test(test_a_source_below_all_rungs_keeps_the_lowest_at_its_own_size),
                cmocka_unit_test(test_a_ladder_without_pictures_stays_without),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
