/* crowd: edges of a site add up what each of them counts, leave out who is silent, and believe no nonsense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/bytes.h"
#include "common/err.h"
#include "edged/crowd.h"

static int64_t now_us = 1000 * US_PER_S;
static struct audience_row rows[AUDIENCE_STREAMS + 1];

/* A page of one stream's pictures and sounds, as another edge says it. */
static size_t page(uint8_t dst[256], const char *stream, uint32_t pictures, uint32_t sounds)
{
        struct writer w;
        writer_init(&w, dst, 256);
        writer_str(&w, stream);
        writer_u32(&w, pictures);
        writer_u32(&w, sounds);
        return w.len;
}

static int hear(struct crowd *c, uint64_t edge, const char *stream, uint32_t pictures, uint32_t sounds)
{
        uint8_t said[256];
        return crowd_heard(c, edge, said, page(said, stream, pictures, sounds), now_us);
}

static uint32_t told(struct crowd *c, const char *stream, enum audience_of of)
{
        crowd_look(c, now_us);
        size_t n = crowd_rows(c, rows);
        for (size_t i = 0; i < n; i++)
                if (strcmp(rows[i].stream, stream) == 0)
                        return rows[i].tenths[of];
        return 0;
}

/* Who plays fetches a picture and a sound a second, of a recording: counted by the clock. */
static void watch(struct audience *a, const char *stream, unsigned viewers)
{
        for (unsigned s = 0; s < 20; s++, now_us += US_PER_S)
                for (unsigned v = 0; v < viewers; v++) {
                        struct audience_fetch f = {.stream = stream, .session = "s1", .of = AUDIENCE_PICTURE, .segment = s,
                                                   .wanted_us = now_us - 60 * US_PER_S, .now_us = now_us};
                        audience_saw(a, 0, &f);
                }
        audience_look(a, now_us);
}

static void test_what_each_counts_is_added_up_and_said_again_it_is_not_added_again(void **state)
{
        (void)state;
        struct audience *a = audience_open(1), *b = audience_open(1);
        struct crowd *one = crowd_open(a, NULL), *other = crowd_open(b, NULL);
        watch(a, "cam", 3);
        watch(b, "cam", 5);
        audience_look(a, now_us);
        watch(a, "cam", 3);
        assert_int_equal(told(one, "cam", AUDIENCE_PICTURE), 30);
        for (int i = 0; i < 3; i++) {
                struct buf *said = crowd_say(other);
                assert_int_equal(crowd_heard(one, 7, said->data, said->len, now_us), 0);
                buf_unref(&said);
        }
        assert_int_equal(told(one, "cam", AUDIENCE_PICTURE), 80);
        assert_int_equal(hear(one, 8, "cam", 15, 200), 0);
        assert_int_equal(hear(one, 9, "talk", 0, 40), 0);
        assert_int_equal(told(one, "cam", AUDIENCE_PICTURE), 95);
        assert_int_equal(told(one, "cam", AUDIENCE_SOUND), 200);
        assert_int_equal(told(one, "talk", AUDIENCE_SOUND), 40);
        crowd_close(one);
        crowd_close(other);
        audience_close(a);
        audience_close(b);
}

static void test_who_says_nothing_any_more_is_left_out(void **state)
{
        (void)state;
        struct audience *a = audience_open(1);
        struct crowd *c = crowd_open(a, NULL);
        hear(c, 7, "cam", 50, 0);
        now_us += CROWD_KEPT_US - 1;
        assert_int_equal(told(c, "cam", AUDIENCE_PICTURE), 50);
        now_us += 1;
        assert_int_equal(told(c, "cam", AUDIENCE_PICTURE), 0);
        for (uint64_t edge = 100; edge < 100 + 2 * CROWD_EDGES_MAX; edge++, now_us++)
                hear(c, edge, "cam", 10, 0);
        assert_int_equal(told(c, "cam", AUDIENCE_PICTURE), 10 * CROWD_EDGES_MAX); /* of more the newest */
        crowd_close(c);
        audience_close(a);
}

static void test_edges_that_say_too_much_make_no_few_of_many(void **state)
{
        (void)state;
        struct audience *a = audience_open(1);
        struct crowd *c = crowd_open(a, NULL);
        for (uint64_t edge = 1; edge <= 5; edge++)
                assert_int_equal(hear(c, edge, "cam", UINT32_C(1) << 30, 1), 0);
        assert_true(told(c, "cam", AUDIENCE_PICTURE) == UINT32_MAX);
        assert_int_equal(told(c, "cam", AUDIENCE_SOUND), 5);
        crowd_close(c);
        audience_close(a);
}

static void test_nonsense_changes_nothing(void **state)
{
        (void)state;
        struct audience *a = audience_open(1);
        struct crowd *c = crowd_open(a, NULL);
        uint8_t said[256];
        size_t len = page(said, "cam", 50, 50);
        assert_int_equal(crowd_heard(c, 7, said, len, now_us), 0);
        for (size_t n = 1; n < len; n++)
                assert_int_equal(crowd_heard(c, 7, said, n, now_us), ERR_PROTO);
        assert_int_equal(hear(c, 7, "c/m", 1, 1), ERR_PROTO);
        assert_int_equal(hear(c, 7, "cam", UINT32_MAX, 1), ERR_PROTO);
        uint8_t many[(AUDIENCE_STREAMS + 2) * 16];
        struct writer w;
        writer_init(&w, many, sizeof(many));
        for (unsigned i = 0; i < AUDIENCE_STREAMS + 2; i++) {
                writer_str(&w, "cam");
                writer_u32(&w, 1);
                writer_u32(&w, 1);
        }
        assert_int_equal(crowd_heard(c, 7, many, w.len, now_us), ERR_PROTO);
        assert_int_equal(told(c, "cam", AUDIENCE_PICTURE), 50);
        crowd_close(c);
        audience_close(a);
}

static void test_streams_beyond_the_first_are_told_together(void **state)
{
        (void)state;
        struct audience *a = audience_open(1);
        struct crowd *c = crowd_open(a, NULL);
        for (unsigned i = 0; i < CROWD_EDGES_MAX; i++) {
                char name[16];
                uint8_t many[AUDIENCE_STREAMS * 24];
                struct writer w;
                writer_init(&w, many, sizeof(many));
                for (unsigned n = 0; n < 100; n++) {
                        snprintf(name, sizeof(name), "s%u-%u", i, n);
                        writer_str(&w, name);
                        writer_u32(&w, 10);
                        writer_u32(&w, 0);
                }
                assert_int_equal(crowd_heard(c, i + 1, many, w.len, now_us), 0);
        }
        crowd_look(c, now_us);
        assert_int_equal(crowd_rows(c, rows), AUDIENCE_STREAMS + 1);
        assert_int_equal(told(c, "", AUDIENCE_PICTURE), 10 * (100 * CROWD_EDGES_MAX - AUDIENCE_STREAMS));
        crowd_close(c);
        audience_close(a);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_each_counts_is_added_up_and_said_again_it_is_not_added_again),
                cmocka_unit_test(test_who_says_nothing_any_more_is_left_out),
                cmocka_unit_test(test_edges_that_say_too_much_make_no_few_of_many),
                cmocka_unit_test(test_nonsense_changes_nothing),
                cmocka_unit_test(test_streams_beyond_the_first_are_told_together),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
