/* rtmp_session_setup.h - what a session (rtmp_session.h) is made of: its connection, who lets it in and takes its frames, and what
 * it may cost. */
#ifndef INGESTD_RTMP_SESSION_SETUP_H
#define INGESTD_RTMP_SESSION_SETUP_H

#include <stdbool.h>

#include "ingestd/admission.h"
#include "ingestd/handshakes.h"
#include "ingestd/publication.h"
#include "ingestd/rtmp_close_reason.h"

#define RTMP_EARLY_MAX (256u << 10)
#define RTMP_TURN_MESSAGES 64 /* who broadcasts sends about as many a second */
#define RTMP_AGGREGATE_PARTS 512
#define RTMP_STREAMS_AT_ONCE 4 /* begun on one connection, one after the other; encoders begin one, a few again after a pause */
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

#endif
