#include "ingestd/rtmp_session.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/daemon/log.h"
#include "common/mem.h"
#include "ingestd/rtmp_commands.h"
#include "ingestd/rtmp_handshake.h"
#include "ingestd/rtmp_media.h"
#include "ingestd/rtmp_say.h"

enum { EVENT_PING = 6, EVENT_PONG = 7 };
#define AMF0_STRING_MARKER 2

struct state {
        const char *name;
        /* Returns the next state, or its own to wait for input. Never frees s. */
        enum session_state (*step)(struct rtmp_session *s);
};
static const struct state states[SESSION_STATES];

/* What came, and the end ----------------------------------------------------------------------------------------- */

static void drop_early(struct rtmp_session *s)
{
        free(s->early.data);
        s->early.data = NULL;
        s->early.at = s->early.len = 0;
}

/* Is its socket to be read, and does it have to go on by itself? Inside a step that is not known yet. */
static void look_at_input(struct rtmp_session *s)
{
        if (s->running)
                return;
        bool kept = !s->closing && s->early.len > 0, deciding = s->state == SESSION_DECIDING;
        bool pause = !s->closing && (s->held || deciding || kept);
        if (s->paused != pause)
                s->setup.ops->pause(s->setup.arg, s->paused = pause);
        if (kept && !deciding && !s->behind) {
                s->behind = true;
                s->setup.ops->behind(s->setup.arg);
        }
}

/* Nothing more comes in: what the session does not need while its connection closes is given back. Its socket is read to the end, or
 * the kernel's reset could overtake what the peer is told. */
static void finish(struct rtmp_session *s)
{
        if (s->told)
                return;
        s->told = true;
        look_at_input(s);
        rtmp_close_reason_count(s->closing);
        /* A balancer's look whether the port is open, every few seconds; a flood, which the server tells of now and then. */
        bool quiet = (s->total_bytes == 0 && s->closing == RTMP_CLOSE_PEER) || s->closing == RTMP_CLOSE_NEWCOMERS;
        log_line_of(s->published ? s->stream : s->address, quiet ? LOG_DEBUG : LOG_INFO,
                    "conn=%" PRIu64 " stream=%s address=%s reason=%s bytes=%" PRIu64 " ignored=%" PRIu64 " msg=\"%s\"", s->setup.id,
                    s->stream, s->address, rtmp_close_reason_label(s->closing), s->total_bytes, s->ignored,
                    rtmp_close_reason_text(s->closing));
        rtmp_chunk_fini(&s->chunks);
        if (!s->in) /* or it is being looked at, and take_early() drops it */
                drop_early(s);
        s->setup.ops->close(s->setup.arg, s->closing, s->linger);
}

static void change(struct rtmp_session *s, enum session_state next)
{
        log_debug("conn=%" PRIu64 " msg=\"%s -> %s\"", s->setup.id, states[s->state].name, states[next].name);
        s->state = next;
}

static void run(struct rtmp_session *s)
{
        if (s->running) /* an event of the publication, from inside a step: the outer run goes on with it */
                return;
        s->running = true;
        for (;;) {
                enum session_state next = s->closing ? SESSION_CLOSED : states[s->state].step(s);
                if (next == s->state)
                        break;
                change(s, next);
        }
        s->running = false;
        rtmp_say_flush(s);
        if (s->closing)
                finish(s);
}

static void tell_time(struct rtmp_session *s, int64_t now_us)
{
        s->now_us = now_us;
        if (s->let_go)
                s->since_us = now_us;
        s->let_go = false;
}

/* Looks at what was kept, as far as it gets. */
static void take_early(struct rtmp_session *s)
{
        uint8_t *data = s->early.data;
        s->in = data + s->early.at;
        s->in_end = data + s->early.len;
        run(s);
        s->early.at = (size_t)(s->in - data);
        if (s->closing || s->in == s->in_end)
                drop_early(s);
        s->in = s->in_end = NULL;
}

/* Messages ------------------------------------------------------------------------------------------------------- */

static void on_user_control(struct rtmp_session *s, const struct rtmp_message *m)
{
        if (m->len < 6 || m->data[0] != 0 || m->data[1] != EVENT_PING)
                return;
        uint8_t pong[6] = {0, EVENT_PONG};
        memcpy(pong + 2, m->data + 2, 4);
        rtmp_say_message(s, CSID_CONTROL, RTMP_USER_CONTROL, 0, pong, sizeof(pong));
}

static void on_window(struct rtmp_session *s, const struct rtmp_message *m)
{
        struct reader r;
        reader_init(&r, m->data, m->len);
        uint32_t v = reader_u32(&r);
        if (v)
                s->window_bytes = v;
}

/* Types 15 and 17 are a byte of no use, 0 as a rule, then the same as 18 and 20. Some encoders leave the byte out, and begin with the
 * command's name. */
static struct reader amf0_body(const struct rtmp_message *m)
{
        struct reader r;
        bool wrapped = m->type == RTMP_COMMAND_AMF3 || m->type == RTMP_DATA_AMF3;
        reader_init(&r, m->data, m->len);
        if (wrapped && m->len > 0 && m->data[0] != AMF0_STRING_MARKER)
                reader_skip(&r, 1);
        return r;
}

static enum session_state on_message(struct rtmp_session *s, struct rtmp_message *m)
{
        struct reader body = amf0_body(m);
        switch (m->type) {
        case RTMP_AUDIO:
        case RTMP_VIDEO:
                return rtmp_media_tag(s, m);
        case RTMP_COMMAND_AMF0:
        case RTMP_COMMAND_AMF3:
                return rtmp_commands_take(s, body.p, reader_left(&body), m->stream_id);
        case RTMP_DATA_AMF0:
        case RTMP_DATA_AMF3:
                return rtmp_media_data(s, body.p, reader_left(&body), m->timestamp_ms);
        case RTMP_AGGREGATE:
                return rtmp_media_aggregate(s, m);
        case RTMP_USER_CONTROL:
                on_user_control(s, m);
                return s->state;
        case RTMP_WINDOW_ACK_SIZE:
                on_window(s, m);
                return s->state;
        case RTMP_ACK:
        case RTMP_SET_PEER_BANDWIDTH:
                return s->state;
        default:
                s->ignored++;
                return s->state;
        }
}

/* States --------------------------------------------------------------------------------------------------------- */

static enum session_state step_messages(struct rtmp_session *s)
{
        while (s->turn > 0) {
                struct rtmp_message m;
                enum rtmp_chunk_result result = rtmp_chunk_read(&s->chunks, &s->in, s->in_end, &m);
                if (result == RTMP_CHUNK_BAD)
                        return rtmp_state_fail(s, s->chunks.bad);
                if (result == RTMP_CHUNK_MORE)
                        return s->state;
                s->turn--;
                enum session_state next = on_message(s, &m);
                buf_unref(&m.block);
                if (next != s->state || s->closing)
                        return next;
        }
        return s->state; /* now it is the others' turn */
}

/* Leaves what comes for later. on_allowed() and on_denied() lead on. */
static enum session_state step_deciding(struct rtmp_session *s)
{
        return s->state;
}

static enum session_state step_hello(struct rtmp_session *s)
{
        if (s->in == s->in_end)
                return s->state;
        if (s->hello_len == 0 && !rtmp_handshake_version_ok(*s->in))
                return rtmp_state_fail(s, RTMP_CLOSE_HANDSHAKE);
        if (!s->hello)
                s->hello = mem_resize(NULL, RTMP_HANDSHAKE_HELLO);
        size_t n = RTMP_HANDSHAKE_HELLO - s->hello_len;
        if (n > (size_t)(s->in_end - s->in))
                n = (size_t)(s->in_end - s->in);
        memcpy(s->hello + s->hello_len, s->in, n);
        s->hello_len += (unsigned)n;
        s->in += n;
        if (s->hello_len < RTMP_HANDSHAKE_HELLO)
                return s->state;

        uint8_t answer[RTMP_HANDSHAKE_ANSWER];
        rtmp_handshake_answer(answer, s->hello + 1);
        s->setup.ops->write(s->setup.arg, answer, sizeof(answer));
        free(s->hello);
        s->hello = NULL;
        s->hello_len = 0;
        return SESSION_CONFIRM;
}

static enum session_state step_confirm(struct rtmp_session *s)
{
        size_t n = RTMP_HANDSHAKE_PART - s->hello_len;
        if (n > (size_t)(s->in_end - s->in))
                n = (size_t)(s->in_end - s->in);
        s->in += n;
        s->hello_len += (unsigned)n;
        return s->hello_len < RTMP_HANDSHAKE_PART ? s->state : SESSION_CONNECT;
}

static enum session_state step_closed(struct rtmp_session *s)
{
        s->in = s->in_end;
        return s->state;
}

static const struct state states[SESSION_STATES] = {
        [SESSION_HELLO] = {"hello", step_hello},
        [SESSION_CONFIRM] = {"confirm", step_confirm},
        [SESSION_CONNECT] = {"connect", step_messages},
        [SESSION_READY] = {"ready", step_messages},
        [SESSION_DECIDING] = {"deciding", step_deciding},
        [SESSION_BEGIN] = {"begin", rtmp_commands_begin},
        [SESSION_LIVE] = {"live", step_messages},
        [SESSION_CLOSED] = {"closed", step_closed},
};

/* What admission and publication tell ----------------------------------------------------------------------------- */

/* The decision has come; what was sent meanwhile is looked at now. */
static void decided(struct rtmp_session *s)
{
        rtmp_session_turn(s);
        if (s->early.len > 0)
                take_early(s);
        else
                run(s);
        look_at_input(s);
}

static void on_allowed(void *arg)
{
        struct rtmp_session *s = magic_check(arg, SESSION_MAGIC);
        if (s->state != SESSION_DECIDING || s->closing)
                return;
        change(s, SESSION_BEGIN);
        decided(s);
}

/* While it is being decided, or when it may not go on. */
static void on_denied(void *arg, const char *text)
{
        struct rtmp_session *s = magic_check(arg, SESSION_MAGIC);
        bool waiting = s->state == SESSION_DECIDING;
        rtmp_say_refusal(s, waiting ? RTMP_CLOSE_DENIED : RTMP_CLOSE_REVOKED, "NetStream.Publish.Denied", text);
        if (waiting)
                decided(s);
        else
                run(s);
}

static void on_refused(void *arg, int reason, const char *code, const char *text)
{
        struct rtmp_session *s = magic_check(arg, SESSION_MAGIC);
        rtmp_say_refusal(s, (enum rtmp_close_reason)reason, code, text);
        run(s);
}

static void on_hold(void *arg, bool held)
{
        struct rtmp_session *s = magic_check(arg, SESSION_MAGIC);
        if (s->closing)
                return;
        s->since_us = s->now_us;
        s->was_held = true;
        s->let_go = !held;
        s->held = held;
        look_at_input(s);
}

static const struct admission_events admission_events = {.allowed = on_allowed, .refused = on_denied};
static const struct publication_events publication_events = {.refuse = on_refused, .hold = on_hold};

/* Outside -------------------------------------------------------------------------------------------------------- */

struct rtmp_session *rtmp_session_new(const struct rtmp_session_setup *setup)
{
        struct rtmp_session *s = mem_alloc(sizeof(*s));
        s->magic = SESSION_MAGIC;
        s->state = SESSION_HELLO;
        s->setup = *setup;
        s->setup.address = s->address;
        s->admission_events = &admission_events;
        s->publication_events = &publication_events;
        s->stream[0] = '-';
        snprintf(s->address, sizeof(s->address), "%s", setup->address);
        s->now_us = s->since_us = setup->now_us;
        s->window_bytes = RTMP_WINDOW_BYTES;
        s->out_chunk_size = RTMP_CHUNK_SIZE_DEFAULT;
        rtmp_chunk_init(&s->chunks, &(struct rtmp_chunk_limits){.streams = setup->limits->chunk_streams});
        rtmp_state_limit(s, MESSAGE_BEFORE_PUBLISH);
        rtmp_session_turn(s);
        return s;
}

void rtmp_session_turn(struct rtmp_session *s)
{
        s->turn = s->publication ? RTMP_TURN_MESSAGES : RTMP_TURN_COMMANDS;
}

static void keep_early(struct rtmp_session *s, const uint8_t *data, size_t len_bytes)
{
        if (s->closing || len_bytes == 0)
                return;
        if (len_bytes > RTMP_EARLY_MAX - s->early.len) {
                rtmp_state_fail(s, RTMP_CLOSE_EARLY);
                run(s);
                return;
        }
        s->early.data = mem_resize(s->early.data, s->early.len + len_bytes);
        memcpy(s->early.data + s->early.len, data, len_bytes);
        s->early.len += len_bytes;
}

void rtmp_session_feed(struct rtmp_session *s, const uint8_t *data, size_t len_bytes, int64_t now_us)
{
        bool behind = s->early.len > 0; /* what was kept is looked at first */
        if (s->closing)
                return;
        tell_time(s, now_us);
        s->total_bytes += len_bytes;
        s->in_bytes += (uint32_t)len_bytes;
        if (s->state == SESSION_READY || s->state == SESSION_LIVE)
                rtmp_say_received(s);
        s->in = behind ? NULL : data;
        s->in_end = behind ? NULL : data + len_bytes;
        run(s);
        const uint8_t *rest = behind ? data : s->in;
        s->in = s->in_end = NULL;
        keep_early(s, rest, (size_t)(data + len_bytes - rest));
        look_at_input(s);
}

void rtmp_session_go_on(struct rtmp_session *s, int64_t now_us)
{
        s->behind = false;
        if (s->closing || s->early.len == 0 || s->state == SESSION_DECIDING)
                return;
        tell_time(s, now_us);
        take_early(s);
        look_at_input(s);
}

void rtmp_session_tick(struct rtmp_session *s, int64_t now_us)
{
        if (s->closing)
                return;
        tell_time(s, now_us);
        if (s->held) { /* it cannot send: no deadline */
                s->setup.ops->look(s->publication);
                s->let_go = false; /* if it was, that is now */
                return;
        }
        if (s->was_held) {
                rtmp_say_received(s);
                rtmp_say_flush(s);
        }
        bool live = s->state == SESSION_LIVE;
        int64_t limit_us = live ? s->setup.limits->media_us : s->setup.limits->publish_us;
        if (now_us - s->since_us < limit_us)
                return;
        /* It sent media enough, and nothing that says how to decode it. */
        if (live && s->bad_configs && !s->flv.configured[TRACK_VIDEO] && !s->flv.configured[TRACK_AUDIO]) {
                rtmp_say_refusal(s, RTMP_CLOSE_BAD_MEDIA, "NetStream.Publish.Rejected", s->flv.what);
                run(s);
                return;
        }
        rtmp_session_close(s, live ? RTMP_CLOSE_MEDIA_TIMEOUT : RTMP_CLOSE_PUBLISH_TIMEOUT);
}

void rtmp_session_close(struct rtmp_session *s, enum rtmp_close_reason reason)
{
        if (s->closing)
                return;
        rtmp_state_fail(s, s->stopped && (reason == RTMP_CLOSE_PEER || reason == RTMP_CLOSE_IO) ? RTMP_CLOSE_STOPPED : reason);
        run(s);
}

bool rtmp_session_ask_reconnect(struct rtmp_session *s)
{
        if (s->closing || !s->reconnects)
                return false;
        s->asked = true;
        struct rtmp_reply r;
        rtmp_reply_status(rtmp_say_begin(&r), "onStatus", "status", "NetConnection.Connect.ReconnectRequest",
                          "Please connect again.");
        rtmp_say_reply(s, &r, CSID_COMMAND, 0);
        if (!s->running)
                rtmp_say_flush(s);
        return true;
}

void rtmp_session_set_address(struct rtmp_session *s, const char *address)
{
        assert(s->total_bytes == 0);
        snprintf(s->address, sizeof(s->address), "%s", address);
}

void rtmp_session_end(struct rtmp_session *s)
{
        assert(s->closing && !s->running);
        rtmp_commands_end(s, rtmp_close_reason_fate(s->closing));
}

void rtmp_session_free(struct rtmp_session **sp)
{
        struct rtmp_session *s = *sp;
        if (!s)
                return;
        assert(!s->publication && !s->request);
        *sp = NULL;
        rtmp_chunk_fini(&s->chunks);
        free(s->out.data);
        free(s->hello);
        drop_early(s);
        free(s->app);
        free(s->tc_url);
        s->magic = 0;
        free(s);
}

bool rtmp_session_live(const struct rtmp_session *s)
{
        return s->publication != NULL;
}

const char *rtmp_session_address(const struct rtmp_session *s)
{
        return s->address;
}

uint64_t rtmp_session_ignored(const struct rtmp_session *s)
{
        return s->ignored;
}

size_t rtmp_session_kept_bytes(const struct rtmp_session *s)
{
        return s->chunks.held_bytes + s->early.len + (s->hello ? RTMP_HANDSHAKE_HELLO : 0);
}
