/* media.h - ingestd to transcoderd: OPEN a stream, feed it MEDIA, CLOSE it.
 *
 * Times are media time: µs since the session's epoch (ingestd/timeline.c makes them; nobody else changes them). One batch of
 * MEDIA is in flight per session, to a transcoder that is far away several, in order (one that is not is ERR_ORDER); an empty
 * batch is sent every 500 ms when there is nothing to send, so silence means that the proxy is gone. The transcoder answers
 * MEDIA as soon as the frames are queued. One that is near is told most batches without an answer (MEDIA_TOLD): every 100 ms one is
 * answered, for all before it. */
#ifndef PROTO_MEDIA_H
#define PROTO_MEDIA_H

#include "common/buf.h"
#include "proto/message.h"

enum track_kind {
        TRACK_VIDEO = 0, TRACK_AUDIO = 1,
        TRACK_KINDS,                  /* that a broadcaster sends */
        TRACK_PICTURES = TRACK_KINDS  /* still ones, which the transcoder makes: no player of sound and pictures is told of that track */
};
static inline const char *track_kind_name(enum track_kind kind)
{
        return kind == TRACK_VIDEO ? "video" : kind == TRACK_AUDIO ? "audio" : "pictures";
}
enum codec { CODEC_NONE = 0, CODEC_H264 = 1, CODEC_AAC = 2 /* 3.. reserved: HEVC AV1 VP9 Opus */ };

#define FRAME_KEY 0x01    /* decoding may start here */
#define FRAME_CONFIG 0x02 /* bytes are the codec's configuration record (avcC, AudioSpecificConfig) from here on */
#define FRAME_BREAK 0x04  /* another encoder's or connection's than the frame before: decoding begins anew. Time that jumps is no break */

#define CONFIG_RECORD_MAX 4096
#define FRAME_MAX (8u << 20)
#define BATCH_FRAMES_MAX 256
#define BATCH_MAX (12u << 20)

struct frame {
        uint8_t track; /* enum track_kind */
        uint8_t codec; /* enum codec */
        uint8_t flags;
        int64_t dts_us; /* media time of decoding; presentation is dts + cts */
        int32_t cts_us;
        struct buf *bytes; /* one access unit: length-prefixed NAL units, or one raw AAC frame */
};

/* Two broadcasters may send one stream: one is active, the other stands by, and the transcoder decides which. One takes
 * the place of another in its own role; of the two roles the one that is active stays so, but for those that say NOW. */
enum open_role {
        OPEN_PRIMARY = 0,
        OPEN_BACKUP = 1,
        OPEN_NOW = 2,        /* a primary that becomes active: told to, or it was at another transcoder */
        OPEN_BACKUP_NOW = 3, /* a backup that was active at another transcoder */
        OPEN_ROLES
};

/* Conditions. A proxy that does not know who has the stream asks along the ring with OPEN_IF_HELD before it has a session
 * begin: the first of the ring may have been full when the stream began, and not be now. */
#define OPEN_IF_HELD 0x01 /* only a session that is here; answered at once. ERR_NOT_FOUND; ERR_NOT_YET: it will be here in
                             a moment, ask without condition */
#define OPEN_IF_FREE 0x02 /* not if another broadcaster has this place in the session: ERR_CONFLICT */
/* Encode the session that another transcoder has, beside it, as its shadow (store.h, PUT_SHADOW): epoch_us, generation,
 * session and node are that session's and are taken as they are. ERR_FENCED: there is a newer writer by now. */
#define OPEN_BESIDE 0x04

/* This broadcast was at another transcoder already, or here, and its proxy has kept what was not stored: it has viewers. */
#define OPEN_GOES_ON 0x08

struct open {
        char stream[STREAM_ID_MAX + 1];
        uint8_t role;          /* enum open_role */
        uint8_t when;          /* OPEN_IF_…, OPEN_BESIDE, OPEN_GOES_ON */
        uint8_t lockstep;      /* 1: transcoders encode the stream side by side, each so that another can go on from it */
        char session[SESSION_ID_MAX + 1]; /* OPEN_BESIDE only, "" otherwise */
        char node[NODE_ID_MAX + 1];       /* likewise: the transcoder that claimed the generation */
        uint32_t generation;   /* the newest this proxy knows of the stream's session; the new one is to be above it */
        int64_t epoch_us;      /* wall clock proposed as epoch if this begins a new session; whole ms */
        /* How far the transcoder's wall clock is ahead of the one by which the proxy tells the stream's time: by HELLO's round trips
         * (peer_clock.h), not by this message, which may have been long on its way. 0: by nothing that can be told. */
        int64_t ahead_us;
        char publisher[64];    /* address, for the log */
        char encoder[64];      /* "obs-output module …" from metadata or flashVer; may be empty */
        char title[128];       /* may be empty */
        uint8_t codecs[TRACK_KINDS]; /* enum codec; CODEC_NONE: no such track */
        struct {
                const uint8_t *data;
                uint16_t len; /* ≤ CONFIG_RECORD_MAX */
        } config[TRACK_KINDS];
};
void open_encode(struct writer *w, const void *message);
int open_decode(struct reader *r, struct open *m);

struct open_reply {
        int8_t status;      /* 0, ERR_FULL, ERR_DENIED, ERR_UNSUPPORTED, ERR_CLOSED (no origin), … ; with any but 0 only text is set */
        char text[128];     /* why not, for the publisher's status and the log */
        uint64_t handle;    /* for MEDIA and CLOSE; dies with the transcoder's incarnation */
        char session[SESSION_ID_MAX + 1];
        int64_t epoch_us;   /* of the session: the proposed one, or that of the session which goes on */
        uint32_t generation;
        /* How far the session's clock, which is the transcoder's wall clock, is ahead of the one by which the proxy told the stream's
         * time: whole ms, 0 when that is nothing to speak of. From now on the stream's time is told by it: slate is due by it. A
         * proposed epoch was moved by this. 0 too where the transcoder's clock is the wrong one: the session's is the proxy's then. */
        int64_t skew_us;
        uint8_t keeps_time; /* the session has a clock of its own: what HELLO says of the transcoder's is not to be followed */
        uint8_t standby;    /* send empty MEDIA only, until an answer to one says otherwise */
        char node[NODE_ID_MAX + 1]; /* the transcoder's own */
};
void open_reply_encode(struct writer *w, const void *message);
int open_reply_decode(struct reader *r, struct open_reply *m);

struct media {
        uint64_t handle;
        uint64_t first_seq; /* number of frames[0]; they count up by one over the life of the handle */
        uint8_t fresh;      /* frames came from the broadcaster since the MEDIA before, or would if it were read from (ingestd/hold.h) */
        uint8_t shadow;     /* another transcoder leads. When a shadow is told 0, it makes the session its own: it raises
                               the generation, which fences the one that led */
        uint16_t count;     /* ≤ BATCH_FRAMES_MAX */
        const struct frame *frames;
};
void media_encode(struct writer *w, const void *message);
/* frames gets count frames whose bytes are slices of whole, the buf around the message; unref them. On ERR_PROTO none. */
int media_decode(struct reader *r, struct media *m, struct frame frames[BATCH_FRAMES_MAX], struct buf *whole);

struct media_reply {
        int8_t status;       /* 0, ERR_NOT_FOUND (handle unknown: OPEN again), ERR_ORDER (next_seq says what is expected),
                                ERR_FENCED (another transcoder has the session), ERR_CONFLICT (another broadcaster has
                                this one's place), ERR_CLOSED (the session ended) */
        uint64_t next_seq;   /* the first frame not yet taken */
        int64_t stored_us;   /* every track is stored up to here: older frames need no replay */
        uint32_t credit;     /* frames it would take now; 0: send empty batches until it is more */
        uint8_t draining;
        uint8_t takes_many;  /* MEDIA_MANY may be sent here */
        uint32_t generation; /* of the session now */
        uint8_t standby;     /* another broadcaster is active: send no frames. When it becomes 0, begin with the last
                                keyframe that is stored; the numbers of frames go on */
};
void media_reply_encode(struct writer *w, const void *message);
int media_reply_decode(struct reader *r, struct media_reply *m);

/* MEDIA of many sessions in one message, each as if it had come alone, so that a beat's worth of streams costs one request.
 * The answer has theirs in the same order. */
/* MEDIA_TOLD has the same fields and no answer: it says nothing of what becomes of its frames. The next MEDIA that is answered does, of
 * all before it; what was not taken is sent again from there. Only to a node that can be told (HELLO). */
#define MEDIA_MANY_MAX 64
struct media_many {
        uint16_t count; /* ≤ MEDIA_MANY_MAX; BATCH_MAX bounds the bytes of them all */
        const struct media *parts;
};
void media_many_encode(struct writer *w, const void *message);
/* parts gets *count readers, one for media_decode() each. */
int media_many_decode(struct reader *r, struct reader parts[MEDIA_MANY_MAX], uint16_t *count);

struct media_many_reply {
        uint16_t count; /* ≤ MEDIA_MANY_MAX */
        struct media_reply parts[MEDIA_MANY_MAX];
};
void media_many_reply_encode(struct writer *w, const void *message);
int media_many_reply_decode(struct reader *r, struct media_many_reply *m);

enum close_reason { CLOSE_STOPPED = 1 /* by the broadcaster: end now */, CLOSE_LOST = 2 /* slate for the grace time */,
                    CLOSE_REFUSED = 3 /* we threw it out: end now */,
                    CLOSE_LEAVE = 4 /* leave the session at once, without END: another transcoder goes on with it */ };
struct close_stream {
        uint64_t handle;
        uint8_t reason;
};
void close_stream_encode(struct writer *w, const void *message);
int close_stream_decode(struct reader *r, struct close_stream *m);
/* CLOSE_REPLY has only a status. */
struct status_reply {
        int8_t status;
};
void status_reply_encode(struct writer *w, const void *message);
int status_reply_decode(struct reader *r, struct status_reply *m);

#endif
