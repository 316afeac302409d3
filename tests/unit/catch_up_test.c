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
        end_session(s);
        start(&a);
        until_same("S1");
        struct session *copy = at(&a, "S1");
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

static void test_the_newer_generation_wins_on_both_sides_and_from_the_beginning_of_the_segment(void **state)
{
        (void)state;
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
        buf_unref(&newest);
        buf_unref(&now);
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
        for (int64_t end = clock_mono_us() + 60 * US_PER_S; !all_same("S1") && clock_mono_us() < end;) {
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

/* ---- on a viewer's behalf ----------------------------------------------------------------------------------------- */

static void test_what_is_lacking_is_asked_at_the_peer_for_a_viewer(void **state)
{
        (void)state;
        struct question q;
        both(5, 100);
        b.max_bytes = 700; /* the copy takes its time */
        catch_up_look(a.catch_up, at(&a, "S1"));
        ask(&q, &a, "/live/cam/S1/v720/2.m4s", 1000);
        until(&q.done);
        assert_int_equal(q.status, 0);
        assert_true(q.len > 0);
        assert_true(chunks_of(at(&a, "S1")) < 100);
        until_same("S1");
}

static void test_a_stream_of_other_owners_is_not_copied_but_asked_for_where_it_is(void **state)
{
        (void)state;
        struct question q;
        struct ring *ring = ring_new();
        struct node *owner;
        ring_add(ring, "a", "", &a);
        ring_add(ring, "b", "", &b);
        assert_int_equal(ring_walk(ring, "cam", NULL, (void **)&owner, 1), 1);
        ring_free(ring);
        struct node *n = owner->other;
        stop(n);
        struct session *s = claim_at(owner, "S1", 0, "t1");
        add_track(s, "v720", fmp4_video_init());
        write_chunks(s, 0, 12, 40);
        replicas = 1;
        start(n);
        until(&n->caught_up);
        ask(&q, n, "/live/cam/S1/v720/1.m4s", 1000);
        until(&q.done);
        assert_int_equal(q.status, 0);
        assert_null(at(n, "S1"));
        claim_at(n, "S1", 1, "t1"); /* an owner all the same, while another one is gone: its writer says so */
        catch_up_look(n->catch_up, at(n, "S1"));
        until_same("S1");
}

static void test_nothing_is_told_before_the_peers_were_compared_with(void **state)
{
        (void)state;
        struct question q, streams;
        both(5, 5);
        stop(&a);
        stop(&b);
        start(&a);
        ask(&q, &a, "/live/cam/S1/v720/0.m4s", 5000);
        ask(&streams, &a, "/api/streams", 0);
        assert_false(q.done);
        assert_true(streams.done);
        assert_int_equal(streams.status, ERR_NOT_YET);
        assert_false(a.settled);
        until(&q.done); /* alone for CATCH_UP_ALONE_US */
        assert_true(a.settled);
        assert_int_equal(q.status, 0);
}

/* It may take minutes over that: only one that does not say so is waited for, CATCH_UP_SETTLED_US. */
static void test_who_starts_does_not_wait_for_a_peer_that_starts_too(void **state)
{
        (void)state;
        both(5, 5);
        stop(&a);
        b.starts = true;
        int64_t began_us = clock_mono_us();
        start(&a);
        until(&a.settled);
        assert_in_range(clock_mono_us() - began_us, CATCH_UP_ALONE_US, CATCH_UP_SETTLED_US - US_PER_S);
        write_chunks(at(&b, "S1"), 5, 10, 40);
        b.starts = false;
        until_same("S1"); /* when it knows, it is compared with */
}

/* b has S1, of which a knows but which it cannot get for now. */
static void one_that_cannot_be_got(void)
{
        stop(&a);
        struct session *s = claim_at(&b, "S1", 0, "t1");
        add_track(s, "v720", fmp4_video_init());
        write_chunks(s, 0, 8, 40);
        b.fails = "/peer/session/";
}

static void lists(const unsigned *count, unsigned more)
{
        unsigned before = *count;
        UNTIL(&loop, *count >= before + more);
}

static void test_what_could_not_be_copied_before_it_ended_is_copied_later(void **state)
{
        (void)state;
        one_that_cannot_be_got();
        start(&a);
        until(&a.settled);
        end_session(at(&b, "S1"));
        lists(&b.live, 2); /* it is not among these any more */
        assert_null(at(&a, "S1"));
        b.fails = NULL;
        until_same("S1");
        assert_int_equal(at(&a, "S1")->state, SESSION_ENDED);
}

static void test_what_a_peer_has_is_told_again_when_it_was_away_while_it_was_asked(void **state)
{
        (void)state;
        one_that_cannot_be_got();
        end_session(at(&b, "S1"));
        start(&a);
        until(&a.settled);
        b.delay_ms = 200;
        lists(&b.ended, 1); /* asked for; meanwhile b is thought to be away, and all it has is forgotten */
        b.up = false;
        catch_up_peers_changed(a.catch_up);
        b.up = true;
        catch_up_peers_changed(a.catch_up);
        b.fails = NULL;
        until_same("S1");
}

/* Recordings of b, of as many streams. 0: they ended so long ago that a has removed them. */
static void many_recordings(unsigned n, int64_t ended_wall_us)
{
        for (unsigned i = 0; i < n; i++) {
                struct claim c = {.epoch_us = 1 + i};
                snprintf(c.stream, sizeof(c.stream), "old%u", i);
                snprintf(c.session, sizeof(c.session), "OLD%u", i);
                struct session *s = session_new(&loop, b.dir, &c, 600, false);
                s->state = SESSION_ENDED;
                s->load = LOAD_NO;
                s->sum.tracks = 1;
                s->ended_wall_us = ended_wall_us;
                store_add(&b.store, s);
        }
}

/* Asked for every question that waits, fifty times a second. */
static void test_what_much_that_is_lacking_costs_is_not_paid_by_other_streams(void **state)
{
        (void)state;
        struct key key;
        stop(&a);
        many_recordings(CATCH_UP_LACKS_MAX, clock_real_us());
        b.fails = "/peer/session/";
        start(&a);
        UNTIL(&loop, stat_get(STAT_BEHIND) >= CATCH_UP_LACKS_MAX);
        key_parse(&key, "/live/old7/OLD7/v720/0.m4s");
        assert_string_equal(catch_up_elsewhere(a.catch_up, &key, NULL, &(unsigned){0}), "b");
        key_parse(&key, "/live/cam/S1/v720/0.m4s");
        clock_t began = clock();
        for (unsigned i = 0; i < 1000000; i++)
                assert_null(catch_up_elsewhere(a.catch_up, &key, NULL, &(unsigned){0}));
        assert_true(clock() - began < CLOCKS_PER_SEC);
}

static void test_what_is_live_does_not_wait_for_the_last_page_of_many_recordings(void **state)
{
        (void)state;
        stop(&a);
        many_recordings(10 * CATALOG_PAGE, 0);
        struct session *s = claim_at(&b, "S1", 0, "t1");
        add_track(s, "v720", fmp4_video_init());
        write_chunks(s, 0, 8, 40);
        b.delay_ms = 50;
        b.ended = 0;
        start(&a);
        UNTIL(&loop, at(&a, "S1"));
        assert_true(b.ended <= 5);
        until_same("S1");
        until(&a.caught_up);
}

/* More pages than come in CATCH_UP_SETTLED_US, and on the last one is what ended while a was away. */
static void test_what_ended_elsewhere_is_known_before_anything_is_claimed_however_many_recordings_there_are(void **state)
{
        (void)state;
        both(5, 5);
        stop(&a);
        many_recordings(5 * CATALOG_PAGE, 0);
        claim_at(&b, "S1", 1, "t1");
        write_chunks(at(&b, "S1"), 5, 8, 40);
        end_session(at(&b, "S1"));
        b.delay_ms = 1300;
        start(&a);
        until(&a.settled);
        assert_true(b.ended < 6); /* that was not waited for */
        struct session *s = at(&a, "S1");
        assert_true(s->over_elsewhere || s->state == SESSION_ENDED);
        b.delay_ms = 0;
        until_same("S1");
}

static void test_a_peer_that_answers_nothing_is_not_waited_for(void **state)
{
        (void)state;
        both(5, 5);
        stop(&a);
        b.frozen = true;
        int64_t since = clock_mono_us();
        start(&a);
        until(&a.settled);
        assert_true(clock_mono_us() - since < 2 * CATCH_UP_SETTLED_US);
        b.frozen = false;
}

#define TRACKS 7
#define FAR_MS 60         /* 300 ms, five times as fast, */
#define CHUNK_MS 40       /* as the broadcast is */
#define GAINED_CHUNKS 125 /* that the broadcast may make meanwhile: the copy needs twelve */

static const char *track_name(unsigned i)
{
        static char name[8];
        snprintf(name, sizeof(name), "v%u", i);
        return name;
}

/* One more chunk of each track. */
static void write_all(struct session *s, unsigned nth)
{
        struct appended x[TRACKS];
        for (unsigned i = 0; i < TRACKS; i++) {
                x[i] = (struct appended){.a = {.segment = nth / 5, .chunk = (uint8_t)(nth % 5), .start_us = nth * INT64_C(200000),
                                               .generation = s->generation, .done = appended,
                                               .bytes = fmp4_video_chunk(nth / 5, nth % 5, 40)}};
                chunk_log_append(session_track(s, track_name(i))->log, &x[i].a);
        }
        for (unsigned i = 0; i < TRACKS; i++) {
                until(&x[i].done);
                assert_int_equal(x[i].status, 0);
                buf_unref(&x[i].a.bytes);
        }
}

/* The shortest of the session's tracks; 0: not all are there. */
static uint64_t all_have(struct node *n)
{
        struct session *s = at(n, "S1");
        uint64_t least = UINT64_MAX;
        if (!s || s->track_count < TRACKS)
                return 0;
        for (unsigned i = 0; i < TRACKS; i++) {
                uint64_t end = s->tracks[i]->log ? track_end_place(s, s->tracks[i]) : 0;
                least = end < least ? end : least;
        }
        return least;
}

static void test_over_a_long_way_a_copy_gains_on_a_live_broadcast_of_seven_tracks(void **state)
{
        (void)state;
        unsigned nth = 0;
        stop(&a);
        struct session *s = claim_at(&b, "S1", 0, "t1");
        for (unsigned i = 0; i < TRACKS; i++)
                add_track(s, track_name(i), fmp4_video_init());
        while (nth < 28 * 5)
                write_all(s, nth++);
        b.delay_ms = FAR_MS;
        start(&a);
        int64_t due_us = clock_mono_us();
        for (unsigned before = nth; !all_have(&a) || nth - all_have(&a) > 15;) {
                assert_true(nth - before < GAINED_CHUNKS);
                if (clock_mono_us() >= due_us) {
                        write_all(s, nth++);
                        due_us = clock_mono_us() + CHUNK_MS * US_PER_MS; /* a slow machine has a slow broadcast */
                }
                uv_run(&loop, UV_RUN_ONCE);
        }
        b.delay_ms = 0;
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_what_was_missed_is_there_again_after_a_restart),
                CASE(test_an_empty_origin_gets_all_tracks_and_the_end),
                CASE(test_answers_that_are_cut_anywhere_lose_and_double_nothing),
                CASE(test_a_peer_that_dies_under_way_is_continued_from_when_it_is_back),
                CASE(test_what_was_heard_of_a_peer_is_forgotten_when_it_starts_anew),
                CASE(test_the_newer_generation_wins_on_both_sides_and_from_the_beginning_of_the_segment),
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
                CASE(test_what_is_lacking_is_asked_at_the_peer_for_a_viewer),
                CASE(test_a_stream_of_other_owners_is_not_copied_but_asked_for_where_it_is),
                CASE(test_nothing_is_told_before_the_peers_were_compared_with),
                CASE(test_what_could_not_be_copied_before_it_ended_is_copied_later),
                CASE(test_who_starts_does_not_wait_for_a_peer_that_starts_too),
                CASE(test_what_a_peer_has_is_told_again_when_it_was_away_while_it_was_asked),
                CASE(test_what_much_that_is_lacking_costs_is_not_paid_by_other_streams),
                CASE(test_over_a_long_way_a_copy_gains_on_a_live_broadcast_of_seven_tracks),
                CASE(test_what_ended_elsewhere_is_known_before_anything_is_claimed_however_many_recordings_there_are),
                CASE(test_a_peer_that_answers_nothing_is_not_waited_for),
                CASE(test_what_is_live_does_not_wait_for_the_last_page_of_many_recordings),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
