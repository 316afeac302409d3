#include "edged/lag.h"

#include <stdio.h>
#include <string.h>

static struct lag seen[LAG_STREAMS];

void lag_saw(const char *stream, int64_t late_us, int64_t now_us)
{
        struct lag *place = &seen[0];
        for (size_t i = 0; i < LAG_STREAMS; i++) {
                if (strcmp(seen[i].stream, stream) == 0) {
                        place = &seen[i];
                        break;
                }
                if (seen[i].seen_us < place->seen_us)
                        place = &seen[i];
        }
        snprintf(place->stream, sizeof(place->stream), "%s", stream);
        place->late_us = late_us;
        place->seen_us = now_us;
}

const struct lag *lag_at(size_t i, int64_t now_us)
{
        return *seen[i].stream && now_us - seen[i].seen_us < LAG_KEPT_US ? &seen[i] : NULL;
}
