#include "transcoderd/resume.h"

#include <string.h>

#include "common/clock.h"

#define YOUNG_US (2 * US_PER_S)

const struct pipeline_resume *resume_of(const struct pipeline_options *o, const char *track)
{
        for (size_t i = 0; i < o->resume_count; i++)
                if (!strcmp(o->resume[i].track, track))
                        return &o->resume[i];
        return NULL;
}

bool resume_young(const struct pipeline_options *o)
{
        for (size_t i = 0; i < o->resume_count; i++)
                if (o->resume[i].end_us >= YOUNG_US)
                        return false;
        return o->resume_count > 0;
}
