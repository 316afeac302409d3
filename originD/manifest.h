/* manifest.h - what players ask for first. Each format is a row of ops; serve.c knows only the table.
 *
 * A manifest is a pure function of the session's state and the options, so every origin that has the session gives the
 * same. Loop thread. */
#ifndef ORIGIND_MANIFEST_H
#define ORIGIND_MANIFEST_H

#include <stdbool.h>

#include "originD/session.h"

struct manifest_options {
        int64_t latency_bound_ms;  /* a chunk can be had everywhere this long after its last frame was captured */
        int64_t target_latency_ms; /* players aim at this far behind availability: both together from capture to screen */
        int64_t time_shift_s;      /* how far a live viewer can go back */
        int64_t classic_s;         /* of a segment for old players: so many stored seconds are joined */
        int64_t update_s;          /* how often players should look again */
        bool steering;             /* edges say where to load from (edged/steering.h) */
        const char *public_url;    /* where viewers find the edges, no slash at its end; "": beside the manifest */
};

struct manifest_format {
        const char *file; /* its name in the URL */
        const char *content_type;
        bool of_ended; /* there is none while the session is live */
        /* entry: for /live/<stream>/<file>, from which media lie one folder (the session's) deeper than otherwise. */
        struct buf *(*write)(const struct session *s, const struct manifest_options *o, bool entry);
};

extern const struct manifest_format manifest_mpd, manifest_hls, manifest_classic_mpd, manifest_classic_hls, manifest_ondemand;

/* The tracks that a manifest tells of, in the session's order; returns how many. Of a recording not those that ended
 * long before others of their kind (stand_in.h). */
size_t manifest_tracks(const struct session *s, const struct track *out[SESSION_TRACKS_MAX]);

/* What no segment of the track exceeds, a second. At least 1. */
uint32_t manifest_bandwidth(const struct session *s, const struct track *t);

const struct manifest_format *manifest_format(const char *file); /* NULL: no such format */

/* Whether a player can start: true, once every track the session began with has media. Tracks that come after a manifest
 * was given out begin a Period, so a first one that is given too early costs the viewer the others. */
bool manifest_ready(const struct session *s, int64_t now_mono_us);

#endif
