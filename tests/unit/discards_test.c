#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <string.h>

#include "common/buf.h"
#include "originD/archive/discards.h"
#include "tests/unit/origin_store.h"

/* ---- the other owner ------------------------------------------------------------------------------------------------- */

#define ASKED_MAX 32

/* It answers at once when the test says so. */
static struct {
        struct peer_link link; /* first */
        bool knows;            /* what it has; otherwise it cannot say */
        bool has;              /* what it is asked for */
        unsigned asked;
        char keys[ASKED_MAX][KEY_MAX + 1];
        peer_fetched *done; /* of the question that waits for its answer */
        void *arg;
} other;

static size_t one_is_up(struct peer_link *l, struct peer_node out[PEERS_UP_MAX])
{
        (void)l;
        out[0] = (struct peer_node){.id = "b", .incarnation_us = 1};
        return 1;
}

static int is_asked(struct peer_link *l, const char *id, const struct fetch *what, peer_fetched *done, void *arg)
{
        (void)l;
        assert_string_equal(id, "b");
        assert_null(other.done); /* one at a time */
        assert_true(other.asked < ASKED_MAX);
        snprintf(other.keys[other.asked++], sizeof(other.keys[0]), "%s", what->key);
        other.done = done;
        other.arg = arg;
        return 0;
}

static void answer(void)
{
        static const char has[] = "{\"sessions\":[{\"id\":\"S1\",\"stream\":\"cam\",\"node\":\"\",\"title\":\"\",\"state\":\"ended\","
                                  "\"epoch_us\":0,\"end_us\":1,\"ended_wall_us\":1,\"generation\":1,\"grace_ms\":1,"
                                  "\"volume_segments\":600,\"tracks\":[]}]}";
        static const char none[] = "{\"sessions\":[]}";
        const char *text = other.has ? has : none;
        peer_fetched *done = other.done;
        struct fetch_reply m = {.flags = FETCH_COMPLETE};
        struct buf *list = buf_copy(text, strlen(text));
        other.done = NULL;
        done(other.arg, other.knows ? 0 : ERR_TIMEOUT, other.knows ? &m : NULL, other.knows ? list : NULL);
        buf_unref(&list);
}

static unsigned asked_for(const char *session)
{
        unsigned n = 0;
        for (unsigned i = 0; i < other.asked; i++)
                n += strcmp(strrchr(other.keys[i], '/') + 1, session) == 0;
        return n;
}

/* ---- one that removes -------------------------------------------------------------------------------------------------- */

static struct discards *discards;

/* Whoever is asked has what is to go, so the archive itself is never asked. */
static void open_discards(void)
{
        discards_open(&discards, &loop, NULL, &(struct discards_options){.store = &store, .peers = true, .again_us = 1});
        discards_link(discards, &other.link);
}

static void close_discards(void)
{
        discards_stop(discards);
        if (other.done)
                answer();
        UNTIL(&loop, discards_idle(discards));
        discards_close(discards);
}

static int setup(void **state)
{
        static const struct peer_link_ops ops = {.up = one_is_up, .fetch = is_asked};
        memset(&other, 0, sizeof(other));
        other.link.ops = &ops;
        other.knows = true;
        setup_store(state);
        open_discards();
        UNTIL(&loop, discards_idle(discards));
        return 0;
}

static int teardown(void **state)
{
        close_discards();
        return teardown_store(state);
}

static bool turn(void)
{
        discards_tick(discards);
        if (other.done)
                answer();
        return true;
}

static bool noted(const char *session)
{
        char path[200];
        snprintf(path, sizeof(path), "%s/.archive/cam=%s", data_dir, session);
        return access(path, F_OK) == 0;
}

static void test_a_recording_that_is_told_again_and_again_waits_once(void **state)
{
        (void)state;
        other.has = true;
        for (int i = 0; i < 5; i++) /* its folder cannot be removed here, which is tried again and again */
                discards_add(discards, "cam", "S1");
        UNTIL(&loop, discards_idle(discards) && noted("S1"));
        discards_add(discards, "cam", "S2"); /* behind all of them */
        UNTIL(&loop, turn() && asked_for("S2") && discards_idle(discards));
        assert_int_equal(asked_for("S1"), 1);
        assert_int_equal(asked_for("S2"), 1);
        assert_false(noted("S1"));
        assert_false(noted("S2"));
}

static void test_a_recording_that_waits_for_its_turn_again_still_waits_once(void **state)
{
        (void)state;
        other.knows = false; /* so it cannot go, and is asked for again */
        discards_add(discards, "cam", "S1");
        UNTIL(&loop, turn() && asked_for("S1") == 3);
        for (int i = 0; i < 5; i++)
                discards_add(discards, "cam", "S1");
        other.knows = other.has = true;
        discards_add(discards, "cam", "S2");
        UNTIL(&loop, turn() && asked_for("S2") && discards_idle(discards));
        assert_int_equal(asked_for("S1"), 4);
        assert_false(noted("S1"));
}

static void test_a_recording_of_another_stream_is_another_one(void **state)
{
        (void)state;
        other.has = true;
        discards_add(discards, "cam", "S1");
        discards_add(discards, "cam", "S2");
        discards_add(discards, "bus", "S1");
        UNTIL(&loop, turn() && other.asked == 3 && discards_idle(discards));
        assert_int_equal(asked_for("S1"), 2);
        assert_int_equal(asked_for("S2"), 1);
}

static void test_what_waits_is_gone_on_with_after_a_start(void **state)
{
        (void)state;
        discards_add(discards, "cam", "S1");
        UNTIL(&loop, discards_idle(discards));
        close_discards();
        open_discards();
        other.has = true;
        UNTIL(&loop, turn() && asked_for("S1") && discards_idle(discards));
        assert_false(noted("S1"));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_a_recording_that_is_told_again_and_again_waits_once),
                CASE(test_a_recording_that_waits_for_its_turn_again_still_waits_once),
                CASE(test_a_recording_of_another_stream_is_another_one),
                CASE(test_what_waits_is_gone_on_with_after_a_start),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
