/* pipeline.h - from coded frames to chunks: one session's decoding, ladder, encoding and packaging.
 *
 * The loop pushes frames in; worker threads decode, scale, encode and package; chunks come back on the loop through the
 * mailbox, per track in order and exactly on the grid of proto/store.h. The pipeline keeps the timeline without holes:
 * when the wall clock passes the last frame by slate_after_us, it repeats the last picture and encodes silence until
 * frames return; frames that come too late for their place are dropped and counted. Cut points are a function of media
 * time alone.
 *
 *   pipeline_open    starts threads
 *   pipeline_push    frames, in the order they came; FRAME_CONFIG may change codec, size, rate, layout
 *   pipeline_drain   nothing more is pushed: everything decoded is encoded, the last chunk is cut, drained() follows
 *   pipeline_close   any time; stops threads (blocks for one encode at most); no event comes after it
 * All functions and events: loop thread. */
#ifndef TRANSCODERD_PIPELINE_H
#define TRANSCODERD_PIPELINE_H

#include "common/buf.h"
#include "common/mailbox.h"
#include "proto/media.h"
#include "proto/store.h"
#include "transcoderd/ladder.h"

struct pipeline;

struct chunk {
        unsigned track; /* index of the track as announced */
        uint8_t flags;  /* PUT_LAST, PUT_SLATE */
        uint32_t segment;
        uint8_t chunk;
        /* To where the next chunk may begin: the next sample's time if that is known, else the end on the grid. */
        int64_t start_us, duration_us;
        int64_t made_wall_us; /* when it was packaged, for the latency metrics */
        uint64_t previous;    /* struct put; not the pipeline's to set: chain.h */
        struct buf *bytes; /* styp and prft (first of a segment), moof, mdat; the pipeline unrefs it after the event */
};

struct track_info {
        unsigned track;
        char name[TRACK_NAME_MAX + 1];
        uint8_t kind; /* enum track_kind */
        struct buf *init; /* ftyp moov; unref'd by the pipeline after the event */
        uint32_t bandwidth;
        uint32_t fps_milli;
        int64_t start_us; /* media time from which the track exists; 0 for the tracks a session begins with */
};

struct pipeline_events {
        void (*track)(void *arg, const struct track_info *info); /* once per track, before its first chunk */
        void (*chunk)(void *arg, const struct chunk *c);
        void (*drained)(void *arg, int64_t end_us);
        void (*failed)(void *arg, int err, const char *text); /* cannot go on (encoder refused …); close it */
};

struct pipeline_resume { /* where a session that goes on stands, per track (from CLAIM) */
        char track[TRACK_NAME_MAX + 1];
        int64_t end_us; /* continue with the first frame at or after */
};

struct pipeline_options {
        const char *session; /* for the log; copied */
        int64_t epoch_us;
        struct ladder ladder; /* not yet limited by the source: the pipeline does that at the first picture */
        uint8_t codecs[TRACK_KINDS];
        struct buf *config[TRACK_KINDS]; /* refs are taken; NULL where there is no track */
        int encoder_threads;             /* per encoder: x264 `threads` */
        int decoder_threads;
        int64_t slate_after_us; /* config slate_after_ms, default 1000 ms */
        int64_t shed_after_us;  /* config shed_after_ms, default 1000 ms */
        struct pipeline_resume resume[SESSION_TRACKS_MAX];
        size_t resume_count;
        /* > 0: encoders begin anew with every segment whose number is a multiple of it, so that from there on they make the
         * same bytes as those of another transcoder that was given the same frames, whenever that one began. (Sound only
         * as far as the same samples come to it: a decoder that makes up noise and the correction of a clock's drift
         * remember more.) */
        uint32_t lockstep_segments;
};

int pipeline_open(struct pipeline **out, struct mailbox *mb, const struct pipeline_options *options,
                  const struct pipeline_events *events, void *arg);
void pipeline_push(struct pipeline *p, const struct frame *f); /* refs f->bytes */
size_t pipeline_room(const struct pipeline *p);                /* frames it would take now; push beyond is our bug */
/* goes_on: not the broadcast is over, but this transcoder's part in it. What it cannot make whole, the last frame of sound and
 * the segment, is left to the next one. */
void pipeline_drain(struct pipeline *p, bool goes_on);
void pipeline_close(struct pipeline *p);

struct pipeline_stats {
        int64_t behind_us;     /* how far encoding is behind what was pushed */
        int64_t slate_us;      /* slate made so far, video (or audio if there is no video) */
        uint64_t decoded, encoded, late_dropped, corrupt, shed;
        int64_t busy_us; /* how long the encoder that works most has worked so far */
};
void pipeline_stats(const struct pipeline *p, struct pipeline_stats *out);

#endif
