/* serve_fixture.h - what an origin serves of a store of its own, and who asks. Include after cmocka.h. */
#ifndef TESTS_SERVE_FIXTURE_H
#define TESTS_SERVE_FIXTURE_H

#include "originD/serve.h"
#include "tests/unit/origin_store.h"

static struct serve sv;

struct question {
        struct serve_request r;
        int done;
        struct serve_answer a;
        uint8_t bytes[16 << 10];
};

static inline void answered(struct serve_request *r, const struct serve_answer *a)
{
        struct question *q = (struct question *)r;
        q->done++;
        q->a = *a;
        if (a->len && a->len <= sizeof(q->bytes))
                memcpy(q->bytes, a->bytes->data + a->from, a->len);
}

static inline void ask(struct question *q, const char *key, uint64_t offset, uint32_t wait_ms)
{
        *q = (struct question){.r = {.offset = offset, .wait_ms = wait_ms, .max_bytes = BODY_MAX, .done = answered}};
        snprintf(q->r.key, sizeof(q->r.key), "%s", key);
        serve(&sv, &q->r);
}

static inline int answer_to(struct question *q, const char *key, uint64_t offset, uint32_t wait_ms)
{
        ask(q, key, offset, wait_ms);
        wait_done(&q->done);
        assert_int_equal(q->done, 1);
        return q->a.status;
}

static inline int status_of(const char *key, uint32_t wait_ms)
{
        struct question q;
        return answer_to(&q, key, 0, wait_ms);
}

static inline void changed(struct session *s)
{
        serve_changed(&sv, s);
}

static struct manifest_options manifest = {.latency_bound_ms = 300, .target_latency_ms = 800, .time_shift_s = 60, .classic_s = 4, .update_s = 2, .public_url = ""};

static inline void leave(void)
{
        on_changed = NULL;
        serve_close(&sv);
        stop_store();
}

static inline void open_serve(void)
{
        store.options.time_shift_us = manifest.time_shift_s * US_PER_S;
        serve_open(&sv, &loop, &store, &manifest, 8);
        on_changed = changed;
}

static inline void come_back(void)
{
        start_store();
        open_serve();
}

static inline void restart(void)
{
        leave();
        come_back();
}

static inline int setup(void **state)
{
        setup_store(state);
        open_serve();
        return 0;
}

static inline int teardown(void **state)
{
        serve_stop(&sv);
        on_changed = NULL;
        serve_close(&sv);
        return teardown_store(state);
}

/* A live session with video, whose media time is now at `second`. */
static inline struct session *live(int64_t second)
{
        int err;
        struct session *s = claim("cam", "S1", clock_wall_us() - second * US_PER_S - US_PER_S / 2, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        return s;
}

static inline void put_segment(struct session *s, unsigned n)
{
        for (unsigned k = 0; k < 5; k++)
                assert_int_equal(put_video(s, "v720", n, k), 0);
}

#endif
