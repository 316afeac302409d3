/* job.h - what a session's encoding is told: what comes, what is to be made of it, where it goes on, who hears of it.
 *
 * A value that pipeline_open() is given and every stage has a copy of. Pure; any thread. */
#ifndef TRANSCODERD_ENCODE_JOB_H
#define TRANSCODERD_ENCODE_JOB_H

#include <stdbool.h>

#include "proto/media.h"
#include "transcoderd/chunk.h"
#include "transcoderd/encode/ladder.h"
#include "transcoderd/encode/media_clock.h"

struct job_resume { /* a track that another writer began (from CLAIM) */
        char track[TRACK_NAME_MAX + 1];
        int64_t end_us;  /* continue with the first frame at or after */
        int64_t from_us; /* which belongs here at the earliest: what is before on the grid may be complete */
};

struct job {
        const char *session; /* for the log; valid in pipeline_open() only */
        int64_t epoch_us;
        unsigned chunk_ms; /* the session's grid: of who began it, whatever is configured here (CLAIM's answer) */
        struct media_clock clock;
        struct ladder ladder; /* not yet limited by the source: the pipeline does that at the first picture */
        uint8_t codecs[TRACK_KINDS];
        struct buf *config[TRACK_KINDS]; /* NULL where there is no track; valid in pipeline_open() only */
        int encoder_threads;             /* per encoder: x264 `threads` */
        int decoder_threads;
        int64_t slate_after_us; /* config slate_after_ms, default 1000 ms */
        int64_t shed_after_us;  /* config shed_after_ms, default 1000 ms */
        int64_t thumbs_s;       /* config thumbs_s, or ladder's: seconds between two still pictures; 0: none */
        struct job_resume resume[SESSION_TRACKS_MAX];
        size_t resume_count;
        /* > 0: encoders begin anew with every segment whose number is a multiple of it, so that from there on they make the
         * same bytes as those of another transcoder that was given the same frames, whenever that one began. (Sound only
         * as far as the same samples come to it: a decoder that makes up noise and the correction of a clock's drift
         * remember more.) */
        uint32_t lockstep_segments;
};

int64_t job_now_us(const struct job *j); /* media time */

bool job_supports(const uint8_t codecs[TRACK_KINDS]); /* H.264 and AAC; one of the two may be missing */

const struct job_resume *job_resume_of(const struct job *j, const char *track); /* NULL: not stored */

/* The writer before stopped so early that tracks may be missing only because they had no chunk yet. */
bool job_is_young(const struct job *j);

/* What the owner hears, on the loop. The buffers are unref'd after the event. */
struct job_events {
        void (*track)(void *arg, const struct track_info *info); /* once per track, before its first chunk */
        void (*ready)(void *arg); /* its encoders are open, or nothing decodable has come so far; again, for a track that comes late */
        void (*chunk)(void *arg, const struct chunk *c);
        void (*drained)(void *arg, int64_t end_us);
        void (*failed)(void *arg, int err, const char *text); /* cannot go on (encoder refused …); close it */
};

#endif
