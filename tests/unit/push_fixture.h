/* push_fixture.h - a push, what it says, and origins that the test plays. */
#ifndef TESTS_PUSH_FIXTURE_H
#define TESTS_PUSH_FIXTURE_H

#include "common/daemon/log.h"
#include "transcoderd/push/push.h"
#include "transcoderd/stats.h"

#include "fake_origins.h"
#include "usual_grid.h"

#define SESSION "20260101T000000Z-00000001"

static struct {
        struct push *push;
        struct recent recent;
        unsigned fenced, lost, refused, ended;
        int ended_err;
        char refused_track[TRACK_NAME_MAX + 1];
        bool quorum_one; /* set before open_on() */
        uint8_t grid_ms; /* likewise; 0: the usual one */
        bool last_is_old; /* likewise: the last of the origins knows no other */
} t;

static inline void on_fenced(void *arg)
{
        (void)arg;
        t.fenced++;
}

static inline void on_lost(void *arg)
{
        (void)arg;
        t.lost++;
}

static inline void on_refused(void *arg, const char *track, int err)
{
        (void)arg;
        assert_true(err < 0);
        t.refused++;
        snprintf(t.refused_track, sizeof(t.refused_track), "%s", track);
}

static inline void on_ended(void *arg, int err)
{
        (void)arg;
        t.ended++;
        t.ended_err = err;
}

static const struct push_events events = {on_fenced, on_lost, on_refused, on_ended};

static inline void open_on(unsigned origins_up, const struct claim_reply *claimed, size_t queue_bytes, int64_t queue_us,
                           uint8_t video, uint8_t audio)
{
        static struct origins origins = {.link = &fake_link};
        struct claim claim = {.stream = "cam", .session = SESSION, .epoch_us = 1000000, .node = "t1", .chunk_ms = t.grid_ms};
        struct push_options o = {.loop = &fake.loop, .origins = &origins, .recent = &t.recent, .claim = &claim,
                                 .codecs = {video, audio}, .queue_bytes = queue_bytes, .queue_us = queue_us,
                                 .replicas = origins_up, .quorum_one = t.quorum_one, .events = &events};
        static const char *const ids[] = {"o1", "o2", "o3"};
        fake_open();
        for (unsigned i = 0; i < origins_up; i++)
                fake_add(ids[i]);
        if (t.last_is_old)
                fake.origins[origins_up - 1].can = 0;
        memset(&t, 0, sizeof(t));
        recent_init(&t.recent, 60 * US_PER_S, SIZE_MAX);
        t.push = push_new(&o);
        push_leader(t.push, &fake.origins[0], claimed);
}

static inline void open_with(const struct claim_reply *claimed, size_t queue_bytes, int64_t queue_us, uint8_t video, uint8_t audio)
{
        open_on(1, claimed, queue_bytes, queue_us, video, audio);
}

static const struct claim_reply new_session = {.session = SESSION, .epoch_us = 1000000, .generation = 1};

static inline int open_push(void **state)
{
        (void)state;
        open_with(&new_session, PUSH_QUEUE_BYTES, PUSH_QUEUE_US, CODEC_H264, CODEC_NONE);
        return 0;
}

static inline int close_push(void **state)
{
        (void)state;
        push_close(t.push);
        recent_fini(&t.recent);
        fake_close();
        return 0;
}

static inline void track(unsigned number, const char *name, enum track_kind kind)
{
        struct track_info info = {.track = number, .kind = (uint8_t)kind, .bandwidth = 660000, .fps_milli = 30000};
        strcpy(info.name, name);
        info.init = buf_copy("init", 4);
        recent_track(&t.recent, &info);
        push_track(t.push, &info);
        buf_unref(&info.init);
}

/* Chunk n of a track: 200 ms, its number as its bytes. */
static inline void chunk_of(unsigned number, int n, size_t len)
{
        struct chunk c = {.track = number, .segment = (uint32_t)n / 5, .chunk = (uint8_t)(n % 5),
                          .flags = n % 5 == 4 ? PUT_LAST : 0, .start_us = n * CHUNK_US, .duration_us = CHUNK_US,
                          .bytes = buf_new(len)};
        memset(c.bytes->data, n, len);
        recent_chunk(&t.recent, &c);
        push_chunk(t.push, &c);
        buf_unref(&c.bytes);
}

static inline void chunk(unsigned number, int n)
{
        chunk_of(number, n, 100);
}

static inline struct fake_call expect(struct put *m, const char *name, int n)
{
        struct fake_call call = fake_put(m);
        assert_string_equal(m->session, SESSION);
        assert_string_equal(m->track, name);
        assert_false(m->flags & PUT_INIT);
        assert_int_equal(m->start_us, n * CHUNK_US);
        assert_int_equal(m->segment * 5 + m->chunk, n);
        assert_int_equal(m->bytes[0], n);
        return call;
}

static inline void expect_stored(const char *name, int n)
{
        struct put m;
        struct fake_call call = expect(&m, name, n);
        fake_stored(&call, 0);
}

static inline void expect_init(const char *name)
{
        struct put m;
        struct fake_call call = fake_put(&m);
        assert_string_equal(m.track, name);
        assert_true(m.flags & PUT_INIT);
        assert_int_equal(m.bandwidth, 660000);
        assert_memory_equal(m.bytes, "init", 4);
        fake_stored(&call, 0);
}

/* One video track whose init segment is stored. */
static inline void begin(void)
{
        track(0, "v360", TRACK_VIDEO);
        expect_init("v360");
}

#endif
