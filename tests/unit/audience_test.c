#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/mem.h"
#include "edged/audience.h"

#define THREADS 3
#define CACHED 4096 /* segments: when each was first wanted */
#define START_US (1000 * US_PER_S)

/* One edge, in a time that the test makes. */
struct edge {
        struct audience *audience;
        int64_t wanted_us[CACHED];
};

static int64_t now_us;

static void open_edge(struct edge *e)
{
        memset(e, 0, sizeof(*e));
        e->audience = audience_open(THREADS);
}

static void fetch(struct edge *e, unsigned who, const char *stream, uint32_t segment, enum audience_of of)
{
        int64_t *wanted_us = &e->wanted_us[segment % CACHED];
        if (of == AUDIENCE_PICTURE && *wanted_us == 0)
                *wanted_us = now_us;
        struct audience_fetch f = {.stream = stream, .session = "s1", .of = of, .segment = segment,
                                   .wanted_us = *wanted_us ? *wanted_us : now_us, .now_us = now_us};
        audience_saw(e->audience, who % THREADS, &f);
}

static uint32_t tenths_of(struct edge *e, const char *stream, enum audience_of of)
{
        static struct audience_row rows[AUDIENCE_STREAMS + 1];
        audience_look(e->audience, now_us);
        size_t count = audience_rows(e->audience, rows);
        for (size_t i = 0; i < count; i++) {
                if (strcmp(rows[i].stream, stream) == 0)
                        return rows[i].tenths[of];
        }
        return 0;
}

static double viewers(struct edge *e, const char *stream)
{
        return tenths_of(e, stream, AUDIENCE_PICTURE) / 10.0;
}

#define assert_within_2_percent(said, truth) assert_true((said) >= 0.98 * (truth) && (said) <= 1.02 * (truth))

/* Each comes at some time and fetches three seconds at once, then one more each second, up to seven behind what is newest. When all have
 * been there for half a minute they are counted each second. */
static void watch(struct edge *edges, unsigned edge_count, unsigned players, uint32_t first, unsigned seconds, unsigned arrive_ms)
{
        for (int64_t ms = 0; ms < seconds * 1000; ms++) {
                uint32_t newest = first + (uint32_t)(ms / 1000);
                now_us = START_US + ms * US_PER_MS;
                for (unsigned p = 0; p < players; p++) {
                        int64_t came_ms = (int64_t)(p * 7919u % (arrive_ms + 1)), late = p % 8;
                        if (ms < came_ms || (ms - came_ms) % 1000 != 0)
                                continue;
                        for (uint32_t n = newest - (ms == came_ms ? 2 : 0); n <= newest; n++) /* whichever edge the balancer chooses for it */
                                fetch(&edges[(n * 31 + (n + p) % 2) % edge_count], p, "cam", n - (uint32_t)late, AUDIENCE_PICTURE);
                }
                if (ms % 1000 != 999 || ms < arrive_ms + 30000)
                        continue;
                double sum = 0;
                for (unsigned e = 0; e < edge_count; e++)
                        sum += viewers(&edges[e], "cam");
                assert_within_2_percent(sum, players);
        }
}

static void test_a_known_audience_is_counted(void **state)
{
        (void)state;
        struct edge e;
        open_edge(&e);
        watch(&e, 1, 1000, 500, 65, 20000);
        audience_close(e.audience);
}

/* Each newcomer fetches three seconds at once: by the clock they would be a fifth too many. */
static void test_a_crowd_that_arrives_is_never_more_than_it_is(void **state)
{
        (void)state;
        struct edge e;
        open_edge(&e);
        double most = 0;
        watch(&e, 1, 5, 500, 40, 1000); /* the stream is on */
        int64_t began_us = now_us + US_PER_S;
        for (int64_t ms = 0; ms < 60000; ms += 10) {
                now_us = began_us + ms * US_PER_MS;
                uint32_t newest = 540 + (uint32_t)(ms / 1000);
                for (unsigned p = 0; p < 500; p++) {
                        int64_t came_ms = p % 50 * 10;
                        if (ms < came_ms || (ms - came_ms) % 1000 != 0)
                                continue;
                        for (uint32_t n = newest - (ms == came_ms ? 2 : 0); n <= newest; n++)
                                fetch(&e, p, "cam", n, AUDIENCE_PICTURE);
                }
                if (ms % 1000 == 0)
                        most = viewers(&e, "cam") > most ? viewers(&e, "cam") : most;
        }
        assert_true(most <= 1.02 * 500);
        assert_within_2_percent(viewers(&e, "cam"), 500);
        audience_close(e.audience);
}

/* The balancer hands out segments, not viewers: no edge sees all of anybody. */
static void test_edges_that_share_the_viewers_add_up(void **state)
{
        (void)state;
        struct edge edges[3];
        for (int i = 0; i < 3; i++)
                open_edge(&edges[i]);
        watch(edges, 3, 600, 500, 65, 20000);
        for (int i = 0; i < 3; i++)
                audience_close(edges[i].audience);
}

static void test_those_that_go_back_and_recordings_are_counted_by_the_clock(void **state)
{
        (void)state;
        struct edge e;
        open_edge(&e);
        for (unsigned s = 0; s < 60; s++) {
                for (unsigned p = 0; p < 100; p++) {
                        now_us = START_US + s * US_PER_S + p * 9 * US_PER_MS;
                        fetch(&e, p, "cam", 1000 + s, AUDIENCE_PICTURE);         /* live */
                        fetch(&e, p, "cam", 10 + 5 * p + s, AUDIENCE_PICTURE);   /* each at another place */
                }
        }
        assert_within_2_percent(viewers(&e, "cam"), 200);
        audience_close(e.audience);
}

static void test_sound_alone_is_told_apart_and_nobody_is_there_when_all_have_left(void **state)
{
        (void)state;
        struct edge e;
        open_edge(&e);
        for (unsigned s = 0; s < 60; s++) {
                for (unsigned p = 0; p < 30; p++) {
                        now_us = START_US + s * US_PER_S + p * US_PER_MS;
                        fetch(&e, p, "radio", 100 + s, AUDIENCE_SOUND);
                        if (p < 10)
                                fetch(&e, p, "cam", 100 + s, AUDIENCE_PICTURE);
                }
        }
        assert_int_equal(tenths_of(&e, "radio", AUDIENCE_SOUND), 300);
        assert_int_equal(tenths_of(&e, "radio", AUDIENCE_PICTURE), 0);
        assert_int_equal(tenths_of(&e, "cam", AUDIENCE_PICTURE), 100);
        now_us += AUDIENCE_SILENT_US + AUDIENCE_NEAR_US + 2 * AUDIENCE_TEN * US_PER_S;
        assert_int_equal(tenths_of(&e, "radio", AUDIENCE_SOUND), 0);
        assert_int_equal(tenths_of(&e, "cam", AUDIENCE_PICTURE), 0);
        audience_close(e.audience);
}

static void test_streams_beyond_the_room_there_is_are_counted_together_and_make_room(void **state)
{
        (void)state;
        struct edge e;
        char name[24];
        open_edge(&e);
        for (unsigned s = 0; s < 60; s++) {
                for (unsigned i = 0; i < 4 * AUDIENCE_STREAMS; i++) {
                        now_us = START_US + s * US_PER_S + i * US_PER_MS;
                        snprintf(name, sizeof(name), "cam-%u", i);
                        fetch(&e, 0, name, 100 + s, AUDIENCE_PICTURE);
                }
        }
        assert_within_2_percent(viewers(&e, ""), 3 * AUDIENCE_STREAMS);
        assert_within_2_percent(viewers(&e, "cam-0"), 1);
        now_us += 100 * US_PER_S;
        for (unsigned s = 0; s < 60; s++, now_us += US_PER_S)
                fetch(&e, 0, "new", 3000 + s, AUDIENCE_PICTURE);
        now_us -= US_PER_S;
        assert_within_2_percent(viewers(&e, "new"), 1);
        audience_close(e.audience);
}

static void test_who_goes_on_with_a_recording_later_is_alone(void **state)
{
        (void)state;
        struct edge e;
        open_edge(&e);
        for (unsigned s = 0; s < 40; s++, now_us += US_PER_S) {
                now_us = s == 0 ? START_US : now_us;
                for (unsigned p = 0; p < 50; p++)
                        fetch(&e, p, "cam", 1000 + s, AUDIENCE_PICTURE);
        }
        now_us += 30 * US_PER_S;
        for (unsigned s = 0; s < 40; s++, now_us += US_PER_S) {
                fetch(&e, 0, "cam", 1040 + s, AUDIENCE_PICTURE);
                assert_true(viewers(&e, "cam") <= 1.1);
        }
        audience_close(e.audience);
}

/* A segment of the far end of a recording, and then one of its beginning: nothing is counted into what is told of others. */
static void test_who_jumps_about_spoils_no_count(void **state)
{
        (void)state;
        struct edge e;
        open_edge(&e);
        for (unsigned s = 0; s < 60; s++) {
                now_us = START_US + s * US_PER_S;
                for (unsigned p = 0; p < 50; p++)
                        fetch(&e, p, "cam", 1000 + s, AUDIENCE_PICTURE);
                for (unsigned p = 0; p < 25; p++)
                        fetch(&e, p, "cam", s * 16 + p / 5 * 3, AUDIENCE_PICTURE);
        }
        assert_within_2_percent(viewers(&e, "cam"), 75);
        audience_close(e.audience);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_known_audience_is_counted),
                cmocka_unit_test(test_a_crowd_that_arrives_is_never_more_than_it_is),
                cmocka_unit_test(test_edges_that_share_the_viewers_add_up),
                cmocka_unit_test(test_those_that_go_back_and_recordings_are_counted_by_the_clock),
                cmocka_unit_test(test_sound_alone_is_told_apart_and_nobody_is_there_when_all_have_left),
                cmocka_unit_test(test_streams_beyond_the_room_there_is_are_counted_together_and_make_room),
                cmocka_unit_test(test_who_goes_on_with_a_recording_later_is_alone),
                cmocka_unit_test(test_who_jumps_about_spoils_no_count),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
