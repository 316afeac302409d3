/* origin_store.h - a store in a folder of its own, and a writer, for originD's tests. Include after cmocka.h. */
#ifndef TESTS_ORIGIN_STORE_H
#define TESTS_ORIGIN_STORE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/err.h"
#include "originD/log/disk.h"
#include "originD/store.h"
#include "originD/streams.h"
#include "tests/unit/origin_fmp4.h"
#include "tests/unit/scratch.h"
#include "tests/unit/until.h"

#define GRACE_MS 500000 /* no session ends for its silence while a slow machine writes many others */

static uv_loop_t loop;
static struct store store;
static struct store_options options;
static char data_dir[80];
static int ready, ready_status, slow, idle;
static void (*on_changed)(struct session *s);

static inline void store_is_ready(void *arg, int status)
{
        (void)arg;
        ready = 1;
        ready_status = status;
}
static inline void store_is_slow(void *arg)
{
        (void)arg;
        slow = 1;
}
static inline void store_is_idle(void *arg)
{
        (void)arg;
        idle = 1;
}
static inline void store_changed(void *arg, struct session *s)
{
        (void)arg;
        if (on_changed)
                on_changed(s);
}
static inline void store_space(void *arg, int why_not)
{
        (void)arg;
        (void)why_not;
}

static inline void begin_store(void)
{
        struct store_events ev = {.ready = store_is_ready, .slow = store_is_slow, .changed = store_changed, .space = store_space,
                                  .idle = store_is_idle};
        ready = slow = idle = 0;
        assert_int_equal(uv_loop_init(&loop), 0);
        assert_int_equal(store_open(&store, &loop, &options, &ev), 0);
}

static inline void start_store(void)
{
        begin_store();
        UNTIL(&loop, ready);
}

/* A start cannot get on until a folder's session.json, which is a pipe, is written: then it is damaged, and left alone. */
static inline void stick_start(const char *stream, const char *id)
{
        char cmd[400];
        snprintf(cmd, sizeof(cmd), "mkdir -p %s/%s/%s/v && mkfifo %s/%s/%s/session.json", data_dir, stream, id, data_dir, stream, id);
        assert_int_equal(system(cmd), 0);
}

static inline void free_start(const char *stream, const char *id)
{
        char path[200];
        snprintf(path, sizeof(path), "%s/%s/%s/session.json", data_dir, stream, id);
        int fd = open(path, O_WRONLY);
        assert_true(fd >= 0);
        close(fd);
        UNTIL(&loop, ready);
}

static inline struct session *wait_known(const char *id)
{
        UNTIL(&loop, store_session(&store, id));
        assert_false(ready);
        return store_session(&store, id);
}

static inline void stop_store(void)
{
        store_stop(&store);
        UNTIL(&loop, idle);
        store_close(&store);
        uv_run(&loop, UV_RUN_DEFAULT);
        disk_stop();
        assert_int_equal(uv_loop_close(&loop), 0);
}

static inline int setup_store(void **state)
{
        (void)state;
        scratch_dir(data_dir, sizeof(data_dir));
        options = (struct store_options){.data_dir = data_dir, .live_max = 4};
        on_changed = NULL;
        start_store();
        return 0;
}

static inline int teardown_store(void **state)
{
        char cmd[96];
        (void)state;
        stop_store();
        snprintf(cmd, sizeof(cmd), "rm -rf %s", data_dir);
        return system(cmd);
}

struct waited {
        struct session_wait w;
        int status, done;
};

static inline void waited(struct session_wait *w, int status)
{
        struct waited *x = (struct waited *)w;
        x->status = status;
        x->done++;
}

static inline void wait_done(const int *done)
{
        UNTIL(&loop, *done);
}

static inline struct claim make_claim(const char *stream, const char *session, int64_t epoch_us)
{
        struct claim c = {.epoch_us = epoch_us, .node = "t1", .grace_ms = GRACE_MS};
        snprintf(c.stream, sizeof(c.stream), "%s", stream);
        snprintf(c.session, sizeof(c.session), "%s", session);
        return c;
}

/* Claims and waits; the session, or NULL with *err. */
static inline struct session *claim_as(const struct claim *c, int *err)
{
        struct session *s;
        struct waited x = {.done = 0};
        *err = store_claim(&store, c, &s);
        if (*err)
                return NULL;
        session_claim(s, c, &x.w, waited);
        wait_done(&x.done);
        *err = x.status;
        return s;
}

static inline struct session *claim(const char *stream, const char *session, int64_t epoch_us, int *err)
{
        struct claim c = make_claim(stream, session, epoch_us);
        return claim_as(&c, err);
}

static inline struct session *join(const char *stream, const char *session, int64_t epoch_us, uint32_t generation,
                                   const char *node, int *err)
{
        struct claim c = make_claim(stream, session, epoch_us);
        c.flags = CLAIM_JOIN;
        c.generation = generation;
        snprintf(c.node, sizeof(c.node), "%s", node);
        return claim_as(&c, err);
}

struct added {
        int status, done;
};
static inline void added(void *arg, int status)
{
        struct added *a = arg;
        a->status = status;
        a->done++;
}

static inline int add_track(struct session *s, const char *name, struct buf *init, int64_t start_us)
{
        struct added a = {0};
        struct put p = {.flags = PUT_INIT, .start_us = start_us, .segment = (uint32_t)(start_us / SEGMENT_US),
                        .bandwidth = 1000000, .bytes = init->data, .len = (uint32_t)init->len};
        snprintf(p.track, sizeof(p.track), "%s", name);
        session_add_track(s, &p, added, &a);
        wait_done(&a.done);
        buf_unref(&init);
        return a.status;
}

struct appended {
        struct chunk_append a;
        int status, done;
};
static inline void appended(struct chunk_append *a, int status)
{
        struct appended *x = (struct appended *)a;
        x->status = status;
        x->done++;
}

static inline int put_bytes(struct session *s, const char *track, struct buf *b, unsigned n, unsigned k, int64_t start_us)
{
        struct appended x = {.a = {.segment = n, .chunk = (uint8_t)k, .bytes = b, .done = appended, .start_us = start_us,
                                     .generation = s->generation}};
        chunk_log_append(session_track(s, track)->log, &x.a);
        wait_done(&x.done);
        buf_unref(&b);
        return x.status;
}

static inline int put_video(struct session *s, const char *track, unsigned n, unsigned k)
{
        return put_bytes(s, track, fmp4_video_chunk(n, k, 40), n, k, n * INT64_C(1000000) + k * INT64_C(200000));
}

/* A second of sound, as one chunk. */
static inline int put_audio(struct session *s, const char *track, unsigned n)
{
        return put_bytes(s, track, fmp4_chunk(n * UINT64_C(48000), 48, 1000, 20), n, 0, n * INT64_C(1000000));
}

static inline int end_session(struct session *s)
{
        struct waited x = {.done = 0};
        session_end(s, 0, true, &x.w, waited);
        wait_done(&x.done);
        return x.status;
}

/* The list of streams, all steps of it at once. */
static inline struct buf *list_of(struct store *st, struct streams_known *known)
{
        struct streams_making *m = streams_begin();
        struct buf *list;
        while (!(list = streams_go_on(&m, st, known)))
                ;
        return list;
}

/* Live sessions of which there is nothing yet, so many steps of the list of streams. */
static inline void add_silent(unsigned steps)
{
        for (unsigned i = 0; i < steps * STREAMS_STEP; i++) {
                char stream[20], id[20];
                snprintf(stream, sizeof(stream), "silent%u", i);
                snprintf(id, sizeof(id), "N%05u", i);
                struct claim c = make_claim(stream, id, INT64_C(1000000000) + i);
                struct session *s = session_new(&loop, data_dir, &c, 600, false);
                s->grace_ms = GRACE_MS;
                store_add(&store, s);
        }
}

/* The same session, with the tracks of one that ended. */
static inline struct session *loaded(struct session *s)
{
        session_load(s);
        UNTIL(&loop, s->load != LOAD_UNDER_WAY);
        assert_int_equal(s->load, LOAD_DONE);
        return s;
}

#endif
