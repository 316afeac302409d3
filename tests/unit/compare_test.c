#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "originD/replica/compare.h"
#include "tests/unit/origin_store.h"
#include "tests/unit/usual_grid.h"

static struct session *own;
static struct catalog list;
static struct peer_session *theirs;
static struct peer_track *track;

/* Two seconds of S1 by t1; what the other origin has is at first the same. */
static int setup(void **state)
{
        int err;
        setup_store(state);
        own = claim("cam", "S1", 5000000, &err);
        assert_int_equal(add_track(own, "v720", fmp4_video_init(), 0), 0);
        for (unsigned i = 0; i < 10; i++)
                assert_int_equal(put_video(own, "v720", i / 5, i % 5), 0);
        struct buf *text = catalog_write_live(&store, 0, INT64_MAX, "");
        assert_int_equal(catalog_read(&list, (const char *)text->data, text->len), 0);
        buf_unref(&text);
        theirs = &list.sessions[0];
        track = &theirs->tracks[0];
        return 0;
}

static int teardown(void **state)
{
        catalog_free(&list);
        return teardown_store(state);
}

/* Their track ends at this place, with so many bytes more or less than ours. */
static void ends_at(uint64_t place, int64_t bytes)
{
        track->next_segment = (uint32_t)(place / 5);
        track->next_chunk = (uint8_t)(place % 5);
        track->end_us = (int64_t)place * CHUNK_US;
        track->bytes = (uint64_t)((int64_t)track->bytes + bytes);
}

static struct track_lack look(void)
{
        return compare_track(own, session_track(own, "v720"), track);
}

static void test_the_same_lacks_nothing(void **state)
{
        (void)state;
        assert_false(look().lacks);
        assert_false(compare_lacks(own, theirs, true));
        assert_true(compare_track(own, NULL, track).lacks);
}

static void test_only_the_shorter_copy_lacks_something(void **state)
{
        (void)state;
        ends_at(8, -200);
        assert_false(look().lacks);
        ends_at(20, 2000);
        assert_true(look().lacks);
        assert_false(look().cut);
        ends_at(20, -2200); /* a shadow's chunks, of the same era, are of other lengths */
        assert_true(look().lacks);
        assert_false(look().cut);
}

static void test_what_a_writer_will_bring_in_a_moment_is_in_step_unless_asked_exactly(void **state)
{
        (void)state;
        ends_at(12, 400);
        assert_false(compare_lacks(own, theirs, false));
        assert_true(compare_lacks(own, theirs, true));
        ends_at(16, 400);
        assert_true(compare_lacks(own, theirs, false));
        ends_at(12, 0);
        own->claimed = false; /* nobody writes here */
        assert_true(compare_lacks(own, theirs, false));
}

static void test_the_copy_last_written_by_the_older_generation_gives_way_from_the_segment_where_they_part(void **state)
{
        (void)state;
        eras_begin(&track->eras, 8, 2, "t2");
        ends_at(9, -500); /* shorter, but newer */
        struct track_lack l = look();
        assert_true(l.lacks && l.cut);
        assert_int_equal(l.cut_segment, 1);
        eras_begin(&own->tracks[0]->eras, 7, 3, "t3");
        assert_false(look().lacks); /* now the other one is older */
}

static void test_of_the_same_last_generation_the_one_older_at_the_parting_gives_way(void **state)
{
        (void)state;
        struct eras *mine = &own->tracks[0]->eras;
        eras_begin(mine, 3, 2, "t2");
        eras_begin(mine, 8, 4, "t4");
        eras_begin(&track->eras, 3, 3, "t3");
        eras_begin(&track->eras, 8, 4, "t4");
        assert_true(look().cut);
        assert_int_equal(look().cut_segment, 0);
        eras_begin(mine, 3, 3, "t3");
        eras_begin(mine, 8, 4, "t4");
        eras_begin(&track->eras, 3, 2, "t2");
        eras_begin(&track->eras, 8, 4, "t4");
        assert_false(look().lacks);
}

static void test_of_one_generation_by_two_nodes_the_shorter_gives_way(void **state)
{
        (void)state;
        eras_begin(&own->tracks[0]->eras, 6, 2, "t2");
        eras_begin(&track->eras, 6, 2, "t3");
        ends_at(9, -100);
        assert_false(look().lacks);
        ends_at(12, 300);
        assert_true(look().cut);
}

static void test_an_era_without_a_chunk_is_not_compared(void **state)
{
        (void)state;
        eras_begin(&own->tracks[0]->eras, 10, 5, "t5"); /* claimed, died before its first chunk was written */
        ends_at(15, 1000);
        assert_true(look().lacks);
        assert_false(look().cut);
}

static void test_who_misses_the_beginning_takes_it_all(void **state)
{
        (void)state;
        eras_cut(&own->tracks[0]->eras, 0);
        eras_begin(&own->tracks[0]->eras, 5, 1, "t1");
        assert_true(look().cut);
        assert_int_equal(look().cut_segment, 0);
}

static void test_when_a_session_ends_here_or_goes_on(void **state)
{
        (void)state;
        assert_int_equal(compare_end(own, theirs), END_SAME);
        theirs->ended = theirs->ended_by_writer = true;
        assert_int_equal(compare_end(own, theirs), END_NOW);
        own->generation = 2; /* another writer went on here */
        assert_int_equal(compare_end(own, theirs), END_SAME);
        own->generation = 1;
        theirs->ended_by_writer = false; /* nobody wrote there; here somebody does */
        assert_int_equal(compare_end(own, theirs), END_SAME);
        own->claimed = false;
        assert_int_equal(compare_end(own, theirs), END_NOW);

        own->state = SESSION_ENDED;
        own->end_us = 2000000;
        theirs->ended = false;
        assert_int_equal(compare_end(own, theirs), END_SAME); /* not longer than here */
        ends_at(15, 400);
        strcpy(track->name, PICTURES_TRACK);
        assert_int_equal(compare_end(own, theirs), END_SAME); /* a still picture of what was to come */
        strcpy(track->name, "v720");
        ends_at(12, 0);
        assert_int_equal(compare_end(own, theirs), END_REOPEN);
        own->ended_by_writer = true;
        assert_int_equal(compare_end(own, theirs), END_SAME);
        theirs->generation = 2;
        assert_int_equal(compare_end(own, theirs), END_REOPEN);
        own->state = SESSION_LIVE;
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_the_same_lacks_nothing),
                CASE(test_only_the_shorter_copy_lacks_something),
                CASE(test_what_a_writer_will_bring_in_a_moment_is_in_step_unless_asked_exactly),
                CASE(test_the_copy_last_written_by_the_older_generation_gives_way_from_the_segment_where_they_part),
                CASE(test_of_the_same_last_generation_the_one_older_at_the_parting_gives_way),
                CASE(test_of_one_generation_by_two_nodes_the_shorter_gives_way),
                CASE(test_an_era_without_a_chunk_is_not_compared),
                CASE(test_who_misses_the_beginning_takes_it_all),
                CASE(test_when_a_session_ends_here_or_goes_on),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
