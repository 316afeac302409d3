/* cache_fixture.h - for the tests of the cache: one whose fills the test makes itself, at times of its choice. */
#ifndef TESTS_CACHE_FIXTURE_H
#define TESTS_CACHE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "edged/cache_impl.h"
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

static inline void keep_fill(void *arg, struct object *o)
{
        struct fixture *f = arg;
        assert_true(f->fills < 4096);
        f->filling[f->fills++] = o;
}

static inline void open_fixture(struct fixture *f, size_t budget, unsigned fills_max)
{
        struct cache_config cfg = {.budget_bytes = budget, .fills_max = fills_max};
        struct cache_ops ops = {.fill = keep_fill};
        memset(f, 0, sizeof(*f));
        uv_loop_init(&f->loop);
        mailbox_open(&f->mailbox, &f->loop);
        f->cache = cache_open(&cfg, &ops, f, &f->mailbox);
}

static inline void close_fixture(struct fixture *f)
{
        mailbox_close(&f->mailbox);
        for (unsigned i = 0; i < f->fills; i++)
                object_unref(&f->filling[i]);
        uv_run(&f->loop, UV_RUN_DEFAULT);
        cache_close(f->cache);
        assert_int_equal(uv_loop_close(&f->loop), 0);
}

static inline enum cache_result get(struct fixture *f, const char *key, int64_t now_us, struct object **out)
{
        enum cache_result r = cache_get(f->cache, key, strlen(key), 0, now_us, out);
        uv_run(&f->loop, UV_RUN_NOWAIT);
        return r;
}

static inline void append(struct object *o, const char *text)
{
        struct buf *b = buf_copy(text, strlen(text));
        assert_int_equal(cache_append(o, b, "text/plain", true), 0);
        buf_unref(&b);
}

/* A complete object of len bytes under key. */
static inline void put(struct fixture *f, const char *key, size_t len, bool immutable, uint32_t ttl_ms, int64_t now_us)
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

static inline void count_wake(struct waiter *w)
{
        ((struct counted *)(void *)w)->woken++;
}

static inline void expect_hit(struct fixture *f, const char *key, int64_t now_us)
{
        struct object *o;
        assert_int_equal(get(f, key, now_us, &o), CACHE_HIT);
        object_unref(&o);
}

/* Many of the same length, /NAME/0 …; all: they are there, and were asked for again. */
static inline void put_many(struct fixture *f, const char *name, int count, size_t len)
{
        char key[32];
        for (int i = 0; i < count; i++) {
                snprintf(key, sizeof(key), "/%s/%d", name, i);
                put(f, key, len, true, 0, NOW);
        }
}

static inline void expect_all(struct fixture *f, const char *name, int count)
{
        char key[32];
        for (int i = 0; i < count; i++) {
                snprintf(key, sizeof(key), "/%s/%d", name, i);
                expect_hit(f, key, NOW);
        }
}

/* Likewise, and each was asked for again as soon as it was there. */
static inline void put_hot(struct fixture *f, int count, size_t len)
{
        char key[32];
        for (int i = 0; i < count; i++) {
                snprintf(key, sizeof(key), "/hot/%d", i);
                put(f, key, len, true, 0, NOW);
                expect_hit(f, key, NOW);
        }
}

/* In one step, with a reference for the caller; NULL: there is no room. */
static inline struct object *add(struct fixture *f, const char *key, size_t len)
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

#endif
