/* rtmp_session.h - one broadcaster's RTMP connection as a state machine: bytes and time in, bytes and frames out.
 *
 *   hello → confirm → connect → ready → begin → live → ready …      the table of states is in rtmp_session.c
 *                               ready → deciding → begin            while the webhook is asked
 *
 *   rtmp_session_new()    →  hello
 *   rtmp_session_feed()   bytes from the peer; rtmp_session_tick() at least once a second
 *   ops->close()          called once, when the session wants its connection closed: from inside feed, tick, close or an
 *                         event of the publication. From then on feed and tick do nothing.
 *   rtmp_session_end()    ends the publication. Not from inside ops->close(), which may stand on the publication's stack
 *   rtmp_session_free()   after end, once
 *
 * While it is being decided whether the broadcaster may publish, what it sends is kept and not looked at: at most
 * RTMP_EARLY_MAX bytes, and ops->pause() asks for its socket not to be read meanwhile. Nor is that of a publisher that is held back
 * (hold.h), which has no deadline for as long.
 *
 * One turn of the loop has so many messages of a connection looked at, or thousands of tiny ones, 64 kB of them, would keep all others
 * waiting. What is left is kept likewise, and ops->behind() asks for rtmp_session_go_on() in the next turn.
 *
 * No sockets and no clock of its own, so that it is tested and fuzzed in memory. Loop thread only. */
#ifndef INGESTD_RTMP_SESSION_H
#define INGESTD_RTMP_SESSION_H

#include <stdbool.h>

#include "ingestd/admission.h"
#include "ingestd/handshakes.h"
#include "ingestd/publication.h"
#include "ingestd/rtmp_close_reason.h"

#define RTMP_EARLY_MAX (256u << 10)
#define RTMP_TURN_MESSAGES 64 /* who broadcasts sends about as many a second */
#define RTMP_AGGREGATE_PARTS 512
#define RTMP_STREAMS_AT_ONCE 4            /* begun on one connection, one after the other; encoders begin one, a few again after a pause */
#define RTMP_STREAM_EVERY_US INT64_C(5000000) /* one more after so long */
#define RTMP_TURN_COMMANDS 8  /* before; encoders send seven until they publish */

/* What a connection may cost, and all of them together: those of the ports (rtmp_server.h) are here as well. */
struct rtmp_limits {
        unsigned connections;   /* at once, publishing or not */
        unsigned newcomers;     /* of one address that do not publish yet */
        struct handshake_limits handshakes;
        unsigned chunk_streams; /* a connection */
        uint32_t message_bytes;
        uint32_t partial_bytes; /* of unfinished messages, a connection that publishes */
        size_t strangers_bytes; /* kept for all connections that do not publish: budget.h */
        size_t live_bytes;      /* likewise for those that do; set by the caller to what so many publishers need */
        int64_t hello_us;       /* from accept to the end of PROXY header and TLS handshake */
        int64_t publish_us;     /* from accept, or from the end of a stream, to publish */
        int64_t media_us;       /* a publisher silent for this long is lost */
};

/* clang-format off */
#define RTMP_LIMITS_DEFAULT                                                                                            \
        {.connections = 4096, .newcomers = 256, .handshakes = HANDSHAKE_LIMITS_DEFAULT, .chunk_streams = 64,           \
         .message_bytes = 8u << 20, .partial_bytes = 9u << 20, .strangers_bytes = 32u << 20, .live_bytes = 256u << 20, \
         .hello_us = 5000000, .publish_us = 10000000, .media_us = 20000000}
/* clang-format on */

struct rtmp_session;

/* What a session needs of the world: its connection, and the functions of admission.h and publication.h. */
struct rtmp_session_ops {
        void (*write)(void *arg, const void *data, size_t len_bytes); /* data is only lent */
        /* What was written should still reach the peer when linger is set. */
        void (*close)(void *arg, enum rtmp_close_reason reason, bool linger);
        void (*pause)(void *arg, bool paused); /* true and false in turn */
        void (*behind)(void *arg); /* rtmp_session_go_on() in the next turn, unless it closes before; once until then */
        bool (*unread)(void *arg); /* the peer does not take what was written before */
        enum admission_verdict (*admit)(struct admission_case **out, struct admission *a, const struct publish_request *request,
                                        const struct admission_events *events, void *arg, char *text, size_t text_cap);
        void (*dismiss)(struct admission_case **c);
        int (*begin)(struct publication **out, struct publications *in, const struct publish_request *request,
                     const struct publication_events *events, void *arg, char *text, size_t text_cap);
        void (*frame)(struct publication *p, const struct flv_frame *f);
        void (*metadata)(struct publication *p, const struct flv_metadata *m);
        void (*cue)(struct publication *p, const uint8_t *message, size_t len_bytes, uint32_t timestamp_ms);
        void (*look)(struct publication *p);
        void (*end)(struct publication *p, enum close_reason why);
};

struct rtmp_session_setup {
        const struct rtmp_session_ops *ops;
        void *arg; /* of write, close, pause, behind and unread */
        struct publications *publications;
        struct admission *admission;
        const struct rtmp_limits *limits; /* must outlive the session */
        uint64_t id;                      /* in log lines: conn=… */
        const char *address;              /* copied */
        bool secure;                      /* RTMPS */
        int64_t now_us;                   /* monotonic, as everywhere here */
};

struct rtmp_session *rtmp_session_new(const struct rtmp_session_setup *setup);
void rtmp_session_turn(struct rtmp_session *s); /* a turn of the loop begins, before it is fed or goes on */
void rtmp_session_feed(struct rtmp_session *s, const uint8_t *data, size_t len_bytes, int64_t now_us);
void rtmp_session_go_on(struct rtmp_session *s, int64_t now_us);
void rtmp_session_tick(struct rtmp_session *s, int64_t now_us);

/* The connection is gone or must go; nothing more is said to the peer. When it hung up after it had ended its stream, the
 * reason becomes RTMP_CLOSE_STOPPED. */
void rtmp_session_close(struct rtmp_session *s, enum rtmp_close_reason reason);
/* False: it does not understand that. Ending its stream is then no end of the broadcast. */
bool rtmp_session_ask_reconnect(struct rtmp_session *s);
/* The broadcaster's own, which a load balancer told; before the first byte is fed. */
void rtmp_session_set_address(struct rtmp_session *s, const char *address);

void rtmp_session_end(struct rtmp_session *s); /* idempotent */
void rtmp_session_free(struct rtmp_session **s);

bool rtmp_session_live(const struct rtmp_session *s); /* a publication is running */
const char *rtmp_session_address(const struct rtmp_session *s);
const char *rtmp_session_stream(const struct rtmp_session *s); /* "-" before publish */
uint64_t rtmp_session_ignored(const struct rtmp_session *s);   /* messages that carried nothing of use */
size_t rtmp_session_kept_bytes(const struct rtmp_session *s);  /* of what the peer sent: unfinished, or not looked at yet */

#endif
