/* Which transcoders there are, told to who uses them: however many there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/cluster/peers.h"

/* The peers are the test's. */
static struct peer all[PEERS_MAX];
static size_t listed;
static peers_changed *on_peers;
static void *on_peers_arg;

static int fake_open(struct peers **out, uv_loop_t *loop, const char *names, enum node_role expected, const struct node_identity *self,
                     peers_changed *changed, void *arg)
{
        (void)loop, (void)names, (void)self;
        assert_int_equal(expected, ROLE_TRANSCODERD);
        on_peers = changed;
        on_peers_arg = arg;
        *out = (struct peers *)&all;
        return 0;
}

static void fake_close(struct peers *p)
{
        assert_ptr_equal(p, &all);
}

static size_t fake_all(struct peers *p, struct peer **out, size_t max)
{
        (void)p;
        size_t n = listed < max ? listed : max;
        for (size_t i = 0; i < n; i++)
                out[i] = &all[i];
        return n;
}

#define peers_open fake_open
#define peers_close fake_close
#define peers_all fake_all
#include "ingestd/transcoders.c"

static size_t told_live, told_gone;
static const struct rpc_client *last_gone;

static void on_live(void *arg, size_t transcoders)
{
        (void)arg;
        told_live = transcoders;
}

static void on_gone(void *arg, const struct rpc_client *client)
{
        (void)arg;
        told_gone++;
        last_gone = client;
}

static void list(size_t count)
{
        listed = count;
        on_peers(on_peers_arg, NULL);
}

static void test_each_of_as_many_transcoders_as_there_may_be_is_told_to_be_gone(void **state)
{
        (void)state;
        static const struct transcoders_events events = {.live = on_live, .gone = on_gone};
        struct transcoders *r;
        assert_int_equal(transcoders_open(&r, NULL, "x:1", NULL, &events, NULL), 0);
        for (size_t i = 0; i < PEERS_MAX; i++)
                all[i].rpc = (struct rpc_client *)&all[i];
        list(PEERS_MAX);
        assert_int_equal(told_live, PEERS_MAX);
        for (size_t n = PEERS_MAX; n > 0; n--) {
                list(n - 1);
                assert_int_equal(told_gone, PEERS_MAX - n + 1);
                assert_ptr_equal(last_gone, all[n - 1].rpc);
                assert_int_equal(told_live, n - 1);
        }
        transcoders_close(r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_of_as_many_transcoders_as_there_may_be_is_told_to_be_gone),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
