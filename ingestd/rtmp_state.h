/* rtmp_state.h - the state of a session (rtmp_session.h), included only by the files that make it up. Each of them calls those below it:
 *   rtmp_session.c                  what happens to it: bytes, time, what admission and publication tell
 *   rtmp_commands.c, rtmp_media.c   what the encoder asks for, and its stream; what it sends, made frames
 *   rtmp_say.c                      what it is told */
#ifndef INGESTD_RTMP_STATE_H
#define INGESTD_RTMP_STATE_H

#include "common/err.h"
#include "common/magic.h"
#include "ingestd/flv.h"
#include "ingestd/rtmp_chunk.h"
#include "ingestd/rtmp_session_setup.h"

enum session_state {
        SESSION_HELLO,    /* C0 and C1 gather */
        SESSION_CONFIRM,  /* C2 is skipped */
        SESSION_CONNECT,  /* only `connect` may come */
        SESSION_READY,    /* connected, publishing nothing */
        SESSION_DECIDING, /* may it publish? the webhook is asked */
        SESSION_BEGIN,    /* it may */
        SESSION_LIVE,     /* there is a publication */
        SESSION_CLOSED,
        SESSION_STATES
};

#define MESSAGE_BEFORE_PUBLISH (64u << 10) /* commands only: nothing longer makes sense; unfinished ones together, too */

#define SESSION_MAGIC 0x53455353

struct rtmp_session {
        uint32_t magic;
        enum session_state state;
        struct rtmp_session_setup setup;
        const struct admission_events *admission_events; /* how those two tell it something */
        const struct publication_events *publication_events;
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
        char stream[STREAM_ID_MAX + 1]; /* "-" before publish */
        int64_t since_us; /* waiting for publish, or for media */
        bool held;        /* not read from, since it sends too fast */
        bool was_held;    /* this stream */
        bool let_go;      /* since now_us: when, is not known */
        bool published;   /* it was let in, so it is no stranger */
        bool stopped;     /* the broadcaster ended a stream, and did not begin another */

        bool running, linger, told; /* told: ops->close was called */
        enum rtmp_close_reason closing;
};

/* Each message, and those together that are not at their end. */
static inline void rtmp_state_limit(struct rtmp_session *s, uint32_t most_bytes)
{
        const struct rtmp_limits *l = s->setup.limits;
        s->chunks.limits.message_bytes = l->message_bytes < most_bytes ? l->message_bytes : most_bytes;
        s->chunks.limits.partial_bytes = l->partial_bytes < most_bytes ? l->partial_bytes : most_bytes;
}

/* Both return the state that follows. */
static inline enum session_state rtmp_state_fail(struct rtmp_session *s, enum rtmp_close_reason reason)
{
        if (!s->closing)
                s->closing = reason;
        return SESSION_CLOSED;
}

static inline enum session_state rtmp_state_fail_amf(struct rtmp_session *s, int err)
{
        return rtmp_state_fail(s, err == ERR_LIMIT ? RTMP_CLOSE_AMF_DEPTH : RTMP_CLOSE_AMF);
}

#endif
