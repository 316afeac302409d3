#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "proto/generation.h"
#include "tests/unit/origin_store.h"

static void test_first_claim_makes_the_proposed_session(void **state)
{
        (void)state;
        int err;
        struct session *s = claim("cam", "S1", 5000000, &err);
        assert_int_equal(err, 0);
        assert_string_equal(s->id, "S1");
        assert_int_equal(s->generation, 1);
        assert_int_equal(s->epoch_us, 5000000);
}

static void test_claim_of_a_live_stream_continues_its_session(void **state)
{
        (void)state;
        int err;
        struct session *s = claim("cam", "S1", 5000000, &err), *again = claim("cam", "S2", 9000000, &err);
        assert_ptr_equal(s, again);
        assert_int_equal(again->generation, 2);
        assert_int_equal(again->epoch_us, 5000000);
        assert_null(store_session(&store, "S2"));
}

/* By a transcoder without room: nothing may begin there, and no writer is fenced for nothing. */
static void test_a_claim_of_what_is_live_only_makes_and_changes_nothing_else(void **state)
{
        (void)state;
        struct claim c = {.stream = "cam", .session = "S2", .node = "t2", .flags = CLAIM_ONLY_LIVE};
        struct session *s, *found;
        int err;
        assert_int_equal(store_claim(&store, &c, &found), ERR_NOT_FOUND);
        assert_null(store_session(&store, "S2"));
        s = claim("cam", "S1", 0, &err);
        assert_int_equal(store_claim(&store, &c, &found), ERR_NOT_FOUND); /* nobody has seen anything of it */
        assert_int_equal(s->generation, 1);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        assert_int_equal(store_claim(&store, &c, &found), 0);
        assert_ptr_equal(found, s);
}

static void test_a_session_that_ended_at_another_origin_is_not_claimed_again_but_may_be_joined(void **state)
{
        (void)state;
        int err;
        struct session *s = claim("cam", "S1", 5000000, &err);
        s->over_elsewhere = true;
        assert_string_equal(claim("cam", "S2", 9000000, &err)->id, "S2");
        assert_null(join("cam", "S1", 5000000, 9, "t2", &err)); /* the newer one is there */
        assert_int_equal(err, ERR_FENCED);
        s = claim("other", "S3", 5000000, &err);
        s->over_elsewhere = true;
        assert_ptr_equal(join("other", "S3", 5000000, 9, "t1", &err), s); /* a writer knows of one that goes on with it */
        assert_ptr_equal(claim("other", "S4", 9000000, &err), s);
}

static void test_claim_tells_where_each_track_goes_on(void **state)
{
        (void)state;
        int err;
        struct session *s = claim("cam", "S1", 0, &err);
        struct claim_track t[SESSION_TRACKS_MAX];
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        assert_int_equal(add_track(s, "a128", fmp4_audio_init(), 0), 0);
        assert_int_equal(put_video(s, "v720", 0, 0), 0);
        assert_int_equal(put_video(s, "v720", 0, 1), 0);
        assert_int_equal(session_claim_tracks(s, t), 2);
        assert_string_equal(t[0].name, "v720");
        assert_int_equal(t[0].next_segment, 0);
        assert_int_equal(t[0].next_chunk, 2);
        assert_int_equal(t[0].end_us, 400000 - 20000); /* half a sample early: no sample begins before it */
        assert_int_equal(t[1].end_us, 0);
}

static void test_claim_is_answered_after_the_older_writers_chunk_is_in_or_out(void **state)
{
        (void)state;
        int err;
        struct session *s = claim("cam", "S1", 0, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        struct appended a = {.a = {.bytes = fmp4_video_chunk(0, 0, 10), .done = appended}};
        struct appended b = {.a = {.bytes = fmp4_video_chunk(0, 1, 10), .done = appended, .chunk = 1, .start_us = 200000}};
        chunk_log_append(s->tracks[0]->log, &a.a);
        chunk_log_append(s->tracks[0]->log, &b.a);
        struct claim c = make_claim("cam", "S2", 0);
        struct waited x = {.done = 0};
        session_claim(s, &c, &x.w, waited);
        assert_int_equal(b.status, ERR_FENCED);
        wait_done(&x.done);
        assert_int_equal(a.done, 1);
        assert_int_equal(a.status, 0);
        assert_int_equal(s->tracks[0]->log->index.end_ticks, 18000);
        buf_unref(&a.a.bytes);
        buf_unref(&b.a.bytes);
}

static void test_generation_survives_a_restart(void **state)
{
        (void)state;
        int err;
        claim("cam", "S1", 5000000, &err);
        claim("cam", "S2", 5000000, &err);
        stop_store();
        start_store();
        struct session *s = claim("cam", "S3", 9000000, &err);
        assert_string_equal(s->id, "S1");
        assert_int_equal(s->generation, 3);
}

static int put_short(struct session *s, unsigned place)
{
        return put_bytes(s, "v720", fmp4_chunk(place * UINT64_C(9000), 5, 1800, 40), place / 10, place % 10, place * INT64_C(100000));
}

static void test_a_session_keeps_the_grid_that_it_began_with(void **state)
{
        (void)state;
        int err;
        struct claim c = make_claim("cam", "S1", 0);
        struct claim_track t[SESSION_TRACKS_MAX];
        c.chunk_ms = CHUNK_MS_SHORT;
        struct session *s = claim_as(&c, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        for (unsigned place = 0; place < 18; place++)
                assert_int_equal(put_short(s, place), 0);
        assert_int_equal(put_bytes(s, "v720", fmp4_chunk(18 * 9000, 10, 1800, 40), 1, 4, 1800000), ERR_CONFLICT); /* on the usual grid */
        claim("cam", "S2", 0, &err); /* who goes on has it, whatever it would have */
        stop_store();
        start_store();
        s = claim("cam", "S3", 0, &err);
        assert_string_equal(s->id, "S1");
        assert_int_equal(s->chunk_ms, CHUNK_MS_SHORT);
        assert_int_equal(session_claim_tracks(s, t), 1);
        assert_int_equal(t[0].next_segment, 1);
        assert_int_equal(t[0].next_chunk, 8);
        assert_int_equal(put_short(s, 18), 0);
        assert_int_equal(session_sum(s).written_place, 18);
        c.flags = CLAIM_JOIN;
        c.generation = 9;
        c.chunk_ms = CHUNK_MS;
        assert_null(claim_as(&c, &err));
        assert_int_equal(err, ERR_CONFLICT);
        c.chunk_ms = 0; /* a shadow does not know it yet */
        assert_ptr_equal(claim_as(&c, &err), s);
        assert_int_equal(s->chunk_ms, CHUNK_MS_SHORT);
        assert_int_equal(claim("other", "S4", 0, &err)->chunk_ms, CHUNK_MS);
}

static void test_a_join_tells_the_grid_of_a_session_without_a_track(void **state)
{
        (void)state;
        int err;
        struct session *s = join("cam", "S1", 0, 3, "t1", &err); /* by a shadow that did not know it */
        assert_int_equal(s->chunk_ms, CHUNK_MS);
        struct claim c = make_claim("cam", "S1", 0);
        c.flags = CLAIM_JOIN;
        c.generation = 3;
        c.chunk_ms = CHUNK_MS_SHORT;
        assert_ptr_equal(claim_as(&c, &err), s);
        assert_int_equal(s->chunk_ms, CHUNK_MS_SHORT);
}

static void test_proposed_id_that_is_taken_is_refused(void **state)
{
        (void)state;
        int err;
        struct session *s = claim("cam", "S1", 0, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        assert_int_equal(end_session(s), 0);
        assert_null(claim("cam", "S1", 0, &err));
        assert_int_equal(err, ERR_CONFLICT);
        assert_null(claim("other", "S1", 0, &err));
        assert_int_equal(err, ERR_CONFLICT);
        assert_non_null(claim("cam", "S2", 0, &err));
}

static void test_more_live_sessions_than_allowed_are_refused(void **state)
{
        (void)state;
        int err;
        assert_non_null(claim("a", "S1", 0, &err));
        assert_non_null(claim("b", "S2", 0, &err));
        assert_non_null(claim("c", "S3", 0, &err));
        assert_non_null(claim("d", "S4", 0, &err));
        assert_null(claim("e", "S5", 0, &err));
        assert_int_equal(err, ERR_FULL);
        assert_non_null(claim("a", "S6", 0, &err)); /* goes on with S1 */
}

static void test_track_with_other_bytes_is_a_conflict_and_the_same_is_fine(void **state)
{
        (void)state;
        int err;
        struct session *s = claim("cam", "S1", 0, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        assert_int_equal(add_track(s, "v720", fmp4_init_with(1, 640, 360, -2), 0), ERR_CONFLICT);
        assert_int_equal(add_track(s, "v360", fmp4_video_chunk(0, 0, 10), 0), ERR_PROTO);
        assert_int_equal(s->track_count, 1);
}

static void test_a_track_that_two_writers_declare_at_once_is_made_for_both(void **state)
{
        (void)state;
        int err;
        struct session *s = claim("cam", "S1", 0, &err);
        struct buf *init = fmp4_video_init();
        struct added a[3] = {{0}};
        struct put p = {.flags = PUT_INIT, .track = "v720", .bytes = init->data, .len = (uint32_t)init->len};
        for (int i = 0; i < 3; i++)
                session_add_track(s, &p, added, &a[i]);
        assert_int_equal(a[1].done, 0);
        for (int i = 0; i < 3; i++) {
                wait_done(&a[i].done);
                assert_int_equal(a[i].status, 0);
        }
        assert_int_equal(s->track_count, 1);
        assert_int_equal(s->saved_version, s->version);
        assert_int_equal(put_video(s, "v720", 0, 0), 0);
        buf_unref(&init);
}

static void test_a_track_that_cannot_be_made_is_refused_to_all_who_declared_it(void **state)
{
        (void)state;
        int err;
        struct session *s = claim("cam", "S1", 0, &err);
        struct buf *init = fmp4_video_init();
        struct added a[2] = {{0}};
        struct put p = {.flags = PUT_INIT, .track = "v720", .bytes = init->data, .len = (uint32_t)init->len};
        char folder[120], away[120];
        snprintf(folder, sizeof(folder), "%s/cam/S1", data_dir);
        snprintf(away, sizeof(away), "%s/cam/away", data_dir);
        assert_int_equal(rename(folder, away), 0);
        for (int i = 0; i < 2; i++)
                session_add_track(s, &p, added, &a[i]);
        for (int i = 0; i < 2; i++) {
                wait_done(&a[i].done);
                assert_true(a[i].status < 0);
        }
        assert_int_equal(s->track_count, 0);
        assert_int_equal(rename(away, folder), 0);
        buf_unref(&init);
}

static void test_end_twice_is_answered_twice(void **state)
{
        (void)state;
        int err;
        struct session *s = claim("cam", "S1", 0, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        assert_int_equal(put_video(s, "v720", 0, 0), 0);
        assert_int_equal(end_session(s), 0);
        assert_int_equal(s->state, SESSION_ENDED);
        assert_int_equal(s->end_us, 200000);
        assert_int_equal(end_session(s), 0);
}

static void test_session_with_many_tracks_ends_once(void **state)
{
        (void)state;
        int err;
        struct session *s = claim("cam", "S1", 0, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        assert_int_equal(add_track(s, "a128", fmp4_audio_init(), 0), 0);
        assert_int_equal(put_video(s, "v720", 0, 0), 0);
        assert_int_equal(put_audio(s, "a128", 0), 0);
        uint64_t version = s->version;
        assert_int_equal(end_session(s), 0);
        assert_in_range(s->version, version + 1, version + 3); /* and once more for each volume that is closed then */
        assert_int_equal(s->end_us, 1000000);
}

static void test_a_claim_is_above_what_the_writer_has_seen_elsewhere(void **state)
{
        (void)state;
        int err;
        struct claim c = make_claim("cam", "S1", 0);
        c.generation = 6;
        assert_int_equal(claim_as(&c, &err)->generation, 7);
        c.generation = 2;
        assert_int_equal(claim_as(&c, &err)->generation, 8);
}

static void test_the_last_generations_fence_no_stream(void **state)
{
        static const uint32_t last[] = {UINT32_MAX, UINT32_MAX - 1, UINT32_MAX / 2 + 1};
        (void)state;
        int err;
        for (size_t i = 0; i < sizeof(last) / sizeof(last[0]); i++) {
                char stream[16], id[16];
                snprintf(stream, sizeof(stream), "cam%zu", i);
                snprintf(id, sizeof(id), "S%zu", i);
                struct claim c = make_claim(stream, id, 0);
                c.generation = last[i];
                struct session *s = claim_as(&c, &err);
                assert_int_equal(err, 0);
                assert_int_equal(s->generation, 1); /* what nobody can have been given does not count */
                assert_int_equal(claim_as(&c, &err)->generation, 2);
                assert_null(join(stream, id, 0, last[i], "stranger", &err));
                assert_int_equal(err, ERR_LIMIT);
                assert_string_equal(s->node, "t1");
                session_adopt_generation(s, last[i], "stranger"); /* as another origin tells it */
                assert_int_equal(s->generation, 2);
                assert_int_equal(claim(stream, "S9", 0, &err)->generation, 3);
                assert_null(join("new", "S8", 0, last[i], "stranger", &err));
                assert_int_equal(err, ERR_LIMIT);
        }
}

/* Claimed in each second since 1970 it would be there by itself: a second later it goes on. */
static void test_the_highest_generation_that_there_can_be_is_overtaken(void **state)
{
        (void)state;
        int err;
        struct session *s = claim("cam", "S1", 0, &err);
        uint32_t limit = generation_limit(clock_wall_us());
        assert_ptr_equal(join("cam", "S1", 0, limit, "stranger", &err), s);
        UNTIL(&loop, claim("cam", "S2", 0, &err) || err != ERR_LIMIT);
        assert_int_equal(err, 0);
        assert_in_range(s->generation, limit + 1, limit + 5);
        assert_string_equal(s->node, "t1");
}

/* As a damaged file, or a version that took it, left it. */
static void test_a_session_that_has_no_generation_left_ends_and_the_stream_goes_on(void **state)
{
        (void)state;
        int err;
        struct session *s = claim("cam", "S1", 0, &err);
        s->generation = UINT32_MAX;
        struct session *next = claim("cam", "S2", 1000000, &err);
        assert_int_equal(err, 0);
        assert_string_equal(next->id, "S2");
        assert_int_equal(next->generation, 1);
        assert_int_equal(s->state, SESSION_ENDED);
}

static void test_a_join_makes_the_session_with_its_generation(void **state)
{
        (void)state;
        int err;
        struct session *s = join("cam", "S1", 5000000, 7, "t1", &err);
        assert_int_equal(err, 0);
        assert_int_equal(s->generation, 7);
        assert_int_equal(s->epoch_us, 5000000);
        assert_ptr_equal(join("cam", "S1", 5000000, 7, "t1", &err), s); /* the same writer again */
        assert_int_equal(err, 0);
}

static void test_a_join_of_an_older_writer_is_fenced(void **state)
{
        (void)state;
        int err;
        assert_non_null(join("cam", "S1", 0, 7, "t1", &err));
        assert_null(join("cam", "S1", 0, 6, "t1", &err));
        assert_int_equal(err, ERR_FENCED);
        assert_null(join("cam", "S1", 0, 7, "t2", &err)); /* two writers, one generation */
        assert_int_equal(err, ERR_FENCED);
        assert_non_null(join("cam", "S1", 0, 8, "t2", &err));
}

static void test_a_join_ends_an_older_session_of_the_stream_but_not_a_newer_one(void **state)
{
        (void)state;
        int err;
        struct session *old = claim("cam", "S1", 1000000, &err);
        assert_int_equal(add_track(old, "v720", fmp4_video_init(), 0), 0);
        assert_int_equal(put_video(old, "v720", 0, 0), 0);
        assert_non_null(join("cam", "S2", 2000000, 1, "t1", &err));
        assert_int_equal(old->state, SESSION_ENDED);
        assert_null(join("cam", "S0", 500000, 9, "t2", &err));
        assert_int_equal(err, ERR_FENCED);
        assert_null(join("cam", "S1", 1000000, 9, "t1", &err));
        assert_int_equal(err, ERR_CLOSED);
        assert_null(join("other", "S2", 2000000, 9, "t1", &err));
        assert_int_equal(err, ERR_CONFLICT);
}

static void test_a_join_takes_the_place_of_what_only_the_same_writers_claim_made(void **state)
{
        (void)state;
        int err;
        struct session *made = claim("cam", "S9", 9000000, &err); /* by one that does not know what its peer has */
        assert_null(join("cam", "S1", 1000000, 9, "t2", &err));
        assert_int_equal(err, ERR_FENCED);
        assert_non_null(join("cam", "S1", 1000000, 9, made->node, &err));
        assert_int_equal(made->state, SESSION_ENDED);
}

static void test_written_generation_is_of_the_newest_stored_chunk_and_survives_a_restart(void **state)
{
        (void)state;
        int err;
        struct session *s = claim("cam", "S1", 0, &err);
        assert_int_equal(session_written_generation(s), 0);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        assert_int_equal(session_written_generation(s), 0);
        assert_int_equal(put_video(s, "v720", 0, 0), 0);
        assert_int_equal(session_written_generation(s), 1);
        s = join("cam", "S1", 0, 4, "t2", &err);
        assert_int_equal(session_written_generation(s), 1); /* claimed, not written */
        stop_store();
        start_store();
        s = store_session(&store, "S1");
        assert_int_equal(s->generation, 4);
        assert_int_equal(session_written_generation(s), 1);
        s = join("cam", "S1", 0, 4, "t2", &err);
        assert_int_equal(put_video(s, "v720", 0, 1), 0);
        assert_int_equal(session_written_generation(s), 4);
        stop_store();
        start_store();
        s = store_session(&store, "S1");
        assert_int_equal(session_written_generation(s), 4);
        assert_int_equal(eras_at(&s->tracks[0]->eras, 0)->generation, 1);
        assert_int_equal(eras_at(&s->tracks[0]->eras, 1)->generation, 4);
        assert_string_equal(eras_at(&s->tracks[0]->eras, 1)->node, "t2");
}

static void test_an_era_is_on_disk_before_its_first_chunk(void **state)
{
        (void)state;
        int err;
        struct session *s = claim("cam", "S1", 0, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        uint64_t saved = s->saved_version;
        assert_int_equal(put_video(s, "v720", 0, 0), 0);
        assert_int_equal(s->saved_version, saved + 1);
        assert_int_equal(put_video(s, "v720", 0, 1), 0);
        assert_int_equal(s->version, saved + 1); /* once a writer */
}

static void test_a_restored_session_is_not_claimed(void **state)
{
        (void)state;
        int err;
        assert_true(claim("cam", "S1", 0, &err)->claimed);
        stop_store();
        start_store();
        assert_false(store_session(&store, "S1")->claimed);
        assert_true(join("cam", "S1", 0, 1, "t1", &err)->claimed);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup_store, teardown_store)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_first_claim_makes_the_proposed_session),
                CASE(test_claim_of_a_live_stream_continues_its_session),
                CASE(test_a_claim_of_what_is_live_only_makes_and_changes_nothing_else),
                CASE(test_a_session_that_ended_at_another_origin_is_not_claimed_again_but_may_be_joined),
                CASE(test_claim_tells_where_each_track_goes_on),
                CASE(test_claim_is_answered_after_the_older_writers_chunk_is_in_or_out),
                CASE(test_generation_survives_a_restart),
                CASE(test_a_session_keeps_the_grid_that_it_began_with),
                CASE(test_a_join_tells_the_grid_of_a_session_without_a_track),
                CASE(test_proposed_id_that_is_taken_is_refused),
                CASE(test_more_live_sessions_than_allowed_are_refused),
                CASE(test_track_with_other_bytes_is_a_conflict_and_the_same_is_fine),
                CASE(test_a_track_that_two_writers_declare_at_once_is_made_for_both),
                CASE(test_a_track_that_cannot_be_made_is_refused_to_all_who_declared_it),
                CASE(test_end_twice_is_answered_twice),
                CASE(test_session_with_many_tracks_ends_once),
                CASE(test_a_claim_is_above_what_the_writer_has_seen_elsewhere),
                CASE(test_the_last_generations_fence_no_stream),
                CASE(test_the_highest_generation_that_there_can_be_is_overtaken),
                CASE(test_a_session_that_has_no_generation_left_ends_and_the_stream_goes_on),
                CASE(test_a_join_makes_the_session_with_its_generation),
                CASE(test_a_join_of_an_older_writer_is_fenced),
                CASE(test_a_join_ends_an_older_session_of_the_stream_but_not_a_newer_one),
                CASE(test_a_join_takes_the_place_of_what_only_the_same_writers_claim_made),
                CASE(test_written_generation_is_of_the_newest_stored_chunk_and_survives_a_restart),
                CASE(test_an_era_is_on_disk_before_its_first_chunk),
                CASE(test_a_restored_session_is_not_claimed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
