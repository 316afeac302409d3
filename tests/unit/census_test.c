#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/clock.h"
#include "common/err.h"
#include "edged/census.h"

#define NOW (1000 * US_PER_S)

static struct census *census;
static uint8_t bytes[64 << 10];
static struct writer page;

static void begin_page(const struct names_page *head)
{
        writer_init(&page, bytes, sizeof(bytes));
        names_write_page(&page, head);
}

static void begin(bool anew, bool more)
{
        begin_page(&(struct names_page){.instance = 1, .next = 1, .anew = anew, .more = more});
}

static void live(const char *stream, const char *session, uint32_t first, uint32_t last, const char *track)
{
        struct names_row row = {.session = names_session(stream, session), .stream = names_stream(stream), .live = true, .first = first,
                                .last = last, .track_count = track != NULL, .tracks = {track ? names_track(track) : 0}};
        names_write_row(&page, &row);
}

static void ended(const char *stream, const char *session, uint32_t last)
{
        struct names_row row = {.session = names_session(stream, session), .stream = names_stream(stream), .last = last};
        names_write_row(&page, &row);
}

static void gone(const char *stream, const char *session)
{
        names_write_row(&page, &(struct names_row){.session = names_session(stream, session), .gone = true});
}

static int tell(unsigned source)
{
        struct names_page head;
        struct buf *b = buf_copy(bytes, page.len);
        int err = census_take(census, source, b, NOW, &head);
        buf_unref(&b);
        return err;
}

static enum census_says says(const char *key, int64_t after_s)
{
        struct key k;
        key_parse(&k, key);
        assert_true(k.kind != KEY_NONE);
        return census_ask(census, &k, NOW + after_s * US_PER_S);
}

static int open_one(void **state)
{
        (void)state;
        census = census_open();
        census_settle(census, true);
        return 0;
}

static int close_one(void **state)
{
        (void)state;
        census_close(census);
        return 0;
}

static void test_what_is_not_told_is_not_there(void **state)
{
        (void)state;
        begin(true, false);
        live("cam", "S1", 0, 10, "v720");
        assert_int_equal(tell(0), 0);
        assert_int_equal(says("/live/cam/manifest.mpd", 0), CENSUS_THERE);
        assert_int_equal(says("/live/cam/S1/manifest.mpd", 0), CENSUS_THERE);
        assert_int_equal(says("/live/cam/S1/v720/init.mp4", 0), CENSUS_THERE);
        assert_int_equal(says("/live/cam/S1/v720/7.m4s", 0), CENSUS_THERE);
        assert_int_equal(says("/live/cam/S1/v721/init.mp4", 0), CENSUS_PERHAPS); /* a track may just have begun */
        assert_int_equal(says("/live/cam/S1/v721/7.m4s", 0), CENSUS_PERHAPS);
        assert_int_equal(says("/live/cam/S2/v720/7.m4s", 0), CENSUS_UNKNOWN);
        assert_int_equal(says("/live/cam/S2/manifest.mpd", 0), CENSUS_UNKNOWN);
        assert_int_equal(says("/live/cam2/manifest.mpd", 0), CENSUS_UNKNOWN);
        assert_int_equal(says("/live/cam2/S1/manifest.mpd", 0), CENSUS_UNKNOWN);
        assert_int_equal(says("/api/streams", 0), CENSUS_THERE);
}

static void test_each_of_as_many_nodes_as_there_may_be_tells_for_itself(void **state)
{
        (void)state;
        char stream[16], key[64];
        for (unsigned i = 0; i < CENSUS_SOURCES; i++) {
                snprintf(stream, sizeof(stream), "cam%u", i);
                begin(true, false);
                live(stream, "S1", i, i, "v720");
                live("all", "S1", 100, i == 40 ? 500 : 200, "v720");
                assert_int_equal(tell(i), 0);
        }
        for (unsigned i = 0; i < CENSUS_SOURCES; i++) {
                begin(true, false); /* it has neither any more */
                assert_int_equal(tell(i), 0);
                for (unsigned j = 0; j < CENSUS_SOURCES; j++) {
                        snprintf(key, sizeof(key), "/live/cam%u/manifest.mpd", j);
                        assert_int_equal(says(key, 0), j <= i ? CENSUS_UNKNOWN : CENSUS_THERE);
                }
                enum census_says far = i < 40 ? CENSUS_THERE : i < CENSUS_SOURCES - 1 ? CENSUS_FAR : CENSUS_UNKNOWN;
                assert_int_equal(says("/live/all/S1/v720/490.m4s", 0), far);
        }
}

static void test_the_window_of_a_live_session_moves_with_the_time(void **state)
{
        (void)state;
        begin(true, false);
        live("cam", "S1", 100, 200, "v720");
        assert_int_equal(tell(0), 0);
        assert_int_equal(says("/live/cam/S1/v720/99.m4s", 0), CENSUS_FAR);
        assert_int_equal(says("/live/cam/S1/v720/100.m4s", 0), CENSUS_THERE);
        assert_int_equal(says("/live/cam/S1/v720/215.m4s", 0), CENSUS_THERE);
        assert_int_equal(says("/live/cam/S1/v720/216.m4s", 0), CENSUS_PERHAPS);
        assert_int_equal(says("/live/cam/S1/v720/320.m4s", 0), CENSUS_PERHAPS);
        assert_int_equal(says("/live/cam/S1/v720/321.m4s", 0), CENSUS_FAR);
        assert_int_equal(says("/live/cam/S1/v720/4294967295.m4s", 0), CENSUS_FAR);
        assert_int_equal(says("/live/cam/S1/v720/815.m4s", 600), CENSUS_THERE);
        assert_int_equal(says("/live/cam/S1/v720/215.m4s", -600), CENSUS_THERE); /* a clock that went back */
        begin(false, false);
        ended("cam", "S1", 230);
        assert_int_equal(tell(0), 0);
        assert_int_equal(says("/live/cam/S1/v720/230.m4s", 600), CENSUS_THERE); /* its tracks are still known */
        assert_int_equal(says("/live/cam/S1/v720/400.m4s", 600), CENSUS_FAR);
}

static void test_a_recordings_track_is_known_once_it_was_found(void **state)
{
        (void)state;
        struct key k;
        begin(true, false);
        ended("cam", "S1", 20);
        assert_int_equal(tell(0), 0);
        assert_int_equal(says("/live/cam/S1/v720/3.m4s", 0), CENSUS_PERHAPS);
        key_parse(&k, "/live/cam/S1/v720/3.m4s");
        census_saw(census, &k);
        assert_int_equal(says("/live/cam/S1/v720/4.m4s", 0), CENSUS_THERE);
        assert_int_equal(says("/live/cam/S1/a128/4.m4s", 0), CENSUS_PERHAPS);
}

static void test_clips_and_pieces_are_of_those_that_may_not_be_there(void **state)
{
        (void)state;
        begin(true, false);
        live("cam", "S1", 100, 200, "v720");
        ended("cam", "S0", 50);
        assert_int_equal(tell(0), 0);
        assert_int_equal(says("/live/cam/S0/recording.json", 0), CENSUS_THERE);
        assert_int_equal(says("/live/cam/S1/v720/recording.json", 0), CENSUS_THERE);
        assert_int_equal(says("/live/cam/S0/recording.3-9.json", 0), CENSUS_PERHAPS);
        assert_int_equal(says("/live/cam/S0/recording.3-.json", 0), CENSUS_PERHAPS);
        assert_int_equal(says("/live/cam/S1/v720/recording.3-9.json", 0), CENSUS_PERHAPS);
        assert_int_equal(says("/live/cam/S0/recording.0123456789abcdef.1.mp4", 0), CENSUS_PERHAPS);
        assert_int_equal(says("/live/cam/S1/v720/recording.0123456789abcdef.1.mp4", 0), CENSUS_PERHAPS);
        assert_int_equal(says("/live/cam/S9/recording.0123456789abcdef.1.mp4", 0), CENSUS_UNKNOWN);
}

static void test_a_name_is_there_as_long_as_one_node_has_it(void **state)
{
        (void)state;
        for (unsigned source = 0; source < 2; source++) {
                begin(true, false);
                live("cam", "S1", 0, 10, "v720");
                live("cam", "S2", 0, 10, "v720");
                assert_int_equal(tell(source), 0);
        }
        begin(false, false);
        gone("cam", "S1");
        assert_int_equal(tell(0), 0);
        assert_int_equal(says("/live/cam/S1/manifest.mpd", 0), CENSUS_THERE);
        assert_int_equal(tell(1), 0);
        assert_int_equal(says("/live/cam/S1/manifest.mpd", 0), CENSUS_UNKNOWN);
        assert_int_equal(says("/live/cam/manifest.mpd", 0), CENSUS_THERE);
        census_forget(census, 0);
        assert_int_equal(says("/live/cam/manifest.mpd", 0), CENSUS_THERE);
        census_forget(census, 1);
        assert_int_equal(says("/live/cam/manifest.mpd", 0), CENSUS_UNKNOWN);
        assert_int_equal(census_sessions(census), 0);
}

static void test_a_list_that_begins_anew_is_in_force_when_it_has_been_told_to_its_end(void **state)
{
        (void)state;
        begin(true, false);
        ended("a", "S1", 9);
        ended("b", "S1", 9);
        assert_int_equal(tell(3), 0);
        begin(true, true);
        ended("b", "S1", 9);
        assert_int_equal(tell(3), 0);
        assert_int_equal(says("/live/a/manifest.mpd", 0), CENSUS_THERE);
        begin(false, false);
        ended("c", "S1", 9);
        assert_int_equal(tell(3), 0);
        assert_int_equal(says("/live/a/manifest.mpd", 0), CENSUS_UNKNOWN);
        assert_int_equal(says("/live/b/manifest.mpd", 0), CENSUS_THERE);
        assert_int_equal(says("/live/c/manifest.mpd", 0), CENSUS_THERE);
}

static void test_what_a_node_that_starts_has_not_told_yet_is_there(void **state)
{
        (void)state;
        begin(true, false);
        live("cam", "S1", 0, 10, "v720");
        live("cam", "S2", 0, 10, "v720");
        assert_int_equal(tell(0), 0);
        begin_page(&(struct names_page){.instance = 2, .anew = true, .partial = true});
        assert_int_equal(tell(0), 0);
        assert_int_equal(says("/live/cam/S1/v720/5.m4s", 0), CENSUS_THERE);
        begin_page(&(struct names_page){.instance = 2, .next = 1});
        live("cam", "S1", 0, 10, "v720");
        assert_int_equal(tell(0), 0);
        assert_int_equal(says("/live/cam/S1/v720/5.m4s", 0), CENSUS_THERE);
        assert_int_equal(says("/live/cam/S2/v720/5.m4s", 0), CENSUS_UNKNOWN);
}

static void test_while_it_is_not_sure_nothing_is_refused(void **state)
{
        (void)state;
        begin(true, false);
        live("cam", "S1", 100, 200, "v720");
        assert_int_equal(tell(0), 0);
        census_settle(census, false);
        assert_int_equal(says("/live/cam2/manifest.mpd", 0), CENSUS_PERHAPS);
        assert_int_equal(says("/live/cam/S1/v720/9.m4s", 0), CENSUS_PERHAPS);
        assert_int_equal(says("/live/cam/manifest.mpd", 0), CENSUS_THERE);
}

static void test_no_page_is_worse_than_an_error(void **state)
{
        (void)state;
        begin(true, false);
        live("cam", "S1", 0, 10, "v720");
        size_t len = page.len;
        for (page.len = 0; page.len < len; page.len++) {
                int err = tell(0);
                assert_true(err == ERR_PROTO || page.len == NAMES_HEAD_BYTES);
        }
}

/* All pages of what `from` has, into `into`. */
static unsigned copy(struct census *into, struct census *from, uint64_t *instance, uint64_t *since)
{
        struct names_page head = {.more = true};
        unsigned pages = 0;
        for (; head.more; pages++) {
                struct buf *b = census_page(from, *instance, *since, NOW);
                assert_int_equal(census_take(into, 0, b, NOW, &head), 0);
                *instance = head.instance;
                *since = head.next;
                buf_unref(&b);
        }
        return pages;
}

static void test_a_tier_below_is_told_the_same(void **state)
{
        (void)state;
        struct census *below = census_open();
        uint64_t instance = 0, since = 0;
        char id[32];
        census_settle(below, true);
        for (unsigned i = 0; i < 10000; i += 500) {
                begin(i == 0, i + 500 < 10000);
                for (unsigned j = i; j < i + 500; j++) {
                        snprintf(id, sizeof(id), "S%u", j);
                        ended(id, id, 5);
                }
                assert_int_equal(tell(0), 0);
        }
        assert_true(copy(below, census, &instance, &since) >= 3);
        assert_int_equal(census_sessions(below), 10000);
        assert_false(census_has_news(census, instance, since));
        begin(false, false);
        live("new", "L1", 2, 10, "v720");
        gone("S77", "S77");
        assert_int_equal(tell(0), 0);
        assert_true(census_has_news(census, instance, since));
        assert_int_equal(copy(below, census, &instance, &since), 1);
        assert_int_equal(census_sessions(below), 10000);
        struct key k;
        key_parse(&k, "/live/new/L1/v720/9.m4s");
        assert_int_equal(census_ask(below, &k, NOW), CENSUS_THERE);
        key_parse(&k, "/live/S77/manifest.mpd");
        assert_int_equal(census_ask(below, &k, NOW), CENSUS_UNKNOWN);
        key_parse(&k, "/live/S78/manifest.mpd");
        assert_int_equal(census_ask(below, &k, NOW), CENSUS_THERE);
        census_close(below);
}

static void test_a_tier_below_hears_when_it_is_not_sure_any_more(void **state)
{
        (void)state;
        struct names_page head;
        begin(true, false);
        ended("cam", "S1", 5);
        assert_int_equal(tell(0), 0);
        struct census *below = census_open();
        uint64_t instance = 0, since = 0;
        assert_int_equal(copy(below, census, &instance, &since), 1);
        assert_false(census_has_news(census, instance, since));
        census_settle(census, false);
        assert_true(census_has_news(census, instance, since));
        struct buf *b = census_page(census, instance, since, NOW);
        assert_int_equal(census_take(below, 0, b, NOW, &head), 0);
        assert_true(head.partial);
        buf_unref(&b);
        census_close(below);
}

static void test_ten_thousand_that_come_and_go_leave_nothing(void **state)
{
        (void)state;
        char id[32];
        for (unsigned round = 0; round < 3; round++) {
                for (unsigned i = 0; i < 10000; i += 500) {
                        begin(false, false);
                        for (unsigned j = i; j < i + 500; j++) {
                                snprintf(id, sizeof(id), "S%u-%u", round, j);
                                ended("cam", id, 5);
                                snprintf(id, sizeof(id), "S%u", j % 7);
                                ended(id, id, 5);
                        }
                        assert_int_equal(tell(0), 0);
                }
                assert_int_equal(census_sessions(census), 10007);
                census_forget(census, 0);
                assert_int_equal(census_sessions(census), 0);
                assert_int_equal(says("/live/cam/manifest.mpd", 0), CENSUS_UNKNOWN);
        }
}

static void test_a_playlist_is_asked_for_by_name_only_near_the_live_edge(void **state)
{
        (void)state;
        begin(true, false);
        live("cam", "S1", 100, 200, "v720");
        ended("cam", "S0", 50);
        assert_int_equal(tell(0), 0);
        census_settle(census, true);
        assert_int_equal(says("/live/cam/S1/v720/media.m3u8", 0), CENSUS_THERE);
        assert_int_equal(says("/live/cam/S1/v720/media.201.0.m3u8", 0), CENSUS_THERE);
        assert_int_equal(says("/live/cam/S1/v720/media.215.0.m3u8", 0), CENSUS_THERE);
        assert_int_equal(says("/live/cam/S1/v720/media.216.0.m3u8", 0), CENSUS_FAR);
        assert_int_equal(says("/live/cam/S1/v720/media.170.0.m3u8", 0), CENSUS_THERE);
        assert_int_equal(says("/live/cam/S1/v720/media.169.2.skip.m3u8", 0), CENSUS_PAST);
        assert_int_equal(says("/live/cam/S1/v999/media.200.0.m3u8", 0), CENSUS_PERHAPS);
        assert_int_equal(says("/live/cam/S0/v720/media.3.0.m3u8", 0), CENSUS_PAST); /* it is over: there is one playlist */
        assert_int_equal(says("/live/cam/S9/v720/media.200.0.m3u8", 0), CENSUS_UNKNOWN);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_one, close_one)
        const struct CMUnitTest tests[] = {
                TEST(test_what_is_not_told_is_not_there),
                TEST(test_a_playlist_is_asked_for_by_name_only_near_the_live_edge),
                TEST(test_each_of_as_many_nodes_as_there_may_be_tells_for_itself),
                TEST(test_the_window_of_a_live_session_moves_with_the_time),
                TEST(test_a_recordings_track_is_known_once_it_was_found),
                TEST(test_clips_and_pieces_are_of_those_that_may_not_be_there),
                TEST(test_a_name_is_there_as_long_as_one_node_has_it),
                TEST(test_a_list_that_begins_anew_is_in_force_when_it_has_been_told_to_its_end),
                TEST(test_what_a_node_that_starts_has_not_told_yet_is_there),
                TEST(test_while_it_is_not_sure_nothing_is_refused),
                TEST(test_no_page_is_worse_than_an_error),
                TEST(test_a_tier_below_is_told_the_same),
                TEST(test_a_tier_below_hears_when_it_is_not_sure_any_more),
                TEST(test_ten_thousand_that_come_and_go_leave_nothing),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
