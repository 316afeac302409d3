/* push: every chunk gets to the origin once and in order, whatever the origin does meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "transcoderd/push/push_owner.h"

#include "push_fixture.h"

/* ---- the usual ---------------------------------------------------------------------------------------------------- */

static void test_a_slow_track_does_not_hold_the_others_back(void **state)
{
        (void)state;
        begin();
        track(1, "a64", TRACK_AUDIO);
        expect_init("a64");
        chunk(0, 0);
        chunk(1, 0);
        chunk(1, 1);
        struct put m;
        struct fake_call slow = expect(&m, "v360", 0);
        expect_stored("a64", 0);
        expect_stored("a64", 1);
        fake_stored(&slow, 0);
}

static void test_stored_is_what_every_track_has(void **state)
{
        (void)state;
        begin();
        track(1, "a64", TRACK_AUDIO);
        expect_init("a64");
        for (int n = 0; n < 2; n++) {
                chunk(0, n);
                chunk(1, n);
        }
        assert_int_equal(push_stored_us(t.push), 0);
        expect_stored("v360", 0);
        assert_int_equal(push_stored_us(t.push), 0);
        expect_stored("a64", 0);
        assert_int_equal(push_stored_us(t.push), CHUNK_US);
        fake_store_all();
        assert_int_equal(push_stored_us(t.push), 2 * CHUNK_US);
}

static void test_nothing_waits_for_still_pictures(void **state)
{
        (void)state;
        begin();
        track(1, PICTURES_TRACK, TRACK_PICTURES);
        expect_init(PICTURES_TRACK);
        chunk(0, 0);
        expect_stored("v360", 0);
        assert_int_equal(push_stored_us(t.push), CHUNK_US);
}

static void test_a_shadow_sends_still_pictures_when_it_leads(void **state)
{
        (void)state;
        begin();
        track(1, PICTURES_TRACK, TRACK_PICTURES);
        expect_init(PICTURES_TRACK);
        t.push->o.shadow = true;
        for (int n = 0; n < 3; n++)
                chunk(1, n);
        chunk(0, 0);
        expect_stored("v360", 0);
        assert_int_equal(fake_calls(MSG_PUT), 0);
        assert_int_equal(push_queued(t.push), 0);
        push_lead(t.push, 2, "t2");
        chunk(1, 3);
        struct claim_reply has = {.session = SESSION, .epoch_us = 1000000, .generation = 2, .track_count = 2,
                                  .tracks = {{.name = "v360", .end_us = CHUNK_US}, {.name = PICTURES_TRACK, .end_us = CHUNK_US}}};
        struct fake_call call = fake_take(MSG_CLAIM);
        fake_claimed(&call, &has);
        struct fake_call puts[3];
        struct put m;
        for (int n = 1; n < 4; n++) /* the leader's first is there */
                puts[n - 1] = expect(&m, PICTURES_TRACK, n);
        for (int n = 0; n < 3; n++)
                fake_stored(&puts[n], 0);
}

static void test_an_origin_that_refuses_still_pictures_costs_the_session_nothing(void **state)
{
        (void)state;
        begin();
        track(1, PICTURES_TRACK, TRACK_PICTURES);
        struct put m;
        struct fake_call call = fake_put(&m);
        assert_string_equal(m.track, PICTURES_TRACK);
        fake_stored(&call, ERR_UNSUPPORTED);
        assert_string_equal(t.refused_track, PICTURES_TRACK);
        chunk(1, 0);
        chunk(0, 0);
        expect_stored("v360", 0);
        assert_int_equal(push_stored_us(t.push), CHUNK_US);
        assert_int_equal(fake_calls(MSG_PUT), 0);
}

static void test_a_session_whose_still_pictures_end_early_is_stored_up_to_where_the_others_are(void **state)
{
        (void)state;
        struct claim_reply claimed = {.session = SESSION, .epoch_us = 1000000, .generation = 4, .track_count = 2, .tracks = {{.name = "v360", .end_us = 9 * CHUNK_US},
                                                                                   {.name = PICTURES_TRACK, .end_us = CHUNK_US}}};
        close_push(state);
        open_with(&claimed, 1 << 20, 10 * US_PER_S, CODEC_H264, CODEC_NONE);
        assert_int_equal(push_stored_us(t.push), 9 * CHUNK_US);
}

static void test_nothing_counts_as_stored_before_an_announced_kind_has_a_track(void **state)
{
        (void)state;
        push_close(t.push);
        recent_fini(&t.recent);
        fake_close();
        open_with(&new_session, PUSH_QUEUE_BYTES, PUSH_QUEUE_US, CODEC_H264, CODEC_AAC);
        track(1, "a64", TRACK_AUDIO);
        expect_init("a64");
        chunk(1, 0);
        expect_stored("a64", 0);
        assert_int_equal(push_stored_us(t.push), 0);
        track(0, "v360", TRACK_VIDEO);
        expect_init("v360");
        chunk(0, 0);
        expect_stored("v360", 0);
        assert_int_equal(push_stored_us(t.push), CHUNK_US);
}

static void test_a_session_that_goes_on_is_stored_up_to_where_it_was(void **state)
{
        (void)state;
        struct claim_reply goes_on = new_session;
        goes_on.track_count = 2;
        goes_on.tracks[0] = (struct claim_track){.name = "v360", .end_us = 7 * CHUNK_US};
        goes_on.tracks[1] = (struct claim_track){.name = "a64", .end_us = 6 * CHUNK_US};
        push_close(t.push);
        recent_fini(&t.recent);
        fake_close();
        open_with(&goes_on, PUSH_QUEUE_BYTES, PUSH_QUEUE_US, CODEC_H264, CODEC_NONE);
        assert_int_equal(push_stored_us(t.push), 6 * CHUNK_US);
        begin();
        assert_int_equal(push_stored_us(t.push), 7 * CHUNK_US);
}

static void test_end_follows_when_all_is_stored(void **state)
{
        (void)state;
        begin();
        chunk(0, 0);
        chunk(0, 1);
        push_end(t.push, 2 * CHUNK_US);
        expect_stored("v360", 0);
        assert_int_equal(fake_calls(MSG_END), 0);
        expect_stored("v360", 1);
        struct end m;
        struct fake_call call = fake_take(MSG_END);
        assert_int_equal(end_decode(&call.body, &m), 0);
        assert_int_equal(m.end_us, 2 * CHUNK_US);
        assert_int_equal(m.generation, 1);
        assert_int_equal(t.ended, 0);
        fake_ended(&call, 0);
        assert_int_equal(t.ended, 1);
        assert_int_equal(t.ended_err, 0);
}

/* ---- an origin that fails ------------------------------------------------------------------------------------------ */

static void test_a_chunk_without_an_answer_is_sent_again(void **state)
{
        (void)state;
        begin();
        chunk(0, 0);
        chunk(0, 1);
        const int ways[] = {ERR_TIMEOUT, ERR_CLOSED, ERR_FULL, ERR_CANCELED};
        for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
                struct put m;
                struct fake_call call = expect(&m, "v360", 0), other = expect(&m, "v360", 1);
                fake_fail(&call, ways[i]);
                fake_fail(&other, ways[i]);
                assert_int_equal(push_stored_us(t.push), 0);
                fake_wait(MSG_PUT);
        }
        expect_stored("v360", 0);
        expect_stored("v360", 1);
}

static void test_an_origin_without_space_gets_the_chunk_again_later(void **state)
{
        (void)state;
        begin();
        chunk(0, 0);
        struct put m;
        struct fake_call call = expect(&m, "v360", 0);
        int64_t before_us = clock_mono_us();
        int64_t before = metric_get(&stats_no_space);
        fake_stored(&call, ERR_NOSPACE);
        assert_int_equal(metric_get(&stats_no_space), before + 1);
        assert_int_equal(fake_calls(MSG_PUT), 0);
        fake_wait(MSG_PUT);
        assert_true(clock_mono_us() - before_us > 500 * US_PER_MS);
        expect_stored("v360", 0);
}

static void test_a_malformed_answer_costs_the_origin_its_connection_and_us_no_chunk(void **state)
{
        (void)state;
        begin();
        chunk(0, 0);
        struct put m;
        struct fake_call call = expect(&m, "v360", 0);
        fake_ended(&call, 0); /* the answer to something else */
        assert_int_equal(fake.drops, 1);
        fake_wait(MSG_PUT);
        expect_stored("v360", 0);
}

static void test_a_dead_origin_gets_all_as_soon_as_it_is_up_again(void **state)
{
        (void)state;
        begin();
        fake.up[0] = false;
        for (int n = 0; n < 3; n++)
                chunk(0, n);
        assert_int_equal(fake_calls(MSG_PUT), 0);
        assert_int_equal(push_queued(t.push), 300);
        push_poke(t.push);
        assert_int_equal(fake_calls(MSG_PUT), 0);
        fake.up[0] = true;
        push_poke(t.push);
        for (int n = 0; n < 3; n++)
                expect_stored("v360", n);
}

static void test_a_newer_writer_ends_it_all(void **state)
{
        (void)state;
        begin();
        chunk(0, 0);
        chunk(0, 1);
        struct put m;
        struct fake_call call = expect(&m, "v360", 0), other = expect(&m, "v360", 1);
        fake_stored(&call, ERR_FENCED);
        assert_int_equal(t.fenced, 1);
        fake_stored(&other, ERR_FENCED);
        assert_int_equal(t.fenced, 1);
        chunk(0, 2);
        push_poke(t.push);
        assert_int_equal(fake.call_count, 0);
}

static void test_a_refused_chunk_is_left_out_and_counted(void **state)
{
        (void)state;
        begin();
        chunk(0, 0);
        chunk(0, 1);
        int64_t before = metric_get(&stats_dropped);
        struct put m;
        struct fake_call call = expect(&m, "v360", 0);
        fake_stored(&call, ERR_ORDER);
        assert_int_equal(metric_get(&stats_dropped), before + 1);
        expect_stored("v360", 1);
        assert_int_equal(push_queued(t.push), 0);
}

static void test_a_track_that_is_refused_ends_the_session_with_what_the_others_have(void **state)
{
        (void)state;
        track(0, "v360", TRACK_VIDEO);
        chunk(0, 0);
        struct put m;
        struct fake_call call = fake_put(&m);
        fake_stored(&call, ERR_CONFLICT);
        assert_int_equal(t.refused, 1);
        assert_string_equal(t.refused_track, "v360");
        chunk(0, 1);
        track(1, "a64", TRACK_AUDIO);
        expect_init("a64");
        chunk(1, 0);
        push_end(t.push, CHUNK_US);
        expect_stored("a64", 0);
        call = fake_take(MSG_END);
        fake_ended(&call, 0);
        assert_int_equal(t.ended, 1);
}

static void test_end_is_asked_for_again_until_it_is_answered(void **state)
{
        (void)state;
        begin();
        push_end(t.push, 0);
        struct fake_call call = fake_take(MSG_END);
        fake_fail(&call, ERR_TIMEOUT);
        fake_wait(MSG_END);
        call = fake_take(MSG_END);
        fake_ended(&call, ERR_NOT_FOUND);
        assert_int_equal(t.ended, 1);
        assert_int_equal(t.ended_err, ERR_NOT_FOUND);
}

/* ---- an origin that started anew ------------------------------------------------------------------------------------ */

static struct fake_call expect_claim(void)
{
        struct claim m;
        struct fake_call call = fake_take(MSG_CLAIM);
        assert_int_equal(claim_decode(&call.body, &m), 0);
        assert_string_equal(m.session, SESSION);
        assert_string_equal(m.stream, "cam");
        assert_int_equal(m.epoch_us, 1000000);
        assert_int_equal(m.flags, CLAIM_JOIN);
        assert_int_equal(m.generation, 1);
        return call;
}

static void test_an_origin_that_lost_the_session_gets_it_from_memory(void **state)
{
        (void)state;
        begin();
        for (int n = 0; n < 4; n++)
                chunk(0, n);
        expect_stored("v360", 0);
        expect_stored("v360", 1);
        struct put m;
        struct fake_call call = expect(&m, "v360", 2), other = expect(&m, "v360", 3);
        fake_stored(&call, ERR_NOT_FOUND);
        call = expect_claim();
        struct claim_reply again = {.session = SESSION, .epoch_us = 1000000, .generation = 1};
        fake_claimed(&call, &again);
        assert_int_equal(fake_calls(MSG_PUT), 0); /* an answer to what was sent before is owed */
        fake_stored(&other, ERR_NOT_FOUND);
        expect_init("v360");
        for (int n = 0; n < 4; n++) {
                call = expect(&m, "v360", n);
                assert_int_equal(m.generation, 1);
                fake_stored(&call, 0);
        }
        assert_int_equal(push_queued(t.push), 0);
        assert_int_equal(push_stored_us(t.push), 4 * CHUNK_US);
}

static void test_an_origin_that_was_restarted_gets_the_end_that_it_lost(void **state)
{
        (void)state;
        begin();
        for (int n = 0; n < 3; n++) {
                chunk(0, n);
                expect_stored("v360", n);
        }
        fake.origins[0].incarnation_us++;
        chunk(0, 3);
        assert_int_equal(fake_calls(MSG_PUT), 0);
        struct fake_call call = expect_claim();
        struct claim_reply again = {.session = SESSION, .epoch_us = 1000000, .generation = 1, .track_count = 1};
        again.tracks[0] = (struct claim_track){.name = "v360", .next_chunk = 1, .end_us = CHUNK_US + 11};
        fake_claimed(&call, &again);
        for (int n = 1; n < 4; n++)
                expect_stored("v360", n);
        assert_int_equal(fake_calls(MSG_PUT), 0);
        assert_int_equal(push_queued(t.push), 0);
}

static void test_a_put_under_way_while_claiming_again_counts_for_nothing(void **state)
{
        (void)state;
        begin();
        track(1, "a64", TRACK_AUDIO);
        expect_init("a64");
        chunk(0, 0);
        chunk(1, 0);
        struct put m;
        struct fake_call video = expect(&m, "v360", 0), audio = expect(&m, "a64", 0);
        fake_stored(&video, ERR_NOT_FOUND);
        struct fake_call call = expect_claim();
        struct claim_reply again = {.session = SESSION, .epoch_us = 1000000, .generation = 1};
        fake_claimed(&call, &again);
        fake_stored(&audio, ERR_FENCED); /* of the generation before */
        assert_int_equal(t.fenced, 0);
        assert_int_equal(fake_store_all(), 4);
        assert_int_equal(push_stored_us(t.push), CHUNK_US);
        assert_int_equal(push_queued(t.push), 0);
}

static void test_who_is_refused_when_it_takes_the_session_up_again_has_lost_it_to_another_writer(void **state)
{
        (void)state;
        begin();
        fake.origins[0].incarnation_us++;
        chunk(0, 0);
        assert_int_equal(fake_calls(MSG_PUT), 0);
        struct fake_call call = expect_claim();
        struct claim_reply no = {.status = ERR_FENCED};
        fake_claimed(&call, &no);
        assert_int_equal(t.fenced, 1);
        assert_int_equal(fake.call_count, 0);
}

static void test_another_session_in_its_place_means_that_this_one_is_lost(void **state)
{
        (void)state;
        begin();
        chunk(0, 0);
        struct put m;
        struct fake_call call = expect(&m, "v360", 0);
        fake_stored(&call, ERR_NOT_FOUND);
        call = expect_claim();
        struct claim_reply again = {.session = "20260101T000000Z-00000002", .epoch_us = 1000000, .generation = 5};
        fake_claimed(&call, &again);
        assert_int_equal(t.lost, 1);
        assert_int_equal(fake.call_count, 0);
}

static void test_claiming_again_is_tried_until_it_works(void **state)
{
        (void)state;
        begin();
        chunk(0, 0);
        struct put m;
        struct fake_call call = expect(&m, "v360", 0);
        fake_stored(&call, ERR_NOT_FOUND);
        call = expect_claim();
        fake_fail(&call, ERR_CLOSED);
        fake_wait(MSG_PUT); /* which is answered NOT_FOUND again */
        call = expect(&m, "v360", 0);
        fake_stored(&call, ERR_NOT_FOUND);
        call = expect_claim();
        struct claim_reply again = {.session = SESSION, .epoch_us = 1000000, .generation = 1};
        fake_claimed(&call, &again);
        expect_init("v360");
        expect_stored("v360", 0);
}

/* ---- what the log says -------------------------------------------------------------------------------------------- */

static FILE *log_file;
static int real_stderr;

static void log_to_file(void)
{
        log_file = tmpfile();
        assert_non_null(log_file);
        real_stderr = dup(STDERR_FILENO);
        dup2(fileno(log_file), STDERR_FILENO);
        log_set_level(LOG_INFO);
}

/* Restores the log. */
static void lines_with(const char *const *words, unsigned *counts, unsigned n)
{
        char line[1024];
        log_set_level(LOG_ERROR + 1);
        dup2(real_stderr, STDERR_FILENO);
        close(real_stderr);
        rewind(log_file);
        memset(counts, 0, n * sizeof(counts[0]));
        while (fgets(line, sizeof(line), log_file)) {
                for (unsigned i = 0; i < n; i++)
                        counts[i] += strstr(line, words[i]) != NULL;
        }
        fclose(log_file);
}

static void test_a_failure_is_told_when_it_begins_changes_and_ends_not_at_every_attempt(void **state)
{
        (void)state;
        static const char *const words[] = {"not stored yet", "stored again", "claim failed"};
        unsigned counts[3];
        log_to_file();
        begin();
        chunk(0, 0);
        for (int i = 0; i < 3; i++) { /* claimed in vain */
                fake_wait(MSG_PUT);
                struct put m;
                struct fake_call call = expect(&m, "v360", 0);
                fake_stored(&call, ERR_NOT_FOUND);
                call = expect_claim();
                fake_fail(&call, ERR_CLOSED);
        }
        for (int i = 0; i < 5; i++) {
                fake_wait(MSG_PUT);
                struct put m;
                struct fake_call call = expect(&m, "v360", 0);
                fake_fail(&call, i % 2 ? ERR_TIMEOUT : ERR_CLOSED);
        }
        fake_wait(MSG_PUT);
        expect_stored("v360", 0);
        lines_with(words, counts, 3);
        assert_int_equal(counts[0], 1);
        assert_int_equal(counts[1], 1);
        assert_int_equal(counts[2], 0);
}

static void test_refused_chunks_are_told_at_most_once_a_second(void **state)
{
        (void)state;
        static const char *const words[] = {"refused by the origin", "chunk is over"};
        unsigned counts[2];
        log_to_file();
        begin();
        int64_t begun_us = clock_mono_us();
        for (int n = 0; n < 40; n += 2) {
                struct put m;
                chunk(0, n);
                struct fake_call call = expect(&m, "v360", n);
                fake_stored(&call, ERR_ORDER);
                chunk_of(0, n + 1, BODY_MAX + 1);
        }
        unsigned most = 1 + (unsigned)((clock_mono_us() - begun_us) / US_PER_S);
        lines_with(words, counts, 2);
        assert_in_range(counts[0], 1, most);
        assert_in_range(counts[1], 1, most);
}

/* ---- bounds --------------------------------------------------------------------------------------------------------- */

static void reopen(size_t queue_bytes, int64_t queue_us)
{
        push_close(t.push);
        recent_fini(&t.recent);
        fake_close();
        open_with(&new_session, queue_bytes, queue_us, CODEC_H264, CODEC_NONE);
}

static void test_over_its_bytes_the_queue_loses_the_oldest_counted(void **state)
{
        (void)state;
        reopen(500, PUSH_QUEUE_US);
        fake.up[0] = false;
        track(0, "v360", TRACK_VIDEO);
        int64_t before = metric_get(&stats_dropped);
        for (int n = 0; n < 10; n++)
                chunk(0, n);
        assert_true(push_queued(t.push) <= 500);
        assert_int_equal(metric_get(&stats_dropped), before + 6);
        fake.up[0] = true;
        push_poke(t.push);
        expect_init("v360");
        for (int n = 6; n < 10; n++)
                expect_stored("v360", n);
}

static void test_the_queue_loses_nothing_that_is_under_way(void **state)
{
        (void)state;
        reopen(10 * 100, PUSH_QUEUE_US);
        begin();
        int64_t before = metric_get(&stats_dropped);
        for (int n = 0; n < PUSH_WINDOW + 4; n++)
                chunk(0, n);
        assert_int_equal(metric_get(&stats_dropped), before + 2);
        for (int n = 0; n < PUSH_WINDOW; n++)
                expect_stored("v360", n);
        struct put m;
        struct fake_call call = expect(&m, "v360", PUSH_WINDOW + 2);
        assert_int_equal(m.after_us, 0);
        fake_stored(&call, 0);
        expect_stored("v360", PUSH_WINDOW + 3);
}

static void test_over_its_seconds_the_queue_loses_the_oldest_counted(void **state)
{
        (void)state;
        reopen(PUSH_QUEUE_BYTES, US_PER_S);
        begin();
        fake.up[0] = false;
        int64_t before = metric_get(&stats_dropped);
        for (int n = 0; n < 10; n++)
                chunk(0, n);
        assert_int_equal(metric_get(&stats_dropped), before + 4);
        fake.up[0] = true;
        push_poke(t.push);
        for (int n = 4; n < 10; n++)
                expect_stored("v360", n);
}

static void test_a_chunk_over_the_limit_of_a_message_is_counted_and_left_out(void **state)
{
        (void)state;
        begin();
        int64_t before = metric_get(&stats_dropped);
        chunk_of(0, 0, BODY_MAX + 1);
        assert_int_equal(metric_get(&stats_dropped), before + 1);
        chunk_of(0, 1, BODY_MAX);
        expect_stored("v360", 1);
}

static void test_after_close_no_event_comes(void **state)
{
        (void)state;
        begin();
        chunk(0, 0);
        push_end(t.push, CHUNK_US);
        struct put m;
        struct fake_call call = expect(&m, "v360", 0);
        push_close(t.push);
        recent_fini(&t.recent);
        fake_stored(&call, ERR_FENCED);
        assert_int_equal(t.fenced, 0);
        fake_close();
        open_with(&new_session, PUSH_QUEUE_BYTES, PUSH_QUEUE_US, CODEC_H264, CODEC_NONE); /* for close_push() */
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_push, close_push)
        const struct CMUnitTest tests[] = {
                TEST(test_a_slow_track_does_not_hold_the_others_back),
                TEST(test_stored_is_what_every_track_has),
                TEST(test_nothing_waits_for_still_pictures),
                TEST(test_a_shadow_sends_still_pictures_when_it_leads),
                TEST(test_an_origin_that_refuses_still_pictures_costs_the_session_nothing),
                TEST(test_a_session_whose_still_pictures_end_early_is_stored_up_to_where_the_others_are),
                TEST(test_nothing_counts_as_stored_before_an_announced_kind_has_a_track),
                TEST(test_a_session_that_goes_on_is_stored_up_to_where_it_was),
                TEST(test_end_follows_when_all_is_stored),
                TEST(test_a_chunk_without_an_answer_is_sent_again),
                TEST(test_an_origin_without_space_gets_the_chunk_again_later),
                TEST(test_a_malformed_answer_costs_the_origin_its_connection_and_us_no_chunk),
                TEST(test_a_dead_origin_gets_all_as_soon_as_it_is_up_again),
                TEST(test_a_newer_writer_ends_it_all),
                TEST(test_a_refused_chunk_is_left_out_and_counted),
                TEST(test_a_track_that_is_refused_ends_the_session_with_what_the_others_have),
                TEST(test_end_is_asked_for_again_until_it_is_answered),
                TEST(test_an_origin_that_lost_the_session_gets_it_from_memory),
                TEST(test_an_origin_that_was_restarted_gets_the_end_that_it_lost),
                TEST(test_a_put_under_way_while_claiming_again_counts_for_nothing),
                TEST(test_who_is_refused_when_it_takes_the_session_up_again_has_lost_it_to_another_writer),
                TEST(test_another_session_in_its_place_means_that_this_one_is_lost),
                TEST(test_claiming_again_is_tried_until_it_works),
                TEST(test_a_failure_is_told_when_it_begins_changes_and_ends_not_at_every_attempt),
                TEST(test_refused_chunks_are_told_at_most_once_a_second),
                TEST(test_over_its_bytes_the_queue_loses_the_oldest_counted),
                TEST(test_the_queue_loses_nothing_that_is_under_way),
                TEST(test_over_its_seconds_the_queue_loses_the_oldest_counted),
                TEST(test_a_chunk_over_the_limit_of_a_message_is_counted_and_left_out),
                TEST(test_after_close_no_event_comes),
        };
        log_init("push", LOG_ERROR + 1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
