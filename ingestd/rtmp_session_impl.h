/* rtmp_session_impl.h - the inside of a session, shared by rtmp_session.c, which has its states and what comes in, rtmp_commands.c, which
 * has what the encoder asks for and its stream, rtmp_media.c, which turns media messages into frames, and rtmp_say.c, which answers.
 * Included by nothing else. */
#ifndef INGESTD_RTMP_SESSION_IMPL_H
#define INGESTD_RTMP_SESSION_IMPL_H

#include "common/magic.h"
#include "ingestd/flv.h"
#include "ingestd/rtmp_chunk.h"
#include "ingestd/rtmp_command.h"
#include "ingestd/rtmp_session.h"

struct state {
        const char *name;
        /* Returns the next state, or its own to wait for input. Never frees s. */
        const struct state *(*step)(struct rtmp_session *s);
};

#define MESSAGE_BEFORE_PUBLISH (64u << 10) /* commands only: nothing longer makes sense; unfinished ones together, too */
enum { CSID_CONTROL = 2, CSID_COMMAND = 3, CSID_STATUS = 5 };

#define SESSION_MAGIC 0x53455353

struct rtmp_session {
        uint32_t magic;
        const struct state *state;
        struct rtmp_session_setup setup;
        char address[64];

        const uint8_t *in, *in_end; /* what is left of the bytes being fed */
        int64_t now_us;
        uint8_t *hello;     /* C0 and C1 as they gather; then NULL */
        unsigned hello_len; /* of hello; then bytes of C2 skipped */
        struct rtmp_chunk_reader chunks;

        struct writer out; /* replies of the feed at hand */
        uint32_t out_chunk_size;
        uint32_t window_bytes, acked_bytes, in_bytes; /* modulo 2^32 */
        uint64_t total_bytes, ignored;

        char *app, *tc_url;
        char flash_ver[64];
        bool reconnects; /* when asked to */
        bool asked;
        uint32_t created;   /* message streams given out */
        uint32_t stream_id; /* message stream that publishes */
        struct publish_request *request;  /* from publish to the end of the stream */
        struct admission_case *admission; /* likewise */
        struct {
                uint8_t *data;
                size_t at, len; /* from `at` on it was not looked at */
        } early; /* what came while it was being decided, or while others had their turn */
        unsigned turn; /* messages that may still be looked at in this turn of the loop */
        bool paused, behind; /* as ops->pause() and ops->behind() were told last */
        struct publication *publication;
        struct flv flv;
        int64_t paid_us;      /* when the streams that were begun here are paid off */
        unsigned bad_configs; /* of this publication */
        char stream[STREAM_ID_MAX + 1];
        int64_t since_us; /* waiting for publish, or for media */
        bool held;        /* not read from, since it sends too fast */
        bool was_held;    /* this stream */
        bool let_go;      /* since now_us: when, is not known */
        bool published;   /* it was let in, so it is no stranger */
        bool stopped;     /* the broadcaster ended a stream, and did not begin another */

        bool running, linger, told; /* told: ops->close was called */
        enum rtmp_close_reason closing;
};

/* rtmp_session.c */
extern const struct state rtmp_hello, rtmp_confirm, rtmp_connect, rtmp_ready, rtmp_deciding, rtmp_begin, rtmp_live, rtmp_closed;
void rtmp_session_run(struct rtmp_session *s); /* after an event that did not come with bytes */
void rtmp_session_change(struct rtmp_session *s, const struct state *next);
void rtmp_session_hold(struct rtmp_session *s, bool held);
void rtmp_session_limit_messages(struct rtmp_session *s, uint32_t most_bytes);
void rtmp_session_decided(struct rtmp_session *s); /* after that: what was sent meanwhile is looked at */
/* These return the state that follows. */
const struct state *rtmp_session_fail(struct rtmp_session *s, enum rtmp_close_reason reason);
/* Tells the encoder why, and closes once that has been sent. */
const struct state *rtmp_session_refuse(struct rtmp_session *s, enum rtmp_close_reason reason, const char *code, const char *text);
const struct state *rtmp_session_fail_amf(struct rtmp_session *s, int err);

/* rtmp_commands.c. begin() and take() return the state that follows. */
const struct state *rtmp_commands_take(struct rtmp_session *s, const uint8_t *data, size_t len, uint32_t stream_id);
const struct state *rtmp_commands_begin(struct rtmp_session *s);
void rtmp_commands_end(struct rtmp_session *s, enum close_reason why); /* of its publication; idempotent */

/* rtmp_say.c: gathers in s->out, until it is flushed. */
/* A reply under construction; its payload is a command. */
struct rtmp_reply {
        uint8_t bytes[RTMP_REPLY_MAX];
        struct writer w;
};
void rtmp_say_message(struct rtmp_session *s, uint8_t csid, uint8_t type, uint32_t stream_id, const void *data, size_t len);
void rtmp_say_u32(struct rtmp_session *s, uint8_t type, uint32_t v);
struct writer *rtmp_say_begin(struct rtmp_reply *r);
void rtmp_say_reply(struct rtmp_session *s, struct rtmp_reply *r, uint8_t csid, uint32_t stream_id);
void rtmp_say_status(struct rtmp_session *s, const char *level, const char *code, const char *text);
void rtmp_say_result(struct rtmp_session *s, double transaction); /* 0: it wants none */
void rtmp_say_received(struct rtmp_session *s); /* how much, if that is due */
void rtmp_say_flush(struct rtmp_session *s);

/* rtmp_media.c: audio, video, data and aggregate messages. They return the state that follows; a tag takes m->block if it becomes
 * a frame. */
const struct state *rtmp_media_tag(struct rtmp_session *s, struct rtmp_message *m);
const struct state *rtmp_media_data(struct rtmp_session *s, const uint8_t *data, size_t len_bytes, uint32_t timestamp_ms);
const struct state *rtmp_media_aggregate(struct rtmp_session *s, const struct rtmp_message *m);

#endif
