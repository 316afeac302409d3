#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include "originD/stats.h"
#include "tests/unit/two_origins.h"
#include "tests/unit/until.h"

static void test_what_was_missed_is_there_again_after_a_restart(void **state)
{
        (void)state;
        both(7, 7);
        stop(&a);
        write_chunks(at(&b, "S1"), 7, 33, 40);
        start(&a);
        until(&a.caught_up);
        assert_int_equal(chunks_of(at(&a, "S1")), 33);
        until_same("S1");
        assert_int_equal(chunks_of(at(&a, "S1")), 33);
        assert_false(at(&a, "S1")->claimed);
        assert_int_equal(eras_at(&at(&a, "S1")->tracks[0]->eras, 32)->generation, 1);
}

static void test_an_empty_origin_gets_all_tracks_and_the_end(void **state)
{
        (void)state;
        stop(&a);
        struct session *s = claim_at(&b, "S1", 0, "t1");
        add_track(s, "v720", fmp4_video_init());
        add_track(s, "a128", fmp4_audio_init());
        write_chunks(s, 0, 23, 40);
        s->long_parts = false; /* an older version began it */
        end_session(s);
        start(&a);
        until_same("S1");
        struct session *copy = at(&a, "S1");
        assert_false(copy->long_parts);
        assert_int_equal(copy->state, SESSION_ENDED);
        assert_true(copy->ended_by_writer);
        assert_int_equal(copy->end_us, s->end_us);
        assert_int_equal(copy->ended_wall_us, s->ended_wall_us);
        assert_int_equal(copy->track_count, 2);
        assert_int_equal(copy->tracks[0]->at_end.end_us, 4600000);
        assert_int_equal(copy->tracks[0]->at_end.file_bytes, s->tracks[0]->at_end.file_bytes);
        assert_int_equal(copy->tracks[1]->init_bytes->len, s->tracks[1]->init_bytes->len); /* declared, and nothing put */
        stop(&a); /* and it is the same when it is read again */
        start(&a);
        until(&a.settled);
        assert_int_equal(loaded(at(&a, "S1"))->tracks[0]->at_end.end_us, 4600000);
        assert_false(at(&a, "S1")->long_parts);
}

/* What players are told of parts is to be the same at all origins, and the same as long as the session lasts. */
static void test_a_session_begins_with_long_parts_where_all_origins_know_them(void **state)
{
        (void)state;
        b.old = true;
        b.incarnation_us++;
        catch_up_peers_changed(a.catch_up);
        assert_false(claim_at(&a, "S1", 0, "t1")->long_parts);
        end_session(at(&a, "S1"));
        b.up = false; /* it is known all the same */
        catch_up_peers_changed(a.catch_up);
        assert_false(claim_at(&a, "S2", 0, "t1")->long_parts);
        end_session(at(&a, "S2"));
        b.old = false;
        b.up = true;
        b.incarnation_us++;
        catch_up_peers_changed(a.catch_up);
        assert_true(claim_at(&a, "S3", 0, "t1")->long_parts);
        end_session(at(&a, "S3"));
        b.old = true; /* it says nothing of that, but has what it could not have otherwise */
        b.incarnation_us++;
        claim_at(&b, "S4", 0, "t1");
        catch_up_peers_changed(a.catch_up);
        assert_false(a.store.long_parts);
        UNTIL(&loop, a.store.long_parts);
}

/* One was not there when it began, and is older; or both began it before they knew of each other. */
static void test_where_another_origin_has_a_session_without_long_parts_it_has_none_here(void **state)
{
        (void)state;
        both(3, 3);
        assert_true(at(&a, "S1")->long_parts && at(&b, "S1")->long_parts);
        at(&b, "S1")->long_parts = false;
        UNTIL(&loop, !at(&a, "S1")->long_parts);
        until_same("S1");
        assert_false(at(&b, "S1")->long_parts);
        stop(&b);
        stop(&a);
        start(&a); /* alone: by what it has saved */
        assert_false(at(&a, "S1")->long_parts);
        start(&b);
}

static void test_answers_that_are_cut_anywhere_lose_and_double_nothing(void **state)
{
        (void)state;
        both(3, 3);
        stop(&a);
        write_chunks(at(&b, "S1"), 3, 21, 40);
        b.max_bytes = 1000; /* somewhere in a chunk */
        start(&a);
        until_same("S1");
        assert_int_equal(chunks_of(at(&a, "S1")), 21);
}

/* It is not copied chunk by chunk where whole volumes are, and nothing else tells of it there. */
static void test_captions_that_were_said_while_an_origin_was_away_are_known_there_too(void **state)
{
        (void)state;
        both(3, 3);
        stop(&a);
        at(&b, "S1")->captions = true;
        start(&a);
        until_same("S1");
        until(&a.caught_up);
        assert_true(at(&a, "S1")->captions);
        stop(&a); /* and are on the disk */
        start(&a);
        assert_true(at(&a, "S1")->captions);
}

/* Of a broadcast that stood still for longer than it was once looked for: all in one volume, so nothing tells where it goes on. */
static void test_cues_that_came_while_an_origin_was_away_are_known_there_too(void **state)
{
        (void)state;
        both(3, 3);
        stop(&a);
        json_t *said = json_loads("[[1000000, 7, 5000, 0, \"7B7D\"]]", 0, NULL);
        write_chunks(at(&b, "S1"), 3, 21, 40);
        assert_int_equal(cues_from_json(&at(&b, "S1")->cues, said), 1);
        start(&a);
        until_same("S1");
        until(&a.caught_up);
        stop(&a); /* and are on the disk */
        start(&a);
        json_t *known = cues_to_json(at(&a, "S1")->cues);
        assert_true(json_equal(known, said));
        json_decref(known);
        json_decref(said);
}

static void test_a_hole_of_more_than_ten_minutes_is_copied_over(void **state)
{
        (void)state;
        stop(&a);
        stop(&b);
        options.volume_segments = VOLUME_SEGMENTS_MAX;
        start(&b);
        struct session *s = claim_at(&b, "S1", 0, "t1");
        add_track(s, "v720", fmp4_video_init());
        write_chunks(s, 0, 7, 40);
        write_chunks(s, 5 * 700, 5 * 700 + 7, 40);
        start(&a);
        until_same("S1");
        assert_int_equal(chunks_of(at(&a, "S1")), 14);
}

static void test_a_peer_that_dies_under_way_is_continued_from_when_it_is_back(void **state)
{
        (void)state;
        both(3, 3);
        stop(&a);
        write_chunks(at(&b, "S1"), 3, 28, 40);
        b.fail_after = 5;
        start(&a);
        UNTIL(&loop, b.fetches >= b.fail_after && !under_way);
        assert_true(chunks_of(at(&a, "S1")) < 28);
        b.up = false;
        catch_up_peers_changed(a.catch_up);
        b.fail_after = 0;
        b.up = true;
        catch_up_peers_changed(a.catch_up);
        until_same("S1");
}

/* Its disk may be another one, and what stands there another writer's. */
static void test_what_was_heard_of_a_peer_is_forgotten_when_it_starts_anew(void **state)
{
        (void)state;
        both(3, 3);
        stop(&a);
        write_chunks(at(&b, "S1"), 3, 40, 40);
        b.max_bytes = 700;
        start(&a);
        UNTIL(&loop, chunks_of(at(&a, "S1")) >= 8);
        size_t before = chunks_of(at(&a, "S1"));
        b.fails = "/peer/session/";
        b.incarnation_us++; /* that it was away was not even seen */
        catch_up_peers_changed(a.catch_up);
        int64_t end = clock_mono_us() + US_PER_S / 2;
        UNTIL(&loop, clock_mono_us() >= end);
        assert_true(chunks_of(at(&a, "S1")) <= before + 1); /* what was being written */
        b.fails = NULL;
        until_same("S1");
}

static void newer_generation_wins_on(uint8_t chunk_ms)
{
        grid_ms = chunk_ms;
        both(12, 12);
        stop(&a);
        claim_at(&b, "S1", 2, "t2");
        write_chunks(at(&b, "S1"), 12, 23, 60);
        stop(&b);
        start(&a);
        claim_at(&a, "S1", 3, "t3");
        write_chunks(at(&a, "S1"), 12, 19, 80); /* shorter, but newer */
        struct buf *newest = volume_file(&a, "S1", "v720", 0);
        start(&b);
        until_same("S1");
        struct buf *now = volume_file(&b, "S1", "v720", 0);
        assert_int_equal(now->len, newest->len);
        assert_memory_equal(now->data, newest->data, now->len);
        assert_int_equal(at(&b, "S1")->generation, 3);
        assert_int_equal(session_written_generation(at(&b, "S1")), 3);
        assert_int_equal(eras_at(&at(&b, "S1")->tracks[0]->eras, 12)->generation, 3);
        assert_int_equal(eras_at(&at(&b, "S1")->tracks[0]->eras, 11)->generation, 1);
        assert_int_equal(at(&b, "S1")->chunk_ms, chunk_ms);
        buf_unref(&newest);
        buf_unref(&now);
}

static void test_the_newer_generation_wins_on_both_sides_and_from_the_beginning_of_the_segment(void **state)
{
        (void)state;
        newer_generation_wins_on(CHUNK_MS);
}

static void test_the_newer_generation_wins_on_the_short_grid_too(void **state)
{
        (void)state;
        newer_generation_wins_on(CHUNK_MS_SHORT);
}

static void test_what_an_origin_lacks_of_a_session_on_the_short_grid_it_has_on_that_one(void **state)
{
        (void)state;
        grid_ms = CHUNK_MS_SHORT;
        stop(&a);
        struct session *s = claim_at(&b, "S1", 0, "t1");
        add_track(s, "v720", fmp4_video_init());
        write_chunks(s, 0, 37, 40);
        start(&a);
        until_same("S1");
        assert_int_equal(at(&a, "S1")->chunk_ms, CHUNK_MS_SHORT);
        assert_int_equal(chunks_of(at(&a, "S1")), 37);
        write_chunks(claim_at(&a, "S1", 0, "t1"), 37, 43, 40); /* where it goes on */
}

static void run_for(int64_t us)
{
        int64_t end = clock_mono_us() + us;
        UNTIL(&loop, clock_mono_us() >= end);
}

/* The bytes of a's volume are there all the time, so far. */
static void keeps(const struct buf *so_far)
{
        struct buf *now = volume_file(&a, "S1", "v720", 0);
        assert_true(now && now->len >= so_far->len && memcmp(now->data, so_far->data, so_far->len) == 0);
        buf_unref(&now);
}

static void test_nothing_that_both_have_is_cut_and_nothing_at_all_before_the_other_has_shown_what_is_to_stand_there(void **state)
{
        (void)state;
        both(12, 12);
        struct buf *both_have = volume_file(&a, "S1", "v720", 0), *all;
        stop(&b);
        write_chunks(at(&a, "S1"), 12, 17, 40);
        all = volume_file(&a, "S1", "v720", 0);
        stop(&a);
        start(&b);
        claim_at(&b, "S1", 2, "t2");
        write_chunks(at(&b, "S1"), 12, 23, 60);
        b.fails = "/live/cam/S1/v720/2.m4s"; /* where they part */
        start(&a);
        run_for(US_PER_S);
        keeps(all);
        b.fails = NULL;
        b.max_bytes = 500; /* it takes its time */
        for (int64_t end = clock_mono_us() + PATIENCE_US; !all_same("S1") && clock_mono_us() < end;) {
                uv_run(&loop, UV_RUN_ONCE);
                keeps(both_have);
        }
        until_same("S1");
        buf_unref(&both_have);
        buf_unref(&all);
}

/* The newer era begins inside a chunk that both have: sound is not cut where pictures are. */
static void test_eras_that_part_inside_what_both_have_are_the_others_and_nothing_is_cut_twice(void **state)
{
        (void)state;
        both(13, 13);
        stop(&a);
        claim_at(&b, "S1", 2, "t2");
        write_chunks(at(&b, "S1"), 13, 23, 60);
        eras_begin(&at(&b, "S1")->tracks[0]->eras, 12, 2, "t2");
        int64_t cuts = stat_get(STAT_CATCH_UP_CUT);
        start(&a);
        until_same("S1");
        run_for(US_PER_S / 2);
        assert_true(stat_get(STAT_CATCH_UP_CUT) <= cuts + 1);
        assert_int_equal(eras_at(&at(&a, "S1")->tracks[0]->eras, 12)->generation, 2);
}

static void test_a_track_that_another_writer_began_is_taken_whole_with_its_init_segment(void **state)
{
        (void)state;
        stop(&b);
        struct session *s = claim_at(&a, "S1", 0, "t1");
        add_track(s, "v720", fmp4_init_with(1, 640, 360, -2));
        write_chunks(s, 0, 9, 40);
        stop(&a);
        start(&b);
        s = claim_at(&b, "S1", 4, "t2");
        add_track(s, "v720", fmp4_video_init());
        write_chunks(s, 0, 6, 50);
        start(&a);
        until_same("S1");
        assert_int_equal(at(&a, "S1")->tracks[0]->init.width, 1280);
        assert_int_equal(chunks_of(at(&a, "S1")), 6);
}

static void test_a_recording_that_ended_too_early_here_gets_its_rest(void **state)
{
        (void)state;
        both(9, 9);
        stop(&a);
        write_chunks(at(&b, "S1"), 9, 21, 40);
        stop(&b);
        start(&a);
        session_end(at(&a, "S1"), 0, false, NULL, NULL); /* nobody wrote here any more */
        UNTIL(&loop, at(&a, "S1")->state != SESSION_LIVE);
        start(&b);
        claim_at(&b, "S1", 1, "t1");
        end_session(at(&b, "S1"));
        until_same("S1");
        UNTIL(&loop, at(&a, "S1")->tracks[0]->at_end.end_us >= 4200000);
        assert_int_equal(at(&a, "S1")->state, SESSION_ENDED);
}

static void test_a_session_that_goes_on_elsewhere_is_live_again(void **state)
{
        (void)state;
        both(9, 9);
        stop(&b);
        session_end(at(&a, "S1"), 0, false, NULL, NULL);
        UNTIL(&loop, at(&a, "S1")->state != SESSION_LIVE);
        start(&b);
        claim_at(&b, "S1", 2, "t2");
        write_chunks(at(&b, "S1"), 9, 16, 40);
        catch_up_look(a.catch_up, at(&a, "S1"));
        until_same("S1");
        assert_int_equal(at(&a, "S1")->state, SESSION_LIVE);
        claim_at(&a, "S1", 2, "t2"); /* so its writer can join it */
        write_chunks(at(&a, "S1"), 16, 17, 40);
}

static void test_a_writer_and_a_copy_that_meet_lose_and_double_nothing(void **state)
{
        (void)state;
        both(5, 40);
        catch_up_look(a.catch_up, at(&a, "S1"));
        for (unsigned i = 5; i < 45; i++) { /* from memory, as far back as it reaches */
                write_chunks(at(&a, "S1"), i, i + 1, 40);
                if (i >= 40)
                        write_chunks(at(&b, "S1"), i, i + 1, 40);
        }
        until_same("S1");
        assert_int_equal(chunks_of(at(&a, "S1")), 45);
}

static void test_a_segment_of_which_each_has_another_writers_chunks_under_one_generation_is_taken_whole(void **state)
{
        (void)state;
        for (unsigned places = 2; places < 13; places += 5) { /* in the track's first segment, and later */
                for (uint32_t size = 30; size < 400; size += 100) { /* shorter and longer than the other's */
                        both(places / 5 * 5, places / 5 * 5);
                        write_chunks(at(&a, "S1"), places / 5 * 5, places, size);
                        write_chunks(at(&b, "S1"), places / 5 * 5, places, 40);
                        stop(&a);
                        write_chunks(at(&b, "S1"), places, 23, 40);
                        start(&a);
                        until_same("S1");
                        assert_int_equal(chunks_of(at(&a, "S1")), 23);
                        teardown(state);
                        setup(state);
                }
        }
}

static void woken(struct catch_up_wait *w, int status)
{
        (void)status;
        w->session[0] = '\0';
}

static void test_who_waits_for_a_session_is_told_when_it_was_compared_and_copied(void **state)
{
        (void)state;
        struct catch_up_wait w;
        both(5, 12);
        assert_true(catch_up_wait(a.catch_up, at(&a, "S1"), &w, woken));
        UNTIL(&loop, !w.session[0]);
        assert_int_equal(chunks_of(at(&a, "S1")), 12);
        stop(&b);
        assert_false(catch_up_wait(a.catch_up, at(&a, "S1"), &w, woken)); /* nobody could have it */
}

static void told(struct catch_up_wait *w, int status)
{
        snprintf(w->session, sizeof(w->session), "%d", status);
}

static void test_who_waits_is_not_held_for_ever_by_a_peer_that_fails_or_does_not_answer(void **state)
{
        (void)state;
        struct catch_up_wait w;
        char text[16];
        both(5, 12);
        b.fail_after = 1;
        assert_true(catch_up_wait(a.catch_up, at(&a, "S1"), &w, told));
        UNTIL(&loop, strcmp(w.session, "S1") != 0);
        assert_string_equal(w.session, "0"); /* it cannot be got now */
        b.frozen = true;
        assert_true(catch_up_wait(a.catch_up, at(&a, "S1"), &w, told));
        UNTIL(&loop, strcmp(w.session, "S1") != 0);
        snprintf(text, sizeof(text), "%d", ERR_NOT_YET);
        assert_string_equal(w.session, text);
        b.frozen = false;
        b.fail_after = 0;
        until_same("S1");
}

static void test_a_recording_that_retention_removed_does_not_come_back(void **state)
{
        (void)state;
        both(5, 5);
        end_session(at(&a, "S1"));
        end_session(at(&b, "S1"));
        a.store.removed_until_wall_us = at(&a, "S1")->ended_wall_us + US_PER_S;
        UNTIL(&loop, !session_busy(at(&a, "S1")));
        store_remove(&a.store, at(&a, "S1"));
        unsigned before = b.fetches;
        b.fail_after = 1000000; /* counts */
        catch_up_peers_changed(a.catch_up);
        b.incarnation_us++;
        catch_up_peers_changed(a.catch_up);
        UNTIL(&loop, b.fetches >= before + 2 && !under_way);
        assert_null(at(&a, "S1"));
        assert_int_equal(b.fetches, before + 2); /* the two lists, and nothing else */
}

/* ---- whatever happens --------------------------------------------------------------------------------------------- */

/* A writer as transcoderd is one: it goes on where the best of those that are up ends, and writes where it is in step. */
struct source {
        uint32_t generation;
        unsigned place; /* of its next chunk */
        bool alive;
};

static uint64_t end_of(const struct session *s)
{
        return track_end_place(s, s->tracks[0]);
}

static bool open_here(struct node *n)
{
        struct session *s = n->catch_up ? at(n, "S1") : NULL;
        return s && s->state == SESSION_LIVE && !s->ending && s->track_count && s->tracks[0]->log;
}

/* false: fenced there, or the session is not open. */
static bool try_join(struct node *n, uint32_t generation, const char *name)
{
        struct claim c = {.stream = "cam", .session = "S1", .epoch_us = 5000000, .grace_ms = 30000, .flags = CLAIM_JOIN,
                          .generation = generation};
        struct waited x = {.done = false};
        struct session *s;
        strcpy(c.node, name);
        if (store_claim(&n->store, &c, &s))
                return false;
        session_claim(s, &c, &x.w, waited);
        until(&x.done);
        return true;
}

static void new_writer(struct source *w)
{
        struct node *nodes[] = {&a, &b};
        struct session *best = NULL;
        uint32_t generation = 0;
        char name[16];
        for (int i = 0; i < 2; i++) {
                if (!open_here(nodes[i]))
                        continue;
                struct session *s = at(nodes[i], "S1");
                uint32_t x = session_written_generation(s), y = best ? session_written_generation(best) : 0;
                generation = s->generation > generation ? s->generation : generation;
                if (!best || x > y || (x == y && end_of(s) > end_of(best)))
                        best = s;
        }
        *w = (struct source){.alive = best != NULL, .generation = generation + 1};
        snprintf(name, sizeof(name), "t%u", w->generation);
        for (int i = 0; i < 2 && best; i++)
                w->alive &= !open_here(nodes[i]) || try_join(nodes[i], w->generation, name);
        if (w->alive)
                w->place = (unsigned)end_of(best); /* as the answer to its claim says */
}

static void write_one(struct source *w, struct node *n)
{
        struct session *s = open_here(n) ? at(n, "S1") : NULL;
        char name[16];
        snprintf(name, sizeof(name), "t%u", w->generation);
        if (s && (s->generation != w->generation || !s->claimed))
                w->alive &= try_join(n, w->generation, name);
        if (!w->alive || !s || !open_here(n) || s->generation != w->generation || end_of(s) != w->place)
                return;
        struct appended x = {.a = {.segment = w->place / 5, .chunk = (uint8_t)(w->place % 5), .generation = w->generation,
                                   .start_us = w->place * INT64_C(200000), .done = appended}};
        x.a.bytes = fmp4_video_chunk(w->place / 5, w->place % 5, 40 + w->generation);
        chunk_log_append(s->tracks[0]->log, &x.a);
        until(&x.done);
        buf_unref(&x.a.bytes);
}

static void write_some(struct source *w)
{
        for (unsigned left = 1 + pick(9); left && w->alive; left--) {
                uint64_t before = (open_here(&a) ? end_of(at(&a, "S1")) : 0) + (open_here(&b) ? end_of(at(&b, "S1")) : 0);
                write_one(w, pick(2) ? &a : &b);
                write_one(w, &a);
                write_one(w, &b);
                w->place += before != (open_here(&a) ? end_of(at(&a, "S1")) : 0) + (open_here(&b) ? end_of(at(&b, "S1")) : 0);
        }
}

static void step(struct source *w)
{
        struct node *n = pick(2) ? &a : &b;
        switch (pick(8)) {
        case 0:
                new_writer(w);
                break;
        case 1:
                if (n->catch_up && n->other->catch_up)
                        stop(n);
                break;
        case 2: /* both are down for a while */
                if (n->catch_up)
                        stop(n);
                break;
        case 3:
        case 4:
                if (!n->catch_up)
                        start(n);
                break;
        case 5: /* they do not see each other */
                n->up = !n->up && n->catch_up;
                if (n->other->catch_up)
                        catch_up_peers_changed(n->other->catch_up);
                break;
        case 6:
                n->max_bytes = pick(3) ? 0 : 200 + pick(3000);
                break;
        default:
                for (unsigned i = pick(30); i; i--)
                        uv_run(&loop, UV_RUN_NOWAIT);
        }
        write_some(w);
}

static void check_whole(struct node *n)
{
        const struct session *s = at(n, "S1");
        const struct index *ix = &s->tracks[0]->log->index;
        assert_int_equal(ix->samples, ix->end_ticks / 3600); /* nothing is missing, nothing is there twice */
        assert_int_equal(ix->start_ticks, 0);
        const struct eras *e = &s->tracks[0]->eras;
        for (size_t i = 1; i < e->count; i++)
                assert_true(e->list[i - 1].generation < e->list[i].generation);
}

static void test_whatever_happens_both_end_up_with_the_same(void **state)
{
        (void)state;
        struct node *nodes[] = {&a, &b};
        uint64_t seed = random_option("SEED", 1);
        for (uint64_t n = random_option("SEEDS", RANDOM_SEEDS); n; n--, seed++) {
                struct source w = {.generation = 1, .place = 5, .alive = true};
                random_begin(seed);
                both(5, 5);
                for (int i = 0; i < 40; i++)
                        step(&w);
                for (int i = 0; i < 2; i++) {
                        if (!nodes[i]->catch_up)
                                start(nodes[i]);
                        nodes[i]->up = true;
                        nodes[i]->max_bytes = 0;
                }
                catch_up_peers_changed(a.catch_up);
                catch_up_peers_changed(b.catch_up);
                for (int i = 0; i < 2; i++) /* its writer is gone */
                        if (at(nodes[i], "S1"))
                                at(nodes[i], "S1")->heard_mono_us -= 3 * US_PER_S;
                fprintf(stderr, "seed=%llu generations=%u chunks=%u\n", (unsigned long long)seed, w.generation, w.place);
                until_same("S1");
                check_whole(&a);
                check_whole(&b);
                teardown(state);
                setup(state);
        }
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_what_was_missed_is_there_again_after_a_restart),
                CASE(test_an_empty_origin_gets_all_tracks_and_the_end),
                CASE(test_a_session_begins_with_long_parts_where_all_origins_know_them),
                CASE(test_where_another_origin_has_a_session_without_long_parts_it_has_none_here),
                CASE(test_answers_that_are_cut_anywhere_lose_and_double_nothing),
                CASE(test_a_peer_that_dies_under_way_is_continued_from_when_it_is_back),
                CASE(test_what_was_heard_of_a_peer_is_forgotten_when_it_starts_anew),
                CASE(test_the_newer_generation_wins_on_both_sides_and_from_the_beginning_of_the_segment),
                CASE(test_the_newer_generation_wins_on_the_short_grid_too),
                CASE(test_what_an_origin_lacks_of_a_session_on_the_short_grid_it_has_on_that_one),
                CASE(test_cues_that_came_while_an_origin_was_away_are_known_there_too),
                CASE(test_captions_that_were_said_while_an_origin_was_away_are_known_there_too),
                CASE(test_a_hole_of_more_than_ten_minutes_is_copied_over),
                CASE(test_nothing_that_both_have_is_cut_and_nothing_at_all_before_the_other_has_shown_what_is_to_stand_there),
                CASE(test_eras_that_part_inside_what_both_have_are_the_others_and_nothing_is_cut_twice),
                CASE(test_a_track_that_another_writer_began_is_taken_whole_with_its_init_segment),
                CASE(test_a_recording_that_ended_too_early_here_gets_its_rest),
                CASE(test_a_session_that_goes_on_elsewhere_is_live_again),
                CASE(test_a_writer_and_a_copy_that_meet_lose_and_double_nothing),
                CASE(test_a_segment_of_which_each_has_another_writers_chunks_under_one_generation_is_taken_whole),
                CASE(test_who_waits_for_a_session_is_told_when_it_was_compared_and_copied),
                CASE(test_who_waits_is_not_held_for_ever_by_a_peer_that_fails_or_does_not_answer),
                CASE(test_a_recording_that_retention_removed_does_not_come_back),
                CASE(test_whatever_happens_both_end_up_with_the_same),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
