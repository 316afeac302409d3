/* rtmp_session_fixture.h - an RTMP session whose other ends are the test: an encoder that writes and hears, and the
 * publication. Include after cmocka.h. */
#ifndef TESTS_RTMP_SESSION_FIXTURE_H
#define TESTS_RTMP_SESSION_FIXTURE_H

#include <stdio.h>

#include "common/daemon/log.h"
#include "ingestd/amf0.h"
#include "ingestd/amf_cue.h"
#include "ingestd/rtmp_chunk.h"
#include "ingestd/rtmp_handshake.h"
#include "ingestd/rtmp_session.h"
#include "tests/unit/rtmp_bytes.h"

#define SECOND INT64_C(1000000)

/* A session with its client: what the session writes is read back into commands, what it does with its publication is
 * written down. */
struct publication {
        int unused;
};

struct client {
        struct rtmp_session *s;
        struct rtmp_limits limits;
        int64_t now_us;
        struct bytes out; /* to the session, sent by push() */
        size_t chunk_size;
        struct bytes in; /* from the session, after the handshake */
        size_t handshake_bytes;
        struct rtmp_chunk_reader reader;

        int closes;
        enum rtmp_close_reason closed;
        bool linger;

        struct publication publication;
        const struct publication_events *events;
        void *events_arg;
        struct publish_request request;
        int begins, ends, frames, metadatas, looks;
        int begin_err;
        enum close_reason end_why;
        struct flv_frame last; /* bytes not to be looked at */
        size_t last_len;
        struct flv_metadata metadata;
        int cues; /* and the last one */
        uint32_t cue_ms;
        char cue[256];
        bool refuse_on_frame, hold_on_frame, let_go_on_look;

        enum admission_verdict verdict;
        const struct admission_events *admission_events;
        void *admission_arg;
        int admits, dismissals;
        bool paused, reads_nothing;
        bool behind, stays_behind; /* stays_behind: push() has no turn follow */
        int turns;
};

static struct client *now_testing; /* publication functions have no argument of their own */

static inline void client_write(void *arg, const void *data, size_t len)
{
        struct client *c = arg;
        size_t skip = RTMP_HANDSHAKE_ANSWER - c->handshake_bytes;
        if (skip > len)
                skip = len;
        c->handshake_bytes += skip;
        put(&c->in, (const uint8_t *)data + skip, len - skip);
}

static inline void client_close(void *arg, enum rtmp_close_reason reason, bool linger)
{
        struct client *c = arg;
        c->closes++;
        c->closed = reason;
        c->linger = linger;
}

static inline void client_pause(void *arg, bool paused)
{
        struct client *c = arg;
        assert_true(c->paused != paused);
        c->paused = paused;
}

static inline void client_behind(void *arg)
{
        struct client *c = arg;
        assert_false(c->behind);
        assert_true(c->paused);
        c->behind = true;
}

static inline bool client_unread(void *arg)
{
        const struct client *c = arg;
        return c->reads_nothing;
}

static inline enum admission_verdict fake_admit(struct admission_case **out, struct admission *a, const struct publish_request *request,
                                         const struct admission_events *events, void *arg, char *text, size_t text_cap)
{
        struct client *c = now_testing;
        (void)a;
        c->admits++;
        c->request = *request;
        c->admission_events = events;
        c->admission_arg = arg;
        *out = c->verdict == ADMISSION_REFUSED ? NULL : (struct admission_case *)&c->admits;
        snprintf(text, text_cap, "the key is wrong");
        return c->verdict;
}

static inline void fake_dismiss(struct admission_case **out)
{
        if (*out)
                now_testing->dismissals++;
        *out = NULL;
}

static inline int fake_begin(struct publication **out, struct publications *in, const struct publish_request *request,
                      const struct publication_events *events, void *arg, char *text, size_t text_cap)
{
        struct client *c = now_testing;
        (void)in;
        *out = NULL;
        c->begins++;
        c->request = *request;
        c->events = events;
        c->events_arg = arg;
        snprintf(text, text_cap, "no room");
        if (c->begin_err == 0)
                *out = &c->publication;
        return c->begin_err;
}

static inline void fake_frame(struct publication *p, const struct flv_frame *f)
{
        struct client *c = now_testing;
        assert_ptr_equal(p, &c->publication);
        c->frames++;
        c->last = *f;
        c->last_len = f->bytes->len;
        if (c->hold_on_frame && c->frames == 1)
                c->events->hold(c->events_arg, true);
        if (c->refuse_on_frame)
                c->events->refuse(c->events_arg, RTMP_CLOSE_UPSTREAM, "NetStream.Publish.Rejected", "no room");
}

static inline void fake_metadata(struct publication *p, const struct flv_metadata *m)
{
        assert_ptr_equal(p, &now_testing->publication);
        now_testing->metadatas++;
        now_testing->metadata = *m;
}

static inline void fake_cue(struct publication *p, const uint8_t *message, size_t len_bytes, uint32_t timestamp_ms)
{
        struct amf_cue said;
        assert_ptr_equal(p, &now_testing->publication);
        assert_int_equal(amf_cue_read(&said, message, len_bytes, timestamp_ms), 0);
        now_testing->cues++;
        now_testing->cue_ms = said.at_ms;
        snprintf(now_testing->cue, sizeof(now_testing->cue), "%.*s", (int)said.cue.body_len, (const char *)said.cue.body);
}

static inline void fake_look(struct publication *p)
{
        assert_ptr_equal(p, &now_testing->publication);
        now_testing->looks++;
        if (now_testing->let_go_on_look)
                now_testing->events->hold(now_testing->events_arg, false);
}

static inline void fake_end(struct publication *p, enum close_reason why)
{
        assert_ptr_equal(p, &now_testing->publication);
        now_testing->ends++;
        now_testing->end_why = why;
}

static const struct rtmp_session_ops ops = {client_write, client_close, client_pause,  client_behind, client_unread, fake_admit,
                                            fake_dismiss, fake_begin,   fake_frame,    fake_metadata, fake_cue,      fake_look,
                                            fake_end};

static inline void client_init(struct client *c)
{
        static const struct rtmp_chunk_limits any = {1u << 20, 1u << 20, 64};
        *c = (struct client){.limits = RTMP_LIMITS_DEFAULT, .chunk_size = 128, .now_us = 100 * SECOND};
        rtmp_chunk_init(&c->reader, &any);
        now_testing = c;
        c->s = rtmp_session_new(&(struct rtmp_session_setup){.ops = &ops, .arg = c, .limits = &c->limits,
                                                             .id = 1, .address = "127.0.0.1:5", .now_us = c->now_us});
}

static inline void client_fini(struct client *c)
{
        rtmp_session_close(c->s, RTMP_CLOSE_PEER);
        assert_int_equal(c->closes, 1);
        rtmp_session_end(c->s);
        rtmp_session_end(c->s);
        assert_true(c->ends <= c->begins);
        rtmp_session_free(&c->s);
        assert_null(c->s);
        rtmp_chunk_fini(&c->reader);
        bytes_free(&c->in);
        bytes_free(&c->out);
}

static inline void go_on(struct client *c)
{
        c->behind = false;
        c->turns++;
        rtmp_session_turn(c->s);
        rtmp_session_go_on(c->s, c->now_us);
}

static inline void push(struct client *c)
{
        struct bytes b = c->out;
        c->out = (struct bytes){0};
        rtmp_session_turn(c->s);
        rtmp_session_feed(c->s, b.p, b.len, c->now_us);
        bytes_free(&b);
        while (c->behind && !c->stays_behind)
                go_on(c);
}

static inline void handshake(struct client *c)
{
        put_be(&c->out, 3, 1);
        put_fill(&c->out, 0, 2 * RTMP_HANDSHAKE_PART);
        push(c);
        assert_int_equal(c->handshake_bytes, RTMP_HANDSHAKE_ANSWER);
}

/* A command whose first argument is `text` (NULL: none). */
static inline void command(struct client *c, uint32_t sid, const char *name, double transaction, const char *text)
{
        struct bytes b = {0};
        amf_string(&b, name), amf_number(&b, transaction), amf_null(&b);
        if (text)
                amf_string(&b, text), amf_string(&b, "live");
        message(&c->out, 3, 0, RTMP_COMMAND_AMF0, sid, b.p, b.len, c->chunk_size);
        bytes_free(&b);
}

static inline void connect_command(struct client *c, const char *app, double caps_ex)
{
        struct bytes b = {0};
        amf_string(&b, "connect"), amf_number(&b, 1);
        put_be(&b, 3, 1);
        amf_key(&b, "app"), amf_string(&b, app);
        amf_key(&b, "flashVer"), amf_string(&b, "FMLE/3.0 \"x\"");
        if (caps_ex >= 0)
                amf_key(&b, "capsEx"), amf_number(&b, caps_ex);
        amf_end(&b);
        message(&c->out, 3, 0, RTMP_COMMAND_AMF0, 0, b.p, b.len, c->chunk_size);
        bytes_free(&b);
}

static inline void media(struct client *c, uint8_t type, uint32_t ts, const void *head, size_t head_len, const void *body,
                  size_t len)
{
        struct bytes b = {0};
        put(&b, head, head_len), put(&b, body, len);
        message(&c->out, type == RTMP_VIDEO ? 6 : 4, ts, type, 1, b.p, b.len, c->chunk_size);
        bytes_free(&b);
}

static inline void configuration(struct client *c)
{
        media(c, RTMP_VIDEO, 0, "\x17\0\0\0\0", 5, avcc_body, sizeof(avcc_body));
        media(c, RTMP_AUDIO, 0, "\xaf\0", 2, asc_body, sizeof(asc_body));
}

static inline void publish(struct client *c, const char *name)
{
        handshake(c);
        connect_command(c, "live", -1);
        command(c, 0, "createStream", 2, NULL);
        command(c, 1, "publish", 3, name);
        push(c);
}

/* Next message from the session; false when there is none. Data is the caller's. */
static inline bool next_message(struct client *c, struct rtmp_message *m)
{
        const uint8_t *p = c->in.p, *end = p + c->in.len;
        if (c->in.len == 0 || rtmp_chunk_read(&c->reader, &p, end, m) != RTMP_CHUNK_MESSAGE)
                return false;
        c->in.len = (size_t)(end - p);
        memmove(c->in.p, p, c->in.len);
        return true;
}

static inline void find_code(void *arg, const struct amf_value *key, const struct amf_value *value)
{
        if (amf_value_is(key, "code"))
                amf_value_copy(arg, 80, value);
}

/* The next command from the session: its name, transaction, number or code. Other messages are passed over. */
struct heard {
        char name[32], code[80];
        double transaction, number;
        uint32_t stream_id;
};

static inline bool hear(struct client *c, struct heard *h)
{
        struct rtmp_message m;
        *h = (struct heard){0};
        while (next_message(c, &m)) {
                if (m.type != RTMP_COMMAND_AMF0) {
                        buf_unref(&m.block);
                        continue;
                }
                struct amf0 in;
                amf0_init(&in, m.data, m.len);
                struct amf_value name = amf0_read(&in, NULL, NULL);
                amf_value_copy(h->name, sizeof(h->name), &name);
                h->transaction = amf0_read(&in, NULL, NULL).number;
                amf0_read(&in, find_code, h->code);
                h->number = amf0_read(&in, find_code, h->code).number;
                h->stream_id = m.stream_id;
                assert_int_equal(reader_done(&in.r), 0);
                buf_unref(&m.block);
                return true;
        }
        return false;
}

static inline void assert_heard(struct client *c, const char *name, double transaction, const char *code)
{
        struct heard h;
        assert_true(hear(c, &h));
        assert_string_equal(h.name, name);
        assert_true(h.transaction == transaction);
        assert_string_equal(h.code, code);
}

static inline void assert_closed(struct client *c, enum rtmp_close_reason reason)
{
        assert_int_equal(c->closes, 1);
        assert_int_equal(c->closed, reason);
        assert_false(c->linger);
}

static inline int quiet(void **state)
{
        (void)state;
        log_set_level(LOG_ERROR);
        return 0;
}

#endif
