/* publication.h - one broadcaster's stream inside the proxy, between the RTMP connection and the transcoder.
 *
 *   PENDING   publication_begin()   let in;        an older publication of the same stream and place (primary or
 *                                   backup) is taken over: its connection is told to close (CLOSE_TAKEN_OVER)
 *   LIVE      publication_frame()   FLV tags go in; the first keyframe (or, without video, audio) opens the transcoder
 *   ENDED     publication_end()     by the connection, once; the publication must not be used afterwards
 *
 * It is in the daemon's list until its relays have said CLOSE, which is a little after publication_end(). Of those with one name at
 * most one is live as primary and one as backup; the next one in its place opens when the one before is gone, so that a transcoder
 * sees CLOSE before OPEN.
 *
 * Loop thread only. */
#ifndef INGESTD_PUBLICATION_H
#define INGESTD_PUBLICATION_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ingestd/budget.h"
#include "ingestd/flv.h"
#include "ingestd/publish_request.h"
#include "ingestd/relay_pair.h"
#include "proto/media.h"

struct publication;

/* What publications of a daemon may do and keep. Read at each use, so that a reload takes effect. */
struct publication_limits {
        int64_t max_publishers;
        int64_t replay_bytes;   /* a publication */
        int64_t replay_total_bytes; /* all of them */
        int64_t track_wait_ms;  /* for the second track, once there is one */
        json_t *redundancy;     /* redundancy_config.h; NULL: none */
};

#define PUBLICATIONS_MAGIC 0x5055424c

/* What the publications of a daemon share. */
struct publications {
        uint32_t magic;
        const struct publication_limits *limits;
        struct relays relays;
        struct publication *first; /* all of them, newest first */
        unsigned count;            /* of them */
        unsigned live;
        struct budget replays; /* what their replay buffers keep; of replay_total_bytes */
        void (*emptied)(void *arg); /* the last one is gone; may be NULL */
        void *arg;
        int64_t (*wall_us)(void); /* clock_wall_us(), or a test's */
        int64_t (*mono_us)(void);
};

/* What the publication tells its connection. Called on the loop thread, never from inside publication_begin(). */
struct publication_events {
        /* Tell the encoder (onStatus level=error, code e.g. "NetStream.Publish.Rejected", text) and close for reason, an
         * enum rtmp_close_reason of ingestd/rtmp_close_reason.h. publication_end() must follow. */
        void (*refuse)(void *arg, int reason, const char *code, const char *text);
        /* It sends faster than it can be taken, and faster than real time (hold.h): read no more until held is false again. Not
         * after publication_end(), nor after refuse(). */
        void (*hold)(void *arg, bool held);
};

/* Who may publish was decided before (admission.h). 0; ERR_FULL (too many publishers): *out is then NULL and text says why. */
int publication_begin(struct publication **out, struct publications *in, const struct publish_request *request,
                      const struct publication_events *events, void *arg, char *text, size_t text_cap);

void publication_frame(struct publication *p, const struct flv_frame *f); /* f->bytes is borrowed for the call */
void publication_metadata(struct publication *p, const struct flv_metadata *m);

/* What was said at a moment: it goes with the next picture. Without pictures it goes nowhere, counted. */
void publication_cue(struct publication *p, const uint8_t *message, size_t len_bytes, uint32_t timestamp_ms); /* amf_cue_is() it */

/* How it is doing, for people. Strings as they were said by a stranger: any bytes. */
struct publication_view {
        char stream[STREAM_ID_MAX + 1], address[64], encoder[64], title[128];
        const char *state; /* relay_pair_view's; silent: live, but no frame came for PUBLICATION_SILENT_US; held: hold.h;
                              leaving: ended or let go, and what is left of it is being sent */
        bool backup, started; /* started: the session's time runs */
        int64_t since_wall_us;
        uint64_t bytes, frames; /* of both tracks */
        double fps, kbps;       /* pictures; both tracks; of the last second */
        int64_t media_us;        /* of the newest frame */
        int64_t session_wall_us; /* media time now, by the session's clock: what the newest frame is late of this is its lag */
        int64_t behind_us;       /* what is not stored of what came; nothing while that is not known: relays.stored_us < 0 */
        size_t kept_bytes;       /* in the replay buffer */
        struct relay_pair_view relays;
};
#define PUBLICATION_SILENT_US INT64_C(1000000)
void publication_tell(const struct publication *p, struct publication_view *v);

/* Lets the broadcaster go, who is told why; the session ends. False: it is leaving already. */
bool publication_kick(struct publication *p, const char *why);
bool publication_is(const struct publication *p, const char *stream);

/* Time has passed: for one that is held, and so brings nothing itself; once a second is enough. */
void publication_look(struct publication *p);

struct publication *publication_next(const struct publication *p); /* in the list; NULL: the last */
void publication_poke(struct publication *p);                      /* other transcoders may be there */
void publication_lose(struct publication *p, const struct rpc_client *gone);

void publication_end(struct publication *p, enum close_reason why);

#endif
