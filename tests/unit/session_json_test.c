/* session.json: of a damaged one the member that is wrong is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/err.h"
#include "common/mem.h"
#include "originD/session.h"

static const char good[] =
        "{\"version\":4,\"session\":\"20260131T120000Z-0000abcd\",\"stream\":\"cam\",\"title\":\"\",\"node\":\"transcoder-1\","
        "\"epoch_us\":1769860800000000,\"generation\":3,\"grace_ms\":30000,\"state\":\"live\",\"ended_by_writer\":false,"
        "\"ended_wall_us\":0,\"end_us\":0,\"volume_segments\":600,\"sum\":{\"tracks\":1,\"lacking\":0,\"playable\":true,"
        "\"bytes\":17,\"digest\":\"0123456789abcdef\",\"written_generation\":3,\"written_place\":5}}\n"
        "[{\"name\":\"v720\",\"start_us\":0,\"first_segment\":0,\"bandwidth\":1,\"fps_milli\":30000,"
        "\"eras\":[[0,3,\"transcoder-1\"]]}]\n";

/* What is said to be wrong with the good one when `what` is `instead`; NULL: nothing. */
static const char *wrong_with(const char *what, const char *instead)
{
        struct session s = {0};
        const char *at = strstr(good, what), *wrong;
        assert_non_null(at);
        char *text = mem_printf("%.*s%s%s", (int)(at - good), good, instead, at + strlen(what));
        int rc = session_from_json(&s, text, strlen(text), true, &wrong);
        free(text);
        tracks_free(&s);
        session_set_title(&s, "");
        if (rc)
                assert_int_equal(rc, ERR_CORRUPT);
        return rc ? wrong : NULL;
}

static void test_the_member_that_is_wrong_is_named(void **state)
{
        static const struct {
                const char *what, *instead, *wrong;
        } cases[] = {
                {"\"version\":4", "\"version\":3", "version"},
                {"\"epoch_us\":1769860800000000", "\"epoch_us\":-1", "epoch_us"},
                {"\"generation\":3,\"grace", "\"generation\":\"3\",\"grace", "generation"},
                {"20260131T120000Z-0000abcd", "../..", "session"},
                {"\"stream\":\"cam\"", "\"stream\":\"a/b\"", "stream"},
                {"\"volume_segments\":600", "\"volume_segments\":0", "volume_segments"},
                {"0123456789abcdef", "0123456789abcdeg", "digest"},
                {"\"bytes\":17", "\"bites\":17", "bytes"},
                {"\"name\":\"v720\"", "\"name\":\"\"", "name"},
                {"\"start_us\":0", "\"start_us\":null", "start_us"},
                {"[[0,3", "[[-1,3", "eras"},
                {"\n[", "\n{", "the list of tracks"},
                {"{\"version\"", "\"version\"", "no JSON"},
        };
        (void)state;
        assert_null(wrong_with("cam", "cam"));
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const char *wrong = wrong_with(cases[i].what, cases[i].instead);
                if (!wrong || strcmp(wrong, cases[i].wrong) != 0)
                        fail_msg("%s: %s, wanted %s", cases[i].instead, wrong ? wrong : "nothing", cases[i].wrong);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_member_that_is_wrong_is_named)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
