/* cache: what expires, what is refreshed while all have what there is, and what failed or is due later. */
#include "cache_fixture.h"

static void test_an_expired_object_is_served_stale_when_the_refresh_fails_but_not_for_ever(void **state)
{
        (void)state;
        struct fixture f;
        struct object *o, *again;
        struct object_view v;
        open_fixture(&f, 1 << 20, 16);
        put(&f, "/m", 100, false, 1000, NOW);
        int64_t t = NOW + 1000 * US_PER_MS + CACHE_GRACE_US;
        assert_int_equal(get(&f, "/m", t, &o), CACHE_MISS);
        assert_int_equal(get(&f, "/m", t, &again), CACHE_JOINED);
        object_unref(&again);
        cache_fail(o, ERR_CLOSED, 0, t);
        object_look(o, t, &v);
        assert_non_null(v.stale);
        object_unref(&v.stale);
        object_unref(&o);
        assert_int_equal(get(&f, "/m", t + 1, &o), CACHE_STALE); /* no new attempt yet */
        object_unref(&o);
        unsigned before = f.fills;
        assert_int_equal(get(&f, "/m", t + CACHE_STALE_RETRY_US, &o), CACHE_STALE); /* at once: what failed last is not waited for */
        object_unref(&o);
        assert_int_equal(f.fills, before + 1);
        cache_fail(f.filling[before], ERR_CLOSED, 0, t + CACHE_STALE_RETRY_US);
        t += CACHE_STALE_MAX_US;
        assert_int_equal(get(&f, "/m", t, &o), CACHE_MISS);
        cache_fail(o, ERR_CLOSED, 0, t);
        object_look(o, t, &v);
        assert_null(v.stale);
        object_unref(&o);
        close_fixture(&f);
}

static void expect(struct fixture *f, int64_t now_us, enum cache_result result, const struct object *same)
{
        struct object *o;
        assert_int_equal(get(f, "/m", now_us, &o), result);
        assert_true(!same || same == o);
        object_unref(&o);
        assert_int_equal(cache_find(f->cache, "/m", 2, now_us, &o), result == CACHE_MISS ? CACHE_JOINED : result);
        object_unref(&o);
}

/* Nobody waits for a manifest that everybody asks for: one fill follows the other, each begun before the last one's object has expired.
 * */
static void test_what_expires_is_refreshed_before_by_one_while_all_have_what_there_is(void **state)
{
        (void)state;
        struct fixture f;
        struct object *first;
        int64_t early_us = NOW + 1000 * US_PER_MS - 1000 * US_PER_MS / CACHE_EARLY_PART;
        open_fixture(&f, 1 << 20, 16);
        put(&f, "/m", 100, false, 1000, NOW);
        assert_int_equal(cache_find(f.cache, "/m", 2, NOW, &first), CACHE_HIT);
        expect(&f, early_us - 1, CACHE_HIT, first);
        assert_int_equal(f.fills, 0);
        expect(&f, early_us, CACHE_HIT, first);
        assert_int_equal(f.fills, 1);
        expect(&f, NOW + 1000 * US_PER_MS - 1, CACHE_HIT, first);
        expect(&f, NOW + 1000 * US_PER_MS, CACHE_STALE, first); /* within the grace nobody waits */
        expect(&f, NOW + 1000 * US_PER_MS + CACHE_GRACE_US - 1, CACHE_STALE, first);
        assert_int_equal(f.fills, 1);
        assert_int_equal(cache_objects(f.cache), 1);
        int64_t t = NOW + 1000 * US_PER_MS + CACHE_GRACE_US;
        struct object *waits;
        assert_int_equal(get(&f, "/m", early_us + CACHE_STALE_WAIT_US, &waits), CACHE_STALE);
        object_unref(&waits);
        append(f.filling[0], "new");
        expect(&f, t - 1, CACHE_STALE, first); /* not half of it */
        cache_complete(f.filling[0], NULL, "text/plain", false, 1000, t);
        expect(&f, t, CACHE_HIT, f.filling[0]);
        assert_int_equal(cache_objects(f.cache), 1);
        assert_int_equal(f.fills, 1);
        object_unref(&first);
        close_fixture(&f);
}

/* After the grace it is a question of whoever comes; there is one fill all the same, and what it brings is for all. */
static void test_after_the_grace_all_join_one_refresh(void **state)
{
        (void)state;
        struct fixture f;
        struct object *a, *b;
        struct counted w = {.waiter = {.wake = count_wake, .deadline_us = INT64_MAX}};
        open_fixture(&f, 1 << 20, 16);
        put(&f, "/m", 100, false, 500, NOW);
        expect(&f, NOW + 500 * US_PER_MS, CACHE_STALE, NULL); /* begins it */
        int64_t t = NOW + 1000 * US_PER_MS - 1;
        expect(&f, t, CACHE_STALE, NULL); /* as long again as it was fresh */
        t = NOW + 500 * US_PER_MS + CACHE_STALE_WAIT_US;
        assert_int_equal(get(&f, "/m", t, &a), CACHE_JOINED);
        assert_int_equal(get(&f, "/m", t, &b), CACHE_JOINED);
        assert_ptr_equal(a, b);
        assert_true(object_wait(a, &w.waiter));
        assert_int_equal(f.fills, 1);
        cache_missing(f.filling[0], 1000, t);
        assert_int_equal(w.woken, 1);
        object_unref(&a);
        object_unref(&b);
        assert_int_equal(get(&f, "/m", t, &a), CACHE_HIT);
        assert_int_equal(a->state, OBJECT_MISSING);
        object_unref(&a);
        assert_int_equal(cache_objects(f.cache), 1);
        close_fixture(&f);
}

/* A refresh is a FETCH: what is paid for by each who asks is not fetched for nothing. */
static void test_what_was_paid_for_is_not_refreshed_before_it_expires(void **state)
{
        (void)state;
        struct fixture f;
        struct object *o;
        struct charge charge = {.paid = true};
        open_fixture(&f, 1 << 20, 16);
        assert_int_equal(cache_get_charged(f.cache, "/m", 2, &charge, NOW, &o), CACHE_MISS);
        uv_run(&f.loop, UV_RUN_NOWAIT);
        append(o, "page");
        cache_complete(o, NULL, "text/plain", false, 1000, NOW);
        object_unref(&o);
        assert_int_equal(cache_find(f.cache, "/m", 2, NOW + 1000 * US_PER_MS - 1, &o), CACHE_HIT);
        object_unref(&o);
        assert_int_equal(cache_find(f.cache, "/m", 2, NOW + 1000 * US_PER_MS, &o), CACHE_MISS);
        uv_run(&f.loop, UV_RUN_NOWAIT);
        assert_int_equal(f.fills, 1);
        close_fixture(&f);
}

static void test_what_is_being_refreshed_is_not_evicted(void **state)
{
        (void)state;
        struct fixture f;
        char key[32];
        open_fixture(&f, 1 << 20, 16);
        put(&f, "/m", 100, false, 1000, NOW);
        expect(&f, NOW + 1000 * US_PER_MS - 1, CACHE_HIT, NULL);
        assert_int_equal(f.fills, 1);
        for (int i = 0; i < 200; i++) {
                snprintf(key, sizeof(key), "/k/%d", i);
                put(&f, key, 64 * KB, true, 0, NOW);
                expect_hit(&f, key, NOW); /* they go where what is hit goes, and push out each other there */
        }
        expect(&f, NOW + 1000 * US_PER_MS, CACHE_STALE, NULL);
        cache_fail(f.filling[0], ERR_CLOSED, 0, NOW + 1000 * US_PER_MS);
        expect(&f, NOW + 1000 * US_PER_MS, CACHE_STALE, NULL);
        close_fixture(&f);
}

static void test_a_refresh_that_hangs_is_not_waited_for(void **state)
{
        (void)state;
        struct fixture f;
        struct object *o, *other;
        struct counted w = {.waiter = {.wake = count_wake, .deadline_us = INT64_MAX}};
        open_fixture(&f, 1 << 20, 16);
        put(&f, "/m", 100, false, 1000, NOW);
        int64_t t = NOW + 2 * US_PER_S;
        assert_int_equal(get(&f, "/m", t, &o), CACHE_MISS);
        assert_true(object_wait(o, &w.waiter));
        cache_expire_waiters(o, t + CACHE_STALE_WAIT_US);
        assert_int_equal(w.woken, 0);
        cache_expire_waiters(o, t + CACHE_STALE_WAIT_US + 1);
        assert_int_equal(w.woken, 1);
        assert_int_equal(get(&f, "/m", t + CACHE_STALE_WAIT_US + 1, &other), CACHE_STALE);
        object_unref(&other);
        append(o, "new");
        cache_complete(o, NULL, "text/plain", false, 1000, t + US_PER_S);
        assert_int_equal(get(&f, "/m", t + US_PER_S, &other), CACHE_HIT);
        assert_ptr_equal(other, o);
        object_unref(&other);
        object_unref(&o);
        close_fixture(&f);
}

static void test_what_failed_is_told_to_all_and_asked_for_again_after_a_while_that_grows(void **state)
{
        (void)state;
        struct fixture f;
        struct object *o, *other;
        struct object_view v;
        int64_t now_us = NOW, most_us = CACHE_FAILED_FIRST_US;
        open_fixture(&f, 1 << 20, 16);
        for (unsigned i = 1; i < 8; i++) {
                assert_int_equal(get(&f, "/k", now_us, &o), CACHE_MISS);
                append(o, "half of it");
                cache_fail(o, ERR_CLOSED, 0, now_us);
                object_unref(&o);
                assert_int_equal(get(&f, "/k", now_us + most_us / 2 - 1, &other), CACHE_HIT);
                assert_int_equal(f.fills, i); /* nobody was asked */
                object_look(other, now_us, &v);
                assert_true(v.state == OBJECT_FAILED && v.failure == ERR_CLOSED && v.len == 0);
                assert_in_range(v.again_us, now_us + most_us / 2, now_us + most_us);
                object_unref(&other);
                now_us += most_us;
                most_us = 2 * most_us < CACHE_FAILED_MAX_US ? 2 * most_us : CACHE_FAILED_MAX_US;
        }
        assert_int_equal(get(&f, "/k", now_us, &o), CACHE_MISS);
        cache_complete(o, NULL, "text/plain", true, 0, now_us);
        object_unref(&o);
        assert_int_equal(get(&f, "/k", now_us, &o), CACHE_HIT);
        object_look(o, now_us, &v);
        assert_int_equal(v.state, OBJECT_COMPLETE);
        object_unref(&o);
        close_fixture(&f);
}

static void test_many_that_failed_together_are_not_asked_for_together(void **state)
{
        (void)state;
        struct fixture f;
        struct object *o, *all[1000];
        char key[32];
        unsigned early = 0;
        open_fixture(&f, 4 << 20, 2000);
        for (int i = 0; i < 1000; i++) {
                snprintf(key, sizeof(key), "/k%d", i);
                get(&f, key, NOW, &all[i]);
        }
        for (int i = 0; i < 1000; i++)
                cache_fail(all[i], ERR_CLOSED, 0, NOW);
        for (int i = 0; i < 1000; i++) {
                early += cache_find(f.cache, all[i]->key, strlen(all[i]->key), NOW + CACHE_FAILED_FIRST_US * 3 / 4, &o) == CACHE_MISS;
                object_unref(&o);
                object_unref(&all[i]);
        }
        assert_in_range(early, 350, 650);
        close_fixture(&f);
}

static void test_what_is_known_to_come_later_is_not_asked_for_before(void **state)
{
        (void)state;
        struct fixture f;
        struct object *o;
        struct object_view v;
        open_fixture(&f, 1 << 20, 16);
        get(&f, "/k", NOW, &o);
        cache_due(o, NOW + 6 * US_PER_S);
        object_look(o, NOW, &v);
        assert_int_equal(v.again_us, NOW + 6 * US_PER_S);
        cache_fail(o, ERR_NOT_YET, NOW + 2 * US_PER_S, NOW);
        object_unref(&o);
        assert_int_equal(get(&f, "/k", NOW + 2 * US_PER_S - 1, &o), CACHE_HIT);
        object_look(o, NOW, &v);
        assert_int_equal(v.again_us, NOW + 2 * US_PER_S);
        object_unref(&o);
        assert_int_equal(get(&f, "/k", NOW + 2 * US_PER_S, &o), CACHE_MISS);
        cache_fail(o, ERR_NOT_YET, INT64_MAX, NOW); /* a peer may say anything */
        object_unref(&o);
        assert_int_equal(get(&f, "/k", NOW + 60 * US_PER_S, &o), CACHE_MISS);
        cache_fail(o, ERR_NOT_YET, 0, NOW);
        object_unref(&o);
        close_fixture(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_an_expired_object_is_served_stale_when_the_refresh_fails_but_not_for_ever),
                cmocka_unit_test(test_what_expires_is_refreshed_before_by_one_while_all_have_what_there_is),
                cmocka_unit_test(test_after_the_grace_all_join_one_refresh),
                cmocka_unit_test(test_what_was_paid_for_is_not_refreshed_before_it_expires),
                cmocka_unit_test(test_what_is_being_refreshed_is_not_evicted),
                cmocka_unit_test(test_a_refresh_that_hangs_is_not_waited_for),
                cmocka_unit_test(test_what_failed_is_told_to_all_and_asked_for_again_after_a_while_that_grows),
                cmocka_unit_test(test_many_that_failed_together_are_not_asked_for_together),
                cmocka_unit_test(test_what_is_known_to_come_later_is_not_asked_for_before),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
