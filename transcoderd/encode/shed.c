#include "transcoderd/encode/shed.h"

#include "common/clock.h"

#define LOOK_US (500 * US_PER_MS)
#define CALM_LAG_US (300 * US_PER_MS)
#define PATIENCE_US (5 * US_PER_S)
#define PATIENCE_MAX_US (80 * US_PER_S)
#define BAD_LOOKS 2
#define HALVINGS_MAX 2

void shed_init(struct shed *s, size_t rungs, int64_t too_far_us)
{
        *s = (struct shed){.rungs = rungs, .too_far_us = too_far_us, .patience_us = PATIENCE_US, .gains = true};
}

static bool raise_level(struct shed *s, int64_t mono_us)
{
        s->bad_looks = 0;
        if (s->level >= s->rungs * HALVINGS_MAX)
                return false;
        /* Restored a moment ago and already too much again: wait longer the next time. */
        if (s->raised_us && s->patience_us < PATIENCE_MAX_US)
                s->patience_us *= 2;
        s->raised_us = mono_us;
        s->level++;
        s->looks = 0; /* what the pace was before tells nothing of what it is now */
        return true;
}

static void note_pace(struct shed *s, int64_t behind_us)
{
        if (behind_us - s->behind_us > SHED_BACKLOG_US) {
                s->backlog = true;
                s->looks = 0;
        }
        s->backlog = s->backlog && behind_us > s->too_far_us;
        s->behind_us = behind_us;
        /* A machine that was too slow already is not given more time to be. */
        unsigned back = s->backlog && s->level == 0 ? SHED_LOOKS_BACKLOG : SHED_LOOKS;
        int64_t then_us = s->looks_us[(s->looks - back) % SHED_LOOKS_BACKLOG];
        s->gains = s->looks < back || then_us - behind_us >= (int64_t)(SHED_GAIN * (double)(back * LOOK_US));
        s->looks_us[s->looks++ % SHED_LOOKS_BACKLOG] = behind_us;
}

bool shed_update(struct shed *s, int64_t waits_us, int64_t behind_us, int64_t mono_us)
{
        if (mono_us < s->next_look_us)
                return false;
        s->next_look_us = mono_us + LOOK_US;
        note_pace(s, behind_us);

        bool bad = waits_us > s->too_far_us && !s->gains;
        s->bad_looks = bad ? s->bad_looks + 1 : 0;
        if (s->bad_looks >= BAD_LOOKS) {
                s->calm = false;
                return raise_level(s, mono_us);
        }
        bool calm = waits_us < CALM_LAG_US;
        if (calm && !s->calm)
                s->calm_since_us = mono_us;
        s->calm = calm;
        if (calm && s->level > 0 && mono_us - s->calm_since_us >= s->patience_us) {
                s->calm_since_us = mono_us; /* one step at a time, each with its own patience */
                s->level--;
                return true;
        }
        if (s->level == 0 && mono_us - s->raised_us > PATIENCE_MAX_US * 2) {
                s->patience_us = PATIENCE_US;
                s->raised_us = 0;
        }
        return false;
}

bool shed_gains(const struct shed *s)
{
        return s->gains;
}

unsigned shed_halvings(const struct shed *s, size_t rung)
{
        if (s->rungs == 0)
                return 0;
        return s->level / (unsigned)s->rungs + (rung < s->level % s->rungs);
}
