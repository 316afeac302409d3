/* peers: found by name, chosen by the ring among those that live, forgotten when nobody names them any more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cluster/peers.h"
#include "common/daemon/log.h"
#include "common/daemon/metrics.h"
#include "common/err.h"
#include "common/mem.h"
#include "proto/message.h"
#include "tests/unit/patience.h"
#include "tests/unit/reserve.h"
#include "tests/unit/said.h"

#define SERVERS 3

static uv_loop_t loop;
static uv_timer_t watchdog;

struct server {
        struct node_identity self;
        struct rpc_server *rpc;
        int port;
};
static struct server servers[SERVERS];
static struct node_identity self = {.id = "edge-1", .incarnation_us = 1, .role = ROLE_EDGED, .cluster_token = ""};
static struct peers *peers;
static int changes;

static void bite(uv_timer_t *t)
{
        (void)t;
        fprintf(stderr, "a test waited for too long\n");
        abort();
}

#define WAIT(condition)                                                                                                \
        while (!(condition))                                                                                           \
                uv_run(&loop, UV_RUN_ONCE)

static void hold(void *arg, struct rpc_request *req)
{
        (void)arg;
        (void)req; /* never answered */
}

static void start(int i, const char *id, enum node_role role)
{
        struct server *s = &servers[i];
        if (!s->port)
                s->port = reserve_port();
        s->self = (struct node_identity){.incarnation_us = 5, .role = role, .cluster_token = ""};
        snprintf(s->self.id, sizeof(s->self.id), "%s", id);
        assert_int_equal(rpc_server_open(&s->rpc, &loop, "127.0.0.1", s->port, 4, &s->self, hold, NULL), 0);
}

static void stop(int i)
{
        rpc_server_close(servers[i].rpc);
        servers[i].rpc = NULL;
}

static int open_loop(void **state)
{
        (void)state;
        changes = 0;
        peers = NULL;
        self.zone[0] = '\0';
        memset(servers, 0, sizeof(servers));
        uv_loop_init(&loop);
        uv_timer_init(&loop, &watchdog);
        uv_timer_start(&watchdog, bite, PATIENCE_MS, 0);
        return 0;
}

static int close_loop(void **state)
{
        (void)state;
        if (peers)
                peers_close(peers);
        for (int i = 0; i < SERVERS; i++) {
                if (servers[i].rpc)
                        stop(i);
        }
        uv_close((uv_handle_t *)&watchdog, NULL);
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(uv_loop_close(&loop), 0);
        return 0;
}

static void on_changed(void *arg, struct peer *peer)
{
        (void)peer;
        assert_ptr_equal(arg, &changes);
        changes++;
}

static void open_peers(const char *names)
{
        assert_int_equal(peers_open(&peers, &loop, names, ROLE_ORIGIND, &self, on_changed, &changes), 0);
}

static void open_three_in(const char *zone1, const char *zone2, const char *zone3)
{
        const char *const zones[] = {zone1, zone2, zone3};
        for (int i = 0; i < 3; i++) {
                char id[20];
                snprintf(id, sizeof(id), "origin-%d", i + 1);
                start(i, id, ROLE_ORIGIND);
                snprintf(servers[i].self.zone, sizeof(self.zone), "%s", zones[i]);
        }
        char *names = mem_printf("127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d", servers[0].port, servers[1].port, servers[2].port);
        open_peers(names);
        free(names);
        WAIT(peers_live(peers) == 3);
}

static void open_three(void)
{
        open_three_in("", "", "");
}

struct text {
        char text[65536];
        size_t len;
};

static void append(void *arg, const char *text, size_t len)
{
        struct text *t = arg;
        assert_true(t->len + len < sizeof(t->text));
        memcpy(t->text + t->len, text, len);
        t->len += len;
}

static int64_t gauge(const char *labels)
{
        struct text *t = mem_alloc(sizeof(*t));
        metrics_render(append, t);
        char *row = mem_printf("freshet_peers{%s} ", labels), *at = strstr(t->text, row);
        int64_t v = at ? atoll(at + strlen(row)) : -1;
        free(row);
        free(t);
        return v;
}

static void test_live_peers_are_routed_in_the_same_order_every_time(void **state)
{
        struct peer *first[3], *again[3], *few[2];
        (void)state;
        open_three();
        assert_int_equal(peers_route(peers, "cam", first, 3), 3);
        assert_int_equal(peers_route(peers, "cam", again, 3), 3);
        assert_memory_equal(first, again, sizeof(first));
        assert_int_equal(peers_route(peers, "cam", few, 2), 2);
        assert_ptr_equal(few[1], first[1]);
        assert_int_equal(peers_all(peers, first, 3), 3);
        assert_true(changes >= 3);
        assert_int_equal(gauge("role=\"originD\",state=\"live\""), 3);
}

static void test_a_dead_peer_is_skipped_and_keeps_its_place(void **state)
{
        struct peer *before[3], *after[3];
        (void)state;
        open_three();
        peers_route(peers, "cam", before, 3);
        int dead = atoi(before[0]->info.id + 7) - 1;
        stop(dead);
        WAIT(peers_live(peers) == 2);
        assert_int_equal(peers_route(peers, "cam", after, 3), 2);
        assert_ptr_equal(after[0], before[1]);
        assert_ptr_equal(after[1], before[2]);
        assert_int_equal(gauge("role=\"originD\",state=\"dead\""), 1);
        char id[16];
        snprintf(id, sizeof(id), "origin-%d", (dead + 1) % 10);
        start(dead, id, ROLE_ORIGIND);
        WAIT(peers_live(peers) == 3);
        assert_int_equal(peers_route(peers, "cam", after, 3), 3);
        assert_memory_equal(before, after, sizeof(before));
}

static void test_draining_peers_come_last(void **state)
{
        struct peer *before[3], *after[3];
        (void)state;
        open_three();
        peers_route(peers, "cam", before, 3);
        int draining = atoi(before[0]->info.id + 7) - 1;
        servers[draining].self.draining = true;
        WAIT(before[0]->info.state == PEER_DRAINING);
        assert_int_equal(peers_route(peers, "cam", after, 3), 3);
        assert_ptr_equal(after[0], before[1]);
        assert_ptr_equal(after[1], before[2]);
        assert_ptr_equal(after[2], before[0]);
        assert_int_equal(peers_live(peers), 3);
}

static void test_of_the_owners_those_in_our_zone_come_first_and_the_rest_stays_in_order(void **state)
{
        struct peer *plain[3], *near[3];
        (void)state;
        open_three_in("west", "west", "east");
        for (int k = 0; k < 100; k++) {
                char key[16];
                snprintf(key, sizeof(key), "cam%d", k);
                assert_int_equal(peers_route(peers, key, plain, 3), 3);
                assert_string_not_equal(plain[0]->info.zone, plain[1]->info.zone); /* the two owners */
                bool east_first = strcmp(plain[0]->info.zone, "east") == 0;
                snprintf(self.zone, sizeof(self.zone), "east");
                assert_int_equal(peers_route_near(peers, key, 2, near, 3), 3);
                assert_ptr_equal(near[0], plain[east_first ? 0 : 1]);
                assert_ptr_equal(near[1], plain[east_first ? 1 : 0]);
                assert_ptr_equal(near[2], plain[2]); /* in no zone of an owner's: never before one */
                self.zone[0] = '\0';
                assert_int_equal(peers_route_near(peers, key, 2, near, 3), 3);
                assert_memory_equal(near, plain, sizeof(near));
        }
}

static void test_who_stands_in_for_a_dead_owner_is_not_asked_first_for_its_zone(void **state)
{
        struct peer *plain[3], *near[3];
        (void)state;
        open_three_in("west", "west", "east");
        peers_route(peers, "cam", plain, 3);
        struct peer *owner_west = strcmp(plain[0]->info.zone, "west") == 0 ? plain[0] : plain[1];
        struct peer *owner_east = owner_west == plain[0] ? plain[1] : plain[0];
        stop(atoi(owner_west->info.id + 7) - 1);
        WAIT(peers_live(peers) == 2);
        snprintf(self.zone, sizeof(self.zone), "west");
        assert_int_equal(peers_route_near(peers, "cam", 2, near, 3), 2);
        peers_route(peers, "cam", plain, 3);
        assert_memory_equal(near, plain, 2 * sizeof(near[0]));
        assert_true(near[0] == owner_east || near[1] == owner_east);
}

static void test_owners_share_the_objects_that_all_of_them_have(void **state)
{
        struct peer *plain[3], *shared[3];
        unsigned first[3] = {0};
        (void)state;
        open_three_in("west", "west", "east");
        peers_route(peers, "cam", plain, 3);
        for (int i = 0; i < 200; i++) {
                char object[16];
                snprintf(object, sizeof(object), "%d", i);
                assert_int_equal(peers_route_shared(peers, "cam", 2, object, shared, 3), 3);
                first[0] += shared[0] == plain[0];
                first[1] += shared[0] == plain[1];
                assert_ptr_equal(shared[2], plain[2]); /* no owner */
                assert_ptr_not_equal(shared[0], shared[1]);
        }
        assert_int_equal(first[0] + first[1], 200);
        assert_true(first[0] > 60 && first[1] > 60);
        snprintf(self.zone, sizeof(self.zone), "east");
        for (int i = 0; i < 20; i++) { /* the one that is near has them all */
                char object[16];
                snprintf(object, sizeof(object), "%d", i);
                peers_route_shared(peers, "cam", 2, object, shared, 3);
                assert_string_equal(shared[0]->info.zone, "east");
        }
        self.zone[0] = '\0';
        stop(atoi(plain[0]->info.id + 7) - 1);
        WAIT(peers_live(peers) == 2);
        for (int i = 0; i < 20; i++) { /* and who stands in for a dead one none */
                char object[16];
                snprintf(object, sizeof(object), "%d", i);
                assert_int_equal(peers_route_shared(peers, "cam", 2, object, shared, 3), 2);
                assert_string_equal(shared[0]->info.id, plain[1]->info.id);
        }
}

static void test_a_peer_of_another_role_is_never_chosen(void **state)
{
        struct peer *out[2];
        (void)state;
        start(0, "edge-7", ROLE_EDGED);
        start(1, "origin-1", ROLE_ORIGIND);
        char *names = mem_printf("127.0.0.1:%d,127.0.0.1:%d", servers[0].port, servers[1].port);
        open_peers(names);
        free(names);
        WAIT(changes >= 2);
        assert_int_equal(peers_route(peers, "cam", out, 2), 1);
        assert_string_equal(out[0]->info.id, "origin-1");
        assert_int_equal(peers_all(peers, out, 2), 1);
}

static void test_a_name_is_resolved_and_listed_twice_is_one_peer(void **state)
{
        (void)state;
        start(0, "origin-1", ROLE_ORIGIND);
        char *names = mem_printf("localhost:%d,127.0.0.1:%d", servers[0].port, servers[0].port);
        open_peers(names);
        free(names);
        WAIT(peers_live(peers) == 1);
        struct peer *out[4];
        assert_int_equal(peers_all(peers, out, 4), 1);
}

static void test_two_addresses_of_one_node_count_once_on_the_ring(void **state)
{
        struct peer *out[2];
        (void)state;
        start(0, "origin-1", ROLE_ORIGIND);
        start(1, "origin-1", ROLE_ORIGIND); /* as after a restart under another address */
        char *names = mem_printf("127.0.0.1:%d,127.0.0.1:%d", servers[0].port, servers[1].port);
        open_peers(names);
        free(names);
        WAIT(peers_live(peers) == 2);
        assert_int_equal(peers_route(peers, "cam", out, 2), 1);
        stop(0);
        WAIT(peers_live(peers) == 1);
        assert_int_equal(peers_route(peers, "cam", out, 2), 1);
        assert_int_equal(out[0]->info.state, PEER_LIVE);
}

static int canceled;

static void on_done(void *arg, int err, nng_msg *reply)
{
        struct peer *out[2];
        (void)arg;
        assert_null(reply);
        assert_int_equal(err, ERR_CANCELED);
        assert_int_equal(peers_route(peers, "cam", out, 2), 0); /* nowhere to try again */
        canceled++;
}

static void test_two_nodes_with_one_id_are_told_of(void **state)
{
        (void)state;
        for (int i = 0; i < 3; i++) {
                start(i, i < 2 ? "origin-1" : "edge-1", ROLE_ORIGIND);
                servers[i].self.incarnation_us = i;
        }
        char *names = mem_printf("127.0.0.1:%d,127.0.0.1:%d,localhost:%d,127.0.0.1:%d", servers[0].port, servers[1].port,
                                 servers[0].port, servers[2].port);
        log_init("test", LOG_ERROR);
        listen_to_log();
        open_peers(names);
        free(names);
        WAIT(lseek(fileno(said.file), 0, SEEK_END) > 0);
        end_listening();
        log_init("test", LOG_ERROR + 1);
        assert_int_equal(times_said("another node has the same id"), 2);
        assert_int_equal(times_said("peer_id=origin-1"), 2); /* an edge may be called as an origin is */
}

static void test_a_node_that_is_called_as_we_are_is_told_of(void **state)
{
        (void)state;
        for (int i = 0; i < 2; i++) {
                start(i, "edge-1", ROLE_EDGED);
                servers[i].self.incarnation_us = i ? self.incarnation_us : 7; /* the second one is ourselves */
        }
        char *names = mem_printf("127.0.0.1:%d,127.0.0.1:%d", servers[0].port, servers[1].port);
        log_init("test", LOG_ERROR);
        listen_to_log();
        assert_int_equal(peers_open(&peers, &loop, names, ROLE_EDGED, &self, on_changed, &changes), 0);
        free(names);
        WAIT(lseek(fileno(said.file), 0, SEEK_END) > 0);
        end_listening();
        log_init("test", LOG_ERROR + 1);
        assert_int_equal(times_said("another node has the same id"), 2);
}

static void test_closing_ends_calls_and_lookups_under_way(void **state)
{
        struct peer *out[1];
        nng_msg *msg;
        (void)state;
        canceled = 0;
        start(0, "origin-1", ROLE_ORIGIND);
        char *names = mem_printf("127.0.0.1:%d,name.invalid:1", servers[0].port);
        open_peers(names);
        free(names);
        WAIT(peers_live(peers) == 1);
        assert_int_equal(peers_route(peers, "cam", out, 1), 1);
        assert_int_equal(nng_msg_alloc(&msg, 1), 0);
        *(uint8_t *)nng_msg_body(msg) = 77;
        rpc_call(out[0]->rpc, msg, 60000, on_done, NULL);
        peers_close(peers);
        peers = NULL;
        assert_int_equal(canceled, 1);
        assert_int_equal(gauge("role=\"originD\",state=\"live\""), 0);
}

static void test_names_are_checked(void **state)
{
        static const char *const good[] = {"", "origin:9301", "a:1,b:65535", "[::1]:9301", "10.0.0.1:80"};
        static const char *const bad[] = {"origin", "origin:", ":9301", "origin:0", "origin:65536", "a:1,,b:2", "a b:1",
                                          "::1:80", "a:1x", "a:123456"};
        char why[128];
        (void)state;
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
                assert_int_equal(peers_check_names(&good[i], why, sizeof(why)), 0);
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                assert_int_equal(peers_check_names(&bad[i], why, sizeof(why)), ERR_CONFIG);
                assert_non_null(strstr(why, "host:port"));
        }
}

#define LOOP_TEST(f) cmocka_unit_test_setup_teardown(f, open_loop, close_loop)

int main(void)
{
        const struct CMUnitTest tests[] = {
                LOOP_TEST(test_live_peers_are_routed_in_the_same_order_every_time),
                LOOP_TEST(test_a_dead_peer_is_skipped_and_keeps_its_place),
                LOOP_TEST(test_draining_peers_come_last),
                LOOP_TEST(test_of_the_owners_those_in_our_zone_come_first_and_the_rest_stays_in_order),
                LOOP_TEST(test_who_stands_in_for_a_dead_owner_is_not_asked_first_for_its_zone),
                LOOP_TEST(test_owners_share_the_objects_that_all_of_them_have),
                LOOP_TEST(test_a_peer_of_another_role_is_never_chosen),
                LOOP_TEST(test_a_name_is_resolved_and_listed_twice_is_one_peer),
                LOOP_TEST(test_two_addresses_of_one_node_count_once_on_the_ring),
                LOOP_TEST(test_two_nodes_with_one_id_are_told_of),
                LOOP_TEST(test_a_node_that_is_called_as_we_are_is_told_of),
                LOOP_TEST(test_closing_ends_calls_and_lookups_under_way),
                LOOP_TEST(test_names_are_checked),
        };
        log_init("test", getenv("TEST_LOG") ? LOG_DEBUG : LOG_ERROR + 1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
