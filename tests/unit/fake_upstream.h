/* fake_upstream.h - for the tests of edged: a tier above whose every answer the test gives itself, and the clockwork around
 * a cache. The test's thread is the loop thread; run_loop() delivers what other threads have sent. */
#ifndef TESTS_FAKE_UPSTREAM_H
#define TESTS_FAKE_UPSTREAM_H

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/mem.h"
#include "edged/cache_fill.h"
#include "edged/fill.h"
#include "edged/upstream.h"

#define FAKE_CALLS_MAX 4096

struct fake_call {
        struct fetch what;
        uint64_t node;
        upstream_done *done;
        void *arg;
        bool answered;
};

struct fake_upstream {
        struct upstream base;
        uint64_t nodes; /* ids 1 … nodes */
        struct node_set busy; /* of them: those that have too much to do */
        unsigned count; /* FETCHes ever */
        struct fake_call calls[FAKE_CALLS_MAX];
};

static void forget_answered(struct fake_upstream *fu)
{
        unsigned kept = 0;
        for (unsigned i = 0; i < fu->count; i++) {
                if (!fu->calls[i].answered)
                        fu->calls[kept++] = fu->calls[i];
        }
        fu->count = kept;
}

static int fake_fetch(struct upstream *u, const char *stream, const struct node_set *tried, uint64_t only,
                      const struct fetch *what, unsigned timeout_ms, uint64_t *node, upstream_done *done, void *arg)
{
        (void)stream, (void)timeout_ms;
        struct fake_upstream *fu = (struct fake_upstream *)u;
        uint64_t id = only ? only : 1;
        bool busy = false;
        for (; !only && id <= fu->nodes && (node_set_has(tried, id) || node_set_has(&fu->busy, id)); id++)
                busy |= !node_set_has(tried, id);
        if (id > fu->nodes)
                return busy ? ERR_FULL : ERR_CLOSED;
        if (fu->count == FAKE_CALLS_MAX)
                forget_answered(fu);
        assert(fu->count < FAKE_CALLS_MAX);
        fu->calls[fu->count++] = (struct fake_call){*what, id, done, arg, false};
        *node = id;
        return 0;
}

static size_t fake_live(struct upstream *u)
{
        return ((struct fake_upstream *)u)->nodes;
}

static const struct upstream_ops fake_ops = {.fetch = fake_fetch, .live = fake_live};

/* The oldest FETCH not answered yet, or NULL. */
static inline struct fake_call *fake_open(struct fake_upstream *fu)
{
        for (unsigned i = 0; i < fu->count; i++) {
                if (!fu->calls[i].answered)
                        return &fu->calls[i];
        }
        return NULL;
}

static inline void fake_answer_bytes(struct fake_call *c, const void *bytes, size_t len, uint8_t flags, uint32_t ttl_ms,
                                     const char *type)
{
        struct buf *b = len ? buf_copy(bytes, len) : NULL;
        struct fetch_reply m = {.flags = flags, .ttl_ms = ttl_ms, .offset = c->what.offset, .len = (uint32_t)len,
                                .bytes = b ? b->data : NULL};
        strncpy(m.content_type, type, sizeof(m.content_type) - 1);
        c->answered = true;
        c->done(c->arg, 0, &m, b);
        buf_unref(&b);
}

static inline void fake_answer_status(struct fake_call *c, int status, uint32_t ttl_ms)
{
        struct fetch_reply m = {.status = (int8_t)status, .ttl_ms = ttl_ms, .offset = c->what.offset};
        c->answered = true;
        c->done(c->arg, 0, &m, NULL);
}

static inline void fake_answer_error(struct fake_call *c, int err)
{
        c->answered = true;
        c->done(c->arg, err, NULL, NULL);
}

/* The fills' time is the real one, or since fake_stop_clock() that moment, and what the test adds to it. */
static int64_t fake_ahead_us, fake_stopped_us;
static inline int64_t fake_clock_us(void)
{
        return (fake_stopped_us ? fake_stopped_us : clock_mono_us()) + fake_ahead_us;
}
static inline void fake_stop_clock(void)
{
        fake_stopped_us = clock_mono_us();
}
static inline void fake_wait(int64_t us)
{
        fake_ahead_us += us;
}

struct fake_edge {
        uv_loop_t loop;
        struct mailbox mailbox;
        struct fake_upstream *upstream, *siblings; /* siblings NULL: none */
        struct fills *fills;
        struct cache *cache;
};

/* Of the next fake_edge_open(). */
static void (*fake_cut)(void *);
static void (*fake_left)(void *, struct object *, const struct key *, bool);
static void *fake_left_arg;
static void (*fake_too_deep)(void *, struct object *);

static inline struct fake_upstream *fake_upstream_new(uint64_t nodes)
{
        struct fake_upstream *fu = mem_alloc(sizeof(*fu));
        fu->base.ops = &fake_ops;
        fu->nodes = nodes;
        return fu;
}

/* siblings: of this site, all before this node in the walk of every key; 0: there is no such site. */
static inline void fake_edge_open_at_site(struct fake_edge *e, uint64_t nodes, uint64_t siblings, size_t budget, unsigned fills_max,
                                          int64_t hold_us, void (*detach)(void *))
{
        struct fill_config fc = {.hold_us = hold_us, .object_max_bytes = 8 << 20, .clock_us = fake_clock_us, .sibling_late_ms = 250, .left = fake_left,
                                 .too_deep = fake_too_deep,
                                 .arg = fake_left_arg};
        struct cache_config cc = {.budget_bytes = budget, .fills_max = fills_max};
        struct cache_ops ops = {.fill = fill_begin, .detach = detach, .cut = fake_cut};
        memset(e, 0, sizeof(*e));
        fake_ahead_us = fake_stopped_us = 0;
        uv_loop_init(&e->loop);
        mailbox_open(&e->mailbox, &e->loop);
        e->upstream = fake_upstream_new(nodes);
        if (siblings) {
                e->siblings = fake_upstream_new(siblings);
                fc.siblings = &e->siblings->base;
        }
        fills_open(&e->fills, &e->loop, &fc, &e->upstream->base);
        e->cache = cache_open(&cc, &ops, e->fills, &e->mailbox);
}

static inline void fake_edge_open(struct fake_edge *e, uint64_t nodes, size_t budget, unsigned fills_max, int64_t hold_us,
                                  void (*free_response)(void *))
{
        fake_edge_open_at_site(e, nodes, 0, budget, fills_max, hold_us, free_response);
}

static inline void run_loop(struct fake_edge *e)
{
        uv_run(&e->loop, UV_RUN_NOWAIT);
}

/* Viewers are gone (http_close() has been called). */
static inline void fake_edge_close(struct fake_edge *e)
{
        struct fake_call *c;
        cache_stop_waiting(e->cache);
        fills_stop(e->fills);
        e->upstream->nodes = 0;
        while ((c = fake_open(e->upstream)))
                fake_answer_error(c, ERR_CANCELED);
        while (e->siblings && (c = fake_open(e->siblings)))
                fake_answer_error(c, ERR_CANCELED);
        mailbox_close(&e->mailbox);
        fills_stop(e->fills);
        fills_close(e->fills);
        uv_run(&e->loop, UV_RUN_DEFAULT);
        cache_close(e->cache);
        int err = uv_loop_close(&e->loop);
        assert(err == 0);
        (void)err;
        free(e->upstream);
        free(e->siblings);
}

#endif
