/* ladder.h - the rungs a session is encoded into. Configuration: JSON, per stream-name pattern; docs in ladder.c.
 * Pure values, copied freely. */
#ifndef TRANSCODERD_ENCODE_LADDER_H
#define TRANSCODERD_ENCODE_LADDER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/message.h"

#define LADDER_VIDEO_MAX 8
#define LADDER_AUDIO_MAX 4
#define LADDER_THUMBS_MAX_S 60

struct ladder_video {
        char name[TRACK_NAME_MAX + 1]; /* "v720" */
        int height;                    /* of the output; width follows the source's display aspect, rounded to even */
        int fps_max;                   /* 30: of 60 fps every second picture is kept, of 72 every third; 0: as the source */
        int64_t bitrate_bps;           /* target; VBV: maxrate 1.1 ×, bufsize 1 s */
};

struct ladder_audio {
        char name[TRACK_NAME_MAX + 1]; /* "a128" */
        int64_t bitrate_bps;
};

struct ladder {
        struct ladder_video video[LADDER_VIDEO_MAX]; /* highest first */
        size_t video_count;
        struct ladder_audio audio[LADDER_AUDIO_MAX];
        size_t audio_count;
        bool says_thumbs; /* thumbs_s is of this pattern; else as configured for all */
        int64_t thumbs_s;
        unsigned chunk_ms; /* of sessions that begin; 0: as configured for all */
};

/* A config_key.check for the `ladder` key. */
int ladder_check(const void *json_field, char *why, size_t why_cap);

/* The ladder for a stream: the first pattern that matches (fnmatch), else the default. config was checked. */
void ladder_for_stream(struct ladder *out, const json_t *config, const char *stream);

/* Drops the rungs above the source (taller than source_height); always leaves at least the lowest, at the source's
 * size. */
void ladder_limit(struct ladder *l, int source_height);

#endif
