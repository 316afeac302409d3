/* upstream: nodes above that have too much to do are asked less, and not more. */
#include "rpc_fixture.h"

#include "edged/breaker.h"
#include "edged/siblings.h"
#include "edged/stats.h"
#include "edged/upstream.h"

#define CROWD 400

static struct node_identity edge = {.id = "edge-1", .incarnation_us = 1, .role = ROLE_EDGED, .cluster_token = ""};
static unsigned done, full;

static void count_done(void *arg, int err, const struct fetch_reply *reply, struct buf *bytes)
{
        (void)arg, (void)bytes;
        done++;
        full += err == ERR_FULL || (reply && reply->status == ERR_FULL);
}

static void nothing_to_do(void *arg)
{
        (void)arg;
}

/* Of so many that are to be asked, those that were. */
static unsigned ask(struct upstream *u, unsigned count)
{
        static const struct fetch what = {.key = "/live/cam/s1/v720/7.m4s", .wait_ms = 1000};
        static const struct node_set none;
        unsigned sent = 0;
        uint64_t node;
        for (unsigned i = 0; i < count; i++) {
                int err = u->ops->fetch(u, "cam", &none, 0, &what, LONG_MS, &node, count_done, NULL);
                assert_true(err == 0 || err == ERR_FULL || err == ERR_CLOSED);
                sent += err == 0;
        }
        return sent;
}

static bool asks_for(struct upstream *u, const char *key)
{
        struct fetch what = {.wait_ms = 1000};
        static const struct node_set none;
        uint64_t node;
        snprintf(what.key, sizeof(what.key), "%s", key);
        return u->ops->fetch(u, "cam", &none, 0, &what, LONG_MS, &node, count_done, NULL) == 0;
}

static void answer_held(struct server *s)
{
        struct fetch_reply m = {.status = ERR_NOT_YET};
        while (s->held_count > 0)
                rpc_reply(s->held[--s->held_count], message_new(MSG_FETCH_REPLY, fetch_reply_encode, &m));
}

static void hold_all(void *arg, struct rpc_request *req)
{
        struct server *s = arg;
        s->requests++;
        s->held[s->held_count++] = req;
}

static void serve_few_as(struct server *s, unsigned contexts, enum node_role role, const char *id)
{
        memset(s, 0, sizeof(*s));
        s->self = (struct node_identity){.incarnation_us = 1000, .role = role, .cluster_token = ""};
        snprintf(s->self.id, sizeof(s->self.id), "%s", id);
        assert_int_equal(rpc_server_open(&s->rpc, &loop, "127.0.0.1", 0, contexts, &s->self, hold_all, s), 0);
        snprintf(s->address, sizeof(s->address), "127.0.0.1:%d", rpc_server_port(s->rpc));
}

static void serve_few(struct server *s, unsigned contexts)
{
        serve_few_as(s, contexts, ROLE_ORIGIND, "origin-1");
}

static void open_live(struct upstream **u, const char *address)
{
        done = full = 0;
        assert_int_equal(upstream_open(u, &loop, address, ROLE_ORIGIND, 1, &edge, nothing_to_do, NULL), 0);
        WAIT((*u)->ops->live(*u) == 1);
}

static void test_an_origin_that_is_full_is_let_alone(void **state)
{
        struct server s;
        struct upstream *u;
        (void)state;
        serve_few(&s, 2);
        open_live(&u, s.address);
        assert_int_equal(ask(u, CROWD), CROWD);
        WAIT(s.held_count == 2 && done == CROWD - 2);
        assert_int_equal(full, CROWD - 2);
        for (int i = 0; i < 10; i++) /* each crowd after it that is told so sends one to see how it is, if any */
                assert_true(ask(u, CROWD) <= 1);
        answer_held(&s);
        upstream_close(u);
        rpc_server_close(s.rpc);
}

static void test_an_origin_that_keeps_up_again_is_asked_as_before(void **state)
{
        struct server s;
        struct upstream *u;
        unsigned most = 0;
        (void)state;
        serve_few(&s, 2);
        open_live(&u, s.address);
        ask(u, CROWD);
        WAIT(s.held_count == 2 && done == CROWD - 2);
        answer_held(&s);
        rpc_server_close(s.rpc);
        int port = atoi(strchr(s.address, ':') + 1);
        memset(&s, 0, sizeof(s)); /* one that takes more: the same address */
        s.self = (struct node_identity){.id = "origin-1", .incarnation_us = 2000, .role = ROLE_ORIGIND, .cluster_token = ""};
        assert_int_equal(rpc_server_open(&s.rpc, &loop, "127.0.0.1", port, 64, &s.self, hold_all, &s), 0);
        WAIT(u->ops->live(u) == 1);
        while (most < 32) {
                unsigned sent = ask(u, 32);
                most = sent > most ? sent : most;
                for (unsigned before = done; done < before + sent; uv_run(&loop, UV_RUN_ONCE))
                        answer_held(&s);
                uv_run(&loop, UV_RUN_ONCE);
        }
        upstream_close(u);
        rpc_server_close(s.rpc);
}

/* It stands in another line there. */
static void test_what_is_old_does_not_keep_what_is_live_from_being_asked_for(void **state)
{
        static const char old[] = "/live/cam/20200101T000000Z-00000000/v720/7.m4s";
        struct server s;
        struct upstream *u;
        (void)state;
        serve_few(&s, 2);
        open_live(&u, s.address);
        for (int i = 0; i < CROWD; i++)
                assert_true(asks_for(u, old));
        WAIT(s.held_count == 2 && done == CROWD - 2);
        assert_true(ask(u, 2) == 2);
        answer_held(&s);
        upstream_close(u);
        rpc_server_close(s.rpc);
}

/* All edges of the site take the same next one, so the tier above is asked by two of them at most. */
static void test_an_edge_of_the_site_that_is_full_is_let_alone_and_the_next_one_asked(void **state)
{
        struct server s[2];
        struct upstream *u;
        char names[2 * sizeof(s[0].address)];
        (void)state;
        serve_few_as(&s[0], 2, ROLE_EDGED, "edge-2");
        serve_few_as(&s[1], CROWD, ROLE_EDGED, "edge-3");
        snprintf(names, sizeof(names), "%s,%s", s[0].address, s[1].address);
        done = full = 0;
        assert_int_equal(siblings_open(&u, &loop, names, &edge), 0);
        WAIT(rpc_server_has(s[0].rpc, edge.id) && rpc_server_has(s[1].rpc, edge.id));
        char key[64];
        for (int i = 0; s[0].requests == 0; i++) { /* one that belongs to the first */
                snprintf(key, sizeof(key), "/live/cam/s1/v720/%d.m4s", i);
                unsigned before = s[0].requests + s[1].requests;
                if (asks_for(u, key))
                        WAIT(s[0].requests + s[1].requests > before);
                uv_run(&loop, UV_RUN_NOWAIT);
        }
        for (int i = 0; i < CROWD; i++)
                assert_true(asks_for(u, key));
        WAIT(s[0].held_count == 2 && full == CROWD - 1);
        unsigned there = s[0].requests, next = s[1].requests;
        for (int i = 0; i < 20; i++)
                assert_true(asks_for(u, key));
        WAIT(s[1].requests >= next + 19);
        assert_true(s[0].requests <= there + 1); /* to see how it is */
        answer_held(&s[0]);
        answer_held(&s[1]);
        siblings_close(&u);
        rpc_server_close(s[0].rpc);
        rpc_server_close(s[1].rpc);
}

#define LOOP_TEST(f) cmocka_unit_test_setup_teardown(f, open_loop, close_loop)

int main(void)
{
        const struct CMUnitTest tests[] = {
                LOOP_TEST(test_an_origin_that_is_full_is_let_alone),
                LOOP_TEST(test_what_is_old_does_not_keep_what_is_live_from_being_asked_for),
                LOOP_TEST(test_an_edge_of_the_site_that_is_full_is_let_alone_and_the_next_one_asked),
                LOOP_TEST(test_an_origin_that_keeps_up_again_is_asked_as_before),
        };
        log_init("test", getenv("TEST_LOG") ? LOG_DEBUG : LOG_ERROR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
