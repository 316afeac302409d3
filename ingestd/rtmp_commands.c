#include "ingestd/rtmp_commands.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/daemon/log.h"
#include "common/mem.h"
#include "ingestd/rtmp_name.h"
#include "ingestd/rtmp_say.h"

#define OUT_CHUNK_SIZE 4096

static enum session_state on_connect(struct rtmp_session *s, const struct rtmp_command *c)
{
        static const uint8_t bandwidth[] = {(uint8_t)(RTMP_WINDOW_BYTES >> 24), (uint8_t)(RTMP_WINDOW_BYTES >> 16),
                                            (uint8_t)(RTMP_WINDOW_BYTES >> 8), (uint8_t)RTMP_WINDOW_BYTES,
                                            2 /* dynamic */};
        if (c->cut)
                return rtmp_say_refusal(s, RTMP_CLOSE_BAD_NAME, "NetConnection.Connect.Rejected", "the address is too long");
        s->app = mem_strdup(c->app);
        s->tc_url = mem_strdup(c->tc_url);
        memcpy(s->flash_ver, c->flash_ver, sizeof(s->flash_ver));
        s->reconnects = c->caps_ex & RTMP_CAPS_RECONNECT;

        rtmp_say_u32(s, RTMP_WINDOW_ACK_SIZE, RTMP_WINDOW_BYTES);
        rtmp_say_message(s, CSID_CONTROL, RTMP_SET_PEER_BANDWIDTH, 0, bandwidth, sizeof(bandwidth));
        rtmp_say_u32(s, RTMP_SET_CHUNK_SIZE, OUT_CHUNK_SIZE);
        s->out_chunk_size = OUT_CHUNK_SIZE;
        struct rtmp_reply r;
        rtmp_reply_connected(rtmp_say_begin(&r), c);
        rtmp_say_reply(s, &r, CSID_COMMAND, 0);
        return SESSION_READY;
}

/* releaseStream, _checkbw and their like: some hardware encoders wait for the answer. */
static enum session_state on_courtesy(struct rtmp_session *s, const struct rtmp_command *c)
{
        rtmp_say_result(s, c->transaction);
        return s->state;
}

static enum session_state on_fcpublish(struct rtmp_session *s, const struct rtmp_command *c)
{
        struct rtmp_reply r;
        rtmp_say_result(s, c->transaction);
        rtmp_reply_status(rtmp_say_begin(&r), "onFCPublish", "status", "NetStream.Publish.Start", "Go on.");
        rtmp_say_reply(s, &r, CSID_COMMAND, 0);
        return s->state;
}

static enum session_state on_create_stream(struct rtmp_session *s, const struct rtmp_command *c)
{
        struct rtmp_reply r;
        rtmp_reply_number(rtmp_say_begin(&r), c->transaction, ++s->created);
        rtmp_say_reply(s, &r, CSID_COMMAND, 0);
        return s->state;
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

enum session_state rtmp_commands_begin(struct rtmp_session *s)
{
        char text[256] = "", quoted[128];
        int err = s->setup.ops->begin(&s->publication, s->setup.publications, s->request, s->publication_events, s, text, sizeof(text));
        if (err)
                return rtmp_say_refusal(s, RTMP_CLOSE_PUBLISHERS, "NetStream.Publish.Rejected", text);
        s->published = true;
        log_info_of(s->address, "conn=%" PRIu64 " stream=%s address=%s role=%s secure=%d msg=\"publishing\" encoder=%s", s->setup.id,
                    s->stream, s->address, role_names[s->request->role], s->setup.secure,
                    log_quote(quoted, sizeof(quoted), s->flash_ver));
        rtmp_state_limit(s, UINT32_MAX);
        s->flv = (struct flv){0};
        s->bad_configs = 0;
        s->since_us = s->now_us;
        s->was_held = s->stopped = false;
        rtmp_say_status(s, "status", "NetStream.Publish.Start", s->stream);
        return SESSION_LIVE;
}

void rtmp_commands_end(struct rtmp_session *s, enum close_reason why)
{
        struct publication *p = s->publication;
        s->publication = NULL;
        if (p)
                s->setup.ops->end(p, why);
        s->held = false; /* what comes next on the connection is not this stream's */
        drop_request(s);
}

static enum session_state on_stop(struct rtmp_session *s, const struct rtmp_command *c)
{
        rtmp_say_result(s, c->transaction);
        rtmp_commands_end(s, s->asked ? CLOSE_LOST : CLOSE_STOPPED); /* who was asked to leave comes back */
        s->stopped = true;
        s->since_us = s->now_us;
        rtmp_state_limit(s, MESSAGE_BEFORE_PUBLISH); /* until it publishes again */
        return SESSION_READY;
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

/* Whether it may is decided before anything of the stream is looked at. */
static enum session_state on_publish(struct rtmp_session *s, const struct rtmp_command *c)
{
        struct rtmp_name name;
        char text[256] = "";
        if (c->cut)
                return rtmp_say_refusal(s, RTMP_CLOSE_BAD_NAME, "NetStream.Publish.BadName", "the stream name is too long");
        if (c->damaged)
                return rtmp_say_refusal(s, RTMP_CLOSE_BAD_NAME, "NetStream.Publish.BadName", "the stream name cannot be read");
        if (rtmp_name_parse(&name, s->app, s->tc_url, c->argument, text, sizeof(text)))
                return rtmp_say_refusal(s, RTMP_CLOSE_BAD_NAME, "NetStream.Publish.BadName", text);
        memcpy(s->stream, name.stream, sizeof(s->stream));
        if (begins_too_often(s))
                return rtmp_say_refusal(s, RTMP_CLOSE_STREAMS, "NetStream.Publish.Rejected",
                                "too many streams were begun on this connection; open another one");
        take_request(s, &name);
        switch (s->setup.ops->admit(&s->admission, s->setup.admission, s->request, s->admission_events, s, text, sizeof(text))) {
        case ADMISSION_ALLOWED:
                return SESSION_BEGIN;
        case ADMISSION_PENDING:
                return SESSION_DECIDING;
        case ADMISSION_REFUSED:
                break;
        }
        return rtmp_say_refusal(s, RTMP_CLOSE_DENIED, "NetStream.Publish.Denied", text);
}

/* Without a name, publish ends the stream: what encoders in ActionScript mean by publish(false). */
static enum session_state on_publish_again(struct rtmp_session *s, const struct rtmp_command *c)
{
        if (!c->damaged && c->argument[0] == '\0')
                return on_stop(s, c);
        return rtmp_say_refusal(s, RTMP_CLOSE_COMMAND, "NetStream.Publish.BadName", "this connection is publishing already");
}

/* deleteStream names a message stream; encoders that got the number wrong mean the one they have. */
static bool means_another(const struct rtmp_session *s, const struct rtmp_command *c)
{
        return c->number >= 1 && c->number <= s->created && c->number != s->stream_id;
}

static enum session_state on_delete_idle(struct rtmp_session *s, const struct rtmp_command *c)
{
        return means_another(s, c) ? s->state : on_courtesy(s, c);
}

static enum session_state on_delete_live(struct rtmp_session *s, const struct rtmp_command *c)
{
        return means_another(s, c) ? s->state : on_stop(s, c);
}

static enum session_state on_play(struct rtmp_session *s, const struct rtmp_command *c)
{
        (void)c;
        return rtmp_say_refusal(s, RTMP_CLOSE_PLAY, "NetStream.Play.Failed",
                                "this port takes publishers only; viewers watch over HTTP");
}

/* What players ask, and some encoders before they publish. Live has no length. */
static enum session_state on_stream_length(struct rtmp_session *s, const struct rtmp_command *c)
{
        struct rtmp_reply r;
        if (c->transaction == 0)
                return s->state;
        rtmp_reply_number(rtmp_say_begin(&r), c->transaction, 0);
        rtmp_say_reply(s, &r, CSID_COMMAND, 0);
        return s->state;
}

/* An answer is not answered. */
static enum session_state on_answer(struct rtmp_session *s, const struct rtmp_command *c)
{
        (void)c;
        return s->state;
}

static enum session_state on_unknown(struct rtmp_session *s, const struct rtmp_command *c)
{
        struct rtmp_reply r;
        if (c->transaction == 0)
                return s->state;
        rtmp_reply_error(rtmp_say_begin(&r), c->transaction, "NetConnection.Call.Failed", "no such command");
        rtmp_say_reply(s, &r, CSID_COMMAND, 0);
        return s->state;
}

#define READY (1u << SESSION_READY)
#define LIVE (1u << SESSION_LIVE)

/* What may come in which states. A command that is known, but not in its state, is out of order and ends the connection; so is any before
 * connect. What an encoder ends that it did not begin is answered as if it had. */
static const struct {
        const char *name;
        unsigned in;
        enum session_state (*handler)(struct rtmp_session *s, const struct rtmp_command *c);
} commands[] = {
        {"connect", 1u << SESSION_CONNECT, on_connect},
        {"releaseStream", READY | LIVE, on_courtesy},
        {"FCPublish", READY | LIVE, on_fcpublish},
        {"createStream", READY | LIVE, on_create_stream},
        {"publish", READY, on_publish},
        {"publish", LIVE, on_publish_again},
        {"FCUnpublish", READY, on_courtesy},
        {"FCUnpublish", LIVE, on_stop},
        {"closeStream", READY, on_courtesy},
        {"closeStream", LIVE, on_stop},
        {"deleteStream", READY, on_delete_idle},
        {"deleteStream", LIVE, on_delete_live},
        {"_checkbw", READY | LIVE, on_courtesy},
        {"checkBandwidth", READY | LIVE, on_courtesy},
        {"play", READY | LIVE, on_play},
        {"play2", READY | LIVE, on_play},
        {"getStreamLength", READY | LIVE, on_stream_length},
        {"_result", READY | LIVE, on_answer},
        {"_error", READY | LIVE, on_answer},
};

enum session_state rtmp_commands_take(struct rtmp_session *s, const uint8_t *data, size_t len, uint32_t stream_id)
{
        struct rtmp_command c;
        bool known = false;
        int err = rtmp_command_decode(&c, data, len);
        if (err)
                return rtmp_state_fail_amf(s, err);
        s->ignored += c.damaged;
        if (s->state == SESSION_READY)
                s->stream_id = stream_id; /* where a status of what comes next belongs */
        for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
                if (strcmp(commands[i].name, c.name) != 0)
                        continue;
                known = true;
                if (commands[i].in & 1u << s->state)
                        return commands[i].handler(s, &c);
        }
        if (known || s->state == SESSION_CONNECT)
                return rtmp_state_fail(s, RTMP_CLOSE_COMMAND);
        return on_unknown(s, &c);
}
