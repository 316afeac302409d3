#include "transcoderd/encode/slow.h"

#include "common/clock.h"
#include "transcoderd/encode/grid.h"

void slow_init(struct slow *s, unsigned chunk_ms, uint32_t declared_milli)
{
        int64_t gap_us = declared_milli ? 1000 * US_PER_S / declared_milli : 0;
        *s = (struct slow){.chunk_ms = chunk_ms, .gap_us = gap_us,
                            .run = gap_us >= SLOW_GAP_US && gap_us <= SLOW_GAP_MAX_US ? SLOW_RUN : 0};
}

void slow_add(struct slow *s, int64_t pts_us)
{
        int64_t gap_us = pts_us - s->last_us;
        if (s->any) {
                s->run = gap_us >= SLOW_GAP_US && gap_us <= SLOW_GAP_MAX_US ? s->run + 1 : 0;
                s->gap_us = gap_us;
        }
        s->last_us = pts_us;
        s->any = true;
}

bool slow_is(const struct slow *s)
{
        return s->any && s->run >= SLOW_RUN;
}

int64_t slow_again_us(const struct slow *s, int64_t shown_us)
{
        int64_t at_us = grid_chunk_end_us(shown_us, s->chunk_ms);
        return slow_is(s) && at_us <= s->last_us + 2 * s->gap_us ? at_us : SLOW_NEVER;
}

int64_t slow_wait_us(const struct slow *s, int64_t shown_us, int64_t media_us, int64_t idle_us)
{
        int64_t at_us = slow_again_us(s, shown_us);
        if (at_us == SLOW_NEVER)
                return SLOW_NEVER;
        int64_t wait_us = at_us + SLOW_LATE_US - media_us, quiet_us = SLOW_IDLE_US - idle_us;
        return wait_us > quiet_us ? wait_us : quiet_us;
}
