/* ring: everybody walks the same way, and a change of nodes moves no more than it must. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cluster/ring.h"

#define KEYS 10000
#define NODES 8

static char ids[NODES + 1][32];

static int name_nodes(void **state)
{
        (void)state;
        for (int i = 0; i <= NODES; i++)
                snprintf(ids[i], sizeof(ids[i]), "origin-%d", i + 1);
        return 0;
}

static struct ring *ring_of(int first, int count)
{
        struct ring *r = ring_new();
        for (int i = first; i < first + count; i++)
                ring_add(r, ids[i], "", ids[i]);
        return r;
}

static void *owner(struct ring *r, int key)
{
        char name[32];
        void *out = NULL;
        snprintf(name, sizeof(name), "stream%d", key);
        assert_int_equal(ring_walk(r, name, NULL, &out, 1), 1);
        return out;
}

static void test_a_new_node_takes_its_share_and_nothing_else_moves(void **state)
{
        struct ring *before = ring_of(0, NODES), *after = ring_of(0, NODES + 1);
        int moved = 0;
        (void)state;
        for (int k = 0; k < KEYS; k++) {
                if (owner(before, k) == owner(after, k))
                        continue;
                assert_ptr_equal(owner(after, k), ids[NODES]);
                moved++;
        }
        assert_true(moved < KEYS * 13 / 10 / (NODES + 1)); /* 1/n of the keys, and the spread of RING_POINTS places */
        assert_true(moved > KEYS * 7 / 10 / (NODES + 1));
        ring_free(before);
        ring_free(after);
}

static void test_a_removed_node_gives_its_keys_to_the_next_of_the_walk(void **state)
{
        struct ring *r = ring_of(0, NODES);
        char name[32];
        void *walk[2];
        (void)state;
        for (int k = 0; k < 1000; k++) {
                snprintf(name, sizeof(name), "stream%d", k);
                assert_int_equal(ring_walk(r, name, NULL, walk, 2), 2);
                ring_remove(r, walk[0]);
                assert_ptr_equal(owner(r, k), walk[1]);
                ring_add(r, walk[0], "", walk[0]);
                assert_ptr_equal(owner(r, k), walk[0]);
        }
        ring_free(r);
}

static void test_the_order_of_insertion_does_not_matter(void **state)
{
        struct ring *up = ring_of(0, NODES), *down = ring_new();
        (void)state;
        for (int i = NODES - 1; i >= 0; i--)
                ring_add(down, ids[i], "", ids[i]);
        for (int k = 0; k < 1000; k++) {
                void *a[NODES], *b[NODES];
                char name[32];
                snprintf(name, sizeof(name), "stream%d", k);
                assert_int_equal(ring_walk(up, name, NULL, a, NODES), NODES);
                assert_int_equal(ring_walk(down, name, NULL, b, NODES), NODES);
                assert_memory_equal(a, b, sizeof(a));
        }
        ring_free(up);
        ring_free(down);
}

static void test_a_walk_meets_every_node_once(void **state)
{
        struct ring *r = ring_of(0, NODES);
        void *walk[NODES + 4];
        (void)state;
        assert_int_equal(ring_walk(r, "x", NULL, walk, NODES + 4), NODES);
        for (int i = 0; i < NODES; i++) {
                for (int j = 0; j < i; j++)
                        assert_ptr_not_equal(walk[i], walk[j]);
        }
        assert_int_equal(ring_walk(r, "x", NULL, walk, 3), 3);
        assert_int_equal(ring_walk(r, "x", NULL, walk, 0), 0);
        ring_free(r);
}

static void test_no_node_has_much_more_than_its_share(void **state)
{
        struct ring *r = ring_of(0, NODES);
        int share[NODES] = {0};
        (void)state;
        for (int k = 0; k < KEYS; k++)
                share[((char *)owner(r, k) - ids[0]) / (int)sizeof(ids[0])]++;
        for (int i = 0; i < NODES; i++) {
                assert_true(share[i] < KEYS * 13 / 10 / NODES);
                assert_true(share[i] > KEYS * 7 / 10 / NODES);
        }
        ring_free(r);
}

static void test_an_id_added_again_gets_its_new_node(void **state)
{
        struct ring *r = ring_of(0, 1);
        int other;
        (void)state;
        ring_add(r, ids[0], "", &other);
        assert_int_equal(ring_count(r), 1);
        assert_ptr_equal(owner(r, 1), &other);
        ring_remove(r, "unknown");
        ring_remove(r, ids[0]);
        assert_int_equal(ring_count(r), 0);
        void *out;
        assert_int_equal(ring_walk(r, "x", NULL, &out, 1), 0);
        ring_free(r);
        ring_free(NULL);
}

/* Zones ------------------------------------------------------------------------------------------------------------- */

#define ZONES 3

static const char *zone_of(const void *node)
{
        static const char *const names[ZONES] = {"west", "east", ""};
        return names[((const char *)node - ids[0]) / (int)sizeof(ids[0]) % ZONES];
}

static struct ring *ring_in_zones(int count)
{
        struct ring *r = ring_new();
        for (int i = 0; i < count; i++)
                ring_add(r, ids[i], zone_of(ids[i]), ids[i]);
        return r;
}

static void test_the_first_nodes_of_a_walk_are_in_as_many_zones_as_there_are(void **state)
{
        struct ring *plain = ring_of(0, NODES), *zoned = ring_in_zones(NODES);
        (void)state;
        for (int k = 0; k < 1000; k++) {
                void *walk[NODES];
                char name[32];
                snprintf(name, sizeof(name), "stream%d", k);
                assert_int_equal(ring_walk(zoned, name, NULL, walk, NODES), NODES);
                assert_ptr_equal(walk[0], owner(plain, k)); /* zones move no stream's first node */
                for (int i = 0; i + ZONES <= 6; i += ZONES) { /* 8 nodes: two whole rounds */
                        assert_string_not_equal(zone_of(walk[i]), zone_of(walk[i + 1]));
                        assert_string_not_equal(zone_of(walk[i]), zone_of(walk[i + 2]));
                        assert_string_not_equal(zone_of(walk[i + 1]), zone_of(walk[i + 2]));
                }
                for (int i = 0; i < NODES; i++) {
                        for (int j = 0; j < i; j++)
                                assert_ptr_not_equal(walk[i], walk[j]);
                }
        }
        ring_free(plain);
        ring_free(zoned);
}

static void test_nodes_of_one_zone_stand_as_on_the_circle(void **state)
{
        struct ring *plain = ring_of(0, NODES), *zoned = ring_in_zones(NODES);
        (void)state;
        for (int k = 0; k < 1000; k++) {
                void *circle[NODES], *walk[NODES];
                char name[32];
                snprintf(name, sizeof(name), "stream%d", k);
                ring_walk(plain, name, NULL, circle, NODES);
                ring_walk(zoned, name, NULL, walk, NODES);
                for (int z = 0; z < ZONES; z++) {
                        for (int c = 0, w = 0; c < NODES; c++) {
                                if (strcmp(zone_of(circle[c]), zone_of(ids[z])) != 0)
                                        continue;
                                while (strcmp(zone_of(walk[w]), zone_of(ids[z])) != 0)
                                        w++;
                                assert_ptr_equal(circle[c], walk[w++]);
                        }
                }
        }
        ring_free(plain);
        ring_free(zoned);
}

static const void *gone;

static bool is_there(const void *node)
{
        return node != gone;
}

/* The stream's owners are the first two: when one of them is away its place is taken by one of the same zone, if the walk has
 * one, so that the two are in two zones still. */
static void test_a_node_that_is_away_is_stood_in_for_without_two_in_one_zone(void **state)
{
        struct ring *r = ring_in_zones(NODES);
        (void)state;
        for (int k = 0; k < 1000; k++) {
                void *before[2], *after[2];
                char name[32];
                snprintf(name, sizeof(name), "stream%d", k);
                ring_walk(r, name, NULL, before, 2);
                for (int away = 0; away < 2; away++) {
                        gone = before[away];
                        assert_int_equal(ring_walk(r, name, is_there, after, 2), 2);
                        assert_true(after[0] == before[!away] || after[1] == before[!away]); /* the other stays an owner */
                        assert_string_not_equal(zone_of(after[0]), zone_of(after[1]));
                }
        }
        ring_free(r);
}

static void test_a_node_may_move_to_another_zone(void **state)
{
        struct ring *r = ring_new();
        void *walk[3];
        (void)state;
        for (int i = 0; i < 3; i++)
                ring_add(r, ids[i], "west", ids[i]);
        ring_walk(r, "x", NULL, walk, 3);
        void *last = walk[2];
        ring_add(r, last, "east", last);
        assert_int_equal(ring_count(r), 3);
        ring_walk(r, "x", NULL, walk, 3);
        assert_ptr_equal(walk[1], last);
        ring_remove(r, last);
        assert_int_equal(ring_walk(r, "x", NULL, walk, 3), 2);
        ring_free(r);
}

/* Nodes that are full are passed over: what relays do (ingestd/walk.h), with nodes that answer here. ----------- */

#define LOADED 10
#define BOUND (KEYS * 112 / 100 / LOADED) /* hardly enough for one node less */

static struct loaded {
        char id[32];
        int load;
} loaded[LOADED + 1];
static struct loaded *holder[KEYS];

static struct ring *loaded_ring(int first, int count, int step)
{
        struct ring *r = ring_new();
        for (int i = first, n = 0; n < count; i += step, n++)
                ring_add(r, loaded[i].id, "", &loaded[i]);
        return r;
}

/* The one that has it, wherever it stands in the walk; else the first that is not full. */
static struct loaded *choose(const struct ring *r, int key)
{
        void *walk[LOADED + 1];
        char name[32];
        snprintf(name, sizeof(name), "stream%d", key);
        size_t n = ring_walk(r, name, NULL, walk, LOADED + 1);
        for (size_t i = 0; i < n; i++) {
                if (walk[i] == holder[key])
                        return walk[i];
        }
        for (size_t i = 0; i < n; i++) {
                struct loaded *l = walk[i];
                if (l->load < BOUND)
                        return l;
        }
        return NULL;
}

/* Opens every stream, over two proxies that learned of the nodes in other orders; returns how many have moved. */
static int open_all(const struct ring *one, const struct ring *other)
{
        int moved = 0;
        for (int k = 0; k < KEYS; k++) {
                struct loaded *l = choose(one, k), *same = choose(other, k);
                assert_non_null(l);
                assert_ptr_equal(l, same);
                moved += holder[k] && holder[k] != l;
                if (holder[k] != l)
                        l->load++;
                if (holder[k] && holder[k] != l)
                        holder[k]->load--;
                holder[k] = l;
        }
        return moved;
}

static void nothing_is_open(void)
{
        memset(holder, 0, sizeof(holder));
        for (int i = 0; i <= LOADED; i++)
                loaded[i] = (struct loaded){0};
        for (int i = 0; i <= LOADED; i++)
                snprintf(loaded[i].id, sizeof(loaded[i].id), "transcoder-%d", i + 1);
}

static int most_loaded(void)
{
        int most = 0;
        for (int i = 0; i <= LOADED; i++)
                most = loaded[i].load > most ? loaded[i].load : most;
        return most;
}

static void test_no_node_is_over_its_bound_and_every_proxy_makes_the_same_choice(void **state)
{
        (void)state;
        nothing_is_open();
        struct ring *up = loaded_ring(0, LOADED, 1), *down = loaded_ring(LOADED - 1, LOADED, -1);
        assert_int_equal(open_all(up, down), 0);
        int most = most_loaded(), first = 0;
        for (int k = 0; k < KEYS; k++)
                first += owner(up, k) == (void *)holder[k];
        print_message("%d streams, %d nodes of %d: the fullest has %d, %d are at the first of their walk\n", KEYS, LOADED,
                      BOUND, most, first);
        assert_true(most <= BOUND);
        assert_int_equal(open_all(down, up), 0); /* all reconnect, when others have room */
        ring_free(up);
        ring_free(down);
}

static void test_a_node_that_leaves_moves_its_streams_and_one_that_joins_moves_none_that_is_open(void **state)
{
        (void)state;
        nothing_is_open();
        struct ring *one = loaded_ring(0, LOADED, 1), *other = loaded_ring(LOADED - 1, LOADED, -1);
        open_all(one, other);
        int had = loaded[3].load;
        ring_remove(one, loaded[3].id);
        ring_remove(other, loaded[3].id);
        int moved = open_all(one, other);
        print_message("one leaves that had %d: %d streams move\n", had, moved);
        assert_int_equal(moved, had);
        assert_int_equal(loaded[3].load, 0);
        assert_true(most_loaded() <= BOUND);
        ring_add(one, loaded[LOADED].id, "", &loaded[LOADED]);
        ring_add(other, loaded[LOADED].id, "", &loaded[LOADED]);
        assert_int_equal(open_all(one, other), 0);
        ring_free(one);
        ring_free(other);
}

/* The same streams after all of them have ended once: what the set of nodes alone decides. */
static void test_a_node_that_joins_moves_little_but_what_it_takes(void **state)
{
        (void)state;
        static struct loaded *before[KEYS];
        nothing_is_open();
        struct ring *one = loaded_ring(0, LOADED, 1), *other = loaded_ring(LOADED - 1, LOADED, -1);
        open_all(one, other);
        memcpy(before, holder, sizeof(before));
        nothing_is_open();
        ring_add(one, loaded[LOADED].id, "", &loaded[LOADED]);
        ring_add(other, loaded[LOADED].id, "", &loaded[LOADED]);
        open_all(one, other);
        int moved = 0;
        for (int k = 0; k < KEYS; k++)
                moved += before[k] != holder[k] && holder[k] != &loaded[LOADED];
        print_message("one joins and takes %d: %d others are elsewhere, at most K/n = %d\n", loaded[LOADED].load, moved,
                      KEYS / LOADED);
        assert_true(moved <= KEYS / LOADED);
        assert_true(loaded[LOADED].load <= BOUND);
        ring_free(one);
        ring_free(other);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_new_node_takes_its_share_and_nothing_else_moves),
                cmocka_unit_test(test_a_removed_node_gives_its_keys_to_the_next_of_the_walk),
                cmocka_unit_test(test_the_order_of_insertion_does_not_matter),
                cmocka_unit_test(test_a_walk_meets_every_node_once),
                cmocka_unit_test(test_no_node_has_much_more_than_its_share),
                cmocka_unit_test(test_an_id_added_again_gets_its_new_node),
                cmocka_unit_test(test_the_first_nodes_of_a_walk_are_in_as_many_zones_as_there_are),
                cmocka_unit_test(test_nodes_of_one_zone_stand_as_on_the_circle),
                cmocka_unit_test(test_a_node_that_is_away_is_stood_in_for_without_two_in_one_zone),
                cmocka_unit_test(test_a_node_may_move_to_another_zone),
                cmocka_unit_test(test_no_node_is_over_its_bound_and_every_proxy_makes_the_same_choice),
                cmocka_unit_test(test_a_node_that_leaves_moves_its_streams_and_one_that_joins_moves_none_that_is_open),
                cmocka_unit_test(test_a_node_that_joins_moves_little_but_what_it_takes),
        };
        return cmocka_run_group_tests(tests, name_nodes, NULL);
}
