#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <cmocka.h>
#include <xxhash.h>

#include "edged/cache_impl.h"
#include "edged/pages.h"
#include "fake_upstream.h"

#define NOW INT64_C(1000000000)
#define KB 1024

struct fixture {
        uv_loop_t loop;
        struct mailbox mailbox;
        struct cache *cache;
        struct object *filling[4096]; /* with our reference */
        unsigned fills;
};

static void keep_fill(void *arg, struct object *o)
{
        struct fixture *f = arg;
        assert_true(f->fills < 4096);
        f->filling[f->fills++] = o;
}

static void open_fixture(struct fixture *f, size_t budget, unsigned fills_max)
{
        struct cache_config cfg = {.budget_bytes = budget, .fills_max = fills_max};
        struct cache_ops ops = {.fill = keep_fill};
        memset(f, 0, sizeof(*f));
        uv_loop_init(&f->loop);
        mailbox_open(&f->mailbox, &f->loop);
        f->cache = cache_open(&cfg, &ops, f, &f->mailbox);
}

static void close_fixture(struct fixture *f)
{
        mailbox_close(&f->mailbox);
        for (unsigned i = 0; i < f->fills; i++)
                object_unref(&f->filling[i]);
        uv_run(&f->loop, UV_RUN_DEFAULT);
        cache_close(f->cache);
        assert_int_equal(uv_loop_close(&f->loop), 0);
}

static enum cache_result get(struct fixture *f, const char *key, int64_t now_us, struct object **out)
{
        enum cache_result r = cache_get(f->cache, key, strlen(key), 0, now_us, out);
        uv_run(&f->loop, UV_RUN_NOWAIT);
        return r;
}

static void append(struct object *o, const char *text)
{
        struct buf *b = buf_copy(text, strlen(text));
        assert_int_equal(cache_append(o, b, "text/plain", true), 0);
        buf_unref(&b);
}

/* A complete object of len bytes under key. */
static void put(struct fixture *f, const char *key, size_t len, bool immutable, uint32_t ttl_ms, int64_t now_us)
{
        struct object *o;
        assert_int_equal(get(f, key, now_us, &o), CACHE_MISS);
        struct buf *b = buf_new(len);
        memset(b->data, 'x', len);
        assert_int_equal(cache_append(o, b, "text/plain", immutable), 0);
        assert_int_equal(cache_complete(o, NULL, "text/plain", immutable, ttl_ms, now_us), 0);
        buf_unref(&b);
        object_unref(&f->filling[--f->fills]);
        object_unref(&o);
}

struct counted {
        struct waiter waiter;
        int woken;
};

static void count_wake(struct waiter *w)
{
        ((struct counted *)(void *)w)->woken++;
}

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

static void test_the_byte_budget_is_kept_and_what_was_hit_is_spared(void **state)
{
        (void)state;
        struct fixture f;
        char key[32];
        open_fixture(&f, 1 << 20, 16);
        put(&f, "/hot", 64 * KB, true, 0, NOW);
        for (int i = 0; i < 500; i++) {
                struct object *hot;
                snprintf(key, sizeof(key), "/cold/%d", i);
                put(&f, key, 64 * KB, true, 0, NOW);
                assert_true(cache_bytes(f.cache) <= 1 << 20);
                assert_int_equal(get(&f, "/hot", NOW, &hot), CACHE_HIT);
                object_unref(&hot);
        }
        assert_true(cache_objects(f.cache) > 8);
        close_fixture(&f);
}

static void test_what_cannot_fit_is_refused_and_leaves_the_object_as_it_was(void **state)
{
        (void)state;
        struct fixture f;
        struct object *o;
        open_fixture(&f, 1 << 20, 16);
        get(&f, "/k", NOW, &o);
        append(o, "abc");
        struct buf *big = buf_new(2 << 20);
        assert_int_equal(cache_append(o, big, "text/plain", true), ERR_NOSPACE);
        buf_unref(&big);
        struct object_view v;
        object_look(o, NOW, &v);
        assert_int_equal(v.len, 3);
        cache_fail(o, ERR_NOSPACE, 0, NOW);
        object_unref(&o);
        close_fixture(&f);
}

static void test_missing_names_are_remembered_but_never_push_media_out(void **state)
{
        (void)state;
        struct fixture f;
        struct object *o;
        char key[32];
        open_fixture(&f, 32 << 20, 16);
        put(&f, "/media", 64 * KB, true, 0, NOW);
        for (int i = 0; i < 50000; i++) {
                snprintf(key, sizeof(key), "/no/%d", i);
                assert_int_equal(get(&f, key, NOW, &o), CACHE_MISS);
                cache_missing(o, 1000, NOW);
                object_unref(&f.filling[--f.fills]);
                object_unref(&o);
        }
        assert_true(cache_objects(f.cache) <= CACHE_SHARDS * CACHE_MISSING_PER_SHARD + 1);
        assert_int_equal(get(&f, key, NOW + 999 * US_PER_MS, &o), CACHE_HIT); /* the last one is known to be missing */
        object_unref(&o);
        assert_int_equal(get(&f, "/media", NOW, &o), CACHE_HIT);
        object_unref(&o);
        assert_int_equal(get(&f, key, NOW + 1001 * US_PER_MS, &o), CACHE_MISS);
        cache_fail(o, ERR_CLOSED, 0, NOW);
        object_unref(&o);
        close_fixture(&f);
}

/* Each takes half a kilobyte. */
static void test_in_a_small_cache_names_take_a_small_part(void **state)
{
        (void)state;
        struct fixture f;
        struct object *o;
        char key[32];
        open_fixture(&f, 4 << 20, 16);
        for (int i = 0; i < 50000; i++) {
                snprintf(key, sizeof(key), "/no/%d", i);
                assert_int_equal(get(&f, key, NOW, &o), CACHE_MISS);
                cache_missing(o, 1000, NOW);
                object_unref(&f.filling[--f.fills]);
                object_unref(&o);
        }
        for (int i = 0; i < 50; i++) {
                snprintf(key, sizeof(key), "/media/%d", i);
                put(&f, key, 64 * KB, true, 0, NOW);
        }
        for (int i = 0; i < 50; i++) {
                snprintf(key, sizeof(key), "/media/%d", i);
                assert_int_equal(get(&f, key, NOW, &o), CACHE_HIT);
                object_unref(&o);
        }
        assert_int_equal(get(&f, "/no/49999", NOW, &o), CACHE_HIT);
        object_unref(&o);
        close_fixture(&f);
}

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

/* Nobody waits for a manifest that everybody asks for: one fill follows the other, each begun before the last one's object has expired. */
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
                struct object *o; /* they go where what is hit goes, and push out each other there */
                assert_int_equal(get(&f, key, NOW, &o), CACHE_HIT);
                object_unref(&o);
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

static void test_what_is_large_lies_in_pages_and_counts_by_pages(void **state)
{
        (void)state;
        struct fixture f;
        struct object *o;
        struct object_view v;
        open_fixture(&f, 1 << 20, 16);
        size_t before = cache_bytes(f.cache);
        put(&f, "/k", PAGES_LEAST + 1, true, 0, NOW);
        assert_int_equal(get(&f, "/k", NOW, &o), CACHE_HIT);
        object_look(o, NOW, &v);
        assert_true(pages_find(ledger_inner(v.body), NULL, NULL));
        assert_true(cache_bytes(f.cache) - before >= PAGES_LEAST + 4096);
        object_unref(&o);
        close_fixture(&f);
}

static unsigned detached;
static void detach_int(void *attached)
{
        detached++;
        free(attached);
}

/* It is the piece itself that becomes the body. */
static void test_a_small_object_of_one_piece_counts_once_and_is_kept_by_no_reader(void **state)
{
        (void)state;
        struct fixture f;
        struct object *o;
        char key[32];
        open_fixture(&f, 1 << 20, 16);
        for (int i = 0; i < 32; i++) {
                snprintf(key, sizeof(key), "/audio/%d", i);
                put(&f, key, 12 * KB, true, 0, NOW);
                assert_int_equal(cache_pinned(f.cache), 0);
        }
        assert_true(cache_bytes(f.cache) < 32 * (12 * KB + 1024));
        assert_int_equal(get(&f, "/audio/0", NOW, &o), CACHE_HIT);
        object_unref(&o);
        close_fixture(&f);
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

static struct object *add(struct fixture *f, const char *key, size_t len)
{
        struct object *o;
        assert_int_equal(get(f, key, NOW, &o), CACHE_MISS);
        struct buf *b = buf_new(len);
        int err = cache_complete(o, b, "video/mp4", true, 0, NOW);
        buf_unref(&b);
        if (err)
                cache_fail(o, err, 0, NOW);
        object_unref(&f->filling[--f->fills]);
        if (err)
                object_unref(&o);
        return o;
}

/* Sixteen readers of a sixteenth of the cache each, who do not read. */
static void test_slow_readers_keep_a_share_and_do_not_empty_the_cache(void **state)
{
        (void)state;
        enum { BUDGET = 6400000, BIG = 400000, READERS = 32 };
        struct fixture f;
        struct object *read[READERS], *o;
        char key[32];
        open_fixture(&f, BUDGET, 64);
        for (int i = 0; i < 50; i++) { /* half of it is what is watched */
                snprintf(key, sizeof(key), "/hot/%d", i);
                put(&f, key, 60000, true, 0, NOW);
                assert_int_equal(get(&f, key, NOW, &o), CACHE_HIT);
                object_unref(&o);
        }
        for (int i = 0; i < READERS; i++) {
                snprintf(key, sizeof(key), "/slow/%d", i);
                read[i] = add(&f, key, BIG);
                assert_true(cache_bytes(f.cache) <= BUDGET + BUDGET / CACHE_PINNED_PART + READERS * KB);
        }
        for (int i = 0; i < 50; i++) {
                snprintf(key, sizeof(key), "/hot/%d", i);
                assert_int_equal(get(&f, key, NOW, &o), CACHE_HIT);
                object_unref(&o);
        }
        int cut = 0, kept = 0;
        for (int i = 0; i < READERS; i++) {
                kept += read[i] && !object_is_cut(read[i]);
                if (read[i] && object_is_cut(read[i]) && ++cut)
                        object_unref(&read[i]); /* as their connections do */
        }
        assert_true(cut > 0 && kept > 0);
        assert_true(cache_pinned(f.cache) <= BUDGET / CACHE_PINNED_PART);
        assert_non_null(o = add(&f, "/new", 60000)); /* there is room again, with those who are within the share */
        object_unref(&o);
        for (int i = 0; i < READERS; i++)
                object_unref(&read[i]);
        assert_int_equal(cache_pinned(f.cache), 0);
        assert_true(cache_bytes(f.cache) <= BUDGET);
        close_fixture(&f);
}

static void let_go_of_what_is_cut(struct object **read, int count, int *cut)
{
        for (int i = 0; i < count; i++) {
                if (!read[i] || !object_is_cut(read[i]))
                        continue;
                (*cut)++;
                object_unref(&read[i]);
        }
}

/* Objects that fail in the middle, each read by somebody who does not read on. */
static void test_slow_readers_keep_a_share_of_what_failed_too(void **state)
{
        (void)state;
        enum { BUDGET = 6400000, HALF = 200000, READERS = 32 };
        struct fixture f;
        struct object *read[READERS], *o;
        struct buf *b = buf_new(HALF);
        char key[32];
        int cut = 0;
        open_fixture(&f, BUDGET, 64);
        for (int i = 0; i < 50; i++) {
                snprintf(key, sizeof(key), "/hot/%d", i);
                put(&f, key, 60000, true, 0, NOW);
                assert_int_equal(get(&f, key, NOW, &o), CACHE_HIT);
                object_unref(&o);
        }
        for (int i = 0; i < READERS; i++) {
                snprintf(key, sizeof(key), "/slow/%d", i);
                assert_int_equal(get(&f, key, NOW, &read[i]), CACHE_MISS);
                for (int piece = 0; piece < 2; piece++) {
                        assert_int_equal(cache_append(read[i], b, "video/mp4", true), 0);
                        let_go_of_what_is_cut(read, i, &cut);
                        assert_int_equal(f.cache->ledger.cut, 0); /* who was told kept all of it */
                }
                assert_false(object_is_cut(read[i]));
                cache_fail(read[i], ERR_IO, 0, NOW);
                object_unref(&f.filling[--f.fills]);
                assert_true(cache_pinned(f.cache) > 0);
                assert_true(cache_bytes(f.cache) <= BUDGET + BUDGET / CACHE_PINNED_PART + READERS * KB);
        }
        assert_in_range(cut, 1, READERS - 1);
        for (int i = 0; i < 50; i++) {
                snprintf(key, sizeof(key), "/hot/%d", i);
                assert_int_equal(get(&f, key, NOW, &o), CACHE_HIT);
                object_unref(&o);
        }
        for (int i = 0; i < READERS; i++)
                object_unref(&read[i]);
        assert_int_equal(cache_pinned(f.cache), 0);
        buf_unref(&b);
        close_fixture(&f);
}

static void test_what_is_being_filled_does_not_empty_the_cache(void **state)
{
        (void)state;
        enum { BUDGET = 6400000 };
        struct fixture f;
        struct object *filling[16], *o;
        char key[32];
        int refused = 0;
        open_fixture(&f, BUDGET, 64);
        for (int i = 0; i < 50; i++) {
                snprintf(key, sizeof(key), "/hot/%d", i);
                put(&f, key, 60000, true, 0, NOW);
                assert_int_equal(get(&f, key, NOW, &o), CACHE_HIT);
                object_unref(&o);
        }
        struct buf *b = buf_new(400000);
        for (int i = 0; i < 16; i++) {
                snprintf(key, sizeof(key), "/big/%d", i);
                assert_int_equal(get(&f, key, NOW, &filling[i]), CACHE_MISS);
                refused += cache_append(filling[i], b, "video/mp4", true) == ERR_NOSPACE;
        }
        buf_unref(&b);
        assert_in_range(refused, 1, 10);
        for (int i = 0; i < 50; i++) {
                snprintf(key, sizeof(key), "/hot/%d", i);
                assert_int_equal(get(&f, key, NOW, &o), CACHE_HIT);
                object_unref(&o);
        }
        for (int i = 0; i < 16; i++) {
                cache_fail(filling[i], ERR_NOSPACE, 0, NOW);
                object_unref(&filling[i]);
        }
        close_fixture(&f);
}

/* Who sends a piece when the object is joined to one body has the piece for himself. */
static void test_a_piece_that_is_still_being_sent_counts(void **state)
{
        (void)state;
        struct fixture f;
        struct object *o;
        struct buf *piece;
        size_t off;
        bool last;
        open_fixture(&f, 1 << 20, 16);
        assert_int_equal(get(&f, "/k", NOW, &o), CACHE_MISS);
        for (int i = 0; i < 2; i++) {
                struct buf *b = buf_new(50 * KB);
                assert_int_equal(cache_append(o, b, "video/mp4", true), 0);
                buf_unref(&b);
        }
        assert_int_equal(object_piece(o, 0, &piece, &off, &last), 50 * KB);
        assert_int_equal(cache_complete(o, NULL, "video/mp4", true, 0, NOW), 0);
        assert_in_range(cache_bytes(f.cache), 150 * KB, 154 * KB);
        assert_in_range(cache_pinned(f.cache), 50 * KB, 51 * KB);
        for (int i = 0; i < 30; i++) { /* a share of 256 KB: it is within that, and is kept */
                char key[32];
                snprintf(key, sizeof(key), "/other/%d", i);
                put(&f, key, 60 * KB, true, 0, NOW);
                assert_true(cache_bytes(f.cache) <= 1 << 20);
        }
        assert_false(ledger_is_cut(piece));
        buf_unref(&piece);
        object_unref(&f.filling[--f.fills]);
        object_unref(&o);
        assert_int_equal(cache_pinned(f.cache), 0);
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

/* Nobody asks for what is hot while it goes on, which the clock that was here before did not survive. */
static void test_who_goes_through_old_segments_does_not_push_out_what_is_watched(void **state)
{
        (void)state;
        struct fixture f;
        struct object *o;
        char key[32];
        open_fixture(&f, 4 << 20, 16);
        for (int i = 0; i < 24; i++) {
                snprintf(key, sizeof(key), "/hot/%d", i);
                put(&f, key, 64 * KB, true, 0, NOW);
                assert_int_equal(get(&f, key, NOW, &o), CACHE_HIT);
                object_unref(&o);
        }
        for (int i = 0; i < 2000; i++) {
                snprintf(key, sizeof(key), "/old/%d", i);
                put(&f, key, 64 * KB, true, 0, NOW);
        }
        assert_true(cache_bytes(f.cache) <= 4 << 20);
        for (int i = 0; i < 24; i++) {
                snprintf(key, sizeof(key), "/hot/%d", i);
                assert_int_equal(get(&f, key, NOW, &o), CACHE_HIT);
                object_unref(&o);
        }
        close_fixture(&f);
}

/* ---- threads: what the HTTP threads do, while the loop thread fills, completes, fails and evicts ------------------ */

#define STRESS_THREADS 4
#define STRESS_ROUNDS 2000
#define STRESS_KEYS 300

struct parked {
        struct waiter waiter;
        pthread_mutex_t lock;
        pthread_cond_t cond;
        bool woken;
};

static void unpark(struct waiter *w)
{
        struct parked *p = (struct parked *)(void *)w;
        pthread_mutex_lock(&p->lock);
        p->woken = true;
        pthread_cond_signal(&p->cond);
        pthread_mutex_unlock(&p->lock);
}

/* false: it was not all there, which is right only when the fill failed. */
static bool read_all(struct object *o, struct parked *p)
{
        uint64_t pos = 0;
        for (;;) {
                unsigned char bytes[777];
                ssize_t n = object_read(o, pos, bytes, sizeof(bytes));
                if (n < 0)
                        return n == ERR_CLOSED;
                for (ssize_t i = 0; i < n; i++)
                        assert(bytes[i] == (unsigned char)(pos + (uint64_t)i));
                pos += (uint64_t)n;
                if (n > 0)
                        continue;
                p->waiter = (struct waiter){.have = pos, .deadline_us = INT64_MAX, .wake = unpark};
                p->woken = false;
                if (!object_wait(o, &p->waiter))
                        continue;
                pthread_mutex_lock(&p->lock);
                while (!p->woken)
                        pthread_cond_wait(&p->cond, &p->lock);
                pthread_mutex_unlock(&p->lock);
        }
}

struct stress {
        struct fake_edge edge;
        atomic_uint running, whole, failed;
};

static void *stress_reader(void *arg)
{
        struct stress *s = arg;
        static atomic_uint seeds;
        unsigned seed = atomic_fetch_add(&seeds, 1) + 1;
        struct parked p = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
        for (int i = 0; i < STRESS_ROUNDS; i++) {
                char key[64];
                struct object *o;
                int n = snprintf(key, sizeof(key), "/live/s/x/v720/%d.m4s", rand_r(&seed) % STRESS_KEYS);
                if (cache_get(s->edge.cache, key, (size_t)n, 0, clock_mono_us(), &o) != CACHE_FULL) {
                        atomic_fetch_add(read_all(o, &p) ? &s->whole : &s->failed, 1);
                } else { /* the loop has to have its turn first, however few there are on a busy machine */
                        sched_yield();
                        i--;
                }
                object_unref(&o);
        }
        atomic_fetch_sub(&s->running, 1);
        uv_async_send(&s->edge.mailbox.wake);
        return NULL;
}

static void answer_next(struct stress *s, unsigned *seed)
{
        struct fake_upstream *u = s->edge.upstream;
        struct fake_call *c = fake_open(u);
        unsigned char bytes[3000];
        if (!c)
                return;
        size_t len = 1 + (size_t)rand_r(seed) % sizeof(bytes);
        for (size_t i = 0; i < len; i++)
                bytes[i] = (unsigned char)(c->what.offset + i);
        if (rand_r(seed) % 50 == 0)
                fake_answer_bytes(c, bytes, len, FETCH_COMPLETE, 1, "video/mp4"); /* one that expires at once */
        else if (rand_r(seed) % 50 == 0 && c->what.offset == 0)
                fake_answer_status(c, ERR_NOT_FOUND, 1);
        else
                fake_answer_bytes(c, bytes, len, FETCH_IMMUTABLE | (c->what.offset > 6000 ? FETCH_COMPLETE : 0), 0,
                                  "video/mp4");
}

static void test_threads_read_every_byte_while_the_loop_fills_and_evicts(void **state)
{
        (void)state;
        struct stress *s = mem_alloc(sizeof(*s));
        pthread_t threads[STRESS_THREADS];
        unsigned seed = 1;
        fake_edge_open(&s->edge, 1, 1 << 20, 64, 10 * US_PER_S, NULL);
        atomic_store(&s->running, STRESS_THREADS);
        for (int i = 0; i < STRESS_THREADS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, stress_reader, s), 0);
        while (atomic_load(&s->running) > 0) {
                uv_run(&s->edge.loop, fake_open(s->edge.upstream) ? UV_RUN_NOWAIT : UV_RUN_ONCE);
                answer_next(s, &seed);
        }
        for (int i = 0; i < STRESS_THREADS; i++)
                pthread_join(threads[i], NULL);
        assert_true(atomic_load(&s->whole) > STRESS_ROUNDS);
        assert_true(cache_bytes(s->edge.cache) <= 1 << 20);
        fake_edge_close(&s->edge);
        free(s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_first_fills_the_second_joins_and_the_rest_hit),
                cmocka_unit_test(test_bytes_are_read_in_order_while_they_grow_and_after),
                cmocka_unit_test(test_a_waiter_is_woken_once_by_bytes_beyond_what_it_has),
                cmocka_unit_test(test_a_waiter_whose_deadline_passed_is_woken_as_expired),
                cmocka_unit_test(test_the_byte_budget_is_kept_and_what_was_hit_is_spared),
                cmocka_unit_test(test_what_cannot_fit_is_refused_and_leaves_the_object_as_it_was),
                cmocka_unit_test(test_missing_names_are_remembered_but_never_push_media_out),
                cmocka_unit_test(test_in_a_small_cache_names_take_a_small_part),
                cmocka_unit_test(test_an_expired_object_is_served_stale_when_the_refresh_fails_but_not_for_ever),
                cmocka_unit_test(test_what_expires_is_refreshed_before_by_one_while_all_have_what_there_is),
                cmocka_unit_test(test_after_the_grace_all_join_one_refresh),
                cmocka_unit_test(test_what_was_paid_for_is_not_refreshed_before_it_expires),
                cmocka_unit_test(test_what_is_being_refreshed_is_not_evicted),
                cmocka_unit_test(test_a_refresh_that_hangs_is_not_waited_for),
                cmocka_unit_test(test_what_is_large_lies_in_pages_and_counts_by_pages),
                cmocka_unit_test(test_a_small_object_of_one_piece_counts_once_and_is_kept_by_no_reader),
                cmocka_unit_test(test_what_a_reader_attaches_counts_and_goes_with_the_object),
                cmocka_unit_test(test_only_so_many_different_objects_are_fetched_at_once),
                cmocka_unit_test(test_slow_readers_keep_a_share_and_do_not_empty_the_cache),
                cmocka_unit_test(test_slow_readers_keep_a_share_of_what_failed_too),
                cmocka_unit_test(test_what_is_being_filled_does_not_empty_the_cache),
                cmocka_unit_test(test_a_piece_that_is_still_being_sent_counts),
                cmocka_unit_test(test_looking_makes_nothing_and_a_charge_goes_with_what_is_made),
                cmocka_unit_test(test_what_failed_is_told_to_all_and_asked_for_again_after_a_while_that_grows),
                cmocka_unit_test(test_many_that_failed_together_are_not_asked_for_together),
                cmocka_unit_test(test_what_is_known_to_come_later_is_not_asked_for_before),
                cmocka_unit_test(test_no_body_is_hashed_while_viewers_of_others_wait_for_the_lock),
                cmocka_unit_test(test_what_comes_at_once_is_complete_when_it_is_first_seen),
                cmocka_unit_test(test_who_goes_through_old_segments_does_not_push_out_what_is_watched),
                cmocka_unit_test(test_threads_read_every_byte_while_the_loop_fills_and_evicts),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
