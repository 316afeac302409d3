/* cache: an object from its first request until it is complete, who waits for it, and what is not done under its lock. */
#include "cache_fixture.h"

#include <xxhash.h>

static void test_the_first_fills_the_second_joins_and_the_rest_hit(void **state)
{
        (void)state;
        struct fixture f;
        struct object *a, *b, *c;
        open_fixture(&f, 1 << 20, 16);
        assert_int_equal(get(&f, "/k", NOW, &a), CACHE_MISS);
        assert_int_equal(get(&f, "/k", NOW, &b), CACHE_JOINED);
        assert_ptr_equal(a, b);
        assert_int_equal(f.fills, 1);
        append(a, "hello");
        cache_complete(a, NULL, "text/plain", true, 0, NOW);
        assert_int_equal(get(&f, "/k", NOW + 3600 * US_PER_S, &c), CACHE_HIT);
        assert_ptr_equal(a, c);
        assert_int_equal(f.fills, 1);
        object_unref(&a);
        object_unref(&b);
        object_unref(&c);
        close_fixture(&f);
}

static void test_bytes_are_read_in_order_while_they_grow_and_after(void **state)
{
        (void)state;
        struct fixture f;
        struct object *o;
        char text[16] = {0};
        open_fixture(&f, 1 << 20, 16);
        get(&f, "/k", NOW, &o);
        assert_int_equal(object_read(o, 0, text, sizeof(text)), 0);
        append(o, "abc");
        append(o, "defg");
        append(o, "h");
        assert_int_equal(object_read(o, 0, text, 16), 3);
        assert_int_equal(object_read(o, 3, text + 3, 2), 2);
        assert_int_equal(object_read(o, 5, text + 5, 9), 2);
        assert_int_equal(object_read(o, 7, text + 7, 9), 1);
        assert_string_equal(text, "abcdefgh");
        assert_int_equal(object_read(o, 8, text, 9), 0);
        cache_complete(o, NULL, "text/plain", true, 0, NOW);
        assert_int_equal(object_read(o, 8, text, 9), ERR_CLOSED);
        assert_int_equal(object_read(o, 2, text, 16), 6);
        assert_memory_equal(text, "cdefgh", 6);
        object_unref(&o);
        close_fixture(&f);
}

static void test_a_waiter_is_woken_once_by_bytes_beyond_what_it_has(void **state)
{
        (void)state;
        struct fixture f;
        struct object *o;
        struct counted early = {.waiter = {.have = 0, .wake = count_wake, .deadline_us = INT64_MAX}};
        struct counted later = {.waiter = {.have = 3, .wake = count_wake, .deadline_us = INT64_MAX}};
        struct counted end = {.waiter = {.have = UINT64_MAX, .wake = count_wake, .deadline_us = INT64_MAX}};
        open_fixture(&f, 1 << 20, 16);
        get(&f, "/k", NOW, &o);
        assert_true(object_wait(o, &early.waiter) && object_wait(o, &later.waiter) && object_wait(o, &end.waiter));
        append(o, "abc");
        assert_int_equal(early.woken, 1);
        assert_int_equal(later.woken, 0);
        assert_false(object_wait(o, &early.waiter)); /* there is something already */
        append(o, "d");
        assert_int_equal(later.woken, 1);
        assert_int_equal(end.woken, 0);
        cache_complete(o, NULL, "text/plain", true, 0, NOW);
        assert_int_equal(end.woken, 1);
        assert_int_equal(early.woken, 1);
        assert_false(object_wait(o, &end.waiter));
        object_unref(&o);
        close_fixture(&f);
}

static void test_a_waiter_whose_deadline_passed_is_woken_as_expired(void **state)
{
        (void)state;
        struct fixture f;
        struct object *o;
        struct counted late = {.waiter = {.wake = count_wake, .deadline_us = NOW + 10}};
        struct counted patient = {.waiter = {.wake = count_wake, .deadline_us = NOW + 1000}};
        open_fixture(&f, 1 << 20, 16);
        get(&f, "/k", NOW, &o);
        assert_true(object_wait(o, &late.waiter) && object_wait(o, &patient.waiter));
        cache_expire_waiters(o, NOW + 10);
        assert_int_equal(late.woken, 1);
        assert_true(late.waiter.expired);
        assert_int_equal(patient.woken, 0);
        cache_fail(o, ERR_NOT_YET, 0, NOW + 20);
        assert_int_equal(patient.woken, 1);
        assert_false(patient.waiter.expired);
        object_unref(&o);
        close_fixture(&f);
}

static unsigned detached;
static void detach_int(void *attached)
{
        detached++;
        free(attached);
}

static void test_what_a_reader_attaches_counts_and_goes_with_the_object(void **state)
{
        (void)state;
        struct fixture f;
        struct object *o;
        open_fixture(&f, 1 << 20, 16);
        f.cache->ops.detach = detach_int;
        put(&f, "/k", 1000, true, 0, NOW);
        assert_int_equal(get(&f, "/k", NOW, &o), CACHE_HIT);
        assert_null(object_attached(o));
        size_t before = cache_bytes(f.cache);
        void *mine = mem_alloc(4), *late = mem_alloc(4);
        assert_true(object_attach(o, mine, 5000));
        assert_false(object_attach(o, late, 5000));
        free(late);
        assert_ptr_equal(object_attached(o), mine);
        object_charge(o, 70);
        assert_int_equal(cache_bytes(f.cache), before + 5070);
        object_unref(&o);
        detached = 0;
        for (int i = 0; i < 50; i++) {
                char key[32];
                snprintf(key, sizeof(key), "/k/%d", i);
                put(&f, key, 64 * KB, true, 0, NOW);
                assert_true(cache_bytes(f.cache) <= (1 << 20) + KB);
        }
        close_fixture(&f);
        assert_int_equal(detached, 1);
}

static void test_only_so_many_different_objects_are_fetched_at_once(void **state)
{
        (void)state;
        struct fixture f;
        struct object *a, *b, *c;
        open_fixture(&f, 1 << 20, 2);
        assert_int_equal(get(&f, "/a", NOW, &a), CACHE_MISS);
        assert_int_equal(get(&f, "/b", NOW, &b), CACHE_MISS);
        assert_int_equal(get(&f, "/c", NOW, &c), CACHE_FULL);
        assert_null(c);
        cache_missing(a, 1000, NOW);
        assert_int_equal(get(&f, "/c", NOW, &c), CACHE_MISS);
        object_unref(&a);
        object_unref(&b);
        object_unref(&c);
        close_fixture(&f);
}

static void test_looking_makes_nothing_and_a_charge_goes_with_what_is_made(void **state)
{
        (void)state;
        struct fixture f;
        struct object *o;
        struct charge charge = {.paid = true, .by = {{1}}};
        open_fixture(&f, 100000, 64);
        assert_int_equal(cache_find(f.cache, "/a", 2, 0, &o), CACHE_MISS);
        assert_null(o);
        assert_int_equal(cache_objects(f.cache), 0);
        assert_int_equal(cache_get_charged(f.cache, "/a", 2, &charge, 0, &o), CACHE_MISS);
        assert_true(o->charge.paid && o->charge.by.bytes[0] == 1);
        object_unref(&o);
        assert_int_equal(cache_find(f.cache, "/a", 2, 0, &o), CACHE_JOINED);
        cache_fail(o, ERR_CLOSED, 0, 0);
        object_unref(&o);
        close_fixture(&f);
}

struct looking {
        struct waiter waiter;
        struct object *object;
        struct object_view seen;
};

static void look_when_woken(struct waiter *w)
{
        struct looking *l = (struct looking *)(void *)w;
        object_look(l->object, NOW, &l->seen);
}

/* Of all shards, in the only thread: somebody who holds one is this thread itself. */
static struct cache *watched;
static unsigned hashed_under_a_lock, hashed_large;

/* Instead of the library's. */
XXH64_hash_t XXH3_64bits(const void *bytes, size_t len)
{
        if (watched && len >= 64 * KB) {
                hashed_large++;
                for (int i = 0; i < CACHE_SHARDS; i++) {
                        if (pthread_mutex_trylock(&watched->shards[i].lock) == 0)
                                pthread_mutex_unlock(&watched->shards[i].lock);
                        else
                                hashed_under_a_lock++;
                }
        }
        return XXH3_64bits_withSeed(bytes, len, 0);
}

static void test_no_body_is_hashed_while_viewers_of_others_wait_for_the_lock(void **state)
{
        (void)state;
        struct fixture f;
        open_fixture(&f, 4 << 20, 16);
        watched = f.cache;
        put(&f, "/big", 1 << 20, true, 0, NOW);
        watched = NULL;
        assert_true(hashed_large > 0);
        assert_int_equal(hashed_under_a_lock, 0);
        close_fixture(&f);
}

static void test_what_comes_at_once_is_complete_when_it_is_first_seen(void **state)
{
        (void)state;
        struct fixture f;
        struct looking l = {.waiter = {.wake = look_when_woken, .deadline_us = INT64_MAX}};
        open_fixture(&f, 1 << 20, 16);
        get(&f, "/k", NOW, &l.object);
        assert_true(object_wait(l.object, &l.waiter));
        struct buf *b = buf_copy("hello", 5);
        assert_int_equal(cache_complete(l.object, b, "text/plain", true, 0, NOW), 0);
        buf_unref(&b);
        assert_int_equal(l.seen.state, OBJECT_COMPLETE);
        assert_int_equal(l.seen.body->len, 5);
        object_unref(&l.object);
        close_fixture(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_first_fills_the_second_joins_and_the_rest_hit),
                cmocka_unit_test(test_bytes_are_read_in_order_while_they_grow_and_after),
                cmocka_unit_test(test_a_waiter_is_woken_once_by_bytes_beyond_what_it_has),
                cmocka_unit_test(test_a_waiter_whose_deadline_passed_is_woken_as_expired),
                cmocka_unit_test(test_what_a_reader_attaches_counts_and_goes_with_the_object),
                cmocka_unit_test(test_only_so_many_different_objects_are_fetched_at_once),
                cmocka_unit_test(test_looking_makes_nothing_and_a_charge_goes_with_what_is_made),
                cmocka_unit_test(test_no_body_is_hashed_while_viewers_of_others_wait_for_the_lock),
                cmocka_unit_test(test_what_comes_at_once_is_complete_when_it_is_first_seen),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
