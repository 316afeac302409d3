#include "transcoderd/encode/slate.h"

#include "common/clock.h"

#define WAIT_MAX_US (500 * US_PER_MS)

void slate_init(struct slate *s, int64_t after_us, int64_t mono_us)
{
        *s = (struct slate){.after_us = after_us, .fed_mono_us = mono_us};
}

void slate_fed(struct slate *s, int64_t mono_us)
{
        s->fed_mono_us = mono_us;
        s->active = false;
}

static void look(struct slate *s, int64_t mono_us)
{
        int64_t still_us = s->looked_mono_us ? mono_us - s->looked_mono_us : 0;
        if (still_us > SLATE_STOOD_STILL_US)
                s->hold_until_us = mono_us + (2 * still_us < SLATE_HOLD_MAX_US ? 2 * still_us : SLATE_HOLD_MAX_US);
        s->looked_mono_us = mono_us;
}

int64_t slate_due(struct slate *s, int64_t end_us, int64_t now_us, int64_t mono_us)
{
        int64_t until_us = now_us - s->after_us;
        look(s, mono_us);
        if (until_us <= end_us || mono_us < s->hold_until_us)
                return SLATE_NOT_DUE;
        if (!s->active && mono_us - s->fed_mono_us < s->after_us / 2)
                return SLATE_NOT_DUE;
        s->active = true;
        return until_us;
}

int64_t slate_wait_us(struct slate *s, int64_t end_us, int64_t now_us, int64_t mono_us)
{
        int64_t wait_us = end_us + s->after_us - now_us;
        look(s, mono_us);
        int64_t idle_us = s->fed_mono_us + s->after_us / 2 - mono_us;
        if (!s->active && idle_us > wait_us)
                wait_us = idle_us;
        if (wait_us > WAIT_MAX_US)
                return WAIT_MAX_US;
        return wait_us < US_PER_MS ? US_PER_MS : wait_us;
}
