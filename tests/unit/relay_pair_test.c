/* relay_pair: with redundancy two transcoders have a stream, and the loss of either is nothing to it. */
#include "ingestd/stats.h"
#include "tests/unit/fake_transcoders.h"

static int set_up_two(void **state)
{
        set_up(state);
        t.limits.redundancy = json_loads("[{\"match\": \"cam*\", \"transcoders\": 2}]", 0, NULL);
        for (int i = 0; i < NODES; i++)
                t.node[i].epoch_us = WALL;
        return 0;
}

static int tear_down_two(void **state)
{
        tear_down(state);
        assert_int_equal(stats_get(STAT_SHADOWS), 0);
        json_decref(t.limits.redundancy);
        return 0;
}

#define PAIR(name) cmocka_unit_test_setup_teardown(name, set_up_two, tear_down_two)

/* Leads at 0, has its shadow at 1; nothing is stored. */
static void start_two(struct caster *c, int pictures)
{
        begin(c, "cam");
        send_configs(c);
        send_media(c, 0, 1);
        UNTIL(t.node[1].taken_count == 2);
        for (int n = 1; n < pictures; n++) {
                send_media(c, n, n + 1);
                pump();
        }
        UNTIL(t.node[0].taken_count == 2 * (unsigned)pictures && t.node[1].taken_count == 2 * (unsigned)pictures);
        assert_int_equal(stats_get(STAT_SHADOWS), 1);
}

static void list_third(void)
{
        t.node[2].listed = true;
        publications_poke(&t.publications);
}

static void lose_node(int i)
{
        t.node[i].lost = true;
        t.node[i].listed = false;
        publications_lose(&t.publications, client(i));
}

/* It is not gone by: the second one is asked when the first says one that there can be. */
static void test_a_generation_that_there_cannot_be_does_not_count(void **state)
{
        (void)state;
        struct caster c;
        int64_t before = stats_get(STAT_IMPOSSIBLE_GENERATIONS);
        t.node[0].generation = UINT32_MAX;
        begin(&c, "cam");
        send_configs(&c);
        send_media(&c, 0, 1);
        UNTIL(t.node[0].taken_count == 2);
        assert_true(stats_get(STAT_IMPOSSIBLE_GENERATIONS) > before);
        assert_int_equal(t.node[1].beside, 0);
        t.node[0].now = 7;
        send_media(&c, 1, 2);
        UNTIL(t.node[1].beside == 1);
        assert_int_equal(t.node[1].open.generation, 7);
        end(&c, CLOSE_STOPPED);
}

static void test_a_second_transcoder_is_asked_to_encode_the_leaders_session(void **state)
{
        (void)state;
        struct caster c;
        generations_note(&t.publications.relays.generations, "cam", "t1", 40);
        t.node[0].generation = 41;
        t.node[0].epoch_us = WALL - 7 * US_PER_S;
        t.node[1].skew_us = 5 * US_PER_S; /* its answer moves nothing */
        t.node[1].epoch_us = WALL + US_PER_S;
        begin(&c, "cam");
        send_configs(&c);
        send_media(&c, 0, 1);
        UNTIL(t.node[0].taken_count == 2);
        generations_note(&t.publications.relays.generations, "cam", "t1",
                         99); /* another one's, of which the leader knows nothing */
        UNTIL(t.node[1].beside == 1);
        const struct open *first = &t.node[0].open, *second = &t.node[1].open;
        assert_int_equal(first->lockstep, 1);
        assert_int_equal(first->when, 0);
        assert_string_equal(first->session, "");
        assert_int_equal(second->lockstep, 1);
        assert_int_equal(second->when, OPEN_BESIDE);
        assert_int_equal(second->role, OPEN_NOW);
        assert_string_equal(second->session, "session-1");
        assert_string_equal(second->node, "id-0");
        assert_int_equal(second->generation, 41);
        assert_int_equal(second->epoch_us, WALL - 7 * US_PER_S);
        assert_string_equal(t.node[1].config[TRACK_VIDEO], "avcC1");
        assert_int_equal(t.node[1].asked, 1);
        send_media(&c, 1, 20);
        UNTIL(t.node[0].taken_count == 40 && t.node[1].taken_count == 40);
        for (unsigned i = 0; i < 40; i += 2) {
                assert_int_equal(t.node[0].taken[i].dts_us, 7 * US_PER_S + i / 2 * 40 * MS);
                assert_int_equal(t.node[1].taken[i].dts_us, t.node[0].taken[i].dts_us);
        }
        end(&c, CLOSE_STOPPED);
}

static void test_frames_reach_both_once_and_only_one_is_told_to_lead(void **state)
{
        (void)state;
        struct caster c;
        start_two(&c, 60);
        assert_pictures(&t.node[0], 0, 0, 60);
        assert_pictures(&t.node[1], 0, 0, 60);
        assert_int_equal(t.node[0].as_shadow, 0);
        assert_int_equal(t.node[1].as_leader, 0);
        end(&c, CLOSE_STOPPED);
}

static void test_a_backup_has_its_shadow_in_its_own_place(void **state)
{
        (void)state;
        struct caster c;
        assert_int_equal(begin_as(&c, "cam", OPEN_BACKUP), 0);
        send_configs(&c);
        send_media(&c, 0, 1);
        UNTIL(t.node[1].beside == 1);
        assert_int_equal(t.node[1].open.role, OPEN_BACKUP_NOW);
        end(&c, CLOSE_STOPPED);
}

static void test_streams_of_other_names_have_one_transcoder(void **state)
{
        (void)state;
        struct caster c;
        begin(&c, "radio");
        send_configs(&c);
        send_media(&c, 0, 30);
        UNTIL(t.node[0].taken_count == 60);
        pump();
        assert_int_equal(t.node[0].open.lockstep, 0);
        assert_int_equal(t.node[1].opens, 0);
        end(&c, CLOSE_STOPPED);
}

static void test_when_the_leaders_dies_the_shadow_leads_and_nothing_is_sent_twice(void **state)
{
        (void)state;
        struct caster c;
        int64_t swaps = stats_get(STAT_SWAPS), lost = stats_get(STAT_SHADOWS_LOST);
        int64_t replayed = stats_get(STAT_REPLAYED_FRAMES);
        start_two(&c, 30);
        list_third();
        lose_node(0);
        pump(); /* without a frame or a timer that it would have to wait for */
        assert_true(t.node[1].as_leader > 0);
        assert_int_equal(t.node[1].opens, 1);
        for (int n = 30; n < 60; n++) {
                send_media(&c, n, n + 1);
                pump();
        }
        UNTIL(t.node[2].taken_count == 120);
        assert_pictures(&t.node[1], 0, 0, 60);
        assert_int_equal(t.node[1].taken_count, 120);
        assert_int_equal(t.node[2].open.when, OPEN_BESIDE);
        assert_string_equal(t.node[2].open.node, "id-1");
        assert_int_equal(t.node[2].open.generation, t.node[1].now);
        assert_int_equal(t.node[2].as_leader, 0);
        assert_int_equal(stats_get(STAT_SWAPS), swaps + 1);
        assert_int_equal(stats_get(STAT_SHADOWS_LOST), lost);
        assert_int_equal(stats_get(STAT_REPLAYED_FRAMES), replayed);
        assert_int_equal(stats_get(STAT_SHADOWS), 1);
        end(&c, CLOSE_STOPPED);
        UNTIL(t.node[1].closes == 1 && t.node[2].closes == 1);
        assert_int_equal(t.node[1].closed, CLOSE_STOPPED);
        assert_int_equal(t.node[2].closed, CLOSE_LEAVE);
}

static void test_a_batch_that_is_under_way_at_the_swap_is_not_sent_again(void **state)
{
        (void)state;
        struct caster c;
        start_two(&c, 30);
        t.node[0].silent = t.node[1].silent = true;
        send_media(&c, 30, 40);
        pump();
        publications_lose(&t.publications, client(0));
        t.node[0].listed = false;
        pump();
        assert_int_equal(t.node[1].in_flight, 1);
        t.node[1].silent = false;
        UNTIL(t.node[1].as_leader > 0);
        send_media(&c, 40, 50);
        UNTIL(t.node[1].taken_count == 100);
        assert_pictures(&t.node[1], 0, 0, 50);
        assert_int_equal(t.node[1].opens, 1);
        end(&c, CLOSE_STOPPED);
        t.node[0].silent = false;
}

static void test_nobody_is_asked_beside_a_leader_that_has_not_claimed_yet(void **state)
{
        (void)state;
        struct caster c;
        start_two(&c, 30);
        t.node[1].claims_late = true;
        list_third();
        lose_node(0);
        UNTIL(t.node[1].as_leader >= 2);
        assert_int_equal(t.node[2].opens, 0);
        t.node[1].claims_late = false;
        send_media(&c, 30, 31);
        UNTIL(t.node[2].beside == 1);
        assert_string_equal(t.node[2].open.node, "id-1");
        end(&c, CLOSE_STOPPED);
}

static void test_a_leader_that_is_fenced_is_followed_by_its_shadow(void **state)
{
        (void)state;
        struct caster c;
        start_two(&c, 30);
        t.node[0].media_status = ERR_FENCED;
        send_media(&c, 30, 40);
        UNTIL(t.node[1].as_leader > 0);
        UNTIL(t.node[0].beside == 1); /* there is no other one to be the shadow */
        send_media(&c, 40, 50);
        UNTIL(t.node[1].taken_count == 100);
        assert_pictures(&t.node[1], 0, 0, 50);
        assert_int_equal(t.node[1].opens, 1);
        assert_int_equal(c.refused, 0);
        end(&c, CLOSE_STOPPED);
}

static void test_sessions_that_are_lost_again_and_again_are_not_swapped_for_ever(void **state)
{
        (void)state;
        struct caster c;
        int64_t swaps = stats_get(STAT_SWAPS);
        start_two(&c, 30);
        for (int n = 30; stats_get(STAT_SWAPS) < swaps + 2; n++) { /* each leader, as soon as it has a shadow */
                struct node *leader = &t.node[(stats_get(STAT_SWAPS) - swaps) % 2];
                int64_t before = stats_get(STAT_SWAPS);
                UNTIL(stats_get(STAT_SHADOWS) == 1);
                leader->media_status = ERR_FENCED;
                send_media(&c, n, n + 1);
                UNTIL(stats_get(STAT_SWAPS) > before);
                assert_int_equal(c.refused, 0);
        }
        UNTIL(stats_get(STAT_SHADOWS) == 1);
        unsigned opens = t.node[1].opens;
        t.node[0].media_status = ERR_FENCED;
        send_media(&c, 60, 61);
        UNTIL(t.node[1].closed == CLOSE_LEAVE); /* the shadow goes, and the leader follows the session */
        UNTIL(t.node[0].opens + t.node[1].opens > opens + 1);
        assert_int_equal(stats_get(STAT_SWAPS), swaps + 2);
        assert_int_equal(c.refused, 0);
        end(&c, CLOSE_STOPPED);
}

static void test_one_whose_broadcaster_is_silent_does_not_take_the_session_back(void **state)
{
        (void)state;
        struct caster c;
        int64_t swaps = stats_get(STAT_SWAPS);
        start_two(&c, 30);
        unsigned empty = t.node[0].empty;
        UNTIL(t.node[0].empty == empty + 3); /* one each 500 ms */
        t.node[0].media_status = ERR_FENCED;
        t.node[2].holds = true; /* for the proxy to which the broadcaster is connected now */
        t.node[2].open_status = ERR_CONFLICT;
        t.node[2].listed = true;
        UNTIL(c.refused == RTMP_CLOSE_TAKEN_OVER);
        assert_int_equal(t.node[1].as_leader, 0);
        assert_int_equal(t.node[1].closed, CLOSE_LEAVE);
        assert_int_equal(t.node[2].open.when, OPEN_IF_HELD | OPEN_IF_FREE | OPEN_GOES_ON);
        assert_int_equal(stats_get(STAT_SWAPS), swaps);
        end(&c, CLOSE_LOST);
}

static void test_the_loss_of_the_shadow_is_nothing_to_the_leader(void **state)
{
        (void)state;
        struct caster c;
        int64_t failovers = stats_get(STAT_FAILOVERS), swaps = stats_get(STAT_SWAPS);
        int64_t lost = stats_get(STAT_SHADOWS_LOST);
        start_two(&c, 30);
        list_third();
        lose_node(1);
        send_media(&c, 30, 60);
        UNTIL(t.node[2].taken_count == 120);
        assert_pictures(&t.node[0], 0, 0, 60);
        assert_pictures(&t.node[2], 0, 0, 60);
        assert_int_equal(t.node[0].opens, 1);
        assert_int_equal(stats_get(STAT_FAILOVERS), failovers);
        assert_int_equal(stats_get(STAT_SWAPS), swaps);
        assert_int_equal(stats_get(STAT_SHADOWS_LOST), lost + 1);
        end(&c, CLOSE_STOPPED);
}

static void test_whatever_a_shadow_is_answered_the_broadcaster_stays(void **state)
{
        (void)state;
        static const int answers[] = {ERR_FENCED, ERR_NOT_FOUND, ERR_CONFLICT, ERR_CLOSED, ERR_UNSUPPORTED};
        static const int refusals[] = {ERR_FENCED, ERR_CONFLICT, ERR_DENIED, ERR_UNSUPPORTED, ERR_NOT_YET, ERR_FULL};
        struct caster c;
        start_two(&c, 30);
        for (unsigned i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
                t.node[1].media_status = answers[i];
                t.node[1].open_status = i == 0 ? refusals[0] : 0;
                send_media(&c, 30 + (int)i, 31 + (int)i);
                UNTIL(stats_get(STAT_SHADOWS) == 0);
                for (unsigned k = 0; i == 0 && k < sizeof(refusals) / sizeof(refusals[0]); k++) {
                        unsigned opens = t.node[1].opens;
                        t.node[1].open_status = refusals[k];
                        publications_poke(&t.publications); /* saves the backoff */
                        UNTIL(t.node[1].opens > opens);
                }
                assert_int_equal(t.node[1].closes, 0); /* there was nothing to leave */
                t.node[1].open_status = 0;
                publications_poke(&t.publications);
                UNTIL(stats_get(STAT_SHADOWS) == 1);
        }
        assert_int_equal(c.refused, 0);
        assert_int_equal(t.node[0].opens, 1);
        assert_int_equal(t.node[0].as_shadow, 0);
        end(&c, CLOSE_STOPPED);
}

/* In place of libc's: no wait of the relays is shortened by jitter. */
int rand(void)
{
        return 2000 * 1600 - 1; /* the most that is left over by each of 100, 200, … 1600, 2000 */
}

static void test_a_shadow_that_is_lost_as_soon_as_it_is_there_is_sought_less_and_less_often(void **state)
{
        (void)state;
        struct caster c;
        start_two(&c, 30);
        t.node[1].media_status = ERR_FENCED;
        t.node[1].sour = true;
        send_media(&c, 30, 31);
        int64_t began_us = clock_mono_us();
        UNTIL(t.node[1].beside == 3);
        assert_true(clock_mono_us() - began_us >= (200 + 400) * MS); /* and the next one 800 */
        assert_int_equal(t.node[0].opens, 1);
        end(&c, CLOSE_STOPPED);
}

static void test_when_both_die_the_next_one_gets_all_that_is_not_stored(void **state)
{
        (void)state;
        struct caster c;
        start_two(&c, 60);
        t.node[0].stored_us = 2100 * MS;
        t.node[1].stored_us = 1100 * MS; /* keyframes at 0, 1000 and 2000 */
        send_media(&c, 60, 70);
        UNTIL(t.node[0].taken_count == 140 && t.node[1].taken_count == 140);
        pump();
        list_third();
        lose_node(0);
        lose_node(1);
        send_media(&c, 70, 80);
        UNTIL(t.node[2].opens == 1);
        assert_int_equal(t.node[2].open.when & OPEN_BESIDE, 0);
        assert_int_equal(t.node[2].open.role, OPEN_NOW);
        send_media(&c, 80, 90);
        UNTIL(t.node[2].taken_count >= 2 * 65);
        assert_pictures(&t.node[2], 0, 25, 65); /* the last keyframe that both have said is stored */
        assert_int_equal(t.node[2].as_shadow, 0);
        end(&c, CLOSE_STOPPED);
}

static void test_a_shadow_that_is_being_opened_when_the_leader_dies_is_left(void **state)
{
        (void)state;
        struct caster c;
        begin(&c, "cam");
        send_configs(&c);
        send_media(&c, 0, 30);
        UNTIL(t.node[0].opens == 1);
        t.node[1].silent = true;
        UNTIL(t.node[1].in_flight == 1); /* OPEN_BESIDE */
        t.node[2].listed = true;
        t.node[2].generation = 2;
        t.node[1].listed = false;
        lose_node(0);
        UNTIL(t.node[2].taken_count == 60); /* by an ordinary OPEN */
        assert_int_equal(t.node[2].open.when, OPEN_GOES_ON);
        t.node[1].silent = false;
        UNTIL(t.node[1].closes == 1); /* it would be beside a generation that is over */
        assert_int_equal(t.node[1].closed, CLOSE_LEAVE);
        assert_int_equal(t.node[1].taken_count, 0);
        assert_int_equal(c.refused, 0);
        end(&c, CLOSE_STOPPED);
}

static void test_a_draining_leader_is_told_and_left_to_the_shadow(void **state)
{
        (void)state;
        struct caster c;
        int64_t failovers = stats_get(STAT_FAILOVERS), swaps = stats_get(STAT_SWAPS);
        start_two(&c, 30);
        list_third();
        t.node[0].draining = true;
        t.node[0].listed = false;
        send_media(&c, 30, 31);
        UNTIL(t.node[0].closes == 1);
        assert_int_equal(t.node[0].closed, CLOSE_LEAVE);
        send_media(&c, 31, 60);
        UNTIL(t.node[2].beside == 1 && t.node[1].taken_count == 120);
        assert_pictures(&t.node[1], 0, 0, 60);
        assert_int_equal(t.node[1].opens, 1);
        assert_true(t.node[1].as_leader > 0);
        assert_int_equal(stats_get(STAT_FAILOVERS), failovers);
        assert_int_equal(stats_get(STAT_SWAPS), swaps + 1);
        end(&c, CLOSE_STOPPED);
}

static void test_at_the_end_the_shadow_leaves_and_the_leader_says_why(void **state)
{
        (void)state;
        struct caster c;
        start_two(&c, 30);
        t.node[1].credit = 0; /* what it does not take is not waited for */
        send_media(&c, 30, 31);
        pump();
        send_media(&c, 31, 60);
        end(&c, CLOSE_LOST);
        UNTIL(t.publications.count == 0);
        assert_pictures(&t.node[0], 0, 0, 60);
        assert_int_equal(t.node[0].closes, 1);
        assert_int_equal(t.node[0].closed, CLOSE_LOST);
        assert_int_equal(t.node[1].closes, 1);
        assert_int_equal(t.node[1].closed, CLOSE_LEAVE);
}

static void test_the_end_is_told_by_a_leader_that_knows_that_it_leads(void **state)
{
        (void)state;
        struct caster c;
        start_two(&c, 30);
        t.node[1].silent = true;
        send_media(&c, 30, 31);
        pump();
        lose_node(0);
        end(&c, CLOSE_STOPPED);
        t.node[1].silent = false;
        UNTIL(t.node[1].closes == 1);
        assert_int_equal(t.node[1].closed, CLOSE_STOPPED);
        assert_true(t.node[1].as_leader > 0);
        assert_pictures(&t.node[1], 0, 0, 31);
}

static void test_that_it_leads_is_said_again_to_one_that_was_too_busy_to_hear(void **state)
{
        (void)state;
        struct caster c;
        start_two(&c, 30);
        pump();
        t.node[1].busy = true;
        lose_node(0);
        pump();
        end(&c, CLOSE_STOPPED);
        pump();
        assert_int_equal(t.node[1].as_leader, 0);
        t.node[1].busy = false;
        UNTIL(t.node[1].closes == 1);
        assert_int_equal(t.node[1].as_leader, 1);
        assert_int_equal(t.node[1].closed, CLOSE_STOPPED);
        assert_int_equal(t.node[1].opens, 1);
}

static void test_one_transcoder_is_enough_until_there_is_another(void **state)
{
        (void)state;
        struct caster c;
        t.node[1].listed = false;
        begin(&c, "cam");
        send_configs(&c);
        send_media(&c, 0, 60);
        UNTIL(t.node[0].taken_count == 120);
        assert_int_equal(t.node[0].opens, 1);
        assert_int_equal(t.node[0].beside, 0);
        assert_int_equal(t.node[0].open.lockstep, 1);
        t.node[0].stored_us = 2100 * MS;
        unsigned batches = t.node[0].batches;
        UNTIL(t.node[0].batches > batches);
        pump();
        t.node[1].listed = true;
        publications_poke(&t.publications);
        UNTIL(t.node[1].taken_count >= 20);
        assert_pictures(&t.node[1], 0, 50, 10); /* what is stored already is not for it */
        end(&c, CLOSE_STOPPED);
}

static void test_alone_it_fails_over_as_one_without_redundancy_does(void **state)
{
        (void)state;
        struct caster c;
        t.node[1].listed = false;
        begin(&c, "cam");
        send_configs(&c);
        send_media(&c, 0, 30);
        UNTIL(t.node[0].taken_count == 60);
        t.node[0].media_status = ERR_NOT_FOUND;
        send_media(&c, 30, 40);
        UNTIL(t.node[0].opens == 2);
        UNTIL(t.node[0].taken_count == 140);
        assert_pictures(&t.node[0], 60, 0, 40);
        assert_int_equal(t.node[0].as_shadow, 0);
        end(&c, CLOSE_STOPPED);
}

static void test_a_shadow_of_another_session_is_left(void **state)
{
        (void)state;
        struct caster c;
        snprintf(t.node[1].session, sizeof(t.node[1].session), "session-2");
        t.node[2].listed = true;
        begin(&c, "cam");
        send_configs(&c);
        send_media(&c, 0, 30);
        UNTIL(t.node[2].taken_count == 60);
        assert_int_equal(t.node[1].closed, CLOSE_LEAVE);
        assert_int_equal(t.node[1].taken_count, 0);
        end(&c, CLOSE_STOPPED);
}

static void test_one_that_stands_by_has_no_shadow(void **state)
{
        (void)state;
        struct caster c;
        start_two(&c, 30);
        t.node[0].standby = true;
        send_media(&c, 30, 31);
        UNTIL(t.node[1].closes == 1);
        assert_int_equal(t.node[1].closed, CLOSE_LEAVE);
        UNTIL(t.node[0].empty >= 3);
        assert_int_equal(t.node[1].beside, 1);
        t.node[0].standby = false;
        UNTIL(t.node[1].beside == 2);
        end(&c, CLOSE_STOPPED);
}

static void test_a_shadow_that_takes_nothing_costs_the_leader_no_frame(void **state)
{
        (void)state;
        struct caster c;
        t.limits.replay_bytes = 1 << 20; /* about 5000 frames */
        int64_t gone = stats_get(STAT_LOST_FRAMES), lost = stats_get(STAT_SHADOWS_LOST);
        start_two(&c, 30);
        t.node[1].credit = 0;
        t.node[2].open_status = ERR_FULL;
        for (int n = 30; n < 3000; n += 25) {
                t.node[0].stored_us = (n - 30) * 40 * MS;
                send_media(&c, n, n + 25);
                pump();
        }
        UNTIL(stats_get(STAT_SHADOWS_LOST) == lost + 1);
        assert_int_equal(stats_get(STAT_LOST_FRAMES), gone);
        assert_int_equal(t.node[0].opens, 1);
        t.node[1].credit = BATCH_FRAMES_MAX;
        UNTIL(t.node[1].beside == 2);
        end(&c, CLOSE_STOPPED);
}

/* Of what comes before the leader's keyframe only the last sound stays and moves up to it, over the place where the
 * shadow is: what has its next number now is not its next frame. */
static void test_a_shadow_whose_next_frame_went_is_left_though_its_number_is_there(void **state)
{
        (void)state;
        enum { LIMIT = 1 << 20 };
        static char large[LIMIT];
        struct caster c;
        t.limits.replay_bytes = LIMIT;
        int64_t lost = stats_get(STAT_SHADOWS_LOST), gone = stats_get(STAT_LOST_FRAMES);
        start_two(&c, 23);
        t.node[1].credit = 0;
        send_media(&c, 23, 24);
        UNTIL(t.node[1].taken_count == 48);
        t.node[0].stored_us = 1000 * MS; /* picture 25, frame 50, is a keyframe: frames 46 to 49 are sound before it */
        send_media(&c, 24, 30);
        UNTIL(t.node[0].taken_count == 60);
        memset(large, 'x', (size_t)(LIMIT - stats_get(STAT_REPLAY_BYTES) - 2048));
        send_frame(&c, TRACK_VIDEO, 0, large);
        send_media(&c, 30, 40);
        t.node[1].credit = BATCH_FRAMES_MAX;
        UNTIL(stats_get(STAT_SHADOWS_LOST) == lost + 1);
        assert_int_equal(t.node[1].taken_count, 48);
        UNTIL(t.node[1].beside == 2);
        assert_int_equal(stats_get(STAT_LOST_FRAMES), gone);
        end(&c, CLOSE_STOPPED);
}

int main(void)
{
        log_init("test", LOG_ERROR);
        const struct CMUnitTest tests[] = {
                PAIR(test_a_generation_that_there_cannot_be_does_not_count),
                PAIR(test_a_second_transcoder_is_asked_to_encode_the_leaders_session),
                PAIR(test_frames_reach_both_once_and_only_one_is_told_to_lead),
                PAIR(test_a_backup_has_its_shadow_in_its_own_place),
                PAIR(test_streams_of_other_names_have_one_transcoder),
                PAIR(test_when_the_leaders_dies_the_shadow_leads_and_nothing_is_sent_twice),
                PAIR(test_a_batch_that_is_under_way_at_the_swap_is_not_sent_again),
                PAIR(test_nobody_is_asked_beside_a_leader_that_has_not_claimed_yet),
                PAIR(test_a_leader_that_is_fenced_is_followed_by_its_shadow),
                PAIR(test_sessions_that_are_lost_again_and_again_are_not_swapped_for_ever),
                PAIR(test_one_whose_broadcaster_is_silent_does_not_take_the_session_back),
                PAIR(test_the_loss_of_the_shadow_is_nothing_to_the_leader),
                PAIR(test_whatever_a_shadow_is_answered_the_broadcaster_stays),
                PAIR(test_a_shadow_that_is_lost_as_soon_as_it_is_there_is_sought_less_and_less_often),
                PAIR(test_when_both_die_the_next_one_gets_all_that_is_not_stored),
                PAIR(test_a_shadow_that_is_being_opened_when_the_leader_dies_is_left),
                PAIR(test_a_draining_leader_is_told_and_left_to_the_shadow),
                PAIR(test_at_the_end_the_shadow_leaves_and_the_leader_says_why),
                PAIR(test_the_end_is_told_by_a_leader_that_knows_that_it_leads),
                PAIR(test_that_it_leads_is_said_again_to_one_that_was_too_busy_to_hear),
                PAIR(test_one_transcoder_is_enough_until_there_is_another),
                PAIR(test_alone_it_fails_over_as_one_without_redundancy_does),
                PAIR(test_a_shadow_of_another_session_is_left),
                PAIR(test_one_that_stands_by_has_no_shadow),
                PAIR(test_a_shadow_that_takes_nothing_costs_the_leader_no_frame),
                PAIR(test_a_shadow_whose_next_frame_went_is_left_though_its_number_is_there),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
