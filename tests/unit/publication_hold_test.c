/* A broadcaster that sends a whole film at once is held back to what its transcoder takes, and nobody else is. */
#include "ingestd/hold.h"
#include "tests/unit/fake_transcoders.h"

/* Pictures [from, to) of a film, 25 a second, a keyframe a second, with sound, and no time passes meanwhile. */
static void send_film(struct caster *c, int from, int to)
{
        for (int n = from; n < to; n++) {
                char bytes[2] = {(char)('a' + n % 26), 0};
                c->at_ms = 40 * n;
                send_frame(c, TRACK_VIDEO, n % 25 == 0 ? FRAME_KEY : 0, bytes);
                send_frame(c, TRACK_AUDIO, FRAME_KEY, "s");
        }
}

/* As one that is read from sends: until it is held. Returns the next picture. */
static int send_until_held(struct caster *c, int from, int most)
{
        int n = from;
        while (n < most && !c->held)
                send_film(c, n, n + 1), n++;
        return n;
}

/* All that comes is taken, up to that picture. */
static int take_film(struct caster *c, int from, int to)
{
        for (int n = from; n < to;) {
                n = send_until_held(c, n, to);
                UNTIL(!c->held);
        }
        UNTIL(t.node[0].taken_count == 2 * (unsigned)to);
        return to;
}

static const char *state_of(const struct caster *c)
{
        static struct publication_view v;
        publication_tell(c->p, &v);
        return v.state;
}

static void begin_film(struct caster *c)
{
        begin(c, "cam");
        send_configs(c);
}

static void test_a_film_is_read_as_fast_as_it_is_taken_and_all_of_it_is(void **state)
{
        (void)state;
        enum { PICTURES = 1500 };
        struct caster c;
        int64_t lost = stats_get(STAT_LOST_FRAMES);
        begin_film(&c);
        t.node[0].credit = 40;
        int holds = 0, most_waiting = 0;
        for (int n = 0; n < PICTURES;) {
                n = send_until_held(&c, n, PICTURES);
                int waiting = n - (int)t.node[0].taken_count / 2;
                most_waiting = waiting > most_waiting ? waiting : most_waiting;
                holds += c.held;
                UNTIL(!c.held);
        }
        assert_true(holds >= 10);
        assert_in_range(most_waiting, 100, 104); /* four seconds */
        end(&c, CLOSE_STOPPED);
        UNTIL(t.node[0].closes == 1);
        assert_pictures(&t.node[0], 0, 0, PICTURES);
        assert_int_equal(t.node[0].taken_count, 2 * PICTURES);
        assert_int_equal(stats_get(STAT_LOST_FRAMES), lost);
        assert_int_equal(stats_get(STAT_UNTAKEN_FRAMES), 0);
}

static void test_operators_see_who_is_held_and_for_how_long(void **state)
{
        (void)state;
        struct caster c;
        int64_t held_us = stats_get(STAT_HELD_US);
        t.node[0].listed = t.node[1].listed = false;
        begin_film(&c);
        assert_int_equal(send_until_held(&c, 0, 1000), 102);
        assert_int_equal(stats_get(STAT_HELD), 1);
        assert_string_equal(state_of(&c), "held");
        t.now_us += 1500 * MS;
        assert_string_equal(state_of(&c), "held"); /* not silent: it may not send */
        t.node[0].listed = true;
        publications_poke(&t.publications);
        UNTIL(!c.held);
        assert_int_equal(stats_get(STAT_HELD), 0);
        assert_int_equal(stats_get(STAT_HELD_US) - held_us, 1500 * MS);
        assert_string_equal(state_of(&c), "silent");
        end(&c, CLOSE_STOPPED);
}

/* At a high bit rate four seconds are more than the buffer. */
static void test_the_buffer_never_runs_over_while_one_is_held(void **state)
{
        (void)state;
        static char large[20000];
        struct caster c;
        int64_t lost = stats_get(STAT_LOST_FRAMES);
        t.limits.replay_bytes = 2 << 20;
        t.node[0].credit = 10;
        begin_film(&c);
        memset(large, 'x', sizeof(large) - 1);
        for (int n = 0; n < 500; n++) {
                UNTIL(!c.held);
                c.at_ms = 40 * n;
                t.node[0].stored_us = (n - 5) * 40 * MS;
                send_frame(&c, TRACK_VIDEO, n % 25 == 0 ? FRAME_KEY : 0, large);
                send_frame(&c, TRACK_AUDIO, FRAME_KEY, "s");
                assert_true(stats_get(STAT_REPLAY_BYTES) <= (2 << 20) * 3 / 4);
        }
        assert_int_equal(stats_get(STAT_LOST_FRAMES), lost);
        end(&c, CLOSE_STOPPED);
        UNTIL(t.node[0].closes == 1);
        assert_int_equal(t.node[0].taken_count, 2 * 500);
}

/* Its network, or its encoder, stood still for a minute, and what gathered there comes at once: it is late, not ahead. */
static void test_a_broadcaster_that_stood_still_is_not_held(void **state)
{
        (void)state;
        struct caster c;
        start(&c, 25);
        t.node[0].credit = 0;
        t.now_us += 60 * US_PER_S;
        send_film(&c, 25, 25 * 60);
        assert_false(c.held);
        pump();
        publication_look(c.p);
        assert_false(c.held);
        t.node[0].credit = BATCH_FRAMES_MAX;
        UNTIL(t.node[0].taken_count == 2 * 25 * 60);
        end(&c, CLOSE_STOPPED);
}

static void test_a_live_broadcaster_whose_transcoder_takes_nothing_is_not_held(void **state)
{
        (void)state;
        struct caster c;
        start(&c, 25);
        t.node[0].credit = 0;
        send_media(&c, 25, 500);
        publication_look(c.p);
        assert_false(c.held);
        t.node[0].credit = BATCH_FRAMES_MAX;
        end(&c, CLOSE_STOPPED);
}

/* Held for ever it would never be found out. */
static void test_a_transcoder_that_takes_nothing_of_a_film_is_left_for_another_one(void **state)
{
        (void)state;
        struct caster c;
        t.limits.replay_bytes = 1 << 20;
        t.node[0].epoch_us = t.node[1].epoch_us = WALL;
        begin_film(&c);
        int n = take_film(&c, 0, 1500);
        t.node[0].credit = 0;
        n = send_until_held(&c, n, 20000); /* one more batch was promised */
        UNTIL(!c.held);
        n = send_until_held(&c, n, 20000);
        assert_true(c.held);
        t.now_us += HOLD_STUCK_US - 1;
        publication_look(c.p);
        assert_true(c.held);
        t.now_us += 1;
        publication_look(c.p);
        assert_false(c.held);
        for (; t.node[1].opens == 0 && n < 10000; n += 25) {
                send_film(&c, n, n + 25);
                assert_false(c.held);
                pump();
        }
        UNTIL(t.node[1].taken_count > 0);
        t.node[1].credit = 20;
        n = send_until_held(&c, n, 20000); /* that one takes it, so it may be held again */
        assert_true(c.held);
        UNTIL(!c.held);
        end(&c, CLOSE_STOPPED);
}

static void test_a_film_that_was_lost_to_a_dead_transcoder_is_taken_whole_by_the_next(void **state)
{
        (void)state;
        struct caster c;
        t.node[0].epoch_us = t.node[1].epoch_us = WALL;
        t.node[0].credit = 20;
        begin_film(&c);
        int n = send_until_held(&c, 0, 1000);
        UNTIL(!c.held);
        n = send_until_held(&c, n, 1000);
        t.node[0].silent = t.node[0].lost = true;
        t.node[0].listed = false;
        publications_lose(&t.publications, client(0));
        UNTIL(!c.held);
        assert_int_equal(t.node[1].opens, 1);
        send_film(&c, n, n + 25);
        t.node[0].silent = false; /* what was under way is answered: it is gone */
        end(&c, CLOSE_STOPPED);
        UNTIL(t.node[1].closes == 1);
        assert_pictures(&t.node[1], 0, 0, n + 25);
}

/* Four seconds of it may be left when it has been read to its end, and take longer to encode than a dead transcoder is given. */
static void test_the_end_of_a_film_is_taken_to_its_last_frame_however_slowly(void **state)
{
        (void)state;
        struct caster c;
        begin_film(&c);
        int n = take_film(&c, 0, 100);
        t.node[0].credit_once = true;
        t.node[0].credit = 0;
        n = send_until_held(&c, n, 20000);
        UNTIL(!c.held);
        n = send_until_held(&c, n, 20000);
        end(&c, CLOSE_STOPPED);
        int64_t begun_us = clock_mono_us(), next_us = begun_us;
        while (t.node[0].closes == 0) {
                if (clock_mono_us() >= next_us) {
                        t.node[0].credit = clock_mono_us() - begun_us > (RELAY_FINISH_MS + 500) * MS ? BATCH_FRAMES_MAX : 10;
                        next_us += US_PER_S;
                }
                turn();
        }
        assert_true(clock_mono_us() - begun_us > RELAY_FINISH_MS * MS);
        assert_pictures(&t.node[0], 0, 0, n);
        assert_int_equal(stats_get(STAT_UNTAKEN_FRAMES), 0);
}

static void test_an_end_is_sent_for_as_long_as_it_is_taken_unless_the_next_broadcast_waits(void **state)
{
        (void)state;
        struct broadcast b = {0};
        int64_t now_us = 1;
        broadcast_finish(&b, CLOSE_STOPPED, now_us);
        for (; now_us < 3600 * US_PER_S; now_us += (RELAY_FINISH_MS - 1) * MS) {
                assert_false(broadcast_overdue(&b, now_us));
                broadcast_progress(&b, now_us);
        }
        int64_t waits_us = now_us;
        broadcast_wait_for(&b, now_us);
        for (; now_us < waits_us + (RELAY_FINISH_MOST_MS - RELAY_FINISH_MS) * MS; now_us += 100 * MS) {
                broadcast_wait_for(&b, now_us);
                broadcast_progress(&b, now_us);
                assert_false(broadcast_overdue(&b, now_us));
        }
        for (; now_us < waits_us + RELAY_FINISH_MOST_MS * MS; now_us += 100 * MS)
                broadcast_progress(&b, now_us);
        assert_true(broadcast_overdue(&b, now_us));

        broadcast_finish(&b, CLOSE_STOPPED, now_us); /* it was waited for before its end: the time counts from there */
        assert_false(broadcast_overdue(&b, now_us + (RELAY_FINISH_MS - 1) * MS));
        assert_true(broadcast_overdue(&b, now_us + RELAY_FINISH_MS * MS));
}

/* Else the end of a broadcast that transcoders die of would go from one to the next for ever. */
static void test_an_end_that_has_to_be_opened_again_has_so_long_for_all_that_is_left(void **state)
{
        (void)state;
        struct timeline timeline = {0};
        struct replay replay = {0};
        struct broadcast b = {.timeline = &timeline, .replay = &replay};
        struct open_reply m = {.session = "s", .node = "n"};
        int64_t now_us = 1;
        broadcast_finish(&b, CLOSE_STOPPED, now_us);
        broadcast_adopt(&b, &m, 0, true, now_us); /* it was over before it was opened */
        for (; now_us < 3600 * US_PER_S; now_us += (RELAY_FINISH_MS - 1) * MS) {
                assert_false(broadcast_overdue(&b, now_us));
                broadcast_progress(&b, now_us);
        }
        int64_t again_us = now_us;
        for (; now_us < again_us + RELAY_FINISH_MOST_MS * MS; now_us += 1000 * MS) {
                assert_false(broadcast_overdue(&b, now_us));
                broadcast_adopt(&b, &m, 0, true, now_us);
                broadcast_progress(&b, now_us);
        }
        assert_true(broadcast_overdue(&b, now_us));
}

/* A transcoder that takes nothing at the end is not waited for, and what is lost with that is counted. */
static void test_an_end_that_is_not_taken_is_counted(void **state)
{
        (void)state;
        struct caster c;
        int64_t untaken = stats_get(STAT_UNTAKEN_FRAMES);
        start(&c, 25);
        t.node[0].credit = 0;
        t.publications.relays.leaving = true;
        send_media(&c, 25, 50);
        UNTIL(t.node[0].empty >= 1);
        end(&c, CLOSE_STOPPED);
        UNTIL(t.node[0].closes == 1);
        assert_int_equal(stats_get(STAT_UNTAKEN_FRAMES) - untaken, 2 * 25 - (t.node[0].taken_count - 2 * 25));
}

/* It takes the stream over, and is over itself, while the one before is being closed. */
static void short_life(struct caster *c, int pictures)
{
        begin(c, "cam");
        send_configs(c);
        send_media(c, 0, pictures);
}

static void test_a_broadcast_that_is_over_before_its_turn_is_opened_all_the_same(void **state)
{
        (void)state;
        struct caster old, next;
        int64_t untaken = stats_get(STAT_UNTAKEN_FRAMES);
        start(&old, 30);
        t.node[0].silent = true;
        short_life(&next, 10);
        end(&next, CLOSE_STOPPED);
        end(&old, CLOSE_LOST);
        pump();
        assert_int_equal(t.node[0].opens, 1);
        t.node[0].silent = false;
        UNTIL(t.publications.count == 0);
        assert_int_equal(t.node[0].opens, 2);
        assert_int_equal(t.node[0].closes, 2);
        assert_int_equal(t.node[0].closed, CLOSE_STOPPED);
        assert_int_equal(t.node[0].taken_count, 2 * 30 + 2 * 10);
        assert_int_equal(stats_get(STAT_UNTAKEN_FRAMES), untaken);
}

/* Its encoder has connected again meanwhile, and stays. */
static void test_a_broadcast_that_is_taken_over_before_its_turn_comes_before_the_next(void **state)
{
        (void)state;
        struct caster old, next, last;
        int64_t untaken = stats_get(STAT_UNTAKEN_FRAMES);
        start(&old, 30);
        t.node[0].silent = true;
        short_life(&next, 10);
        short_life(&last, 20);
        end(&next, CLOSE_LOST);
        end(&old, CLOSE_LOST);
        t.node[0].silent = false;
        UNTIL(t.node[0].opens == 3 && t.node[0].taken_count == 2 * (30 + 10 + 20));
        assert_int_equal(t.node[0].closes, 2);
        end(&last, CLOSE_STOPPED);
        UNTIL(t.publications.count == 0);
        assert_int_equal(stats_get(STAT_UNTAKEN_FRAMES), untaken);
}

static void test_of_broadcasts_that_are_over_before_their_turn_one_waits_and_the_others_are_counted(void **state)
{
        (void)state;
        struct caster old, next[5];
        int64_t untaken = stats_get(STAT_UNTAKEN_FRAMES);
        start(&old, 30);
        t.node[0].silent = true;
        for (int i = 0; i < 5; i++) {
                short_life(&next[i], 10 + i);
                end(&next[i], CLOSE_LOST);
        }
        pump();
        assert_int_equal(stats_get(STAT_UNTAKEN_FRAMES) - untaken, 2 * (10 + 11 + 12 + 13));
        assert_int_equal(t.publications.count, 2);
        end(&old, CLOSE_LOST);
        t.node[0].silent = false;
        UNTIL(t.publications.count == 0);
        assert_int_equal(t.node[0].opens, 2);
        assert_int_equal(t.node[0].taken_count, 2 * (30 + 14));
}

static void test_a_film_is_held_back_to_the_slower_of_two_transcoders(void **state)
{
        (void)state;
        struct caster c;
        t.limits.redundancy = json_loads("[{\"match\": \"cam*\", \"transcoders\": 2}]", 0, NULL);
        t.node[0].epoch_us = t.node[1].epoch_us = WALL;
        int64_t gone = stats_get(STAT_LOST_FRAMES), shadows = stats_get(STAT_SHADOWS_LOST);
        begin_film(&c);
        send_film(&c, 0, 1);
        UNTIL(t.node[1].taken_count == 2);
        t.node[1].credit = 10;
        for (int n = 1; n < 1500;) {
                n = send_until_held(&c, n, 1500);
                UNTIL(!c.held);
        }
        end(&c, CLOSE_STOPPED);
        UNTIL(t.node[0].closes == 1);
        assert_pictures(&t.node[0], 0, 0, 1500);
        assert_int_equal(stats_get(STAT_LOST_FRAMES), gone);
        assert_int_equal(stats_get(STAT_SHADOWS_LOST), shadows);
        UNTIL(t.publications.count == 0);
        json_decref(t.limits.redundancy);
}

/* What becomes of the second transcoder is nothing to the broadcaster: one that takes nothing holds it up for a moment only. */
static void test_a_shadow_that_takes_nothing_does_not_hold_a_film_for_ever(void **state)
{
        (void)state;
        struct caster c;
        t.limits.redundancy = json_loads("[{\"match\": \"cam*\", \"transcoders\": 2}]", 0, NULL);
        t.node[0].epoch_us = t.node[1].epoch_us = WALL;
        begin_film(&c);
        send_film(&c, 0, 1);
        UNTIL(t.node[1].taken_count == 2);
        int n = take_film(&c, 1, 1500);
        t.node[1].credit = 0;
        n = send_until_held(&c, n, 20000);
        UNTIL(!c.held);
        n = send_until_held(&c, n, 20000);
        UNTIL(t.node[0].taken_count == 2 * (unsigned)n);
        assert_true(c.held);
        t.now_us += HOLD_STUCK_US;
        publication_look(c.p);
        assert_false(c.held);
        send_film(&c, n, n + 100);
        assert_false(c.held);
        end(&c, CLOSE_STOPPED);
        UNTIL(t.node[0].closes == 1);
        assert_int_equal(t.node[0].taken_count, 2 * (n + 100));
        t.node[1].credit = BATCH_FRAMES_MAX;
        UNTIL(t.publications.count == 0);
        json_decref(t.limits.redundancy);
}

/* The transcoder would call one that sends nothing silent, and turn to the other broadcaster. */
static void test_one_that_is_held_counts_as_one_that_sends(void **state)
{
        (void)state;
        struct caster c;
        t.node[0].standby = true;
        assert_int_equal(begin_as(&c, "cam", OPEN_BACKUP), 0);
        send_configs(&c);
        send_film(&c, 0, 1);
        UNTIL(t.node[0].batches > 0);
        send_until_held(&c, 1, 1000);
        assert_true(c.held);
        unsigned fresh = t.node[0].fresh, batches = t.node[0].batches;
        UNTIL(t.node[0].batches == batches + 3);
        assert_int_equal(t.node[0].fresh, fresh + 3);
        t.now_us += 5 * US_PER_S; /* its time has come: it goes on as a live one does */
        publication_look(c.p);
        assert_false(c.held);
        end(&c, CLOSE_STOPPED);
}

static void test_a_film_that_is_taken_over_or_sent_again_is_let_go(void **state)
{
        (void)state;
        struct caster old, next;
        t.node[0].listed = t.node[1].listed = false;
        begin_film(&old);
        send_until_held(&old, 0, 1000);
        assert_true(old.held);
        begin_film(&next); /* it closes the older connection, which is read to its end then */
        assert_int_equal(old.refused, RTMP_CLOSE_TAKEN_OVER);
        assert_int_equal(stats_get(STAT_HELD), 0);
        publication_look(old.p);
        end(&old, CLOSE_LOST);
        send_until_held(&next, 0, 1000);
        assert_true(next.held);
        t.now_us += 5 * HOLD_STUCK_US;
        next.at_ms += 100000;
        t.node[0].listed = true;
        publications_poke(&t.publications);
        publication_look(next.p);
        UNTIL(t.node[0].closes == 1); /* the old one, first */
        UNTIL(!next.held);
        end(&next, CLOSE_STOPPED);
        assert_int_equal(stats_get(STAT_HELD), 0);
}

/* The second track is waited for two seconds; of a film they have passed at once, and held it could not show them. */
static void test_a_silent_film_waits_for_its_sound_by_its_own_time(void **state)
{
        (void)state;
        struct caster c;
        begin(&c, "cam");
        send_frame(&c, TRACK_VIDEO, FRAME_CONFIG, "avcC1");
        for (int n = 0; n <= 50; n++) {
                assert_int_equal(t.node[0].opens, 0);
                c.at_ms = 40 * n;
                send_frame(&c, TRACK_VIDEO, n % 25 == 0 ? FRAME_KEY : 0, "v");
                pump();
        }
        UNTIL(t.node[0].opens == 1);
        assert_int_equal(t.node[0].open.codecs[TRACK_AUDIO], CODEC_NONE);
        end(&c, CLOSE_STOPPED);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_a_film_is_read_as_fast_as_it_is_taken_and_all_of_it_is),
                TEST(test_operators_see_who_is_held_and_for_how_long),
                TEST(test_the_buffer_never_runs_over_while_one_is_held),
                TEST(test_a_broadcaster_that_stood_still_is_not_held),
                TEST(test_a_live_broadcaster_whose_transcoder_takes_nothing_is_not_held),
                TEST(test_a_transcoder_that_takes_nothing_of_a_film_is_left_for_another_one),
                TEST(test_a_film_that_was_lost_to_a_dead_transcoder_is_taken_whole_by_the_next),
                TEST(test_the_end_of_a_film_is_taken_to_its_last_frame_however_slowly),
                TEST(test_an_end_is_sent_for_as_long_as_it_is_taken_unless_the_next_broadcast_waits),
                TEST(test_an_end_that_has_to_be_opened_again_has_so_long_for_all_that_is_left),
                TEST(test_an_end_that_is_not_taken_is_counted),
                TEST(test_a_broadcast_that_is_over_before_its_turn_is_opened_all_the_same),
                TEST(test_a_broadcast_that_is_taken_over_before_its_turn_comes_before_the_next),
                TEST(test_of_broadcasts_that_are_over_before_their_turn_one_waits_and_the_others_are_counted),
                TEST(test_a_film_is_held_back_to_the_slower_of_two_transcoders),
                TEST(test_a_shadow_that_takes_nothing_does_not_hold_a_film_for_ever),
                TEST(test_one_that_is_held_counts_as_one_that_sends),
                TEST(test_a_film_that_is_taken_over_or_sent_again_is_let_go),
                TEST(test_a_silent_film_waits_for_its_sound_by_its_own_time),
        };
        log_init("test", LOG_ERROR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
