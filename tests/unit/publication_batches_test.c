/* publication and relay: what is sent at a time, of one stream and of many. */
#include "tests/unit/fake_transcoders.h"

static void test_one_batch_is_in_flight_and_the_next_one_gathers(void **state)
{
        (void)state;
        struct caster c;
        start(&c, 30);
        unsigned batches = t.node[0].batches;
        t.node[0].silent = true;
        send_media(&c, 30, 31);
        pump();
        send_media(&c, 31, 60);
        pump();
        t.node[0].silent = false;
        pump();
        assert_int_equal(t.node[0].most_in_flight, 1);
        assert_int_equal(t.node[0].batches, batches + 2);
        assert_pictures(&t.node[0], 0, 0, 60);
        end(&c, CLOSE_STOPPED);
}

/* ---- far away */

#define FAR_US (60 * MS)

/* Live, and known to be far. */
static void start_far(struct caster *c)
{
        t.node[0].far_us = FAR_US;
        begin(c, "cam");
        send_configs(c);
        send_media(c, 0, 1);
        UNTIL(t.node[0].batches && !t.node[0].in_flight);
}

/* Pictures that are sent while the clock runs, until so many batches are under way. */
static int send_until_in_flight(struct caster *c, int from, unsigned in_flight)
{
        int64_t give_up_us = clock_mono_us() + PATIENCE_US;
        for (; t.node[0].in_flight < in_flight && clock_mono_us() < give_up_us; turn())
                if (from < 1000 && t.node[0].batches) {
                        send_media(c, from, from + 1);
                        from++;
                }
        assert_true(t.node[0].in_flight >= in_flight);
        return from;
}

static void test_a_far_transcoder_gets_frames_without_waiting_for_its_answers(void **state)
{
        (void)state;
        struct caster c;
        start_far(&c);
        int sent = send_until_in_flight(&c, 1, 4);
        assert_true(t.node[0].most_in_flight <= RELAY_WINDOW);
        end(&c, CLOSE_STOPPED);
        UNTIL(t.node[0].closes);
        assert_pictures(&t.node[0], 0, 0, sent);
        assert_int_equal(t.node[0].disordered, 0);
        assert_int_equal(t.node[0].opens, 1);
}

static void test_batches_that_overtake_each_other_are_sent_again(void **state)
{
        (void)state;
        struct caster c;
        start_far(&c);
        t.node[0].overtakes = true;
        int sent = send_until_in_flight(&c, 1, 4);
        UNTIL(t.node[0].disordered);
        send_media(&c, sent, sent + 10);
        end(&c, CLOSE_STOPPED);
        UNTIL(t.node[0].closes);
        assert_pictures(&t.node[0], 0, 0, sent + 10);
        assert_int_equal(t.node[0].opens, 1);
        assert_int_equal(t.dropped_peers, 0);
}

/* By then what it says was taken may be stored, and be gone from the buffer. */
static void test_an_answer_that_others_overtook_says_nothing(void **state)
{
        (void)state;
        struct caster c;
        struct node *n = &t.node[0];
        start_far(&c);
        int sent = send_until_in_flight(&c, 1, 2);
        n->detains = true;
        UNTIL(n->detained);
        n->stored_us = 3600 * US_PER_S;
        send_media(&c, sent, sent + 60);
        UNTIL(n->taken_count == 2 * (unsigned)(sent + 60));
        send_media(&c, sent + 60, sent + 61);
        UNTIL(n->taken_count == 2 * (unsigned)(sent + 61) && n->in_flight == 1);
        n->detains = false;
        UNTIL(n->in_flight == 0);
        send_media(&c, sent + 61, sent + 70);
        end(&c, CLOSE_STOPPED);
        UNTIL(n->closes);
        assert_pictures(n, 0, 0, sent + 70);
        assert_int_equal(n->opens, 1);
}

static void test_credit_counts_what_is_under_way(void **state)
{
        (void)state;
        struct caster c;
        t.node[0].credit = 5;
        start_far(&c);
        t.node[0].silent = true;
        send_media(&c, 1, 30);
        int64_t until_us = clock_mono_us() + 2 * FAR_US;
        UNTIL(clock_mono_us() > until_us);
        t.node[0].silent = false;
        t.node[0].credit = 100;
        unsigned taken = t.node[0].taken_count;
        UNTIL(t.node[0].taken_count > taken);
        assert_true(t.node[0].taken_count <= taken + 5);
        end(&c, CLOSE_STOPPED);
        UNTIL(t.node[0].closes);
        assert_pictures(&t.node[0], 0, 0, 30);
        assert_int_equal(t.node[0].disordered, 0);
}

static void test_a_far_transcoder_that_is_lost_costs_no_frame(void **state)
{
        (void)state;
        struct caster c;
        start_far(&c);
        int sent = send_until_in_flight(&c, 1, 3);
        t.node[0].lost = true;
        UNTIL(t.node[1].opens);
        send_media(&c, sent, sent + 10);
        end(&c, CLOSE_STOPPED);
        UNTIL(t.node[1].closes);
        assert_pictures(&t.node[1], 0, 0, sent + 10);
}

/* A beat each 2 ms, and a transcoder that need not be asked each time, and is known to be near. */
static void start_told(struct caster *c)
{
        t.node[0].takes_many = t.node[1].takes_many = true;
        start(c, 5);
        UNTIL(!t.node[0].in_flight);
        t.publications.relays.shipments.gather_ms = 2;
        t.node[0].can_be_told = t.node[1].can_be_told = true;
        t.node[0].told = t.node[0].batches = t.node[0].messages = 0;
}

/* Pictures [from, to), one a beat or so. */
static void send_slowly(struct caster *c, int from, int to)
{
        for (int n = from; n < to; n++) {
                send_media(c, n, n + 1);
                unsigned before = t.node[0].told + t.node[0].messages;
                UNTIL(t.node[0].told + t.node[0].messages > before);
        }
}

static size_t kept_bytes(const struct caster *c)
{
        struct publication_view v;
        publication_tell(c->p, &v);
        return v.kept_bytes;
}

static void test_a_near_transcoder_is_told_most_batches_and_asked_about_all_of_them(void **state)
{
        (void)state;
        struct caster c;
        start_told(&c);
        int64_t begun_us = clock_mono_us();
        send_slowly(&c, 5, 105);
        unsigned most_asked = (unsigned)((clock_mono_us() - begun_us) / (SHIPMENT_ASKED_MS * MS)) + 2;
        assert_true(t.node[0].messages <= most_asked); /* once each SHIPMENT_ASKED_MS, however busy this machine is */
        assert_true(t.node[0].told > 0);
        assert_int_equal(t.node[0].taken_count, 2 * 105);
        t.node[0].stored_us = 104 * 40 * MS;
        UNTIL(kept_bytes(&c) < 30 * 2 * (REPLAY_FRAME_BYTES + 1)); /* it hears what is stored though no frame comes */
        end(&c, CLOSE_STOPPED);
        UNTIL(t.node[0].closes == 1);
        assert_pictures(&t.node[0], 0, 0, 105);
}

static const struct shipment_ops *real_ops;
static struct relay *filled; /* it was asked for its frames last */

static bool fill_and_note(struct shipment_member *m, struct media *part, struct frame *room, unsigned most, size_t max_bytes, bool asks,
                          uint64_t *end)
{
        filled = (struct relay *)((char *)m - offsetof(struct relay, at));
        return real_ops->fill(m, part, room, most, max_bytes, asks, end);
}

/* Two frames are more than fits into a message. Only a batch that is asked about has an answer with which the rest could leave. */
static void test_what_does_not_fit_into_a_batch_that_is_told_leaves_at_once(void **state)
{
        (void)state;
        struct caster c;
        size_t len = SHIPMENT_BYTES_MAX * 2 / 3;
        char *large = mem_alloc(len + 1);
        memset(large, 'v', len);
        start_told(&c);
        real_ops = t.publications.relays.shipments.ops;
        struct shipment_ops ops = *real_ops;
        ops.fill = fill_and_note;
        t.publications.relays.shipments.ops = &ops;
        send_slowly(&c, 5, 6);
        unsigned before = t.node[0].told + t.node[0].messages;
        c.at_ms = 240;
        for (int i = 0; i < 2; i++)
                send_frame(&c, TRACK_VIDEO, 0, large);
        free(large);
        UNTIL(t.node[0].told + t.node[0].messages > before);
        bool waits = uv_is_active((const uv_handle_t *)&filled->timer) && uv_timer_get_due_in(&filled->timer) > 1;
        assert_true(!waits || t.node[0].taken_count == 2 * 6 + 2);
        UNTIL(t.node[0].taken_count == 2 * 6 + 2);
        end(&c, CLOSE_STOPPED);
        UNTIL(t.node[0].closes == 1);
        t.publications.relays.shipments.ops = real_ops;
}

static void test_what_was_told_and_is_not_taken_is_sent_again(void **state)
{
        (void)state;
        struct caster c;
        start_told(&c);
        t.node[0].loses_told = true;
        send_slowly(&c, 5, 20);
        assert_true(t.node[0].taken_count < 2 * 20 || t.node[0].told == 0);
        t.node[0].loses_told = false;
        UNTIL(t.node[0].taken_count == 2 * 20);
        end(&c, CLOSE_STOPPED);
        UNTIL(t.node[0].closes == 1);
        assert_pictures(&t.node[0], 0, 0, 20);
}

/* It died with what it was told: none of that counts as taken. */
static void test_what_a_transcoder_was_told_goes_to_the_next_one_when_it_is_lost(void **state)
{
        (void)state;
        struct caster c;
        start_told(&c);
        t.node[0].loses_told = true;
        send_slowly(&c, 5, 12);
        t.node[0].lost = true;
        t.node[0].listed = false;
        publications_lose(&t.publications, client(0));
        UNTIL(t.node[1].opens == 1);
        UNTIL(t.node[1].taken_count > 0 && t.node[1].taken[t.node[1].taken_count - 1].dts_us == 11 * 40 * MS);
        end(&c, CLOSE_STOPPED);
        UNTIL(t.node[1].closes == 1);
        assert_pictures(&t.node[1], 0, 0, 12);
}

static void test_the_end_of_a_stream_waits_for_what_was_only_told(void **state)
{
        (void)state;
        struct caster c;
        int64_t untaken = stats_get(STAT_UNTAKEN_FRAMES);
        start_told(&c);
        t.node[0].loses_told = true;
        send_slowly(&c, 5, 9);
        end(&c, CLOSE_STOPPED);
        UNTIL(t.node[0].closes == 1);
        assert_pictures(&t.node[0], 0, 0, 9);
        assert_int_equal(stats_get(STAT_UNTAKEN_FRAMES), untaken);
}

static void test_one_that_has_little_room_is_told_no_more_than_it_takes(void **state)
{
        (void)state;
        struct caster c;
        start_told(&c);
        t.node[0].credit = 12;
        send_slowly(&c, 5, 6);
        unsigned asked = t.node[0].messages;
        UNTIL(t.node[0].messages > asked && !t.node[0].in_flight); /* now it is known */
        t.node[0].told = t.node[0].messages = 0;
        send_slowly(&c, 6, 30);
        UNTIL(t.node[0].taken_count == 2 * 30);
        assert_int_equal(t.node[0].disordered, 0);
        assert_true(4 * t.node[0].messages + 4 >= t.node[0].told); /* of twelve frames six may be told, and then it is asked */
        end(&c, CLOSE_STOPPED);
        UNTIL(t.node[0].closes == 1);
        assert_pictures(&t.node[0], 0, 0, 30);
}

static int beats;

static void read_a_picture(void *arg)
{
        if (beats++ == 0)
                send_media(arg, 5, 6);
}

static void test_what_is_read_to_the_beat_is_sent_with_that_beat(void **state)
{
        (void)state;
        struct caster c;
        struct shipments *shipments = &t.publications.relays.shipments;
        start(&c, 5);
        shipments->gather_ms = 50;
        beats = 0;
        shipment_read(shipments, read_a_picture, &c);
        UNTIL(beats == 1);
        assert_int_equal(t.node[0].taken_count, 2 * 6);
        UNTIL(beats == 3); /* it goes on while there is somebody to be read */
        shipment_read(shipments, NULL, NULL);
        end(&c, CLOSE_STOPPED);
}

static void test_streams_that_are_due_together_share_a_message(void **state)
{
        (void)state;
        enum { STREAMS = 100 };
        static struct caster c[STREAMS];
        t.limits.max_publishers = STREAMS;
        t.node[0].takes_many = true;
        for (int i = 0; i < STREAMS; i++) {
                char name[16];
                snprintf(name, sizeof(name), "cam-%d", i);
                begin(&c[i], name);
                send_configs(&c[i]);
                send_media(&c[i], 0, 1);
        }
        pump();
        assert_int_equal(t.node[0].opens, STREAMS);
        unsigned messages = t.node[0].messages, taken = t.node[0].taken_count;
        for (int i = 0; i < STREAMS; i++)
                send_media(&c[i], 1, 2);
        pump();
        assert_int_equal(t.node[0].taken_count, taken + 2 * STREAMS);
        assert_int_equal(t.node[0].messages, messages + 2); /* at most MEDIA_MANY_MAX in one */
        for (int i = 0; i < STREAMS; i++)
                end(&c[i], CLOSE_STOPPED);
        UNTIL(t.node[0].closes == STREAMS);
}

static void test_a_lost_message_is_every_streams_loss_and_no_others(void **state)
{
        (void)state;
        struct caster a, b, other;
        t.node[0].takes_many = t.node[1].takes_many = true;
        t.node[0].listed = false;
        begin(&other, "other");
        send_configs(&other);
        send_media(&other, 0, 1);
        pump();
        t.node[0].listed = true;
        begin(&a, "a");
        begin(&b, "b");
        send_configs(&a);
        send_configs(&b);
        send_media(&a, 0, 1);
        send_media(&b, 0, 1);
        pump();
        assert_int_equal(t.node[0].opens, 2);
        t.node[0].lost = true;
        send_media(&a, 1, 2);
        send_media(&b, 1, 2);
        send_media(&other, 1, 2);
        pump();
        assert_int_equal(t.node[1].opens, 3);
        assert_int_equal(t.node[1].taken_count, 3 * 4);
        end(&a, CLOSE_STOPPED);
        end(&b, CLOSE_STOPPED);
        end(&other, CLOSE_STOPPED);
}

static void test_a_transcoder_that_does_not_take_many_gets_them_one_by_one(void **state)
{
        (void)state;
        struct caster a, b;
        begin(&a, "a");
        begin(&b, "b");
        send_configs(&a);
        send_configs(&b);
        for (int n = 0; n < 10; n++) {
                send_media(&a, n, n + 1);
                send_media(&b, n, n + 1);
                pump();
        }
        assert_int_equal(t.node[0].shared, 0);
        assert_int_equal(t.node[0].taken_count, 40);
        end(&a, CLOSE_STOPPED);
        end(&b, CLOSE_STOPPED);
}

static void test_malformed_lists_of_batches_are_refused(void **state)
{
        (void)state;
        struct reader r, parts[MEDIA_MANY_MAX];
        uint16_t count;
        static const uint8_t too_many[2] = {0, MEDIA_MANY_MAX + 1}, cut[7] = {0, 1, 0, 0, 0, 2, 9},
                             huge[6] = {0, 1, 0xff, 0xff, 0xff, 0xff}, more[3] = {0, 0, 1}, none[2] = {0, 0};
        const struct {
                const uint8_t *bytes;
                size_t len;
                int err;
        } cases[] = {{too_many, 2, ERR_PROTO},
                     {cut, 7, ERR_PROTO},
                     {huge, 6, ERR_PROTO},
                     {more, 3, ERR_PROTO},
                     {none, 2, 0}};
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                reader_init(&r, cases[i].bytes, cases[i].len);
                assert_int_equal(media_many_decode(&r, parts, &count), cases[i].err);
        }
}

static void test_without_credit_only_empty_batches_are_sent(void **state)
{
        (void)state;
        struct caster c;
        start(&c, 30);
        t.node[0].credit = 0;
        send_media(&c, 30, 31);
        pump();
        unsigned taken = t.node[0].taken_count, empty = t.node[0].empty;
        send_media(&c, 31, 40);
        UNTIL(t.node[0].empty >= empty + 3);
        assert_int_equal(t.node[0].taken_count, taken);
        t.node[0].credit = 5;
        UNTIL(t.node[0].taken_count == 80);
        end(&c, CLOSE_STOPPED);
}

static void test_an_idle_stream_shows_that_it_is_there(void **state)
{
        (void)state;
        struct caster c;
        start(&c, 30);
        unsigned empty = t.node[0].empty;
        UNTIL(t.node[0].empty == empty + 2);
        end(&c, CLOSE_STOPPED);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_one_batch_is_in_flight_and_the_next_one_gathers),
                TEST(test_a_far_transcoder_gets_frames_without_waiting_for_its_answers),
                TEST(test_batches_that_overtake_each_other_are_sent_again),
                TEST(test_an_answer_that_others_overtook_says_nothing),
                TEST(test_credit_counts_what_is_under_way),
                TEST(test_a_far_transcoder_that_is_lost_costs_no_frame),
                TEST(test_a_near_transcoder_is_told_most_batches_and_asked_about_all_of_them),
                TEST(test_what_does_not_fit_into_a_batch_that_is_told_leaves_at_once),
                TEST(test_what_was_told_and_is_not_taken_is_sent_again),
                TEST(test_what_a_transcoder_was_told_goes_to_the_next_one_when_it_is_lost),
                TEST(test_the_end_of_a_stream_waits_for_what_was_only_told),
                TEST(test_one_that_has_little_room_is_told_no_more_than_it_takes),
                TEST(test_what_is_read_to_the_beat_is_sent_with_that_beat),
                TEST(test_streams_that_are_due_together_share_a_message),
                TEST(test_a_lost_message_is_every_streams_loss_and_no_others),
                TEST(test_a_transcoder_that_does_not_take_many_gets_them_one_by_one),
                TEST(test_malformed_lists_of_batches_are_refused),
                TEST(test_without_credit_only_empty_batches_are_sent),
                TEST(test_an_idle_stream_shows_that_it_is_there),
        };
        log_init("test", LOG_ERROR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
