#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "edged/merge.h"

static char *merged(const char *const *lists, size_t count)
{
        struct buf *in[8];
        for (size_t i = 0; i < count; i++)
                in[i] = buf_copy(lists[i], strlen(lists[i]));
        struct buf *out = merge_streams(in, count);
        char *text = mem_printf("%.*s", (int)out->len, (const char *)out->data);
        buf_unref(&out);
        for (size_t i = 0; i < count; i++)
                buf_unref(&in[i]);
        return text;
}

#define A(state, started) "{\"id\":\"a\",\"state\":\"" state "\",\"started\":\"" started "\"}"
#define LIST(streams) "{\"streams\":[" streams "]}"

static void same_both_ways(const char *x, const char *y, const char *expected)
{
        const char *xy[] = {x, y}, *yx[] = {y, x};
        char *text = merged(xy, 2);
        assert_string_equal(text, expected);
        free(text);
        text = merged(yx, 2);
        assert_string_equal(text, expected);
        free(text);
}

static void test_a_stream_of_two_origins_is_listed_once_and_live_wins(void **state)
{
        (void)state;
        same_both_ways(LIST(A("live", "2")), LIST(A("ended", "2")), LIST(A("live", "2")));
        same_both_ways(LIST(A("live", "2")), LIST(A("slate", "2")), LIST(A("live", "2")));
        same_both_ways(LIST(A("slate", "2")), LIST(A("ended", "2")), LIST(A("slate", "2")));
        const char *lists[] = {LIST(A("live", "2") ",{\"id\":\"b\"}"), LIST(A("live", "2"))};
        char *text = merged(lists, 2);
        assert_string_equal(text, LIST(A("live", "2") ",{\"id\":\"b\"}"));
        free(text);
}

static void test_the_newest_session_wins_whatever_an_origin_that_missed_it_says(void **state)
{
        (void)state;
        same_both_ways(LIST(A("live", "2")), LIST(A("ended", "3")), LIST(A("ended", "3")));
        same_both_ways(LIST(A("live", "2")), LIST(A("live", "3")), LIST(A("live", "3")));
        same_both_ways(LIST(A("ended", "2")), LIST(A("ended", "3")), LIST(A("ended", "3")));
}

static void test_what_is_on_comes_first_and_then_the_newest(void **state)
{
        (void)state;
#define E(id, state, started) "{\"id\":\"" id "\",\"state\":\"" state "\",\"started\":\"" started "\"}"
        same_both_ways(LIST(E("a", "ended", "4") "," E("b", "live", "1")), LIST(E("c", "ended", "5") "," E("d", "slate", "2")),
                       LIST(E("d", "slate", "2") "," E("b", "live", "1") "," E("c", "ended", "5") "," E("a", "ended", "4")));
        same_both_ways(LIST(E("x", "ended", "4")), LIST(E("y", "ended", "4")), LIST(E("x", "ended", "4") "," E("y", "ended", "4")));
}

static void test_there_is_more_when_a_node_has_more_or_an_older_session_was_left_out(void **state)
{
        (void)state;
#define S(session, started) "{\"id\":\"a\",\"session\":\"" session "\",\"started\":\"" started "\"}"
#define MORE(streams) "{\"streams\":[" streams "],\"next\":\"/api/recordings\"}"
        same_both_ways(MORE(S("1", "1")), LIST(S("1", "1")), MORE(S("1", "1")));
        same_both_ways(LIST(S("1", "1")), LIST(S("2", "2")), MORE(S("2", "2")));
        same_both_ways(LIST(S("1", "1")), LIST(S("1", "1")), LIST(S("1", "1")));
}

static void test_what_is_no_list_is_left_out(void **state)
{
        (void)state;
        const char *lists[] = {"", "[]", "{\"streams\":7}", "{\"streams\":[1,{},{\"id\":5},{\"id\":\"\"}]}", "\xff{",
                               "{\"streams\":[{\"id\":\"a\"}]}"};
        char *text = merged(lists, 6);
        assert_string_equal(text, "{\"streams\":[{\"id\":\"a\"}]}");
        free(text);
}

/* ---- pages ----------------------------------------------------------------------------------------------------------- */

#define DAY "2026-01-31T12:34:"
#define R(session, second) "{\"id\":\"a\",\"session\":\"" session "\",\"started\":\"" DAY second ".000Z\"}"
#define PAGE(recordings) "{\"recordings\":[" recordings "]}"
#define PAGE_TO(recordings, session, second) "{\"recordings\":[" recordings "],\"next\":\"/api/recordings/before/" DAY second ".000Z/" session "\"}"

static char *pages_merged(const char *address, const char *const *lists, size_t count)
{
        struct buf *in[8];
        struct key page;
        key_parse(&page, address);
        assert_int_equal(page.kind, KEY_RECORDINGS);
        for (size_t i = 0; i < count; i++)
                in[i] = buf_copy(lists[i], strlen(lists[i]));
        struct buf *out = merge_recordings(&page, in, count);
        char *text = mem_printf("%.*s", (int)out->len, (const char *)out->data);
        buf_unref(&out);
        for (size_t i = 0; i < count; i++)
                buf_unref(&in[i]);
        return text;
}

static void pages_both_ways(const char *address, const char *x, const char *y, const char *expected)
{
        const char *lists[] = {x, y, x};
        for (int i = 0; i < 2; i++) {
                char *text = pages_merged(address, lists + i, 2);
                assert_string_equal(text, expected);
                free(text);
        }
}

static void test_a_recording_of_two_origins_is_told_once_in_its_place(void **state)
{
        (void)state;
        pages_both_ways("/api/recordings", PAGE(R("S4", "40") "," R("S2", "20")), PAGE(R("S4", "40") "," R("S3", "30")),
                        PAGE(R("S4", "40") "," R("S3", "30") "," R("S2", "20")));
        pages_both_ways("/api/recordings", PAGE(R("S5", "40")), PAGE(R("S4", "40")), PAGE(R("S5", "40") "," R("S4", "40"))); /* of one moment */
}

static void test_of_one_that_is_told_twice_the_one_with_its_tracks_is_taken(void **state)
{
        (void)state;
#define T(tracks) "{\"id\":\"a\",\"session\":\"S1\",\"started\":\"" DAY "10.000Z\",\"tracks\":[" tracks "]}"
        pages_both_ways("/api/recordings", PAGE(T("")), PAGE(T("{\"name\":\"v720\"}")), PAGE(T("{\"name\":\"v720\"}")));
}

/* What lies behind the end of a page that goes on may have others of that origin before it. */
static void test_what_a_page_does_not_reach_is_left_for_the_next_one(void **state)
{
        (void)state;
        pages_both_ways("/api/recordings", PAGE_TO(R("S5", "50") "," R("S4", "40"), "S4", "40"), PAGE(R("S3", "30") "," R("S1", "10")),
                        PAGE_TO(R("S5", "50") "," R("S4", "40"), "S4", "40"));
        pages_both_ways("/api/recordings", PAGE_TO(R("S5", "50"), "S5", "50"), PAGE_TO(R("S4", "40"), "S4", "40"),
                        PAGE_TO(R("S5", "50"), "S5", "50"));
        pages_both_ways("/api/recordings", PAGE_TO("", "S9", "30"), PAGE(R("S1", "20")), PAGE_TO("", "S9", "30")); /* nothing, and goes on */
}

static void test_a_page_that_does_not_lead_on_is_left_out(void **state)
{
        (void)state;
        const char *here = "/api/recordings/before/" DAY "50.000Z/S5";
        pages_both_ways(here, PAGE(R("S6", "55") "," R("S5", "50") "," R("S4", "40")), PAGE(""), PAGE(R("S4", "40"))); /* told already */
        pages_both_ways(here, PAGE_TO(R("S4", "40"), "S5", "50"), PAGE(R("S3", "30")), PAGE(R("S3", "30"))); /* round in a circle */
        pages_both_ways(here, PAGE_TO(R("S4", "40"), "S6", "50"), PAGE(R("S3", "30")), PAGE(R("S3", "30")));
        pages_both_ways(here, "{\"recordings\":[" R("S4", "40") "],\"next\":7}", PAGE(R("S3", "30")), PAGE(R("S3", "30")));
        pages_both_ways(here, "{\"recordings\":[7,{},{\"id\":\"a\"},{\"id\":\"a\",\"session\":\"S_\",\"started\":\"" DAY "10.000Z\"}]}", "\xff",
                        PAGE(""));
}

/* The recordings of many origins, in pages of so many each: whatever they are, all are told, each once. */
static void test_every_recording_of_every_origin_is_told_once(void **state)
{
        (void)state;
        enum { COUNT = 1000, ORIGINS = 5, EACH = 37 };
        unsigned random = 7, seen[COUNT] = {0}, owners[COUNT], pages = 0;
        char iso[CLOCK_ISO_MAX], address[KEY_MAX + 1] = "/api/recordings";
        for (unsigned n = 0; n < COUNT; n++) {
                random = random * 1103515245 + 12345;
                owners[n] = 1u << (random / 65536 % ORIGINS) | 1u << (random / 4096 % (n % 100 < 50 ? 2 : ORIGINS)); /* of some have more */
        }
        while (*address) {
                struct buf *lists[ORIGINS];
                struct key page, place;
                key_parse(&page, address);
                for (unsigned o = 0; o < ORIGINS; o++) {
                        json_t *list = json_array(), *j = json_pack("{s:o}", "recordings", list);
                        char last[KEY_MAX + 1] = "";
                        for (unsigned n = COUNT; n-- > 0;) { /* the newest first, three a millisecond */
                                char id[16], its[KEY_MAX + 1];
                                snprintf(id, sizeof(id), "S%04u", n);
                                clock_iso(iso, sizeof(iso), (1000 + n / 3) * US_PER_MS);
                                snprintf(its, sizeof(its), "/api/recordings/before/%s/%s", iso, id);
                                key_parse(&place, its);
                                bool before = place.before_ms < page.before_ms ||
                                              (place.before_ms == page.before_ms && strcmp(id, page.session) < 0);
                                if (!before || !(owners[n] >> o & 1))
                                        continue;
                                if (json_array_size(list) == EACH) {
                                        json_object_set_new(j, "next", json_string(last));
                                        break;
                                }
                                strcpy(last, its);
                                json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "id", "cam", "session", id, "started", iso));
                        }
                        char *text = json_dumps(j, 0);
                        lists[o] = buf_copy(text, strlen(text));
                        free(text);
                        json_decref(j);
                }
                struct buf *out = merge_recordings(&page, lists, ORIGINS);
                json_t *j = json_loadb((const char *)out->data, out->len, 0, NULL), *list = json_object_get(j, "recordings"), *one;
                size_t i;
                json_array_foreach(list, i, one)
                        seen[atoi(json_string_value(json_object_get(one, "session")) + 1)]++;
                assert_in_range(json_array_size(list), 1, MERGE_PAGE);
                snprintf(address, sizeof(address), "%s", json_object_get(j, "next") ? json_string_value(json_object_get(j, "next")) : "");
                json_decref(j);
                buf_unref(&out);
                for (unsigned o = 0; o < ORIGINS; o++)
                        buf_unref(&lists[o]);
                assert_in_range(++pages, 1, COUNT);
        }
        for (unsigned n = 0; n < COUNT; n++)
                assert_int_equal(seen[n], 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_stream_of_two_origins_is_listed_once_and_live_wins),
                cmocka_unit_test(test_the_newest_session_wins_whatever_an_origin_that_missed_it_says),
                cmocka_unit_test(test_what_is_on_comes_first_and_then_the_newest),
                cmocka_unit_test(test_there_is_more_when_a_node_has_more_or_an_older_session_was_left_out),
                cmocka_unit_test(test_what_is_no_list_is_left_out),
                cmocka_unit_test(test_a_recording_of_two_origins_is_told_once_in_its_place),
                cmocka_unit_test(test_of_one_that_is_told_twice_the_one_with_its_tracks_is_taken),
                cmocka_unit_test(test_what_a_page_does_not_reach_is_left_for_the_next_one),
                cmocka_unit_test(test_a_page_that_does_not_lead_on_is_left_out),
                cmocka_unit_test(test_every_recording_of_every_origin_is_told_once),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
