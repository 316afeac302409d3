/* Catching up and those who are not copied meanwhile: viewers who ask, an origin that starts, other streams. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include "originD/stats.h"
#include "tests/unit/two_origins.h"
#include "tests/unit/until.h"

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

/* ---- who starts, and what is live meanwhile ---------------------------------------------------------------------- */

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
#define CHUNK_EVERY_MS 40       /* as the broadcast is */
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
                        due_us = clock_mono_us() + CHUNK_EVERY_MS * US_PER_MS; /* a slow machine has a slow broadcast */
                }
                uv_run(&loop, UV_RUN_ONCE);
        }
        b.delay_ms = 0;
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_what_is_lacking_is_asked_at_the_peer_for_a_viewer),
                CASE(test_a_stream_of_other_owners_is_not_copied_but_asked_for_where_it_is),
                CASE(test_nothing_is_told_before_the_peers_were_compared_with),
                CASE(test_who_starts_does_not_wait_for_a_peer_that_starts_too),
                CASE(test_what_could_not_be_copied_before_it_ended_is_copied_later),
                CASE(test_what_a_peer_has_is_told_again_when_it_was_away_while_it_was_asked),
                CASE(test_what_much_that_is_lacking_costs_is_not_paid_by_other_streams),
                CASE(test_what_is_live_does_not_wait_for_the_last_page_of_many_recordings),
                CASE(test_what_ended_elsewhere_is_known_before_anything_is_claimed_however_many_recordings_there_are),
                CASE(test_a_peer_that_answers_nothing_is_not_waited_for),
                CASE(test_over_a_long_way_a_copy_gains_on_a_live_broadcast_of_seven_tracks),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
