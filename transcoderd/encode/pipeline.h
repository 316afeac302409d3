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
 *   pipeline_close   any time; no event comes after it. Its threads end with what they are at, and the reaper waits for that
 * All functions and events: loop thread. */
#ifndef TRANSCODERD_ENCODE_PIPELINE_H
#define TRANSCODERD_ENCODE_PIPELINE_H

#include "common/mailbox.h"
#include "transcoderd/encode/job.h"
#include "transcoderd/encode/reaper.h"

#define PIPELINE_FAR_FRAMES 64 /* room for what is far from its time: enough to be busy until more come */

struct pipeline;

int pipeline_open(struct pipeline **out, struct mailbox *mb, const struct job *job,
                  const struct job_events *events, void *arg);
void pipeline_push(struct pipeline *p, const struct frame *f); /* refs f->bytes */
size_t pipeline_room(const struct pipeline *p);                /* frames it would take now; push beyond is our bug */
/* What is pushed is ahead of the session's clock: a film that comes faster than real time; or it is a backlog, of a time in which
 * nobody took it. There is room for fewer frames then, so that little of it is under way, and it can give way to others at once. */
bool pipeline_is_ahead(const struct pipeline *p);
bool pipeline_has_backlog(const struct pipeline *p);
/* goes_on: not the broadcast is over, but this transcoder's part in it. What it cannot make whole, the last frame of sound and
 * the segment, is left to the next one. */
void pipeline_drain(struct pipeline *p, bool goes_on);
void pipeline_close(struct pipeline *p, struct reaper *reaper); /* NULL is fine; without a reaper it waits itself */

struct pipeline_stats {
        int64_t behind_us;     /* media time that what was pushed, is due and can be encoded has waited (intake.h) */
        bool gains;            /* and comes nearer to the clock: a backlog, not a machine that is too slow (shed.h) */
        int64_t slate_us;      /* slate made so far, video (or audio if there is no video) */
        uint64_t decoded, encoded, late_dropped, corrupt, shed, skipped;
        uint64_t captions_lost, cues_lost;
        uint64_t pictures[4]; /* still ones, by enum picture_end */
        int64_t pixels;  /* encoded so far, and what is counted as such (cost.h) */
        int64_t cost;    /* pixels a second of what comes; 0: there were no pictures yet */
        int64_t busy_us; /* how long the encoder that works most has worked so far */
};
void pipeline_stats(const struct pipeline *p, struct pipeline_stats *out);

#endif
