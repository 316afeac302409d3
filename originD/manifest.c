#include "originD/manifest.h"

#include <string.h>

#include "common/clock.h"
#include "originD/stand_in.h"

#define SETTLED_US (1 * US_PER_S)    /* no other kind of track came for this long: there is none */
#define GIVE_UP_US (5 * US_PER_S / 2) /* a declared track without media is left out after this long */

static const struct manifest_format *const formats[] = {&manifest_mpd, &manifest_hls, &manifest_classic_mpd, &manifest_classic_hls,
                                                      &manifest_ondemand};

const struct manifest_format *manifest_format(const char *file)
{
        for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
                if (strcmp(formats[i]->file, file) == 0)
                        return formats[i];
        return NULL;
}

size_t manifest_tracks(const struct session *s, const struct track *out[SESSION_TRACKS_MAX])
{
        size_t count = 0;
        for (size_t i = 0; i < s->track_count; i++)
                if (track_playable(s, s->tracks[i]) && !stand_in_leaves_out(s, s->tracks[i]))
                        out[count++] = s->tracks[i];
        return count;
}

/* Live, of a track whose writer did not declare it: what is measured would be another one with each segment. */
static uint32_t usual_bandwidth(const struct track *t)
{
        return t->init.kind == TRACK_VIDEO ? (uint32_t)t->init.width * t->init.height * 3 : 128000;
}

uint32_t manifest_bandwidth(const struct session *s, const struct track *t)
{
        uint32_t bps = s->state == SESSION_ENDED ? track_facts(s, t).peak_bps : t->bandwidth ? t->bandwidth : usual_bandwidth(t);
        return bps ? bps : 1;
}

bool manifest_ready(const struct session *s, int64_t now_mono_us)
{
        bool kinds[TRACK_KINDS] = {false};
        size_t playable = 0, declared = 0;
        for (size_t i = 0; i < s->track_count; i++) {
                declared += s->tracks[i]->init.kind < TRACK_KINDS;
                if (track_playable(s, s->tracks[i])) {
                        kinds[s->tracks[i]->init.kind] = true;
                        playable++;
                }
        }
        if (!playable)
                return false;
        if (s->state == SESSION_ENDED || !s->first_chunk_mono_us)
                return true;
        if (playable == declared)
                return (kinds[TRACK_VIDEO] && kinds[TRACK_AUDIO]) || now_mono_us - s->last_track_mono_us > SETTLED_US;
        return now_mono_us - s->first_chunk_mono_us > GIVE_UP_US;
}
