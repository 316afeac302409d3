#include "transcoderd/encode/job.h"

#include <string.h>

#include "common/clock.h"
#include "proto/store.h"

#define YOUNG_US (2 * US_PER_S)

int64_t job_now_us(const struct job *j)
{
        return media_clock_now_us(&j->clock, j->epoch_us);
}

bool job_supports(const uint8_t codecs[TRACK_KINDS])
{
        uint8_t video = codecs[TRACK_VIDEO], audio = codecs[TRACK_AUDIO];
        return (video == CODEC_NONE || video == CODEC_H264) && (audio == CODEC_NONE || audio == CODEC_AAC) &&
               (video != CODEC_NONE || audio != CODEC_NONE);
}

const struct job_resume *job_resume_of(const struct job *j, const char *track)
{
        for (size_t i = 0; i < j->resume_count; i++)
                if (!strcmp(j->resume[i].track, track))
                        return &j->resume[i];
        return NULL;
}

/* Still pictures do not count: one is a second at once, so that of a session of a second there are two. */
bool job_is_young(const struct job *j)
{
        for (size_t i = 0; i < j->resume_count; i++)
                if (j->resume[i].end_us >= YOUNG_US && strcmp(j->resume[i].track, PICTURES_TRACK) != 0)
                        return false;
        return j->resume_count > 0;
}
