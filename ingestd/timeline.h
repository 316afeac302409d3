/* timeline.h - from RTMP's timestamps to media time: µs since the session's epoch (media.md, "Media time").
 *
 * Pure: the wall clock is passed in. One struct timeline a publication.
 *   timeline_start  with the first frame that is kept (a keyframe; without video, a frame of audio): the epoch is that
 *                   frame's arrival in whole ms, and its presentation time is exactly 0
 *   timeline_map    every frame of both tracks from then on, in order of arrival
 *   timeline_skew   when the transcoder answers with another time of day
 *   timeline_move   when it answers with another epoch (a session that goes on)
 *
 * Both tracks share one mapping, media = anchor + (timestamp - timestamp at the anchor) * 1000 + slew: a timestamp
 * rounded to ms gives no other jitter than that rounding, and sound keeps its place beside the picture. slew follows
 * the wall clock, and only while the smoothed error is large. Whoever listens hears it as a change of pitch, so it is slow (300 ppm
 * for a clock that is 300 ppm off, at an error of 75 ms), and begins only after a second: a first frame that comes up to 100 ms
 * sooner or later than the others is no error at all. A timestamp that jumps is a
 * break: the track gets a mapping of its own, anchored to the wall clock, and the other track joins it when it jumps to
 * the same place. So does media that stays late: slate has been shown in its stead, and it would never catch up.
 * A clock that stands for half a second says nothing: each frame from then on is such a break, and placed by its arrival.
 * A pause is no break, however long: timestamps that went on as the wall clock did keep their mapping. Nor does a break of
 * the clock say anything of the coded frames, which follow each other within a connection as they did.
 *
 * RTMP's 32 bits are unwrapped modulo 2^31, which serves encoders that wrap there (OBS) as well as those at 2^32. */
#ifndef INGESTD_TIMELINE_H
#define INGESTD_TIMELINE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/media.h"

#define TIMELINE_SLEW_PPM 5000      /* faster is no mapping slewed */
#define TIMELINE_PITCH_PPM 1000     /* nor faster than this while the error is below 250 ms, as it is of any clock that is less wrong */
#define TIMELINE_SLEW_FROM_US 40000 /* smoothed error at which slewing begins */
#define TIMELINE_SLEW_TO_US 2000    /* and at which it ends */
#define TIMELINE_JUMP_MS 1000       /* a longer step forwards, and as far into the future, is a break */
#define TIMELINE_REORDER_MS 100     /* a longer step back is a break */
#define TIMELINE_LATE_US 1000000    /* media that stays this late is moved up to the wall clock */
#define TIMELINE_CTS_MAX_MS 20000   /* composition offsets beyond are nonsense, and are cut to this */

struct timeline_map {
        int64_t zero_ms;   /* unwrapped timestamp at the anchor */
        int64_t anchor_us; /* its media time */
        int64_t slew_us;
        /* how well it follows the wall clock, by the frames of one track: video if it has video */
        int64_t settled_wall_us; /* from then on it is known how early or late frames are by this anchor */
        int64_t bias_us;         /* that: of the frame at the anchor no more is known than that it came */
        int64_t error_us; /* smoothed, without the bias; positive: media is late */
        bool settled, slewing;
        int64_t slew_rest; /* millionths of a µs */
        int64_t seen_wall_us, seen_ms;
        int64_t window_end_us, window_least_us, before_least_us; /* least lateness in this window and the one before */
};

struct timeline {
        int64_t epoch_us;
        int64_t start_us; /* presentation time of the first frame: what is earlier is dropped */
        int64_t lead_us;  /* a frame is presented this long after it is decoded, at the first one */
        struct timeline_map map[TRACK_KINDS];
        struct {
                bool seen, broken; /* broken: the next frame has another mapping */
                unsigned map;
                int64_t last_ms, last_us;
                int64_t rose_wall_us; /* when a timestamp rose last, */
                unsigned stood;       /* and how many came since that did not */
        } track[TRACK_KINDS];
};

struct timeline_frame {
        uint8_t track; /* enum track_kind */
        uint32_t dts_ms;
        int32_t cts_ms;
};

struct timeline_time {
        int64_t dts_us; /* rises strictly within a track */
        int32_t cts_us;
        bool broken; /* by another mapping than the frame before */
};

void timeline_start(struct timeline *t, const struct timeline_frame *first, int64_t wall_us);

/* False: the frame is to be dropped, it lies before the first picture. */
bool timeline_map(struct timeline *t, const struct timeline_frame *f, int64_t wall_us, struct timeline_time *out);

/* The wall clock that is passed in from now on is skew_us ahead of the one before. */
void timeline_skew(struct timeline *t, int64_t skew_us);

/* The session has another epoch: all media time, of what was mapped and what comes, moves by delta_us. The same
 * instants are later by `old epoch - new epoch`. */
void timeline_move(struct timeline *t, int64_t epoch_us, int64_t delta_us);

#endif
