/* publication.h - one broadcaster's stream inside the proxy, between the RTMP connection and the transcoder.
 *
 *   PENDING   publication_begin()   let in;        an older publication of the same stream and place (primary or
 *                                   backup) is taken over: its connection is told to close (CLOSE_TAKEN_OVER)
 *   LIVE      publication_frame()   FLV tags go in; the first keyframe (or, without video, audio) opens the transcoder
 *   ENDED     publication_end()     by the connection, once; the publication must not be used afterwards
 *
 * Loop thread only. */
#ifndef INGESTD_PUBLICATION_H
#define INGESTD_PUBLICATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "ingestd/relay_pair.h"
#include "proto/media.h"

struct publication;
struct ingest; /* the daemon's state: router, publications by stream id; ingest.h */

/* What the publication tells its connection. Called on the loop thread, never from inside publication_begin(). */
struct publication_events {
        /* Tell the encoder (onStatus level=error, code e.g. "NetStream.Publish.Rejected", text) and close for reason, an
         * enum rtmp_close of ingestd/rtmp_close.h. publication_end() must follow. */
        void (*refuse)(void *arg, int reason, const char *code, const char *text);
        /* It sends faster than it can be taken, and faster than real time (hold.h): read no more until held is false again. Not
         * after publication_end(), nor after refuse(). */
        void (*hold)(void *arg, bool held);
};

#define PUBLISH_KEY_MAX 2048 /* a token */

struct publish_request {
        char stream[STREAM_ID_MAX + 1]; /* valid by stream_id_valid() */
        uint8_t role;                   /* OPEN_PRIMARY, OPEN_BACKUP or OPEN_NOW */
        char address[64];               /* of the publisher */
        char encoder[64];               /* flashVer */
        /* For admission.h only. */
        bool secure;                    /* came by RTMPS */
        char app[128], query[512];      /* where it was sent, and what was given besides */
        char key[PUBLISH_KEY_MAX + 1];  /* credential from ?key= or ?token=, may be empty; never logged */
};

/* Who may publish was decided before (admission.h). 0; ERR_FULL (too many publishers): *out is then NULL and text says why. */
int publication_begin(struct publication **out, struct ingest *in, const struct publish_request *request,
                      const struct publication_events *events, void *arg, char *text, size_t text_cap);

/* One demuxed FLV tag: made by flv.c. dts_ms is the RTMP timestamp, 32 bits, wrapping. */
struct flv_frame {
        uint8_t track, codec, flags; /* as in struct frame; FRAME_KEY and FRAME_CONFIG only */
        uint32_t dts_ms;
        int32_t cts_ms;
        uint8_t length_size; /* H.264: of the lengths in its access unit */
        struct buf *bytes; /* borrowed for the call; publication refs it if it keeps it */
};
void publication_frame(struct publication *p, const struct flv_frame *f);

/* What onMetaData said; may come late, twice or never. Negative: not said. */
struct flv_metadata {
        int has_video, has_audio; /* 1, 0 or -1 */
        char encoder[64], title[128];
};
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

void publication_end(struct publication *p, enum close_reason why);

#endif
