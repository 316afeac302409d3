#include "ingestd/rtmp_session.h"

#include <assert.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "ingestd/rtmp_command.h"
#include "ingestd/rtmp_handshake.h"
#include "ingestd/rtmp_name.h"
#include "ingestd/rtmp_session_impl.h"

#define OUT_CHUNK_SIZE 4096
#define ACK_QUIET_US 1000000
#define MESSAGE_BEFORE_PUBLISH (64u << 10) /* commands only: nothing longer makes sense; unfinished ones together, too */
enum { CSID_CONTROL = 2, CSID_COMMAND = 3, CSID_STATUS = 5 };
enum { EVENT_PING = 6, EVENT_PONG = 7 };
#define AMF0_STRING_MARKER 2

static const struct state state_hello, state_confirm, state_connect, state_ready, state_deciding, state_begin, state_live,
        state_closed;

/* Out ------------------------------------------------------------------------------------------------------------ */

static void send_message(struct rtmp_session *s, uint8_t csid, uint8_t type, uint32_t stream_id, const void *data,
                         size_t len)
{
        size_t need = s->out.len + len + 32 + len / s->out_chunk_size;
        if (need > s->out.cap) {
                s->out.cap = need + 1024;
                s->out.data = mem_resize(s->out.data, s->out.cap);
        }
        rtmp_chunk_write(&s->out, csid, type, stream_id, data, len, s->out_chunk_size);
        assert(writer_ok(&s->out));
}

static void flush(struct rtmp_session *s)
{
        if (s->out.len)
                s->setup.ops->write(s->setup.arg, s->out.data, s->out.len);
        free(s->out.data);
        s->out = (struct writer){0};
}

static void send_u32(struct rtmp_session *s, uint8_t type, uint32_t v)
{
        const uint8_t b[] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
        send_message(s, CSID_CONTROL, type, 0, b, sizeof(b));
}

/* A reply under construction; its payload is a command. */
struct reply {
        uint8_t bytes[RTMP_REPLY_MAX];
        struct writer w;
};

static struct writer *reply_begin(struct reply *r)
{
        writer_init(&r->w, r->bytes, sizeof(r->bytes));
        return &r->w;
}

static void reply_send(struct rtmp_session *s, struct reply *r, uint8_t csid, uint32_t stream_id)
{
        assert(writer_ok(&r->w));
        send_message(s, csid, RTMP_COMMAND_AMF0, stream_id, r->bytes, r->w.len);
}

static void send_status(struct rtmp_session *s, const char *level, const char *code, const char *text)
{
        struct reply r;
        rtmp_reply_status(reply_begin(&r), "onStatus", level, code, text);
        reply_send(s, &r, CSID_STATUS, s->stream_id);
}

static void send_result(struct rtmp_session *s, double transaction)
{
        if (transaction == 0)
                return;
        struct reply r;
        rtmp_reply_result(reply_begin(&r), transaction);
        reply_send(s, &r, CSID_COMMAND, 0);
}

/* Not while the peer leaves what was written before: an encoder that never reads would have acknowledgements heap up for hours, until it
 * counts as one that does not read, and the next one says the same. One that was held back is acknowledged only when nothing has come
 * for a while, as of an encoder that waits for it. Otherwise it may have closed its socket long ago, with megabytes of its film still in
 * its kernel, which would throw them away and reset the connection at the first byte that it is sent. */
static void acknowledge(struct rtmp_session *s)
{
        if (s->was_held && s->now_us - s->since_us < ACK_QUIET_US)
                return;
        if (s->in_bytes - s->acked_bytes < s->window_bytes || s->setup.ops->unread(s->setup.arg))
                return;
        s->acked_bytes = s->in_bytes;
        send_u32(s, RTMP_ACK, s->in_bytes);
}

/* Closing -------------------------------------------------------------------------------------------------------- */

const struct state *rtmp_session_fail(struct rtmp_session *s, enum rtmp_close reason)
{
        if (!s->closing)
                s->closing = reason;
        return &state_closed;
}

const struct state *rtmp_session_refuse(struct rtmp_session *s, enum rtmp_close reason, const char *code, const char *text)
{
        char quoted[256];
        if (s->closing)
                return &state_closed;
        log_warn_of(s->address, "conn=%" PRIu64 " stream=%s address=%s code=%s msg=%s", s->setup.id, rtmp_session_stream(s), s->address,
                    code, log_quote(quoted, sizeof(quoted), text));
        send_status(s, "error", code, text);
        s->linger = true;
        return rtmp_session_fail(s, reason);
}

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
        bool kept = !s->closing && s->early.len > 0, deciding = s->state == &state_deciding;
        bool pause = !s->closing && (s->held || deciding || kept);
        if (s->paused != pause)
                s->setup.ops->pause(s->setup.arg, s->paused = pause);
        if (kept && !deciding && !s->behind) {
                s->behind = true;
                s->setup.ops->behind(s->setup.arg);
        }
}

static void set_held(struct rtmp_session *s, bool held)
{
        s->held = held;
        look_at_input(s);
}

/* Nothing more comes in: what the session does not need while its connection closes is given back. Its socket is read to the end, or
 * the kernel's reset could overtake what the peer is told. */
static void finish(struct rtmp_session *s)
{
        if (s->told)
                return;
        s->told = true;
        look_at_input(s);
        rtmp_close_count(s->closing);
        /* A balancer's look whether the port is open, every few seconds; a flood, which the server tells of now and then. */
        bool quiet = (s->total_bytes == 0 && s->closing == RTMP_CLOSE_PEER) || s->closing == RTMP_CLOSE_NEWCOMERS;
        log_line_of(s->published ? s->stream : s->address, quiet ? LOG_DEBUG : LOG_INFO,
                    "conn=%" PRIu64 " stream=%s address=%s reason=%s bytes=%" PRIu64 " ignored=%" PRIu64 " msg=\"%s\"", s->setup.id,
                    rtmp_session_stream(s), s->address, rtmp_close_label(s->closing), s->total_bytes, s->ignored,
                    rtmp_close_text(s->closing));
        rtmp_chunk_fini(&s->chunks);
        if (!s->in) /* or it is being looked at, and take_early() drops it */
                drop_early(s);
        s->setup.ops->close(s->setup.arg, s->closing, s->linger);
}

static void change(struct rtmp_session *s, const struct state *next)
{
        log_debug("conn=%" PRIu64 " msg=\"%s -> %s\"", s->setup.id, s->state->name, next->name);
        s->state = next;
}

static void run(struct rtmp_session *s)
{
        if (s->running) /* an event of the publication, from inside a step: the outer run goes on with it */
                return;
        s->running = true;
        for (;;) {
                const struct state *next = s->closing ? &state_closed : s->state->step(s);
                if (next == s->state)
                        break;
                change(s, next);
        }
        s->running = false;
        flush(s);
        if (s->closing)
                finish(s);
}

const struct state *rtmp_session_fail_amf(struct rtmp_session *s, int err)
{
        return rtmp_session_fail(s, err == ERR_LIMIT ? RTMP_CLOSE_AMF_DEPTH : RTMP_CLOSE_AMF);
}

/* Commands ------------------------------------------------------------------------------------------------------- */

static const struct state *on_connect(struct rtmp_session *s, const struct rtmp_command *c)
{
        static const uint8_t bandwidth[] = {(uint8_t)(RTMP_WINDOW_BYTES >> 24), (uint8_t)(RTMP_WINDOW_BYTES >> 16),
                                            (uint8_t)(RTMP_WINDOW_BYTES >> 8), (uint8_t)RTMP_WINDOW_BYTES,
                                            2 /* dynamic */};
        if (s->state != &state_connect)
                return rtmp_session_fail(s, RTMP_CLOSE_COMMAND);
        if (c->cut)
                return rtmp_session_refuse(s, RTMP_CLOSE_BAD_NAME, "NetConnection.Connect.Rejected", "the address is too long");
        s->app = mem_strdup(c->app);
        s->tc_url = mem_strdup(c->tc_url);
        memcpy(s->flash_ver, c->flash_ver, sizeof(s->flash_ver));
        s->reconnects = c->caps_ex & RTMP_CAPS_RECONNECT;

        send_u32(s, RTMP_WINDOW_ACK_SIZE, RTMP_WINDOW_BYTES);
        send_message(s, CSID_CONTROL, RTMP_SET_PEER_BANDWIDTH, 0, bandwidth, sizeof(bandwidth));
        send_u32(s, RTMP_SET_CHUNK_SIZE, OUT_CHUNK_SIZE);
        s->out_chunk_size = OUT_CHUNK_SIZE;
        struct reply r;
        rtmp_reply_connected(reply_begin(&r), c);
        reply_send(s, &r, CSID_COMMAND, 0);
        return &state_ready;
}

/* releaseStream, _checkbw and their like: some hardware encoders wait for the answer. */
static const struct state *on_courtesy(struct rtmp_session *s, const struct rtmp_command *c)
{
        send_result(s, c->transaction);
        return s->state;
}

static const struct state *on_fcpublish(struct rtmp_session *s, const struct rtmp_command *c)
{
        struct reply r;
        send_result(s, c->transaction);
        rtmp_reply_status(reply_begin(&r), "onFCPublish", "status", "NetStream.Publish.Start", "Go on.");
        reply_send(s, &r, CSID_COMMAND, 0);
        return s->state;
}

static const struct state *on_create_stream(struct rtmp_session *s, const struct rtmp_command *c)
{
        struct reply r;
        rtmp_reply_number(reply_begin(&r), c->transaction, ++s->created);
        reply_send(s, &r, CSID_COMMAND, 0);
        return s->state;
}

static void on_refused(void *arg, int reason, const char *code, const char *text)
{
        struct rtmp_session *s = arg;
        rtmp_session_refuse(s, (enum rtmp_close)reason, code, text);
        run(s);
}

static void on_hold(void *arg, bool held)
{
        struct rtmp_session *s = arg;
        if (s->closing)
                return;
        s->since_us = s->now_us;
        s->was_held = true;
        s->let_go = !held;
        set_held(s, held);
}

static void tell_time(struct rtmp_session *s, int64_t now_us)
{
        s->now_us = now_us;
        if (s->let_go)
                s->since_us = now_us;
        s->let_go = false;
}

static const char *const role_names[] = {[OPEN_PRIMARY] = "primary", [OPEN_BACKUP] = "backup", [OPEN_NOW] = "primary_now"};

static void take_request(struct rtmp_session *s, const struct rtmp_name *name)
{
        struct publish_request *r = s->request = mem_alloc(sizeof(*r));
        memcpy(r->stream, name->stream, sizeof(r->stream));
        r->role = name->role;
        r->secure = s->setup.secure;
        memcpy(r->app, name->app, sizeof(r->app));
        memcpy(r->query, name->query, sizeof(r->query));
        memcpy(r->key, name->key, sizeof(r->key));
        memcpy(r->address, s->address, sizeof(r->address));
        memcpy(r->encoder, s->flash_ver, sizeof(r->encoder));
}

/* The stream is over, or does not begin. */
static void drop_request(struct rtmp_session *s)
{
        s->setup.ops->dismiss(&s->admission);
        if (s->request)
                OPENSSL_cleanse(s->request->key, sizeof(s->request->key));
        free(s->request);
        s->request = NULL;
}

/* Each message, and those together that are not at their end. */
static void limit_messages(struct rtmp_session *s, uint32_t most_bytes)
{
        const struct rtmp_limits *l = s->setup.limits;
        s->chunks.limits.message_bytes = l->message_bytes < most_bytes ? l->message_bytes : most_bytes;
        s->chunks.limits.partial_bytes = l->partial_bytes < most_bytes ? l->partial_bytes : most_bytes;
}

static const struct state *step_begin(struct rtmp_session *s)
{
        static const struct publication_events events = {.refuse = on_refused, .hold = on_hold};
        char text[256] = "", quoted[128];
        int err = s->setup.ops->begin(&s->publication, s->setup.ingest, s->request, &events, s, text, sizeof(text));
        if (err)
                return rtmp_session_refuse(s, RTMP_CLOSE_PUBLISHERS, "NetStream.Publish.Rejected", text);
        s->published = true;
        log_info_of(s->address, "conn=%" PRIu64 " stream=%s address=%s role=%s secure=%d msg=\"publishing\" encoder=%s", s->setup.id,
                    s->stream, s->address, role_names[s->request->role], s->setup.secure, log_quote(quoted, sizeof(quoted), s->flash_ver));
        limit_messages(s, UINT32_MAX);
        s->flv = (struct flv){0};
        s->bad_configs = 0;
        s->since_us = s->now_us;
        s->was_held = s->stopped = false;
        send_status(s, "status", "NetStream.Publish.Start", s->stream);
        return &state_live;
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
        struct rtmp_session *s = arg;
        if (s->state != &state_deciding || s->closing)
                return;
        change(s, &state_begin);
        decided(s);
}

/* While it is being decided, or when it may not go on. */
static void on_denied(void *arg, const char *text)
{
        struct rtmp_session *s = arg;
        bool waiting = s->state == &state_deciding;
        rtmp_session_refuse(s, waiting ? RTMP_CLOSE_DENIED : RTMP_CLOSE_REVOKED, "NetStream.Publish.Denied", text);
        if (waiting)
                decided(s);
        else
                run(s);
}

static void end_publication(struct rtmp_session *s, enum close_reason why)
{
        struct publication *p = s->publication;
        s->publication = NULL;
        if (p)
                s->setup.ops->end(p, why);
        set_held(s, false); /* what comes next on the connection is not this stream's */
        drop_request(s);
}

static const struct state *on_stop(struct rtmp_session *s, const struct rtmp_command *c)
{
        send_result(s, c->transaction);
        if (s->state != &state_live)
                return s->state;
        end_publication(s, s->asked ? CLOSE_LOST : CLOSE_STOPPED); /* who was asked to leave comes back */
        s->stopped = true;
        s->since_us = s->now_us;
        limit_messages(s, MESSAGE_BEFORE_PUBLISH); /* until it publishes again */
        return &state_ready;
}

/* Each stream is a session, perhaps with encoders that are slow to go. */
static bool begins_too_often(struct rtmp_session *s)
{
        int64_t from_us = s->paid_us > s->now_us ? s->paid_us : s->now_us;
        if (from_us - s->now_us > (RTMP_STREAMS_AT_ONCE - 1) * RTMP_STREAM_EVERY_US)
                return true;
        s->paid_us = from_us + RTMP_STREAM_EVERY_US;
        return false;
}

/* Whether it may is decided before anything of the stream is looked at. Without a name, publish ends a stream: what encoders in
 * ActionScript mean by publish(false). */
static const struct state *on_publish(struct rtmp_session *s, const struct rtmp_command *c)
{
        static const struct admission_events events = {.allowed = on_allowed, .refused = on_denied};
        struct rtmp_name name;
        char text[256] = "";
        if (s->state == &state_live && !c->damaged && c->argument[0] == '\0')
                return on_stop(s, c);
        if (s->state == &state_live)
                return rtmp_session_refuse(s, RTMP_CLOSE_COMMAND, "NetStream.Publish.BadName",
                              "this connection is publishing already");
        if (c->cut)
                return rtmp_session_refuse(s, RTMP_CLOSE_BAD_NAME, "NetStream.Publish.BadName", "the stream name is too long");
        if (c->damaged)
                return rtmp_session_refuse(s, RTMP_CLOSE_BAD_NAME, "NetStream.Publish.BadName", "the stream name cannot be read");
        if (rtmp_name_parse(&name, s->app, s->tc_url, c->argument, text, sizeof(text)))
                return rtmp_session_refuse(s, RTMP_CLOSE_BAD_NAME, "NetStream.Publish.BadName", text);
        memcpy(s->stream, name.stream, sizeof(s->stream));
        if (begins_too_often(s))
                return rtmp_session_refuse(s, RTMP_CLOSE_STREAMS, "NetStream.Publish.Rejected",
                              "too many streams were begun on this connection; open another one");
        take_request(s, &name);
        switch (s->setup.ops->admit(&s->admission, s->setup.admission, s->request, &events, s, text, sizeof(text))) {
        case ADMISSION_ALLOWED:
                return &state_begin;
        case ADMISSION_PENDING:
                return &state_deciding;
        case ADMISSION_REFUSED:
                break;
        }
        return rtmp_session_refuse(s, RTMP_CLOSE_DENIED, "NetStream.Publish.Denied", text);
}

/* deleteStream names a message stream; encoders that got the number wrong mean the one they have. */
static const struct state *on_delete_stream(struct rtmp_session *s, const struct rtmp_command *c)
{
        bool another = c->number >= 1 && c->number <= s->created && c->number != s->stream_id;
        return another ? s->state : on_stop(s, c);
}

static const struct state *on_play(struct rtmp_session *s, const struct rtmp_command *c)
{
        (void)c;
        return rtmp_session_refuse(s, RTMP_CLOSE_PLAY, "NetStream.Play.Failed",
                      "this port takes publishers only; viewers watch over HTTP");
}

/* What players ask, and some encoders before they publish. Live has no length. */
static const struct state *on_stream_length(struct rtmp_session *s, const struct rtmp_command *c)
{
        struct reply r;
        if (c->transaction == 0)
                return s->state;
        rtmp_reply_number(reply_begin(&r), c->transaction, 0);
        reply_send(s, &r, CSID_COMMAND, 0);
        return s->state;
}

/* An answer is not answered. */
static const struct state *on_answer(struct rtmp_session *s, const struct rtmp_command *c)
{
        (void)c;
        return s->state;
}

static const struct state *on_unknown(struct rtmp_session *s, const struct rtmp_command *c)
{
        struct reply r;
        if (c->transaction == 0)
                return s->state;
        rtmp_reply_error(reply_begin(&r), c->transaction, "NetConnection.Call.Failed", "no such command");
        reply_send(s, &r, CSID_COMMAND, 0);
        return s->state;
}

static const struct {
        const char *name;
        const struct state *(*handler)(struct rtmp_session *s, const struct rtmp_command *c);
} commands[] = {
        {"connect", on_connect},
        {"releaseStream", on_courtesy},
        {"FCPublish", on_fcpublish},
        {"createStream", on_create_stream},
        {"publish", on_publish},
        {"FCUnpublish", on_stop},
        {"closeStream", on_stop},
        {"deleteStream", on_delete_stream},
        {"_checkbw", on_courtesy},
        {"checkBandwidth", on_courtesy},
        {"play", on_play},
        {"play2", on_play},
        {"getStreamLength", on_stream_length},
        {"_result", on_answer},
        {"_error", on_answer},
};

static const struct state *on_command(struct rtmp_session *s, const uint8_t *data, size_t len, uint32_t stream_id)
{
        struct rtmp_command c;
        int err = rtmp_command_decode(&c, data, len);
        if (err)
                return rtmp_session_fail_amf(s, err);
        s->ignored += c.damaged;
        if (s->state == &state_connect && strcmp(c.name, "connect") != 0)
                return rtmp_session_fail(s, RTMP_CLOSE_COMMAND);
        if (s->state == &state_ready)
                s->stream_id = stream_id; /* where a status of what comes next belongs */
        for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
                if (strcmp(commands[i].name, c.name) == 0)
                        return commands[i].handler(s, &c);
        }
        return on_unknown(s, &c);
}

/* Messages ------------------------------------------------------------------------------------------------------- */

static void on_user_control(struct rtmp_session *s, const struct rtmp_message *m)
{
        if (m->len < 6 || m->data[0] != 0 || m->data[1] != EVENT_PING)
                return;
        uint8_t pong[6] = {0, EVENT_PONG};
        memcpy(pong + 2, m->data + 2, 4);
        send_message(s, CSID_CONTROL, RTMP_USER_CONTROL, 0, pong, sizeof(pong));
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

static const struct state *on_message(struct rtmp_session *s, struct rtmp_message *m)
{
        struct reader body = amf0_body(m);
        switch (m->type) {
        case RTMP_AUDIO:
        case RTMP_VIDEO:
                return rtmp_media_tag(s, m);
        case RTMP_COMMAND_AMF0:
        case RTMP_COMMAND_AMF3:
                return on_command(s, body.p, reader_left(&body), m->stream_id);
        case RTMP_DATA_AMF0:
        case RTMP_DATA_AMF3:
                return rtmp_media_data(s, body.p, reader_left(&body));
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

static const struct state *step_messages(struct rtmp_session *s)
{
        while (s->turn > 0) {
                struct rtmp_message m;
                enum rtmp_chunk_result result = rtmp_chunk_read(&s->chunks, &s->in, s->in_end, &m);
                if (result == RTMP_CHUNK_BAD)
                        return rtmp_session_fail(s, s->chunks.bad);
                if (result == RTMP_CHUNK_MORE)
                        return s->state;
                s->turn--;
                const struct state *next = on_message(s, &m);
                free(m.data);
                if (next != s->state || s->closing)
                        return next;
        }
        return s->state; /* now it is the others' turn */
}

/* Leaves what comes for later. on_allowed() and on_denied() lead on. */
static const struct state *step_deciding(struct rtmp_session *s)
{
        return s->state;
}

static const struct state *step_hello(struct rtmp_session *s)
{
        if (s->in == s->in_end)
                return s->state;
        if (s->hello_len == 0 && !rtmp_handshake_version_ok(*s->in))
                return rtmp_session_fail(s, RTMP_CLOSE_HANDSHAKE);
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
        return &state_confirm;
}

static const struct state *step_confirm(struct rtmp_session *s)
{
        size_t n = RTMP_HANDSHAKE_PART - s->hello_len;
        if (n > (size_t)(s->in_end - s->in))
                n = (size_t)(s->in_end - s->in);
        s->in += n;
        s->hello_len += (unsigned)n;
        return s->hello_len < RTMP_HANDSHAKE_PART ? s->state : &state_connect;
}

static const struct state *step_closed(struct rtmp_session *s)
{
        s->in = s->in_end;
        return s->state;
}

static const struct state state_hello = {"hello", step_hello};         /* C0 and C1 gather */
static const struct state state_confirm = {"confirm", step_confirm};   /* C2 is skipped */
static const struct state state_connect = {"connect", step_messages};  /* only `connect` may come */
static const struct state state_ready = {"ready", step_messages};      /* connected, publishing nothing */
static const struct state state_deciding = {"deciding", step_deciding}; /* may it publish? the webhook is asked */
static const struct state state_begin = {"begin", step_begin};         /* it may */
static const struct state state_live = {"live", step_messages};        /* there is a publication */
static const struct state state_closed = {"closed", step_closed};

/* Outside -------------------------------------------------------------------------------------------------------- */

struct rtmp_session *rtmp_session_new(const struct rtmp_session_setup *setup)
{
        struct rtmp_session *s = mem_alloc(sizeof(*s));
        s->state = &state_hello;
        s->setup = *setup;
        s->setup.address = s->address;
        snprintf(s->address, sizeof(s->address), "%s", setup->address);
        s->now_us = s->since_us = setup->now_us;
        s->window_bytes = RTMP_WINDOW_BYTES;
        s->out_chunk_size = RTMP_CHUNK_SIZE_DEFAULT;
        rtmp_chunk_init(&s->chunks, &(struct rtmp_chunk_limits){.streams = setup->limits->chunk_streams});
        limit_messages(s, MESSAGE_BEFORE_PUBLISH);
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
                rtmp_session_fail(s, RTMP_CLOSE_EARLY);
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
        if (s->state == &state_ready || s->state == &state_live)
                acknowledge(s);
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
        if (s->closing || s->early.len == 0 || s->state == &state_deciding)
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
                acknowledge(s);
                flush(s);
        }
        bool live = s->state == &state_live;
        int64_t limit_us = live ? s->setup.limits->media_us : s->setup.limits->publish_us;
        if (now_us - s->since_us < limit_us)
                return;
        /* It sent media enough, and nothing that says how to decode it. */
        if (live && s->bad_configs && !s->flv.configured[TRACK_VIDEO] && !s->flv.configured[TRACK_AUDIO]) {
                rtmp_session_refuse(s, RTMP_CLOSE_BAD_MEDIA, "NetStream.Publish.Rejected", s->flv.what);
                run(s);
                return;
        }
        rtmp_session_close(s, live ? RTMP_CLOSE_MEDIA_TIMEOUT : RTMP_CLOSE_PUBLISH_TIMEOUT);
}

void rtmp_session_close(struct rtmp_session *s, enum rtmp_close reason)
{
        if (s->closing)
                return;
        rtmp_session_fail(s, s->stopped && (reason == RTMP_CLOSE_PEER || reason == RTMP_CLOSE_IO) ? RTMP_CLOSE_STOPPED : reason);
        run(s);
}

bool rtmp_session_ask_reconnect(struct rtmp_session *s)
{
        if (s->closing || !s->reconnects)
                return false;
        s->asked = true;
        struct reply r;
        rtmp_reply_status(reply_begin(&r), "onStatus", "status", "NetConnection.Connect.ReconnectRequest",
                          "Please connect again.");
        reply_send(s, &r, CSID_COMMAND, 0);
        if (!s->running)
                flush(s);
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
        end_publication(s, rtmp_close_fate(s->closing));
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

const char *rtmp_session_stream(const struct rtmp_session *s)
{
        return s->stream[0] ? s->stream : "-";
}

uint64_t rtmp_session_ignored(const struct rtmp_session *s)
{
        return s->ignored;
}

size_t rtmp_session_kept_bytes(const struct rtmp_session *s)
{
        return s->chunks.held_bytes + s->early.len + (s->hello ? RTMP_HANDSHAKE_HELLO : 0);
}
