/* session_fixture.h - sessions with a pipeline, proxies and origins that the test plays. One test program each. */
#ifndef TESTS_SESSION_FIXTURE_H
#define TESTS_SESSION_FIXTURE_H

#include "common/daemon/log.h"
#include "common/mem.h"
#include "transcoderd/proxies.h"
#include "transcoderd/session.h"
#include "transcoderd/stats.h"

#include "fake_origins.h"
#include "usual_grid.h"

#define OTHER "20250101T000000Z-00000009"
#define EPOCH (INT64_C(1767225600) * US_PER_S)

/* ---- the pipeline, in place of encode/pipeline.c ------------------------------------------------------------------- */

struct pipeline {
        const struct job_events *events;
        void *arg;
        struct job o;
        size_t room;
        bool ahead, backlog;
        int64_t busy_us, behind_us, cost;
        bool gains;
        unsigned frames, configs, breaks, drains;
        bool goes_on; /* as the last drain said */
        uint8_t first_flags; /* of the first frame since the last look */
};

static struct pipeline *pipeline; /* the one that is open */
static int pipeline_refusal;
static unsigned pipelines;
static struct reaper reaper; /* without a thread: the tests say how many are closing */

int pipeline_open(struct pipeline **out, struct mailbox *mb, const struct job *options,
                  const struct job_events *events, void *arg)
{
        (void)mb;
        *out = NULL;
        if (pipeline_refusal)
                return pipeline_refusal;
        assert_null(pipeline);
        pipeline = mem_alloc(sizeof(*pipeline));
        *pipeline = (struct pipeline){.events = events, .arg = arg, .o = *options, .room = 8};
        pipelines++;
        *out = pipeline;
        return 0;
}

void pipeline_push(struct pipeline *p, const struct frame *f)
{
        assert_true(p->room > 0);
        if (!p->frames && !p->configs)
                p->first_flags = f->flags;
        p->room--;
        p->configs += f->flags & FRAME_CONFIG ? 1 : 0;
        p->frames += f->flags & FRAME_CONFIG ? 0 : 1;
        p->breaks += f->flags & FRAME_BREAK ? 1 : 0;
}

size_t pipeline_room(const struct pipeline *p)
{
        return p->room;
}

bool pipeline_is_ahead(const struct pipeline *p)
{
        return p->ahead;
}

bool pipeline_has_backlog(const struct pipeline *p)
{
        return p->backlog;
}

void pipeline_drain(struct pipeline *p, bool goes_on)
{
        p->drains++;
        p->goes_on = goes_on;
}

void pipeline_close(struct pipeline *p, struct reaper *r)
{
        assert_ptr_equal(r, &reaper);
        assert_ptr_equal(p, pipeline);
        pipeline = NULL;
        free(p);
}

void pipeline_stats(const struct pipeline *p, struct pipeline_stats *out)
{
        *out = (struct pipeline_stats){.decoded = p->frames, .busy_us = p->busy_us, .behind_us = p->behind_us, .gains = p->gains,
                                        .cost = p->cost};
}

static inline void announce_track(void)
{
        struct track_info info = {.name = "v360", .kind = TRACK_VIDEO, .init = buf_copy("init", 4)};
        pipeline->events->track(pipeline->arg, &info);
        buf_unref(&info.init);
}

/* The first one announces the track. */
static inline void make_chunk_of(int n, const char *text)
{
        struct chunk c = {.segment = (uint32_t)n / 5, .chunk = (uint8_t)(n % 5), .start_us = n * CHUNK_US,
                          .duration_us = CHUNK_US, .bytes = buf_copy(text, strlen(text))};
        if (n == 0)
                announce_track();
        pipeline->events->chunk(pipeline->arg, &c);
        buf_unref(&c.bytes);
}

static inline void make_chunk(int n)
{
        make_chunk_of(n, "chunk");
}

/* ---- the proxies, in place of common/cluster/rpc_server.c -------------------------------------------------------------------- */

#define PROXIES 4

struct proxy { /* one request at a time */
        struct rpc_request req;
        nng_msg *reply;
        bool dropped;
};
static struct proxy proxies[PROXIES];
static struct sessions ss;
static struct node_identity self = {.id = "t1", .role = ROLE_TRANSCODERD, .cluster_token = ""};
static json_t *ladder;

void rpc_reply(struct rpc_request *req, nng_msg *reply)
{
        struct proxy *p = (struct proxy *)req;
        assert_null(p->reply);
        nng_msg_free(req->msg);
        req->msg = NULL;
        p->reply = reply;
}

static unsigned passed; /* requests that want no answer */

void rpc_pass(struct rpc_request *req)
{
        nng_msg_free(req->msg);
        req->msg = NULL;
        passed++;
}

void rpc_drop(struct rpc_request *req, const char *why)
{
        struct proxy *p = (struct proxy *)req;
        (void)why;
        nng_msg_free(req->msg);
        req->msg = NULL;
        p->dropped = true;
}

static inline void say(unsigned proxy, nng_msg *msg)
{
        struct proxy *p = &proxies[proxy];
        nng_msg_free(p->reply);
        *p = (struct proxy){.req = {.msg = msg}};
        p->req.type = message_open(&p->req.body, msg);
        proxies_handle(&ss, &p->req);
}

static inline void ask_open_as(unsigned proxy, enum open_role role, uint8_t when)
{
        struct open m = {.stream = "cam", .role = (uint8_t)role, .when = when,
                         .epoch_us = EPOCH, .publisher = "10.0.0.1:5", .title = "A title",
                         .codecs = {CODEC_H264, CODEC_NONE}};
        m.config[TRACK_VIDEO].data = (const uint8_t *)"avcC";
        m.config[TRACK_VIDEO].len = 4;
        say(proxy, message_new(MSG_OPEN, open_encode, &m));
}

static inline void ask_open(unsigned proxy)
{
        ask_open_as(proxy, OPEN_PRIMARY, 0);
}

static inline bool answered(unsigned proxy)
{
        return proxies[proxy].reply != NULL;
}

static inline struct open_reply opened(unsigned proxy)
{
        struct open_reply m;
        struct reader r;
        assert_non_null(proxies[proxy].reply);
        assert_int_equal(message_open(&r, proxies[proxy].reply), MSG_OPEN_REPLY);
        assert_int_equal(open_reply_decode(&r, &m), 0);
        return m;
}

static inline struct media_reply feed_or_stay(unsigned proxy, uint64_t handle, uint64_t seq, unsigned count, bool fresh)
{
        struct frame frames[16];
        struct media m = {.handle = handle, .first_seq = seq, .count = (uint16_t)count, .frames = frames,
                          .fresh = fresh};
        struct media_reply reply;
        struct reader r;
        struct buf *bytes = buf_copy("frame", 5);
        for (unsigned i = 0; i < count; i++)
                frames[i] = (struct frame){.codec = CODEC_H264, .dts_us = (int64_t)(seq + i) * 33333, .bytes = bytes};
        say(proxy, message_new(MSG_MEDIA, media_encode, &m));
        buf_unref(&bytes);
        assert_int_equal(message_open(&r, proxies[proxy].reply), MSG_MEDIA_REPLY);
        assert_int_equal(media_reply_decode(&r, &reply), 0);
        return reply;
}

static inline struct media_reply feed(unsigned proxy, uint64_t handle, uint64_t seq, unsigned count)
{
        return feed_or_stay(proxy, handle, seq, count, false);
}

static inline int close_stream(unsigned proxy, uint64_t handle, enum close_reason reason)
{
        struct close_stream m = {.handle = handle, .reason = (uint8_t)reason};
        struct status_reply reply;
        struct reader r;
        say(proxy, message_new(MSG_CLOSE, close_stream_encode, &m));
        assert_int_equal(message_open(&r, proxies[proxy].reply), MSG_CLOSE_REPLY);
        assert_int_equal(status_reply_decode(&r, &reply), 0);
        return reply.status;
}

/* ---- the origins ------------------------------------------------------------------------------------------------------ */

static inline struct claim claim_of(struct fake_call *call)
{
        struct claim m;
        *call = fake_take(MSG_CLAIM);
        assert_int_equal(claim_decode(&call->body, &m), 0);
        return m;
}

static inline void grant(void)
{
        struct fake_call call;
        struct claim m = claim_of(&call);
        struct claim_reply reply = {.epoch_us = m.epoch_us, .generation = 1};
        memcpy(reply.session, m.session, sizeof(reply.session));
        ss.starts.rest_until_us = 0; /* after a session before */
        fake_claimed(&call, &reply);
}

static inline uint64_t begin(void)
{
        ask_open(0);
        grant();
        assert_int_equal(opened(0).status, 0);
        return opened(0).handle;
}

static inline int64_t expect_end(void)
{
        struct end m;
        struct fake_call call = fake_take(MSG_END);
        assert_int_equal(end_decode(&call.body, &m), 0);
        fake_ended(&call, 0);
        return m.end_us;
}

static inline void expect_state(const char *name)
{
        assert_non_null(ss.first);
        assert_string_equal(ss.first->state->name, name);
}

static inline void silence(int64_t us)
{
        ss.first->active.heard_us -= us;
        sessions_tick(&ss, clock_mono_us());
}

static inline int set_up(void **state)
{
        (void)state;
        fake_open();
        fake_add("o1");
        pipeline_refusal = 0;
        pipelines = 0;
        reaper.closing = 0;
        memset(proxies, 0, sizeof(proxies));
        ladder = json_array();
        ss = (struct sessions){.loop = &fake.loop, .origins = {.link = &fake_link}, .self = &self, .ladder = &ladder,
                               .reaper = &reaper, .capacity = {.cpus = 2, .percent = 100}, .starts = {.at_once = 1},
                               .opens = {.again = proxies_again, .arg = &ss},
                               .replicas = 1, .max_sessions = 2, .grace_ms = 30000, .drain_ms = 15000, .slate_after_ms = 1000, .recent_ms = 10000,
                               .encoder_threads = 1, .decoder_threads = 1};
        sessions_start(&ss);
        return 0;
}

static inline int tear_down(void **state)
{
        (void)state;
        sessions_stop(&ss);
        assert_null(ss.first);
        assert_null(pipeline);
        while (fake.call_count) {
                struct fake_call call = fake.calls[--fake.call_count];
                fake_fail(&call, ERR_CANCELED);
        }
        fake_close();
        for (int i = 0; i < PROXIES; i++) {
                assert_null(proxies[i].req.msg); /* nobody is left without an answer */
                nng_msg_free(proxies[i].reply);
        }
        json_decref(ladder);
        return 0;
}

#endif
