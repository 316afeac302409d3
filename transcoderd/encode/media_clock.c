#include "transcoderd/encode/media_clock.h"

#include <stdlib.h>

#include "common/clock.h"

struct media_clock media_clock_own(int64_t now_us)
{
        return (struct media_clock){.own = true, .zero_mono_us = clock_mono_us() - now_us};
}

int64_t media_clock_now_us(const struct media_clock *c, int64_t epoch_us)
{
        return c->own ? clock_mono_us() - c->zero_mono_us : clock_wall_us() - epoch_us;
}

bool media_clock_ours_is_off(int64_t ours_us, int64_t theirs_us, int64_t end_us)
{
        /* Nearer by far: after an outage a clock that is right is away from the end too, and one that is behind may be nearer by chance.
         * */
        return llabs(ours_us - theirs_us) > MEDIA_CLOCK_OFF_US && llabs(theirs_us - end_us) < llabs(ours_us - end_us) / MEDIA_CLOCK_NEARER;
}
