#include "transcoderd/encode/shed.h"

#include "common/clock.h"

#define LOOK_US (500 * US_PER_MS)
#define CATCHING_UP_US (100 * US_PER_MS) /* in one look: a replay after a failover, not an overload */
#define CALM_LAG_US (300 * US_PER_MS)
#define PATIENCE_US (5 * US_PER_S)
#define PATIENCE_MAX_US (80 * US_PER_S)
#define BAD_LOOKS 2
#define HALVINGS_MAX 2

void shed_init(struct shed *s, size_t rungs, int64_t too_far_us)
{
        *s = (struct shed){.rungs = rungs, .too_far_us = too_far_us, .patience_us = PATIENCE_US};
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
        return true;
}

bool shed_update(struct shed *s, int64_t lag_us, int64_t mono_us)
{
        if (mono_us < s->next_look_us)
                return false;
        s->next_look_us = mono_us + LOOK_US;
        int64_t before_us = s->before_lag_us;
        s->before_lag_us = lag_us;

        /* A lag that shrinks is the frames of a failover being caught up with: those are no reason to leave any out. */
        bool bad = lag_us > s->too_far_us && lag_us > before_us - CATCHING_UP_US;
        s->bad_looks = bad ? s->bad_looks + 1 : 0;
        if (s->bad_looks >= BAD_LOOKS) {
                s->calm = false;
                return raise_level(s, mono_us);
        }
        bool calm = lag_us < CALM_LAG_US;
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

unsigned shed_halvings(const struct shed *s, size_t rung)
{
        if (s->rungs == 0)
                return 0;
        return s->level / (unsigned)s->rungs + (rung < s->level % s->rungs);
}
