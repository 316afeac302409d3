#include "originD/manifest.h"

#include <string.h>

#include "common/clock.h"

#define SETTLED_US (1 * US_PER_S)    /* no other kind of track came for this long: there is none */
#define GIVE_UP_US (5 * US_PER_S / 2) /* a declared track without media is left out after this long */

static const struct manifest_format *const formats[] = {&manifest_mpd};

const struct manifest_format *manifest_format(const char *file)
{
        for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
                if (strcmp(formats[i]->file, file) == 0)
                        return formats[i];
        return NULL;
}

bool manifest_ready(const struct session *s, int64_t now_mono_us)
{
        bool kinds[TRACK_KINDS] = {false};
        size_t playable = 0;
        for (size_t i = 0; i < s->track_count; i++)
                if (track_playable(s, s->tracks[i])) {
                        kinds[s->tracks[i]->init.kind] = true;
                        playable++;
                }
        if (!playable)
                return false;
        if (s->state == SESSION_ENDED || !s->first_chunk_mono_us)
                return true;
        if (playable == s->track_count)
                return (kinds[TRACK_VIDEO] && kinds[TRACK_AUDIO]) || now_mono_us - s->last_track_mono_us > SETTLED_US;
        return now_mono_us - s->first_chunk_mono_us > GIVE_UP_US;
}
