/* fake_transcoders.h - transcoders that a test plays over struct transcoder_link, and broadcasters, for the tests of
 * ingestd/publication.c and the relays below it. Time of the frames is the test's, timers are real. */
#ifndef TESTS_UNIT_FAKE_TRANSCODERS_H
#define TESTS_UNIT_FAKE_TRANSCODERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "ingestd/publications.h"
#include "ingestd/relay.h"
#include "ingestd/rtmp_close_reason.h"
#include "ingestd/stats.h"
#include "tests/unit/patience.h"

#define WALL (INT64_C(1767225600) * US_PER_S)
#define MS US_PER_MS
#define TAKEN_MAX 8192
#define HANDLES_MAX 200
#define NODES 3 /* transcoders; the third one is not up at first */

/* The transcoders: what they were told, and what they are to answer. ------------------------------------------------- */

struct call {
        struct call *next;
        nng_msg *request;
        nng_msg *detained; /* its answer */
        rpc_done *done;
        void *arg;
        int node;
        int64_t came_us;
        bool canceled;
};

struct node {
        bool listed, lost, busy; /* lost: every call fails; busy: likewise, for the moment */
        int open_status, media_status; /* with which the next ones are answered */
        int64_t epoch_us;              /* 0: as proposed */
        int64_t skew_us;               /* its clock is ahead of the proxy's, as OPEN is answered */
        struct clock_ahead clock;      /* and as HELLO tells */
        bool keeps_time;
        char session[SESSION_ID_MAX + 1];
        struct stream {
                bool open, shadow; /* shadow: until it is told that it leads */
                uint64_t next_seq;
        } stream[HANDLES_MAX + 1]; /* by handle */
        uint64_t lie;              /* added to what it says it took */
        uint32_t credit;
        bool credit_once; /* it is told in one answer, and then 0 */
        bool draining, malformed, silent, takes_many, holds, standby;
        bool can_be_told, loses_told; /* loses_told: what it is told comes to nothing */
        unsigned told;
        uint32_t generation; /* that OPEN is answered with; 0: counted */
        uint32_t now;        /* that MEDIA is answered with */
        bool sour;           /* media_status stays, whatever is opened */
        bool claims_late;    /* told that it leads it does not raise the generation */
        unsigned beside, as_shadow, as_leader; /* OPEN_BESIDE taken; MEDIA of a shadow, and others */
        unsigned asked, fresh; /* OPEN_IF_HELD; MEDIA that said so */
        int64_t far_us;        /* so long its answers take, by the real clock */
        bool overtakes;        /* what it gets last it hears first, of the next that come together */
        bool detains;          /* the answer to the next call is on its way until this is false: others overtake it */
        const struct call *detained;
        unsigned disordered;   /* MEDIA that did not begin where it was to */
        unsigned messages, shared, opens, closes, batches, empty, most_in_flight, in_flight;
        uint8_t closed;
        struct open open; /* the last one; config pointers do not outlive it */
        char config[TRACK_KINDS][8];
        struct frame taken[TAKEN_MAX]; /* without bytes */
        uint8_t first_byte[TAKEN_MAX];
        unsigned taken_count;
        int64_t stored_us;
};

static struct test {
        uv_loop_t loop;
        uv_timer_t tick;
        struct publications publications;
        struct publication_limits limits;
        struct node node[NODES];
        struct call *calls;
        uint64_t handles;
        int64_t now_us; /* both clocks, since WALL and 1 */
        unsigned dropped_peers;
} t;

static inline struct rpc_client *client(int node)
{
        return (struct rpc_client *)&t.node[node];
}

static inline size_t fake_walk(void *arg, const char *stream, struct transcoder_candidate *out, size_t max)
{
        size_t n = 0;
        assert_ptr_equal(arg, &t);
        assert_true(stream_id_valid(stream));
        for (int i = 0; i < NODES && n < max; i++) {
                if (!t.node[i].listed)
                        continue;
                snprintf(out[n].address, sizeof(out[n].address), "node-%d", i);
                out[n].draining = t.node[i].draining;
                out[n++].rpc = client(i);
        }
        return n;
}

static inline struct rpc_call *fake_call(struct rpc_client *c, nng_msg *request, unsigned timeout_ms, rpc_done *done,
                                  void *arg)
{
        struct call *call = mem_alloc(sizeof(*call)), **last = &t.calls;
        uint8_t type = *(const uint8_t *)nng_msg_body(request);
        bool media = type == MSG_MEDIA || type == MSG_MEDIA_MANY; /* a frozen transcoder is left within 1.5 s */
        assert_in_range(timeout_ms, 1, media ? 1500 : 3000);
        call->came_us = clock_mono_us();
        call->request = request;
        call->done = done;
        call->arg = arg;
        call->node = (int)((struct node *)c - t.node);
        struct node *n = &t.node[call->node];
        if (++n->in_flight > n->most_in_flight)
                n->most_in_flight = n->in_flight;
        while (*last)
                last = &(*last)->next;
        *last = call;
        return (struct rpc_call *)call;
}

static inline void fake_cancel(struct rpc_call *call)
{
        ((struct call *)call)->canceled = true;
}

static inline void fake_drop(struct rpc_client *c, const char *why)
{
        (void)c;
        assert_non_null(why);
        t.dropped_peers++;
}

static inline struct clock_ahead fake_clock(const struct rpc_client *c)
{
        return ((const struct node *)c)->clock;
}

static inline bool fake_can_be_told(const struct rpc_client *c)
{
        return ((const struct node *)c)->can_be_told;
}

static bool fake_tell(struct rpc_client *c, nng_msg *msg);

static const struct transcoder_link fake_link = {.walk = fake_walk, .call = fake_call, .can_be_told = fake_can_be_told, .tell = fake_tell,
                                             .cancel = fake_cancel, .drop = fake_drop, .clock = fake_clock};

static inline nng_msg *answer_open(struct node *n, struct reader *r)
{
        struct open_reply reply = {.status = (int8_t)n->open_status, .text = "because"};
        snprintf(reply.node, sizeof(reply.node), "id-%d", (int)(n - t.node));
        assert_int_equal(open_decode(r, &n->open), 0);
        n->asked += n->open.when & OPEN_IF_HELD;
        if (n->open.when & OPEN_IF_HELD && !n->holds) {
                reply.status = ERR_NOT_FOUND;
                return message_new(MSG_OPEN_REPLY, open_reply_encode, &reply);
        }
        n->opens++;
        for (int k = 0; k < TRACK_KINDS; k++)
                snprintf(n->config[k], sizeof(n->config[k]), "%.*s", (int)n->open.config[k].len,
                         n->open.config[k].len ? (const char *)n->open.config[k].data : "");
        if (n->open_status == 0) {
                reply.handle = ++t.handles;
                assert_true(t.handles <= HANDLES_MAX);
                n->stream[t.handles].open = true;
                reply.epoch_us = n->epoch_us ? n->epoch_us : n->open.epoch_us + n->skew_us;
                reply.skew_us = n->skew_us;
                reply.keeps_time = n->keeps_time;
                reply.generation = n->generation ? n->generation : n->opens;
                reply.standby = n->standby;
                memcpy(reply.session, n->session, sizeof(reply.session));
                if (n->open.when & OPEN_BESIDE) {
                        n->beside++;
                        n->stream[t.handles].shadow = true;
                        reply.generation = n->open.generation;
                }
                n->now = reply.generation;
                n->media_status = n->sour ? n->media_status : 0;
        }
        return message_new(MSG_OPEN_REPLY, open_reply_encode, &reply);
}

static inline void take_frame(struct node *n, const struct frame *f)
{
        assert_true(n->taken_count < TAKEN_MAX);
        n->first_byte[n->taken_count] = f->bytes->len ? f->bytes->data[0] : 0;
        n->taken[n->taken_count] = *f;
        n->taken[n->taken_count++].bytes = NULL;
}

static inline struct media_reply take_batch(struct node *n, struct reader *r, struct buf *whole)
{
        static struct frame frames[BATCH_FRAMES_MAX];
        struct media m;
        assert_int_equal(media_decode(r, &m, frames, whole), 0);
        n->batches++;
        n->empty += m.count == 0;
        n->fresh += m.fresh;
        struct media_reply reply = {.status = (int8_t)n->media_status, .credit = n->credit, .draining = n->draining,
                                    .stored_us = n->stored_us, .takes_many = n->takes_many,
                                    .standby = n->standby};
        struct stream *s = m.handle <= HANDLES_MAX ? &n->stream[m.handle] : NULL;
        n->as_shadow += m.shadow;
        n->as_leader += !m.shadow;
        if (s && s->shadow && !m.shadow && !n->claims_late) {
                s->shadow = false;
                n->now++;
        }
        reply.generation = n->now;
        n->credit = n->credit_once ? 0 : n->credit;
        if (!s || !s->open)
                reply.status = ERR_NOT_FOUND;
        else if (!reply.status && !n->standby && (m.first_seq > s->next_seq || m.first_seq + m.count < s->next_seq))
                reply.status = ERR_ORDER;
        n->disordered += reply.status == ERR_ORDER;
        for (int i = 0; i < m.count; i++) {
                if (reply.status == 0 && !n->standby && m.first_seq + (unsigned)i >= s->next_seq) {
                        assert_int_equal(m.first_seq + (unsigned)i, s->next_seq);
                        take_frame(n, &frames[i]);
                        s->next_seq++;
                }
                buf_unref(&frames[i].bytes);
        }
        reply.next_seq = reply.status == ERR_NOT_FOUND ? 0 : s->next_seq + n->lie;
        return reply;
}

static bool fake_tell(struct rpc_client *c, nng_msg *msg)
{
        struct node *n = (struct node *)c;
        struct reader r, parts[MEDIA_MANY_MAX];
        uint16_t count;
        if (n->lost)
                return false;
        struct buf *whole = buf_copy(nng_msg_body(msg), nng_msg_len(msg));
        reader_init(&r, whole->data, whole->len);
        assert_int_equal(reader_u8(&r), MSG_MEDIA_TOLD);
        assert_int_equal(media_many_decode(&r, parts, &count), 0);
        n->told++;
        for (uint16_t i = 0; i < count && !n->loses_told; i++)
                take_batch(n, &parts[i], whole);
        buf_unref(&whole);
        nng_msg_free(msg);
        return true;
}

static inline nng_msg *answer_media(struct node *n, nng_msg *msg, bool many)
{
        struct media_many_reply reply = {.count = 1};
        struct reader r, parts[MEDIA_MANY_MAX];
        struct buf *whole = buf_copy(nng_msg_body(msg), nng_msg_len(msg));
        reader_init(&r, whole->data + 1, whole->len - 1);
        if (many)
                assert_int_equal(media_many_decode(&r, parts, &reply.count), 0);
        n->messages++;
        n->shared += many;
        for (uint16_t i = 0; i < reply.count; i++)
                reply.parts[i] = take_batch(n, many ? &parts[i] : &r, whole);
        buf_unref(&whole);
        return many ? message_new(MSG_MEDIA_MANY_REPLY, media_many_reply_encode, &reply)
                    : message_new(MSG_MEDIA_REPLY, media_reply_encode, &reply.parts[0]);
}

static inline nng_msg *answer(struct node *n, nng_msg *request)
{
        struct reader r;
        uint8_t type = message_open(&r, request);
        if (n->malformed) {
                const struct status_reply junk = {0};
                return message_new(MSG_CLOSE_REPLY, status_reply_encode, &junk);
        }
        if (type == MSG_OPEN)
                return answer_open(n, &r);
        if (type == MSG_MEDIA || type == MSG_MEDIA_MANY)
                return answer_media(n, request, type == MSG_MEDIA_MANY);
        assert_int_equal(type, MSG_CLOSE);
        struct close_stream m;
        assert_int_equal(close_stream_decode(&r, &m), 0);
        n->closes++;
        n->closed = m.reason;
        const struct status_reply reply = {0};
        return message_new(MSG_CLOSE_REPLY, status_reply_encode, &reply);
}

static inline bool overtaken(const struct call *call)
{
        const struct call *next = call->next;
        while (next && next->node != call->node)
                next = next->next;
        return next;
}

static inline void answer_all(void)
{
        struct call **link = &t.calls;
        while (*link) {
                struct call *call = *link;
                struct node *n = &t.node[call->node];
                bool waits = n->silent || clock_mono_us() - call->came_us < n->far_us || (n->overtakes && overtaken(call));
                if (waits && !call->canceled) {
                        link = &call->next;
                        continue;
                }
                if (n->detains && n->detained == (call->detained ? call : NULL) && !call->canceled) {
                        if (!n->detained)
                                call->detained = answer(n, call->request);
                        n->detained = call;
                        link = &call->next;
                        continue;
                }
                n->overtakes = n->overtakes && n->in_flight < 2;
                *link = call->next;
                n->in_flight--;
                int err = call->canceled ? ERR_CANCELED : n->lost ? ERR_CLOSED : n->busy ? ERR_FULL : 0;
                nng_msg *reply = err ? NULL : call->detained ? call->detained : answer(n, call->request);
                nng_msg_free(call->request);
                call->done(call->arg, err, reply);
                free(call);
                link = &t.calls;
        }
}

static inline void pump(void)
{
        for (int i = 0; i < 10; i++) {
                uv_run(&t.loop, UV_RUN_NOWAIT);
                answer_all();
        }
}

static inline void on_tick(uv_timer_t *timer)
{
        (void)timer;
}

/* One round of the loop, with its real timers, which does not wait long while a call may be answered. */
static inline void turn(void)
{
        uv_timer_start(&t.tick, on_tick, 1, 0);
        uv_run(&t.loop, UV_RUN_ONCE);
        answer_all();
}

#define UNTIL(cond)                                                                                                    \
        do {                                                                                                           \
                for (int64_t deadline = clock_mono_us() + PATIENCE_US; !(cond);) {                                   \
                        assert_true(clock_mono_us() < deadline);                                                       \
                        turn();                                                                                        \
                }                                                                                                      \
        } while (0)

static inline unsigned configs_taken(const struct node *n)
{
        unsigned count = 0;
        for (unsigned i = 0; i < n->taken_count; i++)
                count += n->taken[i].flags & FRAME_CONFIG ? 1 : 0;
        return count;
}

/* A broadcaster. -------------------------------------------------------------------------------------------------- */

struct caster {
        struct publication *p;
        int64_t at_ms;
        int refused;
        bool held;
        char code[64], text[256];
};

static inline void on_refuse(void *arg, int reason, const char *code, const char *text)
{
        struct caster *c = arg;
        assert_int_equal(c->refused, 0);
        c->refused = reason;
        snprintf(c->code, sizeof(c->code), "%s", code);
        snprintf(c->text, sizeof(c->text), "%s", text);
}

static inline void on_hold(void *arg, bool held)
{
        struct caster *c = arg;
        assert_non_null(c->p);
        assert_int_equal(c->refused, 0);
        assert_true(c->held != held);
        c->held = held;
}

static inline int begin_as(struct caster *c, const char *stream, enum open_role role)
{
        static const struct publication_events events = {.refuse = on_refuse, .hold = on_hold};
        struct publish_request request = {.address = "192.0.2.1:4000", .encoder = "tester", .role = (uint8_t)role};
        snprintf(request.stream, sizeof(request.stream), "%s", stream);
        *c = (struct caster){0};
        return publication_begin(&c->p, &t.publications, &request, &events, c, c->text, sizeof(c->text));
}

static inline void begin(struct caster *c, const char *stream)
{
        assert_int_equal(begin_as(c, stream, OPEN_PRIMARY), 0);
}

static inline void send_frame(struct caster *c, uint8_t track, uint8_t flags, const char *bytes)
{
        struct buf *b = buf_copy(bytes, strlen(bytes));
        const struct flv_frame f = {.track = track, .codec = track == TRACK_VIDEO ? CODEC_H264 : CODEC_AAC,
                                    .flags = flags, .dts_ms = (uint32_t)c->at_ms, .bytes = b};
        publication_frame(c->p, &f);
        buf_unref(&b);
}

static inline void send_configs(struct caster *c)
{
        send_frame(c, TRACK_VIDEO, FRAME_CONFIG, "avcC1");
        send_frame(c, TRACK_AUDIO, FRAME_CONFIG, "asc1");
}

/* 25 pictures a second with a keyframe a second; sound with every picture. */
static inline void send_media(struct caster *c, int from, int to)
{
        for (int n = from; n < to; n++) {
                c->at_ms = 40 * n;
                t.now_us = 40 * n * MS;
                char bytes[2] = {(char)('a' + n % 26), 0};
                send_frame(c, TRACK_VIDEO, n % 25 == 0 ? FRAME_KEY : 0, bytes);
                send_frame(c, TRACK_AUDIO, FRAME_KEY, "s");
        }
}

static inline void send_video(struct caster *c, int from, int to)
{
        for (int n = from; n < to; n++) {
                c->at_ms = 40 * n;
                t.now_us = 40 * n * MS;
                send_frame(c, TRACK_VIDEO, n % 25 == 0 ? FRAME_KEY : 0, "v");
        }
}

static inline void send_audio(struct caster *c, int from, int to)
{
        for (int n = from; n < to; n++) {
                c->at_ms = 40 * n;
                t.now_us = 40 * n * MS;
                send_frame(c, TRACK_AUDIO, FRAME_KEY, "s");
        }
}

static inline void end(struct caster *c, enum close_reason why)
{
        publication_end(c->p, why);
        c->p = NULL;
}

/* Pictures in taken[from…], which must be n_first, n_first + 1, … */
static inline void assert_pictures(const struct node *n, unsigned from, int first, int count)
{
        int next = first;
        for (unsigned i = from; i < n->taken_count; i++) {
                if (n->taken[i].track != TRACK_VIDEO || n->taken[i].flags & FRAME_CONFIG)
                        continue;
                assert_int_equal(n->taken[i].dts_us, 40 * next * MS);
                assert_int_equal(n->first_byte[i], 'a' + next % 26);
                next++;
        }
        assert_int_equal(next, first + count);
}

static int64_t wall_us(void)
{
        return WALL + t.now_us;
}

static int64_t mono_us(void)
{
        return 1 + t.now_us;
}

static inline int set_up(void **state)
{
        (void)state;
        memset(&t, 0, sizeof(t));
        uv_loop_init(&t.loop);
        uv_timer_init(&t.loop, &t.tick);
        t.limits = (struct publication_limits){.max_publishers = 3, .replay_bytes = 4 << 20, .replay_total_bytes = 1 << 30,
                                          .track_wait_ms = 2000};
        t.publications = (struct publications){.limits = &t.limits, .relays = {.loop = &t.loop, .link = &fake_link, .link_arg = &t},
                                   .wall_us = wall_us, .mono_us = mono_us};
        relays_open(&t.publications.relays);
        budget_init(&t.publications.replays, (size_t)t.limits.replay_total_bytes);
        for (int i = 0; i < NODES; i++) {
                t.node[i].listed = i < 2;
                t.node[i].credit = BATCH_FRAMES_MAX;
                snprintf(t.node[i].session, sizeof(t.node[i].session), "session-1");
        }
        return 0;
}

/* Nothing is left of any publication. */
static inline int tear_down(void **state)
{
        (void)state;
        UNTIL(t.publications.count == 0 && !t.calls); /* what was canceled comes back too */
        assert_int_equal(t.publications.live, 0);
        assert_int_equal(stats_get(STAT_PUBLISHERS), 0);
        assert_int_equal(stats_get(STAT_REPLAY_BYTES), 0);
        relays_close(&t.publications.relays);
        uv_close((uv_handle_t *)&t.tick, NULL);
        uv_run(&t.loop, UV_RUN_DEFAULT);
        assert_int_equal(uv_loop_close(&t.loop), 0);
        return 0;
}

static inline void start(struct caster *c, int pictures)
{
        t.node[0].epoch_us = t.node[1].epoch_us = WALL; /* the session goes on wherever it is opened */
        begin(c, "cam");
        send_configs(c);
        for (int n = 0; n < pictures; n++) {
                send_media(c, n, n + 1);
                pump();
        }
        assert_int_equal(t.node[0].opens, 1);
        assert_int_equal(t.node[0].taken_count, 2 * (unsigned)pictures);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
