/* outlet.h - the pipeline's way out: worker threads post events here, the loop hands them to the owner; and the
 * counters that all of a pipeline's threads share.
 *
 *   outlet_new     pipeline_open, one reference
 *   outlet_*       workers post; each event under way holds a reference
 *   outlet_shut    loop thread: events that are still under way are swallowed
 *   outlet_unref   any thread
 * Shared: the counters and refs are atomics; shut is the loop's alone; the rest never changes. */
#ifndef TRANSCODERD_ENCODE_OUTLET_H
#define TRANSCODERD_ENCODE_OUTLET_H

#include <stdatomic.h>
#include <stdbool.h>

#include "common/mailbox.h"
#include "transcoderd/encode/job.h"

/* What became of a still picture that was due. */
enum picture_end { PICTURE_MADE, PICTURE_COARSER, PICTURE_REPEATED, PICTURE_FAILED };
#define PICTURE_ENDS 4

struct tally {
        _Atomic int64_t begin_us; /* where the session's first track began; INT64_MAX: none yet */
        _Atomic int64_t placed_us[TRACK_KINDS]; /* so far the track is made, before its encoders; INT64_MIN: not begun */
        _Atomic int64_t slate_us[TRACK_KINDS];
        atomic_ullong decoded, encoded, late_dropped, corrupt, shed, skipped;
        atomic_ullong captions_lost; /* triplets, of all rungs */
        atomic_ullong cues_lost;     /* of all rungs */
        atomic_ullong pictures[PICTURE_ENDS];
        _Atomic int64_t end_us; /* of the longest track, when drained */
        atomic_bool gains;      /* the video is behind the clock, and comes nearer to it (shed.h) */
        _Atomic int64_t pixels; /* encoded so far, and what is counted as such (cost.h) */
        _Atomic int64_t cost;   /* pixels a second of what comes; 0: there were no pictures yet */
        _Atomic int64_t busy_us[SESSION_TRACKS_MAX]; /* that a video rung's encoder has worked so far */
};

struct outlet {
        struct mailbox *mb;
        struct job_events events;
        void *arg;
        char session[SESSION_ID_MAX + 1];
        atomic_uint refs, tracks, kinds;
        atomic_uint opening; /* what `ready` waits for */
        bool shut;
        atomic_bool goes_on; /* pipeline_drain; set before the workers see the end */
        struct tally tally;
};

struct outlet *outlet_new(struct mailbox *mb, const struct job_events *events, void *arg, const char *session);
void outlet_shut(struct outlet *o);
void outlet_unref(struct outlet **o);

unsigned outlet_number(struct outlet *o); /* the index of a new track */
void outlet_track(struct outlet *o, const struct track_info *info); /* takes info->init */
void outlet_chunk(struct outlet *o, const struct chunk *c);         /* takes c->bytes */
void outlet_failed(struct outlet *o, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The session has a sample at media_us: remembers the earliest of the first ones. True if media_us is so much later
 * than the session's begin that a track beginning here is a late one. */
bool outlet_begins_late(struct outlet *o, int64_t media_us);
void outlet_ended(struct outlet *o, int64_t end_us); /* a track ends here */

/* So many more encoders are to be open before `ready` is told; one of them is. Each outlet_opening() comes before the last
 * outlet_opened() of those that are under way. */
void outlet_opening(struct outlet *o, unsigned count);
void outlet_opened(struct outlet *o);

/* A track kind's thread begins; it has encoded everything. After the last one `drained` is told. */
void outlet_join(struct outlet *o);
void outlet_leave(struct outlet *o);

#endif
