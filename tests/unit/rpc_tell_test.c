/* rpc: messages that want no answer. */
#include "rpc_fixture.h"

static bool tell(struct client *c, size_t number)
{
        const uint8_t n = (uint8_t)number;
        nng_msg *msg = text_message(MSG_MEDIA_TOLD, &n, 1);
        bool sent = rpc_tell(c->rpc, msg);
        if (!sent)
                nng_msg_free(msg);
        return sent;
}

/* One after the other: several that are under way may be handed over in another order. */
static void test_what_is_told_arrives_and_calls_are_answered_beside_it(void **state)
{
        (void)state;
        struct server s;
        struct client c;
        serve(&s, 4, "secret");
        dial_live(&c, s.address, "secret");
        for (size_t i = 0; i < 3 * RPC_TELLS_MAX; i++) {
                assert_true(tell(&c, i));
                WAIT(s.told == i + 1);
                if (i % 5 == 0) {
                        size_t done = c.done;
                        call(&c, "echo", 60000);
                        WAIT(c.done == done + 1);
                        assert_int_equal(c.err, 0);
                }
        }
        assert_true(s.told_in_order);
        rpc_client_close(c.rpc);
        rpc_server_close(s.rpc);
}

static void test_so_many_are_on_their_way_and_no_more(void **state)
{
        (void)state;
        struct server s;
        struct client c;
        size_t sent = 0;
        serve(&s, 4, "");
        dial_live(&c, s.address, "");
        while (sent < 100000 && tell(&c, sent)) /* nng's threads may be faster than this one */
                sent++;
        WAIT(s.told == sent);
        assert_true(tell(&c, sent));
        WAIT(s.told == sent + 1);
        rpc_client_close(c.rpc);
        rpc_server_close(s.rpc);
}

/* Before HELLO it would be a stranger's, and after the end of a connection it would come by the next one. */
static void test_nobody_is_told_anything_without_a_connection_that_is_greeted(void **state)
{
        (void)state;
        struct server s, again;
        struct client c;
        serve(&s, 4, "secret");
        dial(&c, s.address, "secret");
        assert_false(tell(&c, 0));
        WAIT(state_of(&c) == PEER_LIVE);
        assert_true(tell(&c, 0));
        WAIT(s.told == 1);
        int port = rpc_server_port(s.rpc);
        rpc_server_close(s.rpc);
        WAIT(state_of(&c) == PEER_DEAD);
        assert_false(tell(&c, 1));
        serve_at(&again, &loop, port, 4, "secret");
        WAIT(state_of(&c) == PEER_LIVE);
        assert_int_equal(again.told, 0);
        assert_true(tell(&c, 0));
        WAIT(again.told == 1);
        rpc_client_close(c.rpc);
        rpc_server_close(again.rpc);
}

static void test_what_a_node_can_is_in_its_hello(void **state)
{
        (void)state;
        struct server s;
        struct client c;
        serve(&s, 4, "secret");
        dial_live(&c, s.address, "secret");
        assert_int_equal(rpc_client_info(c.rpc)->can, 0);
        s.self.can = CAN_BE_TOLD;
        WAIT(rpc_client_info(c.rpc)->can == CAN_BE_TOLD);
        assert_int_equal(rpc_client_info(c.rpc)->load_permille, 250);
        call(&c, "echo", 60000);
        WAIT(c.done == 1);
        assert_false(s.asker_can);
        c.self.can = CAN_BE_TOLD;
        for (size_t asked = 1; !s.asker_can; asked++) { /* with the next HELLO */
                call(&c, "echo", 60000);
                WAIT(c.done == asked + 1);
        }
        rpc_client_close(c.rpc);
        rpc_server_close(s.rpc);
}

static int open_loop_of_proxies(void **state)
{
        server_role = ROLE_TRANSCODERD;
        client_role = ROLE_INGESTD;
        test_type = MSG_MEDIA;
        return open_loop(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_loop_of_proxies, close_loop)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_what_is_told_arrives_and_calls_are_answered_beside_it),
                TEST(test_so_many_are_on_their_way_and_no_more),
                TEST(test_nobody_is_told_anything_without_a_connection_that_is_greeted),
                TEST(test_what_a_node_can_is_in_its_hello),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
