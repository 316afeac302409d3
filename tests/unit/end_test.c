/* END as an origin takes it: what is missing there comes first, if another one has it. And CLAIM of who cannot go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/two_origins.h"
#include "tests/unit/until.h"
#include "tests/unit/usual_grid.h"

/* ---- a writer's connection, in place of common/cluster/rpc_server.c ------------------------------------------------- */

struct said {
        struct rpc_request req;
        bool answered;
        int status;
};

void rpc_reply(struct rpc_request *req, nng_msg *reply)
{
        struct said *x = (struct said *)req;
        struct status_reply m;
        struct claim_reply claimed;
        struct reader r;
        bool end = message_open(&r, reply) == MSG_END_REPLY;
        assert_int_equal(end ? status_reply_decode(&r, &m) : claim_reply_decode(&r, &claimed), 0);
        x->answered = true;
        x->status = end ? m.status : claimed.status;
        nng_msg_free(reply);
        nng_msg_free(req->msg);
        req->msg = NULL;
}

static uint16_t asker_can; /* enum node_can */

bool rpc_asker_can(const struct rpc_request *req, enum node_can what)
{
        (void)req;
        return asker_can & what;
}

void rpc_drop(struct rpc_request *req, const char *why)
{
        (void)req;
        fail_msg("%s", why);
}

bool rpc_server_has(const struct rpc_server *s, const char *node_id)
{
        (void)s;
        (void)node_id;
        return false;
}

void rpc_server_watch(struct rpc_server *s, rpc_gone *gone, void *arg)
{
        (void)s;
        (void)gone;
        (void)arg;
}

static struct writers writers; /* of a */

static int open_writers(void **state)
{
        setup(state);
        writers_open(&writers, &loop, &a.store);
        writers.catch_up = a.catch_up;
        return 0;
}

static int close_writers(void **state)
{
        writers_stop(&writers);
        writers_close(&writers);
        return teardown(state);
}

static void say_end(struct said *x, unsigned chunks)
{
        struct end m = {.generation = 1, .end_us = chunks * CHUNK_US};
        strcpy(m.session, "S1");
        *x = (struct said){.req = {.msg = message_new(MSG_END, end_encode, &m)}};
        x->req.type = message_open(&x->req.body, x->req.msg);
        writers_handle(&writers, &x->req);
}

static void say_claim(struct said *x, uint8_t flags)
{
        struct claim m = {.stream = "cam", .session = "S1", .node = "t2", .epoch_us = 5000000, .generation = 2, .flags = flags};
        *x = (struct said){.req = {.msg = message_new(MSG_CLAIM, claim_encode, &m)}};
        x->req.type = message_open(&x->req.body, x->req.msg);
        writers_handle(&writers, &x->req);
        until(&x->answered);
}

/* ---- what it promises ----------------------------------------------------------------------------------------------- */

static void test_who_has_all_ends_at_once(void **state)
{
        (void)state;
        struct said x;
        both(12, 12);
        b.frozen = true;
        say_end(&x, 12);
        assert_int_equal(at(&a, "S1")->state, SESSION_ENDED);
        until(&x.answered);
        assert_int_equal(x.status, 0);
}

static void test_what_is_missing_comes_before_the_end(void **state)
{
        (void)state;
        struct said x;
        both(5, 12);
        say_end(&x, 12);
        until(&x.answered);
        assert_int_equal(x.status, 0);
        assert_int_equal(at(&a, "S1")->state, SESSION_ENDED);
        assert_int_equal(at(&a, "S1")->tracks[0]->at_end.end_us, 12 * CHUNK_US);
}

/* Which is of a whole second, from its beginning on. */
static void test_a_still_picture_does_not_stand_for_the_chunks_of_its_second(void **state)
{
        (void)state;
        struct said x;
        both(10, 12);
        struct session *s = at(&a, "S1");
        add_track(s, PICTURES_TRACK, fmp4_picture_init());
        for (unsigned n = 0; n < 3; n++) {
                struct appended y = {.a = {.segment = n, .start_us = n * US_PER_S, .generation = s->generation, .done = appended,
                                           .bytes = fmp4_chunk(n * UINT64_C(90000), 1, 90000, 40)}};
                chunk_log_append(session_track(s, PICTURES_TRACK)->log, &y.a);
                until(&y.done);
                assert_int_equal(y.status, 0);
                buf_unref(&y.a.bytes);
        }
        say_end(&x, 12);
        until(&x.answered);
        assert_int_equal(s->state, SESSION_ENDED);
        assert_int_equal(s->end_us, 12 * CHUNK_US);
        assert_int_equal(session_track(s, "v720")->at_end.end_us, 12 * CHUNK_US);
}

static void test_what_ended_while_something_is_missing_is_not_gone_on_with_and_ends_whole(void **state)
{
        (void)state;
        struct said x;
        both(5, 12);
        b.frozen = true;
        say_end(&x, 12);
        struct claim c = {.epoch_us = 9000000, .stream = "cam", .session = "S2", .node = "t2"};
        struct session *s;
        until(&x.answered);
        assert_int_equal(x.status, 0);
        assert_int_equal(at(&a, "S1")->state, SESSION_LIVE);
        assert_int_equal(store_claim(&a.store, &c, &s), 0);
        assert_string_equal(s->id, "S2");
        b.frozen = false;
        end_session(at(&b, "S1"));
        UNTIL(&loop, at(&a, "S1")->state != SESSION_LIVE);
        assert_true(at(&a, "S1")->ended_by_writer);
        assert_int_equal(at(&a, "S1")->tracks[0]->at_end.end_us, 12 * CHUNK_US);
}

static void test_what_nobody_has_is_not_waited_for(void **state)
{
        (void)state;
        struct said x;
        both(12, 12);
        say_end(&x, 20);
        until(&x.answered);
        assert_int_equal(x.status, 0);
        assert_int_equal(at(&a, "S1")->state, SESSION_ENDED);
        assert_int_equal(at(&a, "S1")->end_us, 20 * CHUNK_US);
}

/* A claim of a newer session says it, and so does a copy. */
static void test_an_end_that_is_said_twice_by_nobody_who_waits_for_it_is_one(void **state)
{
        (void)state;
        both(12, 12);
        struct session *s = at(&a, "S1");
        session_end(s, s->end_us, false, NULL, NULL);
        int64_t ended_wall_us = s->ended_wall_us;
        session_end(s, s->end_us, false, NULL, NULL);
        UNTIL(&loop, !session_busy(s));
        assert_int_equal(s->state, SESSION_ENDED);
        assert_int_equal(s->ended_wall_us, ended_wall_us);
        assert_int_equal(s->saved_version, s->version);
}

/* It could not read the answer. */
static void test_who_knows_one_grid_fences_nobody_on_the_other(void **state)
{
        (void)state;
        struct said x;
        grid_ms = CHUNK_MS_SHORT;
        both(12, 12);
        asker_can = 0;
        say_claim(&x, 0);
        assert_int_equal(x.status, ERR_FULL);
        say_claim(&x, CLAIM_JOIN);
        assert_int_equal(x.status, ERR_FULL);
        assert_int_equal(at(&a, "S1")->generation, 1);
        asker_can = CAN_SHORT_GRID;
        say_claim(&x, 0);
        assert_int_equal(x.status, 0);
        assert_true(at(&a, "S1")->generation > 1);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, open_writers, close_writers)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_who_has_all_ends_at_once),
                CASE(test_what_is_missing_comes_before_the_end),
                CASE(test_a_still_picture_does_not_stand_for_the_chunks_of_its_second),
                CASE(test_what_ended_while_something_is_missing_is_not_gone_on_with_and_ends_whole),
                CASE(test_what_nobody_has_is_not_waited_for),
                CASE(test_an_end_that_is_said_twice_by_nobody_who_waits_for_it_is_one),
                CASE(test_who_knows_one_grid_fences_nobody_on_the_other),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
